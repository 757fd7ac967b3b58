"""Bodies in pools of processes and threads (C3)."""

from __future__ import annotations

import asyncio
import linecache
import marshal
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from types import CodeType, SimpleNamespace

import cloudpickle
import psutil
import pytest

from tests.remote.conftest import make_pool
from tests.remote.effects import until, wait_for
from tests.remote.jobs import last, run
from tests.support.worlds import let_pass, running_bodies, time_is_up
from trigger_nb import Property, TaskStatus, TriggerClient
from trigger_nb._records.feed import Progressed, Saved
from trigger_nb._remote.backends import _sources
from trigger_nb.errors import (
    ExitError,
    InvalidOptionError,
    MissingExtraError,
    TaskTimeoutError,
    UsageError,
    WorkerLostError,
)

# There and back ------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("how", ["fork", "spawn", "forkserver"])
def test_what_was_never_in_a_module_goes_there_and_comes_back(client, how):
    """C3, R1, R2: closures, lambdas, local classes, `async def`; and a replay calls nothing."""

    @dataclass
    class Point:
        x: int
        pid: int

    more = 5

    def body(point, *, by=2):
        return point.x * by + more, os.getpid()

    async def later(*points):
        await asyncio.sleep(0)
        return {type(point).__name__ for point in points}, os.getpid()

    async def job(payload, io):
        first = await io.run_task("def", partial(body, by=3), Point(1, 0))
        second = await io.run_task("async", later, Point(2, 0), first)
        return first, second, await io.run_task("lambda", lambda: os.getpid())

    with make_pool(1, how) as pool:
        first, second, pid = run(client, job, executor=pool)
        assert (first, second) == ((8, pid), ({"Point", "tuple"}, pid))
        assert pid != os.getpid()
    assert run(client, job, executor=pool) == (first, second, pid)


def test_a_body_there_gets_a_snapshot_of_its_task(client, pool):
    """C3, I6."""

    def body(given, task):
        told = [task.run_id, task.path, task.key, task.id, task.idempotency_key, task.status]
        if task.attempt == 1:
            raise OSError("once")
        task.output_properties = [Property("Process", str(os.getpid()))]
        return [given, *told]

    async def job(payload, io):
        async def parent(io):
            return await io.run_task("b", body, 1, retry=2, executor=pool)

        return await io.run_task("a", parent)

    told = run(client, job)
    task = last(client).task("a/b")
    id = last(client).id
    assert told == [1, id, "a/b", "b", f"{id}/a/b", task.idempotency_key, "RUNNING"]
    assert task.attempt == 2
    assert task.output_properties[0]["label"] == "Process"


def test_without_arguments_the_task_is_filled_in_by_position(client, pool):
    async def job(payload, io):
        return await io.run_task("a", lambda t: t.key, executor=pool)

    assert run(client, job) == "a"


def test_progress_and_log_lines_come_home_while_it_runs(client, effects, pool):
    def body(task):
        task.log("begun", {"n": 1})
        for n in range(50):
            task.progress(n, 50, f"at {n}")
        effects.pass_through("seen")
        task.log("about to end", level="warning")
        return 1

    async def job(payload, io):
        seen = io._pass.feed.subscribe()
        told = []

        def look():
            told.extend(seen.take())
            progress = [e.text for e in told if isinstance(e, Progressed)]
            logged = [e.record.name for e in told if isinstance(e, Saved) and e.record.kind == "log"]
            return progress[-1:] == ["at 49"] and logged == ["begun"]  # the latest, which is always sent

        call = asyncio.ensure_future(io.run_task("a", body))
        await until(look)
        effects.open("seen")
        return await call

    assert run(client, job, executor=pool) == 1
    assert [(line.name, line.level, line.data) for line in last(client).logs] == [
        ("begun", "info", {"n": 1}),
        ("about to end", "warning", None),
    ]


