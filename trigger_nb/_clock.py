"""The clock and the patience of the engine, and conversions between times.

Deadlines are stored as UTC seconds since the epoch, so they are valid in the next kernel. Times of a
monotonic clock would not be: it restarts with the machine and may stop while a laptop sleeps.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from numbers import Integral, Real
from typing import Protocol, TypeGuard

from .errors import InvalidOptionError

# Seconds. The longest single sleep: a wait checks the wall clock at least this often, to notice that a laptop
# was suspended or the clock was corrected.
SLICE = 5.0

_LATEST = 253_402_300_799.0  # the last second that a datetime can be


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the engine waits, in seconds of real time, before it gives up or reacts."""

    store: float = 5.0  # for a busy store, at the beginning and the end of a run
    store_in_thread: float = 30.0  # for a busy store, in a thread; the event loop goes on meanwhile
    unwind: float = 1.0  # for the code of a stopped pass; then the end of the run is recorded anyway
    cell: float = 0.7  # for the end of a run whose cell was interrupted
    slow_code: float = 1.0  # until the header hints at the code between two tasks (R10)
    start: float = 0.2  # until the start of a body is recorded


class Clock(Protocol):
    """The clock that the engine uses. `trigger_nb.testing.FakeClock` is a clock for tests."""

    def time(self) -> float:
        """Seconds since the epoch, UTC."""
        ...

    async def sleep_until(self, when: float) -> None:
        """Sleep until `time()` is `when` or later."""
        ...


class SystemClock:
    """The system's clock."""

    time = staticmethod(time.time)

    async def sleep_until(self, when: float) -> None:
        import anyio

        # A clock that is set back does not prolong the sleep.
        end = steady() + when - self.time()
        while (left := min(when - self.time(), end - steady())) > 0:
            await anyio.sleep(min(left, SLICE))


# Seconds of a clock that cannot be set, and that goes on while a laptop sleeps. Linux's monotonic clock stands still
# meanwhile, and so does the one that Python uses on macOS.
steady: Callable[[], float] = time.monotonic
if hasattr(time, "CLOCK_BOOTTIME"):
    steady = partial(time.clock_gettime, time.CLOCK_BOOTTIME)
elif sys.platform == "darwin":
    steady = partial(time.clock_gettime, time.CLOCK_MONOTONIC)
JITTER = 1.0  # seconds by which the wall clock may be corrected without being set


def steady_beside(clock: Clock) -> Callable[[], float]:
    """The clock to compare with `clock`, to notice that it was set. A clock for tests is never set."""
    return steady if isinstance(clock, SystemClock) else clock.time


def is_number(value: object) -> TypeGuard[float]:
    """Whether the value of an option is a number, also one of NumPy's. True and False are none."""
    return isinstance(value, Real) and not isinstance(value, bool)  # pyright: ignore[reportUnnecessaryIsInstance]


def is_whole_number(value: object) -> TypeGuard[int]:
    """Whether the value of an option is an integer, also one of NumPy's."""
    return isinstance(value, Integral) and not isinstance(value, bool)  # pyright: ignore[reportUnnecessaryIsInstance]


def to_seconds(value: object, what: str) -> float:
    """Convert a duration, in seconds or as a `timedelta`, to seconds.

    Raises `InvalidOptionError`, which names the option `what`, for any other type, for NaN, infinity and for
    values below zero.
    """
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    elif is_number(value):
        seconds = float(value)
    else:
        raise InvalidOptionError(f"{what} is seconds or a timedelta, not {type(value).__name__}: {value!r}")
    if not seconds >= 0 or seconds == float("inf"):
        raise InvalidOptionError(f"{what} is a finite time of zero or more, not {value!r}")
    return seconds


def to_timestamp(value: object, what: str) -> float:
    """Convert a datetime to seconds since the epoch.

    Raises `InvalidOptionError`, which names the option `what`, for a datetime without a time zone: it would
    be a different time in another zone.
    """
    if not isinstance(value, datetime):
        raise InvalidOptionError(f"{what} is a datetime with a time zone, not {value!r}")
    if value.tzinfo is None or value.utcoffset() is None:
        raise InvalidOptionError(
            f"{what} has no time zone: {value!r}. Add one, "
            "for instance datetime(..., tzinfo=UTC) or datetime.now(UTC)."
        )
    return value.timestamp()


def to_datetime(timestamp: float) -> datetime:
    """Convert seconds since the epoch to a datetime in UTC; what is before 1970 or after 9999 becomes that."""
    return datetime.fromtimestamp(min(max(timestamp, 0.0), _LATEST), UTC)
