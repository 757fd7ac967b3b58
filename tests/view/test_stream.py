"""The messages to the live widget: bounded, complete, and healed when one is lost."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from tests.support.front import Front, Stopwatch
from tests.view.test_model import Clock, T, events, run, seen, task
from trigger_nb import Reason, RunStatus, TaskStatus
from trigger_nb._records.feed import Feed, PassBegan, Progressed, Saved, SavedRun, Seen
from trigger_nb._view.live import stream as stream_module
from trigger_nb._view.live.stream import Stream
from trigger_nb._view.live.wire import PAGE, Button
from trigger_nb._view.model.run_model import RunModel


class Controls:
    def __init__(self) -> None:
        self.given = [Button("pause", "Pause"), Button("retry", "Retry", "Nothing has failed")]

    def buttons(self, run):
        return self.given

    def page(self, run):
        return dict(PAGE)

    def row_buttons(self, run):
        return [Button("rerun_from", "Rerun from here")]


class StreamFront(Front):
    """A front end beside its stream."""

    def __init__(self, stream: Stream) -> None:
        super().__init__()
        self.stream = stream

    def read(self) -> None:
        """Take all that there is to tell."""
        while (message := self.stream.next()) is not None or self.stream.behind:
            if message is not None:
                self.take(message)

    @property
    def tree(self) -> dict[str | None, dict[str, Any]]:
        """The rows by path, without their numbers."""
        without = ("i", "p")
        return {
            self.stream.path(index): {name: row[name] for name in row if name not in without}
            for index, row in self.rows.items()
        }


def stage(
    records=(), *, lazy: bool = True, timer: Stopwatch | None = None, **options
) -> tuple[Feed, Stream, StreamFront]:
    feed = Feed()
    model = RunModel(run(), iter(records), clock=Clock(), lazy=lazy, **options)
    stream = Stream(model, feed.subscribe(), Controls(), timer=timer or Stopwatch())
    return feed, stream, StreamFront(stream)


def fresh(stream: Stream) -> StreamFront:
    """A front end that gets everything from the beginning."""
    front = StreamFront(stream)
    stream.hello(-1)
    front.read()
    return front


# --- what arrives -------------------------------------------------------------------------------------


def test_first_there_is_a_picture_then_what_changes():
    feed, stream, front = stage([task("a"), task("b", 2, TaskStatus.RUNNING)], seen=seen("a", "b"))
    front.take(stream.first())
    assert front.run["title"] == "job"
    assert front.run["state"] == "running"
    assert front.run["chips"] == [["completed", "1", "completed"], ["running", "1", "running"]]
    front.read()
    feed.emit(Saved(task("b", 2)))
    message = stream.next()
    assert message["rows"] == [[["i", "d", "s"], [1, 0.5, 0]]], "nothing but what has changed"
    assert set(message["run"]) == {"chips", "bar", "look"}
    assert stream.next() is None


def test_times_are_relative_and_a_field_that_goes_back_is_sent_as_its_default():
    feed, stream, front = stage(
        [task("a", 1, TaskStatus.WAITING, kind="wait", next_at=T + 60)], seen=seen("a")
    )
    front.take(stream.first())
    front.read()
    assert front.rows[0]["w"] == 60
    assert front.rows[0]["t"] == 1
    assert front.rows[0]["d"] is None
    feed.emit(Saved(task("a", 1, kind="wait")))
    front.read()
    assert front.rows[0]["w"] is None
    assert front.rows[0]["s"] == "completed"


@given(
    st.lists(events, max_size=40),
    st.lists(events, max_size=20),
    st.lists(st.booleans(), min_size=60, max_size=60),
)
@settings(deadline=None, max_examples=150)
def test_whatever_happens_and_whatever_is_lost_the_front_end_ends_up_with_the_whole(early, late, lost):
    """D1: a gap in the numbers asks for a new snapshot."""

    feed, stream, front = stage([task("a"), task("a/x", 2)], seen={})
    front.take(stream.first())
    drops = iter(lost)
    for event in [*early, *late]:
        if isinstance(event, tuple):
            record, reason, changed = event
            feed.emit(Seen(record.path, reason, changed))
            feed.emit(Saved(record))
        else:
            feed.emit(event)
        message = stream.next()
        if message is not None and not next(drops, False):
            front.take(message)
            if front.missed:
                stream.hello(front.number)
    front.read()
    front.take(stream.tail())  # what shows that the last message was lost
    if front.missed:
        stream.hello(front.number)
        front.read()
    whole = fresh(stream)
    assert front.tree == whole.tree
    assert front.run == whole.run | {"at": front.run["at"]}


def test_a_second_front_end_gets_everything_and_numbers_stay():
    """An action may be on its way: the number in it must never be another row's."""
    feed, stream, front = stage([task("b", 5), task("a", 1)], seen=seen("a", "b"))
    front.take(stream.first())
    front.read()
    numbers = {index: stream.path(index) for index in front.rows}
    feed.emit(Saved(task("c", 0)))
    other = fresh(stream)
    assert {index: stream.path(index) for index in numbers} == numbers
    assert len(other.rows) == 3


