"""What a run looks like: its records and events as rows, whatever they are drawn with.

Text, HTML and a widget are faces of one `RunModel`. It is kept up to date event by event, so that
an event costs the same in a run of ten tasks and of ten thousand.

A model belongs to one thread: `apply` and the faces must not run at the same time.
"""

from __future__ import annotations

import heapq
import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from keyword import iskeyword
from typing import Any, cast

from .._clock import Clock, SystemClock
from .._feed import Event, Hinted, Printed, Progressed, Saved, SavedRun, Seen
from .._keys import display_key, idempotency_key, last_segment, parent_path
from .._records import Reason, RunRecord, RunStatus, TaskRecord, TaskStatus
from .._redact import redact
from .escape import preview, visible, visible_block
from .values import readable
from .words import moment, plural, remaining


class State(StrEnum):
    """What a row shows of its task: the status, and where it stands in this pass."""

    COMPLETED = "completed"
    FAILED = "failed"
    RUNNING = "running"
    RETRYING = "retrying"  # waits for its next attempt
    WAITING = "waiting"
    PENDING = "pending"
    CANCELED = "canceled"
    UNFINISHED = "unfinished"  # its body began, and the run stopped before it came to an end
    NOT_REACHED = "not reached"  # known from an earlier pass, not met in this one (rule R8)
    LOG = "log"  # a log line; not counted as a task

    @property
    def active(self) -> bool:
        """Whether something is under way or waited for."""
        return self in _ACTIVE


_ACTIVE = frozenset({State.RUNNING, State.RETRYING, State.WAITING})

# Each has a shape of its own, so that nothing depends on colour.
SYMBOLS: Mapping[State, str] = {
    State.COMPLETED: "✔",
    State.FAILED: "✘",
    State.RUNNING: "●",
    State.RETRYING: "↻",
    State.WAITING: "◷",
    State.PENDING: "○",
    State.CANCELED: "⊘",
    State.UNFINISHED: "◐",
    State.NOT_REACHED: "◌",
    State.LOG: "›",
}

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


@dataclass(slots=True)
class Tally:
    """How many rows there are of each state, and how many of them were replayed."""

    states: Counter[State] = field(default_factory=Counter[State])
    replayed: int = 0

    def add(self, state: State, replayed: bool, times: int = 1) -> None:
        self.states[state] += times
        self.replayed += times * replayed

    def without(self, rows: Iterable[Row]) -> Tally:
        """The tally of the rest, when these rows are taken away."""
        rest = Tally(Counter(self.states), self.replayed)
        for row in rows:
            rest.add(row.state, row.replayed, -1)
        return rest

    def __bool__(self) -> bool:
        return self.rows > 0

    @property
    def tasks(self) -> int:
        """All rows but log lines."""
        return self.rows - self.states[State.LOG]

    @property
    def rows(self) -> int:
        return sum(self.states.values())

    def items(self) -> list[tuple[State, int]]:
        """States that occur, in the order of `State`."""
        return [(state, self.states[state]) for state in State if self.states[state] > 0]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tally) and (self.items(), self.replayed) == (other.items(), other.replayed)

    __hash__ = None  # type: ignore[assignment]  # it changes


