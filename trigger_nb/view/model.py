"""What a run looks like: its records and events as rows, whatever they are drawn with.

Text, HTML and a widget are faces of one `RunModel`. It is kept up to date event by event, so that
an event costs the same in a run of ten tasks and of ten thousand.

A model belongs to one thread: `apply` and the faces must not run at the same time.
"""

from __future__ import annotations

import copy
import heapq
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from keyword import iskeyword
from typing import Any, cast

from .._clock import Clock, SystemClock
from .._estimate import Durations
from .._feed import Event, Expected, Hinted, Printed, Progressed, Saved, SavedRun, Seen
from .._keys import display_path, idempotency_key, parent_path
from .._records import APART, RunRecord, RunStatus, TaskRecord, TaskStatus, is_queued
from .._redact import redact
from .._statuses import KIND as STATUS
from .escape import preview, visible, visible_block
from .rows import FOLDED, Row, State, Tally, position
from .statuses import Board, StatusLine
from .values import readable
from .words import moment, plural, remaining

_STATES: Mapping[str, State] = {
    TaskStatus.COMPLETED: State.COMPLETED,
    TaskStatus.ERRORED: State.FAILED,
    TaskStatus.RUNNING: State.RUNNING,
    TaskStatus.WAITING: State.WAITING,
    TaskStatus.PENDING: State.PENDING,
    TaskStatus.CANCELED: State.CANCELED,
}

_RUN_STATES: Mapping[str, State] = {
    RunStatus.COMPLETED: State.COMPLETED,
    RunStatus.FAILED: State.FAILED,
    RunStatus.RUNNING: State.RUNNING,
    RunStatus.WAITING: State.WAITING,
    RunStatus.PENDING: State.PENDING,
    RunStatus.CANCELED: State.CANCELED,
    RunStatus.INTERRUPTED: State.UNFINISHED,
}

_ENDED = frozenset({RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELED, RunStatus.INTERRUPTED})


def run_state(record: RunRecord) -> State:
    """The state whose shape and colour stand for the run's status."""
    return _RUN_STATES.get(record.status, State.PENDING)


def status_text(record: RunRecord) -> str:
    """The run's status, with its reason where the status alone does not tell: `WAITING (paused)`."""
    return record.status + (f" ({record.reason})" if record.reason not in ("", "wait") else "")


@dataclass(frozen=True, slots=True)
class Action:
    """Something to do about the run, and the line of code that does it."""

    label: str
    code: str


