"""A store that fails, or ends the process, at a chosen write."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Literal

from .._store.crashpoints import kill_process
from .._store.disk import DiskStore
from .._store.protocol import Row
from .._trials.trial import keep_tidy, new_folder
from ..errors import InvalidOptionError, StoreError

How = Literal["stop", "fail", "kill"]
_HOWS = ("stop", "fail", "kill")


class CrashingStore(DiskStore):
    """A store that crashes at a chosen write, for `job.test(..., store=...)`.

    - `directory`: the folder; by default a new one, which is removed with the store. `job.test(..., store=crashing.directory)` then resumes there,
      as a new kernel does.
    - `at`: the number of the write, from 1. Write 0 is the start of the run.
    - `how`: "stop", the default: nothing is written from here on, as if the kernel had died. "fail": this write fails,
      and later ones do not, as when a disk was full for a moment. "kill": the process is killed, for a test that
      runs the job in another process.
    - `written`: True if the write is still made before the crash. By default it is lost.

    Raises `InvalidOptionError`.

    ```
    store = CrashingStore(at=2)
    order.test({"id": 7}, stubs=stubs, store=store)                    # INTERRUPTED
    run = order.test({"id": 7}, stubs=stubs, store=store.directory)    # resumes where it stopped
    ```
    """

    def __init__(
        self,
        directory: str | os.PathLike[str] | None = None,
        *,
        at: int,
        how: How = "stop",
        written: bool = False,
    ) -> None:
        if type(at) is not int or at < 1:
            raise InvalidOptionError(f"at is the number of a write, from 1, not {at!r:.100}")
        if how not in _HOWS:
            raise InvalidOptionError(f'how is "stop", "fail" or "kill", not {how!r:.100}')
        folder = new_folder() if directory is None else None
        super().__init__(folder or directory or "")
        keep_tidy(self, folder)
        self.writes = -1  # the number of the last write
        self.crashed = False  # whether it has come to the write
        self._at = at
        self._how = how
        self._written = written

    def commit(self, rows: Sequence[Row], *, patience: float | None = None) -> frozenset[Row]:
        """Write the rows, or crash."""
        self.writes += 1
        if self.writes == self._at:
            return self._crash(rows, patience)
        if self.crashed and self._how == "stop":
            raise self._error()
        return super().commit(rows, patience=patience)

    def _crash(self, rows: Sequence[Row], patience: float | None) -> frozenset[Row]:
        self.crashed = True
        if self._written:
            super().commit(rows, patience=patience)
        if self._how == "kill":
            kill_process()
        raise self._error()

    def _error(self) -> StoreError:
        return StoreError(f"the store {self.directory} crashed at write {self._at}, as the test asked for")
