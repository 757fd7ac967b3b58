"""Classes of errors: how to find a stored error's class, and classes that stand in for those not loaded."""

from __future__ import annotations

import functools
from abc import ABCMeta
from types import GetSetDescriptorType, MemberDescriptorType
from typing import Any, NamedTuple, TypeAlias, cast
from weakref import WeakValueDictionary

from ..errors import TaskError, ValueNotLoadedError, ValueNotStoredError
from .names import class_name, find_class, is_heap_type

# Name, type and reason of each attribute that could not be stored.
MissingParts: TypeAlias = tuple[tuple[str, str, str], ...]
# Classes defined inside functions cannot be found by name. This table has those whose errors this kernel wrote.
_local_classes: WeakValueDictionary[str, type[Any]] = WeakValueDictionary()


def remember_local_class(cls: type[Any]) -> None:
    """Make a class that was defined inside a function available to `find_error_class`."""
    if "<locals>" in cls.__qualname__ and not issubclass(cls, StandIn):
        _local_classes[class_name(cls)] = cls


def find_error_class(name: str) -> type[BaseException] | None:
    """The exception class `module:qualname`, or None if it is not loaded."""
    cls = find_class(name) or _local_classes.get(name)
    return cls if cls is not None and issubclass(cls, BaseException) else None


# Built-in classes --------------------------------------------------------------------------------


def built_in_base(cls: type[Any]) -> type[Any]:
    """The nearest built-in base. It defines the memory layout, so only its `__new__` can make instances."""
    while is_heap_type(cls):
        cls = cast("type[Any]", cls.__base__)
    return cls


@functools.lru_cache(maxsize=256)
def built_in_members(cls: type[Any]) -> dict[str, Any]:
    """The descriptors of attributes that built-in bases keep outside `__dict__`, such as `OSError.errno`."""
    members: dict[str, Any] = {}
    for base in cls.__mro__:
        if base in (BaseException, Exception, object, BaseExceptionGroup) or is_heap_type(base):
            continue
        for name, descriptor in vars(base).items():
            # `AttributeError.obj`, the object without the attribute, can be anything. It is only needed for
            # the suggestions in tracebacks.
            if isinstance(descriptor, (MemberDescriptorType, GetSetDescriptorType)) and name != "obj":
                members.setdefault(name, descriptor)
    return members


_LONGEST = 1_000_000  # lines, and characters of a line, in which a SyntaxError can be


def check_state(cls: type[Any], state: dict[str, Any]) -> None:
    """Raise `ValueNotLoadedError` for members of built-in bases that Python would trust: it reads memory where they say."""
    is_right = True
    if issubclass(cls, UnicodeError) and "object" in state:  # Python looks at no other part without it
        whole, start, end = (state.get(name) for name in ("object", "start", "end"))
        is_right = (
            type(whole) is (bytes if issubclass(cls, UnicodeDecodeError) else str)
            and type(start) is int
            and type(end) is int
            and 0 <= start <= end <= len(whole)
            and type(state.get("encoding", "")) is type(state.get("reason", "")) is str
        )
    elif issubclass(cls, SyntaxError):
        numbers = [state.get(name) for name in ("lineno", "offset", "end_lineno", "end_offset")]
        is_right = type(state.get("text")) in (str, type(None)) and all(
            each is None or (type(each) is int and -1 <= each <= _LONGEST) for each in numbers
        )
    elif issubclass(cls, (AttributeError, NameError, OSError)):
        written = state.get("characters_written", 0)
        is_right = type(state.get("name")) in (str, type(None)) and type(written) is int and written >= 0
    if not is_right:
        raise ValueNotLoadedError(f"a stored {cls.__name__} is damaged: its parts do not fit each other")


# Stand-in classes --------------------------------------------------------------------------------


class _Recorded(NamedTuple):
    """The stored facts about the error that a stand-in class was made for."""

    bases: tuple[str, ...] = ()
    missing: MissingParts = ()


class StandIn:
    """The first base of every stand-in class.

    As the first base, it keeps the `__init_subclass__` of the other bases from running: that could register
    the stand-in somewhere.
    """

    __slots__ = ()
    recorded: _Recorded = _Recorded()
    _message: str

    def __init_subclass__(cls) -> None:
        pass

    def __str__(self) -> str:
        return self._message


class _MissingAttribute:
    """An attribute that could not be stored; reading it raises `ValueNotStoredError`.

    An `AttributeError` would be wrong: `getattr(error, "response", None)` would then silently take another
    branch than it took for the original error.
    """

    def __init__(self, owner: str, name: str, type_: str, reason: str) -> None:
        self._message = (
            f"the attribute {name!r} of this {owner} was not stored with the error: it was a {type_}"
            + (f" ({reason})" if reason else "")
            + f". Give the error plain data, or say how to keep it: register_error({owner}, ...)."
        )

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        if instance is None:
            return self
        raise ValueNotStoredError(self._message)


def missing_parts(cls: type[Any]) -> MissingParts:
    """The attributes that were not stored with the error that a stand-in class was made for."""
    return cls.recorded.missing if issubclass(cls, StandIn) else ()


def base_names(cls: type[Any]) -> list[str]:
    """The names of a class's bases in MRO order, without `object`."""
    if issubclass(cls, StandIn):
        return list(cls.recorded.bases)
    return [class_name(base) for base in cls.__mro__[1:-1]][:40]


def stand_in(data: dict[str, Any], missing: MissingParts) -> type[BaseException]:
    """A class in place of one that is not loaded, derived from `TaskError` and the loaded bases."""
    names: list[str] = data["bases"]
    loaded = [cls for cls in map(find_error_class, names) if cls is not None and type(cls) in {type, ABCMeta}]
    nearest: list[type[BaseException]] = []
    for cls in loaded:
        if not any(issubclass(nearer, cls) for nearer in nearest):
            nearest.append(cls)
    # `except Exception` does not catch an error that derives from BaseException only.
    first = (TaskError,) if any(issubclass(cls, Exception) for cls in nearest) else ()
    others = tuple(cls for cls in nearest if not issubclass(TaskError, cls))
    recorded = _Recorded(tuple(names), missing)
    try:
        return _make(data["module"], data["type"], _most_derived(first + others), recorded)
    except TypeError:  # without the missing class, the loaded bases cannot be combined
        return _make(data["module"], data["type"], _most_derived(first + others[:1]), recorded)


def with_missing(cls: type[BaseException], missing: MissingParts) -> type[BaseException]:
    """A subclass of `cls` whose `missing` attributes raise `ValueNotStoredError`."""
    return _make(cls.__module__, cls.__qualname__, (cls,), _Recorded(tuple(base_names(cls)), missing))


def _most_derived(classes: tuple[type[BaseException], ...]) -> tuple[type[BaseException], ...]:
    kept = [
        cls for cls in classes if not any(other is not cls and issubclass(other, cls) for other in classes)
    ]
    return tuple(kept) or (BaseException,)


@functools.lru_cache(maxsize=256)
def _make(
    module: str, qualname: str, bases: tuple[type[BaseException], ...], recorded: _Recorded
) -> type[BaseException]:
    name = qualname.rpartition(".")[2]
    namespace: dict[str, Any] = {
        "__module__": module,
        "__qualname__": qualname,
        "recorded": recorded,
    }
    if any(issubclass(base, TaskError) for base in bases):
        namespace["type_name"] = f"{module}.{qualname}"
    for attribute, type_, reason in recorded.missing:
        namespace[attribute] = _MissingAttribute(name, attribute, type_, reason)
    return cast("type[BaseException]", type(name, (StandIn, *bases), namespace))
