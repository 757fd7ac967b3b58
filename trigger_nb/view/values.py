"""Stored values for the eye: what the codec wrote with tags, as plain JSON that a person can read.

Nothing is decoded for this: no class of the user's is looked up, and nothing of theirs is called.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

from .._redact import HIDDEN

_TAG = "$"  # as in `_codec`
_MOST = 2000  # parts that are looked at; a preview shows far fewer
_PAIRS = frozenset({"dict", "OrderedDict", "Counter", "defaultdict"})


def readable(stored: Any) -> Any:
    """Tagged JSON without its tags; what has no plain form is named, as `<numpy.array>`.

    >>> readable({"$": "tuple", "v": [1, {"$": "date", "v": "2024-02-29"}]})
    [1, '2024-02-29']
    """
    return _Reading().of(stored)


class _Reading:
    def __init__(self) -> None:
        self._left = _MOST

    def of(self, data: Any) -> Any:
        self._left -= 1
        if self._left < 0:
            return "…"
        if isinstance(data, list):
            items = cast("list[Any]", data)
            return [self.of(item) for item in items[: self._left + 1]]
        if not isinstance(data, dict):
            return data
        mapping = cast("dict[str, Any]", data)
        if isinstance(mapping.get(_TAG), str):
            return self._of_tagged(mapping[_TAG], mapping)
        return {name: self.of(mapping[name]) for name in list(mapping)[: self._left + 1]}

    def _of_tagged(self, tag: str, data: dict[str, Any]) -> Any:
        value = data.get("v")
        known = _KNOWN.get(tag)
        try:
            if known is not None:
                return known(data)
            if tag in _PAIRS:
                return {str(self.of(key)): self.of(item) for key, item in value[: self._left + 1]}  # type: ignore[index]
        except (TypeError, ValueError, KeyError, AttributeError, struct.error):
            return f"<{tag}>"
        return f"<{data.get('of', tag)}>" if value is None or "." in tag else self.of(value)


def _named(data: dict[str, Any]) -> str:
    return f"{data['of'].rpartition(':')[2]}.{data['v']}"


def _error(data: dict[str, Any]) -> str:
    return f"{data['v']['type']}: {data['v'].get('message', '')}"


_KNOWN: dict[str, Callable[[dict[str, Any]], str]] = {
    "enum": _named,
    "error": _error,
    "flag": _named,
    "float": lambda data: str(struct.unpack(">d", bytes.fromhex(data["v"]))[0]),
    "secret": lambda _: HIDDEN,
    "str": lambda _: "<text>",
    "complex": lambda data: str(complex(*struct.unpack(">dd", bytes.fromhex(data["v"])))),
    "timedelta": lambda data: str(timedelta(*data["v"])),
}
