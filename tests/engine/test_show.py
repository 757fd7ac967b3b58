"""`task.show`, and what is shown of results: recorded with the attempt, carried along, read without the value (issue 15)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import pytest
from matplotlib.figure import Figure
from pydantic import BaseModel

from tests.support import reuse_bodies as bodies
from tests.support.worlds import Gate, World, until
from trigger_nb import TaskStatus
from trigger_nb._records.feed import Showed
from trigger_nb._records.records import TaskRecord
from trigger_nb._runs.showing import make_model
from trigger_nb._view.render import details

mpl.use("Agg")
ROOT = Path(__file__).parents[2]


class User(BaseModel):
    id: int
    email: str = "ana@example.org"


def frame(rows: int = 30) -> pd.DataFrame:
    return pd.DataFrame({"id": range(rows), "name": [f"n{at}" for at in range(rows)]})


def figure() -> Figure:
    made = Figure()
    made.add_subplot().plot([1, 2])
    return made


def displays(world: World, run, path: str) -> dict:
    """The displays in the details of a task, by label, as a page gets them."""
    model = make_model(world.client.runtime, run.id)
    sections = details.sections(model, model.rows[path])
    return {each.label: each.display for each in sections if each.display is not None}


def stored(world: World, run, path: str) -> TaskRecord:
    return TaskRecord.loads(world.client.runtime.store.get(f"{run.id}/{path}"))


def test_what_a_body_shows_is_in_the_details_and_comes_back_from_the_store(world):
    """In another kernel too: a table, a picture and a text, in order; and nothing runs again for it."""

    def body(task):
        world.note("body")
        task.show(frame(), label="rows")
        task.show(figure())
        task.show("<b>plain</b>", label="note")
        return 3

    @world.job
    def job(payload, io):
        return (yield io.run_task("a", world.body(body)))

    assert world.run(job) == 3
    for _ in range(2):
        run = world.last(job)
        shown = displays(world, run, "a")
        assert list(shown) == ["rows", "Shown", "note"]
        assert shown["rows"].table.rows[1] == ("1", "n1")
        assert shown["rows"].table.more == "20 more rows"
        assert shown["Shown"].picture.url.startswith("data:image/png;base64,")
        assert shown["note"].text == "<b>plain</b>"
        assert "n1" in run.task("a").shown
        assert world.run(job) == 3
        world.new_kernel()
        job = world.again(job)
    assert world.take() == ["body"]


def test_a_failed_attempt_keeps_what_it_has_shown_and_the_next_one_begins_anew(world):
    """What was shown before the error is the reason to look."""
    errors = [ValueError("negative"), None]

    def body(task):
        error = errors.pop(0)
        if error is not None:
            task.show(frame(), label="bad rows")
            raise error
        return "fine"

    @world.job
    def job(payload, io):
        return (yield io.run_task("a", world.body(body)))

    assert str(world.fail(job)) == "negative"
    run = world.last(job)
    assert run.task("a").status == TaskStatus.ERRORED
    assert list(displays(world, run, "a")) == ["bad rows"]
    assert world.run(job) == "fine"
    assert displays(world, run, "a") == {}

    @world.job(id="retried")
    def retried(payload, io):
        return (yield io.run_task("a", world.body(body), retry=2))

    errors[:] = [ValueError("negative"), None]
    assert world.run(retried) == "fine"
    assert displays(world, world.last(retried), "a") == {}


def test_an_attempt_keeps_twenty_pieces(world):
    def body(task):
        for number in range(25):
            task.show(f"text {number}", label=f"{number}")

    @world.job
    def job(payload, io):
        yield io.run_task("a", world.body(body))

    world.run(job)
    shown = displays(world, world.last(job), "a")
    assert len(shown) == 21
    assert shown["Shown"].about == "5 more, which are not kept"


@pytest.mark.anyio
async def test_what_is_shown_is_seen_while_the_body_runs(async_world):
    world, gate = async_world, Gate()

    def body(task):
        task.show(frame(), label="so far")
        gate.pass_through()

    @world.job
    def job(payload, io):
        yield io.run_task("a", body)

    run = job.start()
    events = world.client.runtime.feed(run.id).subscribe()
    await until(gate.reached.is_set)
    model = make_model(world.client.runtime, run.id)
    taken = events.take(1000)
    model.apply(taken)
    assert [each.path for each in taken if isinstance(each, Showed)] == ["a"]
    sections = details.sections(model, model.rows["a"])
    assert [each.label for each in sections if each.display] == ["so far"]
    gate.open()
    await run
    model.apply(events.take(1000))
    assert model.rows["a"].pieces is None  # the record has them
    assert list(displays(world, run, "a")) == ["so far"]


def test_results_show_themselves(world):
    """Frames, parts, lists of models, long lists and figures that cannot be stored."""
    long = [{"id": number, "text": "x" * 100} for number in range(2000)]

    @world.job
    def job(payload, io):
        yield io.run_task("frame", world.body(frame))
        yield io.run_task("parts", world.body(lambda: {"train": frame(), "n": 1}))
        yield io.run_task("users", world.body(lambda: [User(id=1), User(id=2)]), redact=["*.email"])
        yield io.run_task("long", world.body(lambda: long))
        yield io.run_task("number", world.body(lambda: 1))
        return (yield io.run_task("figure", world.body(figure), repeatable=True)) is None or long

    world.run(job)
    run = world.last(job)
    assert displays(world, run, "frame")["Output"].about == "DataFrame 30 × 2"
    assert displays(world, run, "parts")["Output train"].table.columns == ("id", "name")
    assert displays(world, run, "users")["Output"].table.rows == (("1", "•••"), ("2", "•••"))
    assert displays(world, run, "long")["Output"].about.startswith("list of 2,000 · ")
    assert displays(world, run, "figure")["Output"].picture is not None
    assert displays(world, run, "number") == {}
    assert stored(world, run, "users").shown == []  # its record says it all
    assert "list of 2,000 · " in str(run.tree())
    assert "in a file" not in str(run.tree())
    assert "1,990 more rows" in run.export_html(world.directory / "out.html").read_text("utf-8")


def test_a_run_that_returns_a_table_shows_its_first_rows_as_text(world):
    @world.job
    def job(payload, io):
        return (yield io.run_task("frame", world.body(frame)))

    world.run(job)
    lines = str(world.last(job).tree()).splitlines()
    at = next(number for number, line in enumerate(lines) if "→ DataFrame 30 × 2" in line)
    assert [line.split() for line in lines[at + 1 : at + 5 : 3]] == [["id", "name"], ["1", "n1"]]


def test_a_fork_and_a_result_by_hand_have_their_own(world):
    """R9: a fork has the pictures of what it copies, also when the run itself is gone."""

    @world.job
    def job(payload, io):
        def body(task):
            task.show(figure(), label="plot")
            return 1

        yield io.run_task("plot", world.body(body))
        return (yield io.run_task("b", world.body(lambda: 2)))

    world.run(job)
    run = world.last(job)
    fork = run.fork("b", output=frame())
    run.delete()
    assert displays(world, fork, "plot")["plot"].picture is not None
    assert displays(world, fork, "b")["Output"].about == "DataFrame 30 × 2"
    fork.set_output("plot", frame(3))
    assert list(displays(world, fork, "plot")) == ["Output"]
    assert displays(world, fork, "plot")["Output"].about == "DataFrame 3 × 2"


def test_a_reused_result_brings_its_pictures(tmp_path):
    """Deleting the run that it comes from takes nothing away."""
    bodies.take()
    world = World(tmp_path / "store")

    @world.client.job(id="first")
    async def first(payload, io):
        return await io.run_task("a", bodies.shows, reuse="client")

    @world.client.job(id="second")
    async def second(payload, io):
        return await io.run_task("a", bodies.shows, reuse="client")

    assert (first.run_sync({}), second.run_sync({})) == (7, 7)
    assert bodies.take() == ["shows"]
    first.runs()[0].delete()
    run = second.runs()[0]
    assert run.task("a").reused_from is not None
    assert displays(world, run, "a")["plot"].picture is not None
    world.new_kernel()


def test_accepting_a_change_keeps_what_is_shown(tmp_path):
    world = World(tmp_path / "store")

    def before(task):
        task.show(frame(), label="rows")
        return 1

    def after(task):
        task.show(frame(), label="rows")
        return 2

    def made(body):
        @world.client.job(id="job")
        async def job(payload, io):
            return await io.run_task("a", body)

        return job

    made(before).run_sync({})
    job = made(after)
    job.run_sync({})
    run = job.runs()[0]
    assert run.task("a").changed
    run.accept()
    assert list(displays(world, run, "a")) == ["rows"]
    world.new_kernel()


def test_a_lost_picture_is_said_and_loses_nothing_else(world):
    """S5."""

    def body(task):
        task.show(figure(), label="plot")
        return 1

    @world.job
    def job(payload, io):
        return (yield io.run_task("a", world.body(body)))

    world.run(job)
    run = world.last(job)
    (file,) = (path for path in world.directory.rglob("*") if len(path.name) == 64)
    file.write_bytes(b"<svg onload=alert(1)>")
    world.new_kernel()
    job = world.again(job)
    display = displays(world, run, "a")["plot"]
    assert (display.picture, display.about) == (None, "Figure · its picture is lost")
    assert world.run(job) == 1


def test_outside_of_a_run_there_is_nothing_to_show_it_in(world):
    """`run.task(path).call()` calls the body alone."""

    def body(number, task):
        task.show(frame(), label="rows")
        if number < 0:
            raise ValueError("negative")
        return number

    @world.job
    def job(payload, io):
        return (yield io.run_task("a", body, -1))

    assert str(world.fail(job)) == "negative"
    with pytest.raises(ValueError, match="negative"):
        world.last(job).task("a").call()


OLD = """
import json, sys
from trigger_nb import TriggerClient
from trigger_nb._runs.showing import make_model
from trigger_nb._view.render import details

client = TriggerClient("world", dir=sys.argv[1], display=False)
(run,) = client.runs()
model = make_model(client.runtime, run.id)
about = [each.display.about for each in details.sections(model, model.rows["frame"]) if each.display]
run.export_html(sys.argv[2])
print(json.dumps([about, str(run.tree()), [name for name in ("pandas", "numpy", "pyarrow") if name in sys.modules]]))
"""


def test_a_stored_table_is_shown_without_its_library(tmp_path):
    """No library is imported and no value decoded."""
    world = World(tmp_path / "store")

    @world.client.job(id="job")
    async def job(payload, io):
        return await io.run_task("frame", frame)

    job.run_sync({})
    world.new_kernel()
    command = [sys.executable, "-c", OLD, str(world.directory), str(tmp_path / "out.html")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    about, tree, loaded = json.loads(done.stdout)
    assert (about, loaded) == (["DataFrame 30 × 2"], [])
    assert "n4" in tree
    assert "<td>n9</td>" in (tmp_path / "out.html").read_text("utf-8")
