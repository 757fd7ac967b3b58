"""The life of a run's display: from the cell that starts it to the file that is opened years later.

A file has two outputs: the widget, which lives as long as its kernel, and the snapshot right after it. A page shows one.
"""

from __future__ import annotations

import re

import nbformat
import pytest
from nbconvert import HTMLExporter, MarkdownExporter
from playwright.sync_api import expect

from .lab import UNTIL, Lab, expect_equal
from .letter import AWAIT, JOB, START, STEPS, failing, row, steps

WIDGET = "application/vnd.jupyter.widget-view+json"
TAKEN = r"Last seen running at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"
ERRORS = re.compile("Error displaying widget|Loading widget")


@pytest.fixture
def lab(lab_of_its_own):
    """Pages that are left and loaded, and kernels that are stopped, must not concern the tests that follow."""
    return lab_of_its_own


def until_saved(lab, cell, text):
    """Wait until the snapshot in the file says this."""
    expect_equal(lambda: text in lab.snapshot(cell)["text/plain"], True)


# While it runs ---------------------------------------------------------------------------------------


def test_a_run_is_seen_live_while_its_cell_awaits_and_stays_at_its_end(lab):
    """D1, D4: the file has a snapshot of it right after the widget."""
    run = lab.open([JOB, AWAIT]).run_all().live(1)
    expect(row(run, "running, Look up the address")).to_be_visible()
    expect(run).to_contain_text("RUNNING")
    expect(lab.static(1)).to_be_hidden()

    lab.signal("address")
    expect(row(run, "completed, Look up the address")).to_be_visible()
    expect(row(run, "running, Write the letter")).to_be_visible()

    lab.signal("write").signal("post").wait_idle()
    expect(run).to_contain_text("COMPLETED")
    expect(row(run, "completed, Post it")).to_be_visible()
    expect(lab.static(1)).to_be_hidden()
    widget, tree, value = lab.save().cells[1].outputs
    assert set(widget.data) == {WIDGET, "text/plain"}
    assert widget.data["text/plain"] == ""
    assert set(tree.data) == {"text/html", "text/plain"}
    assert "3 completed" in tree.data["text/html"]
    assert value.data["text/plain"] == "'posted'"


def test_a_run_in_the_background_leaves_its_cell_free_and_is_followed_all_the_same(lab):
    """D1, D4: while other cells run, and while none does."""
    lab.open([JOB, START, "print('free')"]).run_all().wait_idle()
    expect(lab.output(2)).to_have_text("free")
    expect(row(lab.live(1), "running, Look up the address")).to_be_visible()

    lab.signal("address")
    expect(row(lab.live(1), "running, Write the letter")).to_be_visible()

    lab.signal("write").signal("post")
    expect(lab.live(1)).to_contain_text("COMPLETED")
    until_saved(lab, 1, "COMPLETED")


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
        expect(lab.live(cell)).to_contain_text("COMPLETED")
        until_saved(lab, cell, "COMPLETED")


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
    for cell in (1, 2, 3):
        expect(lab.live(cell)).to_contain_text("COMPLETED")
    expect(lab.output(3)).to_contain_text("mine")


# How it ends -----------------------------------------------------------------------------------------


def test_what_somebody_reads_is_not_taken_away(lab):
    """D4: details, filter and focus outlive the end of the run and the cells after it; nothing moves."""
    run = lab.open([JOB, AWAIT, "1 + 1"]).run_cell(0).wait_idle().run_cell(1).live(1)
    lab.signal("address").signal("write")
    row(run, "completed, Look up the address").click()
    run.get_by_role("button", name="completed").first.click()
    expect(run.locator(".tnb-details")).to_contain_text("Output")
    lab.signal("post").wait_idle()
    expect(run).to_contain_text("COMPLETED")
    lab.run_cell(2).wait_idle()
    expect(run.locator(".tnb-details")).to_contain_text("Output")
    expect(run.get_by_role("button", name="completed").first).to_have_attribute("aria-pressed", "true")
    assert lab.complaints() == []


