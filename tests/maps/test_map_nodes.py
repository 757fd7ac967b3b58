"""The node of a map in the tree, and maps that are stopped in the middle (rules C2, R3, R9, A6)."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

from hypothesis import given, settings, strategies as st

from tests.support.maps import paths, sometimes
from tests.support.worlds import Gate, World, until
from trigger_nb import RunStatus, TaskStatus
from trigger_nb._records.feed import Progressed
from trigger_nb.errors import (
    NestingError,
)

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
