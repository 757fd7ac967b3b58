"""The long form of the soak test: `python -m tests.soak --minutes 60`."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from dataclasses import astuple
from pathlib import Path

from .work import Sample, Work, too_much

SAMPLES = 12


async def soak(directory: Path, seconds: float) -> list[Sample]:
    """Run jobs for so long. Prints and returns the samples, the first after a twelfth of the time."""
    work, samples = Work(directory), list[Sample]()
    print(f"{'runs':>8} {'MB':>8} {'threads':>8} {'files':>8} {'WAL MB':>8} {'store MB':>8}")
    begun = time.monotonic()
    for number in range(1, SAMPLES + 1):
        while time.monotonic() - begun < seconds * number / SAMPLES:
            await work.step()
        samples.append(work.sample())
        print(" ".join(f"{value:>8.4g}" for value in astuple(samples[-1])), flush=True)
    return samples


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60, help="how long (default: 60)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as directory:
        samples = asyncio.run(soak(Path(directory), 60 * options.minutes))
    grown = samples[-1].growth(samples[SAMPLES // 4 - 1])
    print("since a quarter of the time:", ", ".join(f"{name} {value:+.3g}" for name, value in grown.items()))
    if faults := too_much(grown):
        print(f"grown by too much: {faults}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
