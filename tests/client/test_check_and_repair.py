"""`client.check()` finds what is broken in a store, and `client.repair()` saves the rest into a new one."""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
from contextlib import closing

import pytest

from trigger_nb import RunStatus, TriggerClient
from trigger_nb._records.records import LONG
from trigger_nb._values.codec import INLINE_LIMIT
from trigger_nb.errors import RunStateError, StoreError, TriggerError, ValueNotStoredError

calls, seen = [], []


def define(directory):
    client = TriggerClient("store", dir=directory, display=False)

    @client.job(id="job")
    async def job(payload, io):
        def body(value):
            calls.append(value)
            return value

        results = [await io.run_task(f"plain-{n}", body, n) for n in range(12)]
        results += [await io.run_task(f"long-{n}", body, f"{n}" * LONG * 2) for n in range(2)]
        for n in range(2):
            await io.run_task(f"large-{n}", body, f"{n}" * INLINE_LIMIT * 2)
        results.append(await io.map("all", [1, 2, 3], body))
        await io.store.run.set("keep", "name", "value")
        seen[:] = results
        return len(results)

    return client, job


def run(job):
    """What the job saw: its own output would be a placeholder if it held one."""
    asyncio.run(job.run(1))
    return list(seen)


@pytest.fixture
def whole(tmp_path):
    """The folder of a client whose store has a run, the run's id and its output."""
    client, job = define(tmp_path / "whole")
    output = run(job)
    (stored,) = client.runs()
    client.runtime.store.close()
    calls.clear()
    return tmp_path / "whole", stored.id, output


def execute(client, statement):
    with closing(sqlite3.connect(client.dir / "cache.db")) as db, db:
        return db.execute(statement).rowcount


def take(repaired, place):
    """The new store, in a new kernel: in another place, because this process knows the old one."""
    place.mkdir()
    repaired.directory.rename(place / "store")
    return define(place)


def test_a_whole_store_is_well_and_its_copy_is_equal(whole, tmp_path):
    directory, run_id, output = whole
    client, _ = define(directory)
    found = client.check()
    assert found.ok
    assert found.records > 20
    assert "all is well" in repr(found)
    assert "all is well" in found._repr_html_()
    repaired = client.repair()
    assert (repaired.records, repaired.damaged, repaired.left_out) == (found.records, (), ())
    assert repaired.files == 2
    assert client.repair().directory != repaired.directory
    client, job = take(repaired, tmp_path / "new")
    assert run(job) == output
    assert calls == []
    assert client.check().ok
    assert client.run(run_id).status == RunStatus.COMPLETED


def test_what_is_broken_is_named_and_the_rest_is_saved(whole, tmp_path):
    directory, run_id, output = whole
    client, job = define(directory)
    assert (
        execute(client, "UPDATE Cache SET value = replace(value, '3', '4') WHERE key LIKE '%/plain-3'") == 1
    )
    assert execute(client, "UPDATE Cache SET value = x'80' WHERE key LIKE '%/plain-4'") == 1
    lost, unused = sorted(client.dir.glob("values/*/*"))
    lost.write_bytes(b"something else")
    shutil.copy(unused, unused.with_name("0" * 64))
    found = client.check()
    assert not found.ok
    assert set(found.damaged) == {f"{run_id}/plain-3", f"{run_id}/plain-4"}
    assert found.lost_files == (f"{lost.parent.name}/{lost.name}",)
    assert found.unused_files == (unused.with_name("0" * 64),)
    assert found.database == ()
    assert "plain-3" in repr(found)
    assert "client.repair()" in repr(found)
    with pytest.raises(StoreError):
        run(job)
    client.runtime.store.close()

    repaired = client.repair()
    assert repaired.damaged == (f"{run_id}/plain-3",)
    assert repaired.left_out == (f"{run_id}/plain-4",)
    assert repaired.files == 1
    client, job = take(repaired, tmp_path / "new")
    results = run(job)
    assert calls == [4]  # a row that is no text may be anybody's
    with pytest.raises(ValueNotStoredError):
        results[3] + 1
    assert [*results[:3], *results[4:]] == [*output[:3], *output[4:]]
    assert client.check().damaged == ()


def test_the_schema_of_somebody_else_is_told_and_its_rows_are_saved(whole, tmp_path):
    directory, _, output = whole
    client, job = define(directory)
    execute(client, "CREATE TRIGGER t AFTER INSERT ON Cache BEGIN DELETE FROM Cache; END")
    client.runtime.store.close()
    assert client.check().database == ("the trigger 't' in it is none of this package's",)
    client, job = take(client.repair(), tmp_path / "new")
    assert client.check().ok
    assert run(job) == output
    assert calls == []


def test_whatever_bit_is_flipped_the_check_tells_and_no_body_is_repeated_after_a_repair(whole, tmp_path):
    """Unless the database cannot be opened any more."""
    directory, run_id, output = whole
    data = (directory / "store" / "cache.db").read_bytes()
    chance = random.Random(5)
    saved = 0
    for n in range(30):
        shutil.copytree(directory, tmp_path / f"{n}")
        flipped = bytearray(data)
        bit = chance.randrange(8 * len(data))
        flipped[bit // 8] ^= 1 << bit % 8
        (tmp_path / f"{n}" / "store" / "cache.db").write_bytes(flipped)
        client, job = define(tmp_path / f"{n}")
        try:
            told = run(job) != output
        except TriggerError:
            told = True
        client.runtime.store.close()
        try:
            ok = client.check().ok
        except StoreError:
            ok = False
        assert not (told and ok), f"bit {bit}"
        try:
            repaired = client.repair()
        except StoreError:
            continue
        if f"run/{client.run}" in repaired.damaged:
            continue
        client, job = take(repaired, tmp_path / f"{n}-new")
        if f"run/{run_id}" in repaired.damaged:
            with pytest.raises(TriggerError, match="record of run"):
                run(job)
        else:
            pairs = []
            for result, wanted in zip(
                run(job), output, strict=True
            ):  # a list is the map's, of its items' results
                pairs += zip(result, wanted, strict=True) if isinstance(result, list) else [(result, wanted)]
            kept = [(result, wanted) for result, wanted in pairs if type(result) is type(wanted)]
            assert [result for result, _ in kept] == [wanted for _, wanted in kept]
            assert len(pairs) - len(kept) <= len(repaired.damaged), f"bit {bit}"
            saved += 1
        assert calls == [], f"bit {bit}"
        client.runtime.store.close()
    assert saved > 15


def test_a_store_whose_runs_are_under_way_is_not_copied(tmp_path):
    client = TriggerClient("store", dir=tmp_path, display=False)
    told = []

    @client.job
    async def job(payload, io):
        try:
            client.repair()
        except RunStateError as error:
            told.append(str(error))
        return client.check().ok

    assert asyncio.run(job.run(1))
    assert "under way" in told[0]


def test_no_store_is_no_broken_store(tmp_path):
    client = TriggerClient("store", dir=tmp_path, display=False)
    for what in (client.check, client.repair):
        with pytest.raises(StoreError, match="there is no store"):
            what()
    assert list(tmp_path.iterdir()) == []
