"""The long form of the crash test: `python -m tests.crash --jobs 200`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from .harness import FIRST_SEED, SUBJECTS, crash_test
from .mutants import MUTANTS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument(
        "--jobs", type=int, default=200, help="how many random jobs, and as many histories (default: 200)"
    )
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED, help="each job has a seed of its own")
    parser.add_argument(
        "--at-once", type=int, default=2, help="how many are run at the same time (default: 2)"
    )
    parser.add_argument(
        "--mutant", choices=MUTANTS, default="", help="test an engine that is wrong on purpose"
    )
    parser.add_argument(
        "--only", choices=SUBJECTS, help="jobs, or histories of runs that share results (default: both)"
    )
    options = parser.parse_args()
    seeds = range(options.first_seed, options.first_seed + options.jobs)
    faults: list[str] = []
    for name, subject in SUBJECTS.items():
        if options.only not in (None, name):
            continue
        with tempfile.TemporaryDirectory() as directory:
            summary = crash_test(
                Path(directory) / "crash",
                seeds,
                subject=subject,
                at_once=options.at_once,
                mutant=options.mutant,
            )
        print(summary.table(), end="\n\n", flush=True)
        faults += summary.faults
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
