"""The hashes of users' files, kept beside the database for later kernels: `file_hashes.jsonl` in the store's folder.

A file that was not changed is not read again by a new kernel, however large it is. Each line is a JSON list. Lines are only
added, the last one of a path counts, and the file is written anew when most of its lines are out of date. It can be deleted at any
time: files are then read once more.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
from pathlib import Path
from typing import Any

from .._values.file_hashes import Hashed, Stamp
from .files import create_file, is_file, open_file, read_file

INDEX_FILE = "file_hashes.jsonl"
_MOST_BYTES = 50_000_000  # of the file; a longer one is begun anew
_TOO_MANY = 1000  # lines that are out of date
_SHA256 = re.compile(r"[0-9a-f]{64}")


class FileIndex:
    """The index of the store in a folder. A folder that cannot be read or written has none, and no error is raised."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / INDEX_FILE

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FileIndex) and self.path == other.path

    def __hash__(self) -> int:
        return hash(self.path)

    def read(self) -> dict[str, Hashed]:
        """The hashes that are kept, by absolute path."""
        try:
            if not is_file(self.path):
                return {}
            if self.path.stat().st_size > _MOST_BYTES:
                self.path.unlink()
                return {}
            lines = read_file(self.path).decode("ascii", "replace").split("\n")
        except OSError:
            return {}
        found: dict[str, Hashed] = {}
        for line in lines:
            with contextlib.suppress(ValueError, TypeError, RecursionError):  # cut off by a crash
                path, hashed = _parsed(json.loads(line))
                found[path] = hashed
        if len(lines) > 2 * len(found) + _TOO_MANY:
            self._write_anew(found)
        return found

    def add(self, path: str, hashed: Hashed) -> None:
        """Keep one more, in one write, so that lines of two kernels do not mix."""
        line = _line(path, hashed).encode("ascii")
        with contextlib.suppress(OSError):
            if not self.path.parent.is_dir():
                return
            descriptor = open_file(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            try:
                os.write(descriptor, line)
            finally:
                os.close(descriptor)

    def _write_anew(self, found: dict[str, Hashed]) -> None:
        draft = self.path.with_name(f".{INDEX_FILE}-{secrets.token_hex(8)}")
        with contextlib.suppress(OSError):
            try:
                with os.fdopen(create_file(draft), "w", encoding="ascii") as file:
                    file.writelines(_line(path, hashed) for path, hashed in found.items())
                draft.replace(self.path)
            except BaseException:
                draft.unlink(missing_ok=True)
                raise


def _line(path: str, hashed: Hashed) -> str:
    return "\n" + json.dumps([path, *hashed.stamp, hashed.sha256])  # a line that was cut off is ended first


def _parsed(data: Any) -> tuple[str, Hashed]:
    path, size, modified, changed, inode, sha256 = data
    numbers = (size, modified, changed, inode)
    if type(path) is not str or any(type(each) is not int for each in numbers):
        raise TypeError("not the line of a file")
    if type(sha256) is not str or not _SHA256.fullmatch(sha256):
        raise ValueError("not a hash")
    return path, Hashed(Stamp(*numbers), sha256)
