"""How a map looks: its node with counts and progress, its items failures first, and of thousands only what matters."""

from __future__ import annotations

import json

import pytest

from tests.support.front import Loop, Stopwatch
from tests.support.views import Page
from tests.view.test_model import Clock, T, run, task
from tests.view.test_stream import Controls, StreamFront, fresh
from trigger_nb import Reason, RunStatus, TaskStatus
from trigger_nb._records.feed import Feed, PassBegan, Progressed, Saved, Seen
from trigger_nb._records.records import TaskRecord
from trigger_nb._view.live.map_items import Items
from trigger_nb._view.live.stream import Stream
from trigger_nb._view.model.run_model import RunModel
from trigger_nb._view.render import html, text
from trigger_nb._view.render.details import sections

ERROR = {"type": "ValueError", "message": "no text"}


def item(number: int, status: str = TaskStatus.COMPLETED, **fields) -> TaskRecord:
    error = {"error": ERROR} if status == TaskStatus.ERRORED else {}
    given = {"started_at": T + 1, "name": f"Text {number}", **error, **fields}
    return task(f"embed/i{number:06}", number + 2, status, **given)


def of_map(items, *, node=None, **options) -> RunModel:
    node = node or task("embed", 1, TaskStatus.RUNNING, kind="map")
    records = [node, *items]
    seen = {record.path: Seen(record.path, Reason.NEW) for record in records}
    return RunModel(run(), records, seen=seen, clock=Clock(), **options)


def stage(model: RunModel, timer: Stopwatch | None = None) -> tuple[Feed, Stream, StreamFront]:
    feed = Feed()
    stream = Stream(model, feed.subscribe(), Controls(), timer=timer or Stopwatch())
    return feed, stream, fresh(stream)


def several(count: int) -> list[TaskRecord]:
    """Of a hundred items the 8th has failed; the last five run."""
    done = [item(n, TaskStatus.ERRORED if n % 100 == 7 else TaskStatus.COMPLETED) for n in range(count - 5)]
    return [*done, *(item(n, TaskStatus.RUNNING) for n in range(count - 5, count))]


def names(front: StreamFront) -> list[str]:
    return [row["n"] for row in front.rows.values() if row["p"] != -1]


def node(front: StreamFront) -> dict:
    [row] = [row for row in front.rows.values() if row["z"] == "map"]
    return row


# --- which items are sent ---------------------------------------------------------------------------


def test_of_a_large_map_what_failed_and_what_runs_is_sent_and_the_rest_is_counted():
    _, _, front = stage(of_map(several(1000)))
    assert len(names(front)) == 10 + 5
    assert {row["s"] for row in front.rows.values() if row["p"] != -1} == {"failed", "running"}
    assert node(front)["f"] == {"completed": 985}
    assert front.run["tally"]["completed"] == 985


def test_the_items_of_a_small_map_are_sent_like_all_others():
    _, _, front = stage(of_map(several(50)))
    assert len(names(front)) == 50
    assert node(front)["f"] == {}


def test_a_map_that_grows_large_takes_back_what_is_done():
    feed, _, front = stage(of_map([item(n) for n in range(40)]))
    assert len(names(front)) == 40
    for number in range(40, 80):
        feed.emit(Seen(item(number).path, Reason.NEW))
        feed.emit(Saved(item(number)))
    front.read()
    assert names(front) == []
    assert node(front)["f"] == {"completed": 80}


def test_an_item_that_ends_is_told_and_then_only_counted():
    feed, stream, front = stage(of_map(several(1000)))
    feed.emit(Saved(item(999)))
    message = stream.next()
    assert message is not None
    assert len(message["gone"]) == 1
    front.take(message)
    assert "Text 999" not in names(front)
    assert node(front)["f"] == {"completed": 986}


def test_a_snapshot_of_100_000_items_is_small():
    _, stream, _ = stage(of_map(several(100_000)))
    stream.hello(-1)
    sent = 0
    while (message := stream.next()) is not None or stream.behind:
        sent += len(json.dumps(message))
    assert sent < 200_000


def test_items_that_have_only_just_begun_are_not_shown():
    model = of_map(several(1000))
    loop = Loop()
    feed, stream, front = stage(model, Stopwatch(loop=loop))
    begun = item(1000, TaskStatus.RUNNING).copy(started_at=T + 100)  # now, by the model's clock
    feed.emit(Seen(begun.path, Reason.NEW))
    feed.emit(Saved(begun, live=True))
    front.read()
    assert "Text 1000" not in names(front)
    assert node(front)["f"] == {"completed": 985, "running": 1}
    assert stream.pending, "it is looked at again"
    loop.advance(1)
    front.read()
    assert "Text 1000" in names(front), "now it can be read"


@pytest.mark.parametrize("step", [0.0, 0.003], ids=["quick", "slow"])
def test_when_thousands_have_failed_the_first_ones_are_sent(step):
    """Also where many items are looked at, for want of time a few at once, of which none is to be sent."""
    _, stream, front = stage(of_map([item(n, TaskStatus.ERRORED) for n in range(2000)]), Stopwatch(step))
    assert names(front) == [f"Text {n}" for n in range(300)]
    assert node(front)["f"] == {"failed": 1700}
    stream.show_items(0, "failed")
    front.read()
    assert names(front) == [f"Text {n}" for n in range(800)]


# --- what is asked for ------------------------------------------------------------------------------


