"""What a run waits for when no record tells: the line of its function, a queue, a rate."""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
import time

import pytest

from tests.support.worlds import Gate, until
from trigger_nb import RunStatus, TriggerClient
from trigger_nb._runs import showing
from trigger_nb._view.render import parts, text
from trigger_nb.testing import FakeClock

T0 = 1_700_000_000.0


@pytest.fixture
def clock():
    return FakeClock(T0, autojump=False)


@pytest.fixture
def client(tmp_path, monkeypatch, clock):
    monkeypatch.chdir(tmp_path)
    return TriggerClient("where", dir=tmp_path / "store", display=False, clock=clock)


def model_of(run):
    return showing.make_model(run._runtime, run.id)


def line_of(function, words: str) -> int:
    """The number of the line in which the function has these words."""
    lines, first = inspect.getsourcelines(inspect.unwrap(function))
    return first + next(at for at, line in enumerate(lines) if words in line)


@pytest.mark.anyio
async def test_an_async_function_is_found_in_its_coroutine(client, clock):
    """The line of the job's function, not of what it awaits."""
    going_on = asyncio.Event()

    async def helper():
        await going_on.wait()

    async def function(payload, io):
        await io.run_task("a", lambda: 1)
        await helper()  # here

    run = client.job(id="job")(function).start()
    line = f"line {line_of(function, '# here')}"
    await until(lambda: line in (parts.standing(model_of(run)) or ("",))[0])
    words, since = parts.standing(model_of(run)) or ("", 0.0)
    assert words == f"in the job's function, …/runs/test_whereabouts.py, {line}"
    assert since == T0
    clock.advance(12.4)
    assert f"1 task: 1 completed · {words}, for 12 s" in text.tree(model_of(run), width=200)
    going_on.set()
    await run
    assert parts.standing(model_of(run)) is None


@pytest.mark.anyio
async def test_a_def_function_is_found_in_its_thread(client, clock):
    gate = Gate()

    def decorated(function):
        @functools.wraps(function)
        def wrapper(payload, io):
            return function(payload, io)

        return wrapper

    @decorated
    def function(payload, io):
        io.run_task("a", lambda: 1)
        gate.pass_through()  # here

    run = client.job(id="job")(function).start()
    await until(gate.reached.is_set)
    words = f"line {line_of(function, '# here')}"
    await until(lambda: words in (parts.standing(model_of(run)) or ("",))[0])
    gate.open()
    await run


@pytest.mark.anyio
async def test_while_a_task_is_under_way_the_line_of_the_function_is_no_news(client):
    gate = Gate()

    @client.job
    async def job(payload, io):
        await io.run_task("a", gate.pass_through_async)

    run = job.start()
    await until(gate.reached.is_set)
    assert parts.standing(model_of(run)) is None
    gate.open()
    await run


@pytest.mark.anyio
async def test_tasks_in_the_queue_of_a_rate_tell_their_place_and_when_the_next_may_begin(client, clock):
    """And the map that holds them is not counted beside them."""

    @client.job
    async def job(payload, io):
        await io.map("items", [0, 1, 2, 3], lambda item: item, rate="1/10 seconds")

    run = job.start()
    await until(lambda: "1 completed, 3 pending" in parts.counts(model_of(run).tally))
    tree = text.tree(model_of(run), width=200)
    assert "4 tasks: 1 completed, 3 pending" in tree
    for at, place in enumerate(["it is next", "1 before it", "2 before it"], 1):
        assert f"○ {at} · waits for its turn ({place}) · next call allowed in " in tree
    seconds = int(tree.rpartition("next call allowed in ")[2].split()[0])
    clock.advance(4)
    assert f"next call allowed in {seconds - 4} s" in text.tree(model_of(run), width=200)
    run.cancel()
    await until(lambda: run.status == RunStatus.CANCELED)


@pytest.mark.anyio
async def test_a_run_in_the_queue_of_its_job_tells_its_place(client):
    gate = Gate()

    @client.job(concurrency_limit=1)
    async def job(payload, io):
        await io.run_task("a", gate.pass_through_async)

    runs = [job.start(number) for number in range(3)]
    await until(gate.reached.is_set)
    assert "Queued (it is next): starts as soon as the limit of its job allows." in text.tree(
        model_of(runs[1])
    )
    assert "Queued (1 before it): starts as soon as" in text.tree(model_of(runs[2]))
    gate.open()
    for run in runs:
        await run
    assert "Queued" not in text.tree(model_of(runs[2]))


@pytest.mark.anyio
async def test_it_costs_little_however_many_wait(client, clock):
    """A view asks once a second, on the event loop."""

    @client.job
    async def job(payload, io):
        tasks = (io.run_task(f"t{n}", lambda: 1, rate="1/day") for n in range(3000))
        await asyncio.gather(*tasks)

    run = job.start()
    active = run._runtime.executions[run.id]
    await until(lambda: len(active.pass_.still.tickets) == 2999)
    began = time.thread_time()
    found = active.whereabouts.look(active.pass_)
    assert len(found.turns) == 200, "those far back are not looked for"
    assert time.thread_time() - began < 0.1
    run.cancel()
    await until(lambda: run.status == RunStatus.CANCELED)
    assert threading.active_count() < 50
