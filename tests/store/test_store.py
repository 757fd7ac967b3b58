"""The disk store, its value files and the shared commit: rules S1, S2, S5, C5, C6, A9 and R3."""

from __future__ import annotations

import contextlib
import itertools
import os
import pickle
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path

import diskcache
import pytest
from hypothesis import given, strategies as st

from trigger_nb._records.base import damaged
from trigger_nb._store import crashpoints as crashpoints_module
from trigger_nb._store.create import FORMAT
from trigger_nb._store.disk import DiskStore
from trigger_nb._store.group_commit import GroupCommit
from trigger_nb._store.protocol import Changes, Row
from trigger_nb._store.sorted_keys import BETWEEN
from trigger_nb.errors import CorruptRecordError, PickleRefusedError, StoreBusyError, StoreError


@pytest.fixture
def store(tmp_path):
    store = DiskStore(tmp_path / "store")
    yield store
    store.close()


@pytest.fixture(autouse=True)
def _nothing_armed():
    yield
    crashpoints_module.disarm()


@contextlib.contextmanager
def raw(store):
    """A connection of somebody else to the same database."""
    with contextlib.closing(sqlite3.connect(store.directory / "cache.db", isolation_level=None)) as sql:
        yield sql


@contextlib.contextmanager
def locked(store):
    """Somebody else's transaction, that does not end."""
    with raw(store) as sql:
        sql.execute("BEGIN IMMEDIATE")
        yield
        sql.execute("ROLLBACK")


def run_python(code, *args, check=True):
    """A process of its own; an error in it is an error here."""
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", textwrap.dedent(code), *map(str, args)],
        capture_output=True, text=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    if check:
        assert done.returncode == 0, done.stderr
    return done


# Rows


def test_rows_are_found_by_key_and_by_tag(store):
    store.commit([Row("r/1/a", "r/1", "A"), Row("r/1/b", "r/1", "B"), Row("r/2/a", "r/2", "C")])
    assert store.get("r/1/a") == "A"
    assert store.get("missing") is None
    assert store.select("r/1") == [("r/1/a", "A"), ("r/1/b", "B")]
    assert store.select("nothing") == []


def test_the_order_is_that_of_the_first_writing(store):
    """S1: replacing a row moves it nowhere."""
    for n in range(5):
        store.commit([Row(f"run/{n}", "run", "old")])
    store.commit([Row("run/0", "run", "new")])
    assert [key for key, _ in store.select("run")] == [f"run/{n}" for n in range(5)]
    assert store.page("run", limit=2) == [("run/4", "old"), ("run/3", "old")]
    assert store.page("run", limit=9, offset=3) == [("run/1", "old"), ("run/0", "new")]


def test_rows_are_found_between_two_keys_by_the_index(store):
    """Architecture: one query on the index of keys, in their order; no other row is read."""
    store.commit([Row(f"due/{number:03d}", "due", f'{{"n":{number}}}') for number in (7, 3, 40)])
    store.commit([Row("duf/1", "due", "{}"), Row("dud", "due", "{}")])
    assert [key for key, _ in store.between("due/", "due0")] == ["due/003", "due/007", "due/040"]
    assert [key for key, _ in store.between("due/004", "due0", 1)] == ["due/007"]
    with raw(store) as sql:
        query = f"EXPLAIN QUERY PLAN {BETWEEN}"
        (plan,) = [row[3] for row in sql.execute(query, ("a", "b", 1))]
    assert "USING INDEX Cache_key_raw (key>? AND key<?)" in plan


def test_a_change_reads_and_writes_in_one_transaction(store, tmp_path):
    """S1: nobody else writes between the look and the change; an error changes nothing."""
    store.commit([Row("a", "t", "1"), Row("b", "t", "2")])
    other = DiskStore(store.directory)

    def decide():
        assert store.get("a") == "1"
        with pytest.raises(StoreBusyError):
            other.commit([Row("a", "t", "3")], patience=0)
        return Changes([Row("c", "t", "4")], ["b"])

    store.change(decide)
    assert [key for key, _ in store.select("t")] == ["a", "c"]
    store.change(lambda: None)

    def fail():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.change(fail)
    other.commit([Row("a", "t", "3")])
    assert store.get("a") == "3"
    other.close()


