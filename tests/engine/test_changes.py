"""What happens when the code of a task has changed, and what forgetting a result takes with it (rules R6, R9)."""

from __future__ import annotations

import asyncio
import sys
import textwrap
import types

import pytest

from tests.support.worlds import World
from trigger_nb import Reason, TaskStatus
from trigger_nb.errors import InvalidOptionError, NotFoundError

CELL = """
    {async_}def first():
        note("first")
        return {first}

    {async_}def second():
        note("second")
        return {second}

    {async_}def child():
        note("child")
        return {child}

    {async_}def parent(io):
        note("parent")
        own = {parent}
        return own, {await_}io.run_task("child", named("child")), {await_}io.run_task("sibling", second)

    {async_}def job(payload, io):
        a = {await_}io.run_task("first", first{first_options})
        p = {await_}io.run_task("parent", parent{parent_options})
        b = {await_}io.run_task("second", second)
        return a, p, b
"""


class Notebook:
    """Cells of a notebook whose code changes between runs."""

    def __init__(self, world):
        self.world = world
        self.module = types.ModuleType("cells_of_a_test")

    def define(
        self, *, first=1, second=2, child=3, parent=4, first_options="", parent_options="", **job_options
    ):
        source = textwrap.dedent(CELL).format(
            async_="async " if self.world.is_async else "",
            await_="await " if self.world.is_async else "",
            first=first, second=second, child=child, parent=parent, first_options=first_options,
            parent_options=parent_options,
        )  # fmt: skip
        self.module.note = self.world.note
        self.module.named = lambda name: self.module.__dict__[name]  # not by reference: a helper would count
        exec(compile(source, "<cell>", "exec"), self.module.__dict__)
        return self.world.client.job(id="job", **job_options)(self.module.job)


@pytest.fixture
def cells(world, monkeypatch):
    notebook = Notebook(world)
    monkeypatch.setitem(sys.modules, notebook.module.__name__, notebook.module)
    return notebook


def seen(world, job, **options):
    """The output of a run, and why each task ran and what has changed."""

    async def main():
        run = job.start(**options)
        output = await run
        sightings = run._execution.pass_.sightings()
        return output, {path: (each.reason, each.changed) for path, each in sightings.items()}

    output, reasons = asyncio.run(main())
    return output, reasons, world.take()


EVERYTHING = ["first", "parent", "child", "second", "second"]


def test_unchanged_code_is_replayed(world, cells):
    """R6: the cells run again, a comment added."""
    assert world.run(cells.define()) == (1, (4, 3, 2), 2)
    assert world.take() == EVERYTHING
    output, reasons, called = seen(world, cells.define(first="1  # a comment"))
    assert output == (1, (4, 3, 2), 2)
    assert set(reasons.values()) == {(Reason.REPLAYED, "")}
    assert called == []


def test_a_changed_task_is_kept_and_marked(world, cells):
    """R6: by default a side effect is never repeated unasked."""
    world.run(cells.define())
    world.take()
    output, reasons, called = seen(world, cells.define(first=10))
    assert output == (1, (4, 3, 2), 2)
    assert reasons["first"] == (Reason.REPLAYED, "code")
    assert reasons["second"] == (Reason.REPLAYED, "")
    assert called == []


def test_only_the_changed_task_runs(world, cells):
    """R6: `on_change="only"`; what came after it is kept."""
    world.run(cells.define())
    world.take()
    output, reasons, called = seen(world, cells.define(first=10), on_change="only")
    assert output == (10, (4, 3, 2), 2)
    assert reasons["first"] == (Reason.CHANGED, "code")
    assert called == ["first"]
    assert seen(world, cells.define(first=10))[2] == []


def test_the_changed_task_and_what_started_after_it_run(world, cells):
    """R6: `on_change="rerun"`."""
    world.run(cells.define())
    world.take()
    output, reasons, called = seen(world, cells.define(first=10), on_change="rerun")
    assert output == (10, (4, 3, 2), 2)
    assert called == EVERYTHING
    assert reasons["first"] == (Reason.CHANGED, "code")
    assert reasons["parent"] == (Reason.FORCED, "")


def test_what_came_before_the_changed_task_is_kept(world, cells):
    """R6, R9: "rerun" forgets only what first started after it."""
    world.run(cells.define())
    world.take()
    _, reasons, called = seen(world, cells.define(parent=40), on_change="rerun")
    assert called == ["parent", "second"]
    assert reasons["parent/child"] == (Reason.REPLAYED, "")