def test_errors_come_home_as_themselves_and_are_replayed_so(client, pool):
    """R4: with what led to them, and where it was, also where pickle could not."""

    class Odd(Exception):
        def __init__(self, code, text):
            super().__init__(f"{code}: {text}")
            self.code = code

    def body():
        try:
            {}["key"]
        except KeyError as error:
            error.add_note("a note")
            raise Odd(7, "seven") from error

    async def job(payload, io):
        caught, n = [], 1
        for key, failing in (("a", body), ("b", lambda: [][n])):
            try:
                await io.run_task(key, failing)
            except (Odd, IndexError) as error:
                caught.append(error)
        errors.append(caught)
        return await io.run_task("end", os.getpid)

    errors = []
    pid = run(client, job, executor=pool)
    assert run(client, job, executor=pool) == pid
    for odd, index in errors:
        assert (type(odd), odd.code, str(odd)) == (Odd, 7, "7: seven")
        assert isinstance(odd.__cause__, KeyError)
        assert odd.__cause__.__notes__ == ["a note"]
        [note] = odd.__notes__
        assert note.startswith("raised on ")
        assert 'raise Odd(7, "seven") from error' in note
        assert "_remote" not in note
        assert "in <lambda>" in index.__notes__[0]


SOURCE = """
import functools
from dataclasses import dataclass

def divide(n):
    return [1 // each for each in range(n)]

@dataclass
class Page:
    @property
    def size(self):
        return divide(3)

def passed_on(function):
    @functools.wraps(function)
    def wrapper(*args):
        return function(*args)
    return wrapper

@passed_on
def body(page, n):
    def inner():
        return (lambda: page().size)()
    return inner()

def give(page):
    return page()
"""


@pytest.fixture(params=["fork", "forkserver", "spawn"])
def cell(request, monkeypatch):
    """What a cell defines, whose file is nowhere; and a pool whose workers have never seen it."""
    file = f"/nowhere/ipykernel_1/{request.param}.py"
    names = {"__name__": "__main__"}
    exec(compile(SOURCE, file, "exec"), names)
    monkeypatch.setattr(sys.modules["__main__"], "Page", names["Page"], raising=False)
    monkeypatch.setitem(linecache.cache, file, (len(SOURCE), None, SOURCE.splitlines(keepends=True), file))
    with make_pool(1, request.param) as pool:
        yield SimpleNamespace(file=file, pool=pool, **{n: names[n] for n in ("Page", "body", "give")})


@pytest.fixture(params=["installed", "renames", "keeps"])
def any_cloudpickle(request, monkeypatch):
    """The release that is installed; one that renames the files of code, as 3.1.3 does; one that does not."""

    class Pickler(cloudpickle.Pickler):
        def reducer_override(self, obj):
            if type(obj) is CodeType:
                code = obj.replace(co_filename="<dynamic-code>") if request.param == "renames" else obj
                return marshal.loads, (marshal.dumps(code),)
            return super().reducer_override(obj)

    if request.param != "installed":
        monkeypatch.setattr(cloudpickle, "Pickler", Pickler)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.usefixtures("any_cloudpickle")
def test_the_traceback_of_a_worker_has_the_line_of_every_function_of_the_cell(client, cell):
    """R4: of the body, and of the helpers, methods, lambdas and wrappers that it goes through."""

    async def job(payload, io):
        await io.run_task("a", partial(cell.body, cell.Page), 3, executor=cell.pool)

    with pytest.raises(ZeroDivisionError) as caught:
        run(client, job)
    note = caught.value.__notes__[0]
    assert "dynamic-code" not in note
    lines = [line.strip() for line in SOURCE.splitlines()]
    for function, line in {
        "wrapper": "return function(*args)",
        "body": "return inner()",
        "inner": "return (lambda: page().size)()",
        "<lambda>": "return (lambda: page().size)()",
        "size": "return divide(3)",
        "divide": "return [1 // each for each in range(n)]",
    }.items():
        assert f'File "{cell.file}", line {lines.index(line) + 1}, in {function}\n    {line}' in note


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.usefixtures("any_cloudpickle")
def test_a_class_of_the_cell_keeps_its_lines_when_its_object_comes_home(client, cell):
    """An object brings its class along, whose methods replace those that are here."""

    async def job(payload, io):
        return await io.run_task("a", cell.give, cell.Page, executor=cell.pool)

    assert type(run(client, job)) is cell.Page
    assert cell.Page.size.fget.__code__.co_filename == cell.file


