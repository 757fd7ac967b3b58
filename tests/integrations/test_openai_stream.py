"""Streamed answers of OpenAI: shown while they come, kept as if they had come at once."""

from __future__ import annotations

import asyncio
import json
import threading

import openai
import pytest

from tests.integrations.jobs import BACKOFF, PATIENCE, attempts
from trigger_nb.errors import RunCanceledError
from trigger_nb.integrations import OpenAI
from trigger_nb.integrations.openai import _stream
from trigger_nb.integrations.openai._stream import Completion, Shown
from trigger_nb.testing.services import Answer, FakeOpenAI

pytestmark = pytest.mark.anyio

KEY = "sk-canary-0123456789abcdef"
HELLO = [{"role": "user", "content": "Hello you there"}]
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {}}}
EVENT_STREAM = {"Content-Type": "text/event-stream"}


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
    """A job of one task, a chat completion; what it gave is kept in `job.given`."""

    @client.job(id="chat", integrations={"openai": integration})
    async def chat(payload, io):
        asked = {"model": "gpt-4o-mini", "messages": HELLO, "stream": True, **payload}
        return await io.openai.chat.completions.create("ask", **asked)

    return chat


def sse(*events, done=True):
    """An answer that is a stream."""
    lines = [f"data: {json.dumps(event)}\n\n".encode() for event in events]
    return Answer(200, iter([*lines, *([b"data: [DONE]\n\n"] if done else [])]), EVENT_STREAM)


def chunk(delta, reason=None, index=0):
    choice = {"index": index, "delta": delta, "finish_reason": reason}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


@pytest.mark.parametrize("more", [{}, {"n": 2}, {"tools": [TOOL]}])
async def test_the_result_is_what_it_would_be_at_once(job, service, more):
    streamed = await job.run(more)
    at_once = await job.run({**more, "stream": False})
    assert type(streamed) is openai.types.chat.ChatCompletion
    for each in (streamed, at_once):
        each.id = "chatcmpl-same"
        for choice in each.choices:
            choice.message.annotations = None  # a stream brings none
    assert streamed == at_once
    assert await job.run(more) == streamed.model_copy(update={"id": "chatcmpl-1"})
    assert len(service.requests) == 2


async def test_a_stream_is_asked_for_its_usage(client, job, service):
    await job.run({})
    [request] = service.requests
    assert request.json["stream_options"] == {"include_usage": True}
    assert request.idempotency_key == client.runs()[0].task("ask").idempotency_key
    told = {one["label"]: one["text"] for one in client.runs()[0].task("ask").output_properties}
    assert told == {
        "Answered by": "gpt-4o-mini-2024-07-18",
        "Finish reason": "stop",
        "Tokens": "3 + 5 = 8",
        "Requests left": "499",
        "Tokens left": "29992",
    }


async def test_options_of_the_caller_are_left_alone(job, service):
    assert (await job.run({"stream_options": {"include_usage": False}})).usage is None
    assert service.requests[0].json["stream_options"] == {"include_usage": False}


@pytest.mark.parametrize("status", [400, 422])
async def test_a_server_that_does_not_know_the_option_is_asked_without(job, service, status):
    service.plan(Answer(status, {"error": {"message": "Extra inputs are not permitted: stream_options"}}))
    completion = await job.run({})
    assert completion.choices[0].message.content == "You said: Hello you there"
    assert [("stream_options" in request.json) for request in service.requests] == [True, False]


async def test_another_refusal_is_final(clock, job, service):
    service.plan(400)
    assert await attempts(job, {}, clock) == (1, None)


async def test_a_text_completion_is_streamed_too(client, integration):
    @client.job(integrations={"openai": integration})
    async def complete(payload, io):
        return await io.openai.completions.create("go-on", model="m", prompt="Once", stream=True)

    completion = await complete.run()
    assert type(completion) is openai.types.Completion
    assert completion.choices[0].text == " and so on from Once"
    assert completion.usage.total_tokens == 6


