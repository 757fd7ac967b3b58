"""Waiting: deadlines that survive kernels, and the clock that makes tests of them fast (rules W1 to W3)."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.worlds import Gate, World, until
from trigger_nb import Retry, RunStatus, TaskStatus, TriggerClient
from trigger_nb._concurrency.threads import Home, threads
from trigger_nb.errors import InvalidOptionError, RunCanceledError, RunInterruptedError
from trigger_nb.testing import FakeClock

DAY = 24 * 3600.0


def waiting_job(world, **wait):
    @world.job(id="job")
    def job(payload, io):
        yield io.run_task("before", world.noting("before"))
        yield io.wait("wait", **(wait or {"days": 3}))
        return (yield io.run_task("after", world.noting("after")))

    return job


# --- W1 -----------------------------------------------------------------------------------------------


def test_three_days_are_over_at_once(world):
    """W1: under the test clock."""
    job = waiting_job(world)
    start = world.clock.time()
    assert world.run(job) == "after"
    assert world.clock.time() - start == 3 * DAY
    task = world.last(job).task("wait")
    assert (task.status, task.kind, task.duration) == (TaskStatus.COMPLETED, "wait", 3 * DAY)
    assert world.run(job) == "after"
    assert world.clock.time() - start == 3 * DAY
    assert world.take() == ["before", "after"]


@pytest.mark.parametrize(
    ("wait", "seconds"),
    [
        ({"duration": 90}, 90),
        ({"duration": timedelta(hours=2)}, 7200),
        ({"seconds": 1, "minutes": 1, "hours": 1, "days": 1}, 90061),
        ({"seconds": 0}, 0),
        ({"until": datetime(2030, 1, 2, tzinfo=UTC)}, DAY),
        ({"until": datetime(2020, 1, 2, tzinfo=UTC)}, 0),
    ],
)
def test_how_long_it_waits(world, wait, seconds):
    """W1: a duration, its parts, or a time; one that has passed is no wait."""
    start = world.clock.time()
    assert world.run(waiting_job(world, **wait)) == "after"
    assert world.clock.time() - start == seconds


@pytest.mark.parametrize(
    "wait",
    [
        {"until": datetime(2030, 1, 2)},
        {"duration": -1},
        {"duration": "3"},
        {"duration": True},
        {"duration": float("nan")},
        {"duration": 1, "minutes": 1},
        {"minutes": -1},
        {"duration": None},
    ],
)
def test_a_wait_that_cannot_be_meant_is_refused(world, wait):
    """A naive datetime, a negative time, two times, none."""
    assert isinstance(world.fail(waiting_job(world, **wait)), InvalidOptionError)


def test_a_naive_datetime_says_what_to_do(world):
    """The error shows how to give the time zone."""
    error = world.fail(waiting_job(world, until=datetime(2030, 1, 2)))
    assert "tzinfo=UTC" in str(error)


@pytest.mark.anyio
async def test_a_kernel_restarted_in_the_middle_waits_only_for_the_rest(tmp_path):
    """W1, W2: one absolute deadline, stored once."""
    world = World(tmp_path)
    world.clock._autojump = False
    run = waiting_job(world).start()
    await until(lambda: world.clock.deadlines)
    (deadline,) = world.clock.deadlines
    assert deadline == world.clock.time() + 3 * DAY
    assert (run.status, run.reason) == (RunStatus.WAITING, "wait")
    world.clock.advance(2 * DAY)
    run.pause()
    await until(lambda: run.reason == "paused")
    world.new_kernel()

    run = waiting_job(world).start()
    await until(lambda: world.clock.deadlines)
    assert world.clock.deadlines == [deadline]
    world.clock.advance(DAY - 1)
    await asyncio.sleep(0.01)
    assert run.status == RunStatus.WAITING
    world.clock.advance(1)
    assert await run == "after"
    assert world.take() == ["before", "after"]


@pytest.mark.anyio
async def test_a_wait_whose_time_came_while_no_kernel_ran_is_over(tmp_path):
    """W2: waiting needs no kernel."""
    world = World(tmp_path)
    world.clock._autojump = False
    run = waiting_job(world).start()
    await until(lambda: world.clock.deadlines)
    run.pause()
    await until(lambda: run.reason == "paused")
    world.new_kernel()
    world.clock.advance(5 * DAY)
    assert await waiting_job(world).run() == "after"


def test_waits_side_by_side_take_the_longest(world):
    """W1, C1: the clock jumps from deadline to deadline."""
    start = world.clock.time()
    order = []

    def one(io, days):
        yield io.wait(("wait", days), days=days)
        order.append(days)

    @world.job
    def job(payload, io):
        yield world.gather(one(io, 3), one(io, 1), one(io, 2))

    world.run(job)
    assert order == [1, 2, 3]
    assert world.clock.time() - start == 3 * DAY


def test_waits_and_retries_raise_nothing_through_user_code(world):
    """W3: `except BaseException` around them sees nothing."""
    seen = []

    @world.job
    def job(payload, io):
        try:
            yield io.wait("wait", days=1)
            yield io.run_task("task", world.failing("task", OSError("1")), retry=Retry(limit=2))
            yield io.yield_("here")
            yield io.brb("there")
        except BaseException as error:
            seen.append(error)
            raise

    world.run(job)
    world.new_kernel()
    world.run(world.again(job))
    assert seen == []


# --- delay_until --------------------------------------------------------------------------------------


def test_a_task_can_be_delayed(world):
    """Reference: `delay_until=`; the body runs at that time, once."""
    when = datetime.fromtimestamp(world.clock.time() + 2 * DAY, UTC)

    @world.job
    def job(payload, io):
        return (yield io.run_task("task", world.body(world.clock.time), delay_until=when))

    assert world.run(job) == when.timestamp()
    assert world.run(job) == when.timestamp()


# --- skip_wait, pause, resume, cancel -----------------------------------------------------------------


@pytest.fixture
def slow_world(tmp_path):
    world = World(tmp_path / "store")
    world.clock._autojump = False
    yield world
    world.new_kernel()


@pytest.mark.anyio
async def test_a_wait_can_be_skipped(slow_world):
    """`run.skip_wait(path)` while the task waits, and before the next pass."""
    world = slow_world
    run = waiting_job(world).start()
    await until(lambda: world.clock.deadlines)
    assert run.skip_wait("wait") is run
    assert await run == "after"
    assert world.clock.time() == FakeClock().time()

    other = waiting_job(world).start(2)
    await until(lambda: world.clock.deadlines)
    other.pause()
    await until(lambda: other.reason == "paused")
    other.skip_wait("wait")
    assert await other.resume() == "after"


@pytest.mark.anyio
async def test_a_waiting_run_can_be_paused_and_resumed(slow_world):
    """`pause()` and `resume()` can be repeated, and what is left of the wait stays the same."""
    world = slow_world
    run = waiting_job(world).start()
    await until(lambda: world.clock.deadlines)
    (deadline,) = world.clock.deadlines
    assert run.pause().pause() is run
    with pytest.raises(RunInterruptedError, match="is paused"):
        await run
    assert (run.status, run.reason) == (RunStatus.WAITING, "paused")
    assert run.pause() is run
    assert run.resume().resume() is run
    await until(lambda: world.clock.deadlines)
    assert world.clock.deadlines == [deadline]
    world.clock.advance(3 * DAY)
    assert await run == "after"


@pytest.mark.anyio
async def test_a_waiting_run_can_be_cancelled_and_taken_up(slow_world):
    """`cancel()` ends the run; running the cell again waits for what is left."""
    world = slow_world
    run = waiting_job(world).start()
    await until(lambda: world.clock.deadlines)
    assert run.cancel().cancel() is run
    with pytest.raises(RunCanceledError):
        await run
    assert run.status == RunStatus.CANCELED
    world.clock.advance(3 * DAY)
    assert await waiting_job(world).run() == "after"
    assert world.take() == ["before", "after"]


@pytest.mark.anyio
async def test_operations_come_from_any_thread(slow_world):
    """Operations are synchronous, and schedule what they do on the run's loop."""
    world = slow_world
    run = waiting_job(world).start()
    await until(lambda: world.clock.deadlines)
    await asyncio.to_thread(run.pause)
    await until(lambda: run.reason == "paused")
    await asyncio.to_thread(run.resume)
    await until(lambda: world.clock.deadlines)
    await asyncio.to_thread(run.skip_wait, "wait")
    assert await run == "after"


