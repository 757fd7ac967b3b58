"""Canonical texts of values, for comparison: values have the same text only if they are equal."""

from __future__ import annotations

import hashlib
from typing import Any, cast

from ..errors import NotStorableError
from .codec import write_value
from .json_text import dumps_sorted, is_plain, plain_text
from .tagged import Writer


def canonical(value: Any, *, earlier: bool = False) -> str:
    """The canonical text of a value, which is part of a run's identity (rule I1).

    The order of keys and of sets does not count. Types count: 1, 1.0 and True differ. An instance counts by its class
    and by the fields that differ from their defaults, a table by its schema, values and attributes. Secrets do not
    count. `earlier` gives the text up to November 2026, by which older runs are found. Raises `NotStorableError` for
    a part that no codec can write.
    """
    if is_plain(value):
        text = plain_text(value, dumps_sorted)
        if text is not None:
            return text
    return write_value(Writer(_Digests(), canonical=True, earlier=earlier), value, dumps_sorted)


class _Digests:
    """Blobs that keep only a hash of each content."""

    def put(self, data: bytes) -> str:
        return hashlib.sha256(data).hexdigest()

    def get(self, name: str) -> bytes:
        raise NotImplementedError


def fingerprint_inputs(params: Any) -> str:
    """A short text that changes when `params` changes; "" if no codec can write a part of it."""
    if type(params) is not tuple:
        return _fingerprint(params)
    args = cast("tuple[Any, ...]", params)
    if len(args) == 1 and type(args[0]) is int and -(2**63) < args[0] < 2**63:
        return f"({args[0]})"  # the common case of a loop over numbers: a fast path to the same text
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