def test_what_is_deleted_is_gone_and_the_rest_is_not(store):
    store.commit(
        [Row(key, tag, "x") for key, tag in [("1/a", "1"), ("1/b", "1"), ("2/a", "2"), ("3/a", "3")]]
    )
    store.delete(keys=["1/a", "missing"], tags=["2"])
    assert [store.get(key) for key in ("1/a", "1/b", "2/a", "3/a")] == [None, "x", None, "x"]


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_comes_back_as_it_was(store, key, text):
    """S1: the key and the text of a row, NUL and emoji included."""
    store.commit([Row(key, "tag", text)])
    assert store.get(key) == text
    assert (key, text) in store.select("tag")


numbers = itertools.count()  # rows of their own for each example


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 5)), max_size=12), st.data())
def test_the_fence(store, writes, data):
    """C5: a row never replaces one of a higher rank, nor a final one (an odd rank) of its own."""
    model, tag = {}, f"{next(numbers)}"
    rest = [Row(tag + key, tag, f"{n}", rank) for n, (key, rank) in enumerate(writes)]
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        batch, rest = rest[:size], rest[size:]
        refused = store.commit(batch)
        for row in batch:
            held = model.get(row.key)
            if held and (row.rank < held.rank or (row.rank == held.rank and row.rank % 2)):
                assert row in refused
            else:
                assert row not in refused
                model[row.key] = row
    assert dict(store.select(tag)) == {key: row.text for key, row in model.items()}


def test_a_transaction_is_whole_or_not_at_all(store):
    crashpoints_module.arm("commit:within", _raise_interrupt)
    with pytest.raises(KeyboardInterrupt):
        store.commit([Row("a", "t", "1"), Row("b", "t", "2")])
    assert store.select("t") == []
    store.commit([Row("c", "t", "3"), Row("d", "t", "4")])
    assert len(store.select("t")) == 2


def _raise_interrupt():
    raise KeyboardInterrupt


def test_diskcache_may_write_to_it_and_forgets_nothing(store):
    """S1: the defaults that lose data are off."""
    store.commit([Row(f"k{n}", "t", "x" * 1000) for n in range(100)])
    with diskcache.Cache(str(store.directory)) as cache:
        assert (cache.eviction_policy, cache.cull_limit, cache.statistics) == ("none", 0, 0)
        assert cache.size_limit > 2**60
        assert cache.get("k7") == "x" * 1000
        cache.set("by-hand", "y", tag="t")
    assert len(store.select("t")) == 101
    assert not store.commit([Row("k7", "t", "z")])
    assert store.get("k7") == "z"


def contents(store):
    """All that diskcache's table holds."""
    with raw(store) as sql:
        return sql.execute("SELECT * FROM Cache ORDER BY rowid").fetchall()


def test_a_plain_diskcache_lists_the_keys_and_changes_no_row(store):
    """Opened with diskcache's defaults, by which it evicts: the store's own settings win."""
    rows = [Row(f"run/{n}", "t", "x" * 1000, 1) for n in range(200)]
    store.commit(rows)
    before = contents(store)
    with diskcache.Cache(str(store.directory)) as cache:
        assert list(cache) == [row.key for row in rows]
        assert list(cache.iterkeys()) == sorted(row.key for row in rows)
        assert cache["run/7"] == "x" * 1000
        assert cache.expire() == cache.cull() == 0
    assert contents(store) == before
    again = DiskStore(store.directory)
    assert again.commit([Row("run/7", "t", "late", 1), Row("run/new", "t", "x")]) == {
        Row("run/7", "t", "late", 1)
    }
    assert len(again.select("t")) == 201
    again.close()


def test_the_tables_are_those_of_the_installed_diskcache(store, tmp_path):
    """Less the index and the counters that every commit would have to write."""

    def schema(directory):
        with contextlib.closing(sqlite3.connect(directory / "cache.db")) as sql:
            return dict(sql.execute("SELECT name, sql FROM sqlite_master").fetchall())

    diskcache.Cache(str(tmp_path / "theirs"), eviction_policy="none", tag_index=1).close()
    theirs = schema(tmp_path / "theirs")
    assert schema(store.directory) == {
        name: theirs[name] for name in theirs if name in schema(store.directory)
    }
    left_out = theirs.keys() - schema(store.directory).keys()
    assert {"Cache_expire_time"} < left_out
    assert {name.rpartition("_")[0] for name in left_out - {"Cache_expire_time"}} == {
        "Settings_count", "Settings_size",
    }  # fmt: skip


