"""A map of many items, as a person looks at it."""

from __future__ import annotations

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
    failed, running = (7, 407, 807, 1207, 1607), range(1990, 2000)
    expect_equal(lambda: rows(run)[1:], [*map(str, failed), *map(str, running), "1,985 completed"])
    expect(run.get_by_role("treeitem").nth(1)).to_contain_text("ValueError: item 7 has no text")
    lab.signal("rest")
    expect(node).to_contain_text("2,000 items · 5 failed")
    expect_equal(lambda: rows(run)[1:], [*map(str, failed), "1,995 completed"])
    lab.signal("end")
    expect(lab.static(1)).to_contain_text("2,000 items")
    expect(lab.static(1)).to_contain_text("more completed")


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
