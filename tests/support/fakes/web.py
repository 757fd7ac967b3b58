"""A fake service that answers any request."""

from __future__ import annotations

from typing import Any

from trigger_nb.testing.services import Answer, Request, Service, route


class FakeHTTP(Service):
    """Any path. GET returns the request; other methods have an effect, once for each idempotency key.

    `effects` lists the effects. `files` has bytes by path, for GET.
    """

    def __init__(self, *, token: str | None = None) -> None:
        super().__init__()
        self.effects: list[dict[str, Any]] = []
        self.files: dict[str, bytes] = {}
        self._token = token  # the valid token; None: any, and none

    @route("GET", "/{path*}")
    def get(self, request: Request, path: str) -> Answer:
        if path in self.files:
            return Answer(200, self.files[path], {"Content-Type": "application/octet-stream"})
        return Answer(200, {"path": request.path, "query": request.query})

    @route("POST", "/{path*}")
    @route("PUT", "/{path*}")
    @route("PATCH", "/{path*}")
    @route("DELETE", "/{path*}")
    def do(self, request: Request, path: str) -> Answer:
        def effect() -> dict[str, Any]:
            is_json = "json" in request.headers.get("content-type", "")
            sent = request.json if is_json else request.form
            self.effects.append({"method": request.method, "path": request.path, "sent": sent})
            return {"id": len(self.effects), **self.effects[-1]}

        return Answer(201, self.once(request.idempotency_key, effect))

    def refusal(self, request: Request) -> Answer | None:
        if self._token is None or request.headers.get("authorization") == f"Bearer {self._token}":
            return None
        return Answer(401, {"error": "no valid token"}, {"WWW-Authenticate": "Bearer"})

    def error(self, status: int, message: str) -> Answer:
        return Answer(status, {"error": message}, {"Retry-After": "30"} if status == 429 else {})
