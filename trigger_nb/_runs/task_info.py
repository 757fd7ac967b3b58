"""The tasks of a run: finding one by its path, and `TaskInfo`, the form in which users see it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from .. import _values
from .._clock import to_datetime
from .._keys import display_key, display_path, idempotency_key, last_segment
from .._records.records import TaskRecord
from .._records.status import Reason, TaskStatus
from .._values.placeholders import Unstored
from .runtime import Runtime
from .task_paths import NormalPath, TaskPath, find_path


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
        self.path = NormalPath(record.path)
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
            lost = Unstored(display_path(record.path), record.value["type"], record.value["reason"])
            return self._runtime.memory(self._run_id).shown(record.path, record.generation, lost)
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
        return f"<task {display_path(self.path)!r}: {self.status}{why}>"


def task_info(runtime: Runtime, run_id: str, record: TaskRecord) -> TaskInfo:
    """The task of a record."""
    pass_ = runtime.passes.get(run_id)
    reason = None if pass_ is None else pass_.reasons.get(record.path)
    return TaskInfo(runtime, run_id, record, reason)


def find_tasks(runtime: Runtime, run_id: str, paths: Iterable[TaskPath]) -> list[TaskRecord]:
    """The records of tasks. Raises `NotFoundError` if there is none with one of these paths."""
    records = {record.path: record for record in runtime.each_task_record(run_id, running=True)}
    return [find_path(records, run_id, path) for path in paths]


def in_order(records: Sequence[TaskRecord]) -> list[TaskRecord]:
    """The records in the order in which the tasks first started, subtasks after their parents."""
    started = {record.path: record.started for record in records}

    def place(path: str) -> list[int]:
        parts = path.split("/")
        above = ["/".join(parts[: n + 1]) for n in range(len(parts))]
        return [started.get(each, 0) for each in above]

    return sorted(records, key=lambda record: place(record.path))
