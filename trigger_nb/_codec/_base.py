"""What a codec is: how a value becomes JSON with tags, and what stands in for one that cannot.

A value of another type than JSON's own is an object with the key "$", which names the type:
`{"$": "tuple", "v": [1, 2]}`. Each type brings a function that writes it and one that reads it;
both are found here, by the value's exact type and by the tag.
"""

from __future__ import annotations

import base64
import functools
import json
import sys
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Protocol, Self, TypeAlias, cast
from weakref import WeakKeyDictionary

from ..errors import (
    CorruptRecordError,
    NotStorableError,
    RedactedError,
    ValueNotLoadedError,
    ValueNotStoredError,
)

TAG = "$"
REGISTERED = "codec "  # before the name of a codec that a user has registered
# Each level costs up to three frames here and three levels of JSON, and the interpreter allows
# about a thousand of either, the notebook's own included.
MAX_DEPTH = 200
# Bytes up to this size stand in the row as base64; more of them go to a file.
INLINE_BYTES = 8 * 1024
# An error has no files; what is larger than this is not kept with it.
ERROR_BYTES = 32 * 1024


class Encoded(NamedTuple):
    """A value as text.

    `form` is "" when parsing `text` as JSON gives the value itself, equal in value and type, and
    "tagged" or "signed" when the codec must read it. `text` is ASCII JSON either way.
    """

    form: str
    text: str


class Blobs(Protocol):
    """Where a codec puts bytes too large for a row: a folder of one run's files."""

    def put(self, data: bytes) -> str:
        """Keep `data` durably and return its name."""
        ...

    def get(self, name: str) -> bytes:
        """The bytes of that name; `CorruptRecordError` when they are missing or are not what was put."""
        ...


# -- text


def _refuse_in_json(value: object) -> NoReturn:
    raise TypeError(f"{type(value).__name__} is not JSON")


def make_dumps(*, sort_keys: bool = False) -> Callable[[Any], str]:
    """A function that writes JSON as compact ASCII and raises `ValueError` for NaN and infinities."""
    # `JSONEncoder.encode` builds its C encoder anew at each call, which costs more than encoding
    # a small result. One encoder can be kept, because `markers=None` leaves it without state.
    c_make_encoder: Any = getattr(json.encoder, "c_make_encoder", None)
    if c_make_encoder is None:  # not CPython
        return json.JSONEncoder(
            ensure_ascii=True, allow_nan=False, sort_keys=sort_keys, separators=(",", ":")
        ).encode
    escape = json.encoder.encode_basestring_ascii
    encode: Callable[[Any, int], Iterable[str]] = c_make_encoder(
        None, _refuse_in_json, escape, None, ":", ",", sort_keys, False, False
    )
    join = "".join

    def dumps(value: Any) -> str:
        return join(encode(value, 0))

    return dumps


dumps = make_dumps()
dumps_sorted = make_dumps(sort_keys=True)
loads = json.JSONDecoder().decode


# -- names of classes


def kind_of(value: object) -> type[Any]:
    """`type(value)`, which to a type checker is partly unknown when `value` is Any."""
    return type(value)


def type_name(cls: type[Any]) -> str:
    """The full name of a class as people write it: `httpx.Client`, `dict`."""
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def class_name(cls: type[Any]) -> str:
    """The name a class is looked up by: `module:qualname`."""
    return f"{cls.__module__}:{cls.__qualname__}"


def find_class(name: str) -> type[Any] | None:
    """The class of that `module:qualname` as it is now, or None. Nothing is imported for it."""
    module, _, qualname = name.partition(":")
    found: Any = sys.modules.get(module)
    for part in qualname.split("."):
        # `vars` and not `getattr`: a lazy module would import on attribute access.
        namespace = cast("Mapping[str, Any]", getattr(found, "__dict__", {}))
        if part not in namespace:
            return None
        found = namespace[part]
    return cast("type[Any]", found) if isinstance(found, type) else None


def load_class(name: str, base: type[Any] = object) -> type[Any]:
    """The class of that `module:qualname`; `ValueNotLoadedError` says what to define first."""
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
            f"a stored value is of the class {module}.{qualname}, which no longer is a kind of "
            f"{type_name(base)}. Define it as it was, or have the task run again."
        )
    return cls


