"""When a run will probably be done, going by what earlier runs of its job took."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .._estimate import Durations
from .._records import FAN_OUT, TaskStatus
from .rows import Row, State

_ENDED_BADLY = frozenset({State.FAILED, State.CANCELED})


class Outlook:
    """What is left to do of one run, kept up to date row by row.

    The parts of earlier runs (see `Durations`) that are not done yet are what is left. What this run did
    instead of some of them counts for as much: the keys of tasks may be others in each run.
    """

    def __init__(self, durations: Durations, root: Row) -> None:
        self._durations = durations
        self._left = dict(durations.parts)
        self._left_in_all = sum(self._left.values())
        self._instead: dict[str, float] = {}  # by path, how long tasks took that no earlier run had
        self._instead_in_all = 0.0
        for row in _outside_of_fan_outs(root):
            self.note(row)

    def note(self, row: Row) -> None:
        """A row may have come to its end, or have one no more."""
        path, expected = row.path, self._durations.parts.get(row.path)
        if expected is not None:
            if _is_done(row):
                self._left_in_all -= self._left.pop(path, 0.0)
            elif path not in self._left:
                self._left[path] = expected
                self._left_in_all += expected
        elif path in self._instead or self._is_instead(row):
            took = self._work_in(row) if _is_done(row) else 0.0
            self._instead_in_all += took - self._instead.pop(path, 0.0)
            if took:
                self._instead[path] = took

    def ends_at(self, now: float, elapsed: float, active: Iterable[Row]) -> float | None:
        """When it will be done, in UTC seconds; None when that is not known, or was to be before now.

        `elapsed` is how long the run has lasted, `active` are the rows that are under way.
        """
        durations, rows = self._durations, list(active)
        if durations.total is None:
            return None
        left = self._left_now(now, rows) if durations.parts else durations.total - elapsed
        # A map is never over before it says so itself.
        maps = (row.progress.ends_at for row in rows if row.progress is not None)
        ends_at = max([now + left, *(at for at in maps if at is not None)])
        return ends_at if ends_at > now else None

    def _left_now(self, now: float, active: Iterable[Row]) -> float:
        """How many seconds are left."""
        instead, done_of_begun, left_of_begun = self._instead_in_all, 0.0, 0.0
        for row in active:
            if row.path in self._left:
                left = self._left_of(row, now)
                done_of_begun += self._left[row.path] - left
                left_of_begun += left
            elif self._is_instead(row):
                instead += (row.duration(now) or 0.0) * self._durations.pace
        return max(left_of_begun, self._left_in_all - done_of_begun - instead)

    def _left_of(self, row: Row, now: float) -> float:
        """What is left of a part that is under way."""
        expected, progress = self._left[row.path], row.progress
        if row.kind == "wait":
            return max(0.0, row.next_at - now) if row.next_at is not None else expected
        if progress is not None and progress.total and progress.total > 0:
            share = min(1.0, max(0.0, progress.done / progress.total))
            if (item := self._durations.items.get(row.path)) is not None:
                return item * (1 - share) * progress.total
            return expected * (1 - share)
        if row.kind in FAN_OUT:
            tasks = row.tally.tasks
            return expected * (1 - row.tally.states[State.COMPLETED] / tasks) if tasks else expected
        took = self._durations.of(row.path)
        return expected * max(0.0, 1 - (row.duration(now) or 0.0) / took) if took else expected

    def _work_in(self, row: Row) -> float:
        return (row.duration(None) or 0.0) * self._durations.pace

    def _is_instead(self, row: Row) -> bool:
        """Whether it is a part of this run that no earlier run had: not what is in one, nor around others."""
        if row.state is State.LOG or row.kind == "wait" or (row.children and row.kind not in FAN_OUT):
            return False
        up = row.parent
        while up is not None:
            if up.kind in FAN_OUT:
                return False
            up = up.parent
        return self._durations.of(row.path) is None


def _outside_of_fan_outs(scope: Row) -> Iterator[Row]:
    """The rows that may be parts: a map is one as a whole, however many items it has."""
    for row in scope.children.values():
        yield row
        if row.kind not in FAN_OUT:
            yield from _outside_of_fan_outs(row)


def _is_done(row: Row) -> bool:
    """Whether nothing is left to do of it: also of one whose result waits to be replayed."""
    record = row.record
    if record is None or record.forced:
        return False
    return record.status == TaskStatus.COMPLETED or row.state in _ENDED_BADLY
