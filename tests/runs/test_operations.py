"""What can be done with jobs and runs: the table of operations, and all of `io` that is no plain task."""

from __future__ import annotations

import asyncio
import datetime as dt
import pickle
import traceback
import uuid
import warnings

import pytest
from pydantic import BaseModel

from tests.support.worlds import Gate, World, until
from trigger_nb import RunStatus, TaskStatus, TriggerClient, event_trigger, invoke_trigger
from trigger_nb._records.status import OPERATIONS
from trigger_nb._runs.runtime import runtime_for
from trigger_nb.errors import (
    InvalidOptionError,
    InvalidPayloadError,
    NotFoundError,
    RunCanceledError,
    RunInterruptedError,
    RunStateError,
    SelfAwaitError,
    TaskTimeoutError,
    UsageError,
)


def again(world, job):
    return world.client.job(id=job.id)(job.fn)


async def outcome(run):
    try:
        return await run
    except Exception as error:
        return error


# --- Status x operation -------------------------------------------------------------------------------


class Stage:
    """A run that can be brought into each status."""

    def __init__(self, tmp_path):
        self.world = World(tmp_path)
        self.world.clock._autojump = False
        self.gate = Gate()
        self.act = "complete"
        self.forks = []
        stage = self

        @self.world.client.job
        async def job(payload, io):
            await io.run_task("first", stage.world.noting("first"))
            if stage.act == "run":
                await io.run_task("gate", stage.gate.pass_through_async)
            elif stage.act == "wait":
                await io.wait("wait", days=1)
            elif stage.act == "fail":
                await io.run_task("fails", stage.world.failing("fails", ValueError("failed")))
            return "done"

        self.job = job

    async def bring(self, status):
        world = self.world
        match status:
            case RunStatus.RUNNING:
                self.act = "run"
                run = self.job.start()
                await until(self.gate.reached.is_set)
            case RunStatus.WAITING:
                self.act = "wait"
                run = self.job.start()
                await until(lambda: world.clock.deadlines)
            case RunStatus.COMPLETED:
                run = self.job.start()
                await run
            case RunStatus.FAILED:
                self.act = "fail"
                run = self.job.start()
                await outcome(run)
            case RunStatus.CANCELED:
                self.act = "wait"
                run = self.job.start()
                await until(lambda: world.clock.deadlines)
                run.cancel()
                await outcome(run)
            case RunStatus.INTERRUPTED:
                self.act = "wait"
                cell = asyncio.ensure_future(self.await_run())
                await until(lambda: world.clock.deadlines)
                cell.cancel()
                await asyncio.gather(cell, return_exceptions=True)
                (run,) = self.job.runs()
        assert run.status == status
        return run

    async def await_run(self):
        return await self.job.run()

    def operate(self, run, operation):
        match operation:
            case "start":
                return self.job.start()
            case "rerun_from":
                return run.rerun_from("first")
            case "fork":
                self.forks.append(run.fork("first"))
                return run
            case "skip_wait":
                return run.skip_wait("wait" if self.act == "wait" else "first")
            case _:
                return getattr(run, operation)()

    async def finish(self, run):
        """Let what runs come to its end."""
        self.gate.open()
        for each in (run, *self.forks):
            if each.id in each._runtime.executions:
                each.cancel()
                await outcome(each)


CELLS = [
    (status, operation)
    for operation, row in OPERATIONS.items()
    for status in row
    if status != RunStatus.PENDING
]


@pytest.mark.anyio
@pytest.mark.parametrize(("status", "operation"), CELLS, ids=lambda each: str(each))
async def test_every_operation_in_every_status(tmp_path, status, operation):
    """Section 2: one table, status x operation -> result, drives the methods: each leads where it says."""
    stage = Stage(tmp_path)
    run = await stage.bring(status)
    expected = OPERATIONS[operation][status]
    if status == RunStatus.WAITING and operation in ("delete", "fork"):
        with pytest.raises(RunStateError, match="under way"):  # a wait that this kernel waits for
            stage.operate(run, operation)
        run.pause()
        await outcome(run)
    if not isinstance(expected, RunStatus):
        with pytest.raises(RunStateError) as caught:
            stage.operate(run, operation)
        assert expected in str(caught.value)
        assert str(status) in str(caught.value)
        assert run.status == status
    elif operation == "delete":
        stage.operate(run, operation)
        with pytest.raises(NotFoundError):
            run.status
        assert list(stage.job.runs()) == []
    else:
        got = stage.operate(run, operation)
        assert got.id == run.id
        if operation == "pause":
            stage.gate.open()  # A7: bodies in flight end
        seen = []
        await until(lambda: seen.append(run.status) or is_there(seen, expected, status, operation))
    await stage.finish(run) if operation != "delete" or not isinstance(expected, RunStatus) else None


