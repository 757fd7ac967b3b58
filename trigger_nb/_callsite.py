"""Places in the user's code: a notebook cell or a file, and a line."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from types import CodeType, FrameType
from typing import Any, TypeAlias

# The folder of this package. Its frames are left out of the tracebacks that users see.
PACKAGE_FOLDER = os.path.dirname(__file__) + os.sep

# The place of a call: code object and instruction. The line is looked up only when it is shown.
Place: TypeAlias = tuple[CodeType, int]


logger = logging.getLogger("trigger_nb")


def warn(text: str) -> None:
    """Warn at the line of the user's code that led here, once, as `warnings.warn` does."""
    frame = sys._getframe()
    ours = PACKAGE_FOLDER, contextlib.__file__
    while frame.f_back is not None and frame.f_code.co_filename.startswith(ours):
        frame = frame.f_back
    file, told = frame.f_code.co_filename, frame.f_globals.setdefault("__warningregistry__", {})
    warn_at(text, file, frame.f_lineno, module=frame.f_globals.get("__name__", file), registry=told)


def warn_at(text: str, file: str, line: int, **where: Any) -> None:
    """Warn at a line, each time unless `where` has a registry. Where warnings are errors, it is logged: an error would
    undo what has been done."""
    try:
        warnings.warn_explicit(text, RuntimeWarning, file, line, **where)
    except RuntimeWarning:
        logger.warning(text)


def warn_at_place(text: str, place: Place) -> None:
    """Warn, once, at the place of a call."""
    warn_at(text, *_line_of(place), registry=_told)


_told: dict[Any, Any] = {}  # warnings that `warn_at_place` has shown, as `warnings` keeps them


def show_place(place: Place) -> str:
    """A place for a message, such as "cell [3], line 7"; outside a notebook, the file and the line."""
    file, line = _line_of(place)
    number = _cell_number(file)
    return f"{file if number is None else f'cell [{number}]'}, line {line}"


def _line_of(place: Place) -> tuple[str, int]:
    code, instruction = place
    for start, end, at in code.co_lines():
        if start <= instruction < end and at is not None:
            return code.co_filename, at
    return code.co_filename, code.co_firstlineno


def calling_line() -> tuple[str, int]:
    """The file and line of the code that has called this package."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and (
        frame.f_code.co_filename.startswith(PACKAGE_FOLDER) or frame.f_globals.get("__package__") == "asyncio"
    ):
        frame = frame.f_back
    return ("<unknown>", 1) if frame is None else (frame.f_code.co_filename, frame.f_lineno)


def file_name(file: str) -> str:
    """A file's name for a traceback, in IPython's words: "Cell In[3]" for a cell, else 'File "a.py"'."""
    number = _cell_number(file)
    return f'File "{file}"' if number is None else f"Cell In[{number}]"


def is_cell(file: str) -> bool:
    """Whether code was compiled under this file name from a notebook cell."""
    return _cell_number(file) is not None


def _cell_number(file: str) -> int | None:
    """The number of the notebook cell that was compiled under this file name; None for any other file."""
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None else None
    numbers: dict[str, int] = getattr(getattr(shell, "compile", None), "_filename_map", {})
    return numbers.get(file)


class ShowsPublicNames:
    """Base of a class whose `dir()` has what users use."""

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if not name.startswith("_")]
