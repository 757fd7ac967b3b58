"""What a codec is, and what the engine asks of all of them together."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol


class Encoded(NamedTuple):
    """A value as text.

    `form` is "" when parsing `text` as JSON gives the value itself, equal in value and type, and
    "tagged" when the codec must read it. `text` is ASCII JSON either way.
    """

    form: str
    text: str


class Blobs(Protocol):
    """Where a codec puts bytes too large for a row: a folder of one run's files."""

    def put(self, data: bytes) -> str:
        """Keep `data` durably and return its name."""
        ...

    def get(self, name: str) -> bytes:
        """The bytes of that name; `CorruptRecordError` when they are missing or are not what was put."""
        ...


class Unstored:
    """Stands for a result that could not be kept (rule S4)."""


__all__ = ["Any", "Blobs", "Encoded", "Unstored"]