@pytest.mark.parametrize(
    ("answer", "delay"),
    [
        (sse(chunk({"content": "You "}), done=False), BACKOFF),  # closed, with no reason given for an end
        (sse(), BACKOFF),
        (sse(chunk({"content": "a"}), {"error": {"message": "m", "type": "server_error"}}), BACKOFF),
        (sse({"error": {"message": "m", "type": "tokens", "code": "rate_limit_exceeded"}}), BACKOFF),
        (429, 20),
        (503, BACKOFF),
        ("drop", BACKOFF),
    ],
)
async def test_a_stream_that_breaks_is_begun_anew(clock, job, service, answer, delay):
    service.plan(answer)
    assert await attempts(job, {}, clock) == (2, delay)
    assert (await job.run({})).choices[0].message.content == "You said: Hello you there"


async def test_a_connection_that_breaks_in_the_middle_is_begun_anew(clock, job, service):
    whole = b"data: " + json.dumps(chunk({"content": "You "})).encode() + b"\n\n"
    longer = {**EVENT_STREAM, "Content-Length": "4096"}  # than what comes
    service.plan(Answer(200, iter([whole]), longer))
    assert await attempts(job, {}, clock) == (2, BACKOFF)


async def test_an_error_in_a_stream_that_does_not_pass_is_final(job, service):
    service.plan(sse({"error": {"message": "The prompt is refused", "type": "invalid_request_error"}}))
    with pytest.raises(openai.APIError, match="The prompt is refused"):
        await job.run({})
    assert len(service.requests) == 1


async def test_a_stream_that_is_cancelled_is_begun_anew_by_the_next_pass(monkeypatch, job, service):
    """A7: what had come of it is no result."""
    begun, released = asyncio.Event(), threading.Event()
    monkeypatch.setattr("trigger_nb._tasks.task.Task.progress", lambda *_, **__: begun.set())

    def held():
        yield b"data: " + json.dumps(chunk({"content": "You "})).encode() + b"\n\n"
        released.wait(PATIENCE)

    service.plan(Answer(200, held(), EVENT_STREAM))
    run = job.start({})
    await begun.wait()
    run.cancel()
    with pytest.raises(RunCanceledError):
        await run
    released.set()
    assert (await job.run({})).choices[0].message.content == "You said: Hello you there"
    assert len(service.requests) == 2


# Responses ---------------------------------------------------------------------------------------


@pytest.fixture
def respond(client, integration):
    @client.job(id="respond", integrations={"openai": integration})
    async def respond(payload, io):
        return await io.openai.responses.create("ask", model="m", input="Hello", stream=payload)

    return respond


async def test_a_response_is_what_it_would_be_at_once(respond, service):
    streamed, at_once = await respond.run(True), await respond.run(False)
    assert type(streamed) is openai.types.responses.Response
    assert streamed.output_text == "You said: Hello"
    for each in (streamed, at_once):
        each.id = each.output[0].id = "same"
    assert streamed == at_once


@pytest.mark.parametrize(
    "event",
    [
        {"type": "response.failed", "response": {"status": "failed", "error": {"code": "server_error"}}},
        {"type": "error", "code": "server_error", "message": "m", "sequence_number": 1},
        {"type": "response.output_text.delta", "delta": "You", "sequence_number": 1},
    ],
)
async def test_a_response_that_breaks_is_begun_anew(clock, respond, service, event):
    service.plan(sse(event, done=False))
    assert await attempts(respond, True, clock) == (2, BACKOFF)


async def test_a_response_that_fails_for_good_is_final(clock, respond, service):
    service.plan(sse({"type": "error", "code": "invalid_prompt", "message": "m", "sequence_number": 1}))
    assert await attempts(respond, True, clock) == (1, None)


async def test_a_response_that_is_cut_short_is_a_result(respond, service):
    """Its limit of tokens was reached: the caller sees so, in its status."""
    response = {"id": "resp_1", "object": "response", "status": "incomplete", "output": []}
    service.plan(sse({"type": "response.incomplete", "response": response}, done=False))
    assert (await respond.run(True)).status == "incomplete"


# What is put together -----------------------------------------------------------------------------


def put_together(*chunks):
    completion = Completion()
    for each in chunks:
        completion.add(each)
    return completion.as_data()


def message_of(*deltas):
    [choice] = put_together(*[chunk(delta) for delta in deltas])["choices"]
    return choice["message"]


