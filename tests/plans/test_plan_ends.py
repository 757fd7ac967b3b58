"""Where a plan ends: waits, errors, how long it takes, and how it looks."""

from __future__ import annotations

import asyncio
import socket
from datetime import timedelta

import pytest

from tests.support.plans import keys
from tests.support.worlds import until
from trigger_nb import Reason, Retry, RunStatus, TriggerClient, event_trigger
from trigger_nb.errors import (
    DuplicateKeyError,
    InvalidOptionError,
    InvalidPayloadError,
    RunStateError,
)
from trigger_nb.testing import FakeClock

# --- Waiting ------------------------------------------------------------------------------------------


def test_waits_are_told_and_what_comes_after_them_too(world):
    """W1: the deadline of a wait that has begun stands; one to come begins when the one before is over."""

    @world.job
    def job(payload, io):
        yield io.run_task("a", world.noting("a"))
        yield io.wait("hour", hours=1)
        yield io.wait("day", days=1)
        yield io.run_task("b", world.noting("b"))

    world.run(job)
    started = world.clock.time()

    @world.job(id="job")
    def edited(payload, io):
        yield io.run_task("a", world.noting("a"))
        yield io.wait("hour", hours=1)
        yield io.wait("other", hours=2)
        yield io.wait("another", hours=3)
        yield io.run_task("new", world.noting("new"))

    plan = edited.plan()
    assert plan.replays == ("a", "hour")
    assert [(wait.key, wait.until.timestamp() - started) for wait in plan.waits] == [
        ("other", 2 * 3600),
        ("another", 5 * 3600),
    ]
    assert keys(plan.runs) == ["new"]
    assert world.clock.time() == started


def test_a_wait_under_way_and_one_that_is_over():
    async def main():
        clock = FakeClock(autojump=False)
        client = TriggerClient("waits", display=False, clock=clock)

        @client.job
        async def job(payload, io):
            await io.wait("day", days=1)
            return await io.run_task("after", lambda: 1)

        run = job.start()
        await until(lambda: run.status == RunStatus.WAITING)
        due = clock.time() + 86400
        run.pause()
        await until(lambda: run.status == RunStatus.WAITING and run.reason == "paused")
        clock.advance(3600)
        plan = job.plan()
        assert [wait.until.timestamp() for wait in plan.waits] == [due]
        assert keys(plan.runs) == ["after"]
        clock.advance(86400)
        plan = job.plan()
        assert (plan.replays, plan.waits, keys(plan.runs)) == (("day",), (), ["after"])

    asyncio.run(main())


def test_a_countdown_to_another_attempt_is_told_with_the_task():
    """A1."""

    async def main():
        clock = FakeClock(autojump=False)
        client = TriggerClient("retries", display=False, clock=clock)

        def fail():
            raise ValueError("no")

        @client.job
        async def job(payload, io):
            await io.run_task("a", fail, retry=Retry(limit=3, min_timeout=30, randomize=False))

        run = job.start()
        await until(lambda: run.status == RunStatus.WAITING)
        run.pause()
        await until(lambda: run.reason == "paused")
        (task,) = job.plan().runs
        assert (task.reason, task.due.timestamp() - clock.time()) == (Reason.RETRIED, 30)

    asyncio.run(main())


def test_a_connection_that_is_left_open_holds_nothing_up():
    """It may be that something comes by it, while a wait goes on: what is known by then is told."""

    async def main():
        client = TriggerClient("open", display=False)
        here, there = socket.socketpair()

        @client.job
        async def job(payload, io):
            asyncio.get_running_loop().add_reader(here, here.recv, 1)
            await io.wait("hour", hours=1)

        with here, there:
            plan = job.plan(patience=0.02)
        assert ([wait.key for wait in plan.waits], plan.runs, plan.ends) == (["hour"], (), "unknown")

    asyncio.run(main())


def test_a_limit_of_time_around_a_wait_that_is_longer():
    """The limit comes first, in a plan as in a run."""

    async def main():
        client = TriggerClient("limits", display=False)

        @client.job
        async def job(payload, io):
            try:
                async with asyncio.timeout(payload):
                    await io.wait("hour", hours=1)
            except TimeoutError:
                return await io.run_task("too-late", lambda: 1)
            return await io.run_task("in-time", lambda: 1)

        assert keys(job.plan(60).runs) == ["too-late"]
        assert keys(job.plan(7200).runs) == ["in-time"]

    asyncio.run(main())


# --- Errors -------------------------------------------------------------------------------------------


def test_an_error_of_the_code_between_the_tasks_is_told(world):
    @world.job
    def job(payload, io):
        a = yield io.run_task("a", world.body(lambda: 1))
        if payload == 2:
            raise LookupError(f"no {a}")

    world.run(job, 1, run_id="one")
    plan = job.plan(2, run_id="one")
    assert (plan.ends, repr(plan.error)) == ("error", "LookupError('no 1')")
    assert "fails with LookupError\nLookupError: no 1" in repr(plan)
    assert all("trigger_nb/trigger_nb/_" not in frame for frame in frames(plan.error))


