"""Bodies on a Dask cluster: its scheduler and workers are real processes, and some of them are killed (C3)."""

from __future__ import annotations

import asyncio
import os
import signal

import dask
import distributed
import pytest
from distributed.scheduler import KilledWorker

from tests.remote.effects import until, wait_for
from tests.remote.jobs import COUNTING, check_the_rest_is_counted, counted, last, run
from tests.support.kernels import kernel_in
from tests.support.worlds import time_is_up
from trigger_nb import TaskStatus
from trigger_nb._records.feed import Progressed, Saved
from trigger_nb._remote import dispatch as dispatch_module
from trigger_nb.errors import UsageError, WorkerLostError

# Dask says so of a slow machine.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Creating scratch directories is taking a surprisingly long time"
)


@pytest.fixture(scope="module")
def cluster():
    """Two workers, outside of every kernel that a test starts."""
    quiet = {
        "distributed.logging": {"distributed": "error"},
        "distributed.scheduler.allowed-failures": 0,
        "distributed.comm.timeouts": {"connect": "600s", "tcp": "600s"},
    }
    with (
        dask.config.set(quiet),
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
    ):
        yield cluster


@pytest.fixture(scope="module")
def dask_client(cluster):
    with distributed.Client(cluster) as client:
        yield client


@pytest.fixture(params=["client", "executor"])
def executor(request, dask_client):
    """Both forms in which Dask is given."""
    return dask_client if request.param == "client" else dask_client.get_executor()


def test_bodies_run_on_the_workers_and_report_home(client, effects, executor):
    """C3, I6, R1."""

    def body(n, task):
        task.log(f"item {n}")
        for done in range(30):
            task.progress(done, 30)
        effects.pass_through("seen")
        task.output_properties = {"Worker": distributed.get_worker().name}
        return n, os.getpid(), task.idempotency_key

    async def job(payload, io):
        seen = io._pass.feed.subscribe()
        call = asyncio.ensure_future(io.map("m", range(4), body))
        told = lambda: any(isinstance(e, Progressed) and e.path != "m" for e in seen.take())
        await until(lambda: call.done() or told())
        effects.open("seen")
        return await call

    result = run(client, job, executor=executor)
    assert [n for n, _, _ in result] == [0, 1, 2, 3]
    assert os.getpid() not in {pid for _, pid, _ in result}
    items = [task for task in last(client).tasks if task.kind == "task"]
    assert {key for _, _, key in result} == {task.idempotency_key for task in items}
    assert {line.name for line in last(client).logs} == {f"item {n}" for n in range(4)}
    assert items[0].output_properties[0]["label"] == "Worker"
    assert run(client, job, executor=executor) == result


def test_an_error_on_a_worker_has_its_file_and_line(client, executor):
    """R4."""

    async def job(payload, io):
        await io.run_task("a", lambda: {}["key"])

    with pytest.raises(KeyError) as caught:
        run(client, job, executor=executor)
    assert f'File "{__file__}", line' in caught.value.__notes__[0]
    assert 'in <lambda>\n    await io.run_task("a", lambda: {}["key"])' in caught.value.__notes__[0]


def test_equal_calls_are_not_merged_into_one(client, effects, executor):
    """Dask takes what has the same key for the same task: each attempt has a key of its own."""

    def body(what):
        effects.add(what)
        return what

    async def job(payload, io):
        return await asyncio.gather(*(io.run_task(n, body, "same") for n in "abcd"))

    assert run(client, job, executor=executor) == ["same"] * 4
    assert effects.counts == {"same": 4}


def test_nothing_is_held_on_the_cluster_of_what_came_home(client, cluster, executor):
    """Else Dask would run it again when the worker that has its result dies."""

    async def job(payload, io):
        return await io.map("m", range(20), lambda n: n)

    run(client, job, executor=executor)
    wait_for(lambda: not cluster.scheduler.tasks)


def test_time_on_the_way_is_no_part_of_a_timeout_and_one_that_is_up_starts_nothing_twice(
    client, effects, dask_client
):
    """A3, A5."""

    def body(n):
        effects.add(n)
        effects.pass_through("on")
        return n

    async def job(payload, io):
        options = {"timeout": 60, "retry": 2, "on_error": lambda error: effects.open("on")}
        calls = asyncio.gather(*(io.run_task(n, body, n, **options) for n in "abcde"))
        await until(lambda: effects.all)
        await time_is_up(effects.all[0])  # those that still wait for a worker have all of theirs
        return await calls

    assert run(client, job, executor=dask_client) == list("abcde")
    assert set(effects.counts.values()) == {1}


def test_cancel_reaches_what_waits_and_keeps_what_runs(client, effects, cluster, dask_client, monkeypatch):
    """A5, A7."""
    monkeypatch.setattr(
        dispatch_module, "START_REPORT_SECONDS", 0.1
    )  # that the two have begun is known by then

    def body(n):
        effects.add(n)
        effects.pass_through("on")
        return n

    @client.job(executor=dask_client)
    async def job(payload, io):
        return await io.map("m", range(6), body)

    async def main():
        run = job.start()
        seen = run._runtime.feed(run.id).subscribe()
        statuses = {}

        def both_have_begun():
            records = [e.record for e in seen.take() if isinstance(e, Saved)]
            statuses.update({each.path: each.status for each in records if each.path != "m"})
            return sorted(statuses.values()) == ["PENDING"] * 4 + ["RUNNING"] * 2

        await until(both_have_begun)
        run.cancel()
        await until(lambda: run.status == "CANCELED")
        await until(lambda: len(cluster.scheduler.tasks) == 2)
        # The scheduler asks the workers to drop the rest; one that is still there begins as soon as a worker is free.
        left = lambda dask_worker: len(dask_worker.state.tasks)
        await until(lambda: sum(dask_client.run(left).values()) == 2)
        effects.open("on")
        await until(lambda: not cluster.scheduler.tasks)
        return run

    cancelled = asyncio.run(main())
    begun = set(effects.all)
    assert len(begun) == 2
    completed = lambda: {
        t.name for t in cancelled.tasks if t.status == TaskStatus.COMPLETED and t.kind != "map"
    }
    wait_for(lambda: completed() == begun)
    assert job.run_sync() == list(range(6))
    assert set(effects.counts.values()) == {1}


