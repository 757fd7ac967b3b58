"""`io.imap`: the pairs of items and results as they come (rule C2)."""

from __future__ import annotations

from tests.support.maps import sometimes, squaring
from trigger_nb import TaskStatus
from trigger_nb.errors import (
    MapError,
)

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
