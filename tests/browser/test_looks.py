"""That the tree looks right, whatever is in it: few tasks and many, long names, little room, hostile text.

What can be said of looks in code is said here; `make screenshots` makes the pictures to look at.
"""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from playwright.sync_api import Locator, Page, expect

from trigger_nb._view.live import widget, wire

from . import gallery
from .lab import UNTIL, expect_equal
from .letter import row
from .test_alone import KERNEL_OF_RUNS, RUN, show
from .test_contrast import FAINT

# All that sticks out of the run to the right without being cut off; a scroll bar nobody wants.
STICKS_OUT = """run => {
  const edge = run.getBoundingClientRect().right + 1;
  const isCut = element => {
    for (let box = element.parentElement; box !== run.parentElement; box = box.parentElement)
      if (getComputedStyle(box).overflowX !== 'visible' && box.getBoundingClientRect().right <= edge) return true;
    return false;
  };
  return [...run.querySelectorAll('*')]
    .filter(element => element.getBoundingClientRect().right > edge && !isCut(element))
    .concat([...run.querySelectorAll('.tnb-details')].filter(box => box.scrollWidth > box.clientWidth + 1))
    .map(element => element.outerHTML.slice(0, 200));
}"""

# The names of rows that have hardly any room.
CRAMPED = """run => [...run.querySelectorAll('.tnb-row .tnb-n')]
  .filter(name => name.clientWidth < 24)
  .map(name => name.textContent)"""

NODES = "run => run.getElementsByTagName('*').length"


def looks_right(run: Locator) -> None:
    """Nothing sticks out, and each row has room for its name and its duration."""
    for script in (STICKS_OUT, CRAMPED):
        expect_equal(lambda script=script: run.evaluate(script), [])


# Few and many ----------------------------------------------------------------------------------------

SIZES = (
    UNTIL
    + """
from trigger_nb import job

@job(name="Any number of tasks")
async def tasks(count, io):
    for n in range(count):
        await io.run_task(f"task {n}", lambda: 1)
    await until("never")
"""
)


def test_runs_of_no_task_one_and_a_hundred(lab):
    """Issue 3: a tool shows where it makes sense, and the list is as high as its rows, up to a point."""
    lab.page.set_viewport_size({"width": 1280, "height": 1200})
    lab.open([SIZES, *(f"tasks.start({count});" for count in (0, 1, 100))]).run_all().wait_idle()
    none, one, hundred = (lab.live(cell) for cell in (1, 2, 3))

    expect(none).to_contain_text("No tasks yet")
    expect(none.get_by_role("button", name="Timeline")).to_be_hidden()
    expect(row(one, "completed, task 0")).to_be_visible()
    expect(one.get_by_role("tree")).to_have_css("height", "48px")  # the list grows by two rows
    expect(one.get_by_role("searchbox")).to_be_hidden()
    expect(hundred.get_by_role("button", name="100 completed")).to_be_visible()
    expect(hundred.get_by_role("searchbox")).to_be_visible()
    expect(hundred.get_by_role("tree")).to_have_css("height", "440px")
    for run in (none, one, hundred):
        looks_right(run)
    assert lab.complaints() == []


MANY = (
    UNTIL
    + """
from trigger_nb import job

async def leaf(number):
    if number % 1000 == 7:
        raise LookupError(f"404 no item {number}")

async def page(first, io):
    tasks = (io.run_task(f"item {n}", leaf, n) for n in range(first, first + 100))
    await asyncio.gather(*tasks, return_exceptions=True)

async def group(number, io):
    await asyncio.gather(*(io.run_task(f"page {p}", page, (number * 10 + p) * 100) for p in range(10)))

@job(name="Ten thousand tasks")
async def many(payload, io):
    await asyncio.gather(*(io.run_task(f"group {n}", group, n) for n in range(10)))
    await io.run_task("last", until, "never")

run = many.start()
"""
)


