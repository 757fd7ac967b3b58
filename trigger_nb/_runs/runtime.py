"""The state of one store in this process: records, leases, and the runs under way in this kernel."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Protocol
from weakref import WeakValueDictionary

from .._clock import Clock, Patience, SystemClock
from .._concurrency.limits import JobLimits
from .._concurrency.threads import Home
from .._engine import readings
from .._engine.ledger import run_row
from .._engine.memory import Memory
from .._engine.pass_ import Pass
from .._engine.stopping import Stop
from .._events.addresses import Addresses
from .._events.post import Post
from .._events.schedules import Schedules
from .._records.durations import Durations, durations
from .._records.feed import Feed
from .._records.reading import readable_run, readable_task
from .._records.records import RunRecord, TaskRecord, is_queued
from .._records.status import RunStatus
from .._store import lease as leases
from .._store.disk import DiskStore
from .._store.file_index import FileIndex
from .._store.group_commit import GroupCommit
from .._store.protocol import Row, Store
from .._store.value_files import read_small
from .._values.file_hashes import hashes
from .._values.thumbnails import MOST_BYTES
from ..endpoints import HttpEndpoint
from ..errors import NotFoundError, SelfAwaitError, StoreError, UsageError
from .outcome import Outcome
from .run_spec import RunSpec
from .whereabouts import Whereabouts

logger = logging.getLogger("trigger_nb")
_LATEST = 100  # passes that are kept to say why their tasks ran, whoever holds them
MAX_RUN_DEPTH = 50  # how deep child runs may be nested
_CHUNK = 200  # runs that are read at a time


class ActiveRun(Protocol):
    """A run under way in this kernel, as other modules use it: an `execution.Execution`.

    `run` is the run's record while it is under way, and `pass_` its current or last pass.
    """

    run: RunRecord
    pass_: Pass | None
    outcome: Outcome | None  # None until the run has ended in this kernel
    whereabouts: Whereabouts

    @property
    def home(self) -> Home:
        """The event loop that the run lives on."""
        ...

    @property
    def is_stopping(self) -> bool:
        """Whether the pass is being stopped on request: to start the run now makes another pass follow."""
        ...

    @property
    def was_interrupted(self) -> bool:
        """Whether an interrupt ended the last pass."""
        ...

    def join(self, spec: RunSpec, code: str) -> None:
        """Start the run while it is under way: changed code replaces the code of this pass (I7)."""
        ...

    def restart(self, change: Callable[[], None]) -> None:
        """End this pass, call `change`, which changes stored records, and begin another pass."""
        ...

    @property
    def is_over(self) -> bool:
        """Whether the run function has ended by itself, and no other pass follows: a stop comes too late."""
        ...

    def pause(self) -> None:
        """Begin no new body, and stop when those in flight have ended. Call it on the run's event loop."""
        ...

    def stop(self, why: Stop) -> None:
        """Stop the pass under way, and request no other one. May be called from any thread."""
        ...

    async def wait_finished(self) -> None:
        """Wait until the run has ended, was stopped or was interrupted."""
        ...

    def foresee(self) -> Durations:
        """The durations of earlier runs of the job, read once on the first call."""
        ...

    def look_back(self) -> None:
        """Read these durations in a thread, and send them to the displays."""
        ...


class PayloadForms(Protocol):
    """What a run of a job may be started with, in a display: see `known_payloads.py`."""

    def choices(self) -> list[dict[str, Any]]:
        """The payloads that a person may begin with, each with its form."""
        ...

    def payload(self, source: str, data: Any, *, is_edited: bool) -> Any:
        """The payload that a form was sent with. Raises `InvalidAnswerError`."""
        ...


