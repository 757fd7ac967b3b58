"""Whatever keeps a record or a value from being read ends the pass, never the call (rule R13)."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import re
import sqlite3
import sys
from contextlib import closing

import pytest
from pydantic import BaseModel

from tests.support.rows import rewrite
from trigger_nb import Reason, RunStatus, TaskStatus, register_codec, register_error
from trigger_nb._records.records import TaskRecord
from trigger_nb._values.errors import adapters
from trigger_nb._values.json_text import dumps
from trigger_nb._values.tagged import _readers
from trigger_nb.errors import (
    BadSignatureError,
    CorruptRecordError,
    ValueNotLoadedError,
    ValueNotStoredError,
)


@dataclasses.dataclass
class Receipt:
    """Of a class whose cell was not run yet in a new kernel: `forgotten` takes it away."""

    id: int


made = Receipt  # bodies have it, whatever the store finds


class Odd:
    """Known to the store by a codec."""


class Model(BaseModel):
    x: int


class ApiError(Exception):
    """Known to the store by an adapter."""


@pytest.fixture
def forgotten(monkeypatch):
    """A new kernel in which the cell of a class was not run; given back by calling what it gives."""

    module = sys.modules[__name__]

    def forget():
        monkeypatch.delattr(module, "Receipt")
        return lambda: monkeypatch.setattr(module, "Receipt", made, raising=False)

    return forget


def text_of(world, path):
    with closing(sqlite3.connect(world.client.dir / "cache.db")) as db:
        ((text,),) = db.execute("SELECT value FROM Cache WHERE key LIKE ?", ("%/" + path,)).fetchall()
    return text


def damage(world, path, text=""):
    """Change the stored row of a task, or of a run ("run/..."), behind everybody's back."""
    assert rewrite(world.client.dir, "%" + path, lambda _: text) == 1


def again(world, job):
    """The cell that defines the job, run in a new kernel."""
    world.new_kernel()
    return world.again(job)


def charging(world, result, **options):
    """A job that pays another way when the call fails: what must not be taken for such a failure."""

    @world.job(id="job")
    def job(payload, io):
        try:
            got = yield io.run_task("charge", world.noting("charge", result), **options)
        except Exception as error:
            world.note(type(error).__name__)
            got = yield io.run_task("other means", world.noting("charged again"))
        return got

    return job


# A class that is not there yet ------------------------------------------------------------------------


def test_a_result_whose_class_is_not_loaded_is_no_failed_charge(world, forgotten):
    """The pass ends, the message names the cell to run; once that was run the job is replayed."""
    job = charging(world, made(7))
    assert world.run(job) == made(7)
    define = forgotten()
    job = again(world, job)
    for _ in range(2):
        error = world.fail(job)
        assert type(error) is ValueNotLoadedError
        assert re.search(r"result of task 'charge'.*Receipt.*not loaded.*run this cell again", str(error))
        run = world.last(job)
        assert run.status == RunStatus.INTERRUPTED
        assert run.task("charge").status == TaskStatus.COMPLETED
        assert "Receipt" in run.tree()
    define()
    assert world.run(job) == made(7)
    assert world.last(job).task("charge").reason == Reason.REPLAYED
    assert world.last(job).status == RunStatus.COMPLETED
    assert world.take() == ["charge"]


@pytest.mark.parametrize("how", ["bare except", "finally return", "finally raise"])
def test_nothing_that_the_code_does_on_the_way_out_counts(world, forgotten, how):
    """W3: neither an output nor an error made of it ends the run, and no task begins."""

    @world.job(id="job")
    def job(payload, io):
        if how == "bare except":
            try:
                yield io.run_task("charge", world.noting("charge", made(7)))
            except:  # noqa: E722
                yield io.run_task("other means", world.noting("charged again"))
            return "done"
        try:
            yield io.run_task("charge", world.noting("charge", made(7)))
        finally:
            if how == "finally raise":
                raise KeyError("mine")
            return "done"  # noqa: B012

    if how != "finally raise":
        assert world.run(job) == "done"
    else:
        world.fail(job)
    define = forgotten()
    job = again(world, job)
    assert type(world.fail(job)) is ValueNotLoadedError
    run = world.last(job)
    assert (run.status, run.error) == (RunStatus.INTERRUPTED, None)
    define()
    if how != "finally raise":
        assert world.run(job) == "done"
    assert world.take() == ["charge"]