def test_ten_thousand_tasks_are_a_thousand_nodes_at_most(lab):
    """Issue 3: however far all is unfolded and scrolled, in both views."""
    run = lab.open([MANY]).run_all().wait_idle().live(0)
    expect(row(run, "running, last")).to_be_visible()
    expect(run.get_by_role("button", name="9,990 completed")).to_be_visible()
    tree = run.get_by_role("tree")
    assert run.evaluate(NODES) <= 1000

    run.get_by_role("button", name="Unfold all").click()
    tree.press("Home")
    expect(row(run, "completed, item 0").first).to_be_in_viewport()
    tree.press("End")
    expect(row(run, "running, last")).to_be_in_viewport()
    below = "tree => Math.round(tree.scrollHeight - tree.scrollTop - tree.clientHeight)"
    expect_equal(lambda: tree.evaluate(below), 0)
    tree.evaluate("tree => { tree.scrollTop = 5000 * 24; }")
    expect(row(run, "completed, item 4950")).to_be_in_viewport()
    assert run.evaluate(NODES) <= 1000
    run.get_by_role("button", name="Timeline").click()
    expect(row(run, "completed, item 4950").locator(".tnb-span")).to_be_visible()
    assert run.evaluate(NODES) <= 1000
    run.get_by_role("button", name="Tree", exact=True).click()

    run.get_by_role("searchbox").fill("404 no item")
    expect(run.get_by_text("10 of 10,111")).to_be_visible()
    expect(row(run, "failed, item 7,")).to_be_visible()
    looks_right(run)
    assert lab.complaints() == []


# Little room -----------------------------------------------------------------------------------------

LONG = (
    UNTIL
    + """
from trigger_nb import Property, job

LONG = "a name that somebody has made of a whole sentence and then of another one "
WORD = "Donaudampfschifffahrtsgesellschaftskapitän"

async def fails():
    raise ValueError(LONG * 3)

LINK = Property(WORD, LONG, url="https://example.com/" + "long/" * 30)

async def works(task):
    task.progress(1, 3, LONG)
    print(WORD * 20)
    await until("never")

async def level(n, io):
    if n < 4:
        await io.run_task(f"level {n + 1}", level, n + 1, name=f"Level {n + 1}: " + LONG, icon="folder")
        return
    for key, body in ((WORD * 3, lambda: {WORD: LONG * 5}), ("fails", fails)):
        try:
            await io.run_task(key, body, name=LONG, icon="mail", properties={WORD: LONG, "To": "ana@example.com"})
        except ValueError:
            pass
    await io.run_task("works", works, name="Works", icon="robot", properties=[LINK])

@job(id="a-job-with-an-id-that-is-long-too", name=LONG, version="2026.11.23-beta.4")
async def deep(payload, io):
    await level(1, io)

run = deep.start()
"""
).replace(
    "await level(1, io)", 'await io.run_task("level 1", level, 1, name="Level 1: " + LONG, icon="folder")'
)


def test_long_names_and_deep_nesting_in_little_room_light_and_dark(lab):
    """Issue 3: five levels; what gives way is told in full in the details."""
    run = lab.open([LONG]).run_all().wait_idle().live(0)
    failed = run.get_by_role("treeitem", name="failed, ")
    expect(row(run, "running, Works")).to_be_attached()
    expect(run.locator('[aria-level="5"]')).to_have_count(3)
    failed.click()
    expect(run.get_by_role("region", name="Details of")).to_contain_text("Traceback")
    for wide in (840, 640, 360):
        run.evaluate("(run, wide) => { run.parentElement.style.width = `${wide}px`; }", wide)
        expect(run).to_have_css("width", f"{wide}px")
        looks_right(run)
        expect(failed).to_be_in_viewport()
    lab.page.emulate_media(reduced_motion="reduce")  # a sign that breathes is faint for a moment
    for theme in (lab.dark, lab.light):
        theme()
        measured, faint = run.evaluate(f"run => ({FAINT})([run])")
        assert measured > 30
        assert faint == [], theme
    run.get_by_role("button", name="Timeline").click()
    expect(failed.locator(".tnb-span")).to_be_visible()
    expect_equal(lambda: run.evaluate(STICKS_OUT), [])
    assert lab.complaints() == []


# Live and static in one page -------------------------------------------------------------------------


# All computed styles but those that follow from the place and from the text of a clock.
STYLES = """root => [root, ...root.querySelectorAll('*')].flatMap(element => [null, '::before', '::after'].map(pseudo => {
  const style = getComputedStyle(element, pseudo);
  const skip = /^(width|height|(inline|block)-size|top|left|right|bottom|inset-.*|(perspective|transform)-origin|transform)$/;
  return element.className + (pseudo ?? '') + [...style].filter(name => !skip.test(name))
    .map(name => `${name}: ${style.getPropertyValue(name)}`).join(';');
}))"""
ADD = (
    """source => document.body.append(Object.assign(document.createElement('div'), { innerHTML: source }))"""
)


