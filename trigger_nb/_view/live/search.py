"""The search for a text in what the front end does not have: unsent map items, and the details of all rows."""

from __future__ import annotations

from collections.abc import Iterator

from ..model.contents import found_in
from ..model.rows import Row
from ..model.run_model import RunModel

_ITEMS = 200  # map items that a search shows at most
_FOUND = 500  # rows in whose details it is found, at most
_NAMES = 100  # rows between two looks at the clock, ...
_DETAILS = 5  # ... and rows whose details are looked through, which may have to be read from the store


class Search:
    """A search, done step by step: names and keys of map items first, then the details of all rows."""

    def __init__(self, model: RunModel, text: str) -> None:
        self.items: dict[str, None] = {}  # paths of the map items to show, in order
        self.found: dict[
            str, str
        ] = {}  # by path: where the text is in the details; whoever reads it empties it
        self.over = False
        self._model = model
        self._text = text.lower()
        self._count = 0
        self._steps = self._search(list(model.rows.values()))

    def advance(self) -> None:
        """Take the next step."""
        self.over = next(self._steps, True)

    def _search(self, rows: list[Row]) -> Iterator[bool]:
        for at, row in enumerate(rows, 1):
            if self._is_item(row) and (self._text in row.name.lower() or self._text in row.key.lower()):
                self._show(row)
            if at % _NAMES == 0:
                yield False
        for at, row in enumerate(rows, 1):
            where = found_in(self._model.whole(row), self._text)
            if where:
                self.found[row.path] = where
                self._count += 1
                if row.items:
                    self._show(row)
            if self._count >= _FOUND:
                return
            if at % _DETAILS == 0:
                yield False

    def _is_item(self, row: Row) -> bool:
        return row.parent is not None and row.parent.folds

    def _show(self, row: Row) -> None:
        for item in reversed(row.items):
            if len(self.items) < _ITEMS:
                self.items[item.path] = None
