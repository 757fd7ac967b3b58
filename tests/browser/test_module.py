"""The front end's files, joined to the one module that a widget can have."""

from __future__ import annotations

from trigger_nb._view.live import widget

IMPORT = """async text => {
  const module = await import(URL.createObjectURL(new Blob([text], { type: 'text/javascript' })));
  return Object.keys(module.default());
}"""


def test_the_joined_module_is_one_that_a_browser_takes(context):
    """D1: its names do not collide, and nothing else is asked for."""
    page = context.new_page()
    assert {"initialize", "render"} <= set(page.evaluate(IMPORT, widget.module()))
    page.close()
