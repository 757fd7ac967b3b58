"""Warnings that are turned into errors (`-W error`, `warnings.simplefilter("error")`) undo nothing that is recorded."""

from __future__ import annotations

import asyncio
import threading
import warnings

import pytest

from trigger_nb import RunStatus, register_codec

pytestmark = pytest.mark.filterwarnings("error")


class Connection:
    open = True


def test_a_value_that_cannot_be_stored_is_kept_in_this_kernel(world):
    """S4: the body is not called again because a warning is an error."""

    @world.job
    def job(payload, io):
        one = yield io.run_task("one", world.body(Connection, note="one"))
        many = yield io.map("many", [1, 2], world.body(lambda n: threading.Lock(), note="item"))
        return one.open, len(many)

    for _ in range(2):
        assert world.run(job) == (True, 2)
    assert world.take() == ["one", "item", "item"]
    assert world.last(job).status == RunStatus.COMPLETED
    assert "value not stored" in world.last(job).tree()


def test_the_output_of_a_run_that_cannot_be_stored(world):
    @world.job
    def job(payload, io):
        yield io.run_task("one", world.noting("one"))
        return Connection()

    for _ in range(2):
        assert world.run(job).open
    assert world.take() == ["one"]


@pytest.mark.anyio
async def test_a_task_that_is_left_in_flight_is_still_recorded(async_world):
    """A6: the warning of it, as an error, would fail the body that has returned."""
    world = async_world

    async def slow():
        world.note("slow")
        await asyncio.sleep(0.01)
        return "slow"

    async def parent(io):
        asyncio.ensure_future(io.run_task("slow", slow))
        await asyncio.sleep(0)
        return "parent"

    @world.client.job
    async def job(payload, io):
        return await io.run_task("parent", parent)

    for _ in range(2):
        assert await job.run() == "parent"
    assert world.take() == ["slow"]
    assert job.runs()[0].task("parent/slow").output == "slow"


def test_a_warning_of_the_bodys_own_is_its_error(world):
    def body():
        warnings.warn("mine", UserWarning, stacklevel=1)

    @world.job
    def job(payload, io):
        yield io.run_task("one", world.body(body))

    assert isinstance(world.fail(job), UserWarning)


class Frame:
    """Of a library that warns when it is written."""


def test_a_warning_of_a_librarys_that_is_raised_while_its_value_is_written(world):
    """S4: the body has done its work."""

    def write(frame):
        warnings.warn("to_dict will change", FutureWarning, stacklevel=1)
        return {}

    register_codec(Frame, write, lambda data: Frame())

    @world.job
    def job(payload, io):
        yield io.run_task("one", world.body(Frame, note="one"))
        return "done"

    for _ in range(2):
        assert world.run(job) == "done"
    assert world.take() == ["one"]
