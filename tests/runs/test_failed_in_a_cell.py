"""Issue 15, A failed task in a cell: its arguments, and a call of its body on them that records nothing."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import pytest
from pydantic import BaseModel, SecretStr

from tests.support.worlds import World
from trigger_nb import Retry
from trigger_nb._redact import secrets
from trigger_nb.errors import (
    InputsNotKeptError,
    InvalidOptionError,
    NotFoundError,
    RedactedError,
    RunStateError,
    TaskCrashedError,
    UsageError,
)


@dataclass
class Page:
    """An argument of a class."""

    number: int
    lines: list[str]


class Order(BaseModel):
    """An argument that is a model."""

    id: str
    total: float


def parse(page):
    """A body that a test edits: it fails for odd pages."""
    if page.number % 2:
        raise ValueError(f"page {page.number} is odd")
    return page.number * 10


async def parse_async(page):
    await asyncio.sleep(0)
    return parse(page)


def in_worker(number):
    if number < 0:
        raise ValueError(f"{number} in process {os.getpid()}")
    return os.getpid()


def texts(client, run):
    """All that is stored of a run: its rows, and its value files."""
    rows = client.runtime.store.select(run.id)
    files = [
        path.read_bytes().decode("utf-8", "replace")
        for path in client.dir.rglob("values/**/*")
        if path.is_file()
    ]
    return "\n".join([*(text for _, text in rows), *files])


def failing_job(world, body=parse, **options):
    @world.job
    def job(payload, io):
        yield io.run_task("good", world.noting("good"))
        return (yield io.run_task("bad", body, Page(3, ["a", "b"]), **options))

    return job


# Inputs -----------------------------------------------------------------------------------------------


def test_the_arguments_of_a_failed_task_are_objects(world):
    """With class and value, also in a new kernel."""
    job = failing_job(world)
    world.fail(job)
    for _ in range(2):
        inputs = world.last(job).task("bad").inputs
        assert inputs.args == (Page(3, ["a", "b"]),)
        assert type(inputs.args[0]) is Page
        assert inputs.kwargs == {}
        assert not inputs.altered
        assert repr(inputs) == "<inputs args=({'number': 3, 'lines': ['a', 'b']},)>"
        world.new_kernel()
        failing_job(world)


def test_a_task_that_completed_says_what_to_type(world):
    job = failing_job(world)
    world.fail(job)
    with pytest.raises(InputsNotKeptError, match=r"it is COMPLETED\. Type keep_inputs=True"):
        world.last(job).task("good").inputs
    with pytest.raises(InputsNotKeptError):
        world.last(job).task("good").call()


@pytest.mark.parametrize("level", ["task", "job", "client"])
def test_keep_inputs_keeps_those_of_all_tasks(tmp_path, level):
    world = World(tmp_path)
    if level == "client":
        world.options["keep_inputs"] = True

    @world.job(**({"keep_inputs": True} if level == "job" else {}))
    def job(payload, io):
        return (yield io.run_task("good", len, "abc", **({"keep_inputs": True} if level == "task" else {})))

    assert world.run(job) == 3
    assert world.last(job).task("good").inputs.args == ("abc",)
    assert world.last(job).task("good").call() == 3


def test_keep_inputs_of_a_map_keeps_those_of_its_items(world):
    @world.job
    def job(payload, io):
        return (yield io.map("m", ["a", "bb"], len, keep_inputs=True))

    assert world.run(job) == [1, 2]
    assert world.last(job).task(["m", "bb"]).inputs.args == ("bb",)


def test_keep_inputs_false_keeps_none(tmp_path):
    """The nearest level counts."""
    world = World(tmp_path)
    world.options["keep_inputs"] = True
    job = failing_job(world, keep_inputs=False)
    world.fail(job)
    with pytest.raises(InputsNotKeptError, match="keep_inputs=False"):
        world.last(job).task("bad").inputs


def test_keep_inputs_is_true_or_false(world):
    job = failing_job(world, keep_inputs="yes")
    with pytest.raises(InvalidOptionError, match="keep_inputs"):
        raise world.fail(job)


def test_arguments_that_the_body_changes_are_kept_as_they_were_given(tmp_path):
    """`keep_inputs=True` writes them before the body runs; without it, they say that they were changed."""

    def spoil(page):
        page.lines.clear()
        raise ValueError("spoilt")

    for options, lines, altered in (({"keep_inputs": True}, ["a", "b"], False), ({}, [], True)):
        world = World(tmp_path / str(altered))
        job = failing_job(world, spoil, **options)
        world.fail(job)
        inputs = world.last(job).task("bad").inputs
        assert inputs.args == (Page(3, lines),)
        assert inputs.altered is altered
        assert ("altered=True" in repr(inputs)) is altered


def test_large_arguments_are_in_a_file_and_very_large_ones_are_not_kept(world):
    """Bounded: rows stay short, and a task's arguments take 1 MB at most."""

    def fail(text):
        raise ValueError(len(text))

    @world.job
    def job(payload, io):
        return (yield io.map("m", ["x" * 10_000, "y" * 2_000_000], fail, item_key=len))

    world.fail(job)
    run = world.last(job)
    assert run.task(["m", 10_000]).inputs.args == ("x" * 10_000,)
    with pytest.raises(InputsNotKeptError, match=r"longer than 1 MB.*run\.task\(path\)\.params"):
        run.task(["m", 2_000_000]).inputs
    rows = world.client.runtime.store.select(run.id)
    assert all(len(text) < 10_000 for _, text in rows)
    run.delete()
    assert not [path for path in world.client.dir.rglob("values/**/*") if path.is_file()]


