"""Replicate through its own SDK, against models on the loopback; what all share is in test_smaller_ones.py."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from replicate.exceptions import ModelError, ReplicateError

from tests.integrations.jobs import BACKOFF, attempts
from tests.support.fakes import FakeReplicate
from trigger_nb.integrations import Replicate

pytestmark = pytest.mark.anyio


@pytest.fixture
def service():
    with FakeReplicate(model=lambda given: ["https://replicate.delivery/" + given["prompt"]]) as service:
        yield service


@pytest.fixture
async def replicate(service):
    replicate = Replicate("r8_1", base_url=service.url, poll_interval=0.001)
    yield replicate
    await replicate.aclose()


@pytest.fixture
def draw(client, replicate):
    @client.job(id="draw", integrations={"replicate": replicate})
    async def draw(payload, io):
        return await io.replicate.run("fox", payload, input={"prompt": "fox"})

    return draw


@pytest.mark.parametrize(
    ("ref", "path", "body"),
    [
        ("a/b", "/v1/models/a/b/predictions", {"input": {"prompt": "fox"}}),
        ("a/b:v1", "/v1/predictions", {"input": {"prompt": "fox"}, "version": "v1"}),
    ],
)
async def test_run_waits_for_the_output(draw, service, ref, path, body):
    service.states = ["processing", "processing", "succeeded"]
    assert await draw.run(ref) == ["https://replicate.delivery/fox"]
    assert await draw.run(ref) == ["https://replicate.delivery/fox"]
    made, *polled = service.requests
    assert (made.method, made.path, made.json) == ("POST", path, body)
    assert [request.path for request in polled] == ["/v1/predictions/run1"] * 3
    task, made, waited = draw.runs()[0].tasks
    assert (task.icon, task.name) == ("replicate", "Run model")
    assert task.properties == [{"label": "Model", "text": "a/b", "url": "https://replicate.com/a/b"}]
    link = {"label": "Prediction", "text": "run1", "url": "https://replicate.com/p/run1"}
    assert made.output_properties == [link]
    assert waited.output_properties[0]["text"] == "succeeded"
    assert waited.output_properties[1]["text"] == "1.5 s"


async def test_from_a_def_job(client, replicate, service):
    @client.job(integrations={"replicate": replicate})
    def draw(payload, io):
        return io.replicate.run("fox", "a/b", input={"prompt": "fox"})

    assert await draw.run() == await draw.run() == ["https://replicate.delivery/fox"]
    assert len(service.predictions) == 1


async def test_an_interrupt_costs_no_second_prediction(draw, service):
    service.states = ["processing"]
    run = asyncio.ensure_future(draw.run("a/b"))
    while len(service.requests) < 3:
        await asyncio.sleep(0.001)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    service.states = ["succeeded"]
    assert await draw.run("a/b") == ["https://replicate.delivery/fox"]
    assert list(service.predictions) == ["run1"]


CHILD = """
import asyncio, sys
from trigger_nb import TriggerClient
from trigger_nb.integrations import Replicate

client = TriggerClient("integrations", dir=sys.argv[1], display=False)
replicate = Replicate("r8_1", base_url=sys.argv[2], poll_interval=0.001)

@client.job(id="draw", integrations={"replicate": replicate})
async def draw(payload, io):
    return await io.replicate.run("fox", payload, input={"prompt": "fox"})

print(asyncio.run(draw.run("a/b")))
"""


async def test_a_killed_kernel_costs_no_second_prediction(service, tmp_path):
    """R3: the id is in the store before the wait begins."""
    child = [sys.executable, "-c", CHILD, str(tmp_path / "store"), service.url]
    service.states = ["processing"]
    killed = subprocess.Popen(child, cwd=Path(__file__).parents[2])
    service.until_asked(3)
    killed.kill()
    killed.wait()
    service.states = ["succeeded"]
    done = subprocess.run(child, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['https://replicate.delivery/fox']"
    assert list(service.predictions) == ["run1"]


async def test_a_failed_prediction_is_an_error_and_the_next_pass_makes_another(draw, service):
    service.states = ["failed"]
    with pytest.raises(ModelError, match="CUDA out of memory") as caught:
        await draw.run("a/b")
    assert "prediction: https://replicate.com/p/run1" in caught.value.__notes__
    service.states = ["succeeded"]
    assert await draw.run("a/b") == ["https://replicate.delivery/fox"]
    assert list(service.predictions) == ["run1", "run2"]


async def test_it_is_made_again_at_once_if_the_call_says_so(client, replicate, service):
    @client.job(integrations={"replicate": replicate})
    async def draw(payload, io):
        return await io.replicate.run("fox", "a/b", input={"prompt": "fox"}, task_options={"retry": 2})

    service.states = ["canceled", "succeeded"]
    assert await draw.run() == ["https://replicate.delivery/fox"]
    assert list(service.predictions) == ["run1", "run2"]


async def test_a_canceled_prediction_says_so(draw, service):
    service.states = ["canceled"]
    with pytest.raises(ModelError, match="the prediction was canceled"):
        await draw.run("a/b")


async def test_an_output_that_replicate_has_deleted_is_not_taken_for_none(draw, service, monkeypatch):
    service.states = ["processing"]
    run = asyncio.ensure_future(draw.run("a/b"))
    while len(service.requests) < 2:
        await asyncio.sleep(0.001)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    service.predictions["run1"].update(status="succeeded", input={}, data_removed=True)
    with pytest.raises(ModelError, match="the output is gone"):
        await draw.run("a/b")


async def test_the_sdk_repeats_nothing(client, clock, replicate, service):
    @client.job(integrations={"replicate": replicate})
    async def look(payload, io):
        return await io.replicate.models.get("model", model="a/b", task_options={"retry": payload})

    service.plan(*[503] * 20)
    with pytest.raises(ReplicateError):
        await look.run(1)
    assert len(service.requests) == 1
    assert await attempts(look, 2, clock) == (2, BACKOFF)


async def test_bodies_may_use_the_sync_methods_too(client, replicate, service):
    @client.job(integrations={"replicate": replicate})
    async def look(payload, io):
        def ask(client):
            return client.models.get("a/b").name

        return await io.replicate.run_task("look", ask)

    assert await look.run() == "b"