def test_a_changed_descendant_is_found_before_its_parent_is_replayed(world, cells):
    """R6: the parent's own code is the same; its replay would hide the change."""
    world.run(cells.define())
    world.take()
    output, reasons, called = seen(world, cells.define(child=30))
    assert output == (1, (4, 3, 2), 2)
    assert reasons["parent"] == (Reason.REPLAYED, "subtask")
    assert called == []
    output, reasons, called = seen(world, cells.define(child=30), on_change="only")
    assert output == (1, (4, 30, 2), 2)
    assert called == ["parent", "child"]
    assert reasons["parent/child"] == (Reason.CHANGED, "code")
    assert reasons["parent/sibling"] == (Reason.REPLAYED, "")


def test_a_changed_descendant_takes_what_came_after_it_along(world, cells):
    """R6, R9: with "rerun", in its scope and after its parent."""
    world.run(cells.define())
    world.take()
    output, _, called = seen(world, cells.define(child=30), on_change="rerun")
    assert output == (1, (4, 30, 2), 2)
    assert called == ["parent", "child", "second", "second"]


def test_the_option_of_a_task_is_over_the_jobs_and_the_clients(world, cells):
    """R6: task over job over client."""
    world.options = {"on_change": "rerun"}
    world.run(cells.define())
    world.take()
    assert seen(world, cells.define(first=10, on_change="keep"))[2] == []
    assert seen(world, cells.define(first=10, on_change="keep", first_options=', on_change="only"'))[2] == [
        "first"
    ]
    assert seen(world, cells.define(first=11))[2] == EVERYTHING


def test_a_kept_descendant_does_not_make_its_parent_run_at_every_pass(world, cells):
    """R6: the child says "keep" for itself, so its change is no reason for its parent either."""
    options = {"parent_options": "", "on_change": "only"}
    kept = 'io.run_task("child", named("child"), on_change="keep")'
    cell = CELL.replace('io.run_task("child", named("child"))', kept)

    def define(**values):
        global CELL
        before, CELL = CELL, cell
        try:
            return cells.define(**values, **options)
        finally:
            CELL = before

    world.run(define())
    world.take()
    for _ in range(2):
        output, _, called = seen(world, define(child=30))
        assert output == (1, (4, 3, 2), 2)
        assert called == []


def test_changed_params_are_a_change(world):
    """R6: `args` are the default params."""

    def define(user):
        @world.job(id="job", on_change="only")
        def job(payload, io):
            return (yield io.run_task("fetch", world.body(lambda user: user, note="fetch"), user))

        return job

    assert world.run(define("ana")) == "ana"
    _, reasons, called = seen(world, define("ben"))
    assert reasons["fetch"] == (Reason.CHANGED, "params")
    assert called == ["fetch", "fetch"]
    assert seen(world, define("ben"))[2] == []


def test_params_stand_in_for_args(world):
    """R6: `params=` says what counts."""

    def define(token, params):
        @world.job(id="job", on_change="only")
        def job(payload, io):
            body = world.body(lambda token: token, note="fetch")
            return (yield io.run_task("fetch", body, token, params=params))

        return job

    assert world.run(define("token-1", {"user": 1})) == "token-1"
    assert world.run(define("token-2", {"user": 1})) == "token-1"
    assert world.run(define("token-2", {"user": 2})) == "token-2"
    assert world.take() == ["fetch", "fetch"]


def test_our_own_bodies_do_not_change(world):
    """R6: another version of this package is no reason to draw another random number."""

    @world.job(on_change="rerun")
    def job(payload, io):
        yield io.random("random")
        yield io.uuid("uuid")
        yield io.now("now")
        yield io.store.run.get("get", "x")
        yield io.yield_("checkpoint")

    world.run(job)
    records = world.client.runtime.task_records(world.last(job).id)
    assert {record.path: record.code for record in records} == dict.fromkeys(
        ["random", "uuid", "now", "get", "checkpoint"], ""
    )


def test_the_generation_rises_only_for_a_completed_result(world, cells):
    """I6, R9: a changed task that runs again has another idempotency key; one that never completed keeps it."""
    world.run(cells.define())
    run = world.last(cells.define(first=10, on_change="only"))
    before = run.task("first").idempotency_key
    world.run(cells.define(first=10, on_change="only"))
    assert run.task("first").generation == 1
    assert run.task("first").idempotency_key != before
    assert run.task("second").generation == 0


def test_a_value_that_is_no_option_is_refused(world, cells):
    """R6: "keep", "only" or "rerun"."""
    with pytest.raises(InvalidOptionError, match="rerun"):
        world.run(cells.define(), on_change="always")


