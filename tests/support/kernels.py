"""Real kernels for tests: started, given cells, interrupted, killed with SIGKILL, started again.

A kernel has a working directory and settings of its own. What it does outside its store is told by
`effect("text")`, which cells can call: a line appended to a file, which `kernel.effects` reads; it
returns how often that text was told by now. `until("name")` blocks a body until the test calls
`kernel.signal("name")`.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from textwrap import dedent
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

ROOT = Path(__file__).parents[2]
OUTPUTS = {"display_data", "execute_result", "stream", "error"}
TIMEOUT = 120.0  # seconds, for what is bound to happen: only a failing test waits that long

PRELUDE = """
import asyncio, os, time
from trigger_nb import TriggerClient, job

def effect(text):
    fd = os.open({effects!r}, os.O_RDWR | os.O_APPEND | os.O_CREAT)
    try:
        os.write(fd, (str(text) + "\\n").encode())
        with open(fd, closefd=False) as file:
            file.seek(0)
            return file.read().splitlines().count(str(text))
    finally:
        os.close(fd)

def until(name):
    while not os.path.exists({home!r} + "/" + name):
        time.sleep(0.01)
"""

_ANSI = re.compile(r"\x1b\[[0-9;]*m")


@dataclass
class Cell:
    """What came of one cell: its outputs in the order in which they came."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    reply: dict[str, Any] = field(default_factory=dict)

    def _content(self, kind: str) -> list[dict[str, Any]]:
        return [message["content"] for message in self.messages if message["msg_type"] == kind]

    @property
    def ok(self) -> bool:
        return self.reply.get("status") == "ok"

    @property
    def printed(self) -> str:
        """What the cell printed to stdout."""
        return "".join(c["text"] for c in self._content("stream") if c["name"] == "stdout")

    @property
    def complained(self) -> str:
        """What went to stderr: warnings and log lines."""
        return "".join(c["text"] for c in self._content("stream") if c["name"] == "stderr")

    @property
    def result(self) -> str | None:
        """The text of `Out[n]`, if there is one."""
        found = self._content("execute_result")
        return found[-1]["data"]["text/plain"] if found else None

    @property
    def displays(self) -> list[dict[str, Any]]:
        """What was shown, each display once and as it was left by the updates of this cell.

        Not the live widget of a run: its snapshot is the display after it.
        """
        shown: dict[Any, dict[str, Any]] = {}
        clears = False  # with the next output
        for at, message in enumerate(self.messages):
            if message["msg_type"] == "clear_output":
                clears = True
            if clears and (message["msg_type"] in OUTPUTS or not message["content"].get("wait", True)):
                shown.clear()
                clears = False
            if message["msg_type"] == "display_data" and message["content"]["data"].get("text/plain") != "":
                shown[_display_id(message) or at] = message["content"]["data"]
            elif message["msg_type"] == "update_display_data" and _display_id(message) in shown:
                shown[_display_id(message)] = message["content"]["data"]
        return list(shown.values())

    @property
    def tree(self) -> str:
        """The one tree under the cell, as text."""
        (display,) = self.displays
        return display["text/plain"]

    @property
    def error(self) -> str:
        """The class of the error that ended the cell; "" when it ended well."""
        found = self._content("error")
        return found[-1]["ename"] if found else ""

    @property
    def message(self) -> str:
        return self._content("error")[-1]["evalue"]

    @property
    def traceback(self) -> str:
        """The traceback under the cell, without colours."""
        return _ANSI.sub("", "\n".join(self._content("error")[-1]["traceback"]))

    def check(self) -> Cell:
        assert self.ok, f"{self.error}\n{self.traceback if self.error else self.reply}"
        return self


def _display_id(message: dict[str, Any]) -> Any:
    return message["content"].get("transient", {}).get("display_id")


