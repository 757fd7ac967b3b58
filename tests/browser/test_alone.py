"""The timeline and the list of runs on an empty page: the kernel's side of them is some lines of JavaScript."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.support.wheel import ROOT, front_end, unpacked_wheel
from trigger_nb._view.live import wire

from .lab import expect_equal

SHOW = """async ({ kind, kernel, module = window.module }) => {
  const url = URL.createObjectURL(new Blob([module], { type: "text/javascript" }));
  const entry = (await import(url)).default();
  const listeners = new Set();
  window.sent = [];
  window.say = message => listeners.forEach(listener => listener(message));
  const react = new Function("message", kernel);
  const model = {
    get: name => ({ kind, first: window.first ?? {}, layout: {}, version: "test" })[name],
    send: message => { sent.push(message); setTimeout(() => react(message)); },
    on: (event, listener) => event === "msg:custom" && listeners.add(listener),
    off: (event, listener) => listeners.delete(listener),
  };
  entry.initialize({ model });
  window.render = el => entry.render({ model, el });
  await render(document.body.appendChild(document.createElement("div")));
}"""
# Before `show`: counts the timers that are set.
COUNT_TIMERS = """
  const { setInterval: set, clearInterval: clear } = window;
  window.timers = new Set();
  // What is told in minutes (`3 min ago`) has a clock that ticks each half minute.
  window.setInterval = (call, ms) => { const timer = set(call, ms); if (ms < 30000) timers.add(timer); return timer; };
  window.clearInterval = timer => { timers.delete(timer); clear(timer); };
"""

RUN = {
    "title": "Report", "job": "", "id": "run_1", "status": "COMPLETED", "state": "completed", "base": 1000,
    "started": 1000, "ended": True, "total": "5 tasks", "chips": [["completed", "5", "completed"]], "actions": [],
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
    id: `run_${k}`, job: k ? "report" : "<b>bold</b>", payload: "{}", at: Date.now() / 1000 - 200, duration: "3.2 s", counts: "12 tasks",
    state: k % 2 ? "failed" : "completed", status: k % 2 ? "FAILED" : "COMPLETED",
    actions: [
      { op: "retry", label: "Retry", why: k % 2 ? "" : "Nothing failed." },
      { op: "again", label: "Run again", why: "" },
      { op: "delete", label: "Delete", why: "" },
    ],
  }));
  window.number ??= 0;
  window.pageOf = ({ job, status, offset }) => {
    const found = runs.filter(run => (!job || run.job === job) && (!status || run.status === status));
    const page = { total: found.length, offset, jobs: ["report"], statuses: ["COMPLETED", "FAILED"] };
    return { page: { ...page, rows: found.slice(offset, offset + 50) }, n: number += 1, now: 1010 };
  };
  window.tell = () => say({ of: [shown.job, shown.status, shown.offset], ...pageOf(shown) });
  const { id } = message;
  if (message.t === "do" && message.op === "delete") runs = runs.filter(run => run.id !== message.run);
  if (message.t === "do") say({ answers: [{ id, ok: true }] });
  if (message.t === "do") tell();
  if (message.t === "page") say({ answers: [{ id, ok: true, ...pageOf(window.shown = message) }] });
  if (message.t === "in" && message.message.t === "hello") {
    say({ open: message.run, update: { n: 1, reset: true, now: 1010, run: RUN, rows: ROWS } });
  }
""".replace("RUN", json.dumps(RUN)).replace("ROWS", json.dumps(wire.packed(ROWS)))


@pytest.fixture(scope="module", params=["sources", "wheel"])
def front(request, tmp_path_factory):
    """The front end of this checkout, and the minified one of the wheel."""
    is_wheel = request.param == "wheel"
    return front_end(unpacked_wheel(tmp_path_factory.mktemp("wheel")) if is_wheel else ROOT)


@pytest.fixture
def page(page, front):
    return ready(page, front)


@pytest.fixture
def page_with_a_clock(context, front):
    """A page whose clock the test sets: it would be that of all pages of the same context."""
    page = context.browser.new_page()
    page.clock.install()
    yield ready(page, front)
    page.close()


