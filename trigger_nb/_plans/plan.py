"""The plan of a run: the tasks that running a cell would replay and execute, as far as predictable."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from statistics import median
from typing import TYPE_CHECKING, Literal

from .._callsite import show_place
from .._clock import to_datetime, to_seconds
from .._engine.stopping import Stop
from .._keys import display_key, display_path, last_segment, parent_path
from .._records.reading import readable_task
from .._records.records import RunRecord
from .._records.status import Reason, RunStatus, TaskStatus
from .._redact import secrets
from .._view.escape import markup, visible
from .._view.model.readable import error_line
from .._view.render import tables
from .._view.words import duration, moment, plural
from .dry_pass import DryPass, Met
from .rehearsal import rehearse

if TYPE_CHECKING:
    from .._runs.run_spec import RunSpec
    from .._runs.runtime import Runtime

Ends = Literal["complete", "unknown", "error"]
_SHOWN = 200  # characters of a name, an error or the like
_WIDEST = 40  # columns of a cell as text
_SAID = 500  # characters of an error message
_ROWS = 20  # rows of the table at most
_ITEMS = 3  # items of a map or parallel with a row each; more of them share one row
_SAMPLE = 500  # completed items that the duration of an item is estimated from


@dataclass(frozen=True, slots=True)
class _Planned:
    path: str  # in its normal form; "" for a run that code between the tasks would start
    name: str

    @property
    def key(self) -> str:
        """The cache key, formatted for a reader."""
        return display_key(last_segment(self.path))


@dataclass(frozen=True, slots=True)
class PlannedTask(_Planned):
    """A task that would run."""

    reason: Reason
    changed: str = ""  # changes since the stored result: some of "code", "params", "codec", "subtask"
    place: str = ""  # of the call: "cell [3], line 7"
    due: datetime | None = None  # the earliest start: the end of a delay before the first or the next attempt
    expected: float | None = None  # seconds that the task took in earlier runs; None if no run had it


@dataclass(frozen=True, slots=True)
class PlannedWait(_Planned):
    """An `io.wait` that has not ended yet."""

    until: datetime
    place: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Plan:
    """The prediction of what a run would do if its cell were run now, displayed as a table.

    A plan ends where a task would run: the tasks after it depend on its result.

    >>> plan = report.plan("Ana")
    >>> [task.key for task in plan.runs], len(plan.replays), plan.expected
    (['compose'], 3, 1.5)
    """

    run_id: str
    job_id: str
    status: RunStatus | None  # current status of the run; None for a new run
    replays: tuple[str, ...]  # paths of tasks and waits whose stored result would be replayed
    changed: dict[str, str]  # changes of replayed tasks since their result was stored, by path
    runs: tuple[PlannedTask, ...]  # tasks that would run, in the order in which the code reaches them
    waits: tuple[PlannedWait, ...]
    # "complete": no task runs, and the run completes. "unknown": the rest of the run depends on the results
    # of `runs`. "error": the run fails with `error`, independent of these results.
    ends: Ends
    error: BaseException | None = None
    message: str = ""  # the error as redacted text
    # Seconds that the tasks in `runs` take together, as far as their durations are known (for map items, with
    # the concurrency of earlier items). None if no duration is known.
    expected: float | None = None
    # Further tasks of earlier runs of the job: their number, and the seconds that they took.
    followed: int = 0
    followed_expected: float = 0.0
    notes: tuple[str, ...] = ()
    reuses: tuple[
        str, ...
    ] = ()  # paths of tasks that would take over the result of another run, see `reuse=`

    def __await__(self) -> Generator[None, None, Plan]:
        """The plan itself, so that `await job.plan(...)` works too."""
        return self
        yield

    def __repr__(self) -> str:
        rows = self._rows()
        shown = [[visible(cell, _SHOWN) for cell in cells] for cells in (_TITLES, *rows)] if rows else []
        lines = tables.aligned(shown, tables.widths_of(shown, _WIDEST))
        return "\n".join([self._headline(), *lines, *self._remarks()])

    def _repr_html_(self) -> str:
        titles = (f"<th>{title}</th>" for title in _TITLES)
        rows = self._rows()
        table = tables.table(map(_html_row, rows), titles) if rows else ""
        return tables.block(tables.note(self._headline()), table, *map(tables.note, self._remarks()))

    # Display

    def _headline(self) -> str:
        run = f"Run {visible(self.run_id, 60)} of job {visible(self.job_id, 60)!r}"
        if self.status is None:
            run += " (new)"
        parts = [f"replays {plural(len(self.replays), 'task')}"] if self.replays else []
        if self.reuses:
            parts.append(f"reuses results of other runs for {plural(len(self.reuses), 'task')}")
        if self.waits:
            parts.append(f"waits until {moment(max(each.until for each in self.waits).timestamp())}")
        if self.runs:
            parts.append(f"executes {plural(len(self.runs), 'task')}{self._length()}")
        if self.ends == "complete":
            parts.append("completes" if parts else "runs no tasks and completes")
        elif self.ends == "error":
            parts.append(f"fails with {type(self.error).__name__}")
        return f"{run}: {_listed(parts)}" if parts else f"{run} cannot be predicted"

    def _length(self) -> str:
        if self.expected is None:
            return ""
        unknown = sum(each.expected is None for each in self.runs)
        more = f" and {unknown:,} of unknown duration" if unknown else ""
        return f" ({_about(self.expected)}{more})"

    def _rows(self) -> list[tuple[str, ...]]:
        """The first rows of the table: one for each task, or for all items of a map."""
        rows = [
            (_named(each.path, each.name), "waits", f"until {moment(each.until.timestamp())}", each.place)
            for each in self.waits
        ]
        rows += [_row(group) for group in _grouped(self.runs)]
        left = len(rows) - _ROWS
        return [*rows[:_ROWS], (f"… and {left:,} more", "", "", "")] if left > 0 else rows

    def _remarks(self) -> Iterator[str]:
        if self.changed:
            kept = len(self.changed)
            reused = (
                "has changed; its stored result is" if kept == 1 else "have changed; their stored results are"
            )
            yield (
                f"{plural(kept, 'replayed task')} {reused} reused: {_some(self.changed)}. "
                'on_change="only" runs changed tasks again, "rerun" also all tasks that started later.'
            )
        if self.error is not None:
            yield visible(self.message, _SAID)
        if self.ends == "unknown":
            results = "its result" if len(self.runs) == 1 else "their results"
            depends = f"depends on {results}" if self.runs else "is not known"
            yield f"The rest of the run {depends}.{self._followed()}"
        yield from self.notes

    def _followed(self) -> str:
        if not self.followed:
            return ""
        length = f", {_about(self.followed_expected)}" if self.followed_expected else ""
        return f" Earlier runs had {plural(self.followed, 'more task')}{length}."


# Making one ----------------------------------------------------------------------------------------
def make_plan(
    runtime: Runtime, spec: RunSpec, run: RunRecord, *, is_new: bool, patience: float | timedelta
) -> Plan:
    """The plan of the next pass of a run. Does not change the run's record. Raises `StoreError`."""
    status = None if is_new else runtime.status_of(run)
    notes = _notes(runtime, run, status)
    rehearsal = rehearse(runtime, spec, run, to_seconds(patience, "patience"))
    notes += tuple(f"Map {display_path(path)!r} stops after its first items." for path in rehearsal.stops)
    estimate = _Estimate(runtime, run, rehearsal)
    runs, expected = estimate.tasks()
    ends = _ends(rehearsal)
    followed, followed_expected = estimate.rest() if ends == "unknown" else (0, 0.0)
    replays = rehearsal.replayed
    found = rehearsal.changes.found
    error = rehearsal.error
    return Plan(
        run_id=run.id,
        job_id=run.job,
        status=status,
        replays=tuple(replays),
        changed={path: found[path] for path in replays if path in found},
        runs=runs,
        waits=tuple(_wait(met) for met in rehearsal.waits),
        ends=ends,
        error=error,
        message="" if error is None else _message(rehearsal, error),
        expected=expected,
        followed=followed,
        followed_expected=followed_expected,
        notes=notes,
        reuses=tuple(rehearsal.reused),
    )


