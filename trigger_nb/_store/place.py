"""Where a store's folder is: it can be renamed, moved away or removed while a kernel uses it."""

from __future__ import annotations

import os
import sys
import weakref
from pathlib import Path

from .files import file_identity

_F_GETPATH = 50  # macOS: the path of an open file


class Place:
    """The folder of an open store, which is found again after it was renamed or moved."""

    def __init__(self, directory: Path) -> None:
        self.database = file_identity(directory / "cache.db")
        self._folder: int | None = None
        self.enter(directory)

    def enter(self, directory: Path) -> None:
        """Open the folder unless it is open. It tells its present path then, on Linux and macOS."""
        if self._folder is None and os.name == "posix":  # Windows does not move a folder that is in use
            self._folder = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
            self._close = weakref.finalize(self, os.close, self._folder)
            self._close.atexit = False

    def leave(self) -> None:
        """Close the folder."""
        if self._folder is not None:
            self._folder = None
            self._close()

    def where(self) -> Path | None:
        """The path of the folder now; None if it or its database was removed, or the path cannot be found out."""
        path = None if self._folder is None else _path_of(self._folder)
        found = path is not None and file_identity(path / "cache.db") == self.database is not None
        return path if found else None


def _path_of(descriptor: int) -> Path | None:
    try:
        if sys.platform == "linux":
            return Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        if sys.platform == "darwin":
            import fcntl  # here, because Windows has none

            answer = fcntl.fcntl(descriptor, _F_GETPATH, bytes(1024))
            return Path(os.fsdecode(answer.rstrip(b"\0")))
    except OSError:
        return None
    return None
