"""`Run`: the handle of a run. Its data come from `RunData`; here are its result, its commands and its display."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from ._runs import commands, result, showing
from ._runs.awaiting import has_loop, in_cell
from ._runs.diff import RunDiff, compare
from ._runs.run_data import RunData
from ._runs.runtime import ActiveRun, Runtime
from ._runs.task_info import TaskPath
from ._view.live.display import bundle, cell_number, to_kernel
from ._view.model.run_model import RunModel
from ._view.model.run_status import run_title
from ._view.render import html, text

if TYPE_CHECKING:
    from ._view.live.widget import LiveWidget


class Run(RunData):
    """One execution of a job for one payload. Several handles can refer to the same run.

    `await run` returns the output, any number of times. A notebook displays a run as its tree, and
    `print(run.tree())` prints the tree as text.
    """

    def __init__(self, runtime: Runtime, run_id: str) -> None:
        super().__init__(runtime, run_id)
        self._execution = runtime.executions.get(run_id)
        self._began = False  # whether this handle began the run, and not another one before
        self._shown_in = -1  # number of the cell that showed the tree when it started the run

    # Result -----------------------------------------------------------------------------------

    def __await__(self) -> Generator[Any, Any, Any]:
        """The output, once the run has ended.

        Raises the error that the run FAILED with, `RunCanceledError`, `RunInterruptedError`, or a `StoreError`
        if the store failed.
        """
        return in_cell(lambda: result.result_or_leave(self._runtime, self._id, self._execution))

    async def _result_of_child(self) -> object:
        """The output, for `io.invoke_and_wait`: if the wait is cancelled, the run stops with the one that waits."""
        return await result.result_or_stop(self._runtime, self._id, self._execution)

    async def _result_of_cell(self) -> object:
        """The output, for `job.run`. The tree is up to date when the cell ends.

        If this handle began the run, to cancel the wait interrupts the run.
        """
        wait = result.result_or_stop if self._began else result.result_or_leave
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
        """End the run: running tasks are cancelled, and the results of completed tasks stay.

        Child runs that it waits for are cancelled with it. Raises `RunStateError` if the run has ended by itself.
        """
        commands.cancel(self._runtime, self._id)
        return self

    def pause(self, *, now: bool = False) -> Run:
        """Stop the run until `resume()`: no task begins any more, and those that run end and are recorded.

        Meanwhile the run is RUNNING with the reason "pausing". With `now=True` it stops at once: the tasks that run
        are cancelled, and run again when it is resumed. Child runs that the run waits for are paused with it.

        Raises `RunStateError` if the run has ended.
        """
        commands.pause(self._runtime, self._id, now=now)
        return self

    def resume(self) -> Run:
        """Continue a run that is paused, interrupted or canceled."""
        self._execution = commands.resume(self._runtime, self._id)
        return self

    def retry(self, which: Literal["failed", "all"] | Sequence[TaskPath] = "failed") -> Run:
        """Run failed tasks again, in the same run. The results of completed tasks are kept.

        `which="all"` also runs tasks again whose errors the code handled. A list of paths,
        `which=["import/page-3", "notify"]`, runs only these tasks again, handled or not, with the failed tasks
        in them and the tasks around them: every other error is replayed until the run ends.

        Raises `NotFoundError` for a path without a task, `RunStateError` for a task that has not failed.
        """
        self._execution = commands.retry(self._runtime, self._id, which)
        return self

    def rerun_from(self, path: TaskPath, *more: TaskPath) -> Run:
        """Run a task again, or several, and every task that first started after one of them had ended.

        Each path is as in `task`. Their results are forgotten, and they get new idempotency keys. The results of
        tasks that overlapped the task, and of the other items of a `parallel` or `map`, are kept.
        """
        self._execution = commands.rerun_from(self._runtime, self._id, path, *more)
        return self

    def fork(self, path: TaskPath, *, output: object = ..., run_id: str | None = None) -> Run:
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

    def skip_wait(self, path: TaskPath) -> Run:
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
        page = html.page(self.model(), title=f"{run_title(record)} · {self._id}")
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
        display = showing.display_of(self._runtime, self._id)
        display.stay = True
        return display.widget

    def show(self, *, awaited: bool = False) -> None:
        """Show the tree under the current cell. `awaited`: the cell waits for the end of the run."""
        self._shown_in = cell_number()
        showing.show(self._runtime, self._id, awaited=awaited)

    def _ipython_display_(self) -> None:
        if self._shown_in == cell_number() != -1:
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