def test_a_worker_that_dies_is_an_error_that_retry_handles(client, effects, dask_client):
    """A1: Dask gives up after so many workers, here the first; the task does not."""

    def die(how_often):
        effects.add("begun")
        if len(effects.all) <= how_often:
            os.kill(os.getpid(), signal.SIGKILL)
        return "well"

    async def job(payload, io):
        first = await io.run_task("a", die, 1, retry=3)
        try:
            await io.run_task("b", die, 99)
        except WorkerLostError as error:
            return first, str(error), error.__cause__
        return None

    client.job(id="other")(job)
    first, text, cause = asyncio.run(drive(client, job, dask_client))
    assert first == "well"
    assert "Pass retry= to the task" in text
    assert isinstance(cause, KilledWorker)
    assert last(client).task("a").attempt == 2


async def drive(client, job, executor):
    """What the job itself returned: its error is not stored with the run."""
    returned = []

    async def outer(payload, io):
        returned.extend(await job(payload, io))

    await client.job(id="outer", executor=executor)(outer).run()
    return returned


def test_a_worker_is_killed_in_mid_map(client, effects, cluster, dask_client):
    """R3, C5: what was recorded is neither lost nor repeated, and each is recorded once."""
    killed = []

    def body(n):
        effects.add(n)
        return n

    async def job(payload, io):
        seen = io._pass.feed.subscribe()
        records = []

        def take():
            records.extend(e.record for e in seen.take() if isinstance(e, Saved) and not e.live)
            return [each for each in records if each.status == TaskStatus.COMPLETED and each.path != "m"]

        call = asyncio.ensure_future(io.map("m", range(300), body, retry=5, concurrency=8))
        await until(lambda: len(take()) > 50)
        recorded = [str(each.value) for each in take()]
        os.kill(int(killed_pid()), signal.SIGKILL)
        killed.append(recorded)
        result = await call
        paths = [each.path for each in take()]
        assert len(paths) == len(set(paths)) == 300
        return len(result)

    def killed_pid():
        [first, *_] = dask_client.run(os.getpid).values()
        return first

    assert run(client, job, executor=dask_client) == 300
    [recorded] = killed
    assert {effects.counts[name] for name in recorded} == {1}
    assert set(effects.counts) == {str(n) for n in range(300)}


def test_a_client_that_was_closed_is_a_mistake_and_one_that_is_made_is_made_again(client, cluster):
    made = []

    def make():
        made.append(distributed.Client(cluster, set_as_default=False))
        return made[-1]

    async def job(payload, io):
        return await io.run_task("a", os.getpid)

    first = run(client, job, 1, executor=make)
    made[0].close()
    run(client, job, 2, executor=make)
    assert len(made) == 2
    with pytest.raises(UsageError, match="a function that creates one"):
        run(client, job, 3, executor=made[0])
    made[1].close()
    assert first != os.getpid()


# In a real kernel ----------------------------------------------------------------------------------


def define(kernel, cluster):
    kernel.run(f"""
        import distributed
        dask_client = distributed.Client({cluster.scheduler_address!r})
        client = TriggerClient("tests", executor=dask_client)
    """).check()
    kernel.run(COUNTING).check()


def test_a_kernel_is_killed_in_mid_map_and_the_cluster_is_not(cluster, tmp_path):
    """R3: what was recorded does not run again. Classes, errors and globals of the cells went there and back."""
    with kernel_in(tmp_path / "nb") as kernel:
        define(kernel, cluster)
        kernel.submit("await counting.run()")
        kernel.pump(lambda: len(kernel.effects) > 60)
        kernel.kill()
        wait_for(lambda: not cluster.scheduler.tasks)  # what was on its way has ended
        before = kernel.effects

        kernel.start()
        define(kernel, cluster)
        done = counted(kernel)
        assert len(done) > 30
        check_the_rest_is_counted(kernel, done, before)
        kernel.run("dask_client.close()").check()


def test_the_cell_is_interrupted_in_mid_map_and_run_again(cluster, tmp_path):
    """A7, A5: an interrupt is none of the workers'; what they finish is recorded."""
    with kernel_in(tmp_path / "nb") as kernel:
        define(kernel, cluster)
        # However busy the machine is: no body is called off that has begun.
        kernel.run("from trigger_nb._remote import dispatch; dispatch.START_REPORT_SECONDS = 60").check()
        cell = kernel.submit("await counting.run()")
        kernel.pump(lambda: len(kernel.effects) > 60)
        assert cell.interrupt().end().error in ("CancelledError", "KeyboardInterrupt")
        assert kernel.run("len(await counting.run())").check().result == "200"
        repeated = {n for n in set(kernel.effects) if kernel.effects.count(n) > 1}
        assert repeated <= {str(n) for n in range(200) if n % 50 == 7}  # those that failed once
        kernel.run("dask_client.close()").check()
