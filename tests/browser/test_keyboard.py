"""The tree without a mouse, and as a screen reader has it."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from .lab import PANEL, UNTIL, Lab, expect_equal
from .letter import row

JOB = (
    UNTIL
    + """
from trigger_nb import job

async def fails():
    raise LookupError("no such fruit")

async def fruit(io):
    await io.run_task("apple", lambda: "apple", properties={"Red": "yes"})
    await io.run_task("apricot", lambda: "apricot")
    try:
        await io.run_task("durian", fails)
    except LookupError:
        pass

async def shelf(io):
    await io.run_task("fruit", fruit)
    await io.run_task("bread", lambda: "bread")

@job(id="shop", name="A shop")
async def shop(payload, io):
    await io.run_task("shelf", shelf, name="Shelf")
    for n in range(30):
        await io.run_task(f"item {n}", lambda: "there")
    await io.run_task("zzz", until, "never")

run = shop.start()
"""
)
AROUND = ["a = 1", JOB, "b = 2"]


@pytest.fixture
def run(lab: Lab) -> Locator:
    """A tree with 37 rows, between two other cells."""
    run = lab.open(AROUND).run_all().wait_idle().live(1)
    expect(run.get_by_role("button", name="33 completed")).to_be_visible()
    expect(row(run, "running, zzz")).to_be_visible()
    return run


def chosen(run: Locator, name: str) -> None:
    """The keyboard is on this row, which is in view, and what has the focus says so."""
    active = run.get_by_role("treeitem", selected=True)
    expect(active.locator(".tnb-n")).to_have_text(name)
    expect(active).to_be_in_viewport()
    expect(run.get_by_role("tree")).to_be_focused()
    expect(run.get_by_role("tree")).to_have_attribute(
        "aria-activedescendant", active.get_attribute("id") or ""
    )


def tab_into(run: Locator) -> None:
    """Come to the tree by the Tab key, from what is before it."""
    run.get_by_role("button", name="Timeline").press("Tab")
    expect(run.get_by_role("tree")).to_be_focused()


# At once: between two letters of a word there must not be much time.
TYPE = """word => {
  for (const key of word) document.activeElement.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }));
}"""


def test_keys_move_through_the_tree_and_open_what_they_are_on(lab, run):
    """Issue 3: arrows, Home, End, pages, type-ahead, Enter and Escape, as in every other tree."""
    keyboard = lab.page.keyboard
    tab_into(run)
    for keys, name in [
        ("ArrowDown", "Shelf"),
        ("ArrowDown ArrowDown", "apple"),
        ("ArrowUp", "fruit"),
        ("End", "zzz"),
        ("ArrowDown", "zzz"),
        ("Home", "Shelf"),
        ("PageDown", "item 11"),
        ("PageUp", "Shelf"),
        ("ArrowUp", "Shelf"),
    ]:
        for key in keys.split():
            keyboard.press(key)
        chosen(run, name)

    for name, found in [("ap", "apple"), ("b", "bread"), ("item 2", "item 2"), ("shelf", "Shelf")]:
        keyboard.press("Home")  # begins another word
        lab.page.evaluate(TYPE, name)
        chosen(run, found)
    keyboard.press("Home")
    for found in ("apple", "apricot"):  # the same letter again and again goes through them
        keyboard.press("a")
        chosen(run, found)

    keyboard.press("Home")
    keyboard.press("ArrowLeft")
    expect(row(run, "completed, Shelf")).to_have_attribute("aria-expanded", "false")
    expect(row(run, "completed, fruit")).not_to_be_attached()
    keyboard.press("ArrowRight")
    expect(row(run, "completed, Shelf")).to_have_attribute("aria-expanded", "true")
    keyboard.press("ArrowRight")
    chosen(run, "fruit")
    keyboard.press("ArrowDown")
    keyboard.press("ArrowLeft")
    chosen(run, "fruit")
    keyboard.press("!")  # the next failure
    chosen(run, "durian")

    keyboard.press("Enter")
    about = run.get_by_role("region", name="Details of durian")
    expect(about).to_contain_text("LookupError: no such fruit")
    keyboard.press("ArrowUp")
    expect(run.get_by_role("region", name="Details of apricot")).to_contain_text('"apricot"')
    keyboard.press("Escape")
    expect(run.locator(".tnb-details")).to_be_hidden()
    chosen(run, "apricot")
    assert lab.complaints() == []


def test_the_focus_goes_where_one_reads(lab, run):
    """Enter opens the details, and once more goes into them; Tab leads there, too; Escape returns to the tree."""
    keyboard = lab.page.keyboard
    tab_into(run)
    keyboard.press("!")
    chosen(run, "durian")
    about = run.get_by_role("region", name="Details of durian")
    keyboard.press("Enter")
    expect(about).to_contain_text("LookupError: no such fruit")
    chosen(run, "durian")  # to read on in the tree, its details beside it
    keyboard.press("Enter")
    expect(about).to_be_focused()
    keyboard.press("Tab")
    expect(about.get_by_role("button", name="Open in a cell")).to_be_focused()
    keyboard.press("Escape")
    expect(about).to_be_hidden()
    chosen(run, "durian")

    keyboard.press("Enter")
    expect(about).to_be_visible()
    keyboard.press("Tab")
    expect(run.get_by_role("separator", name="Size of the details")).to_be_focused()
    keyboard.press("Tab")
    expect(about.get_by_role("button", name="Open in a cell")).to_be_focused()
    keyboard.press("Shift+Tab")
    keyboard.press("Shift+Tab")
    chosen(run, "durian")
    assert lab.complaints() == []


FRUIT = """
from trigger_nb import job

