"""A list of runs, newest first, as HTML and as text."""

from __future__ import annotations

from collections.abc import Sequence

from .._records import RunRecord, RunStatus
from . import icons
from .escape import columns, fit, markup, visible
from .html import shape, stylesheet
from .model import run_seconds, run_state, status_text
from .rows import SYMBOLS
from .words import duration, minute, plural

_TITLES = ("", "Job", "Payload", "Status", "Started", "Duration", "Tasks", "Run")
_NO_RUNS = "no runs"
_WORDS = {"ERRORED": "failed", "INTERRUPTED": "unfinished"}  # as in the tree


def as_html(runs: Sequence[RunRecord], now: float) -> str:
    """A table that reads well without its styles, too."""
    if not runs:
        return f'<div class="tnb"><style>{stylesheet()}</style><div class="tnb-a">{_NO_RUNS}</div></div>'
    head = "".join(f"<th{_align(at)}>{title}</th>" for at, title in enumerate(_TITLES))
    body = "".join(_row(run, now) for run in runs)
    style = stylesheet() + icons.css({run_state(run) for run in runs})
    return (
        f'<div class="tnb"><style>{style}</style><div class="tnb-wide">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div></div>"
    )


def as_text(runs: Sequence[RunRecord], now: float, *, width: int = 120) -> str:
    """Aligned columns; the payload is cut where the width does not suffice."""
    if not runs:
        return _NO_RUNS
    table = [list(_TITLES), *([SYMBOLS[run_state(run)], *_cells(run, now)] for run in runs)]
    widths = [max(columns(line[at]) for line in table) for at in range(len(_TITLES))]
    spare = width - sum(widths) - 2 * (len(widths) - 1)
    widths[2] = max(min(widths[2], 7), widths[2] + min(0, spare))
    return "\n".join(
        "  ".join(_padded(cell, w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in table
    )


def as_wire(run: RunRecord, now: float) -> dict[str, str]:
    """A run as the live list takes it."""
    names = ("job", "payload", "status", "started", "duration", "counts")
    return {"id": run.id, "state": str(run_state(run)), **dict(zip(names, _cells(run, now), strict=False))}


def _cells(run: RunRecord, now: float) -> list[str]:
    started = run.started_at
    goes_on = run.status in (RunStatus.RUNNING, RunStatus.WAITING) and run.reason != "paused"
    lasted = run_seconds(run, now if goes_on else None)
    took = "" if lasted is None else duration(lasted)
    return [
        visible(f"{run.name or run.job} {run.version if run.version != '0' else ''}".strip(), 60),
        visible(run.payload_preview, 80),
        visible(status_text(run) + (" test" if run.is_test else ""), 40),
        minute(started) if started is not None else "",
        took,
        _counts(run),
        visible(run.id, 60),
    ]


def _counts(run: RunRecord) -> str:
    """`12 tasks, 1 failed`: what went well needs no word."""
    counts = {_WORDS.get(status, status.lower()): count for status, count in run.counts.items()}
    total = plural(sum(counts.values()), "task") if counts else ""
    odd = [
        f"{count:,} {visible(status, 20)}"
        for status, count in counts.items()
        if count and status != "completed"
    ]
    return ", ".join([total, *odd]) if total else ""


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


def _align(at: int) -> str:
    return ' class="tnb-j"' if _TITLES[at] == "Duration" else ""


def _padded(text: str, width: int) -> str:
    text = fit(text, width)
    return text + " " * (width - columns(text))
