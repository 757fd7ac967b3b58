"""The `Store` protocol: the interface of a store to the rest of the package."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from .._values.tagged import Blobs

# How many seconds a call waits for another process's transaction unless it says otherwise. The wait is short
# because the call may come from the event loop, which cannot do anything else meanwhile.
PATIENCE = 0.05


class Row(NamedTuple):
    """A row of the store.

    `rank` orders the versions of one row: a version never replaces one of a higher rank. An odd rank is
    final: not even a version of the same rank replaces it. So the rank of a task's record is twice its
    generation, plus one when the task is completed; a row that may always be replaced has rank 0.

    A row keeps the tag with which it was first written.
    """

    key: str
    tag: str
    text: str
    rank: int = 0


class Size(NamedTuple):
    """The disk space that a database takes up, in bytes."""

    file: int
    journal: int  # the write-ahead log: commits that are not in the file yet, and room for further ones
    free: int  # pages in the file that deleted rows have left, and that new rows will use

    @property
    def total(self) -> int:
        return self.file + self.journal


class Store(Protocol):
    """Durable rows of text, found by key or by tag. Every method may be called from any thread.

    A method raises `StoreError` when the store cannot be read or written. Methods with `patience` wait that
    many seconds for another process's transaction (`PATIENCE` by default), then raise `StoreBusyError`.
    """

    @property
    def directory(self) -> Path:
        """The absolute path of the store's folder."""
        ...

    def get(self, key: str) -> str | None:
        """The text of one row, or None."""
        ...

    def select(self, tag: str, *, abridge: bool = False) -> list[tuple[str, str]]:
        """Key and text of every row of a tag, in the order in which they were first written; one query.

        `abridge` leaves the long values out of the texts of task records (see `records.abridged`).
        """
        ...

    def read_on(self, tag: str, key: str, limit: int) -> list[tuple[str, str]]:
        """The row of `key` and the rows of its tag that were first written after it: at most `limit` in all."""
        ...

    def page(self, tag: str, limit: int, offset: int = 0) -> list[tuple[str, str]]:
        """Rows of a tag, the most recently added first."""
        ...

    def commit(self, rows: Sequence[Row], *, patience: float | None = None) -> frozenset[Row]:
        """Write all rows durably in one transaction, or none of them.

        Returns the rows that were *refused* because the store holds a version that wins: one of a higher
        rank, or one of the same rank that is final.
        """
        ...

    def search(self, tag: str, text: str) -> list[tuple[str, str]]:
        """Key and text of the rows of a tag whose text contains `text`, in the order first written."""
        ...

    def tally(self) -> dict[str, int]:
        """The number of rows of each tag."""
        ...

    def size_of(self, tags: Iterable[str]) -> int:
        """The approximate number of bytes that the rows of these tags take up."""
        ...

    def delete(
        self,
        *,
        keys: Iterable[str] = (),
        tags: Iterable[str] = (),
        write: Sequence[Row] = (),
        patience: float | None = None,
    ) -> None:
        """Delete rows by key and by tag, and write others, in one transaction."""
        ...

    def size(self) -> Size:
        """The disk space that the database takes up."""
        ...

    def shrink(self, *, patience: float | None = None) -> None:
        """Give the space of deleted rows back to the disk."""
        ...

    def blobs(self, run_id: str) -> Blobs:
        """The value files of one run."""
        ...

    def blobs_size(self, run_id: str | None = None) -> int:
        """The number of bytes that the value files of one run, or of all runs, take up."""
        ...

    def delete_blobs(self, run_id: str) -> None:
        """Delete the value files of one run."""
        ...

    def share_blobs(self, run_id: str, other: str, names: Iterable[str]) -> None:
        """Give the run `other` value files of `run_id` as well; deleting one run leaves the other's intact."""
        ...

    def sweep_blobs(self, owners: Iterable[str]) -> None:
        """Delete value files that belong to no run in `owners` and are too old to belong to a new one."""
        ...

    def close(self) -> None:
        """Close this process's connections. The next call opens new ones."""
        ...
