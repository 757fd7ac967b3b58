"""*Run with …* in a real JupyterLab (issue 16, point 11): the form, its faults, and the tree of the run that starts."""

from __future__ import annotations

from playwright.sync_api import expect

from .lab import Lab

JOB = """\
from typing import Literal

from pydantic import BaseModel, Field
from trigger_nb import Example, TriggerClient, invoke_trigger

client = TriggerClient("with")


class Order(BaseModel):
    city: str = Field(min_length=2, description="Where it is sent to")
    count: int = 1
    token: str = ""
    kind: Literal["gift", "plain"] = "plain"


@client.job(
    name="Send orders",
    redact=["token"],
    trigger=invoke_trigger(Order, examples=[Example("rome", "To Rome", {"city": "Rome", "count": 2})]),
)
async def send(payload, io, ctx):
    return await io.run_task("send", lambda: f"{payload.city} {payload.count} {payload.token} {ctx.run.is_test}")
"""
START = 'run = send.start({"city": "Oslo", "token": "s3cret"})'


def test_a_run_is_started_with_another_payload(lab: Lab):
    """Faults stand beside their field, what is hidden is kept, and the new tree appears below, also after a reload."""
    lab.open([JOB, START, "client.runs()"]).run_all().wait_idle()
    live = lab.live(1).first
    live.get_by_role("button", name="Run with …").click()
    form = live.get_by_role("form", name="Run with another payload")
    sources = form.get_by_label("Payload", exact=True)
    expect(sources).to_be_focused()
    expect(sources.locator("option")).to_have_text(
        ["This run’s payload", "Example: To Rome", "Another payload"]
    )
    expect(form.get_by_label("Token")).to_have_value("•••")
    form.get_by_label("City").fill("X")
    form.get_by_label("Count").fill("3")
    sources.select_option("Example: To Rome")
    expect(form.get_by_label("City")).to_have_value("Rome")
    sources.select_option("This run’s payload")
    expect(form.get_by_label("Count")).to_have_value("3")  # nothing is lost
    form.get_by_label("Test run").check()
    form.get_by_role("button", name="Start the run").click()
    expect(form.get_by_role("alert")).to_have_text("String should have at least 2 characters")
    expect(form.get_by_label("City")).to_be_focused()
    form.get_by_label("City").fill("Bergen")
    form.get_by_label("City").press("Enter")
    other = live.get_by_role("region", name="Run Send orders")
    expect(other).to_contain_text("Bergen 3 s3cret True")
    expect(other).to_contain_text("test run")
    expect(form).to_be_hidden()

    lab.save()
    again = lab.live(1).get_by_role("region", name="Run Send orders")
    lab.reload().with_widget(again)
    expect(again).to_contain_text("Bergen 3 s3cret True")

    runs = lab.live(2).first
    runs.get_by_role("row").filter(has_text="Oslo").click()
    opened = runs.get_by_role("region", name="Run Send orders")
    opened.get_by_role("button", name="Run with …").click()
    opened.get_by_label("Payload", exact=True).select_option("Example: To Rome")
    opened.get_by_role("button", name="Start the run").click()
    expect(opened).to_contain_text("Rome 2")
    expect(runs.get_by_role("row").filter(has_text="Rome")).to_have_count(1)