def ready(page: Page, front: dict[str, str]) -> Page:
    page.set_content(f"<!doctype html><style>{front['styles']}</style><body></body>")
    page.evaluate("module => { window.module = module }", front["module"])
    return page


def show(page: Page, kind: str, kernel: str = "") -> None:
    page.evaluate(SHOW, {"kind": kind, "kernel": kernel})


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


def test_a_report_that_got_lost_is_sent_again_until_the_kernel_answers(page_with_a_clock):
    """D1: a page that is loaded when its run has ended would show for good what the run was like at its start."""
    page = page_with_a_clock
    page.evaluate(
        "first => { window.first = first }", {"n": 1, "now": 1010, "run": {**RUN, "status": "RUNNING"}}
    )
    show(
        page,
        "run",
        "if (sent.length > 2) say({ n: 1, reset: true, now: 1010, run: { status: 'COMPLETED' } });",
    )
    expect(page.locator(".tnb-w")).to_have_text("RUNNING")
    reports = "sent.filter(message => message.t === 'hello').length"
    assert page.evaluate(reports) == 1
    page.clock.run_for(10_000)
    expect(page.locator(".tnb-w")).to_have_text("COMPLETED")
    assert page.evaluate(reports) == 3
    page.clock.run_for(1_000_000)
    assert page.evaluate(reports) == 3


def test_a_scroll_whose_event_is_to_come_is_kept(page):
    """D1: a list that is drawn before the browser tells of a scroll stays where the reader is."""
    rows = [{"i": k, "n": f"task {k}", "t": k * 0.1, "d": 0.1} for k in range(100)]
    page.evaluate(
        "first => { window.first = first }", {"n": 1, "now": 1010, "run": RUN, "rows": wire.packed(rows)}
    )
    show(page, "run")
    expect(page.get_by_role("treeitem", name="task 0", exact=False).first).to_be_visible()
    kept = page.evaluate("""async () => {
      const tree = document.querySelector(".tnb-tree");
      const kept = [];
      for (let top = 240; top < 1200; top += 240) {
        await new Promise(requestAnimationFrame);  // the event comes in the next frame
        tree.scrollTop = top;
        dispatchEvent(new Event("afterprint"));  // draws the list at once, as a tick does
        kept.push(tree.scrollTop === top);
      }
      return kept;
    }""")
    assert kept == [True] * 4


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


# --- timeline: zoom, order, lanes ---------------------------------------------------------------------------------


