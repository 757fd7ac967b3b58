"""The jobs whose runs are in `tests/data/store-2026-11-models`: payloads, map items and params of the user's classes.

The store was made by the last version in which the class of a model did not count in keys. To make one with the code
of a later version, copy this file to `tests/data/` in an empty folder, and run there:

    PYTHONPATH=.:/path/to/the/checkout python -m tests.data.old_models store-of-then
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sqlite3
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from trigger_nb import TriggerClient, event_trigger

CALLS: list[Any] = []  # what the bodies that were called got


class Charge(BaseModel):
    kind: Literal["charge"] = "charge"
    amount: int
    tags: list[str] = []


class Refund(BaseModel):
    kind: Literal["refund"] = "refund"
    amount: int
    tags: list[str] = []


@dataclass
class Order:
    id: int
    lines: list[str] = field(default_factory=list)


COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"
ITEMS = [Charge(amount=1), Refund(amount=1), Order(1), COMPOSED, DECOMPOSED, 7, "plain"]


def call(value: Any) -> str:
    CALLS.append(value)
    return f"did {value!r}"


def deliver(value: Any) -> str:
    if "SERVICE_UP" not in os.environ:
        raise ConnectionError("the service is down")
    return call(value)


def define(client: TriggerClient) -> dict[str, Any]:
    """The jobs, by id."""

    @client.job(id="pay")
    async def pay(payload: Any, io: Any) -> Any:
        return [await io.run_task("call", call, payload), await io.run_task("deliver", deliver, payload)]

    @client.job(id="named", identity=lambda payload: payload[0])
    async def named(payload: Any, io: Any) -> Any:
        return await io.run_task("call", call, payload, on_change="only")

    @client.job(id="each")
    async def each(payload: Any, io: Any) -> Any:
        return await io.map("each", ITEMS, call)

    @client.job(id="heard", trigger=event_trigger("paid"))
    async def heard(payload: Any, io: Any) -> Any:
        return await io.run_task("call", call, payload)

    return {job.id: job for job in (pay, named, each, heard)}


async def _fill(client: TriggerClient) -> None:
    jobs = define(client)
    for payload in (Charge(amount=5), Order(5)):
        with contextlib.suppress(ConnectionError):
            await jobs["pay"].run(payload)
    await jobs["named"].run([Charge(amount=5), 1])
    await jobs["each"].run()
    await (await client.send_event("paid", Charge(amount=5))).runs[0]


if __name__ == "__main__":
    from tests.data import old_models  # so that the classes have the names that the tests know

    asyncio.run(old_models._fill(TriggerClient("old", dir="made", display=False)))
    with contextlib.closing(sqlite3.connect("made/old/cache.db", isolation_level=None)) as sql:
        sql.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        sql.execute("VACUUM")
    shutil.copytree(
        "made/old",
        Path(__file__).parent / sys.argv[1],
        ignore=shutil.ignore_patterns(".gitignore", "*-wal", "*-shm", "run.lock"),
    )
