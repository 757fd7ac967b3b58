"""`concurrency_limit=` and `rate=` of a job: how many of its runs are in progress, and how often one begins."""

from __future__ import annotations

import asyncio
import threading

import pytest

from tests.support.worlds import World, until
from trigger_nb import ConcurrencyLimit, Rate, RunStatus, event_trigger
from trigger_nb._runs.runtime import Runtime, runtime_for
from trigger_nb._store import lease as lease_module
from trigger_nb.errors import InvalidOptionError, RunCanceledError, RunInterruptedError
from trigger_nb.testing import FakeClock

pytestmark = pytest.mark.anyio


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


class Inside:
    """How many runs are in progress at once, as their run functions see it."""

    def __init__(self):
        self.now = self.most = 0
        self.order = []
        self.gate = asyncio.Event()

    async def stay(self, name=None):
        self.now += 1
        self.most = max(self.most, self.now)
        self.order.append(name)
        try:
            await self.gate.wait()
        finally:
            self.now -= 1


def staying(world, inside, **options):
    @world.client.job(id="staying", **options)
    async def job(payload, io):
        await io.run_task("stay", inside.stay, payload)
        return payload

    return job


def statuses(*runs):
    return [(run.status, run.reason) for run in runs]


QUEUED = (RunStatus.PENDING, "")
RUNNING = (RunStatus.RUNNING, "")


async def test_never_more_than_the_limit_are_in_progress_and_the_first_comes_first(world):
    """C4."""
    inside = Inside()
    job = staying(world, inside, concurrency_limit=5)
    runs = [job.start(number) for number in range(50)]
    assert statuses(*runs[:6]) == [RUNNING] * 5 + [QUEUED]
    await until(lambda: inside.now == 5)
    inside.gate.set()
    assert await asyncio.gather(*runs) == list(range(50))
    assert inside.most == 5
    assert inside.order == list(range(50))
    assert {run.status for run in runs} == {RunStatus.COMPLETED}


async def test_a_queued_run_has_not_begun(world):
    inside = Inside()
    job = staying(world, inside, concurrency_limit=1)
    first, second = job.start(1), job.start(2)
    await until(lambda: inside.now == 1)
    assert second.started_at is None
    inside.gate.set()
    await second
    assert second.started_at is not None
    assert first.status == RunStatus.COMPLETED


@pytest.mark.parametrize(
    ("stop", "status", "error"),
    [
        ("cancel", RunStatus.CANCELED, RunCanceledError),
        ("pause", RunStatus.WAITING, RunInterruptedError),
    ],
)
async def test_a_queued_run_can_be_stopped_and_taken_up_again(world, stop, status, error):
    inside = Inside()
    job = staying(world, inside, concurrency_limit=1)
    first, second, third = (job.start(number) for number in (1, 2, 3))
    await until(lambda: inside.now == 1)
    getattr(second, stop)()
    with pytest.raises(error):
        await second
    assert second.status == status
    second.resume()
    inside.gate.set()
    assert await asyncio.gather(first, second, third) == [1, 2, 3]
    assert inside.most == 1
    assert inside.order == [1, 3, 2]


async def test_a_run_that_has_begun_before_waits_for_a_place(world):
    """It is WAITING, and says that it is queued."""
    inside = Inside()
    job = staying(world, inside, concurrency_limit=1)
    second = job.start(2)
    await until(lambda: inside.now == 1)
    second.pause(now=True)
    with pytest.raises(RunInterruptedError):
        await second
    first = job.start(1)
    second.resume()
    assert statuses(first, second) == [RUNNING, (RunStatus.WAITING, "queued")]
    assert "WAITING (queued)" in str(second.tree())
    inside.gate.set()
    assert await second == 2


async def test_an_interrupt_while_queued_leaves_the_line(world):
    """A7: the run is INTERRUPTED, and its place is another's."""
    inside = Inside()
    job = staying(world, inside, concurrency_limit=1)
    first = job.start(1)
    cell = asyncio.ensure_future(job.run(2))
    await until(lambda: len(world.client.runs()) == 2)
    third = job.start(3)
    cell.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cell
    [interrupted] = world.client.runs(status=RunStatus.INTERRUPTED)
    inside.gate.set()
    assert await asyncio.gather(first, third) == [1, 3]
    assert await interrupted.resume() == 2
    assert inside.most == 1


