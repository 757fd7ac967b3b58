"""Stored records of a run, as a pass reads them, and the errors of reading them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._keys import display_path
from .._records.reading import readable_task
from .._records.records import TaskRecord
from ..errors import BadSignatureError, CorruptRecordError, TriggerError, ValueNotLoadedError

if TYPE_CHECKING:
    from .._store.protocol import Store
    from .memory import Memory


class Unreadable(BaseException):
    """An error of reading a record or a value, on its way to the end of the pass (R13).

    It is no `Exception`, so that no item, attempt or map takes it for an error of its own.
    """

    def __init__(self, error: TriggerError) -> None:
        self.error = error


def begin(memory: Memory, run_id: str, store: Store) -> None:
    """Read what is stored of a run, without long values. What a body of an earlier pass writes meanwhile is newer."""
    fresh: dict[str, str] = {}
    memory.records = fresh
    stored = store.read_run(run_id)
    start = len(run_id) + 1
    with memory.lock:
        newer = dict(fresh)
        fresh.update({key[start:]: text for key, text in stored})
        for path, text in newer.items():
            if not wins(readable_task(path, fresh[path]), readable_task(path, text)):
                fresh[path] = text


def read_whole(store: Store, run_id: str, record: TaskRecord) -> TaskRecord:
    """A record with its value and what is shown of it, which are read from the store if they are long.

    Raises `CorruptRecordError` when the value is not there any more, and other `StoreError`s.
    """
    if not record.is_abridged:
        return record
    text = store.get(f"{run_id}/{record.path}")
    if record.is_apart or (text is not None and readable_task(record.path, text).rank == record.rank):
        return whole_record(run_id, record, text)
    return record


def whole_record(run_id: str, record: TaskRecord, text: str | None) -> TaskRecord:
    whole = None if text is None else readable_task(record.path, text)
    if whole is None or whole.is_damaged or whole.rank != record.rank:
        what, why = "result", "was deleted or damaged, or holds another result now"
        raise damaged(run_id, record.path, what, "is not in the store any more", why)
    return whole


def damaged(run_id: str, path: str, what: str, fate: str, why: str) -> CorruptRecordError:
    return CorruptRecordError(
        f"the {what} of task {display_path(path)!r} {fate}: its row {run_id + '/' + path!r} {why}. What the task did may "
        "be done, so it is not repeated by itself. Bring the store back from a backup, and run this cell again; or repeat "
        f"the task on purpose, client.run({run_id!r}).rerun_from({display_path(path)!r}), or all with fresh=True."
    )


def explained(error: TriggerError, what: str, remedy: str = "") -> TriggerError:
    """An error of reading, with what it was that cannot be read; other faults of the store say it all."""
    if type(error) not in (CorruptRecordError, BadSignatureError, ValueNotLoadedError):
        return error
    told = type(error)(f"{what} cannot be read: {error}" + (f" Or {remedy}." if remedy else ""))
    told.__cause__ = error.__cause__  # what a codec of the user's raised
    return told


def wins(before: TaskRecord, after: TaskRecord) -> bool:
    """Whether a record stays though another one comes: as in the store, which lets nothing replace a result."""
    return before.rank % 2 == 1 and before.rank >= after.rank
