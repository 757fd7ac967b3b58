"""The time limit of one attempt."""

from __future__ import annotations

import anyio


class TimeLimit:
    """The deadline of one attempt. Its clock stops while the body waits inside `io` (A3)."""

    def __init__(self, cancel_scope: anyio.CancelScope) -> None:
        self._cancel_scope = cancel_scope
        self._holds = 0
        self._left = 0.0

    @property
    def expired(self) -> bool:
        """Whether the time was up and the attempt was cancelled."""
        return self._cancel_scope.cancel_called

    def hold(self) -> None:
        """Stop the clock. Calls can be nested."""
        if not self._holds:
            self._left = self._cancel_scope.deadline - anyio.current_time()
            self._cancel_scope.deadline = float("inf")
        self._holds += 1

    def release(self) -> None:
        """Start the clock again."""
        self._holds -= 1
        if not self._holds:
            self._cancel_scope.deadline = anyio.current_time() + self._left
