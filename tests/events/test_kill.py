"""Workers that are killed by SIGKILL: no event is lost, none is delivered twice to a run, each due time starts one run."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.support.worlds import wait_until
from trigger_nb import Run, TriggerClient

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


class Workers:
    """Processes that listen on one store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.alive: list[subprocess.Popen[bytes]] = []

    def start(self, crash_at: str = "", *, by: str = "listen") -> subprocess.Popen[bytes]:
        """Start a process that listens as a notebook does, or a worker of the command line on the same file."""
        env = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "TRIGGER_NB_CRASH_AT": crash_at,
            "TRIGGER_NB_TEST_HOME": str(self.folder),
        }
        file = str(ROOT / "tests/events/worker.py")
        commands = {"listen": [file], "work": ["-m", "trigger_nb", "work", file]}
        worker = subprocess.Popen(
            [sys.executable, *commands[by]],
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.alive.append(worker)
        up = self.folder / f"up-{worker.pid}"
        wait_until(lambda: worker.poll() is not None or up.exists())
        return worker

    def kill(self) -> None:
        for worker in self.alive:
            worker.send_signal(signal.SIGKILL)
            worker.wait()
        self.alive.clear()

    def lines(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def workers(tmp_path):
    workers = Workers(tmp_path)
    yield workers
    workers.kill()


def send(client, name, number):
    async def main():
        await client.send_event(name, {"number": number})

    asyncio.run(main())


@pytest.mark.parametrize("rounds", [6, pytest.param(200, marks=pytest.mark.long)])
def test_killed_in_the_middle_of_anything(workers, rounds):
    """A listening notebook and a worker on one store, both killed at random while events come in: each event once, to the end."""
    client = TriggerClient("worker", dir=workers.folder, display=False)
    draw = random.Random(rounds)
    workers.start(by="work")
    wait_until(lambda: client.runtime.post.subscribers("order"))
    number = 0
    heard: list[Run] = []
    for _ in range(rounds):
        for by in ("work", "listen")[len(workers.alive) :]:
            workers.start(by=by)
        for _ in range(5):
            send(client, "order", number)
            number += 1
        begun = number - draw.randrange(1, 5)
        wait_until(lambda begun=begun: len(set(workers.lines("begun"))) >= begun)
        for each in range(number - 5, number):
            run = run_of(client, each)
            if run is not None and client.runtime.store.get(f"post/on/paid/run/{run.id}") is not None:
                heard.append(run)  # it waits from now on, whatever happens to its kernel
            send(client, "paid", each)
        workers.kill()
    workers.start()
    wait_until(lambda: all(run.status == "COMPLETED" for run in heard))
    assert heard

    # An order that had not come to its wait when "paid" was sent waits for another one.
    def open_orders():
        return [run for run in client.runs(job="order", limit=number + 10) if run.status != "COMPLETED"]

    def all_begun():
        return len(client.runs(job="order", limit=number + 10)) == number

    wait_until(all_begun)
    for _ in range(100):
        if not open_orders():
            break
        waiting = [run for run in open_orders() if run.status == "WAITING"]
        for run in waiting:
            asyncio.run(_again(client, run.payload["number"]))
        wait_until(lambda waiting=waiting: all(run.status == "COMPLETED" for run in waiting))
    assert not open_orders()
    ended = Counter(line.split()[0] for line in workers.lines("ended"))
    assert set(ended) == {str(each) for each in range(number)}
    assert all(line.split()[0] == line.split()[1] for line in workers.lines("ended"))
    # A body may run again if the process died before its result was recorded, and never after that.
    begun = Counter(workers.lines("begun"))
    assert len(begun) == number
    assert sum(begun.values()) <= number + 2 * 5 * rounds
    for run in client.runs(job="order", limit=number + 10):
        assert len([task for task in run.tasks if task.status == "COMPLETED"]) == 4
    # Of the schedule: each due time has one run, whichever worker started it.
    ticks = {tuple(line.split()) for line in workers.lines("ticks")}
    assert len({run for run, _ in ticks}) == len({at for _, at in ticks}) == len(ticks)


def run_of(client, number):
    found = [run for run in client.runs(job="order", limit=20) if run.payload["number"] == number]
    return found[0] if found else None


async def _again(client, number):
    await client.send_event("paid", {"number": number}, fresh=True)


@pytest.mark.parametrize("passage", [1, 3, 6])
@pytest.mark.parametrize("point", ["commit:before", "commit:after", "change:within"])
def test_killed_at_each_commit(workers, point, passage):
    """A worker that dies at one of its first commits: the next one finishes what it began, once."""
    client = TriggerClient("worker", dir=workers.folder, display=False)
    worker = workers.start()
    wait_until(lambda: client.runtime.post.subscribers("order"))
    workers.kill()
    send(client, "order", 1)
    worker = workers.start(f"{point}:{passage}")
    wait_until(lambda: worker.poll() is not None or workers.lines("begun"))
    if worker.poll() is None:
        run = client.runs(job="order")[0]
        wait_until(lambda: worker.poll() is not None or run.status == "WAITING")
    waited = bool(client.runtime.store.between("post/on/paid/run/", "post/on/paid/run0"))
    if waited:
        send(client, "paid", 1)
    workers.kill()
    workers.start()
    wait_until(
        lambda: client.runs(job="order") and client.runs(job="order")[0].status in ("WAITING", "COMPLETED")
    )
    if not waited:
        wait_until(lambda: client.runtime.store.between("post/on/paid/run/", "post/on/paid/run0"))
        send(client, "paid", 1)
    wait_until(lambda: client.runs(job="order")[0].status == "COMPLETED")
    assert len(client.runs(job="order")) == 1
    assert set(workers.lines("ended")) == {"1 1"}
