"""Resend through its own SDK, against an account on the loopback."""

from __future__ import annotations

import subprocess
import sys
import threading

import anyio
import anyio.to_thread
import pytest
import resend as sdk
from resend.exceptions import ResendError

from tests.integrations.jobs import BACKOFF, PATIENCE, attempts
from trigger_nb.errors import MissingCredentialError, TaskTimeoutError
from trigger_nb.integrations import Resend
from trigger_nb.testing import check_integration
from trigger_nb.testing.services import Answer, FakeResend

pytestmark = pytest.mark.anyio

KEY = "re_canary_0123456789"
EMAIL = {"from": "jane@acme.inc", "to": "ana@example.com", "subject": "Welcome!", "html": "<p>Hi</p>"}


@pytest.fixture
def service():
    with FakeResend(api_key=KEY) as service:
        yield service


@pytest.fixture
def resend(service):
    return Resend(KEY, base_url=service.url)


@pytest.fixture
def job(client, resend):
    """A job of one task, which sends."""

    @client.job(id="welcome", integrations={"resend": resend})
    async def welcome(payload, io):
        return await io.resend.send_email("send", **{**EMAIL, **payload})

    return welcome


@pytest.fixture
def call(client, resend):
    """Runs one method in a job, twice: its output and its task."""

    async def call(method):
        @client.job(id="call", integrations={"resend": resend})
        async def one(payload, io):
            return await method(io.resend)

        output = await one.run(fresh=True)
        run = client.runs()[0]
        assert await one.run(run_id=run.id) == output
        return output, run.task("key")

    return call


def texts(shown):
    return {each["label"]: each["text"] for each in shown or []}


# What is sent and what comes back ---------------------------------------------------------------


async def test_an_email_is_sent_once(client, job, service):
    answer = await job.run({})
    assert (type(answer), answer) == (dict, {"id": service.emails[0]["id"]})
    assert await job.run({}) == answer
    [request] = service.requests
    assert (request.method, request.path, request.json) == ("POST", "/emails", EMAIL)
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.idempotency_key == client.runs()[0].task("send").idempotency_key


async def test_its_row_shows_the_envelope_and_links_to_the_email(client, job):
    await job.run({"to": ["ana@example.com", "ben@example.com"]})
    task = client.runs()[0].task("send")
    assert (task.icon, task.name) == ("resend", "Send email")
    assert texts(task.properties) == {"To": "ana@example.com, ben@example.com", "Subject": "Welcome!"}
    link, limit = task.output_properties
    assert link == {
        "label": "Email",
        "text": task.output["id"],
        "url": f"https://resend.com/emails/{task.output['id']}",
    }
    assert limit == {"label": "Rate limit", "text": "9 of 10 left"}


@pytest.mark.parametrize("sender", [{"from_": "jane@acme.inc"}, {"from": "jane@acme.inc"}])
@pytest.mark.parametrize("of", [lambda resend: resend.send_email, lambda resend: resend.emails.send])
async def test_the_sender_is_given_in_two_ways_and_emails_in_two_places(call, service, of, sender):
    more = {"reply_to": ["help@acme.inc"], "tags": [{"name": "kind", "value": "welcome"}]}
    await call(lambda resend: of(resend)("key", to="a@b.co", subject="S", text="T", **sender, **more))
    [request] = service.requests
    assert request.json == {"from": "jane@acme.inc", "to": "a@b.co", "subject": "S", "text": "T", **more}


async def test_an_email_is_looked_up(call, job, service):
    sent = await job.run({})
    email, task = await call(lambda resend: resend.emails.get("key", email_id=sent["id"]))
    assert (email["subject"], email["last_event"]) == ("Welcome!", "delivered")
    assert "http_headers" not in email
    assert texts(task.output_properties)["Last event"] == "delivered"


async def test_a_batch_is_sent_with_one_idempotency_key(call, service):
    two = [EMAIL, {**EMAIL, "to": "ben@example.com"}]
    answer, task = await call(
        lambda resend: resend.batch.send("key", emails=two, batch_validation="permissive")
    )
    assert [each["id"] for each in answer["data"]] == [email["id"] for email in service.emails]
    [request] = service.requests
    assert (request.path, request.json) == ("/emails/batch", two)
    assert request.idempotency_key == task.idempotency_key
    assert request.headers["x-batch-validation"] == "permissive"
    assert texts(task.output_properties)["Sent"] == "2 of 2"


