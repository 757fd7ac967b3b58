"""The form of a question, in a real JupyterLab: filled in by keyboard, refused, answered, seen in every light."""

from __future__ import annotations

from playwright.sync_api import expect

from .lab import Lab

JOB = """\
import enum
from datetime import date, datetime
from typing import Literal

from pydantic import BaseModel, Field
from trigger_nb import TriggerClient

client = TriggerClient("questions")


class Budget(BaseModel):
    limit: int = Field(ge=1, le=1000, description="In euros, for the whole month")
    note: str = ""
    kind: Literal["once", "monthly"] = "once"
    day: date | None = None
    is_urgent: bool = Field(False, title="Urgent")
    tags: list[str] = []
    at: datetime | None = None


@client.job(name="Newsletter")
async def newsletter(payload, io):
    await io.run_task("draft", lambda: "Dear all")
    budget = await io.wait_for_approval("budget", prompt="Spend this on ads?", schema=Budget)
    city = await io.ask("city", prompt="Which city?", default="Paris")
    return f"{budget.choice} {budget.data and budget.data.limit} {city} {budget.data and budget.data.at}"
"""
START = "run = newsletter.start()"


def asking(lab: Lab):
    lab.open([JOB, START]).run_all()
    live = lab.live(1)
    expect(live.get_by_role("button", name="Answer budget")).to_be_visible()
    return live


def test_a_form_is_filled_in_by_keyboard(lab):
    """D2, D3: labels, focus and faults are there for the keyboard and a screen reader."""
    live = asking(lab)
    expect(live).to_contain_text("Spend this on ads?")
    live.get_by_role("button", name="Answer budget").press("Enter")
    limit = live.get_by_label("Limit")
    expect(limit).to_be_focused()
    expect(limit).to_have_attribute("aria-required", "true")
    expect(limit).to_have_accessible_description("In euros, for the whole month")
    expect(live.get_by_role("button", name="Skip wait")).to_be_hidden()

    limit.fill("5000")
    limit.press("Enter")  # it approves nothing by mistake
    expect(live.get_by_role("button", name="Answer budget")).to_be_visible()
    live.get_by_role("button", name="Approve").press("Enter")
    expect(live.get_by_text("less than or equal to 1000")).to_be_visible()
    expect(limit).to_be_focused()
    expect(limit).to_have_attribute("aria-invalid", "true")
    expect(limit).to_have_accessible_description(
        "In euros, for the whole month Input should be less than or equal to 1000"
    )

    live.get_by_label("Tags").fill("[1")
    live.get_by_role("button", name="Approve").click()
    expect(live.get_by_text("This is not JSON.")).to_be_visible()
    live.get_by_label("Tags").fill('["a"]')
    limit.fill("300")
    expect(live.get_by_text("less than or equal to 1000")).to_be_hidden()
    live.get_by_label("Kind").select_option("monthly")
    live.get_by_label("Day").fill("2026-12-24")
    live.get_by_label("Urgent").check()
    at = live.get_by_role("textbox", name="At (optional)")
    expect(at).to_have_accessible_description("Such as 2030-01-31 09:30")
    at.fill("soon")
    live.get_by_role("button", name="Approve").click()
    expect(live.get_by_text("valid datetime")).to_be_visible()
    at.fill("2026-12-24 18:30")
    live.get_by_role("button", name="Approve").click()

    live.get_by_role("button", name="Answer city").click()
    city = live.get_by_label("Value")
    expect(city).to_be_focused()
    expect(city).to_have_value("Paris")
    city.fill("Rome")
    city.press("Enter")
    expect(live).to_contain_text("COMPLETED")
    expect(live).to_contain_text("approve 300 Rome 2026-12-24 18:30:00")
    expect(lab.static(1)).to_contain_text("COMPLETED")


def test_reject_needs_no_form(lab):
    """What was not touched is not sent."""
    live = asking(lab)
    live.get_by_role("button", name="Answer budget").click()
    live.get_by_role("button", name="Reject").click()
    live.get_by_role("button", name="Answer city").click()
    live.get_by_role("button", name="Answer", exact=True).click()
    expect(live).to_contain_text("reject None Paris")


def test_what_was_filled_in_stays_and_the_picture_says_what_to_type(lab):
    """Another row is looked at meanwhile. D4: without a kernel, as static HTML."""
    live = asking(lab)
    expect(lab.static(1)).to_contain_text("run.reject('budget')")
    live.get_by_role("button", name="Answer budget").click()
    live.get_by_label("Limit").fill("7")
    live.get_by_role("treeitem", name="draft").click()
    expect(live.get_by_label("Limit")).to_be_hidden()
    live.get_by_role("button", name="Answer budget").click()
    expect(live.get_by_label("Limit")).to_have_value("7")


def test_it_is_seen_whole(lab):
    """Light, dark, forced colours, 420 px: nothing is cut off."""
    live = asking(lab)
    live.get_by_role("button", name="Answer budget").click()
    live.get_by_role("button", name="Approve").click()
    expect(live.get_by_text("Field required")).to_be_visible()
    for look in ("light", "dark", "forced"):
        (lab.light if look == "light" else lab.dark)()
        lab.page.emulate_media(forced_colors="active" if look == "forced" else "none")
        for width in (1000, 420):
            live.evaluate(f"element => element.style.maxWidth = '{width}px'")
            form = live.locator("form.tnb-form")
            assert form.evaluate("form => form.scrollWidth <= form.clientWidth")
            control = live.get_by_label("Limit")
            assert control.evaluate("input => getComputedStyle(input).borderTopWidth") == "1px"
