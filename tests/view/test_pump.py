"""When the live widget's messages go out, and what becomes of those that come in. No clock but the test's own."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from tests.support.front import Front, Loop, Stopwatch
from tests.view.test_model import Clock, run, task
from trigger_nb import TaskStatus
from trigger_nb._records.feed import Feed, Saved, SavedRun
from trigger_nb._view.live import pump as pump_module, wire
from trigger_nb._view.live.pump import Pump
from trigger_nb._view.live.wire import PAGE, Button
from trigger_nb._view.model.run_model import RunModel
from trigger_nb._view.render import details
from trigger_nb.errors import RunStateError


class Controls:
    """Notes what it is told to do; `fault` is raised instead."""

    def __init__(self) -> None:
        self.done: list[tuple[str, str | None]] = []
        self.fault: Exception | None = None

    def buttons(self, run):
        return [Button("pause", "Pause")]

    def page(self, run):
        return dict(PAGE)

    def row_buttons(self, run):
        return [Button("rerun_from", "Rerun from here")]

    def do(self, operation, path):
        if self.fault is not None:
            raise self.fault
        self.done.append((operation, path))

    def scope_of_rerun(self, path):
        if self.fault is not None:
            raise self.fault
        return 2, f"Runs 2 tasks again: {path}, b"


class Stage:
    """A pump, and a front end that takes what is posted."""

    def __init__(self, records=()) -> None:
        self.loop = Loop()
        self.feed = Feed()
        self.controls = Controls()
        self.front = Front()
        self.posted: list[tuple[float, dict]] = []  # when, and what
        self.takes = 0.0  # seconds that each posting takes
        self.fault: Exception | None = None
        self.worked = 0
        self.timer = Stopwatch(loop=self.loop)
        self.pump = Pump(
            lambda: RunModel(run(), iter(records), clock=Clock(), lazy=True),
            self.feed, self.loop, self.controls, self.post, after_work=self.after_work, timer=self.timer,
        )  # fmt: skip

    def post(self, message):
        self.loop.now += self.takes
        if self.fault is not None:
            raise self.fault
        self.posted.append((self.loop.now, message))
        self.front.take(message)

    def after_work(self):
        self.worked += 1

    def opens(self) -> Stage:
        """A front end has drawn the first picture, and says so."""
        self.front.take(self.pump.first())
        self.says({"t": "hello", "n": self.front.number})
        return self

    def says(self, message) -> None:
        self.pump.receive(message)
        self.loop.turn()

    def happens(self, *paths, status=TaskStatus.COMPLETED) -> None:
        for at, path in enumerate(paths):
            self.feed.emit(Saved(task(path, at + 1, status)))


@pytest.fixture(params=[(7, 4, 0)], autouse=True)
def ipykernel(request, monkeypatch):
    """The kernel's version, unless a test asks for another one."""
    kernel = SimpleNamespace(version_info=request.param) if request.param else None
    monkeypatch.setitem(pump_module.sys.modules, "ipykernel", kernel)


@pytest.fixture
def stage():
    return Stage()


def logged(caplog) -> list[str]:
    return [record.message for record in caplog.records]


FAILED = ["the display of run run_1 failed; the run itself is not affected"]


# --- when messages go out -----------------------------------------------------------------------------


def test_nothing_is_sent_before_somebody_is_there(stage):
    """What nobody sees costs nothing but the model's work."""
    stage.front.take(stage.pump.first())
    stage.happens("a", "b")
    stage.loop.advance(60)
    assert stage.posted == []
    assert set(stage.pump.model.rows) == {"a", "b"}, "it is kept up to date all the same"
    stage.says({"t": "hello", "n": stage.front.number})
    stage.loop.advance(1)
    assert set(stage.front.states) == {"a", "b"}


def test_at_most_twenty_messages_a_second(stage):
    """D1: one batched diff a flush, at 20 Hz at most."""
    stage.opens()
    for at in range(1000):  # ten seconds
        stage.happens(f"t{at}")
        stage.loop.advance(0.01)
    times = [when for when, _ in stage.posted]
    assert min(b - a for a, b in zip(times, times[1:], strict=False)) >= 0.05 - 1e-6
    assert 150 <= len(times) <= 201
    assert len(stage.front.rows) == 1000
    assert not stage.front.missed


