"""The tasks of a run: finding one by its path, and `TaskInfo`, the form in which users see it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

from .. import _values
from .._clock import to_datetime
from .._keys import display_key, display_path, idempotency_key, last_segment
from .._records.feed import Seen
from .._records.records import TaskRecord
from .._records.status import Reason, TaskStatus
from .._values.placeholders import Unstored
from .._values.signed_pickle import Place
from .._view.model.displays import displays_of
from .._view.render.displays import display_text
from .runtime import Runtime
from .task_inputs import TaskInputs, TodaysBody, call_body, inputs_of
from .task_paths import NormalPath, TaskPath, find_path

FindBody: TypeAlias = Callable[[TaskRecord], TodaysBody]


def moment(timestamp: float | None) -> datetime | None:
    """A stored time as a datetime in UTC; None if there is none."""
    return to_datetime(timestamp) if timestamp else None


class ReusedFrom(NamedTuple):
    """Where a reused result comes from: the run whose task's body made it, and when that body ended, in UTC."""

    run_id: str
    path: str
    at: datetime


class TaskInfo:
    """A snapshot of one task of a run."""

    def __init__(
        self,
        runtime: Runtime,
        run_id: str,
        record: TaskRecord,
        reason: Reason | None,
        seen: Seen | None,
        find_body: FindBody,
    ) -> None:
        self._find_body = find_body
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
        # What has changed since the result was stored, as of the last pass of this kernel, such as "code: global PROMPT",
        # and the sources of that before and now, as a unified diff; "" for nothing.
        self.changed = "" if seen is None else seen.difference
        self.diff = "" if seen is None else seen.diff
        # When a person set the result, with `run.set_output`; None if the body returned it.
        self.set_by_hand = moment(record.by_hand)

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
        return output_of(self._runtime, self._run_id, self._whole)

    @property
    def error(self) -> BaseException | None:
        """The error of the task or of its last attempt; None if there is none."""
        return None if self._record.error is None else _values.error_or_stand_in(self._record.error)

    @property
    def inputs(self) -> TaskInputs:
        """The arguments that the body was called with, as objects: `inputs.args`, and `inputs.kwargs` of an integration.

        Those of failed tasks are kept, up to 1 MB; with `keep_inputs=True` on a task, map, job or client, those of all tasks.

        Raises `InputsNotKeptError`, which says why they were not kept and what to type; and `ValueNotLoadedError` or
        `StoreError` if they cannot be read.

        >>> run.task(["summarize", "report.pdf"]).inputs.args  # doctest: +SKIP
        ('report.pdf',)
        """
        return inputs_of(self._runtime, self._run_id, self._record)

    def call(self) -> Any:
        """Call the body on the kept arguments, as the code is now, and return what it returns. Nothing is recorded.

        The call happens in this cell, also of a task with an executor: `breakpoint()` stops in the body, and `%debug` after
        an error looks into it. `await` the call of an `async def` body. `retry=`, `timeout=`, `check=` and `returns=` do
        not apply. A parameter `task` has the idempotency key of the recorded task.

        Raises `InputsNotKeptError`; `NotFoundError` if the body cannot be found, such as a function inside of another body
        in a new kernel; `UsageError` for a body that takes `io`; and the error of the body.

        >>> run.task(["summarize", "report.pdf"]).call()  # doctest: +SKIP
        'Sales rose.'
        """
        inputs = self.inputs
        run = self._runtime.require_run(self._run_id)
        return call_body(run, self._record, self._find_body(self._record), inputs)

    @property
    def prints(self) -> str:
        """The text that the task has printed and logged; of a long text, the beginning and the end."""
        return "".join(text for _, text, *_ in self._record.prints)

    @property
    def shown(self) -> str:
        """What the details show of the result, and what the body showed with `task.show`, as text; "" for nothing.

        It is kept beside the result, so no value is decoded. Of pictures there is only a name.

        >>> print(run.task("load").shown)  # doctest: +SKIP
        DataFrame 200 × 2
           id  name
        int64  str
            1  Ana
            2  Bo
        … 198 more rows
        """
        return "\n\n".join("\n".join(display_text(each)) for each in displays_of(self._whole))

    @property
    def _whole(self) -> TaskRecord:
        return self._runtime.whole(self._run_id, self._record)

    @property
    def reused_from(self) -> ReusedFrom | None:
        """The run and the task that the result was taken over from, and when its body had ended; None if it is its own."""
        return reused_from(self._record)

    @property
    def duration(self) -> float | None:
        """Seconds from the first start to the end; None before the end."""
        record = self._record
        return None if record.ended_at is None else max(0.0, record.ended_at - record.started_at)

    def __repr__(self) -> str:
        why = f", {self.reason}" if self.reason else ""
        return f"<task {display_path(self.path)!r}: {self.status}{why}>"


def output_of(runtime: Runtime, run_id: str, record: TaskRecord) -> Any:
    """The stored result of a completed task, from its whole record. Raises `ValueNotLoadedError` or `StoreError`."""
    if record.form == "unstored":
        lost = Unstored(display_path(record.path), record.value["type"], record.value["reason"])
        return runtime.memory(run_id).shown(record.path, record.generation, lost)
    place = Place(run_id, record.path, record.generation) if record.codec == "pickle" else None
    return _values.load(record.form, record.value, runtime.store.blobs(run_id), place=place)


def reused_from(record: TaskRecord) -> ReusedFrom | None:
    """Where the result of a task was taken over from; None if it is its own."""
    origin = record.reused_from
    if not origin:
        return None
    return ReusedFrom(origin["run"], display_path(origin["path"]), to_datetime(record.made_at))


def task_info(runtime: Runtime, run_id: str, record: TaskRecord, find_body: FindBody) -> TaskInfo:
    """The task of a record. `find_body` finds the body that it would call now."""
    pass_ = runtime.passes.get(run_id)
    reason = None if pass_ is None else pass_.reasons.get(record.path)
    seen = None if pass_ is None else pass_.sighting(record.path, reason or Reason.REPLAYED)
    return TaskInfo(runtime, run_id, record, reason, seen, find_body)


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
