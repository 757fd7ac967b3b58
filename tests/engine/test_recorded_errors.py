"""Errors that are handled are replayed, those that end a run are not final (rules R4, R5, R9)."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tests.support.worlds import World
from trigger_nb import Reason, RunStatus, TaskStatus

ROOT = Path(__file__).parents[2]


class Refused(Exception):
    def __init__(self, *, code):
        super().__init__(f"refused with {code}")
        self.code = code


# --- R5: handled or not -----------------------------------------------------------------------------


def test_a_handled_error_is_replayed(world):
    """R4, R5: `except` takes the same branch, and the body that failed is not called again."""

    @world.job
    def job(payload, io):
        try:
            yield io.run_task("charge", world.failing("charge", Refused(code=7)))
        except Refused as error:
            return (yield io.run_task("refund", world.noting(("refund", error.code))))

    assert world.run(job) == ("refund", 7)
    assert world.take() == ["charge", ("refund", 7)]
    world.new_kernel()
    assert world.run(world.again(job)) == ("refund", 7)
    assert world.take() == []


def test_an_error_handled_as_the_last_thing_is_replayed(world):
    """R5: nothing began after it, but its scope completed."""

    @world.job
    def job(payload, io):
        try:
            yield io.run_task("charge", world.failing("charge", Refused(code=7)))
        except Refused:
            return "handled"

    for _ in range(3):
        assert world.run(job) == "handled"
    assert world.take() == ["charge"]


def test_the_error_that_ended_the_run_is_not_final(world):
    """R5: its task and its ancestors run again, what completed is kept."""

    @world.job
    def job(payload, io):
        def parent(io):
            world.note("parent")
            yield io.run_task("before", world.noting("before"))
            return (yield io.run_task("child", child))

        yield io.run_task("first", world.noting("first"))
        return (yield io.run_task("parent", world.body(parent)))

    child = world.failing("child", OSError("down"), OSError("down"))
    for _ in range(2):
        assert isinstance(world.fail(job), OSError)
    assert world.run(job) == "child"
    assert world.take() == ["first", "parent", "before", "child", "parent", "child", "parent", "child"]


def wrapped(error):
    raise RuntimeError("wrapped") from error


def in_context(error):
    raise RuntimeError("in context")


def grouped(error):
    raise ExceptionGroup("several", [KeyError("another"), ExceptionGroup("deeper", [error])])


def reraised(error):
    raise error


@pytest.mark.parametrize("raises", [wrapped, in_context, grouped, reraised])
def test_it_is_found_however_it_was_wrapped(world, raises):
    """R5: through groups, causes and contexts."""

    @world.job
    def job(payload, io):
        try:
            return (yield io.run_task("charge", charge))
        except OSError as error:
            raises(error)

    charge = world.failing("charge", OSError("down"))
    assert isinstance(world.fail(job), Exception)
    assert world.run(job) == "charge"
    assert world.take() == ["charge", "charge"]


def test_a_finally_task_does_not_make_an_error_final(world):
    """R5: a task that began after it in a `finally` handles nothing: the error ended the run."""

    @world.job
    def job(payload, io):
        try:
            return (yield io.run_task("charge", charge))
        finally:
            yield io.run_task("clean-up", world.noting("clean-up"))

    charge = world.failing("charge", OSError("down"))
    assert isinstance(world.fail(job), OSError)
    assert world.run(job) == "charge"
    assert world.take() == ["charge", "clean-up", "charge"]


def test_an_error_handled_before_the_one_that_ended_the_run_stays(world):
    """R5: only the latter runs again; `retry(which="all")` runs the handled one again too."""

    @world.job
    def job(payload, io):
        try:
            got = yield io.run_task("primary", primary)
        except OSError:
            got = yield io.run_task("secondary", world.noting("secondary"))
        return got, (yield io.run_task("last", last))

    primary = world.failing("primary", OSError("down"))
    last = world.failing("last", ValueError("no"), ValueError("no"))
    assert isinstance(world.fail(job), ValueError)
    assert world.take() == ["primary", "secondary", "last"]
    assert isinstance(world.fail(job), ValueError)
    assert world.take() == ["last"]

    async def retry():
        return await job.runs()[0].retry(which="all")

    assert asyncio.run(retry()) == ("primary", "last")
    assert world.take() == ["primary", "last"]


def test_retry_of_a_completed_run_runs_handled_errors_again(world):
    """R5: `which="all"` reopens what was completed around them; without it all is replayed."""

    @world.job
    def job(payload, io):
        def parent(io):
            try:
                return (yield io.run_task("primary", primary))
            except OSError:
                return "none"

        return (yield io.run_task("parent", world.body(parent)))

    primary = world.failing("primary", OSError("down"))
    assert world.run(job) == "none"

    async def retry(**options):
        return await job.runs()[0].retry(**options)

    assert asyncio.run(retry()) == "none"
    assert world.take() == ["primary"]
    assert asyncio.run(retry(which="all")) == "primary"
    assert world.take() == ["primary"]


def test_rerun_from_a_task_inside_one_whose_error_was_handled(world):
    """R9: what is around it is opened, also when it ended in an error: its body runs again."""

    @world.job
    def job(payload, io):
        def parent(io):
            if (yield io.run_task("check", check)) == "bad":
                raise OSError("bad")
            return "good"

        try:
            return (yield io.run_task("parent", world.body(parent)))
        except OSError:
            return (yield io.run_task("else", world.noting("else")))

    answers = ["bad", "fine"]
    check = world.body(lambda: answers.pop(0))
    assert world.run(job) == "else"

    async def rerun():
        return await job.runs()[0].rerun_from("parent/check")

    assert asyncio.run(rerun()) == "good"


def test_children_that_failed_together_all_run_again(world):
    """R5: two of three failed; the group that ended the run names both."""

    def one(name, body):
        try:
            return (yield name(body))
        except OSError as error:
            return error

    @world.job
    def job(payload, io):
        calls = [one(lambda body, n=n: io.run_task(f"part-{n}", body), parts[n]) for n in range(3)]
        got = yield world.gather(*calls)
        errors = [each for each in got if isinstance(each, Exception)]
        if errors:
            raise ExceptionGroup("parts", errors)
        return got

    parts = [
        world.failing("part-0"),
        world.failing("part-1", OSError("1")),
        world.failing("part-2", OSError("2")),
    ]
    assert isinstance(world.fail(job), ExceptionGroup)
    world.take()
    assert world.run(job) == ["part-0", "part-1", "part-2"]
    assert sorted(world.take()) == ["part-1", "part-2"]


def test_an_error_that_was_neither_handled_nor_the_end_runs_again(world):
    """R5: the pass was interrupted right after it, so nobody knows what the code would have done."""
    stop = [True]

    @world.job
    def job(payload, io):
        try:
            yield io.run_task("charge", charge)
        except OSError:
            if stop[0]:
                run = world.last(job)
                run.cancel()
                while run._execution.pass_.stopping.why is None:  # it is the loop that does it
                    time.sleep(0.001)
            yield io.wait("pause", seconds=1)
        return "done"

    charge = world.failing("charge", OSError("down"))
    from trigger_nb.errors import RunCanceledError

    assert isinstance(world.fail(job), RunCanceledError)
    stop[0] = False
    assert world.run(job) == "done"
    assert world.take() == ["charge", "charge"]


def test_an_error_in_a_parent_that_is_interrupted_later_is_final(world):
    """R5: a stored task began after it in its scope, so it was handled."""
    stop = [True]

    @world.job
    def job(payload, io):
        def parent(io):
            try:
                yield io.run_task("primary", world.failing("primary", OSError("down")))
            except OSError:
                yield io.run_task("secondary", world.noting("secondary"))
            if stop[0]:
                raise ValueError("later")
            return "done"

        return (yield io.run_task("parent", world.body(parent)))

    assert isinstance(world.fail(job), ValueError)
    stop[0] = False
    assert world.run(job) == "done"
    assert world.take() == ["primary", "secondary"]


def test_the_story_of_a_run_is_told(world):
    """R7: the failed task, then retried; the handled one replayed as an error."""

    @world.job
    def job(payload, io):
        try:
            yield io.run_task("handled", world.failing("handled", OSError("1")))
        except OSError:
            pass
        return (yield io.run_task("ends", ends))

    ends = world.failing("ends", ValueError("2"))
    world.fail(job)
    run = world.last(job)
    assert (run.status, str(run.error)) == (RunStatus.FAILED, "2")
    assert {task.path: task.status for task in run.tasks} == {
        "handled": TaskStatus.ERRORED,
        "ends": TaskStatus.ERRORED,
    }
    assert isinstance(run.task("handled").error, OSError)

    async def second():
        run = job.start()
        await run
        return {task.path: task.reason for task in run.tasks}

    assert asyncio.run(second()) == {"handled": Reason.REPLAYED, "ends": Reason.RETRIED}


def test_the_error_is_raised_as_itself_with_notes(world):
    """Its type and text are the user's; its notes name the task and say that the next run resumes there."""

    @world.job
    def job(payload, io):
        def parent(io):
            yield io.run_task("child", world.failing("child", Refused(code=1), Refused(code=2)), retry=2)

        yield io.run_task("parent", world.body(parent))

    async def fail():
        try:
            await job.run()
        except Refused as error:
            return error

    error = asyncio.run(fail())
    notes = "\n".join(error.__notes__)
    assert "'parent/child'" in notes
    assert world.last(job).id in notes
    assert "again" in notes
    files = []
    step = error.__traceback__
    while step is not None:
        files.append(step.tb_frame.f_code.co_filename)
        step = step.tb_next
    assert not [each for each in files if "/trigger_nb/" in each]


