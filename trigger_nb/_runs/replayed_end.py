"""The end of a pass that replayed everything, beside the end of an earlier pass: code that changes what a replay does
not bring back is noticed here, whatever it changes."""

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
    """A hint at an end that is another than that of an earlier pass, with the same code, payload and results of tasks.

    `before` is the run's record as the pass before left it. Empty if the ends are alike, or may differ.
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
