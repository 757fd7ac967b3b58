"""The errors of a large group as they are printed: a few examples, with the frames that matter.

Python prints the first 15 members of a group with all their frames, and offers no hook to print less.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from types import TracebackType

_PACKAGE_FOLDER = os.path.dirname(__file__) + os.sep  # our frames are left out
_MOST = 3  # examples in all, of which two may be of one class: so a group takes at most 40 lines under a cell
_MESSAGE = 300  # characters


def is_printed() -> bool:
    """Whether the property that calls this is read by the `traceback` module of Python."""
    return sys._getframe(2).f_globals.get("__name__") == "traceback"


def examples(errors: Sequence[BaseException]) -> tuple[Exception, ...]:
    """Stand-ins to print for the errors of a group: of the most frequent classes, with short messages and tracebacks."""
    classes = [cls for cls, _ in Counter(map(type, errors)).most_common(_MOST)]
    firsts = {cls: [error for error in errors if type(error) is cls][:2] for cls in classes}
    chosen = [firsts[cls][0] for cls in classes]
    chosen += [error for cls in classes for error in firsts[cls][1:]]
    return tuple(map(_stand_in, chosen[:_MOST]))


def _stand_in(error: BaseException) -> Exception:
    """An error that prints as this one, in a few lines."""
    cls = type(error)
    named = {"__module__": cls.__module__, "__qualname__": cls.__qualname__}
    try:
        text = " ".join(str(error).split())
    except Exception:  # noqa: BLE001  # of the user's class
        text = "<its text cannot be made>"
    text = text if len(text) <= _MESSAGE else text[: _MESSAGE - 1] + "…"
    return type(cls.__name__, (Exception,), named)(text).with_traceback(_ends(error.__traceback__))


def _ends(traceback: TracebackType | None) -> TracebackType | None:
    """The first frame, which is that of the item's body, and the last one, where the error was raised."""
    frames = list(_users(traceback))
    chain: TracebackType | None = None
    for each in reversed([*frames[:1], *frames[1:][-1:]]):
        # Without the instruction, Python marks no part of the line, which would take more lines.
        chain = TracebackType(chain, each.tb_frame, -1, each.tb_lineno)
    return chain


def _users(traceback: TracebackType | None) -> Iterator[TracebackType]:
    while traceback is not None:
        if not traceback.tb_frame.f_code.co_filename.startswith(_PACKAGE_FOLDER):
            yield traceback
        traceback = traceback.tb_next
