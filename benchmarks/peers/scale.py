"""What a large map costs beside a small one: time, disk and memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.pairs import Row, columns, compare, duration

from .libraries import OURS
from .processes import Worker

GROWTH = 1.3  # what something large may cost beside something small


@dataclass(frozen=True)
class Sizes:
    """How many items."""

    few: int
    many: int
    long: int  # of a map whose results are 10 kB each


FULL = Sizes(few=1_000, many=100_000, long=100_000)
QUICK = Sizes(few=500, many=5_000, long=1_000)


@dataclass(frozen=True)
class Measure:
    """One line of the table: `field` of a worker's answer to two workloads, each with a number of items."""

    name: str
    beside: str
    field: str
    ours: tuple[str, int]
    theirs: tuple[str, int]
    aim: float | None = None


def measures(sizes: Sizes) -> tuple[Measure, ...]:
    few, many, long = sizes.few, sizes.many, sizes.long
    return (
        Measure("fresh", f"{few:,} items", "seconds", ("map", many), ("map", few), GROWTH),
        Measure("replay", f"{few:,} items", "seconds", ("map_again", many), ("map_again", few), GROWTH),
        Measure("on disk", f"{few:,} items", "stored", ("map", many), ("map", few)),
        Measure("peak memory", f"{few:,} items", "memory", ("map", many), ("map", few)),
        Measure(
            "peak memory, 10 kB each", "small ones", "memory", ("imap_large", long), ("imap", long), GROWTH
        ),
    )


def measured(sizes: Sizes, pairs: int, only: str = "") -> Iterator[Row]:
    """All rows, as they come."""
    for measure in measures(sizes):
        if only in f"{measure.name} / {measure.beside}":
            sides = _side(measure.field, *measure.ours), _side(measure.field, *measure.theirs)
            repeat = pairs if measure.field == "seconds" else 1  # the rest hardly differs from run to run
            yield compare(
                measure.name, measure.beside, f"{measure.ours[1]:,}", sides, target=measure.aim, pairs=repeat
            )


def _side(field: str, workload: str, items: int) -> Callable[[], float]:
    def of_a_new_process() -> float:
        with Worker(OURS.module) as worker:
            found = worker.ask(workload, items)[field]
        return found if field == "memory" else found / items

    return of_a_new_process


def table(rows: Sequence[Row]) -> str:
    """The rows as text, in the columns that docs/benchmarks.md shows."""
    heads = ("io.map", "beside", "items", "ours", "theirs", "ratio", "aim", "")
    return columns(heads, [_cells(row) for row in rows])


def _cells(row: Row) -> tuple[str, ...]:
    unit = UNITS.get(row.name.partition(",")[0], duration)
    aim = "" if row.target is None else f"{row.target:.2f}"
    return (
        row.name,
        row.per,
        row.size,
        unit(row.ours),
        unit(row.theirs),
        f"{row.ratio:.2f}",
        aim,
        row.verdict,
    )


def megabytes(size: float) -> str:
    return f"{size / 1e6:,.1f} MB"


UNITS: dict[str, Callable[[float], str]] = {
    "peak memory": megabytes,
    "on disk": lambda size: f"{size:,.0f} B",
}
