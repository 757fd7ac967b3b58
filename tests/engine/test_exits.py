"""How bodies end that do not return or raise an `Exception`: sys.exit, stray cancellations, our own stops (W3, A1, A7)."""

from __future__ import annotations

import argparse
import asyncio
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from trigger_nb import RunStatus, TaskStatus
from trigger_nb.errors import ExitError, MapError

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
