"""The timeline and the list of runs on an empty page: the kernel's side of them is some lines of JavaScript."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Locator, Page, expect

from trigger_nb._view.live import widget, wire

from .lab import expect_equal

SHOW = """async ({ module, kind, kernel }) => {
  const url = URL.createObjectURL(new Blob([module], { type: "text/javascript" }));
  const entry = (await import(url)).default();
  const listeners = new Set();
  window.sent = [];
  window.say = message => listeners.forEach(listener => listener(message));
  const react = new Function("message", kernel);
  const model = {
    get: name => ({ kind, first: window.first ?? {}, layout: {} })[name],
    send: message => { sent.push(message); setTimeout(() => react(message)); },
    on: (event, listener) => event === "msg:custom" && listeners.add(listener),
    off: (event, listener) => listeners.delete(listener),
  };
  entry.initialize({ model });
  entry.render({ model, el: document.body });
}"""

RUN = {
    "title": "Report", "job": "", "id": "run_1", "status": "COMPLETED", "state": "completed", "base": 1000,
    "started": 1000, "ended": True, "tally": {"completed": 5}, "replayed": 0, "actions": [],
    "elapsed": 10, "at": 1010, "ticking": False,
}  # fmt: skip
ROWS = [
    {"i": 0, "n": "fetch", "t": 0, "d": 2},
    {"i": 1, "n": "enrich", "t": 2, "d": 6},
    {"i": 2, "p": 1, "n": "slow", "t": 2, "d": 5.5},
    {"i": 3, "p": 1, "n": "quick", "t": 2, "d": 1},
    {"i": 4, "n": "pause", "t": 8, "d": 2, "z": "wait"},
]

KERNEL_OF_RUNS = """
  window.runs ??= Array.from({ length: 120 }, (_, k) => ({
    id: `run_${k}`, job: k ? "report" : "<b>bold</b>", payload: "{}", started: "today", duration: "3.2 s", counts: "12 tasks",
    state: k % 2 ? "failed" : "completed", status: k % 2 ? "FAILED" : "COMPLETED",
    actions: [
      { op: "retry", label: "Retry", why: k % 2 ? "" : "Nothing failed." },
      { op: "again", label: "Run again", why: "" },
      { op: "delete", label: "Delete", why: "" },
    ],
  }));
  const { id, job, status, offset } = message;
  if (message.t === "do" && message.op === "delete") runs = runs.filter(run => run.id !== message.run);
  if (message.t === "do") say({ answers: [{ id, ok: true }] });
  if (message.t === "page") {
    const found = runs.filter(run => (!job || run.job === job) && (!status || run.status === status));
    const page = { total: found.length, offset, jobs: ["report"], statuses: ["COMPLETED", "FAILED"] };
    say({ answers: [{ id, ok: true, page: { ...page, rows: found.slice(offset, offset + 50) } }] });
  }
  if (message.t === "in" && message.message.t === "hello") {
    say({ open: message.run, update: { n: 1, reset: true, now: 1010, run: RUN, rows: ROWS } });
  }
