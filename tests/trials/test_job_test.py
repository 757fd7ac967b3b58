"""`job.test`: a job runs without the outside world, time included, and its run can be looked at."""

from __future__ import annotations

import asyncio
import contextlib
import copyreg
import gc
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import AsyncMock, Mock

import httpx
import pytest
from pydantic import BaseModel

from tests.support.worlds import wait_until
from trigger_nb import ConcurrencyLimit, Retry, TriggerClient, event_trigger
from trigger_nb.errors import InvalidOptionError, InvalidPayloadError, NoStubError, UnknownStubError
from trigger_nb.integrations import Integration, Slack
from trigger_nb.testing import FakeClock

ELSEWHERE = "203.0.113.7"  # an address that is nobody's


@pytest.fixture
def client():
    return TriggerClient("shop")


class User(BaseModel):
    name: str


@dataclass
class Letter:
    to: str


def fetch(user_id) -> User:
    socket.create_connection((ELSEWHERE, 443))
    raise AssertionError("connected")


async def send(user):
    return Letter(user.name)


@pytest.fixture(params=["async def", "def"])
def order(request, client):
    """One job in both forms: a result, a wait, and a task that is retried."""
    if request.param == "async def":

        @client.job
        async def order(payload, io):
            user = await io.run_task("fetch", fetch, payload["id"])
            await io.wait("pause", days=3)
            letter = await io.run_task("send", send, user, retry=Retry(limit=3, min_timeout=3600))
            return letter.to
    else:

        @client.job
        def order(payload, io):
            user = io.run_task("fetch", fetch, payload["id"])
            io.wait("pause", days=3)
            letter = io.run_task("send", send, user, retry=Retry(limit=3, min_timeout=3600))
            return letter.to

    return order


def test_a_job_runs_without_the_outside_world_and_without_time(order):
    run = order.test(
        {"id": 7}, stubs={"fetch": User(name="Ana"), "send": [OSError("busy"), OSError(), Letter("Ben")]}
    )
    assert (run.status, run.output) == ("COMPLETED", "Ben")
    assert run.task("send").attempt == 3
    assert run.finished_at - run.started_at > timedelta(days=3)
    assert list(order.runs()) == []  # nothing in the real store


def test_a_test_in_an_async_function_may_await_it_or_not(order):
    async def main():
        run = await order.test({"id": 7}, stubs={"fetch": {"name": "Ana"}})
        return run.output, order.test({"id": 7}, stubs={"fetch": {"name": "Ana"}}).output

    assert asyncio.run(main()) == ("Ana", "Ana")


def test_a_plain_stub_becomes_the_model_that_the_body_declares(order):
    run = order.test({"id": 7}, stubs={"fetch": {"name": "Ana"}})
    assert run.output == "Ana"
    assert run.task("send").output == Letter("Ana")  # which has no stub, and ran


def test_a_run_that_fails_is_returned_and_shows_its_error(order):
    run = order.test({"id": 7}, stubs={"fetch": ConnectionError("down")})
    assert run.status == "FAILED"
    assert isinstance(run.error, ConnectionError)
    assert repr(run).endswith("FAILED, ConnectionError: down>")
    assert "ConnectionError: down" in run.tree()
    assert "run.retry" not in run.tree()  # the test is run again instead
    assert run.output is None


def test_a_stub_gets_the_arguments_of_the_body(order):
    asked = Mock(return_value={"name": "Ana"})
    sent = AsyncMock(return_value=Letter("Ana"))
    order.test({"id": 7}, stubs={"fetch": asked, "send": sent})
    asked.assert_called_once_with(7)
    sent.assert_awaited_once_with(User(name="Ana"))


def test_a_stub_can_take_the_task(order):
    run = order.test({"id": 7}, stubs={"fetch": lambda user_id, task: {"name": f"{task.path} {user_id}"}})
    assert run.output == "fetch 7"


def test_a_list_is_an_output_unless_it_holds_errors(client):
    @client.job
    async def job(payload, io):
        return await io.run_task("list", lambda: None)

    assert job.test(stubs={"list": [1, 2]}).output == [1, 2]
    assert job.test(stubs={"list": [ValueError, [1, 2]]}).status == "FAILED"  # no second attempt


