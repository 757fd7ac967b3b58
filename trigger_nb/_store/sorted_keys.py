"""Rows by their keys, and changes that read and write in one transaction."""

from __future__ import annotations

import json
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager

from .checksums import OF_WHOLE
from .crashpoints import point
from .database import sealed, transaction
from .protocol import Changes

# diskcache has no such statement: it looks up the key, compares the ranks and writes, in one transaction.
UPSERT = """
INSERT INTO Cache(key, raw, tag, value, access_count, store_time, access_time, mode) VALUES (?, 1, ?, ?, ?, ?, ?, 1)
ON CONFLICT(key, raw) DO UPDATE
SET value = excluded.value, access_count = excluded.access_count, store_time = excluded.store_time,
    access_time = excluded.access_time, mode = 1, filename = NULL
WHERE excluded.access_count > access_count
   OR (excluded.access_count = access_count AND access_count % 2 = 0)
"""
ROW = f"SELECT key, value, {OF_WHOLE} FROM Cache"
_ROWS = f"{ROW} WHERE raw = 1 AND key IN (SELECT value FROM json_each(?))"
BETWEEN = f"{ROW} WHERE key >= ? AND key < ? AND raw = 1 ORDER BY key LIMIT ?"
DELETE_KEY = "DELETE FROM Cache WHERE key = ? AND raw = 1"


class SortedKeys(ABC):
    """The part of a `Store` that reads rows by their keys."""

    def between(self, first: str, last: str, limit: int = -1) -> list[tuple[str, str]]:
        return self._look(BETWEEN, first, last, limit)

    def read_rows(self, keys: Iterable[str]) -> dict[str, str]:
        return dict(self._look(_ROWS, json.dumps(list(keys))))

    def change(self, decide: Callable[[], Changes | None], *, patience: float | None = None) -> None:
        with self._writing(patience) as sql, transaction(sql):
            changes = decide() or Changes()
            sql.executemany(DELETE_KEY, [(key,) for key in changes.delete])
            sql.executemany(UPSERT, map(sealed, changes.write))
            point("change:within")

    @abstractmethod
    def _look(
        self, query: str, name: str, *more: int | str, wrong: list[str] | None = None
    ) -> list[tuple[str, str]]: ...

    @abstractmethod
    def _writing(self, patience: float | None) -> AbstractContextManager[sqlite3.Connection]: ...