def test_beside_others_in_a_gather(world, forgotten):
    @world.job(id="job")
    def job(payload, io):
        def part(n):
            try:
                got = yield io.run_task(("charge", n), world.noting("charge", made(n)))
            except Exception:
                got = yield io.run_task(("other means", n), world.noting("charged again"))
            return got.id

        return (yield world.gather(*map(part, range(3))))

    assert world.run(job) == [0, 1, 2]
    define = forgotten()
    job = again(world, job)
    assert type(world.fail(job)) is ValueNotLoadedError
    define()
    assert world.run(job) == [0, 1, 2]
    assert world.take() == ["charge"] * 3


def test_in_a_task_group(async_world, forgotten):
    world = async_world

    @world.client.job(id="job")
    async def job(payload, io):
        try:
            async with asyncio.TaskGroup() as group:
                one = group.create_task(io.run_task("charge", world.noting("charge", made(7))))
        except* Exception:
            await io.run_task("other means", world.noting("charged again"))
        return one.result().id

    assert world.run(job) == 7
    define = forgotten()
    job = again(world, job)
    assert type(world.fail(job)) is ValueNotLoadedError
    define()
    assert world.run(job) == 7
    assert world.take() == ["charge"]


def test_in_the_body_of_a_task_that_is_retried(world, forgotten):
    """It is no attempt of the task around it."""
    fail = [True]

    @world.job(id="job")
    def job(payload, io):
        def order(io):
            try:
                got = yield io.run_task("charge", world.noting("charge", made(7)))
            except Exception:
                got = yield io.run_task("other means", world.noting("charged again"))
            if fail[0]:
                raise OSError("not yet")
            return got.id

        return (yield io.run_task("order", world.body(order, note="order"), retry=3))

    world.fail(job)
    assert world.take() == ["order", "charge", "order", "order"]
    fail[0] = False
    define = forgotten()
    job = again(world, job)
    assert type(world.fail(job)) is ValueNotLoadedError
    assert world.take() == ["order"]
    define()
    assert world.run(job) == 7
    assert world.last(job).task("order").attempt == 1
    assert world.take() == ["order"]


@pytest.mark.parametrize("kind", ["map", "map of errors", "parallel", "batch", "imap"])
def test_as_an_item_of_a_map(world, forgotten, kind):
    """The item is not taken for a failed one, and nothing else begins."""

    @world.job(id="job")
    def job(payload, io):
        def receipts(items):
            world.note("charge")
            return [made(item) for item in items]

        try:
            if kind == "parallel":
                got = yield io.parallel(
                    "all", [1, 2], world.body(lambda item, index: made(item), note="charge")
                )
            elif kind == "batch":
                got = yield io.map("all", [1, 2], world.body(receipts), batch=2)
            elif kind == "imap" and world.is_async:
                got = yield _collected(
                    io.imap("all", [1, 2], world.body(lambda item: made(item), note="charge"))
                )
            elif kind == "imap":
                pairs = io.imap("all", [1, 2], world.body(lambda item: made(item), note="charge"))
                got = sorted((value for _, value in pairs), key=lambda each: each.id)
            else:
                options = {"return_errors": True} if kind == "map of errors" else {}
                got = yield io.map(
                    "all", [1, 2], world.body(lambda item: made(item), note="charge"), **options
                )
        except Exception:
            got = yield io.run_task("other means", world.noting("charged again"))
        return [each.id for each in got]

    assert world.run(job) == [1, 2]
    calls = world.take()
    define = forgotten()
    job = again(world, job)
    assert type(world.fail(job)) is ValueNotLoadedError
    assert world.last(job).status == RunStatus.INTERRUPTED
    define()
    assert world.run(job) == [1, 2]
    assert (world.take(), set(calls)) == ([], {"charge"})


async def _collected(pairs):
    return sorted([value async for _, value in pairs], key=lambda each: each.id)


# What keeps a value from being read -------------------------------------------------------------------


def test_a_codec_that_is_not_registered_or_fails(world, monkeypatch):
    """The codec's own error is the cause; a result that is new is treated as one that is replayed."""
    works = [True]

    def from_data(data):
        return Odd() if works[0] else 1 / 0

    register_codec(Odd, lambda odd: 1, from_data, name="odd")
    job = charging(world, Odd())
    assert type(world.run(job)) is Odd
    works[0] = False
    error = world.fail(job)
    assert re.search("result of task 'charge'.*ZeroDivisionError", str(error))
    assert type(error) is ValueNotLoadedError
    assert type(error.__cause__) is ZeroDivisionError
    monkeypatch.delitem(_readers, "codec odd")
    assert re.search("codec 'odd'.*run the cell that calls register_codec", str(world.fail(job)))
    assert world.take() == ["charge"]
    register_codec(Odd, lambda odd: 1, from_data, name="odd")
    assert type(world.fail(job, "another payload")) is ValueNotLoadedError  # in the pass that ran it
    works[0] = True
    assert type(world.run(job, "another payload")) is Odd
    assert world.take() == ["charge"]


