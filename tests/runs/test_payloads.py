"""The payload of a run: each pass gets it as it was given, whatever a job did to it before (R2)."""

from __future__ import annotations

import asyncio
import sys
import uuid
from dataclasses import dataclass, field
from typing import Annotated, Any

import pydantic.dataclasses
import pytest
from pydantic import AfterValidator, BaseModel, Field, SecretStr

from tests.support.worlds import KINDS, World
from trigger_nb import event_trigger, invoke_trigger


@pytest.fixture(params=KINDS)
def world(request, tmp_path):
    return World(tmp_path, request.param)


class Cart(BaseModel):
    items: list[str]
    note: str = "none"


@dataclass
class Basket:
    items: list[str]
    notes: list[str] = field(default_factory=list)


class Login(BaseModel):
    user: str
    token: SecretStr
    others: list[SecretStr] = []


class Model(BaseModel):
    name: str = "small"
    n: int = 1


def items_of(payload):
    return payload if isinstance(payload, list) else payload.items


def consuming(world):
    """A job that takes the items off its payload one by one, and fails at "b" once."""
    take = {item: world.failing(item, *[ConnectionError()] * (item == "b")) for item in "abc"}

    @world.job
    def job(payload, io):
        taken = 0
        while items_of(payload):
            item = items_of(payload).pop(0)
            yield io.run_task(("take", item), take[item])
            taken += 1
        return taken

    return job


@pytest.mark.parametrize("kind", [list, Cart, Basket])
@pytest.mark.parametrize("again", ["cell", "retry"])
def test_a_job_that_takes_items_off_its_payload_goes_on_with_all_of_them(world, kind, again):
    def given():
        return ["a", "b", "c"] if kind is list else kind(items=["a", "b", "c"])

    job, payload = consuming(world), given()
    assert isinstance(world.fail(job, payload), ConnectionError)
    assert payload == given(), "the caller's object"
    assert world.last(job).payload == given()

    async def retry():
        return await world.last(job).retry()

    assert (asyncio.run(retry()) if again == "retry" else world.run(job, payload)) == 3
    assert world.calls == ["a", "b", "b", "c"]
    assert len(job.runs()) == 1


def test_what_one_job_of_an_event_does_to_the_payload_the_other_does_not_see(world):
    trigger = event_trigger("signup")

    @world.job(id="first", trigger=trigger)
    def first(payload, io):
        payload["name"] = payload.pop("raw")
        yield io.run_task("a", world.body(lambda: 1))

    @world.job(id="second", trigger=trigger)
    def second(payload, io):
        return (yield io.run_task("b", world.body(lambda: payload["raw"])))

    payload = {"raw": "Ana"}

    async def send():
        event = await world.client.send_event("signup", payload)
        return [await run for run in event.runs]

    assert asyncio.run(send()) == [None, "Ana"]
    assert payload == {"raw": "Ana"}


def test_a_child_run_does_not_change_what_its_parent_holds(world):
    @world.job(id="child")
    def child(payload, io):
        payload["n"] += 1
        return payload["n"]
        yield

    @world.job(id="parent")
    def parent(payload, io):
        config = {"n": 0}
        a = yield io.invoke_and_wait("a", child, config)
        b = yield io.invoke_and_wait("b", child, config)
        return [a, b, config["n"]]

    assert world.run(parent) == world.run(parent) == [1, 1, 0]


def test_a_handler_of_the_end_gets_the_payload_as_it_was_given(world):
    got: list[Any] = []

    @world.job(on_success=lambda notification: got.append(notification.payload))
    def job(payload, io):
        payload.clear()
        yield io.run_task("a", world.body(lambda: 1))

    world.run(job, [1])
    assert got == [[1]]


def test_a_plan_does_not_change_the_payload(world):
    job, payload = consuming(world), list("abc")
    job.plan(payload)
    assert payload == list("abc")


def test_what_is_done_to_run_payload_changes_nothing(world):
    @world.job
    def job(payload, io):
        yield io.run_task("a", world.body(lambda: 1))
        return payload

    assert world.run(job, [1]) == [1]
    run = world.last(job)
    run.payload.append(2)
    assert run.payload == [1]


def test_secrets_of_a_payload_reach_each_pass_of_this_kernel(world):
    @world.job
    def job(payload, io):
        yield io.run_task("a", world.body(lambda: 1))
        return [each.get_secret_value() for each in [payload.token, *payload.others]] == ["s3cret", "x", "y"]

    login = Login(user="ana", token=SecretStr("s3cret"), others=[SecretStr("x"), SecretStr("y")])
    assert world.run(job, login) is world.run(job, login) is True
    world.new_kernel()
    assert world.run(job, login) is True
    assert b"s3cret" not in (world.client.runtime.store.directory / "cache.db").read_bytes()


