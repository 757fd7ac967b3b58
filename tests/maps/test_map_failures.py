"""Items of `io.map` that fail or are held back by the service (rules C2, A2, R5)."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections import Counter
from datetime import UTC, datetime

import pytest

from tests.support.maps import sometimes
from tests.support.worlds import Gate
from trigger_nb import Retry, RetryAt, RunStatus, TaskStatus
from trigger_nb._records.feed import Progressed
from trigger_nb.errors import (
    DuplicateKeyError,
    MapError,
)

# --- Failures -------------------------------------------------------------------------------------


def test_all_items_run_and_then_one_error_tells_of_all_that_failed(world):
    """C2, R5: a `MapError`, a group of their errors in the items' order; the next pass runs those alone."""
    bad = {2, 5}
    body = sometimes(world, bad)

    @world.job
    def job(payload, io):
        return (yield io.map("items", range(8), body))

    error = world.fail(job)
    assert isinstance(error, MapError)
    assert [str(each) for each in error.exceptions] == ["no 2", "no 5"]
    assert "2 of 8 items of map 'items' failed" in str(error)
    assert sorted(world.take()) == list(range(8))
    run = world.last(job)
    assert (run.status, run.task("items").status) == (RunStatus.FAILED, TaskStatus.ERRORED)
    bad.clear()
    world.new_kernel()
    assert world.run(job) == list(range(8))
    assert sorted(world.take()) == [2, 5]


def test_retry_runs_the_failed_items_alone(world):
    """R5: `run.retry()` of a run whose map failed."""
    bad = {2, 5}
    body = sometimes(world, bad)

    async def job(payload, io):
        return await io.map("items", range(8), body)

    job = world.client.job(id="items")(job)

    async def main():
        run = job.start()
        with pytest.raises(MapError):
            await run
        world.take()
        bad.discard(2)
        with pytest.raises(MapError) as caught:
            await run.retry()
        assert [str(each) for each in caught.value.exceptions] == ["no 5"]
        assert sorted(world.take()) == [2, 5]
        bad.clear()
        assert await run.retry() == list(range(8))

    asyncio.run(main())
    assert world.take() == [5]


def test_errors_can_be_results(world):
    """R4, R5: with `return_errors` they are among the results, are replayed, and run again on request only."""
    bad = {1}
    body = sometimes(world, bad)

    def told(results):
        return [repr(each) for each in results]

    @world.job
    def job(payload, io):
        return told((yield io.map("items", range(3), body, return_errors=True)))

    assert world.run(job) == ["0", "ValueError('no 1')", "2"]
    world.take()
    bad.clear()
    world.new_kernel()
    assert world.run(job) == ["0", "ValueError('no 1')", "2"]
    assert world.take() == []
    run = world.last(job)
    assert run.status == RunStatus.COMPLETED
    world.client.job(id=job.id)(job.fn)

    async def retry():
        return await run.retry()

    assert asyncio.run(retry()) == ["0", "1", "2"]
    assert world.take() == [1]


def test_after_twenty_failures_in_a_row_nothing_new_begins(world):
    """C2: `max_failures` by default: twenty in a row with no success."""
    body = sometimes(world, set(range(100)))

    @world.job
    def job(payload, io):
        yield io.map("items", range(100), body, concurrency=1)

    error = world.fail(job)
    assert len(world.take()) == 20
    assert (
        "20 of 100 items of map 'items' failed: 20 × ValueError; after 20 failures in a row the other 80 did not "
        "start (max_failures=)"
    ) in str(error)
    assert "100 items · 20 failed · 80 did not start" in world.last(job).tree()


def test_successes_between_failures_let_a_map_go_on(world):
    """C2: nineteen in a row, a success, and on."""
    body = sometimes(world, {n for n in range(100) if n % 20})

    @world.job
    def job(payload, io):
        yield io.map("items", range(100), body, concurrency=1)

    assert len(world.fail(job).exceptions) == 95
    assert len(world.take()) == 100


def test_replayed_errors_do_not_stop_a_map(world):
    """C2: thirty errors in a row that are replayed say nothing of the service, and new items run."""
    body = sometimes(world, set(range(30)))
    options = {"max_failures": math.inf}

    @world.job(identity=lambda payload: "same")
    def job(payload, io):
        return len((yield io.map("items", payload, body, return_errors=True, concurrency=1, **options)))

    assert world.run(job, range(30)) == 30
    world.take()
    options.clear()
    assert world.run(job, range(32)) == 32
    assert world.take() == [30, 31]


