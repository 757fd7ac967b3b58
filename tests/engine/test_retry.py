"""A1: tenacity's strategies decide when a failed task is tried again, from what is in the record."""

from __future__ import annotations

import math
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from random import Random

import pytest
import tenacity
from hypothesis import given, strategies as st

from trigger_nb import retry
from trigger_nb.errors import InvalidOptionError
from trigger_nb.retry import LONGEST_DELAY, Retry, RetryAt, SkipRetrying, policy

NOW = 1_800_000_000.0


class Fixed(Random):
    """A generator that always gives the same number."""

    def __init__(self, value):
        self.value = value

    def random(self):
        return self.value


def delay_after(option, attempt, *, error=None, since_first=0.0, random=None):
    """Seconds to the next attempt, or None when the policy gives up."""
    decided = policy(option)
    assert decided is not None
    at = decided.next_attempt_at(
        attempt=attempt,
        error=error or ValueError("it failed"),
        first_started_at=NOW - since_first,
        now=NOW,
        random=random,
    )
    return None if at is None else at - NOW


# --- Retry --------------------------------------------------------------------------------------


def test_the_defaults_and_presets_of_the_contract():
    assert Retry() == Retry(limit=5, factor=1.8, min_timeout=1.0, max_timeout=60.0, randomize=True)
    assert retry.standard_backoff == Retry(8, 1.8, 0.5, 30)
    assert retry.exponential_backoff == Retry(8, 2, 1, 30)


@pytest.mark.parametrize(
    ("option", "delays"),
    [
        (Retry(randomize=False), [1, 1, 1.8, 3.24, None]),
        (Retry(8, 1.8, 0.5, 30, randomize=False), [0.5, 0.5, 0.9, 1.62, 2.916, 5.2488, 9.44784, None]),
        (Retry(8, 2, 1, 30, randomize=False), [1, 1, 2, 4, 8, 16, 30, None]),
        (Retry(limit=1), [None]),
        (Retry(limit=3, min_timeout=0), [0, 0, None]),
    ],
)
def test_the_delays_without_randomness(option, delays):
    got = [delay_after(option, attempt) for attempt in range(1, len(delays) + 1)]
    assert got == [None if delay is None else pytest.approx(delay, abs=1e-6) for delay in delays]


@given(
    attempt=st.integers(1, 5000),
    factor=st.floats(1, 10),
    shortest=st.floats(0, 100),
    longest=st.floats(0, 1000),
    r=st.floats(0, 1, exclude_max=True),
)
def test_the_delay_is_the_formula_of_the_contract(attempt, factor, shortest, longest, r):
    option = Retry(attempt + 1, factor, shortest, longest)
    exponent = max(attempt - 2, 0)
    if shortest and math.log(shortest) + exponent * math.log(factor) > 50:
        expected = longest
    else:
        expected = min(longest, (1 + r) * shortest * (factor**exponent if shortest else 0))
    assert delay_after(option, attempt, random=Fixed(r)) == pytest.approx(expected, abs=1e-6)


@given(factor=st.floats(1, 4), shortest=st.floats(0.01, 10), longest=st.floats(0.01, 100), seed=st.integers())
def test_delays_grow_to_the_longest_and_randomness_at_most_doubles_them(factor, shortest, longest, seed):
    plain = Retry(20, factor, shortest, longest, randomize=False)
    delays = [delay_after(plain, attempt) for attempt in range(1, 20)]
    assert all(a <= b + 1e-6 for a, b in zip(delays, delays[1:], strict=False))
    assert all(delay <= longest + 1e-6 for delay in delays)

    stretched = Retry(20, factor, shortest, longest)
    for attempt, delay in enumerate(delays, start=1):
        got = delay_after(stretched, attempt, random=Random(seed))
        assert delay - 1e-6 <= got <= min(2 * delay, longest) + 1e-6


def test_delays_are_random_without_a_generator_given():
    assert len({delay_after(Retry(min_timeout=10), 1) for _ in range(5)}) > 1


def test_a_number_is_attempts_in_all():
    assert delay_after(3, 2) is not None
    assert delay_after(3, 3) is None
    assert delay_after(3, 4) is None  # The option was lowered while the run was on.
    assert delay_after(1, 1) is None


