"""Handles of jobs, runs and tasks: what they tell, and what they refuse."""

from __future__ import annotations

import asyncio
import datetime as dt
import pickle
import traceback
import warnings

import pytest

from tests.support.stages import Stage
from tests.support.worlds import World, outcome
from trigger_nb import RunStatus, TaskStatus, TriggerClient
from trigger_nb.errors import (
    InvalidOptionError,
    NotFoundError,
    RunStateError,
    UsageError,
)

# --- Handles ------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_run_tells_about_itself(tmp_path):
    """The attributes of a run while it runs, after it, and in a new kernel."""
    world = World(tmp_path)

    @world.client.job
    async def job(payload, io):
        await io.wait("wait", hours=1)
        return {"got": payload["id"]}

    run = job.start({"id": 7})
    assert (run.status, run.finished_at, run.output) == (RunStatus.RUNNING, None, None)
    await run
    world.new_kernel()
    run = world.again(job).runs()[0]
    assert run.id.startswith("run_")
    assert (run.job, run.payload, run.output, run.error) == ("job", {"id": 7}, {"got": 7}, None)
    assert run.finished_at - run.started_at == dt.timedelta(hours=1)
    assert repr(run) == f"<Run {run.id} of job 'job': COMPLETED>"
    assert await run == {"got": 7}
    assert "wait" in run.tree()
    assert run.export_html(tmp_path / "run.html").read_text().startswith("<!")


@pytest.mark.anyio
async def test_runs_are_found(tmp_path):
    """`client.runs(job, status, limit)`, newest first, and `client.run(id)`."""
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
    with pytest.raises(NotFoundError, match="a/b"):
        run.task("~(user,~i7)/a~1c")


@pytest.mark.anyio
async def test_a_run_whose_job_is_not_defined_here_says_so(tmp_path):
    """`resume()` in a kernel that has not run the job's cell."""
    stage = Stage(tmp_path)
    run = await stage.bring(RunStatus.INTERRUPTED)
    stage.world.new_kernel()
    run = stage.world.client.run(run.id)
    with pytest.raises(NotFoundError, match="run the cell that"):
        run.resume()


def test_jobs_are_not_called(world):
    """Calling a job is a TypeError that names `.run`."""

    @world.job
    def job(payload, io):
        return 1

    with pytest.raises(TypeError, match=r"job\.run\(payload\)"):
        job({"id": 1})


@pytest.mark.anyio
async def test_reprs_say_to_write_await(tmp_path):
    """The calls that `job.run(...)` and `io.run_task(...)` return."""
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
    """The task did not run."""
    world = World(tmp_path)

    @world.client.job
    async def job(payload, io):
        with pytest.warns(RuntimeWarning, match=r"'forgotten' was never awaited.*test_handles\.py, line \d+"):
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
    """`run_sync` would block the loop that is running."""
    world = World(tmp_path)

    @world.client.job
    async def job(payload, io):
        return 1

    with pytest.raises(UsageError, match=r"await job\.run"):
        job.run_sync()


def test_an_error_of_run_sync_has_the_users_frames(world):
    """The package's frames are cut but for `run_sync` itself, and so are those of the loop that it makes."""

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
    """A script has no running loop."""

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
    """`payload`, `io` and `ctx`, by name, or by position in that order, or fewer of them."""
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


def test_a_client_needs_an_id(tmp_path):
    """An option has an invalid value."""

    with pytest.raises(InvalidOptionError):
        TriggerClient("", dir=tmp_path)


def test_every_client_id_has_a_folder_of_its_own(tmp_path):
    """S1: one directory a client, inside of the one it was given."""

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
    """The error says what was wrong and what to do, and is never one from inside the library."""
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
    """`print(run.tree())` in the middle of a run."""
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
    """`return io.run_task(...)` would complete with nothing done."""
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
    """The repr of a run never raises."""

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
    """They share the store, the jobs and the live runs."""
    one, two = TriggerClient("x", dir=tmp_path), TriggerClient("x", dir=tmp_path)
    assert one.runtime is two.runtime
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
