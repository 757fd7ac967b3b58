"""Waits that are skipped, and what runs wait for (rules W1 to W3)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.support.worlds import World, until
from trigger_nb import Retry, RunStatus, TaskStatus
from trigger_nb._engine.stopping import Stop
from trigger_nb.errors import InvalidOptionError

DAY = 24 * 3600.0


def waiting_job(world):
    """A job with each kind of wait."""

    @world.job(id="job")
    def job(payload, io):
        yield io.wait("nap", days=3)
        yield io.wait("until", until=datetime.fromtimestamp(world.clock.time(), tz=UTC) + timedelta(days=1))
        later = datetime.fromtimestamp(world.clock.time(), tz=UTC) + timedelta(days=2)
        yield io.run_task("late", world.noting("late"), delay_until=later)
        hour = Retry(limit=3, min_timeout=3600, max_timeout=3600)
        flaky = world.failing("flaky", ValueError("1"), ValueError("2"))
        return (yield io.run_task("flaky", flaky, retry=hour))

    return job


def test_each_wait_is_passed_at_once(world):
    """The waits, a delay; and pauses between attempts are a second at most."""
    job, start = waiting_job(world), world.clock.time()
    assert world.run(job, waits="skip") == "flaky"
    assert world.clock.time() - start == 2  # two pauses before attempts
    run = world.last(job)
    assert world.take() == ["late", "flaky", "flaky", "flaky"]
    assert "[nap] · skipped 3 d" in run.tree()
    assert "[until] · skipped 1 d" in run.tree()
    assert "late · skipped 2 d of waiting" in run.tree()
    assert "flaky · attempt 3 · skipped 1 h 59 min of waiting" in run.tree()


def test_a_replay_is_alike(world):
    """R1: what was skipped is done, also when the run is started without."""
    job = waiting_job(world)
    world.run(job, waits="skip")
    world.new_kernel()
    start = world.clock.time()
    assert world.run(job) == "flaky"
    assert world.clock.time() == start
    assert world.take() == ["late", "flaky", "flaky", "flaky"]
    assert "skipped 3 d" in world.last(job).tree()


def test_without_it_nothing_is_skipped(world):
    """W1: the marks are of what was skipped only."""
    job, start = waiting_job(world), world.clock.time()
    world.run(job)
    assert world.clock.time() - start > 6 * DAY
    assert "skipped" not in world.last(job).tree()


def test_a_value_that_is_none(world):
    """The error has the values."""
    with pytest.raises(InvalidOptionError, match='waits is "wait" or "skip"'):
        world.run(waiting_job(world), waits="fast")


def test_child_runs_skip_with_their_parent(world):
    """A run that another one starts does as that one."""
    child = waiting_job(world)

    @world.job(id="parent")
    def parent(payload, io):
        return (yield io.invoke_and_wait("child", child))

    start = world.clock.time()
    world.run(parent, waits="skip")
    assert world.clock.time() - start == 2
    assert child.runs()[0]._record.waits == "skip"


@pytest.mark.anyio
async def test_a_run_under_way_skips_from_now_on(tmp_path):
    """Starting it again with `waits="skip"` ends the wait that it is in."""
    world = World(tmp_path)
    world.clock._autojump = False
    job = waiting_job(world)
    run = job.start()
    await until(lambda: run.status == RunStatus.WAITING)
    job.start(waits="skip")
    await until(lambda: world.calls)
    assert run.task("nap").status == TaskStatus.COMPLETED
    assert run.task("nap")._record.skipped == 3 * DAY
    run.cancel()


@pytest.mark.anyio
async def test_a_resumed_run_goes_on_skipping(tmp_path):
    """A run keeps how it was started, for `resume()` in another kernel."""
    world = World(tmp_path)
    world.clock._autojump = False

    @world.job(id="job")
    def job(payload, io):
        yield io.ask("city")
        yield io.wait("nap", days=3)
        return "done"

    run = job.start(waits="skip")
    await until(lambda: run.reason == "answer")
    run.pause(now=True)
    await until(lambda: run.reason == "paused")
    run.answer("city", "Rome")
    assert await run.resume() == "done"
    assert run.task("nap")._record.skipped == 3 * DAY


@pytest.mark.anyio
async def test_skip_wait_is_marked_too(tmp_path):
    """The button: what was left of the wait."""
    world = World(tmp_path)
    world.clock._autojump = False

    @world.job(id="job")
    def job(payload, io):
        yield io.wait("nap", days=3)
        return "done"

    run = job.start()
    await until(lambda: world.clock.deadlines)
    world.clock.advance(DAY)
    run.skip_wait("nap")
    assert await run == "done"
    assert run.task("nap")._record.skipped == 2 * DAY


# What a run waits for ---------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_when_it_wakes(tmp_path):
    """The first of its waits; none when it has ended."""
    world = World(tmp_path)
    world.clock._autojump = False

    @world.job(id="job")
    def job(payload, io):
        yield world.gather(nap(io, 2), nap(io, 1))

    def nap(io, days):
        yield io.wait(("nap", days), days=days)

    run = job.start()
    await until(lambda: len(world.clock.deadlines) == 2)
    start = world.clock.time()
    assert run.wake_at.timestamp() == start + DAY
    world.clock.advance(DAY)
    await until(lambda: run.wake_at.timestamp() == start + 2 * DAY)
    world.clock.advance(DAY)
    await run
    assert run.wake_at is None


@pytest.mark.anyio
async def test_what_is_due_without_a_kernel(tmp_path):
    """W2: since when, in the tree, in the list, and what to type."""
    world = World(tmp_path)
    world.clock._autojump = False
    job = waiting_job(world)
    run = job.start()
    await until(lambda: run.status == RunStatus.WAITING)
    start = world.clock.time()
    execution = run._runtime.executions.pop(run.id)  # as if this kernel had died
    world.client.runtime.release_lease(run.id)
    run = world.client.run(run.id)
    assert "due since" not in run.tree()
    world.clock._now = start + 4 * DAY  # nobody wakes
    assert run.wake_at.timestamp() == start + 3 * DAY
    tree = run.tree()
    assert "[nap] · due since " in tree
    assert "Due since " in tree
    assert "resume()" in tree
    listed = repr(world.client.runs())
    assert "due since " in listed
    assert f"client.run('{run.id}').resume()" in listed
    assert "due since " in world.client.runs()._repr_html_()
    execution.stop(Stop.CANCEL)
    await execution.wait_finished()
