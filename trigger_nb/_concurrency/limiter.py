"""Limits on how much goes on at once and on how often something starts.

A `Limiter` lets calls start, first come, first served. All uses of the same `ConcurrencyLimit` id, or of the
same `Rate` name, share one limiter, across the event loops of a process.
"""

from __future__ import annotations

import itertools
import math
import re
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import anyio

from .._clock import JITTER, SystemClock, is_whole_number, steady_beside
from ..errors import InvalidOptionError
from .threads import Home

if TYPE_CHECKING:
    from .._callsite import Place
    from .._clock import Clock

# Seconds. A longer time is a misunderstanding, such as milliseconds taken for seconds.
LONGEST_HOLD = 366 * 24 * 3600.0
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_RATE = re.compile(
    r"\s* (\d+) \s* (?: / | \bper\b ) \s* (\d+ (?:\.\d+)?)? \s*"
    r"(?: (s) (?:ec(?:ond)?s?)? | (m) (?:in(?:ute)?s?)? | (h) (?:(?:ou)?rs?)? | (d) (?:ays?)? ) \s*",
    re.VERBOSE | re.IGNORECASE,
)
_serials = itertools.count(1)  # of `Rate` and `ConcurrencyLimit` objects, in the order of creation
# How much of a start's delay later starts may catch up on: seconds, and a share of the rate's period. Timers
# are always a little late, which would slow down fast rates a lot.
_CATCH_UP = 0.05
_CATCH_UP_PART = 0.02


# --- Rates and limits -----------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Rate:
    """A limit on how many attempts or runs start in any period of time, evenly spaced.

    `text` is a number, "/" or "per", and second, minute, hour or day (s, m, h, d) or a number of them:
    "300/minute", "5 per second", "100/10 seconds". All rates with the same `name` are one limit in a process.
    Without a name, only the uses of the same `Rate` object share the limit.

    Raises `InvalidOptionError` for any other text.

    >>> openai = Rate("500/minute", name="openai")
    >>> openai.count, openai.period
    (500, 60.0)
    """

    text: str = field(compare=False)
    name: str | None = None
    count: int = field(init=False, repr=False)
    period: float = field(init=False, repr=False)  # seconds
    _serial: int = field(init=False, repr=False, compare=False)
    # The limiters of a rate without a name.
    _shared: _Shared | None = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        if self.name is not None:
            _check_name(self.name, 'the name of a rate must be text, as in Rate("10/second", name="openai")')
        count, period = _parsed(self.text)
        for name, value in (("count", count), ("period", period), ("_serial", next(_serials))):
            object.__setattr__(self, name, value)

    def __reduce__(self) -> tuple[type[Rate], tuple[str, str | None]]:
        return Rate, (self.text, self.name)


@dataclass(frozen=True, slots=True)
class ConcurrencyLimit:
    """A limit on how many runs are in progress at once, over all jobs in this process with the same `id`.

    Raises `InvalidOptionError` if `id` is not text, or `limit` is below 1.

    >>> heavy = ConcurrencyLimit("heavy", 2)      # @client.job(concurrency_limit=heavy) on several jobs
    """

    id: str
    limit: int
    _serial: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_name(self.id, 'the id of a ConcurrencyLimit must be text, as in ConcurrencyLimit("heavy", 2)')
        check_count(self.limit, "the limit of a ConcurrencyLimit")
        object.__setattr__(self, "_serial", next(_serials))


RateOption: TypeAlias = str | Rate


def check_count(count: object, what: str) -> int:
    """The whole number of 1 or more, also one of NumPy's. Raises `InvalidOptionError` for any other value."""
    if not is_whole_number(count) or count < 1:
        raise InvalidOptionError(f"{what} is a whole number of 1 or more; not {count!r:.100}")
    return int(count)


def to_rate(option: object, what: str = "rate") -> Rate:
    """The `Rate` of a `rate=` option. Raises `InvalidOptionError`."""
    if isinstance(option, Rate):
        return option
    if isinstance(option, str):
        return Rate(option)
    raise InvalidOptionError(
        f'{what} must be text such as "300/minute", or Rate("300/minute", name="openai"), not {option!r:.100}'
    )


def rate_of_line(option: object, place: Place) -> Rate:
    """The rate of a task. A rate given as text is shared by all calls from that line."""
    if not isinstance(option, str):
        return to_rate(option)
    code, instruction = place
    line = (option, code.co_filename, code.co_qualname, code.co_firstlineno, instruction)
    if line not in _rates_of_lines:
        _rates_of_lines.setdefault(line, Rate(option))
    return _rates_of_lines[line]


_rates_of_lines: dict[tuple[str, str, str, int, int], Rate] = {}


