"""`def` bodies that wait for a thread: they have not begun, and are not treated as if they had."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.worlds import Gate, World, running_bodies, until, wait_until
from trigger_nb._concurrency.threads import threads
from trigger_nb._tasks import running as running_module
from trigger_nb.errors import RunInterruptedError

pytestmark = pytest.mark.anyio

ROOM = 2
ITEMS = 6


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


@pytest.fixture(autouse=True)
def little_room(monkeypatch):
    wait_until(lambda: not threads.busy)  # with the bodies of an earlier test
    monkeypatch.setattr(threads, "max_running", ROOM)


def fan_out(world, gate, note="body", **options):
    """A job of six tasks, two of which get a thread until the gate is opened."""

    def body(item):
        world.note((note, item))
        gate.pass_through()
        return item

    @world.client.job(id="fan-out")
    async def job(payload, io):
        return await io.parallel("all", range(ITEMS), body, **options)

    return job


def at_the_gate(world):
    return until(lambda: len(world.calls) == ROOM and len(running_bodies) == ITEMS)


async def test_after_a_stop_none_of_them_begins(world):
    """A6, A7: no new body starts; those in flight finish, are recorded and adopted (A5)."""
    gate = Gate()
    run = fan_out(world, gate).start()
    await at_the_gate(world)
    run.pause(now=True)
    with pytest.raises(RunInterruptedError):
        await run
    assert len(running_bodies) == ROOM
    gate.open()
    await until(lambda: not running_bodies)
    assert len(world.calls) == ROOM
    assert await run.resume() == list(range(ITEMS))
    assert sorted(world.calls) == [("body", item) for item in range(ITEMS)]


async def test_edited_code_takes_those_over_that_had_not_begun(world):
    """I7: no new body starts in the old pass."""
    gate = Gate()
    run = fan_out(world, gate, note="old").start()
    await at_the_gate(world)

    def edited(item):
        world.note(("new", item))
        return -item

    @world.client.job(id="fan-out")
    async def job(payload, io):
        return await io.parallel("all", range(ITEMS), edited)

    again = job.start()
    gate.open()
    old = [item for _, item in world.calls[:ROOM]]
    assert await run == await again == [item if item in old else -item for item in range(ITEMS)]
    assert sorted(world.calls) == sorted(("old" if item in old else "new", item) for item in range(ITEMS))


async def test_their_start_is_not_recorded(world, starts_are_recorded):
    """A1: when the kernel dies, only what had begun has crashed."""
    gate = Gate()
    run = fan_out(world, gate).start()
    await at_the_gate(world)
    began = {f"all/{item}" for _, item in world.calls}
    await asyncio.to_thread(running_module.watch._look)
    store = world.client.runtime.store
    stored = {key.partition("/")[2] for key, text in store.select(run.id) if '"RUNNING"' in text}
    assert stored - {"all"} == began
    gate.open()
    await run


async def test_their_time_limit_has_not_begun(world):
    """A3: `timeout` bounds the attempt, not the wait for a thread."""
    gate = Gate()
    run = fan_out(world, gate, timeout=600).start()
    await at_the_gate(world)
    await until(
        lambda: all(running.scope.limit._holds == running.queued for running in running_bodies.values())
    )
    assert sum(running.queued for running in running_bodies.values()) == ITEMS - ROOM
    gate.open()
    assert await run == list(range(ITEMS))


async def test_the_tree_tells_them_from_those_that_run(world):
    gate = Gate()
    run = fan_out(world, gate).start()
    seen = run.model()
    subscription = run._execution.feed.subscribe()
    await at_the_gate(world)
    seen.apply(subscription.take())
    began = {f"all/{item}" for _, item in world.calls}
    states = {path: str(row.state) for path, row in seen.rows.items() if path != "all"}
    assert states == {path: "running" if path in began else "pending" for path in states}
    gate.open()
    await run
    seen.apply(subscription.take())
    assert {str(row.state) for row in seen.rows.values()} == {"completed"}
    subscription.close()
