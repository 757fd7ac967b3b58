"""`File` and `Files`: files as values, which count by what is in them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, final, overload

from ..errors import FileLostError, InvalidOptionError, NotStorableError, UnreadableFileError
from .file_hashes import NotReadYetError, difference, hashes, stamp_of
from .names import kind_of, of_type, type_name
from .sizes import size as size_text
from .tagged import TAG, Reader, Writer, add_type

_MAGIC: Final = frozenset("*?[")
_SHOWN = 3  # files of `Files` in its repr


class FilesInUse:
    """Whether a `File` was made in this process: before that, no code looks for one."""

    begun = False


@final
class File:
    """A file that counts by what is in it: as an argument of a task, an item of a map, a payload or a part of a key.

    An edited file is another value; one that was touched, or replaced by an equal one, is the same. As the result of a
    task, it is recorded by its path and its hash: if it is gone or altered later, the result is a lost value.

    A relative path is that of the working directory in which the `File` was made. The file need not exist yet. `File` is
    an `os.PathLike`, so `open(file)` and `pandas.read_csv(file)` work. Raises `InvalidOptionError` for what is no path.

        rows = await io.run_task("load", load, File("data/users.csv"), on_change="rerun")
    """

    __slots__ = ("__weakref__", "_absolute", "_given")

    _given: str
    _absolute: str

    def __init__(self, path: str | os.PathLike[str]) -> None:
        if isinstance(path, File):
            given, absolute = path._given, path._absolute
        else:
            given, absolute = _given_path(path), ""
        _set(self, given, absolute or _absolute_path(given))

    @property
    def given(self) -> str:
        """The path as it was written, by which the file counts."""
        return self._given

    @property
    def path(self) -> Path:
        """The absolute path."""
        return Path(self._absolute)

    @property
    def name(self) -> str:
        """The last part of the path: `users.csv`."""
        return os.path.basename(self._absolute)

    @property
    def size(self) -> int:
        """The number of bytes now. Raises `UnreadableFileError`."""
        return stamp_of(self._absolute).size

    @property
    def sha256(self) -> str:
        """The hash of what is in the file now, as 64 hexadecimal digits. Raises `UnreadableFileError`."""
        return hashes.of(self._absolute).sha256

    def __fspath__(self) -> str:
        return self._absolute

    def __str__(self) -> str:
        return self._absolute

    def __repr__(self) -> str:
        return f"File({self._given!r})"

    def __eq__(self, other: object) -> bool:
        """Whether the other one is a `File` of the same path, as it was written, with the same content."""
        if not isinstance(other, File):
            return NotImplemented
        if self._given != other._given:
            return False
        if self._absolute == other._absolute:
            return True
        try:
            return self.sha256 == other.sha256
        except UnreadableFileError:
            return False

    def __hash__(self) -> int:
        return hash((File, self._given))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a File cannot be changed: make another one, File({self._given!r})")

    def __reduce__(self) -> tuple[Any, ...]:
        return File._at, (self._given, self._absolute)

    @classmethod
    def _at(cls, given: str, absolute: str) -> File:
        """A `File` whose absolute path is known: unpickled, or read."""
        file = object.__new__(File)
        _set(file, given, absolute)
        return file

    def __trigger_key__(self) -> str:
        """The text that stands for the file in a cache key."""
        return f"{self._given}@{self.sha256[:16]}"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> Any:
        """A field of a model may be a `File`; text is a path."""
        from pydantic_core import core_schema

        def make(value: Any) -> File:
            try:
                return value if isinstance(value, File) else File(value)
            except InvalidOptionError as error:
                raise ValueError(str(error)) from None

        return core_schema.no_info_plain_validator_function(
            make, serialization=core_schema.plain_serializer_function_ser_schema(lambda file: file.given)
        )


def _set(file: File, given: str, absolute: str) -> None:
    object.__setattr__(file, "_given", given)
    object.__setattr__(file, "_absolute", absolute)
    FilesInUse.begun = True


def _given_path(path: object) -> str:
    try:
        given = os.fspath(path)  # type: ignore[call-overload]
    except TypeError:
        given = None
    if not isinstance(given, str) or not given:
        raise InvalidOptionError(f"a file is named by its path, as text or pathlib.Path, not {path!r:.100}")
    return Path(given).as_posix()


def _absolute_path(given: str) -> str:
    try:
        return os.path.abspath(Path(given).expanduser())
    except RuntimeError:
        raise InvalidOptionError(f"no home folder is known for {given!r}: write the path in full") from None


@final
class Files(Sequence[File]):
    """The files of a folder, of a pattern, or of a list of paths, as they are now: a sequence of `File`, in the order of paths.

    A folder stands for all files in it and in its folders. In a pattern, `*`, `?` and `[...]` stand for parts of a name, and
    `**` for any folders. Names that begin with a dot are left out, unless the pattern has the dot. No match is an empty
    sequence; a folder that does not exist raises `UnreadableFileError`. A list keeps its order.

        tables = await io.map("load", Files("data/*.csv"), load)
    """

    __slots__ = ("_files", "_given")

    def __init__(self, paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> None:
        if isinstance(paths, Files):
            self._given, self._files = paths._given, paths._files
        elif isinstance(paths, (str, os.PathLike)):
            self._given = _given_path(paths)
            self._files = tuple(File(path) for path in _found(self._given))
        elif isinstance(paths, Iterable) and not isinstance(paths, (bytes, bytearray)):  # pyright: ignore[reportUnnecessaryIsInstance]
            self._given, self._files = "", tuple(File(path) for path in paths)
        else:
            raise InvalidOptionError(
                f"files are named by a folder, a pattern or a list of paths, not {paths!r:.100}"
            )
        FilesInUse.begun = True

    def __len__(self) -> int:
        return len(self._files)

    def __iter__(self) -> Iterator[File]:
        return iter(self._files)

    @overload
    def __getitem__(self, index: int) -> File: ...
    @overload
    def __getitem__(self, index: slice) -> Files: ...
    def __getitem__(self, index: int | slice) -> File | Files:
        return Files(self._files[index]) if isinstance(index, slice) else self._files[index]

    def __eq__(self, other: object) -> bool:
        """Whether the other one has equal files in the same order."""
        return self._files == other._files if isinstance(other, Files) else NotImplemented

    def __hash__(self) -> int:
        return hash((Files, self._files))

    def __repr__(self) -> str:
        shown = repr(self._given) if self._given else f"[{', '.join(_brief(self._files))}]"
        return f"Files({shown}: {len(self._files):,})" if self._given else f"Files({shown})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Files._of, (self._given, self._files)

    @classmethod
    def _of(cls, given: str, files: tuple[File, ...]) -> Files:
        """Files that are known: unpickled, or read."""
        made = object.__new__(Files)
        made._given, made._files = given, files
        FilesInUse.begun = True
        return made


def _brief(files: Sequence[File]) -> Iterator[str]:
    yield from (repr(file.given) for file in files[:_SHOWN])
    if len(files) > _SHOWN:
        yield f"… {len(files) - _SHOWN:,} more"


def _found(given: str) -> list[str]:
    """The paths of the files of a folder or a pattern, as they would be written."""
    head = given.partition("/")[0] if given.startswith("~") else ""
    home = os.path.expanduser(head)
    path = home + given[len(head) :]
    if os.path.isdir(path):
        found = list(_inside(path))
    elif _MAGIC.isdisjoint(path) or os.path.isfile(path):
        stamp_of(os.path.abspath(path))  # raises, unless it is a file
        found = [path]
    else:
        found = _matches(path)
    written = (Path(head + each[len(home) :]).as_posix() for each in found)
    return sorted(written, key=lambda each: each.split("/"))


def _inside(folder: str) -> Iterator[str]:
    def fail(error: OSError) -> None:
        raise UnreadableFileError(
            f"the folder {error.filename} cannot be read: {error.strerror}", str(folder)
        )

    for at, folders, names in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = (os.path.join(at, name) for name in names if not name.startswith("."))
        yield from filter(os.path.isfile, paths)


def _matches(pattern: str) -> list[str]:
    import glob

    parts = Path(pattern).parts
    start = Path(*parts[: next(at for at, part in enumerate(parts) if not _MAGIC.isdisjoint(part))])
    if not start.is_dir():
        raise UnreadableFileError(
            f"there is no folder {os.path.abspath(start)}, in which Files({pattern!r}) looks", str(start)
        )
    return [each for each in glob.glob(pattern, recursive=True) if os.path.isfile(each)]


# Stored -----------------------------------------------------------------------------------------


def _write_file(writer: Writer, file: File) -> Any:
    if writer.canonical:
        return {TAG: "file", "v": writer.write(file.given), "sha256": _hash(writer, file)}
    data = {TAG: "file", "v": writer.write(file.given), "at": writer.write(file._absolute)}
    if writer.errors is not None:  # an error may be about a file that is not there
        return data
    try:
        hashed = hashes.of(file._absolute)
    except UnreadableFileError as error:
        reason = f"{error}; write it before the task returns"
        raise NotStorableError(writer.path, type_name(File), reason) from None
    return {**data, "size": hashed.stamp.size, "sha256": hashed.sha256}


def _hash(writer: Writer, file: File) -> str:
    return hashes.of(file._absolute, may_read=writer.may_read).sha256


def _read_file(reader: Reader, data: dict[str, Any]) -> File:
    given, absolute = reader.of(data["v"], str), reader.of(data["at"], str)
    if "sha256" not in data or not reader.checks_files:
        return File._at(given, absolute)
    recorded = of_type(data["size"], int), of_type(data["sha256"], str)
    what = difference(absolute, *recorded, may_read=reader.may_read)
    if what and not os.path.isabs(given):
        # The folder of the project was moved, or is that of another machine: the file with this content is the file.
        here = _absolute_path(given)
        if here != absolute and not difference(here, *recorded, may_read=reader.may_read):
            return File._at(given, here)
    if what:
        raise FileLostError(f"the file {given} ({absolute}) {what}", absolute)
    return File._at(given, absolute)


def _write_files(writer: Writer, files: Files) -> Any:
    written = writer.items(files._files)
    return (
        {TAG: "files", "v": written}
        if writer.canonical
        else {TAG: "files", "v": written, "of": writer.write(files._given)}
    )


def _read_files(reader: Reader, data: dict[str, Any]) -> Files:
    return Files._of(reader.of(data["of"], str), tuple(map(_only_file, reader.items(data["v"]))))


def _only_file(value: Any) -> File:
    if kind_of(value) is not File:
        raise TypeError(f"a {type_name(kind_of(value))} among files")
    return value


def register() -> None:
    """Register the codecs of files."""
    add_type(File, "file", _write_file, _read_file)
    add_type(Files, "files", _write_files, _read_files)


# Shown ------------------------------------------------------------------------------------------


def file_text(file: File) -> str:
    """The path and the size of a file, for a reader."""
    try:
        return f"{file.given}, {size_text(file.size)}"
    except UnreadableFileError:
        return file.given


# Looked for ------------------------------------------------------------------------------------

_MOST_PARTS = 10_000  # of a value that are looked at


def needs_reading(value: Any) -> bool:
    """Whether a large file in a value has to be read."""
    for file in files_in(value):
        try:
            hashes.of(file._absolute, may_read=False)
        except NotReadYetError:
            return True
        except UnreadableFileError:
            continue
    return False


def files_in(value: Any) -> Iterator[File]:
    """The files in a value and in its lists, tuples and dicts."""
    left = _MOST_PARTS
    pending: list[Any] = [value]
    while pending and left:
        left -= 1
        each = pending.pop()
        kind = kind_of(each)
        if kind is File:
            yield each
        elif kind in (list, tuple, Files):
            pending.extend(each[:left])
        elif kind is dict:
            pending.extend(list(each.values())[:left])
