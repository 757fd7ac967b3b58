"""Errors as data (R4)."""

from __future__ import annotations

import asyncio
import dataclasses
import decimal
import enum
import json
import os
import sqlite3
import subprocess
import sys
import textwrap
import typing

import httpx
import pydantic
import pydantic_core
import pytest
import requests
from hypothesis import given, strategies as st

from tests.support.codec import MemoryBlobs
from trigger_nb import register_error
from trigger_nb._values.codec import decode, encode
from trigger_nb._values.error_reading import error_or_stand_in
from trigger_nb._values.errors import adapters, encode_error
from trigger_nb._values.placeholders import UnstoredArgument
from trigger_nb.errors import NotStorableError, TaskError, TaskTimeoutError, ValueNotStoredError


def caught(call):
    try:
        call()
    except BaseException as error:
        return error
    raise AssertionError("it did not raise")


def replayed(error):
    """The error as a later kernel would get it: through text and parsed again."""
    return error_or_stand_in(json.loads(json.dumps(encode_error(error), allow_nan=False)))


# -- errors as people define them


class KeywordOnly(Exception):
    made = 0

    def __init__(self, *, code):
        KeywordOnly.made += 1
        self.code = code
        super().__init__(f"failed with {code}")


class Slotted(Exception):
    __slots__ = ("__private", "code", "unset")

    def __init__(self, code):
        super().__init__("slotted")
        self.code = code
        self.__private = (code,)

    @property
    def private(self):
        return self.__private


@dataclasses.dataclass
class Declined(Exception):
    reason: str
    amounts: list

    def __str__(self):
        return f"declined: {self.reason}"


@dataclasses.dataclass(frozen=True)
class FrozenError(Exception):
    code: int


class NewArguments(Exception):
    def __new__(cls, a, b):
        made = super().__new__(cls, a, b)
        made.via_new = True
        return made

    def __init__(self, a, b):
        super().__init__(a + b)


class ExtraOSError(OSError):
    def __init__(self, filename, extra):
        super().__init__(2, "gone", filename)
        self.extra = extra


class BatchError(ExceptionGroup):
    def __new__(cls, message, errors, batch):
        made = super().__new__(cls, message, errors)
        made.batch = batch
        return made

    def derive(self, errors):
        return BatchError(self.message, errors, self.batch)


class Status(enum.Enum):
    GONE = 410


class WithEnum(Exception):
    def __init__(self, status):
        super().__init__(status)
        self.status = status


class HoldsClient(Exception):
    def __init__(self, client):
        super().__init__("it broke", client)
        self.client = client
        self.code = 7


class User(pydantic.BaseModel):
    age: int
    name: str

    @pydantic.field_validator("name")
    @classmethod
    def _check(cls, value):
        if not value:
            raise ValueError("no {name}")
        return value


def with_cause():
    try:
        raise OSError(5, "disk")
    except OSError as error:
        raise KeyError("missing") from error


def with_context():
    try:
        raise ValueError("first")
    except ValueError:
        raise KeyError("second")  # noqa: B904  # the point of it


def from_none():
    try:
        raise ValueError("first")
    except ValueError:
        raise KeyError("second") from None


def http_response():
    request = httpx.Request(
        "POST", "https://api.example.org/users?x=1", headers={"Authorization": "Bearer s3cret"}
    )
    return httpx.Response(
        429,
        json={"error": {"code": "rate_limited"}},
        headers={"Retry-After": "7", "Set-Cookie": "sid=s3cret", "X-RateLimit-Remaining-Tokens": "0"},
        request=request,
    )


def requests_response():
    response = requests.Response()
    response.status_code = 503
    response.reason = "Service Unavailable"
    response._content = b'{"detail": "later"}'
    response._content_consumed = True
    response.url = "http://example.org/a"
    response.headers["Retry-After"] = "7"
    response.headers["Set-Cookie"] = "sid=s3cret"
    response.request = requests.Request(
        "GET", "http://example.org/a", headers={"X-Api-Key": "s3cret"}
    ).prepare()
    return response


def decoded(text):
    return caught(lambda: json.loads(text))


def custom_pydantic():
    def check(value):
        raise pydantic_core.PydanticCustomError("too_odd", "{value} is too odd", {"value": value})

    odd = typing.Annotated[int, pydantic.AfterValidator(check)]
    return caught(lambda: pydantic.TypeAdapter(odd).validate_python(3))