def test_a_result_that_cannot_come_home_is_not_lost_silently_and_not_done_again(client, effects, pool):
    """S4."""

    def body():
        effects.add("done")
        return threading.Lock()

    async def job(payload, io):
        return str(type(await io.run_task("a", body)).__name__)

    with pytest.warns(RuntimeWarning, match="cannot be pickled"):
        assert run(client, job, executor=pool) == "Unstored"
    assert run(client, job, executor=pool) == "Unstored"
    assert effects.all == ["done"]


def test_a_body_that_leaves_its_process_is_an_error(client, small_pool):
    async def job(payload, io):
        return await io.run_task("a", lambda: sys.exit(3))

    with pytest.raises(ExitError, match="SystemExit: 3"):
        run(client, job, executor=small_pool)


# Which executor ------------------------------------------------------------------------------------


def test_task_over_job_over_client(pool, small_pool):
    client = TriggerClient("tests", display=False, executor=lambda: pytest.fail("not asked for"))

    async def job(payload, io):
        there = [await io.run_task(("job", n), os.getpid) for n in range(2)]
        here = await io.run_task("none", os.getpid, executor=None)
        on_loop = await io.run_task("loop", os.getpid, thread=False)
        task = await io.run_task("task", os.getpid, executor=pool)
        return there, here, on_loop, task, await io.random("random") <= 1

    there, here, on_loop, task, _ = run(client, job, executor=small_pool)
    assert len({*there, here, task}) == 3
    assert here == on_loop == os.getpid()

    other = TriggerClient("other", display=False, executor=small_pool)
    assert run(other, job)[0] == there


def test_a_thread_pool_shares_what_is_here(client):
    seen = []
    lock = threading.Lock()  # which cannot be pickled

    def body(item, task):
        with lock:
            seen.append(threading.current_thread().name)
        print("printed", item)
        return task.key

    async def job(payload, io):
        return await io.map("m", list("abc"), body, executor=pool)

    with ThreadPoolExecutor(1, thread_name_prefix="mine") as pool:
        assert len(run(client, job)) == 3
    assert seen == ["mine_0"] * 3
    assert last(client).task("m/a").prints == "printed a\n"


@pytest.mark.parametrize("given", [4, "dask", lambda workers: None, object()])
def test_what_is_no_executor_is_refused(client, given):
    async def job(payload, io):
        await io.run_task("a", os.getpid, executor=given)

    for attempt in (
        lambda: run(client, job),
        lambda: client.job(executor=given)(job),
        lambda: TriggerClient("other", executor=given),
    ):
        with pytest.raises(InvalidOptionError, match="function without parameters"):
            attempt()


def test_what_contradicts_itself_is_refused(client, pool):
    async def job(payload, io):
        await io.run_task("a", os.getpid, executor=pool, thread=False)

    with pytest.raises(InvalidOptionError, match="thread=False does not go with executor="):
        run(client, job)


def test_a_function_that_makes_no_executor_is_found_out(client):
    async def job(payload, io):
        await io.run_task("a", os.getpid, executor=lambda: 4)

    with pytest.raises(UsageError, match="must return a concurrent.futures.Executor, not 4"):
        run(client, job)


def test_a_body_that_takes_io_is_refused_before_anything_is_submitted(client):
    """C3: tasks are started where the run is."""

    async def parent(io):
        await io.run_task("child", os.getpid)

    async def job(payload, io):
        await io.run_task("parent", parent)

    with pytest.raises(UsageError, match="takes `io`.*executor=None"):
        run(client, job, executor=lambda: pytest.fail("it was asked for"))


def test_what_cannot_be_sent_is_a_mistake_of_the_calling_code(client, effects, pool):
    """I4: never recorded, never retried."""
    lock = threading.Lock()

    async def job(payload, io):
        await io.run_task("a", lambda: lock, retry=3)

    with pytest.raises(UsageError, match="the body of task 'a' cannot be sent to an executor.*lock"):
        run(client, job, executor=pool)
    assert last(client).tasks == []


def test_without_cloudpickle_the_error_says_what_to_install(client, pool, monkeypatch):
    monkeypatch.setitem(sys.modules, "cloudpickle", None)

    async def job(payload, io):
        await io.run_task("a", os.getpid)

    with pytest.raises(MissingExtraError, match=r'pip install "trigger_nb\[pickle\]"'):
        run(client, job, executor=pool)


