"""R5: `run.retry(which=[...])` runs chosen failed tasks again, and replays all other errors."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.worlds import World, until
from trigger_nb import TaskStatus
from trigger_nb.errors import NotFoundError, RunStateError, UsageError


def retried(run, which):
    async def retry():
        return await run.retry(which=which)

    return asyncio.run(retry())


def three_that_fail(world, *, times):
    """A job of three tasks, each in a scope of its own, that fail so many times and are then told of together."""

    @world.job
    def job(payload, io):
        errors = []
        for part, body in parts.items():
            try:
                yield io.run_task(part, body)
            except ValueError as error:
                errors.append(error)
        if errors:
            raise ExceptionGroup("some failed", errors)
        return "all"

    parts = {part: world.failing(part, *(ValueError(part) for _ in range(times))) for part in "abc"}
    return job


def test_retry_of_some_by_path(world):
    """R5: only those run again; the others' errors are raised again as they were, and are not forgotten."""
    job = three_that_fail(world, times=1)
    world.fail(job)
    run = world.last(job)
    world.take()
    with pytest.raises(ExceptionGroup) as caught:
        retried(run, ["b"])
    assert [str(error) for error in caught.value.exceptions] == ["a", "c"]
    assert world.take() == ["b"]
    assert run.task("b").status == TaskStatus.COMPLETED
    assert world.run(job) == "all"  # once the run has come to its end, what failed runs again as ever
    assert world.take() == ["a", "c"]


def test_retry_of_some_outlives_the_kernel(world):
    """R5: what was asked for holds until the run comes to an end, also in another kernel."""
    job = three_that_fail(world, times=1)
    world.fail(job)
    world.take()
    with pytest.raises(UsageError, match="running event loop"):
        world.last(job).retry(which=["b"])  # noted, and no loop is there to go on
    world.new_kernel()
    job = three_that_fail(world, times=0)
    assert len(world.fail(job).exceptions) == 2
    assert world.take() == ["b"]


def test_a_plain_retry_after_one_of_some(world):
    """It is about all that failed."""
    job = three_that_fail(world, times=1)
    world.fail(job)
    world.take()
    with pytest.raises(UsageError, match="running event loop"):
        world.last(job).retry(which=["b"])
    assert retried(world.last(job), "failed") == "all"
    assert world.take() == ["a", "b", "c"]


def test_retry_of_a_handled_error_by_path(world):
    """R5: a handled one too, with the completed tasks around it, and no other."""

    @world.job
    def job(payload, io):
        def parent(io):
            world.note("parent")
            found = []
            for part, body in parts.items():
                try:
                    found.append((yield io.run_task(part, body)))
                except OSError:
                    found.append(None)
            return found

        return (yield io.run_task("parent", world.body(parent)))

    parts = {part: world.failing(part, OSError(part)) for part in ("first", "second")}
    assert world.run(job) == [None, None]
    world.take()
    assert retried(world.last(job), [["parent", "second"]]) == [None, "second"]
    assert world.take() == ["parent", "second"]
    assert world.run(job) == [None, "second"]
    assert world.take() == []


def test_retry_by_path_of_a_task_with_what_failed_in_it(world):
    """R5: a task whose failure came from inside would else fail again at once."""

    @world.job
    def job(payload, io):
        def parent(io):
            return (yield io.run_task("inner", inner))

        try:
            return (yield io.run_task("parent", world.body(parent)))
        except OSError:
            return (yield io.run_task("else", world.noting("else")))

    inner = world.failing("inner", OSError("down"))
    assert world.run(job) == "else"
    world.take()
    assert retried(world.last(job), ["parent"]) == "inner"
    assert world.take() == ["inner"]


def test_retry_of_some_items_of_a_fan_out(world):
    """R5, C2: the other items that failed are replayed."""
    tries = {}

    @world.body
    def item(n):
        world.note(n)
        tries[n] = tries.get(n, 0) + 1
        if n and tries[n] == 1:
            raise ValueError(f"item {n}")
        return n

    @world.job
    def job(payload, io):
        return (yield io.parallel("all", [0, 1, 2, 3], item))

    world.fail(job)
    world.take()
    with pytest.raises(ValueError, match="item 2"):
        retried(world.last(job), ["all/1", "all/3"])
    assert sorted(world.take()) == [1, 3]
    assert world.run(job) == [0, 1, 2, 3]
    assert world.take() == [2]


@pytest.mark.anyio
async def test_retry_of_a_handled_error_while_the_run_waits(tmp_path):
    """The pass ends first: nothing is changed under it."""
    world = World(tmp_path)
    world.clock._autojump = False
    tried = world.failing("tried", OSError("down"))

    @world.job
    def job(payload, io):
        try:
            got = yield io.run_task("tried", tried)
        except OSError:
            got = "else"
        yield io.wait("wait", days=1)
        return got

    run = job.start()
    await until(lambda: world.clock.deadlines)
    assert run.status == "WAITING"
    run.retry(which=["tried"])
    await until(lambda: world.calls == ["tried", "tried"])
    await until(lambda: run.status == "WAITING")
    run.skip_wait("wait")
    assert await run == "tried"


def test_what_cannot_be_retried_by_path(world):
    job = three_that_fail(world, times=1)
    world.fail(job)
    world.run(job)
    run = world.last(job)
    for which in ([], "b", ""):
        with pytest.raises(RunStateError, match=r"a list of paths, which=\[\"fetch\"\]"):
            run.retry(which=which)
    with pytest.raises(NotFoundError, match="has no task 'd'; there is 'a', 'b', 'c'"):
        run.retry(which=["d"])
    with pytest.raises(
        RunStateError, match="task 'b' of run .* is COMPLETED: retry takes tasks that have failed"
    ):
        run.retry(which=["b"])
