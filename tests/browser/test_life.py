"""The life of a run's display: from the cell that starts it to the file that is opened years later."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from .lab import Lab
from .letter import AWAIT, JOB, START, STEPS, failing, row, steps

WIDGET = "application/vnd.jupyter.widget-view+json"


# While it runs ---------------------------------------------------------------------------------------


def test_a_run_is_seen_live_while_its_cell_awaits_and_is_static_at_its_end(lab):
    """D1, D4: when it has COMPLETED, nothing in the notebook needs a widget any more."""
    run = lab.open([JOB, AWAIT]).run_all().live(1)
    expect(row(run, "running, Look up the address")).to_be_visible()
    expect(run).to_contain_text("RUNNING")

    lab.signal("address")
    expect(row(run, "completed, Look up the address")).to_be_visible()
    expect(row(run, "running, Write the letter")).to_be_visible()

    lab.signal("write").signal("post").wait_idle()
    expect(lab.static(1)).to_contain_text("COMPLETED")
    expect(lab.static(1)).to_contain_text("3 completed")
    expect(lab.live(1)).to_have_count(0)
    tree, value = lab.save().cells[1].outputs
    assert set(tree.data) == {"text/html", "text/plain"}
    assert value.data["text/plain"] == "'posted'"


def test_a_run_in_the_background_leaves_its_cell_free_and_is_followed_all_the_same(lab):
    """D1, D4: while other cells run, and while none does."""
    lab.open([JOB, START, "print('free')"]).run_all().wait_idle()
    expect(lab.output(2)).to_have_text("free")
    expect(row(lab.live(1), "running, Look up the address")).to_be_visible()

    lab.signal("address")
    expect(row(lab.live(1), "running, Write the letter")).to_be_visible()

    lab.signal("write").signal("post")
    expect(lab.static(1)).to_contain_text("COMPLETED")


def test_two_jobs_at_once_are_two_trees(lab):
    """D1: each in its place, each at its pace."""
    other = 'other = letter.start({"to": "Ben"}); await other'
    lab.open([JOB, START, other]).run_all()
    for cell in (1, 2):
        expect(row(lab.live(cell), "running, Look up the address")).to_be_visible()
    lab.signal("address")
    for cell in (1, 2):
        expect(row(lab.live(cell), "running, Write the letter")).to_be_visible()
    assert steps(lab) == ["address", "address", "write", "write"]

    for step in STEPS:
        lab.signal(step)
    for cell in (1, 2):
        expect(lab.static(cell)).to_contain_text("COMPLETED")


def test_one_run_is_live_in_two_cells_and_among_other_widgets(lab):
    """D1: any number of views of one run, and an ipywidgets widget like others."""
    box = 'from ipywidgets import HTML, Tab, VBox\nTab([VBox([HTML("<b>mine</b>"), run.widget])])'
    lab.open([JOB, START, "run", box]).run_all().wait_idle()
    for cell in (1, 2, 3):
        expect(row(lab.live(cell), "running, Look up the address")).to_be_visible()
    lab.signal("address")
    for cell in (1, 2, 3):
        expect(row(lab.live(cell), "running, Write the letter")).to_be_visible()

    lab.signal("write").signal("post")
    for cell in (1, 2):
        expect(lab.static(cell)).to_contain_text("COMPLETED")
    expect(lab.live(3)).to_contain_text("COMPLETED")  # its box is not ours to replace
    expect(lab.output(3)).to_contain_text("mine")


# How it ends -----------------------------------------------------------------------------------------


def test_a_canceled_run_is_static_at_once(lab):
    """D4: in every cell that it is shown in."""
    lab.open([JOB, START, "run"]).run_all().wait_idle()
    expect(row(lab.live(1), "running, Look up the address")).to_be_visible()
    lab.run_cell(lab.add("run.cancel();")).wait_idle()
    for cell in (1, 2):
        expect(lab.static(cell)).to_contain_text("CANCELED")
        expect(lab.live(cell)).to_have_count(0)


def test_a_failed_run_keeps_its_buttons_until_the_next_cell_and_run_brings_them_back(lab):
    """D4: what remains has the line to type for each action."""
    lab.open([JOB, AWAIT]).run_all()
    with failing(lab, "address"):
        lab.wait_idle()
    expect(lab.live(1)).to_contain_text("FAILED")
    expect(lab.live(1).get_by_role("button", name="Retry")).to_be_enabled()
    expect(row(lab.live(1), "failed, Look up the address")).to_contain_text("address failed")

    lab.run_cell(lab.add("1 + 1")).wait_idle()
    expect(lab.static(1)).to_contain_text("FAILED")
    expect(lab.static(1)).to_contain_text("run.retry()")
    expect(lab.static(1)).to_contain_text("run.rerun_from('address')")
    expect(lab.live(1)).to_have_count(0)

    again = lab.add("run")
    lab.run_cell(again).wait_idle()
    expect(lab.live(again).get_by_role("button", name="Retry")).to_be_enabled()
    expect(lab.static(1)).to_contain_text("FAILED")


def test_an_interrupted_run_keeps_its_buttons_until_the_next_cell(lab):
    """D4: as a failed one does; the cell run again goes on with it."""
    lab.open([JOB, "await letter.run()"]).run_all().signal("address")
    expect(row(lab.live(1), "running, Write the letter")).to_be_visible()
    lab.interrupt().wait_idle()
    expect(lab.live(1)).to_contain_text("INTERRUPTED")
    expect(lab.live(1).get_by_role("button", name="Resume")).to_be_enabled()

    lab.run_cell(lab.add("1 + 1")).wait_idle()
    expect(lab.static(1)).to_contain_text("INTERRUPTED")
    expect(lab.static(1)).to_contain_text("run.resume()")

    lab.signal("write").signal("post").run_cell(1).wait_idle()
    expect(lab.static(1)).to_contain_text("COMPLETED")
    assert steps(lab) == ["address", "write", "write", "post"]


# Page and kernel come and go -------------------------------------------------------------------------


@pytest.mark.parametrize("code", [START, AWAIT])
def test_after_a_reload_in_the_middle_of_a_run_the_tree_is_live_again(lab, code):
    """D1, D4: also while the cell still awaits it."""
    lab.open([JOB, code]).run_all()
    expect(row(lab.live(1), "running, Look up the address")).to_be_visible()
    lab.save()

    lab.reload(idle=code == START)
    expect(row(lab.live(1), "running, Look up the address")).to_be_visible()
    lab.signal("address")
    expect(row(lab.live(1), "running, Write the letter")).to_be_visible()
    lab.signal("write").signal("post")
    expect(lab.live(1)).to_contain_text("COMPLETED")


def test_after_a_restart_the_cell_replays_what_was_done_in_one_tree(lab):
    """R1, D4: no step runs twice."""
    lab.open([JOB, AWAIT]).run_all().signal("address").signal("write").signal("post").wait_idle()
    lab.restart_kernel().run_all().wait_idle()
    expect(lab.tree(1)).to_have_count(1)
    expect(lab.static(1)).to_contain_text("3 replayed")
    expect(lab.static(1)).to_contain_text("Everything was replayed")
    assert steps(lab) == list(STEPS)


def test_after_a_restart_the_old_tree_says_that_its_kernel_is_gone(lab):
    """D3: its buttons say why they do nothing."""
    lab.open([JOB, START]).run_all().wait_idle()
    expect(row(lab.live(1), "running, Look up the address")).to_be_visible()
    lab.restart_kernel()
    expect(lab.live(1)).to_contain_text("Not connected to a kernel")
    pause = lab.live(1).get_by_role("button", name="Pause")
    expect(pause).to_have_attribute("title", "Not connected to a kernel.")

    lab.signal("address").run_all().wait_idle()
    expect(row(lab.live(1), "running, Write the letter")).to_be_visible()
    expect(lab.tree(1)).to_have_count(1)
