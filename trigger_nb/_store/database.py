"""The store's SQLite file: its creation, its format, and its connections."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
import threading
import time
import weakref
from collections.abc import Generator
from os import getpid
from pathlib import Path
from typing import Any

from ..errors import StoreError
from .files import check_file, check_folder, file_identity
from .local_disk import check_local
from .protocol import PATIENCE
from .sqlite_errors import explain, explain_os

# The format of the stores that this code writes, and the newest one that it can read.
FORMAT = 1
_FORMAT_KEY = "trigger_nb_format"
_SETTINGS: dict[str, Any] = {
    # diskcache's defaults evict rows: beyond a gigabyte it deletes the oldest.
    "eviction_policy": "none",
    "cull_limit": 0,
    "size_limit": 2**62,
    "statistics": 0,
    "tag_index": 1,
    "sqlite_journal_mode": "wal",
    # NORMAL: a commit survives the death of the process at any moment. A power cut may lose the last few
    # commits, but never damages the database.
    "sqlite_synchronous": 1,
    # With a memory map, an I/O error or a truncated file would kill the kernel instead of raising an error.
    "sqlite_mmap_size": 0,
    "sqlite_auto_vacuum": 0,
}
# The index and the counters that diskcache keeps for expiry and eviction. Each commit would write them too.
_SLIMMING = """
DROP INDEX IF EXISTS Cache_expire_time;
DROP TRIGGER IF EXISTS Settings_count_insert;
DROP TRIGGER IF EXISTS Settings_count_delete;
DROP TRIGGER IF EXISTS Settings_size_insert;
DROP TRIGGER IF EXISTS Settings_size_update;
DROP TRIGGER IF EXISTS Settings_size_delete;
"""
# The files and folders of a store: made by this package and by SQLite.
_FILES = ("cache.db", "cache.db-wal", "cache.db-shm", "cache.db-journal", "run.lock")
_FOLDERS = ("values",)


class Connection:
    """The connection of one thread. A lock is held while it is in use, so that `close` waits for the end."""

    __slots__ = ("lock", "patience", "sql", "thread")

    def __init__(self, path: Path) -> None:
        self.lock = threading.RLock()
        self.thread = threading.current_thread()
        self.patience: float | None = None
        # Only `close` is called from another thread.
        self.sql = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
        self.sql.execute("PRAGMA synchronous = NORMAL")
        self.sql.execute("PRAGMA cache_size = 8192")

    def set_patience(self, patience: float | None) -> None:
        """Set how many seconds SQLite waits for another transaction from now on; None means `PATIENCE`."""
        if patience != self.patience:
            seconds = PATIENCE if patience is None else patience
            self.sql.execute(f"PRAGMA busy_timeout = {max(0, round(seconds * 1000))}")
            self.patience = patience

    def close(self) -> None:
        with self.lock:
            self.sql.close()


# Connections that a forked child has inherited. SQLite forbids the child even to close them, so this list
# keeps them from the garbage collector.
_inherited: list[Connection] = []


class Database:
    """The database of the store in `directory`, both created if they do not exist.

    Raises `StoreError` when the directory cannot be used, holds something else, or was written by a newer
    version of this package.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._path = directory / "cache.db"
        self._guard = threading.Lock()
        self._begin_process()
        self._open()

    @contextlib.contextmanager
    def use(self, patience: float | None = None) -> Generator[sqlite3.Connection]:
        """This thread's connection for the duration of one call. SQLite's errors leave it as `StoreError`."""
        connection = self._connection()
        with connection.lock:
            try:
                connection.set_patience(patience)
                yield connection.sql
            except sqlite3.Error as error:
                explain(error, self.directory, patience)

    def check_place(self) -> None:
        """Raise `StoreError` when the file was deleted or replaced; looks at the disk once a second.

        SQLite would keep writing to the deleted file, and every commit would be lost silently.
        """
        now = time.monotonic()
        if now - self._checked_at < 1:
            return
        if file_identity(self._path) != self._identity:
            raise StoreError(
                f"the store {self.directory} was deleted or replaced while it was in use, and its content is gone. "
                "Run the cell again: it starts with the store as it is now."
            )
        self._checked_at = now

    def return_to_place(self) -> None:
        """Open the file again if it was deleted or replaced."""
        if file_identity(self._path) != self._identity:
            self.close()
            self._open()

    def close(self) -> None:
        """Close all connections of this process, once they are not in use. The next use opens new ones."""
        if self._pid != getpid():
            self._leave_to_parent()
        with self._guard:
            connections, self._connections[:] = self._connections[:], []
            self._threads = threading.local()
        for connection in connections:
            connection.close()

    # Opening ----------------------------------------------------------------------------------

    def _open(self) -> None:
        try:
            check_local(self.directory)
            _make_directory(self.directory)
            _check_contents(self.directory)
            if not _exists(self._path):
                _create(self.directory)
            self._identity = file_identity(self._path)
        except OSError as error:
            explain_os(error, self.directory)
        except sqlite3.Error as error:
            explain(error, self.directory)
        self._checked_at = time.monotonic()
        try:
            self._check_format()
        except StoreError:
            self.close()
            raise

    def _check_format(self) -> None:
        with self.use() as sql:
            # The settings of diskcache in the file are not read: anything could have changed them.
            tables = sql.execute("SELECT 1 FROM sqlite_master WHERE name = 'Settings'").fetchall()
            select = "SELECT value FROM Settings WHERE key = ?"
            found = sql.execute(select, (_FORMAT_KEY,)).fetchall() if tables else []
        version = found[0][0] if found else None
        if not isinstance(version, int):
            raise StoreError(
                f"{self._path} is the database of another program, not a store of trigger_nb, and was left unchanged. "
                "Use a separate directory for the store."
            )
        if version > FORMAT:
            raise StoreError(
                f"the store {self.directory} was written by a newer version of trigger_nb (store format "
                f"{version}; this version reads up to {FORMAT}). Upgrade trigger_nb, or use another store."
            )

    # Connections ------------------------------------------------------------------------------

    def _begin_process(self) -> None:
        self._pid = getpid()
        self._threads = threading.local()
        self._connections: list[Connection] = []
        self._finalizer = weakref.finalize(self, _close_all, self._connections, self._pid)

    def _connection(self) -> Connection:
        """The connection of this thread in this process."""
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
            explain(error, self.directory)
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
        """Start without connections in a forked child, in which only the thread that forked is alive."""
        self._finalizer.detach()
        _inherited.extend(self._connections)
        self._guard = threading.Lock()
        self._begin_process()


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


