"""The notebook that people open first."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import expect

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
FIRST = "async def greet("
LAST = 'print("letters sent by this kernel:"'


@pytest.fixture
def quickstart(lab_of_its_own):
    lab = lab_of_its_own
    shutil.copy(NOTEBOOKS / "loopback.py", lab.folder)
    return lab.open(NOTEBOOKS / "quickstart.ipynb")


def test_the_quickstart_runs_and_in_a_new_kernel_all_is_replayed(quickstart):
    """D1, R1: the tree of a run stands under its cell, and a second kernel calls no body."""
    lab = quickstart
    lab.command("notebook:clear-all-cell-outputs").run_all().wait_idle()
    first = lab.find(FIRST)
    expect(lab.tree(first)).to_contain_text("COMPLETED")
    expect(lab.tree(first)).to_contain_text("fetch-name")
    # The widget shows the run as it is now, which a later cell has replayed; the file keeps how this cell left it.
    assert "2 completed" in lab.snapshot(first)["text/plain"]
    assert "replayed" not in lab.snapshot(first)["text/plain"]
    expect(lab.output(lab.find(LAST))).not_to_have_text("letters sent by this kernel: 0")

    lab.restart_kernel().run_all().wait_idle()
    expect(lab.tree(first)).to_contain_text(re.compile(r"2\s*replayed"))
    expect(lab.output(lab.find(LAST))).to_have_text("letters sent by this kernel: 0")


def test_the_quickstart_shows_its_trees_without_a_kernel(quickstart):
    """D4: as it was saved, to someone who has no kernel and has not said that they trust it."""
    lab = quickstart
    lab.run_all().wait_idle().save()
    lab.open(lab.folder / "quickstart.ipynb", kernel=False)
    expect(lab.tree(lab.find(FIRST))).to_contain_text("COMPLETED")
