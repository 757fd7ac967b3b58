"""Stores of earlier formats: what is done with one when it is opened."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import tempfile
from pathlib import Path

from ..errors import StoreError
from . import schema
from .create import FORMAT, FORMAT_KEY, publish

logger = logging.getLogger("trigger_nb")


def version_of(sql: sqlite3.Connection, path: Path) -> int:
    """The format of a database. Raises `StoreError` for one that this code cannot read."""
    # The settings of diskcache in the file are not read: anything could have changed them.
    select = "SELECT value FROM Settings WHERE key = ?"
    found = sql.execute(select, (FORMAT_KEY,)).fetchall() if schema.is_of_diskcache(sql) else []
    version = found[0][0] if found else None
    if not isinstance(version, int) or version < 1:
        raise StoreError(
            f"{path} is the database of another program, not a store of trigger_nb, and was left unchanged. "
            "Use a separate directory for the store."
        )
    if version > FORMAT:
        raise StoreError(
            f"the store {path.parent} was written by a newer version of trigger_nb (store format "
            f"{version}; this version reads up to {FORMAT}). Upgrade trigger_nb, or use another store."
        )
    return version


def migrate(sql: sqlite3.Connection, path: Path) -> None:
    """Make the store one of the current format, after a backup of its database.

    Its rows stay as they are: one without a checksum is read. An older version of this package refuses the store from
    now on, because the rows that it writes would keep the checksums of those that they replace.
    """
    sql.execute("BEGIN IMMEDIATE")
    try:
        version = version_of(sql, path)  # another process may have been faster
        backup = path.with_name(f"{path.name}.format-{version}")
        if version < FORMAT:
            _copy(path, backup)
            sql.execute("UPDATE Settings SET value = ? WHERE key = ?", (FORMAT, FORMAT_KEY))
        sql.execute("COMMIT")
    except BaseException:
        if sql.in_transaction:
            sql.execute("ROLLBACK")
        raise
    if version < FORMAT:
        logger.info(
            "store %s: migrated from format %d to %d; %s is the backup", path.parent, version, FORMAT, backup
        )


def _copy(path: Path, target: Path) -> None:
    """A copy of the database, with the commits that are still in its journal."""
    with tempfile.TemporaryDirectory(prefix=".new-", dir=path.parent) as scratch:
        draft = Path(scratch) / target.name
        with (
            contextlib.closing(sqlite3.connect(path)) as source,
            contextlib.closing(sqlite3.connect(draft)) as copy,
        ):
            source.backup(copy)
        publish(draft, target)
