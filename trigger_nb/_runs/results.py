"""`run.results`: what became of the items of a map, or of other tasks, as a sequence and as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple, overload

from .. import _values
from .._keys import display_key, display_path, last_segment
from .._records.records import TaskRecord
from .._records.status import TaskStatus
from .._view.escape import escaped, markup, visible
from .._view.model.alike import Kind, kind_line, kind_of
from .._view.model.leaves import WHOLE, leaves
from .._view.model.readable import error_line, value_text
from .._view.render import tables
from .._view.words import duration, plural
from ..errors import InputsNotKeptError
from .frames import flattened, make_frame
from .runtime import Runtime
from .task_info import ReusedFrom, TaskInfo, output_of, reused_from
from .task_inputs import inputs_of
from .whole_records import WholeRecords

SHOWN = 20  # results that are displayed
FIELDS = 8  # fields of outputs that are displayed
CELL = 120  # characters of a displayed field
_ERRORS = 5  # kinds of errors that are displayed
_WIDEST = 40  # columns of a cell in text
_TITLES = {"name": "Item", "status": "Status", "error": "Error", "attempts": "Attempts", "seconds": "Took"}


class Source:
    """The run that results are read from."""

    def __init__(
        self,
        runtime: Runtime,
        run_id: str,
        records: Sequence[TaskRecord],
        info: Callable[[TaskRecord], TaskInfo],
    ) -> None:
        self.runtime = runtime
        self.run_id = run_id
        self.info = info
        self.whole = WholeRecords(runtime, run_id, records)


class Result:
    """What became of one item. Its output, error and input are read when they are asked for.

    - `key`, `name`: the item's key, and what is shown of it: its name, or else its key.
    - `status`, `attempts`: as of a task; `seconds`: from the first start to the end, None before the end.
    - `reused`: whether the result was taken over from another run; `reused_from` says from which.
    """

    def __init__(self, source: Source, record: TaskRecord) -> None:
        self._source = source
        self._record = record
        self.key = record.display_key or display_key(last_segment(record.path))
        self.name = record.name or self.key
        self.status = TaskStatus(record.status)
        self.attempts = record.attempt
        self.seconds = None if record.ended_at is None else max(0.0, record.ended_at - record.started_at)
        self.reused = bool(record.reused_from)

    @property
    def output(self) -> Any:
        """The stored result; None if there is none. Raises `ValueNotLoadedError` or `StoreError` if it cannot be read."""
        if self.status != TaskStatus.COMPLETED:
            return None
        source = self._source
        return output_of(source.runtime, source.run_id, source.whole.of(self._record))

    @property
    def error(self) -> BaseException | None:
        """The error of a failed item, or of its last attempt; None if it is completed."""
        record = self._record
        return None if self.error_text is None else _values.error_or_stand_in(record.error or {})

    @property
    def input(self) -> Any:
        """The item that the body was called with, if its arguments were kept, else None. Of several arguments, a tuple.

        Those of failed items are kept; with `keep_inputs=True`, those of all.
        """
        try:
            inputs = inputs_of(self._source.runtime, self._source.run_id, self._record)
        except InputsNotKeptError:
            return None
        if inputs.kwargs:
            return inputs.kwargs
        return inputs.args[0] if len(inputs.args) == 1 else inputs.args

    @property
    def reused_from(self) -> ReusedFrom | None:
        """The run and the task that the result was taken over from, and when its body had ended; None if it is its own."""
        return reused_from(self._record)

    @property
    def task(self) -> TaskInfo:
        """The task itself, as `run.task(path)` gives it, with `call()`, `prints` and more."""
        return self._source.info(self._record)

    def __repr__(self) -> str:
        shown = self.error_text or _output_text(self._source.whole.of(self._record))
        return (
            f"<result {visible(self.name, 60)!r}: {self.status}{f', {visible(shown, 200)}' if shown else ''}>"
        )

    @property
    def error_text(self) -> str | None:
        """The error in one line, without redacted parts; None if there is none."""
        record = self._record
        if record.error is None or record.status == TaskStatus.COMPLETED:
            return None
        return error_line(record.error, 300)


class SameErrors(NamedTuple):
    """Results that ended in equal errors: their class and what their messages have in common, and the results."""

    error: str
    results: Results


class Results(Sequence[Result]):
    """Results in the order in which the tasks first started. A slice is one of these, too.

    A notebook shows the first ones as a table, `print` as text; `to_frame()` makes a DataFrame of all of them.
    """

    def __init__(self, source: Source, records: Sequence[TaskRecord], label: str) -> None:
        self._source = source
        self._records = records
        self._label = label  # what they are results of

    @overload
    def __getitem__(self, index: int) -> Result: ...
    @overload
    def __getitem__(self, index: slice) -> Results: ...
    def __getitem__(self, index: int | slice) -> Result | Results:
        if isinstance(index, slice):
            return self._only(self._records[index])
        return Result(self._source, self._records[index])

    def __len__(self) -> int:
        return len(self._records)

    @property
    def failed(self) -> Results:
        """Those that have failed."""
        return self._only([record for record in self._records if record.status == TaskStatus.ERRORED])

    @property
    def errors(self) -> list[SameErrors]:
        """The failed ones by their errors, the most frequent first.

        Errors count as equal if they differ only in what they name: "no user 17" and "no user 4".
        """
        kinds: dict[Kind, list[TaskRecord]] = {}
        for record in self.failed._records:
            kinds.setdefault(kind_of(record.error or {}), []).append(record)
        by_count = sorted(kinds.items(), key=lambda each: -len(each[1]))
        return [SameErrors(_told_of(kind, records), self._only(records)) for kind, records in by_count]

    def to_frame(self, library: str | None = None) -> Any:
        """A DataFrame with a row for each result, of pandas if it is installed, else of polars; or of `library`.

        The columns are key, name, status, attempts, seconds, reused and error; `input`, if arguments were kept; and the
        outputs: dicts, models, dataclasses and named tuples with a column for each field, such as `usage.tokens`, other
        values in a column `output`. A field that has the name of one of these columns is `output.status`.

        Raises `MissingExtraError`, `InvalidOptionError` for another library, and as `Result.output`.
        """
        listed = list(self)
        columns: dict[str, list[Any]] = {
            "key": [each.key for each in listed],
            "name": [each.name for each in listed],
            "status": [str(each.status) for each in listed],
            "attempts": [each.attempts for each in listed],
            "seconds": [each.seconds for each in listed],
            "reused": [each.reused for each in listed],
            "error": [each.error_text for each in listed],
        }
        inputs = [each.input for each in listed]
        if any(each is not None for each in inputs):
            given = flattened(inputs, "input")
            columns |= {
                name if name == "input" else f"input.{name}": values for name, values in given.items()
            }
        outputs = flattened((_or_none(each.output) for each in listed), "output", columns)
        return make_frame({**columns, **outputs}, library)

    # Display ----------------------------------------------------------------------------------

    def __repr__(self) -> str:
        lines = [self._headline(), *(f"  {line}" for line in self._errors_told())]
        columns, rows = self._table()
        if rows:
            cells = [
                tuple(columns.values()),
                *([visible(row.get(name, ""), CELL) for name in columns] for row in rows),
            ]
            lines += tables.aligned(cells, tables.widths_of(cells, _WIDEST))
        return "\n".join([*lines, *([self._rest()] if self._rest() else [])])

    def _repr_html_(self) -> str:
        columns, rows = self._table()
        titles = (f"<th>{markup(title, 60)}</th>" for title in columns.values())
        parts = [tables.note(self._headline()), *map(tables.note, self._errors_told())]
        if rows:
            parts.append(tables.table((_html_row(row, columns) for row in rows), titles))
        return tables.block(*parts, tables.note(self._rest()) if self._rest() else "")

    def _headline(self) -> str:
        counts = Counter(_STATES.get(record.status, record.status.lower()) for record in self._records)
        counted = ", ".join(f"{count:,} {state}" for state, count in counts.most_common())
        reused = sum(bool(record.reused_from) for record in self._records)
        more = f", {reused:,} of them reused from other runs" if reused else ""
        return f"{plural(len(self), 'result')} of {self._label}{': ' if counted else ''}{counted}{more}"

    def _errors_told(self) -> list[str]:
        groups = self.errors
        lines = [f"{len(each.results):,} × {each.error}" for each in groups[:_ERRORS]]
        more = len(groups) - _ERRORS
        return [*lines, f"and {plural(more, 'other error')}"] if more > 0 else lines

    def _rest(self) -> str:
        more = len(self) - SHOWN
        return f"… {more:,} more: to_frame() has all of them" if more > 0 else ""

    def _table(self) -> tuple[dict[str, str], list[dict[str, str]]]:
        """The titles of the columns by name, and the rows that are displayed, of text by the column's name."""
        rows: list[dict[str, str]] = []
        fields: dict[str, str] = {}
        for record in islice(self._records, SHOWN):
            shown = _shown_fields(self._source, record)
            fields |= {f".{name}": name or "Output" for name in shown}
            rows.append(
                {
                    **{f".{name}": text for name, text in shown.items()},
                    **_told_row(Result(self._source, record)),
                }
            )
        fields = dict(islice(fields.items(), FIELDS))
        kept = [name for name in ("error", "attempts") if any(row[name] not in ("", "1") for row in rows)]
        names = ["name", "status", *fields, *kept, "seconds"]
        return {name: fields.get(name) or _TITLES[name] for name in names}, rows

    def _only(self, records: Sequence[TaskRecord]) -> Results:
        return Results(self._source, records, self._label)