def _check_contents(directory: Path) -> None:
    """Refuse a store whose files or folders are links: writing and deleting would hit the user's own files."""
    for name in _FILES:
        check_file(directory / name)
    for name in _FOLDERS:
        check_folder(directory / name)


def _exists(path: Path) -> bool:
    # The journal is looked up first: SQLite never makes it before the database.
    journal = path.with_name(path.name + "-wal").exists()
    if path.exists():
        return True
    if journal:
        raise StoreError(
            f"the store {path.parent} has lost its database: {path.name} is missing and its journal, "
            f"{path.name}-wal, is there. Restore the file, or delete the whole directory to start with an empty store."
        )
    return False


def _create(directory: Path) -> None:
    """Create the database in a temporary folder, then move it into the store in one step.

    So the file is complete or absent, whichever process dies or creates the same store at the same time.
    """
    import diskcache  # here, because it imports Django if that is installed

    with tempfile.TemporaryDirectory(prefix=".new-", dir=directory) as scratch:
        diskcache.Cache(scratch, **_SETTINGS).close()
        path = Path(scratch) / "cache.db"
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as sql:
            sql.executescript(_SLIMMING)
            sql.execute("INSERT INTO Settings VALUES (?, ?)", (_FORMAT_KEY, FORMAT))
        _publish(path, directory / "cache.db")


def _publish(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except FileExistsError:
        return
    except OSError:
        # A file system without hard links: here two processes that create a store at once could collide.
        if not target.exists():
            source.rename(target)
