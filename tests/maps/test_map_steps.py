"""What a pass over a map costs, counted in calls of functions: twice the items, twice the steps."""

from __future__ import annotations

import asyncio
import sys
import threading

import pytest

from trigger_nb import TriggerClient
from trigger_nb.testing import FakeClock

PROMPT = "one"


async def ask(number, prompt):
    return number


async def item(number, io):
    io.logger.info("asked")
    return await io.run_task("ask", ask, number, PROMPT)


async def double(number):
    return 2 * number


async def failing(number, io):
    await io.run_task("ask", ask, number, PROMPT)
    raise ValueError(number)


def everything(directory, count, body=item, method="map", **options):
    client = TriggerClient(f"of-{count}", dir=directory, display=False, clock=FakeClock())

    @client.job(identity=lambda payload: "all")
    async def everything(payload, io):
        results = await getattr(io, method)("work", range(count), body, **options)
        await getattr(io, method)("after", results, double)
        return results

    return everything


def steps_of(action):
    """How many functions are called, on all threads."""
    counts = []

    def count(frame, event, argument):
        if event in ("call", "c_call"):
            counts.append(None)

    threading.setprofile(count)
    sys.setprofile(count)
    try:
        action()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return len(counts)


ACTIONS = {
    "plan": lambda job: job.plan(),
    "plan only": lambda job: job.plan(on_change="only"),
    "run keep": lambda job: job.run_sync(),
    "run only": lambda job: job.run_sync(on_change="only"),
    "plan rerun": lambda job: job.plan(on_change="rerun"),
    "run rerun": lambda job: job.run_sync(on_change="rerun"),
}


def assert_linear(few, many):
    assert many < 1.5 * 4 * few, f"{many / few:.1f} times the steps for 4 times the items"


@pytest.mark.parametrize("method", ["map", "parallel"])
@pytest.mark.parametrize("action", ACTIONS)
def test_changed_subtasks_of_many_items_take_steps_in_proportion(tmp_path, monkeypatch, method, action):
    """R6: the argument of each item's subtask has changed."""
    steps = []
    for count in (50, 200):
        job = everything(tmp_path, count, method=method)
        monkeypatch.setattr(sys.modules[__name__], "PROMPT", "one")
        job.run_sync()
        monkeypatch.setattr(sys.modules[__name__], "PROMPT", "two")
        steps.append(steps_of(lambda job=job: ACTIONS[action](job)))
    assert_linear(*steps)


@pytest.mark.parametrize("again", [lambda job: job.plan(), lambda job: asyncio.run(swallowed(job))])
def test_failed_items_with_subtasks_take_steps_in_proportion(tmp_path, again):
    """R5: each item failed, and fails again."""
    steps = []
    for count in (50, 200):
        job = everything(tmp_path, count, failing, max_failures=float("inf"))
        asyncio.run(swallowed(job))
        steps.append(steps_of(lambda job=job: again(job)))
    assert_linear(*steps)


async def swallowed(job):
    with pytest.raises(ExceptionGroup):
        await job.run()
