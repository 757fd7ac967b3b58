"""Maps over many items: `io.map` and `io.imap` (rule C2, and R1, R3, R5, R9, A6, I4 for their items)."""

from __future__ import annotations

import asyncio
import gc
import itertools
import math
import multiprocessing
import os
import random
import threading
import weakref
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings, strategies as st

from tests.support.worlds import PATIENCE, Gate, World, until
from trigger_nb import Retry, RetryAt, RunStatus, TaskStatus
from trigger_nb._records.feed import Progressed
from trigger_nb.errors import (
    DuplicateKeyError,
    InvalidKeyError,
    InvalidOptionError,
    MapError,
    NestingError,
    UsageError,
)


def squaring(world):
    def square(item):
        world.note(item)
        return item * item

    return world.body(square)


def mapping(world, **options):
    """A job that maps over its payload."""
    square = squaring(world)

    @world.job(identity=lambda payload: "the same run")
    def job(payload, io):
        return (yield io.map("square", payload, square, **options))

    return job


def reasons(run):
    return {task.path: task.reason for task in run.tasks}


def paths(run):
    return [task.path for task in run.tasks]


# --- Items and their keys -------------------------------------------------------------------------


def test_results_come_in_the_order_of_the_items_and_are_replayed(world):
    """C2, R1: a list in the items' order; run again, nothing runs, also in a new kernel."""
    job = mapping(world)
    assert world.run(job, [3, 1, 2]) == [9, 1, 4]
    assert sorted(world.take()) == [1, 2, 3]
    assert world.run(job, [3, 1, 2]) == [9, 1, 4]
    world.new_kernel()
    assert world.run(mapping(world), [3, 1, 2]) == [9, 1, 4]
    assert world.take() == []


ITEMS = st.lists(st.integers(0, 12), max_size=12)


@given(first=ITEMS, second=ITEMS, size=st.integers(1, 4), is_async=st.booleans())
@settings(max_examples=40)
def test_inserting_deleting_and_shuffling_runs_only_what_is_new(
    tmp_path_factory, first, second, size, is_async
):
    """C2: keyed by content: in the second pass those run that are in it more often than they were in the first."""
    world = World(tmp_path_factory.mktemp("map"), "async def" if is_async else "def")
    job = mapping(world, concurrency=size)
    assert world.run(job, first) == [n * n for n in first]
    assert Counter(world.take()) == Counter(first)
    assert world.run(job, second) == [n * n for n in second]
    assert Counter(world.take()) == Counter(second) - Counter(first)
    assert world.run(job, first + second) == [n * n for n in first + second]
    assert Counter(world.take()) == (Counter(first) + Counter(second)) - (Counter(first) | Counter(second))
    world.new_kernel()


def test_items_are_told_apart_by_type_and_content(world):
    """I2, C2: 1, 1.0, True and "1" are four items, and so are a long text, a mapping and a second "1"."""
    items = [
        1,
        1.0,
        True,
        "1",
        "1",
        "x" * 200,
        {"id": 1},
        {"id": 1.0},
        [1],
        (1,),
        None,
        "",
        "a/b",
        "a,b",
        "é",
    ]
    seen = []

    def note(item):
        seen.append(item)
        return type(item).__name__

    body = world.body(note)

    @world.job
    def job(payload, io):
        return (yield io.map("kinds", items, body))

    assert world.run(job) == [type(item).__name__ for item in items]
    assert len(seen) == len(items)
    assert len(set(paths(world.last(job)))) == len(items) + 1
    assert "kinds/a~1b" in paths(world.last(job))
    assert world.run(job) == [type(item).__name__ for item in items]
    assert len(seen) == len(items)


def test_the_order_of_a_mapping_does_not_make_another_item(world):
    """C2: a mapping is the same whatever the order of its keys."""
    job_items = [{"a": 1, "b": 2}]
    body = world.noting("called")

    @world.job
    def job(payload, io):
        return (yield io.map("rows", list(job_items), body))

    world.run(job)
    job_items[:] = [{"b": 2, "a": 1}]
    world.run(job)
    assert world.take() == ["called"]


