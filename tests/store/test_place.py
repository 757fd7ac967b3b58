"""A store's folder that is renamed, moved away or removed while a kernel uses it, and who may read it."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import subprocess
import sys
import textwrap
import threading
import warnings
from contextlib import contextmanager
from pathlib import Path

import pytest

from trigger_nb import TriggerClient
from trigger_nb._store import value_files
from trigger_nb._store.disk import DiskStore
from trigger_nb._store.protocol import Row
from trigger_nb.errors import StoreError

ROOT = Path(__file__).parents[2]
posix = pytest.mark.skipif(os.name == "nt", reason="Windows moves no folder that is in use")

# A run of eight tasks, with a value file each. The fourth body waits until the test lets it go on.
SCRIPT = """
import asyncio, os, sys, time
from pathlib import Path
from trigger_nb import TriggerClient
client = TriggerClient("c", dir=sys.argv[1], display=False)
here = Path(sys.argv[2])

def body(n):
    with (here / "called").open("a") as file:
        file.write(f"{n} ")
    if n == 3 and not (here / "go on").exists():
        (here / "at the gate").touch()
        while not (here / "go on").exists():
            time.sleep(0.01)
    return str(n) * 50_000

@client.job
async def job(payload, io):
    return [len(await io.run_task(("t", n), body, n)) for n in range(8)]

for _ in range(int(sys.argv[3])):
    try:
        print(asyncio.run(job.run(1)))
    except Exception as error:
        print(type(error).__name__, error)
"""
OUTPUT = "[50000, 50000, 50000, 50000, 50000, 50000, 50000, 50000]"


@pytest.fixture
def notes(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "script.py").write_text(SCRIPT)
    return tmp_path / "notes"


def begin(notes, stores, times=1):
    """A process that has begun the run, with three tasks recorded and a fourth under way."""
    command = [sys.executable, str(notes.parent / "script.py"), str(stores), str(notes), str(times)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )  # fmt: skip
    while not (notes / "at the gate").exists():
        assert process.poll() is None, process.communicate()
    return process


def finish(process, notes):
    (notes / "go on").touch()
    out, err = process.communicate()
    return out.splitlines(), err


def again(notes, stores):
    """The run in a new process."""
    done = subprocess.run(
        [sys.executable, str(notes.parent / "script.py"), str(stores), str(notes), "1"],
        capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    return done.stdout.splitlines()


@contextmanager
def told(what):
    with pytest.warns(RuntimeWarning, match=what):
        yield


# Moved ----------------------------------------------------------------------------------------------


@posix
def test_a_run_goes_on_in_its_folder_when_that_is_renamed(tmp_path, notes):
    process = begin(notes, tmp_path / "before" / "stores")
    (tmp_path / "before").rename(tmp_path / "after")
    out, err = finish(process, notes)
    assert out == [OUTPUT]
    assert f"was moved to {tmp_path / 'after/stores/c'}" in err
    assert not (tmp_path / "before").exists()
    # All rows, and all value files, are where the folder is now.
    assert again(notes, tmp_path / "after" / "stores") == [OUTPUT]
    assert (notes / "called").read_text() == "0 1 2 3 4 5 6 7 "


@posix
def test_a_run_goes_on_in_its_folder_when_another_store_takes_its_place(tmp_path, notes):
    process = begin(notes, tmp_path / "stores")
    (tmp_path / "stores").rename(tmp_path / "moved")
    other = DiskStore(tmp_path / "stores" / "c")
    other.commit([Row("a", "t", "1")])
    out, _ = finish(process, notes)
    assert out == [OUTPUT]
    assert other.tally() == {"t": 1}
    assert not (tmp_path / "stores" / "c" / "values").exists()
    other.close()
    assert again(notes, tmp_path / "moved") == [OUTPUT]
    assert (notes / "called").read_text() == "0 1 2 3 4 5 6 7 "


@posix
def test_threads_that_come_after_the_move_use_the_moved_store(tmp_path):
    store = DiskStore(tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "b")

    def work():
        with warnings.catch_warnings(action="ignore"):
            store.commit([Row("k", "t", "1")])
            store.blobs("run").put(b"data")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert store.get("k") == "1"
    assert store.directory == tmp_path / "b"
    assert store.blobs("run").folder.is_relative_to(tmp_path / "b")
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    store.close()


@posix
def test_a_move_between_the_look_at_the_place_and_the_file_loses_no_value(tmp_path, monkeypatch):
    """A value file that is not where it was a moment ago would count as lost."""
    store = DiskStore(tmp_path / "a")
    files = store.blobs("run")
    name = files.put(b"data")
    places = iter("bc")

    def move_then(function):
        def moved(*args):
            monkeypatch.setattr(value_files, function.__name__, function)
            store.directory.rename(tmp_path / next(places))
            return function(*args)

        monkeypatch.setattr(value_files, function.__name__, moved)

    move_then(value_files.read_file)
    with told("was moved"):
        assert files.get(name) == b"data"
    move_then(value_files.create_file)
    with told("was moved"):
        other = files.put(b"other")
    assert files.get(other) == b"other"
    assert [path.name for path in tmp_path.iterdir()] == ["c"]
    store.close()


@posix
def test_the_journal_of_a_new_store_at_the_old_place_is_left_alone(tmp_path):
    """SQLite removes a database's journal by the path at which that was opened."""
    store = DiskStore(tmp_path / "a")
    store.commit([Row("k", "t", "moved")])
    (tmp_path / "a").rename(tmp_path / "b")
    other = DiskStore(tmp_path / "a")
    other.commit([Row("k", "t", "new")])
    with told("was moved"):
        store.commit([Row("l", "t", "moved")])
    store.close()
    assert (tmp_path / "a" / "cache.db-wal").stat().st_size
    other.close()
    for folder, rows in ((tmp_path / "a", 1), (tmp_path / "b", 2)):
        again = DiskStore(folder)
        assert len(again.select("t")) == rows
        again.close()


