"""`pause()`, `pause(now=True)` and `cancel()` of runs with bodies in flight and child runs (A7)."""

from __future__ import annotations

import asyncio
from functools import partial

import anyio
import pytest

from tests.support.worlds import Gate, interrupt_cell, until
from trigger_nb import Run, RunStatus, TaskStatus
from trigger_nb._tasks.running import running_bodies
from trigger_nb.errors import RunCanceledError, RunInterruptedError, RunStateError, TaskTimeoutError

pytestmark = pytest.mark.anyio


@pytest.fixture
def world(async_world):
    return async_world


def two_steps(world, gate, in_thread=False):
    def block():
        world.note("one")
        gate.pass_through()
        return 1

    async def wait():
        world.note("one")
        await gate.pass_through_async()
        return 1

    @world.client.job(id="steps")
    async def steps(payload, io):
        one = await io.run_task("one", block if in_thread else wait)
        return one + await io.run_task("two", world.noting("two", 2))

    return steps


# --- A gentle pause -------------------------------------------------------------------------------------


@pytest.mark.parametrize("in_thread", [False, True])
async def test_a_pause_lets_the_tasks_end_that_run(world, in_thread):
    gate = Gate()
    run = two_steps(world, gate, in_thread).start()
    await until(gate.reached.is_set)
    run.pause()
    assert (run.status, run.reason) == (RunStatus.RUNNING, "pausing")
    assert "RUNNING (pausing)" in run.tree()
    assert "Pausing: tasks that run end, and no other begins." in run.tree()
    gate.open()
    with pytest.raises(RunInterruptedError, match="is paused"):
        await run
    assert (run.status, run.reason) == (RunStatus.WAITING, "paused")
    assert {task.path: task.status for task in run.tasks if task.started_at}["one"] == TaskStatus.COMPLETED
    assert await run.resume() == 3
    assert world.take() == ["one", "two"]


@pytest.mark.parametrize("stop", [partial(Run.pause, now=True), Run.cancel])
async def test_a_run_that_is_pausing_can_still_be_cut(world, stop):
    gate = Gate()
    run = two_steps(world, gate).start()
    await until(gate.reached.is_set)
    stop(run.pause())
    with pytest.raises((RunInterruptedError, RunCanceledError)):
        await run
    assert run.task("one").status == TaskStatus.PENDING
    gate.open()
    assert await run.resume() == 3
    assert world.take() == ["one", "one", "two"]


@pytest.mark.parametrize("again", [Run.resume, lambda run: None])
async def test_a_run_that_is_pausing_can_be_resumed_or_run_again(world, again):
    gate = Gate()
    job = two_steps(world, gate)
    run = job.start()
    await until(gate.reached.is_set)
    run.pause()
    again(run) or job.start()
    gate.open()
    assert await job.run() == 3
    assert world.take() == ["one", "two"]


async def test_a_pause_of_a_map_lets_its_items_end_and_begins_no_other(world):
    gate = Gate()

    async def item(x):
        world.note(x)
        await gate.pass_through_async()
        return x

    @world.client.job
    async def job(payload, io):
        return await io.map("m", range(6), item, concurrency=2)

    run = job.start()
    await until(lambda: len(world.calls) == 2)
    run.pause()
    gate.open()
    with pytest.raises(RunInterruptedError):
        await run
    assert world.take() == [0, 1]
    assert [task.status for task in run.tasks if "/" in task.path][:2] == ["COMPLETED"] * 2
    assert await run.resume() == list(range(6))
    assert world.take() == [2, 3, 4, 5]


async def test_an_attempt_that_fails_while_pausing_is_followed_by_the_next_after_it(world):
    gate = Gate()

    async def flaky(task):
        world.note(task.attempt)
        await gate.pass_through_async()
        if task.attempt == 1:
            raise OSError("once")
        return "done"

    @world.client.job
    async def job(payload, io):
        return await io.run_task("flaky", flaky, retry=2)

    run = job.start()
    await until(gate.reached.is_set)
    run.pause()
    gate.open()
    with pytest.raises(RunInterruptedError):
        await run
    assert world.take() == [1]
    assert await run.resume() == "done"
    assert world.take() == [2]


# --- Too late -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop", [Run.cancel, Run.pause, partial(Run.pause, now=True)])
async def test_a_stop_that_comes_too_late_is_refused(world, stop):
    """The run function has returned; what it left in the store is not written yet."""
    refused = []

    @world.client.job
    async def job(payload, io):
        def then(main):
            try:
                stop(run)
            except RunStateError as error:
                refused.append(str(error))

        asyncio.current_task().add_done_callback(then)
        return "done"

    run = job.start()
    assert await run == "done"
    assert run.status == RunStatus.COMPLETED
    assert len(refused) == 1
    assert "too late" in refused[0]


