"""GitHub through githubkit, against a repository on the loopback."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from githubkit.exception import RequestFailed, RequestTimeout
from pydantic import SecretStr

from tests.integrations.jobs import BACKOFF, attempts
from trigger_nb.errors import InvalidOptionError, MissingCredentialError
from trigger_nb.integrations import GitHub, _github_api
from trigger_nb.testing import check_integration
from trigger_nb.testing.services import Answer, FakeGitHub

pytestmark = pytest.mark.anyio

TOKEN = "ghp_canary0123456789"
SHOP = {"owner": "acme", "repo": "shop"}


@pytest.fixture
def service():
    with FakeGitHub(token=TOKEN) as service:
        yield service


@pytest.fixture
def github(service):
    return GitHub(TOKEN, base_url=service.url)


@pytest.fixture
def job(client, github):
    """A job of one task, which opens an issue."""

    @client.job(id="report", integrations={"github": github})
    async def report(payload, io):
        return await io.github.issues.create("create", **{**SHOP, "title": "Stuck", **payload})

    return report


@pytest.fixture
def call(client, github):
    """Runs one method in a job, twice: its output and its task."""

    async def call(method):
        @client.job(id="call", integrations={"github": github})
        async def one(payload, io):
            return await method(io.github)

        output = await one.run(fresh=True)
        run = client.runs()[0]
        assert await one.run(run_id=run.id) == output
        return output, run.task("key")

    return call


def texts(shown):
    return {each["label"]: each["text"] for each in shown or []}


# What is sent and what comes back ---------------------------------------------------------------


async def test_an_issue_is_opened_once(job, service):
    """R1, R2: the answer is plain data, as GitHub words it."""
    issue = await job.run({"body": "It does not open.", "labels": ["bug"]})
    assert (type(issue), issue) == (dict, service.issues[1])
    assert await job.run({"body": "It does not open.", "labels": ["bug"]}) == issue
    [request] = service.requests
    assert (request.method, request.path) == ("POST", "/repos/acme/shop/issues")
    assert request.json == {"title": "Stuck", "body": "It does not open.", "labels": ["bug"]}
    assert request.headers["authorization"] == f"token {TOKEN}"
    assert request.headers["x-github-api-version"]


async def test_its_row_shows_the_repository_and_links_to_the_issue(client, job, service):
    await job.run({})
    task = client.runs()[0].task("create")
    assert (task.icon, task.name) == ("github", "Create issue")
    assert task.properties == [
        {"label": "Repository", "text": "acme/shop"},  # a fake has no pages
        {"label": "Title", "text": "Stuck"},
    ]
    assert task.output_properties == [
        {"label": "Issue", "text": "#1", "url": "https://github.com/acme/shop/issues/1"},
        {"label": "Rate limit", "text": "4999 of 5000 left"},
    ]


@pytest.mark.parametrize(
    ("base_url", "page"),
    [
        ("https://api.github.com", "https://github.com/acme/shop/issues/7"),
        ("https://ghe.acme.inc/api/v3/", "https://ghe.acme.inc/acme/shop/issues/7"),
        ("https://api.acme.ghe.com", "https://acme.ghe.com/acme/shop/issues/7"),
    ],
)
def test_links_lead_to_where_people_read(base_url, page):
    assert GitHub(base_url=base_url)._place({**SHOP, "issue_number": 7})[-1].url == page


async def test_issues(call, job, service):
    await job.run({"assignees": ["ana"]})
    seventh = {**SHOP, "issue_number": 1}

    issue, task = await call(lambda github: github.issues.get("key", **seventh))
    assert issue == service.issues[1]
    assert texts(task.properties) == {"Repository": "acme/shop", "Issue": "#1"}
    assert texts(task.output_properties)["State"] == "open"

    issue, task = await call(
        lambda github: github.issues.add_assignees("key", **seventh, assignees=["ana", "ben"])
    )
    assert [one["login"] for one in issue["assignees"]] == ["ana", "ben"]
    assert texts(task.properties)["Assignees"] == "ana, ben"

    labels, task = await call(lambda github: github.issues.add_labels("key", **seventh, labels=["bug"]))
    assert labels == [{"name": "bug"}]
    assert texts(task.properties)["Labels"] == "bug"

    comment, task = await call(lambda github: github.issues.create_comment("key", **seventh, body="Hm."))
    assert service.comments == {comment["id"]: comment}
    assert task.output_properties[0]["url"] == comment["html_url"]


async def test_a_comment_with_a_reaction_is_a_task_with_subtasks(client, call, job, service):
    await job.run({})
    comment, task = await call(
        lambda github: github.compound.create_issue_comment_with_reaction(
            "key", **SHOP, issue_number=1, body="Thanks!", reaction="heart"
        )
    )
    assert (service.comments[comment["id"]], [*service.reactions]) == (comment, [(comment["id"], "heart")])
    assert task.name == "Comment and react"
    assert client.runs()[0].task("key/comment").name == "Create comment"
    assert texts(client.runs()[0].task("key/reaction").properties)["Reaction"] == "heart"


async def test_the_comment_is_kept_when_the_reaction_fails(client, github, service):
    """R5: the next pass only reacts."""
    service.issues[1] = {"number": 1}

    @client.job(integrations={"github": github})
    async def thank(payload, io):
        return await io.github.compound.create_issue_comment_with_reaction(
            "thank", **SHOP, issue_number=1, body="Thanks!", reaction="+1"
        )

    service.plan("answer", 403)
    with pytest.raises(RequestFailed, match="403"):
        await thank.run()
    comment = await thank.run()
    assert (len(service.comments), [*service.reactions]) == (1, [(comment["id"], "+1")])
    assert [request.path.rpartition("/")[2] for request in service.requests] == [
        "comments",
        "reactions",
        "reactions",
    ]


@pytest.mark.parametrize("of", [SHOP, {"org": "acme"}])
@pytest.mark.parametrize("kind", [str, SecretStr])
async def test_webhooks(call, service, tmp_path, of, kind):
    """S8: the secret that GitHub signs with is in no record."""
    config = {"url": "https://acme.inc/hook", "content_type": "json", "secret": kind("canary-of-a-hook")}
    hook, task = await call(
        lambda github: github.webhooks.create("key", **of, config=config, events=["issues"])
    )
    assert service.requests[0].json["config"]["secret"] == "canary-of-a-hook"
    assert texts(task.properties)["URL"] == "https://acme.inc/hook"
    listed, _ = await call(lambda github: github.webhooks.list("key", **of, per_page=5))
    assert listed == [hook]
    config = {**config, "url": "https://acme.inc/other"}
    changed, _ = await call(
        lambda github: github.webhooks.update("key", **of, hook_id=hook["id"], active=False, config=config)
    )
    assert (changed["active"], changed["config"]["url"]) == (False, "https://acme.inc/other")
    gone, _ = await call(lambda github: github.webhooks.delete("key", **of, hook_id=hook["id"]))
    assert (gone, service.hooks) == (None, {})
    assert not any(b"canary-of-a-hook" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.parametrize("of", [{}, {"owner": "acme"}, {**SHOP, "org": "acme"}])
async def test_a_webhook_is_somebodys(call, of):
    with pytest.raises(
        InvalidOptionError, match="a repository .pass owner= and repo=. or to an organization"
    ):
        await call(lambda github: github.webhooks.list("key", **of))


async def test_the_rest_of_the_api_by_its_client(call):
    async def branch(client):
        return (await client.rest.git.async_get_ref("acme", "shop", "heads/main")).json()["object"]["sha"]

    assert (await call(lambda github: github.run_task("key", branch, name="Head")))[0].startswith("c0ffee")


async def test_a_def_job(client, github, service):
    @client.job(integrations={"github": github})
    def plain(payload, io):
        number = io.github.issues.create("create", **SHOP, title="Stuck")["number"]
        return io.github.compound.create_issue_comment_with_reaction(
            "thank", **SHOP, issue_number=number, body="Thanks!", reaction="+1"
        )["body"]

    assert [await plain.run(), await plain.run()] == ["Thanks!", "Thanks!"]
    assert len(service.requests) == 3


async def test_all_of_it_keeps_the_contract(github, service):
    await check_integration(
        github,
        [
            lambda github: github.issues.create("key", **SHOP, title="Stuck"),
            lambda github: github.repos.get("key", **SHOP),
            lambda github: github.git.create_blob("key", **SHOP, content="x"),
            lambda github: github.webhooks.list("key", org="acme"),
        ],
    )


# What goes wrong --------------------------------------------------------------------------------


def limited(status, *, message="API rate limit exceeded for user ID 1.", **headers):
    return Answer(
        status, {"message": message}, {name.replace("_", "-"): text for name, text in headers.items()}
    )


# The clock of the tests begins in 2030.
IN_AN_HOUR = str(int((datetime(2030, 1, 1, tzinfo=UTC) + timedelta(hours=1)).timestamp()))
SECONDARY = "You have exceeded a secondary rate limit."


@pytest.mark.parametrize(
    ("event", "tried", "delay"),
    [
        (limited(403, x_ratelimit_remaining="0", x_ratelimit_reset=IN_AN_HOUR), 2, 3600),
        (limited(429, x_ratelimit_remaining="0", x_ratelimit_reset=IN_AN_HOUR), 2, 3600),
        (limited(403, x_ratelimit_remaining="0", x_ratelimit_reset="1600000000"), 2, 60),
        (limited(403, retry_after="45", message=SECONDARY), 2, 45),
        (limited(429, retry_after="45", x_ratelimit_remaining="0", x_ratelimit_reset=IN_AN_HOUR), 2, 45),
        (limited(403, message=SECONDARY), 2, 60),
        (limited(429, message=SECONDARY), 2, 60),
        (limited(403, message="Resource not accessible by personal access token"), 1, None),
        (401, 1, None),
        (403, 1, None),
        (404, 1, None),
        (410, 1, None),
        (422, 1, None),
        (500, 2, BACKOFF),
        (Answer(502, b"<html>Unicorn!</html>", {"Content-Type": "text/html"}), 2, BACKOFF),
        (503, 2, BACKOFF),
        ("refuse", 2, BACKOFF),
        ("drop", 2, BACKOFF),
    ],
)
async def test_which_errors_are_tried_again_and_when(clock, job, service, event, tried, delay):
    service.plan(event)
    assert await attempts(job, {}, clock) == (tried, delay)
    assert len(service.requests) == tried
    # GitHub takes no idempotency key: what was done without an answer is done again.
    assert len(service.issues) == (2 if event == "drop" else tried - 1)


async def test_no_answer_in_time_is_tried_again(clock, job, service, monkeypatch):
    monkeypatch.setattr(_github_api, "_TIMEOUT", 0.2)
    service.plan("hold", "hold")
    assert await attempts(job, {"task_options": {"retry": 2}}, clock) == (2, BACKOFF)
    with pytest.raises(RequestTimeout):
        service.plan("hold")
        await job.run({"task_options": {"retry": 1}})


async def test_an_error_tells_what_github_said(client, job):
    with pytest.raises(RequestFailed) as raised:
        await job.run({"title": ""})
    said = '422: Validation Failed {"resource": "Issue", "field": "title", "code": "missing_field"}'
    assert str(raised.value) == said
    assert str(client.runs()[0].task("create").error) == said


async def test_a_handled_error_takes_the_same_branch_on_replay(client, github, service):
    """R4: with the answer's status, which code branches on."""

    @client.job(integrations={"github": github})
    async def find(payload, io):
        try:
            await io.github.issues.get("get", **SHOP, issue_number=404)
        except RequestFailed as error:
            return [error.response.status_code, error.response.json()["message"]]

    assert [await find.run(), await find.run()] == [[404, "Not Found"], [404, "Not Found"]]
    assert len(service.requests) == 1


