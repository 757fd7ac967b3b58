"""Safe access to files and folders inside a store, which may come from another person.

A cloned repository can contain links, an archive also FIFOs and devices. This package makes only folders and
regular files, so it does not read, write or follow anything else that has one of its names. The store's own
folder may be reached through a link: where the store lies is the user's choice.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Generator
from pathlib import Path

# Do not follow links, and do not wait for the writer of a FIFO. Windows has neither flag.
_OPEN = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_JUNCTION = 0xA0000003  # the tag of a junction, which is Windows' other kind of link to a folder


class ForeignFileError(OSError):
    """A link, FIFO or device has the name of a file or folder that this package makes."""

    def __init__(self, path: Path, status: os.stat_result) -> None:
        what = "a link" if _is_link(status) else "not the kind of file or folder that it should be"
        super().__init__(
            f"{path} is {what}. trigger_nb does not create or follow such a thing in a store: remove it. To keep the "
            "store on another disk, move all of it: TriggerClient(..., dir=...) or TRIGGER_NB_DIR"
        )


def is_folder(path: Path) -> bool:
    """Whether `path` is a folder, not a link to one."""
    status = _status(path)
    return status is not None and stat.S_ISDIR(status.st_mode) and not _is_link(status)


def is_file(path: Path) -> bool:
    """Whether `path` is a regular file, not a link to one."""
    status = _status(path)
    return status is not None and stat.S_ISREG(status.st_mode)


def check_folder(path: Path) -> None:
    """Raise `ForeignFileError` if `path` exists and is not a folder."""
    status = _status(path)
    if status is not None and (_is_link(status) or not stat.S_ISDIR(status.st_mode)):
        raise ForeignFileError(path, status)


def check_file(path: Path) -> None:
    """Raise `ForeignFileError` if `path` exists and is not a regular file."""
    status = _status(path)
    if status is not None and not stat.S_ISREG(status.st_mode):
        raise ForeignFileError(path, status)


def make_folder(path: Path) -> bool:
    """Make a folder for this user only, whose parent exists. Returns False if it existed already."""
    try:
        make_private_folder(path)
    except FileExistsError:
        check_folder(path)
        return False
    return True


def make_private_folder(path: Path) -> None:
    """Make a folder that only this user can read, whatever the umask. Raises `FileExistsError`."""
    path.mkdir(mode=0o700)
    path.chmod(0o700)


def create_file(path: Path) -> int:
    """The descriptor of a new file that only this user can read, whatever the umask. Raises `FileExistsError`."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _OPEN, 0o600)
    if os.name == "posix":
        os.fchmod(descriptor, 0o600)
    return descriptor


@contextlib.contextmanager
def locked(folder: Path) -> Generator[None]:
    """Hold a lock on a folder, for moments: other processes that ask for it wait. Without effect on Windows."""
    with contextlib.ExitStack() as stack:
        if sys.platform != "win32":
            import fcntl  # here, because Windows has none

            with contextlib.suppress(OSError):  # the folder is gone, or its file system has no locks
                descriptor = os.open(folder, os.O_RDONLY)
                stack.callback(os.close, descriptor)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


def open_file(path: Path, flags: int = os.O_RDONLY) -> int:
    """The descriptor of a regular file, which `flags` may create. Raises an `OSError` for anything else."""
    check_file(path)
    descriptor = os.open(path, flags | _OPEN, 0o600)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise ForeignFileError(path, status)
    return descriptor


def file_identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of the file at a path, which identify it even if it is replaced; None if there is none."""
    status = _status(path)
    return None if status is None else (status.st_dev, status.st_ino)


def file_size(path: Path) -> int:
    """The number of bytes that a file takes up: 0 if it is gone, its share if it has several hard links."""
    try:
        status = path.stat(follow_symlinks=False)
    except FileNotFoundError:
        return 0
    return status.st_size // max(1, status.st_nlink)


def read_file(path: Path) -> bytes:
    """The content of a regular file. Raises an `OSError` for anything else."""
    with os.fdopen(open_file(path), "rb") as file:
        return file.read()


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _is_link(status: os.stat_result) -> bool:
    return stat.S_ISLNK(status.st_mode) or getattr(status, "st_reparse_tag", 0) == _JUNCTION
