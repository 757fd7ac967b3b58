"""Dates, times and time zones: those of Python, and the zones of zoneinfo, pytz, dateutil and pydantic."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from typing import Any, Final

from .libraries import import_library, not_from_here
from .names import of_type
from .tagged import TAG, Reader, Write, Writer, add_finder, add_reader, add_type

# Dates and times ---------------------------------------------------------------------------------


def _write_zone(writer: Writer, zone: tzinfo | None) -> Any:
    if zone is None:
        return None
    data = writer.at("tzinfo", zone)
    # pytz has one object for each offset that a zone ever had, all with the same name.
    if data[TAG] == "pytz.zone" and _read_pytz(Reader(None), data) is not zone:
        writer.refuse(zone, "its name does not identify this time zone of pytz; use zoneinfo.ZoneInfo")
    return data


def _write_datetime(writer: Writer, value: datetime) -> Any:
    zone = _write_zone(writer, value.tzinfo)
    return {TAG: "datetime", "v": value.replace(tzinfo=None).isoformat(), "fold": value.fold, "tz": zone}


def _read_datetime(reader: Reader, data: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(data["v"]).replace(tzinfo=reader.read(data["tz"]), fold=data["fold"])


def _write_time(writer: Writer, value: time) -> Any:
    zone = _write_zone(writer, value.tzinfo)
    return {TAG: "time", "v": value.replace(tzinfo=None).isoformat(), "fold": value.fold, "tz": zone}


def _read_time(reader: Reader, data: dict[str, Any]) -> time:
    return time.fromisoformat(data["v"]).replace(tzinfo=reader.read(data["tz"]), fold=data["fold"])


def _write_date(writer: Writer, value: date) -> Any:
    return {TAG: "date", "v": value.isoformat()}


def _read_date(reader: Reader, data: dict[str, Any]) -> date:
    return date.fromisoformat(data["v"])


def _write_timedelta(writer: Writer, value: timedelta) -> Any:
    return {TAG: "timedelta", "v": [value.days, value.seconds, value.microseconds]}


def _read_timedelta(reader: Reader, data: dict[str, Any]) -> timedelta:
    return timedelta(*data["v"])


def _write_timezone(writer: Writer, value: timezone) -> Any:
    offset = value.utcoffset(None)
    name = value.tzname(None)
    named = name != timezone(offset).tzname(None)
    return {TAG: "timezone", "v": writer.write(offset), "name": writer.write(name) if named else None}


def _read_timezone(reader: Reader, data: dict[str, Any]) -> timezone:
    offset: timedelta = reader.read(data["v"])
    return timezone(offset) if data["name"] is None else timezone(offset, reader.read(data["name"]))


# Zones of modules that are imported only when needed ------------------------------------------------


def _write_zoneinfo(writer: Writer, value: Any) -> Any:
    if value.key is None:
        writer.refuse(value, "a time zone that was read from a file has no name")
    return {TAG: "zone", "v": value.key}


def _read_zoneinfo(reader: Reader, data: dict[str, Any]) -> tzinfo:
    from zoneinfo import ZoneInfo

    with not_from_here():  # it imports tzdata where the system has no zones
        return ZoneInfo(_zone_name(data["v"]))


def _zone_name(name: Any) -> str:
    """The name of a zone: not a path, by which these libraries would open any file."""
    if not re.fullmatch(r"\w[\w+-]*(/\w[\w+-]*)*", of_type(name, str)):
        raise ValueError(f"{name!r} is no name of a time zone")
    return name


def _write_pytz(writer: Writer, value: Any) -> Any:
    if not getattr(value, "zone", None):
        writer.refuse(value, "a time zone without a name; use datetime.timezone")
    return {TAG: "pytz.zone", "v": value.zone}


def _read_pytz(reader: Reader, data: dict[str, Any]) -> tzinfo:
    return import_library("pytz").timezone(_zone_name(data["v"]))


# The zones of dateutil, by what makes them again. A zone from a file has the name that dateutil finds the file by.
_ZONE_PARTS: Final = (str, int, float, timedelta, type(None))
_OF_ZONES: Final = {"tzutc": (), "tzlocal": (), "tzoffset": ("_name", "_offset"), "tzstr": ("_s",)}


def _write_dateutil(writer: Writer, value: Any) -> Any:
    kind = type(value).__name__
    if kind == "tzfile":
        kind, arguments = "gettz", [_zone_key(value)]
    elif kind in _OF_ZONES:
        arguments = [getattr(value, name) for name in _OF_ZONES[kind]]
    else:
        writer.refuse(value, "a time zone without a name; use zoneinfo.ZoneInfo")
    data = {TAG: "dateutil.zone", "of": kind, "v": writer.items(arguments)}
    try:
        is_same = _read_dateutil(Reader(None), data) == value
    except ValueError:
        is_same = False
    if not is_same:
        writer.refuse(value, "its name does not identify this time zone of dateutil; use zoneinfo.ZoneInfo")
    return data


def _zone_key(value: Any) -> str:
    """The name of a zone: `Europe/Berlin` of /usr/share/zoneinfo/Europe/Berlin, which has another place elsewhere."""
    return str(value._filename).rpartition("zoneinfo/")[2]


def _read_dateutil(reader: Reader, data: dict[str, Any]) -> tzinfo:
    kind: str = data["of"]
    arguments = [reader.of(each, *_ZONE_PARTS) for each in data["v"]]
    if kind == "gettz":
        _zone_name(arguments[0])
    elif kind not in _OF_ZONES:
        raise ValueError(f"{kind} {data['v']} is no zone of dateutil")
    zone = getattr(import_library("dateutil.tz"), kind)(*arguments)
    if zone is None:
        raise ValueError(f"dateutil finds no time zone {data['v']}")
    return zone


def _write_pydantic_zone(writer: Writer, value: tzinfo) -> Any:
    """The zone of the times that pydantic reads from text. In keys it counts as the zone of `datetime` that equals it."""
    offset = value.utcoffset(None) or timedelta()
    if writer.canonical:
        return writer.write(timezone(offset))
    return {TAG: "pydantic.zone", "v": int(offset.total_seconds())}


def _read_pydantic_zone(reader: Reader, data: dict[str, Any]) -> tzinfo:
    return import_library("pydantic_core").TzInfo(of_type(data["v"], int))


def _find_zone(cls: type[Any]) -> Write | None:
    if f"{cls.__module__}.{cls.__qualname__}" == "zoneinfo.ZoneInfo":
        return _write_zoneinfo
    if f"{cls.__module__}.{cls.__qualname__}" == "pydantic_core._pydantic_core.TzInfo":
        return _write_pydantic_zone
    if cls.__module__.startswith("dateutil.") and issubclass(cls, tzinfo):
        return _write_dateutil
    return _write_pytz if cls.__module__.partition(".")[0] == "pytz" and issubclass(cls, tzinfo) else None


def register() -> None:
    """Register dates, times and zones."""
    add_type(datetime, "datetime", _write_datetime, _read_datetime)
    add_type(date, "date", _write_date, _read_date)
    add_type(time, "time", _write_time, _read_time)
    add_type(timedelta, "timedelta", _write_timedelta, _read_timedelta)
    add_type(timezone, "timezone", _write_timezone, _read_timezone)
    add_reader("zone", _read_zoneinfo)
    add_reader("pytz.zone", _read_pytz)
    add_reader("dateutil.zone", _read_dateutil)
    add_reader("pydantic.zone", _read_pydantic_zone)
    add_finder(_find_zone)
