"""A checksum for each row, so that a row that the disk or another program has changed is never taken for what was written.

`records.checksums` makes it. Two columns that diskcache uses with other eviction policies only hold it: `store_time` that
of the text as a pass reads it, and `access_time` that of the whole text, if that is longer. A query subtracts the rank again.
A row without a checksum is from a store of format 1, and is read as it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias
from zlib import crc32

from .._records.base import damaged

# The checksum of key and whole text, and of key and abridged text, as SQL.
OF_WHOLE = "coalesce(access_time, store_time) - access_count"
OF_ABRIDGED = "store_time - access_count"
# Key, text and checksum, as the database has them: of any type in a row that another program wrote.
Found: TypeAlias = tuple[Any, Any, float | None]


def checked(rows: Iterable[Found], wrong: list[str]) -> list[tuple[str, str]]:
    """Key and text of rows, and the keys of those that are `wrong`: their texts are marked as damaged.

    A row is wrong if its checksum differs, or if another program wrote a key or value that is no text.
    """
    found: list[tuple[str, str]] = []
    add = found.append
    for key, text, checksum in rows:
        # As in `checksums`, written out: a pass reads all its records here.
        if crc32(f"{key}{text}".encode()) == checksum or _is_older(key, text, checksum):
            add((key, text))
        else:
            wrong.append(key := as_text(key))
            add((key, damaged(text if isinstance(text, str) else "")))
    return found


def _is_older(key: object, text: object, checksum: float | None) -> bool:
    return checksum is None and isinstance(key, str) and isinstance(text, str)


def as_text(key: object) -> str:
    """The key of any row as text, to show it or to look for it."""
    return key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key)
