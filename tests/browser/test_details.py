"""The details of a task on an empty page: the kernel's side of them is some lines of JavaScript, with sections made in Python."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import Locator, Page, expect

from trigger_nb import TaskStatus
from trigger_nb._records.records import RunRecord, TaskRecord
from trigger_nb._view.live import widget, wire
from trigger_nb._view.model.run_model import RunModel
from trigger_nb._view.render import details

from .lab import expect_equal
from .test_alone import RUN, SHOW

NOW = 1_700_000_000  # for the kernel, when the page is opened
FRAMES = [
    "cell 3, line 7\n    main()",
    *["cell 3, line 2\n    walk(child)"] * 12,
    "cell 3, line 1\n    raise",
]
ERROR = {
    "type": "shop.CardError", "message": "declined by the bank", "notes": ["ask the bank"], "traceback": FRAMES,
    "cause": {"type": "TimeoutError", "message": "no answer", "traceback": ["bank.py, line 9\n    a needle"]},
}  # fmt: skip
PAST = [
    {"number": 1, "began": NOW - 300, "took": 2.0, "type": "OSError", "message": "busy", "next_at": NOW - 200},
    {"number": 2, "began": NOW - 200, "took": 3.0, "type": "OSError", "message": "gone", "next_at": NOW + 50},
]  # fmt: skip
RECORDS = [
    TaskRecord(
        path="charge", status=TaskStatus.ERRORED, error=ERROR, started=1, started_at=NOW - 400, ended_at=NOW - 190,
        params=[{"amount": 5, "sizes": list(range(60))}], attempt=2,
        prints=[["out", "one\ntwo\n", str(NOW - 9)], ["log", "ERROR:shop:no key\nINFO:shop:on\n", str(NOW - 3)]],
    ),
    TaskRecord(
        path="invite", status=TaskStatus.WAITING, error=ERROR, started=2, started_at=NOW - 300, next_at=NOW + 50,
        attempt=2, attempts=PAST, name="Invite the team",
    ),
    TaskRecord(path="fetch", started=3, started_at=NOW - 90, ended_at=NOW - 88, value={"name": "Ana Silva"}),
]  # fmt: skip
KERNEL = """
  window.number ??= 1;
  if (message.t === "details" && message.on) say({ n: ++number, details: { [message.i]: TOLD[message.i] } });
