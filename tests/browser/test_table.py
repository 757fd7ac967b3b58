"""The items of a map as a table, as a person looks at them."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Error, Locator, expect

from . import table_page
from .lab import UNTIL, expect_equal
from .test_accessibility import violations
from .test_contrast import faint

COUNT = ".tnb-tb-count"


@pytest.fixture
def page(page):
    complaints: list[str] = []

    def complains(error: Error) -> None:
        complaints.append(str(error))

    page.on("pageerror", complains)
    yield page
    page.remove_listener("pageerror", complains)
    assert complaints == []


def column(grid: Locator, title: str, most: int = 5) -> list[str]:
    """The first cells of a column, as they are seen."""
    titles = [each.rstrip("▲▼").strip() for each in grid.get_by_role("columnheader").all_inner_texts()]
    if title not in titles:  # the first answer is still to come
        return []
    rows = grid.locator(".tnb-gr").all()
    rows.sort(key=lambda row: int(row.get_attribute("data-place") or 0))
    return [row.locator(".tnb-gc").nth(titles.index(title)).inner_text().strip() for row in rows[:most]]


def test_it_sorts_by_each_column(page):
    """D2: numbers as numbers, names by the numbers in them; the third click ends it."""
    table_page.opened(page, 2000)
    grid = page.get_by_role("grid")
    expect(grid).to_have_attribute("aria-rowcount", "2001")
    assert grid.locator(".tnb-gr").count() < 60
    by_score = grid.get_by_role("button", name="score")
    by_score.click()
    expect_equal(lambda: column(grid, "score"), ["0", "1", "2", "3", "4"])
    expect(grid.get_by_role("columnheader", name="score")).to_have_attribute("aria-sort", "ascending")
    by_score.click()
    expect_equal(lambda: column(grid, "score", 3), ["1999", "1998", "1997"])
    by_score.click()
    expect_equal(lambda: column(grid, "Item", 3), ["doc 0", "doc 1", "doc 2"])
    expect(grid.locator("[aria-sort]")).to_have_count(0)
    for _ in range(2):
        grid.get_by_role("button", name="Item").click()
    expect_equal(lambda: column(grid, "Item", 2), ["doc 1999", "doc 1998"])


def test_it_filters_by_text_status_and_error(page):
    """D2: text is found in outputs that the page does not have."""
    table_page.opened(page, 2000)
    grid = page.get_by_role("grid")
    page.get_by_role("searchbox").fill("DOC 123<")
    expect(page.locator(COUNT)).to_have_text("1 of 2,000 items")
    expect_equal(lambda: column(grid, "Item"), ["doc 123"])
    page.get_by_role("searchbox").fill("nothing has it")
    expect(page.locator(COUNT)).to_have_text("0 of 2,000 items")
    page.get_by_role("searchbox").fill("")
    expect(page.locator(COUNT)).to_have_text("2,000 items")
    for button in ("5 × ValueError: item … has no text", re.compile("^5 failed")):
        page.get_by_role("button", name=button).click()
        expect(page.locator(COUNT)).to_have_text("5 of 2,000 items")
        expect_equal(lambda: column(grid, "Item"), ["doc 7", "doc 407", "doc 807", "doc 1207", "doc 1607"])
        page.get_by_role("button", name=button).click()
        expect(page.locator(COUNT)).to_have_text("2,000 items")


def test_it_is_used_by_keyboard(page):
    """D2: a grid as the ARIA practices define it; the details of an item come from the kernel."""
    table_page.opened(page, 2000)
    grid = page.get_by_role("grid")
    grid.focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight", "ArrowRight"):
        grid.press(key)
    active = grid.locator(".tnb-active")
    cell = active.locator(".tnb-cell-active")
    expect(cell).to_have_text("spam")
    assert grid.get_attribute("aria-activedescendant") == cell.get_attribute("id")
    assert active.get_attribute("aria-rowindex") == "3"
    grid.press("End")
    expect(active).to_contain_text("doc 1999")
    grid.press("Enter")
    details = page.locator(".tnb-details")
    expect(details).to_contain_text("it says <b>doc 1999</b>")
    grid.press("ArrowUp")
    expect(details).to_contain_text("it says <b>doc 1998</b>")
    grid.press("PageUp")
    expect(details).not_to_contain_text("doc 1998")
    grid.press("Escape")
    expect(details).to_be_hidden()
    grid.press("Home")
    for key in ("ArrowRight", "ArrowRight", "ArrowRight", "s"):
        grid.press(key)
    expect(grid.get_by_role("columnheader", name="score")).to_have_attribute("aria-sort", "ascending")
    page.get_by_role("searchbox").press("ArrowDown")
    expect(grid).to_be_focused()
    page.get_by_role("button", name="Tree").click()
    expect(grid).to_be_hidden()
    expect(page.get_by_role("tree")).to_be_visible()


def test_a_jump_to_any_place_shows_its_items(page):
    """D2: parts come from the kernel when they come into view, and a scroll by the wheel loses none."""
    kernel = table_page.opened(page, 5000)
    grid = page.get_by_role("grid")
    for place in (4000, 17, 2500):
        grid.evaluate("(grid, top) => { grid.scrollTop = top; }", place * 24)
        expect(grid.get_by_role("row").filter(has_text=f"doc {place + 5}").first).to_be_visible()
    assert kernel.queries < 20
    assert grid.locator(".tnb-gr").count() < 60
    assert page.locator(".tnb-live *").count() < 1000  # D1, as for a tree


@pytest.mark.parametrize("around", ["JupyterLab light", "JupyterLab dark", "VS Code light"])
def test_it_can_be_read_by_everyone(page, around):
    """D2: WCAG AA, light and dark, at rest and with a chosen row and its details."""
    table_page.opened(page, 500, around)
    assert faint(page, least=80) == {}
    assert violations(page) == []
    page.locator(".tnb-gr").nth(7).click()
    expect(page.locator(".tnb-details")).to_contain_text("item 7 has no text")
    assert faint(page, least=80) == {}
    assert violations(page) == []


def test_in_a_narrow_place_names_stay_in_view(page):
    """D2: at 420 pixels the table scrolls sideways, and the chosen cell is in view."""
    page.set_viewport_size({"width": 444, "height": 700})
    table_page.opened(page, 500)
    grid = page.get_by_role("grid")
    grid.focus()
    grid.press("ArrowDown")
    for _ in range(6):
        grid.press("ArrowRight")
    inside = """grid => {
      const box = grid.getBoundingClientRect();
      const [name, cell] = ['.tnb-active .tnb-gk-name', '.tnb-cell-active'].map(each => grid.querySelector(each).getBoundingClientRect());
      return [name.left >= box.left - 1, cell.left >= name.right - 1, cell.right <= box.right + 1, grid.scrollLeft > 0];
    }"""
    expect_equal(lambda: grid.evaluate(inside), [True] * 4)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 444


MAP = (
    UNTIL
    + """
