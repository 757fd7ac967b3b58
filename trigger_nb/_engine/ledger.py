"""The records of one run as this kernel knows them, and their way to the store."""

from __future__ import annotations

import itertools
import logging
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import anyio

from .._concurrency.threads import call_in_thread, threads
from .._keys import parent_path
from .._records.feed import Feed, Saved
from .._records.reading import readable_task
from .._records.records import (
    FIRST_RESULT,
    RunRecord,
    TaskRecord,
    abridged,
    first_ordinal,
    is_long,
    job_of,
    status_in_text,
)
from .._records.status import RunStatus, TaskStatus, counts_beside
from .._store.crashpoints import point
from .._store.protocol import Row
from .._store.shared_results import pointer
from .._tasks.running import marking, running_bodies
from .._values.json_text import loads
from ..errors import (
    CorruptRecordError,
    StoreBusyError,
    StoreError,
    TriggerError,
)
from .memory import PatientBlobs
from .readings import Unreadable, damaged, whole_record, wins

if TYPE_CHECKING:
    from .._store.group_commit import GroupCommit, Pending
    from .._store.protocol import Store
    from .memory import Memory

logger = logging.getLogger("trigger_nb")
_MOST_LOOSE = 1000  # records that ride along at most: thousands of log lines are not kept until the end
_MOST_AHEAD = 16  # long texts that are read at once: half a megabyte at most
LOOP_PATIENCE = 0.05  # how long a commit may hold the loop when another process writes, in seconds


@dataclass(slots=True)
class PendingResult:
    """The record of a completed task on its way to the store."""

    record: TaskRecord
    value: str  # its value's JSON text
    text: str  # the whole text
    pending: Pending


