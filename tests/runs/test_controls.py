"""The buttons of a run: all that they offer and refuse comes from the table of operations."""

from __future__ import annotations

import asyncio
import contextlib
import re

import pytest
from hypothesis import given, settings, strategies as st

from tests.support.stages import Stage
from tests.support.worlds import Gate, World, outcome, until
from trigger_nb import RunStatus
from trigger_nb._records.records import RunRecord
from trigger_nb._records.status import OPERATIONS
from trigger_nb._runs import controls as controls_module
from trigger_nb._runs.controls import RunControls
from trigger_nb.errors import NotFoundError, RunStateError, TriggerError, UsageError

PAUSED = "PAUSED"
# What makes sense: it is allowed, and does something.
ENABLED = {
    RunStatus.RUNNING: {"pause", "cancel", "skip_wait", "rerun_from"},
    RunStatus.WAITING: {"pause", "cancel", "skip_wait", "rerun_from"},
    PAUSED: {"resume", "cancel", "skip_wait", "rerun_from", "accept"},
    RunStatus.COMPLETED: {"rerun_from", "accept"},
    RunStatus.FAILED: {"cancel", "retry", "skip_wait", "rerun_from", "accept"},
    RunStatus.CANCELED: {"resume", "retry", "skip_wait", "rerun_from", "accept"},
    RunStatus.INTERRUPTED: {"resume", "cancel", "retry", "skip_wait", "rerun_from", "accept"},
}
PRESSED = [(status, operation) for status, enabled in ENABLED.items() for operation in sorted(enabled)]


def controls_of(run) -> tuple[RunControls, RunRecord]:
    """The buttons of a run, and what the display knows of it."""
    return RunControls(run._runtime, run.id), run._record.copy(status=run.status)


def offered(run) -> dict[str, str]:
    """Each button of the table, and why it makes no sense."""
    controls, record = controls_of(run)
    buttons = [*controls.buttons(record), *controls.row_buttons(record)]
    return {button.op: button.why for button in buttons if button.op in OPERATIONS}


async def brought_to(stage: Stage, status: str):
    if status != PAUSED:
        return await stage.bring(status)
    run = await stage.bring(RunStatus.WAITING)
    run.pause()
    await outcome(run)
    assert run.reason == "paused"
    return run


# --- what is offered ----------------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize("status", ENABLED)
async def test_a_button_is_enabled_exactly_when_it_makes_sense(tmp_path, status):
    """The table of operations says which buttons are enabled; a disabled one has a sentence that says why."""
    stage = Stage(tmp_path)
    run = await brought_to(stage, status)
    buttons = offered(run)
    assert {operation for operation, why in buttons.items() if not why} == ENABLED[status]
    assert len({"pause", "resume"} & set(buttons)) == 1, "it can be paused or resumed, never both"
    controls, record = controls_of(run)
    moves = [button.op for button in controls.buttons(record) if button.op not in OPERATIONS]
    assert moves == (["detach"] if run.id in run._runtime.executions else [])
    for operation, why in buttons.items():
        after = OPERATIONS[operation][run.status]
        if why:
            assert re.match(r"[A-Z].*[a-z)]$", why), why
        if not isinstance(after, RunStatus):
            assert why.lower() == after, "it is refused as the method refuses it"
    await stage.finish(run)


@pytest.mark.anyio
@pytest.mark.parametrize(("status", "operation"), PRESSED, ids=str)
async def test_what_is_enabled_is_done(tmp_path, status, operation):
    """D3: buttons act on the kernel."""
    stage = Stage(tmp_path)
    run = await brought_to(stage, status)
    controls, _ = controls_of(run)
    path = {
        "skip_wait": "wait" if stage.act == "wait" else "first",
        "rerun_from": "first",
        "accept": "first",
    }.get(operation)
    expected = OPERATIONS[operation][run.status]
    controls.do(operation, path)
    if operation == "pause":
        stage.gate.open()  # A7: bodies in flight end
    if operation in ("pause", "cancel"):
        await until(lambda: run.status == expected)
    elif operation == "accept":
        assert run.status == expected
        assert run.id not in run._runtime.executions, "nothing runs"
    elif operation != "skip_wait":
        assert run.id in run._runtime.executions, "a pass has begun"
    elif status == RunStatus.WAITING:
        assert await run == "done"
    await stage.finish(run)


