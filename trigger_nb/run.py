"""A run, as its user holds it."""

from __future__ import annotations

import asyncio
import difflib
import logging
import sys
import threading
import unicodedata
from collections.abc import Callable, Generator, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from . import _values
from ._engine.ledger import run_row
from ._engine.stopping import Stop
from ._keys import ancestors, display_path, normal_key
from ._records.durations import Durations
from ._records.forget import forget, reset, to_retry
from ._records.records import RunRecord, TaskRecord, check_legible
from ._records.status import OPERATIONS, Operation, Reason, RunStatus, TaskStatus
from ._records.statuses import StatusInfo, counts, said, statuses
from ._runs import housekeeping
from ._runs.awaiting import has_loop, in_cell
from ._runs.controls import RunControls
from ._runs.diff import RunDiff, compare
from ._runs.execution import Execution
from ._runs.fork import fork
from ._runs.runtime import Runtime
from ._runs.task_info import TaskInfo, moment
from ._store.protocol import Row
from ._tasks.scope import current_scope
from ._values.placeholders import Unstored
from ._view.live.display import RunDisplay, bundle, to_kernel
from ._view.model.run_model import RunModel
from ._view.render import html, text
from .errors import (
    NotFoundError,
    RunInterrupted,
    RunInterruptedError,
    RunStateError,
    StoreError,
    TriggerError,
    UsageError,
    ValueNotLoadedError,
)

if TYPE_CHECKING:
    from ._view.live.widget import LiveWidget

_log = logging.getLogger("trigger_nb")
CELL_GRACE = 0.7  # how long an interrupted cell waits for its run to come to rest, in seconds


