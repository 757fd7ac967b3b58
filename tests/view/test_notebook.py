"""The places of a run in a notebook: a live widget, and a snapshot right after it for the file (rule D4)."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import threading
from base64 import b64decode
from types import SimpleNamespace

import pytest

from tests.support.front import WIDGET, Front, Loop, Stopwatch
from tests.view.test_model import Clock, run, task
from tests.view.test_pump import Controls
from trigger_nb import Reason, RunStatus
from trigger_nb._records.feed import Feed, PassBegan, Saved, SavedRun, Seen
from trigger_nb._view.live import display as display_module, notebook
from trigger_nb._view.live.display import RunDisplay
from trigger_nb._view.live.kept import Kept
from trigger_nb._view.live.notebook import in_notebook
from trigger_nb._view.model.run_model import RunModel
from trigger_nb._view.render import html, snapshot, text

STATIC = {"text/html", "text/plain"}
IS_OVER = [RunStatus.COMPLETED, RunStatus.CANCELED, RunStatus.FAILED, RunStatus.INTERRUPTED]
KEPT = 3


class Widget:
    """What is sent to a live widget."""

    def __init__(self, kind, first, receive) -> None:
        self.kind = kind
        self.receive = receive
        self.front = Front()
        self.front.take(first)
        self.comm: object = "open"
        self.fault: Exception | None = None

    def loaded(self) -> None:
        """A page draws it for the first time."""
        self.receive({"t": "hello", "n": self.front.number, "new": True})

    def post(self, message) -> None:
        assert self.comm
        if self.fault is not None:
            raise self.fault
        self.front.take(message)

    def bundle(self):
        if self.fault is not None:
            raise self.fault
        return {WIDGET: {"model_id": str(id(self))}, "text/plain": ""}, {WIDGET: {"colab": 1}}

    @property
    def is_open(self) -> bool:
        return self.comm is not None

    def use(self, on: bool = True) -> None:
        """Somebody begins or ceases to use it."""
        self.receive({"t": "use", "on": on})

    def close(self) -> None:
        self.comm = None


class Page:
    """A notebook's page: the widgets, what stands at each display id, and the cells that are run."""

    def __init__(self) -> None:
        self.widgets: list[tuple[dict, dict]] = []
        self.places: dict[str, dict] = {}
        self.published: list[tuple[str, dict, dict, bool]] = []
        self.fault: Exception | None = None
        self._callbacks: dict[str, list] = {"pre_run_cell": [], "post_run_cell": []}
        self.events = SimpleNamespace(
            register=lambda event, callback: self._callbacks[event].append(callback),
            unregister=lambda event, callback: self._callbacks[event].remove(callback),
        )
        self.kernel = SimpleNamespace(_allow_stdin=True)

    def publish(self, data, metadata, display_id, update) -> None:
        if self.fault is not None:
            raise self.fault
        if WIDGET in data:
            self.widgets.append((dict(data), dict(metadata)))
            return
        assert update == (display_id in self.places), "shown once, then updated"
        self.published.append((display_id, dict(data), dict(metadata), update))
        self.places[display_id] = dict(data)

    @property
    def is_watched(self) -> bool:
        """Whether anything is done at cells."""
        return any(self._callbacks.values())

    def begin_cell(self) -> None:
        for callback in list(self._callbacks["pre_run_cell"]):
            callback()

    def end_cell(self) -> None:
        for callback in list(self._callbacks["post_run_cell"]):
            callback()

    def kinds(self) -> list[set[str]]:
        return [set(data) for data in self.places.values()]

    def texts(self) -> list[str]:
        return [data["text/plain"] for data in self.places.values()]


