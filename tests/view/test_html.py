"""A run as HTML: escaped, bounded, and readable with every style stripped."""

from __future__ import annotations

import re

import pytest

from tests.support.views import Clock, Page, T, run, task
from trigger_nb import Reason
from trigger_nb._keys import idempotency_key
from trigger_nb._records.feed import Progressed, Seen
from trigger_nb._view.model.rows import State
from trigger_nb._view.model.run_model import RunModel
from trigger_nb._view.render import html, icons

ERROR = {
    "module": "shop",
    "type": "CardError",
    "message": "declined",
    "notes": ["ask the bank"],
    "traceback": ["cell 3, line 7, in charge\n    raise CardError"],
    "cause": {"type": "HTTPStatusError", "message": "402"},
    "errors": [{"type": "A", "message": "one"}, {"type": "B"}],
}


def failed() -> RunModel:
    records = [
        task(
            "fetch",
            1,
            name="Fetch user",
            icon="user",
            properties=[{"label": "User", "text": "u1"}],
            value={"id": 1},
        ),
        task("parent", 2),
        task("parent/child", 3, attempt=3),
        task("charge", 4, "ERRORED", error=ERROR, params={"amount": 5}, icon="stripe"),
        task("gone", 5),
    ]
    seen = {path: Seen(path, Reason.NEW) for path in ("parent", "parent/child", "charge")}
    seen["fetch"] = Seen("fetch", Reason.REPLAYED, "code")
    return RunModel(
        run("FAILED", ended_by=["charge"], error=ERROR), records, seen=seen, store="/s", clock=Clock()
    )


def stripped(source: str) -> str:
    """As GitHub shows it: without `<style>`, and without style and class attributes."""
    source = re.sub(r"<style>.*?</style>", "", source, flags=re.DOTALL)
    return re.sub(r' (class|style)="[^"]*"', "", source)


def test_it_reads_well_with_every_style_stripped():
    """D4: separators, shapes and words are in the text."""
    lines = Page(stripped(html.final(failed()))).lines
    assert lines[0] == "✘ My job job 1.0 · FAILED · 3.2 s"
    assert lines[1].startswith("5 tasks: 3 completed, 1 failed, 1 not reached · 1 replayed · run_1 · ")
    assert "✔ Fetch user fetch · replayed · changed: code · User: u1 · 250 ms" in lines
    assert "✔ parent · 1 subtask · 250 ms" in lines
    assert "✔ child · attempt 3 · 250 ms" in lines
    assert "✘ charge — CardError: declined · 250 ms" in lines
    assert "◌ gone · not reached · 250 ms" in lines
    assert lines[-3:] == [
        "run.retry() Run failed tasks again, keep all other results (same as running the cell again)",
        "run.rerun_from('charge') Run charge and all tasks that started after it again",
        "run = job.client.run('run_1') Get a handle to this run",
    ]


def test_details_tell_all_there_is():
    """D2: params, output, error and traceback, attempts, times, idempotency key, what changed."""
    page = Page(html.final(failed()))
    for line in (
        'Output {"id": 1}',
        'Params {"amount": 5}',
        "CardError: declined",
        "ask the bank",
        "raise CardError",
        "Caused by: HTTPStatusError: 402",
        "A: one",
        "Status completed · replayed",
        "Changed code, since the result was stored; the stored result was reused",
        "Status completed · 3 attempts · new",
        "Path parent/child",
        f"Idempotency key {idempotency_key('run_1', 'charge', 0)}",
    ):
        assert line in " ".join(page.text.split()) or line in page.lines, line


def test_failures_are_open_and_the_rest_is_closed():
    records = [
        task(f"t{at}", at, "ERRORED" if at == 70 else "COMPLETED", error={"type": "E"}) for at in range(80)
    ]
    source = html.final(RunModel(run("FAILED"), records))
    assert source.count("<details open>") == 1
    assert source.index("t70") > source.index("<details open>")


def test_failures_deep_in_a_large_tree_come_first():
    """D4."""
    records = [
        task(f"p{at % 9}/t{at}", at, "ERRORED" if at == 150 else "COMPLETED", error=ERROR)
        for at in range(200)
    ]
    lines = Page(html.final(RunModel(run("FAILED"), records))).lines
    assert lines[2] == "✘ t150 p6/t150 — CardError: declined"


