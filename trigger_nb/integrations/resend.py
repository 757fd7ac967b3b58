"""Resend, on its own SDK: `pip install 'trigger-nb[resend]'`.

```python
client.job(id="new-user", integrations={"resend": Resend()})
...
await io.resend.send_email(
    "welcome-email", from_="jane@acme.inc", to=user["email"], subject="Welcome!", html=welcome(user["name"])
)
```
"""

from __future__ import annotations

import functools
import inspect
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, ClassVar

from .._tasks.call import Call
from .._tasks.options import Options, Property
from .._tasks.task import Task
from ..retry import RetryAt
from ._base import Credential, Methods, SecretText
from ._http_retries import by_status, is_connection_error, retry_after
from ._resend_answers import answered, causes, email_page
from ._resend_client import ResendClient, class_name
from ._sdk import Known, Params, SdkIntegration, call_with

# These errors are 429 as well, but no wait of a task ends them.
_QUOTAS = frozenset({"daily_quota_exceeded", "monthly_quota_exceeded"})
# The SDK's name for an error of its HTTP client. The client's own error is the context.
_NOT_ANSWERED = "HttpClientError"


def _sender(params: Params) -> Params:
    """Parameters with the sender's name as Resend spells it, which is a keyword of Python."""
    return {"from" if name == "from_" else name: value for name, value in params.items()}


def _id(answer: dict[str, Any]) -> Iterable[Property]:
    yield Property("ID", answer["id"])


def _sent(answer: dict[str, Any]) -> Iterable[Property]:
    yield Property("Email", answer["id"], url=email_page(answer["id"]))


def _last_event(answer: dict[str, Any]) -> Iterable[Property]:
    yield Property("Last event", str(answer.get("last_event")), url=email_page(answer["id"]))


def _contact(params: Params) -> object:
    return params.get("email") or params.get("id")


