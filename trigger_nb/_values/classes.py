"""Codecs for enums, named tuples, dataclasses, addresses and secrets.

An instance is written as the name of its class and the values of its fields. It is read into the current class of
that name, without calling `__init__`: the stored values are set directly.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any, cast

from ..errors import NotStorableError, ValueNotLoadedError
from .defaults import MISSING, Default, counted_fields, default_of, new_value
from .names import (
    attributes_of,
    find_class,
    is_computed,
    is_heap_type,
    kind_of,
    load_class,
    of_type,
    put_attributes,
    refuse_missing,
    secret_kind,
    type_name,
)
from .placeholders import Redacted, Unstored, UnstoredArgument, known_of, redacted_kind
from .tagged import TAG, Reader, Write, Writer, add_finder, add_reader, add_type


def _find(cls: type[Any]) -> Write | None:
    if issubclass(cls, enum.Enum):
        return _write_enum
    if issubclass(cls, BaseException):
        return None  # even if it is a dataclass: an error has more parts than its fields
    if issubclass(cls, tuple):
        return _write_namedtuple if hasattr(cast("object", cls), "_fields") else None
    if secret_kind(cls):
        return _write_secret
    if dataclasses.is_dataclass(cls) and _is_plain_object(cls):
        return _write_dataclass
    return _write_url if _is_url(cls) else None


def _is_plain_object(cls: type[Any]) -> bool:
    """Whether instances have only attributes, because no base is a built-in container or another C class."""
    return all(base is object or is_heap_type(base) for base in cls.__mro__)


_URL_MODULES = frozenset({"pydantic.networks", "pydantic_core._pydantic_core"})


# Enums -------------------------------------------------------------------------------------------


def _write_enum(writer: Writer, value: enum.Enum) -> Any:
    name = writer.class_of(value, enum.Enum)
    now = cast("type[enum.Enum]", find_class(name))
    if isinstance(value, enum.Flag):
        return {TAG: "flag", "of": name, "v": writer.at("value", value.value)}
    if now.__members__.get(value._name_) is None:
        writer.refuse(value, f"the class has no member named {value._name_!r}")
    return {TAG: "enum", "of": name, "v": value._name_}


def _read_enum(reader: Reader, data: dict[str, Any]) -> Any:
    cls = cast("type[enum.Enum]", load_class(data["of"], enum.Enum))
    member = cls.__members__.get(data["v"])
    if member is None:
        raise ValueNotLoadedError(
            f"a stored value is {type_name(cls)}.{data['v']}, but that enum no longer has such a member. "
            "Restore the member, or run the task again."
        )
    return member


def _read_flag(reader: Reader, data: dict[str, Any]) -> Any:
    cls = load_class(data["of"], enum.Flag)
    known: Any = cls._value2member_map_.get(value := reader.of(data["v"], int))
    # A combination, as Python makes it: a call of the class would call a `_missing_` of its own.
    return known if known is not None else cast("Any", enum.Flag._missing_).__func__(cls, value)


# Named tuples ------------------------------------------------------------------------------------


def _write_namedtuple(writer: Writer, value: Any) -> Any:
    name = writer.class_of(value, tuple)
    if getattr(value, "__dict__", None):
        writer.refuse(value, "it has attributes besides its fields")
    return {TAG: "namedtuple", "of": name, "v": writer.fields(dict(zip(value._fields, value, strict=True)))}


def _read_namedtuple(reader: Reader, data: dict[str, Any]) -> Any:
    cls: Any = load_class(data["of"], tuple)
    values = {**getattr(cls, "_field_defaults", {}), **reader.fields(data["v"])}
    missing = [name for name in cls._fields if name not in values]
    if missing:
        refuse_missing(cls, missing)
    return cast("Any", tuple).__new__(cls, (values[name] for name in cls._fields))


# Dataclasses -------------------------------------------------------------------------------------


def _write_dataclass(writer: Writer, value: Any) -> Any:
    name = writer.class_of(value)
    attributes = {field.name for field in dataclasses.fields(value)}
    state = attributes_of(value)
    fields = {
        name: state.pop(name, getattr(value, name, None)) for name in attributes if hasattr(value, name)
    }
    fields = {field.name: fields[field.name] for field in dataclasses.fields(value) if field.name in fields}
    data: dict[str, Any] = {TAG: "dataclass", "of": name, "v": {}}
    if writer.canonical and writer.counts == "changed":
        defaults = {field.name: _default_of(field) for field in dataclasses.fields(value)}
        data["v"] = counted_fields(writer, kind_of(value), fields, defaults.__getitem__)
    else:
        data["v"] = writer.fields(fields)
    if state:
        data["more"] = writer.fields(state)
    cls = kind_of(value)
    for name in fields:
        if (
            not writer.canonical
            and is_computed(cls, name)
            and not _is_in_state(cls, name, fields[name], state)
        ):
            writer.refuse(value, f"its field {name} is kept outside of the instance, by code of the class")
    return data


def _is_in_state(cls: type[Any], name: str, value: Any, state: Mapping[str, Any]) -> bool:
    """Whether a field that code of the class gets is the same for an instance with this state."""
    other = object.__new__(cls)
    put_attributes(other, state)
    try:
        found = getattr(other, name)
        return found is value or bool(found == value)
    except Exception:  # of the class
        return False


def _default_of(field: dataclasses.Field[Any]) -> Default:
    if kind_of(field.default).__name__ == "FieldInfo":  # of a dataclass of pydantic
        return default_of(field.default, {})
    if field.default_factory is not dataclasses.MISSING:
        return Default(factory=field.default_factory)
    return Default() if field.default is dataclasses.MISSING else Default(field.default)


def _read_dataclass(reader: Reader, data: dict[str, Any]) -> Any:
    cls = load_class(data["of"])
    if not dataclasses.is_dataclass(cast("object", cls)):
        raise ValueNotLoadedError(
            f"a stored value is of the class {type_name(cls)}, which is no longer a dataclass. "
            "Restore the earlier definition, or run the task again."
        )
    values = reader.fields(data["v"])
    fields: dict[str, Any] = {}
    missing: list[str] = []
    for field in dataclasses.fields(cast("Any", cls)):
        if field.name in values:
            fields[field.name] = values[field.name]
            continue
        reader.note_new(data["of"], field.name)
        default = new_value(reader, cls, field.name, _default_of(field))
        if default is not MISSING:
            fields[field.name] = default
        elif field.init:
            missing.append(field.name)
    if missing:
        refuse_missing(cls, missing)
    more = reader.fields(data.get("more", {}))
    if not more and (outside := [name for name in fields if is_computed(cls, name)]):
        raise ValueNotLoadedError(
            f"a stored value is of the class {type_name(cls)}, whose field {outside[0]} is set by code of the class. It is not "
            "called to read a stored value: keep the field in an attribute, or run the task again."
        )
    fresh = object.__new__(cls)
    put_attributes(fresh, fields)
    put_attributes(fresh, more)
    return fresh


# Pydantic's addresses ----------------------------------------------------------------------------


def _is_url(cls: type[Any]) -> bool:
    return cls.__module__ in _URL_MODULES and cls.__name__.endswith(("Url", "Dsn"))


def _write_url(writer: Writer, value: Any) -> Any:
    cls: Any = kind_of(value)
    text = str(value)
    if cls(text) != value:
        writer.refuse(value, "its text does not contain the whole address")
    return {TAG: "url", "of": writer.class_of(value), "v": text}


def _read_url(reader: Reader, data: dict[str, Any]) -> Any:
    cls = load_class(data["of"])
    if not _is_url(cls):  # no other class may be called with data from a row
        raise ValueNotLoadedError(
            f"a stored value is recorded as an address, but {type_name(cls)} is not a class of addresses"
        )
    return cls(of_type(data["v"], str))


# Secrets and placeholders ------------------------------------------------------------------------


def _write_secret(writer: Writer, value: Any) -> Any:
    if writer.secrets is not None:
        writer.secrets.append(value)
    if writer.canonical:
        return {TAG: "secret"}
    return {TAG: "secret", "of": secret_kind(kind_of(value))}


def _write_redacted(writer: Writer, value: Redacted) -> Any:
    if writer.secrets is not None:
        writer.secrets.append(value)
    if writer.canonical:
        return {TAG: "secret"}
    return {TAG: "secret", "of": redacted_kind(value)}


def _read_secret(reader: Reader, data: Mapping[str, Any]) -> Any:
    known = next(reader.secrets, None)
    return Redacted(data["of"]) if known is None else known


def _refuse_unstored(writer: Writer, value: Unstored | UnstoredArgument) -> Any:
    """Refuse a placeholder for the same reason as the original value."""
    known = known_of(value)
    reason = known.get("reason") or "it is a placeholder for a value that could not be stored"
    raise NotStorableError(writer.path, known["type"], reason)


def register() -> None:
    """Register the codecs for user-defined classes."""
    add_finder(_find)
    add_reader("enum", _read_enum)
    add_reader("flag", _read_flag)
    add_reader("namedtuple", _read_namedtuple)
    add_reader("dataclass", _read_dataclass)
    add_reader("url", _read_url)
    add_type(Redacted, "secret", _write_redacted, _read_secret)
    add_type(Unstored, "unstored", _refuse_unstored, lambda reader, data: Unstored(**data["v"]))
    add_type(
        UnstoredArgument, "argument", _refuse_unstored, lambda reader, data: UnstoredArgument(**data["v"])
    )
