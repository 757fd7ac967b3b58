"""Payloads that a run of a job may be started with: the examples of its trigger, and those of its latest runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, Literal, cast

from .. import _values
from .._clock import to_datetime
from .._io.forms import as_json, check_by_schema, form_of
from .._records.questions import Field
from .._records.records import RunRecord
from .._redact import HIDDEN, redact, secrets
from .._values.json_text import dumps, is_plain
from .._view.escape import visible
from ..errors import InvalidAnswerError, InvalidOptionError, NotFoundError, TriggerError
from ..triggers import Trigger
from .job_options import JobOptions
from .payloads import Payload
from .runtime import Runtime

LATEST = 10  # payloads of runs
_SEARCHED = 200  # runs of the job
_LONGEST = 20_000  # characters of a payload that is edited
_NEW = "new"
_NOT_PLAIN = "It is not plain data, so it can only be used as it is."


@dataclass(frozen=True, slots=True)
class KnownPayload:
    """A payload that a run of a job may be started with.

    - `source`: "example", or "run" for that of a recent run.
    - `name`: the name of the example, or the id of the run.
    - `payload`: as the run function gets it. It is not part of the `repr`, which has the redacted `preview`.
    - `at`: when that run was started, in UTC; None for an example.
    """

    source: Literal["example", "run"]
    name: str
    payload: Any = field(repr=False)
    preview: str
    at: datetime | None = None


def known_payloads(
    runtime: Runtime, options: JobOptions, trigger: Trigger, limit: int = LATEST, first: str = ""
) -> list[KnownPayload]:
    """The examples of a trigger, then the distinct payloads of the job's latest runs, the newest first.

    The run with the id `first` is the first one of those. What cannot be read is left out.
    """
    found = [
        KnownPayload("example", each.name or each.id, each.payload, options.preview(each.payload))
        for each in trigger.examples
    ]
    seen: set[str] = set()
    for record in _runs(runtime, options, first):
        if len(seen) >= limit:
            break
        try:
            text = dumps([record.payload_form, record.payload])
            payload = Payload.stored(record, runtime.store.blobs(record.id), trigger.fit).take()
            _check_readable(record, payload)
        except (TriggerError, ValueError, TypeError):
            continue
        if text in seen:
            continue
        seen.add(text)
        at = to_datetime(record.started_at or record.created_at)
        found.append(KnownPayload("run", record.id, payload, record.payload_preview, at))
    return found


def _runs(runtime: Runtime, options: JobOptions, first: str) -> Iterator[RunRecord]:
    if first and (record := runtime.run_record(first)) is not None:
        yield record
    its = (
        each
        for each in runtime.each_run_record()
        if (each.job, each.source) == (options.id, options.source) and not each.is_damaged
    )
    yield from islice(its, _SEARCHED)


def _check_readable(record: RunRecord, payload: Any) -> None:
    """A payload that was not stored is a placeholder, which no run can be started with."""
    if record.payload_form == "unstored" or isinstance(payload, (_values.Unstored, _values.Redacted)):
        raise InvalidOptionError("the payload was not stored")


# For the form in a display ----------------------------------------------------------------------------


class PayloadForms:
    """The forms that a run of a job is started from in a display. `redact=` of the job hides what it names."""

    def __init__(self, runtime: Runtime, options: JobOptions, trigger: Trigger, run_id: str = "") -> None:
        self._options = options
        self._schema = trigger.schema
        self._run_id = run_id
        self._known = {
            f"{each.source}:{each.name}": each
            for each in known_payloads(runtime, options, trigger, first=run_id)
        }

    def choices(self) -> list[dict[str, Any]]:
        """What a person may begin with, each with its form. One that cannot be edited says why: `fixed`."""
        mine = f"run:{self._run_id}"
        order = sorted(self._known, key=lambda each: each != mine)
        return [*(self._choice(each, self._known[each]) for each in order), self._empty()]

    def _choice(self, name: str, known: KnownPayload) -> dict[str, Any]:
        if known.source == "example":
            label = f"Example: {known.name}"
        elif known.name == self._run_id:
            label = "This run’s payload"
        else:
            label = f"{known.at:%Y-%m-%d %H:%M} · " if known.at else ""
            label += known.preview
        choice = {"id": name, "label": visible(label, 100)}
        # Without a schema, nothing makes a set of a list again.
        data = known.payload
        fixed = "" if self._schema is not None or is_plain(data) else _NOT_PLAIN
        try:
            data = as_json(data)
        except TriggerError:
            fixed = _NOT_PLAIN
        if not fixed and len(dumps(data)) > _LONGEST:
            fixed = "It is too long to be edited here."
        if fixed:
            return {**choice, "fixed": fixed, "fields": [], "named": False}
        return {**choice, **self._form(self._shown(data))}

    def _empty(self) -> dict[str, Any]:
        return {"id": _NEW, "label": "Another payload", **self._form(...)}

    def _shown(self, data: Any) -> Any:
        return _without_secrets(redact(self._options.redact, data))

    def _form(self, shown: Any) -> dict[str, Any]:
        """The fields of the schema, filled in; one field of JSON if there is no schema, or if it has no place for all."""
        try:
            fields, named, _ = ((), False, False) if self._schema is None else form_of(self._schema)
        except InvalidOptionError:
            fields, named = (), False
        if shown is ...:
            return {"fields": list(fields) or [_json_field()], "named": named}
        if not named:
            return {
                "fields": [{**each, "default": shown} for each in fields] or [_json_field(shown)],
                "named": False,
            }
        values = cast("dict[str, Any]", shown) if isinstance(shown, dict) else None
        if values is None or not set(values) <= {each["name"] for each in fields}:
            return {"fields": [_json_field(shown)], "named": False}
        filled = [
            {**each, "default": values[each["name"]]} if each["name"] in values else each for each in fields
        ]
        return {"fields": filled, "named": True}

    def payload(self, source: str, data: Any, *, is_edited: bool) -> Any:
        """The payload that a form was sent with. Raises `InvalidAnswerError`, whose faults are those of the fields."""
        known = self._known.get(source)
        if known is None and source != _NEW:
            raise NotFoundError("this payload is not known any more: open the form again")
        if known is not None and not is_edited:
            return known.payload
        if known is not None:
            stored = as_json(known.payload)
            data = _unhidden(data, self._shown(stored), stored)
        if self._schema is None:
            return data
        try:
            return check_by_schema(self._schema, data, "the payload")
        except InvalidAnswerError as error:
            text = str(error).replace("the answer to ", "", 1)
            raise InvalidAnswerError(text, error.errors, error.fields) from None


def _json_field(shown: Any = ...) -> Field:
    made: Field = {"name": "", "label": "Payload, as JSON", "kind": "json", "nullable": True}
    return made if shown is ... else {**made, "default": shown}


def _without_secrets(data: Any) -> Any:
    if isinstance(data, str):
        return secrets.hide(data)
    if isinstance(data, dict):
        return {name: _without_secrets(each) for name, each in cast("dict[str, Any]", data).items()}
    if isinstance(data, list):
        return [_without_secrets(each) for each in cast("list[Any]", data)]
    return data


def _unhidden(data: Any, shown: Any, stored: Any) -> Any:
    """Data from a form with the stored values in place of those that were hidden there, and that nobody has changed."""
    if data == shown or (shown == HIDDEN and data in (None, "")):
        return stored
    if isinstance(data, dict) and isinstance(shown, dict) and isinstance(stored, dict):
        given, seen = cast("dict[str, Any]", data), cast("dict[str, Any]", shown)
        kept = cast("dict[str, Any]", stored)
        hidden = {name: None for name, value in seen.items() if value == HIDDEN and name not in given}
        return {
            name: _unhidden(value, seen[name], kept[name]) if name in seen and name in kept else value
            for name, value in {**given, **hidden}.items()
        }
    if isinstance(data, list) and isinstance(shown, list) and isinstance(stored, list):
        given, seen = cast("list[Any]", data), cast("list[Any]", shown)
        if len(given) == len(seen):
            return [_unhidden(*each) for each in zip(given, seen, cast("list[Any]", stored), strict=True)]
    return cast("Any", data)
