"""Runs in scripts."""

from __future__ import annotations

import asyncio

import pytest

from trigger_nb._runs.scripts import run_in_script


def test_an_interrupt_that_also_cancels_the_run_is_an_interrupt():
    """asyncio then raises a `CancelledError` out of `asyncio.run`, which no script expects."""

    async def run():
        task = asyncio.current_task()
        task.cancel()
        await asyncio.sleep(3600)

    async def close():
        pass

    with pytest.raises(KeyboardInterrupt):
        run_in_script("job", run, close)