def test_nothing_of_ours_stays_on_the_error(world):
    """R4: what we note on an error for ourselves is not stored as an attribute of it."""

    @world.job
    def job(payload, io):
        try:
            yield io.run_task("charge", world.failing("charge", Refused(code=7)))
        except Refused:
            return "handled"

    world.run(job)
    (record,) = [r for r in world.client.runtime.task_records(world.last(job).id) if r.path == "charge"]
    assert str(world.directory) not in json.dumps(record.error)


# --- R4: real classes, in the first pass and in a new kernel ----------------------------------------------

CELL = '''
import asyncio, json, subprocess, sys
import httpx, pydantic, requests
from trigger_nb import TriggerClient

class Mine(Exception):
    """Defined in a cell."""

class Keyword(Exception):
    def __init__(self, *, status, reason="none"):
        super().__init__(f"{status}: {reason}")
        self.status = status
        self.reason = reason

class Slotted(Exception):
    __slots__ = ("code",)
    def __init__(self, code):
        super().__init__("slotted")
        self.code = code

class Mixed(Mine, KeyError):
    pass

class User(pydantic.BaseModel):
    age: int

def os_error(): open("/nowhere/at/all")
def unicode_error(): b"\\xff".decode("utf-8")
def key_error(): {}["gone"]
def json_error(): json.loads("{")
def validation(): User(age="x")
def httpx_status():
    request = httpx.Request("POST", "https://x.y/z")
    httpx.Response(429, headers={"Retry-After": "7"}, json={"error": "slow down"}, request=request).raise_for_status()
def requests_status():
    response = requests.Response()
    response.status_code, response.url, response._content = 503, "https://x.y", b"down"
    response._content_consumed = True
    response.raise_for_status()
def group(): raise ExceptionGroup("several", [ValueError("v"), ExceptionGroup("inner", [KeyError("k")])])
def mine(): raise Mine("text", 3)
def keyword(): raise Keyword(status=404, reason="gone")
def slotted(): raise Slotted(17)
def mixed(): raise Mixed("k")
def timeout(): raise TimeoutError("slow")
def attribute(): (1).nothing
def exit_code(): subprocess.run([sys.executable, "-c", "print('out'); exit(3)"], check=True, capture_output=True)
def syntax(): compile("a b", "<x>", "exec")
def caused():
    try: {}["inner"]
    except KeyError as error: raise Mine("outer") from error
def noted():
    error = Mine("noted"); error.add_note("a note"); raise error

CASES = [os_error, unicode_error, key_error, json_error, validation, httpx_status, requests_status, group, mine,
         keyword, slotted, mixed, timeout, attribute, exit_code, syntax, caused, noted]
BRANCH = {
    "os_error": lambda e: (e.errno, e.filename, e.strerror),
    "unicode_error": lambda e: (e.encoding, e.object, e.start, e.end, e.reason),
    "json_error": lambda e: (e.msg, e.doc, e.pos, e.lineno),
    "validation": lambda e: (e.error_count(), [x["loc"] for x in e.errors()]),
    "httpx_status": lambda e: (e.response.status_code, e.response.headers["Retry-After"], e.response.json(), str(e.request.url)),
    "requests_status": lambda e: (e.response.status_code, e.response.text),
    "group": lambda e: (e.message, [type(x).__name__ for x in e.exceptions], repr(e.exceptions[1].exceptions[0])),
    "keyword": lambda e: (e.status, e.reason),
    "slotted": lambda e: e.code,
    "attribute": lambda e: e.name,
    "exit_code": lambda e: (e.returncode, e.cmd, e.stdout),
    "syntax": lambda e: (e.lineno, e.text, e.msg),
    "caused": lambda e: (type(e.__cause__).__name__, e.__cause__.args, e.__suppress_context__),
    "noted": lambda e: e.__notes__,
}

def describe(name, error):
    cls = type(error)
    return [cls.__module__, cls.__qualname__, [c.__name__ for c in cls.__mro__], repr(error.args), str(error),
            repr(BRANCH.get(name, lambda e: None)(error))]

bodies = []
def called(body):
    def wrapper():
        bodies.append(body.__name__)
        body()
    return wrapper

client = TriggerClient("errors", dir=sys.argv[1], display=False)
got = {}

@client.job
async def job(payload, io):
    for body in CASES:
        try:
            await io.run_task(body.__name__, called(body))
        except Exception as error:
            got[body.__name__] = describe(body.__name__, error)
    return len(got)

print(json.dumps({"output": job.run_sync(), "got": got, "bodies": bodies}))
'''


