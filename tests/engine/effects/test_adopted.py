"""No effect twice: bodies in flight are adopted (rules A5, A6, I7)."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.worlds import Gate, World, failure, running_bodies, statuses, until, wait_until
from trigger_nb import Reason, Retry, RunStatus, TaskStatus
from trigger_nb.errors import TaskTimeoutError

pytestmark = pytest.mark.anyio


# --- A gather whose first child fails while another is in flight ------------------------------------


def charging_beside_a_failure(world, gate, charge, **options):
    """A job whose first pass fails while the body of `charge` stands at the gate."""
    fails = world.failing("fails", ValueError("once"))

    @world.client.job
    async def job(payload, io):
        async def after_charge():
            await until(gate.reached.is_set)
            return await io.run_task("fails", fails)

        return await asyncio.gather(io.run_task("charge", charge, **options), after_charge())

    return job


@pytest.mark.parametrize("in_thread", [False, True])
async def test_a_child_in_flight_is_adopted_by_the_next_pass(world, in_thread):
    """A5: the run has failed, the other child's body goes on, and the next pass takes its result."""
    gate = Gate()
    charge = world.gated("charge", gate, "charged", in_thread=in_thread)

    job = charging_beside_a_failure(world, gate, charge)

    assert isinstance(await failure(job.run()), ValueError)
    run = job.start()
    await until(lambda: any(task.path == "fails" and task.status == "COMPLETED" for task in run.tasks))
    gate.open()
    assert await run == ["charged", "fails"]
    assert run.task("charge").reason == Reason.ADOPTED
    assert world.take() == ["charge", "fails", "fails"]
    assert await job.run() == ["charged", "fails"]
    assert world.take() == []


@pytest.mark.parametrize("in_thread", [False, True])
async def test_a_result_between_two_passes_is_found(world, in_thread):
    """A5, A6: the body ends when no pass is under way; its result is recorded and replayed."""
    gate = Gate()
    charge = world.gated("charge", gate, "charged", in_thread=in_thread)

    job = charging_beside_a_failure(world, gate, charge)

    assert isinstance(await failure(job.run()), ValueError)
    gate.open()
    await until(lambda: not running_bodies)
    run = job.start()
    assert await run == ["charged", "fails"]
    assert run.task("charge").reason == Reason.REPLAYED
    assert world.take() == ["charge", "fails", "fails"]


@pytest.mark.parametrize("in_thread", [False, True])
async def test_a_result_that_comes_while_the_next_pass_is_elsewhere_is_found(world, in_thread):
    """A5, R1: the next pass had read the store before the result was there, and meets the call after."""
    gate, elsewhere = Gate(), Gate()
    fails = world.failing("fails", ValueError("once"))
    charge = world.gated("charge", gate, "charged", in_thread=in_thread)

    passes = []

    @world.client.job
    async def job(payload, io):
        passes.append(1)

        async def first():
            if len(passes) == 2:
                await elsewhere.pass_through_async()
            return await io.run_task("charge", charge)

        async def second():
            await until(gate.reached.is_set)
            return await io.run_task("fails", fails)

        return await asyncio.gather(first(), second())

    assert isinstance(await failure(job.run()), ValueError)
    run = job.start()
    await until(elsewhere.reached.is_set)
    gate.open()
    await until(lambda: not any(key[2] == "charge" for key in running_bodies))
    elsewhere.open()
    assert await run == ["charged", "fails"]
    assert world.take().count("charge") == 1


@pytest.mark.parametrize("in_thread", [False, True])
async def test_an_adopted_body_that_fails_is_this_calls_failure(world, in_thread):
    """A5, A1: the adopting call gets the error, and its retry policy counts that attempt."""
    gate = Gate()
    attempts = []

    if in_thread:

        def charge(task):
            attempts.append(task.attempt)
            if len(attempts) == 1:
                gate.pass_through()
                raise OSError("refused")
            return "charged"
    else:

        async def charge(task):
            attempts.append(task.attempt)
            if len(attempts) == 1:
                await gate.pass_through_async()
                raise OSError("refused")
            return "charged"

    job = charging_beside_a_failure(world, gate, charge, retry=2)

    assert isinstance(await failure(job.run()), ValueError)
    run = job.start()
    await until(lambda: any(task.path == "fails" and task.status == "COMPLETED" for task in run.tasks))
    gate.open()
    assert await run == ["charged", "fails"]
    assert attempts == [1, 2]
    assert run.task("charge").attempt == 2


async def test_a_body_that_fails_when_nobody_waits_is_recorded_and_run_again(world):
    """A6, R5: its error is in the tree; nobody handled it, so the next pass runs the task again."""
    gate = Gate()
    errors = [OSError("refused"), None]

    async def charge():
        await gate.pass_through_async()
        if (error := errors.pop(0)) is not None:
            raise error
        return "charged"

    job = charging_beside_a_failure(world, gate, charge, retry=5)

    run = job.start()
    assert isinstance(await failure(run), ValueError)
    gate.open()
    await until(lambda: statuses(run).get("charge") == TaskStatus.ERRORED)
    assert isinstance(run.task("charge").error, OSError)
    assert await job.run() == ["charged", "fails"]
    assert errors == []


