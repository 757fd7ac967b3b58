"""A fault of ours is never mistaken for one of the user's call (rule A9)."""

from __future__ import annotations

import asyncio
import sqlite3
import threading

import pytest

from tests.support.worlds import PATIENCE, Gate, World, running_bodies, until
from trigger_nb import Reason, RunStatus, TaskStatus
from trigger_nb._engine.ledger import Ledger
from trigger_nb._engine.memory import Memory
from trigger_nb._engine.readings import begin
from trigger_nb._records.feed import Feed
from trigger_nb._records.records import RunRecord, TaskRecord
from trigger_nb._store.protocol import Row
from trigger_nb._values import codec as codec_module
from trigger_nb.errors import RunLostError, StoreBusyError, StoreError


class Fault:
    """Makes commits of chosen rows, and value files, fail until it is mended."""

    def __init__(self, monkeypatch, world):
        self.error = None
        self.hits = []
        self._of = lambda row: True
        store = world.client.runtime.store
        commit, blobs = store.commit, store.blobs

        def failing(rows, *, patience=None):
            if self.error is not None and any(self._of(row) for row in rows):
                self.hits.append([row.key for row in rows])
                raise self.error
            return commit(rows, patience=patience)

        def failing_blobs(run_id):
            files = blobs(run_id)
            put = files.put

            def failing_put(data):
                if self.error is not None and self._of(None):
                    raise self.error
                return put(data)

            files.put = failing_put
            return files

        monkeypatch.setattr(store, "commit", failing)
        monkeypatch.setattr(store, "blobs", failing_blobs)

    def strike(self, error=None, of=lambda row: row is not None):
        self.error = error or StoreError("the disk is full")
        self._of = of

    def mend(self):
        self.error = None


@pytest.fixture
def fault(monkeypatch, world):
    return Fault(monkeypatch, world)


async def outcome(run):
    try:
        return await run
    except BaseException as error:
        return error


def of_task(path):
    """Rows of one task, whatever they say."""
    return lambda row: row is not None and row.key.endswith("/" + path)


def charging_job(world, fault, seen):
    """A job that handles every error of its charge, as a careful user's would."""

    @world.job(id="job")
    def job(payload, io):
        def charge():
            world.note("charge")
            fault.strike(of=of_task("charge"))
            return "charged"

        try:
            got = yield io.run_task("charge", world.body(charge))
        except Exception as error:
            seen.append(error)
            got = yield io.run_task("refund", world.noting("refund"))
        return got

    return job


def test_a_full_store_never_looks_like_a_failed_charge(world, fault):
    """A9: `except Exception` around the charge sees nothing; the run is INTERRUPTED, `await run` raises StoreError."""
    seen = []
    job = charging_job(world, fault, seen)

    async def passes():
        run = job.start()
        error = await outcome(run)
        assert isinstance(error, StoreError)
        assert run.status == RunStatus.INTERRUPTED
        fault.mend()
        run = job.start()
        return await run, run.task("charge").reason

    output, reason = asyncio.run(passes())
    assert output == "charged"
    assert reason == Reason.REPLAYED  # the parked value was written by the next pass
    assert seen == []
    assert world.take() == ["charge"]


def test_the_parked_value_is_in_the_store_afterwards(world, fault):
    """A9, R3: in a new kernel, too."""
    seen = []
    job = charging_job(world, fault, seen)
    assert isinstance(world.fail(job), StoreError)
    fault.mend()
    assert world.run(job) == "charged"
    world.new_kernel()
    assert world.run(world.client.job(id="job")(job.fn)) == "charged"
    assert world.take() == ["charge"]


def test_a_store_that_stays_full_raises_at_once(world, fault):
    """A9: nothing begins; the value is still kept for when there is room."""
    job = charging_job(world, fault, [])
    assert isinstance(world.fail(job), StoreError)
    fault.strike()
    for _ in range(2):
        assert isinstance(world.fail(job), StoreError)
    fault.mend()
    assert world.run(job) == "charged"
    assert world.take() == ["charge"]


def test_a_large_value_that_finds_no_room_is_kept_too(world, fault):
    """A9, S5: the value file could not be written."""
    seen = []

    @world.job
    def job(payload, io):
        def download():
            world.note("download")
            fault.strike(of=lambda row: row is None)
            return "x" * (codec_module.INLINE_LIMIT + 1)

        try:
            got = yield io.run_task("download", world.body(download))
        except Exception as error:
            seen.append(error)
            raise
        return len(got)

    assert isinstance(world.fail(job), StoreError)
    assert seen == []
    fault.mend()
    assert world.run(job) == codec_module.INLINE_LIMIT + 1
    world.new_kernel()
    assert world.run(world.client.job(id="job")(job.fn)) == codec_module.INLINE_LIMIT + 1
    assert world.take() == ["download"]


