"""Results that are no data: what can be read only once, and objects that this kernel keeps (S4)."""

from __future__ import annotations

import atexit
import csv
import io as streams
import tempfile
import threading
import warnings

import pytest

from tests.support.worlds import KINDS, World
from trigger_nb.errors import InvalidPayloadError, ValueNotStoredError

pytestmark = pytest.mark.filterwarnings("ignore:the value of task")


@pytest.fixture(params=KINDS)
def world(request, tmp_path):
    return World(tmp_path, request.param)


def rows():
    yield from [1, 2, 3]


async def arows():
    for n in [1, 2, 3]:
        yield n


async def coroutine():
    return 1


OPEN = open(__file__)  # noqa: SIM115
atexit.register(OPEN.close)
TEMPORARY = tempfile.NamedTemporaryFile()  # noqa: SIM115


ONCE = {
    "generator": (rows, "list"),
    "async generator": (arows, "async for"),
    "map": (lambda: map(int, "123"), "list"),
    "zip": (lambda: zip("ab", "cd", strict=True), "list"),
    "csv reader": (lambda: csv.reader(["1"]), "list"),
    "iterator of a list": (lambda: iter([1]), "list"),
    "file": (lambda: OPEN, "what you read"),
    "temporary file": (lambda: TEMPORARY, "what you read"),
    "BytesIO": (lambda: streams.BytesIO(b"a"), "getvalue"),
    "StringIO": (lambda: streams.StringIO("a"), "getvalue"),
    "in a list": (lambda: [1, rows()], "list"),
    "beside what is no data": (lambda: {"lock": threading.Lock(), "rows": rows()}, ""),
    "in an object": (lambda: type("Holder", (), {"__init__": lambda self: setattr(self, "r", rows())})(), ""),
}


@pytest.mark.parametrize("name", ONCE)
def test_what_can_be_read_once_is_never_handed_out_twice(world, name):
    make, instead = ONCE[name]

    @world.job
    def job(payload, io):
        value = yield io.run_task("make", make, thread=False)
        return repr(value)

    first = world.run(job)
    assert first == world.run(job) == repr(first)[1:-1], "the same in both passes"
    assert "not stored" in first
    assert instead in first


def test_using_it_says_what_to_return_instead(world):
    @world.job
    def job(payload, io):
        return list((yield io.run_task("rows", rows, thread=False)))

    for _ in range(2):
        error = world.fail(job)
        assert isinstance(error, ValueNotStoredError)
        assert "return a list, list(...)" in str(error)


def test_with_repeatable_each_pass_has_one_of_its_own(world):
    @world.job
    def job(payload, io):
        return list((yield io.run_task("rows", rows, thread=False, repeatable=True)))

    assert world.run(job) == world.run(job) == [1, 2, 3]


def test_a_payload_that_can_be_read_once_is_refused(world):
    @world.job(identity=lambda payload: "one")
    def job(payload, io):
        return list(payload)
        yield

    error = world.fail(job, rows())
    assert isinstance(error, InvalidPayloadError)
    assert "generator" in str(error)


class Basket:
    """No codec knows it."""

    def __init__(self):
        self.items = ["a", "b"]
        self.lock = threading.Lock()


def test_what_one_pass_does_to_an_object_kept_alive_the_next_does_not_see(world):
    @world.job
    def job(payload, io):
        basket = yield io.run_task("make", Basket, thread=False)
        taken = basket.items.pop()
        with basket.lock:
            return [taken, len(basket.items)]

    assert [world.run(job) for _ in range(3)] == [["b", 1]] * 3


def test_an_object_that_was_not_changed_is_the_same_in_each_pass(world):
    seen = []

    @world.job
    def job(payload, io):
        seen.append((yield io.run_task("make", Basket, thread=False)))

    world.run(job)
    world.run(job)
    assert seen[0] is seen[1]


def test_a_local_class_and_a_connection_in_it_are_kept(world):
    class Connection:
        def __init__(self):
            self.socket = threading.Lock()  # cannot be copied
            self.calls = 0

    @world.job
    def job(payload, io):
        connection = yield io.run_task("connect", Connection, thread=False)
        connection.calls += 1
        return connection.calls if connection.socket.acquire(blocking=False) else -connection.calls

    assert world.run(job) == 1
    assert world.run(job) == -1, "the lock is shared, and the count starts anew"


def test_the_warning_of_a_lost_value_does_not_say_that_it_is_kept(world):
    @world.job
    def job(payload, io):
        yield io.run_task("rows", rows, thread=False)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        world.run(job)
    (warning,) = [each for each in caught if "cannot be stored" in str(each.message)]
    assert "keeps" not in str(warning.message)
