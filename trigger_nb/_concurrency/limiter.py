"""Limits on how much goes on at once and on how often something starts.

A `Limiter` lets calls start, first come, first served. All that use the id of a `ConcurrencyLimit`, or the
name of a `Rate`, share one, over all event loops of a process.
"""

from __future__ import annotations

import itertools
import math
import re
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import anyio

from .._clock import SystemClock
from ..errors import InvalidOptionError
from .threads import Home

if TYPE_CHECKING:
    from .._callsite import Place
    from .._clock import Clock

# Seconds. A service that says to wait longer has been misread: milliseconds taken for seconds, for instance.
LONGEST_HOLD = 366 * 24 * 3600.0
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_RATE = re.compile(
    r"\s* (\d+) \s* (?: / | \bper\b ) \s* (\d+ (?:\.\d+)?)? \s*"
    r"(?: (s) (?:ec(?:ond)?s?)? | (m) (?:in(?:ute)?s?)? | (h) (?:(?:ou)?rs?)? | (d) (?:ays?)? ) \s*",
    re.VERBOSE | re.IGNORECASE,
)
_serials = itertools.count(1)  # of descriptions: the later one has the higher number
# How much of a late start the next ones may make up for: seconds, and a part of the rate's period. Timers
# are always a little late, which would slow a fast rate down a lot.
_CATCH_UP = 0.05
_CATCH_UP_PART = 0.02


# --- What users write -----------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Rate:
    """At most so many starts in any period of time, evenly spaced.

    `text` is a number, "/" or "per", and second, minute, hour or day (s, m, h, d) or a number of them:
    "300/minute", "5 per second", "100/10 seconds". All rates of the same `name` are one limit in a process;
    without a name, only the uses of one `Rate` object are.

    Raises `InvalidOptionError` for another text.

    >>> openai = Rate("500/minute", name="openai")
    >>> openai.count, openai.period
    (500, 60.0)
    """

    text: str = field(compare=False)
    name: str | None = None
    count: int = field(init=False, repr=False)
    period: float = field(init=False, repr=False)  # seconds
    _serial: int = field(init=False, repr=False, compare=False)
    # Where there is no name.
    _shared: _Shared | None = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        if self.name is not None:
            _check_name(self.name, 'the name of a rate is text, as in Rate("10/second", name="openai")')
        count, period = _parsed(self.text)
        for name, value in (("count", count), ("period", period), ("_serial", next(_serials))):
            object.__setattr__(self, name, value)

    def __reduce__(self) -> Any:
        return Rate, (self.text, self.name)


@dataclass(frozen=True, slots=True)
class ConcurrencyLimit:
    """At most `limit` runs in progress at once, counted over all jobs in this process with a limit of that `id`.

    Raises `InvalidOptionError` for an `id` that is not text, or a `limit` below 1.

    >>> heavy = ConcurrencyLimit("heavy", 2)      # @client.job(concurrency_limit=heavy) on several jobs
    """

    id: str
    limit: int
    _serial: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_name(self.id, 'the id of a ConcurrencyLimit is text, as in ConcurrencyLimit("heavy", 2)')
        check_count(self.limit, "the limit of a ConcurrencyLimit")
        object.__setattr__(self, "_serial", next(_serials))


RateOption: TypeAlias = "str | Rate"


def check_count(count: object, what: str) -> None:
    """Raise `InvalidOptionError` unless `count` is a number of things that may go on at once."""
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise InvalidOptionError(f"{what} is a whole number of 1 or more; not {count!r:.100}")