def is_there(seen, expected, before, operation):
    # A pass that begins may have ended, or come to its wait, before we look.
    if expected == RunStatus.RUNNING and operation != "skip_wait":
        return seen[-1] in {RunStatus.RUNNING, RunStatus.WAITING, RunStatus.COMPLETED, RunStatus.FAILED}
    if operation == "skip_wait" and before == RunStatus.WAITING:
        return seen[-1] in {RunStatus.RUNNING, RunStatus.COMPLETED}
    return seen[-1] == expected


def test_the_table_is_whole():
    """Section 2: every operation says something of every status."""
    for row in OPERATIONS.values():
        assert set(row) == set(RunStatus)


@pytest.mark.anyio
async def test_resuming_begins_a_pass_that_does_what_is_left(tmp_path):
    """Section 3: INTERRUPTED, then `resume()`: what was done is replayed."""
    stage = Stage(tmp_path)
    run = await stage.bring(RunStatus.INTERRUPTED)
    stage.act = "complete"
    assert await run.resume() == "done"
    assert stage.world.take() == ["first"]


@pytest.mark.anyio
async def test_rerun_from_a_run_under_way_ends_the_pass_first(tmp_path):
    """R9, I7: what is in flight finishes; then the task and what came after it run again."""
    stage = Stage(tmp_path)
    run = await stage.bring(RunStatus.RUNNING)
    run.rerun_from("first")
    stage.act = "complete"
    stage.gate.open()
    assert await run == "done"
    assert stage.world.take() == ["first", "first"]
    assert run.task("first").generation == 1


@pytest.mark.anyio
async def test_rerun_from_a_body_that_runs(tmp_path):
    """R9, I7: also before its start is recorded: it ends first, and then runs again."""
    stage = Stage(tmp_path)
    run = await stage.bring(RunStatus.RUNNING)
    assert run.skip_wait("gate") is run  # nothing waits there
    run.rerun_from("gate")
    stage.gate.open()
    assert await run == "done"
    assert (run.task("gate").generation, run.task("gate").reason) == (1, "forced")
    assert stage.world.take() == ["first"]


@pytest.mark.anyio
async def test_two_reruns_asked_for_during_one_pass_both_happen(tmp_path):
    """R9: the second does not replace the first."""
    world, gate = World(tmp_path), Gate()

    @world.client.job
    async def job(payload, io):
        await asyncio.gather(*(io.run_task(key, world.note, key) for key in ("a", "b")))
        await io.run_task("gate", gate.pass_through_async)
        return "done"

    run = job.start()
    await until(gate.reached.is_set)
    run.rerun_from("a")
    run.rerun_from("b")
    gate.open()
    assert await run == "done"
    assert sorted(world.take()) == ["a", "a", "b", "b"]


@pytest.mark.anyio
async def test_rerun_from_a_body_that_ends_without_a_record(tmp_path):
    """R9, I4: a misuse is never recorded, so there is nothing to forget; the run goes on with its next pass."""
    world, gate, slips = World(tmp_path), Gate(), [1]

    async def body(io):
        await gate.pass_through_async()
        if slips:
            await io.run_task(slips.pop(), None)

    @world.client.job
    async def job(payload, io):
        await io.run_task("body", body)
        return "done"

    run = job.start()
    await until(gate.reached.is_set)
    run.rerun_from("body")
    gate.open()
    assert await run == "done"


@pytest.mark.anyio
async def test_rerun_from_a_body_that_an_earlier_pass_left_running(tmp_path):
    """R9, A5: it has not ended, so there is nothing to forget: a second one never starts, its result is taken."""
    world, gate, passes = World(tmp_path), Gate(), []
    world.clock._autojump = False

    def body():
        world.note("body")
        gate.pass_through()
        return 1

    @world.client.job
    async def job(payload, io, ctx):
        passes.append(ctx.run.pass_number)
        if ctx.run.pass_number > 1:
            await io.wait("wait", days=1)
        return await io.run_task("body", body)

    run = job.start()
    await until(gate.reached.is_set)
    run.pause(now=True)
    await outcome(run)
    run.resume()
    await until(lambda: world.clock.deadlines)
    assert run.task("body").status == TaskStatus.RUNNING
    run.rerun_from("body")
    await until(lambda: passes[-1] == 3)
    run.skip_wait("wait")
    gate.open()
    assert await run == 1
    assert world.calls == ["body"]


@pytest.mark.anyio
async def test_what_awaiting_raises(tmp_path):
    """Section 3: awaiting, any number of times: the output, the error, or that it was cancelled or paused."""
    stage = Stage(tmp_path)
    run = await stage.bring(RunStatus.FAILED)
    for _ in range(2):
        assert isinstance(await outcome(run), ValueError)
    stage.act = "wait"
    run.retry()
    await until(lambda: stage.world.clock.deadlines)
    run.cancel()
    for _ in range(2):
        assert isinstance(await outcome(run), RunCanceledError)
    run.resume()
    await until(lambda: stage.world.clock.deadlines)
    run.pause()
    assert isinstance(await outcome(run), RunInterruptedError)
    run.resume()
    await until(lambda: stage.world.clock.deadlines)
    run.skip_wait("wait")
    for _ in range(2):
        assert await run == "done"


