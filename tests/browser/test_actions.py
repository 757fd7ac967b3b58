"""Every action by mouse, on a run that its cell awaits and on one in the background (rule D3).

That a body ran again, or did not, is seen by what it left in a file.
"""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, expect

from .lab import Lab, expect_equal
from .letter import AWAIT, JOB, START, STEPS, failing, heard, row, steps

PARCEL = (
    JOB
    + """
pause = Retry(limit=2, min_timeout=3600, max_timeout=3600)

@client.job(id="parcel", name="Send a parcel")
async def parcel(payload, io):
    await io.run_task("pack", step, "pack", name="Pack it")
    await io.wait("days", days=3)
    await io.run_task("send", step, "send", name="Send it", retry=pause)
    return "sent"
"""
)

both = pytest.mark.parametrize("code", [START, AWAIT], ids=["background", "awaited"])


def button(run: Locator, name: str) -> Locator:
    return run.get_by_role("button", name=name, exact=True)


def begun(lab: Lab, code: str, job: str = JOB) -> Locator:
    """A run whose first step is under way, as it is shown."""
    lab.open([job, code.replace("letter", "parcel") if job == PARCEL else code]).run_all()
    expect(lab.live(1).get_by_role("treeitem")).to_have_count(1)
    expect(row(lab.live(1), "running")).to_be_visible()
    expect_equal(lambda: len(steps(lab)), 1)
    return lab.live(1)


def completed(lab: Lab) -> int:
    """The cell in which a run is shown again that COMPLETED in an earlier one."""
    for step in STEPS:
        lab.signal(step)
    lab.open([JOB, AWAIT, "run"]).run_all().wait_idle()
    expect(lab.live(2)).to_contain_text("COMPLETED")
    return 2


# On the run ------------------------------------------------------------------------------------------


@both
def test_pause_and_resume(lab, code):
    """A7: what is done stays, what was under way begins again."""
    run = begun(lab, code)
    lab.signal("address")
    expect(row(run, "running, Write the letter")).to_be_visible()
    button(run, "Pause").click()
    expect(run).to_contain_text("RUNNING (pausing)")
    button(run, "Pause now").click()
    expect(run).to_contain_text("WAITING (paused)")
    expect(button(run, "Pause now")).to_be_hidden()
    lab.signal("write").signal("post")

    button(run, "Resume").click()
    expect(lab.static(1)).to_contain_text("COMPLETED")
    assert steps(lab) == ["address", "write", "write", "post"]


@both
def test_cancel(lab, code):
    """D4."""
    run = begun(lab, code)
    button(run, "Cancel").click()
    expect(lab.static(1)).to_contain_text("CANCELED")
    lab.wait_idle().signal("address")
    assert steps(lab) == ["address"]


@both
def test_retry_runs_only_what_failed(lab, code):
    """D4: the buttons of a FAILED run stay."""
    run = begun(lab, code)
    heard(run)
    lab.signal("address")
    with failing(lab, "write"):
        expect(run).to_contain_text("FAILED")
        lab.wait_idle()
    button(run, "Retry").click()
    expect(row(run, "running, Post it")).to_be_visible()
    lab.signal("post")
    expect(lab.static(1)).to_contain_text("COMPLETED")
    assert steps(lab) == ["address", "write", "write", "post"]


def test_retry_in_a_later_cell(lab):
    """D4: `run` in a cell shows the live widget again."""
    begun(lab, AWAIT)
    with failing(lab, "address"):
        lab.wait_idle()
    again = lab.add("run")
    lab.run_cell(again).wait_idle()
    button(lab.live(again), "Retry").click()
    expect(row(lab.live(again), "running, Write the letter")).to_be_visible()
    lab.signal("write").signal("post")
    expect(lab.static(again)).to_contain_text("COMPLETED")
    assert steps(lab) == ["address", "address", "write", "post"]


# On a task -------------------------------------------------------------------------------------------