def test_an_item_without_content_of_its_own_has_to_be_named(world):
    """I2: nothing is guessed: an object that cannot be told from others needs `item_key`."""

    class Handle:
        name = "h"

    body = world.noting("called")

    @world.job
    def job(payload, io):
        return (yield io.map("handles", [Handle()], body))

    with pytest.raises(InvalidKeyError, match=r"item 0 of map 'handles' \(Handle\).*item_key="):
        world.run(job)
    assert world.take() == []

    @world.job(id="named")
    def named(payload, io):
        return (yield io.map("handles", [Handle()], body, item_key=lambda item: ("handle", item.name)))

    assert world.run(named) == ["called"]
    assert paths(world.last(named)) == ["handles", "handles/~(handle,h)"]


def test_an_item_key_keeps_the_result_though_the_item_changes(world):
    """R6: what the item was is compared, and shown as changed; the result is kept under its key."""
    rows = [{"id": 7, "v": 1}]
    body = world.body(lambda row: world.note(row["v"]) or row["v"])

    @world.job
    def text(payload, io):
        return (yield io.map("rows", list(rows), body, item_key=lambda row: row["id"]))

    assert world.run(text) == [1]
    rows[0] = {"id": 7, "v": 2}
    assert world.run(text) == [1]
    assert world.take() == [1]
    assert reasons(world.last(text))["rows/~(~i7)"] == "replayed"
    assert "changed: params" in str(world.last(text).tree())


def test_two_items_of_one_item_key_are_a_mistake(world):
    """I4: their results would be kept under one name. The message names the key and both items."""
    body = world.noting("called")

    @world.job
    def job(payload, io):
        return (yield io.map("rows", ["ab", "ac"], body, item_key=lambda text: text[0]))

    with pytest.raises(DuplicateKeyError, match=r"(?s)rows/a.*item 0.*item 1"):
        world.run(job)


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ("abc", r"a str counts as one value: pass \[items\]"),
        (b"abc", "bytes counts as one value"),
        ({"a": 1}, r"dict counts as one value.*\.items\(\)"),
        (5, "the items of a map must be an iterable, sync or async, not 5"),
    ],
)
def test_what_is_one_value_is_not_taken_for_many(world, items, said):
    """Bad input gets an error that says what to do."""
    body = world.noting("called")

    @world.job
    def job(payload, io):
        return (yield io.map("items", items, body))

    with pytest.raises(InvalidOptionError, match=said):
        world.run(job)


