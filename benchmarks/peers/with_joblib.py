"""joblib: `Memory` with its default backend, files in a directory, and without its messages."""

from __future__ import annotations

from pathlib import Path

from joblib import Memory

from .clock import body, clock


def fresh(directory: Path, tasks: int) -> None:
    """Calls, none of them known."""
    cached = Memory(directory, verbose=0).cache(body)
    with clock:
        for number in range(tasks):
            cached(number)


def replay(directory: Path, tasks: int) -> None:
    """The same calls again, of a function that was wrapped anew."""
    fresh(directory, tasks)
    fresh(directory, tasks)
