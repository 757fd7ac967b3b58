"""Runs resume.ipynb in a real kernel, kills that kernel half-way, and runs it again in a new one.

    python notebooks/run_demo.py

Then it counts. Every body writes a line to a log file that has nothing to do with the store; what the
store says is compared with that. The exit status is 0 only if no recorded result was worked out again.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "notebooks" / "resume.ipynb"
PATIENCE = 300.0  # seconds; only a demo that hangs takes as long
WIDTH = 100


def main(out: Path = ROOT / "build" / "demo", notebook: Path = NOTEBOOK) -> int:
    """Run the demo in the folder `out`, which is made anew; the exit status."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    began = time.monotonic()

    headline("1. A kernel runs the notebook")
    first = KernelRun(notebook, out)
    total = first.wait_for(lambda: tasks_to_do(out))
    first.wait_for(
        lambda: len(first.bodies) > total // 2, lambda: f"{len(first.bodies):,} of {total:,} bodies"
    )
    first.kill()
    at_kill = stored(out)
    print(f"Killed with SIGKILL (process {first.pid}). This is what its store says:\n\n{at_kill.tree}\n")

    headline("2. A new kernel runs the notebook again")
    second = KernelRun(notebook, out)
    second.finish(lambda: f"{len(second.bodies):,} bodies")
    print(f"Done (process {second.pid}). This is what stands in the notebook:\n\n{second.tree}\n")

    headline("The proof")
    proven = prove(first.bodies, second.bodies, at_kill, stored(out), second.tree)
    page = second.save(out)
    print(f"It took {time.monotonic() - began:.0f} s. The notebook as the second kernel left it:")
    print(f"  to look at    {shown(page)}")
    print(f"  to run again  {shown(Path(sys.executable))} -m jupyter lab {shown(page.with_suffix('.ipynb'))}")
    return 0 if proven else 1


# A kernel that runs the notebook -------------------------------------------------------------------


class KernelRun:
    """A new kernel, which runs a notebook in the folder `out`, from the first cell to the last."""

    def __init__(self, notebook: Path, out: Path) -> None:
        import nbformat
        from jupyter_client.manager import AsyncKernelManager
        from nbclient import NotebookClient

        self._log = out / "bodies.log"
        self._manager = AsyncKernelManager(kernel_name="python3")
        self._notebook = NotebookClient(
            nbformat.read(notebook, as_version=4),
            km=self._manager,
            timeout=PATIENCE,
            extra_arguments=["--IPKernelApp.log_level=40"],
            resources={"metadata": {"path": str(out)}},
        )
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._execute, daemon=True)
        self._thread.start()
        self.pid: int = self.wait_for(self._find_pid)

    def _execute(self) -> None:
        # The store is to be in `out`, and no start-up files of this user's are to be run.
        out = self._log.parent.absolute()
        env = os.environ | {
            "TRIGGER_NB_DIR": str(out / ".trigger_nb"),
            "RESUME_LOG": str(self._log),
            "IPYTHONDIR": str(out / ".ipython"),
        }
        try:
            asyncio.run(self._notebook.async_execute(env=env))
        except BaseException as error:  # whoever waits raises it
            self._error = error

    def _find_pid(self) -> int | None:
        process = getattr(self._manager.provisioner, "process", None)
        return getattr(process, "pid", None)

    @property
    def bodies(self) -> list[str]:
        """The paths of the tasks whose bodies this kernel has begun, in order."""
        lines = self._log.read_text(encoding="utf-8").splitlines() if self._log.exists() else []
        return [path for pid, _, path in (line.partition(" ") for line in lines) if pid == str(self.pid)]

    @property
    def tree(self) -> str:
        """The tree of the run as text, as it stands in the notebook."""
        outputs = [output for cell in self._notebook.nb.cells for output in cell.get("outputs", [])]
        texts = [output.data["text/plain"] for output in outputs if output.output_type == "display_data"]
        return next(text for text in texts if "find-modules" in text)

    def wait_for(self, ask: Callable[[], Any], say: Callable[[], str] = str) -> Any:
        """What `ask` answers, once there is an answer."""
        deadline = time.monotonic() + PATIENCE
        while not (answer := ask()):
            if self._error is not None:
                raise self._error
            if time.monotonic() > deadline:
                raise TimeoutError(f"the notebook did not come to where it was waited for in {PATIENCE:g} s")
            progress(say())
            time.sleep(0.05)
        progress("")
        return answer

    def kill(self) -> None:
        """SIGKILL: the kernel has no time to tidy up."""
        os.kill(self.pid, signal.SIGKILL)
        self._thread.join(PATIENCE)  # it notices, and is done

    def finish(self, say: Callable[[], str]) -> None:
        """Wait until the last cell has run. Raises what went wrong in it."""
        self.wait_for(lambda: not self._thread.is_alive(), say)
        if self._error is not None:
            raise self._error

    def save(self, out: Path) -> Path:
        """Write the executed notebook, and the same as a page; the page's path."""
        import nbformat
        from nbconvert import HTMLExporter

        nbformat.write(self._notebook.nb, out / "resume.ipynb")
        page = out / "resume.html"
        page.write_text(HTMLExporter().from_notebook_node(self._notebook.nb)[0], encoding="utf-8")
        return page


