"""Leaving runs to another process: paused gently, and stored so that a worker continues them by itself."""

from __future__ import annotations

from .._engine.stopping import Stop
from .._records.records import is_queued
from .._records.status import RunStatus
from .runtime import ActiveRun, Runtime


def leave(runtime: Runtime) -> list[ActiveRun]:
    """Begin to leave the runs that are under way in this process: nothing new begins, and bodies in flight end.

    A run that waits stays WAITING. Any other one stays RUNNING, as that of a process that has died, which is what it is to
    others once its lease is released. One that is being stopped already ends as it was told to. Call it on the event loop.
    """
    left = [active for active in runtime.executions.values() if _can_be_left(active)]
    for active in left:  # all before the first is paused, because a pause takes child runs along
        assert active.pass_ is not None
        active.pass_.stopping.left = _left_as(active)
    for active in left:
        active.pause()
    return left


def cut(left: list[ActiveRun]) -> None:
    """End the bodies of runs that are being left, which run again elsewhere."""
    for active in left:
        if active.outcome is None:
            active.stop(Stop.PAUSE)


def _can_be_left(active: ActiveRun) -> bool:
    stopping = None if active.pass_ is None else active.pass_.stopping
    return stopping is not None and stopping.why is None and not stopping.is_pausing


def _left_as(active: ActiveRun) -> tuple[str, str]:
    run = active.run
    if is_queued(run):
        return RunStatus.WAITING, "queued"
    if run.status == RunStatus.WAITING:
        return RunStatus.WAITING, run.reason
    return RunStatus.RUNNING, ""
