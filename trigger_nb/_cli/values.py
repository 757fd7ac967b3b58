"""Values on the command line, JSON payloads and durations, and runs as JSON."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

from .._keys import display_path
from .._records.records import RunRecord, TaskRecord
from .._redact import redact, secrets
from .._runs.task_info import moment
from .._view.model.readable import error_line, value_text
from ..run import Run
from .problems import Problem

_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|m|h|d|w)", re.IGNORECASE)
_MOST_TEXT = 10_000  # characters of a value that is no plain JSON


def payload_of(given: str | None, option: str = "--payload") -> Any:
    """A payload: JSON, `@file` with JSON, or `-` for standard input. None if nothing is given. Raises `Problem`."""
    if given is None:
        return None
    text = given
    if given == "-":
        text = sys.stdin.read()
    elif given.startswith("@"):
        try:
            text = Path(given[1:]).read_text(encoding="utf-8")
        except (OSError, UnicodeError) as error:
            raise Problem(f"{option} {given}: {error}") from None
    try:
        return json.loads(text)
    except ValueError as error:
        quoted = json.dumps(text, ensure_ascii=False)
        hint = (
            f" A text needs quotes of its own: {option} '{quoted}'"
            if given == text and len(text) < 60
            else ""
        )
        raise Problem(f"{option} is no JSON: {error}.{hint}") from None
    except RecursionError:
        raise Problem(f"{option} is nested too deeply") from None


def duration_of(given: str | None, option: str) -> timedelta | None:
    """A duration such as `30d`, `12h` or `90s`. Raises `Problem`."""
    if given is None:
        return None
    match = _DURATION.fullmatch(given.strip())
    if match is None:
        raise Problem(f"{option} is a number with a unit, such as 30d, 12h, 15min or 90s; not {given!r}")
    try:
        return timedelta(seconds=float(match[1]) * _UNITS[match[2].lower()])
    except OverflowError:
        raise Problem(f"{option} {given} is too long") from None


def as_json(value: object) -> str:
    """A value as one JSON text: models and dataclasses as their fields, what is no JSON as its `repr`."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_plain)
    except (TypeError, ValueError, RecursionError):
        return json.dumps(repr(value), ensure_ascii=False)


def _plain(part: Any) -> Any:
    for name in ("model_dump", "isoformat", "item"):  # of pydantic, of times, of numpy's numbers
        if callable(method := getattr(part, name, None)) and not isinstance(part, type):
            with contextlib.suppress(Exception):
                return method()
    if dataclasses.is_dataclass(part) and not isinstance(part, type):
        return {each.name: getattr(part, each.name) for each in dataclasses.fields(part)}
    return repr(cast("object", part))


def run_json(run: RunRecord, store: str) -> dict[str, Any]:
    """A run, as `trigger-nb runs --json` lists it. `run` has the current status."""
    return {
        "id": run.id,
        "job": run.job,
        "version": run.version,
        "status": str(run.status),
        "reason": run.reason,
        "started_at": _time(run.started_at),
        "finished_at": _time(run.finished_at),
        "passes": run.passes,
        "counts": dict(run.counts),
        "is_test": run.is_test,
        "event": (run.event or {}).get("name"),
        "parent": run.parent or None,
        "payload": _value(run.payload_form, run.payload, run.redact),
        "output": _value(run.form, run.output, run.redact),
        "error": secrets.hide(error_line(run.error)) or None,
        "store": store,
    }


def whole_json(run: Run, store: str) -> dict[str, Any]:
    """A run with its tasks, as `trigger-nb show --json` prints it."""
    return {**run_json(run._current, store), "tasks": [_task(run, record) for record in run._in_order()]}


def _task(run: Run, record: TaskRecord) -> dict[str, Any]:
    if record.is_apart:
        record = run._runtime.whole(run.id, record)
    is_log = record.kind == "log"
    return {
        "path": display_path(record.path),
        "name": record.name or None,
        "kind": record.kind,
        "status": None if is_log else str(record.status),
        "attempt": record.attempt,
        "started_at": _time(record.started_at),
        "ended_at": _time(record.ended_at),
        "next_at": _time(record.next_at),
        "output": None if is_log else _value(record.form, record.value, record.redact),
        "error": secrets.hide(error_line(record.error)) or None,
    }


def _time(timestamp: float | None) -> str | None:
    at = moment(timestamp)
    return None if at is None else at.isoformat(timespec="milliseconds")


def _value(form: str, value: Any, patterns: list[str]) -> Any:
    """A stored value: plain JSON as it is, any other as the tree shows it. What exports hide is hidden."""
    if form == "":
        return secrets.hide_in(redact(patterns, value))
    return secrets.hide(value_text(form, value, patterns, _MOST_TEXT))
