"""OpenAI through its own SDK, against models on the loopback that repeat what they are told."""

from __future__ import annotations

import json
from io import BytesIO

import openai
import pytest

from trigger_nb.errors import InvalidOptionError, MissingCredentialError
from trigger_nb.integrations import OpenAI
from trigger_nb.testing import check_integration
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


@pytest.fixture
def call(client, integration):
    """Runs one method in a job: its output and its task."""

    async def call(method):
        @client.job(id="call", integrations={"openai": integration})
        async def one(payload, io):
            return await method(io.openai)

        output = await one.run(fresh=True)
        return output, client.runs()[0].task("key")

    return call


def shown(properties):
    return {one["label"]: one["text"] for one in properties or []}


# What is sent and what comes back ---------------------------------------------------------------


async def test_a_chat_completion_is_asked_for_once(job, service, client):
    completion = await job.run({"temperature": 0.5})
    assert type(completion) is openai.types.chat.ChatCompletion
    assert completion.choices[0].message.content == "You said: Hello you there"
    assert await job.run({"temperature": 0.5}) == completion
    [request] = service.requests
    assert (request.method, request.path) == ("POST", "/v1/chat/completions")
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.idempotency_key == client.runs()[0].task("ask").idempotency_key
    assert request.json == {"model": "gpt-4o-mini", "messages": HELLO, "temperature": 0.5}


async def test_a_check_gets_the_completion_and_what_it_returns_is_kept(client, integration, service):
    """The stored answer is plain data: the check sees the SDK's model, as the caller would."""
    seen = []

    def check(completion):
        seen.append(completion)
        if len(seen) == 1:
            raise ValueError("not good enough")
        return completion if len(seen) == 2 else completion.choices[0].message.content

    @client.job(integrations={"openai": integration})
    async def ask(payload, io):
        create = io.openai.chat.completions.create
        options = {"check": check, "retry": 2}
        whole = await create("whole", model="gpt-4o-mini", messages=HELLO, task_options=options)
        text = await create("text", model="gpt-4o-mini", messages=HELLO, task_options=options)
        return [whole, text]

    whole, text = await ask.run()
    assert {type(each) for each in [*seen, whole]} == {openai.types.chat.ChatCompletion}
    assert text == "You said: Hello you there"
    assert await ask.run() == [whole, text]
    assert len(service.requests) == len(seen) == 3


async def test_its_row_shows_the_model_the_tokens_and_what_is_left_of_the_limits(job, client):
    await job.run({})
    task = client.runs()[0].task("ask")
    assert (task.icon, task.name) == ("openai", "Chat completion")
    assert shown(task.properties) == {"Model": "gpt-4o-mini"}
    assert task.params == {"messages": HELLO, "model": "gpt-4o-mini"}
    assert shown(task.output_properties) == {
        "Answered by": "gpt-4o-mini-2024-07-18",
        "Finish reason": "stop",
        "Tokens": "3 + 5 = 8",
        "Requests left": "499",
        "Tokens left": "29992",
    }


async def test_headers_of_the_caller_go_with_the_key(job, service):
    await job.run({"extra_headers": {"X-Team": "poets"}})
    [request] = service.requests
    assert request.headers["x-team"] == "poets"
    assert request.idempotency_key


async def test_what_a_model_answered_can_be_said_again(client, integration, service):
    """A message of an answer stands among those of the next question, as in a loop over tool calls."""
    tool = {"type": "function", "function": {"name": "look_up", "parameters": {}}}

    @client.job(integrations={"openai": integration})
    async def agent(payload, io):
        create = io.openai.chat.completions.create
        first = await create("first", model="gpt-4o-mini", messages=HELLO, tools=[tool])
        [called] = first.choices[0].message.tool_calls
        result = {"role": "tool", "tool_call_id": called.id, "content": "found"}
        messages = [*HELLO, first.choices[0].message, result]
        return await create("second", model="gpt-4o-mini", messages=messages, tools=[tool])

    assert (await agent.run()).choices[0].message.content == "You said: found"
    await agent.run()
    first, second = service.requests
    assert second.json["messages"][1]["tool_calls"][0]["function"]["name"] == "look_up"


async def test_a_background_completion_is_the_same_with_more_patience(clock, client, integration, service):
    @client.job(integrations={"openai": integration})
    async def later(payload, io):
        return await io.openai.chat.completions.background_create("ask", model="m", messages=HELLO)

    service.plan(503, 503, 503)
    began = clock.time()
    assert (await later.run()).choices[0].message.content == "You said: Hello you there"
    assert clock.time() - began >= 4  # 1 + 1 + 2 s at least; the others' pauses are 3.8 s at most


async def test_a_background_completion_waits_for_every_limit(clock, client, integration, service):
    """Its own policy is one of the method, not of the call: being told to wait does not use it up."""

    @client.job(integrations={"openai": integration})
    async def later(payload, io):
        return await io.openai.chat.completions.background_create("ask", model="m", messages=HELLO)

    service.plan(*[429] * 10)
    await later.run()
    assert len(service.requests) == 11


