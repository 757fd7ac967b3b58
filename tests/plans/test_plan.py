"""`job.plan`: what running a cell would replay and execute, with no body called and nothing written."""

from __future__ import annotations

import asyncio
import contextvars
import socket
import sqlite3
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import example, given, settings, strategies as st

from tests.engine.test_engine_model import Disturbance, Node, Program, disturbances, trees
from tests.support.worlds import Gate, let_pass, until, wait_until
from trigger_nb import Retry, RunStatus, TriggerClient, event_trigger
from trigger_nb._plans import rehearsal
from trigger_nb._records.forget import forget
from trigger_nb._records.records import TaskRecord
from trigger_nb._records.status import Reason
from trigger_nb._store.protocol import Row
from trigger_nb._tasks.running import running_bodies
from trigger_nb.errors import (
    DuplicateKeyError,
    InvalidOptionError,
    InvalidPayloadError,
    RunStateError,
    TaskCrashedError,
)
from trigger_nb.integrations import Integration
from trigger_nb.testing import FakeClock


def keys(tasks):
    return [task.key for task in tasks]


def whys(plan):
    return [(task.key, str(task.reason)) for task in plan.runs]


def rows(world):
    """All that the store holds."""
    with closing(sqlite3.connect(world.client.runtime.store.directory / "cache.db")) as database:
        return database.execute("SELECT key, value, tag FROM Cache ORDER BY rowid").fetchall()


# --- What is replayed, and what is not ----------------------------------------------------------------


def test_a_new_run_executes_its_first_task(world):
    @world.job
    def job(payload, io):
        a = yield io.run_task("a", world.noting("a"))
        return (yield io.run_task("b", world.noting("b"), a))

    plan = job.plan(7)
    assert whys(plan) == [("a", "new")]
    assert plan.ends == "unknown"
    assert (plan.status, plan.replays, plan.expected) == (None, (), None)
    assert "test_plan.py, line " in plan.runs[0].place
    assert world.calls == []
    assert list(job.runs()) == []
    world.run(job, 7)
    assert job.runs()[0].id == plan.run_id


def test_a_completed_run_is_replayed_to_its_end(world):
    @world.job
    def job(payload, io):
        a = yield io.run_task("a", world.noting("a"))
        with pytest.raises(LookupError):  # R4: a handled error is a result, too
            yield io.run_task("b", world.failing("b", LookupError("no"), LookupError("no")))
        return (yield io.run_task("c", world.noting("c"), a))

    world.run(job)
    world.new_kernel()
    world.take()
    plan = job.plan()
    assert plan.ends == "complete"
    assert plan.replays == ("a", "b", "c")
    assert plan.runs == plan.waits == ()
    assert plan.status == RunStatus.COMPLETED
    assert world.calls == []


def test_a_new_task_is_what_runs(world):
    def define(*names):
        @world.job(id="job")
        def job(payload, io):
            for name in names:
                yield io.run_task(name, world.noting(name))

        return job

    world.run(define("a", "b"))
    plan = define("a", "new", "b").plan()
    assert (plan.replays, whys(plan)) == (("a",), [("new", "new")])


def changed_job(world):
    def define(code):
        @world.job(id="job")
        def job(payload, io):
            a = yield io.run_task("a", world.body(lambda: 1))
            b = yield io.run_task("b", world.body(code))
            return (yield io.run_task("c", world.body(lambda: "c"))), a, b

        return job

    world.run(define(lambda: 2))
    return define(lambda: 3)


def test_a_changed_task_is_kept_and_said_to_have_changed(world):
    """R6: the default never repeats an effect unasked."""
    plan = changed_job(world).plan()
    assert plan.ends == "complete"
    assert plan.changed == {"b": "code"}
    assert "1 replayed task has changed; its stored result is reused: b." in repr(plan)


@pytest.mark.parametrize("on_change", ["only", "rerun"])
def test_a_changed_task_runs_where_it_is_asked_for(world, on_change):
    """R6."""
    job = changed_job(world)
    plan = job.plan(on_change=on_change)
    assert [(task.key, task.reason, task.changed) for task in plan.runs] == [("b", Reason.CHANGED, "code")]
    assert plan.replays == ("a",)
    assert plan.changed == {}
    world.run(job)  # the plan has forgotten nothing
    assert {task.key: task.reason for task in world.last(job).tasks} == dict.fromkeys("abc", "replayed")


