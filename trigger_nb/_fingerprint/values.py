"""Values as text: plain data by value and type, code by reference, other objects by type."""

from __future__ import annotations

import enum
import functools
import os
import re
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from types import (
    BuiltinFunctionType,
    FunctionType,
    MethodDescriptorType,
    MethodType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any, NamedTuple, cast

from .shape import SCALARS

__all__ = [
    "CONTAINERS",
    "Method",
    "ValueWriter",
    "fields",
    "instance_dict",
    "is_code",
    "is_installed",
    "method_of",
    "name_of",
    "partial_parts",
    "type_name",
]
# Items beyond these limits do not count, so that a fingerprint takes milliseconds at most.
_MAX_ITEMS = 10_000
_ITEM_LENGTH = 100  # longer texts count as several items
_MAX_DEPTH = 20


class Method(NamedTuple):
    """A function as a member of a class."""

    function: FunctionType
    owner: type


class ValueWriter:
    """Writes values as text and collects the definitions of the notebook in them."""

    def __init__(self) -> None:
        self._items = 0
        self.children: list[object] = []

    def value(self, value: object, depth: int = 0) -> str:
        """The text of a value: code as a reference, plain data with value and type, other objects by type."""
        self._items += 1
        if self._items > _MAX_ITEMS or depth > _MAX_DEPTH:
            return "..."
        kind = type(value)
        if kind in SCALARS:
            if isinstance(value, str | bytes):
                self._items += len(value) // _ITEM_LENGTH
            return SCALARS[kind](value)
        if kind in CONTAINERS:
            return self._container(cast("Iterable[object]", value), depth + 1)
        try:
            return (self._code if is_code(value) else self._object)(value, kind, depth + 1)
        except Exception:
            return type_name(kind)

    def _container(self, value: Iterable[object], depth: int) -> str:
        # Containers are copied before iteration, because another thread may change them.
        kind = type(value)
        if isinstance(value, set | frozenset):
            inside = self._members(cast("set[object]", value), depth)
        elif isinstance(value, dict):
            items = list(cast("dict[object, object]", value).items())
            inside = [f"{self.value(key, depth)}:{self.value(item, depth)}" for key, item in items]
        else:
            inside = [self.value(item, depth) for item in list(value)]
        return f"{kind.__name__}({','.join(inside)})"

    def _members(self, value: set[object], depth: int) -> list[str]:
        """The sorted texts of a set's members, with separate limits: the order of a set differs between processes.

        For the same reason, definitions in a set count only by their presence.
        """
        if len(value) > _MAX_ITEMS:
            return [f"{len(value)} items"]
        return sorted(ValueWriter().value(item, depth) for item in list(value))

    def _code(self, value: Any, kind: type, depth: int) -> str:
        if issubclass(kind, ModuleType):
            return f"module {value.__name__}"
        if issubclass(kind, type):
            return name_of(value) if is_installed(value) else self._child(value)
        if kind is FunctionType:
            bare = value.__closure__ is None and "__wrapped__" not in value.__dict__
            return name_of(value) if bare and is_installed(value) else self._child(value)
        if issubclass(kind, functools.partial):
            return f"partial({','.join(self.value(part, depth) for part in partial_parts(value))})"
        if kind is MethodType:
            method = method_of(value)
            return self._child(method) if type(method) is Method else self.value(method, depth)
        if kind is _LRU_CACHE:
            return f"cached({self.value(value.__wrapped__, depth)})"
        return name_of(value)

    def _child(self, definition: object) -> str:
        self.children.append(definition)
        return "@"

    def _object(self, value: object, kind: type, depth: int) -> str:
        if kind is Method:
            return self._child(value)
        text = self.value(kind, depth)
        with suppress(Exception):  # a proxy may raise on any access; then only its type counts
            return f"{text}{self._data(value, kind, depth)}"
        return text

    def _data(self, value: Any, kind: type[Any], depth: int) -> str:
        """The part of an object's text after its type: the value, if it is plain data, else ""."""
        if issubclass(kind, enum.Enum):
            return f".{value._name_}={self.value(value._value_, depth)}"
        if tuple in kind.__mro__ and hasattr(kind, "_fields"):
            return self._container(tuple(value), depth)
        for base in (str, int, float, bytes):
            if base in kind.__mro__:
                return f"({base.__repr__(value)})"
        if kind is re.Pattern:
            return f"({value.pattern!r},{value.flags})"
        if kind.__module__.partition(".")[0] in _VALUE_MODULES:
            return f"({value!r})"
        if (kind.__module__, kind.__qualname__) in _FILES:
            return f"({value!r})"  # by its path: it counts by its content as an argument
        if _is_frozen_dataclass(kind):
            parts = {name: getattr(value, name) for name, _ in fields(vars(kind))}
            return self._container(parts, depth)
        if "__wrapped__" in instance_dict(value) or hasattr(kind, "__wrapped__"):
            return f"({self.value(value.__wrapped__, depth)})"
        return ""

    def member(self, member: object, owner: type | None = None) -> str:
        """The text of a class member. With `owner`, methods are written as methods of that class."""
        if isinstance(member, staticmethod | classmethod):
            wrapper = "staticmethod" if isinstance(member, staticmethod) else "classmethod"
            return f"{wrapper} {self.member(cast('Any', member).__func__, owner)}"
        if isinstance(member, property):
            parts = (member.fget, member.fset, member.fdel)
            return f"property {','.join(self.member(part, owner) for part in parts)}"
        if isinstance(member, functools.cached_property):
            return f"property {self.member(cast('Any', member).func, owner)}"
        if owner and isinstance(member, FunctionType) and not is_installed(member):
            return self._child(Method(member, owner))
        return self.value(member)

    def annotation(self, annotation: object, depth: int = 0) -> str:
        """The text of an annotation: a type, a string that names one, or a generic."""
        arguments: object = getattr(annotation, "__args__", None)
        if isinstance(arguments, tuple) and depth < _MAX_DEPTH:
            head = getattr(annotation, "__origin__", type(annotation))
            inside = [self.annotation(part, depth + 1) for part in cast("tuple[object, ...]", arguments)]
            inside += map(self.value, getattr(annotation, "__metadata__", ()))
            return f"{self.annotation(head, depth + 1)}[{','.join(inside)}]"
        if type(annotation).__module__ == "typing":
            return repr(annotation)
        return self.value(annotation)

    def field(self, field: object) -> str:
        """The text of a field of a dataclass or model: its annotation, default and options."""
        parts = [f"{name}={self.value(getattr(field, name, None))}" for name in _FIELD_PARTS]
        return ",".join([self.annotation(getattr(field, "annotation", None)), *parts])


_FIELD_PARTS = (
    "default",
    "default_factory",
    "init",
    "repr",
    "hash",
    "compare",
    "kw_only",
    "alias",
    "validation_alias",
    "metadata",
    "exclude",
)
CONTAINERS = (list, tuple, dict, set, frozenset)
# Modules whose types are plain data with a complete `repr`.
_VALUE_MODULES = frozenset({"datetime", "decimal", "fractions", "ipaddress", "pathlib", "uuid", "zoneinfo"})
_FILES = frozenset({("trigger_nb", "File"), ("trigger_nb", "Files")})
_LRU_CACHE: type[object] = type(functools.cache(len))
_CODE = (
    BuiltinFunctionType,
    FunctionType,
    MethodDescriptorType,
    MethodType,
    ModuleType,
    WrapperDescriptorType,
    functools.partial,
    type,
    _LRU_CACHE,
)


def is_code(value: object) -> bool:
    """Whether a value is code or a wrapper of code."""
    # `type` instead of `isinstance`, because a proxy may fake its `__class__`.
    return issubclass(type(value), _CODE)


def _is_frozen_dataclass(kind: type) -> bool:
    return bool(getattr(getattr(kind, "__dataclass_params__", None), "frozen", False))


def name_of(definition: object) -> str:
    """The kind, module and name of a definition whose code does not count."""
    kind = type(definition)
    module: object = getattr(definition, "__module__", "")
    return f"{kind.__name__} {module}:{getattr(definition, '__qualname__', kind.__qualname__)}"


def type_name(kind: type) -> str:
    """The name of a type, independent of its metaclass."""
    return type.__repr__(kind)


def method_of(method: MethodType) -> object:
    """The function of a bound method as a `Method`; the callable itself if it is not a Python function."""
    function: object = method.__func__
    owner = method.__self__ if isinstance(method.__self__, type) else type(method.__self__)
    return Method(function, owner) if isinstance(function, FunctionType) else function


def partial_parts(partial: functools.partial[object]) -> tuple[object, object, object]:
    """The function of a partial, and the bound arguments."""
    return partial.func, partial.args, sorted(partial.keywords.items())


def instance_dict(value: object) -> dict[str, object]:
    """The `__dict__` of an object, without running the object's code."""
    try:
        return object.__getattribute__(value, "__dict__")
    except Exception:
        return {}


def fields(members: Mapping[str, object]) -> list[tuple[str, object]]:
    """The fields of a dataclass or of a pydantic model."""
    # "model_fields" up to pydantic 2.9
    for kept in ("__dataclass_fields__", "__pydantic_fields__", "model_fields"):
        if isinstance(members.get(kept), dict):
            return list(cast("dict[str, object]", members[kept]).items())
    return []


_STANDARD_LIBRARY = os.path.dirname(os.__file__) + os.sep


def is_installed(definition: ModuleType | FunctionType | type) -> bool:
    """Whether a definition comes with Python or an installed package, not from the notebook."""
    if isinstance(definition, FunctionType):
        namespace = definition.__globals__
    elif isinstance(definition, ModuleType):
        namespace = vars(definition)
    else:
        module = sys.modules.get(definition.__module__)
        namespace = vars(module) if module is not None else {"__name__": definition.__module__}
    return _is_installed(namespace.get("__name__"), namespace.get("__file__"))


@functools.lru_cache(maxsize=4096)
def _is_installed(name: object, file: object) -> bool:
    root = name.partition(".")[0] if isinstance(name, str) else ""
    if root in ("", "__main__"):
        return False
    if root == __name__.partition(".")[0]:
        return True
    if not isinstance(file, str):
        return root in sys.stdlib_module_names
    folders = file.replace("\\", "/").split("/")
    return file.startswith(_STANDARD_LIBRARY) or "site-packages" in folders or "dist-packages" in folders
