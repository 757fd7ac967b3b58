"""JSON with tags: the writer, the reader, and the registry of codecs.

A value of a type that JSON lacks is an object with the key "$", which names the type: `{"$": "tuple", "v": [1, 2]}`.
Each type has a function that writes its values, found by the exact type of a value, and a function that reads
them, found by the tag.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple, NoReturn, Protocol, TypeAlias, cast
from weakref import WeakKeyDictionary

from ..errors import CorruptRecordError, NotStorableError, ValueNotLoadedError
from .instead import why_instead
from .libraries import import_library
from .names import class_name, find_class, kind_of, of_type, type_name
from .one_shot import why_once

TAG = "$"
REGISTERED = "codec "  # the prefix of the tags of codecs that users register
# Each level needs up to three stack frames here and three levels of JSON. The interpreter allows about a thousand
# of each, including those of the notebook.
MAX_DEPTH = 200
# The size up to which bytes are stored in the row, as base64. Larger ones are stored in a file.
INLINE_BYTES = 8 * 1024
# The same limit inside an error, which has no files. Larger ones are not stored.
ERROR_BYTES = 32 * 1024


class Encoded(NamedTuple):
    """A value as text.

    `form` is "" if parsing `text` as JSON gives the value itself, equal in value and type. It is "tagged" or
    "signed" if a codec must read the parsed text. `text` is ASCII JSON.
    """

    form: str
    text: str


class Blobs(Protocol):
    """Files for bytes that are too large for a row, in a folder of one run."""

    def put(self, data: bytes) -> str:
        """Store `data` durably and return its name."""
        ...

    def get(self, name: str) -> bytes:
        """The bytes with a name. Raises `CorruptRecordError` if they are missing or were changed."""
        ...


# Writing -----------------------------------------------------------------------------------------

Write: TypeAlias = "Callable[[Writer, Any], Any]"
Read: TypeAlias = "Callable[[Reader, dict[str, Any]], Any]"
Counts: TypeAlias = Literal["changed", "all", "set"]
Find: TypeAlias = "Callable[[type[Any]], Write | None]"
_writers: dict[type[Any], Write] = {}
_readers: dict[str, Read] = {}
_finders: list[Find] = []
_found: WeakKeyDictionary[type[Any], Write] = WeakKeyDictionary()
_late: dict[str, Callable[[], object]] = {}


def add_type(cls: type[Any], tag: str, write: Write, read: Read) -> None:
    """Register the functions that write values of exactly the type `cls` and read data with `tag`."""
    _writers[cls] = write
    _readers[tag] = read


def add_reader(tag: str, read: Read) -> None:
    """Register the function that reads data with `tag`."""
    _readers[tag] = read


def add_finder(find: Find) -> None:
    """Register a function that finds the writer of a type, for types that are not registered one by one."""
    _finders.append(find)


def add_late(package: str, load: Callable[[], object]) -> None:
    """Register a function to call before the first value of `package` is written or read.

    The tags of its types start with the package's name and a dot. So a library is imported only if it is used.
    """
    _late[package] = load


def _load_late(package: str) -> bool:
    load = _late.get(package)
    if load is None:
        return False
    import_library(package)
    load()
    _late.pop(package, None)  # only now, because another thread may need it meanwhile
    return True


def find_writer(cls: type[Any]) -> Write | None:
    """The function that writes values of exactly this type, or None."""
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
    """A step of a path that is neither an attribute nor an index, such as a dict's key that is not text."""

    text: str


class ErrorsWriter(Protocol):
    """Writes an error and the errors that it refers to, within one limit for all of them."""

    def write(self, error: BaseException) -> dict[str, Any]:
        """The data of an error."""
        ...

    def find_writer(self, cls: type[Any]) -> Write | None:
        """The writer of a type that is stored only as a part of an error."""
        ...


