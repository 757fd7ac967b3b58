"""A kernel does not keep what a run leaves in memory, once nobody holds the run."""

from __future__ import annotations

import gc

import pytest

from tests.support.worlds import wait_until
from trigger_nb import Reason, TriggerClient
from trigger_nb._runs import runtime as module


@pytest.fixture
def client(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_LATEST", 5)
    return TriggerClient("many", dir=tmp_path, display=False)


def test_runs_that_have_ended_are_let_go_and_those_that_are_held_are_not(client):
    kept = []

    @client.job
    async def job(payload, io):
        value = await io.run_task("task", lambda: object() if payload == "kept" else payload)
        kept.append(value)

    job.run_sync("held")
    held = client.runs()[0]
    job.run_sync("kept")
    (first,) = kept[1:]
    for n in range(20):
        job.run_sync(n)
    runtime = client.runtime
    for left in (runtime.passes, runtime.memories, runtime.feeds):
        wait_until(lambda left=left: gc.collect() >= 0 and len(left) < 10)  # a thread may still end
    assert held.task("task").reason == Reason.NEW  # its handle is held
    assert client.runs()[0].task("task").reason == Reason.NEW  # it has just ended
    del kept[:]
    job.run_sync("kept")  # a value that is not in the store stays, whoever holds the run
    assert kept == [first]
    held.delete()
    gc.collect()
    assert held.id not in runtime.passes