def many(count: int, length: float = 0.1) -> list[dict[str, object]]:
    """Tasks one after another, in two rows of time."""
    return [{"i": k, "n": f"task {k}", "o": k, "t": k // 2 * length, "d": length} for k in range(count)]


def part(page: Page) -> Locator:
    return page.locator(".tnb-axis-part")


def axis(page: Page) -> Locator:
    return page.get_by_role("slider", name="Time shown")


def drag(page: Page, start: float, end: float, *, up: bool = True) -> None:
    """Drag over the axis, between two places in percent of the width of the bars."""
    box = page.locator(".tnb-axis-track").bounding_box()
    assert box is not None
    for place, act in ((start, page.mouse.down), (end, page.mouse.up)):
        page.mouse.move(box["x"] + box["width"] * place / 100, box["y"] + 8, steps=4)
        if act == page.mouse.down or up:
            act()


def test_a_part_of_the_time_is_brushed_and_a_double_click_shows_all_again(page):
    """D2."""
    show_timeline(page, {}, ROWS, now=1010)
    expect(part(page)).to_have_text("whole run")
    drag(page, 20, 40)
    expect(part(page)).to_have_text("2.0 s to 4.0 s (2.0 s)")
    box, cell = bar(page, "quick").bounding_box(), page.locator(".tnb-cell").first.bounding_box()
    assert box["x"] == pytest.approx(cell["x"], abs=2)
    assert box["width"] == pytest.approx(cell["width"] / 2, abs=2)
    expect(bar(page, "pause")).to_be_hidden()
    expect(page.locator(".tnb-tick").first).to_have_text("2 s")
    expect(page.locator(".tnb-axis-thumb")).to_be_visible()
    axis(page).dblclick()
    expect(part(page)).to_have_text("whole run")
    expect(bar(page, "pause")).to_be_visible()


def test_escape_ends_a_brush_and_a_click_is_none(page):
    show_timeline(page, {}, ROWS, now=1010)
    drag(page, 20, 40, up=False)
    expect(page.locator(".tnb-axis-brush")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".tnb-axis-brush")).to_be_hidden()
    page.mouse.up()
    axis(page).click(position={"x": 400, "y": 8})
    expect(part(page)).to_have_text("whole run")


def test_keys_zoom_and_move_on_the_axis_which_tells_what_it_shows(page):
    """D2: keyboard and ARIA."""
    show_timeline(page, {}, ROWS, now=1010)
    expect(axis(page)).to_have_attribute("aria-valuetext", "whole run")
    axis(page).focus()
    page.keyboard.press("+")
    expect(axis(page)).to_have_attribute("aria-valuetext", "2.5 s to 7.5 s (5.0 s)")
    expect(axis(page)).to_have_attribute("aria-valuenow", "50")
    for key, told in (
        ("ArrowRight", "3.8 s to 8.8 s (5.0 s)"),
        ("Home", "0 to 5.0 s (5.0 s)"),
        ("ArrowLeft", "0 to 5.0 s (5.0 s)"),
        ("PageDown", "5.0 s to 10 s (5.0 s)"),
        ("w", "6.3 s to 8.8 s (2.5 s)"),
        ("-", "5.0 s to 10 s (5.0 s)"),
        ("Escape", "whole run"),
    ):
        page.keyboard.press(key)
        expect(axis(page)).to_have_attribute("aria-valuetext", told)


def test_keys_zoom_in_the_tree_too_where_they_choose_no_row(page):
    """D2: the arrows choose rows there, with Shift they move along the time."""
    rows = [*ROWS, {"i": 5, "n": "0 items", "t": 9, "d": 1}, {"i": 6, "n": "+ one", "t": 9, "d": 1}]
    show_timeline(page, {}, rows, now=1010)
    page.get_by_role("tree").focus()
    for key in ("Home", "+", "+"):
        page.keyboard.press(key)
    expect(part(page)).to_have_text("3.8 s to 6.3 s (2.5 s)")
    page.keyboard.press("Shift+ArrowRight")
    expect(part(page)).to_have_text("4.4 s to 6.9 s (2.5 s)")
    page.keyboard.press("0")
    expect(part(page)).to_have_text("whole run")
    expect(page.get_by_role("treeitem", selected=True)).to_contain_text("fetch")
    page.keyboard.press("0")
    expect(page.get_by_role("treeitem", selected=True)).to_contain_text("0 items")


def test_escape_closes_the_details_before_it_shows_all(page):
    show_timeline(page, {}, ROWS, now=1010)
    page.get_by_role("tree").focus()
    for key in ("Home", "Enter", "+", "Escape"):
        page.keyboard.press(key)
    expect(page.locator(".tnb-details")).to_be_hidden()
    expect(part(page)).to_have_text("2.5 s to 7.5 s (5.0 s)")
    page.keyboard.press("Escape")
    expect(part(page)).to_have_text("whole run")


def test_ctrl_and_the_wheel_zoom_at_the_pointer_and_the_wheel_alone_scrolls(page):
    show_timeline(page, {}, many(100), now=1010)
    box = page.locator(".tnb-axis-track").bounding_box()
    page.mouse.move(box["x"], page.locator(".tnb-tree").bounding_box()["y"] + 50)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -100)
    page.keyboard.up("Control")
    expect(part(page)).to_have_text(re.compile(r"^0 to 3\.4 s"))
    page.mouse.wheel(60, 0)
    expect(part(page)).not_to_have_text(re.compile(r"^0 to"))
    page.mouse.wheel(0, 120)
    page.wait_for_function("document.querySelector('.tnb-tree').scrollTop > 0")
    assert page.evaluate("devicePixelRatio === 1 && visualViewport.scale === 1"), "the page is not zoomed"


