"""A map of many items, as a person looks at it."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, expect

from .lab import UNTIL, Lab, expect_equal

MAP = (
    UNTIL
    + """
from trigger_nb import TriggerClient

client = TriggerClient("maps")

async def embed(number):
    if number >= 1990:
        await until("rest")
    if number % 400 == 7:
        raise ValueError(f"item {number} has no text")
    return number

@client.job(id="embed", name="Embed")
async def job(payload, io):
    await io.map("embed", range(2000), embed, concurrency=20, name="Embed texts", return_errors=True)
    await until("end")
"""
)


def rows(run: Locator) -> list[str]:
    return run.locator(".tnb-row:visible .tnb-n").all_inner_texts()


def opened(lab: Lab) -> Locator:
    lab.open([MAP, "run = job.start()"])
    lab.run_all().wait_idle()
    run = lab.live(1)
    expect(run.get_by_role("treeitem").first).to_contain_text("1,990 of 2,000")
    run.get_by_role("tree").focus()
    run.get_by_role("tree").press("Home")
    run.get_by_role("tree").press("ArrowRight")
    expect(run.get_by_role("treeitem").filter(has_text="1,985 completed")).to_be_visible()
    return run


def test_a_map_shows_its_failures_what_runs_and_a_line_for_the_rest(lab):
    """D1, D2: of 2,000 items those are in the page that matter."""
    run = opened(lab)
    node = run.get_by_role("treeitem").first
    expect(node.locator(".tnb-pb-bad")).to_be_visible()
    failed, running = ["5 items: ValueError: item … has no text", "7", "407", "807"], range(1990, 2000)
    more = "2 more with this error"
    expect_equal(lambda: rows(run)[1:], [*failed, more, *map(str, running), "1,985 completed"])
    expect(run.get_by_role("treeitem").nth(2)).to_contain_text("ValueError: item 7 has no text")
    run.get_by_role("treeitem", name=more).click()
    expect_equal(lambda: rows(run)[1:7], [*failed, "1207", "1607"])
    run.get_by_role("treeitem", name=failed[0]).click()
    expect_equal(lambda: rows(run)[1:3], [failed[0], "1990"])
    expect(run.get_by_role("treeitem", name=failed[0])).to_have_attribute("aria-expanded", "false")
    lab.signal("rest")
    expect(node).to_contain_text("2,000 items · 5 failed")
    expect_equal(lambda: rows(run)[1:], [failed[0], "1,995 completed"])
    lab.signal("end")
    expect(lab.static(1)).to_contain_text("2,000 items")
    expect(lab.static(1)).to_contain_text(failed[0])
    expect(lab.static(1)).to_contain_text("more completed")
    assert lab.complaints() == []


# A chart, and what is drawn of it: pixels that differ from those around.
INK = """chart => {
  const { width, height } = chart.querySelector('path').getBBox();
  return [width, height];
}"""


def test_the_row_of_a_map_draws_how_long_its_items_take_and_how_many_end(lab):
    """D2: small charts, with the numbers in their titles; in the details and in the file as text."""
    run = opened(lab)
    node = run.get_by_role("treeitem").first
    durations, rate = node.locator(".tnb-chart-durations"), node.locator(".tnb-chart-rate")
    expect(durations).to_have_attribute(
        "title", re.compile(r"^p50 .+ · p95 .+ · max .+ \(\d+\); the chart goes from ")
    )
    expect(rate).to_have_attribute("title", re.compile(r"^Items over the last .+: .+ now, at most .+/s$"))
    for chart in (durations, rate):
        expect(chart).to_be_visible()
        width, height = chart.evaluate(INK)
        assert width > 2
        assert height > 2
    fill = "chart => getComputedStyle(chart.querySelector('path')).fill"
    usual = durations.evaluate(fill)
    lab.page.emulate_media(forced_colors="active")
    text = lab.page.evaluate("""() => {
      const span = document.body.appendChild(document.createElement('span'));
      span.style.color = 'CanvasText';
      return getComputedStyle(span).color;
    }""")
    assert durations.evaluate(fill) == rate.evaluate(fill) == text
    lab.page.emulate_media(forced_colors="none")
    assert durations.evaluate(fill) == usual
    assert run.locator(".tnb-chart").count() == 2, "no other row has charts"
    node.locator(".tnb-n").click()
    expect(run.locator(".tnb-details")).to_contain_text(re.compile(r"Durations\s*p50 .+ · max "))
    lab.signal("rest")
    expect(node).to_contain_text(re.compile(r"2,000 items · 5 failed · .+/s · p50 .+ · p95 .+ · max "))
    lab.signal("end")
    expect(lab.static(1)).to_contain_text(re.compile(r"p50 .+ · p95 .+ · max "))
    assert lab.complaints() == []


def test_finished_items_are_unfolded_found_and_looked_into(lab):
    """D2: they come from the kernel when somebody asks for them."""
    run = opened(lab)
    run.get_by_role("treeitem").filter(has_text="1,985 completed").click()
    expect(run.get_by_role("treeitem", name="completed, 0", exact=True)).to_be_visible()
    more = run.get_by_role("treeitem").filter(has_text="1,485 more completed")

    def at_the_end():
        run.get_by_role("tree").press("End")  # the end moves as long as items come from the kernel
        return more.is_visible()

    expect_equal(at_the_end, True)
    run.get_by_role("searchbox").fill("1234")
    found = run.get_by_role("treeitem", name="completed, 1234", exact=True)
    expect(found).to_be_visible()
    found.click()
    expect(run.locator(".tnb-details")).to_contain_text("[1234]")
    lab.signal("rest").signal("end")
