"""`io.map(..., first=20)`: which items come first, and what is said when the map stops after them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from statistics import median
from typing import TYPE_CHECKING, TypeVar

from .._concurrency.limiter import to_rate
from .._records.stops import stopped

if TYPE_CHECKING:
    from .._tasks.pass_api import RecordsApi

T = TypeVar("T")


def chosen(most: int, begun: Sequence[bool]) -> set[int]:
    """The places of the items to begin with: of those that have begun before, and of as many others, spread over all of them,
    as are missing to `most`.

    >>> sorted(chosen(3, [False, False, False, True, False, False, False]))
    [0, 3, 4]
    """
    others = [at for at, is_begun in enumerate(begun) if not is_begun]
    missing = min(max(0, most - (len(begun) - len(others))), len(others))
    spread = {others[place * len(others) // missing] for place in range(missing)}
    return spread | {at for at, is_begun in enumerate(begun) if is_begun}


def put_first(items: Iterable[T], early: set[int]) -> Iterator[T]:
    """The items in these places, then the others."""
    read = list(items)
    yield from (read[at] for at in sorted(early))
    yield from (each for at, each in enumerate(read) if at not in early)


def tally_at_stop(
    records: RecordsApi, paths: Iterable[str], total: int | None, failed: int, at_a_time: int, rate: object
) -> dict[str, int]:
    """The tally of a map that stops after its first items, which have these paths. Further ones run so many at a time, and
    begin at this rate."""
    took: list[float] = []
    taken = 0
    for path in paths:
        taken += 1
        record = records.glance(path)
        if record is None or record.ended_at is None or record.reused_from:
            continue
        took.append(max(0.0, record.ended_at - (record.attempted_at or record.started_at)))
    seconds = None
    if took and total is not None:
        seconds = median(took) * (total - taken) / at_a_time
        if rate is not None:
            limit = to_rate(rate)
            seconds = max(seconds, (total - taken) * limit.period / limit.count)
    return stopped(taken, total, failed, None if seconds is None else math.ceil(seconds * 1000))
