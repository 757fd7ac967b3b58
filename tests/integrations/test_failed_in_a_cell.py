"""Issue 15, A failed task in a cell: the call of an integration, whose arguments have names."""

from __future__ import annotations

import pytest
from slack_sdk.errors import SlackApiError

from trigger_nb.errors import InputsNotKeptError
from trigger_nb.integrations import Slack
from trigger_nb.testing.services import FakeSlack

pytestmark = pytest.mark.anyio

TOKEN = "xoxb-canary-0123456789"


@pytest.fixture
def service():
    with FakeSlack(token=TOKEN) as service:
        yield service


@pytest.fixture
def slack(service):
    return Slack(TOKEN, base_url=f"{service.url}/api/")


def welcome_of(client, slack, **options):
    @client.job(id="welcome", integrations={"slack": slack})
    async def welcome(payload, io):
        said = await io.slack.post_message("send", channel="C_PRIVATE", text=payload, **options)
        return said["channel"]

    return welcome


async def test_a_failed_call_has_its_arguments_by_name(client, slack, service):
    """And is made again, with the client of the integration; nothing is recorded of it."""
    welcome = welcome_of(client, slack)
    with pytest.raises(SlackApiError):
        await welcome.run("Hello!")
    task = client.runs()[0].task("send")
    assert task.inputs.args == ()
    assert task.inputs.kwargs == {"channel": "C_PRIVATE", "text": "Hello!"}
    with pytest.raises(SlackApiError):
        await task.call()
    service.joined.add("C_PRIVATE")
    said = await task.call()
    assert said["message"]["text"] == "Hello!"
    assert client.runs()[0].task("send").status == "ERRORED"


async def test_it_is_set_by_hand(client, slack, service):
    welcome = welcome_of(client, slack)
    with pytest.raises(SlackApiError):
        await welcome.run("Hello!")
    run = client.runs()[0].set_output("send", {"ok": True, "channel": "C_PRIVATE", "ts": "1"})
    assert await run.retry() == "C_PRIVATE"
    assert run.task("send").set_by_hand is not None
    assert service.messages == []


async def test_a_token_among_the_arguments_is_not_kept(client, slack):
    welcome = welcome_of(client, slack)
    with pytest.raises(SlackApiError):
        await welcome.run(f"my token is {TOKEN}")
    with pytest.raises(InputsNotKeptError, match="credential"):
        client.runs()[0].task("send").inputs