def _parsed(text: object) -> tuple[int, float]:
    """The number of starts, and the period in seconds."""
    found = _RATE.fullmatch(text) if isinstance(text, str) else None
    if found is not None:
        count, many, *units = found.groups()
        period = float(many or 1) * _UNITS[next(filter(None, units)).lower()]
        if int(count) and period:
            return int(count), period
    raise InvalidOptionError(
        'a rate must be a number, "/" or "per", and second, minute, hour or day (or s, m, h, d), or a number of them: '
        f'"300/minute", "5 per second", "100/10 seconds", not {text!r:.100}'
    )


def _check_name(name: object, what: str) -> None:
    if not isinstance(name, str) or not name:
        raise InvalidOptionError(f"{what}, not {name!r:.100}")


# --- The limiter ----------------------------------------------------------------------------------
class Limiter:
    """Lets calls start: up to a number at once, or at a rate, and none while a service has asked to wait.

    Waiting calls start in the order of arrival. A call that is cancelled while it waits changes nothing for
    the others. Several event loops and threads may use a limiter at once.
    """

    def __init__(self, clock: Clock, limit: float | ConcurrencyLimit | Rate) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._line: OrderedDict[Waiter, None] = OrderedDict()
        self._resuming: OrderedDict[Waiter, None] = OrderedDict()  # ahead of the line
        self._used = 0  # calls in progress
        self._held_until = 0.0
        self._steady = steady_beside(clock)
        self._offset = clock.time() - self._steady()
        self._next = -math.inf  # when the rate allows the next start
        self.set_limit(limit)

    def set_limit(self, limit: float | ConcurrencyLimit | Rate) -> None:
        """Change the number of slots (`math.inf`: as many as want to), or the rate."""
        with self._lock:
            count, period = (limit.count, limit.period) if isinstance(limit, Rate) else (1, 0.0)
            # Of N + 1 starts in a row, the first is at most `_late` late and the last is not early, so they are
            # at least a period apart: never more than N calls start in any period.
            self._late = min(_CATCH_UP, _CATCH_UP_PART * period)
            self._gap = (period + self._late) / count
            slots = limit.limit if isinstance(limit, ConcurrencyLimit) else limit
            self._slots = math.inf if isinstance(slots, Rate) else slots
            self._wake_next()

    @property
    def is_used(self) -> bool:
        """Whether any call is in progress or waits."""
        return bool(self._used or self._line or self._resuming)

    def acquire_nowait(self) -> bool:
        """Start if there is no need to wait. Returns whether the call has started."""
        with self._lock:
            return not self._line and self._start(resuming=False) is None

    async def acquire(self, ticket: Ticket | None = None) -> None:
        """Wait for a slot and for the rate. Does not yield to the event loop if there is no need to wait.

        Meanwhile the `ticket` tells the place in the queue.
        """
        if not self.acquire_nowait():
            await self._wait(self._line, ticket)

    async def reacquire(self) -> None:
        """Take a slot again after `release`, ahead of all calls that have not started, and whatever the rate."""
        await self._wait(self._resuming)

    def queue(self, most: int) -> tuple[list[Waiter], float | None]:
        """The first calls that wait, at most `most`, and the time before which none of them may start, if there is one."""
        with self._lock:
            first = list(itertools.islice(itertools.chain(self._resuming, self._line), most))
            when = max(self._held_until, self._next)
        return first, when if when > self._clock.time() else None

    def acquire_anyway(self) -> None:
        """Take a slot at once, exceeding the limit if need be."""
        with self._lock:
            self._used += 1

    def release(self) -> None:
        """Give the slot back. May be called from any thread."""
        with self._lock:
            self._used -= 1
            self._wake_next()

    def withdraw(self) -> None:
        """Undo `acquire` for a call that has not started, so that the rate allows another start in its place."""
        with self._lock:
            self._next -= self._gap
        self.release()

    def hold(self, until: float) -> None:
        """Start nothing until this time, in UTC seconds, as a service asked. The latest time wins."""
        with self._lock:
            self._held_until = max(self._held_until, min(until, self._clock.time() + LONGEST_HOLD))

    @property
    def held_until(self) -> float:
        """The time until which nothing starts, in UTC seconds; it may have passed."""
        return self._held_until

    def show_hold(self, until: float) -> None:
        """Show that calls in here wait until this time, as a service asked."""

    async def _wait(self, line: OrderedDict[Waiter, None], ticket: Ticket | None = None) -> None:
        waiter = Waiter()
        if ticket is not None:
            ticket.place = self, waiter
        with self._lock:
            line[waiter] = None
        try:
            while True:
                with self._lock:
                    is_first = next(iter(line)) is waiter
                    when = self._start(resuming=line is self._resuming) if is_first else math.inf
                if when is None:
                    return
                await (waiter.sleep() if when == math.inf else self._clock.sleep_until(when))
        finally:
            with self._lock:
                line.pop(waiter, None)
                self._wake_next()

    def _start(self, *, resuming: bool) -> float | None:
        """Start if possible, and return None; else the time to try again, or infinity to wait until woken."""
        now = self._clock.time()
        if (
            was_set := now - self._steady() - self._offset
        ) < -JITTER:  # the clock was set back, which prolongs no hold
            self._held_until += was_set
            self._offset += was_set
        if self._used >= self._slots or (self._resuming and not resuming):
            return math.inf
        if not resuming:
            self._next = min(self._next, now + self._gap)  # it can be later only if the clock was set back
            if (when := max(self._held_until, self._next)) > now:
                return when
            self._next = max(self._next, now - self._late) + self._gap
        self._used += 1
        return None

    def _wake_next(self) -> None:
        for line in (self._resuming, self._line):
            while line and not next(iter(line)).wake():
                line.popitem(last=False)  # its event loop is closed


