"""The clock of the engine, and conversions between times.

Deadlines are stored as UTC seconds since the epoch, so they are valid in the next kernel. Times of a
monotonic clock would not be: it restarts with the machine and may stop while a laptop sleeps.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from numbers import Integral, Real
from typing import Protocol, TypeGuard

from .errors import InvalidOptionError

# Seconds. The longest single sleep: a wait checks the wall clock at least this often, to notice that a laptop
# was suspended or the clock was corrected.
SLICE = 5.0


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

        while (left := when - time.time()) > 0:
            await anyio.sleep(min(left, SLICE))


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
    """Convert seconds since the epoch to a datetime in UTC."""
    return datetime.fromtimestamp(timestamp, UTC)