def attributes_of(value: object) -> dict[str, Any]:
    """What is set on an instance itself, in its `__dict__` and its slots, less cached properties."""
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
                continue  # a slot that was never set
    return state


def secret_kind(cls: type[Any]) -> str:
    """The name of the kind of secret that instances of `cls` are, or ""."""
    for base in cls.__mro__:
        if base.__module__ == "pydantic.types" and base.__name__ in {"SecretStr", "SecretBytes", "Secret"}:
            return base.__name__
    return ""


# -- writing

Write: TypeAlias = "Callable[[Writer, Any], Any]"
Read: TypeAlias = "Callable[[Reader, dict[str, Any]], Any]"
Find: TypeAlias = "Callable[[type[Any]], Write | None]"

_writers: dict[type[Any], Write] = {}
_readers: dict[str, Read] = {}
_finders: list[Find] = []
_found: WeakKeyDictionary[type[Any], Write] = WeakKeyDictionary()
_late: dict[str, Callable[[], object]] = {}


def add_type(cls: type[Any], tag: str, write: Write, read: Read) -> None:
    """Have values of exactly the type `cls` written by `write` and those of `tag` read by `read`."""
    _writers[cls] = write
    _readers[tag] = read


def add_reader(tag: str, read: Read) -> None:
    """Have what carries `tag` read by `read`."""
    _readers[tag] = read


def add_finder(find: Find) -> None:
    """Have `find` asked for the writer of types that are not known one by one."""
    _finders.append(find)


def add_late(package: str, load: Callable[[], object]) -> None:
    """Have `load` called before the first value of `package` is written, or read: tags of its
    types begin with its name and a dot. So a library is never imported for its types' sake."""
    _late[package] = load


def _load_late(package: str) -> bool:
    load = _late.get(package)
    if load is None:
        return False
    load()
    _late.pop(package, None)  # Only now: another thread may have asked meanwhile.
    return True


def find_writer(cls: type[Any]) -> Write | None:
    """The function that writes values of exactly this type."""
    write = _writers.get(cls) or _found.get(cls)
    if write is not None:
        return write
    if _load_late(cls.__module__.partition(".")[0]) and cls in _writers:
        return _writers[cls]
    for find in _finders:
        write = find(cls)
        if write is not None:
            _found[cls] = write
            return write
    return None


class Key(NamedTuple):
    """A step of a path that is neither an attribute nor an index, such as a dict's odd key."""

    text: str


class ErrorsWriter(Protocol):
    """Writes the errors of one tree of errors, within one bound for all of them."""

    def write(self, error: BaseException) -> dict[str, Any]:
        """An error as data."""
        ...

    def find_writer(self, cls: type[Any]) -> Write | None:
        """The function that writes values of a type that is only kept as part of an error."""
        ...