def test_a_static_output_does_not_change_a_live_tree(page):
    """D1, D4: its styles come later in the page; nor does one that another version has left in the notebook."""
    gallery.fill(page, "JupyterLab light")
    gallery.live(page)
    live = page.locator(".tnb-live")
    page.mouse.move(0, 0)
    page.evaluate("{ const now = Date.now(); Date.now = () => now; }")  # a longer time would take more room
    before = live.evaluate(STYLES)
    assert len(before) > 500
    old = (
        gallery.static("FAILED")
        .replace("11px", "31px")
        .replace("var(--quiet)", "red")
        .replace("flex:", "flex: 9 ")
    )
    for source in (gallery.static("RUNNING", "FAILED"), old):
        page.evaluate(ADD, source)
        expect(page.locator(".tnb").last).to_be_visible()
        assert live.evaluate(STYLES) == before


def test_a_live_tree_does_not_change_a_static_output(page):
    """D1, D4: a notebook looks the same on the next day, without widgets."""
    page.set_content(f"<!doctype html><html><body>{gallery.static('RUNNING', 'FAILED')}</body></html>")
    before = page.locator(".tnb").evaluate_all(f"all => all.flatMap({STYLES})")
    assert len(before) > 500
    page.add_style_tag(content=widget.styles())
    page.evaluate("module => { window.module = module }", widget.module())
    gallery.live(page)
    page.mouse.move(0, 0)
    assert page.locator(".tnb").evaluate_all(f"all => all.flatMap({STYLES})") == before


# Alignment -------------------------------------------------------------------------------------------

# Buttons with only an icon whose picture is not in their middle.
OFF_CENTRE = """root => [...root.querySelectorAll('button:has(.tnb-ic)')].filter(button => {
  const [outer, inner] = [button, button.querySelector('.tnb-ic')].map(element => element.getBoundingClientRect());
  const middle = box => [box.left + box.right, box.top + box.bottom];
  return outer.width && middle(outer).some((twice, at) => Math.abs(twice - middle(inner)[at]) > 1);
}).map(button => button.outerHTML)"""

# By name: how far the middles of x-height and of capitals are from the middle of the row, on average.
TEXT_OFF_SIGN = """root => [...root.querySelectorAll('.tnb-row')].map(row => {
  const name = row.querySelector('.tnb-n');
  const context = document.createElement('canvas').getContext('2d');
  const style = getComputedStyle(name);
  context.font = `${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
  const range = document.createRange();
  range.selectNodeContents(name);
  const text = range.getBoundingClientRect();
  const sign = row.querySelector('.tnb-s').getBoundingClientRect();
  const font = context.measureText('x');
  const base = text.top + (text.height - font.fontBoundingBoxAscent - font.fontBoundingBoxDescent) / 2 + font.fontBoundingBoxAscent;
  const middle = letter => base - context.measureText(letter).actualBoundingBoxAscent / 2;
  return (middle('x') + middle('H')) / 2 - (sign.top + sign.bottom) / 2;
})"""


def test_pictures_and_text_stand_in_the_middle(page):
    """Of buttons, and of their signs; the cross that closes a run is in line with its buttons."""
    gallery.fill(page, "JupyterLab light")
    gallery.live(page)
    live = page.locator(".tnb-live")
    assert live.locator("button:has(.tnb-ic):visible").count() >= 3
    assert live.evaluate(OFF_CENTRE) == []
    for off in live.evaluate(TEXT_OFF_SIGN):
        assert abs(off) <= 0.75

    gallery.fill(page, "JupyterLab light")
    show(
        page,
        "runs",
        KERNEL_OF_RUNS.replace('"actions": []', '"actions": [{"op": "pause", "label": "Pause", "why": ""}]'),
    )
    run = page.locator('tr[data-run="run_3"]').first
    run.click()
    assert page.locator(".tnb-runs").evaluate(OFF_CENTRE) == []
    cross = page.get_by_role("button", name="Close this run").bounding_box()
    pause = page.get_by_role("button", name="Pause").bounding_box()
    assert cross["y"] == pytest.approx(pause["y"], abs=0.6)
    sign, cell = run.locator(".tnb-s").bounding_box(), run.locator("td").first.bounding_box()
    assert sign["x"] + sign["width"] <= cell["x"] + cell["width"]  # else dots are drawn over it


