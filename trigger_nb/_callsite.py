"""Places in the user's code: which cell or file, and which line."""

from __future__ import annotations

import os
import sys
from types import CodeType
from typing import Any

# Files under this folder are ours: their frames are cut from the tracebacks that users see.
PACKAGE_FOLDER = os.path.dirname(__file__) + os.sep

# Where in the user's code a call stands; its line is worked out only when somebody asks.
Place = tuple[CodeType, int]


def show_place(place: Place) -> str:
    """A place in the user's code as text: "cell 3, line 7" where it can be told, else file and line."""
    code, instruction = place
    line = code.co_firstlineno
    for start, end, at in code.co_lines():
        if start <= instruction < end and at is not None:
            line = at
            break
    return f"{_cell_name(code.co_filename)}, line {line}"


def _cell_name(filename: str) -> str:
    """ "cell [3]" for a notebook's cell, else the file as it is."""
    shell_module = sys.modules.get("IPython")
    shell = shell_module.get_ipython() if shell_module is not None else None
    names = getattr(getattr(shell, "compile", None), "_filename_map", {})
    number = names.get(filename)
    return f"cell [{number}]" if number is not None else filename


def file_name(file: str) -> str:
    """The name that a notebook shows a cell by, else the file's own."""
    ipython = sys.modules.get("IPython")
    shell: Any = ipython.get_ipython() if ipython is not None else None
    try:
        kind, name = shell.compile.format_code_name(file)
    except (AttributeError, TypeError):
        return f'File "{file}"'
    return f"{kind} {name}"
