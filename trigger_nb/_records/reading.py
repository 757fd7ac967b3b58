"""Records from the texts of rows, also of rows that are damaged."""

from __future__ import annotations

import re

from ..errors import CorruptRecordError
from .records import RunRecord, TaskRecord
from .status import RunStatus

_DAMAGED = "its row in the store is damaged: "


def readable_task(path: str, text: str) -> TaskRecord:
    """A task's record, or a stand-in with the readable parts if the row is damaged.

    The stand-in is completed and has no value. This is always safe, because the body then runs again only on
    request.
    """
    try:
        record = TaskRecord.loads(text)
    except CorruptRecordError as error:
        record = TaskRecord(
            is_damaged=True,
            form="unstored",
            value={"type": "result", "path": "$", "reason": f"{_DAMAGED}{error}"},
            kind="log" if "~." in path else "task",
            name=_DAMAGED[:-2] if "~." in path else "",
            generation=_number(text, "generation"),
            started=_number(text, "started"),
            ended=_number(text, "ended"),
        )
    record.path = path
    return record


def readable_run(run_id: str, text: str) -> RunRecord:
    """A run's record, or a stand-in with the readable parts if the row is damaged."""
    try:
        record = RunRecord.loads(text)
    except CorruptRecordError:
        name = re.search(r'"job":"([^"\\]*)"', text)
        record = RunRecord(
            is_damaged=True,
            status=RunStatus.INTERRUPTED,
            job=name[1] if name else "",
            payload_preview=_DAMAGED[:-2],
            created_at=float(_number(text, "created_at")),
            passes=_number(text, "passes"),
        )
    record.id = run_id
    return record


def check_legible(run: RunRecord) -> None:
    """Raise `CorruptRecordError` if the run's row is damaged: the run can neither continue nor start over."""
    if run.is_damaged:
        raise CorruptRecordError(
            f"the record of run {run.id!r} cannot be read: its row {'run/' + run.id!r} in the store is damaged. Tasks "
            "may have taken effect, so the run does not start over by itself. Restore the store from a backup; or start "
            "a new run with fresh=True, and delete() this one."
        )


def _number(text: str, name: str) -> int:
    """A number in a damaged text; 0 if it cannot be found."""
    found = re.search(rf'"{name}":(\d{{1,18}})(?=[.,}}])', text)
    return int(found[1]) if found else 0
