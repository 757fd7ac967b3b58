"""`replay_every_step`: a job whose replay would take another branch fails at once, with the first place that differs."""

from __future__ import annotations

import itertools
import re

import pytest

from tests.support.everything import add, busy, everything
from trigger_nb import TriggerClient
from trigger_nb.errors import NoStubError, ReplayMismatchError
from trigger_nb.testing import replay_every_step

HERE = re.escape(__file__)


@pytest.fixture
def client():
    return TriggerClient("shop")


def test_a_deterministic_job_passes_and_its_bodies_run_once(client):
    called = []
    run = replay_every_step(everything(client, called))
    assert run.status == "COMPLETED"
    assert run.output[:4] == [4, [2, 4, 6, "busy"], [1, 2, 3], [1, 2, 3]]
    assert called.count("first") == called.count("two") == called.count(1) == 1
    assert called.count("parent") > 2  # a body with subtasks is replayed, too
    assert run._record.passes > 12


def test_a_def_job_passes(client):
    @client.job
    def job(payload, io):
        total = 0
        for number in range(3):
            total = io.run_task(("add", number), add, total, number)
        io.wait("pause", hours=1)
        return total + sum(io.map("map", [1, 2], lambda n: n))

    run = replay_every_step(job)
    assert run.output == 6
    assert run._record.passes >= 5


def test_a_branch_that_depends_on_a_global_is_named_with_its_place(client):
    passes = itertools.count(1)

    @client.job
    async def job(payload, io):
        number = next(passes)
        await io.run_task("first", add, 1, 1)
        if number > 2:
            await io.run_task("surprise", add, 1, 1)
        return await io.run_task("last", add, 1, 1)

    with pytest.raises(
        ReplayMismatchError, match=rf"it calls task 'surprise' at {HERE}, line \d+.*where it called 'last'"
    ) as caught:
        replay_every_step(job)
    assert caught.value.path == "surprise"
    assert caught.value.place.startswith(f"{__file__}, line ")


def test_a_task_that_is_left_out_on_replay_is_named(client):
    passes = itertools.count(1)

    @client.job
    async def job(payload, io):
        if next(passes) < 3:
            await io.run_task("once", add, 1, 1)
        return await io.run_task("last", add, 1, 1)

    with pytest.raises(ReplayMismatchError, match=rf"task 'once', called at {HERE}, line \d+, is not called"):
        replay_every_step(job)


def test_a_subtask_that_is_left_out_on_replay_is_named(client):
    calls = itertools.count(1)

    @client.job
    async def job(payload, io):
        async def parent(io):
            number = next(calls)
            await io.run_task("one", add, 1, 1)
            if number < 3:
                await io.run_task("two", add, 1, 1)
            await io.run_task("three", add, 1, 1)

        await io.run_task("parent", parent)

    with pytest.raises(ReplayMismatchError, match="task 'parent/two'"):
        replay_every_step(job)


def test_an_argument_that_differs_each_time_is_named(client):
    passes = itertools.count(1)

    @client.job
    async def job(payload, io):
        number = next(passes)
        await io.run_task("first", add, 1, 1)
        return await io.run_task("with-number", add, number, 1)

    with pytest.raises(ReplayMismatchError, match="task 'with-number', called at .*gets other arguments"):
        replay_every_step(job)


def test_a_key_that_differs_each_time_ends_and_is_named(client):
    passes = itertools.count(1)

    @client.job
    async def job(payload, io):
        await io.run_task(f"fetch-{next(passes)}", add, 1, 1)

    with pytest.raises(ReplayMismatchError, match="it calls task 'fetch-2' at .*where it called 'fetch-1'"):
        replay_every_step(job)


@pytest.mark.parametrize("on_change", ["keep", "only", "rerun"])
def test_arguments_that_differ_end_the_test_whatever_the_job_does_on_changes(client, on_change):
    passes = itertools.count(1)

    @client.job(on_change=on_change)
    async def job(payload, io):
        for number in range(3):
            await io.run_task(("step", number), add, next(passes), 1)

    with pytest.raises(ReplayMismatchError, match="step · 0"):
        replay_every_step(job)


def test_a_body_that_fills_a_list_outside_of_it_makes_the_output_differ(client):
    @client.job
    async def job(payload, io):
        seen = []
        await io.run_task("see", lambda: seen.append(1))
        await io.run_task("more", add, 1, 1)
        return seen

    with pytest.raises(ReplayMismatchError, match=r"its output is \[\] after replays, and \[1\] without"):
        replay_every_step(job)


def test_a_job_that_fails_alike_raises_its_error(client):
    """A test of one line would pass otherwise, though the job has hardly begun."""

    @client.job
    async def job(payload, io):
        await io.run_task("first", add, 1, 1)
        await io.run_task("busy", busy)

    with pytest.raises(OSError, match="busy"):
        replay_every_step(job)


def test_stubs_are_called_once_as_in_a_test(client):
    @client.job
    async def job(payload, io):
        await io.run_task("first", add, 1, 1)
        return await io.run_task("last", busy)

    asked = []
    assert replay_every_step(job, stubs={"last": lambda: asked.append(1) or "ok"}).output == "ok"
    assert asked == [1]


def test_a_missing_stub_is_told(client):
    import socket

    @client.job
    async def job(payload, io):
        await io.run_task("reach", socket.create_connection, ("203.0.113.7", 443))

    with pytest.raises(NoStubError):
        replay_every_step(job)


def test_a_wait_that_comes_only_on_replay_is_named(client):
    passes = itertools.count(1)

    @client.job
    async def job(payload, io):
        number = next(passes)
        await io.run_task("first", add, 1, 1)
        if number > 2:
            await io.wait("surprise", days=1)

    with pytest.raises(ReplayMismatchError, match="it calls task 'surprise'"):
        replay_every_step(job)
