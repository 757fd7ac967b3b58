"""`rate=` of a task: its attempts are paced, and all that share the rate wait when a service says so."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.worlds import World, until
from trigger_nb import Rate, RetryAt
from trigger_nb._records.feed import Saved
from trigger_nb.errors import InvalidOptionError, RunInterruptedError
from trigger_nb.testing import FakeClock


@pytest.fixture
def starts(world):
    """When each body began, in seconds from the first one's."""

    def rounded():
        first = world.calls[0][1]
        return [(name, round(when - first)) for name, when in world.calls]

    return rounded


def noting(world, name, result=None):
    def body():
        world.note((name, world.clock.time()))
        return result

    return body


def test_attempts_are_paced_and_replays_are_not(world, starts):
    """R1: a replayed task waits for nothing."""
    rate = Rate("1/minute")

    @world.job
    def job(payload, io):
        for number in range(3):
            yield io.run_task(("t", number), noting(world, number), rate=rate)

    world.run(job)
    assert starts() == [(0, 0), (1, 60), (2, 120)]
    before = world.clock.time()
    world.new_kernel()
    world.run(job)
    assert world.clock.time() == before


def test_the_calls_of_one_line_share_a_rate_that_is_text(world, starts):
    @world.job
    def job(payload, io):
        def part(number):
            yield io.run_task(("t", number), noting(world, number), rate="2/minute")

        yield world.gather(*(part(number) for number in range(4)))

    world.run(job)
    assert sorted(when for _, when in starts()) == pytest.approx([0, 30, 60, 90], abs=1)


def test_two_parallels_on_lines_of_their_own_do_not_share_a_rate_that_is_text(world, starts):
    @world.job
    def job(payload, io):
        yield io.parallel("a", [1], lambda item: world.note(("a", world.clock.time())), rate="1/hour")
        yield io.parallel("b", [1], lambda item: world.note(("b", world.clock.time())), rate="1/hour")

    world.run(job)
    assert starts() == [("a", 0), ("b", 0)]


def test_two_jobs_share_a_rate_by_its_name(world, starts):
    @world.job
    def one(payload, io):
        yield io.run_task("t", noting(world, "one"), rate=Rate("1/hour", name="by name"))

    @world.job
    def other(payload, io):
        yield io.run_task("t", noting(world, "other"), rate=Rate("1/hour", name="by name"))

    world.run(one)
    world.run(other)
    assert starts() == [("one", 0), ("other", 3600)]


def test_each_attempt_takes_its_turn(world, starts):
    """A1: what waits for its turn has not begun, so it is no attempt."""
    attempts = iter([OSError(), OSError(), None])

    def body(task):
        world.note((task.attempt, world.clock.time()))
        if (error := next(attempts)) is not None:
            raise error

    @world.job
    def job(payload, io):
        yield io.run_task("t", body, rate="1/hour", retry=3)

    world.run(job)
    assert starts() == [(1, 0), (2, 3600), (3, 7200)]


def test_a_service_that_says_wait_is_heard_by_all_who_share_the_rate(world, starts):
    rate = Rate("10/second")

    def refused():
        world.note(("refused", world.clock.time()))
        if len(world.calls) == 1:
            raise OSError("429")

    @world.job
    def job(payload, io):
        def first():
            yield io.run_task("a", refused, rate=rate, on_error=lambda error: RetryAt(600))

        def second():
            yield io.run_task("b", noting(world, "b"), rate=rate)

        yield world.gather(first(), second())

    world.run(job)
    assert starts()[0] == ("refused", 0)
    assert sorted(starts()[1:]) == [("b", 600), ("refused", 600)]


def test_no_time_limit_runs_while_a_task_waits_for_its_turn(world):
    """A3: `timeout` bounds the attempt; that of the body around it stands still, too."""
    rate = Rate("1/hour")

    @world.body
    def around(io):
        yield io.run_task("a", noting(world, "a"), rate=rate, timeout=5)
        yield io.run_task("b", noting(world, "b"), rate=rate, timeout=5)

    @world.job
    def job(payload, io):
        yield io.run_task("around", around, timeout=5)

    world.run(job)
    assert [name for name, _ in world.calls] == ["a", "b"]


