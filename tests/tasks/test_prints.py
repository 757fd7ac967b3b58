"""What a body prints and logs is kept with its task, and goes where it would have gone (issue 3, cell prints)."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io as streams
import logging
import sys
import threading
import tracemalloc

import pytest

from tests.support.worlds import Gate, World, running_bodies, time_is_up, until, wait_until
from trigger_nb import Retry, TaskStatus
from trigger_nb._records.feed import Feed, Printed, Saved
from trigger_nb._records.prints import FIRST, LAST, Prints, without_times
from trigger_nb._records.records import RunRecord, TaskRecord
from trigger_nb._tasks import capture as capture_module
from trigger_nb._view.model.rows import State
from trigger_nb._view.model.run_model import RunModel
from trigger_nb.errors import TaskTimeoutError


def job_of(world, body, *args, **options):
    """A job with one task."""

    @world.job(id="job")
    def job(payload, io):
        return (yield io.run_task("task", body, *args, **options))

    return job


def prints(world, job, path="task"):
    return world.last(job).task(path).prints


def record(world, job, path="task"):
    run = world.last(job)
    (found,) = [each for each in run._runtime.task_records(run.id) if each.path == path]
    return found


def text_of(*writes, stream="out"):
    """What is kept of these writes, each on the same stream."""
    kept = Prints()
    for write in writes:
        kept.add(stream, write)
    return "".join(text for _, text in without_times(kept.pieces()))


def untimed(row):
    return without_times([list(map(str, piece)) for piece in row.prints])


# --- Which prints are whose -----------------------------------------------------------------------


def test_what_a_body_prints_is_kept_and_goes_where_it_went(world, capsys):
    """Issue 3: in the task's details as well as where it would have gone."""

    def body():
        print("one")
        print("two", "three", sep="-", end="!\n")
        return 1

    job = job_of(world, world.body(body))
    assert world.run(job) == 1
    assert prints(world, job) == "one\ntwo-three!\n"
    assert capsys.readouterr().out == "one\ntwo-three!\n"


def test_a_replay_prints_nothing_and_shows_what_was_printed(world, capsys):
    """R1: the body is not called, in this kernel and in the next."""
    job = job_of(world, world.body(lambda: print("once")))
    world.run(job)
    world.new_kernel()
    job = world.client.job(id="job")(job.fn)
    world.run(job)
    assert capsys.readouterr().out == "once\n"
    assert prints(world, job) == "once\n"


def test_streams_are_told_apart_in_the_order_of_the_writes(world, capsys):
    def body():
        print("a")
        print("b", file=sys.stderr)
        sys.stdout.writelines(["c", "\n"])

    job = job_of(world, world.body(body))
    world.run(job)
    kept = without_times(record(world, job).prints)
    assert kept == [["out", "a\n"], ["err", "b\n"], ["out", "c\n"]]
    assert capsys.readouterr() == ("a\nc\n", "b\n")


def test_a_subtasks_prints_are_its_own(world):
    """Issue 3: also in between, and with threads and tasks that the body started."""

    @world.job
    def job(payload, io):
        def parent(io):
            print("before")
            yield io.run_task("child", world.body(lambda: print("inside")))
            print("after")

        print("of no task")
        yield io.run_task("parent", world.body(parent))

    world.run(job)
    assert prints(world, job, "parent") == "before\nafter\n"
    assert prints(world, job, "parent/child") == "inside\n"


