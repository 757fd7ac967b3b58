"""What can be done to a run by hand, and why it makes no sense now (rule D3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from .._keys import ancestors, display_path
from .._records.forget import forget
from .._records.records import RunRecord
from .._records.status import OPERATIONS, Operation, RunStatus
from .._store import lease as leases
from .._view.escape import visible
from .._view.live.wire import Button
from .._view.words import plural
from ..errors import UsageError
from .runtime import Runtime

_LABELS: dict[Operation, str] = {
    "pause": "Pause",
    "resume": "Resume",
    "cancel": "Cancel",
    "retry": "Retry",
    "skip_wait": "Skip the wait",
    "rerun_from": "Rerun from here",
    "delete": "Delete",
}
_BEGINS_A_PASS = frozenset({"resume", "retry", "rerun_from"})
_WENT_WELL = frozenset({RunStatus.PENDING, RunStatus.RUNNING, RunStatus.WAITING, RunStatus.COMPLETED})


class Handle(Protocol):
    """A run, as far as it is needed here."""

    @property
    def id(self) -> str: ...
    def pause(self) -> Any: ...
    def resume(self) -> Any: ...
    def cancel(self) -> Any: ...
    def retry(self) -> Any: ...
    def skip_wait(self, path: str | Sequence[Any], /) -> Any: ...
    def rerun_from(self, path: str | Sequence[Any], /) -> Any: ...


class RunControls:
    """The buttons of one run. All that they do and all that they refuse comes from `OPERATIONS`."""

    def __init__(self, run: Handle, runtime: Runtime) -> None:
        self._run = run
        self._runtime = runtime

    def buttons(self, run: RunRecord) -> list[Button]:
        """The actions on the run: it can be paused or resumed, never both."""
        stands = self._stands(run)
        return [
            self.button("resume" if stands else "pause", run, main=stands),
            self.button("cancel", run),
            self.button("retry", run, main=run.status == RunStatus.FAILED),
        ]

    def row_buttons(self, run: RunRecord) -> list[Button]:
        """The actions on a task."""
        return [self.button("skip_wait", run), self.button("rerun_from", run)]

    def do(self, operation: str, path: str | None) -> None:
        """Take the action; raises `TriggerError` when it makes no sense (any more)."""
        match operation:
            case "pause" | "resume" | "cancel" | "retry":
                getattr(self._run, operation)()
            case "skip_wait" | "rerun_from" if path:
                getattr(self._run, operation)(path)
            case _:
                raise UsageError(f"there is no action {operation!r} for this")

    def scope_of_rerun(self, path: str) -> tuple[int, str]:
        """How many tasks `rerun_from` would run again, and which, for whoever is about to do it."""
        records = {record.path: record for record in self._runtime.task_records(self._run.id, running=True)}
        if path not in records:
            raise UsageError("it has not begun, so there is nothing to run again")
        forgotten = {record.path for record in forget(records, path) if record.kind != "log"}
        around = {each for inner in forgotten for each in ancestors(inner) if each in records}
        again = sorted(forgotten | around, key=lambda each: (each != path, records[each].started))
        names = ", ".join(visible(display_path(each), 60) for each in again[:3])
        rest = f" and {len(again) - 3:,} more" if len(again) > 3 else ""
        return len(again), f"Runs {plural(len(again), 'task')} again: {names}{rest}"

    def button(self, operation: Operation, run: RunRecord, *, main: bool = False) -> Button:
        why = self._why_not(operation, run)
        return Button(operation, _LABELS[operation], why, main and not why)

    def _stands(self, run: RunRecord) -> bool:
        """Whether nothing happens before somebody says so. A wait is over only where a kernel drives it."""
        status = RunStatus(run.status)
        if status == RunStatus.WAITING and run.reason != "paused":
            return run.id not in self._runtime.executions and not self._is_driven_elsewhere(run, status)
        return run.reason == "paused" or status in (RunStatus.INTERRUPTED, RunStatus.CANCELED)

    def _why_not(self, operation: Operation, run: RunRecord) -> str:
        """ "" when it makes sense."""
        status = RunStatus(run.status)
        after = OPERATIONS[operation][status]
        if not isinstance(after, RunStatus):
            return _sentence(after)
        if operation == "cancel" and status == RunStatus.CANCELED:
            return "It is canceled"
        if operation == "retry" and status in _WENT_WELL:
            return "Nothing has failed"
        if run.id in self._runtime.executions:
            return "It is under way: cancel it first" if operation == "delete" else ""
        if self._is_driven_elsewhere(run, status):
            return "Another kernel drives the run"
        if operation in _BEGINS_A_PASS:
            return why_no_job(self._runtime, run)
        return ""

    def _is_driven_elsewhere(self, run: RunRecord, status: RunStatus) -> bool:
        under_way = status in (RunStatus.RUNNING, RunStatus.WAITING) and run.reason != "paused"
        return bool(
            under_way
            and run.holder is not None
            and leases.is_held(self._runtime.store.directory, run.id, run.holder)
        )


def why_no_job(runtime: Runtime, run: RunRecord) -> str:
    """Why no pass of the run can begin here; "" when its job is defined in this kernel."""
    known = run.job in runtime.jobs
    return "" if known else f"Job {run.job!r} is not defined in this kernel: run the cell that defines it"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
