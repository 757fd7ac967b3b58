"""Values that can be read only once: iterators, generators, files and streams. They are no results."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from typing import Any, cast

from .names import kind_of

_MOST = 1_000  # parts that are looked at
_WRAPPERS = frozenset({"_TemporaryFileWrapper", "_AsyncGeneratorContextManager", "_GeneratorContextManager"})


def why_once(value: Any) -> str:
    """Why a value can be read only once, and what to return instead; "" for other values."""
    kind = kind_of(value)
    if issubclass(kind, (io.BytesIO, io.StringIO)):
        return "a stream can be read only once: return its content, .getvalue()"
    if issubclass(kind, io.IOBase) or kind.__name__ in _WRAPPERS:
        return "a file or stream can be read only once: return what you read from it, or its path"
    if issubclass(kind, AsyncIterator):
        return "an async iterator can be read only once: return a list, [each async for each in ...]"
    if issubclass(kind, Iterator):
        return "an iterator can be read only once: return a list, list(...)"
    return "a coroutine can be awaited only once: await it" if issubclass(kind, Coroutine) else ""


def holds_one_shot(value: Any) -> bool:
    """Whether a value can be read only once, or a part of it in a list, a dict or an attribute."""
    pending: list[Any] = [value]
    seen: set[int] = set()
    while pending and len(seen) < _MOST:
        each = pending.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if why_once(each):
            return True
        if isinstance(each, (list, tuple, set, frozenset)):
            pending += list(cast("list[Any]", each))[:_MOST]
        elif isinstance(each, dict):
            pending += list(cast("dict[Any, Any]", each).values())[:_MOST]
        elif each is value:
            attributes: Any = getattr(value, "__dict__", None)
            pending += attributes.values() if isinstance(attributes, Mapping) else ()
    return False
