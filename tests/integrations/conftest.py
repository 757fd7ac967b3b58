"""What all tests of integrations use."""

from __future__ import annotations

import uuid

import pytest

from tests.integrations import postgres
from trigger_nb import TriggerClient
from trigger_nb.integrations._base import Integration
from trigger_nb.testing import FakeClock


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def client(tmp_path, clock):
    return TriggerClient("integrations", dir=tmp_path / "store", clock=clock, display=False)


@pytest.fixture(scope="session")
def postgres_server():
    """The URL of a PostgreSQL server, one for all tests of a process."""
    try:
        with postgres.server() as url:
            yield url
    except postgres.NoServerError as reason:
        pytest.skip(f"no PostgreSQL can be started: {reason}")


@pytest.fixture
def postgres_url(postgres_server):
    """The URL of a new database on it."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    postgres.create_database(postgres_server, name)
    return f"{postgres_server.rpartition('/')[0]}/{name}"


@pytest.fixture
async def clients_are_closed(monkeypatch):
    """The SDKs' clients that a test has opened on its loop are closed on it: else their sockets warn in some later test."""
    made = []
    begin = Integration.__init__

    def note(self):
        begin(self)
        made.append(self)

    monkeypatch.setattr(Integration, "__init__", note)
    yield
    for each in made:
        await each.aclose()
