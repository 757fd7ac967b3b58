"""The details of one task as plain data, which the static HTML and the widget both draw.

All text has passed `visible`, is of bounded length, and still has to be escaped for HTML. URLs have been
checked (rule D5).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from ..._keys import display_path, idempotency_key
from ..._records.questions import KIND as QUESTION, Question, question_of, ways_to_answer
from ..._records.records import RunRecord, TaskRecord
from ..._records.status import TaskStatus
from ..._records.stops import stopped_after
from ..escape import safe_url, visible, visible_block
from ..model.displays import Display, ReadPicture, of_result, shown_by
from ..model.readable import error_line, value_text
from ..model.rows import Print, Property, Row, State
from ..model.run_model import RunModel
from ..pretty import preview
from ..words import duration, plural
from .displays import display_json
from .errors import ErrorData, Json, error_data, error_json
from .map_stats import spread_sentence
from .parts import answered, asked, by_state, error_shown_below, shown_reason, stopped_marks

_VALUE = 2000  # characters of a value's preview by default
_TEXT = 1000
_PROPERTIES = 40
_PRINTED = 20_000  # characters of printed text; the recorded text is bounded too


@dataclass(frozen=True, slots=True)
class JudgedProperty:
    """A property to display. An unsafe URL is part of the text and not a link."""

    label: str
    text: str
    url: str = ""
    image_url: str = ""


@dataclass(frozen=True, slots=True)
class AttemptData:
    """An attempt to display. Times are UTC seconds since the epoch, and 0 if they are not known."""

    number: int
    state: str
    began: float = 0.0
    took: float | None = None
    error: str = ""  # one line
    next_at: float = 0.0  # when the next attempt begins; 0 when it has begun, for the next line says when


@dataclass(frozen=True, slots=True)
class Section:
    """One section of the details: a label, and one of the other fields; `text` may follow a time."""

    label: str
    text: str = ""
    code: str = ""  # one line
    pre: str = ""  # several lines
    at: float = 0.0  # a time, in UTC seconds since the epoch
    error: ErrorData | None = None
    attempts: tuple[AttemptData, ...] = ()
    properties: tuple[JudgedProperty, ...] = ()
    prints: tuple[Print, ...] = ()  # the stream of a log line is its level
    display: Display | None = None
    form: Json | None = None  # of a question that a live display answers; elsewhere `code` says what to type

    @property
    def empty(self) -> bool:
        filled = self.text or self.code or self.pre or self.at or self.display
        return not (filled or self.error or self.attempts or self.properties or self.prints)


def sections(model: RunModel, row: Row, limit: int = _VALUE, *, pictures: bool = True) -> list[Section]:
    """The details of a task; `limit` bounds the length of each value's preview."""
    read = model.picture if pictures else None
    return [section for section in _sections(model, model.whole(row), limit, read) if not section.empty]


def output_sections(model: RunModel, limit: int = _VALUE) -> list[Section]:
    """The output of the run; none if it returned nothing."""
    run = model.run
    found = _output(run, value_text(run.form, run.output, run.redact, limit), limit, model.picture)
    return [section for section in found if not section.empty]


def _sections(model: RunModel, row: Row, limit: int, read: ReadPicture) -> Iterator[Section]:
    record = row.record
    if record is None:
        yield Section("Status", text=row.state)
        yield Section("Path", code=visible(row.display_path, 400))
        return
    yield from _errors(row)
    yield from _question(row, record)
    yield Section("Attempts", attempts=tuple(_attempts(row, record)))
    yield from _texts(row, record)
    yield from _values(record, limit, read)
    for display in shown_by(row, read):
        yield Section(display.label or "Shown", display=display)
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
        error = error_data(row.error, is_open=row.state is State.FAILED)
        yield Section("Last error" if row.state is State.RETRYING else "Error", error=error)


def _question(row: Row, record: TaskRecord) -> Iterator[Section]:
    """The question, its form while it waits, and the answer."""
    question = question_of(record)
    if question is None:
        return
    yield Section("Question", text=visible(question.prompt, _TEXT))
    yield Section("Refused", text=visible(question.refused, _TEXT))
    if asked(row):
        ways = [visible(code, 400) for _, code in ways_to_answer(record)]
        yield Section("Answer", pre="\n".join(ways), form=_form(question))
    elif row.state is State.COMPLETED and question.answer:
        at = question.answer.get("at")
        said = " · ".join(answered(record))
        yield Section("Answer", at=at if isinstance(at, (int, float)) else 0.0, text=said)


