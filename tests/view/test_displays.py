"""Tables, pictures and texts out of records, as details, HTML, text and JSON (D2, D4, D5; issue 15)."""

from __future__ import annotations

import base64
import json
import struct
import zlib

import pytest
from hypothesis import given, strategies as st

from tests.support.views import Page, run, task
from trigger_nb._records.records import RunRecord, TaskRecord
from trigger_nb._view.live import wire
from trigger_nb._view.model.contents import found_in
from trigger_nb._view.model.displays import displays_of, of_result
from trigger_nb._view.model.run_model import RunModel
from trigger_nb._view.render import details, html, text
from trigger_nb._view.render.displays import display_json, display_text

NAME = "f" * 64
HEAD = {"columns": ["id", "name"], "types": ["int64", "str"], "rows": [[1, "Ana"], [2, None]], "of": [200, 5]}


def png(width: int = 3, height: int = 2) -> bytes:
    """A picture, made by hand."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + b"\x80\x40\x20" * width for _ in range(height)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def model(*records: TaskRecord, picture: bytes | None = None, **fields) -> RunModel:
    return RunModel(run(**fields), records, picture=lambda _: picture)


def displays(record: TaskRecord, picture: bytes | None = None) -> dict:
    """The sections with displays, by label."""
    drawn = model(record, picture=picture)
    sections = details.sections(drawn, drawn.rows[record.path])
    assert json.loads(json.dumps(details.as_json(sections))) == details.as_json(sections)
    return {each.label: each.display for each in sections if each.display is not None}


def shown(*pieces) -> TaskRecord:
    record = task("a", form="tagged", value={"$": "pandas.DataFrame"})
    record.show(list(pieces))
    return record


# -- What they hold -------------------------------------------------------------------------------


def test_a_stored_table():
    display = displays(shown({"part": "", "about": "DataFrame 200 × 5", "table": HEAD}))["Output"]
    assert display.about == "DataFrame 200 × 5"
    assert display.table.rows == (("1", "Ana"), ("2", ""))
    assert display.table.numbers == (True, False)
    assert display.table.more == "198 more rows, 3 more columns"
    assert display_text(display) == [
        "DataFrame 200 × 5",
        "   id  name",
        "int64  str",
        "    1  Ana",
        "    2",
        "… 198 more rows, 3 more columns",
    ]
    assert display_json(display)["table"]["rows"] == [["1", "Ana"], ["2", ""]]


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("", [{"id": 1, "tags": ["a"]}, {"id": 2.5}]),
        ("tagged", [{"$": "model", "of": "m:User", "v": {"id": 1, "tags": ["a"]}}, {"id": 2.5}]),
        ("tagged", {"$": "tuple", "v": [{"id": 1, "tags": ["a"]}, {"id": 2.5}]}),
    ],
)
def test_a_list_of_records_is_a_table_made_of_the_record(form, value):
    """Of old stores, too; and the whole stays there as JSON."""
    display = displays(task("a", form=form, value=value))["Output"]
    assert display.about == "list of 2"
    assert display.table.columns == ("id", "tags")
    assert display.table.rows == (("1", '["a"]'), ("2.5", ""))
    assert '"tags"' in display.text


@pytest.mark.parametrize("value", [[], [{}], [{"a": 1}], [{"a": 1}, 2], [{}, {}], {"a": 1}, 3, "x", None])
def test_other_values_are_text_as_before(value):
    assert displays(task("a", value=value)) == {}


def test_redact_hides_in_a_table_of_a_record():
    """S8: the record keeps what a replay needs."""
    record = task("a", value=[{"id": 1, "email": "ana@x.org"}] * 3, redact=["*.email"])
    assert displays(record)["Output"].table.rows[0] == ("1", "•••")
    assert "ana@x.org" not in repr(displays(record))


def test_a_long_value_says_what_it_is():
    """Never where it lies; an older record does not know what it is."""
    long = {"file": NAME, "form": "", "size": 712_000}
    drawn = model(
        task("a", form="file", value={**long, "about": "list of 2,000"}), task("b", form="file", value=long)
    )
    sections = {path: details.sections(drawn, drawn.rows[path]) for path in "ab"}
    outputs = [next(each.code for each in sections[path] if each.label == "Output") for path in "ab"]
    assert outputs == ["list of 2,000 · 712 kB", "a long value · 712 kB"]


# -- Hostile stores -------------------------------------------------------------------------------

HOSTILE = [
    3,
    "text",
    {},
    {"part": ""},
    {"part": [], "about": {"x": 1}, "table": []},
    {"part": "", "table": {"columns": "abc", "rows": "x"}},
    {"part": "", "table": {"columns": [], "rows": []}},
    {"part": "", "table": {"columns": [[1], {}], "rows": [3]}},
    {"part": "", "table": {"columns": ["a"], "rows": [[], [1, 2, 3]], "types": 3, "of": "x", "index": -1}},
    {"part": "", "table": {"columns": ["a"] * 900, "rows": [["x"] * 900] * 900, "of": [10**30, -1], "index": 10**9}},
    {"part": "", "table": {"columns": ["<b>"], "rows": [["</td><script>alert(1)</script>"], [10**30], [1e400]]}},
    {"part": "\u202e" * 999, "about": "<img src=x onerror=alert(1)>" * 99, "text": "<script>" * 9000},
    {"label": "<b>", "about": ["\x1b[31m"], "file": "../../etc/passwd"},
    {"label": "x", "file": {"a": 1}},
    {"label": "x", "value": {"a": [["<i>"]] * 9000}},
]  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE, ids=range(len(HOSTILE)))
def test_pieces_of_an_unknown_form_are_left_out_or_escaped(piece):
    """D5: a store may come from another person."""
    record = shown(piece)
    for data in (
        None,
        b"<svg onload=alert(1)>" * 9,
        png().replace(struct.pack(">II", 3, 2), struct.pack(">II", 60_000, 2)),
        png() + b"\0" * 70_000,
    ):
        assert all(each.picture is None for each in displays(record, data).values())
        drawn = html.final(model(record, picture=data, shown=[piece], form="tagged"))
        assert len(drawn) < 90_000
        assert "<script>alert" not in drawn
        Page(drawn)
    assert all(len(line) < 500 for display in displays_of(record) for line in display_text(display))
    assert len(json.dumps(wire.header(model(record, shown=[piece]), 0, [], []))) < 60_000


NAMES = [
    "part",
    "label",
    "about",
    "table",
    "file",
    "text",
    "value",
    "columns",
    "rows",
    "types",
    "of",
    "index",
]
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=20,
)


@given(ANYTHING)
def test_no_piece_breaks_a_page(piece):
    """D1: an error in rendering would hide all other details."""
    record = shown(
        piece if isinstance(piece, dict) else {"part": "", "table": piece},
        {"part": "", "table": {"columns": ["a"], "rows": piece}},
    )
    displays(record, png())
    Page(html.final(model(record)))


# -- Pages ----------------------------------------------------------------------------------------


def test_static_html_has_tables_and_pictures_folded():
    """D4: without a kernel and without a network."""
    record = shown(
        {"part": "", "about": "DataFrame 200 × 5", "table": {**HEAD, "index": 1}},
        {"label": "plot", "about": "Figure", "file": NAME},
        {"label": "note", "about": "Markdown", "text": "# <Title>"},
    )
    drawn = html.final(model(record, picture=png()))
    page = Page(drawn)
    assert page.counts["table"] == 1
    assert '<details class="tnb-dp"><summary' in drawn
    assert base64.b64encode(png()).decode() in drawn
    assert '<th class="tnb-j">1</th><td>Ana</td>' in drawn
    assert "# &lt;Title&gt;" in drawn
    assert "DataFrame 200 × 5" in page.text


def test_pictures_of_a_page_are_bounded():
    """A notebook with 500 figures can still be opened; a page of its own has more."""
    large = png(1200, 900)[:-12] + b"\0" * 50_000
    records = [shown({"part": "", "about": "Figure", "file": NAME}) for _ in range(30)]
    for number, record in enumerate(records):
        record.path = f"a{number}"
    drawn = html.final(model(*records, picture=large))
    assert drawn.count("<img") < 6
    assert "picture not shown here" in drawn
    assert drawn.count("tnb-f") >= 30  # the details of the others are not left out for it
    assert html.page(model(*records, picture=large), "title").count("<img") == 30


def test_the_output_of_a_run_is_shown_open():
    """D4, D2: in static HTML, in the live tree, and its first rows in text."""
    piece = {"part": "", "about": "DataFrame 200 × 5", "table": HEAD}
    drawn = model(form="tagged", output={"$": "pandas.DataFrame"}, shown=[piece])
    assert '<details class="tnb-dp" open><summary' in html.final(drawn)
    (section,) = wire.header(drawn, 0, [], [])["displays"]
    assert (section["label"], section["display"]["about"]) == ("Output", "DataFrame 200 × 5")
    assert "       id  name" in text.tree(drawn).splitlines()
    plain = model(output=[{"a": 1}, {"a": 2}])
    assert wire.header(plain, 0, [], [])["displays"][0]["display"]["table"]["rows"] == [["1"], ["2"]]
    assert wire.header(model(output=3), 0, [], [])["displays"] == []


def test_a_wide_table_in_text_leaves_columns_out():
    head = {
        "columns": [f"column {at}" for at in range(20)],
        "types": [],
        "rows": [["x" * 50] * 20],
        "of": [1, 20],
    }
    display = displays(shown({"part": "", "about": "DataFrame 1 × 20", "table": head}))["Output"]
    lines = display_text(display, 100)
    assert max(map(len, lines)) <= 100
    assert "17 columns left out here" in lines[-1]


def test_a_record_of_an_old_store_has_no_pieces():
    """Old rows have no such field."""
    record = RunRecord.loads('{"status":"COMPLETED","form":"tagged","output":{"$":"pandas.DataFrame"}}')
    assert of_result(record, None, 100) == []


def test_a_filter_finds_what_is_shown():
    """D2: in details that are not open, too."""
    drawn = model(shown({"label": "rows", "about": "DataFrame 200 × 5", "table": HEAD}))
    assert found_in(drawn.rows["a"], "ana") == "rows: DataFrame 200 × 5 id name 1 Ana 2"
    assert found_in(drawn.rows["a"], "bo") == ""
