"""Retry policies: whether and when a failed task runs again.

The option `retry=` of a task is a number of attempts, a `Retry`, or tenacity's `AsyncRetrying` or `Retrying`:

```python
await io.run_task("fetch", fetch, retry=3)
await io.run_task("fetch", fetch, retry=Retry(limit=8, min_timeout=0.5))
await io.run_task("fetch", fetch, retry=retry.standard_backoff)
await io.run_task("fetch", fetch, retry=AsyncRetrying(stop=stop_after_delay(600), wait=wait_fixed(5)))
```

tenacity's strategies (`stop`, `wait`, `retry`) decide after each failed attempt. tenacity's own loop does
not run, because it would lose count of the attempts when the kernel dies: attempts are counted in the
task's record, and the time of the next attempt is stored there.
"""

from __future__ import annotations

import inspect
import math
import random as _random
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from ._clock import is_number, is_whole_number, to_seconds, to_timestamp
from .errors import InvalidOptionError

if TYPE_CHECKING:
    from tenacity import BaseRetrying, RetryCallState

__all__ = [
    "LONGEST_DELAY",
    "Policy",
    "ResetFormat",
    "ResetHeaders",
    "Retry",
    "RetryAt",
    "RetryOption",
    "SkipRetrying",
    "exponential_backoff",
    "policy",
    "standard_backoff",
]
# Seconds. No attempt is scheduled further ahead: a later time comes from a misread header
# (milliseconds taken for seconds), and a task that waited for it would seem to hang.
LONGEST_DELAY = 366 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Retry:
    """A retry policy with exponential backoff.

    - `limit`: the total number of attempts, including the first (default 5).
    - `min_timeout`: the delay before the second attempt, in seconds or as a `timedelta` (default 1 second).
    - `factor`: each later delay is the previous one times this factor, at least 1 (default 1.8).
    - `max_timeout`: the longest delay, in seconds or as a `timedelta` (default 60 seconds).
    - `randomize`: multiply each delay by a random factor between 1 and 2, so that tasks that failed together
      do not run again all at once (default True).
    - `subtasks`: "keep", and an attempt replays the results of the task's subtasks, or "again", and it runs them
      again, with new idempotency keys (default "keep").

    Raises `InvalidOptionError` for an invalid value.

    >>> Retry(limit=3, min_timeout=2).limit
    3
    """

    limit: int = 5
    factor: float = 1.8
    min_timeout: float | timedelta = 1.0
    max_timeout: float | timedelta = 60.0
    randomize: bool = True
    subtasks: Literal["keep", "again"] = "keep"

    def __post_init__(self) -> None:
        _check_limit(self.limit, "Retry.limit")
        _check_factor(self.factor)
        if self.subtasks not in ("keep", "again"):
            raise InvalidOptionError(f'Retry.subtasks is "keep" or "again", not {self.subtasks!r:.100}')
        for name in ("min_timeout", "max_timeout"):
            object.__setattr__(self, name, to_seconds(getattr(self, name), f"Retry.{name}"))