def test_a_canceled_run_says_so_in_every_cell_that_shows_it(lab):
    """D4."""
    lab.open([JOB, START, "run"]).run_all().wait_idle()
    expect(row(lab.live(1), "running, Look up the address")).to_be_visible()
    lab.run_cell(lab.add("run.cancel();")).wait_idle()
    for cell in (1, 2):
        expect(lab.live(cell)).to_contain_text("CANCELED")
        until_saved(lab, cell, "CANCELED")


@pytest.mark.parametrize("end", ["FAILED", "INTERRUPTED"])
def test_what_did_not_complete_keeps_its_buttons_and_its_file_has_the_lines_to_type(lab, end):
    """D4: whatever cell is run next."""
    lab.open([JOB, "await letter.run()", "1 + 1"]).run_cell(0).wait_idle().run_cell(1).signal("address")
    expect(row(lab.live(1), "running, Write the letter")).to_be_visible()
    if end == "FAILED":
        with failing(lab, "write"):
            lab.wait_idle()
    else:
        lab.interrupt().wait_idle()
    expect(lab.live(1)).to_contain_text(end)
    lab.run_cell(2).wait_idle()
    button, line = ("Retry", "run.retry()") if end == "FAILED" else ("Resume", "run.resume()")
    until_saved(lab, 1, end)
    assert line in lab.snapshot(1)["text/html"]

    lab.signal("write").signal("post")
    lab.live(1).get_by_role("button", name=button).click()
    expect(lab.live(1)).to_contain_text("COMPLETED")
    until_saved(lab, 1, "COMPLETED")
    assert steps(lab) == ["address", "write", "write", "post"]


FOUR = (
    UNTIL
    + """
from trigger_nb import job

@job
async def four(payload, io):
    for n in range(4):
        await io.run_task(("step", n), until, f"{payload} {n}", name=f"Step {n}")
"""
)
SHIFTS = """() => {
  window.moved = [];
  window.seen = Infinity;
  let isSeen = false;
  const shifts = new PerformanceObserver(list => {
    for (const entry of list.getEntries()) moved.push([entry.startTime, entry.value]);
  });
  shifts.observe({ type: "layout-shift" });
  const trees = new MutationObserver(() => {
    const wasSeen = isSeen;
    isSeen = document.querySelector(".tnb-live") !== null;
    if (isSeen && !wasSeen) window.seen = performance.now();
  });
  trees.observe(document.body, { childList: true, subtree: true });
  window.unobserve = () => { shifts.disconnect(); trees.disconnect(); };
}"""


def test_the_page_hardly_moves(lab):
    """D4: the sum of layout shifts of a run, with all that its cell shows, and of a replay of it, once it is seen."""
    lab.open([FOUR, "await four.run('a')", "1", "2", "3"]).run_cell(0).wait_idle()
    lab.page.evaluate(SHIFTS)
    lab.run_cell(1)
    for n in range(4):
        expect(row(lab.live(1), f"running, Step {n}")).to_be_visible()
        lab.signal(f"a {n}")
    expect(lab.live(1)).to_contain_text("COMPLETED")
    lab.wait_idle()
    first = lab.page.evaluate("moved.reduce((sum, [, value]) => sum + value, 0)")
    assert 0 < first < 0.1

    # JupyterLab clears the cell for a moment, whatever that shows next: what counts is what comes after that.
    lab.page.evaluate("() => { moved.length = 0; seen = Infinity; }")
    lab.run_cell(1).wait_idle()
    expect(lab.live(1)).to_contain_text(re.compile(r"4\s*replayed"))
    replay = lab.page.evaluate("moved.reduce((sum, [at, value]) => sum + (at > seen ? value : 0), 0)")
    assert lab.page.evaluate("seen < Infinity")
    assert replay < 0.1
    lab.page.evaluate("unobserve()")


def test_the_tree_has_its_height_at_once_when_an_earlier_run_tells_it(lab):
    """D4: room for as many rows as that had, eight at most, and it does not shrink at the end."""
    lab.open([FOUR, "await four.run('a')", "await four.run('b')"]).run_cell(0).wait_idle()
    for n in range(4):
        lab.signal(f"a {n}").signal(f"b {n}" if n != 1 else "-")
    lab.run_cell(1).wait_idle().run_cell(2)
    expect(row(lab.live(2), "running, Step 1")).to_be_visible()
    expect(lab.live(2).get_by_role("treeitem")).to_have_count(2)
    tree = lab.live(2).get_by_role("tree")
    height = tree.bounding_box()["height"]
    assert height == 4 * 24
    lab.signal("b 1").wait_idle()
    expect(lab.live(2).get_by_role("treeitem")).to_have_count(4)
    assert tree.bounding_box()["height"] == height


