"""The life of a run's display: from the cell that starts it to the file that is opened years later."""

from __future__ import annotations

import pytest
from nbconvert import HTMLExporter, MarkdownExporter
from playwright.sync_api import expect

from .lab import expect_equal
from .letter import AWAIT, JOB, START, STEPS, failing, heard, row, steps

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
    expect_equal(lambda: steps(lab), ["address", "address", "write", "write"])

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
    heard(lab.open([JOB, AWAIT]).run_all().live(1))
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
    heard(lab.live(1))
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

    running = row(lab.live(1), "running, Look up the address")
    if code == START:
        lab.reload()
    else:
        lab.reload_while_a_cell_runs(running)
    expect(running).to_be_visible()
    lab.signal("address")
    expect(row(lab.live(1), "running, Write the letter")).to_be_visible()
    lab.signal("write").signal("post")
    expect(lab.live(1)).to_contain_text("COMPLETED")


def test_a_page_that_is_closed_in_the_middle_of_a_run_finds_its_end_when_it_is_opened_again(lab):
    """D1, D4: the run does not need it, and its widget is still there."""
    lab.open([JOB, START]).run_all().wait_idle()
    expect(row(lab.live(1), "running, Look up the address")).to_be_visible()
    lab.save()
    lab.page.goto("about:blank")
    for step in STEPS:
        lab.signal(step)
    lab.open(lab.folder / "notebook.ipynb", trusted=True)
    expect(lab.live(1)).to_contain_text("COMPLETED")
    expect(row(lab.live(1), "completed, Post it")).to_be_visible()
    assert steps(lab) == list(STEPS)


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


@pytest.mark.parametrize("kernel", [True, False])
def test_what_was_saved_is_readable_when_it_is_opened_again(lab, kernel):
    """D4: a COMPLETED run, and a FAILED one after the next cell was run; nowhere an error of a widget."""
    lab.open(saved_notebook(lab), kernel=kernel)
    expect(lab.static(1)).to_contain_text("COMPLETED")
    expect(lab.static(1)).to_contain_text("Post it")
    expect(lab.static(2)).to_contain_text("FAILED")
    expect(lab.static(2)).to_contain_text("write failed")
    expect(lab.static(2)).to_contain_text("run.retry()")
    expect(lab.page.locator("body")).not_to_contain_text("Error displaying widget")


def test_nbconvert_keeps_what_was_saved(lab):
    """D4: to HTML and to Markdown."""
    saved = saved_notebook(lab)
    page, _ = HTMLExporter().from_filename(str(saved))
    document, _ = MarkdownExporter().from_filename(str(saved))
    for text in (page, document):
        assert "COMPLETED" in text
        assert "FAILED" in text
        assert "write failed" in text
        assert "Write the letter" in text
        assert "widget" not in text.split("Write to Ana", 1)[1].split("</body>")[0]
    lab.page.set_content(page)
    expect(lab.page.locator(".tnb")).to_have_count(2)
    expect(lab.page.get_by_text("write failed").first).to_be_visible()


def saved_notebook(lab):
    """A notebook file with a COMPLETED run in cell 1 and a FAILED one in cell 2."""
    fails = 'run = letter.start({"to": "Ben"}); await run'
    lab.signal("address").signal("write").signal("post").open([JOB, AWAIT]).run_all().wait_idle()
    with failing(lab, "write"):
        lab.run_cell(lab.add(fails)).wait_idle()
    lab.run_cell(lab.add("1 + 1")).wait_idle()
    for cell in (1, 2):
        expect(lab.static(cell)).to_be_visible()
    lab.save()
    return lab.folder / "notebook.ipynb"


# What goes wrong -------------------------------------------------------------------------------------


LOSSY = """
from trigger_nb._runs.showing import display_of

display = display_of(run._runtime, run.id)
post = display.widget.post

def lossy(message):
    wanted = [name for name in message if os.path.exists(f"drop {name}")]
    if wanted:
        os.remove(f"drop {wanted[0]}")
    else:
        post(message)

display.widget.post = lossy
"""


