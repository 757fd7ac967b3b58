"""How often a job's one task was tried, and when."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from trigger_nb import Job
from trigger_nb.testing import FakeClock

PATIENCE = 120.0  # seconds, for what is bound to happen
BACKOFF = "backoff"  # after a delay that `retry` sets: between half a second and two


async def attempts(
    job: Job[Any], payload: Any, clock: FakeClock, then: Callable[[], object] = lambda: None
) -> tuple[int, float | str | None]:
    """Run a job of one task, whatever it ends in: the number of attempts, and the delay before the second.

    `then` is called between the attempts. Where the first one is to find that time is up, it gives the second
    one as much as a slow machine needs.
    """
    began = clock.time()
    sleep_until = clock.sleep_until

    async def delayed(when: float) -> None:
        then()
        await sleep_until(when)

    clock.sleep_until = delayed
    with contextlib.suppress(Exception):
        await job.run(payload)
    [task] = [task for task in job.runs()[0].tasks if task.kind == "task"]
    if task.attempt == 1:
        return 1, None
    delay = round(clock.time() - began, 3)
    return task.attempt, BACKOFF if 0.5 <= delay <= 2 else delay