def test_a_data_frame_is_mapped_by_its_rows(world):
    """Iterating over a frame gives its columns, which nobody means."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"id": [1, 2]})
    body = world.noting("called")

    @world.job
    def job(payload, io):
        return (yield io.map("rows", frame, body))

    with pytest.raises(InvalidOptionError, match="to_dict"):
        world.run(job)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"concurrency": 0}, "concurrency is a whole number of 1 or more; not 0"),
        ({"concurrency": 2.5}, "concurrency is a whole number"),
        ({"batch": True}, "batch is a whole number"),
        ({"max_failures": 0}, "max_failures must be a number of failures from 1"),
        ({"item_key": "id"}, "item_key must be a function"),
        ({"return_errors": "yes"}, "return_errors is True or False"),
        ({"concurency": 3}, "Did you mean 'concurrency'"),
        ({"params": 3}, "no option 'params'"),
    ],
)
def test_a_mistaken_option_is_told_before_anything_runs(world, option, said):
    """Bad input gets an error that says what to do."""
    with pytest.raises(InvalidOptionError, match=said):
        world.run(mapping(world, **option), [1])
    assert world.take() == []


def test_no_items_are_no_problem(world):
    """An empty map returns an empty list, and so does it the next time."""
    job = mapping(world)
    assert world.run(job, []) == []
    assert world.run(job, []) == []
    assert world.last(job).task("square").status == TaskStatus.COMPLETED


# --- Where the items come from --------------------------------------------------------------------


def test_an_async_iterable_is_walked_as_the_work_goes_on(async_world):
    """C2: no item is taken before there is a worker for it."""
    taken = []
    gate = Gate()

    async def pages():
        for number in range(10):
            taken.append(number)
            yield number

    async def body(page):
        await gate.pass_through_async()
        return page

    async def job(payload, io):
        return await io.map("pages", pages(), body, concurrency=3)

    job = async_world.client.job(id="pages")(job)

    async def main():
        run = job.start()
        await until(lambda: len(taken) == 3)
        await asyncio.sleep(0.01)
        assert taken == [0, 1, 2]
        gate.open()
        return await run

    assert asyncio.run(main()) == list(range(10))


def test_items_are_not_held_when_they_have_ended(async_world):
    """C2: not held in memory: of a thousand items only those at work are alive."""
    alive = weakref.WeakSet()
    most = 0

    class Item:
        def __init__(self, number):
            self.number = number
            alive.add(self)

    def items():
        for number in range(1000):
            yield Item(number)

    async def body(item):
        nonlocal most
        gc.collect() if item.number % 250 == 0 else None
        most = max(most, len(alive))
        return item.number

    async def job(payload, io):
        return sum(
            await io.map("items", items(), body, item_key=lambda item: str(item.number), concurrency=5)
        )

    job = async_world.client.job(id="items")(job)
    assert async_world.run(job) == sum(range(1000))
    assert most < 50


def test_what_makes_the_items_may_ask_io_for_them(async_world):
    """I3: pages that are tasks themselves belong to the run, not to the map, and are replayed with it."""
    world = async_world

    async def fetch(page):
        world.note(("fetch", page))
        return [page * 2, page * 2 + 1] if page < 3 else []

    async def pages(io):
        page = 0
        while numbers := await io.run_task(("page", page), fetch, page):
            for number in numbers:
                yield number
            page += 1

    async def body(item):
        world.note(item)
        return -item

    async def job(payload, io):
        return await io.map("items", pages(io), body, concurrency=2)

    job = world.client.job(id="pages")(job)
    assert world.run(job) == [0, -1, -2, -3, -4, -5]
    assert len(world.take()) == 10
    assert {path for path in paths(world.last(job)) if "page" in path} == {f"~(page,~i{n})" for n in range(4)}
    assert world.run(job) == [0, -1, -2, -3, -4, -5]
    assert world.take() == []


def test_a_generator_that_is_left_in_the_middle_cleans_up(async_world):
    """A map that gives up closes what it has taken items from."""
    closed = []

    async def items():
        try:
            for number in range(100):
                yield number
        finally:
            closed.append("closed")

    async def body(item):
        raise ValueError

    async def job(payload, io):
        try:
            await io.map("items", items(), body, concurrency=1, max_failures=2)
        except MapError:
            return list(closed)

    job = async_world.client.job(id="left")(job)
    assert async_world.run(job) == ["closed"]


def test_an_error_of_the_iterable_ends_the_map_after_what_runs(world):
    """A6: those in flight finish and are recorded; the error is the iterable's own."""
    body = world.body(lambda item: world.note(item) or item)

    def items():
        yield from range(3)
        raise OSError("the file is torn")

    broken = [True]

    @world.job
    def job(payload, io):
        return (yield io.map("items", items() if broken[0] else range(4), body))

    assert str(world.fail(job)) == "the file is torn"
    ended = sorted(world.take())
    assert ended == ([0, 1, 2] if world.is_async else [])  # a `def` job makes its items beforehand
    broken[0] = False
    assert world.run(job) == [0, 1, 2, 3]
    assert sorted(ended + world.take()) == [0, 1, 2, 3]


def test_a_def_job_makes_its_items_in_its_own_thread(tmp_path):
    """I3: a generator of a `def` job may itself call `io`, which blocks."""
    world = World(tmp_path, "def")
    threads = set()

    def items(io):
        for number in range(3):
            threads.add(threading.get_ident())
            yield io.run_task(("make", number), lambda n: n * 10, number)

    def made(payload, io):
        return io.map("items", items(io), lambda item: item + 1), threads == {threading.get_ident()}

    assert world.run(world.client.job(id="made")(made)) == ([1, 11, 21], True)


