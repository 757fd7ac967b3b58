"""Where records live: a small protocol, and diskcache behind it.

Everything that touches diskcache is in this file. We keep its file format, so that a store can be
opened with diskcache or any SQLite tool, and replace what would lose data or time: its default of
throwing old rows away, its pickles, its waiting for up to a minute, and the indexes and counters
that cost every commit a page of journal and serve us nothing.

In diskcache's table a row of ours has `raw = 1` (the key is plain text), `mode = 1` (so is the
value), and its rank in `access_count`, which diskcache uses with another eviction policy only.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
import threading
import time
import weakref
from collections.abc import Iterable, Sequence
from os import getpid
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Protocol

import diskcache

from ._crashpoints import point
from ._files import ForeignFileError, check_file, check_folder
from ._records import ABRIDGED_SQL
from ._valuefiles import ValueFiles, file_size, size_of, sweep
from .errors import CorruptRecordError, PickleRefusedError, StoreBusyError, StoreError

if TYPE_CHECKING:
    from ._codec._base import Blobs

# The format of a store that this code writes, and the newest that it can read.
FORMAT = 1

# How many seconds a call waits for another process's transaction when it does not say. Short,
# because it may be made on the event loop, which stands still meanwhile.
PATIENCE = 0.05


class Row(NamedTuple):
    """One record as the store sees it.

    `rank` orders the records of one key: a row never replaces one of a higher rank. An odd rank is
    final: not even a row of the same rank replaces it. So the rank of a task's record is twice its
    generation, and one more when it is completed; what may always be replaced has rank 0.

    A key's tag is the one that it was first written with.
    """

    key: str
    tag: str
    text: str
    rank: int = 0


class Size(NamedTuple):
    """What a database takes up, in bytes."""

    file: int
    journal: int  # what is committed and not yet in the file, or has been
    free: int  # held for rows to come, after others were deleted

    @property
    def total(self) -> int:
        return self.file + self.journal


class Store(Protocol):
    """Durable rows of text, found by key or by tag. Every method may be called from any thread.

    A store that cannot be read or written raises `StoreError`.
    """

    @property
    def directory(self) -> Path:
        """Where the store is, absolute."""
        ...

    def get(self, key: str) -> str | None:
        """The text of one row."""
        ...

    def select(self, tag: str, *, abridge: bool = False) -> list[tuple[str, str]]:
        """Key and text of every row of a tag, in the order first written, in one query.

        `abridge`: of tasks' records, without long values (see `_records.abridged`).
        """
        ...

    def read_on(self, tag: str, key: str, limit: int) -> list[tuple[str, str]]:
        """A row and those of its tag that were first written after it, so many in all."""
        ...

    def page(self, tag: str, limit: int, offset: int = 0) -> list[tuple[str, str]]:
        """Rows of a tag, most recently first written first."""
        ...

    def commit(self, rows: Sequence[Row], *, patience: float | None = None) -> frozenset[Row]:
        """Write all rows in one transaction, durably, or none.

        Returns those of the rows that were *not* written because the store holds one that wins: of
        a higher rank, or of the same rank and final. `patience` is how many seconds to wait for
        another process's transaction; then `StoreBusyError`.
        """
        ...

    def search(self, tag: str, text: str) -> list[tuple[str, str]]:
        """Key and text of the rows of a tag in whose text `text` stands, in the order first written."""
        ...

    def tally(self) -> dict[str, int]:
        """How many rows there are of each tag."""
        ...

    def size_of(self, tags: Iterable[str]) -> int:
        """About how many bytes the rows of these tags take up."""
        ...

    def delete(
        self, *, keys: Iterable[str] = (), tags: Iterable[str] = (), write: Sequence[Row] = (),
        patience: float | None = None,
    ) -> None:  # fmt: skip
        """Remove rows by key and by tag, and write others, in one transaction."""
        ...

    def size(self) -> Size:
        """What the database takes up on the disk."""
        ...

    def shrink(self, *, patience: float | None = None) -> None:
        """Give the space of deleted rows back to the disk; `StoreBusyError` when others are at work."""
        ...

    def blobs(self, run_id: str) -> Blobs:
        """The value files of one run."""
        ...

    def blobs_size(self, run_id: str | None = None) -> int:
        """How many bytes the value files of one run, or of all, take up."""
        ...

    def delete_blobs(self, run_id: str) -> None:
        """Remove the value files of one run."""
        ...

    def share_blobs(self, run_id: str, other: str, names: Iterable[str]) -> None:
        """Have another run hold value files of this one as well: each can be deleted on its own."""
        ...

    def sweep_blobs(self, owners: Iterable[str]) -> None:
        """Remove value files that are nobody's of these, and old enough to be nobody's to come."""
        ...

    def close(self) -> None:
        """Close this process's connections. The next call opens new ones."""
        ...


