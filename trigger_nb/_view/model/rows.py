"""The tasks of a run as rows of a tree, each with its state and with counts of its children by state."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import TypeAlias, cast

from ..._keys import display_key, last_segment
from ..._records.feed import Printed, Progressed, Seen, Showed
from ..._records.records import FAN_OUT, TaskRecord
from ..._records.status import Reason, TaskStatus
from ..escape import visible_block
from .map_stats import MapStats
from .readable import StoredError
from .states import FOLDED, REUSED, UNDER_WAY, State, Tally, Turn

# Each state has its own shape, so that nothing depends on colour.
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


class Row:
    """One task of the run, or the run itself (`path` is "")."""

    __slots__ = (
        "_counted",
        "_counted_below",
        "_counted_replayed",
        "_sorted",
        "below",
        "children",
        "depth",
        "implied",
        "order",
        "parent",
        "path",
        "pieces",
        "printed",
        "progress",
        "record",
        "seen",
        "state",
        "stats",
        "tally",
        "turn",
        "unfolded",
    )

    def __init__(self, path: str, parent: Row | None) -> None:
        self.path = path
        self.parent = parent
        self.depth: int = parent.depth + 1 if parent else -1  # 0 for a task of the run function
        self.record: TaskRecord | None = None  # None while only subtasks have records
        self.seen: Seen | None = None  # in this pass
        self.implied = False  # reached in this pass as part of a replayed parent
        self.progress: Progressed | None = None
        self.printed: Printed | None = None  # while the task runs
        self.pieces: Showed | None = None  # the same
        self.state = State.PENDING
        self.order = float("inf")
        # Most rows have no children and share one empty dictionary: thousands of empty dictionaries would
        # slow down every garbage collection.
        self.children: dict[str, Row] = _NO_CHILDREN
        self.tally = _NO_TALLY  # of the direct children
        self.below = _NO_TALLY  # of all tasks inside that count (see `counts`), and of log lines
        self.turn: Turn | None = None  # while the task waits for its turn, as of the last look
        # For a map: the items that are not `FOLDED`, by path. None for other rows.
        self.unfolded: dict[str, Row] | None = None
        self.stats: MapStats | None = None  # of the items of a map
        self._sorted: list[Row] | None = None
        self._counted: State | None = None  # the state under which the tallies count this row, ...
        self._counted_replayed = 0  # ... and whether they count it as replayed
        self._counted_below: tuple[State, int] | None = None  # the same for `below` of the rows around it

    @property
    def key(self) -> str:
        """The key to show: the display key, else the cache key in plain text; "" for a log line."""
        if self.record is not None and self.record.display_key:
            return self.record.display_key
        segment = last_segment(self.path)
        if segment.startswith(_DIGEST) and self.record is not None and self.record.name:
            return ""  # a digest means nothing to a reader
        return "" if segment.startswith("~.") else display_key(segment)

    @property
    def name(self) -> str:
        """The name, or else the key."""
        return (self.record.name if self.record is not None else "") or self.key or display_key(self.path)

    @property
    def display_path(self) -> str:
        """The path, formatted for a reader; methods of a run take it too."""
        return "/".join(display_key(segment) for segment in self.path.split("/"))

    @property
    def kind(self) -> str:
        return self.record.kind if self.record is not None else "task"

    @property
    def folds(self) -> bool:
        """Whether the row is a large map, most of whose items are counted and not listed."""
        if self.unfolded is None:
            return False
        total = self.progress.total if self.progress is not None else None
        return len(self.children) > LISTED or (total is not None and total > LISTED)

    @property
    def items(self) -> list[Row]:
        """This row and its ancestors, innermost first, as far as they are items of large maps."""
        found: list[Row] = []
        row, parent = self, self.parent
        while parent is not None:
            if parent.folds:
                found.append(row)
            row, parent = parent, parent.parent
        return found

    @property
    def progressed(self) -> Progressed | None:
        """The progress; for a map, corrected by the counts of its items, which are newer than the last report."""
        progress = self.progress
        if progress is None or self.unfolded is None:
            return progress
        failed = self.tally.states[State.FAILED]
        done = self.tally.states[State.COMPLETED] + failed + self.tally.states[State.CANCELED]
        return replace(progress, done=max(progress.done, done), failed=max(progress.failed, failed))

    @property
    def minimal(self) -> bool:
        """Whether the task has the style "minimal"."""
        return self.record is not None and self.record.style == "minimal"

    @property
    def reason(self) -> Reason | None:
        """The reason why the task ran in this pass or was replayed (rule R7); None if it was not reached."""
        if self.seen is not None:
            return self.seen.reason
        return Reason.REPLAYED if self.implied else None

    @property
    def replayed(self) -> int:
        """Not 0 for a task whose stored result was reused in this pass; `REUSED` for one whose result is another run's."""
        if self.state is State.LOG:
            return 0
        reason = self.reason
        return REUSED if reason is Reason.REUSED else int(reason is Reason.REPLAYED)

    @property
    def changed(self) -> str:
        """The changes since the result was stored: "" or some of "code", "params", "codec", "subtask"."""
        return self.seen.changed if self.seen is not None else ""

    @property
    def difference(self) -> str:
        """As `changed`, with the functions and globals by name that make the difference, if they are known."""
        return self.seen.difference if self.seen is not None else ""

    @property
    def stored(self) -> bool:
        """False for a completed task whose value could not be stored (rule S4)."""
        return self.record is None or self.record.form != "unstored"

    @property
    def by_hand(self) -> float | None:
        """When a person set the result, in UTC seconds; None if the body returned it."""
        return self.record.by_hand if self.record is not None else None

    @property
    def attempt(self) -> int:
        return self.record.attempt if self.record is not None else 1

    @property
    def next_at(self) -> float | None:
        """The end of the wait, or the start of the next attempt or call, while the task waits for it."""
        if self.turn is not None and self.state is State.PENDING:
            return self.turn.next_at
        waits = self.state in (State.WAITING, State.RETRYING)
        return self.record.next_at if waits and self.record is not None else None

    @property
    def error(self) -> StoredError | None:
        """The stored error as data; None if the task has completed since."""
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
    def prints(self) -> list[Print]:
        """The text that the task printed and logged (so far, while it runs), in pieces."""
        if self.printed is not None:
            pieces: object = self.printed.prints.pieces()
        else:
            pieces = self.record.prints if self.record is not None else []
        return [
            (stream, visible_block(_COLOURS.sub("", text), _PRINTS_UNTIL), second)
            for stream, text, second in _prints(pieces)
        ]

    def duration(self, now: float | None) -> float | None:
        """Seconds from the first start to the end, or until `now` while the task is active."""
        record = self.record
        if record is None or not record.started_at or self.state is State.LOG:
            return None
        if record.ended_at is not None and not self.state.active:
            return max(0.0, record.ended_at - record.started_at)
        return max(0.0, now - record.started_at) if self.state.active and now is not None else None

    def ordered(self) -> list[Row]:
        """The children in the order in which they first started. Read-only."""
        if self._sorted is None:
            self._sorted = sorted(self.children.values(), key=position)
        return self._sorted

    def add(self, child: Row) -> None:
        if self.children is _NO_CHILDREN:
            self.children, self.tally, self.below, self._sorted = {}, Tally(), Tally(), []
        self.children[child.path] = child
        if self._sorted is not None:
            self._sorted.append(child)
            self.moved(child)

    def moved(self, child: Row) -> None:
        """Sort a child whose order has changed into its new place. This is cheap near the end, the usual place."""
        ranks = self._sorted
        if not ranks:
            return
        for back in range(1, min(_NEAR_END, len(ranks)) + 1):
            if ranks[-back] is child:
                del ranks[-back]
                break
        else:
            self._sorted = None
            return
        place = len(ranks)
        while place and position(ranks[place - 1]) > position(child):
            place -= 1
            if len(ranks) - place > _NEAR_END:
                self._sorted = None
                return
        ranks.insert(place, child)

    def walk(self) -> Iterator[Row]:
        """All rows below, parents first, in order."""
        for child in self.ordered():
            yield child
            yield from child.walk()

    def standing(self) -> Iterator[Row]:
        """All rows below as in `walk`, without folded items of large maps and the rows inside them."""
        unfolded = self.unfolded if self.folds else None
        for child in self.ordered() if unfolded is None else list(unfolded.values()):
            yield child
            yield from child.standing()

    @property
    def counts(self) -> bool:
        """Whether the row counts as a task, by the rule of `counts_beside` in `_records/status.py`.

        So the tasks inside add up to what the header says, and a subtask's failure is one failure.
        """
        if self.children is _NO_CHILDREN or not self.tally.tasks:
            return True
        states, state = self.tally.states, self.state
        if state in UNDER_WAY:
            return not any(states[each] > 0 for each in UNDER_WAY)
        return state not in FOLDED and not states[state]

    def count(self) -> bool:
        """Count the row's current state in the tallies of the rows around it. Returns whether it had changed."""
        assert self.parent is not None
        state, replayed = self.state, self.replayed
        if state is self._counted and replayed == self._counted_replayed:
            return False
        tally = self.parent.tally
        if self._counted is not None:
            tally.add(self._counted, self._counted_replayed, -1)
        tally.add(state, replayed)
        self._counted, self._counted_replayed = state, replayed
        _count_below(self)
        if self.parent.parent is not None:
            _count_below(self.parent)  # it may count no more, or again
        return True

    def forget_pass(self) -> None:
        """Reset the row for a new pass. The caller updates the tallies."""
        self.seen = None
        self.implied = False
        self.progress = None
        self.printed = self.pieces = None
        if self.stats is not None:
            self.stats.errors.clear()
        if self.state is not State.LOG:
            self.state = State.NOT_REACHED
        self._counted, self._counted_replayed = self.state, 0


