"""The texts that help a reader of a run: hints in its header, and lines of code that act on the run."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from keyword import iskeyword

from ..._keys import display_path
from ..._main_file import near_places
from ..._records.questions import KIND as QUESTION, question_of, ways_to_answer
from ..._records.records import RunRecord, has_handled_failures, is_queued
from ..._records.status import RunStatus
from ..escape import visible
from ..words import moment, plural, remaining, utc
from .alike import told_together
from .rows import Row, State, position
from .run_model import RunModel

_MOST = 6  # hints of the engine that are shown
_LOOKED_AT = 200  # failures in which equal errors are looked for


@dataclass(frozen=True, slots=True)
class Action:
    """An action on a run: a label, and the line of code that performs the action."""

    label: str
    code: str


def hints(model: RunModel, *, counting: bool = True) -> list[str]:
    """The hints of a run's header; code is between backticks.

    Without `counting`, the time until which the run waits is left out: a live header counts down to it.
    """
    own = [
        *_fork_hint(model),
        *_skipping_hint(model),
        *_question_hint(model, counting=counting),
        *_left_hint(model),
        *_waiting_hint(model, counting=counting),
        *_replayed_hint(model),
        *_changed_hint(model),
        *_not_reached_hint(model),
        *_alike_hint(model),
    ]
    engine = [near_places(hint) for hint in model.engine_hints[:_MOST]]
    left_out = len(model.engine_hints) - _MOST
    return [*own, *engine, *([f"… and {left_out:,} more"] if left_out > 0 else [])]


def _alike_hint(model: RunModel) -> Iterator[str]:
    """Equal errors of tasks; the items of maps are told together below their map."""
    alone = (row for row in model.failures[:_LOOKED_AT] if row.parent is None or row.parent.stats is None)
    innermost = (row for row in alone if not row.tally.states[State.FAILED])
    for line in told_together((visible(row.name, 40), row.error) for row in innermost):
        yield line.replace("`", "'")  # which would begin code


def _fork_hint(model: RunModel) -> Iterator[str]:
    if forked := model.run.forked:
        yield f"A fork of run {forked.get('run', '')} at {display_path(forked.get('path', ''))!r}."


def _waiting_hint(model: RunModel, *, counting: bool) -> Iterator[str]:
    run = model.run
    if is_queued(run):
        turn = model.stands.turn
        before = "" if turn is None else f" ({turn.before:,} before it)" if turn.before else " (it is next)"
        yield f"Queued{before}: starts as soon as the limit of its job allows."
        return
    if run.reason == "pausing":
        yield "Pausing: tasks that run end, and no other begins. `run.pause(now=True)` cuts them."
    if run.status != RunStatus.WAITING:
        return
    if run.reason == "paused":
        yield "Paused: no task starts until `run.resume()`."
        return
    if counting and (waits := waiting(model)) is not None:
        words, when = waits
        yield f"{words} {moment(when)} ({remaining(when - model.now)})."
    if model.awaited and run.reason == "answer":
        yield "`await` keeps this cell busy until there is an answer; `.start(...)` instead of `.run(...)` does not."
    elif model.awaited:
        yield "`await` keeps this cell busy until then; `.start(...)` instead of `.run(...)` does not."


def _skipping_hint(model: RunModel) -> Iterator[str]:
    if model.run.waits == "skip":
        yield 'Waits are skipped: `waits="skip"`.'


def _question_hint(model: RunModel, *, counting: bool) -> Iterator[str]:
    """The open questions, which a live tree shows by itself; and the answers that were refused."""
    if model.at_rest and model.run.status not in (RunStatus.INTERRUPTED, RunStatus.WAITING):
        return
    rows = open_questions(model)
    for row in rows[:NAMED]:
        question = question_of(row.record) if row.record is not None else None
        prompt = visible(question.prompt, 300).replace("`", "'") if question is not None else ""
        if counting:
            yield f"`{visible(row.display_path, 60)}` waits for an answer{': ' + prompt if prompt else '.'}"
        if question is not None and question.refused:
            yield WARNING + visible(question.refused, 300).replace("`", "'")
    if counting and len(rows) > NAMED:
        yield f"… and {len(rows) - NAMED:,} more questions: `client.approvals()`"


def open_questions(model: RunModel) -> list[Row]:
    """The rows that wait for an answer, the oldest first."""
    rows = (row for row in model.active.values() if row.kind == QUESTION and row.state is State.WAITING)
    return sorted(rows, key=position)


def _left_hint(model: RunModel) -> Iterator[str]:
    """What is due in a run that no kernel drives."""
    if not model.run.is_left:
        return
    rows = [row for row in model.active.values() if row.next_at is not None and row.next_at <= model.now]
    first = heapq.nsmallest(NAMED, rows, key=lambda row: row.next_at or 0.0)
    if first:
        names = ", ".join(f"`{visible(row.display_path, 60)}`" for row in first)
        more = f" and {len(rows) - NAMED:,} more" if len(rows) > NAMED else ""
        since = moment(first[0].next_at or 0.0)
        yield f"{WARNING}Due since {since}, and no kernel drives the run: {names}{more}. `{_find(model.run)}.resume()` goes on."
    elif model.run.wake_at is not None:
        yield f"{WARNING}What the run waits for has come, and no kernel drives it. `{_find(model.run)}.resume()` goes on."
    elif open_questions(model):
        yield f"No kernel drives the run. `{_find(model.run)}.resume()` goes on with the answer."
    elif model.run.status == RunStatus.WAITING:
        yield f"No kernel drives the run. `{_find(model.run)}.resume()` waits for the rest of it."


def waiting(model: RunModel) -> tuple[str, float] | None:
    """What comes at the end of the wait that the run is in, as words before a time, and that time; None if it does not wait."""
    run, when = model.run, model.next_at
    if run.reason == "answer":  # the end of another wait would be no end of this one
        limits = (row.next_at for row in open_questions(model))
        when = min((limit for limit in limits if limit is not None), default=None)
    if run.status != RunStatus.WAITING or run.reason in ("paused", "queued") or when is None or run.is_left:
        return None
    words = {"retry": "Next attempt at", "answer": "Waiting for an answer, or until"}
    return words.get(run.reason, "Waiting until"), when


def _replayed_hint(model: RunModel) -> Iterator[str]:
    reached = model.tally.tasks - model.tally.states[State.NOT_REACHED]
    if (
        model.run.status == RunStatus.COMPLETED
        and 0 < reached == model.tally.replayed
        and not model.tally.reused
    ):
        rows = model.root.standing()
        ends = (row.record.ended_at for row in rows if row.record is not None and row.replayed)
        last = max((end for end in ends if end), default=None)
        when = f"; it ran on {moment(last)}" if last else ""
        yield f"Everything was replayed{when}. {_call(model.run, 'fresh=True')} starts a new run."


def _changed_hint(model: RunModel) -> Iterator[str]:
    if kept := [row for row in model.changed.values() if row.replayed]:
        first = heapq.nsmallest(NAMED, kept, key=position)
        yield WARNING + changed(model.run, [(row.path, row.difference) for row in first], len(kept))


def changed(run: RunRecord, first: Sequence[tuple[str, str]], count: int, method: str = "run") -> str:
    """The text that results of changed code were reused: of `count` tasks, of which the `first` are named."""
    names = ", ".join(f"`{visible(display_path(path), 60)}` ({visible(what, 150)})" for path, what in first)
    more = f" and {count - len(first):,} more" if count > len(first) else ""
    reused = "has changed; its stored result was" if count == 1 else "have changed; their stored results were"
    return (
        f"{names}{more} {reused} reused. {_call(run, _ONLY, method)} runs {'it' if count == 1 else 'them'} again, "
        '`on_change="rerun"` also all tasks that started later.'
    )


NAMED = 3  # tasks that are named in a hint
WARNING = "⚠ "  # how a hint begins that is shown in the colour of a warning
_ONLY = 'on_change="only"'


def _not_reached_hint(model: RunModel) -> Iterator[str]:
    if model.ended and (left := model.tally.states[State.NOT_REACHED]):
        yield f"{plural(left, 'task')} of an earlier pass not reached in this pass; results are kept."


def _name_of_job(run: RunRecord) -> str:
    """The variable that holds the job in the notebook, which mostly is the job's id; "" if it cannot be."""
    return run.job if run.job.isidentifier() and not iskeyword(run.job) else ""