# One statement does the look-up, the fence and the write, and is a transaction of its own.
_UPSERT = """
INSERT INTO Cache(key, raw, tag, value, access_count, mode) VALUES (?, 1, ?, ?, ?, 1)
ON CONFLICT(key, raw) DO UPDATE
SET value = excluded.value, access_count = excluded.access_count, mode = 1, filename = NULL
WHERE excluded.access_count > access_count
   OR (excluded.access_count = access_count AND access_count % 2 = 0)
"""

# What is not plain text comes out as NULL, and is not even read.
_TEXT = "CASE WHEN raw = 1 AND mode = 1 AND typeof(value) = 'text' THEN value END"
_GET = f"SELECT key, {_TEXT} FROM Cache WHERE key = ? AND raw = 1"
_SELECT = f"SELECT key, {_TEXT} FROM Cache WHERE tag = ? ORDER BY rowid"
_SELECT_ABRIDGED = f"""
SELECT key, CASE WHEN raw = 1 AND mode = 1 AND typeof(value) = 'text' THEN {ABRIDGED_SQL} END
FROM Cache WHERE tag = ? ORDER BY rowid
"""
_PAGE = f"SELECT key, {_TEXT} FROM Cache WHERE tag = ? ORDER BY rowid DESC LIMIT ? OFFSET ?"
_READ_ON = f"""
SELECT key, {_TEXT} FROM Cache
WHERE tag = ? AND rowid >= (SELECT rowid FROM Cache WHERE key = ? AND raw = 1) ORDER BY rowid LIMIT ?
"""
_SEARCH = f"SELECT key, {_TEXT} FROM Cache WHERE tag = ? AND instr(value, ?) ORDER BY rowid"
_TALLY = "SELECT tag, count(*) FROM Cache WHERE typeof(tag) = 'text' GROUP BY tag"
_SIZE_OF = "SELECT total(length(value) + 2 * length(key) + 2 * length(tag)) FROM Cache WHERE tag = ?"
_PICKLED = "SELECT count(*) FROM Cache WHERE (raw = 0 OR mode = 4) AND ? IN (key, tag)"

_NOTHING_REFUSED: frozenset[Row] = frozenset()