# The directory


def test_the_directory_is_private_and_ignored_by_git(store):
    """S1"""
    if os.name == "posix":
        assert stat.S_IMODE(store.directory.stat().st_mode) == 0o700
    assert (store.directory / ".gitignore").read_text() == "*\n"
    assert {path.name for path in store.directory.iterdir()} <= {
        ".gitignore", "cache.db", "cache.db-wal", "cache.db-shm",
    }  # fmt: skip


def test_the_path_is_fixed_at_creation(tmp_path, monkeypatch):
    """S1: `os.chdir` in the notebook does not move the store."""
    monkeypatch.chdir(tmp_path)
    store = DiskStore("here")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    thread = threading.Thread(target=store.commit, args=([Row("a", "t", "1")],))
    thread.start()
    thread.join()
    assert store.directory == tmp_path / "here"
    assert store.get("a") == "1"
    assert not list((tmp_path / "other").iterdir())
    store.close()


def test_an_opened_store_is_the_same_one(store):
    store.commit([Row("a", "t", "1", 3)])
    again = DiskStore(store.directory)
    assert again.get("a") == "1"
    assert again.commit([Row("a", "t", "2", 2)])
    again.close()


def test_many_processes_may_create_it_at_once(tmp_path):
    """S1: creation is one step, whoever does the same."""
    code = """
        import sys
        from trigger_nb._store.disk import DiskStore
        from trigger_nb._store.protocol import Changes, Row
        print("ready", flush=True)
        sys.stdin.readline()
        store = DiskStore(sys.argv[1])
        store.commit([Row(sys.argv[2], "t", "x")], patience=30)
        store.close()
    """
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "deep/store"), str(n)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
        )
        for n in range(4)
    ]  # fmt: skip
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    store = DiskStore(tmp_path / "deep/store")
    assert sorted(key for key, _ in store.select("t")) == ["0", "1", "2", "3"]
    assert not list(store.directory.glob(".new-*"))
    store.close()


def test_a_store_of_a_newer_version_is_refused(store):
    """S7"""
    with raw(store) as sql:
        sql.execute("UPDATE Settings SET value = ? WHERE key = 'trigger_nb_format'", (FORMAT + 1,))
    with pytest.raises(StoreError, match=r"newer version.*format 3.*Upgrade"):
        DiskStore(store.directory)


def test_somebody_elses_cache_is_left_alone(tmp_path):
    with diskcache.Cache(str(tmp_path / "theirs")) as cache:
        cache.set("a", {"not": "ours"})
    with pytest.raises(StoreError, match="another program"):
        DiskStore(tmp_path / "theirs")
    with diskcache.Cache(str(tmp_path / "theirs")) as cache:
        assert cache["a"] == {"not": "ours"}
        assert cache.eviction_policy == "least-recently-stored"


def test_a_store_deleted_while_in_use_is_noticed(store):
    """A9: SQLite would go on writing into a deleted file, and say nothing."""
    store.commit([Row("a", "t", "1")])
    for path in store.directory.iterdir():
        path.unlink()
    with pytest.raises(StoreError, match="removed or replaced"):
        store.commit([Row("b", "t", "2")])
    assert store.select("t") == []  # as a new pass begins: with the store as it is now
    store.commit([Row("b", "t", "2")])
    again = DiskStore(store.directory)
    assert again.select("t") == [("b", "2")]
    again.close()


def test_a_lost_database_is_not_mixed_up_with_its_journal(store):
    store.commit([Row("a", "t", "1")])
    (store.directory / "cache.db").unlink()
    with pytest.raises(StoreError, match=r"cache\.db is missing"):
        DiskStore(store.directory)


# Pickles


class _Harmful:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (Path(self.path),))


@pytest.fixture
def harm(tmp_path):
    """A pickle that leaves a trace when it is loaded, and the trace."""
    trace = tmp_path / "loaded"
    data = pickle.dumps(_Harmful(trace))
    pickle.loads(data)  # noqa: S301
    assert trace.exists()  # It would.
    trace.unlink()
    return data, trace


