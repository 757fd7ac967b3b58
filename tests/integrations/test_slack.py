"""Slack through its own SDK, against a workspace on the loopback."""

from __future__ import annotations

import pytest
from slack_sdk.errors import SlackApiError

from tests.integrations.jobs import BACKOFF, attempts
from trigger_nb.integrations import Slack
from trigger_nb.testing.services import Answer, FakeSlack

pytestmark = pytest.mark.anyio

TOKEN = "xoxb-canary-0123456789"


@pytest.fixture
def service():
    with FakeSlack(token=TOKEN) as service:
        service.joined.add("C1")
        yield service


@pytest.fixture
def slack(service):
    return Slack(TOKEN, base_url=f"{service.url}/api/")


@pytest.fixture
def job(client, slack):
    @client.job(id="welcome", integrations={"slack": slack})
    async def welcome(payload, io):
        return await io.slack.post_message("send", channel=payload, text="Hello!")

    return welcome


async def test_a_message_is_posted_once(job, service, slack):
    said = await job.run("C1")
    assert said["message"]["text"] == "Hello!"
    assert await job.run("C1") == said
    assert [message["text"] for message in service.messages] == ["Hello!"]
    [request] = service.requests
    assert (request.method, request.path) == ("POST", "/api/chat.postMessage")
    assert request.headers["authorization"] == f"Bearer {TOKEN}"


async def test_its_row_shows_the_channel_and_links_to_the_message(client, job):
    await job.run("C1")
    task = client.runs()[0].task("send")
    assert (task.icon, task.name) == ("slack", "Post message")
    assert task.properties == [{"label": "Channel", "text": "C1"}]
    assert task.params == {"channel": "C1", "text": "Hello!"}
    [link] = task.output_properties
    assert link["text"] == task.output["ts"]
    assert link["url"] == f"https://slack.com/app_redirect?channel=C1&message_ts={task.output['ts']}"


async def test_a_bot_that_is_not_in_the_channel_joins_it(job, service):
    await job.run("C2")
    assert service.joined == {"C1", "C2"}
    assert [request.path for request in service.requests] == [
        "/api/chat.postMessage",
        "/api/conversations.join",
        "/api/chat.postMessage",
    ]
    assert len(service.messages) == 1


async def test_one_that_may_not_join_says_so(job, service):
    with pytest.raises(SlackApiError, match="method_not_supported_for_channel_type"):
        await job.run("C_PRIVATE")
    assert service.messages == []


async def test_join_conversation(client, slack, service):
    @client.job(integrations={"slack": slack})
    async def join(payload, io):
        return await io.slack.join_conversation("join", channel="C3")

    assert (await join.run())["channel"]["id"] == "C3"
    assert "C3" in service.joined


async def test_the_rest_of_the_api_by_its_client(client, slack):
    @client.job(integrations={"slack": slack})
    async def users(payload, io):
        async def ask(client, task):
            return (await client.users_info(user="U1")).data

        return await io.slack.run_task("ask", ask)

    answer = await users.run()
    assert answer["method"] == "users.info"
    assert answer["asked"] == {"user": "U1"}


@pytest.mark.parametrize(
    ("event", "tried", "delay"),
    [
        (503, 2, BACKOFF),
        (500, 2, BACKOFF),
        ("refuse", 2, BACKOFF),
        (429, 2, 30),
        (Answer(200, {"ok": False, "error": "service_unavailable"}), 2, BACKOFF),
        (Answer(200, {"ok": False, "error": "ratelimited"}, {"Retry-After": "7"}), 2, 7),
        (401, 1, None),
        (403, 1, None),
        (404, 1, None),
        (Answer(502, b"<html>Bad Gateway</html>", {"Content-Type": "text/html"}), 2, BACKOFF),
        (Answer(503, b'{"ok": fal', {"Content-Type": "application/json"}), 2, BACKOFF),
        (Answer(200, b'{"ok": fal', {"Content-Type": "application/json"}), 1, None),
        (Answer(429, {"error": {"message": "of a proxy"}}, {"Retry-After": "7"}), 2, 7),
        (Answer(200, {"ok": False, "error": "channel_not_found"}), 1, None),
        (Answer(200, {"ok": False, "error": "invalid_auth"}), 1, None),
    ],
)
async def test_which_errors_are_tried_again_and_when(clock, job, service, event, tried, delay):
    service.plan(event)
    assert await attempts(job, "C1", clock) == (tried, delay)
    assert len(service.requests) == tried