def test_arguments_that_no_codec_can_write_say_which(world):
    def fail(lock):
        raise ValueError("no")

    @world.job
    def job(payload, io):
        return (yield io.run_task("bad", fail, [1, iter([])]))

    world.fail(job)
    with pytest.raises(InputsNotKeptError, match="list_iterator"):
        world.last(job).task("bad").inputs


def test_a_fork_has_the_kept_arguments_too(world):
    """R9: handled failures are copied, and the files of their arguments with them."""

    def fail(text):
        raise ValueError(len(text))

    @world.job
    def job(payload, io):
        try:
            yield io.run_task("bad", fail, "x" * 5_000)
        except ValueError:
            pass
        return (yield io.run_task("after", world.noting("after")))

    world.run(job)
    run = world.last(job)
    fork = run.fork("after")
    run.delete()
    assert fork.task("bad").inputs.args == ("x" * 5_000,)


def test_a_body_that_killed_its_kernel_has_its_arguments(world):
    """A1: after three crashes the task fails without being called."""
    job = failing_job(world)
    world.fail(job)
    world.leave_running(job, "bad", crashes=2)
    world.new_kernel()
    job = failing_job(world)
    assert isinstance(world.fail(job), TaskCrashedError)
    assert world.last(job).task("bad").inputs.args == (Page(3, ["a", "b"]),)


# Secrets ----------------------------------------------------------------------------------------------


def test_a_secret_among_the_arguments_is_not_stored(world):
    """S8: what comes back raises when it is used."""

    def fail(token, text):
        token.get_secret_value()
        raise ValueError(text)

    @world.job
    def job(payload, io):
        return (yield io.run_task("bad", fail, SecretStr("canary-1234567"), "hello"))

    world.fail(job)
    run = world.last(job)
    assert "canary-1234567" not in texts(world.client, run)
    assert run.task("bad").inputs.args[1] == "hello"
    with pytest.raises(RedactedError):
        run.task("bad").call()


@pytest.mark.parametrize("size", [1, 5_000])
def test_arguments_with_a_credential_of_an_integration_are_not_stored(world, size):
    """S8: credentials are in no stored text, whether in a row or in a file."""
    secrets.add("sk-canary-0987654321")

    def fail(header, text):
        raise ValueError("no")

    @world.job
    def job(payload, io):
        return (yield io.run_task("bad", fail, {"auth": "Bearer sk-canary-0987654321"}, "x" * size))

    world.fail(job)
    run = world.last(job)
    assert "sk-canary" not in texts(world.client, run)
    with pytest.raises(InputsNotKeptError, match="credential"):
        run.task("bad").inputs


def test_redacted_arguments_are_stored_only_when_asked(tmp_path):
    """S8: `redact=` hides what is shown; what no replay needs is not written unasked."""

    def fail(user):
        raise ValueError("no")

    for kept in (False, True):
        world = World(tmp_path / str(kept))

        @world.job(redact=["email"], **({"keep_inputs": True} if kept else {}))
        def job(payload, io):
            user = {"id": 7, "email": "ana@example.com", "text": "x" * 500}
            for key, value in (("plain", {"id": 8}), ("bad", user)):
                with suppress(ValueError):
                    yield io.run_task(key, fail, value)

        world.run(job)
        run = world.last(job)
        assert run.task("plain").inputs.args == ({"id": 8},)
        if not kept:
            assert "ana@example.com" not in texts(world.client, run)
            with pytest.raises(InputsNotKeptError, match=r"redact=.*keep_inputs=True"):
                run.task("bad").inputs
        else:
            assert run.task("bad").inputs.args[0]["email"] == "ana@example.com"
            assert "ana@example.com" not in repr(run.task("bad").inputs)
            assert "ana@example.com" not in run.tree()


# The call ---------------------------------------------------------------------------------------------


