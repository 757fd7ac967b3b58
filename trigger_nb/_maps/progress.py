"""The progress of a map, for its row in a display: how far it is, how fast, and whether a service holds it back."""

from __future__ import annotations

import math
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING

from .._clock import to_datetime
from .._concurrency.limiter import Limiter
from .._records.feed import Progressed

if TYPE_CHECKING:
    from .._clock import Clock
    from .._tasks.call import Scope

TELL_EVERY = 0.1  # how often the progress is reported, in seconds
_SAMPLES = 100  # for the rate: at least the last ten seconds


class Progress:
    """The progress of a map, for the display."""

    def __init__(self, scope: Scope, total: int | None) -> None:
        self.total = total  # None if it is not known yet
        self._owner = scope.owner
        self._path = scope.path
        self._ended = self._failed = 0
        self._told_at = -math.inf
        self._held_until = 0.0
        # Times, and how many items had been worked on by then. Replayed items would distort the rate.
        self._samples: deque[tuple[float, int]] = deque(maxlen=_SAMPLES)

    def note(self, ended: int, worked_on: int, failed: int) -> None:
        """Note the number of ended items, and report it if the last report is old enough."""
        self._ended, self._failed = ended, failed
        if self._owner.feed.watched and (now := monotonic()) - self._told_at >= TELL_EVERY:
            self._told_at = now
            self._samples.append((now, worked_on))
            self.tell()

    def hold(self, until: float) -> None:
        """Report that a service asked to wait until this time, in UTC seconds."""
        self._held_until = max(self._held_until, until)
        self._samples.clear()  # waiting would distort the rate
        self.tell()

    def show_hold(self, until: float) -> None:
        """Report that a task in an item waits until this time, unless that is over or was reported."""
        if until > max(self._held_until, self._owner.clock.time()):
            self.hold(until)

    def tell(self) -> None:
        """Report the progress to the display."""
        now = self._owner.clock.time()
        rate, left = self._rate(), (self.total or 0) - self._ended
        ends_at = round(now + left / rate, 1) if rate and left > 0 else None
        held = None
        if self._held_until > now:
            held = f"held back until {to_datetime(self._held_until):%H:%M:%S} UTC, as the service asks"
        self._owner.feed.emit(
            Progressed(self._path, self._ended, self.total, held, self._failed, rate, ends_at)
        )

    def _rate(self) -> float | None:
        """Items per second, recently; None if unknown."""
        if len(self._samples) < 2:
            return None
        (since, before), (now, after) = self._samples[0], self._samples[-1]
        return (after - before) / (now - since) if after > before else None


class MapLimiter(Limiter):
    """The limiter of one map; also reports back-off to its progress row."""

    def __init__(self, clock: Clock, concurrency: int, progress: Progress) -> None:
        super().__init__(clock, concurrency)
        self._progress = progress

    def hold(self, until: float) -> None:
        """As `Limiter.hold`."""
        super().hold(until)
        self._progress.hold(until)

    def show_hold(self, until: float) -> None:
        """As `Limiter.show_hold`."""
        self._progress.show_hold(until)
