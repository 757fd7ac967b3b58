"""`io.wait_for_event`: each event once to a run, also what comes while no kernel lives."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from pydantic import BaseModel

from tests.support.worlds import until
from trigger_nb import ReceivedEvent
from trigger_nb.errors import InvalidFilterError, InvalidOptionError, TaskTimeoutError, UsageError
from trigger_nb.testing import FakeClock


class Paid(BaseModel):
    order: int


@pytest.fixture
def world(world):
    world.clock = FakeClock(0.0, autojump=False)
    return world


def waiting(world, **options):
    @world.job(id="waiting")
    def job(payload, io):
        first = yield io.wait_for_event("first", "paid", **options)
        yield io.run_task("between", world.noting("between"))
        second = yield io.wait_for_event("second", "paid", **options)
        return [first.payload, second.payload]

    return job


def left(world, job):
    """Start a run that waits, and kill its kernel."""

    async def main():
        run = job.start()
        await until(lambda: run.status == "WAITING")

    asyncio.run(main())
    record = world.client.runtime.require_run(world.client.runs()[0].id)
    record.status, record.reason, record.holder = "WAITING", "wait", None
    world.client.runtime.save_run(record)
    world.new_kernel()


def send(world, *payloads, **options):
    async def main():
        for payload in payloads:
            await world.client.send_event("paid", payload, **options)

    asyncio.run(main())


def test_an_event_ends_a_wait(world):
    """Reference: the result is the event, with its facts; a replay gives the same."""

    @world.job
    def job(payload, io):
        event = yield io.wait_for_event("paid", "paid", schema=Paid, source="shop")
        yield io.run_task("ship", world.noting(event.payload))
        return event

    async def main():
        run = job.start()
        await until(lambda: run.status == "WAITING")
        assert run.reason == "wait"
        await world.client.send_event("paid", {"order": 7}, source="other")
        await world.client.send_event("other", {"order": 7}, source="shop", deliver_after=1)
        await world.client.send_event("paid", {"order": 8}, source="shop", context="c", id="e")
        return await run

    event = asyncio.run(main())
    assert event == ReceivedEvent("e", "paid", Paid(order=8), "c", "shop", event.timestamp)
    world.new_kernel()
    assert world.run(world.client.job(id="job")(job.fn)) == event
    assert world.calls == [Paid(order=8)]


def test_what_comes_while_no_kernel_lives_counts_and_is_delivered_once(world):
    """Reference: from its first wait on, the run gets each event once, in order; one that came before is not its own."""
    with pytest.warns(RuntimeWarning, match="started nothing"):
        send(world, {"order": 0})
    left(world, waiting(world))
    send(world, {"order": 1}, {"order": 2})
    job = waiting(world)
    assert world.run(job) == [{"order": 1}, {"order": 2}]
    world.new_kernel()
    assert world.run(waiting(world)) == [{"order": 1}, {"order": 2}]
    assert world.calls == ["between"]
    assert [key for key, _ in world.client.runtime.store.between("post/mail/", "post/mail0")] == []


def test_two_waits_at_once_get_two_events(world):
    """Reference: none is delivered twice to a run; filters choose."""

    @world.job
    def job(payload, io):
        def one(key, **filter):
            event = yield io.wait_for_event(key, "paid", filter=filter or None)
            return event.payload["order"]

        return (yield world.gather(one("even", order=[2]), one("any"), one("big", order=[{"$gt": 5}])))

    async def main():
        run = job.start()
        await until(lambda: len([task for task in run.tasks if task.status == "WAITING"]) == 3)
        for order in (7, 2, 9):
            await world.client.send_event("paid", {"order": order})
        return await run

    found = asyncio.run(main())
    assert sorted(found) == [2, 7, 9]
    assert found[0] == 2


def test_a_timeout_fails_the_task_at_its_first_deadline(world):
    """W1: one deadline, stored once: a new kernel waits for what is left. `retry()` waits again."""
    job = waiting(world, timeout=timedelta(hours=2))
    left(world, job)
    world.clock.advance(7100)
    job = waiting(world, timeout=timedelta(hours=2))

    async def main():
        run = job.start()
        await until(lambda: run.status == "WAITING")
        world.clock.advance(101)
        with pytest.raises(TaskTimeoutError, match=r"no event 'paid' that fits came within 2:00:00"):
            await run
        run.retry()
        await until(lambda: run.status == "WAITING")
        await world.client.send_event("paid", 1)
        await until(lambda: world.calls)
        await world.client.send_event("paid", 2)
        return await run

    assert asyncio.run(main()) == [1, 2]


def test_a_delayed_event_ends_a_wait_without_a_listener(world):
    """Reference: `deliver_after`; the run that waits delivers it when its time has come."""
    job = waiting(world)

    async def main():
        run = job.start()
        await until(lambda: run.status == "WAITING")
        await world.client.send_event("paid", 1, deliver_after=60)
        await world.client.send_event("paid", 2, deliver_after=120)
        world.clock.advance(59)
        await asyncio.sleep(0.05)
        assert world.calls == []
        world.clock.advance(1)
        await until(lambda: world.calls)
        world.clock.advance(60)
        return await run

    assert asyncio.run(main()) == [1, 2]


def test_what_does_not_fit_is_passed_over(world):
    """Reference: schema; the run goes on waiting, and says so."""
    job = waiting(world, schema=Paid)

    async def main():
        run = job.start()
        await until(lambda: run.status == "WAITING")
        await world.client.send_event("paid", {"order": "seven"})
        for order in (1, 2):
            await world.client.send_event("paid", {"order": order})
        return await run

    with pytest.warns(RuntimeWarning, match="passes over event"):
        assert asyncio.run(main()) == [Paid(order=1), Paid(order=2)]


def test_a_skipped_wait_ends_as_if_its_time_were_over(world):
    """W1: `skip_wait`: there is no event that it could return."""
    job = waiting(world)

    async def main():
        run = job.start()
        await until(lambda: run.status == "WAITING")
        run.skip_wait("first")
        with pytest.raises(TaskTimeoutError):
            await run

    asyncio.run(main())


def test_a_listener_resumes_a_run_whose_event_came(world):
    """Reference: also of a run whose kernel is gone: by whoever listens, with the job, once. Until then the tree says so."""
    left(world, waiting(world))
    run = world.client.runs()[0]
    assert run.wake_at.timestamp() > world.clock.time()  # its timeout
    assert "waits for the rest of it" in " ".join(run.tree().split())
    send(world, 1, 2)
    world.new_kernel()
    waiting(world)
    run = world.client.runs()[0]
    assert "What the run waits for has come" in " ".join(run.tree().split())
    assert "due since" in repr(world.client.runs())

    async def main():
        async with world.client.listen(display=False):
            run = world.client.runs()[0]
            await until(lambda: run.status == "COMPLETED")
            return run.output

    assert asyncio.run(main()) == [1, 2]
    assert world.calls == ["between"]
    store = world.client.runtime.store
    rows = [key for key, _ in store.between("post/", "post0") if "/unheard/" not in key]
    assert rows == []


def test_crash_between_taking_an_event_and_recording_it(world):
    """W2: the wait that had taken the event gets it again, and no other one does."""
    left(world, waiting(world))
    send(world, 1, 2)
    post, run = world.client.runtime.post, world.client.runs()[0]
    key = run.task("first").idempotency_key
    post.give(run.id, post.letters(run.id)[0], key)
    world.new_kernel()
    assert world.run(waiting(world)) == [1, 2]


def test_events_of_a_run_go_with_it(world):
    """S1: what waits for a run is removed with it."""
    left(world, waiting(world))
    send(world, 1)
    world.client.runs()[0].delete()
    store = world.client.runtime.store
    assert [key for key, _ in store.between("post/", "post0") if "/unheard/" not in key] == []


def test_io_looks_up_and_cancels_events(world):
    """Reference: `send_events`, `get_event` and `cancel_event` as tasks: once, and replayed."""

    @world.job
    def job(payload, io):
        ids = yield io.send_events("send", [{"name": "a", "payload": 1}, {"name": "b", "deliver_after": 60}])
        event = yield io.get_event("look", ids[0])
        yield io.cancel_event("cancel", ids[1])
        runs = yield io.cancel_runs_for_event("runs", ids[0])
        return event.payload, runs, ids

    with pytest.warns(RuntimeWarning, match="started nothing"):
        payload, runs, ids = world.run(job)
    assert (payload, runs) == (1, [])
    assert world.client.get_event(ids[1]).status == "canceled"
    assert world.run(job) == (1, [], ids)


def test_in_a_trial_a_stub_is_the_event(world):
    """`job.test`: the wait takes no time, and a stub stands for the event."""
    job = waiting(world)
    event = ReceivedEvent("e", "paid", 5)
    assert job.test(stubs={"first": event, "second": event}).output == [5, 5]
    assert isinstance(job.test(stubs={"first": event}).error, TaskTimeoutError)


def test_wrong_arguments(world):
    """Bad input: at the call."""

    def fails(expected, *args, **options):
        @world.job(id="wrong")
        def job(payload, io):
            yield io.wait_for_event("key", *args, **options)

        assert isinstance(world.fail(job, fresh=True), expected)

    fails(InvalidOptionError, "")
    fails(UsageError, ["a", "b"])
    fails(InvalidFilterError, "a", filter={"n": 1})
    fails(InvalidOptionError, "a", timeout=-1)
    fails(InvalidOptionError, "a", timeout=None)