def test_rerun_also_runs_what_came_after_in_another_branch(world):
    """R9: in a plan as in a pass."""

    def define(code):
        def first(io):
            yield io.run_task("a", world.body(code))

        def second(io):
            yield io.run_task("x", world.body(lambda: 1))
            yield io.run_task("late", world.body(lambda: 2))

        @world.job(id="job")
        def job(payload, io):
            if payload["split"]:
                yield world.gather(second(io), first(io))
            else:
                yield from first(io)
                yield from second(io)

        return job

    payload = {"split": False}
    job = define(lambda: 1)
    world.run(job, payload, run_id="one")
    plan = define(lambda: 2).plan({"split": False}, run_id="one", on_change="rerun")
    assert (plan.replays, whys(plan)) == ((), [("a", "changed")])


def test_what_a_failed_run_would_retry(world):
    """R5: the errors that ended a run are not final."""

    once = world.failing("b", ValueError("once"))

    @world.job
    def job(payload, io):
        yield io.run_task("a", world.noting("a"))
        yield io.run_task("b", once)
        return "done"

    world.fail(job)
    world.take()
    plan = job.plan()
    assert (plan.replays, whys(plan), plan.status) == (("a",), [("b", "retried")], RunStatus.FAILED)
    assert world.run(job) == "done"
    assert world.calls == ["b"]


def test_a_task_forgotten_on_purpose(world):
    """R9."""

    @world.job
    def job(payload, io):
        yield io.run_task("a", world.noting("a"))
        yield io.run_task("b", world.noting("b"))

    world.run(job)
    records = {record.path: record for record in world.client.runtime.task_records(world.last(job).id)}
    store(world, world.last(job).id, *forget(records, "b"))
    assert whys(job.plan()) == [("b", "forced")]


def store(world, run_id, *records):
    """Have the store hold these records of tasks."""
    rows = [Row(f"{run_id}/{each.path}", run_id, each.dumps(), each.rank) for each in records]
    world.client.runtime.journal.commit(rows)


def test_a_parent_is_told_whole(world):
    """What is in a task that would run is not entered: its body is not called."""

    @world.job
    def job(payload, io):
        yield io.run_task("parent", world.body(inner), payload)
        yield io.run_task("after", world.noting("after"))

    def inner(number, io):
        yield io.run_task("child", world.noting("child"))
        return number

    assert keys(job.plan(1).runs) == ["parent"]
    world.run(job, 1)
    plan = job.plan(1)
    assert (plan.replays, plan.ends) == (("parent", "after"), "complete")


def test_a_value_that_was_lost_and_may_be_worked_out_again(world):
    """S4."""

    def define():
        @world.job(repeatable=True)
        def job(payload, io):
            yield io.run_task("open", world.body(lambda: threading.Lock()))  # noqa: PLW0108  # that tells no signature

        return job

    world.run(define())
    assert define().plan().ends == "complete"  # this kernel has it
    world.new_kernel()
    assert whys(define().plan()) == [("open", "lost value")]


def test_long_values_lead_on(world):
    """S5: also what is left in the store, or lies beside it, until it is asked for."""

    def define(*more):
        @world.job(id="job")
        def job(payload, io):
            text = yield io.run_task("text", world.body(lambda: "x" * 50_000))
            data = yield io.run_task("data", world.body(lambda: b"y" * 3_000_000))
            for name in more:
                yield io.run_task((name, len(text), len(data)), world.noting(name))

        return job

    world.run(define())
    world.new_kernel()
    plan = define("new").plan()
    assert (plan.replays, keys(plan.runs)) == (("text", "data"), ["new · 50000 · 3000000"])


def test_a_task_that_killed_the_process_again_and_again(world):
    """A1: the run would stop and ask."""

    @world.job
    def job(payload, io):
        yield io.run_task("a", world.failing("a", ValueError("no")))

    world.fail(job)
    crashed = TaskRecord(path="a", status="RUNNING", started=1, began=2, crashes=1)
    store(world, world.last(job).id, crashed)
    assert whys(job.plan()) == [("a", "interrupted")]
    store(world, world.last(job).id, crashed.copy(crashes=2))
    plan = job.plan()
    assert plan.ends == "error"
    assert isinstance(plan.error, TaskCrashedError)
    assert "fails with TaskCrashedError" in repr(plan)


