"""Airtable through pyairtable, against a workspace on the loopback; what all share is in test_smaller_ones.py."""

from __future__ import annotations

import asyncio

import pytest
import requests

from tests.integrations.jobs import attempts
from tests.support.fakes import FakeAirtable
from trigger_nb.integrations import Airtable
from trigger_nb.testing.services import Answer

pytestmark = pytest.mark.anyio


@pytest.fixture
def service():
    with FakeAirtable() as service:
        yield service


@pytest.fixture
async def airtable(service):
    airtable = Airtable("pat-1", base_url=service.url)
    yield airtable
    await airtable.aclose()


async def test_the_life_of_a_record(client, airtable, service):
    @client.job(integrations={"airtable": airtable})
    async def live(payload, io):
        leads = io.airtable.table("app1", "tblLeads")
        [made] = await leads.create_records("create", [{"Name": "Ana"}], typecast=True)
        [changed] = await leads.update_records("update", [{"id": made["id"], "fields": {"Name": "Eva"}}])
        found = await leads.get_record("get", record_id=made["id"])
        listed = await leads.get_records("list", formula="{Name} = 'Eva'", max_records=5)
        deleted = await leads.delete_records("delete", [made["id"]])
        return [made["fields"], changed["fields"], found["fields"], len(listed), deleted]

    id = "rec00000000000001"
    names = [{"Name": "Ana"}, {"Name": "Eva"}, {"Name": "Eva"}]
    assert await live.run() == [*names, 1, [{"id": id, "deleted": True}]]
    assert [(request.method, request.path) for request in service.requests] == [
        ("POST", "/v0/app1/tblLeads"),
        ("PATCH", "/v0/app1/tblLeads"),
        ("GET", f"/v0/app1/tblLeads/{id}"),
        ("GET", "/v0/app1/tblLeads"),
        ("DELETE", "/v0/app1/tblLeads"),
    ]
    assert service.requests[0].json["typecast"] is True
    assert service.requests[3].query == {"filterByFormula": "{Name} = 'Eva'", "maxRecords": "5"}
    run = live.runs()[0]
    assert run.task("create").icon == "airtable"
    assert run.task("create").output_properties == [{"label": "Record", "text": id}]
    assert run.task("list").properties[1]["url"] == "https://airtable.com/app1/tblLeads"


async def test_all_pages_are_read(client, airtable, service):
    for number in range(205):
        service._new("app1", "Leads", {"Number": number})

    @client.job(integrations={"airtable": airtable})
    async def read(payload, io):
        return await io.airtable.table("app1", "Leads").get_records("all")

    assert [record["fields"]["Number"] for record in await read.run()] == list(range(205))
    assert len(service.requests) == 3
    assert read.runs()[0].task("all").output_properties == [{"label": "Found", "text": "205"}]


@pytest.fixture
def add(client, airtable):
    @client.job(integrations={"airtable": airtable})
    async def add(payload, io):
        leads = io.airtable.table("app1", "Leads")
        return await leads.create_records("add", [{"Number": number} for number in range(payload)])

    return add


async def test_ten_records_are_a_task_of_their_own(add, service):
    """R1: what is done stays done when a later batch fails."""
    service.plan("answer", 422)
    with pytest.raises(requests.HTTPError, match="422"):
        await add.run(25)
    assert len(service.records) == 10
    made = await add.run(25)
    assert [record["fields"]["Number"] for record in made] == list(range(25))
    assert len(service.records) == 25
    assert [task.name for task in add.runs()[0].tasks[1:]] == [
        "Records 1 to 10", "Records 11 to 20", "Records 21 to 25"
    ]  # fmt: skip


async def test_batches_in_a_def_job(client, airtable, service):
    @client.job(integrations={"airtable": airtable})
    def add(payload, io):
        leads = io.airtable.table("app1", "Leads")
        return leads.create_records("add", [{"Number": number} for number in range(payload)])

    assert len(await add.run(25)) == 25
    assert len(service.requests) == 3


async def test_ten_records_and_fewer_are_one_task(add):
    await add.run(10)
    assert len(add.runs()[0].tasks) == 1


async def test_batches_are_tried_as_the_call_says(client, airtable, service):
    @client.job(integrations={"airtable": airtable})
    async def add(payload, io):
        leads = io.airtable.table("app1", "Leads")
        return await leads.create_records("add", [{}] * 11, task_options={"retry": 1})

    service.plan(503)
    with pytest.raises(requests.HTTPError, match="503"):
        await add.run()
    assert len(service.requests) == 1


async def test_calls_that_are_used_up_are_not_waited_for(add, clock, service):
    """That is a 429 too, which lasts until the next month."""
    service.plan(Answer(429, {"errors": [{"error": "PUBLIC_API_BILLING_LIMIT_EXCEEDED"}]}))
    assert await attempts(add, 1, clock) == (1, None)


async def test_threads_share_a_session_that_keeps_no_cookies(client, airtable, service):
    """A cookie that comes while another thread reads them would end that thread's request."""

    @client.job(integrations={"airtable": airtable})
    async def many(payload, io):
        leads = io.airtable.table("app1", "Leads")
        return await asyncio.gather(*[leads.create_records(("add", n), [{"Number": n}]) for n in range(20)])

    service.plan(Answer(200, {"records": []}, {"Set-Cookie": "brw=1; Path=/"}))
    await many.run()
    assert [request.headers.get("cookie") for request in service.requests] == [None] * 20


async def test_the_rest_by_its_client(client, airtable):
    @client.job(integrations={"airtable": airtable})
    async def first(payload, io):
        def ask(client):
            return client.table("app1", "Leads").first()

        return await io.airtable.run_task("first", ask)

    assert await first.run() is None
