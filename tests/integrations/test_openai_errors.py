"""Which of OpenAI's errors are tried again, and when; and what they say."""

from __future__ import annotations

import subprocess
import sys

import httpx
import openai
import pytest

from tests.integrations.jobs import BACKOFF, PATIENCE, attempts
from trigger_nb.integrations import OpenAI
from trigger_nb.testing.services import Answer, FakeOpenAI

pytestmark = pytest.mark.anyio

KEY = "sk-canary-0123456789abcdef"
HELLO = [{"role": "user", "content": "Hello you there"}]


@pytest.fixture
def service():
    with FakeOpenAI(api_key=KEY) as service:
        yield service


@pytest.fixture
async def integration(service):
    integration = OpenAI(KEY, base_url=service.base_url)
    yield integration
    await integration.aclose()


@pytest.fixture
def job(client, integration):
    """A job of one task, a chat completion."""

    @client.job(id="chat", integrations={"openai": integration})
    async def chat(payload, io):
        asked = {"model": "gpt-4o-mini", "messages": HELLO, **payload}
        return await io.openai.chat.completions.create("ask", **asked)

    return chat


def limited(requests, tokens, **headers):
    """A 429 with what is left of two limits: requests are back in 20 s, tokens in 1 min 30.5 s."""
    told = {
        "x-ratelimit-remaining-requests": requests,
        "x-ratelimit-remaining-tokens": tokens,
        "x-ratelimit-reset-requests": "20s",
        "x-ratelimit-reset-tokens": "1m30.5s",
    }
    return failed(429, "rate_limit_exceeded", **told, **headers)


def failed(status, code=None, **headers):
    error = {"message": "no", "type": code, "param": None, "code": code}
    return Answer(status, {"error": error}, {name.replace("_", "-"): text for name, text in headers.items()})


@pytest.mark.parametrize(
    ("event", "tried", "delay"),
    [
        (429, 2, 20),
        (limited("0", "5"), 2, 20),
        (limited("5", "0"), 2, 90.5),
        (limited("0", "0"), 2, 90.5),
        (limited("5", "5"), 2, BACKOFF),
        (limited("0", "0", retry_after="7"), 2, 7),
        (limited("0", "0", retry_after="7", retry_after_ms="6400"), 2, 6.4),
        (limited("0", "0", x_should_retry="false"), 1, None),
        (failed(429, "rate_limit_exceeded"), 2, BACKOFF),
        (failed(429, "insufficient_quota"), 1, None),
        (failed(429, "insufficient_quota", retry_after="7"), 1, None),
        (500, 2, BACKOFF),
        (502, 2, BACKOFF),
        (Answer(502, b"<html>Bad gateway</html>", {"Content-Type": "text/html"}), 2, BACKOFF),
        (503, 2, BACKOFF),
        (failed(503, retry_after="11"), 2, 11),
        (failed(500, x_should_retry="false"), 1, None),
        (408, 2, BACKOFF),
        (409, 2, BACKOFF),
        ("refuse", 2, BACKOFF),
        ("drop", 2, BACKOFF),
        (400, 1, None),
        (401, 1, None),
        (403, 1, None),
        (404, 1, None),
        (422, 1, None),
        (failed(400, x_should_retry="true"), 2, BACKOFF),
        (failed(400, x_should_retry="true", retry_after="3"), 2, 3),
        (Answer(200, b"<html>", {"Content-Type": "text/html"}), 1, None),
    ],
)
async def test_which_errors_are_tried_again_and_when(clock, job, service, event, tried, delay):
    service.plan(event)
    assert await attempts(job, {}, clock) == (tried, delay)
    assert len(service.requests) == tried


async def test_every_attempt_has_the_same_key(job, service):
    service.plan("drop", 503)
    await job.run({})
    assert len({request.idempotency_key for request in service.requests}) == 1
    assert len(service.requests) == 3


