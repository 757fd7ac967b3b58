"""A run as plain text."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter

import pytest
from hypothesis import given, strategies as st

from tests.support.views import Clock, T, run, task
from tests.support.worlds import Gate, until
from trigger_nb import Reason, RunStatus, TaskStatus, TriggerClient
from trigger_nb._records.feed import Progressed, Seen
from trigger_nb._records.records import RunRecord
from trigger_nb._view.escape import columns, fit, safe_url, visible, visible_block
from trigger_nb._view.model.rows import Row, State, Tally
from trigger_nb._view.model.run_model import RunModel
from trigger_nb._view.pretty import on_one_line, preview
from trigger_nb._view.render import parts, run_table as run_table_module, text
from trigger_nb._view.words import duration, moment


def test_the_tree_as_a_whole():
    """D2: shape, name, key, attempt, replayed, changed, not stored, properties, duration, errors."""
    records = [
        task("fetch", 1, name="Fetch user", properties=[{"label": "User", "text": "u1"}]),
        task("parent", 2),
        task("parent/child", 3, attempt=3),
        task("gone", 4),
        task("bad", 5, TaskStatus.ERRORED, error={"type": "CardError", "message": "declined\ntoday"}),
    ]
    seen = {
        "fetch": Seen("fetch", Reason.REPLAYED, "code"),
        "parent": Seen("parent", Reason.NEW),
        "parent/child": Seen("parent/child", Reason.RETRIED),
        "bad": Seen("bad", Reason.NEW),
    }
    model = RunModel(run(RunStatus.FAILED, ended_by=["bad"]), records, seen=seen, store="/s", clock=Clock())
    tree = text.tree(model, width=80)
    assert tree == (
        "✘ My job · FAILED · 3.2 s\n"
        "  4 tasks: 2 completed, 1 failed, 1 not reached · 1 replayed\n"
        "  job 1.0 · run_1 · /s\n"
        '  ⚠ `fetch` (code) has changed; its stored result was reused. `job.run(...,\n    on_change="only")` runs '
        'it again, `on_change="rerun"` also all tasks that\n    started later.\n'
        "  1 task of an earlier pass not reached in this pass; results are kept.\n"
        "├─ ✔ Fetch user [fetch] · replayed · changed: code · User: u1             250 ms\n"
        "├─ ✔ parent                                                               250 ms\n"
        "│  └─ ✔ child · attempt 3 · retried                                       250 ms\n"
        "├─ ◌ gone · not reached                                                   250 ms\n"
        "└─ ✘ bad                                                                  250 ms\n"
        "     CardError: declined\n"
        "     today\n"
        "  run.retry()                    Run failed tasks again, keep all other results "
        "(same as running the cell again)\n"
        "  run.rerun_from('bad')          Run bad and all tasks that started after it again\n"
        "  run = job.client.run('run_1')  Get a handle to this run"
    )


def test_a_run_under_way():
    records = [
        task("import", 1, TaskStatus.RUNNING),
        task("call", 2, TaskStatus.WAITING, error={"type": "E"}, attempt=2, next_at=T + 112),
        task("log", 3, kind="log", name="careful", level="warn"),
    ]
    seen = {path: Seen(path, Reason.NEW) for path in ("import", "call")}
    model = RunModel(run(RunStatus.RUNNING), records, seen=seen, clock=Clock())
    model.apply([Progressed("import", 3, 10, "rows")])
    shown = text.excerpt(model, width=60)
    assert "● import · 3 of 10 · rows" in shown
    assert "↻ call · attempt 2 · next attempt in 12 s" in shown
    assert "› warn: careful" in shown
    assert shown.startswith(
        "● My job · RUNNING · 1 min 40 s\n  2 tasks: 1 running, 1 retrying · 1 log line\n"
    )


def test_an_error_is_told_where_it_arose():
    """A parent that fails by its subtask's error does not tell it again."""
    error = {"type": "E", "message": "once"}
    records = [task("p", 1, "ERRORED", error=error), task("p/c", 2, "ERRORED", error=error)]
    assert text.tree(RunModel(run("FAILED", error=error), records)).count("E: once") == 1


def test_whether_a_subtask_tells_the_error_is_found_out_at_once(monkeypatch):
    """It is asked whenever a row is drawn: not all of thousands that failed are looked at."""
    records = [
        task(f"p/t{at}", at + 1, "ERRORED", error={"type": "E", "message": str(at)}) for at in range(5000)
    ]
    model = RunModel(run("FAILED"), [task("p", 1, "ERRORED", error={"type": "MapError"}), *records])
    looked_at: list[Row] = []
    error_of = Row.error.fget
    monkeypatch.setattr(Row, "error", property(lambda row: looked_at.append(row) or error_of(row)))
    assert not parts.error_shown_below(model.rows["p"])
    assert len(looked_at) < 200


