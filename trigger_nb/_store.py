"""Where records live: a small protocol, and diskcache behind it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from ._codec._base import Blobs


class Row(NamedTuple):
    """One record as the store sees it."""

    key: str
    tag: str
    text: str
    rank: int = 0  # A row never replaces one of the same key and a higher rank, nor a final one of its own rank.
    final: bool = False


class Store(Protocol):
    """Durable rows of text, found by key or by tag. Every method may be called from any thread."""

    @property
    def directory(self) -> Path:
        """Where the store is, absolute."""
        ...

    def get(self, key: str) -> str | None:
        """The text of one row."""
        ...

    def select(self, tag: str) -> list[tuple[str, str]]:
        """Key and text of every row of a tag, in the order first written, in one query."""
        ...

    def page(self, tag: str, limit: int, offset: int = 0) -> list[tuple[str, str]]:
        """Rows of a tag, most recently first written first."""
        ...

    def commit(self, rows: Sequence[Row], *, patience: float | None = None) -> frozenset[str]:
        """Write all rows in one transaction, durably, or none.

        Returns the keys of the rows that were *not* written because the store holds one that
        wins: of a higher rank, or of the same rank and final. `patience` is how many seconds to
        wait for another process's transaction; then `StoreBusyError`.
        """
        ...

    def delete(self, *, keys: Iterable[str] = (), tags: Iterable[str] = ()) -> None:
        """Remove rows by key and by tag, in one transaction."""
        ...

    def blobs(self, run_id: str) -> Blobs:
        """The value files of one run."""
        ...

    def delete_blobs(self, run_id: str) -> None:
        """Remove the value files of one run."""
        ...

    def close(self) -> None:
        """Close this process's connections."""
        ...