def test_the_time_of_a_row_fills_the_width(page):
    show_timeline(page, {}, ROWS, now=1010)
    fit = page.get_by_role("button", name="Show the time of the chosen row")
    expect(fit).to_have_attribute("aria-description", "Choose a row first.")
    page.get_by_role("tree").focus()
    for key in ("Home", "ArrowDown", "ArrowDown", "ArrowDown"):
        page.keyboard.press(key)
    fit.click()
    width, cell = bar(page, "quick").bounding_box()["width"], page.locator(".tnb-cell").first.bounding_box()
    expect_equal(lambda: bar(page, "quick").bounding_box()["width"] / cell["width"] > 0.8, True)
    assert width
    button = page.get_by_role("button", name="Show the whole run")
    button.click()
    expect(button).to_have_attribute("aria-description", "The whole run is shown.")


def test_a_part_stays_while_the_run_goes_on_and_the_whole_follows_it(page):
    """No message comes meanwhile: it is the clock that goes on."""
    rows = [*ROWS[:1], {"i": 1, "n": "long", "s": "running", "t": 2}]
    run = {"status": "RUNNING", "state": "running", "ended": False, "ticking": True, "elapsed": 4, "at": 1004}
    show_timeline(page, run, rows, now=1004)
    width = "name => [...document.querySelectorAll('.tnb-row')].find(row => row.textContent.includes(name)).querySelector('.tnb-span').style.width"
    drag(page, 0, 25)
    expect(part(page)).not_to_have_text("whole run")
    told, fetched = part(page).inner_text(), page.evaluate(width, "fetch")
    page.evaluate("say({ n: 2, now: 1400, rows: [] })")  # 400 s later
    expect(page.locator(".tnb-axis-says")).to_contain_text(" of 6 min")
    assert (part(page).inner_text(), page.evaluate(width, "fetch")) == (told, fetched)
    axis(page).press("0")
    page.wait_for_function(f"parseFloat(({width})('fetch')) < 2")
    page.wait_for_function(f"parseFloat(({width})('long')) > 60")


def test_rows_are_in_the_order_of_start_or_of_duration(page):
    show_timeline(page, {}, ROWS, now=1010)
    names = page.locator(".tnb-row .tnb-n")
    page.get_by_role("button", name="Longest first").click()
    expect(names).to_have_text(["enrich", "slow", "quick", "fetch", "pause"])
    expect(page.get_by_role("button", name="Longest first")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Order by start").click()
    expect(names).to_have_text(["fetch", "enrich", "slow", "quick", "pause"])
    page.get_by_role("button", name="Longest first").click()
    page.get_by_role("button", name="Tree", exact=True).click()
    expect(names).to_have_text(["fetch", "enrich", "slow", "quick", "pause"])


def lanes(page: Page) -> Locator:
    page.get_by_role("button", name="Tasks that do not overlap share a row").click()
    return page.get_by_role("listbox")


def test_tasks_that_do_not_overlap_share_a_lane(page):
    """D2: 200 tasks need two lanes; the names are where there is room."""
    show_timeline(page, {}, many(200), now=1010)
    found = lanes(page)
    expect(found).to_have_attribute("aria-label", "200 tasks in 2 lanes")
    expect(page.get_by_role("tree")).to_be_hidden()
    expect(found.locator("g")).to_have_count(2)
    expect(found.locator(".tnb-lanes-names span")).to_have_count(0)
    drag(page, 50, 52)
    expect(found.locator(".tnb-lanes-names span").first).to_have_text(re.compile(r"task \d+"))
    page.get_by_role("button", name="One row for each task").click()
    expect(page.get_by_role("tree")).to_be_visible()
    expect(found).to_be_hidden()


def test_a_task_in_a_lane_is_chosen_by_key_and_pointer(page):
    """D2: keyboard and ARIA; the details are those of the row."""
    show_timeline(page, {}, many(200), now=1010)
    found, chosen = lanes(page), page.get_by_role("option", selected=True)
    page.get_by_role("button", name="Tasks that do not overlap share a row").press("Tab")  # to the axis
    expect(axis(page)).to_be_focused()
    page.keyboard.press("Tab")
    expect(found).to_be_focused()
    expect(chosen).to_have_accessible_name("completed, task 0, at 0, took 100 ms")
    for key, name in (
        ("ArrowRight", 2),
        ("ArrowDown", 3),
        ("End", 199),
        ("ArrowUp", 198),
        ("ArrowLeft", 196),
    ):
        page.keyboard.press(key)
        expect(chosen).to_have_accessible_name(re.compile(f"completed, task {name}, "))
    assert found.get_attribute("aria-activedescendant") == chosen.get_attribute("id")
    expect(chosen).to_have_attribute("aria-posinset", "99")
    page.keyboard.press("Enter")
    expect(page.get_by_role("region", name="Details of task 196")).to_be_visible()
    page.get_by_role("button", name="Close details").click()
    expect(found).to_be_focused()
    page.keyboard.press("+")
    expect(part(page)).to_have_text("2.5 s to 7.5 s (5.0 s)")
    page.keyboard.press("Home")  # which is not in the part that is shown
    expect(part(page)).to_have_text("0 to 5.0 s (5.0 s)")
    box = found.locator(".tnb-lanes-track").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.41, box["y"] + 33)
    expect(found.locator(".tnb-when")).to_have_text("task 41: at 2.0 s, took 100 ms")
    page.mouse.down()
    page.mouse.up()
    expect(page.get_by_role("region", name="Details of task 41")).to_be_visible()