class Stage:
    """A run with a display on a page."""

    def __init__(self, status: str = RunStatus.RUNNING, records=()) -> None:
        self.loop = Loop()
        self.timer = Stopwatch(loop=self.loop)
        self.page = Page()
        self.feed = Feed()
        self.closed = 0
        self.records = list(records)
        self.fault: Exception | None = None
        self.status = status
        self.display = RunDisplay(
            self.model, self.feed, self.loop, Controls(), publish=self.page.publish, on_close=self.on_close,
            timer=self.timer,
        )  # fmt: skip

    def model(self) -> RunModel:
        if self.fault is not None:
            raise self.fault
        return RunModel(run(self.status), iter(self.records), clock=Clock(), lazy=True)

    def on_close(self) -> None:
        self.closed += 1

    def show(self) -> Widget:
        """Show it; the widget."""
        self.display.show()
        self.loop.turn()
        return self.display.widget

    def opens(self) -> Widget:
        """Show it to a front end that says so."""
        widget = self.show()
        widget.loaded()
        self.loop.turn()
        return widget

    def becomes(self, status, **fields) -> None:
        self.feed.emit(SavedRun(run(status, **fields)))
        self.loop.advance(0.1)


@pytest.fixture(autouse=True)
def around(monkeypatch):
    """No notebook but the stage's, and a widget that notes what it is sent."""
    pytest.importorskip("anywidget")
    import trigger_nb._view.live.widget  # noqa: F401  # to be replaced in

    monkeypatch.setattr("trigger_nb._view.live.widget.LiveWidget", Widget)
    monkeypatch.setattr(display_module, "_kept", Kept(KEPT))
    monkeypatch.setitem(sys.modules, "ipykernel", SimpleNamespace(version_info=(7, 4, 0)))


@pytest.fixture
def stage(monkeypatch):
    stage = Stage()
    monkeypatch.setattr(notebook, "_shell", lambda: stage.page)
    return stage


# --- while it goes on ---------------------------------------------------------------------------------


def test_a_widget_and_a_snapshot_right_after_it_are_shown_at_once(stage):
    """D4: the file keeps the snapshot."""
    widget = stage.show()
    ((shown, metadata),) = stage.page.widgets
    assert shown == {WIDGET: {"model_id": str(id(widget))}, "text/plain": ""}, (
        "nothing where no widget is drawn"
    )
    assert metadata == {WIDGET: {"colab": 1}}
    ((_, data, _, update),) = stage.page.published
    assert not update
    assert set(data) == STATIC
    assert data["text/plain"].startswith(text.excerpt(stage.display.model))
    assert html.live(stage.display.model, advice=True, styled=False) in data["text/html"]
    assert widget.front.run["title"] == "job", "there is a picture before the first message"


def test_the_first_snapshot_is_small_and_soon_has_its_styles(stage):
    """D1, D4: many runs that end at once put less on the wire. Also of a run that waits, in each new place."""
    stage.opens()
    stage.becomes("WAITING", reason="wait")
    stage.loop.advance(4)
    stage.show()
    first, second = (data["text/html"] for data in stage.page.places.values())
    assert ".tnb-h{" in first
    assert ".tnb-h{" not in second
    assert len(second) < len(first) / 3
    stage.loop.advance(4)
    assert all(".tnb-h{" in data["text/html"] for data in stage.page.places.values())


def test_a_page_shows_one_of_the_two(stage):
    """D4: the rules come with the snapshot; the first one gives the widget a moment to appear."""
    stage.opens()
    (first,) = stage.page.places.values()
    assert first["text/html"].startswith('<div class="tnb-fallback tnb-late"><style>')
    assert ":has(.tnb-live)+" in first["text/html"]
    stage.becomes("COMPLETED")
    (last,) = stage.page.places.values()
    assert last["text/html"].startswith('<div class="tnb-fallback"><style>')


def test_a_snapshot_of_a_run_under_way_says_when_it_was_taken_and_what_to_type(stage):
    """D4: nothing may draw it again."""
    stage.show()
    (shown,) = stage.page.places.values()
    for said in shown.values():
        assert "Last seen running at 2023-11-14 22:15:00 UTC." in said
    assert "type run = job.client.run('run_1') and run" in shown["text/plain"]
    assert "<code>run = job.client.run(&#x27;run_1&#x27;)</code>" in shown["text/html"]
    stage.becomes("COMPLETED")
    assert "Last seen" not in str(stage.page.places)


