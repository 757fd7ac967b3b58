"""`TaskInfo`: a task of a run, as users see it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from .. import _values
from .._clock import to_datetime
from .._keys import display_key, display_path, idempotency_key, last_segment
from .._records.records import TaskRecord
from .._records.status import Reason, TaskStatus
from .._values.placeholders import Unstored
from .runtime import Runtime


def moment(timestamp: float | None) -> datetime | None:
    """A stored time as a datetime in UTC; None if there is none."""
    return to_datetime(timestamp) if timestamp else None


class TaskInfo:
    """A snapshot of one task of a run."""

    def __init__(self, runtime: Runtime, run_id: str, record: TaskRecord, reason: Reason | None) -> None:
        self._runtime = runtime
        self._run_id = run_id
        self._record = record
        # Why the task ran or was replayed in this kernel's latest pass; None if the pass did not reach it.
        self.reason = reason
        self.path = record.path
        self.key = display_key(last_segment(record.path))
        self.status = TaskStatus(record.status)
        self.kind = record.kind
        self.attempt = record.attempt
        self.generation = record.generation
        self.name = record.name or self.key
        self.icon = record.icon
        self.level = record.level
        self.data = record.data
        self.params = record.params
        self.properties = record.properties
        self.output_properties = record.output_properties
        self.started_at = moment(record.started_at)
        self.ended_at = moment(record.ended_at)
        self.next_at = moment(record.next_at)

    @property
    def idempotency_key(self) -> str:
        """The token that the task passes to outside services."""
        return idempotency_key(self._run_id, self.path, self.generation)

    @property
    def output(self) -> Any:
        """The stored result; None if there is none yet.

        A long result is read on access. Raises `CorruptRecordError` if it does not exist any more.
        """
        if self.status != TaskStatus.COMPLETED:
            return None
        record = self._runtime.whole(self._run_id, self._record)
        if record.form == "unstored":
            live = self._runtime.memory(self._run_id).live
            lost = Unstored(display_path(record.path), record.value["type"], record.value["reason"])
            return live.get((record.path, record.generation), lost)
        return _values.load(record.form, record.value, self._runtime.store.blobs(self._run_id))

    @property
    def error(self) -> BaseException | None:
        """The error of the task or of its last attempt; None if there is none."""
        return None if self._record.error is None else _values.decode_error(self._record.error)

    @property
    def prints(self) -> str:
        """The text that the task has printed and logged; of a long text, the beginning and the end."""
        return "".join(text for _, text in self._record.prints)

    @property
    def duration(self) -> float | None:
        """Seconds from the first start to the end; None before the end."""
        record = self._record
        return None if record.ended_at is None else max(0.0, record.ended_at - record.started_at)

    def __repr__(self) -> str:
        why = f", {self.reason}" if self.reason else ""
        return f"<task {self.path!r}: {self.status}{why}>"
