"""A workspace of Slack's: its channels, who is in them, and what was said."""

from __future__ import annotations

from typing import Any

from ._server import Answer, Request, Service, route


class FakeSlack(Service):
    """The part of Slack's Web API that posts messages and joins channels.

    `messages` lists what was posted. The bot is in no channel at first, and `C_PRIVATE` cannot be joined.
    """

    def __init__(self, *, token: str | None = None) -> None:
        super().__init__()
        self.messages: list[dict[str, Any]] = []
        self.joined: set[str] = set()
        self._token = token  # the one that is let in; None: any

    @route("POST", "/api/chat.postMessage")
    def post_message(self, request: Request) -> Answer:
        said = _arguments(request)
        if said["channel"] not in self.joined:
            return _failure("not_in_channel")
        message = {"ts": f"1700000000.{len(self.messages) + 1:06}", "user": "U_BOT", **said}
        self.messages.append(message)
        return Answer(200, {"ok": True, "channel": said["channel"], "ts": message["ts"], "message": message})

    @route("POST", "/api/conversations.join")
    def join(self, request: Request) -> Answer:
        channel = _arguments(request)["channel"]
        if channel == "C_PRIVATE":
            return _failure("method_not_supported_for_channel_type")
        self.joined.add(channel)
        return Answer(200, {"ok": True, "channel": {"id": channel, "is_member": True}})

    @route("GET", "/api/{method}")
    @route("POST", "/api/{method}")
    def other(self, request: Request, method: str) -> Answer:
        return Answer(200, {"ok": True, "method": method, "asked": _arguments(request)})

    def refusal(self, request: Request) -> Answer | None:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not given or (self._token is not None and given != self._token):
            return _failure("invalid_auth" if given else "not_authed")
        return None

    def error(self, status: int, message: str) -> Answer:
        headers = {"Retry-After": "30"} if status == 429 else {}
        return Answer(status, {"ok": False, "error": "ratelimited" if status == 429 else message}, headers)


def _failure(code: str) -> Answer:
    """Slack answers 200 and says in the body that it did not do it."""
    return Answer(200, {"ok": False, "error": code})


def _arguments(request: Request) -> dict[str, Any]:
    """Slack takes them as JSON, as a form, and in the query."""
    is_json = "json" in request.headers.get("content-type", "")
    return {**request.query, **(request.json if is_json else request.form)}
