"""Batches that wait for their turn: their body has not begun (A1, A3, I7)."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.kernels import kernel_in
from tests.support.worlds import let_pass, until
from trigger_nb import Rate, Retry, RunStatus, TaskStatus, TriggerClient
from trigger_nb._tasks import running as running_module
from trigger_nb.errors import TriggerError

KINDS = ["async def", "def"]


def batch_of(kind, note):
    def body(items):
        note(items)
        return items

    async def asynchronous(items):
        return body(items)

    return asynchronous if kind == "async def" else body


def waiting_job(client, body, rate, **options):
    """A job with a batch that waits: its rate is used up."""

    @client.job(id="job")
    async def job(payload, io):
        await io.run_task("used up", lambda: 1, rate=rate)
        return await io.map("m", range(2), body, batch=2, rate=rate, **options)

    return job


def members():
    return [each for each in running_module.running_bodies.values() if each.path.startswith("m/")]


@pytest.fixture
def client(tmp_path):
    return TriggerClient("turns", dir=tmp_path / "store", display=False)


@pytest.mark.anyio
@pytest.mark.parametrize("kind", KINDS)
async def test_a_batch_that_waits_has_not_begun(client, kind, starts_are_recorded):
    """The start of its body is not recorded, its rows are queued, and its time does not run."""
    called = []
    job = waiting_job(client, batch_of(kind, called.append), Rate("1/hour", name=f"waits {kind}"), timeout=60)
    run = job.start()
    await until(lambda: len(members()) == 2)
    running_module.watch._look()
    let_pass(3600)
    await asyncio.sleep(0)
    stored = {key.rpartition("/")[2]: text for key, text in client.runtime.store.select(run.id)}
    assert not any("RUNNING" in text for name, text in stored.items() if name.startswith("~"))
    assert not any(task.status == TaskStatus.RUNNING for task in run.tasks if task.path.startswith("m/"))
    assert run.status == RunStatus.RUNNING
    run.cancel()
    with pytest.raises(TriggerError):
        await run
    assert called == []


@pytest.mark.anyio
@pytest.mark.parametrize("kind", KINDS)
async def test_edited_code_takes_over_from_a_batch_that_waits(client, kind):
    """I7: the old body does not begin any more."""
    called = []
    rate = Rate("1/hour", name=f"edited {kind}")
    run = waiting_job(client, batch_of(kind, called.append), rate).start()
    await until(lambda: len(members()) == 2)

    @client.job(id="job")
    async def edited(payload, io):
        return await io.map("m", range(2), batch_of(kind, lambda items: called.append("new")), batch=2)

    assert await asyncio.wait_for(edited.run(), 60) == [0, 1]
    assert called == ["new"]
    assert run.status == RunStatus.COMPLETED


@pytest.mark.anyio
@pytest.mark.parametrize("kind", KINDS)
async def test_a_member_that_waits_for_its_siblings_retry_has_not_begun(client, kind):
    """After a failure the members retry together, when the last of them asks."""
    failed = []

    def note(items):
        if not failed:
            failed.append(items)
            raise OSError("once")

    body = batch_of(kind, note)

    @client.job
    async def job(payload, io):
        return await io.map("m", range(2), body, batch=2, retry=Retry(limit=2, min_timeout=0.01))

    assert await job.run() == [0, 1]
    assert [task.attempt for task in job.runs()[0].tasks if task.path.startswith("m/")] == [2, 2]


@pytest.mark.kernel
def test_a_batch_that_waited_is_not_what_killed_the_kernel(tmp_path):
    """A1: its body has never run, however often the kernel dies meanwhile."""
    code = """
        from trigger_nb import Rate
        client = TriggerClient("turns")

        async def batch(items):
            effect("batch")
            return items

        @client.job
        async def job(payload, io):
            if USED_UP:
                rate = Rate("1/hour", name="turns")
                await io.run_task(("use up", os.getpid()), lambda: 1, rate=rate)
                marked = asyncio.ensure_future(io.run_task(f"marked {os.getpid()}", asyncio.sleep, 3600))
                return await io.map("m", range(4), batch, batch=2, rate=rate)
            return await io.map("m", range(4), batch, batch=2)

        def was_marked():
            texts = dict(client.runtime.store.select(job.runs()[0].id))
            return any(key.endswith(f"marked {os.getpid()}") for key in texts)
    """
    with kernel_in(tmp_path / "nb") as kernel:
        for _ in range(3):
            kernel.run("USED_UP = True", code).check()
            kernel.run("""
                run = job.start()
                while not was_marked():
                    await asyncio.sleep(0.05)
                time.sleep(0.3)  # the watch has looked at all bodies once more
            """).check()
            kernel.kill()
            kernel.start()
        kernel.run("USED_UP = False", code).check()
        assert kernel.run("await job.run()").check().result == "[0, 1, 2, 3]"
        assert kernel.effects == ["batch"] * 2
