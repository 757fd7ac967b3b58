"""The tables, indexes and triggers of a store's database: no others are let in.

A database file may come from another person, and SQL that stands in its schema (a view, a trigger, an index over an
expression) runs whenever the database is used. So the schema is compared with the known one before anything else is read.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from ..errors import StoreError

_TABLES = (
    "CREATE TABLE Settings ( key TEXT NOT NULL UNIQUE, value)",
    (
        "CREATE TABLE Cache ( rowid INTEGER PRIMARY KEY, key BLOB, raw INTEGER, store_time REAL, expire_time REAL, "
        "access_time REAL, access_count INTEGER DEFAULT 0, tag BLOB, size INTEGER DEFAULT 0, mode INTEGER DEFAULT 0, "
        "filename TEXT, value BLOB)"
    ),
)
_INDEXES = (
    "CREATE UNIQUE INDEX Cache_key_raw ON Cache(key, raw)",
    "CREATE INDEX Cache_tag_rowid ON Cache(tag, rowid)",
)
_AUTOMATIC = ("index", "sqlite_autoindex_Settings_1", None)
# The index and the counters that diskcache keeps for expiry and eviction. Each commit would write them too, so they are
# dropped when a store is made. They come back when somebody opens it with diskcache.
SLIMMING = """
DROP INDEX IF EXISTS Cache_expire_time;
DROP TRIGGER IF EXISTS Settings_count_insert;
DROP TRIGGER IF EXISTS Settings_count_delete;
DROP TRIGGER IF EXISTS Settings_size_insert;
DROP TRIGGER IF EXISTS Settings_size_update;
DROP TRIGGER IF EXISTS Settings_size_delete;
"""
_COUNTER = "CREATE TRIGGER Settings_{} ON Cache FOR EACH ROW BEGIN UPDATE Settings SET value = value {} WHERE key = {}; END"
_OF_DISKCACHE = (
    "CREATE INDEX Cache_expire_time ON Cache (expire_time)",
    "CREATE INDEX Cache_store_time ON Cache (store_time)",
    "CREATE INDEX Cache_access_time ON Cache (access_time)",
    "CREATE INDEX Cache_access_count ON Cache (access_count)",
    _COUNTER.format("count_insert AFTER INSERT", "+ 1", '"count"'),
    _COUNTER.format("count_delete AFTER DELETE", "- 1", '"count"'),
    _COUNTER.format("size_insert AFTER INSERT", "+ NEW.size", '"size"'),
    _COUNTER.format("size_update AFTER UPDATE", "+ NEW.size - OLD.size", '"size"'),
    _COUNTER.format("size_delete AFTER DELETE", "- OLD.size", '"size"'),
)
# The tables that SQLite makes for its statistics when somebody says ANALYZE.
_STATISTICS = (
    "CREATE TABLE sqlite_stat1(tbl,idx,stat)",
    "CREATE TABLE sqlite_stat4(tbl,idx,neq,nlt,ndlt,sample)",
)


def _entry(statement: str) -> tuple[str, str, str]:
    """Kind, name and text of what a statement makes."""
    words = statement.replace("(", " ").replace("UNIQUE ", "", 1).split()
    return words[1].lower(), words[2], statement


_REQUIRED = frozenset({_entry(each) for each in (*_TABLES, *_INDEXES)})
_ALLOWED = frozenset({*_REQUIRED, _AUTOMATIC, *(_entry(each) for each in (*_OF_DISKCACHE, *_STATISTICS))})


def is_of_diskcache(sql: sqlite3.Connection) -> bool:
    """Whether the settings are in a table as diskcache makes it, which can be read without running other SQL."""
    return _entry(_TABLES[0]) in _read(sql)


def is_of_cache(sql: sqlite3.Connection) -> bool:
    """Whether the rows are in a table as diskcache makes it, with the index over their keys."""
    return {_entry(_TABLES[1]), _entry(_INDEXES[0])} <= _read(sql)


def problems(sql: sqlite3.Connection) -> list[str]:
    """What is not as it should be in the schema of a database; nothing else of it is read."""
    found = _read(sql)
    foreign = sorted(
        f"the {kind} {name!r:.60} in it is none of this package's" for kind, name, _ in found - _ALLOWED
    )
    names = {(kind, name) for kind, name, _ in found}
    return foreign + sorted(
        f"its {kind} {name!r} is missing" for kind, name, _ in _REQUIRED - found if (kind, name) not in names
    )


def check_schema(sql: sqlite3.Connection, path: Path) -> None:
    """Raise `StoreError` unless the schema of the database is the known one."""
    if found := problems(sql):
        raise StoreError(
            f"{path} was changed by another program: {'; '.join(found)}. Such a database can run SQL of its own, so "
            "nothing was read from it. Restore it from a backup, or save its records into a new store: client.repair()."
        )


def _read(sql: sqlite3.Connection) -> set[tuple[str, str, str | None]]:
    rows = sql.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
    return {
        (kind, name, " ".join(text.split()) if isinstance(text, str) else text) for kind, name, text in rows
    }
