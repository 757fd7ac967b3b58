"""The title, the state, the status text and the duration of a run, from its record."""

from __future__ import annotations

from collections.abc import Mapping

from ..._records.records import RunRecord, is_queued
from ..._records.status import RunStatus
from .rows import State

_STATES: Mapping[str, State] = {
    RunStatus.COMPLETED: State.COMPLETED,
    RunStatus.FAILED: State.FAILED,
    RunStatus.RUNNING: State.RUNNING,
    RunStatus.WAITING: State.WAITING,
    RunStatus.PENDING: State.PENDING,
    RunStatus.CANCELED: State.CANCELED,
    RunStatus.INTERRUPTED: State.UNFINISHED,
}
ENDED = frozenset({RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELED, RunStatus.INTERRUPTED})


def run_state(record: RunRecord) -> State:
    """The state whose shape and colour show the run's status."""
    return _STATES[RunStatus(record.status)]


def status_text(record: RunRecord) -> str:
    """The run's status, with the reason if the status alone is not clear: `WAITING (paused)`."""
    return record.status + (f" ({record.reason})" if record.reason not in ("", "wait") else "")


def run_title(run: RunRecord) -> str:
    """The name of the job, or its id."""
    return run.name or run.job or run.id


def job_and_version(run: RunRecord) -> str:
    """The job's id and version, without a part that is in the title or is the default."""
    version = run.version if run.version != "0" else ""
    return f"{run.job if run.job != run_title(run) else ''} {version}".strip()


def run_seconds(run: RunRecord, now: float | None) -> float | None:
    """The run's duration in seconds, up to `now` if given; None if the run has not begun or was cut off."""
    if run.started_at is None:
        return None
    if now is not None and not is_queued(run):
        began = run.began_at if run.began_at is not None else run.started_at
        return max(0.0, run.worked + now - began)
    if run.worked:
        return run.worked
    return max(0.0, run.finished_at - run.started_at) if run.finished_at is not None else None
