"""The results of a run, and what differs between those of two runs: a part of `Run`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

from .._keys import parent_path
from .._records.records import FAN_OUT, TaskRecord
from ..errors import InvalidOptionError, NotFoundError
from .comparison import Comparison, Side as ItemsSide
from .diff import RunDiff, Side, compare
from .results import Results, Source, label_of
from .run_data import RunData
from .task_paths import TaskPath, find_path
from .whole_records import WholeRecords

_WITHOUT_RESULT = frozenset({"log", "status", "wait"})  # kinds of tasks


class RunResults(RunData):
    """The part of `Run` that looks at results. Nothing of it changes the run."""

    def results(self, *paths: TaskPath) -> Results:
        """What became of the items of a map, as a sequence and as a table.

        Each path is as in `task`. A map or parallel stands for its items, another task for itself; without a path they
        are the tasks of the run function. In the order in which they first started.

        Each result has `key`, `name`, `status`, `output`, `error`, `input` if it was kept, `attempts`, `seconds`,
        `reused` and `task`. The sequence has `failed`, `errors`, which has equal errors together, and `to_frame()`.

            run.results("classify").to_frame()["label"].value_counts()

        Raises `NotFoundError`, which lists similar paths, if there is no such task.
        """
        return Results(*self._selected(paths))

    def compare(
        self, other: RunData | str, path: TaskPath | None = None, *, fields: Sequence[str] | None = None
    ) -> Comparison:
        """The items of a map side by side, in this run ("here") and in another one ("there"): those that differ.

        Items with the same key are compared, in status, error and output: dicts, models and dataclasses field by field.
        `fields` compares only these fields of the output, such as `["label", "usage.tokens"]`. `path` is as in
        `results`; without it the tasks of the run functions are compared.

        The result counts how often each label is there in both runs, and which became which.

            run.compare("prompt-1", "classify", fields=["label"])

        Raises `NotFoundError` if there is no such run, or no such task in one of them; `InvalidOptionError` for a field
        that no output has; and errors of reading long results.
        """
        there = self._other(other)
        wanted = _checked(fields)
        paths = [] if path is None else [path]
        source, items, label = self._selected(paths)
        other_source, other_items, _ = there._selected(paths)
        return Comparison(ItemsSide(source, items), ItemsSide(other_source, other_items), label, wanted)

    def diff(self, other: RunData | str, *, durations: bool = False, code: bool = False) -> RunDiff:
        """Compare this run ("here") with another run, given as a `Run` or by its id ("there"), task by task.

        A task exists in one run only, or differs in status, output, error or params. `code=True` adds differences in
        code, `durations=True` in duration (twice as long, and longer by more than 0.1 s): without these, `left_out`
        counts them. The result is true if there is a difference, and is displayed as a table. Of long texts it has
        the part that differs.

        Raises `NotFoundError` if there is no run with this id, and errors of reading long results.
        """
        here, there = (run._side() for run in (self, self._other(other)))
        return compare(here, there, with_durations=durations, with_code=code)

    def _selected(self, paths: Sequence[TaskPath]) -> tuple[Source, list[TaskRecord], str]:
        """Where results are read from, the records of the items at some paths, and what they are called."""
        self._runtime.require_run(self._id)
        records = {record.path: record for record in self._runtime.each_task_record(self._id, running=True)}
        found = _found(records, self._id, paths)
        items = _items(records, found)
        source = Source(self._runtime, self._id, items, self._info)
        return source, items, label_of([record.path for record in found])

    def _other(self, other: RunData | str) -> RunResults:
        if isinstance(other, RunResults):
            return other
        if not isinstance(other, str):
            raise InvalidOptionError(f"the other run is a Run or its id, not {other!r:.100}")
        return RunResults(self._runtime, other)

    def _side(self) -> Side:
        tasks = self._in_order()
        return Side(self._current, tasks, WholeRecords(self._runtime, self._id, tasks))


def _found(records: dict[str, TaskRecord], run_id: str, paths: Sequence[TaskPath]) -> list[TaskRecord]:
    """The tasks at some paths. A list is one path by its keys, or else a list of paths."""
    try:
        return [find_path(records, run_id, path) for path in paths]
    except NotFoundError:
        if len(paths) != 1 or not isinstance(paths[0], list):
            raise
        listed = cast("list[TaskPath]", paths[0])
        try:
            return [find_path(records, run_id, each) for each in listed]
        except NotFoundError:
            pass
        raise


def _items(records: dict[str, TaskRecord], found: Sequence[TaskRecord]) -> list[TaskRecord]:
    """The items of maps, and other tasks themselves; without any, the tasks of the run function."""
    wanted = {record.path for record in found if record.kind in FAN_OUT}
    wanted |= set() if found else {""}
    inside: dict[str, list[TaskRecord]] = {path: [] for path in wanted}
    if wanted:
        for path, record in records.items():
            if (parent := parent_path(path)) in wanted and record.kind not in _WITHOUT_RESULT:
                inside[parent].append(record)
    for items in inside.values():
        items.sort(key=lambda record: (record.started, record.path))
    if not found:
        return inside[""]
    listed = [each for record in found for each in inside.get(record.path, [record])]
    return list({record.path: record for record in listed}.values())


def _checked(fields: object) -> list[str] | None:
    if fields is None:
        return None
    given = cast("object", [fields] if isinstance(fields, str) else fields)
    names = list(cast("Iterable[object]", given)) if isinstance(given, Iterable) else []
    if not names or not all(isinstance(name, str) for name in names):
        raise InvalidOptionError(
            f'fields= is a list of names of fields of the outputs, such as ["label", "usage.tokens"], not {fields!r:.100}'
        )
    return [str(name) for name in names]
