"""A check of the sizes in a stream of Arrow, before a library reads it.

polars ends the process when it cannot allocate as much memory as a damaged stream asks for, and both polars and pyarrow would
decompress a small buffer into any number of bytes. The format: https://arrow.apache.org/docs/format/Columnar.html, in
FlatBuffers: a table has a vtable with the place of each of its fields, by the number of the field in the schema.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

_CONTINUATION: Final = 0xFFFFFFFF
_SCHEMA, _DICTIONARY, _BATCH = 1, 2, 3  # types of messages
# A column of Python's objects: polars takes its values for pointers.
_OBJECTS: Final = b"POLARS_EXTENSION_TYPE"
_MOST_ROWS: Final = 2**40


def check_stream(data: bytes) -> None:
    """Raise `ValueError` for a stream whose buffers do not lie in it, or are compressed, which ours never are."""
    try:
        at = 0
        while at + 8 <= len(data):
            marker, size = struct.unpack_from("<II", data, at)
            if marker != _CONTINUATION:
                raise ValueError("a message does not begin as messages do")
            at += 8
            if size == 0:  # the end
                return
            body = _checked_message(data[at : at + size], len(data) - at - size)
            at += size + body
    except struct.error as error:
        raise ValueError("a message of the stream ends too early") from error


def _checked_message(metadata: bytes, left: int) -> int:
    """The size of a message's body, of which at most `left` bytes are there."""
    message = _Table.at(metadata, 0)
    body = message.number(3, "<q")
    if not 0 <= body <= left:
        raise ValueError("the body of a message is longer than the stream")
    kind = message.number(1, "<B")
    if kind == _SCHEMA and _OBJECTS in metadata:
        raise ValueError("a column has objects, which are never stored")
    if kind in (_DICTIONARY, _BATCH):
        batch = message.table(2)
        if kind == _DICTIONARY:
            batch = batch.table(1)
        if batch.field(3):
            raise ValueError("the stream is compressed")
        buffers = list(batch.pairs(2))
        lengths = [batch.number(0, "<q"), *(length for length, _ in batch.pairs(1))]
        if not all(0 <= length <= _MOST_ROWS for length in lengths):
            raise ValueError("a column has too many rows")
        if not all(start >= 0 and size >= 0 and start + size <= body for start, size in buffers):
            raise ValueError("a buffer is not in the body of its message")
        if not all(0 <= count <= len(buffers) for count in batch.numbers(4)):
            raise ValueError("a column has more buffers than there are")
    return body


class _Table(NamedTuple):
    """A table of FlatBuffers."""

    data: bytes
    place: int

    @classmethod
    def at(cls, data: bytes, reference: int) -> _Table:
        """The table that is referred to at a place."""
        return cls(data, reference + struct.unpack_from("<I", data, reference)[0])

    def field(self, number: int) -> int:
        """The place of a field; 0 if the table has no such field."""
        vtable = self.place - struct.unpack_from("<i", self.data, self.place)[0]
        if vtable < 0 or 4 + 2 * number >= struct.unpack_from("<H", self.data, vtable)[0]:
            return 0
        offset = struct.unpack_from("<H", self.data, vtable + 4 + 2 * number)[0]
        return self.place + offset if offset else 0

    def number(self, field: int, form: str) -> int:
        """A field that is a number; 0 if it is not there."""
        place = self.field(field)
        return struct.unpack_from(form, self.data, place)[0] if place else 0

    def table(self, field: int) -> _Table:
        """A field that is a table."""
        place = self.field(field)
        if not place:
            raise ValueError("a message has no content")
        return _Table.at(self.data, place)

    def pairs(self, field: int) -> Iterator[tuple[int, int]]:
        """The elements of a field that is a vector of structs of two numbers."""
        return ((first, second) for first, second in self._elements(field, "<qq"))

    def numbers(self, field: int) -> Iterator[int]:
        """The elements of a field that is a vector of numbers."""
        return (number for (number,) in self._elements(field, "<q"))

    def _elements(self, field: int, form: str) -> Iterator[tuple[int, ...]]:
        place = self.field(field)
        if not place:
            return iter(())
        place += struct.unpack_from("<I", self.data, place)[0]
        count = struct.unpack_from("<I", self.data, place)[0]
        size = struct.calcsize(form) * count
        if place + 4 + size > len(self.data):
            raise ValueError("a message ends too early")
        return struct.iter_unpack(form, self.data[place + 4 : place + 4 + size])
