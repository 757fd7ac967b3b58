"""The data that is sent to the live widget: compact JSON, of which only changes are sent.

`frontend/rows.js` and `frontend/store.js` are the front end's side and explain all fields.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..escape import visible, visible_block
from ..model.alike import FIRST
from ..model.hints import hints, waiting, without_kernel
from ..model.readable import value_text
from ..model.rows import LISTED, Row
from ..model.run_model import RunModel
from ..model.run_status import job_and_version, run_state, run_title, status_text
from ..model.states import ACTIVE, FOLDED, REUSED, State
from ..model.statuses import StatusLine
from ..render import details, icons
from ..render.parts import (
    COUNTDOWNS,
    OVERDUE,
    OVERDUES,
    PARTS,
    PROPERTIES,
    STANDS_AFTER,
    Bar,
    counted,
    may_stand,
    own_error,
    parts_of,
    shares,
    standing,
    total,
)
from . import map_wire

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
    "h": ("hot", []),
    "r": ("replayed", False),
    "R": ("reused", False),
    "g": ("icon", ""),
    "P": ("properties", []),
    "b": ("progress", None),
    "e": ("error", ""),
    "q": ("quiet", False),
    "z": ("kind", "task"),
    "c": ("counts", True),
    "F": ("large", False),
    "f": ("rest", {}),
    "v": ("spread", None),
    "u": ("ended", None),
    "E": ("errors", []),
    "x": ("alike", None),
    "Q": ("asks", ""),
}
DEFAULTS: Wire = {"p": -1, **{short: default for short, (_, default) in FIELDS.items()}}
RUNS_PER_PAGE = 50  # in the live list of runs
# The constants that the front end shares with this package: `SHARED` in its files.
SHARED: Wire = {
    "states": [str(state) for state in State],
    "active": [str(state) for state in State if state in ACTIVE],
    "folded": [str(state) for state in State if state in FOLDED],
    "listed": LISTED,
    "alike": FIRST,
    "fields": FIELDS,
    "parts": PARTS,
    "countdowns": {str(state): words for state, words in COUNTDOWNS.items()},
    "overdues": {str(state): words for state, words in OVERDUES.items()},
    "overdue": OVERDUE,
    "standsAfter": STANDS_AFTER,
    "runsPerPage": RUNS_PER_PAGE,
}

# What a page does for a run beside showing it: whether the browser tells its end, and the title of the tab its progress;
# why no run can be started with another payload, "" if one can, None for no button; and the runs that were started so,
# each with the id of its widget.
PAGE: Wire = {"notifies": False, "titled": False, "run_with": None, "others": []}


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
    parts = parts_of(row)
    fields: Wire = {"n": parts.name}
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
            fields["P"] = [details.property_json(each) for each in details.judged(row, PROPERTIES)]
        if record.attempt > 1:
            fields["a"] = record.attempt
    if parts.key:
        fields["k"] = parts.key
    if not row.counts:
        fields["c"] = False
    if (took := row.duration(None)) is not None:
        fields["d"] = round(took, 3)
    if parts.until is not None:
        fields["w"] = round(parts.until - base, 3)
    if parts.marks:
        fields["m"] = parts.marks
    if parts.hot:
        fields["h"] = parts.hot
    if row.replayed:
        fields["r"] = True
        if row.replayed == REUSED:
            fields["R"] = True
    if parts.bar is not None:
        fields["b"] = _bar(parts.bar, base)
    if row.folds:
        fields["F"] = True
    if parts.asks:
        fields["Q"] = parts.asks
    if parts.error:
        fields["e"] = parts.error
    if row.minimal or state is State.LOG:
        fields["q"] = True
    fields |= map_wire.of_map(row, base) or map_wire.of_item(row)
    return fields


def _bar(bar: Bar, base: float) -> list[object]:
    done = None if bar.done is None else round(bar.done, 4)
    ends = [] if bar.ends_at is None else [round(bar.ends_at - base, 1)]
    return [done, round(bar.failed, 4), bar.text, *ends]


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


def header(
    model: RunModel,
    base: float,
    buttons: Iterable[Button],
    row_buttons: Iterable[Button],
    *,
    in_page: bool = True,
) -> Wire:
    """The run itself, without its clock. What is not only for a page, but may be saved, has no absolute path."""
    run = model.run
    lines, more = model.statuses()
    error, stands = own_error(model), standing(model)
    return {
        "title": visible(run_title(run), 120),
        "job": visible(job_and_version(run), 120),
        "id": visible(run.id, 80),
        "status": visible(status_text(run), 60),
        "state": str(run_state(run)),
        "test": bool(run.is_test),
        "base": base,
        "started": run.started_at,
        "ends": None if (ends_at := model.ends_at) is None else round(ends_at),
        "statuses": [status(line) for line in lines],
        "more_statuses": more,
        "rows": model.rows_before,
        "ended": model.ended,
        "total": total(model.tally),
        "chips": [[name, f"{count:,}", word] for name, count, word in counted(model.tally)],
        "bar": shares(model),
        "standing": stands and [stands[0], round(stands[1], 3)],
        "look": may_stand(model),
        "waits": waiting(model),
        "store": visible(model.store, 300),
        "store_at": visible(model.store_at, 1000) if in_page else "",
        "hints": [visible(hint, 1000) for hint in hints(model, counting=False)],
        "again": visible(without_kernel(run), 1000),
        "error": None if error is None else details.error_json(details.error_data(error)),
        "output": visible_block(value_text(run.form, run.output, run.redact, 1000), 2000),
        "displays": details.displays_json(model),
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


def clock(model: RunModel) -> Wire:
    """The run's duration at a point in time, and whether it is still increasing."""
    elapsed = model.elapsed
    return {
        "elapsed": None if elapsed is None else round(elapsed, 3),
        "at": round(model.now, 3),
        "ticking": model.is_ticking,
    }
