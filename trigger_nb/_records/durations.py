"""How long runs and tasks take: medians of earlier completed runs of the same job."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from statistics import median
from typing import Protocol

from .._keys import parent_path
from .records import FAN_OUT, RunRecord, TaskRecord
from .status import RunStatus, TaskStatus

_RUNS = 500  # the largest number of runs to search for runs of the job
_LATEST = 5  # the largest number of runs to compute medians from


class Source(Protocol):
    """The source of earlier runs; a `Runtime`."""

    def each_run_record(self) -> Iterator[RunRecord]: ...
    def each_task_record(self, run_id: str) -> Iterable[TaskRecord]: ...


@dataclass(frozen=True, slots=True)
class Durations:
    """Median durations of a job's runs and of their tasks, in seconds."""

    total: float | None = None  # of a run; None if there is no completed run
    # By path. Tasks in a map or parallel are also listed by the pattern of their path, which all items share.
    tasks: Mapping[str, float] = field(default_factory=dict[str, float])
    # By path of a map: its duration divided by its number of items.
    items: Mapping[str, float] = field(default_factory=dict[str, float])

    def of(self, path: str) -> float | None:
        """The duration of a task; for a new item of a map, the median of the other items. None if unknown."""
        found = self.tasks.get(path)
        return self.tasks.get(_pattern(path, self.items)) if found is None else found


def durations(
    source: Source, job_id: str, version: str, *, tasks: bool = False, most: int = 20_000
) -> Durations:
    """The durations of the latest completed runs of a job, if possible of that version.

    `tasks=True` also reads the task records of these runs, `most` of them in all: don't call it on the event loop.
    """
    runs = _earlier(source, job_id, version)
    if not runs:
        return Durations()
    took: dict[str, list[float]] = defaultdict(list)
    items: dict[str, list[float]] = defaultdict(list)
    room = most if tasks else 0
    for run in runs:
        if (size := sum(run.counts.values())) <= room:
            room -= size
            _collect(source.each_task_record(run.id), took, items)
    return Durations(median(map(_length, runs)), _medians(took), _medians(items))


def _earlier(source: Source, job_id: str, version: str) -> list[RunRecord]:
    """The latest completed runs of the job. Forks are left out, because they did only part of the work."""
    same: list[RunRecord] = []
    others: list[RunRecord] = []
    for run in islice(source.each_run_record(), _RUNS):
        if run.job == job_id and run.status == RunStatus.COMPLETED and not run.forked:
            (same if run.version == version else others).append(run)
            if len(same) == _LATEST:
                break
    return same or others[:_LATEST]


def _length(run: RunRecord) -> float:
    return run.worked or max(0.0, (run.finished_at or 0.0) - (run.started_at or 0.0))


def _collect(
    records: Iterable[TaskRecord], took: dict[str, list[float]], items: dict[str, list[float]]
) -> None:
    """Add the durations of one run's tasks to `took`, and those of its maps by item to `items`."""
    known = {
        record.path: (record.kind, max(0.0, record.ended_at - record.started_at))
        for record in records
        if record.kind != "log" and record.status == TaskStatus.COMPLETED and record.ended_at is not None
        if not record.reused_from  # that took no time here
    }
    counts = {path: 0 for path, (kind, _) in known.items() if kind in FAN_OUT}
    for path, (_, seconds) in known.items():
        if (around := parent_path(path)) in counts:
            counts[around] += 1
        for name in {path, _pattern(path, counts)}:
            took[name].append(seconds)
    for path, count in counts.items():
        if count:
            items[path].append(known[path][1] / count)


def _pattern(path: str, maps: Container[str]) -> str:
    """The path with a star instead of the key of each item of a map or parallel."""
    segments = path.split("/")
    for at in range(1, len(segments)):
        if "/".join(segments[:at]) in maps:
            segments[at] = "~*"  # not the normal form of any key
    return "/".join(segments)


def _medians(times: Mapping[str, list[float]]) -> dict[str, float]:
    return {name: median(each) for name, each in times.items()}
