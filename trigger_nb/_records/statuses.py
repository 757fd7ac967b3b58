"""The statuses of a run, computed from the records of the calls on them.

`io.create_status` and each `update` is a task. The `data` of its record holds the arguments that were given:
"label", "state" and "data", and for an update "of", the path of the call that made the status. Statuses need
no other storage: a status is the result of its calls in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from numbers import Real
from typing import Any, cast

from .._clock import to_datetime
from .._keys import display_key, last_segment
from .records import TaskRecord
from .status import TaskStatus

KIND = "status"
STATES = ("loading", "success", "failure")


@dataclass(frozen=True, slots=True)
class StatusUpdate:
    """The content of a status after one call."""

    key: str  # of the call
    label: str
    state: str | None  # "loading", "success", "failure", or None if none was given
    data: Any  # None if none was given
    at: datetime  # in UTC


@dataclass(frozen=True, slots=True)
class StatusInfo:
    """The current content of a status of a run."""

    key: str
    label: str
    state: str | None
    data: Any
    path: str  # of the call that made the status; two in different scopes may have the same key
    history: tuple[StatusUpdate, ...] = field(repr=False)  # all versions up to the current one, oldest first

    @property
    def progress(self) -> float | None:
        """The value of `data["progress"]`, from 0 to 1; None if there is none."""
        return progress_of(self.data)


def progress_of(data: object) -> float | None:
    """The filled part of the progress bar; None if "progress" is not a number from 0 to 1."""
    share = number(cast("Mapping[str, object]", data).get("progress")) if isinstance(data, Mapping) else None
    return share if share is not None and 0 <= share <= 1 else None


def number(value: object) -> float | None:
    """A number of any library as a float; None for any other value."""
    return None if isinstance(value, bool) or not isinstance(value, Real) else float(value)


def status_path(record: TaskRecord) -> str:
    """The path of the call that made the status."""
    of = said(record).get("of")
    return of if isinstance(of, str) else record.path


def said(record: TaskRecord) -> dict[str, Any]:
    """The arguments of a call; empty if the record is malformed."""
    data: object = record.data
    return cast("dict[str, Any]", data) if isinstance(data, dict) else {}


def counts(record: TaskRecord) -> bool:
    """Whether the record is a completed call on a status that is not to run again."""
    return record.kind == KIND and record.status == TaskStatus.COMPLETED and not record.forced


def in_force(calls: Iterable[TaskRecord], met: Callable[[TaskRecord], bool]) -> list[TaskRecord]:
    """The calls that make up one status, in order.

    Once a pass has reached some calls, only these count: a failure reported in the last pass is not a failure
    of this pass.
    """
    made = sorted((record for record in calls if counts(record)), key=lambda record: record.ended)
    return [record for record in made if met(record)] or made


def statuses(
    records: Iterable[TaskRecord], met: Callable[[TaskRecord], bool], data_of: Callable[[TaskRecord], Any]
) -> list[StatusInfo]:
    """The statuses that result from calls, in the order in which they were made; `met` as for `in_force`."""
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