def _count_below(row: Row) -> None:
    """Count the row, if it counts, in all rows around it."""
    before, now = row._counted_below, (row.state, row.replayed) if row.counts else None
    if before == now:
        return
    row._counted_below = now
    scope = row.parent
    while scope is not None:
        if before is not None:
            scope.below.add(*before, -1)
        if now is not None:
            scope.below.add(*now)
        scope = scope.parent


def recount(root: Row) -> None:
    """Count all rows again, after `forget_pass`."""
    rows = [root, *root.walk()]
    for row in rows:
        if row.children:
            row.tally = Tally(Counter(child.state for child in row.children.values()))
            row.below = Tally()
        row._counted_below = None
    for row in rows:
        _count_below(row)


Print: TypeAlias = tuple[str, str, int]
"""A piece of what a task printed: the stream, the text, and the second since the epoch in which it was written, or 0.

A stream is "out", "err", "log", or "note" for remarks about the other pieces (see `_records/prints.py`).
"""
# Characters of printed text; as much as a record keeps.
_PRINTS_UNTIL = 20_000
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def _prints(pieces: object) -> Iterator[Print]:
    """The stored pieces; malformed ones are skipped."""
    for piece in cast("list[object]", pieces) if isinstance(pieces, list) else []:
        parts = [str(part) for part in cast("list[object]", piece)] if isinstance(piece, list) else []
        if len(parts) in (2, 3):
            second = parts[2] if len(parts) == 3 else ""
            yield parts[0], parts[1], int(second) if second.isdecimal() and len(second) < _DIGITS else 0


