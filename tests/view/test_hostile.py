"""Whatever names, values, urls and errors hold, all faces of a run show it as text, and not too much of it.

Rule D5. One run is drawn whose every text is hostile, and a reader checks what came of it: HTML must have
the very elements it has with harmless texts in their place, text must have the very lines.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from tests.support.views import Clock, Page, T, run, task
from trigger_nb import Reason
from trigger_nb._records.feed import Progressed, Seen
from trigger_nb._records.records import RunRecord
from trigger_nb._view.escape import columns
from trigger_nb._view.live import wire
from trigger_nb._view.model.run_model import RunModel
from trigger_nb._view.render import details, html, run_table as run_table_module, text

ATTACKS = [
    "<script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "java\tscript:alert(1)",
    "\x01javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:x",
    "//x.org/protocol-relative",
    "https://x.org/\"onclick='1'",
    "https://x.org/a b",
    "https://\u202egro.x",
    "mailto:a@b.org?subject=<b>",
    "--><!-- ]]>",
    "<![CDATA[",
    "<?php",
    "`<b>`",
    "&lt;script&gt;&#x3c;",
    "&#10;&#10;",
    "</pre></details></li></ul></div>",
    "</title><script>",
    "\u202eltr\u2066\u2069\u200f",
    "zero\u200bwidth\u2060\ufeff",
    "\x1b[31mred\x1b[0m\x1b]0;title\x07\x9b2J",
    "\x00\x08\x7f\x85",
    "\ud800 half \udfff",
    "a\r\rb\x0b\x0cc",
    "\u2028\u2029",
    "ﷺ" * 50,
    "Z̸̡̢" * 40,
    "\U000e0041\U000e007f",
]

# What acts on a terminal or a page instead of being seen.
HIDDEN = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)

ISOLATED = re.compile("\u2068([^\u2068\u2069<>]*)\u2069")  # what we write around text from right to left
FIELDS = 40  # how many texts `hostile_run` takes


def hostile_run(texts: list[str]) -> tuple[RunModel, RunRecord]:
    """A run with these texts wherever text from outside can be."""
    given = iter(texts)

    def some() -> str:
        return next(given)

    def error(**more: Any) -> dict[str, Any]:
        return {"type": some(), "message": some(), "notes": [some()], "traceback": [some()], **more}

    properties = [
        {"label": some(), "text": some(), "url": some(), "image_url": some()},
        {"label": some(), "text": some(), "url": "https://x.org/?" + re.sub("[^!-~]", "", some())},
    ]
    failure = error(cause=error(), errors=[{"type": "E", "message": some()}])
    key = re.sub("[~/\ud800-\udfff]", "", some()) or "k"  # a key is text without halves of a pair
    records = [
        task(
            "a", 1, "ERRORED", error=failure, name=some(), icon=some(), description=some(), params={some(): some()},
            properties=properties, display_key=some(), prints=[["out", some()], ["err", some()]],
        ),
        task(f"a/{key}", 2, output_properties=properties, value={some(): [some()]}),
        task("b", 3, form="unstored", value={"type": some(), "path": "$", "reason": some()}),
        task("~.1", 4, kind="log", name=some(), level="warn", data=some()),
        task("c", 5, "RUNNING"),
    ]  # fmt: skip
    record = run(
        "RUNNING", name=some(), error={**failure, "type": "Other"}, hints=[texts[0]], output={"x": texts[1]}
    )
    record.payload_preview = texts[2]
    seen = {"a": Seen("a", Reason.REPLAYED, texts[3]), "b": Seen("b", Reason.NEW), "c": Seen("c", Reason.NEW)}
    model = RunModel(record, records, seen=seen, hints=[texts[4]], store=texts[5], clock=Clock())
    model.apply([Progressed("c", 1, 2, texts[6])])
    return model, record


def html_of(texts: list[str]) -> list[str]:
    model, record = hostile_run(texts)
    return [
        html.final(model),
        html.live(model),
        html.page(model, texts[7]),
        run_table_module.as_html([record], T),
    ]


def text_of(texts: list[str], width: int) -> list[str]:
    model, record = hostile_run(texts)
    return [
        text.tree(model, width=width),
        text.excerpt(model, width=width),
        run_table_module.as_text([record], T, width=width),
    ]


def strings(data: Any) -> Iterator[str]:
    """All texts in JSON, keys included."""
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict):
        for key, value in data.items():
            yield key
            yield from strings(value)
    elif isinstance(data, list | tuple):
        for value in data:
            yield from strings(value)


def numbered(texts: list[str]) -> list[str]:
    """No two the same: a row does not say twice what is its name and its key."""
    return [f"{text}{at}" for at, text in enumerate(texts)]


HARMLESS = numbered(["text"] * FIELDS)
attack = st.one_of(st.sampled_from(ATTACKS), st.text(min_size=1, max_size=20))
attacks = st.lists(attack, min_size=FIELDS, max_size=FIELDS).map(numbered)


@given(attacks)
@settings(max_examples=100)
def test_html_holds_nothing_but_what_we_write(texts):
    """Elements and attributes of ours only, links to the web and to mail only, nothing that is hidden."""
    for source in html_of(texts):
        Page(source)  # refuses foreign elements, attributes, links and styles
        assert "<script" not in source.lower()
        assert not HIDDEN.search(ISOLATED.sub(r"\1", source))
        assert "\n\n" not in source, "a blank line would end the HTML in Markdown"
        assert source.encode()


one_line = st.text(min_size=1, max_size=20).filter(lambda text: "\n" not in text)
plain_attacks = st.one_of(
    st.sampled_from([each for each in ATTACKS if ":" not in each and len(each) < 50]), one_line
)


@given(st.lists(plain_attacks, min_size=FIELDS, max_size=FIELDS).map(numbered))
@settings(max_examples=100)
def test_html_has_the_bones_it_has_with_harmless_texts(texts):
    """No text makes, ends or moves an element.

    Left out is what we mark up: links, lines of errors, and code between backticks in hints.
    """
    texts = [("t" + text if ":" in text else text).replace("`", "") for text in texts]
    for source, harmless in zip(html_of(texts), html_of(HARMLESS), strict=True):
        assert Page(source).bones == Page(harmless).bones


@given(attacks, st.integers(40, 120))
@settings(max_examples=100)
def test_a_terminal_gets_nothing_to_act_on(texts, width):
    """No control character, no bidi override, nothing that is not UTF-8; each line within the width."""
    for shown in text_of(texts, width):
        assert not HIDDEN.search(shown)
        assert shown.encode()
    rows = [line for line in text_of(texts, width)[0].splitlines() if line.startswith(("├─", "│", "└─"))]
    assert sum(re.match("│? *[├└]─ ", line) is not None for line in rows) == 5, "no text makes a row"
    assert all(columns(line) <= width for line in rows)


@given(attacks)
@settings(max_examples=100)
def test_the_widget_gets_visible_text_only(texts):
    """Details, rows and header as they are sent."""
    model, _ = hostile_run(texts)
    sent = [
        [wire.row(row, T) for row in model.rows.values()],
        [details.as_json(details.sections(model, row)) for row in model.rows.values()],
        wire.header(model, T, [], []),
    ]
    for said in strings(sent):
        assert not HIDDEN.search(said.replace("\t", ""))  # a tab is a tab in values and tracebacks
    json.dumps(sent, ensure_ascii=False, allow_nan=False).encode()


def test_lines_are_shown_as_lines_or_signs():
    """A line break in a name stays in its row; in an error, in a value and in prints it is a line."""
    error = {"type": "E", "message": "one\n\ntwo"}
    prints = [["out", "first\n\nsecond\n"]]
    record = task("a", 1, "ERRORED", name="a\nb", error=error, params="c\nd", prints=prints)
    model = RunModel(run("FAILED"), [record])
    assert "✘ a↵b [a]" in text.tree(model)
    source = html.final(model)
    assert "\n" not in source
    assert "E: one<br><br>two" in source
    assert "<pre>first&#10;&#10;second&#10;</pre>" in source
    assert "a↵b" in source


@pytest.mark.parametrize(
    "url", [each for each in ATTACKS if not each.startswith(("mailto:", 'https://x.org/"'))]
)
def test_a_url_that_is_not_followed_stands_in_the_text(url):
    record = task("a", properties=[{"label": "l", "text": "t", "url": url, "image_url": url}])
    page = Page(html.final(RunModel(run(), [record])))
    assert page.links == []
    assert "l: t (" in " ".join(page.text.split())


# --- size ---------------------------------------------------------------------------------------------

LONG = "é<" * 500_000


def size(data: Any) -> int:
    """Bytes of JSON."""
    return len(json.dumps(data, ensure_ascii=False).encode())


def test_a_megabyte_anywhere_is_cut():
    """In HTML, in text and in what is sent to the widget."""
    model, record = hostile_run([LONG] * FIELDS)
    for source in html_of([LONG] * FIELDS):
        Page(source)
        assert len(source.encode()) < 350_000
    for shown in text_of([LONG] * FIELDS, 100):
        assert len(shown.encode()) < 15_000
    for row in model.rows.values():
        assert size(details.as_json(details.sections(model, row))) < 100_000
        assert size(wire.row(row, T)) < 20_000
    assert len(run_table_module.as_text([record], T)) < 2_000


def test_megabytes_in_many_tasks_stay_within_bounds():
    properties = [{"label": LONG, "text": LONG, "url": "https://" + LONG}] * 50
    error = {"type": LONG, "message": LONG, "notes": [LONG] * 50, "traceback": [LONG] * 300}
    error = {**error, "errors": [error] * 99, "cause": error}
    fields = {"properties": properties, "params": LONG, "value": LONG, "icon": LONG, "description": LONG}
    records = [
        task(f"t{at}", at, "ERRORED", error=error, prints=[["out", LONG]] * 9, **fields) for at in range(300)
    ]
    model = RunModel(run("FAILED", error=error), records)
    source = html.final(model)
    Page(source)
    assert len(source.encode()) < 1_200_000
    assert len(text.tree(model)) < 60_000


def test_depths_past_all_reason_are_cut():
    """Values and errors nested a thousand deep."""
    value: Any = 1
    error: dict[str, Any] = {"type": "E"}
    for _ in range(1000):
        value = [value]
        error = {"type": "E", "message": "m", "cause": error, "errors": [error]}
    model = RunModel(run("FAILED", output=value), [task("a", 1, "ERRORED", params=value, error=error)])
    Page(html.final(model))
    assert size(details.as_json(details.sections(model, model.rows["a"]))) < 50_000
    text.tree(model)
