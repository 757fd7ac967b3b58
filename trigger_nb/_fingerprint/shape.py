"""The shape of a function's code: what it does, independent of the values of its names."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from types import EllipsisType, NoneType
from typing import Any, NamedTuple, cast

__all__ = ["MUTATORS", "SCALARS", "Global", "Shape", "constant", "digest"]
# Methods that change a list, a dictionary or a set.
MUTATORS = frozenset(
    {"add", "append", "appendleft", "clear", "discard", "extend", "insert", "pop", "popitem", "popleft"}
    | {"remove", "reverse", "setdefault", "sort", "update"}
)


class Global(NamedTuple):
    """A use of a global name, with the attributes that are read from it directly."""

    name: str
    attributes: tuple[str, ...]
    assigned: bool  # whether the code also assigns the name, after a `global` statement
    mutated: bool  # whether the code may change the value, if it is a list, a dictionary or a set


class Shape(NamedTuple):
    """The code of a function with its nested functions and classes, in a form that can be compared."""

    text: str  # a digest
    globals: tuple[Global, ...]  # in the order of use
    free: tuple[str, ...]  # its closure's variables, in the order of use
    attributes: frozenset[str]  # the names of all attributes that the code reads
    portable: bool  # whether other Python versions give the same shape


def digest(text: str) -> str:
    """A hash of a text, which may contain lone surrogates."""
    return blake2b(text.encode("utf-8", "backslashreplace"), digest_size=16).hexdigest()


# Scalars as text. Each type has a different notation, so that 1, 1.0, True and "1" differ.
_MAX_TEXT = 100_000


def _text(value: str | bytes) -> str:
    return repr(value) if len(value) <= _MAX_TEXT else f"{value[:_MAX_TEXT]!r}+{len(value)}"


def _integer(value: int) -> str:
    return hex(int(value))  # Python refuses to write very long integers in decimal


SCALARS: dict[type, Callable[[Any], str]] = {
    NoneType: repr,
    EllipsisType: repr,
    bool: repr,
    int: _integer,
    float: float.__repr__,
    complex: complex.__repr__,
    str: _text,
    bytes: _text,
    range: repr,
    slice: repr,
}


def constant(value: object) -> str:
    """The text of a constant in code: a scalar, or a tuple or frozen set of them."""
    write = SCALARS.get(type(value))
    if write is not None:
        return write(value)
    inside = [constant(item) for item in cast("tuple[object, ...] | frozenset[object]", value)]
    # The order of a set differs between processes.
    return f"({','.join(inside)})" if isinstance(value, tuple) else f"{{{','.join(sorted(inside))}}}"
