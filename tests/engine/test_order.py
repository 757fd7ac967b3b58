"""Tasks that are awaited side by side replay in the order in which they ended, and time limits end a replay alike (R12, A8)."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextvars import copy_context

import anyio
import pytest

from tests.support.worlds import World, let_pass, until
from trigger_nb._engine.ledger import Ledger
from trigger_nb._engine.turns import Turns
from trigger_nb._engine.waits import Waits
from trigger_nb._tasks.running import running_bodies

pytestmark = pytest.mark.anyio


@pytest.fixture
async def world(tmp_path):
    world = World(tmp_path / "store")
    yield world
    await until(lambda: not running_bodies)
    world.new_kernel()


class InOrder:
    """Bodies that end in a given order, whatever the order of their calls."""

    def __init__(self, world, order):
        self._world = world
        self._order = list(order)
        self.ended = []

    async def __call__(self, name):
        self._world.note(name)
        await until(lambda: self._order[len(self.ended)] == name)
        self.ended.append(name)
        return name


def start(io, key, body):
    return asyncio.create_task(io.run_task(key, body, key))


async def by_as_completed(io, names, body):
    return [await each for each in asyncio.as_completed([start(io, name, body) for name in names])]


async def by_wait(io, names, body):
    left, got = [start(io, name, body) for name in names], []
    while left:
        done, _ = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
        got.append(sorted((each.result() for each in done), key=body.ended.index))  # a set has no order
        left = [each for each in left if each not in done]
    return [name for group in got for name in group]


async def by_appending(io, names, body):
    got = []

    async def one(name):
        got.append(await io.run_task(name, body, name))

    await asyncio.gather(*map(one, names))
    return got


async def by_queue(io, names, body):
    queue = asyncio.Queue()

    async def one(name):
        await queue.put(await asyncio.shield(start(io, name, body)))

    async with asyncio.TaskGroup() as group:
        for name in names:
            group.create_task(one(name))
        return [await queue.get() for _ in names]


async def by_task_group(io, names, body):
    got = []

    async def one(name):
        with anyio.fail_after(3600):
            got.append(await io.run_task(name, body, name))

    async with anyio.create_task_group() as group:
        for name in names:
            group.start_soon(one, name)
    return got


async def by_callback(io, names, body):
    got = []
    tasks = [start(io, name, body) for name in names]
    for task in tasks:
        task.add_done_callback(lambda done: got.append(done.result()))
    await asyncio.gather(*tasks)
    await asyncio.sleep(0)
    return got


WAYS = [by_as_completed, by_wait, by_appending, by_queue, by_task_group, by_callback]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_results_come_in_the_order_in_which_they_ended(world, way):
    """R12: in each way of waiting, for each order of three; what the code does with the first one is the same at replay."""
    for order in itertools.permutations("abc"):
        key = "".join(order)
        body = InOrder(world, order)

        @world.client.job(id=f"job-{key}")
        async def job(payload, io, body=body):
            got = await way(io, "abc", body)
            first = await io.run_task(("use", got[0]), world.noting(f"use {got[0]}"))
            return got, first

        expected = (list(order), f"use {order[0]}")
        assert tuple(await job.run()) == expected
        world.take()
        for _ in range(2):
            world.new_kernel()
            again = world.client.job(id=f"job-{key}")(job.fn)
            assert tuple(await again.run()) == expected
            assert world.take() == []


async def test_results_that_came_together_come_together_again(world):
    """R12: `asyncio.wait` sees the same sets, whether the tasks ended in one turn of the loop, in the next ones, or apart."""

    async def body(name):
        world.note(name)
        for _ in range(turns[name]):
            await asyncio.sleep(0)
        return name

    turns = {"a": 3, "b": 0, "c": 3, "d": 4, "e": 40, "f": 5, "g": 41, "h": 90}

    @world.client.job
    async def job(payload, io):
        left, got = [start(io, name, body) for name in turns], []
        while left:
            done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
            got.append(sorted(each.result() for each in done))
            await io.run_task(("use", len(got)), world.noting(f"use {got[-1]}"))
        return got

    first = await job.run()
    assert first[0] == ["b"]
    assert first[-1] == ["h"]
    world.take()
    for _ in range(2):
        world.new_kernel()
        assert await world.client.job(job.fn).run() == first
        assert world.take() == []


async def test_the_first_of_many_is_the_first_again(world):
    """R12: `asyncio.wait` sees one result, and not all that are stored."""
    names = [f"n{number:03}" for number in range(100)]
    body = InOrder(world, ["n042", *(name for name in names if name != "n042")])

    @world.client.job
    async def job(payload, io):
        tasks = [start(io, name, body) for name in names]
        done, left = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.gather(*left)
        return sorted(each.result() for each in done)

    assert await job.run() == ["n042"]
    assert await job.run() == ["n042"]


async def test_errors_waits_and_long_values_take_their_turn_too(world):
    """R12: whatever a task ended with."""
    world.clock._autojump = False
    got = []

    async def after(name, count):
        world.note(name)
        await until(lambda: len(got) >= count)
        return name

    async def failing():
        raise ValueError(await after("error", 1))

    async def long():
        return await after("long", 0) * 1000

    @world.client.job
    async def job(payload, io):
        got.clear()

        async def one(name, call):
            try:
                await call
            except ValueError:
                pass
            got.append(name)
            if name == "error":
                world.clock.advance(3600)

        await asyncio.gather(
            one("plain", io.run_task("plain", after, "plain", 3)),
            one("wait", io.wait("wait", hours=1)),
            one("error", io.run_task("error", failing)),
            one("long", io.run_task("long", long)),
        )
        return list(got)

    assert await job.run() == ["long", "error", "wait", "plain"]
    world.take()
    for _ in range(2):
        world.new_kernel()
        assert await world.client.job(job.fn).run() == ["long", "error", "wait", "plain"]
        assert world.take() == []


async def test_the_run_functions_own_calls_take_their_turn(world):
    """R12: a task beside the run function's own calls is as far at each of them as it was."""

    async def step(n):
        world.note(n)
        await until(lambda: len(seen) >= n)

    seen = []

    @world.client.job
    async def job(payload, io):
        seen.clear()

        async def beside():
            for n in range(4):
                await io.run_task(("beside", n), world.noting(f"beside {n}"))
                seen.append(n)

        task = asyncio.create_task(beside())
        found = []
        for n in range(1, 4):
            await io.run_task(("step", n), step, n)
            found.append(len(seen) >= n)
        await task
        return found

    assert await job.run() == [True, True, True]
    world.take()
    assert await job.run() == [True, True, True]
    assert world.take() == []