def test_an_executor_that_was_shut_down_is_a_mistake(client):
    with make_pool(1) as pool:
        pass

    async def job(payload, io):
        await io.run_task("a", os.getpid)

    with pytest.raises(UsageError, match="after shutdown.*a function that creates one"):
        run(client, job, executor=pool)


def test_a_pool_is_made_once_also_by_a_lambda_in_a_loop(client):
    made = []

    def make():
        made.append(make_pool(1))
        return made[-1]

    async def job(payload, io):
        pids = [await io.run_task(n, os.getpid, executor=lambda: make()) for n in "ab"]
        pids += [await io.run_task(n, os.getpid, executor=partial(make_pool, 1)) for n in "cd"]
        return pids

    a, b, c, d = run(client, job)
    assert (a, c) == (b, d)
    assert len(made) == 1
    made[0].shutdown()
    for key in [key for key, source in _sources.items() if isinstance(key, tuple)]:
        _sources.pop(key)._backend.executor.shutdown()


def test_the_body_of_a_map_is_pickled_once(client, pool, tmp_path):
    class Body:
        pickled = 0

        def __call__(self, item):
            return item * 2

        def __reduce__(self):
            Body.pickled += 1
            return cloudpickle.loads, (cloudpickle.dumps(lambda item: item * 2),)

    async def job(payload, io):
        return await io.map("m", range(100), Body())

    assert run(client, job, executor=pool) == [n * 2 for n in range(100)]
    assert Body.pickled == 1


# Time and cancellation -----------------------------------------------------------------------------


def test_time_in_the_queue_is_no_part_of_a_timeout(client, effects, small_pool):
    """A3."""

    def first():
        effects.add("first")
        effects.pass_through("on")

    async def job(payload, io):
        one = asyncio.ensure_future(io.run_task("one", first, executor=small_pool))
        await until(lambda: effects.all)
        two = asyncio.ensure_future(io.run_task("two", lambda: 2, timeout=1800, executor=small_pool))
        await until(lambda: any(running.path == "two" for running in running_bodies.values()))
        let_pass(3600)
        await asyncio.sleep(0.001)  # a timer: those that are due come before it
        effects.open("on")
        await one
        return await two

    assert run(client, job) == 2


def test_a_body_whose_time_is_up_is_not_started_twice(client, effects, small_pool):
    """A3, A5: it goes on, and the next attempt takes its result."""

    def body():
        effects.add("begun")
        effects.pass_through("on")
        return "done"

    def on_error(error):
        assert isinstance(error, TaskTimeoutError)
        effects.open("on")

    async def job(payload, io):
        options = {"timeout": 60, "retry": 2, "on_error": on_error, "executor": small_pool}
        call = asyncio.ensure_future(io.run_task("a", body, **options))
        await until(lambda: effects.all)
        await time_is_up("a")
        return await call

    assert run(client, job) == "done"
    assert effects.all == ["begun"]


def test_cancel_calls_off_what_waits_and_keeps_what_runs(client, effects, small_pool):
    """A5, A7."""

    def body(n):
        effects.add(n)
        effects.pass_through("on")
        return n

    @client.job
    async def job(payload, io):
        return await io.parallel("p", range(6), body, executor=small_pool)

    async def main():
        run = job.start()
        await until(lambda: effects.all)
        run.cancel()
        await until(lambda: run.status == "CANCELED")
        return run

    cancelled = asyncio.run(main())
    effects.open("on")
    begun = effects.all[0]
    done = lambda: [task.path for task in cancelled.tasks if task.status == TaskStatus.COMPLETED]
    wait_for(lambda: f"p/{begun}" in done())
    small_pool.submit(os.getpid).result()  # whatever was submitted before has had its turn
    assert effects.counts[begun] == 1
    assert len(effects.all) <= 3  # two more were out of reach: they waited in the pipe to the process
    assert job.run_sync() == list(range(6))
    assert set(effects.counts.values()) == {1}


# Workers that die ----------------------------------------------------------------------------------


