"""No effect twice where a run is interrupted or stops (rules A5, A6, A7)."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.worlds import KINDS, Gate, failure, interrupt_cell, running_bodies, statuses, until
from trigger_nb import Reason, Run, RunStatus, TaskStatus
from trigger_nb.errors import RunInterruptedError

pytestmark = pytest.mark.anyio


# --- A run interrupted in a `def` body ------------------------------------------------------------------


async def test_an_interrupted_threads_body_is_adopted(world):
    """A5, A7: the run is INTERRUPTED at once, the thread goes on, and the next pass takes its result."""
    gate = Gate()
    job = world.charging(gate)

    await interrupt_cell(job, gate)
    assert job.runs()[0].status == RunStatus.INTERRUPTED
    run = job.start()
    await until(lambda: run._execution.pass_.reasons)
    gate.open()
    assert await run == "charged"
    assert run.task("charge").reason == Reason.ADOPTED
    assert world.take() == ["charge"]


async def test_a_living_body_is_no_crash_however_often_it_is_met(world, starts_are_recorded):
    """A5, A1: its start is recorded and has no end, and it lives: nothing has crashed."""
    gate = Gate()

    def charge(task):
        world.note(task.attempt)
        gate.pass_through()
        return "charged"

    @world.client.job
    async def job(payload, io):
        return await io.run_task("charge", charge)

    store = world.client.runtime.store

    async def begin_and_pause():
        run = job.start()
        await until(lambda: run._execution.pass_.reasons or gate.reached.is_set())
        await until(lambda: '"status":"RUNNING"' in (store.get(f"{run.id}/charge") or ""))
        run.pause(now=True)
        await failure(run)

    for _ in range(5):
        await begin_and_pause()
    run = job.start()
    gate.open()
    assert await run == "charged"
    assert world.take() == [1]


async def test_an_interrupted_async_body_runs_again(world):
    """A7: it was cancelled, and that is no error of its own: no attempt is counted."""
    gate = Gate()
    attempts = []

    async def body(task):
        attempts.append(task.attempt)
        if len(attempts) == 1:
            gate.reached.set()
            await asyncio.sleep(3600)
        return "done"

    @world.client.job
    async def job(payload, io):
        return await io.run_task("body", body, retry=3)

    await interrupt_cell(job, gate)
    run = job.runs()[0]
    assert (run.status, run.task("body").status) == (RunStatus.INTERRUPTED, TaskStatus.PENDING)
    run = job.start()
    assert await run == "done"
    assert attempts == [1, 1]
    assert run.task("body").reason == Reason.INTERRUPTED


async def test_a_waiter_of_a_started_run_is_only_a_waiter(world):
    """A7: cancelling a cell that merely awaits a started run loses the waiter, not the run."""
    gate = Gate()

    @world.client.job
    async def job(payload, io):
        return await io.run_task("body", gate.pass_through_async)

    run = job.start()

    async def wait_for_run():
        return await run

    waiter = asyncio.ensure_future(wait_for_run())
    await until(gate.reached.is_set)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert run.status == RunStatus.RUNNING
    gate.open()
    await run
    assert run.status == RunStatus.COMPLETED


async def test_what_user_code_does_with_a_cancellation_changes_no_record(world):
    """W3, A7: swallowing it does not help: every `io` call of that pass raises it again."""
    gate = Gate()

    @world.client.job
    async def job(payload, io):
        for name in ("a", "b", "c"):
            try:
                if name == "a":
                    gate.reached.set()
                await io.run_task(name, asyncio.sleep, 3600)
            except asyncio.CancelledError:
                world.note(name)
        return "swallowed"

    run = job.start()
    await until(gate.reached.is_set)
    await until(lambda: any(key[2] == "a" for key in running_bodies))
    run.cancel()
    await failure(run)
    assert world.take() == ["a", "b", "c"]
    assert run.status == RunStatus.CANCELED
    assert set(statuses(run)) == {"a"}


async def test_a_def_job_that_is_interrupted_unwinds(world):
    """W3: `RunInterrupted` passes `except Exception`, and every `io` call raises it again."""
    from trigger_nb.errors import RunInterrupted

    gate = Gate()

    @world.client.job
    def job(payload, io):
        for name in ("a", "b"):
            try:
                io.run_task(name, gate.pass_through_async)
            except Exception:
                world.note("Exception")
            except RunInterrupted:
                world.note("RunInterrupted")
        return "swallowed"

    run = job.start()
    await until(gate.reached.is_set)
    run.pause(now=True)
    assert isinstance(await failure(run), RunInterruptedError)
    await until(lambda: len(world.calls) == 2)  # the run does not wait for the thread to unwind
    assert world.take() == ["RunInterrupted"] * 2
    assert (run.status, run.reason) == (RunStatus.WAITING, "paused")


# --- An attempt that fails while the run stops -----------------------------------------------------------


@pytest.mark.parametrize("stop", [Run.cancel, Run.pause])
@pytest.mark.parametrize("in_thread", [False, True])
async def test_an_attempt_that_fails_as_the_run_stops_is_followed_by_the_next_one(world, stop, in_thread):
    """A1, A7, W3: the error is not the task's last, so the code around it does not get it to handle."""

    async def flaky(task):
        world.note(task.attempt)
        if task.attempt == 1:
            stop(run)
            raise OSError("once")
        return "done"

    world.kind = KINDS[in_thread]

    @world.body
    def parent(io):
        try:
            return (yield io.run_task("flaky", flaky, retry=2))
        except OSError:
            return "handled"

    @world.client.job
    async def job(payload, io):
        return await io.run_task("parent", parent)

    run = job.start()
    await failure(run)
    await until(lambda: not running_bodies)
    flaked = run.task("parent/flaky")
    assert (flaked.status, flaked.attempt) == (TaskStatus.WAITING, 1)
    assert isinstance(flaked.error, OSError)
    assert await job.run() == "done"
    assert world.take() == [1, 2]


