"""Runs begin here: a pass of a run begins in this kernel, or the one that is under way is joined."""

from __future__ import annotations

from .._records.records import RunRecord
from .execution import Execution
from .run_spec import RunSpec
from .runtime import ActiveRun, Runtime


def start(runtime: Runtime, spec: RunSpec, run: RunRecord) -> ActiveRun:
    """Begin a pass of a run, or join the pass that is under way (I7). Call it on the event loop.

    Raises `RunLockedError` and other store errors; then nothing has begun.
    """
    active = runtime.executions.get(run.id)
    if active is not None:
        active.join(spec, run.code)
        return active
    execution = Execution(runtime, spec, run)
    with runtime.guard:
        runtime.executions[run.id] = execution
    try:
        execution.begin()
    except BaseException:
        del runtime.executions[run.id]
        raise
    return execution