class Row:
    """One task of the run, or the run itself (`path` is "")."""

    __slots__ = (
        "_counted",
        "_counted_replayed",
        "_sorted",
        "children",
        "depth",
        "implied",
        "order",
        "parent",
        "path",
        "printed",
        "progress",
        "record",
        "seen",
        "state",
        "tally",
    )

    def __init__(self, path: str, parent: Row | None) -> None:
        self.path = path
        self.parent = parent
        self.depth: int = parent.depth + 1 if parent else -1  # 0 for the run's own tasks
        self.record: TaskRecord | None = None  # None while only its subtasks are known
        self.seen: Seen | None = None  # in this pass
        self.implied = False  # met as part of a replayed parent, whose body was not called
        self.progress: Progressed | None = None
        self.printed: Printed | None = None  # by a body that has not come to an end
        self.state = State.PENDING
        self.order = float("inf")
        # Most rows have no children, and share that there are none: thousands of empty ones would
        # have to be looked at in every garbage collection.
        self.children: dict[str, Row] = _NO_CHILDREN
        self.tally = _NO_TALLY  # of the direct children
        self._sorted: list[Row] | None = None
        self._counted: State | None = None  # as what it is in the tallies, ...
        self._counted_replayed = False  # ... and whether as replayed

    @property
    def key(self) -> str:
        """The key to show: as given for display, else the cache key in plain text; "" of a log line."""
        if self.record is not None and self.record.display_key:
            return self.record.display_key
        segment = last_segment(self.path)
        return "" if segment.startswith("~.") else display_key(segment)

    @property
    def name(self) -> str:
        """What to call it: its name, else its key."""
        return (self.record.name if self.record is not None else "") or self.key or display_key(self.path)

    @property
    def display_path(self) -> str:
        """The path for reading; methods of a run take `path`."""
        return "/".join(display_key(segment) for segment in self.path.split("/"))

    @property
    def kind(self) -> str:
        return self.record.kind if self.record is not None else "task"

    @property
    def minimal(self) -> bool:
        """Whether it asked for a quiet row."""
        return self.record is not None and self.record.style == "minimal"

    @property
    def reason(self) -> Reason | None:
        """Why the body was called in this pass, or was not (rule R7); None when it was not met."""
        if self.seen is not None:
            return self.seen.reason
        return Reason.REPLAYED if self.implied else None

    @property
    def replayed(self) -> bool:
        """Whether it is a task whose stored result was taken."""
        return self.reason is Reason.REPLAYED and self.state is not State.LOG

    @property
    def changed(self) -> str:
        """What differs from when it was stored: "" or some of "code", "params", "codec", "subtask"."""
        return self.seen.changed if self.seen is not None else ""

    @property
    def stored(self) -> bool:
        """False for a completed task whose value could not be kept (rule S4)."""
        return self.record is None or self.record.form != "unstored"

    @property
    def attempt(self) -> int:
        return self.record.attempt if self.record is not None else 1

    @property
    def next_at(self) -> float | None:
        """When the wait ends or the next attempt begins, while one is waited for."""
        waits = self.state in (State.WAITING, State.RETRYING)
        return self.record.next_at if waits and self.record is not None else None

    @property
    def error(self) -> dict[str, Any] | None:
        """The stored error, as data, unless the task ended well after it."""
        if self.record is None or self.record.status == TaskStatus.COMPLETED:
            return None
        return self.record.error

    @property
    def properties(self) -> list[Property]:
        return _properties(self.record.properties) if self.record is not None else []

    @property
    def output_properties(self) -> list[Property]:
        return _properties(self.record.output_properties) if self.record is not None else []

    @property
    def prints(self) -> list[tuple[str, str]]:
        """What the body printed and logged, so far while it runs: pieces of stream and text.

        A stream is "out", "err", "log", or "note" for what is said of the others (see `_prints`).
        """
        if self.printed is not None:
            pieces: Any = self.printed.prints.pieces()
        else:
            pieces = self.record.prints if self.record is not None else []
        return [
            (str(stream), visible_block(_COLOURS.sub("", str(text)), _PRINTS_UNTIL))
            for stream, text in _pairs(pieces)
        ]

    def duration(self, now: float | None) -> float | None:
        """Seconds from the first start to the end, or until `now` while it is under way."""
        record = self.record
        if record is None or not record.started_at or self.state is State.LOG:
            return None
        if record.ended_at is not None and not self.state.active:
            return max(0.0, record.ended_at - record.started_at)
        return max(0.0, now - record.started_at) if self.state.active and now is not None else None

    def ordered(self) -> list[Row]:
        """The children in the order in which they first started. Not to be changed."""
        if self._sorted is None:
            self._sorted = sorted(self.children.values(), key=_position)
        return self._sorted

    def add(self, child: Row) -> None:
        if self.children is _NO_CHILDREN:
            self.children, self.tally, self._sorted = {}, Tally(), []
        self.children[child.path] = child
        if self._sorted is not None:
            self._sorted.append(child)
            self.moved(child)

    def moved(self, child: Row) -> None:
        """A child has another place now. At the end, where nearly all of them come, it costs nothing."""
        ranks = self._sorted
        if ranks and ranks[-1] is child and (len(ranks) == 1 or _position(ranks[-2]) <= _position(child)):
            return
        self._sorted = None

    def walk(self) -> Iterator[Row]:
        """All rows below, parents first, in order."""
        for child in self.ordered():
            yield child
            yield from child.walk()

    def count(self, total: Tally) -> None:
        """Bring the parent's tally and the run's up to the row's state."""
        assert self.parent is not None
        state, replayed = self.state, self.replayed
        if state is self._counted and replayed == self._counted_replayed:
            return
        for tally in (self.parent.tally, total):
            if self._counted is not None:
                tally.add(self._counted, self._counted_replayed, -1)
            tally.add(state, replayed)
        self._counted, self._counted_replayed = state, replayed

    def forget_pass(self) -> None:
        """A new pass begins, which has not met it; its counts are brought up to that by the caller."""
        self.seen = None
        self.implied = False
        self.progress = None
        self.printed = None
        if self.state is not State.LOG:
            self.state = State.NOT_REACHED
        self._counted, self._counted_replayed = self.state, False

    def recount(self) -> None:
        """Count the children anew."""
        if self.children is not _NO_CHILDREN:
            self.tally = Tally(Counter(child.state for child in self.children.values()))


