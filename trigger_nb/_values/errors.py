"""Errors as data (rule R4).

An error is written as its class's name, its bases, its arguments and whatever is set on it, part by
part. It is read into an instance of that class without calling any code of the class's own: the
object is made by the built-in class below it, and its parts are put back. Where the class is not
loaded, a class made on the spot takes its place, derived from `TaskError` and from all that is
loaded of the original's bases, so that `except` takes the same branch.
"""

from __future__ import annotations

import functools
import linecache
from abc import ABCMeta
from collections.abc import Callable, Iterator
from types import GetSetDescriptorType, MemberDescriptorType, TracebackType
from typing import Any, Final, NamedTuple, cast
from weakref import WeakValueDictionary

from .._callsite import file_name
from .._redact import secrets
from ..errors import NotStorableError, TaskError, TriggerError, ValueNotLoadedError, ValueNotStoredError
from .json_text import dumps
from .names import attributes_of, class_name, find_class, kind_of, type_name
from .placeholders import Unstored, UnstoredArgument, known_of
from .tagged import TAG, Read, Reader, Write, Writer, add_finder, add_reader

# Where an error keeps the tasks that it left, innermost first: store directory, run id and path of each. Not stored.
ORIGINS = "__trigger_nb_origins__"
# The bounds on what is kept of one error, all of its causes, contexts and members together.
_MAX_ERRORS = 200
_MAX_DEPTH = 12
_MAX_TEXT = 256 * 1024
# ... of one attribute or argument, of the error's text, and of a response's body.
_MAX_PART = 64 * 1024
_MAX_SHOWN = 4 * 1024
# Under these keys there are names of classes and of kinds of values, by which an error is built again.
_NAMES = frozenset({TAG, "adapter", "bases", "module", "of", "type"})


def encode_error(error: BaseException) -> dict[str, Any]:
    """An error as plain JSON data. It never raises and never grows beyond a few hundred kilobytes.

    For display: `type` and `module` name its class, `message` is its text, `notes` its notes,
    `traceback` the frames of the user's code, outermost first, one text each; `cause`, `context`
    and the members of a group, `errors`, have the same form.
    """
    return secrets.hide_in(ErrorWriter().write(error), _NAMES)


def decode_error(data: dict[str, Any]) -> BaseException:
    """The error that was written as `data`, for whoever looks at it: what cannot be read is a plain `TaskError`."""
    try:
        return raised_error(data)
    except TriggerError:
        return _plain(data)


def raised_error(data: dict[str, Any]) -> BaseException:
    """The error that was written as `data`, as an instance of its class if that is loaded here.

    Otherwise it is a `TaskError` that is also an instance of the nearest loaded bases. Raises
    `ValueNotLoadedError` where `except` would take another branch, since parts of it cannot be read here.
    """
    try:
        return _read(data)
    except ValueNotLoadedError:
        raise
    except Exception as error:
        raise ValueNotLoadedError(
            f"a stored error cannot be rebuilt here: {type(error).__name__}: {error}"
        ) from error


def _plain(data: dict[str, Any]) -> TaskError:
    plain = TaskError(data.get("message", "an error whose record is damaged"))
    plain.type_name = f"{data.get('module')}.{data.get('type')}"
    return plain


class _Adapter(NamedTuple):
    to_data: Callable[[Any], Any]
    from_data: Callable[[Any], BaseException]


_adapters: dict[str, _Adapter] = {}
# Classes defined inside functions cannot be found by name; those met in this kernel still can.
_local_classes: WeakValueDictionary[str, type[Any]] = WeakValueDictionary()


def add_error(name: str, to_data: Callable[[Any], Any], from_data: Callable[[Any], BaseException]) -> None:
    """Have errors of exactly the class `module:qualname` written and read by these."""
    _adapters[name] = _Adapter(to_data, from_data)