class Writer:
    """Turns one value into JSON with tags, or raises `NotStorableError` with the part's path.

    With `canonical`, the result is the canonical form for identity (rule I1): unordered parts are sorted, and
    secrets are left out. `counts` says which fields of an instance are in it: those that differ from their
    defaults; or all; or, as up to November 2026, those of a model that were set, without its class.

    The secrets that are met are added to `secrets`, in order. Without `may_read`, a large `File` that must be read first
    raises `NotReadYetError`.
    """

    def __init__(
        self,
        blobs: Blobs | None,
        *,
        canonical: bool = False,
        counts: Counts = "changed",
        secrets: list[Any] | None = None,
        may_read: bool = True,
    ) -> None:
        self.blobs = blobs
        self.canonical = canonical
        self.counts: Counts = counts
        self.secrets = secrets
        self.may_read = may_read
        self.errors: ErrorsWriter | None = None  # set while parts of an error are written
        self._path: list[str | int | Key] = []
        self._open: set[int] = set()

    def write(self, value: Any) -> Any:
        """`value` as JSON with tags."""
        if value is None or value is True or value is False:
            return value
        cls = kind_of(value)
        write = None if self.errors is None else self.errors.find_writer(cls)
        write = write or _writers.get(cls) or find_writer(cls)
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
        """`value` as JSON with tags, one step down the path."""
        self._path.append(step)
        data = self.write(value)
        self._path.pop()
        return data

    @contextmanager
    def step(self, step: str | int | Key) -> Generator[None]:
        """A context in which values are written one step down the path."""
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
        """A mapping from attribute names, which never collide with the tag, as JSON with tags."""
        return {name: self.at(name, value) for name, value in values.items()}

    def data(self, data: bytes) -> dict[str, Any]:
        """Bytes as JSON, or as the name of a file if they are large."""
        if len(data) < (INLINE_BYTES if self.blobs is not None else ERROR_BYTES):
            return {"b64": base64.b64encode(data).decode("ascii")}
        if self.blobs is None:
            self.refuse(data, f"{len(data):,} bytes are too many to keep with an error")
        size = {} if self.canonical else {"size": len(data)}
        return {"blob": self.blobs.put(data), **size}

    def class_of(self, value: Any, base: type[Any] = object) -> str:
        """The name by which a reader finds the value's class. Refuses the value if there is none."""
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
        """Raise `NotStorableError` for the part that is being written."""
        raise NotStorableError(self.path, type_name(kind_of(value)), reason)

    @property
    def path(self) -> str:
        """The JSONPath of the part that is being written."""
        return "$" + "".join(map(_step_text, self._path))

    def _why_unknown(self, value: Any) -> str:
        cls = kind_of(value)
        if once := why_once(value):
            return once
        if instead := why_instead(cls):
            return instead
        if isinstance(value, type):
            return "a class is not data; return its name"
        if callable(value) and hasattr(cast("Any", value), "__qualname__"):
            return "a function is not data"
        for base in cls.__mro__[1:-1]:
            if base in _writers:
                return (
                    f"a subclass of {type_name(base)} would become a plain {base.__name__}; "
                    f"convert it, or register_codec({cls.__name__}, ...)"
                )
        return f"no codec knows this type; return plain data, or register_codec({cls.__name__}, ...)"


def _step_text(step: str | int | Key) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    if isinstance(step, Key):
        return f"[{step.text}]"
    return f".{step}" if step.isidentifier() else f"[{json.dumps(step)}]"


# Reading -----------------------------------------------------------------------------------------


class Reader:
    """Turns JSON with tags, parsed, into the value. Never changes the parsed data.

    The secrets of a value that was just written, in order, are read again from `secrets`. The fields that a class
    has got since are added to `new_fields`, as texts of the class and the field. A signed pickle is only read with the
    `place` that it was signed for. Without `checks_files`, a `File` is taken to be as it was recorded;
    without `may_read`, a large one that must be read first raises `NotReadYetError`.
    """

    def __init__(
        self,
        blobs: Blobs | None,
        secrets: Iterable[Any] = (),
        new_fields: set[tuple[str, str]] | None = None,
        place: Any = None,
        *,
        checks_files: bool = True,
        may_read: bool = True,
    ) -> None:
        self.blobs = blobs
        self.place = place
        self.checks_files = checks_files
        self.may_read = may_read
        self.secrets = iter(secrets)
        self.new_fields = new_fields

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

    def of(self, data: Any, *kinds: type[Any]) -> Any:
        """The value, which is exactly of one of these built-in types.

        For where a value goes to code that would call methods of another object. None is made of the data of another
        type.
        """
        if kind_of(data) is dict and TAG in data and data[TAG] not in [kind.__name__ for kind in kinds]:
            raise TypeError(f"a {data[TAG]}, not a {kinds[0].__name__}")
        return of_type(self.read(data), *kinds)

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
            raise CorruptRecordError("bytes in a stored error refer to a file, but errors have no files")
        return self.blobs.get(data["blob"])

    def note_new(self, of: Any, name: str) -> None:
        """Note a field that the stored instance of a class has no value for."""
        if self.new_fields is not None:
            self.new_fields.add((str(of), name))

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
            "register_codec, then run this cell again."
        )
    return (
        f"a stored value has the tag {tag!r}, which this version of trigger_nb does not know. A newer version wrote "
        "it: upgrade trigger_nb."
    )
