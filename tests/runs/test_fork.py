"""R9: `run.fork` copies a run up to a task and goes on from there in another run."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.support.worlds import World, until
from trigger_nb import Reason, RunStatus, TaskStatus
from trigger_nb._keys import idempotency_key
from trigger_nb.errors import (
    InvalidOptionError,
    NotFoundError,
    NotStorableError,
    RunInterruptedError,
    RunLockedError,
    RunStateError,
)

ROOT = Path(__file__).parents[2]


def letters(world, fail=None):
    """A job of three tasks in a row: each adds its letter."""

    @world.job
    def job(payload, io):
        text = yield io.run_task("a", world.noting("a"))
        text = yield io.run_task("b", world.body(lambda text: text + "b", note="b"), text)
        if fail is not None:
            yield io.run_task("fails", world.failing("fails", fail))
        return (yield io.run_task("c", world.body(lambda text: text + "c", note="c"), text))

    return job


def rows(client, run):
    """All that is stored of a run, but for when it was."""
    return dict(client.runtime.store.select(run.id)), client.runtime.store.get("run/" + run.id)


def go_on(world, job, fork):
    """Bring a fork to its end, as a script does."""
    return world.run(job, fork.payload, run_id=fork.id)


# What is copied, what runs --------------------------------------------------------------------------


def test_an_output_given_by_hand(world):
    """R9, R1: what came before is replayed, the task has the output, what came after runs; the original stays."""
    job = letters(world)
    assert world.run(job) == "abc"
    original = world.last(job)
    before = rows(world.client, original)
    world.take()
    fork = original.fork("b", output="X")
    assert fork.status == RunStatus.PENDING
    assert go_on(world, job, fork) == "Xc"
    assert world.take() == ["c"]
    assert fork.id != original.id
    assert fork.payload == original.payload
    assert rows(world.client, original) == before
    assert original.output == "abc"
    world.new_kernel()
    job = letters(world)
    assert go_on(world, job, world.client.run(fork.id)) == "Xc"
    assert world.take() == []


def test_without_an_output_the_task_runs_again(world):
    job = letters(world)
    world.run(job)
    world.take()
    fork = world.last(job).fork("b")
    assert go_on(world, job, fork) == "abc"
    assert world.take() == ["b", "c"]


def test_it_begins_by_itself_where_a_loop_runs(world):
    """As `rerun_from` does."""
    job = letters(world)
    world.run(job)

    async def fork():
        return await world.last(job).fork("a", output="Y")

    assert asyncio.run(fork()) == "Ybc"


def test_a_task_that_failed_is_given_an_output(world):
    job = letters(world, fail=ValueError("no"))
    world.fail(job)
    world.take()
    fork = world.last(job).fork("fails", output=None)
    assert go_on(world, job, fork) == "abc"
    assert world.take() == ["c"]


@pytest.mark.anyio
async def test_what_overlapped_the_task_is_copied(tmp_path):
    """R9: what first started before the task ended keeps its result, by ordinals; what came after runs again."""
    world = World(tmp_path)
    began = asyncio.Event()

    async def long():
        world.note("long")
        await began.wait()
        return 10

    async def short():
        world.note("short")
        began.set()
        return 2

    @world.job
    def job(payload, io):
        both = yield asyncio.gather(io.run_task("long", long), io.run_task("short", short))
        return (yield io.run_task("sum", world.body(sum, note="sum"), both))

    run = job.start()
    assert await run == 12
    world.take()
    assert await run.fork("long", output=100) == 102
    assert world.take() == ["sum"]


def test_tasks_around_it_are_opened(world):
    """R9: their bodies run again, their other children are kept; what was inside the task is not."""

    @world.job
    def job(payload, io):
        return (yield io.run_task("parent", parent))

    @world.body
    def parent(io):
        world.note("parent")
        first = yield io.run_task("first", world.noting("first"))
        second = yield io.run_task("second", second_body)
        return [first, second]

    @world.body
    def second_body(io):
        world.note("second")
        return (yield io.run_task("inner", world.noting("inner")))

    assert world.run(job) == ["first", "inner"]
    world.take()
    fork = world.last(job).fork(["parent", "second"], output="by hand")
    assert go_on(world, job, fork) == ["first", "by hand"]
    assert world.take() == ["parent"]
    assert [task.path for task in fork.tasks] == ["parent", "parent/first", "parent/second"]


def test_inside_a_task_whose_error_was_handled(world):
    """R5, R9: a handled error around the task is no result that stands: the body around it runs again."""

    @world.job
    def job(payload, io):
        try:
            return (yield io.run_task("parent", parent))
        except ValueError:
            return (yield io.run_task("else", world.noting("else")))

    @world.body
    def parent(io):
        if (yield io.run_task("is it", world.noting("is it", result="bad"))) == "bad":
            raise ValueError("bad")
        return "good"

    assert world.run(job) == "else"
    assert go_on(world, job, world.last(job).fork("parent/is it", output="fine")) == "good"


def test_a_handled_error_is_replayed(world):
    """R5: it is part of the story of the copy, too, though nothing that came after it is copied."""

    @world.job
    def job(payload, io):
        try:
            yield io.run_task("tried", world.failing("tried", ValueError("no")))
        except ValueError:
            first = yield io.run_task("instead", world.noting("instead"))
        return first

    assert world.run(job) == "instead"
    world.take()
    fork = world.last(job).fork("instead", output="by hand")
    assert go_on(world, job, fork) == "by hand"
    assert world.take() == []


@pytest.mark.anyio
@pytest.mark.parametrize("ended_the_run", [False, True])
async def test_an_error_that_overlapped_the_task(tmp_path, ended_the_run):
    """R5: a handled one is replayed, though nothing in the copy shows that it was; what ended the run is not final."""
    world = World(tmp_path)
    begun, failed = asyncio.Event(), asyncio.Event()

    async def bad():
        world.note("bad")
        if not failed.is_set():
            await begun.wait()
            failed.set()
            raise ValueError("no")
        return "better"

    async def good(after):
        begun.set()
        if after:
            await failed.wait()

    @world.client.job
    async def job(payload, io):
        async def chain():
            await io.run_task("first", good, True)
            return await io.run_task("second", good, False)

        if ended_the_run:  # "second" begins after the error, and the run yet fails of it
            both = await asyncio.gather(io.run_task("bad", bad), chain(), return_exceptions=True)
            if isinstance(both[0], ValueError):
                raise both[0]
        else:
            task = io.run_task("good", good, True)
            both = await asyncio.gather(io.run_task("bad", bad), task, return_exceptions=True)
        return [str(each) for each in both]

    run = job.start()
    if ended_the_run:
        with pytest.raises(ValueError, match="no"):
            await run
        assert await run.fork("second", output="by hand") == ["better", "by hand"]
        assert world.calls == ["bad", "bad"]
    else:
        assert await run == ["no", "None"]
        assert await run.fork("good", output="by hand") == ["no", "by hand"]
        assert world.calls == ["bad"]


@pytest.mark.anyio
async def test_what_was_cancelled_as_the_run_failed_begins_anew(tmp_path):
    """R5: it was lost with the run, and has no say in the copy."""
    world = World(tmp_path)
    begun = asyncio.Event()

    async def fails():
        await begun.wait()
        raise ValueError("no")

    async def lost():
        if not begun.is_set():
            begun.set()
            await asyncio.sleep(60)
        return "found"

    @world.client.job
    async def job(payload, io):
        async with asyncio.TaskGroup() as group:
            first = group.create_task(io.run_task("fails", fails))
            second = group.create_task(io.run_task("lost", lost))
        return [first.result(), second.result()]

    run = job.start()
    with pytest.raises(ExceptionGroup):
        await run
    assert run.task("lost").status == TaskStatus.CANCELED
    fork = run.fork("fails", output="fine")
    assert await fork == ["fine", "found"]
    assert fork.task("lost").reason == Reason.NEW


def test_what_runs_has_keys_of_the_fork(world):
    """I6: the key is a function of the run id: copies were done under the original's, and are not called."""
    keys = []

    @world.job
    def job(payload, io):
        yield io.run_task("a", world.body(lambda task: keys.append(task.idempotency_key)))
        yield io.run_task("b", world.body(lambda task: keys.append(task.idempotency_key)))

    world.run(job)
    original = world.last(job)
    fork = original.fork("a", output=None)
    go_on(world, job, fork)
    assert keys == [idempotency_key(original.id, path, 0) for path in "ab"] + [
        idempotency_key(fork.id, "b", 0)
    ]


