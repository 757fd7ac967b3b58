"""Values of classes that other libraries make come back equal, in value and in type (S3)."""

from __future__ import annotations

import io
import json
import sys
import typing
import urllib.error
from datetime import UTC, datetime, time, timedelta
from types import SimpleNamespace
from typing import Any, Literal

import attrs
import dateutil.tz
import msgspec
import numpy as np
import pandas as pd
import pytest
from pydantic import BaseModel, ByteSize

from tests.support.codec import MemoryBlobs, round_trip, same
from tests.support.worlds import World
from trigger_nb import Retry
from trigger_nb._clock import to_seconds
from trigger_nb._values import canonical, encode_error, raised_error
from trigger_nb._values.codec import decode, encode
from trigger_nb.errors import NotStorableError, ValueNotLoadedError, ValueNotStoredError

T = typing.TypeVar("T")
calls: list[str] = []


@attrs.define
class Order:
    id: int
    lines: list[str] = attrs.field(factory=list)
    total: int = attrs.field(default=attrs.Factory(lambda self: self.id * 2, takes_self=True))
    _secret: str = "s"


@attrs.frozen(slots=False)
class Frozen:
    id: int = attrs.field(validator=lambda *_: calls.append("validated"), converter=int)


class Item(BaseModel):
    id: int


class Page(BaseModel, typing.Generic[T]):
    items: T


# Instances of attrs ------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [Order(1), Order(1, ["a"], 7, "x"), Frozen("3"), [Order(2)]])
def test_instances_of_attrs_come_back(value):
    back = round_trip(value)
    assert back == value
    assert type(back) is type(value)


def test_reading_an_instance_of_attrs_runs_no_validator():
    value = Frozen(1)
    calls.clear()
    assert round_trip(value) == value
    assert calls == []


def test_keys_of_instances_of_attrs():
    assert canonical(Order(1)) == canonical(Order(1, [], 2))
    texts = [
        canonical(each)
        for each in (Order(1), Order(2), Order(1, ["a"]), Order(1, [], 3), Frozen(1), {"id": 1})
    ]
    assert len(set(texts)) == len(texts)


def test_a_changed_class_of_attrs_keeps_its_fields(monkeypatch):
    encoded = encode(Order(1, ["a"]), MemoryBlobs())

    @attrs.define
    class New:
        id: int
        lines: list[str]
        colour: str = "red"

    monkeypatch.setattr(sys.modules[__name__], "Order", New)
    assert decode(encoded.form, json.loads(encoded.text), MemoryBlobs()) == New(1, ["a"], "red")

    @attrs.define
    class Newer:
        weight: int

    monkeypatch.setattr(sys.modules[__name__], "Order", Newer)
    with pytest.raises(ValueNotLoadedError, match="new field weight"):
        decode(encoded.form, json.loads(encoded.text), MemoryBlobs())


def test_structs_of_msgspec_come_back():
    class Struct(msgspec.Struct, frozen=True):
        id: int
        tags: list[str] = []

    sys.modules[__name__].Struct = Struct
    Struct.__qualname__ = "Struct"
    assert round_trip(Struct(1, ["a"])) == Struct(1, ["a"])
    assert canonical(Struct(1)) == canonical(Struct(1, []))
    assert canonical(Struct(1)) != canonical(Struct(1, ["a"]))


# Namespaces, rows, generic models ----------------------------------------------------------------


def test_namespaces_come_back():
    value = SimpleNamespace(a=1, b=SimpleNamespace(c=[2]))
    assert round_trip(value) == value
    assert canonical(value) != canonical({"a": 1, "b": {"c": [2]}})
    with pytest.raises(NotStorableError, match=r"\$\.a"):
        round_trip(SimpleNamespace(a=object()))


@pytest.mark.parametrize("options", [{}, {"index": False, "name": "Row"}])
def test_rows_of_itertuples_come_back(options):
    frame = pd.DataFrame({"a": [1], "two words": ["x"], "at": [pd.Timestamp("2030-01-01")]})
    (row,) = frame.itertuples(**options)
    back = round_trip(row)
    assert back == row
    assert back._fields == row._fields
    assert back.a == 1
    assert type(back).__name__ == type(row).__name__
    assert canonical(row) == canonical(next(frame.itertuples(**options)))
    assert canonical(row) != canonical(tuple(row))


@pytest.mark.parametrize(
    "parameter",
    [
        list[Item],
        dict[str, list[Item]],
        Item | None,
        typing.Optional[Item],  # noqa: UP045
        tuple[Item, ...],
        Literal["a", 1],
        Any,
        Page[list[Item]],
        int,
    ],
)
def test_a_generic_model_of_any_parameter_comes_back(parameter):
    cls = Page[parameter]
    back = round_trip(cls.model_construct(items=[Item(id=1)]))
    assert type(back) is cls
    assert back.items == [Item(id=1)]


# Times that pydantic reads from text ----------------------------------------------------------------


class Appointment(BaseModel):
    at: datetime
    from_: time = time(9)


@pytest.mark.parametrize("zone", ["Z", "+01:00", "-05:30", "+23:59"])
def test_times_with_a_zone_that_pydantic_read_come_back(zone):
    given = Appointment.model_validate({"at": f"2030-01-31T02:30:00{zone}", "from_": f"08:00:00{zone}"})
    for value in (given, given.at, given.from_):
        assert same(round_trip(value), value)
        assert repr(round_trip(value)) == repr(value)


