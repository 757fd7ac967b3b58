"""The texts that help a reader of a run: hints in its header, and lines of code that act on the run."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from keyword import iskeyword

from ..._keys import display_path
from ..._records.records import RunRecord, has_handled_failures, is_queued
from ..._records.status import RunStatus
from ..escape import visible
from ..words import moment, plural, remaining
from .rows import Row, State, position
from .run_model import RunModel

_MOST = 6  # hints of the engine that are shown


@dataclass(frozen=True, slots=True)
class Action:
    """An action on a run: a label, and the line of code that performs the action."""

    label: str
    code: str


def hints(model: RunModel, *, counting: bool = True) -> list[str]:
    """The hints of a run's header; code is between backticks.

    Without `counting`, the hint of a wait has no countdown, which would soon be out of date.
    """
    own = [
        *_fork_hint(model),
        *_waiting_hint(model, counting=counting),
        *_replayed_hint(model),
        *_changed_hint(model),
        *_not_reached_hint(model),
    ]
    engine = model.engine_hints
    left_out = len(engine) - _MOST
    return [*own, *engine[:_MOST], *([f"… and {left_out:,} more"] if left_out > 0 else [])]


def _fork_hint(model: RunModel) -> Iterator[str]:
    if forked := model.run.forked:
        yield f"A fork of run {forked['run']} at {display_path(forked['path'])!r}."


def _waiting_hint(model: RunModel, *, counting: bool) -> Iterator[str]:
    run = model.run
    if is_queued(run):
        yield "Queued: starts as soon as the limit of its job allows."
        return
    if run.reason == "pausing":
        yield "Pausing: tasks that run end, and no other begins. `run.pause(now=True)` cuts them."
    if run.status != RunStatus.WAITING:
        return
    if run.reason == "paused":
        yield "Paused: no task starts until `run.resume()`."
        return
    if (when := model.next_at) is not None:
        waits_for = "Next attempt at" if run.reason == "retry" else "Waiting until"
        left = f" ({remaining(when - model.now)})" if counting else ""
        yield f"{waits_for} {moment(when)}{left}."
    if model.awaited:
        yield "`await` keeps this cell busy until then; `.start(...)` instead of `.run(...)` does not."


def _replayed_hint(model: RunModel) -> Iterator[str]:
    reached = model.tally.tasks - model.tally.states[State.NOT_REACHED]
    if model.run.status == RunStatus.COMPLETED and 0 < reached == model.tally.replayed:
        rows = model.root.standing()
        ends = (row.record.ended_at for row in rows if row.record is not None and row.replayed)
        last = max((end for end in ends if end), default=None)
        when = f"; it ran on {moment(last)}" if last else ""
        yield f"Everything was replayed{when}. {_call(model.run, 'fresh=True')} starts a new run."


def _changed_hint(model: RunModel) -> Iterator[str]:
    if kept := [row for row in model.changed.values() if row.replayed]:
        first = heapq.nsmallest(_NAMED, kept, key=position)
        names = ", ".join(f"`{visible(row.display_path, 60)}` ({visible(row.changed, 100)})" for row in first)
        more = f" and {len(kept) - _NAMED:,} more" if len(kept) > _NAMED else ""
        is_one = len(kept) == 1
        reused = "has changed; its stored result was" if is_one else "have changed; their stored results were"
        yield (
            f"{names}{more} {reused} reused. {_call(model.run, _ONLY)} runs {'it' if is_one else 'them'} again, "
            '`on_change="rerun"` also all tasks that started later.'
        )


_NAMED = 3
_ONLY = 'on_change="only"'


def _not_reached_hint(model: RunModel) -> Iterator[str]:
    if model.ended and (left := model.tally.states[State.NOT_REACHED]):
        yield f"{plural(left, 'task')} of an earlier pass not reached in this pass; results are kept."


def _name_of_job(run: RunRecord) -> str:
    """The variable that holds the job in the notebook, which mostly is the job's id; "" if it cannot be."""
    return run.job if run.job.isidentifier() and not iskeyword(run.job) else ""


def _call(run: RunRecord, option: str) -> str:
    """The call of the job with an option, as code."""
    job = _name_of_job(run)
    return f"`{job + '.' if job else ''}run(..., {option})`"


def actions(model: RunModel) -> list[Action]:
    """The actions that make sense in the run's current status, each with the line to type."""
    run = model.run
    match run.status:
        case RunStatus.FAILED:
            again = Action(
                "Run failed tasks again, keep all other results (same as running the cell again)",
                "run.retry()",
            )
            return [again, *_rerun(model), _handle(run)]
        case RunStatus.INTERRUPTED | RunStatus.CANCELED:
            again = Action("Continue where the run stopped (same as running the cell again)", "run.resume()")
            return [again, *_rerun(model), _handle(run)]
        case RunStatus.WAITING if run.reason == "paused":
            return [Action("Resume", "run.resume()"), Action("Cancel", "run.cancel()")]
        case RunStatus.WAITING:
            return [*_skips(model), Action("Pause", "run.pause()"), Action("Cancel", "run.cancel()")]
        case RunStatus.COMPLETED if has_handled_failures(run):
            again = Action("Run tasks again whose errors the code handled", 'run.retry(which="all")')
            return [again, _handle(run)]
        case _:
            return []


def _handle(run: RunRecord) -> Action:
    # Through the job: a notebook need not have a variable for its client.
    job = _name_of_job(run)
    return Action("Get a handle to this run", f"run = {job + '.' if job else ''}client.run({run.id!r})")


def _rerun(model: RunModel) -> list[Action]:
    # The innermost: to rerun a map would repeat all its items.
    rows: Sequence[Row] = [row for row in model.failures if not row.tally.states[State.FAILED]]
    rows = rows or [row for row in model.rows.values() if row.state is State.UNFINISHED]
    return [
        Action(
            f"Run {visible(row.name, 60)} and all tasks that started after it again",
            f"run.rerun_from({row.display_path!r})",
        )
        for row in rows[:1]
    ]


def _skips(model: RunModel) -> list[Action]:
    waiting = [row for row in model.active.values() if row.next_at is not None]
    return [
        Action(f"Skip the wait {visible(row.name, 60)}", f"run.skip_wait({row.display_path!r})")
        for row in waiting[:3]
    ]
