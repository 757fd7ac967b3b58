"""A run as plain text: for `print(run.tree())`, terminals, logs and `text/plain`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

from .escape import columns, fit, visible
from .model import (
    SYMBOLS,
    Property,
    Row,
    RunModel,
    Shown,
    State,
    Tally,
    error_line,
    run_state,
    status_text,
    value_text,
)
from .words import duration, moment, plural, remaining


def tree(model: RunModel, *, width: int = 100, fold: int | None = 20, rows: int = 200) -> str:
    """The run and its tasks, one a line, with errors below them.

    A group of more than `fold` tasks is folded: failures, what is under way and a few others are
    shown, the rest counted. `rows` bounds the whole. `fold=None` shows every task.
    """
    shown = Shown(None) if fold is None else model.outline(rows=rows, fold=fold)
    return "\n".join([*_head(model, width), *_rows(model, model.root, shown, width), *_actions(model)])


def excerpt(model: RunModel, *, width: int = 100, rows: int = 40) -> str:
    """A run under way: what is running, failed or happened last."""
    return "\n".join([*_head(model, width), *_rows(model, model.root, model.excerpt(rows), width)])


def summary(model: RunModel) -> str:
    """One line about the run: name, status, time, counts."""
    parts = [_title(model), visible(status_text(model.run), 60)]
    if (elapsed := model.elapsed) is not None:
        parts.append(duration(elapsed))
    parts.append(counts(model.tally))
    return " · ".join(part for part in parts if part)


def moved_line(model: RunModel) -> str:
    """What stands in place of a run under way that is shown elsewhere from here on."""
    return (
        f"{visible(model.title, 80)} · {visible(model.run.id, 60)} · the tree is where the run was last shown"
    )


def counts(tally: Tally) -> str:
    """`7 tasks: 5 completed, 2 failed · 4 replayed`."""
    if not tally.tasks:
        return plural(tally.states[State.LOG], "log line") if tally else "no tasks"
    return f"{plural(tally.tasks, 'task')}: {by_state(tally)}"


def by_state(tally: Tally) -> str:
    """`5 completed, 2 failed · 4 replayed`."""
    words = ", ".join(f"{count:,} {state}" for state, count in tally.items() if state is not State.LOG)
    if tally.replayed:
        words += f" · {tally.replayed:,} replayed"
    if tally.states[State.LOG] > 0:
        words += (" · " if words else "") + plural(tally.states[State.LOG], "log line")
    return words


def marks(row: Row, now: float | None) -> list[str]:
    """What is to be said of a row beside its name: attempt, countdown, why it ran, what changed.

    Without `now` the countdown is a date: nobody is counting.
    """
    said: list[str] = []
    if row.state is State.NOT_REACHED:
        return ["not reached"]
    if row.attempt > 1:
        said.append(f"attempt {row.attempt}")
    if row.next_at is not None:
        said.append(_countdown(row, row.next_at, now))
    if row.state in (State.CANCELED, State.UNFINISHED):
        said.append(row.state)
    if row.record is not None and row.record.forced and row.state is not State.LOG:
        said.append("runs again")
    if row.replayed or (row.reason not in (None, "new") and row.state is not State.LOG):
        said.append(str(row.reason) if row.reason != "changed" else "run again")
    if row.changed:
        said.append(f"changed: {row.changed}")
    if not row.stored:
        said.append("value not stored")
    return said


def _countdown(row: Row, then: float, now: float | None) -> str:
    if row.state is State.RETRYING:
        return f"next attempt {moment(then) if now is None else remaining(then - now)}"
    return f"until {moment(then)}" if now is None else remaining(then - now)


def progress_text(row: Row) -> str:
    """`3 of 10 · text`, while the task runs."""
    progress = row.progress
    if progress is None or row.state is not State.RUNNING:
        return ""
    done = f"{progress.done:,g}" + (f" of {progress.total:,g}" if progress.total else "")
    return " · ".join([done, *([visible(progress.text, 80)] if progress.text else [])])


def _title(model: RunModel) -> str:
    return f"{SYMBOLS[run_state(model.run)]} {visible(model.title, 80)}"


def _head(model: RunModel, width: int) -> Iterator[str]:
    run = model.run
    elapsed = [duration(model.elapsed)] if model.elapsed is not None else []
    yield fit(" · ".join([_title(model), visible(status_text(model.run), 60), *elapsed]), width)
    yield "  " + counts(model.tally)
    about = [visible(model.job_and_version, 80), visible(run.id, 80)]
    if run.is_test:
        about.append("test run")
    if model.store:
        about.append(visible(model.store, 200))
    yield "  " + " · ".join(part for part in about if part)
    for hint in model.hints():
        yield from textwrap.wrap(visible(hint, 1000), width, initial_indent="  ", subsequent_indent="    ")
    if not error_told(run.error, model.failures[:50]):
        yield from _error(error_line(run.error, 500), "  ", width)
    if output := value_text(run.form, run.output, run.redact, 300):
        yield fit("  → " + visible(output, 300), width)


def _rows(model: RunModel, scope: Row, shown: Shown, width: int, indent: str = "") -> Iterator[str]:
    rows, rest = shown.of(scope)
    for row in rows:
        last = row is rows[-1] and not rest
        yield _line(row, indent + ("└─ " if last else "├─ "), model, width)
        inner = indent + ("   " if last else "│  ")
        if row.error is not None and not error_told_below(row):
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


def error_told_below(row: Row) -> bool:
    """Whether the error is that of a failed subtask, which tells it already."""
    if not row.tally.states[State.FAILED]:
        return False
    return error_told(row.error, (child for child in row.children.values() if child.state is State.FAILED))


def error_told(error: dict[str, Any] | None, rows: Iterable[Row]) -> bool:
    """Whether there is nothing to tell of an error, or one of the rows tells it."""
    line = error_line(error)
    return not line or any(error_line(row.error) == line for row in rows)


def _error(text: str, indent: str, width: int) -> Iterator[str]:
    for line in text.splitlines()[:4]:
        yield fit(indent + visible(line, 500), width)


def _actions(model: RunModel) -> Iterator[str]:
    actions = model.actions()
    widest = max((len(action.code) for action in actions), default=0)
    for action in actions:
        yield f"  {visible(action.code, 200):<{widest}}  {action.label}"  # never cut: it is to be typed
