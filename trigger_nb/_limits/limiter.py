"""How much goes on at once, and how often something begins: limits that tasks, maps and jobs share.

A `Limiter` lets calls in, the first that came first, as soon as both that it is made of allow it: a window
of calls that may be inside at once, and a pace at which they begin. Either may be shared with other
limiters, by the id of a `ConcurrencyLimit` or the name of a `Rate`, over all event loops of a process.
"""

from __future__ import annotations

import itertools
import math
import re
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import WeakKeyDictionary

from .._clock import SystemClock
from ..errors import InvalidOptionError
from .gates import Pace, Part, Waiter, Window

if TYPE_CHECKING:
    from .._clock import Clock
    from .._scope import Place

# Seconds. No service's word is taken for a time further ahead: it comes of a misread header, as in `RetryAt`.
LONGEST_HOLD = 366 * 24 * 3600.0

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_RATE = re.compile(
    r"\s* (\d+) \s* (?: / | \bper\b ) \s* (\d+ (?:\.\d+)?)? \s*"
    r"(?: (s) (?:ec(?:ond)?s?)? | (m) (?:in(?:ute)?s?)? | (h) (?:(?:ou)?rs?)? | (d) (?:ays?)? ) \s*",
    re.VERBOSE | re.IGNORECASE,
)

_serials = itertools.count(1)  # of descriptions: the later one has the higher number
_tickets = itertools.count(1)  # of those who wait: the earlier one has the lower number

# Held to look at any limiter and to change it. One for all of them, as they have parts in common.
_lock = threading.Lock()