def test_what_happens_goes_to_the_widget_and_not_into_the_page(stage):
    """D4: the snapshot is drawn again at changes of the run's status, and each half minute."""
    widget = stage.opens()
    stage.loop.advance(6)
    shown = len(stage.page.published)
    for at in range(100):
        stage.feed.emit(Saved(task(f"t{at}", at + 1)))
        stage.loop.advance(0.05)
    assert len(widget.front.rows) == 100
    assert len(stage.page.published) == shown
    stage.loop.advance(25)
    assert len(stage.page.published) == shown + 1
    assert "100 tasks" in stage.page.texts()[0]
    stage.loop.advance(300)
    assert shown + 9 <= len(stage.page.published) <= shown + 12


def test_what_waits_is_drawn_again_seldom(stage):
    """W2: its status stays true without a kernel, and a night is long."""
    stage.opens()
    stage.becomes("WAITING", reason="wait")
    stage.loop.advance(2)
    shown = len(stage.page.published)
    stage.loop.advance(3600)
    assert shown + 10 <= len(stage.page.published) <= shown + 13


def test_a_page_without_widgets_says_what_to_install(stage):
    """Until a page tells of its widget there may be none; in the file it would be wrong."""
    stage.show()
    assert "pip install anywidget" in str(stage.page.places)
    stage.display.widget.loaded()
    stage.loop.advance(5)
    assert "pip install anywidget" not in str(stage.page.places)
    stage.loop.advance(300)
    assert "pip install anywidget" not in str(stage.page.places)


def test_a_kernel_that_hears_no_page_gives_no_advice(stage, monkeypatch):
    monkeypatch.setitem(sys.modules, "ipykernel", SimpleNamespace(version_info=(6, 29, 5)))
    other = Stage()
    other.show()
    assert "pip install anywidget" not in str(other.page.places)


def test_each_change_of_the_status_is_drawn(stage):
    stage.opens()
    stage.loop.advance(6)
    for status, reason, said in [("WAITING", "wait", "WAITING"), ("RUNNING", "", "RUNNING"),
                                 ("WAITING", "paused", "WAITING (paused)")]:  # fmt: skip
        stage.becomes(status, reason=reason)
        stage.loop.advance(2)
        assert said in stage.page.texts()[0]
    assert len(stage.page.published) == 4 + 1, "and one of the first seconds"
    assert stage.page.kinds() == [STATIC]


def test_the_bundle_is_sent_once_a_second_at_most(stage):
    """Each one makes the front end draw everything anew."""
    stage.opens()
    for _ in range(50):
        stage.becomes("WAITING", reason="retry")
        stage.becomes("RUNNING")
    stage.becomes("WAITING", reason="paused")
    assert len(stage.page.published) <= 12
    stage.loop.advance(2)
    assert "paused" in stage.page.texts()[0], "the last one is drawn in any case"


@pytest.mark.parametrize("status", IS_OVER)
def test_the_end_is_drawn_at_once(stage, status):
    stage.opens()
    stage.becomes("WAITING", reason="retry")
    stage.feed.emit(SavedRun(run(status)))
    stage.loop.advance(0.05)
    assert status in stage.page.texts()[0]


def test_status_changes_are_drawn_for_nobody_too(stage):
    """Where no front end can speak, and in the file, there is the HTML."""
    stage.show()
    stage.becomes("WAITING", reason="paused")
    assert "paused" in stage.page.texts()[0]


