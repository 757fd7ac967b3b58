"""Names of classes in stored data, and the classes that have these names."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from types import MemberDescriptorType, ModuleType
from typing import Any, NoReturn, cast

from ..errors import ValueNotLoadedError

# `type(value)`, fully typed even if `value` is `Any`.
kind_of: Callable[[object], type[Any]] = type


def type_name(cls: type[Any]) -> str:
    """The full name of a class for messages: `httpx.Client`, `dict`."""
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def of_type(value: Any, *kinds: type[Any]) -> Any:
    """`value`, which is exactly of one of these types. Others, that a damaged row may name, have code of their own."""
    if kind_of(value) not in kinds:
        raise TypeError(f"a {type_name(kind_of(value))}, not a {kinds[0].__name__}")
    return value


def class_name(cls: type[Any]) -> str:
    """The name by which a class is looked up: `module:qualname`."""
    return f"{cls.__module__}:{cls.__qualname__}"


def find_class(name: str) -> type[Any] | None:
    """The current class `module:qualname`, or None. Imports nothing."""
    module, _, qualname = name.partition(":")
    found = _find(module, qualname)
    if found is None and module.startswith("trigger_nb."):
        # Older stores have the module in which a public class of ours was defined, newer ones `trigger_nb`.
        found = _find("trigger_nb", qualname)
    return found


def _find(module: str, qualname: str) -> type[Any] | None:
    found: Any = sys.modules.get(module)
    for part in qualname.split("."):
        if not _is_a(found, ModuleType) and not _is_a(found, type):
            return None  # another object may have attributes that are code of its class
        # `vars` and not `getattr`: a lazy module would import on attribute access.
        namespace = cast("Mapping[str, Any]", vars(found))
        if part not in namespace:
            return None
        found = namespace[part]
    return cast("type[Any]", found) if _is_a(found, type) else None


def _is_a(value: object, kind: type[Any]) -> bool:
    """`isinstance` without asking a proxy object, whose `__class__` may be a property."""
    return issubclass(type(value), kind)


def load_class(name: str, base: type[Any] = object) -> type[Any]:
    """The class `module:qualname`. Raises `ValueNotLoadedError` if it is not loaded or does not derive from `base`."""
    cls = find_class(name)
    module, _, qualname = name.partition(":")
    if cls is None:
        first = (
            f"run the cell that defines {qualname}"
            if module == "__main__"
            else f"import it (from {module} import {qualname.partition('.')[0]})"
        )
        raise ValueNotLoadedError(
            f"a stored value is of the class {module}.{qualname}, which is not loaded in this kernel. "
            f"The value is still in the store: {first}, then run this cell again."
        )
    if not issubclass(cls, base):
        raise ValueNotLoadedError(
            f"a stored value is of the class {module}.{qualname}, which no longer derives from "
            f"{type_name(base)}. Restore the earlier definition, or run the task again."
        )
    return cls


def refuse_missing(cls: type[Any], names: list[str]) -> NoReturn:
    """Raise `ValueNotLoadedError` for a stored instance without fields that its class has now, without defaults."""
    raise ValueNotLoadedError(
        f"a stored value is of the class {type_name(cls)}, which now has the new "
        f"field{'s'[: len(names) > 1]} {', '.join(names)}. Give each a default, or run the task again."
    )


def attributes_of(value: object) -> dict[str, Any]:
    """The attributes of an instance, in its `__dict__` and its slots, without cached properties."""
    cls = type(value)
    state = {
        name: item
        for name, item in cast("dict[str, Any]", getattr(value, "__dict__", {})).items()
        if not isinstance(getattr(cls, name, None), functools.cached_property)
    }
    for base in cls.__mro__:
        slots = vars(base).get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else cast("tuple[str, ...]", slots):
            if slot in {"__dict__", "__weakref__"}:
                continue
            private = slot.startswith("__") and not slot.endswith("__")
            name = f"_{base.__name__.lstrip('_')}{slot}" if private else slot
            try:
                state[name] = object.__getattribute__(value, name)
            except AttributeError:
                continue  # the slot was never set
    return state


def is_heap_type(cls: type[Any]) -> bool:
    """Whether the class was made by a `class` statement or an equivalent call, and not statically in C."""
    return bool(cls.__flags__ & 1 << 9)


def class_attribute(cls: type[Any], name: str) -> Any:
    """What a class or a base of it defines by a name, or None. Calls no `__get__` and no metaclass."""
    return next((vars(base)[name] for base in cls.__mro__ if name in vars(base)), None)


def is_computed(cls: type[Any], name: str) -> bool:
    """Whether code of a class gets and sets this attribute: a property, or another descriptor with `__set__`."""
    found = class_attribute(cls, name)
    return not isinstance(found, MemberDescriptorType) and hasattr(kind_of(found), "__set__")


def put_attributes(instance: object, values: Mapping[str, Any]) -> None:
    """Set attributes in their places, slots or `__dict__`, without calling a property or another descriptor of the class."""
    for name, value in values.items():
        slot = class_attribute(type(instance), name)
        # A member of a class that is written in C is not any object, and has its own checks.
        if isinstance(slot, MemberDescriptorType) and is_heap_type(slot.__objclass__):
            object.__setattr__(instance, name, value)
        elif (own := _dict_of(instance)) is not None:
            own[name] = value


def _dict_of(instance: object) -> dict[str, Any] | None:
    try:
        return object.__getattribute__(instance, "__dict__")
    except AttributeError:
        return None


def secret_kind(cls: type[Any]) -> str:
    """The name of the pydantic secret type that `cls` is or derives from, or ""."""
    for base in cls.__mro__:
        if base.__module__ == "pydantic.types" and base.__name__ in {"SecretStr", "SecretBytes", "Secret"}:
            return base.__name__
    return ""
