"""Equal errors, counted together: `12 items: ValueError: the text is empty`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias, cast

from ..._records.alike import common_text
from ..escape import visible_block
from .readable import StoredError, error_line

Kind: TypeAlias = tuple[str, str]
"""What equal errors have in common: the class, and the message without what it names."""
LEAST = 3  # equal errors that are told together
FIRST = 3  # of them, the rows that are shown at once
_MOST = 20  # kinds of errors in one map that are told
_LINES = 3  # kinds of errors that the header tells


def kind_of(error: StoredError) -> Kind:
    """The kind of a stored error."""
    shown = cast("StoredError", error.get("shown") or error)  # without redacted parts
    return str(error.get("type", "") or "error"), common_text(str(shown.get("message") or ""))


def kind_line(kind: Kind, limit: int = 300) -> str:
    """What errors of a kind have in common, as `error_line` tells one of them."""
    name, text = kind[0].rpartition(".")[2], kind[1]
    return visible_block(f"{name}: {text}" if text else name, limit)


@dataclass(frozen=True, slots=True)
class Group:
    """Equal errors of several rows."""

    number: int  # stays the same while the run goes on
    count: int
    text: str


@dataclass(slots=True)
class _Told:
    number: int
    text: str


class Errors:
    """The errors of failed rows, by kind; kept row by row."""

    __slots__ = ("_counts", "_kinds", "_told")

    def __init__(self) -> None:
        self._kinds: dict[str, Kind] = {}  # by path of a failed row
        self._counts: Counter[Kind] = Counter()
        self._told: dict[Kind, _Told] = {}

    def note(self, path: str, error: StoredError | None) -> None:
        """Take in that a row has this error now, or none."""
        before = self._kinds.pop(path, None)
        if before is not None:
            self._counts[before] -= 1
        if error is None:
            return
        kind = self._kinds[path] = kind_of(error)
        self._counts[kind] += 1
        text = error_line(error)
        told = self._told.setdefault(kind, _Told(len(self._told), text))
        if told.text != text:
            told.text = kind_line(kind)

    def clear(self) -> None:
        """Forget all rows; the kinds keep their numbers."""
        self._kinds.clear()
        self._counts.clear()

    def number(self, path: str) -> int | None:
        """The number of the group that a row is in, or would be in if there were more."""
        kind = self._kinds.get(path)
        return None if kind is None else self._told[kind].number

    def group(self, path: str) -> Group | None:
        """The group that a row is in."""
        kind = self._kinds.get(path)
        if kind is None or self._counts[kind] < LEAST:
            return None
        return Group(self._told[kind].number, self._counts[kind], self._told[kind].text)

    def groups(self) -> list[Group]:
        """The kinds of errors that several rows have, the most frequent one first."""
        return [
            Group(self._told[kind].number, count, self._told[kind].text)
            for kind, count in self._counts.most_common(_MOST)
            if count >= LEAST
        ]


def told_together(failures: Iterable[tuple[str, StoredError | None]]) -> list[str]:
    """A line for each group of equal errors, with the names of the first that have them.

    >>> error = {"type": "ValueError", "message": "no text"}
    >>> told_together([(name, error) for name in ("a", "b", "c", "d", "e")])
    ['5 tasks failed alike: ValueError: no text (a, b, c and 2 more)']
    """
    errors = Errors()
    names: dict[int, list[str]] = {}
    for place, (name, error) in enumerate(failures):
        errors.note(str(place), error)
        if (number := errors.number(str(place))) is not None:
            names.setdefault(number, []).append(name)
    return [
        f"{group.count:,} tasks failed alike: {group.text} ({_some(names[group.number])})"
        for group in errors.groups()[:_LINES]
    ]


def _some(names: list[str]) -> str:
    left = len(names) - FIRST
    return ", ".join(names[:FIRST]) + (f" and {left:,} more" if left > 0 else "")