class Ledger:
    """The records of a pass's run, and the only way to write them.

    A record that is written goes into `texts` and to the feed. On the loop it is committed together with others in the
    queue. A fault of the store is not raised (A9), unless a method says so: `fail` does not return, and `on_fault` ends the
    pass.
    """

    def __init__(
        self, *, run: RunRecord, store: Store, journal: GroupCommit, memory: Memory, feed: Feed, patience: float,
        fail: Callable[[TriggerError], Awaitable[NoReturn]], on_fault: Callable[[StoreError], None],
    ) -> None:  # fmt: skip
        self._journal = journal
        self._memory = memory
        self._feed = feed
        self._patience = patience  # seconds that a commit is tried in a thread before the store has failed
        self.blobs = PatientBlobs(store.blobs(run.id), memory.parked_values)
        # By path. Parsed when asked for: a replay hands out what it parsed, so nothing may keep it.
        # Read here, written through `memory`, which has the texts of the pass that is under way: a body
        # of an earlier pass must be seen in that one.
        self.texts = memory.records
        self.first_ordinal = first_ordinal(run.passes)
        self.ordinals = itertools.count(self.first_ordinal)
        # Called with each record that is new here.
        self.on_new_record: Callable[[TaskRecord], None] | None = None
        self._store = store
        self._run_id = run.id
        self.job = job_of(run)
        self._prefix = run.id + "/"
        self._directory = store.key
        self._fail = fail
        self._on_fault = on_fault
        self._loose: list[Pending] = []  # rows that ride with the next commit
        self._ahead: dict[str, str] = {}  # by key: whole texts that were read ahead
        self._stride = 1

    def record(self, path: str) -> TaskRecord | None:
        """The record of a task as it is now. Raises `Unreadable`."""
        text = self.texts.get(path)
        return None if text is None else self.parsed(path, text)

    def parsed(self, path: str, text: str) -> TaskRecord:
        """The record of a stored text. Raises `Unreadable`."""
        try:
            record = TaskRecord.loads(text)
        except CorruptRecordError as error:
            why = f"in the store is damaged ({error})"
            raise Unreadable(damaged(self._run_id, path, "record", "cannot be read", why)) from None
        record.path = path
        return record

    def glance(self, path: str) -> TaskRecord | None:
        """As `record`, where it matters little: None also when it cannot be read."""
        text = self.texts.get(path)
        record = None if text is None else readable_task(path, text)
        return None if record is None or record.is_damaged else record

    def is_known(self, path: str) -> bool:
        """Whether a task has a record."""
        return path in self.texts

    def is_waiting(self, path: str) -> bool:
        """Whether a task has a time that it waits for."""
        record = self.glance(path)
        return record is not None and record.status == TaskStatus.WAITING

    def whole(self, record: TaskRecord) -> TaskRecord:
        """As `read_whole`, for replays."""
        if not record.is_apart:
            return record
        return whole_record(self._run_id, record, self._long_text(self._prefix + record.path))

    def _long_text(self, key: str) -> str | None:
        """The whole text of a record. Most passes ask for one after the other, in about the order in which they
        were written: then the next ones are read with it. Each is handed out once, and not kept."""
        text = self._ahead.pop(key, None)
        if text is None:
            self._stride = 1 if self._ahead else min(2 * self._stride, _MOST_AHEAD)
            rows = self._store.read_on(self._run_id, key, self._stride)
            ahead = {each: text for each, text in rows if is_long(text)}
            text = ahead.pop(key, None)
            self._ahead = ahead
        return text

    def records(self) -> list[TaskRecord]:
        """All records of the run as they are now. Raises `Unreadable`; a log line decides nothing."""
        return [
            record
            for path in list(self.texts)
            if (record := self.glance(path) if "~." in path else self.record(path)) is not None
        ]

    def counts(self) -> dict[str, int]:
        """The number of tasks by status. INTERRUPTED counts tasks that were stopped with their pass.

        A task with subtasks does not count where these account for its status, as in the tree. The statuses are read
        from the texts, because parsing all records would take longer.
        """
        statuses = {
            path: _status(text) for path, text in self.texts.items() if "~." not in path
        }  # no log lines
        inside: dict[str, set[str]] = defaultdict(set)
        for path, status in statuses.items():
            inside[parent_path(path)].add(status)
        found = (status for path, status in statuses.items() if counts_beside(status, inside.get(path, ())))
        return dict(Counter(found))

    def _row(self, record: TaskRecord, text: str) -> Row:
        return Row(self._prefix + record.path, self._run_id, text, record.rank)

    async def save(self, record: TaskRecord) -> bool:
        """Commit a record other than a result; whether the store holds one that wins instead."""
        with marking:
            running = running_bodies.get((self._directory, self._run_id, record.path))
            if running is not None:
                running.markable = False
        text = record.dumps()
        refused = await self._settle(self._journal.enqueue((self._row(record, text),)))
        if refused:
            self._memory.records[record.path] = abridged(self._stored_text(record.path) or text)
            return True
        self.remember(record)
        return False

    # Results ----------------------------------------------------------------------------------------

    def enqueue_result(self, record: TaskRecord, value: str) -> PendingResult:
        """Put the record of a completed task, with its value's text, into the queue of the next commit.

        Raises `StoreError` if a file of the value could not be written. Then the next pass writes both (A9).
        """
        text = record.dumps_result(value)
        row = self._row(record, text)
        rows = (row, pointer(record.reuse, self.job, row.key)) if record.is_shareable else (row,)
        if self.blobs.error is not None:  # no record that may name a parked file is to be committed
            self._memory.parked += rows
            raise self.blobs.error
        return PendingResult(record, value, text, self._journal.enqueue(rows))

    async def commit_result(self, result: PendingResult) -> TaskRecord:
        """Commit on the loop. Returns the record that the store holds then."""
        return self._committed(result, bool(await self._settle(result.pending)))

    def commit_result_in_thread(self, result: PendingResult) -> TaskRecord:
        """As `commit_result`, on the body's own thread. Raises `StoreError`."""
        try:
            refused = self._journal.settle(result.pending, patience=self._patience)
        except StoreError:
            self.park(result.pending)
            raise
        return self._committed(result, bool(refused))

    def commit_result_now(self, result: PendingResult, amended: TaskRecord | None) -> TaskRecord | None:
        """Commit without an `await`, on the way out of a cancellation, the `amended` record if there is still time.

        Returns the record that the store holds then; None if it could not be written yet.
        """
        if amended is not None:
            text = amended.dumps_result(result.value)
            if self._journal.amend(result.pending, (self._row(amended, text),)):
                result.record, result.text = amended, text
        self._loose.append(result.pending)
        self.flush()
        if not result.pending.done or result.pending.error is not None:
            return None
        return self._committed(result, bool(result.pending.refused))

    def _committed(self, result: PendingResult, refused: bool) -> TaskRecord:
        record, text = result.record, result.text
        if refused:
            # C5: the first committed result of a (path, generation) wins, also if it is another kernel's.
            text = self._stored_text(record.path) or text
            held = self.parsed(record.path, text)
            if held.rank < record.rank:  # the row's rank is not that of its record
                what, why = "record", "has a rank that is not its record's"
                raise Unreadable(damaged(self._run_id, record.path, what, "cannot be read", why))
            record = held
        else:
            # The caller gets what the text says, so that changing it in place changes no record (R2).
            record.value = loads(result.value)
        with self._memory.lock:  # in a thread, or the loop, just noting an attempt, would overwrite it
            self._memory.records[record.path] = text = abridged(text)
        if self.on_new_record is not None:
            self.on_new_record(record)
        point("task:recorded")
        if self._feed.watched:
            self._feed.emit(Saved(self.parsed(record.path, text)))
        return record

    # Other records ----------------------------------------------------------------------------------

    def _stored_text(self, path: str) -> str | None:
        try:
            return self._store.get(self._prefix + path)
        except StoreError:
            logger.warning("task %r of run %s could not be read", path, self._run_id, exc_info=True)
            return None

    async def save_all(self, records: Iterable[TaskRecord]) -> None:
        records = list(records)
        rows = [self._row(record, record.dumps()) for record in records]
        await self._settle(self._journal.enqueue(rows))
        for record in records:
            self.remember(record)

    def save_now(self, record: TaskRecord) -> None:
        """Commit without an `await`: on the way out of a cancellation."""
        self.save_with_next(record)
        self.flush()

    def save_with_next(self, record: TaskRecord) -> None:
        """Let a record ride with the next commit."""
        self._loose.append(self._journal.enqueue((self._row(record, record.dumps()),)))
        self.remember(record)
        if len(self._loose) >= _MOST_LOOSE:
            self.flush()

    def flush(self, patience: float = LOOP_PATIENCE) -> None:
        """Commit what rides along. What the store does not take is kept for the next try."""
        loose, self._loose = self._loose, []
        for pending in loose:
            try:
                self._journal.settle(pending, patience=patience)
            except StoreBusyError:  # for the moment: the next pass, or the end of this one, writes them
                self.park(pending)
            except StoreError as error:
                logger.warning("rows of run %s are not written yet", self._run_id, exc_info=True)
                self.park(pending)
                self._on_fault(error)

    def park(self, pending: Pending) -> None:
        """Keep rows for the next pass; the run's own is written by then as it is then."""
        self._memory.parked.extend(row for row in pending.rows if row.tag != "runs")

    def remember(self, record: TaskRecord) -> None:
        with self._memory.lock:
            before = self._memory.records.get(record.path)
            if before is not None and wins(readable_task(record.path, before), record):
                return
            whole = record.dumps()
            self._memory.records[record.path] = text = abridged(whole)
        if self.on_new_record is not None:
            self.on_new_record(record)
        if self._feed.watched:
            shown = record.copy() if text is whole else TaskRecord.loads(text).copy(path=record.path)
            self._feed.emit(Saved(shown))

    def mark_started(self, record: TaskRecord) -> None:
        """The body has run a while: record that it began. On the watch's thread."""
        marked = record.copy(began=next(self.ordinals))
        self._journal.commit((self._row(marked, marked.dumps()),), patience=LOOP_PATIENCE)

    def mark_stopped(self, record: TaskRecord) -> None:
        """The process is told to end while the body runs: record that it is cut short."""
        stopped = record.copy(status=TaskStatus.PENDING, interrupted=True)
        self._journal.commit((self._row(stopped, stopped.dumps()),), patience=LOOP_PATIENCE)

    async def _settle(self, pending: Pending) -> frozenset[Row]:
        """Commit on the loop; when another process keeps the database, go on trying in a thread.

        Returns the rows for which the store holds one that wins.
        """
        try:
            try:
                return self._journal.settle(pending, patience=LOOP_PATIENCE)
            except StoreBusyError:
                return await self._settle_in_thread(pending)
        except StoreError as error:
            self.park(pending)
            return await self._fail(error)

    async def _settle_in_thread(self, pending: Pending) -> frozenset[Row]:
        def commit() -> frozenset[Row]:
            return self._journal.commit(pending.rows, patience=self._patience)

        with anyio.CancelScope(shield=True):
            return await call_in_thread(threads.spawn, commit)
        raise AssertionError("unreachable")

    async def write_rows(self, rows: list[Row]) -> None:
        """Commit rows that are no task's; a failing store ends the pass, not the call (A9)."""
        await self._settle(self._journal.enqueue(rows))

    def ride_along(self, row: Row) -> None:
        """Let a row that is no task's go with the next commit."""
        self._loose.append(self._journal.enqueue((row,)))


