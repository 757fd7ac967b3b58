"""A fake SendGrid account, with the mails sent."""

from __future__ import annotations

import time
from typing import Any

from trigger_nb.testing.services import Answer, Request, Service, route


class FakeSendGrid(Service):
    """The part of SendGrid's Web API v3 that sends mails. `mails` lists the bodies of the requests."""

    def __init__(self, *, api_key: str | None = None) -> None:
        super().__init__()
        self.mails: list[dict[str, Any]] = []
        self._api_key = api_key  # the valid credential; None: any

    @route("POST", "/v3/mail/send")
    def send(self, request: Request) -> Answer:
        mail = request.json
        if not mail.get("content") and not mail.get("template_id"):
            return self.error(
                400, "Unless a valid template_id is provided, the content parameter is required."
            )
        self.mails.append(mail)
        return Answer(202, None, {"X-Message-Id": f"message-{len(self.mails)}"})

    def refusal(self, request: Request) -> Answer | None:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not given or (self._api_key is not None and given != self._api_key):
            return self.error(401, "The provided authorization grant is invalid, expired, or revoked")
        return None

    def error(self, status: int, message: str) -> Answer:
        text = "too many requests" if status == 429 else message
        limit = {
            "X-RateLimit-Limit": "600",
            "X-RateLimit-Remaining": "0",
            "X-RateLimit-Reset": f"{time.time() + 60:.0f}",
        }
        return Answer(
            status,
            {"errors": [{"field": None, "message": text, "help": None}]},
            limit if status == 429 else {},
        )