async def test_a_joined_run_takes_no_second_place(world):
    """I7."""
    inside = Inside()
    job = staying(world, inside, concurrency_limit=2)
    runs = [job.start(1), job.start(1), job.start(2)]
    await until(lambda: inside.now == 2)
    inside.gate.set()
    assert await asyncio.gather(*runs) == [1, 1, 2]


async def test_a_run_that_fails_gives_its_place_back(world):
    @world.client.job(id="failing", concurrency_limit=1)
    async def job(payload, io):
        raise ValueError(payload)

    for number in range(3):
        with pytest.raises(ValueError, match=str(number)):
            await job.run(number)


async def test_passes_of_a_run_that_is_under_way_keep_its_place(world):
    """`rerun_from` and edited code take the pass over, and nobody comes between."""
    inside = Inside()
    job = staying(world, inside, concurrency_limit=1)
    first, second = job.start(1), job.start(2)
    await until(lambda: inside.now == 1)

    async def edited(payload, io):
        await io.run_task("stay", inside.stay, payload)
        return -payload

    world.client.job(id="staying", concurrency_limit=1)(edited)
    job.client.runtime.jobs["staying"].start(1)
    inside.gate.set()
    assert await first == -1
    assert await second == 2
    assert inside.most == 1


async def test_two_jobs_share_a_limit(world):
    inside, heavy = Inside(), ConcurrencyLimit("two jobs", 2)

    def job(name):
        @world.client.job(id=name, concurrency_limit=heavy)
        async def run(payload, io):
            await io.run_task("stay", inside.stay, (name, payload))

        return run

    one, other = job("one"), job("other")
    runs = [each.start(number) for number in range(5) for each in (one, other)]
    await until(lambda: inside.now == 2)
    inside.gate.set()
    await asyncio.gather(*runs)
    assert inside.most == 2
    assert inside.order == [(name, number) for number in range(5) for name in ("one", "other")]


async def test_the_same_id_with_another_limit_is_an_error_while_it_is_in_use(world):
    inside = Inside()
    run = staying(world, inside, concurrency_limit=ConcurrencyLimit("id", 2)).start(1)
    with pytest.raises(InvalidOptionError, match="is in use"):
        staying(world, inside, concurrency_limit=ConcurrencyLimit("id", 3)).start(2)
    inside.gate.set()
    await run


async def test_the_cell_of_a_job_is_run_again_with_another_limit(world):
    inside = Inside()
    runs = [staying(world, inside, concurrency_limit=1).start(number) for number in range(3)]
    await until(lambda: inside.now == 1)
    runs.append(staying(world, inside, concurrency_limit=3).start(3))
    await until(lambda: inside.now == 3)
    inside.gate.set()
    await asyncio.gather(*runs)
    assert inside.most == 3


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, "3"])
def test_a_limit_is_a_number(world, limit):
    with pytest.raises(InvalidOptionError, match="concurrency_limit"):
        world.client.job(concurrency_limit=limit)


@pytest.mark.parametrize("rate", ["often", 5, 1.5])
def test_a_rate_of_a_job_is_checked_where_it_is_defined(world, rate):
    with pytest.raises(InvalidOptionError):
        world.client.job(rate=rate)


# --- Rates ----------------------------------------------------------------------------------------


async def test_runs_begin_at_the_rate(world):
    @world.client.job(id="paced", rate="2/hour")
    async def job(payload, io):
        world.note(world.clock.time())

    first = world.clock.time()
    runs = [job.start(number) for number in range(4)]
    assert statuses(*runs) == [RUNNING, QUEUED, QUEUED, QUEUED]
    await asyncio.gather(*runs)
    assert [round((when - first) / 60) for when in world.calls] == [0, 30, 60, 90]


async def test_a_rate_goes_on_when_the_cell_of_the_job_is_run_again(world):
    def define():
        @world.client.job(id="paced", rate="1/hour")
        async def job(payload, io):
            world.note(world.clock.time())

        return job

    await define().run(1)
    await define().run(2)
    assert world.calls[1] - world.calls[0] == pytest.approx(3600, abs=1)