def test_rows_that_are_not_shown_are_counted():
    assert parts.more(Tally(Counter({State.COMPLETED: 3}), 2)) == "3 more completed · 2 replayed"
    assert (
        parts.more(Tally(Counter({State.COMPLETED: 3, State.FAILED: 1}))) == "4 more: 3 completed, 1 failed"
    )
    assert parts.more(Tally(Counter({State.LOG: 3}))) == "3 more: 3 log lines"


def test_large_groups_are_folded_and_failures_are_not():
    records = [
        task(
            f"t{at}",
            at + 1,
            "ERRORED" if at % 1000 == 7 else "COMPLETED",
            error={"type": "E", "message": f"no {at}"},
        )
        for at in range(10_000)
    ]
    model = RunModel(run("FAILED"), records, clock=Clock())
    tree = text.tree(model)
    assert len(tree.splitlines()) < 60
    assert all(f"E: no {at}007" in tree for at in range(1, 10))
    assert "more: 9,9" in tree
    assert len(text.tree(model, fold=None).splitlines()) > 10_000
    assert len(text.excerpt(model).splitlines()) < 80


hostile = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        [
            "\x1b[31mred\x1b[0m",
            "a\u202eb",
            "line\nbreak\r\ttab",
            "\u2066x",
            "\x00",
            "x" * 5000,
            "\ud800",
            "\u2028",
            "👩‍👩‍👧",
        ]
    ),
)


@given(st.lists(hostile, min_size=12, max_size=12), st.integers(30, 120))
def test_no_hidden_character_gets_through(texts, width):
    """D5: control characters, ANSI sequences and bidirectional overrides are written out."""
    a, b, c, d, e, f, g, h, i, j, k, m = texts
    record = task(
        "p",
        name=a,
        icon=b,
        properties=[{"label": c, "text": d, "url": e}],
        error={"type": f, "message": g},
        status="ERRORED",
        display_key=h,
    )
    log = task("l", 2, kind="log", name=i, level=j)
    model = RunModel(
        run("FAILED", name=k, job=m, version=a, reason=b, output=c), [record, log], hints=[d], store=e
    )
    for shown in (text.tree(model, width=width), text.excerpt(model)):
        assert shown.encode(), "no half of a surrogate pair"
        assert not [ch for ch in shown if ch != "\n" and unicodedata.category(ch) in ("Cc", "Cs", "Zl", "Zp")]
        assert not [
            ch for ch in shown if unicodedata.bidirectional(ch) in ("LRO", "RLO", "LRE", "RLE", "PDF")
        ]
        assert not [ch for ch in shown if unicodedata.bidirectional(ch) in ("LRI", "RLI", "FSI", "PDI")]


@given(st.text(), st.integers(1, 40))
def test_fit_keeps_to_the_width(given_text, width):
    assert columns(fit(given_text, width)) <= max(width, 1)


def test_wide_characters_keep_columns_aligned():
    records = [task("📧", 1), task("名前", 2), task("plain", 3)]
    lines = text.tree(RunModel(run(), records, clock=Clock()), width=50).splitlines()
    assert {columns(line) for line in lines[-3:]} == {50}


def test_escape():
    assert visible("a\x1b[0m\u202e") == "a\\x1b[0m\\u202e"
    assert visible("x" * 10**6, 5) == "xxxxx… (1,000,000 characters)"
    assert visible_block("a\r\nb\tc\x07") == "a\nb\tc\\x07"
    assert visible("👩‍👩‍👧") == "👩‍👩‍👧", "emoji keep their joiners"


def test_texts_are_cut_between_words():
    assert visible("one two three", 9) == "one two… (13 characters)"
    assert visible("one two three", 7) == "one two… (13 characters)"
    assert visible("one " + "x" * 50, 20) == "one xxxxxxxxxxxxxxxx… (54 characters)", "a long word is cut"
    assert fit("Fetch the user", 11) == "Fetch the…"
    record = task("a", name="word " * 100, error={"type": "E", "message": "text " * 100}, status="ERRORED")
    found = parts.parts_of(RunModel(run("FAILED"), [record]).rows["a"])
    assert found.name.startswith("word word")
    assert "word… (" in found.name
    assert "text… (" in found.error


