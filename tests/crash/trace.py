"""Reads the trace of a job, over all the processes that ran it, and says which rules were broken.

It knows nothing of the store. Lines come in the order in which they were written:

    call                 by the caller of a task, just before
    begin, end, failed   by a body, with its attempt and idempotency key
    seen                 by the caller of a task that has its value in hand: it is committed (R3)
    caught               by the caller of a task that has its error in hand, and handles it
    output               the run has ended and this is its output
    stopped              the run has stopped by itself and asks to be started again (A1)
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Line:
    what: str
    path: str = ""
    launch: str = "1"
    attempt: int = 0
    key: str = ""
    digest: str = ""
    last: bool = False  # no attempt comes after this failed one


def read(file: Path) -> list[Line]:
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return [Line(**json.loads(line)) for line in lines]


@dataclass
class Findings:
    """What a trace tells. The lists hold one sentence for each fault."""

    bodies: int = 0  # calls of a body
    interrupted: int = 0  # of these, calls of a body that was called before and had not been committed
    committed: int = 0  # tasks whose value the caller had in hand
    repeated: list[str] = field(default_factory=list)  # bodies run again though they were committed
    wrong: list[str] = field(default_factory=list)  # values other than those of the undisturbed run
    keys: list[str] = field(default_factory=list)  # tasks with more than one idempotency key
    attempts: list[str] = field(default_factory=list)  # attempts that were forgotten
    lost: list[str] = field(default_factory=list)  # what the undisturbed run has and this one has not

    @property
    def faults(self) -> list[str]:
        return [*self.repeated, *self.wrong, *self.keys, *self.attempts, *self.lost]


def check(lines: list[Line], undisturbed: list[Line]) -> Findings:
    """Compare the trace of a job that was killed with that of the same job left alone."""
    found = Findings()
    _count(lines, found)
    _find_repeated(lines, found)
    _find_repeated_errors(lines, found)
    _find_other_keys([*undisturbed, *lines], found)
    _find_forgotten_attempts(lines, found)
    _compare(lines, undisturbed, found)
    return found


def _count(lines: list[Line], found: Findings) -> None:
    begun = Counter((line.path, line.attempt) for line in lines if line.what == "begin")
    found.bodies = begun.total()
    found.interrupted = sum(times - 1 for times in begun.values())
    found.committed = len({line.path for line in lines if line.what == "seen"})


def _find_repeated(lines: list[Line], found: Findings) -> None:
    """R1, R3: after a value was in its caller's hands, neither the body nor one inside it runs again; after the output, none
    does (R5: the run had handled all errors)."""
    seen: set[str] = set()
    is_over = False
    for line in lines:
        if line.what == "seen":
            seen.add(line.path)
        elif line.what == "output":
            is_over = True
        elif line.what == "begin" and is_over:
            found.repeated.append(f"{line.path!r} began in process {line.launch} after the run had completed")
        elif line.what == "begin" and (done := seen.intersection(_with_parents(line.path))):
            found.repeated.append(
                f"{line.path!r} began in process {line.launch} after the value of {min(done)!r} was seen"
            )


def _find_repeated_errors(lines: list[Line], found: Findings) -> None:
    """R5: an error that was handled is final once a later task in its scope, or around it, is committed,
    or a part of one. What was committed before, and is called once more, began before, too."""
    seen: set[str] = set()
    caught: set[str] = set()  # handled in this process, for the time being
    beginnings: dict[str, set[str]] = {}  # tasks called in this process -> errors handled before
    final: set[str] = set()
    launch = ""
    for line in lines:
        if line.launch != launch:
            launch, caught, beginnings = line.launch, set(), {}
        if line.what == "caught":
            caught.add(line.path)
        elif line.what == "begin":
            caught.discard(line.path)
            if line.path in final:
                found.repeated.append(
                    f"{line.path!r} began in process {line.launch} after its error was handled for good"
                )
        elif line.what == "call":
            scope = line.path.rpartition("/")[0]
            before = {error for error in caught if not scope or error.startswith(f"{scope}/")}
            before = set() if line.path in seen else before
            beginnings.setdefault(line.path, before)  # called again by a later attempt, it began before
        elif line.what == "seen":
            seen.add(line.path)
            final |= {e for path in _with_parents(line.path) for e in beginnings.get(path, ())}


def _find_other_keys(lines: list[Line], found: Findings) -> None:
    """I6: attempts, passes, processes and crashes keep the idempotency key, and no two tasks share one."""
    keys: dict[str, set[str]] = {}
    for line in lines:
        if line.key:
            keys.setdefault(line.path, set()).add(line.key)
    found.keys += [f"{path!r} had {len(own)} idempotency keys" for path, own in keys.items() if len(own) > 1]
    shared = Counter(key for own in keys.values() for key in own)
    found.keys += [
        f"{times} tasks had the idempotency key {key}" for key, times in shared.items() if times > 1
    ]


def _find_forgotten_attempts(lines: list[Line], found: Findings) -> None:
    """A1: an attempt that began says that the one before was recorded, so numbers never go back."""
    latest: dict[str, int] = {}
    for line in lines:
        if line.what == "stopped":
            latest.clear()
        elif line.last:  # what has ended in an error begins anew, if it does
            latest.pop(line.path, None)
        elif line.what == "begin":
            if line.attempt < latest.get(line.path, 1):
                found.attempts.append(
                    f"{line.path!r} was at attempt {latest[line.path]} and began attempt {line.attempt}"
                )
            latest[line.path] = line.attempt


def _compare(lines: list[Line], undisturbed: list[Line], found: Findings) -> None:
    expected = {line.path: line.digest for line in undisturbed if line.what in ("seen", "output")}
    for line in lines:
        if line.what in ("seen", "output", "end") and line.digest != expected.get(line.path):
            found.wrong.append(
                f"{line.path or 'the output'!r} is {line.digest} ({line.what} in {line.launch})"
            )
    there = {line.path for line in lines if line.what in ("seen", "output")}
    found.lost += [f"{path or 'the output'!r} is missing" for path in expected if path not in there]


def _with_parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