@dataclass(frozen=True, slots=True)
class RetryAt:
    """A return value of `on_error`: run the next attempt at a given time.

    - `when`: a datetime with a time zone, or seconds or a `timedelta` from now. A time in the past means
      now; a datetime more than 366 days ahead means in 366 days. More seconds than that are refused: they
      are a time that was taken for a duration.
    - `error`: an exception to record in place of the attempt's own error.

    Raises `InvalidOptionError` for an invalid value.

    >>> RetryAt(30).due_at(1000.0)
    1030.0
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
        """The time of the next attempt; `now` is the time of the error. Both are UTC seconds since the epoch."""
        if isinstance(self.when, datetime):
            return _bounded(self.when.timestamp(), now)
        return _bounded(now + _from_now(self.when), now)


@dataclass(frozen=True, slots=True)
class SkipRetrying:
    """A return value of `on_error`: fail the task without another attempt, whatever its `retry` is.

    `error` is an exception to record in place of the attempt's own error.

    >>> SkipRetrying(ValueError("no such user")).error
    ValueError('no such user')
    """

    error: BaseException | None = None

    def __post_init__(self) -> None:
        _check_error(self.error, "SkipRetrying.error")


ResetFormat = Literal["unix", "unix_milliseconds", "iso8601", "duration"]


@dataclass(frozen=True)
class ResetHeaders:
    """Names of a service's own rate limit headers: requests allowed, requests left, and the end of the limit.

    `format` is the format of that time: "unix" (seconds), "unix_milliseconds", "iso8601" or "duration", such
    as "1m30.5s".

    >>> ResetHeaders("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "unix").reset
    'x-ratelimit-reset'
    """

    limit: str
    remaining: str
    reset: str
    format: ResetFormat = "unix"

    def __post_init__(self) -> None:
        for name in ("limit", "remaining", "reset"):
            if not isinstance(header := getattr(self, name), str) or not header:
                raise InvalidOptionError(f"ResetHeaders.{name} is the name of a header, not {header!r:.100}")
        if self.format not in get_args(ResetFormat):
            known = ", ".join(f'"{each}"' for each in get_args(ResetFormat))
            raise InvalidOptionError(f"ResetHeaders.format is one of {known}; not {self.format!r:.100}")


RetryOption: TypeAlias = "int | Retry | BaseRetrying | Policy | None"


def policy(option: RetryOption) -> Policy | None:
    """The policy for a task's `retry` option; None for no retries.

    Raises `InvalidOptionError` for an invalid value.
    """
    if option is None:
        return None
    if isinstance(option, Policy):
        return option
    if isinstance(option, Retry):
        return Policy(option)
    if (described := _as_description(option)) is not None:
        _check_strategies(described)
        return Policy(described)
    return Policy(Retry(limit=_attempts(option)))


def _as_description(option: object) -> BaseRetrying | None:
    # An object of tenacity's exists only if tenacity is imported, so this does not import it.
    tenacity: Any = sys.modules.get("tenacity")
    if tenacity is None:
        return None
    base: type[BaseRetrying] = tenacity.BaseRetrying
    return option if isinstance(option, base) else None


class Policy:
    """Decides after each failed attempt when the next one is due."""

    def __init__(self, description: Retry | BaseRetrying) -> None:
        self._description = description

    def next_attempt_at(
        self,
        *,
        attempt: int,
        error: BaseException,
        first_started_at: float,
        now: float,
        random: _random.Random | None = None,
    ) -> float | None:
        """The time of the next attempt, or None for no other attempt.

        - `attempt`: the number of the failed attempt, from 1.
        - `first_started_at`, `now`: UTC seconds since the epoch; the first attempt may have started in
          another kernel.
        - `random`: a random generator to use in place of the module's own.
        """
        retrying = self._retrying(random)
        # tenacity's own state reads the monotonic clock, which restarts with the machine.
        state = _state(retrying, attempt, error, min(first_started_at, now), now)
        if not _wants_another(retrying, state):
            return None
        # tenacity also asks `wait` before `stop`: `stop_before_delay` reads `upcoming_sleep`.
        state.upcoming_sleep = retrying.wait(state)
        if retrying.stop(state):
            return None
        return _bounded(now + state.upcoming_sleep, now)

    def _retrying(self, random: _random.Random | None) -> BaseRetrying:
        if not isinstance(self._description, Retry):
            return self._description
        from tenacity import Retrying, stop_after_attempt

        limit = self._description.limit
        return Retrying(stop=stop_after_attempt(limit), wait=_Backoff(self._description, random))


class _Backoff:
    """The delays of a `Retry`, as a wait strategy for tenacity."""

    def __init__(self, retry: Retry, random: _random.Random | None) -> None:
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
        except OverflowError:  # too large for a float, so longer than any longest delay
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

    if not getattr(retrying, "enabled", True):  # only newer releases of tenacity have it
        return False
    assert state.outcome is not None
    return isinstance(state.outcome.exception(), TryAgain) or bool(retrying.retry(state))


def _bounded(when: float, now: float) -> float:
    return min(max(now, when), now + LONGEST_DELAY)


# --- Checks of options -----------------------------------------------------------------------
def _attempts(option: object) -> int:
    """The number of attempts that a `retry` option gives. Raises `InvalidOptionError` if it is not a number."""
    if not is_whole_number(option):
        raise InvalidOptionError(
            "retry takes the number of attempts in all, such as 3, a Retry(...), "
            f"or tenacity's AsyncRetrying(...), not {option!r}"
        )
    _check_limit(option, "retry")
    return int(option)


def _check_limit(limit: object, what: str) -> None:
    if not is_whole_number(limit) or limit < 1:
        raise InvalidOptionError(
            f"{what} is {limit!r}. It counts all attempts, including the first, so it is a whole number "
            "of 1 or more. Leave `retry` out for no retries."
        )


def _check_factor(factor: object) -> None:
    if not is_number(factor) or not 1 <= factor < math.inf:
        raise InvalidOptionError(
            f"Retry.factor is a number of 1 or more, not {factor!r}: delays never get shorter"
        )


def _check_error(error: object, what: str) -> None:
    if error is not None and not isinstance(error, BaseException):
        raise InvalidOptionError(f"{what} is an exception such as ValueError('...'), or None, not {error!r}")


def _check_strategies(retrying: BaseRetrying) -> None:
    for name in ("retry", "wait", "stop"):
        strategy: object = getattr(retrying, name)
        if inspect.iscoroutinefunction(strategy) or inspect.iscoroutinefunction(type(strategy).__call__):
            raise InvalidOptionError(
                f"retry: the `{name}` strategy of {type(retrying).__name__} is async. "
                "Strategies are called without await: use a plain function."
            )


def _from_now(when: object) -> float:
    """Seconds from now. A computed time can be below zero, if it has just passed."""
    seconds = when.total_seconds() if isinstance(when, timedelta) else when
    if not is_number(seconds) or not math.isfinite(seconds):
        raise InvalidOptionError(
            f"RetryAt.when is a datetime with a time zone, a timedelta, or seconds from now, not {when!r}"
        )
    if seconds > LONGEST_DELAY:
        raise InvalidOptionError(
            f"RetryAt.when is {when!r}: as seconds from now that is more than 366 days. If it is a time, such as that of "
            "a header X-RateLimit-Reset, make it a datetime: RetryAt(datetime.fromtimestamp(seconds, UTC))"
        )
    return float(seconds)


# --- Presets, at the end because a `Retry` needs the checks above -----------------------------------
standard_backoff = Retry(limit=8, factor=1.8, min_timeout=0.5, max_timeout=30.0)
exponential_backoff = Retry(limit=8, factor=2.0, min_timeout=1.0, max_timeout=30.0)
