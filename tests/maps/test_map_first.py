"""`io.map(..., first=)`: the map stops after its first items, spread over all, until a person says that it goes on."""

from __future__ import annotations

import asyncio

import pytest

from trigger_nb import RunStatus
from trigger_nb._maps.first import chosen
from trigger_nb._records.records import RunRecord
from trigger_nb._runs import execution as execution_module
from trigger_nb.errors import InvalidOptionError, MapError, RunInterruptedError


@pytest.fixture
def attended(monkeypatch):
    """Somebody has the notebook open."""
    monkeypatch.setattr(execution_module, "asks", lambda run: not run.parent and not run.is_test)
    monkeypatch.setattr("trigger_nb._plans.rehearsal.asks", lambda run: not run.parent and not run.is_test)


def squares(world, items=range(20), *, first=4, fails=(), **options):
    def square(item):
        world.note(item)
        if item in fails:
            raise ValueError(f"no {item}")
        return item * item

    body = world.body(square)

    @world.job(id="job", identity=lambda payload: "one")
    def job(payload, io):
        found = yield io.map("square", items, body, first=first, **options)
        return (yield io.run_task("sum", world.noting("sum", len(found))))

    return job


def stopped(world, job):
    """Run the job up to the stop."""
    with pytest.raises(RunInterruptedError, match=r"Stopped after the first .* run\.resume\(\) goes on"):
        world.run(job)
    return world.take()


def going_on(world, job):
    """Say that it goes on, and wait for the end."""

    async def go():
        return await world.last(job).resume()

    return asyncio.run(go())


def mark(world, job):
    row = world.last(job).model().rows["square"]
    from trigger_nb._view.render.parts import parts_of

    return parts_of(row).marks


def test_the_first_items_are_spread(world, attended):
    """The run is paused, with the forecast in the map's row; `resume()` goes on with the others, once each."""
    job = squares(world)
    assert sorted(stopped(world, job)) == [0, 5, 10, 15]
    run = world.last(job)
    assert (run.status, run.reason) == (RunStatus.WAITING, "paused")
    assert mark(world, job)[0] == "stopped after 4 of 20 items"
    assert any(each.startswith("the others take") for each in mark(world, job))
    assert "stopped after 4 of 20 items" in run.tree()
    assert "`run.resume()` goes on" in run.tree()
    assert going_on(world, job) == 20
    assert sorted(world.take(), key=str) == sorted([*({*range(20)} - {0, 5, 10, 15}), "sum"], key=str)
    assert world.run(job) == 20
    assert world.take() == []


def test_the_stop_holds_in_a_new_kernel_until_a_person_goes_on(world, attended):
    """R1: the cell run again replays the first items, calls nothing, and stops again."""
    job = squares(world)
    stopped(world, job)
    for _ in range(2):
        world.new_kernel()
        job = squares(world)
        assert stopped(world, job) == []
    assert going_on(world, job) == 20
    world.take()
    world.new_kernel()
    assert world.run(squares(world)) == 20
    assert world.take() == []


def test_going_on_holds_when_the_others_are_interrupted(world, attended):
    """Once a person has said so, a later pass of the run does not stop, also in a new kernel."""
    job = squares(world, concurrency=1, fails={19}, max_failures=1)
    stopped(world, job)
    with pytest.raises(MapError):
        going_on(world, job)
    world.take()
    world.new_kernel()
    assert world.run(squares(world, range(25), concurrency=1)) == 25
    assert 24 in world.take()


def test_a_killed_pass_takes_as_many_as_are_missing(world, attended):
    """What had begun before the kill counts among the first items."""
    fails = {10}
    job = squares(world, fails=fails, concurrency=1, max_failures=1)
    with pytest.raises(MapError):
        world.run(job)
    begun = world.take()
    assert begun == [0, 5, 10]
    world.new_kernel()
    fails.clear()
    assert stopped(world, squares(world, fails=fails, concurrency=1)) == [1, 10]


def test_an_edited_body_stops_again_after_the_first_items(world, attended):
    """R6: with `on_change="only"` these run again, and no other."""
    job = squares(world)
    first = stopped(world, job)
    world.new_kernel()

    def other(item):
        world.note(("edited", item))
        return -item

    body = world.body(other)

    @world.job(id="job", identity=lambda payload: "one", on_change="only")
    def job(payload, io):
        return (yield io.map("square", range(20), body, first=4))

    with pytest.raises(RunInterruptedError):
        world.run(job)
    assert sorted(world.take()) == [("edited", item) for item in sorted(first)]
    assert len(going_on(world, job)) == 20


def test_without_a_person_it_goes_on(world):
    """A script, nbclient: the first items come first, and the map ends."""
    job = squares(world, concurrency=1)
    assert world.run(job) == 20
    assert world.take()[:4] == [0, 5, 10, 15]


def test_without_a_person_failures_end_it_as_ever(world):
    job = squares(world, fails={0, 5, 10, 15}, concurrency=1, max_failures=4)
    with pytest.raises(MapError, match="the other 16 did not start"):
        world.run(job)
    assert world.take() == [0, 5, 10, 15]


