"""Codecs for NumPy arrays and scalars, as `.npy` without pickle.

This module is imported when the first of them is written or read.
"""

from __future__ import annotations

import io
from typing import Any, Final, cast

import numpy as np

from .names import of_type
from .tagged import TAG, Reader, Write, Writer, add_finder, add_reader, add_type

_SCALARS: Final = frozenset("biufcSUmM")  # kinds of dtypes


def _write_array(writer: Writer, value: np.ndarray[Any, Any]) -> Any:
    if value.dtype == object:
        items = value.ravel(order="C").tolist()
        return {TAG: "numpy.objects", "shape": list(value.shape), "v": writer.items(items)}
    data = writer.data(_npy(writer, value))
    if "blob" in data and not writer.canonical:  # for a reader who does not open the file
        data |= {"dtype": str(value.dtype)[:60], "shape": list(value.shape)}
    return {TAG: "numpy.array", **data}


def _npy(writer: Writer, value: np.ndarray[Any, Any]) -> bytes:
    _check_dtype(writer, value)
    if writer.canonical:
        value = np.ascontiguousarray(value)  # the memory layout does not count
    file = io.BytesIO()
    np.lib.format.write_array(file, value, version=None, allow_pickle=False)
    return file.getvalue()


def _check_dtype(writer: Writer, value: np.ndarray[Any, Any] | np.generic) -> None:
    """Refuse a dtype that `.npy`, which stores dtypes as text, cannot represent exactly."""
    dtype = value.dtype
    try:
        same = np.lib.format.descr_to_dtype(np.lib.format.dtype_to_descr(dtype)) == dtype
    except Exception:
        same = False
    if not same or dtype.hasobject or dtype.metadata:
        writer.refuse(value, f".npy cannot hold the dtype {dtype}; convert it with .astype(...)")


def _read_array(reader: Reader, data: dict[str, Any]) -> Any:
    return np.lib.format.read_array(io.BytesIO(reader.data(data)), allow_pickle=False)


def _read_objects(reader: Reader, data: dict[str, Any]) -> Any:
    items = reader.items(data["v"])
    flat: Any = np.empty(len(items), dtype=object)
    for index, item in enumerate(items):
        flat[index] = item
    return flat.reshape(data["shape"])


def _write_scalar(writer: Writer, value: np.generic) -> Any:
    _check_dtype(writer, value)
    dtype = value.dtype
    if type(value) is np.void or dtype.names is not None or dtype.subdtype is not None:
        if type(value) is not np.void:
            writer.refuse(value, "convert it to a plain structured scalar or a tuple")
        return {TAG: "numpy.void", **writer.data(_npy(writer, np.asarray(value)))}
    # Two types can have the same dtype text, such as long and long long if both have 64 bits.
    return {TAG: "numpy.scalar", "of": type(value).__name__, "dtype": dtype.str, "v": value.tobytes().hex()}


def _read_scalar(reader: Reader, data: dict[str, Any]) -> Any:
    dtype: Any = np.dtype(of_type(data["dtype"], str))
    if dtype.kind not in _SCALARS or dtype.subdtype is not None:
        raise ValueError(f"{dtype} is the dtype of no scalar")
    named: Any = vars(np).get(data["of"])  # not `getattr`, which would import a module of NumPy
    if isinstance(named, type) and issubclass(cast("Any", named), np.generic) and dtype.type is not named:
        candidate: Any = np.dtype(named)
        if candidate.itemsize == dtype.itemsize and candidate.kind == dtype.kind:
            dtype = candidate
    if dtype.itemsize == 0:  # an empty text
        return dtype.type()
    return np.frombuffer(bytes.fromhex(data["v"]), dtype=dtype)[0]


def _read_void(reader: Reader, data: dict[str, Any]) -> Any:
    return _read_array(reader, data)[()]


def _write_dtype(writer: Writer, value: np.dtype[Any]) -> Any:
    _check_dtype(writer, np.empty(0, dtype=value))
    return {TAG: "numpy.dtype", **writer.data(_npy(writer, np.empty(0, dtype=value)))}


def _read_dtype(reader: Reader, data: dict[str, Any]) -> Any:
    return _read_array(reader, data).dtype


def _find(cls: type[Any]) -> Write | None:
    if issubclass(cls, np.generic) and cls.__module__ == "numpy":
        return _write_scalar
    if issubclass(cls, np.dtype):
        return _write_dtype
    return None


def register() -> None:
    """Register NumPy's types."""
    add_type(np.ndarray, "numpy.array", _write_array, _read_array)
    add_reader("numpy.objects", _read_objects)
    add_reader("numpy.scalar", _read_scalar)
    add_reader("numpy.void", _read_void)
    add_reader("numpy.dtype", _read_dtype)
    add_finder(_find)