# As much as is kept of one task, and what it is cut into.
_PRINTS_UNTIL = 20_000
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def _pairs(pieces: Any) -> list[list[Any]]:
    """Stored pieces, tolerant of what older or foreign writers left."""
    pairs = cast("list[Any]", pieces) if isinstance(pieces, list) else []
    return [pair for pair in pairs if isinstance(pair, list) and len(cast("list[Any]", pair)) == 2]


_NO_CHILDREN: dict[str, Row] = {}  # shared: never changed
_NO_TALLY = Tally()


def _position(row: Row) -> tuple[float, str]:
    return row.order, row.path


@dataclass(frozen=True, slots=True)
class Property:
    """A label and its text; links as they were given, not yet judged."""

    label: str
    text: str
    url: Any = None
    image_url: Any = None


def _properties(stored: Any) -> list[Property]:
    """Stored properties, tolerant of what older or foreign writers left out."""
    if not isinstance(stored, list):
        return []
    return [
        Property(str(p.get("label", "")), str(p.get("text", "")), p.get("url"), p.get("image_url"))
        for p in cast("list[Any]", stored)
        if isinstance(p, dict)
        for p in [cast("dict[str, Any]", p)]
    ]


@dataclass(frozen=True, slots=True)
class Action:
    """Something to do about the run, and the line of code that does it."""

    label: str
    code: str


@dataclass(frozen=True, slots=True)
class Shown:
    """Which rows to draw when there are too many: the chosen ones, and counts of the rest."""

    by_scope: dict[str, list[Row]] | None  # None: all

    @classmethod
    def only(cls, rows: Iterable[Row]) -> Shown:
        by_scope: dict[str, list[Row]] = {}
        for row in sorted(rows, key=_position):
            by_scope.setdefault(parent_path(row.path), []).append(row)
        return cls(by_scope)

    def of(self, scope: Row) -> tuple[list[Row], Tally]:
        """The children of a scope to draw, in order, and the tally of those left out."""
        if self.by_scope is None:
            return scope.ordered(), Tally()
        rows = self.by_scope.get(scope.path, [])
        return rows, scope.tally.without(rows)


