"""Supabase through its own SDK, against a project on the loopback; what all share is in test_smaller_ones.py."""

from __future__ import annotations

import httpx
import pytest
from postgrest import APIError

from tests.integrations.jobs import BACKOFF, attempts
from tests.support.fakes import FakeSupabase
from trigger_nb.errors import MissingCredentialError
from trigger_nb.integrations import Supabase
from trigger_nb.testing.services import Answer

pytestmark = pytest.mark.anyio

ANA = {"id": "u1", "name": "Ana"}


@pytest.fixture
def service():
    with FakeSupabase() as service:
        yield service


@pytest.fixture
async def supabase(service, monkeypatch):
    monkeypatch.setenv("SUPABASE_URL", service.url)
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", "sb_secret_1")
    supabase = Supabase()
    yield supabase
    await supabase.aclose()


async def test_rows_are_written_and_read(client, supabase, service):
    @client.job(integrations={"supabase": supabase})
    async def work(payload, io):
        async def named(name, client):
            return (await client.table("users").select("*").eq("name", name).execute()).data

        return [
            await io.supabase.insert("insert", table="users", rows=[ANA]),
            await io.supabase.upsert("upsert", table="users", rows=[ANA | {"age": 30}], on_conflict="id"),
            await io.supabase.run_task("named", named, "Ana"),
        ]

    assert await work.run() == [[ANA], [ANA | {"age": 30}], [ANA | {"age": 30}]]
    inserted, upserted, read = service.requests
    assert inserted.headers["apikey"] == "sb_secret_1"
    assert "resolution=merge-duplicates" in upserted.headers["prefer"]
    assert upserted.query["on_conflict"] == "id"
    assert read.path == "/rest/v1/users"
    task = work.runs()[0].task("upsert")
    assert (task.icon, task.name) == ("supabase", "Upsert")
    assert {each["label"]: each["text"] for each in task.properties} == {"Table": "users", "Rows": "1"}


async def test_a_function_of_the_database(client, supabase, service):
    service.functions["add"] = lambda a, b: a + b

    @client.job(integrations={"supabase": supabase})
    async def add(payload, io):
        return await io.supabase.rpc("add", fn="add", params={"a": 1, "b": 2})

    assert await add.run() == 3


@pytest.fixture
def insert(client, supabase):
    @client.job(integrations={"supabase": supabase})
    async def insert(payload, io):
        return await io.supabase.insert("insert", table="users", rows=[ANA])

    return insert


async def test_an_insert_whose_answer_was_lost_ends_in_the_key_that_is_there(insert, service):
    service.plan("drop")
    with pytest.raises(APIError, match="23505"):
        await insert.run()
    assert list(service.tables["users"]) == ["u1"]


@pytest.mark.parametrize(
    ("event", "tried", "delay"),
    [
        (Answer(503, {"code": "PGRST000", "message": "no connection"}), 2, BACKOFF),
        (Answer(500, {"code": "40001", "message": "could not serialize access"}), 2, BACKOFF),
        (Answer(520, b"<html>", {"Content-Type": "text/html"}), 2, BACKOFF),
        (Answer(503, {"message": "upstream is down"}), 2, BACKOFF),
        (Answer(429, {"message": "slow down"}, {"Retry-After": "9"}), 2, 9),
        (Answer(408, b""), 2, BACKOFF),
        (Answer(400, {"code": "P0001", "message": "raised by a function"}), 1, None),
        (Answer(400, {"code": "PGRST102", "message": "not JSON"}), 1, None),
        (Answer(413, b"<html>"), 1, None),
    ],
)
async def test_which_errors_are_tried_again_and_when(clock, insert, service, event, tried, delay):
    service.plan(event)
    assert await attempts(insert, None, clock) == (tried, delay)


async def test_an_error_of_the_gateway_keeps_its_status(client, supabase, service):
    @client.job(integrations={"supabase": supabase})
    async def once(payload, io):
        rows = {"table": "users", "rows": [ANA]}
        return await io.supabase.insert("insert", **rows, task_options={"retry": 1})

    service.plan(502)
    with pytest.raises(httpx.HTTPStatusError, match="502"):
        await once.run()


async def test_the_sdk_repeats_nothing(client, supabase, service):
    """It would, what reads, and 503 is what it would repeat."""

    @client.job(integrations={"supabase": supabase})
    async def read(payload, io):
        async def ask(client):
            return (await client.table("users").select("*").execute()).data

        return await io.supabase.run_task("ask", ask, retry=1)

    service.plan(503, 503)
    with pytest.raises(APIError, match="PGRST002"):
        await read.run()
    assert len(service.requests) == 1


@pytest.mark.parametrize("part", ["storage", "functions", "auth"])
async def test_other_parts_of_it(client, clock, supabase, service, part):
    """Their errors are judged too, and their retries are off."""

    async def ask(client):
        if part == "storage":
            await client.storage.get_bucket("b1")
        elif part == "functions":
            await client.functions.invoke("f1")
        else:
            await client.auth.admin.list_users()

    @client.job(integrations={"supabase": supabase})
    async def work(payload, io):
        return await io.supabase.run_task("ask", ask)

    for status, tried in [(404, 1), (503, 2)]:
        service.plan(Answer(status, {"statusCode": str(status), "error": "e", "message": "m", "code": "c"}))
        asked = len(service.requests)
        await attempts(work, status, clock)
        assert len(service.requests) - asked == tried, status


async def test_a_missing_address_is_named(client, monkeypatch):
    monkeypatch.delenv("SUPABASE_URL", raising=False)

    @client.job(integrations={"supabase": Supabase(key="sb_secret_1")})
    async def work(payload, io):
        return await io.supabase.rpc("add", fn="add")

    with pytest.raises(MissingCredentialError, match="SUPABASE_URL"):
        await work.run()
