"""Tables, arrays and bytes in a line, from what their record says: `DataFrame 200 × 4: order int64, name str`.

No file is opened, and no library imported. What the record does not say is left out: dtypes in a large table of an
earlier version, for example.
"""

from __future__ import annotations

import ast
import base64
import math
import struct
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple, TypeAlias, cast

from ..._values.sizes import size

_Data: TypeAlias = dict[str, Any]  # a value with the tag of its type, as the codec wrote it
_COLUMNS = 12  # of a table that are named
_HEADER = 256  # characters of an array's text that are decoded, which hold its header


def described(tag: str, data: _Data) -> str:
    """The description of a stored value, or its text if it is a number or a time; "" for another type of value.

    Raises one of `UNREADABLE` for data that this package does not write.
    """
    describe = _DESCRIBERS.get(tag)
    return describe(data) if describe is not None else str(data.get("about", ""))


UNREADABLE = (
    *(AttributeError, IndexError, KeyError, OverflowError, SyntaxError, TypeError, ValueError),
    struct.error,
)


# Arrays ------------------------------------------------------------------------------------------


class _Array(NamedTuple):
    """What is known of an array: "" and None if the record does not say it."""

    dtype: str = ""
    shape: tuple[int, ...] | None = None


def _array(data: _Data) -> _Array:
    if data["$"] == "numpy.objects":
        return _Array("object", tuple(data["shape"]))
    if "dtype" in data:
        return _Array(data["dtype"], tuple(data["shape"]))
    return _header(base64.b64decode(data["b64"][:_HEADER])) if "b64" in data else _Array()


def _header(npy: bytes) -> _Array:
    """What the beginning of an array in NumPy's format says."""
    long = npy[6] > 1  # the version
    start = 12 if long else 10
    end = start + int.from_bytes(npy[8:start], "little")
    about = ast.literal_eval(npy[start:end].decode("latin-1").strip())
    descr = about["descr"]
    return _Array(_dtype(descr) if isinstance(descr, str) else "structured", tuple(about["shape"]))


_KINDS = {
    "b": "bool",
    "i": "int",
    "u": "uint",
    "f": "float",
    "c": "complex",
    "U": "str",
    "S": "bytes",
    "V": "void",
}
_TIMES = {"M": "datetime64", "m": "timedelta64"}


def _dtype(descr: str) -> str:
    """The name of a dtype: `int64` for `<i8`."""
    kind, width = descr[1], descr[2:]
    if kind in _TIMES:
        return _TIMES[kind] + width[1:]
    if kind in "USV":
        return _KINDS[kind]
    return "bool" if kind == "b" else f"{_KINDS[kind]}{8 * int(width)}"


def _array_line(data: _Data) -> str:
    dtype, shape = _array(data)
    return " ".join(filter(None, ["ndarray", dtype, "" if shape is None else str(shape)]))


def _scalar(data: _Data) -> str:
    raw, dtype = bytes.fromhex(data["v"]), str(data["dtype"])
    kind = dtype[1]
    if kind in "iu":
        return str(int.from_bytes(raw, "big" if dtype[0] == ">" else "little", signed=kind == "i"))
    if kind == "f" and len(raw) in (2, 4, 8):
        return str(struct.unpack(dtype[0] + {2: "e", 4: "f", 8: "d"}[len(raw)], raw)[0])
    return str(any(raw)) if kind == "b" else str(data["of"])


def _bytes(data: _Data) -> str:
    text = data.get("b64", "")
    count = data["size"] if "size" in data else len(text) // 4 * 3 - text[-2:].count("=") if text else None
    return data["$"] if count is None else f"{data['$']}, {size(count)}"


# Tables of pandas --------------------------------------------------------------------------------


def _frame(data: _Data) -> str:
    columns = data["v"]
    names, types = _labels(data["columns"]), [_column(column) for column in columns]
    rows = _length(data["index"])
    if rows is None:
        rows = next((found.shape[0] for found in types if found.shape), None)
    line = f"DataFrame {'?' if rows is None else f'{rows:,}'} × {len(columns):,}"
    pairs = islice(zip(names, types, strict=False), _COLUMNS + 1)
    shown = [" ".join(filter(None, [name, found.dtype])) for name, found in pairs]
    if len(shown) > _COLUMNS:
        shown[_COLUMNS:] = ["…"]
    return f"{line}: {', '.join(shown)}" if shown else line


def _series(data: _Data) -> str:
    found = _column(data["v"])
    rows = _length(data["index"])
    name: object = data["name"]
    about = " ".join(filter(None, [str(name) if isinstance(name, (str, int)) else "", found.dtype]))
    return f"Series {'?' if rows is None else f'{rows:,}'}" + (f": {about}" if about else "")


def _index(data: _Data) -> str:
    rows = _length(data)
    dtype = {"range": "range", "multi": "multi"}.get(data["kind"]) or _column(data["v"]).dtype
    return f"Index {'?' if rows is None else f'{rows:,}'}" + (f": {dtype}" if dtype else "")


def _length(index: _Data) -> int | None:
    """The number of labels of an index."""
    if index["kind"] == "range":
        return len(range(*index["v"]))
    shape = (_array(index["codes"][0]) if index["kind"] == "multi" else _column(index["v"])).shape
    return shape[0] if shape else None


def _labels(index: _Data) -> Iterator[str]:
    if index["kind"] == "range":
        yield from map(str, range(*index["v"]))
        return
    array: _Data = index["v"] if index["kind"] == "flat" else {}
    values: Any = array.get("v", [])
    if array.get("kind") == "numpy":  # of objects; numbers are in the array's bytes
        values = values.get("v", [])
    for label in cast("list[object]", values):
        yield str(label) if isinstance(label, (str, int, float)) else "…"


def _column(column: _Data) -> _Array:
    """The dtype and the length of a column; its kinds are those of `_values/pandas_frames.py`."""
    kind, values = column["kind"], column["v"]
    if kind == "string":
        return _Array("str", (len(values),))
    if kind == "interval":
        return _Array("interval", _column(values[0]["v"]).shape if values[0]["kind"] == "flat" else None)
    if kind == "arrow":
        return _Array("arrow")
    dtype, shape = _array(values)
    if kind == "category":
        dtype = "category"
    elif kind == "period":
        dtype = f"period[{column['freq']}]"
    elif kind == "zoned":
        zone: object = column["tz"].get("v")
        dtype = f"{dtype[:-1]}, {zone}]" if dtype and isinstance(zone, str) else dtype
    elif kind == "masked":
        dtype = (
            dtype.replace("uint", "UInt")
            .replace("int", "Int")
            .replace("float", "Float")
            .replace("bool", "boolean")
        )
    return _Array(dtype, shape)


def _timestamp(data: _Data) -> str:
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[data["unit"]]
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=math.floor(data["v"] * 10**6 / per_second))
    return at.replace(tzinfo=None).isoformat(" ") + (" UTC" if data["tz"] is not None else "")


_DESCRIBERS: dict[str, Callable[[_Data], str]] = {
    "bytes": _bytes,
    "bytearray": _bytes,
    "numpy.array": _array_line,
    "numpy.objects": _array_line,
    "numpy.scalar": _scalar,
    "pandas.DataFrame": _frame,
    "pandas.Index": _index,
    "pandas.Series": _series,
    "pandas.Timestamp": _timestamp,
}