# --- Side by side -------------------------------------------------------------------------------------


def test_branches_go_on_as_far_as_each_can(world, monkeypatch):
    """C1. A plan waits for the threads of a `def` job for so long, and no longer: it may not know them."""

    def branch(io, name, more):
        yield io.run_task((name, 1), world.noting((name, 1)))
        if more:
            yield io.run_task((name, 2), world.noting((name, 2)))

    def define(more):
        @world.job(id="job")
        def job(payload, io):
            yield world.gather(*(branch(io, name, more) for name in "abc"))
            if more:
                yield io.run_task("after", world.noting("after"))

        return job

    world.run(define(more=False))
    world.take()
    job = define(more=True)
    for patience in (60,) if world.is_async else (0.3, 3, 20):
        monkeypatch.setattr(rehearsal, "PATIENCE", patience)
        plan = job.plan()
        if len(plan.runs) == 3:
            break
    assert sorted(plan.replays) == ["~(a,~i1)", "~(b,~i1)", "~(c,~i1)"]
    assert sorted(keys(plan.runs)) == ["a · 2", "b · 2", "c · 2"]
    assert world.calls == []


def test_the_items_of_a_parallel(world):
    """C2: its items are walked, and the node is neither replayed nor executed."""
    left = [ValueError("2"), None]

    def body(item):
        world.note(item)
        if item == 2 and (error := left.pop(0)):
            raise error
        return item

    @world.job
    def job(payload, io):
        yield io.parallel("all", [1, 2, 3], world.body(body))
        yield io.run_task("after", world.noting("after"))

    assert sorted(keys(job.plan().runs)) == ["0", "1", "2"]
    world.fail(job)
    plan = job.plan()
    assert sorted(plan.replays) == ["all/0", "all/2"]
    assert [(task.path, str(task.reason)) for task in plan.runs] == [("all/1", "retried")]
    world.run(job)
    assert job.plan().replays == ("all/0", "all/1", "all/2", "after")


def test_the_items_of_a_map(world):
    """C2: all items are counted, however few may run at once."""

    def body(item):
        world.note(item)
        return item

    @world.job
    def job(payload, io):
        yield io.map("each", list(range(payload["count"])), world.body(body), concurrency=2, rate="1/day")
        yield io.run_task("after", world.noting("after"))

    world.run(job, {"count": 30}, run_id="one")
    world.take()
    assert job.plan({"count": 30}, run_id="one").ends == "complete"
    plan = job.plan({"count": 300}, run_id="one")
    assert (len(plan.replays), len(plan.runs)) == (30, 270)
    assert plan.ends == "unknown"
    assert {task.expected for task in plan.runs} == {plan.runs[0].expected} != {None}
    assert "each: 270 items" in repr(plan)
    assert world.calls == []


def test_a_map_that_was_stopped_in_its_middle():
    """Ben's case: what is left is told, and is what then runs."""

    async def main():
        client = TriggerClient("ben", display=False)
        called = []

        async def body(item, task):
            called.append(task.path)
            if len(called) == 40:
                run.cancel()
                await asyncio.Event().wait()

        @client.job
        async def job(payload, io):
            await io.map("each", range(100), body, concurrency=5)

        run = job.start()
        await until(lambda: run.status == RunStatus.CANCELED)
        done = {task.path for task in run.tasks if task.status == "COMPLETED"}
        plan = job.plan()
        assert set(plan.replays) == done
        assert len(done) + len(plan.runs) == 100
        assert {task.reason for task in plan.runs} == {Reason.NEW, Reason.INTERRUPTED}
        called[:] = ["before"] * 40
        await job.run()
        assert sorted(called[40:]) == sorted(task.path for task in plan.runs)

    asyncio.run(main())


def test_an_imap_and_one_in_batches():
    async def main():
        client = TriggerClient("plan", display=False)
        called = []

        async def double(items):
            called.append(items)
            return [2 * item for item in items]

        @client.job(id="job")
        async def job(payload, io):
            values = [pair async for pair in io.imap("each", range(payload), double, batch=4)]
            return await io.run_task("after", len, values)

        await job.run(8, run_id="one")
        called.clear()
        assert job.plan(8, run_id="one").ends == "complete"
        plan = job.plan(20, run_id="one")
        assert (len(plan.replays), len(plan.runs)) == (8, 12)
        assert called == []

    asyncio.run(main())