# Results of other runs ------------------------------------------------------------------------------


def take_over(ledger: Ledger, path: str, text: str) -> None:
    """Let the record of a result that was taken over ride with the next commit."""
    ledger.ride_along(_copy_row(ledger, path, text))
    _remember_copies(ledger, {path: text})
    if len(ledger._loose) >= _MOST_LOOSE:
        ledger.flush()


async def take_over_all(ledger: Ledger, texts: Mapping[str, str]) -> list[str]:
    """Commit results that were taken over, of tasks without a record, by path. Returns the paths for which the store holds
    another result, which wins."""
    rows = [_copy_row(ledger, *each) for each in texts.items()]
    refused = await ledger._settle(ledger._journal.enqueue(rows))
    lost = [row.key.removeprefix(ledger._prefix) for row in refused]
    _remember_copies(ledger, {**texts, **{path: ledger._stored_text(path) or texts[path] for path in lost}})
    return lost


def _copy_row(ledger: Ledger, path: str, text: str) -> Row:
    return Row(ledger._prefix + path, ledger._run_id, text, FIRST_RESULT)


def _remember_copies(ledger: Ledger, texts: Mapping[str, str]) -> None:
    kept = {path: abridged(text) for path, text in texts.items()}
    with ledger._memory.lock:
        ledger._memory.records.update(kept)
    if ledger.on_new_record is not None or ledger._feed.watched:
        for path, text in kept.items():
            if ledger.on_new_record is not None:
                ledger.on_new_record(ledger.parsed(path, text))
            if ledger._feed.watched:
                ledger._feed.emit(Saved(ledger.parsed(path, text)))


async def settle_loose(ledger: Ledger) -> None:
    """Commit what rides along, with the patience of a result: a store that takes nothing ends the pass."""
    loose, ledger._loose = ledger._loose, []
    while loose:
        try:
            await ledger._settle(loose[0])
        except BaseException:
            ledger._loose = loose[1:] + ledger._loose
            raise
        del loose[0]


def commit_loose(ledger: Ledger) -> bool:
    """As `Ledger.flush`, but what the store is too busy for goes on riding along; whether all is committed."""
    try:
        for pending in ledger._loose:
            ledger._journal.settle(pending, patience=0)
    except StoreBusyError:
        return False
    except StoreError:  # `flush` meets it, too
        pass
    ledger.flush()
    return True


def run_row(run: RunRecord) -> Row:
    """The row of a run's record."""
    return Row("run/" + run.id, "runs", run.dumps())


def _status(text: str) -> str:
    status = status_in_text(text)
    if status != TaskStatus.PENDING:
        return status
    record = readable_task("", text)
    return RunStatus.INTERRUPTED if record.interrupted and not record.forced else status
