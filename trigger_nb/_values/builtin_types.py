"""Codecs for types of Python's standard library."""

from __future__ import annotations

import base64
import re
import struct
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterable
from typing import Any, Final, cast

from .json_text import dumps_sorted
from .libraries import import_library
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


def _write_pattern(writer: Writer, value: re.Pattern[Any]) -> Any:
    if value.flags & re.DEBUG:
        writer.refuse(value, "re.DEBUG would print at each reading; compile it without")
    return {TAG: "re.Pattern", "v": writer.write(value.pattern), "flags": value.flags}


def _read_pattern(reader: Reader, data: dict[str, Any]) -> re.Pattern[Any]:
    return re.compile(reader.of(data["v"], str, bytes), reader.of(data["flags"], int) & ~re.DEBUG)


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


# Types of modules that are imported only when needed ----------------------------------------------


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
    add_type(re.Pattern, "re.Pattern", _write_pattern, _read_pattern)
    add_type(list, "list", _write_list, lambda reader, data: reader.items(data["v"]))
    add_type(dict, "dict", _write_dict, _read_dict)
    add_type(tuple, "tuple", _write_tuple, _read_tuple)
    add_type(set, "set", _write_set, _read_set)
    add_type(frozenset, "frozenset", _write_frozenset, _read_frozenset)
    add_type(deque, "deque", _write_deque, _read_deque)
    add_type(OrderedDict, "OrderedDict", _write_ordered, _read_ordered)
    add_type(Counter, "Counter", _write_counter, _read_counter)
    add_type(defaultdict, "defaultdict", _write_defaultdict, _read_defaultdict)
    add_reader("pydantic.ByteSize", _read_byte_size)
    add_finder(_find_byte_size)
    add_reader("text", _read_text_type)
    add_finder(_find_text_type)
