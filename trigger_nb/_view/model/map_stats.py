"""How long the items of a map take, how many of them end in a time, and which errors they end in.

Kept item by item, in memory that does not grow with the number of items (but for failed ones, by a path each).
All of it comes from the records, so a resumed run shows the items of earlier passes too: a replayed item counts
with the time that it took when it ran.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ..._records.records import TaskRecord
from ..._records.status import TaskStatus
from .alike import Errors

FEW = 8  # with fewer items, durations and rate say nothing that the rows do not say
BARS = 14  # of the histogram, at most
SLICES = 40  # of the rate, at most
_STEP = math.log(1.1)  # between two lengths that are counted apart: what is told is at most 5 % off
_SHORTEST = 0.0005  # seconds
_SLICE, _LONGEST_SLICE = 1.0, 16.0  # seconds
_PAUSE = 1.0  # seconds of items between two histograms that are shown, while the map runs
_ENDED = frozenset({TaskStatus.COMPLETED, TaskStatus.ERRORED})


@dataclass(frozen=True, slots=True)
class Spread:
    """The durations of the items that have ended, in seconds."""

    items: int
    bars: list[int]  # number of items by duration, in equal steps of the logarithm ...
    low: float  # ... from this one ...
    high: float  # ... to this one
    half: float  # half of the items took at most this long, ...
    most: float  # ... and 95 % of them this long
    longest: float
    slowest: str  # path of the item that took longest


@dataclass(frozen=True, slots=True)
class Rate:
    """How many items ended in each slice of the last minutes."""

    slice: float  # length in seconds
    end: float  # of the last slice, in UTC seconds
    ended: list[int]


@dataclass(slots=True)
class MapStats:
    """The durations, the rate and the errors of one map."""

    durations: Counter[int] = field(default_factory=Counter[int])  # number of items by step
    ended: dict[int, int] = field(default_factory=dict[int, int])  # number of items by slice
    slice: float = _SLICE
    last_end: float = 0.0
    # The longest duration, and the path of its item. None if that item was forgotten: found again when it is shown.
    slowest: tuple[float, str] | None = (-1.0, "")
    errors: Errors = field(default_factory=Errors)  # of the items that have failed in this pass
    shown: tuple[float, Spread, Rate] | None = None  # what was shown last, and `last_end` then

    @classmethod
    def of(cls, records: Iterable[TaskRecord | None]) -> MapStats:
        """Of the items that have a record already."""
        stats = cls()
        for record in records:
            stats.replace(None, record)
        return stats

    def replace(self, before: TaskRecord | None, after: TaskRecord | None) -> None:
        """Take in the new record of an item."""
        if before is not None and (took := _took(before)) is not None:
            self._forget(before.path, took)
        if after is None or (took := _took(after)) is None:
            return
        self.durations[_step(took)] += 1
        if self.slowest is not None and took > self.slowest[0]:
            self.slowest = (took, after.path)
        self._note_end(after.ended_at or 0.0)

    def _forget(self, path: str, took: float) -> None:
        step = _step(took)
        self.durations[step] -= 1
        if not self.durations[step]:
            del self.durations[step]
        if self.slowest is not None and self.slowest[1] == path:
            self.slowest = None

    # --- rate -------------------------------------------------------------------------

    def _note_end(self, at: float) -> None:
        if not self.ended or at - self.last_end > SLICES * _LONGEST_SLICE:
            self.ended.clear()
            self.slice = _SLICE
        self.last_end = max(self.last_end, at)
        if self.last_end - at > (SLICES - 1) * _LONGEST_SLICE:
            return
        place = int(at // self.slice)
        if place in self.ended:
            self.ended[place] += 1
            return
        self.ended[place] = 1
        while max(self.ended) - min(self.ended) >= SLICES and self.slice < _LONGEST_SLICE:
            self._widen()
        newest = max(self.ended)
        self.ended = {place: count for place, count in self.ended.items() if place > newest - SLICES}

    def _widen(self) -> None:
        """Count in slices of twice the length."""
        self.slice *= 2
        before, self.ended = self.ended, {}
        for place, count in before.items():
            self.ended[place // 2] = self.ended.get(place // 2, 0) + count

    def rate(self) -> Rate:
        """The items that ended in each slice, up to the last one that is not empty."""
        newest, oldest = max(self.ended), min(self.ended)
        counts = [self.ended.get(place, 0) for place in range(oldest, newest + 1)]
        return Rate(self.slice, (newest + 1) * self.slice, counts)

    # --- durations --------------------------------------------------------------------

    def spread(self, records: Iterable[TaskRecord | None]) -> Spread:
        """The durations; `records` are those of the items, for when the slowest one was forgotten."""
        if self.slowest is None:
            took = ((seconds, each.path) for each in records if each if (seconds := _took(each)) is not None)
            self.slowest = max(took, default=(0.0, ""))
        first, last = min(self.durations), max(self.durations)
        wide = -(-(last - first + 1) // BARS)
        bars = [0] * -(-(last - first + 1) // wide)
        for step, count in self.durations.items():
            bars[(step - first) // wide] += count
        longest, slowest = self.slowest
        half, most = (min(longest, seconds) for seconds in self._quantiles(0.5, 0.95))
        low, high = _seconds(first), _seconds(first + wide * len(bars))
        return Spread(self.durations.total(), bars, low, high, half, most, longest, slowest)

    def _quantiles(self, *shares: float) -> Iterator[float]:
        total, passed = self.durations.total(), 0
        wanted = iter(shares)
        share = next(wanted, None)
        for step in sorted(self.durations):
            passed += self.durations[step]
            while share is not None and passed >= share * total:
                yield _seconds(step + 0.5)
                share = next(wanted, None)

    def show(self, records: Iterable[TaskRecord | None], *, running: bool) -> tuple[Spread, Rate] | None:
        """What to show; None if too few items have ended.

        While the map runs, it changes once a second: it is sent with a row that changes much more often.
        """
        if self.durations.total() < FEW or not self.ended:
            return None
        if self.shown is None or not running or abs(self.last_end - self.shown[0]) >= _PAUSE:
            self.shown = (self.last_end, self.spread(records), self.rate())
        return self.shown[1:]


def _took(record: TaskRecord) -> float | None:
    """How long an item took that has ended; None for others."""
    end, start = record.ended_at, record.started_at
    if end is None or not start or record.status not in _ENDED or record.reused_from:
        return None
    return max(0.0, end - start)


def _step(seconds: float) -> int:
    return math.floor(math.log(max(_SHORTEST, seconds)) / _STEP)


def _seconds(step: float) -> float:
    return math.exp(step * _STEP)
