"""The record of an event, and what a run gets of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from .. import _values
from .._clock import to_datetime
from .._records.base import Record
from ..errors import CorruptRecordError

if TYPE_CHECKING:
    from .._store.protocol import Store


class EventRecord(Record):
    """The record of an event. Times are UTC seconds since the epoch."""

    _beside = frozenset({"id", "is_damaged"})
    _statuses = frozenset({""})

    id: str = ""
    status: str = ""  # no field of it: an event's status follows from its times
    name: str = ""
    timestamp: float = 0.0
    context: Any = None
    source: str | None = None
    payload_form: str = ""
    payload: Any = None
    keys: int = 0  # as in a run's record
    is_test: bool = False
    deliver_at: float | None = None
    delivered_at: float | None = None  # None also in the records of versions that delivered at once
    canceled_at: float | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether it is to be delivered later."""
        return self.deliver_at is not None and self.delivered_at is None and self.canceled_at is None

    @property
    def ended_at(self) -> float:
        """When it was delivered or canceled."""
        return self.canceled_at or self.delivered_at or self.timestamp

    @property
    def state(self) -> str:
        """The event's status: "waiting" for its time, "canceled" or "delivered"."""
        return "canceled" if self.canceled_at is not None else "waiting" if self.is_waiting else "delivered"

    def data(self) -> dict[str, Any]:
        """The event as the record of a run has it."""
        found: dict[str, Any] = {"id": self.id, "name": self.name, "timestamp": self.timestamp}
        more = {"context": self.context, "source": self.source}
        return found | {key: value for key, value in more.items() if value is not None}


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """An event that a run has waited for: the result of `io.wait_for_event`.

    `payload` is validated by the `schema` of the wait, and `timestamp` is the time of the event.

    ```
    event = await io.wait_for_event("paid", "order.paid", filter={"order": [payload["id"]]}, timeout=86_400)
    await io.run_task("ship", ship, event.payload["order"])
    ```
    """

    id: str
    name: str
    payload: Any
    context: Any = None
    source: str | None = None
    timestamp: datetime | None = None


def read_event(store: Store, event_id: str) -> EventRecord | None:
    """The record of an event; None if there is none, or if it cannot be read."""
    text = store.get(f"event/{event_id}")
    if text is None:
        return None
    try:
        record = EventRecord.loads(text)
    except CorruptRecordError:
        return None
    record.id = event_id
    return record


def payload_of(store: Store, record: EventRecord) -> Any:
    """The payload of an event. Raises `ValueNotLoadedError` and `StoreError`."""
    return _values.load(record.payload_form, record.payload, store.blobs(record.id))


def received(
    record: EventRecord, payload: Any, fit: Callable[[Any], Any] = lambda payload: payload
) -> ReceivedEvent:
    """What a run gets of an event. `fit` validates the payload."""
    at = to_datetime(record.timestamp)
    return ReceivedEvent(record.id, record.name, fit(payload), record.context, record.source, at)
