"""The long form: `python -m tests.integrations.crash --kills 100`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from .harness import SEED, crash_test


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.integrations.crash", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="how many SIGKILLs (default: 100)")
    parser.add_argument("--seed", type=int, default=SEED, help="of the random moments")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        summary = crash_test(Path(directory), options.kills, options.seed)
    print(summary.table())
    for fault in summary.faults:
        print(fault, file=sys.stderr)
    return 1 if summary.faults else 0


if __name__ == "__main__":
    sys.exit(main())
