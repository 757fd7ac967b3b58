"""Codecs for classes that other libraries make: attrs, msgspec, `SimpleNamespace`, the rows of pandas' `itertuples`."""

from __future__ import annotations

import functools
from collections import namedtuple
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

from ..errors import ValueNotLoadedError
from .defaults import MISSING, Default, counted_fields, new_value
from .names import (
    attributes_of,
    class_name,
    find_class,
    kind_of,
    load_class,
    of_type,
    put_attributes,
    refuse_missing,
    type_name,
)
from .tagged import TAG, Reader, Write, Writer, add_finder, add_reader, add_type


class _Field(NamedTuple):
    name: str
    default: Callable[[Any], Default]  # of an instance
    is_required: bool = False


def _find(cls: type[Any]) -> Write | None:
    if issubclass(cls, BaseException):
        return None
    if hasattr(cls, "__attrs_attrs__") or hasattr(cls, "__struct_fields__"):
        return _write_instance
    return _write_row if tuple in cls.__mro__ and _is_row(cls) else None


# Instances of attrs and msgspec ------------------------------------------------------------------


def _fields_of(cls: Any) -> list[_Field]:
    if hasattr(cls, "__attrs_attrs__"):
        return [
            _Field(
                each.name,
                functools.partial(_attrs_default, each.default),
                each.init and _is_none(each.default),
            )
            for each in cls.__attrs_attrs__
        ]
    names, defaults = cls.__struct_fields__, cls.__struct_defaults__
    tail = [*[None] * (len(names) - len(defaults)), *defaults]
    return [
        _Field(
            name,
            functools.partial(_attrs_default, each),
            index < len(names) - len(defaults) or _is_none(each),
        )
        for index, (name, each) in enumerate(zip(names, tail, strict=True))
    ]


def _is_none(default: Any) -> bool:
    """Whether a default stands for none: `attrs.NOTHING`, `msgspec.NODEFAULT`."""
    return kind_of(default).__name__ in ("_Nothing", "NoDefaultType") or repr(default) in (
        "NOTHING",
        "NODEFAULT",
    )


def _attrs_default(default: Any, instance: Any) -> Default:
    if _is_none(default):
        return Default()
    factory = getattr(default, "factory", None)
    if kind_of(default).__name__ != "Factory" or factory is None:
        return Default(default)
    return Default(
        factory=functools.partial(factory, instance) if getattr(default, "takes_self", False) else factory
    )


def _write_instance(writer: Writer, value: Any) -> Any:
    cls = kind_of(value)
    fields = _fields_of(cls)
    state = {name: item for name, item in attributes_of(value).items() if name != "_attrs_cached_hash"}
    values = {each.name: getattr(value, each.name) for each in fields if hasattr(value, each.name)}
    data: dict[str, Any] = {TAG: "attrs", "of": writer.class_of(value), "v": {}}
    if writer.canonical and writer.counts == "changed":
        defaults = {each.name: each for each in fields}
        data["v"] = counted_fields(writer, cls, values, lambda name: _own_default(defaults[name], value))
    else:
        data["v"] = writer.fields(values)
    if more := {name: item for name, item in state.items() if name not in values}:
        data["more"] = writer.fields(more)
    return data


def _own_default(field: _Field, value: Any) -> Default:
    """The default of a field, unless it is required."""
    return Default() if field.is_required else field.default(value)


def _read_instance(reader: Reader, data: dict[str, Any]) -> Any:
    cls: Any = load_class(data["of"])
    is_attrs = hasattr(cls, "__attrs_attrs__")
    if not is_attrs and type(cls).__name__ != "StructMeta":
        raise ValueNotLoadedError(
            f"a stored value is of the class {type_name(cls)}, which is no longer a class of attrs or msgspec. "
            "Restore the earlier definition, or run the task again."
        )
    values = reader.fields(data["v"])
    fields = _fields_of(cls)
    if missing := [each.name for each in fields if each.is_required and each.name not in values]:
        refuse_missing(cls, missing)
    fresh = object.__new__(cls) if is_attrs else None
    known: dict[str, Any] = {}
    for each in fields:
        if each.name in values:
            known[each.name] = values[each.name]
            continue
        reader.note_new(data["of"], each.name)
        known[each.name] = new_value(reader, cls, each.name, each.default(fresh))
    known = {name: value for name, value in known.items() if value is not MISSING}
    if is_attrs:
        put_attributes(fresh, known)
    else:
        fresh = cls(**known)  # msgspec makes a struct in no other way: `__post_init__` is called
    put_attributes(fresh, reader.fields(data.get("more", {})))
    return fresh


# Namespaces --------------------------------------------------------------------------------------


def _write_namespace(writer: Writer, value: SimpleNamespace) -> Any:
    return {TAG: "namespace", "v": writer.fields(vars(value))}


def _read_namespace(reader: Reader, data: dict[str, Any]) -> SimpleNamespace:
    return SimpleNamespace(**reader.fields(data["v"]))


# Rows of `DataFrame.itertuples` ------------------------------------------------------------------


def _is_row(cls: type[Any]) -> bool:
    """Whether pandas made the class, for one call of `itertuples`."""
    return (
        cls.__module__ == "pandas.core.frame"
        and hasattr(cls, "_fields")
        and find_class(class_name(cls)) is None
    )


def _write_row(writer: Writer, value: Any) -> Any:
    return {
        TAG: "row",
        "of": kind_of(value).__name__,
        "names": writer.items(value._fields),
        "v": writer.items(value),
    }


def _read_row(reader: Reader, data: dict[str, Any]) -> Any:
    names = tuple(reader.of(name, str) for name in data["names"])
    return _row_class(of_type(data["of"], str), names)(*reader.items(data["v"]))


@functools.lru_cache(maxsize=256)
def _row_class(name: str, fields: tuple[str, ...]) -> Any:
    make: Any = namedtuple  # noqa: PYI024  # as pandas makes it
    return make(name, fields, rename=True, module="pandas.core.frame")


def register() -> None:
    """Register the codecs for these classes."""
    add_finder(_find)
    add_reader("attrs", _read_instance)
    add_reader("row", _read_row)
    add_type(SimpleNamespace, "namespace", _write_namespace, _read_namespace)
