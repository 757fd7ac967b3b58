"""JSON text: writing and reading it, and which values are plain JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, Final, NoReturn, cast

from .tagged import MAX_DEPTH


# -- text
def _refuse_in_json(value: object) -> NoReturn:
    raise TypeError(f"{type(value).__name__} is not JSON")


def make_dumps(*, sort_keys: bool = False) -> Callable[[Any], str]:
    """A function that writes JSON as compact ASCII and raises `ValueError` for NaN and infinities."""
    # `JSONEncoder.encode` builds its C encoder anew at each call, which costs more than encoding
    # a small result. One encoder can be kept, because `markers=None` leaves it without state.
    c_make_encoder: Any = getattr(json.encoder, "c_make_encoder", None)
    if c_make_encoder is None:  # not CPython
        return json.JSONEncoder(
            ensure_ascii=True, allow_nan=False, sort_keys=sort_keys, separators=(",", ":")
        ).encode
    escape = json.encoder.encode_basestring_ascii
    encode: Callable[[Any, int], Iterable[str]] = c_make_encoder(
        None, _refuse_in_json, escape, None, ":", ",", sort_keys, False, False
    )
    join = "".join

    def dumps(value: Any) -> str:
        return join(encode(value, 0))

    return dumps


dumps = make_dumps()
dumps_sorted = make_dumps(sort_keys=True)
loads = json.JSONDecoder().decode
_SCALARS: Final = frozenset({str, int, float, bool, type(None)})


# -- plain JSON: the hot path
def is_plain(value: Any, depth: int = 0) -> bool:
    """Whether `value` is made of JSON's own types, exactly: no subclass, no key but text.

    What is plain may still hold a float or text that JSON cannot tell, see `plain_text`.
    """
    kind = cast("type[Any]", type(value))
    if kind is dict:
        if depth > MAX_DEPTH:
            return False
        for key, item in value.items():
            if type(key) is not str or (type(item) not in _SCALARS and not is_plain(item, depth + 1)):
                return False
        return True
    if kind is list:
        if depth > MAX_DEPTH:
            return False
        for item in value:  # noqa: SIM110  # `all` of a generator takes twice the time
            if type(item) not in _SCALARS and not is_plain(item, depth + 1):
                return False
        return True
    return kind in _SCALARS


def plain_text(value: Any, write: Callable[[Any], str] = dumps) -> str | None:
    """The JSON text of a plain value, or None when it would be read as another value."""
    try:
        text = write(value)
    except (ValueError, RecursionError):  # NaN, infinity; an int too long for text; too deep
        return None
    # Two lone surrogates in a row would be read as one character.
    if "\\ud" in text and loads(text) != value:
        return None
    return text