class Run:
    """One execution of a job for one payload: a handle, of which there can be several.

    `await run` gives the output, any number of times. Shown in a notebook it is its tree, and
    `print(run.tree())` gives the tree as text.
    """

    def __init__(self, runtime: Runtime, run_id: str) -> None:
        self._runtime = runtime
        self._id = run_id
        self._execution = runtime.executions.get(run_id)
        self._began = False  # by this handle, and not by another one before
        self._shown_in = -1  # the cell in which starting it showed its tree

    # What it is -------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The run's id; the same job, version and payload give the same one."""
        return self._id

    @property
    def job(self) -> str:
        """The id of its job."""
        return self._record.job

    @property
    def status(self) -> RunStatus:
        """Its status now. A run whose kernel died is INTERRUPTED."""
        return self._runtime.status_of(self._record)

    @property
    def reason(self) -> str:
        """Why it is WAITING: "wait", "retry", "queued" or "paused"; else ""."""
        return self._record.reason

    @property
    def payload(self) -> Any:
        """The payload it was started with."""
        record = self._record
        return self._decoded(record.payload_form, record.payload)

    @property
    def output(self) -> Any:
        """What the run function returned; None until the run is COMPLETED."""
        record = self._record
        if record.last_ending != RunStatus.COMPLETED:
            return None
        if record.form != "unstored":
            return self._decoded(record.form, record.output)
        live = self._runtime.memory(self._id).live
        return live.get(("", 0), Unstored("the run", record.output["type"], record.output["reason"]))

    @property
    def error(self) -> BaseException | None:
        """What the run FAILED with, else None."""
        data = self._record.error
        return None if data is None else _values.decode_error(data)

    @property
    def started_at(self) -> datetime | None:
        """When its first pass began, in UTC."""
        return moment(self._record.started_at)

    @property
    def finished_at(self) -> datetime | None:
        """When its last pass ended, in UTC; None while one is under way."""
        record = self._record
        return None if self._id in self._runtime.executions else moment(record.finished_at)

    @property
    def eta(self) -> datetime | None:
        """When it will probably be done, in UTC, going by up to five earlier runs of its job; never before now.

        None when that cannot be told: of the first run of a job, of one that waits, is at rest, or takes
        longer than they did.

        >>> run = client.runs(status="RUNNING")[0]  # doctest: +SKIP
        >>> run.eta - datetime.now(UTC)  # doctest: +SKIP
        datetime.timedelta(seconds=93)
        """
        if self.status != RunStatus.RUNNING:
            return None
        return moment(self.model().ends_at)

    @property
    def statuses(self) -> list[StatusInfo]:
        """What it said of itself with `io.create_status`, in the order in which the statuses were made.

        Each has `key`, `label`, `state`, `data`, `progress`, and its `history` with times, oldest first.
        """
        pass_ = self._runtime.passes.get(self._id)
        records = [record for record in self._runtime.task_records(self._id) if counts(record)]
        reasons = {} if pass_ is None else pass_.header.reasons

        def met(record: TaskRecord) -> bool:
            around = (reasons.get(path) for path in ancestors(record.path))
            return record.path in reasons or Reason.REPLAYED in around

        return statuses(records, met, self._data_of_status)

    @property
    def tasks(self) -> list[TaskInfo]:
        """Its tasks, in the order in which they first started, subtasks after their parents."""
        return [self._info(record) for record in self._ordered() if record.kind != "log"]

    @property
    def logs(self) -> list[TaskInfo]:
        """Its log lines; `name` is the message, `level` and `data` what was said with it."""
        return [self._info(record) for record in self._ordered() if record.kind == "log"]

    def task(self, path: str | Sequence[Any]) -> TaskInfo:
        """One task: by its path as text ("parent/child"), by a list of its keys, or by its key alone.

        Raises `NotFoundError`, which names the paths that are close.
        """
        normal = _path(path)
        for record in self._runtime.task_records(self._id, running=True):
            if record.path == normal:
                return self._info(record)
        raise self._no_task(normal)

    # Waiting for it ---------------------------------------------------------------------------

    def __await__(self) -> Generator[Any, Any, Any]:
        """The output, when the run has come to rest.

        Raises the error it FAILED with as itself, `RunCanceledError`, `RunInterruptedError`, or a
        `StoreError` when the store gave out.
        """
        return in_cell(self._result_or_leave)

    async def _result_or_leave(self) -> Any:
        """For whoever merely awaits the run: it goes on when the wait is cancelled (A7)."""
        try:
            return await self._result()
        except asyncio.CancelledError:
            raise asyncio.CancelledError(
                f"run {self._id} goes on; await it again for its output, or run.cancel() ends it"
            ) from None

    async def _result(self) -> Any:
        """The output. In another run's code a fault of ours ends that one's pass, too (A9, R13)."""
        try:
            return await self._ended()
        except (StoreError, ValueNotLoadedError) as error:
            scope = current_scope.get()
            here = scope is not None and threading.get_ident() == scope.owner.home.thread
            if scope is None or not here or self.status == RunStatus.FAILED:
                raise
            return await scope.owner.stopping.fail(error)

    async def _ended(self) -> Any:
        execution = self._runtime.executions.get(self._id) or self._execution
        if execution is None:
            return self._finished()
        scope = current_scope.get()
        waiting = scope.owner.run.id if scope is not None else None
        if scope is not None and waiting is not None:
            try:
                self._runtime.check_no_circle(waiting, self._id)
            except UsageError as error:
                raise scope.owner.misused(error)  # noqa: B904  # the same one
            self._runtime.waits.setdefault(waiting, set()).add(self._id)
        try:
            await (execution.rest() if scope is None else scope.owner.wait_for_run(scope, execution.rest))
        finally:
            if waiting is not None:
                self._runtime.waits[waiting].discard(self._id)
        await self._settle_display(awaited=True)
        assert execution.outcome is not None
        error = execution.outcome.raised()
        if error is not None:
            raise self._noted(error)
        return self.output

    async def result_of_cell(self) -> Any:
        """The output, for whoever called `job.run`: the tree is up to date when the cell ends."""
        try:
            return await (self._result_or_interrupt() if self._began else self._result_or_leave())
        finally:
            await self._settle_display(awaited=False)

    async def _result_or_interrupt(self) -> Any:
        """For whoever began the run: cancelling the wait interrupts the run (A7)."""
        execution = self._runtime.executions.get(self._id)
        try:
            return await self._result()
        except asyncio.CancelledError:
            if execution is not None:
                execution.stop(Stop.INTERRUPT)
                await _bounded(execution.rest())
            raise self._interrupted() from None
        except RunInterruptedError:
            # A body that blocked the loop took the interrupt itself.
            if execution is not None and execution.was_interrupted:
                raise self._interrupted() from None
            raise

    def _interrupted(self) -> asyncio.CancelledError:
        return asyncio.CancelledError(
            f"run {self._id} was interrupted; running the cell again takes it up where it was"
        )

    def _finished(self) -> Any:
        match self.status:
            case RunStatus.COMPLETED:
                return self.output
            case RunStatus.FAILED:
                error = self.error
                raise self._noted(error if error is not None else TriggerError(f"run {self._id} failed"))
            case status:
                raise RunInterruptedError(
                    f"run {self._id} is {status} and not under way in this kernel; run.resume(), or running "
                    "its cell again, takes it up where it was"
                )

    def _noted(self, error: BaseException) -> BaseException:
        """The error with a note that says where it comes from, and what to do (PEP 678)."""
        record = self._record
        if record.status == RunStatus.FAILED and not isinstance(error, UsageError):
            note = (
                f"{self._what_failed(record.ended_by)} in run {self._id}. "
                "Running the cell again resumes there; what is done is kept."
            )
            if note not in getattr(error, "__notes__", ()):
                error.add_note(note)
        return error

    def _what_failed(self, ended_by: list[str]) -> str:
        outer = {around for path in ended_by for around in ancestors(path)}
        inner = [path for path in ended_by if path not in outer]
        if len(inner) > 1:
            return f"{len(inner)} tasks failed ({', '.join(repr(display_path(path)) for path in inner[:3])}{', ...' * (len(inner) > 3)})"
        if not inner:
            return "Raised outside any task"
        records = self._runtime.each_task_record(self._id)
        attempts = next((record.attempt for record in records if record.path == inner[0]), 1)
        return f"Task {display_path(inner[0])!r} failed" + (
            f" after {attempts} attempts" if attempts > 1 else ""
        )

    # Changing its course ----------------------------------------------------------------------

    def cancel(self) -> Run:
        """End the run: what runs is cancelled, what is done stays."""
        return self._end("cancel", Stop.CANCEL, RunStatus.CANCELED)

    def pause(self) -> Run:
        """Stop the run for now; `resume()` goes on."""
        return self._end("pause", Stop.PAUSE, RunStatus.WAITING, "paused")

    def resume(self) -> Run:
        """Go on with a run that is paused, interrupted or canceled."""
        self._allow("resume")
        return self._begin()

    def retry(self, which: Literal["failed", "all"] | Sequence[str | Sequence[Any]] = "failed") -> Run:
        """Run what failed again, in the same run; all that completed is kept.

        `which="all"` also runs tasks again whose errors the code had handled. A list of paths,
        `which=["import/page-3", "notify"]`, runs only those again, handled or not, with what failed in
        them and the tasks around them: every other error is raised as it was, until the run comes to an end.

        Raises `NotFoundError` for a path that is not there, `RunStateError` for a task that has not failed.
        """
        self._allow("retry")
        if not which or (isinstance(which, str) and which not in ("failed", "all")):
            raise RunStateError(
                f'retry takes which="failed", which="all" or a list of paths, which=["fetch"]; not {which!r}'
            )
        chosen = which if isinstance(which, str) else self._failed_paths(which)
        if chosen == "failed" and not (self._record.kept or self._record.counts.get(TaskStatus.ERRORED)):
            return self._begin()

        def apply() -> None:
            run = self._record

            def change(records: dict[str, TaskRecord]) -> list[TaskRecord]:
                forgotten, run.kept = to_retry(records, chosen)
                return reset(records, forgotten)

            self._rewrite(change, run)

        return self._once_more(apply)

    def _failed_paths(self, paths: Sequence[str | Sequence[Any]]) -> list[str]:
        statuses = {record.path: record.status for record in self._runtime.task_records(self._id)}
        normal = [_path(path) for path in paths]
        for path in normal:
            if path not in statuses:
                raise self._no_task(path)
            if statuses[path] != TaskStatus.ERRORED:
                raise RunStateError(
                    f"task {path!r} of run {self._id} is {statuses[path]}: retry takes tasks that have failed; "
                    "rerun_from(path) runs any task again"
                )
        return normal

    def rerun_from(self, path: str | Sequence[Any]) -> Run:
        """Run a task again, and every task that first started after it ended.

        Their results are forgotten, and they get new idempotency keys; what overlapped the task,
        and the other items of a `parallel` or `map`, is kept.
        """
        self._allow("rerun_from")
        normal = self.task(path).path

        def apply() -> None:
            self._rewrite(lambda records: forget(records, normal))

        return self._once_more(apply)

    def fork(self, path: str | Sequence[Any], *, output: Any = ..., run_id: str | None = None) -> Run:
        """A copy of the run up to a task, whose output is `output`, as a new run; this one stays as it is.

        What had first started before the task ended is copied and replayed, never called. What came
        after runs in the copy, with idempotency keys of its own. Without `output` the task itself runs
        again. Values of `io.store.run` are copied as they are now.

        The copy begins at once, as `rerun_from` does; in a script, where no event loop runs, it is PENDING
        until `job.run_sync(fork.payload, run_id=fork.id)`. The same fork asked for again, as by running its
        cell again, is the same run; `run_id` names another.

            fork = run.fork("draft", output="Dear all, ...")
            await fork
            print(fork.diff(run))

        Raises `NotFoundError` when the task is not there, or the job is not defined in this kernel,
        `RunStateError` while the run is under way or when `run_id` is another run's, and
        `NotStorableError` when the output cannot be stored; then nothing is made.
        """
        self._allow("fork")
        normal = self.task(path).path
        self._defined_job()
        with self._leased() as runtime:
            record = fork(runtime, self._record, normal, output, run_id)
        made = Run(self._runtime, record.id)
        made._try_to_begin()
        return made

    def diff(self, other: Run | str) -> RunDiff:
        """In what tasks this run ("here") and another one, or the one of that id ("there"), differ.

        A task is here or there only, or differs in status, output, error, params, code or duration (twice
        as long, and by more than 0.1 s). It is true when there is a difference, and shows as a table.

        Raises `NotFoundError` when there is no run of that id.
        """
        there = other if isinstance(other, Run) else Run(self._runtime, other)
        return compare(
            self._current, self._ordered(), there._current, there._ordered(),
            read_here=partial(self._runtime.whole, self._id),
            read_there=partial(there._runtime.whole, there._id),
        )  # fmt: skip

    def skip_wait(self, path: str | Sequence[Any]) -> Run:
        """End a wait, or the pause before the next attempt, now."""
        self._allow("skip_wait")
        normal = self.task(path).path
        execution = self._runtime.executions.get(self._id)
        if execution is not None and execution.pass_ is not None:
            pass_ = execution.pass_
            self._on_home(execution, lambda: pass_.waits.skip(normal))
        else:
            self._rewrite(lambda records: _without_wait(records[normal], self._runtime.clock.time()))
        return self

    def delete(self) -> None:
        """Remove the run with all it stored. It cannot be undone.

        With it go the runs that it began as child runs. Pages that `export_html` wrote are yours, and stay. The
        space is used for runs to come; `client.prune` gives it back to the disk.

        Raises `RunStateError` when the run, or one that it began, is under way in this kernel;
        `RunLockedError` when another kernel drives it.

        >>> run = client.runs()[0]  # doctest: +SKIP
        >>> run.delete()  # doctest: +SKIP
        """
        self._allow("delete")
        housekeeping.delete(self._runtime, self._record)

    def _allow(self, operation: Operation) -> RunStatus:
        """The status that the operation leads to; `RunStateError` when it makes no sense now."""
        status = self.status
        if operation != "delete":
            check_legible(self._record)
        if operation in ("delete", "fork") and self._id in self._runtime.executions:
            status = RunStatus.RUNNING  # it may well wait, but something here waits for it
        after = OPERATIONS[operation][status]
        if not isinstance(after, RunStatus):
            raise RunStateError(f"run {self._id} is {status}: {operation} makes no sense, {after}")
        return after

    def _end(self, operation: Operation, why: Stop, status: RunStatus, reason: str = "") -> Run:
        self._allow(operation)
        execution = self._runtime.executions.get(self._id)
        if execution is not None:
            execution.stop(why)
            return self
        record = self._record
        if (record.status, record.reason) != (status, reason):
            record.status, record.reason = status, reason
            with self._leased() as runtime:
                runtime.save_run(record)
        return self

    def _once_more(self, change: Callable[[], None]) -> Run:
        """Change what is stored and begin a pass on it; one that is under way ends first."""
        execution = self._runtime.executions.get(self._id)
        if execution is None:
            change()
            return self._begin()
        self._on_home(execution, lambda: execution.again(change))
        return self

    def _begin(self) -> Run:
        if not self._try_to_begin():
            raise UsageError(
                f"run {self._id} needs a running event loop to go on, as a notebook has one. In a script, use "
                "run_sync(...) of its job, or call this inside of asyncio.run(...)"
            )
        return self

    def _try_to_begin(self) -> bool:
        """Begin a pass unless one is under way; False where no event loop runs for it to live on."""
        living = self._runtime.executions.get(self._id)
        if living is not None and not living.is_stopping:
            return True
        record, job = self._record, self._defined_job()
        execution = self._on_loop(lambda: job.restart(record))
        if execution is not None:
            self._execution = execution
        return execution is not None

    def _defined_job(self) -> Any:
        """Its job as it is in this kernel; `NotFoundError` when it is not defined here."""
        job_id = self._record.job
        job = self._runtime.jobs.get(job_id)
        if job is None:
            raise NotFoundError(
                f"job {job_id!r} of run {self._id} is not defined in this kernel: run the cell "
                "that defines it, then try again"
            )
        return job

    def _on_loop(self, begin: Callable[[], Execution]) -> Execution | None:
        """Call it on the loop that runs live on, from whatever thread this is; None where there is none."""
        home = self._runtime.home
        if has_loop():
            return begin()

        async def call() -> Execution:
            return begin()

        try:
            if home is not None and home.thread != threading.get_ident():
                return home.run(call)
        except RunInterrupted:  # that loop is closed
            pass
        return None

    def _on_home(self, execution: Execution, call: Callable[[], object]) -> None:
        if threading.get_ident() == execution.home.thread:
            call()
        else:
            execution.home.soon(call)

    def _rewrite(
        self, change: Callable[[dict[str, TaskRecord]], list[TaskRecord]], run: RunRecord | None = None
    ) -> None:
        """Change stored records of a run that is not under way, its own with them if given, in one commit."""
        records = {record.path: record for record in self._runtime.task_records(self._id)}
        changed = change(records)
        rows = [Row(f"{self._id}/{record.path}", self._id, record.dumps(), record.rank) for record in changed]
        if run is not None:
            rows.append(run_row(run))
        if not rows:
            return
        # Of a damaged row the rank is not known, and the store would keep it.
        damaged = [f"{self._id}/{record.path}" for record in changed if records[record.path].is_damaged]
        with self._leased() as runtime:
            if damaged:
                runtime.store.delete(keys=damaged, write=rows, patience=5)
            else:
                runtime.journal.commit(rows, patience=5)

    def _leased(self) -> _Leased:
        return _Leased(self._runtime, self._record)

    # Seeing it --------------------------------------------------------------------------------

    def tree(self, *, width: int = 100, fold: int | None = 20) -> str:
        """The run as text: a line a task, indented; large groups folded."""
        return text.tree(self.model(), width=width, fold=fold)

    def export_html(self, path: str | Path) -> Path:
        """Write the run as one self-contained HTML page; the path written to.

        The page is yours: it stays when the run is removed.
        """
        target = Path(path)
        target.write_text(
            html.page(self.model(), title=f"{self._record.name or self.job} · {self._id}"), encoding="utf-8"
        )
        return target

    def model(self, *, lazy: bool = False) -> RunModel:
        """The rows of the tree, for whoever draws them."""
        pass_ = self._runtime.passes.get(self._id)
        record = self._current
        model = RunModel(
            record,
            self._runtime.each_task_record(self._id, running=True),
            seen=None if pass_ is None else pass_.header.sightings(),
            hints=record.hints if pass_ is None else pass_.header.hints,
            store=str(self._runtime.store.directory),
            clock=self._runtime.clock,
            lazy=lazy,
            read=partial(self._runtime.stored_task, self._id),
            look_back=self._look_back,
        )
        if record.status == RunStatus.RUNNING and not lazy:
            model.expect(self._foresee())
        return model

    def follow(self, execution: Execution, *, began: bool) -> None:
        """This handle has begun the run, or joined it."""
        self._execution = execution
        self._began = began

    @property
    def widget(self) -> LiveWidget:
        """Its tree as an ipywidgets widget, to be put in a `VBox`, a `Tab` or an `Output` with others.

        Shown by itself a run needs none of this: end a cell with the run. A widget that was asked for
        stays live when the run has ended; a notebook file keeps no widgets.

        Raises `UsageError` where no event loop is running.
        """
        display = self._display()
        display.stay = True
        return display.widget

    def show(self, *, awaited: bool = False) -> None:
        """Show its tree under the cell that is running; `awaited`: which waits for its end."""
        self._shown_in = _cell_number()
        try:
            display = self._display()
        except UsageError:
            raise
        except Exception:  # noqa: BLE001  # a display never fails a run (rule D1)
            _log.warning("run %s cannot be shown; the run itself goes on", self._id, exc_info=True)
            return
        display.model.awaited = awaited
        display.show()

    def _display(self) -> RunDisplay:
        """What shows it in this kernel: the same live widget, in however many places."""
        display = self._runtime.views.get(self._id)
        if display is not None and display.is_replacing:  # as soon as it has left, another one is needed
            display.flush()
            display = self._runtime.views.get(self._id)
        if display is None:
            if not has_loop():
                raise UsageError(
                    f"run {self._id} is shown live where an event loop is running, as in a notebook; "
                    "print(run.tree()) shows it anywhere"
                )
            views = self._runtime.views
            display = views[self._id] = RunDisplay(
                lambda: self.model(lazy=True), self._runtime.feed(self._id), asyncio.get_running_loop(),
                RunControls(Run(self._runtime, self._id), self._runtime),
                on_close=lambda: views.pop(self._id, None),
            )  # fmt: skip
        return display

    async def _settle_display(self, *, awaited: bool) -> None:
        """Whichever cell shows it, the tree has come to rest when this one goes on."""
        display = self._runtime.views.get(self._id)
        if display is None:
            return
        try:
            await display.settle()
        except asyncio.CancelledError:
            display.flush()
            raise
        finally:
            display.model.awaited = awaited and display.model.awaited

    def _ipython_display_(self) -> None:
        if self._shown_in == _cell_number() != -1:
            return  # a cell that ends in job.start(...) shows one tree, not two
        if self._runtime.run_record(self._id) is None:
            print(repr(self))  # noqa: T201  # it was deleted, and a cell ends in it
        elif has_loop():
            self.show()
        else:
            to_kernel(bundle(self.model()))

    def _display_(self) -> LiveWidget:
        """As `_ipython_display_`, for marimo."""
        return self.widget

    def __repr__(self) -> str:
        if self._runtime.run_record(self._id) is None:
            return f"<Run {self._id}: deleted>"
        return f"<Run {self._id} of job {self.job!r}: {self.status}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a Run cannot be pickled: keep run.id, and client.run(run_id) gives it back in any kernel"
        )

    # Inside -----------------------------------------------------------------------------------

    @property
    def _exists(self) -> bool:
        """Whether it is in the store: it may have been deleted."""
        return self._runtime.run_record(self._id) is not None

    @property
    def _current(self) -> RunRecord:
        """What is stored of it, with its status and the counts of its tasks as they are now."""
        record = self._record.copy(status=self.status)
        execution = self._runtime.executions.get(self._id)
        if execution is not None and execution.pass_ is not None:
            record.counts = execution.pass_.ledger.counts()
        return record

    @property
    def _record(self) -> RunRecord:
        record = self._runtime.run_record(self._id)
        if record is None:
            raise NotFoundError(f"there is no run {self._id!r} in {self._runtime.store.directory}")
        return record

    def _decoded(self, form: str, data: Any) -> Any:
        return _values.load(form, data, self._runtime.store.blobs(self._id))

    def _ordered(self) -> list[TaskRecord]:
        records = {record.path: record for record in self._runtime.task_records(self._id, running=True)}

        def place(path: str) -> list[int]:
            parts = path.split("/")
            above = ["/".join(parts[: n + 1]) for n in range(len(parts))]
            return [records[each].started if each in records else 0 for each in above]

        return sorted(records.values(), key=lambda record: place(record.path))

    def _foresee(self) -> Durations:
        execution = self._runtime.executions.get(self._id)
        return self._runtime.foresee(self._record) if execution is None else execution.foresee()

    def _look_back(self) -> None:
        execution = self._runtime.executions.get(self._id)
        if execution is not None:
            execution.look_back()

    def _data_of_status(self, record: TaskRecord) -> Any:
        """As it was given, unless some of it is to be hidden, or it could not be stored."""
        if record.redact or record.form == "unstored":
            return said(record)["data"]
        record = self._runtime.whole(self._id, record)
        return self._decoded(record.form, record.value)

    def _info(self, record: TaskRecord) -> TaskInfo:
        pass_ = self._runtime.passes.get(self._id)
        reason = None if pass_ is None else pass_.header.reasons.get(record.path)
        return TaskInfo(self._runtime, self._id, record, reason)

    def _no_task(self, path: str) -> NotFoundError:
        paths = [record.path for record in self._runtime.task_records(self._id)]
        close = difflib.get_close_matches(path, paths, n=3) or paths[:5]
        return NotFoundError(
            f"run {self._id} has no task {path!r}; there is {', '.join(map(repr, close)) or 'none yet'}"
        )