async def test_the_rest_of_the_api_by_its_client(call):
    """What the SDK answers is a dictionary of its own, which a store could not give back."""
    answer, _ = await call(
        lambda resend: resend.run_task("key", lambda client: client.Domains.list(), name="List domains")
    )
    assert type(answer) is dict
    assert [domain["name"] for domain in answer["data"]] == ["acme.inc"]


async def test_a_def_job(client, resend, service):
    @client.job(integrations={"resend": resend})
    def plain(payload, io):
        return io.resend.emails.send("send", **EMAIL)["id"]

    assert await plain.run() == service.emails[0]["id"]
    assert await plain.run() == service.emails[0]["id"]
    assert len(service.requests) == 1


async def test_all_of_it_keeps_the_contract(resend, service):
    await check_integration(
        resend,
        [
            lambda resend: resend.send_email("key", **EMAIL),
            lambda resend: resend.batch.send("key", emails=[EMAIL]),
            lambda resend: resend.audiences.create("key", name="Customers"),
        ],
    )


# What goes wrong --------------------------------------------------------------------------------


def failure(status, name, **headers):
    body = {"statusCode": status, "name": name, "message": f"planned {name}"}
    return Answer(status, body, {header.replace("_", "-"): value for header, value in headers.items()})


@pytest.mark.parametrize(
    ("event", "tried", "delay"),
    [
        (failure(429, "rate_limit_exceeded", retry_after="7", ratelimit_reset="9"), 2, 7),
        (failure(429, "rate_limit_exceeded", ratelimit_reset="9"), 2, 9),
        (failure(429, "rate_limit_exceeded"), 2, BACKOFF),
        (failure(429, "daily_quota_exceeded", retry_after="7"), 1, None),
        (failure(429, "monthly_quota_exceeded", retry_after="7"), 1, None),
        (failure(500, "application_error"), 2, BACKOFF),
        (failure(500, "internal_server_error"), 2, BACKOFF),
        (failure(503, "service_unavailable"), 2, BACKOFF),
        (Answer(502, b"<html>", {"Content-Type": "text/html"}), 2, BACKOFF),
        (failure(409, "concurrent_idempotent_requests"), 2, BACKOFF),
        (failure(409, "invalid_idempotent_request"), 1, None),
        ("refuse", 2, BACKOFF),
        ("drop", 2, BACKOFF),
        (failure(400, "validation_error"), 1, None),
        (failure(401, "missing_api_key"), 1, None),
        (failure(403, "invalid_api_key"), 1, None),
        (failure(404, "not_found"), 1, None),
        (failure(422, "missing_required_field"), 1, None),
    ],
)
async def test_which_errors_are_tried_again_and_when(clock, job, service, event, tried, delay):
    service.plan(event)
    assert await attempts(job, {}, clock) == (tried, delay)
    assert len(service.requests) == tried
    assert len(service.emails) == tried - 1 or event == "drop"


@pytest.mark.parametrize("batch", [False, True])
async def test_an_answer_that_is_lost_costs_no_second_email(call, service, batch):
    service.plan("drop")
    one = (
        (lambda r: r.batch.send("key", emails=[EMAIL])) if batch else (lambda r: r.send_email("key", **EMAIL))
    )
    _, task = await call(one)
    assert (task.attempt, len(service.emails)) == (2, 1)
    assert {request.idempotency_key for request in service.requests} == {task.idempotency_key}


async def test_no_answer_in_time_is_tried_again(clock, job, service, monkeypatch):
    monkeypatch.setattr(sdk, "default_http_client", sdk.RequestsClient(timeout=(PATIENCE, 0.2)))
    service.plan("hold", "hold")
    assert await attempts(job, {"task_options": {"retry": 2}}, clock) == (2, BACKOFF)
    service.until_asked(2)
    assert len(service.emails) == 1


async def test_a_task_whose_time_is_up_is_tried_again(client, job, service):
    """A5: the next attempt waits for the request that is under way, and makes no second one."""
    service.plan("hold")
    with pytest.raises(TaskTimeoutError):
        await job.run({"task_options": {"timeout": 0.2, "retry": 2}})
    assert client.runs()[0].tasks[0].attempt == 2
    service.until_asked(1)
    assert len(service.requests) == 1