def test_failures_are_counted_at_the_stop(world, attended):
    job = squares(world, fails={5, 6})
    stopped(world, job)
    assert "1 failed" in mark(world, job)
    assert "4 of 20 items of map 'square', 1 of which failed" in world.last(job).tree()


@pytest.mark.parametrize("items", [range(4), range(3), []])
def test_a_map_of_no_more_items_does_not_stop(world, attended, items):
    job = squares(world, items)
    assert world.run(job) == len(items)


def test_a_generator_stops_after_those_that_come_first(async_world, attended):
    """It is not read further than by one item."""
    world = async_world
    read = []

    def numbers():
        for number in range(20):
            read.append(number)
            yield number

    @world.job(id="job", identity=lambda payload: "one")
    def job(payload, io):
        return (yield io.map("square", numbers(), world.noting("body", 1), first=3, concurrency=2))

    with pytest.raises(RunInterruptedError, match="Stopped after the first 3 items"):
        world.run(job)
    assert read == [0, 1, 2, 3]
    assert len(going_on(world, job)) == 20


def test_other_tasks_end_before_the_run_is_paused(async_world, attended):
    """A7: what runs beside the map is not cut short; two maps stop both."""
    world = async_world
    gate = asyncio.Event

    @world.client.job(id="job")
    async def job(payload, io):
        opened = gate()

        async def slow():
            await opened.wait()
            return "slow"

        async def item(number):
            if number >= 2:
                opened.set()
            return number

        found = await asyncio.gather(
            io.map("one", [1, 2], item, first=1),
            io.map("two", [3, 4], item, first=1),
            io.run_task("slow", slow),
        )
        return [len(found[0]), len(found[1]), found[2]]

    async def go():
        run = job.start(None)
        with pytest.raises(RunInterruptedError) as error:
            await run
        assert "map 'one'" in str(error.value)
        assert "map 'two'" in str(error.value)
        assert run.task("slow").output == "slow"
        assert [task.path.split("/")[0] for task in run.tasks if "/" in task.path] == ["one", "two"]
        return await run.resume()

    assert asyncio.run(go()) == [2, 2, "slow"]


def test_going_on_while_another_task_runs(async_world, attended):
    """`resume()` at a stop whose run still moves: the map goes on in the same pass."""
    world = async_world

    @world.client.job(id="job")
    async def job(payload, io):
        last = asyncio.Event()
        at_stop.append(last)

        async def wait():
            await last.wait()

        async def item(number):
            if number == 4:
                last.set()
            return number

        found = await asyncio.gather(io.map("one", [1, 2, 3, 4], item, first=2), io.run_task("beside", wait))
        return found[0]

    at_stop = []

    async def go():
        run = job.start(None)
        active = world.client.runtime.executions[run.id]
        while not active.pass_.waits.stops:
            await asyncio.sleep(0)
        run.resume()
        found = await run
        assert active.run.passes == 1
        return found

    assert asyncio.run(go()) == [1, 2, 3, 4]


def test_leaving_an_imap_at_its_stop_ends_it(async_world, attended):
    world = async_world

    async def item(number):
        return number

    @world.client.job(id="job")
    async def job(payload, io):
        taken = []
        results = io.imap("one", range(10), item, first=2)
        async for _, value in results:
            taken.append(value)
            if len(taken) == 2:
                break
        await results.aclose()
        return sorted(taken)

    async def go():
        return await job.run(None)

    assert asyncio.run(go()) == [0, 5]


def test_a_plan_says_what_a_run_would_do(world, attended):
    job = squares(world)
    plan = job.plan(None)
    assert [task.path for task in plan.runs] == [f"square/~(~i{item})" for item in (0, 5, 10, 15)]
    assert "Map 'square' stops after its first items." in repr(plan)
    stopped(world, job)
    plan = job.plan(None)
    assert plan.runs == ()
    assert len(plan.replays) == 4


def test_only_and_retry_stop_again(world, attended):
    """What a person asks for runs, and nothing beyond the first items."""
    job = squares(world)
    first = stopped(world, job)

    async def go():
        run = world.last(job)
        with pytest.raises(RunInterruptedError):
            await run.rerun_from(["square", first[0]])

    asyncio.run(go())
    assert world.take() == [first[0]]


@pytest.mark.parametrize("first", [0, -1, 2.5, True, "20"])
def test_a_wrong_number_is_refused(world, first):
    with pytest.raises(InvalidOptionError, match="first is a whole number of 1 or more"):
        world.run(squares(world, first=first))


def test_which_come_first():
    assert chosen(4, [False] * 20) == {0, 5, 10, 15}
    assert chosen(30, [False] * 3) == {0, 1, 2}
    assert chosen(2, [True] * 5) == {0, 1, 2, 3, 4}
    assert len(chosen(20, [place % 7 == 0 for place in range(50)])) == 20


def test_who_is_asked():
    """Not a run of a test, nor a child run, whose row nobody looks at; and here is no notebook."""
    from trigger_nb._runs.attended import asks

    assert not asks(RunRecord(id="run_1"))
