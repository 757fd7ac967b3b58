"""Engines that are wrong on purpose: the crash test has to find them out.

A child applies the one that the environment variable names. Nothing of the package knows of it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from trigger_nb._store.disk import DiskStore
from trigger_nb._store.protocol import Row

VARIABLE = "CRASH_TEST_MUTANT"
# Seconds between the return of a value and its commit. A busy machine needs more.
DELAY = float(os.environ.get("CRASH_TEST_DELAY", "0.03"))


def commit_after_return() -> None:
    """R3 broken: the caller gets its value first, and the record is committed a little later.

    Left alone it does the same as the true one: all is committed, and in order, before the process ends.
    """
    commit = DiskStore.commit
    behind = ThreadPoolExecutor(1)

    def commit_later(
        self: DiskStore, rows: Sequence[Row], *, patience: float | None = None
    ) -> frozenset[Row]:
        runs = [row for row in rows if row.key.startswith("run/")]
        tasks = [row for row in rows if row not in runs]
        if tasks:
            behind.submit(commit_when_due, self, tasks, time.monotonic() + DELAY)
        return commit(self, runs, patience=patience) if runs else frozenset()

    def commit_when_due(self: DiskStore, rows: Sequence[Row], due: float) -> None:
        time.sleep(max(0.0, due - time.monotonic()))
        commit(self, rows, patience=30.0)

    DiskStore.commit = commit_later  # type: ignore[method-assign]


MUTANTS = {"commit-after-return": commit_after_return}


def apply() -> None:
    """Become the mutant that the environment names, if it names one."""
    name = os.environ.get(VARIABLE)
    if name:
        MUTANTS[name]()
