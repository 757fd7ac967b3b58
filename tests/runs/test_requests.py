"""Requests of other processes, for the process that drives a run: each is for one pass, and is taken once."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.worlds import World
from trigger_nb._runs import attending, moves, moving, requests, resuming
from trigger_nb._runs.runtime import Runtime
from trigger_nb._store.disk import DiskStore
from trigger_nb._store.protocol import Row
from trigger_nb.errors import RunStateError


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.setattr(attending, "_LOOK", 1e9)  # it looks when it is told to
    world = World(tmp_path / "store")
    yield world
    world.new_kernel()


def elsewhere(world) -> Runtime:
    """The store as another process has it."""
    return Runtime(DiskStore(world.client.runtime.store.directory))


def waiting(world):
    @world.client.job
    async def waits(payload, io):
        await io.run_task("first", lambda: None)
        await io.wait("nap", seconds=1e6)
        await io.wait("sleep", seconds=1e6)

    return waits


async def until(holds):
    while not holds():
        await asyncio.sleep(0.001)


def test_a_request_is_for_one_pass_and_is_taken_once(world):
    """C7: what nobody took does nothing to a later pass; what is not understood does nothing at all."""
    job = waiting(world)

    async def main():
        run = job.start(1)
        runtime, other = world.client.runtime, elsewhere(world)
        await until(lambda: run.status == "WAITING")
        look = runtime.attendant._look
        record = other.require_run(run.id)
        for passes in (0, 2):
            requests.ask(other, record.copy(passes=passes), "cancel")
            look()
            assert not requests.is_open(other, run.id)
            assert run.status == "WAITING"
        for text in ('"dance"', '{"what": ["cancel"]}', "[]", "}", '{"what": "cancel", "passes": -3}'):
            other.journal.commit([Row(f"{requests.TAG}/{run.id}", requests.TAG, text)])
            look()
            assert run.status == "WAITING", text
        requests.ask(other, record, "skip the wait", "nap")
        look()
        await until(lambda: run.task("nap").status == "COMPLETED")
        await until(lambda: any(task.key == "sleep" for task in run.tasks))
        # As an older version has written it.
        other.journal.commit([Row(f"{requests.TAG}/{run.id}", requests.TAG, '"pause"')])
        look()
        await until(lambda: run.id not in runtime.executions)
        assert run.reason == "paused"
        requests.ask(
            other, other.require_run(run.id), "cancel"
        )  # which nobody drives: it is for no later pass
        run.resume()
        runtime.attendant._look()
        assert run.status != "CANCELED"
        run.cancel()
        await until(lambda: run.id not in runtime.executions)

    asyncio.run(main())


def test_who_is_to_have_a_run_is_let_alone_with_it_for_a_while(world, monkeypatch):
    """C7: a worker that looks for runs without a process does not take one that is on its way to another process."""
    job = waiting(world)

    async def main():
        run = job.start(2)
        runtime = world.client.runtime
        await until(lambda: run.status == "WAITING")
        with pytest.raises(RunStateError, match="of another thread"):
            await asyncio.to_thread(moving._to_be_left, runtime, run.id)
        moving.hand_over(runtime, run.id, now=False)
        await until(lambda: run.id not in runtime.executions and run.id not in runtime.moving)
        record = runtime.require_run(run.id)
        moves.note(runtime, run.id, "another", is_out=True)
        assert resuming.resume(runtime, record, lambda _: True) is None
        later = moves.time.time() + 21
        monkeypatch.setattr(moves.time, "time", lambda: later)
        assert resuming.resume(runtime, record, lambda _: True) is not None
        assert moves.of(runtime, run.id) is None, "it has begun here, and is not detached any more"
        assert not moving.is_detached(runtime, run.id)
        run.cancel()
        await until(lambda: run.id not in runtime.executions)

    asyncio.run(main())