def test_a_short_name_has_no_hole_behind_it_and_a_long_one_keeps_some_letters(page):
    """The next part of the row follows at the same distance, whatever the name."""
    gallery.fill(page, "JupyterLab light")
    gallery.live(page)
    widths = """rows => rows.map(row => {
      const [name, range] = [row.querySelector('.tnb-n'), document.createRange()];
      range.selectNodeContents(name);
      return [name.textContent, name.getBoundingClientRect().width, range.getBoundingClientRect().width];
    })"""
    for name, taken, needed in page.get_by_role("treeitem").evaluate_all(widths):
        assert taken == pytest.approx(needed, abs=0.6), name
    page.set_viewport_size({"width": 320, "height": 600})
    for name, taken, needed in page.get_by_role("treeitem").evaluate_all(widths):
        assert taken >= min(38.5, needed - 0.6), name


def test_the_counts_of_a_map_are_seen_whole_or_not_at_all(page):
    """Wherever the room ends: half a disc tells nothing."""
    counts = {"completed": 3870, "failed": 19, "waiting": 42, "pending": 1069}
    embed = {
        "i": 0,
        "n": "Embed the articles",
        "z": "map",
        "s": "running",
        "t": 0,
        "f": counts,
        "b": [3889, 5000, "", 19, 21.5, 60],
    }
    first = {
        "n": 1,
        "now": 1010,
        "run": {**RUN, "ended": False, "ticking": True},
        "rows": wire.packed([embed]),
    }
    gallery.fill(page, "JupyterLab light")
    page.evaluate("first => { window.first = first }", first)
    show(page, "run")
    box = page.get_by_role("treeitem").first.locator(".tnb-counts")
    expect(box.locator(".tnb-count")).to_have_count(4)
    seen = set()
    for wide in range(480, 900, 20):
        page.set_viewport_size({"width": wide, "height": 600})
        outer = box.bounding_box()
        for count in box.locator(".tnb-count").all():
            inner = count.bounding_box()
            below = inner["y"] >= outer["y"] + outer["height"] - 0.5
            whole = inner["x"] + inner["width"] <= outer["x"] + outer["width"] + 0.5
            assert below or whole, wide
            seen.add((below, whole))
    assert len(seen) > 1  # there was room for some, and not for others


# 400 % -----------------------------------------------------------------------------------------------

# What is cut off to the right, or below, with no way to scroll to it.
CUT = """root => [...root.querySelectorAll('*')].filter(element => {
  const style = getComputedStyle(element);
  if (!element.checkVisibility() || !element.textContent.trim() || style.overflowX === 'visible') return false;
  return !/auto|scroll/.test(style.overflowX) && element.scrollWidth > element.clientWidth + 1
    && !element.matches('.tnb-s, .tnb-i');
}).map(element => element.outerHTML.slice(0, 200))"""


def zoomed(page: Page) -> None:
    """A window of 1280 x 1024 at 400 %."""
    page.set_viewport_size({"width": 320, "height": 256})
    expect_equal(lambda: page.evaluate("innerWidth"), 320)


def test_nothing_of_what_remains_is_cut_at_400_percent(page):
    """WCAG 1.4.10: all text is there, and the page scrolls in one direction only."""
    gallery.fill(page, "JupyterLab light", gallery.static("RUNNING", "FAILED", "INTERRUPTED"))
    zoomed(page)
    for run in page.locator(".tnb").all():
        assert run.evaluate(STICKS_OUT) == []
        assert run.evaluate(CUT) == []
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 320


def test_all_of_a_live_tree_can_be_reached_at_400_percent(page):
    """WCAG 1.4.10: rows have one line, so their texts may be short; the details, which are read, are whole."""
    gallery.fill(page, "JupyterLab light")
    gallery.live(page)
    zoomed(page)
    live = page.locator(".tnb-live")
    expect(page.get_by_role("button", name="About this run")).to_be_visible()
    assert live.evaluate(STICKS_OUT) == []
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 320
    for button in live.locator("button:visible").all():
        assert button.evaluate("button => button.scrollWidth <= button.clientWidth + 1")
    assert live.locator(".tnb-details .tnb-f").evaluate(CUT) == []
    assert live.locator(".tnb-h .tnb-t").first.evaluate("title => title.scrollWidth <= title.clientWidth + 1")
    for scroller in live.locator(".tnb-tree, .tnb-details").all():
        assert scroller.bounding_box()["height"] <= 256  # else one would scroll to scroll


