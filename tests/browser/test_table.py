"""The items of a map as a table, as a person looks at them."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, expect

from .lab import UNTIL, Lab, expect_equal

MAP = (
    UNTIL
    + """
from trigger_nb import TriggerClient

client = TriggerClient("tables")
LABELS = ("ham", "spam", "unsure")

async def classify(doc):
    if doc["id"] == 1990:
        await until("rest")
    if doc["id"] % 400 == 7:
        raise ValueError(f"item {doc['id']} has no text")
    return {"label": LABELS[doc["id"] % 3], "score": doc["id"] * 7 % 2000, "why": "it says " + doc["title"]}

@client.job(id="classify", name="Classify")
async def job(payload, io):
    docs = [{"id": n, "title": f"doc {n}"} for n in range(2000)]
    await io.map("classify", docs, classify, name="Classify texts", return_errors=True, item_name=lambda doc: doc["title"])
    await until("end")
"""
)


def opened(lab: Lab) -> tuple[Locator, Locator]:
    lab.open([MAP, "run = job.start()"])
    lab.run_all().wait_idle()
    run = lab.live(1)
    expect(run.get_by_role("treeitem").first).to_contain_text("1,999 of 2,000")
    run.get_by_role("button", name="Table").click()
    grid = run.get_by_role("grid")
    expect(grid.get_by_role("row").nth(1)).to_contain_text("doc 0")
    return run, grid


def column(grid: Locator, at: int, most: int = 5) -> list[str]:
    """The first cells of a column, as they are seen."""
    rows = grid.locator(".tnb-gr")
    cells = [(rows.nth(n).get_attribute("data-place"), rows.nth(n).locator(".tnb-gc").nth(at).inner_text()) for n in range(most)]
    return [text for _, text in sorted(cells, key=lambda each: int(each[0] or 0))]


def titles(grid: Locator) -> list[str]:
    return [each.rstrip("▲▼").strip() for each in grid.get_by_role("columnheader").all_inner_texts()]


def test_a_map_shows_as_a_table_that_sorts_and_filters(lab):
    """D1, D2: the kernel sorts and filters; the page has the rows in view."""
    run, grid = opened(lab)
    expect_equal(lambda: titles(grid), ["Item", "Status", "label", "score", "why", "Error", "Took"])
    expect(grid).to_have_attribute("aria-rowcount", "2001")
    assert column(grid, 0) == [f"doc {n}" for n in range(5)]
    assert grid.locator(".tnb-gr").count() < 60
    by_score = grid.get_by_role("button", name="score")
    by_score.click()
    expect_equal(lambda: column(grid, 3), ["0", "1", "2", "3", "4"])
    expect(grid.get_by_role("columnheader", name="score")).to_have_attribute("aria-sort", "ascending")
    by_score.click()
    expect_equal(lambda: column(grid, 3, 3), ["1999", "1998", "1997"])
    by_score.click()
    expect_equal(lambda: column(grid, 0, 3), ["doc 0", "doc 1", "doc 2"])
    run.get_by_role("searchbox").fill("says doc 123")
    expect(run.locator(".tnb-tb-count")).to_have_text("11 of 2,000 items")
    expect_equal(lambda: column(grid, 0, 3), ["doc 123", "doc 1230", "doc 1231"])
    run.get_by_role("searchbox").fill("")
    expect(run.locator(".tnb-tb-count")).to_have_text("2,000 items")
    run.get_by_role("button", name="5 × ValueError: item … has no text").click()
    expect(run.locator(".tnb-tb-count")).to_have_text("5 of 2,000 items")
    expect_equal(lambda: column(grid, 0), ["doc 7", "doc 407", "doc 807", "doc 1207", "doc 1607"])
    run.get_by_role("button", name="5 × ValueError").click()
    run.get_by_role("button", name=re.compile(r"^1 running")).click()
    expect_equal(lambda: column(grid, 0, 1), ["doc 1990"])
    expect(run.locator(".tnb-tb-count")).to_have_text("1 of 2,000 items")
    lab.signal("rest")
    expect(run.locator(".tnb-tb-count")).to_have_text("0 of 2,000 items")
    run.get_by_role("button", name=re.compile(r"^0 running|^1 running")).click()
    expect(run.locator(".tnb-tb-count")).to_have_text("2,000 items")
    run.get_by_role("button", name="Tree").click()
    expect(grid).to_be_hidden()
    expect(run.get_by_role("treeitem").first).to_contain_text("Classify texts")
    lab.signal("end")
    assert lab.complaints() == []


def test_the_table_by_keyboard(lab):
    """D2: a grid as the ARIA practices define it; the details of an item come from the kernel."""
    run, grid = opened(lab)
    grid.focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight", "ArrowRight"):
        grid.press(key)
    active = grid.locator(".tnb-active")
    expect(active).to_contain_text("doc 1")
    cell = active.locator(".tnb-cell-active")
    expect(cell).to_have_text("spam")
    assert grid.get_attribute("aria-activedescendant") == cell.get_attribute("id")
    grid.press("End")
    expect(active).to_contain_text("doc 1999")
    grid.press("Enter")
    details = run.locator(".tnb-details")
    expect(details).to_contain_text("it says doc 1999")
    grid.press("ArrowUp")
    expect(details).to_contain_text("it says doc 1998")
    grid.press("Escape")
    expect(details).to_be_hidden()
    grid.press("Home")
    grid.press("ArrowRight")
    grid.press("ArrowRight")
    grid.press("ArrowRight")
    grid.press("s")
    expect(grid.get_by_role("columnheader", name="score")).to_have_attribute("aria-sort", "ascending")
    expect_equal(lambda: column(grid, 3, 2), ["0", "1"])
    lab.signal("rest").signal("end")
    assert lab.complaints() == []
