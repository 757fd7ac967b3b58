"""Times at which a schedule is due: every so many seconds, or by a cron expression in a time zone."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Literal, TypeAlias
from zoneinfo import ZoneInfo, available_timezones

from .._clock import is_number, to_seconds
from ..errors import InvalidOptionError

CatchUp: TypeAlias = Literal["last", "all", "none"]
CATCH_UP = ("last", "all", "none")
_AROUND = 4 * 3600.0  # seconds
_NAMED = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


@dataclass(frozen=True, slots=True)
class Interval:
    """Every `seconds`, counted from the time at which the schedule began."""

    seconds: float

    @classmethod
    def of(cls, given: object) -> Interval:
        """The interval that a user gives, in seconds or as a `timedelta`. Raises `InvalidOptionError`."""
        seconds = to_seconds(given, "the interval of a schedule")
        if seconds < 1:
            raise InvalidOptionError(f"the interval of a schedule is a second or more, not {given!r}")
        return cls(seconds)

    def following(self, after: float, began: float) -> float | None:
        """The first due time later than `after`, of a schedule that began at `began`: in UTC seconds."""
        count = max(0, int((after - began) // self.seconds)) + 1
        due = began + count * self.seconds
        return due if due > after else due + self.seconds  # a float may be a little less than it should

    def latest(self, now: float, began: float) -> float | None:
        """The last due time that is not later than `now`; None if there was none."""
        count = int((now - began) // self.seconds)
        return began + count * self.seconds if count >= 1 else None

    @property
    def zone(self) -> str:
        """The name of the time zone, for display."""
        return "UTC"

    @property
    def text(self) -> str:
        """The schedule in a few words."""
        return (
            f"every {timedelta(seconds=self.seconds)}" if self.seconds >= 60 else f"every {self.seconds:g} s"
        )

    def dump(self) -> dict[str, Any]:
        """The schedule as plain data."""
        return {"interval": self.seconds}


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression in a time zone. Daylight saving is that of Debian's cron, see `docs/how-to/run-on-a-schedule.md`."""

    expression: str
    zone: str = "UTC"

    @classmethod
    def of(cls, expression: object, timezone: object = None) -> Cron:
        """The schedule that a user gives. Raises `InvalidOptionError` for a wrong expression or zone."""
        zone = _zone_name(timezone)
        if not isinstance(expression, str):
            raise InvalidOptionError(
                f'a cron expression is text, such as "0 9 * * 1-5" for 9:00 on weekdays, not {expression!r:.100}'
            )
        fields = _NAMED.get(expression.strip().lower(), expression).split()
        if len(fields) != 5:
            raise InvalidOptionError(
                f"the cron expression {expression!r:.100} has {len(fields)} fields, and needs 5: minute hour day month "
                'weekday, such as "0 9 * * 1-5" for 9:00 on weekdays'
            )
        found = cls(" ".join(fields), zone)
        from cronsim import CronSimError

        try:
            following = found.following(datetime(2000, 1, 1, tzinfo=UTC).timestamp(), 0.0)
        except CronSimError as error:
            raise InvalidOptionError(
                f"the cron expression {expression!r:.100} is wrong: {_why(fields, str(error))}. The fields are minute (0-59), "
                'hour (0-23), day (1-31), month (1-12) and weekday (0-7, 0 and 7 are Sunday), such as "0 9 * * 1-5" for '
                "9:00 on weekdays"
            ) from None
        if following is None:
            raise InvalidOptionError(
                f"the cron expression {expression!r:.100} is never due: no date fits its day, month and weekday"
            )
        return found

    def following(self, after: float, began: float) -> float | None:
        """The first due time later than `after`, in UTC seconds; None if there is none in 50 years."""
        from cronsim import CronSim

        for each in CronSim(self.expression, datetime.fromtimestamp(after, zone_of(self.zone))):
            # In the hour that comes twice, the first one is meant, which may be over.
            if (due := each.timestamp()) > after:
                return due
        return None

    def latest(self, now: float, began: float) -> float | None:
        """The last due time that is not later than `now`; None if there was none since `began`."""
        from cronsim import CronSim

        back = CronSim(self.expression, datetime.fromtimestamp(now + 60, zone_of(self.zone)), reverse=True)
        for near in back:
            # From some hours before on it is followed forwards: both directions must agree where the clocks change.
            start = max(began, near.timestamp() - _AROUND)
            found, due = None, self.following(start, began)
            while due is not None and due <= now:
                found, due = due, self.following(due, began)
            if found is not None or start == began:
                return found
        return None

    @property
    def text(self) -> str:
        """The schedule in a few words."""
        from cronsim import CronSim

        with_words = CronSim(self.expression, datetime(2000, 1, 1, tzinfo=UTC)).explain()
        return f"{self.expression} · {with_words}"

    def dump(self) -> dict[str, Any]:
        """The schedule as plain data."""
        return {"cron": self.expression, "timezone": self.zone}