# --- How many at once -----------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 3, 7])
def test_no_more_run_at_once_than_may(world, limit):
    """C2: `concurrency` bodies at most, and that many."""
    running, most = 0, 0
    lock = threading.Lock()
    together = threading.Barrier(limit, timeout=PATIENCE) if not world.is_async else None

    def enter():
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)

    def leave():
        nonlocal running
        with lock:
            running -= 1

    async def body(item):
        enter()
        await asyncio.sleep(0.001)
        leave()

    def blocking(item):
        enter()
        together.wait()
        leave()

    @world.job
    def job(payload, io):
        yield io.map("items", range(limit * 4), body if world.is_async else blocking, concurrency=limit)

    world.run(job)
    assert most == limit


# --- Failures -------------------------------------------------------------------------------------


def sometimes(world, bad):
    def body(item):
        world.note(item)
        if item in bad:
            raise ValueError(f"no {item}")
        return item

    return world.body(body)


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


# --- Nodes ----------------------------------------------------------------------------------------


def test_maps_nest_and_count_as_levels(world):
    """I5, C2: a map in the body of an item of a map; nested too deep it is refused."""
    inner = world.body(lambda item: item + 1)

    def outer(item, io):
        return sum((yield io.map("inner", range(item), inner)))

    body = world.body(outer)

    @world.job
    def job(payload, io):
        return (yield io.map("outer", [1, 2, 3], body))

    assert world.run(job) == [1, 3, 6]
    assert "outer/~(~i3)/inner/~(~i2)" in paths(world.last(job))
    world.options["max_depth"] = 3

    @world.job(id="deep")
    def deep(payload, io):
        return (yield io.map("outer", [1], body))

    assert isinstance(world.fail(deep), NestingError)


def test_the_node_says_how_many_items_there_were(world):
    """C2: kept with the node, and kept true when items come and go."""
    body = sometimes(world, {2})

    @world.job(identity=lambda payload: "same")
    def job(payload, io):
        return len((yield io.map("items", payload, body, return_errors=True)))

    def tally():
        run_id = world.last(job).id
        return next(each.tally for each in world.client.runtime.task_records(run_id) if each.path == "items")

    world.run(job, [0, 1, 2])
    assert tally() == {"items": 3, "failed": 1}
    world.run(job, [0, 1])
    assert tally() == {"items": 2, "failed": 0}
    world.run(job, [0, 1, 3, 4])
    assert tally() == {"items": 4, "failed": 0}
    world.new_kernel()
    assert tally() == {"items": 4, "failed": 0}


def test_items_keep_their_results_when_another_is_run_again(world):
    """R9: forgetting an item keeps the other items, and forgets what came after the map."""
    body = sometimes(world, set())

    @world.job
    def job(payload, io):
        found = yield io.map("items", range(4), body)
        yield io.run_task("after", world.noting("after"))
        return found

    world.run(job)
    world.take()

    async def rerun():
        return await world.last(job).rerun_from("items/~(~i2)")

    assert asyncio.run(rerun()) == [0, 1, 2, 3]
    assert world.take() == [2, "after"]


def test_names_and_properties_of_items(world):
    """C2: a row says what the item is; `properties` is asked for each; `name` is the node's."""
    body = world.noting("x")

    @world.job
    def job(payload, io):
        yield io.map(
            "rows", [{"id": 7}, "paris"], body, name="Rows",
            properties=lambda row: {"Length": len(row)},
        )  # fmt: skip

    world.run(job)
    run = world.last(job)
    node, *items = run.tasks
    assert (node.name, [item.name for item in items]) == ("Rows", ['{"id": 7}', "paris"])
    assert [item.properties[0]["text"] for item in items] == ["1", "5"]


def test_a_hidden_part_of_an_item_is_not_its_name(world):
    """S8: what `redact` hides is not in the row, nor in the path."""
    body = world.noting("x")

    @world.job
    def job(payload, io):
        yield io.map("rows", [{"token": "s3cr3t"}], body, redact=["token"])

    world.run(job)
    run = world.last(job)
    assert "s3cr3t" not in str(run.tree()) + "".join(paths(run))