ERRORS = {
    "OSError": (caught(lambda: os.open("/nonexistent", 0)), ["errno", "strerror", "filename", "filename2"]),
    "OSError with text": (OSError("just text"), ["errno", "strerror", "filename"]),
    "OSError two files": (OSError(18, "cross", "a", None, "b"), ["errno", "filename", "filename2"]),
    "BlockingIOError": (BlockingIOError(11, "again", 5), ["errno", "characters_written"]),
    "UnicodeDecodeError": (
        caught(lambda: b"ab\xff".decode()),
        ["encoding", "object", "start", "end", "reason"],
    ),
    "UnicodeEncodeError": (
        caught(lambda: "é".encode("ascii")),
        ["encoding", "object", "start", "end", "reason"],
    ),
    "ValidationError": (caught(lambda: User(age="x", name="")), ["title", "error_count"]),
    "ValidationError custom": (custom_pydantic(), ["title"]),
    "HTTPStatusError": (caught(http_response().raise_for_status), []),
    "ConnectError": (httpx.ConnectError("refused", request=http_response().request), []),
    "ReadTimeout without request": (httpx.ReadTimeout("slow"), []),
    "requests.HTTPError": (caught(requests_response().raise_for_status), ["errno"]),
    "requests.ConnectionError": (caught(lambda: requests.get("http://127.0.0.1:1/")), ["errno", "response"]),
    "requests.JSONDecodeError": (
        requests.JSONDecodeError("bad", "{x", 1),
        ["msg", "doc", "pos", "lineno", "colno"],
    ),
    "JSONDecodeError": (decoded("{x"), ["msg", "doc", "pos", "lineno", "colno"]),
    "KeyError": (KeyError("a"), []),
    "KeyError tuple": (KeyError(("a", 1)), []),
    "IndexError": (caught(lambda: [].pop()), []),
    "StopIteration": (StopIteration((1, 2)), ["value"]),
    "SystemExit": (SystemExit(3), ["code"]),
    "ImportError": (caught(lambda: __import__("no_such_module")), ["name", "path", "msg"]),
    "SyntaxError": (
        caught(lambda: compile("1 +", "f.py", "eval")),
        ["filename", "lineno", "offset", "text", "msg"],
    ),
    "AttributeError": (caught(lambda: object().foo), ["name"]),
    "NameError": (caught(lambda: undefined_name), ["name"]),  # noqa: F821
    "TimeoutError": (TimeoutError(), ["errno"]),
    "CancelledError": (asyncio.CancelledError("why"), []),
    "CalledProcessError": (
        subprocess.CalledProcessError(2, ["a"], b"o", b"e"),
        ["returncode", "cmd", "stdout"],
    ),
    "decimal": (caught(lambda: decimal.Decimal("x")), []),
    "sqlite3": (caught(lambda: sqlite3.connect(":memory:").execute("x")), ["sqlite_errorcode"]),
    "our own": (TaskTimeoutError("5 s"), ["type_name"]),
    "group": (ExceptionGroup("g", [ValueError(1), ExceptionGroup("h", (TypeError(2),))]), ["message"]),
    "base group": (BaseExceptionGroup("g", [KeyboardInterrupt()]), ["message"]),
    "derived group": (BatchError("g", [ValueError(1)], (7,)), ["message", "batch"]),
    "required keyword": (KeywordOnly(code=3), ["code"]),
    "slots": (Slotted(4), ["code", "private"]),
    "dataclass": (Declined("funds", [1, (2,)]), ["reason", "amounts"]),
    "frozen dataclass": (FrozenError(4), ["code"]),
    "__new__": (NewArguments(1, 2), ["via_new"]),
    "OSError subclass": (ExtraOSError("f.txt", {"k": (1,)}), ["errno", "filename", "extra"]),
    "enum": (WithEnum(Status.GONE), ["status"]),
    "cause": (caught(with_cause), []),
    "context": (caught(with_context), []),
    "from None": (caught(from_none), []),
    "many arguments": (ValueError("a", 1, 2.5, (1, [2]), None, b"x"), []),
    "no arguments": (ValueError(), []),
}


