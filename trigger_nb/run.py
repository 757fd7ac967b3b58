"""`Run`: the handle of a run, with its data, its result, its commands and its display."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from . import _values
from ._keys import ancestors
from ._records.records import RunRecord, TaskRecord
from ._records.status import Reason, RunStatus
from ._records.statuses import StatusInfo, counts, said, statuses
from ._runs import commands, result, showing
from ._runs.awaiting import has_loop, in_cell
from ._runs.diff import RunDiff, compare
from ._runs.payloads import Payload
from ._runs.runtime import ActiveRun, Runtime
from ._runs.task_info import TaskInfo, find_task, in_order, moment, task_info
from ._view.live.display import RunDisplay, bundle, to_kernel
from ._view.model.run_model import RunModel
from ._view.render import html, text

if TYPE_CHECKING:
    from ._view.live.widget import LiveWidget


class Run:
    """One execution of a job for one payload. Several handles can refer to the same run.

    `await run` returns the output, any number of times. A notebook displays a run as its tree, and
    `print(run.tree())` prints the tree as text.
    """

    def __init__(self, runtime: Runtime, run_id: str) -> None:
        self._runtime = runtime
        self._id = run_id
        self._execution = runtime.executions.get(run_id)
        self._began = False  # whether this handle began the run, and not another one before
        self._payload: Payload | None = None
        self._shown_in = -1  # number of the cell that showed the tree when it started the run

    # Data -------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The id of the run. The same job, version and payload give the same id."""
        return self._id

    @property
    def job(self) -> str:
        """The id of the job."""
        return self._record.job

    @property
    def status(self) -> RunStatus:
        """The current status. A run whose kernel died is INTERRUPTED."""
        return self._runtime.status_of(self._record)

    @property
    def reason(self) -> str:
        """The reason why the run is WAITING: "wait", "retry", "queued" or "paused"; "" for other statuses."""
        return self._record.reason

    @property
    def payload(self) -> Any:
        """The payload that the run was started with."""
        record = self._record
        if self._payload is None or not self._payload.is_of(record):
            self._payload = Payload.stored(record, self._runtime.store.blobs(self._id))
        return self._payload.take()

    @property
    def output(self) -> Any:
        """The return value of the run function; None until the run is COMPLETED."""
        return result.output_of(self._runtime, self._record)

    @property
    def error(self) -> BaseException | None:
        """The error that the run FAILED with, else None."""
        return result.error_of(self._record)

    @property
    def started_at(self) -> datetime | None:
        """The beginning of the first pass, in UTC."""
        return moment(self._record.started_at)

    @property
    def finished_at(self) -> datetime | None:
        """The end of the last pass, in UTC; None while a pass is under way."""
        record = self._record
        return None if self._id in self._runtime.executions else moment(record.finished_at)

    @property
    def eta(self) -> datetime | None:
        """The estimated end of the run, in UTC, from up to five earlier runs of the job; never in the past.

        None if there is no estimate: the job has no earlier runs, the run is not RUNNING, or it takes longer
        than the earlier runs.

        >>> run = client.runs(status="RUNNING")[0]  # doctest: +SKIP
        >>> run.eta - datetime.now(UTC)  # doctest: +SKIP
        datetime.timedelta(seconds=93)
        """
        if self.status != RunStatus.RUNNING:
            return None
        return moment(self.model().ends_at)

    @property
    def statuses(self) -> list[StatusInfo]:
        """The statuses that the run created with `io.create_status`, in the order of their creation.

        Each has `key`, `label`, `state`, `data`, `progress`, and its `history` with times, oldest first.
        """
        pass_ = self._runtime.passes.get(self._id)
        records = [record for record in self._runtime.each_task_record(self._id) if counts(record)]
        reasons = {} if pass_ is None else pass_.header.reasons

        def was_reached(record: TaskRecord) -> bool:
            around = (reasons.get(path) for path in ancestors(record.path))
            return record.path in reasons or Reason.REPLAYED in around

        return statuses(records, was_reached, self._data_of_status)

    @property
    def tasks(self) -> list[TaskInfo]:
        """The tasks, in the order in which they first started, subtasks after their parents."""
        return [self._info(record) for record in self._in_order() if record.kind != "log"]

    @property
    def logs(self) -> list[TaskInfo]:
        """The log lines: `name` is the message, `level` and `data` are the other arguments of the log call."""
        return [self._info(record) for record in self._in_order() if record.kind == "log"]

    def task(self, path: str | Sequence[Any]) -> TaskInfo:
        """One task. `path` is its path as text ("parent/child"), a list of keys, or one key.

        Raises `NotFoundError`, which lists similar paths, if there is no such task.
        """
        return self._info(find_task(self._runtime, self._id, path))

    # Result -----------------------------------------------------------------------------------

    def __await__(self) -> Generator[Any, Any, Any]:
        """The output, once the run has ended.

        Raises the error that the run FAILED with, `RunCanceledError`, `RunInterruptedError`, or a `StoreError`
        if the store failed.
        """
        return in_cell(lambda: result.result_or_leave(self._runtime, self._id, self._execution))

    async def _result_of_cell(self) -> Any:
        """The output, for `job.run`. The tree is up to date when the cell ends.

        If this handle began the run, to cancel the wait interrupts the run.
        """
        wait = result.result_or_interrupt if self._began else result.result_or_leave
        try:
            return await wait(self._runtime, self._id, self._execution)
        finally:
            await showing.settle(self._runtime, self._id, awaited=False)

    def _follow(self, execution: ActiveRun, *, began: bool) -> None:
        """Note the execution that this handle has begun or joined."""
        self._execution = execution
        self._began = began

    # Commands ---------------------------------------------------------------------------------

    def cancel(self) -> Run:
        """End the run: running tasks are cancelled, and the results of completed tasks stay."""
        commands.cancel(self._runtime, self._id)
        return self

    def pause(self) -> Run:
        """Stop the run until `resume()`."""
        commands.pause(self._runtime, self._id)
        return self

    def resume(self) -> Run:
        """Continue a run that is paused, interrupted or canceled."""
        self._execution = commands.resume(self._runtime, self._id)
        return self

    def retry(self, which: Literal["failed", "all"] | Sequence[str | Sequence[Any]] = "failed") -> Run:
        """Run failed tasks again, in the same run. The results of completed tasks are kept.

        `which="all"` also runs tasks again whose errors the code handled. A list of paths,
        `which=["import/page-3", "notify"]`, runs only these tasks again, handled or not, with the failed tasks
        in them and the tasks around them: every other error is replayed until the run ends.

        Raises `NotFoundError` for a path without a task, `RunStateError` for a task that has not failed.
        """
        self._execution = commands.retry(self._runtime, self._id, which)
        return self

    def rerun_from(self, path: str | Sequence[Any]) -> Run:
        """Run a task again, and every task that first started after the task had ended.

        Their results are forgotten, and they get new idempotency keys. The results of tasks that overlapped
        the task, and of the other items of a `parallel` or `map`, are kept.
        """
        self._execution = commands.rerun_from(self._runtime, self._id, path)
        return self

    def fork(self, path: str | Sequence[Any], *, output: Any = ..., run_id: str | None = None) -> Run:
        """Copy the run up to a task, whose output is `output`, as a new run. This run stays as it is.

        Tasks that first started before the task had ended are copied and replayed, never called. Later tasks
        run in the copy, with new idempotency keys. Without `output`, the task itself runs again. Values of
        `io.store.run` are copied as they are now.

        The copy begins at once, as with `rerun_from`. In a script, where no event loop runs, it is PENDING
        until `job.run_sync(fork.payload, run_id=fork.id)`. To request the same fork again, as by running its
        cell again, gives the same run; `run_id` names another one.

            fork = run.fork("draft", output="Dear all, ...")
            await fork
            print(fork.diff(run))

        Raises `NotFoundError` if there is no such task or the job is not defined in this kernel,
        `RunStateError` while the run is under way or if `run_id` belongs to another run, and
        `NotStorableError` if the output cannot be stored. After an error there is no copy.
        """
        return Run(self._runtime, commands.fork(self._runtime, self._id, path, output, run_id))

    def skip_wait(self, path: str | Sequence[Any]) -> Run:
        """End a wait, or the delay before the next attempt, now."""
        commands.skip_wait(self._runtime, self._id, path)
        return self

    def delete(self) -> None:
        """Remove the run with all its stored data. This cannot be undone.

        Its child runs are removed too. Pages that `export_html` wrote stay. The disk space is reused for later
        runs; `client.prune` gives it back to the disk.

        Raises `RunStateError` if the run or a child run is under way in this kernel,
        `RunLockedError` if another kernel drives it.

        >>> run = client.runs()[0]  # doctest: +SKIP
        >>> run.delete()  # doctest: +SKIP
        """
        commands.delete(self._runtime, self._id)

    # Display ----------------------------------------------------------------------------------

    def diff(self, other: Run | str) -> RunDiff:
        """Compare this run ("here") with another run, given as a `Run` or by its id ("there"), task by task.

        A task exists in one run only, or differs in status, output, error, params, code or duration (twice
        as long, and longer by more than 0.1 s). The result is true if there is a difference, and is displayed
        as a table.

        Raises `NotFoundError` if there is no run with this id.
        """
        there = other if isinstance(other, Run) else Run(self._runtime, other)
        return compare(
            self._current,
            self._in_order(),
            there._current,
            there._in_order(),
            read_here=partial(self._runtime.whole, self._id),
            read_there=partial(there._runtime.whole, there._id),
        )

    def tree(self, *, width: int = 100, fold: int | None = 20) -> str:
        """The run as text: one indented line for each task.

        `width` is the length of a line in characters. Groups of more than `fold` tasks are folded; None folds none.
        """
        return text.tree(self.model(), width=width, fold=fold)

    def export_html(self, path: str | Path) -> Path:
        """Write the run as one self-contained HTML page, and return its path.

        The page stays when the run is removed.
        """
        record = self._record
        target = Path(path)
        page = html.page(self.model(), title=f"{record.name or record.job} · {self._id}")
        target.write_text(page, encoding="utf-8")
        return target

    def model(self, *, lazy: bool = False) -> RunModel:
        """The rows of the tree, for code that draws them. `lazy` is for live displays."""
        return showing.make_model(self._runtime, self._id, lazy=lazy)

    @property
    def widget(self) -> LiveWidget:
        """The tree as an ipywidgets widget, to put in a `VBox`, a `Tab` or an `Output` with other widgets.

        To display only the run, end a cell with the run instead. The widget stays live after the run has ended;
        a notebook file contains no widgets.

        Raises `UsageError` if no event loop is running.
        """
        display = self._display()
        display.stay = True
        return display.widget

    def show(self, *, awaited: bool = False) -> None:
        """Show the tree under the current cell. `awaited`: the cell waits for the end of the run."""
        self._shown_in = showing.cell_number()
        showing.show(self._runtime, self._id, awaited=awaited)

    def _display(self) -> RunDisplay:
        return showing.display_of(self._runtime, self._id)

    def _ipython_display_(self) -> None:
        if self._shown_in == showing.cell_number() != -1:
            return  # a cell that ends in job.start(...) shows one tree, not two
        if not self._exists:
            print(repr(self))  # noqa: T201  # the cell deleted the run, and ends in it
        elif has_loop():
            self.show()
        else:
            to_kernel(bundle(self.model()))

    def _display_(self) -> LiveWidget:
        """The widget, for marimo."""
        return self.widget

    def __repr__(self) -> str:
        record = self._runtime.run_record(self._id)
        if record is None:
            return f"<Run {self._id}: deleted>"
        return f"<Run {self._id} of job {record.job!r}: {self._runtime.status_of(record)}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a Run cannot be pickled: keep run.id, and client.run(run_id) returns the run in any kernel"
        )

    # Records ----------------------------------------------------------------------------------

    @property
    def _exists(self) -> bool:
        """Whether the run is in the store. A deleted run is not."""
        return self._runtime.run_record(self._id) is not None

    @property
    def _record(self) -> RunRecord:
        return self._runtime.require_run(self._id)

    @property
    def _current(self) -> RunRecord:
        return showing.current_record(self._runtime, self._id)

    def _in_order(self) -> list[TaskRecord]:
        return in_order(self._runtime.task_records(self._id, running=True))

    def _info(self, record: TaskRecord) -> TaskInfo:
        return task_info(self._runtime, self._id, record)

    def _decoded(self, form: str, data: Any) -> Any:
        return _values.load(form, data, self._runtime.store.blobs(self._id))

    def _data_of_status(self, record: TaskRecord) -> Any:
        """The data of a status; as it is displayed if part of it is redacted or it could not be stored."""
        if record.redact or record.form == "unstored":
            return said(record)["data"]
        record = self._runtime.whole(self._id, record)
        return self._decoded(record.form, record.value)
