"""What a hostile or damaged row can do when its value is read: neither read memory nor call code of the user's."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import enum
import io
import json
import pathlib
import subprocess
import sys
import textwrap
import threading
import urllib.error
import uuid
import weakref
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from fractions import Fraction
from ipaddress import ip_network
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, NamedTuple
from zoneinfo import ZoneInfo

import attrs
import dateutil.tz
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pydantic
import pytest
import pytz
from pydantic import BaseModel, Field, PrivateAttr

from tests.support.codec import MemoryBlobs, round_trip as there_and_back
from trigger_nb._values import encode_error, raised_error
from trigger_nb._values.codec import decode, encode
from trigger_nb._values.names import class_name
from trigger_nb.errors import NotStorableError, StoreError, ValueNotLoadedError

ROOT = Path(__file__).parents[2]
called: list[Any] = []


@pytest.fixture(autouse=True)
def nothing_called():
    called.clear()
    yield
    assert called == []


def read(data: Any) -> Any:
    return decode("tagged", data, MemoryBlobs())


def refused(data: Any, match: str = ".") -> None:
    with pytest.raises(ValueNotLoadedError, match=match):
        read(data)


def of(cls: type, tag: str = "dataclass", **fields: Any) -> dict[str, Any]:
    return {"$": tag, "of": f"{__name__}:{cls.__name__}", "v": fields}


def spy(name: str) -> Any:
    """A method that must not be called."""
    return lambda self, *args: called.append((name, args))


# Memory ------------------------------------------------------------------------------------------


def npy(array: Any) -> dict[str, Any]:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, allow_pickle=False)
    return {"$": "numpy.array", "b64": base64.b64encode(file.getvalue()).decode()}


LEVEL = {
    "$": "pandas.Index",
    "names": [None],
    "kind": "flat",
    "v": {"kind": "numpy", "v": {"$": "numpy.objects", "shape": [2], "v": ["a", "b"]}},
}


@pytest.mark.parametrize("codes", [[0, 2], [0, -2], [0, 10**9], [0.0, 1.0], [[0], [1]], [0]])
def test_the_codes_of_a_multiindex_point_into_its_levels(codes):
    index = {
        "$": "pandas.Index",
        "names": [None, None],
        "kind": "multi",
        "v": [LEVEL, LEVEL],
        "sortorder": None,
    }
    good = npy(np.array([0, 1]))
    assert list(read({**index, "codes": [good, npy(np.array([1, -1]))]}))[0] == ("a", "b")
    refused({**index, "codes": [good, npy(np.array(codes))]})


def stream(table: Any) -> bytearray:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytearray(sink.getvalue().to_pybytes())


@pytest.mark.parametrize(
    "tag", ["pyarrow.Table", "pyarrow.RecordBatch", "pyarrow.Array", "pyarrow.ChunkedArray"]
)
@pytest.mark.parametrize("kind", ["text", "list", "dictionary", "inside a struct"])
def test_offsets_and_indexes_of_an_arrow_table_point_into_it(tag, kind):
    numbers = np.arange(0, 40, 5, dtype="<i4")
    if kind == "dictionary":
        indexes = pa.array(numbers % 3, pa.int32())
        column = pa.DictionaryArray.from_arrays(indexes, ["x", "y", "z"])
        numbers = numbers % 3
    else:
        texts = pa.array(["hello"] * 7)
        column = texts if kind != "list" else pa.ListArray.from_arrays(numbers, pa.array([1] * 35))
        column = pa.StructArray.from_arrays([texts], ["s"]) if kind == "inside a struct" else column
    data = stream(pa.table({"": column}))
    at = data.find(numbers.tobytes())
    data[at + 4 : at + 8] = (0x7FF00000).to_bytes(4, "little")
    refused({"$": tag, "b64": base64.b64encode(data).decode()}, "ArrowInvalid")


def test_a_polars_table_that_polars_gives_up_on_is_told(monkeypatch):
    def panic(*args, **options):
        raise pl.exceptions.PanicException("called `Option::unwrap()` on a `None` value")

    monkeypatch.setattr(pl, "read_ipc_stream", panic)
    refused({"$": "polars.DataFrame", "b64": ""}, "unwrap")


@pytest.mark.parametrize("change", [b"\xff\xff\xff\xff\xff\xff\x00\x00", b"\xff" * 8])
def test_a_table_that_asks_for_more_memory_than_there_is_does_not_end_the_kernel(change):
    """polars ends the process when it cannot allocate."""
    data = bytearray(_polars({"a": ["x" * 20, "y" * 20] * 2}))
    (size,) = {len(data[at:]) for at in [data.rfind(b"\x40\x00\x00\x00\x00\x00\x00\x00")] if at > 0} or {0}
    assert size, "the length of a buffer, which is 64 bytes long"
    code = """
        import sys, base64
        from trigger_nb._values import decode
        from trigger_nb.errors import ValueNotLoadedError
        try:
            decode("tagged", {"$": "polars.DataFrame", "b64": sys.stdin.read()}, None)
        except ValueNotLoadedError as error:
            print("told:", error)
    """
    at = len(data) - size
    data[at : at + 8] = change
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        input=base64.b64encode(data).decode(),
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.stdout.startswith("told:"), done.stderr[-500:]


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_a_table_is_not_decompressed(compression):
    """Ours never are compressed, and a few bytes can become gigabytes."""
    file = io.BytesIO()
    pl.DataFrame({"a": [0] * 100_000}).write_ipc_stream(file, compression=compression)
    refused({"$": "polars.DataFrame", "b64": base64.b64encode(file.getvalue()).decode()}, "compressed")
    sink = pa.BufferOutputStream()
    table = pa.table({"a": pa.array(["x"] * 1000).dictionary_encode()})
    with pa.ipc.new_stream(
        sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)
    ) as writer:
        writer.write_table(table)
    refused({"$": "pyarrow.Table", "b64": base64.b64encode(sink.getvalue()).decode()}, "compressed")


def test_a_column_of_objects_is_not_taken_for_pointers():
    field = pa.field("a", pa.binary(16), metadata={b"ARROW:extension:name": b"POLARS_EXTENSION_TYPE"})
    table = pa.Table.from_arrays([pa.array([b"x" * 16], pa.binary(16))], schema=pa.schema([field]))
    refused({"$": "polars.DataFrame", "b64": base64.b64encode(stream(table)).decode()}, "objects")
    with pytest.raises(NotStorableError):
        there_and_back(pl.DataFrame({"a": pl.Series([object()], dtype=pl.Object)}))
    assert there_and_back(pl.DataFrame({"a": ["POLARS_EXTENSION_TYPE"]})).item() == "POLARS_EXTENSION_TYPE"


def test_a_stream_that_ends_anywhere_is_told():
    whole = _polars({"a": ["x", None, "yy"], "b": [[1], [], None]})
    for end in range(len(whole)):
        with contextlib.suppress(ValueNotLoadedError):
            read({"$": "polars.DataFrame", "b64": base64.b64encode(whole[:end]).decode()})


def error(cls: type[BaseException], **parts: Any) -> BaseException:
    bases = [f"builtins:{base.__name__}" for base in cls.__mro__[1:-1]]
    return raised_error(
        {"module": "builtins", "type": cls.__name__, "bases": bases, "message": "m", "args": [], **parts}
    )


EMPTY = {"$": "bytes", "b64": ""}
UNICODE = {"encoding": "utf-8", "object": EMPTY, "start": 0, "end": 0, "reason": "r"}


@pytest.mark.parametrize(
    ("cls", "state"),
    [
        (UnicodeDecodeError, {"start": -(10**12), "end": -(10**12) + 1}),
        (UnicodeDecodeError, {"start": 10**12, "end": 10**12 + 1}),
        (UnicodeDecodeError, {"object": "text"}),
        (UnicodeEncodeError, {}),
        (UnicodeTranslateError, {"object": 5}),
        (UnicodeDecodeError, {"encoding": 5}),
        (SyntaxError, {"offset": 10**12, "text": "x"}),
        (SyntaxError, {"text": ["x"]}),
        (BlockingIOError, {"characters_written": -1}),
        (NameError, {"name": ["x"]}),
    ],
)
def test_the_parts_of_a_built_in_error_fit_each_other(cls, state):
    whole = {**UNICODE, **state} if issubclass(cls, UnicodeError) else state
    with pytest.raises(ValueNotLoadedError, match="damaged"):
        error(cls, state=whole)
    # Nor do they come by another way.
    assert str(error(cls, attrs=whole, state={})) is not None


def test_built_in_errors_come_back_with_their_parts():
    assert str(
        error(UnicodeDecodeError, state={**UNICODE, "object": {"$": "bytes", "b64": "/w=="}, "end": 1})
    ) == ("'utf-8' codec can't decode byte 0xff in position 0: r")
    assert error(SyntaxError, state={"offset": 3, "text": "x = ", "lineno": 1}).offset == 3


def test_an_error_has_no_notes_or_origins_but_those_that_are_written_as_such():
    made = error(ValueError, attrs={"__notes__": 5, "__trigger_nb_origins__": [["a", "b", "c"]]}, notes=[1])
    assert made.__notes__ == ["1"]
    assert not hasattr(made, "__trigger_nb_origins__")


# Time, files and imports -----------------------------------------------------------------------------


def test_a_fraction_is_two_numbers():
    assert read({"$": "text", "of": "fractions:Fraction", "v": "-1/3"}) == Fraction(-1, 3)
    for text in ("1e99999999", "1_0", " 1", "1.5", "0x10", "nan", "1/0", ""):
        refused({"$": "text", "of": "fractions:Fraction", "v": text})


@pytest.mark.parametrize("offset", [86_400, -86_400, 2**70, 1.5, "3600", None])
def test_a_zone_is_an_offset_within_a_day(offset):
    refused({"$": "pydantic.zone", "v": offset})


@pytest.mark.parametrize(
    "name", ["/etc/hostname", "../x", "Europe/../../etc/passwd", "a.b", "", "Europe/", 5, None]
)
@pytest.mark.parametrize("tag", ["zone", "pytz.zone", "dateutil.zone"])
def test_a_zone_is_no_path(tag, name):
    refused({"$": tag, "of": "gettz", "v": [name] if tag == "dateutil.zone" else name})


def test_pandas_takes_no_text_for_a_zone():
    for text in ("dateutil//etc/passwd", "Europe/Berlin"):
        refused({"$": "pandas.Timestamp", "v": 0, "unit": "ns", "tz": text}, "no time zone")
        instants = npy(np.array([0], dtype="M8[ns]"))
        refused({**LEVEL, "v": {"kind": "zoned", "v": instants, "tz": text}}, "no time zone")


def test_a_numpy_scalar_imports_nothing():
    code = textwrap.dedent(
        """
        import sys, numpy
        from trigger_nb._values import decode
        from trigger_nb.errors import ValueNotLoadedError
        before = set(sys.modules)
        for name in ("f2py", "testing", "array", "__name__"):
            data = {"$": "numpy.scalar", "of": name, "dtype": "<i4", "v": "00000000"}
            print(name, decode("tagged", data, None))
        print(sorted(each for each in set(sys.modules) - before if each.startswith("numpy.f2py")))
        """
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "[]"
    for dtype in ("O", "i4,O", "(9,)i4", {"names": ["a"], "formats": ["i4"]}, "V8"):
        refused({"$": "numpy.scalar", "of": "int32", "dtype": dtype, "v": "00000000"})


def test_no_zone_is_imported_from_the_working_directory(tmp_path):
    """Where the system has no zones, they are modules."""
    (tmp_path / "tzdata" / "zoneinfo").mkdir(parents=True)
    for folder in ("tzdata", "tzdata/zoneinfo"):
        (tmp_path / folder / "__init__.py").write_text("open('imported', 'w')")
    code = """
        import sys
        sys.path.insert(0, "")
        from trigger_nb._values import decode
        try:
            decode("tagged", {"$": "zone", "v": "Nowhere"}, None)
        except Exception as error:
            print("told:", error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=_environment(),
    )
    assert done.stdout.startswith("told:"), done.stderr
    assert not (tmp_path / "imported").exists()