def test_no_option_is_no_retry():
    assert policy(None) is None


def test_times_may_be_timedelta():
    option = Retry(min_timeout=timedelta(milliseconds=500), max_timeout=timedelta(minutes=1))
    assert option == Retry(min_timeout=0.5, max_timeout=60.0)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(), GeneratorExit()])
def test_what_is_no_exception_is_never_retried(error):
    assert delay_after(3, 1, error=error) is None


@pytest.mark.parametrize("option", [0, -1, True, 2.5, "3", tenacity.stop_after_attempt(3), {"limit": 3}])
def test_an_option_that_cannot_be_meant(option):
    with pytest.raises(InvalidOptionError, match="retry"):
        policy(option)


@pytest.mark.parametrize(
    "options",
    [
        {"limit": 0},
        {"limit": True},
        {"limit": 2.0},
        {"factor": 0.5},
        {"factor": math.inf},
        {"factor": math.nan},
        {"factor": "2"},
        {"min_timeout": -1},
        {"min_timeout": "1s"},
        {"max_timeout": math.nan},
        {"max_timeout": timedelta(seconds=-1)},
    ],
    ids=str,
)
def test_a_retry_that_cannot_be_meant_names_the_field(options):
    [field] = options
    with pytest.raises(InvalidOptionError, match=rf"Retry\.{field}"):
        Retry(**options)


# --- tenacity as a description --------------------------------------------------------------------


@pytest.mark.parametrize("cls", [tenacity.Retrying, tenacity.AsyncRetrying])
def test_tenacity_says_how_often_and_how_long(cls):
    described = cls(stop=tenacity.stop_after_attempt(3), wait=tenacity.wait_fixed(7))
    assert [delay_after(described, attempt) for attempt in (1, 2, 3)] == [7, 7, None]


def test_wait_exponential_counts_the_recorded_attempts():
    described = tenacity.AsyncRetrying(wait=tenacity.wait_exponential(multiplier=1, max=10))
    assert [delay_after(described, attempt) for attempt in (1, 2, 3, 4, 5, 6)] == [1, 2, 4, 8, 10, 10]


def test_stop_after_delay_counts_from_the_stored_start_not_from_this_process():
    described = tenacity.AsyncRetrying(stop=tenacity.stop_after_delay(600), wait=tenacity.wait_fixed(1))
    assert delay_after(described, 2, since_first=599) == 1
    assert delay_after(described, 2, since_first=600) is None
    assert delay_after(described, 2, since_first=-50) == 1  # The clock was set back.


def test_stop_before_delay_counts_the_coming_wait():
    described = tenacity.AsyncRetrying(stop=tenacity.stop_before_delay(60), wait=tenacity.wait_fixed(10))
    assert delay_after(described, 2, since_first=49) == 10
    assert delay_after(described, 2, since_first=50) is None


def test_stop_any_and_all():
    by_count, by_time = tenacity.stop_after_attempt(3), tenacity.stop_after_delay(60)
    either = tenacity.AsyncRetrying(stop=by_count | by_time)
    both = tenacity.AsyncRetrying(stop=by_count & by_time)
    facts = [(2, 0), (3, 0), (2, 60), (3, 60)]
    assert [delay_after(either, n, since_first=s) is None for n, s in facts] == [False, True, True, True]
    assert [delay_after(both, n, since_first=s) is None for n, s in facts] == [False, False, False, True]


def test_retry_predicates_see_the_error():
    described = tenacity.AsyncRetrying(retry=tenacity.retry_if_exception_type(OSError))
    assert delay_after(described, 1, error=ConnectionError()) == 0
    assert delay_after(described, 1, error=ValueError()) is None

    refusing = tenacity.AsyncRetrying(retry=tenacity.retry_if_not_exception_type(ValueError))
    assert delay_after(refusing, 1, error=ConnectionError()) == 0
    assert delay_after(refusing, 1, error=ValueError()) is None

    message = tenacity.AsyncRetrying(retry=tenacity.retry_if_exception_message(match="rate"))
    assert delay_after(message, 1, error=ValueError("rate limit")) == 0
    assert delay_after(message, 1, error=ValueError("other")) is None


