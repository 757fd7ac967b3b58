"""Starts jobs in processes, kills them at random moments, and starts them again until they end."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from trigger_nb._store.crashpoints import VARIABLE as CRASH_AT

from . import mutants
from .child import SPOILED, STOPPED, store_of
from .trace import Findings, check, read

ROOT = Path(__file__).parents[2]
FIRST_SEED = 1000
LAUNCHES_ALLOWED = 40
TIMEOUT = 120.0  # seconds; only what hangs takes that long
UNDISTURBED, REPLAYED = "undisturbed", "replayed"


@dataclass
class Outcome:
    """What became of one job."""

    seed: int
    launches: int = 0
    kills: int = 0
    findings: Findings = field(default_factory=Findings)


@dataclass
class Summary:
    """What became of all."""

    outcomes: list[Outcome]
    seconds: float

    @property
    def faults(self) -> list[str]:
        return [f"seed {one.seed}: {fault}" for one in self.outcomes for fault in one.findings.faults]

    def table(self) -> str:
        rows = {
            "jobs": len(self.outcomes),
            "processes started": sum(one.launches for one in self.outcomes),
            "processes killed (SIGKILL)": sum(one.kills for one in self.outcomes),
            "task bodies called": self._sum("bodies"),
            "bodies called again after an interruption": self._sum("interrupted"),
            "tasks committed": self._sum("committed"),
            "committed bodies called again": self._count("repeated"),
            "wrong results": self._count("wrong"),
            "results lost": self._count("lost"),
            "idempotency keys that changed": self._count("keys"),
            "attempts forgotten": self._count("attempts"),
            "seconds": round(self.seconds),
        }
        width = max(map(len, rows))
        return "\n".join(f"{name:{width}}  {number:>7,}" for name, number in rows.items())

    def _sum(self, name: str) -> int:
        return sum(getattr(one.findings, name) for one in self.outcomes)

    def _count(self, name: str) -> int:
        return sum(len(getattr(one.findings, name)) for one in self.outcomes)


def crash_test(directory: Path, seeds: Sequence[int], *, at_once: int = 2, mutant: str = "") -> Summary:
    """Kill and resume the jobs of these seeds, each in a store of its own under `directory`."""
    began = time.monotonic()
    alone, killed = directory / "alone", directory / "killed"
    alone.mkdir(parents=True)
    killed.mkdir()
    in_one_process(alone, UNDISTURBED, seeds)
    for seed in seeds:
        assert not (faults := findings(alone, alone, seed).faults), f"seed {seed}, left alone: {faults}"
    with ThreadPoolExecutor(at_once) as pool:
        outcomes = list(pool.map(lambda seed: _kill_and_resume(killed, alone, seed, mutant), seeds))
    if (
        not mutant
    ):  # Whatever the crashes left in the stores, all of it replays, also after a pass that ended early.
        for launch in (REPLAYED, SPOILED, REPLAYED):
            in_one_process(killed, launch, seeds)
    for outcome in outcomes:
        outcome.findings = findings(killed, alone, outcome.seed)
    return Summary(outcomes, time.monotonic() - began)


def findings(killed: Path, alone: Path, seed: int) -> Findings:
    """What the traces of a job tell."""
    return check(read(killed / f"{seed}.trace"), read(alone / f"{seed}.trace"))


def in_one_process(directory: Path, launch: str, seeds: Iterable[int]) -> None:
    """Run jobs one after the other to their ends, undisturbed."""
    process = start(directory, launch, seeds)
    code, complaints = _end_of(process, timeout=TIMEOUT * 10)
    assert code == 0, f"the jobs left alone ended with {code}:\n{complaints}"


def start(
    directory: Path, launch: str, seeds: Iterable[int], *, crash_at: str = "", mutant: str = ""
) -> subprocess.Popen[bytes]:
    """A process that runs jobs. `crash_at` is a named point at which it dies: "commit:before:3"."""
    env = os.environ | {"PYTHONPATH": str(ROOT), CRASH_AT: crash_at, mutants.VARIABLE: mutant}
    command = [sys.executable, "-m", "tests.crash.child", str(directory), launch, *map(str, seeds)]
    return subprocess.Popen(
        command,
        env=env,
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def launch_once(directory: Path, launch: str, seed: int, *, crash_at: str = "", mutant: str = "") -> bool:
    """Run a job in a process; whether it ended. Killed or stopped, it did not; anything else is a failure."""
    return _ended(start(directory, launch, [seed], crash_at=crash_at, mutant=mutant), seed)


def _kill_and_resume(killed: Path, alone: Path, seed: int, mutant: str) -> Outcome:
    random = Random(seed)
    lines = len(read(alone / f"{seed}.trace"))
    for _ in range(LAUNCHES_ALLOWED):
        outcome = _resume_until_ended(killed, seed, mutant, lines, random)
        if outcome.kills:
            return outcome
        # The first process was done before the kill came: that shows nothing. Once more, from nothing.
        shutil.rmtree(killed / store_of(seed))
        (killed / f"{seed}.trace").unlink()
    raise AssertionError(f"the job of seed {seed} is too short to be killed")


def _resume_until_ended(killed: Path, seed: int, mutant: str, lines: int, random: Random) -> Outcome:
    outcome = Outcome(seed)
    planned = random.randint(1, 6)
    ended = False
    while not ended:
        outcome.launches += 1
        assert outcome.launches <= LAUNCHES_ALLOWED, f"the job of seed {seed} does not come to an end"
        process = start(killed, str(outcome.launches), [seed], mutant=mutant)
        if outcome.kills < planned:
            _kill_at_random(process, killed / f"{seed}.trace", lines, random)
        ended = _ended(process, seed)
        outcome.kills += process.returncode == -signal.SIGKILL
    return outcome


def _kill_at_random(process: subprocess.Popen[bytes], trace: Path, lines: int, random: Random) -> None:
    """SIGKILL some time after the process has left so many more lines; nothing if it ends before.

    One in ten is killed before that, while it opens its store.
    """
    if random.random() < 0.1:
        target, delay = 0, random.uniform(0.05, 0.4)
    else:
        target, delay = random.randint(1, max(1, lines * 3 // 4)), random.uniform(0, 0.006)
    deadline = time.monotonic() + TIMEOUT
    before = _length(trace)
    while process.poll() is None and _length(trace) - before < target:
        assert time.monotonic() < deadline, f"the process that writes {trace} hangs"
        time.sleep(0.001)
    time.sleep(delay)
    if random.random() < 0.25:  # stopped, as by the stop button; then killed, should it not end
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(random.uniform(0.005, 5.0))
    process.kill()


def _length(trace: Path) -> int:
    return trace.read_bytes().count(b"\n") if trace.exists() else 0


def _ended(process: subprocess.Popen[bytes], seed: int) -> bool:
    code, complaints = _end_of(process, TIMEOUT)
    was_interrupted_early = complaints.rstrip().endswith(
        "KeyboardInterrupt"
    )  # as it imported its first modules
    assert code in (0, STOPPED, -signal.SIGKILL, -signal.SIGINT) or was_interrupted_early, (
        f"the process of seed {seed} ended with {code}:\n{complaints}"
    )
    return code == 0


def _end_of(process: subprocess.Popen[bytes], timeout: float) -> tuple[int, str]:
    """How a process ended, and the last of what it complained of."""
    try:
        _, complaints = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        _, complaints = process.communicate()
        raise AssertionError(f"a process hung:\n{complaints.decode(errors='replace')[-4000:]}") from None
    return process.returncode, complaints.decode(errors="replace")[-4000:]
