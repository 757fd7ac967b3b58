"""What the tests of the codec share: files in memory, a round trip through text, and equality in type."""

from __future__ import annotations

import dataclasses
import enum
import json
import math
from collections import deque
from decimal import Decimal
from typing import Any

from trigger_nb._values.codec import decode, encode


class MemoryBlobs:
    """Files of a run, in memory."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def put(self, data: bytes) -> str:
        name = f"file-{len(self.files)}"
        self.files[name] = data
        return name

    def get(self, name: str) -> bytes:
        return self.files[name]


def round_trip(value: Any, blobs: MemoryBlobs | None = None) -> Any:
    """The value as a later kernel would get it: through text and parsed again."""
    blobs = blobs or MemoryBlobs()
    encoded = encode(value, blobs)
    assert encoded.text.isascii()
    return decode(encoded.form, json.loads(encoded.text), blobs)


def same(left: Any, right: Any) -> bool:
    """Equal in value and type, all the way down; NaN is NaN and -0.0 is not 0.0."""
    if type(left) is not type(right):
        return False
    if isinstance(left, enum.Enum):
        return left is right
    if isinstance(left, float):
        return (math.isnan(left) and math.isnan(right)) or (
            left == right and math.copysign(1, left) == math.copysign(1, right)
        )
    if isinstance(left, complex):
        return same(left.real, right.real) and same(left.imag, right.imag)
    if isinstance(left, dict):
        pairs = zip(left.items(), right.items(), strict=True)
        return len(left) == len(right) and all(same(list(a), list(b)) for a, b in pairs)
    if isinstance(left, (list, tuple, deque)):
        return len(left) == len(right) and all(same(a, b) for a, b in zip(left, right, strict=True))
    if isinstance(left, (set, frozenset)):
        return len(left) == len(right) and all(any(same(a, b) for b in right) for a in left)
    if dataclasses.is_dataclass(left):
        names = [field.name for field in dataclasses.fields(left)]
        return all(same(getattr(left, name), getattr(right, name)) for name in names)
    if isinstance(left, int):
        return left == right
    if isinstance(left, Decimal):  # a NaN equals nothing, and a signalling one raises when it is compared
        return left.as_tuple() == right.as_tuple()
    return left == right and repr(left) == repr(right)