PLANT = "INSERT INTO Cache(key, raw, tag, mode, value, filename) VALUES (?, ?, ?, ?, ?, ?)"


def test_a_planted_pickle_is_refused_unread(store, harm):
    """S2: in the value, in the key, in a file, whichever way one comes to it."""
    data, trace = harm
    (store.directory / "evil.val").write_bytes(data)
    with raw(store) as sql:
        sql.execute(PLANT, ("a", 1, "value", 4, data, None))
        sql.execute(PLANT, (data, 0, "key", 1, "text", None))
        sql.execute(PLANT, ("c", 1, "file", 4, None, "evil.val"))
    store.commit([Row("good", "value", "x")])
    for look in (
        lambda: store.get("a"),
        lambda: store.read_run("value"),
        lambda: store.read_run("key"),
        lambda: store.get("c"),
        lambda: store.read_run("file"),
    ):
        with pytest.raises(PickleRefusedError, match="was not read"):
            look()
    for tag in ("value", "key", "file"):  # a list has a damaged row in its place
        for rows in (store.select(tag), store.page(tag, 10)):
            assert sum("damaged" in text for _, text in rows) == 1
    assert store.get("good") == "x"
    DiskStore(store.directory).close()  # Opening reads none either.
    assert not trace.exists()
    store.delete(tags=["value", "key", "file"])
    assert store.select("value") == []


def test_planted_settings_change_nothing(store, harm):
    """S2: the settings in the database are not believed."""
    data, trace = harm
    with raw(store) as sql:
        sql.execute("UPDATE Settings SET value = 'least-recently-stored' WHERE key = 'eviction_policy'")
        sql.execute("UPDATE Settings SET value = 0 WHERE key IN ('size_limit', 'sqlite_synchronous')")
        sql.execute("INSERT INTO Settings VALUES ('connection', ?)", (data,))
        sql.execute("INSERT INTO Settings VALUES ('sqlite_query_only', 1)")
    again = DiskStore(store.directory)
    again.commit([Row(f"k{n}", "t", "x") for n in range(100)])
    assert len(again.select("t")) == 100
    with again._database.use() as sql:
        assert sql.execute("PRAGMA synchronous").fetchall() == [(1,)]
    again.close()
    assert not trace.exists()


def test_a_row_that_is_not_text_is_never_a_value(store):
    with raw(store) as sql:
        sql.execute(PLANT, ("a", 1, "t", 1, b"\x00bytes", None))
        sql.execute(PLANT, ("b", 1, "u", 3, None, "../../etc/passwd"))
    for key, tag in (("a", "t"), ("b", "u")):
        with pytest.raises(CorruptRecordError, match="not text"):
            store.get(key)
        with pytest.raises(CorruptRecordError, match="not text"):
            store.read_run(tag)
        assert store.select(tag) == [(key, damaged(""))]


def test_a_store_is_not_pickled(store):
    """C6"""
    with pytest.raises(TypeError, match="open it by its directory"):
        pickle.dumps(store)


# Trouble


def test_a_locked_database_is_busy_soon_and_not_after_a_minute(store):
    """S1: never diskcache's timeout."""
    with locked(store):
        began = time.monotonic()
        for call in (
            lambda: store.commit([Row("a", "t", "1")]),
            lambda: store.commit([Row("a", "t", "1"), Row("b", "t", "1")]),
            lambda: store.delete(keys=["a"]),
            lambda: store.commit([Row("a", "t", "1")], patience=0.2),
        ):
            with pytest.raises(StoreBusyError, match="another process's transaction"):
                call()
        assert time.monotonic() - began < 60  # which is diskcache's timeout, for each of the four
        assert store.get("a") is None  # Reading goes on.
        again = DiskStore(store.directory)  # So does opening.
        again.close()
    assert not store.commit([Row("a", "t", "1")])


def test_patience_outlasts_a_short_transaction(store):
    release = threading.Event()
    held = threading.Event()

    def hold():
        with locked(store):
            held.set()
            release.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    with pytest.raises(StoreBusyError):
        store.commit([Row("a", "t", "1")])
    timer = threading.Timer(0.2, release.set)
    timer.start()
    store.commit([Row("a", "t", "1")], patience=60)
    assert store.get("a") == "1"
    thread.join()