class _Leased:
    """Holds a run's lease while its records are changed from outside a pass."""

    def __init__(self, runtime: Runtime, record: RunRecord) -> None:
        self._runtime = runtime
        self._record = record
        self._held_before = runtime.holds_lease(record.id)  # by a body that has outlived its pass

    def __enter__(self) -> Runtime:
        self._runtime.take_lease(self._record.copy())
        return self._runtime

    def __exit__(self, *_: object) -> None:
        if not self._held_before:
            self._runtime.release_lease(self._record.id)


def _path(path: str | Sequence[Any]) -> str:
    if isinstance(path, str):
        return unicodedata.normalize("NFC", path)
    if isinstance(path, list):
        return "/".join(normal_key(key) for key in path)  # pyright: ignore[reportUnknownVariableType]
    return normal_key(path)  # a tuple is one key


def _without_wait(record: TaskRecord, now: float) -> list[TaskRecord]:
    if record.status != TaskStatus.WAITING:
        return []
    return [record.copy(next_at=now)]


def _cell_number() -> int:
    """How many cells this kernel has run; -1 where there are no cells."""
    get_ipython = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = get_ipython() if get_ipython is not None else None
    return getattr(shell, "execution_count", -1)


async def _bounded(rest: Any) -> None:
    """Wait for a run to come to rest, but not for long: the cell must stop."""
    task = asyncio.ensure_future(rest)
    try:
        await asyncio.wait({task}, timeout=CELL_GRACE)
    finally:
        task.cancel()
