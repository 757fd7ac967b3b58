"""Codecs for pandas frames, series, indexes and scalars.

Each column is written as NumPy arrays and plain data, depending on its dtype. Arrow would need less code, but loses
common things: mixed object columns, lists and dicts in cells, frequencies, tuples as names. Written data is read
back and compared, so an exotic dtype is refused and never changed.

This module is imported when the first of these values is written or read.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from datetime import tzinfo
from typing import Any

import numpy as np

from .names import kind_of, of_type
from .tagged import TAG, Key, Reader, Writer, add_type

# As `Any`: pandas has few type annotations, and the tables are not known in advance.
pd: Any = importlib.import_module("pandas")
_DENSIFY = "its pandas dtype cannot be restored exactly; convert it with .astype(...)"


class _Pack:
    """Blobs that join the many buffers of one table, so that they become one file."""

    def __init__(self, data: bytes = b"") -> None:
        self._data = memoryview(data)
        self._parts: list[bytes] = []
        self.size = 0

    def put(self, data: bytes) -> str:
        name = f"{self.size}:{len(data)}"
        self._parts.append(data)
        self.size += len(data)
        return name

    def get(self, name: str) -> bytes:
        start, _, size = name.partition(":")
        return bytes(self._data[int(start) : int(start) + int(size)])

    def joined(self) -> bytes:
        return b"".join(self._parts)


def _table(
    write: Callable[[Writer, Any], dict[str, Any]],
    read: Callable[[Reader, dict[str, Any]], Any],
    same: Callable[[Any, Any], bool],
) -> tuple[Callable[[Writer, Any], Any], Callable[[Reader, dict[str, Any]], Any]]:
    """`write` and `read`, extended by one file for all buffers and by a check of the written data."""

    def write_packed(writer: Writer, value: Any) -> Any:
        outer = writer.blobs
        if outer is None:  # inside an error, which has no files
            return _checked(writer, value, write(writer, value), None)
        pack = _Pack()
        writer.blobs = pack
        try:
            data = write(writer, value)
        finally:
            writer.blobs = outer
        joined = pack.joined()
        _checked(writer, value, data, _Pack(joined))
        return {**data, "pack": writer.data(joined)} if joined else data

    def _checked(writer: Writer, value: Any, data: dict[str, Any], pack: _Pack | None) -> dict[str, Any]:
        if writer.canonical:
            return data
        try:
            exact = same(value, read(Reader(pack), data))
        except Exception:
            exact = False
        if not exact:
            writer.refuse(value, _DENSIFY)
        return data

    def read_packed(reader: Reader, data: dict[str, Any]) -> Any:
        inner = Reader(_Pack(reader.data(data["pack"]))) if "pack" in data else reader
        return read(inner, data)

    return write_packed, read_packed


# Arrays, which are the values of a column or an index ----------------------------------------------


_MASKED = {f"{kind}Dtype" for kind in ("Boolean", "Float32", "Float64")} | {
    f"{sign}Int{bits}Dtype" for sign in ("", "U") for bits in (8, 16, 32, 64)
}


def _write_array(writer: Writer, array: Any) -> dict[str, Any]:
    dtype = array.dtype
    kind = type(dtype).__name__
    if isinstance(dtype, np.dtype) or kind == "NumpyEADtype":
        return {"kind": "numpy", "v": writer.write(np.asarray(array))}
    if isinstance(dtype, pd.StringDtype):
        texts = [text if isinstance(text, str) else None for text in array.to_numpy(dtype=object)]
        na = "NA" if dtype.na_value is pd.NA else "nan"
        return {"kind": "string", "storage": dtype.storage, "na": na, "v": writer.items(texts)}
    if isinstance(dtype, pd.CategoricalDtype):
        codes = writer.write(np.asarray(array.codes))
        return {
            "kind": "category",
            "v": codes,
            "of": _write_index(writer, array.categories),
            "ordered": array.ordered,
        }
    if isinstance(dtype, pd.DatetimeTZDtype):
        instants = pd.DatetimeIndex(array).tz_convert("UTC").tz_localize(None)
        return {"kind": "zoned", "v": writer.write(instants.to_numpy()), "tz": writer.at("tz", dtype.tz)}
    if isinstance(dtype, pd.PeriodDtype):
        freq = dtype.name[
            len("period[") : -1
        ]  # not `freq.freqstr`, which names the offset: "ME" instead of "M"
        return {"kind": "period", "v": writer.write(np.asarray(array.asi8)), "freq": freq}
    if isinstance(dtype, pd.IntervalDtype):
        sides = [_write_index(writer, pd.Index(array.left)), _write_index(writer, pd.Index(array.right))]
        return {"kind": "interval", "v": sides, "closed": array.closed}
    if kind in _MASKED:
        values = array.to_numpy(dtype=dtype.numpy_dtype, na_value=dtype.numpy_dtype.type(0))
        return {"kind": "masked", "v": writer.write(values), "mask": writer.write(np.asarray(array.isna()))}
    if kind != "ArrowDtype":
        writer.refuse(array, _DENSIFY)
    return {"kind": "arrow", "v": writer.write(array.__arrow_array__())}


def _read_array(reader: Reader, data: dict[str, Any]) -> Any:
    return _ARRAYS[data["kind"]](reader, data)


def _read_numpy(reader: Reader, data: dict[str, Any], kinds: str = "") -> Any:
    """An array of NumPy, and not another object, whose methods pandas would call; of certain kinds of dtypes."""
    array = of_type(reader.read(data["v"]), np.ndarray)
    if kinds and array.dtype.kind not in kinds:
        raise TypeError(f"an array of {array.dtype} where another belongs")
    return array


def _read_zone(reader: Reader, data: Any) -> Any:
    zone = reader.read(data)
    if not isinstance(zone, tzinfo):
        raise TypeError(f"{zone!r:.100} is no time zone")  # pandas would take text for the name of a file
    return zone


def _read_string(reader: Reader, data: dict[str, Any]) -> Any:
    dtype = pd.StringDtype(data["storage"], na_value=pd.NA if data["na"] == "NA" else np.nan)
    return pd.array([reader.of(each, str, type(None)) for each in data["v"]], dtype=dtype)


def _read_category(reader: Reader, data: dict[str, Any]) -> Any:
    categories = _read_index(reader, data["of"])
    return pd.Categorical.from_codes(
        _read_numpy(reader, data), categories=categories, ordered=data["ordered"]
    )


def _read_zoned(reader: Reader, data: dict[str, Any]) -> Any:
    instants = pd.DatetimeIndex(_read_numpy(reader, data, "M"))
    return instants.tz_localize("UTC").tz_convert(_read_zone(reader, data["tz"])).array


def _read_period(reader: Reader, data: dict[str, Any]) -> Any:
    return pd.PeriodIndex.from_ordinals(_read_numpy(reader, data, "i"), freq=data["freq"]).array


def _read_interval(reader: Reader, data: dict[str, Any]) -> Any:
    left, right = (_read_index(reader, side) for side in data["v"])
    return pd.arrays.IntervalArray.from_arrays(left, right, closed=data["closed"])


def _read_masked(reader: Reader, data: dict[str, Any]) -> Any:
    values, mask = _read_numpy(reader, data, "biuf"), _read_numpy(reader, {"v": data["mask"]}, "b")
    if values.shape != mask.shape:
        raise ValueError("the mask of a column has another length than its values")
    makers: dict[str, Any] = {"b": pd.arrays.BooleanArray, "f": pd.arrays.FloatingArray}
    return makers.get(values.dtype.kind, pd.arrays.IntegerArray)(values, mask)


def _read_arrow(reader: Reader, data: dict[str, Any]) -> Any:
    return pd.arrays.ArrowExtensionArray(reader.read(data["v"]))


_ARRAYS: dict[str, Callable[[Reader, dict[str, Any]], Any]] = {
    "numpy": _read_numpy,
    "string": _read_string,
    "category": _read_category,
    "zoned": _read_zoned,
    "period": _read_period,
    "interval": _read_interval,
    "masked": _read_masked,
    "arrow": _read_arrow,
}


# Indexes -----------------------------------------------------------------------------------------


def _write_index(writer: Writer, index: Any) -> dict[str, Any]:
    data: dict[str, Any] = {TAG: "pandas.Index", "names": writer.items(index.names)}
    if isinstance(index, pd.RangeIndex):
        return {**data, "kind": "range", "v": [index.start, index.stop, index.step]}
    if isinstance(index, pd.MultiIndex):
        levels = [_write_index(writer, level) for level in index.levels]
        codes = [writer.write(np.asarray(level_codes)) for level_codes in index.codes]
        return {**data, "kind": "multi", "v": levels, "codes": codes, "sortorder": index.sortorder}
    freq = getattr(index, "freq", None) if isinstance(index, (pd.DatetimeIndex, pd.TimedeltaIndex)) else None
    if freq is not None:
        data["freq"] = freq.freqstr
    return {**data, "kind": "flat", "v": _write_array(writer, index.array)}


def _read_index(reader: Reader, data: dict[str, Any]) -> Any:
    names = reader.items(data["names"])
    if data["kind"] == "range":
        return pd.RangeIndex(*(of_type(each, int) for each in data["v"]), name=names[0])
    if data["kind"] == "multi":
        levels = [_read_index(reader, level) for level in data["v"]]
        codes = [
            _read_codes(reader, each, len(level)) for each, level in zip(data["codes"], levels, strict=True)
        ]
        if len({len(each) for each in codes}) != 1:
            raise ValueError("the codes of an index are of different lengths")
        index = pd.MultiIndex(levels=levels, codes=codes, names=names, verify_integrity=False)
        index.sortorder = of_type(data["sortorder"], int, type(None))
        return index
    array = _read_array(reader, data["v"])
    # With the dtype, pandas infers nothing and tuples stay tuples.
    index = pd.Index(array, dtype=array.dtype, name=names[0], tupleize_cols=False)
    if "freq" in data:
        index.freq = data["freq"]
    return index


def _read_codes(reader: Reader, data: Any, size: int) -> Any:
    """The codes of a level with so many labels. pandas would read memory where another code points."""
    codes = _read_numpy(reader, {"v": data})
    if (
        codes.dtype.kind != "i"
        or codes.ndim != 1
        or (codes.size and not -1 <= codes.min() <= codes.max() < size)
    ):
        raise ValueError("the codes of an index do not fit its levels")
    return codes


def _same_index(left: Any, right: Any) -> bool:
    if type(left) is not type(right) or left.dtype != right.dtype or not left.identical(right):
        return False
    return getattr(left, "freq", None) == getattr(right, "freq", None)


# Series and frames -------------------------------------------------------------------------------


def _step(label: object) -> str | Key:
    return label if isinstance(label, str) else Key(repr(label)[:40])


def _write_about(writer: Writer, value: Any) -> dict[str, Any]:
    """The attributes and flags of a table. The flags do not count for its identity."""
    data: dict[str, Any] = {}
    if value.attrs and writer.counts != "set":
        data["attrs"] = writer.at("attrs", value.attrs)
    if not writer.canonical and not value.flags.allows_duplicate_labels:
        data["unique"] = True
    return data


def _read_about(reader: Reader, data: dict[str, Any], value: Any) -> Any:
    if "attrs" in data:
        value.attrs = reader.of(data["attrs"], dict)
    if "unique" in data:
        value.flags.allows_duplicate_labels = False
    return value


def _write_series(writer: Writer, value: Any) -> dict[str, Any]:
    return {
        TAG: "pandas.Series",
        "index": _write_index(writer, value.index),
        "name": writer.write(value.name),
        "v": _write_array(writer, value.array),
        **_write_about(writer, value),
    }


def _read_series(reader: Reader, data: dict[str, Any]) -> Any:
    array = _read_array(reader, data["v"])
    index = _read_index(reader, data["index"])
    series = pd.Series(array, dtype=array.dtype, index=index, name=reader.read(data["name"]), copy=False)
    return _read_about(reader, data, series)


def _write_frame(writer: Writer, value: Any) -> dict[str, Any]:
    columns: list[Any] = []
    for position, label in enumerate(value.columns):
        columns.append(_at_column(writer, label, value.iloc[:, position].array))
    return {
        TAG: "pandas.DataFrame",
        "index": _write_index(writer, value.index),
        "columns": _write_index(writer, value.columns),
        "v": columns,
        **_write_about(writer, value),
    }


def _at_column(writer: Writer, label: object, array: Any) -> dict[str, Any]:
    with writer.step(_step(label)):
        return _write_array(writer, array)


def _read_frame(reader: Reader, data: dict[str, Any]) -> Any:
    index = _read_index(reader, data["index"])
    arrays = [_read_array(reader, column) for column in data["v"]]
    series = {
        position: pd.Series(array, dtype=array.dtype, index=index, copy=False)
        for position, array in enumerate(arrays)
    }
    frame = pd.DataFrame(series, index=index, copy=False)
    frame.columns = _read_index(reader, data["columns"])
    return _read_about(reader, data, frame)


def _same_values(left: Any, right: Any) -> bool:
    # Object columns were written value by value, and `equals` cannot compare all objects.
    return left.dtype == right.dtype and (left.dtype == object or left.equals(right))


def _same_series(left: Any, right: Any) -> bool:
    return _same_index(left.index, right.index) and _same_values(left, right)


def _same_frame(left: Any, right: Any) -> bool:
    return (
        _same_index(left.index, right.index)
        and _same_index(left.columns, right.columns)
        and all(_same_values(left.iloc[:, at], right.iloc[:, at]) for at in range(left.shape[1]))
    )


# Scalars -----------------------------------------------------------------------------------------


def _write_timestamp(writer: Writer, value: Any) -> Any:
    data = {
        TAG: "pandas.Timestamp",
        "v": int(value.asm8.astype("i8")),
        "unit": value.unit,
        "tz": None if value.tzinfo is None else writer.at("tzinfo", value.tzinfo),
    }
    back = _read_timestamp(Reader(None), data)
    if (back, back.unit, back.fold) != (value, value.unit, value.fold):
        writer.refuse(value, "it cannot be restored exactly; convert it with .to_pydatetime()")
    return data


def _read_timestamp(reader: Reader, data: dict[str, Any]) -> Any:
    instant = pd.Timestamp(np.datetime64(data["v"], data["unit"]))
    if data["tz"] is None:
        return instant
    return instant.tz_localize("UTC").tz_convert(_read_zone(reader, data["tz"]))


def _write_timedelta(writer: Writer, value: Any) -> Any:
    return {TAG: "pandas.Timedelta", "v": int(value.asm8.astype("i8")), "unit": value.unit}


def _read_timedelta(reader: Reader, data: dict[str, Any]) -> Any:
    return pd.Timedelta(np.timedelta64(data["v"], data["unit"]))


def _write_period(writer: Writer, value: Any) -> Any:
    return {TAG: "pandas.Period", "v": value.ordinal, "freq": value.freqstr}


def _read_period_scalar(reader: Reader, data: dict[str, Any]) -> Any:
    return pd.Period(ordinal=data["v"], freq=data["freq"])


def _write_interval(writer: Writer, value: Any) -> Any:
    return {
        TAG: "pandas.Interval",
        "left": writer.at("left", value.left),
        "right": writer.at("right", value.right),
        "closed": value.closed,
    }


def _read_interval_scalar(reader: Reader, data: dict[str, Any]) -> Any:
    return pd.Interval(reader.read(data["left"]), reader.read(data["right"]), closed=data["closed"])


def register() -> None:
    """Register pandas' types."""
    add_type(pd.DataFrame, "pandas.DataFrame", *_table(_write_frame, _read_frame, _same_frame))
    add_type(pd.Series, "pandas.Series", *_table(_write_series, _read_series, _same_series))
    write_index, read_index = _table(_write_index, _read_index, _same_index)
    kinds: tuple[type[Any], ...] = (
        pd.Index,
        pd.RangeIndex,
        pd.MultiIndex,
        pd.DatetimeIndex,
        pd.TimedeltaIndex,
        pd.PeriodIndex,
        pd.IntervalIndex,
        pd.CategoricalIndex,
    )
    for index in kinds:
        add_type(index, "pandas.Index", write_index, read_index)
    add_type(pd.Timestamp, "pandas.Timestamp", _write_timestamp, _read_timestamp)
    add_type(pd.Timedelta, "pandas.Timedelta", _write_timedelta, _read_timedelta)
    add_type(pd.Period, "pandas.Period", _write_period, _read_period_scalar)
    add_type(pd.Interval, "pandas.Interval", _write_interval, _read_interval_scalar)
    add_type(
        kind_of(pd.NaT), "pandas.NaT", lambda writer, value: {TAG: "pandas.NaT"}, lambda reader, data: pd.NaT
    )
    add_type(
        kind_of(pd.NA), "pandas.NA", lambda writer, value: {TAG: "pandas.NA"}, lambda reader, data: pd.NA
    )
