"""A store that is served in this process, without a socket."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from trigger_nb import TriggerClient
from trigger_nb._serve.server import Server
from trigger_nb.testing import FakeClock


class Site:
    """A client, what it serves, and somebody who sends requests."""

    def __init__(self, folder):
        self.clock = FakeClock(autojump=False)
        self.client = TriggerClient("site", dir=folder, display=False, clock=self.clock)
        self.server = Server(self.client.runtime, "127.0.0.1", 0, "http://site", None, 10_000)
        self.server._inbox.addresses.serve("http://site", 80)
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(self.server.asgi), base_url="http://site")

    def token(self):
        return {"Authorization": f"Bearer {self.server.token}"}

    async def send(self, data, **headers):
        return await self.http.post("/events", json=data, headers={**self.token(), **headers})

    async def sign(self, endpoint, data, ago=0.0, **more):
        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        signed = endpoint.verify.headers(body, self.clock.time() - ago)
        return await self.http.post(endpoint.url, content=body, headers={**signed, **more})

    async def until(self, condition):
        while not condition():
            await asyncio.sleep(0.001)

    async def ended(self, job, count):
        await self.until(lambda: len(self.client.runs(job=job, status="COMPLETED")) == count)
        return [await run for run in reversed(self.client.runs(job=job))]

    def close(self):
        self.server.stop()


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path / "site")
    yield site
    site.close()
