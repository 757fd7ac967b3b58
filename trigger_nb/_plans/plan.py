"""What running a cell would replay and execute, as far as that is known before it runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

from .._call import show_place
from .._clock import to_datetime
from .._engine.stopping import Stop
from .._keys import display_key, display_path, last_segment, parent_path
from .._records import Reason, RunRecord, RunStatus, TaskStatus, readable_task
from .._redact import secrets
from ..view.escape import columns, fit, markup, visible
from ..view.html import stylesheet
from ..view.model import error_line
from ..view.words import duration, moment, plural
from .dry_pass import DryPass, Met
from .rehearsal import rehearse

if TYPE_CHECKING:
    from .._runtime import Runtime, Work

Ends = Literal["complete", "unknown", "error"]

_SHOWN = 200  # characters of a name, an error or the like
_WIDEST = 40  # columns of a cell as text
_SAID = 500  # of what an error says
_ROWS = 20  # rows of tasks at most
_ITEMS = 3  # more items of a map or parallel than this share a row
_SAMPLE = 500  # items that are looked at for how long one takes


@dataclass(frozen=True, slots=True)
class PlannedTask:
    """A task whose body would be called."""

    path: str  # in its normal form; "" of a run that code between the tasks starts by itself
    name: str
    reason: Reason
    changed: str = ""  # what differs from when it was completed: some of "code", "params", "codec", "subtask"
    place: str = ""  # of the call: "cell [3], line 7"
    due: datetime | None = None  # not before then: a delay, or the countdown to another attempt
    expected: float | None = None  # how long it took in earlier runs, in seconds; None when none had it

    @property
    def key(self) -> str:
        """Its cache key, for reading."""
        return display_key(last_segment(self.path))


@dataclass(frozen=True, slots=True)
class PlannedWait:
    """An `io.wait` that would still have to be waited for."""

    path: str
    name: str
    until: datetime
    place: str = ""

    @property
    def key(self) -> str:
        """Its cache key, for reading."""
        return display_key(last_segment(self.path))


@dataclass(frozen=True, slots=True, repr=False)
class Plan:
    """What a run would do if its cell were run now: shown as a table.

    It ends where a body would be called: what comes after that depends on the result.

    >>> plan = report.plan("Ana")
    >>> [task.key for task in plan.runs], len(plan.replays), plan.expected
    (['compose'], 3, 1.5)
    """

    run_id: str
    job_id: str
    status: RunStatus | None  # of the run now; None: it is new
    replays: tuple[str, ...]  # paths of the tasks and waits whose stored result would be given
    changed: dict[str, str]  # of those: what has changed since, by path. They keep their results
    runs: tuple[PlannedTask, ...]  # the tasks that would run, in the order in which they are met
    waits: tuple[PlannedWait, ...]
    # "complete": no body is called, and the output is known. "unknown": what follows depends on what `runs`
    # return. "error": the run fails with `error`, whatever they return.
    ends: Ends
    error: BaseException | None = None
    message: str = ""  # the error for reading, without what `redact` hides
    # How many seconds all of `runs` take of whose tasks that is known; those of a map as many at a time as
    # before. None when it is known of none.
    expected: float | None = None
    # What earlier runs of the job did beyond that: how many tasks, and how many seconds they took.
    followed: int = 0
    followed_expected: float = 0.0
    notes: tuple[str, ...] = ()

    def __await__(self) -> Generator[None, None, Plan]:
        """The plan itself: it is there already."""
        return self
        yield

    def __repr__(self) -> str:
        lines = [self._headline()]
        if rows := self._rows():
            lines += _lines([_TITLES, *rows])
        return "\n".join([*lines, *self._remarks()])

    def _repr_html_(self) -> str:
        head = f'<div class="tnb-a">{markup(self._headline(), 600)}</div>'
        table = ""
        if rows := self._rows():
            titles = "".join(f"<th>{title}</th>" for title in _TITLES)
            table = (
                f'<div class="tnb-wide"><table><thead><tr>{titles}</tr></thead>'
                f"<tbody>{''.join(map(_html_row, rows))}</tbody></table></div>"
            )
        foot = "".join(f'<div class="tnb-a">{markup(line, 600)}</div>' for line in self._remarks())
        return f'<div class="tnb"><style>{stylesheet()}</style>{head}{table}{foot}</div>'

    # For the eye ------------------------------------------------------------------------------

    def _headline(self) -> str:
        run = f"Run {visible(self.run_id, 60)} of job {visible(self.job_id, 60)!r}"
        if self.status is None:
            run += ", a new one"
        parts = [f"replays {plural(len(self.replays), 'task')}"] if self.replays else []
        if self.waits:
            parts.append(f"waits until {moment(max(each.until for each in self.waits).timestamp())}")
        if self.runs:
            parts.append(f"executes {plural(len(self.runs), 'task')}{self._length()}")
        if self.ends == "complete":
            parts.append("returns its output" if parts else "has no task, and returns its output")
        elif self.ends == "error":
            parts.append(f"fails with {type(self.error).__name__}")
        return f"{run}: {_listed(parts)}" if parts else f"{run}: nothing is known of what it does"

    def _length(self) -> str:
        if self.expected is None:
            return ""
        unknown = sum(each.expected is None for each in self.runs)
        more = f" and {unknown:,} of unknown length" if unknown else ""
        return f" ({_about(self.expected)}{more})"

    def _rows(self) -> list[tuple[str, ...]]:
        """A row for each task, or for the items of a map; the first of them."""
        rows = [
            (_named(each.path, each.name), "waits", _until(each.until), each.place) for each in self.waits
        ]
        rows += [_row(group) for group in _grouped(self.runs)]
        left = len(rows) - _ROWS
        return [*rows[:_ROWS], (f"… and {left:,} more", "", "", "")] if left > 0 else rows

    def _remarks(self) -> Iterator[str]:
        if self.changed:
            kept = len(self.changed)
            yield (
                f"{plural(kept, 'replayed task')} {'has' if kept == 1 else 'have'} changed and "
                f"{'keeps its result' if kept == 1 else 'keep their results'}: {_some(self.changed)}. "
                'on_change="only" runs what has changed again, "rerun" also what came after it.'
            )
        if self.error is not None:
            yield visible(self.message, _SAID)
        if self.ends == "unknown":
            they = "it returns" if len(self.runs) == 1 else "they return"
            depends = f"depends on what {they}" if self.runs else "is not known"
            yield f"What comes after that {depends}.{self._followed()}"
        yield from self.notes

    def _followed(self) -> str:
        if not self.followed:
            return ""
        length = f", {_about(self.followed_expected)}" if self.followed_expected else ""
        return f" In earlier runs {plural(self.followed, 'more task')} came{length}."


# Making one ----------------------------------------------------------------------------------------


def make_plan(runtime: Runtime, work: Work, run: RunRecord, *, is_new: bool) -> Plan:
    """The plan of the next pass of a run. Its record stays as it is. Raises `StoreError`."""
    status = None if is_new else runtime.status_of(run)
    notes = _notes(runtime, run, status)
    rehearsal = rehearse(runtime, work, run)
    estimate = _Estimate(runtime, run, rehearsal)
    runs, expected = estimate.tasks()
    ends = _ends(rehearsal)
    followed, followed_expected = estimate.rest() if ends == "unknown" else (0, 0.0)
    replays = rehearsal.replayed
    found = rehearsal.changes.found
    error = rehearsal.error
    return Plan(
        run_id=run.id, job_id=run.job, status=status, replays=tuple(replays),
        changed={path: found[path] for path in replays if path in found}, runs=runs,
        waits=tuple(_wait(met) for met in rehearsal.waits), ends=ends, error=error,
        message="" if error is None else _told(rehearsal, error),
        expected=expected, followed=followed, followed_expected=followed_expected, notes=notes,
    )  # fmt: skip


def _ends(rehearsal: DryPass) -> Ends:
    if rehearsal.error is not None:
        return "error"
    is_known = rehearsal.stopping.why == Stop.ENDED and rehearsal.result is not None and not rehearsal.bodies
    return "complete" if is_known else "unknown"


def _told(rehearsal: DryPass, error: BaseException) -> str:
    data = rehearsal.run_error_data(error)
    return error_line(data, _SAID)


def _notes(runtime: Runtime, run: RunRecord, status: RunStatus | None) -> tuple[str, ...]:
    if run.id in runtime.executions:
        return ("The run is under way: running the cell joins it, and edited code takes over.",)
    if status == RunStatus.RUNNING:
        return ("Another kernel drives the run: it cannot be run here before it has come to rest there.",)
    return ()


def _wait(met: Met) -> PlannedWait:
    call = met.call
    assert call is not None
    assert met.due is not None
    return PlannedWait(call.path, _name(call.options), to_datetime(met.due), show_place(call.place))


def _name(options: Any) -> str:
    return secrets.hide(str(options.get("name", "")))


class _Estimate:
    """What would run, with how long that probably takes: as in this run's other items, or in earlier runs."""

    def __init__(self, runtime: Runtime, run: RunRecord, rehearsal: DryPass) -> None:
        self._rehearsal = rehearsal
        self._earlier = runtime.foresee(run, tasks=True)
        self._nodes = {path: _Items(rehearsal.stored, path) for path in rehearsal.walked}
        self._places: dict[int, str] = {}  # by the id of a call's place, which many items share

    def tasks(self) -> tuple[tuple[PlannedTask, ...], float | None]:
        """Those that would run, and how many seconds they take together."""
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
            path=path, name=_name(call.options), reason=met.reason, place=place,
            changed=self._rehearsal.changes.found.get(path, "") if met.reason == Reason.CHANGED else "",
            due=None if met.due is None else to_datetime(met.due), expected=self._of(path),
        )  # fmt: skip

    def _of(self, path: str) -> float | None:
        node = self._nodes.get(parent_path(path))
        if node is not None and node.takes is not None:
            return node.takes
        known = self._earlier.of(path)
        return known if known is not None else _took(self._rehearsal.stored, path)

    def _share(self, path: str, takes: float) -> float:
        """How much longer the run probably gets by a task."""
        around = parent_path(path)
        node = self._nodes.get(around)
        if node is None:
            return takes
        return self._earlier.items.get(around, takes) if node.share is None else node.share

    def rest(self) -> tuple[int, float]:
        """What earlier runs did beyond all that was met: how many tasks, and their seconds."""
        met = {*self._rehearsal.header.reasons, *self._rehearsal.walked}
        # Of a task with subtasks, and of a map, as one: its own time is theirs.
        rest = [
            seconds
            for path, seconds in self._earlier.tasks.items()
            if path not in met and not parent_path(path)
        ]
        return len(rest), sum(rest)