class Resend(SdkIntegration[ResendClient, dict[str, Any]]):
    """Resend's API. The client is a `ResendClient`: the SDK, `resend`, with this integration's key.

    **Methods** are the SDK's own, at the names of its classes in lower case: `io.resend.api_keys.list("keys")`
    calls `resend.ApiKeys.list`. After the cache key come the ids, by position or by name, and the SDK's `params`
    as keyword arguments: `io.resend.topics.update("rename", "78261eea", name="News")`. All of them are there; the
    table has those of which there is more to say.

    Without an `api_key`, `RESEND_API_KEY` is read when it is needed; without a `base_url`, `RESEND_API_URL`.

    **Retried** (https://resend.com/docs/api-reference/errors): `rate_limit_exceeded`, after the seconds that
    `retry-after` or `ratelimit-reset` give; `application_error`, `internal_server_error` and any other 5xx;
    `concurrent_idempotent_requests`, which says that an earlier attempt is still being worked on; broken
    connections and timeouts. No other error is: not `daily_quota_exceeded` and `monthly_quota_exceeded`,
    though they are 429 too, not `invalid_api_key`, `validation_error` and their like.

    The idempotency key goes with `emails.send` and `batch.send`, so that no attempt sends a second e-mail.
    Resend keeps it for 24 hours (https://resend.com/docs/dashboard/emails/idempotency-keys): an attempt that
    is made later, when the kernel died between Resend's answer and its record, sends again. The other calls
    take no key: when the connection breaks after `audiences.create` was done, the next attempt creates a
    second audience. Contacts are identified by their e-mail address, so there is no second one.
    """

    service = "Resend"
    icon = "resend"
    extra = "resend"
    client_per_loop = False  # the SDK blocks: its calls run in worker threads

    def __init__(self, api_key: str | SecretText | None = None, *, base_url: str | None = None) -> None:
        super().__init__()
        self._api_key = Credential("Resend(api_key=...)", api_key, "RESEND_API_KEY")
        self._base_url = base_url

    def open_client(self) -> ResendClient:
        address = self._base_url or os.environ.get("RESEND_API_URL") or "https://api.resend.com"
        return ResendClient(self._api_key.read(), address.rstrip("/"))

    def should_retry(self, error: Exception) -> bool | RetryAt | None:
        from resend.exceptions import ResendError

        if not isinstance(error, ResendError):
            return True if is_connection_error(error) else None
        if error.error_type == _NOT_ANSWERED:
            return any(map(is_connection_error, causes(error)))
        if error.error_type in _QUOTAS:
            return False
        if error.error_type == "concurrent_idempotent_requests":
            return True
        lifted = retry_after(error.headers) or retry_after(error.headers, "ratelimit-reset")
        return by_status(int(error.code), lifted)

    @classmethod
    def _sdk(cls) -> Any:
        import resend

        return resend

    @classmethod
    def _is_group(cls, value: Any) -> bool:
        methods = inspect.getmembers(value, inspect.ismethod) if isinstance(value, type) else []
        return any(not name.startswith("_") for name, _ in methods)

    @classmethod
    def _member(cls, owner: Any, name: str) -> Any:
        return super()._member(owner, name) or super()._member(owner, class_name(name))

    @classmethod
    def _names_in(cls, owner: Any) -> Iterable[str]:
        return {re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower() for name in dir(owner)}

    def _body(self, path: str) -> Callable[..., Any]:
        return functools.partial(_call, path, self._about(path))

    _others = Known(prepare=_sender)
    _known: ClassVar[Mapping[str, Known]] = {
        "emails.send": Known(
            'Send an e-mail; Resend\'s answer, `{"id": ...}`. `from_` is the sender, `"Jane <jane@acme.inc>"`: '
            '`from` is a Python keyword, but `**{"from": ...}` works too.',
            shows={"To": "to", "Subject": "subject"},
            tells=_sent,
            prepare=_sender,
        ),
        "emails.get": Known(
            "A sent e-mail: its parts, and `last_event`, its delivery status.",
            shows={"Email": "email_id"},
            tells=_last_event,
        ),
        "audiences.create": Known(
            "Make an audience, a list of contacts; Resend's answer, with its `id`. Resend now calls them segments.",
            shows={"Audience": "name"},
            tells=_id,
            calls="segments.create",
        ),
        "audiences.get": Known("An audience.", shows={"Audience": "id"}, calls="segments.get"),
        "audiences.list": Known(
            'The audiences, `{"data": [...], "has_more": ...}`: up to `limit`, `after` or `before` an id.',
            calls="segments.list",
        ),
        "audiences.remove": Known("Remove an audience.", shows={"Audience": "id"}, calls="segments.remove"),
        "contacts.create": Known(
            "Add a contact, to the audience `audience_id` or to the account; Resend's answer, with its `id`.",
            shows={"Contact": "email"},
            tells=_id,
        ),
        "contacts.get": Known("A contact, by its `id` or its `email`.", shows={"Contact": _contact}),
        "contacts.list": Known(
            'The contacts, `{"data": [...], "has_more": ...}`: up to `limit`, `after` or `before` an id.'
        ),
        "contacts.update": Known(
            "Change what is given of a contact; Resend's answer, with its `id`.", shows={"Contact": _contact}
        ),
        "contacts.remove": Known("Remove a contact.", shows={"Contact": _contact}),
    }

    @property
    def batch(self) -> Batch:
        """`batch.send`."""
        return Batch(self)

    def send_email(
        self,
        key: Any,
        *,
        from_: str | None = None,
        to: str | Sequence[str],
        subject: str | None = None,
        html: str | None = None,
        text: str | None = None,
        task_options: Options | None = None,
        **more: Any,
    ) -> Call[dict[str, Any]]:
        """Send an e-mail, as `emails.send` does."""
        return self.emails.send(
            key, from_=from_, to=to, subject=subject, html=html, text=text, task_options=task_options, **more
        )


class Batch(Methods[Resend]):
    """`io.resend.batch`."""

    def send(
        self,
        key: Any,
        *,
        emails: Sequence[Mapping[str, Any]],
        batch_validation: str | None = None,
        task_options: Options | None = None,
    ) -> Call[dict[str, Any]]:
        """Send up to 100 e-mails at once; Resend's answer, `{"data": [{"id": ...}, ...]}`.

        Each e-mail is a mapping: `{"from": ..., "to": ..., "subject": ..., "html": ...}`. An invalid one
        fails the whole batch; with `batch_validation="permissive"` it is left out and listed under
        `errors`.
        """
        return self._integration.task(
            key,
            _send_batch,
            {"emails": [dict(email) for email in emails], "batch_validation": batch_validation},
            name="Send emails",
            properties={"Emails": len(emails)},
            task_options=task_options,
        )


def _call(path: str, known: Known, params: Params, client: Any, task: Task) -> Any:
    """The body. `client` is a ResendClient."""
    group, _, name = (known.calls or path).rpartition(".")
    method = getattr(attrgetter(".".join(map(class_name, group.split("."))))(client), name)
    answer = call_with(method, params, idempotency_key=task.idempotency_key)
    return answered(answer, task, *known.tells(answer))


def _send_batch(params: dict[str, Any], client: Any, task: Task) -> dict[str, Any]:
    emails, options = params["emails"], {"idempotency_key": task.idempotency_key}
    if "batch_validation" in params:
        options["batch_validation"] = params["batch_validation"]
    answer = client.Batch.send(emails, options)
    return answered(answer, task, Property("Sent", f"{len(answer['data'])} of {len(emails)}"))
