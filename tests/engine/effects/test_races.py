"""Races that user code decided replay as they were (rule A8)."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.worlds import Gate, World, failure, running_bodies, statuses, time_is_up, until
from trigger_nb import RunStatus, TaskStatus

pytestmark = pytest.mark.anyio


# --- A8: what the user's code cancelled -----------------------------------------------------------------


async def test_a_wait_for_replays_as_it_was(world):
    """A8: the body is not called while the call waits to be cancelled again."""

    async def slow():
        world.note("slow")
        await asyncio.sleep(3600)

    @world.client.job
    async def job(payload, io):
        try:
            await asyncio.wait_for(io.run_task("slow", slow), 0.05)
        except TimeoutError:
            return await io.run_task("fallback", world.noting("fallback"))

    run = job.start()
    assert await run == "fallback"
    assert statuses(run) == {"slow": TaskStatus.CANCELED, "fallback": TaskStatus.COMPLETED}
    assert world.take() == ["slow", "fallback"]
    for _ in range(2):
        world.new_kernel()
        assert await world.client.job(job.fn).run() == "fallback"
        assert world.take() == []


async def test_a_lost_race_replays_as_it_was(world):
    """A8: the loser was cancelled by the code; the winner replays and the loser is not called."""

    async def quick():
        world.note("quick")
        return "quick"

    async def slow():
        world.note("slow")
        await asyncio.sleep(3600)

    @world.client.job
    async def job(payload, io):
        racers = [asyncio.ensure_future(io.run_task(body.__name__, body)) for body in (slow, quick)]
        done, lost = await asyncio.wait(racers, return_when=asyncio.FIRST_COMPLETED)
        for each in lost:
            each.cancel()
        await asyncio.gather(*lost, return_exceptions=True)
        return [each.result() for each in done]

    run = job.start()
    assert await run == ["quick"]
    assert statuses(run) == {"slow": TaskStatus.CANCELED, "quick": TaskStatus.COMPLETED}
    world.take()
    world.new_kernel()
    assert await world.client.job(job.fn).run() == ["quick"]
    assert world.take() == []


async def test_a_race_lost_in_a_thread_replays_as_it_was(world):
    """A8, A5: the thread's result is recorded when it comes, and the replay still takes the same branch."""
    gate = Gate()
    slow = world.gated("slow", gate, "late", in_thread=True)

    @world.client.job
    async def job(payload, io):
        racer = asyncio.ensure_future(io.run_task("slow", slow))
        winner = asyncio.ensure_future(until(gate.reached.is_set))  # not before the thread has begun
        await asyncio.wait({racer, winner}, return_when=asyncio.FIRST_COMPLETED)
        racer.cancel()
        try:
            return await racer
        except asyncio.CancelledError:
            return await io.run_task("fallback", world.noting("fallback"))

    assert await job.run() == "fallback"
    gate.open()
    await until(lambda: not running_bodies)
    run = job.start()
    assert await run == "fallback"
    assert run.task("slow").output == "late"
    assert world.take() == ["slow", "fallback"]


async def test_a_cancelled_wait_replays_as_it_was(world):
    """A8, W1: also when the deadline has long passed by then."""
    world.clock._autojump = False

    @world.client.job
    async def job(payload, io):
        try:
            await asyncio.wait_for(io.wait("wait", hours=1), 0.05)
        except TimeoutError:
            return "timed out"
        return "waited"

    assert await job.run() == "timed out"
    world.clock.advance(2 * 3600)
    world.new_kernel()
    assert await world.client.job(job.fn).run() == "timed out"


async def test_a_cancelled_countdown_replays_as_it_was(world):
    """A8, A1: cancelled between two attempts."""
    world.clock._autojump = False

    @world.client.job
    async def job(payload, io):
        try:
            await asyncio.wait_for(io.run_task("fails", world.failing("fails", OSError("no")), retry=3), 0.05)
        except TimeoutError:
            return "timed out"

    assert await job.run() == "timed out"
    assert world.take() == ["fails"]
    world.clock.advance(3600)
    world.new_kernel()
    assert await world.client.job(job.fn).run() == "timed out"
    assert world.take() == []


async def test_a_cancelled_parent_replays_as_it_was(world):
    """A8: neither its body nor its children's are called again, and its children have no say of their own."""

    async def child():
        world.note("child")
        await asyncio.sleep(3600)

    async def parent(io):
        world.note("parent")
        await asyncio.gather(io.run_task("one", child), io.run_task("two", child))

    @world.client.job
    async def job(payload, io):
        try:
            await asyncio.wait_for(io.run_task("parent", parent), 0.05)
        except TimeoutError:
            return "timed out"

    run = job.start()
    assert await run == "timed out"
    assert statuses(run) == {
        "parent": TaskStatus.CANCELED,
        "parent/one": TaskStatus.PENDING,
        "parent/two": TaskStatus.PENDING,
    }
    world.take()
    world.new_kernel()
    assert await world.client.job(job.fn).run() == "timed out"
    assert world.take() == []


