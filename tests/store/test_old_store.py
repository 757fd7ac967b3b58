"""A store that an earlier version wrote opens, is listed, replays and resumes: `tests/data/make_store.py` made it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.data import old_jobs
from trigger_nb import Reason, RunStatus, TaskStatus, TriggerClient
from trigger_nb.errors import NotFoundError

STORE = Path(__file__).parents[1] / "data" / "store-2026-11"
PAYLOAD = {"from": "2026-11"}

pytestmark = pytest.mark.anyio


@pytest.fixture
def client(tmp_path):
    shutil.copytree(STORE, tmp_path / "old")
    old_jobs.CALLS.clear()
    return TriggerClient("old", dir=tmp_path, display=False)


@pytest.fixture
def jobs(client):
    return old_jobs.define(client)


def test_its_runs_are_listed_with_their_statuses(client):
    assert {run.job: run.status for run in client.runs()} == {
        "completed": RunStatus.COMPLETED,
        "failed": RunStatus.FAILED,
        "interrupted": RunStatus.INTERRUPTED,
    }
    assert "squares · 5 items" in next(run for run in client.runs() if run.job == "completed").tree()


async def test_a_completed_run_replays_without_a_call(jobs):
    output = await jobs["completed"].run(PAYLOAD)
    assert old_jobs.CALLS == []
    random = output.pop("random")
    assert 0 <= random <= 1
    assert output == {
        "payload": PAYLOAD,
        "plain": old_jobs.PLAIN,
        "tagged": old_jobs.TAGGED,
        "long": old_jobs.LONG,
        "large": len(old_jobs.LARGE),
        "public": old_jobs.PUBLIC,
        "errors": [
            ["ValueError", ["the card was declined", 402]],
            ["NotFoundError", ["the order was refused"]],
        ],
        "squares": [1, 4, 9, 16, 25],
        "parent": "parent of child",
    }


async def test_each_value_is_read_as_what_it_was(jobs):
    (run,) = jobs["completed"].runs()
    for name in ("plain", "tagged", "long", "large", "public"):
        value = run.task(name).output
        assert value == getattr(old_jobs, name.upper())
        assert type(value) is type(getattr(old_jobs, name.upper()))
    assert [type(each) for each in run.task("public").output] == [type(each) for each in old_jobs.PUBLIC]
    assert run.task("squares").status == TaskStatus.COMPLETED
    assert isinstance(run.task("refused").error, NotFoundError)
    assert run.task("plain").prints == "a line that the body printed\n"


async def test_a_failed_run_goes_on_at_the_task_that_failed(jobs, monkeypatch):
    (run,) = jobs["failed"].runs()
    assert isinstance(run.error, ConnectionError)
    monkeypatch.setenv("SERVICE_UP", "yes")
    assert await jobs["failed"].run(PAYLOAD) == ["first", "delivered"]
    assert old_jobs.CALLS == ["deliver"]
    assert run.status == RunStatus.COMPLETED


async def test_a_run_whose_kernel_was_killed_goes_on_where_it_was(jobs):
    (run,) = jobs["interrupted"].runs()
    assert await jobs["interrupted"].run(PAYLOAD) == ["first", "second"]
    assert old_jobs.CALLS == ["second"]
    assert run.task("first").reason == Reason.REPLAYED


async def test_it_is_written_to_as_a_new_one_is(jobs, monkeypatch):
    monkeypatch.setenv("SERVICE_UP", "yes")
    assert await jobs["failed"].run("another payload") == ["first", "delivered"]
    (run,) = jobs["completed"].runs()
    await run.rerun_from("squares")
    assert sorted(old_jobs.CALLS) == [
        "child",
        "deliver",
        "first",
        "parent",
        *(f"square {n}" for n in range(1, 6)),
    ]
