"""Canonical texts of values, for comparison: values have the same text only if they are equal."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any, cast

from ..errors import NotStorableError
from .codec import write_value
from .json_text import dumps_sorted, is_plain, plain_text
from .tagged import TAG, Counts, Writer


def canonical(value: Any, counts: Counts = "changed", may_read: bool = True) -> str:
    """The canonical text of a value, which is part of a run's identity (rule I1).

    The order of keys and of sets does not count. Types count: 1, 1.0 and True differ. An instance counts by its class
    and by the fields that differ from their defaults, a table by its schema, values and attributes. Secrets do not
    count. A `File` counts by its path and its content. `counts` and `may_read` are as for `Writer`: with "set", it is the
    text by which runs up to November 2026 are found. Raises `NotStorableError` for a part that no codec can write, and
    `UnreadableFileError`.
    """
    if is_plain(value):
        text = plain_text(value, dumps_sorted)
        if text is not None:
            return text
    writer = Writer(_Digests(), canonical=True, counts=counts, may_read=may_read)
    return write_value(writer, value, dumps_sorted)


class _Digests:
    """Blobs that keep only a hash of each content."""

    def put(self, data: bytes) -> str:
        return hashlib.sha256(data).hexdigest()

    def get(self, name: str) -> bytes:
        raise NotImplementedError


Differences = Iterator[tuple[str, str, str]]


def differences(left: Any, right: Any, new_fields: set[tuple[str, str]]) -> Differences:
    """The fields of instances in two values whose contents differ: the path, and the two contents as short texts.

    The `new_fields` of classes count as absent on the left.
    """
    try:
        pair = [Writer(_Digests(), canonical=True, counts="all").write(each) for each in (left, right)]
    except NotStorableError:
        return
    yield from _differences("", pair[0], pair[1], new_fields)


def _differences(path: str, left: Any, right: Any, new: set[tuple[str, str]]) -> Differences:
    if not new and dumps_sorted(left) == dumps_sorted(right):
        return
    if type(left) is type(right) is list and len(left) == len(right):
        for index, pair in enumerate(zip(left, right, strict=True)):
            yield from _differences(f"{path}[{index}]", *pair, new)
    elif type(left) is type(right) is dict and left.get(TAG) == right.get(TAG):
        for name in {**left, **right}:
            ours, theirs = left.get(name, _ABSENT), right.get(name, _ABSENT)
            if name == "v" and TAG in left and isinstance(ours, dict):
                of = str(left.get("of"))
                values = cast("dict[str, Any]", ours)
                ours = {each: _ABSENT if (of, each) in new else item for each, item in values.items()}
            is_inside = TAG in left and name in ("v", "extra", "more", "private")
            yield from _differences(path if is_inside else f"{path}.{name}".lstrip("."), ours, theirs, new)
    elif dumps_sorted(left) != dumps_sorted(right):
        yield path, _brief(left), _brief(right)


_ABSENT = {TAG: "absent", "v": "absent"}


def _brief(data: Any) -> str:
    if isinstance(data, dict) and TAG in data:
        tagged = cast("dict[str, Any]", data)
        data = tagged.get("v", tagged[TAG])
    text = json.dumps(data, ensure_ascii=False)
    return text if len(text) <= 60 else text[:59] + "…"


def fingerprint_inputs(params: Any, counts: Counts = "changed", may_read: bool = True) -> str:
    """A short text that changes when `params` changes; "" if no codec can write a part of it.

    `counts` and `may_read` are as for `canonical`.
    """
    if type(params) is not tuple:
        return _fingerprint(params, counts, may_read)
    args = cast("tuple[Any, ...]", params)
    if len(args) == 1 and type(args[0]) is int and -(2**63) < args[0] < 2**63:
        return f"({args[0]})"  # the common case of a loop over numbers: a fast path to the same text
    items = list(args)
    text = plain_text(items, dumps_sorted) if is_plain(items) else None
    return _fingerprint(args, counts, may_read) if text is None else _shortened(f"({text[1:-1]})")


def _fingerprint(params: Any, counts: Counts, may_read: bool) -> str:
    try:
        return _shortened(canonical(params, counts, may_read))
    except NotStorableError:
        return ""


def _shortened(text: str) -> str:
    return text if len(text) <= 64 else hashlib.sha256(text.encode()).hexdigest()[:16]
