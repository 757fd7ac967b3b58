"""Which starts are written down (rule A1)."""

from __future__ import annotations

import asyncio

import pytest

from trigger_nb import TriggerClient, _crashpoints, _flights
from trigger_nb._engine import Pass


@pytest.fixture
def marked(monkeypatch):
    """The paths of the tasks whose start was written down, where every body counts as a long one."""
    paths = []
    monkeypatch.setattr(_flights, "MARK_AFTER", 0)
    monkeypatch.setattr(Pass, "mark_started", lambda self, record: paths.append(record.path))
    # Only the tests look, and when they choose.
    monkeypatch.setattr(_flights.watch, "enter", lambda: None)
    monkeypatch.setattr(_flights.watch, "leave", lambda: None)
    yield paths
    _crashpoints.disarm()


@pytest.mark.parametrize("in_thread", [False, True])
async def test_the_start_of_a_body_that_runs_is_written_down_once(marked, in_thread):
    """A1: so that it is known to have begun when the kernel dies."""

    def body(number):
        _flights.watch._look()
        _flights.watch._look()

    async def async_body(number):
        body(number)

    @TriggerClient("flights").job
    async def job(payload, io):
        await io.run_task("task", body if in_thread else async_body, 1)

    await job.run()
    assert marked == ["task"]


@pytest.mark.parametrize("in_thread", [False, True])
async def test_the_start_of_a_body_that_has_ended_is_not_written_down(marked, in_thread):
    """A1: while its result waits for the commit that it shares, a start would be one more for nothing."""

    def body(number):
        return number

    async def async_body(number):
        return number

    @TriggerClient("flights").job
    async def job(payload, io):
        # The first commit is the run's record.
        _crashpoints.arm("commit:before", _flights.watch._look)
        each = body if in_thread else async_body
        return await asyncio.gather(*[io.run_task(f"task-{n}", each, n) for n in range(3)])

    assert await job.run() == [0, 1, 2]
    assert [path for path in marked if not in_thread] == []