async def test_the_second_attempt_of_a_parent_adopts_a_child_of_the_first(world):
    """A5: the parent failed by itself and is retried, its other child still runs."""
    gate = Gate()
    parents = []
    charge = world.gated("charge", gate, "charged", in_thread=False)

    async def parent(io):
        parents.append(1)
        charging = asyncio.ensure_future(io.run_task("charge", charge))
        await until(gate.reached.is_set)
        if len(parents) == 1:
            raise ValueError("of the parent's own")
        gate.open()
        return await charging

    @world.client.job
    async def job(payload, io):
        return await io.run_task("parent", parent, retry=2)

    run = job.start()
    assert await run == "charged"
    assert world.take() == ["charge"]
    assert len(parents) == 2
    assert statuses(run) == {"parent": "COMPLETED", "parent/charge": "COMPLETED"}


# --- A body timed out in a thread ---------------------------------------------------------------------


async def test_a_timed_out_threads_body_is_adopted_by_the_next_attempt(world):
    """A3, A5: the thread cannot be stopped, so its result is the second attempt's."""
    gate = Gate()
    job = world.charging(gate, timeout=0.01, retry=Retry(limit=10_000, min_timeout=0))

    run = job.start()
    await until(lambda: any(task.attempt > 1 for task in run.tasks))
    gate.open()
    assert await run == "charged"
    assert world.take() == ["charge"]
    assert await job.run() == "charged"
    assert world.take() == []


async def test_a_timed_out_threads_result_is_the_next_attempts(world):
    """A5: it came while the next attempt was counted down to, and a completed effect is never repeated."""
    world.clock._autojump = False
    gate = Gate()
    job = world.charging(gate, timeout=0.01, retry=Retry(limit=3, min_timeout=60))

    run = job.start()
    await until(lambda: world.clock.deadlines)
    gate.open()
    assert await run == "charged", "though nobody turns the clock"
    assert world.take() == ["charge"]
    world.new_kernel()
    assert await world.client.job(job.fn).run() == "charged"
    assert world.take() == []


async def test_a_threads_result_is_noted_by_one_at_a_time(world):
    """A5: the loop looks at what is known of a task and then writes; no result may come in between."""
    gate = Gate()

    @world.client.job
    async def job(payload, io):
        await io.run_task("charge", gate.pass_through)

    run = job.start()
    await until(gate.reached.is_set)
    runtime = world.client.runtime
    with runtime.memory(run.id).lock:
        gate.open()
        await until(lambda: '"ended"' in (runtime.store.get(f"{run.id}/charge") or ""))
        await asyncio.sleep(0.05)  # room for a mistake, which nothing tells
        assert running_bodies, "its thread waits for whoever looks"
    await run


async def test_a_timed_out_threads_body_may_go_on_using_io(world):
    """A5, A6: it is alive and adopted, so its subtasks are its own."""
    gate = Gate()

    def parent(io):
        world.note("parent")
        gate.pass_through()
        return io.run_task("child", world.noting("child"))

    @world.client.job
    async def job(payload, io):
        return await io.run_task("parent", parent, timeout=0.01, retry=Retry(limit=10_000, min_timeout=0))

    run = job.start()
    await until(lambda: any(task.attempt > 1 for task in run.tasks))
    gate.open()
    assert await run == "child"
    assert world.take() == ["parent", "child"]


async def test_a_result_after_the_timeout_is_kept_beside_the_error(world):
    """A5, R2: the caller got the timeout and handled it, and does so again on replay."""
    gate = Gate()
    charge = world.gated("charge", gate, "charged", in_thread=True)

    @world.client.job
    async def job(payload, io):
        try:
            return await io.run_task("charge", charge, timeout=0.01)
        except TaskTimeoutError:
            return await io.run_task("fallback", world.noting("fallback"))

    assert await job.run() == "fallback"
    gate.open()
    await until(lambda: not running_bodies)
    run = job.start()
    assert await run == "fallback"
    assert world.take() == ["charge", "fallback"]
    assert run.task("charge").status == TaskStatus.COMPLETED
    assert run.task("charge").output == "charged"
    world.new_kernel()
    assert await world.client.job(job.fn).run() == "fallback"
    assert world.take() == []


async def test_an_unhandled_timeout_gets_the_late_result(world):
    """A5, R5: the timeout ended the run; the next pass finds what the thread brought home."""
    gate = Gate()
    job = world.charging(gate, timeout=0.01)

    assert isinstance(await failure(job.run()), TaskTimeoutError)
    gate.open()
    assert await job.run() == "charged"
    assert world.take() == ["charge"]