from trigger_nb import TriggerClient

client = TriggerClient("tables")

async def classify(doc):
    if doc["id"] == 590:
        await until("rest")
    return {"label": ("ham", "spam")[doc["id"] % 2], "score": doc["id"]}

@client.job(id="classify", name="Classify")
async def job(payload, io):
    docs = [{"id": n, "title": f"doc {n}"} for n in range(600)]
    await io.map("classify", docs, classify, name="Classify texts", item_name=lambda doc: doc["title"])
    await until("end")
"""
)


def test_in_a_notebook_it_follows_a_map_under_way(lab):
    """D1, D2: in a real JupyterLab, with the outputs from the store."""
    lab.open([MAP, "run = job.start()"])
    lab.run_all().wait_idle()
    run = lab.live(1)
    expect(run.get_by_role("treeitem").first).to_contain_text("599 of 600")
    run.get_by_role("button", name="Table").click()
    grid = run.get_by_role("grid")
    expect_equal(lambda: column(grid, "label", 3), ["ham", "spam", "ham"])
    run.get_by_role("button", name=re.compile("^1 running")).click()
    expect(run.locator(COUNT)).to_have_text("1 of 600 items")
    expect_equal(lambda: column(grid, "Item"), ["doc 590"])
    run.get_by_role("button", name=re.compile("^1 running")).click()
    grid.get_by_role("button", name="score").click()
    grid.get_by_role("button", name="score").click()
    expect_equal(lambda: column(grid, "score", 2), ["599", "598"])
    lab.signal("rest")
    expect_equal(lambda: "590" in column(grid, "score", 12), True)
    lab.signal("end")
    assert lab.complaints() == []
