"""That the tree looks right, whatever is in it: few tasks and many, long names, little room, hostile text.

What can be said of looks in code is said here; `make screenshots` makes the pictures to look at.
"""

from __future__ import annotations

from playwright.sync_api import Locator, expect

from .lab import UNTIL, expect_equal
from .letter import row

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

# Pairs of a text's selector and its contrast to what is behind it (WCAG), the lowest of each.
CONTRASTS = """(run, selectors) => {
  const context = Object.assign(document.createElement('canvas'), { width: 1, height: 1 })
    .getContext('2d', { willReadFrequently: true });
  const over = colours => {
    context.clearRect(0, 0, 1, 1);
    for (const colour of colours) { context.fillStyle = colour; context.fillRect(0, 0, 1, 1); }
    return [...context.getImageData(0, 0, 1, 1).data.slice(0, 3)];
  };
  const luminance = rgb => {
    const [r, g, b] = rgb.map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = element => {
    const behind = [];
    for (let box = element; box; box = box.parentElement) behind.unshift(getComputedStyle(box).backgroundColor);
    const [low, high] = [over(['#fff', ...behind]), over(['#fff', ...behind, getComputedStyle(element).color])]
      .map(luminance).sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  return selectors.map(selector =>
    [selector, Math.min(...[...run.querySelectorAll(selector)].filter(e => e.innerText).map(contrast))]);
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
    expect(one.get_by_role("tree")).to_have_css("height", "24px")
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
    expect(run.get_by_role("button", name="10,100 completed")).to_be_visible()
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

TEXTS = [
    ".tnb-n",
    ".tnb-d",
    ".tnb-k",
    ".tnb-e",
    ".tnb-m",
    ".tnb-t",
    ".tnb-w",
    ".tnb-chip-w",
    ".tnb-f b",
    ".tnb-f code",
]


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
    for theme in (lab.dark, lab.light):
        theme()
        for text, contrast in run.evaluate(CONTRASTS, TEXTS):
            assert contrast >= 3, (text, theme)
    run.get_by_role("button", name="Timeline").click()
    expect(failed.locator(".tnb-span")).to_be_visible()
    expect_equal(lambda: run.evaluate(STICKS_OUT), [])
    assert lab.complaints() == []


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
  const acting = [...run.querySelectorAll('script, iframe, object, embed, form, base, link, meta, img, svg')];
  for (const element of run.querySelectorAll('*'))
    for (const { name, value } of element.attributes)
      if (name.startsWith('on') || (/^(href|src)$/.test(name) && !/^(https?:|mailto:)/.test(value))) acting.push(element);
  const texts = run.textContent + [...run.querySelectorAll('[title], [aria-label]')]
    .map(element => element.title + element.ariaLabel).join();
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
