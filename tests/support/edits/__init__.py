"""Edits of notebook cells, and whether the body they define is still the same code (rule R6).

Each has cells before and after the edit, or, in place of the latter, the piece that it replaces and the new
one. A line `# %%` parts cells, and `body` is what a task is given. The same table is run by
`test_fingerprint.py` and, in a real kernel, by `kernel/test_changes.py`.
"""

from __future__ import annotations

from .bound import BOUND
from .classes import CLASSES
from .code import CODE, LAYOUT, NAMES
from .edit import Edit
from .globals import GLOBALS

__all__ = ["EDITS", "Edit"]

EDITS = [*LAYOUT, *CODE, *NAMES, *BOUND, *GLOBALS, *CLASSES]