def test_lanes_show_what_passes_the_filter_and_what_has_failed(page):
    rows = many(60)
    rows[7]["s"] = "failed"
    show_timeline(page, {}, rows, now=1010)
    found = lanes(page)
    expect(found.locator(".tnb-lane-failed")).to_have_count(1)
    page.emulate_media(forced_colors="active")
    look = "path => [getComputedStyle(path).fill, getComputedStyle(path).stroke]"
    drawn = found.locator(".tnb-lane-completed").first.evaluate(look)
    assert drawn[0] == "none", "its outline alone is drawn, in the colour of the text"
    assert found.locator(".tnb-lane-failed").evaluate(look) == [drawn[1], drawn[1]]
    page.emulate_media(forced_colors="none")
    page.get_by_role("searchbox").fill("task 7")
    expect(found).to_have_attribute("aria-label", "1 task in 1 lane")
    expect(found.locator(".tnb-lane-completed")).to_have_count(0)


def test_ten_thousand_bars_are_few_elements(page):
    """D1: only what is seen is drawn, in rows and in lanes."""
    show_timeline(page, {}, many(10_000, 0.01), now=1060)
    assert page.locator(".tnb-span").count() < 60
    found = lanes(page)
    expect(found).to_have_attribute("aria-label", "10,000 tasks in 2 lanes")
    size = "lanes => [lanes.querySelectorAll('*').length, [...lanes.querySelectorAll('path')].reduce((sum, path) => sum + path.getAttribute('d').length, 0)]"
    expect(found.locator("path").first).to_be_visible()
    elements, data = found.evaluate(size)
    assert elements < 30
    assert data < 200_000


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


def test_items_that_come_before_the_line_that_counts_them_is_drawn_as_active(page):
    """D2: whoever presses Enter right after End sees the first of the items that were asked for."""
    embed = {"i": 0, "n": "embed", "z": "map", "s": "running", "t": 0, "f": {"completed": 900}}
    first = {"n": 1, "now": 1010, "run": {**RUN, "ended": False}, "rows": wire.packed([embed])}
    page.evaluate("([first, items]) => Object.assign(window, { first, items })", [first, items(1, 800)])
    show(page, "run")
    tree = page.get_by_role("tree")
    for key in ("Home", "ArrowRight"):
        tree.press(key)
    expect(page.get_by_role("treeitem").filter(has_text="900 completed")).to_be_visible()
    # All before the next frame. The kernel of `show` would answer at some time, mostly after it.
    tree.evaluate(
        "tree => { for (const key of ['End', 'Enter'])"
        " tree.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }));"
        " say({ n: 2, rows: items }) }"
    )
    asked = page.get_by_role("treeitem", name="completed, item 1", exact=True)
    expect(asked).to_be_in_viewport()
    expect(asked).to_have_attribute("aria-selected", "true")


