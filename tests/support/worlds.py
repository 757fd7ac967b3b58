"""Jobs over a store on disk, and kernels that come and go: what the tests of the engine are written with.

A scenario is written once, as a generator in which `yield` stands for `await`, and runs both as an
`async def` job and as a `def` job:

```python
def test_something(world):
    @world.job
    def job(payload, io):
        a = yield io.run_task("a", world.body(lambda: 1))
        return a + 1

    assert world.run(job) == 2
    world.new_kernel()
    assert world.run(job) == 2
    assert world.calls == ["a"]
```
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import os
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future, wait
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from trigger_nb import TaskStatus, TriggerClient
from trigger_nb._concurrency.threads import threads
from trigger_nb._records.records import TaskRecord
from trigger_nb._runs import runtime as runtime_module
from trigger_nb._store.protocol import Row
from trigger_nb._tasks.running import running_bodies
from trigger_nb.client import _default
from trigger_nb.errors import NotFoundError
from trigger_nb.testing import FakeClock

KINDS = ("async def", "def")

# For what is bound to happen, in seconds. Only a test that fails waits for so long.
PATIENCE = 60.0


class World:
    """One store, one clock, and whatever the bodies of a test have noted."""

    def __init__(self, directory: Path, kind: str = "async def") -> None:
        self.directory = directory
        self.kind = kind
        self.clock = FakeClock()
        self.options: dict[str, Any] = {}
        self.calls: list[Any] = []  # what `note` was given, in order: mostly, bodies that were called

    def set_patience(self, **seconds: float) -> None:
        """Change fields of this kernel's `Patience`."""
        runtime = self.client.runtime
        runtime.patience = replace(runtime.patience, **seconds)

    # Writing jobs -------------------------------------------------------------------------------

    @property
    def is_async(self) -> bool:
        return self.kind == "async def"

    @property
    def client(self) -> TriggerClient:
        return TriggerClient("world", dir=self.directory, clock=self.clock, display=False, **self.options)

    def job(self, function: Callable[..., Any] | None = None, **options: Any) -> Any:
        """Define a job from a generator function (or any function)."""
        if function is None:
            return lambda function: self.job(function, **options)
        options.setdefault("id", function.__name__)
        return self.client.job(**options)(self.body(function))

    def body(self, function: Callable[..., Any], note: Any = None) -> Callable[..., Any]:
        """A body of this world's kind from a generator function, or from one that needs no `io`.

        `note` is noted at each call.
        """

        def call(args: Any, named: Any) -> Any:
            if note is not None:
                self.note(note)
            return function(*args, **named)

        async def asynchronous(*args: Any, **named: Any) -> Any:
            made = call(args, named)
            return await drive(made) if inspect.isgenerator(made) else made

        def blocking(*args: Any, **named: Any) -> Any:
            made = call(args, named)
            return exhaust(made) if inspect.isgenerator(made) else made

        made = asynchronous if self.is_async else blocking
        made.__signature__ = inspect.signature(function)
        made.__name__ = function.__name__
        return made

    def note(self, what: Any) -> None:
        self.calls.append(what)

    def noting(self, what: Any, result: Any = None) -> Callable[..., Any]:
        """A body that notes its call and returns `result`."""
        return self.body(lambda *_: what if result is None else result, note=what)

    def failing(self, what: Any, *errors: BaseException | None) -> Callable[..., Any]:
        """A body that notes its call and raises the next of `errors`; None, or none left: it returns."""
        left = list(errors)

        def fail() -> Any:
            error = left.pop(0) if left else None
            if error is not None:
                raise error
            return what

        return self.body(fail, note=what)

    def gated(self, what: Any, gate: Gate, result: Any, *, in_thread: bool) -> Callable[..., Any]:
        """A body that notes its call, stops at a gate and returns `result`; in a thread it is a `def` body."""

        def blocking() -> Any:
            self.note(what)
            gate.pass_through()
            return result

        async def asynchronous() -> Any:
            self.note(what)
            await gate.pass_through_async()
            return result

        return blocking if in_thread else asynchronous

    def charging(self, gate: Gate, **options: Any) -> Any:
        """A job of one task, "charge", whose `def` body stops at a gate and returns "charged"."""
        charge = self.gated("charge", gate, "charged", in_thread=True)

        @self.client.job
        async def job(payload: Any, io: Any) -> Any:
            return await io.run_task("charge", charge, **options)

        return job

    def again(self, job: Any) -> Any:
        """The job, defined once more: its cell was run again."""
        return self.client.job(id=job.id)(job.fn)

    def gather(self, *parts: Generator[Any, Any, Any]) -> Any:
        """Several generators at once; what to `yield` is a list of their results, or the first error."""
        if self.is_async:
            return asyncio.gather(*(drive(part) for part in parts))
        return side_by_side([partial(exhaust, part) for part in parts])

    # Running them -------------------------------------------------------------------------------

    def run(self, job: Any, payload: Any = None, **options: Any) -> Any:
        """Run a job to its end, on an event loop of its own."""
        return job.run_sync(payload, **options)

    def fail(self, job: Any, payload: Any = None, **options: Any) -> BaseException:
        """Run a job that is to fail; the error."""
        try:
            output = self.run(job, payload, **options)
        except Exception as error:
            return error
        raise AssertionError(f"the run returned {output!r}")

    def last(self, job: Any) -> Any:
        """The run that was started last of all of a job's."""
        return job.runs()[0]

    def new_kernel(self) -> None:
        """What was in memory is gone; the store is there."""
        for runtime in list(runtime_module._runtimes.values()):
            for run_id in list(runtime._leases):
                runtime.release_lease(run_id)
            runtime.store.close()
        runtime_module._runtimes.clear()
        running_bodies.clear()
        _default.clear()

    def leave_running(self, job: Any, path: str, **changes: Any) -> TaskRecord:
        """Store what a kernel leaves that died while the body ran: the start that was recorded, and no end."""
        return self.change_record(job, path, status=TaskStatus.RUNNING, error=None, ended=0, **changes)

    def change_record(self, job: Any, path: str, **changes: Any) -> TaskRecord:
        """Store another record of a task of the job's only run: the stored one, or a new one, with changes."""
        runtime = self.client.runtime
        (run,) = job.runs()
        stored = {record.path: record for record in runtime.task_records(run.id)}
        record = stored.get(path) or TaskRecord(path=path, started=1, started_at=self.clock.time())
        record = record.copy(**changes)
        runtime.journal.commit([Row(f"{run.id}/{path}", run.id, record.dumps(), record.rank)])
        return record

    def take(self) -> list[Any]:
        """What was noted since the last call."""
        taken, self.calls = self.calls, []
        return taken


