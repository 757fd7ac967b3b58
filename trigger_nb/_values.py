"""Values in records: inline where they are small, in a file beside the database where they are not."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from . import _codec
from ._codec import Blobs, Encoded
from .errors import NotStorableError, StoreError

# A longer value text lies in a file beside the database, in bytes.
INLINE_LIMIT = 32_768


class PatientBlobs:
    """Value files, some of which a failing store did not take: those are kept here for the next pass (A9)."""

    def __init__(self, blobs: Blobs, parked: dict[str, bytes]) -> None:
        self._blobs = blobs
        self._parked = parked
        self._error: StoreError | None = None

    def put(self, data: bytes) -> str:
        try:
            return self._blobs.put(data)
        except StoreError as error:
            self._error = error
            name = hashlib.sha256(data).hexdigest()
            self._parked[name] = data
            return name

    def check(self) -> None:
        """Raise what the store raised: no record that may name a parked file is to be committed."""
        if self._error is not None:
            raise self._error

    def get(self, name: str) -> bytes:
        return self._parked[name] if name in self._parked else self._blobs.get(name)


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