def test_all_places_are_live(stage):
    """Any number of views of one run, each with a display id of its own."""
    first = stage.opens()
    assert stage.show() is first
    stage.loop.advance(2)
    assert len(stage.page.places) == 2
    assert [data[WIDGET]["model_id"] for data, _ in stage.page.widgets] == [str(id(first))] * 2
    stage.becomes("WAITING", reason="paused")
    assert all("paused" in each for each in stage.page.texts())
    stage.becomes("COMPLETED")
    assert all("COMPLETED" in each for each in stage.page.texts())


def test_a_new_place_does_not_hide_a_change_from_the_others(stage):
    stage.opens()
    stage.becomes("WAITING", reason="retry")
    stage.becomes("RUNNING")  # less than a second after it
    stage.becomes("WAITING", reason="paused")
    stage.show()
    stage.loop.advance(2)
    assert ["paused" in each for each in stage.page.texts()] == [True, True]


def test_a_cell_that_waits_is_told_so(stage):
    """W2."""
    stage.display.model.awaited = True
    stage.opens()
    stage.becomes("WAITING", reason="wait")
    assert "keeps this cell busy" in stage.page.texts()[0]


# --- when it is over ----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", IS_OVER)
def test_the_last_snapshot_is_the_whole_tree_and_the_widget_stays(stage, status):
    """D4: nothing that somebody looks at is taken away."""
    widget = stage.opens()
    stage.feed.emit(Seen("a", Reason.NEW))
    stage.feed.emit(Saved(task("a")))
    stage.becomes(status, worked=4.0)
    record = run(status, worked=4.0)
    model = RunModel(record, [task("a")], seen={"a": Seen("a", Reason.NEW)}, clock=Clock())
    (left,) = stage.page.places.values()
    assert left == snapshot.beside_widget({"text/html": html.final(model), "text/plain": text.tree(model)})
    assert widget.front.run["ended"], "the widget's last message"
    assert widget.comm
    assert stage.closed == 0
    assert stage.feed.watched, "what happens later is seen, too"
    published = len(stage.page.published)
    stage.loop.advance(3600)
    assert stage.loop.timers == []
    assert len(stage.page.published) == published
    assert not stage.page.is_watched


def test_one_that_is_taken_up_again_by_its_button_is_followed(stage):
    """D3, D4: the file has how that ends."""
    widget = stage.opens()
    stage.becomes("FAILED")
    stage.feed.emit(PassBegan(2))
    stage.becomes("RUNNING")
    stage.loop.advance(2)
    assert widget.front.run["status"] == "RUNNING"
    assert "Last seen running" in stage.page.texts()[0]
    stage.becomes("COMPLETED")
    assert "COMPLETED" in stage.page.texts()[0]


def test_a_cell_keeps_how_its_pass_ended(stage):
    """D4: a later cell that starts the run again shows it in a place of its own."""
    stage.opens()
    stage.becomes("FAILED")
    stage.feed.emit(PassBegan(2))
    stage.feed.emit(SavedRun(run("RUNNING")))
    stage.show()
    stage.becomes("COMPLETED")
    assert ["FAILED" in stage.page.texts()[0], "COMPLETED" in stage.page.texts()[1]] == [True, True]


def test_one_that_is_taken_up_again_at_once_is_not_left_for_good(stage):
    """What has happened since is not known yet when the end is."""
    widget = stage.opens()
    stage.timer.step = 0.003
    stage.feed.emit(SavedRun(run("COMPLETED")))
    for at in range(200):
        stage.feed.emit(Saved(task(f"t{at}", at + 1)))
    stage.feed.emit(PassBegan(2))
    stage.feed.emit(SavedRun(run("RUNNING")))
    stage.loop.advance(2)
    assert "Last seen running" in stage.page.texts()[0]
    assert widget.front.run["status"] == "RUNNING"


