"""Tables as HTML and as text: the parts that all displayed tables share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..escape import columns, fit, markup
from .stylesheet import with_styles


def block(*parts: str, style: str = "") -> str:
    """An HTML element with our styles around parts that are HTML already; `style` adds further rules."""
    return with_styles("".join(parts), own=style)


def note(text: str, limit: int = 600) -> str:
    """A line of text above or below a table, as HTML."""
    return f'<div class="tnb-a">{markup(text, limit)}</div>'


def table(rows: Iterable[str], titles: Iterable[str] = ()) -> str:
    """An HTML table, readable without styles too; `titles` are `<th>` cells and `rows` are `<tr>` elements."""
    head = "".join(titles)
    head = f"<thead><tr>{head}</tr></thead>" if head else ""
    return f'<div class="tnb-wide"><table>{head}<tbody>{"".join(rows)}</tbody></table></div>'


def aligned(rows: Sequence[Sequence[str]], widths: Sequence[int]) -> list[str]:
    """The rows as lines of text, with columns of these widths; longer cells are cut."""
    return ["  ".join(map(_padded, cells, widths)).rstrip() for cells in rows]


def widths_of(rows: Sequence[Sequence[str]], widest: int | None = None) -> list[int]:
    """The width that each column needs, at most `widest`."""
    needed = [max(map(columns, column)) for column in zip(*rows, strict=True)]
    return needed if widest is None else [min(width, widest) for width in needed]


def _padded(text: str, width: int) -> str:
    text = fit(text, width)
    return text + " " * (width - columns(text))
