"""Functions behind plain decorators are what they wrap."""

from __future__ import annotations

import asyncio
import functools

import pytest

from trigger_nb import SkipRetrying, TriggerClient
from trigger_nb._fingerprint.fingerprints import Fingerprints
from trigger_nb._tasks.signature import is_async


def plain(function):
    """As most decorators for timing, logging and metrics are written."""

    @functools.wraps(function)
    def wrapper(*args, **named):
        return function(*args, **named)

    return wrapper


class Counted:
    """A decorator that is a class."""

    def __init__(self, function):
        functools.update_wrapper(self, function)
        self.function = function
        self.calls = 0

    def __call__(self, *args, **named):
        self.calls += 1
        return self.function(*args, **named)


def twice(function):
    return plain(plain(function))


def with_options(function):
    return functools.partial(plain(function))


DECORATORS = [plain, twice, Counted, with_options, functools.cache]


@pytest.fixture
def client(tmp_path):
    return TriggerClient("decorators", dir=tmp_path / "store", display=False)


@pytest.mark.parametrize("decorate", DECORATORS)
def test_an_async_function_behind_a_plain_decorator_is_async(client, decorate):
    """Bodies, items, handlers and jobs get the `io` to await, and `task` and `io` by their names."""

    @decorate
    async def body(io):
        return await io.run_task("in", lambda: 1)

    @decorate
    async def item(x, io):
        return await io.run_task("in", lambda: x)

    @decorate
    async def handler(error, task, io):
        await io.run_task("h", lambda: 1)
        return SkipRetrying(KeyError(task.path))

    def fails():
        raise ValueError("mine")

    async def function(payload, io):
        try:
            await io.run_task("fails", fails, on_error=handler)
        except KeyError as error:
            handled = str(error)
        return await io.run_task("body", body), await io.map("m", [1, 2], item), handled

    if decorate is not with_options:  # a job needs a name
        function = decorate(function)
    job = client.job(id="job")(function)
    for _ in range(2):
        assert job.run_sync() == (1, [1, 2], "'fails'")


def test_an_async_method_behind_a_plain_decorator_is_async(client):
    class Service:
        @plain
        async def fetch(self, io):
            return await io.run_task("in", lambda: 1)

    @client.job
    async def job(payload, io):
        return await io.run_task("x", Service().fetch)

    assert job.run_sync() == 1


def test_a_decorator_that_runs_the_coroutine_itself_is_a_plain_function(client):
    """It needs a thread without a running loop."""

    def blocking(function):
        @functools.wraps(function)
        def wrapper(*args):
            return asyncio.run(function(*args))

        return wrapper

    @blocking
    async def body(n):
        await asyncio.sleep(0)
        return n + 1

    @client.job
    async def job(payload, io):
        return await io.run_task("x", body, 1)

    assert not is_async(body)
    assert job.run_sync() == 2


@pytest.mark.parametrize("decorate", DECORATORS)
def test_an_edit_of_the_function_behind_a_decorator_is_noticed(decorate):
    """R6"""

    def make(result):
        space: dict = {}
        exec(f"async def body(x):\n    return {result}", space)
        return decorate(space["body"])

    prints = [Fingerprints().of(make(result)) for result in ("x", "x", "x + 1")]
    assert prints[0] == prints[1] != prints[2]
    assert all(prints)