async def test_a_call_that_takes_too_long_is_made_again(clock, integration, job, service):
    def be_patient():
        integration.native.timeout = PATIENCE

    integration.native.timeout = httpx.Timeout(PATIENCE, read=0.2)
    service.plan("hold")
    assert await attempts(job, {}, clock, be_patient) == (2, BACKOFF)


async def test_a_wrong_key_says_what_openai_says(client, service):
    wrong = OpenAI("sk-wrong-0123456789", base_url=service.base_url)

    @client.job(integrations={"openai": wrong})
    async def ask(payload, io):
        return await io.openai.models.list("models")

    with pytest.raises(openai.AuthenticationError, match="Incorrect API key provided: sk-w"):
        await ask.run()
    await wrong.aclose()


async def test_an_address_that_is_no_api_is_told(job, service):
    service.plan(Answer(200, b"<html>Welcome</html>", {"Content-Type": "text/html"}))
    with pytest.raises(openai.APIResponseValidationError, match=r"Is the base_url right\? .*/v1"):
        await job.run({})


@pytest.mark.parametrize(
    "method",
    [
        lambda ai: ai.models.list("key"),
        lambda ai: ai.embeddings.create("key", model="m", input="x"),
        lambda ai: ai.chat.completions.create("key", model="m", messages=HELLO, stream=True),
    ],
)
async def test_so_it_is_by_whatever_method(client, integration, service, method):
    @client.job(integrations={"openai": integration})
    async def ask(payload, io):
        return await method(io.openai)

    service.plan(Answer(200, b"<html>Welcome</html>", {"Content-Type": "text/html"}))
    with pytest.raises(openai.APIResponseValidationError, match="Is the base_url right"):
        await ask.run()


async def test_without_the_sdk_it_says_how_to_install_it(tmp_path):
    script = """
import sys
sys.modules["openai"] = None
from trigger_nb import TriggerClient
from trigger_nb.integrations import OpenAI

client = TriggerClient("bare", dir=sys.argv[1], display=False)

@client.job(integrations={"openai": OpenAI("sk-0123456789")})
def ask(payload, io):
    io.openai.models.list("models")

ask.run_sync()
"""
    ended = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], check=False, capture_output=True, text=True
    )
    assert "MissingExtraError" in ended.stderr
    assert "pip install 'trigger-nb[openai]'" in ended.stderr


async def test_a_response_that_failed_raises(clock, client, integration, service):
    @client.job(integrations={"openai": integration})
    async def respond(payload, io):
        return await io.openai.responses.create("ask", model="m", input="Hello")

    def ended(code):
        error = {"code": code, "message": "It went wrong."}
        return Answer(200, {"id": "resp_1", "object": "response", "status": "failed", "error": error})

    service.plan(ended("server_error"))
    assert await attempts(respond, None, clock) == (2, BACKOFF)
    service.plan(ended("invalid_prompt"))
    with pytest.raises(openai.APIError, match="It went wrong"):
        await respond.run({"another": "run"})


async def test_an_error_is_the_same_one_in_a_replay(client, integration, service):
    """R4: code that handles it takes the same branch."""

    @client.job(integrations={"openai": integration})
    async def ask(payload, io):
        try:
            return await io.openai.models.retrieve("model", "gpt-9")
        except openai.NotFoundError as error:
            await io.run_task("note", lambda: None)
            return [error.status_code, error.code, str(error)]

    first = await ask.run()
    assert first[:2] == [404, "model_not_found"]
    assert await ask.run() == first
    assert len(service.requests) == 1


async def test_the_key_is_nowhere_in_the_store(job, service, tmp_path, client):
    """S8: also where the service repeats it."""
    service.plan(Answer(401, {"error": {"message": f"Incorrect API key provided: {KEY}.", "code": KEY}}))
    with pytest.raises(openai.AuthenticationError) as caught:
        await job.run({})
    assert KEY not in str(caught.value)
    client.runs()[0].export_html(tmp_path / "run.html")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 1
    assert [path.name for path in files if KEY.encode() in path.read_bytes()] == []
