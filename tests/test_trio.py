"""Under trio: the task pipeline, retries, waits and codecs (section 7); every scenario also runs under asyncio."""

from __future__ import annotations

import threading
import time

import anyio
import pytest

from tests.worlds import PATIENCE, World
from trigger_nb import Retry, RunStatus, TaskStatus
from trigger_nb.errors import (
    DuplicateKeyError,
    NestingError,
    RunCanceledError,
    StoreError,
    TaskTimeoutError,
    UsageError,
)

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path / "store")
    yield world
    world.new_kernel()


async def until(condition):
    give_up = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < give_up, "the condition never held"
        await anyio.sleep(0.001)


def again(world, job):
    return world.client.job(id=job.id)(job.fn)


async def failure(awaitable):
    try:
        await awaitable
    except Exception as error:
        return error
    raise AssertionError("it did not fail")


async def test_tasks_are_kept_and_replayed(world):
    """R1, R2: async, def, nested and lambda bodies."""

    @world.client.job
    async def job(payload, io):
        async def parent(io):
            world.note("parent")
            await anyio.sleep(0)
            return await io.run_task("child", lambda: (1, 2))

        def blocking(io):
            world.note("blocking")
            return io.run_task("inner", world.noting("inner"))

        return [
            await io.run_task("plain", lambda: {"a": 1}),
            await io.run_task("parent", parent),
            await io.run_task("blocking", blocking),
            await io.run_task("on the loop", lambda: 3, thread=False),
        ]

    expected = [{"a": 1}, (1, 2), "inner", 3]
    assert await job.run(7) == expected
    assert world.take() == ["parent", "blocking", "inner"]
    assert await job.run(7) == expected
    world.new_kernel()
    assert await again(world, job).run(7) == expected
    assert world.take() == []


async def test_def_jobs(world):
    """Section 3: a `def` job runs in a thread."""

    @world.client.job
    def job(payload, io):
        assert threading.current_thread() is not threading.main_thread()
        io.wait("wait", days=1)
        try:
            io.run_task("fails", world.failing("fails", KeyError("k")))
        except KeyError:
            return io.run_task("after", world.noting("after"))

    for _ in range(2):
        assert await job.run() == "after"
    assert world.take() == ["fails", "after"]


async def test_task_groups(world):
    """C1: anyio's, and `io.parallel`."""

    @world.client.job
    async def job(payload, io):
        got = {}

        async def one(n):
            got[n] = await io.run_task(("item", n), world.noting(n))

        async with anyio.create_task_group() as group:
            for n in range(5):
                group.start_soon(one, n)
        return got, await io.parallel("all", [5, 6], world.body(lambda item: item))

    expected = ({n: n for n in range(5)}, [5, 6])
    for _ in range(2):
        assert await job.run() == expected
    assert sorted(world.take()) == list(range(5))


async def test_retries_and_waits(world):
    """A1, W1: under the test clock, in no time."""
    start = world.clock.time()

    @world.client.job
    async def job(payload, io):
        await io.wait("wait", days=3)
        return await io.run_task(
            "task", world.failing("task", OSError("1"), OSError("2")), retry=Retry(limit=3)
        )

    assert await job.run() == "task"
    assert world.clock.time() - start > 3 * 24 * 3600
    assert world.take() == ["task"] * 3
    assert job.runs()[0].task("task").attempt == 3


async def test_errors_are_handled_and_replayed(world):
    """R4, R5."""

    @world.client.job
    async def job(payload, io):
        try:
            await io.run_task("handled", world.failing("handled", OSError(5, "text", "file")))
        except OSError as error:
            kept = (error.errno, error.filename)
        return kept, await io.run_task("ends", ends)

    ends = world.failing("ends", ValueError("once"))
    assert isinstance(await failure(job.run()), ValueError)
    assert await job.run() == ((5, "file"), "ends")
    assert world.take() == ["handled", "ends", "ends"]


async def test_timeouts(world):
    """A3: of an async body, and of a thread that goes on and is adopted."""
    opened = threading.Event()

    def slow():
        world.note("slow")
        assert opened.wait(PATIENCE)
        return "late"

    @world.client.job
    async def job(payload, io):
        try:
            await io.run_task("async", anyio.sleep, 3600, timeout=0.01)
        except TaskTimeoutError:
            world.note("timeout")
        return await io.run_task("thread", slow, timeout=0.01, retry=Retry(limit=3, min_timeout=0))

    assert isinstance(await failure(job.run()), TaskTimeoutError)
    opened.set()
    assert await job.run() == "late"
    assert world.take() == ["timeout", "slow", "timeout"]  # the handled one is raised again


async def test_a_lost_race_replays_as_it_was(world):
    """A8: cancelled by a scope of the user's."""

    async def slow():
        world.note("slow")
        await anyio.sleep(3600)

    @world.client.job
    async def job(payload, io):
        with anyio.move_on_after(0.05):
            await io.run_task("slow", slow)
        return await io.run_task("after", world.noting("after"))

    for _ in range(2):
        assert await job.run() == "after"
    assert job.runs()[0].task("slow").status == TaskStatus.CANCELED
    assert world.take() == ["slow", "after"]


