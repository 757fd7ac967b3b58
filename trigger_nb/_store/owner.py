"""The files that a store's jobs came from: `owner.json` in the store's folder.

A file is known by its path, absolute or relative to the store, and by marks of what is in it, which a renamed file keeps.
The store of a default client has an owner, the one file that it serves. In each store, the files of a job id have names,
which the records of runs have, so that no file continues another file's run with other code.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Generator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from .files import create_file, is_file, locked, read_file

OWNER_FILE = "owner.json"
_MOST_BYTES = 10_000_000

Kinship = Literal["same", "renamed", "copy", "other"]


class Source(NamedTuple):
    """A notebook, script or module."""

    path: Path | None  # absolute; None if it is not known
    marks: frozenset[str] = frozenset()


class Known(NamedTuple):
    """A file as a store knows it."""

    path: str
    beside: str  # the path relative to the store's folder: folder and file may have been moved together
    marks: frozenset[str]
    name: str = ""  # in the records of a job's runs; "" for the first file that had the job

    @classmethod
    def of(cls, source: Source, directory: Path, name: str = "") -> Known:
        """A file for the store in a folder."""
        beside = ""
        with contextlib.suppress(ValueError):  # on another drive of Windows
            beside = os.path.relpath(str(source.path), directory)
        return cls(str(source.path), beside, source.marks, name)

    def kinship(self, source: Source, directory: Path) -> Kinship:
        """What another file is to this one, which the store in a folder knows."""
        now = Known.of(source, directory)
        if now.path == self.path or now.beside == self.beside != "":
            return "same"
        # The ids of a notebook's cells are its own, and few may be known. Parts of scripts may resemble each other by chance.
        sizes = len(self.marks), len(source.marks)
        enough = min(sizes) if now.path.endswith(".ipynb") else max(sizes)
        alike = 2 * len(self.marks & source.marks) >= max(1, enough)
        there = self.where(directory)
        if there is None:
            return "renamed" if alike else "other"
        if source.path is not None and source.path.exists() and there.samefile(source.path):
            return "same"
        # Ids of cells come only with a copy. Scripts that resemble each other may be two.
        is_copy = source.marks == self.marks if now.path.endswith(".py") else alike
        return "copy" if alike and is_copy else "other"

    def where(self, directory: Path) -> Path | None:
        """The path of the file; None if it is gone."""
        found = (Path(self.path), directory / self.beside)
        return next((path for path in found if path.is_file()), None)


class Owner:
    """What the store in a folder knows of its files, as it was read at the beginning."""

    @classmethod
    @contextlib.contextmanager
    def change(cls, directory: Path) -> Generator[Owner]:
        """Read it, and write what the caller has changed. Other processes wait meanwhile."""
        with locked(directory):
            owner = cls(directory)
            yield owner
            owner._write()

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.default: Known | None = None  # the file whose default client the store belongs to
        self.jobs: dict[str, list[Known]] = {}
        self._is_written = False
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            self._read()

    @property
    def path(self) -> Path:
        """The file."""
        return self._directory / OWNER_FILE

    def _read(self) -> None:
        if not is_file(self.path) or self.path.stat().st_size > _MOST_BYTES:
            return
        data: Any = json.loads(read_file(self.path))
        self.jobs = {str(job_id): [_known(each) for each in files] for job_id, files in data["jobs"].items()}
        self.default = None if data["default"] is None else _known(data["default"])
        self._is_written = True

    def claim(self, source: Source) -> None:
        """Record the file whose default client has the store."""
        if source.path is not None:
            self.default = self._noted(self.default, Known.of(source, self._directory))

    def name_for(self, job_id: str, source: Source) -> tuple[str, Known | None]:
        """The name of a file among those that define a job, and what the file was before, if it was renamed since."""
        files = self.jobs.setdefault(job_id, [])
        if source.path is None:  # as in a console: it may be any of them
            return (files[0].name if files else ""), None
        kinships = [each.kinship(source, self._directory) for each in files]
        for kinship in ("same", "renamed"):
            if kinship in kinships:
                at = kinships.index(kinship)
                before = files[at]
                files[at] = self._noted(before, Known.of(source, self._directory, before.name))
                return before.name, before if kinship == "renamed" else None
        name = hashlib.sha256(os.fsencode(source.path)).hexdigest()[:8] if files else ""
        files.append(self._noted(None, Known.of(source, self._directory, name)))
        return name, None

    def left_behind(self, job_id: str) -> str:
        """The path of the file whose default client the store belongs to, if it is gone and had a job of this id."""
        gone = (
            self.default is not None and self.default.where(self._directory) is None and job_id in self.jobs
        )
        return self.default.path if gone and self.default is not None else ""

    def _noted(self, before: Known | None, now: Known) -> Known:
        # It was renamed or deleted while this kernel runs it.
        if before is not None and not Path(now.path).exists():
            now = now._replace(marks=before.marks | now.marks)
        self._is_written = self._is_written and before == now
        return now

    def _write(self) -> None:
        """Write what is new. A store that cannot be written goes on without it."""
        if self._is_written:
            return
        data = {"default": self.default and _data(self.default)}
        data["jobs"] = {
            job_id: [_data(each) for each in files] for job_id, files in self.jobs.items() if files
        }
        draft = self.path.with_name(f".{OWNER_FILE}-{secrets.token_hex(8)}")
        with contextlib.suppress(OSError):
            try:
                with os.fdopen(create_file(draft), "w", encoding="ascii") as file:
                    json.dump(data, file)
                draft.replace(self.path)
            except BaseException:
                draft.unlink(missing_ok=True)
                raise


def _known(data: Any) -> Known:
    return Known(
        str(data["file"]), str(data["beside"]), frozenset(map(str, data["marks"])), str(data.get("name", ""))
    )


def _data(known: Known) -> dict[str, Any]:
    data = {"file": known.path, "beside": known.beside, "marks": sorted(known.marks)}
    return data | {"name": known.name} if known.name else data
