"""Pictures of values: small data that differs when a value was changed in place. Cheap, and bounded for large values."""

from __future__ import annotations

import dataclasses
import marshal
from collections import deque
from types import SimpleNamespace
from typing import Any

from .names import attributes_of, kind_of

_FIXED = frozenset({str, int, float, bool, bytes, complex, type(None)})
_PLAIN = _FIXED | {list, dict}
_MOST = 500  # items that are looked at
_MOST_BYTES = 100_000
_SAMPLE = 200  # of a long list: as many at each end
_BLOCK = 65_536  # bytes of a large array that are looked at


def is_fixed(values: tuple[Any, ...]) -> bool:
    """Whether none of the values can be changed in place. True for most calls, so it is fast."""
    return _FIXED.issuperset(map(type, values))


def picture(values: tuple[Any, ...]) -> Any:
    """A picture of some values. Two pictures of the same values are equal if none was changed in place.

    Parts of types that are not known to be data count by identity.
    """
    if _PLAIN.issuperset(map(type, values)) and max(map(_length, values)) <= _MOST:
        try:
            # Version 2 depends on nothing but the value, and takes a fraction of a microsecond for a small one.
            data = marshal.dumps(values, 2)
        except ValueError:
            data = b""  # there are other types in it
        if 0 < len(data) <= _MOST_BYTES:
            return data
    left = [_MOST]
    try:
        return [value if type(value) in _FIXED else _picture(value, left) for value in values]
    except Exception:  # a class of the user's
        return None


def _picture(value: Any, left: list[int]) -> Any:
    kind = kind_of(value)
    if kind in _FIXED:
        return value
    left[0] -= 1
    if left[0] < 0:
        return None
    if kind is list or kind is tuple or kind is deque:
        return _items(list(value), left)
    if issubclass(kind, dict):
        return _items(list(value), left), _items(list(value.values()), left)
    if kind is set or kind is frozenset:
        return len(value), sorted(map(hash, value))[:_SAMPLE]
    if kind is bytearray:
        return len(value), bytes(value[:_BLOCK])
    return _instance(value, kind, left)


def _instance(value: Any, kind: type[Any], left: list[int]) -> Any:
    package = kind.__module__.partition(".")[0]
    if package == "numpy" and hasattr(kind, "tobytes"):
        return _array(value)
    if package in ("pandas", "polars") and hasattr(kind, "columns"):
        names = list(value.columns)
        return value.shape, names[:_SAMPLE], [_column(value[name]) for name in names[:100]]
    if package == "pandas" and hasattr(kind, "to_numpy"):
        return _column(value)
    if isinstance(getattr(kind, "__pydantic_fields__", None), dict):
        parts: list[Any] = [value.__dict__, value.__pydantic_extra__, value.__pydantic_private__]
        return [part and _picture(part, left) for part in parts]
    if dataclasses.is_dataclass(kind) or hasattr(kind, "__attrs_attrs__") or kind is SimpleNamespace:
        return _picture(attributes_of(value), left)
    return id(value)


def _length(value: Any) -> int:
    return 0 if type(value) in _FIXED else len(value)


def _items(items: list[Any], left: list[int]) -> Any:
    if len(items) > 2 * _SAMPLE:
        items = [len(items), *items[:_SAMPLE], *items[-_SAMPLE:]]
    if _FIXED.issuperset(map(type, items)):
        return items
    return [_picture(item, left) for item in items]


def _array(value: Any) -> Any:
    if value.dtype.hasobject:
        return value.shape, [id(each) for each in value.reshape(-1)[:_SAMPLE]]
    if value.nbytes <= _BLOCK:
        return value.shape, value.tobytes()
    step = max(1, value.size * value.itemsize // _BLOCK)
    return value.shape, value.reshape(-1)[::step].tobytes()


def _column(column: Any) -> Any:
    # Of pandas, where it is one of NumPy's.
    values = getattr(getattr(column, "array", None), "_ndarray", None)
    return (len(column), repr(column[:20])) if values is None else _array(values)
