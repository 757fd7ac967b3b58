"""Values in records: inline where they are small, in a file beside the database where they are not."""

from __future__ import annotations

import json
from typing import Any

from . import _codec
from ._codec import Blobs, Encoded
from .errors import NotStorableError

# A longer value text lies in a file beside the database, in bytes.
INLINE_LIMIT = 32_768


def dump(value: Any, blobs: Blobs, *, signed: bool = False) -> Encoded:
    """A value as a record holds it: a form and its JSON text. Raises `NotStorableError`."""
    encoded = _codec.encode_signed(value, blobs) if signed else _codec.encode(value, blobs)
    form, text = encoded
    if len(text) <= INLINE_LIMIT:
        return encoded
    name = blobs.put(text.encode("ascii"))
    return Encoded("file", json.dumps({"file": name, "form": form, "size": len(text)}))


def dump_unstored(error: NotStorableError) -> Encoded:
    """What a record holds of a value that cannot be kept (S4)."""
    return Encoded(
        "unstored", json.dumps({"type": error.type_name, "path": error.path, "reason": error.reason})
    )


def dump_or_describe(value: Any, blobs: Blobs) -> tuple[str, Any]:
    """Form and parsed data of a value, or a description of it where it cannot be kept."""
    try:
        form, text = dump(value, blobs)
    except NotStorableError as error:
        form, text = dump_unstored(error)
    return form, json.loads(text)