# -- writing
class ErrorWriter:
    """Writes the errors of one tree of errors, within one bound for all of them."""

    def __init__(self, *, traceback: bool = True) -> None:
        self._traceback = traceback
        self._errors_left = _MAX_ERRORS
        self._text_left = _MAX_TEXT
        self._depth = 0
        self._open: set[int] = set()

    def write(self, error: BaseException) -> dict[str, Any]:
        self._errors_left -= 1
        self._depth += 1
        self._open.add(id(error))
        try:
            return self._write(error)
        finally:
            self._open.discard(id(error))
            self._depth -= 1

    def find_writer(self, cls: type[Any]) -> Write | None:
        return part_writers.get(f"{cls.__module__}.{cls.__qualname__}")

    def _write(self, error: BaseException) -> dict[str, Any]:
        cls = kind_of(error)
        if "<locals>" in cls.__qualname__ and not issubclass(cls, _StandIn):
            _local_classes[class_name(cls)] = cls
        data: dict[str, Any] = {
            "module": cls.__module__,
            "type": cls.__qualname__,
            "bases": _base_names(cls),
            "message": self._shown(_text_of(error, str)),
        }
        if not self._write_adapted(error, data):
            self._write_parts(error, data)
        if notes := getattr(error, "__notes__", None):
            data["notes"] = [_cut(str(note)) for note in cast("list[object]", notes)[:50]]
        if isinstance(error, BaseExceptionGroup):
            self._write_members(cast("Any", error), data)
        self._write_chain(cast("BaseException", error), data)
        if self._traceback and (frames := _user_frames(error.__traceback__)):
            data["traceback"] = frames
        return data

    def _write_adapted(self, error: BaseException, data: dict[str, Any]) -> bool:
        name = class_name(type(error))
        adapter = _adapters.get(name)
        if adapter is None:
            return False
        try:
            written = self._part(adapter.to_data(error))
        except Exception:
            return False  # The general way may still do.
        data["adapter"] = name
        data["data"] = written
        return True

    def _write_parts(self, error: BaseException, data: dict[str, Any]) -> None:
        data["args"] = [self.argument(argument) for argument in _arguments(error)]
        attributes = attributes_of(error)
        for not_of_it in ("__notes__", ORIGINS):
            attributes.pop(not_of_it, None)
        if isinstance(error, _StandIn):
            attributes.pop("_message", None)
        self._write_named("attrs", attributes, data)
        self._write_named("state", dict(_built_in_state(error)), data)
        for name, type_, reason in _recorded(type(error)).missing:
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
        """A part that must be there: what cannot be stored is replaced by what shows itself like it."""
        try:
            return self._part(value)
        except Exception:
            if isinstance(value, UnstoredArgument):
                return {TAG: "argument", "v": known_of(value)}
            shown, text = self._shown(_text_of(value, repr)), self._shown(_text_of(value, str))
            return {TAG: "argument", "v": {"type": type_name(kind_of(value)), "shown": shown, "text": text}}

    def _part(self, value: Any) -> Any:
        """One part of an error as JSON with tags, if it and all before it stay within the bounds."""
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


def _arguments(error: BaseException) -> tuple[Any, ...]:
    """The error's arguments. Where a group's members are one, an empty list or tuple is left: they are
    written on their own."""
    if not isinstance(error, BaseExceptionGroup) or len(error.args) < 2:
        return error.args
    members: Any = error.args[1]
    if type(members) not in (list, tuple) or tuple(members) != cast("Any", error).exceptions:
        return error.args
    return (error.args[0], type(members)(), *error.args[2:])


def _base_names(cls: type[Any]) -> list[str]:
    """The class's bases in the order of its MRO, without `object`."""
    if issubclass(cls, _StandIn):
        return list(_recorded(cls).bases)
    return [class_name(base) for base in cls.__mro__[1:-1]][:40]


def _built_in_state(error: BaseException) -> Iterator[tuple[str, Any]]:
    """What the built-in classes keep outside `__dict__`, such as `OSError.errno`."""
    for name, descriptor in _built_in_members(type(error)).items():
        try:
            value = descriptor.__get__(error)
        except (AttributeError, TypeError):
            continue  # never set
        if value is not None:
            yield name, value


