"""Functions that write and read JSON text, and recognize plain JSON values."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, Final, NoReturn, cast

from .tagged import MAX_DEPTH


def _refuse_in_json(value: object) -> NoReturn:
    raise TypeError(f"{type(value).__name__} is not JSON")


def make_dumps(*, sort_keys: bool = False) -> Callable[[Any], str]:
    """A function that writes JSON as compact ASCII and raises `ValueError` for NaN and infinities."""
    # `JSONEncoder.encode` builds a C encoder at each call, which takes longer than encoding a small result. With
    # `markers=None`, an encoder has no state and can be reused.
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


def is_plain(value: Any, depth: int = 0) -> bool:
    """Whether `value` consists of exactly JSON's types, without subclasses, and all keys are text.

    A plain value may still contain a float or a text that JSON cannot represent, see `plain_text`.
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
    """The JSON text of a plain value; None if reading the text would give another value."""
    try:
        text = write(value)
    except (ValueError, RecursionError):  # NaN, infinity; an int too long for text; too deep
        return None
    # Two lone surrogates in a row would be read as one character.
    if "\\ud" in text and loads(text) != value:
        return None
    return text