@job(id="fruit", name="Fruit")
async def fruit(payload, io):
    await io.run_task("apple", lambda: "red")

await fruit.run()
"""


def test_rows_of_what_remains_open_by_keyboard_and_trigger_no_shortcuts(lab):
    """D4: `b` would make a cell, `x` cut one, `d d` delete one, and Enter write into one."""
    lab.open(["a = 1", FRUIT, "b = 2"]).run_all().wait_idle()
    apple = lab.without_widgets().static(1).locator("summary").filter(has_text="apple")
    lab.select(1).command_mode()
    before = [3, 1, "command", "a = 1"]
    expect_equal(lambda: state(lab), before)
    apple.focus()
    for key in "abddxzzmycv001jk":
        lab.page.keyboard.press(key)
    assert state(lab) == before
    expect(apple).to_be_focused()
    for opens in (True, False):
        lab.page.keyboard.press("Enter")
        assert apple.evaluate("summary => summary.parentElement.open") is opens
    assert state(lab) == before


def test_the_notebooks_shortcuts_are_not_triggered(lab, run):
    """Issue 3: in command mode letters make, cut and merge cells, and Enter writes into one."""
    lab.select(1).command_mode()
    places = [
        run.get_by_role("tree"),
        run.get_by_role("searchbox", name="Filter tasks"),
        run.get_by_role("button", name="Timeline"),
        run.get_by_role("button", name="1 failed"),
    ]
    before = [3, 1, "command", "a = 1"]
    expect_equal(lambda: state(lab), before)
    for place in places:
        place.focus()
        for key in [
            *"abddxzzmycv001jk",
            "Enter",
            "ArrowDown",
            "ArrowUp",
            "Shift+ArrowDown",
            "Shift+M",
            "Escape",
        ]:
            lab.page.keyboard.press(key)
        assert state(lab) == before
        expect(place).to_be_focused()
    assert lab.page.locator(".jp-Dialog").count() == 0  # "0 0" asks whether to restart the kernel


def state(lab: Lab) -> list[Any]:
    """How many cells there are, which one is active, the notebook's mode, and the first cell."""
    return lab.page.evaluate(
        f"[{PANEL}.content.widgets.length, {PANEL}.content.activeCellIndex, {PANEL}.content.mode,"
        f" {PANEL}.content.widgets[0].model.sharedModel.getSource()]"
    )


FOCUS = """() => {
  const at = document.activeElement;
  const shown = at.getAttribute('aria-activedescendant');
  const style = getComputedStyle(shown ? document.getElementById(shown) : at);
  const name = at.getAttribute('aria-label') || at.innerText.replaceAll('\\n', ' ');
  return [name, style.outlineStyle !== 'none' || style.boxShadow !== 'none'];
}"""