class RestartableJob(Protocol):
    """A job, as commands on its runs use it."""

    def _restart(self, record: RunRecord) -> ActiveRun:
        """Begin another pass of a stored run, with its stored payload."""
        ...

    def _again(self, record: RunRecord) -> tuple[RunSpec, RunRecord]:
        """Another pass of a stored run, for a rehearsal, and its record."""
        ...

    def _payload_forms(self, run_id: str) -> PayloadForms:
        """The forms that another run is started from, beside the display of a run."""
        ...

    def _start_with(self, payload: object, *, is_test: bool) -> str:
        """Start a run with a payload from such a form; its id."""
        ...

    def _accept(self, run_id: str, path: str) -> None:
        """Take the changes of a task and its subtasks as none."""
        ...


class Runtime:
    """One store in this process, and its runs that are under way in this kernel."""

    patience = Patience()  # a test sets another

    def __init__(self, store: Store, clock: Clock | None = None) -> None:
        self.store = store
        self.journal = GroupCommit(self.store)
        self.clock: Clock = clock or SystemClock()
        self.post = Post(self.store, self.clock)  # events on their way
        self.endpoints: dict[str, HttpEndpoint] = {}  # of this kernel, by id
        self.schedules = Schedules(self.store, self.post)
        self.jobs: dict[str, Any] = {}  # the jobs defined in this kernel, by id
        # By run id:
        self.executions: dict[str, ActiveRun] = {}  # the runs under way in this kernel
        # Three that live as long as somebody holds them: a run under way, its handle, its display, `latest`.
        self.memories: WeakValueDictionary[str, Memory] = WeakValueDictionary()
        # The latest pass of each run in this kernel, which knows why tasks ran (R7).
        self.passes: WeakValueDictionary[str, Pass] = WeakValueDictionary()
        self.feeds: WeakValueDictionary[str, Feed] = WeakValueDictionary()
        self.latest: deque[Pass] = deque(maxlen=_LATEST)
        self._unsaved: dict[str, Memory] = {}  # those with something that is not in the store
        self.waits: dict[str, set[str]] = {}  # the runs that a run waits for, to detect cycles
        self.views: dict[str, Any] = {}  # the live display
        self.followers: dict[str, Any] = {}  # of runs that other processes drive: see `following.py`
        self.moving: dict[
            str, Any
        ] = {}  # the task that moves a run to another process, or back: see `moving.py`
        self.shows = True  # whether runs are shown or awaited here; a worker only drives them
        self.attendant: Any = None  # carries out what other processes ask for: see `attending.py`
        self.limits: dict[str, JobLimits] = {}  # by job id
        self.notify: dict[str, Any] = {}  # by run id: what a call of `job.run` has said
        self.home: Home | None = None  # the event loop that runs were last started on
        self._leases: dict[str, leases.Lease] = {}
        # Held while a run begins, and while its lease is released: a body that outlived its pass does the
        # latter in its own thread.
        self.guard = threading.Lock()

    # Records ----------------------------------------------------------------------------------

    def run_record(self, run_id: str) -> RunRecord | None:
        """The current record of a run, None if there is no such run. A damaged record has its legible fields."""
        execution = self.executions.get(run_id)
        if execution is not None:
            return execution.run
        text = self.store.get("run/" + run_id)
        if text is None:
            return None
        return readable_run(run_id, text)

    def require_run(self, run_id: str) -> RunRecord:
        """The current record of a run. Raises `NotFoundError` if there is no such run."""
        record = self.run_record(run_id)
        if record is None:
            raise NotFoundError(f"there is no run {run_id!r} in {self.store.directory}")
        return record

    def each_run_record(self) -> Iterator[RunRecord]:
        """The stored records of all runs, newest first, read lazily. Damaged records have their legible fields."""
        offset = 0
        while rows := self.store.page("runs", _CHUNK, offset):
            for key, text in rows:
                yield readable_run(key.removeprefix("run/"), text)
            offset += _CHUNK

    def status_of(self, record: RunRecord) -> RunStatus:
        """The current status of a run. A run that no kernel drives any more is INTERRUPTED."""
        status = RunStatus(record.status)
        if not (status == RunStatus.RUNNING or is_queued(record)) or record.id in self.executions:
            return status
        holder = record.holder
        is_driven = holder is not None and leases.is_held(self.store.directory, record.id, holder)
        return status if is_driven else RunStatus.INTERRUPTED

    def task_records(self, run_id: str, *, running: bool = False) -> list[TaskRecord]:
        """All current task records of a run. `running` adds bodies that run and are not recorded yet."""
        return list(self.each_task_record(run_id, running=running))

    def each_task_record(self, run_id: str, *, running: bool = False) -> Iterator[TaskRecord]:
        """The records of `task_records`, read lazily.

        The records do not contain long values; `whole` reads these.
        """
        execution = self.executions.get(run_id)
        if execution is None or execution.pass_ is None:
            prefix = len(run_id) + 1
            stored = self.store.select(run_id, abridge=True)
            return _read((key[prefix:], text) for key, text in stored)
        begun = execution.pass_.begun_bodies() if running else {}
        stored = list(execution.pass_.ledger.texts.items())
        return chain(begun.values(), _read(each for each in stored if each[0] not in begun))

    def whole(self, run_id: str, record: TaskRecord) -> TaskRecord:
        """The record of a task with its value. Raises `CorruptRecordError` if another result has replaced it."""
        return readings.read_whole(self.store, run_id, record)

    def stored_task(self, run_id: str, path: str) -> TaskRecord | None:
        """The stored record of a task for a display; None if it cannot be read."""
        try:
            text = self.store.get(f"{run_id}/{path}")
            return None if text is None else next(_read([(path, text)]))
        except (StoreError, ValueError):
            logger.warning("task %r of run %s could not be read", path, run_id, exc_info=True)
            return None

    def picture(self, run_id: str, name: str) -> bytes | None:
        """A stored thumbnail, for a display; None if it is lost."""
        return read_small(self.store.blobs(run_id), name, MOST_BYTES)

    def save_run(self, run: RunRecord, rows: list[Row] | None = None) -> None:
        """Commit the record of a run, with other rows in the same transaction."""
        self.journal.commit([*(rows or []), run_row(run)], patience=self.patience.store)

    def end_post(self, run_id: str) -> None:
        """A run has ended: it waits for no event. What cannot be removed now does no harm, and goes with the run."""
        with contextlib.suppress(StoreError):
            self.post.close(run_id)

    def address_of(self, endpoint: str) -> str:
        """The address of an endpoint. Raises `UsageError` if nobody serves this store."""
        return Addresses(self.store).of_endpoint(endpoint)

    def feed(self, run_id: str) -> Feed:
        """The events of a run, for displays. It is another one later, unless the caller keeps it."""
        return self.feeds.setdefault(run_id, Feed())

    def memory(self, run_id: str) -> Memory:
        """The data of a run that this kernel keeps between passes. It is another one later, unless the caller keeps it."""
        return self.memories.setdefault(run_id, Memory())

    def keep_unsaved(self, run_id: str) -> None:
        """Keep the data of a run that has ended if it is not in the store; else it goes with those who hold it."""
        memory = self.memory(run_id)
        if memory.has_unsaved:
            self._unsaved[run_id] = memory
        else:
            self._unsaved.pop(run_id, None)

    def forget(self, run_id: str) -> None:
        """Drop the data of a run that was removed. Its displays stay as they are."""
        for each in (self.memories, self.passes, self._unsaved, self.waits, self.notify):
            each.pop(run_id, None)
        feed = self.feeds.get(run_id)
        if feed is not None and not feed.watched:
            self.feeds.pop(run_id, None)

    def foresee(self, run: RunRecord, *, tasks: bool = False) -> Durations:
        """The durations of earlier runs of the job. `tasks` adds those of tasks, which reads all their records."""
        try:
            return durations(self, run.job, run.version, tasks=tasks)
        except Exception:  # an estimate must not fail a run, as by the corrupt record of another run
            logger.debug("earlier runs of job %s cannot be read", run.job, exc_info=True)
            return Durations()

    # Leases -----------------------------------------------------------------------------------

    def take_lease(self, run: RunRecord) -> None:
        """Acquire the lease, so that only this kernel drives the run. Raises `RunLockedError`."""
        lease = self._leases.get(run.id)
        if lease is not None and lease.lost:
            self._leases.pop(run.id).release()
            lease = None
        if lease is None:
            lease = self._leases[run.id] = leases.acquire(self.store.directory, run.id, run.holder)
        run.holder = lease.holder

    def is_lost(self, run_id: str) -> bool:
        """Whether another kernel has taken over the run."""
        lease = self._leases.get(run_id)
        return lease is not None and lease.lost

    def holds_lease(self, run_id: str) -> bool:
        """Whether this kernel has acquired the lease of the run and not released it."""
        return run_id in self._leases

    def release_lease(self, run_id: str) -> None:
        """Release the lease, so that other kernels can drive the run."""
        lease = self._leases.pop(run_id, None)
        if lease is not None:
            lease.release()

    # Starting ---------------------------------------------------------------------------------

    def check_no_cycle(self, waiting: str, awaited: str) -> None:
        """Raise `SelfAwaitError` if run `waiting` would wait for itself, directly or through other runs (I8)."""
        seen: set[str] = set()
        pending = [awaited]
        while pending:
            each = pending.pop()
            if each == waiting:
                raise SelfAwaitError(
                    f"run {waiting!r} cannot await run {awaited!r}, which is the same run or waits for it. "
                    "Start it with job.start(...) or io.invoke(...), and do not await it here."
                )
            if each not in seen:
                seen.add(each)
                pending += self.waits.get(each, ())


