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

_RECORDS = 20_000  # task records that are read at most, of all runs together
_RUNS = 500  # runs that are looked at, at most, to find some of the job
_LATEST = 5  # runs of the job that the medians are of, at most


class Source(Protocol):
    """What earlier runs are read from: a `Runtime`."""

    def each_run_record(self) -> Iterator[RunRecord]: ...
    def each_task_record(self, run_id: str) -> Iterable[TaskRecord]: ...


@dataclass(frozen=True, slots=True)
class Durations:
    """Medians of how long a run of a job and its tasks took, in seconds."""

    total: float | None = None  # None when no run was completed before
    # By path; of tasks in a map or parallel also by the pattern of the path, which all its items have in common.
    tasks: Mapping[str, float] = field(default_factory=dict[str, float])
    items: Mapping[str, float] = field(default_factory=dict[str, float])  # by path of a map: its time by item

    def of(self, path: str) -> float | None:
        """How long a task takes from start to end; a new item of a map: as long as the others did."""
        found = self.tasks.get(path)
        return self.tasks.get(_pattern(path, self.items)) if found is None else found


def durations(source: Source, job_id: str, version: str, *, tasks: bool = False) -> Durations:
    """What the latest completed runs of a job took, of that version if there are any.

    With `tasks` it reads all task records of those runs, up to a bound: not to be called on the event loop.
    """
    runs = _earlier(source, job_id, version)
    if not runs:
        return Durations()
    took: dict[str, list[float]] = defaultdict(list)
    items: dict[str, list[float]] = defaultdict(list)
    room = _RECORDS if tasks else 0
    for run in runs:
        if (size := sum(run.counts.values())) <= room:
            room -= size
            _collect(source.each_task_record(run.id), took, items)
    return Durations(median(map(_length, runs)), _medians(took), _medians(items))


def _earlier(source: Source, job_id: str, version: str) -> list[RunRecord]:
    """The latest completed runs of the job. Forks do not count: they did only a part of the work."""
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
    """Add what the tasks of one run took."""
    known = {
        record.path: (record.kind, max(0.0, record.ended_at - record.started_at))
        for record in records
        if record.kind != "log" and record.status == TaskStatus.COMPLETED and record.ended_at is not None
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
    """The path with a star in place of each item of a map or parallel."""
    segments = path.split("/")
    for at in range(1, len(segments)):
        if "/".join(segments[:at]) in maps:
            segments[at] = "~*"  # no key is written like this
    return "/".join(segments)


def _medians(times: Mapping[str, list[float]]) -> dict[str, float]:
    return {name: median(each) for name, each in times.items()}