class DiskStore:
    """A `Store` in a directory, which is made when it is not there.

    Raises `StoreError` when the directory cannot be used, holds something else, or was written by a
    newer version of this package.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        # Absolute from here on: a later `os.chdir` in the notebook must not move the store.
        expanded = os.path.expandvars(os.path.expanduser(directory))
        self._directory = Path(os.path.abspath(expanded))
        self._values = self._directory / "values"
        self._cache = TextCache(self._directory)

    @property
    def directory(self) -> Path:
        return self._directory

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
        cache = self._cache
        cache.check_place()
        connection = cache.connection()
        with connection.lock:
            try:
                if connection.patience != patience:
                    connection.set_patience(patience)
                if len(rows) == 1:
                    refused = _write_one(connection.sql, rows[0])
                else:
                    refused = _write_all(connection.sql, rows)
            except sqlite3.Error as error:
                self._explain(error, patience)
        point("commit:after")
        return refused

    def delete(
        self, *, keys: Iterable[str] = (), tags: Iterable[str] = (), write: Sequence[Row] = (),
        patience: float | None = None,
    ) -> None:  # fmt: skip
        connection = self._cache.connection()
        with connection.lock:
            try:
                connection.set_patience(patience)
                with _transaction(connection.sql):
                    connection.sql.executemany(
                        "DELETE FROM Cache WHERE key = ? AND raw = 1", [(key,) for key in keys]
                    )
                    connection.sql.executemany("DELETE FROM Cache WHERE tag = ?", [(tag,) for tag in tags])
                    connection.sql.executemany(_UPSERT, write)
            except sqlite3.Error as error:
                self._explain(error, patience)

    def size(self) -> Size:
        free, page = (self._ask(f"PRAGMA {name}")[0][0] for name in ("freelist_count", "page_size"))
        file, journal = (file_size(self._directory / name) for name in ("cache.db", "cache.db-wal"))
        return Size(file, journal, free * page)

    def shrink(self, *, patience: float | None = None) -> None:
        connection = self._cache.connection()
        with connection.lock:
            try:
                connection.set_patience(patience)
                # Whole or not at all, whoever dies meanwhile; rows keep their order, since their rowid
                # is a primary key. What it writes goes through the journal, which is then cut.
                connection.sql.execute("VACUUM")
                point("shrink:within")
                connection.sql.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            except sqlite3.Error as error:
                self._explain(error, patience)

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
        self._cache.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a store cannot be pickled: open it by its directory in the other process")

    def _ask(self, query: str, *of: str) -> list[tuple[Any, ...]]:
        """The answer to a query about the database, not about what is in its rows."""
        self._cache.return_to_place()
        connection = self._cache.connection()
        with connection.lock:
            try:
                return connection.sql.execute(query, of).fetchall()
            except sqlite3.Error as error:
                self._explain(error, None)

    def _read(self, query: str, name: str, *more: int | str) -> list[tuple[str, str]]:
        """The rows of a query about one key or tag, once all of them are known to be text."""
        self._cache.return_to_place()
        connection = self._cache.connection()
        with connection.lock:
            try:
                rows: list[tuple[Any, Any]] = connection.sql.execute(query, (name, *more)).fetchall()
                for row in rows:
                    if row[1] is None:
                        self._refuse(connection.sql, name)
            except sqlite3.Error as error:
                self._explain(error, None)
        return rows

    def _refuse(self, sql: sqlite3.Connection, name: str) -> NoReturn:
        ((pickled,),) = sql.execute(_PICKLED, (name,)).fetchall()
        if pickled:
            raise PickleRefusedError(
                f"the store {self._directory} holds a pickled row under {name!r}. This package writes "
                "none, and loading one can run any code, so it was refused unread. Something else wrote "
                "to the store: find out what, then delete that row (or the run), or use another store."
            )
        raise CorruptRecordError(
            f"the store {self._directory} holds a row under {name!r} that is not text, so this package "
            "did not write it. Delete that row (or the run), or use another store."
        )

    def _explain(self, error: sqlite3.Error, patience: float | None) -> NoReturn:
        _explain(error, self._directory, PATIENCE if patience is None else patience)


def _write_one(sql: sqlite3.Connection, row: Row) -> frozenset[Row]:
    point("commit:within")
    written = sql.execute(_UPSERT, row).rowcount
    return _NOTHING_REFUSED if written else frozenset((row,))


def _write_all(sql: sqlite3.Connection, rows: Sequence[Row]) -> frozenset[Row]:
    with _transaction(sql):
        refused = [row for row in rows if not sql.execute(_UPSERT, row).rowcount]
        point("commit:within")
    return frozenset(refused)


@contextlib.contextmanager
def _transaction(sql: sqlite3.Connection) -> Any:
    # IMMEDIATE takes the write lock at once: a transaction that read first could find at its first
    # write that another process was quicker, and no waiting would help it.
    sql.execute("BEGIN IMMEDIATE")
    try:
        yield
        sql.execute("COMMIT")
    except BaseException:
        # After some errors, such as a full disk, SQLite has rolled back by itself.
        if sql.in_transaction:
            sql.execute("ROLLBACK")
        raise


# What diskcache writes into the column `mode`.
_PLAIN_VALUE = 1
_PICKLED_VALUE = 4


class TextDisk(diskcache.Disk):
    """What diskcache asks how to keep keys and values: as text or bytes, and never as pickles."""

    def put(self, key: object) -> tuple[Any, bool]:
        if not isinstance(key, (str, bytes)):
            raise TypeError(f"a key of the store is text or bytes, not {type(key).__name__}")
        return super().put(key)

    def get(self, key: Any, raw: bool) -> Any:
        if not raw:
            raise PickleRefusedError("a key in the store is a pickle; it was refused unread")
        return super().get(key, raw)

    def store(self, value: object, read: bool, key: object = None) -> tuple[int, int, str | None, Any]:
        if read or not isinstance(value, (str, bytes)):
            raise TypeError(f"a value of the store is text or bytes, not {type(value).__name__}")
        return 0, _PLAIN_VALUE, None, value

    def fetch(self, mode: int, filename: str | None, value: Any, read: bool) -> Any:
        if mode == _PICKLED_VALUE:
            raise PickleRefusedError("a value in the store is a pickle; it was refused unread")
        if mode != _PLAIN_VALUE:
            raise CorruptRecordError(f"a value in the store lies in the file {filename!r}: not one of ours")
        return super().fetch(mode, filename, value, read)


_SETTINGS: dict[str, Any] = {
    # diskcache is made to forget: by default it throws rows away beyond a gigabyte.
    "eviction_policy": "none",
    "cull_limit": 0,
    "size_limit": 2**62,
    "statistics": 0,
    "tag_index": 1,
    "sqlite_journal_mode": "wal",
    # A commit survives the end of the process at any instant. A power cut may lose the last few,
    # and never damages the database.
    "sqlite_synchronous": 1,
    # A memory map turns an I/O error, or a file cut short by others, into the kernel's death.
    "sqlite_mmap_size": 0,
    "sqlite_auto_vacuum": 0,
}

# What each commit would have to write besides the row, and we never read.
_SLIMMING = (
    "DROP INDEX Cache_expire_time",
    "DROP TRIGGER Settings_count_insert",
    "DROP TRIGGER Settings_count_delete",
    "DROP TRIGGER Settings_size_insert",
    "DROP TRIGGER Settings_size_update",
    "DROP TRIGGER Settings_size_delete",
)

_FORMAT_KEY = "trigger_nb_format"


class Connection:
    """One thread's connection. Its lock is held while it is used, so that `close` can wait."""

    __slots__ = ("lock", "patience", "sql", "thread")

    def __init__(self, path: Path) -> None:
        self.lock = threading.RLock()
        self.thread = threading.current_thread()
        self.patience: float | None = None
        # `check_same_thread=False` only for closing.
        self.sql = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
        self.sql.execute("PRAGMA synchronous = NORMAL")
        self.sql.execute("PRAGMA cache_size = 8192")

    def set_patience(self, patience: float | None) -> None:
        """How long SQLite waits for another transaction, from now on."""
        if patience != self.patience:
            seconds = PATIENCE if patience is None else patience
            self.sql.execute(f"PRAGMA busy_timeout = {max(0, round(seconds * 1000))}")
            self.patience = patience

    def close(self) -> None:
        with self.lock:
            self.sql.close()