def test_in_little_room_what_a_run_is_called_is_told_on_request(page):
    """At 420 px: id, time and store are lines of their own, and rows begin higher without them."""
    page.set_viewport_size({"width": 420, "height": 900})
    gallery.fill(page, "JupyterLab light")
    gallery.live(page)
    about, tell = page.locator(".tnb-bar2 .tnb-a"), page.get_by_role("button", name="About this run")
    expect(about).to_be_hidden()
    expect(tell).to_have_attribute("aria-pressed", "false")
    tell.click()
    expect(tell).to_have_attribute("aria-pressed", "true")
    expect(about).to_be_visible()
    expect(about).to_contain_text("run_1")
    page.set_viewport_size({"width": 1000, "height": 900})
    expect(tell).to_be_hidden()
    expect(about).to_be_visible()


def test_the_list_of_runs_has_room_for_names_in_little_room(page):
    """At 420 px: job, status and duration."""
    page.set_viewport_size({"width": 420, "height": 600})
    gallery.fill(page, "JupyterLab light")
    show(page, "runs", KERNEL_OF_RUNS.replace('"report"', '"send-newsletter"'))
    run = page.locator('tr[data-run="run_3"]').first
    for text in ("send-newsletter", "FAILED", "3.2 s"):
        cell = run.locator("td", has_text=text)
        expect(cell).to_be_visible()
        assert cell.evaluate("cell => cell.scrollWidth <= cell.clientWidth + 1"), text


def test_the_columns_of_the_list_of_runs_have_room_for_their_titles(page):
    """D2: at each width at which they are shown."""
    gallery.fill(page, "JupyterLab light")
    show(page, "runs", KERNEL_OF_RUNS)
    for width in range(440, 1100, 20):
        page.set_viewport_size({"width": width, "height": 600})
        cut = page.locator("th:visible:not(.tnb-runs-0, .tnb-runs-8)").evaluate_all(
            "titles => titles.filter(each => each.scrollWidth > each.clientWidth).map(each => each.textContent)"
        )
        assert cut == [], width


def test_the_chevron_is_beside_the_first_line_in_little_room(page):
    """At 420 px rows have more lines than one."""
    page.set_viewport_size({"width": 420, "height": 900})
    gallery.fill(page, "JupyterLab light", gallery.static("FAILED"))
    line = page.locator("summary.tnb-r").filter(has_text="Set up a workspace").first
    assert line.bounding_box()["height"] > 35
    chevron, sign = (line.locator(part).first.bounding_box() for part in (".tnb-v", ".tnb-s"))
    assert chevron["y"] + chevron["height"] / 2 == pytest.approx(sign["y"] + sign["height"] / 2, abs=2)


def test_rows_are_as_high_in_a_page_with_styles_of_its_own(page):
    """Quarto gives margins to `details` and a box to `pre`."""
    for around in ("Exported light", "Quarto"):
        gallery.fill(page, around, gallery.static("FAILED"))
        tops = [
            each.bounding_box()["y"]
            for each in page.locator(".tnb > .tnb-rows > li > details > summary").all()[:5]
        ]
        assert [after - before for before, after in pairwise(tops)] == pytest.approx([24] * 4, abs=1.1)
    expect(page.locator(".tnb pre").first).to_have_css(
        "word-break", "normal"
    )  # JupyterLab and others break anywhere


def test_text_from_right_to_left_reorders_nothing(page):
    """Without styles, as on GitHub: the duration after such a name stays a duration."""
    source = re.sub(r"<style>.*?</style>", "", gallery.static("FAILED"), flags=re.DOTALL)
    page.set_content(re.sub(r' (class|style)="[^"]*"', "", source))
    places = """([name]) => {
      const line = [...document.querySelectorAll('summary')].find(each => each.textContent.includes(name));
      const texts = document.createTreeWalker(line, NodeFilter.SHOW_TEXT);
      const place = (node, from, to) => {
        const range = document.createRange();
        range.setStart(node, from);
        range.setEnd(node, to);
        return range.getBoundingClientRect().left;
      };
      const found = {};
      while (texts.nextNode()) {
        const { data } = texts.currentNode;
        if (data.includes(name)) found.name = place(texts.currentNode, 0, data.length);
        const at = data.indexOf('250 ms');
        if (at >= 0) Object.assign(found, { number: place(texts.currentNode, at, at + 3), unit: place(texts.currentNode, at + 4, at + 6) });
      }
      return found;
    }"""
    found = page.evaluate(places, [gallery.ARABIC])
    assert found["name"] < found["number"] < found["unit"]


# Hostile text ----------------------------------------------------------------------------------------