@pytest.mark.parametrize("rate", ["fast", 5, 0, [], "1/fortnight"])
def test_a_rate_that_is_none_fails_the_run_before_the_body(world, rate):
    """I4: a mistake of the calling code is found before the body has done anything."""

    @world.job
    def job(payload, io):
        yield io.run_task("t", world.noting("t"), rate=rate)

    assert isinstance(world.fail(job), InvalidOptionError)
    assert world.calls == []


@pytest.mark.anyio
async def test_a_task_that_waits_for_its_turn_is_shown_as_pending_and_can_be_stopped(tmp_path):
    """A7: it is cancelled with the pass, and takes no slot with it."""
    world = World(tmp_path)
    world.clock = FakeClock(autojump=False)
    rate = Rate("1/hour")

    @world.client.job(id="job")
    async def job(payload, io):
        await asyncio.gather(*(io.run_task(name, noting(world, name), rate=rate) for name in "abc"))

    run = job.start()
    subscription = run._execution.feed.subscribe()
    shown = {}

    def look():
        saved = [each.record for each in subscription.take() if isinstance(each, Saved)]
        shown.update((each.path, each.status) for each in saved)
        return shown

    await until(lambda: look() == {"a": "COMPLETED", "b": "PENDING", "c": "PENDING"})
    await until(lambda: len(world.clock.deadlines) == 1)
    run.pause()
    with pytest.raises(RunInterruptedError):
        await run
    assert world.clock.deadlines == []
    again = asyncio.ensure_future(run.resume()._result_of_cell())
    await until(lambda: len(world.clock.deadlines) == 1)
    world.clock.advance(3600)
    await until(lambda: len(world.calls) == 2)
    await until(lambda: len(world.clock.deadlines) == 1)
    world.clock.advance(3601)
    await again
    assert [name for name, _ in world.calls] == ["a", "b", "c"]


@pytest.mark.anyio
async def test_edited_code_takes_over_from_what_waits_for_its_turn(tmp_path):
    """I7: no new body starts in the old pass."""
    world = World(tmp_path)
    world.clock = FakeClock(autojump=False)
    rate = Rate("1/hour")

    @world.client.job(id="job")
    async def job(payload, io):
        await io.run_task("a", noting(world, "old a"), rate=rate)
        await io.run_task("b", noting(world, "old b"), rate=rate)

    run = job.start()
    await until(lambda: len(world.clock.deadlines) == 1)

    @world.client.job(id="job")
    async def edited(payload, io):
        await io.run_task("a", noting(world, "new a"), rate=rate)
        await io.run_task("b", noting(world, "new b"), rate=rate)

    edited.start()
    await until(lambda: run._record.passes == 2 and len(world.clock.deadlines) == 1)
    world.clock.advance(3601)
    await run
    assert [name for name, _ in world.calls] == ["old a", "new b"]


def test_the_items_of_a_map_share_the_rate_of_other_tasks(world, starts):
    rate = Rate("1/minute", name="map and task")

    @world.body
    def each(item):
        world.note((item, world.clock.time()))

    @world.job
    def job(payload, io):
        yield io.run_task("first", noting(world, "first"), rate=rate)
        yield io.map("items", [1, 2, 3], each, concurrency=2, rate=rate)

    world.run(job)
    assert [when for _, when in starts()] == [0, 60, 120, 180]


@pytest.mark.parametrize("batch", [1, 2])
def test_a_service_that_says_wait_slows_the_whole_map(world, starts, batch):
    """C2: not one item, and then there is no crowd: one, two, four."""

    @world.body
    def each(item):
        world.note((item, world.clock.time()))
        if world.clock.time() < began + 600:
            raise OSError("429")
        return item if batch == 1 else list(item)

    began = world.clock.time()

    @world.job
    def job(payload, io):
        yield io.map(
            "items",
            range(12),
            each,
            concurrency=4,
            batch=batch,
            on_error=lambda error: RetryAt(600),
            max_failures=99,
        )

    world.run(job)
    assert 1 <= [when for _, when in starts()].count(0) <= 4
    assert {when for _, when in starts()} == {0, 600}
