"""The contents of a store, and the result of pruning it, as HTML and as text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ..._values.sizes import size
from ..escape import markup, visible
from ..words import minute, plural
from . import tables

_JOBS = 8  # jobs that are listed by name


class _Shown(ABC):
    """An object that is displayed as lines of a label and a text."""

    __slots__ = ()

    @abstractmethod
    def _lines(self) -> list[tuple[str, str]]: ...

    def _repr_html_(self) -> str:
        rows = (
            f'<tr><td style="width:8em"><b>{label}</b></td><td>{markup(text, 1000)}</td></tr>'
            for label, text in self._lines()
        )
        return tables.block(tables.table(rows))

    def __repr__(self) -> str:
        rows = [(label, visible(text, 1000)) for label, text in self._lines()]
        return "\n".join(tables.aligned(rows, tables.widths_of(rows)))


@dataclass(frozen=True, slots=True, repr=False)
class StoreInfo(_Shown):
    """The contents of a client's store, and their size in bytes."""

    directory: Path
    runs: int
    by_status: dict[str, int]  # number of runs
    by_job: dict[str, int]  # number of runs
    records: int  # tasks and log lines
    key_values: int
    oldest: datetime | None  # start of the first run
    newest: datetime | None  # start of the last run
    database_bytes: int
    values_bytes: int  # of results that are too large for the database
    free_bytes: int  # unused space in the database, left by deleted runs

    @property
    def bytes(self) -> int:
        """The size of the whole store on disk."""
        return self.database_bytes + self.values_bytes

    def _lines(self) -> list[tuple[str, str]]:
        free = f", {size(self.free_bytes)} of it free" if self.free_bytes else ""
        database, values = size(self.database_bytes), size(self.values_bytes)
        statuses = ", ".join(f"{count:,} {status}" for status, count in self.by_status.items())
        lines = [
            ("Store", str(self.directory)),
            ("Size", f"{size(self.bytes)}: database {database}{free}, value files {values}"),
            ("Runs", _with(self.runs, statuses)),
            ("Jobs", _with(len(self.by_job), _named(self.by_job))),
            ("Records", f"{self.records:,} tasks and log lines, {plural(self.key_values, 'key-value')}"),
        ]
        if self.oldest is not None and self.newest is not None:
            lines.append(
                ("Started", f"{minute(self.oldest.timestamp())} to {minute(self.newest.timestamp())}")
            )
        return lines


@dataclass(frozen=True, slots=True, repr=False)
class Pruned(_Shown):
    """The runs that `client.prune` removed, or would remove."""

    runs: tuple[str, ...]  # ids, newest first
    bytes: int  # disk space freed; in a dry run, an estimate
    dry_run: bool = False
    skipped: tuple[
        str, ...
    ] = ()  # ids of matching runs that were kept: a kernel executes or just changed them
    note: str = ""  # the reason why the database file is not smaller yet

    def _lines(self) -> list[tuple[str, str]]:
        action = "Would remove" if self.dry_run else "Removed"
        lines = [
            (action, plural(len(self.runs), "run")),
            ("Space", f"{'about ' * self.dry_run}{size(self.bytes)}"),
        ]
        if self.skipped:
            lines.append(("Skipped", f"{plural(len(self.skipped), 'run')} in use by a kernel"))
        if self.note:
            lines.append(("Note", self.note))
        return lines


@dataclass(frozen=True, slots=True, repr=False)
class StoreCheck(_Shown):
    """What `client.check` found in a store."""

    directory: Path
    records: int  # rows of runs, tasks, log lines, events and key-values
    damaged: tuple[str, ...]  # keys of the rows that cannot be read as they were written
    database: tuple[str, ...]  # what SQLite's own check and the comparison of the schema found
    lost_files: tuple[str, ...]  # value files that are missing or not whole, as "folder/name"
    unused_files: tuple[Path, ...]  # value files that no record names: harmless, `prune` removes old ones

    @property
    def ok(self) -> bool:
        """Whether all that was written can be read."""
        return not (self.damaged or self.database or self.lost_files)

    def _lines(self) -> list[tuple[str, str]]:
        found = [
            ("Damaged", _some(self.damaged)),
            ("Database", _some(self.database)),
            ("Lost files", _some(self.lost_files)),
            ("Unused", plural(len(self.unused_files), "value file") if self.unused_files else ""),
        ]
        lines = [("Store", str(self.directory)), ("Records", f"{self.records:,}")]
        lines += [(label, text) for label, text in found if text]
        advice = (
            "client.repair() saves what can be read into a new store. A backup is better, if there is one."
        )
        return [*lines, ("Result", "all is well" if self.ok else advice)]


@dataclass(frozen=True, slots=True, repr=False)
class Repaired(_Shown):
    """What `client.repair` saved of a broken store."""

    directory: Path  # the new store
    replaces: Path  # the broken store, which is as it was
    records: int  # rows that were saved
    damaged: tuple[str, ...]  # keys of the rows among them that could not be saved as they were
    left_out: tuple[str, ...]  # keys of rows that another program wrote
    files: int  # value files that were saved

    def _lines(self) -> list[tuple[str, str]]:
        lines = [
            ("New store", str(self.directory)),
            ("Saved", f"{plural(self.records, 'record')}, {plural(self.files, 'value file')}"),
        ]
        if self.damaged:
            lines.append(
                ("Damaged", f"{_some(self.damaged)}. Tasks among them count as done, without a value")
            )
        if self.left_out:
            lines.append(("Left out", _some(self.left_out)))
        use = (
            f"end this kernel, move {self.replaces} away, and rename {self.directory} to {self.replaces.name}"
        )
        return [*lines, ("To use it", use)]


def _some(names: tuple[str, ...]) -> str:
    """How many there are, with the first ones."""
    if not names:
        return ""
    shown = ", ".join(visible(name, 60) for name in names[:_JOBS])
    return f"{len(names):,}: {shown}" + (", …" if len(names) > _JOBS else "")


def _with(count: int, names: str) -> str:
    return f"{count:,}: {names}" if names else f"{count:,}"


def _named(jobs: dict[str, int]) -> str:
    """The jobs with the most runs, and their numbers of runs."""
    most = sorted(jobs.items(), key=lambda each: (-each[1], each[0]))
    named = ", ".join(f"{visible(job, 40)} {count:,}" for job, count in most[:_JOBS])
    return named + (f" and {len(most) - _JOBS:,} more" if len(most) > _JOBS else "")
