"""The worker processes, from the side that asks them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from benchmarks.imports import ROOT

PATIENCE = 180.0  # seconds for one answer


class WorkerError(Exception):
    """A library could not do what it was asked; the first line of its error."""


class Worker:
    """A process in which one library is loaded."""

    def __init__(self, module: str) -> None:
        self.module = module
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.close()

    def ask(self, workload: str, tasks: int) -> dict[str, float]:
        """What one workload took, once: seconds, bodies `called`, bytes of `memory` and `stored`."""
        answer = self._answer({"workload": workload, "tasks": tasks})
        if "error" in answer:
            raise WorkerError(answer["error"])
        replays = workload in ("replay", "map_again")
        if answer["called"] != (0 if replays else tasks):
            raise WorkerError(f"{workload} of {tasks} tasks has called {answer['called']} bodies")
        return answer

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        process = self._process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        os.killpg(process.pid, signal.SIGCONT)
        late = threading.Timer(PATIENCE, _end_group, [process])
        late.start()
        try:
            print(json.dumps(request), file=process.stdin, flush=True)
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            late.cancel()
        if not line:
            self.close()
            return {"error": f"it ended, or did not answer for {PATIENCE:.0f} s"}
        # What it still does, and a server that it has started, takes no time from the one measured next.
        os.killpg(process.pid, signal.SIGSTOP)
        return json.loads(line)

    def _start(self) -> subprocess.Popen[str]:
        log = None if os.environ.get("BENCHMARK_LOG") else subprocess.DEVNULL
        return subprocess.Popen(
            [sys.executable, "-m", "benchmarks.peers.worker", self.module],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
            start_new_session=True,
        )  # fmt: skip

    def close(self) -> None:
        """Let the process end, which stops the server that it may have started."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGCONT)
        with suppress(BrokenPipeError):
            process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=30)
        _end_group(process)
        process.wait()
        process.stdout.close()


def _end_group(process: subprocess.Popen[str]) -> None:
    """End it, and what it may have left behind."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
