"""The items of a map as a table, of which a front end asks for parts: sorted and filtered here, because it has few of them.

The outputs are read from the store for the rows that are asked for. To sort by them or to filter, all are needed: these
are read step by step, as long as a front end goes on asking, so that a large map does not block the event loop.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol, TypeAlias, cast

from ..._records.records import TaskRecord
from ..._records.status import TaskStatus
from ...errors import UsageError
from ..escape import visible
from ..model.leaves import WHOLE, leaves
from ..model.readable import error_line, value_text
from ..model.rows import Row, State
from ..model.states import REUSED
from .wire import Wire

_ROWS = 300  # that one answer has, at most
_FIELDS = 12  # fields of outputs that are columns, at most
_CELL = 100  # characters
_LEAST, _MOST = 10, 320  # outputs that are read at a time
_READING = 0.008  # seconds for reading outputs, per request
_FRESH = 0.5  # seconds for which an order is used again, while items come and go
_TABLES = 2  # tables that are kept
_STATES = {state: place for place, state in enumerate(State)}


class Reader(Protocol):
    """What reads the outputs."""

    def whole_records(self, paths: list[str]) -> Iterable[TaskRecord]:
        """The records of tasks with their values, as far as they are in the store; one query."""
        ...


class Timer(Protocol):
    """The clocks that measure the work."""

    def thread_time(self) -> float: ...
    def monotonic(self) -> float: ...


_ORIGINS = {0: "", 1: "replayed", REUSED: "reused"}  # where a result comes from, as the front end calls it


@dataclass(frozen=True, slots=True)
class Wish:
    """What a front end asks for: which items, in which order, and which part of them."""

    sort: str = ""  # name of a column; "": in the order of the first start
    down: bool = False
    text: str = ""  # in lower case
    states: frozenset[str] = frozenset()  # all if empty
    origins: frozenset[str] = frozenset()  # "replayed" and "reused": only such items
    group: int | None = None  # only items that failed with the error of this number
    start: int = 0
    stop: int = 0

    @classmethod
    def of(cls, message: Mapping[str, Any]) -> Wish:
        """The wish in a message; what makes no sense in it is left out."""
        start, stop, group = (message.get(name) for name in ("from", "to", "group"))
        start = start if isinstance(start, int) and start > 0 else 0
        stop = stop if isinstance(stop, int) else start
        return cls(
            sort=str(message.get("sort") or "")[:1000],
            down=message.get("down") is True,
            text=str(message.get("text") or "")[:1000].lower(),
            states=_texts(message.get("states")),
            origins=_texts(message.get("origins")),
            group=group if isinstance(group, int) else None,
            start=start,
            stop=min(stop, start + _ROWS),
        )


def _texts(given: object) -> frozenset[str]:
    listed = cast("list[object]", given) if isinstance(given, list) else []
    return frozenset(each for each in listed if isinstance(each, str))


class _Cell(NamedTuple):
    text: str
    number: float | None


_Cells: TypeAlias = "dict[str, _Cell]"  # by the name of the field
_Stamp: TypeAlias = "tuple[object, ...]"  # of a record: another one has other cells


class Tables:
    """The tables of the maps of one run that were asked for last."""

    def __init__(self, reader: Reader, timer: Timer = time) -> None:
        self._reader = reader
        self._timer = timer
        self._tables: dict[str, _Table] = {}  # by the path of their map, the latest one last

    def answer(self, scope: Row | None, message: Mapping[str, Any], number: Callable[[str], int]) -> Wire:
        """The part of a table that a message asks for. `number` is the number of a row, by its path.

        Raises `UsageError` if the row is no map.
        """
        if scope is None or scope.kind != "map":
            raise UsageError("there is no map with this number any more")
        table = self._tables.pop(scope.path, None)
        if table is None or table.scope is not scope:
            table = _Table(scope, self._reader, self._timer)
        self._tables[scope.path] = table
        while len(self._tables) > _TABLES:
            del self._tables[next(iter(self._tables))]
        return table.answer(Wish.of(message), number)


class _Table:
    def __init__(self, scope: Row, reader: Reader, timer: Timer) -> None:
        self.scope = scope
        self._reader = reader
        self._timer = timer
        self._cells: dict[str, tuple[_Stamp, _Cells]] = {}  # by path
        self._fields: dict[str, bool] = {}  # fields that are columns, and whether they have numbers only
        self._more_fields = False
        self._step = _LEAST  # outputs that the next query reads: a few long ones, or many short ones
        self._order: list[Row] = []
        self._order_of: Wish | None = None
        self._ordered_at = 0.0

    def answer(self, wish: Wish, number: Callable[[str], int]) -> Wire:
        share = self._read_on() if wish.text or wish.sort.startswith(".") else 1.0
        rows = self._ordered(wish, is_whole=share == 1)
        part = rows[wish.start : wish.stop]
        self._fetch([row for row in part if self._is_stale(row)])
        fields = list(self._fields)
        return {
            "total": len(rows),
            "all": len(self.scope.children),
            "from": wish.start,
            "columns": self._columns(fields),
            "more": self._more_fields,
            "rows": [self._wire(row, fields, number(row.path)) for row in part],
            "share": round(share, 3),
        }

    # --- what is shown ------------------------------------------------------------------

    def _columns(self, fields: list[str]) -> list[list[str]]:
        """The name, title and kind of each column."""
        has_errors = bool(self.scope.tally.states[State.FAILED])
        has_attempts = any(row.attempt > 1 for row in self.scope.children.values())
        return [
            ["name", "Item", "name"],
            ["status", "Status", "status"],
            *(
                [f".{name}", visible(name, 60) or "Output", "number" if self._fields[name] else "text"]
                for name in fields
            ),
            *([["error", "Error", "error"]] if has_errors else []),
            *([["attempts", "Attempts", "number"]] if has_attempts else []),
            ["seconds", "Took", "took"],
        ]

    def _wire(self, row: Row, fields: list[str], number: int) -> list[object]:
        """The fields of a row: number, state, name, whether it is replayed, attempts, seconds, error, and the outputs."""
        took, cells = row.duration(None), self._known(row)
        texts = [None if (cell := cells.get(name)) is None else cell.text for name in fields]
        return [
            *(number, _STATES[row.state], visible(row.name, _CELL), bool(row.replayed), row.attempt),
            *(None if took is None else round(took, 3), _error(row), *texts),
        ]

    # --- reading ------------------------------------------------------------------------

    def _read_on(self) -> float:
        """Read the next outputs, as many as the time allows. Returns the share of the items that are read."""
        until = self._timer.thread_time() + _READING
        missing = [row for row in self.scope.children.values() if self._is_stale(row)]
        taken = 0
        while taken < len(missing) and (began := self._timer.thread_time()) < until:
            self._fetch(missing[taken : taken + self._step])
            taken += self._step
            is_fast = self._timer.thread_time() - began < _READING / 4
            self._step = min(_MOST, 2 * self._step) if is_fast else max(_LEAST, self._step // 2)
        left = max(0, len(missing) - taken)
        return 1 - left / len(self.scope.children) if left else 1.0

    def _is_stale(self, row: Row) -> bool:
        known = self._cells.get(row.path)
        return known is None or known[0] != _stamp(row)

    def _known(self, row: Row) -> _Cells:
        known = self._cells.get(row.path)
        return {} if known is None else known[1]

    def _fetch(self, rows: list[Row]) -> None:
        ended = [
            row.path for row in rows if row.record is not None and row.record.status == TaskStatus.COMPLETED
        ]
        records = {record.path: record for record in self._reader.whole_records(ended)} if ended else {}
        for row in rows:
            record = records.get(row.path)
            cells = {} if record is None else _cells(record)
            self._cells[row.path] = (_stamp(row), cells)
            for name, cell in cells.items():
                if name in self._fields:
                    self._fields[name] = self._fields[name] and cell.number is not None
                elif len(self._fields) < _FIELDS:
                    self._fields[name] = cell.number is not None
                else:
                    self._more_fields = True

    # --- order --------------------------------------------------------------------------

    def _ordered(self, wish: Wish, *, is_whole: bool) -> list[Row]:
        """The rows that pass the filter, in order."""
        wish = replace(wish, start=0, stop=0)
        now = self._timer.monotonic()
        if wish != self._order_of or not is_whole or now - self._ordered_at > _FRESH:
            rows = [row for row in self.scope.ordered() if self._passes(row, wish)]
            self._order = self._sorted(rows, wish) if wish.sort else rows[::-1] if wish.down else rows
            self._order_of, self._ordered_at = wish if is_whole else None, now
        return self._order

    def _passes(self, row: Row, wish: Wish) -> bool:
        if wish.states and row.state not in wish.states:
            return False
        if wish.origins and _ORIGINS[row.replayed] not in wish.origins:
            return False
        if wish.group is not None:
            stats = self.scope.stats
            if stats is None or stats.errors.number(row.path) != wish.group:
                return False
        return not wish.text or self._has(row, wish.text)

    def _has(self, row: Row, text: str) -> bool:
        if text in row.name.lower() or text in row.key.lower() or text in _error(row).lower():
            return True
        return any(text in cell.text.lower() for cell in self._known(row).values())

    def _sorted(self, rows: list[Row], wish: Wish) -> list[Row]:
        """The rows by a column; those without a value come last in both directions."""
        keyed = [(self._key(row, wish.sort), row) for row in rows]
        found = [(key, row) for key, row in keyed if key is not None]
        found.sort(key=lambda each: each[0], reverse=wish.down)
        return [*(row for _, row in found), *(row for key, row in keyed if key is None)]

    def _key(self, row: Row, column: str) -> tuple[object, ...] | None:
        match column:
            case "name":
                return _natural(row.name)
            case "status":
                return (_STATES[row.state],)
            case "attempts":
                return (row.attempt,)
            case "seconds":
                took = row.duration(None)
                return None if took is None else (took,)
            case "error":
                return _natural(text) if (text := _error(row)) else None
            case _:
                cell = self._known(row).get(column[1:])
                if cell is None:
                    return None
                return (1, _natural(cell.text)) if cell.number is None else (0, cell.number)


def _stamp(row: Row) -> _Stamp:
    record = row.record
    return () if record is None else (record.status, record.generation, record.ended_at)


def _error(row: Row) -> str:
    return "" if row.error is None else visible(error_line(row.error, 2 * _CELL), 2 * _CELL)


def _cells(record: TaskRecord) -> _Cells:
    found = leaves(record.form, record.value, record.redact)
    if not found:
        text = value_text(record.form, record.value, record.redact, _CELL)
        return {WHOLE: _Cell(visible(text, _CELL), None)}
    return {
        name: _Cell(visible(leaf.text(_CELL), _CELL), leaf.number)
        for name, leaf in found.items()
        if name or leaf.data is not None
    }


_DIGITS = re.compile(r"(\d{1,18})")


def _natural(text: str) -> tuple[object, ...]:
    """A key by which "item 9" comes before "item 10"."""
    parts = _DIGITS.split(text.lower())
    return tuple(int(part) if at % 2 else part for at, part in enumerate(parts))
