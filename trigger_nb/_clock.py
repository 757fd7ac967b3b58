"""Time as the engine sees it: a wall clock that survives a restart, and a sleep against it.

Deadlines are stored as absolute UTC times (seconds since the epoch), so they mean the same in
the next kernel. A monotonic clock would not: it starts anew with the machine and stands still
while a laptop sleeps.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

from .errors import InvalidOptionError

# The longest uninterrupted sleep. A wait looks at the wall clock at least this often, so that
# a suspended laptop or a corrected clock is noticed.
SLICE = 5.0


class Clock(Protocol):
    """What the engine asks of time. `trigger_nb.testing.FakeClock` is the one for tests."""

    def time(self) -> float:
        """Seconds since the epoch, UTC."""
        ...

    async def sleep_until(self, when: float) -> None:
        """Return once `time()` is at or past `when`."""
        ...


class SystemClock:
    """The machine's own clock."""

    def time(self) -> float:
        return time.time()

    async def sleep_until(self, when: float) -> None:
        import anyio

        while (left := when - time.time()) > 0:
            await anyio.sleep(min(left, SLICE))


def to_seconds(value: object, what: str) -> float:
    """A duration given as seconds or `timedelta`, as seconds.

    Raises `InvalidOptionError` for anything else, for NaN and for what is below zero.
    """
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value)
    else:
        raise InvalidOptionError(f"{what} is seconds or a timedelta, not {type(value).__name__}: {value!r}")
    if not seconds >= 0 or seconds == float("inf"):
        raise InvalidOptionError(f"{what} is a finite time of zero or more, not {value!r}")
    return seconds


def to_timestamp(value: object, what: str) -> float:
    """An aware datetime as seconds since the epoch.

    Raises `InvalidOptionError` for a naive one: it would mean another instant in another zone.
    """
    if not isinstance(value, datetime):
        raise InvalidOptionError(f"{what} is a datetime with a time zone, not {value!r}")
    if value.tzinfo is None or value.utcoffset() is None:
        raise InvalidOptionError(
            f"{what} has no time zone: {value!r}. Say which one is meant, "
            "for instance datetime(..., tzinfo=UTC) or datetime.now(UTC)."
        )
    return value.timestamp()


def to_datetime(timestamp: float) -> datetime:
    """Seconds since the epoch as an aware datetime in UTC."""
    return datetime.fromtimestamp(timestamp, UTC)
