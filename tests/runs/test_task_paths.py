"""A path that is shown can be typed: in errors, in the tree, and in the commands of a run."""

from __future__ import annotations

import asyncio
import re
from collections import Counter

import pytest

from trigger_nb import RunStatus
from trigger_nb._runs.controls import RunControls
from trigger_nb.errors import InvalidOptionError, NotFoundError

ITEMS = [3, 1.5, True, "plain", "https://a.org/b", "a, b", ("x", 1), {"id": 7}, "plain", 3, "x" * 100]


def everything(world, items=ITEMS, failing=()):
    def inner(item):
        world.note(item)
        if item in failing:
            raise ValueError(item)
        return item

    def outer(item, io):
        return (yield io.run_task(("inner", 1), world.body(inner), item))

    @world.job
    def job(payload, io):
        return (yield io.map("work", items, world.body(outer), return_errors=bool(failing)))

    return job


def acted(action):
    """Call a method of a run that begins a pass, and wait for its end."""

    async def act():
        return await action()

    return asyncio.run(act())


def test_each_task_is_found_by_the_path_that_is_shown_and_by_its_items(world):
    """I2, C2: as in errors and details; as a list of keys, in which a map's item stands for its key."""
    job = everything(world)
    world.run(job)
    run = world.last(job)
    for task in run.tasks:
        assert run.task(task.path).path == task.path
        shown = re.fullmatch(r"<task '(.*)': COMPLETED, .*>|<task \"(.*)\": .*>", repr(task))
        assert run.task(shown[1] or shown[2]).path == task.path
    for item in ITEMS:
        assert run.task(["work", item, ("inner", 1)]).output in (
            item,
            list(item) if type(item) is tuple else item,
        )
    assert run.task(["work", ("plain", 2)]).path == "work/~(plain,~i2)"


def test_a_shown_path_of_two_tasks_is_refused_with_both(world):
    """1 and "1" are shown alike; a list of keys and a task's own path tell them apart."""
    job = everything(world, [1, "1", "2"])
    world.run(job)
    run = world.last(job)
    with pytest.raises(
        NotFoundError, match=r"2 tasks whose path is shown as 'work/1': 'work/1', 'work/~\(~i1\)'"
    ):
        run.task("work/1")
    assert (run.task(["work", 1]).path, run.task(["work", "1"]).path) == ("work/~(~i1)", "work/1")
    assert {run.task(task.path).path for task in run.tasks} == {task.path for task in run.tasks}


def test_the_path_in_an_error_can_be_retried(world):
    """The note names it; `retry`, `rerun_from` and the hint in the tree take it."""

    @world.job
    def strict(payload, io):
        return (yield io.map("work", [2, 3], world.body(lambda item: 1 // (item - 3)), max_failures=9))

    error = world.fail(strict)
    (name,) = re.findall("Task '(.*)' failed", error.__notes__[-1])
    run = world.last(strict)
    assert name == "work/3"
    assert f"run.rerun_from('{name}')" in run.tree()
    world.client.job(id="strict")(strict.fn)
    for act in (
        lambda: run.retry([name]),
        lambda: run.rerun_from(name),
        lambda: run.retry(which=[["work", 3]]),
    ):
        with pytest.raises(ExceptionGroup):
            acted(act)


def test_a_display_key_is_part_of_the_shown_path(world):
    @world.job
    def job(payload, io):
        def parent(io):
            return (yield io.run_task("inner", world.noting("inner")))

        return (yield io.run_task("p-1", world.body(parent), display_key="first"))

    world.run(job)
    assert world.last(job).task("first/inner").path == "p-1/inner"


def test_several_tasks_are_rerun_together(world):
    """R9: what they hold, and what started after any of them ended."""

    @world.job
    def job(payload, io):
        for name in "abc":
            yield io.run_task(name, world.noting(name))
        yield io.map("items", range(4), world.body(lambda item: world.note(item)))
        return "end"

    world.run(job)
    world.take()
    run = world.last(job)
    world.client.job(id="job")(job.fn)
    acted(lambda: run.rerun_from(["items", 1], "items/3"))
    assert sorted(world.take()) == [1, 3]
    acted(lambda: run.rerun_from("items/0", "c"))
    assert Counter(map(str, world.take())) == Counter("c0123")
    with pytest.raises(NotFoundError, match="no task 'items/9'; there is 'items/"):
        run.rerun_from("c", "items/9")


def test_runs_of_several_statuses_are_listed(world):
    failing = world.job(
        lambda payload, io: (yield io.run_task("a", world.failing("a", ValueError("no")))), id="fails"
    )
    fine = world.job(lambda payload, io: (yield io.run_task("a", world.noting("a"))), id="fine")
    world.fail(failing)
    world.run(fine)
    client = world.client
    assert [run.job for run in client.runs(status=["FAILED", RunStatus.COMPLETED])] == ["fine", "fails"]
    assert [run.job for run in client.runs(status=("WAITING", "FAILED"))] == ["fails"]
    assert list(fine.runs(status=["FAILED"])) == []
    with pytest.raises(InvalidOptionError, match="not 'DONE'"):
        client.runs(status=["FAILED", "DONE"])


def test_retry_is_offered_for_failures_that_the_code_handled(world):
    """D3: of a completed run; the button does what the offered line says."""
    fails = world.failing("fails", ValueError("once"))

    @world.job
    def handling(payload, io):
        try:
            yield io.run_task("fails", fails)
        except ValueError:
            return "handled"
        return "fine"

    assert world.run(handling) == "handled"
    run = world.last(handling)
    assert 'run.retry(which="all")' in run.tree()
    world.client.job(id="handling")(handling.fn)
    controls = RunControls(world.client.runtime, run.id)
    (retry,) = [button for button in controls.buttons(run._record) if button.op == "retry"]
    assert not retry.why

    async def press():
        controls.do("retry", None)
        return await run

    assert asyncio.run(press()) == "fine"
    (retry,) = [button for button in controls.buttons(run._record) if button.op == "retry"]
    assert retry.why == "Nothing has failed"
