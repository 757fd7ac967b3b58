"""A living run is moved out of its kernel to a worker process, and back, while it goes on; with kills on both sides."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.kernels import PRELUDE, Kernel, cell
from trigger_nb import RunStatus, TriggerClient

ROOT = Path(__file__).parents[2]
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
    step = max(1, (count // 8 - 4) // (3 * moves))

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


WAITS = """
client = TriggerClient("moves")

@client.job
async def waits(payload, io):
    await io.run_task("before", effect, "before")
    event = await io.wait_for_event("paid", "paid", timeout=3600)
    await io.run_task("after", effect, f"after {event.payload}")
    return (await io.wait_for_approval("publish")).choice
"""


def test_a_worker_that_dies_while_the_run_waits(notebook):
    """R3, W2, W4, C7: what comes meanwhile counts, the tree says so, and the run is attached or resumed with nothing repeated."""
    made = notebook(WAITS)
    made.run("run = waits.start()")
    made.until(lambda: made.status == "WAITING")
    made.run("await run.detach()")
    os.kill(made.worker(), signal.SIGKILL)
    made.run("await client.send_event('paid', 7)")
    made.until(lambda: "What the run waits for has come" in " ".join(made.run("print(run.tree())").split()))
    made.run("await run.attach()")
    made.until(lambda: made.client.approvals())
    made.run("await run.detach()")
    os.kill(made.worker(), signal.SIGKILL)
    (run,) = made.client.runs()
    run.approve("publish")
    made.until(lambda: not made.client.approvals())
    # In another process; the notebook hears of it.
    command = [sys.executable, "-m", "trigger_nb", "resume", run.id]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    env.pop("TRIGGER_NB_DIR", None)  # the kernel has its own store
    resumed = subprocess.run(
        command, cwd=made.kernel.directory, env=env, capture_output=True, text=True, check=False
    )
    assert resumed.returncode == 0, resumed.stderr
    assert made.run("print(await run)") == "approve\n"
    assert made.kernel.effects == ["before", "after 7"]


SLOW = """
client = TriggerClient("moves")

@client.job
async def slow(payload, io):
    async def body():
        effect("begins")
        while not os.path.exists("HOME/go"):
            await asyncio.sleep(0.01)
        effect("ends")
        return "done"
    return await io.run_task("body", body)

@client.job
async def odd(payload, io):
    await io.run_task("lock", __import__("threading").Lock)
    await io.wait("nap", hours=1)

@client.job
async def inner(payload, io):
    await io.run_task("step", effect, "inner")
    await io.wait("nap", hours=1)
    return "inner"

@client.job
async def outer(payload, io):
    return await io.invoke_and_wait("inner", inner, 1)
"""


def refused(notebook: Notebook, code: str) -> str:
    found = notebook.kernel.run(code)
    assert found.error in ("DetachError", "RunStateError"), found.error
    return found.message


def test_a_failed_detach_leaves_the_run_in_the_kernel(notebook):
    """A9: the worker is made ready before anything stops. Each refusal says what to do."""
    made = notebook(SLOW, saved=False)
    kernel = made.kernel
    made.run("run = slow.start(); run_id = run.id")
    kernel.until_effect("begins")
    assert "there is no file" in refused(made, "await run.detach()")
    made.save("client = 1")
    assert "as it is saved, does not define its job: save the notebook" in refused(made, "await run.detach()")
    made.save(*made.cells, "1 / 0", "class Broken(missing): pass")
    assert "name 'missing' is not defined" in refused(made, "await run.detach()")
    made.save(*(each.replace('"done"', '"other"') for each in made.cells))
    assert "has other code for job 'slow' than this kernel" in refused(made, "await run.detach()")
    made.save(*(each.replace('"moves"', '"moves2"') for each in made.cells))
    assert "have another store" in refused(made, "await run.detach()")
    made.save()
    made.run("odds = odd.start(); outs = outer.start()")
    kernel.until_effect("inner")
    alive = "the result of 'lock' could not be stored, so only this kernel has it"
    assert alive in refused(
        made, "while odds.status != 'WAITING': await asyncio.sleep(0.01)\nawait odds.detach()"
    )
    child = "child = client.runs(job=inner)[0]"
    assert "cannot be detached alone" in refused(made, f"{child}\nawait child.detach()")
    assert (
        made.run("print(all(each.id in client.runtime.executions for each in (run, odds, outs, child)))")
        == "True\n"
    )
    # A child run goes along with the run that waits for it, and comes back with it.
    both = "print(outs.id in client.runtime.executions, child.id in client.runtime.executions)"
    assert made.run(f"await outs.detach()\n{both}") == "False False\n"
    assert made.run(f"await outs.attach()\n{both}") == "True True\n"
    kernel.signal("go")
    assert made.run("print(await run)") == "done\n"
    assert "COMPLETED" in refused(made, "await run.detach()")
    assert "nothing to bring back" in refused(made, "await run.attach()")
    assert [each for each in kernel.effects if each != "inner"] == ["begins", "ends"]
    assert kernel.effects.count("inner") == 1
    made.run("odds.cancel(); outs.cancel()")


def test_a_worker_that_serves_the_job_takes_the_run_and_gives_it_back(notebook):
    """C7: no second process is started. Bodies in flight end first, or with `now` are cut and run again."""
    made = notebook(SLOW)
    kernel = made.kernel
    environment = kernel.environment | {"TRIGGER_NB_DIR": ""}
    log = kernel.home / "work.log"
    with log.open("wb") as said:
        command = [sys.executable, "-m", "trigger_nb", "work", "notebook.ipynb", "--grace", "0"]
        work = subprocess.Popen(command, cwd=kernel.directory, env=environment, stdout=said, stderr=said)
    try:
        made.run("run = slow.start()")
        kernel.until_effect("begins")
        serves = "from trigger_nb._runs.workers import code_of, serving\n"
        serves += "while not serving(client.runtime, 'slow', code_of(slow.fn)): await asyncio.sleep(0.01)"
        made.run(serves)
        assert made.run("await run.detach(now=True); print(run.status)") == "RUNNING\n"
        assert made.worker() == work.pid
        made.until(lambda: kernel.effects == ["begins", "begins"])
        waiting = kernel.submit("await run.attach(); print(run.id in client.runtime.executions)")
        made.until(lambda: "told to hand over" in log.read_text())
        kernel.signal("go")  # a gentle return: the body ends there
        assert waiting.end().check().printed in (
            "True\n",
            "False\n",
        )  # the run has ended with it, or goes on here
        assert made.run("print(await run)") == "done\n"
        assert kernel.effects == ["begins", "begins", "ends"]
        assert not made.logs
        work.terminate()
        assert work.wait(120) == 0
    finally:
        work.kill()
        work.wait()


def test_the_command_line_pauses_a_run_that_a_kernel_drives_and_a_cell_awaits(notebook):
    """C7: nothing in the kernel listens for that but the run itself."""
    made = notebook(SLOW)
    kernel = made.kernel
    awaited = kernel.submit("await slow.run()")
    kernel.until_effect("begins")
    (run,) = made.client.runs()
    command = [sys.executable, "-m", "trigger_nb", "cancel", run.id]
    done = subprocess.run(
        command, cwd=kernel.directory, env=kernel.environment, capture_output=True, text=True, check=False
    )
    assert "CANCELED" in done.stdout, done.stderr
    assert awaited.end().error == "RunCanceledError"
