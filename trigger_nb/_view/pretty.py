"""JSON values as text, in lines as people write them.

```
{
  "id": 7,
  "sizes": [
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22,
    23
  ],
  "user": {"name": "Ana", "plan": "team"}
}
```
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from json.encoder import encode_basestring
from typing import Any, TypeAlias, cast

_WIDTH = 80  # columns of a line, if it can be broken
_SHORT = 100  # a whole value of this length stays on one line
_INDENT = "  "
# How previews of tables, arrays, bytes and files begin and end, which are kept as text: see `_values/preview.py`.
_SUMMARY = re.compile(
    r"<(\w+ \d[\d,]*( × [\d,]+)*: .*|\d[\d,]* (bytes|bytearray)|File .+, \d[\d,.]* [kMGT]?B)>"
)
_Default: TypeAlias = Callable[[Any], object]


class Bare(str):
    """Text that is shown without quotes: a description in place of a value."""

    __slots__ = ()


def preview(value: Any, limit: int, default: _Default = str) -> str:
    """A JSON value as text: on one line if it is short, else in lines; cut at `limit` characters.

    Writing stops at the limit, so a huge value costs no more than a short one.

    >>> print(preview({"id": 7, "sizes": list(range(40))}, 200))
    {
      "id": 7,
      "sizes": [
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
        22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39
      ]
    }
    """
    writer = _Writer(limit, default)
    if isinstance(value, str):
        return writer.scalar(value)
    line = writer.line(value, _SHORT)
    return _cut(writer.lines(value, "", 0) if line is None else [line], limit)


def on_one_line(shown: str) -> str:
    """A preview on one line. Texts in it have no line breaks of their own: these are escaped.

    >>> on_one_line(preview({"sizes": list(range(40))}, 200))[:20]
    '{"sizes": [0, 1, 2, '
    """
    return re.sub(r"\n *", " ", re.sub(r"(?<=[\[{])\n *|\n *(?=[\]}])", "", shown))


def _cut(pieces: Iterable[str], limit: int) -> str:
    kept: list[str] = []
    size = 0
    try:
        for piece in pieces:
            kept.append(piece)
            size += len(piece)
            if size > limit:
                return "".join(kept)[:limit] + "…"
    except RecursionError:  # nested too deeply
        return "".join(kept)[:limit] + "…"
    return "".join(kept)


class _Writer:
    def __init__(self, limit: int, default: _Default) -> None:
        self._limit = limit
        self._encode = json.JSONEncoder(ensure_ascii=False, default=default).encode

    def line(self, value: Any, most: int) -> str | None:
        """The value on one line; None if it takes more than so many characters."""
        if isinstance(value, (dict, list, tuple)) and 3 * len(cast("list[Any]", value)) > most:
            return None
        kept: list[str] = []
        for piece in self._pieces(value):
            kept.append(piece)
            most -= len(piece)
            if most < 0:
                return None
        return "".join(kept)

    def _pieces(self, value: Any) -> Iterator[str]:
        separator = ""
        if isinstance(value, dict):
            yield "{"
            for name, item in cast("dict[object, Any]", value).items():
                yield separator + self._name(name)
                yield from self._pieces(item)
                separator = ", "
            yield "}"
        elif isinstance(value, (list, tuple)):
            yield "["
            for item in cast("list[Any]", value):
                if isinstance(item, (dict, list, tuple)):
                    yield separator
                    yield from self._pieces(item)
                else:
                    yield separator + self.scalar(item)
                separator = ", "
            yield "]"
        else:
            yield self.scalar(value)

    def lines(self, value: Any, indent: str, before: int) -> Iterator[str]:
        """The value in lines, after so many columns of the first one."""
        line = self.line(value, _WIDTH - before)
        if line is not None or not isinstance(value, (dict, list, tuple)):
            yield self.scalar(value) if line is None else line
            return
        inner = indent + _INDENT
        if isinstance(value, dict):
            yield "{"
            yield from self._fields(cast("dict[object, Any]", value), inner)
            yield f"\n{indent}}}"
        else:
            yield "["
            yield from self._items(cast("list[Any]", value), inner)
            yield f"\n{indent}]"

    def _fields(self, value: dict[object, Any], inner: str) -> Iterator[str]:
        end = "\n"
        for name, item in value.items():
            start = inner + self._name(name)
            yield end + start
            yield from self.lines(item, inner, len(start) + 1)
            end = ",\n"

    def _items(self, value: Iterable[Any], inner: str) -> Iterator[str]:
        """The items; of scalars, as many on a line as fit."""
        left, end = -1, "\n"  # columns that are left on the line of the scalar before
        for item in value:
            is_scalar = not isinstance(item, (dict, list, tuple))
            text = self.scalar(item) if is_scalar else ""
            if is_scalar and len(text) + 2 < left:
                yield f", {text}"
                left -= len(text) + 2
                continue
            yield end + inner
            yield from [text] if is_scalar else self.lines(item, inner, len(inner) + 1)
            left = _WIDTH - len(inner) - len(text) if is_scalar else -1
            end = ",\n"

    def _name(self, name: object) -> str:
        return f"{self.scalar(str(name))}: "

    def scalar(self, value: Any) -> str:
        """A value that is no list and no object."""
        kind = cast("type[object]", type(value))
        if kind is int:
            return str(value)
        if kind is not str:
            return value[: self._limit] if kind is Bare else self._encode(value)
        if len(value) > self._limit:
            return encode_basestring(value[: self._limit])[:-1] + f"… ({len(value):,} characters)"
        return value if value[:1] == "<" and _SUMMARY.fullmatch(value) else encode_basestring(value)
