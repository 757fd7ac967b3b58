"""A body leaves nothing behind that a replay would not: context variables, changed arguments, variables around it."""

from __future__ import annotations

import asyncio
import contextvars
import random
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest
from pydantic import BaseModel

from tests.support.worlds import KINDS, World

user = contextvars.ContextVar("user", default="nobody")


@pytest.fixture(params=KINDS)
def world(request, tmp_path):
    return World(tmp_path, request.param)


class Cart(BaseModel):
    items: list[str] = []


@dataclass
class Basket:
    items: list[str] = field(default_factory=list)


def hints(world, job):
    return [line for line in world.last(job).tree().splitlines() if "in place" in line]


def grow(value):
    if isinstance(value, pd.DataFrame):
        value["more"] = 1
    elif isinstance(value, np.ndarray):
        value[0] = 7
    elif isinstance(value, dict):
        value.setdefault("rows", []).append(1)
    elif isinstance(value, set):
        value.add("x")
    elif hasattr(value, "shuffle"):
        value.shuffle([1, 2, 3])
    else:
        getattr(value, "items", value).append("x")


CHANGED = {
    "list": list,
    "dict": lambda: {"rows": [1]},
    "set": lambda: {1},
    "nested": lambda: [[1, {"a": ("b", [])}]],
    "long list": lambda: list(range(10_000)),
    "model": Cart,
    "dataclass": Basket,
    "array": lambda: np.zeros(3),
    "large array": lambda: np.zeros((1000, 100)),
    "frame": lambda: pd.DataFrame({"a": [1]}),
    "random": lambda: random.Random(1),
    "random of NumPy": lambda: np.random.default_rng(1),
    "old random of NumPy": lambda: np.random.RandomState(1),
}


@pytest.mark.parametrize("kind", CHANGED)
@pytest.mark.parametrize("thread", [True, False])
def test_a_body_that_changes_its_argument_gets_a_hint(world, kind, thread):
    value = CHANGED[kind]()

    @world.job
    def job(payload, io):
        yield io.run_task("grow", grow, value, thread=thread)

    world.run(job)
    (hint,) = hints(world, job)
    assert "'grow'" in hint


@pytest.mark.parametrize("kind", CHANGED)
def test_a_body_that_only_reads_gets_none(world, kind):
    value = CHANGED[kind]()

    @world.job
    def job(payload, io):
        yield io.run_task("read", lambda each: repr(each)[:10], value)

    world.run(job)
    assert hints(world, job) == []


def test_a_map_whose_body_changes_its_items_has_one_hint(world):
    @world.job
    def job(payload, io):
        yield io.map("each", [{"n": n} for n in range(5)], grow)

    world.run(job)
    assert len(hints(world, job)) == 1


def test_what_an_async_body_sets_is_not_set_after_it(tmp_path):
    world = World(tmp_path)

    async def login(wait):
        user.set("inside")
        await asyncio.sleep(0 if wait else 0.0)
        if wait:
            await asyncio.wait_for(asyncio.sleep(0), 5)
        return user.get()

    def blocking():
        user.set("inside")
        return user.get()

    @world.client.job
    async def job(payload, io):
        user.set("around")
        seen = [
            await io.run_task("a", login, True),
            await io.run_task("b", login, False),
            await io.run_task("c", blocking),
            await io.run_task("d", blocking, thread=False),
        ]
        return [*seen, user.get()]

    assert world.run(job) == world.run(job) == ["inside"] * 4 + ["around"]


def test_an_async_body_sees_what_was_set_around_it_and_passes_errors_on(tmp_path):
    world = World(tmp_path)

    async def read():
        try:
            await asyncio.wait_for(asyncio.Event().wait(), 0.001)
        except TimeoutError:
            return user.get()

    async def fail():
        await asyncio.sleep(0)
        raise ValueError("no")

    @world.client.job
    async def job(payload, io):
        user.set("around")
        with pytest.raises(ValueError, match="no"):
            await io.run_task("fail", fail)
        return await io.run_task("read", read)

    assert world.run(job) == "around"


# What a body uses and was not given ---------------------------------------------------------------------

FOUND, COUNTED, NUMBERS = [], 0, list(range(5000))


def count():
    global COUNTED
    COUNTED += 1
    return len(NUMBERS)


def find(number):
    FOUND.append(number)
    return count()


def around(world, job):
    text = " ".join(line.strip() for line in world.last(job).tree().splitlines())
    return [part.partition(",")[0] for part in text.split("The body ")[1:] if "changed while it ran" in part]


def test_a_body_that_changes_variables_around_it_gets_a_hint(world):
    """The usual way to lose rows: a replay calls no body, and the list stays empty. Also through functions beside it."""

    @world.job
    def job(payload, io):
        rows, seen, frame = [], {}, pd.DataFrame({"a": [1]})
        draw, total = np.random.default_rng(1), 0

        def add(row):
            nonlocal total
            total += row
            rows.append(row)

        def also():
            frame["b"] = seen["x"] = 2
            return draw.random()

        yield io.run_task("add", lambda: add(1))
        yield io.run_task("again", lambda: add(2))  # is hinted at once
        yield io.run_task("also", also)
        yield io.run_task("find", find, 7)
        yield io.run_task("only looks", lambda: (len(rows), total, seen, frame, FOUND, NUMBERS))
        return rows

    world.run(job)
    first, second, third = around(world, job)
    assert first.endswith("uses 'rows' and 'total'")
    assert second.endswith("uses 'draw' and 'frame' and 'seen'")
    assert third == "'find' uses 'FOUND' and 'COUNTED'"


def test_bodies_that_change_nothing_around_them_get_no_hint(world):
    """Nor do clients, caches of functions and the like: what counts by identity."""
    made = {"client": object(), "lock": asyncio.Lock()}

    @world.job
    def job(payload, io):
        def recursive(depth):
            return depth and recursive(depth - 1)

        yield io.run_task("recursive", recursive, 3)
        yield io.run_task("uses", lambda: (made["client"], NUMBERS[3], payload))
        yield io.map("items", range(3), lambda item: NUMBERS[item])

    world.run(job, {"a": 1})
    assert around(world, job) == []


def test_values_of_any_class_around_a_body_do_no_harm(world):
    """A look at what a body uses must not fail the task: classes may say anything of themselves."""

    class Odd(list):
        def __len__(self):
            raise ValueError("not now")

    class Nameless:
        __module__ = None

    odd, nameless = Odd(), Nameless()

    @world.job
    def job(payload, io):
        return (yield io.run_task("uses", lambda: odd is not nameless))

    assert world.run(job) is True
    assert around(world, job) == []
