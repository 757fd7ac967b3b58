"""Values too large for a row: files beside the database, named by what is in them."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from ._crashpoints import point
from ._files import ForeignFileError, check_folder, is_file, is_folder, make_folder, read_file
from .errors import CorruptRecordError, StoreError

# For how many seconds a file that no record speaks of is taken for one whose record is to come.
LEFT_BEHIND = 3600.0

# The names that we make. Nothing else is ever removed: it is its user's.
_NAME = re.compile(r"[0-9a-f]{64}\Z")
_DRAFT = re.compile(r"\.[0-9a-f]{16}-[0-9a-f]{16}\.draft\Z")
_FOLDER = re.compile(r"[A-Za-z0-9_-]{0,40}-[0-9a-f]{16}\Z")


class ValueFiles:
    """The value files of one run. It is a `Blobs`.

    A file is written under another name, brought to the disk, and only then given its own: a name
    stands for all of the content or is not there. The row that speaks of it is committed later still.
    """

    def __init__(self, root: Path, run_id: str) -> None:
        self._root = root
        self._run_id = run_id

    @property
    def folder(self) -> Path:
        """Where they are; it need not be there."""
        return self._root / _folder_name(self._run_id)

    def put(self, data: bytes) -> str:
        """Keep `data` durably and return its name: its SHA-256 in hexadecimal."""
        name = hashlib.sha256(data).hexdigest()
        path = self.folder / name
        try:
            self._check_folders()
            if not _holds(path, data):
                self._write(path, data)
        except OSError as error:
            raise StoreError(
                f"a result of run {self._run_id!r} ({len(data):,} bytes) could not be written to {path}: "
                f"{error}. What was kept before is safe: free some space or make the directory writable, "
                "then run the cell again."
            ) from error
        return name

    def get(self, name: str) -> bytes:
        """The bytes of that name; `CorruptRecordError` when they are missing or are not what was put."""
        if not _NAME.match(name):
            raise self._corrupt(f"its record names {name!r}, which no value file is called")
        path = self.folder / name
        try:
            self._check_folders()
            data = read_file(path)
        except FileNotFoundError:
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
        """Have another run hold those of these names that there are, too, durably.

        By a second name for the same file where the file system can, else by a copy: files never
        change, and one is gone when the last of its runs is deleted.
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
        except OSError:  # no links here, or no more of them
            other.put(read_file(source))
        return True

    def delete(self) -> None:
        """Remove all of them."""
        if not self._is_there():
            return
        try:
            _clear(self.folder)
        except OSError as error:
            raise StoreError(
                f"the value files of run {self._run_id!r} could not be deleted: {error}"
            ) from error

    def size(self) -> int:
        """How many bytes they take up."""
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
            with draft.open("xb") as file:
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
            f"a stored result of run {self._run_id!r} is lost: {what}. Its task stays completed, without a "
            "value, and is not run again by itself: restore the file from a backup, or have the task run "
            "again with run.rerun_from(path), or by itself from now on with repeatable=True."
        )


def size_of(root: Path) -> int:
    """How many bytes the value files of all runs take up."""
    return sum(_size_of(folder) for folder in _folders(root))


def _size_of(folder: Path) -> int:
    return sum(file_size(Path(entry.path)) for entry in _files(folder))


def file_size(path: Path) -> int:
    """How many bytes a file takes up, which may be gone; its part of them where it has other names."""
    try:
        status = path.stat(follow_symlinks=False)
    except FileNotFoundError:
        return 0
    return status.st_size // max(1, status.st_nlink)


def sweep(root: Path, owners: Iterable[str]) -> None:
    """Remove what a crash has left: folders that belong to none of `owners`, and drafts.

    Only what has lain there for a while: a file is written before the row that speaks of it, so a
    young one may belong to a run that is just about to be.
    """
    known = {_folder_name(owner) for owner in owners}
    for folder in _folders(root):
        with contextlib.suppress(OSError):
            if folder.name not in known and _has_lain(folder):
                _clear(folder)
                continue
            for entry in _files(folder):
                if _DRAFT.match(entry.name) and _has_lain(Path(entry.path)):
                    os.unlink(entry.path)


def _clear(folder: Path) -> None:
    """Remove what is ours in a folder of a run, and the folder unless something else lies in it."""
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
    """The folders of runs."""
    for entry in _entries(root):
        if _FOLDER.match(entry.name) and is_folder(Path(entry.path)):
            yield Path(entry.path)


def _files(folder: Path) -> Iterator[os.DirEntry[str]]:
    """The value files in a folder of a run, and the drafts of some."""
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


def _has_lain(path: Path) -> bool:
    # By the clock that gave the file its time.
    try:
        return time.time() - path.lstat().st_mtime > LEFT_BEHIND
    except FileNotFoundError:
        return False


def _folder_name(run_id: str) -> str:
    # The digest tells runs apart where the file system does not tell "A" from "a"; the rest is for
    # the eye, and cannot lead out of the directory.
    readable = re.sub(r"[^A-Za-z0-9_-]+", "_", run_id)[:40]
    return f"{readable}-{hashlib.sha256(run_id.encode()).hexdigest()[:16]}"


def _holds(path: Path, data: bytes) -> bool:
    # Compared, not only looked for: putting a damaged file's content once more must heal it.
    # A link in its place is replaced too.
    try:
        return is_file(path) and path.stat().st_size == len(data) and read_file(path) == data
    except FileNotFoundError:
        return False


def _sync_directory(directory: Path) -> None:
    """Bring a new name to the disk; Windows does so by itself and cannot open a directory."""
    if os.name == "nt":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
