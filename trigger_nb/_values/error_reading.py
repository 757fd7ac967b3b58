"""Stored errors, rebuilt as instances of their classes (rule R4).

No code of the error's class runs: the nearest built-in base makes the instance, and its stored parts are put
back. If the class is not loaded, a stand-in class takes its place. It derives from `TaskError` and from the
loaded bases of the original class, so that `except` takes the same branch.
"""

from __future__ import annotations

import functools
from abc import ABCMeta
from typing import Any, cast

from ..errors import TaskError, TriggerError, ValueNotLoadedError
from .error_classes import (
    MissingParts,
    StandIn,
    built_in_base,
    built_in_members,
    check_state,
    find_error_class,
    stand_in,
    with_missing,
)
from .errors import ORIGINS, adapters
from .names import put_attributes
from .placeholders import Unstored
from .tagged import Reader


def error_or_stand_in(data: dict[str, Any]) -> BaseException:
    """A stored error, for display. A plain `TaskError` stands in for one that cannot be rebuilt."""
    try:
        return raised_error(data)
    except TriggerError:
        return _plain(data)


def raised_error(data: dict[str, Any]) -> BaseException:
    """A stored error, to be raised: an instance of its class, or of a stand-in for a class not loaded.

    Raises `ValueNotLoadedError` if parts of the error cannot be read here and `except` could therefore take
    another branch.
    """
    try:
        return read_error(data)
    except ValueNotLoadedError:
        raise
    except Exception as error:
        raise ValueNotLoadedError(
            f"a stored error cannot be rebuilt here: {type(error).__name__}: {error}"
        ) from error


def read_error(data: dict[str, Any]) -> BaseException:
    """A stored error with its notes and its causes."""
    error = _read_adapted(data) or _rebuild(data)
    if "notes" in data:
        error.__dict__["__notes__"] = [str(note) for note in data["notes"]]
    _read_chain(error, data)
    return error


def add_note(error: BaseException, note: str) -> None:
    """`error.add_note`, also for a class whose own `__setattr__` refuses that."""
    BaseException.__setattr__(error, "__notes__", [*getattr(error, "__notes__", ()), note])


def _plain(data: dict[str, Any]) -> TaskError:
    plain = TaskError(data.get("message", "an error whose record is damaged"))
    plain.type_name = f"{data.get('module')}.{data.get('type')}"
    return plain


def _read_chain(error: BaseException, data: dict[str, Any]) -> None:
    # Bypasses a `__setattr__` of the class, such as that of a frozen dataclass.
    put = functools.partial(BaseException.__setattr__, error)
    if "cause" in data:
        put("__cause__", error_or_stand_in(data["cause"]))
    if "context_is_cause" in data:
        put("__context__", error.__cause__)
    elif "context" in data:
        put("__context__", error_or_stand_in(data["context"]))
    put("__suppress_context__", data.get("suppress_context", False))


def _read_adapted(data: dict[str, Any]) -> BaseException | None:
    if "adapter" not in data or find_error_class(f"{data['module']}:{data['type']}") is None:
        return None
    adapter = adapters.get(data["adapter"])
    if adapter is None:
        raise ValueNotLoadedError(
            f"a stored {data['type']} was written by its adapter, which is not registered in this kernel. The error is "
            "still in the store: run the cell that calls register_error, then this one again."
        )
    error = adapter.from_data(Reader(None).read(data["data"]))
    if not isinstance(cast("object", error), BaseException):
        raise TypeError(f"the adapter of {data['type']} returned {error!r:.100}, which is not an exception")
    return error


def _rebuild(data: dict[str, Any]) -> BaseException:
    cls = find_error_class(f"{data['module']}:{data['type']}")
    missing: MissingParts = tuple((name, *why) for name, why in data.get("missing", {}).items())
    try:
        if cls is None:
            return _filled(stand_in(data, missing), data)
        if missing and type(cls) in {type, ABCMeta}:
            return _filled(with_missing(cls, missing), data)
        return _with_placeholders(_filled(cls, data), missing)
    except ValueNotLoadedError:
        raise  # an `except` clause may depend on the part that cannot be read
    except Exception:
        return _plain(data)  # a class of an extension module may forbid all of this


def _with_placeholders(error: BaseException, missing: MissingParts) -> BaseException:
    """Set placeholders for parts that were not stored, where a metaclass rules out `with_missing`."""
    for name, type_, reason in missing:
        error.__dict__[name] = Unstored("", type_, reason, f"$.{name}")
    return error


def _filled(cls: type[BaseException], data: dict[str, Any]) -> BaseException:
    """A new instance of `cls` with the stored parts, made without running code of the class."""
    reader = Reader(None)
    error = _new_group(cls, reader, data) if "errors" in data else _new(cls, reader, data)
    attributes = reader.fields(data.get("attrs", {}))
    for name in ("__notes__", ORIGINS):  # what is written apart from them
        attributes.pop(name, None)
    put_attributes(error, attributes)
    members = built_in_members(cls)
    state = {name: item for name, item in reader.fields(data.get("state", {})).items() if name in members}
    check_state(cls, state)
    for name, value in state.items():
        members[name].__set__(error, value)
    if issubclass(cls, StandIn):
        error.__dict__["_message"] = data["message"]
    return error


def _new(cls: type[BaseException], reader: Reader, data: dict[str, Any]) -> BaseException:
    error = cast("BaseException", cast("Any", built_in_base(cls)).__new__(cls))
    _set_args(error, reader.items(data.get("args", ())))  # an error written by an adapter has none
    return error


def _new_group(cls: type[BaseException], reader: Reader, data: dict[str, Any]) -> BaseException:
    members = [read_error(member) for member in data["errors"]]
    if left := data.get("errors_left"):
        members.append(TaskError(f"{left} more errors of this group were not stored"))
    error = BaseExceptionGroup.__new__(cast("Any", cls), reader.read(data["text"]), members)
    args = reader.items(data["args"])
    if len(args) > 1 and args[1] in ([], ()):
        args[1] = type(args[1])(members)
    _set_args(error, args)
    return error


def _set_args(error: BaseException, args: list[Any]) -> None:
    # The descriptor of `BaseException`, because the class may have a property named `args`.
    cast("Any", BaseException).args.__set__(error, tuple(args))