@pytest.mark.anyio
async def test_a_wait_that_overlapped_keeps_its_end(tmp_path):
    """W1: one absolute deadline, also in the copy."""
    world = World(tmp_path)
    world.clock._autojump = False

    @world.client.job
    async def job(payload, io):
        return await asyncio.gather(io.wait("wait", days=2), io.run_task("a", world.noting("a")))

    run = job.start()
    await until(lambda: world.clock.deadlines and world.calls)
    run.pause()
    with pytest.raises(RunInterruptedError):
        await run
    world.clock.advance(3600)
    fork = run.fork("a", output="A")
    await until(lambda: world.clock.deadlines)
    assert fork.task("wait").next_at == run.task("wait").next_at
    world.clock.advance(2 * 86_400)
    assert await fork == [None, "A"]


def test_log_lines_and_key_values_are_copied(world):
    @world.job
    def job(payload, io):
        io.logger.info("before")
        yield io.store.run.set("set", "name", b"x" * 40_000)
        text = yield io.run_task("a", world.noting("a"))
        io.logger.info(text)
        return (yield io.store.run.get("get", "name"))

    world.run(job)
    original = world.last(job)
    fork = original.fork("a", output="A")
    original.delete()
    assert go_on(world, job, fork) == b"x" * 40_000
    assert sorted(line.name for line in fork.logs) == ["A", "before"]