@pytest.mark.anyio
@pytest.mark.parametrize("operation", ["pause", "cancel"])
async def test_resume_before_the_run_has_come_to_rest(tmp_path, operation):
    """Section 3: pause() or cancel(), and resume() in the same breath: the run goes on."""
    stage = Stage(tmp_path)
    run = await stage.bring(RunStatus.WAITING)
    stage.act = "complete"  # the pass that is being stopped is past that
    getattr(run, operation)()
    run.resume()
    assert await run == "done"


@pytest.mark.anyio
async def test_cancel_before_a_paused_run_has_come_to_rest(tmp_path):
    """Section 3: pause(), then cancel() at once: it is canceled."""
    stage = Stage(tmp_path)
    run = await stage.bring(RunStatus.WAITING)
    run.pause().cancel()
    assert isinstance(await outcome(run), RunCanceledError)
    assert run.status == RunStatus.CANCELED


# --- Handles ------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_run_tells_about_itself(tmp_path):
    """Section 3: its attributes, during and after it, and in a new kernel."""
    world = World(tmp_path)

    @world.client.job
    async def job(payload, io):
        await io.wait("wait", hours=1)
        return {"got": payload["id"]}

    run = job.start({"id": 7})
    assert (run.status, run.finished_at, run.output) == (RunStatus.RUNNING, None, None)
    await run
    world.new_kernel()
    run = again(world, job).runs()[0]
    assert run.id.startswith("run_")
    assert (run.job, run.payload, run.output, run.error) == ("job", {"id": 7}, {"got": 7}, None)
    assert run.finished_at - run.started_at == dt.timedelta(hours=1)
    assert repr(run) == f"<Run {run.id} of job 'job': COMPLETED>"
    assert await run == {"got": 7}
    assert "wait" in run.tree()
    assert run.export_html(tmp_path / "run.html").read_text().startswith("<!")


@pytest.mark.anyio
async def test_runs_are_found(tmp_path):
    """Section 3: `client.runs(job, status, limit)`, newest first; `client.run(id)`."""
    world = World(tmp_path)

    @world.client.job
    async def good(payload, io):
        return payload

    @world.client.job
    async def bad(payload, io):
        raise ValueError(payload)

    for n in range(3):
        await good.run(n)
        await outcome(bad.run(n))
    client = world.client
    assert [run.payload for run in client.runs()] == [2, 2, 1, 1, 0, 0]
    assert [run.payload for run in client.runs(job="good")] == [2, 1, 0]
    assert [run.payload for run in client.runs(job=bad, limit=2)] == [2, 1]
    assert {run.job for run in client.runs(status="FAILED")} == {"bad"}
    assert client.run(client.runs()[0].id).payload == 2
    with pytest.raises(NotFoundError):
        client.run("run_nothing")
    assert "good" in repr(client.runs())
    assert "<table" in client.runs()._repr_html_()


@pytest.mark.anyio
async def test_a_task_that_is_not_there_names_those_that_are(tmp_path):
    """`run.task(path)`: by text or by keys; a slip names what is close."""
    world = World(tmp_path)

    @world.client.job
    async def job(payload, io):
        await io.run_task(("user", 7), lambda io: io.run_task("a/b", world.noting(1)))

    await job.run()
    run = job.runs()[0]
    assert run.task([("user", 7), "a/b"]).key == "a/b"
    assert run.task(("user", 7)).key == run.task([("user", 7)]).key
    with pytest.raises(NotFoundError, match="a~1b"):
        run.task("~(user,~i7)/a~1c")


@pytest.mark.anyio
async def test_a_run_whose_job_is_not_defined_here_says_so(tmp_path):
    """Section 3: `resume()` in a kernel that has not run the job's cell."""
    stage = Stage(tmp_path)
    run = await stage.bring(RunStatus.INTERRUPTED)
    stage.world.new_kernel()
    run = stage.world.client.run(run.id)
    with pytest.raises(NotFoundError, match="run the cell that"):
        run.resume()


def test_jobs_are_not_called(world):
    """Section 3: calling a Job is a TypeError that names `.run`."""

    @world.job
    def job(payload, io):
        return 1

    with pytest.raises(TypeError, match=r"job\.run\(payload\)"):
        job({"id": 1})


@pytest.mark.anyio
async def test_reprs_say_to_write_await(tmp_path):
    """Section 3: of `job.run(...)` and of `io.run_task(...)`."""
    world = World(tmp_path)
    reprs = []

    @world.client.job
    async def job(payload, io):
        call = io.run_task("task", world.noting(1))
        reprs.append(repr(call))
        await call

    call = job.run()
    reprs.append(repr(call))
    await call
    assert all("await" in text for text in reprs)


@pytest.mark.anyio
async def test_a_task_that_is_never_awaited_warns_with_its_place(tmp_path):
    """Section 3: it did not run."""
    world = World(tmp_path)

    @world.client.job
    async def job(payload, io):
        with pytest.warns(
            RuntimeWarning, match=r"'forgotten' was never awaited.*test_operations\.py, line \d+"
        ):
            io.run_task("forgotten", world.noting("forgotten"))

    await job.run()
    assert world.calls == []