@posix
def test_a_client_at_the_new_place_has_the_jobs_and_runs_of_the_moved_store(tmp_path):
    """One kernel has one state of a store: two would drive one run twice."""
    client = TriggerClient("c", dir=tmp_path / "a", display=False)

    @client.job
    async def job(payload, io):
        return await io.run_task("t", lambda: 1)

    assert asyncio.run(job.run()) == 1
    (tmp_path / "a").rename(tmp_path / "b")
    moved = TriggerClient("c", dir=tmp_path / "b", display=False)
    assert moved.runtime is client.runtime
    with told("was moved"):
        assert len(moved.runs()) == 1
    assert client.dir == moved.dir == tmp_path / "b" / "c"
    # A store of its own at the old place is another one.
    (tmp_path / "a" / "c").mkdir(parents=True)
    DiskStore(tmp_path / "a" / "c").close()
    assert len(TriggerClient("c", dir=tmp_path / "a").runs()) == 0
    assert len(moved.runs()) == 1


# Removed --------------------------------------------------------------------------------------------


def test_a_run_whose_store_is_removed_ends_and_says_that_it_begins_anew(tmp_path, notes):
    process = begin(notes, tmp_path / "stores", times=2)
    shutil.rmtree(tmp_path / "stores")
    out, _ = finish(process, notes)
    assert len(out) == 2
    assert out[0].startswith("StoreError")
    assert "removed or replaced" in out[0]
    assert "done again" in out[0]
    assert out[1] == OUTPUT
    assert again(notes, tmp_path / "stores") == [OUTPUT]
    # The result of the body that ran when the store went was kept in memory, and is not repeated.
    assert (notes / "called").read_text() == "0 1 2 3 0 1 2 4 5 6 7 "