@pytest.mark.parametrize(("most", "called"), [(3, 3), (math.inf, 50)])
def test_max_failures_counts_all(world, most, called):
    """C2: so many failures in all; `math.inf`: whatever happens."""
    body = sometimes(world, set(range(50)))

    @world.job
    def job(payload, io):
        yield io.map("items", range(50), body, concurrency=1, max_failures=most)

    assert isinstance(world.fail(job), MapError)
    assert len(world.take()) == called


def test_a_map_that_gave_up_does_not_return_half_of_the_results(world):
    """C2: also with `return_errors`: the rest did not begin, and a shorter list would not tell."""
    body = sometimes(world, {0, 1})

    @world.job
    def job(payload, io):
        yield io.map("items", range(10), body, concurrency=1, max_failures=2, return_errors=True)

    assert "the other 8 did not start" in str(world.fail(job))


def test_items_have_attempts_of_their_own(world):
    """A1: `retry=` is that of each item."""
    failed = set()

    def flaky(item):
        world.note(item)
        if item % 2 and item not in failed:
            failed.add(item)
            raise OSError("once")
        return item

    body = world.body(flaky)

    @world.job
    def job(payload, io):
        return (yield io.map("items", range(4), body, retry=Retry(limit=2, min_timeout=5)))

    assert world.run(job) == [0, 1, 2, 3]
    assert Counter(world.take()) == {0: 1, 1: 2, 2: 1, 3: 2}
    assert world.last(job).task("items/~(~i1)").attempt == 2


def test_a_mistake_in_one_body_fails_the_run_and_is_no_items_error(world):
    """I4: misuse is never recorded or retried."""

    def twice(item, io):
        yield io.run_task("same", world.noting("x"))
        yield io.run_task("same", world.noting("y"))

    body = world.body(twice)

    @world.job
    def job(payload, io):
        yield io.map("items", range(3), body, concurrency=1, return_errors=True)

    assert isinstance(world.fail(job), DuplicateKeyError)


def test_a_map_error_is_replayed_as_itself_and_taken_apart_by_class(world):
    """R4: `except MapError` and `except*` take the same branch on replay, in a new kernel, and from a body."""
    body = sometimes(world, {1})

    def parent(io):
        yield io.map("items", range(3), body)

    outer = world.body(parent)

    @world.job
    def job(payload, io):
        try:
            yield io.run_task("parent", outer)
        except* ValueError as group:
            found = [type(group).__name__, *map(str, group.exceptions)]
        yield io.run_task("after", world.noting("after"))
        return found

    assert world.run(job) == ["MapError", "no 1"]
    world.new_kernel()
    assert world.run(job) == ["MapError", "no 1"]


# --- Held back by the service ---------------------------------------------------------------------


class Busy(Exception):
    """A service's 429, with the time of its reset."""

    def __init__(self, until):
        super().__init__(f"wait until {until}")
        self.until = until


def wait_until_reset(error):
    return RetryAt(datetime.fromtimestamp(error.until, UTC)) if isinstance(error, Busy) else None


def test_a_reset_time_slows_the_whole_map(async_world):
    """C2, A2: ten requests a minute are allowed. One refusal holds all items back, and at the reset there is no herd."""
    world, windows, refused = async_world, Counter(), []

    async def body(item):
        now = world.clock.time()
        window = now // 60
        await asyncio.sleep(0)
        windows[window] += 1
        if windows[window] > 10:
            refused.append((now, item))
            raise Busy((window + 1) * 60)
        return item

    async def job(payload, io):
        return await io.map("items", range(60), body, concurrency=8, on_error=wait_until_reset)

    job = world.client.job(id="held")(job)
    assert world.run(job) == list(range(60))
    # Without a common limiter each of 60 items finds out for itself, and so it would at each reset: hundreds.
    # With it, at most those that were at work when the service refused, once a window.
    assert len(refused) <= 8 * 6
    assert all(count <= 10 + 8 for count in windows.values())
    assert world.last(job).task("items/~(~i59)").attempt <= 3


def test_the_node_says_that_it_is_held_back(async_world):
    """What the service asks for is in the node's row."""
    world, refused = async_world, []

    async def body(item):
        if item == 2 and not refused:
            refused.append(item)
            raise Busy(world.clock.time() + 3600)
        return item

    async def job(payload, io):
        await io.map("items", range(5), body, concurrency=2, on_error=wait_until_reset)

    job = world.client.job(id="held")(job)

    async def main():
        run = job.start()
        subscription = world.client.runtime.feed(run.id).subscribe()
        await run
        return [event.text for event in subscription.take() if isinstance(event, Progressed) and event.text]

    said = asyncio.run(main())
    assert said
    assert said[0].startswith("held back until ")