async def test_each_method_asks_and_answers(call, service):
    """The SDK's own requests, and its models."""
    types = openai.types

    async def ask(method, path, kind):
        output, task = await call(method)
        assert f"{service.requests[-1].method} {service.requests[-1].path}" == path
        assert type(output) is kind
        assert task.name != "key"
        assert bool(service.requests[-1].idempotency_key) == (not path.startswith("GET"))
        return output, task

    text, _ = await ask(
        lambda ai: ai.completions.create("key", model="gpt-4o-mini", prompt="Once"),
        "POST /v1/completions",
        types.Completion,
    )
    assert text.choices[0].text == " and so on from Once"

    embedded, task = await ask(
        lambda ai: ai.embeddings.create("key", model="text-embedding-3-small", input=["a", "bc"]),
        "POST /v1/embeddings",
        types.CreateEmbeddingResponse,
    )
    assert [one.embedding for one in embedded.data] == [[0.125, 0.0, -0.5], [0.25, 0.125, -0.5]]
    assert shown(task.properties) == {"Model": "text-embedding-3-small", "Inputs": "2"}
    assert shown(task.output_properties)["Tokens"] == "2"

    images, task = await ask(
        lambda ai: ai.images.generate("key", prompt="a cat", n=2),
        "POST /v1/images/generations",
        types.ImagesResponse,
    )
    links = {one["label"]: one.get("url") for one in task.output_properties}
    assert [links["Image 1"], links["Image 2"]] == [image.url for image in images.data]

    response, _ = await ask(
        lambda ai: ai.responses.create("key", model="gpt-4o-mini", input="Hello"),
        "POST /v1/responses",
        types.responses.Response,
    )
    assert response.output_text == "You said: Hello"
    again, _ = await ask(
        lambda ai: ai.responses.retrieve("key", response.id),
        f"GET /v1/responses/{response.id}",
        types.responses.Response,
    )
    assert again == response

    await ask(lambda ai: ai.models.retrieve("key", "gpt-4o-mini"), "GET /v1/models/gpt-4o-mini", types.Model)
    models, task = await ask(lambda ai: ai.models.list("key"), "GET /v1/models", list)
    assert {type(model) for model in models} == {types.Model}
    assert shown(task.output_properties) == {"Found": str(len(models))}


async def test_a_file_is_uploaded_read_and_deleted(call, service):
    file, task = await call(lambda ai: ai.files.create("key", file=("a.jsonl", b"{}"), purpose="fine-tune"))
    assert type(file) is openai.types.FileObject
    assert (file.filename, file.bytes, file.purpose) == ("a.jsonl", 2, "fine-tune")
    assert shown(task.properties) == {"File": "a.jsonl", "Purpose": "fine-tune"}
    assert service.requests[0].idempotency_key == task.idempotency_key
    content, _ = await call(lambda ai: ai.files.content("key", file.id))
    assert content == b"{}"
    waited, task = await call(lambda ai: ai.files.wait_for_processing("key", file.id))
    assert waited.status == "processed"
    assert shown(task.output_properties) == {"Status": "processed"}
    same, _ = await call(lambda ai: ai.files.retrieve("key", file.id))
    assert same == waited
    deleted, _ = await call(lambda ai: ai.files.delete("key", file.id))
    assert deleted.deleted
    assert service.files == {}


async def test_a_file_is_given_in_any_of_the_usual_ways(call, service, tmp_path):
    path = tmp_path / "given.txt"
    path.write_bytes(b"content")
    with path.open("rb") as opened:
        for file in (path, str(path), opened, b"content", ("other.txt", b"content"), BytesIO(b"content")):
            # The first attempt fails, and the next one sends all of it once more.
            service.plan(503)
            await call(lambda ai, file=file: ai.files.create("key", file=file, purpose="user_data"))
    assert [*service.contents.values()] == [b"content"] * 6
    names = [file["filename"] for file in service.files.values()]
    assert names == ["given.txt", "given.txt", "given.txt", "upload", "other.txt", "upload"]


async def test_a_list_is_all_there_is_or_the_first_so_many(call, service):
    for name in "abc":
        await call(lambda ai, name=name: ai.files.create("key", file=(name, b""), purpose="batch"))
    files, _ = await call(lambda ai: ai.files.list("key"))
    assert [file.filename for file in files] == ["a", "b", "c"]  # of two pages
    assert {type(file) for file in files} == {openai.types.FileObject}
    files, _ = await call(lambda ai: ai.files.list("key", limit=1))
    assert [file.filename for file in files] == ["a"]


