"""The differences between two runs, task by task."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Literal, NamedTuple, TypeAlias, overload

from .._fingerprint.fingerprints import differs
from .._keys import display_path, last_segment, parent_path
from .._records.records import RunRecord, TaskRecord
from .._records.status import RunStatus
from .._values.json_text import dumps_sorted
from .._view.escape import escaped, markup, visible
from .._view.model.differing import common, excerpts, pieces
from .._view.model.leaves import same_data
from .._view.model.readable import error_line, value_text
from .._view.pretty import preview
from .._view.render import tables
from .._view.words import duration, plural
from .whole_records import WholeRecords

Open: TypeAlias = Callable[[TaskRecord], TaskRecord]
What = Literal["only here", "only there", "status", "output", "error", "duration", "code", "params"]
# Two durations differ if one is more than twice the other, and longer by more than this many seconds.
_LONGER = 0.1
READ = 100_000  # characters of a value in which the difference is looked for
_SHOWN = 200  # characters of a value, an error or the like
ROWS = 50  # differences that are displayed
MARKS = ".tnb mark { background: color-mix(in srgb, var(--warn) 30%, transparent); color: inherit; }"


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference between the same task in two runs.

    `path` is the path of the task, or "" for the run itself. `what` is "only here", "only there", "status",
    "output", "error", "duration", "code" or "params". `here` and `there` describe both sides for a reader:
    of bounded length, redacted, and "" if there is nothing to describe. Of long texts they are the part that differs,
    with what is around it.
    """

    path: str
    what: What
    here: str = ""
    there: str = ""
    item: str = field(
        default="", repr=False, compare=False
    )  # the name of an item whose key means nothing to a reader

    @property
    def name(self) -> str:
        """The path, formatted for a reader; of an item whose key is a digest, with its name."""
        if self.item:
            return f"{display_path(parent_path(self.path))}/{self.item}"
        return display_path(self.path) if self.path else "the run itself"


class RunDiff(Sequence[Difference]):
    """The differences between two runs: a sequence of `Difference`, true if there are any; displayed as a table.

    `left_out` counts the differences in code and duration that were not asked for.
    """

    def __init__(
        self, here: str, there: str, differences: list[Difference], left_out: Counter[What] | None = None
    ) -> None:
        self.here = here  # ids of the runs
        self.there = there
        self.left_out: dict[What, int] = dict(left_out or {})
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
        rows = [_TITLES, *map(_cells, islice(self, ROWS))] if self else []
        table = tables.aligned(rows, tables.widths_of(rows, _WIDEST))
        return "\n".join([self._headline(), *table, *self._rest()])

    def _repr_html_(self) -> str:
        titles = (f"<th>{title}</th>" for title in _TITLES)
        table = tables.table(map(_html_row, islice(self, ROWS)), titles) if self else ""
        rest = map(tables.note, self._rest())
        return tables.block(tables.note(self._headline(), 400), table, *rest, style=MARKS)

    def _headline(self) -> str:
        tasks = len({each.path for each in self if each.path})
        if not self:
            found = "no difference"
        elif not tasks:
            found = "no task differs, only the run itself"
        else:
            found = f"{plural(tasks, 'task')} {'differs' if tasks == 1 else 'differ'}"
        return f"{visible(self.here, 60)} (here) and {visible(self.there, 60)} (there): {found}"

    def _rest(self) -> Iterator[str]:
        if len(self) > ROWS:
            yield f"… {plural(len(self) - ROWS, 'more difference')}: list(diff) has all of them"
        if self.left_out:
            counted = [f"{count:,} in {what}" for what, count in self.left_out.items()]
            options = ", ".join(f"{_OPTIONS[what]}=True" for what in self.left_out)
            yield f"differences left out: {' and '.join(counted)}; diff(other, {options}) shows them"


_OPTIONS: dict[What, str] = {"code": "code", "duration": "durations"}


class Side(NamedTuple):
    """One of two runs that are compared: its record, those of its tasks, and what reads their long values."""

    run: RunRecord
    tasks: Sequence[TaskRecord]
    whole: WholeRecords