def test_the_output_and_its_redaction():
    """S8: what the patterns name is hidden from what is shown."""
    output = {"user": {"email": "ana@example.org", "id": 7}}
    source = html.final(
        RunModel(run(output=output, redact=["user.email"]), [task("a", value=output, redact=["user.email"])])
    )
    assert "ana@" not in source
    assert source.count("&quot;id&quot;: 7") == 2


def test_a_wait_shows_what_to_type_and_live_rows_have_no_details():
    waiting = task("w", 1, "WAITING", kind="wait", next_at=T + 3700)
    model = RunModel(run("WAITING", reason="wait"), [waiting], clock=Clock(), awaited=True)
    page = Page(html.live(model))
    assert "details" not in page.counts
    assert "◷ w · in 1 h · 1 min 39 s" in page.lines
    assert "run.skip_wait('w')" in Page(html.final(model)).text


def test_progress():
    model = RunModel(
        run("RUNNING"), [task("a", 1, "RUNNING")], seen={"a": Seen("a", Reason.NEW)}, clock=Clock()
    )
    model.apply([Progressed("a", 1, 4, "rows")])
    assert "width:25.0%" in html.live(model)
    for done, total in [(9, 3), (-1, 5), (1, -1), (1, 0), (float("inf"), 2)]:
        model.apply([Progressed("a", done, total, None)])
        Page(html.live(model))


def test_good_links_are_links():
    record = task(
        "a",
        properties=[
            {"label": "L", "text": "t", "url": "https://x.org/?a=1&b='2'"},
            {"label": "M", "text": "m", "url": "javascript:x"},
        ],
    )
    page = Page(html.live(RunModel(run("RUNNING"), [record])))
    assert page.links == ["https://x.org/?a=1&b='2'"]
    assert "m (javascript:x)" in page.text


# --- size -----------------------------------------------------------------------------------------


def many(count: int, path=lambda at: f"t{at}", **fields) -> RunModel:
    records = [
        task(
            path(at),
            at + 1,
            "ERRORED" if at % 997 == 5 else "COMPLETED",
            error=ERROR,
            name=f"name {at}",
            **fields,
        )
        for at in range(count)
    ]
    return RunModel(run("FAILED"), records, clock=Clock())


@pytest.mark.parametrize("levels", [1, 3])
def test_ten_thousand_tasks_stay_within_bounds(levels):
    """D4: a few hundred kB, failures and slow ones shown, the rest counted."""
    path = (lambda at: f"t{at}") if levels == 1 else (lambda at: f"g{at // 1000}/h{at // 100}/t{at}")
    model = many(10_000, path, params={"text": "x" * 300}, value=["y" * 300] * 5)
    model.rows[path(4321)].record.ended_at += 1000
    source = html.final(model)
    page = Page(source)
    assert len(source.encode()) < 400_000
    assert page.counts["li"] < 4000
    assert all(f"name {at * 997 + 5} " in page.text for at in range(11))
    assert "name 4321 " in page.text, "the slowest one"
    assert page.text.count("raise CardError") >= 11, "what failed has its details"
    assert re.search(r"… \d,\d\d\d more completed, not listed", page.text) or levels == 3
    live = html.live(model)
    assert len(live.encode()) < 60_000
    assert Page(live).counts["li"] < 60


def test_what_is_much_alike_is_folded_and_counted():
    """D4: failures, changed, unstored and slow ones stay where they are; the others are folded around them."""
    records = [task(f"t{at:02}", at + 1, name=f"n{at:02}") for at in range(60)]
    records[10] = task("t10", 11, "ERRORED", name="n10", error=ERROR)
    records[20] = task("t20", 21, name="n20", form="unstored", value={"type": "X"})
    records[30].ended_at += 9
    records[40] = task("t40/deep", 41, "ERRORED", error=ERROR)
    records.append(task("t40", 41, name="n40"))
    model = RunModel(run("FAILED"), records, clock=Clock())
    source = html.final(model)
    lines = [re.match("[✔✘] (n..)|([0-9]+ more completed)|", line)[0] for line in Page(source).lines]
    names = [f"✔ n{at:02}" for at in range(60)]
    names[10] = "✘ n10"
    assert [line for line in lines if line] == [
        *names[:3], "7 more completed", *names[3:11], "9 more completed", *names[11:21], "9 more completed",
        *names[21:31], "9 more completed", *names[31:41], "19 more completed", *names[41:],
    ]  # fmt: skip
    assert "✔ n40 t40 · 1 subtask, 1 failed · 250 ms" in Page(source).lines


