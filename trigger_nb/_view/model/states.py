"""The states of rows, and counts of rows by state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class State(StrEnum):
    """The state of a row: the status of its task, combined with the task's part in this pass."""

    COMPLETED = "completed"
    FAILED = "failed"
    RUNNING = "running"
    RETRYING = "retrying"  # waits for its next attempt
    WAITING = "waiting"
    PENDING = "pending"
    CANCELED = "canceled"
    UNFINISHED = "unfinished"  # the run stopped before the task ended
    NOT_REACHED = "not reached"  # stored by an earlier pass, not reached in this pass (rule R8)
    LOG = "log"  # a log line; not counted as a task

    @property
    def active(self) -> bool:
        """Whether the task runs or waits."""
        return self in ACTIVE


ACTIVE = frozenset({State.RUNNING, State.RETRYING, State.WAITING})
UNDER_WAY = ACTIVE | {State.PENDING}
# Items of large maps in these states are counted, not listed.
FOLDED = frozenset({State.COMPLETED, State.NOT_REACHED})


@dataclass(frozen=True, slots=True)
class Turn:
    """A task's place in the queue of a limit: how many are before it, and when a rate or a service lets the next begin."""

    before: int
    next_at: float | None = None


REUSED = 2  # as the `replayed` of a row: its result is that of another run


class Counted(Protocol):
    """A row, as far as a tally counts it."""

    @property
    def state(self) -> State: ...
    @property
    def replayed(self) -> int: ...


@dataclass(slots=True)
class Tally:
    """The number of rows in each state, and the number of replayed rows, of which some are reused from other runs."""

    states: Counter[State] = field(default_factory=Counter[State])
    replayed: int = 0
    reused: int = 0

    def add(self, state: State, replayed: int, times: int = 1) -> None:
        self.states[state] += times
        if replayed:
            self.replayed += times
            self.reused += times * (replayed == REUSED)

    def without(self, rows: Iterable[Counted]) -> Tally:
        """The tally without these rows."""
        rest = Tally(Counter(self.states), self.replayed, self.reused)
        for row in rows:
            rest.add(row.state, row.replayed, -1)
        return rest

    def __bool__(self) -> bool:
        return self.rows > 0

    @property
    def tasks(self) -> int:
        """The number of rows except log lines."""
        return self.rows - self.states[State.LOG]

    @property
    def rows(self) -> int:
        return sum(self.states.values())

    def items(self) -> list[tuple[State, int]]:
        """The states that occur, in the order of `State`, with their counts."""
        return [(state, self.states[state]) for state in State if self.states[state] > 0]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tally) and (self.items(), self.replayed, self.reused) == (
            other.items(),
            other.replayed,
            other.reused,
        )

    __hash__ = None  # type: ignore[assignment]  # mutable