def test_only_plain_links_are_links():
    """D5: `javascript:` is refused."""
    assert safe_url("https://example.org/x?a=1") == "https://example.org/x?a=1"
    assert safe_url("mailto:ana@example.org")
    refused = [
        "javascript:alert(1)",
        " https://x",
        "http:x",
        "java\nscript:x",
        "data:text/html,x",
        "//x",
        "",
        None,
        7,
    ]
    refused += ["https://a b", "https://a\u202e", "JAVASCRIPT:x", "https://" + "x" * 5000]
    assert [url for url in refused if safe_url(url)] == []


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda part: st.lists(part) | st.dictionaries(st.text(), part),
    )
)
def test_a_preview_is_bounded(value):
    assert len(preview(value, 50)) <= 80


def test_a_preview_of_what_cannot_be_written():
    circle: list[object] = []
    circle.append(circle)
    assert preview(circle, 100).endswith("…")
    assert preview({"a": object}, 100) == '{"a": "<class \'object\'>"}'


def test_durations():
    given_seconds = [0, 0.0004, 0.25, 0.9999, 3.21, 9.96, 59.6, 3599.7, 7260, 97_000, 10**7]
    assert [duration(seconds) for seconds in given_seconds] == [
        *(
            "<1 ms",
            "<1 ms",
            "250 ms",
            "1.0 s",
            "3.2 s",
            "10 s",
            "1 min",
            "1 h",
            "2 h 1 min",
            "1 d 2 h",
            "115 d 17 h",
        )
    ]


def test_moments_out_of_range_do_not_raise():
    assert moment(1e20) == "1e+20 s"


# --- the table of runs ----------------------------------------------------------------------------


def test_the_table_of_runs():
    runs = [
        run(payload_preview='{"id": 7}', counts={"COMPLETED": 9, "ERRORED": 1, "INTERRUPTED": 2}),
        run("WAITING", id="run_2", reason="wait", finished_at=None, is_test=True),
        RunRecord(id="run_3", job="new"),
    ]
    lines = run_table_module.as_text(runs, T + 60).splitlines()
    assert [line.split("  ")[0] for line in lines[1:]] == ["✔", "◷", "○"]
    assert "12 tasks, 1 failed, 2 unfinished" in lines[1]
    assert "WAITING test" in lines[2]
    assert "1 min" in lines[2]
    assert lines[3].endswith("run_3")
    assert run_table_module.as_text([], T) == "no runs"


@pytest.mark.anyio
async def test_the_table_counts_what_was_cut_short_as_the_tree_does(tmp_path):
    """A7: a task whose pass was stopped is unfinished, not pending."""
    client = TriggerClient("counts", dir=tmp_path, display=False)
    gate = Gate()

    async def parent(io):
        await io.run_task("c", lambda: 1)
        await io.map("d", [1, 2], lambda item: item)
        await io.run_task("b", gate.pass_through_async)

    @client.job
    async def job(payload, io):
        await io.run_task("a", lambda: {"interrupted": True})
        await io.run_task("parent", parent)

    run = job.start()
    await until(gate.reached.is_set)
    run.cancel()
    await until(lambda: run.status == RunStatus.CANCELED)
    assert "5 tasks, 1 unfinished" in repr(client.runs())
    assert parts.counts(run.model().tally) == "5 tasks: 4 completed, 1 unfinished"


def test_the_table_cuts_payloads_first():
    lines = run_table_module.as_text([run(payload_preview="x" * 500)], T, width=110).splitlines()
    assert max(map(len, lines)) <= 110
    assert lines[1].endswith("run_1")


def test_a_long_output_stays_on_its_line():
    output = {"paid": {"id": "evt_1", "note": "a\nb"}, "sizes": list(range(40)), "empty": {}}
    tree = text.tree(RunModel(run(RunStatus.COMPLETED, output=output), [], clock=Clock()), width=200)
    assert '  → {"paid": {"id": "evt_1", "note": "a\\nb"}, "sizes": [0, 1, 2, 3,' in tree
    assert "↵" not in tree


@given(
    st.recursive(
        st.integers() | st.text(max_size=9) | st.none(),
        lambda deeper: st.lists(deeper) | st.dictionaries(st.text(max_size=9), deeper),
    )
)
def test_on_one_line_a_preview_says_the_same(value):
    if not isinstance(value, str):
        assert json.loads(on_one_line(preview(value, 1_000_000))) == value
