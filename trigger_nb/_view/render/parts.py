"""The parts of a row and of the header: which there are, in which order, and with which words.

Text, static HTML and the live tree draw the same parts. The live tree gets `PARTS`, `COUNTDOWNS` and the words
themselves from the kernel, so that the drawings cannot differ. What only CSS knows is not here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from ..._records import stops
from ..._records.questions import KIND as QUESTION, Answer, question_of
from ..._records.records import TaskRecord, is_queued
from ..._records.status import Reason, RunStatus
from ..._records.stops import stopped_after
from ..escape import visible
from ..model.readable import StoredError, error_line
from ..model.rows import Row, State, Tally
from ..model.run_model import RunModel
from ..model.states import REUSED
from ..words import about, ago, duration, moment, plural, probably_left, rate, remaining, ticking, time_of_day
from .map_stats import spread_text

# The parts of a row from left to right; the last one stands at the right end. `hot` are marks in the colour of a warning.
PARTS = (
    *("state", "icon", "name", "key", "marks", "hot", "countdown", "progress", "counts", "properties"),
    *("error", "duration"),
)
# The words of a countdown, by the state of its row.
COUNTDOWNS: Mapping[State, str] = {
    State.WAITING: "{}",
    State.RETRYING: "next attempt {}",
    State.PENDING: "next call allowed {}",
}
# The same for a time that is over, although the row still waits: no kernel drives the run, or code blocks it.
OVERDUES: Mapping[State, str] = {
    State.WAITING: "due since {}",
    State.RETRYING: "next attempt due since {}",
}
OVERDUE = 2.0  # seconds
PROPERTIES = 6  # that a row shows


@dataclass(frozen=True, slots=True)
class Bar:
    """The progress of a row: filled shares from 0 to 1, if the total is known, and the text beside the bar."""

    done: float | None
    failed: float
    text: str
    ends_at: float | None = None  # the expected end


@dataclass(slots=True)
class Parts:
    """The texts of one row. They have passed `visible` and still have to be escaped for HTML."""

    name: str
    key: str
    counts: list[tuple[State, int]]  # of the tasks inside
    marks: list[str]
    hot: list[str]
    until: float | None  # what the countdown counts to
    bar: Bar | None
    error: str
    asks: str = ""  # what a person is asked, while the task waits for the answer

    def countdown(self, state: State, now: float, *, still: bool = True) -> str:
        """The remaining time of a wait; its end as a date if nothing counts down `still`."""
        if self.until is None:
            return ""
        if state in OVERDUES and now - self.until > OVERDUE:
            return OVERDUES[state].format(moment(self.until))
        if not still:
            return f"{'next attempt' if state is State.RETRYING else 'until'} {moment(self.until)}"
        return COUNTDOWNS.get(state, "{}").format(remaining(self.until - now))


def parts_of(row: Row) -> Parts:
    """The parts of a row, but for its properties and its clock."""
    bar = None if row.progress is None else _bar(row)
    has_counts = row.children and (row.kind != "map" or bar)  # an ended map has its counts in the marks
    parts = Parts(
        name=visible(row.name, 200),
        key="" if (key := row.key) == row.name else visible(key, 100),
        counts=[each for each in row.below.items() if each[0] is not State.LOG] if has_counts else [],
        marks=[row.state],
        hot=[],
        until=row.next_at,
        bar=bar,
        error="",
    )
    if row.state is not State.NOT_REACHED:
        parts.marks = [visible(mark, 120) for mark in _marks(row)]
        parts.asks = asked(row)
        if row.changed or not row.stored or row.state is State.LOG or parts.asks:
            parts.hot = [visible(mark, 120) for mark in _hot_marks(row)]
        if row.error is not None and not error_shown_below(row):
            parts.error = visible(error_line(row.error), 240)
    return parts


def lasted(row: Row, now: float | None) -> str:
    """The duration of a row at its right end; "" if it has none."""
    took = row.duration(now)
    return "" if took is None else lasting(took, still=row.state.active)


def lasting(seconds: float, *, still: bool) -> str:
    """A duration; in whole seconds while it `still` increases."""
    return ticking(seconds) if still else duration(seconds)


def logged_at(row: Row) -> str:
    """The time of a log line, which has no duration; "" for other rows."""
    if row.state is not State.LOG or row.record is None or not row.record.started_at:
        return ""
    return time_of_day(row.record.started_at)


# --- marks ----------------------------------------------------------------------------------------
def _marks(row: Row) -> Iterator[str]:
    level = _level(row)
    if level == "debug":
        yield level
    if row.attempt > 1:
        yield f"attempt {row.attempt}"
    has_stopped = bool(stopped_after(row.record))
    if row.state in (State.CANCELED, State.UNFINISHED) and not has_stopped:
        yield row.state
    if has_stopped and row.record is not None:
        yield from stopped_marks(row, row.record)
    elif row.kind == "map" and row.state is not State.RUNNING:
        yield from _map_marks(row)
    if row.state is State.LOG:
        return
    if row.turn is not None and row.state is State.PENDING:
        yield f"waits for its turn ({f'{row.turn.before:,} before it' if row.turn.before else 'it is next'})"
    if row.by_hand is not None:
        yield "set by hand"
    elif row.kind == QUESTION and row.record is not None and row.state is State.COMPLETED:
        yield from answered(row.record)
    if row.record is not None and row.record.skipped:
        yield f"skipped {duration(row.record.skipped)}{'' if row.kind == 'wait' else ' of waiting'}"
    if row.record is not None and row.record.forced:
        yield "runs again"
    if why := _WHY.get(shown_reason(row) or "", ""):
        yield _reused(row.record) if row.replayed == REUSED and row.record is not None else why


def _reused(record: TaskRecord) -> str:
    """`reused from run_1a2b, 3 d ago`: as long ago as it was when the result was taken over."""
    age = ago(max(0.0, (record.ended_at or 0.0) - record.made_at))
    return f"reused from {visible(str(record.reused_from.get('run')), 60)}, {age}"


def asked(row: Row) -> str:
    """What a person is asked, while the row waits for the answer; "" for other rows."""
    if row.kind != QUESTION or row.state is not State.WAITING or row.record is None:
        return ""
    question = question_of(row.record)
    return (visible(question.prompt, 300) if question is not None else "") or WAITS_FOR_ANSWER


WAITS_FOR_ANSWER = "waits for an answer"


def answered(record: TaskRecord) -> Iterator[str]:
    """The answer to a question, in words: `"approve" by ada`."""
    question = question_of(record)
    if question is not None and question.answer:
        said = question.answer
        told = Answer(said.get("choice"), None, str(said.get("by", "")), 0.0, bool(said.get("timed_out")))
        yield visible(told.words, 120)


def _hot_marks(row: Row) -> Iterator[str]:
    level = _level(row)
    if asked(row):
        yield WAITS_FOR_ANSWER
    if level not in ("", "debug"):
        yield level
    if row.changed:
        yield f"changed: {visible(row.changed, 100)}"
    if not row.stored:
        yield "value not stored"


def _level(row: Row) -> str:
    """The level of a log line; "" for the usual one."""
    if row.state is not State.LOG or row.record is None or row.record.level in ("", "info", "log"):
        return ""
    return visible(row.record.level, 20)


def _map_marks(row: Row) -> Iterator[str]:
    """The results of a map: `5,000 items`, `20 failed`, `4,000 did not start`, `870 replayed`, `412/s`."""
    tally = row.record.tally if row.record is not None else {}
    items = tally.get("items", row.tally.tasks)
    yield plural(items, "item")
    if failed := tally.get("failed", row.tally.states[State.FAILED]):
        yield f"{failed:,} failed"
    if left := tally.get("not started", 0):
        yield f"{left:,} did not start"
    elif tally.get("gave up"):
        yield "the rest did not start"
    replayed = row.tally.replayed
    if reused := row.tally.reused:
        yield f"{reused:,} reused"
    if 0 < replayed - reused < items:
        yield f"{replayed - reused:,} replayed"
    if (took := row.duration(None)) and items > replayed + left:
        yield rate((items - replayed - left) / took)
    if spread := spread_text(row):
        yield spread


def stopped_marks(row: Row, record: TaskRecord) -> Iterator[str]:
    """A map that has stopped after its first items: `stopped after 20 of 2,000 items`, `the others take about 3 min`."""
    count, (left, takes) = stopped_after(record), stops.left(record.tally)
    of = f" of {record.tally['items']:,}" if left is not None else ""
    yield f"stopped after {count:,}{of} items"
    if failed := record.tally.get("failed"):
        yield f"{failed:,} failed"
    if takes is not None:
        yield f"the others take {about(takes)}"
    if spread := spread_text(row):
        yield spread


# The reasons (rule R7) that are worth showing.
_WHY: Mapping[str, str] = {
    Reason.REPLAYED: "replayed",
    Reason.CHANGED: "run again",
    Reason.RETRIED: "retried",
    Reason.INTERRUPTED: "after an interruption",
    Reason.FORCED: "run again",
    Reason.LOST_VALUE: "lost value",
    Reason.ADOPTED: "adopted",
    Reason.REUSED: "reused",
    Reason.EXPIRED: "expired, run again",
}


def shown_reason(row: Row) -> Reason | None:
    """The reason of a row; None for an interrupted wait, which simply continues."""
    return None if row.kind == "wait" and row.reason is Reason.INTERRUPTED else row.reason


# --- progress -------------------------------------------------------------------------------------
def _bar(row: Row) -> Bar | None:
    progress = row.progressed
    if progress is None or row.state is not State.RUNNING:
        return None
    done, total = _number(progress.done) or 0.0, _number(progress.total)
    said = [_amount(done) + (f" of {_amount(total)}" if total else "")]
    if progress.text:
        said.append(visible(progress.text, 80))
    if progress.rate:
        said.append(rate(progress.rate))
    if total is None or total <= 0:
        return Bar(None, 0.0, " · ".join(said), progress.ends_at)
    shares = [min(1.0, max(0.0, each / total)) for each in (done - progress.failed, progress.failed)]
    return Bar(shares[0], shares[1], " · ".join(said), progress.ends_at)


def _number(value: object) -> float | None:
    """The value as a finite number; None if it is not one. Users give anything."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return number if abs(number) < float("inf") else None