def test_a_front_end_that_has_everything_gets_nothing_again():
    _, stream, front = stage([task("a")], seen=seen("a"))
    front.take(stream.first())
    front.read()
    stream.hello(front.number)
    assert stream.next() is None


# --- bounded ------------------------------------------------------------------------------------------


def many(count: int):
    return [task(f"batch-{at // 100}/item-{at}", at + 1, name=f"Fetch item {at}") for at in range(count)]


def test_a_snapshot_comes_in_pieces_and_is_small():
    """D1: at 10,000 tasks it is at most 1 MB."""
    records = many(10_000)
    _, stream, front = stage(records, seen=seen(*(record.path for record in records)), timer=Stopwatch(0.002))
    first = stream.first()
    assert sum(len(rows) - 1 for rows in first["rows"]) <= stream_module._FIRST_ROWS
    assert first["more"]
    front.take(first)
    size, pieces = len(json.dumps(first)), 1
    while (message := stream.next()) is not None:
        front.take(message)
        size, pieces = size + len(json.dumps(message, separators=(",", ":"))), pieces + 1
    assert len(front.rows) == 10_100
    assert size < 1_000_000
    assert pieces > 3


def test_the_work_for_one_message_is_bounded():
    """However much has happened: the clock is looked at, and the rest comes with the next message."""
    feed, stream, front = stage(timer=Stopwatch(0.002))
    front.take(stream.first())
    for record in many(5000):
        feed.emit(Saved(record))
    message = stream.next()
    assert message["more"]
    assert 0 < sum(len(group) - 1 for group in message["rows"]) < 1000
    front.take(message)
    front.read()
    assert len(front.rows) == 5050


def test_details_are_sent_while_they_are_open():
    timer = Stopwatch(0.002)
    feed, stream, front = stage(
        [task("a", 1, TaskStatus.RUNNING, params={"id": 7})], seen=seen("a"), timer=timer
    )
    front.take(stream.first())
    front.read()
    assert front.details == {}
    stream.watch(0, True)
    front.read()
    labels = {section["label"]: section for section in front.details["0"]["sections"]}
    assert "7" in json.dumps(labels["Params"])
    feed.emit(Saved(task("a", value=41)))
    front.read()  # once it is their turn again
    assert "41" in json.dumps(front.details)
    stream.watch(0, False)
    front.details.clear()
    feed.emit(Saved(task("a", value=42)))
    front.read()
    assert front.details == {}


@pytest.mark.parametrize("index", [-1, 7, 10**9])
def test_details_of_a_row_that_is_not_there_are_no_fault(index):
    _, stream, front = stage([task("a")])
    front.take(stream.first())
    stream.watch(index, True)
    front.read()
    assert front.details == {}
    assert stream.path(index) is None


def test_answers_go_out_once():
    _, stream, front = stage()
    front.take(stream.first())
    stream.answer({"id": "1", "ok": True})
    front.read()
    front.read()
    assert front.answers == [{"id": "1", "ok": True}]


def test_a_new_pass_draws_what_it_has_not_met_as_not_reached():
    """R8."""
    feed, stream, front = stage([task("a"), task("b", 2)], seen=seen("a", "b"))
    front.take(stream.first())
    feed.emit(PassBegan(2))
    feed.emit(Seen("a", Reason.REPLAYED))
    feed.emit(Saved(task("a")))
    front.read()
    assert front.tree["b"]["s"] == "not reached"
    assert front.tree["a"]["r"]
    assert front.tree["a"]["m"] == ["replayed"]


def test_progress_and_the_end_of_it():
    feed, stream, front = stage([task("a", 1, TaskStatus.RUNNING)], seen=seen("a"))
    front.take(stream.first())
    feed.emit(Progressed("a", 3, 10, "rows"))
    front.read()
    assert front.rows[0]["b"] == [0.3, 0, "3 of 10 · rows"]
    feed.emit(Saved(task("a")))
    front.read()
    assert front.rows[0]["b"] is None


@pytest.mark.parametrize(
    ("done", "total", "sent"),
    [
        (3, None, [None, 0, "3"]),
        (0.5, 1, [0.5, 0, "0.5 of 1"]),
        (Decimal("1.5"), True, [1, 0, "1.5 of 1"]),
        (float("nan"), float("inf"), [None, 0, "0"]),
        pytest.param("many", object(), [None, 0, "0"], id="no numbers"),
    ],
    ids=repr,
)
def test_progress_is_what_users_call_it_and_numbers_on_the_wire(done, total, sent):
    feed, stream, front = stage([task("a", 1, TaskStatus.RUNNING)], seen=seen("a"))
    front.take(stream.first())
    feed.emit(Progressed("a", done, total, None))
    front.read()
    assert front.rows[0]["b"] == sent


def test_the_clock_is_sent_when_it_changes_its_course():
    feed, stream, front = stage()
    front.take(stream.first())
    assert front.run["ticking"]
    assert front.run["elapsed"] == 100
    feed.emit(Saved(task("a")))
    message = stream.next()
    assert not {"elapsed", "at", "ticking"} & set(message["run"])
    feed.emit(SavedRun(run(RunStatus.COMPLETED, worked=7.0, finished_at=T + 7)))
    front.read()
    assert not front.run["ticking"]
    assert front.run["elapsed"] == 7.0