# --- A job edited while it runs ---------------------------------------------------------------------------


@pytest.mark.parametrize("in_thread", [False, True])
async def test_an_edited_job_takes_over(world, in_thread):
    """I7: what is in flight finishes and is recorded, no new body starts in the old pass, then the new code runs."""
    gate = Gate()

    charge = world.gated("charge", gate, "charged", in_thread=in_thread)

    async def before(payload, io):
        await io.run_task("charge", charge)
        return await io.run_task("old", world.noting("old"))

    async def after(payload, io):
        world.note("new code")
        charged = await io.run_task("charge", charge)
        return charged, await io.run_task("new", world.noting("new"))

    first = world.client.job(id="job")(before).start()
    await until(gate.reached.is_set)
    second = world.client.job(id="job")(after).start()
    assert first.id == second.id
    await asyncio.sleep(0)
    assert world.take() == ["charge"]
    gate.open()
    assert await second == ("charged", "new")
    assert await first == ("charged", "new")
    assert world.take() == ["new code", "new"]
    assert set(statuses(second)) == {"charge", "new"}


async def test_an_edited_job_does_not_wait_for_a_wait(world):
    """I7: a pass in which all waits has nothing in flight; the new one goes on with what is left of the wait."""
    world.clock._autojump = False

    async def before(payload, io):
        await io.wait("wait", days=1)
        return "old"

    async def after(payload, io):
        await io.wait("wait", days=1)
        return "new"

    first = world.client.job(id="job")(before).start()
    await until(lambda: world.clock.deadlines)
    (deadline,) = world.clock.deadlines
    world.clock.advance(3600)
    second = world.client.job(id="job")(after).start()
    await until(lambda: second._execution.pass_.run.passes == 2 and world.clock.deadlines)
    assert world.clock.deadlines == [deadline]
    world.clock.advance(24 * 3600)
    assert await first == "new"


async def test_the_same_job_is_joined(world):
    """I7: starting a run that is under way joins it; no second pass."""
    gate = Gate()
    passes = []

    @world.client.job
    async def job(payload, io):
        passes.append(1)
        return await io.run_task("body", gate.pass_through_async)

    first = job.start()
    await until(gate.reached.is_set)
    second = job.start()
    third = asyncio.ensure_future(job.run())
    await asyncio.sleep(0)
    gate.open()
    assert (await first, await second, await third) == (None, None, None)
    assert len(passes) == 1


# --- Threads and loops --------------------------------------------------------------------------------


async def test_a_blocked_loop_delays_no_record(world):
    """C6: a thread body's result is committed by its own thread."""
    seen = []

    def body():
        return "done"

    @world.client.job
    async def job(payload, io):
        task = asyncio.ensure_future(io.run_task("body", body))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        store = world.client.runtime.store
        wait_until(lambda: store.get(f"{run.id}/body") is not None)  # the loop stands still
        seen.append(task.done())
        return await task

    run = job.start()
    assert await run == "done"
    assert seen == [False]


def test_a_result_that_comes_after_the_loop_has_closed_is_kept(tmp_path):
    """A5: each `run_sync` has a loop of its own; the thread's result does not need it."""
    world = World(tmp_path / "store")
    gate = Gate()
    job = world.charging(gate, timeout=0.01)

    assert isinstance(world.fail(job), TaskTimeoutError)
    gate.open()
    wait_until(lambda: not running_bodies)
    assert world.run(job) == "charged"
    assert world.take() == ["charge"]
    world.new_kernel()


def test_a_thread_that_uses_io_after_the_loop_has_closed_is_interrupted(tmp_path):
    """W3: there is nobody left to run its subtask; the next pass runs the body again."""
    world = World(tmp_path / "store")
    gate = Gate()

    def parent(io):
        world.note("parent")
        gate.pass_through()
        return io.run_task("child", world.noting("child"))

    @world.client.job
    async def job(payload, io):
        return await io.run_task("parent", parent, timeout=timeouts.pop(0))

    timeouts = [0.01, 3600]
    assert isinstance(world.fail(job), TaskTimeoutError)
    gate.open()
    wait_until(lambda: not running_bodies)
    assert world.take() == ["parent"]
    assert world.run(job) == "child"
    assert world.take() == ["parent", "child"]
    world.new_kernel()


async def test_a_run_that_is_started_while_it_stops_begins_once_more(world):
    """I7: the cell was interrupted and run again at once; there are never two passes."""
    gate = Gate()
    passes = []

    @world.client.job
    async def job(payload, io):
        passes.append(1)
        if len(passes) == 1:
            await io.run_task("slow", asyncio.sleep, 3600)
        return await io.run_task("after", gate.pass_through_async)

    run = job.start()
    await until(lambda: running_bodies)
    run.cancel()
    again = job.start()
    gate.open()
    assert await again is None
    assert again.status == RunStatus.COMPLETED
    assert len(passes) == 2