def _amount(value: float) -> str:
    return f"{value:,.2f}".rstrip("0").removesuffix(".")


def foreseen(bar: Bar, now: float | None) -> str:
    """The text of a bar with the estimated remaining time, as far as there is one."""
    left = None if now is None or bar.ends_at is None else bar.ends_at - now
    return f"{bar.text} · {probably_left(left)}" if left is not None and left > 0 else bar.text


# --- counts of tasks ------------------------------------------------------------------------------
def counted(tally: Tally) -> list[tuple[str, int, str]]:
    """The counts of tasks by state, of replayed and reused ones and of log lines: name, count and word of each that occurs."""
    states = [(str(state), count, str(state)) for state, count in tally.items() if state is not State.LOG]
    lines = tally.states[State.LOG]
    others = [
        ("replayed", tally.replayed - tally.reused, "replayed"),
        ("reused", tally.reused, "reused"),
        (str(State.LOG), lines, "log line" + "s" * (lines != 1)),
    ]
    return states + [each for each in others if each[1] > 0]


def total(tally: Tally) -> str:
    """The number of all tasks: `25 tasks`; "" if there are only log lines."""
    return plural(tally.tasks, "task") if tally.tasks else "" if tally else "no tasks"


def counts(tally: Tally) -> str:
    """The number of tasks, in all and by state: `7 tasks: 5 completed, 2 failed · 4 replayed`."""
    return ": ".join(part for part in (total(tally), by_state(tally)) if part)


