"""What a type checker knows of the public names. Never run: `make check` has pyright read it."""

from __future__ import annotations

import json
from typing import Any, assert_type

from pydantic import BaseModel
from slack_sdk.web.async_client import AsyncWebClient

from trigger_nb import Io, Job, Status, TriggerClient, job
from trigger_nb._tasks.call import Call
from trigger_nb.integrations import Slack


class Label(BaseModel):
    """An answer that is checked."""

    text: str


slack = Slack()
client = TriggerClient("typed")


async def look_up(user: str, client: AsyncWebClient) -> str:
    return user


def count(user: str, client: AsyncWebClient) -> int:
    return 1


async def measure(text: str) -> int:
    return len(text)


async def measure_all(texts: list[str]) -> list[int]:
    return [len(text) for text in texts]


def aside(number: int) -> str:
    return str(number)


async def greet(payload: str, io: Io) -> str:
    return f"Hello {payload}"


assert_type(job(greet), Job[Any])
assert_type(job(identity=len)(greet), Job[Any])
assert_type(client.job(greet), Job[Any])
assert_type(client.job(identity=len)(greet), Job[Any])


async def run_function(io: Io) -> None:
    assert_type(io.use(slack), Slack)
    assert_type(slack.native, AsyncWebClient)
    assert_type(io.use(slack).post_message("hello", channel="C1", text="Hello"), Call[dict[str, Any]])
    assert_type(await io.use(slack).post_message("hello", channel="C1", text="Hello"), dict[str, Any])
    assert_type(await io.use(slack).run_task("async", look_up, "U1"), str)
    assert_type(await io.use(slack).run_task("plain", count, "U1"), int)
    assert_type(await io.run_task("task", look_up, "U1"), str)
    assert_type(await io.wait("wait", hours=3), None)
    status = await io.create_status("import", "Importing", "loading")
    assert_type(status, Status)
    assert_type(await status.update("imported", state="success"), None)
    assert_type(await io.run_task("task", look_up, "U1", check=Label), Label)
    assert_type(await io.run_task("task", look_up, "U1", check=json.loads, retry=3), Any)
    assert_type(await io.run_task("task", look_up, "U1", check=measure), int)
    assert_type(await io.run_task("task", look_up, "U1", check=aside), str)
    assert_type(await io.map("items", ["a"], measure, check=Label), list[Label])
    assert_type(await io.map("items", ["a"], measure, check=measure, concurrency=2), list[int])
    assert_type(await io.map("items", ["a"], measure), list[int])
    assert_type(await io.map("items", range(3), aside, concurrency=5, rate="5/second"), list[str])
    assert_type(await io.map("items", ["a"], measure_all, batch=10), list[int])
    async for item, length in io.imap("items", ["a"], measure):
        assert_type(item, str)
        assert_type(length, int)