async def test_a_last_attempt_that_fails_as_the_run_stops_is_the_end_of_its_task(world):
    """A1: the policy has given up, whether the run stops or not."""

    async def broken(task):
        world.note(task.attempt)
        if task.attempt == 2:
            run.cancel()
        raise OSError("always")

    @world.client.job
    async def job(payload, io):
        await io.run_task("broken", broken, retry=2)

    run = job.start()
    await failure(run)
    assert (run.task("broken").status, run.task("broken").attempt) == (TaskStatus.ERRORED, 2)
    assert world.take() == [1, 2]


async def test_a_threads_attempt_that_fails_after_the_run_has_stopped_is_followed_by_the_next_one(world):
    """A1, A6: the error is recorded, though nobody waits for it, and so is that there is another attempt."""
    gate = Gate()

    def flaky(task):
        world.note(task.attempt)
        if task.attempt == 1:
            gate.pass_through()
            raise OSError("once")
        return "done"

    @world.client.job
    async def job(payload, io):
        return await io.run_task("flaky", flaky, retry=2)

    run = job.start()
    await until(gate.reached.is_set)
    run.cancel()
    await failure(run)
    gate.open()
    await until(lambda: not running_bodies)
    assert (run.task("flaky").status, run.task("flaky").attempt) == (TaskStatus.WAITING, 1)
    assert isinstance(run.task("flaky").error, OSError)
    assert await job.run() == "done"
    assert world.take() == [1, 2]


@pytest.mark.parametrize("option", ["on_error", "retry"])
async def test_an_attempt_that_cannot_be_judged_after_the_run_has_stopped_is_judged_by_the_next_pass(
    world, option
):
    """A1, A2: a handler is asked in a pass, and what a retry strategy raises is raised in one."""
    from tenacity import AsyncRetrying

    gate = Gate()

    def broken():
        world.note("broken")
        gate.pass_through()
        raise OSError("always")

    def judge(*args, **named):
        raise KeyError("judged")

    options = {"on_error": {"on_error": judge}, "retry": {"retry": AsyncRetrying(stop=judge)}}

    @world.client.job
    async def job(payload, io):
        await io.run_task("broken", broken, **options[option])

    run = job.start()
    await until(gate.reached.is_set)
    run.cancel()
    await failure(run)
    gate.open()
    await until(lambda: not running_bodies)
    assert run.task("broken").status == TaskStatus.PENDING
    assert isinstance(await failure(job.run()), KeyError)
    assert world.take() == ["broken", "broken"]


@pytest.mark.parametrize("raises", [False, True])
@pytest.mark.parametrize("in_thread", [False, True])
async def test_what_a_body_makes_of_its_cancellation_is_no_end_of_its_task(world, in_thread, raises):
    """W3, A6: it neither returned nor failed, whatever its code says: the next pass runs it again."""
    gate = Gate()

    world.kind = KINDS[in_thread]

    @world.body
    def parent(io):
        try:
            return (yield io.run_task("child", gate.pass_through_async))
        except BaseException:
            if raises:
                raise OSError("swallowed") from None
            return "swallowed"

    @world.client.job
    async def job(payload, io):
        return await io.run_task("parent", parent)

    run = job.start()
    await until(gate.reached.is_set)
    run.cancel()
    await failure(run)
    await until(lambda: not running_bodies)
    assert statuses(run) == {"parent": TaskStatus.PENDING, "parent/child": TaskStatus.PENDING}
    gate.open()
    assert await job.run() is None
    assert statuses(run) == {"parent": TaskStatus.COMPLETED, "parent/child": TaskStatus.COMPLETED}