_STATES: dict[str, str] = {TaskStatus.ERRORED: "failed"}


def label_of(paths: Sequence[str]) -> str:
    """What results of these paths are called: "embed", "embed and 2 more", "the run"."""
    if not paths:
        return "the run"
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return f"{visible(display_path(paths[0]), 80)}{more}"


def _shown_fields(source: Source, record: TaskRecord) -> dict[str, str]:
    if record.status != TaskStatus.COMPLETED:
        return {}
    whole = source.whole.of(record)
    found = leaves(whole.form, whole.value, whole.redact)
    if not found:
        return {WHOLE: _output_text(whole)}
    return {name: leaf.text(CELL) for name, leaf in found.items()}


def _told_row(result: Result) -> dict[str, str]:
    return {
        "name": result.name,
        "status": _STATES.get(result.status, result.status.lower()),
        "error": result.error_text or "",
        "attempts": str(result.attempts),
        "seconds": "" if result.seconds is None else duration(result.seconds),
    }


def _html_row(row: dict[str, str], columns: dict[str, str]) -> str:
    cells: Iterator[str] = (
        f"<td>{f'<b>{markup(row[name], CELL)}</b>' if name == 'name' else escaped(visible(row.get(name, ''), CELL))}</td>"
        for name in columns
    )
    return f"<tr>{''.join(cells)}</tr>"


def _output_text(record: TaskRecord) -> str:
    return " ".join(value_text(record.form, record.value, record.redact, CELL).split())


def _told_of(kind: Kind, records: Sequence[TaskRecord]) -> str:
    """What the errors of a kind say: the message itself if all have the same."""
    lines = {error_line(record.error, 300) for record in records}
    return lines.pop() if len(lines) == 1 else kind_line(kind)


def _or_none(output: Any) -> Any:
    """The output; None in place of one that could not be stored."""
    return None if isinstance(output, _values.Unstored) else output
