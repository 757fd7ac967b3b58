"""Which folder a client's store has, and which store a notebook or script without a client of its own has."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote

from .._main_file import MainFile, have_same_cells, main_file, marks_of, prefer
from ..errors import InvalidOptionError
from .owner import OWNER_FILE, Owner, Source

_FOLDER = ".trigger_nb"
_MOST_STORES = 500  # beside each other that are looked at
_MOST_STEPS = 1_000_000  # of SQLite, to look into a store


class DefaultStore(NamedTuple):
    """The store of the default client."""

    place: Path  # the folder that its folder is in
    id: str  # of the client
    file: Source
    is_new: bool
    note: str  # for the user; "" if nothing is unusual

    @property
    def directory(self) -> Path:
        """The folder of the store."""
        return self.place / folder_of(self.id)

    def elsewhere(self, job_id: str) -> str:
        """A note about another store that has runs of a job which can be this file's; "" if there is none.

        Such a store was left behind by a file that is gone, or is of a version that knew no files.
        """
        if self.file.path is None:
            return ""
        for other in _beside(self.place):
            # The notebook of its own store may be nowhere on the disk, as in a kernel that a program has started.
            left = "" if other == self.directory else Owner(other).left_behind(job_id)
            if left:
                return self._how_to_take(f"runs of a job {job_id!r} from {left}, which is gone", other)
        here = Path.cwd() / _FOLDER
        for other in (self.place / "default", here / "default", here / folder_of(self.id)):
            if other != self.directory and not Owner(other).jobs and _has_runs_of(other, job_id):
                return self._how_to_take(
                    f"runs of a job {job_id!r}, and an earlier version did not record their file", other
                )
        return ""

    def _how_to_take(self, what: str, other: Path) -> str:
        take = _take("rename", other, self.directory)
        return f"the store {other} has {what}. If they are those of {self.file.path}: {take}"


def directory_of_client(id: str, given: str | os.PathLike[str] | None) -> Path:
    """The folder of the store of a client: beside the notebook, if nothing else is said."""
    places = [_place(given)] if _is_said(given) else list(_places(main_file()))
    found = [place / folder_of(id) for place in places]
    return next(filter(_is_store, found), found[0])


def find_default() -> DefaultStore:
    """The store of the default client: that of the notebook or script, under whatever name it was made."""
    main = main_file()
    place = _place(None) if _is_said(None) else next(_places(main))
    if main.path is None:
        directory = place / folder_of(main.name)
        return DefaultStore(place, main.name, Source(None), not _is_store(directory), "")
    owners = _owners(place, folder_of(main.name))
    path, doubt = _settle_twins(main.path, main.twins, owners) if main.twins else (main.path, "")
    file = Source(path, marks_of(path))
    found = _with("same", owners, file)
    if found is not None:
        return DefaultStore(place, unquote(found.name), file, is_new=False, note=doubt)
    found = _with("renamed", owners, file)
    if found is not None and (before := owners[found].default) is not None:
        note = f"{path} was {before.path} before, and keeps its store, {found}"
        return DefaultStore(place, unquote(found.name), file, is_new=False, note=note)
    new = _new(place, main.name, file, owners)
    return new._replace(note=doubt or new.note)


def _settle_twins(path: Path, twins: tuple[Path, ...], owners: dict[Path, Owner]) -> tuple[Path, str]:
    """Of notebooks that have the executed cells, the one with a store; and a note if it may be another one."""
    both = (path, *twins)
    chosen = next((each for each in both if _with("same", owners, Source(each)) is not None), path)
    unlike = [str(each) for each in both if not have_same_cells(each, chosen)]
    if not unlike:  # outputs of the notebook
        prefer(chosen)
        return chosen, ""
    return chosen, (
        f"this kernel was not told which notebook it runs. The cells so far are in {chosen}, which was taken, and in "
        f"{', '.join(unlike)}. To be sure, give the job a client with a name, TriggerClient(...)"
    )


def _new(place: Path, name: str, file: Source, owners: dict[Path, Owner]) -> DefaultStore:
    """A store for a file that has none: under the file's name, unless that is another file's."""
    directory = place / folder_of(name)
    taken = owners[directory].default if directory in owners else None
    client_id = (
        name if taken is None else f"{name}-{hashlib.sha256(os.fsencode(str(file.path))).hexdigest()[:8]}"
    )
    mine = place / folder_of(client_id)
    note = ""
    if taken is not None:
        note = (
            f"the store {directory} has the runs of {taken.path}. Those of {file.path} are kept apart, in {mine}. If the "
            f"runs of that store are this file's: end this process, delete {mine} and {owners[directory].path}"
        )
    elif (original := _with("copy", owners, file)) and not _is_store(mine):
        note = (
            f"{file.path} is a copy of {owners[original].default.path}, whose runs are in {original}. It begins without "  # pyright: ignore[reportOptionalMemberAccess]
            f"runs, in {mine}. To begin with those runs: {_take('copy', original, mine)}"
        )
    return DefaultStore(place, client_id, file, is_new=not _is_store(mine), note=note)


def _take(verb: str, other: Path, mine: Path) -> str:
    return (
        f"end this process, delete {mine}, {verb} {other} to it, and delete {OWNER_FILE} in it if it is there"
    )


def _with(kinship: str, owners: dict[Path, Owner], file: Source) -> Path | None:
    """The store whose owner is this to a file."""
    return next(
        (
            path
            for path, owner in owners.items()
            if owner.default is not None and owner.default.kinship(file, path) == kinship
        ),
        None,
    )


def _owners(place: Path, first: str) -> dict[Path, Owner]:
    """The owners of the stores in a folder, beginning with the store of a name."""
    paths = [place / first, *(path for path in _beside(place) if path.name != first)]
    return {path: Owner(path) for path in paths if _is_store(path)}


def _beside(place: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError):
        paths = sorted(path for path in place.iterdir() if not path.name.startswith("."))
        yield from list(filter(_is_store, paths))[:_MOST_STORES]


def _is_store(directory: Path) -> bool:
    return (directory / "cache.db").exists()


def _has_runs_of(directory: Path, job_id: str) -> bool:
    """Whether the database in a folder has a run of a job. It is only read, and not for long: it may be anybody's."""
    with contextlib.suppress(sqlite3.Error, ValueError):
        uri = f"{(directory / 'cache.db').absolute().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=0)) as sql:
            sql.set_progress_handler(lambda: 1, _MOST_STEPS)
            query = "SELECT 1 FROM Cache WHERE tag = 'runs' AND instr(value, ?) LIMIT 1"
            return bool(sql.execute(query, (f'"job":"{job_id}"',)).fetchall())
    return False


