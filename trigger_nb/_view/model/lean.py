"""The part of a record that the model keeps of a finished map item: there may be very many."""

from __future__ import annotations

from ..._records.records import TaskRecord

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
    ),
)


class Lean(TaskRecord):
    """A record without what a row does not show."""

    @classmethod
    def of(cls, record: TaskRecord) -> TaskRecord:
        """The lean form of a record."""
        return cls.parse({name: record.__dict__[name] for name in _KEPT if name in record.__dict__})


def is_whole(record: TaskRecord | None) -> bool:
    """Whether nothing of the record must be read from the store."""
    return record is None or not (isinstance(record, Lean) or record.is_apart)
