"""The whole records of a run's tasks, whose long values are read from the store many at a time."""

from __future__ import annotations

from collections.abc import Iterable

from .._engine.readings import whole_record
from .._records.records import TaskRecord
from .._values.json_text import loads
from ..errors import StoreError
from .runtime import Runtime

_AT_ONCE = 100  # long values that one query reads: 3 MB at most


class WholeRecords:
    """Gives out the records of some tasks with their values. To take them in order costs one query for many.

    Only the values of the last query are kept.
    """

    def __init__(self, runtime: Runtime, run_id: str, records: Iterable[TaskRecord]) -> None:
        self._store = runtime.store
        self._blobs = runtime.store.blobs(run_id)
        self._run_id = run_id
        self._apart = [record.path for record in records if record.is_apart]
        self._places = {path: place for place, path in enumerate(self._apart)}
        self._read: dict[str, str] = {}  # texts, by path

    def of(self, record: TaskRecord) -> TaskRecord:
        """The whole record. Raises `CorruptRecordError` if it does not exist any more, or another result has replaced it."""
        if not record.is_apart:
            return record
        path = record.path
        if path not in self._read:
            self._read_from(path)
        return whole_record(self._run_id, record, self._read.get(path))

    def opened(self, record: TaskRecord) -> TaskRecord:
        """The record with its value, also if that is in a file; as it is, if the file cannot be read."""
        record = self.of(record)
        if record.form != "file":
            return record
        try:
            text = self._blobs.get(record.value["file"]).decode("ascii")
            return record.copy(form=record.value["form"], value=loads(text))
        except (StoreError, LookupError, TypeError, ValueError, RecursionError):
            return record

    def _read_from(self, path: str) -> None:
        place = self._places.get(path)
        paths = [path] if place is None else self._apart[place : place + _AT_ONCE]
        prefix = f"{self._run_id}/"
        rows = self._store.read_rows(prefix + each for each in paths)
        self._read = {key[len(prefix) :]: text for key, text in rows.items()}
