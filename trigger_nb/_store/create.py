"""The making of a store's database: complete, checked and on the disk before it has its name."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

from ..errors import StoreError
from . import schema

# The format of the stores that this code writes, and the newest one that it can read. Since 2, rows have checksums.
FORMAT = 2
FORMAT_KEY = "trigger_nb_format"
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


def create(directory: Path) -> None:
    """Create the database in a temporary folder, then move it into the store in one step.

    So the file is complete or absent, whichever process dies or creates the same store at the same time.
    """
    import diskcache  # here, because it imports Django if that is installed

    with tempfile.TemporaryDirectory(prefix=".new-", dir=directory) as scratch:
        diskcache.Cache(scratch, **_SETTINGS).close()
        path = Path(scratch) / "cache.db"
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as sql:
            sql.executescript(schema.SLIMMING)
            sql.execute("INSERT INTO Settings VALUES (?, ?)", (FORMAT_KEY, FORMAT))
        _check_whole(path)
        publish(path, directory / "cache.db")


def _check_whole(path: Path) -> None:
    """Raise `StoreError` unless a new database is whole, without its journal.

    SQLite moves the journal into the file when the last connection is closed, and does not say when the disk takes
    only a part of it.
    """
    try:
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)) as sql:
            found = [*schema.problems(sql), *_text_of(sql.execute("PRAGMA integrity_check").fetchall())]
            stored = sql.execute("SELECT value FROM Settings WHERE key = ?", (FORMAT_KEY,)).fetchall()
    except sqlite3.Error as error:
        found, stored = [str(error)], []
    if found or stored != [(FORMAT,)]:
        raise StoreError(
            f"a new store could not be made in {path.parent.parent}: the disk did not take all of it, and did not say so "
            f"({'; '.join(found) or 'its settings are missing'}). Nothing is left of it. Check the disk and its free space, "
            "then run the cell again."
        )


def _text_of(rows: list[tuple[str]]) -> list[str]:
    return [text for (text,) in rows if text != "ok"]


def publish(source: Path, target: Path) -> None:
    """Give a complete file its name, once it is on the disk, unless there is such a file."""
    source.chmod(0o600)  # SQLite gives the same mode to the journal
    sync(source)
    try:
        os.link(source, target)
    except FileExistsError:
        return
    except OSError:
        # A file system without hard links: here two processes that create a store at once could collide.
        if not target.exists():
            source.rename(target)
    with contextlib.suppress(OSError):  # Windows cannot sync a folder
        sync(target.parent)


def sync(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
