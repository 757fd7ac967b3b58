"""A run as plain text, for `print(run.tree())`, terminals, logs and `text/plain` outputs."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from ..._records.status import Reason
from ..escape import columns, fit, visible
from ..model.excerpt import Shown, latest, outline
from ..model.hints import actions, hints
from ..model.readable import StoredError, error_line, value_text
from ..model.rows import SYMBOLS, Property, Row, State, Tally
from ..model.run_model import RunModel
from ..model.run_status import job_and_version, run_state, run_title, status_text
from ..words import duration, moment, plural, probably_left, rate, remaining


def tree(model: RunModel, *, width: int = 100, fold: int | None = 20, rows: int = 200) -> str:
    """The run and its tasks, one per line, with errors below them.

    A scope with more than `fold` children is shortened to failed and active tasks and a few others; the rest
    is counted. `rows` bounds the number of all rows. `fold=None` shows every task.
    """
    shown = Shown(None) if fold is None else outline(model, rows=rows, fold=fold)
    return "\n".join([*_head(model, width), *_rows(model, model.root, shown, width), *_actions(model)])


def excerpt(model: RunModel, *, width: int = 100, rows: int = 40) -> str:
    """The text of a run under way: active, failed and recent rows."""
    return "\n".join([*_head(model, width), *_rows(model, model.root, latest(model, rows=rows), width)])


def counts(tally: Tally) -> str:
    """The number of tasks, in all and by state: `7 tasks: 5 completed, 2 failed · 4 replayed`."""
    if not tally.tasks:
        return plural(tally.states[State.LOG], "log line") if tally else "no tasks"
    return f"{plural(tally.tasks, 'task')}: {by_state(tally)}"


def by_state(tally: Tally) -> str:
    """The number of tasks by state: `5 completed, 2 failed · 4 replayed`."""
    words = ", ".join(f"{count:,} {state}" for state, count in tally.items() if state is not State.LOG)
    if tally.replayed:
        words += f" · {tally.replayed:,} replayed"
    if tally.states[State.LOG] > 0:
        words += (" · " if words else "") + plural(tally.states[State.LOG], "log line")
    return words


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


def marks(row: Row, now: float | None) -> list[str]:
    """The remarks beside the name of a row: attempt, countdown, reason, changes.

    Without `now`, a date stands in place of the countdown.
    """
    if row.state is State.NOT_REACHED:
        return ["not reached"]
    attempt = [f"attempt {row.attempt}"] if row.attempt > 1 else []
    counting = [countdown(row, row.next_at, now)] if row.next_at is not None else []
    return [*attempt, *counting, *standing_marks(row)]


def standing_marks(row: Row) -> list[str]:
    """The marks without attempt and countdown, which the widget shows in other places."""
    if row.state is State.NOT_REACHED:
        return ["not reached"]
    said: list[str] = []
    if row.state in (State.CANCELED, State.UNFINISHED):
        said.append(row.state)
    if row.kind == "map" and row.state is not State.RUNNING:
        said += _map_marks(row)
    if row.state is not State.LOG:
        if row.record is not None and row.record.forced:
            said.append("runs again")
        if why := _WHY.get(shown_reason(row) or "", ""):
            said.append(why)
    if row.changed:
        said.append(f"changed: {visible(row.changed, 100)}")
    if not row.stored:
        said.append("value not stored")
    return said


def _map_marks(row: Row) -> list[str]:
    """The results of a map: `5,000 items`, `20 failed`, `4,000 did not start`, `870 replayed`, `412/s`."""
    tally = row.record.tally if row.record is not None else {}
    items = tally.get("items", row.tally.tasks)
    failed = tally.get("failed", row.tally.states[State.FAILED])
    replayed = row.tally.replayed
    said = [plural(items, "item")]
    if failed:
        said.append(f"{failed:,} failed")
    if left := tally.get("not started", 0):
        said.append(f"{left:,} did not start")
    elif tally.get("gave up"):
        said.append("the rest did not start")
    if 0 < replayed < items:
        said.append(f"{replayed:,} replayed")
    if (took := row.duration(None)) and items > replayed + left:
        said.append(rate((items - replayed - left) / took))
    return said


# The reasons (rule R7) that are worth showing.
_WHY: Mapping[str, str] = {
    Reason.REPLAYED: "replayed",
    Reason.CHANGED: "run again",
    Reason.RETRIED: "retried",
    Reason.INTERRUPTED: "after an interruption",
    Reason.FORCED: "run again",
    Reason.LOST_VALUE: "lost value",
    Reason.ADOPTED: "adopted",
}


def shown_reason(row: Row) -> Reason | None:
    """The reason of a row; None for an interrupted wait, which simply continues."""
    return None if row.kind == "wait" and row.reason is Reason.INTERRUPTED else row.reason


def countdown(row: Row, then: float, now: float | None) -> str:
    """The remaining time of a wait or a retry delay; its end as a date without `now`."""
    if row.state is State.RETRYING:
        return f"next attempt {moment(then) if now is None else remaining(then - now)}"
    return f"until {moment(then)}" if now is None else remaining(then - now)


def progress_text(row: Row) -> str:
    """The progress of a running task: `3 of 10 · text`."""
    progress = row.progressed
    if progress is None or row.state is not State.RUNNING:
        return ""
    said = [_amount(progress.done) + (f" of {_amount(progress.total)}" if progress.total else "")]
    if progress.failed:
        said.append(f"{progress.failed:,} failed")
    if progress.text:
        said.append(visible(progress.text, 80))
    if progress.rate:
        said.append(rate(progress.rate))
    return " · ".join(said)


def _amount(value: float) -> str:
    return f"{value:,.2f}".rstrip("0").removesuffix(".")


def _title(model: RunModel) -> str:
    return f"{SYMBOLS[run_state(model.run)]} {visible(run_title(model.run), 80)}"


def _head(model: RunModel, width: int) -> Iterator[str]:
    run = model.run
    times = [duration(model.elapsed)] if model.elapsed is not None else []
    if (ends_at := model.ends_at) is not None:
        times.append(probably_left(ends_at - model.now))
    yield fit(" · ".join([_title(model), visible(status_text(model.run), 60), *times]), width)
    yield "  " + counts(model.tally)
    about = [visible(job_and_version(model.run), 80), visible(run.id, 80)]
    if run.is_test:
        about.append("test run")
    if model.store:
        about.append(visible(model.store, 200))
    yield "  " + " · ".join(part for part in about if part)
    yield from _statuses(model, width)
    for hint in hints(model):
        yield from textwrap.wrap(visible(hint, 1000), width, initial_indent="  ", subsequent_indent="    ")
    if not error_shown(run.error, model.failures[:50]):
        yield from _error(error_line(run.error, 500), "  ", width)
    if output := value_text(run.form, run.output, run.redact, 300):
        yield fit("  → " + visible(output, 300), width)


def _statuses(model: RunModel, width: int) -> Iterator[str]:
    lines, more = model.statuses()
    for line in lines:
        bar = "" if line.share is None else f"{_bar(line.share)} {line.percent}"
        parts = " · ".join(part for part in (line.label, bar, line.text) if part)
        yield fit(f"  {SYMBOLS[line.state]} {parts}", width)
    if more:
        yield f"  … and {more:,} more statuses"


def _bar(share: float) -> str:
    full = int(share * _BAR)
    return "█" * full + "░" * (_BAR - full)


_BAR = 16  # characters


def _rows(model: RunModel, scope: Row, shown: Shown, width: int, indent: str = "") -> Iterator[str]:
    rows, rest = shown.of(scope)
    for row in rows:
        last = row is rows[-1] and not rest
        yield _line(row, indent + ("└─ " if last else "├─ "), model, width)
        inner = indent + ("   " if last else "│  ")
        if row.error is not None and not error_shown_below(row):
            yield from _error(error_line(row.error, 500), inner + ("│ " if row.children else "  "), width)
        yield from _rows(model, row, shown, width, inner)
    if rest:
        more = f"{rest.rows:,} {'more' if rows else 'in all'}: "
        yield fit(f"{indent}└─ … {more}{by_state(rest)}", width)


def _line(row: Row, indent: str, model: RunModel, width: int) -> str:
    parts = [visible(row.name, 200)]
    if row.state is State.LOG:
        if row.record is not None and row.record.level not in ("", "info", "log"):
            parts.insert(0, visible(row.record.level, 20) + ":")
    elif row.key and row.key != row.name:
        parts.append(f"[{visible(row.key, 80)}]")
    left = f"{indent}{SYMBOLS[row.state]} {' '.join(parts)}"
    properties = [*row.properties, *row.output_properties][:8]
    notes = [*marks(row, model.ticking), progress_text(row), *map(_property, properties)]
    left = " · ".join(part for part in (left, *notes) if part)
    took = row.duration(model.ticking)
    right = duration(took) if took is not None else ""
    left = fit(left, width - len(right) - 2)
    return f"{left}{' ' * (width - len(right) - columns(left))}{right}" if right else left


def _property(given: Property) -> str:
    return f"{visible(given.label, 40)}: {visible(given.text, 80)}"


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


def _error(text: str, indent: str, width: int) -> Iterator[str]:
    for line in text.splitlines()[:4]:
        yield fit(indent + visible(line, 500), width)


def _actions(model: RunModel) -> Iterator[str]:
    offered = actions(model)
    widest = max((len(action.code) for action in offered), default=0)
    for action in offered:
        yield f"  {visible(action.code, 200):<{widest}}  {action.label}"  # never cut, because the user types the code