def test_a_rate_paces_items_and_calls_of_batches(world):
    """C2: `rate=`: so many items, or calls of a batch, begin in any period."""
    began = []

    def one(item):
        began.append(world.clock.time())
        return item

    @world.job
    def job(payload, io):
        yield io.map("single", range(6), world.body(one), rate="60/minute")
        began.append("batches")
        yield io.map(
            "batches",
            range(6),
            world.body(lambda items: [one(items[0])] * len(items)),
            batch=2,
            rate="60/minute",
        )

    world.run(job)
    at = began.index("batches")
    for times, count in ((began[:at], 6), (began[at + 1 :], 3)):
        assert len(times) == count
        assert all(after - before >= 0.9 for before, after in itertools.pairwise(times))


def test_a_map_says_that_it_gave_up_also_when_more_items_fail_after_that(async_world):
    """C2: items that were in flight when the map gave up fail as well."""
    all_began = Gate()

    async def body(item):
        async_world.note(item)
        if len(async_world.calls) == 25:
            all_began.open()
        await all_began.pass_through_async()
        raise ValueError(item)

    async def job(payload, io):
        await io.map("items", range(100), body, concurrency=25)

    job = async_world.client.job(id="in-flight")(job)
    text = str(async_world.fail(job))
    assert len(async_world.take()) == 44, "each of the first 19 failures made room for one more item"
    assert "44 of 100 items" in text
    assert "the other 56 did not start" in text


@pytest.mark.parametrize("again", ["the cell again", "retry"])
def test_items_that_failed_in_an_earlier_pass_do_not_keep_new_items_from_their_turn(world, again):
    """C2: whether the cell runs again or the failed items are retried, they run, and what was appended too."""
    size = [400]
    body = sometimes(world, {n for n in range(400) if n % 10 == 3})

    @world.job(identity=lambda payload: "all")
    def job(payload, io):
        yield io.map("items", range(size[0]), body, concurrency=1)

    world.fail(job)
    world.take()
    size[0] = 410
    if again == "retry":
        world.client.job(id=job.id, identity=lambda payload: "all")(job.fn)

        async def retry():
            with pytest.raises(MapError):
                await world.last(job).retry()

        asyncio.run(retry())
    else:
        assert "40 of 410 items" in str(world.fail(job))
    called = world.take()
    assert [n for n in called if n < 400] == [n for n in range(400) if n % 10 == 3]
    assert [n for n in called if n >= 400] == list(range(400, 410))


@pytest.mark.parametrize("options", [{}, {"max_failures": 5}])
def test_a_service_that_is_still_down_stops_the_new_items_of_each_pass(world, options):
    """C2: at each pass the map gives up after so many items that failed for the first time, and so goes on."""
    most = options.get("max_failures", 20)
    body = sometimes(world, set(range(100)))

    @world.job
    def job(payload, io):
        yield io.map("items", range(100), body, concurrency=1, **options)

    for number in range(1, 4):
        assert f"{number * most} of 100 items" in str(world.fail(job))
        assert len(world.take()) == number * most


def test_a_map_over_a_generator_says_that_the_rest_did_not_start(async_world):
    """C2: how many items there are is not known."""

    async def items():
        for number in range(100):
            yield number

    async def body(item):
        raise ValueError(item)

    async def job(payload, io):
        await io.map("items", items(), body, concurrency=1)

    job = async_world.client.job(id="endless")(job)
    assert "20 of 20 items of map 'items' failed" in (text := str(async_world.fail(job)))
    assert "the rest did not start" in text
    assert "20 items · 20 failed · the rest did not start" in async_world.last(job).tree()


def test_the_last_item_that_fails_leaves_none_that_did_not_start(world):
    """C2: a map that gave up with its last item says nothing of others."""
    body = sometimes(world, set(range(20)))

    @world.job
    def job(payload, io):
        yield io.map("items", range(20), body, concurrency=1)

    assert "did not start" not in str(world.fail(job))


def test_a_subtask_that_is_told_to_wait_holds_back_the_maps_around_it(async_world):
    """C2, A2: the items of an inner map, which is in an item of another map."""
    world, began = async_world, []

    async def call(item):
        began.append((item, world.clock.time()))
        if len(began) == 1:
            raise Busy(3600)

    async def inner(item, io):
        await io.run_task("call", call, item, on_error=lambda error: RetryAt(3600))

    async def outer(item, io):
        await io.map("inner", [10 * item, 10 * item + 1], inner, concurrency=1)

    async def job(payload, io):
        await io.map("outer", range(3), outer, concurrency=1)

    start = world.clock.time()
    world.run(world.client.job(id="nested")(job))
    assert [item for item, when in began if when < start + 3600] == [0]
    assert len(began) == 7
