"""Values too large for a row: files beside the database, named by what is in them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import shutil
from pathlib import Path

from ._crashpoints import point
from .errors import CorruptRecordError, StoreError

_NAME = re.compile(r"[0-9a-f]{64}\Z")


class ValueFiles:
    """The value files of one run. It is a `Blobs`.

    A file is written under another name, brought to the disk, and only then given its own: a name
    stands for all of the content or is not there. The row that speaks of it is committed later still.
    """

    def __init__(self, root: Path, run_id: str) -> None:
        self._root = root
        self._run_id = run_id

    @property
    def _folder(self) -> Path:
        return self._root / _folder_name(self._run_id)

    def put(self, data: bytes) -> str:
        """Keep `data` durably and return its name: its SHA-256 in hexadecimal."""
        name = hashlib.sha256(data).hexdigest()
        path = self._folder / name
        try:
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
        path = self._folder / name
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise self._corrupt(f"the file {path} is missing") from None
        except OSError as error:
            raise StoreError(
                f"a stored result of run {self._run_id!r} cannot be read from {path}: {error}"
            ) from error
        if hashlib.sha256(data).hexdigest() != name:
            raise self._corrupt(f"the file {path} was changed or damaged (its SHA-256 is not its name)")
        return data

    def delete(self) -> None:
        """Remove all of them."""
        try:
            shutil.rmtree(self._folder)
        except FileNotFoundError:
            return
        except OSError as error:
            raise StoreError(
                f"the value files of run {self._run_id!r} could not be deleted: {error}"
            ) from error

    def _write(self, path: Path, data: bytes) -> None:
        if not self._folder.is_dir():
            self._folder.mkdir(parents=True, exist_ok=True)
            _sync_directory(self._folder.parent)
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
        _sync_directory(self._folder)
        point("blob:after-rename")

    def _corrupt(self, what: str) -> CorruptRecordError:
        return CorruptRecordError(
            f"a stored result of run {self._run_id!r} is lost: {what}. Its task stays completed, without a "
            "value, and is not run again by itself: restore the file from a backup, or have the task run "
            "again with run.rerun_from(path), or by itself from now on with repeatable=True."
        )


def _folder_name(run_id: str) -> str:
    # The digest tells runs apart where the file system does not tell "A" from "a"; the rest is for
    # the eye, and cannot lead out of the directory.
    readable = re.sub(r"[^A-Za-z0-9_-]+", "_", run_id)[:40]
    return f"{readable}-{hashlib.sha256(run_id.encode()).hexdigest()[:16]}"


def _holds(path: Path, data: bytes) -> bool:
    # Compared, not only looked for: putting a damaged file's content once more must heal it.
    try:
        return path.stat().st_size == len(data) and path.read_bytes() == data
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
