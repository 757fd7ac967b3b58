"""Notebook 7 is made of JupyterLab's parts, so one test tells whether the tree lives in it too."""

from __future__ import annotations

import os
import re
import signal

from playwright.sync_api import expect

from .lab import UNTIL

JOB = """
from trigger_nb import job

open("pid", "w").write(str(os.getpid()))

@job
async def greet(payload, io):
    await io.run_task("fetch-name", lambda: "Ana")
    await io.run_task("ask", until, "answered")

await greet.run()
"""


def test_the_tree_lives_in_notebook_7(notebook7):
    """D1, D4: it follows the run while the cell awaits it; of widget and snapshot, one is seen."""
    tree = notebook7.open([UNTIL + JOB]).run_all().tree(0)
    expect(tree).to_contain_text("RUNNING")
    expect(tree.get_by_role("treeitem")).to_have_count(2)
    taken = re.search(r"Last seen running at \S+ \S+ UTC", notebook7.snapshot(0)["text/plain"])
    assert taken

    os.kill(int((notebook7.folder / "pid").read_text()), signal.SIGKILL)
    expect(tree).to_have_count(1)
    expect(tree).to_contain_text("LAST SEEN RUNNING")
    notebook7.page.locator(".jp-Dialog").get_by_role("button", name="Ok").click()
    notebook7.reload()
    expect(tree).to_have_count(1)
    expect(tree).to_contain_text(taken[0])

    notebook7.signal("answered").run_all().wait_idle()
    expect(tree).to_have_count(1)
    expect(tree).to_contain_text("COMPLETED")
    expect(tree.get_by_role("treeitem", name="completed")).to_have_count(2)
    assert "COMPLETED" in notebook7.snapshot(0)["text/html"]
