"""Runs that need a process: their process has died, or has left them, or what they wait for is due."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from .._records.reading import readable_run, readable_task
from .._records.records import RunRecord, is_queued
from .._records.status import RunStatus, TaskStatus
from .._store import lease as leases
from ..errors import NotFoundError, RunLockedError
from . import moves
from .runtime import ActiveRun, Runtime
from .sources import check_own

# What the record of a run contains that may need a process.
_MARKS = ('"status":"RUNNING"', '"status":"WAITING"', '"holder":{')
_AGAIN = 30.0  # seconds for which a time is taken as it was read: to skip a wait changes no run


class Due(NamedTuple):
    """A run that no process drives, and that one is to continue."""

    run: RunRecord
    why: str  # for a log

    def is_still(self, run: RunRecord) -> bool:
        """Whether the run is as it was found."""
        return (run.status, run.passes) == (self.run.status, self.run.passes)


class DueRuns:
    """Finds the runs of one store that are due. The first look reads all of them that have not ended, and later ones only
    what has changed."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._version = -1
        self._runs: list[RunRecord] = []
        self._times: dict[
            tuple[str, int, float | None], tuple[float, float]
        ] = {}  # when they are due, and when that was read

    def look(self) -> Iterator[Due]:
        """The runs that are due now."""
        version = self._runtime.store.version()
        if version != self._version:
            self._version, self._runs = version, self._unended()
        for run in list(self._runs):
            if run.id not in self._runtime.executions and (why := self._why(run)):
                yield Due(run, why)

    def next_at(self) -> float | None:
        """When the next wait ends that no process has, in UTC seconds."""
        times = [
            self._due_at(run) for run in self._runs if run.id not in self._runtime.executions and _waits(run)
        ]
        return min(times, default=None)

    def refresh(self) -> None:
        """Read what this process may have changed itself, which the number of the store does not tell."""
        self._version = -1

    def _unended(self) -> list[RunRecord]:
        found: dict[str, RunRecord] = {}
        for mark in _MARKS:
            for key, text in self._runtime.store.search("runs", mark):
                run_id = key.removeprefix("run/")
                if run_id not in found:
                    found[run_id] = readable_run(run_id, text)
        return [run for run in found.values() if not run.is_damaged and _may_need_a_process(run)]

    def _why(self, run: RunRecord) -> str:
        if self._runtime.status_of(run) == RunStatus.INTERRUPTED:
            return "its process is gone"
        if _waits(run) and not self._is_held(run):
            if self._due_at(run) <= self._runtime.clock.time():
                return "its wait is over"
            if moves.is_for_this(self._runtime, run.id):
                return "it was detached"
        return ""

    def _is_held(self, run: RunRecord) -> bool:
        return run.holder is not None and leases.is_held(self._runtime.store.directory, run.id, run.holder)

    def _due_at(self, run: RunRecord) -> float:
        key, now = (run.id, run.passes, run.finished_at), time.monotonic()
        at, read_at = self._times.get(key, (0.0, 0.0))
        if not read_at or now - read_at > _AGAIN:
            at = due_at(self._runtime, run)
            self._times[key] = at, now
        return at


def due_at(runtime: Runtime, run: RunRecord) -> float:
    """When the first wait of a run ends, in UTC seconds; 0 if it waits for something without a time."""
    rows = runtime.store.search(run.id, f'"status":"{TaskStatus.WAITING}"')
    records = [readable_task(key.partition("/")[2], text) for key, text in rows]
    return min(
        (record.next_at or 0.0 for record in records if record.status == TaskStatus.WAITING), default=0.0
    )


def resume(
    runtime: Runtime,
    seen: RunRecord,
    may_go_on: Callable[[RunRecord], bool],
    begin: Callable[[], ActiveRun] | None = None,
) -> ActiveRun | None:
    """Continue a run that no process seemed to drive; None if another process has it, or it may not go on as it is by now.

    None, too, if it is being moved to another process. Call it on the event loop. Raises `NotFoundError` if its job is not
    defined here, `RunStateError` if it is the run of another file's job, and what a start raises.
    """
    job = runtime.jobs.get(seen.job)
    if job is None:
        raise NotFoundError(f"job {seen.job!r} of run {seen.id} is not defined here")
    if moves.is_for_another(runtime, seen.id):
        return None
    try:
        runtime.take_lease(seen.copy())  # before the record is read, so that nobody can change it
    except RunLockedError:
        return None
    try:
        run = runtime.run_record(seen.id)
        if run is None or not may_go_on(run):
            return None
        check_own(run, job.options, job.fn)
        return job._restart(run) if begin is None else begin()
    finally:
        if seen.id not in runtime.executions:
            runtime.release_lease(seen.id)


def _may_need_a_process(run: RunRecord) -> bool:
    return run.status == RunStatus.RUNNING or is_queued(run) or _waits(run)


def _waits(run: RunRecord) -> bool:
    return run.status == RunStatus.WAITING and run.reason not in ("paused", "queued")
