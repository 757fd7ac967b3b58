"""DBOS on SQLite, which is its default; its log, tracing and admin server off.

Steps one after the other are plain functions, which it runs faster than coroutines. The clock runs inside
the workflow: starting one, and the second after which a recovered one begins, do not count.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dbos import DBOS

from . import clock as counted
from .clock import Crash, clock

step = DBOS.step()(counted.body)
async_step = DBOS.step()(counted.async_body)
crashes = False


@DBOS.workflow()
def one_by_one(tasks: int) -> None:
    with clock:
        for number in range(tasks):
            step(number)
    if crashes:
        raise Crash


@DBOS.workflow()
async def all_at_once(tasks: int) -> None:
    with clock:
        await asyncio.gather(*[async_step(number) for number in range(tasks)])


def fresh(directory: Path, tasks: int) -> None:
    """One step after the other in a new workflow."""
    with _launched(directory):
        one_by_one(tasks)


def replay(directory: Path, tasks: int) -> None:
    """A workflow that crashed after its last step is recovered."""
    global crashes
    with _launched(directory):
        crashes = True
        with suppress(Crash):
            one_by_one(tasks)
        crashes = False
        (handle,) = DBOS._recover_pending_workflows()
        handle.get_result()


def fan_out(directory: Path, tasks: int) -> None:
    """All steps at once, as coroutines."""

    async def run() -> None:
        with _launched(directory):
            await all_at_once(tasks)

    asyncio.run(run())


@contextmanager
def _launched(directory: Path) -> Iterator[None]:
    DBOS(
        config={
            "name": "benchmark",
            "system_database_url": f"sqlite:///{directory}/dbos.sqlite",
            "log_level": "ERROR",
            "run_admin_server": False,
        }
    )
    DBOS.launch()
    try:
        yield
    finally:
        DBOS.destroy()
