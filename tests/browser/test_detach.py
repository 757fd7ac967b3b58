"""The button *Detach*: the run goes on in a worker, the tree under the cell follows it, and *Attach* brings it back."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from playwright.sync_api import Locator, expect

from .lab import UNTIL, Lab
from .letter import row

SHOTS = os.environ.get("TRIGGER_NB_SHOTS")  # a folder for pictures, to look at

JOB = f"""{UNTIL}
from trigger_nb import TriggerClient

client = TriggerClient("office")

async def file_letter(number):
    with open("pids", "a") as file:
        file.write(f"{{os.getpid()}}\\n")
    return number

@client.job(id="letters")
async def letters(payload, io):
    for number in range(payload):
        await until(f"letter {{number}}")
        await io.run_task(f"letter-{{number}}", file_letter, number)
    return "filed"
"""


def button(run: Locator, name: str) -> Locator:
    return run.get_by_role("button", name=name, exact=True)


def picture(lab: Lab, name: str) -> None:
    if SHOTS:
        lab.page.screenshot(path=str(Path(SHOTS) / f"{name}.png"))


def filed_by(lab: Lab) -> list[str]:
    file = lab.folder / "pids"
    return file.read_text().split() if file.exists() else []


def test_a_run_is_detached_and_attached_by_its_buttons_while_its_cell_awaits_it(lab):
    """D3, C7: no page is loaded again, and the cell gets the output, whoever computed it."""
    lab.open([JOB, "print(await letters.run(5))"]).run_all()
    run = lab.live(1)
    lab.signal("letter 0")
    expect(run).to_contain_text("letter-0")
    button(run, "Detach").click()
    expect(run).to_contain_text("Detaching: a worker is being started")
    picture(lab, "detaching")
    expect(run).to_contain_text("Detached: a worker drives the run")
    expect(run).not_to_contain_text("Detaching")
    lab.signal("letter 1")
    expect(row(run, "completed, letter-1")).to_be_visible()
    expect(run).not_to_contain_text("not reached")
    picture(lab, "detached")
    pids = filed_by(lab)
    assert len(set(pids)) == 2, "another process has gone on"

    button(run, "Pause").click()  # by the store: the worker pauses, and ends
    expect(run).to_contain_text("WAITING (paused)")
    button(run, "Resume").click()
    expect(button(run, "Detach")).to_be_visible()
    lab.signal("letter 2")
    expect(run).to_contain_text("letter-2")
    assert filed_by(lab)[-1] == pids[0], "in the kernel again"

    button(run, "Detach").click()
    expect(run).to_contain_text("Detached: a worker drives the run")
    lab.signal("letter 3")
    expect(run).to_contain_text("letter-3")
    button(run, "Attach").click()
    expect(button(run, "Detach")).to_be_visible()
    expect(run).not_to_contain_text("Detached:")
    lab.signal("letter 4")
    expect(run).to_contain_text("COMPLETED")
    expect(lab.output(1).last).to_contain_text("filed")
    expect(run).to_contain_text("5 tasks")
    assert filed_by(lab)[-1] == pids[0]
    assert len(filed_by(lab)) == 5, "none is repeated"


def test_a_job_that_was_edited_and_not_saved_stays_in_the_kernel(lab):
    """The worker would run other code: the header says so, and the run goes on."""
    lab.open([JOB, "print(await letters.run(1))"])
    file = lab.folder / "notebook.ipynb"
    lab.run_cell(0).wait_idle().run_cell(1)
    run = lab.live(1)
    expect(button(run, "Detach")).to_be_visible()
    saved = json.loads(file.read_text())
    saved["cells"][0]["source"] = JOB.replace('"filed"', '"other"')
    file.write_text(json.dumps(saved))
    button(run, "Detach").click()
    expect(run).to_contain_text(re.compile("Not detached: run .*save the notebook and run its cells"))
    picture(lab, "refused")
    lab.signal("letter 0")
    expect(run).to_contain_text("COMPLETED")
    assert len(set(filed_by(lab))) == 1