# --- Child runs -----------------------------------------------------------------------------------


async def test_waiting_for_a_child_run_holds_no_place(world):
    """C4, nested three levels: each run of the one place waits for the one below it."""
    one = ConcurrencyLimit("nested", 1)

    @world.client.job(id="leaf", concurrency_limit=one)
    async def leaf(payload, io):
        return payload

    @world.client.job(id="middle", concurrency_limit=one)
    async def middle(payload, io):
        return await leaf.run(payload) + 1

    @world.client.job(id="top", concurrency_limit=one)
    async def top(payload, io):
        return await io.invoke_and_wait("child", middle, payload) + 1

    assert await asyncio.wait_for(top.run(1), 60) == 3
    runs = [top.start(number) for number in range(2, 8)]
    assert await asyncio.wait_for(asyncio.gather(*runs), 60) == [number + 2 for number in range(2, 8)]


async def test_of_a_job_that_runs_itself(world):
    @world.client.job(id="counting", concurrency_limit=1)
    async def job(payload, io):
        return 0 if payload == 0 else 1 + await job.run(payload - 1)

    assert await asyncio.wait_for(job.run(5), 60) == 5


async def test_several_child_runs_at_once_deadlock_nobody(world):
    one = ConcurrencyLimit("several", 1)

    @world.client.job(id="child", concurrency_limit=one)
    async def child(payload, io):
        await io.wait("w", 1)
        return payload

    @world.client.job(id="parent", concurrency_limit=one)
    async def parent(payload, io):
        outputs = await asyncio.gather(*(child.run((payload, number)) for number in range(3)))
        return len(outputs)

    runs = [parent.start(number) for number in range(3)]
    assert await asyncio.wait_for(asyncio.gather(*runs), 60) == [3, 3, 3]


async def test_after_its_child_a_run_comes_before_those_that_have_not_begun(world):
    inside, one = Inside(), ConcurrencyLimit("back", 1)

    @world.client.job(id="child", concurrency_limit=one)
    async def child(payload, io):
        world.note("child")

    @world.client.job(id="parent", concurrency_limit=one)
    async def parent(payload, io):
        world.note(("before", payload))
        await child.run(payload)
        world.note(("after", payload))

    @world.client.job(id="other", concurrency_limit=one)
    async def other(payload, io):
        world.note("other")
        await io.run_task("stay", inside.stay)

    first = parent.start(1)
    others = [other.start(number) for number in range(2)]
    await until(lambda: inside.now == 1)
    inside.gate.set()
    await asyncio.gather(first, *others)
    assert inside.most == 1
    assert world.calls.index("child") < world.calls.index(("after", 1))


async def test_whoever_gives_a_child_up_has_a_place_again(world):
    """A place is neither lost nor given away twice when the wait for a child is cancelled."""
    inside, one = Inside(), ConcurrencyLimit("given up", 1)

    @world.client.job(id="child", concurrency_limit=one)
    async def child(payload, io):
        await io.run_task("stay", inside.stay)

    @world.client.job(id="parent", concurrency_limit=one)
    async def parent(payload, io):
        run = child.start(payload)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(run, 0.05)
        inside.gate.set()
        return "went on"

    assert await asyncio.wait_for(parent.run(1), 60) == "went on"
    await asyncio.gather(*child.runs())
    inside.gate.clear()
    assert await asyncio.wait_for(parent.run(2), 60) == "went on"
    await asyncio.gather(*child.runs())
    assert inside.most == 1


def test_def_jobs_too(world):
    """A `def` job that runs another one by `run_sync` in a body: that one lives on an event loop of its own."""
    one = ConcurrencyLimit("def jobs", 1)

    @world.client.job(id="child", concurrency_limit=one)
    def child(payload, io):
        return payload + 1

    @world.client.job(id="parent", concurrency_limit=one)
    def parent(payload, io):
        by_io = io.invoke_and_wait("io", child, payload)
        return io.run_task("sync", lambda: child.run_sync(by_io))

    done = []
    thread = threading.Thread(target=lambda: done.append(parent.run_sync(1)), daemon=True)
    thread.start()
    thread.join(60)
    assert done == [3]


