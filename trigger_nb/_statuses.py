"""The statuses of a run, read off the records of the calls that made them.

`io.create_status` and each `update` is a task, with what it said in its record's `data`: "label", "state" and
"data", each only if it was given, and in an update "of", the path of the call that made the status. So a
status needs no storage of its own: it is what its calls have said, in their order, the later over the earlier.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from numbers import Real
from typing import Any, cast

from ._clock import to_datetime
from ._keys import display_key, last_segment
from ._records import TaskRecord, TaskStatus

KIND = "status"
STATES = ("loading", "success", "failure")


@dataclass(frozen=True, slots=True)
class StatusUpdate:
    """How a status stood from one call on."""

    key: str  # of that call
    label: str
    state: str | None  # "loading", "success", "failure", or None: it was given none
    data: Any  # what was given with it; None: nothing
    at: datetime  # in UTC


@dataclass(frozen=True, slots=True)
class StatusInfo:
    """A status of a run, as it stands."""

    key: str
    label: str
    state: str | None
    data: Any
    path: str  # of the call that made it: two in different scopes may have the same key
    history: tuple[StatusUpdate, ...] = field(repr=False)  # how it stood before, and stands, oldest first

    @property
    def progress(self) -> float | None:
        """Its `data["progress"]`, a share from 0 to 1; None when there is none."""
        return progress_of(self.data)


def progress_of(data: Any) -> float | None:
    """The share that a bar is drawn for; None when the data has no number from 0 to 1 there."""
    share = number(cast("Mapping[str, Any]", data).get("progress")) if isinstance(data, Mapping) else None
    return share if share is not None and 0 <= share <= 1 else None


def number(value: Any) -> float | None:
    """A number, whichever library's it is; None of anything else."""
    return None if isinstance(value, bool) or not isinstance(value, Real) else float(value)


def status_path(record: TaskRecord) -> str:
    """The path of the call that made the status of which this is a record."""
    of = said(record).get("of")
    return of if isinstance(of, str) else record.path


def said(record: TaskRecord) -> dict[str, Any]:
    """What a call has said; tolerant of what older or foreign writers left."""
    data: Any = record.data
    return cast("dict[str, Any]", data) if isinstance(data, dict) else {}


def counts(record: TaskRecord) -> bool:
    """Whether it is a call that has been made, and was not forgotten since."""
    return record.kind == KIND and record.status == TaskStatus.COMPLETED and not record.forced


def in_force(calls: Iterable[TaskRecord], met: Callable[[TaskRecord], bool]) -> list[TaskRecord]:
    """The calls that make up one status, in their order.

    Once a pass has met some of them, those that it has not come to count no more: a failure that the last
    pass told is not one of this pass.
    """
    made = sorted((record for record in calls if counts(record)), key=lambda record: record.ended)
    return [record for record in made if met(record)] or made


def statuses(
    records: Iterable[TaskRecord], met: Callable[[TaskRecord], bool], data_of: Callable[[TaskRecord], Any]
) -> list[StatusInfo]:
    """The statuses that these calls make, in the order in which they were made; `met` as for `in_force`."""
    calls: dict[str, list[TaskRecord]] = {}
    for record in sorted(records, key=lambda record: record.ended):
        calls.setdefault(status_path(record), []).append(record)
    found: list[StatusInfo] = []
    for path, each in calls.items():
        made = in_force(each, met)
        history = tuple(_history(path, made, data_of))
        last = history[-1]
        key = display_key(last_segment(path))
        found.append(StatusInfo(key, last.label, last.state, last.data, path, history))
    return found


def _history(
    path: str, made: Iterable[TaskRecord], data_of: Callable[[TaskRecord], Any]
) -> Iterator[StatusUpdate]:
    label, state, data = display_key(last_segment(path)), None, None
    for record in made:
        given = said(record)
        label, state = given.get("label", label), given.get("state", state)
        data = data_of(record) if "data" in given else data
        at = to_datetime(record.ended_at or record.started_at)
        yield StatusUpdate(display_key(last_segment(record.path)), label, state, data, at)
