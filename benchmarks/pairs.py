"""How it is measured: alternated pairs, each repetition in a new directory, and the ratio pair by pair."""

from __future__ import annotations

import asyncio
import gc
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from .workloads import Workload


@dataclass(frozen=True)
class Row:
    """One line of the table: how many times what `per` costs does `name` cost."""

    name: str
    per: str
    size: str
    ours: float  # seconds, the median
    theirs: float
    ratios: tuple[float, ...]  # pair by pair, in ascending order
    target: float | None  # what the ratio should be at most

    @property
    def ratio(self) -> float:
        return median(self.ratios)

    @property
    def verdict(self) -> str:
        if self.target is None:
            return ""
        return "met" if self.ratio <= self.target else "missed"

    def at(self, share: float) -> float:
        """The ratio below which a share of the pairs lies."""
        return self.ratios[round(share * (len(self.ratios) - 1))]


def compare(
    name: str, per: str, size: str, sides: tuple[Callable[[], float], Callable[[], float]], *,
    target: float | None, pairs: int,
) -> Row:  # fmt: skip
    """Measure both sides in turn: A B, B A, A B, ... so that neither has the better place."""
    ours, theirs = sides
    for side in sides:
        side()  # Not counted: what is imported or cached on first use is there from here on.
    found: list[tuple[float, float]] = []
    for number in range(pairs):
        if number % 2:
            second, first = theirs(), ours()
        else:
            first, second = ours(), theirs()
        found.append((first, second))
    return Row(
        name, per, size, median(first for first, _ in found), median(second for _, second in found),
        tuple(sorted(first / second for first, second in found)), target,
    )  # fmt: skip


def seconds_a_task(workload: Workload, tasks: int) -> float:
    """Measure a workload once, in a new directory and a new event loop."""
    with tempfile.TemporaryDirectory(prefix="trigger_nb-benchmark-") as directory, ExitStack() as stack:
        return asyncio.run(_timed(workload, stack, Path(directory), tasks)) / tasks


async def _timed(workload: Workload, stack: ExitStack, directory: Path, tasks: int) -> float:
    timed = await workload(stack, directory, tasks)
    gc.collect()  # Each starts with the collector's debts paid, and runs with it on.
    before = time.perf_counter()
    await timed()
    return time.perf_counter() - before


def table(rows: Iterable[Row]) -> str:
    """The rows as text, in the columns that docs/benchmarks.md shows."""
    heads = ("cost of", "beside", "size", "ours", "theirs", "ratio", "p10-p90", "target", "")
    cells = [
        (
            row.name, row.per, row.size, duration(row.ours), duration(row.theirs), _ratio(row.ratio),
            f"{_ratio(row.at(0.1))}-{_ratio(row.at(0.9))}", _ratio(row.target), row.verdict,
        )
        for row in rows
    ]  # fmt: skip
    return columns(heads, cells)


def columns(heads: Sequence[str], cells: Iterable[Sequence[str]]) -> str:
    """Text in columns, under their heads."""
    cells = list(cells)
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    lines = [heads, tuple("-" * width for width in widths), *cells]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def duration(seconds: float) -> str:
    if seconds < 1e-3:
        return f"{seconds * 1e6:.1f} us"
    return f"{seconds * 1e3:.2f} ms" if seconds < 1e-2 else f"{seconds * 1e3:.0f} ms"