class Kernel:
    """One kernel after the other in the same directory, as a notebook has them."""

    def __init__(
        self, directory: Path, *, notebook: str = "notebook.ipynb", home: Path | None = None, **env: str
    ) -> None:
        self.directory = directory
        self.home = home or directory.parent / f"{directory.name}-home"
        self.home.mkdir(parents=True, exist_ok=True)
        self._effects = self.home / "effects.txt"
        self.environment = self._private(notebook) | env
        self._manager: KernelManager | None = None
        self._client: BlockingKernelClient | None = None
        self.all_messages: list[dict[str, Any]] = []
        self.running: Running | None = None

    def _private(self, notebook: str) -> dict[str, str]:
        env = {key: value for key, value in os.environ.items() if not key.startswith(("JUPYTER", "JPY_"))}
        env.pop("TRIGGER_NB_DIR", None)
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "HOME"):
            env[name] = str(self.home)
        return env | {
            "PYTHONPATH": str(ROOT),
            "JPY_SESSION_NAME": str(self.directory / notebook),
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        }

    # Life -------------------------------------------------------------------------------------

    def start(self, prelude: bool = True) -> Kernel:
        self.directory.mkdir(parents=True, exist_ok=True)
        self._manager = KernelManager(
            kernel_name="python3",
            connection_file=str(self.home / f"kernel-{time.monotonic_ns()}.json"),
        )
        with (self.home / "kernel.log").open("ab") as log:
            self._manager.start_kernel(cwd=str(self.directory), env=self.environment, stdout=log, stderr=log)
        self._client = self._manager.client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=TIMEOUT)
        if prelude:
            self.run(PRELUDE.format(effects=str(self._effects), home=str(self.home))).check()
        return self

    @property
    def manager(self) -> KernelManager:
        assert self._manager is not None, "the kernel was not started"
        return self._manager

    @property
    def client(self) -> BlockingKernelClient:
        assert self._client is not None, "the kernel was not started"
        return self._client

    @property
    def pid(self) -> int:
        return self.manager.provisioner.process.pid

    def interrupt(self) -> None:
        """As the notebook's stop button does."""
        self.manager.interrupt_kernel()

    def kill(self) -> None:
        """SIGKILL: nothing of the kernel has time to tidy up."""
        os.kill(self.pid, signal.SIGKILL)
        self.until_dead()
        self.stop()

    def restart(self) -> Kernel:
        """Killed, if it is not dead already, and started again: all that was in memory is gone."""
        if self.manager.is_alive():
            self.kill()
        self.stop()
        return self.start()

    def restart_from_menu(self) -> Kernel:
        """As the notebook's menu does: the kernel is asked to end, and is killed only if it does not."""
        self._disconnect()
        self.manager.shutdown_kernel()
        self.manager.cleanup_resources()
        self._manager = None
        return self.start()

    def _disconnect(self) -> None:
        self.running = None
        if self._client is not None:
            self._client.stop_channels()
            self._client = None

    def stop(self) -> None:
        self._disconnect()
        if self._manager is not None:
            self._manager.shutdown_kernel(now=True)
            self._manager.cleanup_resources()
            self._manager = None

    # Cells ------------------------------------------------------------------------------------

    def run(self, *code: str, timeout: float = TIMEOUT) -> Cell:
        """Run a cell, made of indented parts, to its end."""
        return self.submit(cell(*code)).end(timeout)

    def submit(self, *code: str) -> Running:
        """Begin a cell."""
        self.running = Running(self, self.client.execute(cell(*code)))
        return self.running

    def question(self) -> str:
        """The question of `input()` that the notebook shows next. `client.input(text)` answers it."""
        return self.client.get_stdin_msg(timeout=TIMEOUT)["content"]["prompt"]

    def ready(self) -> Kernel:
        """This one, started again if it is dead or a failed test has left a cell running."""
        if not self.manager.is_alive() or (self.running is not None and not self.running.ended):
            self.restart()
        return self

    def pump(self, until: Callable[[], object], timeout: float = TIMEOUT) -> None:
        """Read what the kernel says until something holds."""
        deadline = time.monotonic() + timeout
        while not until():
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"it did not come in {timeout:g} s; the kernel's last words: {self._last_words()}"
                )
            try:
                self.all_messages.append(self.client.get_iopub_msg(timeout=0.05))
            except Empty:
                assert self.manager.is_alive(), "the kernel has died"

    def _last_words(self) -> list[Any]:
        said: list[Any] = []
        for message in self.all_messages[-8:]:
            content = message["content"]
            said.append(
                (message["msg_type"], content.get("data", {}).get("text/plain") or str(content)[:300])
            )
        return said

    # What happened ----------------------------------------------------------------------------

    @property
    def effects(self) -> list[str]:
        """What bodies told by `effect(text)`, of all kernels in this directory."""
        return self._effects.read_text().splitlines() if self._effects.exists() else []

    def signal(self, name: str) -> None:
        """Let bodies go on that block in `until(name)`."""
        (self.home / name).touch()

    def until_effect(self, text: str) -> None:
        """Until a body has told so."""
        self.pump(lambda: text in self.effects)

    def until_dead(self) -> None:
        """Until it has killed itself."""
        self.manager.provisioner.process.wait(timeout=TIMEOUT)

    def updates(self) -> list[dict[str, Any]]:
        """All updates of displays so far, whichever cell was running."""
        return [m for m in self.all_messages if m["msg_type"] == "update_display_data"]


def cell(*parts: str) -> str:
    """Code as it stands in a cell, made of indented parts."""
    return "\n".join(dedent(part).strip("\n") for part in parts)


class Running:
    """A cell that was begun."""

    def __init__(self, kernel: Kernel, request: str) -> None:
        self._kernel = kernel
        self._request = request

    def interrupt(self) -> Running:
        self._kernel.interrupt()
        return self

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [m for m in self._kernel.all_messages if m["parent_header"].get("msg_id") == self._request]

    def end(self, timeout: float = TIMEOUT) -> Cell:
        self._kernel.pump(lambda: self.ended, timeout)
        while True:
            reply = self._kernel.client.get_shell_msg(timeout=TIMEOUT)
            if reply["parent_header"].get("msg_id") == self._request:
                return Cell(self.messages, reply["content"])

    @property
    def ended(self) -> bool:
        return any(
            m["msg_type"] == "status" and m["content"]["execution_state"] == "idle" for m in self.messages
        )


@contextmanager
def kernel_in(directory: Path, **options: Any) -> Iterator[Kernel]:
    """A kernel that is stopped whatever happens."""
    kernel = Kernel(directory, **options)
    try:
        yield kernel.start()
    finally:
        kernel.stop()