# Page and kernel come and go -------------------------------------------------------------------------


@pytest.mark.parametrize("code", [START, AWAIT])
def test_after_a_reload_in_the_middle_of_a_run_the_tree_is_live_again(lab, code):
    """D1, D4: also while the cell still awaits it. Its file is readable in any case, and says of when it is."""
    lab.open([JOB, code]).run_all()
    expect(row(lab.live(1), "running, Look up the address")).to_be_visible()
    lab.save()

    running = row(lab.live(1), "running, Look up the address")
    if code == START:
        lab.reload().with_widget(running)
    else:
        lab.reload_while_a_cell_runs(running)
    expect(running).to_be_visible()
    lab.signal("address")
    expect(row(lab.live(1), "running, Write the letter")).to_be_visible()
    lab.signal("write").signal("post")
    expect(lab.live(1)).to_contain_text("COMPLETED")
    expect(lab.static(1)).to_be_hidden()
    lab.wait_idle()
    is_readable_later(lab, 1)


MOVES = {
    "moved": ["notebook:move-cell-down"],
    "deleted and brought back": ["notebook:delete-cell", "notebook:undo-cell-action"],
    "cut and pasted": ["notebook:cut-cell", "notebook:paste-cell-below"],
}


@pytest.mark.parametrize("how", MOVES)
def test_a_cell_that_is_moved_in_the_middle_of_a_run_stays_live(lab, how):
    """D1, D4: JupyterLab forgets the display ids of its outputs, so its snapshot is of when that happened."""
    lab.open([JOB, START, "1"]).run_all().wait_idle()
    expect(row(lab.live(1), "running, Look up the address")).to_be_visible()
    lab.select(1).command_mode()
    for command in MOVES[how]:
        lab.command(command).wait_idle()
    cell = lab.find(START)
    expect(row(lab.live(cell), "running, Look up the address")).to_be_visible()
    expect(lab.static(cell)).to_be_hidden()
    for step in STEPS:
        lab.signal(step)
    expect(lab.live(cell)).to_contain_text("COMPLETED")
    is_readable_later(lab, cell)


def is_readable_later(lab, cell):
    """Save the file, whose snapshot nothing could update, and open it with a kernel that knows nothing of the run."""
    saved = lab.snapshot(cell)
    assert re.search(TAKEN, saved["text/plain"])
    assert "run = letter.client.run('run_" in saved["text/plain"]
    lab.restart_kernel().reload()
    expect(lab.tree(cell)).to_have_count(1)
    expect(lab.tree(cell)).to_contain_text(re.compile(TAKEN))
    expect(lab.page.get_by_text(ERRORS).locator("visible=true")).to_have_count(0)


def test_a_page_that_is_closed_in_the_middle_of_a_run_finds_its_end_when_it_is_opened_again(lab):
    """D1, D4: the run does not need it, and its widget is still there."""
    lab.open([JOB, START]).run_all().wait_idle()
    expect(row(lab.live(1), "running, Look up the address")).to_be_visible()
    lab.save()
    lab.leave()
    for step in STEPS:
        lab.signal(step)
    lab.open(lab.folder / "notebook.ipynb", trusted=True).with_widget(lab.live(1))
    expect(lab.live(1)).to_contain_text("COMPLETED")
    expect(row(lab.live(1), "completed, Post it")).to_be_visible()
    expect(lab.static(1)).to_be_hidden()
    assert steps(lab) == list(STEPS)


QUICK = """
from trigger_nb import job

@job
async def quick(payload, io):
    await io.run_task("a", until, "go")
    open(f"ended {payload}", "w").close()
"""


