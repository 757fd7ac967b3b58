"""Any service that speaks HTTP, on httpx: `pip install 'trigger-nb[http]'`.

```python
client.job(id="order", integrations={"acme": HTTP("https://api.acme.example", token="...")})
...
order = await io.acme.post("order", "/orders", json={"item": "socks"})
order.body["id"]
```
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypedDict, Unpack, cast

from .._redact import hide_in_urls, is_credential, keep_in_errors, secrets
from .._tasks.call import Call
from .._tasks.options import Options, Properties
from .._tasks.task import Task
from ..retry import ResetHeaders, RetryAt
from ._base import Credential, Integration, SecretText
from ._http_exchange import IDEMPOTENT, Exchange, content, download, send
from ._http_retries import by_status, is_connection_error, reset_at, retry_after

if TYPE_CHECKING:
    import httpx

_HOME = "trigger_nb.home"  # the extension of a request that names the host that gets the credentials


@dataclass(frozen=True)
class Response:
    """A service's response.

    `body` is JSON values, text or bytes, by the content type; None if it was empty. Names of `headers` are in
    lower case; headers that may hold a credential by their name, such as set-cookie or x-signature, are left out, and so
    are users, passwords and credentials in URLs, as in location.

    >>> Response(200, {"content-type": "application/json"}, {"id": 7}).body["id"]
    7
    """

    status: int
    headers: dict[str, str]
    body: Any = None


class Asked(TypedDict, total=False):
    """What a request may have that asks for something."""

    params: Mapping[str, Any] | None
    headers: Mapping[str, str] | None
    allow_status: Collection[int]
    task_options: Options | None


class Sent(Asked, total=False):
    """What a request may have."""

    json: Any
    data: Mapping[str, Any] | None
    content: str | bytes | None


class HTTP(Integration["httpx.AsyncClient"]):
    """A service by its address. The client is `httpx.AsyncClient`.

    A request may have `params` (the query), `headers`, and one of `json`, `data` (a form) and `content` as its body;
    `allow_status=(404,)` names further statuses that are no error.

    `token` is sent as `Authorization: Bearer`. Values of `headers` may be a `SecretStr`; those of headers
    that hold credentials by their name are kept secret anyway, as are such parameters of a call. The
    credentials go to the host of `base_url` only (without one, to the host that a call names), and not to
    where that redirects to. Redirects are followed. `timeout` is in seconds, for each step of a request.
    `client_options` go to `httpx.AsyncClient`: `auth`, `verify`, `http2`.

    Every request except GET, HEAD and OPTIONS carries the task's idempotency key in `idempotency_header`
    (https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/); None sends none.

    **Retried**: 429 and 503 when `Retry-After` says (RFC 9110, section 10.2.3), or the service's own headers,
    `rate_limit=ResetHeaders(...)` (of `trigger_nb.integrations.http`), else after a delay; 408, 425, other
    5xx, and broken connections. No other 4xx is. A POST or PATCH without an idempotency key is not tried
    again when it may have been done (section 9.2.2): with 5xx, a timeout, or a connection that broke after
    it was made.

    A service that ignores the key may execute a POST twice: if it answers 5xx after executing it, if the
    connection breaks, or if the kernel dies between the answer and its record. If that matters, switch the
    header off: the first two cases then end in an error.
    """

    service = "HTTP"
    icon = "http"
    extra = "http"

    def __init__(
        self,
        base_url: str = "",
        *,
        token: str | SecretText | None = None,
        headers: Mapping[str, str | SecretText] | None = None,
        timeout: float | None = 30.0,
        idempotency_header: str | None = "Idempotency-Key",
        rate_limit: ResetHeaders | None = None,
        **client_options: Any,
    ) -> None:
        super().__init__()
        self._token = Credential("HTTP(token=...)", token)
        self._base_url = base_url
        self._headers, self._private = _sorted(headers or {})
        self._idempotency_header = idempotency_header
        self._rate_limit = rate_limit
        if rate_limit is not None:
            keep_in_errors(headers=(rate_limit.limit, rate_limit.remaining, rate_limit.reset))
        self._client_options: dict[str, Any] = {
            "timeout": timeout,
            "follow_redirects": True,
            **client_options,
        }

    def open_client(self) -> httpx.AsyncClient:
        import httpx

        auth = self._client_options.get("auth")
        if isinstance(auth, tuple):
            secrets.add(cast("tuple[str, str]", auth)[1])
        secrets.add(httpx.URL(self._base_url).password)
        private = {name: credential.find() or "" for name, credential in self._private.items()}
        token = self._token.find()
        if token is not None:
            private["Authorization"] = f"Bearer {token}"
        base = httpx.URL(self._base_url) if self._base_url else None
        kept_home = {name.lower() for name in private}

        async def keep_home(request: httpx.Request) -> None:
            # Redirects pass here too, with the extensions of the first request.
            home: httpx.URL = request.extensions.setdefault(_HOME, base or request.url)
            if not _is_at(home, request.url):
                for name in [name for name in request.headers if name in kept_home or is_credential(name)]:
                    del request.headers[name]

        client = httpx.AsyncClient(
            base_url=self._base_url, headers={**self._headers, **private}, **self._client_options
        )
        client.event_hooks["request"].append(keep_home)
        return client

    async def close_client(self, client: httpx.AsyncClient) -> None:
        await client.aclose()

    def should_retry(self, error: Exception) -> bool | RetryAt | None:
        import httpx

        if isinstance(error, httpx.HTTPStatusError):
            return self._judged(error.response)
        if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)):
            return True
        if isinstance(error, httpx.RequestError):
            return is_connection_error(error) and self._may_be_sent_again(error.request)
        if isinstance(error, httpx.InvalidURL):
            return False
        # The attempt took longer than the task's `timeout`: it may have sent the request.
        return True if is_connection_error(error) and self._idempotency_header is not None else None

    def request(self, key: Any, method: str, url: str, **sent: Unpack[Sent]) -> Call[Response]:
        """Send a request; the response's `status`, `headers` and `body`: JSON values, text or bytes. Raises
        `httpx.HTTPStatusError` when the status is not 2xx and not in `allow_status`.

        `params` is the query, and `json`, `data` (a form) or `content` the body that is sent.
        """
        return self._call(key, method, url, **sent)

    def get(self, key: Any, url: str, **sent: Unpack[Asked]) -> Call[Response]:
        """As `request`, with the method GET: `params`, `headers`, `allow_status`."""
        return self._call(key, "GET", url, **sent)

    def post(self, key: Any, url: str, **sent: Unpack[Sent]) -> Call[Response]:
        """As `request`, with the method POST."""
        return self._call(key, "POST", url, **sent)

    def put(self, key: Any, url: str, **sent: Unpack[Sent]) -> Call[Response]:
        """As `request`, with the method PUT."""
        return self._call(key, "PUT", url, **sent)

    def patch(self, key: Any, url: str, **sent: Unpack[Sent]) -> Call[Response]:
        """As `request`, with the method PATCH."""
        return self._call(key, "PATCH", url, **sent)

    def delete(self, key: Any, url: str, **sent: Unpack[Sent]) -> Call[Response]:
        """As `request`, with the method DELETE."""
        return self._call(key, "DELETE", url, **sent)

    def download(
        self,
        key: Any,
        url: str,
        path: str | os.PathLike[str],
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        task_options: Options | None = None,
    ) -> Call[dict[str, Any]]:
        """GET into a file, in chunks; the file's `path`, `size` in bytes and `sha256`.

        The file appears once it is complete, and replaces an existing one. A replay returns the same
        result without checking the file.
        """
        exchange = self._exchange("GET", url, {"params": params, "headers": headers}, ())
        target = os.path.abspath(os.path.expanduser(path))
        return self.task(
            key,
            partial(_download, exchange=exchange, path=target),
            {**exchange.params(), "path": target},
            name="Download",
            properties={"URL": hide_in_urls(url), "File": os.path.basename(target)},
            task_options=task_options,
        )

    def _call(
        self,
        key: Any,
        method: str,
        url: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        data: Mapping[str, Any] | None = None,
        content: str | bytes | None = None,
        allow_status: Collection[int] = (),
        task_options: Options | None = None,
    ) -> Call[Response]:
        given = {"params": params, "headers": headers, "json": json, "data": data, "content": content}
        exchange = self._exchange(method, url, given, allow_status)
        return self.task(
            key,
            partial(fetch, exchange=exchange, limits=self._rate_limit),
            exchange.params(),
            name=exchange.method,
            properties={"URL": hide_in_urls(url)},
            task_options=task_options,
        )

    def _exchange(
        self, method: str, url: str, given: dict[str, Any], allow_status: Collection[int]
    ) -> Exchange:
        given = {name: value for name, value in given.items() if value is not None}
        return Exchange(method.upper(), url, given, allow_status, self._idempotency_header)

    def _judged(self, response: httpx.Response) -> bool | RetryAt:
        lifted = retry_after(response.headers)
        limits = self._rate_limit
        if limits is not None:
            lifted = lifted or reset_at(response.headers, limits.reset.lower(), limits.format)
            if response.headers.get(limits.remaining) == "0" and lifted is not None:
                return lifted  # some services answer 403 then
        if response.status_code in (429, 503) and lifted is not None:
            return lifted
        again = by_status(response.status_code)
        return again and (response.status_code < 500 or self._may_be_sent_again(response.request))

    def _may_be_sent_again(self, request: httpx.Request) -> bool:
        """Whether to send a request again that the service may have executed already."""
        header = self._idempotency_header
        return request.method in IDEMPOTENT or (header is not None and header in request.headers)


# Bodies -----------------------------------------------------------------------------------------
async def fetch(
    params: dict[str, Any],
    client: httpx.AsyncClient,
    task: Task,
    *,
    exchange: Exchange,
    limits: ResetHeaders | None,
    max_bytes: int | None = None,
) -> Response:
    """Send a request, and take a response whose status is accepted."""
    response = await send(client, exchange, task, max_bytes)
    task.output_properties = _told(response, limits)
    exchange.check(response)
    return answer(response)


def answer(response: httpx.Response) -> Response:
    """What is kept of a response."""
    headers = {
        name: hide_in_urls(secrets.hide(value))
        for name, value in response.headers.items()
        if not is_credential(name)
    }
    return Response(response.status_code, headers, content(response))


async def _download(
    params: dict[str, Any], client: httpx.AsyncClient, task: Task, *, exchange: Exchange, path: str
) -> dict[str, Any]:
    file = await download(client, exchange, path, task)
    task.output_properties = {"Size": f"{file['size']:,} bytes"}
    return file


def _told(response: httpx.Response, limits: ResetHeaders | None) -> Properties:
    told: dict[str, object] = {"Status": f"{response.status_code} {response.reason_phrase}".strip()}
    if limits is not None and (left := response.headers.get(limits.remaining)) is not None:
        allowed = response.headers.get(limits.limit)
        told["Requests left"] = left if allowed is None else f"{left} of {allowed}"
    return told


def _sorted(
    headers: Mapping[str, str | SecretText],
) -> tuple[dict[str, str], dict[str, Credential]]:
    """Headers without credentials, and headers that hold one."""
    plain: dict[str, str] = {}
    private: dict[str, Credential] = {}
    for name, value in headers.items():
        if isinstance(value, str) and not is_credential(name):
            plain[name] = value
        else:
            private[name] = Credential(f"HTTP(headers={{{name!r}: ...}})", value)
    return plain, private


def _is_at(home: httpx.URL, url: httpx.URL) -> bool:
    """Whether a URL has the same host and a connection that is at least as private."""
    less = home.scheme == "https" and url.scheme != "https"
    return (home.host, home.port) == (url.host, url.port) and not less
