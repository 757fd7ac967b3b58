"""Hashes of files, kept beside size and times, so that a file is only read again when it may have changed.

A file is the same while its size, modification time, change time and inode are. Times have a granularity: a file that is
written twice within one tick has the same times twice. So, as Git does with its index ("racy Git"), a hash is kept only if
the file had been at rest for a while when its reading began; a younger file is read again at each look.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import threading
import time
from typing import NamedTuple, Protocol

from ..errors import UnreadableFileError

REST = 2_000_000_000  # nanoseconds: the coarsest granularity of a file system in use (FAT)
LARGE = 4_000_000  # bytes of a file that is not read on the event loop where that can be helped
_CHUNK = 1 << 20
_TRIES = 3  # readings of a file that changes meanwhile
_MOST = 100_000  # files that are known at a time
# Do not wait for the writer of a FIFO that takes the file's place. Windows has neither flag.
_OPEN = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


class Stamp(NamedTuple):
    """What changes with a file's content."""

    size: int
    modified: int  # nanoseconds
    changed: int  # nanoseconds; an edit that sets the modification time back moves this one
    inode: int  # another file in its place

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        """The stamp of a file's status."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


class Hashed(NamedTuple):
    """A file's stamp, and the hash of its content."""

    stamp: Stamp
    sha256: str


class Index(Protocol):
    """A place that keeps hashes for later kernels."""

    def read(self) -> dict[str, Hashed]:
        """The hashes that are kept, by absolute path."""
        ...

    def add(self, path: str, hashed: Hashed) -> None:
        """Keep one more."""
        ...


class NotReadYetError(Exception):
    """A large file must be read, and the caller does not want to wait."""


class FileHashes:
    """The hashes of this process. May be used from any thread."""

    def __init__(self) -> None:
        self._known: dict[str, Hashed] = {}
        self._indexes: list[Index] = []
        self._unread: list[Index] = []
        self._lock = threading.Lock()

    def keep_in(self, index: Index) -> None:
        """Read and keep hashes in this index, too. It is read when the first file is looked at."""
        with self._lock:
            if index not in self._indexes:
                self._indexes.append(index)
                self._unread.append(index)

    def of(self, path: str, *, may_read: bool = True) -> Hashed:
        """The hash of a file, by its absolute path.

        Raises `UnreadableFileError`; `NotReadYetError` if a large file would have to be read, and must not.
        """
        for _ in range(_TRIES):
            stamp = stamp_of(path)
            known = self._find(path)
            if known is not None and known.stamp == stamp:
                return known
            if not may_read and stamp.size >= LARGE:
                raise NotReadYetError(path)
            began = now()
            hashed = _read(path)
            if hashed is None:
                continue
            if max(hashed.stamp.modified, hashed.stamp.changed) < began - REST:
                self._keep(path, hashed)
            return hashed
        raise UnreadableFileError(
            f"the file {path} changes while it is read, {_TRIES} times now: something is writing it. Wait until it is "
            "written, then run the cell again",
            path,
        )

    def _find(self, path: str) -> Hashed | None:
        with self._lock:
            unread, self._unread = self._unread, []
            for index in unread:
                self._known = {**index.read(), **self._known}
            return self._known.get(path)

    def _keep(self, path: str, hashed: Hashed) -> None:
        with self._lock:
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[path] = hashed
            indexes = list(self._indexes)
        for index in indexes:
            index.add(path, hashed)


def now() -> int:
    """The time by the clock that files are stamped by, in nanoseconds."""
    return time.time_ns()


def stamp_of(path: str) -> Stamp:
    """The stamp of a regular file. Raises `UnreadableFileError` for anything else."""
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        raise UnreadableFileError(_why(path, error), path) from None
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableFileError(_why_not_regular(path, status.st_mode), path)
    return Stamp.of(status)


def _read(path: str) -> Hashed | None:
    """The hash of what is in a file; None if it was changed or replaced meanwhile."""
    digest = hashlib.sha256()
    try:
        with open(os.open(path, os.O_RDONLY | _OPEN), "rb", buffering=0) as file:
            before = os.fstat(file.fileno())
            if not stat.S_ISREG(before.st_mode):
                raise UnreadableFileError(_why_not_regular(path, before.st_mode), path)
            chunk = memoryview(bytearray(_CHUNK))
            while count := file.readinto(chunk):
                digest.update(chunk[:count])  # without the GIL, for a large chunk
    except OSError as error:
        if isinstance(error, UnreadableFileError):
            raise
        if (
            error.errno == errno.ENOENT
        ):  # it is being replaced, or has just been removed: `stamp_of` says which
            return None
        raise UnreadableFileError(_why(path, error), path) from None
    stamp = Stamp.of(before)
    return Hashed(stamp, digest.hexdigest()) if stamp_of(path) == stamp else None


def _why(path: str, error: Exception) -> str:
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return f"there is no file {path}"
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"the file {path} cannot be read: {reason}"


def _why_not_regular(path: str, mode: int) -> str:
    if stat.S_ISDIR(mode):
        return f"{path} is a folder, and no file: write Files(...) for the files in it"
    return f"{path} is a device, a pipe or a socket, which has no content to compare"


def difference(path: str, size: int, sha256: str, *, may_read: bool = True) -> str:
    """What has happened to a file since it had this size and hash; "" if nothing. `may_read` is as for `FileHashes.of`."""
    try:
        stamp = stamp_of(path)
        if stamp.size != size:
            return f"was altered: its size was {size:,} bytes, and is {stamp.size:,} now"
        if hashes.of(path, may_read=may_read).sha256 != sha256:
            return "was altered: it has the same size, and another content"
    except UnreadableFileError as error:
        return "is gone" if not os.path.lexists(path) else f"cannot be read any more: {error}"
    return ""


hashes = FileHashes()
