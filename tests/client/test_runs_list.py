"""The list of runs in a notebook: its kernel tells of what changes, and does nothing at rest."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from trigger_nb import TriggerClient, runs as runs_module
from trigger_nb._store.disk import DiskStore
from trigger_nb._store.protocol import Row


class Page:
    """A front end that shows the first runs, and notes what it is told."""

    def __init__(self, list_of_runs, told, job=""):
        self._send = list_of_runs._receive
        self._told = told
        self._query = {"job": job, "status": "", "offset": 0}
        self.n = 0

    def ask(self):
        self._send({"t": "page", "id": "1", **self._query})

    def look(self):
        self._send({"t": "look", "n": self.n, **self._query})

    async def until(self, holds):
        """Take what is told until this holds for a message."""
        while True:
            while not self._told:
                await asyncio.sleep(0.01)
            message = self._told.pop(0)
            answers = message.get("answers", [message])
            self.n = answers[0]["n"]
            if holds(answers[0]["page"]):
                return answers[0]["page"]


@pytest.fixture
def told():
    return []


@pytest.fixture
def client(tmp_path):
    return TriggerClient("told", dir=tmp_path / "store")


@pytest.fixture
def shown(client, told, monkeypatch):
    """Makes a list of runs whose widget only notes what it posts."""
    widget = SimpleNamespace(post=told.append, close=lambda: None)
    monkeypatch.setattr(runs_module, "_widget", lambda _receive: widget)
    made = []

    def make():
        query = runs_module.RunQuery(client.runtime)
        made.append(runs_module.RunList(query, asyncio.get_running_loop(), {}))
        return Page(made[-1], told)

    make.made = made
    yield make
    for each in made:
        each.close()
    assert client.runtime.store._watchers == ()


def of(run, **fields):
    """Whether a page tells this of a run."""
    return lambda page: any(
        line["id"] == run.id and fields.items() <= line.items() for line in page.get("rows", [])
    )


def run_async(main):
    asyncio.run(asyncio.wait_for(main(), 60))


def test_it_is_told_of_runs_and_of_their_tasks(client, shown):
    """D2: of a run that begins, of its tasks, its end and its deletion, and of no other run."""
    go = asyncio.Event()

    @client.job
    async def steps(payload, io):
        await io.run_task("one", lambda: 1)
        await go.wait()
        await io.run_task("two", lambda: 2)

    async def main():
        done = steps.start("done", display=False)
        go.set()
        await done
        go.clear()
        page = shown()
        page.ask()
        await page.until(of(done, status="COMPLETED"))
        run = steps.start("new", display=False)
        changed = await page.until(of(run, counts="1 task"))
        assert {line["id"] for line in changed["rows"]} == {run.id}
        assert changed["rows"][0]["duration"] == ""
        go.set()
        await run
        ended = await page.until(of(run, status="COMPLETED", counts="2 tasks"))
        assert "since" not in ended["rows"][0]
        run.delete()
        gone = await page.until(lambda page: page.get("total") == 1)
        assert gone["order"] == [done.id]
        assert gone["rows"] == []

    run_async(main)


def test_a_front_end_that_has_missed_a_message_gets_the_page(client, shown):
    """D1: a gap in the numbers."""

    async def main():
        page = shown()
        page.ask()
        await page.until(lambda page: page["total"] == 0)
        page.n -= 1
        page.look()
        assert (await page.until(lambda page: True)).keys() == {"rows", "total", "offset", "jobs", "statuses"}

    run_async(main)


def test_other_kernels_are_looked_for_and_nothing_else_is_done_at_rest(client, shown):
    """D2: their commits are no events here; without one a look reads no run."""
    job = client.job(id="quick")(lambda: None)

    async def main():
        run = job.start(display=False)
        await run
        page = shown()
        page.ask()
        await page.until(of(run))
        runs = shown.made[0]
        look = {"t": "look", "job": "", "status": "", "offset": 0, "n": page.n}
        runs._answer(look)
        assert not runs._stale
        assert runs._timer is None

        [(_, text)] = client.runtime.store.page("runs", 1)
        other = DiskStore(client.runtime.store.directory)
        other.commit([Row("run/run_other", "runs", text.replace(run.id, "run_other"))])
        other.close()
        page.look()
        changed = await page.until(lambda page: page.get("total") == 2)
        assert changed["order"] == ["run_other", run.id]

    run_async(main)


def test_a_front_end_that_reports_no_more_is_told_nothing(client, shown, monkeypatch):
    """D1: a closed page costs nothing; one that comes back gets all."""
    job = client.job(id="quick")(lambda payload: payload)
    monkeypatch.setattr(runs_module, "_UNSEEN", -1.0)

    async def main():
        page = shown()
        page.ask()
        await page.until(lambda page: page["total"] == 0)
        runs = shown.made[0]
        await job.start(1, display=False)
        while runs._views:
            await asyncio.sleep(0.01)
        assert page._told == []
        assert runs._followed == {}
        monkeypatch.undo()
        page.look()
        await page.until(lambda page: page["total"] == 1)

    run_async(main)