def test_after_thirty_runs_that_ended_unseen_each_cell_shows_one_tree(lab):
    """D4: the latest widgets are live again; of the others, which are closed, the snapshot is seen.

    The kernel has to tell of twenty widgets within the four seconds that ipywidgets gives it.
    """
    lab.open([UNTIL + QUICK, *(f"quick.start({n}).id" for n in range(30))]).run_all().wait_idle()
    until_saved(lab, 30, "RUNNING")
    lab.leave()
    lab.signal("go")
    expect_equal(lambda: len(list(lab.folder.glob("ended *"))), 30)
    live = lab.page.locator(".tnb-live")
    lab.open(lab.folder / "notebook.ipynb", trusted=True).with_widget(live.nth(19))
    expect(live).to_have_count(20)
    expect(live.filter(has_text="COMPLETED")).to_have_count(20)
    expect(lab.page.get_by_text(ERRORS).locator("visible=true")).to_have_count(0)
    seen = lab.page.locator(":is(.tnb, .tnb-live):visible")
    assert seen.count() == lab.page.locator(".jp-OutputArea:has(.tnb)").count()


def test_after_a_restart_the_cell_replays_what_was_done_in_one_tree(lab):
    """R1, D4: no step runs twice."""
    lab.open([JOB, AWAIT]).run_all().signal("address").signal("write").signal("post").wait_idle()
    lab.restart_kernel().run_all().wait_idle()
    expect(lab.tree(1)).to_have_count(1)
    expect(lab.live(1)).to_contain_text(re.compile(r"3\s*replayed"))  # a chip: its count and its word
    expect(lab.live(1)).to_contain_text("Everything was replayed")
    assert "Everything was replayed" in lab.snapshot(1)["text/html"]
    assert steps(lab) == list(STEPS)


def test_a_tree_whose_kernel_was_killed_says_what_to_do(lab):
    """D3, D4: its status is the last one that was seen, its buttons say why they do nothing; the file is readable."""
    lab.open([JOB, START]).run_all().wait_idle()
    run = lab.live(1)
    expect(row(run, "running, Look up the address")).to_be_visible()
    lab.run_cell(lab.add("os.kill(os.getpid(), 9)"))
    expect(run.locator(".tnb-w")).to_have_text("LAST SEEN RUNNING")
    expect(run).to_contain_text("Run the cell again: what is done is kept.")
    expect(run).to_contain_text("letter.client.run('run_")
    expect(run.get_by_role("button", name="Pause")).to_have_attribute("title", "Not connected to a kernel.")
    quiet = lab.page.evaluate("getComputedStyle(document.querySelector('.tnb-live .tnb-a')).color")
    expect(run.locator(".tnb-w")).to_have_css("color", quiet)
    dialog = lab.page.locator(".jp-Dialog")
    dialog.get_by_role("button", name="Ok").click()
    dialog.wait_for(state="detached")
    lab.wait_idle()  # JupyterLab has begun to restart it, and loses track of a kernel that is restarted meanwhile
    is_readable_later(lab, 1)


@pytest.mark.parametrize("how", ["shut down", "restarted"])
def test_a_kernel_that_is_stopped_leaves_a_tree_that_says_so(lab, how):
    """D3, D4: it may still tell that it interrupts the run; the cell run again goes on with it, in one tree."""
    lab.open([JOB, START]).run_all().wait_idle()
    expect(row(lab.live(1), "running, Look up the address")).to_be_visible()
    if how == "shut down":
        lab.stop_kernel()
    else:
        lab.restart_kernel()
    expect(lab.live(1).locator(".tnb-w")).to_have_text(re.compile("LAST SEEN RUNNING|INTERRUPTED"))
    expect(lab.live(1)).to_contain_text("Not connected to the kernel")
    expect(lab.live(1)).to_contain_text("Run the cell again: what is done is kept.")
    assert re.search(f"{TAKEN}|INTERRUPTED", lab.snapshot(1)["text/plain"])
    if how == "restarted":
        lab.signal("address").run_all().wait_idle()
        expect(row(lab.live(1), "running, Write the letter")).to_be_visible()
        expect(lab.tree(1)).to_have_count(1)


