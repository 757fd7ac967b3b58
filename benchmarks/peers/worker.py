"""A worker process: `python -m benchmarks.peers.worker MODULE`, one request a line, one answer a line.

Started and asked by `processes.py`.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import resource
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

from .clock import clock


def main(module: str) -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # What libraries print is no answer.
    library: Any = None
    for line in sys.stdin:
        try:
            library = library or importlib.import_module(f"benchmarks.peers.{module}")
            answer = measured(library, **json.loads(line))
        except BaseException as error:
            traceback.print_exc()
            answer = {"error": _first_line(error)}
        print(json.dumps(answer), file=answers)


def measured(library: Any, workload: str, tasks: int) -> dict[str, float]:
    """Seconds of one workload, once, in a new directory, and the memory that it took."""
    gc.collect()
    before = peak_memory()
    with tempfile.TemporaryDirectory(prefix="trigger_nb-benchmark-", ignore_cleanup_errors=True) as directory:
        getattr(library, workload)(Path(directory), tasks)
        stored = sum(file.stat().st_size for file in Path(directory).rglob("*") if file.is_file())
    return {
        "seconds": clock.seconds,
        "called": len(clock.called),
        "memory": max(peak_memory() - before, resource.getpagesize()),
        "stored": stored,
    }


def peak_memory() -> int:
    """Bytes that this process has had in memory at most, its children not counted."""
    try:
        # What getrusage says begins on Linux with the size of the process that started this one.
        status = Path("/proc/self/status").read_text()
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def _first_line(error: BaseException) -> str:
    said = str(error).strip()
    return f"{type(error).__name__}: {said.splitlines()[0]}" if said else type(error).__name__


if __name__ == "__main__":
    main(sys.argv[1])