async def test_a_model_is_fine_tuned(call, service):
    file, _ = await call(lambda ai: ai.files.create("key", file=("a", b""), purpose="fine-tune"))
    made, task = await call(
        lambda ai: ai.fine_tuning.jobs.create("key", model="gpt-4o-mini", training_file=file.id)
    )
    assert type(made) is openai.types.fine_tuning.FineTuningJob
    assert shown(task.output_properties) == {"ID": made.id, "Status": "queued"}
    await call(lambda ai: ai.fine_tuning.jobs.retrieve("key", made.id))
    done, _ = await call(lambda ai: ai.fine_tuning.jobs.retrieve("key", made.id))
    assert done.status == "succeeded"
    events, _ = await call(lambda ai: ai.fine_tuning.jobs.list_events("key", made.id))
    assert [type(event) for event in events] == [openai.types.fine_tuning.FineTuningJobEvent] * 3
    jobs, _ = await call(lambda ai: ai.fine_tuning.jobs.list("key"))
    assert jobs == [done]
    deleted, _ = await call(lambda ai: ai.models.delete("key", done.fine_tuned_model))
    assert deleted.id == done.fine_tuned_model
    cancelled, _ = await call(lambda ai: ai.fine_tuning.jobs.cancel("key", made.id))
    assert cancelled.status == "cancelled"


async def test_what_openai_itself_keeps_has_a_link_to_its_page():
    from trigger_nb.integrations.openai._answers import show

    class Task:
        output_properties = None

    class Client:
        base_url = "https://api.openai.com/v1/"

    class Raw:
        headers = {}  # noqa: RUF012

    show(Task, {"id": "ftjob-7"}, {}, Raw, Client)
    [link] = Task.output_properties
    assert (link.text, link.url) == ("ftjob-7", "https://platform.openai.com/finetune/ftjob-7")


async def test_a_job_that_is_a_plain_function(client, integration):
    @client.job(integrations={"openai": integration})
    def plain(payload, io):
        return io.openai.chat.completions.create("ask", model="m", messages=HELLO)

    assert (await plain.run()).choices[0].message.content == "You said: Hello you there"


async def test_the_rest_of_the_api_by_its_client(client, integration, service):
    @client.job(integrations={"openai": integration})
    async def moderate(payload, io):
        async def ask(client, task):
            return (await client.moderations.create(input="x")).to_dict()

        return await io.openai.run_task("ask", ask)

    service.plan(Answer(200, {"id": "modr-1", "model": "m", "results": []}))
    assert await moderate.run() == {"id": "modr-1", "model": "m", "results": []}
    assert service.requests[0].path == "/v1/moderations"


async def test_what_is_not_streamed_says_so(call):
    with pytest.raises(InvalidOptionError, match="images.generate is not streamed"):
        await call(lambda ai: ai.images.generate("key", prompt="a cat", stream=True))


async def test_it_keeps_the_contract(integration):
    await check_integration(
        integration,
        [
            lambda ai: ai.chat.completions.create("chat", model="m", messages=HELLO),
            lambda ai: ai.chat.completions.create("stream", model="m", messages=HELLO, stream=True),
            lambda ai: ai.responses.create("respond", model="m", input="Hello"),
            lambda ai: ai.embeddings.create("embed", model="m", input="Hello"),
            lambda ai: ai.models.list("models"),
        ],
    )


# Credentials and addresses -----------------------------------------------------------------------


async def test_what_is_not_given_is_read_from_the_environment(client, service, monkeypatch):
    for name, value in {
        "OPENAI_API_KEY": KEY,
        "OPENAI_BASE_URL": service.base_url,
        "OPENAI_ORG_ID": "org-7",
        "OPENAI_PROJECT_ID": "proj_7",
    }.items():
        monkeypatch.setenv(name, value)
    integration = OpenAI()

    @client.job(integrations={"openai": integration})
    async def ask(payload, io):
        return await io.openai.models.list("models")

    await ask.run()
    [request] = service.requests
    assert (request.headers["openai-organization"], request.headers["openai-project"]) == ("org-7", "proj_7")
    await integration.aclose()


async def test_organization_and_project_can_be_given(client, service):
    integration = OpenAI(KEY, base_url=service.base_url, organization="org-8", project="proj_8")

    @client.job(integrations={"openai": integration})
    async def ask(payload, io):
        return await io.openai.models.list("models")

    await ask.run()
    [request] = service.requests
    assert (request.headers["openai-organization"], request.headers["openai-project"]) == ("org-8", "proj_8")
    await integration.aclose()


async def test_a_server_that_needs_no_key_gets_none_of_yours(client, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with FakeOpenAI() as service:
        integration = OpenAI("", base_url=service.base_url)

        @client.job(integrations={"openai": integration})
        async def ask(payload, io):
            return await io.openai.chat.completions.create("ask", model="llama", messages=HELLO)

        assert (await ask.run()).choices[0].message.content == "You said: Hello you there"
        assert KEY not in json.dumps([request.headers for request in service.requests])
        await integration.aclose()


async def test_without_a_key_it_says_how_to_give_one(client, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    @client.job(integrations={"openai": OpenAI()})
    async def ask(payload, io):
        return await io.openai.models.list("models")

    with pytest.raises(MissingCredentialError, match='"" for a server that needs none.*OPENAI_API_KEY'):
        await ask.run()
