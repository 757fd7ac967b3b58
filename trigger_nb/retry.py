"""When a failed task is tried again.

`retry=` of a task takes a number of attempts, a `Retry`, or tenacity's `AsyncRetrying` (or
`Retrying`) as a description:

```python
await io.run_task("fetch", fetch, retry=3)
await io.run_task("fetch", fetch, retry=Retry(limit=8, min_timeout=0.5))
await io.run_task("fetch", fetch, retry=retry.standard_backoff)
await io.run_task("fetch", fetch, retry=AsyncRetrying(stop=stop_after_delay(600), wait=wait_fixed(5)))
```

In each case tenacity's strategies decide, but its loop never runs: that one keeps the attempts in
memory and would forget them with the kernel. The engine asks after each failed attempt, from what
is in the record, and stores the answer.
"""

from __future__ import annotations

import inspect
import math
import random as _random
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from ._clock import to_seconds, to_timestamp
from .errors import InvalidOptionError

if TYPE_CHECKING:
    from random import Random

    from tenacity import BaseRetrying, RetryCallState

__all__ = [
    "LONGEST_DELAY",
    "Policy",
    "Retry",
    "RetryAt",
    "RetryOption",
    "SkipRetrying",
    "exponential_backoff",
    "policy",
    "standard_backoff",
]

# Seconds. No attempt is set further ahead than this: a later time comes of a misread header
# (milliseconds taken for seconds), and a task that waits for it would look as if it hung.
LONGEST_DELAY = 366 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Retry:
    """How often, and how long after an error, a task is tried again.

    `limit` counts attempts in all, the first included. Before the second attempt there is a delay of
    `min_timeout`, and before each later one `factor` times the one before, never more than
    `max_timeout`. With `randomize` every delay is stretched by a random factor between 1 and 2, so
    that tasks which failed together do not come back together. Times are seconds or `timedelta`.

    >>> Retry(limit=3, min_timeout=2).limit
    3
    """

    limit: int = 5
    factor: float = 1.8
    min_timeout: float | timedelta = 1.0
    max_timeout: float | timedelta = 60.0
    randomize: bool = True

    def __post_init__(self) -> None:
        _check_limit(self.limit, "Retry.limit")
        _check_factor(self.factor)
        for name in ("min_timeout", "max_timeout"):
            object.__setattr__(self, name, to_seconds(getattr(self, name), f"Retry.{name}"))


@dataclass(frozen=True, slots=True)
class RetryAt:
    """What `on_error` returns to set the next attempt's time itself.

    `when` is a datetime with a time zone, or seconds or a `timedelta` from now. A time in the past
    means now; one more than 366 days ahead means in 366 days. `error` replaces the error.
    """

    when: datetime | timedelta | float
    error: BaseException | None = None

    def __post_init__(self) -> None:
        if isinstance(self.when, datetime):
            to_timestamp(self.when, "RetryAt.when")
        else:
            _from_now(self.when)
        _check_error(self.error, "RetryAt.error")

    def due_at(self, now: float) -> float:
        """The time of the next attempt, in UTC seconds, where `now` is the time of the error."""
        if isinstance(self.when, datetime):
            return _bounded(self.when.timestamp(), now)
        return _bounded(now + _from_now(self.when), now)


@dataclass(frozen=True, slots=True)
class SkipRetrying:
    """What `on_error` returns to end the task with its error, whatever `retry` says.

    `error` replaces the error.
    """

    error: BaseException | None = None

    def __post_init__(self) -> None:
        _check_error(self.error, "SkipRetrying.error")


RetryOption: TypeAlias = "int | Retry | BaseRetrying | None"


def policy(option: RetryOption) -> Policy | None:
    """What a task's `retry` option means; None for no retry.

    Raises `InvalidOptionError` for what cannot be meant.
    """
    if option is None:
        return None
    if isinstance(option, Retry):
        return Policy(option)
    if (described := _as_description(option)) is not None:
        _check_strategies(described)
        return Policy(described)
    return Policy(Retry(limit=_attempts(option)))


def _as_description(option: object) -> BaseRetrying | None:
    # Whoever has a description has imported tenacity, so there is no need to import it only to ask.
    tenacity: Any = sys.modules.get("tenacity")
    if tenacity is None:
        return None
    base: type[BaseRetrying] = tenacity.BaseRetrying
    return option if isinstance(option, base) else None


