"""Runs that are removed for good, and what a store holds: `run.delete`, `client.prune`, `client.info`."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
import signal
import sqlite3
import subprocess
import sys
import textwrap
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.worlds import Gate, World, age, until
from trigger_nb import RunStatus, TriggerClient
from trigger_nb._runs import housekeeping as housekeeping_module
from trigger_nb._store import value_files as value_files_module
from trigger_nb._store.protocol import Row
from trigger_nb.errors import InvalidOptionError, NotFoundError, RunLockedError, RunStateError, StoreError
from trigger_nb.testing import FakeClock

ROOT = Path(__file__).parents[2]
DAY = 86_400.0
BIG = "x" * 100_000  # a value file of its own

posix = pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")


@pytest.fixture
def job(world):
    """A job of one task. What it is given decides how its run ends."""

    @world.job
    def job(payload, io):
        def body():
            if payload == "fails":
                raise ValueError("as asked")
            return payload

        return (yield io.run_task("task", world.body(body)))

    return job


@pytest.fixture
def plain(tmp_path):
    """A world of one kind, for what is the same for both."""
    world = World(tmp_path / "store")
    yield world
    world.new_kernel()


def one_task(world, id="job"):
    @world.client.job(id=id)
    async def job(payload, io):
        return await io.run_task("task", lambda: payload)

    return job


def waiting(world, **wait):
    """A run that waits, and that no kernel drives any more."""
    world.clock = FakeClock(autojump=False)

    @world.client.job(id="waits")
    async def waits(payload, io):
        await io.wait("long", **(wait or {"days": 1}))

    async def begin():
        run = waits.start()
        await until(lambda: run.status == RunStatus.WAITING)
        run.pause()
        with contextlib.suppress(Exception):
            await run
        return run.id

    return asyncio.run(begin())


def ids(client):
    return {run.id for run in client.runs(limit=1000)}


def rows(world):
    """Keys of all rows in the store, as any SQLite tool sees them."""
    with contextlib.closing(sqlite3.connect(world.client.dir / "cache.db")) as sql:
        return {key for (key,) in sql.execute("SELECT key FROM Cache")}


def value_files(world):
    return {path for path in (world.client.dir / "values").rglob("*") if path.is_file()}


# One run -------------------------------------------------------------------------------------------


def test_a_deleted_run_leaves_nothing(world):
    """Its rows, log lines, key-values and value files go; those of others, and the job's, stay."""

    @world.job
    def job(payload, io):
        io.logger.info("begun")
        yield io.store.run.set("set", "name", payload.encode())
        yield io.store.job.set("set-job", payload[:5], payload.encode())
        return (yield io.run_task("task", world.body(lambda: payload)))

    world.run(job, "first" + BIG)
    rows_of_one, files_of_one = rows(world), value_files(world)
    world.run(job, "other" + BIG)
    other = world.last(job)
    before = rows(world)
    job.runs()[1].delete()
    world.new_kernel()
    kept = {key for key in rows_of_one if key.startswith("kv/job/")}
    assert rows(world) == before - rows_of_one | kept
    assert len(kept) == 1
    assert [run.id for run in world.client.runs()] == [other.id]
    assert other.output == "other" + BIG
    assert len(value_files(world) & files_of_one) == 1  # of the job's key-value


def test_a_value_of_a_job_outlives_the_run_that_set_it(world):
    """Reference: `store.job` is shared by the job's runs, `store.env` by all; large values too."""
    large = {name: name.encode() * 30_000 for name in ("job", "env")}

    @world.job(id="job")
    def setter(payload, io):
        yield io.store.job.set("set", "name", large["job"])
        yield io.store.env.set("set-env", "name", large["env"])

    world.run(setter, "set")
    world.last(setter).delete()
    world.client.prune(older_than=0)
    assert len(value_files(world)) == 2
    world.new_kernel()

    @world.job(id="job")
    def getter(payload, io):
        return (yield io.store.env.get("get-env", "name")), (yield io.store.job.get("get", "name"))

    assert world.run(getter, "get") == (large["env"], large["job"])


