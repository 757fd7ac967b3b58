"""The store's SQLite file: its creation, its format, and its connections."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Generator
from os import getpid
from pathlib import Path

from .._callsite import warn
from .._records.records import checksums
from ..errors import StoreError
from .create import FORMAT, create
from .files import (
    check_file,
    check_folder,
    create_file,
    file_identity,
    file_size,
    locked,
    make_private_folder,
)
from .formats import migrate, version_of
from .local_disk import check_local
from .place import Place
from .protocol import PATIENCE, Row
from .schema import check_schema
from .sqlite_errors import explain, explain_os, is_interrupt

# The files and folders of a store: made by this package and by SQLite.
_FILES = (
    *("cache.db", "cache.db-wal", "cache.db-shm", "cache.db-journal"),
    *("run.lock", "owner.json", "file_hashes.jsonl"),
)
_FOLDERS = ("values",)
_PATIENCE_TO_MIGRATE = 30.0  # seconds: another process may be making a backup
# A query may take so many steps of a million instructions each, and so many instructions more for each page of the database.
# The longest ones of this package take a tenth of that: the file of somebody else must not keep the kernel for ever.
_STEP, _STEPS, _PER_PAGE = 1_000_000, 200, 20_000
_PAGE = 4096


class Connection:
    """The connection of one thread. A lock is held while it is in use, so that `close` waits for the end."""

    __slots__ = ("closed", "lock", "path", "patience", "sql", "steps", "thread")

    def __init__(self, path: Path) -> None:
        self.closed = False
        self.lock = threading.RLock()
        self.thread = threading.current_thread()
        self.patience: float | None = None
        # Only `close` is called from another thread. SQLite must not make the file: where a store has just been
        # removed, an empty one would be left, which is no store.
        self.sql = sqlite3.connect(
            f"{path.as_uri()}?mode=rw",
            uri=True,
            timeout=PATIENCE,
            isolation_level=None,
            check_same_thread=False,
        )
        self.path = path
        self.steps = 0
        self.sql.set_progress_handler(self._count, _STEP)
        self.sql.execute("PRAGMA trusted_schema = OFF")
        self.sql.execute("PRAGMA cell_size_check = ON")
        self.sql.execute("PRAGMA synchronous = NORMAL")
        self.sql.execute("PRAGMA cache_size = 8192")

    @property
    def is_too_long(self) -> bool:
        """Whether the call takes longer than any of this package's."""
        return (
            self.steps > _STEPS and self.steps > _STEPS + file_size(self.path) // _PAGE * _PER_PAGE // _STEP
        )

    def _count(self) -> bool:
        self.steps += 1
        return self.is_too_long

    def set_patience(self, patience: float | None) -> None:
        """Set how many seconds SQLite waits for another transaction from now on; None means `PATIENCE`."""
        if patience != self.patience:
            seconds = PATIENCE if patience is None else patience
            self.sql.execute(f"PRAGMA busy_timeout = {max(0, round(seconds * 1000))}")
            self.patience = patience

    def close(self) -> None:
        with self.lock:
            self.closed = True
            self.sql.close()


# Connections that a forked child has inherited. SQLite forbids the child even to close them, so this list
# keeps them from the garbage collector.
_inherited: list[Connection] = []


