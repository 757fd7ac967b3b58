"""What the header tells of how far a run is: its statuses, and when it will be done."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, expect

from .lab import UNTIL
from .test_looks import looks_right

IMPORT = (
    UNTIL
    + """
from trigger_nb import TriggerClient
from trigger_nb.testing import FakeClock

clock = FakeClock(autojump=False)
client = TriggerClient("shop", clock=clock)

async def takes(seconds, name):
    clock.advance(seconds)
    await until(name)

@client.job(id="import", name="Import orders")
async def orders(payload, io):
    fetching = await io.create_status("fetch", "Fetching pages", "loading", {"progress": 0.25, "page": 7})
    await io.run_task("fetching", takes, 60, f"{payload} fetched")
    await fetching.update("fetched", "Fetched pages", "success", {"progress": 1})
    mail = "Sending mails to all those whose orders have been on their way for longer than we said they would"
    await io.create_status("mail", mail, "failure", {"reason": "<b>quota</b> exceeded " * 9})
    await io.run_task("writing", takes, 30, f"{payload} written")
    await io.run_task("mailing", takes, 60, f"{payload} mailed")
"""
)


def status(run: Locator, label: str) -> Locator:
    return run.locator(".tnb-st").filter(has_text=label)


def share(of: Locator) -> float:
    """How much of a bar is filled."""
    bar = of.locator(".tnb-pb")
    return bar.locator("i").bounding_box()["width"] / bar.bounding_box()["width"]


def test_statuses_stand_in_the_header_live_and_after_it(lab):
    """Issue 5, point 4: label, state, bar and other data; the same after a reload, and in what remains."""
    lab.open([IMPORT, 'run = orders.start("now")']).run_all().wait_idle()
    run = lab.live(1)
    fetching = status(run, "Fetching pages")
    expect(fetching.locator(".tnb-s-running")).to_be_visible()
    expect(fetching).to_contain_text("25%")
    expect(fetching).to_contain_text("page: 7")
    expect(fetching.get_by_role("progressbar", name="Fetching pages")).to_have_attribute(
        "aria-valuenow", "25"
    )
    assert share(fetching) == pytest.approx(0.25, abs=0.01)

    lab.signal("now fetched")
    fetched = status(run, "Fetched pages")
    expect(fetched.locator(".tnb-s-completed")).to_be_visible()
    assert share(fetched) == pytest.approx(1, abs=0.01)
    mail = status(run, "Sending mails")
    expect(mail).to_contain_text("reason: <b>quota</b> exceeded")
    expect(mail.locator(".tnb-pb")).to_have_count(0)
    for wide in (560, 380, 300):
        run.evaluate("(run, wide) => { run.parentElement.style.width = `${wide}px`; }", wide)
        expect(run).to_have_css("width", f"{wide}px")
        looks_right(run)

    for step in ("written", "mailed"):
        lab.signal(f"now {step}")
    expect(run).to_contain_text("COMPLETED")
    lab.wait_idle()
    static = lab.without_widgets().static(1)
    expect(status(static, "Fetched pages")).to_contain_text("100%")
    assert share(status(static, "Fetched pages")) == pytest.approx(1, abs=0.01)
    looks_right(static)
    assert lab.complaints() == []


def test_the_header_counts_down_to_the_end(lab):
    """Issue 5, point 4: going by earlier runs; the front end counts by itself."""
    for step in ("fetched", "written", "mailed"):
        lab.signal(f"before {step}")
    lab.open([IMPORT, 'await orders.run("before", display=False)', 'run = orders.start("now")'])
    run = lab.run_all().wait_idle().live(2)
    left = run.locator(".tnb-eta")
    expect(left).to_have_text(re.compile(r"^about .+ left$"))
    before = left.inner_text()
    expect(left).not_to_have_text(before)  # it ticks, and no message comes

    lab.signal("now fetched")
    expect(left).to_have_text(re.compile(r"^about (1 min|\d+ s) left$"))  # of 2 min 30 s
    lab.signal("now written")
    expect(left).to_be_hidden()  # it takes longer than it ever did
    assert lab.complaints() == []
