"""A call of `io.run_task` walks through few files, so that a reader can follow it. Counted by the files whose code runs."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import trigger_nb
from trigger_nb import TriggerClient
from trigger_nb._values.files import FilesInUse

PACKAGE = Path(trigger_nb.__file__).parent
# What a commit does below the ledger is a walk of its own.
WRITER = {"_store/group_commit.py", "_store/disk.py", "_store/database.py"}


async def body(number):
    return {"id": number}


@contextmanager
def files_walked() -> Iterator[set[str]]:
    """The files of the package whose functions are called on this thread."""
    found: set[str] = set()

    def note(frame, event, _argument):
        if event == "call" and (path := Path(frame.f_code.co_filename)).is_relative_to(PACKAGE):
            found.add(path.relative_to(PACKAGE).as_posix())

    sys.setprofile(note)
    try:
        yield found
    finally:
        sys.setprofile(None)


def walks_of(directory) -> list[set[str]]:
    """The files that one call walks through: fresh, then replayed. Each after another call of the same body."""
    client = TriggerClient("walk", dir=directory, display=False)
    walks = []

    @client.job(id="job")
    async def job(payload, io):
        await io.run_task("first", body, 1)
        with files_walked() as files:
            await io.run_task("key", body, 2)
        walks.append(files)

    for _ in range(2):
        asyncio.run(job.run(1))
    client.runtime.store.close()
    return walks


@pytest.mark.parametrize(
    ("which", "without", "most"),
    [("fresh", set(), 27), ("fresh", WRITER, 24), ("replayed", set(), 6)],
    ids=["fresh", "fresh, without the writer of the store", "replayed"],
)
def test_a_call_walks_through_few_files(tmp_path, monkeypatch, which, without, most):
    monkeypatch.setattr(FilesInUse, "begun", False)  # other tests make a `File`, for which more is done
    files = walks_of(tmp_path)[which == "replayed"] - without
    assert len(files) <= most, sorted(files)
