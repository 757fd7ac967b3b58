"""What a task may wait for before its body begins, as the engine sees it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(slots=True)
class Polling:
    """What a task looks for again and again before its body begins, because nobody tells when it is there."""

    look: Callable[
        [float], Awaitable[float | None]
    ]  # looks now: seconds until the next look; None: it was the last
    timeout: float  # seconds after which there is only one more look; the body says what comes after
    shown: list[dict[str, Any]]  # properties that the row shows meanwhile, kept up by `look`


class Outside(Protocol):
    """What a task waits for before its body begins, and which may come from other processes, at any time."""

    timeout: float  # seconds to wait at most; the body says what comes after

    def begin(self, by: str) -> None:
        """Wait from now on, also while no kernel lives. `by` is the task's idempotency key. Raises `StoreError`."""
        ...

    def next_look(self, now: float) -> float | None:
        """The next time, in UTC seconds, at which it may come by itself. Raises `StoreError`."""
        ...

    def is_there(self) -> bool:
        """Whether it has come. Raises `StoreError`."""
        ...

    def take(self) -> bool:
        """Take it, for this task alone, if it is there; whether the task has it. Raises `StoreError`."""
        ...

    def watch(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Call `wake` on this event loop whenever it may have come. The result ends that."""
        ...
