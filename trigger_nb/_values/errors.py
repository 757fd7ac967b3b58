"""Errors as data (rule R4).

The data of an error has the names of its class and bases, its arguments, and the attributes that are set on it.
`error_reading` rebuilds the error from them.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Final, NamedTuple, cast

from .._callsite import file_name
from .._redact import hide_in_urls, is_credential, is_kept_header, is_of_http, kept_headers, secrets
from ..errors import NotStorableError
from .error_classes import StandIn, base_names, built_in_members, missing_parts, remember_local_class
from .frames import folded
from .json_text import dumps
from .names import attributes_of, class_name, kind_of, type_name
from .placeholders import UnstoredArgument, known_of
from .tagged import TAG, Read, Write, Writer, add_finder, add_reader

# The attribute of an error that lists the tasks that it left, innermost first: store directory, run id and path
# of each. It is not stored.
ORIGINS = "__trigger_nb_origins__"
# Limits for one stored error with all its causes, contexts and members.
_MAX_ERRORS = 200
_MAX_DEPTH = 12
_MAX_TEXT = 256 * 1024  # characters
# Limits for one attribute or argument, and for one message, in characters.
_MAX_PART = 64 * 1024
_MAX_SHOWN = 4 * 1024
# The values of these keys are names of classes and of kinds of values, which are needed to rebuild the error.
_NAMES = frozenset({TAG, "adapter", "bases", "module", "of", "type"})


def encode_error(error: BaseException) -> dict[str, Any]:
    """An error as plain JSON data, of a few hundred kilobytes at most. Never raises.

    Keys for display: `type` and `module` name the class, `message` is the text, `notes` the notes, `traceback`
    the frames of the user's code, outermost first. `cause`, `context` and `errors` (the members of a group)
    hold errors in the same form.
    """
    return hide_in_urls(secrets.hide_in(ErrorWriter().write(error), _NAMES))


# Adapters and parts ------------------------------------------------------------------------------


class Adapter(NamedTuple):
    """The functions that write and read errors of one class."""

    to_data: Callable[[Any], Any]
    from_data: Callable[[Any], BaseException]


adapters: dict[str, Adapter] = {}
# The writers of types that are stored only as a part of an error, by "module.qualname".
part_writers: dict[str, Write] = {}


def add_error(name: str, to_data: Callable[[Any], Any], from_data: Callable[[Any], BaseException]) -> None:
    """Write and read errors of exactly the class `module:qualname` with these functions."""
    adapters[name] = Adapter(to_data, from_data)


def add_part(name: str, tag: str, write: Write, read: Read) -> None:
    """Write and read values of the type `module.qualname` with these functions, inside errors only."""
    part_writers[name] = write
    add_reader(tag, read)


# Writing -----------------------------------------------------------------------------------------


class ErrorWriter:
    """Writes an error and the errors that it refers to, within one limit for all of them."""

    def __init__(self, *, traceback: bool = True) -> None:
        self._traceback = traceback
        self._errors_left = _MAX_ERRORS
        self._text_left = _MAX_TEXT
        self._depth = 0
        self._open: set[int] = set()
        self._is_of_http = False  # whether the error that is being written is one of an HTTP library

    def write(self, error: BaseException) -> dict[str, Any]:
        """The data of an error."""
        self._errors_left -= 1
        self._depth += 1
        self._open.add(id(error))
        try:
            return self._write(error)
        finally:
            self._open.discard(id(error))
            self._depth -= 1

    def find_writer(self, cls: type[Any]) -> Write | None:
        """The writer of a type that is stored only as a part of an error."""
        return part_writers.get(f"{cls.__module__}.{cls.__qualname__}")

    def _write(self, error: BaseException) -> dict[str, Any]:
        cls = kind_of(error)
        remember_local_class(cls)
        data: dict[str, Any] = {
            "module": cls.__module__,
            "type": cls.__qualname__,
            "bases": base_names(cls),
            "message": self._shown(_text_of(error, str)),
        }
        outer, self._is_of_http = self._is_of_http, is_of_http(error)
        if not self._write_adapted(error, data):
            self._write_parts(error, data)
        for part in ("message", "args", "attrs", "state", "data", "missing"):
            if part in data:
                data[part] = hide_in_urls(_without_headers(data[part]), self._is_of_http)
        notes = getattr(error, "__notes__", None)
        if isinstance(notes, (list, tuple)):
            told = [_cut(_text_of(note, str)) for note in cast("list[object]", notes)[:50]]
            data["notes"] = hide_in_urls(told, self._is_of_http)
        self._is_of_http = outer
        if isinstance(error, BaseExceptionGroup):
            self._write_members(cast("Any", error), data)
        self._write_chain(cast("BaseException", error), data)
        if self._traceback and (frames := _user_frames(error.__traceback__)):
            data["traceback"] = frames
        return data

    def _write_adapted(self, error: BaseException, data: dict[str, Any]) -> bool:
        name = class_name(type(error))
        adapter = adapters.get(name)
        if adapter is None:
            return False
        try:
            written = self._part(adapter.to_data(error))
        except Exception:
            return False  # storing the parts one by one may still work
        data["adapter"] = name
        data["data"] = written
        return True

    def _write_parts(self, error: BaseException, data: dict[str, Any]) -> None:
        data["args"] = [self.argument(argument) for argument in _arguments(error)]
        attributes = attributes_of(error)
        for name in ("__notes__", ORIGINS):
            attributes.pop(name, None)
        if isinstance(error, StandIn):
            attributes.pop("_message", None)
        self._write_named("attrs", attributes, data)
        self._write_named("state", dict(_built_in_state(error)), data)
        for name, type_, reason in missing_parts(type(error)):
            data.setdefault("missing", {}).setdefault(name, [type_, reason])

    def _write_named(self, where: str, values: dict[str, Any], data: dict[str, Any]) -> None:
        written: dict[str, Any] = {}
        for name, value in values.items():
            try:
                written[name] = self._part(value)
            except Exception as refused:
                type_ = (
                    refused.type_name if isinstance(refused, NotStorableError) else type_name(kind_of(value))
                )
                reason = refused.reason if isinstance(refused, NotStorableError) else str(refused)
                data.setdefault("missing", {})[name] = [type_, _cut(reason)]
        if written:
            data[where] = written

    def argument(self, value: Any) -> Any:
        """An argument as JSON with tags. If it cannot be stored, a placeholder with the same `repr` and `str`."""
        try:
            return self._part(value)
        except Exception:
            if isinstance(value, UnstoredArgument):
                return {TAG: "argument", "v": known_of(value)}
            shown, text = self._shown(_text_of(value, repr)), self._shown(_text_of(value, str))
            if self._is_of_http:  # the text of a request may have all its headers
                shown = text = f"<{type_name(kind_of(value))}>"
            return {TAG: "argument", "v": {"type": type_name(kind_of(value)), "shown": shown, "text": text}}

    def _part(self, value: Any) -> Any:
        """A part of an error as JSON with tags. Raises `NotStorableError` beyond the limits."""
        if isinstance(value, BaseException) and (id(value) in self._open or not self._may_write_more()):
            raise NotStorableError("$", type_name(kind_of(value)), "an error too deep inside an error")
        writer = Writer(None)
        writer.errors = self
        data = writer.write(value)
        size = len(dumps(data))
        if size > min(_MAX_PART, self._text_left) and not isinstance(value, BaseException):
            raise NotStorableError("$", type_name(kind_of(value)), "too large to keep with an error")
        self._text_left -= size
        return data

    def _shown(self, text: str) -> str:
        text = _cut(text)
        self._text_left -= len(text)
        return text

    def _may_write_more(self) -> bool:
        return self._errors_left > 0 and self._depth < _MAX_DEPTH and self._text_left > 0

    def _write_members(self, group: BaseExceptionGroup[BaseException], data: dict[str, Any]) -> None:
        data["text"] = Writer(None).write(_cut(group.message, _MAX_PART))
        members: list[dict[str, Any]] = []
        for member in group.exceptions:
            if id(member) in self._open or not self._may_write_more():
                break
            members.append(self.write(member))
        data["errors"] = members
        if left := len(group.exceptions) - len(members):
            data["errors_left"] = left

    def _write_chain(self, error: BaseException, data: dict[str, Any]) -> None:
        cause, context = error.__cause__, error.__context__
        if cause is not None and id(cause) not in self._open and self._may_write_more():
            data["cause"] = self.write(cause)
        if context is not None and context is cause:
            data["context_is_cause"] = True
        elif context is not None and id(context) not in self._open and self._may_write_more():
            data["context"] = self.write(context)
        if error.__suppress_context__:
            data["suppress_context"] = True


def _without_headers(data: Any) -> Any:
    """A copy of JSON data, with those headers of requests and responses that are kept: `{"headers": {"Date": ...}}`."""
    if isinstance(data, list):
        return [_without_headers(each) for each in cast("list[Any]", data)]
    if not isinstance(data, dict):
        return data
    items = cast("dict[str, Any]", data)
    return {
        name: dict(kept_headers(value.items()))
        if name.lower().endswith("headers") and _are_headers(value)
        else _without_headers(value)
        for name, value in items.items()
    }


def _are_headers(data: Any) -> bool:
    items = cast("dict[str, Any]", data) if isinstance(data, dict) else {}
    if not all(isinstance(value, str) for value in items.values()):
        return False
    names = [name.lower() for name in items]
    return any(name.startswith("x-") or is_kept_header(name) or is_credential(name) for name in names)


def _arguments(error: BaseException) -> tuple[Any, ...]:
    """The arguments of an error. For a group, an empty list or tuple replaces the members, which are written
    separately."""
    if not isinstance(error, BaseExceptionGroup) or len(error.args) < 2:
        return error.args
    members: Any = error.args[1]
    if type(members) not in (list, tuple) or tuple(members) != cast("Any", error).exceptions:
        return error.args
    return (error.args[0], type(members)(), *error.args[2:])


def _built_in_state(error: BaseException) -> Iterator[tuple[str, Any]]:
    """The attributes that built-in bases keep outside `__dict__`, such as `OSError.errno`."""
    for name, descriptor in built_in_members(type(error)).items():
        try:
            value = descriptor.__get__(error)
        except (AttributeError, TypeError):
            continue  # it was never set
        if value is not None:
            yield name, value


def _text_of(value: object, how: Callable[[object], str]) -> str:
    try:
        return how(value)
    except Exception:
        return f"<{type_name(kind_of(value))} whose {how.__name__}() fails>"


def _cut(text: str, limit: int = _MAX_SHOWN) -> str:
    return text if len(text) <= limit else f"{text[: limit - 40]}… ({len(text):,} characters)"


# The traceback, for display
_OURS: Final = frozenset({"trigger_nb", "asyncio", "anyio", "concurrent", "threading", "runpy"})
_FIRST_FRAMES, _LAST_FRAMES = 4, 16


def _user_frames(traceback: TracebackType | None) -> list[str]:
    frames: list[str] = []
    while traceback is not None:
        module = traceback.tb_frame.f_globals.get("__name__", "")
        if str(module).partition(".")[0] not in _OURS:
            frame = traceback.tb_frame
            line = linecache.getline(frame.f_code.co_filename, traceback.tb_lineno, frame.f_globals).strip()
            text = frame_text(frame.f_code.co_filename, traceback.tb_lineno, frame.f_code.co_name, line)
            frames.append(_cut(text, 500))
        traceback = traceback.tb_next
    frames = list(folded(frames))
    left_out = len(frames) - _FIRST_FRAMES - _LAST_FRAMES
    if left_out > 0:
        frames[_FIRST_FRAMES:-_LAST_FRAMES] = [f"... {left_out} more frames ..."]
    return frames


def frame_text(file: str, number: int, function: str, line: str = "") -> str:
    """A frame of a traceback, with its source line if there is one."""
    line = line or linecache.getline(file, number).strip()
    where = f"{file_name(file)}, line {number}, in {function}"
    return f"{where}\n    {line}" if line else where


# Errors as values --------------------------------------------------------------------------------


def _write_error(writer: Writer, error: BaseException) -> Any:
    errors = writer.errors or ErrorWriter(traceback=not writer.canonical)
    return {TAG: "error", "v": errors.write(error)}


def _find_error(cls: type[Any]) -> Write | None:
    return _write_error if issubclass(cls, BaseException) else None


def register() -> None:
    """Register the writer of errors that are values or parts of values."""
    add_finder(_find_error)