@pytest.mark.anyio
async def test_tasks_at_the_same_time_keep_apart(tmp_path, capsys):
    """C1: a context belongs to one body, in tasks and in threads that take it over."""
    world = World(tmp_path / "store")

    @world.client.job
    async def job(payload, io):
        async def by_task(name):
            for n in range(3):
                await asyncio.sleep(0)
                print(name, n)
            await asyncio.gather(*(asyncio.to_thread(print, name, "thread") for _ in range(2)))

        def by_thread(name):
            print(name)
            threading.Thread(target=print, args=("of no context",)).run()

        names = "abc"
        await asyncio.gather(
            *(io.run_task(name, by_task, name) for name in names),
            *(io.run_task(name * 2, by_thread, name) for name in names),
        )

    run = job.start()
    await run
    for name in "abc":
        lines = [f"{name} 0", f"{name} 1", f"{name} 2", f"{name} thread", f"{name} thread"]
        assert run.task(name).prints.splitlines() == lines
        assert run.task(name * 2).prints == f"{name}\nof no context\n"
    assert len(capsys.readouterr().out.splitlines()) == 3 * (5 + 2)
    world.new_kernel()


def test_lines_of_the_tree_are_not_noted_twice(world):
    """`io.logger` and `task.log` have rows of their own."""

    def body(io, task):
        io.logger.info("a row")
        task.log("another")

    job = job_of(world, world.body(body))
    world.run(job)
    assert prints(world, job) == ""
    assert {task.name for task in world.last(job).logs} == {"a row", "another"}


def test_a_record_without_prints_has_the_text_that_it_had(world):
    """A replay compares the beginning of the text: it is the same, and prints come after the value."""
    record = TaskRecord(code="c", inputs="i", started=1)
    assert "prints" not in record.dumps_result("1")
    printed = record.copy(prints=[["out", "x"]])
    assert printed.dumps_result("1") == record.dumps_result("1")[:-1] + ',"prints":[["out","x"]]}'


# --- Logging --------------------------------------------------------------------------------------


