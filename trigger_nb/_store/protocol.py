"""The `Store` protocol: the interface of a store to the rest of the package."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
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


class Changes(NamedTuple):
    """What one transaction writes, and the keys of the rows that it deletes."""

    write: Sequence[Row] = ()
    delete: Sequence[str] = ()


class Shared(NamedTuple):
    """A stored result that other runs may reuse."""

    run_id: str
    path: str
    text: str  # of the task's record


class SharedResults(Protocol):
    """The results that runs may take from each other, as far as pointers lead to them."""

    def look_up(self, digests: Iterable[str], job: str | None) -> list[Shared]:
        """The results that pointers of these digests lead to, in runs of one job or of all; one query."""
        ...

    def pointers_into(self, run_ids: Collection[str]) -> list[str]:
        """The keys of the pointers that lead to results of these runs."""
        ...

    def beside(self, pointers: Collection[str]) -> list[Shared]:
        """What any run has of the results of these pointers. Reads all records, if there are pointers."""
        ...

    def sweep(self, *, patience: float | None = None) -> None:
        """Delete the pointers to results that are not in the store any more."""
        ...


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

    The text of a row that the disk or another program has changed is marked as damaged, so that reading it raises
    `CorruptRecordError` (see `base.damaged`): one wrong row breaks no list.

    A method raises `StoreError` when the store cannot be read or written. Methods with `patience` wait that
    many seconds for another process's transaction (`PATIENCE` by default), then raise `StoreBusyError`.
    """

    key: str  # identifies the store in this process, also after its folder was moved
    shared: SharedResults

    @property
    def directory(self) -> Path:
        """The absolute path of the store's folder, as last known: the folder is followed when it is moved."""
        ...

    def is_at(self, directory: Path) -> bool:
        """Whether the store is in this folder now, or was there when it was removed."""
        ...

    def get(self, key: str) -> str | None:
        """The text of one row, or None. Raises `CorruptRecordError` when the row is not text."""
        ...

    def read_run(self, run_id: str) -> list[tuple[str, str]]:
        """Key and abridged text of every row of a run, as `select` gives them, for a pass of the run.

        Raises `CorruptRecordError` when a row is not text, or when not all rows of the run can be found: their tasks
        would run again.
        """
        ...

    def select(self, tag: str, *, abridge: bool = False) -> list[tuple[str, str]]:
        """Key and text of every row of a tag, in the order in which they were first written; one query.

        `abridge` leaves the long values out of the texts of task records (see `records.abridged`).
        """
        ...

    def read_rows(self, keys: Iterable[str]) -> dict[str, str]:
        """The texts of the rows with these keys, by key, as far as they are there; one query."""
        ...

    def read_on(self, tag: str, key: str, limit: int) -> list[tuple[str, str]]:
        """The row of `key` and the rows of its tag that were first written after it: at most `limit` in all."""
        ...

    def news(self, tag: str, after: int, keys: Iterable[str]) -> tuple[int, list[tuple[str, str]]]:
        """What may be new under a tag: its rows that were first written after number `after`, and those of these keys,
        abridged as by `select`; and before them the number to ask with the next time. From 0, these are all rows."""
        ...

    def page(self, tag: str, limit: int, offset: int = 0) -> list[tuple[str, str]]:
        """Rows of a tag, the most recently added first."""
        ...

    def between(self, first: str, last: str, limit: int = -1) -> list[tuple[str, str]]:
        """Key and text of the rows whose keys are `first` or greater and below `last`, by key: at most `limit`, if not -1.

        A query on the index of keys: it reads no other rows.
        """
        ...

    def change(self, decide: Callable[[], Changes | None], *, patience: float | None = None) -> None:
        """Write and delete what `decide` says, in one transaction with what it reads of this store.

        So no other process can change meanwhile what it has read. It must be quick, and call nothing else of this store.
        """
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

    def watch_runs(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Call `changed` after each commit of this process that adds, changes or deletes the record of a run.

        It is called on the thread of the commit, must be quick and must not raise. The result ends it.
        """
        ...

    def version(self) -> int:
        """A number that is another one after a commit of another process, asked for in the same thread."""
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
