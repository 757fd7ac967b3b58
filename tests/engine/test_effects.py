"""No effect twice: bodies in flight are adopted, and lost races replay as they were (rules A5, A6, A8, I7)."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.worlds import Gate, World, time_is_up, until, wait_until
from trigger_nb import Reason, Retry, Run, RunStatus, TaskStatus
from trigger_nb._tasks import running as running_module
from trigger_nb._tasks.running import running_bodies
from trigger_nb.errors import RunInterruptedError, TaskTimeoutError

pytestmark = pytest.mark.anyio


@pytest.fixture
async def world(tmp_path):
    world = World(tmp_path / "store")
    yield world
    await until(lambda: not running_bodies)
    world.new_kernel()


def statuses(run):
    return {task.path: task.status for task in run.tasks}


async def failure(awaitable):
    try:
        value = await awaitable
    except Exception as error:
        return error
    raise AssertionError(f"it returned {value!r}")


# --- A gather whose first child fails while another is in flight ------------------------------------


@pytest.mark.parametrize("in_thread", [False, True])
async def test_a_child_in_flight_is_adopted_by_the_next_pass(world, in_thread):
    """A5: the run has failed, the other child's body goes on, and the next pass takes its result."""
    gate = Gate()
    fails = world.failing("fails", ValueError("once"))

    if in_thread:

        def charge():
            world.note("charge")
            gate.pass_through()
            return "charged"
    else:

        async def charge():
            world.note("charge")
            await gate.pass_through_async()
            return "charged"

    @world.client.job
    async def job(payload, io):
        async def after_charge():
            await until(gate.reached.is_set)
            return await io.run_task("fails", fails)

        return await asyncio.gather(io.run_task("charge", charge), after_charge())

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
    fails = world.failing("fails", ValueError("once"))

    if in_thread:

        def charge():
            world.note("charge")
            gate.pass_through()
            return "charged"
    else:

        async def charge():
            world.note("charge")
            await gate.pass_through_async()
            return "charged"

    @world.client.job
    async def job(payload, io):
        async def after_charge():
            await until(gate.reached.is_set)
            return await io.run_task("fails", fails)

        return await asyncio.gather(io.run_task("charge", charge), after_charge())

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

    if in_thread:

        def charge():
            world.note("charge")
            gate.pass_through()
            return "charged"
    else:

        async def charge():
            world.note("charge")
            await gate.pass_through_async()
            return "charged"

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
    fails = world.failing("fails", ValueError("once"))
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

    @world.client.job
    async def job(payload, io):
        async def after_charge():
            await until(gate.reached.is_set)
            return await io.run_task("fails", fails)

        return await asyncio.gather(io.run_task("charge", charge, retry=2), after_charge())

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
    fails = world.failing("fails", ValueError("once"))
    errors = [OSError("refused"), None]

    async def charge():
        await gate.pass_through_async()
        if (error := errors.pop(0)) is not None:
            raise error
        return "charged"

    @world.client.job
    async def job(payload, io):
        async def after_charge():
            await until(gate.reached.is_set)
            return await io.run_task("fails", fails)

        return await asyncio.gather(io.run_task("charge", charge, retry=5), after_charge())

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

    async def charge():
        world.note("charge")
        await gate.pass_through_async()
        return "charged"

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

    def charge():
        world.note("charge")
        gate.pass_through()
        return "charged"

    @world.client.job
    async def job(payload, io):
        return await io.run_task("charge", charge, timeout=0.01, retry=Retry(limit=10_000, min_timeout=0))

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

    def charge():
        world.note("charge")
        gate.pass_through()
        return "charged"

    @world.client.job
    async def job(payload, io):
        return await io.run_task("charge", charge, timeout=0.01, retry=Retry(limit=3, min_timeout=60))

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

    def charge():
        world.note("charge")
        gate.pass_through()
        return "charged"

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

    def charge():
        world.note("charge")
        gate.pass_through()
        return "charged"

    @world.client.job
    async def job(payload, io):
        return await io.run_task("charge", charge, timeout=0.01)

    assert isinstance(await failure(job.run()), TaskTimeoutError)
    gate.open()
    assert await job.run() == "charged"
    assert world.take() == ["charge"]


# --- A run interrupted in a `def` body ------------------------------------------------------------------


async def test_an_interrupted_threads_body_is_adopted(world):
    """A5, A7: the run is INTERRUPTED at once, the thread goes on, and the next pass takes its result."""
    gate = Gate()

    def charge():
        world.note("charge")
        gate.pass_through()
        return "charged"

    @world.client.job
    async def job(payload, io):
        return await io.run_task("charge", charge)

    cell = asyncio.ensure_future(job.run())
    await until(gate.reached.is_set)
    cell.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cell
    assert job.runs()[0].status == RunStatus.INTERRUPTED
    run = job.start()
    await until(lambda: run._execution.pass_.header.reasons)
    gate.open()
    assert await run == "charged"
    assert run.task("charge").reason == Reason.ADOPTED
    assert world.take() == ["charge"]


async def test_a_living_body_is_no_crash_however_often_it_is_met(world, monkeypatch):
    """A5, A1: its start is recorded and has no end, and it lives: nothing has crashed."""
    monkeypatch.setattr(running_module, "MARK_AFTER", 0.0)
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
        await until(lambda: run._execution.pass_.header.reasons or gate.reached.is_set())
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

    cell = asyncio.ensure_future(job.run())
    await until(gate.reached.is_set)
    cell.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cell
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

    if in_thread:

        def parent(io):
            try:
                return io.run_task("flaky", flaky, retry=2)
            except OSError:
                return "handled"
    else:

        async def parent(io):
            try:
                return await io.run_task("flaky", flaky, retry=2)
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

    def swallow():
        if raises:
            raise OSError("swallowed")
        return "swallowed"

    if in_thread:

        def parent(io):
            try:
                return io.run_task("child", gate.pass_through_async)
            except BaseException:
                return swallow()
    else:

        async def parent(io):
            try:
                return await io.run_task("child", gate.pass_through_async)
            except BaseException:
                return swallow()

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


# --- A job edited while it runs ---------------------------------------------------------------------------


@pytest.mark.parametrize("in_thread", [False, True])
async def test_an_edited_job_takes_over(world, in_thread):
    """I7: what is in flight finishes and is recorded, no new body starts in the old pass, then the new code runs."""
    gate = Gate()

    if in_thread:

        def charge():
            world.note("charge")
            gate.pass_through()
            return "charged"
    else:

        async def charge():
            world.note("charge")
            await gate.pass_through_async()
            return "charged"

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

    def slow():
        world.note("slow")
        gate.pass_through()
        return "late"

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

    def charge():
        world.note("charge")
        gate.pass_through()
        return "charged"

    @world.client.job
    async def job(payload, io):
        return await io.run_task("charge", charge, timeout=0.01)

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
