"""The bars in the static HTML of a run."""

from __future__ import annotations

from collections.abc import Iterable

from ..model.rows import Row, State
from ..model.run_model import RunModel
from . import icons
from .parts import Bar


def states(shares: Iterable[tuple[str, float]]) -> str:
    """The bar of the header: the name of each part, and its percent of the whole width."""
    drawn = "".join(f'<i class="tnb-b-{name}" style="width:{percent:.2f}%"></i>' for name, percent in shares)
    return f'<div class="tnb-bar">{drawn}</div>'


def span_of(model: RunModel) -> tuple[float, float] | None:
    """The time span of the tasks that ran in this pass, or of all tasks: its start and length."""
    rows = [row for row in model.root.standing() if row.state is not State.LOG]
    records = [row.record for row in rows if row.record is not None and row.record.started_at]
    if len(records) < 2:
        return None
    start = min(record.started_at for record in records)
    end = max(record.ended_at or record.started_at for record in records)
    # Where all bars are dust, they only tell that nothing took long.
    leaves = (row.duration(None) or 0.0 for row in rows if not row.children)
    is_seen = end - start >= _SHORTEST and max(leaves, default=0.0) >= _THINNEST * (end - start)
    return (start, end - start) if is_seen else None


_SHORTEST = 1.0  # seconds of a run
_THINNEST = 0.02  # of the width: three pixels of a bar in a wide notebook


def when(row: Row, took: float | None, start: float, length: float) -> str:
    """A bar that shows when the row ran; invisible where there are no styles."""
    if row.record is None or took is None:
        return ""
    left = min(99.0, max(0.0, 100 * (row.record.started_at - start) / length))
    width = min(100 - left, max(1.0, 100 * took / length))
    name = icons.state_name(row.state) if row.kind != "wait" else "waiting"
    return f'<span class="tnb-tl"><i class="tnb-b-{name}" style="left:{left:.1f}%;width:{width:.1f}%"></i></span>'


def progress(bar: Bar) -> str:
    """The progress bar of a row; "" if it is not known how much there is to do."""
    if bar.done is None:
        return ""
    bad = f'<i class="tnb-pb-bad" style="width:{100 * bar.failed:.1f}%"></i>' if bar.failed else ""
    return f'<span class="tnb-pb"><i style="width:{100 * bar.done:.1f}%"></i>{bad}</span>'


def share(filled: float) -> str:
    """A bar that is filled to a share from 0 to 1."""
    return f'<span class="tnb-pb"><i style="width:{100 * filled:.1f}%"></i></span>'