async def test_a_single_call_does_not_wait(world, monkeypatch):
    """R12: one task after another is replayed without a turn of the loop."""

    @world.client.job
    async def job(payload, io):
        return [await io.run_task(("n", n), world.noting(n)) for n in range(3)]

    await job.run()

    async def take(*_args, **_options):
        raise AssertionError("it has waited")

    monkeypatch.setattr(Turns, "take", take)
    assert await job.run() == [0, 1, 2]


async def test_a_task_that_is_left_in_flight_is_replayed_before_the_run_ends(world):
    """R12, A6: the run function returns while results are still given out."""

    @world.client.job
    async def job(payload, io):
        tasks = [start(io, name, body) for name in "abc"]
        got.append(tasks)
        await asyncio.sleep(0)
        return "done"

    got, body = [], InOrder(world, "cba")
    with pytest.warns(RuntimeWarning, match="returned while task"):
        assert await job.run() == "done"
    with pytest.warns(RuntimeWarning, match="returned while task"):
        assert await job.run() == "done"
    await asyncio.gather(*got[1])
    assert [each.result() for each in got[1]] == ["a", "b", "c"]


async def test_a_plan_sees_the_same_order(world):
    """R12: a plan takes the branch that a pass takes."""
    body = InOrder(world, "ba")

    @world.client.job
    async def job(payload, io):
        first = (await by_as_completed(io, "ab", body))[0]
        return await io.run_task(("use", first), world.noting("use"))

    await job.run()
    plan = job.plan()
    assert (plan.ends, plan.runs, plan.replays[-1]) == ("complete", (), "~(use,b)")


