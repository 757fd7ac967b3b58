"""Pointers to results that other runs may reuse: rows of the database beside the records.

A pointer's key is `reuse/<digest>/<job>`, and its text is the key of a task's record. The digest stands for the body's code
and its arguments, so one look-up in the index over keys finds a result in any run of a job, and with the beginning of the
key in any run of the client. A pointer whose record is gone leads nowhere, and is found by no query.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager
from typing import Any

from .._records.base import is_damaged
from .checksums import OF_WHOLE, Found, checked
from .protocol import Row, Shared

TAG = "reuse"
# CROSS JOIN: SQLite takes the tables in this order, with one search in the index for each.
LOOK_UP = """
SELECT r.key, r.value, coalesce(r.access_time, r.store_time) - r.access_count
FROM json_each(?) AS wanted
CROSS JOIN Cache AS p ON p.raw = 1 AND p.key >= wanted.value AND p.key < wanted.value || '~'
CROSS JOIN Cache AS r ON r.raw = 1 AND r.key = p.value
"""
# The pointers that lead nowhere.
SWEEP = """
DELETE FROM Cache WHERE tag = 'reuse'
AND NOT EXISTS (SELECT 1 FROM Cache AS r WHERE r.raw = 1 AND r.key = Cache.value)
"""
POINTERS = "SELECT key, value FROM Cache WHERE tag = 'reuse' AND typeof(value) = 'text'"
# Records that may have a digest: without an index, so this is asked only when runs are deleted that pointers lead to.
ALL = f"""SELECT key, value, {OF_WHOLE} FROM Cache WHERE raw = 1 AND instr(value, '"reuse":"')"""

_DIGEST = re.compile(r'"reuse":"([0-9a-f]{32})"')


def pointer(digest: str, job: str, key: str) -> Row:
    """The row that leads from a digest to the record with this key. The latest one replaces those before."""
    return Row(f"{TAG}/{digest}/{job}", TAG, key)


def question(digests: Iterable[str], job: str | None) -> str:
    """The parameter of `LOOK_UP`: for results of one job, or of all jobs."""
    return json.dumps([f"{TAG}/{digest}/{job or ''}" for digest in digests])


def has_one_of(shared: Shared, digests: Collection[str]) -> bool:
    """Whether a record's text may have one of these digests."""
    return any(each in digests for each in _DIGEST.findall(shared.text))


def found(rows: Iterable[Found]) -> list[Shared]:
    """The results that `LOOK_UP` has found, without those whose rows are damaged."""
    results: list[Shared] = []
    for key, text in checked(rows, []):
        if not is_damaged(text):
            run_id, _, path = key.partition("/")
            results.append(Shared(run_id, path, text))
    return results


class Pointers:
    """The pointers of a database; a `SharedResults`."""

    def __init__(
        self,
        ask: Callable[..., list[tuple[Any, ...]]],
        writing: Callable[[float | None], AbstractContextManager[sqlite3.Connection]],
    ) -> None:
        self._ask = ask
        self._writing = writing

    def look_up(self, digests: Iterable[str], job: str | None) -> list[Shared]:
        return found(self._ask(LOOK_UP, question(digests, job)))

    def pointers_into(self, run_ids: Collection[str]) -> list[str]:
        return [key for key, aim in self._ask(POINTERS) if aim.partition("/")[0] in run_ids]

    def beside(self, pointers: Collection[str]) -> list[Shared]:
        digests = {key.split("/")[1] for key in pointers}
        return [each for each in found(self._ask(ALL)) if has_one_of(each, digests)] if digests else []

    def sweep(self, *, patience: float | None = None) -> None:
        with self._writing(patience) as sql:
            sql.execute(SWEEP)
