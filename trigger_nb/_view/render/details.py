"""The details of one task as plain data, which the static HTML and the widget both draw.

All text has passed `visible`, is of bounded length, and still has to be escaped for HTML. URLs have been
checked (rule D5).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeAlias, cast

from ..._keys import idempotency_key
from ..._records.records import TaskRecord
from ..._records.status import TaskStatus
from ..escape import preview, safe_url, visible, visible_block
from ..model.readable import StoredError, error_line, value_text
from ..model.rows import Property, Row, State
from ..model.run_model import RunModel
from ..words import duration, moment, plural
from .text import by_state, error_shown_below, shown_reason

_VALUE = 2000  # characters of a value's preview by default
_TEXT = 1000
_PROPERTIES = 40
_PRINTED = 20_000  # characters of printed text; the recorded text is bounded too
_ERRORS = 30_000  # characters of an error with its causes, notes and members
_TRACEBACK = 6000
_NOTES = 10
_MEMBERS = 10
_CAUSES = 6
_DEPTH = 3
Json: TypeAlias = dict[str, Any]
"""A part of the details, as the widget gets it."""


@dataclass(frozen=True, slots=True)
class ErrorData:
    """An error to display. `causes` is the chain as Python shows it, with the nearest cause first."""

    line: str
    notes: tuple[str, ...] = ()
    traceback: str = ""
    causes: tuple[tuple[str, ErrorData], ...] = ()  # label and error
    members: tuple[ErrorData, ...] = ()
    more: int = 0  # number of members left out


@dataclass(frozen=True, slots=True)
class JudgedProperty:
    """A property to display. An unsafe URL is part of the text and not a link."""

    label: str
    text: str
    url: str = ""
    image_url: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """One section of the details: a label, and one of the other fields."""

    label: str
    text: str = ""
    code: str = ""  # one line
    pre: str = ""  # several lines
    error: ErrorData | None = None
    properties: tuple[JudgedProperty, ...] = ()
    prints: tuple[tuple[str, str], ...] = ()  # (stream, text), see `Row.prints`

    @property
    def empty(self) -> bool:
        return not (self.text or self.code or self.pre or self.error or self.properties or self.prints)


def sections(model: RunModel, row: Row, limit: int = _VALUE) -> list[Section]:
    """The details of a task; `limit` bounds the length of each value's preview."""
    return [section for section in _sections(model, model.whole(row), limit) if not section.empty]


def _sections(model: RunModel, row: Row, limit: int) -> Iterator[Section]:
    record = row.record
    if record is None:
        yield Section("Status", text=row.state)
        yield Section("Path", code=visible(row.display_path, 400))
        return
    yield from _errors(row)
    yield from _texts(row, record)
    yield from _values(record, limit)
    yield Section("Properties", properties=tuple(judged(row, _PROPERTIES)))
    yield Section("Printed", prints=tuple(_prints(row)))
    yield from _history(row, record)
    yield from _identity(model, row, record)


def _errors(row: Row) -> Iterator[Section]:
    if row.error is None:
        return
    if error_shown_below(row):
        yield Section("Error", text=f"{error_line(row.error)} (raised in a subtask; see its details)")
    else:
        yield Section("Last error" if row.state is State.RETRYING else "Error", error=error_data(row.error))


def _texts(row: Row, record: TaskRecord) -> Iterator[Section]:
    """Text that is too long for the row, and the description."""
    if len(row.name) > 200 or "\n" in row.name:
        yield _value("Message" if record.kind == "log" else "Name", visible_block(row.name, 4000))
    yield Section("About", text=visible(record.description, _TEXT))


def _values(record: TaskRecord, limit: int) -> Iterator[Section]:
    if record.params is not None:
        yield _value("Params", visible_block(preview(record.params, limit)))
    output = value_text(record.form, record.value, record.redact, limit)
    yield _value("Output", visible_block(output, 2 * limit))
    if record.form == "unstored":
        yield Section("Not stored", text=_NOT_STORED)
    if record.data is not None:
        yield _value("Data", visible_block(preview(record.data, limit)))


_NOT_STORED = (
    "The task is completed and does not run again, but a new kernel will not have its value. To store the "
    "value, return plain data from the task (response.json() instead of the response) or register a codec "
    "with register_codec. With repeatable=True, the task runs again when its value is missing."
)


def _history(row: Row, record: TaskRecord) -> Iterator[Section]:
    if row.state is not State.LOG:
        yield Section("Status", text=" · ".join(dict.fromkeys(_status(row, record))))
    if row.children and row.tally:
        yield Section("Inside", text=by_state(row.tally))
    yield Section("Changed", text=_changed(row))
    if row.next_at is not None:
        label = "Next attempt" if row.state is State.RETRYING else "Waits until"
        yield Section(label, text=moment(row.next_at))
    if row.state is State.LOG:
        yield Section("Logged", text=moment(record.started_at) if record.started_at else "")
        return
    if not record.started_at:
        return
    took = row.duration(None)
    length = f" · took {duration(took)}" if took is not None else ""
    yield Section("Started", text=moment(record.started_at) + length)
    if took is not None and record.ended_at is not None and took >= 60:
        yield Section("Ended", text=moment(record.ended_at))


def _status(row: Row, record: TaskRecord) -> Iterator[str]:
    yield row.state
    if row.attempt > 1 or row.state is State.RETRYING:
        yield plural(row.attempt, "attempt")
    if (reason := shown_reason(row)) is not None:
        yield reason
    if record.forced:
        yield "runs again in the next pass"
    if record.crashes:
        yield f"the process crashed {plural(record.crashes, 'time')} during this task"
    if record.status == TaskStatus.COMPLETED and record.error is not None:
        yield f"completed after the caller had received {error_line(record.error)}"


