"""How often a job's one task was tried, and when."""

from __future__ import annotations

import contextlib
from typing import Any

from trigger_nb import Job
from trigger_nb.testing import FakeClock

BACKOFF = "backoff"  # after a delay that `retry` sets: between half a second and two


async def attempts(job: Job[Any], payload: Any, clock: FakeClock) -> tuple[int, float | str | None]:
    """Run a job of one task, whatever it ends in: the number of attempts, and the delay before the second."""
    began = clock.time()
    with contextlib.suppress(Exception):
        await job.run(payload)
    [task] = [task for task in job.runs()[0].tasks if task.kind == "task"]
    if task.attempt == 1:
        return 1, None
    delay = round(clock.time() - began, 3)
    return task.attempt, BACKOFF if 0.5 <= delay <= 2 else delay
