"""What a limiter is made of: a window, a pace, and those who wait for them. All of it is used under one lock."""

from __future__ import annotations

import math
from bisect import insort
from typing import TYPE_CHECKING

import anyio

from .._executors import Home

if TYPE_CHECKING:
    from collections.abc import Callable

# How much of the time that a start came late the next ones may make up for: seconds, and a part of the rate's
# period. Timers are always a little late, which would slow a fast rate down a lot.
_CATCH_UP = 0.05
_CATCH_UP_PART = 0.02


class Waiter:
    """A call that waits to be let in."""

    __slots__ = ("_home", "_quit", "_woken", "ticket")

    def __init__(self, ticket: int, quit: Callable[[Waiter], None]) -> None:
        self.ticket = ticket  # the lower comes first
        self._quit = quit
        self._home = Home()
        self._woken = anyio.Event()

    def wake(self) -> None:
        """Have it look again; from any thread. When its event loop is gone, the next one's turn has come."""
        if not self._home.soon(lambda: self._woken.set()):  # noqa: PLW0108  # the one of then, not of now
            self._quit(self)

    async def sleep(self) -> None:
        await self._woken.wait()
        self._woken = anyio.Event()


class Part:
    """One of the two that have to allow a start. Under the lock."""

    def __init__(self) -> None:
        # Who waits for this and nothing else, the first one first. Few: of each limiter's line only the head
        # comes this far, beside those who come back.
        self._line: list[Waiter] = []

    def due(self, waiter: Waiter | None, now: float) -> float:
        """When it allows the start: `now` or before, a later time, or infinity: when told so."""
        first = self._line[0] if self._line else None
        if first is not None and (waiter is None or first.ticket < waiter.ticket):
            return math.inf
        return self.free_at(now)

    def free_at(self, now: float) -> float:
        """As `due`, where nobody else waits."""
        raise NotImplementedError

    def take(self, now: float) -> None:
        """Something starts."""
        raise NotImplementedError

    def join(self, waiter: Waiter) -> None:
        """Wait for this."""
        if waiter not in self._line:
            insort(self._line, waiter, key=lambda each: each.ticket)

    def quit(self, waiter: Waiter) -> None:
        """Wait for it no longer: what is left is for the next one."""
        if waiter in self._line:
            self._line.remove(waiter)
            self.tell()

    def tell(self) -> None:
        """Something has changed: the first in line looks again."""
        if self._line:
            self._line[0].wake()


class Window(Part):
    """So many at once. Fewer after a service said to wait, and by and by as many as before.

    As TCP does it: first one, then with each round of successes twice as many, up to half of what it was;
    from there on one more with each round.
    """

    def __init__(self, size: float = math.inf) -> None:
        super().__init__()
        self.resize(size)
        self._half = math.inf
        self._inside = 0
        self._old = 0  # those inside from before: one of them that takes long keeps nobody out

    def resize(self, size: float) -> None:
        """So many from now on."""
        self.size = size
        self._open = size  # how many may be inside of those that began since it was closed
        self.tell()

    def free_at(self, now: float) -> float:
        # One that is open by half of one more is not yet open for one more.
        is_free = self._inside < self.size and self._inside - self._old <= self._open - 1
        return -math.inf if is_free else math.inf

    def take(self, now: float) -> None:
        self._inside += 1

    def close(self, *, is_news: bool) -> None:
        """`is_news`: it is not what was just said to another call of the same wave."""
        if is_news:
            self._half = (self._open if self._open < math.inf else self._inside) / 2
        self._open = 1.0
        self._old = self._inside

    def end(self, *, is_old: bool | None, grows: bool) -> None:
        """A call has ended. `is_old`: it began before the window was closed; None: such ones end first."""
        self._inside -= 1
        if self._old and is_old is not False:
            self._old -= 1
        elif grows and self._open < self.size:
            self._open = min(self.size, self._open + (1.0 if self._open < self._half else 1 / self._open))
        self.tell()


class Pace(Part):
    """Starts that are evenly spaced, and none while a service has said to wait."""

    def __init__(self, count: int = 0, period: float = 0.0) -> None:
        super().__init__()
        self.held_until = 0.0
        self._next = -math.inf  # when the rate allows the next start
        self._gap = self._late = 0.0
        if count:
            self.go_by(count, period)

    def go_by(self, count: int, period: float) -> None:
        """It is this speed from now on."""
        # Of N + 1 starts in a row, the first came at most `_late` late and the last not early, and still there
        # is a whole period between them: never more than N begin in any period.
        self._late = min(_CATCH_UP, _CATCH_UP_PART * period)
        self._gap = (period + self._late) / count

    def free_at(self, now: float) -> float:
        self._next = min(self._next, now + self._gap)  # further away only when the clock was set back
        return max(self.held_until, self._next)

    def take(self, now: float) -> None:
        self._next = max(self._next, now - self._late) + self._gap
