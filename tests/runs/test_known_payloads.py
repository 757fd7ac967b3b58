"""What a run may be started with (issue 16, point 11): examples and recent payloads, and the form of *Run with …*."""

from __future__ import annotations

import dataclasses
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import BaseModel, SecretStr

from trigger_nb import Example, Scheduled, TriggerClient, cron_trigger, invoke_trigger
from trigger_nb._io.forms import form_of
from trigger_nb._runs.controls import RunControls
from trigger_nb.errors import InvalidAnswerError, InvalidOptionError


class Order(BaseModel):
    city: str
    day: date | None = None
    card: dict[str, str] = {}


@pytest.fixture
def client(tmp_path):
    return TriggerClient("known", dir=tmp_path, display=False)


def define(client, **options) -> Any:
    options.setdefault(
        "trigger", invoke_trigger(Order, examples=[Example("rome", "To Rome", {"city": "Rome"})])
    )

    @client.job(id="send", redact=["card.number"], **options)
    async def send(payload, io, ctx):
        return payload

    return send


def test_examples_come_first_and_then_recent_payloads_once_each(client):
    job = define(client)
    job.run_sync({"city": "Oslo", "card": {"number": "4242"}})
    job.run_sync({"city": "Bonn"})
    job.run_sync({"city": "Bonn"}, fresh=True)
    found = job.payloads()
    assert [each.source for each in found] == ["example", "run", "run"]
    assert (found[0].name, found[0].payload) == ("To Rome", {"city": "Rome"})
    assert [each.payload.city for each in found[1:]] == ["Bonn", "Oslo"]
    assert found[2].payload.card == {"number": "4242"}
    assert "4242" not in repr(found)
    assert len(job.payloads(limit=1)) == 2
    for wrong in (-1, 1.5, "2", True):
        with pytest.raises(InvalidOptionError, match="limit must be"):
            job.payloads(limit=wrong)


@pytest.mark.anyio
async def test_a_form_shows_no_secret_and_loses_none(client):
    """Hidden values that nobody changed are those of the stored payload; faults are those of the fields."""
    job = define(client)
    run = job.start({"city": "Oslo", "day": "2026-01-02", "card": {"number": "4242", "name": "Ana"}})
    await run
    controls = RunControls(client.runtime, run.id)
    mine, example, new = controls.payloads()
    assert "4242" not in str([mine, example, new])
    filled = {field["name"]: field.get("default") for field in mine["fields"]}
    assert filled == {"city": "Oslo", "day": "2026-01-02", "card": {"number": "•••", "name": "Ana"}}
    assert [field.get("default") for field in new["fields"]][0] is None

    async def start(source, data=None, *, is_edited=True, is_test=False):
        started = client.run(controls.run_with(source, data, is_edited=is_edited, is_test=is_test))
        await started
        return started

    edited = await start(mine["id"], {**filled, "city": "Rome"})
    assert edited.payload == Order(city="Rome", day=date(2026, 1, 2), card={"number": "4242", "name": "Ana"})
    changed = await start(mine["id"], {**filled, "card": {"number": "1111"}})
    assert changed.payload.card == {"number": "1111"}
    untouched = await start(mine["id"], is_edited=False, is_test=True)
    assert (untouched.id != run.id, untouched.payload, untouched._record.is_test) == (True, run.payload, True)
    # The run is that of its payload, so that its cell finds it.
    rome = await start(example["id"], is_edited=False)
    assert job.start({"city": "Rome"}).id == rome.id
    assert (await start(example["id"], is_edited=False)).id != rome.id
    before = len(client.runs())
    with pytest.raises(InvalidAnswerError, match="the payload does not fit Order") as caught:
        controls.run_with(new["id"], {"day": "soon"}, is_edited=True, is_test=False)
    assert set(caught.value.fields) == {"city", "day"}
    assert len(client.runs()) == before


@pytest.mark.anyio
async def test_what_has_no_form_is_json_or_used_as_it_is(client):
    """Without a schema, with more than it has, or with what is no data."""
    job = define(client, trigger=invoke_trigger())
    assert job.payloads() == []

    async def choice(payload):
        run = job.start(payload)
        await run
        return RunControls(client.runtime, run.id).payloads()[0], run

    shown, run = await choice({"a": [1, 2]})
    assert [(field["kind"], field["default"]) for field in shown["fields"]] == [("json", {"a": [1, 2]})]
    shown, run = await choice(["x" * 30_000])
    assert "too long" in shown["fixed"]
    shown, run = await choice({1 + 2j})
    assert shown["fixed"]
    started = RunControls(client.runtime, run.id).run_with(shown["id"], None, is_edited=False, is_test=False)
    assert await client.run(started) == {1 + 2j}
    secret = job.start({"key": SecretStr("hush")})
    await secret
    assert "hush" not in str(RunControls(client.runtime, secret.id).payloads())


@pytest.mark.anyio
async def test_the_payload_of_a_schedule_has_fields(client):
    """A dataclass is a form as a model is; a time without a zone is one of the schedule's zone."""
    zone = "Europe/Berlin"
    job = define(client, trigger=cron_trigger("0 9 * * *", timezone=zone))
    run = job.start()
    await run
    controls = RunControls(client.runtime, run.id)
    mine, new = controls.payloads()
    shown = [(field["name"], field["kind"]) for field in mine["fields"]]
    assert shown == [("ts", "written"), ("last_ts", "written"), ("key", "text")]
    assert (mine["named"], new["named"]) == (True, True)
    assert "fixed" not in mine
    assert mine["fields"][0]["default"] == run.payload.ts.isoformat()
    assert "2030-01-31 09:30" in new["fields"][0]["about"]
    given = {"ts": "2030-01-31 09:30", "last_ts": None, "key": ""}
    started = client.run(controls.run_with(mine["id"], given, is_edited=True, is_test=True))
    await started
    assert started.payload == Scheduled(datetime(2030, 1, 31, 9, 30, tzinfo=ZoneInfo(zone)))
    with pytest.raises(InvalidAnswerError) as caught:
        controls.run_with(new["id"], {"ts": "tomorrow"}, is_edited=True, is_test=False)
    assert set(caught.value.fields) == {"ts"}


@dataclasses.dataclass
class Trip:
    """A dataclass with all that one may have."""

    city: str
    days: int = 3
    tags: list[str] = dataclasses.field(default_factory=list[str])
    made: str = dataclasses.field(default="", init=False)


@dataclasses.dataclass
class Odd:
    """Its constructor takes what is no field."""

    seed: dataclasses.InitVar[int]


def test_a_dataclass_has_the_fields_of_its_constructor():
    fields, named, _ = form_of(Trip, Trip("Rome"))
    assert named
    assert [(each["name"], each["kind"], each.get("default"), each.get("required")) for each in fields] == [
        ("city", "text", "Rome", True),
        ("days", "integer", 3, None),
        ("tags", "json", [], None),
    ]
    assert form_of(Odd)[1] is False
