"""Leaving runs to another process: paused gently, and stored so that a worker continues them by itself."""

from __future__ import annotations

from collections.abc import Collection

from .._engine.stopping import Stop
from .._records.records import is_queued
from .._records.status import RunStatus
from .runtime import ActiveRun, Runtime


def leave(runtime: Runtime, which: Collection[ActiveRun] | None = None) -> list[ActiveRun]:
    """Begin to leave the runs that are under way in this process, or some: nothing new begins, and bodies in flight end.

    A run that waits stays WAITING. Any other one stays RUNNING, as that of a process that has died, which is what it is to
    others once its lease is released. One that is being stopped already ends as it was told to. Call it on the event loop.
    """
    among = runtime.executions.values() if which is None else which
    left = [active for active in among if can_be_left(active)]
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


def with_children(runtime: Runtime, active: ActiveRun) -> list[ActiveRun]:
    """A run, and the child runs that it waits for, at any depth: a pause takes them along."""
    found = [active]
    for each in found:
        for run_id in runtime.waits.get(each.run.id, ()):
            child = runtime.executions.get(run_id)
            if child is not None and child.run.parent == each.run.id and child not in found:
                found.append(child)
    return found


def can_be_left(active: ActiveRun) -> bool:
    """Whether a run is under way, and nobody has asked it to stop."""
    stopping = None if active.pass_ is None else active.pass_.stopping
    return stopping is not None and stopping.why is None and not stopping.is_pausing


def _left_as(active: ActiveRun) -> tuple[str, str]:
    run = active.run
    if is_queued(run):
        return RunStatus.WAITING, "queued"
    if run.status == RunStatus.WAITING:
        return RunStatus.WAITING, run.reason
    return RunStatus.RUNNING, ""
