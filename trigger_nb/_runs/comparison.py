"""`run.compare`: the same items of two runs side by side, and how their labels are distributed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple, overload

from .._keys import last_segment
from .._records.records import TaskRecord
from .._records.status import TaskStatus
from .._view.escape import escaped, markup, visible
from .._view.model.differing import excerpts
from .._view.model.leaves import Leaf, leaves, same_data
from .._view.model.readable import error_line, value_text
from .._view.render import tables
from .._view.words import plural
from ..errors import InvalidOptionError
from .diff import MARKS, READ, marked, same_value, type_and_message
from .frames import flattened, make_frame
from .results import Result, Source

SHOWN = 20  # items that are displayed
_TEXT = 200  # characters of a displayed value
_LABELS = 20  # different values of a field up to which they count as labels, ...
_LABEL = 60  # ... and characters of each
_FIELDS = 4  # fields whose labels or means are displayed
_MOVES = 6
_WIDEST = 40  # columns of a cell in text
OUTPUT = "output"  # the name of the field for outputs without fields
_MISSING = Leaf(None)


class FieldDifference(NamedTuple):
    """A field in which an item differs: "status", "error", "output", or a field of the output; and both sides as text."""

    field: str
    here: str
    there: str


class Pair:
    """An item that differs in two runs: `here` and `there` are its results, None in the run that does not have it.

    `differences` tells in which fields, with both sides as text: bounded, redacted, and of long texts the part that
    differs. It is empty for an item that only one of the runs has.
    """

    def __init__(
        self, here: Result | None, there: Result | None, differences: Sequence[FieldDifference]
    ) -> None:
        self.here = here
        self.there = there
        self.differences = list(differences)
        shown = here or there
        self.key = "" if shown is None else shown.key
        self.name = "" if shown is None else shown.name

    def __repr__(self) -> str:
        where = "only there" if self.here is None else "only here" if self.there is None else ""
        told = where or ", ".join(f"{each.field}: {each.here} | {each.there}" for each in self.differences)
        return f"<{visible(self.name, 60)!r}: {visible(told, _TEXT)}>"


class Labels(NamedTuple):
    """How often each value of a field is there, and how many items have one value here and another one there."""

    here: dict[str, int]
    there: dict[str, int]
    moved: dict[tuple[str, str], int]


class Means(NamedTuple):
    """The mean of the numbers in a field, in both runs."""

    here: float
    there: float


class Side(NamedTuple):
    """One of the runs: where its results are read from, and the records of the items."""

    source: Source
    records: Sequence[TaskRecord]


class Comparison(Sequence[Pair]):
    """The items that differ, in the order of this run ("here"); those that only the other one ("there") has come last.

    - `labels`: for each field with a few different values, `here` and `there`: how often each is there, and `moved`:
      by pair of values, how many items have one here and the other one there.
    - `means`: for each field with other numbers, the mean `here` and `there`.
    - `items`: the number of items that both runs have; `only_here` and `only_there`: those that one has.

    True if any item differs. Displayed as a table of the first ones; `to_frame()` has all.
    """

    def __init__(self, here: Side, there: Side, path: str, fields: Sequence[str] | None) -> None:
        self.here = here.source.run_id  # ids of the runs
        self.there = there.source.run_id
        self.labels: dict[str, Labels] = {}
        self.means: dict[str, Means] = {}
        self.items = self.only_here = self.only_there = 0
        self._path = path
        self._fields = fields
        self._pairs = list(self._compared(here, there))

    @overload
    def __getitem__(self, index: int) -> Pair: ...
    @overload
    def __getitem__(self, index: slice) -> list[Pair]: ...
    def __getitem__(self, index: int | slice) -> Pair | list[Pair]:
        return self._pairs[index]

    def __len__(self) -> int:
        return len(self._pairs)

    def to_frame(self, library: str | None = None) -> Any:
        """A DataFrame with a row for each item that differs, of pandas if it is installed, else of polars; or of `library`.

        The columns are key, name and "differs in"; and for the status, the error and each compared field of the outputs
        one for each run, such as "label here" and "label there".

        Raises `MissingExtraError`, `InvalidOptionError` for another library, and as `Result.output`.
        """
        columns: dict[str, list[Any]] = {
            "key": [pair.key for pair in self],
            "name": [pair.name for pair in self],
            "differs in": [_where(pair) for pair in self],
        }
        sides = {"here": [pair.here for pair in self], "there": [pair.there for pair in self]}
        fields: dict[str, dict[str, list[Any]]] = {}
        for side, results in sides.items():
            columns[f"status {side}"] = [None if each is None else str(each.status) for each in results]
            columns[f"error {side}"] = [None if each is None else each.error_text for each in results]
            outputs = flattened((None if each is None else each.output for each in results), OUTPUT)
            for name, values in outputs.items():
                if self._fields is None or name in self._fields:
                    fields.setdefault(name, {})[side] = values
        nothing = [None] * len(self)
        for name, by_side in fields.items():
            columns |= {f"{name} {side}": by_side.get(side, nothing) for side in sides}
        return make_frame(columns, library)

    # Comparing --------------------------------------------------------------------------------

    def _compared(self, here: Side, there: Side) -> Iterator[Pair]:
        theirs = {last_segment(record.path): record for record in there.records}
        ours = {last_segment(record.path) for record in here.records}
        counts: dict[str, _Count] = {}
        known: dict[str, None] = {}
        for record in here.records:
            other = theirs.get(last_segment(record.path))
            if other is None:
                self.only_here += 1
                yield Pair(Result(here.source, record), None, [])
                continue
            self.items += 1
            found = self._between(
                here.source.whole.opened(record), there.source.whole.opened(other), counts, known
            )
            if found:
                yield Pair(Result(here.source, record), Result(there.source, other), found)
        for segment, record in theirs.items():
            if segment not in ours:
                self.only_there += 1
                yield Pair(None, Result(there.source, record), [])
        self._check_fields(known)
        for name, count in counts.items():
            count.tell(name, self.labels, self.means)

    def _between(
        self, a: TaskRecord, b: TaskRecord, counts: dict[str, _Count], known: dict[str, None]
    ) -> list[FieldDifference]:
        """In what an item differs. Its fields are counted, also if they are the same."""
        found: list[FieldDifference] = []
        if a.status != b.status:
            found.append(FieldDifference("status", *map(_status_text, (a, b))))
        elif type_and_message(a) != type_and_message(b):
            texts = [error_line(each.error, READ) for each in (a, b)]
            found.append(FieldDifference("error", *excerpts(texts[0], texts[1], _TEXT)))
        mine, other = _leaves(a), _leaves(b)
        shown = (_leaves(a, a.redact) if a.redact else mine), (_leaves(b, b.redact) if b.redact else other)
        both_completed = a.status == b.status == TaskStatus.COMPLETED
        has_leaves = bool(mine or other)
        for name in {**mine, **other}:
            field = name or OUTPUT
            known[field] = None
            if self._fields is not None and field not in self._fields:
                continue
            leaf, their = mine.get(name), other.get(name)
            texts = [side.get(name, _MISSING) for side in shown]
            counts.setdefault(field, _Count()).add(
                (leaf and texts[0]) if a.status == TaskStatus.COMPLETED else None,
                (their and texts[1]) if b.status == TaskStatus.COMPLETED else None,
            )
            if both_completed and not (leaf and their and same_data(leaf.data, their.data)):
                told = excerpts(_told(leaf, texts[0]), _told(their, texts[1]), _TEXT)
                found.append(FieldDifference(field, *told))
        if both_completed and not has_leaves and not same_value(a, b) and self._fields is None:
            found.append(
                FieldDifference(
                    OUTPUT, *(value_text(each.form, each.value, each.redact, _TEXT) for each in (a, b))
                )
            )
        return found

    def _check_fields(self, known: Iterable[str]) -> None:
        unknown = [name for name in self._fields or () if name not in known]
        if unknown and self.items:
            there_is = ", ".join(map(repr, islice(known, 20))) or "no output that has fields"
            raise InvalidOptionError(
                f"no output of {self._path!r} has the field {unknown[0]!r}; there is {there_is}"
            )

    # Display ----------------------------------------------------------------------------------

    def __repr__(self) -> str:
        lines = [self._headline()]
        for name, rows in self._counted():
            cells = [(name, "here", "there", ""), *rows]
            lines += ["", *tables.aligned(cells, tables.widths_of(cells, _WIDEST))]
        if rows := [(each, *_short(here, there)) for each, here, there in self._rows()]:
            cells = [_TITLES, *((*map(_text, each), here, there) for each, here, there in rows)]
            lines += ["", *tables.aligned(cells, tables.widths_of(cells, _WIDEST))]
        return "\n".join([*lines, *self._rest()])

    def _repr_html_(self) -> str:
        parts = [tables.note(self._headline(), 400)]
        for name, rows in self._counted():
            titles = (f"<th>{markup(each, _LABEL)}</th>" for each in (name, "here", "there", ""))
            parts.append(tables.table((_counts_row(row) for row in rows), titles))
        if rows := list(self._rows()):
            parts.append(tables.table(map(_pair_row, rows), (f"<th>{title}</th>" for title in _TITLES)))
        return tables.block(*parts, *map(tables.note, self._rest()), style=MARKS)

    def _headline(self) -> str:
        differ = sum(pair.here is not None and pair.there is not None for pair in self)
        only = [
            f"{count:,} {where}"
            for count, where in ((self.only_here, "only here"), (self.only_there, "only there"))
            if count
        ]
        found = f"{differ:,} of {plural(self.items, 'item')} {'differs' if differ == 1 else 'differ'}"
        names = f"{visible(self.here, 60)} (here) and {visible(self.there, 60)} (there)"
        return f"{names}, {visible(self._path, 80)}: {', '.join([found, *only])}"

    def _rest(self) -> list[str]:
        more = len(self) - SHOWN
        return [f"… {more:,} more: to_frame() has all of them"] if more > 0 else []

    def _counted(self) -> Iterator[tuple[str, list[tuple[str, str, str, str]]]]:
        """For the first fields: the name, and rows of a label, its counts, and their difference; then what moved."""
        for name, labels in islice(self.labels.items(), _FIELDS):
            if labels.here == labels.there and not labels.moved:
                continue
            rows: list[tuple[str, str, str, str]] = []
            for label in dict.fromkeys([*labels.here, *labels.there]):
                here, there = labels.here.get(label, 0), labels.there.get(label, 0)
                rows.append((label, f"{here:,}", f"{there:,}", f"{there - here:+,}" if there != here else ""))
            moved = sorted(labels.moved.items(), key=lambda each: -each[1])
            rows += [(f"{a} → {b}", "", "", plural(count, "item")) for (a, b), count in moved[:_MOVES]]
            yield name, rows
        means = [
            (name, f"{mean.here:.4g}", f"{mean.there:.4g}", f"{mean.there - mean.here:+.3g}")
            for name, mean in islice(self.means.items(), _FIELDS)
            if mean.here != mean.there
        ]
        if means:
            yield "mean", means

    def _rows(self) -> Iterator[tuple[tuple[str, str], str, str]]:
        for pair in islice(self, SHOWN):
            if pair.here is None or pair.there is None:
                yield (pair.name, _where(pair)), "", ""
            for at, each in enumerate(pair.differences):
                yield (pair.name if not at else "", each.field), each.here, each.there


_TITLES = ("Item", "Differs in", "Here", "There")


class _Count:
    """The values of one field in both runs."""

    def __init__(self) -> None:
        self._here: Counter[str] = Counter()
        self._there: Counter[str] = Counter()
        self._moved: Counter[tuple[str, str]] = Counter()
        self._numbers: tuple[list[float], list[float]] = ([], [])
        self._is_of_labels = self._is_of_numbers = True

    def add(self, here: Leaf | None, there: Leaf | None) -> None:
        labels: list[str | None] = []
        for leaf, counter, numbers in zip(
            (here, there), (self._here, self._there), self._numbers, strict=True
        ):
            label = None if leaf is None else _label(leaf)
            labels.append(label)
            if leaf is None:
                continue
            if (number := leaf.number) is not None:
                numbers.append(number)
            else:
                self._is_of_numbers = self._is_of_numbers and leaf.data is None
            self._is_of_labels = self._is_of_labels and label is not None
            if self._is_of_labels and label is not None:
                counter[label] += 1
                self._is_of_labels = len(counter) <= _LABELS
        if self._is_of_labels and None not in labels and labels[0] != labels[1]:
            self._moved[labels[0] or "", labels[1] or ""] += 1

    def tell(self, name: str, labels: dict[str, Labels], means: dict[str, Means]) -> None:
        both = {**self._here, **self._there}
        items = max(self._here.total(), self._there.total())
        if (
            self._is_of_labels
            and both
            and len(both) <= _LABELS
            and (len(both) <= 2 or 2 * len(both) <= items)
        ):
            here, there = (dict(each.most_common()) for each in (self._here, self._there))
            labels[name] = Labels(here, there, dict(self._moved.most_common()))
        elif self._is_of_numbers and all(self._numbers):
            here, there = (sum(each) / len(each) for each in self._numbers)
            means[name] = Means(here, there)


def _label(leaf: Leaf) -> str | None:
    """The value as a label; None if it is none, such as a long text or a list."""
    if isinstance(leaf.data, str) and len(leaf.data) > _LABEL:
        return None
    if isinstance(leaf.data, list) or (isinstance(leaf.data, dict) and leaf.data.get("$") != "enum"):  # pyright: ignore[reportUnknownMemberType]
        return None
    return leaf.text(_LABEL)


def _leaves(record: TaskRecord, redacted: Sequence[str] = ()) -> dict[str, Leaf]:
    if record.status != TaskStatus.COMPLETED:
        return {}
    return leaves(record.form, record.value, redacted)


def _told(leaf: Leaf | None, shown: Leaf) -> str:
    return "not there" if leaf is None else " ".join(shown.text(READ).split())


def _status_text(record: TaskRecord) -> str:
    error = error_line(record.error, _TEXT) if record.status != TaskStatus.COMPLETED else ""
    return f"{record.status} · {error}" if error else str(record.status)


def _where(pair: Pair) -> str:
    if pair.here is None:
        return "only there"
    return "only here" if pair.there is None else ", ".join(each.field for each in pair.differences)


def _text(cell: str) -> str:
    return visible(cell, _TEXT)


def _short(here: str, there: str) -> tuple[str, str]:
    first, second = excerpts(here, there, _WIDEST - 2)
    return _text(first), _text(second)


def _counts_row(row: tuple[str, str, str, str]) -> str:
    cells = "".join(f"<td>{escaped(visible(cell, 2 * _LABEL + 3))}</td>" for cell in row)
    return f"<tr>{cells}</tr>"


def _pair_row(row: tuple[tuple[str, str], str, str]) -> str:
    (name, field), here, there = row
    sides = "".join(f"<td>{f'<code>{side}</code>' if side else ''}</td>" for side in marked(here, there))
    return f"<tr><td><b>{markup(name)}</b></td><td>{markup(field)}</td>{sides}</tr>"
