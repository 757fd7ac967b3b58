"""The bars in the static HTML of a run."""

from __future__ import annotations

from ..model.rows import Row, State, Tally
from ..model.run_model import RunModel
from . import icons


def states(tally: Tally) -> str:
    """The bar of the header, which shows the states of all tasks."""
    total = tally.tasks
    if not total:
        return '<div class="tnb-bar"></div>'
    replayed = min(tally.replayed, tally.states[State.COMPLETED])
    parts = [(icons.state_name(state), count) for state, count in tally.items() if state is not State.LOG]
    parts = [(name, count - replayed if name == State.COMPLETED else count) for name, count in parts]
    parts.insert(0, ("replayed", replayed))
    shares = "".join(
        f'<i class="tnb-b-{name}" style="width:{100 * count / total:.2f}%"></i>'
        for name, count in parts
        if count > 0
        if name not in ("pending", "not-reached")
    )
    return f'<div class="tnb-bar">{shares}</div>'


def span_of(model: RunModel) -> tuple[float, float] | None:
    """The time span of the tasks that ran in this pass, or of all tasks: its start and length."""
    rows = [row for row in model.root.standing() if row.state is not State.LOG]
    records = [row.record for row in rows if row.record is not None and row.record.started_at]
    if len(records) < 2:
        return None
    start = min(record.started_at for record in records)
    end = max(record.ended_at or record.started_at for record in records)
    return (start, end - start) if end > start else None


def when(row: Row, took: float | None, start: float, length: float) -> str:
    """A bar that shows when the row ran; invisible where there are no styles."""
    if row.record is None or took is None:
        return ""
    left = min(99.0, max(0.0, 100 * (row.record.started_at - start) / length))
    width = min(100 - left, max(1.0, 100 * took / length))
    name = icons.state_name(row.state) if row.kind != "wait" else "waiting"
    return f'<span class="tnb-tl"><i class="tnb-b-{name}" style="left:{left:.1f}%;width:{width:.1f}%"></i></span>'


def progress(row: Row) -> str:
    """The progress bar of a row."""
    at = row.progressed
    if at is None or not at.total or not at.total > 0:
        return ""
    parts = (at.done - at.failed, at.failed)
    done, failed = (100 * min(1.0, max(0.0, part / at.total)) for part in parts)
    bad = f'<i class="tnb-pb-bad" style="width:{failed:.1f}%"></i>' if failed else ""
    return f'<span class="tnb-pb"><i style="width:{done:.1f}%"></i>{bad}</span>'


def share(filled: float) -> str:
    """A bar that is filled to a share from 0 to 1."""
    return f'<span class="tnb-pb"><i style="width:{100 * filled:.1f}%"></i></span>'