async def test_a_mistake_in_a_call_is_not_tried_again(client, resend, service):
    @client.job(integrations={"resend": resend})
    async def nobody(payload, io):
        return await io.resend.contacts.get("get")

    with pytest.raises(ValueError, match="id or email must be provided"):
        await nobody.run()
    assert client.runs()[0].task("get").attempt == 1


async def test_a_wrong_key_says_so_without_it(client, service, tmp_path):
    """S8: also where Resend repeats it."""
    wrong = "re_canary_of_another_account"

    @client.job(integrations={"resend": Resend(wrong, base_url=service.url)})
    async def send(payload, io):
        await io.resend.send_email("send", **EMAIL)

    with pytest.raises(ResendError, match="API key is invalid: •••"):
        await send.run()
    kept = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert kept
    assert not any(wrong.encode() in data for data in kept)


async def test_a_missing_key_is_an_error_at_the_first_use(client, monkeypatch):
    monkeypatch.delenv("RESEND_API_KEY", raising=False)

    @client.job(integrations={"resend": Resend()})
    async def send(payload, io):
        await io.resend.send_email("send", **EMAIL)

    with pytest.raises(MissingCredentialError, match="RESEND_API_KEY"):
        await send.run()


# One SDK, several keys --------------------------------------------------------------------------


async def test_key_and_address_come_from_the_environment(client, service, monkeypatch):
    monkeypatch.setenv("RESEND_API_KEY", KEY)
    monkeypatch.setenv("RESEND_API_URL", service.url)

    @client.job(integrations={"resend": Resend()})
    async def send(payload, io):
        return await io.resend.send_email("send", **EMAIL)

    await send.run()
    assert service.requests[0].headers["authorization"] == f"Bearer {KEY}"


async def test_keys_do_not_mix(client, monkeypatch):
    """Of two integrations and of the SDK used by itself, at the same time, in as many threads."""
    monkeypatch.setattr(sdk, "api_key", "re_of_the_process")
    with FakeResend() as first, FakeResend() as second, FakeResend() as third:
        monkeypatch.setattr(sdk, "api_url", third.url)
        integrations = {
            "a": Resend("re_of_a", base_url=first.url),
            "b": Resend("re_of_b", base_url=second.url),
        }

        @client.job(integrations=integrations)
        async def send(payload, io):
            meet = threading.Barrier(3, timeout=PATIENCE)
            waiting = sdk.default_http_client

            class Meeting:
                """Holds each request until all three are on their way."""

                def request(self, **request):
                    meet.wait()
                    return waiting.request(**request)

            monkeypatch.setattr(sdk, "default_http_client", Meeting())

            async def send_by(integration, key):
                await integration.send_email(key, **EMAIL)

            async with anyio.create_task_group() as group:
                group.start_soon(send_by, io.a, "a")
                group.start_soon(send_by, io.b, "b")
                group.start_soon(anyio.to_thread.run_sync, sdk.Emails.send, EMAIL)

        await send.run()
        for service, key in ((first, "re_of_a"), (second, "re_of_b"), (third, "re_of_the_process")):
            assert [request.headers["authorization"] for request in service.requests] == [f"Bearer {key}"]
            assert len(service.emails) == 1


async def test_the_clients_async_methods_are_refused(resend):
    """They would go with the key of the process."""
    with pytest.raises(AttributeError, match="call send in a `def` body"):
        resend.native.Emails.send_async  # noqa: B018


def test_a_replay_needs_no_sdk(client, service, tmp_path):
    """R2: what is kept is plain data."""
    script = f"""
import sys
sys.modules["resend"] = None  # as if it were not installed
from trigger_nb import TriggerClient
from trigger_nb.integrations import Resend
client = TriggerClient("integrations", dir={str(tmp_path / "store")!r}, display=False)

@client.job(id="welcome", integrations={{"resend": Resend()}})
async def welcome(payload, io):
    return await io.resend.send_email("send", **{EMAIL!r})

print(welcome.run_sync({{}}))
"""
    first = script.replace('sys.modules["resend"] = None', "").replace(
        "Resend()", f"Resend({KEY!r}, base_url={service.url!r})"
    )
    said = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        for code in (first, script)
    ]
    assert said[0] == said[1] == f"{{'id': '{service.emails[0]['id']}'}}\n"
    assert len(service.requests) == 1
