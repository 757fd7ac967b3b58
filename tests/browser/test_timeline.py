"""The timeline of a run in the notebook. What it draws of which rows, `test_alone.py` holds in detail."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, expect

from .lab import UNTIL
from .letter import row

JOB = (
    UNTIL
    + """
from trigger_nb import job

async def takes(seconds):
    await asyncio.sleep(seconds)

visited = asyncio.Event()

async def orders():
    await visited.wait()
    await asyncio.sleep(0.6)

async def sources(io):
    async def visits():
        await io.run_task("visits", takes, 0.2)
        visited.set()  # so that orders end later, by far
    await asyncio.gather(io.run_task("orders", orders), visits())

@job(name="Weekly report")
async def report(payload, io):
    await io.run_task("sign in", takes, 0.2)
    await io.run_task("sources", sources)
    await io.wait("settle", seconds=0.5)
    await io.run_task("write", until, "written")

run = report.start()
"""
)


def bar(run: Locator, told: str) -> Locator:
    return row(run, told).locator(".tnb-span")


# Where the bars begin and end, in pixels: all at once, for the scale moves on.
BOXES = """run => [...run.querySelectorAll('.tnb-span')].map(bar => {
  const { left, right } = bar.getBoundingClientRect();
  return [left, right];
})"""


def test_the_same_rows_are_bars_over_time_with_the_critical_path_marked(lab):
    """D2: tasks side by side, waits hatched; what runs grows without a message; choosing a row works in both."""
    run = lab.open([JOB]).run_all().wait_idle().live(0)
    expect(row(run, "running, write")).to_be_visible()
    run.get_by_role("button", name="Timeline").click()
    expect(run.get_by_text("critical path: 4 tasks")).to_be_visible()

    expect(run.locator(".tnb-span")).to_have_count(6)
    sign_in, _sources, orders, visits, wait, write = run.evaluate(BOXES)
    assert sign_in[1] <= orders[0] + 1
    assert orders[0] <= visits[0] + 1
    assert visits[1] < orders[1]
    assert orders[1] <= wait[0] + 1
    assert wait[1] <= write[0] + 1

    line = "bar => getComputedStyle(bar, '::after').height"
    for told in ("sign in", "sources", "orders", "wait", "write"):
        assert bar(run, told).evaluate(line) == "2px"
    assert bar(run, "visits").evaluate("bar => getComputedStyle(bar, '::after').content") == "none"
    hatched = "bar => getComputedStyle(bar).backgroundImage.includes('repeating-linear-gradient')"
    assert bar(run, "wait").evaluate(hatched)
    assert not bar(run, "orders").evaluate(hatched)

    row(run, "completed, orders").click()
    expect(row(run, "completed, orders")).to_contain_text(re.compile(r"took [\d.]+ m?s"))
    expect(run.get_by_role("region", name="Details of orders")).to_be_visible()
    lab.page.keyboard.press("Escape")
    share = "bar => bar.getBoundingClientRect().width / bar.parentElement.getBoundingClientRect().width"
    before = bar(run, "write").evaluate(share)
    lab.page.wait_for_function(
        f"([bar, before]) => ({share})(bar) > before", arg=[bar(run, "write").element_handle(), before]
    )

    run.get_by_role("button", name="Tree", exact=True).click()
    expect(run.locator(".tnb-span")).to_have_count(0)
    expect(row(run, "completed, orders")).to_have_attribute("aria-selected", "true")
    assert lab.complaints() == []


def test_what_was_replayed_is_faint_and_not_on_the_critical_path(lab):
    """D2: the path is through what this pass did itself."""
    run = lab.open([JOB]).run_all().wait_idle().live(0)
    expect(row(run, "running, write")).to_be_visible()
    lab.restart_kernel().run_all().wait_idle()
    expect(row(run, "completed, orders, replayed")).to_be_visible()
    run.get_by_role("button", name="Timeline").click()
    expect(run.get_by_text("critical path: 1 task,")).to_be_visible()
    opacity = "bar => Number(getComputedStyle(bar).opacity)"
    assert bar(run, "orders").evaluate(opacity) < 0.7
    assert bar(run, "write").evaluate(opacity) == 1
    assert lab.complaints() == []


def test_a_part_is_seen_while_the_run_goes_on_and_lanes_by_keyboard(lab):
    """D2: keyboard and ARIA; JupyterLab has other uses for these keys, and none of them is what happens."""
    run = lab.open([JOB]).run_all().wait_idle().live(0)
    expect(row(run, "running, write")).to_be_visible()
    run.get_by_role("button", name="Timeline").click()
    axis = run.get_by_role("slider", name="Time shown")
    axis.press("+")
    axis.press("Home")
    shown = re.compile(r"^0 to [\d.]+ m?s ")
    expect(axis).to_have_attribute("aria-valuetext", shown)
    before = axis.get_attribute("aria-valuetext")
    place = "bar => [bar.style.left, bar.style.width]"
    sign_in = bar(run, "sign in").evaluate(place)
    path = run.locator(".tnb-axis-says").inner_text()
    expect(run.locator(".tnb-axis-says")).not_to_have_text(path)  # the run goes on
    assert axis.get_attribute("aria-valuetext") == before
    assert bar(run, "sign in").evaluate(place) == sign_in

    axis.press("0")
    expect(axis).to_have_attribute("aria-valuetext", "whole run")
    run.get_by_role("button", name="Tasks that do not overlap share a row").press("Enter")
    lanes = run.get_by_role("listbox", name="5 tasks in 2 lanes")  # without their scope
    lanes.press("ArrowRight")
    lanes.press("End")
    chosen = run.get_by_role("option", selected=True)
    expect(chosen).to_have_accessible_name(re.compile("^running, write, at .+, for .+ so far$"))
    lanes.press("Enter")
    expect(run.get_by_role("region", name="Details of write")).to_be_visible()
    lanes.press("Escape")
    expect(run.get_by_role("region", name="Details of write")).to_be_hidden()
    for key in ("b", "x", "+", "-", "0", "d", "d"):
        lanes.press(key)
    assert lab.cell_count() == 1
    lab.signal("written")
    expect(lab.static(0)).to_contain_text("COMPLETED")
    assert lab.complaints() == []