# Connections that a forked child got from its parent. SQLite forbids a child even to close them,
# so they are kept from the garbage collector.
_inherited: list[Connection] = []


class TextCache(diskcache.Cache):
    """A diskcache with connections, waiting times and creation of our own."""

    def __init__(self, directory: Path) -> None:
        # Not `super().__init__`, which writes all settings anew at each opening and waits for up to
        # a minute for other processes to let it.
        self._directory = str(directory)
        self._path = directory / "cache.db"
        self._timeout = PATIENCE
        self._txn_id = None
        self._page_size = 4096
        self._disk = TextDisk(self._directory)
        # From here, not from the database, which may have been made to deceive.
        self.__dict__.update(_SETTINGS)
        self._guard = threading.Lock()
        self._begin_process()
        self._open()

    def _begin_process(self) -> None:
        self._pid = getpid()
        self._threads = threading.local()
        self._connections: list[Connection] = []
        self._finalizer = weakref.finalize(self, _close_all, self._connections, self._pid)

    def _open(self) -> None:
        directory = Path(self._directory)
        try:
            _make_directory(directory)
            _check_ours(directory)
            if not _database_exists(self._path):
                _create(directory)
            self._identity = _identity(self._path)
            self._looked_at = time.monotonic()
            formats = self._con.execute("SELECT value FROM Settings WHERE key = ?", (_FORMAT_KEY,)).fetchall()
        except OSError as error:
            _explain_os(error, directory)
        except sqlite3.Error as error:
            self.close()
            if "no such table" in str(error):
                _refuse_foreign(directory)
            _explain(error, directory, PATIENCE)
        try:
            _check_format(formats[0][0] if formats else None, directory)
        except StoreError:
            self.close()
            raise

    @property
    def _con(self) -> sqlite3.Connection:
        return self.connection().sql

    def connection(self) -> Connection:
        """This thread's connection in this process."""
        if self._pid != getpid():
            self._leave_to_parent()
        try:
            return self._threads.connection
        except AttributeError:
            return self._connect()

    def _connect(self) -> Connection:
        try:
            connection = Connection(self._path)
        except sqlite3.Error as error:
            _explain(error, Path(self._directory), PATIENCE)
        with self._guard:
            self._close_dead_threads()
            self._connections.append(connection)
            self._threads.connection = connection
        return connection

    def _close_dead_threads(self) -> None:
        for connection in self._connections[:]:
            if not connection.thread.is_alive():
                self._connections.remove(connection)
                connection.close()

    def _leave_to_parent(self) -> None:
        """We are a forked child, and alone: only the thread that forked lives on."""
        self._finalizer.detach()
        _inherited.extend(self._connections)
        self._guard = threading.Lock()
        self._begin_process()

    def close(self) -> None:
        if self._pid != getpid():
            self._leave_to_parent()
        with self._guard:
            connections, self._connections[:] = self._connections[:], []
            self._threads = threading.local()
        for connection in connections:
            connection.close()

    def check_place(self) -> None:
        """Raise `StoreError` when the database is no longer where it was, looking once a second.

        SQLite would go on writing to a deleted file, and all of it would be lost in silence.
        """
        now = time.monotonic()
        if now - self._looked_at < 1:
            return
        if _identity(self._path) != self._identity:
            raise StoreError(
                f"the store {self._directory} was deleted or replaced while it was in use. What it held "
                "is not there any more. Run the cell again: it begins with the store as it is now."
            )
        self._looked_at = now

    def return_to_place(self) -> None:
        """Begin anew when the database was deleted or replaced."""
        if _identity(self._path) != self._identity:
            self.close()
            self._open()


