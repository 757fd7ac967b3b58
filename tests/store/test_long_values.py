"""S5: a pass's one query leaves long values in the store until they are asked for, and none is kept in memory."""

from __future__ import annotations

import asyncio
import gc
import json
import sqlite3
import tracemalloc
from contextlib import closing
from decimal import Decimal

import pytest

from tests.support.rows import rewrite
from trigger_nb import RunStatus, TaskStatus, TriggerClient
from trigger_nb._records.records import LONG, TaskRecord, abridged
from trigger_nb._store.disk import DiskStore
from trigger_nb._store.protocol import Row
from trigger_nb._values.codec import INLINE_LIMIT
from trigger_nb._values.placeholders import Unstored
from trigger_nb._view.render import details
from trigger_nb.errors import CorruptRecordError, StoreError

TEXT = "".join(f"{n}," for n in range(1000))  # 3,890 characters: long, and no file
VALUES = {
    "text": TEXT,
    "list": [{"id": n, "name": 'a "name": {}', "value": [n]} for n in range(100)],
    "tagged": (Decimal(1), {"value": TEXT}, {1: TEXT}),
    "escaped": '\0"\\\n,📧' * 500,
    "file": TEXT * 20,
    "short": "x",
    "none": None,
}

pytestmark = pytest.mark.usefixtures("signing_key")


