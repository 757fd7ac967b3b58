"""What people without a mouse, with a screen reader or with colours of their own get: live and static."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

from trigger_nb._view.render import html

from . import gallery
from .lab import expect_equal
from .test_alone import KERNEL_OF_RUNS, show
from .test_keyboard import accessible

# --- an automatic checker -------------------------------------------------------------------------------------


def violations(page: Page) -> list[str]:
    """What axe finds in the page: rule and element. All its rules count, its best practices too."""
    # Headings and landmarks of a page are the notebook's.
    found = Axe().run(page, options={"rules": {"page-has-heading-one": {"enabled": False}}}).response
    assert len(found["passes"]) > 10
    return [f"{rule['id']}: {node['html'][:200]}" for rule in found["violations"] for node in rule["nodes"]]


@pytest.mark.parametrize("around", ["JupyterLab light", "JupyterLab dark", "GitHub light"])
def test_axe_finds_nothing_in_what_remains_of_a_run(page, around):
    """D4: the snapshot of a run under way, and the ends of runs, with all that is folded opened."""
    gallery.fill(page, around, gallery.static("RUNNING", "FAILED", "INTERRUPTED", "COMPLETED"))
    page.locator("details").evaluate_all("all => all.forEach(each => { each.open = true; })")
    assert violations(page) == []


def test_axe_finds_nothing_in_an_exported_page(page):
    """`run.export_html(path)`."""
    page.set_content(html.page(gallery.model("FAILED"), "A run"))
    assert violations(page) == []


@pytest.mark.parametrize("around", ["JupyterLab light", "JupyterLab dark", "VS Code light", "marimo dark"])
def test_axe_finds_nothing_in_the_live_tree(page, around):
    """D2: tree, details, timeline."""
    gallery.fill(page, around)
    gallery.live(page)
    for summary in page.locator(".tnb-details summary").all():
        summary.click()
    assert violations(page) == []
    page.get_by_role("button", name="Timeline").click()
    expect(page.locator(".tnb-span").first).to_be_visible()
    assert violations(page) == []


def test_axe_finds_nothing_in_the_list_of_runs(page):
    """D2: the list, a run that is open, and the question before a run is deleted."""
    gallery.fill(page, "JupyterLab light")
    show(page, "runs", KERNEL_OF_RUNS)
    page.locator('tr[data-run="run_3"]').first.click()
    expect(page.get_by_role("treeitem")).to_have_count(5)
    page.keyboard.press("Delete")
    expect(page.get_by_text("Delete run_3")).to_be_visible()
    assert violations(page) == []


# --- the accessibility tree -----------------------------------------------------------------------------------


def test_a_screen_reader_has_rows_that_open_and_tell_their_state(page):
    """D4: what Chromium gives to assistive technology. The state is a word of its own where the sign only draws it."""
    gallery.fill(page, "JupyterLab light", gallery.static("FAILED"))
    rows = {node["name"]: node for node in accessible(page).values() if node["role"] == "DisclosureTriangle"}
    charge = next(node for name, node in rows.items() if "Charge the card" in name)
    assert charge["expanded"] is True
    assert "CardError: 402 card_declined" in charge["name"]
    plan = next(node for name, node in rows.items() if "Look up the plan" in name)
    assert plan["expanded"] is False
    assert "replayed" in plan["name"]
    for name in rows:
        if name not in ("details", "Traceback"):
            assert name[0] in "✔✘●↻◷○⊘◐◌›", name  # the sign as a character, which readers pronounce or skip


# --- colours of the reader ------------------------------------------------------------------------------------

# The share of pixels of a picture that stand out from the page, or differ from another picture, with a contrast of 3.
INK = """async ([picture, other, ground]) => {
  const pixels = async data => {
    const image = await createImageBitmap(await (await fetch(`data:image/png;base64,${data}`)).blob());
    const context = new OffscreenCanvas(image.width, image.height).getContext('2d');
    context.drawImage(image, 0, 0);
    return context.getImageData(0, 0, image.width, image.height).data;
  };
  const luminance = (data, at) => {
    const [r, g, b] = [...data.slice(at, at + 3)].map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const data = await pixels(picture);
  const before = other ? await pixels(other) : null;
  let count = 0;
  for (let at = 0; at < data.length; at += 4) {
    const pair = [luminance(data, at), before ? luminance(before, at) : ground].sort((a, b) => a - b);
    if ((pair[1] + 0.05) / (pair[0] + 0.05) >= 3) count += 1;
  }
  return count / (data.length / 4);
}"""


def ink(picture: bytes, viewer: Page, *, other: bytes | None = None, dark: bool = True) -> float:
    """The share of pixels that can be seen on black or white; with another picture, that differ from it."""
    encoded = [base64.b64encode(each).decode() if each else None for each in (picture, other)]
    return viewer.evaluate(INK, [*encoded, 0 if dark else 1])


@pytest.fixture(scope="module")
def viewer(context):
    """A page that reads pictures, in no forced colours."""
    page = context.new_page()
    yield page
    page.close()


def forced(page: Page, scheme: Any) -> None:
    page.emulate_media(forced_colors="active", color_scheme=scheme, reduced_motion="reduce")


def assert_seen(found: Locator, viewer: Page, least: float, scheme: str) -> None:
    """Each of the elements, of which there must be some, has pixels that can be seen."""
    elements = [element for element in found.all() if element.is_visible()]
    assert elements
    for element in elements:
        share = ink(element.screenshot(), viewer, dark=scheme == "dark")
        assert share >= least, (element.evaluate("element => element.outerHTML.slice(0, 150)"), share)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_signs_icons_and_bars_are_seen_in_forced_colours(page, viewer, scheme):
    """Windows' contrast themes: what is drawn by a background must name its colour."""
    gallery.fill(page, "JupyterLab light", gallery.static("FAILED"))
    gallery.live(page)
    forced(page, scheme)
    for root in (page.locator(".tnb"), page.locator(".tnb-live")):
        for state in (
            "completed",
            "failed",
            "retrying",
            "waiting",
            "unfinished",
            "canceled",
            "not-reached",
            "log",
        ):
            assert_seen(root.locator(f".tnb-s-{state}").first, viewer, 0.02, scheme)
        assert_seen(root.locator(".tnb-i").first, viewer, 0.05, scheme)
        assert_seen(root.locator(".tnb-g").first, viewer, 0.05, scheme)
        assert_seen(root.locator(".tnb-bar").first, viewer, 0.1, scheme)
        for state in ("replayed", "completed", "failed", "waiting"):
            assert_seen(root.locator(f".tnb-bar .tnb-b-{state}").first, viewer, 0.3, scheme)
    live = page.locator(".tnb-live")
    assert_seen(live.locator(".tnb-s-running"), viewer, 0.1, scheme)
    assert_seen(live.locator(".tnb-pb"), viewer, 0.1, scheme)
    assert_seen(live.locator("button:has(.tnb-ic)"), viewer, 0.05, scheme)
    page.get_by_role("button", name="Timeline").click()
    assert_seen(live.locator(".tnb-cell:has(.tnb-span-completed)").first, viewer, 0.0001, scheme)


def test_what_is_chosen_or_pressed_is_seen_in_forced_colours(page, viewer):
    """The row whose details are open, a filter that is on, the view that is shown."""
    gallery.fill(page, "JupyterLab light")
    gallery.live(page)
    forced(page, "dark")
    chip = page.get_by_role("button", name="7 completed")
    other = page.get_by_role("button", name="Timeline")
    line = page.get_by_role("treeitem", name="completed, Open a session")

    def pictures() -> list[bytes]:
        page.mouse.move(0, 0)
        return [line.screenshot(), chip.screenshot(), other.screenshot()]

    before = pictures()
    line.click()
    expect(line).to_have_attribute("aria-selected", "true")
    chip.click()
    expect(chip).to_have_attribute("aria-pressed", "true")
    page.evaluate("document.activeElement.blur()")  # the ring of the focus is something else
    after = pictures()
    assert ink(after[0], viewer, other=before[0]) > 0.005
    assert ink(after[1], viewer, other=before[1]) > 0.02
    other.click()
    page.evaluate("document.activeElement.blur()")
    assert ink(pictures()[2], viewer, other=before[2]) > 0.02


def test_a_run_under_way_breathes_unless_motion_is_to_be_reduced(page):
    """WCAG 2.3.3; nothing else moves by itself."""
    gallery.fill(page, "JupyterLab light")
    gallery.live(page)
    moving = """() => document.getAnimations().map(each => each.animationName ?? each.transitionProperty)"""
    page.mouse.move(0, 0)
    page.emulate_media(reduced_motion="no-preference")
    assert page.locator(".tnb-s-running").count() >= 3
    expect_equal(
        lambda: page.evaluate(moving), ["tnb-breath"]
    )  # one sign of each run: more would cost too much
    page.emulate_media(reduced_motion="reduce")
    expect_equal(lambda: page.evaluate(moving), [])
