"""The data that is sent to the live widget: compact JSON, of which only changes are sent.

`frontend/rows.js` and `frontend/store.js` are the front end's side and explain all fields.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..._records.records import is_queued
from ..escape import visible, visible_block
from ..model.hints import hints
from ..model.readable import error_line, value_text
from ..model.rows import ACTIVE, FOLDED, LISTED, Row, State
from ..model.run_model import RunModel
from ..model.run_status import job_and_version, run_state, run_title, status_text
from ..model.statuses import StatusLine
from ..render import details, icons
from ..render.text import error_shown, error_shown_below, standing_marks
from ..words import moment

Wire: TypeAlias = dict[str, Any]
"""A message to the widget, or a part of one."""
# The fields of a row: the short name that is sent, then the name in the front end (`rows.js` explains the
# fields) and the default value, which is not sent.
FIELDS: dict[str, tuple[str, object]] = {
    "n": ("name", ""),
    "k": ("key", ""),
    "s": ("state", str(State.COMPLETED)),
    "o": ("order", None),
    "t": ("start", None),
    "d": ("duration", None),
    "w": ("until", None),
    "a": ("attempt", 1),
    "m": ("marks", []),
    "h": ("hot", False),
    "r": ("replayed", False),
    "g": ("icon", ""),
    "P": ("properties", []),
    "b": ("progress", None),
    "e": ("error", ""),
    "q": ("quiet", False),
    "l": ("level", ""),
    "z": ("kind", "task"),
    "f": ("rest", {}),
}
DEFAULTS: Wire = {"p": -1, **{short: default for short, (_, default) in FIELDS.items()}}
RUNS_PER_PAGE = 50  # in the live list of runs
# The constants that the front end shares with this package: `SHARED` in its files.
SHARED: Wire = {
    "states": [str(state) for state in State],
    "active": [str(state) for state in State if state in ACTIVE],
    "folded": [str(state) for state in State if state in FOLDED],
    "listed": LISTED,
    "fields": FIELDS,
    "runsPerPage": RUNS_PER_PAGE,
}


@dataclass(frozen=True, slots=True)
class Button:
    """An action that the user can take. `why` is the reason why it is not possible now, or ""."""

    op: str
    label: str
    why: str = ""
    main: bool = False  # whether this is the most likely action

    def wire(self) -> Wire:
        """The button as JSON."""
        return {"op": self.op, "label": self.label, "why": self.why, "main": self.main}


def row(row: Row, base: float) -> Wire:
    """The fields of a row that differ from their default, without the index of the row and of its parent.

    Times are seconds since `base`.
    """
    record, state = row.record, row.state
    fields: Wire = {"n": visible(row.name, 160)}
    if state is not State.COMPLETED:
        fields["s"] = str(state)
    if row.order != float("inf"):
        fields["o"] = int(row.order)
    if record is not None:
        if record.started_at:
            fields["t"] = round(record.started_at - base, 3)
        if record.kind != "task":
            fields["z"] = record.kind
        if record.icon:
            fields["g"] = icons.known(record.icon) or list(icons.badge(record.icon))
        if record.properties or record.output_properties:
            fields["P"] = [details.property_json(each) for each in details.judged(row, 6)]
        if record.attempt > 1:
            fields["a"] = record.attempt
        if record.level not in ("", "info", "log"):
            fields["l"] = visible(record.level, 20)
        if record.display_key or state is not State.LOG:
            key = row.key
            if key and key != row.name:
                fields["k"] = visible(key, 100)
    if (took := row.duration(None)) is not None:
        fields["d"] = round(took, 3)
    if (then := row.next_at) is not None:
        fields["w"] = round(then - base, 3)
    if (marks := standing_marks(row)) and state is not State.NOT_REACHED:
        fields["m"] = [visible(mark, 120) for mark in marks]
        if row.changed or not row.stored:
            fields["h"] = True
    if row.replayed:
        fields["r"] = True
    if state is State.RUNNING and (progress := row.progressed) is not None:
        text = visible(progress.text, 80) if progress.text else ""
        fields["b"] = [_number(progress.done) or 0, _number(progress.total), text]
        if record is not None and record.kind == "map":
            rate = None if progress.rate is None else float(f"{progress.rate:.3g}")
            ends = None if progress.ends_at is None else round(progress.ends_at - base, 1)
            fields["b"] += [progress.failed, rate, ends]
    if row.error is not None and state is not State.NOT_REACHED and not error_shown_below(row):
        fields["e"] = visible(error_line(row.error), 240)
    if row.minimal or state is State.LOG:
        fields["q"] = True
    return fields


def _number(value: Any) -> float | None:
    """The value as a finite number, which JSON can hold; None if it is not a number."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def changes(before: Wire, after: Wire) -> Wire:
    """The fields to send so that `before` becomes `after`; removed fields get their default value."""
    changed = {name: value for name, value in after.items() if name not in before or before[name] != value}
    for name in before:
        if name not in after:
            changed[name] = DEFAULTS[name]
    return changed


