"""What a run waits for that no record tells: a line of the job's function, or its turn under a limit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from .states import Turn


@dataclass(frozen=True, slots=True)
class Standstill:
    """Where a run stands. Only its pass knows, and only at the moment at which it is asked."""

    place: str = ""  # in the job's function: `cell [3], line 14`; "" if it is not known
    turns: Mapping[str, Turn] = field(default_factory=dict[str, Turn])  # of tasks in a queue, by path
    turn: Turn | None = None  # of the run itself, if the limit of its job keeps it waiting


Look: TypeAlias = Callable[[], Standstill]