def test_a_full_disk_loses_nothing_that_was_committed(store):
    """A9, S6"""
    store.commit([Row("old", "t", "kept")])
    with store._database.use() as sql:
        ((pages,),) = sql.execute("PRAGMA page_count").fetchall()
        sql.execute(f"PRAGMA max_page_count = {pages}")
    rows = [Row(f"k{n}", "t", "x" * 3000) for n in range(9)]
    for call in (lambda: store.commit(rows), lambda: [store.commit([row]) for row in rows]):
        with pytest.raises(StoreError, match=r"full.*Free some space") as caught:
            call()
        assert not isinstance(caught.value, StoreBusyError)
    assert store.get("old") == "kept"
    sql.execute("PRAGMA max_page_count = 1000000")
    assert not store.commit(rows)
    assert len(store.select("t")) == 10


def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path):
    """S6"""
    (tmp_path / "cache.db").write_bytes(b"certainly not a database " * 100)
    with pytest.raises(StoreError, match=r"not a database.*move the directory away") as caught:
        DiskStore(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert (tmp_path / "cache.db").read_bytes().startswith(b"certainly")


def test_a_directory_that_cannot_be_one(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="TRIGGER_NB_DIR"):
        DiskStore(tmp_path / "file" / "store")
    with pytest.raises(StoreError, match="TRIGGER_NB_DIR"):
        DiskStore(tmp_path / "file")


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
def test_a_read_only_directory_says_so():
    """S6: a new store, one that is there, and its value files."""
    code = """
        import os, sys
        from trigger_nb._store.disk import DiskStore
        from trigger_nb._store.protocol import Changes, Row
        from trigger_nb.errors import StoreError
        store = DiskStore("made")
        store.commit([Row("a", "t", "1")])
        store.close()
        for name in os.listdir("made"):
            os.chmod(f"made/{name}", 0o444)
        os.mkdir("empty")
        os.chmod("made", 0o555)
        os.chmod("empty", 0o555)
        if os.geteuid() == 0:
            os.setuid(65534)  # Root may write everywhere.
        def use(directory):
            store = DiskStore(directory)
            try:
                store.commit([Row("b", "t", "1")])
            finally:
                store.close()
        for call in (
            lambda: use("made"),
            lambda: use("empty"),
            lambda: use("empty/new"),
            lambda: __import__("trigger_nb._store.value_files")._store.value_files.ValueFiles(
                lambda: __import__("pathlib").Path("made/values"), "run").put(b"data"),
        ):
            try:
                call()
            except StoreError as error:
                print(str(error).replace("\\n", " "))
            else:
                sys.exit("nothing was raised")
    """
    root = Path(__file__).parents[2]
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o777)
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)], cwd=directory, capture_output=True, text=True,
            env={**os.environ, "PYTHONPATH": str(root)},
        )  # fmt: skip
        for path in Path(directory).iterdir():
            path.chmod(0o755)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    places = ["/made ", "/empty ", "/empty/new ", "made/values"]
    assert all("writ" in line and place in line for line, place in zip(lines, places, strict=True)), (
        done.stdout
    )


# Threads, forks, the end


def test_each_thread_has_a_connection_and_dead_threads_none(store):
    """C6"""
    barrier = threading.Barrier(8)

    def work(n):
        store.commit([Row(f"{n}", "t", "x")], patience=60)
        barrier.wait()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.select("t")) == 8
    last = threading.Thread(target=store.get, args=("0",))
    last.start()
    last.join()
    assert len(store._database._connections) == 2  # this thread's and the last one's


def test_closing_from_another_thread_and_going_on(store):
    store.commit([Row("a", "t", "1")])
    thread = threading.Thread(target=store.close)
    thread.start()
    thread.join()
    assert store._database._connections == []
    assert store.get("a") == "1"