@pytest.mark.anyio
async def test_a_task_cancelled_before_it_began_does_not_warn(tmp_path):
    """`create_task(io.run_task(...))` that is cancelled at once did not run, and was not forgotten."""
    world = World(tmp_path)

    @world.client.job
    async def job(payload, io):
        task = asyncio.create_task(io.run_task("early", world.noting("early")))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        await job.run()
    assert world.calls == []


@pytest.mark.anyio
async def test_run_sync_inside_a_loop_says_await(tmp_path):
    """Section 3: it would block the loop that is running."""
    world = World(tmp_path)

    @world.client.job
    async def job(payload, io):
        return 1

    with pytest.raises(UsageError, match=r"await job\.run"):
        job.run_sync()


def test_an_error_of_run_sync_has_the_users_frames(world):
    """Section 3: our frames are cut, and those of the loop that `run_sync` makes; one says where it was called."""

    def fetch():
        raise KeyError("u1")

    @world.job
    def job(payload, io):
        yield io.run_task("fetch", world.body(fetch))

    frames = traceback.extract_tb(world.fail(job).__traceback__)
    ours = [frame.name for frame in frames if "trigger_nb" in frame.filename]
    assert ours == ["run_sync"]
    assert [frame.name for frame in frames if "asyncio" in frame.filename] == []
    assert "fetch" in [frame.name for frame in frames]


def test_start_without_a_loop_says_run_sync(world):
    """Section 3: in a script there is none."""

    @world.job
    def job(payload, io):
        return 1

    with pytest.raises(UsageError, match="run_sync"):
        job.start()


def test_what_belongs_to_a_kernel_is_not_pickled(world):
    """C6: io, task and Run refuse, and say what to do."""
    kept = []

    @world.job
    def job(payload, io):
        kept.append(io)
        yield io.run_task("task", world.body(lambda task: kept.append(task)))

    world.run(job)
    kept.append(world.last(job))
    for each in kept:
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(each)


def test_a_disabled_job_starts_no_new_run(world):
    """Reference: `enabled=False`."""

    @world.job(enabled=False)
    def job(payload, io):
        return 1

    assert isinstance(world.fail(job), RunStateError)


def test_run_functions_take_what_they_need(world):
    """Section 3: payload, io, ctx by name, or by position in that order, or fewer."""
    got = []

    def define(function):
        world.run(world.client.job(id="job")(function), 7, fresh=True)

    define(lambda: got.append(()))
    define(lambda payload: got.append(payload))
    define(lambda p, i: got.append((p, hasattr(i, "run_task"))))
    define(lambda ctx, payload: got.append((ctx.job.id, payload)))
    define(lambda a, b, c: got.append((a, c.run.pass_number)))
    define(lambda *, ctx: got.append(ctx.run.is_test))
    assert got == [(), 7, (7, True), ("job", 7), (7, 1), False]


def test_ctx_says_what_is_run(world):
    """Reference: `ctx`."""
    got = []

    @world.job(version="1.2.3")
    def job(payload, io, ctx):
        got.append(ctx)

    world.run(job, is_test=True)
    world.run(job)
    first, second = got
    assert (first.job.id, first.job.version) == ("job", "1.2.3")
    assert (first.run.is_test, first.run.pass_number, second.run.pass_number) == (True, 1, 2)
    assert first.run.started_at.timestamp() == world.clock.time()
    assert first.run.id == second.run.id == world.last(job).id


# --- Log lines ----------------------------------------------------------------------------------------


def test_log_lines_are_not_repeated(world):
    """Reference: plain calls, a row each; the same line twice in one scope is fine."""

    @world.job
    def job(payload, io):
        io.logger.info("hello", {"rows": 3})
        io.logger.info("hello")
        io.logger.debug("too quiet")
        io.logger.warning("careful")
        io.logger.error("bad")

        def body(io, task):
            io.logger.log("inside")
            task.log("from the task", level="warning")

        yield io.run_task("task", world.body(body))

    for _ in range(2):
        world.run(job)
    world.new_kernel()
    job = again(world, job)
    world.run(job)
    lines = [(line.level, line.name, line.data) for line in world.last(job).logs]
    assert lines == [
        ("info", "hello", {"rows": 3}),
        ("info", "hello", None),
        ("warning", "careful", None),
        ("error", "bad", None),
        ("info", "inside", None),
        ("warning", "from the task", None),
    ]
    assert [task.path for task in world.last(job).tasks] == ["task"]


def test_a_log_line_that_cannot_be_told_fails_no_run(world):
    """Reference: plain calls; whatever is said, and whatever is said with it."""

    class Mute:
        def __str__(self):
            raise ValueError("I say nothing")

        __repr__ = __str__

    @world.job
    def job(payload, io):
        def body(task):
            task.log(Mute(), Mute())

        io.logger.info(Mute(), {"who": Mute()})
        yield io.run_task("task", world.body(body))

    for _ in range(2):
        world.run(job)
    lines = world.last(job).logs
    assert len(lines) == 2
    assert all("Mute" in line.name for line in lines)