@pytest.fixture
def signing_key(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def texts(world, run):
    """What is stored of a run's tasks, by path."""
    return {key.partition("/")[2]: text for key, text in world.client.runtime.store.select(run.id)}


def kept(run):
    """What memory holds of a run's tasks while it is under way."""
    return run._runtime.memory(run.id).records


def results(world, values=VALUES, note=True):
    """A job whose tasks return these values, and that returns what it got."""

    @world.job
    def job(payload, io):
        got = {}
        for name, value in values.items():
            body = world.body(lambda value: value, note=name if note else None)
            got[name] = yield io.run_task(name, body, value, params=name)
        return {name: repr(value) for name, value in got.items()}

    return job


# The text of a record -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("form", ["", "tagged", "signed"])
def test_a_record_with_any_value_is_read_as_it_was_written(name, form, tmp_path):
    """S5: what a store gives of a record without its value is what Python makes of it, and all but the value."""
    value = json.loads(json.dumps(VALUES[name], default=str))
    record = TaskRecord(
        path="a", started=3, ended=4, code="c", inputs='"value":', form=form, value=value, params={"value": 1}
    )
    text = record.dumps()
    assert record.dumps_result(json.dumps(value, separators=(",", ":"))) == text or value is None
    whole = TaskRecord.loads(text)
    assert (whole.value, whole.form, whole.started, whole.params) == (value, form, 3, {"value": 1})
    assert whole.dumps() == text
    short = TaskRecord.loads(abridged(text))
    is_long = len(json.dumps(value)) > LONG
    assert short.is_apart == is_long
    assert (short.started, short.ended, short.code, short.inputs) == (3, 4, "c", '"value":')
    assert short.rank == record.rank
    store = DiskStore(tmp_path / "store")
    store.commit([Row("r/a", "r", text, record.rank)])
    assert store.select("r", abridge=True) == [("r/a", abridged(text))]
    assert store.select("r") == [("r/a", text)]
    store.close()


@pytest.mark.parametrize("form", ["file", "unstored"])
def test_what_only_speaks_of_a_value_stays_with_the_record(form):
    record = TaskRecord(path="a", started=1, form=form, value={"reason": TEXT})
    assert abridged(record.dumps()) == record.dumps()


def test_a_record_without_its_value_cannot_be_written():
    """S5: whoever would write it again would lose the value."""
    record = TaskRecord.loads(abridged(TaskRecord(path="a", started=1, value=TEXT).dumps()))
    with pytest.raises(AssertionError, match="would be lost"):
        record.dumps()
    with pytest.raises(AssertionError, match="would be lost"):
        record.copy(canceled=1.0).dumps()
    with pytest.raises(AssertionError, match="would be lost"):
        record.dumps_result("1")


def test_rows_are_read_on_from_one(tmp_path):
    store = DiskStore(tmp_path)
    store.commit([Row(f"r/{n}", "r", str(n)) for n in range(5)])
    store.commit([Row("s/1", "s", "other")])
    assert store.read_on("r", "r/2", 2) == [("r/2", "2"), ("r/3", "3")]
    assert store.read_on("r", "r/4", 5) == [("r/4", "4")]
    assert store.read_on("r", "gone", 5) == []
    store.close()


# Replays --------------------------------------------------------------------------------------------


def test_values_are_replayed_as_they_were(world):
    """R1, R2: the same in value and type, in this kernel and in the next, also in another order."""
    job = results(world)
    expected = {name: repr(value) for name, value in VALUES.items()}
    assert world.run(job) == expected
    assert world.take() == list(VALUES)
    assert world.run(job) == expected
    world.new_kernel()
    assert world.run(results(world)) == expected
    backwards = results(world, dict(reversed(VALUES.items())))
    assert world.run(backwards) == expected
    assert world.take() == []


def test_no_long_value_is_in_memory(world):
    """S5: neither of a result of this pass nor of one that was replayed."""
    seen = []
    for _ in range(2):

        @world.job
        def job(payload, io):
            first = yield io.run_task("first", lambda: TEXT)
            second = yield io.run_task("second", lambda: "short")
            (run,) = job.runs()  # noqa: B023  # called in this turn of the loop
            seen.append({path: (TEXT in text, len(text) < LONG) for path, text in kept(run).items()})
            return len(first) + len(second)

        assert world.run(job) == len(TEXT) + 5
        assert kept(world.last(job)) == {}
        world.new_kernel()
    assert seen == [{"first": (False, True), "second": (False, True)}] * 2


def test_signed_pickles_are_read_when_asked_for(world):
    class Thing:
        def __init__(self, text):
            self.text = text

    @world.job
    def job(payload, io):
        thing = yield io.run_task("thing", world.body(lambda: Thing(TEXT), note="ran"), codec="pickle")
        return thing.text

    assert world.run(job) == TEXT
    world.new_kernel()
    assert world.run(job) == TEXT
    assert world.take() == ["ran"]
    stored = TaskRecord.loads(texts(world, world.last(job))["thing"])
    assert (stored.form, stored.is_apart) == ("signed", False)


def test_what_cannot_be_stored_is_as_before(world):
    """S4: the live value in this kernel, a placeholder in the next."""

    def define():
        return world.job(lambda payload, io: function(payload, io), id="job")

    def function(payload, io):
        got = yield io.run_task("lock", world.body(lambda: {"text": TEXT, "lock": object()}, note="ran"))
        return "lost" if isinstance(got, Unstored) else got["text"]

    with pytest.warns(RuntimeWarning, match="cannot be stored"):
        assert world.run(define()) == TEXT
    assert world.run(define()) == TEXT
    world.new_kernel()
    assert world.run(define()) == "lost"
    assert world.take() == ["ran"]


def test_changing_a_value_changes_no_record(world):
    """R2: the caller's value is its own."""

    @world.job
    def job(payload, io):
        got = yield io.run_task("list", lambda: [TEXT])
        got.append("more")
        return len(got)

    assert [world.run(job), world.run(job)] == [2, 2]


def test_a_changed_body_is_found_without_the_value(world):
    """R6: fingerprints are in what is read of each record."""

    def job_of(body):
        @world.job(id="job", on_change="only")
        def job(payload, io):
            got = yield io.run_task("a", body)
            return got[-1]

        return job

    def one():
        world.note("one")
        return TEXT + "1"

    def two():
        world.note("two")
        return TEXT + "2"

    assert [world.run(job_of(body)) for body in (one, one, two, two)] == ["1", "1", "2", "2"]
    assert world.take() == ["one", "two"]


# Lost ones ------------------------------------------------------------------------------------------


def lost(world, damage, **options):
    """Run a job whose second pass finds its first task's row damaged once it has begun."""

    @world.job(**options)
    def job(payload, io):
        yield io.run_task("before", lambda: 1)
        if payload["damage"]:
            (run,) = job.runs()
            damage(world.client.dir, run.id + "/long")
        try:
            got = yield io.run_task("long", world.body(lambda: TEXT, note="ran"))
        except Exception:
            world.note("raised from io")
            raise
        return got

    payload = {"damage": False}
    assert world.run(job, payload, run_id="r") == TEXT
    payload["damage"] = True
    return job, world.run(job, payload, run_id="r") if options else world.fail(job, payload, run_id="r")


def delete(store, key):
    with closing(sqlite3.connect(store / "cache.db")) as db, db:
        db.execute("DELETE FROM Cache WHERE key = ?", (key,))


def cut_short(store, key):
    rewrite(store, key, lambda text: text[:2000])


def replace(store, key):
    text = TaskRecord(path="long", generation=1, started=1, value=TEXT + "another").dumps()
    rewrite(store, key, lambda _: text, rank=3)


@pytest.mark.parametrize("damage", [delete, cut_short, replace])
def test_a_row_that_is_gone_or_damaged_ends_the_pass(world, damage):
    """R13: nothing is raised from `io`, and the body is not called; the next pass goes by what is there."""
    job, error = lost(world, damage)
    assert type(error) is CorruptRecordError
    assert "not in the store any more" in str(error)
    assert world.last(job).status == RunStatus.INTERRUPTED
    assert world.take() == ["ran"]
    again = {"damage": False}
    if damage is cut_short:
        assert "rerun_from('long')" in str(world.fail(job, again, run_id="r"))
    else:
        assert world.run(job, again, run_id="r") == (TEXT if damage is delete else TEXT + "another")
    assert world.take() == (["ran"] if damage is delete else [])


def test_a_value_that_is_gone_is_made_again_when_it_may_be(world):
    job, output = lost(world, delete, repeatable=True)
    assert output == TEXT
    assert world.take() == ["ran", "ran"]
    assert TEXT in texts(world, world.last(job))["long"]


def test_a_store_that_cannot_be_read_is_no_error_of_the_task(world):
    """A9: the pass ends, `await run` raises the store's error; the next pass has the value."""
    broken = []

    @world.job
    def job(payload, io):
        yield io.run_task("before", lambda: 1)
        store = world.client.runtime.store
        if broken:
            store.read_on = lambda *_: (_ for _ in ()).throw(StoreError("cannot be read"))
        try:
            got = yield io.run_task("long", world.body(lambda: TEXT, note="ran"))
        except StoreError:
            world.note("raised from io")
            raise
        return got

    assert world.run(job) == TEXT
    broken.append(True)
    assert isinstance(world.fail(job), StoreError)
    assert world.last(job).status == RunStatus.INTERRUPTED
    broken.clear()
    del world.client.runtime.store.read_on
    assert world.run(job) == TEXT
    assert world.take() == ["ran"]


# Whoever reads records ------------------------------------------------------------------------------


def test_outputs_of_tasks(world):
    """Of a run that has ended, and of one that is under way."""
    under_way = []

    @world.job
    def job(payload, io):
        yield io.run_task("long", lambda: (TEXT, 1))
        (run,) = job.runs()
        under_way.append((run.task("long").output, [task.output for task in run.tasks]))

    world.run(job)
    run = world.last(job)
    assert run.task("long").output == (TEXT, 1)
    assert [task.output for task in run.tasks] == [(TEXT, 1)]
    assert under_way == [((TEXT, 1), [(TEXT, 1)])]
    task = run.task("long")
    world.client.runtime.store.delete(keys=[run.id + "/long"])
    with pytest.raises(CorruptRecordError, match="not in the store any more"):
        print(task.output)


def test_a_fork_has_the_values(world):
    """R9: a copy is whole."""
    job = results(world, {**VALUES, "last": 1})
    world.run(job)
    world.take()
    fork = world.last(job).fork("last")
    output = world.run(job, run_id=fork.id)
    assert output == {name: repr(value) for name, value in {**VALUES, "last": 1}.items()}
    assert world.take() == ["last"]
    assert fork.task("tagged").output == VALUES["tagged"]


def test_a_fork_with_a_long_output(world):
    job = results(world, {"a": 1, "b": 2})
    world.run(job)
    world.take()
    fork = world.last(job).fork("a", output=TEXT)
    assert world.run(job, run_id=fork.id) == {"a": repr(TEXT), "b": "2"}
    assert fork.task("a").output == TEXT


def test_differences_of_long_values(world):
    def run_with(text):
        world.run(results(world, {"a": TEXT, "b": text}, note=False), {"b": text[-1:]}, fresh=True)

    for text in (TEXT + "1", TEXT + "2", TEXT + "2", "short"):
        run_with(text)
    short, again, two, one = world.client.runs()
    assert [(each.path, each.what) for each in one.diff(two) if each.path] == [("b", "output")]
    assert [each for each in two.diff(again) if each.path] == []
    (change,) = [each for each in two.diff(short) if each.path]
    assert (change.what, change.there) == ("output", '"short"')
    assert change.here.startswith('"0,1,2,')


def test_a_run_taken_up_again_keeps_its_long_values(world):
    """R5, R9: retry and rerun_from write records again, and none of those with a value."""
    errors = [ValueError("once")]

    @world.job
    def job(payload, io):
        a = yield io.run_task("a", world.body(lambda: TEXT + "a", note="a"))
        around = yield io.run_task("around", around_body)
        yield io.run_task("b", world.failing("b", errors[0] if errors else None))
        return a[-1] + around[-1]

    @world.body
    def around_body(io):
        inner = yield io.run_task("inner", world.body(lambda: TEXT + "i", note="inner"))
        io.logger.info("said")
        return inner

    def again(change):
        async def go_on():
            return await change(world.last(job))

        assert asyncio.run(go_on()) == "ai"
        return world.take()

    world.fail(job)
    errors.clear()
    assert again(lambda run: run.retry(which=["b"])) == ["a", "inner", "b", "b"]
    assert again(lambda run: run.rerun_from("b")) == ["b"]
    assert again(lambda run: run.rerun_from("around/inner")) == ["inner", "b"]
    assert again(lambda run: run.retry(which="all")) == []
    assert all(task.status == TaskStatus.COMPLETED for task in world.last(job).tasks)
    assert world.last(job).task("a").output == TEXT + "a"


def test_details_and_pages_show_long_values(world, tmp_path):
    """D2: the preview is of the value in the store."""
    job = results(world, {"a": TEXT, "b": (TEXT,)})
    world.run(job)
    run = world.last(job)
    model = run.model()
    for path, beginning in (("a", '"0,1,2,3,'), ("b", '["0,1,2,3,')):
        row = model.rows[path]
        assert row.record.is_apart
        told = {section.label: section.pre or section.code for section in details.sections(model, row)}
        assert told["Output"].replace("\n", "").replace(" ", "").startswith(beginning)
    assert "0,1,2,3," in run.export_html(tmp_path / "run.html").read_text()
    world.client.runtime.store.delete(keys=[run.id + "/a"])
    told = {each.label: each.code for each in details.sections(model, model.rows["a"])}
    assert told["Output"] == "could not be read from the store"


def test_counts_are_right(world):
    """Counts are read off the texts, abridged or not."""

    @world.job
    def job(payload, io):
        yield io.run_task("long", lambda: TEXT)
        yield io.run_task("short", lambda: 1)
        yield io.run_task("fails", world.failing("fails", ValueError("x")))

    for _ in range(2):
        world.fail(job)
        assert world.last(job)._record.counts == {"COMPLETED": 2, "ERRORED": 1}


# Memory ---------------------------------------------------------------------------------------------

RESULTS, LENGTH = 500, 20_000  # 10 MB


@pytest.mark.anyio
async def test_memory_does_not_grow_with_the_results(tmp_path):
    """S5: neither during the pass that has them, nor when they are replayed, nor after."""
    assert LENGTH < INLINE_LIMIT
    held = []
    client = TriggerClient("memory", dir=tmp_path, display=False)

    @client.job
    async def job(payload, io):
        for n in range(RESULTS):
            text = await io.run_task(f"{n}", lambda: "x" * LENGTH)
            assert len(text) == LENGTH
        del text
        held.append(grown())

    tracemalloc.start()
    try:
        for _ in range(2):
            gc.collect()
            before, _ = tracemalloc.get_traced_memory()

            def grown(before=before):
                gc.collect()
                return (tracemalloc.get_traced_memory()[0] - before) / 1e6

            await job.run()
            held.append(grown())
    finally:
        tracemalloc.stop()
    assert all(megabytes < 3 for megabytes in held), held
