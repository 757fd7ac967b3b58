"""A stored error as plain data, which the static HTML and the widget both draw."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, cast

from ..._main_file import near_places
from ..._values.frames import folded
from ..escape import visible_block
from ..model.readable import StoredError, error_line

_ERRORS = 30_000  # characters of an error with its causes, notes and members
_TEXT = 1000  # of a note
_TRACEBACK = 6000
_NOTES = 10
_MEMBERS = 10
_CAUSES = 6
_DEPTH = 3
Json: TypeAlias = dict[str, Any]
"""A part of the details, as the widget gets it."""


@dataclass(frozen=True, slots=True)
class ErrorData:
    """An error to display. `causes` is the chain as Python shows it, with the nearest cause first."""

    line: str
    notes: tuple[str, ...] = ()
    traceback: str = ""
    is_open: bool = False  # whether the traceback is what a reader looks for
    causes: tuple[tuple[str, ErrorData], ...] = ()  # label and error
    members: tuple[ErrorData, ...] = ()
    more: int = 0  # number of members left out


def error_data(error: StoredError, *, is_open: bool = False) -> ErrorData:
    """A stored error with its notes, traceback, causes and members; fields may be missing."""
    return replace(_Errors().read(error), is_open=is_open)


class _Errors:
    """Reads one error with its causes and members, with one size limit for all of them."""

    def __init__(self) -> None:
        self._left = _ERRORS

    def read(self, error: StoredError, depth: int = 0) -> ErrorData:
        alone = self._alone(error)
        causes = tuple((label, self._alone(cause)) for label, cause in _chain(error))
        found = _mappings(error.get("errors"))
        members: list[ErrorData] = []
        for member in found[:_MEMBERS]:
            if depth == _DEPTH or self._left <= 0:
                break
            members.append(self.read(member, depth + 1))
        more = len(found) - len(members) + _count(error.get("errors_left"))
        return replace(alone, causes=causes, members=tuple(members), more=more)

    def _alone(self, error: StoredError) -> ErrorData:
        line = error_line(error, 2000)
        shown = error.get("shown")
        notes = cast("StoredError", shown if isinstance(shown, dict) else error).get("notes")
        said = tuple(visible_block(note, _TEXT) for note in _list(notes)[:_NOTES])
        self._left -= len(line) + sum(map(len, said))
        found = [str(frame).rstrip("\n") for frame in _list(error.get("traceback"))[-200:]]
        frames = near_places("\n".join(folded(found)))
        traceback = visible_block(frames[-min(_TRACEBACK, self._left) :]) if self._left > 0 else ""
        self._left -= len(traceback)
        return ErrorData(line, said, traceback)


def _chain(error: StoredError) -> Iterator[tuple[str, StoredError]]:
    """The chain of causes as Python shows it: `raise ... from None` hides the context."""
    for _ in range(_CAUSES):
        context = None if error.get("suppress_context") else error.get("context")
        for label, inner in (("Caused by", error.get("cause")), ("While handling", context)):
            if isinstance(inner, dict):
                error = cast("StoredError", inner)
                yield label, error
                break
        else:
            return


def _list(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else []


def _mappings(value: object) -> list[StoredError]:
    return [cast("StoredError", each) for each in _list(value) if isinstance(each, dict)]


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0


def error_json(error: ErrorData) -> Json:
    return {
        "line": error.line,
        "notes": list(error.notes),
        "traceback": error.traceback,
        "open": error.is_open,
        "causes": [[label, error_json(cause)] for label, cause in error.causes],
        "members": [error_json(member) for member in error.members],
        "more": error.more,
    }
