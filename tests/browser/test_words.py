"""A run on an empty page, live and static side by side: what both say, what the kernel is asked, and what is found."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.support.views import Clock, T, run, task
from tests.view.test_stream import Controls
from trigger_nb import Reason, RunStatus, TaskStatus
from trigger_nb._records.feed import Feed, Hinted, Progressed, Saved, Seen
from trigger_nb._records.records import TaskRecord
from trigger_nb._view.live import widget
from trigger_nb._view.live.stream import Stream
from trigger_nb._view.model.rows import Turn
from trigger_nb._view.model.run_model import RunModel
from trigger_nb._view.model.standstill import Standstill
from trigger_nb._view.render import html

from .tab import expose

SHOW = """async ({ module, first }) => {
  const url = URL.createObjectURL(new Blob([module], { type: "text/javascript" }));
  const entry = (await import(url)).default();
  const listeners = new Set();
  const model = {
    get: name => ({ kind: "run", first, layout: {} })[name],
    send: async message => {
      if (message.t === "look") (window.asked ??= []).push(performance.now());
      for (const answer of await hear(message)) listeners.forEach(listener => listener(answer));
    },
    on: (event, listener) => event === "msg:custom" && listeners.add(listener),
    off: (event, listener) => listeners.delete(listener),
  };
  entry.initialize({ model });
  entry.render({ model, el: document.querySelector("#live") });
}"""
# The visible text of an element, without what only the eye sees and what separates parts where there are no styles.
SAID = """(element, without) => {
  const copy = element.cloneNode(true);
  copy.querySelectorAll(`[hidden], .tnb-s, .tnb-x, .tnb-v, .tnb-chev, .tnb-tl, .tnb-buttons, button, ${without}`)
    .forEach(each => each.remove());
  for (const each of copy.querySelectorAll("*")) each.append(" ");
  return copy.textContent.replaceAll(/[·:,]/g, " ").split(/\\s+/).filter(Boolean).join(" ");
}"""


class Kernel:
    """A model with its stream, as a pump has it, for one page."""

    def __init__(self, model: RunModel) -> None:
        self.model = model
        self.feed = Feed()
        self.heard: list[dict[str, Any]] = []
        self.stream = Stream(model, self.feed.subscribe(), Controls())

    def hear(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        """The answers to a message of the page."""
        self.heard.append(message)
        match message:
            case {"t": "hello", "n": number}:
                self.stream.hello(number)
            case {"t": "details", "i": index, "on": on}:
                self.stream.watch(index, on)
            case {"t": "find", "text": text}:
                self.stream.look_for(text)
            case {"t": "look"}:
                self.stream.look()
        answers: list[dict[str, Any]] = []
        while (answer := self.stream.next()) is not None or self.stream.behind:
            answers += [] if answer is None else [answer]
        return answers


@pytest.fixture
def page(page):
    page.set_viewport_size({"width": 1400, "height": 1000})
    page.set_content(
        f"<!doctype html><style>{widget.styles()} #live .tnb-tree {{ max-height: none !important }}</style>"
        "<body><div id=live></div><div id=static></div></body>"
    )
    return page


def show(page: Page, model: RunModel, *, now: float | None = T + 100) -> Kernel:
    """Show a run live. The page's clock stands still at `now`; None: it goes on."""
    kernel = Kernel(model)
    expose(page, "hear", kernel.hear)
    if now is not None:
        page.evaluate("now => { Date.now = () => now }", now * 1000)
    page.evaluate(SHOW, {"module": widget.module(), "first": kernel.stream.first()})
    expect(page.locator("#live .tnb-h")).to_be_visible()
    return kernel


ERROR = {
    "type": "CardError",
    "message": "402 card_declined",
    "notes": ["ask the bank"],
    "traceback": ["cell 3, line 7, in charge", "    raise CardError"],
    "cause": {"type": "HTTPStatusError", "message": "402"},
}