_DIGITS = 12  # more than any time has, in seconds

_NO_CHILDREN: dict[str, Row] = {}  # shared, never changed
_NO_TALLY = Tally()
# The sort key of rows: the order of their first start.
position: Callable[[Row], tuple[float, str]] = attrgetter("order", "path")
_DIGEST = "~(#,"  # prefix of a map item's key that is a digest of the item
LISTED = 50  # a map with at most this many items lists all of them
_NEAR_END = 50  # number of last rows among which a moved row is searched and placed


@dataclass(frozen=True, slots=True)
class Property:
    """A label and its text; the links are not checked yet."""

    label: str
    text: str
    url: object = None
    image_url: object = None


def _properties(stored: object) -> list[Property]:
    """The stored properties; malformed ones are skipped and missing fields are empty."""
    if not isinstance(stored, list):
        return []
    return [
        Property(str(p.get("label", "")), str(p.get("text", "")), p.get("url"), p.get("image_url"))
        for p in cast("list[object]", stored)
        if isinstance(p, dict)
        for p in [cast("dict[str, object]", p)]
    ]


def implies(row: Row) -> bool:
    """Whether subtasks that were not met count as reached with a task. The items of a map are met one by one (R8)."""
    return row.implied if row.kind in FAN_OUT else bool(row.replayed)