def test_nothing_is_left_open(tmp_path):
    """No ResourceWarning, with `close` and without it, and no journal is left behind."""
    done = run_python(
        """
        import sys, gc
        from trigger_nb._store.disk import DiskStore
        from trigger_nb._store.protocol import Changes, Row
        DiskStore(sys.argv[1]).commit([Row("a", "t", "1")])
        gc.collect()
        store = DiskStore(sys.argv[1])
        store.commit([Row("b", "t", "1")])
        """,
        tmp_path / "store",
    )
    assert done.stderr == ""
    assert not (tmp_path / "store/cache.db-wal").exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_uses_connections_of_its_own(tmp_path):
    """C6: the store checks its pid after a fork, in the thread that forked and in those that did not."""
    run_python(
        """
        import os, sys, threading
        from trigger_nb._store.disk import DiskStore
        from trigger_nb._store.protocol import Changes, Row
        store = DiskStore(sys.argv[1])
        store.commit([Row("parent", "t", "1")])
        opened, end = threading.Event(), threading.Event()
        thread = threading.Thread(target=lambda: (store.get("parent"), opened.set(), end.wait()))
        thread.start()
        opened.wait()
        inherited = store._database._connection()
        child = os.fork()
        if not child:
            code = 1
            try:
                assert store._database._connection() is not inherited
                for n in range(200):
                    store.commit([Row(f"child/{n}", "t", "1")], patience=30)
                store.close()
                inherited.sql.total_changes  # Not closed: SQLite forbids it to a child.
                code = 0
            finally:
                os._exit(code)
        for n in range(200):
            store.commit([Row(f"parent/{n}", "t", "1")], patience=30)
        assert os.waitpid(child, 0)[1] == 0
        assert len(store.select("t")) == 401
        end.set()
        thread.join()
        store.close()
        """,
        tmp_path / "store",
    )


# Kill


