"""How bodies end that do not return or raise an `Exception`: sys.exit, stray cancellations, our own stops (W3, A1, A7)."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import anyio
import pytest

from tests.support.worlds import wait_until
from trigger_nb import Run, RunStatus, TaskStatus
from trigger_nb.errors import ExitError, MapError, TaskTimeoutError, TriggerError

# --- sys.exit and others that are no `Exception` --------------------------------------------------------


class Panic(BaseException):
    """As pyo3 raises it for a panic in Rust."""


def leave_by_exit():
    sys.exit(3)


def leave_by_argparse():
    argparse.ArgumentParser(exit_on_error=True).parse_args(["--unknown"])


def leave_by_panic():
    raise Panic("at the index 7")


def leave_in_a_group():
    raise BaseExceptionGroup("group", [SystemExit(3), OSError("beside it")])


LEAVES = {  # and what each raises
    leave_by_exit: "SystemExit",
    leave_by_argparse: "SystemExit",
    leave_by_panic: "Panic",
    leave_in_a_group: "BaseExceptionGroup",
}


@pytest.mark.parametrize("leave", LEAVES)
def test_a_body_that_leaves_by_sys_exit_is_a_failed_task(world, leave):
    """It is raised out of `io` as an error, recorded, and raised again on replay."""

    @world.job
    def job(payload, io):
        try:
            yield io.run_task("leaves", world.body(leave, note="body"))
        except ExitError as error:
            world.note(type(error.__cause__).__name__)
        return (yield io.run_task("after", world.body(lambda: "after")))

    assert world.run(job) == world.run(job) == "after"
    world.new_kernel()
    assert world.run(world.client.job(id="job")(job.fn)) == "after"
    body, *causes = world.take()
    assert body == "body"
    assert causes == [LEAVES[leave]] * 3
    assert world.last(job).task("leaves").status == TaskStatus.ERRORED


def test_an_exit_names_its_task_and_is_retried(world):
    @world.job
    def job(payload, io):
        yield io.run_task("convert", world.body(leave_by_exit, note="convert"), retry=3)

    error = world.fail(job)
    assert type(error) is ExitError
    assert "the body of task 'convert' ended in SystemExit: 3" in str(error)
    assert world.take() == ["convert"] * 3
    assert world.last(job).status == RunStatus.FAILED


def test_an_item_that_leaves_by_sys_exit_fails_alone(world):
    def item(x):
        if x == 2:
            sys.exit(3)
        return x

    @world.job
    def job(payload, io):
        results = yield io.map("m", range(5), world.body(item), return_errors=True)
        return [type(each).__name__ if isinstance(each, Exception) else each for each in results]

    assert world.run(job) == world.run(job) == [0, 1, "ExitError", 3, 4]


@pytest.mark.parametrize("leave", LEAVES)
def test_a_batch_that_leaves_by_sys_exit_fails_together(world, leave):
    @world.job
    def job(payload, io):
        yield io.map("m", range(4), world.body(lambda items: leave()), batch=2)

    error = world.fail(job)
    assert isinstance(error, MapError)
    assert [type(each) for each in error.exceptions] == [ExitError] * 2  # one of each batch
    assert "the body of map 'm' ended in" in str(error.exceptions[0])
    assert world.last(job).task("m").status == TaskStatus.ERRORED


def test_an_exit_beside_other_tasks_leaves_them_alone(world):
    @world.job
    def job(payload, io):
        yield io.parallel("p", [0, 1, 2], world.body(lambda n: sys.exit(3) if n == 1 else n))

    assert type(world.fail(job)) is ExitError
    run = world.last(job)
    assert [run.task(f"p/{n}").status for n in range(3)] == ["COMPLETED", "ERRORED", "COMPLETED"]


@pytest.mark.anyio
async def test_an_exit_in_a_gather_and_in_a_task_group(async_world):
    """asyncio would hand a SystemExit to whoever runs the loop."""

    async def leaves():
        sys.exit(3)

    @async_world.client.job
    async def gathers(payload, io):
        await asyncio.gather(io.run_task("a", leaves), io.run_task("b", leave_by_exit))

    @async_world.client.job
    async def groups(payload, io):
        async with asyncio.TaskGroup() as group:
            group.create_task(io.run_task("a", leaves))

    with pytest.raises(ExitError):
        await gathers.run()
    with pytest.raises(ExceptionGroup) as caught:
        await groups.run()
    assert caught.group_contains(ExitError)


def test_an_exit_in_an_executor(world):
    @world.job
    def job(payload, io):
        with ThreadPoolExecutor(1) as pool:
            yield io.run_task("a", leave_by_exit, executor=pool)

    assert type(world.fail(job)) is ExitError


def test_an_exit_in_a_subtask_is_not_retried_by_its_parent(world):
    """A4"""

    def parent(io):
        world.note("parent")
        yield io.run_task("child", world.body(leave_by_exit, note="child"))

    @world.job
    def job(payload, io):
        yield io.run_task("parent", world.body(parent), retry=3)

    world.fail(job)
    assert world.take() == ["parent", "child"]


def test_an_exit_in_the_job_itself_fails_the_run(world):
    @world.job
    def job(payload, io):
        yield io.run_task("one", world.noting("one"))
        sys.exit(3)

    error = world.fail(job)
    assert type(error) is ExitError
    assert "the job's function ended in SystemExit: 3" in str(error)
    assert type(world.fail(job)) is ExitError
    assert world.take() == ["one"]
    assert world.last(job).status == RunStatus.FAILED


@pytest.mark.parametrize("where", ["on_error", "item_key", "properties", "items"])
def test_an_exit_in_other_code_of_the_users_is_an_error_of_its_call(world, where):
    def leaves(*args):
        sys.exit(3)

    def items():
        yield 1
        sys.exit(3)

    def body(*args):
        raise OSError("once")

    @world.job
    def job(payload, io):
        if where == "on_error":
            yield io.run_task("a", world.body(body), on_error=lambda error: sys.exit(3))
        elif where == "items":
            yield io.map("m", items(), world.body(lambda x: x))
        else:
            yield io.map("m", [1], world.body(lambda x: x), **{where: leaves})

    assert type(world.fail(job)) is ExitError


def test_an_exit_in_a_handler_of_the_job_is_logged(async_world, caplog):
    @async_world.client.job(on_success=lambda notification: sys.exit(3))
    async def job(payload, io):
        return 1

    assert job.run_sync() == 1
    assert "handler of job job failed" in caplog.text


def test_an_exit_after_the_time_was_up_is_the_error_of_the_next_attempt(async_world):
    """A5: the thread goes on, and the next attempt adopts it."""
    go = threading.Event()

    def body():
        go.wait()
        sys.exit(3)

    @async_world.job
    def job(payload, io):
        yield io.run_task("late", body, timeout=0.01, retry=2, on_error=lambda error: go.set())

    assert type(async_world.fail(job)) is ExitError


# --- A CancelledError that nobody asked for -------------------------------------------------------------


async def cancel_something_of_its_own():
    """As a library does that gives up on a request."""
    inner = asyncio.ensure_future(asyncio.sleep(3600))
    await asyncio.sleep(0)
    inner.cancel()
    await inner


def run_a_loop_of_its_own():
    asyncio.run(cancel_something_of_its_own())


STRAYS = [cancel_something_of_its_own, run_a_loop_of_its_own]


@pytest.mark.parametrize("stray", STRAYS)
def test_a_cancellation_that_nobody_asked_for_is_an_error_of_its_task(async_world, stray):
    world = async_world

    async def item(x):
        world.note(x)
        if x == 2:
            await stray() if stray is cancel_something_of_its_own else await asyncio.to_thread(stray)
        return x

    @world.client.job
    async def mapped(payload, io):
        results = await io.map("m", range(4), item, return_errors=True)
        return [type(each).__name__ if isinstance(each, Exception) else each for each in results]

    assert world.run(mapped) == [0, 1, "ExitError", 3]
    assert world.take() == [0, 1, 2, 3]

    @world.client.job
    async def retried(payload, io):
        await io.run_task("library", stray, retry=3)

    error = world.fail(retried)
    assert type(error) is ExitError
    assert "the body of task 'library' ended in CancelledError, though nobody had cancelled it" in str(error)
    assert (world.last(retried).status, world.last(retried).task("library").attempt) == (RunStatus.FAILED, 3)


def test_a_batch_ends_in_a_cancellation_that_nobody_asked_for(async_world):
    async def batch(items):
        async_world.note(len(items))
        await cancel_something_of_its_own()

    @async_world.client.job
    async def job(payload, io):
        await io.map("m", range(4), batch, batch=2, retry=2)

    error = async_world.fail(job)
    assert [type(each) for each in error.exceptions] == [ExitError] * 2
    assert async_world.take() == [2] * 4
    assert async_world.last(job).status == RunStatus.FAILED


def test_a_stray_cancellation_beside_others_and_in_a_subtask(async_world):
    world = async_world

    async def parent(io):
        world.note("parent")
        await asyncio.gather(
            io.run_task("child", cancel_something_of_its_own), io.run_task("good", lambda: 1)
        )

    @world.client.job
    async def job(payload, io):
        await io.run_task("parent", parent, retry=3)

    assert type(world.fail(job)) is ExitError
    run = world.last(job)
    assert world.take() == ["parent"]  # A4
    wait_until(
        lambda: len(run.tasks) == 3
    )  # the parent is recorded when its last subtask has ended, in a thread
    assert [run.task(path).status for path in ("parent", "parent/child")] == ["ERRORED", "ERRORED"]


def test_a_stray_cancellation_of_the_job_itself_fails_the_run(async_world):
    @async_world.client.job
    async def job(payload, io):
        await io.run_task("one", async_world.noting("one"))
        await cancel_something_of_its_own()

    assert type(async_world.fail(job)) is ExitError
    assert async_world.last(job).status == RunStatus.FAILED


def test_a_handler_that_leaves_a_stray_cancellation_replaces_the_error(async_world):
    async def handler(error):
        await cancel_something_of_its_own()

    @async_world.client.job
    async def job(payload, io):
        await io.run_task("a", async_world.failing("a", OSError("first")), on_error=handler)

    assert type(async_world.fail(job)) is ExitError
    assert async_world.last(job).task("a").status == TaskStatus.ERRORED


async def by_timeout(call):
    async with asyncio.timeout(0.01):
        await call


async def by_wait_for(call):
    await asyncio.wait_for(call, 0.01)


async def by_anyio(call):
    with anyio.fail_after(0.01):
        await call


async def by_cancel(call):
    racer = asyncio.ensure_future(call)
    await asyncio.sleep(0.01)
    racer.cancel()
    await asyncio.wait({racer})
    raise TimeoutError


async def by_a_sibling(call):
    async def fails():
        raise TimeoutError

    async with anyio.create_task_group() as group:
        group.start_soon(fails)
        await call


async def by_a_raced_cleanup(call):
    """The task was cancelled before, and that was taken back."""
    with pytest.raises(asyncio.TimeoutError):
        async with asyncio.timeout(0):
            await asyncio.sleep(3600)
    await by_timeout(call)


CANCELS = [by_timeout, by_wait_for, by_anyio, by_cancel, by_a_sibling, by_a_raced_cleanup]


@pytest.mark.parametrize("cancel", CANCELS)
@pytest.mark.parametrize("inside", [False, True])
def test_a_cancellation_by_the_users_code_is_no_error_of_its_task(async_world, cancel, inside):
    """A8: also where the body makes a new CancelledError of it."""
    world = async_world

    async def slow():
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            raise asyncio.CancelledError from None

    async def parent(io):
        try:
            await cancel(io.run_task("slow", slow))
        except (TimeoutError, ExceptionGroup, asyncio.CancelledError):
            return "too slow"

    @world.client.job
    async def job(payload, io):
        return await (io.run_task("parent", parent) if inside else parent(io))

    if cancel is by_anyio:  # anyio knows its own cancellations by their text

        async def slow():  # noqa: F811
            await asyncio.sleep(3600)

    assert world.run(job) == "too slow"
    path = "parent/slow" if inside else "slow"
    assert world.last(job).task(path).status == TaskStatus.CANCELED
    assert world.run(job) == "too slow"


@pytest.mark.parametrize("stop", [Run.cancel, partial(Run.pause, now=True)])
@pytest.mark.anyio
async def test_a_stop_of_the_run_is_no_error_of_its_tasks(async_world, stop):
    reached = asyncio.Event()

    async def body():
        if not reached.is_set():
            reached.set()
            try:
                await asyncio.sleep(3600)
            finally:
                raise asyncio.CancelledError
        return "done"

    @async_world.client.job
    async def job(payload, io):
        return await asyncio.gather(io.run_task("a", body, retry=3), io.run_task("b", asyncio.sleep, 0))

    run = job.start()
    await reached.wait()
    stop(run)
    with pytest.raises(TriggerError):
        await run
    assert run.task("a").status == TaskStatus.PENDING
    assert await job.run() == ["done", None]


# --- What a body makes of its own cancellation ----------------------------------------------------------


async def bare_except(wait):
    try:
        await wait()
        return "done"
    except:  # noqa: E722
        return "swallowed"


async def finally_return(wait):
    result = "swallowed"
    try:
        await wait()
        result = "done"
    finally:
        return result  # noqa: B012


async def suppressed(wait):
    result = "swallowed"
    with contextlib.suppress(BaseException):
        await wait()
        result = "done"
    return result


# These two look for nothing else than the cancellation: a thread may bring a body after its run has ended, and one that
# still waits when the event loop is closed gets a GeneratorExit, in which an error of its own would be one of the test.
async def another_error(wait):
    try:
        await wait()
        return "done"
    except asyncio.CancelledError:
        raise OSError("swallowed") from None


async def an_exit(wait):
    try:
        await wait()
        return "done"
    except asyncio.CancelledError:
        sys.exit(3)


async def cleaned_up(wait):
    """It works on for a while, after it was cancelled."""
    try:
        await wait()
        return "done"
    except asyncio.CancelledError:
        await asyncio.sleep(0.01)
        return "swallowed"


SWALLOWS = [bare_except, finally_return, suppressed, another_error, an_exit, cleaned_up]


async def one_task(io, body):
    return await io.run_task("t", body)


async def as_subtask(io, body):
    async def parent(io):
        return await io.run_task("t", body)

    return await io.run_task("parent", parent)


async def gathered(io, body):
    return (await asyncio.gather(io.run_task("t", body), io.run_task("other", lambda: 1)))[0]


async def in_a_task_group(io, body):
    async with asyncio.TaskGroup() as group:
        task = group.create_task(io.run_task("t", body))
    return task.result()


async def in_an_anyio_group(io, body):
    results = []

    async def work():
        results.append(await io.run_task("t", body))

    async with anyio.create_task_group() as group:
        group.start_soon(work)
    return results[0]


async def mapped(io, body):
    return (await io.map("m", [1], lambda item: body()))[0]


async def mapped_async(io, body):
    async def item(item):
        return await body()

    return (await io.map("m", [1], item))[0]


async def in_a_batch(io, body):
    async def batch(items):
        return [await body()] * len(items)

    return (await io.map("m", range(4), batch, batch=2))[0]


async def in_parallel(io, body):
    return (await io.parallel("p", [0, 1], lambda item: body()))[0]


PLACES = [
    one_task,
    as_subtask,
    gathered,
    in_a_task_group,
    in_an_anyio_group,
    mapped,
    mapped_async,
    in_a_batch,
    in_parallel,
]


def job_of(world, place, swallow):
    """A job whose bodies wait in the first pass, and whatever they make of being stopped."""
    reached, go = asyncio.Event(), asyncio.Event()

    async def wait():
        reached.set()
        await go.wait()

    async def body():
        return await swallow(wait)

    @world.client.job(id="job")
    async def job(payload, io):
        return await place(io, body)

    return job, reached, go


@pytest.mark.anyio
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("swallow", SWALLOWS)
async def test_what_a_body_makes_of_a_stop_is_not_its_result(async_world, place, swallow):
    """W3: it neither returned nor failed, whatever its code says: the next pass runs it again."""
    job, reached, go = job_of(async_world, place, swallow)
    run = job.start()
    await reached.wait()
    run.cancel()
    with pytest.raises(TriggerError):
        await run
    assert {task.status for task in run.tasks} <= {"PENDING", "RUNNING", "COMPLETED"}
    assert all(task.error is None for task in run.tasks)
    go.set()
    assert await job.run() == "done"


@pytest.mark.anyio
@pytest.mark.parametrize("swallow", SWALLOWS)
@pytest.mark.parametrize("stop", ["pause", "interrupt"])
async def test_nor_is_it_after_a_pause_or_an_interrupt(async_world, stop, swallow):
    job, reached, go = job_of(async_world, gathered, swallow)
    cell = asyncio.ensure_future(job.run())
    await reached.wait()
    (run,) = job.runs()
    if stop == "pause":
        run.pause(now=True)
    else:
        cell.cancel()
    with pytest.raises((TriggerError, asyncio.CancelledError)):
        await cell
    assert run.task("t").status == TaskStatus.PENDING
    go.set()
    assert await job.run() == "done"


@pytest.mark.parametrize("swallow", SWALLOWS)
def test_nor_is_it_when_the_event_loop_shuts_down(async_world, swallow):
    """As on a restart from the menu: asyncio cancels every task."""
    job, reached, go = job_of(async_world, one_task, swallow)

    async def kernel():
        job.start()
        await reached.wait()

    asyncio.run(kernel())
    assert job.runs()[0].task("t").status == TaskStatus.PENDING
    async_world.new_kernel()

    async def another_kernel():
        job, _, go = job_of(async_world, one_task, swallow)
        go.set()
        return await job.run()

    assert asyncio.run(another_kernel()) == "done"


@pytest.mark.anyio
@pytest.mark.parametrize("swallow", SWALLOWS)
@pytest.mark.parametrize("whose", ["own", "around", "around a group"])
async def test_what_a_body_makes_of_its_time_limit_is_no_result(async_world, whose, swallow):
    """A3: its time is up, so it has failed; also when that is the time of the body around it."""

    async def body():
        return await swallow(partial(asyncio.sleep, 3600))

    async def parent(io):
        if whose == "around a group":
            return await asyncio.gather(io.run_task("t", body), io.run_task("other", lambda: 1))
        return await io.run_task("t", body)

    @async_world.client.job
    async def job(payload, io):
        if whose == "own":
            return await io.run_task("t", body, timeout=0.01)
        return await io.run_task("parent", parent, timeout=0.01)

    for _ in range(2):
        with pytest.raises(TaskTimeoutError):
            await job.run()
    outer = "t" if whose == "own" else "parent"
    run = job.runs()[0]
    assert run.task(outer).status == TaskStatus.ERRORED
    assert all(task.status != TaskStatus.COMPLETED for task in run.tasks if task.key == "t")


@pytest.mark.anyio
async def test_a_body_that_was_done_before_the_stop_reached_it_keeps_its_result(async_world):
    """Never lose a completed result: it stops its own run, and returns without giving the loop a turn."""

    async def body():
        async_world.note("body")
        run.cancel()
        return "done"

    @async_world.client.job
    async def job(payload, io):
        return await io.run_task("t", body)

    run = job.start()
    with pytest.raises(TriggerError):
        await run
    assert await job.run() == "done"
    assert async_world.take() == ["body"]