class _Items:
    """How long the items of a map or parallel took that this run has completed, in seconds; None of none."""

    takes: float | None = None  # one of them
    share: float | None = (
        None  # how much longer the map got by it: they run side by side, or wait for each other
    )

    def __init__(self, stored: dict[str, str], node: str) -> None:
        prefix = f"{node}/"
        paths = (path for path in stored if path.startswith(prefix) and parent_path(path) == node)
        records = (readable_task(path, stored[path]) for path in islice(paths, _SAMPLE))
        spans: dict[int, list[tuple[float, float]]] = defaultdict(list)
        for record in records:
            if record.status == TaskStatus.COMPLETED and record.ended_at is not None:
                # By pass, whose number is in its ordinals: between two of them there may be days.
                spans[record.ended >> 32].append((record.started_at, record.ended_at))
        took = [max(0.0, end - start) for each in spans.values() for start, end in each]
        if took:
            self.takes = median(took)
            lasted = sum(
                max(end for _, end in each) - min(start for start, _ in each) for each in spans.values()
            )
            self.share = max(0.0, lasted) / len(took)


def _took(stored: dict[str, str], path: str) -> float | None:
    """How long a task took when this run last completed it."""
    record = readable_task(path, stored[path]) if path in stored else None
    if record is None or record.status != TaskStatus.COMPLETED or record.ended_at is None:
        return None
    return max(0.0, record.ended_at - record.started_at)


