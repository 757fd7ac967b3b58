"""Rows of a store, changed behind its back."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from trigger_nb._store.database import sealed
from trigger_nb._store.protocol import Row


def rewrite(store: Path, pattern: str, change: Callable[[str], str], rank: int | None = None) -> int:
    """Change the texts of the rows whose keys are LIKE `pattern`, with the checksums that go with them.

    So does somebody who knows how: such a row must do no harm either. Returns the number of rows.
    """
    with closing(sqlite3.connect(store / "cache.db")) as db, db:
        found = db.execute(
            "SELECT key, tag, value, access_count FROM Cache WHERE key LIKE ?", (pattern,)
        ).fetchall()
        for key, tag, text, old in found:
            *_, rank_now, short, whole = sealed(Row(key, tag, change(text), old if rank is None else rank))
            db.execute(
                "UPDATE Cache SET value = ?, access_count = ?, store_time = ?, access_time = ? WHERE key = ?",
                (change(text), rank_now, short, whole, key),
            )
    return len(found)
