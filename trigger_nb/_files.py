"""Files and folders inside of a store, which may come from somebody else: nothing but what we make is touched.

A cloned repository can bring links, an archive FIFOs and devices as well. This package makes folders and
regular files only, so anything else that has a name of ours is neither read nor written nor gone through.
The store's own folder may be reached by a link: where it lies is its user's choice.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

# A link is not followed, and a FIFO does not have its reader wait. Windows knows neither of them.
_OPEN = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)

_JUNCTION = 0xA0000003  # how Windows marks a link to a folder that is no symbolic link


class ForeignFileError(OSError):
    """Something that this package does not make has the name of a file or folder of its own."""

    def __init__(self, path: Path, status: os.stat_result) -> None:
        what = "a link" if _is_link(status) else "no file or folder of the kind that it should be"
        super().__init__(
            f"{path} is {what}. trigger_nb makes no such thing in a store and does not follow it: remove it. To "
            "have the store on another disk, move all of it: TriggerClient(..., dir=...) or TRIGGER_NB_DIR"
        )


def is_folder(path: Path) -> bool:
    """Whether there is a folder, and no link to one."""
    status = _status(path)
    return status is not None and stat.S_ISDIR(status.st_mode) and not _is_link(status)


def is_file(path: Path) -> bool:
    """Whether there is a regular file, and no link to one."""
    status = _status(path)
    return status is not None and stat.S_ISREG(status.st_mode)


def check_folder(path: Path) -> None:
    """Raise `ForeignFileError` when there is something that is not a folder."""
    status = _status(path)
    if status is not None and (_is_link(status) or not stat.S_ISDIR(status.st_mode)):
        raise ForeignFileError(path, status)


def check_file(path: Path) -> None:
    """Raise `ForeignFileError` when there is something that is not a regular file."""
    status = _status(path)
    if status is not None and not stat.S_ISREG(status.st_mode):
        raise ForeignFileError(path, status)


def make_folder(path: Path) -> bool:
    """Make a folder in one that is there; whether it was not there yet."""
    try:
        path.mkdir()
    except FileExistsError:
        check_folder(path)
        return False
    return True


def open_file(path: Path, flags: int = os.O_RDONLY) -> int:
    """The descriptor of a regular file, which `flags` may have made; else an `OSError`."""
    check_file(path)
    descriptor = os.open(path, flags | _OPEN, 0o600)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise ForeignFileError(path, status)
    return descriptor


def read_file(path: Path) -> bytes:
    """What is in a regular file; else an `OSError`."""
    with os.fdopen(open_file(path), "rb") as file:
        return file.read()


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _is_link(status: os.stat_result) -> bool:
    return stat.S_ISLNK(status.st_mode) or getattr(status, "st_reparse_tag", 0) == _JUNCTION