@contextlib.contextmanager
def new_logging():
    """The root logger without handlers, as in a new notebook; pytest gives it some before each test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()
    root.setLevel(logging.WARNING)
    try:
        yield root
    finally:
        for mine in set(root.handlers) - set(handlers):
            mine.close()
        root.handlers[:] = handlers
        root.setLevel(level)


def test_logging_without_configuration(world, capsys):
    """The last resort goes on working, and what it writes is not noted twice."""

    def body():
        logging.getLogger("shop").warning("only %d left", 3)
        logging.getLogger("shop").info("nobody wants to know")

    job = job_of(world, world.body(body))
    with new_logging() as root:
        world.run(job)
        assert root.handlers == []
    assert without_times(record(world, job).prints) == [["log", "WARNING:shop:only 3 left\n"]]
    assert capsys.readouterr().err == "only 3 left\n"


@pytest.mark.parametrize("when", ["before", "inside"])
def test_logging_to_a_stream(world, capsys, when):
    """A handler made before the run holds the stream itself; one made in the body finds it in `sys`."""

    def configure():
        logging.basicConfig(level=logging.INFO, format="%(name)s says %(message)s")

    def body():
        if when == "inside":
            configure()
        logging.getLogger("shop").info("open")
        print("between", file=sys.stderr)
        try:
            raise ValueError("no key")
        except ValueError:
            logging.getLogger("shop").exception("closed")

    job = job_of(world, world.body(body))
    with new_logging() as root:
        if when == "before":
            configure()
        world.run(job)
        assert len(root.handlers) == 1
    (_, opened), (_, between), (_, closed) = kept = without_times(record(world, job).prints)
    assert [stream for stream, _ in kept] == ["log", "err", "log"]
    assert (opened, between) == ("INFO:shop:open\n", "between\n")
    assert closed.startswith("ERROR:shop:closed\nTraceback")
    assert closed.endswith("ValueError: no key\n")
    err = capsys.readouterr().err
    mine = [line for line in err.splitlines() if not line.startswith("trigger_nb.run says")]
    assert mine[:4] == ["shop says open", "between", "shop says closed", "Traceback (most recent call last):"]


def test_logging_to_a_file_is_noted_too(world, tmp_path, capsys):
    job = job_of(world, world.body(lambda: logging.root.error("gone")))
    with new_logging() as root:
        root.addHandler(logging.FileHandler(tmp_path / "log.txt"))
        world.run(job)
    assert prints(world, job) == "ERROR:root:gone\n"
    assert (tmp_path / "log.txt").read_text() == "gone\n"
    assert capsys.readouterr().err == ""


def test_a_filter_decides(world):
    """What the logger lets nobody see is not noted either."""
    logger = logging.getLogger("filtered")
    drop = lambda record: "secret" not in record.getMessage()
    logger.addFilter(drop)

    def body():
        logger.warning("a secret")
        logger.warning("no s-word")

    job = job_of(world, world.body(body))
    world.run(job)
    logger.removeFilter(drop)
    assert prints(world, job) == "WARNING:filtered:no s-word\n"


def test_a_message_that_cannot_be_formatted_hurts_nobody(world, capsys):
    """logging reports it on stderr, and that is what is noted."""
    job = job_of(world, world.body(lambda: logging.root.warning("%d", "x")))
    with new_logging():
        world.run(job)
    assert "--- Logging error ---" in prints(world, job)
    assert "--- Logging error ---" in capsys.readouterr().err


def test_one_who_patches_logging_too(world):
    """Other libraries put themselves in the same place, over us and under us, and may stay there."""
    before = logging.Logger.callHandlers
    seen = []

    def patch():
        under = logging.Logger.callHandlers

        def over(self, record):
            seen.append(record.getMessage())
            return under(self, record)

        logging.Logger.callHandlers = over

    def body():
        patch()
        logging.root.warning("a")

    job = job_of(world, world.body(body))
    try:
        world.run(job)
        world.run(job, fresh=True)
        assert prints(world, job) == "WARNING:root:a\n"
        assert seen == ["a", "a", "a"]
    finally:
        logging.Logger.callHandlers = before


# --- Others who care for the streams --------------------------------------------------------------


def test_nothing_is_left_behind(world, capsys):
    """When the last pass has ended, streams and logging are as they were."""
    before = sys.stdout, sys.stderr, logging.Logger.callHandlers

    def body():
        assert isinstance(sys.stdout.write, capture_module._Tap)
        return sys.stdout is before[0]

    job = job_of(world, world.body(body))
    assert world.run(job) is True
    assert (sys.stdout, sys.stderr, logging.Logger.callHandlers) == before
    assert "write" not in vars(sys.stdout)
    assert "write" not in vars(sys.stderr)


def test_a_redirection_around_the_run_gets_all_of_it(world, capsys):
    """As `%%capture` does: the stream in place when the body begins is the one that is noted."""
    job = job_of(world, world.body(lambda: print("caught")))
    into = streams.StringIO()
    with contextlib.redirect_stdout(into):
        world.run(job)
    assert into.getvalue() == "caught\n"
    assert prints(world, job) == "caught\n"
    assert capsys.readouterr().out == ""
    assert "write" not in vars(into)


def test_what_a_body_redirects_is_its_own_affair(world, capsys):
    """Not printed, so not noted; after it all is as before."""

    def body():
        into = streams.StringIO()
        with contextlib.redirect_stdout(into):
            print("for me")
        print("for all")
        return into.getvalue()

    job = job_of(world, world.body(body))
    assert world.run(job) == "for me\n"
    assert prints(world, job) == "for all\n"
    assert capsys.readouterr().out == "for all\n"


@pytest.mark.anyio
async def test_redirections_in_any_order(tmp_path, capsys):
    """One that begins before the run and ends in it, and one that begins in it and ends after it."""
    world = World(tmp_path / "store")
    first, second = Gate(), Gate()
    early, late = streams.StringIO(), streams.StringIO()

    @world.client.job
    async def job(payload, io):
        async def body():
            print("early")
            await first.pass_through_async()
            print("between")
            await second.pass_through_async()
            await io.run_task("child", lambda: print("late"))

        await io.run_task("task", body)

    with contextlib.redirect_stdout(early):
        run = job.start()
        await until(first.reached.is_set)
    first.open()
    await until(second.reached.is_set)
    redirection = contextlib.redirect_stdout(late)
    redirection.__enter__()
    second.open()
    await run
    redirection.__exit__(None, None, None)
    assert (early.getvalue(), late.getvalue()) == ("early\n", "late\n")
    assert capsys.readouterr().out == "between\n"
    assert run.task("task/child").prints == "late\n"
    assert run.task("task").prints.startswith("early\n")
    assert not any("write" in vars(stream) for stream in (early, late, sys.stdout))
    world.new_kernel()


class Odd:
    """A stream that takes no attributes, and anything to write."""

    __slots__ = ("written",)

    def __init__(self):
        self.written = []

    def write(self, text):
        self.written.append(text)

    def flush(self):
        pass


class Kind(streams.StringIO):
    """A stream that takes more than text."""

    def write(self, text):
        return super().write(str(text))


def test_odd_streams_go_on_working(world, monkeypatch):
    """A fault of noting never reaches the body."""
    odd, kind = Odd(), Kind()
    monkeypatch.setattr(sys, "stdout", odd)
    monkeypatch.setattr(sys, "stderr", kind)

    def body():
        print("a", end="")
        print("b", end="", file=sys.stderr)
        sys.stderr.write(7)

    job = job_of(world, world.body(body))
    world.run(job)
    assert odd.written == ["a", ""]
    assert kind.getvalue() == "b7"
    assert prints(world, job) == "b"
    monkeypatch.setattr(sys, "stdout", None)  # as under pythonw
    world.run(job_of(world, world.body(lambda: print("nowhere"))), fresh=True)


def test_one_stream_for_both_is_noted_once(world, monkeypatch):
    both = streams.StringIO()
    monkeypatch.setattr(sys, "stdout", both)
    monkeypatch.setattr(sys, "stderr", both)
    job = job_of(world, world.body(lambda: print("a", file=sys.stderr)))
    world.run(job)
    assert (both.getvalue(), prints(world, job)) == ("a\n", "a\n")


# --- However it ends ------------------------------------------------------------------------------


def test_a_failed_task_keeps_them(world):
    def body():
        print("so far so good")
        raise ValueError("no")

    job = job_of(world, world.body(body))
    world.fail(job)
    assert record(world, job).status == TaskStatus.ERRORED
    assert prints(world, job) == "so far so good\n"


def test_attempts_are_kept_together_and_told_apart(world):
    """Also what `on_error` prints, and an attempt that prints nothing."""
    texts = ["first", "", "third"]

    def body(task):
        if text := texts[task.attempt - 1]:
            print(text, end="")
        if task.attempt < 3:
            raise OSError("again")

    def on_error(error, task, io):
        print(f"handled {task.attempt}")

    job = job_of(world, world.body(body), retry=Retry(limit=3, min_timeout=1), on_error=on_error)
    world.run(job)
    assert prints(world, job) == (
        "firsthandled 1\n— attempt 2 —\nhandled 2\n— attempt 3 —\nthird"
    )  # fmt: skip


def test_a_later_pass_that_calls_the_body_again_starts_anew(world):
    calls = []

    def body():
        calls.append(1)
        print("call", len(calls))
        if len(calls) == 1:
            raise ValueError("no")

    job = job_of(world, world.body(body))
    world.fail(job)
    world.run(job)
    assert prints(world, job) == "call 2\n"


def test_a_timeout_keeps_them(world):
    """A3: of a `def` body too, whose thread goes on."""
    gate = Gate()

    async def waits():
        print("begun")
        gate.reached.set()
        await asyncio.sleep(7200)

    def blocks():
        print("begun")
        gate.pass_through()
        print("ended")

    async def run_out():
        await until(gate.reached.is_set)
        await time_is_up("task")

    @world.job(id="job")
    def job(payload, io):
        io._pass.home.soon(lambda: running_out.append(asyncio.ensure_future(run_out())))
        yield io.run_task("task", waits if world.is_async else blocks, timeout=60)

    running_out = []
    assert isinstance(world.fail(job), TaskTimeoutError)
    assert record(world, job).status == TaskStatus.ERRORED
    assert prints(world, job) == "begun\n"
    gate.open()
    if not world.is_async:
        wait_until(lambda: not running_bodies)
        assert prints(world, job) == "begun\nended\n"


@pytest.mark.anyio
async def test_an_interrupted_and_a_canceled_task_keep_them(tmp_path):
    """A7, A8."""
    world = World(tmp_path / "store")
    gate = Gate()

    @world.client.job
    async def job(payload, io):
        async def lost():
            print("lost")
            await asyncio.sleep(60)

        async def stopped():
            print("stopped")
            await gate.pass_through_async()

        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(io.run_task("lost", lost), 0.05)
        assert run.task("lost").status == TaskStatus.CANCELED
        await io.run_task("stopped", stopped)

    run = job.start()
    await until(gate.reached.is_set)
    run.cancel()
    with contextlib.suppress(Exception):
        await run
    world.new_kernel()
    stored = world.client.run(run.id)
    assert stored.task("lost").prints + stored.task("stopped").prints == "lost\nstopped\n"


def test_what_is_printed_after_the_end_belongs_to_no_task(world, capsys):
    """A record that is committed does not change."""
    left = []

    def body():
        left.append(capture_module.current_scope.get())
        print("in time")

    @world.job
    def job(payload, io):
        yield io.run_task("task", world.body(body))
        token = capture_module.current_scope.set(left[0])
        print("too late")
        capture_module.current_scope.reset(token)

    world.run(job)
    assert prints(world, job) == "in time\n"
    assert capsys.readouterr().out == "in time\ntoo late\n"


# --- While it runs --------------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize("in_thread", [False, True])
async def test_what_was_printed_so_far_is_there_to_see(tmp_path, in_thread):
    """With one event until it is taken, and also for one who looks for the first time."""
    world = World(tmp_path / "store")
    gate = Gate()

    async def by_task():
        print("one")
        print("two")
        await gate.pass_through_async()
        print("three")

    def by_thread():
        print("one")
        print("two")
        gate.pass_through()
        print("three")

    @world.client.job
    async def job(payload, io):
        await io.run_task("task", by_thread if in_thread else by_task)

    run = job.start()
    runtime = run._runtime
    heard = runtime.feed(run.id).subscribe()
    model = RunModel(RunRecord(id=run.id, status="RUNNING"), seen={})
    await until(gate.reached.is_set)
    assert run.task("task").prints == "one\ntwo\n"
    events = heard.take()
    assert [event.path for event in events if isinstance(event, Printed)] == ["task"]
    assert "task" in model.apply(events)
    row = model.rows["task"]
    assert row.prints == run.model().rows["task"].prints
    assert untimed(row) == [["out", "one\ntwo\n"]]
    gate.open()
    await run
    assert model.apply(heard.take()) >= {"task"}
    assert row.state is State.COMPLETED
    assert untimed(row) == [["out", "one\ntwo\nthree\n"]]
    assert row.printed is None
    world.new_kernel()


def test_an_event_waits_once_for_each_listener():
    feed, kept = Feed(), Prints()
    one, other = feed.subscribe(), feed.subscribe()
    for _ in range(3):
        feed.emit(Printed("a", kept))
        feed.emit(Printed("b", kept))
    assert [event.path for event in one.take()] == ["a", "b"]
    feed.emit(Printed("a", kept))
    assert [event.path for event in one.take()] == ["a"]
    assert [event.path for event in other.take(1)] == ["a"]
    feed.emit(Printed("a", kept))
    feed.emit(Printed("b", kept))
    assert [event.path for event in other.take()] == ["b", "a"]


def test_prints_and_a_new_state_of_the_same_row():
    """What is around a row shows counts of it, and is drawn again when it ends, not when it prints."""
    model = RunModel(RunRecord(status="RUNNING"), [TaskRecord(path="a", status="RUNNING", started=1)])
    kept = Prints()
    kept.add("out", "x")
    assert model.apply([Printed("a/b", kept)]) == {"a/b"}
    ended = Saved(TaskRecord(path="a/b", started=2))
    assert model.apply([Printed("a/b", kept), ended]) == {"a/b", "a", ""}


def test_a_face_gets_text_that_does_nothing():
    """D5: control characters are written out; colours are left out, they are about the text."""
    record = TaskRecord(path="a", started=1, prints=[["out", "\x1b[31mred\x1b[0m \x1b]0;title\x07\n\u202e"]])
    row = RunModel(RunRecord(), [record]).rows["a"]
    assert row.prints == [("out", "red \\x1b]0;title\\x07\n\\u202e", 0)]
    broken = TaskRecord(path="b", started=1, prints=[["out"], "x", None, ["err", 7], ["out", "y", "then"]])
    assert RunModel(RunRecord(), [broken]).rows["b"].prints == [("err", "7", 0), ("out", "y", 0)]


# --- When -----------------------------------------------------------------------------------------


@pytest.fixture
def seconds(monkeypatch):
    """The clock of the prints: a list whose last number is the time."""
    now = [1000]
    monkeypatch.setattr("trigger_nb._records.prints.time.time", lambda: now[-1] + 0.7)
    return now


def test_the_second_in_which_a_line_was_printed_is_kept(seconds):
    """A line that is written in parts has the time of its last part; notes have none."""
    kept = Prints()
    for second, stream, text in [
        (1000, "out", "a\n"),
        (1000, "out", "b\n"),
        (1003, "out", "c"),
        (1004, "out", "d\n"),
        (1004, "err", "e\n"),
    ]:
        seconds.append(second)
        kept.add(stream, text)
    kept.attempt = 2
    kept.add("out", "f")
    assert kept.pieces() == [
        ["out", "a\nb\n", "1000"],
        ["out", "cd\n", "1004"],
        ["err", "e\n", "1004"],
        ["note", "— attempt 2 —\n"],
        ["out", "f", "1004"],
    ]
    assert without_times(kept.pieces())[0] == ["out", "a\nb\ncd\n"]


def test_a_line_a_second_for_hours_takes_little_room(seconds):
    """The text is kept as ever; only the newest lines have a time each."""
    kept = Prints()
    for second in range(20_000):
        seconds.append(second)
        kept.add("out", f"{second % 10}\n")
    pieces = kept.pieces()
    assert len(pieces) < 310
    assert pieces[-1] == ["out", "9\n", "19999"]
    assert sum(len(text) for _, text, *_ in pieces) == pytest.approx(FIRST + LAST, abs=60)


def test_times_of_prints_survive_the_kernel_and_leave_the_text_plain(world, seconds):
    def body():
        print("one")
        seconds.append(1007)
        print("two")

    job = job_of(world, world.body(body))
    world.run(job)
    world.new_kernel()
    assert record(world, job).prints == [["out", "one\n", "1000"], ["out", "two\n", "1007"]]
    assert prints(world, job) == "one\ntwo\n"


# --- How much -------------------------------------------------------------------------------------


def test_the_beginning_and_the_end_of_much():
    """Issue 3: in bounded size, and what lies between is counted."""
    lines = [f"line {n}\n" for n in range(100_000)]
    whole = "".join(lines)
    for kept in (
        text_of(*lines),
        text_of(whole),
        text_of(*(whole[at : at + 7] for at in range(0, len(whole), 7))),
    ):
        first, note, last = kept.partition(f"… {len(whole) - FIRST - LAST:,} characters left out …\n")
        assert note
        assert first == whole[:FIRST] + "\n"
        assert last == whole[-LAST:]


@pytest.mark.parametrize("size", [FIRST - 1, FIRST, FIRST + 1, FIRST + LAST - 1, FIRST + LAST])
def test_what_fits_is_kept_whole(size):
    text = ("x" * 99 + "\n") * (size // 100) + "y" * (size % 100)
    assert text_of(text) == text
    assert text_of(*text) == text


def test_a_flood_costs_little():
    """A body that prints 100 MB."""
    kept = Prints()
    line = "x" * 999 + "\n"
    tracemalloc.start()
    try:
        for _ in range(20_000):
            kept.add("out", line)
        kept.add("err", "y" * 30_000_000)
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < 200_000
    finally:
        tracemalloc.stop()
    assert sum(len(text) for _, text in without_times(kept.pieces())) < FIRST + LAST + 100
    assert "49,984,000 characters left out" in str(without_times(kept.pieces()))


@pytest.mark.parametrize(
    ("writes", "left"),
    [
        (["\r 0%", "\r 50%", "\r100%", "\n"], "100%\n"),  # tqdm
        (["a\n", "1/9\r", "2/9\r", "9/9\r"], "a\n9/9"),  # print(..., end="\r")
        (["a\n", "1/9\r", "done\n"], "a\ndone\n"),
        (["\rlong bar", "\r        \r"], ""),  # tqdm with leave=False
        (["one\r\n", "two\r", "\nthree"], "one\ntwo\nthree"),  # the line ends of another system
        (["\r\r\n", "\rx\r\r"], "\nx"),
        (["no end"], "no end"),
    ],
)
def test_a_progress_bar_is_kept_as_it_was_left(writes, left):
    """Issue 3: a line that overwrites itself, however it is cut into writes, and also when it is looked at meanwhile."""
    assert text_of(*writes) == left
    assert text_of("".join(writes)) == left
    assert text_of(*"".join(writes)) == left
    looked_at = Prints()
    for character in "".join(writes):
        looked_at.add("out", character)
        looked_at.pieces()
    assert "".join(text for _, text, *_ in looked_at.pieces()) == left


def test_a_bar_of_many_steps_takes_no_room():
    steps = [f"\r{n / 1000:.1f} %" + " " * 50 for n in range(100_000)]
    assert text_of("before\n", *steps, "\n", stream="err") == "before\n100.0 %\n"


def test_a_bar_and_lines_of_the_other_stream():
    kept = Prints()
    for stream, text in [
        ("err", "\r10%"),
        ("out", "a\n"),
        ("err", "\r20%"),
        ("err", "\r30%"),
        ("out", "b\n"),
    ]:
        kept.add(stream, text)
    assert without_times(kept.pieces()) == [["err", "10%"], ["out", "a\n"], ["err", "30%"], ["out", "b\n"]]


def test_many_threads_lose_nothing():
    kept = Prints()
    threads = [
        threading.Thread(target=lambda: [kept.add("out", "12345678\n") for _ in range(20_000)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        without_times(kept.pieces())
    (_, first), (_, note), (_, last) = without_times(kept.pieces())
    assert note == f"… {4 * 20_000 * 9 - FIRST - LAST:,} characters left out …\n"
    assert len(first) + len(last) == FIRST + LAST + 1


class Finalized(Prints):
    """A finalizer prints in the middle of the work."""

    def _take(self, text):
        if "late" not in text:
            for _ in range(300):
                self.add("err", "late ")
        super()._take(text)


def test_a_finalizer_may_print_at_any_moment():
    """It runs in the thread that it interrupts, wherever that is: it must not wait for it, and loses nothing."""
    kept = Finalized()
    kept.add("out", "x\n")
    without_times(kept.pieces())
    assert without_times(kept.pieces()) == [["out", "x\n"], ["err", "late " * 300]]