HOSTILE = (
    UNTIL
    + r"""
from trigger_nb import Property, job

SCRIPT = "<script>hacked = 1</script>"
IMAGE = '"><img src=x onerror="hacked = 1">'
LINK = "javascript:hacked=1"
BIDI = "\u202eexe.pdf\u2066"
ANSI = "\x1b[31mred\x1b[0m\x07"
ALL = SCRIPT + IMAGE + BIDI + ANSI
LARGE = "L" * 1_000_000

PROPERTIES = [
    Property(ALL, ALL, url=LINK, image_url=LINK), Property("a", "b", url="JaVaScRiPt:hacked=1"),
    Property("c", "d", url="data:text/html," + SCRIPT), Property("e", "f", url="https://" + LARGE),
    Property("g", LARGE, url='https://example.com/"onmouseover="hacked=1'),
]

def fails():
    print(ALL)
    print(LARGE)
    error = ValueError(ALL)
    error.add_note(ALL)
    error.__cause__ = KeyError(LARGE)
    raise error

async def works(task):
    task.progress(1, 2, ALL)
    await until("worked")
    return {ALL: [ALL, LARGE]}

@job(name=SCRIPT, version=IMAGE[:20])
async def hostile(payload, io):
    io.logger.error(ALL)
    try:
        await io.run_task(ALL, fails, name="fails " + ALL, icon=IMAGE, description=ALL,
                          params={ALL: ALL, "large": LARGE}, properties=PROPERTIES)
    except ValueError:
        pass
    await io.run_task(BIDI, lambda: ANSI, name=BIDI)
    await io.run_task("large", lambda: LARGE, name=LARGE, properties={LARGE: LARGE})
    await io.run_task("works", works, name="works" + ANSI)
    return ALL

run = hostile.start({"a": ALL})
"""
)

# What only acts is not in the page's texts, and what may act not among its elements and attributes.
ACTS = r"""run => {
  const acting = [...run.querySelectorAll('script, iframe, object, embed, form:not(.tnb-with), base, link, meta, img, svg:not(.tnb-lanes-bars, .tnb-chart svg)')];
  for (const element of run.querySelectorAll('*'))
    for (const { name, value } of element.attributes)
      if (name.startsWith('on') || (/^(href|src)$/.test(name) && !/^(https?:|mailto:)/.test(value))) acting.push(element);
  const texts = run.textContent + [...run.querySelectorAll('[title], [aria-label]')]
    .map(element => element.title + element.ariaLabel).join()
    .replace(/\u2068([^\u2068\u2069]*)\u2069/g, '$1'); // which we write around text from right to left
  const hidden = texts.match(/[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g) ?? [];
  return [...acting.map(element => element.outerHTML.slice(0, 200)), ...hidden.map(escape)];
}"""


def test_hostile_text_is_text(lab):
    """D5: nothing runs, nothing hides, nothing floods: in rows and details, live and at the end."""
    dialogs: list[str] = []
    lab.page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    run = lab.open([HOSTILE]).run_all().wait_idle().live(0)
    expect(row(run, "running, works")).to_be_visible()
    expect(run).to_contain_text("<script>hacked = 1</script>")
    failed = run.get_by_role("treeitem", name="failed, ")
    expect(failed).to_contain_text(r"fails <script>hacked = 1</script>")
    expect(failed).to_contain_text('onerror="hacked = 1"')
    expect(row(run, r"completed, \u202eexe.pdf\u2066")).to_be_visible()
    expect(row(run, r"running, works\x1b[31mred\x1b[0m\x07")).to_be_visible()

    for item in run.get_by_role("treeitem").all():
        item.click()
        expect(item).to_have_attribute("aria-selected", "true")
        expect(run.locator(".tnb-details li").first).to_be_visible()
        assert run.evaluate(ACTS) == []
        assert run.evaluate("run => run.textContent.length") < 100_000
        expect_equal(lambda: run.evaluate(STICKS_OUT), [])
    failed.click()
    expect(run.locator(".tnb-details")).to_contain_text("javascript:hacked=1")
    for heading in run.locator(".tnb-details summary").all():
        heading.click()
    for link in run.get_by_role("link").all():
        assert (link.get_attribute("href") or "").startswith("https://example.com/")
    run.get_by_role("button", name="Timeline").click()
    expect(failed.locator(".tnb-span")).to_be_visible()
    assert run.evaluate(ACTS) == []

    lab.signal("worked")
    expect(lab.static(0)).to_contain_text("COMPLETED")
    assert lab.static(0).evaluate(ACTS) == []
    assert lab.page.evaluate("typeof hacked") == "undefined"
    assert dialogs == []
    assert lab.complaints() == []
