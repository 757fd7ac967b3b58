"""Notebook 7 is made of JupyterLab's parts, so one test tells whether the tree lives in it too."""

from __future__ import annotations

from playwright.sync_api import expect

from .lab import UNTIL

JOB = """
from trigger_nb import job

@job
async def greet(payload, io):
    await io.run_task("fetch-name", lambda: "Ana")
    await io.run_task("ask", until, "answered")

await greet.run()
"""


def test_the_tree_lives_in_notebook_7(notebook7):
    """D1, D4: it follows the run while the cell awaits it, and is static at its end."""
    tree = notebook7.open([UNTIL + JOB]).run_all().tree(0)
    expect(tree).to_contain_text("RUNNING")
    expect(tree.get_by_role("treeitem")).to_have_count(2)

    notebook7.signal("answered").wait_idle()
    expect(tree).to_contain_text("COMPLETED")
    expect(tree).to_contain_text("2 completed")
    [output] = notebook7.save().cells[0].outputs
    assert "COMPLETED" in output.data["text/html"]
