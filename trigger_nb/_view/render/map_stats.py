"""The durations of a map's items as text, and equal errors of rows together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ..escape import visible
from ..model.alike import FIRST, Group
from ..model.map_stats import Rate, Spread
from ..model.rows import Row, State, Tally
from ..words import duration, plural

_BLOCKS = "▁▂▃▄▅▆▇█"


def shown(row: Row) -> tuple[Spread, Rate] | None:
    """The durations and the rate of the items of a map; None for other rows, and for few items."""
    if row.stats is None:
        return None
    records = (item.record for item in row.children.values())
    return row.stats.show(records, running=row.state is State.RUNNING)


def spread_of(row: Row) -> Spread | None:
    """The durations alone."""
    found = shown(row)
    return None if found is None else found[0]


def spread_text(row: Row) -> str:
    """How long the items took: `p50 41 ms · p95 60 ms · max 3.2 s`."""
    spread = spread_of(row)
    if spread is None:
        return ""
    return f"p50 {duration(spread.half)} · p95 {duration(spread.most)} · max {duration(spread.longest)}"


def spread_sentence(row: Row) -> str:
    """The same for the details, with the slowest item and the histogram."""
    spread = spread_of(row)
    if spread is None:
        return ""
    return (
        f"{spread_text(row)} ({slowest_name(row, spread)}) · "
        f"{duration(spread.low)} {blocks(spread.bars)} {duration(spread.high)}"
    )


def slowest_name(row: Row, spread: Spread) -> str:
    """The name of the item that took longest."""
    slowest = row.children.get(spread.slowest)
    return visible(slowest.name, 80) if slowest is not None else ""


def blocks(bars: Sequence[int]) -> str:
    """A histogram as text: `▁▃█▂`. What is not empty is at least the lowest block."""
    most = max(bars, default=0)
    return "".join("_" if not count else _BLOCKS[-(-count * len(_BLOCKS) // most) - 1] for count in bars)


@dataclass(frozen=True, slots=True)
class Alike:
    """Rows with equal errors, and how many there are in all."""

    group: Group
    rows: Sequence[Row]

    @property
    def line(self) -> str:
        """`12 items: ValueError: the text is empty`."""
        return f"{plural(self.group.count, 'item')}: {self.group.text}"

    @property
    def first(self) -> Sequence[Row]:
        """The rows to show at once."""
        return self.rows[:FIRST]

    @property
    def others(self) -> Sequence[Row]:
        """The rows to unfold."""
        return self.rows[FIRST:]

    @property
    def omitted(self) -> int:
        """How many rows are not among these."""
        return self.group.count - len(self.rows)


def together(scope: Row, rows: Sequence[Row]) -> Iterator[Alike | Row]:
    """The rows of a map with equal errors together, at the place of the first of them; all other rows alone."""
    if scope.stats is None:
        yield from rows
        return
    groups = [scope.stats.errors.group(row.path) for row in rows]
    members: dict[int, list[Row]] = {}
    for row, group in zip(rows, groups, strict=True):
        if group is not None:
            members.setdefault(group.number, []).append(row)
    for row, group in zip(rows, groups, strict=True):
        if group is None:
            yield row
        elif alike := members.pop(group.number, None):
            yield Alike(group, alike)


def without_groups(rest: Tally, groups: Iterable[Alike]) -> Tally:
    """The counts of the rows that are not listed, without those that a group of equal errors counts already."""
    omitted = sum(group.omitted for group in groups)
    if omitted:
        rest = rest.without(())
        rest.add(State.FAILED, replayed=False, times=-min(omitted, rest.states[State.FAILED]))
    return rest
