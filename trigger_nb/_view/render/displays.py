"""Displays as HTML, as text, and as JSON for the widget."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..escape import columns, escaped, fit
from ..model.displays import Display, Picture, Table
from .tables import aligned

Json = dict[str, object]
_WIDEST = 24  # columns of a cell in text


def display_html(display: Display, *, is_open: bool = False) -> str:
    """A display, folded under what it is."""
    inside: list[str] = []
    if display.table is not None:
        inside.append(_table_html(display.table))
    if display.picture is not None:
        inside.append(_picture_html(display.picture, display.about))
    if display.text:
        text = f"<pre>{escaped(display.text)}</pre>"
        inside.append(
            f"<details><summary>as JSON</summary>{text}</details>" if display.table is not None else text
        )
    if not inside or not display.about:
        return "".join(inside) or f"<span>{escaped(display.about)}</span>"
    summary = f"<summary>{escaped(display.about)}</summary>"
    return f'<details class="tnb-dp"{" open" if is_open else ""}>{summary}{"".join(inside)}</details>'


def _picture_html(picture: Picture, alt: str) -> str:
    return (
        f'<img class="tnb-pic" src="{picture.url}" width="{picture.width}" height="{picture.height}" '
        f'alt="{escaped(alt)}">'
    )


def _table_html(table: Table) -> str:
    titles = "".join(
        f'<th{_side(table, place)} scope="col">{escaped(name)}{f"<br><small>{escaped(kind)}</small>" if kind else ""}</th>'
        for place, (name, kind) in enumerate(zip(table.columns, table.types, strict=True))
    )
    rows = "".join(f"<tr>{''.join(_cells(table, row))}</tr>" for row in table.rows)
    more = f'<div class="tnb-u">… {escaped(table.more)}</div>' if table.more else ""
    return f'<div class="tnb-tb"><table><thead><tr>{titles}</tr></thead><tbody>{rows}</tbody></table></div>{more}'


def _cells(table: Table, row: Sequence[str]) -> Iterator[str]:
    for place, cell in enumerate(row):
        tag = "th" if place < table.labels else "td"
        yield f"<{tag}{_side(table, place)}>{escaped(cell)}</{tag}>"


def _side(table: Table, place: int) -> str:
    return ' class="tnb-j"' if table.numbers[place] else ""


# Text --------------------------------------------------------------------------------------------


def display_text(display: Display, width: int = 100) -> list[str]:
    """A display as lines of text; a picture is only named."""
    title = ": ".join(filter(None, [display.label, display.about]))
    lines = [fit(title, 2 * width)] if title else []
    if display.table is not None:
        return lines + table_text(display.table, width)
    return lines + [fit(line, width) for line in display.text.splitlines()]


def table_text(table: Table, width: int = 100, most: int | None = None) -> list[str]:
    """The table in aligned columns, with as many as fit; at most so many rows, and then only that many lines more."""
    rows = [table.columns, *([table.types] if any(table.types) else []), *table.rows[:most]]
    widths = [min(_WIDEST, max(columns(row[place]) for row in rows)) for place in range(len(table.columns))]
    kept = len(widths)
    while kept > 1 and sum(widths[:kept]) + 2 * (kept - 1) > width:
        kept -= 1
    sided = [
        [
            _to_side(cell, widths[place]) if table.numbers[place] else cell
            for place, cell in enumerate(row[:kept])
        ]
        for row in rows
    ]
    lines = [fit(line, width) for line in aligned(sided, widths[:kept])]
    if most is not None and len(table.rows) > most:
        return [*lines, "…"]
    hidden = len(widths) - kept
    said = [f"{hidden} column{'s' * (hidden != 1)} left out here"] if hidden else []
    rest = ", ".join(filter(None, [table.more, *said]))
    return [*lines, f"… {rest}"] if rest else lines


def _to_side(text: str, width: int) -> str:
    text = fit(text, width)
    return " " * (width - columns(text)) + text


# JSON --------------------------------------------------------------------------------------------


def display_json(display: Display) -> Json:
    """A display for the widget, without empty fields."""
    fields: Json = {"about": display.about, "text": display.text}
    if display.table is not None:
        table = display.table
        fields["table"] = {
            "columns": list(table.columns),
            "types": list(table.types) if any(table.types) else [],
            "numbers": list(table.numbers),
            "labels": table.labels,
            "rows": [list(row) for row in table.rows],
            "more": table.more,
        }
    if display.picture is not None:
        fields["picture"] = [display.picture.url, display.picture.width, display.picture.height]
    return {name: value for name, value in fields.items() if value}