Times: TypeAlias = Interval | Cron


def load_times(data: Mapping[str, Any]) -> Times:
    """The schedule of plain data. Raises `InvalidOptionError`."""
    if "cron" in data:
        return Cron.of(data["cron"], data.get("timezone"))
    return Interval.of(data.get("interval"))


def times_of(cron: object, interval: object, timezone: object) -> Times:
    """The schedule that a user gives as `cron=` or `interval=`. Raises `InvalidOptionError`."""
    if (cron is None) == (interval is None):
        raise InvalidOptionError(
            'a schedule takes cron="0 9 * * 1-5" or interval=3600 (seconds): exactly one of the two'
        )
    if cron is not None:
        return Cron.of(cron, timezone)
    if timezone is not None:
        raise InvalidOptionError("timezone= belongs to cron=: an interval is the same in all zones")
    return Interval.of(interval)


def check_catch_up(given: object) -> CatchUp:
    """What happens to due times that were missed. Raises `InvalidOptionError`."""
    if given not in CATCH_UP:
        raise InvalidOptionError(
            'catch_up is "last" (one run for all times that were missed), "all" (a run for each) or "none", '
            f"not {given!r:.100}"
        )
    return given


@cache
def zone_of(name: str) -> ZoneInfo:
    """The time zone of a name that was checked. One that this machine does not know any more is UTC."""
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        return ZoneInfo("UTC")


def _zone_name(given: object) -> str:
    if given is None:
        return "UTC"
    name = getattr(given, "key", given)  # a ZoneInfo
    if given is UTC:
        name = "UTC"
    if not isinstance(name, str) or is_number(given):
        raise InvalidOptionError(
            f'timezone is a name such as "Europe/Berlin", or a zoneinfo.ZoneInfo with one, not {given!r:.100}'
        )
    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        known = available_timezones()
        if not known:
            raise InvalidOptionError(
                f"timezone {name!r:.100} cannot be looked up: this system has no time zones. pip install tzdata"
            ) from None
        raise InvalidOptionError(f"there is no time zone {name!r:.100}. {_meant(name, known)}") from None
    return name


def _meant(name: str, known: set[str]) -> str:
    by_city = {each.rpartition("/")[2].lower(): each for each in sorted(known, reverse=True)}
    found = by_city.get(name.rpartition("/")[2].lower().replace(" ", "_"))
    close = [found] if found else difflib.get_close_matches(name, known, n=1)
    return f"Did you mean {close[0]!r}?" if close else 'Zones have names such as "Europe/Berlin"'


_NAMES = {"minute": 0, "hour": 1, "day-of-month": 2, "month": 3, "day-of-week": 4}


def _why(fields: list[str], message: str) -> str:
    """Which field is wrong, from the message of the library: "Bad minute"."""
    name = message.removeprefix("Bad ").strip()
    if name not in _NAMES:
        return message
    return f"its {name} is {fields[_NAMES[name]]!r}"