def timers(page: Page) -> int:
    return page.evaluate("timers.size")


def test_one_clock_for_all_that_is_in_view_and_goes_on(page):
    """D1: what has ended, and what is out of view, costs nothing."""
    page.evaluate(COUNT_TIMERS)
    running = [{"i": 0, "n": "long", "s": "running", "t": 0}]
    first = {
        "n": 1,
        "now": 1010,
        "run": {**RUN, "ended": False, "ticking": True},
        "rows": wire.packed(running),
    }
    page.evaluate("first => { window.first = first }", first)
    for _ in range(3):
        show(page, "run")
    runs = page.locator(".tnb-live")
    expect(runs).to_have_count(3)
    expect_equal(lambda: timers(page), 1)
    took = runs.first.get_by_role("treeitem").locator(".tnb-d, .tnb-j").last
    before = took.inner_text()
    expect(took).not_to_have_text(before)

    page.evaluate("document.body.prepend(window.above = document.createElement('div'))")
    page.evaluate("above.style.height = '10000px'")
    expect_equal(lambda: timers(page), 0)
    page.evaluate("above.remove()")
    expect_equal(lambda: timers(page), 1)
    page.evaluate("say({ n: 2, run: { ended: true, ticking: false } })")  # to the run that was shown last
    expect_equal(lambda: timers(page), 1)


def test_two_versions_share_the_title_of_the_page(page):
    """A kernel with an older package beside one with a newer: neither writes over the other, or leaves something behind."""
    page.evaluate("document.title = 'notes.ipynb'")
    under_way = {**RUN, "status": "RUNNING", "state": "running", "ended": False, "titled": True}
    ways = []
    for number, done in enumerate((20, 80)):
        run = {**under_way, "id": f"run_{number}", "title": f"Run {number}", "bar": [["completed", done]]}
        page.evaluate("first => { window.first = first }", {"n": 1, "now": 1010, "run": run, "rows": []})
        page.evaluate("number => { window.module += `\n// version ${number}` }", number)
        show(page, "run")
        page.evaluate(f"() => {{ window.say{number} = say }}")
        ways.append(page.title())
    assert ways == ["20% Run 0 · notes.ipynb", "50% 2 runs · notes.ipynb"]
    for number, bar in ((1, 90), (0, 40)):
        page.evaluate(f"say{number}({{ n: 2, run: {{ bar: [['completed', {bar}]] }} }})")
    expect(page).to_have_title("65% 2 runs · notes.ipynb")
    page.evaluate("document.title = 'other.ipynb'")
    expect(page).to_have_title("65% 2 runs · other.ipynb")
    over = {"ended": True, "status": "COMPLETED", "state": "completed"}
    page.evaluate("over => say0({ n: 3, run: over })", over)
    expect(page).to_have_title("90% Run 1 · other.ipynb")
    page.evaluate("over => say1({ n: 3, run: over })", over)
    expect(page).to_have_title("other.ipynb")


OUTPUTS = """() => {
  const outputs = document.createElement("div");
  outputs.className = "jp-Cell-outputWrapper";
  document.body.prepend(outputs);
  window.outputs = outputs;
  window.place = async () => {
    outputs.replaceChildren(document.createElement("div"));
    await render(outputs.firstChild);
  };
}"""


