"""The jobs of the soak test, and what is measured of the process that runs them."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import threading
from dataclasses import dataclass, fields
from pathlib import Path

import psutil

from trigger_nb import Retry, TriggerClient

# Runs of each job that are kept in the store: older ones are deleted, as a user with a full disk would do.
KEPT = 40


@dataclass(frozen=True)
class Sample:
    """The size of the process, and of its store."""

    runs: int
    memory: float  # megabytes of resident memory
    threads: int
    files: int  # open descriptors
    wal: float  # megabytes of SQLite's write-ahead log
    store: float  # megabytes of the store's folder

    def growth(self, before: Sample) -> dict[str, float]:
        """What has grown since an earlier sample, by name."""
        return {
            each.name: getattr(self, each.name) - getattr(before, each.name)
            for each in fields(self)
            if each.name != "runs"
        }


# The most that may be added after the first quarter of the time. Freed memory does not all go back to the system.
ALLOWED = {"memory": 24.0, "threads": 4, "files": 8, "wal": 8.0, "store": 16.0}


def too_much(grown: dict[str, float]) -> dict[str, float]:
    """What has grown by more than is allowed."""
    return {name: value for name, value in grown.items() if value > ALLOWED[name]}


class Work:
    """Mixed runs in one kernel."""

    def __init__(self, directory: Path) -> None:
        self.client = TriggerClient("soak", dir=directory, display=False)
        self.directory = directory
        self.runs = 0
        self._child = self.client.job(id="child")(_child)
        self._jobs = [
            self.client.job(id="at-once")(_at_once),
            self.client.job(id="threads")(_threads),
            self.client.job(id="large")(_large),
            self.client.job(id="failing")(_failing),
            self.client.job(id="parent")(self._parent),
        ]
        logging.getLogger("trigger_nb").setLevel(logging.ERROR)  # failed runs are logged

    async def step(self) -> None:
        """One new run of each job, and a replay of it."""
        for job in self._jobs:
            payload = {"n": self.runs}
            for _ in range(2):
                try:
                    await job.run(payload)
                except ValueError:
                    assert job.id == "failing"
            self.runs += 1
        if self.runs % (KEPT * len(self._jobs)) == 0:
            self.client.prune(keep_last=KEPT)

    def sample(self) -> Sample:
        """The size of this process now."""
        gc.collect()
        process = psutil.Process()
        files = [path for path in self.directory.rglob("*") if path.is_file()]
        wal = sum(path.stat().st_size for path in files if path.name.endswith("-wal"))
        return Sample(
            self.runs,
            process.memory_info().rss / 1e6,
            threading.active_count(),
            len(os.listdir("/proc/self/fd")),
            wal / 1e6,
            sum(path.stat().st_size for path in files) / 1e6,
        )

    async def _parent(self, payload, io):
        await io.wait("moment", seconds=0.001)
        return await io.invoke_and_wait("child", self._child, payload)


async def _child(payload, io):
    return await io.run_task("one", lambda: payload["n"])


async def _at_once(payload, io):
    async def double(n):
        await asyncio.sleep(0)
        return {"text": "x" * 100, "n": 2 * n}

    tasks = [io.run_task(("double", n), double, n) for n in range(20)]
    await io.logger.info("at once")
    return sum([(await each)["n"] for each in asyncio.as_completed(tasks)])


def _threads(payload, io):
    return sum(io.map("squares", range(20), lambda n: n * n, concurrency=4))


async def _large(payload, io):
    text = await io.run_task("text", lambda: f"{payload['n']:08}" * 20_000)
    return len(text)


async def _failing(payload, io):
    def refuse():
        raise ValueError(payload["n"])

    await io.run_task("refused", refuse, retry=Retry(limit=2, min_timeout=0.001))
