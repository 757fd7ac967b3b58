"""Engines that are wrong on purpose: the crash test has to find them out.

A child applies the one that the environment variable names. Nothing of the package knows of it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

from trigger_nb._engine.reuse import Reuses
from trigger_nb._runs import housekeeping
from trigger_nb._store.disk import DiskStore
from trigger_nb._store.protocol import Row
from trigger_nb._values import file_hashes

VARIABLE = "CRASH_TEST_MUTANT"


def commit_after_return() -> None:
    """R3 broken: the caller gets its value first, and the record is committed a little later.

    Left alone it does the same as the true one: all is committed, and in order, before the process ends.
    """
    commit = DiskStore.commit
    behind = ThreadPoolExecutor(1)
    # Seconds between the return of a value and its commit. A busy machine needs more.
    delay = float(os.environ.get("CRASH_TEST_DELAY", "0.03"))

    def commit_later(
        self: DiskStore, rows: Sequence[Row], *, patience: float | None = None
    ) -> frozenset[Row]:
        runs = [row for row in rows if row.key.startswith("run/")]
        tasks = [row for row in rows if row not in runs]
        if tasks:
            behind.submit(commit_when_due, self, tasks, time.monotonic() + delay)
        return commit(self, runs, patience=patience) if runs else frozenset()

    def commit_when_due(self: DiskStore, rows: Sequence[Row], due: float) -> None:
        time.sleep(max(0.0, due - time.monotonic()))
        commit(self, rows, patience=30.0)

    DiskStore.commit = commit_later  # type: ignore[method-assign]


def wipe_shared_files() -> None:
    """The removal of a run empties its value files, which others have hard links to."""
    delete = DiskStore.delete_blobs

    def wipe(self: DiskStore, run_id: str) -> None:
        for file in self.blobs(run_id).folder.rglob("*"):
            if file.is_file():
                file.chmod(0o600)
                file.write_bytes(b"")
        delete(self, run_id)

    DiskStore.delete_blobs = wipe  # type: ignore[method-assign]


def lose_pointers() -> None:
    """The removal of a run does not lead others to the copies of its results."""
    housekeeping._moved = lambda *_: []  # type: ignore[assignment]


def never_expire() -> None:
    """`expires_after=` counts for nothing."""
    Reuses._limit = lambda *_: None  # type: ignore[method-assign]


def overlook_edits() -> None:
    """A file counts by its name."""
    file_hashes._read = lambda path: file_hashes.Hashed(  # type: ignore[assignment]
        file_hashes.stamp_of(path), sha256(path.encode()).hexdigest()
    )


MUTANTS = {
    "commit-after-return": commit_after_return,
    "wipe-shared-files": wipe_shared_files,
    "lose-pointers": lose_pointers,
    "never-expire": never_expire,
    "overlook-edits": overlook_edits,
}


def apply() -> None:
    """Become the mutant that the environment names, if it names one."""
    name = os.environ.get(VARIABLE)
    if name:
        MUTANTS[name]()
