"""Pictures of values: small data that differs when a value was changed in place. Cheap, and bounded for large values."""

from __future__ import annotations

import dataclasses
import marshal
import random
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from types import FunctionType, MethodType, SimpleNamespace
from typing import Any, cast

from .names import attributes_of, kind_of

_FIXED = frozenset({str, int, float, bool, bytes, complex, type(None)})
_PLAIN = _FIXED | {list, dict}
_MOST = 500  # items that are looked at
_MOST_BYTES = 100_000
_SAMPLE = 200  # of a long list: as many at each end
_BLOCK = 65_536  # bytes of a large array that are looked at
_GROWING = (list, dict, set, deque, bytearray)
_DEEP = 3  # functions that are followed, each called by the one before


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
    state = _random_state(value)
    return id(value) if state is None else state


def _random_state(value: Any) -> Any:
    """A picture of the state of a random generator, of Python's or NumPy's; None for other values."""
    if isinstance(value, random.Random):
        return None if isinstance(value, random.SystemRandom) else hash(value.getstate())
    if type(value).__module__.startswith("numpy.random"):
        of_generator = getattr(value, "bit_generator", None)
        return picture((value.get_state(legacy=False) if of_generator is None else of_generator.state,))
    return None


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


# Of functions ------------------------------------------------------------------------------------


def picture_around(function: object) -> dict[str, Any]:
    """A picture of the variables and globals that a function uses, by name, those of functions beside it included.

    It shows that a container has grown or shrunk, that a name has another value, or that a random generator was used,
    and takes a few microseconds, however large the values are.
    """
    while isinstance(function, (partial, MethodType)):
        function = function.func if isinstance(function, partial) else function.__func__
    found: dict[str, Any] = {}
    if type(function) is FunctionType:
        for name, value in _used_by(function, {function}, _DEEP):
            with suppress(Exception):  # of a class of the user's: it shows nothing
                if (seen := _outline(value)) is not None:
                    found[name] = seen
    return found


def _used_by(function: FunctionType, met: set[FunctionType], deep: int) -> Iterator[tuple[str, object]]:
    """Variables around a function and globals, also of the functions beside it that it names."""
    code, names = function.__code__, function.__globals__
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            value = cell.cell_contents
        except ValueError:  # it has no value yet
            continue
        if type(value) is FunctionType:
            yield from _used_by_another(value, names, met, deep)
        else:
            yield name, value
    for name in code.co_names:
        value = names.get(name)
        if type(value) is FunctionType:
            yield from _used_by_another(value, names, met, deep)
        elif value is not None:
            yield name, value


def _used_by_another(
    function: FunctionType, names: dict[str, Any], met: set[FunctionType], deep: int
) -> Iterator[tuple[str, object]]:
    """Variables of another function, if it is defined in the same file or notebook; state of libraries does not count."""
    if deep and function.__globals__ is names and function not in met:
        met.add(function)
        yield from _used_by(function, met, deep - 1)


def _outline(value: Any) -> Any:
    """A mark of the value that differs when it was changed; None for what does not show it."""
    kind = cast("type[Any]", type(value))
    if kind in _FIXED:
        return value
    if issubclass(kind, _GROWING):
        return len(value)
    if kind.__module__.startswith("pandas") and hasattr(kind, "columns"):
        return value.shape
    if issubclass(kind, random.Random) or kind.__module__.startswith("numpy.random"):
        return _random_state(value)
    return None