def test_what_was_deleted_runs_anew(world, job):
    """No result, live value or reason of it is left in this kernel."""
    world.run(job, "a")
    run = world.last(job)
    run.delete()
    with pytest.raises(NotFoundError):
        run.status
    runtime = world.client.runtime
    assert not any(
        run.id in kept for kept in (runtime.memories, runtime.passes, runtime.feeds, runtime._leases)
    )
    world.run(job, "a")
    assert world.last(job).task("task").reason == "new"


def test_the_runs_that_it_began_go_with_it(world):
    """Else running the cell again would meet a child of the deleted run, and replay it."""

    @world.job
    def grandchild(payload, io):
        return (yield io.run_task("task", world.body(lambda: payload)))

    @world.job
    def child(payload, io):
        return (yield io.invoke_and_wait("grandchild", grandchild, payload))

    @world.job
    def parent(payload, io):
        return (yield io.invoke_and_wait("child", child, payload))

    world.run(parent, 1)
    world.run(grandchild, 2)
    assert len(world.client.runs()) == 4
    world.last(parent).delete()
    assert [run.payload for run in world.client.runs()] == [2]


def test_exported_pages_are_the_users_and_stay(world, job, tmp_path):
    for n, remove in enumerate((lambda: world.last(job).delete(), lambda: world.client.prune(older_than=0))):
        world.run(job, "a")
        page = world.last(job).export_html(tmp_path / f"{n}.html")
        assert not any("export" in key for key in rows(world))
        remove()
        assert len(world.client.runs()) == 0
        assert page.exists()


def test_no_row_of_a_store_has_another_file_removed(world, job, tmp_path):
    """Earlier versions noted exported pages in rows, and removed what a row named."""
    world.run(job, "a")
    run = world.last(job)
    mine = tmp_path / "mine.txt"
    mine.write_text("precious")
    named = json.dumps({"path": str(mine), "sha256": hashlib.sha256(mine.read_bytes()).hexdigest()})
    world.client.runtime.store.commit([Row(f"export/{run.id}/x", f"export/{run.id}", named)])
    run.delete()
    assert mine.read_text() == "precious"
    assert rows(world) == set()


@pytest.mark.anyio
async def test_a_run_whose_body_has_outlived_it_is_not_deleted(tmp_path):
    """A5: what the thread returns is recorded when it comes, so nothing may be gone by then."""
    world, gate = World(tmp_path), Gate()

    @world.client.job
    async def job(payload, io):
        return await io.run_task("slow", gate.pass_through)

    run = job.start()
    await until(gate.reached.is_set)
    run.cancel()
    with pytest.raises(Exception, match="canceled"):
        await run
    with pytest.raises(RunStateError, match="body .* still running"):
        run.delete()
    assert world.client.prune(older_than=0).skipped == (run.id,)
    gate.open()
    await until(lambda: not world.client.runtime.holds_lease(run.id))
    run.delete()
    assert rows(world) == set()


@pytest.mark.anyio
async def test_a_run_with_a_living_child_is_not_deleted(tmp_path):
    world, gate = World(tmp_path), Gate()

    @world.client.job
    async def child(payload, io):
        await io.run_task("slow", gate.pass_through_async)

    @world.client.job
    async def parent(payload, io):
        return await io.invoke("child", child)

    run = parent.start()
    await run
    await until(gate.reached.is_set)
    with pytest.raises(RunStateError, match=f"which run {run.id} began"):
        run.delete()
    assert world.client.prune(older_than=0).runs == ()
    gate.open()
    await child.runs()[0]
    assert len(world.client.prune(older_than=0).runs) == 2


# Which runs ----------------------------------------------------------------------------------------


