"""What is done with requests: each is recorded in the store, in one transaction, before it is answered.

All of it is called in worker threads of the server, and needs no event loop of a kernel: a cell that blocks the kernel's
loop delays no answer.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast
from uuid import uuid4

from .._clock import to_seconds, to_timestamp
from .._events.addresses import Addresses
from .._events.records import EventRecord
from .._events.requests import Received, receive
from .._keys import hashed
from .._redact import secrets
from .._runs.runtime import Runtime
from .._values.codec import dump_or_describe
from ..endpoints import HttpEndpoint, HttpRequest
from ..errors import InvalidOptionError, InvalidPayloadError, InvalidSignatureError, MissingCredentialError
from .reading import Refused, json_of

logger = logging.getLogger("trigger_nb")
_EVENT = frozenset(
    {"id", "name", "payload", "context", "source", "timestamp", "deliver_at", "deliver_after", "is_test"}
)
_MOST_EVENTS = 1000  # in one request
_LONGEST = 500  # characters of a name or an id
_LATEST = 253_402_300_799.0  # the end of the year 9999, which is the last one


class Inbox:
    """The store, as requests see it. Methods raise `Refused` and `StoreError`."""

    def __init__(self, runtime: Runtime, token: str | None) -> None:
        self.runtime = runtime
        self.addresses = Addresses(runtime.store)
        self.token = token or self.addresses.token("events")  # it sends events
        secrets.add(self.token)

    # Events -------------------------------------------------------------------------------------------

    def events(self, body: bytes, key: str) -> list[EventRecord]:
        """The events of a request, to be sent. `key` is its `Idempotency-Key`: a second request with it sends nothing again."""
        given = json_of(body)
        many = cast("list[Any]", given) if isinstance(given, list) else [given]
        if not many or len(many) > _MOST_EVENTS:
            raise Refused(400, f"the body is an event, or a list of up to {_MOST_EVENTS}")
        records = [
            self._event(each, f"{key}-{at}" if key and len(many) > 1 else key) for at, each in enumerate(many)
        ]
        return [self._ready(*each) for each in records]

    def _event(self, given: Any, key: str) -> tuple[EventRecord, Any]:
        """The record of an event, and its payload. Raises `Refused` if a job of this kernel cannot take it."""
        if not isinstance(given, dict):
            raise Refused(400, 'an event is an object: {"name": "user.created", "payload": {...}}')
        data = cast("dict[str, Any]", given)
        unknown = sorted(data.keys() - _EVENT)
        if unknown:
            raise Refused(400, f"an event has no {unknown[0]!r}; it has {', '.join(sorted(_EVENT))}")
        name, now = data.get("name"), self.runtime.clock.time()
        if not isinstance(name, str) or not name or len(name) > _LONGEST:
            raise Refused(
                400, f'an event has a "name": text of up to {_LONGEST} characters, such as "user.created"'
            )
        for field in ("id", "source"):
            value = data.get(field)
            if value is not None and (not isinstance(value, str) or not value or len(value) > _LONGEST):
                raise Refused(400, f'the "{field}" of an event is text of up to {_LONGEST} characters')
        is_test = data.get("is_test", False)
        if not isinstance(is_test, bool):
            raise Refused(400, '"is_test" is true or false')
        event_id = data.get("id") or (hashed("evt_", "key", name, key) if key else f"evt_{uuid4().hex}")
        record = EventRecord(
            id=event_id,
            name=name,
            timestamp=round(self._time(data, "timestamp") or now, 3),
            context=data.get("context"),
            source=data.get("source"),
            is_test=is_test,
            deliver_at=self._due(data, now),
        )
        self._check(record, data.get("payload"))
        return record, data.get("payload")

    def _due(self, data: Mapping[str, Any], now: float) -> float | None:
        after = data.get("deliver_after")
        at = self._time(data, "deliver_at")
        if after is None:
            return at
        if at is not None:
            raise Refused(400, 'an event has "deliver_at" or "deliver_after": one of the two')
        try:
            return _at_most(round(now + to_seconds(after, "deliver_after"), 3))
        except (InvalidOptionError, ValueError) as error:
            raise Refused(400, str(error)) from None

    def _time(self, data: Mapping[str, Any], field: str) -> float | None:
        text = data.get(field)
        if text is None:
            return None
        try:
            return _at_most(round(to_timestamp(datetime.fromisoformat(text), field), 3))
        except (TypeError, ValueError, OverflowError):
            raise Refused(
                400, f'"{field}" is a time with a zone, such as "2026-12-01T09:00:00Z"; not {text!r:.100}'
            ) from None

    def _check(self, record: EventRecord, payload: Any) -> None:
        """Refuse a payload that does not fit a job of this kernel, which would start no run."""
        for job in list(self.runtime.jobs.values()):
            if job.enabled and job.trigger.matches(record.name, payload, record.source, record.context):
                try:
                    job.trigger.parse(payload)
                except InvalidPayloadError as error:
                    raise Refused(422, str(error)) from None

    def _ready(self, record: EventRecord, payload: Any) -> EventRecord:
        record.payload_form, record.payload = dump_or_describe(payload, self.runtime.store.blobs(record.id))
        record.keys = 1
        return record

    # Endpoints ----------------------------------------------------------------------------------------

    def endpoint(self, name: str, token: str) -> HttpEndpoint:
        """The endpoint of an address."""
        if not self.addresses.opens(token, "endpoint", name):
            raise Refused(404, "there is no such address")
        endpoint = self.runtime.endpoints.get(name)
        if endpoint is None:  # its sender tries again
            raise Refused(
                503, f"endpoint {name!r} is not defined in the process that serves it", retry_after="60"
            )
        return endpoint

    def verify(self, endpoint: HttpEndpoint, headers: Mapping[str, str], body: bytes) -> None:
        """Check the signature of a request."""
        if not hasattr(endpoint.verify, "check"):
            return
        try:
            cast("Any", endpoint.verify).check(headers, body, self.runtime.clock.time())
        except InvalidSignatureError as error:
            raise Refused(401, str(error)) from None
        except MissingCredentialError as error:
            logger.warning("a request to endpoint %r was not taken: %s", endpoint.id, error)
            raise Refused(
                503,
                f"endpoint {endpoint.id!r} has no secret to check signatures with: the server's log names it",
            ) from None

    def request(
        self, endpoint: HttpEndpoint, request: HttpRequest, headers: Mapping[str, str]
    ) -> EventRecord:
        """The event of a request to an endpoint: the same one for a delivery that comes again."""
        given = ""
        if hasattr(endpoint.verify, "delivery"):
            given = cast("Any", endpoint.verify).delivery(headers, request.body)
        given = given or headers.get("webhook-id", "") or headers.get("idempotency-key", "")
        event_id = hashed("evt_", endpoint.event, given[:_LONGEST]) if given else f"evt_{uuid4().hex}"
        now = round(self.runtime.clock.time(), 3)
        record = EventRecord(id=event_id, name=endpoint.event, timestamp=now, source=endpoint.source)
        payload = request.data()
        self._check(record, payload)
        return self._ready(record, payload)

    # Requests that runs wait for ----------------------------------------------------------------------

    def callback(self, run_id: str, token: str, body: bytes) -> Received:
        """Record a request to the address of a wait."""
        value = json_of(body) if body else None
        record = self.runtime.run_record(run_id)
        found = Received.UNKNOWN
        if record is not None:
            now = self.runtime.clock.time()
            found = receive(self.runtime.store, self.runtime.post, record, token, value, now)
        match found:
            case Received.UNKNOWN:
                raise Refused(404, "there is no such address")
            case Received.OVER:
                raise Refused(410, "the run that had this address has ended: nobody waits for this request")
            case Received.LATE:
                raise Refused(409, "another request has come to this address before: the first one counts")
            case _:
                return found


def _at_most(when: float) -> float:
    if not 0 <= when <= _LATEST:
        raise ValueError("it is later than any date")
    return when