def test_others_in_flight_finish_and_are_kept(world, fault):
    """A9, A5: two charges at once, one commit fails: neither is made again."""
    gates = [Gate(), Gate()]

    def one(io, n):
        def charge():
            world.note(n)
            gates[n].reached.set()
            if n == 0:
                if not gates[1].reached.wait(PATIENCE):
                    raise AssertionError
                fault.strike(of=of_task("charge-0"))
            return n

        return (yield io.run_task(f"charge-{n}", charge))

    @world.job
    def job(payload, io):
        return (yield world.gather(one(io, 0), one(io, 1)))

    assert isinstance(world.fail(job), StoreError)
    fault.mend()
    assert world.run(job) == [0, 1]
    assert sorted(world.take()) == [0, 1]


@pytest.mark.parametrize(
    "moment",
    ["error", "countdown", "wait", "log", "parallel"],
    ids=lambda moment: f"the {moment}'s commit fails",
)
def test_whatever_commit_fails_nothing_is_raised_from_io(world, fault, moment):
    """A9: not from an error's, a countdown's, a wait's, a log line's, a fan-out's commit either."""
    seen = []

    @world.job
    def job(payload, io):
        try:
            if moment == "log":
                fault.strike()
                io.logger.info("hello")
                yield io.run_task("after", world.noting("after"))
            elif moment == "wait":
                fault.strike(of=of_task("wait"))
                yield io.wait("wait", days=1)
            elif moment == "parallel":
                fault.strike(of=lambda row: row.key.endswith(("all", "all/1")))
                yield io.parallel("all", [1, 2], world.body(lambda item: item))
            else:
                fault.strike(of=of_task("task"))
                yield io.run_task(
                    "task", world.failing("body", OSError("1")), retry=3 if moment == "countdown" else None
                )
        except Exception as error:
            seen.append(error)
        return "done"

    first = world.fail(job)
    assert isinstance(first, StoreError)
    assert not [each for each in seen if isinstance(each, StoreError)]
    assert seen == []
    fault.mend()
    fault.strike = lambda **_: None
    assert world.run(job) == "done"
    assert world.last(job).status == RunStatus.COMPLETED


def test_a_busy_store_is_waited_for(world):
    """S1, A9: another process holds the database for a while; nobody notices but the clock."""
    world.set_patience(store_in_thread=PATIENCE)
    released = []

    @world.job
    def job(payload, io):
        def body():
            other = sqlite3.connect(
                world.client.runtime.store.directory / "cache.db",
                check_same_thread=False,
                isolation_level=None,
            )
            other.execute("BEGIN IMMEDIATE")

            def release():
                released.append(True)
                other.execute("COMMIT")
                other.close()

            threading.Timer(0.3, release).start()
            return "done"

        return (yield io.run_task("body", world.body(body)))

    assert world.run(job) == "done"
    assert released


def test_a_store_that_stays_busy_interrupts_the_run(world):
    """A9: after long patience; the value is parked, and written by the next pass."""
    world.set_patience(store=0.05, store_in_thread=0.05)
    held = []

    @world.job
    def job(payload, io):
        def body():
            world.note("body")
            other = sqlite3.connect(
                world.client.runtime.store.directory / "cache.db",
                check_same_thread=False,
                isolation_level=None,
            )
            other.execute("BEGIN IMMEDIATE")
            held.append(other)
            return "done"

        return (yield io.run_task("body", world.body(body)))

    assert isinstance(world.fail(job), StoreBusyError)
    held[0].execute("COMMIT")
    held[0].close()
    assert world.run(job) == "done"
    assert world.take() == ["body"]


def lose_lease(world, monkeypatch):
    """Another kernel takes the run over."""
    (lease,) = world.client.runtime._leases.values()
    monkeypatch.setattr(type(lease), "lost", property(lambda self: True))


def test_a_run_that_was_taken_over_says_so(world, monkeypatch):
    """A9, C5: `await run` raises RunLostError; what this kernel completed is kept."""
    lose = [True]

    @world.job
    def job(payload, io):
        yield io.run_task("first", world.noting("first"))
        if lose.pop():
            lose_lease(world, monkeypatch)
        return (yield io.run_task("second", world.noting("second")))

    error = world.fail(job)
    assert isinstance(error, RunLostError)
    assert "another kernel took over" in str(error)
    monkeypatch.undo()
    lose.append(False)
    assert world.run(job) == "second"
    assert world.take() == ["first", "second"]