def test_a_missing_stub_is_named_with_its_place(order):
    with pytest.raises(
        NoStubError, match=rf"'fetch', called at .*test_job_test.py, line \d+, reaches for {ELSEWHERE}"
    ) as caught:
        order.test({"id": 7})
    assert caught.value.path == "fetch"
    with pytest.raises(NoStubError, match="no task has the path of the stub 'fetsh'"):
        order.test({"id": 7}, stubs={"fetsh": {"name": "Ana"}})


@pytest.mark.parametrize("wraps", [True, False])
def test_a_missing_stub_is_told_even_if_the_code_swallows_the_error(client, wraps):
    def reach():
        try:
            fetch(1)
        except Exception as error:
            if wraps:
                raise ConnectionError("as an SDK wraps it") from error

    @client.job
    async def job(payload, io):
        try:
            await io.run_task("reach", reach, retry=3)
        except Exception:
            return "swallowed"

    with pytest.raises(NoStubError, match="reach"):
        job.test()


def test_code_between_tasks_does_not_reach_for_a_service_either(client):
    @client.job
    async def job(payload, io):
        return fetch(1)

    with pytest.raises(NoStubError, match="code between the tasks reaches for"):
        job.test()


def test_a_service_on_this_machine_can_be_reached(client):
    with socket.create_server(("127.0.0.1", 0)) as server:

        @client.job
        async def job(payload, io):
            def connect():
                socket.create_connection(server.getsockname()).close()
                return "connected"

            return await io.run_task("connect", connect)

        assert job.test().output == "connected"


def test_other_code_of_the_process_reaches_what_it_likes(client):
    """The guard is for code of a test only: not for the threads beside it."""
    reached = []

    @client.job
    async def job(payload, io):
        def beside():
            with socket.socket() as line:
                line.settimeout(0)
                try:
                    line.connect((ELSEWHERE, 443))
                except Exception as error:
                    reached.append(type(error))

        await io.run_task("beside", lambda: threads.append(threading.Thread(target=beside)))

    threads: list[threading.Thread] = []
    job.test()
    threads[0].start()
    threads[0].join()
    assert reached != [NoStubError]


def test_an_integration_without_a_credential_asks_for_a_stub(client, monkeypatch):
    monkeypatch.delenv("SLACK_BOT_TOKEN", raising=False)

    @client.job(integrations={"slack": Slack()})
    async def job(payload, io):
        return (await io.slack.post_message("tell", channel="C1", text="Hi"))["ts"]

    with pytest.raises(NoStubError, match="'tell', called at .* needs a credential"):
        job.test()
    told = Mock(return_value={"ts": "1.2"})
    assert job.test(stubs={"tell": told}).output == "1.2"
    assert told.call_args.args[0]["text"] == "Hi"


def test_an_event_and_a_run_of_another_job_stay_in_the_test(client):
    @client.job
    async def child(payload, io):
        await io.wait("pause", days=1)
        return await io.run_task("double", lambda: 2 * payload)

    @client.job
    async def parent(payload, io):
        await io.send_event("tell", "done")
        return await io.invoke_and_wait("child", child, 21)

    with pytest.raises(NoStubError, match="'tell', called at .* sends the event 'done'"):
        parent.test()
    assert parent.test(stubs={"tell": "evt_1"}).output == 42
    assert parent.test(stubs={"tell": "evt_1", "child": 7}).output == 7
    assert parent.test(stubs={"tell": "evt_1", "child/double": 8}).output == 8  # in the child run
    assert list(client.runs()) == []


def test_a_run_that_code_starts_by_itself_is_refused(client):
    @client.job
    async def child(payload, io):
        return 1

    @client.job
    async def parent(payload, io):
        return await child.run()

    with pytest.raises(NoStubError, match=r"starts a run of job 'child' by itself.*io.invoke_and_wait"):
        parent.test()
    assert list(client.runs()) == []


@pytest.mark.parametrize(
    ("stubs", "told"),
    [
        ({"sned": 1}, "path of the stub 'sned'; did you mean 'send'"),
        ({"nothing-like-it": 1}, "its tasks are 'fetch', 'pause', 'send'"),
        ({("send", 1): 1}, r"path of the stub \('send', 1\)"),
        ({"send/child": 1}, "path of the stub 'send/child'"),
        ({"pause": None}, "is for a wait, which takes no time"),
    ],
)
def test_a_stub_without_a_task_is_an_error_that_names_near_ones(order, stubs, told):
    with pytest.raises(UnknownStubError, match=told):
        order.test({"id": 7}, stubs={"fetch": {"name": "Ana"}, **stubs})


