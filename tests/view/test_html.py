"""A run as HTML: escaped, bounded, and readable with every style stripped."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.views import Clock, Page, T, run, task
from trigger_nb import Reason
from trigger_nb._keys import idempotency_key
from trigger_nb._main_file import near
from trigger_nb._records.feed import Progressed, Seen
from trigger_nb._view.live import widget
from trigger_nb._view.model.rows import State
from trigger_nb._view.model.run_model import RunModel
from trigger_nb._view.render import html, icons, text
from trigger_nb._view.render.stylesheet import stylesheet
from trigger_nb._view.words import time_of_day

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
    assert lines[1].startswith("4 tasks: 2 completed, 1 failed, 1 not reached · 1 replayed · run_1 · ")
    assert "✔ Fetch user fetch · replayed · changed: code · User: u1 · 250 ms" in lines
    assert "✔ parent · ✔ 1 · 250 ms" in lines
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
        "Caused by HTTPStatusError: 402",
        "A: one",
        "Status completed · replayed",
        "Changed code, since the result was stored; the stored result was reused",
        "Status completed · 3 attempts · new",
        "Path parent/child",
        f"Idempotency key {idempotency_key('run_1', 'charge', 0)}",
    ):
        assert line in " ".join(page.text.split()) or line in page.lines, line


def test_what_is_saved_has_no_absolute_path(tmp_path, monkeypatch):
    """A notebook is published: the store, hints and tracebacks are told relative to it."""
    monkeypatch.chdir(tmp_path)
    packages = "/usr/lib/python3.13/site-packages/httpx/_client.py"
    frames = [f'  File "{tmp_path}/shop/orders.py", line 3, in load', f'  File "{packages}", line 7, in send']
    record = task(
        "a", 1, "ERRORED", error={**ERROR, "traceback": [*frames, '  File "/opt/ana/nb/x.py", line 9']}
    )
    model = RunModel(
        run("FAILED"),
        [record],
        hints=[f"Code between task 'a' and {tmp_path}/jobs.py, line 12 took 3.1 s."],
        store=near(tmp_path / ".trigger_nb" / "shop"),
        store_at=str(tmp_path / ".trigger_nb" / "shop"),
    )
    for drawn in (
        html.final(model),
        html.live(model),
        html.page(model, "Run"),
        text.tree(model),
        text.excerpt(model),
    ):
        assert str(tmp_path) not in drawn
        assert "/opt/ana" not in drawn
        assert "/usr/lib" not in drawn
        assert " .trigger_nb/shop" in Page(drawn).text if "<" in drawn else ".trigger_nb/shop" in drawn
    said = Page(html.final(model)).text
    assert "between task 'a' and jobs.py, line 12 took" in said
    for place in ('"shop/orders.py", line 3', '"httpx/_client.py", line 7', '"…/nb/x.py", line 9'):
        assert place in said


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
    assert "✔ n40 t40 · ✘ 1 · 250 ms" in Page(source).lines


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
    assert sum("· ✔ 9 ✘ 1" in line for line in page.lines) == 2
    assert sum("· ✔ 10" in line for line in page.lines) == 4
    opened = re.findall(
        r'<details open><summary[^>]* class="tnb-r">.*?<span class="tnb-n">(.*?)</span>', source
    )
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


def test_bars_that_would_be_dust_are_left_out():
    """They would stand in each row and tell nothing: in a run of less than a second, and where each is thinner than 3 pixels."""

    def bars(*times):
        records = [task(f"t{n}", n + 1) for n in range(len(times))]
        for record, (start, end) in zip(records, times, strict=True):
            record.started_at, record.ended_at = T + start, T + end
        source = html.final(RunModel(run(), records))
        return source.count('style="left:')

    assert bars((0, 0.4), (0.4, 0.9)) == 0
    assert bars((0, 0.4), (0.4, 1.1)) == 2
    assert bars((0, 0.1), (3600, 3600.1)) == 0
    assert bars((0, 0.1), (3600, 4000)) == 2


def test_it_can_be_drawn_in_steps():
    """D4: whoever must not be held up can stop between them."""
    model = many(3000, params={"text": "x" * 300})
    drawing, steps = html.final_drawing(model), 0
    while True:
        try:
            next(drawing)
        except StopIteration as end:
            drawn = end.value
            break
        steps += 1
    assert drawn == html.final(model)
    assert steps > 30


def test_a_log_line_has_its_level_and_its_time():
    """D2: in its row; how long it took means nothing."""
    line = task("~.1", 4, kind="log", name="late", level="warn")
    (row,) = (line for line in Page(html.final(RunModel(run(), [line]))).lines if "late" in line)
    assert row == f"› late · warn · {time_of_day(T + 4)}"


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


# --- what is seen without a mouse, and with other scripts ---


def test_names_from_right_to_left_are_isolated_and_others_are_as_they_were_given():
    """An isolate is a character, so it stays where styles are removed; a name that is copied must have none without need."""
    arabic, mixed = "\u0627\u0644\u0641", "a \u05d0"
    records = [
        task("one", 1, name=arabic),
        task("two", 2, name="Zw\u00f6lf"),
        task("three", 3, "ERRORED", name=mixed),
    ]
    source = html.final(RunModel(run("FAILED", name=arabic), records))
    assert source.count(f"\u2068{arabic}\u2069") == 2
    assert f"\u2068{mixed}\u2069" in source
    assert source.count("\u2068") == source.count("\u2069") == 3
    assert Page(source).lines[0].startswith(f"✘ \u2068{arabic}\u2069 job")


def test_what_opens_keeps_the_shortcuts_of_jupyterlab_away_and_holds_no_link():
    """JupyterLab asks the element with the focus; an element that is pressed must not hold another one."""
    properties = [{"label": "CRM", "text": "u1", "url": "https://crm.example.com/u1"}]
    source = html.final(RunModel(run(), [task("one", 1, properties=properties)]))
    summaries = re.findall(r"<summary.*?</summary>", source)
    assert summaries
    assert all(each.startswith('<summary data-lm-suppress-shortcuts="true"') for each in summaries)
    assert "<a " not in "".join(summaries)
    assert "CRM: u1" in " ".join(Page("".join(summaries)).text.split())
    assert Page(source).links == ["https://crm.example.com/u1"]


def test_widgets_and_static_outputs_have_no_rule_in_common():
    """A static output carries its styles with it, perhaps of another version, and they come later in the page."""
    bare = r"(?<![\w-])tnb(?![\w-])"
    assert not re.search(bare, widget.styles())
    assert "tnb-live" not in stylesheet()
    for file in Path(widget.__file__).with_name("frontend").glob("*.js"):
        assert not re.search(bare, file.read_text(encoding="utf-8")), file.name