async def test_misuse(world):
    """I4, I5: also when it is swallowed."""

    @world.client.job
    async def twice(payload, io):
        await io.run_task("same", world.noting(1))
        try:
            await io.run_task("same", world.noting(2))
        except DuplicateKeyError:
            pass

    @world.client.job
    async def deep(payload, io):
        def nested(depth):
            async def body(io):
                await io.run_task(f"level-{depth}", nested(depth + 1))

            return body

        await io.run_task("level-0", nested(1))

    assert isinstance(await failure(twice.run()), DuplicateKeyError)
    assert isinstance(await failure(deep.run()), NestingError)


async def test_an_interrupted_run_resumes(world):
    """A7: the scope around `await job.run()` is cancelled; the run is INTERRUPTED, and goes on later."""
    reached = []

    async def slow():
        reached.append(1)
        await anyio.sleep(3600)

    @world.client.job
    async def job(payload, io):
        await io.run_task("before", world.noting("before"))
        if len(reached) < 1:
            await io.run_task("slow", slow)
        return "done"

    async with anyio.create_task_group() as group:
        group.start_soon(failure_or_cancel, job)
        await until(lambda: reached)
        group.cancel_scope.cancel()
    run = job.runs()[0]
    assert run.status == RunStatus.INTERRUPTED
    assert run.task("slow").status == TaskStatus.PENDING
    assert await job.run() == "done"
    assert world.take() == ["before"]


async def failure_or_cancel(job):
    await job.run()


async def test_a_def_job_that_waits_can_be_cancelled(world):
    """A7, W3: `cancel()` reaches a call that a thread waits for."""
    started = threading.Event()
    unwound = threading.Event()

    @world.client.job
    def job(payload, io):
        started.set()
        try:
            io.run_task("slow", anyio.sleep, 3600)
        finally:
            unwound.set()

    async def cancel():
        await until(started.is_set)
        await until(lambda: world.client.runtime.executions)
        (execution,) = world.client.runtime.executions.values()
        await until(lambda: execution.pass_.flights)
        job.runs()[0].cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(cancel)
        assert isinstance(await failure(job.run()), RunCanceledError)
    assert unwound.wait(PATIENCE)
    assert job.runs()[0].status == RunStatus.CANCELED


async def test_a_store_that_fails(world, monkeypatch):
    """A9: nothing is raised from `io`; the value is kept for the next pass."""
    store = world.client.runtime.store
    commit = store.commit
    fail, seen = [], []

    def failing(rows, *, patience=None):
        if fail and any(row.key.endswith("/charge") for row in rows):
            raise StoreError("full")
        return commit(rows, patience=patience)

    monkeypatch.setattr(store, "commit", failing)

    @world.client.job
    async def job(payload, io):
        async def charge():
            world.note("charge")
            fail.append(True)
            return "charged"

        try:
            return await io.run_task("charge", charge)
        except Exception as error:
            seen.append(error)

    assert isinstance(await failure(job.run()), StoreError)
    fail.clear()
    assert await job.run() == "charged"
    assert world.take() == ["charge"]
    assert seen == []


async def test_child_runs(world):
    """I8, reference: `invoke_and_wait`."""

    @world.client.job
    async def child(payload, io):
        return await io.run_task("task", world.body(lambda n: n * 2, note="child"), payload)

    @world.client.job
    async def parent(payload, io):
        return await io.invoke_and_wait("child", child, 4)

    for _ in range(2):
        assert await parent.run() == 8
    assert world.take() == ["child"]


async def test_start_is_asyncios(world, anyio_backend_name):
    """Section 7: `start` needs asyncio, and says so."""

    @world.client.job
    async def job(payload, io):
        return 1

    if anyio_backend_name == "trio":
        with pytest.raises(UsageError):
            job.start()
    else:
        assert await job.start() == 1


async def test_maps_keep_their_items(world, anyio_backend):
    """C2: a map works under both, one by one under asyncio only; it says what to do instead."""

    async def double(item):
        await anyio.sleep(0)
        world.note(item)
        return item * 2

    @world.client.job
    async def job(payload, io):
        return await io.map("items", range(5), double, concurrency=2)

    async def doubles(items):
        return [item * 2 for item in items]

    @world.client.job
    async def batched(payload, io):
        return await io.map("items", range(5), doubles, batch=2)

    @world.client.job
    async def one_by_one(payload, io):
        return [pair async for pair in io.imap("items", range(2), double)]

    for _ in range(2):
        assert await job.run() == [0, 2, 4, 6, 8]
        assert await batched.run() == [0, 2, 4, 6, 8]
    assert sorted(world.take()) == list(range(5))
    if anyio_backend == "trio":
        assert "io.imap works under asyncio only" in str(await failure(one_by_one.run()))
    else:
        assert sorted(await one_by_one.run()) == [(0, 0), (1, 2)]