@pytest.mark.parametrize("is_trusted", [True, False])
@pytest.mark.parametrize("kernel", [True, False])
def test_what_was_saved_is_readable_when_it_is_opened_again(lab, saved, kernel, is_trusted):
    """D4: a COMPLETED run, a FAILED one and one under way; one tree in each cell, and no error of a widget.

    JupyterLab strips the rules from a notebook that is not trusted, and draws no widgets there.
    """
    if not is_trusted:  # as from somebody else: the server has not seen it before
        content = nbformat.read(saved, as_version=4)
        content.cells[0].source += f"\n# from elsewhere, kernel: {kernel}"
        saved = lab.folder / "from-elsewhere.ipynb"
        nbformat.write(content, saved)
    lab.open(saved, kernel=kernel, trusted=is_trusted)
    said = {1: ["COMPLETED", "Post it"], 2: ["FAILED", "write failed", "run.retry()"], 3: [re.compile(TAKEN)]}
    for cell, texts in said.items():
        lab.bring(cell, lab.tree(cell).first)
        expect(lab.tree(cell)).to_have_count(1)
        expect(lab.live(cell)).to_have_count(0)
        for text in texts:
            expect(lab.tree(cell)).to_contain_text(text)
    lab.scroll_to(1)
    expect(lab.page.get_by_text(ERRORS).locator("visible=true")).to_have_count(0)
    assert (lab.page.locator(".tnb style").count() > 0) == is_trusted
    if not is_trusted:
        assert lab.cell(1).locator(".jp-OutputArea-child").first.bounding_box()["height"] < 24


def test_nbconvert_keeps_what_was_saved(page, saved, recwarn):
    """D4: to HTML and to Markdown, and it warns of nothing."""
    exported, _ = HTMLExporter().from_filename(str(saved))
    document, _ = MarkdownExporter().from_filename(str(saved))
    assert not [str(each.message) for each in recwarn if "not able to be represented" in str(each.message)]
    for text in (exported, document):
        assert "COMPLETED" in text
        assert "FAILED" in text
        assert "write failed" in text
        assert "Write the letter" in text
        assert re.search(TAKEN, text)
    page.set_content(exported)
    expect(page.locator(".tnb:visible")).to_have_count(3)
    expect(page.get_by_text("write failed").first).to_be_visible()


@pytest.fixture(scope="module")
def saved(server, context, lab_tab):
    """A notebook file with a COMPLETED run in cell 1, a FAILED one in cell 2, and one under way in cell 3."""
    lab = Lab(server, context, "saved", tab=lab_tab)
    fails = 'run = letter.start({"to": "Ben"}); await run'
    lab.signal("address").signal("write").signal("post").open([JOB, AWAIT]).run_all().wait_idle()
    with failing(lab, "write"):
        lab.run_cell(lab.add(fails)).wait_idle()
    (lab.folder / "post").unlink()
    lab.run_cell(lab.add('letter.start({"to": "Chen"})')).wait_idle()
    for cell in (1, 2, 3):
        expect(lab.live(cell)).to_be_visible()
    until_saved(lab, 3, "Last seen running")
    lab.close()
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
    until_saved(lab, 1, "3 completed")


def test_a_fault_of_the_display_in_the_kernel_leaves_the_run_alone(lab):
    """D1: the widget says which rows it could not draw; what remains in the file is right all the same."""
    broken = "from trigger_nb._view.live import wire\nwire.row = None"
    for step in STEPS:
        lab.signal(step)
    lab.open([JOB, broken, "await letter.run()"]).run_all().wait_idle()
    assert "3 completed" in lab.snapshot(2)["text/html"]
    expect(lab.live(2)).to_contain_text(re.compile(r"3\s*completed"))  # a chip: its count and its word
    expect(lab.live(2).get_by_text("This cannot be displayed")).to_have_count(3)
    # The log of the fault may come before it or after it.
    expect(lab.output(2).filter(has_text=re.compile(r"^\s*'posted'\s*$"))).to_have_count(1)
    assert steps(lab) == list(STEPS)


def test_a_closed_widget_leaves_the_run_alone_and_run_shows_it_again(lab):
    """D1: as by whoever tidies up all widgets of a notebook."""
    lab.open([JOB, START, "import ipywidgets\nipywidgets.Widget.close_all()"]).run_all().wait_idle()
    again = lab.add("run")
    lab.signal("address").run_cell(again).wait_idle()
    expect(row(lab.live(again), "running, Write the letter")).to_be_visible()

    lab.signal("write").signal("post")
    expect(lab.tree(1)).to_contain_text("COMPLETED")  # its widget was closed
    until_saved(lab, again, "COMPLETED")
    assert steps(lab) == list(STEPS)