def test_a_tenth_of_the_time_at_most(stage):
    """D1: a slow display sends less often."""
    answered = len(stage.opens().posted)
    stage.takes = 0.05
    for at in range(1000):
        stage.happens(f"t{at}")
        stage.loop.advance(0.01)
    spent = stage.takes * (len(stage.posted) - answered)
    assert 0 < spent <= 0.1 * (stage.loop.now - 1000) + stage.takes
    stage.loop.advance(60)
    assert len(stage.front.rows) == 1000


def test_a_backlog_is_no_reason_to_take_more(stage):
    """D1: only while somebody waits for the first rows."""
    stage.opens()
    stage.loop.advance(60)
    stage.posted.clear()
    stage.timer.step = 0.003
    stage.takes = 0.02
    stage.happens(*(f"t{at}" for at in range(2000)))
    began = stage.loop.now
    stage.loop.advance(6)
    assert sum("more" in message for _, message in stage.posted) > 10
    assert stage.takes * len(stage.posted) <= 0.1 * (stage.loop.now - began) + stage.takes


def test_whoever_waits_for_the_first_rows_gets_them_soon():
    stage = Stage([task(f"t{at}", at + 1) for at in range(2000)])
    stage.timer.step = 0.003
    stage.opens()
    stage.loop.advance(1)
    assert len(stage.posted) >= 15


def test_the_first_change_after_a_pause_is_sent_at_once(stage):
    stage.opens()
    stage.loop.advance(60)
    stage.happens("a")
    stage.loop.turn()
    assert stage.front.row("a") is not None


def test_tails_show_that_the_last_message_was_lost(stage):
    """D1: a gap in sequence numbers asks for a new snapshot; so the last message must not be the last number."""
    stage.opens()
    stage.happens("a")
    stage.loop.advance(0.1)
    before = len(stage.posted)
    stage.loop.advance(60)
    tails = [message for _, message in stage.posted[before:]]
    assert [set(tail) for tail in tails] == [{"n", "now"}] * 2
    assert [tail["n"] for tail in tails] == [stage.front.number - 1, stage.front.number]
    stage.loop.advance(600)
    assert len(stage.posted) == before + 2, "then it is quiet"


def test_each_report_is_answered(stage):
    """D1: a front end that hears nothing reports again; so one that has everything gets an empty message."""
    stage.opens()
    stage.loop.advance(60)
    for _ in range(2):
        before = len(stage.posted)
        stage.says({"t": "hello", "n": stage.front.number})
        stage.loop.advance(0.1)
        [(_, answer)] = stage.posted[before:]
        assert set(answer) == {"n", "now"}


def test_a_change_puts_the_tails_off(stage):
    stage.opens()
    for at in range(20):
        stage.happens(f"t{at}")
        stage.loop.advance(0.9)
    assert all("run" in message or "rows" in message for _, message in stage.posted[1:])


@pytest.mark.parametrize("ipykernel", [(6, 29, 5), (7, 3, 1), None], indirect=True)
def test_front_ends_of_older_kernels_get_everything_unasked(stage):
    """Before ipykernel 7.4 the kernel hears nothing while a cell awaits."""
    stage.pump.first()  # and nobody has a picture to go on from
    stage.happens("a")
    stage.loop.advance(0.9)
    assert stage.posted == []
    stage.loop.advance(0.2)
    assert stage.posted[0][1]["reset"]
    assert stage.front.row("a") is not None
    stage.happens("b")
    stage.loop.advance(1)
    assert stage.front.row("b") is not None, "from then on messages flow"
    assert sum("reset" in message for _, message in stage.posted) == 1
    stage.loop.advance(4)
    assert sum("reset" in message for _, message in stage.posted) == 2, "for one that took long to draw"
    stage.loop.advance(60)
    assert sum("reset" in message for _, message in stage.posted) == 2


@pytest.mark.parametrize("ipykernel", [(7, 3, 1)], indirect=True)
def test_one_that_was_heard_gets_nothing_twice(stage):
    stage.opens()
    stage.loop.advance(60)
    assert not any("reset" in message for _, message in stage.posted)


def test_a_new_kernel_waits_to_be_asked(stage):
    stage.pump.first()
    stage.loop.advance(60)
    assert stage.posted == []


# --- threads, loops, faults ---------------------------------------------------------------------------


