"""`job.plan` calls no body and writes nothing, also while the run is under way."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.plans import keys, rows, whys
from tests.support.worlds import Gate, running_bodies, until, wait_until
from trigger_nb import RunStatus, TriggerClient, event_trigger
from trigger_nb.integrations import Integration

# --- Nothing is done ----------------------------------------------------------------------------------


def test_nothing_is_written_and_nothing_remembered(world):
    """R3, C5: no record, no lease, no event, no line of a log."""

    @world.job
    def job(payload, io):
        io.logger.info("begins", {"at": payload})
        yield io.run_task("a", world.noting("a"))
        yield io.create_status("state", "Going", "loading")
        yield io.yield_("here")
        yield io.wait("hour", hours=1)
        yield io.run_task("b", world.failing("b", ValueError("x"), ValueError("x")), retry=2)

    world.fail(job, 1)
    runtime = world.client.runtime
    feed = runtime.feed(world.last(job).id).subscribe()

    def state():
        files = {path: path.read_bytes() for path in runtime.store.directory.rglob("*") if path.is_file()}
        return (
            rows(world), files, dict(running_bodies), dict(runtime._leases), dict(runtime.executions),
            {run_id: dict(memory.records) for run_id, memory in runtime.memories.items()},
            dict(runtime.passes), set(runtime.feeds), feed.pending,
        )  # fmt: skip

    before = state()
    calls = list(world.calls)
    assert whys(job.plan(1)) == [("b", "retried")]
    assert keys(job.plan(2).runs) == ["a"]  # a new run
    assert job.plan(1, on_change="rerun").ends == "unknown"
    assert state() == before
    assert world.calls == calls
    wait_until(lambda: not [each for each in threading.enumerate() if each.name == "trigger_nb plan"])


def test_no_handler_no_client_and_no_other_run(world):
    opened = []

    class Shop(Integration[object]):
        service, icon = "Shop", "shop"

        def open_client(self):
            opened.append(self)
            return object()

        def should_retry(self, error):
            return None

    @world.job
    def child(payload, io):
        world.note("child")
        yield io.run_task("a", world.noting("a"))

    @world.job(
        integrations={"shop": Shop()},
        on_success=lambda _: world.note("success"),
        on_failure=lambda _: world.note("failure"),
    )
    def parent(payload, io):
        if payload == "invoke":
            yield io.invoke_and_wait("child", child)
        if payload == "shop":
            yield io.shop.run_task("buy", lambda client: world.note(client))
        if payload == "event":
            yield io.send_event("event", "x")
        return payload

    for payload, key in {"invoke": "child", "shop": "buy", "event": "event"}.items():
        assert keys(parent.plan(payload).runs) == [key]
    assert parent.plan("none").ends == "complete"
    assert (world.calls, opened, list(world.client.runs())) == ([], [], [])


def test_a_run_that_the_code_starts_by_itself_is_not_started():
    async def main():
        client = TriggerClient("direct", display=False)

        @client.job(trigger=event_trigger("x"))
        async def child(payload, io):
            return await io.run_task("a", lambda: 1)

        @client.job
        async def parent(payload, io):
            if payload == "run":
                return await child.run(1)
            if payload == "start":
                return child.start(1).id
            return await client.send_event("x", 1)

        for payload in ("run", "start"):
            (task,) = parent.plan(payload).runs
            assert (task.path, task.name) == ("", "a run of job 'child'")
        assert parent.plan("event").runs[0].name == "event 'x'"
        assert list(client.runs()) == []
        assert client.runtime.store.select("events") == []

    asyncio.run(main())


def test_a_def_job_in_a_thread_is_got_rid_of(tmp_path):
    """W3: it is unwound, and its own cleanup runs."""
    client = TriggerClient("threads", display=False)
    left = []

    @client.job
    def job(payload, io):
        try:
            io.run_task("a", lambda: 1)
        except Exception:
            left.append("an error")
        finally:
            left.append("cleaned up")
            with pytest.raises(BaseException) as caught:
                io.run_task("b", lambda: 1)
            left.append(type(caught.value).__name__)

    assert keys(job.plan().runs) == ["a"]
    wait_until(lambda: left == ["cleaned up", "RunInterrupted"])


def test_it_can_be_asked_for_with_and_without_await_and_anywhere(tmp_path):
    client = TriggerClient("anywhere", display=False)

    @client.job
    async def job(payload, io):
        assert asyncio.get_running_loop()
        return await io.run_task("a", lambda: 1)

    async def main():
        plan = job.plan()
        assert await job.plan() == plan
        return plan

    assert job.plan() == asyncio.run(main())
    with ThreadPoolExecutor(1) as pool:
        assert keys(pool.submit(job.plan).result().runs) == ["a"]


def test_context_variables_are_those_of_the_cell(tmp_path):
    client = TriggerClient("context", display=False)
    where = contextvars.ContextVar("where", default="nowhere")
    where.set("here")

    @client.job
    async def job(payload, io):
        return await io.run_task(where.get(), lambda: 1)

    assert keys(job.plan().runs) == ["here"]


def test_a_plan_within_a_plan_and_within_a_run(tmp_path):
    """A plan is no run that the code starts."""
    client = TriggerClient("nested", display=False)

    @client.job
    async def inner(payload, io):
        return await io.run_task("in", lambda: 1)

    @client.job
    async def outer(payload, io):
        (task,) = inner.plan().runs
        return await io.run_task(("out", task.key), lambda: 1)

    assert keys(outer.plan().runs) == ["out · in"]
    assert outer.run_sync() == 1


# --- A run that moves ---------------------------------------------------------------------------------


def test_a_run_that_is_under_way():
    """I7, A5: what is in flight would be taken over, not called again."""

    async def main():
        client = TriggerClient("moving", display=False)
        gate = Gate()

        @client.job
        async def job(payload, io):
            await io.run_task("a", lambda: 1)
            await io.run_task("b", gate.pass_through_async)
            return await io.run_task("c", lambda: 3)

        run = job.start()
        await until(gate.reached.is_set)
        before = dict(running_bodies)
        plan = job.plan()
        assert (plan.replays, whys(plan), plan.status) == (("a",), [("b", "adopted")], RunStatus.RUNNING)
        assert "under way" in repr(plan)
        assert running_bodies == before
        gate.open()
        assert await run == 3
        assert job.plan().ends == "complete"

    asyncio.run(main())


def test_a_body_that_outlived_its_pass(world):
    """A5."""
    gate = Gate()

    @world.job
    def job(payload, io):
        yield io.run_task("a", gate.pass_through)
        yield io.run_task("b", world.noting("b"))

    async def main():
        run = job.start()
        await until(gate.reached.is_set)
        run.cancel()
        await until(lambda: run.status == RunStatus.CANCELED)
        (running,) = running_bodies.values()
        assert whys(job.plan()) == [("a", "adopted")]
        assert not running.scope.adopted
        gate.open()
        await until(lambda: not running_bodies)
        plan = job.plan()
        assert (plan.replays, whys(plan)) == (("a",), [("b", "new")])

    asyncio.run(main())