@pytest.mark.parametrize("status", IS_OVER)
def test_a_run_that_has_ended_is_shown_with_its_buttons(monkeypatch, status):
    """D4: `run` in a cell shows the live widget again."""
    stage = Stage(status, [task(f"t{at}", at + 1) for at in range(300)])
    monkeypatch.setattr(notebook, "_shell", lambda: stage.page)
    widget = stage.opens()
    stage.loop.advance(5)
    assert "300 tasks" in stage.page.texts()[0], "the snapshot is whole"
    assert len(widget.front.rows) == 300
    assert len(stage.page.published) == 1


def test_a_widget_that_is_part_of_others_stays(monkeypatch):
    """It can be put in a `VBox`, however many runs end after it."""
    stages = [Stage() for _ in range(KEPT + 2)]
    stages[0].display.stay = True
    for stage in stages:
        monkeypatch.setattr(notebook, "_shell", lambda stage=stage: stage.page)
        stage.opens()
        stage.becomes("COMPLETED")
    assert open_widgets(stages) == [True, False, *[True] * KEPT]
    stages[0].feed.emit(PassBegan(2))
    stages[0].becomes("RUNNING")
    assert stages[0].display.widget.front.run["status"] == "RUNNING"


def test_what_replays_thousands_is_whole_when_it_ends(stage):
    stage.opens()
    for at in range(5000):
        stage.feed.emit(Seen(f"t{at}", Reason.REPLAYED))
        stage.feed.emit(Saved(task(f"t{at}", at + 1)))
    stage.feed.emit(SavedRun(run("COMPLETED")))
    stage.display.flush()
    assert "5,000 tasks" in stage.page.texts()[0]


@pytest.mark.anyio
async def test_settled_the_end_is_on_the_page_before_the_cell_ends(stage):
    stage.opens()
    stage.feed.emit(SavedRun(run("COMPLETED")))
    await stage.display.settle()
    assert "COMPLETED" in stage.page.texts()[0]
    await stage.display.settle()
    assert len(stage.page.published) == 2


# --- where a program runs the notebook ----------------------------------------------------------------


@pytest.fixture
def program(stage):
    """A program runs the notebook: it takes no input, and ignores what comes between two cells."""
    stage.page.kernel._allow_stdin = False
    other = Stage()
    other.page = stage.page
    other.display._publish = stage.page.publish
    return other


def test_a_program_gets_no_widget_and_no_rules(program):
    """D4: a file keeps no widgets."""
    program.display.show()
    assert program.page.widgets == []
    assert program.display._widget is None
    (shown,) = program.page.places.values()
    assert "tnb-fallback" not in shown["text/html"]
    assert "pip install" not in shown["text/html"]


@pytest.mark.parametrize("status", IS_OVER)
def test_what_has_ended_between_two_cells_is_published_again_in_the_next(program, status):
    program.display.show()
    program.page.end_cell()
    program.becomes(status)
    assert program.closed == 1
    assert not program.feed.watched
    published = len(program.page.published)
    program.page.begin_cell()
    assert len(program.page.published) == published + 1
    assert status in program.page.texts()[0]
    assert not program.page.is_watched
    program.page.end_cell()
    assert len(program.page.published) == published + 1


def test_the_file_has_the_run_as_it_is_when_the_cell_ends(program):
    """It may be saved then; and a run that is being cancelled is going to be CANCELED."""
    program.display._left = lambda: RunModel(run("CANCELED"), iter([task("a")]), clock=Clock())
    program.display.show()
    program.page.end_cell()
    assert "CANCELED" in program.page.texts()[0]
    assert "1 task" in program.page.texts()[0]
    program.becomes("CANCELED")
    assert "no tasks" in program.page.texts()[0], "how it really ended"


def test_what_goes_on_is_published_at_each_cell(program):
    program.display.show()
    for at in range(3):
        program.page.begin_cell()
        program.feed.emit(Saved(task(f"t{at}", at + 1)))
        program.display.flush()
        program.page.end_cell()
        assert f"{at + 1} task" in program.page.texts()[0]
    assert program.page.is_watched


# --- pages that come back -----------------------------------------------------------------------------


