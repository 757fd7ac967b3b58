"""`python -m benchmarks peers`: the tables of docs/benchmarks.md that have other libraries in them."""

from __future__ import annotations

import argparse
import os
import platform
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from benchmarks import imports
from benchmarks.pairs import Row, columns, compare, duration

from . import scale
from .libraries import OURS, PEERS, Library
from .processes import Worker, WorkerError

# What is measured: its name, our workload, theirs, and how many times as fast ours should be.
WORKLOADS: tuple[tuple[str, str, str, float | None], ...] = (
    ("replay", "replay", "replay", None),  # the aim is the library's
    ("fresh", "fresh", "fresh", 1.0),
    ("fan-out, gather", "fan_out", "fan_out", 5.0),
    ("fan-out, io.map", "fan_out_map", "fan_out", 5.0),
)
MEMORY, IMPORT = "memory", "import"
ORDER = (*[name for name, *_ in WORKLOADS], MEMORY, IMPORT)


@dataclass(frozen=True)
class Missing:
    """A line of the table that could not be measured."""

    name: str
    per: str
    why: str


def measured(
    libraries: Sequence[Library], tasks: int | None, pairs: int, only: str
) -> Iterator[Row | Missing]:
    """All rows beside other libraries, one of which is there at a time: some have a server that is never idle."""
    with Worker(OURS.module) as ours:
        for library in libraries:
            with Worker(library.module) as theirs:
                for name, sides, size, aim in _comparisons(library, ours, theirs, tasks):
                    per = f"{library.name} {library.version or ''}".rstrip()
                    if only not in f"{name} / {per}":
                        continue
                    if library.version is None:
                        yield Missing(name, per, "not installed")
                        continue
                    try:
                        target = None if aim is None else 1 / aim
                        yield compare(
                            name, per, f"{size:,}" if size else "", sides, target=target, pairs=pairs
                        )
                    except WorkerError as error:
                        yield Missing(name, per, str(error))


Sides = tuple[Callable[[], float], Callable[[], float]]


def _comparisons(
    library: Library, ours: Worker, theirs: Worker, tasks: int | None
) -> Iterator[tuple[str, Sides, int, float | None]]:
    size = min(tasks, library.tasks) if tasks else library.tasks
    for name, our_workload, their_workload, aim in WORKLOADS:
        if their_workload in library.workloads:
            sides = _seconds(ours, our_workload, size), _seconds(theirs, their_workload, size)
            yield name, sides, size, library.replay_aim if name == "replay" else aim
    yield MEMORY, (_memory(OURS, size), _memory(library, size)), size, None
    yield IMPORT, (_import(OURS), _import(library)), 0, None


def _seconds(worker: Worker, workload: str, tasks: int) -> Callable[[], float]:
    return lambda: worker.ask(workload, tasks)["seconds"] / tasks


def _memory(library: Library, tasks: int) -> Callable[[], float]:
    def bytes_of() -> float:
        with Worker(library.module) as worker:  # a new one: the peak of a process does not fall
            return worker.ask("fresh", tasks)["memory"]

    return bytes_of


def _import(library: Library) -> Callable[[], float]:
    def seconds() -> float:
        try:
            return imports.seconds_of(library.imports)
        except subprocess.CalledProcessError as error:
            raise WorkerError(error.stderr.strip().splitlines()[-1]) from None

    return seconds


# The tables ----------------------------------------------------------------------------------------


def table(rows: Sequence[Row | Missing]) -> str:
    """The rows as text, in the columns that docs/benchmarks.md shows."""
    heads = ("", "beside", "tasks", "ours", "theirs", "times", "p10-p90", "aim", "")
    ordered = sorted(rows, key=lambda row: ORDER.index(row.name))
    return columns(heads, [_cells(row) for row in ordered])


def _cells(row: Row | Missing) -> tuple[str, ...]:
    if isinstance(row, Missing):
        return (row.name, row.per, "", "", "", "", "", "", row.why)
    spread = f"{_times(row.at(0.9))}-{_times(row.at(0.1))}"  # the greatest ratio is the least advantage
    aim = "" if row.target is None else _times(row.target)
    unit = scale.megabytes if row.name == MEMORY else duration
    return (
        row.name, row.per, row.size, unit(row.ours), unit(row.theirs), _times(row.ratio), spread, aim, row.verdict,
    )  # fmt: skip


def _times(ratio: float) -> str:
    """How many times as much the other takes."""
    return f"{1 / ratio:.{0 if ratio < 0.1 else 1}f}"


def surroundings() -> str:
    return (
        f"trigger_nb {OURS.version}, {platform.python_implementation()} {platform.python_version()}, "
        f"SQLite {sqlite3.sqlite_version}; {platform.system()} {platform.machine()}, {os.cpu_count()} CPUs"
    )


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks peers", description=__doc__)
    parser.add_argument("--pairs", type=int, default=5, help="pairs a row (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="1 pair, 100 tasks, and a scale of 5,000 items")
    parser.add_argument("--only", default="", metavar="TEXT", help='rows with this in "what / beside"')
    given = parser.parse_args(arguments)
    tasks, pairs = (100, 1) if given.quick else (None, given.pairs)

    print(surroundings())
    print(
        f"Medians of {pairs} alternated pairs; how many times as much the others take is taken pair by pair.\n"
    )
    beside = _progress(measured(PEERS, tasks, pairs, given.only))
    if beside:
        print(table(beside))
    grown = _progress(scale.measured(scale.QUICK if given.quick else scale.FULL, pairs, given.only))
    if grown:
        print(f"\nTimes and disk are of one item, memory is of all.\n{scale.table(grown)}")


AnyRow = TypeVar("AnyRow", Row, Row | Missing)


def _progress(rows: Iterator[AnyRow]) -> list[AnyRow]:
    """All rows; those who wait see which are done."""
    done: list[AnyRow] = []
    for row in rows:
        done.append(row)
        if sys.stderr.isatty():
            print(f"  {row.name} / {row.per}", file=sys.stderr)
    return done