def test_call_calls_todays_body_and_records_nothing(world, monkeypatch):
    """The edited function of the notebook, on the stored arguments; the run is as it was."""
    job = failing_job(world)
    world.fail(job)
    run = world.last(job)
    before = dict(world.client.runtime.store.select(run.id)), run.status
    with pytest.raises(ValueError, match="page 3 is odd"):
        run.task("bad").call()
    world.take()

    @world.job(id="job")
    def edited(payload, io):
        yield io.run_task("good", world.noting("good"))
        return (yield io.run_task("bad", lambda page: page.number * 100, Page(3, ["a", "b"])))

    assert run.task("bad").call() == 300
    assert world.take() == []
    assert (dict(world.client.runtime.store.select(run.id)), run.status) == before


def test_the_body_is_found_in_a_new_kernel(world):
    """By a rehearsal: also a lambda, with what its closure has."""

    def define():
        @world.job
        def job(payload, io):
            factor = yield io.run_task("factor", world.body(lambda: 7))

            def body(page):
                world.note("called")
                if page.number == 3 and len(world.calls) < 2:
                    raise ValueError("the first time")
                return page.number * factor

            return (yield io.run_task("bad", body, Page(3, [])))

        return job

    world.fail(define())
    world.new_kernel()
    job = define()
    assert world.last(job).task("bad").call() == 21


def test_an_item_of_a_map_is_called_alone(world):
    def half(number):
        if number % 2 and not allowed:
            raise ValueError(number)
        return number / 2

    allowed = []

    @world.job
    def job(payload, io):
        return (yield io.map("m", range(6), half))

    world.fail(job)
    run = world.last(job)
    with pytest.raises(ValueError, match="3"):
        run.task(["m", 3]).call()
    allowed.append(True)
    assert run.task(["m", 3]).call() == 1.5
    assert run.task("m").status == "ERRORED"


@pytest.mark.parametrize("is_async", [False, True])
def test_an_item_of_a_batch_is_a_list_of_one(tmp_path, is_async):
    world = World(tmp_path)
    allowed = []

    def halves(numbers):
        if 3 in numbers and not allowed:
            raise ValueError(numbers)
        return [each / 2 for each in numbers]

    async def halves_async(numbers):
        return halves(numbers)

    @world.job
    def job(payload, io):
        return (yield io.map("m", range(6), halves_async if is_async else halves, batch=2))

    world.fail(job)
    allowed.append(True)
    task = world.last(job).task(["m", 3])
    assert task.inputs.args == (3,)
    assert (asyncio.run(task.call()) if is_async else task.call()) == 1.5


def test_the_call_of_an_async_body_is_awaited(tmp_path):
    world = World(tmp_path)
    job = failing_job(world, parse_async)
    world.fail(job)
    with pytest.raises(ValueError, match="page 3 is odd"):
        asyncio.run(world.last(job).task("bad").call())


@pytest.mark.parametrize("pool", [ThreadPoolExecutor, ProcessPoolExecutor])
def test_a_task_in_an_executor_is_called_here(tmp_path, pool):
    """So that `breakpoint()` works in it."""
    with pool(1) as executor:
        world = World(tmp_path)

        @world.job
        def job(payload, io):
            return (yield io.run_task("bad", in_worker, -1, executor=executor))

        world.fail(job)
        task = world.last(job).task("bad")
        assert task.inputs.args == (-1,)
        with pytest.raises(ValueError, match=f"-1 in process {os.getpid()}"):
            task.call()


def test_the_call_happens_on_this_thread_and_its_traceback_leads_into_the_body(world):
    """`%debug` and `breakpoint()`: no thread, no loop, and the body's frame is the last one."""
    job = failing_job(world)
    world.fail(job)
    with pytest.raises(ValueError, match="odd") as caught:
        world.last(job).task("bad").call()
    assert caught.traceback[-1].name == "parse"
    assert caught.traceback[-1].frame.f_locals["page"] == Page(3, ["a", "b"])


def test_a_body_gets_the_task_with_its_idempotency_key(world):
    seen = []

    def charge(amount, task):
        seen.append((task.path, task.attempt, task.idempotency_key))
        task.progress(1, 2)
        task.log("charging")
        if len(seen) < 3:
            raise ValueError(amount)
        return "charged"

    job = failing_job(world, charge, retry=Retry(2))
    world.fail(job)
    run = world.last(job)
    logged = len(run.logs)
    assert run.task("bad").call() == "charged"
    assert seen[2] == seen[1]
    assert seen[2][2] == run.task("bad").idempotency_key
    assert len(run.logs) == logged