def test_a_fork_of_a_fork(world):
    job = letters(world)
    world.run(job)
    first = world.last(job).fork("a", output="1")
    assert go_on(world, job, first) == "1bc"
    second = first.fork("b", output="2")
    assert go_on(world, job, second) == "2c"
    assert second.task("a").output == "1"
    assert first.output == "1bc"


def test_a_task_given_by_hand_is_run_again_like_any_other(world):
    """R9: it has its place among the others."""
    job = letters(world)
    world.run(job)
    fork = world.last(job).fork("b", output="X")
    go_on(world, job, fork)
    world.take()

    async def again():
        return await fork.rerun_from("b")

    assert asyncio.run(again()) == "abc"
    assert world.take() == ["b", "c"]


def test_edited_code_does_not_change_what_was_given_by_hand(world):
    """R6: no code made it."""
    job = letters(world)
    world.run(job)
    fork = world.last(job).fork("b", output="X")

    @world.job
    def job(payload, io):
        text = yield io.run_task("a", world.noting("a"))
        return (yield io.run_task("b", world.body(lambda text: text + "B!"), text))

    assert world.run(job, run_id=fork.id, on_change="rerun") == "X"


def test_children_of_the_original_stay_its_own(world):
    """I8: a copied child run is replayed; one that is begun after the fork is another."""

    @world.client.job
    def child(payload):
        world.note(f"child {payload}")
        return payload

    @world.job
    def job(payload, io):
        first = yield io.invoke_and_wait("first", child, 1)
        word = yield io.run_task("word", world.noting("word"))
        second = yield io.invoke_and_wait("second", child, word)
        return [first, second]

    assert world.run(job) == [1, "word"]
    original = world.last(job)
    world.take()
    fork = original.fork("word", output="other")
    assert go_on(world, job, fork) == [1, "other"]
    assert world.take() == ["child other"]
    assert fork._record.parent == ""
    assert len(child.runs()) == 3


def test_a_child_run_is_forked_as_a_run_of_its_own(world):
    job = letters(world)

    @world.job
    def above(payload, io):
        return (yield io.invoke_and_wait("invoke", job))

    assert world.run(above) == "abc"
    fork = world.last(job).fork("a", output="Z")
    assert go_on(world, job, fork) == "Zbc"
    assert fork._record.parent == fork._record.parent_task == ""