# --- What users write -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rate:
    """At most so many starts in any period of time, evenly spaced.

    The text is a number, "/" or "per", and second, minute, hour or day (s, m, h, d) or a number of them:
    "300/minute", "5 per second", "100/10 seconds". All that say a rate of the same `name` share one limit in
    a process; without a name, all that use one and the same `Rate`.

    Raises `InvalidOptionError` for a text that is none of these.

    >>> openai = Rate("500/minute", name="openai")
    >>> openai.count, openai.period
    (500, 60.0)
    """

    text: str = field(compare=False)
    name: str | None = None
    count: int = field(init=False, repr=False)
    period: float = field(init=False, repr=False)  # seconds
    _serial: int = field(init=False, repr=False, compare=False)
    _shared: _Shared | None = field(
        init=False, repr=False, compare=False, default=None
    )  # of one without a name

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
    """At most `limit` runs in progress at once, of all jobs in this process that have the same limit's `id`.

    Raises `InvalidOptionError` for what cannot be meant.

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
    """Raise `InvalidOptionError` unless it is a number of things that may go on at once."""
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise InvalidOptionError(f"{what} is a whole number of 1 or more; not {count!r:.100}")


def to_rate(option: object, what: str = "rate") -> Rate:
    """What a `rate=` means. Raises `InvalidOptionError`."""
    if isinstance(option, Rate):
        return option
    if isinstance(option, str):
        return Rate(option)
    raise InvalidOptionError(
        f'{what} is text such as "300/minute", or Rate("300/minute", name="openai"); not {option!r:.100}'
    )


def rate_of_line(option: object, place: Place) -> Rate:
    """The rate of a task. Where it is no more than text, all calls that one line makes share it."""
    if not isinstance(option, str):
        return to_rate(option)
    code, instruction = place
    line = (option, code.co_filename, code.co_qualname, code.co_firstlineno, instruction)
    if line not in _rates_of_lines:
        _rates_of_lines.setdefault(line, Rate(option))
    return _rates_of_lines[line]


_rates_of_lines: dict[tuple[str, str, str, int, int], Rate] = {}


def limiter_of(rate: Rate, clock: Clock) -> Limiter:
    """The one limiter that all uses of a rate share, where there is no other limit.

    Raises `InvalidOptionError` when the name of the rate goes with another speed.
    """
    with _lock:
        shared = _shared(rate)
    return shared.limiter(clock)


def agree(*said: Rate | ConcurrencyLimit) -> None:
    """Raise `InvalidOptionError` when one of these is not what holds by its name."""
    with _lock:
        for each in said:
            _shared(each)


def _parsed(text: object) -> tuple[int, float]:
    """How many, in how many seconds."""
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
    """Lets calls in: so many at once, at a rate, and none before the time that a service said to wait until.

    Those that wait come in in the order in which they came. One that is cancelled while it waits leaves no
    trace. May be used from several event loops and threads at once.

    Raises `InvalidOptionError` when the name of the rate, or the id of the limit, goes with another number.
    """

    def __init__(self, concurrency: int | ConcurrencyLimit | None = None, rate: Rate | None = None) -> None:
        with _lock:
            self._rate = None if rate is None else _shared(rate)
            self._shared = [] if self._rate is None else [self._rate]
            if isinstance(concurrency, ConcurrencyLimit):
                limit = _shared(concurrency)
                self._shared.append(limit)
                self._window = limit.window
            else:
                self._window = Window() if concurrency is None else Window(concurrency)
        # Where there is a rate and nothing else, it is the rate that keeps a crowd from starting after a hold.
        self._closes = concurrency is not None or rate is None
        self._pace = Pace()
        self._clock: Clock | None = None  # the one that times were last read from
        self._line: OrderedDict[Waiter, None] = OrderedDict()
        self._waves = 0  # how often a service said to wait

    @property
    def held_until(self) -> float:
        """Until when nothing starts because a service said so, in UTC seconds; 0.0 when it starts."""
        until = self._pace.held_until
        return until if self._clock is not None and until > self._clock.time() else 0.0

    async def enter(self, clock: Clock) -> int:
        """Wait for a place. What it returns says when it was, and may be handed to `leave` and `hold`.

        Without a line to stand in, nothing is awaited.
        """
        entered = self.enter_now(clock)
        if entered is not None:
            return entered
        waiter = Waiter(next(_tickets), self._quit)
        with _lock:
            self._line[waiter] = None
        return await self._stand_in_line(waiter, clock)

    def enter_now(self, clock: Clock) -> int | None:
        """As `enter`, where nothing is to be waited for; else None."""
        with _lock:
            self._go_by(clock)
            if self._line or self._pass(None, clock.time()) is not None:
                return None
            self._count(1)
            return self._waves

    async def enter_again(self, clock: Clock) -> int:
        """After `leave`: go on with what has begun. It comes before all that have not, whatever the rate."""
        return await self._stand_in_line(Waiter(next(_tickets) - _AHEAD, self._quit), clock)

    def enter_anyway(self) -> None:
        """Whether there is a place or not."""
        with _lock:
            self._window.take(0.0)
            self._count(1)

    def after(self, earlier: Limiter) -> Limiter:
        """Itself, where those count that are inside of an earlier one which it takes the place of."""
        if not any(isinstance(each.said, ConcurrencyLimit) for each in self._shared + earlier._shared):
            with _lock:
                earlier._window.resize(self._window.size)
                self._window = earlier._window
        return self

    def leave(self, *, ok: bool, entered: int | None = None) -> None:
        """Give the place back; from any thread. `ok`: the service took what was asked of it."""
        with _lock:
            is_old = None if entered is None else entered < self._waves
            self._window.end(is_old=is_old, grows=ok and not self.held_until)
            self._count(-1)

    def hold(self, until: float, entered: int | None = None) -> None:
        """A service said to wait until then (UTC seconds): nothing starts before. The farthest time wins.

        What a call says that began before the last hold is no news of how much the service takes by now.
        """
        with _lock:
            now = self._clock.time() if self._clock is not None else until
            until = min(until, now + LONGEST_HOLD)
            if until <= max(now, self._pace.held_until):
                return
            is_news = not self.held_until and entered in (None, self._waves)
            self._pace.held_until = until
            self._waves += 1
            if self._closes:
                self._window.close(is_news=is_news)

    def _go_by(self, clock: Clock) -> None:
        if clock is not self._clock:
            self._clock = clock
            if self._rate is not None:
                self._pace = self._rate.pace(clock)

    def _count(self, change: int) -> None:
        for each in self._shared:
            each.users += change

    # In line ----------------------------------------------------------------------------------

    async def _stand_in_line(self, waiter: Waiter, clock: Clock) -> int:
        is_in = False
        with _lock:
            self._count(1)
        try:
            while True:
                with _lock:
                    when = self._pass(waiter, clock.time())
                    if when is None:
                        is_in = True
                        return self._waves
                if when == math.inf:
                    await waiter.sleep()
                else:
                    await clock.sleep_until(when)
        finally:
            with _lock:
                self._quit(waiter)
                if not is_in:
                    self._count(-1)

    def _pass(self, waiter: Waiter | None, now: float) -> float | None:
        """Take a place if there is one; else when to look again, or infinity: when told so.

        None as `waiter` is one who comes just now.
        """
        is_back = waiter is not None and waiter not in self._line
        if waiter is not None and not is_back and next(iter(self._line)) is not waiter:
            return math.inf
        parts = (self._window,) if is_back else (self._pace, self._window)
        for part in parts:
            if (when := part.due(waiter, now)) > now:
                if waiter is not None:
                    self._wait_for(part, waiter)
                return when
        for part in parts:
            part.take(now)
        return None

    def _wait_for(self, part: Part, waiter: Waiter) -> None:
        """Others may have what it does not wait for just now."""
        for each in (self._pace, self._window):
            if each is not part:
                each.quit(waiter)
        part.join(waiter)

    def _quit(self, waiter: Waiter) -> None:
        self._pace.quit(waiter)
        self._window.quit(waiter)
        was_first = next(iter(self._line), None) is waiter
        self._line.pop(waiter, None)
        if was_first and self._line:
            next(iter(self._line)).wake()


_AHEAD = 1 << 60  # those who come back are before all others, and among themselves in their order


# --- What is shared by name -----------------------------------------------------------------------


class _Shared:
    """What all that say the same name have in common. The description that was made last is what holds."""

    def __init__(self, said: Rate | ConcurrencyLimit) -> None:
        self.users = 0  # calls that are inside, or wait
        self.window = Window()  # of a `ConcurrencyLimit`
        # Of a `Rate`. The times of one clock mean nothing to another.
        self._paces: WeakKeyDictionary[Any, Pace] = WeakKeyDictionary()
        self._limiters: WeakKeyDictionary[Any, Limiter] = WeakKeyDictionary()
        self._go_by(said)

    def hear(self, said: Rate | ConcurrencyLimit) -> None:
        """It is described once more. Raises `InvalidOptionError` when that is not what holds."""
        if said is self.said:
            return
        if said != self.said:
            if said._serial < self.said._serial:
                raise InvalidOptionError(
                    f"{said} is used here, but {self.said} was made later, and what has the same name is the same "
                    "limit. Run the cell again that uses the earlier one, or give one of them another name"
                )
            if self.users:
                raise InvalidOptionError(
                    f"{said} is used here, and others go by {self.said} just now. What has the same name is the "
                    "same limit: say the same everywhere, or give one of them another name"
                )
        if said._serial > self.said._serial:
            self._go_by(said)

    def pace(self, clock: Clock) -> Pace:
        """How often something begins, by this clock."""
        found = self._paces.get(key := _kind_of(clock))
        if found is None:
            assert isinstance(self.said, Rate)
            found = self._paces[key] = Pace(self.said.count, self.said.period)
        return found

    def limiter(self, clock: Clock) -> Limiter:
        """The one of all that say nothing but this rate."""
        found = self._limiters.get(key := _kind_of(clock))
        if found is None:
            assert isinstance(self.said, Rate)
            found = self._limiters.setdefault(key, Limiter(rate=self.said))
        return found

    def _go_by(self, said: Rate | ConcurrencyLimit) -> None:
        self.said = said
        if isinstance(said, ConcurrencyLimit):
            self.window.resize(said.limit)
        else:
            for pace in self._paces.values():
                pace.go_by(said.count, said.period)


def _kind_of(clock: Clock) -> Any:
    """All clocks of the machine's own time are one."""
    return SystemClock if isinstance(clock, SystemClock) else clock


def _shared(said: Rate | ConcurrencyLimit) -> _Shared:
    """What it has in common with others. Under the lock."""
    if isinstance(said, Rate) and said.name is None:
        found = said._shared
        if found is None:
            found = _Shared(said)
            object.__setattr__(said, "_shared", found)
        return found
    name = said.name if isinstance(said, Rate) else said.id
    found = _by_name.get((type(said), name))
    if found is None:
        found = _by_name[type(said), name] = _Shared(said)
    found.hear(said)
    return found


_by_name: dict[tuple[type, str | None], _Shared] = {}