def _ends(rehearsal: DryPass) -> Ends:
    if rehearsal.error is not None:
        return "error"
    is_known = rehearsal.stopping.why == Stop.ENDED and rehearsal.result is not None and not rehearsal.bodies
    return "complete" if is_known else "unknown"


def _message(rehearsal: DryPass, error: BaseException) -> str:
    data = rehearsal.run_error_data(error)
    return error_line(data, _SAID)


def _notes(runtime: Runtime, run: RunRecord, status: RunStatus | None) -> tuple[str, ...]:
    if run.id in runtime.executions:
        return ("The run is under way: running the cell joins it, with the current code.",)
    if status == RunStatus.RUNNING:
        return ("Another kernel drives the run: it cannot run here before it has stopped there.",)
    return ()


def _wait(met: Met) -> PlannedWait:
    call = met.call
    assert call is not None
    assert met.due is not None
    return PlannedWait(call.path, _name(call.options), to_datetime(met.due), show_place(call.place))


def _name(options: Mapping[str, object]) -> str:
    return secrets.hide(str(options.get("name", "")))


class _Estimate:
    """The tasks that would run, with durations estimated from this run's other items or from earlier runs."""

    def __init__(self, runtime: Runtime, run: RunRecord, rehearsal: DryPass) -> None:
        self._rehearsal = rehearsal
        self._earlier = runtime.foresee(run, tasks=True)
        self._nodes = {path: _Items(rehearsal.stored, path) for path in rehearsal.walked}
        self._places: dict[int, str] = {}  # by the id of a call's place: many items share one

    def tasks(self) -> tuple[tuple[PlannedTask, ...], float | None]:
        """The tasks that would run, and the seconds that they take together."""
        tasks = tuple(self._task(met) for met in self._rehearsal.bodies)
        known = [self._share(task.path, task.expected) for task in tasks if task.expected is not None]
        return tasks, sum(known) if known else None

    def _task(self, met: Met) -> PlannedTask:
        call = met.call
        if call is None:
            return PlannedTask("", met.what, met.reason)
        path = call.path
        place = self._places.get(id(call.place))
        if place is None:
            place = self._places[id(call.place)] = show_place(call.place)
        return PlannedTask(
            path=path,
            name=_name(call.options),
            reason=met.reason,
            place=place,
            changed=self._rehearsal.changes.found.get(path, "") if met.reason == Reason.CHANGED else "",
            due=None if met.due is None else to_datetime(met.due),
            expected=self._of(path),
        )

    def _of(self, path: str) -> float | None:
        node = self._nodes.get(parent_path(path))
        if node is not None and node.takes is not None:
            return node.takes
        known = self._earlier.of(path)
        return known if known is not None else _took(self._rehearsal.stored, path)

    def _share(self, path: str, takes: float) -> float:
        """The seconds by which a task probably prolongs the run."""
        around = parent_path(path)
        node = self._nodes.get(around)
        if node is None:
            return takes
        return self._earlier.items.get(around, takes) if node.share is None else node.share

    def rest(self) -> tuple[int, float]:
        """The further tasks of earlier runs that the plan did not reach: their number and their seconds."""
        met = {*self._rehearsal.reasons, *self._rehearsal.walked}
        # Of a task with subtasks, and of a map, as one: its own time is theirs.
        rest = [
            seconds
            for path, seconds in self._earlier.tasks.items()
            if path not in met and not parent_path(path)
        ]
        return len(rest), sum(rest)


