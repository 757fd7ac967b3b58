"""Bodies on engines of ipyparallel, which are real processes (C3)."""

from __future__ import annotations

import asyncio
import os

import ipyparallel
import pytest

from tests.remote.effects import until, wait_for
from tests.remote.jobs import last, run
from trigger_nb import TaskStatus
from trigger_nb.errors import WorkerLostError


@pytest.fixture(scope="module")
def engines(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HOME", "IPYTHONDIR"):
            patch.setenv(name, str(tmp_path_factory.mktemp("home")))
        cluster = ipyparallel.Cluster(n=1, log_level=40)
        engines = cluster.start_and_connect_sync()
        try:
            yield engines
        finally:
            engines.close()
            cluster.stop_cluster_sync()


def test_bodies_run_on_an_engine_and_one_that_is_lost_is_an_error(client, effects, engines):
    """C3, I6, R4, A5."""
    executor = engines.load_balanced_view().executor

    def body(n, task):
        effects.add(n)
        task.log("begun")
        task.output_properties = {"Process": os.getpid()}
        effects.pass_through("on")
        return n, task.idempotency_key, os.getpid()

    notes = []

    async def later():
        await asyncio.sleep(0)
        raise LookupError("later")

    @client.job(executor=executor)
    async def job(payload, io):
        try:
            await io.run_task("later", later)
        except LookupError as error:
            notes.extend(error.__notes__)
        return await io.map("m", range(3), body)

    async def main():
        cancelled = job.start()
        await until(lambda: effects.all)
        cancelled.cancel()
        await until(lambda: cancelled.status == "CANCELED")
        effects.open("on")
        return cancelled

    cancelled = asyncio.run(main())
    items = lambda: [task for task in cancelled.tasks if task.kind == "task" and task.path != "later"]
    wait_for(lambda: [task.status for task in items()] == [TaskStatus.COMPLETED] * 3)
    result = job.run_sync()
    assert [n for n, _, _ in result] == [0, 1, 2]
    assert {key for _, key, _ in result} == {task.idempotency_key for task in items()}
    assert os.getpid() not in {pid for _, _, pid in result}
    assert f'File "{__file__}", line' in notes[0]
    assert 'in later\n    raise LookupError("later")' in notes[0]
    assert [line.name for line in last(client).logs] == ["begun"] * 3
    assert set(effects.counts.values()) == {1}

    async def dying(payload, io):
        await io.run_task("die", lambda: os._exit(1), executor=executor)

    with pytest.raises(WorkerLostError, match="died while running task"):
        run(client, dying)
