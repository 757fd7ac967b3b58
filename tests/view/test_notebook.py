"""The places of a run in a notebook: live while it goes on, static HTML when it is over (rule D4)."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import deque
from types import SimpleNamespace

import pytest

from tests.support.front import WIDGET, Front, Loop, Stopwatch
from tests.view.test_model import Clock, run, task
from tests.view.test_pump import Controls
from trigger_nb import Reason, RunStatus
from trigger_nb._records.feed import Feed, PassBegan, Saved, SavedRun, Seen
from trigger_nb._view.live import display as display_module
from trigger_nb._view.live.display import RunDisplay, in_notebook
from trigger_nb._view.model.run_model import RunModel
from trigger_nb._view.render import html, text
from trigger_nb.errors import NotFoundError

LIVE = {WIDGET, "text/html", "text/plain"}
STATIC = {"text/html", "text/plain"}
KEEPS_BUTTONS = [RunStatus.FAILED, RunStatus.INTERRUPTED]
IS_OVER = [RunStatus.COMPLETED, RunStatus.CANCELED]


class Widget:
    """What is sent to a live widget."""

    def __init__(self, kind, first, receive) -> None:
        self.kind = kind
        self.receive = receive
        self.front = Front()
        self.front.take(first)
        self.comm: object = "open"
        self.vacant = False
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
        return {WIDGET: {"model_id": str(id(self))}, "text/plain": "LiveWidget()"}, {WIDGET: {"colab": 1}}

    def clear(self) -> None:
        self.vacant = True

    def close(self) -> None:
        self.comm = None


class Page:
    """A notebook's page: what stands at each display id, and the cells that are run."""

    def __init__(self) -> None:
        self.places: dict[str, dict] = {}
        self.published: list[tuple[str, dict, dict, bool]] = []
        self.fault: Exception | None = None
        self._callbacks: list = []
        self.events = SimpleNamespace(
            register=lambda _event, callback: self._callbacks.append(callback),
            unregister=lambda _event, callback: self._callbacks.remove(callback),
        )

    def publish(self, data, metadata, display_id, update) -> None:
        if self.fault is not None:
            raise self.fault
        assert update == (display_id in self.places), "shown once, then updated"
        self.published.append((display_id, dict(data), dict(metadata), update))
        self.places[display_id] = dict(data)

    def run_next_cell(self) -> None:
        for callback in list(self._callbacks):
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
    monkeypatch.setattr(display_module, "_with_next_cell", [])
    monkeypatch.setattr(display_module, "_kept", deque())
    monkeypatch.setitem(sys.modules, "ipykernel", SimpleNamespace(version_info=(7, 4, 0)))


@pytest.fixture
def stage(monkeypatch):
    stage = Stage()
    monkeypatch.setattr(display_module, "_shell", lambda: stage.page)
    return stage


# --- while it goes on ---------------------------------------------------------------------------------


def test_the_widget_and_two_that_do_without_are_shown_at_once(stage):
    """D4: beside the widget the same bundle carries `text/html` and `text/plain`."""
    widget = stage.show()
    ((_, data, metadata, update),) = stage.page.published
    assert not update
    assert set(data) == LIVE
    assert data["text/plain"] == text.excerpt(stage.display.model), "the run's, not the widget's"
    assert data["text/html"] == html.live(stage.display.model)
    assert metadata == {WIDGET: {"colab": 1}}
    assert widget.front.run["title"] == "job", "there is a picture before the first message"


def test_what_happens_goes_to_the_widget_and_not_into_the_page(stage):
    """D4: the bundle is sent again at changes of the run's status only."""
    widget = stage.opens()
    for at in range(100):
        stage.feed.emit(Saved(task(f"t{at}", at + 1)))
        stage.loop.advance(0.05)
    assert len(widget.front.rows) == 100
    assert len(stage.page.published) == 1


def test_each_change_of_the_status_is_drawn(stage):
    stage.opens()
    stage.loop.advance(5)
    for status, reason, said in [("WAITING", "wait", "WAITING"), ("RUNNING", "", "RUNNING"),
                                 ("WAITING", "paused", "WAITING (paused)")]:  # fmt: skip
        stage.becomes(status, reason=reason)
        stage.loop.advance(2)
        assert said in stage.page.texts()[0]
    assert len(stage.page.published) == 4
    assert stage.page.kinds() == [LIVE]


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