def by_state(tally: Tally) -> str:
    """The number of tasks by state: `5 completed, 2 failed · 4 replayed · 1 reused from other runs`."""
    said = counted(tally)
    states = ", ".join(
        f"{count:,} {word}" for name, count, word in said if name not in ("replayed", "reused", State.LOG)
    )
    rest = [f"{tally.replayed - tally.reused:,} replayed"] if tally.replayed > tally.reused else []
    rest += [f"{tally.reused:,} reused from other runs"] if tally.reused > 0 else []
    rest += [f"{count:,} {word}" for name, count, word in said if name == State.LOG]
    return " · ".join(part for part in (states, *rest) if part)


def more(tally: Tally) -> str:
    """The counts of omitted rows: `37 more completed`, `40 more: 38 completed, 2 failed`."""
    states = tally.items()
    if len(states) == 1 and states[0][0] is not State.LOG:
        return by_state(tally).replace(" ", " more ", 1)
    return f"{tally.rows:,} more: {by_state(tally)}"


def tally_of(rows: Iterable[Row]) -> Tally:
    """The number of rows in each state."""
    tally = Tally()
    for row in rows:
        tally.add(row.state, row.replayed)
    return tally


# --- the header -----------------------------------------------------------------------------------
def standing(model: RunModel) -> tuple[str, float] | None:
    """Where the job's function is, and since when, if no task is under way or queued; known after `model.look()`."""
    stands, began = model.stands, model.run.began_at
    if model.run.status != RunStatus.RUNNING or not stands.place or began is None:
        return None
    if model.active or stands.turns:
        return None
    return STANDING.format(visible(stands.place, 120)), max(began, model.moved_at)