def test_real_classes_are_the_same_in_a_new_kernel(tmp_path):
    """R4: type, args, text and the attribute people branch on of 18 real errors, first pass and a new process."""
    script = tmp_path / "cell.py"
    script.write_text(CELL)

    def kernel():
        done = subprocess.run(
            [sys.executable, str(script), str(tmp_path / "store")],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
            env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    first, second = kernel(), kernel()
    assert first["output"] == second["output"] == 18
    assert len(first["bodies"]) == 18
    assert second["bodies"] == []
    for name, described in first["got"].items():
        assert second["got"][name] == described, name


def test_a_class_that_is_not_loaded_takes_the_same_branch(tmp_path):
    """R4: its nearest loaded base, and TaskError, which names it."""
    from trigger_nb.errors import TaskError

    world = World(tmp_path)
    namespace = {}
    exec(
        textwrap.dedent(
            """
            class Gone(LookupError):
                pass
            """
        ),
        namespace,
    )

    def define():
        @world.client.job
        async def job(payload, io):
            try:
                await io.run_task("fails", fails)
            except LookupError as error:
                return isinstance(error, TaskError), str(error)

        return job

    def fails():
        raise namespace["Gone"]("lost")

    assert world.run(define()) == (False, "lost")
    namespace.clear()
    world.new_kernel()
    import gc

    gc.collect()
    stands_in, text = world.run(define())
    assert text == "lost"
    assert stands_in
