"""Places in the user's code: a notebook cell or a file, and a line."""

from __future__ import annotations

import os
import sys
from types import CodeType
from typing import TypeAlias

# The folder of this package. Its frames are left out of the tracebacks that users see.
PACKAGE_FOLDER = os.path.dirname(__file__) + os.sep

# The place of a call: code object and instruction. The line is looked up only when it is shown.
Place: TypeAlias = tuple[CodeType, int]


def show_place(place: Place) -> str:
    """A place for a message, such as "cell [3], line 7"; outside a notebook, the file and the line."""
    code, instruction = place
    line = code.co_firstlineno
    for start, end, at in code.co_lines():
        if start <= instruction < end and at is not None:
            line = at
            break
    number = _cell_number(code.co_filename)
    return f"{code.co_filename if number is None else f'cell [{number}]'}, line {line}"


def file_name(file: str) -> str:
    """A file's name for a traceback, in IPython's words: "Cell In[3]" for a cell, else 'File "a.py"'."""
    number = _cell_number(file)
    return f'File "{file}"' if number is None else f"Cell In[{number}]"


def _cell_number(file: str) -> int | None:
    """The number of the notebook cell that was compiled under this file name; None for any other file."""
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None else None
    numbers: dict[str, int] = getattr(getattr(shell, "compile", None), "_filename_map", {})
    return numbers.get(file)