_CODES = {state: code for code, state in enumerate(State)}


def packed(rows: Iterable[Wire]) -> list[list[object]]:
    """The rows in groups with the same fields: a list of the names, then a list of values for each row.

    A state becomes its place in `State`. Changes the given rows.
    """
    groups: list[list[object]] = []
    names: list[str] = []
    for fields in rows:
        if names != (names := list(fields)) or not groups:
            groups.append([names])
        if "s" in fields:
            fields["s"] = _CODES[fields["s"]]
        groups[-1].append(list(fields.values()))
    return groups


def header(model: RunModel, base: float, buttons: Iterable[Button], row_buttons: Iterable[Button]) -> Wire:
    """The run itself, without its clock."""
    run = model.run
    is_shown = error_shown(run.error, model.failures[:50])
    lines, more = model.statuses()
    return {
        "title": visible(run_title(run), 120),
        "job": visible(job_and_version(run), 120),
        "id": visible(run.id, 80),
        "status": visible(status_text(run), 60),
        "state": str(run_state(run)),
        "test": bool(run.is_test),
        "base": base,
        "started": run.started_at,
        "began": visible(moment(run.started_at), 60) if run.started_at else "",
        "ends": None if (ends_at := model.ends_at) is None else round(ends_at),
        "statuses": [status(line) for line in lines],
        "more_statuses": more,
        "ended": model.ended,
        "tally": {**dict(model.tally.items()), "replayed": model.tally.replayed} | _to_come(model),
        "store": visible(model.store, 300),
        "hints": [visible(hint, 1000) for hint in hints(model, counting=False)],
        "error": None if is_shown or run.error is None else details.error_json(details.error_data(run.error)),
        "output": visible_block(value_text(run.form, run.output, run.redact, 1000), 2000),
        "actions": [button.wire() for button in buttons],
        "row_actions": {button.op: button.wire() for button in row_buttons},
    }


def status(line: StatusLine) -> Wire:
    """A status of the run as JSON."""
    return {
        "state": str(line.state),
        "label": line.label,
        "share": None if line.share is None else round(line.share, 3),
        "percent": line.percent,
        "text": line.text,
    }


def _to_come(model: RunModel) -> Wire:
    """The number of map items that have no row yet."""
    maps = (row for row in model.active.values() if row.unfolded is not None)
    totals = [(row, row.progress.total) for row in maps if row.progress is not None]
    count = sum(max(0, int(total) - row.tally.tasks) for row, total in totals if total is not None)
    return {"to come": count} if count else {}


def clock(model: RunModel) -> Wire:
    """The run's duration at a point in time, and whether it is still increasing."""
    elapsed = model.elapsed
    return {
        "elapsed": None if elapsed is None else round(elapsed, 3),
        "at": round(model.now, 3),
        "ticking": not (model.at_rest or is_queued(model.run)),
    }
