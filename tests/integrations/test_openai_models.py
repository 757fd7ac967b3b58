"""R2: what OpenAI's SDK makes of an answer is what comes from the store, in this kernel and in the next."""

from __future__ import annotations

import subprocess
import sys

import openai
import pytest

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


# As a service of the same API may send them: what the SDK's classes do not know, or want and do not get.
ODD = [
    {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": []},
    {"choices": [{"message": {"content": "hi", "reasoning_content": "so"}}], "timings": {"ms": 1.5}},
    {
        "id": None, "created": "soon", "model": "m", "usage": None, "service_tier": "of tomorrow",
        "choices": [{"index": 0, "finish_reason": "eos", "logprobs": None,
                     "message": {"role": "assistant", "content": None, "tool_calls": [
                         {"id": "c", "type": "custom", "custom": {"name": "f", "input": "x"}},
                         {"id": "d", "type": "of tomorrow", "more": [1, None, {"a": 1.0}]}]}}],
        "usage_extra": {"prompt_tokens": 1, "cached": True},
    },
    {
        "id": "x", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "é\u2028 \ud83d\ude00"},
                     "logprobs": {"content": [{"token": "a", "bytes": None, "logprob": -1, "top_logprobs": []}],
                                  "refusal": None}}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "completion_tokens_details": {}},
    },
]  # fmt: skip


def anatomy(value):
    """All that there is in a model: classes, fields that were set, further ones, what is not a field."""
    if isinstance(value, openai.BaseModel):
        parts = {name: anatomy(part) for name, part in {**vars(value), **(value.model_extra or {})}.items()}
        return type(value).__qualname__, sorted(value.model_fields_set), parts
    if isinstance(value, list):
        return [anatomy(item) for item in value]
    if isinstance(value, dict):
        return {name: anatomy(item) for name, item in value.items()}
    return type(value).__name__, value


@pytest.mark.parametrize("data", ODD)
async def test_a_model_is_the_one_that_the_sdk_makes(data, client, integration, service):
    """R2: from the store comes what the SDK itself would have given, whatever a server sends."""
    given = []

    @client.job(integrations={"openai": integration})
    async def ask(payload, io):
        given.append(await io.openai.chat.completions.create("ask", model="m", messages=HELLO))

    service.plan(*[Answer(200, data, {"x-request-id": "req_7"})] * 2)
    expected = await integration.native.chat.completions.create(model="m", messages=HELLO)
    await ask.run()
    await ask.run()
    assert given == [expected, expected]
    assert [*map(anatomy, given)] == [anatomy(expected)] * 2
    assert [one._request_id for one in given] == ["req_7", "req_7"]
    assert len(service.requests) == 2


SCRIPT = """
import asyncio, sys
from tests.integrations.test_openai_models import KEY, HELLO, anatomy
from trigger_nb import TriggerClient
from trigger_nb.integrations import OpenAI

directory, base_url = sys.argv[1:]
client = TriggerClient("models", dir=directory, display=False)

@client.job(id="all", integrations={"openai": OpenAI(KEY, base_url=base_url)})
async def everything(payload, io):
    ai = io.openai
    tool = {"type": "function", "function": {"name": "look_up", "parameters": {}}}
    file = await ai.files.create("file", file=("a", b"{}"), purpose="fine-tune")
    return [
        await ai.chat.completions.create("chat", model="m", messages=HELLO, tools=[tool]),
        await ai.chat.completions.create("stream", model="m", messages=HELLO, stream=True),
        await ai.completions.create("text", model="m", prompt="Once"),
        await ai.embeddings.create("embed", model="m", input="Once"),
        await ai.images.generate("draw", prompt="a cat"),
        await ai.responses.create("respond", model="m", input="Hello"),
        await ai.fine_tuning.jobs.create("tune", model="m", training_file=file.id),
        await ai.models.list("models"),
        await ai.files.content("content", file.id),
        file,
    ]

print(ascii(anatomy(asyncio.run(everything.run()))))
"""


def test_models_come_back_in_another_kernel(service, tmp_path):
    """R2, R3: equal in value and in type where nothing but the store is left."""

    def outcome():
        return subprocess.run(
            [sys.executable, "-c", SCRIPT, str(tmp_path), service.base_url],
            check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip

    first, asked = outcome(), len(service.requests)
    assert outcome() == first
    assert "ChatCompletionMessage" in first
    assert len(service.requests) == asked == 10