@pytest.mark.anyio
async def test_a_run_that_waits_beside_a_body_is_running(slow_world):
    """Run status: WAITING only while all that moves in it waits."""
    world, gate = slow_world, Gate()

    @world.client.job
    async def job(payload, io):
        await asyncio.gather(io.wait("wait", days=1), io.run_task("body", gate.pass_through_async))

    run = job.start()
    await until(lambda: world.clock.deadlines and gate.reached.is_set())
    assert run.status == RunStatus.RUNNING
    gate.open()
    await until(lambda: run.status == RunStatus.WAITING)
    world.clock.advance(DAY)
    await run


# --- The clock ------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_the_clock_moves_only_when_it_is_told_or_all_else_waits():
    """FakeClock: sleepers wake in the order of their deadlines, at them."""
    clock = FakeClock(1000.0)
    woken = []

    async def sleeper(when):
        await clock.sleep_until(when)
        woken.append((when, clock.time()))

    async with asyncio.TaskGroup() as group:
        for when in (1030, 1010, 1020, 1010, 900):
            group.create_task(sleeper(when))
    assert [when for when, _ in woken] == [900, 1010, 1010, 1020, 1030]
    assert all(at == max(when, 1000) for when, at in woken)
    assert clock.time() == 1030


@pytest.mark.anyio
async def test_the_clock_waits_for_what_can_go_on():
    """FakeClock: tasks of the loop that do not wait for time come first, however many turns they take."""
    clock = FakeClock(0.0)
    seen = []

    async def busy():
        for _ in range(50):
            await asyncio.sleep(0)
        seen.append(clock.time())

    async with asyncio.TaskGroup() as group:
        group.create_task(clock.sleep_until(100))
        group.create_task(busy())
    assert seen == [0.0]


