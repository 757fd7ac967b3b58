"""The client of the Resend integration: the SDK with more than one key in a process."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import resend


class ResendClient:
    """The SDK with its own key and address: `client.Domains.list()` is `resend.Domains.list()`.

    The SDK has one key and one address for the whole process, in its module. A `ResendClient` neither reads
    nor changes them, so integrations with different keys, and code that uses the SDK directly, do not
    affect each other. For this it replaces the SDK's HTTP client, with one that sends the requests of a
    `ResendClient` with that client's key, and passes all others to the previous HTTP client.
    """

    if TYPE_CHECKING:
        ApiKeys: type[resend.ApiKeys]
        Batch: type[resend.Batch]
        Broadcasts: type[resend.Broadcasts]
        Contacts: type[resend.Contacts]
        Domains: type[resend.Domains]
        Emails: type[resend.Emails]
        Segments: type[resend.Segments]
        Templates: type[resend.Templates]
        Webhooks: type[resend.Webhooks]

    def __init__(self, api_key: str, base_url: str) -> None:
        import resend

        self._sdk = resend
        self._api_key = api_key
        self._base_url = base_url

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._sdk, name)
        if not isinstance(found, type):
            raise AttributeError(f"a ResendClient has the classes of the SDK; resend.{name} is none")  # noqa: TRY004  # as __getattr__ does
        return _Group(self, found)

    def __repr__(self) -> str:
        return f"<ResendClient for {self._base_url}>"

    def call(self, method: Any, *args: Any, **options: Any) -> Any:
        """Call a method of the SDK with this client's key and address."""
        _see_to_the_sender()
        token = _calling.set(self)
        try:
            answer = method(*args, **options)
        finally:
            _calling.reset(token)
        # The store would not return the SDK's own subclass of dict.
        return dict(cast("dict[str, Any]", answer)) if isinstance(answer, dict) else answer

    def address(self, url: str, headers: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        """The SDK's request, with this client's key and address in place of the process's."""
        path = url.removeprefix(self._sdk.api_url)
        return self._base_url + path, {**headers, "Authorization": f"Bearer {self._api_key}"}


def class_name(path: str) -> str:
    """The class of the SDK for a name in lower case.

    >>> class_name("api_keys"), class_name("ApiKeys")
    ('ApiKeys', 'ApiKeys')
    """
    return "".join(part[:1].upper() + part[1:] for part in path.split("_"))


class _Group:
    """A class of the SDK, as an attribute of a client."""

    def __init__(self, client: ResendClient, cls: type[Any]) -> None:
        self._client = client
        self._cls = cls

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._cls, name)
        if isinstance(found, type):
            return _Group(self._client, cast("type[Any]", found))
        if inspect.iscoroutinefunction(found):
            raise AttributeError(
                f"{self._cls.__name__}.{name} would not use the integration's key: call "
                f"{name.removesuffix('_async')} in a `def` body, which runs in a thread"
            )
        # Wrapped, it has the signature of the SDK's method.
        call = functools.partial(self._client.call, found)
        return functools.update_wrapper(call, found) if callable(found) else found

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self._cls(*args, **options)


class _Sender:
    """An HTTP client for the SDK: it sets key and address of a `ResendClient`'s requests, then calls `inner`."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def request(self, method: str, url: str, headers: Mapping[str, str], **content: Any) -> Any:
        client = _calling.get()
        if client is not None:
            url, headers = client.address(url, headers)
        # `inner` may contain another `_Sender`, which must not change the request again.
        token = _calling.set(None)
        try:
            return self._inner.request(method=method, url=url, headers=headers, **content)
        finally:
            _calling.reset(token)


_calling: ContextVar[ResendClient | None] = ContextVar("resend_client", default=None)
_replacing = threading.Lock()


def _see_to_the_sender() -> None:
    """Make the SDK use a `_Sender`, even if its HTTP client was replaced in the meantime."""
    import resend

    with _replacing:
        if not isinstance(resend.default_http_client, _Sender):
            resend.default_http_client = cast("Any", _Sender(resend.default_http_client))
