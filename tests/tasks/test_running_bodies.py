"""Which starts are written down (rule A1)."""

from __future__ import annotations

import asyncio

import pytest

from trigger_nb import TriggerClient
from trigger_nb._engine.ledger import Ledger
from trigger_nb._store import crashpoints as crashpoints_module
from trigger_nb._tasks import running as running_module

pytestmark = pytest.mark.anyio


@pytest.fixture
def marked(starts_are_recorded, monkeypatch):
    """The paths of the tasks whose start was written down, where every body counts as a long one."""
    paths = []
    monkeypatch.setattr(Ledger, "mark_started", lambda self, record: paths.append(record.path))
    monkeypatch.setattr(
        running_module.watch, "_look", lambda: None
    )  # only the tests look, and when they choose
    yield paths
    crashpoints_module.disarm()


look = running_module._Watch()._look


@pytest.mark.parametrize("in_thread", [False, True])
async def test_the_start_of_a_body_that_runs_is_written_down_once(marked, in_thread):
    """A1: so that it is known to have begun when the kernel dies."""

    def body(number):
        look()
        look()

    async def async_body(number):
        body(number)

    @TriggerClient("flights").job
    async def job(payload, io):
        await io.run_task("task", body if in_thread else async_body, 1)

    await job.run()
    assert marked == ["task"]


@pytest.mark.parametrize("in_thread", [False, True])
async def test_the_start_of_a_body_that_has_ended_is_not_written_down(marked, in_thread):
    """A1: its result is on the way to the store, and of a `gather` they wait there for a while."""

    def body(number):
        return number

    async def async_body(number):
        return number

    @TriggerClient("flights").job
    async def job(payload, io):
        crashpoints_module.arm("commit:before", look)
        if in_thread:
            return [await io.run_task("task-0", body, 0)]
        return await asyncio.gather(*[io.run_task(f"task-{n}", async_body, n) for n in range(3)])

    assert await job.run() in ([0], [0, 1, 2])
    assert marked == []
