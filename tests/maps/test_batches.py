"""Maps with `batch=`, and maps whose bodies run in an executor (rules C2, C3)."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor

import pytest

from tests.support.worlds import Gate, World, until
from trigger_nb import Retry, RunStatus, TaskStatus
from trigger_nb.errors import (
    InvalidOptionError,
    UsageError,
)

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
