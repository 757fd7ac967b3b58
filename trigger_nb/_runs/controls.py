"""The buttons of a run in a display: which are enabled, why the others are not, and their actions (D3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from .._keys import ancestors, display_path
from .._records.feed import Hinted
from .._records.forget import forget
from .._records.reading import readable_task
from .._records.records import RunRecord, TaskRecord, has_handled_failures
from .._records.status import OPERATIONS, Operation, RunStatus
from .._records.stops import is_at_stop
from .._store import lease as leases
from .._view.escape import visible
from .._view.live.wire import PAGE, Button, Wire
from .._view.words import plural
from ..errors import UsageError
from . import answering, commands, moving
from .cell_lines import cell_lines
from .notify_option import BROWSER
from .runtime import RestartableJob, Runtime
from .task_info import find_tasks
from .task_paths import NormalPath

_LABELS: dict[Operation, str] = {
    "pause": "Pause",
    "resume": "Resume",
    "cancel": "Cancel",
    "retry": "Retry",
    "skip_wait": "Skip the wait",
    "rerun_from": "Rerun from here",
    "accept": "Accept",
    "delete": "Delete",
}
_GOES_ON = "Continue"  # after the first items of a map
_NEED_JOB = frozenset({"resume", "retry", "rerun_from", "accept"})
_BY_THE_STORE = frozenset({"pause", "cancel", "skip_wait"})  # which another process is asked for
_WITHOUT_FAILURE = frozenset({RunStatus.PENDING, RunStatus.RUNNING, RunStatus.WAITING, RunStatus.COMPLETED})


class RunControls:
    """The buttons of one run. `OPERATIONS` decides which are enabled, as it does for the methods of `Run`."""

    def __init__(self, runtime: Runtime, run_id: str, widget_of: Callable[[str], str] | None = None) -> None:
        self._runtime = runtime
        self._run_id = run_id
        self._widget_of = widget_of  # makes the widget of a run that is started here, and tells its id
        self._others: list[tuple[str, str]] = []  # these runs and widgets

    def buttons(self, run: RunRecord) -> list[Button]:
        """The buttons for the run. It has either a pause or a resume button."""
        is_idle = self._is_idle(run)
        label = "Pause now" if self._is_pausing else _GOES_ON if is_at_stop(run) else ""
        return [
            self.button("resume" if is_idle else "pause", run, main=is_idle, label=label),
            self.button("cancel", run),
            self.button("retry", run, main=run.status == RunStatus.FAILED),
            *self._moves(run),
        ]

    def _moves(self, run: RunRecord) -> list[Button]:
        """The button that moves the run to a worker, or back."""
        if run.id in self._runtime.executions:
            cuts = run.id in self._runtime.moving and self._is_pausing
            return [Button("detach", "Detach now" if cuts else "Detach")]
        if self._is_driven_elsewhere(run, RunStatus(run.status)):
            is_coming = run.id in self._runtime.moving
            return [Button("attach", "Attach now" if is_coming else "Attach", why_no_job(self._runtime, run))]
        return []

    def row_buttons(self, run: RunRecord) -> list[Button]:
        """The buttons for a task. The front end shows those that make sense for it."""
        buttons = [
            self.button("skip_wait", run),
            self.button("accept", run),
            self.button("rerun_from", run),
        ]
        if self._has_stopped(run):
            buttons.append(Button("go_on", _GOES_ON, self._why_not("resume", run)))
        return buttons

    def page(self, run: RunRecord) -> Wire:
        """What a page does for the run beside showing it."""
        job = self._runtime.jobs.get(run.job)
        if job is None:
            return {**PAGE, "titled": True}
        return {
            "notifies": BROWSER in job._job_runs.notifiers(run.id) and not run.parent,
            "titled": job.client.tab_title and not run.parent,
            "run_with": "" if job.enabled else f"Job {run.job!r} is disabled",
            "others": list(self._others),
        }

    def payloads(self) -> list[dict[str, Any]]:
        """What another run of the job may be started with."""
        return self._job()._payload_forms(self._run_id).choices()

    def run_with(self, source: str, data: object, *, is_edited: bool, is_test: bool) -> str:
        """Start another run of the job, and show it; its id. Raises `TriggerError`, also if the payload does not fit."""
        job = self._job()
        payload = job._payload_forms(self._run_id).payload(source, data, is_edited=is_edited)
        started = job._start_with(payload, is_test=is_test)
        if self._widget_of is not None:
            self._others.append((started, self._widget_of(started)))
        # For those who read the file.
        text = f'Started with another payload: `client.run("{started}")` shows it.'
        self._runtime.feed(self._run_id).emit(Hinted(text))
        return started

    def _job(self) -> RestartableJob:
        return commands._defined_job(self._runtime, self._runtime.require_run(self._run_id))

    def do(self, operation: str, path: str | None) -> None:
        """Perform the action of a button. Raises `TriggerError` if the run's status does not allow it (any more)."""
        runtime, run_id = self._runtime, self._run_id
        match operation:
            case "pause":
                commands.pause(runtime, run_id, now=self._is_pausing)
            case "resume" | "go_on":
                commands.resume(runtime, run_id)
            case "cancel":
                commands.cancel(runtime, run_id)
            case "detach":
                moving.begin_to_detach(runtime, run_id, now=self._is_pausing)
            case "attach":
                moving.begin_to_attach(runtime, run_id, now=run_id in runtime.moving)
            case "retry":
                commands.retry(runtime, run_id, which_to_retry(runtime.require_run(run_id)))
            case "skip_wait" if path:
                commands.skip_wait(runtime, run_id, NormalPath(path))
            case "accept" if path:
                run = runtime.require_run(run_id)
                commands._defined_job(runtime, run)._accept(run_id, path)
            case "rerun_from" if path:
                commands.rerun_from(runtime, run_id, NormalPath(path))
            case _:
                raise UsageError(f"there is no action {operation!r} for this")

    def answer(self, path: str, choice: str | None, data: object) -> None:
        """Answer a question: with a choice, or with a value."""
        if choice is None:
            answering.give(self._runtime, self._run_id, NormalPath(path), data)
        else:
            answering.choose(self._runtime, self._run_id, NormalPath(path), choice, data)

    def scope_of_rerun(self, path: str) -> tuple[int, str]:
        """The number of tasks that `rerun_from` would run again, and a sentence that names them, to confirm the action."""
        records = {
            record.path: record for record in self._runtime.each_task_record(self._run_id, running=True)
        }
        if path not in records:
            raise UsageError("the task has not begun, so there is nothing to run again")
        forgotten = {record.path for record in forget(records, path) if record.kind != "log"}
        around = {each for inner in forgotten for each in ancestors(inner) if each in records}
        again = sorted(forgotten | around, key=lambda each: (each != path, records[each].started))
        names = ", ".join(visible(display_path(each), 60) for each in again[:3])
        rest = f" and {len(again) - 3:,} more" if len(again) > 3 else ""
        return len(again), f"Runs {plural(len(again), 'task')} again: {names}{rest}"

    def whole_records(self, paths: list[str]) -> list[TaskRecord]:
        """The records of tasks with their values, as far as they are in the store; one query."""
        prefix = f"{self._run_id}/"
        rows = self._runtime.store.read_rows([prefix + path for path in paths])
        return [readable_task(key[len(prefix) :], text) for key, text in rows.items()]

    def lines_of(self, path: str) -> str:
        """The lines of code that take a task into a cell."""
        (task,) = find_tasks(self._runtime, self._run_id, [NormalPath(path)])
        return cell_lines(self._runtime, self._run_id, task)

    def button(self, operation: Operation, run: RunRecord, *, main: bool = False, label: str = "") -> Button:
        """One button. `main` highlights the button if it is enabled."""
        why = self._why_not(operation, run)
        return Button(operation, label or _LABELS[operation], why, main and not why)

    @property
    def _is_pausing(self) -> bool:
        """Whether the run was paused and bodies in flight still end: to pause it again cuts them."""
        active = self._runtime.executions.get(self._run_id)
        return active is not None and active.run.reason == "pausing"

    def _has_stopped(self, run: RunRecord) -> bool:
        """Whether a map has stopped after its first items, while other tasks may run."""
        active = self._runtime.executions.get(self._run_id)
        return is_at_stop(run) or bool(active and active.pass_ and active.pass_.waits.stops)

    def _is_idle(self, run: RunRecord) -> bool:
        """Whether the run continues only when it is resumed. A wait also ends only in a kernel that drives the run."""
        status = RunStatus(run.status)
        if status == RunStatus.WAITING and run.reason != "paused":
            return run.id not in self._runtime.executions and not self._is_driven_elsewhere(run, status)
        return run.reason == "paused" or status in (RunStatus.INTERRUPTED, RunStatus.CANCELED)

    def _why_not(self, operation: Operation, run: RunRecord) -> str:
        """The reason why the operation is not possible; "" if it is."""
        status = RunStatus(run.status)
        after = OPERATIONS[operation][status]
        if not isinstance(after, RunStatus):
            return _sentence(after)
        if operation == "cancel" and status == RunStatus.CANCELED:
            return "It is canceled"
        if operation == "retry" and status in _WITHOUT_FAILURE and not has_handled_failures(run):
            return "Nothing has failed"
        if run.id in self._runtime.executions:
            first = {"delete": "cancel", "accept": "pause"}.get(operation)
            return f"It is under way: {first} it first" if first else ""
        if self._is_driven_elsewhere(run, status):
            if operation in _BY_THE_STORE:
                return ""
            return "Another kernel drives the run"
        if operation in _NEED_JOB:
            return why_no_job(self._runtime, run)
        return ""

    def _is_driven_elsewhere(self, run: RunRecord, status: RunStatus) -> bool:
        under_way = status in (RunStatus.RUNNING, RunStatus.WAITING) and run.reason != "paused"
        return bool(
            under_way
            and run.holder is not None
            and leases.is_held(self._runtime.store.directory, run.id, run.holder)
        )


def which_to_retry(run: RunRecord) -> Literal["failed", "all"]:
    """What the button Retry runs again: in a run that has completed, the tasks whose errors the code handled."""
    return "all" if has_handled_failures(run) else "failed"


def why_no_job(runtime: Runtime, run: RunRecord) -> str:
    """The reason why no pass of the run can begin here; "" if its job is defined in this kernel."""
    known = run.job in runtime.jobs
    return "" if known else f"Job {run.job!r} is not defined in this kernel: run the cell that defines it"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