@pytest.mark.parametrize("status", [*KEEPS_BUTTONS, *IS_OVER])
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
    assert len({data[WIDGET]["model_id"] for data in stage.page.places.values()}) == 1
    stage.becomes("WAITING", reason="paused")
    assert all("paused" in each for each in stage.page.texts())
    stage.becomes("COMPLETED")
    assert stage.page.kinds() == [STATIC, STATIC]


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
def test_static_html_takes_its_place_when_it_is_over(stage, status):
    """D4: when a run is COMPLETED or CANCELED its outputs are replaced once by the final static HTML."""
    widget = stage.opens()
    stage.feed.emit(Seen("a", Reason.NEW))
    stage.feed.emit(Saved(task("a")))
    stage.becomes(status, worked=4.0)
    assert stage.page.kinds() == [STATIC]
    record = run(status, worked=4.0)
    model = RunModel(record, [task("a")], seen={"a": Seen("a", Reason.NEW)}, clock=Clock())
    (left,) = stage.page.places.values()
    assert left == {"text/html": html.final(model), "text/plain": text.tree(model)}
    assert not stage.display.model.rows, "kept for a page that comes back, without what is large"
    assert widget.front.run["ended"], "the widget's last message"
    assert stage.closed == 1
    assert not stage.feed.watched
    assert stage.loop.timers == []


@pytest.mark.parametrize("status", KEEPS_BUTTONS)
def test_buttons_stay_until_the_next_cell(stage, status):
    """D4: a FAILED or INTERRUPTED one keeps its buttons until the next cell is run."""
    stage.opens()
    stage.becomes(status)
    assert stage.page.kinds() == [LIVE]
    assert "run.re" in stage.page.texts()[0], "with the line to type, for whoever has no widget"
    stage.page.run_next_cell()
    assert stage.page.kinds() == [STATIC]
    assert stage.closed == 1
    assert not stage.feed.watched
    published = len(stage.page.published)
    stage.page.run_next_cell()
    assert len(stage.page.published) == published


def test_one_that_is_taken_up_again_stays_live(stage):
    """Retried by its button: the next cell takes nothing away."""
    widget = stage.opens()
    stage.becomes("FAILED")
    stage.feed.emit(PassBegan(2))
    stage.feed.emit(SavedRun(run("RUNNING")))
    stage.page.run_next_cell()  # before that was drawn
    assert stage.page.kinds() == [LIVE]
    stage.loop.advance(2)
    assert widget.front.run["status"] == "RUNNING"
    assert "RUNNING" in stage.page.texts()[0]
    stage.becomes("FAILED")
    stage.becomes("FAILED")
    stage.page.run_next_cell()
    assert stage.page.kinds() == [STATIC]


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
    assert stage.page.kinds() == [LIVE]
    assert widget.front.run["status"] == "RUNNING"


@pytest.mark.parametrize("status", [*KEEPS_BUTTONS, *IS_OVER])
def test_a_run_that_has_ended_is_shown_with_its_buttons_until_the_next_cell(monkeypatch, status):
    """D4: `run` in a cell shows the live widget again."""
    stage = Stage(status, [task(f"t{at}", at + 1) for at in range(300)])
    monkeypatch.setattr(display_module, "_shell", lambda: stage.page)
    widget = stage.opens()
    stage.loop.advance(5)
    assert stage.page.kinds() == [LIVE]
    assert "300 tasks" in stage.page.texts()[0], "what stands beside the widget is whole"
    assert len(widget.front.rows) == 300
    stage.page.run_next_cell()
    assert stage.page.kinds() == [STATIC]


def test_a_widget_that_is_part_of_others_stays(stage):
    """Issue 3: it can be put in a `VBox`."""
    stage.display.stay = True
    widget = stage.opens()
    stage.becomes("COMPLETED")
    assert stage.page.kinds() == [STATIC], "the run's own places are left as always"
    assert widget.front.run["ended"]
    assert stage.closed == 0
    stage.feed.emit(PassBegan(2))
    stage.becomes("RUNNING")
    assert widget.front.run["status"] == "RUNNING"
    assert not widget.front.run["ended"]


def test_what_replays_thousands_is_whole_when_it_ends(stage):
    stage.opens()
    for at in range(5000):
        stage.feed.emit(Seen(f"t{at}", Reason.REPLAYED))
        stage.feed.emit(Saved(task(f"t{at}", at + 1)))
    stage.feed.emit(SavedRun(run("COMPLETED")))
    stage.display.flush()
    assert "5,000 tasks" in stage.page.texts()[0]
    assert stage.page.kinds() == [STATIC]


@pytest.mark.anyio
async def test_settled_the_end_is_on_the_page_before_the_cell_ends(stage):
    stage.opens()
    stage.feed.emit(SavedRun(run("COMPLETED")))
    await stage.display.settle()
    assert stage.page.kinds() == [STATIC]
    await stage.display.settle()
    assert len(stage.page.published) == 2