def test_a_log_call_may_be_awaited(world):
    """Reference: it needs no `await`; one that is there all the same does nothing."""

    @world.job
    def job(payload, io):
        yield io.logger.info("awaited")
        returned = yield io.run_task("task", world.body(lambda io: io.logger.info("returned")))
        failed = yield io.try_(world.failing("x", ValueError()), lambda _: io.logger.warning("failed"))
        assert (returned, failed) == (None, None)
        return io.logger.info("the end")

    for _ in range(2):
        assert world.run(job) is None
    assert [line.name for line in world.last(job).logs] == ["awaited", "returned", "failed", "the end"]


def test_the_log_level_is_the_jobs(world):
    """Reference: `log_level`."""

    @world.job(log_level="warning")
    def job(payload, io):
        io.logger.info("quiet")
        io.logger.warning("loud")

    world.run(job)
    assert [line.name for line in world.last(job).logs] == ["loud"]


# --- Values that would differ at every pass -------------------------------------------------------------


def test_random_now_and_uuid_are_stable(world):
    """Reference: they do not change on replay."""
    got = []

    @world.job
    def job(payload, io):
        got.append(
            (
                (yield io.random("random", 5, 6)),
                (yield io.random("dice", 1, 6, round=True)),
                (yield io.now("now")),
                (yield io.uuid("uuid")),
            )
        )

    world.run(job)
    world.clock.advance(3600)
    world.new_kernel()
    world.run(again(world, job))
    assert got[0] == got[1]
    number, dice, now, unique = got[0]
    assert 5 <= number <= 6
    assert type(dice) is int
    assert now.timestamp() == world.clock.time() - 3600
    assert type(unique) is uuid.UUID


def test_checkpoints(world):
    """Reference: `yield_` and `brb` are durable and do nothing else."""

    @world.job
    def job(payload, io):
        yield io.yield_("here")
        yield io.brb("there")
        return "done"

    assert world.run(job) == "done"
    assert [task.path for task in world.last(job).tasks] == ["here", "there"]


def test_key_values(world):
    """Reference: `store.run / .job / .env`, each call a task."""

    @world.job
    def job(payload, io):
        before = yield io.store.run.get("before", "name", "default")
        yield io.store.run.set("set", "name", {"n": (1, 2)})
        yield io.store.job.set("set-job", "count", payload)
        yield io.store.env.set("set-env", "all", True)
        after = yield io.store.run.get("after", "name")
        had = yield io.store.run.has("has", "name")
        yield io.store.run.delete("delete", "name")
        return before, after, had, (yield io.store.run.has("gone", "name"))

    for _ in range(2):
        assert world.run(job, 5) == ("default", {"n": (1, 2)}, True, False)

    @world.job(id="other")
    def other(payload, io):
        return (yield io.store.env.get("env", "all")), (yield io.store.job.get("job", "count"))

    assert world.run(other) == (True, None)

    @world.job(id="job")
    def job(payload, io):
        return (yield io.store.job.get("count", "count")), (yield io.store.run.get("name", "name"))

    assert world.run(job, 6) == (5, None)


def test_try_(world):
    """Reference: kept for those who port jobs."""

    @world.job
    def job(payload, io):
        fails = world.failing("body", OSError("1"))
        body = lambda: io.run_task("task", fails)  # noqa: E731
        return (yield io.try_(body, lambda error: f"handled {error}"))

    for _ in range(2):
        assert world.run(job) == "handled 1"
    assert world.take() == ["body"]


# --- Other runs ----------------------------------------------------------------------------------------


def test_invoke_and_wait(world):
    """Reference: a child run's output; linked to its parent, replayed with it."""

    @world.job
    def child(payload, io):
        return (yield io.run_task("double", world.body(lambda n: 2 * n, note="child"), payload))

    @world.job
    def parent(payload, io):
        one = yield io.invoke_and_wait("one", child, 1)
        two = yield io.invoke_and_wait("two", child, 2)
        return one + two

    for _ in range(2):
        assert world.run(parent) == 6
    assert world.take() == ["child"] * 2
    runs = child.runs()
    assert len(runs) == 2
    assert {run._record.parent for run in runs} == {world.last(parent).id}
    assert {run._record.parent_task for run in runs} == {"one", "two"}


def test_invoke_gives_the_child_runs_id(world):
    """Reference: it goes on at once; the same child on replay."""

    @world.job
    def child(payload, io):
        return (yield io.run_task("task", world.noting("child")))

    @world.job
    def parent(payload, io):
        return (yield io.invoke("invoke", child, 1))

    async def runs():
        first = await parent.run()
        await world.client.run(first)
        return first, await parent.run()

    first, second = asyncio.run(runs())
    assert first == second == world.last(child).id
    assert world.take() == ["child"]


