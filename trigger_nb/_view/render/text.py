"""A run as plain text, for `print(run.tree())`, terminals, logs and `text/plain` outputs."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from ..escape import columns, fit, visible
from ..model.displays import of_result
from ..model.excerpt import Shown, latest, outline
from ..model.hints import actions, hints
from ..model.readable import error_line, value_text
from ..model.rows import SYMBOLS, Property, Row, State
from ..model.run_model import RunModel
from ..model.run_status import job_and_version, run_state, run_title, status_text
from ..pretty import on_one_line
from ..words import probably_left
from .displays import table_text
from .map_stats import Alike, together, without_groups
from .parts import (
    PROPERTIES,
    Parts,
    by_state,
    counts,
    error_shown_below,
    foreseen,
    lasted,
    lasting,
    own_error,
    parts_of,
    stands_for,
)


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


def _title(model: RunModel) -> str:
    return f"{SYMBOLS[run_state(model.run)]} {visible(run_title(model.run), 80)}"


def _head(model: RunModel, width: int) -> Iterator[str]:
    run = model.run
    times = [lasting(model.elapsed, still=model.is_ticking)] if model.elapsed is not None else []
    if (ends_at := model.ends_at) is not None:
        times.append(probably_left(ends_at - model.now))
    yield fit(" · ".join([_title(model), visible(status_text(model.run), 60), *times]), width)
    yield "  " + " · ".join(part for part in (counts(model.tally), stands_for(model)) if part)
    about = [visible(job_and_version(model.run), 80), visible(run.id, 80)]
    if run.is_test:
        about.append("test run")
    if model.store:
        about.append(visible(model.store, 200))
    yield "  " + " · ".join(part for part in about if part)
    yield from _statuses(model, width)
    for hint in hints(model):
        yield from textwrap.wrap(visible(hint, 1000), width, initial_indent="  ", subsequent_indent="    ")
    if (error := own_error(model)) is not None:
        yield from _error(error_line(error, 500), "  ", width)
    if output := value_text(run.form, run.output, run.redact, 300):
        yield fit(
            "  → " + visible(output if isinstance(run.output, str) else on_one_line(output), 300), width
        )
    for display in of_result(run, None, 0):
        if display.table is not None and run.shown:
            yield from (f"    {line}" for line in table_text(display.table, width - 4, _HEAD))


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
_HEAD = 5  # rows of a table that a run returned


def _rows(model: RunModel, scope: Row, shown: Shown, width: int, indent: str = "") -> Iterator[str]:
    rows, rest = shown.of(scope)
    lines = [*together(scope, rows)]
    rest = without_groups(rest, (line for line in lines if isinstance(line, Alike)))
    for row in lines:
        last = row is lines[-1] and not rest
        here, inner = indent + ("└─ " if last else "├─ "), indent + ("   " if last else "│  ")
        if isinstance(row, Alike):
            yield from _alike(row, model, width, here, inner)
            continue
        yield _line(row, here, model, width)
        if row.error is not None and not error_shown_below(row):
            yield from _error(error_line(row.error, 500), inner + ("│ " if row.children else "  "), width)
        yield from _rows(model, row, shown, width, inner)
    if rest:
        omitted = f"{rest.rows:,} {'more' if rows else 'in all'}: "
        yield fit(f"{indent}└─ … {omitted}{by_state(rest)}", width)


def _alike(alike: Alike, model: RunModel, width: int, here: str, inner: str) -> Iterator[str]:
    """Equal errors, and the first rows that have them."""
    yield fit(f"{here}{SYMBOLS[State.FAILED]} {alike.line}", width)
    left = alike.group.count - len(alike.first)
    for row in alike.first:
        yield _line(row, inner + ("└─ " if row is alike.first[-1] and not left else "├─ "), model, width)
    if left:
        yield f"{inner}└─ … {left:,} more with this error"


def _line(row: Row, indent: str, model: RunModel, width: int) -> str:
    parts, now = parts_of(row), model.ticking
    left = " ".join(part for part in (SYMBOLS[row.state], parts.name, parts.key and f"[{parts.key}]") if part)
    marks = [*parts.marks, *parts.hot]
    if row.state is State.LOG and marks:
        left, marks = f"{SYMBOLS[row.state]} {marks[0]}: {parts.name}", marks[1:]
    bar = [] if parts.bar is None else [_failed(parts), foreseen(parts.bar, now)]
    properties = [*row.properties, *row.output_properties][:PROPERTIES]
    notes = [
        *marks,
        parts.countdown(row.state, model.now, still=now is not None),
        *bar,
        *map(_property, properties),
    ]
    left = indent + " · ".join(part for part in (left, *notes) if part)
    right = lasted(row, now)
    left = fit(left, width - len(right) - 2)
    return f"{left}{' ' * (width - len(right) - columns(left))}{right}" if right else left


def _failed(parts: Parts) -> str:
    """The failed tasks inside a row that is under way: in text, all other tasks inside are lines or are counted."""
    failed = dict(parts.counts).get(State.FAILED, 0)
    return f"{failed:,} failed" if failed else ""


def _property(given: Property) -> str:
    return f"{visible(given.label, 40)}: {visible(given.text, 80)}"


def _error(text: str, indent: str, width: int) -> Iterator[str]:
    for line in text.splitlines()[:4]:
        yield fit(indent + visible(line, 500), width)


def _actions(model: RunModel) -> Iterator[str]:
    offered = actions(model)
    widest = max((len(action.code) for action in offered), default=0)
    for action in offered:
        yield f"  {visible(action.code, 200):<{widest}}  {action.label}"  # never cut, because the user types the code
