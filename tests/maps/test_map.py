"""Items of `io.map`: their keys, where they come from, and how many run at once (rule C2, and R1, I4 for items)."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections import Counter

import pytest
from hypothesis import given, settings, strategies as st

from tests.support.maps import mapping, paths
from tests.support.worlds import PATIENCE, Gate, World, reasons, until
from trigger_nb import TaskStatus
from trigger_nb.errors import (
    DuplicateKeyError,
    InvalidKeyError,
    InvalidOptionError,
    MapError,
)

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


@pytest.mark.parametrize("method", ["map", "imap"])
def test_a_map_hands_on_nothing_but_items(world, method):
    """`run_task` takes arguments after the body; who expects the same of a map is told what to write."""

    @world.job
    def job(payload, io):
        yield getattr(io, method)("classify", [1], pow, 2)

    with pytest.raises(
        InvalidOptionError, match=r"2 follows the body here.* lambda item: pow\(item, \.\.\.\)"
    ):
        world.run(job)


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
