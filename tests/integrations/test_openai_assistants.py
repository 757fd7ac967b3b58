"""Assistants and threads, which OpenAI's SDK still has, against answers that are planned."""

from __future__ import annotations

import openai
import pytest

from trigger_nb.integrations import OpenAI
from trigger_nb.testing.services import Answer, FakeOpenAI

# The SDK says so of each of these methods.
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore:(The Assistants API is )?deprecated:DeprecationWarning"),
]


@pytest.fixture
def service():
    with FakeOpenAI() as service:
        yield service


@pytest.fixture
async def integration(service):
    integration = OpenAI("sk-0123456789", base_url=service.base_url)
    yield integration
    await integration.aclose()


def run(status):
    return {"id": "run_1", "object": "thread.run", "thread_id": "t1", "status": status, "assistant_id": "a1"}


def page(*items):
    return {"object": "list", "data": [*items], "first_id": "x", "last_id": "x", "has_more": False}


METHODS = [
    (lambda b: b.assistants.create("key", model="m", name="Ada"), "POST assistants", "Assistant"),
    (lambda b: b.assistants.retrieve("key", "a1"), "GET assistants/a1", "Assistant"),
    (lambda b: b.assistants.update("key", "a1", name="Ben"), "POST assistants/a1", "Assistant"),
    (lambda b: b.assistants.list("key"), "GET assistants", ["Assistant"]),
    (lambda b: b.assistants.delete("key", "a1"), "DELETE assistants/a1", "AssistantDeleted"),
    (lambda b: b.threads.create("key"), "POST threads", "Thread"),
    (lambda b: b.threads.retrieve("key", "t1"), "GET threads/t1", "Thread"),
    (lambda b: b.threads.delete("key", "t1"), "DELETE threads/t1", "ThreadDeleted"),
    (lambda b: b.threads.create_and_run("key", assistant_id="a1"), "POST threads/runs", "Run"),
    (
        lambda b: b.threads.messages.create("key", "t1", role="user", content="Hi"),
        "POST threads/t1/messages",
        "Message",
    ),
    (
        lambda b: b.threads.messages.retrieve("key", "m1", thread_id="t1"),
        "GET threads/t1/messages/m1",
        "Message",
    ),
    (lambda b: b.threads.messages.list("key", "t1"), "GET threads/t1/messages", ["Message"]),
    (lambda b: b.threads.runs.create("key", "t1", assistant_id="a1"), "POST threads/t1/runs", "Run"),
    (lambda b: b.threads.runs.retrieve("key", "r1", thread_id="t1"), "GET threads/t1/runs/r1", "Run"),
    (lambda b: b.threads.runs.list("key", "t1"), "GET threads/t1/runs", ["Run"]),
    (lambda b: b.threads.runs.cancel("key", "r1", thread_id="t1"), "POST threads/t1/runs/r1/cancel", "Run"),
    (
        lambda b: b.threads.runs.submit_tool_outputs("key", "r1", thread_id="t1", tool_outputs=[]),
        "POST threads/t1/runs/r1/submit_tool_outputs",
        "Run",
    ),
]


@pytest.mark.parametrize(("method", "path", "kind"), METHODS, ids=[path for _, path, _ in METHODS])
async def test_each_method_asks_and_answers(client, integration, service, method, path, kind):
    @client.job(integrations={"openai": integration})
    async def one(payload, io):
        return await method(io.openai.beta)

    answer = {"id": "x1", "object": "thing", "status": "queued", "thread_id": "t1"}
    service.plan(Answer(200, page(answer) if isinstance(kind, list) else answer))
    output = await one.run()
    assert await one.run() == output
    [request] = service.requests
    assert f"{request.method} {request.path.removeprefix('/v1/')}" == path
    assert bool(request.idempotency_key) == (request.method != "GET")
    assert request.headers["openai-beta"] == "assistants=v2"
    if isinstance(kind, list):
        assert [type(item).__name__ for item in output] == kind
    else:
        assert type(output).__name__ == kind


async def test_a_run_is_created_once_however_often_the_wait_for_it_breaks(client, integration, service):
    """Two tasks: the second does not start the first again."""

    @client.job(integrations={"openai": integration})
    async def answer(payload, io):
        return await io.openai.beta.threads.runs.create_and_poll(
            "ask", "t1", assistant_id="a1", poll_interval_ms=1
        )

    service.plan(
        *[Answer(200, run("queued")), 503, Answer(200, run("in_progress")), "refuse"],
        Answer(200, run("completed")),
    )
    ended = await answer.run()
    assert type(ended) is openai.types.beta.threads.Run
    assert ended.status == "completed"
    methods = [request.method for request in service.requests]
    assert methods == ["POST", "GET", "GET", "GET", "GET"]
    tasks = client.runs()[0].tasks
    assert [task.path for task in tasks] == ["ask", "ask/create", "ask/poll"]
    assert await answer.run() == ended
    assert len(service.requests) == 5