""".replace("RUN", json.dumps(RUN)).replace("ROWS", json.dumps(wire.packed(ROWS)))


@pytest.fixture
def page(context):
    page = context.new_page()
    page.set_content(f"<!doctype html><style>{widget.styles()}</style><body></body>")
    yield page
    page.close()


def show(page: Page, kind: str, kernel: str = "") -> None:
    page.evaluate(SHOW, {"module": widget.module(), "kind": kind, "kernel": kernel})


def show_timeline(page: Page, run: dict[str, object], rows: list[dict[str, object]], now: float) -> None:
    page.evaluate(
        "first => { window.first = first }",
        {"n": 1, "now": now, "run": {**RUN, **run}, "rows": wire.packed([dict(row) for row in rows])},
    )
    show(page, "run")
    page.get_by_role("button", name="Timeline").click()
    expect(page.locator(".tnb-axis-says")).to_contain_text("critical path")


def bar(page: Page, name: str):
    return page.get_by_role("treeitem", name=name).locator(".tnb-span")


def middle(place: Locator) -> float:
    box = place.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2


# --- timeline ---------------------------------------------------------------------------------------------------


def test_rows_are_bars_in_one_scale_with_the_critical_path_marked(page):
    """D2: a timeline view; issue 3: waits are hatched, the critical path is marked."""
    show_timeline(page, {}, ROWS, now=1010)
    expect(page.locator(".tnb-axis-says")).to_have_text("critical path: 3 tasks, 9.5 s of 10 s")
    width = page.locator(".tnb-cell").first.bounding_box()["width"]
    left = page.locator(".tnb-cell").first.bounding_box()["x"]
    for name, start, end in [("fetch", 0, 2), ("slow", 2, 7.5), ("quick", 2, 3), ("pause", 8, 10)]:
        box = bar(page, name).bounding_box()
        assert box["x"] - left == pytest.approx(width * start / 10, abs=1.5)
        assert box["width"] == pytest.approx(width * (end - start) / 10, abs=1.5)
    critical = page.locator(".tnb-row:has(.tnb-span-critical) .tnb-n").all_inner_texts()
    assert critical == ["fetch", "enrich", "slow", "pause"]
    expect(bar(page, "pause")).to_have_class("tnb-span tnb-span-completed tnb-span-waits tnb-span-critical")
    expect(bar(page, "quick")).to_have_class("tnb-span tnb-span-completed tnb-span-aside")


def test_ticks_stand_above_what_they_name(page):
    """Issue 3, Timeline: also beside a scroll bar."""
    rows = [{"i": k, "n": f"task {k}", "t": k * 0.1, "d": 0.1} for k in range(100)]
    show_timeline(page, {}, rows, now=1010)
    tick = page.locator(".tnb-tick", has_text="4 s")
    page.locator(".tnb-tree").hover()
    page.locator(".tnb-tree").evaluate("tree => tree.scrollTop = 40 * 24")
    expect(bar(page, "task 40")).to_be_visible()
    begins = bar(page, "task 40").bounding_box()["x"]
    expect_equal(lambda: middle(tick), pytest.approx(begins, abs=1.5))


def test_start_and_duration_are_told_of_the_row_that_is_pointed_at(page):
    """Issue 3, Timeline."""
    show_timeline(page, {}, ROWS, now=1010)
    told = page.get_by_role("treeitem", name="slow").locator(".tnb-when")
    expect(told).to_be_hidden()
    page.get_by_role("treeitem", name="slow").hover()
    expect(told).to_be_visible()
    expect(told).to_have_text("at 2.0 s, took 5.5 s")


def test_what_runs_grows_by_itself(page):
    """Issue 3, Timeline: no message comes meanwhile."""
    rows = [*ROWS[:1], {"i": 1, "n": "long", "s": "running", "t": 2}]
    run = {"status": "RUNNING", "state": "running", "ended": False, "ticking": True}
    show_timeline(page, run, rows, now=1010)
    before = bar(page, "long").evaluate("bar => bar.style.width")
    page.wait_for_function(
        "before => document.querySelectorAll('.tnb-span')[1].style.width !== before", arg=before
    )
    expect(bar(page, "long")).to_have_class("tnb-span tnb-span-running tnb-span-critical")


def test_what_has_not_begun_has_no_bar(page):
    """Issue 3, Timeline: neither does what is to be run once more."""
    show_timeline(page, {}, [*ROWS, {"i": 5, "n": "later", "s": "pending", "t": 3, "d": 1}], now=1010)
    expect(bar(page, "fetch")).to_be_visible()
    expect(bar(page, "later")).to_have_count(0)
    expect(page.get_by_role("treeitem", name="later").locator(".tnb-cell i")).to_be_hidden()


def test_the_tree_has_no_bars(page):
    """Issue 3, Timeline: a second view of the same rows."""
    show_timeline(page, {}, ROWS, now=1010)
    page.get_by_role("button", name="Tree", exact=True).click()
    expect(page.locator(".tnb-span")).to_have_count(0)
    expect(page.get_by_role("treeitem")).to_have_count(5)


# --- tree -------------------------------------------------------------------------------------------------------


def items(first: int, more: int) -> list[object]:
    """A hundred items of a map that has so many more."""
    numbers = range(first, first + 100)
    rows = [{"i": number, "p": 0, "n": f"item {number}", "o": number} for number in numbers]
    return wire.packed([*rows, {"i": 0, "f": {"completed": more}}])


def test_at_the_end_of_the_list_one_stays_there_while_items_still_come(page):
    """D2: the row that the keyboard is on is in view, whatever comes before it."""
    embed = {"i": 0, "n": "embed", "z": "map", "s": "running", "t": 0, "f": {"completed": 900}}
    first = {"n": 1, "now": 1010, "run": {**RUN, "ended": False}, "rows": wire.packed([embed])}
    page.evaluate("first => { window.first = first }", first)
    page.evaluate("items => { window.items = items }", [items(1, 800), items(101, 700)])
    show(page, "run", "if (message.t === 'items') say({ n: 2, rows: items[0] });")
    tree, rest = page.get_by_role("tree"), page.get_by_role("treeitem").filter(has_text="more completed")
    for key in ("Home", "ArrowRight", "End", "Enter"):
        tree.press(key)
    expect(page.get_by_role("treeitem", name="completed, item 1", exact=True)).to_be_in_viewport()
    tree.press("End")
    expect(rest).to_contain_text("800")
    expect(rest).to_be_in_viewport()
    page.evaluate("say({ n: 3, rows: items[1] })")
    expect(rest).to_contain_text("700")
    expect(rest).to_be_in_viewport()
    expect(rest).to_have_attribute("aria-selected", "true")


# --- list of runs -----------------------------------------------------------------------------------------------


@pytest.fixture
def runs(page):
    show(page, "runs", KERNEL_OF_RUNS)
    expect(page.get_by_text("1-50 of 120")).to_be_visible()
    return page


def run_row(page: Page, run: str):
    return page.locator(f'tr[data-run="{run}"]').first


def test_a_run_is_chosen_by_keyboard_and_stays_chosen(runs):
    """Issue 3, Runs list: choosing one opens its tree below; what comes new keeps the choice."""
    run_row(runs, "run_3").click()
    expect(runs.get_by_role("treeitem")).to_have_count(5)
    runs.keyboard.press("ArrowDown")
    expect(run_row(runs, "run_4")).to_be_focused()
    # JupyterLab asks the focused element itself whether a letter is a shortcut.
    expect(run_row(runs, "run_4")).to_have_attribute("data-lm-suppress-shortcuts", "true")
    expect(run_row(runs, "run_3")).to_have_attribute("aria-selected", "true")
    runs.keyboard.press("Enter")
    expect(runs.get_by_role("row", selected=True)).to_have_attribute("data-run", "run_4")
    expect(runs.get_by_role("region", name="Run run_4")).to_be_visible()
    runs.evaluate("runs.unshift({ ...runs[0], id: 'run_new' })")
    runs.get_by_label("Status", exact=True).select_option("COMPLETED")
    expect(run_row(runs, "run_new")).to_be_visible()
    expect(runs.get_by_role("row", selected=True)).to_have_attribute("data-run", "run_4")


def test_pages_and_filters(runs):
    """Issue 3, Runs list."""
    runs.get_by_role("button", name="Older").click()
    expect(runs.get_by_text("51-100 of 120")).to_be_visible()
    expect(run_row(runs, "run_50")).to_be_visible()
    runs.get_by_label("Status", exact=True).select_option("FAILED")
    expect(runs.get_by_text("1-50 of 60")).to_be_visible()
    expect(runs.get_by_role("button", name="Newer")).to_have_attribute("aria-disabled", "true")
    runs.get_by_label("Status", exact=True).select_option("")
    runs.evaluate("runs = []")
    runs.get_by_label("Status", exact=True).select_option("FAILED")
    expect(runs.get_by_text("No run matches the filter")).to_be_visible()
    runs.get_by_label("Status", exact=True).select_option("")
    expect(runs.get_by_text("No runs yet")).to_be_visible()


def test_delete_asks_first(runs):
    """Issue 3, Runs list: and the focus does not get lost with what is deleted."""
    run_row(runs, "run_2").click()
    runs.keyboard.press("Delete")
    expect(runs.get_by_text("Delete run_2 with its 12 tasks?")).to_be_visible()
    expect(runs.get_by_role("button", name="Keep")).to_be_focused()
    runs.keyboard.press("Enter")
    expect(run_row(runs, "run_2")).to_be_focused()
    assert not runs.evaluate("sent.some(message => message.t === 'do')")
    runs.keyboard.press("Delete")
    runs.locator(".tnb-runs-ask").get_by_role("button", name="Delete").click()
    expect(runs.get_by_text("1-50 of 119")).to_be_visible()
    expect(run_row(runs, "run_3")).to_be_focused()
    expect(runs.get_by_role("treeitem")).to_have_count(0)


def test_an_action_that_makes_no_sense_says_why(runs):
    """Issue 3, Actions."""
    retry = run_row(runs, "run_2").get_by_role("button", name="Retry")
    expect(retry).to_have_attribute("title", "Retry: Nothing failed.")
    retry.click(force=True)
    run_row(runs, "run_3").get_by_role("button", name="Retry").click()
    runs.wait_for_function("sent.some(message => message.t === 'do')")
    assert runs.evaluate("sent.filter(message => message.t === 'do').map(message => message.run)") == [
        "run_3"
    ]


def test_the_list_is_a_grid_for_assistive_technology(runs):
    """Issue 3, Runs list: roles, places among all runs, and one stop for the Tab key in the rows."""
    grid = runs.get_by_role("grid", name="Runs")
    expect(grid).to_have_attribute("aria-rowcount", "121")
    expect(run_row(runs, "run_9")).to_have_attribute("aria-rowindex", "11")
    expect(grid.get_by_role("columnheader")).to_have_count(9)
    expect(grid.locator('tr[tabindex="0"]')).to_have_count(1)
    expect(grid.locator('button[tabindex="0"]')).to_have_count(3)
    expect(run_row(runs, "run_0")).to_contain_text("<b>bold</b>")
    expect(runs.locator("td b b")).to_have_count(0)
