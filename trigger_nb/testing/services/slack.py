"""A fake Slack workspace: its channels, their members and messages."""

from __future__ import annotations

from ._server import Answer, Json, Request, Service, route


class FakeSlack(Service):
    """Slack's Web API for posting messages and joining channels.

    - `token`: the valid token; None (the default) accepts any token.

    `messages` are the messages posted. The bot is in no channel at first, and cannot join `C_PRIVATE`.
    """

    def __init__(self, *, token: str | None = None) -> None:
        super().__init__()
        self.messages: list[Json] = []
        self.joined: set[str] = set()
        self._token = token  # the valid credential; None: any

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
    """An error: Slack answers 200 with the error in the body."""
    return Answer(200, {"ok": False, "error": code})


def _arguments(request: Request) -> Json:
    """The parameters of a request: as JSON, as a form and in the query."""
    is_json = "json" in request.headers.get("content-type", "")
    return {**request.query, **(request.json if is_json else request.form)}