def test_prune_wants_to_be_told(world, job):
    """Nothing is removed by a call that names nothing."""
    world.run(job, "a")
    for call in (lambda: world.client.prune(), lambda: world.client.prune(dry_run=True)):
        with pytest.raises(InvalidOptionError, match="older_than=.*keep_last="):
            call()
    assert len(world.client.runs()) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        *({"older_than": each} for each in (-1, float("nan"), "30d", True)),
        *({"keep_last": each} for each in (-1, 1.5, True)),
        *({"status": each} for each in ("DONE", ["COMPLETED", "x"], 5)),
        {"keep_last": 1, "dry_run": "no"},
    ],
    ids=str,
)
def test_what_cannot_be_meant_removes_nothing(plain, wrong):
    plain.run(one_task(plain), "a")
    with pytest.raises(InvalidOptionError):
        plain.client.prune(**wrong)
    assert len(plain.client.runs()) == 1


@pytest.mark.parametrize("age", [10 * DAY, timedelta(days=10)])
def test_older_than(world, job, age):
    """Since a pass of it last began or ended: a cell that is run again keeps its run."""
    world.run(job, "used")
    world.run(job, "old")
    world.clock.advance(20 * DAY)
    world.run(job, "used")
    world.run(job, "new")
    world.clock.advance(5 * DAY)
    pruned = world.client.prune(older_than=age)
    assert {run.payload for run in world.client.runs()} == {"used", "new"}
    assert len(pruned.runs) == 1


def test_keep_last_is_of_each_job(world, job):
    @world.job
    def other(payload, io):
        return (yield io.run_task("task", world.body(lambda: payload)))

    for n in range(4):
        world.run(job, n)
    for n in range(3):
        world.run(other, n)
    world.client.prune(keep_last=2)
    assert {(run.job, run.payload) for run in world.client.runs()} == {
        ("job", 3), ("job", 2), ("other", 2), ("other", 1),
    }  # fmt: skip
    world.client.prune(keep_last=0)
    assert len(world.client.runs()) == 0


def test_all_that_is_given_holds(world, job):
    for n in range(3):
        world.run(job, n)
    world.clock.advance(10 * DAY)
    world.run(job, 3)
    assert len(world.client.prune(older_than=DAY, keep_last=2).runs) == 2
    assert {run.payload for run in job.runs()} == {2, 3}


def test_status(world, job):
    """One, several, as text or not; `keep_last` counts those only."""
    world.run(job, "a")
    world.fail(job, "fails")
    world.run(job, "b")
    assert len(world.client.prune(status="FAILED", keep_last=1).runs) == 0
    assert len(world.client.prune(status=RunStatus.FAILED).runs) == 1
    assert {run.payload for run in job.runs()} == {"a", "b"}
    assert len(world.client.prune(status=["COMPLETED", RunStatus.FAILED]).runs) == 2


def test_what_is_to_go_on_stays_unless_it_is_named(plain):
    """A WAITING run is never pruned by default, however old; nor is an INTERRUPTED one."""
    run_id = waiting(plain)
    plain.clock.advance(1000 * DAY)
    assert plain.client.prune(older_than=0, keep_last=0).runs == ()
    record = plain.client.runtime.run_record(run_id)
    record.status, record.reason, record.holder = RunStatus.RUNNING, "", None  # as a dead kernel leaves it
    plain.client.runtime.save_run(record)
    assert plain.client.run(run_id).status == RunStatus.INTERRUPTED
    assert plain.client.prune(older_than=0).runs == ()
    assert plain.client.prune(status="RUNNING").runs == ()
    assert plain.client.prune(status="INTERRUPTED").runs == (run_id,)


def test_a_waiting_run_goes_when_it_is_named(plain):
    run_id = waiting(plain)
    assert plain.client.prune(status="WAITING").runs == (run_id,)
    assert rows(plain) == set()