@functools.lru_cache(maxsize=256)
def _built_in_members(cls: type[Any]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for base in cls.__mro__:
        if base in (BaseException, Exception, object, BaseExceptionGroup) or _is_heap_type(base):
            continue
        for name, descriptor in vars(base).items():
            # `AttributeError.obj` is the object without the attribute: it serves suggestions
            # in tracebacks, and can be anything at all.
            if isinstance(descriptor, (MemberDescriptorType, GetSetDescriptorType)) and name != "obj":
                members.setdefault(name, descriptor)
    return members


def _is_heap_type(cls: type[Any]) -> bool:
    return bool(cls.__flags__ & 1 << 9)


def _text_of(value: object, how: Callable[[object], str]) -> str:
    try:
        return how(value)
    except Exception:
        return f"<{type_name(kind_of(value))} whose {how.__name__}() fails>"


def _cut(text: str, limit: int = _MAX_SHOWN) -> str:
    return text if len(text) <= limit else f"{text[: limit - 40]}… ({len(text):,} characters)"


# -- the traceback, for the eye
_OURS: Final = frozenset({"trigger_nb", "asyncio", "anyio", "concurrent", "threading", "runpy"})
_FIRST_FRAMES, _LAST_FRAMES = 4, 16


def _user_frames(traceback: TracebackType | None) -> list[str]:
    frames: list[str] = []
    while traceback is not None:
        module = traceback.tb_frame.f_globals.get("__name__", "")
        if str(module).partition(".")[0] not in _OURS:
            frames.append(_frame_text(traceback))
        traceback = traceback.tb_next
    left_out = len(frames) - _FIRST_FRAMES - _LAST_FRAMES
    if left_out > 0:
        frames[_FIRST_FRAMES:-_LAST_FRAMES] = [f"... {left_out} more frames ..."]
    return frames


def _frame_text(traceback: TracebackType) -> str:
    code = traceback.tb_frame.f_code
    line = linecache.getline(code.co_filename, traceback.tb_lineno, traceback.tb_frame.f_globals).strip()
    where = f"{file_name(code.co_filename)}, line {traceback.tb_lineno}, in {code.co_name}"
    return _cut(f"{where}\n    {line}" if line else where, 500)


# -- reading
def _read(data: dict[str, Any]) -> BaseException:
    error = _read_adapted(data) or _rebuild(data)
    _read_notes(error, data)
    _read_chain(error, data)
    return error


def _read_notes(error: BaseException, data: dict[str, Any]) -> None:
    if "notes" in data:
        error.__dict__["__notes__"] = list(data["notes"])


def _read_chain(error: BaseException, data: dict[str, Any]) -> None:
    # Past any `__setattr__` of the class's own, such as a frozen dataclass has.
    put = functools.partial(BaseException.__setattr__, error)
    if "cause" in data:
        put("__cause__", decode_error(data["cause"]))
    if "context_is_cause" in data:
        put("__context__", error.__cause__)
    elif "context" in data:
        put("__context__", decode_error(data["context"]))
    put("__suppress_context__", data.get("suppress_context", False))


def _read_adapted(data: dict[str, Any]) -> BaseException | None:
    if "adapter" not in data or _find(f"{data['module']}:{data['type']}") is None:
        return None
    adapter = _adapters.get(data["adapter"])
    if adapter is None:
        raise ValueNotLoadedError(
            f"a stored {data['type']} was written by its adapter, which is not registered in this kernel. The error is "
            "still in the store: run the cell that calls register_error, then this one again."
        )
    error = adapter.from_data(Reader(None).read(data["data"]))
    if not isinstance(cast("object", error), BaseException):
        raise TypeError(f"the adapter of {data['type']} made {error!r:.100} of it, which is no error")
    return error


def _rebuild(data: dict[str, Any]) -> BaseException:
    cls = _find(f"{data['module']}:{data['type']}")
    missing = tuple((name, *why) for name, why in data.get("missing", {}).items())
    try:
        if cls is None:
            return _filled(_stand_in(data, missing), data)
        if missing and type(cls) in {type, ABCMeta}:
            return _filled(_with_missing(cls, missing), data)
        return _filled_up(_filled(cls, data), missing)
    except ValueNotLoadedError:
        raise  # of a part of it, which may be what `except` goes by
    except Exception:
        return _plain(data)  # a class of an extension module may allow none of this


def _filled_up(error: BaseException, missing: tuple[tuple[str, str, str], ...]) -> BaseException:
    """Where a metaclass of its own forbids a class made on the spot, placeholders have to do."""
    for name, type_, reason in missing:
        error.__dict__[name] = Unstored("", type_, reason, f"$.{name}")
    return error


def _find(name: str) -> type[BaseException] | None:
    cls = find_class(name) or _local_classes.get(name)
    return cls if cls is not None and issubclass(cls, BaseException) else None


def _filled(cls: type[BaseException], data: dict[str, Any]) -> BaseException:
    """A new instance of `cls` with the parts that were stored, made without code of its own."""
    reader = Reader(None)
    error = _new_group(cls, reader, data) if "errors" in data else _new(cls, reader, data)
    for name, value in reader.fields(data.get("attrs", {})).items():
        if isinstance(getattr(cls, name, None), MemberDescriptorType):
            BaseException.__setattr__(error, name, value)
        else:
            error.__dict__[name] = value
    members = _built_in_members(cls)
    for name, value in reader.fields(data.get("state", {})).items():
        if name in members:
            members[name].__set__(error, value)
    if issubclass(cls, _StandIn):
        error.__dict__["_message"] = data["message"]
    return error


def _new(cls: type[BaseException], reader: Reader, data: dict[str, Any]) -> BaseException:
    error = cast("BaseException", cast("Any", _built_in_base(cls)).__new__(cls))
    _set_args(error, reader.items(data.get("args", ())))  # there are none beside an adapter's data
    return error


def _set_args(error: BaseException, args: list[Any]) -> None:
    # By the built-in descriptor: a class can have a property of that name.
    cast("Any", BaseException).args.__set__(error, tuple(args))


def _new_group(cls: type[BaseException], reader: Reader, data: dict[str, Any]) -> BaseException:
    members = [_read(member) for member in data["errors"]]
    if left := data.get("errors_left"):
        members.append(TaskError(f"{left} more errors of this group were not stored"))
    error = BaseExceptionGroup.__new__(cast("Any", cls), reader.read(data["text"]), members)
    args = reader.items(data["args"])
    if len(args) > 1 and args[1] in ([], ()):
        args[1] = type(args[1])(members)
    _set_args(error, args)
    return error


def _built_in_base(cls: type[Any]) -> type[Any]:
    """The class that decides how instances are laid out; only its `__new__` may make them."""
    while _is_heap_type(cls):
        cls = cast("type[Any]", cls.__base__)
    return cls


# -- classes made on the spot
class _Recorded(NamedTuple):
    """What such a class knows of the error it was made for."""

    bases: tuple[str, ...] = ()
    missing: tuple[tuple[str, str, str], ...] = ()


class _StandIn:
    """First base of such classes: it keeps the `__init_subclass__` of the other ones from running,
    which may note down every subclass."""

    __slots__ = ()
    recorded: _Recorded = _Recorded()
    _message: str

    def __init_subclass__(cls) -> None:
        pass

    def __str__(self) -> str:
        return self._message


class _Missing:
    """An attribute that could not be stored: reading it says so.

    Not as an `AttributeError`: `getattr(error, "response", None)` would then quietly take another
    branch than the one it took when the error was new.
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


def _recorded(cls: type[Any]) -> _Recorded:
    return cls.recorded if issubclass(cls, _StandIn) else _Recorded()


_Missed = tuple[tuple[str, str, str], ...]


def _stand_in(data: dict[str, Any], missing: _Missed) -> type[BaseException]:
    """A class in place of one that is not loaded."""
    names: list[str] = data["bases"]
    loaded = [cls for cls in map(_find, names) if cls is not None and type(cls) in {type, ABCMeta}]
    nearest: list[type[BaseException]] = []
    for cls in loaded:
        if not any(issubclass(nearer, cls) for nearer in nearest):
            nearest.append(cls)
    # `except Exception` does not catch what derives from BaseException alone.
    first = (TaskError,) if any(issubclass(cls, Exception) for cls in nearest) else ()
    others = tuple(cls for cls in nearest if not issubclass(TaskError, cls))
    recorded = _Recorded(tuple(names), missing)
    try:
        return _make(data["module"], data["type"], _most_derived(first + others), recorded)
    except TypeError:  # The loaded bases do not go together without the missing class between them.
        return _make(data["module"], data["type"], _most_derived(first + others[:1]), recorded)


def _most_derived(classes: tuple[type[BaseException], ...]) -> tuple[type[BaseException], ...]:
    kept = [
        cls for cls in classes if not any(other is not cls and issubclass(other, cls) for other in classes)
    ]
    return tuple(kept) or (BaseException,)


def _with_missing(cls: type[BaseException], missing: _Missed) -> type[BaseException]:
    """`cls` with attributes that say that they were not stored."""
    return _make(cls.__module__, cls.__qualname__, (cls,), _Recorded(tuple(_base_names(cls)), missing))


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
        namespace[attribute] = _Missing(name, attribute, type_, reason)
    return cast("type[BaseException]", type(name, (_StandIn, *bases), namespace))


# -- values that are kept as part of an error only
part_writers: dict[str, Write] = {}


def add_part(name: str, tag: str, write: Write, read: Read) -> None:
    part_writers[name] = write
    add_reader(tag, read)


# -- the registry
def _write_error(writer: Writer, error: BaseException) -> Any:
    errors = writer.errors or ErrorWriter(traceback=not writer.canonical)
    return {TAG: "error", "v": errors.write(error)}


def _find_error(cls: type[Any]) -> Write | None:
    return _write_error if issubclass(cls, BaseException) else None


def register() -> None:
    """Make errors known, as values and as what ended a task."""
    add_finder(_find_error)
    add_reader("error", lambda reader, data: _read(data["v"]))