# What the store says -------------------------------------------------------------------------------


class Stored(NamedTuple):
    """The run as another process reads it from the disk."""

    status: str
    tree: str
    completed: set[str]
    errored: set[str]


def stored(out: Path) -> Stored:
    """The run as it is in the store now."""
    run = the_run(out)
    tasks = run.tasks
    return Stored(
        run.status,
        run.tree(width=WIDTH, fold=12),
        {task.path for task in tasks if task.status == "COMPLETED"},
        {task.path for task in tasks if task.status == "ERRORED"},
    )


def tasks_to_do(out: Path) -> int | None:
    """How many tasks the run will have, once that is known: one a module, and the one that found them."""
    from trigger_nb.errors import TriggerError

    with suppress(TriggerError, IndexError):  # The kernel has not come that far.
        modules = the_run(out).task("find-modules").output
        return None if modules is None else len(modules) + 1
    return None


def the_run(out: Path) -> Any:
    """The only run in the store; `IndexError` while there is none."""
    from trigger_nb import TriggerClient

    store = out / ".trigger_nb"
    if not (store / "resume" / "cache.db").exists():
        raise IndexError("there is no store yet")
    return TriggerClient("resume", dir=store).runs()[0]


# The proof -----------------------------------------------------------------------------------------


def prove(first: list[str], second: list[str], at_kill: Stored, at_end: Stored, tree: str) -> bool:
    """Print what ran where, and whether that is as it should be."""
    recorded = at_kill.completed | at_kill.errored
    everything = at_end.completed | at_end.errored
    replayed = everything - set(second)
    in_flight = set(first) - recorded
    again = recorded & set(second)
    # An error counts as handled once a later task is recorded. The last one before a kill may be run again.
    twice = (at_kill.completed & set(second)) | {path for path in again if path != first[-1]}
    shown_as_replayed = int(re.search(r"([\d,]+) replayed", tree)[1].replace(",", ""))

    figures = [
        (len(first), "bodies began in the first kernel"),
        (len(recorded), "of them had their result in the store when it was killed"),
        (len(in_flight), "was in flight: its body begins again, with the same idempotency key"),
        (len(second), "bodies began in the second kernel"),
        (len(replayed), "results were replayed in it, without a call"),
        (len(twice), "bodies ran twice whose result was recorded"),
    ]
    for count, what in figures:
        print(f"  {count:>6,}  {what}")

    faults = {
        "a recorded result was worked out again": twice,
        "a body ran twice in one kernel": len(first) > len(set(first)) or len(second) > len(set(second)),
        "the kernel was killed too late": not in_flight and len(first) == len(everything),
        "a recorded result is gone": recorded - everything,
        "what ran is not what is recorded": (set(first) | set(second)) != everything,
        "the run did not end well": at_end.status != "COMPLETED",
        "the notebook shows another number of replayed tasks": shown_as_replayed != len(replayed),
    }
    found = [fault for fault, holds in faults.items() if holds]
    print(
        "\n" + "\n".join(f"NOT AS IT SHOULD BE: {fault}" for fault in found)
        if found
        else "\nNothing was done twice, and nothing was lost.\n"
    )
    return not found


# Printing ------------------------------------------------------------------------------------------


def headline(text: str) -> None:
    print(f"\033[1m{text}\033[0m\n" if sys.stdout.isatty() else f"{text}\n", flush=True)


def progress(text: str) -> None:
    """A line that is written over by the next one; "" takes it away."""
    if sys.stdout.isatty():
        print(f"\r\033[K{text}", end="", flush=True)


def shown(path: Path) -> str:
    """A path as it can be typed where the demo was started."""
    with suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)


if __name__ == "__main__":
    raise SystemExit(main())
