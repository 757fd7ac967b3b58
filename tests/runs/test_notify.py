"""Who is told that a run has ended (issue 16, point 10): once for each end, by whoever comes after a kill."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from trigger_nb import TriggerClient
from trigger_nb._runs.notifying import key_of
from trigger_nb._store.protocol import Row
from trigger_nb.errors import InvalidOptionError, RunCanceledError

ROOT = Path(__file__).parents[2]


def test_each_end_is_told_once(world):
    """COMPLETED, FAILED and CANCELED; a replay, a resumed run and another kernel tell nothing again."""
    told = []

    async def later(run):
        await asyncio.sleep(0)
        told.append((threading.current_thread() is threading.main_thread(), run.status))

    @world.job(notify=[lambda run: told.append((run.job, run.status)), later])
    def job(payload, io):
        return (yield io.run_task("task", body))

    body = world.failing("body", OSError("down"))
    world.fail(job, 7)
    assert sorted(told, key=str) == [("job", "FAILED"), (True, "FAILED")]
    told.clear()
    world.run(job, 7)
    world.run(job, 7)
    assert sorted(told, key=str) == [("job", "COMPLETED"), (True, "COMPLETED")]
    run_id = world.last(job).id
    assert world.client.runtime.store.get(key_of(run_id)) is None

    async def cancel():
        entered = asyncio.Event()

        @world.client.job(id="stopped", notify=lambda run: told.append(run.status))
        async def stopped(payload, io):
            entered.set()
            await io.wait("long", hours=1)

        run = stopped.start()
        await entered.wait()
        run.cancel()
        with pytest.raises(RunCanceledError):
            await run

    told.clear()
    asyncio.run(cancel())
    assert told == ["CANCELED"]


def test_the_nearest_says_who_is_told(tmp_path):
    """Run over job over client, and False is nobody; a child run tells nothing; what is wrong is said at the definition."""
    told = []
    client = TriggerClient(
        "near", dir=tmp_path, display=False, notify=lambda run: told.append(("client", run.id))
    )

    @client.job
    async def plain(payload, io):
        return payload

    @client.job(notify=lambda run: told.append(("job", run.output)))
    async def own(payload, io):
        return await io.invoke_and_wait("child", plain, payload)

    @client.job(notify=False)
    async def silent(payload, io):
        return payload

    assert plain.run_sync(1) == 1
    assert [who for who, _ in told] == ["client"]
    told.clear()
    own.run_sync(2)
    own.run_sync(3, notify=lambda run: told.append(("run", run.output)))
    own.run_sync(4, notify=False)
    silent.run_sync(5)
    assert told == [("job", 2), ("run", 3)]
    for wrong in (True, "browsr", "", 3, ["browser", None], str):
        with pytest.raises(InvalidOptionError, match="notify is"):
            plain.run_sync(6, notify=wrong)
        with pytest.raises(InvalidOptionError, match="notify is"):
            client.job(notify=wrong)
    with pytest.raises(InvalidOptionError, match="is called with the run, and cannot be"):
        plain.run_sync(6, notify=lambda: None)
    assert not [run for run in plain.runs() if run.payload == 6]


def test_who_cannot_be_told_harms_nothing(world, monkeypatch):
    """Its error is a line in the header; one that hangs is given up."""
    go = threading.Event()

    def post(run):
        raise ConnectionError("no network")

    async def hang(run):
        await asyncio.Event().wait()

    @world.job(notify=post)
    def job(payload, io):
        return "done"

    assert world.run(job) == "done"
    run = world.last(job)
    assert (run.status, run.error) == ("COMPLETED", None)
    assert "Not told: `notify=post` raised ConnectionError: no network" in str(run.tree())
    monkeypatch.setattr("trigger_nb._runs.notifying._LONGEST", 0.01)

    @world.job(id="slow", notify=[hang, lambda run: go.wait(60)])
    def slow(payload, io):
        return "done"

    assert world.run(slow) == "done"
    go.set()
    said = str(world.last(slow).tree())
    assert "`notify=hang` took longer than" in said
    assert "`notify=<lambda>` took longer than" in said


@pytest.mark.anyio
async def test_a_person_is_told_of_a_question(tmp_path):
    """Once, when it is asked: not when the run is resumed and still waits for the answer."""
    told = asyncio.Queue()
    client = TriggerClient("asks", dir=tmp_path, display=False)

    async def tell(run):
        await told.put((run.status, run.reason))

    @client.job(notify=tell)
    async def newsletter(payload, io):
        return await io.ask("city", schema=str)

    run = newsletter.start()
    assert await told.get() == ("WAITING", "answer")
    run.pause(now=True)
    with pytest.raises(Exception, match="paused"):
        await run
    run.resume()
    run.answer("city", "Paris")
    assert await run == "Paris"
    assert [told.get_nowait() for _ in range(told.qsize())] == [("COMPLETED", "")]


CHILD = """
import os, sys
from trigger_nb import TriggerClient

client = TriggerClient("killed", dir=sys.argv[1], display=False)

def tell(run):
    if sys.argv[2] == "die":
        os.kill(os.getpid(), 9)
    print("told", run.status, run.output, flush=True)

@client.job(notify=tell)
async def job(payload, io):
    return await io.run_task("task", lambda: print("body") or 1)

if sys.argv[2] == "listen":
    import asyncio
    import trigger_nb._runs.notifying as notifying
    notifying._LEFT = -1.0

    async def listen():
        listener = client.listen(display=False)
        while client.runtime.store.between("notice/", "notice0"):
            await asyncio.sleep(0.01)
        listener.stop()

    asyncio.run(listen())
else:
    job.run_sync()
"""


def test_a_kill_before_it_is_told_loses_nothing(tmp_path):
    """At least once: a listener tells it, and then nobody any more."""

    def child(what):
        command = [sys.executable, "-c", CHILD, str(tmp_path / "store"), what]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.run(command, capture_output=True, text=True, env=env, timeout=120, cwd=tmp_path)

    assert child("die").returncode == -9
    assert child("listen").stdout == "told COMPLETED 1\n"
    assert child("again").stdout == ""


def test_the_next_pass_tells_what_was_not_told(world):
    """A kill after the ending was committed leaves a note of it; the run that is deleted takes it along."""
    told = []

    @world.job(notify=lambda run: told.append(run.status))
    def job(payload, io):
        return 1

    world.run(job)
    store, run = world.client.runtime.store, world.last(job)
    store.commit([Row(key_of(run.id), key_of(run.id), '{"started_at": 1.0}')])
    assert world.client.check().ok
    world.run(job)
    world.run(job)
    assert told == ["COMPLETED", "COMPLETED"]
    store.commit([Row(key_of(run.id), key_of(run.id), "{}")])
    world.last(job).delete()
    assert store.get(key_of(run.id)) is None