async def outcome(awaitable: Any) -> Any:
    """What awaiting returns, or the error that it raises."""
    try:
        return await awaitable
    except Exception as error:
        return error


async def failure(awaitable: Any) -> BaseException:
    """The error that awaiting raises."""
    value = await outcome(awaitable)
    if isinstance(value, Exception):
        return value
    raise AssertionError(f"it returned {value!r}")


async def interrupt_cell(job: Any, gate: Gate) -> None:
    """Run a job as a cell does, and interrupt that cell once a body stands at the gate."""
    cell = asyncio.ensure_future(job.run())
    await until(gate.reached.is_set)
    cell.cancel()
    await asyncio.wait({cell})
    assert cell.cancelled()


def statuses(run: Any) -> dict[str, Any]:
    return {task.path: task.status for task in run.tasks}


def reasons(run: Any) -> dict[str, Any]:
    return {task.path: task.reason for task in run.tasks}


async def drive(steps: Generator[Any, Any, Any]) -> Any:
    """Run a generator that yields awaitables."""
    resume: Callable[[], Any] = lambda: next(steps)
    while True:
        try:
            awaitable = resume()
        except StopIteration as stop:
            return stop.value
        try:
            value = await awaitable
        except BaseException as error:
            resume = lambda error=error: steps.throw(error)
        else:
            resume = lambda value=value: steps.send(value)


def exhaust(steps: Generator[Any, Any, Any]) -> Any:
    """Run a generator that yields values which are there already."""
    value = None
    while True:
        try:
            value = steps.send(value)
        except StopIteration as stop:
            return stop.value


def side_by_side(calls: list[Callable[[], Any]]) -> list[Any]:
    """Make calls in threads of their own; what they return, or the first error, once all have ended.

    The threads are the library's, so that a `FakeClock` sees which of them wait in `io`, and that the
    calling thread waits for them.
    """
    futures: list[Future[Any]] = [Future() for _ in calls]
    away, left = threads.away(), list(calls)

    def work(call: Callable[[], Any], future: Future[Any]) -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)
        left.pop()
        if not left:
            away.come_back()

    for call, future in zip(calls, futures, strict=True):
        threads.spawn(partial(contextvars.copy_context().run, work, call, future))
    away.leave()
    wait(futures)
    return [future.result() for future in futures]


async def until(condition: Callable[[], Any]) -> None:
    """Wait for a condition, without a guess at how long it takes. A task that is not there yet is not found."""
    give_up = time.monotonic() + PATIENCE
    while not _holds(condition):
        if time.monotonic() > give_up:
            raise AssertionError("the condition never held")
        await asyncio.sleep(0.001)


def _holds(condition: Callable[[], Any]) -> bool:
    try:
        return bool(condition())
    except NotFoundError:
        return False


def wait_until(condition: Callable[[], Any]) -> None:
    """The same, where no event loop runs."""
    give_up = time.monotonic() + PATIENCE
    while not _holds(condition):
        if time.monotonic() > give_up:
            raise AssertionError("the condition never held")
        time.sleep(0.001)


async def time_is_up(path: str) -> None:
    """An hour goes by, for timers of this event loop, once the time limit of a body runs."""

    def runs() -> bool:
        limits = [each.scope.limit for each in running_bodies.values() if each.path == path]
        return any(limit is not None and not limit._holds for limit in limits)

    await until(runs)
    let_pass(3600)


def let_pass(seconds: float) -> None:
    """Time goes by at once for the timers of this event loop: `timeout=`, `asyncio.timeout`, `asyncio.sleep`."""
    loop = asyncio.get_running_loop()
    now = loop.time
    loop.time = lambda: now() + seconds  # type: ignore[method-assign]


def age(folder: Path) -> None:
    """All that is in a folder was last written long ago."""
    for path in folder.rglob("*"):
        os.utime(path, (0, 0))


class Gate:
    """A body's thread, or a coroutine, stops here until the test opens it."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self.reached = threading.Event()

    def open(self) -> None:
        self._open.set()

    def pass_through(self) -> None:
        """From a thread."""
        self.reached.set()
        if not self._open.wait(PATIENCE):
            raise AssertionError("nobody opened the gate")

    async def pass_through_async(self) -> None:
        """From the event loop."""
        self.reached.set()
        await until(self._open.is_set)
