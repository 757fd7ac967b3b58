"""The wall clock is set back, or forward, while a job waits: no wait gets longer, and no duration is that of the change (W1)."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest

from trigger_nb import Retry, RunStatus, TriggerClient
from trigger_nb._clock import SystemClock
from trigger_nb._concurrency.limiter import Limiter

pytestmark = pytest.mark.anyio
DAYS = 3 * 86_400.0
PATIENCE = 120.0  # seconds: far less than the days, and more than any machine needs


class Wall(SystemClock):
    """The system's clock, which can be set."""

    shift = 0.0

    def time(self):
        return time.time() + self.shift


@pytest.fixture
def clock():
    return Wall()


@pytest.fixture
def client(tmp_path, clock):
    return TriggerClient("clock", dir=tmp_path, clock=clock, display=False)


async def soon(awaitable):
    return await asyncio.wait_for(awaitable, PATIENCE)


@pytest.mark.parametrize("what", ["wait", "until", "delay", "retry"])
@pytest.mark.parametrize("limit", [None, 1], ids=["", "with a slot"])
async def test_a_clock_that_is_set_back_prolongs_no_wait(client, clock, what, limit):
    @client.job(concurrency_limit=limit)
    async def job(payload, io):
        def set_back():
            clock.shift = -DAYS

        failures = [OSError("1")]

        def body():
            if what == "retry" and failures:
                raise failures.pop()
            return "done"

        async def waiting():
            when = datetime.fromtimestamp(clock.time(), UTC) + timedelta(seconds=0.3)
            if what == "wait":
                return await io.wait("wait", seconds=0.3)
            if what == "until":
                return await io.wait("wait", until=when)
            if what == "delay":
                return await io.run_task("delayed", body, delay_until=when)
            return await io.run_task("retried", body, retry=Retry(limit=2, min_timeout=0.3, randomize=False))

        async def setting():
            await asyncio.sleep(0.1)
            await io.run_task("set back", set_back)

        await asyncio.gather(waiting(), setting())
        return "done"

    assert await soon(job.run()) == "done"


@pytest.mark.parametrize("what", ["wait", "retry"])
async def test_nor_in_the_next_kernel(client, clock, what):
    """The stored end of the wait is days ahead of what the clock shows now."""
    calls = []

    def body():
        calls.append("body")
        if len(calls) == 1:
            raise OSError("1")

    @client.job
    async def job(payload, io):
        if what == "wait":
            await io.wait("wait", seconds=2)
        else:
            await io.run_task("task", body, retry=Retry(limit=2, min_timeout=2, randomize=False))
        return "done"

    run = job.start()
    while run.status in (RunStatus.PENDING, RunStatus.RUNNING):
        await asyncio.sleep(0.01)
    run.pause(now=True)
    with pytest.raises(BaseException):  # noqa: B017, PT011  # it was paused
        await run
    clock.shift = -DAYS
    assert await soon(job.run()) == "done"


@pytest.mark.parametrize("shift", [-DAYS, DAYS])
async def test_no_duration_is_that_of_the_change(client, clock, shift):
    @client.job
    async def job(payload, io):
        def body():
            clock.shift = shift

        await io.run_task("task", body)
        await io.run_task("after", lambda: None)

    run = job.start()
    await soon(run)
    for task in run.tasks:
        assert 0 <= task.duration < PATIENCE
    record = client.runtime.run_record(run.id)
    assert 0 <= record.worked < PATIENCE
    assert run.finished_at - run.started_at < timedelta(seconds=PATIENCE)


async def test_what_a_service_asked_for_is_not_prolonged(clock):
    limiter = Limiter(clock, 1)
    limiter.hold(clock.time() + 0.3)
    clock.shift = -DAYS
    await soon(limiter.acquire())


async def test_a_clock_that_is_set_forward_ends_a_wait(clock):
    """As after a laptop has slept."""
    clock.shift = 0.0
    when = clock.time() + DAYS

    async def forward():
        await asyncio.sleep(0.05)
        clock.shift = 2 * DAYS

    await soon(asyncio.gather(clock.sleep_until(when), forward()))
