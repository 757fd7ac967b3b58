"""LangGraph's functional API: an `entrypoint` with tasks, its checkpoints in SQLite.

Its durability is the default, "async", which writes a result while the next task is under way. So the clock
runs around a whole invocation, which ends when all of them are written.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.func import entrypoint, task

from . import clock as counted
from .clock import clock

THREAD: Any = {"configurable": {"thread_id": "benchmark"}}

step = task(counted.body)
async_step = task(counted.async_body)
fails = False


class Failed(Exception):
    """Ends a workflow after its last task."""


def fresh(directory: Path, tasks: int) -> None:
    """One task after the other in a new thread."""
    with closing(_database(directory)) as database:
        workflow = _one_by_one(database)
        with clock:
            workflow.invoke(tasks, THREAD)


def replay(directory: Path, tasks: int) -> None:
    """The thread goes on after an error at its end: it is invoked again, without an input."""
    global fails
    with closing(_database(directory)) as database:
        workflow = _one_by_one(database)
        fails = True
        with suppress(Failed):
            workflow.invoke(tasks, THREAD)
        fails = False
        with clock:
            workflow.invoke(None, THREAD)


def fan_out(directory: Path, tasks: int) -> None:
    """All tasks at once, as coroutines."""

    async def run() -> None:
        async with AsyncSqliteSaver.from_conn_string(str(directory / "checkpoints.sqlite")) as saver:

            @entrypoint(checkpointer=saver)
            async def all_at_once(tasks: int) -> None:
                await asyncio.gather(*[async_step(number) for number in range(tasks)])

            await saver.setup()
            with clock:
                await all_at_once.ainvoke(tasks, THREAD)

    asyncio.run(run())


def _database(directory: Path) -> sqlite3.Connection:
    return sqlite3.connect(directory / "checkpoints.sqlite", check_same_thread=False)


def _one_by_one(database: sqlite3.Connection) -> Any:
    saver = SqliteSaver(database)
    saver.setup()

    @entrypoint(checkpointer=saver)
    def one_by_one(tasks: int) -> None:
        for number in range(tasks):
            step(number).result()
        if fails:
            raise Failed

    return one_by_one
