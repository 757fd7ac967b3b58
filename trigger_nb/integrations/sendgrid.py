"""SendGrid, on its own SDK: `pip install 'trigger-nb[sendgrid]'`.

```python
client.job(id="welcome", integrations={"sendgrid": SendGrid()})
...
await io.sendgrid.send_email(
    "welcome", from_email="team@example.com", to_emails="ana@example.com",
    subject="Welcome", plain_text_content="Hello Ana",
)
```
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from operator import attrgetter
from typing import Any, TypeAlias

from .._tasks.call import Call
from .._tasks.options import Options
from .._tasks.task import Task
from ..retry import RetryAt
from ._base import Credential, SecretText
from ._http_retries import by_status, is_connection_error, reset_at
from ._sdk import SdkIntegration

_TIMEOUT = 60.0  # seconds; the SDK has no timeout by default
Address: TypeAlias = str | tuple[str, str]  # an address, or an address and a name


class SendGrid(SdkIntegration[Any, Any]):
    """SendGrid's Web API v3. The client is `sendgrid.SendGridAPIClient`, and bodies run in threads.

    **Methods** are the requests of the API by the path that the SDK has for them: `io.sendgrid.suppression.
    bounces.get("bounces", query_params={"limit": 5})` calls `client.client.suppression.bounces.get` and returns
    the answer's JSON. A part of a path that is no name is `getattr(io.sendgrid.asm.groups, "17")`.

    `api_key`: without one, `SENDGRID_API_KEY` is read when it is needed. `base_url` is
    "https://api.eu.sendgrid.com" for a subuser in the EU.

    **Retried**: 429 when `X-RateLimit-Reset` says that the limit is lifted
    (https://www.twilio.com/docs/sendgrid/api-reference/how-to-use-the-sendgrid-v3-api/rate-limits); 5xx
    (https://www.twilio.com/docs/sendgrid/api-reference/how-to-use-the-sendgrid-v3-api/responses); broken
    connections and timeouts. No other error is.

    SendGrid takes no idempotency key: when the kernel dies between SendGrid's answer and its record, or the
    connection breaks after the mail was taken, the next attempt sends it again. Where a second mail is worse
    than none, say `task_options={"retry": 1}`.

    In a body of your own do not pass `request_headers`: the SDK keeps them for all later calls.
    """

    service = "SendGrid"
    icon = "sendgrid"
    extra = "sendgrid"
    client_per_loop = False

    def __init__(
        self, api_key: str | SecretText | None = None, *, base_url: str = "https://api.sendgrid.com"
    ):
        super().__init__()
        self._api_key = Credential("SendGrid(api_key=...)", api_key, "SENDGRID_API_KEY")
        self._base_url = base_url

    def open_client(self) -> Any:
        from sendgrid import SendGridAPIClient  # pyright: ignore[reportMissingTypeStubs]

        client: Any = SendGridAPIClient(self._api_key.read(), host=self._base_url)
        client.client.timeout = _TIMEOUT
        return client

    def should_retry(self, error: Exception) -> bool | RetryAt | None:
        from http.client import HTTPException
        from urllib.error import URLError

        from python_http_client.exceptions import HTTPError

        if isinstance(error, HTTPError):
            refused: Any = error
            return by_status(refused.status_code, reset_at(refused.headers, "x-ratelimit-reset", "unix"))
        if isinstance(error, (URLError, HTTPException)):  # the SDK uses urllib
            return True
        return True if is_connection_error(error) else None

    @classmethod
    def _sdk(cls) -> Any:
        from sendgrid import SendGridAPIClient  # pyright: ignore[reportMissingTypeStubs]

        client: Any = SendGridAPIClient("of no account")
        return client.client

    @classmethod
    def _is_group(cls, value: Any) -> bool:
        return type(value).__name__ == "Client"

    @classmethod
    def _names_in(cls, owner: Any) -> Iterable[str]:
        return owner.methods

    def _body(self, path: str) -> Callable[..., Any]:
        return functools.partial(_call, path)

    def send_email(
        self,
        key: Any,
        *,
        from_email: Address,
        to_emails: Address | list[Address],
        subject: str | None = None,
        plain_text_content: str | None = None,
        html_content: str | None = None,
        task_options: Options | None = None,
        **more: Any,
    ) -> Call[dict[str, Any]]:
        """Send a mail, `POST /v3/mail/send`; `{"message_id": "..."}`, the id in SendGrid's logs.

        An address is text, or an address and a name. `more` is whatever else the body of the request takes,
        as JSON: `template_id="d-..."`, `categories=["welcome"]`, `reply_to={"email": "help@example.com"}`.
        """
        mail = {
            "from_email": from_email,
            "to_emails": to_emails,
            "subject": subject,
            "plain_text_content": plain_text_content,
            "html_content": html_content,
        }
        properties = {"From": _shown(from_email), "To": _shown(to_emails)}
        return self.task(
            key,
            _send_email,
            {**mail, **more},
            name="Send email",
            properties=properties | ({"Subject": subject} if subject else {}),
            task_options=task_options,
        )


# The parameters of the SDK's `Mail`; the others go into the request unchanged.
_OF_MAIL = ("from_email", "to_emails", "subject", "plain_text_content", "html_content")


# `client` is a SendGridAPIClient, which has no types.
def _send_email(params: dict[str, Any], client: Any, task: Task) -> dict[str, Any]:
    from sendgrid.helpers.mail import Mail  # pyright: ignore[reportMissingTypeStubs]

    named = {name: value for name, value in params.items() if name in _OF_MAIL}
    others = {name: value for name, value in params.items() if name not in _OF_MAIL}
    mail: Any = Mail(**named)
    with _noted():
        answer = client.client.mail.send.post(request_body={**mail.get(), **others})
    message_id = answer.headers.get("X-Message-Id")
    task.output_properties = {"Message": message_id}
    return {"message_id": message_id}


def _call(path: str, params: dict[str, Any], client: Any) -> Any:
    with _noted():
        answer = attrgetter(path)(client.client)(**params)
    return json.loads(answer.body) if answer.body else None


@contextmanager
def _noted() -> Generator[None]:
    """A context for a call: its error gets SendGrid's message, beside the status, as a note."""
    from python_http_client.exceptions import HTTPError

    try:
        yield
    except HTTPError as error:
        said: Any = error.body  # pyright: ignore[reportUnknownMemberType]
        error.add_note(f"SendGrid says: {said.decode(errors='replace')}")
        raise


def _shown(addresses: Address | list[Address]) -> str:
    """Addresses without their names."""
    each = addresses if isinstance(addresses, list) else [addresses]
    return ", ".join(one if isinstance(one, str) else one[0] for one in each)