class RunModel:
    """The rows of one run.

    `records` are what is stored, `seen` what this kernel's latest pass has met so far, and None
    when this kernel made no pass. Every task that a pass meets must come as a `Seen` (those inside
    a replayed parent excepted, they go with it): the others are drawn as not reached. `store` says
    where the records are. `awaited` is set while a cell waits for the run's end. A `lazy` model takes
    records and sightings in by and by, as `load` is called. With `read`, which gives a task's record as it
    is stored, it keeps of the finished items of maps only what their rows show (see `whole`). `look_back`
    has what earlier runs took read: it is called when the run has gone on for a while, and not waited for.
    """

    def __init__(
        self,
        run: RunRecord,
        records: Iterable[TaskRecord] = (),
        *,
        seen: Mapping[str, Seen] | None = None,
        hints: Iterable[str] = (),
        store: str = "",
        awaited: bool = False,
        clock: Clock | None = None,
        lazy: bool = False,
        read: Callable[[str], TaskRecord | None] | None = None,
        look_back: Callable[[], object] | None = None,
    ) -> None:
        self.run = run
        self.root = Row("", None)
        self.rows: dict[str, Row] = {}
        self.tally = Tally()  # of all rows
        self.store = store
        self.awaited = awaited
        self._clock = clock or SystemClock()
        self._read = read
        self._pass = seen is not None
        self._hints = dict.fromkeys(hints)
        self._board = Board()
        self._durations: Durations | None = None
        self._look_back = look_back
        self._looked_back = False  # in this pass
        # What a face must find without walking all rows, by path; not to be changed by it.
        self.active: dict[str, Row] = {}
        self.failed: dict[str, Row] = {}
        self.changed: dict[str, Row] = {}
        self.unstored: dict[str, Row] = {}
        self.recent: deque[Row] = deque(maxlen=_RECENT)
        self._unsettled: dict[Row, None] = {}  # settled once, for all that has happened to them
        self._backlog: Iterator[Event] | None = _backlog(records, dict(seen or {}))
        if not lazy:
            self.load(None)

    def load(self, most: int | None) -> set[str] | None:
        """Take in the next records that were there at the beginning, at most so many or all of them.

        Returns the paths of their rows; None when there were none left.
        """
        if self._backlog is None:
            return None
        loaded: set[str] = set()
        events = list(islice(self._backlog, most))
        for event in events:
            # What has happened since the beginning is newer.
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
        """Whether all that was there at the beginning has been taken in."""
        return self._backlog is None

    # --- what happens -----------------------------------------------------------------

    def apply(self, events: Iterable[Event]) -> set[str]:
        """Take in what happened. Returns the paths of rows that may look different, "" for the header."""
        touched: set[str] = set()
        printed: set[str] = set()  # Apart: there is more in their details, and nothing else to see.
        for event in events:
            if isinstance(event, Saved):
                rows = self._happened([self._save(event.record)])
            elif isinstance(event, Seen):
                rows = self._happened(self._see(event))
            elif isinstance(event, Progressed):
                rows = [self._row(event.path)]
                rows[0].progress = event
            elif isinstance(event, Printed):
                self._row(event.path).printed = event
                printed.add(event.path)
                continue
            elif isinstance(event, SavedRun):
                rows = self._save_run(event.record)
            elif isinstance(event, Hinted):
                if event.over:
                    self._hints.pop(event.text, None)
                else:
                    self._hints[event.text] = None
                rows = []
            elif isinstance(event, Expected):
                self.expect(event.durations)
                rows = []
            else:
                rows = self._begin_pass()
            touched.add("")
            for row in rows:
                # What a row is in shows counts of it.
                while row.path and row.path not in touched:
                    touched.add(row.path)
                    row = row.parent or self.root  # noqa: PLW2901
        self._settle_all()
        touched |= printed
        return touched

    def _happened(self, rows: list[Row]) -> list[Row]:
        self.recent.extend(rows)
        return rows

    def _save(self, record: TaskRecord) -> Row:
        row = self._row(record.path)
        row.record = record
        if record.kind == "map" and row.unfolded is None:
            row.unfolded = {path: item for path, item in row.children.items() if item.state not in FOLDED}
        if self._read is not None and _is_finished_item(row):
            row.record = _Lean.parse(
                {name: record.__dict__[name] for name in _LEAN if name in record.__dict__}
            )
        if record.status != TaskStatus.RUNNING:
            row.printed = None  # The record has it.
        self._place(row, float(record.started) or float("inf"))
        self._unsettled[row] = None
        return row

    def _see(self, seen: Seen) -> list[Row]:
        row = self._row(seen.path)
        row.seen = seen
        self._unsettled[row] = None
        return [row, *self._imply(row)] if row.children else [row]

    def _imply(self, row: Row) -> list[Row]:
        """What lies in a replayed task was met with it. Each row is visited once a pass."""
        found: list[Row] = []
        for child in row.children.values():
            if child.seen is None and child.implied != row.replayed:
                child.implied = row.replayed
                self._unsettled[child] = None
                found += [child, *self._imply(child)]
        return found

    def _save_run(self, record: RunRecord) -> list[Row]:
        self._settle_all()
        was_at_rest = self.at_rest
        self.run = record
        if was_at_rest == self.at_rest:
            return []
        # A body that has no end is running or unfinished according to the run.
        before = State.RUNNING if self.at_rest else State.UNFINISHED
        rows = [row for row in self.rows.values() if row.state is before]
        for row in rows:
            self._settle(row)
        return rows

    def _begin_pass(self) -> list[Row]:
        self._settle_all()
        self._pass = True
        self._hints.clear()
        self.recent.clear()
        for index in (self.active, self.failed, self.changed, self.unstored):
            index.clear()
        rows = list(self.rows.values())
        for row in rows:
            row.forget_pass()
            if row.unfolded is not None:
                row.unfolded.clear()
        for row in (self.root, *rows):
            if row.children:
                row.recount()
        self.tally = Tally(Counter(row.state for row in rows))
        self._board.forget_pass()
        self._durations, self._looked_back = None, False
        return rows

    # --- keeping rows -----------------------------------------------------------------

    def _row(self, path: str) -> Row:
        """The row of a path. Ancestors whose own record is not known yet come into being with it."""
        row = self.rows.get(path)
        if row is None:
            parent = self._row(up) if (up := parent_path(path)) else self.root
            row = self.rows[path] = Row(path, parent)
            row.implied = parent.replayed
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
        # A parent known by its subtasks only stands where the first of them does.
        if order < parent.order:
            self._place(parent, order)
        elif before == parent.order:
            self._place(parent, min(child.order for child in parent.children.values()))

    def _settle_all(self) -> None:
        for row in self._unsettled:
            self._settle(row)
        self._unsettled.clear()

    def _settle(self, row: Row) -> None:
        """Work out the row's state again and keep all counts and indices true."""
        row.state = state = self._state(row)
        if row.count(self.tally):
            if row.parent is not None and (unfolded := row.parent.unfolded) is not None:
                _keep(unfolded, row, state not in FOLDED)
            _keep(self.active, row, state.active)
            _keep(self.failed, row, state is State.FAILED)
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
            # Subtasks of it are known, so its body began.
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

    # --- what a face asks -------------------------------------------------------------

    @property
    def now(self) -> float:
        return self._clock.time()

    @property
    def ticking(self) -> float | None:
        """Now, while times are running; None of a run that ended, where a countdown would be untrue."""
        return None if self.ended else self.now

    @property
    def ended(self) -> bool:
        """Whether no pass is under way and none will follow by itself."""
        return self.run.status in _ENDED

    @property
    def at_rest(self) -> bool:
        """Whether no body is being called: the run ended or is paused."""
        return self.ended or self.run.reason == "paused"

    @property
    def title(self) -> str:
        return self.run.name or self.run.job or self.run.id

    @property
    def _job(self) -> str:
        """The name that the job has in the notebook: mostly its id; "" where that cannot be."""
        job = self.run.job
        return job if job.isidentifier() and not iskeyword(job) else ""

    @property
    def job_and_version(self) -> str:
        """The job's id and version, without what the title says or nobody chose."""
        version = self.run.version if self.run.version != "0" else ""
        return f"{self.run.job if self.run.job != self.title else ''} {version}".strip()

    @property
    def elapsed(self) -> float | None:
        """Seconds that the run has lasted: its passes, without what lay between them."""
        return run_seconds(self.run, None if self.at_rest else self.now)

    def expect(self, durations: Durations) -> None:
        """Take in what earlier runs of the job took."""
        self._durations = durations

    @property
    def ends_at(self) -> float | None:
        """When the run will probably be done, in UTC seconds. None while it waits, and where it cannot be told.

        It takes as long as earlier runs of its job, and lasts at least until its maps are done at their own rate.
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
        """The statuses that the header shows, and how many it leaves out."""
        return self._board.lines(self.run)

    @property
    def failures(self) -> list[Row]:
        """Failed rows, those that ended the run first."""
        ended_by = [row for path in self.run.ended_by if (row := self.failed.get(path)) is not None]
        first = set(self.run.ended_by)
        return [*ended_by, *(row for path, row in self.failed.items() if path not in first)]

    @property
    def next_at(self) -> float | None:
        """When the first of the waits and retry pauses is over."""
        times = [row.next_at for row in self.active.values() if row.next_at is not None]
        return min(times, default=None)

    def whole(self, row: Row) -> Row:
        """The row with all that is kept of its task."""
        lean = row.record is not None and (isinstance(row.record, _Lean) or row.record.is_apart)
        if self._read is None or not lean:
            return row
        record = self._read(row.path)
        if record is None:
            return row
        row = copy.copy(row)
        row.record = record
        return row

    def idempotency_key(self, row: Row) -> str:
        """The token that the task's body was given for outside services (rule I6)."""
        return idempotency_key(self.run.id, row.path, row.record.generation if row.record else 0)

    def hints(self, *, counting: bool = True) -> list[str]:
        """What the header says beside the counts; code is between backticks.

        Without `counting` it does not say how long a wait still lasts, which is soon untrue.
        """
        own = [
            *self._fork_hint(),
            *self._waiting_hint(counting=counting),
            *self._replayed_hint(),
            *self._changed_hint(),
            *self._not_reached_hint(),
        ]
        engine = list(dict.fromkeys([*self.run.hints, *self._hints]))
        left_out = len(engine) - _HINTS
        return [*own, *engine[:_HINTS], *([f"… and {left_out:,} more"] if left_out > 0 else [])]

    def _fork_hint(self) -> Iterator[str]:
        if self.run.forked:
            yield f"A fork of run {self.run.forked['run']} at {display_path(self.run.forked['path'])!r}."

    def _waiting_hint(self, *, counting: bool) -> Iterator[str]:
        if is_queued(self.run):
            yield "Queued: it begins as soon as the limit of its job lets it."
            return
        if self.run.status != RunStatus.WAITING:
            return
        if self.run.reason == "paused":
            yield "Paused: no new body starts until `run.resume()`."
            return
        if (when := self.next_at) is not None:
            what = "The next attempt begins" if self.run.reason == "retry" else "Waiting until"
            left = f" ({remaining(when - self.now)})" if counting else ""
            yield f"{what} {moment(when)}{left}."
        if self.awaited:
            yield "`await` holds this cell until then; `.start(...)` in place of `.run(...)` leaves it free."

    def _replayed_hint(self) -> Iterator[str]:
        met = self.tally.tasks - self.tally.states[State.NOT_REACHED]
        if self.run.status == RunStatus.COMPLETED and 0 < met == self.tally.replayed:
            rows = self.root.standing()
            ends = (row.record.ended_at for row in rows if row.record is not None and row.replayed)
            last = max((end for end in ends if end), default=None)
            when = f"; it ran on {moment(last)}" if last else ""
            yield f"Everything was replayed{when}. {self._call('fresh=True')} starts anew."

    def _changed_hint(self) -> Iterator[str]:
        kept = [row for row in self.changed.values() if row.replayed]
        if kept:
            them = "it" if len(kept) == 1 else "them"
            yield (
                f"Changed, and replayed all the same: {_named(kept)}. "
                f"{self._call(_ONLY)} runs {them} again, "
                '`on_change="rerun"` also what started after.'
            )

    def _call(self, option: str) -> str:
        """The call of the job with an option, as code."""
        job = f"{self._job}." if self._job else ""
        return f"`{job}run(..., {option})`"

    def _not_reached_hint(self) -> Iterator[str]:
        if self.ended and (left := self.tally.states[State.NOT_REACHED]):
            yield f"{plural(left, 'task')} of an earlier pass not reached in this one, and kept."

    def actions(self) -> list[Action]:
        """What can be done about the run as it stands, with the line to type."""
        # By way of the job: not every notebook makes a client of its own.
        client = f"{self._job}.client" if self._job else "client"
        handle = Action("Take hold of this run, if no name has it", f"run = {client}.run({self.run.id!r})")
        if self.run.status == RunStatus.FAILED:
            again = Action(
                "Run what failed again and keep the rest, as running the cell again does", "run.retry()"
            )
            return [again, *self._rerun(), handle]
        if self.run.status in (RunStatus.INTERRUPTED, RunStatus.CANCELED):
            again = Action("Go on where it stopped, as running the cell again does", "run.resume()")
            return [again, *self._rerun(), handle]
        if self.run.status == RunStatus.WAITING and self.run.reason == "paused":
            return [Action("Go on", "run.resume()"), Action("Cancel", "run.cancel()")]
        if self.run.status == RunStatus.WAITING:
            waits = [row for row in self.active.values() if row.next_at is not None][:3]
            skips = [
                Action(f"Skip the wait of {visible(row.name, 60)}", f"run.skip_wait({row.path!r})")
                for row in waits
            ]
            return [*skips, Action("Pause", "run.pause()"), Action("Cancel", "run.cancel()")]
        return []

    def _rerun(self) -> list[Action]:
        rows = self.failures or [row for row in self.rows.values() if row.state is State.UNFINISHED][:1]
        return [
            Action(
                f"Run {visible(row.name, 60)} and what started after it again",
                f"run.rerun_from({row.path!r})",
            )
            for row in rows[:1]
        ]