def test_finished_items_come_in_pages_when_they_are_asked_for_and_go_again():
    _, stream, front = stage(of_map(several(2000)))
    before = names(front)
    stream.show_items(0, "completed")
    front.read()
    asked = [name for name in names(front) if name not in before]
    assert asked == [f"Text {n}" for n in range(505) if n % 100 != 7]
    assert node(front)["f"] == {"completed": 1975 - 500}
    assert len(fresh(stream).rows) == len(front.rows), "another page gets them, too"
    stream.show_items(0, None)
    front.read()
    assert names(front) == before


def test_a_text_is_looked_for_in_all_items():
    _, stream, front = stage(of_map(several(2000)))
    before = names(front)
    stream.look_for("text 123")
    front.read()
    found = set(names(front)) - set(before)
    assert found == {f"Text {n}" for n in (123, *range(1230, 1240))}
    stream.look_for("")
    front.read()
    assert names(front) == before


def test_an_item_that_somebody_looks_into_stays():
    feed, stream, front = stage(of_map(several(1000)))
    [index] = [number for number, row in front.rows.items() if row["n"] == "Text 999"]
    stream.watch(index, True)
    feed.emit(Saved(item(999)))
    front.read()
    assert front.rows[index]["s"] == "completed"
    stream.watch(index, False)
    front.read()
    assert index not in front.rows


def test_what_is_in_an_item_comes_and_goes_with_it():
    inside = [task(f"{item(n).path}/call", 5000 + n, TaskStatus.COMPLETED) for n in range(1000)]
    feed, stream, front = stage(of_map([*several(1000), *inside]))
    assert len([row for row in front.rows.values() if row["n"] == "call"]) == 15
    feed.emit(Saved(item(999)))
    front.read()
    assert len([row for row in front.rows.values() if row["n"] == "call"]) == 14
    stream.show_items(0, "completed")
    front.read()
    assert len([row for row in front.rows.values() if row["n"] == "call"]) == 14 + 500


def test_after_whatever_happened_a_new_front_end_gets_the_same():
    feed, stream, front = stage(of_map(several(1000)))
    for number in (3, 7, 995, 996):
        feed.emit(Saved(item(number, TaskStatus.ERRORED if number % 2 else TaskStatus.COMPLETED)))
    stream.show_items(0, "completed")
    front.read()
    assert fresh(stream).tree == front.tree
    feed.emit(PassBegan(2))
    front.read()
    assert fresh(stream).tree == front.tree


def test_what_is_not_shown_is_counted_once():
    model = of_map(several(1000))
    rows, shown = list(model.rows.values()), Items()
    assert [row.name for row in rows if row.items and shown.shows(row.items)] == [
        row.name for row in rows if row.state in ("failed", "running") and row.items
    ]
    assert shown.rest(model.rows["embed"]) == {"completed": 985}


# --- what the node says -----------------------------------------------------------------------------


def test_the_node_says_how_far_it_is_how_fast_and_when_it_is_done():
    feed, _, front = stage(of_map(several(1000)))
    feed.emit(Progressed("embed", 900, 5000, None, failed=4, rate=412.345, ends_at=T + 110))
    front.read()
    assert node(front)["b"] == [995, 5000, "", 10, 412, 110.0], "its items are newer than what it said last"
    assert front.run["tally"]["to come"] == 4000


def test_the_node_says_what_became_of_its_items():
    ended = task(
        "embed", 1, TaskStatus.COMPLETED, kind="map", tally={"items": 1000, "failed": 3}, ended_at=T + 6
    )
    model = of_map([item(n) for n in range(60)], node=ended)
    model.apply([Seen(item(n).path, Reason.REPLAYED) for n in range(50)])
    line = next(line for line in text.tree(model).splitlines() if "embed" in line)
    assert "1,000 items · 3 failed · 50 replayed · 190/s" in line


# --- text and HTML ----------------------------------------------------------------------------------


def test_text_and_html_tell_failures_first_and_count_the_rest():
    model = of_map(several(1000))
    lines = [line for line in text.tree(model).splitlines() if "Text " in line]
    assert [line.split("✘")[1].split()[:2] for line in lines[:10]] == [
        ["Text", str(n)] for n in range(7, 1000, 100)
    ]
    page = Page(html.final(model))
    told = [line for line in page.lines if "Text " in line]
    assert all("✘" in line for line in told[:10])
    assert len([line for line in page.lines if "Text 7 " in line]) == 1, "once, for it comes first"


def test_the_html_and_text_of_100_000_items_are_small():
    model = of_map(several(100_000))
    assert len(html.final(model)) < 300_000
    assert len(html.live(model)) < 100_000
    assert len(text.tree(model)) < 50_000


# --- what is kept -----------------------------------------------------------------------------------


def test_of_finished_items_the_model_keeps_what_their_rows_show():
    whole = item(1, value=list(range(1000)), params=["a" * 1000])
    model = of_map([whole], read={whole.path: whole}.get)
    row = model.rows[whole.path]
    assert row.record is not None
    assert row.record.value is None
    assert row.record.params is None
    assert {"Params", "Output"} <= {section.label for section in sections(model, row)}


def test_what_a_run_keeps_stays_when_its_store_is_gone():
    whole = item(1, value=[1])
    model = of_map([whole], read=lambda path: None)
    assert [section.label for section in sections(model, model.rows[whole.path])]
    assert model.run.status == RunStatus.RUNNING