def test_a_child_runs_error_is_its_parents(world):
    """I8, R5: it ends the parent too; both resume."""

    @world.job
    def child(payload, io):
        return (yield io.run_task("task", fails))

    @world.job
    def parent(payload, io):
        yield io.run_task("before", world.noting("before"))
        return (yield io.invoke_and_wait("invoke", child))

    fails = world.failing("child", OSError("down"))
    assert isinstance(world.fail(parent), OSError)
    assert world.last(child).status == RunStatus.FAILED
    assert world.run(parent) == "child"
    assert world.take() == ["before", "child", "child"]


def test_a_child_run_that_takes_too_long(world):
    """Reference: `timeout=` of `invoke_and_wait`."""

    @world.job
    def child(payload, io):
        yield io.run_task("task", asyncio.sleep, 3600)

    @world.job
    def parent(payload, io):
        yield io.invoke_and_wait("invoke", child, timeout=0.05)

    assert isinstance(world.fail(parent), TaskTimeoutError)


@pytest.mark.anyio
async def test_running_a_job_inside_a_job_is_a_child_run(tmp_path):
    """I8: its own identity, linked to its parent."""
    world = World(tmp_path)

    @world.client.job
    async def child(payload, io):
        return payload * 2

    @world.client.job
    async def parent(payload, io):
        async def body(io):
            return await child.run(4)

        return await child.run(3), await io.run_task("body", body)

    assert await parent.run() == (6, 8)
    links = {run.payload: (run._record.parent, run._record.parent_task) for run in child.runs()}
    (run,) = parent.runs()
    assert links == {3: (run.id, ""), 4: (run.id, "body")}


@pytest.mark.anyio
@pytest.mark.parametrize("swallowed", [False, True])
async def test_a_run_that_awaits_itself_is_an_error(tmp_path, swallowed):
    """I8, I4: directly, or through its children; also when it is swallowed."""
    world = World(tmp_path)

    @world.client.job
    async def job(payload, io):
        try:
            return await job.run(payload)
        except SelfAwaitError:
            if not swallowed:
                raise

    assert isinstance(await outcome(job.run()), SelfAwaitError)

    @world.client.job
    async def one(payload, io):
        return await other.run()

    @world.client.job
    async def other(payload, io):
        return await one.run()

    assert isinstance(await outcome(one.run()), SelfAwaitError)


def test_only_jobs_can_be_invoked(world):
    """A function is no job."""

    @world.job
    def job(payload, io):
        yield io.invoke_and_wait("invoke", world.noting(1))

    assert "io.invoke takes a job, not function" in str(world.fail(job))


# --- on_success and on_failure ---------------------------------------------------------------------------


def test_notifications_come_once(world):
    """Reference: run id, job, payload, status, output or error, times; not again for a replay."""
    got = []

    @world.job(on_success=got.append, on_failure=got.append)
    def job(payload, io):
        return (yield io.run_task("task", body))

    body = world.failing("body", OSError("down"))
    world.fail(job, 7)
    world.run(job, 7)
    world.run(job, 7)
    assert [each.status for each in got] == [RunStatus.FAILED, RunStatus.COMPLETED]
    failed, completed = got
    assert (failed.job_id, failed.payload, failed.output) == ("job", 7, None)
    assert isinstance(failed.error, OSError)
    assert (completed.run_id, completed.output, completed.error) == (world.last(job).id, "body", None)
    assert completed.finished_at >= completed.started_at


def test_a_notification_that_fails_changes_nothing(world, caplog):
    """A handler's error is logged, and the run is what it was."""

    async def handler(notification):
        raise RuntimeError("handler")

    @world.job(on_success=handler)
    def job(payload, io):
        return "done"

    assert world.run(job) == "done"
    assert world.last(job).status == RunStatus.COMPLETED
    assert "handler of job job failed" in caplog.text


# --- Events --------------------------------------------------------------------------------------------


class NewUser(BaseModel):
    user_id: str
    plan: str = "free"


def listening(world, **trigger):
    @world.job(id="listening", trigger=event_trigger("new.user", **trigger))
    def job(payload, io, ctx):
        return (yield io.run_task("task", world.noting((ctx.event.name, payload)))), ctx.event.id

    return job


def send(world, *args, **options):
    async def main():
        event = await world.client.send_event(*args, **options)
        return event, [await run for run in event.runs]

    return asyncio.run(main())


def test_an_event_starts_what_listens(world):
    """Reference: a run in every enabled job whose trigger matches, with the validated payload."""
    listening(world, schema=NewUser)

    @world.job(id="off", enabled=False, trigger=event_trigger("new.user"))
    def off(payload, io):
        world.note("off")

    event, outputs = send(world, "new.user", {"user_id": "u1"})
    assert outputs == [(("new.user", NewUser(user_id="u1")), event.id)]
    assert send(world, "other", {"user_id": "u1"})[1] == []


