"""diskcache: `memoize`, with the settings that it comes with."""

from __future__ import annotations

from pathlib import Path

from diskcache import Cache

from .clock import body, clock


def fresh(directory: Path, tasks: int) -> None:
    """Calls, none of them known."""
    with Cache(directory) as cache:
        memoized = cache.memoize()(body)
        with clock:
            for number in range(tasks):
                memoized(number)


def replay(directory: Path, tasks: int) -> None:
    """The same calls again, in a cache that was opened anew."""
    fresh(directory, tasks)
    fresh(directory, tasks)
