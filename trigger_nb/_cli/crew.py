"""Several files at once: a worker process for each, as each notebook has a kernel of its own.

Two notebooks cannot share one process: each is its `__main__`, where stored classes are looked up. A worker that dies is
started again. All end with this process, also if it is killed: then the pipe closes that they watch.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
from contextlib import suppress

from .problems import FAILED, USAGE
from .work import stop_on_signals

_AGAIN = (1.0, 60.0)  # seconds until a worker that has died is started again, at first and at most
_FD = "TRIGGER_NB_PARENT_PIPE"  # the environment variable with the descriptor of the pipe
log = logging.getLogger("trigger_nb.work")


def pipe_of_parent() -> int | None:
    """The pipe to the process that has started this worker, if one has."""
    text = os.environ.pop(_FD, "")
    return int(text) if text.isdecimal() else None


class Crew:
    """A worker for each file."""

    def __init__(self, files: list[str], options: list[str], *, once: bool) -> None:
        self._files = files
        self._options = options
        self._once = once
        self._stopping = asyncio.Event()
        self._workers: dict[str, asyncio.subprocess.Process] = {}
        self._read, self._write = os.pipe()
        os.set_inheritable(self._read, True)

    def _stop(self) -> None:
        """Tell the workers to end; a second time, to hurry."""
        self._stopping.set()
        for worker in self._workers.values():
            with suppress(ProcessLookupError):
                worker.send_signal(signal.SIGTERM)

    async def run(self) -> int:
        """Serve until SIGTERM or Ctrl+C, or until all have ended. Returns an exit code."""
        stop_on_signals(self._stop)
        codes = await asyncio.gather(*map(self._serve, self._files))
        return max(codes)

    async def _serve(self, file: str) -> int:
        delay, most = _AGAIN
        while True:
            code = await self._one(file)
            if self._stopping.is_set() or self._once or code in (0, USAGE):
                return max(0, code) if code >= 0 or self._stopping.is_set() else FAILED
            log.error(
                "the worker of %s has died (%s); it is started again in %g s", file, _death(code), delay
            )
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay)
            if self._stopping.is_set():
                return 0
            delay = min(most, 2 * delay)

    async def _one(self, file: str) -> int:
        """Run one worker to its end."""
        worker = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "trigger_nb", "work", file, *self._options),
            stdin=subprocess.DEVNULL,
            env=os.environ | {_FD: str(self._read)},
            pass_fds=(self._read,),
            start_new_session=True,  # Ctrl+C reaches this process alone, which tells the workers
        )
        self._workers[file] = worker
        if self._stopping.is_set():
            worker.terminate()
        code = await worker.wait()
        del self._workers[file]
        return code


def _death(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    with suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"
