"""Reads the trace of a history, over all the processes that went through it, and says what was lost, or called again.

It has a model of its own of what the client must know, and no look at the store. Lines beside those of `trace.py`:

    act, done         before and after an act; an act that is not done is begun again by the next process
    edit              before the text of a file is replaced
    enter             by a run function, at the beginning of each pass
    going, gone       before and after a run is deleted
    pruning, pruned   before and after a prune; the latter names the runs that are there
    checked           the problems that `client.check()` has found

A result is one of a *content*: a body, its argument, and the text of the file if the argument is one. It is *surely* there once its
caller has it, until its run is removed or has another one in its place; and *perhaps* while the one or the other may be under way.
What is surely there must not be called again; what is not even perhaps there must not be had without a call.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from .history import FILES, JOBS, History, Plan, history_of, text_of, value_of
from .program import digest
from .trace import Findings

Content = tuple[str, str, str]  # body, argument, text of the file


class Line(NamedTuple):
    what: str
    launch: str = "1"
    path: str = ""
    run: str = ""
    call: str = ""
    act: int = -1
    digest: str = ""
    text: str = ""
    name: str = ""
    there: list[str] = []  # noqa: RUF012  # never changed
    problems: list[str] = []  # noqa: RUF012


def read(file: Path) -> list[Line]:
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return [Line(**json.loads(line)) for line in lines]


@dataclass
class HistoryFindings(Findings):
    """What a trace tells. The lists hold one sentence for each fault."""

    reused: int = 0  # results that a run has taken over from another one
    expired: int = 0  # results that were too old, and were made or found again
    edited: int = 0  # results of a file that was edited, which were made or found again
    removed: int = 0  # runs deleted or pruned
    unfounded: list[str] = field(default_factory=list)  # results without a call, and without one to take over

    @property
    def faults(self) -> list[str]:
        return [*super().faults, *self.unfounded]


@dataclass(frozen=True)
class Result:
    """A result that a run has of its own: made by its body, or taken over."""

    content: Content
    oldest: float  # its body ended between these times: it is not known which of several was taken over
    newest: float
    shared: bool
    since: tuple[int, str]  # the act and the process


def check(lines: list[Line], seed: int) -> HistoryFindings:
    """Compare a trace with the model of its history."""
    model = _Model(history_of(seed))
    for line in lines:
        getattr(model, line.what)(line)
    if model.number != len(model.history.acts):
        model.found.lost.append(f"the history ended in act {model.number}")
    return model.found


class _Model:
    """What the client must know; a method for each kind of line."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.found = HistoryFindings()
        self.number, self.launch = 0, ""
        self.files = {name: text_of(name, 0) for name in FILES}
        self.results: dict[tuple[str, str], Result] = {}  # by run and call
        self.runs: list[str] = []  # those that are there, oldest first
        self.used: dict[str, float] = {}  # when each was used last
        self.entered: set[str] = set()  # in this act
        self.leaving: set[str] = set()  # those that are being removed
        # The store leads from a job and a content to the result that a body of the job made last: to one of these calls. What a run took
        # over is not found beside it, until the run that made it is removed.
        self.leads: dict[tuple[str, Content], set[tuple[str, str]]] = {}
        self.replacing: set[tuple[str, str]] = set()  # calls whose result is no longer good, and may be gone
        self.stale: set[tuple[str, str]] = set()  # calls of this act whose result was no longer good
        self.begun: set[tuple[str, str, Content]] = set()  # in this act
        self.ended: set[tuple[str, str, Content]] = set()  # in this act

    # Acts -------------------------------------------------------------------------------------------------

    def act(self, line: Line) -> None:
        if line.act != self.number:
            self.found.wrong.append(f"act {line.act} was begun instead of {self.number}")
        self.launch = line.launch

    def done(self, line: Line) -> None:
        act = self.history.acts[self.number]
        entered = self.runs if act.doing == "replay" else act.runs if act.doing == "run" else ()
        for run in entered:
            steps = self.history.plans[run].steps[: act.until]
            for call in (call for step in steps for call in step.calls()):
                result = self.results.get((run, call))
                if run not in self.entered or result is None or result.content != self.content(run, call):
                    self.found.lost.append(f"{run} has no result of {call} after act {self.number}")
        self.number += 1
        for each in (self.entered, self.stale, self.begun, self.ended):
            each.clear()

    def edit(self, line: Line) -> None:
        self.files[line.name] = line.text

    def enter(self, line: Line) -> None:
        run = line.run
        if run not in self.runs:
            self.runs.append(run)
        self.used[run] = self.time
        self.entered.add(run)
        for (owner, call), result in self.results.items():
            if owner == run and not self.is_good(run, call, result):
                self.stale.add((run, call))
                self.replacing.add((run, call))

    def going(self, line: Line) -> None:
        self.leaving.add(line.run)

    def gone(self, line: Line) -> None:
        self.remove({line.run})

    def pruning(self, line: Line) -> None:
        self.leaving |= self.pruned_by_rule()

    def pruned(self, line: Line) -> None:
        self.remove(self.leaving & set(self.runs))
        if sorted(self.runs) != line.there:
            self.found.lost.append(f"after act {self.number} {self.runs} must be there, and {line.there} are")

    def checked(self, line: Line) -> None:
        self.found.lost += line.problems

    def pruned_by_rule(self) -> set[str]:
        act, chosen, seen = self.history.acts[self.number], set[str](), dict[str, int]()
        for run in reversed(self.runs):
            job = self.plan(run).job
            seen[job] = seen.get(job, 0) + 1
            is_old = act.older_than is None or self.used[run] <= self.time - act.older_than
            if is_old and seen[job] > (act.keep_last or 0):
                chosen.add(run)
        return chosen

    def remove(self, runs: set[str]) -> None:
        self.found.removed += len(runs & set(self.runs))
        self.runs = [run for run in self.runs if run not in runs]
        self.results = {key: each for key, each in self.results.items() if key[0] not in runs}
        self.leaving -= runs
        lost = {lead for lead, calls in self.leads.items() if any(owner in runs for owner, _ in calls)}
        for job, content in lost:
            rest = {call for call in self.leads[job, content] if call[0] not in runs}
            self.leads[job, content] = rest | self.newest(job, content) if rest else set()
        for _, content in lost:
            for job in JOBS:
                if not self.leads.get((job, content)):
                    self.leads[job, content] = self.newest(job, content)

    def newest(self, job: str, content: Content) -> set[tuple[str, str]]:
        """The calls of a job one of which has the newest result."""
        copies = {
            key: each
            for key, each in self.results.items()
            if each.content == content and each.shared and self.plan(key[0]).job == job
        }
        latest = max((each.oldest for each in copies.values()), default=0.0)
        return {key for key, each in copies.items() if each.newest >= latest}

    # Calls ------------------------------------------------------------------------------------------------

    def begin(self, line: Line) -> None:
        run, call, where = line.run, line.call, f"{line.run} {line.call} in process {line.launch}"
        content = self.content(run, call)
        if line.text != content[2]:
            self.found.wrong.append(f"{where} read {line.text!r} and not {content[2]!r}")
        self.found.bodies += 1
        self.found.interrupted += (run, call, content) in self.begun
        own = self.results.get((run, call))
        if own is not None and self.is_good(run, call, own):
            self.found.repeated.append(f"{where} was called, and its run had its result")
        elif sure := self.sure(run, call, content):
            self.found.repeated.append(f"{where} was called, and {sure} had its result")
        if own is not None:  # what expired or has changed is forgotten, with its subtasks
            self.count_stale(own, content)
            self.forget(run, call)
        self.begun.add((run, call, content))

    def end(self, line: Line) -> None:
        content = self.content(line.run, line.call)
        self.compare(line, content)
        self.ended.add((line.run, line.call, content))
        if self.plan(line.run).reuse(line.call) != "run":  # perhaps it is committed
            self.leads.setdefault((self.plan(line.run).job, content), set()).add((line.run, line.call))

    def seen(self, line: Line) -> None:
        run, call = line.run, line.call
        content = self.content(run, call)
        self.compare(line, content)
        own = self.results.get((run, call))
        if own is not None and self.is_good(run, call, own):
            return
        others = list(self.others(run, call, content))
        if (run, call, content) in self.ended:
            times = [self.time, *(time for _, _, each in others for time in (each.oldest, each.newest))]
            if self.plan(run).reuse(call) != "run" and not others:
                self.leads[self.plan(run).job, content] = {(run, call)}
        elif others:
            times = [time for _, _, each in others for time in (each.oldest, each.newest)]
            self.found.reused += 1
            if (
                len(others) == 1 and others[0][:2] not in self.results
            ):  # it was committed, or it could not be had
                owner, origin, result = others[0]
                self.keep(owner, origin, result)
        elif own is not None and own.content == content and self.time - own.newest <= self.limit(run, call):
            return
        else:
            self.found.unfounded.append(
                f"{run} {call} in process {line.launch} has a result that nothing made"
            )
            times = [self.time]
        if own is not None:
            self.count_stale(own, content)
            self.forget(run, call)
        shared = self.plan(run).reuse(call) != "run"
        self.keep(run, call, Result(content, min(times), max(times), shared, (self.number, self.launch)))

    def keep(self, run: str, call: str, result: Result) -> None:
        self.results[run, call] = result
        self.replacing.discard((run, call))
        self.found.committed += 1

    def forget(self, run: str, call: str) -> None:
        for key in [key for key in self.results if key[0] == run and (key[1] + "/").startswith(f"{call}/")]:
            del self.results[key]

    def count_stale(self, own: Result, content: Content) -> None:
        if own.content == content:
            self.found.expired += 1
        else:
            self.found.edited += 1

    # What is there ----------------------------------------------------------------------------------------

    def is_good(self, run: str, call: str, result: Result) -> bool:
        """Whether a run must replay its own result."""
        is_same = result.content == self.content(run, call)
        return is_same and self.time - result.oldest <= self.limit(run, call)

    def others(self, run: str, call: str, content: Content) -> Iterator[tuple[str, str, Result]]:
        """Results of other runs that a call may take over."""
        reuse, limit = self.plan(run).reuse(call), self.limit(run, call)
        if reuse == "run":
            return
        known = dict(self.results)
        for owner, other, theirs in self.ended:  # perhaps committed, and not yet seen
            shared = self.plan(owner).reuse(other) != "run"
            result = Result(theirs, self.time, self.time, shared, (self.number, self.launch))
            known.setdefault((owner, other), result)
        for (owner, other), result in known.items():
            is_near = reuse == "client" or self.plan(owner).job == self.plan(run).job
            is_other = owner != run and result.content == content and result.shared and is_near
            if is_other and self.time - result.newest <= limit:
                yield owner, other, result

    def sure(self, run: str, call: str, content: Content) -> str:
        """A run that surely has a result that the call must take over; "" if there is none."""
        if "/" in call:  # it runs again with its parent
            return ""
        results = {(owner, other): result for owner, other, result in self.others(run, call, content)}
        for job in JOBS:
            calls = self.leads.get((job, content), set[tuple[str, str]]())
            if calls and all(
                each in results and self.is_sure(run, call, each, results[each]) for each in calls
            ):
                return min(calls)[0]
        return ""

    def is_sure(self, run: str, call: str, origin: tuple[str, str], result: Result) -> bool:
        """Whether a call must take over what the store leads to."""
        here = (self.number, self.launch)
        is_new = result.since == here and len(self.history.acts[self.number].runs) > 1
        was_forced = (run, call) in self.stale and result.since[0] == self.number
        is_leaving = origin[0] in self.leaving or origin in self.replacing or origin not in self.results
        is_young = self.time - result.oldest <= self.limit(run, call)
        return is_young and not (is_new or was_forced or is_leaving)

    # The history ------------------------------------------------------------------------------------------

    @property
    def time(self) -> float:
        return self.history.time(self.number)

    def plan(self, run: str) -> Plan:
        return self.history.plans[run]

    def limit(self, run: str, call: str) -> float:
        limit = None if "/" in call else self.plan(run).step(call).expires_after
        return math.inf if limit is None else limit

    def content(self, run: str, call: str) -> Content:
        """What a call is of, by the files as they are now."""
        top, _, inside = call.partition("/")
        argument = top.partition(":")[2]
        body = inside or self.plan(run).step(call).body
        return body, argument, self.files[argument] if body == "read" else ""

    def compare(self, line: Line, content: Content) -> None:
        body, argument, text = content
        value: Any = value_of(body, argument if body == "read" else int(argument), text)
        if line.digest != digest(value):
            self.found.wrong.append(f"{line.run} {line.call} is {line.digest} ({line.what} in {line.launch})")