def test_hundreds_of_failures_are_folded_too():
    records = [
        task(f"t{at}", at + 1, "ERRORED", error={"type": "E", "message": f"no {at}"}) for at in range(90)
    ]
    source = html.final(RunModel(run("FAILED"), records))
    assert "81 more failed" in source
    assert source.count("no 89") == 2, "its row and its details are there"


def test_a_group_that_holds_failures_says_how_many_and_is_open():
    """D4: in a large run what holds none of the first failures is closed."""
    records = [
        task(f"g{at % 6}/t{at}", at + 1, "ERRORED" if at in (6, 7) else "COMPLETED") for at in range(60)
    ]
    source = html.final(RunModel(run("FAILED"), records))
    page = Page(source)
    assert sum("10 subtasks, 1 failed" in line for line in page.lines) == 2
    assert sum(line.endswith("10 subtasks") for line in page.lines) == 4
    opened = re.findall(r'<details open><summary class="tnb-r">.*?<span class="tnb-n">(.*?)</span>', source)
    assert opened == ["g0", "t6", "g1", "t7"]


def test_each_row_shows_when_it_ran():
    """D4: a bar, which is nothing where there are no styles."""
    records = [task("a", 1), task("b", 2), task("w", 3, kind="wait"), task("~.1", 4, kind="log")]
    records[2].ended_at = T + 5
    source = html.final(RunModel(run(), records))
    assert re.findall(r'tnb-b-(\w+)" style="left:(.*?)%;width:(.*?)%"', source) == [
        ("completed", "0.0", "6.2"),
        ("completed", "25.0", "6.2"),
        ("waiting", "50.0", "50.0"),
    ]
    for without in (html.live(RunModel(run("RUNNING"), records)), html.final(RunModel(run(), records[:1]))):
        assert 'style="left:' not in without, "a run under way, and one task alone, have no timeline"


def test_it_can_be_drawn_part_by_part():
    """No part is large, so whoever must not be held up can stop between them."""
    model = many(3000, params={"text": "x" * 300})
    parts = list(html.final_parts(model))
    assert "".join(parts) == html.final(model)
    assert len(parts) > 30
    assert max(map(len, parts)) < 15_000


def test_what_a_body_printed():
    prints = [["out", "one\n"], ["err", "two\n"], ["note", "— attempt 2 —\n"]]
    source = html.final(RunModel(run(), [task("a", prints=prints)]))
    printed = re.search("<pre>(.*?)</pre>", source)[1]
    assert printed == (
        'one&#10;<span class="tnb-o-err">two&#10;</span><span class="tnb-o-note">— attempt 2 —&#10;</span>'
    )


def test_icons():
    """Pictures for common names, badges for services and for unknown names."""
    names = "user mail clock database code globe credit-card message file search bolt robot git"
    assert all(icons.known(name) == name for name in names.split())
    badges = {name: icons.badge(name) for name in ("slack", "github", "resend", "stripe", "openai", "sql")}
    assert len(set(badges.values())) == 6
    assert len({letter for letter, _ in icons._BADGES.values()}) == len(icons._BADGES)
    assert icons.badge("trello")[0] == "T"
    assert {icons.badge(name)[0] for name in ("", " ", "\u202e", "\x1b", "\ud800")} == {"?"}
    assert len(icons.css(list(State), icons.names())) < 15_000, "it is sent with each widget"


def test_a_page_stands_alone():
    source = html.page(failed(), "A <title>")
    assert source.startswith("<!DOCTYPE html>")
    assert "<title>A &lt;title&gt;</title>" in source
    assert "prefers-color-scheme:dark" in source
    assert not re.search(r"(src|href)=|@import|url\((?!\"data:|%23m)", source), "nothing is fetched"
