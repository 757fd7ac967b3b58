"""Errors of SQLite and of the file system as `StoreError`s with advice."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import NoReturn

from ..errors import StoreBusyError, StoreError
from .files import ForeignFileError
from .protocol import PATIENCE

_ELSEWHERE = "put the store elsewhere: TriggerClient(..., dir=...) or TRIGGER_NB_DIR."
_ADVICE = {
    sqlite3.SQLITE_FULL: (
        "The disk or your quota is full. Free some space, then run the cell again. Everything committed before is "
        "safe."
    ),
    sqlite3.SQLITE_READONLY: f"The directory or the database is read-only. Make it writable, or {_ELSEWHERE}",
    sqlite3.SQLITE_CANTOPEN: (
        f"The directory is missing or not writable. Create it or make it writable, or {_ELSEWHERE}"
    ),
    sqlite3.SQLITE_NOTADB: (
        "The file cache.db in it is damaged or not a database, and was left unchanged. Restore it from "
        "a backup, or move the directory away to start with an empty store."
    ),
    sqlite3.SQLITE_CORRUPT: (
        "The database is damaged and was left unchanged. Restore it from a backup, or move the directory away "
        "to start with an empty store."
    ),
    sqlite3.SQLITE_IOERR: (
        "The disk reported a failure. Check the disk and its free space, then run the cell again. Unless the disk "
        "is damaged, everything committed before is safe."
    ),
    sqlite3.SQLITE_INTERRUPT: (
        "A query took far longer than any of this package's own: the database is damaged, or was made to do harm. Restore "
        "it from a backup, or save its records into a new store: client.repair()."
    ),
    sqlite3.SQLITE_TOOBIG: (
        "The record is larger than the database can hold. Return less from the task, or write it to a file "
        "and return its path."
    ),
}


def is_interrupt(error: sqlite3.Error) -> bool:
    """Whether a query was ended from outside."""
    return getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_INTERRUPT


def explain(error: sqlite3.Error, directory: Path, patience: float | None = None) -> NoReturn:
    """Raise an error of SQLite as a `StoreError`, or as a `StoreBusyError` if another process kept the lock."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        seconds = PATIENCE if patience is None else patience
        raise StoreBusyError(
            f"the store {directory} was held by another process's transaction for more than "
            f"{seconds:g} s. Nothing was written. Look for a process that writes to it and hangs."
        ) from error
    advice = _ADVICE.get(code, "Nothing was written.")
    raise StoreError(f"the store {directory} cannot be used: {error}. {advice}") from error


def explain_os(error: OSError, directory: Path) -> NoReturn:
    """Raise an error of the file system that occurred while a store was opened, as a `StoreError`."""
    if isinstance(error, ForeignFileError):
        raise StoreError(f"the store {directory} cannot be opened: {error}") from None
    raise StoreError(
        f"the store {directory} cannot be opened: {error}. The store needs a writable directory: make it "
        f"writable, or {_ELSEWHERE}"
    ) from error