def test_a_run_that_fails_early_need_not_come_to_all_stubs(order):
    assert order.test({"id": 7}, stubs={"fetch": ValueError(), "send": 1}).status == "FAILED"


@pytest.mark.parametrize("stubs", [["fetch"], "fetch", {7: 1}, {"": 1}, {(): 1}])
def test_stubs_that_name_nothing_are_refused(order, stubs):
    with pytest.raises(InvalidOptionError):
        order.test({"id": 7}, stubs=stubs)


def test_a_store_that_is_none_is_refused(order):
    with pytest.raises(InvalidOptionError, match="store is a folder"):
        order.test({"id": 7}, store=7)


@pytest.fixture
def many(client):
    @client.job
    async def many(payload, io):
        labels = await io.map("label", payload, lambda item: fetch(item), return_errors=True)
        mails = await asyncio.gather(*(io.run_task(("mail", item), fetch, item) for item in payload))
        parts = await io.parallel("part", payload, lambda item, index: index)
        return [labels, mails, parts]

    return many


def test_patterns_stand_for_the_items_of_a_map_and_the_tasks_of_a_loop(many):
    run = many.test(["a", 7], stubs={"label/*": lambda item: f"label {item}", ("mail", "*"): {"name": "Ana"}})
    assert run.output == [["label a", "label 7"], [User(name="Ana")] * 2, [0, 1]]


def test_an_exact_path_wins_over_a_pattern(many):
    stubs = {
        "label/*": 0,
        "label/7": ValueError("bad"),
        ("mail", "*"): {"name": "x"},
        "mail · 7": {"name": "y"},
    }
    run = many.test(["a", 7], stubs=stubs)
    assert [type(each) for each in run.output[0]] == [int, ValueError]
    assert [each.name for each in run.output[1]] == ["x", "y"]


def test_each_item_has_an_error_of_its_own(many):
    run = many.test(["a", "b"], stubs={"label/*": ValueError("bad"), ("mail", "*"): {"name": "x"}})
    first, second = run.output[0]
    assert first is not second
    assert [str(first), str(second)] == ["bad", "bad"]


def test_a_stub_for_a_map_says_how_to_stub_its_items(many):
    with pytest.raises(UnknownStubError, match='{"label/\\*": ...}'):
        many.test(["a"], stubs={"label": ["x"], "label/*": "x", ("mail", "*"): {"name": "x"}})


def test_a_map_without_items_needs_none_for_its_pattern(many):
    with pytest.raises(UnknownStubError, match="mail"):
        many.test([], stubs={"label/*": "x", ("mail", "*"): {"name": "x"}})
    assert many.test([], stubs={"label/*": "x"}).output == [[], [], []]


def test_a_batch_can_have_stubs_for_some_of_its_items(client):
    @client.job
    async def job(payload, io):
        return await io.map("double", [1, 2, 3], lambda items: [2 * item for item in items], batch=3)

    assert job.test(stubs={"double/2": "two"}).output == [2, "two", 6]


def test_bodies_for_an_executor_run_here(client):
    def nowhere():
        raise AssertionError("no pool is opened in a test")

    @client.job(executor=nowhere)
    async def job(payload, io):
        both = await io.map("double", [1], lambda item: 2 * item, executor=nowhere)
        return both + [
            await io.run_task("one", lambda: 1),
            await io.run_task("two", lambda: 2, executor=nowhere),
        ]

    assert job.test().output == [2, 1, 2]


def test_a_stub_stands_for_a_task_with_its_subtasks(client):
    @client.job
    async def job(payload, io):
        async def parent(io):
            return await io.run_task("child", fetch, 1)

        return await io.run_task("parent", parent)

    assert job.test(stubs={"parent": "whole"}).output == "whole"
    assert job.test(stubs={"parent/child": {"name": "Ana"}}).output == User(name="Ana")


def test_values_that_differ_each_time_can_have_stubs(client):
    @client.job
    async def job(payload, io):
        return [await io.random("dice", 1, 6, round=True), await io.now("now"), await io.uuid("id")]

    day = datetime(2031, 5, 1, tzinfo=UTC)
    run = job.test(stubs={"dice": 6, "id": "u-1"}, clock=FakeClock(day))
    assert run.output == [6, day, "u-1"]