def drop(lab, part):
    """Lose the next message with this part, as the server loses some when there are too many."""
    return lab.signal(f"drop {part}")


def is_dropped(lab, part):
    return not (lab.folder / f"drop {part}").exists()


def test_a_dropped_message_is_noticed_and_healed(lab):
    """D1: in the middle, and the last one of a run."""
    lab.open([JOB, START, LOSSY]).run_all().wait_idle()
    expect(row(lab.live(1), "running, Look up the address")).to_be_visible()

    drop(lab, "rows").signal("address")
    expect(row(lab.live(1), "running, Write the letter")).to_be_visible()
    assert is_dropped(lab, "rows")

    drop(lab, "run")
    with failing(lab, "write"):
        expect(lab.live(1)).to_contain_text("FAILED")
    assert is_dropped(lab, "run")
    expect(lab.live(1).get_by_role("button", name="Retry")).to_be_enabled()


def test_a_dropped_answer_is_told_and_can_be_asked_for_again(lab):
    """D1, D3: a button waits for no answer that does not come."""
    lab.open([JOB, START, LOSSY]).run_all().wait_idle().signal("address")
    run = lab.live(1)
    row(run, "completed, Look up the address").click()
    drop(lab, "answers")
    run.get_by_role("button", name="Rerun from here").click()
    expect(run.get_by_text("answer of the kernel was lost")).to_be_visible()
    assert is_dropped(lab, "answers")

    run.get_by_role("button", name="Rerun from here").click()
    expect(run.get_by_role("button", name="Run 2 tasks again")).to_be_visible()


def test_a_fault_in_the_front_end_leaves_the_run_alone(lab):
    """D1: rubbish in a message heals like a lost one; in a snapshot it is told."""
    rubbish = """
from trigger_nb._runs.showing import display_of

display_of(run._runtime, run.id).widget.post({"n": 1_000_000, "rows": 7})
"""
    lab.open([JOB, START]).run_all().wait_idle()
    expect(row(lab.live(1), "running, Look up the address")).to_be_visible()
    with lab.page.expect_console_message(lambda said: "the display has failed" in said.text):
        lab.run_cell(lab.add(rubbish)).wait_idle()
    lab.signal("address")
    expect(row(lab.live(1), "running, Write the letter")).to_be_visible()
    fault = lab.live(1).get_by_text("The display has failed")
    expect(fault).to_be_hidden()

    lab.run_cell(lab.add(rubbish.replace("7", "7, 'reset': True"))).wait_idle()
    expect(fault).to_be_visible()
    lab.signal("write").signal("post")
    expect(lab.static(1)).to_contain_text("3 completed")


def test_a_fault_of_the_display_in_the_kernel_leaves_the_run_alone(lab):
    """D1: what remains is right all the same."""
    broken = "from trigger_nb._view.live import wire\nwire.row = None"
    for step in STEPS:
        lab.signal(step)
    lab.open([JOB, broken, "await letter.run()"]).run_all().wait_idle()
    expect(lab.static(2)).to_contain_text("3 completed")
    expect(lab.output(2).last).to_have_text("'posted'")
    assert steps(lab) == list(STEPS)


def test_a_closed_widget_leaves_the_run_alone_and_run_shows_it_again(lab):
    """D1: as by whoever tidies up all widgets of a notebook."""
    lab.open([JOB, START, "import ipywidgets\nipywidgets.Widget.close_all()"]).run_all().wait_idle()
    again = lab.add("run")
    lab.signal("address").run_cell(again).wait_idle()
    expect(row(lab.live(again), "running, Write the letter")).to_be_visible()

    lab.signal("write").signal("post")
    for cell in (1, again):
        expect(lab.static(cell)).to_contain_text("COMPLETED")
    assert steps(lab) == list(STEPS)
