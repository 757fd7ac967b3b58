"""Decides which stored results are kept and which are forgotten (rules R5 and R9)."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from heapq import heappop, heappush
from typing import Literal, NamedTuple

from .._keys import ancestors, parent_path
from . import stops
from .records import FAN_OUT, RunRecord, TaskRecord, first_ordinal
from .status import RunStatus, TaskStatus

Records = Mapping[str, TaskRecord]
# In these statuses, a task does not run again unless its record is reopened. A handled error is a result, too.
_ENDED = frozenset({TaskStatus.COMPLETED, TaskStatus.ERRORED})


def forget(records: Records, *paths: str) -> list[TaskRecord]:
    """The records to store so that tasks, their subtasks, and the tasks that started after their end run again.

    Stored ordinals define "after": a sibling that overlapped the task keeps its result, and so do the other
    items of an enclosing `parallel` or `map`. Ended ancestors of forgotten tasks are reopened: their bodies run
    again, and their other children keep their results. For a task without a record, only its subtasks are
    forgotten.
    """
    meant = frozenset(paths)
    chosen = {other for other in records if not meant.isdisjoint((other, *ancestors(other)))}
    # By the scope of the paths: one of them, and the first end. Thousands of items of a map must not each search all tasks.
    ends: dict[str, tuple[str, int]] = {}
    for path in meant:
        if path in records and (end := records[path].settled or records[path].ended):
            one, first = ends.get(parent_path(path), (path, end))
            ends[parent_path(path)] = (one, min(first, end))
    after: set[str] = set()
    for path, end in ends.values():
        kept_apart = frozenset(_other_items(records, path))
        after.update(
            other
            for other, record in records.items()
            if record.started > end
            and other not in chosen
            and kept_apart.isdisjoint((other, *ancestors(other)))
        )
    return reset(records, chosen, after)


def reset(records: Records, chosen: Iterable[str], after: Iterable[str] = ()) -> list[TaskRecord]:
    """The records to store so that the chosen tasks and their ancestors run again.

    The tasks in `after` run again as well, possibly in another order. Log lines stay until the code logs them
    again.
    """
    after = set(after)
    forgotten = {*chosen, *after}
    lines = {path for path in forgotten if records[path].kind == "log"}
    forced = forgotten - lines
    opened = {around for path in forced for around in ancestors(path) if around in records}
    return [
        *(relog(records[path]) for path in lines),
        *(
            open_again(records[path], forced=path in forced, moved=path in after)
            for path in forced | {p for p in opened if records[p].status in _ENDED}
        ),
    ]


def to_retry(
    records: Records, which: Literal["failed", "all"] | Collection[str]
) -> tuple[list[str], list[str]]:
    """The paths of the failed tasks to forget, and of those whose errors are replayed regardless of rule R5.

    `which` is the argument of `Run.retry`, with paths in normal form.
    """
    errored = [path for path, record in records.items() if record.status == TaskStatus.ERRORED]
    if which == "failed":
        return [path for path in errored if _was_returned(records, path)], []
    if which == "all":
        return errored, []
    meant = frozenset(which)
    chosen = [path for path in errored if not meant.isdisjoint((path, *ancestors(path)))]
    apart = {*chosen, *(around for path in chosen for around in ancestors(path))}
    return chosen, [path for path in errored if path not in apart]


def _was_returned(records: Records, path: str) -> bool:
    """Whether the task is an item of a completed map, which returned the error (`return_errors`)."""
    node = records.get(parent_path(path))
    return node is not None and node.kind in FAN_OUT and node.status == TaskStatus.COMPLETED


def relog(line: TaskRecord) -> TaskRecord:
    """The record of a log line that stays until the code reaches its place and replaces it."""
    return line.copy(forced=True, generation=line.generation + 1)


def open_again(record: TaskRecord, *, forced: bool = True, moved: bool = False) -> TaskRecord:
    """A record with which the task's body runs again, with the attributes that outlive the result.

    Forgetting a completed result increments the generation (I6): a second effect is wanted, so services get a
    new idempotency key. The task keeps its place among the others (R9) unless it is `moved`.
    """
    completed = record.status == TaskStatus.COMPLETED
    goes_on = not forced and stops.goes_on(record)  # a map after its first items, of which some run again
    return TaskRecord(
        path=record.path,
        status=TaskStatus.PENDING,
        kind=record.kind,
        generation=record.generation + completed,
        forced=forced,
        failed=record.failed or record.status == TaskStatus.ERRORED,
        name=record.name,
        icon=record.icon,
        style=record.style,
        started=record.started,
        settled=0 if moved else record.settled or record.ended * completed,
        started_at=record.started_at,
        tally=stops.going_on() if goes_on else {},
    )


def _other_items(records: Records, path: str) -> list[str]:
    """The paths of the sibling items, in every map and parallel around `path`."""
    apart: list[str] = []
    for inner in [path, *ancestors(path)]:
        node = parent_path(inner)
        if node in records and records[node].kind in FAN_OUT:
            apart += [other for other in records if parent_path(other) == node and other != inner]
    return apart


def handled_in(run: RunRecord) -> int:
    """The ordinal up to which the run function has handled the errors of its tasks: the run completed after it (R5).

    That stays so when the run is started again and that pass ends early, in whatever way.
    """
    by_older_version = first_ordinal(run.passes + 1) - 1 if run.status == RunStatus.COMPLETED else 0
    return run.handled or by_older_version


class Finality:
    """Whether a recorded error is replayed or its task runs again (rule R5)."""

    def __init__(
        self,
        load: Callable[[], Iterable[TaskRecord]],
        ended_by: Iterable[str],
        *,
        handled: int,
        kept: Iterable[str] = (),
    ) -> None:
        self._load = load
        self._ended_by = frozenset(ended_by)
        self._kept = frozenset(kept)
        self._handled = handled  # ordinal up to which the run function handled errors, see `handled_in`
        self._facts: dict[str, _Facts] | None = None  # read when first needed, since most runs have no errors
        self._beginnings: _Beginnings | None = None  # computed when first needed

    def note(self, record: TaskRecord) -> None:
        """Take in the new record of a task."""
        if self._facts is not None and record.kind != "log":
            self._facts[record.path] = _facts_of(record)
            if self._beginnings is not None and not self._beginnings.note(record.path, record.started):
                self._beginnings = None

    def is_final(self, error: TaskRecord) -> bool:
        """Whether the user's code handled the error, so that it is replayed.

        An error was handled if its scope has completed since, or if a task began after it in its scope or an outer one.
        Not final are errors that ended the run, and errors of items of a map or parallel, except errors that
        are kept on request or were returned as results (`return_errors`).
        """
        if error.path in self._kept:
            return True
        if error.path in self._ended_by:
            return False
        if self._facts is None:
            self._facts = {each.path: _facts_of(each) for each in self._load() if each.kind != "log"}
        scope = parent_path(error.path)
        around = self._facts.get(scope)
        if around is not None and around.kind in FAN_OUT:
            return around.status == TaskStatus.COMPLETED
        if not scope:
            handled = self._handled
        elif around is None:
            handled = 0
        else:  # opened again, the task around it still has completed once
            handled = math.inf if around.status == TaskStatus.COMPLETED else around.settled
        # A result that came after its timeout ended later than the error that the code has handled.
        if (error.started if error.status == TaskStatus.COMPLETED else error.ended) <= handled:
            return True
        return self._is_followed(error, self._facts)

    def _is_followed(self, error: TaskRecord, facts: Mapping[str, _Facts]) -> bool:
        """Whether a sibling of the failed task or of one of its ancestors began after the error."""
        if self._beginnings is None:
            self._beginnings = _Beginnings(facts)
        for path in (error.path, *ancestors(error.path)):
            if path in self._ended_by:
                return False  # It ended the run itself: what came after that tells nothing about the errors in it.
            if self._beginnings.any_after(error.ended, path):
                return True
        return False


class _Facts(NamedTuple):
    """The facts about a task that finality depends on."""

    started: int
    kind: str
    status: str
    settled: int


def _facts_of(record: TaskRecord) -> _Facts:
    return _Facts(record.started, record.kind, record.status, record.settled)


class _Beginnings:
    """The starts of tasks by scope, updated incrementally: thousands of errors must not each search all tasks.

    A body that was running when the process died has no record, but may have subtasks. It counts as begun with
    the first of them.
    """

    def __init__(self, facts: Mapping[str, _Facts]) -> None:
        self._facts = facts
        self._began: dict[str, int] = {}
        # By scope, a heap with the latest start first. An entry that differs from `_began` is outdated.
        self._last: dict[str, list[tuple[int, str]]] = {}
        for path, each in list(facts.items()):
            self.note(path, each.started)

    def note(self, path: str, started: int) -> bool:
        """Take in the start of a task with a record. Returns False if everything must be recomputed.

        That is the case if the start of a body without a record was derived from this task, which has started
        again since.
        """
        before = self._began.get(path)
        self._set(path, started)
        for around in ancestors(path):
            if around not in self._facts:
                first = self._began.get(around, started)
                if before is not None and first == before < started:
                    return False
                self._set(around, min(first, started))
        return True

    def _set(self, path: str, started: int) -> None:
        if self._began.get(path) != started:
            self._began[path] = started
            heappush(self._last.setdefault(parent_path(path), []), (-started, path))

    def any_after(self, ordinal: int, path: str) -> bool:
        """Whether a sibling of the task began after the ordinal."""
        last, own = self._last.get(parent_path(path), []), None
        while last:
            began, beside = last[0]
            if beside == path:
                own = heappop(last)
            elif self._began[beside] != -began:
                heappop(last)
            else:
                break
        found = bool(last) and -last[0][0] > ordinal
        if own is not None:
            heappush(last, (-self._began[path], path))
        return found