def test_a_second_test_in_the_same_folder_resumes(order, tmp_path):
    first = order.test(
        {"id": 7}, stubs={"fetch": {"name": "Ana"}, "send": OSError("down")}, store=tmp_path / "s"
    )
    assert first.status == "FAILED"
    again = order.test(
        {"id": 7}, stubs={"fetch": {"name": "Ben"}, "send": Letter("Ana")}, store=tmp_path / "s"
    )
    assert again.output == "Ana"
    assert [task.reason for task in again.tasks] == ["replayed", "replayed", "retried"]
    assert again.task("fetch").output == {"name": "Ana"}


def test_a_payload_that_does_not_fit_is_refused_as_it_is_by_run(client):
    @client.job(trigger=event_trigger("user.new", schema=User))
    async def job(payload, io, ctx):
        assert ctx.run.is_test
        return payload.name

    assert job.test({"name": "Ana"}).output == "Ana"
    with pytest.raises(InvalidPayloadError):
        job.test({"nome": "Ana"})


def test_threads_of_bodies_are_waited_for_before_time_moves(client):
    """A `def` body that computes for a moment beside a wait of three days still ends first."""
    gate = threading.Event()

    def compute():
        gate.wait(0.05)
        return time.monotonic()

    @client.job
    async def job(payload, io):
        return await asyncio.gather(io.wait("pause", days=3), io.run_task("compute", compute))

    run = job.test()
    assert run.task("compute").duration < 3600


def test_a_test_leaves_no_folder_behind(order):
    run = order.test({"id": 7}, stubs={"fetch": {"name": "Ana"}})
    folder = run._runtime.store.directory
    assert folder.exists()
    del run

    def is_gone():
        gc.collect()
        return not folder.exists()

    wait_until(is_gone)  # the thread of the `def` job lets go of it a moment after its end


@pytest.mark.parametrize("how", ["connection", "address", "httpx", "datagram"])
def test_async_code_does_not_reach_for_a_service_either(client, how):
    """asyncio looks up addresses in a thread of its own."""

    async def reach():
        loop = asyncio.get_running_loop()
        match how:
            case "connection":
                await asyncio.open_connection(ELSEWHERE, 443)
            case "address":
                await loop.getaddrinfo("api.example.com", 443)
            case "httpx":
                async with httpx.AsyncClient() as web:
                    await web.get("https://api.example.com/")
            case "datagram":
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
                    line.sendto(b"", (ELSEWHERE, 53))

    @client.job
    async def job(payload, io):
        await io.map("reach", [1], lambda item: reach(), return_errors=True)

    with pytest.raises(NoStubError, match=r"reaches for (203|api).*stubs=\{'reach/\*': output\}"):
        job.test()


def test_a_missing_stub_is_written_as_the_code_writes_its_key(client):
    @client.job
    async def job(payload, io):
        await io.run_task(("fetch", 7), fetch, 7)

    with pytest.raises(NoStubError, match=r"stubs=\{\('fetch', 7\): output\}"):
        job.test()


def test_handlers_are_not_called_and_limits_are_not_shared_with_real_runs(client):
    told = []
    limit = ConcurrencyLimit("one", 1)

    @client.job(on_success=told.append, on_failure=told.append, concurrency_limit=limit)
    async def job(payload, io):
        if payload == "real":
            return job.test("test").output  # while this run holds the slot
        return payload

    assert job.test("test").output == "test"
    assert told == []
    assert job.run_sync("real") == "test"


def test_what_a_job_opens_is_closed_with_the_test(client):
    closed = []

    class Shop(Integration[object]):
        service, icon = "Shop", "shop"

        def open_client(self):
            return object()

        async def close_client(self, client):
            closed.append(client)

    @client.job(integrations={"shop": Shop()})
    async def job(payload, io):
        await io.shop.run_task("look", lambda client: None)

    assert job.test().status == "COMPLETED"
    assert len(closed) == 1


@pytest.mark.parametrize("loop", [False, True])
def test_an_interrupt_ends_a_test_that_hangs(tmp_path, loop):
    script = """
import asyncio, signal, sys
from trigger_nb import TriggerClient

signal.signal(signal.SIGINT, signal.default_int_handler)  # as in a terminal: tests in the background ignore interrupts

@TriggerClient("shop").job
async def job(payload, io):
    print("hangs", flush=True)
    await asyncio.Event().wait()

async def main():
    job.test()

asyncio.run(main()) if sys.argv[1] == "True" else job.test()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(loop)], cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "hangs\n"
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in error


def test_the_guard_is_silent_while_the_interpreter_ends(tmp_path):
    script = """