def depth_below(runtime: Runtime, parent: str, job_id: str) -> int:
    """The depth of a child run. Raises `UsageError` if it is too deep: jobs may start each other forever (I8)."""
    above = runtime.run_record(parent) if parent else None
    depth = 0 if above is None else above.depth + 1
    if depth > MAX_RUN_DEPTH:
        raise UsageError(
            f"job {job_id!r} would be started {depth} runs deep, each by the one above: {MAX_RUN_DEPTH} is the "
            "limit. Jobs that start each other in a circle need a condition that ends it"
        )
    return depth


def _read(texts: Iterable[tuple[str, str]]) -> Iterator[TaskRecord]:
    for path, text in texts:
        yield readable_task(path, text)


_runtimes: dict[Path, Runtime] = {}


def runtime_for(directory: Path, clock: Clock | None = None) -> Runtime:
    """The runtime of a store; a process has one for each directory."""
    directory = directory.absolute()
    found = _runtimes.get(directory)
    if found is None or not found.store.is_at(directory):
        # A store that was moved here, or that a link leads to, is open under another path. One that was moved away
        # from here stays the store of this path until there is another one.
        here = next((each for each in _runtimes.values() if each.store.is_at(directory)), None)
        if here is not None or (directory / "cache.db").exists():
            found = _runtimes[directory] = here or _opened(directory, clock)
    if found is None or (clock is not None and found.clock is not clock):
        found = _runtimes[directory] = _opened(directory, clock)
    return found


def open_runtimes() -> list[Runtime]:
    """The runtimes of all stores that this process has opened."""
    return list(dict.fromkeys(_runtimes.values()))


def active_runs_in(directory: Path) -> list[str]:
    """The ids of the runs of a store that are under way in this kernel."""
    found = _runtimes.get(directory.absolute())
    return [] if found is None else list(found.executions)


def _opened(directory: Path, clock: Clock | None) -> Runtime:
    store = DiskStore(directory, is_in_use=lambda: bool(runtime.executions))
    runtime = Runtime(store, clock)
    hashes.keep_in(FileIndex(store.directory))
    return runtime


def directory_of(directory: Path) -> Path:
    """Where the store of this folder is, which was moved if it is elsewhere now."""
    found = _runtimes.get(directory)
    return directory if found is None else found.store.directory