class _Items:
    """The durations of completed items of a map or parallel, in seconds; None if no item is completed."""

    takes: float | None = None  # median duration of one item
    # The time by which one item prolonged the map: items run concurrently, or wait for each other.
    share: float | None = None

    def __init__(self, stored: dict[str, str], node: str) -> None:
        prefix = f"{node}/"
        paths = (path for path in stored if path.startswith(prefix) and parent_path(path) == node)
        records = (readable_task(path, stored[path]) for path in islice(paths, _SAMPLE))
        spans: dict[int, list[tuple[float, float]]] = defaultdict(list)
        for record in records:
            if (
                record.status == TaskStatus.COMPLETED
                and record.ended_at is not None
                and not record.reused_from
            ):
                # By pass (the upper half of an ordinal): days may lie between two passes.
                spans[record.ended >> 32].append((record.started_at, record.ended_at))
        took = [max(0.0, end - start) for each in spans.values() for start, end in each]
        if took:
            self.takes = median(took)
            lasted = sum(
                max(end for _, end in each) - min(start for start, _ in each) for each in spans.values()
            )
            self.share = max(0.0, lasted) / len(took)


def _took(stored: dict[str, str], path: str) -> float | None:
    """The duration of a task when this run last completed it."""
    record = readable_task(path, stored[path]) if path in stored else None
    if (
        record is None
        or record.status != TaskStatus.COMPLETED
        or record.ended_at is None
        or record.reused_from
    ):
        return None
    return max(0.0, record.ended_at - record.started_at)