class Waiter:
    """A call that waits, and the event loop that it waits on."""

    __slots__ = ("_home", "_woken")

    def __init__(self) -> None:
        self._home = Home()
        self._woken = anyio.Event()

    def wake(self) -> bool:
        """Have the call try again. May be called from any thread. False if its event loop is closed."""
        return self._home.soon(lambda: self._woken.set())  # noqa: PLW0108  # `sleep` replaces the event

    async def sleep(self) -> None:
        await self._woken.wait()
        self._woken = anyio.Event()


class Ticket:
    """Tells where a call waits: for a view, which asks seldom."""

    __slots__ = ("place",)

    def __init__(self) -> None:
        self.place: tuple[Limiter, Waiter] | None = None  # None if it has not had to wait


class Service:
    """A service whose calls wait while it has asked for that, wherever they are made."""

    def __init__(self) -> None:
        self._limiters: dict[object, Limiter] = {}  # by clock

    def limiter(self, clock: Clock) -> Limiter:
        """The limiter of all calls of the service: it only holds back."""
        key = _key_of(clock)
        with _lock:
            if key not in self._limiters:
                self._limiters[key] = Limiter(clock, math.inf)
            return self._limiters[key]


# --- Sharing by name -----------------------------------------------------------------------
def limiter_of(limit: Rate | ConcurrencyLimit, clock: Clock) -> Limiter:
    """The limiter that all uses of this rate or limit share: by name, or else by object.

    Raises `InvalidOptionError` if the name is in use with another number.
    """
    key = SystemClock if isinstance(limit, ConcurrencyLimit) else _key_of(clock)
    with _lock:
        shared = _shared(limit)
        if key not in shared.limiters:
            shared.limiters[key] = Limiter(clock, shared.limit)
        return shared.limiters[key]


def _key_of(clock: Clock) -> object:
    """Clocks differ in their times, so each has its own limiters. All system clocks count as one."""
    return SystemClock if isinstance(clock, SystemClock) else clock


class _Shared:
    """The limiters with one name, by clock. The most recent `Rate` or `ConcurrencyLimit` applies."""

    def __init__(self, limit: Rate | ConcurrencyLimit) -> None:
        self.limit = limit
        self.limiters: dict[object, Limiter] = {}

    def update(self, limit: Rate | ConcurrencyLimit) -> None:
        """Apply another rate or limit. Raises `InvalidOptionError` if it contradicts a later one, or one in use."""
        if limit != self.limit:
            if limit._serial < self.limit._serial:
                raise InvalidOptionError(
                    f"{limit} is used here, but {self.limit} was made later, and the same name means the same limit. "
                    "Run the cell again that uses the earlier one, or give one of them another name"
                )
            if any(limiter.is_used for limiter in self.limiters.values()):
                raise InvalidOptionError(
                    f"{limit} is used here while {self.limit} is in use, and the same name means the same limit: use "
                    "the same number everywhere, or give one of them another name"
                )
            for limiter in self.limiters.values():
                limiter.set_limit(limit)
        if limit._serial > self.limit._serial:
            self.limit = limit


def _shared(limit: Rate | ConcurrencyLimit) -> _Shared:
    name = limit.name if isinstance(limit, Rate) else limit.id
    if name is None:
        assert isinstance(limit, Rate)
        if limit._shared is None:
            object.__setattr__(limit, "_shared", _Shared(limit))
        assert limit._shared is not None
        return limit._shared
    shared = _by_name.setdefault((type(limit), name), _Shared(limit))
    shared.update(limit)
    return shared


_by_name: dict[tuple[type, str], _Shared] = {}
_lock = threading.Lock()  # guards the tables of shared limiters
