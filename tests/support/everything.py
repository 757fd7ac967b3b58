"""A job with everything that a job can do between its tasks."""

from __future__ import annotations

import asyncio

from trigger_nb import Retry
from trigger_nb.errors import MapError


def add(a, b):
    return a + b


def busy():
    raise OSError("busy")


def everything(client, called):
    """A job with all that a job can do between its tasks, and replays."""

    @client.job
    async def child(payload, io):
        return await io.run_task("double", add, payload, payload)

    @client.job
    async def job(payload, io):
        async def parent(io):
            called.append("parent")
            one = await io.run_task("one", add, 1, 1)
            await io.wait("inside", hours=1)
            return one + await io.run_task("two", lambda: called.append("two") or 2)

        first = await io.run_task("first", lambda: called.append("first") or [1, 2, 3])
        await io.wait("pause", days=3)
        whole = await io.run_task("parent", parent)
        gathered = await asyncio.gather(*(io.run_task(("add", n), add, n, n) for n in first))
        try:
            await io.run_task("busy", busy, retry=Retry(limit=2, min_timeout=60))
        except OSError as error:
            gathered.append(str(error))
        mapped = await io.map("map", first, lambda n: called.append(n) or n, concurrency=2)
        parts = await io.parallel("parts", first, lambda n: n)
        status = await io.create_status("status", "Half way", "loading")
        await status.update("done", state="success")
        io.logger.info("half way")
        found = await io.map("found", [0, 1], lambda n: 1 // n, return_errors=True)
        try:
            await io.map("lost", [0, 1], lambda n: 1 // n)
        except MapError as error:
            found.append(len(error.exceptions))
        slow = asyncio.ensure_future(io.wait("slow", days=2))
        await asyncio.wait(
            {slow, asyncio.ensure_future(io.wait("fast", days=1))}, return_when=asyncio.FIRST_COMPLETED
        )
        slow.cancel()
        await io.store.run.set("put", "name", parts)
        parts = await io.store.run.get("take", "name")
        dice = await io.random("dice", 1, 6, round=True)
        return [whole, gathered, mapped, parts, str(found), dice, await io.invoke_and_wait("child", child, 4)]

    return job