def _form(question: Question) -> Json:
    """The form of a question as JSON."""
    fields = [
        {name: value for name, value in each.items() if name in _OF_A_FIELD} for each in question.fields
    ]
    return {
        "asks": question.asks,
        "choices": [visible(each, 60) for each in question.choices],
        "fields": fields,
        "named": question.has_names,
    }


_OF_A_FIELD = ("name", "label", "kind", "required", "nullable", "choices", "default", "about", "limits")


def _texts(row: Row, record: TaskRecord) -> Iterator[Section]:
    """Text that is too long for the row, and the description."""
    if len(row.name) > 200 or "\n" in row.name:
        yield _value("Message" if record.kind == "log" else "Name", visible_block(row.name, 4000))
    yield Section("About", text=visible(record.description, _TEXT))


def _values(record: TaskRecord, limit: int, read: ReadPicture) -> Iterator[Section]:
    if record.params is not None:
        yield _value("Params", visible_block(preview(record.params, limit)))
    yield from _output(record, value_text(record.form, record.value, record.redact, limit), limit, read)
    if record.form == "unstored":
        yield Section("Not stored", text=_NOT_STORED)
    if record.data is not None and record.kind != QUESTION:
        yield _value("Data", visible_block(preview(record.data, limit)))


def _output(record: TaskRecord | RunRecord, text: str, limit: int, read: ReadPicture) -> Iterator[Section]:
    """The result: what is shown of it, else its text, and what is shown of its parts."""
    displays = of_result(record, read, limit)
    whole = next((each for each in displays if not each.label), None)
    if whole is None or record.form == "unstored":
        yield _value("Output", visible_block(text, 2 * limit))
    for display in displays:
        yield Section(f"Output {display.label}".rstrip(), display=display)


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
        yield Section("Durations", text=spread_sentence(row))
    if stopped_after(record):
        yield Section("Stopped", text=" · ".join(stopped_marks(row, record)))
    yield Section("Changed", text=_changed(row))
    if row.changed and row.replayed:
        yield Section("Take it as no change", code=visible(f"run.accept({row.display_path!r})", 400))
    diff = row.seen.diff if row.seen is not None else ""
    yield Section("Difference", pre=visible_block(diff, _DIFF))
    yield from _reused_from(record)
    if row.next_at is not None:
        label = "Next attempt" if row.state is State.RETRYING else "Waits until"
        yield Section(label, at=row.next_at)
    if row.state is State.LOG:
        yield Section("Level", text=visible(record.level, 20))
        yield Section("Logged", at=record.started_at)
        return
    if not record.started_at:
        return
    if record.by_hand is not None:
        yield Section("Set by hand", at=record.by_hand, text="by a person, with run.set_output(...)")
    took = row.duration(None)
    length = f"took {duration(took)}" if took is not None else ""
    yield Section("Started", at=record.started_at, text=length)
    if took is not None and record.ended_at is not None and took >= 60:
        yield Section("Ended", at=record.ended_at)


def _status(row: Row, record: TaskRecord) -> Iterator[str]:
    yield row.state
    if row.attempt > 1 or row.state is State.RETRYING:
        yield plural(row.attempt, "attempt")
    if (reason := shown_reason(row)) is not None:
        yield reason
    if row.by_hand is not None:
        yield "set by hand"
    if record.forced:
        yield "runs again in the next pass"
    if record.crashes:
        yield f"the process crashed {plural(record.crashes, 'time')} during this task"
    if record.status == TaskStatus.COMPLETED and record.error is not None:
        yield f"completed after the caller had received {error_line(record.error)}"


_DIFF = 10_000  # characters


def _reused_from(record: TaskRecord) -> Iterator[Section]:
    origin = record.reused_from
    if origin:
        where = f"run {origin.get('run')}, task {display_path(str(origin.get('path')))}"
        yield Section("Reused from", at=record.made_at, text=visible(where, 200))