def test_the_same_event_never_starts_a_second_run(world):
    """I1: by its id; without one, by name and payload; `fresh=True` starts new ones."""
    listening(world)
    first, _ = send(world, "new.user", {"user_id": "u1"})
    again, _ = send(world, "new.user", {"user_id": "u1"})
    assert (again.id, again.runs[0].id) == (first.id, first.runs[0].id)
    assert len(world.take()) == 1
    one, _ = send(world, "new.user", {"user_id": "u1"}, id="evt_1")
    two, _ = send(world, "new.user", {"user_id": "u2"}, id="evt_1")
    assert one.runs[0].id == two.runs[0].id
    assert len(world.take()) == 1
    fresh, _ = send(world, "new.user", {"user_id": "u1"}, fresh=True)
    assert fresh.runs[0].id != first.runs[0].id
    assert len(world.take()) == 1


def test_filters_and_sources_choose(world):
    """Reference: `filter=` and `source=` of the trigger."""
    listening(world, filter={"plan": ["pro"]}, source="shop")
    assert send(world, "new.user", {"plan": "free"}, source="shop")[1] == []
    assert send(world, "new.user", {"plan": "pro"})[1] == []
    assert len(send(world, "new.user", {"plan": "pro"}, source="shop")[1]) == 1


def test_an_event_that_does_not_fit_starts_nothing(world):
    """Reference: InvalidPayloadError with pydantic's messages; no run in any job."""
    listening(world, schema=NewUser)

    @world.job(id="lenient", trigger=event_trigger("new.user"))
    def lenient(payload, io):
        return 1

    with pytest.raises(InvalidPayloadError, match="user_id"):
        send(world, "new.user", {"plan": "pro"})
    assert len(world.client.runs()) == 0


def test_a_payload_that_cannot_name_its_event_says_what_to_do(world):
    """I1: an object without a stored form; with an id of its own the event starts what listens."""

    @world.job(trigger=event_trigger("new.user"))
    def job(payload, io):
        return type(payload).__name__

    with pytest.raises(InvalidPayloadError, match=r"object .* Pass plain data, or name the event: .*id="):
        send(world, "new.user", object())
    assert send(world, "new.user", object(), id="evt_1")[1] == ["object"]
    assert len(job.runs()) == 1


def test_a_run_can_send_events(world):
    """Reference: `io.send_event` is a task: on replay nothing is sent."""
    listener = listening(world)

    @world.job(id="sender", trigger=invoke_trigger())
    def sender(payload, io):
        return (yield io.send_event("send", "new.user", {"user_id": "u1"}))

    async def main():
        first = await sender.run()
        await listener.runs()[0]
        return first, await sender.run()

    first, second = asyncio.run(main())
    assert first == second
    assert len(listener.runs()) == 1
    assert len(world.take()) == 1


def test_a_client_needs_an_id(tmp_path):
    """An option has an invalid value."""
    from trigger_nb import TriggerClient

    with pytest.raises(InvalidOptionError):
        TriggerClient("", dir=tmp_path)


def test_every_client_id_has_a_folder_of_its_own(tmp_path):
    """S1: one directory a client, inside of the one it was given."""
    from trigger_nb import TriggerClient

    ids = ("x", ".x", "..", ".", "../x", "a/x", "📧", "%2Fx")
    folders = {TriggerClient(each, dir=tmp_path).dir for each in ids}
    assert len(folders) == len(ids)
    assert {folder.parent for folder in folders} == {tmp_path}
    assert not any(folder.name.startswith(".") for folder in folders)


def yields(payload, io):
    yield 1


async def yields_too(payload, io):
    yield 1


@pytest.mark.parametrize(
    ("mistake", "says"),
    [
        (lambda client, job: client.job(yields), "generator"),
        (lambda client, job: client.job(yields_too), "generator"),
        (lambda client, job: job.run_sync(run_id=5), "run_id is text"),
        (lambda client, job: asyncio.run(client.send_event(None)), "the name of an event must be text"),
        (lambda client, job: type(client)("x", max_depth="5"), "max_depth must be a whole number"),
        (lambda client, job: type(client)("x", repeatable="x"), "repeatable is True or False; not 'x'"),
        (lambda client, job: type(client)("x", display=0), "display is True or False; not 0"),
        (lambda client, job: type(client)("x", dir="~nobody-here/x"), "no home folder .* '~nobody-here'"),
        (lambda client, job: client.job(enabled="no"), "enabled is True or False; not 'no'"),
        (lambda client, job: client.job(repeatable="no"), "repeatable is True or False; not 'no'"),
        (lambda client, job: job.run_sync("on_error"), "on_error must be a function"),
        (lambda client, job: job.run_sync("long"), "the duration of io.wait is invalid"),
        (lambda client, job: job.run_sync("retries"), "'retry'"),
    ],
)
def test_a_mistake_is_told_in_our_words(tmp_path, mistake, says):
    """Section 3: what was wrong, and what to do; never an error of the library's inside."""
    world = World(tmp_path)

    @world.client.job
    async def job(payload, io):
        if payload == "on_error":
            await io.run_task("a", world.noting("a"), on_error=5)
        if payload == "long":
            await io.wait("a", 1e30)
        if payload == "retries":
            await io.run_task("a", world.noting("a"), retries=3)

    with pytest.raises(InvalidOptionError, match=says):
        mistake(world.client, job)
    assert world.calls == []
    world.new_kernel()