async def test_events_too(world):
    inside = Inside()
    job = staying(world, inside, concurrency_limit=2, trigger=event_trigger("e"))
    events = [await world.client.send_event("e", number) for number in range(6)]
    await until(lambda: inside.now == 2)
    inside.gate.set()
    await asyncio.gather(*(run for event in events for run in event.runs))
    assert inside.most == 2
    assert len(job.runs()) == 6


# --- Waits ----------------------------------------------------------------------------------------


async def test_a_run_that_waits_for_long_holds_no_place(world):
    """C4: the run of one place sleeps for three days, and others go on; then it has its place again."""
    inside = Inside()

    @world.client.job(id="sleeping", concurrency_limit=1)
    async def job(payload, io):
        await asyncio.gather(io.wait("short", minutes=1), io.wait("long", days=payload))
        await io.run_task("stay", inside.stay, payload)
        return world.clock.time()

    inside.gate.set()
    began = world.clock.time()
    ended = await asyncio.gather(*(job.start(days) for days in (3, 1, 2)))
    assert [round((when - began) / 86400, 2) for when in ended] == [3, 1, 2]
    assert inside.order == [1, 2, 3]
    assert inside.most == 1


async def test_a_run_that_waits_for_a_moment_keeps_its_place(world):
    """A retry in a second does not end up behind the runs of an hour."""

    @world.client.job(id="waiting", concurrency_limit=1)
    async def job(payload, io):
        world.note(("began", payload))
        await io.wait("w", seconds=5)
        world.note(("ended", payload))

    await asyncio.gather(*(job.start(number) for number in range(2)))
    assert world.calls == [("began", 0), ("ended", 0), ("began", 1), ("ended", 1)]


# --- What dies ------------------------------------------------------------------------------------


async def test_a_run_whose_kernel_died_while_it_was_queued_is_interrupted(world, monkeypatch):
    inside = Inside()
    job = staying(world, inside, concurrency_limit=1)
    first, second = job.start(1), job.start(2)
    await until(lambda: inside.now == 1)
    runtime: Runtime = runtime_for(world.client.dir, world.clock)
    record = runtime.run_record(second.id)
    assert record.status == RunStatus.PENDING
    execution = runtime.executions.pop(second.id)
    assert runtime.status_of(record) == RunStatus.PENDING
    monkeypatch.setattr(lease_module, "is_held", lambda *_: False)
    assert runtime.status_of(record) == RunStatus.INTERRUPTED
    runtime.executions[second.id] = execution
    inside.gate.set()
    await asyncio.gather(first, second)


async def test_a_run_that_is_awaited_waits_for_its_rate(tmp_path):
    world = World(tmp_path)
    world.clock = FakeClock()

    @world.client.job(id="job", concurrency_limit=1, rate=Rate("1/minute"))
    async def job(payload, io):
        return await io.run_task("t", lambda: payload)

    began = world.clock.time()
    assert [await job.run(number) for number in range(2)] == [0, 1]
    assert world.clock.time() - began == pytest.approx(60, abs=1)


async def test_what_a_handler_starts_finds_the_place_free(world):
    """The run has come to rest before `on_success` is called, which may run the same job."""
    done = []

    async def again(notification):
        done.append(notification.output)
        if notification.output:
            await job.run(notification.output - 1)

    @world.client.job(id="chain", concurrency_limit=1, on_success=again)
    async def job(payload, io):
        return payload

    run = job.start(3)
    await asyncio.wait_for(run, 60)
    await until(lambda: done == [3, 2, 1, 0])


async def test_a_run_that_is_queued_says_so_and_its_clock_stands_still(world):
    inside = Inside()
    job = staying(world, inside, concurrency_limit=1)
    first, second = job.start(1), job.start(2)
    await until(lambda: inside.now == 1)
    assert "Queued (it is next): starts as soon as the limit of its job allows." in str(second.tree())
    assert "Queued" not in str(first.tree())
    first.pause(now=True)
    with pytest.raises(RunInterruptedError):
        await first
    await until(lambda: inside.now == 1)
    first.resume()
    assert "Queued" in str(first.tree())
    lasted = first.model().elapsed
    world.clock.advance(3600)
    assert first.model().elapsed == lasted
    inside.gate.set()
    await asyncio.gather(first, second)
