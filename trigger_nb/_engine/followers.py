"""Which tasks first started after a task had ended, for `on_change="rerun"` (rules R6 and R9).

`_records.forget` answers the same for a run at rest, by looking at all records. In a pass, each of thousands of changed
items may ask: the starts are put in order once, and what was found once is not found again.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

from .._keys import ancestors, parent_path
from .._records.records import FAN_OUT

if TYPE_CHECKING:
    from .ledger import Ledger

_NEVER = -1


class Followers:
    """The stored tasks of one pass by their first start. Each task is found once."""

    def __init__(self, ledger: Ledger) -> None:
        self._started: dict[str, int] = {}  # the tasks that were not found yet
        self._fan_outs: set[str] = set()
        # By path: the latest start in it and below.
        self._latest: dict[str, int] = {}
        # By scope: the tasks in it, the one with the latest start first. Invariant: the starts are those of `_latest`.
        self._inside: dict[str, list[tuple[int, str]]] = {}
        for record in ledger.records():
            path = record.path
            self._started[path] = record.started
            if record.kind in FAN_OUT:
                self._fan_outs.add(path)
            for each in (path, *ancestors(path)):
                self._latest[each] = max(self._latest.get(each, _NEVER), record.started)
        for path, latest in self._latest.items():
            self._inside.setdefault(parent_path(path), []).append((-latest, path))
        for heap in self._inside.values():
            heapify(heap)

    def after(self, path: str, end: int) -> list[str]:
        """The tasks that started after this ordinal, the end of the task `path`: neither tasks in it or around it, nor other
        items of maps around it."""
        found: list[str] = []
        for inner in (path, *ancestors(path)):
            scope = parent_path(inner)
            if scope not in self._fan_outs:
                self._take_inside(scope, end, found, leave=inner)
        return found

    def _take_inside(self, scope: str, end: int, found: list[str], leave: str = "") -> None:
        heap = self._inside.get(scope, [])
        kept: list[str] = []
        while heap and -heap[0][0] > end:
            path = heappop(heap)[1]
            if path != leave:
                self._take(path, end, found)
            kept.append(path)
        for path in kept:
            heappush(heap, (-self._latest[path], path))

    def _take(self, path: str, end: int, found: list[str]) -> None:
        self._take_inside(path, end, found)
        own = self._started.get(path, _NEVER)
        if own > end:
            found.append(path)
            del self._started[path]
            own = _NEVER
        below = self._inside.get(path)
        self._latest[path] = max(own, -below[0][0]) if below else own
