"""A database that somebody else made or changed: its SQL is not run, and it keeps no kernel waiting."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import threading
from pathlib import Path

import diskcache
import pytest

from trigger_nb._store import database
from trigger_nb._store.create import FORMAT
from trigger_nb._store.disk import DiskStore
from trigger_nb._store.protocol import Row
from trigger_nb.errors import StoreError

ENDLESS = "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT max(x) FROM r"
OLD = Path(__file__).parents[1] / "data" / "store-2026-11"


@pytest.fixture
def directory(tmp_path):
    store = DiskStore(tmp_path / "store")
    store.commit([Row("a", "t", "1")])
    store.close()
    return tmp_path / "store"


def change(directory, *statements):
    with contextlib.closing(sqlite3.connect(directory / "cache.db", isolation_level=None)) as sql:
        for statement in statements:
            sql.execute(statement)


CHANGES = {
    "a trigger that deletes": ["CREATE TRIGGER t AFTER INSERT ON Cache BEGIN DELETE FROM Cache; END"],
    "a trigger that ignores": ["CREATE TRIGGER t BEFORE INSERT ON Cache BEGIN SELECT RAISE(IGNORE); END"],
    "a trigger without an end": [
        f"CREATE TRIGGER t AFTER INSERT ON Cache BEGIN INSERT INTO Settings VALUES ('z', ({ENDLESS})); END"
    ],
    "a trigger of diskcache's name": [
        "CREATE TRIGGER Settings_count_insert AFTER INSERT ON Cache BEGIN DELETE FROM Cache; END"
    ],
    "a view for the settings": [
        "ALTER TABLE Settings RENAME TO S",
        f"CREATE VIEW Settings AS SELECT 'trigger_nb_format' AS key, ({ENDLESS}) AS value",
    ],
    "a view for the rows": ["ALTER TABLE Cache RENAME TO C", "CREATE VIEW Cache AS SELECT * FROM C"],
    "an index that computes": ["CREATE INDEX i ON Cache(length(hex(zeroblob(100000000))))"],
    "a generated column": ["ALTER TABLE Cache ADD COLUMN more AS (hex(zeroblob(100000000)))"],
    "no table": ["DROP TABLE Cache"],
    "no index": ["DROP INDEX Cache_key_raw"],
    "another index of the same name": [
        "DROP INDEX Cache_tag_rowid",
        "CREATE INDEX Cache_tag_rowid ON Cache(tag)",
    ],
    "one more table": ["CREATE TABLE more (x)"],
    "format 0": ["UPDATE Settings SET value = 0 WHERE key = 'trigger_nb_format'"],
    "format -1": ["UPDATE Settings SET value = -1 WHERE key = 'trigger_nb_format'"],
}


@pytest.mark.parametrize("how", CHANGES)
def test_a_database_with_another_schema_is_refused(directory, how):
    with contextlib.suppress(sqlite3.OperationalError):  # SQLite may refuse it itself
        change(directory, *CHANGES[how])
    before = (directory / "cache.db").read_bytes()
    with pytest.raises(StoreError, match="another program"):
        DiskStore(directory)
    assert (directory / "cache.db").read_bytes() == before


def test_a_store_that_diskcache_has_opened_is_used_as_before(directory):
    for policy in ("none", "least-recently-stored", "least-recently-used", "least-frequently-used"):
        diskcache.Cache(directory, eviction_policy=policy).close()
    change(directory, "ANALYZE", "VACUUM")
    store = DiskStore(directory)
    assert store.get("a") == "1"
    store.commit([Row("b", "t", "2")])
    assert store.select("t") == [("a", "1"), ("b", "2")]
    store.close()


def test_a_query_without_an_end_is_ended(directory, monkeypatch):
    """Whatever else a file may hold that the schema does not show."""
    monkeypatch.setattr(database, "_STEPS", 2)
    monkeypatch.setattr(database, "_PER_PAGE", 0)
    store = DiskStore(directory)
    with pytest.raises(StoreError, match="far longer than any.*client.repair"), store._database.use() as sql:
        sql.execute(ENDLESS)
    assert store.get("a") == "1"
    store.close()


def test_a_query_can_be_interrupted(directory):
    """The interrupt comes while SQLite counts, which cannot hand on an error."""
    store = DiskStore(directory)
    store.get("a")
    (connection,) = store._database._connections

    def interrupted():
        raise KeyboardInterrupt

    connection.sql.set_progress_handler(interrupted, 1000)
    with pytest.raises(KeyboardInterrupt), store._database.use() as sql:
        sql.execute(ENDLESS)
    store.close()


def test_functions_that_may_do_harm_are_not_called_from_the_schema(directory):
    store = DiskStore(directory)
    with store._database.use() as sql:
        assert sql.execute("PRAGMA trusted_schema").fetchall() == [(0,)]
    store.close()


def test_a_store_of_an_earlier_format_is_migrated_after_a_backup(tmp_path):
    shutil.copytree(OLD, tmp_path / "old")
    with contextlib.closing(sqlite3.connect(OLD / "cache.db")) as sql:
        rows = sql.execute("SELECT key, value FROM Cache WHERE tag = 'runs' ORDER BY rowid").fetchall()
    stores, failures = [], []

    def open_it():
        try:
            stores.append(DiskStore(tmp_path / "old"))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert stores[0].select("runs") == rows
    for store in stores:
        store.close()
    for name, version in (("cache.db", FORMAT), ("cache.db.format-1", 1)):
        with contextlib.closing(sqlite3.connect(tmp_path / "old" / name)) as sql:
            found = sql.execute("SELECT value FROM Settings WHERE key = 'trigger_nb_format'").fetchall()
            assert found == [(version,)]
            assert (
                sql.execute("SELECT key, value FROM Cache WHERE tag = 'runs' ORDER BY rowid").fetchall()
                == rows
            )
    assert not list((tmp_path / "old").glob(".new-*"))


def test_a_store_that_cannot_be_backed_up_is_not_migrated(tmp_path, monkeypatch):
    shutil.copytree(OLD, tmp_path / "old")
    before = (tmp_path / "old" / "cache.db").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("trigger_nb._store.create.os.fsync", full)
    with pytest.raises(StoreError, match="No space left"):
        DiskStore(tmp_path / "old")
    monkeypatch.undo()
    assert (tmp_path / "old" / "cache.db").read_bytes() == before
    DiskStore(tmp_path / "old").close()
