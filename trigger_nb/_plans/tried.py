"""What a try-out has found: a task as it is stored and as today's body does it, and what all would cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Tried(NamedTuple):
    """A task, as its record has it and as today's body did it.

    - `old`, `old_error`: the stored result, or the error that it failed with.
    - `new`, `new_error`: what today's body returned, as a record would have it, or the error that it raised.
    - `differs`: whether the two are not the same, in value and type.
    - `seconds`, `old_seconds`: how long the body took. An item of a `batch=` has its share of the call.
    - `usage`: the numbers in `usage` of the new result, as language models return them: `{"total_tokens": 812}`.
    """

    path: str
    name: str
    old: Any
    old_error: BaseException | None
    new: Any
    new_error: BaseException | None
    differs: bool
    seconds: float
    old_seconds: float | None
    usage: dict[str, float]


@dataclass(frozen=True, slots=True)
class Forecast:
    """What today's body would cost for all items of the map: seconds, and the sum of `usage`; by what the tried items took."""

    items: int
    seconds: float
    usage: dict[str, float] = field(default_factory=dict[str, float])