async def test_a_wrong_token_says_so_without_it(client, service, tmp_path):
    """S8: also where GitHub repeats it."""
    wrong = "ghp_canary_of_somebody_else"

    @client.job(integrations={"github": GitHub(wrong, base_url=service.url)})
    async def get(payload, io):
        await io.github.repos.get("get", **SHOP)

    with pytest.raises(RequestFailed, match="401: Bad credentials: •••"):
        await get.run()
    kept = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert kept
    assert not any(wrong.encode() in data for data in kept)


@pytest.mark.parametrize("variable", ["GITHUB_TOKEN", "GH_TOKEN"])
async def test_the_token_comes_from_the_environment(client, service, monkeypatch, variable):
    for name in ("GITHUB_TOKEN", "GH_TOKEN"):
        monkeypatch.delenv(name, raising=False)

    @client.job(integrations={"github": GitHub(base_url=service.url)})
    async def get(payload, io):
        return await io.github.repos.get("get", **SHOP)

    with pytest.raises(MissingCredentialError, match="GITHUB_TOKEN or GH_TOKEN"):
        await get.run()
    monkeypatch.setenv(variable, TOKEN)
    assert (await get.run())["full_name"] == "acme/shop"


def test_a_replay_needs_no_sdk(service, tmp_path):
    """R2: what is kept is plain data."""
    script = f"""
import sys
sys.modules["githubkit"] = None  # as if it were not installed
from trigger_nb import TriggerClient
from trigger_nb.integrations import GitHub
client = TriggerClient("integrations", dir={str(tmp_path / "store")!r}, display=False)

@client.job(id="report", integrations={{"github": GitHub()}})
async def report(payload, io):
    return await io.github.issues.create("create", owner="acme", repo="shop", title="Stuck")

print(report.run_sync())
"""
    first = script.replace('sys.modules["githubkit"] = None', "").replace(
        "GitHub()", f"GitHub({TOKEN!r}, base_url={service.url!r})"
    )
    said = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        for code in (first, script)
    ]
    assert said[0] == said[1] == f"{service.issues[1]}\n"
    assert len(service.requests) == 1
