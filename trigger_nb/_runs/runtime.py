"""Runs under way in this kernel: a store with its living executions, pass after pass."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._clock import Clock, SystemClock
from .._concurrency.places import JobLimits
from .._concurrency.threads import Home
from .._engine import ledger
from .._engine.ledger import run_row
from .._engine.memory import Memory
from .._engine.pass_ import Pass
from .._records.durations import Durations, durations
from .._records.feed import Feed
from .._records.records import RunRecord, TaskRecord, is_queued, readable_run, readable_task
from .._records.status import RunStatus
from .._store import lease as leases
from .._store.disk import DiskStore
from .._store.group_commit import GroupCommit
from .._store.protocol import Row, Store
from ..errors import SelfAwaitError, StoreError

if TYPE_CHECKING:
    from .execution import Execution

logger = logging.getLogger("trigger_nb")
START_PATIENCE = 5.0
_CHUNK = 200  # how many runs are read at a time


class Runtime:
    """One store in this process, and the runs that live in it."""

    def __init__(self, directory: Path, clock: Clock | None = None) -> None:
        self.store: Store = DiskStore(directory)
        self.journal = GroupCommit(self.store)
        self.clock: Clock = clock or SystemClock()
        self.jobs: dict[str, Any] = {}
        self.executions: dict[str, Execution] = {}  # runs under way in this kernel
        self.memories: dict[str, Memory] = {}
        self.passes: dict[str, Pass] = {}  # the latest of each run here, for whoever asks why a task ran (R7)
        self.feeds: dict[str, Feed] = {}
        self.waits: dict[str, set[str]] = {}  # which runs a run is waiting for, to find circles
        self.limits: dict[str, JobLimits] = {}  # by job
        self.views: dict[str, Any] = {}  # what shows a run in this kernel, kept for the floors above
        self.home: Home | None = None  # the loop that runs were last started on
        self._leases: dict[str, leases.Lease] = {}
        # Held while a run is begun, and while it is given up: a body that outlived its pass does
        # that in its own thread.
        self.guard = threading.Lock()

    # Records ----------------------------------------------------------------------------------

    def run_record(self, run_id: str) -> RunRecord | None:
        """The record of a run as it is now; of a damaged one what is legible."""
        execution = self.executions.get(run_id)
        if execution is not None:
            return execution.run
        text = self.store.get("run/" + run_id)
        if text is None:
            return None
        return readable_run(run_id, text)

    def each_run_record(self) -> Iterator[RunRecord]:
        """What is stored of all runs, newest first, read as they are asked for; of damaged ones what is legible."""
        offset = 0
        while rows := self.store.page("runs", _CHUNK, offset):
            for key, text in rows:
                yield readable_run(key.removeprefix("run/"), text)
            offset += _CHUNK

    def status_of(self, record: RunRecord) -> RunStatus:
        """A run's status now: one that nobody drives any more is INTERRUPTED."""
        status = RunStatus(record.status)
        if not (status == RunStatus.RUNNING or is_queued(record)) or record.id in self.executions:
            return status
        holder = record.holder
        is_driven = holder is not None and leases.is_held(self.store.directory, record.id, holder)
        return status if is_driven else RunStatus.INTERRUPTED

    def task_records(self, run_id: str, *, running: bool = False) -> list[TaskRecord]:
        """All task records of a run as they are now; `running`: with those of bodies not recorded yet."""
        return list(self.each_task_record(run_id, running=running))

    def each_task_record(self, run_id: str, *, running: bool = False) -> Iterator[TaskRecord]:
        """As `task_records`: the records as they are now, each of them read when it is asked for.

        Long values are not in them, `whole` has those.
        """
        execution = self.executions.get(run_id)
        if execution is None or execution.pass_ is None:
            prefix = len(run_id) + 1
            stored = self.store.select(run_id, abridge=True)
            return _read((key[prefix:], text) for key, text in stored)
        begun = execution.pass_.running() if running else {}
        stored = list(execution.pass_.ledger.texts.items())
        return chain(begun.values(), _read(each for each in stored if each[0] not in begun))

    def whole(self, run_id: str, record: TaskRecord) -> TaskRecord:
        """A task's record with its value; raises `CorruptRecordError` when another result has taken its place."""
        return ledger.read_whole(self.store, run_id, record)

    def stored_task(self, run_id: str, path: str) -> TaskRecord | None:
        """A task's record as it is stored, for whoever looks on; None when it cannot be read."""
        try:
            text = self.store.get(f"{run_id}/{path}")
            return None if text is None else next(_read([(path, text)]))
        except (StoreError, ValueError):
            logger.warning("task %r of run %s could not be read", path, run_id, exc_info=True)
            return None

    def save_run(self, run: RunRecord, rows: list[Row] | None = None) -> None:
        """Commit a run's record, with other rows in the same transaction."""
        self.journal.commit([*(rows or []), run_row(run)], patience=START_PATIENCE)

    def feed(self, run_id: str) -> Feed:
        """What happens in a run, for whoever looks on."""
        return self.feeds.setdefault(run_id, Feed())

    def memory(self, run_id: str) -> Memory:
        """What this kernel keeps of a run between passes."""
        return self.memories.setdefault(run_id, Memory())

    def foresee(self, run: RunRecord, *, tasks: bool = False) -> Durations:
        """What earlier runs of its job took; `tasks`: with their tasks, reading all records of those runs."""
        try:
            return durations(self, run.job, run.version, tasks=tasks)
        except Exception:  # an estimate is not worth a fault, such as that of a corrupt record elsewhere
            logger.debug("earlier runs of job %s cannot be read", run.job, exc_info=True)
            return Durations()

    # Leases -----------------------------------------------------------------------------------

    def take_lease(self, run: RunRecord) -> None:
        """Become the one kernel that drives the run, or raise `RunLockedError`."""
        lease = self._leases.get(run.id)
        if lease is not None and lease.lost:
            self._leases.pop(run.id).release()
            lease = None
        if lease is None:
            lease = self._leases[run.id] = leases.acquire(self.store.directory, run.id, run.holder)
        run.holder = lease.holder

    def is_lost(self, run_id: str) -> bool:
        """Whether another kernel has taken the run over."""
        lease = self._leases.get(run_id)
        return lease is not None and lease.lost

    def holds_lease(self, run_id: str) -> bool:
        """Whether this kernel has taken the run's lease and not given it back."""
        return run_id in self._leases

    def release_lease(self, run_id: str) -> None:
        """Let other kernels have the run."""
        lease = self._leases.pop(run_id, None)
        if lease is not None:
            lease.release()

    # Starting ---------------------------------------------------------------------------------

    def check_no_circle(self, waiting: str, awaited: str) -> None:
        """I8: a run that waits for itself, directly or through others, would never end."""
        seen: set[str] = set()
        pending = [awaited]
        while pending:
            each = pending.pop()
            if each == waiting:
                raise SelfAwaitError(
                    f"run {waiting!r} would wait for itself: run {awaited!r} is it, or waits for it. "
                    "Start it with job.start(...) or io.invoke(...) and do not await it here."
                )
            if each not in seen:
                seen.add(each)
                pending += self.waits.get(each, ())


def _read(texts: Iterable[tuple[str, str]]) -> Iterator[TaskRecord]:
    for path, text in texts:
        yield readable_task(path, text)


_runtimes: dict[Path, Runtime] = {}


def runtime_for(directory: Path, clock: Clock | None = None) -> Runtime:
    """The runtime of a store: one for each directory in a process."""
    directory = directory.absolute()
    found = _runtimes.get(directory)
    if found is None or (clock is not None and found.clock is not clock):
        found = _runtimes[directory] = Runtime(directory, clock)
    return found