# Its values are its own -----------------------------------------------------------------------------


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "copies"])
@pytest.mark.parametrize("deleted", ["original", "fork"])
def test_deleting_either_leaves_the_other_whole(world, monkeypatch, links, deleted):
    """S5: a run's value files are its own."""
    if not links:

        def refuse(*_):
            raise PermissionError("no links here")

        monkeypatch.setattr(os, "link", refuse)
    values = ["x" * 50_000, b"y" * 50_000, [b"in a file" * 5_000, "x" * 40_000], {"small": 1}]

    @world.job
    def job(payload, io):
        got = []
        for n, result in enumerate(values):
            got.append((yield io.run_task(f"value {n}", world.noting(n, result))))
        last = yield io.run_task("last", world.noting("last"))
        return [*got, last]

    given = {"blob": b"z" * 50_000, "text": "w" * 50_000}
    payload = {"long": "p" * 50_000, "data": b"p" * 50_000}
    world.run(job, payload)
    original = world.last(job)
    fork = original.fork("last", output=given)
    (original if deleted == "original" else fork).delete()
    world.new_kernel()
    if deleted == "fork":
        assert world.client.run(original.id).output == [*values, "last"]
        return
    fork = world.client.run(fork.id)
    assert fork.payload == payload
    assert [task.output for task in fork.tasks] == [*values, given]


def test_only_files_that_it_speaks_of(world):
    @world.job
    def job(payload, io):
        yield io.run_task("first", world.noting("first"))
        yield io.run_task("second", world.noting("second", b"2" * 50_000))

    world.run(job)
    fork = world.last(job).fork("first", output=1)
    assert not world.client.runtime.store.blobs(fork.id).folder.exists()


def test_a_lost_value_is_lost_in_the_copy(world):
    """S4, S5: never silent, never a wrong value."""

    @world.job
    def job(payload, io):
        first = yield io.run_task("first", world.noting("first", ["x" * 50_000, b"y" * 50_000]))
        return [type(first).__name__, (yield io.run_task("second", world.noting("second")))]

    world.run(job)
    original = world.last(job)
    shutil.rmtree(world.client.runtime.store.blobs(original.id).folder)
    assert go_on(world, job, original.fork("second", output=2)) == ["Unstored", 2]


@pytest.mark.filterwarnings("ignore:the value of task")
def test_a_value_that_could_not_be_stored_is_there_while_the_kernel_is(world):
    """S4: later passes in this kernel get the live object, those of the copy too."""
    made = threading.Lock()

    @world.job
    def job(payload, io):
        first = yield io.run_task("first", world.noting("first", made))
        second = yield io.run_task("second", world.noting("second"))
        return [first is made, second]

    world.run(job)
    assert go_on(world, job, world.last(job).fork("second", output=2)) == [True, 2]


# Which run it is ------------------------------------------------------------------------------------


def test_the_same_fork_is_the_same_run(world):
    """I1: running its cell again repeats nothing."""
    job = letters(world)
    world.run(job)
    original = world.last(job)
    fork = original.fork("b", output="X")
    go_on(world, job, fork)
    world.take()
    assert original.fork("b", output="X").id == fork.id
    go_on(world, job, fork)
    assert world.take() == []
    others = [original.fork("b", output="Y"), original.fork("b"), original.fork("a", output="X")]
    assert len({fork.id, original.id, *(other.id for other in others)}) == 5


def test_a_run_id_names_another(world):
    job = letters(world)
    world.run(job)
    original = world.last(job)
    fork = original.fork("b", output="X", run_id="trial")
    assert fork.id == "trial"
    assert original.fork("b", output="X", run_id="trial").id == "trial"
    with pytest.raises(RunStateError, match="'trial' already"):
        original.fork("b", output="Y", run_id="trial")
    with pytest.raises(RunStateError, match="give another run_id"):
        original.fork("b", output="X", run_id=original.id)
    with pytest.raises(InvalidOptionError, match="run_id"):
        original.fork("b", output="X", run_id="")


