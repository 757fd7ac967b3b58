"""The display of a run in a notebook: refreshed in place, bounded, and never a danger to the run."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from trigger_nb._feed import Feed, Saved, SavedRun, Seen
from trigger_nb._records import Reason, RunRecord, RunStatus, TaskRecord
from trigger_nb.view import html, text
from trigger_nb.view.model import RunModel
from trigger_nb.view.notebook import NotebookView, in_notebook

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[1]
T = 1_700_000_000.0


class Clock:
    """It stands still, so that nothing but events changes what is drawn."""

    def time(self) -> float:
        return T + 5

    async def sleep_until(self, when: float) -> None:
        raise NotImplementedError


class Screen:
    """Takes what is published."""

    def __init__(self) -> None:
        self.drawn: list[tuple[dict[str, str], str, bool]] = []
        self.changed = asyncio.Event()
        self.loop = asyncio.get_running_loop()
        self.fault: Exception | None = None

    def __call__(self, bundle, display_id, update) -> None:
        if self.fault is not None:
            raise self.fault
        self.drawn.append((dict(bundle), display_id, update))
        self.loop.call_soon_threadsafe(self.changed.set)

    @property
    def text(self) -> str:
        return self.drawn[-1][0]["text/plain"]

    async def shows(self, what: str) -> None:
        async with asyncio.timeout(20):
            while what not in self.text:
                self.changed.clear()
                await self.changed.wait()


def run(status: str, **fields) -> RunRecord:
    return RunRecord(id="run_1", job="job", status=status, started_at=T, **fields)


def done(path: str, started: int = 1) -> list[Seen | Saved]:
    record = TaskRecord(path=path, started=started, started_at=T, ended_at=T + 1)
    return [Seen(path, Reason.NEW), Saved(record)]


@pytest.fixture
async def stage():
    """A model, its feed and a screen, with a view on them."""
    model, feed, screen = RunModel(run("RUNNING"), clock=Clock()), Feed(), Screen()
    view = NotebookView(model, feed, asyncio.get_running_loop(), publish=screen)
    yield view, model, feed, screen
    view.close()


async def test_it_is_drawn_once_and_then_updated_in_place(stage):
    view, _, feed, screen = stage
    view.show()
    for event in done("a"):
        feed.emit(event)
    await screen.shows("✔ a")
    ids = {display_id for _, display_id, _ in screen.drawn}
    assert len(ids) == 1
    assert [update for *_, update in screen.drawn] == [False, *[True] * (len(screen.drawn) - 1)]
    assert set(screen.drawn[-1][0]) == {"text/html", "text/plain"}


async def test_each_display_has_its_own_id(stage):
    view, model, feed, screen = stage
    other = NotebookView(model, feed, asyncio.get_running_loop(), publish=screen)
    view.show()
    other.show()
    assert len({display_id for _, display_id, _ in screen.drawn}) == 2
    other.close()


async def test_a_display_that_hands_over_does_not_look_stuck(stage):
    view, model, feed, screen = stage
    view.show()
    view.hand_over()
    drawn, _, is_update = screen.drawn[-1]
    assert is_update
    assert drawn["text/plain"] == "job · run_1 · the tree is where the run was last shown"
    assert "the tree is where the run was last shown" in drawn["text/html"]
    for event in done("a"):
        feed.emit(event)
    view.flush()
    assert "✔ a" not in screen.text


async def test_a_display_of_a_run_that_ended_keeps_its_tree_when_it_hands_over(stage):
    view, _, feed, screen = stage
    view.show()
    feed.emit(SavedRun(run("COMPLETED")))
    view.flush()
    feed.emit(SavedRun(run("RUNNING")))  # the next pass, which the other display shows
    view.hand_over()
    assert "COMPLETED" in screen.text


async def test_a_batch_of_events_is_one_drawing(stage):
    view, _, feed, screen = stage
    view.show()
    for at in range(5000):
        for event in done(f"t{at}", at + 1):
            feed.emit(event)
    await screen.shows("5,000 completed")
    assert len(screen.drawn) == 2


async def test_events_may_come_from_any_thread(stage):
    view, _, feed, screen = stage
    view.show()
    threads = [
        threading.Thread(target=lambda at=at: [feed.emit(event) for event in done(f"t{at}")])
        for at in range(20)
    ]
    for thread in threads:
        thread.start()
    await screen.shows("20 completed")
    for thread in threads:
        thread.join()


async def test_the_end_is_drawn_by_flush_before_the_cell_ends(stage):
    """D4: at the end the outputs are replaced by the final static HTML, once."""
    view, model, feed, screen = stage
    view.show()
    feed.emit(SavedRun(run("COMPLETED", finished_at=T + 4)))
    view.flush()
    assert screen.drawn[-1][0] == {"text/html": html.final(model), "text/plain": text.tree(model)}
    assert len(screen.drawn) == 2
    view.flush()
    view.flush()
    assert len(screen.drawn) == 2, "nothing has changed"


async def test_a_run_taken_up_again_is_drawn_again(stage):
    view, _, feed, screen = stage
    view.show()
    feed.emit(SavedRun(run("FAILED")))
    await screen.shows("FAILED")
    feed.emit(SavedRun(run("RUNNING")))
    await screen.shows("RUNNING")
    feed.emit(SavedRun(run("COMPLETED")))
    await screen.shows("COMPLETED")


async def test_clocks_go_on_while_nothing_happens():
    clock = Clock()
    model, screen = RunModel(run("RUNNING"), clock=clock), Screen()
    view = NotebookView(model, Feed(), asyncio.get_running_loop(), publish=screen)
    view.show()
    clock.time = lambda: T + 65
    await screen.shows("1 min 5 s")
    view.close()


async def test_a_fault_in_drawing_is_logged_once_and_harms_nobody(stage, caplog):
    view, _, feed, screen = stage
    screen.fault = OSError("the front end is gone")
    with caplog.at_level(logging.WARNING, "trigger_nb"):
        view.show()
        for _ in range(3):
            feed.emit(SavedRun(run("FAILED")))
            view.flush()
    assert [record.message for record in caplog.records] == [
        "the display of run run_1 failed; the run itself goes on"
    ]
    screen.fault = None
    view.flush()
    assert "FAILED" in screen.text, "it recovers when the front end does"


async def test_drawing_takes_a_tenth_of_the_time_at_most(stage):
    """A slow front end is drawn to less often."""
    view, *_ = stage
    loop = asyncio.get_running_loop()
    view._draw = lambda: __import__("time").sleep(0.05)
    before = loop.time()
    view.flush()
    assert view._next_draw - before >= 0.5


async def test_closed_it_follows_no_more(stage):
    view, _, feed, screen = stage
    view.show()
    view.close()
    assert not feed.watched
    view.close()
    assert len(screen.drawn) == 1


def test_events_after_the_loop_has_closed_harm_nobody():
    loop = asyncio.new_event_loop()
    feed = Feed()
    view = NotebookView(RunModel(run("RUNNING")), feed, loop, publish=lambda *_: None)
    view.show()
    loop.close()
    feed.emit(SavedRun(run(RunStatus.COMPLETED)))
    assert not feed.watched


def test_outside_a_notebook_ipython_is_not_even_imported():
    code = (
        "import sys; from trigger_nb.view.notebook import in_notebook; "
        "print(in_notebook(), 'IPython' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
    assert not in_notebook()


def test_in_a_kernel_a_run_that_ends_in_a_later_cell_ends_on_the_page_of_its_own():
    """An update finds its output by display id, whichever cell is running when it is sent."""
    first = """
        import asyncio
        from trigger_nb._feed import Feed, Saved, SavedRun, Seen
        from trigger_nb._records import Reason, RunRecord, TaskRecord
        from trigger_nb.view.model import RunModel
        from trigger_nb.view.notebook import NotebookView, in_notebook

        def run(status):
            return RunRecord(id="run_1", job="job", status=status, started_at=1.0)

        feed = Feed()
        view = NotebookView(RunModel(run("RUNNING")), feed, asyncio.get_running_loop())
        view.show()
        go = asyncio.Event()

        async def background():
            await go.wait()
            feed.emit(Seen("a", Reason.NEW))
            feed.emit(Saved(TaskRecord(path="a", started=1)))
            feed.emit(SavedRun(run("COMPLETED")))

        going = asyncio.create_task(background())
        print(in_notebook())
    """
    second = """
        go.set()
        await going
        while view._timer is not None or view._model.run.status != "COMPLETED":
            await asyncio.sleep(0.05)
    """
    cells = [nbformat.v4.new_code_cell(textwrap.dedent(source)) for source in (first, second)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(ROOT)}}).execute()
    display, printed = sorted(cells[0].outputs, key=lambda output: output.output_type)
    assert printed.text == "True\n"
    assert "✔ job · COMPLETED" in display.data["text/plain"]
    assert "✔ a" in display.data["text/plain"]
    assert "<details" in display.data["text/html"]
    assert cells[1].outputs == []
