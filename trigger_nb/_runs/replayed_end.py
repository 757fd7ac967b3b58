"""A pass that replays everything must end as the pass before it did. If it ends otherwise, the run's header warns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import _values
from .._records.status import Reason, RunStatus
from .._view.model.hints import WARNING

if TYPE_CHECKING:
    from .._engine.pass_ import Pass
    from .._records.records import RunRecord
    from .runtime import Runtime

_READABLE = ("", "tagged", "file")  # a pickle of equal values may differ
_WHY = (
    "The job's function uses something that is neither its payload nor a result of a task: a list that bodies append "
    "to, a global, the time, a random number. A replay calls no bodies, so what they change is not brought back: return "
    "it from the task, and use what `await` gives."
)
_FAILS = f"{WARNING}The run fails, though it was completed before and all its tasks were replayed. {_WHY}"
_OTHER = f"{WARNING}The output is not the one of the first pass, though all tasks were replayed. {_WHY}"


def unlike_before(runtime: Runtime, before: RunRecord, run: RunRecord, pass_: Pass) -> str:
    """A warning for the header if code, payload and results of tasks are those of an earlier pass, and the end is not.

    `before` is the run's record as the pass before left it. The text is empty if the ends are equal, or may differ.
    """
    if not 0 < run.stable_since < run.passes:
        return ""
    if not pass_.reasons or any(reason != Reason.REPLAYED for reason in pass_.reasons.values()):
        return ""
    was_completed = before.last_ending == RunStatus.COMPLETED
    if run.last_ending == RunStatus.FAILED:
        return _FAILS if was_completed or _FAILS in before.hints else ""
    if run.last_ending != RunStatus.COMPLETED or not was_completed:
        return ""
    return _OTHER if _OTHER in before.hints or _differs(runtime, before, run) else ""


def _differs(runtime: Runtime, before: RunRecord, run: RunRecord) -> bool:
    if before.form not in _READABLE or run.form not in _READABLE:
        return False
    if before.form == run.form and before.output == run.output:
        return False
    try:  # the order of a set, or NaN, makes unequal data of an equal value
        return _canonical(runtime, before) != _canonical(runtime, run)
    except Exception:  # noqa: BLE001  # a class that is gone, or one of the user's: there is nothing to say
        return False


def _canonical(runtime: Runtime, run: RunRecord) -> Any:
    return _values.canonical(_values.load(run.form, run.output, runtime.store.blobs(run.id)))
