"""Value files: values too large for a row, stored beside the database under the hash of their content."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from .._values.tagged import Blobs
from ..errors import CorruptRecordError, StoreError
from .crashpoints import point
from .files import (
    ForeignFileError,
    check_folder,
    create_file,
    file_size,
    is_file,
    is_folder,
    make_folder,
    read_file,
)

# The age in seconds below which an unused file is kept: its record may not be committed yet.
LEFT_BEHIND = 3600.0
# The name of a value file in the text of a row, or in the text of a value in a file.
FILE_NAME = re.compile(r'"(?:blob|file)": ?"([0-9a-f]{64})"')
# The names that this package gives. Files of other names are never removed: they are the user's.
_NAME = re.compile(r"[0-9a-f]{64}\Z")
_DRAFT = re.compile(r"\.[0-9a-f]{16}-[0-9a-f]{16}\.draft\Z")
_FOLDER = re.compile(r"[A-Za-z0-9_-]{0,40}-[0-9a-f]{16}\Z")


class ValueFiles:
    """The value files of one run; a `Blobs`.

    A file is written under a draft name, synced to the disk and then renamed, so a file under its final name is
    complete. The row that names it is committed after that.
    """

    def __init__(self, root: Callable[[], Path], run_id: str) -> None:
        self._find_root = root  # the store may be moved; raises `StoreError` if it is gone
        self._run_id = run_id

    @property
    def _root(self) -> Path:
        return self._find_root()

    @property
    def folder(self) -> Path:
        """The folder of the files, which may not exist yet."""
        return self._root / _folder_name(self._run_id)

    def put(self, data: bytes) -> str:
        """Write `data` durably and return its name: its SHA-256 in hexadecimal."""
        name = hashlib.sha256(data).hexdigest()
        path = self.folder / name
        try:
            self._check_folders()
            if not _holds(path, data):
                self._write(path, data)
        except OSError as error:
            if self.folder != path.parent:  # the store was moved just now
                return self.put(data)
            raise StoreError(
                f"a result of run {self._run_id!r} ({len(data):,} bytes) could not be written to {path}: "
                f"{error}. Free some space or make the directory writable, then run the cell again. Everything "
                "stored before is safe."
            ) from error
        return name

    def get(self, name: str, most: int | None = None) -> bytes:
        """The content of a file. Raises `CorruptRecordError` when it is missing, longer than `most`, or not what was written."""
        if not _NAME.match(name):
            raise self._corrupt(f"its record names {name!r}, which is not the name of a value file")
        path = self.folder / name
        try:
            self._check_folders()
            if most is not None and path.lstat().st_size > most:
                raise self._corrupt(f"the file {path} is longer than what was written")
            data = read_file(path)
        except FileNotFoundError:
            if self.folder != path.parent:  # the store was moved just now
                return self.get(name, most)
            raise self._corrupt(f"the file {path} is missing") from None
        except ForeignFileError as error:
            raise self._corrupt(str(error)) from None
        except OSError as error:
            raise StoreError(
                f"a stored result of run {self._run_id!r} cannot be read from {path}: {error}"
            ) from error
        if hashlib.sha256(data).hexdigest() != name:
            raise self._corrupt(f"the file {path} was changed or damaged (its SHA-256 is not its name)")
        return data

    def share(self, other: ValueFiles, names: Iterable[str]) -> None:
        """Give another run, durably, the named files that exist.

        The other run gets a hard link where the file system has them, else a copy. Files never change, so a
        link is safe; the content is deleted with the last run that has it.
        """
        try:
            shared = [name for name in names if self._link(name, other)]
            if shared:
                _sync_directory(other.folder)
        except OSError as error:
            raise StoreError(
                f"results of run {self._run_id!r} could not be copied for run {other._run_id!r}: {error}. Free "
                "some space or make the directory writable, then try again."
            ) from error

    def _link(self, name: str, other: ValueFiles) -> bool:
        source, target = self.folder / name, other.folder / name
        if not (self._is_there() and is_file(source)):
            return False
        other._make_folder()
        try:
            with contextlib.suppress(FileExistsError):
                os.link(source, target)
        except OSError:  # the file system has no hard links, or the file has too many
            other.put(read_file(source))
        return True

    def delete(self) -> None:
        """Delete the value files of this run."""
        if not self._is_there():
            return
        try:
            _clear(self.folder)
        except OSError as error:
            raise StoreError(
                f"the value files of run {self._run_id!r} could not be deleted: {error}"
            ) from error

    def size(self) -> int:
        """The number of bytes that the files take up."""
        return _size_of(self.folder) if self._is_there() else 0

    def _is_there(self) -> bool:
        return is_folder(self._root) and is_folder(self.folder)

    def _check_folders(self) -> None:
        for folder in (self._root, self.folder):
            check_folder(folder)

    def _make_folder(self) -> None:
        for folder in (self._root, self.folder):
            if make_folder(folder):
                _sync_directory(folder.parent)

    def _write(self, path: Path, data: bytes) -> None:
        self._make_folder()
        draft = path.with_name(f".{path.name[:16]}-{secrets.token_hex(8)}.draft")
        try:
            with os.fdopen(create_file(draft), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            point("blob:before-rename")
            draft.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
            raise
        _sync_directory(self.folder)
        point("blob:after-rename")

    def _corrupt(self, what: str) -> CorruptRecordError:
        return CorruptRecordError(
            f"a stored result of run {self._run_id!r} is lost: {what}. Its task is completed, so it does not run "
            "again by itself. Restore the file from a backup; or run the task again with run.rerun_from(path); or "
            "set repeatable=True, and the task runs again whenever its value is missing."
        )


def read_small(blobs: Blobs, name: str, most: int) -> bytes | None:
    """The bytes of a value file for a display; None if it has more than `most` bytes, or is lost or damaged."""
    try:
        data = blobs.get(name, most) if isinstance(blobs, ValueFiles) else blobs.get(name)
    except StoreError:
        return None
    return data if len(data) <= most else None


def size_of(root: Path) -> int:
    """The number of bytes that the value files of all runs take up."""
    return sum(_size_of(folder) for folder in _folders(root))


def _size_of(folder: Path) -> int:
    return sum(file_size(Path(entry.path)) for entry in _files(folder))


def each_file(root: Path) -> Iterator[Path]:
    """The value files of all runs, without drafts."""
    for folder in _folders(root):
        for entry in _files(folder):
            if _NAME.match(entry.name):
                yield Path(entry.path)


def sweep(root: Path, owners: Iterable[str]) -> None:
    """Delete the leftovers of crashes: drafts, and folders that belong to none of `owners`.

    Recent files are kept: a file is written before the row that names it, so the row may not be committed yet.
    """
    known = {_folder_name(owner) for owner in owners}
    for folder in _folders(root):
        with contextlib.suppress(OSError):
            if folder.name not in known and _is_old(folder):
                _clear(folder)
                continue
            for entry in _files(folder):
                if _DRAFT.match(entry.name) and _is_old(Path(entry.path)):
                    os.unlink(entry.path)


def _clear(folder: Path) -> None:
    """Delete the value files in a run's folder, then the folder unless it holds anything else."""
    for entry in _files(folder):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(entry.path)
    try:
        folder.rmdir()
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


