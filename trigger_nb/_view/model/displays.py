"""Displays: the kept pieces of a value, checked and bounded, for a reader: a table, a picture or a text.

Pieces come from a store, which may come from another person. They are data of unknown form: what is not of the form that this
package writes is left out. No class of the user is looked up, no library imported and no value decoded.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, TypeAlias, cast

from ..._records.records import RunRecord, TaskRecord
from ..._redact import redact
from ..._values.heads import CELL, COLUMNS, ROWS, flat, of_dicts
from ..._values.sizes import size
from ..._values.thumbnails import size_of
from ..escape import visible, visible_block
from ..pretty import preview
from .readable import readable
from .rows import Row

# Reads a thumbnail, which may be lost; None where there is no room for pictures.
ReadPicture: TypeAlias = Callable[[str], bytes | None] | None
_WIDEST = 2 * COLUMNS  # columns of a stored table, its labels of rows included
_MOST = 24  # pieces of a record
_TEXT = 5000
_NAME = 48
_NUMBER = 10**18  # a longer whole number is no number for a reader


@dataclass(frozen=True, slots=True)
class Table:
    """The first rows of a table, as text."""

    columns: tuple[str, ...]
    types: tuple[str, ...]  # "" for each column without one
    numbers: tuple[bool, ...]  # whether a column has only numbers
    labels: int  # how many of the first columns are labels of the rows
    rows: tuple[tuple[str, ...], ...]
    more: str = ""  # `190 more rows, 3 more columns`


@dataclass(frozen=True, slots=True)
class Picture:
    """A thumbnail whose bytes were checked."""

    url: str  # with the data in it
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Display:
    """A piece: what it is, and a table, a picture, or text."""

    label: str
    about: str
    table: Table | None = None
    picture: Picture | None = None
    text: str = ""  # of a table: the same as JSON


def of_result(record: TaskRecord | RunRecord, read: ReadPicture, limit: int) -> list[Display]:
    """The displays of a result: that of the whole has the label "", those of parts have their place in it."""
    found = list(_displays((each for each in _pieces(record.shown) if "part" in each), "part", read))
    value = record.output if isinstance(record, RunRecord) else record.value
    if any(not each.label for each in found):
        long = size(bytes_) if record.form == "file" and (bytes_ := _size_of(value)) is not None else ""
        return [replace(each, about=_joined(each.about, long)) if not each.label else each for each in found]
    if (table := _of_records(record.form, value, record.redact)) is not None:
        items, rest = table
        text = preview(items, limit) + ("\n…" if rest else "")
        found.insert(
            0,
            Display(
                "", f"list of {len(items) + rest:,}", _table(of_dicts(items, len(items) + rest)), None, text
            ),
        )
    return found


def displays_of(record: TaskRecord) -> list[Display]:
    """All displays of a record, without pictures."""
    own = _displays((each for each in _pieces(record.shown) if "part" not in each), "label", None)
    return [*of_result(record, None, _TEXT), *own]


def words_of(record: TaskRecord) -> Iterator[tuple[str, str]]:
    """The texts of what is shown, by label, for a search."""
    for display in displays_of(record):
        table = display.table
        cells = () if table is None else (*table.columns, *(cell for row in table.rows for cell in row))
        yield display.label or display.about, " ".join([display.about, *cells, display.text])


def shown_by(row: Row, read: ReadPicture) -> list[Display]:
    """The displays of what the body showed, so far while it runs."""
    stored = row.record.shown if row.record is not None else []
    pieces = _pieces(stored if row.pieces is None else row.pieces.pieces)
    return list(_displays((each for each in pieces if "part" not in each), "label", read))


def _pieces(stored: object) -> Iterator[dict[str, Any]]:
    for each in islice(cast("list[object]", stored), _MOST) if isinstance(stored, list) else ():
        if isinstance(each, dict):
            yield cast("dict[str, Any]", each)


def _size_of(value: object) -> int | None:
    count = cast("dict[str, object]", value).get("size") if isinstance(value, dict) else None
    return count if isinstance(count, int) and 0 <= count < _NUMBER else None


def _joined(*texts: str) -> str:
    return " · ".join(filter(None, texts))


def _displays(pieces: Iterable[dict[str, Any]], label: str, read: ReadPicture) -> Iterator[Display]:
    for piece in pieces:
        display = Display(
            visible(piece[label], 100) if piece.get(label) else "", visible(piece.get("about") or "", 120)
        )
        if isinstance(table := piece.get("table"), dict):
            drawn = _table(cast("dict[str, Any]", table))
            yield display if drawn is None else replace(display, table=drawn)
        elif isinstance(name := piece.get("file"), str):
            picture = None if read is None else _picture(read(name))
            fate = "picture not shown here" if read is None else "its picture is lost"
            told = replace(display, about=_joined(display.about, fate))
            yield told if picture is None else replace(display, picture=picture)
        elif isinstance(text := piece.get("text"), str):
            yield replace(display, text=visible_block(text, _TEXT))
        elif "value" in piece:
            yield replace(display, text=visible_block(preview(piece["value"], _TEXT), _TEXT))
        else:
            yield display


def _picture(data: bytes | None) -> Picture | None:
    measured = None if data is None else size_of(data)
    if data is None or measured is None:
        return None
    kind, width, height = measured
    return Picture(f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}", width, height)


# Tables ------------------------------------------------------------------------------------------


def _table(head: dict[str, Any]) -> Table | None:
    """A stored head as text; None if it is not one."""
    names, stored, types = head.get("columns"), head.get("rows"), head.get("types")
    if not (isinstance(names, list) and isinstance(stored, list) and names):
        return None
    columns = [visible(name, _NAME) for name in cast("list[object]", names)[:_WIDEST]]
    kinds = [
        visible(kind, _NAME) for kind in (cast("list[object]", types) if isinstance(types, list) else [])
    ]
    cells: list[list[object]] = []
    for row in cast("list[object]", stored)[:ROWS]:
        if not isinstance(row, list):
            return None
        cells.append([*cast("list[object]", row), *[None] * len(columns)][: len(columns)])
    labels = head.get("index")
    labels = labels if type(labels) is int and 0 <= labels < len(columns) else 0
    return Table(
        tuple(columns),
        tuple([*kinds, *[""] * len(columns)][: len(columns)]),
        tuple(_are_numbers(row[place] for row in cells) for place in range(len(columns))),
        labels,
        tuple(tuple(map(_cell, row)) for row in cells),
        _more(head.get("of"), len(cells), len(columns) - labels),
    )


def _more(of: object, rows: int, columns: int) -> str:
    whole = [each for each in cast("list[object]", of) if type(each) is int] if isinstance(of, list) else []
    left = [count - shown for count, shown in zip(whole, (rows, columns), strict=False)]
    words = (
        f"{count:,} more {word}{'s' * (count != 1)}"
        for count, word in zip(left, ("row", "column"), strict=False)
        if 0 < count < _NUMBER
    )
    return ", ".join(words)


def _are_numbers(cells: Iterable[object]) -> bool:
    there = [cell for cell in cells if cell is not None]
    return bool(there) and all(
        isinstance(cell, (int, float)) and not isinstance(cell, bool) for cell in there
    )


def _cell(cell: object) -> str:
    try:
        cell = flat(cell)
    except (RecursionError, ValueError):
        return "…"
    if cell is None:
        return ""
    if isinstance(cell, int):
        return str(cell) if -_NUMBER < cell < _NUMBER else "…"
    return f"{cell:.6g}" if isinstance(cell, float) else visible(cell, CELL + 1)


def _of_records(form: str, value: object, redacted: Sequence[str]) -> tuple[list[dict[str, Any]], int] | None:
    """The first items of a list of several dicts or models, as stored in the record, and the number of the others; else None."""
    if form == "tagged" and isinstance(value, dict):
        tagged = cast("dict[str, Any]", value)
        value = tagged.get("v") if tagged.get("$") == "tuple" else None
    if form not in ("", "tagged") or not isinstance(value, list):
        return None
    items = cast("list[object]", value)
    first: object = items[:ROWS]
    if len(items) < 2 or not _are_records(first):
        return None
    if form == "tagged":
        first = readable(first)
    first = redact(redacted, first)
    if not _are_records(first):
        return None
    rows = cast("list[dict[str, Any]]", first)
    return rows, len(items) - len(rows)


def _are_records(items: object) -> bool:
    return isinstance(items, list) and all(map(_is_record, cast("list[object]", items)))


def _is_record(item: object) -> bool:
    return isinstance(item, dict) and len(cast("dict[object, object]", item)) > 0
