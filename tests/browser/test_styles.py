"""That a static output has all the styles that it needs, though it carries only a part of the stylesheet (rule D4)."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

from tests.support.views import run, task
from trigger_nb._view.model.run_model import RunModel
from trigger_nb._view.render import html, run_table, stylesheet as styles
from trigger_nb._view.render.stylesheet import stylesheet

from . import gallery

# How each element of each output looks, in order, as far as the stylesheet has a say, and what is drawn beside its content.
LOOKS = """(outputs, properties) => outputs.map(output => [output, ...output.querySelectorAll('*')]
  .filter(element => element.localName !== 'style')
  .flatMap(element => ['', '::before', '::after'].map(part => {
    const style = getComputedStyle(element, part);
    const shown = part && style.content === 'none' ? [] : properties.map(name => `${name}:${style.getPropertyValue(name)}`);
    return `${element.localName}.${element.className.replace(/tnb-[0-9a-f]{6}/, '')}${part} ${shown.join(';')}`;
  })))"""
WHOLE = "tnb-ffffff"  # the root of outputs with the whole stylesheet
PROPERTIES = sorted(set(re.findall(r"(?<=[{;])([a-z][a-z-]*):", stylesheet())))


def small() -> str:
    return html.final(RunModel(run(), [task("one", 1, value=1)]))


def drawn() -> list[str]:
    """Outputs that need different parts of the stylesheet. The small one comes last, and so do its rules in the page."""
    model = gallery.model("FAILED")
    return [
        gallery.static("RUNNING"),
        gallery.static("FAILED"),
        run_table.as_html([model.run], model.now),
        small(),
    ]


@pytest.mark.parametrize(
    ("looks", "width"), [("JupyterLab dark", 1000), ("Quarto", 340), ("forced colours", 560)]
)
def test_an_output_looks_as_with_the_whole_stylesheet(page, looks, width, monkeypatch):
    forced = looks == "forced colours"
    page.emulate_media(forced_colors="active" if forced else "none")
    page.set_viewport_size({"width": width, "height": 900})

    def found():
        gallery.fill(page, "JupyterLab light" if forced else looks, "".join(drawn()))
        return page.eval_on_selector_all(".tnb", LOOKS, PROPERTIES)

    needed = found()
    monkeypatch.setattr(styles, "_needed", lambda _names: (WHOLE, styles.under(WHOLE, stylesheet())))
    whole = found()
    assert len(needed) == len(drawn())
    for one, other in zip(needed, whole, strict=True):
        assert [looks for looks in one if looks not in other] == []
        assert one == other


def test_a_small_output_carries_a_small_part_of_the_stylesheet():
    styles = re.findall(r"<style>(.*?)</style>", small(), re.DOTALL)
    assert sum(map(len, styles)) < 0.5 * len(stylesheet())


def test_outputs_that_need_different_rules_have_none_in_common():
    """A rule of one would come after a rule of another that is to override it."""
    roots = [re.findall(r'class="tnb (tnb-[0-9a-f]{6})', output) for output in drawn()]
    for one, other in pairwise(roots):
        assert one
        assert not set(one) & set(other)
