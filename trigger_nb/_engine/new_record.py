"""The record of a task whose body is about to run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from .. import _values
from .._callsite import show_place
from .._keys import display_path
from .._records.past_attempts import PastAttempt, with_failed
from .._records.questions import KIND as QUESTION
from .._records.records import TaskRecord
from .._records.status import TaskStatus
from .._redact import check_redact, redact, scrub, scrub_error, secrets
from .._tasks.options import describe
from .checking import hide_refused
from .code_sources import source_row
from .ledger import run_row

if TYPE_CHECKING:
    from .._tasks.call import AnyCall
    from .state import PassState


class NewRecords:
    """Makes records of tasks, and describes errors as they are kept."""

    def __init__(self, state: PassState) -> None:
        self._state = state
        self._has_hinted = False  # at a plain path

    def new(
        self, call: AnyCall, earlier: TaskRecord | None = None, *, attempt: int = 1, crashes: int = 0
    ) -> TaskRecord:
        """The record of a task about to run, with what survives from its previous record."""
        options, changes = call.options, self._state.changes
        record = TaskRecord.parse(
            {
                "path": call.path,
                "status": TaskStatus.RUNNING,
                "started": self._first_start(earlier),
                "started_at": self._state.now(),
            }
        )
        if call.kind not in {"task", "own"}:
            record.kind = call.kind
        if call.body is not None and call.kind == "task":
            record.code = changes.of(call).code
            if changes.keep_parts(call.body, record.code):
                self._state.ledger.ride_along(run_row(self._state.run))
                self._state.ledger.ride_along(source_row(self._state.run.id, record.code, call.body))
            if name := changes.reference(call):
                record.body = name
        reuses = self._state.reuses
        if (reuses.is_used or "reuse" in options) and (digest := reuses.digest(call)):
            record.reuse = digest
        if call.args or "params" in options:
            inputs = changes.inputs(call)
            # The inputs of a small value are the value itself: a secret among them is not kept.
            record.inputs = inputs if secrets.hide(inputs) == inputs else ""
            record.params = _values.preview(options.get("params", call.args))
            if earlier is None and not self._has_hinted and call.kind == "task" and call.service is None:
                self._hint_at_path(call)
        if options or self._state.settings.redact:
            self._describe(record, call)
        if attempt > 1:
            record.attempt = attempt
            if earlier is not None:
                record.refusals, record.attempts = earlier.refusals, earlier.attempts
        if crashes:
            record.crashes = crashes
        if earlier is not None:
            record.generation = earlier.generation
            record.settled = earlier.settled
            if earlier.status == TaskStatus.WAITING:
                record.skipped = earlier.skipped
            if earlier.error is not None and earlier.status == TaskStatus.WAITING:
                record.started_at = earlier.started_at  # the clock of `stop_after_delay` runs on
        return record

    def _hint_at_path(self, call: AnyCall) -> None:
        """Hint once a pass that the plain path of a file counts by its name. Integrations say what they do with one."""
        params = call.options.get("params", call.args)
        if isinstance(params, dict):
            params = tuple(cast("dict[object, object]", params).values())
        for each in cast("tuple[object, ...]", params if isinstance(params, tuple) else (params,)):
            if isinstance(each, Path) and os.path.isfile(each):
                self._has_hinted = True
                self._state.header.hint(
                    f"Task {display_path(call.path)!r}, called at {show_place(call.place)}, is given the path {str(each)!r}, "
                    "and a path counts by its name: if the file is edited, the stored result is used nevertheless. If the "
                    f"task reads the file, pass trigger_nb.File({str(each)!r}), which counts by its content."
                )
                return

    def _first_start(self, earlier: TaskRecord | None) -> int:
        """R9 goes by when a task *first* started; one that was forgotten on purpose starts over."""
        if earlier is None or not earlier.started or (earlier.forced and not earlier.settled):
            return next(self._state.ledger.ordinals)
        return earlier.started

    def _describe(self, record: TaskRecord, call: AnyCall) -> None:
        options = call.options
        for name in ("name", "icon", "style", "description", "display_key", "codec", "on_change"):
            if name in options:
                setattr(record, name, secrets.hide(str(options.get(name))))
        if call.kind in ("status", QUESTION):
            record.data = cast("dict[str, Any]", options)["data"]
        if "properties" in options:
            record.properties = describe(options["properties"])
        patterns = [*self._state.settings.redact, *options.get("redact", ())]
        if patterns:
            record.redact = check_redact(patterns)
            patterns = self._patterns_for_inputs(call, record)
            record.params = redact(patterns, record.params)
            for shown in record.properties:
                for value in self._inputs(call):
                    shown["text"] = scrub(patterns, value, shown["text"])

    def error_data(self, call: AnyCall, record: TaskRecord, error: BaseException) -> dict[str, Any]:
        """An error as it is kept, with what may be shown of it (S8)."""
        data = _values.encode_error(error)
        if record.redact:
            inputs = self._inputs(call)
            scrub_error(self._patterns_for_inputs(call, record), inputs, data)
            if call.refused is not None and (found := hide_refused(call.refused[0], data)):
                scrub_error(record.redact, [*inputs, *found], data)
        return data

    def attempts(
        self, record: TaskRecord, error: dict[str, Any], next_at: float | None = None
    ) -> list[PastAttempt]:
        """The failed attempts to keep in the record, with the one that has just ended in this error."""
        return with_failed(record, error, ended=self._state.now(), next_at=next_at)

    def run_error_data(self, error: BaseException, origins: list[str]) -> dict[str, Any]:
        """The error that a run ends in, as it is kept. What its tasks hide of it is hidden here, too."""
        state = self._state
        data = _values.encode_error(error)
        if state.settings.redact:
            scrub_error(state.settings.redact, [state.run.payload], data)
        for path in origins:
            record = state.ledger.glance(path)
            told = record.error if record is not None else None
            if told is not None and "shown" in told and told.get("message") == data.get("message"):
                data["shown"], data["traceback"] = told["shown"], told.get("traceback", [])
        return data

    def _inputs(self, call: AnyCall) -> list[Any]:
        return [_values.preview(call.options.get("params", call.args)), self._state.run.payload]

    def _patterns_for_inputs(self, call: AnyCall, record: TaskRecord) -> list[str]:
        """Arguments are a list without names: what is hidden is hidden in each of them."""
        patterns = list(record.redact)
        return patterns if "params" in call.options else [*patterns, *(f"*.{each}" for each in patterns)]