def test_a_subtask_is_called_by_its_name_or_as_the_last_pass_had_it(world):
    """A rehearsal calls no bodies, so it does not come to subtasks."""

    def define(factor=1):
        def outer(io):
            yield io.run_task("named", parse, Page(2, []))

            def inner(page):
                if page.number == 3:
                    raise ValueError("inner")
                return page.number * factor

            return (yield io.run_task("inner", inner, Page(3, [])))

        body = world.body(outer)

        @world.job
        def job(payload, io):
            return (yield io.run_task("outer", body))

        return job

    world.fail(define())
    run = world.last(define())
    with pytest.raises(ValueError, match="inner"):
        run.task("outer/inner").call()
    with pytest.raises(UsageError, match=r"uses `io`.*subtask"):
        run.task("outer").call()
    world.new_kernel()
    with pytest.raises(NotFoundError, match=r"only while the body of 'outer' runs.*run\.retry\(\)"):
        world.last(define()).task("outer/inner").call()


def test_without_the_job_the_message_names_it(world):
    job = failing_job(world, lambda page: page.number / 0)
    world.fail(job)
    run_id = world.last(job).id
    world.new_kernel()
    with pytest.raises(NotFoundError, match="job 'job' is not defined in this kernel"):
        world.client.run(run_id).task("bad").call()


def test_a_function_of_a_module_needs_no_job(world):
    job = failing_job(world)
    world.fail(job)
    run_id = world.last(job).id
    world.new_kernel()
    with pytest.raises(ValueError, match="page 3 is odd"):
        world.client.run(run_id).task("bad").call()


def test_a_job_that_does_not_come_to_the_task_any_more(world):
    job = failing_job(world, lambda page: page.number / 0)
    world.fail(job)
    world.new_kernel()

    @world.job(id="job")
    def other(payload, io):
        return (yield io.run_task("good", world.noting("good")))

    with pytest.raises(NotFoundError, match=r"does not come to this task.*\.inputs"):
        world.last(other).task("bad").call()


def test_a_model_as_an_argument(world):
    def fail(order):
        raise ValueError(order.id)

    @world.job
    def job(payload, io):
        return (yield io.run_task("bad", fail, Order(id="o1", total=4.5)))

    world.fail(job)
    assert world.last(job).task("bad").inputs.args == (Order(id="o1", total=4.5),)


def test_tasks_of_an_older_store_have_no_inputs(world):
    """Records without the field are read as before."""
    job = failing_job(world)
    world.fail(job)
    world.change_record(job, "bad", given={})
    with pytest.raises(InputsNotKeptError, match="older version"):
        world.last(job).task("bad").inputs


def test_what_has_no_body_says_so(world):
    @world.job
    def job(payload, io):
        yield io.wait("pause", seconds=1)
        return (yield io.map("m", [1], world.body(lambda item: item)))

    world.run(job)
    for path in ("pause", "m"):
        with pytest.raises(InputsNotKeptError, match="no body"):
            world.last(job).task(path).inputs
    with pytest.raises(RunStateError):
        world.last(job).resume()


def test_an_item_of_a_parallel_is_called_and_set_by_hand(world):
    allowed = []

    def inverse(number):
        return 1 / (number if allowed else number - 2)

    @world.job
    def job(payload, io):
        return (yield io.parallel("p", [1, 2, 4], inverse))

    world.fail(job)
    run = world.last(job)
    with pytest.raises(ZeroDivisionError):
        run.task("p/1").call()
    allowed.append(True)
    assert run.task("p/1").call() == 0.5
    run.set_output("p/1", "by hand")
    assert world.run(job) == [-1, "by hand", 0.5]


def test_a_child_run_has_no_arguments_but_a_result_can_be_set(world):
    """Its own tasks are opened in the child run."""

    @world.job
    def child(payload, io):
        return (yield io.run_task("x", lambda: 1 / 0))

    @world.job
    def parent(payload, io):
        return (yield io.invoke_and_wait("kid", child, 5))

    world.fail(parent)
    run = world.last(parent)
    with pytest.raises(InputsNotKeptError, match="no body"):
        run.task("kid").inputs
    with pytest.raises(ZeroDivisionError):
        world.last(child).task("x").call()
    run.set_output("kid", 77)
    assert world.run(parent) == 77


def test_a_body_that_uses_the_io_of_its_closure_says_so(world):
    """The rehearsal that found it is over, and nothing of it may be recorded."""
    allowed = []

    @world.job
    def job(payload, io):
        def body(number):
            if not allowed:
                raise ValueError("no")
            return io.run_task("sub", lambda: number)

        return (yield io.run_task("outer", body, 3))

    world.fail(job)
    task = world.last(job).task("outer")
    with pytest.raises(ValueError, match="no"):
        task.call()
    allowed.append(True)

    async def call():
        value = task.call()
        return await value

    with pytest.raises(UsageError, match="uses `io`"):
        asyncio.run(call()) if world.is_async else task.call()
    assert "outer/sub" not in [each.path for each in world.last(job).tasks]