def test_a_race_that_was_decided(tmp_path):
    """A8: the loser of an earlier pass is not called while it waits to be cancelled again."""
    calls = []

    async def main():
        client = TriggerClient("race", display=False)

        async def fast():
            calls.append("fast")

        async def slow():
            calls.append("slow")
            await asyncio.Event().wait()

        @client.job
        async def job(payload, io):
            loser = asyncio.ensure_future(io.run_task("slow", slow))
            await io.run_task("fast", fast)
            loser.cancel()
            await asyncio.wait([loser])
            return "decided"

        assert await job.run() == "decided"
        calls.clear()
        plan = job.plan()
        assert (plan.ends, plan.runs, plan.replays) == ("complete", (), ("fast",))

    asyncio.run(main())
    assert calls == []


def test_one_that_was_cancelled_and_is_not_any_more(tmp_path):
    """A8: then its body would run."""

    async def main():
        client = TriggerClient("race", display=False)

        async def slow():
            await asyncio.sleep(3600)

        @client.job(id="job")
        async def hasty(payload, io):
            try:
                await asyncio.wait_for(io.run_task("slow", slow), 0.01)
            except TimeoutError:
                return "too late"

        assert await hasty.run() == "too late"

        @client.job(id="job")
        async def patient(payload, io):
            await io.run_task("slow", slow)

        assert whys(patient.plan()) == [("slow", "interrupted")]

    asyncio.run(main())


def test_a_limit_of_time_around_what_is_unknown_does_not_count():
    """Whether the body would be done in time is not known."""

    async def main():
        client = TriggerClient("limit", display=False)

        @client.job
        async def job(payload, io):
            async def slow():
                let_pass(payload)  # the limit is over when this is
                await io.run_task("b", lambda: 2)

            async with asyncio.timeout(1800):
                await asyncio.gather(io.run_task("a", lambda: 1), slow())
            return await io.run_task("c", lambda: 3)

        for payload in (0, 3600):
            plan = job.plan(payload)
            assert (keys(plan.runs), plan.error) == (["a", "b"], None)

    asyncio.run(main())


def test_a_pause_of_the_code_beside_what_is_unknown(monkeypatch):
    """`asyncio.sleep` is slept, for a while; the branch then goes on."""
    monkeypatch.setattr(rehearsal, "PATIENCE", 60)

    async def main():
        client = TriggerClient("pause", display=False)

        @client.job
        async def job(payload, io):
            async def later(number):
                await asyncio.sleep(number / 1000)
                await io.run_task(("later", number), lambda: 1)

            await asyncio.gather(io.run_task("first", lambda: 1), *map(later, range(3)))

        assert keys(job.plan().runs) == ["first", "later · 0", "later · 1", "later · 2"]
        monkeypatch.setattr(rehearsal, "PATIENCE", 0)
        assert keys(job.plan().runs)[0] == "first"

    asyncio.run(main())


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


def test_a_connection_that_is_left_open_holds_nothing_up(monkeypatch):
    """It may be that something comes by it, while a wait goes on: what is known by then is told."""
    monkeypatch.setattr(rehearsal, "PATIENCE", 0.02)

    async def main():
        client = TriggerClient("open", display=False)
        here, there = socket.socketpair()

        @client.job
        async def job(payload, io):
            asyncio.get_running_loop().add_reader(here, here.recv, 1)
            await io.wait("hour", hours=1)

        with here, there:
            plan = job.plan()
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


# --- Nothing is done ----------------------------------------------------------------------------------


