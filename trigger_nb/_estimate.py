"""How long tasks and runs take, going by the runs of the same job that were completed before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

from ._keys import ancestors, parent_path
from ._records import FAN_OUT, RunRecord, RunStatus, TaskRecord, TaskStatus

_RECORDS = 20_000  # so many task records are read at most, of all runs together
_RUNS = 500  # and so many runs are looked at to find some of the job


class Source(Protocol):
    """What earlier runs are read from: a `Runtime`."""

    def each_run_record(self) -> Iterator[RunRecord]: ...
    def each_task_record(self, run_id: str) -> Iterable[TaskRecord]: ...


@dataclass(frozen=True, slots=True)
class Durations:
    """What a run of a job will probably take. All times are in seconds.

    A *part* of a run is a task without subtasks, or a map or parallel as a whole: the parts together
    are the run, and a subtask counts once.
    """

    # The median of how long a run lasted; None when none was completed before.
    total: float | None = None
    # By path, what each part adds to how long the run lasts: of tasks that ran side by side, less than
    # they took; of one that not every run had, less, too.
    parts: Mapping[str, float] = field(default_factory=dict[str, float])
    # By the path of a map or parallel: the same for one of its items.
    items: Mapping[str, float] = field(default_factory=dict[str, float])
    # How much longer a run gets by a second of work: less than 1 where tasks run side by side.
    pace: float = 1.0
    _tasks: Mapping[str, float] = field(default_factory=dict[str, float])  # by path, or by its pattern

    def of(self, path: str) -> float | None:
        """How long a task probably takes, from its start to its end; None of one that no run had.

        Of an item that is new to a map or parallel, or of a task in it: the median of those of the others.
        """
        if (known := self._tasks.get(path)) is not None:
            return known
        return self._tasks.get(_pattern(path, self.items))


def durations(source: Source, job_id: str, version: str, limit: int = 5) -> Durations:
    """What the latest completed runs of a job took, at most so many.

    Runs of that version if there are any, else of all. It reads all records of those runs, up to a bound
    beyond which it knows how long a run took and nothing of its tasks: not to be called on the event loop.
    """
    ran: list[_Ran] = []
    room = _RECORDS
    for run in _earlier(source, job_id, version, limit):
        size = sum(run.counts.values())
        ran.append(_Ran(run, source.each_task_record(run.id) if size <= room else ()))
        room -= size if size <= room else 0
    return _summed_up(ran)


def _earlier(source: Source, job_id: str, version: str, limit: int) -> list[RunRecord]:
    """The latest completed runs of the job. A fork did only a part of the work."""
    same: list[RunRecord] = []
    others: list[RunRecord] = []
    for run in islice(source.each_run_record(), _RUNS):
        if run.job == job_id and run.status == RunStatus.COMPLETED and not run.forked:
            (same if run.version == version else others).append(run)
            if len(same) == limit:
                break
    return same or others[:limit]


class _Ran:
    """One earlier run: how long it and its tasks took."""

    def __init__(self, run: RunRecord, records: Iterable[TaskRecord]) -> None:
        self.lasted = run.worked or max(0.0, (run.finished_at or 0.0) - (run.started_at or 0.0))
        self.tasks: dict[str, float] = {}
        self.waits: dict[str, float] = {}  # those of the tasks that are waits outside of fan-outs
        self.fan_outs: set[str] = set()
        scopes: set[str] = set()
        for record in records:
            if record.kind == "log" or record.status != TaskStatus.COMPLETED or record.ended_at is None:
                continue
            took = max(0.0, record.ended_at - record.started_at)
            self.tasks[record.path] = took
            scopes.add(parent_path(record.path))
            if record.kind in FAN_OUT:
                self.fan_outs.add(record.path)
            elif record.kind == "wait":
                self.waits[record.path] = took
        self.parts, self.counts = self._into_parts(scopes)

    def _into_parts(self, scopes: set[str]) -> tuple[dict[str, float], dict[str, int]]:
        """By path how much work each part was, and of fan-outs how many items they had."""
        parts: dict[str, float] = defaultdict(float)
        counts: dict[str, int] = dict.fromkeys(self.fan_outs, 0)
        for path, took in self.tasks.items():
            if (around := parent_path(path)) in self.fan_outs:
                counts[around] += 1
            outermost = next((each for each in _outward(path) if each in self.fan_outs), None)
            if path not in scopes and path not in self.fan_outs:
                parts[outermost or path] += took
            if outermost is not None:
                self.waits.pop(path, None)
        return dict(parts), counts

    @property
    def work(self) -> float:
        """How much of its time went into work, and not into waits: those may have lasted without a kernel."""
        waited = sum(self.waits.values())
        if waited <= self.lasted:
            return self.lasted - waited
        return min(self.lasted, sum(self.parts.values()) - waited)


def _outward(path: str) -> list[str]:
    """The paths around a task, the outermost first."""
    return sorted(ancestors(path), key=len)


def _pattern(path: str, fan_outs: Container[str]) -> str:
    """The path of a task in a fan-out, with a star in place of the item: all of them are alike."""
    segments = path.split("/")
    for at in range(1, len(segments)):
        if "/".join(segments[:at]) in fan_outs:
            segments[at] = "~*"  # as no key is written
    return "/".join(segments)


def _summed_up(ran: list[_Ran]) -> Durations:
    if not ran:
        return Durations()
    told = [run for run in ran if run.tasks]
    total = _median([run.lasted for run in ran])
    fan_outs = {path for run in told for path in run.fan_outs}
    fan_outs |= {_pattern(path, fan_outs) for path in fan_outs}  # those in items of others
    parts = _medians((path, took) for run in told for path, took in run.parts.items())
    shares = {path: sum(path in run.parts for run in told) / len(told) for path in parts}
    waits = {path for run in told for path in run.waits}
    work = sum(took * shares[path] for path, took in parts.items() if path not in waits)
    pace = _median([run.work for run in told]) / work if work else 1.0
    return Durations(
        total=total,
        parts={path: took * shares[path] * (1.0 if path in waits else pace) for path, took in parts.items()},
        items={path: pace * each for path, each in _per_item(told, fan_outs).items()},
        pace=pace,
        _tasks=_medians(
            (name, took)
            for run in told
            for path, took in run.tasks.items()
            for name in {path, _pattern(path, fan_outs)}
        ),
    )


def _per_item(told: list[_Ran], fan_outs: set[str]) -> dict[str, float]:
    """By the path of a fan-out, how much work one of its items is."""
    known = _medians(
        (path, run.parts.get(path, 0.0) / count)
        for run in told
        for path, count in run.counts.items()
        if count
    )
    return {path: known.get(path, 0.0) for path in fan_outs}


def _medians(times: Iterable[tuple[str, float]]) -> dict[str, float]:
    by_name: dict[str, list[float]] = defaultdict(list)
    for name, took in times:
        by_name[name].append(took)
    return {name: _median(each) for name, each in by_name.items()}


def _median(times: list[float]) -> float:
    ordered, half = sorted(times), len(times) // 2
    return ordered[half] if len(times) % 2 else (ordered[half - 1] + ordered[half]) / 2