def test_a_library_that_is_not_installed(world, monkeypatch):
    polars = pytest.importorskip("polars")
    job = charging(world, polars.DataFrame({"a": [1]}))
    world.run(job)
    for tag in [tag for tag in _readers if tag.startswith("polars.")]:
        monkeypatch.delitem(_readers, tag)

    def load():
        raise ImportError("No module named 'polars'", name="polars")

    monkeypatch.setitem(sys.modules["trigger_nb._values.tagged"]._late, "polars", load)
    assert re.search("polars cannot be imported.*install it, then run this cell again", str(world.fail(job)))
    assert world.take() == ["charge"]


def test_a_pickle_that_somebody_else_signed(world, tmp_path, monkeypatch):
    monkeypatch.setenv("TRIGGER_NB_KEY_FILE", str(tmp_path / "one"))
    job = charging(world, made(7), codec="pickle")
    assert world.run(job) == made(7)
    monkeypatch.setenv("TRIGGER_NB_KEY_FILE", str(tmp_path / "other"))
    assert type(world.fail(job)) is BadSignatureError
    monkeypatch.setenv("TRIGGER_NB_KEY_FILE", str(tmp_path / "one"))
    assert world.run(job) == made(7)
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    assert re.search("cannot be rebuilt here.*cloudpickle", str(world.fail(job)))
    assert world.take() == ["charge"]


def test_a_model_that_was_edited_and_fits_no_more(world):
    """Its result was good when it came: it is the pass that cannot go on, until the model is mended."""

    class Stricter(BaseModel):
        x: str

    model = [Model]

    @world.job(id="job")
    def job(payload, io):
        try:
            got = yield io.run_task("charge", world.noting("charge", {"x": 1}), returns=model[0])
        except Exception:
            got = yield io.run_task("other means", world.noting("charged again"))
        return got.x

    assert world.run(job) == 1
    model[0] = Stricter
    error = world.fail(job)
    assert type(error) is ValueNotLoadedError
    assert re.search(r"(?s)result of task 'charge'.*does not fit.*is kept", str(error))
    model[0] = Model
    assert world.run(job) == 1
    assert world.take() == ["charge"]


def test_a_new_result_that_does_not_fit_is_an_error_of_the_task_in_every_pass(world):
    """R2: the first pass took a branch on it, and so does each later one, whatever the model is then."""
    model = [Model]

    @world.job(id="job")
    def job(payload, io):
        try:
            yield io.run_task("fetch", world.noting("fetch", {"x": "no number"}), returns=model[0])
        except ValueNotLoadedError:
            yield io.run_task("report", world.noting("report"))
        return "done"

    assert world.run(job) == "done"
    job = again(world, job)
    assert world.run(job) == "done"
    model[0] = dict
    assert world.run(job) == "done"
    assert world.take() == ["fetch", "report"]


def test_a_new_result_that_does_not_fit_is_used_once_the_type_is_mended(world):
    """R5: an error that ended the run is not final, and what was fetched is not fetched again."""
    model = [Model]

    @world.job(id="job")
    def job(payload, io):
        return (
            yield io.run_task("fetch", world.noting("fetch", {"x": "no number"}), returns=model[0], retry=3)
        )

    for _ in range(2):
        assert "does not fit" in str(world.fail(job))
        assert world.last(job).status == RunStatus.FAILED
    model[0] = dict
    assert world.run(job) == {"x": "no number"}
    assert world.take() == ["fetch"]


def test_an_error_whose_parts_cannot_be_read(world, forgotten):
    """R4: `except` would take another branch."""

    @world.job(id="job")
    def job(payload, io):
        try:
            yield io.run_task("charge", world.failing("charge", ApiError(made(7))))
        except ApiError as error:
            got = error.args[0].id
        except Exception:
            got = yield io.run_task("other means", world.noting("charged again"))
        yield io.run_task("after", world.noting("after"))
        return got

    assert world.run(job) == 7
    define = forgotten()
    job = again(world, job)
    error = world.fail(job)
    assert re.search("error of task 'charge'.*Receipt.*run this cell again", str(error))
    assert type(world.last(job).task("charge").error).__name__ == "TaskError"  # to look at, it is legible
    define()
    assert world.run(job) == 7
    assert world.take() == ["charge", "after"]