@pytest.mark.anyio
@pytest.mark.parametrize("status", KEEPS_BUTTONS)
async def test_a_failed_run_that_no_page_shows_is_left_with_its_cell(stage, status):
    """D4: when a program runs the notebook there may be no next cell, and a file keeps no widgets."""
    stage.timer.step = 1.0  # no page for a second: the cell stops waiting for one
    stage.show()
    stage.feed.emit(SavedRun(run(status)))
    await stage.display.settle()
    assert stage.page.kinds() == [STATIC]


@pytest.mark.anyio
@pytest.mark.parametrize("version", [(7, 4, 0), (6, 29, 5)])
async def test_a_failed_run_that_a_page_shows_or_may_show_keeps_its_buttons(stage, monkeypatch, version):
    """D4; an older kernel does not hear its pages before the cell has ended."""
    monkeypatch.setitem(sys.modules, "ipykernel", SimpleNamespace(version_info=version))
    widget = stage.show()
    if version >= (7, 4):
        widget.loaded()
    stage.feed.emit(SavedRun(run(RunStatus.FAILED)))
    await stage.display.settle()
    assert stage.page.kinds() == [LIVE]


# --- pages that come back -----------------------------------------------------------------------------


@pytest.fixture
def large(stage, monkeypatch):
    """A run that is being left: each step of drawing what remains is one of the loop's."""
    large = Stage(records=[task(f"task-{n}", n + 1) for n in range(60)])
    monkeypatch.setattr(display_module, "_shell", lambda: large.page)
    large.opens()
    large.loop.advance(1.0)
    large.timer.step = 0.01
    large.becomes(RunStatus.COMPLETED)
    assert large.display.is_replacing
    assert large.page.kinds() == [LIVE]
    return large


def test_what_remains_of_a_large_run_is_drawn_in_small_steps(large):
    """D1: the display never holds the loop for long; what happens meanwhile waits."""
    large.feed.emit(Saved(task("late", 99)))
    large.loop.advance(10.0)
    assert not large.display.is_replacing
    assert large.page.kinds() == [STATIC]
    assert "60 completed" in large.page.texts()[0]
    assert large.closed == 1


def test_drawing_in_small_steps_is_ended_by_whoever_cannot_wait(large):
    large.display.flush()
    assert not large.display.is_replacing
    assert large.page.kinds() == [STATIC]
    large.loop.advance(10.0)
    assert len([data for data in large.page.published if set(data[1]) == STATIC]) == 1


def test_a_fault_between_two_steps_leaves_what_was_there(large, monkeypatch, caplog):
    def broken(_model):
        raise RuntimeError("nothing is drawn")

    monkeypatch.setattr(text, "tree", broken)
    large.loop.advance(10.0)
    assert not large.display.is_replacing
    assert large.page.kinds() == [LIVE]
    assert len(logged(caplog)) == 1


def test_a_page_loaded_again_is_told_of_the_end(stage):
    """It knows the widget from the notebook file, and no display id: no static HTML can reach it."""
    widget = stage.opens()
    widget.loaded()
    stage.becomes("COMPLETED")
    assert widget.comm
    stage.feed.emit(PassBegan(2))
    stage.becomes("RUNNING")
    assert widget.front.run["status"] == "RUNNING", "and of what comes after it"


def test_a_page_that_comes_back_later_gets_the_run_as_it_is_then(stage):
    widget = stage.opens()
    stage.becomes("COMPLETED")
    assert not stage.feed.watched
    stage.records.append(task("a"))
    widget.front.__init__()
    widget.loaded()
    widget.loaded()
    stage.loop.advance(1)
    assert widget.front.row("a") is not None
    stage.display.dispose()
    assert not stage.feed.watched, "there was one new pump only"
    assert widget.comm is None


def test_a_row_keeps_its_number_when_a_page_comes_back(stage):
    """An action that is on its way must not hit another row."""
    stage.feed.emit(Seen("b", Reason.NEW))
    stage.feed.emit(Saved(task("b", 2)))
    widget = stage.opens()
    stage.loop.advance(1.0)
    (number,) = widget.front.rows
    stage.becomes(RunStatus.COMPLETED)
    stage.records = [task("a", 1), task("b", 2)]
    widget.loaded()
    stage.loop.advance(1.0)
    assert widget.front.rows[number]["n"] == "b"
    assert len(widget.front.rows) == 2


def test_a_page_of_a_run_that_was_deleted_harms_nobody(stage, caplog):
    widget = stage.opens()
    stage.becomes("COMPLETED")
    stage.fault = NotFoundError("there is no run 'run_1'")
    widget.loaded()
    stage.loop.advance(1)
    assert "does not exist any more" in caplog.records[0].message