def test_a_run_that_was_taken_over_starts_no_new_bodies(world, monkeypatch):
    """A9, C5: the other kernel calls them now. The pass stops by itself, also where it only waits."""
    world.clock._autojump = False
    seen = []

    @world.job
    def job(payload, io):
        lose_lease(world, monkeypatch)
        try:
            yield io.wait("wait", days=1)
        except Exception as error:
            seen.append(error)
        yield io.run_task("after", world.noting("after"))

    assert isinstance(world.fail(job), RunLostError)
    assert seen == world.take() == []


def test_the_first_committed_result_wins(world):
    """C5: another kernel completed the task meanwhile; its value is what both see."""

    @world.job
    def job(payload, io):
        def body():
            world.note("body")
            runtime = world.client.runtime
            (run,) = job.runs()
            other = '{"value":"theirs","started":1,"ended":2}'
            runtime.store.commit([Row(f"{run.id}/task", run.id, other, 1)])
            return "ours"

        return (yield io.run_task("task", world.body(body)))

    assert world.run(job) == "theirs"
    assert world.run(job) == "theirs"
    assert world.take() == ["body"]


@pytest.mark.anyio
async def test_a_body_in_flight_when_the_store_gave_out_is_not_lost(tmp_path, monkeypatch):
    """A9, A5: its pass is over and the store still fails when it ends; the next pass has its value."""
    world = World(tmp_path)
    fault = Fault(monkeypatch, world)
    gate = Gate()

    def slow():
        world.note("slow")
        gate.pass_through()
        return "slow"

    @world.client.job
    async def job(payload, io):
        async def quick():
            await until(gate.reached.is_set)
            fault.strike()
            return "quick"

        return await asyncio.gather(io.run_task("slow", slow), io.run_task("quick", quick))

    run = job.start()
    assert isinstance(await outcome(run), StoreError)
    gate.open()
    await until(lambda: not running_bodies)
    fault.mend()
    assert await job.run() == ["slow", "quick"]
    assert world.take() == ["slow"]


@pytest.mark.anyio
async def test_key_values_do_not_fail_either(tmp_path, monkeypatch):
    """A9: `io.store` reads and writes the same store."""
    world = World(tmp_path)
    fault = Fault(monkeypatch, world)
    seen = []

    @world.client.job
    async def job(payload, io):
        try:
            fault.strike(of=lambda row: row.key.startswith("kv/"))
            await io.store.run.set("set", "name", 1)
        except Exception as error:
            seen.append(error)
        return await io.store.run.get("get", "name")

    run = job.start()
    assert isinstance(await outcome(run), StoreError)
    assert seen == []
    fault.mend()
    fault.strike = lambda **_: None
    assert await job.run() == 1


@pytest.mark.anyio
async def test_an_end_that_cannot_be_written_is_told(tmp_path, monkeypatch):
    """A9: the output is there and its record is not: the next pass replays all and writes it."""
    world = World(tmp_path)
    fault = Fault(monkeypatch, world)

    @world.client.job
    async def job(payload, io):
        got = await io.run_task("task", world.noting("task"))
        fault.strike(of=lambda row: row.key.startswith("run/"))
        return got

    run = job.start()
    assert isinstance(await outcome(run), StoreError)
    fault.mend()
    fault.strike = lambda **_: None
    assert await job.run() == "task"
    assert run.status == RunStatus.COMPLETED
    assert run.task("task").status == TaskStatus.COMPLETED
    assert world.take() == ["task"]


@pytest.mark.parametrize("moment", ["before the store is read", "after"])
def test_what_an_earlier_pass_notes_late_replaces_no_result(tmp_path, moment):
    """A9, R1: its call was cut short and says so, when the next pass has already written the parked result."""
    world = World(tmp_path)
    store = world.client.runtime.store
    memory, run = Memory(), RunRecord(id="run_1", passes=1)

    def ledger():
        return Ledger(
            run=run, store=store, journal=world.client.runtime.journal, memory=memory, feed=Feed(),
            patience=PATIENCE, fail=None, on_fault=None,
        )  # fmt: skip

    earlier = ledger()
    late = TaskRecord(path="charge", status=TaskStatus.PENDING, interrupted=True)
    store.commit([Row("run_1/charge", "run_1", '{"value":"charged"}', 1)])

    class Reading:
        def read_run(self, run_id):
            if moment == "before the store is read":
                earlier.remember(late)
            return store.read_run(run_id)

    begin(memory, "run_1", Reading())
    now = ledger()
    if moment == "after":
        earlier.remember(late)
    assert now.record("charge").status == TaskStatus.COMPLETED
    world.new_kernel()
