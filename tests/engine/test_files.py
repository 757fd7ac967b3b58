"""Issue 15, Files are values: a CSV edited, touched, replaced by an equal one, removed, with a new kernel between passes."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from tests.support.worlds import failure, reasons
from trigger_nb import File, Files
from trigger_nb._values import file_hashes
from trigger_nb.errors import FileLostError, UnreadableFileError, UsageError, ValueNotStoredError


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A working directory of its own."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def new_kernel(world):
    """No hash is in memory; the index in the store is."""
    world.new_kernel()
    hashes = file_hashes.hashes
    hashes._known.clear()
    hashes._indexes.clear()
    hashes._unread.clear()


def write(path, text):
    Path(path).write_text(text)
    return File(path)


def replace_by_an_equal_one(path):
    write("draft", Path(path).read_text())
    os.replace("draft", path)


def reading(world):
    """A body that notes and returns what is in a file."""

    def read(file):
        world.note(Path(file).read_text())
        return Path(file).read_text()

    return world.body(read)


def hints(run):
    return " ".join(run.tree().__str__().split())


# As an argument -----------------------------------------------------------------------------------


def loading(world, **options):
    @world.job
    def job(payload, io):
        return (yield io.run_task("load", reading(world), File("a.csv"), **options))

    return job


def test_an_edited_file_runs_the_task_again_and_an_equal_one_does_not(world):
    """Issue 15: "A CSV edited, touched, replaced by an equal one, removed: run again, not, not, a clear error"."""
    write("a.csv", "1")
    assert world.run(loading(world, on_change="only")) == "1"
    assert world.take() == ["1"]
    for change, called in [
        (lambda: write("a.csv", "2"), ["2"]),
        (lambda: os.utime("a.csv", (1, 1)), []),
        (lambda: replace_by_an_equal_one("a.csv"), []),
    ]:
        new_kernel(world)
        change()
        job = loading(world, on_change="only")
        assert world.run(job) == "2"
        assert world.take() == called
    new_kernel(world)
    os.remove("a.csv")
    job = loading(world, on_change="only")
    error = world.fail(job)
    assert type(error) is UnreadableFileError
    text = str(error)
    assert "task 'load', called at" in text
    assert f"there is no file {Path.cwd() / 'a.csv'}. Put the file there, then run the cell again." in text
    assert world.take() == []
    new_kernel(world)
    write("a.csv", "2")
    assert world.run(loading(world, on_change="only")) == "2"
    assert world.take() == [], "the result was kept"


def test_an_edited_file_is_a_changed_param_and_no_code_that_differs_each_time(world):
    """Where results are kept, the tree says what has changed, as for other params."""
    write("a.csv", "1")
    world.run(loading(world))
    write("a.csv", "2")
    new_kernel(world)
    job = loading(world)
    with pytest.warns(RuntimeWarning, match="load \\(params\\) has changed"):
        assert world.run(job) == "1"
    assert "changed: params" in hints(world.last(job))
    assert "not deterministic" not in hints(world.last(job))


def test_a_missing_file_is_a_mistake_that_code_cannot_swallow(world):
    """As other mistakes in the calling code: nothing is recorded that another pass would contradict."""

    @world.job
    def job(payload, io):
        try:
            yield io.run_task("load", reading(world), File("gone.csv"))
        except UsageError:
            yield io.run_task("without", world.noting("without"))

    assert type(world.fail(job)) is UnreadableFileError
    new_kernel(world)
    write("gone.csv", "1")

    @world.job(id="job")
    def job(payload, io):
        return (yield io.run_task("load", reading(world), File("gone.csv")))

    assert world.run(job) == "1"


def test_items_of_a_map_are_files_by_their_content(world):
    """Only what is new or edited runs; the plan says the same."""
    for name in "abc":
        write(f"{name}.csv", name)

    def mapping():
        @world.job
        def job(payload, io):
            return (yield io.map("load", Files("*.csv"), reading(world)))

        return job

    assert world.run(mapping()) == ["a", "b", "c"]
    assert sorted(world.take()) == ["a", "b", "c"]
    new_kernel(world)
    write("b.csv", "edited")
    write("d.csv", "new")
    os.utime("a.csv", (1, 1))
    job = mapping()
    plan = str(job.plan())
    assert "load/b.csv@" in plan
    assert "load/d.csv@" in plan
    assert "load/a.csv@" not in plan
    assert world.run(job) == ["a", "edited", "c", "new"]
    assert sorted(world.take()) == ["edited", "new"]
    assert "b.csv, 6 B" in hints(world.last(job))
    new_kernel(world)

    @world.job(id="job")
    def job(payload, io):
        yield io.map("load", [File("a.csv"), File("gone.csv")], reading(world))

    error = world.fail(job)
    assert type(error) is UnreadableFileError
    assert "item 1 of map 'load' has a File, which counts by its content: there is no file" in str(error)


def test_a_payload_is_a_file_by_its_content(world):
    def job():
        @world.job
        def job(payload, io):
            return (yield io.run_task("load", reading(world), payload["file"]))

        return job

    write("a.csv", "1")
    assert world.run(job(), {"file": File("a.csv")}) == "1"
    new_kernel(world)
    os.utime("a.csv", (1, 1))
    replace_by_an_equal_one("a.csv")
    assert world.run(job(), {"file": File("a.csv")}) == "1"
    write("a.csv", "2")
    assert world.run(job(), {"file": File("a.csv")}) == "2"
    assert world.take() == ["1", "2"]
    assert len(job().runs()) == 2
    error = world.fail(job(), {"file": File("gone.csv")})
    assert type(error) is UnreadableFileError
    assert "the payload of job 'job' has a File, which counts by its content: there is no file" in str(error)


def test_a_run_whose_payload_was_altered_says_so_and_goes_on_when_it_is_back(async_world):
    """The run was started with that content, so it goes on with no other."""
    world = async_world
    write("a.csv", "1")
    fail = world.failing("body", ValueError("no"), None)

    @world.job
    def job(payload, io):
        return (yield io.run_task("body", fail))

    world.fail(job, File("a.csv"))

    write("a.csv", "22")
    new_kernel(world)
    job = world.again(job)
    error = asyncio.run(failure(retry_of(world, job)))
    assert type(error) is FileLostError
    text = str(error)
    assert "the payload of this run has a File, and the file a.csv (" in text
    assert "was altered: its size was 1 bytes, and is 2 now" in text
    assert "Put the file back as it was, or start a run with the file as it is now" in text
    write("a.csv", "1")
    assert asyncio.run(retry_of(world, job)) == "body"


async def retry_of(world, job):
    return await world.last(job).retry()


def test_a_part_of_a_key_is_a_file_by_its_content(world):
    """So an edited file is another task, whatever `on_change` says."""

    def job():
        @world.job
        def job(payload, io):
            first = yield io.run_task(("load", File("a.csv")), reading(world), File("a.csv"))
            yield io.run_task(File("a.csv"), world.noting("alone"))
            return first

        return job

    write("a.csv", "1")
    assert world.run(job()) == "1"
    new_kernel(world)
    os.utime("a.csv", (1, 1))
    assert world.run(job()) == "1"
    write("a.csv", "2")
    assert world.run(job()) == "2"
    assert world.take() == ["1", "alone", "2", "alone"]
    assert "load · a.csv@" in hints(world.last(job()))
    os.remove("a.csv")
    assert type(world.fail(job())) is UnreadableFileError


def test_other_things_than_files_are_no_parts_of_keys_as_before(world):
    @world.job
    def job(payload, io):
        yield io.run_task(("load", Path("a.csv")), world.noting("body"))

    assert "dates, UUIDs, enums and files" in str(world.fail(job))


def test_a_large_file_is_read_off_the_event_loop(async_world, monkeypatch):
    world, threads = async_world, []
    read = file_hashes._read
    monkeypatch.setattr(file_hashes, "LARGE", 2)
    monkeypatch.setattr(
        file_hashes, "_read", lambda path: threads.append(threading.get_ident()) or read(path)
    )
    file = write("a.csv", "123")

    @world.job
    def job(payload, io):
        yield io.run_task("load", reading(world), file, params=[file, payload])
        yield io.map("each", [file], reading(world), concurrency=3)

    for payload in (1, 1, 2):
        world.run(job, payload)
        new_kernel(world)
        job = world.again(job)
    assert world.take() == ["123"] * 4
    assert str(job.plan(2)).count("then completes") == 1
    assert threads
    assert threading.get_ident() not in threads


# As a result --------------------------------------------------------------------------------------


def exporting(world, use, **options):
    def export():
        world.note("export")
        return {"rows": 1, "file": write("out.csv", "1")}

    @world.job
    def job(payload, io):
        out = yield io.run_task("export", world.body(export), **options)
        return use(out)

    return job


def content(out):
    return Path(out["file"]).read_text()


CHANGES = [
    (lambda: os.remove("out.csv"), "is gone"),
    (lambda: write("out.csv", "2"), "was altered: it has the same size, and another content"),
    (lambda: write("out.csv", "123"), "was altered: its size was 1 bytes, and is 3 now"),
]


@pytest.mark.parametrize(("change", "what"), CHANGES)
def test_a_file_that_is_gone_or_altered_is_a_lost_value(world, change, what):
    """The message says which file, what happened, and what to do."""
    world.run(exporting(world, content))
    change()
    new_kernel(world)
    job = exporting(world, content)
    error = world.fail(job)
    assert type(error) is ValueNotStoredError
    path = Path.cwd() / "out.csv"
    text = f"the result of 'export' is a lost value: the file out.csv ({path}) {what}. The task is completed"
    assert text in str(error)
    assert "Put the file back as it was, or write it again: run.rerun_from('export')" in str(error)
    assert text.replace(" ", "") in hints(world.last(job)).replace(" ", "")
    assert world.take() == ["export"]
    new_kernel(world)
    write("out.csv", "1")
    assert world.run(exporting(world, content)) == "1"
    assert world.take() == [], "it is back, so nothing runs"


@pytest.mark.parametrize(("change", "what"), CHANGES)
def test_a_repeatable_task_writes_its_lost_file_again(world, change, what):
    world.run(exporting(world, content, repeatable=True))
    change()
    new_kernel(world)
    job = exporting(world, content, repeatable=True)
    assert world.run(job) == "1"
    assert world.take() == ["export", "export"]
    assert reasons(world.last(job)) == {"export": "lost value"}
    new_kernel(world)
    assert world.run(exporting(world, content, repeatable=True)) == "1"
    assert world.take() == []


def test_a_touched_or_equal_file_is_not_lost(world):
    world.run(exporting(world, content))
    for change in (lambda: os.utime("out.csv", (1, 1)), lambda: replace_by_an_equal_one("out.csv")):
        change()
        new_kernel(world)
        assert world.run(exporting(world, content)) == "1"
    assert world.take() == ["export"]


def test_tasks_after_a_lost_file_are_replayed_while_nothing_needs_it(world):
    """An intermediate file may be deleted: what was made of it is there."""

    def job():
        @world.job
        def job(payload, io):
            out = yield io.run_task("export", world.body(lambda: write("out.csv", "1")))
            return (yield io.run_task("load", reading(world), out, on_change="only"))

        return job

    assert world.run(job()) == "1"
    os.remove("out.csv")
    new_kernel(world)
    assert world.run(job()) == "1"
    assert world.take() == ["1"]


def test_a_run_that_returns_a_lost_file_names_its_task(world):
    world.run(exporting(world, lambda out: out))
    os.remove("out.csv")
    new_kernel(world)
    job = exporting(world, lambda out: [out])
    lost = world.run(job)
    assert "it is of the result of task 'export'" in repr(lost)
    error = failure_of(lambda: len(lost))
    assert type(error) is ValueNotStoredError
    assert "it is of the result of task 'export'. The task" in str(error)
    assert "a lost value at $[0]: the file out.csv" in hints(world.last(job))
    new_kernel(world)
    assert (
        type(failure_of(lambda: world.last(exporting(world, content)).task("export").output)) is FileLostError
    )


def failure_of(call):
    try:
        return call()
    except Exception as error:
        return error


def test_a_file_that_the_body_did_not_write_is_no_result(world):
    """As any other value that cannot be stored (S4): the task is done, and says so."""

    @world.job
    def job(payload, io):
        return str((yield io.run_task("export", world.body(lambda: File("out.csv")))))

    with pytest.warns(RuntimeWarning, match=r"there is no file .*out\.csv; write it before the task returns"):
        world.run(job)


def test_the_file_of_a_new_result_is_read_once(world, monkeypatch):
    read, paths = file_hashes._read, []
    monkeypatch.setattr(file_hashes, "_read", lambda path: paths.append(path) or read(path))
    world.run(exporting(world, lambda out: None))
    assert len(paths) == 1


def test_a_large_file_of_a_result_is_checked_off_the_event_loop(async_world, monkeypatch):
    """A new kernel, in which no hash of it is known."""
    world, threads = async_world, []
    read = file_hashes._read
    monkeypatch.setattr(file_hashes, "LARGE", 1)
    world.run(exporting(world, content))
    monkeypatch.setattr(
        file_hashes, "_read", lambda path: threads.append(threading.get_ident()) or read(path)
    )
    new_kernel(world)
    job = exporting(world, content)
    assert "then completes" in str(job.plan())
    assert world.run(job) == "1"
    assert len(threads) == 2
    assert threading.get_ident() not in threads
    write("out.csv", "2")
    new_kernel(world)
    job = exporting(world, content, repeatable=True)
    assert "export" in str(job.plan())
    assert world.run(job) == "1"
    assert world.take() == ["export", "export"]


def test_a_file_that_is_edited_while_the_body_runs_is_a_changed_param(world):
    """What the body has read is not known, so the safe side: the content counts from before it began."""

    def job():
        @world.job(on_change="only")
        def job(payload, io):
            return (yield io.run_task("load", world.body(load), File("a.csv")))

        return job

    def load(file):
        world.note("load")
        if Path(file).read_text() == "1":
            write("a.csv", "2")
        return Path(file).read_text()

    write("a.csv", "1")
    world.run(job())
    for calls in (["load", "load"], ["load", "load"]):
        new_kernel(world)
        assert world.run(job()) == "2"
        assert world.calls == calls


def doubled(file):
    os.chdir("/")
    out = Path(f"{os.fspath(file)}.out")
    out.write_text(Path(file).read_text() * 2)
    return File(out)


def test_a_process_pool_gets_the_path_and_gives_one_back(async_world):
    world = async_world
    write("a.csv", "1")
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:

        @world.job
        def job(payload, io):
            return (yield io.run_task("double", doubled, File("a.csv"), executor=pool))

        out = world.run(job)
    assert Path(out).read_text() == "11"
    os.remove(out)
    new_kernel(world)
    error = failure_of(lambda: str(world.run(world.again(job))))
    assert "is gone; it is of the result of task 'double'" in str(error)


# A plain path -------------------------------------------------------------------------------------


def test_a_plain_path_of_a_file_gets_a_hint_once(world):
    write("a.csv", "1")
    write("b.csv", "1")

    def job():
        @world.job
        def job(payload, io):
            yield io.run_task("one", world.noting("body"), Path("a.csv"))
            yield io.run_task("two", world.noting("body"), 1, params={"from": Path("b.csv")})
            yield io.map("all", Path().glob("*.csv"), world.noting("body"))

        return job

    world.run(job())
    shown = hints(world.last(job()))
    assert "Task 'one', called at" in shown
    assert "pass trigger_nb.File('a.csv'), which counts by its content" in shown
    assert shown.count("trigger_nb.File(") == 1
    new_kernel(world)
    world.run(job())
    assert "trigger_nb.File(" not in hints(world.last(job())), "a replay says nothing new"


def test_a_path_of_no_file_gets_no_hint(world):
    """It is where the task will write, or a folder, or a File already."""
    write("a.csv", "1")

    @world.job
    def job(payload, io):
        yield io.run_task("out", world.noting("body"), Path("out.csv"))
        yield io.run_task("folder", world.noting("body"), Path("."))
        yield io.run_task("text", world.noting("body"), "a.csv")
        yield io.run_task("file", world.noting("body"), File("a.csv"))

    world.run(job)
    assert "trigger_nb.File(" not in hints(world.last(job))