@pytest.mark.anyio
async def test_a_run_that_lives_never_goes(tmp_path):
    """Also when its status is named: it waits here, and this kernel waits for it."""
    world = World(tmp_path)
    world.clock = FakeClock(autojump=False)

    @world.client.job
    async def waits(payload, io):
        await io.wait("long", days=1)
        return "done"

    run = waits.start()
    await until(lambda: run.status == RunStatus.WAITING)
    pruned = world.client.prune(status=list(RunStatus))
    assert (pruned.runs, pruned.skipped) == ((), (run.id,))
    assert "1 run in use by a kernel" in repr(pruned)
    world.clock.advance(2 * DAY)
    assert await run == "done"


def test_a_child_goes_with_its_parent_and_not_before(world):
    """What a run began is what its replay needs."""

    @world.job
    def child(payload, io):
        return (yield io.run_task("task", world.body(lambda: payload)))

    @world.job
    def parent(payload, io):
        return (yield io.invoke_and_wait("child", child, payload))

    world.run(parent, "a")
    world.run(child, "alone")
    world.clock.advance(10 * DAY)
    world.run(parent, "a")  # replayed: the parent was used just now, the child was not
    assert [
        world.client.run(run_id).payload for run_id in world.client.prune(older_than=DAY, dry_run=True).runs
    ] == ["alone"]
    assert len(world.client.prune(older_than=DAY).runs) == 1
    world.clock.advance(10 * DAY)
    assert len(world.client.prune(older_than=DAY).runs) == 2
    assert rows(world) == set()


def test_a_parent_whose_child_is_to_go_on_stays(plain):
    @plain.client.job
    async def child(payload, io):
        raise ValueError

    @plain.client.job
    async def parent(payload, io):
        return await io.invoke("child", child)

    async def both():
        await parent.start()
        with contextlib.suppress(ValueError):
            await child.runs()[0]

    asyncio.run(both())
    assert plain.client.prune(status="COMPLETED").runs == ()
    assert len(plain.client.prune(older_than=0).runs) == 2


def test_an_event_goes_with_the_last_run_that_it_started(plain):
    from trigger_nb import event_trigger

    for name in ("one", "two"):

        @plain.client.job(id=name, trigger=event_trigger("happened"))
        async def job(payload, io):
            return len(payload)

    async def send():
        event = await plain.client.send_event("happened", BIG)
        return [await run for run in event.runs]

    assert asyncio.run(send()) == [len(BIG)] * 2
    first, second = plain.client.runs()
    first.delete()
    assert any(key.startswith("event/") for key in rows(plain))
    second.delete()
    assert rows(plain) == set()
    assert value_files(plain) == set()
    asyncio.run(send())
    plain.client.prune(older_than=0)
    assert rows(plain) == set()
    assert value_files(plain) == set()


@pytest.mark.parametrize("run_id", ["runs", "run", "events", "kv", "deleted", "export", "event", "a/b"])
def test_no_run_is_called_as_the_store_calls_its_own(plain, run_id):
    """Its rows would be other runs', and deleting it would delete them."""
    with pytest.raises(InvalidOptionError, match="run_id"):
        plain.run(one_task(plain), "a", run_id=run_id)


# Space ---------------------------------------------------------------------------------------------


def disk(client):
    return sum(path.stat().st_size for path in client.dir.rglob("*") if path.is_file())


def test_space_is_given_back_to_the_disk(world, job):
    """The database shrinks, the value files go, and what is told is what came free."""
    for n in range(30):
        world.run(job, str(n) + "x" * 20_000)  # in the database
        world.run(job, str(n) + BIG)  # in a file
    before = disk(world.client)
    dry = world.client.prune(keep_last=1, dry_run=True)
    assert len(world.client.runs(limit=100)) == 60
    pruned = world.client.prune(keep_last=1)
    after = disk(world.client)
    assert (len(pruned.runs), dry.runs) == (59, pruned.runs)
    assert pruned.bytes == before - after
    assert after < before / 10
    assert 0.5 < dry.bytes / pruned.bytes < 2
    assert "59 runs" in repr(pruned)
    assert "59 runs" in pruned._repr_html_()
    assert job.runs()[0].output == "29" + BIG


