"""What a type checker knows of the public names. Never run: `make check` has pyright and mypy read it."""

from __future__ import annotations

import json
import os
from typing import Any, assert_type

from pydantic import BaseModel
from slack_sdk.web.async_client import AsyncWebClient

from trigger_nb import Approval, File, Files, Io, Job, Run, RunStatus, Status, TriggerClient, job
from trigger_nb._tasks.call import Call
from trigger_nb.integrations import Slack
from trigger_nb.testing import CrashingStore, FakeClock, TrialRun, replay, replay_every_step


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


@job
async def greeting(payload: str, io: Io) -> str:
    return payload


of_text: Job[str] = greeting


async def runs_of_a_job(io: Io) -> None:
    assert_type(await greeting.run("Ada"), str)
    assert_type(greeting.run_sync("Ada"), str)
    assert_type(greeting.start("Ada"), Run[str])
    assert_type(await greeting.start("Ada").retry(), str)
    assert_type(await greeting.fn("Ada", io), str)
    assert_type(client.job(aside).fn(1), str)
    assert_type(await client.job(version="2")(greet).run("Ada"), str)
    assert_type(await job(identity=len)(aside).run(1), str)
    assert_type(await io.invoke_and_wait("greeting", greeting, "Ada"), str)
    assert_type(await client.run("run_1"), Any)
    any_run: Run = greeting.start("Ada")
    assert_type(await any_run.fork("path"), Any)


tested = client.job(greet)
assert_type(tested.test("Ana", stubs={"fetch": "Ana", ("mail", "*"): [ValueError(), "sent"]}), TrialRun)
assert_type(tested.test("Ana", stubs={("mail", 1): 7}, clock=FakeClock(), store="folder"), TrialRun)
assert_type(tested.test(store=CrashingStore(at=1, how="fail")).status, RunStatus)
assert_type(replay_every_step(tested, "Ana", stubs={"fetch": "Ana"}), TrialRun)
assert_type(replay(tested, tested.test().freeze("greet.json")), Any)
named_stubs = {"fetch": 1, ("mail", 7): "sent"}
assert_type(tested.test(stubs=named_stubs).output, Any)


def read(file: File) -> bytes:
    return file.path.read_bytes()


assert_type(Files("data/*.csv")[0], File)
assert_type(Files("data")[1:], Files)
assert_type(os.fspath(File("a.csv")), str)


async def run_function(io: Io) -> None:
    assert_type(await io.run_task("file", read, File("a.csv")), bytes)
    assert_type(await io.map("files", Files("data/*.csv"), read), list[bytes])
    assert_type(io.use(slack), Slack)
    assert_type(slack.native, AsyncWebClient)
    assert_type(io.use(slack).post_message("hello", channel="C1", text="Hello"), Call[dict[str, Any]])
    assert_type(await io.use(slack).post_message("hello", channel="C1", text="Hello"), dict[str, Any])
    assert_type(await io.use(slack).run_task("async", look_up, "U1"), str)
    assert_type(await io.use(slack).run_task("plain", count, "U1"), int)
    assert_type(await io.run_task("task", look_up, "U1"), str)
    assert_type(await io.wait("wait", hours=3), None)
    assert_type(await io.wait_for_approval("go", prompt="Go?"), Approval[None])
    assert_type((await io.wait_for_approval("go", schema=Label, timeout=60)).data, Label)
    assert_type(await io.ask("city", default="Paris"), str)
    assert_type(await io.ask("label", Label), Label)
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