class Upload(BaseModel):
    limit: ByteSize = ByteSize(1)


def test_sizes_of_pydantic_come_back():
    given = Upload.model_validate({"limit": "3 GB"})
    for value in (given, given.limit, ByteSize(2**80)):
        assert same(round_trip(value), value)
    assert canonical(given) != canonical(Upload(limit=ByteSize(4)))


def test_a_time_that_pydantic_read_counts_as_the_equal_one_of_datetime():
    """I1: a model that is read from JSON is the one that was written."""
    made = Appointment(at=datetime(2030, 1, 31, 2, 30, tzinfo=UTC))
    read = Appointment.model_validate_json(made.model_dump_json())
    assert type(read.at.tzinfo) is not type(made.at.tzinfo)
    assert canonical(read) == canonical(made)
    other = Appointment.model_validate({"at": "2030-01-31T02:30:00+01:00"})
    assert canonical(other) != canonical(made)


# Time zones of dateutil --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "zone",
    [
        dateutil.tz.UTC,
        dateutil.tz.tzlocal(),
        dateutil.tz.tzoffset("X", 3600),
        dateutil.tz.tzoffset(None, -60),
        dateutil.tz.tzstr("EST5EDT"),
        dateutil.tz.gettz("Europe/Berlin"),
    ],
    ids=repr,
)
def test_zones_of_dateutil_come_back(zone):
    if zone is None:
        pytest.skip("no time zones on this machine")
    value = datetime(2030, 7, 1, tzinfo=zone)
    back = round_trip(value)
    assert back == value
    assert back.utcoffset() == value.utcoffset()
    assert type(back.tzinfo) is type(zone)
    assert canonical(value) != canonical(value.astimezone(UTC)) or zone == UTC


def test_a_zone_without_a_name_is_refused():
    with pytest.raises(NotStorableError, match="zoneinfo"):
        round_trip(datetime(2030, 1, 1, tzinfo=dateutil.tz.tzrange("EST", -18000)))


@pytest.mark.parametrize("name", ["/etc/hostname", "../../etc/hostname", "a.b"])
def test_a_row_cannot_have_just_any_file_opened(name):
    with pytest.raises(ValueNotLoadedError, match="no name of a time zone"):
        decode("tagged", {"$": "dateutil.zone", "of": "gettz", "v": [name]}, MemoryBlobs())


class Hostile:
    def __class_getitem__(cls, item):
        calls.append("called")


def test_a_row_cannot_have_just_any_class_called():
    calls.clear()
    name = f"{__name__}:Hostile"
    for data in (
        {"$": "model", "of": [name, "builtins:int"], "v": {}, "set": [], "shape": "="},
        {"$": "model", "of": [f"{__name__}:Page", [name, "builtins:int"]], "v": {}, "set": [], "shape": "="},
        {"$": "attrs", "of": name, "v": {}},
        {"$": "row", "of": "a, b): import os", "names": ["a"], "v": [1]},
    ):
        with pytest.raises(ValueNotLoadedError):
            decode("tagged", data, MemoryBlobs())
    assert calls == []


# Numbers of NumPy as options ---------------------------------------------------------------------


def test_numbers_of_numpy_are_numbers_where_options_want_one(tmp_path):
    world = World(tmp_path)

    @world.job(concurrency_limit=np.int64(2))
    def job(payload, io):
        yield io.wait("pause", seconds=np.float64(0))
        one = yield io.run_task("one", world.body(lambda: 1), retry=np.int64(2), timeout=np.float32(30))
        many = yield io.map(
            "many", [1, 2], abs, concurrency=np.int32(2), max_failures=np.int64(3), batch=np.int8(1)
        )
        return [one, many]

    assert world.run(job) == [1, [1, 2]]
    assert len(job.runs(limit=np.int64(5))) == 1
    assert to_seconds(np.float64(1.5), "x") == 1.5
    assert Retry(limit=np.int64(2), factor=np.float32(2)).limit == 2
    assert to_seconds(timedelta(seconds=1), "x") == 1


# HTTPError of urllib -----------------------------------------------------------------------------


def replayed(error):
    return raised_error(json.loads(json.dumps(encode_error(error))))


@pytest.mark.parametrize("body", [b"", b'{"reason": "full"}'])
def test_an_http_error_of_urllib_replays_with_its_headers_and_body(body):
    headers = urllib.error.HTTPError("", 0, "", None, None).headers or {"Retry-After": "3"}
    error = urllib.error.HTTPError("http://example.org", 503, "Busy", headers, io.BytesIO(body))
    back = replayed(error)
    assert type(back) is urllib.error.HTTPError
    assert (str(back), back.code, back.reason, back.url) == (str(error), 503, "Busy", "http://example.org")
    assert back.headers["Retry-After"] == "3"
    assert error.read() == back.read() == body, "and the first handler can read it, too"
    error.close(), back.close()


def test_a_body_that_was_not_stored_says_so_when_it_is_read():
    error = urllib.error.HTTPError("http://example.org", 500, "Oops", {}, io.BytesIO(b"x" * 100_000))
    back = replayed(error)
    assert back.code == 500
    with pytest.raises(ValueNotStoredError, match="not stored"):
        back.read()
    assert len(error.read()) == 100_000
    error.close(), back.close()
