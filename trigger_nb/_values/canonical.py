"""The canonical form of a value: equal values have equal forms, and only those."""

from __future__ import annotations

import hashlib
from typing import Any, cast

from ..errors import NotStorableError
from .codec import write_value
from .json_text import dumps_sorted, is_plain, plain_text
from .tagged import Writer


# -- identity
def canonical(value: Any) -> str:
    """A text that two values share when they count as the same for a run's identity (rule I1).

    The order of keys and of sets does not count, types do: 1, 1.0 and True differ. A model counts
    by the fields that were set, a table by its schema and values, a secret not at all.
    Raises `NotStorableError` for a part that no codec can write.
    """
    if is_plain(value):
        text = plain_text(value, dumps_sorted)
        if text is not None:
            return text
    return write_value(Writer(_Digests(), canonical=True), value, dumps_sorted)


class _Digests:
    """Takes the place of files where only their content counts."""

    def put(self, data: bytes) -> str:
        return hashlib.sha256(data).hexdigest()

    def get(self, name: str) -> bytes:
        raise NotImplementedError


def fingerprint_inputs(params: Any) -> str:
    """A short text that changes when `params` does; "" when a part of them cannot be told."""
    if type(params) is not tuple:
        return _fingerprint(params)
    args = cast("tuple[Any, ...]", params)
    if len(args) == 1 and type(args[0]) is int and -(2**63) < args[0] < 2**63:
        return f"({args[0]})"  # a loop over numbers: the shortest way to the same text
    items = list(args)
    text = plain_text(items, dumps_sorted) if is_plain(items) else None
    return _fingerprint(args) if text is None else _shortened(f"({text[1:-1]})")


def _fingerprint(params: Any) -> str:
    try:
        return _shortened(canonical(params))
    except NotStorableError:
        return ""


def _shortened(text: str) -> str:
    return text if len(text) <= 64 else hashlib.sha256(text.encode()).hexdigest()[:16]
