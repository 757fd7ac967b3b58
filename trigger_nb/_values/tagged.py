"""What a codec is: how a value becomes JSON with tags, and what stands in for one that cannot.

A value of another type than JSON's own is an object with the key "$", which names the type:
`{"$": "tuple", "v": [1, 2]}`. Each type brings a function that writes it and one that reads it;
both are found here, by the value's exact type and by the tag.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, NoReturn, Protocol, TypeAlias, cast
from weakref import WeakKeyDictionary

from ..errors import CorruptRecordError, NotStorableError, ValueNotLoadedError
from .names import class_name, find_class, kind_of, type_name

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