def test_progress_is_told(async_world):
    """The node says how far it is, how many failed, and when it will be done."""
    told = []

    async def body(item):
        if item == 3:
            raise ValueError
        await asyncio.sleep(0.03)

    async def job(payload, io):
        await io.map("items", range(20), body, concurrency=2, return_errors=True)

    job = async_world.client.job(id="told")(job)

    async def main():
        run = job.start()
        feed = async_world.client.runtime.feed(run.id)
        subscription = feed.subscribe()
        await run
        told.extend(event for event in subscription.take() if isinstance(event, Progressed))

    asyncio.run(main())
    last = told[-1]
    assert (last.path, last.done, last.total, last.failed) == ("items", 20, 20, 1)
    assert any(event.rate and event.ends_at for event in told)


# --- Held back by the service ---------------------------------------------------------------------


class Busy(Exception):
    """A service's 429, with the time of its reset."""

    def __init__(self, until):
        super().__init__(f"wait until {until}")
        self.until = until


def wait_until_reset(error):
    return RetryAt(datetime.fromtimestamp(error.until, UTC)) if isinstance(error, Busy) else None


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


# --- Stopped in the middle ------------------------------------------------------------------------


def test_a_stopped_map_goes_on_where_it_was(async_world):
    """R3, A7: cancelled in the middle; the next pass runs what is missing."""
    world = async_world
    gate, held = Gate(), {5, 6}

    async def body(item):
        world.note(item)
        if item in held:
            await gate.pass_through_async()
        return item

    async def job(payload, io):
        return await io.map("items", range(10), body, concurrency=2)

    job = world.client.job(id="stopped")(job)

    async def main():
        run = job.start()
        await until(lambda: len(world.calls) == 7)
        run.cancel()
        await until(lambda: run.status == RunStatus.CANCELED)
        assert sorted(world.take()) == list(range(7))
        held.clear()
        return await job.run()

    assert asyncio.run(main()) == list(range(10))
    assert sorted(world.take()) == [5, 6, 7, 8, 9]


def test_a_completed_map_stays_completed_when_its_replay_is_stopped(async_world):
    """R5: errors that it gave as results stay results, though a later pass did not get to its end."""
    world, gate = async_world, Gate()
    body = sometimes(world, {1})
    gate.open()

    async def items():
        for number in range(4):
            if number == 2:
                await gate.pass_through_async()
            yield number

    async def job(payload, io):
        return [repr(each) for each in await io.map("items", items(), body, return_errors=True)]

    job = world.client.job(id="stays")(job)
    first = world.run(job)
    world.take()
    gate = Gate()

    async def main():
        run = job.start()
        await until(gate.reached.is_set)
        run.cancel()
        await until(lambda: run.status == RunStatus.CANCELED)
        assert run.task("items").status == TaskStatus.COMPLETED
        gate.open()
        return await job.run()

    assert asyncio.run(main()) == first
    assert world.take() == []


# --- One by one -----------------------------------------------------------------------------------


def test_imap_gives_pairs_as_they_come(world):
    """C2: each item with its result, once; replayed the next time."""

    async def collect(io):
        return sorted([pair async for pair in io.imap("items", range(30), squaring(world), concurrency=4)])

    async def asynchronous(payload, io):
        return await collect(io)

    def blocking(payload, io):
        return sorted(io.imap("items", range(30), squaring(world), concurrency=4))

    job = world.client.job(id="pairs")(asynchronous if world.is_async else blocking)
    expected = [(n, n * n) for n in range(30)]
    assert world.run(job) == expected
    assert sorted(world.take()) == list(range(30))
    world.new_kernel()
    job = world.client.job(id="pairs")(job.fn)
    assert world.run(job) == expected
    assert world.take() == []


def test_the_first_result_is_there_before_the_last_item_has_begun(async_world):
    """C2: results are handed over while others run, and no more are got ready than there is room for."""
    world = async_world

    async def body(item):
        world.note(item)
        return item

    async def job(payload, io):
        async for _ in io.imap("items", range(1000), body, concurrency=4):
            return len(world.calls)

    job = world.client.job(id="first")(job)
    assert world.run(job) < 20


