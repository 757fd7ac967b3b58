"""Tables and pictures of results, and what `task.show` shows, in the details and below the tree (issue 15; D2, D5)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.view.test_displays import png
from trigger_nb._records.records import RunRecord, TaskRecord
from trigger_nb._view.live import widget, wire
from trigger_nb._view.model.run_model import RunModel
from trigger_nb._view.render import details, html

from .test_alone import RUN, SHOW
from .test_details import KERNEL, NOW, opened, section

WIDE = {
    "columns": ["order", *(f"column {at}" for at in range(9))],
    "types": ["int64", *["float64"] * 9],
    "rows": [[1000 + at, *[at / 7] * 9] for at in range(10)],
    "of": [200, 14],
}  # fmt: skip
PIECES = [
    {"part": "", "about": "DataFrame 200 × 14", "table": WIDE},
    {"label": "sales by month", "about": "Figure", "file": "f" * 64},
    {"label": "note", "about": "Markdown", "text": "# Done\n\n<b>3</b> rows left out"},
]
USERS = [
    {"id": 1, "name": "Ana", "note": "</td><script>document.title='broken'</script>"},
    {"id": 2, "name": "Bo"},
]


def records() -> list[TaskRecord]:
    load = TaskRecord(
        path="load", started=1, started_at=NOW - 9, ended_at=NOW - 8, form="tagged", value={"$": "t"}
    )
    load.show(PIECES)
    return [load, TaskRecord(path="users", started=2, started_at=NOW - 7, ended_at=NOW - 6, value=USERS)]


def model() -> RunModel:
    run = RunRecord(
        id="run_1", status="COMPLETED", started_at=NOW - 9, finished_at=NOW, form="tagged", output={"$": "t"}
    )
    run.shown = [{"part": "", "about": "DataFrame 2 × 1", "table": {"columns": ["total"], "types": ["int64"], "rows": [[7], [9]], "of": [2, 1]}}]  # fmt: skip
    return RunModel(run, records(), picture=lambda _: png(320, 200))


@pytest.fixture
def page(page):
    page.set_content(f"<!doctype html><style>{widget.styles()}</style><body></body>")
    return page


def show(page: Page, width: int):
    made = model()
    rows = [{"i": at, **wire.row(row, NOW)} for at, row in enumerate(made.rows.values())]
    told = [{"sections": details.as_json(details.sections(made, row))} for row in made.rows.values()]
    shown = wire.header(made, 0, [], [])
    run = {**RUN, "base": NOW, "displays": shown["displays"], "output": shown["output"]}
    page.evaluate(
        "first => { window.first = first }", {"n": 1, "now": NOW, "run": run, "rows": wire.packed(rows)}
    )
    page.evaluate("width => { document.body.style.width = `${width}px` }", width)
    page.evaluate(
        SHOW, {"module": widget.module(), "kind": "run", "kernel": KERNEL.replace("TOLD", json.dumps(told))}
    )
    return page.get_by_role("region", name="Run Report").last


@pytest.mark.parametrize("width", [1000, 420])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_table_a_picture_and_a_text(page, tmp_path, width, scheme):
    """Nothing is wider than the pane: a wide table scrolls by itself, also by keyboard."""
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 1000})
    run = show(page, width)
    pane = opened(run, "completed, load")
    output = section(pane, "Output")
    expect(output).to_contain_text("DataFrame 200 × 14")
    expect(output.get_by_role("row")).to_have_count(11)
    expect(output.get_by_role("columnheader").first).to_have_text("orderint64")
    expect(output).to_contain_text("… 190 more rows, 4 more columns")
    box = output.get_by_role("region", name="DataFrame 200 × 14")
    assert box.evaluate("box => box.scrollWidth > box.clientWidth && box.tabIndex === 0")
    picture = section(pane, "sales by month").get_by_role("img", name="Figure")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == 320
    expect(section(pane, "note").locator("pre")).to_have_text("# Done\n\n<b>3</b> rows left out")
    for each in (pane, run):
        assert each.evaluate("each => each.scrollWidth <= each.clientWidth + 1")
    pane.evaluate("pane => pane.scrollTop = 0")
    pictures = Path(tmp_path / f"displays-{width}-{scheme}.png")
    page.screenshot(path=pictures, full_page=True)
    assert pictures.stat().st_size > 5_000


def test_a_list_of_records_is_copied_as_json_and_has_no_markup(page):
    """D5: a cell is text."""
    pane = opened(show(page, 1000), "completed, users")
    output = section(pane, "Output")
    expect(output.get_by_role("cell").nth(2)).to_contain_text("</td><script>")
    expect(output.get_by_text("as JSON")).to_be_visible()
    expect(output.locator("pre")).to_be_hidden()
    expect(output.get_by_role("button", name="Copy output")).to_be_attached()
    assert page.title() != "broken"


def test_a_run_that_returns_a_table_shows_it_below_its_tree(page):
    run = show(page, 1000)
    below = run.locator("ul.tnb-f").last
    expect(below).to_contain_text("DataFrame 2 × 1")
    expect(below.get_by_role("row")).to_have_count(3)


def test_only_pictures_are_drawn(page):
    """D5: whatever a kernel says, the page takes no other URL."""
    script = f"{widget.module()}"
    assert "data:image" in script
    made = model()
    told = details.as_json(details.sections(made, made.rows["load"]))
    for part in told:
        if "picture" in part.get("display", {}):
            part["display"]["picture"][0] = "data:image/svg+xml,<svg onload='document.title=1'/>"
    rows = [{"i": 0, **wire.row(made.rows["load"], NOW)}]
    page.evaluate(
        "first => { window.first = first }",
        {"n": 1, "now": NOW, "run": {**RUN, "base": NOW}, "rows": wire.packed(rows)},
    )
    kernel = KERNEL.replace("TOLD", json.dumps([{"sections": told}]))
    page.evaluate(SHOW, {"module": widget.module(), "kind": "run", "kernel": kernel})
    pane = opened(page.get_by_role("region", name="Run Report").last, "completed, load")
    expect(section(pane, "sales by month")).to_contain_text("Figure")
    expect(pane.get_by_role("img", name="Figure")).to_have_count(0)


@pytest.mark.parametrize("width", [900, 420])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_static_page(page, tmp_path, width, scheme):
    """D4: folded, and not wider than the page."""
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 1000})
    page.set_content(html.page(model(), "Report"))
    expect(page.get_by_role("table")).to_have_count(1)  # the output of the run; others are folded
    page.get_by_text("load", exact=True).first.click()
    page.get_by_text("DataFrame 200 × 14").click()
    page.locator("summary", has_text="Figure").click()
    expect(page.get_by_role("table").first).to_be_visible()
    expect(page.get_by_role("img", name="Figure")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.screenshot(path=tmp_path / f"static-{width}-{scheme}.png", full_page=True)
