"""A marimo notebook, in its editor: trees of runs, and their list."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from playwright.sync_api import Locator, Page, expect

from .lab import expect_equal
from .server import STARTS_WITHIN

pytest.importorskip("marimo")

NOTEBOOK = """
import marimo
app = marimo.App()

@app.cell
def _():
    import asyncio, os
    from trigger_nb import TriggerClient
    client = TriggerClient("marimo")

    async def until(name):
        while not os.path.exists(name):
            await asyncio.sleep(0.01)

    @client.job
    async def greet(payload, io):
        await io.run_task("first", lambda: 1)
        await io.run_task("second", until, payload)
        return f"hello {payload}"
    return client, greet

@app.cell
async def _(greet):
    await greet.run("awaited")

@app.cell
def _(greet):
    run = greet.start("started")
    run

@app.cell
def _(client):
    client.runs()
"""


@contextmanager
def editor(notebook: Path) -> Iterator[str]:
    """marimo's editor of a notebook; the URL of its page."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "marimo", "--quiet", "edit", notebook.name, "--headless", "--no-token"]
    environment = {**os.environ, "HOME": str(notebook.parent), "MARIMO_SKIP_UPDATE_CHECK": "1"}
    with open(notebook.parent / "server.log", "w", encoding="utf-8") as log:
        server = subprocess.Popen(
            [*command, "--port", str(port)], cwd=notebook.parent, env=environment, stdout=log, stderr=log
        )
    try:
        yield _answering(f"http://127.0.0.1:{port}", server)
    finally:
        server.terminate()
        server.wait()


def _answering(url: str, server: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urlopen(f"{url}/health", timeout=5):
                return url
        except (URLError, TimeoutError):
            time.sleep(0.1)
    raise TimeoutError("marimo did not start")


@pytest.fixture
def notebook(context, tmp_path):
    """A page with the notebook above, whose cells have not run yet."""
    file = tmp_path / "notebook.py"
    file.write_text(NOTEBOOK, encoding="utf-8")
    with editor(file) as url:
        page = context.new_page()
        page.goto(url)
        expect(cell(page, 0)).to_contain_text("TriggerClient")
        yield page
        page.close()


def cell(page: Page, number: int) -> Locator:
    return page.locator("[data-cell-id]:has(.cm-editor)").nth(number)


def run_all(page: Page) -> None:
    cell(page, 0).locator(".cm-content").click()
    page.keyboard.press("Control+Shift+r")


def run_cell(page: Page, number: int) -> None:
    cell(page, number).locator(".cm-content").click()
    page.keyboard.press("Control+Enter")


def tree(page: Page, number: int) -> Locator:
    return cell(page, number).locator(".tnb-live")


def row(place: Locator, name: str) -> Locator:
    return place.get_by_role("treeitem", name=name)


def test_runs_are_alive_in_marimo(notebook, tmp_path):
    """D1, D3: a run that is awaited, one in the background, and the list of runs."""
    run_all(notebook)
    awaited = tree(notebook, 1)
    expect(row(awaited, "running, second")).to_be_visible()
    expect(awaited.locator(".tnb-h").first).to_have_css("display", "flex")
    (tmp_path / "awaited").touch()
    expect(awaited).to_contain_text("COMPLETED")
    expect(cell(notebook, 1)).to_contain_text("'hello awaited'")  # beside the tree

    started = tree(notebook, 2)
    expect(row(started, "running, second")).to_be_visible()
    expect(started).to_have_count(1)  # not two, one for the start and one for the last line
    runs = tree(notebook, 3).locator("tbody tr")
    expect(runs).to_have_count(2)
    expect(runs.first).to_contain_text("RUNNING")
    started.get_by_role("button", name="Cancel").click()
    expect(started).to_contain_text("CANCELED")
    expect(runs.first).to_contain_text("CANCELED")

    run_cell(notebook, 1)  # which closes the widgets that it made
    expect(awaited).to_contain_text("Everything was replayed")
    runs.last.click()
    expect(row(tree(notebook, 3), "completed, first")).to_be_visible()
    expect_equal(lambda: notebook.locator("text=Model not found").count(), 0)
