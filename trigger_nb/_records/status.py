"""Statuses, reasons, and the table of operations on runs."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import StrEnum
from typing import Any, Literal, TypeAlias

from ..errors import InvalidOptionError


class TaskStatus(StrEnum):
    """The status of a task."""

    PENDING = "PENDING"
    WAITING = "WAITING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    ERRORED = "ERRORED"
    CANCELED = "CANCELED"


class RunStatus(StrEnum):
    """The status of a run. WAITING has a reason: "wait", "retry", "answer", "queued" or "paused"; RUNNING may have
    "pausing"."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    WAITING = "WAITING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"
    INTERRUPTED = "INTERRUPTED"


# The statuses of a run that will not go on by itself.
FINISHED = (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELED)
StatusOption: TypeAlias = RunStatus | str | Iterable[RunStatus | str] | None


class Reason(StrEnum):
    """The reason why a task's body was called in a pass, or was not (rule R7)."""

    NEW = "new"
    REPLAYED = "replayed"
    CHANGED = "changed"
    RETRIED = "retried"
    INTERRUPTED = "interrupted"
    FORCED = "forced"
    LOST_VALUE = "lost value"
    ADOPTED = "adopted"
    REUSED = "reused"
    EXPIRED = "expired"


Operation = Literal[
    "start",
    "cancel",
    "pause",
    "resume",
    "retry",
    "rerun_from",
    "fork",
    "set_output",
    "accept",
    "skip_wait",
    "answer",
    "delete",
]
_S = RunStatus
# Of an operation that leaves the status as it is, on a run that is not under way.
_AT_REST: dict[RunStatus, RunStatus | str] = {
    **{status: status for status in _S},
    _S.RUNNING: "it is under way; pause() it first",
}
# By operation and status: the resulting status, or the reason why the operation is refused. Methods, buttons,
# tests and docs use this table. "start" means running the cell again.
OPERATIONS: dict[Operation, dict[RunStatus, RunStatus | str]] = {
    "start": {
        _S.PENDING: _S.RUNNING,
        _S.RUNNING: _S.RUNNING,
        _S.WAITING: _S.RUNNING,
        _S.COMPLETED: _S.RUNNING,
        _S.FAILED: _S.RUNNING,
        _S.CANCELED: _S.RUNNING,
        _S.INTERRUPTED: _S.RUNNING,
    },
    "cancel": {
        _S.PENDING: _S.CANCELED,
        _S.RUNNING: _S.CANCELED,
        _S.WAITING: _S.CANCELED,
        _S.COMPLETED: "it has completed",
        _S.FAILED: _S.CANCELED,
        _S.CANCELED: _S.CANCELED,
        _S.INTERRUPTED: _S.CANCELED,
    },
    "pause": {
        _S.PENDING: _S.WAITING,
        _S.RUNNING: _S.WAITING,
        _S.WAITING: _S.WAITING,
        _S.COMPLETED: "it has completed",
        _S.FAILED: "it has failed",
        _S.CANCELED: "it is canceled",
        _S.INTERRUPTED: _S.WAITING,
    },
    "resume": {
        _S.PENDING: _S.RUNNING,
        _S.RUNNING: _S.RUNNING,
        _S.WAITING: _S.RUNNING,
        _S.COMPLETED: "it has completed; rerun_from(path) runs a part again",
        _S.FAILED: "it has failed; retry() runs what failed again",
        _S.CANCELED: _S.RUNNING,
        _S.INTERRUPTED: _S.RUNNING,
    },
    "retry": {
        _S.PENDING: _S.RUNNING,
        _S.RUNNING: "it is under way",
        _S.WAITING: _S.RUNNING,
        _S.COMPLETED: _S.RUNNING,
        _S.FAILED: _S.RUNNING,
        _S.CANCELED: _S.RUNNING,
        _S.INTERRUPTED: _S.RUNNING,
    },
    "rerun_from": {
        _S.PENDING: _S.RUNNING,
        _S.RUNNING: _S.RUNNING,
        _S.WAITING: _S.RUNNING,
        _S.COMPLETED: _S.RUNNING,
        _S.FAILED: _S.RUNNING,
        _S.CANCELED: _S.RUNNING,
        _S.INTERRUPTED: _S.RUNNING,
    },
    "fork": _AT_REST,
    "set_output": {status: status for status in _S},
    "accept": _AT_REST,
    "skip_wait": {
        _S.PENDING: "it has not begun",
        _S.RUNNING: _S.RUNNING,
        _S.WAITING: _S.WAITING,
        _S.COMPLETED: "it has completed",
        _S.FAILED: _S.FAILED,
        _S.CANCELED: _S.CANCELED,
        _S.INTERRUPTED: _S.INTERRUPTED,
    },
    "answer": {
        _S.PENDING: "it has not begun",
        _S.RUNNING: _S.RUNNING,
        _S.WAITING: _S.WAITING,
        _S.COMPLETED: "it has completed",
        _S.FAILED: _S.FAILED,
        _S.CANCELED: _S.CANCELED,
        _S.INTERRUPTED: _S.INTERRUPTED,
    },
    "delete": {
        _S.PENDING: _S.PENDING,
        _S.RUNNING: "it is under way; cancel() it first",
        _S.WAITING: _S.WAITING,
        _S.COMPLETED: _S.COMPLETED,
        _S.FAILED: _S.FAILED,
        _S.CANCELED: _S.CANCELED,
        _S.INTERRUPTED: _S.INTERRUPTED,
    },
}


def counts_beside(status: str, inside: Collection[str]) -> bool:
    """Whether a task counts beside its subtasks, which have these statuses. So a subtask's failure is one failure."""
    if not inside:
        return True
    if status in _UNDER_WAY:
        return _UNDER_WAY.isdisjoint(inside)
    return status not in (TaskStatus.COMPLETED, *inside)


_UNDER_WAY = frozenset({TaskStatus.RUNNING, TaskStatus.WAITING, TaskStatus.PENDING})


def _status(status: RunStatus | str) -> RunStatus:
    try:
        return RunStatus(status)
    except ValueError:
        known = ", ".join(RunStatus)
        raise InvalidOptionError(f"the status of a run is one of {known}, not {status!r}") from None


def statuses(given: RunStatus | str | Iterable[RunStatus | str]) -> tuple[RunStatus, ...]:
    """The statuses of runs that an option names, one or several. Raises `InvalidOptionError`."""
    try:
        named: list[Any] = [given] if isinstance(given, str) else list(given)
    except TypeError:
        named = [given]
    return tuple(map(_status, named))