def test_a_widget_that_no_page_shows_leaves_nothing_with_the_notebook(stage):
    """As when a program runs it. The comm stays open for a while: to close the last one is a race in JupyterLab."""
    widget = stage.show()
    stage.becomes("COMPLETED")
    assert widget.vacant
    assert widget.comm
    widget.loaded()  # too late
    stage.loop.advance(1)
    assert not stage.feed.watched


def test_widgets_are_not_kept_for_ever(monkeypatch):
    stages = [Stage() for _ in range(display_module._KEPT + 2)]
    widgets = [stage.opens() for stage in stages]
    for stage in stages:
        stage.becomes("COMPLETED")
    assert [bool(widget.comm) for widget in widgets] == [False] * 2 + [True] * display_module._KEPT


@pytest.mark.parametrize(
    "message", [None, [], "hello", {}, {"t": "hello", "new": []}, {"t": ["hello"]}], ids=repr
)
def test_malformed_messages_harm_nobody(stage, message, caplog):
    widget = stage.opens()
    widget.receive(message)
    stage.becomes("COMPLETED")
    widget.receive(message)
    stage.loop.advance(1)
    assert stage.page.kinds() == [STATIC]
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
    assert stage.page.kinds() == [STATIC, STATIC]


def test_a_widget_that_someone_closed_is_not_made_anew_for_nobody(stage):
    """What happens is told to those who look; it opens no widget where there is none."""
    widget = stage.opens()
    widget.close()
    stage.feed.emit(Saved(task("a")))
    stage.loop.advance(10)
    assert stage.display._widget is widget


def test_closed_it_follows_no_more(stage):
    stage.opens()
    stage.display.close()
    stage.display.close()
    assert stage.closed == 1
    stage.becomes("COMPLETED")
    stage.display.replace_widget()
    assert stage.page.kinds() == [LIVE]


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
    stage.loop.advance(10)
    assert "FAILED" in stage.page.texts()[0], "it is tried again when nothing more happens, too"


def test_a_widget_that_fails_leaves_what_does_without_it(stage, caplog):
    widget = stage.opens()
    widget.fault = OSError("the comm is closed")
    stage.feed.emit(Saved(task("a")))
    stage.becomes("FAILED")
    assert stage.page.kinds() == [STATIC]
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
    monkeypatch.setattr(module, name, lambda *_: 1 / 0)
    stage.display.show()
    stage.becomes("WAITING", reason="paused")
    assert stage.page.places == {}
    assert logged(caplog) == FAILED
    monkeypatch.undo()
    stage.display.show()
    assert stage.page.kinds() == [LIVE]


def test_a_display_can_be_asked_for_on_any_thread(stage):
    """A cell of a subshell runs on a thread of its own."""
    thread = threading.Thread(target=stage.display.show)
    thread.start()
    thread.join()
    assert stage.loop.timers == [], "timers belong to the loop's thread"
    stage.loop.turn()
    assert stage.page.kinds() == [LIVE]


def test_events_after_the_loop_has_closed_harm_nobody(stage):
    stage.show()
    stage.loop.closed = True
    stage.feed.emit(SavedRun(run("COMPLETED")))
    assert not stage.feed.watched


def test_outside_a_notebook_ipython_is_not_even_imported():
    code = (
        "import sys; from trigger_nb._view.live.display import in_notebook; "
        "print(in_notebook(), 'IPython' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
    assert not in_notebook()


# --- with a real widget -------------------------------------------------------------------------------


def test_a_real_widget_has_the_picture_and_what_it_takes_to_draw_it(stage, monkeypatch):
    """Without a kernel its comm goes nowhere; all else is as it is with one."""
    monkeypatch.undo()
    monkeypatch.setattr(display_module, "_shell", lambda: stage.page)
    widget = stage.show()
    state = widget.get_state()
    assert state["kind"] == "run"
    assert state["first"]["run"]["title"] == "job"
    assert state["first"]["n"] == 1
    for part in ("_esm", "_css"):
        assert len(state[part]) > 10_000
    assert 'from "./' not in state["_esm"], "one module, that imports nothing"
    (data,) = stage.page.places.values()
    assert data[WIDGET]["model_id"] == widget.model_id


def test_a_widget_that_is_closed_leaves_nothing_behind(stage, monkeypatch):
    """ipywidgets keeps all that are not closed, their layouts too, for as long as the kernel lives."""
    monkeypatch.undo()
    monkeypatch.setattr(display_module, "_shell", lambda: stage.page)
    from ipywidgets.widgets.widget import _instances

    before = dict(_instances)
    widget = stage.show()
    assert len(_instances) > len(before)
    stage.becomes("COMPLETED")
    stage.display.dispose()
    assert _instances == before
    assert widget.comm is None
    widget.post({"n": 7})  # a message that was on its way


def test_a_real_widget_hears(stage, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(display_module, "_shell", lambda: stage.page)
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
