"""A run as HTML: escaped, bounded, and readable with every style stripped."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings, strategies as st

from trigger_nb._feed import Progressed, Seen
from trigger_nb._keys import idempotency_key
from trigger_nb._records import Reason, RunRecord, TaskRecord, TaskStatus
from trigger_nb.view import html, table
from trigger_nb.view.model import RunModel

T = 1_700_000_000.0

TAGS = {
    *("div", "span", "b", "i", "code", "pre", "ul", "li", "a", "img", "details", "summary", "style", "br"),
    *("table", "thead", "tbody", "tr", "th", "td", "html", "head", "body", "meta", "title"),
}
ATTRIBUTES = {
    *("class", "style", "title", "open", "href", "target", "rel", "src", "height", "alt", "referrerpolicy"),
    *("lang", "charset", "name", "content"),
}
VOID = {"br", "img", "meta"}


class Clock:
    def time(self) -> float:
        return T + 100

    async def sleep_until(self, when: float) -> None:
        raise NotImplementedError


class Page(HTMLParser):
    """Reads HTML as a browser would, keeps its text, and refuses what we never write."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.text = ""
        self.links: list[str] = []
        self.counts: dict[str, int] = {}
        self._open: list[str] = []
        self.feed(source)
        self.close()
        assert self._open == [], "every element is closed"

    def handle_starttag(self, tag, attrs):
        assert tag in TAGS, tag
        self.counts[tag] = self.counts.get(tag, 0) + 1
        for name, value in attrs:
            assert name in ATTRIBUTES, name
            if name in ("href", "src"):
                assert re.match(r"(https?://|mailto:)", value, re.IGNORECASE), value
                self.links.append(value)
            if name == "style":
                assert re.fullmatch(r"((left:[\d.]+%;)?width:[\d.]+%|background:#[0-9a-f]{6})", value), value
        if tag not in VOID:
            self._open.append(tag)
        if tag in ("div", "li", "summary"):
            self.text += "\n"

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open[-1:] != ["style"]:
            self.text += data

    def handle_comment(self, data):
        raise AssertionError("a comment")

    def unknown_decl(self, data):
        raise AssertionError("a declaration")

    handle_pi = unknown_decl

    @property
    def lines(self) -> list[str]:
        return [" ".join(line.split()) for line in self.text.splitlines() if line.strip()]


def task(path: str, started: int = 1, status: str = TaskStatus.COMPLETED, **fields) -> TaskRecord:
    ended_at = T + started + 0.25 if status not in (TaskStatus.RUNNING, TaskStatus.WAITING) else None
    given = {"started_at": T + started, "ended_at": ended_at, **fields}
    return TaskRecord(path=path, started=started, status=status, **given)


def run(status: str = "COMPLETED", **fields) -> RunRecord:
    given = {
        "id": "run_1",
        "job": "job",
        "name": "My job",
        "version": "1.0",
        "started_at": T,
        "finished_at": T + 3.2,
    }
    return RunRecord(**{**given, "status": status, **fields})


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
        "run.retry() Run what failed again and keep the rest, as running the cell again does",
        "run.rerun_from('charge') Run charge and what started after it again",
        "run = job.client.run('run_1') Take hold of this run, if no name has it",
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
        "Changed code, since its result was stored; the stored result was taken all the same",
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


# --- hostile text ---------------------------------------------------------------------------------

ATTACKS = [
    "<script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "javascript:alert(1)",
    "https://x.org/\"onclick='1'",
    "--><!-- ]]>",
    "`<b>`",
    "&lt;script&gt;&#x3c;",
    "\u202e\u2066\x1b[31m\x00\ud800",
    "</pre></details></li></ul></div>",
    "</title><script>",
]
hostile = st.one_of(st.sampled_from(ATTACKS), st.text(max_size=20))


@given(st.lists(hostile, min_size=20, max_size=20))
@settings(max_examples=150)
def test_nothing_hostile_gets_out_of_its_text(texts):
    """D5: all text is escaped, attributes and URLs too."""
    a, b, c, d, e, f, g, h, i, j, k, m, n, o, p, q, r, s, t, u = texts
    key = h.replace("~", "~0").replace("/", "~1").replace("\ud800", "") or "x"  # a key is no half of a pair
    properties = [
        {"label": a, "text": b, "url": c, "image_url": d},
        {"label": e, "text": f, "url": "https://" + g},
    ]
    error = {
        "type": h,
        "message": i,
        "notes": [j],
        "traceback": [k],
        "cause": {"type": m},
        "errors": [{"message": n}],
    }
    common = {
        "properties": properties,
        "icon": o,
        "name": p,
        "params": {q: r},
        "description": s,
        "display_key": t,
    }
    records = [
        task("a", 1, "ERRORED", error=error, **common),
        task("b", 2, output_properties=properties, value={u: a}, **common),
        task("c", 3, form="unstored", value={"type": b, "reason": c}, style=d),
        task("l", 4, kind="log", name=e, level=f, data=g),
        task(f"a/{key}", 5),
    ]
    record = run(
        "FAILED",
        id=a.replace("\ud800", ""),
        name=b,
        job=c,
        version=d,
        reason=e,
        error=error,
        output={f: g},
        hints=[h],
        is_test=True,
    )
    model = RunModel(
        record, records, seen={"b": Seen("b", Reason.REPLAYED, i)}, hints=[j], store=k, clock=Clock()
    )
    model.apply([Progressed("a", 1, 2, m)])
    record.payload_preview = n
    sources = [html.final(model), html.live(model), html.page(model, o), table.as_html([record], T)]
    for source in sources:
        page = Page(source)
        assert "<script" not in source.lower()
        assert not re.search("[\u202a-\u202e\u2066-\u2069\x00\x1b]", source)
        assert source.encode()
        assert "\n\n" not in source, "a blank line would end the HTML in Markdown"
        assert "script" not in page.counts


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
    assert re.search(r"… \d,\d\d\d more completed, not listed", page.text) or levels == 3
    live = html.live(model)
    assert len(live.encode()) < 60_000
    assert Page(live).counts["li"] < 60


def test_hostile_sizes_stay_within_bounds():
    """A 1 MB string anywhere is cut."""
    long = "é<" * 500_000
    properties = [{"label": long, "text": long, "url": "https://" + long}] * 50
    model = many(300, properties=properties, params=long, value=long, icon=long, description=long)
    model.run.name = model.run.id = long
    model.run.error = {
        "type": long,
        "message": long,
        "notes": [long] * 50,
        "traceback": [long],
        "errors": [{"type": long}] * 99,
    }
    source = html.final(model)
    Page(source)
    assert len(source.encode()) < 1_500_000


def test_a_page_stands_alone():
    source = html.page(failed(), "A <title>")
    assert source.startswith("<!DOCTYPE html>")
    assert "<title>A &lt;title&gt;</title>" in source
    assert "prefers-color-scheme:dark" in source
    assert not re.search(r"(src|href)=|@import|url\((?!\"data:|%23m)", source), "nothing is fetched"
