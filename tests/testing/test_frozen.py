"""`run.freeze` and `replay`: an edited job that would take another branch than a run of before fails, with the place."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from datetime import date

import numpy as np
import pytest
from pydantic import BaseModel, SecretStr

from tests.support.everything import everything
from trigger_nb import TriggerClient
from trigger_nb._redact import secrets
from trigger_nb.errors import InvalidOptionError, ReplayMismatchError
from trigger_nb.testing import replay

HERE = re.escape(__file__)


class User(BaseModel):
    name: str
    email: str
    token: SecretStr | None = None


@dataclass
class Parcel:
    number: int
    sent: date


class ShopError(Exception):
    def __init__(self, message, code):
        super().__init__(message)
        self.code = code


def fetch(number):
    return User(name="Ana", email="ana@example.com")


def pack(user, number):
    return Parcel(number, date(2030, 1, 2))


def refuse():
    raise ShopError("sold out for ana@example.com", 409)


@pytest.fixture
def client():
    return TriggerClient("shop")


def shop(client, edit=None, **options):
    """A job with branches. `edit` names a change of its code."""

    @client.job(id="shop", **options)
    async def job(payload, io):
        user = await io.run_task("fetch", fetch, payload["id"])
        if edit == "calls another":
            await io.run_task("sms", refuse)
        await io.wait("pause", days=3)
        numbers = [1] if edit == "leaves out" else [1, 2]
        parcels = await asyncio.gather(*(io.run_task(("pack", n), pack, user, n) for n in numbers))
        try:
            await io.run_task("extra", refuse)
        except ShopError as error:
            code = error.code
        if edit == "raises":
            raise ValueError("edited")
        labels = await io.map("label", ["b", "a"], str.upper)
        if edit == "ends early":
            return None
        last = await io.run_task("renamed" if edit == "renames" else "total", sum, [code, len(labels)])
        return {"total": last, "sent": parcels[-1].sent, "name": user.name}

    return job


@pytest.fixture
def frozen(client, tmp_path):
    return shop(client).test({"id": 7}).freeze(tmp_path / "shop.json")


def test_the_same_job_replays_and_gives_the_same_output(client, frozen):
    output = replay(shop(client), frozen)
    assert output == {"total": 411, "sent": date(2030, 1, 2), "name": "Ana"}


def test_a_job_with_everything_replays(client, tmp_path):
    called = []
    run = everything(client, called).test()
    count = len(called)
    assert replay(everything(client, called), run.freeze(tmp_path / "run.json")) == run.output
    assert len(called) == count


def test_no_body_is_called(client, frozen, monkeypatch):
    monkeypatch.setattr(f"{__name__}.fetch", lambda number: pytest.fail("called"))
    replay(shop(client), frozen)


def test_a_run_of_the_real_store_can_be_frozen(client, tmp_path, monkeypatch):
    @client.job
    async def job(payload, io):
        return await io.run_task("first", sum, [1, 2])

    job.run_sync()
    assert replay(job, job.runs()[0].freeze(tmp_path / "run.json")) == 3


@pytest.mark.parametrize(
    ("edit", "told", "path"),
    [
        (
            "calls another",
            rf"calls task 'sms' at {HERE}, line \d+, and the run did not; that went on with 'pause'",
            "sms",
        ),
        (
            "renames",
            rf"calls task 'renamed' at {HERE}, line \d+, and the run did not; that went on with 'total'",
            "renamed",
        ),
        ("leaves out", r"does not call task 'pack · 2', which the run did", "~(pack,~i2)"),
        ("ends early", r"does not call task 'total', which the run did", "total"),
        ("raises", "raises ValueError where the run in .* went on: edited", ""),
    ],
)
def test_an_edit_that_takes_another_branch_is_named_with_its_place(client, frozen, edit, told, path):
    with pytest.raises(ReplayMismatchError, match=told) as caught:
        replay(shop(client, edit), frozen)
    assert caught.value.path == path


def test_freezing_an_equal_run_again_changes_nothing_in_the_file(client, frozen):
    text = frozen.read_text(encoding="utf-8")
    shop(client).test({"id": 7}).freeze(frozen)
    assert without_turns(frozen.read_text(encoding="utf-8")) == without_turns(text)
    assert text.endswith("}\n")


def without_turns(text: str) -> str:
    """The file without the order in which tasks beside each other ended: threads may end in another order each time."""
    return re.sub(r',\n +"turn": "[\d ]+"', "", text)


def test_the_file_can_be_read(frozen):
    data = json.loads(frozen.read_text(encoding="utf-8"))
    assert [data["job"], data["status"], data["payload"]] == ["shop", "COMPLETED", {"id": 7}]
    tasks = {each["path"]: each for each in data["tasks"]}
    assert list(tasks)[:2] == ["fetch", "pause"]
    assert tasks["label/a"]["output"] == "A"
    assert tasks["extra"]["error"]["message"] == "sold out for ana@example.com"
    assert "traceback" not in tasks["extra"]["error"]
    assert list(tasks)[-3:] == ["label/a", "label/b", "total"]  # items of a map by path


def test_what_is_redacted_is_not_in_the_file_and_the_replay_goes_on(client, tmp_path):
    job = shop(client, redact=["email"])
    file = job.test({"id": 7, "email": "ana@example.com"}).freeze(tmp_path / "shop.json")
    assert "ana@example.com" not in file.read_text(encoding="utf-8")
    assert replay(job, file)["total"] == 411  # the error's number is kept


def test_a_credential_is_not_in_the_file(client, tmp_path):
    secrets.add("k3y-of-the-shop")

    @client.job
    async def job(payload, io):
        return await io.run_task("echo", lambda: {"said": "with k3y-of-the-shop"})

    file = job.test().freeze(tmp_path / "run.json")
    assert "k3y-of-the-shop" not in file.read_text(encoding="utf-8")


def test_a_table_that_may_hold_what_is_redacted_is_left_out(client, tmp_path):
    @client.job(redact=["email"])
    async def job(payload, io):
        await io.run_task("array", np.arange, 5)
        return await io.run_task("last", sum, [1])

    file = job.test().freeze(tmp_path / "run.json")
    assert "redact= may hide parts of it" in file.read_text(encoding="utf-8")
    assert replay(job, file) == 1


def test_large_values_are_in_the_file(client, tmp_path):
    @client.job
    async def job(payload, io):
        text = await io.run_task("text", lambda: "x" * 100_000)
        numbers = await io.run_task("numbers", np.arange, 50_000)
        return len(text) + int(numbers[-1])

    file = job.test().freeze(tmp_path / "run.json")
    assert replay(job, file) == 149_999


def test_a_run_that_failed_replays_its_error(client, tmp_path):
    @client.job
    async def job(payload, io):
        await io.run_task("first", sum, [1])
        await io.run_task("refuse", refuse)

    file = job.test().freeze(tmp_path / "run.json")
    assert replay(job, file) is None


def test_a_run_that_waits_may_go_on_with_new_tasks_but_not_without_old_ones(client, tmp_path):
    def make(edit=""):
        @client.job(id="waits")
        async def job(payload, io):
            if edit != "leaves out":
                await io.run_task("first", sum, [1])
            await io.wait("pause", days=3)
            return await io.run_task("new" if edit == "goes on" else "last", sum, [2])

        return job

    async def frozen_in_mid_run():
        run = make().start()
        while run.status != "WAITING":
            await asyncio.sleep(0)
        file = run.freeze(tmp_path / "run.json")
        run.cancel()
        return file

    file = asyncio.run(frozen_in_mid_run())
    assert json.loads(file.read_text(encoding="utf-8"))["status"] == "WAITING"
    replay(make(), file)
    replay(make("goes on"), file)
    with pytest.raises(ReplayMismatchError, match="first"):
        replay(make("leaves out"), file)


def test_subtasks_of_a_completed_task_are_not_called_again(client, tmp_path):
    @client.job
    async def job(payload, io):
        async def parent(io):
            return await io.run_task("child", sum, [1])

        return await io.run_task("parent", parent)

    assert replay(job, job.test().freeze(tmp_path / "run.json")) == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '{"frozen run": 1}',
        '{"frozen run": 9, "job": "shop", "status": "FAILED", "tasks": []}',
    ],
)
def test_a_file_that_is_no_frozen_run_is_named(client, tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(InvalidOptionError, match=r"run\.json"):
        replay(shop(client), tmp_path / "run.json")


def test_a_run_of_another_job_is_refused(client, frozen):
    @client.job
    async def other(payload, io):
        return 1

    with pytest.raises(InvalidOptionError, match="is a run of job 'shop', not of 'other'"):
        replay(other, frozen)