def test_once_the_task_ran_again_it_is_another_fork(world):
    job = letters(world)
    world.run(job)
    original = world.last(job)
    first = original.fork("b", output="X")

    async def again():
        await original.rerun_from("a")

    asyncio.run(again())
    assert original.fork("b", output="X").id != first.id


def test_it_is_found_and_says_what_it_is(world):
    job = letters(world)
    world.run(job)
    original = world.last(job)
    fork = original.fork("b", output="X")
    assert [run.id for run in job.runs()] == [fork.id, original.id]
    assert f"A fork of run {original.id} at 'b'." in fork.tree()
    assert f"A fork of run {original.id}" in fork.export_html(world.directory / "fork.html").read_text(
        "utf-8"
    )
    given = fork.task("b")
    assert (given.status, given.output, given.name) == (TaskStatus.COMPLETED, "X", "b")
    assert given.output_properties == [{"label": "Output", "text": "given by hand"}]
    assert "given by hand" in fork.tree()


# What cannot be -------------------------------------------------------------------------------------


def test_what_cannot_be_forked(world):
    """It says why, and makes nothing."""
    job = letters(world)
    world.run(job)
    original = world.last(job)
    with pytest.raises(NotFoundError, match="has no task 'bb'; there is 'b'"):
        original.fork("bb", output=1)
    with pytest.raises(NotStorableError, match="generator"):
        original.fork("b", output=(n for n in ()))
    world.new_kernel()
    with pytest.raises(NotFoundError, match="not defined in this kernel"):
        world.client.run(original.id).fork("b", output=1)
    assert len(world.client.runs()) == 1


def test_a_fan_out_has_no_output_of_its_own(world):
    """C2: it is walked in every pass; one of its items has an output, and the others are kept (R9)."""

    @world.job
    def job(payload, io):
        return (yield io.parallel("all", [1, 2, 3], world.body(lambda n: n, note="item")))

    assert world.run(job) == [1, 2, 3]
    original = world.last(job)
    with pytest.raises(InvalidOptionError, match="'all' has no output of its own"):
        original.fork("all", output=[])
    world.take()
    assert go_on(world, job, original.fork("all/1", output=20)) == [1, 20, 3]
    assert world.take() == []


def test_another_kernel_drives_it(world):
    job = letters(world)
    world.run(job)
    original = world.last(job)
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(world.client.dir), original.id],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RunLockedError):
            original.fork("b", output="X")
        holder.communicate("\n")
    assert len(job.runs()) == 1


_HOLD = """
import sys
from pathlib import Path
from trigger_nb._store.lease import acquire
lease = acquire(Path(sys.argv[1]), sys.argv[2])
print("held", flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize(
    ("place", "there"),
    [
        ("blob:after-rename", False),
        ("commit:before", False),
        ("commit:within", False),
        ("commit:after", True),
    ],
)
def test_killed_in_the_middle(tmp_path, place, there):
    """R3: a fork is there whole or not at all, and is made by asking for it again."""
    world = World(tmp_path / "store")

    @world.job
    def job(payload, io):
        first = yield io.run_task("first", world.noting("first", b"1" * 50_000))
        return (yield io.run_task("second", world.body(len, note="second"), first))

    assert world.run(job) == 50_000
    world.new_kernel()
    done = subprocess.run(
        [sys.executable, "-c", _FORK, str(world.directory), place], cwd=ROOT, capture_output=True, check=False
    )
    assert done.returncode == -9, done.stderr.decode()
    world.client.job(id="job")(job.fn)
    runs = world.client.runs()
    assert len(runs) == 1 + there
    world.take()
    fork = runs[-1].fork("first", output=b"2" * 60_000, run_id="fork")
    assert [task.path for task in fork.tasks] == ["first"]
    assert go_on(world, job, fork) == 60_000
    assert world.take() == ["second"]


_FORK = """
import sys
from trigger_nb import TriggerClient
from trigger_nb._store import crashpoints
client = TriggerClient("world", dir=sys.argv[1], display=False)
client.job(id="job")(lambda: None)
run = client.runs()[0]
crashpoints.arm(sys.argv[2] + ":1")
run.fork("first", output=b"2" * 60_000, run_id="fork")
"""