def all_equal(left, right):
    """Equal in all that code could branch on, and so their causes, contexts and members."""
    assert type(right) is type(left)
    assert str(right) == str(left)
    assert repr(right) == repr(left)
    assert repr(right.args) == repr(left.args)
    for one, other in zip(left.args, right.args, strict=True):
        assert type(other) in (type(one), UnstoredArgument)
    assert getattr(right, "__notes__", None) == getattr(left, "__notes__", None)
    assert right.__suppress_context__ == left.__suppress_context__
    for link in ("__cause__", "__context__"):
        if getattr(left, link) is None:
            assert getattr(right, link) is None
        else:
            all_equal(getattr(left, link), getattr(right, link))
    assert (right.__context__ is right.__cause__) == (left.__context__ is left.__cause__)
    if isinstance(left, BaseExceptionGroup):
        for one, other in zip(left.exceptions, right.exceptions, strict=True):
            all_equal(one, other)
    return True


@pytest.mark.parametrize(("error", "names"), ERRORS.values(), ids=ERRORS)
def test_real_errors_are_equal_before_and_after(error, names):
    """R4: type, args, text, notes, chain, and the attributes that people branch on."""
    vars(error)["__notes__"] = ["a note"]
    back = replayed(error)
    if isinstance(error, requests.ConnectionError) and not isinstance(error, requests.HTTPError):
        # Its argument is urllib3's error, which holds a connection pool.
        assert (type(back), str(back)) == (type(error), str(error))
    else:
        all_equal(error, back)
    for name in names:
        left, right = getattr(error, name), getattr(back, name)
        if callable(left):
            left, right = left(), right()
        assert (type(left), repr(left)) == (type(right), repr(right))
    assert replayed(back).args is not None, "and it can be stored again, as a parent's error"


@pytest.mark.parametrize("name", [name for name in ERRORS if name != "requests.ConnectionError"])
def test_an_error_raised_again_is_stored_the_same(name):
    """R4: a child's error that went on through its parent."""
    error = ERRORS[name][0]
    once = encode_error(error)
    twice = encode_error(replayed(error))

    def without_frames(data):
        if isinstance(data, dict):
            return {key: without_frames(item) for key, item in data.items() if key != "traceback"}
        return [without_frames(item) for item in data] if isinstance(data, list) else data

    assert without_frames(twice) == without_frames(once)


def test_pydantics_errors_keep_their_details():
    """R4"""
    error = ERRORS["ValidationError"][0]
    back = replayed(error)
    left, right = error.errors(), back.errors()
    assert [e["loc"] for e in right] == [e["loc"] for e in left]
    assert repr(right) == repr(left)
    assert replayed(ERRORS["ValidationError custom"][0]).errors()[0]["type"] == "too_odd"


def test_a_status_error_of_httpx_keeps_its_response():
    """R4: what people branch on; what is secret is left out."""
    error = ERRORS["HTTPStatusError"][0]
    data = encode_error(error)
    assert "s3cret" not in json.dumps(data)
    response = error_or_stand_in(data).response
    assert response.status_code == 429
    assert response.json() == {"error": {"code": "rate_limited"}}
    assert response.headers["retry-after"] == "7"
    assert response.headers["x-ratelimit-remaining-tokens"] == "0"
    assert (response.is_client_error, response.reason_phrase) == (True, "Too Many Requests")
    assert response.text == error.response.text
    assert str(response.url) == "https://api.example.org/users?x=1"
    assert error_or_stand_in(data).request.method == "POST"
    with pytest.raises(httpx.HTTPStatusError):
        response.raise_for_status()


def test_a_body_that_is_not_kept_is_not_an_empty_one():
    """R4: too large, or never read."""
    request = httpx.Request("GET", "https://example.org")
    large = httpx.Response(500, content=b"x" * 1_000_000, request=request)
    streamed = httpx.Response(500, stream=httpx.ByteStream(b"abc"), request=request)
    for response in (large, streamed):
        back = replayed(httpx.HTTPStatusError("m", request=request, response=response)).response
        assert back.status_code == 500
        with pytest.raises(httpx.ResponseNotRead):
            _ = back.text


def test_a_compressed_body_can_still_be_read():
    import gzip

    response = httpx.Response(
        400,
        headers={"content-encoding": "gzip"},
        content=gzip.compress(b'{"a": 1}'),
        request=httpx.Request("GET", "https://example.org"),
    )
    assert replayed(caught(response.raise_for_status)).response.json() == {"a": 1}


