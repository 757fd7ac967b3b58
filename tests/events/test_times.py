"""Times of schedules: cron expressions in zones, over daylight saving, and intervals."""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from trigger_nb import DynamicSchedule, cron_trigger, interval_trigger
from trigger_nb._schedules.times import Cron, Interval, load_times
from trigger_nb.errors import InvalidOptionError

ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe")  # the last one changes by half an hour
BEGAN = datetime(2027, 12, 31, 12, tzinfo=UTC).timestamp()
END = datetime(2029, 1, 1, 12, tzinfo=UTC).timestamp()


def walk(times: Cron | Interval, began: float = BEGAN, end: float = END) -> list[float]:
    """All due times of the year 2028, a leap year, each found from the one before."""
    found: list[float] = []
    due = times.following(began, BEGAN)
    while due is not None and due < end:
        found.append(due)
        due = times.following(due, BEGAN)
    return found


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(
    ("expression", "hour", "minute"), [("0 9 * * *", 9, 0), ("30 2 * * *", 2, 30), ("15 1 * * *", 1, 15)]
)
def test_a_daily_time_comes_once_a_day_in_its_zone(zone, expression, hour, minute):
    """Reference: `cron_trigger(..., timezone=)`: one run a day, also on days on which the clocks change."""
    found = [datetime.fromtimestamp(each, ZoneInfo(zone)) for each in walk(Cron.of(expression, zone))]
    days = [each.date() for each in found]
    assert days == [days[0] + timedelta(days=count) for count in range(len(days))]
    assert len(days) in (366, 367)
    assert datetime(2028, 2, 29).date() in days
    odd = [each for each in found if (each.hour, each.minute) != (hour, minute)]
    # What does not exist on a day comes right after the gap.
    assert len(odd) <= 1
    assert all(
        timedelta(0) < each - each.replace(hour=hour, minute=minute) <= timedelta(hours=1) for each in odd
    )


@pytest.mark.parametrize("zone", ZONES)
def test_an_hourly_time_comes_every_real_hour(zone):
    """Every hour means every hour that passes: none is left out and none comes twice."""
    for month, day in (
        (3, 8),
        (3, 22),
        (3, 31),
        (9, 28),
        (10, 26),
        (11, 3),
    ):  # around the changes of the clocks
        began = datetime(2028, month, day, tzinfo=UTC).timestamp()
        found = walk(Cron.of("*/30 * * * *", zone), began, began + 5 * 86_400)
        assert len(found) == 5 * 48 - 1
        assert {later - earlier for earlier, later in zip(found, found[1:])} == {1800.0}


def test_missed_months_and_the_leap_day():
    """The 31st is in seven months, the 29th of February in leap years, the last day in all months."""
    assert len(walk(Cron.of("0 0 31 * *"))) == 7
    leap = [datetime.fromtimestamp(each, UTC).date() for each in walk(Cron.of("0 0 29 2 *"))]
    assert leap == [datetime(2028, 2, 29).date()]
    assert len(walk(Cron.of("0 0 L * *"))) == 12


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(
    "expression", ["30 2 * * *", "0 * * * *", "0 9 * * 1-5", "0 0 1 * *", "0,30 1,2 * * 0"]
)
def test_the_latest_time_is_one_of_the_times(zone, expression):
    """`latest` and `following` agree at each moment, also around changes of the clocks."""
    times = Cron.of(expression, zone)
    found = walk(times)
    moments = [BEGAN + step * 3 * 86_399.0 for step in range(122)]
    for month, day in ((3, 12), (3, 26), (4, 2), (10, 1), (10, 29), (11, 5)):
        around = datetime(2028, month, day, tzinfo=UTC).timestamp() - 43_200
        moments += [around + step * 4_501.0 for step in range(20)]
    for now in moments + found[:20] + [each - 1 for each in found[:20]]:
        before = bisect_right(found, now)
        assert times.latest(now, BEGAN) == (found[before - 1] if before else None), datetime.fromtimestamp(
            now, UTC
        )


def test_the_hour_that_comes_twice_starts_once():
    """A time in the hour that is repeated is due once; and not again from within the second hour."""
    zone = ZoneInfo("Europe/Berlin")
    times = Cron.of("30 2 * * *", "Europe/Berlin")
    first = datetime(2028, 10, 29, 2, 30, tzinfo=zone)
    within = datetime(2028, 10, 29, 2, 10, fold=1, tzinfo=zone)
    assert times.following(first.timestamp() - 1, 0) == first.timestamp()
    for after in (first.timestamp(), within.timestamp()):
        following = times.following(after, 0)
        assert following is not None
        assert datetime.fromtimestamp(following, zone).date() == datetime(2028, 10, 30).date()


def test_intervals_count_from_their_beginning():
    """Reference: `interval_trigger(seconds)`: multiples of it, each once, with floats too."""
    times = Interval.of(0.1 * 30)
    due, found = times.following(BEGAN, BEGAN), []
    for _ in range(1000):
        found.append(due)
        due = times.following(due, BEGAN)
    assert found == sorted(set(found))
    assert found[0] == BEGAN + 3
    assert times.latest(BEGAN + 2.9, BEGAN) is None
    assert times.latest(BEGAN + 7, BEGAN) == pytest.approx(BEGAN + 6)
    assert Interval.of(timedelta(hours=1)) == Interval(3600.0)
    for each in (times, Cron.of("@daily", ZoneInfo("Europe/Berlin"))):
        assert load_times(each.dump()) == each


@pytest.mark.parametrize(
    ("expression", "zone", "message"),
    [
        ("61 * * * *", None, "its minute is '61'"),
        ("* * * *", None, "has 4 fields, and needs 5"),
        ("0 0 30 2 *", None, "its day-of-month is '30'"),
        ("0 9 * * FOO", None, "its day-of-week is 'FOO'"),
        ("", None, "has 0 fields"),
        (9, None, 'a cron expression is text, such as "0 9'),
        ("0 9 * * *", "Berlin", "Did you mean 'Europe/Berlin'"),
        ("0 9 * * *", "Europe/Berln", "Did you mean 'Europe/Berlin'"),
        ("0 9 * * *", "../etc/passwd", "there is no time zone"),
        ("0 9 * * *", "", "there is no time zone"),
        ("0 9 * * *", 2, "timezone is a name"),
    ],
)
def test_wrong_expressions_and_zones_say_what_is_wrong(expression, zone, message):
    """Bad input: an error that says what is wrong, where, and what to type, when the trigger is defined."""
    with pytest.raises(InvalidOptionError, match=message.replace("(", r"\(")):
        cron_trigger(expression, timezone=zone)


@pytest.mark.parametrize("seconds", [0, -1, 0.5, float("nan"), float("inf"), "60", None, True])
def test_wrong_intervals(seconds):
    """Bad input: an interval is a second or more."""
    with pytest.raises(InvalidOptionError, match=r"interval"):
        interval_trigger(seconds)


def test_other_wrong_options():
    """Bad input: `catch_up=`, and the id of a dynamic schedule."""
    with pytest.raises(InvalidOptionError, match='catch_up is "last"'):
        cron_trigger("@daily", catch_up="every")  # type: ignore[arg-type]
    with pytest.raises(InvalidOptionError, match="the id of a DynamicSchedule"):
        DynamicSchedule("")
