"""Previews: short, plain JSON versions of any value, for display."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from datetime import date, time
from typing import Any, cast

from .._redact import hide_in_urls, secrets
from .fields import fields_of
from .files import File, Files, file_text
from .names import kind_of, secret_kind, type_name
from .placeholders import Placeholder, Redacted

HIDDEN = "••••••"
_MAX_DEPTH = 6
_MAX_ITEMS = 50
_MAX_TEXT = 500


def preview(value: Any, limit: int = 2000) -> Any:
    """A preview of `value` in plain JSON, of about `limit` characters at most. Never raises.

    Notes replace the parts that are cut off. Secrets are hidden. A table is shown by its shape and columns.
    """
    try:
        return _Preview(limit).of(value, 0)
    except Exception:
        return f"<{type_name(kind_of(value))}>"


class _Preview:
    def __init__(self, limit: int) -> None:
        self._left = limit

    def of(self, value: Any, depth: int) -> Any:
        kind = kind_of(value)
        if value is None or kind is bool:
            self._left -= 5
            return value
        if kind is int:
            if -(2**63) < value < 2**63:  # a longer one may be too long for text
                self._left -= 8
                return value
            return self._text(f"<an int of {value.bit_length()} bits>")
        if kind is float:
            self._left -= 8
            return value if value - value == 0 else repr(value)
        if kind is str:
            return self._text(value)
        if kind is tuple or kind is list:
            return self._sequence(value, kind.__name__, depth)
        if kind is dict:
            return self._mapping(value, "dict", depth)
        return self._of_other(value, kind, depth)

    def _of_other(self, value: Any, kind: type[Any], depth: int) -> Any:
        if issubclass(kind, Redacted) or secret_kind(kind):
            return self._text(HIDDEN)
        if issubclass(kind, Placeholder):
            return self._text(repr(value))
        if issubclass(kind, enum.Enum):
            return self._text(str(value) if issubclass(kind, enum.Flag) else f"{kind.__name__}.{value.name}")
        fields = fields_of(value, kind)
        if fields is not None:
            return self._mapping(fields, kind.__name__, depth)
        if isinstance(value, Mapping):
            return self._mapping(cast("Any", value), kind.__name__, depth)
        if isinstance(value, (list, tuple, set, frozenset, deque, Files)):
            return self._sequence(cast("Any", value), kind.__name__, depth)
        return self._text(_text_of(value, kind))

    def _mapping(self, value: Mapping[Any, Any], kind: str, depth: int) -> Any:
        length = len(value)
        if depth >= _MAX_DEPTH:
            return self._text(f"<{kind} of {length} items>")
        shown: dict[str, Any] = {}
        for key in value:
            if len(shown) >= _MAX_ITEMS or self._left <= 0:
                shown["…"] = f"{length - len(shown)} more"
                break
            name = self._text(key if type(key) is str else _key_text(key))
            shown[name] = self.of(value[key], depth + 1)
        return shown

    def _sequence(self, value: Collection[Any], kind: str, depth: int) -> Any:
        length = len(value)
        if depth >= _MAX_DEPTH:
            return self._text(f"<{kind} of {length} items>")
        shown: list[Any] = []
        for item in value:
            if len(shown) >= _MAX_ITEMS or self._left <= 0:
                shown.append(f"… {length - len(shown)} more")
                break
            shown.append(self.of(item, depth + 1))
        return shown

    def _text(self, text: str) -> str:
        # Before the text is cut, because a part of a secret must not remain either.
        text = hide_in_urls(secrets.hide(text))
        room = max(min(_MAX_TEXT, self._left), 20)
        self._left -= min(len(text), room) + 2
        return text if len(text) <= room else f"{text[:room]}… ({len(text):,} characters)"


def _key_text(key: Any) -> str:
    kind = kind_of(key)
    return HIDDEN if secret_kind(kind) else _text_of(key, kind)


def _text_of(value: Any, kind: type[Any]) -> str:
    try:
        if issubclass(kind, (bytes, bytearray)):
            return repr(value) if len(value) <= 40 else f"<{len(value):,} {kind.__name__}>"
        if issubclass(kind, (date, time)):
            return value.isoformat()
        if kind is File:
            return f"<File {file_text(value)}>"
        if issubclass(kind, BaseException):
            return f"{kind.__name__}: {value}"
        table = table_text(value)
        return f"<{table}>" if table else repr(value)
    except Exception:
        return f"<{type_name(kind_of(value))}>"


def table_text(value: Any) -> str:
    """The type, shape and columns of a table or array; "" for other values."""
    shape = shape_text(value)
    return shape and f"{shape}: {', '.join(_columns(value, kind_of(value).__module__.partition('.')[0]))}"


def shape_text(value: Any) -> str:
    """The type and shape of a table or array: `DataFrame 200 × 4`; "" for other values."""
    kind = kind_of(value)
    if kind.__module__.partition(".")[0] not in {"numpy", "pandas", "polars", "pyarrow"}:
        return ""
    shape = getattr(value, "shape", None)
    # Without one it is a scalar, or another type of the library.
    return f"{kind.__name__} {' × '.join(f'{size:,}' for size in shape)}" if shape else ""


def _columns(value: Any, library: str) -> Iterator[str]:
    if len(value.shape) == 1 or library == "numpy":
        yield str(getattr(value, "dtype", ""))
        return
    names = value.column_names if library == "pyarrow" else value.columns
    types = value.schema.types if library == "pyarrow" else value.dtypes
    for position, (name, type_) in enumerate(zip(names, types, strict=False)):
        if position == 12:
            yield "…"
            return
        yield f"{name} {type_}"