# --- Child runs -----------------------------------------------------------------------------------------


def parent_of(world, gate, how="invoke_and_wait", timeout=None):
    async def step(n):
        world.note(n)
        await gate.pass_through_async()
        return n

    @world.client.job(id="child")
    async def child(payload, io):
        return [await io.run_task(("step", n), step, n) for n in range(2)]

    @world.client.job(id="parent")
    async def parent(payload, io):
        if how == "run":
            return await child.run()
        return await io.invoke_and_wait("child", child, timeout=timeout)

    return parent, child


HOWS = ["invoke_and_wait", "run"]


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize(
    ("stop", "status", "reason"),
    [
        (Run.cancel, RunStatus.CANCELED, ""),
        (partial(Run.pause, now=True), RunStatus.WAITING, "paused"),
    ],
)
async def test_a_child_run_stops_with_the_run_that_waits_for_it(world, how, stop, status, reason):
    gate = Gate()
    parent, child = parent_of(world, gate, how)
    run = parent.start()
    await until(gate.reached.is_set)
    stop(run)
    with pytest.raises((RunInterruptedError, RunCanceledError)):
        await run
    (inner,) = child.runs()
    assert (run.status, run.reason) == (inner.status, inner.reason) == (status, reason)
    assert not running_bodies
    gate.open()
    assert await run.resume() == [0, 1]
    assert world.take() == [0, 0, 1]
    assert len(child.runs()) == 1


@pytest.mark.parametrize("how", HOWS)
async def test_a_child_run_is_interrupted_with_the_cell(world, how):
    gate = Gate()
    parent, child = parent_of(world, gate, how)
    await interrupt_cell(parent, gate)
    assert child.runs()[0].status == RunStatus.INTERRUPTED
    gate.open()
    assert await parent.run() == [0, 1]


@pytest.mark.parametrize("how", HOWS)
async def test_a_child_run_is_paused_gently_with_its_parent(world, how):
    gate = Gate()
    parent, child = parent_of(world, gate, how)
    run = parent.start()
    await until(gate.reached.is_set)
    run.pause()
    (inner,) = child.runs()
    assert run.reason == inner.reason == "pausing"
    gate.open()
    with pytest.raises(RunInterruptedError):
        await run
    assert run.reason == inner.reason == "paused"
    assert world.take() == [0]
    assert await run.resume() == [0, 1]
    assert world.take() == [1]
    assert run.status == inner.status == RunStatus.COMPLETED


async def test_a_child_run_stops_when_the_time_for_it_is_up(world):
    gate = Gate()
    parent, child = parent_of(world, gate, timeout=0.05)
    with pytest.raises(TaskTimeoutError):
        await parent.run()
    await until(lambda: child.runs()[0].status == RunStatus.INTERRUPTED)
    assert not running_bodies


@pytest.mark.parametrize("grouped", [asyncio.TaskGroup, anyio.create_task_group, None])
async def test_a_child_run_stops_when_a_task_beside_it_fails(world, grouped):
    gate = Gate()
    _, child = parent_of(world, gate)

    async def fails():
        await until(gate.reached.is_set)
        raise OSError("beside it")

    @world.client.job
    async def job(payload, io):
        if grouped is None:
            await asyncio.gather(io.invoke_and_wait("child", child), io.run_task("fails", fails))
            return
        async with grouped() as group:

            async def wait():
                await io.invoke_and_wait("child", child)

            group.create_task(wait()) if grouped is asyncio.TaskGroup else group.start_soon(wait)
            await io.run_task("fails", fails)

    with pytest.raises((OSError, ExceptionGroup)):
        await job.run()
    await until(lambda: child.runs()[0].status == RunStatus.INTERRUPTED)
    assert world.take() == [0]
    assert all(task.error is None for task in job.runs()[0].tasks if task.path == "child")


async def test_a_run_that_is_awaited_and_no_child_goes_on(world):
    """A7: who only waits loses the wait."""
    gate = Gate()
    _, child = parent_of(world, gate)
    other = child.start()
    await until(gate.reached.is_set)

    @world.client.job
    async def waits(payload, io):
        return await other

    run = waits.start()
    await until(lambda: run.id in world.client.runtime.waits and world.client.runtime.waits[run.id])
    run.cancel()
    with pytest.raises(RunCanceledError):
        await run
    assert other.status == RunStatus.RUNNING
    gate.open()
    assert await other == [0, 1]
