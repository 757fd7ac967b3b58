"""`Run`: the handle of a run. Its data come from `RunData` and `MendedRun`; here are its result, its commands and its display."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, NoReturn, Self, TypeVar

from ._callsite import ShowsPublicNames
from ._plans.mended_run import MendedRun
from ._runs import commands, following, moving, result, showing
from ._runs.awaiting import CellCall, has_loop, in_cell
from ._runs.frozen import freeze
from ._runs.runtime import ActiveRun, Runtime
from ._runs.task_info import TaskPath
from ._store.files import create_file
from ._view.live import marimo
from ._view.live.marimo import in_any_notebook
from ._view.live.notebook import cell_number, to_kernel
from ._view.model.run_model import RunModel
from ._view.model.run_status import run_title
from ._view.render import html, snapshot, text

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    from ._view.live.widget import LiveWidget

    T_co = TypeVar("T_co", covariant=True, default=Any)
else:
    T_co = TypeVar("T_co", covariant=True)


class Run(MendedRun, ShowsPublicNames, Generic[T_co]):
    """One execution of a job for one payload. Several handles can refer to the same run.

    `await run` returns the output, any number of times. A notebook displays a run as its tree, and
    `print(run.tree())` prints the tree as text.
    """

    def __init__(self, runtime: Runtime, run_id: str) -> None:
        super().__init__(runtime, run_id)
        self._execution = runtime.executions.get(run_id)
        self._began = False  # whether this handle began the run, and not another one before
        self._shown_in = -1  # number of the cell that showed the tree when it began a pass
        self._displays = True  # whether the cell that begins a pass shows the tree
        # Whether a command began the last pass: the cell that awaits it shows the tree, too.
        self._was_commanded = False

    # Result -----------------------------------------------------------------------------------

    def __await__(self) -> Generator[Any, Any, T_co]:
        """The output, once the run has ended.

        Raises the error that the run FAILED with, `RunCanceledError`, `RunInterruptedError`, or a `StoreError`
        if the store failed.
        """
        if self._was_commanded and self._id in self._runtime.executions:
            self._show_once()
        return in_cell(self._result)

    async def _result(self) -> Any:
        return await result.result_or_leave(self._runtime, self._id, self._execution)

    async def _result_of_child(self) -> Any:
        """The output, for `io.invoke_and_wait`: if the wait is cancelled, the run stops with the one that waits."""
        return await result.result_or_stop(self._runtime, self._id, self._execution)

    async def _result_of_cell(self) -> Any:
        """The output, for `job.run`. The tree is up to date when the cell ends.

        If this handle began the run, to cancel the wait interrupts the run.
        """
        wait = result.result_or_stop if self._began else result.result_or_leave
        try:
            return await wait(self._runtime, self._id, self._execution)
        finally:
            await showing.settle(self._runtime, self._id, awaited=False)

    def _follow(self, execution: ActiveRun, *, began: bool, display: bool) -> None:
        """Note the execution that this handle has begun or joined, and whether cells show its tree."""
        self._execution = execution
        self._began = began
        self._displays = display

    def _commanded(self, execution: ActiveRun) -> Self:
        """Note the execution that a command has begun, and show its tree below the cell."""
        self._execution = execution
        self._was_commanded = True
        self._show_once()
        return self

    def _watch(self) -> Self:
        """Follow the run if another process drives it, and show its tree."""
        following.follow(self._runtime, self._id)
        self._show_once()
        return self

    # Commands ---------------------------------------------------------------------------------

    def cancel(self) -> Self:
        """End the run: running tasks are cancelled, and the results of completed tasks stay.

        If another process drives it, that one is asked to, and does so in a moment. Child runs that it waits for are cancelled with it. Raises `RunStateError` if the run has ended by itself.
        """
        commands.cancel(self._runtime, self._id)
        return self

    def pause(self, *, now: bool = False) -> Self:
        """Stop the run until `resume()`: no task begins any more, and those that run end and are recorded.

        Meanwhile the run is RUNNING with the reason "pausing". With `now=True` it stops at once: the tasks that run
        are cancelled, and run again when it is resumed. Child runs that the run waits for are paused with it. If another
        process drives the run, that one is asked to, and does so in a moment.

        Raises `RunStateError` if the run has ended.
        """
        commands.pause(self._runtime, self._id, now=now)
        return self

    def resume(self) -> Self:
        """Continue a run that is paused, interrupted or canceled. In a notebook, its tree is shown below the cell."""
        return self._commanded(commands.resume(self._runtime, self._id))

    def retry(self, which: Literal["failed", "all"] | Sequence[TaskPath] = "failed") -> Self:
        """Run failed tasks again, in the same run. The results of completed tasks are kept.

        `which="all"` also runs tasks again whose errors the code handled. A list of paths,
        `which=["import/page-3", "notify"]`, runs only these tasks again, handled or not, with the failed tasks
        in them and the tasks around them: every other error is replayed until the run ends.

        Raises `NotFoundError` for a path without a task, `RunStateError` for a task that has not failed.
        """
        return self._commanded(commands.retry(self._runtime, self._id, which))

    def rerun_from(self, path: TaskPath, *more: TaskPath) -> Self:
        """Run a task again, or several, and every task that first started after one of them had ended.

        Each path is as in `task`. Their results are forgotten, and they get new idempotency keys. The results of
        tasks that overlapped the task, and of the other items of a `parallel` or `map`, are kept.
        """
        return self._commanded(commands.rerun_from(self._runtime, self._id, path, *more))

    def fork(self, path: TaskPath, *, output: object = ..., run_id: str | None = None) -> Run[T_co]:
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
        fork: Run[T_co] = Run(self._runtime, commands.fork(self._runtime, self._id, path, output, run_id))
        fork._displays = self._displays
        return fork if fork._execution is None else fork._commanded(fork._execution)

    def skip_wait(self, path: TaskPath) -> Self:
        """End a wait, or the delay before the next attempt, now."""
        commands.skip_wait(self._runtime, self._id, path)
        return self

    # Other processes --------------------------------------------------------------------------

    def detach(self, *, now: bool = False, anyway: bool = False) -> CellCall[Self]:
        """Move the run out of this kernel while it goes on: a worker process drives it, and the notebook can be closed.

        The tree follows the run, and its buttons work. Await it: `await run.detach()`. The worker has the job from the
        notebook's or script's file, as it is saved; it ends with the run. A `trigger-nb work` that serves the job takes the
        run instead. Tasks in flight end first, and are recorded; `now=True` cancels them, and they run again in the worker.
        `attach()`, or to run the cell again, brings the run back.

        Raises `DetachError` if no worker can have the run, as when the notebook was not saved since the job was edited
        (`anyway=True` takes the saved one), and `RunStateError` if the run is not under way in this kernel. After an error it
        goes on here.

        ```
        run = report.start(2030)
        await run.detach()
        ```
        """

        async def move() -> Self:
            await moving.detach(self._runtime, self._id, now=now, anyway=anyway)
            return self

        return CellCall(move, f"the detachment of run {self._id}", "await run.detach()")

    def attach(self, *, now: bool = False) -> CellCall[Self]:
        """Bring the run into this kernel from the process that drives it: a worker, or another kernel.

        Await it: `await run.attach()`. That process ends the tasks in flight, which are recorded, and this kernel goes on; `now=True`
        cancels them, and they run again here. A run whose process has died goes on here at once.

        Raises `NotFoundError` if its job is not defined in this kernel, `RunStateError` if the run is paused, and
        `RunLockedError` if the other process does not answer. After an error the run is where it was.
        """

        async def move() -> Self:
            await moving.attach(self._runtime, self._id, now=now)
            self._execution = self._runtime.executions.get(self._id)
            self._show_once()
            return self

        return CellCall(move, f"the return of run {self._id}", "await run.attach()")

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

    def tree(self, *, width: int = 100, fold: int | None = 20) -> str:
        """The run as text: one indented line for each task.

        `width` is the length of a line in characters. Groups of more than `fold` tasks are folded; None folds none.
        """
        return text.tree(self.model(), width=width, fold=fold)

    def export_html(self, path: str | Path) -> Path:
        """Write the run as one self-contained HTML page, and return its path.

        Only you can read a new file; one that is there already keeps its permissions. The page stays when the run
        is removed.
        """
        record = self._record
        target = Path(path)
        page = html.page(self.model(), title=f"{run_title(record)} · {self._id}")
        try:
            file = os.fdopen(create_file(target), "w", encoding="utf-8")
        except FileExistsError:
            file = target.open("w", encoding="utf-8")
        with file:
            file.write(page)
        return target

    def freeze(self, path: str | Path) -> Path:
        """Write the run as a JSON file for your repository, and return its path.

        `trigger_nb.testing.replay(job, path)` replays it in a test: it fails if the job, as it is then, would take
        another branch. The file has the payload, and the output or error of each task, redacted as exports are. It
        has no times and ids, so that to freeze an equal run changes nothing in it.
        """
        target = Path(path)
        freeze(self._runtime, self._current, self._runtime.task_records(self._id), target)
        return target

    def model(self, *, lazy: bool = False) -> RunModel:
        """The rows of the tree, for code that draws them. `lazy` is for live displays."""
        return showing.make_model(self._runtime, self._id, lazy=lazy)

    @property
    def widget(self) -> LiveWidget:
        """The tree as an ipywidgets widget, to put in a `VBox`, a `Tab` or an `Output` with other widgets.

        To display only the run, end a cell with the run instead: a notebook file contains no widgets, and this one
        has no snapshot after it.

        Raises `UsageError` if no event loop is running.
        """
        display = showing.display_of(self._runtime, self._id)
        display.stay = True
        return display.widget

    def show(self, *, awaited: bool = False) -> None:
        """Show the tree under the current cell. `awaited`: the cell waits for the end of the run."""
        self._shown_in = cell_number()
        showing.show(self._runtime, self._id, awaited=awaited)

    def _show_once(self) -> None:
        """Show the tree below the current cell of a notebook, unless it is there, live, or is not wanted."""
        job = self._runtime.jobs.get(self._record.job)
        is_wanted = self._displays and (job is None or job.client.display)
        if is_wanted and in_any_notebook() and has_loop() and not self._is_here:
            self.show()

    @property
    def _is_here(self) -> bool:
        """Whether the current cell shows the tree, live."""
        if self._shown_in == cell_number() != -1:
            return showing.is_placed(self._runtime, self._id)
        return showing.is_in_cell_of_marimo(self._runtime, self._id)

    def _ipython_display_(self) -> None:
        if self._shown_in == cell_number() != -1:
            return  # a cell that ends in job.start(...) shows one tree, not two
        if not self._exists:
            print(repr(self))  # noqa: T201  # the cell deleted the run, and ends in it
        elif has_loop():
            self.show()
        else:
            to_kernel(snapshot.bundle(self.model()))

    def _display_(self) -> object:
        """The widget, for marimo; nothing if the cell shows it already."""
        return marimo.as_output("") if self._is_here else self.widget

    def __repr__(self) -> str:
        record = self._runtime.run_record(self._id)
        if record is None:
            return f"<Run {self._id}: deleted>"
        return f"<Run {self._id} of job {record.job!r}: {self._runtime.status_of(record)}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a Run cannot be pickled: keep run.id, and client.run(run_id) returns the run in any kernel"
        )
