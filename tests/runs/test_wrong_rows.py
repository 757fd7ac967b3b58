"""One wrong row in a store breaks no list, no tree, no statistics and no start of another run.

The rows are those of somebody who knows the format: their checksums fit.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing

import pytest

from tests.support.rows import rewrite
from trigger_nb import TriggerClient, event_trigger
from trigger_nb.errors import CorruptRecordError, TriggerError

INFINITE = float("inf")
HUGE = 10**30
WRONG = {
    "run/%one": [
        ("created_at", 1e300), ("created_at", "x"), ("created_at", -1e300), ("started_at", 9e17), ("worked", INFINITE),
        ("passes", HUGE), ("passes", True), ("counts", {"COMPLETED": None}), ("counts", [1]), ("counts", {"x": HUGE}),
        ("redact", [1]), ("redact", [["a"]]), ("hints", [None]), ("ended_by", 5), ("holder", [1]),
        ("holder", {"pid": "abc", "since": "x"}), ("holder", {"host": "other", "since": 9e15}),
        ("forked", {"type": "E"}), ("forked", {"run": 5}), ("payload", INFINITE), ("parent", "one"), ("client", {"a": 1}),
        ("event", {"id": [1]}), ("error", {"type": "E"}), ("payload_form", "signed"), ("status", "EVIL"), ("job", "\0"),
    ],
    "one/charge": [
        ("next_at", HUGE), ("next_at", float("nan")), ("ended_at", 1e300), ("prints", [["stdout", 5]]),
        ("properties", [5]), ("properties", [{"label": None}]), ("tally", {"items": "x"}), ("value", INFINITE),
        ("error", {"a": 1}), ("params", INFINITE), ("kind", "map"), ("kind", "log"), ("status", "RUNNING"),
        ("generation", HUGE), ("name", "\0\ud800"), ("data", {"x": None}),
    ],
}  # fmt: skip


@pytest.fixture
def client(tmp_path):
    return TriggerClient("wrong", dir=tmp_path, display=False)


def define(client):
    @client.job(id="job")
    async def job(payload, io):
        return await io.run_task("charge", lambda: {"id": payload})

    return job


def told(call):
    """What a call returns, or the error of this package that says what is wrong; no other error."""
    try:
        return call()
    except TriggerError as error:
        return error


@pytest.mark.parametrize(
    ("key", "name", "value"),
    [(key, *each) for key, changes in WRONG.items() for each in changes],
    ids=lambda part: f"{part!r:.40}",
)
def test_one_wrong_row_harms_no_other_run(client, key, name, value):
    job = define(client)
    for run_id in ("one", "two"):
        job.run_sync(run_id, run_id=run_id)
    changed = rewrite(
        client.dir, key, lambda text: json.dumps({**json.loads(text), name: value}, separators=(",", ":"))
    )
    assert changed == 1
    assert [run.id for run in client.runs()] == ["two", "one"]
    assert "two" in repr(client.runs())
    assert client.info().runs == 2
    assert repr(client.info())
    for run in client.runs():
        assert run.tree()
        for task in [*run.tasks, *run.logs]:
            assert repr(task)
            told(lambda task=task: (task.output, task.error))
        told(lambda run=run: (run.payload, run.output, run.error, run.finished_at))
        assert repr(run)
    client.prune(keep_last=9, dry_run=True)
    told(lambda: job.plan("one"))
    assert job.run_sync("two", run_id="two") == {"id": "two"}
    assert job.run_sync("new", run_id="new") == {"id": "new"}
    told(lambda: job.run_sync("one", run_id="one"))


def test_a_run_whose_row_is_no_text_is_listed_and_the_others_with_it(client):
    job = define(client)
    for run_id in ("one", "two"):
        job.run_sync(run_id, run_id=run_id)
    with closing(sqlite3.connect(client.dir / "cache.db")) as db, db:
        db.execute("UPDATE Cache SET value = x'8004' WHERE key IN ('run/one', 'one/charge')")
    assert [run.id for run in client.runs()] == ["two", "one"]
    assert client.info().runs == 2
    assert isinstance(told(lambda: job.run_sync("one", run_id="one")), CorruptRecordError)
    assert job.run_sync("two", run_id="two") == {"id": "two"}


def test_an_event_whose_row_is_damaged_says_so(client):
    @client.job(trigger=event_trigger("order"))
    async def job(payload, io):
        return payload

    async def send(**options):
        return [await run for run in (await client.send_event("order", 1, **options)).runs]

    assert asyncio.run(send()) == [1]
    rewrite(client.dir, "event/%", lambda text: text[:-3])
    with pytest.raises(CorruptRecordError, match="record of event 'evt_.*id="):
        asyncio.run(send())
    assert asyncio.run(send(id="again")) == [1]
