"""What tests of plans compare."""

from __future__ import annotations

import sqlite3
from contextlib import closing


def keys(tasks):
    return [task.key for task in tasks]


def whys(plan):
    return [(task.key, str(task.reason)) for task in plan.runs]


def rows(world):
    """All that the store holds."""
    with closing(sqlite3.connect(world.client.runtime.store.directory / "cache.db")) as database:
        return database.execute("SELECT key, value, tag FROM Cache ORDER BY rowid").fetchall()
