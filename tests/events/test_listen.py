"""`client.listen()`: events that last, schedules, and runs whose kernel is gone."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from pydantic import BaseModel

from tests.support.worlds import until
from trigger_nb import (
    DynamicSchedule,
    DynamicTrigger,
    Scheduled,
    cron_trigger,
    event_trigger,
    interval_trigger,
    invoke_trigger,
)
from trigger_nb._events.keys import job_row
from trigger_nb._events.records import EventRecord
from trigger_nb.errors import InvalidOptionError, InvalidPayloadError, NotFoundError, UsageError
from trigger_nb.testing import FakeClock

DAY = 86_400.0


class Ping(BaseModel):
    n: int


EVERY_MORNING = cron_trigger("0 9 * * *", timezone="Europe/Berlin")


@pytest.fixture
def world(async_world):
    async_world.clock = FakeClock(datetime(2028, 3, 20, tzinfo=UTC), autojump=False)
    return async_world


def noting(world, **trigger):
    @world.job(id="noting", trigger=event_trigger("ping", **trigger))
    def job(payload, io, ctx):
        yield io.run_task("note", world.noting(payload))
        return ctx.event.id

    return job


async def settled(world, *, looks: int = 3):
    """The listener has looked at what there is, some times."""
    for _ in range(looks):
        world.client.runtime.post.tell()
        await asyncio.sleep(0.05)
    await until(lambda: not [run for run in world.client.runs() if run.status == "RUNNING"])


async def listen_while(world, *awaitables):
    async with world.client.listen(display=False):
        for each in awaitables:
            await each
        await settled(world)


# --- Events that last -----------------------------------------------------------------------------


def test_an_event_that_nobody_heard_starts_its_run_when_a_kernel_comes_up(world):
    """Reference: recorded in the store; one run, whoever sent it, now or when it comes up."""

    async def send():
        with pytest.warns(RuntimeWarning, match="started nothing"):
            return await world.client.send_event("ping", {"n": 1})

    event = asyncio.run(send())
    assert event.runs == []
    for _ in range(3):
        world.new_kernel()
        noting(world)
        asyncio.run(listen_while(world))
    assert world.calls == [{"n": 1}]
    (run,) = world.client.runs()
    assert run.output == event.id
    assert [each.id for each in world.client.get_event(event.id).runs] == [run.id]


def test_a_job_that_has_listened_gets_what_came_while_it_was_away(world):
    """Reference: every job that listens; the kernel that sends needs none of them, and is not warned."""
    noting(world)

    @world.job(id="other", trigger=event_trigger("ping"))
    def other(payload, io):
        return world.note("other")

    asyncio.run(listen_while(world))
    world.new_kernel()
    asyncio.run(listen_while(world, world.client.send_event("ping", {"n": 2})))
    assert world.calls == []
    world.new_kernel()
    noting(world)
    asyncio.run(listen_while(world))
    assert world.calls == [{"n": 2}]
    world.new_kernel()
    world.job(id="other", trigger=event_trigger("ping"))(lambda payload, io: world.note("other"))
    asyncio.run(listen_while(world))
    assert world.calls == [{"n": 2}, "other"]


def test_an_event_that_comes_while_jobs_are_registered_is_for_all_of_them(world, monkeypatch):
    """W2: no job misses it because another one came first."""
    noting(world)
    world.job(id="other", trigger=event_trigger("ping"))(lambda payload, io: world.note("other"))
    store, change, sent = world.client.runtime.store, world.client.runtime.store.change, []

    def change_and_send(decide, **options):
        change(decide, **options)
        if not sent and store.get(job_row("noting")) is not None:
            sent.append(True)
            world.client.runtime.post.send(EventRecord(id="e1", name="ping", timestamp=0.0))

    monkeypatch.setattr(store, "change", change_and_send)
    asyncio.run(listen_while(world))
    assert sent
    assert sorted(run.job for run in world.client.runs()) == ["noting", "other"]


def test_a_kernel_that_sends_starts_its_own_jobs_at_once(world):
    """Reference: what `send_event` does stays; a listener beside it starts nothing twice."""
    noting(world)

    async def main():
        async with world.client.listen(display=False):
            await settled(world)
            event = await world.client.send_event("ping", {"n": 1})
            assert await event.runs[0] == event.id
            again = await world.client.send_event("ping", {"n": 1})
            assert [run.id for run in again.runs] == [run.id for run in event.runs]
            await settled(world)
            fresh = await world.client.send_event("ping", {"n": 1}, fresh=True)
            await fresh.runs[0]
            await settled(world)

    asyncio.run(main())
    assert world.calls == [{"n": 1}, {"n": 1}]
    assert len(world.client.runs()) == 2


def test_filters_sources_and_contexts_choose(world):
    """Reference: `filter=`, `context_filter=` and `source=` of the trigger, for what others have sent too."""

    async def send():
        for payload, context, source in [
            ({"n": 1}, {"by": "shop"}, "web"),
            ({"n": 5}, {"by": "test"}, "web"),
            ({"n": 6}, {"by": "shop"}, "app"),
            ({"n": 7}, {"by": "shop"}, "web"),
        ]:
            with pytest.warns(RuntimeWarning, match="started nothing"):
                await world.client.send_event("ping", payload, context=context, source=source)

    asyncio.run(send())
    noting(world, filter={"n": [{"$gt": 3}]}, context_filter={"by": ["shop"]}, source="web")
    asyncio.run(listen_while(world))
    assert world.calls == [{"n": 7}]


def test_what_does_not_fit_starts_nothing_and_is_said(world):
    """Reference: an event that does not fit the schema starts no run; others have their turn."""

    async def send():
        for n in ("one", 2):
            with pytest.warns(RuntimeWarning, match="started nothing"):
                await world.client.send_event("ping", {"n": n})

    asyncio.run(send())
    noting(world, schema=Ping)
    with pytest.warns(RuntimeWarning, match="does not fit job 'noting'"):
        asyncio.run(listen_while(world))
    assert world.calls == [Ping(n=2)]
    asyncio.run(listen_while(world))
    assert len(world.client.runs()) == 1


def test_an_event_is_delivered_at_its_time(world):
    """Reference: `deliver_at` and `deliver_after`; until then it can be canceled, and stays so."""
    noting(world)
    client = world.client

    async def main():
        async with client.listen(display=False):
            soon = await client.send_event("ping", {"n": 1}, deliver_after=timedelta(hours=1))
            later = await client.send_event(
                "ping", {"n": 2}, deliver_at=datetime(2028, 3, 21, tzinfo=UTC), id="later"
            )
            assert (soon.status, later.status, soon.runs) == ("waiting", "waiting", [])
            again = await client.send_event("ping", {"n": 1}, deliver_after=7200)
            assert (again.id, again.deliver_at) == (soon.id, soon.deliver_at)
            await settled(world)
            assert world.calls == []
            world.clock.advance(3600)
            await until(lambda: world.calls == [{"n": 1}])
            await settled(world)
            assert client.get_event(soon.id).status == "delivered"
            with pytest.raises(UsageError, match="was delivered already"):
                client.cancel_event(soon.id)
            assert client.cancel_event("later").status == "canceled"
            assert (await client.send_event("ping", {"n": 2}, id="later")).status == "canceled"
            world.clock.advance(2 * DAY)
            await settled(world)

    asyncio.run(main())
    assert world.calls == [{"n": 1}]


def test_wrong_times_and_unknown_events(world):
    """Bad input: what is wrong, and what to type."""

    async def main():
        with pytest.raises(InvalidOptionError, match="one of the two"):
            await world.client.send_event("a", deliver_after=1, deliver_at=datetime.now(UTC))
        with pytest.raises(InvalidOptionError, match="deliver_at has no time zone"):
            await world.client.send_event("a", deliver_at=datetime(2028, 1, 1))
        for look in (world.client.get_event, world.client.cancel_event, world.client.cancel_runs_for_event):
            with pytest.raises(NotFoundError, match="there is no event 'evt_0'"):
                look("evt_0")

    asyncio.run(main())


def test_the_runs_of_an_event_are_canceled(world):
    """Reference: `cancel_runs_for_event`: those that have not ended."""

    @world.job(trigger=event_trigger("ping"))
    def waiting(payload, io):
        yield io.wait("long", days=1)

    noting(world)

    async def main():
        event, other = await world.client.send_events(
            [{"name": "ping", "payload": 1}, {"name": "ping", "payload": 2}]
        )
        await until(lambda: {run.status for run in world.client.runs()} == {"WAITING", "COMPLETED"})
        canceled = world.client.cancel_runs_for_event(event.id)
        await until(lambda: [run.status for run in canceled] == ["CANCELED"])
        assert sorted(run.status for run in other.runs) == ["COMPLETED", "WAITING"]
        world.client.cancel_runs_for_event(other.id)

    asyncio.run(main())


def test_pruning_keeps_events_that_a_job_has_still_to_take(world):
    """W2: an event lasts until each job that listens has taken it."""
    noting(world)
    world.job(id="other", trigger=event_trigger("ping"))(lambda payload, io: world.note("other"))
    asyncio.run(listen_while(world))
    world.new_kernel()
    noting(world)
    asyncio.run(listen_while(world, world.client.send_event("ping", {"n": 1})))
    assert len(world.client.prune(older_than=0).runs) == 1
    world.new_kernel()
    world.job(id="other", trigger=event_trigger("ping"))(lambda payload, io: world.note("other"))
    asyncio.run(listen_while(world))
    assert world.take() == [{"n": 1}, "other"]
    world.client.prune(older_than=0)
    assert world.client.runtime.store.select("events") == []


def test_pruning_by_age_removes_events_that_started_nothing(world):
    """W2: nobody listened to them, or the filter of whoever did refused them. Newer ones are still for who comes."""
    noting(world, filter={"n": [{"$gt": 5}]})

    async def main():
        await world.client.send_event("ping", {"n": 1, "long": "x" * 100_000})  # refused by the filter
        await world.client.send_event("ping", {"n": 7})
        await world.client.send_event("order", {"for": "nobody"})
        await world.client.send_event("order", {"for": "later"}, deliver_after=30 * DAY)
        await world.client.send_event("other", {"n": 2}, id="canceled", deliver_after=30 * DAY)
        world.client.cancel_event("canceled")
        world.clock.advance(2 * DAY)
        await world.client.send_event("order", {"for": "the next"})

    asyncio.run(listen_while(world, main()))
    names = lambda: sorted(event.name for _, event in world.client.runtime.post.events())  # noqa: E731
    assert names() == ["order", "order", "order", "other", "ping", "ping"]
    world.client.prune(keep_last=100)
    world.client.prune(status="FAILED", older_than=DAY)
    assert len(names()) == 6, "these are about runs alone"
    world.client.prune(older_than=DAY, keep_last=100)
    assert names() == ["order", "order", "ping"]
    assert world.client.runtime.store.blobs_size() == 0

    @world.job(id="late", trigger=event_trigger("order"))
    def late(payload, io):
        yield io.run_task("note", world.noting(payload))

    asyncio.run(listen_while(world))
    assert world.take() == [{"n": 7}, {"for": "the next"}]


# --- Runs whose kernel is gone --------------------------------------------------------------------


def wait_a_day(world):
    @world.job(id="patient", trigger=invoke_trigger())
    def patient(payload, io):
        yield io.run_task("before", world.noting("before"))
        yield io.wait("day", days=1)
        yield io.run_task("after", world.noting("after"))

    return patient


def start_and_leave(world, job):
    async def main():
        run = job.start()
        await until(lambda: run.status == "WAITING")

    asyncio.run(main())
    world.new_kernel()


def test_a_wait_that_came_due_is_resumed(world):
    """W2: by any kernel that listens with the job, once, and not before its time."""
    start_and_leave(world, wait_a_day(world))
    run_id = world.client.runs()[0].id
    wait_a_day(world)
    # The kernel has died: what it left is WAITING.
    record = world.client.runtime.require_run(run_id)
    record.status, record.reason = "WAITING", "wait"
    world.client.runtime.save_run(record)
    asyncio.run(listen_while(world))
    assert world.calls == ["before"]
    world.clock.advance(DAY)

    async def main():
        async with world.client.listen(display=False):
            await until(lambda: world.client.run(run_id).status == "COMPLETED")

    asyncio.run(main())
    assert world.calls == ["before", "after"]


def test_a_paused_run_is_left_alone(world):
    """A7: a person has paused it, so a person resumes it."""
    job = wait_a_day(world)

    async def main():
        run = job.start()
        await until(lambda: run.status == "WAITING")
        run.pause(now=True)
        await until(lambda: run.reason == "paused")

    asyncio.run(main())
    world.new_kernel()
    wait_a_day(world)
    world.clock.advance(DAY)
    asyncio.run(listen_while(world))
    assert world.calls == ["before"]


# --- Schedules ------------------------------------------------------------------------------------


def scheduled(world, trigger, id="scheduled"):
    @world.job(id=id, trigger=trigger)
    def job(payload, io, ctx):
        return world.note((payload.ts, payload.last_ts, payload.key))

    return job


async def listen_until(world, when):
    async with world.client.listen(display=False):
        await until(lambda: world.clock.time() >= when)
        await settled(world)


def test_a_year_in_three_zones_over_daylight_saving(async_world):
    """The controlled clock: each due time of a year once, in three zones, with the leap day and short months."""
    zones = {"berlin": "Europe/Berlin", "york": "America/New_York", "howe": "Australia/Lord_Howe"}
    world = async_world
    world.clock = FakeClock(datetime(2028, 1, 1, tzinfo=UTC))
    end = datetime(2029, 1, 1, tzinfo=UTC).timestamp()
    for id, zone in zones.items():
        scheduled(world, cron_trigger("30 2 * * 0", timezone=zone), id)
    scheduled(world, cron_trigger("0 0 29-31 * *"), "monthly")
    asyncio.run(listen_until(world, end))
    seen = [ts for ts, _, _ in world.calls]
    for zone in zones.values():
        days = [ts.date() for ts in seen if str(ts.tzinfo) == zone and ts.timestamp() < end]
        assert len(days) == len(set(days)) == 53
        assert {(later - earlier).days for earlier, later in zip(days, days[1:])} == {7}
    monthly = [ts.date() for ts in seen if str(ts.tzinfo) == "UTC" and ts.timestamp() < end]
    assert len(monthly) == len(set(monthly)) == 7 * 3 + 4 * 2 + 1
    assert datetime(2028, 2, 29).date() in monthly
    assert len(world.client.runs(limit=1000)) == len(seen)


@pytest.mark.parametrize(("catch_up", "hours"), [("last", [12]), ("all", [8, 9, 10, 11, 12]), ("none", [])])
def test_what_was_missed_while_nobody_listened(world, catch_up, hours):
    """Reference: started once, for the last time that was missed; or for all of them, or for none."""
    trigger = cron_trigger("0 * * * *", catch_up=catch_up)
    world.clock.advance(7.5 * 3600)
    scheduled(world, trigger)
    asyncio.run(listen_while(world))
    assert world.calls == []
    world.new_kernel()
    world.clock.advance(5 * 3600)  # it is 12:30
    scheduled(world, trigger)
    asyncio.run(listen_while(world))
    assert [ts.hour for ts, _, _ in world.take()] == hours
    assert world.client.schedules()[0].next_at == datetime(2028, 3, 20, 13, tzinfo=UTC)
    asyncio.run(listen_while(world))
    assert world.take() == []


def test_a_schedule_that_stays_keeps_its_times(world):
    """Reference: running the cell again changes nothing; another interval begins anew; no trigger ends it."""

    async def main():
        async with world.client.listen(display=False):
            scheduled(world, interval_trigger(3600))
            await settled(world, looks=8)
            first = world.client.schedules()[0].next_at
            world.clock.advance(1800)
            scheduled(world, interval_trigger(3600))
            await settled(world, looks=8)
            assert world.client.schedules()[0].next_at == first
            scheduled(world, interval_trigger(7200))
            await until(lambda: world.client.schedules()[0].next_at != first)
            assert world.client.schedules()[0].next_at == first + timedelta(hours=1.5)
            scheduled(world, invoke_trigger())
            await until(lambda: len(world.client.schedules()) == 0)

    asyncio.run(main())
    assert world.calls == []


def test_payload_and_table(world):
    """Reference: what comes, with local times; the payload has its time and the one before."""
    scheduled(world, cron_trigger("0 9 * * 1-5", timezone="Europe/Berlin"))
    asyncio.run(listen_while(world))
    text = repr(world.client.schedules())
    assert "0 9 * * 1-5 · At 09:00 on Monday" in text
    assert "Mon 2028-03-20 09:00 Europe/Berlin" in text
    assert "in 8 h" in text
    assert "Europe/Berlin" in world.client.schedules()._repr_html_()
    world.clock.advance(8 * 3600)
    asyncio.run(listen_while(world))
    world.clock.advance(DAY)
    asyncio.run(listen_while(world))
    berlin = ZoneInfo("Europe/Berlin")
    first, second = datetime(2028, 3, 20, 9, tzinfo=berlin), datetime(2028, 3, 21, 9, tzinfo=berlin)
    assert world.calls == [(first, None, ""), (second, first, "")]
    assert str(world.calls[0][0].tzinfo) == "Europe/Berlin"
    (schedule,) = world.client.schedules()
    assert (schedule.last_at, schedule.timezone) == (second, "Europe/Berlin")


def test_dynamic_schedules(world):
    """Reference: `register(key, cron=|interval=)`, `unregister(key)`, also by `io`; they outlive the kernel."""
    reports = DynamicSchedule("reports")
    with pytest.raises(UsageError, match="no job has this trigger yet"):
        reports.register("a", interval=60)

    @world.job(id="asking")
    def asking(payload, io):
        yield io.register_cron("cron", reports, "b", "30 * * * *")
        yield io.register_interval("interval", reports, "c", 60)
        yield io.unregister_interval("end", reports, "c")

    scheduled(world, reports)
    for wrong in ({}, {"cron": "@daily", "interval": 1}, {"interval": 60, "timezone": "UTC"}):
        with pytest.raises(InvalidOptionError):
            reports.register("a", **wrong)
    reports.register("a", interval=timedelta(hours=1))
    world.run(asking)
    asyncio.run(listen_while(world))
    assert [(each.job, each.key) for each in world.client.schedules()] == [("reports", "b"), ("reports", "a")]
    world.new_kernel()
    reports = DynamicSchedule("reports")
    scheduled(world, reports)
    world.clock.advance(3600)
    asyncio.run(listen_while(world))
    assert sorted(key for _, _, key in world.take()) == ["a", "b"]
    reports.unregister("a")
    reports.unregister("nothing")
    world.clock.advance(3600)
    asyncio.run(listen_while(world))
    assert [key for _, _, key in world.take()] == ["b"]


def test_dynamic_triggers(world):
    """Reference: `DynamicTrigger`: events that are registered by key, also for the next kernel."""
    issues = DynamicTrigger("issues")

    @world.job(id="issue", trigger=issues)
    def issue(payload, io):
        return world.note(payload["title"])

    @world.job(id="asking")
    def asking(payload, io):
        yield io.register_trigger("cron", issues, "b", "issue.closed")

    issues.register("a", "issue.opened", filter={"repo": ["docs"]})
    world.run(asking)

    async def main():
        client = world.client
        await client.send_event("issue.opened", {"repo": "docs", "title": "one"})
        await client.send_event("issue.closed", {"repo": "code", "title": "two"})
        with pytest.warns(RuntimeWarning, match="does not match"):
            await client.send_event("issue.opened", {"repo": "code", "title": "three"}, id="x")
        await settled(world)

    asyncio.run(main())
    assert world.take() == ["one", "two"]


# --- The listener itself --------------------------------------------------------------------------


def test_to_listen_again_is_the_same(world):
    """A cell that is run again; one that has stopped listens anew."""

    async def main():
        first = world.client.listen(display=False)
        assert world.client.listen(display=False) is first
        assert first.is_listening
        assert "Listening with 0 jobs" in repr(first)
        first.stop()
        await first.run_until_stopped()
        assert not first.is_listening
        second = world.client.listen(display=False)
        assert second is not first
        asyncio.get_running_loop().call_later(0.01, second.stop)
        await second.run_until_stopped()

    asyncio.run(main())


def test_listening_in_a_script(world):
    """Without an event loop, it begins with `run_forever_sync()`, and ends with `stop()`."""

    @world.job(trigger=event_trigger("ping"))
    def job(payload, io):
        world.note(payload)
        world.client.listen(display=False).stop()

    async def send():
        await world.client.send_event("ping", 1, deliver_after=60)

    asyncio.run(send())
    world.clock.advance(60)
    listener = world.client.listen(display=False)
    assert not listener.is_listening
    listener.run_forever_sync()
    assert world.calls == [1]

    async def inside():
        with pytest.raises(UsageError, match="run_until_stopped"):
            world.client.listen(display=False).run_forever_sync()

    asyncio.run(inside())


# By hand ---------------------------------------------------------------------------------------------


def morning(world, trigger=EVERY_MORNING):
    @world.job(id="morning", trigger=trigger)
    def job(payload, io):
        yield from ()
        return payload

    return job


def test_by_hand_a_job_has_the_time_at_which_it_was_due_last(world):
    job = morning(world)
    found = world.run(job)
    assert found == Scheduled(datetime(2028, 3, 19, 9, tzinfo=ZoneInfo("Europe/Berlin")))
    world.clock.advance(3600)
    assert world.run(job) == found
    assert len(job.runs()) == 1  # the same run
    world.clock.advance(DAY)
    assert world.run(job).ts == found.ts + timedelta(days=1)
    assert len(job.runs()) == 2


def test_by_hand_an_interval_counts_from_whole_multiples(world):
    assert world.run(morning(world, interval_trigger(3600))).ts == datetime(2028, 3, 20, tzinfo=UTC)


@pytest.mark.parametrize("trigger", [EVERY_MORNING, DynamicSchedule("mornings")])
def test_by_hand_a_time_may_be_given_as_text(world, trigger):
    job = morning(world, trigger)
    given = {"ts": "2030-01-31T02:30:00+01:00", "key": "ana"}
    assert world.run(job, given) == Scheduled(datetime.fromisoformat(given["ts"]), key="ana")
    if trigger is EVERY_MORNING:  # a time without a zone is one of the schedule's
        assert str(world.run(job, {"ts": "2030-07-31 09:00"}).ts) == "2030-07-31 09:00:00+02:00"
    with pytest.raises(
        InvalidPayloadError, match="does not fit Scheduled.*\n  ts: Input should be a valid datetime"
    ):
        world.run(job, {"ts": "tomorrow"})


@pytest.mark.parametrize("payload", [None, {"day": 1}])
def test_a_run_of_before_its_job_had_a_schedule_goes_on(world, payload):
    @world.job(id="morning", trigger=invoke_trigger())
    def before(payload, io):
        yield io.run_task("fail", world.failing("fail", ValueError("at first")))

    world.fail(before, payload)
    [run] = before.runs()
    world.new_kernel()
    morning(world)
    assert asyncio.run(_again(world, run.id)) == payload


async def _again(world, run_id):
    return await world.client.run(run_id).retry()


def test_by_hand_a_dynamic_schedule_needs_no_payload(world):
    assert world.run(morning(world, DynamicSchedule("mornings"))) is None


def test_a_model_may_have_a_schedules_payload_as_a_field():
    class Due(BaseModel):
        at: Scheduled

    assert Due.model_validate({"at": {"ts": "2030-01-31T02:30:00Z"}}).at.ts == datetime(
        2030, 1, 31, 2, 30, tzinfo=UTC
    )


@pytest.mark.anyio
async def test_the_cell_that_listens_can_show_what_is_coming(world):
    """No moment passes between the two: the schedule is known as soon as the kernel listens."""
    morning(world)
    listener = world.client.listen(display=False)
    [coming] = world.client.schedules()
    assert coming.next_at.hour == 9
    assert "0 9 * * *" in repr(listener)
    listener.stop()
