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

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .._tasks.options import Options, Property
from .._tasks.task import Task
from ..retry import RetryAt
from ._base import Credential, Integration, Methods, SecretText
from ._resend_answers import answered, causes, email_page, envelope
from ._resend_client import ResendClient
from ._verdicts import by_status, is_connection_error, retry_after

if TYPE_CHECKING:
    from .._tasks.call import Call

# These errors are 429 as well, but no wait of a task ends them.
_QUOTAS = frozenset({"daily_quota_exceeded", "monthly_quota_exceeded"})
# The SDK's name for an error of its HTTP client. The client's own error is the context.
_NOT_ANSWERED = "HttpClientError"


class Resend(Integration[ResendClient]):
    """Resend's API. The client is a `ResendClient`: the SDK, `resend`, with this integration's key.

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

    @property
    def emails(self) -> Emails:
        """`emails.send`, `emails.get`."""
        return Emails(self)

    @property
    def batch(self) -> Batch:
        """`batch.send`."""
        return Batch(self)

    @property
    def audiences(self) -> Audiences:
        """`audiences.create`, `get`, `list`, `remove`."""
        return Audiences(self)

    @property
    def contacts(self) -> Contacts:
        """`contacts.create`, `get`, `list`, `update`, `remove`."""
        return Contacts(self)

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


class Emails(Methods[Resend]):
    """`io.resend.emails`."""

    def send(
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
        """Send an e-mail; Resend's answer, `{"id": ...}`.

        `from_` is the sender, `"Jane <jane@acme.inc>"`: `from` is a Python keyword, but
        `**{"from": ...}` works too. `more` is whatever else the API takes: `cc`, `bcc`, `reply_to`,
        `attachments`, `headers`, `scheduled_at`, `tags`, `template`.
        """
        params = {"from": from_, "to": to, "subject": subject, "html": html, "text": text, **more}
        return self._integration.task(
            key,
            _send,
            params,
            name="Send email",
            properties=envelope(to, subject),
            task_options=task_options,
        )

    def get(self, key: Any, *, email_id: str, task_options: Options | None = None) -> Call[dict[str, Any]]:
        """A sent e-mail: its parts, and `last_event`, its delivery status."""
        return self._integration.task(
            key,
            _get_email,
            {"email_id": email_id},
            name="Get email",
            properties={"Email": email_id},
            task_options=task_options,
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


class Audiences(Methods[Resend]):
    """`io.resend.audiences`: lists of contacts. Resend now calls them segments."""

    def create(self, key: Any, *, name: str, task_options: Options | None = None) -> Call[dict[str, Any]]:
        """Make an audience; Resend's answer, with its `id`."""
        return self._integration.task(
            key,
            _create_audience,
            {"name": name},
            name="Create audience",
            properties={"Audience": name},
            task_options=task_options,
        )

    def get(self, key: Any, *, id: str, task_options: Options | None = None) -> Call[dict[str, Any]]:
        """An audience."""
        return self._integration.task(
            key,
            _get_audience,
            {"id": id},
            name="Get audience",
            properties={"Audience": id},
            task_options=task_options,
        )

    def list(
        self,
        key: Any,
        *,
        limit: int | None = None,
        after: str | None = None,
        before: str | None = None,
        task_options: Options | None = None,
    ) -> Call[dict[str, Any]]:
        """The audiences, `{"data": [...], "has_more": ...}`: up to `limit`, `after` or `before` an id."""
        return self._integration.task(
            key,
            _list_audiences,
            {"limit": limit, "after": after, "before": before},
            name="List audiences",
            task_options=task_options,
        )

    def remove(self, key: Any, *, id: str, task_options: Options | None = None) -> Call[dict[str, Any]]:
        """Remove an audience; Resend's answer, `{"deleted": True, ...}`."""
        return self._integration.task(
            key,
            _remove_audience,
            {"id": id},
            name="Remove audience",
            properties={"Audience": id},
            task_options=task_options,
        )