@pytest.mark.anyio
@pytest.mark.parametrize("status", ENABLED)
async def test_what_is_disabled_is_refused_or_changes_nothing(tmp_path, status):
    stage = Stage(tmp_path)
    run = await brought_to(stage, status)
    controls, _ = controls_of(run)
    before = run.status, run.reason
    for operation, why in offered(run).items():
        if why and operation in ("pause", "resume", "cancel", "skip_wait"):
            with contextlib.suppress(RunStateError):
                controls.do(operation, "first")
            assert (run.status, run.reason) == before
    await stage.finish(run)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("status", "main"),
    [
        *((RunStatus.FAILED, ["retry"]), (RunStatus.INTERRUPTED, ["resume"]), (PAUSED, ["resume"])),
        *((RunStatus.COMPLETED, []), (RunStatus.RUNNING, []), (RunStatus.CANCELED, ["resume"])),
    ],
    ids=str,
)
async def test_the_one_that_most_people_want_is_stressed(tmp_path, status, main):
    stage = Stage(tmp_path)
    run = await brought_to(stage, status)
    controls, record = controls_of(run)
    assert [button.op for button in controls.buttons(record) if button.main] == main
    await stage.finish(run)


@pytest.mark.parametrize("operation", ["delete", "start", "", "__init__", "do", None, ["pause"]])
def test_nothing_else_can_be_done(tmp_path, operation):
    """What comes from a front end names an operation of the table, or nothing at all."""
    controls, _ = controls_of(completed(World(tmp_path)))
    with pytest.raises(UsageError, match="no action"):
        controls.do(operation, "first")


@pytest.mark.parametrize("operation", ["skip_wait", "rerun_from"])
@pytest.mark.parametrize("path", [None, ""])
def test_an_action_on_a_task_needs_one(tmp_path, operation, path):
    controls, _ = controls_of(completed(World(tmp_path)))
    with pytest.raises(UsageError, match="no action"):
        controls.do(operation, path)


def completed(world):
    @world.job
    def job(payload, io):
        yield io.run_task("first", world.noting("first"))
        yield io.run_task("second", world.noting("second"))

    world.run(job)
    return world.last(job)


# --- whose run it is ----------------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize("status", [PAUSED, RunStatus.FAILED, RunStatus.CANCELED, RunStatus.INTERRUPTED])
async def test_a_pass_cannot_begin_without_its_job(tmp_path, status):
    """The cell that defines it was not run in this kernel."""
    stage = Stage(tmp_path)
    run = await brought_to(stage, status)
    run._runtime.jobs.clear()
    buttons = offered(run)
    without = {operation for operation, why in buttons.items() if "not defined in this kernel" in why}
    assert without == ENABLED[status] & {"resume", "retry", "rerun_from", "accept"}
    assert "'job'" in buttons["rerun_from"]
    controls, _ = controls_of(run)
    for operation in without:
        with pytest.raises(NotFoundError, match="not defined in this kernel"):
            controls.do(operation, "first")
    assert buttons["cancel"] == ("It is canceled" if status == RunStatus.CANCELED else "")


@pytest.mark.anyio
@pytest.mark.parametrize("status", [RunStatus.RUNNING, RunStatus.WAITING])
async def test_a_run_that_another_kernel_drives_is_left_to_it(tmp_path, monkeypatch, status):
    """C5, C7: what it can be asked for by the store is offered, and the rest is not."""
    stage = Stage(tmp_path)
    run = await stage.bring(status)
    controls, record = controls_of(run)
    monkeypatch.setattr(run._runtime, "executions", {})  # as another kernel sees it, ...
    monkeypatch.setattr(
        controls_module.leases, "is_held", lambda *_: True
    )  # ... which does not hold the lease
    buttons = [*controls.buttons(record), *controls.row_buttons(record)]
    asked = {button.op for button in buttons if not button.why}
    assert asked == {"pause", "cancel", "skip_wait", "attach"}
    whys = [button.why for button in buttons if button.why]
    whys.remove("It is under way" if status == RunStatus.RUNNING else "Nothing has failed")
    if status == RunStatus.RUNNING:
        whys.remove("It is under way; pause() it first")
    assert set(whys) == {"Another kernel drives the run"}
    assert controls.buttons(record)[0].op == "pause"
    monkeypatch.undo()
    await stage.finish(run)


@pytest.mark.anyio
async def test_a_wait_that_nobody_drives_can_be_taken_up(tmp_path, monkeypatch):
    """W2: waiting needs no kernel, but it takes one to go on: the kernel that waited is gone."""
    stage = Stage(tmp_path)
    run = await stage.bring(RunStatus.WAITING)
    controls, record = controls_of(run)
    assert record.holder is not None
    monkeypatch.setattr(run._runtime, "executions", {})
    monkeypatch.setattr(controls_module.leases, "is_held", lambda *_: False)
    first = controls.buttons(record)[0]
    assert (first.op, first.why, first.main) == ("resume", "", True)
    monkeypatch.undo()
    await stage.finish(run)