class Policy:
    """Decides, after each failed attempt, when the next one is due."""

    def __init__(self, description: Retry | BaseRetrying) -> None:
        self._description = description

    def next_attempt_at(
        self,
        *,
        attempt: int,
        error: BaseException,
        first_started_at: float,
        now: float,
        random: Random | None = None,
    ) -> float | None:
        """The time of the next attempt, or None to give up. Times are UTC seconds.

        `attempt` is the number of the one that failed, from 1; `first_started_at` is when the first
        one began, in whatever kernel that was; `random` replaces the module's own generator.
        """
        retrying = self._retrying(random)
        # tenacity's own state reads the monotonic clock, which starts anew with the machine.
        state = _state(retrying, attempt, error, min(first_started_at, now), now)
        if not _wants_another(retrying, state):
            return None
        # The wait comes before the stop, as in tenacity: `stop_before_delay` looks at it.
        state.upcoming_sleep = retrying.wait(state)
        if retrying.stop(state):
            return None
        return _bounded(now + state.upcoming_sleep, now)

    def _retrying(self, random: Random | None) -> BaseRetrying:
        if not isinstance(self._description, Retry):
            return self._description
        from tenacity import Retrying, stop_after_attempt

        limit = self._description.limit
        return Retrying(stop=stop_after_attempt(limit), wait=_Backoff(self._description, random))


class _Backoff:
    """The delays of a `Retry`, as a wait strategy of tenacity's (any callable is one)."""

    def __init__(self, retry: Retry, random: Random | None) -> None:
        self._factor = retry.factor
        self._shortest = to_seconds(retry.min_timeout, "Retry.min_timeout")
        self._longest = to_seconds(retry.max_timeout, "Retry.max_timeout")
        self._random = (random or _random).random if retry.randomize else None

    def __call__(self, state: RetryCallState) -> float:
        stretch = 1.0 if self._random is None else 1.0 + self._random()
        return min(self._longest, stretch * self._delay(state.attempt_number))

    def _delay(self, attempt: int) -> float:
        try:
            return self._shortest * self._factor ** max(attempt - 2, 0)
        except OverflowError:  # Too large for a float, so past any longest delay.
            return math.inf if self._shortest else 0.0


def _state(
    retrying: BaseRetrying, attempt: int, error: BaseException, started_at: float, now: float
) -> RetryCallState:
    from tenacity import Future, RetryCallState

    state = RetryCallState(retrying, fn=None, args=(), kwargs={})
    state.attempt_number = attempt
    state.start_time = started_at
    state.outcome = Future.construct(attempt, error, has_exception=True)
    state.outcome_timestamp = now
    return state


def _wants_another(retrying: BaseRetrying, state: RetryCallState) -> bool:
    from tenacity import TryAgain

    if not getattr(retrying, "enabled", True):  # An attribute of newer tenacity only.
        return False
    assert state.outcome is not None
    return isinstance(state.outcome.exception(), TryAgain) or bool(retrying.retry(state))


def _bounded(when: float, now: float) -> float:
    return min(max(now, when), now + LONGEST_DELAY)


# --- Checks of what the user wrote ------------------------------------------------------------


def _attempts(option: object) -> int:
    """A `retry` option that is a number of attempts, as the one thing it can still be."""
    if not isinstance(option, int) or isinstance(option, bool):
        raise InvalidOptionError(
            "retry takes the number of attempts in all, such as 3, a Retry(...), "
            f"or tenacity's AsyncRetrying(...), not {option!r}"
        )
    _check_limit(option, "retry")
    return option


def _check_limit(limit: object, what: str) -> None:
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise InvalidOptionError(
            f"{what} is {limit!r}. It counts attempts in all, the first included, so it is a whole number "
            "of 1 or more; leave `retry` out for no retry."
        )


def _check_factor(factor: object) -> None:
    if not isinstance(factor, (int, float)) or isinstance(factor, bool) or not 1 <= factor < math.inf:
        raise InvalidOptionError(
            f"Retry.factor is a number of 1 or more, not {factor!r}: delays never shrink"
        )


def _check_error(error: object, what: str) -> None:
    if error is not None and not isinstance(error, BaseException):
        raise InvalidOptionError(f"{what} is an exception such as ValueError('...'), or None, not {error!r}")


def _check_strategies(retrying: BaseRetrying) -> None:
    for name in ("retry", "wait", "stop"):
        strategy: Any = getattr(retrying, name)
        if inspect.iscoroutinefunction(strategy) or inspect.iscoroutinefunction(type(strategy).__call__):
            raise InvalidOptionError(
                f"retry: the `{name}` strategy of {type(retrying).__name__} is async. The engine asks "
                "the strategies itself, without awaiting them: give it a plain function."
            )


def _from_now(when: object) -> float:
    """Seconds from now; below zero for a time that has just passed, as computed ones can be."""
    seconds = when.total_seconds() if isinstance(when, timedelta) else when
    if not isinstance(seconds, (int, float)) or isinstance(seconds, bool) or not math.isfinite(seconds):
        raise InvalidOptionError(
            f"RetryAt.when is a datetime with a time zone, a timedelta, or seconds from now, not {when!r}"
        )
    return seconds


# --- Presets, at the end because making one calls the checks -------------------------------------

standard_backoff = Retry(limit=8, factor=1.8, min_timeout=0.5, max_timeout=30.0)
exponential_backoff = Retry(limit=8, factor=2.0, min_timeout=1.0, max_timeout=30.0)
