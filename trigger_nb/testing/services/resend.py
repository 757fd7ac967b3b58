"""A fake Resend account: its outbox, its audiences and their contacts."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from ._server import Answer, Json, Request, Service, route

_NAMES = {
    400: "validation_error",
    401: "restricted_api_key",
    403: "invalid_api_key",
    404: "not_found",
    409: "invalid_idempotent_request",
    422: "missing_required_field",
    429: "rate_limit_exceeded",
    500: "application_error",
}
_EVERYBODY = ""  # the audience of contacts without one


class FakeResend(Service):
    """Resend's API for e-mails, audiences and contacts.

    - `api_key`: the valid key; None (the default) accepts any key.

    `emails` are the e-mails sent, also in batches. Like Resend, it accepts idempotency keys for e-mails and
    batches, and refuses a key with another payload.
    """

    def __init__(self, *, api_key: str | None = None) -> None:
        super().__init__()
        self.emails: list[Json] = []
        self.audiences: dict[str, Json] = {}
        self.contacts: dict[str, dict[str, Json]] = {_EVERYBODY: {}}  # by audience and e-mail
        self._api_key = api_key  # the valid credential; None: any
        self._ids = count(1)
        self._payloads: dict[str, list[Json]] = {}  # by idempotency key

    @route("POST", "/emails")
    def send(self, request: Request) -> Answer:
        return self._sent_once(request, [request.json], lambda ids: {"id": ids[0]})

    @route("POST", "/emails/batch")
    def send_batch(self, request: Request) -> Answer:
        return self._sent_once(request, request.json, lambda ids: {"data": [{"id": each} for each in ids]})

    @route("GET", "/emails/{id}")
    def get(self, request: Request, id: str) -> Answer:
        found = next((email for email in self.emails if email["id"] == id), None)
        return _told(found) if found else self.error(404, "Email not found")

    @route("POST", "/segments")
    def create_audience(self, request: Request) -> Answer:
        audience = {"object": "segment", "id": self._new_id(), "name": request.json["name"]}
        self.audiences[audience["id"]] = audience
        self.contacts[audience["id"]] = {}
        return _told(audience, 201)

    @route("GET", "/segments")
    def list_audiences(self, request: Request) -> Answer:
        return _page(request, list(self.audiences.values()))

    @route("GET", "/segments/{id}")
    def get_audience(self, request: Request, id: str) -> Answer:
        return _told(self.audiences[id]) if id in self.audiences else self.error(404, "Segment not found")

    @route("DELETE", "/segments/{id}")
    def remove_audience(self, request: Request, id: str) -> Answer:
        if id not in self.audiences:
            return self.error(404, "Segment not found")
        del self.audiences[id]
        return _told({"object": "segment", "id": id, "deleted": True})

    @route("POST", "/contacts")
    @route("POST", "/audiences/{audience}/contacts")
    def create_contact(self, request: Request, audience: str = _EVERYBODY) -> Answer:
        known = self.contacts[audience].get(request.json["email"], {"id": self._new_id()})
        given = {name: value for name, value in request.json.items() if name != "audience_id"}
        self.contacts[audience][request.json["email"]] = {**known, **given}
        return _told({"object": "contact", "id": known["id"]}, 201)

    @route("GET", "/contacts")
    @route("GET", "/audiences/{audience}/contacts")
    def list_contacts(self, request: Request, audience: str = _EVERYBODY) -> Answer:
        return _page(request, list(self.contacts[audience].values()))

    @route("GET", "/contacts/{which}")
    @route("GET", "/audiences/{audience}/contacts/{which}")
    def get_contact(self, request: Request, which: str, audience: str = _EVERYBODY) -> Answer:
        return self._with_contact(audience, which, lambda contact: {"object": "contact", **contact})

    @route("PATCH", "/contacts/{which}")
    @route("PATCH", "/audiences/{audience}/contacts/{which}")
    def update_contact(self, request: Request, which: str, audience: str = _EVERYBODY) -> Answer:
        def update(contact: Json) -> Json:
            contact |= {
                name: value for name, value in request.json.items() if name not in ("audience_id", "id")
            }
            return {"object": "contact", "id": contact["id"]}

        return self._with_contact(audience, which, update)

    @route("DELETE", "/contacts/{which}")
    @route("DELETE", "/audiences/{audience}/contacts/{which}")
    def remove_contact(self, request: Request, which: str, audience: str = _EVERYBODY) -> Answer:
        def remove(contact: Json) -> Json:
            del self.contacts[audience][contact["email"]]
            return {"object": "contact", "contact": contact["id"], "deleted": True}

        return self._with_contact(audience, which, remove)

    @route("GET", "/domains")
    def list_domains(self, request: Request) -> Answer:
        return _page(request, [{"id": "d1", "name": "acme.inc", "status": "verified"}])

    def refusal(self, request: Request) -> Answer | None:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not given:
            return _failure(401, "missing_api_key", "Missing API Key")
        if self._api_key is not None and given != self._api_key:
            return _failure(403, "invalid_api_key", f"API key is invalid: {given}")
        return None

    def error(self, status: int, message: str) -> Answer:
        return _failure(status, _NAMES.get(status, "internal_server_error"), message)

    def _sent_once(self, request: Request, emails: list[Json], word: Callable[[list[str]], Json]) -> Answer:
        missing = [name for email in emails for name in ("from", "to") if not email.get(name)]
        if missing:
            return self.error(422, f"Missing `{missing[0]}` field.")
        if request.idempotency_key and self._payloads.setdefault(request.idempotency_key, emails) != emails:
            return self.error(409, "Same idempotency key used with a different request payload.")
        return _told(
            word(self.once(request.idempotency_key, lambda: [self._sent(email) for email in emails]))
        )

    def _sent(self, email: Json) -> str:
        sent = {"object": "email", "id": self._new_id(), "last_event": "delivered", **email}
        self.emails.append(sent)
        return sent["id"]

    def _with_contact(self, audience: str, which: str, do: Callable[[Json], Json]) -> Answer:
        for contact in self.contacts[audience].values():
            if which in (contact["id"], contact["email"]):
                return _told(do(contact))
        return self.error(404, "Contact not found")

    def _new_id(self) -> str:
        return f"00000000-0000-4000-8000-{next(self._ids):012}"


def _told(body: Json, status: int = 200) -> Answer:
    return Answer(status, body, {"ratelimit-limit": "10", "ratelimit-remaining": "9", "ratelimit-reset": "1"})


def _page(request: Request, items: list[Json]) -> Answer:
    limit = int(request.query.get("limit", 20))
    return _told({"object": "list", "data": items[:limit], "has_more": len(items) > limit})


def _failure(status: int, name: str, message: str) -> Answer:
    headers = (
        {"ratelimit-remaining": "0", "ratelimit-reset": "2", "retry-after": "2"} if status == 429 else {}
    )
    return Answer(status, {"statusCode": status, "name": name, "message": message}, headers)