class RunModel:
    """The rows of one run.

    `records` are what is stored, `seen` what this kernel's latest pass has met so far, and None
    when this kernel made no pass. Every task that a pass meets must come as a `Seen` (those inside
    a replayed parent excepted, they go with it): the others are drawn as not reached. `store` says
    where the records are. `awaited` is set while a cell waits for the run's end. A `lazy` model takes
    records and sightings in by and by, as `load` is called.
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
    ) -> None:
        self.run = run
        self.root = Row("", None)
        self.rows: dict[str, Row] = {}
        self.tally = Tally()  # of all rows
        self.store = store
        self.awaited = awaited
        self._clock = clock or SystemClock()
        self._pass = seen is not None
        self._hints = dict.fromkeys(hints)
        # What a face must find without walking all rows.
        self._active: dict[str, Row] = {}
        self._failed: dict[str, Row] = {}
        self._changed: dict[str, Row] = {}
        self._unstored: dict[str, Row] = {}
        self._recent: deque[Row] = deque(maxlen=_RECENT)
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
        if most is None or len(events) < most:
            self._backlog = None
            if not self._recent:
                self._recent.extend(heapq.nlargest(_RECENT, self.rows.values(), key=_end)[::-1])
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
            else:
                rows = self._begin_pass()
            touched.add("")
            for row in rows:
                # What a row is in shows counts of it.
                while row.path and row.path not in touched:
                    touched.add(row.path)
                    row = row.parent or self.root  # noqa: PLW2901
        touched |= printed
        return touched

    def _happened(self, rows: list[Row]) -> list[Row]:
        self._recent.extend(rows)
        return rows

    def _save(self, record: TaskRecord) -> Row:
        row = self._row(record.path)
        row.record = record
        if record.status != TaskStatus.RUNNING:
            row.printed = None  # The record has it.
        self._place(row, float(record.started) or float("inf"))
        self._settle(row)
        return row

    def _see(self, seen: Seen) -> list[Row]:
        row = self._row(seen.path)
        row.seen = seen
        self._settle(row)
        return [row, *self._imply(row)]

    def _imply(self, row: Row) -> list[Row]:
        """What lies in a replayed task was met with it. Each row is visited once a pass."""
        found: list[Row] = []
        for child in row.children.values():
            if child.seen is None and child.implied != row.replayed:
                child.implied = row.replayed
                self._settle(child)
                found += [child, *self._imply(child)]
        return found

    def _save_run(self, record: RunRecord) -> list[Row]:
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
        self._pass = True
        self._hints.clear()
        self._recent.clear()
        for index in (self._active, self._failed, self._changed, self._unstored):
            index.clear()
        rows = list(self.rows.values())
        for row in rows:
            row.forget_pass()
        for row in (self.root, *rows):
            row.recount()
        self.tally = Tally(Counter(row.state for row in rows))
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
            self._settle(row)
            if parent is not self.root and parent.record is None:
                self._settle(parent)
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

    def _settle(self, row: Row) -> None:
        """Work out the row's state again and keep all counts and indices true."""
        row.state = state = self._state(row)
        row.count(self.tally)
        _keep(self._active, row, state.active)
        _keep(self._failed, row, state is State.FAILED)
        _keep(self._changed, row, bool(row.changed))
        _keep(self._unstored, row, not row.stored and state is State.COMPLETED)

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

    @property
    def failures(self) -> list[Row]:
        """Failed rows, those that ended the run first."""
        ended_by = [row for path in self.run.ended_by if (row := self._failed.get(path)) is not None]
        first = set(self.run.ended_by)
        return [*ended_by, *(row for path, row in self._failed.items() if path not in first)]

    @property
    def next_at(self) -> float | None:
        """When the first of the waits and retry pauses is over."""
        times = [row.next_at for row in self._active.values() if row.next_at is not None]
        return min(times, default=None)

    def idempotency_key(self, row: Row) -> str:
        """The token that the task's body was given for outside services (rule I6)."""
        return idempotency_key(self.run.id, row.path, row.record.generation if row.record else 0)

    def hints(self, *, counting: bool = True) -> list[str]:
        """What the header says beside the counts; code is between backticks.

        Without `counting` it does not say how long a wait still lasts, which is soon untrue.
        """
        own = [
            *self._waiting_hint(counting=counting),
            *self._replayed_hint(),
            *self._changed_hint(),
            *self._not_reached_hint(),
        ]
        engine = list(dict.fromkeys([*self.run.hints, *self._hints]))
        left_out = len(engine) - _HINTS
        return [*own, *engine[:_HINTS], *([f"… and {left_out:,} more"] if left_out > 0 else [])]

    def _waiting_hint(self, *, counting: bool) -> Iterator[str]:
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
            ends = (
                row.record.ended_at for row in self.rows.values() if row.record is not None and row.replayed
            )
            last = max((end for end in ends if end), default=None)
            when = f"; it ran on {moment(last)}" if last else ""
            yield f"Everything was replayed{when}. {self._call('fresh=True')} starts anew."

    def _changed_hint(self) -> Iterator[str]:
        kept = [row for row in self._changed.values() if row.replayed]
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
            waits = [row for row in self._active.values() if row.next_at is not None][:3]
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

    # --- which rows, when there are too many -----------------------------------------

    def excerpt(self, rows: int = 40) -> Shown:
        """For a run under way: what is running, failed or happened last; the rest counted.

        Costs the same however many tasks there are.
        """
        if len(self.rows) <= rows:
            return Shown(None)
        chosen: dict[str, Row] = {}
        _choose(chosen, _last(self._active, rows // 2), rows)
        _choose(chosen, _last(self._failed, rows // 4), rows)
        _choose(chosen, reversed(self._recent), rows - rows // 4)
        _choose(chosen, self.root.ordered()[:rows], rows)
        return Shown.only(chosen.values())

    def outline(self, *, rows: int, fold: int) -> Shown:
        """For a run at rest: failures, what is under way, changed or slow; then from the top down.

        At most about `rows` rows. A scope with more than `fold` children shows a few of them.
        """
        if len(self.rows) <= rows and all(
            len(row.children) <= fold for row in (self.root, *self.rows.values())
        ):
            return Shown(None)
        chosen: dict[str, Row] = {}
        _choose(chosen, self.failures[: rows // 3], rows)
        _choose(chosen, _last(self._active, rows // 8), rows)
        _choose(chosen, [*_last(self._changed, rows // 16), *_last(self._unstored, rows // 16)], rows)
        leaves = (row for row in self.rows.values() if not row.children and row.state is State.COMPLETED)
        _choose(chosen, heapq.nlargest(min(10, rows // 10), leaves, key=_took), rows)
        scopes = deque([self.root])
        while scopes and len(chosen) < rows:
            scope = scopes.popleft()
            children = scope.ordered()
            some = children if len(children) <= fold else [*children[:2], children[-1]]
            _choose(chosen, some, rows)
            scopes.extend(child for child in some if child.children)
        return Shown.only(chosen.values())


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


def _keep(index: dict[str, Row], row: Row, there: bool) -> None:
    if there:
        index[row.path] = row
    else:
        index.pop(row.path, None)


def _end(row: Row) -> float:
    return (row.record.ended_at or 0.0) if row.record is not None else 0.0


def _took(row: Row) -> float:
    return row.duration(None) or 0.0


def _last(rows: dict[str, Row], count: int) -> list[Row]:
    """The entries that came last, last first."""
    return list(islice(reversed(rows.values()), count))


def _choose(chosen: dict[str, Row], rows: Iterable[Row], limit: int) -> None:
    """Add rows and what they are in, up to the limit."""
    for row in rows:
        if len(chosen) >= limit:
            return
        up: Row | None = row
        while up is not None and up.path and up.path not in chosen:
            chosen[up.path] = up
            up = up.parent


def _named(rows: list[Row]) -> str:
    first = heapq.nsmallest(3, rows, key=_position)
    names = ", ".join(
        f"`{visible(row.display_path, 60)}`" + (f" ({visible(row.changed, 100)})" if row.changed else "")
        for row in first
    )
    return names + (f" and {len(rows) - 3:,} more" if len(rows) > 3 else "")


def run_seconds(run: RunRecord, now: float | None) -> float | None:
    """Seconds that a run has lasted, or lasts until `now`; None when it has not begun or is cut off."""
    if run.started_at is None:
        return None
    if now is not None:
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
    if value is None:
        return ""
    if form == "tagged":
        value = readable(value)
    if redacted:
        value = redact(redacted, value)
    return preview(value, limit)
