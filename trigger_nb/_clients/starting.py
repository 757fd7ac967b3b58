"""Starts what is due, once: the lease of a run decides which kernel starts it, and its record that it was started."""

from __future__ import annotations

from enum import Enum
from typing import Any

from .._records.records import RunRecord
from .._records.status import FINISHED, RunStatus
from .._runs.context import EventData
from .._runs.job_runs import RunRequest
from .._runs.resuming import resume
from .._runs.runtime import Runtime
from .._store import lease as leases
from ..errors import RunLockedError, RunStateError
from ..job import AnyJob


def start_once(
    runtime: Runtime, job: AnyJob, run_id: str, payload: Any, event: EventData, *, is_test: bool = False
) -> bool:
    """Start a run, unless there is one; whether it was started here.

    Raises `RunLockedError` if another kernel is about to start it, or drives it, `InvalidPayloadError`, and other store errors.
    """
    if run_id in runtime.executions or runtime.holds_lease(run_id):
        return False
    runtime.take_lease(RunRecord(id=run_id))
    try:
        # Under the lease: whoever had it before has written the record, or has died before that.
        if runtime.store.get(f"run/{run_id}") is not None:
            return False
        request = RunRequest(payload=payload, run_id=run_id, is_test=is_test, event=event)
        job._start(request, display=False)
    finally:
        if run_id not in runtime.executions:
            runtime.release_lease(run_id)
    return True


class Left(Enum):
    """What has become of a run that waits, or that a listener sees to."""

    HERE = "it was under way in this kernel"
    RESUMED = "it goes on in this kernel"
    OVER = "it has ended, or is gone"
    LEFT = "another kernel drives it, or has its job; or a person has paused it"


def resume_left(runtime: Runtime, run_id: str, *, is_open: bool) -> Left:
    """Resume a run whose kernel is gone, if its wait is over, or it is open: a listener sees to it, or it has got an event.

    Raises the errors of a start.
    """
    if run_id in runtime.executions:
        return Left.HERE
    record = runtime.run_record(run_id)
    if record is None or record.status in FINISHED:
        return Left.OVER
    if record.job not in runtime.jobs or not _may_go_on(record, is_open=is_open):
        return Left.LEFT
    if record.holder is not None and leases.is_held(runtime.store.directory, run_id, record.holder):
        return Left.LEFT
    try:
        execution = resume(runtime, record, lambda run: _may_go_on(run, is_open=is_open))
    except (
        RunLockedError,
        RunStateError,
    ):  # another kernel was faster; or it is the run of another file's job
        return Left.LEFT
    return Left.LEFT if execution is None else Left.RESUMED


def _may_go_on(record: RunRecord, *, is_open: bool) -> bool:
    """Whether a run goes on by itself. One that a person has paused does not."""
    if record.status == RunStatus.WAITING:
        return record.reason != "paused"
    return is_open and record.status not in FINISHED