def test_an_error_whose_adapter_is_not_registered(world, monkeypatch):
    register_error(ApiError, lambda error: error.args[0], ApiError)

    @world.job(id="job")
    def job(payload, io):
        try:
            yield io.run_task("charge", world.failing("charge", ApiError(503)))
        except ApiError as error:
            got = error.args[0]
        yield io.run_task("after", world.noting("after"))
        return got

    assert world.run(job) == 503
    adapter = adapters.pop(f"{__name__}:ApiError")
    assert re.search("run the cell that calls register_error", str(world.fail(job)))
    monkeypatch.setitem(adapters, f"{__name__}:ApiError", adapter)
    assert world.run(job) == 503
    assert world.take() == ["charge", "after"]


# Damaged records --------------------------------------------------------------------------------------

DAMAGES = {
    "emptied": lambda text: "",
    "a list": lambda text: "[]",
    "null": lambda text: "null",
    "a quote flipped": lambda text: text.replace('"id":', '"id!:', 1),
    "a brace flipped": lambda text: "[" + text[1:],
    "cut": lambda text: text[:-3],
    "status": lambda text: '{"status":"COMPLETEE",' + text[1:],
    "a type": lambda text: '{"generation":"0",' + text[1:],
    "a name": lambda text: text.replace('"started"', '"statted"'),
    "a number that ends early": lambda text: text.replace("77", '7"'),
    "digits": lambda text: text.replace("77", "7" * 5000),
    "nesting": lambda text: text.replace("77", "[" * 100_000),
    "form": lambda text: '{"form":"tagfed",' + text[1:],
    "tag": lambda text: '{"form":"tagged",' + text[1:].replace('"id"', '"$"'),
    "file": lambda text: '{"form":"file",' + text[1:],
    "error": lambda text: '{"error":{"type":"E"},' + text[1:],
    "measure": lambda text: '{"measured":9,' + text[1:],
    "no measure": lambda text: (
        text.replace('{"measured":', '{"measured";') if "measured" in text else '{"measured":' + text[1:]
    ),
}
LEGIBLE = {"cut", "a name"}  # a plain value stands before the damage, and is as it was


@pytest.mark.parametrize("long", [False, True], ids=["short", "long"])
@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_record_is_no_failed_charge(world, how, long):
    """Nothing is raised from `io`, nothing is charged again, and the message says which row and what to do."""
    result = {"id": 77, "text": "x" * 2000 * long}
    job = charging(world, result)
    assert world.run(job) == result
    text = DAMAGES[how](text_of(world, "charge"))
    job = again(world, job)
    damage(world, "/charge", text)
    if how in LEGIBLE and not long:
        assert world.run(job) == result
        assert world.take() == ["charge"]
        return
    error = world.fail(job)
    assert isinstance(error, (CorruptRecordError, ValueNotLoadedError))
    run = world.last(job)
    assert run.status == RunStatus.INTERRUPTED
    assert "task 'charge'" in str(error)
    if type(error) is CorruptRecordError:
        assert f"'{run.id}/charge'" in str(error)
        assert f"client.run('{run.id}').rerun_from('charge')" in str(error)
    assert world.take() == ["charge"]
    assert "charge" in run.tree()


@pytest.mark.parametrize("how", ["emptied", "status", "form", "null"])
def test_rerun_from_repeats_a_task_whose_record_is_damaged(async_world, how):
    """On purpose, and with another idempotency key than the result that was lost."""
    world = async_world

    @world.client.job(id="job")
    async def job(payload, io):
        return await io.run_task("charge", lambda task: (world.note("charge"), task.idempotency_key)[1])

    first = world.run(job)
    damage(world, "/charge", DAMAGES[how](text_of(world, "charge")))
    world.fail(job)

    async def repeat():
        return await world.last(job).rerun_from("charge")

    assert asyncio.run(repeat()) != first
    assert world.take() == ["charge", "charge"]
    assert world.run(job) == world.last(job).output
    assert world.take() == []


def test_a_damaged_record_beside_an_error(world):
    """R5: whether an error is replayed depends on what began after it, which cannot be told."""

    @world.job(id="job")
    def job(payload, io):
        try:
            yield io.run_task("fails", world.failing("fails", OSError("down")))
        except OSError:
            pass
        except Exception:
            yield io.run_task("other means", world.noting("charged again"))
        yield io.run_task("after", world.noting("after"))

    world.run(job)
    damage(world, "/after")
    assert re.search("record of task 'after'", str(world.fail(job)))
    assert world.take() == ["fails", "after"]