def to_rate(option: object, what: str = "rate") -> Rate:
    """The `Rate` that a `rate=` option means, or `InvalidOptionError`."""
    if isinstance(option, Rate):
        return option
    if isinstance(option, str):
        return Rate(option)
    raise InvalidOptionError(
        f'{what} is text such as "300/minute", or Rate("300/minute", name="openai"); not {option!r:.100}'
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
    """The number of starts, and in how many seconds."""
    found = _RATE.fullmatch(text) if isinstance(text, str) else None
    if found is not None:
        count, many, *units = found.groups()
        period = float(many or 1) * _UNITS[next(filter(None, units)).lower()]
        if int(count) and period:
            return int(count), period
    raise InvalidOptionError(
        'a rate is a number, "/" or "per", and second, minute, hour or day (or s, m, h, d), or a number of them: '
        f'"300/minute", "5 per second", "100/10 seconds"; not {text!r:.100}'
    )


def _check_name(name: object, what: str) -> None:
    if not isinstance(name, str) or not name:
        raise InvalidOptionError(f"{what}; not {name!r:.100}")


# --- The limiter ----------------------------------------------------------------------------------
class Limiter:
    """Lets calls start: so many at once, or at a rate, and none before the time that a service said to wait until.

    Calls that wait start in the order in which they came. One that is cancelled while it waits leaves no
    trace. Several event loops and threads may use a limiter at once.
    """

    def __init__(self, clock: Clock, limit: int | ConcurrencyLimit | Rate) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._line: OrderedDict[_Waiter, None] = OrderedDict()
        self._resuming: OrderedDict[_Waiter, None] = OrderedDict()  # ahead of the line
        self._used = 0  # calls that have started and not ended
        self._held_until = 0.0
        self._next = -math.inf  # when the rate allows the next start
        self.set_limit(limit)

    def set_limit(self, limit: int | ConcurrencyLimit | Rate) -> None:
        """Have another number of slots, or another rate, from now on."""
        with self._lock:
            count, period = (limit.count, limit.period) if isinstance(limit, Rate) else (1, 0.0)
            # Of N + 1 starts in a row, the first came at most `_late` late and the last not early, and still
            # there is a whole period between them: never more than N begin in any period.
            self._late = min(_CATCH_UP, _CATCH_UP_PART * period)
            self._gap = (period + self._late) / count
            slots = limit.limit if isinstance(limit, ConcurrencyLimit) else limit
            self._slots = math.inf if isinstance(slots, Rate) else slots
            self._wake_next()

    @property
    def is_used(self) -> bool:
        """Whether a call goes on that it let start, or one waits."""
        return bool(self._used or self._line or self._resuming)

    def acquire_nowait(self) -> bool:
        """Start if nothing has to be waited for; whether it is so."""
        with self._lock:
            return not self._line and self._start(resuming=False) is None

    async def acquire(self) -> None:
        """Wait for a slot and for the rate. Where nothing has to be waited for, nothing is awaited."""
        if not self.acquire_nowait():
            await self._wait(self._line)

    async def reacquire(self) -> None:
        """Go on after `release`: ahead of all that have not begun, and whatever the rate."""
        await self._wait(self._resuming)

    def acquire_anyway(self) -> None:
        """Go on over the limit, if need be."""
        with self._lock:
            self._used += 1

    def release(self) -> None:
        """Give the slot back; from any thread."""
        with self._lock:
            self._used -= 1
            self._wake_next()

    def withdraw(self) -> None:
        """Undo `acquire`: nothing has started, and the rate allows another start in its place."""
        with self._lock:
            self._next -= self._gap
        self.release()

    def hold(self, until: float) -> None:
        """A service said to wait until then (UTC seconds): nothing starts before. The latest time wins."""
        with self._lock:
            self._held_until = max(self._held_until, min(until, self._clock.time() + LONGEST_HOLD))

    async def _wait(self, line: OrderedDict[_Waiter, None]) -> None:
        waiter = _Waiter()
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
        """Start if that is possible now; else when to look again, infinity for when woken."""
        now = self._clock.time()
        if self._used >= self._slots or (self._resuming and not resuming):
            return math.inf
        if not resuming:
            self._next = min(self._next, now + self._gap)  # further away only when the clock was set back
            if (when := max(self._held_until, self._next)) > now:
                return when
            self._next = max(self._next, now - self._late) + self._gap
        self._used += 1
        return None

    def _wake_next(self) -> None:
        for line in (self._resuming, self._line):
            while line and not next(iter(line)).wake():
                line.popitem(last=False)  # its event loop is gone


class _Waiter:
    """A call that waits, on the event loop that it came from."""

    __slots__ = ("_home", "_woken")

    def __init__(self) -> None:
        self._home = Home()
        self._woken = anyio.Event()

    def wake(self) -> bool:
        """Have the call look again; from any thread. False when its event loop is gone."""
        return self._home.soon(lambda: self._woken.set())  # noqa: PLW0108  # `sleep` replaces the event

    async def sleep(self) -> None:
        await self._woken.wait()
        self._woken = anyio.Event()


# --- What is shared by name -----------------------------------------------------------------------
def limiter_of(limit: Rate | ConcurrencyLimit, clock: Clock) -> Limiter:
    """The limiter of all that have this rate or limit, by name, or else by the object.

    Raises `InvalidOptionError` when the name stands for another number.
    """
    # The times of one clock mean nothing to another. All clocks of the machine's own time are one.
    key = SystemClock if isinstance(clock, SystemClock) or isinstance(limit, ConcurrencyLimit) else clock
    with _lock:
        shared = _shared(limit)
        if key not in shared.limiters:
            shared.limiters[key] = Limiter(clock, shared.limit)
        return shared.limiters[key]


class _Shared:
    """The limiters of one name, by clock. The description made last holds."""

    def __init__(self, limit: Rate | ConcurrencyLimit) -> None:
        self.limit = limit
        self.limiters: dict[Any, Limiter] = {}

    def update(self, limit: Rate | ConcurrencyLimit) -> None:
        """Go by another description. Raises `InvalidOptionError` for one that contradicts what holds."""
        if limit != self.limit:
            if limit._serial < self.limit._serial:
                raise InvalidOptionError(
                    f"{limit} is used here, but {self.limit} was made later, and what has the same name is the same "
                    "limit. Run the cell again that uses the earlier one, or give one of them another name"
                )
            if any(limiter.is_used for limiter in self.limiters.values()):
                raise InvalidOptionError(
                    f"{limit} is used here, and others go by {self.limit} just now. What has the same name is the "
                    "same limit: say the same everywhere, or give one of them another name"
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
_lock = threading.Lock()  # guards the tables of what is shared
