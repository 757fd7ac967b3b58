"""The buttons of a row: *Continue* after the first items of a map, *Accept*, *Open in a cell*; and reused results apart."""

from __future__ import annotations

import os
from pathlib import Path

from playwright.sync_api import Locator, expect

from .lab import Lab, expect_equal
from .letter import row

SHOTS = os.environ.get("TRIGGER_NB_SHOTS")  # a folder for pictures, to look at

JOB = """
from trigger_nb import TriggerClient

client = TriggerClient("post")
PROMPT = "Summary"

async def summarize(text):
    if text == "text 3":
        raise ValueError(f"{text} is empty")
    return f"{PROMPT} of {text}"

@client.job(id="texts", identity=lambda payload: "all")
async def texts(payload, io):
    given = [f"text {number}" for number in range(payload)]
    return await io.map("summarize", given, summarize, first=4, return_errors=True)
"""
START = "run = texts.start(8)"


def button(run: Locator, name: str) -> Locator:
    return run.get_by_role("button", name=name, exact=True)


def picture(lab: Lab, name: str) -> None:
    if SHOTS:
        lab.page.screenshot(path=str(Path(SHOTS) / f"{name}.png"))


def failed_row(run: Locator) -> Locator:
    return row(run, "failed, text 3")


def test_a_map_stops_after_its_first_items_until_continue(lab):
    """Its row tells the forecast; *Continue* is in the header and in the details of the map."""
    lab.open([JOB, START, "print(len(run.output))"]).run_all()
    run = lab.live(1)
    expect(run).to_contain_text("stopped after 4 of 8 items")
    expect(run).to_contain_text("the others take about")
    expect(run).to_contain_text("Stopped after the first 4 of 8 items of map 'summarize'")
    expect(button(run, "Continue")).to_be_visible()
    row(run, "unfinished, summarize").click()
    expect(run.locator(".tnb-details").get_by_role("button", name="Continue")).to_be_visible()
    expect(run.locator(".tnb-details")).to_contain_text("stopped after 4 of 8 items · the others take about")
    picture(lab, "first")
    run.locator(".tnb-details").get_by_role("button", name="Continue").click()
    expect(run).to_contain_text("COMPLETED")
    expect(run).to_contain_text("8 items")
    expect(run).not_to_contain_text("stopped after")


def test_accept_takes_the_change_as_none(lab):
    lab.open([JOB, START, "run.resume()", "PROMPT = 'Gist'", "again = texts.start(8)"])
    for cell in range(3):
        lab.run_cell(cell).wait_idle()
    expect(lab.live(2)).to_contain_text("COMPLETED")
    lab.run_cell(3).run_cell(4).wait_idle()
    run = lab.live(4)
    expect(run).to_contain_text("changed: code")
    row(run, "completed, text 0").click()
    accept = run.locator(".tnb-details").get_by_role("button", name="Accept")
    expect(accept).to_be_visible()
    picture(lab, "accept")
    accept.click()
    expect(accept).to_be_hidden()
    expect(row(run, "completed, text 0, replayed").filter(has_text="changed")).to_have_count(0)
    expect(row(run, "completed, text 2").filter(has_text="changed")).to_have_count(1)


def opens_in_a_cell(lab: Lab, picture_name: str) -> None:
    lab.open([JOB.replace(", first=4", ""), START, "print('last')"]).run_all()
    run = lab.live(1)
    cells = lab.cell_count()
    failed_row(run).click()
    opener = run.locator(".tnb-details").get_by_role("button", name="Open in a cell")
    expect(opener).to_be_visible()
    opener.click()
    expect(run.locator(".tnb-details")).to_contain_text("A new cell below has the task.")
    expect_equal(lab.cell_count, cells + 1)
    expect(lab.cell(2)).to_contain_text("task = run.task('summarize/text 3')")
    expect(lab.cell(2)).to_contain_text("await task.call()")
    expect(lab.cell(3)).to_contain_text("print('last')")
    picture(lab, picture_name)


def test_a_failed_task_opens_in_a_new_cell_below(lab):
    opens_in_a_cell(lab, "open")


def test_so_it_does_in_notebook_7(notebook7):
    opens_in_a_cell(notebook7, "open-notebook7")


REUSE = """
import asyncio
from trigger_nb import TriggerClient

client = TriggerClient("post", reuse="client")

async def double(number):
    return 2 * number

@client.job(id="doubles")
async def doubles(payload, io):
    return await io.map("double", range(payload), double)
"""


def test_reused_results_are_counted_apart(lab):
    """The chip *reused* filters them, in a large map too; the bar and the snapshot name them."""
    lab.open([REUSE, "await doubles.start(300)", "await doubles.start(310)"])
    lab.run_all().wait_idle()
    run = lab.live(2)
    chip = run.get_by_role("button", name="300 reused")
    expect(chip).to_be_visible()
    expect(run.locator(".tnb-b-reused")).to_have_count(1)
    expect(run).to_contain_text("300 reused")
    picture(lab, "reused")
    chip.click()
    expect(run.get_by_role("treeitem", name="completed, 310 completed, 300 reused")).to_be_visible()
    chip.click()
    html = lab.snapshot(2)["text/html"]
    assert "300 reused" in html