"""


@pytest.fixture
def page(page):
    page.set_content(f"<!doctype html><style>{widget.styles()}</style><body></body>")
    return page


def show(page: Page, records: list[TaskRecord] = RECORDS, *, width: int = 1000) -> Locator:
    """A run of these records, in a widget of this width; several may be in the page."""
    model = RunModel(RunRecord(id="run_1", status="RUNNING", started_at=NOW - 400), records)
    rows = [{"i": at, **wire.row(row, NOW)} for at, row in enumerate(model.rows.values())]
    told = [{"sections": details.as_json(details.sections(model, row))} for row in model.rows.values()]
    run = {
        **RUN,
        "base": NOW,
        "status": "RUNNING",
        "state": "running",
        "ended": False,
        "tally": {"failed": 1},
    }
    first = {"n": 1, "now": NOW, "run": run, "rows": wire.packed(rows)}
    page.evaluate("first => { window.first = first }", first)
    page.evaluate("width => { document.body.style.width = `${width}px` }", width)
    kernel = KERNEL.replace("TOLD", json.dumps(told))
    page.evaluate(SHOW, {"module": widget.module(), "kind": "run", "kernel": kernel})
    return page.get_by_role("region", name="Run Report").last


def opened(run: Locator, name: str) -> Locator:
    """The open details of a task."""
    run.get_by_role("treeitem", name=name).click()
    pane = run.get_by_role("region", name="Details of")
    expect(pane.get_by_text("Idempotency key")).to_be_visible()
    return pane


def section(pane: Locator, label: str) -> Locator:
    return pane.locator("li").filter(has=pane.page.get_by_text(label, exact=True))


# --- what they tell -------------------------------------------------------------------------------------------------


def test_the_traceback_of_a_failed_task_is_open_and_folded(page):
    """D2: it is the reason for looking. That of the last error of a task that goes on is closed."""
    pane = opened(show(page), "failed, charge")
    traceback = section(pane, "Error").locator("pre").first
    expect(traceback).to_be_visible()
    expect(traceback).to_contain_text("… repeated 11 times")
    expect(section(pane, "Error").locator("pre").nth(1)).to_be_hidden()  # of the cause
    expect(section(pane, "Error")).to_contain_text("Caused by TimeoutError: no answer")
    pane = opened(page.get_by_role("region", name="Run Report"), "retrying, Invite the team")
    expect(section(pane, "Last error").locator("pre").first).to_be_hidden()


def test_attempts_with_start_duration_error_and_the_next_one(page):
    """D2: times are relative and go on; the local time is their title."""
    pane = opened(show(page), "retrying, Invite the team")
    first, second = section(pane, "Attempts").locator("ul li").all()
    expect(first).to_have_text("failed1 · 5 min ago · took 2.0 s · OSError: busy")
    expect(second).to_contain_text("2 · 3 min ago · took 3.0 s · OSError: gone · next attempt in ")
    moments = second.locator("time")
    assert re.search(r"20\d\d.*:\d\d:\d\d", moments.first.get_attribute("title"))
    expect(moments.first).to_have_attribute("datetime", "2023-11-14T22:10:00.000Z")
    text = moments.last.inner_text()
    expect(moments.last).not_to_have_text(text)  # no message comes
    expect(section(pane, "Next attempt")).to_contain_text("in ")


def test_printed_lines_have_times_and_levels_that_are_not_part_of_the_text(page):
    """D2: a time stands where the second changes."""
    pane = opened(show(page), "failed, charge")
    printed = section(pane, "Printed").locator("pre")
    expect(printed).to_have_text("one\ntwo\nERROR:shop:no key\nINFO:shop:on\n")
    stamps = printed.locator(".tnb-stamp").evaluate_all(
        "stamps => stamps.map(stamp => [stamp.dataset.time, getComputedStyle(stamp, '::before').content])"
    )
    local = page.evaluate(
        "at => at.map(each => new Date(each * 1000).toTimeString().slice(0, 8))", [NOW - 9, NOW - 3]
    )
    assert stamps == [[time, f'"{time}"'] for time in local]
    expect(printed.locator(".tnb-bad")).to_have_text("ERROR:shop:no key\n")
    expect(printed).to_have_css("padding-left", "68px")  # room for the times


def test_words_are_not_cut(page):
    """D2: JupyterLab says `word-break: break-all` for each `pre`."""
    page.add_style_tag(content=".jp-OutputArea-output pre { word-break: break-all; }")
    page.evaluate("document.body.className = 'jp-OutputArea-output'")
    pane = opened(show(page), "failed, charge")
    for pre in pane.locator("pre").all():
        expect(pre).to_have_css("word-break", "normal")
    expect(section(pane, "Params").locator("pre")).to_contain_text("0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11")


def test_labels_are_not_cut(page):
    pane = opened(show(page, width=500), "completed, fetch")
    label = section(pane, "Idempotency key").locator("b")
    one_line = label.evaluate("label => label.getClientRects().length")
    assert one_line == 1


def test_times_of_a_damaged_record_do_not_break_the_details(page):
    record = TaskRecord(path="odd", started=4, started_at=2.0**61, ended_at=NOW)
    pane = opened(show(page, [record]), "odd")
    expect(section(pane, "Started")).to_contain_text("2305843009213694000 s")


JOB = """
import logging
from trigger_nb import job

@job
async def shop(payload, io):
    async def charge(sizes):
        print("charging")
        logging.getLogger("shop").warning("only one left")
        raise ValueError("declined")
    io.logger.warn("late")
    await io.run_task("charge", charge, list(range(100)))