def _close_all(connections: list[Connection], pid: int) -> None:
    if pid == getpid():
        for connection in connections:
            connection.close()


def _make_directory(directory: Path) -> None:
    directory.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    with contextlib.suppress(FileExistsError), (directory / ".gitignore").open("x") as file:
        file.write("*\n")


# What this package makes in the folder of a store, and SQLite does.
_FILES = ("cache.db", "cache.db-wal", "cache.db-shm", "cache.db-journal", "run.lock")
_FOLDERS = ("values", "leases")


def _check_ours(directory: Path) -> None:
    """Refuse a store that leads elsewhere: what was written and removed there would be somebody's own."""
    for name in _FILES:
        check_file(directory / name)
    for name in _FOLDERS:
        check_folder(directory / name)


def _database_exists(path: Path) -> bool:
    # In this order: the journal is never made before the database.
    journal = path.with_name(path.name + "-wal").exists()
    if path.exists():
        return True
    if journal:
        raise StoreError(
            f"the store {path.parent} has lost its database: {path.name} is missing and its journal, "
            f"{path.name}-wal, is there. Put the file back, or delete the whole directory to begin anew."
        )
    return False


def _create(directory: Path) -> None:
    """Make the database in a place of its own, then put it where it belongs in one step.

    So a store is there whole or not at all, whoever dies or does the same meanwhile.
    """
    with tempfile.TemporaryDirectory(prefix=".new-", dir=directory) as scratch:
        with diskcache.Cache(scratch, disk=TextDisk, **_SETTINGS) as cache:
            for statement in _SLIMMING:
                cache._con.execute(statement)
            cache._con.execute("INSERT INTO Settings VALUES (?, ?)", (_FORMAT_KEY, FORMAT))
        _publish(Path(scratch) / "cache.db", directory / "cache.db")