@pytest.mark.parametrize("library", ["numpy", "polars", "pytz", "dateutil.tz"])
def test_a_library_in_the_working_directory_is_not_imported_by_a_row(tmp_path, library):
    """A cloned repository has a store, and a `numpy.py` or a `polars/` beside the notebook."""
    top = library.partition(".")[0]
    bad = f"open({str(tmp_path / 'imported')!r}, 'w')"
    if top == "polars":
        (tmp_path / top).mkdir()
        (tmp_path / top / "__init__.py").write_text(bad)
    else:
        (tmp_path / f"{top}.py").write_text(bad)
    data = {
        "numpy": {"$": "numpy.scalar", "of": "int32", "dtype": "<i4", "v": "07000000"},
        "polars": {"$": "polars.DataFrame", "b64": base64.b64encode(_polars({"a": [7]})).decode()},
        "pytz": {"$": "pytz.zone", "v": "Europe/Berlin"},
        "dateutil.tz": {"$": "dateutil.zone", "of": "tzutc", "v": []},
    }[library]
    code = textwrap.dedent(
        f"""
        import sys, os
        sys.path.insert(0, "")
        from trigger_nb._values import decode
        print("read", type(decode("tagged", {data!r}, None)).__module__)
        import importlib
        if not os.path.exists("imported"):
            del sys.modules[{top!r}]
            try: import {top}
            except Exception: pass
        print("by hand", os.path.exists("imported"))
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=_environment()
    )
    assert done.stdout.splitlines()[0].startswith(f"read {top}"), done.stderr
    assert not (tmp_path / "imported").exists() or "by hand True" in done.stdout


def _environment():
    import os

    return {**os.environ, "PYTHONPATH": str(ROOT)}


def _polars(columns):
    file = io.BytesIO()
    pl.DataFrame(columns).write_ipc_stream(file)
    return file.getvalue()


# Code of the user's ------------------------------------------------------------------------------


@dataclasses.dataclass
class Everything:
    """Whatever is done with an instance is noticed, but that it is made and let go."""

    a: int = 1
    __index__ = __int__ = __float__ = __str__ = __fspath__ = __iter__ = __len__ = spy("an operator")
    __array__ = __bytes__ = __getitem__ = keys = items = replace = total_seconds = spy("a method")
    __lt__ = __le__ = __gt__ = __ge__ = __contains__ = __bool__ = spy("a comparison")
    numerator = denominator = dtype = shape = property(spy("a property"))


HERE = of(Everything)
OBJECTS = {"$": "numpy.objects", "shape": [1], "v": [HERE]}


@pytest.mark.parametrize(
    "data",
    [
        {"$": "range", "v": [HERE, 2, 1]},
        {"$": "text", "of": "pathlib:PosixPath", "v": HERE},
        {"$": "text", "of": "fractions:Fraction", "v": HERE},
        {"$": "text", "of": "decimal:Decimal", "v": HERE},
        {"$": "text", "of": "uuid:UUID", "v": HERE},
        {"$": "text", "of": "ipaddress:IPv4Address", "v": HERE},
        {"$": "dateutil.zone", "of": "tzoffset", "v": ["x", HERE]},
        {"$": "pydantic.zone", "v": HERE},
        {"$": "pydantic.ByteSize", "v": HERE},
        {"$": "datetime", "v": "2030-01-01T00:00:00", "fold": 0, "tz": HERE},
        {"$": "timezone", "v": HERE, "name": None},
        {"$": "row", "of": "Row", "names": [HERE], "v": [1]},
        {"$": "pandas.Timestamp", "v": 0, "unit": "ns", "tz": HERE},
        {"$": "pandas.Interval", "left": HERE, "right": HERE, "closed": "left"},
        {**LEVEL, "v": {"kind": "numpy", "v": HERE}},
        {**LEVEL, "v": {"kind": "category", "v": HERE, "of": LEVEL, "ordered": False}},
        {**LEVEL, "v": {"kind": "period", "v": HERE, "freq": "D"}},
        {**LEVEL, "v": {"kind": "zoned", "v": HERE, "tz": {"$": "zone", "v": "UTC"}}},
        {**LEVEL, "v": {"kind": "masked", "v": HERE, "mask": HERE}},
        {**LEVEL, "v": {"kind": "arrow", "v": HERE}},
        {"$": "pandas.Series", "index": LEVEL, "name": None, "v": {"kind": "numpy", "v": HERE}},
        {"$": "pandas.Series", "index": LEVEL, "name": None, "v": LEVEL["v"], "attrs": HERE},
    ],
    ids=lambda data: str(data)[:60],
)
def test_no_method_of_an_object_is_called_where_another_type_belongs(data):
    refused(data)


class Perm(enum.Flag):
    R = 1
    W = 2

    @classmethod
    def _missing_(cls, value: object) -> Any:
        called.append(("_missing_", value))
        return cls.R


def test_a_flag_is_made_without_missing():
    both = {"$": "flag", "of": f"{__name__}:Perm", "v": 3}
    assert (read(both).value, read(both) is read(both)) == (3, True)
    refused({**both, "v": 999})
    refused({**both, "v": HERE})


class Descriptor:
    def __get__(self, instance, owner):
        called.append(("__get__", instance))

    def __set__(self, instance, value):
        called.append(("__set__", value))


class Nosy(type):
    def __getattr__(cls, name):
        called.append(("__getattr__ of the metaclass", name))


@dataclasses.dataclass
class Settable:
    """A property of the name of a field keeps its value in an attribute."""

    name: str = "x"
    other = Descriptor()

    @property
    def command(self):
        return None

    @command.setter
    def command(self, text):
        called.append(("setter", text))


@attrs.define(slots=False)
class Attrs:
    name: str = "x"
    other = Descriptor()


@pytest.mark.parametrize(("cls", "tag"), [(Settable, "dataclass"), (Attrs, "attrs")])
def test_no_descriptor_is_called(cls, tag):
    back = read(
        {**of(cls, tag, name="a"), "more": {"command": "rm", "other": 1, "__class__": "int", "new": 2}}
    )
    assert (type(back), back.name, back.new) == (cls, "a", 2)


@dataclasses.dataclass
class Stated:
    n: int

    def _get(self) -> int:
        return self.__dict__["_n"]

    def _set(self, value: int) -> None:
        called.append(("setter", value))
        self.__dict__["_n"] = value


Stated.n = property(Stated._get, Stated._set)  # type: ignore[assignment]


def test_a_field_that_is_a_property_has_its_value_from_where_that_keeps_it():
    value = Stated(7)
    called.clear()
    assert there_and_back(value).n == 7


class Elsewhere:
    """Keeps values by instance, not in it."""

    def __init__(self):
        self.values = weakref.WeakKeyDictionary()

    def __get__(self, instance, owner):
        return 0 if instance is None else self.values[instance]

    def __set__(self, instance, value):
        self.values[instance] = value


@dataclasses.dataclass(eq=False)
class Outside:
    n: Elsewhere = Elsewhere()  # noqa: RUF009  # how a dataclass has a descriptor as a field


def test_a_field_that_is_kept_outside_of_its_instance_is_refused():
    """It would come back as another value."""
    with pytest.raises(NotStorableError, match="field n is kept outside"):
        there_and_back(Outside(7))
    refused(of(Outside, n=7), "field n is set by code of the class")


def effect():
    called.append("factory")


@dataclasses.dataclass
class Connection:
    conn: Any = dataclasses.field(default_factory=lambda: called.append("factory"))


@attrs.define
class Lines:
    n: int = 1
    conn: Any = attrs.field(factory=effect)


@attrs.define
class OfItself:
    n: int = 1
    conn: Any = attrs.Factory(lambda self: called.append(self.n), takes_self=True)


class Config(BaseModel):
    n: int = 1
    conn: Any = Field(default_factory=effect)


class OfData(BaseModel):
    n: int = 1
    conn: Any = Field(default_factory=lambda data: called.append(data))


class Private(BaseModel):
    n: int = 1
    _conn: Any = PrivateAttr(default_factory=effect)


MODEL = {"shape": "0", "set": []}


@pytest.mark.parametrize(
    "data",
    [
        of(Connection),
        of(Lines, "attrs", n=1),
        of(OfItself, "attrs", n=1),
        {**of(Config, "model", n=1), **MODEL},
        {**of(OfData, "model", n=1), **MODEL},
        {**of(Private, "model", n=1), **MODEL},
    ],
    ids=lambda data: data["of"],
)
def test_no_factory_of_the_user_is_called_for_a_field_that_a_row_lacks(data):
    refused(data, r"new field _?conn has a default that .* makes.*plain default")


@dataclasses.dataclass
class Options:
    words: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Computed:
    n: int = 1

    def __post_init__(self):
        called.append("__post_init__")


class Llm(BaseModel):
    name: str = "small"


class Checked(BaseModel):
    name: str = "small"

    def model_post_init(self, context: Any) -> None:
        called.append("model_post_init")


@dataclasses.dataclass
class Grown:
    words: list[str] = dataclasses.field(default_factory=list)
    more: list[str] = dataclasses.field(default_factory=lambda: ["new"])
    id: uuid.UUID = dataclasses.field(default_factory=uuid.uuid4)
    at: datetime = dataclasses.field(default_factory=datetime.now)
    lock: Any = dataclasses.field(default_factory=threading.Lock)
    options: Options = dataclasses.field(default_factory=Options)
    llm: Llm = dataclasses.field(default_factory=Llm)


def test_a_new_field_has_its_default_when_no_code_of_the_user_makes_it():
    """Python's own functions, functions that refer to nothing, and plain classes of the user's."""
    made = read(of(Grown))
    assert (made.words, made.more, made.options, made.llm) == ([], ["new"], Options(), Llm())
    assert (type(made.id), type(made.at)) == (uuid.UUID, datetime)


@pytest.mark.parametrize("cls", [Computed, Checked])
def test_a_class_that_computes_is_no_plain_default(cls, monkeypatch):
    @dataclasses.dataclass
    class Other:
        conn: Any = dataclasses.field(default_factory=cls)

    data = of(Connection)
    monkeypatch.setattr(sys.modules[__name__], "Connection", Other)
    refused(data, "new field conn")


class Inner(BaseModel):
    n: int = 1

    @pydantic.field_validator("n", mode="before")
    @classmethod
    def check(cls, value: Any) -> Any:
        called.append(("validator", value))
        return value

    def model_post_init(self, context: Any) -> None:
        called.append("model_post_init")


@dataclasses.dataclass
class InnerData:
    n: int = 1

    def __post_init__(self):
        called.append("__post_init__")


class Mood(enum.Enum):
    GOOD = "good"

    @classmethod
    def _missing_(cls, value: object) -> Any:
        called.append(("_missing_", value))


class Checker:
    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        function = pydantic.AfterValidator(lambda value: called.append(("metadata", value)) or value)
        return function.__get_pydantic_core_schema__(source, handler)


class Outer(BaseModel):
    hook: pydantic.ImportString[Any] = "x"
    hooks: list[pydantic.ImportString] = []
    inner: Inner | None = None
    many: dict[str, list[Inner]] = {}
    data: InnerData | None = None
    mood: Mood = Mood.GOOD
    text: Annotated[str, Checker()] = ""
    number: Annotated[int, Field(gt=0)] = 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("hook", "antigravity:x"),
        ("hooks", ["antigravity:x"]),
        ("inner", {"n": 5}),
        ("many", {"x": [{"n": 5}]}),
        ("data", {"n": 5}),
        ("mood", "bad"),
        ("text", "x"),
        ("number", 0),
    ],
)
def test_a_row_that_makes_a_field_count_as_changed_has_no_validator_called(field, value):
    """The text of a field's type is in the row."""
    data = {**of(Outer, "model", **{field: value}), "shape": "=ABCD", "set": []}
    before = set(sys.modules)
    if field in ("hook", "text"):  # of no class: any value, any text
        assert getattr(read(data), field) == value
    else:
        refused(data, f"field {field} has changed and no longer accepts")
    assert "antigravity" not in set(sys.modules) - before


def test_a_field_that_became_an_enum_takes_the_value_of_a_member():
    data = {**of(Outer, "model", mood="good"), "shape": "=ABCD", "set": []}
    assert read(data).mood is Mood.GOOD


@pytest.mark.parametrize("part", ["extra", "set"])
def test_the_parts_of_a_model_are_plain(part):
    refused({**of(Llm, "model", name="x"), "shape": "0", "set": [], part: HERE})


class Proxy:
    @property
    def __class__(self):  # type: ignore[override]
        called.append("__class__")
        return type

    def __getattr__(self, name):
        called.append(("__getattr__", name))


proxy = Proxy()


@pytest.mark.parametrize("name", ["proxy", "proxy.x", "proxy.__class__"])
def test_a_class_is_not_looked_for_in_objects(name):
    refused({"$": "dataclass", "of": f"{__name__}:{name}", "v": {}}, "not loaded")


class Meta(Exception, metaclass=Nosy):
    other = Descriptor()

    def __setattr__(self, name, value):
        called.append(("__setattr__", name))


def test_an_error_is_made_without_its_descriptors_and_its_metaclass():
    made = raised_error(
        {
            "module": __name__,
            "type": "Meta",
            "bases": ["builtins:Exception"],
            "message": "m",
            "args": [1],
            "attrs": {"other": 1, "nowhere": 2},
        }
    )
    assert (type(made), made.__dict__["nowhere"]) == (Meta, 2)


def test_the_data_of_built_in_adapters_is_plain():
    for adapter, data in {
        class_name(urllib.error.HTTPError): {
            "url": "u",
            "code": 1,
            "msg": "m",
            "headers": HERE,
            "body": HERE,
        },
        "pydantic_core._pydantic_core:ValidationError": {"title": "t", "details": HERE},
    }.items():
        module, _, name = adapter.partition(":")
        record = {
            "module": module,
            "type": name,
            "bases": [],
            "message": "m",
            "adapter": adapter,
            "data": data,
        }
        with pytest.raises(ValueNotLoadedError):
            raised_error(record)


def test_types_of_the_standard_library_still_come_back():
    for value in (
        range(3),
        Fraction(1, 3),
        pathlib.PurePosixPath("a/b"),
        uuid.uuid4(),
        Perm.R,
        Perm.R | Perm.W,
    ):
        assert there_and_back(value) == value
    assert isinstance(read({"$": "zone", "v": "America/Argentina/Buenos_Aires"}), tzinfo)
    assert isinstance(read({"$": "zone", "v": "Etc/GMT+1"}), tzinfo)
    frame = pd.DataFrame({"a": [1, 2]}, index=pd.MultiIndex.from_tuples([("a", 1), ("b", float("nan"))]))
    pd.testing.assert_frame_equal(there_and_back(frame), frame)


# Everywhere ---------------------------------------------------------------------------------------


class Pair(NamedTuple):
    a: int
    b: str = "x"


class Open(BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    a: int = 1
    b: list[str] = []
    _p: int = PrivateAttr(default=3)


def samples() -> list[Any]:
    berlin = ZoneInfo("Europe/Berlin")
    frame = pd.DataFrame(
        {
            "numbers": [1, 2],
            "texts": ["x", "y"],
            "categories": pd.Categorical(["u", "v"]),
            "times": pd.to_datetime(["2030-01-01", "2030-01-02"]).tz_localize(berlin),
            "masked": pd.array([1, None], dtype="Int64"),
            "periods": pd.period_range("2030", "2031", freq="Y"),
            "objects": [[1], {"a": 2}],
            "intervals": pd.interval_range(0, 2),
        },
        index=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["k", "l"]),
    )
    frame.attrs = {"from": "here"}
    return [
        [
            range(3),
            10**700,
            1.5j,
            b"x",
            bytearray(b"x"),
            slice(1, 2),
            (1, 2),
            {1, 2},
            frozenset({"a"}),
            {1: "a"},
        ],
        [deque([1], 3), OrderedDict(a=1), Counter("aab"), defaultdict(list, {1: 2}), SimpleNamespace(a=1)],
        [
            datetime(2030, 1, 1, tzinfo=berlin),
            date(2030, 1, 1),
            time(1),
            timedelta(1),
            timezone(timedelta(hours=1), "x"),
        ],
        [pytz.timezone("Europe/Berlin"), dateutil.tz.gettz("Europe/Berlin"), dateutil.tz.tzoffset("x", 3600)],
        [
            Decimal("1.5"),
            Fraction(1, 3),
            uuid.UUID(int=5),
            pathlib.PurePosixPath("a"),
            ip_network("1.2.3.0/24"),
        ],
        [
            Perm.R | Perm.W,
            Mood.GOOD,
            Pair(1),
            Options(["a"]),
            Open(a=2, more=3),
            Attrs("x"),
            pydantic.SecretStr("x"),
        ],
        [np.arange(4).reshape(2, 2), np.array([1, "x"], dtype=object), np.float32(1), np.dtype("i4")],
        [
            frame,
            frame["texts"],
            frame.index,
            pd.date_range("2030", periods=3),
            next(frame[["numbers"]].itertuples()),
        ],
        [pd.Timestamp("2030-01-01", tz="UTC"), pd.Timedelta(1), pd.Period("2030", "M"), pd.Interval(0, 1)],
        [
            pl.DataFrame({"a": [1]}),
            pa.table({"a": ["x"]}),
            pa.array([1]),
            pydantic.AnyUrl("http://a.b/c"),
            KeyError(1, "x"),
        ],
    ]


def places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all parts of JSON data, but tags."""
    yield path
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for step, item in items:
        if step != "$":
            yield from places(item, (*path, step))


def with_part(data: Any, path: tuple[Any, ...], part: Any) -> Any:
    if not path:
        return part
    step, *below = path
    copied = data.copy()
    copied[step] = with_part(copied[step], tuple(below), part)
    return copied


@pytest.mark.parametrize(
    "value", [part for each in samples() for part in each], ids=lambda value: type(value).__name__
)
def test_an_object_in_any_place_of_a_value_is_not_called(value):
    """Whatever part of the row is replaced: the value is refused, or has the object where any may be."""
    data = json.loads(encode(value, MemoryBlobs()).text)
    for path in places(data):
        for part in (
            HERE,
            [HERE],
            {"a": HERE},
            {"$": "tuple", "v": [HERE]},
            OBJECTS,
            10**30,
            -1,
            "../x",
            None,
            [],
        ):
            with contextlib.suppress(ValueNotLoadedError, StoreError):
                read(with_part(data, path, part))
        assert called == [], path


@pytest.mark.parametrize(
    "name", ["HTTPStatusError", "ValidationError", "requests.HTTPError", "OSError", "group", "SyntaxError"]
)
def test_an_object_in_any_place_of_an_error_is_not_called(name):
    from tests.values.test_errors import ERRORS

    matching = next((each for key, each in ERRORS.items() if name.lower() in key.lower()), None)
    if matching is None:
        pytest.skip(f"there is no {name} among the errors")
    data = json.loads(json.dumps(encode_error(matching[0])))
    for path in places(data):
        for part in (HERE, [HERE], {"$": "tuple", "v": [HERE]}, 10**30, -1, None, []):
            with contextlib.suppress(ValueNotLoadedError, StoreError):
                raised_error(with_part(data, path, part) if path else {})
        assert called == [], path