import sys
from trigger_nb._trials import outside

class Last:
    def __del__(self, audit=sys.audit):
        audit("shop.closed")

outside.watch()
sys.kept = outside  # so that its names are cleared one by one
outside._last = Last()
"""
    process = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert (process.returncode, process.stderr) == (0, "")


def test_an_error_that_a_copy_would_change_is_raised_as_it_is(client, monkeypatch):
    """dask registers a way to copy errors that loses what their classes keep beside their arguments."""
    monkeypatch.setitem(
        copyreg.dispatch_table, SyntaxError, lambda error: (SyntaxError.__new__, (SyntaxError, *error.args))
    )

    @client.job
    async def job(payload, io):
        await io.run_task("parse", lambda: None)

    assert str(job.test(stubs={"parse": SyntaxError("bad")}).error) == "bad"


def test_bodies_on_the_loop_can_use_what_the_test_has_opened(client):
    """A connection of sqlite3 belongs to the thread of the test."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:

        @client.job
        async def job(payload, io):
            return await io.run_task(
                "ask", lambda: connection.execute("SELECT 7").fetchone()[0], thread=False
            )

        assert job.test().output == 7


def test_rates_and_dates_take_no_time(client):
    day = datetime(2031, 5, 1, tzinfo=UTC)

    @client.job(rate="1/hour")
    async def job(payload, io):
        await io.map("each", range(5), lambda n: n, rate="1/hour")
        await io.run_task("late", lambda: None, delay_until=day)
        await io.wait("until", until=day + timedelta(days=1))
        return await io.now("now")

    assert job.test().output >= day + timedelta(days=1)


@pytest.mark.parametrize("how", ["pool", "thread"])
def test_threads_that_a_body_starts_do_not_reach_for_a_service_either(client, how):
    def reach():
        with contextlib.suppress(OSError):
            socket.create_connection((ELSEWHERE, 443), timeout=0.01)

    def body():
        if how == "pool":
            with ThreadPoolExecutor() as pool:
                return list(pool.map(lambda _: reach(), range(2)))
        thread = threading.Thread(target=swallow)
        thread.start()
        thread.join()

    def swallow():
        with contextlib.suppress(Exception):
            reach()

    @client.job
    async def job(payload, io):
        await io.run_task("many", body)

    with pytest.raises(NoStubError, match=rf"task 'many', called at .*, reaches for {ELSEWHERE}"):
        job.test()


def test_a_thread_that_lives_on_serves_others_after_the_test(client):
    pool = ThreadPoolExecutor(1)

    def elsewhere():
        with socket.socket() as line:
            line.settimeout(0)
            try:
                line.connect((ELSEWHERE, 443))
            except Exception as error:
                return type(error)

    @client.job
    async def job(payload, io):
        await io.run_task("start", lambda: pool.submit(int).result())

    with pool:
        assert job.test().status == "COMPLETED"
        assert pool.submit(elsewhere).result() is not NoStubError


def test_a_missing_stub_of_a_child_run_is_named_with_its_path(client):
    @client.job
    async def child(payload, io):
        await io.run_task("reach", fetch, 7)

    @client.job
    async def parent(payload, io):
        await io.invoke_and_wait("child", child)

    with pytest.raises(NoStubError, match="stubs={'child/reach': output}"):
        parent.test()


def test_a_pattern_finds_keys_with_slashes_in_them(client):
    @client.job
    async def job(payload, io):
        urls = ["https://a.example/x", "https://b.example/y"]
        pages = await io.map("get", urls, lambda url: fetch(url))
        return [*pages, await io.run_task(("put", urls[0]), lambda: fetch(1))]

    put = {("put", "https://a.example/*"): 3}
    assert job.test(stubs={"get/https://a*": 1, "get/https://b.example/y": 2, **put}).output == [1, 2, 3]
    assert job.test(stubs={"get/*": 1, **put}).output == [1, 1, 3]
    with pytest.raises(NoStubError):
        job.test(stubs={"*": 1, **put})  # any key, and not any path
