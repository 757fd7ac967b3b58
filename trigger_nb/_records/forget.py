"""Which stored results stand, and which must be forgotten (rules R5 and R9)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from heapq import heappop, heappush
from typing import Literal, NamedTuple

from .._keys import ancestors, is_within, parent_path
from .records import FAN_OUT, TaskRecord
from .status import TaskStatus

Records = Mapping[str, TaskRecord]
# What a task is not called again in, unless it is opened: a handled error is a result, too.
_ENDED = frozenset({TaskStatus.COMPLETED, TaskStatus.ERRORED})


def forget(records: Records, path: str) -> list[TaskRecord]:
    """What the store must hold so that a task, all in it, and what first started after it ended run again.

    "After" goes by stored ordinals: a sibling that overlapped the task keeps its result, and so do
    the other items of a `parallel` or `map` that it is in. Tasks around whatever is forgotten that
    have ended are opened: their bodies run again, their other children stay. A task without a record has
    no result to forget and nothing after it, only what is in it.
    """
    chosen = {other for other in records if other == path or is_within(other, path)}
    after: set[str] = set()
    if path in records and (end := records[path].settled or records[path].ended):
        kept_apart = frozenset(_other_items(records, path))
        after = {
            other
            for other, record in records.items()
            if record.started > end
            and other not in chosen
            and kept_apart.isdisjoint((other, *ancestors(other)))
        }
    return reset(records, chosen, after)


def reset(records: Records, chosen: Iterable[str], after: Iterable[str] = ()) -> list[TaskRecord]:
    """Records under which the chosen tasks and those around them run again.

    Those `after` them run again too, and may do so in another order than before. Log lines stay until
    they are said again.
    """
    after = set(after)
    forgotten = {*chosen, *after}
    lines = {path for path in forgotten if records[path].kind == "log"}
    forced = forgotten - lines
    opened = {around for path in forced for around in ancestors(path) if around in records}
    return [
        *(to_be_said_again(records[path]) for path in lines),
        *(
            open_again(records[path], forced=path in forced, moved=path in after)
            for path in forced | {p for p in opened if records[p].status in _ENDED}
        ),
    ]


def to_retry(
    records: Records, which: Literal["failed", "all"] | Collection[str]
) -> tuple[list[str], list[str]]:
    """Of the errors of a run, those to forget, and those to replay whatever rule R5 says.

    `which` is what `Run.retry` takes, with paths in normal form.
    """
    errored = [path for path, record in records.items() if record.status == TaskStatus.ERRORED]
    if which == "failed":
        return [path for path in errored if _was_given_as_a_result(records, path)], []
    if which == "all":
        return errored, []
    meant = frozenset(which)
    chosen = [path for path in errored if not meant.isdisjoint((path, *ancestors(path)))]
    apart = {*chosen, *(around for path in chosen for around in ancestors(path))}
    return chosen, [path for path in errored if path not in apart]


def _was_given_as_a_result(records: Records, path: str) -> bool:
    """Whether it is the error of an item whose map has completed nevertheless: with `return_errors`."""
    node = records.get(parent_path(path))
    return node is not None and node.kind in FAN_OUT and node.status == TaskStatus.COMPLETED


def to_be_said_again(line: TaskRecord) -> TaskRecord:
    """A log line that stays as it is until its place is reached, where what is said then replaces it."""
    return line.copy(forced=True, generation=line.generation + 1)


def open_again(record: TaskRecord, *, forced: bool = True, moved: bool = False) -> TaskRecord:
    """A record that lets the task's body run, with what must outlive the result.

    Only a completed result that is forgotten raises the generation (I6): then a second effect is
    wanted, and outside services get another idempotency key. A task keeps its place among the others
    (R9) unless it is `moved`.
    """
    completed = record.status == TaskStatus.COMPLETED
    return TaskRecord(
        path=record.path,
        status=TaskStatus.PENDING,
        kind=record.kind,
        generation=record.generation + completed,
        forced=forced,
        name=record.name,
        icon=record.icon,
        style=record.style,
        started=record.started,
        settled=0 if moved else record.settled or record.ended * completed,
        started_at=record.started_at,
    )


def _other_items(records: Records, path: str) -> list[str]:
    """Paths of the items beside the one that holds `path`, in every fan-out around it."""
    apart: list[str] = []
    for inner in [path, *ancestors(path)]:
        node = parent_path(inner)
        if node in records and records[node].kind in FAN_OUT:
            apart += [other for other in records if parent_path(other) == node and other != inner]
    return apart


class Finality:
    """Whether a recorded error is replayed or its task runs again (rule R5)."""

    def __init__(
        self, load: Callable[[], Iterable[TaskRecord]], ended_by: Iterable[str], *, run_completed: bool,
        kept: Iterable[str] = (),
    ):  # fmt: skip
        self._load = load
        self._ended_by = frozenset(ended_by)
        self._kept = frozenset(kept)
        self._run_completed = run_completed
        self._told: dict[str, _Told] | None = None  # read when first needed: most runs have no error
        self._beginnings: _Beginnings | None = None  # worked out when first needed

    def note(self, record: TaskRecord) -> None:
        """A task's record is another now."""
        if self._told is not None and record.kind != "log":
            self._told[record.path] = _Told(record.started, record.kind, record.status)
            if self._beginnings is not None and not self._beginnings.note(record.path, record.started):
                self._beginnings = None

    def is_final(self, error: TaskRecord) -> bool:
        """Whether the error was handled by the code around it: then it is part of the story.

        It was handled when its scope completed, or when a task began after it in its scope or in
        one around it. The errors that ended the run are not final, nor are those of a fan-out's items,
        unless they are kept by request, or were given as results (`return_errors`).
        """
        if error.path in self._kept:
            return True
        if error.path in self._ended_by:
            return False
        if self._told is None:
            self._told = {r.path: _Told(r.started, r.kind, r.status) for r in self._load() if r.kind != "log"}
        scope = parent_path(error.path)
        around = self._told.get(scope)
        if around is not None and around.kind in FAN_OUT:
            return around.status == TaskStatus.COMPLETED
        if self._run_completed if not scope else around is not None and around.status == TaskStatus.COMPLETED:
            return True
        return self._went_on_after(error, self._told)

    def _went_on_after(self, error: TaskRecord, told: Mapping[str, _Told]) -> bool:
        """Whether a task beside the error, or beside one that it is in, began after it."""
        if self._beginnings is None:
            self._beginnings = _Beginnings(told)
        inside = (error.path, *ancestors(error.path))
        return any(self._beginnings.any_after(error.ended, path) for path in inside)


class _Told(NamedTuple):
    """What finality depends on."""

    started: int
    kind: str
    status: str


class _Beginnings:
    """When tasks began, by scope, kept as it comes: none of thousands that fail may look at all the others.

    A body that was running when the process died left no record, but perhaps subtasks: then it
    counts as begun with the first of those.
    """

    def __init__(self, told: Mapping[str, _Told]) -> None:
        self._told = told
        self._began: dict[str, int] = {}
        # By scope, a heap with the last one first. An entry that `_began` does not confirm is out of date.
        self._last: dict[str, list[tuple[int, str]]] = {}
        for path, each in list(told.items()):
            self.note(path, each.started)

    def note(self, path: str, started: int) -> bool:
        """A task that is told of began then. False when all is to be worked out again.

        That is when what told of the beginning of a body without a record has begun anew.
        """
        before = self._began.get(path)
        self._set(path, started)
        for around in ancestors(path):
            if around not in self._told:
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
        """Whether a task beside that one began after."""
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
