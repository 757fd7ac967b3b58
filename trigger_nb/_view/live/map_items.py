"""The selection of map items that a front end gets as rows. All others are only counted: there may be very many."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping

from ..model.rows import FOLDED, Row, State, Tally, position

_UNASKED = 300  # items of one map that are shown without a request: failed ones, and as many active ones
_PAGE = 500  # items that one request shows
_DELAY = 0.3  # seconds that an item must run before it is shown


class Items:
    """The map items that are shown: active and failed ones, and all that the user requested."""

    def __init__(self) -> None:
        self._shown: dict[str, tuple[State, int]] = {}  # by path: state, and whether replayed
        self._tallies: dict[str, Tally] = {}  # of shown items, by the path of their map
        self._asked: dict[str, dict[str, None]] = {}  # requested items, by the path of their map
        self._found: dict[str, None] = {}  # found by the search
        self._held: dict[str, int] = {}  # number of open details in an item

    def shows(self, items: list[Row]) -> bool:
        """Whether all of these nested items are shown; a row inside them is shown only then."""
        return all([self._shows(item) for item in reversed(items)])  # noqa: C419  # `_shows` must be called for each item

    def _shows(self, item: Row) -> bool:
        assert item.parent is not None
        if item.state in FOLDED and not self._is_wanted(item):
            self.drop(item)
            return False
        tally = self._tallies.setdefault(item.parent.path, Tally())
        before = self._shown.get(item.path)
        if not self._has_room(item, before, tally) and not self._is_wanted(item):
            self.drop(item)
            return False
        now = (item.state, item.replayed)
        if before != now:
            if before is not None:
                tally.add(*before, -1)
            tally.add(*now)
            self._shown[item.path] = now
        return True

    def _is_wanted(self, item: Row) -> bool:
        path = item.path
        asked = self._asked.get(item.parent.path, ()) if item.parent is not None else ()
        return path in asked or path in self._found or path in self._held

    def _has_room(self, item: Row, before: tuple[State, int] | None, tally: Tally) -> bool:
        if item.state in FOLDED:
            return True
        failed = tally.states[State.FAILED]
        is_failed = item.state is State.FAILED
        if before is not None and before[0] not in FOLDED and (before[0] is State.FAILED) == is_failed:
            return True
        others = tally.rows - failed - sum(tally.states[state] for state in FOLDED)
        return (failed if is_failed else others) < _UNASKED

    def drop(self, item: Row) -> None:
        """Stop showing an item."""
        if item.parent is not None and (before := self._shown.pop(item.path, None)) is not None:
            self._tallies[item.parent.path].add(*before, -1)

    def rest(self, scope: Row) -> dict[str, int]:
        """The number of items of a map that are not shown, by state; "replayed" and "reused" across all states."""
        shown = self._tallies.get(scope.path, Tally())
        rest = {str(state): count - shown.states[state] for state, count in scope.tally.items()}
        reused = rest["reused"] = scope.tally.reused - shown.reused
        rest["replayed"] = scope.tally.replayed - shown.replayed - reused
        return {name: count for name, count in rest.items() if count > 0}

    # --- requests -----------------------------------------------------------------------

    def ask(self, scope: Row, state: str) -> list[Row]:
        """Show the next hidden items of a map in one state. Returns these items."""
        alike = (item for item in scope.children.values() if item.state == state)
        hidden = (item for item in alike if item.path not in self._shown)
        page = heapq.nsmallest(_PAGE, hidden, key=position)
        self._asked.setdefault(scope.path, {}).update((item.path, None) for item in page)
        return page

    def let_go(self, scope: Row) -> Iterable[str]:
        """Forget the requests for items of a map. Returns the paths of the requested items."""
        return self._asked.pop(scope.path, {})

    def found(self, paths: Iterable[str]) -> Iterable[str]:
        """Show the results of a search instead of the previous results. Returns the affected paths."""
        before, self._found = self._found, dict.fromkeys(paths)
        return [*before, *self._found]

    def hold(self, row: Row) -> None:
        """Keep showing a row, in any state, while its details are open."""
        for item in row.items:
            self._held[item.path] = self._held.get(item.path, 0) + 1

    def release(self, row: Row) -> list[Row]:
        """Undo one `hold`. Returns the map items that contain the row."""
        for item in row.items:
            self._held[item.path] -= 1
            if not self._held[item.path]:
                del self._held[item.path]
        return row.items

    def restart(self) -> None:
        """Mark all items as not shown; requests remain."""
        self._shown.clear()
        self._tallies.clear()
        self._held.clear()

    @property
    def wanted(self) -> Iterator[str]:
        """The paths of all requested and found items."""
        for asked in self._asked.values():
            yield from asked
        yield from self._found


class Delay:
    """Holds back running items of large maps for a moment: most of them end before anyone could read them."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}  # by path of a held item: monotonic time
        self._passed: set[str] = set()  # paths of running items that are not held any more

    def __bool__(self) -> bool:
        return bool(self._since)

    def holds(self, item: Row, is_sent: bool, now: float, monotonic: float) -> bool:
        """Whether to hold back an item; `now` is the time by the model's clock."""
        if item.state is not State.RUNNING:
            self._passed.discard(item.path)
            return False
        if is_sent or item.path in self._passed or item.record is None:
            return False
        if now - item.record.started_at >= _DELAY:
            return False
        self._since.setdefault(item.path, monotonic)
        return True

    def released(self, rows: Mapping[str, Row], monotonic: float) -> Iterator[Row]:
        """The items that are not held any more because they still run."""
        for path, since in list(self._since.items()):
            row = rows[path]
            if row.state is not State.RUNNING:
                del self._since[path]
            elif monotonic - since >= _DELAY:
                del self._since[path]
                self._passed.add(path)
                yield row
