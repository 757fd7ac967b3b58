"""What a body shows with `task.show`: the pieces of one attempt, in order, bounded."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from .._values.pieces import Made

MOST = 20  # pieces of one attempt
making = (
    threading.Lock()
)  # held to make the one of a scope: threads of its body may be the first at the same time


class Shown:
    """The pieces of one attempt. May be used from any thread."""

    def __init__(self) -> None:
        self.pieces: list[dict[str, Any]] = []  # replaced, never changed
        self._left_out = 0
        self._lock = threading.Lock()

    def add(self, made: Made, put: Callable[[bytes], str]) -> None:
        """Add a piece; `put` writes the file of its picture. After the first ones, pieces are only counted."""
        with self._lock:
            if len(self.pieces) < MOST:
                self.pieces = [*self.pieces, made.kept(put)]
                return
            self._left_out += 1
            note = {"label": "", "about": f"{self._left_out:,} more, which are not kept"}
            self.pieces = [*self.pieces[:MOST], note]