def test_what_some_servers_repeat_is_not_joined():
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": "{"}}
    end = {"index": 0, "id": "", "type": "function", "function": {"name": "f", "arguments": "}"}}
    message = message_of(
        {"role": "assistant", "content": "a", "tool_calls": [call]},
        {"role": "assistant", "content": "b", "tool_calls": [end]},
    )
    assert message == {
        "role": "assistant", "content": "ab", "refusal": None,
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }  # fmt: skip


def test_calls_of_several_tools_that_come_mixed_are_told_apart():
    def piece(index, arguments, **more):
        return {"tool_calls": [{"index": index, "function": {"arguments": arguments}, **more}]}

    message = message_of(piece(1, "[", id="b"), piece(0, "{", id="a"), piece(1, "]"), piece(0, "}"))
    assert {call["id"]: call["function"]["arguments"] for call in message["tool_calls"]} == {
        "a": "{}",
        "b": "[]",
    }


def test_calls_without_an_index_are_each_whole():
    message = message_of({"tool_calls": [{"id": "a"}]}, {"tool_calls": [{"id": "b"}]})
    assert message["tool_calls"] == [{"id": "a"}, {"id": "b"}]


def test_fields_that_the_sdk_does_not_know_are_kept():
    message = message_of({"reasoning_content": "so "}, {"reasoning_content": "what"}, {"content": "x"})
    assert (message["reasoning_content"], message["content"]) == ("so what", "x")


def test_probabilities_of_tokens_are_listed_one_after_the_other():
    def piece(token):
        logprobs = {"content": [{"token": token, "bytes": [1, 2]}], "refusal": None}
        return {"choices": [{"index": 0, "delta": {"content": token}, "logprobs": logprobs}]}

    [choice] = put_together(piece("a"), piece("b"))["choices"]
    assert choice["logprobs"] == {
        "content": [{"token": "a", "bytes": [1, 2]}, {"token": "b", "bytes": [1, 2]}],
        "refusal": None,
    }


def test_choices_that_come_mixed_are_told_apart():
    said = put_together(
        chunk({"content": "b"}, index=1), chunk({"content": "a"}, index=0),
        chunk({"content": "B"}, "stop", index=1), chunk({"content": "A"}, "length", index=0),
    )  # fmt: skip
    assert [
        (choice["index"], choice["message"]["content"], choice["finish_reason"]) for choice in said["choices"]
    ] == [(0, "aA", "length"), (1, "bB", "stop")]


def test_what_is_said_of_the_whole_is_the_last_that_was_said():
    said = put_together(
        {"id": "", "model": "", "choices": [], "prompt_filter_results": [{}]},  # Azure's first
        {**chunk({"content": "a"}, "stop"), "usage": {"total_tokens": 1}, "obfuscation": "xx"},
        {"id": "c", "choices": [], "usage": {"total_tokens": 2}},
    )
    assert (said["id"], said["model"], said["usage"]) == ("c", "m", {"total_tokens": 2})
    assert said["object"] == "chat.completion"
    assert "obfuscation" not in said


# What is shown --------------------------------------------------------------------------------------


class Progress:
    """In the place of a task."""

    def __init__(self):
        self.shown = []

    def progress(self, done, total=None, text=None):
        self.shown.append((done, text))


def test_the_end_of_the_text_is_shown_not_too_often(monkeypatch):
    now = 100.0
    monkeypatch.setattr(_stream.time, "monotonic", lambda: now)
    task = Progress()
    shown = Shown(task)
    for piece in ("Once ", "upon\n", "a ", "time"):
        shown.add(piece)
    assert task.shown == [(1, "Once")]
    now += 0.1
    shown.add(", " + "x" * 100)
    assert task.shown[1:] == [(5, "x" * 72)]


async def test_a_run_that_is_watched_sees_the_text_grow(monkeypatch, client, integration):
    monkeypatch.setattr(_stream, "_PAUSE", 0.0)
    seen = []
    monkeypatch.setattr(
        "trigger_nb._tasks.task.Task.progress",
        lambda task, done, total=None, text=None: seen.append((done, total, text)),
    )

    @client.job(integrations={"openai": integration})
    async def ask(payload, io):
        create = io.openai.chat.completions.create
        return await create("ask", model="m", messages=HELLO, stream=True)

    await ask.run()
    texts = [text for _, _, text in seen]
    assert texts[-1] == "You said: Hello you there"
    assert texts == sorted(texts, key=len)
    assert len(set(texts)) > 3
    assert {total for _, total, _ in seen} == {None}