def test_a_cell_that_is_run_again_keeps_its_height_until_the_tree_is_there(page):
    """Issue 14, point 2: what stands below does not move up and down again."""
    page.clock.install()
    rows = [{"i": number, "n": f"step {number}", "t": 0, "d": 1} for number in range(4)]
    page.evaluate(
        "first => { window.first = first }", {"n": 1, "now": 1010, "run": RUN, "rows": wire.packed(rows)}
    )
    show(page, "run")
    page.evaluate(OUTPUTS)
    page.evaluate("place()")
    height = "outputs.offsetHeight"
    seen = "new Promise(done => new ResizeObserver(() => done()).observe(outputs))"  # the frame after this is drawn
    page.evaluate(seen)
    tall = page.evaluate(height)
    assert tall > 4 * 24
    page.evaluate("outputs.replaceChildren()")
    assert page.evaluate(height) == tall
    page.evaluate("place()")
    page.clock.run_for(1100)
    assert page.evaluate(height) == tall
    assert page.evaluate("outputs.style.minHeight") == ""
    page.evaluate(seen)
    page.evaluate("outputs.replaceChildren()")  # its outputs are cleared
    page.clock.run_for(1100)
    assert page.evaluate(height) == 0


def test_no_clock_for_what_has_ended(page):
    """D1."""
    page.evaluate(COUNT_TIMERS)
    page.evaluate("first => { window.first = first }", {"n": 1, "now": 1010, "run": RUN, "rows": []})
    show(page, "run")
    expect(page.locator(".tnb-live")).to_be_visible()
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert timers(page) == 0


def test_a_tree_that_has_ended_keeps_its_place_when_the_page_moves_it(page):
    """D2: a notebook takes a cell out and puts it elsewhere, and the browser forgets how far a list was scrolled."""
    rows = [{"i": k, "n": f"task {k}", "t": k} for k in range(100)]
    first = {"n": 1, "now": 1010, "run": RUN, "rows": wire.packed(rows)}
    page.evaluate("first => { window.first = first }", first)
    show(page, "run")
    tree = page.get_by_role("tree")
    tree.hover()
    tree.evaluate("tree => { tree.scrollTop = 960; }")
    expect(page.get_by_role("treeitem", name="task 42")).to_be_in_viewport()
    page.evaluate("document.body.prepend(document.querySelector('.tnb-live').parentElement)")
    assert tree.evaluate("tree => tree.scrollTop") == 960


def test_a_place_that_comes_back_is_filled_again(page):
    """D1: the view moves to where the run is shown now; where it was before, another one is made."""
    page.evaluate(
        "first => { window.first = first }",
        {"n": 1, "now": 1010, "run": RUN, "rows": wire.packed([dict(row) for row in ROWS])},
    )
    show(page, "run")
    page.evaluate("window.old = document.querySelector('.tnb-live').parentElement; old.remove()")
    page.evaluate("render(document.body.appendChild(document.createElement('div')))")
    expect(page.locator(".tnb-live")).to_have_count(1)
    assert page.evaluate("old.childNodes.length") == 0
    page.evaluate("document.body.append(old)")
    expect(page.locator(".tnb-live")).to_have_count(2)
    expect(page.get_by_role("treeitem", name="fetch")).to_have_count(2)


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


def test_what_changes_is_told(runs):
    """D2: and filter, place and open run stay; a duration goes on by itself, until the run is out of view."""
    run_row(runs, "run_3").click()
    runs.get_by_label("Status", exact=True).select_option("FAILED")
    expect(runs.get_by_text("1-50 of 60")).to_be_visible()
    asked = runs.evaluate("sent.length")
    runs.evaluate("runs[1] = { ...runs[1], duration: '', since: 1000 }; runs.splice(5, 1); tell()")
    expect(runs.get_by_text("1-50 of 59")).to_be_visible()
    expect(run_row(runs, "run_5")).to_have_count(0)
    expect(run_row(runs, "run_1")).to_contain_text("10 s")
    expect(run_row(runs, "run_1")).to_contain_text("12 s")
    expect(runs.get_by_label("Status", exact=True)).to_have_value("FAILED")
    expect(runs.get_by_role("region", name="Run run_3")).to_be_visible()
    assert (
        runs.evaluate(
            "sent.slice(arguments[0]).filter(({ t }) => t === 'page').length".replace(
                "arguments[0]", str(asked)
            )
        )
        == 0
    )


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