@pytest.mark.anyio
async def test_the_clock_waits_for_a_thread_whose_call_is_on_its_way_to_the_loop(tmp_path, monkeypatch):
    """FakeClock: between a call of `io` in a `def` job and its begin on the event loop."""
    world, gate, soon = World(tmp_path), Gate(), Home.soon

    def late(home, call):
        if threading.get_ident() != home.thread:
            gate.pass_through()
        return soon(home, call)

    @world.client.job
    def job(payload, io):
        return io.run_task("a", world.noting("a"))

    monkeypatch.setattr(Home, "soon", late)
    run = job.start()
    await until(gate.reached.is_set)
    assert threads.busy
    gate.open()
    assert await run == "a"


@pytest.mark.anyio
async def test_the_clock_waits_for_a_thread_that_has_its_result_and_has_not_gone_on_yet(
    tmp_path, monkeypatch
):
    """FakeClock: between the answer of the event loop and the next step of a `def` job."""
    world, gate = World(tmp_path), Gate()
    error_of = Home._error_of

    def late(home, result):
        error = error_of(home, result)
        gate.pass_through()
        return error

    @world.client.job
    def job(payload, io):
        io.run_task("a", world.noting("a"))
        io.wait("short", hours=1)
        return world.clock.time()

    monkeypatch.setattr(Home, "_error_of", late)
    run = job.start()
    await until(gate.reached.is_set)
    assert threads.busy
    gate.open()
    assert await run == world.clock.time()


@pytest.mark.anyio
async def test_the_clock_waits_for_a_body_on_a_busy_machine(monkeypatch):
    """FakeClock: where a turn of the loop takes long, a body in a thread takes long, too."""
    clock, gate, turns, seen = FakeClock(0.0), Gate(), [], []

    async def slow_turn(_):
        time.sleep(0.05)
        turns.append(1)
        if len(turns) == 10:  # half a second is over
            gate.open()

    def body():
        gate.pass_through()
        seen.append(clock.time())

    monkeypatch.setattr("trigger_nb._trials.clock.anyio.sleep", slow_turn)
    threads.submit(body)
    await clock.sleep_until(100)
    assert seen == [0.0]


@pytest.mark.anyio
async def test_the_clock_waits_for_a_result_that_is_written_in_a_thread(tmp_path):
    """FakeClock, S1: another process holds the database for a moment, so the loop leaves the commit to a thread."""
    world, busy = World(tmp_path), []
    journal = world.client.runtime.journal
    commit = journal.commit
    other = sqlite3.connect(
        journal._store.directory / "cache.db", check_same_thread=False, isolation_level=None
    )

    def let_go(rows, **options):
        if other.in_transaction and threading.current_thread() is not threading.main_thread():
            busy.append(threads.busy)
            other.execute("COMMIT")
        return commit(rows, **options)

    journal.commit = let_go

    @world.client.job
    async def job(payload, io):
        async def hold():
            other.execute("BEGIN IMMEDIATE")

        return await io.run_task("held", hold)

    await job.run()
    assert busy == [True]
    other.close()


@pytest.mark.anyio
async def test_the_clock_by_hand():
    """FakeClock(autojump=False): only `advance` moves it, from any thread."""
    clock = FakeClock(datetime(2030, 1, 1, tzinfo=UTC), autojump=False)
    start = clock.time()
    sleeping = asyncio.ensure_future(clock.sleep_until(start + 60))
    await until(lambda: clock.deadlines == [start + 60])
    clock.advance(timedelta(seconds=59))
    await asyncio.sleep(0.01)
    assert not sleeping.done()
    await asyncio.to_thread(clock.advance, 1)
    await sleeping
    assert clock.deadlines == []
    assert repr(clock) == "<FakeClock at 2030-01-01 00:01:00 UTC>"


@pytest.mark.anyio
async def test_a_cancelled_sleeper_is_forgotten():
    """FakeClock: whoever was cancelled holds no deadline any more."""
    clock = FakeClock(0.0)
    sleeping = asyncio.ensure_future(clock.sleep_until(50))
    await asyncio.sleep(0)
    sleeping.cancel()
    await clock.sleep_until(100)
    assert clock.time() == 100


def test_the_clock_refuses_what_is_no_time():
    """FakeClock: no going back, no naive start."""
    with pytest.raises(InvalidOptionError):
        FakeClock(datetime(2030, 1, 1))
    with pytest.raises(InvalidOptionError):
        FakeClock().advance(-1)


@pytest.mark.anyio
async def test_the_machines_own_clock(tmp_path):
    """W1: without a test clock it is wall-clock time."""
    client = TriggerClient("real", dir=tmp_path, display=False)

    @client.job
    async def job(payload, io):
        await io.wait("wait", seconds=0.02)
        return await io.now("now")

    before = datetime.now(UTC)
    assert await job.run() >= before + timedelta(seconds=0.019)