# Folders ------------------------------------------------------------------------------------------


def folder_of(id: str) -> str:
    """The name of the store's folder: unique for each id, not hidden, and inside the parent folder."""
    name = quote(id, safe=" ()[]{}.,+=@-_")
    return "%2E" + name[1:] if name.startswith(".") else name


def _is_said(given: str | os.PathLike[str] | None) -> bool:
    return bool(given or os.environ.get("TRIGGER_NB_DIR"))


def _place(given: str | os.PathLike[str] | None) -> Path:
    """The folder in which the store's folder is created, as the user says. Absolute: a later `os.chdir` must not lead elsewhere."""
    place = Path(given or os.environ["TRIGGER_NB_DIR"])
    try:
        return place.expanduser().absolute()
    except RuntimeError:
        name = "TRIGGER_NB_DIR" if given is None else "dir"
        raise InvalidOptionError(
            f"{name} is {str(place)!r}, and no home folder is known for {place.parts[0]!r}: write the path in full"
        ) from None


def _places(main: MainFile) -> Iterator[Path]:
    """The folders for stores where nothing is said: beside the notebook, whatever the working directory is now."""
    beside = main.path.parent if main.is_notebook and main.path is not None else None
    for folder in (beside, main.began_in):
        if folder is not None and os.access(folder, os.W_OK):
            yield folder / _FOLDER
    yield Path.cwd() / _FOLDER