def test_try_again_is_retried_whatever_the_predicate():
    described = tenacity.AsyncRetrying(retry=tenacity.retry_never, stop=tenacity.stop_after_attempt(2))
    assert delay_after(described, 1, error=tenacity.TryAgain()) == 0
    assert delay_after(described, 2, error=tenacity.TryAgain()) is None


def test_plain_functions_are_strategies_and_see_the_state():
    seen = []
    described = tenacity.AsyncRetrying(wait=lambda state: seen.append(state) or 3)
    error = ValueError("it failed")
    assert delay_after(described, 4, error=error, since_first=20) == 3
    [state] = seen
    assert (state.attempt_number, state.seconds_since_start) == (4, 20)
    assert state.outcome.exception() is error
    assert state.outcome.attempt_number == 4


@pytest.mark.parametrize(("wait", "delay"), [(-5, 0), (math.inf, LONGEST_DELAY), (1e300, LONGEST_DELAY)])
def test_a_delay_is_never_before_now_nor_without_end(wait, delay):
    assert delay_after(tenacity.AsyncRetrying(wait=lambda state: wait), 1) == delay


def test_a_disabled_description_gives_up():
    described = tenacity.AsyncRetrying()
    described.enabled = False  # an option of newer tenacity
    assert delay_after(described, 1) is None


def test_the_description_is_left_as_it_was():
    slept = []
    described = tenacity.AsyncRetrying(sleep=slept.append, wait=tenacity.wait_fixed(1))
    delay_after(described, 1)
    assert slept == []
    assert described.statistics == {}


def test_an_async_strategy_is_refused_when_the_option_is_given():
    async def is_transient(error):
        return True

    described = tenacity.AsyncRetrying(retry=tenacity.asyncio.retry_if_exception(is_transient))
    with pytest.raises(InvalidOptionError, match="`retry` strategy of AsyncRetrying is async"):
        policy(described)


# --- What on_error returns ------------------------------------------------------------------------


@given(when=st.datetimes(timezones=st.just(timezone(timedelta(hours=5, minutes=30)))))
def test_retry_at_is_that_time_between_now_and_the_longest_delay(when):
    due = RetryAt(when).due_at(NOW)
    assert due == min(max(when.timestamp(), NOW), NOW + LONGEST_DELAY)


def test_retry_at_takes_time_from_now():
    assert RetryAt(90).due_at(NOW) == NOW + 90
    assert RetryAt(timedelta(minutes=2)).due_at(NOW) == NOW + 120
    assert RetryAt(datetime.fromtimestamp(NOW + 5, UTC)).due_at(NOW) == NOW + 5
    assert RetryAt(timedelta(seconds=-1)).due_at(NOW) == NOW
    assert RetryAt(-0.5).due_at(NOW) == NOW


@pytest.mark.parametrize("when", [datetime(2030, 1, 1), math.nan, math.inf, "tomorrow", None, True])
def test_a_time_that_cannot_be_meant(when):
    with pytest.raises(InvalidOptionError, match=r"RetryAt\.when"):
        RetryAt(when)


@pytest.mark.parametrize("when", [1_796_000_000, 1_796_000_000_000, timedelta(days=20_000)])
def test_seconds_that_are_a_date_are_refused(when):
    """A reset time in epoch seconds, or milliseconds, would be a wait of years."""
    with pytest.raises(InvalidOptionError, match=r"more than 366 days\. If it is a time, .* datetime"):
        RetryAt(when)


def test_the_error_is_an_exception():
    error = ValueError("other")
    assert RetryAt(1, error).error is error
    assert SkipRetrying(error).error is error
    assert SkipRetrying().error is None
    with pytest.raises(InvalidOptionError, match=r"RetryAt\.error"):
        RetryAt(1, "text")
    with pytest.raises(InvalidOptionError, match=r"SkipRetrying\.error"):
        SkipRetrying(ValueError)


def test_tenacity_is_imported_only_when_a_policy_is_asked():
    code = """
import sys
from trigger_nb.retry import Retry, policy
decided = policy(Retry(limit=2))
assert "tenacity" not in sys.modules
assert decided.next_attempt_at(attempt=2, error=ValueError(), first_started_at=0, now=1) is None
assert "tenacity" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=retry.__file__.rpartition("trigger_nb")[0])
