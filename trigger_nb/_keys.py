"""Cache keys, their normal form, task paths and idempotency keys.

A path is the normal forms of the keys from the run down to the task, joined by "/". The normal
form is text that is equal exactly when the keys mean the same:

- text is normalized to NFC, with "~" and "/" written "~0" and "~1";
- a tuple or list is "~(" + its parts joined by "," + ")"; a text part writes "," as "~2" as well,
  and a part of another type is "~" + a letter for the type + its text. A letter never follows "~"
  in plain text, so ("a:b",) and ("a", "b"), 1 and True and "1" all differ. A part that is a `File` is its path and
  the beginning of the hash of its content.

The engine's own subtasks (log lines) have normal forms that begin with "~.", which no user's key has.
"""

from __future__ import annotations

import hashlib
import math
import numbers
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import TypeGuard
from unicodedata import normalize
from uuid import UUID

from .errors import InvalidKeyError


def normal_key(key: object) -> str:
    """The normal form of a cache key: one segment of a path.

    Raises `InvalidKeyError` for any key that is not text or a tuple or list of plain values.

    >>> normal_key("fetch/user"), normal_key(("user", 7))
    ('fetch~1user', '~(user,~i7)')
    """
    if type(key) is str and key.isascii() and "~" not in key and "/" not in key and key:
        return key
    if isinstance(key, str) and not isinstance(key, Enum):
        return _text(key)
    if is_sequence(key) and key:
        return "~(" + ",".join([_part(part, key) for part in key]) + ")"
    if (of_file := _file_key(key)) is not None:
        return f"~(~p{_inside(of_file)})"
    raise InvalidKeyError(_complaint(key))


def is_sequence(value: object) -> TypeGuard[Sequence[object]]:
    """Whether the value is a list or a tuple."""
    return isinstance(value, (tuple, list))


def _text(text: str) -> str:
    if not text:
        raise InvalidKeyError("a cache key cannot be empty text: it names the task's stored result")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidKeyError(
            f"the cache key {text!r} has an unpaired surrogate, which cannot be encoded as UTF-8"
        ) from None
    return normalize("NFC", text).replace("~", "~0").replace("/", "~1")


def _part(part: object, key: object) -> str:
    if type(part) is int:
        return f"~i{part}"
    if isinstance(part, Enum):
        return f"~e{_inside(f'{type(part).__qualname__}.{part.name}')}"
    if isinstance(part, str):
        return _inside(part) if part else "~s"
    if isinstance(part, bool):
        return f"~b{part:d}"
    if isinstance(part, numbers.Integral):
        return f"~i{int(part)}"
    if isinstance(part, float) and not math.isnan(part):
        return f"~f{float(part)!r}"
    if isinstance(part, Decimal) and not part.is_nan():
        return f"~n{part}"
    if isinstance(part, datetime):
        return f"~t{part.isoformat()}"
    if isinstance(part, date):
        return f"~d{part.isoformat()}"
    if isinstance(part, UUID):
        return f"~u{part}"
    if (of_file := _file_key(part)) is not None:
        return f"~p{_inside(of_file)}"
    raise InvalidKeyError(_complaint(key, part))


def _file_key(part: object) -> str | None:
    """The text that stands for a `File`; None for other values."""
    key_of = getattr(type(part), "__trigger_key__", None)
    return None if key_of is None else key_of(part)


def _inside(text: str) -> str:
    return _text(text).replace(",", "~2")


def _complaint(key: object, *parts: object) -> str:
    what = f"{type(key).__name__}: {key!r:.100}"
    for part in parts:
        what += f", with a part of type {type(part).__name__}: {part!r:.100}"
    return (
        "a cache key is text, or a tuple of text, numbers, booleans, dates, UUIDs, enums and files, "
        f'such as "fetch-user" or ("fetch-user", 7); this one is {what}'
    )


_LETTERS = frozenset("iebfntdup")


def display_key(segment: str) -> str:
    """The readable form of a path's segment.

    >>> display_key("fetch~1user"), display_key("~(user,~i7)")
    ('fetch/user', 'user · 7')
    """
    if "~" not in segment:
        return segment
    if segment.startswith("~(") and segment.endswith(")"):
        return " · ".join(_plain(part) for part in segment[2:-1].split(","))
    return _plain(segment)


def display_path(path: str) -> str:
    """The readable form of a path.

    >>> display_path("parent/~(user,~i7)")
    'parent/user · 7'
    """
    return "/".join(map(display_key, path.split("/")))


def _plain(part: str) -> str:
    if part == "~s":
        return '""'
    if len(part) > 1 and part[0] == "~" and part[1] in _LETTERS:
        text = part[2:]
        part = {"1": "True", "0": "False"}[text] if part[1] == "b" else text
    return part.replace("~2", ",").replace("~1", "/").replace("~0", "~")


def parent_path(path: str) -> str:
    """The path of the task that contains a task; "" for the run itself."""
    return path.rpartition("/")[0]


def last_segment(path: str) -> str:
    """The normal form of a task's own key."""
    return path.rpartition("/")[2]


def ancestors(path: str) -> list[str]:
    """The paths of the tasks that contain a task, innermost first, without the run."""
    found: list[str] = []
    while path := parent_path(path):
        found.append(path)
    return found


def is_within(path: str, scope: str) -> bool:
    """Whether a task is inside the scope of another task, and is not that task itself."""
    return not scope or path.startswith(scope + "/")


def idempotency_key(run_id: str, path: str, generation: int) -> str:
    """The idempotency key that a task passes to services: 40 characters (I6).

    It is the same in every attempt, pass and kernel. It changes with `generation`, which counts how often a
    completed result was discarded on purpose.
    """
    token = f"{run_id}\0{path}\0{generation}".encode()
    return "tnb_" + hashlib.sha256(token).hexdigest()[:36]


def hashed(prefix: str, *parts: str) -> str:
    """An id computed from `parts`: the same parts always give the same id."""
    return prefix + hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]