@pytest.mark.anyio
async def test_nothing_makes_a_new_store_below_a_run_that_is_under_way(tmp_path):
    client = TriggerClient("c", dir=tmp_path, display=False)
    at_the_gate, gate = asyncio.Event(), asyncio.Event()

    @client.job
    async def job(payload, io):
        await io.run_task("a", lambda: 1)
        at_the_gate.set()
        await gate.wait()
        return await io.run_task("b", lambda: 2)

    run = job.start()
    await at_the_gate.wait()
    shutil.rmtree(client.dir)
    for _ in range(2):
        with pytest.raises(StoreError, match="removed or replaced"):
            client.runs()
    gate.set()
    with pytest.raises(StoreError, match="removed or replaced"):
        await run
    assert not (tmp_path / "c").exists()
    assert await job.run() == 2


def test_a_store_that_was_removed_between_two_runs_is_made_anew_with_a_word(tmp_path):
    client = TriggerClient("c", dir=tmp_path, display=False)
    calls = []

    @client.job
    def job(payload, io):
        return io.run_task("a", calls.append, 1)

    job.run_sync()
    shutil.rmtree(client.dir)
    with told("removed or replaced"):
        job.run_sync()
    assert calls == [1, 1]


def test_no_empty_database_is_left_where_a_store_is_being_removed(tmp_path):
    """SQLite would make the file for a thread that comes after `rm` has removed it: the store was unusable then."""
    store = DiskStore(tmp_path / "a")
    for path in store.directory.iterdir():
        path.unlink()
    errors = []

    def work():
        try:
            store.commit([Row("k", "t", "1")])
        except StoreError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(errors) == 1
    assert not list(store.directory.iterdir())
    store.close()


def test_an_empty_database_is_no_database(tmp_path):
    """An older version left one where a store was removed."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "cache.db").touch()
    store = DiskStore(tmp_path / "a")
    store.commit([Row("k", "t", "1")])
    assert store.get("k") == "1"
    store.close()


def test_a_database_that_was_restored_is_used_with_a_word(tmp_path):
    store = DiskStore(tmp_path / "a")
    store.commit([Row("k", "t", "1")])
    store.close()
    shutil.copytree(tmp_path / "a", tmp_path / "backup")
    store.commit([Row("k", "t", "2")])
    shutil.rmtree(tmp_path / "a")
    (tmp_path / "backup").rename(tmp_path / "a")
    with told("removed or replaced"):
        assert store.get("k") == "1"
    store.close()


# Modes ----------------------------------------------------------------------------------------------


@posix
@pytest.mark.parametrize("umask", ["0", "0o277"])
def test_only_the_owner_can_read_what_is_written_whatever_the_umask(tmp_path, umask):
    code = f"""
        import os, sys
        os.umask({umask})
        from trigger_nb import TriggerClient
        client = TriggerClient("c", dir=sys.argv[1] + "/new/stores", display=False)

        @client.job
        def job(payload, io):
            return io.run_task("t", lambda: "x" * 50_000)

        job.run_sync()
        client.runs()[0].export_html(sys.argv[1] + "/page.html")
    """
    done = subprocess.run(
        [sys.executable, "-B", "-c", textwrap.dedent(code), str(tmp_path)], capture_output=True, text=True, cwd=ROOT
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    made = [*(tmp_path / "new").rglob("*"), tmp_path / "new", tmp_path / "page.html"]
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in made}
    assert {path.name for path in made} >= {"values", "cache.db", "run.lock", "page.html"}
    assert [path for path in made if modes[path] != (0o700 if path.is_dir() else 0o600)] == []


@posix
def test_a_page_that_is_written_again_keeps_its_permissions(tmp_path):
    client = TriggerClient("c", dir=tmp_path, display=False)

    @client.job
    def job(payload, io):
        return 1

    job.run_sync()
    page = client.runs()[0].export_html(tmp_path / "page.html")
    page.chmod(0o644)
    page.write_text("")
    client.runs()[0].export_html(page)
    assert page.read_text()
    assert stat.S_IMODE(page.stat().st_mode) == 0o644
