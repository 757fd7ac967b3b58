"""A row that the disk has changed is never taken for what was written, and no other row suffers from it (S10, R13)."""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime

import pytest

from trigger_nb import TriggerClient
from trigger_nb._engine.memory import Memory
from trigger_nb._engine.readings import begin
from trigger_nb._records.records import LONG, TaskRecord
from trigger_nb._store.disk import DiskStore
from trigger_nb._store.protocol import Row
from trigger_nb.errors import CorruptRecordError, TriggerError

FLIPS = 120
calls = []


def define(directory):
    client = TriggerClient("flipped", dir=directory, display=False)

    @client.job(id="job")
    async def job(payload, io):
        def body(value):
            calls.append(value)
            return value

        results = [
            await io.run_task(f"plain-{n}", body, {"id": n, "name": f"customer {n}"}) for n in range(20)
        ]
        results += [await io.run_task(f"long-{n}", body, f"{n}" * LONG) for n in range(4)]
        results += [
            await io.run_task(f"tagged-{n}", body, datetime(2026, 1, 1 + n, tzinfo=UTC)) for n in range(3)
        ]
        results.append(await io.map("all", [1, 2, 3], body))
        return results

    return client, job


def test_no_flipped_bit_in_the_database_gives_a_wrong_value_or_calls_a_body_again(tmp_path):
    client, job = define(tmp_path / "whole")
    right = asyncio.run(job.run(1))
    client.runtime.store.close()
    whole = (client.dir / "cache.db").read_bytes()
    calls.clear()
    chance = random.Random(20261130)
    told = 0
    for n in range(FLIPS):
        shutil.copytree(tmp_path / "whole", tmp_path / f"{n}")
        flipped = bytearray(whole)
        bit = chance.randrange(8 * len(whole))
        flipped[bit // 8] ^= 1 << bit % 8
        (tmp_path / f"{n}" / "flipped" / "cache.db").write_bytes(flipped)
        try:
            client, job = define(tmp_path / f"{n}")
            assert asyncio.run(job.run(1)) == right, f"bit {bit}"
        except TriggerError:
            told += 1
        assert calls == [], f"bit {bit}"
        client.runtime.store.close()
    assert FLIPS / 5 < told < FLIPS


@pytest.fixture
def store(tmp_path):
    store = DiskStore(tmp_path / "store")
    yield store
    store.close()


def keep(store, path, value="x", **fields):
    record = TaskRecord(path=path, value=value, **{"started": 1, **fields})
    store.commit([Row(f"r/{path}", "r", record.dumps(), record.rank)])


def execute(store, statement):
    with closing(sqlite3.connect(store.directory / "cache.db")) as db, db:
        assert db.execute(statement).rowcount == 1


@pytest.mark.parametrize("length", [5, LONG + 5], ids=["short", "long"])
@pytest.mark.parametrize(
    "change",
    [
        "value = replace(value, 'xxx', 'xxz')",
        "access_count = 3",
        "store_time = store_time + 1",
        "store_time = 'much'",
        "value = CAST(replace(value, 'xxx', CAST(x'ff7878' AS TEXT)) AS TEXT)",
        "key = CAST(key AS BLOB)",
    ],
    ids=["text", "rank", "checksum", "checksum of another type", "not UTF-8", "key of another type"],
)
def test_a_changed_row_is_told_and_the_others_are_read(store, change, length):
    keep(store, "a", "x" * length)
    keep(store, "b", "y" * length)
    execute(store, f"UPDATE Cache SET {change} WHERE key = 'r/a'")
    rows = dict(store.select("r", abridge="store_time" in change))
    with pytest.raises(CorruptRecordError, match="checksum differs"):
        TaskRecord.loads(rows["r/a"])
    TaskRecord.loads(rows["r/b"])
    assert TaskRecord.loads(store.get("r/b")).value == "y" * length


def test_a_long_value_that_was_changed_is_told_when_it_is_read(store):
    """A pass reads the rest of the record without it."""
    keep(store, "a", "x" * LONG + "y")
    execute(store, "UPDATE Cache SET value = replace(value, 'xy', 'xz') WHERE key = 'r/a'")
    ((_, text),) = store.read_run("r")
    assert TaskRecord.loads(text).is_apart
    for found in (store.get("r/a"), store.read_on("r", "r/a", 1)[0][1]):
        with pytest.raises(CorruptRecordError, match="checksum differs"):
            TaskRecord.loads(found)


@pytest.mark.parametrize("length", [5, LONG + 5], ids=["short", "long"])
def test_a_row_without_a_checksum_is_of_an_older_store_and_is_read(store, length):
    keep(store, "a", "x" * length, ended=7)
    execute(store, "UPDATE Cache SET store_time = NULL, access_time = NULL WHERE key = 'r/a'")
    assert TaskRecord.loads(store.get("r/a")).value == "x" * length
    ((_, text),) = store.read_run("r")
    assert TaskRecord.loads(text).ended == 7
    assert TaskRecord.loads(text).is_apart == (length > LONG)
    keep(store, "a", "x" * length, generation=1, ended=8)
    execute(store, "UPDATE Cache SET value = replace(value, 'ended\":8', 'ended\":9') WHERE key = 'r/a'")
    with pytest.raises(CorruptRecordError):
        TaskRecord.loads(store.get("r/a"))


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE Cache SET key = 'r/c' WHERE key = 'r/b'",
        "UPDATE Cache SET tag = 's' WHERE key = 'r/b'",
    ],
    ids=["another key", "not found by its tag"],
)
def test_a_record_that_cannot_be_found_ends_the_pass_before_its_body_is_called_again(store, damage):
    for path in ("a", "b"):
        keep(store, path)
    execute(store, damage)
    memory = Memory()
    if "tag" in damage:
        with pytest.raises(CorruptRecordError, match="records of run 'r' cannot be found.*fresh=True"):
            begin(memory, "r", store)
    else:  # the index names the new key, so the row is told when it is met; one that SQLite did not write is in the flips
        begin(memory, "r", store)
        with pytest.raises(CorruptRecordError):
            TaskRecord.loads(memory.records["c"])


def test_a_flipped_bit_in_a_key_is_noticed_though_no_task_has_that_name(store):
    """The index still has the key as it was: the body of `charge` would be called again."""
    keep(store, "charge")
    store.close()
    path = store.directory / "cache.db"
    data = path.read_bytes()
    place = data.index(b"r/charge", data.rindex(b'"started":') - 80)  # in the row, not in the index
    path.write_bytes(data[: place + 3] + b"X" + data[place + 4 :])
    with pytest.raises(CorruptRecordError, match="cannot be found"):
        begin(Memory(), "r", store)
    assert [key for key, _ in store.select("r")] == ["r/cXarge"]  # a list shows what there is