# --- how much a rerun runs again ----------------------------------------------------------------------

trees = st.recursive(
    st.just([]),
    lambda inner: st.tuples(st.booleans(), st.lists(inner, min_size=1, max_size=3)),
    max_leaves=10,
).filter(lambda tree: tree != [])


def paths_in(tree, above: str = "") -> list[str]:
    _, children = tree or (False, [])
    found = []
    for at, child in enumerate(children):
        path = f"{above}{at}"
        found += [path, *paths_in(child, f"{path}/")]
    return found


def job_of(tree, client, calls: list[str]):
    """A job with tasks like the tree; a node says whether what is in it runs side by side."""

    async def scope(tree, io, above: str) -> None:
        side_by_side, children = tree or (False, [])
        tasks = [io.run_task(str(at), body, child, f"{above}{at}") for at, child in enumerate(children)]
        if side_by_side:
            await asyncio.gather(*tasks)
        else:
            for task in tasks:
                await task

    async def body(tree, path, io):
        calls.append(path)
        io.logger.info("a line", {"in": path})
        await scope(tree, io, f"{path}/")
        return path

    @client.job(id="job")
    async def job(payload, io):
        await scope(tree, io, "")

    return job


def depth(tree) -> int:
    return 1 + max((depth(child) for child in tree[1]), default=0) if tree else 0


@given(trees.filter(lambda tree: depth(tree) <= 5), st.data())
@settings(max_examples=25)
def test_what_is_counted_is_what_runs_again(tmp_path_factory, tree, data):
    """R9, issue 3: rerun from here says first how many tasks it will run again."""
    calls: list[str] = []
    path = data.draw(st.sampled_from(paths_in(tree)))

    async def main():
        job = job_of(tree, World(tmp_path_factory.mktemp("tree")).client, calls)
        run = job.start()
        await run
        assert sorted(calls) == sorted(paths_in(tree))
        calls.clear()
        count, said = controls_of(run)[0].scope_of_rerun(path)
        run.rerun_from(path)
        await run
        return count, said

    count, said = asyncio.run(main())
    assert count == len(calls) == len(set(calls))
    names = said.partition("again: ")[2].partition(" and ")[0].split(", ")
    assert names[0] == path
    assert set(names) <= set(calls)
    assert said.startswith(f"Runs {count} task")


def test_the_first_few_are_named_in_their_order(tmp_path):
    world = World(tmp_path)

    @world.job
    def job(payload, io):
        for n in range(1200):
            yield io.run_task(("t\u202e", n), world.noting(n))

    world.run(job)
    controls, _ = controls_of(world.last(job))
    path = world.last(job).tasks[0].path
    count, said = controls.scope_of_rerun(path)
    assert count == 1200
    assert said.endswith(" and 1,197 more")
    assert re.findall(r"t\\u202e\W+(\d+)", said)[:3] == ["0", "1", "2"], said
    count, said = controls.scope_of_rerun(world.last(job).tasks[-1].path)
    assert said.startswith("Runs 1 task again: t")


@pytest.mark.anyio
async def test_what_failed_around_it_is_counted_too(tmp_path):
    """Its body is called again, to come to the task."""
    world = World(tmp_path)
    child = world.failing("child", ValueError("once"))

    @world.client.job
    async def job(payload, io):
        async def parent(io):
            world.note("parent")
            await io.run_task("child", child)

        await io.run_task("parent", parent)

    run = job.start()
    await outcome(run)
    said = controls_of(run)[0].scope_of_rerun("parent/child")
    assert said == (2, "Runs 2 tasks again: parent/child, parent")
    world.take()
    await run.rerun_from("parent/child")
    assert world.take() == ["parent", "child"]


@pytest.mark.anyio
async def test_a_task_that_runs_can_be_run_again(tmp_path):
    """It has no record yet."""
    world, gate = World(tmp_path), Gate()

    @world.client.job
    async def job(payload, io):
        await io.run_task("before", world.noting("before"))
        await io.run_task("gate", gate.pass_through_async)

    run = job.start()
    await until(gate.reached.is_set)
    controls, _ = controls_of(run)
    assert controls.scope_of_rerun("gate") == (1, "Runs 1 task again: gate")
    assert controls.scope_of_rerun("before") == (2, "Runs 2 tasks again: before, gate")
    gate.open()
    await run


@pytest.mark.parametrize("path", ["", "nowhere", "first/deeper"])
def test_what_has_not_begun_cannot_be_run_again(tmp_path, path):
    controls, _ = controls_of(completed(World(tmp_path)))
    with pytest.raises(TriggerError, match="not begun"):
        controls.scope_of_rerun(path)