# --- R9: rerun_from -----------------------------------------------------------------------------------


def rerun(world, job, path):
    async def main():
        run = job.runs()[0].rerun_from(path)
        output = await run
        sightings = run._execution.pass_.sightings()
        return output, {path: each.reason for path, each in sightings.items()}

    output, reasons = asyncio.run(main())
    return output, reasons, world.take()


def test_rerun_from_a_task(world, cells):
    """R9: it, what is in it, and what first started after it ended."""
    job = cells.define()
    world.run(job)
    world.take()
    _, reasons, called = rerun(world, job, "parent")
    assert called == ["parent", "child", "second", "second"]
    assert reasons == {
        "first": Reason.REPLAYED,
        "parent": Reason.FORCED,
        "parent/child": Reason.FORCED,
        "parent/sibling": Reason.FORCED,
        "second": Reason.FORCED,
    }
    _, _, called = rerun(world, job, "second")
    assert called == ["second"]


def test_rerun_from_a_child_opens_its_parents(world, cells):
    """R9: their bodies run, their other children are kept."""
    job = cells.define()
    world.run(job)
    world.take()
    _, reasons, called = rerun(world, job, "parent/sibling")
    assert called == ["parent", "second", "second"]
    assert reasons["parent/child"] == Reason.REPLAYED
    assert reasons["parent/sibling"] == Reason.FORCED


def test_siblings_that_overlapped_keep_their_results(world):
    """R9: by ordinals of start and end, not by clocks (the clock stands still here)."""

    def one(io, name):
        first = yield io.run_task(f"{name}-1", world.noting(f"{name}-1"))
        second = yield io.run_task(f"{name}-2", world.noting(f"{name}-2"))
        return first, second

    @world.job
    def job(payload, io):
        got = yield io.parallel("both", ["a", "b"], body)
        return got, (yield io.run_task("after", world.noting("after")))

    def with_io(item, io):
        return (yield from one(io, item))

    body = world.body(with_io)
    world.run(job)
    world.take()
    _, _, called = rerun(world, job, "both/0/a-1")
    assert called == ["a-1", "a-2", "after"]


def test_what_overlapped_is_kept_after_a_restart_too(world):
    """R9: "first started": a task that was started again in a later pass does not count as younger."""
    from tests.support.worlds import PATIENCE, Gate

    gate = Gate()
    fails = world.failing("fails", OSError("once"))

    def slow(io):
        gate.reached.set()
        return (yield io.run_task("fails", fails))

    def long(io):
        if not gate.reached.wait(PATIENCE):
            raise AssertionError
        return "long"

    def part(io, name, body):
        return (yield io.run_task(name, body))

    if not world.is_async:

        @world.job
        def job(payload, io):
            def body(io):
                return (yield from slow(io))

            return (yield world.gather(part(io, "slow", world.body(body)), part(io, "long", long)))

        world.fail(job)
        assert world.run(job) == ["fails", "long"]
        world.take()
        rerun(world, job, "long")
        assert world.take() == []


def test_rerun_from_nothing_names_what_there_is(world, cells):
    """R9: NotFoundError with the paths that are close."""
    job = cells.define()
    world.run(job)
    with pytest.raises(NotFoundError, match="'first'"):
        rerun(world, job, "frist")


def test_generations_outlive_what_is_forgotten(world, cells):
    """R9, I6: in a new kernel, before the task has run again, and after."""
    job = cells.define()
    world.run(job)

    async def forget():
        run = job.runs()[0].rerun_from("second")
        run.cancel()
        await asyncio.gather(_await(run), return_exceptions=True)

    async def _await(run):
        await run

    asyncio.run(forget())
    world.new_kernel()
    job = cells.define()
    task = world.last(job).task("second")
    assert (task.status, task.generation) == (TaskStatus.PENDING, 1)
    world.run(job)
    assert world.last(job).task("second").generation == 1


@pytest.mark.anyio
async def test_other_items_of_a_parallel_are_always_kept(tmp_path):
    """R9: though they may have started after this one ended."""
    world = World(tmp_path)
    done = asyncio.Event()

    async def item(item):
        world.note(item)
        if item:
            await done.wait()
        else:
            done.set()
        return item

    @world.client.job
    async def job(payload, io):
        return await io.parallel("all", [0, 1, 2], item)

    await job.run()
    world.take()
    assert await job.runs()[0].rerun_from("all/1") == [0, 1, 2]
    assert world.take() == [1]