CRASH = """
    import sys
    from trigger_nb._store import crashpoints
    from trigger_nb._store.disk import DiskStore
    from trigger_nb._store.protocol import Changes, Row
    store = DiskStore(sys.argv[1])
    blobs = store.blobs("run")
    crashpoints.arm()
    for n in range(5):
        name = blobs.put(b"%d" % n * 1000)
        store.commit([Row(f"{n}/a", "t", name), Row(f"{n}/b", "t", name)])
        print(n, flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
@pytest.mark.parametrize(
    ("point", "kept"),
    [
        ("blob:before-rename", 2), ("blob:after-rename", 2), ("commit:before", 2), ("commit:within", 2),
        ("commit:after", 3),
    ],
)  # fmt: skip
def test_a_kill_around_the_commit(tmp_path, monkeypatch, point, kept):
    """R3, S5: what the caller has seen is there; what is there is whole."""
    monkeypatch.setenv("TRIGGER_NB_CRASH_AT", f"{point}:3")
    done = run_python(CRASH, tmp_path / "store", check=False)
    assert done.returncode == -signal.SIGKILL
    assert done.stdout.split() == ["0", "1"]
    store = DiskStore(tmp_path / "store")
    rows = store.select("t")
    assert [key for key, _ in rows] == [f"{n}/{x}" for n in range(kept) for x in "ab"]
    for key, name in rows:
        assert store.blobs("run").get(name) == key[0].encode() * 1000
    # What the killed process left does not stand in the way of the next.
    name = store.blobs("run").put(b"2" * 1000)
    store.commit([Row("2/a", "t", name)])
    assert store.blobs("run").get(name) == b"2" * 1000
    store.delete_blobs("run")
    assert list((store.directory / "values").iterdir()) == []
    store.close()


# Value files


def test_value_files_are_named_by_their_content(store):
    """S5"""
    blobs = store.blobs("run")
    name = blobs.put(b"data")
    (path,) = (store.directory / "values").rglob(name)
    before = path.stat().st_mtime_ns, path.stat().st_ino
    assert store.blobs("run").put(b"data") == name
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == before
    assert blobs.get(name) == b"data"
    assert blobs.get(blobs.put(b"")) == b""


def test_a_damaged_value_file_is_never_a_value(store):
    """S5: changed, cut short, missing; and putting the content again heals it."""
    blobs = store.blobs("run")
    name = blobs.put(b"data")
    (path,) = (store.directory / "values").rglob(name)
    for changed in (b"dato", b"dat", b""):
        path.write_bytes(changed)
        with pytest.raises(CorruptRecordError, match=r"'run' is lost.*rerun_from"):
            blobs.get(name)
        assert blobs.put(b"data") == name
        assert blobs.get(name) == b"data"
    path.unlink()
    with pytest.raises(CorruptRecordError, match="missing"):
        blobs.get(name)


@pytest.mark.parametrize("name", ["../../cache.db", "/etc/passwd", "", "A" * 64, "a" * 63, "a" * 64 + "\n"])
def test_a_name_cannot_lead_elsewhere(store, name):
    with pytest.raises(CorruptRecordError, match="not the name of a value file"):
        store.blobs("run").get(name)


HARD_IDS = ["..", ".", "a/b", "/abs", "a" * 500, "A", "a", "ü", "con", "a:b", "a\x00b", "", "..\\x"]


def test_each_run_has_a_folder_of_its_own(store):
    """S5: whatever the run is called, also where the file system does not tell "A" from "a"."""
    names = {run: store.blobs(run).put(run.encode()) for run in HARD_IDS}
    folders = [path.name for path in (store.directory / "values").iterdir()]
    assert len({folder.lower() for folder in folders}) == len(HARD_IDS)
    assert sorted(path.name for path in store.directory.iterdir() if path.is_dir()) == ["values"]
    store.delete_blobs("a")
    store.delete_blobs("never there")
    for run, name in names.items():
        if run != "a":
            assert store.blobs(run).get(name) == run.encode()
    with pytest.raises(CorruptRecordError):
        store.blobs("a").get(names["a"])


def test_a_value_file_that_cannot_be_written_leaves_nothing(store, monkeypatch):
    """A9"""

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left"):
        store.blobs("run").put(b"data")
    assert not [path for path in (store.directory / "values").rglob("*") if path.is_file()]


# The shared commit


class Watched:
    """A store whose commits are counted, can be held, and can fail."""

    def __init__(self, store):
        self.store = store
        self.directory = store.directory
        self.batches = []
        self.errors = []
        self.gate = None
        self.entered = threading.Event()

    def commit(self, rows, *, patience=None):
        self.batches.append([row.key for row in rows])
        self.entered.set()
        if self.gate is not None:
            self.gate.wait()
        if self.errors and (error := self.errors.pop(0)) is not None:
            raise error
        return self.store.commit(rows, patience=patience)


@pytest.fixture
def watched(store):
    return Watched(store)


def test_what_is_queued_goes_in_one_commit(watched):
    """Results that complete at the same time share a commit, on the event loop."""
    commits = GroupCommit(watched)
    pendings = [commits.enqueue([Row(f"{n}", "t", "x")]) for n in range(3)]
    assert not watched.batches
    for pending in pendings:
        assert commits.settle(pending) == frozenset()
        assert pending.done
    assert watched.batches == [["0", "1", "2"]]


def test_each_learns_of_its_own_refused_rows(watched):
    """C5, also for one key twice in a batch."""
    commits = GroupCommit(watched)
    rows = [Row("a", "t", "first", 1), Row("b", "t", "other", 1), Row("a", "t", "second", 1)]
    pendings = [commits.enqueue([row]) for row in rows]
    assert [commits.settle(pending) for pending in pendings] == [set(), set(), {rows[2]}]
    assert len(watched.batches) == 1
    assert watched.store.get("a") == "first"


def test_threads_that_come_during_a_commit_share_the_next(watched):
    commits = GroupCommit(watched)
    watched.gate = threading.Event()
    threads = [
        threading.Thread(target=commits.commit, args=([Row(f"{n}", "t", "x")],), kwargs={"patience": 60})
        for n in range(6)
    ]
    threads[0].start()
    watched.entered.wait()
    for thread in threads[1:]:
        thread.start()
    while len(commits._queue) < 5:
        time.sleep(0.001)
    watched.gate.set()
    for thread in threads:
        thread.join()
    assert watched.batches[0] == ["0"]
    assert [sorted(batch) for batch in watched.batches[1:]] == [["1", "2", "3", "4", "5"]]
    assert len(watched.store.select("t")) == 6


def test_many_threads_lose_nothing(watched):
    commits = GroupCommit(watched)
    failures = []

    def work(k):
        try:
            for n in range(60):
                assert not commits.commit([Row(f"{k}/{n}", "t", "x", 1)], patience=60)
                assert watched.store.get(f"{k}/{n}") == "x"
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(watched.store.select("t")) == 720
    assert len(watched.batches) < 720


def test_a_failed_batch_tells_each_its_own_fate(watched):
    """What is wrong with one's rows costs no other its result; what is wrong with the store, all."""
    commits = GroupCommit(watched)
    good = commits.enqueue([Row("good", "t", "x")])
    bad = commits.enqueue([Row("bad", "t", "\ud800")])
    assert commits.settle(good) == frozenset()
    with pytest.raises(UnicodeEncodeError):
        commits.settle(bad)
    assert [key for key, _ in watched.store.select("t")] == ["good"]

    watched.errors = [StoreError("full")] * 3
    first, second = commits.enqueue([Row("1", "t", "x")]), commits.enqueue([Row("2", "t", "x")])
    for pending in (first, second):
        with pytest.raises(StoreError, match="full"):
            commits.settle(pending)
    assert commits.commit([Row("3", "t", "x")]) == frozenset()