# For the eye ---------------------------------------------------------------------------------------

_TITLES = ("Task", "Why", "Takes", "Called at")


def _grouped(tasks: Sequence[PlannedTask]) -> Iterator[list[PlannedTask]]:
    """The tasks one by one, but many items of a map or parallel that run for one reason together."""
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
    """A length that is known about; "" where it is not."""
    if seconds is None:
        return ""
    text = duration(seconds)
    return text if text.startswith("<") else f"about {text}"


def _until(when: datetime) -> str:
    return f"until {moment(when.timestamp())}"


def _some(paths: Iterable[str]) -> str:
    """The first few of them."""
    names = [display_path(path) for path in paths]
    shown = ", ".join(visible(name, 40) for name in names[:_ITEMS])
    return f"{shown} and {len(names) - _ITEMS:,} more" if len(names) > _ITEMS else shown


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])}, then {parts[-1]}"


def _lines(table: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Aligned columns."""
    cut = [[fit(visible(cell, _SHOWN), _WIDEST) for cell in cells] for cells in table]
    widths = [max(map(columns, column)) for column in zip(*cut, strict=True)]
    for cells in cut:
        padded = (cell + " " * (width - columns(cell)) for cell, width in zip(cells, widths, strict=True))
        yield "  ".join(padded).rstrip()


def _html_row(cells: tuple[str, ...]) -> str:
    name, *others = (markup(cell, _SHOWN) for cell in cells)
    return f"<tr><td><b>{name}</b></td>{''.join(f'<td>{each}</td>' for each in others)}</tr>"
