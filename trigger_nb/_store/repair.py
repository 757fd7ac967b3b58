"""Saving what can be saved of a broken store into a new one, beside it."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path

from .._records.base import damaged, is_damaged
from .._records.reading import readable_task
from .check import StoredRow, is_whole, reading, rows_of
from .disk import DiskStore
from .files import make_private_folder
from .protocol import Row
from .value_files import each_file

_BATCH = 500  # rows that one commit writes


@dataclass
class Saved:
    """What was saved."""

    directory: Path  # of the new store
    rows: int = 0
    wrong: list[str] = field(default_factory=list[str])  # keys of rows that could not be saved as they were
    left_out: list[str] = field(default_factory=list[str])  # keys of rows that another program wrote
    files: int = 0


def repair(directory: Path) -> Saved:
    """Write what can be read of a store into a new one. The broken one is not changed.

    A task whose record is damaged is completed in the new store, without its value: what it did may be done. The record
    of a run, an event or a key-value stays damaged.
    """
    saved = Saved(_new_folder(directory))
    store = DiskStore(saved.directory)
    try:
        with reading(directory) as sql:
            rows = _saved_rows(rows_of(sql), saved)
            while batch := list(islice(rows, _BATCH)):
                store.commit(batch, patience=30)
                saved.rows += len(batch)
        for path in each_file(directory / "values"):
            if is_whole(path):
                _copy(path, saved.directory / "values" / path.parent.name)
                saved.files += 1
        with suppress(FileNotFoundError):  # which notebook or script the store belongs to
            shutil.copyfile(directory / "owner.json", saved.directory / "owner.json")
    except BaseException:
        store.close()
        shutil.rmtree(saved.directory, ignore_errors=True)
        raise
    store.close()
    return saved


def _new_folder(directory: Path) -> Path:
    for number in count(1):
        path = directory.with_name(f"{directory.name}.repaired{f'-{number}' * (number > 1)}")
        with suppress(FileExistsError):
            make_private_folder(path)
            return path
    raise AssertionError("unreachable")


def _saved_rows(rows: Iterable[StoredRow], saved: Saved) -> Iterator[Row]:
    for row in rows:
        if not row.is_ours:
            saved.left_out.append(row.key)
            continue
        text, rank = row.text, row.rank
        if row.is_wrong:
            saved.wrong.append(row.key)
            if row.is_of_task:
                record = readable_task(row.key.partition("/")[2], text)
                text, rank = record.dumps(), record.rank
            elif not is_damaged(text):
                text = damaged(text)
        yield Row(row.key, row.tag, text, rank)


def _copy(path: Path, folder: Path) -> None:
    for each in (folder.parent, folder):
        with suppress(FileExistsError):
            make_private_folder(each)
    shutil.copyfile(path, folder / path.name)
    (folder / path.name).chmod(0o600)
