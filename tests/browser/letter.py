"""A job for the tests: its steps wait for the test, say in a file that they ran, and fail when told to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Locator

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


@contextmanager
def failing(lab: Lab, name: str) -> Iterator[None]:
    """Meanwhile a step fails, which it is let go to do."""
    lab.signal(f"{name} fails").signal(name)
    yield
    (lab.folder / f"{name} fails").unlink()
