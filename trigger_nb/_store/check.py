"""Reading a store that may be broken: each row and each value file by itself, whatever is wrong with the others."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

from .._records.base import damaged, is_damaged
from .._records.records import RunRecord, TaskRecord
from .._records.run_ids import RESERVED
from ..errors import CorruptRecordError
from . import schema
from .checksums import as_text
from .files import check_file, read_file
from .value_files import FILE_NAME, ValueFiles, each_file

_COLUMNS = "rowid, key, raw, tag, access_count, coalesce(access_time, store_time), mode, value"
_MOST = 20  # findings of SQLite that are listed


class StoredRow(NamedTuple):
    """A row of a database that may be broken. `text` is marked as damaged if it is not what was written."""

    key: str
    tag: str
    text: str
    rank: int
    is_ours: bool = True  # plain text under a plain key

    @property
    def is_wrong(self) -> bool:
        """Whether the row cannot be read as what it should be."""
        if not self.is_ours or is_damaged(self.text):
            return True
        record = RunRecord if self.tag == "runs" else TaskRecord if self.is_of_task else None
        try:
            if record is not None:
                record.loads(self.text)
        except CorruptRecordError:
            return True
        return False

    @property
    def is_of_task(self) -> bool:
        return self.tag not in RESERVED and not self.tag.startswith(("kv/", "export/", "answer/", "notice/"))

    @property
    def owner(self) -> str:
        """Whose value files the row names."""
        kind, _, name = self.key.partition("/")
        return name if kind in ("run", "event") else self.tag.removeprefix("kv/run/")


@dataclass
class Findings:
    """What is wrong with a store."""

    rows: int = 0
    wrong: list[str] = field(default_factory=list[str])  # keys of rows
    # What SQLite finds, and what the schema should not have.
    database: list[str] = field(default_factory=list[str])
    # Value files that a row names, and that are not there or not whole.
    lost: list[str] = field(default_factory=list[str])
    unused: list[Path] = field(default_factory=list[Path])  # value files that no row names


def check(directory: Path) -> Findings:
    """Read the whole store, and change nothing. Raises `OSError` if its database is not a regular file."""
    found = Findings()
    named: dict[str, set[str]] = {}  # the files that each owner's rows name
    with reading(directory) as sql:
        with _noting(found):
            found.database += schema.problems(sql)
            found.database += [
                line for (line,) in sql.execute(f"PRAGMA integrity_check({_MOST})") if line != "ok"
            ]
        with _noting(found):
            for row in rows_of(sql):
                found.rows += 1
                if row.is_wrong:
                    found.wrong.append(row.key)
                if names := FILE_NAME.findall(row.text):
                    named.setdefault(row.owner, set()).update(names)
    _check_files(directory / "values", named, found)
    return found


def _check_files(root: Path, named: dict[str, set[str]], found: Findings) -> None:
    files = {path: is_whole(path) for path in each_file(root)}
    wanted = {
        ValueFiles(lambda: root, owner).folder / name for owner, names in named.items() for name in names
    }
    for path in list(wanted):  # the text of a large value can name further files
        if files.get(path):
            wanted.update(path.with_name(name) for name in names_in(path))
    found.lost += sorted(f"{path.parent.name}/{path.name}" for path in wanted if not files.get(path))
    found.unused += sorted(path for path in files if path not in wanted)


def names_in(path: Path) -> list[str]:
    """The value files that the content of a value file names."""
    return FILE_NAME.findall(read_file(path).decode("ascii", "replace"))


def is_whole(path: Path) -> bool:
    """Whether the content of a value file is what its name says."""
    try:
        return hashlib.sha256(read_file(path)).hexdigest() == path.name
    except OSError:
        return False


@contextmanager
def _noting(found: Findings) -> Generator[None]:
    try:
        yield
    except sqlite3.Error as error:
        found.database.append(str(error))


@contextmanager
def reading(directory: Path) -> Generator[sqlite3.Connection]:
    """A connection that changes nothing and runs no SQL of the file's own."""
    path = directory / "cache.db"
    check_file(path)
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, isolation_level=None)) as sql:
        sql.execute("PRAGMA trusted_schema = OFF")
        with suppress(sqlite3.Error):  # told when the rows are read
            sql.execute("PRAGMA query_only = ON")
        sql.text_factory = as_text
        yield sql


def rows_of(sql: sqlite3.Connection) -> Iterator[StoredRow]:
    """All rows that can be read, in the order in which they were first written.

    Where a page of the table cannot be read, the key of a row may still be in the index, and the row counts as damaged.
    Raises `sqlite3.Error` if the table is not one of this package, or cannot be read at all.
    """
    if not schema.is_of_cache(sql):
        raise sqlite3.DatabaseError("its table 'Cache' is missing or not that of a store")
    keys: dict[int, Any] = {}
    with suppress(sqlite3.DatabaseError):
        for key, rowid in sql.execute("SELECT key, rowid FROM Cache INDEXED BY Cache_key_raw"):
            keys[rowid] = key  # noqa: PERF403  # what was read before an error is kept
    last = 0
    try:
        for row in sql.execute(f"SELECT {_COLUMNS} FROM Cache NOT INDEXED ORDER BY rowid"):
            last = row[0]
            yield _stored_row(row, keys.get(last))
    except sqlite3.DatabaseError:
        if not keys:
            raise
        for rowid in sorted(rowid for rowid in keys if rowid > last):
            try:
                found = sql.execute(
                    f"SELECT {_COLUMNS} FROM Cache NOT INDEXED WHERE rowid = ?", (rowid,)
                ).fetchone()
            except sqlite3.DatabaseError:
                found = None
            yield _stored_row(found or (rowid, keys[rowid], 1, None, 0, 0, 1, ""), keys[rowid])


def _stored_row(row: tuple[Any, ...], key_in_index: Any) -> StoredRow:
    _, key, raw, tag, rank, checksum, mode, text = row
    is_ours = raw == 1 and mode == 1 and isinstance(text, str)
    if not isinstance(rank, int):
        rank = 0
    key, text = as_text(key), text if isinstance(text, str) else ""
    for name in (key, as_text(key_in_index)):  # one of the two may be damaged
        if checksum is None or crc32(f"{name}{text}".encode()) + rank == checksum:
            key = name
            break
    else:
        key = as_text(key_in_index) if key_in_index is not None else key
        text = damaged(text)
    kind = key.partition("/")[0]
    if kind not in RESERVED:
        tag = kind  # a task's
    elif kind != "kv":
        tag = {"run": "runs", "event": "events"}.get(kind, as_text(tag))
    return StoredRow(key, as_text(tag), text, rank, is_ours)