def _call(run: RunRecord, option: str, method: str = "run") -> str:
    """The call of the job with an option, as code."""
    job = _name_of_job(run)
    return f"`{job + '.' if job else ''}{method}(..., {option})`"


def without_kernel(run: RunRecord) -> str:
    """What to do if the kernel that drove the run has died; "" for a run that has completed."""
    if run.status == RunStatus.COMPLETED:
        return ""
    method = "retry" if run.status == RunStatus.FAILED else "resume"
    return (
        "Run the cell again: what is done is kept. In a new kernel, first run the cell that defines the job; then "
        f"`{_find(run)}.{method}()` continues the run from any cell."
    )


def last_seen(model: RunModel) -> str:
    """When a picture of a run under way was taken, and what shows the run as it is now; "" for a run that has ended."""
    if model.ended:
        return ""
    run = model.run
    return (
        f"Last seen {run.status.lower()} at {utc(model.now)}. To see the run as it is now, run the cell "
        f"again (what is done is kept), or type `run = {_find(run)}` and `run`."
    )


def to_answer(model: RunModel) -> list[str]:
    """What to type to answer the open questions, for a picture of a run under way."""
    rows = [row for row in open_questions(model)[:NAMED] if row.record is not None]
    ways = [
        [f"`{visible(code, 300)}`" for _, code in ways_to_answer(row.record)] for row in rows if row.record
    ]
    return [f"To answer, type {' or '.join(codes)}." for codes in ways]


