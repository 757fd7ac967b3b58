"""Forks to be killed: a fresh interpreter takes half a second of the processor to import the package, and a test that
kills processes starts a hundred. One process imports it once; each launch is a fork of that one.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from multiprocessing import connection, forkserver
from multiprocessing.context import ForkServerContext
from pathlib import Path
from tempfile import NamedTemporaryFile
from unittest import mock

ROOT = Path(__file__).parents[2]
MODULES = ["tests.crash.child", "tests.crash.history_child", "tests.crash.reuse_child"]
LATER = [
    "anyio._backends._asyncio",
    "diskcache",
    "tenacity",
]  # which the package imports when it comes to them
TIMEOUT = 600.0  # seconds; only what hangs takes that long

_lock = threading.Lock()  # each start looks at the ends of all, and an end can be read only once


class Launched:
    """A process that runs `main()` of a module, as `python -m` would. What tests need of a `Popen` it has too."""

    def __init__(
        self, module: str, arguments: Sequence[str], *, directory: Path, environment: dict[str, str]
    ) -> None:
        self._stderr = NamedTemporaryFile()  # noqa: SIM115 - it goes with this object
        context = _context()
        is_ready, ready = context.Pipe(duplex=False)
        asked = (module, list(arguments), str(directory), environment, self._stderr.name, ready)
        with _lock:
            self._process = context.Process(target=_become, args=asked, daemon=True)
            self._process.start()
        with is_ready, ready:
            ready.close()
            is_ready.poll(TIMEOUT)  # a signal before that would end what is not yet the process asked for

    @property
    def returncode(self) -> int | None:
        """As `Popen.poll` gives it: None while it runs, and the signal, below 0, that it died of."""
        with _lock:
            return self._process.exitcode

    def wait(self, timeout: float) -> int:
        """Wait for its end; a `TimeoutExpired` after so many seconds."""
        connection.wait([self._process.sentinel], timeout)
        if (code := self.returncode) is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout)
        return code

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it has not ended."""
        if self.returncode is None:
            os.kill(self._process.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        with _lock:
            self._process.kill()

    def complaints(self) -> str:
        """The last of what it wrote to stderr."""
        return Path(self._stderr.name).read_text(errors="replace")[-4000:]


@cache
def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(MODULES + LATER)
    with mock.patch.dict(os.environ, {"PYTHONPATH": str(ROOT)}):
        forkserver.ensure_running()
    return context


def _become(
    module: str,
    arguments: list[str],
    directory: str,
    environment: dict[str, str],
    stderr: str,
    ready: connection.Connection,
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(directory)
    for file, number in ((os.devnull, 1), (stderr, 2)):
        os.dup2(os.open(file, os.O_WRONLY), number)
    sys.argv = [module, *arguments]
    main = import_module(module).main
    ready.close()
    try:
        code = main()
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # what is left is to end
    sys.exit(code)
