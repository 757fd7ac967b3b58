"""Pieces: what a reader sees of a value, bounded, kept in a record beside the value, and read without it.

A piece is JSON. "about" says what it shows: `DataFrame 200 × 4`. One of these holds it:

- "table": the head of a table, see `heads.py`
- "file": the name of a value file with a thumbnail, see `thumbnails.py`
- "text": text of several lines
- "value": a preview in plain JSON, see `preview.py`

A piece of a result has "part": where it is in the result, "" for the whole. One that a body showed itself has "label".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias, cast

from .._redact import HIDDEN, hide_in_urls, redact, secrets
from .heads import head_of, head_of_records
from .names import kind_of
from .preview import preview, shape_text
from .thumbnails import drawn_by, thumbnail

Piece: TypeAlias = dict[str, Any]
_VALUE = 2000  # characters of a preview
_TEXT = 4000  # characters of a text
_LABEL = 100
_PARTS = 4  # of a dict, list or tuple that are shown by themselves
_LOOKED_AT = 20  # parts of it that are looked at
_SCALARS = frozenset({str, int, float, bool, bytes, type(None)})
_COUNTED = (list, tuple, dict, set, frozenset)


class Made(NamedTuple):
    """A new piece, and the thumbnail to be written to its file."""

    piece: Piece
    picture: bytes | None = None

    def kept(self, put: Callable[[bytes], str]) -> Piece:
        """The piece for a record; `put` writes a file, and returns its name."""
        return self.piece if self.picture is None else {**self.piece, "file": put(self.picture)}


def of_result(form: str, value: Any, patterns: Sequence[str]) -> list[Made]:
    """The pieces of a result whose record has this form, without what `redact=` hides. Never raises.

    A result that is in the record as plain JSON has none: its record can be read. Nothing is done for it.
    """
    if not form:
        return []
    try:
        return list(_of_result(form, value, patterns))
    except Exception:  # of a library, or of the user's class
        return []


def of_object(value: Any, label: str = "", patterns: Sequence[str] = ()) -> Made:
    """The piece for any object, with a label. Never raises."""
    found: Made | None = None
    try:
        value = drawn_by(value)
        found = _of_library(value, patterns, ())
        if found is None and issubclass(kind_of(value), (list, tuple)):
            found = _of_records(value, patterns)
        if found is None and kind_of(value) is str:
            found = Made({"about": "", "text": _text(value)})
        if found is None and kind_of(value).__module__ == "numpy" and shape_text(value):
            found = Made({"about": about(value), "text": _text(repr(value))})  # of a long one, both ends
    except Exception:  # of a library, or of the user's class
        found = None
    found = found or Made({"about": about(value), "value": redact(patterns, preview(value, _VALUE))})
    return found._replace(piece={"label": _clean(str(label or ""))[:_LABEL], **found.piece})


def about(value: Any) -> str:
    """What a value is, in a few words: `list of 2,000`, `DataFrame 200 × 4`, `text of 1,200,000 characters`. Never raises."""
    kind = kind_of(value)
    try:
        if kind is str:
            return f"text of {len(value):,} characters"
        if kind in _COUNTED:
            return f"{kind.__name__} of {len(value):,}"
        return shape_text(value) or kind.__name__[:_LABEL]
    except Exception:  # of the user's class
        return kind.__name__[:_LABEL]


def _of_result(form: str, value: Any, patterns: Sequence[str]) -> Iterator[Made]:
    whole = _of_library(value, patterns, ())
    if whole is None and form == "file":
        whole = _of_records(value, patterns) if issubclass(kind_of(value), (list, tuple)) else None
        whole = whole or Made({"about": about(value), "value": redact(patterns, preview(value, _VALUE))})
    if whole is not None:
        yield whole._replace(piece={"part": "", **whole.piece})
    if kind_of(value) in (dict, list, tuple) and len(value) <= _LOOKED_AT:
        yield from _of_parts(value, patterns)


def _of_parts(value: Any, patterns: Sequence[str]) -> Iterator[Made]:
    """Pieces of the tables and pictures in a dict, list or tuple."""
    parts = cast("dict[object, Any]", value).items() if isinstance(value, dict) else enumerate(value)
    left = _PARTS
    for name, item in parts:
        if kind_of(item) in _SCALARS or left == 0:
            continue
        step = str(name)
        if (found := _of_library(item, patterns, (step,))) is not None:
            left -= 1
            yield found._replace(piece={"part": _clean(step)[:_LABEL], **found.piece})


def _of_library(value: Any, patterns: Sequence[str], at: Sequence[str]) -> Made | None:
    """The piece of a table, figure, image or text object at a place in a result; None for another value."""
    kind = kind_of(value)
    if kind.__module__ == "builtins":
        return None
    if (head := head_of(value, patterns, at)) is not None:
        return Made({"about": about(value), "table": head})
    if _is_hidden(patterns, at):
        return None
    if (picture := _thumbnail(value)) is not None:
        return Made({"about": _named(value)}, picture)
    text = _markup_of(value, kind)
    return None if text is None else Made({"about": _named(value), "text": _text(text)})


def _of_records(items: Any, patterns: Sequence[str]) -> Made | None:
    head = head_of_records(items, patterns)
    return None if head is None else Made({"about": about(items), "table": head})


def _thumbnail(value: Any) -> bytes | None:
    try:
        return thumbnail(value)
    except Exception:  # of a library, or of the user's class
        return None


def _markup_of(value: Any, kind: type[Any]) -> str | None:
    """The text of an object of Markdown, HTML or LaTeX, as its author wrote it."""
    if callable(getattr(kind, "_repr_markdown_", None)):
        found = value._repr_markdown_()
        return found if isinstance(found, str) else None
    data = getattr(value, "data", None) if kind.__module__.startswith("IPython.") else None
    return data if isinstance(data, str) else None


def _named(value: Any) -> str:
    """The name of a figure or image, with its size in pixels if it tells it."""
    kind, size = kind_of(value), getattr(value, "size", None)
    if isinstance(size, tuple) and len(cast("tuple[Any, ...]", size)) == 2:
        width, height = cast("tuple[Any, Any]", size)
        if isinstance(width, int) and isinstance(height, int):
            return f"{kind.__name__[:_LABEL]} {width:,} × {height:,}"
    return kind.__name__[:_LABEL]


def _is_hidden(patterns: Sequence[str], at: Sequence[str]) -> bool:
    """Whether `redact=` hides a place in a result, or anything inside: nobody can cut it out of a picture."""
    if not patterns or not at:
        return False
    inside: Any = "x"
    for step in reversed(at):
        inside = {step: inside}
    found = redact(patterns, inside)
    return found != inside or HIDDEN in str(found)


def _text(text: str) -> str:
    text = _clean(text)
    return text if len(text) <= _TEXT else f"{text[:_TEXT]}… ({len(text):,} characters)"


def _clean(text: str) -> str:
    return hide_in_urls(secrets.hide(text))
