"""What the live widget gets of a map beside its items: durations, rate, and groups of equal errors.

`frontend/mapstats.js` and `frontend/items.js` explain the fields.
"""

from __future__ import annotations

from typing import Any

from ..model.rows import Row, State
from ..render.map_stats import shown, slowest_name


def of_map(row: Row, base: float) -> dict[str, Any]:
    """The fields of a map, as far as there is anything to say."""
    fields: dict[str, Any] = {}
    if row.stats is None:
        return fields
    if (found := shown(row)) is not None:
        spread, rate = found
        times = [spread.low, spread.high, spread.half, spread.most, spread.longest]
        rounded = [float(f"{seconds:.3g}") for seconds in times]
        fields["v"] = [spread.bars, *rounded, slowest_name(row, spread)]
        fields["u"] = [rate.slice, round(rate.end - base, 3), rate.ended]
    if groups := row.stats.errors.groups():
        fields["E"] = [[group.number, group.count, group.text] for group in groups]
    return fields


def of_item(row: Row) -> dict[str, Any]:
    """The number of the group of equal errors that a failed item is in."""
    if row.state is not State.FAILED or row.parent is None or row.parent.stats is None:
        return {}
    number = row.parent.stats.errors.number(row.path)
    return {} if number is None else {"x": number}