class Writer:
    """Turns one value into JSON with tags, or raises `NotStorableError` with the part's path.

    `canonical` asks for the text that identity is made of (rule I1): order that does not count
    is sorted away, secrets are left out.
    """

    def __init__(self, blobs: Blobs | None, *, canonical: bool = False) -> None:
        self.blobs = blobs
        self.canonical = canonical
        self.errors: ErrorsWriter | None = None  # Set while the parts of an error are written.
        self._path: list[str | int | Key] = []
        self._open: set[int] = set()

    def write(self, value: Any) -> Any:
        """`value` as JSON with tags."""
        if value is None or value is True or value is False:
            return value
        cls = kind_of(value)
        write = _writers.get(cls) or find_writer(cls)
        if write is None and self.errors is not None:
            write = self.errors.find_writer(cls)
        if write is None:
            self.refuse(value, self._why_unknown(value))
        here = id(value)
        if here in self._open:
            self.refuse(value, "it contains itself")
        if len(self._path) > MAX_DEPTH:
            self.refuse(value, f"nested more than {MAX_DEPTH} levels deep")
        self._open.add(here)
        data = write(self, value)
        self._open.discard(here)
        return data

    def at(self, step: str | int | Key, value: Any) -> Any:
        """`value` as JSON with tags, where it lies one step further down."""
        self._path.append(step)
        data = self.write(value)
        self._path.pop()
        return data

    @contextmanager
    def step(self, step: str | int | Key) -> Generator[None]:
        """What is written inside lies one step further down."""
        self._path.append(step)
        yield
        self._path.pop()

    def items(self, values: Iterable[Any]) -> list[Any]:
        """Each of `values` as JSON with tags, at its index."""
        path = self._path
        path.append(0)
        written: list[Any] = []
        for index, value in enumerate(values):
            path[-1] = index
            written.append(self.write(value))
        path.pop()
        return written

    def fields(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """A mapping whose keys are attribute names, which never collide with the tag."""
        return {name: self.at(name, value) for name, value in values.items()}

    def data(self, data: bytes) -> dict[str, Any]:
        """Bytes, in the row when they are few and in a file when they are many."""
        if len(data) < (INLINE_BYTES if self.blobs is not None else ERROR_BYTES):
            return {"b64": base64.b64encode(data).decode("ascii")}
        if self.blobs is None:
            self.refuse(data, f"{len(data):,} bytes are too many to keep with an error")
        return {"blob": self.blobs.put(data)}

    def class_of(self, value: Any, base: type[Any] = object) -> str:
        """The name that the value's class is found by when it is read; refused if there is none."""
        cls = kind_of(value)
        name = class_name(cls)
        found = find_class(name)
        if found is None or not issubclass(found, base):
            self.refuse(
                value,
                "its class cannot be found by name: define it at the top level of a cell or module, "
                "not inside a function",
            )
        return name

    def refuse(self, value: Any, reason: str = "") -> NoReturn:
        """Raise the `NotStorableError` of the part that is being written."""
        raise NotStorableError(self.path, type_name(kind_of(value)), reason)

    @property
    def path(self) -> str:
        """The JSONPath of the part that is being written."""
        return "$" + "".join(map(_step_text, self._path))

    def _why_unknown(self, value: Any) -> str:
        cls = kind_of(value)
        if isinstance(value, type):
            return "a class is not data; return its name"
        if callable(value) and hasattr(cast("Any", value), "__qualname__"):
            return "a function is not data"
        for base in cls.__mro__[1:-1]:
            if base in _writers:
                return (
                    f"a subclass of {type_name(base)} would come back as a plain one; "
                    f"convert it, or register_codec({cls.__name__}, ...)"
                )
        return f"no codec knows this type; return plain data, or register_codec({cls.__name__}, ...)"


def _step_text(step: str | int | Key) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    if isinstance(step, Key):
        return f"[{step.text}]"
    return f".{step}" if step.isidentifier() else f"[{json.dumps(step)}]"


# -- reading


class Reader:
    """Turns what a `Writer` wrote, parsed, into the value again. It never changes the parsed data."""

    def __init__(self, blobs: Blobs | None) -> None:
        self.blobs = blobs

    def read(self, data: Any) -> Any:
        """The value that was written as `data`."""
        kind = kind_of(data)
        if kind is dict:
            tag = data.get(TAG)
            if tag is None:
                return {name: self.read(item) for name, item in data.items()}
            return self._reader(tag)(self, data)
        if kind is list:
            return [self.read(item) for item in data]
        return data

    def items(self, data: Iterable[Any]) -> list[Any]:
        """The values that were written as a list."""
        return [self.read(item) for item in data]

    def fields(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """The values that were written by attribute names."""
        return {name: self.read(item) for name, item in data.items()}

    def data(self, data: Mapping[str, Any]) -> bytes:
        """The bytes that were written."""
        if "b64" in data:
            return base64.b64decode(data["b64"])
        if self.blobs is None:
            raise CorruptRecordError("bytes that belong to an error are said to be in a file")
        return self.blobs.get(data["blob"])

    def _reader(self, tag: str) -> Read:
        read = _readers.get(tag)
        if read is None:
            try:
                _load_late(tag.partition(".")[0])
            except ImportError as error:
                raise ValueNotLoadedError(
                    f"a stored value is of the type {tag}, and {error.name or tag} cannot be imported here "
                    f"({error}). The value is still in the store: install it, then run this cell again."
                ) from error
            read = _readers.get(tag)
        if read is None:
            raise ValueNotLoadedError(_why_unreadable(tag))
        return read


def _why_unreadable(tag: str) -> str:
    if tag.startswith(REGISTERED):
        return (
            f"a stored value was written by the codec {tag.removeprefix(REGISTERED)!r}, which is not "
            "registered in this kernel. The value is still in the store: run the cell that calls "
            "register_codec, then this one again."
        )
    return f"a stored value has the tag {tag!r}, which this version does not know; a later one wrote it"


# -- what stands in for a value that is not there


class _Absence(NamedTuple):
    """What a placeholder knows about the value that it stands for."""

    error: type[Exception]
    message: str
    shown: str


def _use(self: Any, *_: object, **__: object) -> Any:
    absence: _Absence = object.__getattribute__(self, "_absence")
    raise absence.error(absence.message)


class Placeholder:
    """Can be passed on, copied, compared by `is` and shown; any other use raises an error that says why."""

    __slots__ = ("__weakref__", "_absence")

    def __init__(self, error: type[Exception], message: str, shown: str) -> None:
        object.__setattr__(self, "_absence", _Absence(error, message, shown))

    def __repr__(self) -> str:
        absence: _Absence = object.__getattribute__(self, "_absence")
        return absence.shown

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __getattr__(self, name: str) -> Any:
        _use(self)

    if not TYPE_CHECKING:  # To a type checker they would be overrides of the wrong signature.
        __setattr__ = __delattr__ = __call__ = __getitem__ = __setitem__ = __delitem__ = _use
        __iter__ = __next__ = __reversed__ = __contains__ = __len__ = __length_hint__ = _use
        __enter__ = __exit__ = __aiter__ = __anext__ = __aenter__ = __aexit__ = _use
        __bool__ = __int__ = __float__ = __complex__ = __index__ = __bytes__ = __buffer__ = _use
        __str__ = __format__ = __fspath__ = __hash__ = __reduce_ex__ = _use
        __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _use
        __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __matmul__ = __rmatmul__ = _use
        __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = _use
        __divmod__ = __rdivmod__ = __pow__ = __rpow__ = __neg__ = __pos__ = __abs__ = __invert__ = _use
        __and__ = __rand__ = __or__ = __ror__ = __xor__ = __rxor__ = _use
        __lshift__ = __rlshift__ = __rshift__ = __rrshift__ = _use
        __round__ = __trunc__ = __floor__ = __ceil__ = _use


class Unstored(Placeholder):
    """Stands for a result that could not be kept (rule S4).

    Ignoring it is safe, using it raises `ValueNotStoredError`. `task` says whose result it is, `type`
    is the type that no codec could write, and `path` where in the result it was.
    """

    __slots__ = ("_known",)

    def __init__(self, task: str, type: str, reason: str = "", path: str = "$") -> None:
        object.__setattr__(self, "_known", {"type": type, "reason": reason})
        of = f" of {task!r}" if task else ""
        what = f"{path} is a {type}" + (f" ({reason})" if reason else "")
        super().__init__(
            ValueNotStoredError,
            f"the result{of} is used, but it could not be kept: {what}. The task is done and does not run "
            "again by itself. Return plain data from it, or register_codec() for that type, then rerun "
            "it; or give it repeatable=True, to have it run again whenever its value is needed.",
            f"<not stored{of}: {what}>",
        )


class UnstoredArgument(Placeholder):
    """Stands for an argument of an error that could not be kept: like `Unstored`, but it shows itself
    as the argument did, so that the error's text is what it was."""

    __slots__ = ("_known",)

    def __init__(self, type: str, shown: str, text: str) -> None:
        super().__init__(
            ValueNotStoredError,
            f"an argument of a stored error is used, but it could not be kept: it was a {type}. "
            "Give the error plain data, or register_codec() or register_error() for it.",
            shown,
        )
        object.__setattr__(self, "_known", {"type": type, "shown": shown, "text": text})

    def __str__(self) -> str:
        return known_of(self)["text"]

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)


def known_of(value: Unstored | UnstoredArgument) -> dict[str, str]:
    """What a placeholder was made from."""
    return object.__getattribute__(value, "_known")


class Redacted(Placeholder):
    """What a secret comes back as (rule S8): its text was never written."""

    __slots__ = ("_kind",)

    def __init__(self, kind: str = "SecretStr") -> None:
        super().__init__(
            RedactedError,
            f"a {kind} is used that came from a stored result, and secrets are never stored. Read the secret "
            "(from the environment, a vault or the kernel) inside the task that needs it.",
            f"<redacted {kind}>",
        )
        object.__setattr__(self, "_kind", kind)

    def __str__(self) -> str:
        return "**********"

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)


def redacted_kind(value: Redacted) -> str:
    """The type of the secret that `value` stands for."""
    return object.__getattribute__(value, "_kind")
