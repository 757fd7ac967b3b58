"""The differences between two runs, task by task."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, overload

from .._fingerprint.fingerprints import differs
from .._keys import display_path
from .._records.records import RunRecord, TaskRecord
from .._records.status import RunStatus
from .._values.json_text import dumps_sorted
from .._view.escape import markup, visible
from .._view.model.readable import error_line, value_text
from .._view.pretty import preview
from .._view.render import tables
from .._view.words import duration, plural

What = Literal["only here", "only there", "status", "output", "error", "duration", "code", "params"]
# Two durations differ if one is more than twice the other, and longer by more than this many seconds.
_LONGER = 0.1
_SHOWN = 200  # characters of a value, an error or the like


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference between the same task in two runs.

    `path` is the path of the task, or "" for the run itself. `what` is "only here", "only there", "status",
    "output", "error", "duration", "code" or "params". `here` and `there` describe both sides for a reader:
    of bounded length, redacted, and "" if there is nothing to describe.
    """

    path: str
    what: What
    here: str = ""
    there: str = ""

    @property
    def name(self) -> str:
        """The path, formatted for a reader."""
        return display_path(self.path) if self.path else "the run itself"


class RunDiff(Sequence[Difference]):
    """The differences between two runs: a sequence of `Difference`, true if there are any; displayed as a table."""

    def __init__(self, here: str, there: str, differences: list[Difference]) -> None:
        self.here = here  # ids of the runs
        self.there = there
        self._differences = differences

    @overload
    def __getitem__(self, index: int) -> Difference: ...
    @overload
    def __getitem__(self, index: slice) -> list[Difference]: ...
    def __getitem__(self, index: int | slice) -> Difference | list[Difference]:
        return self._differences[index]

    def __len__(self) -> int:
        return len(self._differences)

    def __repr__(self) -> str:
        rows = [_TITLES, *map(_cells, self)] if self else []
        return "\n".join([self._headline(), *tables.aligned(rows, tables.widths_of(rows, _WIDEST))])

    def _repr_html_(self) -> str:
        titles = (f"<th>{title}</th>" for title in _TITLES)
        table = tables.table(map(_html_row, self), titles) if self else ""
        return tables.block(tables.note(self._headline(), 400), table)

    def _headline(self) -> str:
        tasks = len({each.path for each in self if each.path})
        if not self:
            found = "no difference"
        elif not tasks:
            found = "no task differs, only the run itself"
        else:
            found = f"{plural(tasks, 'task')} {'differs' if tasks == 1 else 'differ'}"
        return f"{visible(self.here, 60)} (here) and {visible(self.there, 60)} (there): {found}"


Whole: TypeAlias = Callable[[TaskRecord], TaskRecord]


def compare(
    here: RunRecord,
    mine: Iterable[TaskRecord],
    there: RunRecord,
    others: Iterable[TaskRecord],
    *,
    read_here: Whole,
    read_there: Whole,
) -> RunDiff:
    """The differences between two runs and their tasks, in the order of `mine`; tasks only there come last.

    Log lines are not compared. `read_here` and `read_there` load a record with its value if the value is long.
    """
    ours = {record.path: record for record in mine if record.kind != "log"}
    theirs = {record.path: record for record in others if record.kind != "log"}
    found = list(_between(_as_task(here), _as_task(there)))
    for path, record in ours.items():
        if path in theirs:
            other = theirs[path]
            if record.is_apart or other.is_apart:
                record, other = read_here(record), read_there(other)  # noqa: PLW2901  # the whole record
            found += _between(record, other)
        else:
            found.append(Difference(path, "only here", here=_status(record)))
    found += [
        Difference(path, "only there", there=_status(record))
        for path, record in theirs.items()
        if path not in ours
    ]
    return RunDiff(here.id, there.id, found)


def _as_task(run: RunRecord) -> TaskRecord:
    """The run as a task record, for comparing. Without a duration, which depends on the replayed tasks."""
    completed = run.last_ending == RunStatus.COMPLETED
    return TaskRecord(
        path="",
        status=run.status,
        error=run.error,
        code=run.code,
        redact=run.redact,
        form=run.form if completed else "",
        value=run.output if completed else None,
        inputs=dumps_sorted([run.payload_form, run.payload]),
        params=run.payload_preview,
    )


def _between(a: TaskRecord, b: TaskRecord) -> Iterator[Difference]:
    path = a.path
    if a.status != b.status:
        yield Difference(path, "status", _status(a), _status(b))
    elif _stored(a) != _stored(b):
        yield Difference(path, "output", _output(a), _output(b))
    elif _type_and_message(a) != _type_and_message(b):
        yield Difference(path, "error", error_line(a.error, _SHOWN), error_line(b.error, _SHOWN))
    if a.inputs and b.inputs and a.inputs != b.inputs:
        yield Difference(path, "params", _params(a), _params(b))
    if differs(a.code, b.code):
        yield Difference(path, "code")
    if a.ended_at is not None and b.ended_at is not None:
        short, long = sorted((_seconds(a), _seconds(b)))
        if long > 2 * short and long - short > _LONGER:
            yield Difference(path, "duration", duration(_seconds(a)), duration(_seconds(b)))


def _stored(record: TaskRecord) -> str:
    """The value in its stored form; a value in a file is compared by its checksum."""
    about = record.value["type"] if record.form == "unstored" else record.value
    return dumps_sorted([record.form, about])


def _type_and_message(record: TaskRecord) -> tuple[object, object]:
    error = record.error or {}
    return error.get("type"), error.get("message")


def _status(record: TaskRecord) -> str:
    error = error_line(record.error, _SHOWN)
    return f"{record.status} · {error}" if error else str(record.status)


def _output(record: TaskRecord) -> str:
    return _on_one_line(value_text(record.form, record.value, record.redact, _SHOWN)) or "None"


def _params(record: TaskRecord) -> str:
    params = record.params  # of a run: the preview of its payload
    return params if isinstance(params, str) else _on_one_line(preview(params, _SHOWN))


def _on_one_line(text: str) -> str:
    """JSON on one line; line breaks inside its strings are escaped already."""
    return re.sub(r"\n *", " ", text)


def _seconds(record: TaskRecord) -> float:
    return max(0.0, (record.ended_at or 0.0) - record.started_at)


# Display
_TITLES = ("Task", "Differs in", "Here", "There")
_WIDEST = 40  # columns of a cell in text


def _cells(each: Difference) -> tuple[str, ...]:
    return tuple(visible(cell, _SHOWN) for cell in (each.name, each.what, each.here, each.there))


def _html_row(each: Difference) -> str:
    name, kind, *sides = (markup(cell, _SHOWN) for cell in (each.name, each.what, each.here, each.there))
    values = "".join(f"<td>{f'<code>{side}</code>' if side else ''}</td>" for side in sides)
    return f"<tr><td><b>{name}</b></td><td>{kind}</td>{values}</tr>"
