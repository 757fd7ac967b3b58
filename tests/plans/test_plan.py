"""`job.plan`: what running a cell would replay and execute."""

from __future__ import annotations

import asyncio
import threading

import pytest

from tests.support.plans import keys, whys
from tests.support.worlds import let_pass, until
from trigger_nb import Reason, RunStatus, TriggerClient
from trigger_nb._records.forget import forget
from trigger_nb._records.records import TaskRecord
from trigger_nb._store.protocol import Row
from trigger_nb.errors import (
    InvalidOptionError,
    TaskCrashedError,
)

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


def test_branches_go_on_as_far_as_each_can(world):
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
        plan = job.plan(patience=patience)
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


def test_a_pause_of_the_code_beside_what_is_unknown():
    """`asyncio.sleep` is slept, for a while; the branch then goes on."""

    async def main():
        client = TriggerClient("pause", display=False)

        @client.job
        async def job(payload, io):
            async def later(number):
                await asyncio.sleep(number / 1000)
                await io.run_task(("later", number), lambda: 1)

            await asyncio.gather(io.run_task("first", lambda: 1), *map(later, range(3)))

        assert keys(job.plan(patience=60).runs) == ["first", "later · 0", "later · 1", "later · 2"]
        assert keys(job.plan(patience=0).runs)[0] == "first"

    asyncio.run(main())


def test_a_patience_that_is_no_time_is_refused(world):
    job = world.job(id="job")(lambda payload, io: None)
    with pytest.raises(InvalidOptionError, match="patience is a finite time of zero or more, not -1"):
        job.plan(patience=-1)