# Display -------------------------------------------------------------------------------------------
_TITLES = ("Task", "Why", "Takes", "Called at")


def _grouped(tasks: Sequence[PlannedTask]) -> Iterator[list[PlannedTask]]:
    """The tasks one by one; many items of one map or parallel that run for the same reason form one group."""
    groups: dict[tuple[object, ...], list[PlannedTask]] = {}
    for task in tasks:
        node = parent_path(task.path)
        name = (node, task.reason, task.changed) if node else (task.path, len(groups))
        groups.setdefault(name, []).append(task)
    for group in groups.values():
        yield from [group] if len(group) > _ITEMS else [[task] for task in group]


def _row(group: list[PlannedTask]) -> tuple[str, ...]:
    first = group[0]
    why = f"{first.reason}: {first.changed}" if first.changed else str(first.reason)
    if first.due is not None and len(group) == 1:
        why += f", not before {moment(first.due.timestamp())}"
    if len(group) == 1:
        return _named(first.path, first.name), why, _about(first.expected), first.place
    known = [task.expected for task in group if task.expected is not None]
    takes = f"{_about(sum(known) / len(known))} each" if known else ""
    return f"{display_path(parent_path(first.path))}: {len(group):,} items", why, takes, first.place


def _named(path: str, name: str) -> str:
    shown = display_path(path)
    return (
        f"{shown} ({name})" if name not in ("", display_key(last_segment(path))) and shown else shown or name
    )


def _about(seconds: float | None) -> str:
    """An approximate duration as text; "" if unknown."""
    if seconds is None:
        return ""
    text = duration(seconds)
    return text if text.startswith("<") else f"about {text}"


def _some(paths: Iterable[str]) -> str:
    """The first few paths, and the number of the others."""
    names = [display_path(path) for path in paths]
    shown = ", ".join(visible(name, 40) for name in names[:_ITEMS])
    return f"{shown} and {len(names) - _ITEMS:,} more" if len(names) > _ITEMS else shown


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])}, then {parts[-1]}"


def _html_row(cells: tuple[str, ...]) -> str:
    name, *others = (markup(cell, _SHOWN) for cell in cells)
    return f"<tr><td><b>{name}</b></td>{''.join(f'<td>{each}</td>' for each in others)}</tr>"