def _backlog(records: Iterable[TaskRecord], seen: dict[str, Seen]) -> Iterator[Event]:
    """What is known at the beginning, as if it happened now."""
    for record in records:
        if (sighting := seen.pop(record.path, None)) is not None:
            yield sighting
        yield Saved(record)
    yield from seen.values()


_ONLY = 'on_change="only"'
_RECENT = 30
_HINTS = 6
_FORESEEN = 1.0  # seconds that a run goes on before it is asked when it will be done: most are done by then


class _Lean(TaskRecord):
    """What is kept here of a finished item of a map."""


_LEAN = (
    *("path", "status", "kind", "generation", "started", "started_at", "ended_at", "attempt", "form"),
    *("name", "icon", "style", "display_key", "properties", "output_properties", "tally"),
)  # fmt: skip


def _is_finished_item(row: Row) -> bool:
    return (
        row.parent is not None
        and row.parent.unfolded is not None
        and row.record is not None
        and row.record.status == TaskStatus.COMPLETED
    )


def _keep(index: dict[str, Row], row: Row, there: bool) -> None:
    if there:
        index[row.path] = row
    else:
        index.pop(row.path, None)


def _end(row: Row) -> float:
    return (row.record.ended_at or 0.0) if row.record is not None else 0.0


def _named(rows: list[Row]) -> str:
    first = heapq.nsmallest(3, rows, key=position)
    names = ", ".join(
        f"`{visible(row.display_path, 60)}`" + (f" ({visible(row.changed, 100)})" if row.changed else "")
        for row in first
    )
    return names + (f" and {len(rows) - 3:,} more" if len(rows) > 3 else "")