def test_tab_goes_through_all_that_can_be_pressed_and_the_focus_is_seen(lab, run):
    """Issue 3: the tree is one stop of it; a button that is disabled is one, too, so that its reason is read."""
    run.get_by_role("button", name="Next failure").click()
    expect(run.get_by_role("treeitem", selected=True)).to_contain_text("durian")
    expect(run.get_by_role("region", name="Details of durian")).to_contain_text("no such fruit")
    run.get_by_role("button", name="Pause").focus()
    stops: list[str] = []
    while "Close details" not in stops:
        assert len(stops) < 30
        lab.page.keyboard.press("Shift+Tab" if not stops else "Tab")  # as people come to it: by Tab
        name, visible = lab.page.evaluate(FOCUS)
        if stops:
            assert visible, name
        stops.append(name)
    assert stops[1:] == [
        "Pause", "Cancel", "Retry", "Detach", "Run with …", "33 completed", "1 failed", "1 running", "Next failure",
        "Filter tasks", "Fold all", "Unfold all", "Follow running tasks", "Tree", "Timeline", "Tasks of A shop",
        "Size of the details", "Open in a cell", "Rerun from here", "Expand details", "Close details",
    ]  # fmt: skip
    lab.page.keyboard.press("Enter")
    chosen(run, "durian")
    lab.page.keyboard.press("Tab")
    expect(run.locator("*:focus")).to_have_count(0)


# The accessibility tree ------------------------------------------------------------------------------


def test_a_screen_reader_has_a_tree_with_names_places_and_states(lab, run):
    """Issue 3: what Chromium gives to assistive technology, not what we wrote into the page."""
    tab_into(run)
    for name in ("Shelf", "fruit"):
        lab.page.keyboard.press("ArrowDown")
        chosen(run, name)
    nodes = accessible(lab.page)

    [tree] = [node for node in nodes.values() if node["role"] == "tree"]
    assert tree["name"] == "Tasks of A shop"
    assert tree["focused"]
    items = {node["name"]: node for node in nodes.values() if node["role"] == "treeitem"}
    fruit = items["completed, fruit"]
    assert tree["activedescendant"] == fruit["backend"]
    assert fruit["level"] == 2
    assert fruit["expanded"] is True
    assert fruit["selected"] is True
    durian = items["failed, durian, LookupError: no such fruit"]
    assert durian["level"] == 3
    assert "expanded" not in durian
    assert durian["selected"] is False
    for told, place, count in [
        ("fruit", 1, 2),
        ("failed, durian", 3, 3),
        ("item 0", 2, 32),
        ("item 1", 3, 32),
    ]:
        item = run.get_by_role("treeitem", name=told).first  # Chromium's own tree does not tell these two
        expect(item).to_have_attribute("aria-posinset", str(place))
        expect(item).to_have_attribute("aria-setsize", str(count))
    assert {parent["role"] for parent in parents(nodes, durian)} >= {"tree", "region"}
    assert "Run A shop" in {parent["name"] for parent in parents(nodes, durian)}

    buttons = {node["name"]: node for node in nodes.values() if node["role"] == "button"}
    assert {"Pause", "Cancel", "Fold all", "Unfold all", "Next failure", "Tree", "Timeline"} <= set(buttons)
    assert buttons["1 failed"]["pressed"] == "false"
    retry = buttons["Retry"]
    assert retry["disabled"] is True
    assert retry["description"]  # why
    assert not buttons["Pause"].get("disabled")
    assert "Filter tasks" in {node["name"] for node in nodes.values() if node["role"] == "searchbox"}


def accessible(page: Page) -> dict[str, dict[str, Any]]:
    """Chromium's accessibility tree: by id, each node with role, name, description and properties."""
    session = page.context.new_cdp_session(page)
    told = session.send("Accessibility.getFullAXTree")["nodes"]
    session.detach()
    return {node["nodeId"]: _node(node) for node in told}


def _node(told: dict[str, Any]) -> dict[str, Any]:
    node = {name: told.get(name, {}).get("value", "") for name in ("role", "name", "description")}
    node |= {"parent": told.get("parentId"), "backend": told.get("backendDOMNodeId")}
    for each in told.get("properties", []):
        related = each["value"].get("relatedNodes")
        node[each["name"]] = related[0]["backendDOMNodeId"] if related else each["value"].get("value")
    return node


def parents(nodes: dict[str, dict[str, Any]], node: dict[str, Any]) -> list[dict[str, Any]]:
    """The nodes around one, from the nearest."""
    found: list[dict[str, Any]] = []
    while node := nodes.get(node["parent"]):
        found.append(node)
    return found