class Contacts(Methods[Resend]):
    """`io.resend.contacts`: contacts of an audience, or of the whole account without an `audience_id`.

    A contact is named by its `id` or its `email`.
    """

    def create(
        self,
        key: Any,
        *,
        email: str,
        audience_id: str | None = None,
        first_name: str | None = None,
        last_name: str | None = None,
        unsubscribed: bool | None = None,
        task_options: Options | None = None,
        **more: Any,
    ) -> Call[dict[str, Any]]:
        """Add a contact; Resend's answer, with its `id`. `more` is whatever else the API takes."""
        params = {
            "audience_id": audience_id,
            "email": email,
            "first_name": first_name,
            "last_name": last_name,
            "unsubscribed": unsubscribed,
            **more,
        }
        return self._integration.task(
            key,
            _create_contact,
            params,
            name="Create contact",
            properties={"Contact": email},
            task_options=task_options,
        )

    def get(
        self,
        key: Any,
        *,
        id: str | None = None,
        email: str | None = None,
        audience_id: str | None = None,
        task_options: Options | None = None,
    ) -> Call[dict[str, Any]]:
        """A contact."""
        return self._integration.task(
            key,
            _get_contact,
            {"audience_id": audience_id, "id": id, "email": email},
            name="Get contact",
            properties={"Contact": email or id},
            task_options=task_options,
        )

    def list(
        self,
        key: Any,
        *,
        audience_id: str | None = None,
        limit: int | None = None,
        after: str | None = None,
        before: str | None = None,
        task_options: Options | None = None,
    ) -> Call[dict[str, Any]]:
        """The contacts, `{"data": [...], "has_more": ...}`: up to `limit`, `after` or `before` an id."""
        return self._integration.task(
            key,
            _list_contacts,
            {"audience_id": audience_id, "limit": limit, "after": after, "before": before},
            name="List contacts",
            task_options=task_options,
        )

    def update(
        self,
        key: Any,
        *,
        id: str | None = None,
        email: str | None = None,
        audience_id: str | None = None,
        first_name: str | None = None,
        last_name: str | None = None,
        unsubscribed: bool | None = None,
        task_options: Options | None = None,
        **more: Any,
    ) -> Call[dict[str, Any]]:
        """Change what is given of a contact; Resend's answer, with its `id`."""
        params = {
            "audience_id": audience_id,
            "id": id,
            "email": email,
            "first_name": first_name,
            "last_name": last_name,
            "unsubscribed": unsubscribed,
            **more,
        }
        return self._integration.task(
            key,
            _update_contact,
            params,
            name="Update contact",
            properties={"Contact": email or id},
            task_options=task_options,
        )

    def remove(
        self,
        key: Any,
        *,
        id: str | None = None,
        email: str | None = None,
        audience_id: str | None = None,
        task_options: Options | None = None,
    ) -> Call[dict[str, Any]]:
        """Remove a contact; Resend's answer, `{"deleted": True, ...}`."""
        return self._integration.task(
            key,
            _remove_contact,
            {"audience_id": audience_id, "id": id, "email": email},
            name="Remove contact",
            properties={"Contact": email or id},
            task_options=task_options,
        )


# `client` is a ResendClient; the SDK's types for parameters are dictionaries with fixed keys.
def _send(params: dict[str, Any], client: Any, task: Task) -> dict[str, Any]:
    answer = client.Emails.send(params, {"idempotency_key": task.idempotency_key})
    return answered(answer, task, Property("Email", answer["id"], url=email_page(answer["id"])))


def _get_email(params: dict[str, Any], client: Any, task: Task) -> dict[str, Any]:
    answer = client.Emails.get(**params)
    state = Property("Last event", str(answer.get("last_event")), url=email_page(params["email_id"]))
    return answered(answer, task, state)


def _send_batch(params: dict[str, Any], client: Any, task: Task) -> dict[str, Any]:
    emails, options = params["emails"], {"idempotency_key": task.idempotency_key}
    if "batch_validation" in params:
        options["batch_validation"] = params["batch_validation"]
    answer = client.Batch.send(emails, options)
    return answered(answer, task, Property("Sent", f"{len(answer['data'])} of {len(emails)}"))


# The SDK's `Audiences` makes the same requests, but warns that the name is deprecated.
def _create_audience(params: dict[str, Any], client: Any, task: Task) -> dict[str, Any]:
    answer = client.Segments.create(params)
    return answered(answer, task, Property("ID", answer["id"]))


def _get_audience(params: dict[str, Any], client: Any, task: Task) -> dict[str, Any]:
    return answered(client.Segments.get(**params), task)


def _list_audiences(params: dict[str, Any], client: Any, task: Task) -> dict[str, Any]:
    return answered(client.Segments.list(params), task)


def _remove_audience(params: dict[str, Any], client: Any, task: Task) -> dict[str, Any]:
    return answered(client.Segments.remove(**params), task)


def _create_contact(params: dict[str, Any], client: Any, task: Task) -> dict[str, Any]:
    answer = client.Contacts.create(params)
    return answered(answer, task, Property("ID", answer["id"]))


def _get_contact(params: dict[str, Any], client: Any, task: Task) -> dict[str, Any]:
    return answered(client.Contacts.get(**params), task)


def _list_contacts(params: dict[str, Any], client: Any, task: Task) -> dict[str, Any]:
    page = {name: value for name, value in params.items() if name != "audience_id"}
    return answered(client.Contacts.list(params.get("audience_id"), page), task)


def _update_contact(params: dict[str, Any], client: Any, task: Task) -> dict[str, Any]:
    return answered(client.Contacts.update(params), task)


def _remove_contact(params: dict[str, Any], client: Any, task: Task) -> dict[str, Any]:
    return answered(client.Contacts.remove(**params), task)
