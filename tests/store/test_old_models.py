"""A store of a version in which the class of a model did not count in keys: its runs and items are found all the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.data import old_models
from tests.data.old_models import CALLS, COMPOSED, DECOMPOSED, ITEMS, Charge, Order, Refund
from trigger_nb import RunStatus, TriggerClient

STORE = Path(__file__).parents[1] / "data" / "store-2026-11-models"

pytestmark = pytest.mark.anyio


@pytest.fixture
def client(tmp_path):
    shutil.copytree(STORE, tmp_path / "old")
    CALLS.clear()
    return TriggerClient("old", dir=tmp_path, display=False)


@pytest.fixture
def jobs(client):
    return old_models.define(client)


@pytest.mark.parametrize("payload", [Charge(amount=5), Order(5)])
async def test_a_run_is_found_by_its_payload_and_goes_on(jobs, monkeypatch, payload):
    monkeypatch.setenv("SERVICE_UP", "yes")
    assert await jobs["pay"].run(payload) == [f"did {payload!r}"] * 2
    assert [payload] == CALLS, "only `deliver`, which had failed"
    assert len(jobs["pay"].runs()) == 2


async def test_a_payload_that_had_the_same_key_is_another_run(jobs, monkeypatch):
    monkeypatch.setenv("SERVICE_UP", "yes")
    for payload in (Refund(amount=5), {"amount": 5}):
        assert await jobs["pay"].run(payload) == [f"did {payload!r}"] * 2
    assert len(jobs["pay"].runs()) == 4


async def test_a_run_is_found_by_its_identity_and_params_have_not_changed(jobs):
    assert await jobs["named"].run([Charge(amount=5), 1]) == f"did {[Charge(amount=5), 1]!r}"
    assert CALLS == []
    assert await jobs["named"].run([Charge(amount=5), 2]) == f"did {[Charge(amount=5), 2]!r}"
    assert len(jobs["named"].runs()) == 1


async def test_the_items_of_a_map_are_found(jobs):
    assert await jobs["each"].run() == [f"did {item!r}" for item in ITEMS]
    assert CALLS == []


async def test_the_same_event_starts_no_second_run(jobs, client):
    event = await client.send_event("paid", Charge(amount=5))
    assert await event.runs[0] == f"did {Charge(amount=5)!r}"
    await client.send_event("paid", Refund(amount=5))
    assert len(jobs["heard"].runs()) == 2
    assert [run.status for run in jobs["heard"].runs()][-1] == RunStatus.COMPLETED
    assert CALLS in ([], [Refund(amount=5)])


async def test_a_new_run_in_an_old_store_has_new_keys(jobs, client):
    assert await jobs["each"].run(fresh=True) == [f"did {item!r}" for item in ITEMS]
    assert CALLS == ITEMS
    assert COMPOSED != DECOMPOSED