@pytest.fixture
def large(stage, monkeypatch):
    """A run that is being left: each step of drawing what remains is one of the loop's."""
    large = Stage(records=[task(f"task-{n}", n + 1) for n in range(60)])
    monkeypatch.setattr(notebook, "_shell", lambda: large.page)
    large.opens()
    large.loop.advance(1.0)
    large.timer.step = 0.01
    large.becomes(RunStatus.COMPLETED)
    assert large.display._drawing
    assert "RUNNING" in large.page.texts()[0]
    return large


def test_what_remains_of_a_large_run_is_drawn_in_small_steps(large):
    """D1: the display never holds the loop for long; what happens meanwhile waits."""
    large.feed.emit(Saved(task("late", 99)))
    large.loop.advance(10.0)
    assert not large.display._drawing
    assert "60 completed" in large.page.texts()[0]


def test_drawing_in_small_steps_is_ended_by_whoever_cannot_wait(large):
    published = len(large.page.published)
    large.display.flush()
    assert not large.display._drawing
    assert "COMPLETED" in large.page.texts()[0]
    large.loop.advance(10.0)
    assert len(large.page.published) == published + 1


def test_a_fault_between_two_steps_leaves_what_was_there(large, monkeypatch, caplog):
    def broken(_model):
        raise RuntimeError("nothing is drawn")

    monkeypatch.setattr(text, "tree", broken)
    large.loop.advance(10.0)
    assert not large.display._drawing
    assert "RUNNING" in large.page.texts()[0]
    assert len(logged(caplog)) == 1


def test_a_page_loaded_again_is_told_of_the_end_and_of_what_comes_after_it(stage):
    """It knows the widget from the notebook file, and no display id: no snapshot can reach it."""
    widget = stage.opens()
    widget.loaded()
    stage.becomes("COMPLETED")
    assert widget.comm
    stage.feed.emit(PassBegan(2))
    stage.becomes("RUNNING")
    assert widget.front.run["status"] == "RUNNING"


def test_a_page_that_comes_back_later_gets_the_whole_run(stage):
    widget = stage.opens()
    stage.feed.emit(Saved(task("a")))
    stage.becomes("COMPLETED")
    widget.front.__init__()
    widget.loaded()
    stage.loop.advance(1)
    assert widget.front.row("a") is not None


# --- widgets of ended runs ----------------------------------------------------------------------------


@pytest.fixture
def ended(stage, monkeypatch):
    """A function that shows a run which ends."""

    def end(*records) -> Stage:
        one = Stage(records=records)
        monkeypatch.setattr(notebook, "_shell", lambda: one.page)
        one.opens()
        one.loop.advance(1)
        one.becomes("COMPLETED")
        return one

    return end


def open_widgets(stages) -> list[bool]:
    for stage in stages:
        stage.loop.advance(61)
    return [bool(stage.display._widget.comm) for stage in stages]


def test_widgets_are_not_kept_for_ever(ended):
    """The snapshot of a widget that is closed appears in its place."""
    stages = [ended() for _ in range(KEPT + 2)]
    assert open_widgets(stages) == [False] * 2 + [True] * KEPT
    assert [stage.closed for stage in stages] == [1] * 2 + [0] * KEPT
    assert not stages[0].feed.watched
    assert "COMPLETED" in stages[0].page.texts()[0]


def test_a_widget_that_somebody_uses_is_kept_until_it_is_left(ended):
    """D4: focus, pointer, open details, a filter."""
    used = ended()
    used.display.widget.use()
    others = [ended() for _ in range(KEPT + 1)]
    assert open_widgets([used, *others]) == [True, False, *[True] * KEPT]
    used.display.widget.use(False)
    ended()
    assert open_widgets([used]) == [False]


def test_a_page_that_was_loaded_again_uses_nothing_yet(ended):
    used = ended()
    used.display.widget.use()
    used.display.widget.loaded()
    for _ in range(KEPT):
        ended()
    assert open_widgets([used]) == [False]


