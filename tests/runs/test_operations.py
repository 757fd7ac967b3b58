"""The table of what can be done with a run in each status, and what each operation does."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.stages import Stage
from tests.support.worlds import Gate, World, outcome, until
from trigger_nb import RunStatus, TaskStatus
from trigger_nb._records.status import OPERATIONS
from trigger_nb.errors import (
    NotFoundError,
    RunCanceledError,
    RunInterruptedError,
    RunStateError,
)

# --- Status x operation -------------------------------------------------------------------------------


CELLS = [
    (status, operation)
    for operation, row in OPERATIONS.items()
    for status in row
    if status != RunStatus.PENDING
]


@pytest.mark.anyio
@pytest.mark.parametrize(("status", "operation"), CELLS, ids=lambda each: str(each))
async def test_every_operation_in_every_status(tmp_path, status, operation):
    """One table, status x operation -> result, drives the methods: each leads to the status in it."""
    stage = Stage(tmp_path)
    run = await stage.bring(status)
    expected = OPERATIONS[operation][status]
    if status == RunStatus.WAITING and operation in ("accept", "delete", "fork"):
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
    """Every operation has a row for every status."""
    for row in OPERATIONS.values():
        assert set(row) == set(RunStatus)


@pytest.mark.anyio
async def test_resuming_begins_a_pass_that_does_what_is_left(tmp_path):
    """INTERRUPTED, then `resume()`: what was done is replayed."""
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
    """A run can be awaited any number of times: the output, the error, or that it was cancelled or paused."""
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
    """`pause()` or `cancel()`, then `resume()` at once: the run goes on."""
    stage = Stage(tmp_path)
    run = await stage.bring(RunStatus.WAITING)
    stage.act = "complete"  # the pass that is being stopped is past that
    getattr(run, operation)()
    run.resume()
    assert await run == "done"


@pytest.mark.anyio
async def test_cancel_before_a_paused_run_has_come_to_rest(tmp_path):
    """`pause()`, then `cancel()` at once: the run is canceled."""
    stage = Stage(tmp_path)
    run = await stage.bring(RunStatus.WAITING)
    run.pause().cancel()
    assert isinstance(await outcome(run), RunCanceledError)
    assert run.status == RunStatus.CANCELED
