"""The long form of the crash test: `python -m tests.crash --jobs 200`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from .harness import FIRST_SEED, crash_test
from .mutants import MUTANTS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--jobs", type=int, default=200, help="how many random jobs (default: 200)")
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED, help="each job has a seed of its own")
    parser.add_argument(
        "--at-once", type=int, default=2, help="how many are run at the same time (default: 2)"
    )
    parser.add_argument(
        "--mutant", choices=MUTANTS, default="", help="test an engine that is wrong on purpose"
    )
    options = parser.parse_args()
    seeds = range(options.first_seed, options.first_seed + options.jobs)
    with tempfile.TemporaryDirectory() as directory:
        summary = crash_test(Path(directory) / "crash", seeds, at_once=options.at_once, mutant=options.mutant)
    print(summary.table())
    for fault in summary.faults:
        print(fault, file=sys.stderr)
    return 1 if summary.faults else 0


if __name__ == "__main__":
    sys.exit(main())