def _changed(row: Row) -> str:
    if not row.changed:
        return ""
    then = "the stored result was reused" if row.replayed else "so the task ran again"
    return f"{visible(row.difference, 300)}, since the result was stored; {then}"


def _identity(model: RunModel, row: Row, record: TaskRecord) -> Iterator[Section]:
    if record.kind == "log":
        return
    yield Section("Path", code=visible(row.display_path, 400))
    yield Section("In code", code=visible(f"run.task({row.display_path!r})", 400))
    if "form" in record.given:
        yield Section("Call it in a cell", code=visible(f"run.task({row.display_path!r}).call()", 400))
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


# --- attempts -----------------------------------------------------------------------------------------
def _attempts(row: Row, record: TaskRecord) -> Iterator[AttemptData]:
    """The failed attempts, if they are kept, and the one that follows them."""
    number = 0
    for kept in record.attempts:
        number = int(_number(kept.get("number")) or 0)
        is_last = kept is record.attempts[-1] and number >= record.attempt
        yield AttemptData(
            number=number,
            state=State.FAILED,
            began=_number(kept.get("began")) or 0.0,
            took=_number(kept.get("took")),
            error=visible(error_line(kept).partition("\n")[0], 300),
            next_at=(_number(kept.get("next_at")) if is_last else None) or 0.0,
        )
    if record.attempts and number < record.attempt:
        began, ended = record.attempted_at, record.ended_at
        took = None if ended is None or not began else max(0.0, ended - began)
        yield AttemptData(record.attempt, row.state, began, took)


def _number(value: object) -> float | None:
    return value if isinstance(value, (int, float)) else None


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
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_LOGGED = re.compile(f"^(?=(?:{'|'.join(_LEVELS)}):)", re.MULTILINE)  # where a log record begins


def _prints(row: Row) -> Iterator[Print]:
    left = _PRINTED
    for stream, text, second in row.prints:
        if left <= 0:
            return
        if stream != "log":
            yield stream, text[:left], second
        for record in filter(None, _LOGGED.split(text[:left]) if stream == "log" else ()):
            level = record.partition(":")[0]
            yield level.lower() if level in _LEVELS else "log", record, second
        left -= len(text)


def length_of_picture(section: Section) -> int:
    """The number of characters of a section's picture."""
    picture = None if section.display is None else section.display.picture
    return 0 if picture is None else len(picture.url)


# --- JSON for the widget ------------------------------------------------------------------------------
def as_json(sections: Iterable[Section]) -> list[Json]:
    """The sections as JSON: each has its label and the field that is set."""
    return [_section_json(section) for section in sections]


def displays_json(model: RunModel) -> list[Json]:
    """The displays of the run's output; none if its text says it all."""
    run = model.run
    if not run.shown and not isinstance(run.output, (list, dict)):
        return []
    return as_json(section for section in output_sections(model) if section.display is not None)


def _section_json(section: Section) -> Json:
    fields: Json = {"label": section.label}
    if section.at:
        fields["at"] = section.at
    if section.error is not None:
        fields["error"] = error_json(section.error)
    elif section.form is not None:
        fields |= {"form": section.form, "code": section.code or section.pre}
    elif section.attempts:
        fields["attempts"] = [_attempt_json(each) for each in section.attempts]
    elif section.properties:
        fields["properties"] = [property_json(each) for each in section.properties]
    elif section.display is not None:
        fields["display"] = display_json(section.display)
    elif section.prints:
        fields["prints"] = [list(each) if each[2] else list(each[:2]) for each in section.prints]
    elif section.pre:
        fields["pre"] = section.pre
    elif section.code:
        fields["code"] = section.code
    elif section.text or not section.at:
        fields["text"] = section.text
    return fields


def _attempt_json(attempt: AttemptData) -> Json:
    given = {"at": attempt.began, "took": attempt.took, "error": attempt.error, "next": attempt.next_at}
    known = {name: value for name, value in given.items() if value or (value == 0.0 and name == "took")}
    return {"n": attempt.number, "state": str(attempt.state), **known}


def property_json(given: JudgedProperty) -> list[str]:
    """`[label, text, url, image_url]`, without empty fields at the end."""
    fields = [given.label, given.text, given.url, given.image_url]
    while len(fields) > 2 and not fields[-1]:
        fields.pop()
    return fields
