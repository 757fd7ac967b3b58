"""Real `trigger-nb` processes for tests: run to their end, or begun, told to end, and killed.

What bodies do outside their store is told by a line in `effects.txt`; a body blocks until the test makes a file. Both are
in the folder of the test.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TIMEOUT = 120.0  # seconds, for what is bound to happen: only a failing test waits that long

PRELUDE = """
import asyncio, os, time
from trigger_nb import TriggerClient, job

HOME = {home!r}

def effect(text):
    with open(HOME + "/effects.txt", "a") as file:
        file.write(str(text) + "\\n")

async def until(name):
    while not os.path.exists(HOME + "/" + name):
        await asyncio.sleep(0.01)
"""


class Folder:
    """A folder with notebooks and scripts, and the commands that are run in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self.begun: list[Program] = []

    @property
    def environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("JUPYTER", "JPY_"))}
        kept.pop("TRIGGER_NB_DIR", None)
        return kept | {"PYTHONPATH": str(ROOT), "HOME": str(self.path), "COLUMNS": "120", "NO_COLOR": "1"}

    # Files ------------------------------------------------------------------------------------

    def prelude(self) -> str:
        return PRELUDE.format(home=str(self.path))

    def script(self, name: str, code: str, *, prelude: bool = True) -> Path:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text((self.prelude() if prelude else "") + code, encoding="utf-8")
        return file

    def notebook(self, name: str, *cells: str, tags: dict[int, str] | None = None) -> Path:
        """A notebook; `tags` by the number of the cell, from 1."""
        made: list[dict[str, Any]] = [
            {
                "cell_type": "code", "id": f"cell{number}", "outputs": [], "execution_count": None,
                "metadata": {"tags": [tags[number]]} if tags and number in tags else {},
                "source": cell.strip("\n").splitlines(keepends=True),
            }
            for number, cell in enumerate(cells, 1)
        ]  # fmt: skip
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
        return file

    # What happened ----------------------------------------------------------------------------

    @property
    def effects(self) -> list[str]:
        file = self.path / "effects.txt"
        return file.read_text().splitlines() if file.exists() else []

    def signal(self, name: str) -> None:
        """Let bodies go on that block in `until(name)`."""
        (self.path / name).touch()

    # Commands ---------------------------------------------------------------------------------

    def call(
        self, *arguments: str, code: int = 0, given: str | None = None, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, which has this exit code."""
        done = subprocess.run(
            [sys.executable, "-m", "trigger_nb", *arguments],
            cwd=self.path, env=self.environment | env, capture_output=True, text=True, check=False, timeout=TIMEOUT,
            input=given, stdin=subprocess.DEVNULL if given is None else None,
        )  # fmt: skip
        assert done.returncode == code, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def runs(self, *arguments: str) -> list[dict[str, Any]]:
        return json.loads(self.call("runs", "--json", *arguments).stdout)

    def begin(self, *arguments: str) -> Program:
        """Begin a command that goes on."""
        program = Program(self, arguments)
        self.begun.append(program)
        return program

    def end(self) -> None:
        """Kill what is left."""
        for program in self.begun:
            program.kill()


class Program:
    """A command under way."""

    def __init__(self, folder: Folder, arguments: tuple[str, ...]) -> None:
        self.log = folder.path / f"log-{len(folder.begun)}.txt"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "trigger_nb", *arguments],
                cwd=folder.path, env=folder.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def until(self, holds: Callable[[], object]) -> None:
        """Until something holds, while the command goes on."""
        wait_until(holds, lambda: f"{self.process.poll()}\n{self.said}", lambda: self.process.poll() is None)

    def until_said(self, text: str) -> None:
        self.until(lambda: text in self.said)

    def tell(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def ended(self) -> int:
        """The exit code, once it has ended."""
        return self.process.wait(TIMEOUT)

    def kill(self) -> None:
        """SIGKILL: nothing has time to tidy up."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(TIMEOUT)


def wait_until(
    holds: Callable[[], object], told: Callable[[], str], goes_on: Callable[[], bool] = lambda: True
) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not holds():
        assert goes_on() or holds(), f"it has ended: {told()}"
        assert time.monotonic() < deadline, f"it did not come: {told()}"
        time.sleep(0.02)