def test_threads_of_a_def_job_get_results_in_the_order_of_their_ends(tmp_path):
    """R12: `concurrent.futures.as_completed` in a `def` job. Threads get some time each; the loop cannot watch them."""
    world = World(tmp_path / "store", "def")
    ended = []

    def body(name, order):
        world.note(name)
        while order[len(ended)] != name:
            pass
        ended.append(name)
        return name

    @world.client.job
    def job(payload, io):
        with ThreadPoolExecutor(3) as pool:
            calls = [pool.submit(copy_context().run, io.run_task, name, body, name, "cab") for name in "abc"]
            return [each.result() for each in as_completed(calls)]

    assert sorted(job.run_sync()) == ["a", "b", "c"]
    world.take()
    run = job.runs()[0]
    assert [run.task(name).output for name in "abc"] == ["a", "b", "c"]
    assert sorted(job.run_sync()) == ["a", "b", "c"]
    assert world.take() == []
    world.new_kernel()


# --- Time limits around several tasks ---------------------------------------------------------------


def anyio_limit(seconds):
    return anyio.move_on_after(seconds)


class asyncio_limit:  # noqa: N801  # used as the function above
    def __init__(self, seconds):
        self._limit = asyncio.timeout(seconds)

    async def __aenter__(self):
        await self._limit.__aenter__()

    async def __aexit__(self, *error):
        try:
            return await self._limit.__aexit__(*error)
        except TimeoutError:
            return True


@pytest.mark.parametrize("kind", ["move_on_after", "timeout", "wait_for"])
async def test_a_time_limit_around_several_tasks_ends_a_replay_alike(world, kind):
    """R12, A8: tasks that took some of the time take none at the replay, and the cut task still does not run."""

    async def page(n):
        world.note(n)
        if n == 2:
            await asyncio.sleep(3600)
        await asyncio.sleep(0.1)
        return n

    @world.client.job
    async def job(limit, io):
        got = []

        async def crawl():
            for n in itertools.count():
                got.append(await io.run_task(("page", n), page, n))

        if kind == "wait_for":
            try:
                await asyncio.wait_for(crawl(), limit)
            except TimeoutError:
                pass
        elif kind == "timeout":
            async with asyncio_limit(limit):
                await crawl()
        else:
            with anyio_limit(limit):
                await crawl()
        return [*got, await io.run_task("after", world.noting("after"))]

    for limit in (0.5, 2, 8, 32):  # until the machine is quick enough for two pages
        first = await job.run(limit)
        if (ran := world.take()) == [0, 1, 2, "after"]:
            break
    assert ran == [0, 1, 2, "after"]
    assert first == [0, 1, "after"]
    for _ in range(2):
        world.new_kernel()
        assert await world.client.job(job.fn).run(limit) == first
        assert world.take() == []


async def test_the_wait_for_a_cancellation_can_be_skipped(world):
    """A8: the time limit is gone from the code; the header says what is waited for, and how to go on."""
    limited = [True]

    async def slow():
        world.note("slow")
        if limited[0]:
            await asyncio.sleep(3600)
        return "done"

    @world.client.job
    async def job(payload, io):
        if not limited[0]:
            return await io.run_task("slow", slow)
        try:
            async with asyncio.timeout(0.05):
                return await io.run_task("slow", slow)
        except TimeoutError:
            return "cut"

    assert await job.run() == "cut"
    limited[0] = False
    world.change_record(job, "slow", canceled=3600.0)
    run = job.start()
    await until(lambda: let_pass(1) or "run.skip_wait('slow')" in run.tree())
    assert world.take() == ["slow"]
    run.skip_wait("slow")
    assert await run == "done"
    assert world.take() == ["slow"]