def test_a_status_error_of_requests_keeps_its_response():
    """R4"""
    data = encode_error(ERRORS["requests.HTTPError"][0])
    assert "s3cret" not in json.dumps(data)
    response = error_or_stand_in(data).response
    assert (response.status_code, response.reason, response.json()) == (
        503,
        "Service Unavailable",
        {"detail": "later"},
    )
    assert response.headers["retry-after"] == "7"
    assert response.request.url == "http://example.org/a"
    assert not response.ok


def test_a_response_is_kept_in_errors_only():
    """S4: as a task's own result it is still refused."""
    with pytest.raises(NotStorableError, match=r"\$\.r: httpx\.Response"):
        encode({"r": http_response()}, MemoryBlobs())


# -- no code of the class's own


def test_no_init_runs():
    """R4: no `__init__` of a user's class is called."""
    error = KeywordOnly(code=9)
    before = KeywordOnly.made
    assert replayed(error).code == 9
    assert KeywordOnly.made == before


class Counting(Exception):
    made = 0

    def __new__(cls, *args):
        Counting.made += 1
        return super().__new__(cls, *args)

    def __init_subclass__(cls, **kwargs):
        raise AssertionError("a registry of subclasses must not see ours")

    def __setattr__(self, name, value):
        raise AssertionError("no code of the class's own runs")


def test_neither_new_nor_setattr_nor_init_subclass_run():
    """R4"""
    error = Counting("x")
    error.__dict__["client"] = object()
    made = Counting.made
    back = replayed(error)
    assert Counting.made == made
    assert isinstance(back, Counting)


def test_nothing_is_imported():
    """R4: a class whose module is not loaded stays unloaded."""
    data = encode_error(ValueError("x"))
    data["module"], data["type"] = "this", "Zen"  # a module that prints when it is imported
    data["bases"][:0] = ["antigravity:Error", "builtins:ValueError"]
    back = error_or_stand_in(data)
    assert not {"this", "antigravity"} & set(sys.modules)
    assert isinstance(back, ValueError)


# -- classes that are not loaded


def lost(error, *names):
    """The error as a kernel gets it in which classes of these names are not loaded."""
    text = json.dumps(encode_error(error))
    for name in names or (type(error).__qualname__,):
        text = text.replace(f'"type": "{name}"', f'"type": "Gone{name}"').replace(f":{name}", f":Gone{name}")
    return error_or_stand_in(json.loads(text))


class AppError(Exception):
    pass


class NotFound(AppError, KeyError):
    def __str__(self):
        return f"not found: {self.args[0]}"


def test_a_lost_class_is_replaced_by_its_loaded_bases():
    """R4: `except` takes the same branch; text, args and attributes are the same."""
    error = NotFound("ana")
    error.code = (1,)
    back = lost(error)
    assert all(isinstance(back, cls) for cls in (TaskError, AppError, KeyError))
    assert (str(back), back.args, back.code) == ("not found: ana", ("ana",), (1,))
    assert (type(back).__name__, back.type_name) == ("GoneNotFound", f"{__name__}.GoneNotFound")
    further = lost(error, "NotFound", "AppError")
    assert isinstance(further, KeyError)
    assert not isinstance(further, AppError)


@pytest.mark.parametrize(
    ("error", "base", "names"),
    [
        (ExtraOSError("f.txt", 1), OSError, ["errno", "filename", "extra"]),
        (KeywordOnly(code=3), Exception, ["code"]),
        (Slotted(3), Exception, ["code"]),
        (Declined("funds", []), Exception, ["reason"]),
        (BatchError("g", [ValueError(1)], 7), ExceptionGroup, ["batch", "message"]),
    ],
    ids=lambda x: type(x).__name__ if isinstance(x, BaseException) else "",
)
def test_lost_classes_of_every_make(error, base, names):
    """R4"""
    back = lost(error)
    assert isinstance(back, TaskError)
    assert isinstance(back, base)
    assert str(back) == str(error)
    assert back.args == error.args or isinstance(error, ExceptionGroup)
    for name in names:
        assert getattr(back, name) == getattr(error, name)
    if isinstance(error, BatchError):
        assert repr(back.exceptions) == repr(error.exceptions)


class Stop(BaseException):
    pass