def test_nothing_is_written_and_nothing_remembered(world):
    """R3, C5: no record, no lease, no event, no line of a log."""

    @world.job
    def job(payload, io):
        io.logger.info("begins", {"at": payload})
        yield io.run_task("a", world.noting("a"))
        yield io.create_status("state", "Going", "loading")
        yield io.yield_("here")
        yield io.wait("hour", hours=1)
        yield io.run_task("b", world.failing("b", ValueError("x"), ValueError("x")), retry=2)

    world.fail(job, 1)
    runtime = world.client.runtime
    feed = runtime.feed(world.last(job).id).subscribe()

    def state():
        files = {path: path.read_bytes() for path in runtime.store.directory.rglob("*") if path.is_file()}
        return (
            rows(world), files, dict(running_bodies), dict(runtime._leases), dict(runtime.executions),
            {run_id: dict(memory.records) for run_id, memory in runtime.memories.items()},
            dict(runtime.passes), set(runtime.feeds), feed.pending,
        )  # fmt: skip

    before = state()
    calls = list(world.calls)
    assert whys(job.plan(1)) == [("b", "retried")]
    assert keys(job.plan(2).runs) == ["a"]  # a new run
    assert job.plan(1, on_change="rerun").ends == "unknown"
    assert state() == before
    assert world.calls == calls
    wait_until(lambda: not [each for each in threading.enumerate() if each.name == "trigger_nb plan"])


def test_no_handler_no_client_and_no_other_run(world):
    opened = []

    class Shop(Integration[object]):
        service, icon = "Shop", "shop"

        def open_client(self):
            opened.append(self)
            return object()

        def should_retry(self, error):
            return None

    @world.job
    def child(payload, io):
        world.note("child")
        yield io.run_task("a", world.noting("a"))

    @world.job(
        integrations={"shop": Shop()},
        on_success=lambda _: world.note("success"),
        on_failure=lambda _: world.note("failure"),
    )
    def parent(payload, io):
        if payload == "invoke":
            yield io.invoke_and_wait("child", child)
        if payload == "shop":
            yield io.shop.run_task("buy", lambda client: world.note(client))
        if payload == "event":
            yield io.send_event("event", "x")
        return payload

    for payload, key in {"invoke": "child", "shop": "buy", "event": "event"}.items():
        assert keys(parent.plan(payload).runs) == [key]
    assert parent.plan("none").ends == "complete"
    assert (world.calls, opened, list(world.client.runs())) == ([], [], [])


def test_a_run_that_the_code_starts_by_itself_is_not_started():
    async def main():
        client = TriggerClient("direct", display=False)

        @client.job(trigger=event_trigger("x"))
        async def child(payload, io):
            return await io.run_task("a", lambda: 1)

        @client.job
        async def parent(payload, io):
            if payload == "run":
                return await child.run(1)
            if payload == "start":
                return child.start(1).id
            return await client.send_event("x", 1)

        for payload in ("run", "start"):
            (task,) = parent.plan(payload).runs
            assert (task.path, task.name) == ("", "a run of job 'child'")
        assert parent.plan("event").runs[0].name == "event 'x'"
        assert list(client.runs()) == []
        assert client.runtime.store.select("events") == []

    asyncio.run(main())


def test_a_def_job_in_a_thread_is_got_rid_of(tmp_path):
    """W3: it is unwound, and its own cleanup runs."""
    client = TriggerClient("threads", display=False)
    left = []

    @client.job
    def job(payload, io):
        try:
            io.run_task("a", lambda: 1)
        except Exception:
            left.append("an error")
        finally:
            left.append("cleaned up")
            with pytest.raises(BaseException) as caught:
                io.run_task("b", lambda: 1)
            left.append(type(caught.value).__name__)

    assert keys(job.plan().runs) == ["a"]
    wait_until(lambda: left == ["cleaned up", "RunInterrupted"])


def test_it_can_be_asked_for_with_and_without_await_and_anywhere(tmp_path):
    client = TriggerClient("anywhere", display=False)

    @client.job
    async def job(payload, io):
        assert asyncio.get_running_loop()
        return await io.run_task("a", lambda: 1)

    async def main():
        plan = job.plan()
        assert await job.plan() == plan
        return plan

    assert job.plan() == asyncio.run(main())
    with ThreadPoolExecutor(1) as pool:
        assert keys(pool.submit(job.plan).result().runs) == ["a"]


def test_context_variables_are_those_of_the_cell(tmp_path):
    client = TriggerClient("context", display=False)
    where = contextvars.ContextVar("where", default="nowhere")
    where.set("here")

    @client.job
    async def job(payload, io):
        return await io.run_task(where.get(), lambda: 1)

    assert keys(job.plan().runs) == ["here"]