def rows_of_every_kind() -> tuple[list[TaskRecord], dict[str, Seen]]:
    """Records of which each row has another part, and what this pass has seen of them."""
    properties = [
        {"label": "User", "text": "u1"},
        {"label": "CRM", "text": "7", "url": "https://crm.example.org"},
    ]
    records = [
        task("fetch", 1, name="Fetch user", icon="user", properties=properties, value={"id": 1}),
        task("edited", 2, name="Edited"),
        task("unstored", 3, form="unstored", value={"type": "Connection"}),
        task("gone", 4),
        task("parent", 5, name="Parent"),
        task("parent/one", 6, attempt=3),
        task("parent/two", 7),
        task("parent/two/deep", 8),
        task("long", 9, name="A name that is long " * 20),
        task("~.1", 10, kind="log", name="careful", level="warn"),
        task("~.2", 11, kind="log", name="in detail", level="debug"),
        task("~.3", 12, kind="log", name="for your information", level="info"),
        task("charge", 13, TaskStatus.ERRORED, name="Charge", error=ERROR, params={"amount": 5}),
        task("canceled", 14, TaskStatus.CANCELED),
        task("forced", 15, forced=True),
        task("map", 16, kind="map", name="Embed", tally={"items": 3, "failed": 1}, ended_at=T + 18),
        task("map/a", 17),
        task("map/b", 18, TaskStatus.ERRORED, error={"type": "ValueError", "message": "no text"}),
        task("map/c", 19),
    ]
    seen = {record.path: Seen(record.path, Reason.NEW) for record in records if record.path != "gone"}
    seen["fetch"] = Seen("fetch", Reason.REPLAYED)
    seen["edited"] = Seen("edited", Reason.REPLAYED, "code")
    seen["parent/one"] = Seen("parent/one", Reason.RETRIED)
    return records, seen


def ended() -> RunModel:
    records, seen = rows_of_every_kind()
    record = run(
        "FAILED", ended_by=["charge"], error={"type": "KeyError", "message": "'plan'"}, output={"a": 1}
    )
    return RunModel(record, records, seen=seen, store=".trigger_nb/shop", clock=Clock())


def under_way() -> RunModel:
    records, seen = rows_of_every_kind()
    records += [
        task("import", 20, TaskStatus.RUNNING, name="Import"),
        task("call", 21, TaskStatus.WAITING, error={"type": "E"}, attempt=2, next_at=T + 112),
        task("wait", 22, TaskStatus.WAITING, kind="wait", next_at=T + 100 + 2 * 86400 + 23 * 3600),
        task("queued", 23, TaskStatus.PENDING),
        task("running", 24, TaskStatus.RUNNING, kind="map", name="Running map"),
        task("running/a", 25),
        task("running/b", 26, TaskStatus.ERRORED, error={"type": "ValueError", "message": "no text"}),
        task("running/c", 27, TaskStatus.RUNNING),
    ]
    seen |= {record.path: Seen(record.path, Reason.NEW) for record in records[-8:]}
    turns = {"queued": Turn(3, T + 104)}
    record = run(RunStatus.RUNNING, finished_at=None, began_at=T)
    model = RunModel(record, records, seen=seen, clock=Clock(), look=lambda: Standstill(turns=turns))
    model.apply([Progressed("import", 3, 10, "page 3", rate=2.5, ends_at=T + 130), Hinted("a `hint`")])
    model.apply([Progressed("running", 2, 9, None, failed=1, rate=412.3)])
    model.look()
    return model


def said(row: Locator, without: str = ".none") -> str:
    return row.evaluate(SAID, without)


@pytest.mark.parametrize("make", [ended, under_way])
def test_rows_and_header_say_the_same_live_and_static(page, make):
    """D2, D4: both are drawn from one table of parts."""
    model = make()
    source = html.final(model) if model.ended else html.live(model, rows=40)
    page.evaluate("source => { document.querySelector('#static').innerHTML = source }", source)
    show(page, model)
    live, static = page.locator("#live"), page.locator("#static")
    rows = live.get_by_role("treeitem")
    expect(rows).to_have_count(static.locator(".tnb-r").count())

    opened = [said(row) for row in rows.all()]
    assert opened == [
        said(row, ".tnb-counts:not(.tnb-r:has(.tnb-pb) *)") for row in static.locator(".tnb-r").all()
    ]
    scopes = live.locator(".tnb-scope")
    for at in reversed(range(scopes.count())):
        scopes.nth(at).locator(".tnb-chev").click()
    top = static.locator(".tnb > .tnb-rows > li > details > summary, .tnb > .tnb-rows > li > .tnb-r")
    expect(rows).to_have_count(top.count())
    assert [said(row) for row in rows.all()] == [said(row) for row in top.all()]

    head = "#%s .tnb-h"
    assert said(page.locator(head % "live")) == said(page.locator(head % "static"))
    words = live.locator(".tnb-chips").evaluate("chips => chips.innerText").replace("\n", " ")
    assert words.replace(":", "").split() == said(static.locator(".tnb-a > span").first).split()
    bars = "bar => [...bar.children].map(part => [part.className, part.style.width])"
    assert live.locator(".tnb-bar").evaluate(bars) == static.locator(".tnb-bar").evaluate(bars)
    notes = [said(note) for note in live.locator(".tnb-y:visible").all()]
    assert set(notes) <= {said(note) for note in static.locator(".tnb-y").all()}
    assert said(live.locator(".tnb-f").last) == said(static.locator(".tnb-out")) if model.ended else True


