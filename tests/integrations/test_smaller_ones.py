"""What Airtable, Replicate, SendGrid and Supabase have in common, each through its own SDK."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.integrations.jobs import BACKOFF, PATIENCE, attempts
from tests.support.fakes import FakeAirtable, FakeReplicate, FakeSendGrid, FakeSupabase
from trigger_nb.integrations import Airtable, Replicate, SendGrid, Supabase, _replicate_transport
from trigger_nb.testing import FakeClock, check_integration
from trigger_nb.testing.services import Answer, Service

pytestmark = pytest.mark.anyio

KEY = "key-canary-0123456789"


@dataclass
class Case:
    """One integration, the service it talks to, and a write that is one request."""

    name: str
    fake: Callable[[], Service]
    made: Callable[[str], Any]  # the integration for a service at that address
    call: Callable[[Any], Any]
    limit: Callable[[Any, float], None]  # how long the SDK's client waits for an answer
    lifted: Answer  # a 429 that says when the limit is lifted, in the service's own way
    delay: float  # seconds until then
    effects: Callable[[Any], int]
    again: int = 2  # effects of a write that was done, and whose answer was lost


MAIL = {"from_email": "a@x.io", "to_emails": "b@x.io", "subject": "Hi", "plain_text_content": "Hello"}
NOON = 1_700_000_000  # seconds

CASES = [
    Case(
        "airtable",
        lambda: FakeAirtable(api_key=KEY),
        lambda url: Airtable(KEY, base_url=url),
        lambda it: it.table("app1", "Leads").create_records("call", [{"Name": "Ana"}]),
        lambda api, seconds: setattr(api, "timeout", (PATIENCE, seconds)),
        Answer(429, {"errors": [{"error": "RATE_LIMIT_REACHED"}]}),
        30,
        lambda service: len(service.records),
    ),
    Case(
        "replicate",
        lambda: FakeReplicate(api_token=KEY),
        lambda url: Replicate(KEY, base_url=url),
        lambda it: it.predictions.create("call", version="v1", input={"text": "Ana"}),
        lambda client, seconds: setattr(
            client._async_client, "timeout", httpx.Timeout(PATIENCE, read=seconds)
        ),
        Answer(429, {"detail": "Request was throttled. Your rate limit resets in ~12s."}),
        12,
        lambda service: len(service.predictions),
    ),
    Case(
        "sendgrid",
        lambda: FakeSendGrid(api_key=KEY),
        lambda url: SendGrid(KEY, base_url=url),
        lambda it: it.send_email("call", **MAIL),
        lambda client, seconds: setattr(client.client, "timeout", seconds),
        Answer(429, {"errors": []}, {"X-RateLimit-Reset": str(NOON + 45)}),
        45,
        lambda service: len(service.mails),
    ),
    Case(
        "supabase",
        lambda: FakeSupabase(key=KEY),
        lambda url: Supabase(url, KEY),
        lambda it: it.upsert("call", table="users", rows=[{"id": "u1", "name": "Ana"}]),
        lambda client, seconds: setattr(
            client.options.httpx_client, "timeout", httpx.Timeout(PATIENCE, read=seconds)
        ),
        Answer(429, {"message": "API rate limit exceeded"}, {"Retry-After": "20"}),
        20,
        lambda service: len(service.tables.get("users", {})),
        again=1,
    ),
]


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request):
    return request.param


@pytest.fixture
def service(case):
    with case.fake() as service:
        yield service


@pytest.fixture
async def integration(case, service):
    integration = case.made(service.url)
    yield integration
    await integration.aclose()


@pytest.fixture
def clock():
    return FakeClock(NOON)


@pytest.fixture
def job(client, case, integration):
    @client.job(id="once", integrations={"it": integration})
    async def once(payload, io):
        return await case.call(io.it)

    return once


async def test_the_contract(case, integration):
    """R1, R2, S8: among others, results come back equal in value and type, and no credential is kept."""
    await check_integration(integration, [case.call])


async def test_a_call_is_made_once(case, job, service):
    first = await job.run()
    assert await job.run() == first
    assert case.effects(service) == 1
    [request] = service.requests
    given = request.headers.get("apikey") or request.headers["authorization"].removeprefix("Bearer ")
    assert given == KEY


async def test_from_a_def_job(client, case, service, integration):
    @client.job(integrations={"it": integration})
    def plainly(payload, io):
        return case.call(io.it)

    first = await plainly.run()
    assert await plainly.run() == first
    assert case.effects(service) == 1


@pytest.mark.parametrize(
    ("event", "tried"),
    [(400, 1), (401, 1), (403, 1), (404, 1), (500, 2), (502, 2), (503, 2), ("refuse", 2), ("drop", 2)],
)
async def test_which_errors_are_tried_again(case, clock, job, service, event, tried):
    service.plan(event)
    assert await attempts(job, None, clock) == (tried, BACKOFF if tried == 2 else None)
    assert len(service.requests) == tried
    assert case.effects(service) == {"drop": case.again}.get(event, tried - 1)


async def test_a_limit_is_waited_for_as_the_service_says(case, clock, job, service):
    service.plan(case.lifted)
    assert await attempts(job, None, clock) == (2, case.delay)
    assert len(service.requests) == 2


async def test_a_wrong_credential_ends_the_task_and_is_kept_nowhere(case, client, job, service, tmp_path):
    """S8: not even when the service's error repeats it."""
    service.plan(Answer(401, {"message": f"no such key: {KEY}", "errors": [], "error": KEY, "detail": KEY}))
    with pytest.raises(Exception) as caught:
        await job.run()
    assert KEY not in f"{caught.value} {caught.value!r} {getattr(caught.value, '__notes__', '')}"
    assert len(service.requests) == 1
    [run] = job.runs()
    run.export_html(tmp_path / "run.html")
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    assert kept == []


async def test_a_timeout_of_the_sdk_is_tried_again(case, clock, integration, job, monkeypatch, service):
    def limit(seconds):
        case.limit(integration.native, seconds)
        monkeypatch.setitem(_replicate_transport._LIMITS, "read", seconds)

    def be_patient():
        service.until_asked(1)
        limit(PATIENCE)

    limit(0.2)
    service.plan("hold")
    assert await attempts(job, None, clock, be_patient) == (2, BACKOFF)
    assert case.effects(service) == case.again
