"""The heads of tables: shape, dtypes and first rows of a table of pandas, polars or pyarrow, or of a list of records, as JSON.

A head has "columns" (names), "types" (of the columns; "" where there is none), "rows" (lists of text, numbers, booleans and
None) and "of": how many rows and columns the table has. "index" counts the first columns that are labels of the rows.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, TypeAlias, cast

from .._redact import HIDDEN, hide_in_urls, redact, secrets
from .fields import fields_of
from .names import kind_of
from .preview import preview

Head: TypeAlias = dict[str, Any]
ROWS, COLUMNS = 10, 12  # that a head has at most
CELL = 60  # characters of a cell
_NAME = 40  # characters of the name of a column, and of its type


def head_of(value: Any, patterns: Sequence[str] = (), at: Sequence[str] = ()) -> Head | None:
    """The head of a table of a library, without what `redact=` hides in the value at `at`; None for another value.

    None also if all of it is hidden. Raises what the library raises.
    """
    read = _reader(kind_of(value))
    return None if read is None else _finished(read(value), patterns, at)


def head_of_records(
    items: Sequence[Any], patterns: Sequence[str] = (), at: Sequence[str] = ()
) -> Head | None:
    """The head of a list of dicts, models, dataclasses or named tuples; None for another list."""
    records: list[Any] = []
    for item in items[:ROWS]:
        kind = kind_of(item)
        fields = cast("dict[Any, Any]", item) if kind is dict else fields_of(item, kind)
        if not fields:
            return None
        records.append({str(name): fields[name] for name in list(fields)[: 2 * COLUMNS]})
    return _finished(of_dicts(records, len(items)), patterns, at) if records else None


def of_dicts(records: Sequence[dict[str, Any]], count: int) -> Head:
    """The unfinished head of some records, which are the first of `count`."""
    names = list(dict.fromkeys(name for record in records for name in record))
    shown = names[:COLUMNS]
    rows = [[record.get(name) for name in shown] for record in records[:ROWS]]
    return {"columns": shown, "types": [""] * len(shown), "rows": rows, "of": [count, len(names)]}


def _finished(head: Head, patterns: Sequence[str], at: Sequence[str]) -> Head | None:
    """The head with plain, short cells, without what is hidden."""
    head["rows"] = [[_plain(cell) for cell in row] for row in head["rows"]]
    if patterns and not _hide(head, patterns, at):
        return None
    head["columns"] = [_short(_clean(str(name)), _NAME) for name in head["columns"]]
    head["rows"] = [[flat(cell) for cell in row] for row in head["rows"]]
    return head


def _hide(head: Head, patterns: Sequence[str], at: Sequence[str]) -> bool:
    """Hide cells, whether the paths mean a list of rows or a dict of columns. False if the whole table is hidden."""
    names, rows = [str(name) for name in head["columns"]], head["rows"]
    by_row: Any = [dict(zip(names, row, strict=True)) for row in rows]
    by_column: Any = {name: [row[place] for row in rows] for place, name in enumerate(names)}
    for step in reversed(at):
        by_row, by_column = {step: by_row}, {step: by_column}
    by_row, by_column = redact(patterns, by_row), redact(patterns, by_column)
    for step in at:
        if HIDDEN in (by_row, by_column):
            return False
        by_row, by_column = by_row[step], by_column[step]
    if HIDDEN in (by_row, by_column):
        return False
    for number, row in enumerate(rows):
        for place, name in enumerate(names):
            cells, column = by_row[number], by_column[name]
            if HIDDEN in (cells, column) or column[number] == HIDDEN:
                row[place] = HIDDEN
            elif names.count(name) == 1 or cells[name] == HIDDEN:
                row[place] = cells[name]
    return True


def _plain(cell: Any) -> Any:
    """A cell as plain JSON."""
    kind = kind_of(cell)
    if kind.__module__ == "numpy" and getattr(cell, "shape", None) == ():
        cell = cell.item()
        kind = kind_of(cell)
    if kind is str and len(cell) <= CELL:
        return _clean(cell)
    if kind is float:
        return cell if math.isfinite(cell) else repr(cell)
    if kind.__name__ in ("NAType", "NaTType"):
        return None
    return _moment(cell) if isinstance(cell, datetime) else preview(cell, 4 * CELL)


def _moment(moment: datetime) -> str:
    """A time as tables show it: only the date at midnight."""
    text = moment.isoformat(" ")
    return text if moment.tzinfo is not None else text.removesuffix(" 00:00:00")


def flat(cell: Any) -> Any:
    """A cell as text, number, boolean or None; what is inside of it becomes text."""
    if isinstance(cell, (dict, list)):
        return _short(json.dumps(cell, ensure_ascii=False), CELL)
    return _short(cell, CELL) if isinstance(cell, str) else cell


def _clean(text: str) -> str:
    return hide_in_urls(secrets.hide(text))


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


# Tables of libraries -----------------------------------------------------------------------------


def _reader(kind: type[Any]) -> Callable[[Any], Head] | None:
    for library, name, read in _READERS:
        base = getattr(sys.modules.get(library), name, None)
        if isinstance(base, type) and issubclass(kind, base):
            return read
    return None


def _of_pandas(frame: Any) -> Head:
    first = frame.iloc[:ROWS]
    names: list[Any] = []
    columns: list[Any] = []
    for name, column in islice(first.items(), COLUMNS):  # names may be there twice
        names.append(_label(name))
        columns.append(column)
    head = {
        "columns": names,
        "types": [str(column.dtype)[:_NAME] for column in columns],
        "rows": [list(row) for row in zip(*(column.tolist() for column in columns), strict=True)],
        "of": list(frame.shape),
    }
    return _with_index(head, first.index, len(first))


def _of_pandas_series(series: Any) -> Head:
    first = series.iloc[:ROWS]
    name = "" if series.name is None else _label(series.name)
    rows = [[cell] for cell in first.tolist()]
    head = {"columns": [name], "types": [str(series.dtype)[:_NAME]], "rows": rows, "of": [len(series)]}
    return _with_index(head, first.index, len(first))


def _with_index(head: Head, index: Any, count: int) -> Head:
    """The head with the labels of the rows before its columns, unless they are only numbers from 0 on."""
    if type(index).__name__ == "RangeIndex" and index.start == 0 and index.step == 1:
        return head
    labels: list[list[Any]] = [
        list(cast("tuple[Any, ...]", label)) if isinstance(label, tuple) else [label]
        for label in index.tolist()
    ]
    levels = index.nlevels
    names = ["" if name is None else _label(name) for name in index.names]
    rows: list[list[Any]] = head["rows"] or [[] for _ in range(count)]
    head["columns"] = [*names, *head["columns"]]
    head["types"] = [*[""] * levels, *head["types"]]
    head["rows"] = [[*label, *row] for label, row in zip(labels, rows, strict=True)]
    return head | {"index": levels}


def _label(name: Any) -> str:
    return " / ".join(map(str, cast("tuple[Any, ...]", name))) if isinstance(name, tuple) else str(name)


def _of_polars(frame: Any) -> Head:
    first = frame.head(ROWS)
    columns = [first.get_column(name) for name in first.columns[:COLUMNS]]
    rows = [list(row) for row in zip(*(column.to_list() for column in columns), strict=True)]
    types = [_polars_type(column.dtype) for column in columns]
    return {
        "columns": [column.name for column in columns],
        "types": types,
        "rows": rows,
        "of": list(frame.shape),
    }


def _of_polars_series(series: Any) -> Head:
    rows = [[cell] for cell in series.head(ROWS).to_list()]
    return {
        "columns": [series.name],
        "types": [_polars_type(series.dtype)],
        "rows": rows,
        "of": [len(series)],
    }


def _polars_type(dtype: Any) -> str:
    """A dtype without the names of its parameters: `Datetime(us)`."""
    text = re.sub(r"time_unit='(\w+)'(, time_zone=None)?", r"\1", str(dtype))
    return text[:_NAME]


def _of_arrow(table: Any) -> Head:
    first = table.slice(0, ROWS)
    places = range(min(COLUMNS, table.num_columns))
    rows = [list(row) for row in zip(*(first.column(place).to_pylist() for place in places), strict=True)]
    types = [str(table.schema.field(place).type)[:_NAME] for place in places]
    names = [table.schema.field(place).name for place in places]
    return {"columns": names, "types": types, "rows": rows, "of": [table.num_rows, table.num_columns]}


_READERS: tuple[tuple[str, str, Callable[[Any], Head]], ...] = (
    ("pandas", "DataFrame", _of_pandas),
    ("pandas", "Series", _of_pandas_series),
    ("polars", "DataFrame", _of_polars),
    ("polars", "Series", _of_polars_series),
    ("pyarrow", "Table", _of_arrow),
    ("pyarrow", "RecordBatch", _of_arrow),
)