def may_stand(model: RunModel) -> bool:
    """Whether the pass may know something about what the run waits for, so that it is worth to ask it."""
    if is_queued(model.run):
        return True
    queued = model.tally.states[State.PENDING] > 0
    return model.run.status == RunStatus.RUNNING and (queued or not model.active)


def stands_for(model: RunModel) -> str:
    """The same as text, after a moment: `in the job's function, cell [3], line 14, for 12 s`."""
    found = standing(model)
    seconds = 0.0 if found is None else model.now - found[1]
    return "" if found is None or seconds < STANDS_AFTER else f"{found[0]}, for {ticking(seconds)}"


STANDING = "in the job's function, {}"
STANDS_AFTER = 1.0  # seconds: between two tasks there is nothing to tell


def shares(model: RunModel) -> list[tuple[str, float]]:
    """The parts of the header's bar from left to right: state, "replayed" or "reused", and percent.

    An error that no task shows, because the job's function itself raised it, is a red end.
    """
    tally = model.tally
    whole = tally.tasks + to_come(model)
    replayed = min(tally.replayed, tally.states[State.COMPLETED])
    fresh = [(state, count - replayed * (state is State.COMPLETED)) for state, count in tally.items()]
    reused = min(tally.reused, replayed)
    drawn = [
        ("replayed", replayed - reused),
        ("reused", reused),
        *((str(state), count) for state, count in fresh if state in _DRAWN),
    ]
    end = 0.0 if own_error(model) is None else _END if whole else 100.0
    bars = [(name, round((100 - end) * count / whole, 2)) for name, count in drawn if count > 0]
    return [*bars, (str(State.FAILED), end)] if end else bars


_DRAWN = frozenset(State) - {State.PENDING, State.NOT_REACHED, State.LOG}
_END = 2.0  # percent


def to_come(model: RunModel) -> int:
    """The number of map items that have no row yet."""
    maps = (row for row in model.active.values() if row.unfolded is not None)
    totals = [(row, row.progress.total) for row in maps if row.progress is not None]
    return sum(max(0, int(total) - row.tally.tasks) for row, total in totals if total is not None)


def own_error(model: RunModel) -> StoredError | None:
    """The error of the run that no task shows; None if there is none."""
    error = model.run.error
    return None if not error or error_shown(error, model.failures[:50]) else error


def error_shown_below(row: Row) -> bool:
    """Whether a failed subtask shows the same error already."""
    if not row.tally.states[State.FAILED]:
        return False
    children = row.children if row.unfolded is None else row.unfolded
    failed = (child for child in children.values() if child.state is State.FAILED)
    return error_shown(row.error, islice(failed, _LOOKED_AT))


def error_shown(error: StoredError | None, rows: Iterable[Row]) -> bool:
    """Whether there is no error, or one of the rows shows it already."""
    if not error:
        return True
    errors = (row.error for row in rows)
    return any(
        other and all(other.get(part) == error.get(part) for part in ("type", "message")) for other in errors
    )


_LOOKED_AT = 100  # failed subtasks to compare: each drawing of a row does it, and there may be thousands
