"""`client.runs()`: runs are found, looked into and acted on, by mouse and by keyboard."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, expect

from .lab import Lab, expect_equal
from .letter import JOB, row, steps

# The oldest first: a letter that was posted, a bill that failed, a letter that is being written.
RUNS = """
@client.job(id="bill", name="Send a bill")
async def bill(payload, io):
    return await io.run_task("sum", step, "sum", name="Add it up")

await letter.run({"to": "Ana"}, display=False)
try:
    await bill.run({"to": "Ben"}, display=False)
except ConnectionError:
    pass
os.remove("post")
letter.start({"to": "Chen"}, display=False)
while os.path.exists("steps") and open("steps").read().split()[-1] != "post":
    await asyncio.sleep(0.01)
"""
MANY = """
@client.job
async def quick(payload, io):
    return await io.run_task("n", lambda: payload)

for n in range(60):
    await quick.run(n, display=False)
"""


def listed(lab: Lab) -> Locator:
    """The three runs, listed under cell 1."""
    for file in ("address", "write", "post", "sum", "sum fails"):
        lab.signal(file)
    lab.open([JOB + RUNS, "client.runs()"]).run_all().wait_idle()
    expect(lines(lab.live(1))).to_have_count(3)
    return lab.live(1)


def lines(runs: Locator) -> Locator:
    """One for each run that is listed."""
    return runs.locator("tbody tr:not(.tnb-runs-ask)")


def line(runs: Locator, text: str) -> Locator:
    return lines(runs).filter(has_text=text)


def button(place: Locator, name: str) -> Locator:
    return place.get_by_role("button", name=name, exact=True)


def test_the_newest_run_is_the_first_and_filters_find_others(lab):
    """Issue 3, Runs list: job, payload in short, status and counts in a line. By job, by status, and by both."""
    runs = listed(lab)
    for place, told in enumerate(
        [
            ("Write to Ana", "Chen", "RUNNING", "2 tasks"),
            ("Send a bill", "Ben", "FAILED", "1 failed"),
            ("Write to Ana", '"Ana"', "COMPLETED", "3 tasks"),
        ]
    ):
        for text in told:
            expect(lines(runs).nth(place)).to_contain_text(text)

    job, status = runs.get_by_label("Job"), runs.get_by_label("Status", exact=True)
    job.select_option("letter")
    expect(lines(runs)).to_have_count(2)
    expect(line(runs, "Send a bill")).to_have_count(0)
    status.select_option("COMPLETED")
    expect(lines(runs)).to_have_count(1)
    status.select_option("FAILED")
    expect(runs.get_by_text("No run matches the filter")).to_be_visible()
    job.select_option("")
    expect(lines(runs)).to_have_count(1)
    expect(lines(runs)).to_contain_text("Send a bill")


def test_many_runs_have_pages(lab):
    """Issue 3, Runs list: 50 a page."""
    runs = lab.open([JOB + MANY, "client.runs()"]).run_all().wait_idle().live(1)
    expect(runs.get_by_text("1-50 of 60")).to_be_visible()
    expect(lines(runs)).to_have_count(50)
    expect(lines(runs).first).to_contain_text("59")
    expect(button(runs, "Newer")).to_be_disabled()

    button(runs, "Older").click()
    expect(runs.get_by_text("51-60 of 60")).to_be_visible()
    expect(lines(runs)).to_have_count(10)
    expect(button(runs, "Older")).to_be_disabled()
    button(runs, "Newer").click()
    expect(lines(runs)).to_have_count(50)


def test_the_chosen_run_has_its_tree_below_which_is_live(lab):
    """Issue 3, Runs list: with its actions; another one takes its place."""
    runs = listed(lab)
    line(runs, "Chen").click()
    expect(row(runs, "completed, Write the letter")).to_be_visible()
    expect(row(runs, "running, Post it")).to_be_visible()
    expect(button(runs, "Pause")).to_be_enabled()
    lab.signal("post")
    expect(row(runs, "completed, Post it")).to_be_visible()
    expect(line(runs, "Chen")).to_contain_text("COMPLETED")

    line(runs, "Ben").click()
    expect(row(runs, "failed, Add it up")).to_be_visible()
    expect(runs.get_by_role("treeitem")).to_have_count(1)
    button(runs, "Close this run").click()
    expect(runs.get_by_role("tree")).to_have_count(0)


def test_a_task_of_the_chosen_run_is_run_again_from_there(lab):
    """D3: what is asked and ordered goes to the run that is open."""
    runs = listed(lab)
    line(runs, '"Ana"').click()
    row(runs, "completed, Write the letter").click()
    button(runs, "Rerun from here").click()
    button(runs, "Run 2 tasks again").click()
    expect(row(runs, "running, Post it")).to_be_visible()
    expect_equal(lambda: steps(lab)[-2:], ["write", "post"])
    assert steps(lab).count("address") == 2


def test_retry(lab):
    """D3: only where something failed; what failed runs again."""
    runs = listed(lab)
    expect(button(line(runs, "Chen"), "Retry")).to_be_disabled()
    (lab.folder / "sum fails").unlink()
    button(line(runs, "Ben"), "Retry").click()
    expect(line(runs, "Ben")).to_contain_text("COMPLETED")
    assert steps(lab).count("sum") == 2


def test_run_again(lab):
    """I1: a new run of the same payload, which is at the top.

    Goal 1: it repeats what its tasks do to the outside; the second of two quick clicks must not be the yes to it.
    """
    runs = listed(lab)
    mouse = lab.page.mouse
    button(line(runs, '"Ben"'), "Run again").click()
    mouse.down(click_count=2)
    mouse.up(click_count=2)
    expect(runs.get_by_text("Run all tasks again, in a new run")).to_be_visible()
    expect(lines(runs)).to_have_count(3)
    runs.press("Escape")
    expect(runs.locator(".tnb-runs-ask")).to_have_count(0)

    button(line(runs, '"Ana"'), "Run again").click()
    button(runs.locator(".tnb-runs-ask"), "No").click()
    button(line(runs, '"Ana"'), "Run again").click()
    expect(runs.get_by_text("Run all tasks again, in a new run")).to_be_visible()
    button(runs.locator(".tnb-runs-ask"), "Run again").click()
    expect(lines(runs)).to_have_count(4)
    expect(lines(runs).first).to_contain_text('"Ana"')
    expect(runs.get_by_text("Started run_")).to_be_visible()
    lab.signal("post")
    expect(lines(runs).first).to_contain_text("COMPLETED")
    assert steps(lab).count("address") == 3


def test_delete_asks_first(lab):
    """D3: a run that is under way is not deleted."""
    runs = listed(lab)
    expect(button(line(runs, "Chen"), "Delete")).to_be_disabled()
    button(line(runs, "Ben"), "Delete").click()
    expect(runs.get_by_text("with its 1 task?")).to_be_visible()
    button(runs, "Keep").click()
    expect(runs.get_by_text("with its 1 task?")).to_be_hidden()
    expect(lines(runs)).to_have_count(3)

    button(line(runs, "Ben"), "Delete").click()
    button(runs.locator(".tnb-runs-ask"), "Delete").click()
    expect(lines(runs)).to_have_count(2)
    left = lab.add("len(client.runs())")
    lab.run_cell(left).wait_idle()
    expect(lab.output(left)).to_have_text("2")


def test_all_of_it_by_keyboard(lab):
    """D2: and no shortcut of the notebook is triggered."""
    runs = listed(lab)
    cells = lab.cell_count()
    press = lab.page.keyboard.press
    lines(runs).first.focus()
    press("ArrowDown")
    expect(line(runs, "Ben")).to_be_focused()
    press("b")
    press("Enter")
    expect(row(runs, "failed, Add it up")).to_be_visible()
    press("Escape")
    expect(runs.get_by_role("tree")).to_have_count(0)
    press("End")
    expect(line(runs, '"Ana"')).to_be_focused()
    press("Delete")
    expect(button(runs, "Keep")).to_be_focused()
    press("Escape")
    expect(line(runs, '"Ana"')).to_be_focused()
    press("Home")
    expect(line(runs, "Chen")).to_be_focused()
    assert lab.cell_count() == cells


def test_it_stays_alive_beside_other_cells_and_the_file_has_a_table(lab):
    """D4: nothing that somebody uses is taken away; the table says of when it is."""
    runs = listed(lab)
    line(runs, "Ben").click()
    expect(row(runs, "failed, Add it up")).to_be_visible()
    runs.get_by_label("Job").select_option("bill")
    lab.run_cell(lab.add("1 + 1")).wait_idle()
    expect(lines(runs)).to_have_count(1)
    expect(row(runs, "failed, Add it up")).to_be_visible()
    table = lab.snapshot(1)
    for told in ("Chen", "Ben", "Ana", "COMPLETED"):
        assert told in table["text/plain"]
    assert re.search(r"As of \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", table["text/html"])


def test_after_a_reload_the_list_stays_what_it_is_and_without_its_kernel_it_is_a_table(lab):
    """D4."""
    listed(lab)
    lab.save()
    lab.reload().with_widget(lab.live(1))
    expect(lines(lab.live(1))).to_have_count(3)
    lab.run_cell(lab.add("1 + 1")).wait_idle()
    lab.live(1).get_by_label("Job").select_option("bill")
    expect(lines(lab.live(1))).to_have_count(1)

    lab.restart_kernel().reload()
    expect(lab.tree(1)).to_have_count(1)
    expect(lab.tree(1).locator("tbody tr")).to_have_count(3)
    expect(lab.live(1)).to_have_count(0)


def test_an_empty_store_says_so(lab):
    """Issue 3, Runs list: there is nothing to filter; nor in the file."""
    runs = lab.open([JOB, "client.runs()"]).run_all().wait_idle().live(1)
    expect(runs.get_by_text("No runs yet")).to_be_visible()
    expect(runs.get_by_label("Job")).to_be_hidden()
    assert lab.snapshot(1)["text/plain"] == "no runs"
