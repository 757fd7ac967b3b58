"""The long texts of a task, in which the filter searches: params, output, error, printed text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from ..._main_file import near_places
from ..escape import visible, visible_block
from ..pretty import preview
from .displays import words_of
from .readable import error_line, value_text
from .rows import Row

_MOST = 20_000  # characters of each text
_BEFORE, _AFTER = 30, 60  # characters that are shown around the place


def found_in(row: Row, text: str) -> str:
    """The first place with the text, which is in lower case: `Output: …around it…`; "" if there is none."""
    for label, whole in _contents(row):
        at = whole.lower().find(text)
        if at >= 0:
            return f"{label}: {_around(whole, at, len(text))}"
    return ""


def _contents(row: Row) -> Iterator[tuple[str, str]]:
    record = row.record
    if record is None:
        return
    if record.params is not None:
        yield "Params", preview(record.params, _MOST)
    if record.form or record.value is not None:
        yield "Output", value_text(record.form, record.value, record.redact, _MOST)
    if record.shown:
        yield from words_of(record)
    if record.data is not None:
        yield "Data", preview(record.data, _MOST)
    if row.error is not None:
        yield "Error", error_line(row.error, _MOST)
        yield "Traceback", _lines(row.error.get("traceback"))
    if prints := row.prints:
        yield "Printed", "".join(text for _, text, _ in prints)
    if record.description:
        yield "About", record.description


def _lines(stored: object) -> str:
    frames = cast("list[object]", stored) if isinstance(stored, list) else []
    return visible_block(near_places("\n".join(map(str, frames))), _MOST)


def _around(whole: str, at: int, length: int) -> str:
    start, end = max(0, at - _BEFORE), at + length + _AFTER
    found = " ".join(visible(whole[start:end], length + _BEFORE + _AFTER).replace("↵", " ").split())
    return f"{'…' if start else ''}{found}{'…' if end < len(whole) else ''}"