def test_a_page_that_is_loaded_while_a_widget_is_closed_hears_of_it(ended):
    """It has the state of the widget, and would miss that it is closed, before it has its comm."""
    first, *_ = [ended() for _ in range(KEPT + 1)]
    widget = first.display._widget
    assert widget.comm
    widget.loaded()
    first.loop.turn()
    assert widget.comm is None


def test_a_run_that_goes_on_again_is_kept(ended):
    again = ended()
    again.feed.emit(PassBegan(2))
    again.becomes("RUNNING")
    for _ in range(KEPT + 1):
        ended()
    assert again.display.widget.comm


def test_large_runs_are_not_kept_in_great_number(ended, monkeypatch):
    """Memory is bounded by their rows."""
    monkeypatch.setattr("trigger_nb._view.live.kept._ROWS", 100)
    stages = [ended(*(task(f"t{at}", at + 1) for at in range(60))) for _ in range(2)]
    assert open_widgets(stages) == [False, True]
    stages = [*stages, ended(*(task(f"t{at}", at + 1) for at in range(200)))]
    assert open_widgets(stages) == [False, False, True], "the latest one is kept in any case"


@pytest.mark.parametrize(
    "message", [None, [], "hello", {}, {"t": "hello", "new": []}, {"t": ["hello"]}, {"t": "use"}], ids=repr
)
def test_malformed_messages_harm_nobody(stage, message, caplog):
    widget = stage.opens()
    widget.receive(message)
    stage.becomes("COMPLETED")
    widget.receive(message)
    stage.loop.advance(1)
    assert "COMPLETED" in stage.page.texts()[0]
    assert caplog.records == []


def test_a_widget_that_someone_closed_is_made_anew(stage):
    """As `Widget.close_all()` does."""
    widget = stage.opens()
    widget.close()
    stage.feed.emit(Saved(task("a")))
    stage.loop.advance(1)
    assert stage.show() is not widget
    assert stage.display.widget.front.row("a") is not None
    stage.becomes("COMPLETED")
    assert all("COMPLETED" in each for each in stage.page.texts())


def test_a_widget_that_someone_closed_is_not_made_anew_for_nobody(stage):
    """What happens is told to those who look; it opens no widget where there is none."""
    widget = stage.opens()
    widget.close()
    stage.feed.emit(Saved(task("a")))
    stage.loop.advance(10)
    assert stage.display._widget is widget


def test_closed_it_follows_no_more(stage):
    widget = stage.opens()
    stage.display.close()
    stage.display.close()
    assert stage.closed == 1
    stage.loop.advance(61)
    assert widget.comm is None
    stage.becomes("COMPLETED")
    assert "RUNNING" in stage.page.texts()[0]


# --- faults -------------------------------------------------------------------------------------------


def logged(caplog) -> list[str]:
    return [record.message for record in caplog.records]


FAILED = ["the display of run run_1 failed; the run itself is not affected"]


def test_a_front_end_that_is_gone_harms_nobody_and_may_come_back(stage, caplog):
    """D1: a rendering error never fails a run. It is logged once."""
    stage.opens()
    stage.page.fault = OSError("the front end is gone")
    for _ in range(3):
        stage.becomes("WAITING", reason="retry")
        stage.becomes("FAILED")
    assert logged(caplog) == FAILED
    stage.page.fault = None
    stage.loop.advance(31)
    assert "FAILED" in stage.page.texts()[0], "it is tried again when nothing more happens, too"


def test_a_widget_that_fails_leaves_what_does_without_it(stage, caplog):
    widget = stage.opens()
    widget.fault = OSError("the comm is closed")
    stage.feed.emit(Saved(task("a")))
    stage.becomes("FAILED")
    assert "FAILED" in stage.page.texts()[0]
    assert logged(caplog) == FAILED


