"""How a map looks: its node with counts and progress, its items failures first, and of thousands only what matters."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, strategies as st

from tests.support.front import Loop, Stopwatch
from tests.support.views import Page
from tests.view.test_model import Clock, T, run, task
from tests.view.test_stream import Controls, StreamFront, fresh
from trigger_nb import Reason, RunStatus, TaskStatus
from trigger_nb._records.feed import Feed, PassBegan, Progressed, Saved, Seen
from trigger_nb._records.records import TaskRecord
from trigger_nb._view.live import map_wire
from trigger_nb._view.live.map_items import Items
from trigger_nb._view.live.stream import Stream
from trigger_nb._view.model import map_stats
from trigger_nb._view.model.hints import hints
from trigger_nb._view.model.map_stats import MapStats, Spread
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


def several(count: int, *, differ: bool = False) -> list[TaskRecord]:
    """Of a hundred items the 8th has failed, each with another error if they `differ`; the last five run."""
    done = [item(n, TaskStatus.ERRORED if n % 100 == 7 else TaskStatus.COMPLETED) for n in range(count - 5)]
    for number, record in enumerate(done):
        if differ and record.error is not None:
            done[number] = record.copy(error={"type": f"E{number}", "message": "no text"})
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
    assert front.run["chips"][0] == ["completed", "985", "completed"]


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


def test_a_text_is_looked_for_in_the_details_of_all_items_which_may_have_to_be_read():
    """Also in those that the model keeps only a part of; redacted values are not searched."""
    wholes = {
        item(n).path: item(n, value={"town": "Faro" if n == 700 else "Braga"}, params=[n], redact=["token"])
        for n in range(1000)
    }
    wholes[item(3).path].value["token"] = "Faro"
    model = of_map(wholes.values(), read=wholes.get)
    _, stream, front = stage(model, Stopwatch(0.001))
    stream.look_for("faro")
    front.read()
    assert names(front) == ["Text 700"]
    [(index, where)] = front.found["rows"]
    assert front.rows[index]["n"] == "Text 700"
    assert where.startswith('Output: {"town": "Faro"')
    stream.look_for("braga")
    front.read()
    assert len(names(front)) == 200, "no more are shown"
    stream.look_for("")
    front.read()
    assert names(front) == []


def test_a_search_takes_small_steps():
    """However much there is to look through, messages are made in between."""
    model = of_map([item(n, value="x" * 1000) for n in range(1000)])
    _, stream, _ = stage(model, Stopwatch(0.001))
    stream.look_for("nowhere")
    steps = 0
    while stream.behind:
        stream.next()
        steps += 1
    assert steps > 20


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
    assert node(front)["b"] == [0.197, 0.002, "995 of 5,000 · 412/s", 110.0], (
        "its items are newer than what it said last"
    )
    assert front.run["bar"] == [["completed", 19.7], ["failed", 0.2], ["running", 0.1]], "4,000 are to come"


def test_the_node_says_what_became_of_its_items():
    ended = task(
        "embed", 1, TaskStatus.COMPLETED, kind="map", tally={"items": 1000, "failed": 3}, ended_at=T + 6
    )
    model = of_map([item(n) for n in range(60)], node=ended)
    model.apply([Seen(item(n).path, Reason.REPLAYED) for n in range(50)])
    line = next(line for line in text.tree(model).splitlines() if "embed" in line)
    assert "1,000 items · 3 failed · 50 replayed · 190/s · p50 29 s · p95 57 s · max 1 min" in line


# --- text and HTML ----------------------------------------------------------------------------------


def test_text_and_html_tell_failures_first_and_count_the_rest():
    model = of_map(several(1000, differ=True))
    lines = [line for line in text.tree(model).splitlines() if "✘ Text " in line]
    assert [line.split("✘")[1].split()[:2] for line in lines[:10]] == [
        ["Text", str(n)] for n in range(7, 1000, 100)
    ]
    page = Page(html.final(model))
    told = [line for line in page.lines if "Text " in line]
    assert all("✘" in line for line in told[1:11])
    assert len([line for line in page.lines if "✘ Text 7 " in line]) == 1, "once, for it comes first"


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


def test_a_finished_item_says_that_a_person_set_it():
    whole = item(1, by_hand=T + 1)
    assert "set by hand" in text.tree(of_map([whole], read={whole.path: whole}.get))


def test_what_a_run_keeps_stays_when_its_store_is_gone():
    whole = item(1, value=[1])
    model = of_map([whole], read=lambda path: None)
    assert [section.label for section in sections(model, model.rows[whole.path])]
    assert model.run.status == RunStatus.RUNNING


# --- durations and rate -----------------------------------------------------------------------------


def took(number: int, seconds: float, *, at: float = T, **fields) -> TaskRecord:
    """An item that took so long, from `at` on."""
    return item(number, started_at=at, ended_at=at + seconds, **fields)


def stats(model: RunModel) -> MapStats:
    found = model.rows["embed"].stats
    assert found is not None
    return found


def spread(model: RunModel) -> Spread:
    row = model.rows["embed"]
    found = stats(model).show((child.record for child in row.children.values()), running=False)
    assert found is not None
    return found[0]


def test_the_map_tells_how_long_its_items_take_and_which_took_longest():
    model = of_map([*(took(n, 0.1 + n / 1000) for n in range(99)), took(99, 7)])
    found = spread(model)
    assert (found.items, sum(found.bars)) == (100, 100)
    assert len(found.bars) <= map_stats.BARS
    assert (found.half, found.most) == (pytest.approx(0.149, rel=0.05), pytest.approx(0.194, rel=0.05))
    assert found.low <= 0.1
    assert found.high >= 7
    assert (found.longest, found.slowest) == (7, item(99).path)
    [durations] = [each for each in sections(model, model.rows["embed"]) if each.label == "Durations"]
    assert durations.text.startswith("p50 ")
    assert "max 7.0 s (Text 99) · " in durations.text
    assert "█" in durations.text
    assert "Durations" in html.final(model)
    line = next(line for line in text.tree(model).splitlines() if "embed" in line)
    assert "max" not in line, "it runs"


def test_a_few_items_tell_nothing():
    model = of_map([took(n, 1) for n in range(map_stats.FEW - 1)])
    assert stats(model).show([], running=True) is None
    assert map_wire.of_map(model.rows["embed"], T) == {}


def test_an_item_that_runs_again_is_counted_once_and_the_slowest_is_found_again():
    model = of_map([*(took(n, n + 1) for n in range(20)), took(20, 500)])
    assert spread(model).slowest == item(20).path
    model.apply([Saved(item(20, TaskStatus.RUNNING, started_at=T + 600))])
    found = spread(model)
    assert (found.items, found.longest, found.slowest) == (20, 20, item(19).path)
    model.apply([Saved(took(20, 2, at=T + 600))])
    assert (spread(model).items, spread(model).longest) == (21, 20)


def test_the_map_that_is_resumed_counts_the_items_of_earlier_passes():
    """From their records: also when the record of the map comes last, and piece by piece."""
    records = [took(n, n / 10, at=T + n) for n in range(1, 40)]
    fresh_pass = of_map(records)
    late = RunModel(run(), seen={}, clock=Clock())
    late.apply([Saved(record) for record in records])
    late.apply([Saved(task("embed", 1, TaskStatus.RUNNING, kind="map"))])
    lazy = of_map(records, lazy=True)
    while lazy.load(3) is not None:
        pass
    assert spread(fresh_pass) == spread(late) == spread(lazy)
    assert stats(fresh_pass).rate() == stats(late).rate() == stats(lazy).rate()
    fresh_pass.apply([PassBegan(2), *(Seen(record.path, Reason.REPLAYED) for record in records)])
    assert spread(fresh_pass) == spread(late), "what is replayed took as long as it took"


@given(st.lists(st.floats(0, 1e6), min_size=map_stats.FEW, max_size=60), st.data())
def test_the_durations_are_those_of_the_items_whatever_came_before(seconds, data):
    records = [took(n, each) for n, each in enumerate(seconds)]
    found = MapStats()
    for number, record in enumerate(records):
        before = took(number, data.draw(st.floats(0, 1e6)))
        if data.draw(st.booleans()):
            found.replace(None, before)
            found.replace(before, record)
        else:
            found.replace(None, record)
    shown = found.spread(records)
    assert (shown.items, sum(shown.bars)) == (len(seconds), len(seconds))
    assert shown.longest == max(record.ended_at - record.started_at for record in records)
    ordered = sorted(max(0.0005, record.ended_at - record.started_at) for record in records)
    half = ordered[math.ceil(len(ordered) / 2) - 1]
    assert shown.half == pytest.approx(min(half, shown.longest), rel=0.051, abs=0.001)
    assert len(shown.bars) <= map_stats.BARS


@given(st.lists(st.floats(0, 5000), min_size=1, max_size=200))
def test_the_rate_counts_the_latest_items_in_a_bounded_number_of_slices(ends):
    found = MapStats()
    for number, end in enumerate(sorted(ends)):
        found.replace(None, took(number, 0, at=1e9 + end))
    rate = found.rate()
    assert len(rate.ended) <= map_stats.SLICES
    assert rate.end - rate.slice <= 1e9 + max(ends) <= rate.end
    begin = rate.end - len(rate.ended) * rate.slice
    # Those of a time that was cleared, because nothing ended for long, are in no slice.
    assert sum(rate.ended) <= sum(1 for end in ends if 1e9 + end >= begin)
    assert rate.ended[-1] == sum(1 for end in ends if 1e9 + end >= rate.end - rate.slice)


def test_the_next_day_the_rate_is_that_of_the_day():
    found = MapStats()
    for number in range(600):
        found.replace(None, took(number, 0, at=T + number))
    assert found.rate().slice == 16
    found.replace(None, took(600, 0, at=T + 86400))
    assert (found.rate().slice, found.rate().ended) == (1, [1])


def test_the_charts_are_sent_once_a_second_and_the_last_ones_with_the_end():
    """Whatever comes meanwhile: the row of a map is sent with each message."""
    model = of_map([took(n, 0.1, at=T + n / 1000) for n in range(10)])
    feed, stream, front = stage(model)
    assert sum(node(front)["v"][0]) == 10
    for number in range(10, 40):
        feed.emit(Saved(took(number, 0.1, at=T + number / 1000)))
    front.read()
    assert sum(node(front)["v"][0]) == 10
    feed.emit(Saved(took(40, 0.1, at=T + 2)))
    front.read()
    assert sum(node(front)["v"][0]) == 41
    assert node(front)["u"][2] == [40, 0, 1]
    feed.emit(Saved(took(41, 0.1, at=T + 2)))
    feed.emit(Saved(task("embed", 1, TaskStatus.COMPLETED, kind="map", ended_at=T + 3)))
    front.read()
    assert sum(node(front)["v"][0]) == 42
    assert fresh(stream).tree == front.tree
    assert len(json.dumps([node(front)["v"], node(front)["u"]])) < 500


# --- equal errors -----------------------------------------------------------------------------------


def failed(number: int, message: str, kind: str = "ValueError") -> TaskRecord:
    return item(number, TaskStatus.ERRORED).copy(error={"type": kind, "message": message})


def unequal() -> list[TaskRecord]:
    """Twelve items without text, four with too much, and two with errors of their own; the others are done."""
    empty = [failed(n, f"item {n} has no text") for n in range(0, 120, 10)]
    long = [failed(n, "413 too long") for n in range(1, 41, 10)]
    own = [failed(2, "no such table", "LookupError"), failed(3, "no such row", "LookupError")]
    done = [item(n) for n in range(200, 300)]
    return [*empty, *long, *own, *done]


def test_equal_errors_are_one_group_for_the_widget():
    """D1: the kernel tells which, so the front end needs not know when errors are equal."""
    feed, stream, front = stage(of_map(unequal()))
    assert node(front)["E"] == [[0, 12, "ValueError: item … has no text"], [1, 4, "ValueError: 413 too long"]]
    numbers = {row["n"]: row["x"] for row in front.rows.values() if row["s"] == "failed"}
    assert numbers["Text 0"] == numbers["Text 110"] == 0
    assert numbers["Text 1"] == 1
    feed.emit(Saved(item(1)))
    feed.emit(Saved(item(11)))
    front.read()
    assert node(front)["E"] == [[0, 12, "ValueError: item … has no text"]]
    feed.emit(PassBegan(2))
    front.read()
    assert node(front)["E"] == []
    assert fresh(stream).tree == front.tree


def test_equal_errors_are_one_line_in_text_with_the_first_items_below():
    lines = [line.rstrip() for line in text.tree(of_map(unequal())).splitlines()]
    at = next(place for place, line in enumerate(lines) if "12 items" in line)
    told = [line.strip(" │├└─") for line in lines[at : at + 5]]
    assert told[0] == "✘ 12 items: ValueError: item … has no text"
    assert [line.split("  ")[0] for line in told[1:4]] == [f"✘ Text {n} [i{n:06}]" for n in (0, 10, 20)]
    assert told[4] == "… 9 more with this error"
    assert any("✘ 4 items: ValueError: 413 too long" in line for line in lines)
    assert any("LookupError: no such table" in line for line in lines), "two are no group"


def test_equal_errors_are_one_line_in_html_and_the_others_unfold():
    page = Page(html.final(of_map(unequal())))
    at = next(
        place for place, line in enumerate(page.lines) if "12 items: ValueError: item … has no text" in line
    )
    assert any("9 more failed" in line for line in page.lines[at:])
    assert len([line for line in page.lines if line.lstrip().startswith("✘ Text 50 ")]) == 1


def test_of_thousands_of_failures_each_is_counted_once():
    model = of_map([failed(n, f"no text in {n}") for n in range(5000)])
    drawn = text.tree(model)
    assert "5,000 items: ValueError: no text in …" in drawn
    assert "4,997 more with this error" in drawn
    assert "more: " not in drawn
    page = html.final(model)
    assert "5,000 items: ValueError: no text in …" in page
    assert len(page) < 300_000
    assert "not listed" in page


def test_equal_errors_of_tasks_are_told_in_the_header():
    """Everywhere alike: the rows of these tasks may be far from each other."""
    error = {"type": "CardError", "message": "card `4242` was declined"}
    records = [task(f"pay {n}", n, TaskStatus.ERRORED, error=error) for n in range(1, 6)]
    model = RunModel(run(), records, seen={record.path: Seen(record.path, Reason.NEW) for record in records})
    line = "5 tasks failed alike: CardError: card '4242' was declined (pay 1, pay 2, pay 3 and 2 more)"
    assert line in hints(model)
    assert line in " ".join(text.tree(model).split())
    assert Page(html.final(model)).text.count("5 tasks failed alike") == 1
    assert not [hint for hint in hints(of_map(unequal())) if "alike" in hint], "its map tells them"