def compare(here: Side, there: Side, *, with_durations: bool = False, with_code: bool = False) -> RunDiff:
    """The differences between two runs and their tasks, in the order of `here`; tasks only there come last.

    Log lines are not compared. Differences in durations and code are only counted unless they are asked for.
    """
    ours = {record.path: record for record in here.tasks if record.kind != "log"}
    theirs = {record.path: record for record in there.tasks if record.kind != "log"}
    read = here.whole.opened, there.whole.opened
    found = list(_between(_as_task(here.run), _as_task(there.run), *read))
    for path, record in ours.items():
        if path not in theirs:
            found.append(Difference(path, "only here", here=_status(record)))
            continue
        other = theirs[path]
        if record.is_apart or other.is_apart:
            record, other = here.whole.of(record), there.whole.of(other)  # noqa: PLW2901  # the whole record
        found += _between(record, other, *read)
    found += [
        Difference(path, "only there", there=_status(record))
        for path, record in theirs.items()
        if path not in ours
    ]
    names = {path: record.name for path, record in {**theirs, **ours}.items() if _is_digest(path)}
    found = [replace(each, item=names[each.path]) if each.path in names else each for each in found]
    wanted = {"duration": with_durations, "code": with_code}
    kept = [each for each in found if wanted.get(each.what, True)]
    left_out = Counter[What](each.what for each in found if not wanted.get(each.what, True))
    return RunDiff(here.run.id, there.run.id, kept, left_out)


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


def _is_digest(path: str) -> bool:
    return last_segment(path).startswith("~(#,")


def _between(a: TaskRecord, b: TaskRecord, open_here: Open, open_there: Open) -> Iterator[Difference]:
    path = a.path
    if a.status != b.status:
        yield Difference(path, "status", _status(a), _status(b))
    elif not same_value(a, b):
        yield Difference(path, "output", *excerpts(_output(open_here(a)), _output(open_there(b)), _SHOWN))
    elif type_and_message(a) != type_and_message(b):
        yield Difference(
            path, "error", *excerpts(error_line(a.error, READ), error_line(b.error, READ), _SHOWN)
        )
    if a.inputs and b.inputs and a.inputs != b.inputs:
        yield Difference(path, "params", *excerpts(_params(a), _params(b), _SHOWN))
    if differs(a.code, b.code):
        yield Difference(path, "code")
    if a.ended_at is not None and b.ended_at is not None:
        short, long = sorted((_seconds(a), _seconds(b)))
        if long > 2 * short and long - short > _LONGER:
            yield Difference(path, "duration", duration(_seconds(a)), duration(_seconds(b)))


def same_value(a: TaskRecord, b: TaskRecord) -> bool:
    """Whether two values are the same in their stored form; values in files are compared by their checksums."""
    abouts = [record.value["type"] if record.form == "unstored" else record.value for record in (a, b)]
    return a.form == b.form and same_data(*abouts)


def type_and_message(record: TaskRecord) -> tuple[object, object]:
    """What makes two errors equal."""
    error = record.error or {}
    return error.get("type"), error.get("message")


def _status(record: TaskRecord) -> str:
    error = error_line(record.error, _SHOWN)
    return f"{record.status} · {error}" if error else str(record.status)


def _output(record: TaskRecord) -> str:
    return _on_one_line(value_text(record.form, record.value, record.redact, READ)) or "None"


def _params(record: TaskRecord) -> str:
    params = record.params  # of a run: the preview of its payload
    return params if isinstance(params, str) else _on_one_line(preview(params, READ))


def _on_one_line(text: str) -> str:
    """JSON on one line; line breaks inside its strings are escaped already."""
    return re.sub(r"\n *", " ", text)


def _seconds(record: TaskRecord) -> float:
    return max(0.0, (record.ended_at or 0.0) - record.started_at)


# Display
_TITLES = ("Task", "Differs in", "Here", "There")
_WIDEST = 40  # columns of a cell in text


def _cells(each: Difference) -> tuple[str, ...]:
    here, there = excerpts(each.here, each.there, _WIDEST - 2)
    return tuple(visible(cell, _SHOWN) for cell in (each.name, each.what, here, there))


def _html_row(each: Difference) -> str:
    here, there = marked(each.here, each.there)
    values = "".join(f"<td>{f'<code>{side}</code>' if side else ''}</td>" for side in (here, there))
    return f"<tr><td><b>{markup(each.name)}</b></td><td>{markup(each.what)}</td>{values}</tr>"


def marked(here: str, there: str) -> tuple[str, str]:
    """Two texts as HTML, with the part marked in which they differ, unless that is all of them."""
    ends = common(here, there)
    return _marked(here, ends), _marked(there, ends)


def _marked(text: str, ends: tuple[int, int]) -> str:
    before, part, after = (escaped(visible(each, 2 * _SHOWN)) for each in pieces(text, *ends))
    return f"{before}<mark>{part}</mark>{after}" if part and (before or after) else f"{before}{part}{after}"