async def test_a_task_that_lost_a_race_does_not_run_when_the_replay_is_held_up(world):
    """R12, A8: the loop is blocked for longer than the loser waits for its cancellation, which then comes all the same."""
    held_up = [0.0]

    async def loser():
        world.note("loser")
        await asyncio.sleep(3600)

    @world.client.job
    async def job(payload, io):
        loop = asyncio.get_running_loop()
        first, second = (
            start(io, "first", world.noting("first")),
            asyncio.create_task(io.run_task("second", loser)),
        )
        loop.call_soon(loop.call_soon, time.sleep, held_up[0])  # once both calls wait
        await asyncio.wait([first, second], return_when=asyncio.FIRST_COMPLETED)
        second.cancel()
        await asyncio.wait([second])
        return await first

    await job.run()
    assert sorted(world.take()) == ["first", "loser"]
    held_up[0] = 0.5
    await job.run()
    assert world.take() == []


# --- After a pass that ended early -----------------------------------------------------------------


@pytest.mark.parametrize("way", [by_as_completed, by_queue], ids=lambda way: way.__name__)
async def test_the_order_holds_on_a_loop_that_does_not_tell_whether_it_is_idle(world, way, monkeypatch):
    """R12: such as uvloop's. Code gets its longest time then, after each bunch."""
    monkeypatch.setattr("trigger_nb._engine.turns._is_idle", lambda loop: False)
    body = InOrder(world, "cab")

    @world.client.job
    async def job(payload, io):
        got = await way(io, "abc", body)
        return got, await io.run_task(("next", got[0]), lambda: got[0])

    first = await job.run()
    assert first == (["c", "a", "b"], "c")
    world.take()
    world.new_kernel()
    assert await world.client.job(job.fn).run() == first
    assert world.take() == []


async def test_no_replay_waits_for_a_cancellation_that_came_of_a_failed_run(world, monkeypatch):
    """A8, R5: a call was cancelled with its run, and its body ended all the same. The next pass got the result."""
    down, failed = [True], threading.Event()
    expected = []

    async def expect_cancel(self, call, seconds):
        expected.append(call.path)

    monkeypatch.setattr(Waits, "expect_cancel", expect_cancel)

    def slow():
        world.note("slow")
        failed.wait(60)
        return "done"

    async def fails():
        await until(lambda: "slow" in world.calls)
        if down[0]:
            raise ConnectionError("down")

    @world.client.job
    async def job(payload, io):
        async with asyncio.TaskGroup() as group:
            group.create_task(io.run_task("fails", fails))
            kept = group.create_task(io.run_task("slow", slow))
        return await io.run_task("use", lambda: kept.result())

    with pytest.raises(ExceptionGroup):
        await job.run()
    failed.set()
    await until(lambda: not running_bodies)
    down[0] = False
    for _ in range(4):
        world.new_kernel()
        assert await world.client.job(job.fn).run() == "done"
    assert world.calls == ["slow"]
    assert expected == []


async def test_errors_that_no_code_looked_at_do_not_fail_the_run_one_by_one(world):
    """R5: all tasks are started, then awaited one by one with a task after each; the service was down for three of them."""
    down = [True]

    async def ask(n):
        world.note(n)
        await asyncio.sleep(0)
        if down[0] and n > 1:
            raise ConnectionError(n)
        return n

    @world.client.job
    async def job(payload, io):
        tasks = [asyncio.create_task(io.run_task(("ask", n), ask, n)) for n in range(5)]
        return [
            await io.run_task(("save", n), world.noting(f"save {n}"), await task)
            for n, task in enumerate(tasks)
        ]

    with pytest.raises(ConnectionError):
        await job.run()
    world.take()
    down[0] = False
    world.new_kernel()
    await world.client.job(job.fn).run()
    assert world.take() == [2, 3, 4, "save 2", "save 3", "save 4"]