def test_a_lost_class_below_base_exception_is_no_exception():
    """R4: `except Exception` did not catch it, and does not now."""
    back = lost(Stop("now"))
    assert not isinstance(back, Exception)
    assert str(back) == "now"


def test_stand_ins_of_one_class_are_one_class_and_find_their_class_again():
    """R4: stored once more as a parent's error, and read where the class is loaded."""
    error = NotFound("ana")
    assert type(lost(error)) is type(lost(error))
    text = json.dumps(encode_error(lost(error))).replace("GoneNotFound", "NotFound")
    back = error_or_stand_in(json.loads(text))
    assert type(back) is NotFound
    assert vars(back) == {}


def test_a_class_redefined_in_a_cell_is_the_class_as_it_is_now(monkeypatch):
    """R4"""
    data = encode_error(AppError("x"))
    new = type("AppError", (Exception,), {"__module__": __name__})
    monkeypatch.setattr(sys.modules[__name__], "AppError", new)
    assert type(error_or_stand_in(data)) is new


def test_a_class_of_a_function_is_found_while_this_kernel_has_it():
    """R4: it cannot be found by name in another."""

    class Local(ValueError):
        pass

    data = encode_error(Local("x"))
    assert type(error_or_stand_in(data)) is Local
    data["type"] = "elsewhere.<locals>.Local"
    assert isinstance(error_or_stand_in(data), ValueError)