@pytest.mark.anyio
async def test_a_body_that_runs_is_in_the_tree(tmp_path):
    """Section 3: `print(run.tree())` anywhere, in the middle, too."""
    stage = Stage(tmp_path)
    run = await stage.bring(RunStatus.RUNNING)
    assert {task.key: task.status for task in run.tasks} == {
        "first": TaskStatus.COMPLETED,
        "gate": TaskStatus.RUNNING,
    }
    assert "1 running" in run.tree()
    stage.gate.open()
    await run


@pytest.mark.parametrize("inside", [False, True])
def test_a_task_is_not_returned_without_await(tmp_path, inside):
    """Section 3: `return io.run_task(...)` would end well with nothing done."""
    world = World(tmp_path)

    async def body(io):
        return io.run_task("forgotten", world.noting("forgotten"))

    @world.client.job
    async def job(payload, io):
        return await io.run_task("body", body) if inside else await body(io)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        error = world.fail(job)
    assert isinstance(error, UsageError)
    assert "return await io.run_task('forgotten', ...)" in str(error)
    assert world.last(job).status == RunStatus.FAILED
    world.new_kernel()


def test_a_deleted_run_says_so(world):
    """Section 3: its repr never raises."""

    @world.job
    def job(payload, io):
        return 1
        yield

    world.run(job)
    run = world.last(job)
    run.delete()
    assert "deleted" in repr(run)


@pytest.mark.anyio
async def test_its_widget_is_one_wherever_it_is_asked_for(tmp_path):
    """D1; marimo asks for `_display_`."""
    world = World(tmp_path)

    @world.client.job
    async def job(payload, io):
        return await io.run_task("task", lambda: 1)

    run = job.start()
    assert run.widget is run.widget
    assert run._display_() is run.widget
    assert world.client.run(run.id).widget is run.widget
    await run
    assert run.widget is world.client.run(run.id).widget, "it stays when the run has ended"
    world.new_kernel()


def test_a_widget_needs_a_running_loop(world):
    @world.job
    def job(payload, io):
        yield io.run_task("task", lambda: 1)

    world.run(job)
    with pytest.raises(UsageError, match=r"print\(run.tree\(\)\)"):
        _ = world.last(job).widget


def test_two_clients_of_one_id_share_their_runtime(tmp_path):
    """Section 3: the same store, jobs and live runs."""
    from trigger_nb import TriggerClient

    one, two = TriggerClient("x", dir=tmp_path), TriggerClient("x", dir=tmp_path)
    assert one.runtime is two.runtime is runtime_for(tmp_path / "x")
    World(tmp_path).new_kernel()


def test_a_tasks_row_says_what_it_is(world):
    """The tree's text and a task's repr."""

    @world.job
    def job(payload, io):
        yield io.run_task("task", world.noting(1), name="Fetch user")

    world.run(job)
    task = world.last(job).tasks[0]
    assert (task.name, task.status, task.key) == ("Fetch user", TaskStatus.COMPLETED, "task")
    assert repr(task) == "<task 'task': COMPLETED, new>"


def test_jobs_that_start_each_other_in_a_circle_come_to_an_end(world):
    """I8: child runs have ids of their own, so a circle is seen by its depth."""
    jobs = {}

    @world.job(id="ping")
    def ping(payload, io):
        return (yield io.invoke_and_wait("pong", jobs["pong"], payload))

    @world.job(id="pong")
    def pong(payload, io):
        return (yield io.invoke_and_wait("ping", jobs["ping"], payload))

    jobs |= {"ping": ping, "pong": pong}
    error = world.fail(ping)
    assert isinstance(error, UsageError)
    assert "circle" in str(error)
    assert len(world.client.runs(limit=100)) == 51


@pytest.mark.anyio
async def test_a_handler_may_start_the_run_again(tmp_path):
    """REFERENCE, Job: `on_failure` comes when the run has ended, so what it starts is a pass of its own."""
    again = []

    async def body(task):
        if not again:
            raise OSError("not yet")
        return "done"

    def on_failure(notification):
        again.append(client.run(notification.run_id).retry())

    client = TriggerClient("handlers", dir=tmp_path)

    @client.job(on_failure=on_failure)
    async def job(payload, io):
        return await io.run_task("body", body)

    with pytest.raises(OSError, match="not yet"):
        await job.run()
    assert await again[0] == "done"


def test_a_run_lasts_as_long_as_its_passes(world):
    """D2: a run taken up again days later has not lasted for days."""
    body = world.failing("body", OSError("down"))

    @world.job
    def job(payload, io):
        yield io.wait("wait", 30)
        return (yield io.run_task("body", body))

    world.fail(job)
    world.clock.advance(3 * 86_400)
    world.run(job)
    assert 30 <= world.last(job).model().elapsed < 60
    assert "30 s" in repr(world.client.runs())
