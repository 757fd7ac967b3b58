"""The selection of rows to draw when a run has too many of them."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from ..._keys import parent_path
from .rows import Row, State, Tally, position
from .run_model import RunModel


@dataclass(frozen=True, slots=True)
class Shown:
    """The rows to draw, and counts of the others."""

    by_scope: dict[str, list[Row]] | None  # None: all rows

    @classmethod
    def only(cls, rows: Iterable[Row]) -> Shown:
        by_scope: dict[str, list[Row]] = {}
        for row in sorted(rows, key=_place):
            by_scope.setdefault(parent_path(row.path), []).append(row)
        return cls(by_scope)

    def of(self, scope: Row) -> tuple[list[Row], Tally]:
        """The children of a scope to draw, in order, and the tally of the others."""
        if self.by_scope is None:
            return scope.ordered(), Tally()
        rows = self.by_scope.get(scope.path, [])
        return rows, scope.tally.without(rows)


def _place(row: Row) -> tuple[bool, tuple[float, str]]:
    """The sort key of a row: among the items of a large map, failed ones come first."""
    is_item = row.parent is not None and row.parent.folds
    return not (is_item and row.state is State.FAILED), position(row)


def latest(model: RunModel, *, rows: int) -> Shown:
    """The selection for a run under way: active, failed and recent rows; the others are counted.

    The cost does not depend on the number of tasks.
    """
    if len(model.rows) <= rows:
        return Shown(None)
    chosen: dict[str, Row] = {}
    _choose(chosen, _last(model.active, rows // 2), rows)
    _choose(chosen, _last(model.failed, rows // 4), rows)
    _choose(chosen, reversed(model.recent), rows - rows // 4)
    _choose(chosen, model.root.ordered()[:rows], rows)
    return Shown.only(chosen.values())


def outline(model: RunModel, *, rows: int, fold: int) -> Shown:
    """The selection for a run at rest: failed, active, changed and slow rows; then from the top down.

    At most about `rows` rows. A scope with more than `fold` children shows only a few of them.
    """
    if len(model.rows) <= rows and all(
        len(row.children) <= fold for row in (model.root, *model.rows.values())
    ):
        return Shown(None)
    chosen: dict[str, Row] = {}
    _choose(chosen, model.failures[: rows // 3], rows)
    _choose(chosen, _last(model.active, rows // 8), rows)
    _choose(chosen, [*_last(model.changed, rows // 16), *_last(model.unstored, rows // 16)], rows)
    leaves = (row for row in model.root.standing() if not row.children and row.state is State.COMPLETED)
    _choose(chosen, heapq.nlargest(min(10, rows // 10), leaves, key=_took), rows)
    scopes = deque([model.root])
    while scopes and len(chosen) < rows:
        scope = scopes.popleft()
        children = scope.ordered()
        some = children if len(children) <= fold else [*children[:2], children[-1]]
        _choose(chosen, some, rows)
        scopes.extend(child for child in some if child.children)
    return Shown.only(chosen.values())


def _took(row: Row) -> float:
    return row.duration(None) or 0.0


def _last(rows: dict[str, Row], count: int) -> list[Row]:
    """The `count` newest entries, newest first."""
    return list(islice(reversed(rows.values()), count))


def _choose(chosen: dict[str, Row], rows: Iterable[Row], limit: int) -> None:
    """Add rows and their ancestors, up to the limit."""
    for row in rows:
        if len(chosen) >= limit:
            return
        up: Row | None = row
        while up is not None and up.path and up.path not in chosen:
            chosen[up.path] = up
            up = up.parent
