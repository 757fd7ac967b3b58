"""What a command ends with: exit codes, and messages that say what to type."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from ..errors import (
    AlreadyAnsweredError,
    RunCanceledError,
    RunInterruptedError,
    RunLockedError,
    RunStateError,
    TriggerError,
    UsageError,
)

FAILED = 1  # a run has failed, or the store is damaged
USAGE = 2  # the command cannot be carried out as it was typed
LOCKED = 3  # another process drives the run
NOT_ENDED = 4  # the run is paused, interrupted or canceled
INTERRUPTED = 130  # Ctrl+C


class Problem(Exception):  # noqa: N818  # no error of a library: a message and an exit code
    """The end of a command, with a message for the user."""

    def __init__(self, message: str, code: int = USAGE) -> None:
        self.code = code
        super().__init__(message)


def code_of(error: TriggerError) -> int:
    """The exit code for an error of this package."""
    if isinstance(error, RunLockedError):
        return LOCKED
    if isinstance(error, (RunInterruptedError, RunCanceledError)):
        return NOT_ENDED
    # A wrong value (ValueError) or name (LookupError), or something that makes no sense now.
    if isinstance(error, (ValueError, LookupError, AlreadyAnsweredError, RunStateError, UsageError)):
        return USAGE
    return FAILED


def similar(name: str, known: Iterable[str]) -> str:
    """A question in parentheses that offers the most similar of known names; "" if none is."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