NO_WIDGET = (
    "This picture does not move. For the live tree, install its widget where Jupyter's server runs, `pip install anywidget`, "
    "and reload the page."
)


def actions(model: RunModel) -> list[Action]:
    """The actions that make sense in the run's current status, each with the line to type."""
    run = model.run
    if not model.offers_actions:
        return []
    match run.status:
        case RunStatus.FAILED:
            again = Action(
                "Run failed tasks again, keep all other results (same as running the cell again)",
                "run.retry()",
            )
            return [again, *_rerun(model), _handle(run)]
        case RunStatus.INTERRUPTED | RunStatus.CANCELED:
            again = Action("Continue where the run stopped (same as running the cell again)", "run.resume()")
            asks = _answers(model) if run.status == RunStatus.INTERRUPTED else []
            return [*asks, again, *_rerun(model), _handle(run)]
        case RunStatus.WAITING if run.reason == "paused":
            return [Action("Resume", "run.resume()"), Action("Cancel", "run.cancel()")]
        case RunStatus.WAITING if model.run.is_left:
            again = Action("Go on: no kernel drives the run (same as running the cell again)", "run.resume()")
            return [*_answers(model), again, *_skips(model), _handle(run)]
        case RunStatus.WAITING:
            return [
                *_answers(model),
                *_skips(model),
                Action("Pause", "run.pause()"),
                Action("Cancel", "run.cancel()"),
            ]
        case RunStatus.COMPLETED if has_handled_failures(run):
            again = Action("Run tasks again whose errors the code handled", 'run.retry(which="all")')
            return [again, _handle(run)]
        case _:
            return []


def _handle(run: RunRecord) -> Action:
    return Action("Get a handle to this run", f"run = {_find(run)}")


def _find(run: RunRecord) -> str:
    # Through the job: a notebook need not have a variable for its client.
    job = _name_of_job(run)
    return f"{job + '.' if job else ''}client.run({run.id!r})"


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


def _answers(model: RunModel) -> list[Action]:
    found: list[Action] = []
    for row in open_questions(model)[:NAMED]:
        for choice, code in ways_to_answer(row.record) if row.record is not None else ():
            label = visible(f"{choice or 'Answer'} {row.name}", 80)
            found.append(Action(label[:1].upper() + label[1:], visible(code, 400)))
    return found


def _skips(model: RunModel) -> list[Action]:
    waiting = [row for row in model.active.values() if row.next_at is not None and row.kind != QUESTION]
    return [
        Action(f"Skip the wait {visible(row.name, 60)}", f"run.skip_wait({row.display_path!r})")
        for row in waiting[:3]
    ]
