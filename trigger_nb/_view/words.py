"""Times and numbers as text."""

from __future__ import annotations

import math
from datetime import UTC, datetime

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def duration(seconds: float) -> str:
    """A duration in at most two units.

    >>> duration(0.0042), duration(3.21), duration(192), duration(97_000)
    ('4 ms', '3.2 s', '3 min 12 s', '1 d 2 h')
    """
    if seconds < 0.0005:
        return "<1 ms"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return _two(whole, _MINUTE, "min", 1, "s")
    if whole < _DAY:
        return _two(whole, _HOUR, "h", _MINUTE, "min")
    return _two(whole, _DAY, "d", _HOUR, "h")


def ticking(seconds: float) -> str:
    """The duration of something that still lasts, in whole seconds: tenths would flicker.

    >>> ticking(3.9), ticking(192.2)
    ('3 s', '3 min 12 s')
    """
    whole = math.floor(max(0.0, seconds))
    return f"{whole} s" if whole < _MINUTE else duration(whole)


def _two(whole: int, large: int, name: str, small: int, small_name: str) -> str:
    rest = whole % large // small
    return f"{whole // large:,} {name}" + (f" {rest} {small_name}" if rest else "")


def utc(when: float) -> str:
    """A time to the second, for what is read later and elsewhere.

    >>> utc(0)
    '1970-01-01 00:00:00 UTC'
    """
    return f"{datetime.fromtimestamp(when, UTC):%Y-%m-%d %H:%M:%S} UTC"


def remaining(seconds: float) -> str:
    """The time until an instant, in whole seconds.

    >>> remaining(90), remaining(4.2), remaining(-1)
    ('in 1 min 30 s', 'in 5 s', 'now')
    """
    if seconds <= 0:
        return "now"
    whole = math.ceil(seconds)
    return f"in {whole} s" if whole < _MINUTE else f"in {duration(whole)}"


def ago(seconds: float) -> str:
    """The time since an instant, in one unit, for lists and headers.

    >>> ago(3), ago(200), ago(7300), ago(200_000)
    ('just now', '3 min ago', '2 h ago', '2 d ago')
    """
    units = ((1, "s", _MINUTE), (_MINUTE, "min", _HOUR), (_HOUR, "h", _DAY), (_DAY, "d", math.inf))
    if seconds < _JUST_NOW:
        return "just now"
    unit, name = next((unit, name) for unit, name, until in units if seconds < until)
    return f"{int(seconds // unit):,} {name} ago"


_JUST_NOW = 10  # seconds


def probably_left(seconds: float) -> str:
    """An estimated remaining time, rounded as its precision deserves.

    >>> probably_left(4.2), probably_left(100), probably_left(200), probably_left(9000)
    ('about 5 s left', 'about 1 min 40 s left', 'about 3 min left', 'about 2 h left')
    """
    if seconds < 2 * _MINUTE:
        whole = math.ceil(seconds)
        return f"about {whole} s left" if whole < _MINUTE else f"about {duration(whole)} left"
    units = ((_MINUTE, "min", 2 * _HOUR), (_HOUR, "h", 2 * _DAY), (_DAY, "d", math.inf))
    unit, name = next((unit, name) for unit, name, until in units if seconds < until)
    return f"about {round(seconds / unit):,} {name} left"


def about(seconds: float) -> str:
    """An estimated duration, rounded as its precision deserves.

    >>> about(0.25), about(4.2), about(200)
    ('about 250 ms', 'about 5 s', 'about 3 min')
    """
    return probably_left(seconds).removesuffix(" left") if seconds >= 1 else f"about {duration(seconds)}"


def moment(timestamp: float) -> str:
    """An instant in this machine's time zone, with its name, because the text may stay in a notebook."""
    return _written(timestamp, "%Y-%m-%d %H:%M:%S %Z")


def minute(timestamp: float) -> str:
    """An instant in this machine's time zone, to the minute, for table columns."""
    return _written(timestamp, "%Y-%m-%d %H:%M")


def time_of_day(timestamp: float) -> str:
    """The time of an instant in this machine's time zone, to the second."""
    return _written(timestamp, "%H:%M:%S")


def _written(timestamp: float, form: str) -> str:
    try:
        return datetime.fromtimestamp(timestamp).astimezone().strftime(form)
    except (ValueError, OverflowError, OSError):
        return f"{timestamp} s"


def rate(per_second: float) -> str:
    """A rate, with the unit of time that gives a readable number.

    >>> rate(412.3), rate(2.5), rate(0.4), rate(0.002)
    ('412/s', '2.5/s', '24/min', '7.2/h')
    """
    for unit, seconds in (("s", 1), ("min", _MINUTE), ("h", _HOUR)):
        count = per_second * seconds
        if count >= 1 or unit == "h":
            return f"{count:,.0f}/{unit}" if count >= 9.95 else f"{count:.1f}".removesuffix(".0") + f"/{unit}"
    raise AssertionError


def plural(count: int, word: str) -> str:
    """A count with its noun.

    >>> plural(1, "task"), plural(3871, "task")
    ('1 task', '3,871 tasks')
    """
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"