def test_a_damaged_log_line_stops_nothing(world):
    @world.job(id="job")
    def job(payload, io):
        io.logger.info("hello")
        try:
            yield io.run_task("fails", world.failing("fails", OSError("down")))
        except OSError:
            pass
        yield io.run_task("after", world.noting("after"))
        return "done"

    assert world.run(job) == "done"
    assert rewrite(world.client.dir, "%~.%", lambda _: "[") == 1
    job = again(world, job)
    assert "damaged" in world.last(job).tree()
    assert world.run(job) == "done"
    assert world.take() == ["fails", "after"]


def test_a_damaged_wait_does_not_wait_again(world):
    @world.job(id="job")
    def job(payload, io):
        try:
            yield io.wait("pause", 0.01)
        except Exception:
            world.note("raised from io")
        return "done"

    assert world.run(job) == "done"
    damage(world, "/pause", "{")
    assert type(world.fail(job)) is CorruptRecordError
    assert world.take() == []


def test_a_damaged_map_is_no_failed_map(world):
    """The record of the map itself."""

    @world.job(id="job")
    def job(payload, io):
        try:
            return (yield io.map("all", [1, 2], world.noting("item")))
        except Exception:
            world.note("raised from io")

    world.run(job)
    damage(world, "/all", "{")
    assert type(world.fail(job)) is CorruptRecordError
    assert world.take() == ["item", "item"]


def test_a_damaged_subtask_of_a_completed_task_is_not_needed(world):
    """Its parent's result is there, and is handed out."""

    @world.job(id="job")
    def job(payload, io):
        def parent(io):
            return (yield io.run_task("child", world.noting("child")))

        return (yield io.run_task("parent", world.body(parent)))

    assert world.run(job) == "child"
    text = text_of(world, "child")
    damage(world, "/child", text[:-5] + text[-5:].replace("}", ""))
    job = again(world, job)
    assert world.run(job) == "child"
    assert world.take() == ["child"]


def test_a_value_file_that_is_missing_is_a_lost_value(world):
    """S5: that is known to be lost, and is no fault of the store."""
    job = charging(world, "x" * 100_000)
    world.run(job)
    for file in (world.client.dir / "values").glob("*/*"):
        file.unlink()
    with pytest.raises(ValueNotStoredError):
        len(world.run(job))
    assert world.last(job).status == RunStatus.COMPLETED
    assert world.take() == ["charge"]


# Other rows -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["class", "row"])
def test_a_stored_key_value_that_cannot_be_read(world, forgotten, how):
    @world.job(id="job")
    def job(payload, io):
        if payload == "set":
            yield io.store.job.set("set", "last", made(7))
            return None
        try:
            got = yield io.store.job.get("get", "last")
        except Exception:
            got = yield io.run_task("other means", world.noting("charged again"))
        return got.id

    world.run(job, "set")
    define = forgotten() if how == "class" else None
    if how == "row":
        damage(world, "kv/job/job/last", "{]")
    error = world.fail(job, "get")
    assert re.search("value 'job/job/last' of `io.store` cannot be read.*set it again", str(error))
    assert isinstance(error, (CorruptRecordError, ValueNotLoadedError))
    if define is not None:
        define()
        assert world.run(job, "get") == 7
    assert world.take() == []


@pytest.mark.parametrize("how", ["io", "run"])
@pytest.mark.parametrize("ended", [True, False], ids=["its output", "a task of it"])
def test_what_cannot_be_read_in_a_child_run_ends_both_passes(async_world, forgotten, how, ended):
    """It is no failed call of the parent's either."""
    world = async_world
    stop = [True]

    @world.client.job(id="child")
    async def child(payload, io):
        receipt = await io.run_task("charge", world.noting("charge", made(7)))
        if stop[0] and not ended:
            raise OSError("not yet")
        return receipt

    @world.client.job(id="parent")
    async def parent(_, io):
        try:
            got = await (io.invoke_and_wait("invoke", child) if how == "io" else child.run(run_id="c"))
            if stop[0]:
                raise OSError("not yet")
            return got.id
        except ValueNotLoadedError:
            await io.run_task("other means", world.noting("charged again"))

    assert str(world.fail(parent)) == "not yet"
    if how == "io" and ended:  # the child has ended, and a kill came before the parent's record of it
        with closing(sqlite3.connect(world.client.dir / "cache.db")) as db, db:
            db.execute("DELETE FROM Cache WHERE key LIKE '%/invoke'")
    stop[0] = False
    define = forgotten()
    assert type(world.fail(parent)) is ValueNotLoadedError
    assert world.last(parent).status == RunStatus.INTERRUPTED
    define()
    assert world.run(parent) == 7
    assert world.take() == ["charge"]