def test_without_a_widget_there_is_the_html(stage, monkeypatch, caplog):
    """A package may be missing, or its version be wrong."""
    monkeypatch.setattr("trigger_nb._view.live.widget.LiveWidget", lambda *_: 1 / 0)
    stage.display.show()
    assert stage.page.kinds() == [STATIC]
    stage.becomes("COMPLETED")
    assert "COMPLETED" in stage.page.texts()[0]
    assert logged(caplog) == FAILED


@pytest.mark.parametrize(("module", "name"), [(html, "live"), (text, "excerpt")])
def test_html_that_cannot_be_drawn_harms_nobody(stage, monkeypatch, caplog, module, name):
    monkeypatch.setattr(module, name, lambda *_, **__: 1 / 0)
    stage.display.show()
    stage.becomes("WAITING", reason="paused")
    assert stage.page.places == {}
    assert logged(caplog) == FAILED
    monkeypatch.undo()
    stage.display.show()
    assert stage.page.kinds() == [STATIC]


def test_a_display_can_be_asked_for_on_any_thread(stage):
    """A cell of a subshell runs on a thread of its own."""
    thread = threading.Thread(target=stage.display.show)
    thread.start()
    thread.join()
    assert stage.loop.timers == [], "timers belong to the loop's thread"
    stage.loop.turn()
    assert stage.page.kinds() == [STATIC]


def test_events_after_the_loop_has_closed_harm_nobody(stage):
    stage.show()
    stage.loop.closed = True
    stage.feed.emit(SavedRun(run("COMPLETED")))
    assert not stage.feed.watched


def test_outside_a_notebook_ipython_is_not_even_imported():
    code = (
        "import sys; from trigger_nb._view.live.notebook import in_notebook; "
        "print(in_notebook(), 'IPython' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
    assert not in_notebook()


# --- with a real widget -------------------------------------------------------------------------------


def test_a_real_widget_has_the_picture_and_what_it_takes_to_draw_it(stage, monkeypatch):
    """Without a kernel its comm goes nowhere; all else is as it is with one."""
    monkeypatch.undo()
    monkeypatch.setattr(notebook, "_shell", lambda: stage.page)
    widget = stage.show()
    state = widget.get_state()
    assert state["kind"] == "run"
    assert state["first"]["run"]["title"] == "job"
    assert state["first"]["n"] == 1
    assert len(json.dumps(state, default=str)) < 5_000, (
        "the front end comes once, with the widget that all share"
    )
    shared = json.loads(gzip.decompress(b64decode(widget.shared.get_state()["packed"])))
    assert state["version"] == shared["version"]
    assert all(f"const {name}_js = " in shared["script"] for name in ("widget", "run", "runs"))
    assert len(shared["css"]) > 10_000
    ((data, _),) = stage.page.widgets
    assert data[WIDGET]["model_id"] == widget.model_id
    assert data["text/plain"] == "", "not the widget's repr, and nothing twice"


def test_a_widget_that_is_closed_leaves_nothing_behind(stage, monkeypatch):
    """ipywidgets keeps all that are not closed, their layouts too, for as long as the kernel lives."""
    monkeypatch.undo()
    monkeypatch.setattr(notebook, "_shell", lambda: stage.page)
    from ipywidgets.widgets.widget import _instances

    before = dict(_instances)
    widget = stage.show()
    assert len(_instances) > len(before)
    stage.becomes("COMPLETED")
    stage.display.close()
    stage.loop.advance(61)
    assert _instances == before
    assert widget.comm is None
    widget.post({"n": 7})  # a message that was on its way


def test_a_real_widget_hears(stage, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(notebook, "_shell", lambda: stage.page)
    widget = stage.show()
    sent = []
    monkeypatch.setattr(widget, "send", sent.append)
    widget._handle_custom_msg({"t": "hello", "n": -1}, [])
    stage.feed.emit(Saved(task("a")))
    stage.loop.advance(1)
    front = Front()
    for message in sent:
        front.take(message)
    assert front.row("a") is not None