async def test_errors_in_a_task_that_ended_the_run_are_not_handled_by_its_siblings(world):
    """R5: two subtasks of one task fail; a task beside that one goes on for a while."""
    down = [True]

    async def ask(n):
        world.note(n)
        await asyncio.sleep(0)
        if down[0]:
            raise ConnectionError(n)

    async def parent(io):
        return await asyncio.gather(*(io.run_task(("ask", n), ask, n) for n in range(2)))

    @world.client.job
    async def job(payload, io):
        beside = asyncio.create_task(io.run_task("parent", parent))
        await asyncio.wait([beside])
        await io.run_task("after", world.noting("after"))
        return await beside

    with pytest.raises(ConnectionError):
        await job.run()
    assert world.take() == [0, 1, "after"]
    down[0] = False
    await job.run()
    assert world.take() == [0, 1]


async def test_a_body_that_an_earlier_pass_left_is_given_out_where_it_ended(world):
    """R12, A5: a thread outlives its pass, and ends in the next one after another task."""
    begun, gate, failing = threading.Event(), threading.Event(), [True]

    def slow():
        world.note("slow")
        begun.set()
        assert gate.wait(60)
        return "slow"

    async def quick():
        await until(begun.is_set)
        if failing[0]:
            raise ValueError("quick")
        return "quick"

    @world.client.job
    async def job(payload, io):
        got = []

        async def one(key, body):
            got.append(await io.run_task(key, body))
            gate.set()

        await asyncio.gather(one("slow", slow), one("quick", quick))
        return got

    with pytest.raises(ValueError, match="quick"):
        await job.run()
    failing[0] = False
    assert await job.run() == ["quick", "slow"]
    assert world.take() == ["slow"]
    await until(lambda: not running_bodies)
    world.new_kernel()
    assert await world.client.job(job.fn).run() == ["quick", "slow"]
    assert world.take() == []


# --- Bodies in threads ------------------------------------------------------------------------------


async def test_callers_of_threads_wake_in_the_order_in_which_their_bodies_ended(world, monkeypatch):
    """R12: the second body's commit is done first; its caller waits for the first one's all the same."""
    ended, hold = [], threading.Event()
    settle = Ledger.commit_result_in_thread

    def commit(self, result):
        if result.record.path == "first":
            assert hold.wait(60)
        else:
            hold.set()
        return settle(self, result)

    monkeypatch.setattr(Ledger, "commit_result_in_thread", commit)
    gate = threading.Event()

    def first():
        ended.append("first")
        return "first"

    def second():
        gate.wait(60)
        return "second"

    @world.client.job
    async def job(payload, io):
        got = []

        async def one(body):
            got.append(await io.run_task(body.__name__, body))

        both = asyncio.gather(one(second), one(first))
        await until(lambda: ended or got)
        gate.set()
        await both
        return got

    assert await job.run() == ["first", "second"]
    assert await job.run() == ["first", "second"]


async def test_a_body_on_the_loop_waits_for_threads_that_ended_before_it(world, monkeypatch):
    """R12: the loop was blocked by it while a thread ended; the thread's caller comes first, as at a replay."""
    committed = threading.Event()
    settle = Ledger.commit_result_in_thread

    def commit(self, result):
        try:
            return settle(self, result)
        finally:
            committed.set()

    monkeypatch.setattr(Ledger, "commit_result_in_thread", commit)

    def thread():
        return "thread"

    def blocking():
        assert committed.wait(60)
        raise ValueError("loop")

    @world.client.job
    async def job(payload, io):
        got = []

        async def one(key, body, **options):
            try:
                got.append(await io.run_task(key, body, **options))
            except ValueError:
                got.append(key)

        await asyncio.gather(one("thread", thread), one("loop", blocking, thread=False))
        return got

    assert await job.run() == ["thread", "loop"]
    assert await job.run() == ["thread", "loop"]