def test_one_damaged_run_breaks_no_list_and_no_other_run(world):
    """It is listed with what is legible, does not begin anew by itself, and can be deleted."""
    job = charging(world, 1)
    world.run(job, "one", run_id="one")
    world.run(job, "two", run_id="two")
    world.take()
    world.new_kernel()
    damage(world, "run/one", text_of(world, "one")[:-4])
    job = world.client.job(id="job")(job.fn)
    assert [run.id for run in world.client.runs()] == ["two", "one"]
    assert [run.id for run in job.runs()] == ["two", "one"]
    assert "damaged" in repr(world.client.runs())
    assert world.client.info().runs == 2
    assert world.run(job, "two", run_id="two") == 1
    error = world.fail(job, "one", run_id="one")
    assert type(error) is CorruptRecordError
    assert re.search(r"record of run 'one'.*'run/one'.*fresh=True", str(error))
    run = world.client.run("one")
    assert run.status == RunStatus.INTERRUPTED
    assert "charge" in run.tree()
    for operation in (run.cancel, run.resume, run.retry):
        with pytest.raises(CorruptRecordError):
            operation()
    world.client.prune(status="COMPLETED", keep_last=0)
    assert world.client.run("one").task("charge").output == 1
    run.delete()
    assert [run.id for run in world.client.runs()] == []
    assert world.take() == []


def test_a_damaged_task_breaks_no_tree_and_no_other_task(world):
    job = charging(world, {"id": 77})
    world.run(job)
    damage(world, "/charge", "[")
    run = world.last(again(world, job))
    assert "charge" in run.tree()
    task = run.task("charge")
    assert (task.status, task.duration) == (TaskStatus.COMPLETED, None)
    assert "damaged" in repr(task.output)
    assert [task.path for task in run.tasks] == ["charge"]


def test_an_event_starts_the_runs_that_can_be_started(async_world):
    from trigger_nb import event_trigger

    world = async_world

    def listening(name):
        @world.client.job(id=name, trigger=event_trigger("order"))
        async def job(payload, io):
            return await io.run_task("note", world.noting(name))

    listening("a")
    listening("b")

    async def send():
        event = await world.client.send_event("order", 1)
        return [await run for run in event.runs]

    asyncio.run(send())
    for run in world.client.runs():
        if run.job == "a":
            damage(world, "run/" + run.id)
        else:
            run.delete()
    with pytest.raises(CorruptRecordError):
        asyncio.run(send())

    async def settle():
        for run in world.client.runs():
            if run.job == "b":
                await run.resume() if run.status != RunStatus.COMPLETED else None

    asyncio.run(settle())
    assert world.take() == ["a", "b", "b"]


def test_a_payload_that_cannot_be_read(async_world, forgotten):
    world = async_world
    job = charging(world, 1)

    async def resume():
        return await world.last(job).resume()

    world.run(job, made(7))
    interrupted = dumps({**json.loads(text_of(world, world.last(job).id)), "status": "INTERRUPTED"})
    damage(world, "run/" + world.last(job).id, interrupted)
    define = forgotten()
    with pytest.raises(ValueNotLoadedError, match=r"payload of run .*Receipt"):
        asyncio.run(resume())
    define()
    assert asyncio.run(resume()) == 1
    assert world.take() == ["charge"]


def test_a_plan_says_what_cannot_be_read(world):
    job = charging(world, {"id": 77})
    world.run(job)
    damage(world, "/charge", "[")
    with pytest.raises(CorruptRecordError, match="record of task 'charge'"):
        job.plan()
    assert world.take() == ["charge"]


def test_records_that_nobody_wrote_are_refused():
    """A name that is damaged would leave its field at a default, which is wrong."""
    for text in (
        '{"stbtus":"PENDING"}',
        '{"status":5}',
        '{"ended":"1"}',
        '{"value":1',
        "",
        "[]",
        '{"forced":1}',
    ):
        with pytest.raises(CorruptRecordError):
            TaskRecord.loads(text)
    assert TaskRecord.loads('{"ended_at":5,"value":[1]}').ended_at == 5
