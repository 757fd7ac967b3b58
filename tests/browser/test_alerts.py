"""The title of the tab and the browser's notifications, in a real JupyterLab (issue 16, point 10)."""

from __future__ import annotations

from playwright.sync_api import expect

from .lab import UNTIL, Lab, expect_equal

JOB = f"""\
{UNTIL}
from trigger_nb import TriggerClient

client = TriggerClient("alerts")


@client.job(name="Import orders", notify="browser")
async def orders(payload, io):
    await io.run_task("first", lambda: 1)
    await io.run_task("second", until, f"go-{{payload}}")
    if payload == "bad":
        raise ValueError("no such order")
"""
# A browser that has not asked yet, and that nobody looks at.
FAKE = """() => {
  window.told = [];
  window.Notification = class {
    static permission = "default";
    static async requestPermission() { window.asked = (window.asked ?? 0) + 1; return (this.permission = "granted"); }
    constructor(title, { body, tag }) { window.told.push([title, body, tag.startsWith("trigger_nb run_")]); }
    close() {}
  };
  document.hasFocus = () => false;
}"""


def test_the_tab_tells_what_becomes_of_runs(lab_of_its_own: Lab):
    """The title counts, several runs are one number, and it is restored; permission is asked by a click only."""
    lab = lab_of_its_own
    lab.open([JOB, 'one = orders.start("good")', 'two = orders.start("bad")'])
    lab.page.evaluate(FAKE)
    before = lab.page.title()
    title = lab.page.title
    lab.run_all()
    expect_equal(lambda: title().endswith(f" · {before}") and title().startswith("50% 2 runs"), True)
    assert lab.page.evaluate("window.asked ?? 0") == 0
    lab.live(1).get_by_role("button", name="Notify me").click()
    expect(lab.live(1).get_by_role("button", name="Notify me")).to_have_count(0)
    lab.signal("go-good")
    expect_equal(lambda: title() == f"50% Import orders · {before}", True)
    expect_equal(lambda: lab.page.evaluate("window.told"), [["Import orders", "COMPLETED", True]])
    lab.page.evaluate("document.title = 'other.ipynb - JupyterLab'")  # as when another notebook is chosen
    expect_equal(title, "50% Import orders · other.ipynb - JupyterLab")
    lab.signal("go-bad")
    expect_equal(title, "other.ipynb - JupyterLab")
    said = [["Import orders", "FAILED: ValueError: no such order", True]]
    expect_equal(lambda: lab.page.evaluate("window.told.slice(1)"), said)