async def test_a_cancelled_parallel_replays_as_it_was(world):
    """A8: `io.parallel` cancelled as a whole."""

    async def item(item):
        world.note(item)
        await asyncio.sleep(3600)

    @world.client.job
    async def job(payload, io):
        try:
            await asyncio.wait_for(io.parallel("all", [1, 2], item), 0.05)
        except TimeoutError:
            return "timed out"

    assert await job.run() == "timed out"
    assert world.take() == [1, 2]
    world.new_kernel()
    assert await world.client.job(job.fn).run() == "timed out"
    assert world.take() == []


async def test_a_cancelled_body_runs_when_nobody_cancels_it(world):
    """A8: the code no longer cancels it; after about the time it took, the body runs."""
    first = [True]

    async def slow():
        world.note("slow")
        if first[0]:
            await asyncio.sleep(3600)
        return "done"

    @world.client.job
    async def job(payload, io):
        call = io.run_task("slow", slow)
        if not first[0]:
            return await call
        try:
            await asyncio.wait_for(call, 0.01)
        except TimeoutError:
            raise ValueError("ended here") from None

    assert isinstance(await failure(job.run()), ValueError)
    first[0] = False
    assert await job.run() == "done"
    assert world.take() == ["slow", "slow"]


async def test_a_time_limit_that_ended_the_run_is_not_waited_for_again(world):
    """A8, R5: nobody caught it, so the run failed; else running the cell again would fail for ever."""
    slow_ones = [True]

    async def body():
        world.note("body")
        await asyncio.sleep(3600 if slow_ones.pop() else 0)
        return "done"

    @world.client.job
    async def job(payload, io):
        async with asyncio.timeout(0.05 if slow_ones else 3600):
            return await io.run_task("body", body)

    assert isinstance(await failure(job.run()), TimeoutError)
    slow_ones.append(False)
    assert await job.run() == "done"
    assert world.take() == ["body", "body"]


async def test_what_a_failing_sibling_cancelled_runs_at_once(world, monkeypatch):
    """A8, R5: a task group cancelled it because a task failed, and that error is not final."""
    errors = [ValueError("no")]

    async def fails():
        if errors:
            raise errors.pop()

    async def cut_short():
        world.note("cut short")
        await asyncio.sleep(3600 if errors else 0)

    @world.client.job
    async def job(payload, io):
        async with asyncio.TaskGroup() as group:
            group.create_task(io.run_task("cut short", cut_short))
            group.create_task(io.run_task("fails", fails))

    assert isinstance(await failure(job.run()), ExceptionGroup)
    waited = []
    monkeypatch.setattr("anyio.sleep", _noting_sleep(waited))
    await job.run()
    assert world.take() == ["cut short", "cut short"]
    assert waited == []


def _noting_sleep(waited):
    async def sleep(seconds):
        waited.append(seconds)

    return sleep


async def test_children_of_an_attempt_that_timed_out_run_in_the_next(world):
    """A3, A8: the parent's time was up; that is no wish of the code about its children."""
    attempts = []

    async def child():
        world.note("child")
        if len(attempts) == 1:
            await asyncio.sleep(3600)
        return "child"

    async def parent(io, task):
        attempts.append(task.attempt)
        return await io.run_task("child", child)

    @world.client.job
    async def job(payload, io):
        return await io.run_task("parent", parent, timeout=60, retry=2)

    run = job.start()
    await until(lambda: world.calls)
    await time_is_up("parent")
    assert await run == "child"
    assert attempts == [1, 2]
    assert world.take() == ["child", "child"]


async def test_a_loop_that_shuts_down_is_no_wish_of_the_code(tmp_path):
    """A7, A8: a script that ends while its run is under way leaves it INTERRUPTED, and nothing CANCELED."""

    def script(started):
        world = World(tmp_path / "store")

        @world.client.job
        async def job(payload, io):
            async def parent(io):
                await asyncio.gather(
                    io.run_task("one", asyncio.sleep, 3600), io.run_task("two", asyncio.sleep, 3600)
                )

            await asyncio.gather(io.run_task("parent", parent), io.run_task("three", asyncio.sleep, 3600))

        async def main():
            run = job.start()
            await until(lambda: len(running_bodies) == 4)
            return run

        run = asyncio.run(main())
        started.append((run.status, statuses(run)))
        world.new_kernel()

    started = []
    await asyncio.to_thread(script, started)
    ((status, tasks),) = started
    assert status == RunStatus.INTERRUPTED
    assert set(tasks.values()) == {TaskStatus.PENDING}
    assert set(tasks) == {"parent", "parent/one", "parent/two", "three"}