def test_in_a_new_kernel():
    """R4: written by one process, read by another that has some of the classes."""
    cell = textwrap.dedent(
        """
        import json, sys
        from trigger_nb._values import error_or_stand_in, encode_error
        class Base(Exception): ...
        class Api(Base):
            def __init__(self, *, status): self.status = status; super().__init__(f"status {status}")
        """
    )
    write = (
        f"{cell}\nclass Deep(Api): ...\n"
        "for e in (Api(status=4), Deep(status=5)): print(json.dumps(encode_error(e)))"
    )
    read = (
        f"{cell}\n"
        "one, two = (error_or_stand_in(json.loads(text)) for text in sys.argv[1:])\n"
        "print(type(one) is Api, one.status, one, isinstance(two, Api), two.status, two, type(two).__name__)"
    )
    lines = subprocess.run([sys.executable, "-c", write], capture_output=True, text=True, check=True).stdout
    done = subprocess.run(
        [sys.executable, "-c", read, *lines.splitlines()], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "True 4 status 4 True 5 status 5 Deep"


# -- what cannot be stored


def test_an_attribute_that_was_not_stored_says_so():
    """R4: and not as an AttributeError, which `getattr` with a default would hide."""
    error = HoldsClient(object())
    back = replayed(error)
    assert isinstance(back, HoldsClient)
    assert type(back).__name__ == "HoldsClient"
    assert back.code == 7
    assert str(back) == str(error)
    assert repr(back.args) == repr(error.args)
    for read in (lambda: back.client, lambda: getattr(back, "client", None)):
        with pytest.raises(
            ValueNotStoredError, match=r"(?s)'client' of this HoldsClient.*object.*register_error"
        ):
            read()
    with pytest.raises(ValueNotStoredError, match="argument"):
        back.args[1].get()
    with pytest.raises(ValueNotStoredError, match="'client'"):
        _ = replayed(back).client
    back.client = 5
    assert back.client == 5


def test_what_is_too_large_is_not_stored():
    """R4: bounded."""
    error = caught(lambda: (b"\xff" * 1_000_000).decode())
    back = replayed(error)
    assert isinstance(back, UnicodeDecodeError)
    assert (str(back), back.start, back.reason) == (str(error), error.start, error.reason)
    with pytest.raises(ValueNotStoredError, match="'object'"):
        _ = back.object
    assert len(json.dumps(encode_error(ValueError("x" * 10_000_000)))) < 20_000


class Rude(Exception):
    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __str__


def many(depth):
    error = ValueError(0)
    for n in range(depth):
        outer = ValueError(n)
        outer.__cause__, outer.inner, error = error, error, outer
    return error


def circular():
    left, right = ValueError("left"), ValueError("right")
    left.__cause__, right.__context__ = right, left
    left.other = right
    left.args = (left, [left])
    return left


@pytest.mark.parametrize(
    "error",
    [
        Rude(Rude()),
        many(500),
        circular(),
        ExceptionGroup("g", [ValueError(n) for n in range(5000)]),
        ExceptionGroup("g", [ValueError("x" * 50_000) for _ in range(50)]),
        ValueError({"a": [object()] * 10}),
        ValueError("\ud83d\ude00\ud800"),
    ],
    ids=["rude", "deep", "circular", "wide", "heavy", "unstorable", "surrogates"],
)
def test_any_error_is_stored_and_bounded(error):
    """R4: bounded, and it never raises."""
    text = json.dumps(encode_error(error))
    assert len(text) < 700_000
    back = error_or_stand_in(json.loads(text))
    assert isinstance(back, type(error))


def test_members_that_are_not_stored_are_counted():
    """R4: groups member by member, bounded; what is left out says so."""
    back = replayed(ExceptionGroup("g", [ValueError(n) for n in range(5000)]))
    assert back.exceptions[0].args == (0,)
    assert isinstance(back.exceptions[-1], TaskError)
    assert int(str(back.exceptions[-1]).split()[0]) == 5000 - len(back.exceptions) + 1


text_values = st.text(st.characters(exclude_categories=()))
arguments = st.lists(
    st.none()
    | st.integers()
    | st.floats(allow_nan=False)
    | text_values
    | st.binary()
    | st.tuples(text_values)
)


@given(arguments, st.dictionaries(st.sampled_from(["code", "detail", "_x"]), text_values | st.integers()))
def test_any_arguments_and_attributes(args, attributes):
    """R4"""
    error = AppError(*args)
    vars(error).update(attributes)
    back = replayed(error)
    assert (type(back), back.args, vars(back), str(back)) == (AppError, error.args, vars(error), str(error))


# -- adapters


class Remote(Exception):
    def __init__(self, connection, code):
        self.connection, self.code = connection, code


@pytest.fixture
def adapted():
    register_error(Remote, lambda e: {"code": (e.code,)}, lambda data: Remote(None, *data["code"]))
    yield
    adapters.pop(f"{__name__}:Remote")


def test_register_error(adapted):
    """R4: adapters, for what is not plain data; chain and notes are taken care of."""
    error = Remote(object(), 5)
    error.__cause__ = ValueError("why")
    error.add_note("a note")
    back = replayed(error)
    assert (type(back), back.code, back.connection) == (Remote, 5, None)
    assert (str(back.__cause__), back.__notes__) == ("why", ["a note"])


def test_an_adapter_that_fails_does_not_lose_the_error(adapted):
    """R4"""
    error = Remote(object(), object())
    assert isinstance(replayed(error), Remote)
    data = encode_error(Remote(None, 5))
    data["data"] = 3
    assert isinstance(error_or_stand_in(data), Exception)


# -- for display, and as values


def test_what_is_there_for_display():
    """D2: names, text, the frames of the user's code with their lines, causes."""
    data = encode_error(caught(with_cause))
    assert (data["module"], data["type"], data["message"]) == ("builtins", "KeyError", "'missing'")
    assert data["cause"]["type"] == "OSError"
    assert data["traceback"][-1].endswith('in with_cause\n    raise KeyError("missing") from error')
    assert 'test_errors.py", line ' in data["traceback"][-1]


def recursive(n):
    return recursive(n - 1) if n else 1 / 0


def test_a_recursion_is_told_once():
    """D2: the last frame has the same line here."""
    frames = encode_error(caught(lambda: recursive(200)))["traceback"]
    assert frames[-2].endswith("1 / 0")
    assert frames[-1] == "    … repeated 200 times"
    assert len(frames) < 10


def test_a_long_traceback_is_cut_in_the_middle():
    deep: dict[str, typing.Any] = {"f0": lambda: 1 / 0}
    for n in range(1, 60):
        exec(f"def f{n}(): return f{n - 1}()", deep)
    frames = encode_error(caught(deep["f59"]))["traceback"]
    assert len(frames) < 25
    assert any("more frames" in frame for frame in frames)
    assert frames[-1].endswith("1 / 0}")


def test_errors_are_values_too():
    """S3: as `asyncio.gather(return_exceptions=True)` returns them."""
    encoded = encode([1, Declined("funds", [1])], MemoryBlobs())
    back = decode(encoded.form, json.loads(encoded.text), MemoryBlobs())
    all_equal(Declined("funds", [1]), back[1])