@both
def test_skip_a_wait(lab, code):
    """W1: it ends now, and the run goes on."""
    run = begun(lab, code, PARCEL)
    lab.signal("pack")
    row(run, "waiting").click()
    button(run, "Skip the wait").click()
    expect(row(run, "running, Send it")).to_be_visible()
    lab.signal("send")
    expect(lab.static(1)).to_contain_text("COMPLETED")
    assert steps(lab) == ["pack", "send"]


@both
def test_skip_the_pause_before_the_next_attempt(lab, code):
    """A1: it begins now."""
    run = begun(lab, code, PARCEL)
    lab.signal("pack")
    row(run, "waiting").click()
    button(run, "Skip the wait").click()
    with failing(lab, "send"):
        row(run, "retrying, Send it").click()
        expect(row(run, "retrying, Send it")).to_contain_text("next attempt")
    button(run, "Skip the wait").click()
    expect(lab.static(1)).to_contain_text("COMPLETED")
    assert steps(lab) == ["pack", "send", "send"]


@both
def test_rerun_from_here_in_the_middle_of_a_run(lab, code):
    """R9: the task and what started after it."""
    run = begun(lab, code)
    lab.signal("address").signal("write")
    expect(row(run, "running, Post it")).to_be_visible()
    row(run, "completed, Write the letter").click()
    button(run, "Rerun from here").click()
    expect(run.get_by_text("Runs 2 tasks again: write, post")).to_be_visible()
    button(run, "Run 2 tasks again").click()
    heard(run)  # before the run can complete
    lab.signal("post")
    expect(lab.static(1)).to_contain_text("COMPLETED")
    assert steps(lab) == ["address", "write", "post", "write", "post"]


def test_rerun_from_here_after_the_end(lab):
    """R9, D4: through `run` in a new cell; asked first, and nothing happens when the answer is no."""
    run = lab.live(completed(lab))
    row(run, "completed, Post it").click()
    button(run, "Rerun from here").click()
    question = run.get_by_role("alertdialog", name="Runs 1 task again: post")
    button(question, "Cancel").click()
    expect(question).to_be_hidden()
    assert steps(lab) == list(STEPS)

    button(run, "Rerun from here").click()
    button(question, "Run 1 task again").click()
    expect(lab.static(2)).to_contain_text("COMPLETED")
    expect_equal(lambda: steps(lab), [*STEPS, "post"])


# What cannot be done ---------------------------------------------------------------------------------


def test_disabled_buttons_say_why(lab):
    """D3: in the words of the table of operations."""
    run = lab.live(completed(lab))
    for name, why in {
        "Pause": "It has completed",
        "Cancel": "It has completed",
        "Retry": "Nothing has failed",
    }.items():
        expect(button(run, name)).to_be_disabled()
        expect(button(run, name)).to_have_attribute("title", why)
    button(run, "Pause").click(force=True)
    expect(run).to_contain_text("COMPLETED")


def test_a_run_whose_job_is_not_defined_says_which_cell_to_run(lab):
    """D3: in a new kernel the client is there before the job is."""
    begun(lab, "await letter.run()")
    with failing(lab, "address"):
        lab.wait_idle()
    lab.restart_kernel()
    again = lab.add('from trigger_nb import TriggerClient\nTriggerClient("post").runs()[0]')
    lab.run_cell(again).wait_idle()
    expect(button(lab.live(again), "Retry")).to_have_attribute(
        "title", "Job 'letter' is not defined in this kernel: run the cell that defines it"
    )


def test_a_busy_kernel_is_told_of_and_does_it_later(lab):
    """D3: a click is not lost."""
    begun(lab, START)
    blocking = "import os, time\nprint('busy')\nwhile not os.path.exists('free'):\n    time.sleep(0.01)"
    busy = lab.add(blocking)
    lab.run_cell(busy)
    expect(lab.output(busy)).to_have_text("busy")
    button(lab.live(1), "Cancel").click()
    expect(lab.live(1)).to_contain_text("The kernel is busy. The action will be performed when it is free.")
    lab.signal("free")
    expect(lab.static(1)).to_contain_text("CANCELED")
