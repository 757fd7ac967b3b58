"""Events that start runs."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import BaseModel

from trigger_nb import event_trigger, invoke_trigger
from trigger_nb.errors import (
    InvalidPayloadError,
)

# --- Events --------------------------------------------------------------------------------------------


class NewUser(BaseModel):
    user_id: str
    plan: str = "free"


def listening(world, **trigger):
    @world.job(id="listening", trigger=event_trigger("new.user", **trigger))
    def job(payload, io, ctx):
        return (yield io.run_task("task", world.noting((ctx.event.name, payload)))), ctx.event.id

    return job


def send(world, *args, **options):
    async def main():
        event = await world.client.send_event(*args, **options)
        return event, [await run for run in event.runs]

    return asyncio.run(main())


def test_an_event_starts_what_listens(world):
    """Reference: a run in every enabled job whose trigger matches, with the validated payload."""
    listening(world, schema=NewUser)

    @world.job(id="off", enabled=False, trigger=event_trigger("new.user"))
    def off(payload, io):
        world.note("off")

    event, outputs = send(world, "new.user", {"user_id": "u1"})
    assert outputs == [(("new.user", NewUser(user_id="u1")), event.id)]
    assert send(world, "other", {"user_id": "u1"})[1] == []


def test_the_same_event_never_starts_a_second_run(world):
    """I1: by its id; without one, by name and payload; `fresh=True` starts new ones."""
    listening(world)
    first, _ = send(world, "new.user", {"user_id": "u1"})
    again, _ = send(world, "new.user", {"user_id": "u1"})
    assert (again.id, again.runs[0].id) == (first.id, first.runs[0].id)
    assert len(world.take()) == 1
    one, _ = send(world, "new.user", {"user_id": "u1"}, id="evt_1")
    two, _ = send(world, "new.user", {"user_id": "u2"}, id="evt_1")
    assert one.runs[0].id == two.runs[0].id
    assert len(world.take()) == 1
    fresh, _ = send(world, "new.user", {"user_id": "u1"}, fresh=True)
    assert fresh.runs[0].id != first.runs[0].id
    assert len(world.take()) == 1


def test_filters_and_sources_choose(world):
    """Reference: `filter=` and `source=` of the trigger."""
    listening(world, filter={"plan": ["pro"]}, source="shop")
    assert send(world, "new.user", {"plan": "free"}, source="shop")[1] == []
    assert send(world, "new.user", {"plan": "pro"})[1] == []
    assert len(send(world, "new.user", {"plan": "pro"}, source="shop")[1]) == 1


def test_an_event_that_does_not_fit_starts_nothing(world):
    """Reference: InvalidPayloadError with pydantic's messages; no run in any job."""
    listening(world, schema=NewUser)

    @world.job(id="lenient", trigger=event_trigger("new.user"))
    def lenient(payload, io):
        return 1

    with pytest.raises(InvalidPayloadError, match="user_id"):
        send(world, "new.user", {"plan": "pro"})
    assert len(world.client.runs()) == 0


def test_a_payload_that_cannot_name_its_event_says_what_to_do(world):
    """I1: an object without a stored form; with an id of its own the event starts what listens."""

    @world.job(trigger=event_trigger("new.user"))
    def job(payload, io):
        return type(payload).__name__

    with pytest.raises(InvalidPayloadError, match=r"object .* Pass plain data, or name the event: .*id="):
        send(world, "new.user", object())
    assert send(world, "new.user", object(), id="evt_1")[1] == ["object"]
    assert len(job.runs()) == 1


def test_a_run_can_send_events(world):
    """Reference: `io.send_event` is a task: on replay nothing is sent."""
    listener = listening(world)

    @world.job(id="sender", trigger=invoke_trigger())
    def sender(payload, io):
        return (yield io.send_event("send", "new.user", {"user_id": "u1"}))

    async def main():
        first = await sender.run()
        await listener.runs()[0]
        return first, await sender.run()

    first, second = asyncio.run(main())
    assert first == second
    assert len(listener.runs()) == 1
    assert len(world.take()) == 1
