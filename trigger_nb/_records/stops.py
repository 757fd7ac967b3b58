"""Maps that have stopped after their first items (`io.map(..., first=20)`): what their records say, and for how long.

The tally of such a map's record has "stopped after", the number of items; and "goes on" once a person has said so, which holds
for the run: also in a new kernel, and until the map is forgotten.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .records import RunRecord, TaskRecord

_AFTER, _LEFT, _TAKES, _GOES_ON = "stopped after", "left", "takes", "goes on"
_HINT = "Stopped after the first "  # how the hint in the run's header begins


def stopped(taken: int, total: int | None, failed: int, milliseconds: int | None) -> dict[str, int]:
    """The tally of a map that has stopped after `taken` items. `milliseconds`: what the others probably take."""
    tally = {"items": taken if total is None else total, "failed": failed, _AFTER: taken}
    if total is not None:
        tally[_LEFT] = total - taken
    if milliseconds is not None:
        tally[_TAKES] = milliseconds
    return tally


def going_on(tally: Mapping[str, int] | None = None) -> dict[str, int]:
    """The tally of a map that goes on after its first items."""
    return {**(tally or {}), _GOES_ON: 1}


def goes_on(record: TaskRecord | None) -> bool:
    """Whether a person has said that the map goes on."""
    return record is not None and _GOES_ON in record.tally


def has_passed(record: TaskRecord | None, first: int) -> bool:
    """Whether the map came to more items than the first ones in an earlier pass, without a stop: nobody was there."""
    if record is None or _AFTER in record.tally:
        return False
    return record.tally.get("items", 0) - record.tally.get("not started", 0) > first


def stopped_after(record: TaskRecord | None) -> int:
    """The number of items after which the map has stopped; 0 if it has not."""
    return record.tally.get(_AFTER, 0) if record is not None else 0


def left(tally: Mapping[str, int]) -> tuple[int | None, float | None]:
    """The number of the other items, and the seconds that they probably take; None if not known."""
    takes = tally.get(_TAKES)
    return tally.get(_LEFT), None if takes is None else takes / 1000


def hint(name: str, tally: Mapping[str, int]) -> str:
    """The hint in the header of the run. `name` is that of the map."""
    count, failed = tally[_AFTER], tally["failed"]
    of = f" of {tally['items']:,}" if _LEFT in tally else ""
    said = f", {failed:,} of which failed" if failed else ""
    return f"{_HINT}{count:,}{of} items of map {name!r}{said}. `run.resume()` goes on with the others."


def is_at_stop(run: RunRecord) -> bool:
    """Whether the run is paused because a map has stopped after its first items."""
    return run.reason == "paused" and any(each.startswith(_HINT) for each in run.hints)
