"""`io.background_fetch` and `io.background_poll`, against a server on the loopback and the controlled clock."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from hypothesis import given, strategies as st
from pydantic import BaseModel, SecretStr

from tests.integrations.jobs import BACKOFF, attempts
from tests.support.fakes import FakeHTTP
from tests.support.worlds import until, wait_until
from trigger_nb import ResetHeaders, ResponseFilter, Retry, TriggerClient
from trigger_nb.errors import (
    InvalidFilterError,
    InvalidOptionError,
    ResponseTooLargeError,
    TaskTimeoutError,
)
from trigger_nb.filters import statuses
from trigger_nb.integrations import reset_at
from trigger_nb.integrations.http import Response
from trigger_nb.testing import FakeClock
from trigger_nb.testing.services import Answer

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
SECRET = "canary-of-a-fetch-0123456789"
RESET = ResetHeaders("x-limit", "x-left", "x-reset", "duration")


@pytest.fixture
def service():
    with FakeHTTP() as service:
        yield service


@pytest.fixture
def fetching(client, service):
    """A job of one request, as the payload says."""

    @client.job(id="fetching", identity=lambda payload: id(payload))
    async def fetching(payload, io):
        return await io.background_fetch("get", service.url + "/a", **payload)

    return fetching


# Fetching -----------------------------------------------------------------------------------------


async def test_the_body_or_the_response(client, service):
    """Reference; R1, R2: a request is made once, and a replay gives the same."""

    class Sent(BaseModel):
        id: int

    @client.job
    async def job(payload, io):
        body = await io.background_fetch("body", f"{service.url}/a", params={"q": 1})
        whole = await io.background_fetch_response("whole", f"{service.url}/b", method="post", json={"n": 1})
        typed = await io.background_fetch(
            "typed", f"{service.url}/b", method="PUT", data={"n": 1}, returns=Sent
        )
        return body, whole, typed

    body, whole, typed = await job.run()
    assert body == {"path": "/a", "query": {"q": "1"}}
    assert (type(whole), whole.status, whole.body["sent"]) == (Response, 201, {"n": 1})
    assert typed == Sent(id=2)
    assert await job.run() == (body, whole, typed)
    assert [each.method for each in service.requests] == ["GET", "POST", "PUT"]
    (run,) = job.runs()
    assert service.requests[1].idempotency_key == run.task("whole").idempotency_key
    task = run.task("whole")
    assert (task.icon, task.name, task.output_properties[0]["text"]) == ("http", "POST", "201 Created")


def test_a_def_job(world):
    """The same methods, blocking."""
    with FakeHTTP() as service:

        @world.job
        def job(payload, io):
            return (yield io.background_fetch("get", f"{service.url}/a"))["path"]

        assert world.run(job) == "/a"


async def test_credentials_are_sent_and_not_kept(client, service, tmp_path):
    """S8: neither of headers nor of the address, also when the request fails."""

    @client.job
    async def job(payload, io):
        headers = {"Authorization": f"Bearer {SECRET}", "X-Plain": SecretStr(SECRET), "X-Reason": "old"}
        url = f"{service.url}/a?token={SECRET}"
        await io.background_fetch("get", url, headers=headers)
        await io.background_poll("poll", url, headers=headers)
        return await io.background_fetch("no", url, headers=headers)

    service.plan(Answer(200, {}), Answer(200, {}), Answer(403, {"you": SECRET}))
    with pytest.raises(httpx.HTTPStatusError):
        await job.run()
    assert {each.headers["authorization"] for each in service.requests} == {f"Bearer {SECRET}"}
    assert {each.headers["x-plain"] for each in service.requests} == {SECRET}
    (run,) = job.runs()
    assert run.task("get").params["headers"] == {"Authorization": "•••", "X-Plain": "•••", "X-Reason": "old"}
    shown = run.tree() + str([task.params for task in run.tasks])
    run.export_html(tmp_path / "run.html")
    shown += (tmp_path / "run.html").read_text()
    kept = b"".join(path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file())
    assert SECRET not in shown
    assert SECRET.encode() not in kept


@pytest.mark.parametrize(
    ("options", "answers", "tried", "delay"),
    [
        ({}, [503], 2, BACKOFF),
        ({}, [404], 1, None),
        ({}, [Answer(429, None, {"Retry-After": "40"})], 2, 40),
        ({"retry": 1}, [503], 1, None),
        ({"retry": {"5xx": Retry(min_timeout=7, max_timeout=7)}}, [502], 2, 7),
        ({"retry": {"500-599": None}}, [502], 1, None),
        ({"retry": {"5xx": None, 502: Retry(min_timeout=9, max_timeout=9)}}, [502], 2, 9),
        ({"retry": {"5xx": None, 502: 3}}, [503], 1, None),
        ({"retry": {"5xx": None}}, [429], 2, 30),  # not named: as by default
        ({"retry": {404: Retry(min_timeout=5, max_timeout=5)}}, [404], 2, 5),
        ({"retry": {429: RESET}}, [Answer(429, None, {"X-Reset": "1m30.5s", "X-Left": "0"})], 2, 90.5),
        ({"retry": {"4xx": RESET}}, [Answer(403, None, {"X-Reset": "20ms"})], 2, 1.0),
        ({"retry": {429: RESET}}, [Answer(429, None, {"Retry-After": "12"})], 2, 12),
        ({"retry": {429: RESET}}, [429, 429], 3, 60),
        ({"retry": {429: RESET}}, [Answer(429, None, {"X-Reset": "soon"})], 2, BACKOFF),
        ({"retry": {"connection": None}}, ["drop"], 1, None),
        ({"retry": {"connection": Retry(min_timeout=4, max_timeout=4)}}, ["drop"], 2, 4),
        ({"method": "POST"}, ["drop"], 2, BACKOFF),  # it carries an idempotency key
        ({"method": "POST", "idempotency_header": None}, ["drop"], 1, None),
        ({"method": "POST", "idempotency_header": None, "retry": {500: 2}}, [500], 2, 1.0),
        ({"allow_status": [404]}, [404], 1, None),
    ],
)
async def test_which_answers_are_tried_again_and_when(
    fetching, service, clock, options, answers, tried, delay
):
    """Reference, A1: strategies by status; the narrowest range decides; what is not named is as by default."""
    service.plan(*answers)
    count, waited = await attempts(fetching, options, clock)
    if delay == 1.0 and waited == BACKOFF:
        waited = 1.0  # `Retry()` begins with a second or two
    assert (count, waited) == (tried, delay)
    assert len(service.requests) == tried


@pytest.mark.parametrize(("retry", "tried"), [({"timeout": 2}, 2), ({"timeout": None}, 1), ({"5xx": 1}, 8)])
async def test_a_timeout_has_a_retry_of_its_own(fetching, service, retry, tried):
    """Reference, A3."""
    service.plan(*["hold"] * 8)
    with pytest.raises(TaskTimeoutError):
        await fetching.run({"timeout": 0.05, "retry": retry})
    service.release()
    assert fetching.runs()[0].task("get").attempt == tried


async def test_a_host_that_is_told_to_wait_waits_everywhere(tmp_path, service):
    """A limit of one request holds back all to the same host, and none to another."""
    clock = FakeClock(autojump=False)  # it would jump while a response is on its way
    client = TriggerClient("waits", dir=tmp_path, clock=clock, display=False)
    elsewhere = FakeHTTP()

    @client.job
    async def job(payload, io):
        async def get(key, url):
            await io.background_fetch(key, url)
            return clock.time() - began

        began = clock.time()
        first = asyncio.create_task(get("first", service.url))
        await until(lambda: clock.deadlines)
        service.plan("answer")
        same = asyncio.create_task(get("same", service.url))
        other = await get("other", elsewhere.url)
        await until(lambda: len(clock.deadlines) == 2)
        assert len(service.requests) == 1
        clock.advance(30)
        return [await first, await same, other]

    service.plan(Answer(429, None, {"Retry-After": "30"}))
    with elsewhere:
        assert await asyncio.wait_for(job.run(), 60) == [30, 30, 0]


async def test_a_body_is_bounded(client, service):
    """Whether its length is told, comes in pieces, or is hidden by packing; not tried again."""

    @client.job
    async def job(payload, io):
        errors = []
        for key in ("told", "pieces"):
            try:
                await io.background_fetch(key, f"{service.url}/{key}", max_bytes=1000, retry=3)
            except ResponseTooLargeError as error:
                errors.append(str(error))
        return errors, await io.background_fetch("fits", service.url, max_bytes=1001)

    kind = {"Content-Type": "text/plain"}
    service.plan(
        Answer(200, b"x" * 1001, kind),
        Answer(200, iter([b"x" * 600] * 2), kind),
        Answer(200, b"x" * 1001, kind),
    )
    errors, fits = await job.run()
    assert fits == "x" * 1001
    assert [error.partition(" is ")[2][:24] for error in errors] == ["longer than 1,000 bytes."] * 2
    assert len(service.requests) == 3


@pytest.mark.parametrize(
    ("method", "options", "said"),
    [
        ("background_fetch", {"url": "/a"}, 'begins with "https://"'),
        ("background_fetch", {"body": {}}, "json=, data="),
        ("background_fetch", {"retries": 3}, "'retry'"),
        ("background_fetch", {"executor": None}, "no option 'executor'"),
        ("background_fetch", {"json": 1, "data": {}}, "one body"),
        ("background_fetch", {"method": 7}, "method is"),
        ("background_fetch", {"json": 1}, 'method="POST"'),
        ("background_fetch", {"json": {1, 2}, "method": "POST"}, "JSON values: .* set"),
        ("background_fetch", {"data": "text", "method": "POST"}, "data of a request"),
        ("background_fetch", {"params": 7}, "params of a request"),
        ("background_fetch", {"headers": {"X": "\u2603"}}, "header 'X'"),
        ("background_fetch", {"url": "http://[::1"}, "url is an address"),
        ("background_fetch", {"headers": {"X": 7}}, "header 'X'"),
        ("background_fetch", {"max_bytes": 0}, "max_bytes"),
        ("background_fetch", {"allow_status": 404}, "allow_status"),
        ("background_fetch", {"retry": {"6xx": 1}}, "'6xx'"),
        ("background_fetch", {"retry": {"599-500": 1}}, "'599-500'"),
        ("background_fetch", {"retry": {429: "backoff"}}, "number of attempts"),
        ("background_fetch", {"retry": {"timeout": RESET}}, "no response"),
        ("background_fetch", {"timeout": -1}, "timeout"),
        ("background_poll", {"interval": 0.1}, "a second or more"),
        ("background_poll", {"timeout": "1h"}, "timeout"),
        ("background_poll", {"response_filter": {"status": [200]}}, "ResponseFilter"),
        ("background_poll", {"retry": 3}, "no option 'retry'"),
    ],
)
async def test_wrong_arguments(client, service, method, options, said):
    """Each says what is wrong and what to type; nothing is sent."""

    @client.job
    async def job(payload, io):
        await getattr(io, method)("get", **{"url": service.url, **options})

    with pytest.raises(InvalidOptionError, match="(?s)" + said.replace("(", r"\(")):
        await job.run()
    assert service.requests == []


def test_wrong_parts():
    with pytest.raises(InvalidOptionError, match="list of statuses"):
        ResponseFilter(status="200")
    with pytest.raises(InvalidOptionError, match="a status is"):
        ResponseFilter(status=[True])
    with pytest.raises(InvalidFilterError):
        ResponseFilter(body={"state": "done"})
    with pytest.raises(InvalidOptionError, match="ResetHeaders.format"):
        ResetHeaders("a", "b", "c", "rfc")
    assert statuses(" 500 - 599 ") == statuses("5xx") == range(500, 600)


@given(st.floats(0, 86400 * 30), st.sampled_from(["unix", "unix_milliseconds", "iso8601", "duration"]))
def test_each_format_of_a_reset_time(seconds, form):
    """Reference: unix seconds, milliseconds, ISO 8601 with and without a zone, and durations with units."""
    now = 1_900_000_000.0
    when = datetime.fromtimestamp(now, UTC) + timedelta(seconds=seconds)
    left = timedelta(seconds=seconds)
    minutes, rest = divmod(left.seconds, 60)
    texts = {
        "unix": [f"{now + seconds:.3f}"],
        "unix_milliseconds": [f"{(now + seconds) * 1000:.0f}"],
        "iso8601": [when.isoformat(), when.replace(tzinfo=None).isoformat(), when.isoformat()[:-6] + "Z"],
        "duration": [f"{seconds:.3f}s", f"{left.days}d{minutes}m{rest}s{left.microseconds // 1000}ms"],
    }
    for text in texts[form]:
        assert reset_at({"X-Reset": f" {text} "}, "x-reset", form).due_at(now) == pytest.approx(
            now + seconds, abs=0.002
        )


@given(
    st.text(max_size=30) | st.from_regex(r"[-+0-9.dhmsTZ:e]{1,12}"),
    st.sampled_from(["unix", "unix_milliseconds", "iso8601", "duration"]),
)
def test_no_text_of_a_reset_header_is_an_error(text, form):
    """What cannot be read is no time; what can be is never further ahead than a year, nor in the past."""
    found = reset_at({"x-reset": text}, "x-reset", form)
    assert found is None or 1000.0 <= found.due_at(1000.0) <= 1000.0 + 366 * 86400


# Polling ------------------------------------------------------------------------------------------


async def test_a_poll_looks_until_the_response_fits(client, service, clock):
    """Reference, W6: every interval, or when the service says; failures are looks, and no attempts."""

    @client.job
    async def job(payload, io):
        began = clock.time()
        filter = ResponseFilter(status=["2xx"], headers={"x-state": ["done"]}, body={"n": [{"$gte": 2}]})
        body = await io.background_poll("poll", service.url, interval=10, response_filter=filter)
        return body, clock.time() - began

    done = {"X-State": "done"}
    service.plan(
        404, 500, "drop", Answer(200, {"n": 2}), Answer(200, {"n": 1}, done),
        Answer(503, None, {"Retry-After": "25"}), Answer(201, {"n": 3}, done),
    )  # fmt: skip
    assert await job.run() == ({"n": 3}, pytest.approx(75))
    assert await job.run() == ({"n": 3}, 0)
    assert len(service.requests) == 7
    (task,) = job.runs()[0].tasks
    assert task.output_properties == [
        {"label": "Looks", "text": "7"},
        {"label": "Last", "text": "201 Created"},
    ]
    assert task.attempt == 1


async def test_the_end_of_a_poll(client, service, clock):
    """Reference: a time limit, with one look at its end; an error of the filter; a run that is tried again."""
    began = clock.time()

    @client.job
    async def late(payload, io):
        return await io.background_poll(
            "poll", service.url, interval=30, timeout=100, response_filter=lambda r: r.body == 7
        )

    with pytest.raises(TaskTimeoutError, match=r'within 0:01:40 .* last look: 200 OK, {"path"'):
        await late.run()
    assert clock.time() - began == pytest.approx(100, abs=0.01)
    assert len(service.requests) == 5
    service.plan(Answer(200, 7))
    assert await late.run() == 7  # the failed task again, with a time of its own
    assert len(service.requests) == 6

    @client.job
    async def wrong(payload, io):
        return await io.background_poll("poll", service.url, response_filter=lambda r: r.body["state"])

    with pytest.raises(KeyError):
        await wrong.run()
    assert len(service.requests) == 7


@pytest.fixture
def waiting(async_world, service):
    """A run that polls, and whose kernel then is gone: `waiting(job)`."""
    async_world.clock = FakeClock(1000.0, autojump=False)

    def job():
        @async_world.job(id="polling")
        def job(payload, io):
            yield io.run_task("before", async_world.noting("before"))
            return (yield io.background_poll("poll", service.url, interval=60, timeout=600))

        return job

    async def main():
        run = job().start()
        await until(lambda: async_world.clock.deadlines)
        assert (run.status, run.reason) == ("WAITING", "wait")
        assert run.wake_at == datetime.fromtimestamp(1060, UTC)

    service.plan(*[404] * 100)
    asyncio.run(main())
    assert len(service.requests) == 1
    async_world.new_kernel()
    return async_world, job


@pytest.mark.parametrize(("passed", "looks"), [(59, 1), (60, 2), (3000, 2)])
def test_a_poll_goes_on_in_another_kernel(waiting, service, passed, looks):
    """W2, W6: the next look is stored, and what came meanwhile counts, also after the end of the time."""
    world, job = waiting
    world.clock.advance(passed)
    again = job()

    async def main():
        run = again.start()
        if looks == 1:
            await until(lambda: world.clock.deadlines)
            assert len(service.requests) == 1
            run.skip_wait("poll")  # a look now
        return await run

    service._plan.clear()
    assert asyncio.run(main()) == {"path": "/", "query": {}}
    assert len(service.requests) == 2
    assert world.calls == ["before"]
    task = world.last(again).task("poll")
    assert task.output_properties[0]["text"] == "2"
    assert task.started_at == datetime.fromtimestamp(1000, UTC)


def test_the_time_counts_from_the_first_look(waiting, service):
    """W6: in whichever kernel that was."""
    world, job = waiting
    world.clock = FakeClock(1550.0)
    error = world.fail(job())
    assert isinstance(error, TaskTimeoutError)
    assert world.clock.time() == pytest.approx(1600, abs=0.01)
    assert len(service.requests) == 3  # at 550 and at 600


def test_a_poll_holds_no_slot(world):
    """C4, W6: another run of the job is through while the first one polls, however short the interval."""
    with FakeHTTP() as service:

        @world.job(concurrency_limit=1)
        def job(payload, io):
            if payload == "polls":
                yield io.background_poll("poll", service.url, interval=1, timeout=86400)
            return (yield io.run_task("last", world.noting(payload)))

        async def main():
            first = job.start("polls")
            await until(lambda: first.status == "WAITING")
            await job.run("other")
            service._plan.clear()
            await first

        service.plan(*[404] * 10_000)
        asyncio.run(main())
    assert world.calls == ["other", "polls"]


async def test_skipped_waits_and_tests_of_jobs(client, service, clock):
    """W5: `waits="skip"` is a look a second; `job.test`: a stub, or one look."""

    @client.job
    async def job(payload, io):
        return await io.background_poll("poll", service.url, interval=3600, timeout=timedelta(days=2))

    began = clock.time()
    service.plan(404, 404)
    await job.run(waits="skip")
    assert clock.time() - began == pytest.approx(2, abs=0.01)
    assert (await job.test(stubs={"poll": 7})).output == 7
    assert len(service.requests) == 3
    service.plan(404)
    assert (
        type((await job.test()).error) is TaskTimeoutError
    )  # without a stub its body runs, as any: one look
    assert len(service.requests) == 4


PROGRAM = """
import asyncio, sys
from trigger_nb import TriggerClient