"""


def test_in_jupyterlab(lab):
    """D2: whole words, letters that are no shortcuts of the notebook, and the same in what remains."""
    lab.open([JOB, "await shop.run()", "run = shop.runs()[0]"]).run_all().wait_idle()
    run = lab.live(1)
    pane = opened(run, "failed, charge")
    params = section(pane, "Params").locator("pre")
    expect(params).to_have_css("word-break", "normal")
    expect(section(pane, "Printed")).to_contain_text("WARNING:shop:only one left")
    expect(section(pane, "Printed").locator(".tnb-stamp")).not_to_have_count(0)
    before = width(pane)
    separator(run).press("ArrowLeft")
    separator(run).press("b")  # would add a cell
    assert width(pane) > before
    pane.get_by_role("button", name="Copy path").press("Enter")
    expect(pane.get_by_text("Copied", exact=True)).to_be_attached()
    assert lab.page.locator(".jp-Notebook .jp-Cell").count() == 3
    assert lab.complaints() == []

    page = lab.without_widgets().static(1)
    expect(page.locator("pre").first).to_be_visible()
    for pre in page.locator("pre").all():
        expect(pre).to_have_css("word-break", "normal")
    expect(page.get_by_text("WARNING:shop:only one left")).to_be_attached()


# --- copy -----------------------------------------------------------------------------------------------------------


def pasted(page: Page) -> str:
    """What is in the clipboard."""
    page.evaluate("document.body.append(Object.assign(document.createElement('textarea'), { id: 'paste' }))")
    page.locator("#paste").focus()
    page.keyboard.press("Control+V")
    text = page.locator("#paste").input_value()
    page.evaluate("document.querySelector('#paste').remove()")
    return text


@pytest.mark.parametrize("secure", [True, False], ids=["clipboard", "without it"])
def test_what_is_copied(page, secure):
    """D2: error with traceback, params, output, path, id, and the line of code; by mouse and keyboard.

    A page that came by plain http has no `navigator.clipboard`.
    """
    if secure:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.route(
            "https://notebook.test/",
            lambda route: route.fulfill(body="<!doctype html>", content_type="text/html"),
        )
        page.goto("https://notebook.test/")
        page.add_style_tag(content=widget.styles())
    assert page.evaluate("'clipboard' in navigator") == secure
    pane = opened(run := show(page), "failed, charge")
    pane.get_by_role("button", name="Copy error").click()
    expect(pane.locator("[role=status].tnb-away")).to_have_text("Copied")
    error = pasted(page)
    assert error.startswith("Traceback (most recent call last):\ncell 3, line 7\n")
    assert "CardError: declined by the bank\nask the bank\n" in error
    assert error.endswith(
        "Caused by\nTraceback (most recent call last):\nbank.py, line 9\n    a needle\nTimeoutError: no answer"
    )
    for name, text in [("path", "charge"), ("in code", "run.task('charge')"), ("printed", "one\ntwo\nERROR")]:
        button = pane.get_by_role("button", name=f"Copy {name}")
        button.focus()
        page.keyboard.press("Enter")
        expect(button).to_have_attribute("title", "Copied")
        expect(button).to_be_focused()
        assert pasted(page).startswith(text)
    pane = opened(run, "completed, fetch")
    pane.get_by_role("button", name="Copy output").click()
    assert pasted(page) == '{"name": "Ana Silva"}'
    expect(pane.get_by_role("button", name="Copy idempotency key")).to_be_visible()


def test_copying_that_is_refused_is_told(page):
    page.evaluate("document.execCommand = () => false")
    pane = opened(show(page), "completed, fetch")
    pane.get_by_role("button", name="Copy path").click()
    expect(pane.locator("[role=status].tnb-away")).to_contain_text("Could not copy")


# --- size -----------------------------------------------------------------------------------------------------------


def separator(run: Locator) -> Locator:
    return run.get_by_role("separator", name="Size of the details")


def width(element: Locator) -> float:
    return element.bounding_box()["width"]


def drag(page: Page, place: Locator, x: float, y: float) -> None:
    box = place.bounding_box()
    at = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(*at)
    page.mouse.down()
    page.mouse.move(at[0] + x / 2, at[1] + y / 2)
    page.mouse.move(at[0] + x, at[1] + y)
    page.mouse.up()


def test_details_are_resized_beside_the_tree(page):
    """D2: by keyboard and pointer; a double click resets. The size is that of all runs in the page."""
    run = show(page)
    expect(separator(run)).to_be_hidden()
    pane = opened(run, "failed, charge")
    bar = separator(run)
    expect(bar).to_have_attribute("aria-orientation", "vertical")
    expect(bar).to_have_attribute("aria-valuenow", "42")
    before = width(pane)
    drag(page, bar, -100, 0)
    expect_equal(lambda: width(pane), pytest.approx(before + 100, abs=2))
    bar.press("ArrowRight")
    expect_equal(lambda: width(pane), pytest.approx(before + 80, abs=2))
    bar.press("End")
    expect(bar).to_have_attribute("aria-valuenow", "80")
    bar.press("ArrowLeft")
    expect(bar).to_have_attribute("aria-valuenow", "80")

    other = show(page)
    opened(other, "failed, charge")
    expect(separator(other)).to_have_attribute("aria-valuenow", "80")
    bar.dblclick()
    expect(bar).to_have_attribute("aria-valuenow", "42")
    assert width(pane) == pytest.approx(before, abs=1)


def test_details_are_resized_below_the_tree(page):
    run = show(page, width=600)
    pane = opened(run, "failed, charge")
    bar = separator(run)
    expect(bar).to_have_attribute("aria-orientation", "horizontal")
    expect(bar).to_have_attribute("aria-valuenow", "440")
    drag(page, bar, 0, -200)
    expect_equal(lambda: pane.bounding_box()["height"], pytest.approx(240, abs=2))
    bar.press("ArrowDown")
    expect_equal(lambda: pane.bounding_box()["height"], pytest.approx(264, abs=2))
    bar.press("Enter")
    expect(bar).to_have_attribute("aria-valuenow", "440")


def test_details_take_the_whole_widget(page):
    """D2: Escape gives the tree back, then closes the details."""
    run = show(page)
    pane = opened(run, "failed, charge")
    expand = pane.get_by_role("button", name="Expand details")
    expand.click()
    expect(expand).to_have_attribute("aria-pressed", "true")
    expect(run.get_by_role("tree")).to_have_count(0)
    expect(separator(run)).to_be_hidden()
    assert width(pane) > 900
    page.keyboard.press("Escape")
    expect(run.get_by_role("tree")).to_be_visible()
    expect(pane).to_be_visible()
    page.keyboard.press("Escape")
    expect(pane).to_be_hidden()


# --- finding and selecting ------------------------------------------------------------------------------------------


def test_found_text_is_marked_and_what_hides_it_is_opened(page):
    """D2: in outputs, prints and errors, also in a traceback that is folded."""
    run = show(page)
    pane = opened(run, "failed, charge")
    marked = lambda: pane.locator("mark").all_inner_texts()
    find(run, "WALK(c")
    expect_equal(marked, ["walk(c"])
    find(run, "needle")
    expect(pane.locator("mark")).to_be_visible()
    expect_equal(marked, ["needle"])
    find(run, "[a")  # no pattern
    expect_equal(marked, [])
    find(run, "")
    expect(section(pane, "Error").locator("pre").nth(1)).to_contain_text("a needle")
    assert section(pane, "Params").locator("pre").evaluate("pre => pre.childNodes.length") == 1


def find(run: Locator, text: str) -> None:
    """Type into the filter; it appears only in long runs, and works in all."""
    run.locator(".tnb-filter").evaluate(
        "(input, text) => { input.value = text; input.dispatchEvent(new Event('input')); }", text
    )


def test_dragging_over_an_error_selects_its_text_and_opens_nothing(page):
    run = show(page)
    error = run.get_by_role("treeitem", name="failed, charge").locator(".tnb-e")
    box = error.bounding_box()
    at = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 2, at)
    page.mouse.down()
    page.mouse.move(box["x"] + 80, at, steps=4)
    page.mouse.up()
    assert "CardError" in page.evaluate("getSelection().toString()")
    expect(run.get_by_role("region", name="Details of")).to_be_hidden()
    assert not page.evaluate("sent.some(message => message.t === 'details')")
    opened(run, "failed, charge")  # a click without dragging does
