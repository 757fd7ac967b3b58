"""The model of a displayed run: its records and events as rows, independent of how they are drawn.

Text, HTML and the widget all draw a `RunModel`. The model is updated event by event, so that one event
costs the same in a run of ten tasks and of ten thousand.

A model belongs to one thread: `apply` and the code that draws must not run at the same time.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice

from ..._clock import Clock, SystemClock
from ..._keys import parent_path
from ..._records.durations import Durations
from ..._records.feed import (
    Event,
    Expected,
    Hinted,
    PassBegan,
    Printed,
    Progressed,
    Saved,
    SavedRun,
    Seen,
    Showed,
)
from ..._records.records import RunRecord, TaskRecord, is_queued
from ..._records.status import RunStatus, TaskStatus
from ..._records.statuses import KIND as STATUS
from .lean import Lean, is_finished_item, whole
from .map_stats import MapStats
from .rows import FOLDED, Row, State, Tally, implies, recount
from .run_status import ENDED, run_seconds
from .standstill import Look, Standstill
from .statuses import Board, StatusLine

_STATES: Mapping[str, State] = {
    TaskStatus.COMPLETED: State.COMPLETED,
    TaskStatus.ERRORED: State.FAILED,
    TaskStatus.RUNNING: State.RUNNING,
    TaskStatus.WAITING: State.WAITING,
    TaskStatus.PENDING: State.PENDING,
    TaskStatus.CANCELED: State.CANCELED,
}


class RunModel:
    """The rows of one run.

    `records` are the stored records. `seen` holds the tasks that this kernel's latest pass has reached so
    far, or None if this kernel made no pass; tasks that are not in it are drawn as not reached (except
    subtasks of a replayed task, which count as reached with it). `store` is the text that tells where the
    records are, and `store_at` their absolute path, which must not be saved with the notebook. `awaited` is True while a cell waits for the end of the run. A `lazy` model takes in the
    records piece by piece, as `load` is called. `read` returns the whole record of a task; with it, the
    model keeps only the displayed fields of finished map items (see `whole`). `look_back` requests the
    durations of earlier runs; the model calls it once the run has lasted for a while, and does not wait
    for the answer. `look` tells what the run waits for at the moment. `rows_before` is the number of rows to expect, 0 if it is not known.
    `picture` reads a thumbnail.
    """

    offers_actions = True  # False for the run of a test, which nothing follows

    def __init__(
        self,
        run: RunRecord,
        records: Iterable[TaskRecord] = (),
        *,
        seen: Mapping[str, Seen] | None = None,
        hints: Iterable[str] = (),
        store: str = "",
        store_at: str = "",
        awaited: bool = False,
        clock: Clock | None = None,
        lazy: bool = False,
        read: Callable[[str], TaskRecord | None] | None = None,
        look_back: Callable[[], object] | None = None,
        look: Look = Standstill,
        rows_before: int = 0,
        picture: Callable[[str], bytes | None] | None = None,
    ) -> None:
        self.run = run
        self.root = Row("", None)
        self.rows: dict[str, Row] = {}
        self.store = store
        self.store_at = store_at
        self.awaited = awaited
        self.rows_before = rows_before
        self.picture = picture
        self._clock = clock or SystemClock()
        self._read = read
        self._pass = seen is not None
        self._hints = dict.fromkeys(hints)
        self._board = Board()
        self._durations: Durations | None = None
        self._look_back = look_back
        self._looked_back = False  # whether `look_back` was called in this pass
        self._look = look
        self.stands = Standstill()  # as of the last look; nothing after the next event
        self.moved_at = 0.0  # when the last task ended
        # Rows by path, for finding them without walking all rows. Read-only for the code that draws.
        self.active: dict[str, Row] = {}
        self.failed: dict[str, Row] = {}
        self.changed: dict[str, Row] = {}
        self.unstored: dict[str, Row] = {}
        self.recent: deque[Row] = deque(maxlen=_RECENT)
        self._unsettled: dict[Row, None] = {}  # changed rows whose state and counts are not updated yet
        self._backlog: Iterator[Event] | None = _backlog(records, dict(seen or {}))
        if not lazy:
            self.load(None)

    def load(self, most: int | None) -> set[str] | None:
        """Take in the next of the initial records: at most `most`, or all of them.

        Returns the paths of their rows, or None if no initial records were left.
        """
        if self._backlog is None:
            return None
        loaded: set[str] = set()
        events = list(islice(self._backlog, most))
        for event in events:
            # Records and sightings that came as events are newer than the initial ones.
            if isinstance(event, Saved) and self._row(event.record.path).record is None:
                loaded.add(self._save(event.record).path)
            elif isinstance(event, Seen) and self._row(event.path).seen is None:
                loaded.update(row.path for row in self._see(event))
        self._settle_all()
        if most is None or len(events) < most:
            self._backlog = None
            if not self.recent:
                self.recent.extend(heapq.nlargest(_RECENT, self.rows.values(), key=_end)[::-1])
        return loaded

    @property
    def loaded(self) -> bool:
        """Whether all initial records have been taken in."""
        return self._backlog is None

    # --- events -----------------------------------------------------------------------

    def apply(self, events: Iterable[Event]) -> set[str]:
        """Take in events. Returns the paths of rows that may look different, with "" for the header."""
        touched: set[str] = set()
        printed: set[str] = set()  # kept apart: printed text changes the details of a row and nothing else
        self.stands = Standstill()
        for event in events:
            if isinstance(event, (Printed, Showed)):
                row = self._row(event.path)
                if isinstance(event, Printed):
                    row.printed = event
                else:
                    row.pieces = event
                printed.add(event.path)
                continue
            touched.add("")
            for row in self._apply(event):
                # Ancestors show counts of their descendants.
                while row.path and row.path not in touched:
                    touched.add(row.path)
                    row = row.parent or self.root  # noqa: PLW2901
        self._settle_all()
        touched |= printed
        return touched

    def _apply(self, event: Event) -> list[Row]:
        """Take in one event. Returns the rows that may look different."""
        match event:
            case Saved():
                rows = [self._save(event.record)]
                self.recent.extend(rows)
                return rows
            case Seen():
                rows = self._see(event)
                self.recent.extend(rows)
                return rows
            case Progressed():
                row = self._row(event.path)
                row.progress = event
                return [row]
            case SavedRun():
                return self._save_run(event.record)
            case Hinted():
                if event.over:
                    self._hints.pop(event.text, None)
                else:
                    self._hints[event.text] = None
            case Expected():
                self.expect(event.durations)
            case PassBegan():
                return self._begin_pass(event.number)
            case Printed() | Showed():
                pass  # see `apply`
        return []

    def _save(self, record: TaskRecord) -> Row:
        row = self._row(record.path)
        before, row.record, row.turn = row.record, record, None
        self.moved_at = max(self.moved_at, record.ended_at or 0.0)
        if record.kind == "map" and row.unfolded is None:
            row.unfolded = {path: item for path, item in row.children.items() if item.state not in FOLDED}
            row.stats = MapStats.of(item.record for item in row.children.values())
        if row.parent is not None and row.parent.stats is not None:
            row.parent.stats.replace(before, record)
        if self._read is not None and is_finished_item(row):
            row.record = Lean.of(record)
        if record.status != TaskStatus.RUNNING:
            row.printed = row.pieces = None  # the record contains them
        self._place(row, float(record.started) or float("inf"))
        self._unsettled[row] = None
        return row

    def _see(self, seen: Seen) -> list[Row]:
        row = self._row(seen.path)
        row.seen = seen
        self._unsettled[row] = None
        return [row, *self._imply(row)] if row.children else [row]

    def _imply(self, row: Row) -> list[Row]:
        """Mark the subtasks of a replayed task as reached with it. Visits each row once a pass."""
        found: list[Row] = []
        for child in row.children.values():
            if child.seen is None and child.implied != implies(row):
                child.implied = implies(row)
                self._unsettled[child] = None
                found += [child, *self._imply(child)]
        return found

    def _save_run(self, record: RunRecord) -> list[Row]:
        self._settle_all()
        was_at_rest = self.at_rest
        self.run = record
        if was_at_rest == self.at_rest:
            return []
        # A task without an end is running or unfinished, depending on the run's status.
        before = State.RUNNING if self.at_rest else State.UNFINISHED
        rows = [row for row in self.rows.values() if row.state is before]
        for row in rows:
            self._settle(row)
        return rows

    def _begin_pass(self, number: int) -> list[Row]:
        self._settle_all()
        self._pass = number > 0
        self._hints.clear()
        self.recent.clear()
        for index in (self.active, self.failed, self.changed, self.unstored):
            index.clear()
        rows = list(self.rows.values())
        for row in rows:
            row.forget_pass()
            if row.unfolded is not None:
                row.unfolded.clear()
        recount(self.root)
        self._board.forget_pass()
        self._durations, self._looked_back = None, False
        return rows

    # --- rows -------------------------------------------------------------------------

    def _row(self, path: str) -> Row:
        """The row of a path, created if necessary, together with its ancestors."""
        row = self.rows.get(path)
        if row is None:
            parent = self._row(up) if (up := parent_path(path)) else self.root
            row = self.rows[path] = Row(path, parent)
            row.implied = implies(parent)
            parent.add(row)
            self._unsettled[row] = None
            if parent is not self.root and parent.record is None:
                self._unsettled[parent] = None
        return row

    def _place(self, row: Row, order: float) -> None:
        parent, before = row.parent, row.order
        if before == order or parent is None:
            return
        row.order = order
        parent.moved(row)
        if parent is self.root or parent.record is not None:
            return
        # A parent that has no record yet takes the place of its first subtask.
        if order < parent.order:
            self._place(parent, order)
        elif before == parent.order:
            self._place(parent, min(child.order for child in parent.children.values()))

    def _settle_all(self) -> None:
        for row in self._unsettled:
            self._settle(row)
        self._unsettled.clear()

    def _settle(self, row: Row) -> None:
        """Update the row's state, and all counts and indexes that depend on it."""
        row.state = state = self._state(row)
        if row.count():
            if row.parent is not None and (unfolded := row.parent.unfolded) is not None:
                _keep(unfolded, row, state not in FOLDED)
            _keep(self.active, row, state.active)
            _keep(self.failed, row, state is State.FAILED)
        if row.parent is not None and row.parent.stats is not None:
            row.parent.stats.errors.note(row.path, row.error if state is State.FAILED else None)
        _keep(self.changed, row, bool(row.changed))
        _keep(self.unstored, row, not row.stored and state is State.COMPLETED)
        if row.kind == STATUS:
            self._board.note(row)

    def _state(self, row: Row) -> State:
        record = row.record
        if record is not None and record.kind == "log":
            return State.LOG
        if self._pass and row.reason is None:
            return State.NOT_REACHED
        if record is None:
            # If it has subtasks, its body has started.
            state = State.RUNNING if row.children else State.PENDING
        elif record.forced:
            state = State.PENDING
        elif record.interrupted:
            state = State.UNFINISHED
        else:
            state = _STATES.get(record.status, State.PENDING)
            if state is State.WAITING and (
                record.error is not None or (record.attempt > 1 and record.kind != "wait")
            ):
                state = State.RETRYING
        return State.UNFINISHED if state is State.RUNNING and self.at_rest else state

    # --- queries ----------------------------------------------------------------------

    @property
    def tally(self) -> Tally:
        """The number of all tasks that count, and of log lines."""
        return self.root.below

    @property
    def now(self) -> float:
        return self._clock.time()

    @property
    def ticking(self) -> float | None:
        """The current time while the run is under way; None after its end, where a countdown would be wrong."""
        return None if self.ended else self.now

    @property
    def ended(self) -> bool:
        """Whether no pass is under way and none will start without the user."""
        return self.run.status in ENDED

    @property
    def at_rest(self) -> bool:
        """Whether no task is running: the run has ended or is paused."""
        return self.ended or self.run.reason == "paused"

    @property
    def elapsed(self) -> float | None:
        """The run's duration in seconds: the sum of its passes, without the time between them."""
        return run_seconds(self.run, None if self.at_rest else self.now)

    @property
    def is_ticking(self) -> bool:
        """Whether the duration of the run increases."""
        return not (self.at_rest or is_queued(self.run))

    def look(self) -> set[str]:
        """Ask what the run waits for. Returns the paths of rows that may look different, with "" for the header."""
        if self.ended:
            return set()
        self.stands = self._look()
        queued = {path for path in self.stands.turns if path in self.rows}
        for path in queued:
            self.rows[path].turn = self.stands.turns[path]
        return {"", *queued}

    def expect(self, durations: Durations) -> None:
        """Take in the durations of earlier runs of the job."""
        self._durations = durations

    @property
    def ends_at(self) -> float | None:
        """The expected end of a running run, in UTC seconds; None if the end cannot be estimated.

        The run takes as long as earlier runs of its job, and lasts at least until its maps are done at their own rate.
        """
        elapsed = self.elapsed
        if self.run.status != RunStatus.RUNNING or elapsed is None:
            return None
        if self._durations is not None:
            if self._durations.total is None:
                return None
            maps = (row.progress.ends_at for row in self.active.values() if row.progress is not None)
            ends_at = max(self.now - elapsed + self._durations.total, *(at or 0.0 for at in maps), 0.0)
            return ends_at if ends_at > self.now else None
        if self._look_back is not None and not self._looked_back and elapsed >= _FORESEEN:
            self._looked_back = True
            self._look_back()
        return None

    def statuses(self) -> tuple[list[StatusLine], int]:
        """The statuses that the header shows, and the number of statuses left out."""
        return self._board.lines(self.run)

    @property
    def failures(self) -> list[Row]:
        """The failed rows; those whose error ended the run come first."""
        ended_by = [row for path in self.run.ended_by if (row := self.failed.get(path)) is not None]
        first = set(self.run.ended_by)
        return [*ended_by, *(row for path, row in self.failed.items() if path not in first)]

    @property
    def next_at(self) -> float | None:
        """The end of the wait or retry delay that ends first."""
        times = [row.next_at for row in self.active.values() if row.next_at is not None]
        return min(times, default=None)

    @property
    def engine_hints(self) -> list[str]:
        """The hints that the engine gave, in this pass or in the run's record, each once."""
        return list(dict.fromkeys([*self.run.hints, *self._hints]))

    def whole(self, row: Row) -> Row:
        """The row with the whole record of its task."""
        return row if self._read is None else whole(row, self._read)


def _backlog(records: Iterable[TaskRecord], seen: dict[str, Seen]) -> Iterator[Event]:
    """The initial records and sightings, as events."""
    for record in records:
        if (sighting := seen.pop(record.path, None)) is not None:
            yield sighting
        yield Saved(record)
    yield from seen.values()


_RECENT = 30
_FORESEEN = 1.0  # seconds before a run asks for the durations of earlier runs: most runs are shorter


def _keep(index: dict[str, Row], row: Row, belongs: bool) -> None:
    if belongs:
        index[row.path] = row
    else:
        index.pop(row.path, None)


def _end(row: Row) -> float:
    return (row.record.ended_at or 0.0) if row.record is not None else 0.0
