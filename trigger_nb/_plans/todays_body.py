"""The body that a task of a stored run would call now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._fingerprint.fingerprints import Fingerprints, differs, resolve
from .._keys import ancestors, display_path, parent_path
from .._records.records import FAN_OUT, RunRecord, TaskRecord
from .._runs.sources import check_own
from .._runs.task_inputs import TodaysBody, not_found, refuse_io
from ..errors import NotFoundError, TriggerError
from .rehearsal import rehearse

if TYPE_CHECKING:
    from .._runs.runtime import Runtime

PATIENCE = 1.0  # seconds that code between tasks may take where it depends on a result, as in `job.plan`


def todays_body(runtime: Runtime, run_id: str, record: TaskRecord) -> TodaysBody:
    """The body that the task would call now. Raises `NotFoundError`.

    It is looked for in three places, the surest first: in a rehearsal of the job, which comes to the call itself; under the
    name that the record has; and in the last pass of this kernel, unless the code around the task has changed since. A
    rehearsal calls no bodies, so that it does not come to subtasks.
    """
    run = runtime.require_run(run_id)
    around = ancestors(record.path)
    is_met = not any(_is_body(runtime, run_id, path) for path in around)
    if is_met and (met := _met(runtime, run, record)) is not None:
        return met
    if (named := resolve(record.body)) is not None and callable(named):
        return TodaysBody(named)
    pass_ = runtime.passes.get(run_id)
    kept = None if pass_ is None else pass_.failed_bodies.get(record.path)
    if kept is None:
        raise NotFoundError(not_found(record, _why(runtime, run, record, is_met=is_met)))
    for path in around:
        if _has_changed(runtime, run_id, path):
            outer = display_path(path)
            raise NotFoundError(
                not_found(
                    record,
                    f"it is made in the body of {outer!r}, whose code has changed since. Run that again with run.retry(), or "
                    "make the body a function of the notebook or of a module",
                )
            )
    return TodaysBody(*kept)


def _met(runtime: Runtime, run: RunRecord, record: TaskRecord) -> TodaysBody | None:
    """The body at the task's call, to which a rehearsal of the job comes; None if it does not."""
    job = runtime.jobs.get(run.job)
    if job is None:
        return None
    check_own(run, job.options, job.fn)
    try:
        spec, again = job._again(run)
        dry = rehearse(runtime, spec, again, PATIENCE, sought=record.path)
    except TriggerError:  # a stored result cannot be read: the other places are left
        return None
    dry.replay = refuse_io(record)
    return None if dry.found is None else TodaysBody(dry.found.body, dry.found.service)


def _is_body(runtime: Runtime, run_id: str, path: str) -> bool:
    """Whether subtasks of this task are calls of its body, as far as is known: a map is recorded when it ends."""
    found = runtime.stored_task(run_id, path)
    return found is not None and found.kind not in FAN_OUT


def _has_changed(runtime: Runtime, run_id: str, path: str) -> bool:
    """Whether the code of a task around is certainly another one than when it ran."""
    found = runtime.stored_task(run_id, path)
    if found is None or found.kind in FAN_OUT:
        return False
    try:
        body = todays_body(runtime, run_id, found).body
    except NotFoundError:
        return False
    return differs(found.code, Fingerprints().of(body))


def _why(runtime: Runtime, run: RunRecord, record: TaskRecord, *, is_met: bool) -> str:
    if run.job not in runtime.jobs:
        return f"job {run.job!r} is not defined in this kernel. Run the cell that defines it, then try again"
    if not is_met:
        outer = display_path(parent_path(record.path))
        return (
            f"it exists only while the body of {outer!r} runs, and did not run in this kernel. Run it with run.retry() first, or "
            "make the body a function of the notebook or of a module"
        )
    return f"job {run.job!r}, as it is now, does not come to this task. run.task(path).inputs has the arguments for a call of your own"
