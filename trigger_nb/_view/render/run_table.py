"""A list of runs, newest first, as HTML and as text."""

from __future__ import annotations

from collections.abc import Sequence

from ..._records.records import RunRecord
from ..._records.status import RunStatus
from ..escape import markup, visible
from ..model.rows import SYMBOLS
from ..model.run_status import run_seconds, run_state, status_text
from ..words import duration, minute, plural, utc
from . import icons, tables
from .html import shape

_TITLES = ("", "Job", "Payload", "Status", "Started", "Duration", "Tasks", "Run")
_NO_RUNS = "no runs"
_WORDS = {"ERRORED": "failed", "INTERRUPTED": "unfinished"}  # the same words as in the tree


def as_html(runs: Sequence[RunRecord], now: float) -> str:
    """The runs as an HTML table."""
    if not runs:
        return tables.block(tables.note(_NO_RUNS))
    titles = (f"<th{_align(title)}>{title}</th>" for title in _TITLES)
    rows = tables.table((_row(run, now) for run in runs), titles)
    notes = [f"As of {utc(now)}", *_left(runs, now)]
    return tables.block(rows, *map(tables.note, notes), style=icons.css({run_state(run) for run in runs}))


def as_text(runs: Sequence[RunRecord], now: float, *, width: int = 120) -> str:
    """The runs as aligned columns; the payload is cut if the lines would be longer than `width`."""
    if not runs:
        return _NO_RUNS
    rows = [list(_TITLES), *([SYMBOLS[run_state(run)], *_cells(run, now)] for run in runs)]
    widths = tables.widths_of(rows)
    spare = width - sum(widths) - 2 * (len(widths) - 1)
    widths[2] = max(min(widths[2], 7), widths[2] + min(0, spare))
    return "\n".join([*tables.aligned(rows, widths), *_left(runs, now)])


def as_wire(run: RunRecord, now: float) -> dict[str, object]:
    """A run as the fields that the live list shows, which writes its start as the reader's time.

    The list counts on by itself: while the run lasts, `since` is the instant at which its duration would be zero.
    """
    job, payload, status, _, took, counts, run_id = _cells(run, now)
    fields: dict[str, object] = {"id": run_id, "state": str(run_state(run)), "at": run.started_at}
    fields |= {"job": job, "payload": payload, "status": status, "duration": took, "counts": counts}
    if _lasts(run) and (lasted := run_seconds(run, now)) is not None:
        fields |= {"duration": "", "since": round(now - lasted, 2)}
    return fields


def _lasts(run: RunRecord) -> bool:
    """Whether the duration of a run increases with time."""
    return run.status in (RunStatus.RUNNING, RunStatus.WAITING) and run.reason != "paused"


def _cells(run: RunRecord, now: float) -> list[str]:
    started = run.started_at
    lasted = run_seconds(run, now if _lasts(run) else None)
    took = "" if lasted is None else duration(lasted)
    return [
        visible(f"{run.name or run.job} {run.version if run.version != '0' else ''}".strip(), 60),
        visible(run.payload_preview, 80),
        visible(status_text(run) + (" test" if run.is_test else "") + _waits(run, now), 80),
        minute(started) if started is not None else "",
        took,
        _counts(run),
        visible(run.id, 60),
    ]


def _waits(run: RunRecord, now: float) -> str:
    """What a run waits for, if nothing happens by itself: an answer, or a kernel."""
    asks = f" · {plural(run.asks, 'question')}" if run.asks else ""
    if run.is_left and run.wake_at is not None and run.wake_at <= now:
        return f"{asks} · due since {minute(run.wake_at)}"
    return asks


def _left(runs: Sequence[RunRecord], now: float) -> list[str]:
    """What to type for runs in which something is due."""
    due = [run for run in runs if run.is_left and run.wake_at is not None and run.wake_at <= now]
    if not due:
        return []
    more = f" and {len(due) - 1:,} more" if len(due) > 1 else ""
    return [f"Due, and driven by no kernel: client.run({due[0].id!r}).resume(){more}"]


def _counts(run: RunRecord) -> str:
    """The task counts of a run: `12 tasks, 1 failed`. Completed tasks are only part of the total."""
    counts = {_WORDS.get(status, status.lower()): count for status, count in run.counts.items()}
    total = plural(sum(counts.values()), "task") if counts else ""
    others = [
        f"{count:,} {visible(status, 20)}"
        for status, count in counts.items()
        if count and status != "completed"
    ]
    return ", ".join([total, *others]) if total else ""


def _row(run: RunRecord, now: float) -> str:
    state = run_state(run)
    job, payload, status, started, took, counts, run_id = _cells(run, now)
    return (
        f"<tr><td>{shape(state)}</td><td><b>{markup(job)}</b></td>"
        f'<td class="tnb-q">{f"<code>{markup(payload)}</code>" if payload else ""}</td>'
        f'<td><span class="tnb-w-{icons.state_name(state)}">{markup(status)}</span></td>'
        f'<td>{markup(started)}</td><td class="tnb-j">{markup(took)}</td>'
        f"<td>{markup(counts)}</td><td><code>{markup(run_id)}</code></td></tr>"
    )


def _align(title: str) -> str:
    return ' class="tnb-j"' if title == "Duration" else ""
