"""An e-mail provider. It has no idempotency keys: what is asked for twice is sent twice."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ._server import Asked, Service


@dataclass
class MailService(Service):
    """What was sent, in order."""

    sent: list[dict[str, Any]] = field(default_factory=list)

    def answer(self, asked: Asked) -> tuple[int, dict[str, Any]]:
        if asked.path != "/emails":
            return 404, {"error": {"message": f"no such path: {asked.path}"}}
        self.sent.append(asked.body)
        return 200, {"id": f"mail_{len(self.sent)}"}