def test_a_schema_that_changes_a_payload_does_so_once(world):
    hashing = Annotated[str, AfterValidator(lambda text: text + "#")]

    body = world.failing("a", ConnectionError())

    @world.job(trigger=invoke_trigger(schema=hashing))
    def job(payload, io):
        yield io.run_task("a", body)
        return payload

    world.fail(job, "x")

    async def retry():
        return await world.last(job).retry()

    assert asyncio.run(retry()) == "x#"


# What differs and does not count ----------------------------------------------------------------


def edited(monkeypatch, **options):
    """The cell that defines `Model` is edited: another default and a new field."""

    class Edited(BaseModel):
        name: str = "large"
        n: int = 1
        colour: str = "red"

    Edited.__name__ = Edited.__qualname__ = "Model"
    monkeypatch.setattr(sys.modules[__name__], "Model", Edited)
    return Edited(**options)


def naming(world, **options):
    @world.job(**options)
    def job(payload, io):
        return (yield io.run_task("name", world.body(lambda: payload.name)))

    return job


def test_an_edited_default_goes_on_with_the_stored_payload_and_says_so(world, monkeypatch):
    job = naming(world)
    assert world.run(job, Model()) == "small"
    assert "changed" not in world.last(job).tree()
    assert world.run(job, edited(monkeypatch)) == "small"
    tree = world.last(job).tree()
    assert "changed: payload" in tree
    assert 'name was "small" and is now "large"' in tree
    assert world.last(job).payload.name == "small"
    assert len(job.runs()) == 1


def test_a_new_field_is_said_with_its_value(world, monkeypatch):
    job = naming(world)
    world.run(job, Model(n=5))
    world.run(job, edited(monkeypatch, n=5))
    assert "colour was absent and is now red" in world.last(job).tree().replace('"', "")


def test_what_redact_hides_is_not_said(world, monkeypatch):
    job = naming(world, redact=["name"])
    world.run(job, Model())
    world.run(job, edited(monkeypatch))
    tree = world.last(job).tree()
    assert "changed: payload" in tree
    assert "small" not in tree.split("changed: payload")[1].split("\n")[0]


@pytest.mark.parametrize("named", [{"run_id": "r"}, {}])
def test_a_run_that_is_named_takes_the_payload_that_is_handed_in(world, monkeypatch, named):
    job = naming(world, **({} if named else {"identity": lambda payload: "r"}))
    world.run(job, Model(), **named)
    world.run(job, edited(monkeypatch), **named)
    run = world.last(job)
    assert run.payload.name == "large"
    assert "changed: payload" not in run.tree()


def test_an_instance_of_a_class_whose_cell_ran_again_keeps_what_was_changed_in_place(world, monkeypatch):
    cart = Cart(items=[])
    cart.items.append("a")
    before = Cart

    class Again(BaseModel):
        items: list[str] = []
        note: str = "none"

    Again.__name__, Again.__qualname__ = before.__name__, before.__qualname__
    monkeypatch.setattr(sys.modules[__name__], "Cart", Again)

    @world.job(trigger=invoke_trigger(schema=Again))
    def job(payload, io):
        return (yield io.run_task("a", world.body(lambda: [type(payload) is Again, payload.items])))

    assert world.run(job, cart) == [True, ["a"]]


def test_a_new_field_that_a_factory_fills_is_the_same_in_each_pass_and_at_each_access(world, monkeypatch):
    @world.job
    def job(payload, io):
        yield io.run_task("a", world.body(lambda: 1))
        return getattr(payload, "id", None)

    world.run(job, Model())

    class Edited(BaseModel):
        name: str = "small"
        id: uuid.UUID = Field(default_factory=uuid.uuid4)

    Edited.__name__ = Edited.__qualname__ = "Model"
    monkeypatch.setattr(sys.modules[__name__], "Model", Edited)
    run = world.last(job)
    assert run.payload == run.payload
    first = world.run(job, Edited())
    assert first == world.run(job, Edited()) == world.last(job).payload.id


@pydantic.dataclasses.dataclass
class Validated:
    n: int
    tags: list[str] = Field(default_factory=list)


def test_a_dataclass_of_pydantic_is_a_payload(world):
    @world.job
    def job(payload, io):
        return (yield io.run_task("a", world.body(lambda: payload.n + len(payload.tags))))

    assert world.run(job, Validated(1)) == world.run(job, Validated(1, [])) == 1
    assert world.run(job, Validated(1, ["a"])) == 2
    assert len(job.runs()) == 2
