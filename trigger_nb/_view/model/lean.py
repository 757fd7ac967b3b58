"""The part of a record that the model keeps of a finished map item: there may be very many."""

from __future__ import annotations

import copy
from collections.abc import Callable

from ..._records.records import TaskRecord
from ..._records.status import TaskStatus
from .rows import Row

_KEPT = (
    *("path", "status", "kind", "generation", "started", "started_at", "ended_at", "attempt", "form"),
    *(
        "name",
        "icon",
        "style",
        "display_key",
        "properties",
        "output_properties",
        "tally",
        "reused_from",
        "skipped",
        "by_hand",
    ),
)


class Lean(TaskRecord):
    """A record without what a row does not show."""

    @classmethod
    def of(cls, record: TaskRecord) -> TaskRecord:
        """The lean form of a record."""
        return cls.parse({name: record.__dict__[name] for name in _KEPT if name in record.__dict__})


def is_finished_item(row: Row) -> bool:
    """Whether the row is an item of a map that has completed."""
    return (
        row.parent is not None
        and row.parent.unfolded is not None
        and row.record is not None
        and row.record.status == TaskStatus.COMPLETED
    )


def whole(row: Row, read: Callable[[str], TaskRecord | None]) -> Row:
    """The row with the whole record of its task, as far as it must be read and can be."""
    record = row.record
    if (
        record is None
        or not (isinstance(record, Lean) or record.is_abridged)
        or (found := read(row.path)) is None
    ):
        return row
    row = copy.copy(row)
    row.record = found
    return row
