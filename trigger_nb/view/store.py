"""What a store holds, and what was removed from it, as HTML and as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from .escape import columns, markup, visible
from .html import stylesheet
from .words import minute, plural, size

_JOBS = 8  # how many jobs are named


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """What a client's store holds, and what that takes up. Sizes are in bytes."""

    directory: Path
    runs: int
    by_status: dict[str, int]  # runs
    by_job: dict[str, int]  # runs
    records: int  # tasks and log lines
    key_values: int
    oldest: datetime | None  # when the first and the last of the runs were started
    newest: datetime | None
    database_bytes: int
    values_bytes: int  # of results too large for the database
    free_bytes: int  # of the database: what deleted runs have left

    @property
    def bytes(self) -> int:
        """All that the store takes up on the disk."""
        return self.database_bytes + self.values_bytes

    def _lines(self) -> list[tuple[str, str]]:
        free = f", {size(self.free_bytes)} of it free" if self.free_bytes else ""
        lines = [
            ("Store", str(self.directory)),
            ("Size", f"{size(self.bytes)}: database {size(self.database_bytes)}{free}, value files {size(self.values_bytes)}"),
            ("Runs", _with(self.runs, ", ".join(f"{count:,} {status}" for status, count in self.by_status.items()))),
            ("Jobs", _with(len(self.by_job), _named(self.by_job))),
            ("Records", f"{self.records:,} tasks and log lines, {plural(self.key_values, 'key-value')}"),
        ]  # fmt: skip
        if self.oldest is not None and self.newest is not None:
            lines.append(
                ("Started", f"{minute(self.oldest.timestamp())} to {minute(self.newest.timestamp())}")
            )
        return lines

    def _repr_html_(self) -> str:
        return _as_html(self._lines())

    def __repr__(self) -> str:
        return _as_text(self._lines())


@dataclass(frozen=True, slots=True)
class Pruned:
    """What `client.prune` has removed, or would remove."""

    runs: tuple[str, ...]  # the ids of the runs, newest first
    bytes: int  # given back to the disk; of a dry run about what the runs take up
    dry_run: bool = False
    skipped: tuple[str, ...] = ()  # chosen too, and left: a kernel drives them, or has just changed them
    note: str = ""  # why the database keeps its size for now

    def _lines(self) -> list[tuple[str, str]]:
        would = "Would remove" if self.dry_run else "Removed"
        lines = [
            (would, plural(len(self.runs), "run")),
            ("Space", f"{'about ' * self.dry_run}{size(self.bytes)}"),
        ]
        if self.skipped:
            lines.append(("Left", f"{plural(len(self.skipped), 'run')} that a kernel drives"))
        if self.note:
            lines.append(("Note", self.note))
        return lines

    def _repr_html_(self) -> str:
        return _as_html(self._lines())

    def __repr__(self) -> str:
        return _as_text(self._lines())


def _with(count: int, what: str) -> str:
    return f"{count:,}: {what}" if what else f"{count:,}"


def _named(jobs: dict[str, int]) -> str:
    """The jobs with the most runs."""
    most = sorted(jobs.items(), key=lambda each: (-each[1], each[0]))
    named = ", ".join(f"{visible(job, 40)} {count:,}" for job, count in most[:_JOBS])
    return named + (f" and {len(most) - _JOBS:,} more" if len(most) > _JOBS else "")


def _as_html(lines: Sequence[tuple[str, str]]) -> str:
    """A table that reads well without its styles, too."""
    body = "".join(
        f'<tr><td style="width:8em"><b>{title}</b></td><td>{markup(text, 1000)}</td></tr>'
        for title, text in lines
    )
    return (
        f'<div class="tnb"><style>{stylesheet()}</style><div class="tnb-wide">'
        f"<table><tbody>{body}</tbody></table></div></div>"
    )


def _as_text(lines: Sequence[tuple[str, str]]) -> str:
    width = max(columns(title) for title, _ in lines)
    return "\n".join(f"{title.ljust(width)}  {visible(text, 1000)}" for title, text in lines)