def run_seconds(run: RunRecord, now: float | None) -> float | None:
    """Seconds that a run has lasted, or lasts until `now`; None when it has not begun or is cut off."""
    if run.started_at is None:
        return None
    if now is not None and not is_queued(run):
        began = run.began_at if run.began_at is not None else run.started_at
        return max(0.0, run.worked + now - began)
    if run.worked:
        return run.worked
    return max(0.0, run.finished_at - run.started_at) if run.finished_at is not None else None


def error_line(error: Mapping[str, Any] | None, limit: int = 300) -> str:
    """`ValueError: what it said`, of a stored error; "" of none."""
    if not error:
        return ""
    name = str(error.get("type", "") or "error").rpartition(".")[2]
    shown = cast("Mapping[str, Any]", error.get("shown") or error)  # what `redact` leaves of it
    text = str(shown.get("message") or "")[: limit + 1]
    return visible_block(f"{name}: {text}" if text else name, limit)


def value_text(form: str, value: Any, redacted: list[str], limit: int) -> str:
    """A stored value as text for a reader; "" of None, which is mostly the value of nothing."""
    about = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    if form == "unstored":
        reason = f": {about['reason']}" if about.get("reason") else ""
        where = f" at {about['path']}" if about.get("path", "$") != "$" else ""
        return f"{about.get('type', 'a value')}{where}, which could not be stored{reason}"
    if form == "file":
        return f"{about.get('size', '?')} bytes, in a file beside the database"
    if form == "signed":
        return "a signed pickle"
    if form == APART:
        return "could not be read from the store"
    if value is None:
        return ""
    if form == "tagged":
        value = readable(value)
    if redacted:
        value = redact(redacted, value)
    return preview(value, limit)
