"""`python -m benchmarks`: the library's own cost. `peers` is beside other libraries, `display` the live
tree, `notebook` what runs cost a notebook's page."""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version

from . import imports, workloads
from .pairs import Row, compare, seconds_a_task, table
from .workloads import Workload

# A lambda is a `def` body too: it runs in a worker thread.
_FRESH_TARGETS = {"method": 0.8, "partial": 0.8, "lambda": 1.8, "lambda with a default": 1.8}

# Ours, what it is measured beside, and how many times that it may cost.
COMPARISONS: tuple[tuple[str, Workload, str, Workload, float | None], ...] = (
    ("replay", workloads.replay, "sqlite3 resume", workloads.resume, 2.5),
    ("replay", workloads.replay, "memoize hit", workloads.hit, 1 / 5),
    ("reused", workloads.reused, "replay", workloads.replay, 2.5),
    ("reused, a map", workloads.reused_map, "replay", workloads.replay, 2.5),
    ("fresh", workloads.fresh, "memoize miss", workloads.miss, 0.8),
    ("fresh", workloads.fresh, "sqlite3 inserts", workloads.inserts, None),
    ("fresh, def bodies", workloads.fresh_def, "memoize miss", workloads.miss, 1.8),
    ("fresh, gathered", workloads.gathered, "memoize miss", workloads.miss, 0.5),
    ("fresh, methods gathered", workloads.gathered_form("method"), "memoize miss", workloads.miss, 0.6),
    *[
        (f"fresh, {form}", workloads.fresh_form(form), "memoize miss", workloads.miss, target)
        for form, target in _FRESH_TARGETS.items()
    ],
    ("replay, def bodies", workloads.again(workloads.fresh_def), "memoize hit", workloads.hit, 1 / 5),
    *[
        (f"replay, {form}", workloads.again(workloads.fresh_form(form)), "memoize hit", workloads.hit, 1 / 5)
        for form in workloads.FORMS
    ],
    (
        "replay, methods gathered",
        workloads.again(workloads.gathered_form("method")),
        "memoize hit",
        workloads.hit,
        1 / 5,
    ),
)
GROWTH = (("replay", workloads.replay), ("fresh", workloads.fresh), ("fresh, gathered", workloads.gathered))
GROWTH_TARGET = 1.2
IMPORT_TARGET = 1.3


def measured(sizes: Sequence[int], pairs: int, only: str = "") -> Iterator[Row]:
    """All rows, as they come."""
    for tasks in sizes:
        for name, ours, per, theirs, target in COMPARISONS:
            if only in f"{name} / {per}":
                sides = (_side(ours, tasks), _side(theirs, tasks))
                yield compare(name, per, f"{tasks:,}", sides, target=target, pairs=pairs)
    small, large = min(sizes), max(sizes)
    for name, ours in GROWTH:
        per = f"a task of {small:,}"
        if small < large and only in f"{name} / {per}":
            sides = (_side(ours, large), _side(ours, small))
            yield compare(name, per, f"{large:,}", sides, target=GROWTH_TARGET, pairs=pairs)
    if only in "import / anyio + a model":
        both = (lambda: imports.seconds_of(imports.OURS), lambda: imports.seconds_of(imports.THEIRS))
        yield compare("import", "anyio + a model", "", both, target=IMPORT_TARGET, pairs=pairs)


def _side(workload: Workload, tasks: int) -> Callable[[], float]:
    return lambda: seconds_a_task(workload, tasks)


def surroundings() -> str:
    """What the figures were measured with."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("anyio", "diskcache", "pydantic"))
    return (
        f"{platform.python_implementation()} {platform.python_version()}, SQLite {sqlite3.sqlite_version}, "
        f"{packages}; {platform.system()} {platform.machine()}, {os.cpu_count()} CPUs"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["display"]:
        from . import display  # it needs a browser, which nothing else here does

        display.main(words[1:])
        return
    if words[:1] == ["notebook"]:
        from . import display_notebook

        display_notebook.main(words[1:])
        return
    if words[:1] == ["peers"]:
        from .peers import main as peers

        peers.main(words[1:])
        return
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--pairs", type=int, default=15, help="pairs a row (default: %(default)s)")
    parser.add_argument("--tasks", type=int, nargs="+", default=[1000, 5000], help="tasks of a run")
    parser.add_argument("--quick", action="store_true", help="5 pairs, 200 and 1,000 tasks")
    parser.add_argument("--only", default="", metavar="TEXT", help='rows with this in "cost of / beside"')
    given = parser.parse_args(words)
    pairs, sizes = (5, [200, 1000]) if given.quick else (given.pairs, given.tasks)

    print(surroundings())
    print(f"Medians of {pairs} alternated pairs; the ratio is taken pair by pair. Times are of one task.\n")
    rows: list[Row] = []
    for row in measured(sizes, pairs, given.only):
        rows.append(row)
        if sys.stderr.isatty():
            print(f"  {row.name} / {row.per} {row.size}: {row.ratio:.2f}", file=sys.stderr)
    print(table(rows))
    loaded = imports.loaded()
    print(f"\nLoaded by import trigger_nb and not wanted: {', '.join(loaded) or 'none'}")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that worker processes are ended too
    main()
