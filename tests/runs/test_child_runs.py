"""Runs that start other runs, and the handlers that are called when a run ends."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.worlds import World, outcome
from trigger_nb import RunStatus, TriggerClient
from trigger_nb.errors import (
    SelfAwaitError,
    TaskTimeoutError,
    UsageError,
)

# --- Other runs ----------------------------------------------------------------------------------------


def test_invoke_and_wait(world):
    """Reference: a child run's output; linked to its parent, replayed with it."""

    @world.job
    def child(payload, io):
        return (yield io.run_task("double", world.body(lambda n: 2 * n, note="child"), payload))

    @world.job
    def parent(payload, io):
        one = yield io.invoke_and_wait("one", child, 1)
        two = yield io.invoke_and_wait("two", child, 2)
        return one + two

    for _ in range(2):
        assert world.run(parent) == 6
    assert world.take() == ["child"] * 2
    runs = child.runs()
    assert len(runs) == 2
    assert {run._record.parent for run in runs} == {world.last(parent).id}
    assert {run._record.parent_task for run in runs} == {"one", "two"}


def test_invoke_gives_the_child_runs_id(world):
    """Reference: it goes on at once; the same child on replay."""

    @world.job
    def child(payload, io):
        return (yield io.run_task("task", world.noting("child")))

    @world.job
    def parent(payload, io):
        return (yield io.invoke("invoke", child, 1))

    async def runs():
        first = await parent.run()
        await world.client.run(first)
        return first, await parent.run()

    first, second = asyncio.run(runs())
    assert first == second == world.last(child).id
    assert world.take() == ["child"]


def test_a_child_runs_error_is_its_parents(world):
    """I8, R5: it ends the parent too; both resume."""

    @world.job
    def child(payload, io):
        return (yield io.run_task("task", fails))

    @world.job
    def parent(payload, io):
        yield io.run_task("before", world.noting("before"))
        return (yield io.invoke_and_wait("invoke", child))

    fails = world.failing("child", OSError("down"))
    assert isinstance(world.fail(parent), OSError)
    assert world.last(child).status == RunStatus.FAILED
    assert world.run(parent) == "child"
    assert world.take() == ["before", "child", "child"]


def test_a_child_run_that_takes_too_long(world):
    """Reference: `timeout=` of `invoke_and_wait`."""

    @world.job
    def child(payload, io):
        yield io.run_task("task", asyncio.sleep, 3600)

    @world.job
    def parent(payload, io):
        yield io.invoke_and_wait("invoke", child, timeout=0.05)

    assert isinstance(world.fail(parent), TaskTimeoutError)


@pytest.mark.anyio
async def test_running_a_job_inside_a_job_is_a_child_run(tmp_path):
    """I8: its own identity, linked to its parent."""
    world = World(tmp_path)

    @world.client.job
    async def child(payload, io):
        return payload * 2

    @world.client.job
    async def parent(payload, io):
        async def body(io):
            return await child.run(4)

        return await child.run(3), await io.run_task("body", body)

    assert await parent.run() == (6, 8)
    links = {run.payload: (run._record.parent, run._record.parent_task) for run in child.runs()}
    (run,) = parent.runs()
    assert links == {3: (run.id, ""), 4: (run.id, "body")}


@pytest.mark.anyio
@pytest.mark.parametrize("swallowed", [False, True])
async def test_a_run_that_awaits_itself_is_an_error(tmp_path, swallowed):
    """I8, I4: directly, or through its children; also when it is swallowed."""
    world = World(tmp_path)

    @world.client.job
    async def job(payload, io):
        try:
            return await job.run(payload)
        except SelfAwaitError:
            if not swallowed:
                raise

    assert isinstance(await outcome(job.run()), SelfAwaitError)

    @world.client.job
    async def one(payload, io):
        return await other.run()

    @world.client.job
    async def other(payload, io):
        return await one.run()

    assert isinstance(await outcome(one.run()), SelfAwaitError)


def test_only_jobs_can_be_invoked(world):
    """A function is no job."""

    @world.job
    def job(payload, io):
        yield io.invoke_and_wait("invoke", world.noting(1))

    assert "io.invoke takes a job, not function" in str(world.fail(job))


# --- on_success and on_failure ---------------------------------------------------------------------------


def test_notifications_come_once(world):
    """Reference: run id, job, payload, status, output or error, times; not again for a replay."""
    got = []

    @world.job(on_success=got.append, on_failure=got.append)
    def job(payload, io):
        return (yield io.run_task("task", body))

    body = world.failing("body", OSError("down"))
    world.fail(job, 7)
    world.run(job, 7)
    world.run(job, 7)
    assert [each.status for each in got] == [RunStatus.FAILED, RunStatus.COMPLETED]
    failed, completed = got
    assert (failed.job_id, failed.payload, failed.output) == ("job", 7, None)
    assert isinstance(failed.error, OSError)
    assert (completed.run_id, completed.output, completed.error) == (world.last(job).id, "body", None)
    assert completed.finished_at >= completed.started_at


def test_a_notification_that_fails_changes_nothing(world, caplog):
    """A handler's error is logged, and the run is what it was."""

    async def handler(notification):
        raise RuntimeError("handler")

    @world.job(on_success=handler)
    def job(payload, io):
        return "done"

    assert world.run(job) == "done"
    assert world.last(job).status == RunStatus.COMPLETED
    assert "handler of job job failed" in caplog.text


def test_jobs_that_start_each_other_in_a_circle_come_to_an_end(world):
    """I8: child runs have ids of their own, so a circle is seen by its depth."""
    jobs = {}

    @world.job(id="ping")
    def ping(payload, io):
        return (yield io.invoke_and_wait("pong", jobs["pong"], payload))

    @world.job(id="pong")
    def pong(payload, io):
        return (yield io.invoke_and_wait("ping", jobs["ping"], payload))

    jobs |= {"ping": ping, "pong": pong}
    error = world.fail(ping)
    assert isinstance(error, UsageError)
    assert "circle" in str(error)
    assert len(world.client.runs(limit=100)) == 51


@pytest.mark.anyio
async def test_a_handler_may_start_the_run_again(tmp_path):
    """REFERENCE, Job: `on_failure` comes when the run has ended, so what it starts is a pass of its own."""
    again = []

    async def body(task):
        if not again:
            raise OSError("not yet")
        return "done"

    def on_failure(notification):
        again.append(client.run(notification.run_id).retry())

    client = TriggerClient("handlers", dir=tmp_path)

    @client.job(on_failure=on_failure)
    async def job(payload, io):
        return await io.run_task("body", body)

    with pytest.raises(OSError, match="not yet"):
        await job.run()
    assert await again[0] == "done"
