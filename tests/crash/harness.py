"""Starts jobs in processes, kills them at random moments, and starts them again until they end."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.crash.forks import Launched
from trigger_nb._store.crashpoints import VARIABLE as CRASH_AT

from . import child, history_check, history_child, mutants, trace
from .child import SPOILED, STOPPED
from .trace import Findings

FIRST_SEED = 1000
LAUNCHES_ALLOWED = 40
TIMEOUT = 600.0  # seconds; only what hangs takes that long, on a busy machine too
UNDISTURBED, REPLAYED = "undisturbed", "replayed"
COUNTS = {
    "task bodies called": "bodies",
    "bodies called again after an interruption": "interrupted",
    "tasks committed": "committed",
    "committed bodies called again": "repeated",
    "wrong results": "wrong",
    "results lost": "lost",
    "idempotency keys that changed": "keys",
    "attempts forgotten": "attempts",
}
COUNTS_OF_HISTORIES = {
    "task bodies called": "bodies",
    "bodies called again after an interruption": "interrupted",
    "results taken over from other runs": "reused",
    "results that had expired": "expired",
    "results of files that were edited": "edited",
    "runs deleted or pruned": "removed",
    "bodies called though there was a result": "repeated",
    "results that nothing had made": "unfounded",
    "wrong results": "wrong",
    "results or runs lost": "lost",
}


@dataclass(frozen=True)
class Subject:
    """What is killed: what runs in its processes, and how their traces are read."""

    module: str
    name: str  # of what there is one for each seed
    store_of: Callable[[int], str]
    findings: Callable[
        [Path, Path, int], Findings
    ]  # the folders of those that were killed, and of those left alone
    counts: dict[str, str]
    replayed_by: tuple[str, ...] = ()  # launches after the end, of all in one process


def findings(killed: Path, alone: Path, seed: int) -> Findings:
    """What the traces of a job tell."""
    return trace.check(trace.read(killed / f"{seed}.trace"), trace.read(alone / f"{seed}.trace"))


def _findings_of_history(killed: Path, alone: Path, seed: int) -> Findings:
    return history_check.check(history_check.read(killed / f"{seed}.trace"), seed)


# Whatever the crashes left in the stores, all of it replays, also after a pass that ended early.
JOBS = Subject("tests.crash.child", "jobs", child.store_of, findings, COUNTS, (REPLAYED, SPOILED, REPLAYED))
HISTORIES = Subject(  # the acts of a history replay what is there, and more than once
    "tests.crash.history_child",
    "histories",
    history_child.store_of,
    _findings_of_history,
    COUNTS_OF_HISTORIES,
)
SUBJECTS = {subject.name: subject for subject in (JOBS, HISTORIES)}


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
    subject: Subject

    @property
    def faults(self) -> list[str]:
        return [f"seed {one.seed}: {fault}" for one in self.outcomes for fault in one.findings.faults]

    def table(self) -> str:
        rows = {
            self.subject.name: len(self.outcomes),
            "processes started": sum(one.launches for one in self.outcomes),
            "processes killed (SIGKILL)": sum(one.kills for one in self.outcomes),
            **{name: self._sum(count) for name, count in self.subject.counts.items()},
            "seconds": round(self.seconds),
        }
        width = max(map(len, rows))
        return "\n".join(f"{name:{width}}  {number:>7,}" for name, number in rows.items())

    def _sum(self, name: str) -> int:
        each = (getattr(one.findings, name) for one in self.outcomes)
        return sum(len(one) if isinstance(one, list) else one for one in each)


def crash_test(
    directory: Path, seeds: Sequence[int], *, subject: Subject = JOBS, at_once: int = 2, mutant: str = ""
) -> Summary:
    """Kill and resume the jobs or histories of these seeds, each in a store of its own under `directory`."""
    began = time.monotonic()
    alone, killed = directory / "alone", directory / "killed"
    alone.mkdir(parents=True)
    killed.mkdir()
    in_one_process(alone, UNDISTURBED, seeds, subject=subject)
    for seed in seeds:
        found = subject.findings(alone, alone, seed)
        assert not found.faults, f"seed {seed}, left alone: {found.faults}"
    with ThreadPoolExecutor(at_once) as pool:
        outcomes = list(pool.map(lambda seed: _kill_and_resume(subject, killed, alone, seed, mutant), seeds))
    for launch in () if mutant else subject.replayed_by:
        in_one_process(killed, launch, seeds, subject=subject)
    for outcome in outcomes:
        outcome.findings = subject.findings(killed, alone, outcome.seed)
    return Summary(outcomes, time.monotonic() - began, subject)


def in_one_process(directory: Path, launch: str, seeds: Iterable[int], *, subject: Subject = JOBS) -> None:
    """Run jobs one after the other to their ends, undisturbed."""
    process = start(directory, launch, seeds, subject=subject)
    code, complaints = _end_of(process, timeout=TIMEOUT * 10)
    assert code == 0, f"the jobs left alone ended with {code}:\n{complaints}"


def start(
    directory: Path,
    launch: str,
    seeds: Iterable[int],
    *,
    crash_at: str = "",
    mutant: str = "",
    subject: Subject = JOBS,
) -> Launched:
    """A process that runs jobs. `crash_at` is a named point at which it dies: "commit:before:3"."""
    environment = os.environ | {CRASH_AT: crash_at, mutants.VARIABLE: mutant}
    arguments = [str(directory), launch, *map(str, seeds)]
    return Launched(subject.module, arguments, directory=directory, environment=environment)


def launch_once(
    directory: Path,
    launch: str,
    seed: int,
    *,
    crash_at: str = "",
    mutant: str = "",
    subject: Subject = JOBS,
) -> bool:
    """Run a job in a process; whether it ended. Killed or stopped, it did not; anything else is a failure."""
    return _ended(start(directory, launch, [seed], crash_at=crash_at, mutant=mutant, subject=subject), seed)


def _kill_and_resume(subject: Subject, killed: Path, alone: Path, seed: int, mutant: str) -> Outcome:
    random = Random(seed)
    lines = _length(alone / f"{seed}.trace")
    for _ in range(LAUNCHES_ALLOWED):
        outcome = _resume_until_ended(subject, killed, seed, mutant, lines, random)
        if outcome.kills:
            return outcome
        # The first process was done before the kill came: that shows nothing. Once more, from nothing.
        shutil.rmtree(killed / subject.store_of(seed))
        (killed / f"{seed}.trace").unlink()
    raise AssertionError(f"what seed {seed} makes is too short to be killed")


def _resume_until_ended(
    subject: Subject, killed: Path, seed: int, mutant: str, lines: int, random: Random
) -> Outcome:
    outcome = Outcome(seed)
    planned = random.randint(1, 6)
    ended = False
    while not ended:
        outcome.launches += 1
        assert outcome.launches <= LAUNCHES_ALLOWED, f"the job of seed {seed} does not come to an end"
        process = start(killed, str(outcome.launches), [seed], mutant=mutant, subject=subject)
        if outcome.kills < planned:
            _kill_at_random(process, killed / f"{seed}.trace", lines, random)
        ended = _ended(process, seed)
        outcome.kills += process.returncode == -signal.SIGKILL
    return outcome


def _kill_at_random(process: Launched, trace: Path, lines: int, random: Random) -> None:
    """SIGKILL some time after the process has left so many more lines; nothing if it ends before.

    One in ten is killed before that, while it opens its store.
    """
    if random.random() < 0.1:
        target, delay = 0, random.uniform(0.0, 0.1)
    else:
        target, delay = random.randint(1, max(1, lines * 3 // 4)), random.uniform(0, 0.006)
    deadline = time.monotonic() + TIMEOUT
    before = _length(trace)
    while process.returncode is None and _length(trace) - before < target:
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


def _ended(process: Launched, seed: int) -> bool:
    code, complaints = _end_of(process, TIMEOUT)
    was_interrupted_early = complaints.rstrip().endswith(
        "KeyboardInterrupt"
    )  # as it imported its first modules
    assert code in (0, STOPPED, -signal.SIGKILL, -signal.SIGINT) or was_interrupted_early, (
        f"the process of seed {seed} ended with {code}:\n{complaints}"
    )
    return code == 0


def _end_of(process: Launched, timeout: float) -> tuple[int, str]:
    """How a process ended, and the last of what it complained of."""
    try:
        code = process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError(f"a process hung:\n{process.complaints()}") from None
    return code, process.complaints()