def test_a_worker_that_is_killed_breaks_a_pool_for_good(client, effects):
    """R4: it is an error of the attempt, which says what to do, and is replayed."""

    def kill():
        effects.add("begun")
        os.kill(os.getpid(), signal.SIGKILL)

    async def job(payload, io):
        try:
            await io.run_task("a", kill, retry=2)
        except WorkerLostError as error:
            caught = str(error), type(error.__cause__).__name__
        return *caught, await io.run_task("b", lambda: 1, executor=None)

    with make_pool(1) as pool:
        text, cause, _ = run(client, job, executor=pool)
        assert run(client, job, executor=pool)[:2] == (text, cause)
    assert "executor= a function that creates one" in text
    assert cause == BrokenProcessPool.__name__
    assert effects.all == ["begun"]


def test_a_kernel_that_died_was_not_killed_by_what_ran_elsewhere(world, pool):
    """A1: three times in a row, and the run does not stop and ask."""

    async def job(payload, io):
        failing = io.run_task("task", lambda: [][payload], executor=pool)
        with pytest.raises(IndexError):
            await failing
        return await io.run_task("last", lambda: 1)

    job = world.client.job(job)
    world.run(job, 1)
    world.leave_running(job, "task", crashes=2, executor="ProcessPoolExecutor")
    assert world.run(job, 1) == 1
    assert last(world.client).task("task").status == TaskStatus.ERRORED


@pytest.mark.parametrize(
    ("how", "moment", "processes"),
    [("fork", "starting", 2), ("fork", "idle", 2), ("forkserver", "starting", 1), ("spawn", "starting", 1)],
)
def test_processes_end_with_a_kernel_that_is_killed_before_their_first_body(
    effects, tmp_path, how, moment, processes
):
    """C3: each would wait for ever, on a pipe that it holds open itself."""
    command = [sys.executable, "-m", "tests.remote.killed_kernel", how, moment, str(tmp_path)]
    kernel = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: len(effects.all) == processes or kernel.poll() is not None)
        assert kernel.poll() is None
        started = [psutil.Process(int(pid)) for pid in effects.all]
    finally:
        kernel.kill()
        kernel.wait()
    try:
        wait_for(lambda: not any(map(is_alive, started)))
    finally:
        for process in filter(is_alive, started):
            process.kill()


def is_alive(process):
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_pool_that_is_made_by_a_function_is_made_again(client, effects):
    """A1: in mid-map a worker is killed; what was recorded is not done again, and nothing is lost."""
    recorded_at_kill = []
    made = []

    def make():
        made.append(make_pool(2))
        return made[-1]

    def body(n):
        effects.add(n)
        if n == 20 and effects.counts["20"] == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return n

    async def job(payload, io):
        seen = io._pass.feed.subscribe()
        result = await io.map("m", range(60), body, executor=make, retry=3, concurrency=4)
        saved = [e.record for e in seen.take() if isinstance(e, Saved) and not e.live]
        ended = [each.path for each in saved if each.status == TaskStatus.COMPLETED and each.path != "m"]
        assert len(ended) == len(set(ended)) == 60  # each is recorded once
        waiting = [at for at, each in enumerate(saved) if each.status == TaskStatus.WAITING]
        done = [each.path for each in saved[: waiting[0]] if each.status == TaskStatus.COMPLETED]
        recorded_at_kill.extend(done)
        return result

    assert run(client, job) == list(range(60))
    assert len(made) == 2
    assert recorded_at_kill
    tasks = {task.path: task.name for task in last(client).tasks}
    assert {effects.counts[tasks[path]] for path in recorded_at_kill} == {1}
    made[1].shutdown()


def test_a_batch_goes_there_as_one(client, effects, pool):
    """One call of the body for several items, each of which keeps its own result."""

    def body(items):
        effects.add(len(items))
        return [(n, os.getpid()) for n in items]

    async def later(items):
        return body(items)

    async def job(payload, io):
        return [await io.map(key, range(10), each, batch=4) for key, each in (("a", body), ("b", later))]

    for result in run(client, job, executor=pool):
        assert [n for n, _ in result] == list(range(10))
        assert os.getpid() not in {pid for _, pid in result}
    assert effects.counts == {"4": 4, "2": 2}
