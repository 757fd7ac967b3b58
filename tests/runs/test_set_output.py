"""Issue 15, A failed task in a cell: `run.set_output` records a result by hand, in place."""

from __future__ import annotations

import pickle
import threading
from contextlib import suppress

import pytest
from pydantic import BaseModel

from tests.support.worlds import Gate, World, until
from trigger_nb import Reason, RunStatus, TaskStatus
from trigger_nb._keys import idempotency_key
from trigger_nb.errors import (
    InvalidOptionError,
    MapError,
    NotFoundError,
    NotStorableError,
    RunLockedError,
)
from trigger_nb.testing import FakeClock


class Title(BaseModel):
    """A result of a declared type."""

    text: str


def crawl(world):
    """A job that maps over pages, of which one fails, and counts what came."""

    def fetch(page):
        world.note(page)
        if page == "p2":
            raise ValueError("no such page")
        return page.upper()

    @world.job
    def job(payload, io):
        pages = yield io.map("fetch", ["p1", "p2", "p3"], fetch)
        return (yield io.run_task("join", world.body(lambda pages: "-".join(pages), note="join"), pages))

    return job


def test_a_failed_item_of_a_map_is_set_by_hand_and_the_run_goes_on(world):
    """In another kernel too: no other item runs again, and the record says that a person set it."""
    job = crawl(world)
    assert isinstance(world.fail(job), MapError)
    assert sorted(world.take()) == ["p1", "p2", "p3"]
    world.new_kernel()
    job = crawl(world)
    run = world.last(job)
    assert run.set_output(["fetch", "p2"], "typed") is run
    assert world.take() == []
    assert run.status == RunStatus.FAILED
    task = run.task(["fetch", "p2"])
    assert (task.status, task.output, task.error) == (TaskStatus.COMPLETED, "typed", None)
    assert task.inputs.args == ("p2",)
    world.new_kernel()
    job = crawl(world)
    assert world.run(job) == "P1-typed-P3"
    assert world.take() == ["join"]
    run = world.last(job)
    assert run.status == RunStatus.COMPLETED
    assert run.task(["fetch", "p2"]).reason == Reason.REPLAYED
    assert run.task(["fetch", "p2"]).set_by_hand == task.set_by_hand is not None
    assert run.task(["fetch", "p1"]).set_by_hand is None


def test_what_is_set_by_hand_says_so_wherever_it_is_shown(world, tmp_path):
    """In the text tree, in the HTML with its details, and in the row of a large map, which does not fold it."""
    job = crawl(world)
    world.fail(job)
    run = world.last(job).set_output(["fetch", "p2"], "typed")
    line = next(line for line in run.tree().splitlines() if "p2" in line)
    assert "✔" in line
    assert "set by hand" in line
    page = run.export_html(tmp_path / "run.html").read_text(encoding="utf-8")
    assert page.count("set by hand") >= 2
    assert "run.set_output(...)" in page


def test_the_time_is_that_of_the_setting(tmp_path):
    world = World(tmp_path)
    world.clock = FakeClock()
    job = crawl(world)
    world.fail(job)
    world.clock.advance(7200)
    run = world.last(job).set_output(["fetch", "p2"], "typed")
    assert run.task(["fetch", "p2"]).set_by_hand.timestamp() == pytest.approx(world.clock.time(), abs=1)


def test_counts_of_the_run_follow(world):
    """The list of runs does not say that a task failed which is mended."""
    job = crawl(world)
    world.fail(job)
    run = world.last(job)
    assert run._record.counts == {"COMPLETED": 2, "ERRORED": 1}
    run.set_output(["fetch", "p2"], "typed")
    assert "ERRORED" not in {each.status for each in run.tasks if each.kind != "map"}
    world.run(job)
    assert world.last(job)._record.counts == {"COMPLETED": 4}


# Who follows ------------------------------------------------------------------------------------------


def handled(world, **options):
    """A job that handles the failure of a task, and goes on."""

    @world.job(**options)
    def job(payload, io):
        try:
            text = yield io.run_task("a", world.failing("a", *[ValueError("no")] * 9))
        except ValueError:
            text = "none"
        return (yield io.run_task("b", world.body(lambda text: f"b of {text}", note="b"), text))

    return job


@pytest.mark.parametrize(
    ("on_change", "output", "calls"),
    [("keep", "b of none", []), ("only", "b of by hand", ["b"]), ("rerun", "b of by hand", ["b"])],
)
def test_who_follows_is_decided_as_after_any_change(world, on_change, output, calls):
    """R6: by `on_change=` of the job: the results of what came after are kept, or these tasks run again."""
    job = handled(world, on_change=on_change)
    assert world.run(job) == "b of none"
    world.take()
    world.last(job).set_output("a", "by hand")
    assert world.take() == []
    assert world.run(job) == output
    assert world.take() == calls


def test_rerun_reaches_a_task_with_the_same_params(world):
    """R6, R9: "rerun" means whatever first started after it; "only" what has changed itself."""

    def define(on_change):
        @world.job(id="job", on_change=on_change)
        def job(payload, io):
            yield io.run_task("a", world.noting("a"))
            return (yield io.run_task("b", world.noting("b")))

        return job

    for on_change, calls in (("only", []), ("rerun", ["b"])):
        job = define(on_change)
        world.run(job)
        world.take()
        world.last(job).set_output("a", "by hand")
        assert world.run(job) == "b"
        assert world.take() == calls


def test_the_bodies_around_it_run_again(world):
    """They had its result; the other subtasks are replayed."""

    def outer(io):
        world.note("outer")
        one = yield io.run_task("one", world.noting("one"))
        two = yield io.run_task("two", world.noting("two"))
        return one + two

    body = world.body(outer)

    @world.job
    def job(payload, io):
        return (yield io.run_task("outer", body))

    assert world.run(job) == "onetwo"
    world.take()
    world.last(job).set_output("outer/one", "1")
    assert world.run(job) == "1two"
    assert world.take() == ["outer"]