def test_a_busy_store_gives_back_what_it_did_not_take(watched):
    """The event loop gives up soon; the same rows are settled in a thread, with patience."""
    commits = GroupCommit(watched)
    with locked(watched.store):
        mine, other = commits.enqueue([Row("mine", "t", "x")]), commits.enqueue([Row("other", "t", "x")])
        with pytest.raises(StoreBusyError):
            commits.settle(mine)
        assert not mine.done
        assert not mine.queued
        assert list(commits._queue) == [other]
    assert commits.settle(other) == frozenset()
    assert watched.store.get("mine") is None
    assert commits.settle(mine, patience=60) == frozenset()
    assert watched.store.get("mine") == "x"


def test_the_loop_does_not_stand_in_line_behind_a_stuck_thread(watched, monkeypatch):
    """C6: a thread waits for another process; who has little patience is told at once."""
    commits = GroupCommit(watched)
    with locked(watched.store):
        thread = threading.Thread(
            target=commits.commit, args=([Row("thread", "t", "x")],), kwargs={"patience": 60}
        )
        thread.start()
        while not commits._stuck:
            time.sleep(0.001)
        with monkeypatch.context() as patch:
            patch.setattr("trigger_nb._store.group_commit.monotonic", lambda: 0.0)  # Waiting would never end.
            for n in range(100):
                with pytest.raises(StoreBusyError):
                    commits.commit([Row(f"{n}", "t", "x")])
        assert len(watched.batches) == 2  # the thread's two; the loop asked the store for nothing
        patient = threading.Thread(
            target=commits.commit, args=([Row("patient", "t", "x")],), kwargs={"patience": 60}
        )
        patient.start()
    thread.join()
    patient.join()
    assert sorted(key for key, _ in watched.store.select("t")) == ["patient", "thread"]


def test_an_interrupted_leader_leaves_the_others_rows(watched):
    """A KeyboardInterrupt in the middle of a shared commit loses nobody's result."""
    commits = GroupCommit(watched)
    crashpoints_module.arm("commit:within", _raise_interrupt)
    mine, other = commits.enqueue([Row("mine", "t", "x")]), commits.enqueue([Row("other", "t", "x")])
    with pytest.raises(KeyboardInterrupt):
        commits.settle(mine)
    assert commits.settle(other, patience=60) == frozenset()
    assert sorted(key for key, _ in watched.store.select("t")) == ["mine", "other"]
    assert commits.settle(mine) == frozenset()


def test_what_is_queued_can_be_amended_until_it_is_taken(watched):
    commits = GroupCommit(watched)
    pending = commits.enqueue([Row("a", "t", "old")])
    assert commits.amend(pending, [Row("a", "t", "new")])
    commits.settle(pending)
    assert watched.store.get("a") == "new"
    assert not commits.amend(pending, [Row("a", "t", "late")])


# Crash points


def test_a_point_fires_at_its_passage_only():
    fired = []
    crashpoints_module.arm("here:2", lambda: fired.append(1))
    for name in ("here", "there", "here", "here"):
        crashpoints_module.point(name)
    assert fired == [1]
    crashpoints_module.arm("commit:before", lambda: fired.append(2))
    crashpoints_module.point("commit:before")
    assert fired == [1, 2]
    crashpoints_module.disarm()
    crashpoints_module.arm()  # Nothing in the environment, nothing armed.
    crashpoints_module.point("commit:before")
    assert fired == [1, 2]
