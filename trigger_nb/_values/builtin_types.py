"""Codecs for types of Python's standard library."""

from __future__ import annotations

import base64
import re
import struct
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from typing import Any, Final, cast

from .json_text import dumps_sorted
from .libraries import import_library, not_from_here
from .names import of_type
from .tagged import TAG, Key, Reader, Write, Writer, add_finder, add_reader, add_type

# Scalars -----------------------------------------------------------------------------------------

# Python can be configured to refuse integers of more than 640 decimal digits.
_LONG_INT_BITS = 2000


def _write_str(writer: Writer, value: str) -> Any:
    if value.isascii() or not _has_surrogates(value):
        return value
    return {TAG: "str", "v": base64.b64encode(value.encode("utf-8", "surrogatepass")).decode("ascii")}


def _has_surrogates(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return True
    return False


def _read_str(reader: Reader, data: dict[str, Any]) -> str:
    return base64.b64decode(data["v"]).decode("utf-8", "surrogatepass")


def _write_int(writer: Writer, value: int) -> Any:
    return value if value.bit_length() < _LONG_INT_BITS else {TAG: "int", "v": hex(value)}


def _read_int(reader: Reader, data: dict[str, Any]) -> int:
    return int(data["v"], 16)


def _write_float(writer: Writer, value: float) -> Any:
    if value - value == 0:  # finite
        return value
    return {TAG: "float", "v": struct.pack(">d", value).hex()}


def _read_float(reader: Reader, data: dict[str, Any]) -> float:
    return struct.unpack(">d", bytes.fromhex(data["v"]))[0]


def _write_complex(writer: Writer, value: complex) -> Any:
    return {TAG: "complex", "v": struct.pack(">dd", value.real, value.imag).hex()}


def _read_complex(reader: Reader, data: dict[str, Any]) -> complex:
    real, imag = struct.unpack(">dd", bytes.fromhex(data["v"]))
    return complex(real, imag)


def _write_bytes(writer: Writer, value: bytes) -> Any:
    return {TAG: "bytes", **writer.data(value)}


def _read_bytes(reader: Reader, data: dict[str, Any]) -> bytes:
    return reader.data(data)


def _write_bytearray(writer: Writer, value: bytearray) -> Any:
    return {TAG: "bytearray", **writer.data(bytes(value))}


def _read_bytearray(reader: Reader, data: dict[str, Any]) -> bytearray:
    return bytearray(reader.data(data))


def _write_range(writer: Writer, value: range) -> Any:
    return {TAG: "range", "v": writer.items((value.start, value.stop, value.step))}


def _read_range(reader: Reader, data: dict[str, Any]) -> range:
    return range(*(reader.of(each, int) for each in data["v"]))


def _write_slice(writer: Writer, value: slice) -> Any:
    return {TAG: "slice", "v": writer.items((value.start, value.stop, value.step))}


def _read_slice(reader: Reader, data: dict[str, Any]) -> slice:
    return slice(*reader.items(data["v"]))


# Containers --------------------------------------------------------------------------------------


def _write_list(writer: Writer, value: list[Any]) -> Any:
    return writer.items(value)


def _write_dict(writer: Writer, value: dict[Any, Any]) -> Any:
    for key in value:
        if type(key) is not str or key == TAG or not (key.isascii() or not _has_surrogates(key)):
            return {TAG: "dict", "v": _pairs(writer, value)}
    return {key: writer.at(key, item) for key, item in value.items()}


def _pairs(writer: Writer, value: dict[Any, Any]) -> list[Any]:
    pairs: list[Any] = []
    for key, item in value.items():
        # In JSONPath, "~" after a step means the key itself.
        step = key if type(key) is str else Key(_short(key))
        pairs.append([writer.at(Key(_short(key) + "~"), key), writer.at(step, item)])
    if writer.canonical:
        pairs.sort(key=lambda pair: dumps_sorted(pair[0]))
    return pairs


def _short(key: Any) -> str:
    try:
        text = repr(key)
    except Exception:
        text = f"<{type(key).__name__}>"
    return text if len(text) <= 40 else text[:39] + "…"


def _read_pairs(reader: Reader, data: dict[str, Any]) -> list[tuple[Any, Any]]:
    return [(reader.read(key), reader.read(item)) for key, item in data["v"]]


def _read_dict(reader: Reader, data: dict[str, Any]) -> dict[Any, Any]:
    return dict(_read_pairs(reader, data))


def _write_tuple(writer: Writer, value: tuple[Any, ...]) -> Any:
    return {TAG: "tuple", "v": writer.items(value)}


def _read_tuple(reader: Reader, data: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(reader.items(data["v"]))


def _members(writer: Writer, value: Iterable[Any]) -> list[Any]:
    members = [writer.at(Key("*"), member) for member in value]
    if writer.canonical:
        members.sort(key=dumps_sorted)
    return members


def _write_set(writer: Writer, value: set[Any]) -> Any:
    return {TAG: "set", "v": _members(writer, value)}


def _read_set(reader: Reader, data: dict[str, Any]) -> set[Any]:
    return set(reader.items(data["v"]))


def _write_frozenset(writer: Writer, value: frozenset[Any]) -> Any:
    return {TAG: "frozenset", "v": _members(writer, value)}


def _read_frozenset(reader: Reader, data: dict[str, Any]) -> frozenset[Any]:
    return frozenset(reader.items(data["v"]))


def _write_deque(writer: Writer, value: deque[Any]) -> Any:
    return {TAG: "deque", "v": writer.items(value), "max": value.maxlen}


def _read_deque(reader: Reader, data: dict[str, Any]) -> deque[Any]:
    return deque(reader.items(data["v"]), data["max"])


def _write_ordered(writer: Writer, value: OrderedDict[Any, Any]) -> Any:
    _refuse_attributes(writer, value)
    ordered = dict(value)
    if not writer.canonical:
        return {TAG: "OrderedDict", "v": _pairs(writer, ordered)}
    # The order is part of the value, so it is kept in the canonical form, too.
    return {TAG: "OrderedDict", "v": [writer.items(pair) for pair in ordered.items()]}


def _read_ordered(reader: Reader, data: dict[str, Any]) -> OrderedDict[Any, Any]:
    return OrderedDict(_read_pairs(reader, data))


def _write_counter(writer: Writer, value: Counter[Any]) -> Any:
    _refuse_attributes(writer, value)
    return {TAG: "Counter", "v": _pairs(writer, dict(value))}


def _read_counter(reader: Reader, data: dict[str, Any]) -> Counter[Any]:
    return Counter(_read_dict(reader, data))


_FACTORIES: Final[dict[str, Any]] = {
    cls.__name__: cls for cls in (list, dict, set, int, float, str, bool, tuple, bytes, Counter)
}


def _write_defaultdict(writer: Writer, value: defaultdict[Any, Any]) -> Any:
    factory = cast("Any", value.default_factory)
    name = None if factory is None else getattr(factory, "__name__", "")
    if name is not None and _FACTORIES.get(name) is not factory:
        writer.refuse(value, "its default_factory is not a plain type such as list; return dict(...) of it")
    return {TAG: "defaultdict", "of": name, "v": _pairs(writer, dict(value))}


def _read_defaultdict(reader: Reader, data: dict[str, Any]) -> defaultdict[Any, Any]:
    factory = None if data["of"] is None else _FACTORIES[data["of"]]
    return defaultdict(factory, _read_pairs(reader, data))


def _refuse_attributes(writer: Writer, value: Any) -> None:
    if vars(value):
        writer.refuse(value, "it has attributes besides its items")


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


# Types of modules that are imported only when needed ----------------------------------------------


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


def _find_byte_size(cls: type[Any]) -> Write | None:
    if f"{cls.__module__}.{cls.__qualname__}" != "pydantic.types.ByteSize":
        return None
    return lambda writer, value: {TAG: "pydantic.ByteSize", "v": writer.write(int(value))}


def _read_byte_size(reader: Reader, data: dict[str, Any]) -> int:
    return import_library("pydantic").ByteSize(reader.of(data["v"], int))


# Types whose values can be rebuilt from their `str`.
_TEXT_TYPES: Final = frozenset(
    {
        "decimal:Decimal",
        "fractions:Fraction",
        "uuid:UUID",
        "ipaddress:IPv4Address",
        "ipaddress:IPv6Address",
        "ipaddress:IPv4Network",
        "ipaddress:IPv6Network",
        "ipaddress:IPv4Interface",
        "ipaddress:IPv6Interface",
        "pathlib:PosixPath",
        "pathlib:WindowsPath",
        "pathlib:PurePosixPath",
        "pathlib:PureWindowsPath",
    }
)


def _find_text_type(cls: type[Any]) -> Write | None:
    module, name = cls.__module__.partition(".")[0], cls.__qualname__
    if f"{module}:{name}" not in _TEXT_TYPES or vars(sys.modules[module]).get(name) is not cls:
        return None

    def write(writer: Writer, value: Any) -> Any:
        return {TAG: "text", "of": f"{module}:{name}", "v": writer.write(str(value))}

    return write


def _read_text_type(reader: Reader, data: dict[str, Any]) -> Any:
    if data["of"] not in _TEXT_TYPES:
        raise ValueError(f"{data['of']} is not a type that is rebuilt from text")
    # Text only: these types call methods of other objects that they are given.
    text = reader.of(data["v"], str)
    if data["of"] == "fractions:Fraction" and not re.fullmatch(r"-?\d+(/\d+)?", text):
        raise ValueError("not the text of a Fraction")  # "1e99999999" would take minutes
    module, _, name = data["of"].partition(":")
    return getattr(import_library(module), name)(text)


def _find_zone(cls: type[Any]) -> Write | None:
    if f"{cls.__module__}.{cls.__qualname__}" == "zoneinfo.ZoneInfo":
        return _write_zoneinfo
    if f"{cls.__module__}.{cls.__qualname__}" == "pydantic_core._pydantic_core.TzInfo":
        return _write_pydantic_zone
    if cls.__module__.startswith("dateutil.") and issubclass(cls, tzinfo):
        return _write_dateutil
    return _write_pytz if cls.__module__.partition(".")[0] == "pytz" and issubclass(cls, tzinfo) else None


def register() -> None:
    """Register Python's types."""
    add_type(str, "str", _write_str, _read_str)
    add_type(int, "int", _write_int, _read_int)
    add_type(float, "float", _write_float, _read_float)
    add_type(complex, "complex", _write_complex, _read_complex)
    add_type(bytes, "bytes", _write_bytes, _read_bytes)
    add_type(bytearray, "bytearray", _write_bytearray, _read_bytearray)
    add_type(range, "range", _write_range, _read_range)
    add_type(slice, "slice", _write_slice, _read_slice)
    add_type(list, "list", _write_list, lambda reader, data: reader.items(data["v"]))
    add_type(dict, "dict", _write_dict, _read_dict)
    add_type(tuple, "tuple", _write_tuple, _read_tuple)
    add_type(set, "set", _write_set, _read_set)
    add_type(frozenset, "frozenset", _write_frozenset, _read_frozenset)
    add_type(deque, "deque", _write_deque, _read_deque)
    add_type(OrderedDict, "OrderedDict", _write_ordered, _read_ordered)
    add_type(Counter, "Counter", _write_counter, _read_counter)
    add_type(defaultdict, "defaultdict", _write_defaultdict, _read_defaultdict)
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
    add_reader("pydantic.ByteSize", _read_byte_size)
    add_finder(_find_byte_size)
    add_reader("text", _read_text_type)
    add_finder(_find_text_type)
