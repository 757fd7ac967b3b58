"""A job for the tests: its steps wait for the test, say in a file that they ran, and fail when told to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Locator, expect

from .lab import UNTIL, Lab

JOB = (
    UNTIL
    + """
from trigger_nb import Retry, TriggerClient

client = TriggerClient("post")

async def step(name):
    with open("steps", "a") as file:
        print(name, file=file)
    await until(name)
    if os.path.exists(f"{name} fails"):
        raise ConnectionError(f"{name} failed")
    return name

@client.job(id="letter", name="Write to Ana")
async def letter(payload, io):
    await io.run_task("address", step, "address", name="Look up the address")
    await io.run_task("write", step, "write", name="Write the letter")
    await io.run_task("post", step, "post", name="Post it")
    return "posted"
"""
)
START = "run = letter.start()"
AWAIT = "run = letter.start(); await run"
STEPS = ("address", "write", "post")


def steps(lab: Lab) -> list[str]:
    """The steps that have begun, each as often as it did."""
    file = lab.folder / "steps"
    return file.read_text(encoding="utf-8").split() if file.exists() else []


def row(run: Locator, told: str) -> Locator:
    """The row of a task: `told` is how it begins in the words of a screen reader, "running, Post it"."""
    return run.get_by_role("treeitem", name=told)


def heard(run: Locator) -> None:
    """Wait until the kernel knows that a page shows the run.

    A run that fails before that leaves no buttons under the cell that awaits it (rule D4).
    """
    run.get_by_role("treeitem").first.click()
    expect(run.locator(".tnb-details li").first).to_be_visible()  # which the kernel has sent
    run.get_by_role("button", name="Close details").click()
    expect(run.locator(".tnb-details")).to_be_hidden()


@contextmanager
def failing(lab: Lab, name: str) -> Iterator[None]:
    """Meanwhile a step fails, which it is let go to do."""
    lab.signal(f"{name} fails").signal(name)
    yield
    (lab.folder / f"{name} fails").unlink()
