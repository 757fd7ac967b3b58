"""What is measured. A workload makes ready what it needs in an empty directory, and returns the part to time.

The tasks are trivial, so that what is measured is what surrounds them: an `async def` (or `def`)
that returns a small dict. Everything runs inside an event loop that is running already, as it is in
a notebook. Each side has opened its database before the clock starts.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import diskcache

from trigger_nb import TriggerClient
from trigger_nb.job import Job

Timed = Callable[[], Awaitable[object]]
# Enters what it needs on the stack, and is given the directory and the number of tasks.
Workload = Callable[[ExitStack, Path, int], Awaitable[Timed]]


# Without a return annotation: results would be validated into that type, and memoize does no such thing.


async def body(number: int):
    return {"id": number, "name": "x"}


def def_body(number: int):
    return {"id": number, "name": "x"}


# trigger_nb: a whole pass of a run, with its lease and its record -------------------------------


async def fresh(stack: ExitStack, directory: Path, tasks: int) -> Timed:
    """One task after the other, none of them known."""

    async def run(_payload: Any, io: Any) -> None:
        for number in range(tasks):
            await io.run_task(f"task-{number}", body, number)

    return stack.enter_context(_opened(directory, run)).run


async def fresh_def(stack: ExitStack, directory: Path, tasks: int) -> Timed:
    """As `fresh`, with `def` bodies: each runs in a worker thread, which commits its result."""

    async def run(_payload: Any, io: Any) -> None:
        for number in range(tasks):
            await io.run_task(f"task-{number}", def_body, number)

    return stack.enter_context(_opened(directory, run)).run


async def gathered(stack: ExitStack, directory: Path, tasks: int) -> Timed:
    """All tasks at once, none of them known."""

    async def run(_payload: Any, io: Any) -> None:
        await asyncio.gather(*[io.run_task(f"task-{number}", body, number) for number in range(tasks)])

    return stack.enter_context(_opened(directory, run)).run


# The forms in which people write a body: a function of a cell is not the only one ---------------


class Service:
    """What a method is bound to."""

    async def fetch(self, number: int):
        return await body(number)


SERVICE = Service()

# How a task is called in each form. What stands in the loop is made anew for each task, as in a cell.
FORMS: dict[str, Callable[[Any, str, int], Awaitable[Any]]] = {
    "method": lambda io, key, number: io.run_task(key, SERVICE.fetch, number),
    "lambda": lambda io, key, number: io.run_task(key, lambda: def_body(number)),
    "lambda with a default": lambda io, key, number: io.run_task(key, lambda number=number: def_body(number)),
    "partial": lambda io, key, number: io.run_task(key, partial(body, number)),
}


def again(first: Workload) -> Workload:
    """A second pass of a workload, in which every task is known."""

    async def workload(stack: ExitStack, directory: Path, tasks: int) -> Timed:
        timed = await first(stack, directory, tasks)
        await timed()
        return timed

    return workload


replay = again(fresh)


async def reused(stack: ExitStack, directory: Path, tasks: int) -> Timed:
    """One task after the other, each of which another run of the job has a result of."""

    async def run(_payload: Any, io: Any) -> None:
        for number in range(tasks):
            await io.run_task(f"task-{number}", body, number)

    job = stack.enter_context(_opened(directory, run, reuse="job"))
    await job.run(run_id="first")
    return partial(job.run, run_id="second")


async def reused_map(stack: ExitStack, directory: Path, tasks: int) -> Timed:
    """As `reused`, as the items of a map."""

    async def run(_payload: Any, io: Any) -> None:
        await io.map("tasks", range(tasks), body)

    job = stack.enter_context(_opened(directory, run, reuse="job"))
    await job.run(run_id="first")
    return partial(job.run, run_id="second")


def fresh_form(name: str) -> Workload:
    """As `fresh`, with the body in that form."""
    call = FORMS[name]

    async def workload(stack: ExitStack, directory: Path, tasks: int) -> Timed:
        async def run(_payload: Any, io: Any) -> None:
            for number in range(tasks):
                await call(io, f"task-{number}", number)

        return stack.enter_context(_opened(directory, run)).run

    return workload


def gathered_form(name: str) -> Workload:
    """As `gathered`, with the body in that form."""
    call = FORMS[name]

    async def workload(stack: ExitStack, directory: Path, tasks: int) -> Timed:
        async def run(_payload: Any, io: Any) -> None:
            await asyncio.gather(*[call(io, f"task-{number}", number) for number in range(tasks)])

        return stack.enter_context(_opened(directory, run)).run

    return workload


@contextmanager
def _opened(
    directory: Path, function: Callable[..., Awaitable[object]], **options: Any
) -> Iterator[Job[Any]]:
    """A job whose store is open, as it is once a cell has defined it."""
    client = TriggerClient("benchmark", dir=directory)
    try:
        yield client.job(id="job", **options)(function)
    finally:
        client.runtime.store.close()


# diskcache: one look-up a call, and on a miss one write -----------------------------------------


async def miss(stack: ExitStack, directory: Path, tasks: int) -> Timed:
    """Memoized calls, none of them known."""
    memoized = stack.enter_context(diskcache.Cache(directory)).memoize()(def_body)

    async def run() -> None:
        for number in range(tasks):
            memoized(number)

    return run


async def hit(stack: ExitStack, directory: Path, tasks: int) -> Timed:
    """The same calls again."""
    again = await miss(stack, directory, tasks)
    await again()
    return again


# sqlite3: nothing but the rows ------------------------------------------------------------------


async def inserts(stack: ExitStack, directory: Path, tasks: int) -> Timed:
    """One commit a task, of the same keys and the same full records as ours."""
    rows = await _records(directory / "ours", tasks)
    database = stack.enter_context(closing(_database(directory)))

    async def run() -> None:
        for number, row in enumerate(rows):
            await body(number)
            database.execute("INSERT INTO records VALUES (?, ?)", row)

    return run


async def resume(stack: ExitStack, directory: Path, tasks: int) -> Timed:
    """One SELECT of all, then for each task a look-up and a parse."""
    rows = await _records(directory / "ours", tasks)
    database = stack.enter_context(closing(_database(directory)))
    database.executemany("INSERT INTO records VALUES (?, ?)", rows)
    run_id = rows[0][0].partition("/")[0]

    async def run() -> None:
        records = dict(database.execute("SELECT key, text FROM records"))

        async def result(key: str) -> Any:
            return json.loads(records[key])["value"]

        for number in range(tasks):
            await result(f"{run_id}/task-{number}")

    return run


def _database(directory: Path) -> sqlite3.Connection:
    database = sqlite3.connect(directory / "plain.db", isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    database.execute("CREATE TABLE records (key TEXT PRIMARY KEY, text TEXT)")
    return database


async def _records(directory: Path, tasks: int) -> list[tuple[str, str]]:
    """What our store holds after a run: keys and texts."""
    with ExitStack() as stack:
        await (await fresh(stack, directory, tasks))()
        client = TriggerClient("benchmark", dir=directory)
        return client.runtime.store.select(client.runs()[0].id)
