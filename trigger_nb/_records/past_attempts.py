"""The attempts of a task that have failed, as its record keeps them for a reader: the last ones, each in a few words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from .records import TaskRecord

PastAttempt: TypeAlias = dict[str, Any]
"""`number`, `began` and `took` in seconds, `type` and `message` of the error, and `next_at` if another attempt was to follow."""
_MOST = 10
_MESSAGE = 300


def with_failed(
    record: TaskRecord, error: Mapping[str, Any], *, ended: float, next_at: float | None
) -> list[PastAttempt]:
    """The failed attempts of a task, with the one that its record describes. `error` is the error as it is kept."""
    shown = error.get("shown") or error  # `shown`: without redacted parts
    began = record.attempted_at or record.started_at
    attempt = {
        "number": record.attempt,
        "began": began,
        "took": round(max(0.0, ended - began), 3),
        "type": str(error.get("type", ""))[:_MESSAGE],
        "message": str(shown.get("message") or "")[:_MESSAGE],
        **({} if next_at is None else {"next_at": next_at}),
    }
    return [*record.attempts, attempt][-_MOST:]
