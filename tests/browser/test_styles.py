"""That a static output has all the styles that it needs, though it carries only a part of the stylesheet (rule D4)."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

from tests.support.views import run, task
from trigger_nb._view.model.run_model import RunModel
from trigger_nb._view.render import html, run_table
from trigger_nb._view.render.stylesheet import stylesheet, under

from . import gallery

# How each element of each output looks, in order: all computed styles that differ from those of a bare element.
LOOKS = """outputs => outputs.map(output => [output, ...output.querySelectorAll('*')]
  .filter(element => element.localName !== 'style')
  .flatMap(element => ['', '::before', '::after'].map(part => {
    const style = getComputedStyle(element, part);
    return `${element.localName}.${element.className.replace(/tnb-[0-9a-f]{6}/, '')}${part} ` +
      [...style].filter(name => !name.startsWith('--')).map(name => `${name}:${style.getPropertyValue(name)}`).join(';');
  })))"""


@pytest.fixture(scope="module")
def page(context):
    return context.new_page()


def small() -> str:
    return html.final(RunModel(run(), [task("one", 1, value=1)]))


def drawn() -> list[str]:
    """Outputs that need different parts of the stylesheet. The small one comes last, and so do its rules in the page."""
    model = gallery.model("FAILED")
    return [
        gallery.static("RUNNING"),
        gallery.static("FAILED"),
        gallery.static("COMPLETED"),
        run_table.as_html([model.run], model.now),
        small(),
    ]


def whole(output: str) -> str:
    """The same output with all rules of the stylesheet."""
    root = re.search(r'class="tnb (tnb-\w+)', output)
    assert root
    own = re.search(r"<style>.*?</style>", output, re.DOTALL)
    assert own
    return output.replace("<style>", f"<style>{under(root[1], stylesheet())}", 1)


@pytest.mark.parametrize("width", [340, 560, 1000])
@pytest.mark.parametrize("looks", ["JupyterLab dark", "Quarto", "forced colours"])
def test_an_output_looks_as_with_the_whole_stylesheet(page, looks, width):
    forced = "active" if looks == "forced colours" else "none"
    page.emulate_media(forced_colors=forced)
    page.set_viewport_size({"width": width, "height": 900})
    found = []
    for outputs in (drawn(), list(map(whole, drawn()))):
        gallery.fill(page, "JupyterLab light" if forced == "active" else looks, "".join(outputs))
        found.append(page.eval_on_selector_all(".tnb", LOOKS))
    needed, all_rules = found
    assert len(needed) == len(drawn())
    assert needed == all_rules


def test_a_small_output_carries_a_small_part_of_the_stylesheet():
    styles = re.findall(r"<style>(.*?)</style>", small(), re.DOTALL)
    assert sum(map(len, styles)) < 0.5 * len(stylesheet())


def test_outputs_that_need_different_rules_have_none_in_common():
    """A rule of one would come after a rule of another that is to override it."""
    roots = [re.findall(r'class="tnb (tnb-[0-9a-f]{6})', output) for output in drawn()]
    for one, other in pairwise(roots):
        assert one
        assert not set(one) & set(other)
