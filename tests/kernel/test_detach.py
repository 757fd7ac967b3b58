"""A living run is moved out of its kernel to a worker process, and back, while it goes on; with kills on both sides."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.kernels import PRELUDE, Kernel, cell
from trigger_nb import RunStatus, TriggerClient

JOB = """
client = TriggerClient("moves")

async def one(item):
    effect(f"begin {item}")
    await asyncio.sleep(PAUSE)
    return item

async def allowed(batch):
    while int(open(f"HOME/quota").read() or 0) <= batch:
        await asyncio.sleep(0.01)

@client.job
async def many(count, io):
    total = 0
    for batch in range(count // 8):
        await allowed(batch)
        total += sum(await io.map(f"batch-{batch}", range(8 * batch, 8 * batch + 8), one, concurrency=4))
    return total
"""


class Notebook:
    """A kernel, the file of its notebook, and what the test sees of the store from outside."""

    def __init__(self, folder: Path, *cells: str, saved: bool = True) -> None:
        self.kernel = Kernel(folder / "nb")
        self.home = self.kernel.home
        self.allow(0)
        self.cells = [cell(each).replace("HOME", str(self.home)) for each in cells]
        if saved:
            self.save()

    def save(self, *cells: str) -> None:
        sources = [
            PRELUDE.format(effects=str(self.kernel._effects), home=str(self.home)),
            *(cells or self.cells),
        ]
        made = [
            {"cell_type": "code", "id": f"c{n}", "outputs": [], "execution_count": None, "metadata": {}, "source": source}
            for n, source in enumerate(sources)
        ]  # fmt: skip
        self.kernel.directory.mkdir(parents=True, exist_ok=True)
        notebook = {"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
        (self.kernel.directory / "notebook.ipynb").write_text(json.dumps(notebook))

    def start(self) -> Notebook:
        self.kernel.start()
        for each in self.cells:
            self.kernel.run(each).check()
        return self

    def run(self, code: str) -> str:
        return self.kernel.run(code).check().printed

    @property
    def client(self) -> TriggerClient:
        return TriggerClient("moves", dir=self.kernel.directory / ".trigger_nb", display=False)

    def record(self):
        (run,) = self.client.runs()
        return run._record

    def committed(self) -> set[str]:
        (run,) = self.client.runs()
        return {task.key for task in run.tasks if task.status == "COMPLETED" and "/" in task.path}

    def allow(self, batch: int) -> None:
        """Let the run go on up to a batch of eight items."""
        new = self.home / "quota.new"
        new.write_text(str(batch))
        new.replace(self.home / "quota")

    def until(self, holds) -> None:
        deadline = time.monotonic() + 120
        while not holds():
            assert time.monotonic() < deadline, self.logs
            time.sleep(0.01)

    def until_begun(self, count: int) -> None:
        self.until(lambda: len(set(self.begun)) >= count)

    @property
    def begun(self) -> list[int]:
        return [int(each.removeprefix("begin ")) for each in self.kernel.effects if each.startswith("begin")]

    @property
    def logs(self) -> str:
        return "\n".join(each.read_text() for each in self.kernel.directory.rglob("logs/*.log"))

    def worker(self) -> int:
        """The process that drives the run; not the kernel."""
        pid = self.record().holder["pid"]
        assert pid != self.kernel.pid
        return pid

    def kill_worker(self) -> None:
        pid = self.worker()
        os.kill(pid, signal.SIGKILL)
        self.until(lambda: self.status == RunStatus.INTERRUPTED)

    @property
    def status(self) -> RunStatus:
        (run,) = self.client.runs()
        return run.status

    def end(self) -> None:
        self.kernel.stop()
        with suppress(Exception):
            os.kill(self.worker(), signal.SIGKILL)


@pytest.fixture
def notebook(tmp_path):
    made: list[Notebook] = []

    def make(*cells: str, saved: bool = True) -> Notebook:
        made.append(Notebook(tmp_path, *cells, saved=saved))
        return made[-1].start()

    yield make
    for each in made:
        each.end()


def moved(notebook: Notebook, count: int, moves: int, *, kill_every: int) -> None:
    """Move a run out and back while it goes on; every so often the worker, or the kernel, is killed while it has the run."""
    allowed = 2
    notebook.allow(allowed)
    notebook.run(f"run = many.start({count})")
    notebook.until_begun(9)
    known: list[tuple[int, set[str]]] = []  # after each kill: the number of begins, and what was committed
    step = max(1, (count // 8 - 4) // (2 * moves))

    def go_on() -> None:
        nonlocal allowed
        allowed += step
        notebook.allow(allowed)
        notebook.until_begun(8 * (allowed - 1) + 1)

    for move in range(moves):
        notebook.run("await run.detach()")
        assert notebook.worker()
        go_on()
        if kill_every and move % kill_every == 0:
            notebook.kill_worker()
            known.append((len(notebook.begun), notebook.committed()))
        elif kill_every and move % kill_every == 1:
            notebook.kernel.kill()
            go_on()  # nobody looks, and the worker goes on
            notebook.start()
            notebook.run(f"run = many.start({count}); await asyncio.sleep(0)")  # the cell is run again
            notebook.until(lambda: (notebook.record().holder or {}).get("pid") == notebook.kernel.pid)
        notebook.run("None if run.id in client.runtime.executions else await run.attach()")
        assert notebook.run("print(run.id in client.runtime.executions)") == "True\n"
        go_on()
    notebook.allow(count)
    assert notebook.run("print(await run)") == f"{sum(range(count))}\n"
    begun = notebook.begun
    assert set(begun) == set(range(count))  # none is lost
    for so_many, committed in known:
        assert not {str(each) for each in begun[so_many:]} & committed  # none is repeated
    repeated = len(begun) - count
    assert repeated <= 4 * len(known)  # those in flight when a process was killed
    assert "Traceback" not in notebook.logs


def test_a_run_is_moved_out_and_back_while_it_goes_on(notebook):
    """R3, A5, C5, C7."""
    moved(notebook(JOB.replace("PAUSE", "0.01")), 104, 3, kill_every=3)


@pytest.mark.long
def test_a_run_of_2000_items_is_moved_ten_times_with_kills(notebook):
    """R3, A5, C5, C7."""
    moved(notebook(JOB.replace("PAUSE", "0.05")), 2000, 10, kill_every=3)