def test_leaving_the_loop_ends_the_map_in_peace(world, recwarn):
    """A6: what runs is finished and kept, no other item begins, and the run completes."""

    async def asynchronous(payload, io):
        async for item, _ in io.imap("items", range(100), squaring(world), concurrency=3):
            if item >= 5:
                break
        return "left"

    def blocking(payload, io):
        for item, _ in io.imap("items", range(100), squaring(world), concurrency=3):
            if item >= 5:
                break
        return "left"

    job = world.client.job(id="left")(asynchronous if world.is_async else blocking)
    assert world.run(job) == "left"
    assert 5 < len(world.take()) < 40
    node = world.last(job).task("items")
    assert node.status == TaskStatus.COMPLETED
    assert not [each for each in recwarn if "returned while" in str(each.message)]


def test_imap_raises_at_the_end_what_failed(world):
    """C2: first all results, then one `MapError`; with `return_errors` they are among the pairs."""
    body = sometimes(world, {2})
    seen = []

    async def asynchronous(payload, io):
        async for item, _ in io.imap("items", range(5), body):
            seen.append(item)

    def blocking(payload, io):
        for item, _ in io.imap("items", range(5), body):
            seen.append(item)

    job = world.client.job(id="raises")(asynchronous if world.is_async else blocking)
    error = world.fail(job)
    assert isinstance(error, MapError)
    assert sorted(seen) == [0, 1, 3, 4]

    async def given(payload, io):
        pairs = io.imap("items", range(5), body, return_errors=True)
        return sorted([(item, type(value).__name__) async for item, value in pairs])

    job = world.client.job(id="given")(given)
    assert world.run(job)[2] == (2, "ValueError")


# --- Batches --------------------------------------------------------------------------------------


def batching(world, function):
    """A body for batches of this world's kind that notes the batches it gets."""

    def body(items):
        world.note(list(items))
        return function(items)

    async def asynchronous(items):
        return body(items)

    return asynchronous if world.is_async else body


def test_a_batch_is_one_call_and_each_item_is_kept(world):
    """C2: ten items in calls of four; inserted and shuffled, only what is new is in the next call."""
    body = batching(world, lambda items: [item * 2 for item in items])

    @world.job(identity=lambda payload: "same")
    def job(payload, io):
        return (yield io.map("items", payload, body, batch=4, concurrency=1))

    assert world.run(job, range(10)) == [n * 2 for n in range(10)]
    assert world.take() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert len(world.last(job).tasks) == 11
    assert world.run(job, [9, 77, 3, 78, 1]) == [18, 154, 6, 156, 2]
    assert world.take() == [[77, 78]]


def test_a_failed_batch_is_tried_again_together(world):
    """A1: the attempts are the items', and they stay in one call though their delays differ."""
    fails = [True]

    def flaky(items):
        if fails.pop() if fails else False:
            raise OSError("busy")
        return list(items)

    body = batching(world, flaky)

    @world.job
    def job(payload, io):
        return (yield io.map("items", range(3), body, batch=3, retry=Retry(limit=3, min_timeout=10)))

    assert world.run(job) == [0, 1, 2]
    assert [sorted(batch) for batch in world.take()] == [[0, 1, 2], [0, 1, 2]]
    assert {task.attempt for task in world.last(job).tasks if task.path != "items"} == {2}


def test_an_error_in_the_list_is_that_of_its_item(world):
    """C2: a batch can fail in part: the others keep their results, that one is tried again alone."""
    body = batching(world, lambda items: [ValueError("no") if item == 1 else item for item in items])

    @world.job
    def job(payload, io):
        return [
            repr(x) for x in (yield io.map("items", range(3), body, batch=3, return_errors=True, retry=2))
        ]

    assert world.run(job) == ["0", "ValueError('no')", "2"]
    assert world.take() == [[0, 1, 2], [1]]


def test_a_batch_gets_neither_task_nor_io(world):
    """I6: there is no one idempotency key for items that share a call by chance."""

    def body(items, task):
        return items

    @world.job
    def job(payload, io):
        yield io.map("items", range(3), body, batch=3)

    with pytest.raises(InvalidOptionError, match="must not take `task` or `io`"):
        world.run(job)


