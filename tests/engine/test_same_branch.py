"""A replay takes the same branch: handled errors stay handled, and code that cannot be replayed is told so (R5, I4)."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest

from trigger_nb import RunStatus, TaskStatus
from trigger_nb.errors import DuplicateKeyError, RunCanceledError


def orders(world, *, before=None, between=None, after=None):
    """A job in which a charge fails and is handled, with code that ends a pass early at three places."""
    charge = world.failing("charge", ValueError("card declined"))

    @world.job(id="orders")
    def job(payload, io):
        if before is not None:
            yield from before(io)
        yield io.run_task("make", world.noting("make"))
        if between is not None:
            yield from between(io)
        try:
            yield io.run_task("charge", charge)
            result = "paid"
        except ValueError:
            result = "declined"
        if after is not None:
            yield from after(io)
        return result

    return job


def typo(io):
    raise NameError("nmae")
    yield


def failing_task(world):
    def spoil(io):
        yield io.run_task("new", world.failing("new", ZeroDivisionError()))

    return spoil


@pytest.mark.parametrize("at", ["before", "between", "after"])
def test_a_typo_in_a_completed_run_makes_no_charge_again(world, at):
    """R5: the run completed, so the error was handled; a later pass that ends early does not change that."""
    assert world.run(orders(world)) == "declined"
    world.take()
    for spoiled in (typo, failing_task(world), typo):
        assert isinstance(world.fail(orders(world, **{at: spoiled})), (NameError, ZeroDivisionError))
        world.new_kernel()
        assert [call for call in world.take() if call != "new"] == []
    assert world.run(orders(world)) == "declined"
    assert world.take() == []


def test_an_error_after_the_completion_is_one_of_its_own(world):
    """R5: what failed in a later pass, and ended it, runs again."""
    assert world.run(orders(world)) == "declined"
    once = failing_task(world)
    assert isinstance(world.fail(orders(world, after=once)), ZeroDivisionError)
    world.take()

    def mended(io):
        yield io.run_task("new", world.noting("new"))

    assert world.run(orders(world, after=mended)) == "declined"
    assert world.take() == ["new"]


def test_retry_runs_a_handled_failure_again(world):
    """R5: on request, and its new error is as new as any."""
    job = orders(world)
    assert world.run(job) == "declined"

    async def retry():
        return await world.last(job).retry(which=["charge"])

    assert asyncio.run(retry()) == "paid"
    assert world.take() == ["make", "charge", "charge"]


# --- A loop of one's own around a call --------------------------------------------------------------


def test_a_retry_loop_of_ones_own_ends_with_the_error_that_names_the_option(world):
    """I4: the error is swallowed at every turn; the run fails with it all the same, and does not spin."""
    flaky = world.failing("flaky", *[ConnectionError("try again")] * 10)

    @world.job
    def job(payload, io):
        while True:
            try:
                return (yield io.run_task("x", flaky))
            except Exception:
                time.sleep(0)

    error = world.fail(job)
    assert isinstance(error, DuplicateKeyError)
    assert "retry=" in str(error)
    assert world.take() == ["flaky"]
    assert world.last(job).status == RunStatus.FAILED


def test_a_swallowed_duplicate_lets_others_in_flight_end(async_world):
    """I4: two calls with one key side by side are a mistake, and no loop: what runs is not cut."""
    world = async_world
    ended = []

    async def slow():
        await asyncio.sleep(0.05)
        ended.append(True)

    @world.client.job
    async def job(payload, io):
        return await asyncio.gather(*(io.run_task("x", slow) for _ in range(4)), return_exceptions=True)

    assert isinstance(world.fail(job), DuplicateKeyError)
    assert ended == [True]
    assert world.last(job).task("x").status == TaskStatus.COMPLETED


# --- Code that is not deterministic -----------------------------------------------------------------


def hints(run):
    return [line for line in run.tree(width=2000).splitlines() if "not deterministic" in line]


def test_code_that_is_not_deterministic_is_told_so_with_its_place(world):
    """R6: other params at a replay, with the same code and payload, and nothing has run before it."""
    ticks = itertools.count()

    @world.job
    def job(payload, io):
        first = yield io.run_task("first", world.noting("first"))
        return (yield io.run_task("at", world.body(lambda at: at), [first, next(ticks)]))

    assert world.run(job) == ["first", 0]
    assert hints(world.last(job)) == []
    assert world.run(job) == ["first", 0]
    (hint,) = hints(world.last(job))
    assert "task 'at'" in hint
    assert "test_same_branch.py" in hint


def test_params_that_follow_a_task_that_ran_again_are_no_sign_of_chance(world):
    """R6: the task before was edited and has another result now; the run function is the same."""
    one, two = world.body(lambda: 1), world.body(lambda: 2)
    bodies = {"first": one}

    @world.job
    def job(payload, io):
        first = yield io.run_task("first", bodies["first"], on_change="only")
        return (yield io.run_task("second", world.body(lambda n: n), first))

    assert world.run(job) == 1
    bodies["first"] = two
    for _ in range(2):
        assert world.run(job) == 1
        assert world.last(job).task("first").output == 2
        assert hints(world.last(job)) == []


@pytest.mark.parametrize("changed", ["code", "payload"])
def test_params_of_other_code_or_another_payload_are_no_sign_of_chance(world, changed):
    """R6: the params were edited, or come from the payload of a run with an id of its own."""

    def version(extra):
        @world.job(id="job")
        def job(payload, io):
            return (yield io.run_task("at", world.body(lambda at: at), (payload or 0) + extra))

        return job

    def other():
        @world.job(id="job")
        def job(payload, io):
            return (yield io.run_task("at", world.body(lambda at: at), (payload or 0) + 1000))

        return job

    world.run(version(1), 1, run_id="r")
    for _ in range(2):
        if changed == "code":
            world.run(other(), 1, run_id="r")
        else:
            world.run(version(1), 2, run_id="r")
        assert hints(world.client.run("r")) == []


def test_a_completed_run_that_is_interrupted_while_it_replays_makes_no_charge_again(async_world):
    """R5: the pass that ends early is stopped from outside."""
    world = async_world
    assert world.run(orders(world)) == "declined"
    world.take()

    def slow(io):
        yield asyncio.sleep(3600)

    async def stop():
        run = orders(world, before=slow).start()
        await asyncio.sleep(0)
        run.cancel()
        with pytest.raises(RunCanceledError):
            await run

    asyncio.run(stop())
    assert world.run(orders(world)) == "declined"
    assert world.take() == []
