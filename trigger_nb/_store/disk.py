"""The store on disk: rows in a SQLite database of diskcache's format, and value files beside it.

In diskcache's table a row of ours has `raw = 1` (the key is plain text) and `mode = 1` (so is the value). Its
rank is in `access_count`, a column that diskcache uses with another eviction policy only.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Generator, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from .._records.records import ABRIDGED_SQL
from ..errors import CorruptRecordError, PickleRefusedError
from .crashpoints import point
from .database import Database
from .protocol import Row, Size
from .value_files import ValueFiles, file_size, size_of, sweep

# diskcache has no such statement: it looks up the key, compares the ranks and writes, in one transaction.
_UPSERT = """
INSERT INTO Cache(key, raw, tag, value, access_count, mode) VALUES (?, 1, ?, ?, ?, 1)
ON CONFLICT(key, raw) DO UPDATE
SET value = excluded.value, access_count = excluded.access_count, mode = 1, filename = NULL
WHERE excluded.access_count > access_count
   OR (excluded.access_count = access_count AND access_count % 2 = 0)
"""
# A value that is not plain text comes out as NULL and is not even read.
_IS_TEXT = "raw = 1 AND mode = 1 AND typeof(value) = 'text'"
_ROW = f"SELECT key, CASE WHEN {_IS_TEXT} THEN value END FROM Cache"
_GET = f"{_ROW} WHERE key = ? AND raw = 1"
_SELECT = f"{_ROW} WHERE tag = ? ORDER BY rowid"
_SELECT_ABRIDGED = f"""
SELECT key, CASE WHEN {_IS_TEXT} THEN {ABRIDGED_SQL} END FROM Cache WHERE tag = ? ORDER BY rowid
"""
_PAGE = f"{_ROW} WHERE tag = ? ORDER BY rowid DESC LIMIT ? OFFSET ?"
_READ_ON = f"""
{_ROW} WHERE tag = ? AND rowid >= (SELECT rowid FROM Cache WHERE key = ? AND raw = 1) ORDER BY rowid LIMIT ?
"""
_SEARCH = f"{_ROW} WHERE tag = ? AND instr(value, ?) ORDER BY rowid"
_TALLY = "SELECT tag, count(*) FROM Cache WHERE typeof(tag) = 'text' GROUP BY tag"
_SIZE_OF = "SELECT total(length(value) + 2 * length(key) + 2 * length(tag)) FROM Cache WHERE tag = ?"
_PICKLED = "SELECT count(*) FROM Cache WHERE (raw = 0 OR mode = 4) AND ? IN (key, tag)"
_DELETE_KEY = "DELETE FROM Cache WHERE key = ? AND raw = 1"
_DELETE_TAG = "DELETE FROM Cache WHERE tag = ?"


class DiskStore:
    """A `Store` in a directory, which is created if it does not exist.

    Raises `StoreError` when the directory cannot be used, holds something else, or was written by a newer
    version of this package.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        # Absolute from here on: a later `os.chdir` in the notebook must not move the store.
        expanded = os.path.expandvars(os.path.expanduser(directory))
        self._directory = Path(os.path.abspath(expanded))
        self._values = self._directory / "values"
        self._database = Database(self._directory)

    @property
    def directory(self) -> Path:
        return self._directory

    # Rows -------------------------------------------------------------------------------------

    def get(self, key: str) -> str | None:
        rows = self._read(_GET, key)
        return rows[0][1] if rows else None

    def select(self, tag: str, *, abridge: bool = False) -> list[tuple[str, str]]:
        return self._read(_SELECT_ABRIDGED if abridge else _SELECT, tag)

    def read_on(self, tag: str, key: str, limit: int) -> list[tuple[str, str]]:
        return self._read(_READ_ON, tag, key, limit)

    def page(self, tag: str, limit: int, offset: int = 0) -> list[tuple[str, str]]:
        return self._read(_PAGE, tag, limit, offset)

    def search(self, tag: str, text: str) -> list[tuple[str, str]]:
        return self._read(_SEARCH, tag, text)

    def tally(self) -> dict[str, int]:
        return dict(self._ask(_TALLY))

    def size_of(self, tags: Iterable[str]) -> int:
        return sum(int(size) for tag in tags for (size,) in self._ask(_SIZE_OF, tag))

    def commit(self, rows: Sequence[Row], *, patience: float | None = None) -> frozenset[Row]:
        point("commit:before")
        self._database.check_place()
        with self._database.use(patience) as sql:
            refused = _write(sql, rows)
        point("commit:after")
        return refused

    def delete(
        self,
        *,
        keys: Iterable[str] = (),
        tags: Iterable[str] = (),
        write: Sequence[Row] = (),
        patience: float | None = None,
    ) -> None:
        with self._database.use(patience) as sql, _transaction(sql):
            sql.executemany(_DELETE_KEY, [(key,) for key in keys])
            sql.executemany(_DELETE_TAG, [(tag,) for tag in tags])
            sql.executemany(_UPSERT, write)

    def size(self) -> Size:
        free, page = (self._ask(f"PRAGMA {name}")[0][0] for name in ("freelist_count", "page_size"))
        file, journal = (file_size(self._directory / name) for name in ("cache.db", "cache.db-wal"))
        return Size(file, journal, free * page)

    def shrink(self, *, patience: float | None = None) -> None:
        with self._database.use(patience) as sql:
            # VACUUM happens completely or not at all, whichever process dies meanwhile. Rows keep their order
            # because their rowid is a primary key. VACUUM writes through the journal, which is then truncated.
            sql.execute("VACUUM")
            point("shrink:within")
            sql.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    # Value files ------------------------------------------------------------------------------

    def blobs(self, run_id: str) -> ValueFiles:
        return ValueFiles(self._values, run_id)

    def blobs_size(self, run_id: str | None = None) -> int:
        return size_of(self._values) if run_id is None else self.blobs(run_id).size()

    def delete_blobs(self, run_id: str) -> None:
        self.blobs(run_id).delete()

    def share_blobs(self, run_id: str, other: str, names: Iterable[str]) -> None:
        self.blobs(run_id).share(self.blobs(other), names)

    def sweep_blobs(self, owners: Iterable[str]) -> None:
        sweep(self._values, owners)

    def close(self) -> None:
        self._database.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a store cannot be pickled: open it by its directory in the other process")

    # Queries ----------------------------------------------------------------------------------

    def _ask(self, query: str, *parameters: int | str) -> list[tuple[Any, ...]]:
        self._database.return_to_place()
        with self._database.use() as sql:
            return sql.execute(query, parameters).fetchall()

    def _read(self, query: str, name: str, *more: int | str) -> list[tuple[str, str]]:
        """The rows that a query finds for a key or a tag. Raises an error unless all their values are text."""
        rows = self._ask(query, name, *more)
        for _, text in rows:
            if text is None:
                self._refuse(name)
        return rows

    def _refuse(self, name: str) -> NoReturn:
        ((pickled,),) = self._ask(_PICKLED, name)
        if pickled:
            raise PickleRefusedError(
                f"the store {self._directory} holds a pickled row under {name!r}. This package never writes pickled "
                "rows, and loading a pickle can run any code, so the row was not read. Find out which program wrote "
                "it, then delete that row (or the run), or use another store."
            )
        raise CorruptRecordError(
            f"the store {self._directory} holds a row under {name!r} that is not text, so another program wrote it. "
            "Delete that row (or the run), or use another store."
        )


def _write(sql: sqlite3.Connection, rows: Sequence[Row]) -> frozenset[Row]:
    """Write the rows in one transaction. Returns those that were refused."""
    if len(rows) == 1:  # one statement is a transaction by itself
        point("commit:within")
        return frozenset(() if sql.execute(_UPSERT, rows[0]).rowcount else rows)
    with _transaction(sql):
        refused = [row for row in rows if not sql.execute(_UPSERT, row).rowcount]
        point("commit:within")
    return frozenset(refused)


@contextlib.contextmanager
def _transaction(sql: sqlite3.Connection) -> Generator[None]:
    # IMMEDIATE takes the write lock at once. If a transaction begins with a read and another process writes
    # before its first write, the transaction fails, however long it waits.
    sql.execute("BEGIN IMMEDIATE")
    try:
        yield
        sql.execute("COMMIT")
    except BaseException:
        # After some errors, such as a full disk, SQLite has rolled back by itself.
        if sql.in_transaction:
            sql.execute("ROLLBACK")
        raise