client = TriggerClient("killed", dir=sys.argv[1], display=False)

@client.job(id="polling")
async def polling(payload, io):
    return await io.background_poll("poll", sys.argv[2], interval=1, timeout=3600)

print(asyncio.run(polling.run()))
"""


@pytest.mark.parametrize("rounds", [2, pytest.param(30, marks=pytest.mark.long)])
def test_a_poll_survives_sigkill(tmp_path, service, rounds):
    """R3, W2: killed between and during looks, it goes on, and is one task that began once."""
    program = [sys.executable, "-c", PROGRAM, str(tmp_path), service.url]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    service.plan(*[404] * 1000)
    for _ in range(rounds):
        seen = len(service.requests)
        child = subprocess.Popen(program, env=env, stdout=subprocess.DEVNULL)
        wait_until(lambda seen=seen: len(service.requests) >= seen + 2)
        child.send_signal(signal.SIGKILL)
        child.wait()
    service._plan.clear()
    done = subprocess.run(program, env=env, capture_output=True, text=True, check=True)
    assert "'path': '/'" in done.stdout
    (run,) = TriggerClient("killed", dir=tmp_path, display=False).runs()
    (task,) = run.tasks
    assert (task.status, task.attempt) == ("COMPLETED", 1)
    assert task.started_at - run.started_at < timedelta(seconds=60)
