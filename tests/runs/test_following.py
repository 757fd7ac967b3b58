"""Following a run that another process drives: its commits become events, and nothing is read twice."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.worlds import World
from trigger_nb._records.feed import Saved, SavedRun
from trigger_nb._runs import following
from trigger_nb._runs.runtime import Runtime
from trigger_nb._runs.showing import make_model
from trigger_nb._store.disk import DiskStore
from trigger_nb.errors import UsageError


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path / "store")
    yield world
    world.new_kernel()


class Reading(DiskStore):
    """A store that notes what is read of it."""

    def __init__(self, directory):
        super().__init__(directory)
        self.rows = []

    def news(self, tag, after, keys):
        found = super().news(tag, after, keys)
        self.rows.append([key.partition("/")[2] for key, _ in found[1]])
        return found


def elsewhere(world):
    """The store as another process has it."""
    return Runtime(Reading(world.client.runtime.store.directory))


def completed(run):
    return sum(task.status == "COMPLETED" for task in run.tasks)


async def look(follower):
    follower.look()
    await asyncio.sleep(0)


@pytest.fixture
def by_hand(monkeypatch):
    """A follower looks only when it is told to."""
    monkeypatch.setattr(following, "_LOOK", 1e9)
    monkeypatch.setattr(following, "_ALL", 1e9)


def test_commits_of_another_process_become_events_and_only_what_is_new_is_read(world, by_hand):
    async def main():
        gates = [asyncio.Event() for _ in range(4)]

        @world.client.job
        async def steps(payload, io):
            for number, gate in enumerate(gates):
                await io.run_task(f"step-{number}", gate.wait)

        run = steps.start(run_id="mine")
        gates[0].set()
        gates[1].set()
        while completed(run) < 2:
            await asyncio.sleep(0)
        other = elsewhere(world)
        events = other.feed("mine").subscribe()
        feed = other.feed("mine")
        follower = following.follow(other, "mine")
        assert other.store.rows == [["step-0", "step-1"]]
        assert not events.pending
        await look(follower)
        assert other.store.rows == [["step-0", "step-1"]]  # no commit, no query
        gates[2].set()
        while completed(run) < 3:
            await asyncio.sleep(0)
        await look(follower)
        assert other.store.rows[1:] == [["step-2"]]
        assert [type(event) for event in events.take()] == [Saved]
        gates[3].set()
        await run
        await look(follower)
        assert sorted(other.store.rows[-1]) == [
            "step-0",
            "step-1",
            "step-2",
            "step-3",
        ]  # once more, at the end
        told = events.take()
        assert [event.record.path for event in told if isinstance(event, Saved)] == ["step-3"]
        assert told[-1] == SavedRun(told[-1].record)
        assert told[-1].record.status == "COMPLETED"
        assert follower.is_over
        assert "mine" not in other.followers
        assert feed is not None

    asyncio.run(main())


def test_a_process_that_dies_is_told_without_a_commit_and_its_run_is_followed_on(world, by_hand, monkeypatch):
    async def main():
        gate = asyncio.Event()

        @world.client.job
        async def held(payload, io):
            return await io.run_task("gate", gate.wait)

        run = held.start(run_id="mine")
        while not run._execution.pass_.running:
            await asyncio.sleep(0)
        other = elsewhere(world)
        events = other.feed("mine").subscribe()
        feed = other.feed("mine")
        follower = following.follow(other, "mine")
        alive = True
        monkeypatch.setattr("trigger_nb._store.lease.is_held", lambda *_args, **_options: alive)
        await look(follower)
        assert events.take() == []
        alive = False
        await look(follower)
        assert [event.record.status for event in events.take()] == ["INTERRUPTED"]
        assert not follower.is_over
        alive = True
        gate.set()
        assert await run is True
        await look(follower)
        assert follower.is_over
        assert events.take()[-1].record.status == "COMPLETED"
        assert feed is not None

    asyncio.run(main())


def test_a_map_under_way_is_one_row_before_its_own_record_is_there(world, by_hand):
    async def main():
        gate = asyncio.Event()

        async def body(item):
            if item == 99:
                await gate.wait()

        @world.client.job
        async def many(payload, io):
            await io.map("many", range(100), body, concurrency=100)

        run = many.start(run_id="mine")
        while completed(run) < 99:
            await asyncio.sleep(0)
        other = elsewhere(world)
        events = other.feed("mine").subscribe()
        feed = other.feed("mine")
        follower = following.follow(other, "mine")
        model = make_model(other, "mine")
        await look(follower)
        model.apply(events.take())
        assert model.rows["many"].folds
        gate.set()
        await run
        await look(follower)
        model.apply(events.take())
        assert model.rows["many"].record.tally["items"] == 100
        assert model.tally.states["completed"] == 100
        assert feed is not None

    asyncio.run(main())


def test_what_is_forgotten_is_told_when_the_run_goes_on(world, by_hand):
    async def main():
        @world.client.job
        async def two(payload, io):
            await io.run_task("a", lambda: 1)
            await io.run_task("b", lambda: 2)

        await two.run(run_id="mine")
        other = elsewhere(world)
        assert following.follow(other, "mine") is None  # it has ended
        world.client.run("mine").rerun_from("b")
        assert other.run_record("mine").status == "RUNNING"
        events = other.feed("mine").subscribe()
        feed = other.feed("mine")
        follower = following.follow(other, "mine")
        await world.client.run("mine")
        await look(follower)
        assert [e.record.path for e in events.take() if isinstance(e, Saved)] == ["b"]
        assert feed is not None

    asyncio.run(main())


def test_a_run_of_this_process_and_a_missing_loop(world):
    async def main():
        gate = asyncio.Event()

        @world.client.job
        async def held(payload, io):
            return await io.run_task("gate", gate.wait)

        run = held.start(run_id="mine")
        assert following.follow(world.client.runtime, "mine") is None
        assert world.client.watch("mine").id == "mine"
        gate.set()
        await run

    asyncio.run(main())
    with pytest.raises(UsageError, match="trigger-nb show mine --watch"):
        world.client.watch("mine")


def test_awaiting_a_watched_run_gives_its_output(world):
    async def main():
        gate = asyncio.Event()

        @world.client.job
        async def held(payload, io):
            await io.run_task("gate", gate.wait)
            return {"a": 1}

        run = held.start(run_id="mine")
        other = elsewhere(world)
        from trigger_nb.run import Run

        watched = Run(other, "mine")._watch()
        waiting = asyncio.ensure_future(watched._result())
        await asyncio.sleep(0)
        gate.set()
        await run
        assert await waiting == {"a": 1}

    asyncio.run(main())