def test_the_details_have_the_same_labels_live_and_static(page):
    """D2."""
    model = ended()
    page.evaluate("source => { document.querySelector('#static').innerHTML = source }", html.final(model))
    show(page, model)
    live, static = page.locator("#live"), page.locator("#static")
    labels = "list => [...list.children].map(field => field.firstElementChild.textContent)"
    for name in ("Charge", "Fetch user", "unstored", "careful"):
        live.get_by_role("treeitem").filter(has_text=name).first.click()
        expect(live.locator(".tnb-details .tnb-dh .tnb-t")).to_have_text(name)
        expect(live.locator(".tnb-details .tnb-f > li").first).to_be_visible()
        entry = static.locator("details", has=page.locator(f'summary .tnb-n:text-is("{name}")')).last
        wanted = entry.locator("> .tnb-f").evaluate(labels)
        expect(live.locator(".tnb-details .tnb-f > li > b")).to_have_text(wanted)
    live.get_by_role("treeitem").filter(has_text="Charge").first.click()
    error = live.locator(".tnb-details .tnb-f > li").first
    expect(error).to_contain_text("Caused by HTTPStatusError: 402")
    entry = static.locator("details", has=page.locator('summary .tnb-n:text-is("Charge")')).last
    expect(entry.locator("> .tnb-f > li").first).to_contain_text("Caused by HTTPStatusError: 402")


# --- times ----------------------------------------------------------------------------------------


@pytest.fixture
def page_in_karachi(context):
    """A page whose reader is five hours east of the kernel."""
    page = context.browser.new_page(timezone_id="Asia/Karachi", locale="en-GB")
    page.set_content(f"<!doctype html><style>{widget.styles()}</style><body><div id=live></div></body>")
    yield page
    page.close()


def test_times_are_relative_and_their_titles_are_the_readers(page_in_karachi):
    """The kernel's zone is not the reader's."""
    page = page_in_karachi
    records = [
        task("a", 1, TaskStatus.WAITING, kind="wait", next_at=T + 100 + 2 * 86400 + 23 * 3600),
        task("b", 2, TaskStatus.WAITING, error={"type": "E"}, attempt=2, next_at=T + 112),
    ]
    model = RunModel(run("WAITING", reason="wait", finished_at=None), records[:1], clock=Clock())
    show(page, model)
    began = page.get_by_text("1 min ago")
    expect(began).to_have_attribute("title", "Started 2023-11-15 03:13:20 GMT+5")
    expect(page.locator(".tnb-y:visible")).to_have_text(
        "Waiting until 2023-11-18 02:15:00 GMT+5 (in 2 d 23 h)."
    )
    row = page.get_by_role("treeitem")
    expect(row.get_by_text("in 2 d 23 h")).to_have_attribute("title", "2023-11-18 02:15:00 GMT+5")
    expect(row.locator(".tnb-d")).to_have_attribute("title", "Started 2023-11-15 03:13:21 GMT+5")
    page.evaluate("now => { Date.now = () => now }", 1000 * (T + 100 + 2 * 86400))
    expect(page.get_by_text("2 d ago")).to_be_visible()  # by the page's clock: no message comes
    expect(page.locator(".tnb-y:visible")).to_have_text("Waiting until 2023-11-18 02:15:00 GMT+5 (in 23 h).")


# --- what a run waits for -------------------------------------------------------------------------


