"""Starts what is due, once: the lease of a run decides which kernel starts it, and its record that it was started."""

from __future__ import annotations

from typing import Any

from .._records.records import RunRecord
from .._records.status import FINISHED, RunStatus
from .._runs.context import EventData
from .._runs.job_runs import RunRequest
from .._runs.runtime import Runtime
from .._runs.sources import check_own
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


def resume_left(runtime: Runtime, run_id: str, *, is_open: bool) -> bool:
    """Resume a run whose kernel is gone, if it waits for something that has come, or is open: a listener sees to it.

    Whether there is nothing left to do for it: it has gone on here, has ended, or is gone.
    """
    if run_id in runtime.executions:
        return True
    record = runtime.run_record(run_id)
    if record is None or record.status in FINISHED:
        return True
    job = runtime.jobs.get(record.job)
    if job is None or not _may_go_on(record, is_open=is_open):
        return False
    if record.holder is not None and leases.is_held(runtime.store.directory, run_id, record.holder):
        return False
    try:
        check_own(record, job.options, job.fn)
        job._restart(record)
    except (
        RunLockedError,
        RunStateError,
    ):  # another kernel was faster; or it is the run of another file's job
        return False
    return True


def _may_go_on(record: RunRecord, *, is_open: bool) -> bool:
    """Whether a run goes on by itself. One that a person has paused does not."""
    if record.status == RunStatus.WAITING:
        return record.reason != "paused"
    return is_open