def _folders(root: Path) -> Iterator[Path]:
    """The runs' folders."""
    for entry in _entries(root):
        if _FOLDER.match(entry.name) and is_folder(Path(entry.path)):
            yield Path(entry.path)


def _files(folder: Path) -> Iterator[os.DirEntry[str]]:
    """The value files in a run's folder, drafts included."""
    for entry in _entries(folder):
        ours = _NAME.match(entry.name) or _DRAFT.match(entry.name)
        if ours and not entry.is_dir(follow_symlinks=False):
            yield entry


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    if not is_folder(folder):
        return []
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _is_old(path: Path) -> bool:
    # The time of the machine and not of a test's clock, because the file's time comes from the machine.
    try:
        return time.time() - path.lstat().st_mtime > LEFT_BEHIND
    except FileNotFoundError:
        return False


def _folder_name(run_id: str) -> str:
    # The digest tells runs apart on file systems that do not distinguish "A" from "a". The rest is for people
    # to read, and has no character that could lead out of the folder.
    readable = re.sub(r"[^A-Za-z0-9_-]+", "_", run_id)[:40]
    return f"{readable}-{hashlib.sha256(run_id.encode()).hexdigest()[:16]}"


def _holds(path: Path, data: bytes) -> bool:
    # The content is compared: writing the same value again must repair a damaged file, and replace a link.
    try:
        return is_file(path) and path.stat().st_size == len(data) and read_file(path) == data
    except FileNotFoundError:
        return False


def _sync_directory(directory: Path) -> None:
    """Sync a directory's entries to the disk. Windows does this by itself, and cannot open a directory."""
    if os.name == "nt":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
