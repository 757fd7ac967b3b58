"""trigger_nb: a whole pass of a run, with its lease and its record."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trigger_nb import TriggerClient
from trigger_nb.job import Job

from .clock import async_body, async_large_body, clock


def fresh(directory: Path, tasks: int) -> None:
    """One task after the other, none of them known."""
    with _opened(directory, _one_by_one(tasks)) as job:
        asyncio.run(_timed(job))


def replay(directory: Path, tasks: int) -> None:
    """A second pass, in which every task is known."""
    with _opened(directory, _one_by_one(tasks)) as job:
        asyncio.run(_timed(job))
        asyncio.run(_timed(job))


def fan_out(directory: Path, tasks: int) -> None:
    """All tasks at once, none of them known."""

    async def run(_payload: Any, io: Any) -> None:
        await asyncio.gather(*[io.run_task(f"task-{number}", async_body, number) for number in range(tasks)])

    with _opened(directory, run) as job:
        asyncio.run(_timed(job))


def fan_out_map(directory: Path, tasks: int) -> None:
    """One map over all, none of them known."""
    with _opened(directory, _mapped(tasks, concurrency=tasks)) as job:
        asyncio.run(_timed(job))


def map(directory: Path, tasks: int) -> None:
    """One map with the concurrency that it has if it is told nothing, none of the items known."""
    with _opened(directory, _mapped(tasks)) as job:
        asyncio.run(_timed(job))


def map_again(directory: Path, tasks: int) -> None:
    """The same map in a second pass."""
    with _opened(directory, _mapped(tasks)) as job:
        asyncio.run(_timed(job))
        asyncio.run(_timed(job))


def imap(directory: Path, tasks: int) -> None:
    """The results of a map, one by one, of which nothing is kept in memory."""
    with _opened(directory, _iterated(tasks, async_body)) as job:
        asyncio.run(_timed(job))


def imap_large(directory: Path, tasks: int) -> None:
    """As `imap`, with results of 10 kB."""
    with _opened(directory, _iterated(tasks, async_large_body)) as job:
        asyncio.run(_timed(job))


def _one_by_one(tasks: int) -> Callable[..., Awaitable[None]]:
    async def run(_payload: Any, io: Any) -> None:
        for number in range(tasks):
            await io.run_task(f"task-{number}", async_body, number)

    return run


def _mapped(tasks: int, **options: Any) -> Callable[..., Awaitable[None]]:
    async def run(_payload: Any, io: Any) -> None:
        await io.map("map", range(tasks), async_body, **options)

    return run


def _iterated(tasks: int, body: Callable[[int], Awaitable[object]]) -> Callable[..., Awaitable[None]]:
    async def run(_payload: Any, io: Any) -> None:
        async for _item, _result in io.imap("map", range(tasks), body):
            pass

    return run


async def _timed(job: Job[Any]) -> None:
    """The loop is there already, as it is in a notebook."""
    with clock:
        await job.run()


@contextmanager
def _opened(directory: Path, function: Callable[..., Awaitable[object]]) -> Iterator[Job[Any]]:
    """A job whose store is open, as it is once a cell has defined it."""
    client = TriggerClient("benchmark", dir=directory)
    try:
        yield client.job(id="job")(function)
    finally:
        client.runtime.store.close()
