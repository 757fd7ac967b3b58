"""What a client and a job do outside of runs: stored values, pages of runs, cancelling, the level of log lines."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.worlds import until
from trigger_nb import TriggerClient
from trigger_nb.errors import InvalidOptionError, NotFoundError, NotStorableError
from trigger_nb.testing import FakeClock


def test_stored_values_are_those_of_runs(world):
    """Reference: what `io.store.job` and `io.store.env` hold is read and written outside of a run, in any kernel; R2."""

    @world.job
    def job(payload, io):
        before = yield io.store.job.get("read", "cursor", default=0)
        yield io.store.job.set("write", "cursor", before + 1)
        yield io.store.env.set("all", "pair", (1, {2}))

    world.run(job)
    assert (job.store.get("cursor"), world.client.store.env.get("pair")) == (1, (1, {2}))
    job.store.set("cursor", 41)
    job.store.set("long", ["x" * 1000] * 2000)
    world.client.store.env.delete("pair")
    world.new_kernel()
    job = world.again(job)
    world.run(job, fresh=True)
    assert job.store.get("cursor") == 42
    assert len(job.store.get("long")) == 2000
    assert not world.client.store.env.has("nothing")
    assert world.client.store.env.get("nothing", default=7) == 7
    assert world.client.store.env.has("pair")
    with pytest.raises(NotStorableError):
        job.store.set("lock", asyncio)


def test_pages_of_runs(world):
    """Reference: pages by a cursor, which is the last run of the page before."""

    @world.job
    def job(payload, io):
        yield io.run_task("one", world.noting(payload))

    for number in range(5):
        world.run(job, number)
    pages, last = [], None
    while page := list(world.client.runs(limit=2, before=last)):
        pages.append([run.payload for run in page])
        last = page[-1]
    assert pages == [[4, 3], [2, 1], [0]]
    assert [run.payload for run in world.client.runs(job, before=last.id)] == []
    with pytest.raises(NotFoundError):
        world.client.runs(before="run_none")


def test_the_runs_of_a_job_are_canceled(world):
    """Reference: those that have not ended, and no others."""
    world.clock = FakeClock(autojump=False)

    @world.job
    def job(payload, io):
        yield io.wait("long", days=1) if payload else io.yield_("short")

    @world.job
    def other(payload, io):
        yield io.wait("long", days=1)

    async def main():
        await job.run(0)
        runs = [job.start(1), job.start(2), other.start()]
        await until(lambda: all(run.status == "WAITING" for run in runs))
        canceled = world.client.cancel_runs_for_job(job)
        assert {run.id for run in canceled} == {run.id for run in runs[:2]}
        await until(lambda: all(run.status == "CANCELED" for run in runs[:2]))
        assert world.client.cancel_runs_for_job("job") == []
        assert runs[2].status == "WAITING"
        runs[2].cancel()
        await until(lambda: runs[2].status == "CANCELED")

    asyncio.run(main())


def test_a_level_that_jobs_inherit(world):
    """Reference: the client's, unless the job has its own."""
    world.options = {"log_level": "warning"}

    def say(payload, io):
        io.logger.info("told")
        yield io.yield_("done")

    quiet, loud = world.job(id="quiet")(say), world.job(id="loud", log_level="debug")(say)
    for job in (quiet, loud):
        world.run(job)
    assert [len(world.last(job).logs) for job in (quiet, loud)] == [0, 1]
    with pytest.raises(InvalidOptionError, match="log_level"):
        TriggerClient("level", log_level="loud")


def test_a_run_for_each_payload(world):
    """Reference: side by side, all settle, and only what failed runs again; `ctx.run.is_retry`."""
    failing = world.failing("fails", ValueError("two"))

    @world.job
    def child(payload, io, ctx):
        yield io.run_task("note", world.noting(payload))
        if payload == 2:
            yield io.run_task("fails", failing)
        return payload, ctx.run.is_retry

    @world.job
    def told(payload, io):
        return (yield io.invoke_and_wait("child", knows, 7, context={"by": payload}))

    @world.job
    def knows(payload, io, ctx):
        yield io.yield_("known")
        return payload, ctx.event.name, ctx.event.context, ctx.event.id == ctx.run.id

    assert world.run(told, "Ana") == (7, "invoke", {"by": "Ana"}, True)

    @world.job
    def wrong(payload, io):
        yield io.invoke("child", knows, context={1, 2})

    assert isinstance(world.fail(wrong), InvalidOptionError)

    @world.job
    def parent(payload, io):
        return (yield io.batch_invoke_and_wait("all", child, [1, 2, 3], timeout=3600))

    assert isinstance(world.fail(parent), ValueError)
    assert world.run(parent) == [(1, False), (2, True), (3, False)]
    assert sorted(map(str, world.calls)) == ["1", "2", "3", "fails", "fails"]
    assert len(child.runs()) == 3