class Database:
    """The database of the store in `directory`, both created if they do not exist.

    Raises `StoreError` when the directory cannot be used, holds something else, or was written by a newer
    version of this package.
    """

    def __init__(self, directory: Path, *, is_in_use: Callable[[], bool] = lambda: False) -> None:
        self._settle(directory)
        # Whether passes rely on the records: then no other database takes their place.
        self._is_in_use = is_in_use
        self._guard = threading.Lock()
        self._moving = threading.RLock()  # held to follow the folder, or to begin anew
        self._is_told = False  # a caller got the error that the store is gone, so the next may begin anew
        self._begin_process()
        self._open()

    def _settle(self, directory: Path) -> None:
        self.directory = directory  # where the folder was when it was last looked for
        self._path = directory / "cache.db"
        self._file = str(self._path)

    @contextlib.contextmanager
    def use(self, patience: float | None = None) -> Generator[sqlite3.Connection]:
        """This thread's connection for the duration of one call. SQLite's errors leave it as `StoreError`."""
        connection = self._lock_connection()
        try:
            connection.set_patience(patience)
            connection.steps = 0
            yield connection.sql
        except sqlite3.Error as error:
            if is_interrupt(error) and not connection.is_too_long:
                raise KeyboardInterrupt from None  # it came while SQLite counted, which takes no error from there
            explain(error, self.directory, patience)
        finally:
            connection.lock.release()

    def check_place(self) -> None:
        """Follow the folder if it was moved, before files are opened. Raises `StoreError` if it is gone.

        After that error was raised once, begin with the database that is there now, if no pass relies on the old one.
        """
        if not self._is_here():
            self._find(anew=self._is_told)

    def before_commit(self) -> None:
        """As `check_place`, if the store is known to be gone: `after_commit` looks in any case."""
        if self._is_told:
            self.check_place()

    def after_commit(self) -> None:
        """Follow the folder if it was moved. Raises `StoreError` if it is gone: SQLite writes to a deleted file too."""
        if not self._is_here():
            self._find(anew=False)

    def return_to_place(self) -> None:
        """Follow the folder, before anything is read, or begin with the database that is there now."""
        if not self._is_here():
            self._find(anew=True)

    def is_at(self, directory: Path) -> bool:
        """Whether the store is in this folder now, or was there when it was removed."""
        where = self._place.where()
        if where is None:
            return directory == self.directory
        return directory == where or file_identity(directory / "cache.db") == self._place.database

    def _is_here(self) -> bool:
        try:
            status = os.lstat(self._file)
        except OSError:
            return False
        is_here = (status.st_dev, status.st_ino) == self._place.database
        self._is_told = self._is_told and not is_here
        return is_here

    def _find(self, *, anew: bool) -> None:
        with self._moving:
            if self._is_here():  # another thread has found it
                return
            where = self._place.where()
            if where is not None:
                before = self.directory
                self._settle(where)
                # SQLite would later remove the journal of a database that is made at the old path meanwhile.
                self._close_connections()
                warn(f"the store {before} was moved to {where}: this kernel continues with it there")
            elif self._is_in_use() or not anew:
                self._is_told = True
                raise StoreError(
                    f"the store {self.directory} was removed or replaced while it was in use. What it held is not "
                    "there any more. Run the cell again to begin with the store as it is there now: what was "
                    "done is done again. To keep what was done, first bring the folder back (from another disk, the "
                    "trash or a backup), or name its new place: TriggerClient(..., dir=...). Runs of this kernel that "
                    "are under way must end first."
                )
            else:
                is_told = self._is_told
                self.close()
                self._open()
                if not is_told:
                    warn(
                        f"the store {self.directory} was removed or replaced: this kernel begins with the one that "
                        "is there now, and does again what only the old one knew"
                    )

    def close(self) -> None:
        """Close all connections of this process, once they are not in use. The next use opens new ones."""
        if self._pid != getpid():
            self._leave_to_parent()
        self._place.leave()
        self._close_connections()

    def _close_connections(self) -> None:
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
                create(self.directory)
            self._place = Place(self.directory)
        except OSError as error:
            explain_os(error, self.directory)
        except sqlite3.Error as error:
            explain(error, self.directory)
        try:
            self._check_format()
        except (StoreError, OSError) as error:
            self.close()
            if isinstance(error, OSError):  # while its backup was made
                explain_os(error, self.directory)
            raise

    def _check_format(self) -> None:
        with self.use(_PATIENCE_TO_MIGRATE) as sql:
            version = version_of(sql, self._path)
            check_schema(sql, self._path)
            if version < FORMAT:
                migrate(sql, self._path)

    # Connections ------------------------------------------------------------------------------

    def _begin_process(self) -> None:
        self._pid = getpid()
        self._threads = threading.local()
        self._connections: list[Connection] = []
        self._finalizer = weakref.finalize(self, _close_all, self._connections, self._pid)

    def _lock_connection(self) -> Connection:
        """The connection of this thread, with its lock acquired."""
        while True:
            connection = self._connection()
            connection.lock.acquire()
            if not connection.closed:
                return connection
            connection.lock.release()  # another thread has closed it meanwhile

    def _connection(self) -> Connection:
        """The connection of this thread in this process."""
        if self._pid != getpid():
            self._leave_to_parent()
        try:
            return self._threads.connection
        except AttributeError:
            return self._connect()

    def _connect(self) -> Connection:
        self.check_place()  # another database may be at the path
        try:
            self._place.enter(self.directory)
            connection = Connection(self._path)
        except (OSError, sqlite3.Error) as error:
            if not self._is_here():  # it was moved just now
                return self._connect()
            explain(error, self.directory) if isinstance(error, sqlite3.Error) else explain_os(
                error, self.directory
            )
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
        self._moving = threading.RLock()
        self._begin_process()


def _close_all(connections: list[Connection], pid: int) -> None:
    if pid == getpid():
        for connection in connections:
            connection.close()


def _make_directory(directory: Path) -> None:
    for folder in (*reversed(directory.parents), directory):
        if not folder.exists():
            with contextlib.suppress(FileExistsError):  # another process was first
                make_private_folder(folder)
    with contextlib.suppress(FileExistsError), os.fdopen(create_file(directory / ".gitignore"), "w") as file:
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
        if path.stat().st_size or journal:
            return True
        with locked(path.parent), contextlib.suppress(FileNotFoundError):  # another process may do the same
            if not path.stat().st_size:
                path.unlink()  # it holds nothing: an older version made it while the store was being removed
        return path.exists()
    if journal:
        raise StoreError(
            f"the store {path.parent} has lost its database: {path.name} is missing and its journal, "
            f"{path.name}-wal, is there. Restore the file, or delete the whole directory to start with an empty store."
        )
    return False


def sealed(row: Row) -> tuple[str, str, str, int, int, int | None]:
    """A row with its checksums, in the order of the columns."""
    key, tag, text, rank = row
    return key, tag, text, rank, *checksums(key, text, rank)


@contextlib.contextmanager
def transaction(sql: sqlite3.Connection) -> Generator[None]:
    """A transaction that may write, of a connection in autocommit mode."""
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
