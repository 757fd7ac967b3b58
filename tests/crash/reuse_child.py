"""A process of the crash test of reuse: `python -m tests.crash.reuse_child DIRECTORY NUMBER`.

It runs one job over the first items, which takes results over from the runs before, and prunes those. Each body writes to a file
outside the store when it is called.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any

from trigger_nb import TriggerClient
from trigger_nb._store import crashpoints

STEP = 40  # more items in each run


def value_of(item: int) -> Any:
    """Each third value is in a file."""
    return [item] if item % 3 else [f"{item} {n}" for n in range(6_000)]


def note(line: str) -> None:
    file = os.open(sys.argv[1] + "/trace", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, f"{line}\n".encode())
    os.close(file)


def work(item: int) -> Any:
    note(f"call {item}")
    time.sleep(0.001)
    return value_of(item)


async def run(directory: Path, number: int) -> None:
    client = TriggerClient("crash", dir=directory / "store", display=False, reuse="client")

    @client.job(id=f"job-{number % 2}")
    async def job(payload: list[int], io: Any) -> int:
        results = await io.map("items", payload, work, concurrency=4)
        assert results == [value_of(item) for item in payload]
        if number:  # a run before this one has it
            for item in (0, 1, 2, 4, 5):  # plain values in a row share a commit, one in a file has its own
                assert await io.run_task(f"first-{item}", work, item) == value_of(item)
        return len(results)

    items = list(range(STEP * (number + 1)))
    assert await job.run(items[::-1] if number % 2 else items, run_id=f"run-{number}") == len(items)
    for run in client.runs():
        if run.id != f"run-{number}" and run.status == "COMPLETED":
            run.delete()
    client.prune(keep_last=1)
    note(f"done {number}")


def main() -> None:
    crashpoints.arm()
    asyncio.run(run(Path(sys.argv[1]), int(sys.argv[2])))


if __name__ == "__main__":
    main()
