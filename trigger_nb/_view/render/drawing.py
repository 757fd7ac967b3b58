"""Drawings in steps, between which an event loop can do something else."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeAlias, TypeVar

T = TypeVar("T")

Drawing: TypeAlias = Generator[
    None, None, T
]  # each step takes a few milliseconds; the result is what it returns


def result_of(drawing: Drawing[T]) -> T:
    """All steps at once."""
    while True:
        try:
            next(drawing)
        except StopIteration as end:
            return end.value
