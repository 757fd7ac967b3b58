"""Which items of a map a front end has rows of. The others it knows by their number: there may be very many."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from itertools import islice

from .rows import FOLDED, Row, State, Tally, position

_UNASKED = 300  # failed items of one map, and other ones that are not folded, which are shown unasked
_PAGE = 500  # items that are shown at a time, when they are asked for
_FOUND = 200  # items that a search shows at most


class Items:
    """The items of maps that are shown: what is under way, what has failed, and what was asked for."""

    def __init__(self) -> None:
        self._shown: dict[str, tuple[State, bool]] = {}  # by path: the state as which it counts, if replayed
        self._tallies: dict[str, Tally] = {}  # of those shown, by their map's path
        self._asked: dict[str, dict[str, None]] = {}  # by a map's path: items that somebody wants to see
        self._found: dict[str, None] = {}  # those that a search has found
        self._held: dict[str, int] = {}  # those that somebody looks into, and how many do

    def shows(self, items: list[Row]) -> bool:
        """Whether a row in these is shown, as they are now: every item that it is in has to be."""
        return all([self._shows(item) for item in reversed(items)])  # noqa: C419  # it notes each

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

    def _has_room(self, item: Row, before: tuple[State, bool] | None, tally: Tally) -> bool:
        if item.state in FOLDED:
            return True
        failed = tally.states[State.FAILED]
        is_failed = item.state is State.FAILED
        if before is not None and before[0] not in FOLDED and (before[0] is State.FAILED) == is_failed:
            return True
        others = tally.rows - failed - sum(tally.states[state] for state in FOLDED)
        return (failed if is_failed else others) < _UNASKED

    def drop(self, item: Row) -> None:
        """It is not shown any more."""
        if item.parent is not None and (before := self._shown.pop(item.path, None)) is not None:
            self._tallies[item.parent.path].add(*before, -1)

    def rest(self, scope: Row) -> dict[str, int]:
        """How many items of a map are not shown: by state, and of all of them those replayed."""
        shown = self._tallies.get(scope.path, Tally())
        rest = {str(state): count - shown.states[state] for state, count in scope.tally.items()}
        rest["replayed"] = scope.tally.replayed - shown.replayed
        return {name: count for name, count in rest.items() if count > 0}

    # --- what is asked for --------------------------------------------------------------

    def ask(self, scope: Row, state: str) -> list[Row]:
        """Show the next items of a map that are in a state. Returns them."""
        alike = (item for item in scope.children.values() if item.state == state)
        hidden = (item for item in alike if item.path not in self._shown)
        page = heapq.nsmallest(_PAGE, hidden, key=position)
        self._asked.setdefault(scope.path, {}).update((item.path, None) for item in page)
        return page

    def let_go(self, scope: Row) -> Iterable[str]:
        """Show no more of a map than unasked. Returns the paths of those that were asked for."""
        return self._asked.pop(scope.path, {})

    def found(self, paths: Iterable[str]) -> Iterable[str]:
        """Show what a search has found, in place of what the last one has. Returns the paths that are affected."""
        before, self._found = self._found, dict.fromkeys(paths)
        return [*before, *self._found]

    def hold(self, row: Row) -> None:
        """Somebody looks into the row: it stays, whatever becomes of it."""
        for item in row.items:
            self._held[item.path] = self._held.get(item.path, 0) + 1

    def release(self, row: Row) -> list[Row]:
        """Nobody does any more. Returns the items that it is in."""
        for item in row.items:
            self._held[item.path] -= 1
            if not self._held[item.path]:
                del self._held[item.path]
        return row.items

    def restart(self) -> None:
        """Nothing is shown any more; what was asked for stays so."""
        self._shown.clear()
        self._tallies.clear()
        self._held.clear()

    @property
    def wanted(self) -> Iterator[str]:
        """The paths of what was asked for, in whatever way."""
        for asked in self._asked.values():
            yield from asked
        yield from self._found


class Search:
    """Looks for a text in the names and keys of items, a few at a time."""

    def __init__(self, maps: Iterable[Row], text: str) -> None:
        self.paths: list[str] = []
        self.over = False
        self._text = text.lower()
        self._rows = (item for scope in maps for item in list(scope.children.values()))

    def go_on(self, count: int) -> None:
        """Look at so many more."""
        looked = 0
        for item in islice(self._rows, count):
            looked += 1
            if self._text in item.name.lower() or self._text in item.key.lower():
                self.paths.append(item.path)
        self.over = looked < count or len(self.paths) >= _FOUND
        del self.paths[_FOUND:]