def test_while_no_task_is_under_way_the_page_asks_where_the_function_is(page):
    """Only then, and at most once a second; the line is counted up without a message."""
    record = run(RunStatus.RUNNING, finished_at=None, began_at=T)
    model = RunModel(
        record,
        [task("a", 1)],
        seen={"a": Seen("a", Reason.NEW)},
        clock=Clock(),
        look=lambda: Standstill("cell [3], line 14"),
    )
    kernel = show(page, model, now=None)
    standing = page.locator(".tnb-standing")
    expect(standing).to_have_text(
        re.compile(r"^in the job's function, cell \[3\], line 14, for 1 min 3\d s$")
    )
    before = standing.inner_text()
    expect(standing).not_to_have_text(before)
    expect(page.get_by_role("button", name="0 running")).to_have_count(0)
    page.wait_for_function("asked.length >= 3")
    asked = page.evaluate("asked")
    assert min(later - earlier for earlier, later in pairwise(asked)) > 990

    kernel.feed.emit(Seen("b", Reason.NEW))
    kernel.feed.emit(Saved(task("b", 2, TaskStatus.RUNNING), live=True))
    expect(standing).to_be_hidden()  # at the next question at the latest
    count = page.evaluate("asked.length")
    page.evaluate("new Promise(resolve => setTimeout(resolve, 2500))")
    assert page.evaluate("asked.length") == count, "a task is under way: nothing is asked"


def test_a_failure_of_the_function_itself_is_red_at_the_end_of_the_bar(page):
    """All tasks are well, and the run is not."""
    record = run("FAILED", error={"type": "KeyError", "message": "'plan'"})
    model = RunModel(record, [task("a", 1), task("b", 2)], clock=Clock())
    show(page, model)
    parts = page.locator("#live .tnb-bar > i")
    expect(parts).to_have_count(2)
    expect(parts.last).to_have_class("tnb-b-failed")
    red = parts.last.bounding_box()
    whole = page.locator("#live .tnb-bar").bounding_box()
    assert red is not None
    assert whole is not None
    assert red["width"] > 4
    assert red["x"] + red["width"] == pytest.approx(whole["x"] + whole["width"], abs=1)


# --- what is saved --------------------------------------------------------------------------------


def test_the_absolute_path_is_a_title_in_the_page_and_nowhere_else(page):
    """nbclient saves the widget's state, which is the first message."""
    place = "/home/ana/shop/.trigger_nb/shop"
    model = RunModel(run(), [task("a", 1)], store=".trigger_nb/shop", store_at=place, clock=Clock())
    assert place not in html.final(model) + html.live(model)
    assert place not in json.dumps(Kernel(model).stream.first())
    show(page, model)
    expect(page.get_by_text(".trigger_nb/shop")).to_have_attribute("title", place)


# --- search ---------------------------------------------------------------------------------------


def test_what_was_found_is_marked_and_what_only_the_kernel_has_is_searched_too(page):
    """D2: names, keys, errors, properties and marks in the page; params, outputs, errors and prints in the kernel."""
    records = [
        task("fetch", 1, name="Fetch <b>user</b>", properties=[{"label": "City", "text": "Lisbon"}]),
        task("in-params", 2, params={"city": "Lisbon"}),
        task("in-output", 3, value=["Porto"] * 300 + ["Lisbon"]),
        task("in-prints", 4, prints=[["out", "GET /lisbon\n"]]),
        task(
            "in-traceback",
            5,
            TaskStatus.ERRORED,
            error={**ERROR, "traceback": ["in find", "    find(lisbon)"]},
        ),
        task("secret", 6, value={"city": "Lisbon"}, redact=["city"]),
        *(task(f"other-{n}", 7 + n) for n in range(9)),
    ]
    show(page, RunModel(run(), records, clock=Clock()))
    rows, marks = page.get_by_role("treeitem"), page.locator("#live mark")
    text = page.get_by_role("searchbox", name="Filter tasks")
    text.fill("LISBON")
    expect(rows.locator(".tnb-n")).to_have_text(
        ["Fetch <b>user</b>", "in-params", "in-output", "in-prints", "in-traceback"]
    )
    expect(marks).to_have_text(["Lisbon", "Lisbon", "Lisbon", "lisbon", "lisbon"])
    expect(rows.nth(1).locator(".tnb-found")).to_have_text('Params: {"city": "Lisbon"}')
    expect(rows.nth(2).locator(".tnb-found")).to_have_text(re.compile(r'^Output: ….*"Porto", "Lisbon" ?\]$'))
    expect(rows.nth(3).locator(".tnb-found")).to_have_text("Printed: GET /lisbon")
    expect(page.locator(".tnb-hits")).to_have_text("5 of 15")

    text.fill("r</b>")
    expect(marks).to_have_text(["r</b>"])
    expect(rows.locator(".tnb-n")).to_have_text(["Fetch <b>user</b>"])
    text.fill("")
    expect(marks).to_have_count(0)
    expect(rows).to_have_count(15)
    expect(page.locator(".tnb-found:visible")).to_have_count(0)