def _changed(row: Row) -> str:
    if not row.changed:
        return ""
    then = "the stored result was reused" if row.replayed else "so the task ran again"
    return f"{visible(row.changed, 100)}, since the result was stored; {then}"


def _identity(model: RunModel, row: Row, record: TaskRecord) -> Iterator[Section]:
    if record.kind == "log":
        return
    yield Section("Path", code=visible(row.display_path, 400))
    if record.executor:
        yield Section("Executor", text=visible(record.executor, 100))
    if record.kind == "task":
        key = idempotency_key(model.run.id, row.path, record.generation)  # which the body gets (I6)
        yield Section("Idempotency key", code=key)
    if record.generation:
        times = plural(record.generation, "time")
        yield Section("Generation", text=f"{record.generation} (the result was discarded on request {times})")


def _value(label: str, text: str) -> Section:
    return Section(label, pre=text) if "\n" in text else Section(label, code=text)


# --- properties ---------------------------------------------------------------------------------------
def judged(row: Row, limit: int) -> Iterator[JudgedProperty]:
    """The first `limit` properties: those of the task itself, then those of its output."""
    for given in islice((*row.properties, *row.output_properties), limit):
        yield _judged(given)


def _judged(given: Property) -> JudgedProperty:
    url, image = safe_url(given.url), safe_url(given.image_url)
    text = visible(given.text, 120)
    if given.url and url is None:
        text += f" ({visible(given.url, 120)})"
    if image is not None and image.lower().startswith("mailto:"):
        image = None
    return JudgedProperty(visible(given.label, 60), text, url or "", image or "")


# --- printed text -------------------------------------------------------------------------------------
def _prints(row: Row) -> Iterator[tuple[str, str]]:
    left = _PRINTED
    for stream, text in row.prints:
        if left <= 0:
            return
        yield stream, text[:left]
        left -= len(text)


# --- errors -------------------------------------------------------------------------------------------
def error_data(error: StoredError) -> ErrorData:
    """A stored error with its notes, traceback, causes and members; fields may be missing."""
    return _Errors().read(error)


class _Errors:
    """Reads one error with its causes and members, with one size limit for all of them."""

    def __init__(self) -> None:
        self._left = _ERRORS

    def read(self, error: StoredError, depth: int = 0) -> ErrorData:
        alone = self._alone(error)
        causes = tuple((label, self._alone(cause)) for label, cause in _chain(error))
        found = _mappings(error.get("errors"))
        members: list[ErrorData] = []
        for member in found[:_MEMBERS]:
            if depth == _DEPTH or self._left <= 0:
                break
            members.append(self.read(member, depth + 1))
        more = len(found) - len(members) + _count(error.get("errors_left"))
        return ErrorData(alone.line, alone.notes, alone.traceback, causes, tuple(members), more)

    def _alone(self, error: StoredError) -> ErrorData:
        line = error_line(error, 2000)
        shown = error.get("shown")
        notes = cast("StoredError", shown if isinstance(shown, dict) else error).get("notes")
        said = tuple(visible_block(note, _TEXT) for note in _list(notes)[:_NOTES])
        self._left -= len(line) + sum(map(len, said))
        frames = "\n".join(str(frame).rstrip("\n") for frame in _list(error.get("traceback"))[-200:])
        traceback = visible_block(frames[-min(_TRACEBACK, self._left) :]) if self._left > 0 else ""
        self._left -= len(traceback)
        return ErrorData(line, said, traceback)


def _chain(error: StoredError) -> Iterator[tuple[str, StoredError]]:
    """The chain of causes as Python shows it: `raise ... from None` hides the context."""
    for _ in range(_CAUSES):
        context = None if error.get("suppress_context") else error.get("context")
        for label, inner in (("Caused by", error.get("cause")), ("While handling", context)):
            if isinstance(inner, dict):
                error = cast("StoredError", inner)
                yield label, error
                break
        else:
            return


def _list(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else []


def _mappings(value: object) -> list[StoredError]:
    return [cast("StoredError", each) for each in _list(value) if isinstance(each, dict)]


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0


# --- JSON for the widget ------------------------------------------------------------------------------
def as_json(sections: Iterable[Section]) -> list[Json]:
    """The sections as JSON: each has its label and the field that is set."""
    return [_section_json(section) for section in sections]


def _section_json(section: Section) -> Json:
    fields: Json = {"label": section.label}
    if section.error is not None:
        fields["error"] = error_json(section.error)
    elif section.properties:
        fields["properties"] = [property_json(each) for each in section.properties]
    elif section.prints:
        fields["prints"] = [list(each) for each in section.prints]
    elif section.pre:
        fields["pre"] = section.pre
    elif section.code:
        fields["code"] = section.code
    else:
        fields["text"] = section.text
    return fields


def property_json(given: JudgedProperty) -> list[str]:
    """`[label, text, url, image_url]`, without empty fields at the end."""
    fields = [given.label, given.text, given.url, given.image_url]
    while len(fields) > 2 and not fields[-1]:
        fields.pop()
    return fields


def error_json(error: ErrorData) -> Json:
    return {
        "line": error.line,
        "notes": list(error.notes),
        "traceback": error.traceback,
        "causes": [[label, error_json(cause)] for label, cause in error.causes],
        "members": [error_json(member) for member in error.members],
        "more": error.more,
    }
