"""That everything can be read: colours of all texts and signs in the themes of front ends, live and static (WCAG AA).

`gallery.py` says which pages are real themes and which are simulated. GitHub strips styles, so that its own colours
count there; its page stands for one that keeps them, such as an exported file on its Pages.
"""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from trigger_nb._view.render import icons

from . import gallery
from .lab import UNTIL, Lab
from .test_alone import KERNEL_OF_RUNS, show

# Texts and signs with less contrast than they need to what is behind them: [text, class, contrast]. A sign is what has
# a mask. Opacity counts: an element is drawn with what is behind it as a group.
FAINT = """roots => {
  const context = Object.assign(document.createElement('canvas'), { width: 1, height: 1 })
    .getContext('2d', { willReadFrequently: true });
  const rgba = colour => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const mixed = (over, under, share) => under.map((value, at) => share * over[at] + (1 - share) * value);
  const painted = (colour, under) => { const [r, g, b, a] = rgba(colour); return mixed([r, g, b], under, a); };
  const luminance = rgb => {
    const [r, g, b] = rgb.map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  // What is seen where the innermost element draws a colour, or draws nothing, from the outermost element on.
  const seen = ([style, ...inner], under, colour, isSign) => {
    const ground = isSign && !inner.length ? under : painted(style.backgroundColor, under);
    const top = inner.length ? seen(inner, ground, colour, isSign) : colour ? painted(colour, ground) : ground;
    return mixed(top, under, Number(style.opacity));
  };
  const contrast = (element, colour, isSign) => {
    const styles = [];
    for (let box = element; box; box = box.parentElement) styles.unshift(getComputedStyle(box));
    const [low, high] = [seen(styles, [255, 255, 255], null, isSign), seen(styles, [255, 255, 255], colour, isSign)]
      .map(luminance).sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const faint = [];
  let measured = 0;
  for (const root of roots) for (const element of root.querySelectorAll('*')) {
    const style = getComputedStyle(element);
    if (!element.checkVisibility({ visibilityProperty: true, opacityProperty: true }) || element.closest('[aria-disabled=true], style')) continue;
    const text = [...element.childNodes].filter(node => node.nodeType === 3).map(node => node.data.trim()).join(' ').trim();
    const name = `${text.slice(0, 40)} ${element.tagName} ${element.className}`;
    const isSign = /^(tnb-s|tnb-ic)$/.test(element.classList[0] ?? '');
    if (isSign) {
      measured += 1;
      const found = contrast(element, style.backgroundColor, true);
      if (found < 3) faint.push(`${name} ${found.toFixed(2)}`);
    } else if (text && parseFloat(style.fontSize)) {
      measured += 1;
      const found = contrast(element, style.color, false);
      if (found < 4.5) faint.push(`${name} ${found.toFixed(2)}`);
    }
  }
  return [measured, faint];
}"""
ROOTS = ".tnb, .tnb-live"
# Backgrounds that rows get under the pointer or when they are chosen, here for all of them at once.
GROUNDS = {
    "at rest": ":root { }",
    "under the pointer": ".tnb summary.tnb-r, .tnb .tnb-fold summary { background: var(--wash); }"
    ".tnb-live .tnb-row.tnb-row, .tnb-live button { background-color: var(--wash); }",
    "chosen": ".tnb-live .tnb-row.tnb-row, .tnb-live .tnb-chip, .tnb-live tbody tr { background: var(--chosen); }",
}


def faint(page: Page, least: int) -> dict[str, list[str]]:
    """By what is behind the rows: what is too faint in the page. At least so many texts and signs are measured."""
    found: dict[str, list[str]] = {}
    for name, style in GROUNDS.items():
        added = page.add_style_tag(content=style)
        measured, found[name] = page.locator(ROOTS).evaluate_all(FAINT)
        assert measured >= least
        added.evaluate("element => element.remove()")
    return {name: texts for name, texts in found.items() if texts}


@pytest.mark.parametrize("around", gallery.PAGES)
def test_what_remains_of_a_run_can_be_read(page, around):
    """D4: light and dark by the colours of the page around; WCAG AA: 4.5 for text, 3 for signs."""
    gallery.fill(page, around, gallery.static("RUNNING", "FAILED", "INTERRUPTED"))
    for summary in page.locator("summary:has(~ pre)").all():
        summary.click()
    assert faint(page, least=250) == {}


@pytest.mark.parametrize("around", gallery.LIVE)
def test_the_live_tree_can_be_read(page, around):
    """D2: as above; the timeline, too."""
    gallery.fill(page, around)
    gallery.live(page)
    assert faint(page, least=100) == {}
    page.get_by_role("button", name="Timeline").click()
    expect(page.locator(".tnb-span").first).to_be_visible()
    assert faint(page, least=80) == {}


@pytest.mark.parametrize("around", gallery.LIVE)
def test_the_list_of_runs_can_be_read(page, around):
    """D2, the list of runs: its question before a run is deleted, too."""
    gallery.fill(page, around)
    show(page, "runs", KERNEL_OF_RUNS)
    page.locator('tr[data-run="run_3"]').first.click()
    expect(page.get_by_role("treeitem")).to_have_count(5)
    page.keyboard.press("Delete")
    expect(page.get_by_text("Delete run_3")).to_be_visible()
    assert faint(page, least=250) == {}


SEVERAL = (
    UNTIL
    + """
from IPython.display import HTML
from trigger_nb import job

async def fails():
    raise LookupError("no such fruit")

@job(name="Several kinds of rows")
async def several(payload, io):
    io.logger.warning("a word of warning")
    await io.run_task("apple", lambda: "apple", icon="star", properties={"Red": "yes"})
    try:
        await io.run_task("durian", fails, icon="mail")
    except LookupError:
        pass
    await io.run_task("waits", until, "never")

run = several.start()
"""
)


@pytest.mark.parametrize("app", ["lab", "notebook7"])
def test_all_can_be_read_in_the_front_ends_themselves(request, app):
    """D2, D4: in JupyterLab and Notebook 7, with all that their pages do to an output, light and dark."""
    front: Lab = request.getfixturevalue(app)
    front.open([SEVERAL, "HTML(open('static.html').read())"])
    (front.folder / "static.html").write_text(gallery.static("RUNNING", "FAILED"), encoding="utf-8")
    front.run_all().wait_idle()
    live = front.live(0)
    live.get_by_role("treeitem", name="failed, durian").click()
    expect(live.locator(".tnb-details")).to_contain_text("no such fruit")
    expect(front.static(1)).to_have_count(2)
    front.page.emulate_media(reduced_motion="reduce")
    for theme in (front.dark, front.light):
        theme()
        assert faint(front.page, least=180) == {}


def test_letters_of_badges_can_be_read():
    """Each is white on the colour of its service."""
    for colour in [icons.badge("unknown")[1], *(icons.badge(name)[1] for name in icons.badges())]:
        red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
        light = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue)]
        assert 1.05 / (0.2126 * light[0] + 0.7152 * light[1] + 0.0722 * light[2] + 0.05) >= 4.5, colour