def _publish(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except FileExistsError:
        return
    except OSError:
        # A file system without hard links. Here two creators at the same instant could meet.
        if not target.exists():
            source.rename(target)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _check_format(version: object, directory: Path) -> None:
    if not isinstance(version, int):
        _refuse_foreign(directory)
    if version > FORMAT:
        raise StoreError(
            f"the store {directory} was written by a newer version of trigger_nb (store format {version}; "
            f"this version reads up to {FORMAT}). Upgrade trigger_nb, or use another store."
        )


def _refuse_foreign(directory: Path) -> NoReturn:
    raise StoreError(
        f"{directory / 'cache.db'} is not a store of trigger_nb but the database of something else, and was "
        "left as it is. Give the store a directory of its own."
    )


def _explain(error: sqlite3.Error, directory: Path, patience: float) -> NoReturn:
    """Raise what SQLite reports as an error of ours that says what to do."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        raise StoreBusyError(
            f"the store {directory} was held by another process's transaction for more than "
            f"{patience:g} s. Nothing was written. Look for a process that writes to it and hangs."
        ) from error
    advice = _ADVICE.get(code, "Nothing was written.")
    raise StoreError(f"the store {directory} cannot be used: {error}. {advice}") from error


_ELSEWHERE = "put the store elsewhere: TriggerClient(..., dir=...) or TRIGGER_NB_DIR."

_ADVICE = {
    sqlite3.SQLITE_FULL: (
        "The disk or your quota is full. What was committed before is safe: free some space, then run the "
        "cell again."
    ),
    sqlite3.SQLITE_READONLY: f"Its directory or database may only be read. Make it writable, or {_ELSEWHERE}",
    sqlite3.SQLITE_CANTOPEN: f"Its directory is missing or may not be written. Make it so, or {_ELSEWHERE}",
    sqlite3.SQLITE_NOTADB: (
        "The file cache.db in it is damaged, or never was a database, and was left as it is. Restore it from "
        "a backup, or move the directory away to begin anew."
    ),
    sqlite3.SQLITE_CORRUPT: (
        "Its database is damaged and was left as it is. Restore it from a backup, or move the directory away "
        "to begin anew."
    ),
    sqlite3.SQLITE_IOERR: (
        "The disk reported a failure. Look at the disk and its free space, then run the cell again: what was "
        "committed before is safe if the disk is."
    ),
    sqlite3.SQLITE_TOOBIG: (
        "The record is larger than the database can hold. Return less from the task, or write it to a file "
        "and return its path."
    ),
}


def _explain_os(error: OSError, directory: Path) -> NoReturn:
    if isinstance(error, ForeignFileError):
        raise StoreError(f"the store {directory} cannot be opened: {error}") from None
    raise StoreError(
        f"the store {directory} cannot be opened: {error}. It needs a directory that can be written: make it "
        f"so, or {_ELSEWHERE}"
    ) from error
