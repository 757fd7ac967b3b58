"""Descriptions of the notebook's functions, methods and classes, each with the definitions it refers to."""

from __future__ import annotations

import builtins
import enum
from collections.abc import Hashable, Iterable, Iterator, Mapping
from contextlib import suppress
from types import FunctionType, GetSetDescriptorType, MemberDescriptorType, ModuleType
from typing import NamedTuple, cast

from .shape import Global, Shape, digest
from .source import shape_of
from .values import CONTAINERS, Method, ValueWriter, fields, is_code, is_installed, name_of, type_name

__all__ = [
    "Description",
    "closure",
    "defaults",
    "describe",
    "describe_function",
    "describe_value",
    "global_parts",
    "key_of",
    "unread",
]
_MISSING = object()


class Description(NamedTuple):
    """The text of one definition, and the definitions that it refers to."""

    text: str
    children: tuple[object, ...]
    portable: bool  # whether other Python versions give the same text
    described: object  # kept alive, because definitions are identified by their ids


def key_of(definition: object) -> Hashable:
    """A key that identifies a definition as long as it is alive."""
    if isinstance(definition, Method):
        return id(definition.function), id(definition.owner)
    return id(definition)


def describe(definition: object) -> Description:
    """The description of a function, method or class."""
    try:
        if isinstance(definition, Method):
            return _describe_method(definition)
        if isinstance(definition, FunctionType):
            return describe_function(definition)
        return _describe_class(cast("type", definition))
    except Exception:
        return unread(definition)


def unread(definition: object) -> Description:
    """The description of a definition that cannot be read, or that exceeds the limit: its name only."""
    named = definition.function if isinstance(definition, Method) else definition
    text = type_name(named) if isinstance(named, type) else name_of(named)
    return Description(text, (), portable=True, described=definition)


def describe_value(value: object) -> Description:
    """The description of a value as the root of a graph, such as a body that is not a function."""
    writer = ValueWriter()
    return _description(value, writer, [writer.value(value)])


def describe_function(function: FunctionType, *, with_defaults: bool = True) -> Description:
    """The description of a function. Without defaults, if they can differ each time the function is created."""
    writer = ValueWriter()
    shape = _shape(function)
    parts = _function_parts(writer, function, shape, with_defaults=with_defaults)
    return _description(function, writer, parts, shape)


def _description(
    described: object, writer: ValueWriter, parts: Iterable[str], shape: Shape | None = None
) -> Description:
    text = digest("\x1f".join(parts))
    return Description(text, tuple(writer.children), shape is None or shape.portable, described)


def _shape(function: FunctionType) -> Shape | None:
    """The shape of a function's code; None for a library's function, whose code does not count."""
    return None if is_installed(function) else shape_of(function.__code__)


def _function_parts(
    writer: ValueWriter, function: FunctionType, shape: Shape | None, *, with_defaults: bool = True
) -> Iterator[str]:
    if shape is None:
        # A wrapper of a library: its code does not count, but the code that it wraps does.
        yield name_of(function)
        yield from [writer.value(content) for content in closure(function).values() if is_code(content)]
    else:
        yield from _code_parts(writer, function, shape)
    if with_defaults:
        yield from map(writer.value, defaults(function))
    if "__wrapped__" in function.__dict__:
        yield writer.value(function.__dict__["__wrapped__"])


def _code_parts(writer: ValueWriter, function: FunctionType, shape: Shape) -> Iterator[str]:
    contents = closure(function)
    yield shape.text
    for name in shape.free:
        content = contents.get(name)
        # `__class__` is there for `super()`. The members that a method uses are looked up by name.
        yield writer.value(content) if is_code(content) and name != "__class__" else "data"
    for use in shape.globals:
        yield from global_parts(writer, use, function.__globals__)


def global_parts(writer: ValueWriter, use: Global, namespace: Mapping[str, object]) -> Iterator[str]:
    """The value of a global name; for a module of the notebook, also the attributes that are read from it."""
    value = namespace.get(use.name, vars(builtins).get(use.name, _MISSING))
    is_state = use.assigned or (use.mutated and type(value) in CONTAINERS)
    if is_state or value is _MISSING:
        yield f"name {use.name}"
        return
    yield writer.value(value)
    for attribute in use.attributes:
        if not isinstance(value, ModuleType) or is_installed(value):
            return
        value = vars(value).get(attribute)
        yield writer.value(value)


def _describe_method(method: Method) -> Description:
    """The description of a method, which includes the members of its class that it mentions by name."""
    writer = ValueWriter()
    function, owner = method
    shape = _shape(function)
    parts = list(_function_parts(writer, function, shape))
    for name in sorted(shape.attributes if shape is not None else ()):
        for klass in owner.__mro__:
            if name in vars(klass) and not is_installed(klass):
                parts += [name, writer.member(vars(klass)[name], owner)]
    return _description(method, writer, parts, shape)


def _describe_class(klass: type) -> Description:
    writer = ValueWriter()
    parts = ["class", writer.value(type(klass)), *map(writer.value, klass.__bases__)]
    attributes = vars(klass)
    for name in sorted(attributes):
        if not _is_bookkeeping(name, attributes[name], attributes):
            parts += [name, writer.member(attributes[name])]
    for name, annotation in _annotations(attributes):
        parts += [name, writer.annotation(annotation)]
    for name, field in fields(attributes):
        parts += [name, writer.field(field)]
    if (options := attributes.get("__dataclass_params__")) is not None:
        parts += [f"{name}={getattr(options, name)}" for name in _DATACLASS_OPTIONS]
    if isinstance(klass, enum.EnumMeta):
        members = cast("Mapping[str, enum.Enum]", klass.__members__)
        parts += [f"{name}={writer.value(member._value_)}" for name, member in members.items()]
    return _description(klass, writer, parts)


_DATACLASS_OPTIONS = ("init", "repr", "eq", "order", "unsafe_hash", "frozen")


def _is_bookkeeping(name: str, member: object, attributes: Mapping[str, object]) -> bool:
    """Whether Python or a library generated an attribute of a class from parts that count elsewhere."""
    if name.startswith(("__pydantic_", "_abc_")):
        return True
    if isinstance(member, MemberDescriptorType | GetSetDescriptorType):
        return True
    # Includes names with single underscores, as `enum` has.
    special = name.startswith("_") and name.endswith("_")
    made = "__dataclass_fields__" in attributes or "_member_map_" in attributes
    function = member.__func__ if isinstance(member, staticmethod) else member
    if special and made and isinstance(function, FunctionType):
        # Methods generated by `dataclass` or `enum` follow from the fields, options and members.
        return is_installed(function) or function.__code__.co_filename == "<string>"
    return special and not isinstance(member, FunctionType | classmethod | staticmethod | property)


def _annotations(members: Mapping[str, object]) -> list[tuple[str, object]]:
    # From Python 3.14 on, a function among the members holds the annotations.
    annotations = cast("dict[str, object]", members.get("__annotations__", {}))
    return [] if "__annotate_func__" in members else list(annotations.items())


def defaults(function: FunctionType) -> list[object]:
    """The defaults of a function's parameters."""
    if function.__defaults__ is None and function.__kwdefaults__ is None:
        return []
    return [function.__defaults__, sorted((function.__kwdefaults__ or {}).items())]


def closure(function: FunctionType) -> dict[str, object]:
    """The contents of a function's closure, by name."""
    contents: dict[str, object] = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with suppress(ValueError):  # the cell is still empty
            contents[name] = cell.cell_contents
    return contents
