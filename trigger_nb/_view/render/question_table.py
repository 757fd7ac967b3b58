"""The open questions of a store, as HTML and as text."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from ..escape import markup, visible
from ..words import ago, minute, utc
from . import tables

_TITLES = ("Job", "Task", "Question", "Choices", "Asked", "Until", "Answer")
_NONE = "no open questions"


class Asked(Protocol):
    """An open question."""

    @property
    def job(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def prompt(self) -> str: ...
    @property
    def choices(self) -> Sequence[str]: ...
    @property
    def asked_at(self) -> datetime: ...
    @property
    def until(self) -> datetime | None: ...
    @property
    def is_driven(self) -> bool: ...
    @property
    def to_type(self) -> str: ...


def as_html(questions: Sequence[Asked], now: float) -> str:
    """The questions as an HTML table."""
    if not questions:
        return tables.block(tables.note(_NONE))
    rows: list[str] = []
    for each in questions:
        job, path, prompt, choices, asked, until, to_type = _cells(each, now)
        rows.append(
            f"<tr><td><b>{markup(job)}</b></td><td><code>{markup(path)}</code></td>"
            f'<td class="tnb-q">{markup(prompt, 300)}</td><td>{markup(choices)}</td><td>{markup(asked)}</td>'
            f"<td>{markup(until)}</td><td><code>{markup(to_type, 400)}</code></td></tr>"
        )
    titles = (f"<th>{title}</th>" for title in _TITLES)
    notes = [f"As of {utc(now)}", *_left(questions)]
    return tables.block(tables.table(rows, titles), *map(tables.note, notes))


def as_text(questions: Sequence[Asked], now: float) -> str:
    """The questions as aligned columns."""
    if not questions:
        return _NONE
    rows = [list(_TITLES), *(_cells(each, now) for each in questions)]
    widths = tables.widths_of(rows)
    widths[2] = min(widths[2], 40)
    return "\n".join([*tables.aligned(rows, widths), *_left(questions)])


def _cells(each: Asked, now: float) -> list[str]:
    return [
        visible(each.job, 60),
        visible(each.path, 100),
        visible(each.prompt, 200),
        visible(", ".join(each.choices), 100),
        ago(max(0.0, now - each.asked_at.timestamp())),
        "" if each.until is None else minute(each.until.timestamp()),
        visible(each.to_type, 300),
    ]


def _left(questions: Sequence[Asked]) -> list[str]:
    """What to do for runs that no kernel drives."""
    left = sum(not each.is_driven for each in questions)
    if not left:
        return []
    which = "This run" if len(questions) == 1 else "Its run" if left == 1 else f"The runs of {left} questions"
    verb = "is" if left == 1 else "are"
    return [f"{which} {verb} driven by no kernel: an answer counts after .resume()."]
