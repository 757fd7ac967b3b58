"""How the user's functions are called: what is kept of a signature, and when it is worked out again."""

from __future__ import annotations

import functools
import types

import pytest
from pydantic import BaseModel

from trigger_nb._tasks import signature as signature_module
from trigger_nb._tasks.signature import signature_of


class User(BaseModel):
    name: str


class Api:
    def fetch(self, number, task): ...

    @classmethod
    def make(cls, number): ...

    def __call__(self, number, io): ...


def plain(number, size=1, *, task=None): ...


async def waits(number): ...


def decorated(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


def fails(*args):
    raise AssertionError


BODIES = {
    "function": lambda: plain,
    "method": lambda: Api().fetch,
    "class method": lambda: Api.make,
    "callable object": lambda: Api(),
    "lambda with a default": lambda: lambda number, size=2: number,
    "partial": lambda: functools.partial(plain, 1),
    "partial of a method": lambda: functools.partial(Api().fetch, task=1),
    "class": lambda: Api,
    "builtin": lambda: len,
    "decorated": lambda: DECORATED,
    "partial of a decorated function": lambda: functools.partial(DECORATED, size=3),
    "cached": lambda: CACHED,
}
DECORATED = decorated(plain)
CACHED = functools.cache(plain)


@pytest.mark.parametrize("make", BODIES.values(), ids=BODIES)
def test_a_signature_is_worked_out_once(make, monkeypatch):
    expected = signature_module._inspect(make())
    assert signature_of(make()) == expected
    monkeypatch.setattr(signature_module, "_inspect", fails)
    assert signature_of(make()) == expected


def test_each_way_to_bind_a_function_has_its_signature():
    method, partial = types.MethodType(plain, 1), functools.partial
    assert signature_of(plain).required == ("number",)
    assert signature_of(method).names == ("size", "task")
    assert signature_of(partial(plain, 1)).names == ("size", "task")
    assert signature_of(partial(plain, 1, 2)).names == ("task",)
    assert signature_of(partial(plain, number=1)).required == ()
    assert signature_of(partial(plain, task=1)).names == ("number", "size")
    assert signature_of(partial(method, 1)).names == ("task",)
    assert signature_of(partial(waits, 1)).is_async
    assert not signature_of(partial(plain, 1)).is_async


def test_functions_of_one_code_object_that_differ_in_their_defaults():
    def make(defaults):
        def body(number, size): ...

        body.__defaults__ = defaults
        return body

    assert signature_of(make(None)).required == ("number", "size")
    assert signature_of(make((1,))).required == ("number",)
    assert signature_of(make((1, 2))).required == ()


def test_functions_of_one_code_object_that_differ_in_what_they_return():
    def make(model):
        def body() -> model: ...

        body.__annotations__["return"] = model
        return body

    assert signature_of(make(User)).returns is User
    assert signature_of(make(list[User])).returns == list[User]
    assert signature_of(make(int)).returns is None


def test_functions_of_one_decorator_each_have_their_own_signature():
    assert signature_of(decorated(plain)).required == ("number",)
    assert signature_of(decorated(waits)).is_async  # the wrapper hands the coroutine on
    assert signature_of(decorated(Api.fetch)).required == ("self", "number", "task")


def test_code_that_is_edited_in_place_has_its_new_signature():
    """As IPython's autoreload does it."""

    class Later:
        def __init__(self, number): ...

    def body(number): ...

    def edited(number, io): ...

    wrapped = decorated(body)
    for each in (body, wrapped, Later):
        signature_of(each)
    body.__code__ = Later.__init__.__code__ = edited.__code__
    Later.__init__.__code__ = (lambda self, number, io: None).__code__
    wrapped.__wrapped__ = edited
    assert [signature_of(each).required for each in (body, wrapped, Later)] == [("number", "io")] * 3