def test_events_and_messages_may_come_from_any_thread(stage):
    stage.opens()

    def both(at):
        stage.happens(f"t{at}")
        stage.pump.receive({"t": "do", "id": f"r{at}", "op": "pause"})

    threads = [threading.Thread(target=both, args=(at,)) for at in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stage.controls.done == [], "all work is done on the loop (rule D3)"
    stage.loop.advance(1)
    assert len(stage.front.rows) == 20
    assert {answer["id"] for answer in stage.front.answers} == {f"r{at}" for at in range(20)}
    assert len(stage.controls.done) == 20


def test_flushed_from_another_thread_it_plans_on_the_loop(stage):
    """Timers belong to the loop's thread."""
    stage.opens()
    stage.happens("a")
    planned = []
    stage.loop.call_at = lambda *_args, **_options: planned.append(threading.current_thread())
    stage.pump._after_work = lambda: stage.pump.schedule(1)
    thread = threading.Thread(target=stage.pump.flush)
    thread.start()
    thread.join()
    assert stage.front.row("a") is not None
    assert planned == []
    stage.loop._soon.popleft()()
    assert planned == [threading.current_thread()]


def test_a_fault_is_logged_once_and_it_recovers(stage, caplog):
    """D1: a rendering error never fails a run."""
    stage.opens()
    stage.fault = OSError("the front end is gone")
    for at in range(5):
        stage.happens(f"t{at}")
        stage.loop.advance(0.5)
    assert logged(caplog) == FAILED
    assert stage.worked >= 5, "what stands beside the widget is seen to all the same"
    stage.fault = None
    stage.loop.advance(10)
    assert stage.front.missed, "the tail shows that there is a gap"
    stage.says({"t": "hello", "n": stage.front.number})
    stage.loop.advance(1)
    assert len(stage.front.rows) == 5
    assert not stage.front.missed


def test_a_fault_in_one_row_keeps_no_other_away(stage, caplog, monkeypatch):
    """D1. The row itself says that it cannot be displayed."""
    row = wire.row

    def broken(of, base):
        if of.path == "b":
            raise RuntimeError("nothing is drawn")
        return row(of, base)

    monkeypatch.setattr(wire, "row", broken)
    stage.opens()
    stage.happens("a", "b", "b/x", "c")
    stage.loop.advance(1)
    assert {fields["n"] for fields in stage.front.rows.values()} == {"a", "b", "x", "c"}
    assert "cannot be displayed" in stage.front.row("b")["e"]
    assert logged(caplog) == FAILED
    monkeypatch.undo()
    stage.happens("b")
    stage.pump.flush()
    assert stage.front.row("b")["e"] == ""


def test_a_fault_in_details_keeps_nothing_else_away(stage, caplog, monkeypatch):
    monkeypatch.setattr(details, "sections", lambda *_: 1 / 0)
    stage.opens()
    stage.happens("a")
    stage.loop.advance(1)
    stage.says({"t": "details", "i": 0, "on": True})
    stage.happens("b")
    stage.loop.advance(1)
    assert stage.front.row("b") is not None
    assert "cannot be displayed" in stage.front.details["0"]["sections"][0]["text"]
    assert logged(caplog) == FAILED


def test_what_a_fault_in_the_header_kept_away_comes_when_it_is_over(stage, caplog, monkeypatch):
    stage.opens()
    header = wire.header
    monkeypatch.setattr(wire, "header", lambda *_: 1 / 0)
    stage.happens("a", "b", "c")
    stage.loop.advance(1)
    assert stage.front.rows == {}
    monkeypatch.setattr(wire, "header", header)
    stage.loop.advance(1)
    assert len(stage.front.rows) == 3
    assert logged(caplog) == FAILED


def test_after_the_loop_has_closed_events_and_messages_harm_nobody(stage):
    stage.opens()
    stage.loop.closed = True
    stage.happens("a")
    assert stage.pump.closed
    assert not stage.feed.watched
    stage.pump.receive({"t": "hello", "n": 0})
    stage.pump.schedule(1)
    stage.pump.flush()


def test_closed_it_follows_no_more(stage):
    stage.opens()
    stage.happens("a")
    stage.loop.turn()
    before = len(stage.posted)
    stage.pump.close()
    assert not stage.feed.watched
    assert stage.loop.timers == []
    stage.says({"t": "hello", "n": -1})
    stage.pump.flush()
    stage.loop.advance(60)
    assert len(stage.posted) == before


@pytest.mark.anyio
async def test_settling_lets_the_loop_go_on_in_between(stage, monkeypatch):
    """However much has happened, nothing else is held up."""
    stage.opens()
    stage.happens(*(f"t{at}" for at in range(500)))
    stage.timer.step = 0.003
    turns = []
    take_in = stage.pump._stream.take_in
    monkeypatch.setattr(stage.pump._stream, "take_in", lambda: turns.append(1) or take_in())
    await stage.pump.settle()
    assert len(turns) > 3
    assert len(stage.pump.model.rows) == 500


# --- what front ends say ------------------------------------------------------------------------------


def test_actions_are_taken_and_answered(stage):
    stage.opens()
    stage.happens("a")
    stage.loop.advance(1)
    stage.says({"t": "do", "id": "1", "op": "pause"})
    stage.says({"t": "do", "id": "2", "op": "rerun_from", "i": 0})
    stage.says({"t": "ask", "id": "3", "op": "rerun_from", "i": 0})
    stage.loop.advance(1)
    assert stage.controls.done == [("pause", None), ("rerun_from", "a")]
    assert stage.front.answers == [
        {"id": "1", "ok": True},
        {"id": "2", "ok": True},
        {"id": "3", "ok": True, "count": 2, "text": "Runs 2 tasks again: a, b"},
    ]


@pytest.mark.parametrize("kind", ["do", "ask"])
def test_what_is_refused_is_answered_with_the_reason(stage, kind, caplog):
    stage.opens()
    stage.controls.fault = RunStateError("run \u202e1 is COMPLETED: pause makes no sense, it has completed")
    stage.says({"t": kind, "id": "1", "op": "pause"})
    stage.loop.advance(1)
    (answer,) = stage.front.answers
    assert answer == {
        "id": "1",
        "ok": False,
        "text": "run \\u202e1 is COMPLETED: pause makes no sense, it has completed",
    }
    assert logged(caplog) == [], "that is no fault"


@pytest.mark.parametrize("kind", ["do", "ask"])
def test_a_fault_in_an_action_is_answered_too(stage, kind, caplog):
    """Whoever pressed the button must not wait for ever."""
    stage.opens()
    stage.controls.fault = OSError("disk full")
    stage.says({"t": kind, "id": "1", "op": "pause", "i": 0})
    stage.loop.advance(1)
    assert stage.front.answers == [{"id": "1", "ok": False, "text": "OSError: disk full"}]
    assert logged(caplog) == FAILED


@pytest.mark.parametrize(
    "message",
    [
        *(None, [], "hello", 7, {}, {"t": None}, {"t": "unknown"}, {"t": ["hello"]}, {"t": {"t": "do"}}),
        *({"t": "hello"}, {"t": "hello", "n": None}, {"t": "hello", "n": "1"}, {"t": "hello", "n": [1]}),
        *({"t": "details"}, {"t": "details", "i": None}, {"t": "details", "i": 0.5, "on": True}),
        *({"t": "details", "i": "0", "on": True}, {"t": "details", "i": [], "on": True}),
        *({"t": "details", "i": -1, "on": True}, {"t": "details", "i": 10**30, "on": True}),
        *({"t": "details", "i": 7, "on": "yes"}, {"t": "details", "i": 7}),
        *({"t": "do"}, {"t": "do", "id": "1"}, {"t": "do", "op": "pause"}, {"t": "do", "id": [], "op": {}}),
        *({"t": "do", "id": "1", "op": None, "i": "x"}, {"t": "do", "id": {"a": 1}, "op": "pause"}),
        *({"t": "ask"}, {"t": "ask", "id": "1", "i": 0.5}, {"t": "ask", "id": None, "i": 10**30}),
    ],
    ids=repr,
)
def test_malformed_messages_harm_nobody(stage, message, caplog):
    """They come from outside."""
    stage.opens()
    stage.happens("a")
    stage.loop.advance(1)
    stage.says(message)
    stage.loop.advance(1)
    stage.happens("b")
    stage.says({"t": "do", "id": "after", "op": "pause"})
    stage.loop.advance(1)
    assert stage.front.row("b") is not None
    assert "after" in {answer["id"] for answer in stage.front.answers}
    assert not stage.front.missed
    assert logged(caplog) == []


def test_a_row_is_named_by_its_number_for_ever(stage):
    """An action that was on its way when rows came in must not hit another one."""
    stage.opens()
    stage.happens("b")
    stage.loop.advance(1)
    stage.says({"t": "hello", "n": -1})
    stage.feed.emit(Saved(task("a", 0)))
    stage.feed.emit(SavedRun(run()))
    stage.says({"t": "do", "id": "1", "op": "rerun_from", "i": 0})
    stage.loop.advance(1)
    assert stage.controls.done == [("rerun_from", "b")]