def test_a_plan_within_a_plan_and_within_a_run(tmp_path):
    """A plan is no run that the code starts."""
    client = TriggerClient("nested", display=False)

    @client.job
    async def inner(payload, io):
        return await io.run_task("in", lambda: 1)

    @client.job
    async def outer(payload, io):
        (task,) = inner.plan().runs
        return await io.run_task(("out", task.key), lambda: 1)

    assert keys(outer.plan().runs) == ["out · in"]
    assert outer.run_sync() == 1


# --- A run that moves ---------------------------------------------------------------------------------


def test_a_run_that_is_under_way():
    """I7, A5: what is in flight would be taken over, not called again."""

    async def main():
        client = TriggerClient("moving", display=False)
        gate = Gate()

        @client.job
        async def job(payload, io):
            await io.run_task("a", lambda: 1)
            await io.run_task("b", gate.pass_through_async)
            return await io.run_task("c", lambda: 3)

        run = job.start()
        await until(gate.reached.is_set)
        before = dict(running_bodies)
        plan = job.plan()
        assert (plan.replays, whys(plan), plan.status) == (("a",), [("b", "adopted")], RunStatus.RUNNING)
        assert "under way" in repr(plan)
        assert running_bodies == before
        gate.open()
        assert await run == 3
        assert job.plan().ends == "complete"

    asyncio.run(main())


def test_a_body_that_outlived_its_pass(world):
    """A5."""
    gate = Gate()

    @world.job
    def job(payload, io):
        yield io.run_task("a", gate.pass_through)
        yield io.run_task("b", world.noting("b"))

    async def main():
        run = job.start()
        await until(gate.reached.is_set)
        run.cancel()
        await until(lambda: run.status == RunStatus.CANCELED)
        (running,) = running_bodies.values()
        assert whys(job.plan()) == [("a", "adopted")]
        assert not running.scope.adopted
        gate.open()
        await until(lambda: not running_bodies)
        plan = job.plan()
        assert (plan.replays, whys(plan)) == (("a",), [("b", "new")])

    asyncio.run(main())


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


# --- It is true ---------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(root=trees, is_async=st.booleans(), disturbed=disturbances)
@example(
    root=Node(True, groups=((Node(True), Node(False, fails=9, is_handled=False), Node(True)),)),
    is_async=True,
    disturbed=[Disturbance(1, "refused", False), Disturbance(2, "taken", True)],
)
def test_running_it_does_what_the_plan_said(root, is_async, disturbed):
    """R1, R5, R7: what was to be replayed is, what was to run does, and for the reason told."""
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patched:
        patched.setattr(rehearsal, "PATIENCE", 0.02)
        program = Program(root, is_async, Path(directory))
        try:
            for disturbance in [*disturbed, None]:
                plan = planned(program)
                outcome = program.outcome(disturbance)
                if disturbance is None:
                    check(program, plan, outcome)
                elif disturbance.is_new_kernel:
                    program.world.new_kernel()
            check(program, planned(program), program.outcome())
        finally:
            program.world.new_kernel()


def planned(program):
    calls, before = program.calls, rows(program.world)
    plan = program.job().plan()
    assert program.calls == calls
    assert rows(program.world) == before
    assert not running_bodies
    return plan


def check(program, plan, outcome):
    (run,) = program.world.client.runs()
    reasons = {task.path: task.reason for task in run.tasks if "/" not in task.path}
    assert all(reasons[path] == Reason.REPLAYED for path in plan.replays)
    for task in plan.runs:
        # A task that fails and has attempts left is "retried" in the end.
        assert reasons[task.path] in (task.reason, Reason.RETRIED)
    if plan.ends == "complete":
        assert set(reasons) == set(plan.replays)
        assert plan.runs == ()
    if program.is_async and plan.runs:
        # All of the group that comes first is in the plan, since all of it begins at once.
        number = int(plan.runs[0].path.partition(".")[0])
        group = {f"{number}.{n}" for n in range(len(program.root.groups[number]))}
        assert group <= {*plan.replays, *(task.path for task in plan.runs)}
    if plan.error is not None:
        assert outcome == f"failed with {plan.error}"


def test_a_plan_may_last_days_in_its_own_time(world):
    """Time jumps where there is only waiting left."""

    @world.job
    def job(payload, io):
        for day in range(30):
            yield io.wait(("day", day), timedelta(days=1))

    plan = job.plan()
    assert len(plan.waits) == 30
    assert plan.ends == "complete"