@pytest.mark.parametrize(
    ("given", "said"),
    [(lambda items: items[1:], "returned 2 of them"), (lambda items: 5, "returned int")],
)
def test_a_batch_has_as_many_results_as_items(world, given, said):
    """I4: else results would be kept under the wrong names; nothing is recorded."""
    body = batching(world, given)

    @world.job
    def job(payload, io):
        yield io.map("items", range(3), body, batch=3, return_errors=True)

    error = world.fail(job)
    assert isinstance(error, UsageError)
    assert said in str(error)
    assert not [task for task in world.last(job).tasks if task.status == TaskStatus.COMPLETED]


def test_a_batch_in_a_thread_is_kept_though_nobody_waits(tmp_path):
    """A5: interrupted while the thread of a batch runs: what it returns is recorded for all of its items."""
    world = World(tmp_path, "def")
    gate = Gate()

    def body(items):
        world.note(list(items))
        gate.pass_through()
        return [item * 2 for item in items]

    async def job(payload, io):
        return await io.map("items", range(4), body, batch=4)

    job = world.client.job(id="kept")(job)

    async def main():
        run = job.start()
        await until(gate.reached.is_set)
        run.cancel()
        await until(lambda: run.status == RunStatus.CANCELED)
        gate.open()
        return await job.run()

    assert asyncio.run(main()) == [0, 2, 4, 6]
    assert world.take() == [[0, 1, 2, 3]]


# --- As a model -----------------------------------------------------------------------------------


@given(data=st.data())
@settings(max_examples=25)
def test_a_map_that_is_stopped_again_and_again_runs_each_item_once(tmp_path_factory, data):
    """R1, R3: cancelled at random places, in kernels that come and go: each item's result is made once."""
    world = World(tmp_path_factory.mktemp("map"), "async def")
    size = data.draw(st.integers(0, 30))
    options = {"concurrency": data.draw(st.integers(1, 5)), "batch": data.draw(st.sampled_from([1, 1, 3]))}
    stop_at = [data.draw(st.integers(1, 30)) for _ in range(data.draw(st.integers(0, 3)))]
    ended = Counter()

    async def one(item):
        await asyncio.sleep(0)
        ended[item] += 1
        if stop_at and sum(ended.values()) % 31 == stop_at[0]:
            stop_at.pop(0)
            job.runs()[0].cancel()
        return -item

    async def many(items):
        return [await one(item) for item in items]

    async def run(payload, io):
        body = one if options["batch"] == 1 else many
        return await io.map("items", random.sample(range(size), size), body, **options)

    for _ in range(5):
        job = world.client.job(id="model")(run)
        try:
            output = world.run(job)
        except Exception:
            world.new_kernel()
            continue
        assert sorted(output) == sorted(-n for n in range(size))
        break
    # A body that had ended and was not yet recorded when its run was cancelled may run again (R3).
    at_risk = options["concurrency"] * options["batch"]
    assert sum(ended.values()) - size <= 3 * at_risk
    assert set(ended) == set(range(size))
    world.new_kernel()


# --- Elsewhere ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pool():
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


def where(item):
    return item, os.getpid()


def where_all(items):
    return [ValueError("three") if item == 3 else where(item) for item in items]


def test_batches_run_in_executors(async_world, pool):
    """C3: one submission a batch; each item is kept here, and its own error is its own."""

    async def job(payload, io):
        return await io.map("items", range(7), where_all, batch=3, executor=pool, return_errors=True)

    job = async_world.client.job(id="away")(job)
    found = async_world.run(job)
    assert str(found.pop(3)) == "three"
    assert [item for item, _ in found] == [0, 1, 2, 4, 5, 6]
    assert os.getpid() not in {process for _, process in found}
    again = async_world.run(job)
    assert again[:3] + again[4:] == found


def test_a_batch_that_cannot_be_sent_is_a_mistake(async_world, pool):
    """I4: what cannot be pickled is told, and no item is recorded."""
    lock = threading.Lock()

    async def job(payload, io):
        await io.map("items", range(4), lambda items: [lock] * len(items), batch=2, executor=pool)

    job = async_world.client.job(id="away")(job)
    assert isinstance(async_world.fail(job), UsageError)
