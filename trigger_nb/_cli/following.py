"""`trigger-nb show --watch`: the tree of a run that another process drives, until the run ends."""

from __future__ import annotations

from .._records.status import RunStatus
from .._runs.following import follow
from ..run import Run
from .driving import Screen
from .problems import FAILED, NOT_ENDED
from .terminal import LiveTree

_CODES = {RunStatus.COMPLETED: 0, RunStatus.FAILED: FAILED}


async def watch(run: Run, screen: Screen) -> int:
    """Follow a run until it ends. Returns the exit code. To cancel this leaves the run alone."""
    follower = follow(run._runtime, run.id)
    if follower is not None:
        try:
            await LiveTree(screen.out, run).until(follower.over())
        finally:
            follower.stop()
    return _CODES.get(run.status, NOT_ENDED)
