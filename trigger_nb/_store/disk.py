"""The store on disk: rows in a SQLite database of diskcache's format, and value files beside it.

In diskcache's table a row of ours has `raw = 1` (the key is plain text) and `mode = 1` (so is the value). Its
rank is in `access_count`, and its checksum in `store_time` and `access_time`: columns that diskcache uses with other
eviction policies only.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Generator, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from .._records.records import ABRIDGED_SQL
from ..errors import CorruptRecordError, PickleRefusedError
from . import lease
from .checksums import OF_ABRIDGED, checked
from .crashpoints import point
from .database import Database, sealed, transaction
from .files import file_size
from .protocol import Row, SharedResults, Size
from .shared_results import Pointers
from .sorted_keys import DELETE_KEY, ROW, UPSERT, SortedKeys
from .value_files import ValueFiles, size_of, sweep

_GET = f"{ROW} WHERE key = ? AND raw = 1"
_SELECT = f"{ROW} WHERE tag = ? ORDER BY rowid"
# Most rows have a checksum, and none of a longer text: they are short.
_SELECT_ABRIDGED = f"""
SELECT key, CASE WHEN access_time IS NULL AND store_time IS NOT NULL THEN value ELSE {ABRIDGED_SQL} END, {OF_ABRIDGED}
FROM Cache WHERE tag = ? ORDER BY rowid
"""
_NEWEST = "SELECT coalesce(max(rowid), 0) FROM Cache WHERE tag = ?"
_NEWER = _SELECT_ABRIDGED.replace("WHERE tag = ?", "WHERE tag = ? AND rowid > ?")
_GET_ABRIDGED = _SELECT_ABRIDGED.replace("WHERE tag = ?", "WHERE key = ? AND raw = 1")
_PAGE = f"{ROW} WHERE tag = ? ORDER BY rowid DESC LIMIT ? OFFSET ?"
_READ_ON = f"""
{ROW} WHERE tag = ? AND rowid >= (SELECT rowid FROM Cache WHERE key = ? AND raw = 1) ORDER BY rowid LIMIT ?
"""
_SEARCH = f"{ROW} WHERE tag = ? AND instr(value, ?) ORDER BY rowid"
_TALLY = "SELECT tag, count(*) FROM Cache WHERE typeof(tag) = 'text' GROUP BY tag"
_SIZE_OF = "SELECT total(length(value) + 2 * length(key) + 2 * length(tag)) FROM Cache WHERE tag = ?"
# Unlike the other queries, this one finds the rows of a run by their keys, in another index.
_COUNT = "SELECT count(*) FROM Cache INDEXED BY Cache_key_raw WHERE key >= ? AND key < ?"
_NO_TEXT = "SELECT 1 FROM Cache WHERE key = ? AND raw = 1 AND typeof(value) <> 'text'"
_NO_TEXT_OF_TAG = "SELECT 1 FROM Cache WHERE tag = ? AND (typeof(key) <> 'text' OR typeof(value) <> 'text')"
_PICKLED = "SELECT count(*) FROM Cache WHERE (raw = 0 OR mode = 4) AND ? IN (key, tag)"
_MANY = 100  # rows from which on they are written by one statement
_DELETE_TAG = "DELETE FROM Cache WHERE tag = ?"


class DiskStore(SortedKeys):
    """A `Store` in a directory, which is created if it does not exist.

    Raises `StoreError` when the directory cannot be used, holds something else, or was written by a newer
    version of this package.
    """

    def __init__(
        self, directory: str | os.PathLike[str], *, is_in_use: Callable[[], bool] = lambda: False
    ) -> None:
        # Absolute from here on: a later `os.chdir` in the notebook must not move the store.
        expanded = os.path.expandvars(os.path.expanduser(directory))
        self._database = Database(Path(os.path.abspath(expanded)), is_in_use=is_in_use)
        self.key = str(self._database.directory)
        self.shared: SharedResults = Pointers(self._ask, self._writing)
        self._watchers: tuple[Callable[[], None], ...] = ()  # replaced, never changed in place

    @property
    def directory(self) -> Path:
        return self._database.directory

    def is_at(self, directory: Path) -> bool:
        return self._database.is_at(directory)

    # Rows -------------------------------------------------------------------------------------

    def get(self, key: str) -> str | None:
        wrong: list[str] = []
        rows = self._look(_GET, key, wrong=wrong)
        if wrong and self._ask(_NO_TEXT, key):
            _refuse(self, key)
        return rows[0][1] if rows else None

    def read_run(self, run_id: str) -> list[tuple[str, str]]:
        wrong: list[str] = []
        self._database.return_to_place()
        with self._database.use() as sql:
            sql.execute("BEGIN")  # so that all queries see the same rows
            try:
                rows = self._look(_SELECT_ABRIDGED, run_id, wrong=wrong)
                ((by_key,),) = self._ask(_COUNT, f"{run_id}/", f"{run_id}0")
                if wrong and self._ask(_NO_TEXT_OF_TAG, run_id):
                    _refuse(self, run_id)
                if by_key != len(rows) or not all(self._ask(_GET, key) for key in wrong):
                    raise CorruptRecordError(
                        f"records of run {run_id!r} cannot be found: the database in {self.directory} is damaged. What "
                        "their tasks did may be done, so nothing is repeated by itself. Restore the store from a backup, or "
                        "save what is there into a new one: client.repair(). Or begin with a new run, fresh=True."
                    )
            finally:
                sql.execute("ROLLBACK")
        return rows

    def select(self, tag: str, *, abridge: bool = False) -> list[tuple[str, str]]:
        return self._look(_SELECT_ABRIDGED if abridge else _SELECT, tag)

    def read_on(self, tag: str, key: str, limit: int) -> list[tuple[str, str]]:
        return self._look(_READ_ON, tag, key, limit)

    def news(self, tag: str, after: int, keys: Iterable[str]) -> tuple[int, list[tuple[str, str]]]:
        # Asked for first: what is written meanwhile is found again the next time.
        ((newest,),) = self._ask(_NEWEST, tag)
        rows = self._look(_NEWER, tag, after) if newest > after else []
        found = dict(rows)
        rows += [row for key in keys if key not in found for row in self._look(_GET_ABRIDGED, key)]
        return newest, rows

    def page(self, tag: str, limit: int, offset: int = 0) -> list[tuple[str, str]]:
        return self._look(_PAGE, tag, limit, offset)

    def search(self, tag: str, text: str) -> list[tuple[str, str]]:
        return self._look(_SEARCH, tag, text)

    def tally(self) -> dict[str, int]:
        return dict(self._ask(_TALLY))

    def size_of(self, tags: Iterable[str]) -> int:
        return sum(int(size) for tag in tags for (size,) in self._ask(_SIZE_OF, tag))

    def commit(self, rows: Sequence[Row], *, patience: float | None = None) -> frozenset[Row]:
        point("commit:before")
        with self._writing(patience) as sql:
            refused = _write(sql, rows)
        point("commit:after")
        if self._watchers and any(row.tag == "runs" for row in rows):
            self._tell_watchers()
        return refused

    def delete(
        self,
        *,
        keys: Iterable[str] = (),
        tags: Iterable[str] = (),
        write: Sequence[Row] = (),
        patience: float | None = None,
    ) -> None:
        with self._writing(patience) as sql, transaction(sql):
            sql.executemany(DELETE_KEY, [(key,) for key in keys])
            sql.executemany(_DELETE_TAG, [(tag,) for tag in tags])
            sql.executemany(UPSERT, map(sealed, write))
        self._tell_watchers()

    def watch_runs(self, changed: Callable[[], None]) -> Callable[[], None]:
        def end() -> None:
            self._watchers = tuple(each for each in self._watchers if each is not changed)

        self._watchers = (*self._watchers, changed)
        return end

    def _tell_watchers(self) -> None:
        for changed in self._watchers:
            changed()

    def version(self) -> int:
        return int(self._ask("PRAGMA data_version")[0][0])

    def size(self) -> Size:
        free, page = (self._ask(f"PRAGMA {name}")[0][0] for name in ("freelist_count", "page_size"))
        file, journal = (file_size(self.directory / name) for name in ("cache.db", "cache.db-wal"))
        return Size(file, journal, free * page)

    def shrink(self, *, patience: float | None = None) -> None:
        with self._writing(patience) as sql:
            # VACUUM happens completely or not at all, whichever process dies meanwhile. Rows keep their order
            # because their rowid is a primary key. VACUUM writes through the journal, which is then truncated.
            sql.execute("VACUUM")
            point("shrink:within")
            sql.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    # Value files ------------------------------------------------------------------------------

    def blobs(self, run_id: str) -> ValueFiles:
        return ValueFiles(self._values, run_id)

    def _values(self) -> Path:
        """The folder of value files. They follow the rows: where the database is, or nowhere."""
        self._database.check_place()
        return self.directory / "values"

    def blobs_size(self, run_id: str | None = None) -> int:
        return size_of(self._values()) if run_id is None else self.blobs(run_id).size()

    def delete_blobs(self, run_id: str) -> None:
        self.blobs(run_id).delete()

    def share_blobs(self, run_id: str, other: str, names: Iterable[str]) -> None:
        self.blobs(run_id).share(self.blobs(other), names)

    def sweep_blobs(self, owners: Iterable[str]) -> None:
        sweep(self._values(), owners)

    def close(self) -> None:
        self._database.close()
        lease.close(self.directory)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a store cannot be pickled: open it by its directory in the other process")

    @contextlib.contextmanager
    def _writing(self, patience: float | None) -> Generator[sqlite3.Connection]:
        self._database.before_commit()
        with self._database.use(patience) as sql:
            yield sql
        self._database.after_commit()

    # Queries ----------------------------------------------------------------------------------

    def _ask(self, query: str, *parameters: int | str) -> list[tuple[Any, ...]]:
        self._database.return_to_place()
        with self._database.use() as sql:
            try:
                return sql.execute(query, parameters).fetchall()
            except sqlite3.OperationalError as error:
                if "decode to UTF-8" not in str(error):
                    raise
            sql.text_factory = _replacing
            try:
                return sql.execute(query, parameters).fetchall()
            finally:
                sql.text_factory = str

    def _look(
        self, query: str, name: str, *more: int | str, wrong: list[str] | None = None
    ) -> list[tuple[str, str]]:
        """Key and text of the rows that a query finds for a key or a tag; see `checked`."""
        return checked(self._ask(query, name, *more), [] if wrong is None else wrong)


def _refuse(store: DiskStore, name: str) -> NoReturn:
    ((pickled,),) = store._ask(_PICKLED, name)
    if pickled:
        raise PickleRefusedError(
            f"the store {store.directory} holds a pickled row under {name!r}. This package never writes pickled "
            "rows, and loading a pickle can run any code, so the row was not read. Find out which program wrote "
            "it, then delete that row (or the run), or use another store."
        )
    raise CorruptRecordError(
        f"the store {store.directory} holds a row under {name!r} that is not text, so another program wrote it. "
        "Delete that row (or the run), or use another store."
    )


def _replacing(stored: bytes) -> str:
    """A text of the database, also if it is not UTF-8. Then its row is damaged, and its checksum says so."""
    return stored.decode("utf-8", "replace")


def _write(sql: sqlite3.Connection, rows: Sequence[Row]) -> frozenset[Row]:
    """Write the rows in one transaction. Returns those that were refused."""
    if len(rows) == 1:  # one statement is a transaction by itself
        point("commit:within")
        return frozenset(() if sql.execute(UPSERT, sealed(rows[0])).rowcount else rows)
    refused: list[Row] = []
    with transaction(sql):
        if len(rows) < _MANY or not _all_written(sql, rows):
            refused = [row for row in rows if not sql.execute(UPSERT, sealed(row)).rowcount]
        point("commit:within")
    return frozenset(refused)


def _all_written(sql: sqlite3.Connection, rows: Sequence[Row]) -> bool:
    """Write the rows by one statement. False, and nothing is written, if some are refused: which, it does not say."""
    sql.execute("SAVEPOINT many")
    is_whole = sql.executemany(UPSERT, map(sealed, rows)).rowcount == len(rows)
    if not is_whole:
        sql.execute("ROLLBACK TO many")
    sql.execute("RELEASE many")
    return is_whole
