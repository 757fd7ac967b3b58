"""Stored values and errors as text for a reader.

Values are not decoded: no class of the user is looked up, and no code of the user is called.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from datetime import timedelta, timezone
from typing import Any, TypeAlias, cast

from ..._records.records import APART
from ..._redact import HIDDEN, redact
from ..._values.placeholders import LOST_FILE
from ..._values.sizes import size
from ..escape import visible, visible_block
from ..pretty import Bare, preview
from .stored_tables import UNREADABLE, described

StoredError: TypeAlias = Mapping[str, object]
"""An error as it is stored. Any field may be missing."""
_Tagged: TypeAlias = dict[str, Any]  # a value with the tag of its type, as the codec wrote it
_TAG = "$"  # the same as in the codec
_MOST = 2000  # parts of a value that are read; a preview shows far fewer
_PAIRS = frozenset({"dict", "OrderedDict", "Counter", "defaultdict"})


def value_text(form: str, value: Any, redacted: list[str], limit: int) -> str:
    """The text of a stored value; "" for None, the usual value of a task that returns nothing."""
    about = cast("dict[str, object]", value) if isinstance(value, dict) else {}
    if form == "unstored":
        reason = f": {about['reason']}" if about.get("reason") else ""
        where = f" at {about['path']}" if about.get("path", "$") != "$" else ""
        if about.get("type") == LOST_FILE:
            return f"a lost value{where}{reason}"
        return f"{about.get('type', 'a value')}{where}, which could not be stored{reason}"
    if form == "file":
        long = size(count) if isinstance(count := about.get("size"), int) else "of an unknown size"
        return f"{visible(about['about'], 120)} · {long}" if about.get("about") else f"a long value · {long}"
    if form == "signed":
        return "a signed pickle"
    if form == APART:
        return "could not be read from the store"
    if value is None:
        return ""
    if form == "tagged":
        value = readable(value)
        if isinstance(value, Bare):
            return value[1:-1][:limit]
    if redacted:
        value = redact(redacted, value)
    return preview(value, limit)


def error_line(error: StoredError | None, limit: int = 300) -> str:
    """The type and the message of a stored error: `ValueError: no such user`; "" for no error."""
    if not error:
        return ""
    name = str(error.get("type", "") or "error").rpartition(".")[2]
    shown = cast("StoredError", error.get("shown") or error)  # `shown`: without redacted parts
    text = str(shown.get("message") or "")[: limit + 1]
    return visible_block(f"{name}: {text}" if text else name, limit)


def readable(stored: Any) -> Any:
    """The codec's JSON without its tags; a value without a plain form becomes its description: `<ndarray int64 (3,)>`.

    >>> readable({"$": "tuple", "v": [1, {"$": "date", "v": "2024-02-29"}]})
    [1, '2024-02-29']
    """
    return _Reading().of(stored)


class _Reading:
    """Reads one value, up to a maximum number of parts."""

    def __init__(self) -> None:
        self._left = _MOST

    def of(self, data: object) -> object:
        self._left -= 1
        if self._left < 0:
            return "…"
        if isinstance(data, list):
            items = cast("list[object]", data)
            return [self.of(item) for item in items[: self._left + 1]]
        if not isinstance(data, dict):
            return data
        mapping = cast("_Tagged", data)
        if isinstance(mapping.get(_TAG), str):
            return self._of_tagged(mapping[_TAG], mapping)
        return {name: self.of(mapping[name]) for name in list(mapping)[: self._left + 1]}

    def _of_tagged(self, tag: str, data: _Tagged) -> object:
        value = data.get("v")
        known = _KNOWN.get(tag)
        try:
            if known is not None:
                return known(data)
            if tag in _PAIRS:
                return {str(self.of(key)): self.of(item) for key, item in value[: self._left + 1]}  # type: ignore[index]
            if text := described(tag, data):
                return Bare(f"<{text}>")
        except UNREADABLE:
            return Bare(f"<{tag}>")
        return Bare(f"<{data.get('of', tag)}>") if value is None or "." in tag else self.of(value)


def _named(data: _Tagged) -> str:
    return f"{data['of'].rpartition(':')[2]}.{data['v']}"


def _error(data: _Tagged) -> str:
    return f"{data['v']['type']}: {data['v'].get('message', '')}"


def _file(data: _Tagged) -> str:
    about = f", {size(data['size'])}" if isinstance(data.get("size"), int) else ""
    return Bare(f"<File {data['v'] if isinstance(data['v'], str) else '?'}{about}>")


def _moment(data: _Tagged) -> str:
    """A time with its zone: an offset, or a name in brackets as in RFC 9557."""
    zone = data["tz"]
    if zone is None:
        return data["v"]
    match zone[_TAG], zone["v"]:
        case "timezone", offset:
            return data["v"] + _offset(timedelta(*offset["v"]))
        case "pydantic.zone", seconds:
            return data["v"] + _offset(timedelta(seconds=seconds))
        case _, [str(name), *_] | str(name):
            return f"{data['v']}[{name}]"
        case _:
            return f"{data['v']}[{zone.get('of', zone[_TAG])}]"


def _offset(offset: timedelta) -> str:
    return str(timezone(offset))[len("UTC") :] or "+00:00"


_KNOWN: dict[str, Callable[[_Tagged], str]] = {
    "enum": _named,
    "error": _error,
    "file": _file,
    "flag": _named,
    "float": lambda data: str(struct.unpack(">d", bytes.fromhex(data["v"]))[0]),
    "secret": lambda _: HIDDEN,
    "str": lambda _: Bare("<text>"),
    "complex": lambda data: str(complex(*struct.unpack(">dd", bytes.fromhex(data["v"])))),
    "datetime": _moment,
    "time": _moment,
    "timedelta": lambda data: str(timedelta(*data["v"])),
}
