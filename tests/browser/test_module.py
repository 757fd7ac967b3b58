"""The front end on its way into a page: once for all widgets of a kernel, and once for each version of it."""

from __future__ import annotations

import nbformat
import pytest
from playwright.sync_api import Locator, expect

from tests.support.wheel import unpacked_wheel

from .lab import KERNEL, expect_equal
from .wire import COUNT

JOB = """
from trigger_nb import TriggerClient
client = TriggerClient("module")

@client.job
async def greet(payload, io):
    return await io.run_task("name", lambda: payload)
"""
SHOW = "run = greet.start(1, display=False)\nrun.widget"
FROM_WHEEL = "import sys; sys.path.insert(0, {!r})\n"  # the package, in the cell
SAVE_STATE = "@jupyter-widgets/jupyterlab-manager:saveWidgetState"
VERSIONS = "[...globalThis[Symbol.for('trigger_nb front ends')].keys()]"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return unpacked_wheel(tmp_path_factory.mktemp("wheel"))


def is_styled(run: Locator) -> None:
    expect(run.locator(".tnb-h").first).to_have_css("display", "flex")


def test_runs_bring_the_front_end_once(lab_of_its_own):
    """D1: what a further run puts on the wire is its own."""
    lab = lab_of_its_own
    lab.page.add_init_script(COUNT)
    fifteen = "for n in range({}, {}):\n    greet.start(n)"  # JupyterLab shows 50 outputs of a cell: 25 runs
    lab.open([JOB, "greet.start(0)", fifteen.format(1, 16), fifteen.format(16, 31)])
    lab.run_cell(0).wait_idle()
    lab.run_cell(1).wait_idle()
    expect(lab.tree(1)).to_be_visible()
    first = lab.page.evaluate("wire.widgets")
    assert first > 50_000
    for cell in (2, 3):
        lab.run_cell(cell).wait_idle()
        expect(lab.tree(cell)).to_have_count(15)
    assert lab.page.evaluate("wire.widgets") - first < 30 * 15_000, "a fifth of the front end"
    assert lab.page.evaluate(f"{VERSIONS}.length") == 1
    styles = "[...document.querySelectorAll('style')].filter(style => style.textContent.startsWith('@scope (.tnb-'))"
    assert lab.page.evaluate(f"{styles}.length") == 1


def test_kernels_with_different_versions_share_a_page(lab_of_its_own, wheel):
    """D1: each run is drawn by the front end that came with it, in styles of its own."""
    lab = lab_of_its_own
    lab.open([JOB, SHOW]).run_all().wait_idle()
    ours = lab.live(1)
    is_styled(ours)
    cells = [nbformat.v4.new_code_cell(cell) for cell in (FROM_WHEEL.format(str(wheel)) + JOB, SHOW)]
    other = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": KERNEL})
    nbformat.write(other, lab.folder / "other.ipynb")
    path = (lab.folder / "other.ipynb").relative_to(lab.server.root).as_posix()
    lab.command("docmanager:open", path=path).wait_idle().run_all().wait_idle()
    theirs = lab.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .tnb-live")
    is_styled(theirs)
    expect_equal(lambda: lab.page.evaluate(f"{VERSIONS}.length"), 2)
    assert lab.complaints() == []


def test_the_front_end_is_saved_once_with_the_state_of_widgets(lab):
    """D1: JupyterLab saves widgets only where that is chosen; nbconvert's pages are made of what it saves."""
    lab.open([JOB, SHOW, "other = greet.start(2, display=False)\nother.widget"]).run_all().wait_idle()
    expect(lab.live(2)).to_contain_text("COMPLETED")
    lab.command(SAVE_STATE).wait_idle()
    try:
        models = lab.save().metadata["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    finally:
        lab.command(SAVE_STATE).wait_idle()
    [front_end] = [name for name, model in models.items() if model["state"].get("packed")]
    shared = [model["state"]["shared"] for model in models.values() if "shared" in model["state"]]
    assert shared == [f"IPY_MODEL_{front_end}"] * 2
