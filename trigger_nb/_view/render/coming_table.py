"""A table of what is coming: schedules, events and waits, with the times at which they are due."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from ..escape import markup, visible
from ..words import ago, minute, remaining
from . import tables

_TITLES = ("What", "When", "Next", "Here", "In", "Last")


class Coming(NamedTuple):
    """A row: something that is due at a time, in UTC seconds."""

    what: str  # such as the name of a job
    text: str  # such as its schedule
    at: float | None
    zone: str = ""  # of the schedule
    local: datetime | None = None  # the time in that zone
    last: float | None = None


def as_html(rows: Sequence[Coming], now: float, *, none: str, head: str = "") -> str:
    """The rows as an HTML table, below a line of text."""
    parts = [tables.note(head)] if head else []
    if not rows:
        return tables.block(*parts, tables.note(none))
    titles = (f"<th>{title}</th>" for title in _TITLES)
    lines = (
        f"<tr><td><b>{markup(what)}</b></td>{''.join(f'<td>{markup(cell)}</td>' for cell in cells)}</tr>"
        for what, *cells in (_cells(row, now) for row in rows)
    )
    return tables.block(*parts, tables.table(lines, titles))


def as_text(rows: Sequence[Coming], now: float, *, none: str, head: str = "", width: int = 120) -> str:
    """The rows as aligned columns, below a line of text."""
    lines = [visible(head, 300)] if head else []
    if not rows:
        return "\n".join([*lines, none])
    cells = [list(_TITLES), *(_cells(row, now) for row in rows)]
    widths = tables.widths_of(cells)
    spare = width - sum(widths) - 2 * (len(widths) - 1)
    widths[1] = max(min(widths[1], 16), widths[1] + min(0, spare))
    return "\n".join([*lines, *tables.aligned(cells, widths)])


def _cells(row: Coming, now: float) -> list[str]:
    local = "" if row.local is None else f"{row.local:%a %Y-%m-%d %H:%M} {row.zone}"
    return [
        visible(row.what, 60),
        visible(row.text, 80),
        visible(local, 60),
        "never" if row.at is None else minute(row.at),
        "" if row.at is None else "now" if row.at <= now else remaining(row.at - now),
        "" if row.last is None else ago(now - row.last),
    ]