def frames(error):
    step, found = error.__traceback__, []
    while step is not None:
        found.append(step.tb_frame.f_code.co_filename)
        step = step.tb_next
    return found


def test_what_is_redacted_is_not_told(world):
    """S8."""

    @world.job(redact=["card"])
    def job(payload, io):
        raise LookupError(f"the card {payload['card']}")
        yield

    plan = job.plan({"card": "4000-1234"})
    assert str(plan.error) == "the card 4000-1234"
    assert "the card •••" in repr(plan)
    assert "4000-1234" not in repr(plan) + plan._repr_html_()


def test_a_mistake_in_the_code_is_told_even_when_it_is_swallowed(world):
    """I4."""

    @world.job
    def job(payload, io):
        yield io.run_task("a", world.noting("a"))
        try:
            yield io.run_task("a", world.noting("a"))
        except DuplicateKeyError:
            return "swallowed"

    world.fail(job)
    plan = job.plan()
    assert plan.ends == "error"
    assert isinstance(plan.error, DuplicateKeyError)


def test_a_plan_that_cannot_be_made(world):
    @world.job(trigger=event_trigger("x", schema=int), enabled=False)
    def job(payload, io):
        yield io.run_task("a", world.noting("a"))

    with pytest.raises(InvalidPayloadError):
        job.plan("text")
    with pytest.raises(InvalidOptionError, match="on_change"):
        job.plan(1, on_change="sometimes")
    with pytest.raises(InvalidOptionError, match="run_id"):
        job.plan(1, run_id="a/b")
    with pytest.raises(RunStateError, match="disabled"):
        job.plan(1)


# --- How long -----------------------------------------------------------------------------------------


def test_how_long_it_takes_and_what_comes_after(world):
    def body(seconds):
        return world.body(lambda: world.clock.advance(seconds))

    @world.job
    def job(payload, io):
        yield io.run_task("a", body(10))
        yield io.run_task("b", body(20))
        yield io.wait("w", hours=1)
        yield io.run_task("c", body(40))

    world.run(job, 1)
    world.run(job, 2)
    plan = job.plan(3)
    assert (keys(plan.runs), plan.runs[0].expected, plan.expected) == (["a"], 10, 10)
    assert (plan.followed, round(plan.followed_expected)) == (3, 20 + 3600 + 40)
    assert "executes 1 task (about 10 s)" in repr(plan)
    assert "Earlier runs had 3 more tasks, about 1 h 1 min." in repr(plan)


def test_items_take_as_long_as_those_that_are_done():
    """Ben's case: the first run of all, in the middle of a map, of which two items run at a time."""

    async def main():
        clock = FakeClock()
        client = TriggerClient("items", display=False, clock=clock)

        async def body(item):
            await clock.sleep_until(clock.time() + 2)

        @client.job
        async def job(payload, io):
            await io.map("all", range(payload), body, concurrency=2)

        await job.run(4, run_id="one")
        plan = job.plan(10, run_id="one")
        assert ({task.expected for task in plan.runs}, plan.expected) == ({2.0}, 6.0)
        assert "executes 6 tasks (about 6.0 s)" in repr(plan)
        assert "about 2.0 s each" in repr(plan)
        clock.advance(86400)  # what lies between two passes does not count
        await job.run(6, run_id="one")
        assert job.plan(10, run_id="one").expected == 4.0

    asyncio.run(main())


# --- How it looks -------------------------------------------------------------------------------------


def test_it_shows_itself_as_text_and_as_a_table(world):
    @world.job(id="<b>job</b>")
    def job(payload, io):
        yield io.parallel("many", range(50), world.body(lambda item: item), name="<i>")

    plan = job.plan()
    text = str(plan)
    assert text.splitlines()[0].endswith("of job '<b>job</b>' (new): executes 50 tasks")
    assert "many: 50 items" in text
    html = plan._repr_html_()
    assert "<b>job</b>" not in html  # D5
    assert "&lt;b&gt;job&lt;/b&gt;" in html
    assert "<i>" not in html
    assert "many: 50 items" in html


def test_a_long_one_is_cut(world):
    @world.job
    def job(payload, io):
        parts = (one(io, number) for number in range(30))
        yield world.gather(*parts)

    def one(io, number):
        yield io.run_task(("t", number), world.body(lambda: number))

    if world.is_async:
        plan = job.plan()
        assert len(plan.runs) == 30
        assert "… and 10 more" in repr(plan)


def test_a_plan_may_last_days_in_its_own_time(world):
    """Time jumps where there is only waiting left."""

    @world.job
    def job(payload, io):
        for day in range(30):
            yield io.wait(("day", day), timedelta(days=1))

    plan = job.plan()
    assert len(plan.waits) == 30
    assert plan.ends == "complete"