def test_the_order_of_what_stays_is_kept(world, job):
    """The list of runs, and the tasks in a run, are in the order of their rows."""
    for n in range(20):
        world.run(job, str(n) + "x" * 20_000)
    before = [run.id for run in job.runs()]
    gone = set(before[3::2])
    for run in job.runs()[3::2]:
        run.delete()
    assert world.client.info().free_bytes > 0
    world.client.prune(older_than=DAY)  # nobody goes, and the space comes back
    assert world.client.info().free_bytes == 0
    assert [run.id for run in job.runs()] == [run_id for run_id in before if run_id not in gone]
    world.run(job, "newest")
    assert job.runs()[0].payload == "newest"


def test_a_database_that_is_in_use_keeps_its_size(plain, monkeypatch):
    """The runs are gone all the same, and it says why the space is not back."""
    job = one_task(plain)
    for n in range(20):
        plain.run(job, str(n) + "x" * 20_000)
    store = plain.client.runtime.store
    shrink = store.shrink

    def busy(patience):
        with contextlib.closing(sqlite3.connect(store.directory / "cache.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            shrink(patience=0.05)

    monkeypatch.setattr(store, "shrink", busy)
    pruned = plain.client.prune(older_than=0)
    assert len(pruned.runs) == 20
    assert "keeps its size" in repr(pruned)
    assert plain.client.info().free_bytes > 0
    monkeypatch.undo()
    assert plain.client.prune(older_than=0).bytes > 100_000


def test_a_damaged_value_goes_like_any_other(world, job):
    world.run(job, BIG)
    for path in value_files(world):
        path.write_bytes(b"not what it was")
    assert len(world.client.prune(older_than=0).runs) == 1
    assert value_files(world) == set()


@pytest.mark.skipif(sys.platform == "win32", reason="folder permissions")
def test_files_that_cannot_be_removed_are_tried_again(world, job, monkeypatch):
    """The run is gone, an error says what is left, and the next prune removes it."""
    world.run(job, BIG)

    def refuse(*_, **__):
        raise PermissionError("not yours")

    with monkeypatch.context() as patch:
        patch.setattr(value_files_module.os, "unlink", refuse)
        with pytest.raises(StoreError, match="could not be deleted"):
            world.last(job).delete()
    assert len(world.client.runs()) == 0
    assert value_files(world) != set()
    world.client.prune(older_than=0)
    assert value_files(world) == set()
    assert rows(world) == set()


def test_what_is_nobodys_is_swept_once_it_has_lain(plain, monkeypatch):
    """A file is written before the row that speaks of it: a young one may be of a run to come."""
    plain.run(one_task(plain), BIG)
    (kept,) = {path.parent for path in value_files(plain)}
    values = plain.client.dir / "values"
    nobodys = values / "nobody-0123456789abcdef"
    nobodys.mkdir()
    (nobodys / ("0" * 64)).write_bytes(b"x")
    (kept / f".{'0' * 16}-{'1' * 16}.draft").write_bytes(b"x")
    plain.client.prune(older_than=DAY)
    assert len(value_files(plain)) == 3
    age(values)
    plain.client.prune(older_than=DAY)
    assert {path.parent for path in value_files(plain)} == {kept}
    assert len(value_files(plain)) == 1
    assert plain.client.runs()[0].output == BIG


# Kills, and other kernels --------------------------------------------------------------------------

SETUP = """
    import sys, json
    from trigger_nb import TriggerClient
    from trigger_nb._store import crashpoints

    client = TriggerClient("shared", dir=sys.argv[1], display=False)

    @client.job
    def job(payload, io):
        io.logger.info("begun")
        io.store.run.set("set", "name", payload)
        return io.run_task("task", lambda: payload)

    def fill():
        for n in range(5):
            job.run_sync(f"{n}" + "x" * 50_000)
        job.run_sync("kept" + "x" * 50_000)
"""


def in_process(directory, code):
    code = textwrap.dedent(SETUP) + textwrap.dedent(code)
    return subprocess.run(
        [sys.executable, "-c", code, str(directory)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@posix
@pytest.mark.parametrize("operation", ["client.prune(keep_last=1)", "client.runs()[3].delete()"])
@pytest.mark.parametrize(
    "at",
    ["delete:before", "delete:rows", "delete:files", "delete:files:2", "delete:files:4", "shrink:within"],
)
def test_killed_in_the_middle(tmp_path, at, operation):
    """SIGKILL at any point loses nothing else, leaves no run in part, and the next prune finishes the job."""
    killed = in_process(tmp_path, f"fill(); crashpoints.arm({at!r}); {operation}")
    if "delete()" in operation and at in ("delete:files:2", "delete:files:4", "shrink:within"):
        assert killed.returncode == 0, killed.stderr  # it does not come so far
    else:
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    client = TriggerClient("shared", dir=tmp_path)
    left = client.runs()
    for run in left:
        assert (run.status, len(run.tasks), len(run.logs)) == ("COMPLETED", 2, 1)
        assert run.output == run.payload
    client.prune(keep_last=1)
    (kept,) = client.runs()
    assert kept.output.startswith("kept")
    keys = [key for tag in client.runtime.store.tally() for key, _ in client.runtime.store.select(tag)]
    assert [key for key in keys if kept.id not in key] == []
    folders = list((client.dir / "values").iterdir())
    assert len(folders) == 1
    replayed = in_process(tmp_path, "print(job.run_sync('kept' + 'x' * 50_000)[:4], client.info().runs)")
    assert replayed.stdout == "kept 1\n", replayed.stderr
    client.runtime.store.close()


@posix
def test_what_a_killed_prune_left_is_not_taken_from_a_run_begun_anew(tmp_path):
    """Its files are that run's now."""
    payload = "'0' + 'x' * 50_000"
    assert in_process(
        tmp_path, "fill(); crashpoints.arm('delete:rows'); client.prune(keep_last=1)"
    ).returncode
    again = in_process(tmp_path, f"job.run_sync({payload}); client.prune(older_than=1000)")
    assert again.returncode == 0, again.stderr
    client = TriggerClient("shared", dir=tmp_path)
    assert {run.output[:4] for run in client.runs()} == {"0xxx", "kept"}
    assert client.runtime.store.select("deleted") == []
    client.runtime.store.close()


@posix
def test_a_run_that_another_kernel_drives_is_left_alone(tmp_path):
    """C5: the lease says who lives, whatever the run's status says."""
    code = """
        @client.job
        def slow(payload, io):
            print(client.runs()[0].id, flush=True)
            io.run_task("line", sys.stdin.readline)
            return "done"

        job.run_sync("ended")
        print(slow.run_sync())
    """
    command = [sys.executable, "-c", textwrap.dedent(SETUP) + textwrap.dedent(code), str(tmp_path)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        run_id = process.stdout.readline().strip()
        client = TriggerClient("shared", dir=tmp_path)
        run = client.run(run_id)
        assert run.status == RunStatus.RUNNING
        with pytest.raises((RunStateError, RunLockedError)):
            run.delete()
        # As if its record said that it had ended: what counts is who holds the lease.
        ended = client.runtime.run_record(run_id)
        holder, ended.holder = ended.holder, None
        ended.status = RunStatus.COMPLETED
        client.runtime.save_run(ended)
        with pytest.raises(RunLockedError):
            run.delete()
        pruned = client.prune(older_than=0)
        assert len(pruned.runs) == 1
        assert pruned.skipped == (run_id,)
        assert holder["pid"] == process.pid
        process.stdin.write("go\n")
        process.stdin.flush()
        assert process.stdout.read() == "done\n"
    assert client.run(run_id).task("line").output == "go\n"
    assert client.prune(older_than=0).runs == (run_id,)
    client.runtime.store.close()


def test_a_run_that_moved_since_it_was_chosen_stays(plain, monkeypatch):
    """Another kernel may have begun it again, and be done with it, between the look and the lease."""
    job = one_task(plain)
    plain.run(job, "a")
    take = housekeeping_module._take

    def late(runtime, run):
        record = runtime.run_record(run.id)
        record.passes += 1
        runtime.save_run(record)
        return take(runtime, run)

    monkeypatch.setattr(housekeeping_module, "_take", late)
    pruned = plain.client.prune(older_than=0)
    assert (pruned.runs, len(pruned.skipped)) == ((), 1)
    assert plain.client.runs()[0].output == "a"


@pytest.mark.anyio
async def test_runs_go_on_while_others_are_pruned(tmp_path):
    """From a thread, as one would in a cell that must not hold the others up."""
    world = World(tmp_path)
    job = one_task(world)
    for n in range(30):
        await job.run(str(n) + "x" * 20_000)

    @world.client.job
    async def busy(payload, io):
        return [await io.run_task(f"{n}", lambda n: n, n) for n in range(200)]

    living = busy.start()
    pruned = await asyncio.to_thread(world.client.prune, status="COMPLETED", keep_last=0)
    assert await living == list(range(200))
    assert len(pruned.runs) in (30, 31)
    if living.id not in pruned.runs:
        assert len(living.tasks) == 200


# What there is -------------------------------------------------------------------------------------


def test_info(world, job):
    began = datetime.fromtimestamp(world.clock.time(), UTC)
    world.run(job, "a")
    world.run(job, BIG)
    world.fail(job, "fails")
    world.clock.advance(DAY)

    @world.job
    def other(payload, io):
        io.logger.info("line")
        yield io.store.env.set("set", "name", 1)

    world.run(other)
    info = world.client.info()
    assert info.directory == world.client.dir
    assert (info.runs, info.by_status) == (4, {"COMPLETED": 3, "FAILED": 1})
    assert info.by_job == {"other": 1, "job": 3}
    assert (info.records, info.key_values) == (5, 1)
    assert abs(info.oldest - began) < timedelta(seconds=1)
    assert abs(info.newest - began - timedelta(days=1)) < timedelta(seconds=1)
    assert info.values_bytes == sum(path.stat().st_size for path in value_files(world))
    database = [
        path.stat().st_size for path in world.client.dir.glob("cache.db*") if path.suffix != ".db-shm"
    ]
    assert info.database_bytes == sum(database)
    assert info.bytes == info.database_bytes + info.values_bytes
    assert "4: 3 COMPLETED, 1 FAILED" in repr(info)
    page = info._repr_html_()
    assert "3 COMPLETED, 1 FAILED" in page
    assert str(info.directory) in page


def test_info_of_an_empty_store(plain):
    info = plain.client.info()
    assert (info.runs, info.by_status, info.oldest, info.newest) == (0, {}, None, None)
    assert "0" in repr(info)


def test_a_hostile_name_of_a_job_is_shown_and_does_nothing(plain):
    """D5: all text is escaped."""
    plain.run(one_task(plain, id="<script>alert(1)</script>\x1b[31m"), "a")
    info = plain.client.info()
    assert "<script>" not in info._repr_html_()
    assert "\x1b" not in repr(info)


def test_info_asks_the_database_a_few_times_however_many_runs_there_are(plain):
    plain.run(one_task(plain), "a")
    runtime = plain.client.runtime
    key, text = runtime.store.page("runs", 1)[0]
    runtime.store.commit([Row(f"{key}{n}", "runs", text) for n in range(2000)])
    asked = []
    with runtime.store._database.use() as sql:
        sql.set_trace_callback(asked.append)
    assert plain.client.info().runs == 2001
    sql.set_trace_callback(None)
    assert len(asked) < 20
    assert re.search(r"2,001", repr(plain.client.info()))