def test_a_task_with_failed_subtasks_replaces_them(world):
    """Their failures are none of the run any more, and their edited code does not count for it."""

    def outer(io):
        yield io.run_task("one", world.noting("one"))
        return (yield io.run_task("two", world.failing("two", *[ValueError("no")] * 9)))

    body = world.body(outer)

    @world.job
    def job(payload, io):
        return (yield io.run_task("outer", body))

    world.fail(job)
    world.take()
    run = world.last(job).set_output("outer", "whole")
    assert "ERRORED" not in run._record.counts
    assert world.run(job, on_change="only") == "whole"
    assert world.take() == []


def test_a_result_is_replaced_and_can_be_set_again(world):
    """I6: a completed result that is forgotten on purpose begins a generation."""
    job = crawl(world)
    world.fail(job)
    run = world.last(job)
    failed = run.task(["fetch", "p2"]).idempotency_key
    run.set_output(["fetch", "p2"], "one")
    assert run.task(["fetch", "p2"]).idempotency_key == failed
    run.set_output(["fetch", "p2"], "two").set_output(["fetch", "p1"], None)
    assert run.task(["fetch", "p2"]).generation == 1
    assert run.task(["fetch", "p2"]).idempotency_key == idempotency_key(run.id, "fetch/p2", 1)
    assert run.task(["fetch", "p1"]).output is None
    run.set_output(["fetch", "p1"], "P1")
    assert world.run(job) == "P1-two-P3"


def test_a_rerun_replaces_it_by_what_the_body_returns(world):
    job = handled(world)
    world.run(job)
    run = world.last(job).set_output("b", "by hand")
    assert world.run(job) == "by hand"
    world.take()
    with suppress(Exception):
        run.rerun_from("b")
    assert world.run(job) == "b of none"
    assert world.take() == ["b"]
    assert run.task("b").set_by_hand is None


# Values -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [{"a": (1, 2)}, "x" * 50_000, b"bytes" * 20_000, Title(text="t")])
def test_values_of_any_kind(world, value):
    job = handled(world)
    world.run(job)
    run = world.last(job).set_output("b", value)
    world.new_kernel()
    assert world.run(handled(world)) == value
    assert run.task("b").output == value


def test_a_value_is_validated_as_the_bodys_would_be(world):
    """S3: into the declared type."""

    def title() -> Title:
        raise ValueError("no")

    @world.job
    def job(payload, io):
        return (yield io.run_task("t", title))

    world.fail(job)
    world.last(job).set_output("t", {"text": "typed"})
    assert world.run(job) == Title(text="typed")


def test_a_task_with_pickled_results(world):
    """S2: it is signed for this place, as the body's is."""

    @world.job
    def job(payload, io):
        return (yield io.run_task("p", world.failing("p", ValueError("no")), codec="pickle"))

    world.fail(job)
    world.last(job).set_output("p", pickle.PickleBuffer)
    world.new_kernel()

    @world.job(id="job")
    def again(payload, io):
        return (yield io.run_task("p", world.noting("p"), codec="pickle"))

    assert world.run(again) is pickle.PickleBuffer
    world.last(again).set_output("p", 1.5)
    assert world.run(again) == 1.5


def test_a_value_that_cannot_be_stored_changes_nothing(world):
    job = crawl(world)
    world.fail(job)
    run = world.last(job)
    before = dict(world.client.runtime.store.select(run.id))
    with pytest.raises(NotStorableError):
        run.set_output(["fetch", "p2"], threading.Lock())
    assert dict(world.client.runtime.store.select(run.id)) == before


def test_a_map_and_a_task_that_is_not_there_are_refused(world):
    job = crawl(world)
    world.fail(job)
    run = world.last(job)
    with pytest.raises(InvalidOptionError, match="no output of its own"):
        run.set_output("fetch", [])
    with pytest.raises(NotFoundError, match="fetch/p2"):
        run.set_output("fetch/p4", 1)


def test_a_wait_can_be_set(world):
    """It counts as ended."""

    body = world.failing("a", ValueError("no"))

    @world.job
    def job(payload, io):
        yield io.wait("w", seconds=1)
        return (yield io.run_task("a", body))

    world.fail(job)
    world.last(job).set_output("w", None)
    assert world.run(job) == "a"
    assert world.last(job).task("w").set_by_hand is not None


# Runs under way ---------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_of_a_run_under_way_the_pass_ends_first(tmp_path):
    """I7: as with `rerun_from`; what is set while the body runs wins over what that returns."""
    world, gate = World(tmp_path), Gate()
    body = world.gated("slow", gate, "of the body", in_thread=False)

    @world.client.job
    async def job(payload, io):
        first = await io.run_task("first", world.noting("first"))
        return first, await io.run_task("slow", body)

    run = job.start(display=False)
    await until(gate.reached.is_set)
    run.set_output("first", "by hand")
    gate.open()
    assert await run == ("by hand", "of the body")
    assert run.task("first").set_by_hand is not None


def test_another_kernel_refuses(tmp_path, world, monkeypatch):
    """C5: as other controls do."""
    job = crawl(world)
    world.fail(job)
    run = world.last(job)

    def locked(*_args):
        raise RunLockedError("another kernel drives it")

    monkeypatch.setattr("trigger_nb._store.lease.acquire", locked)
    with pytest.raises(RunLockedError):
        run.set_output(["fetch", "p2"], "typed")
    assert run.task(["fetch", "p2"]).status == TaskStatus.ERRORED
