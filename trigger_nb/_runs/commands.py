"""Commands on a run: cancel, pause, resume, retry, rerun, fork, skip a wait, delete.

A command first checks in `OPERATIONS` that the status of the run allows it. On a run that is under way in this kernel
it acts through the execution; on another run it changes the stored records while it holds the lease. A process that drives the
run elsewhere is asked to stop it, or to skip a wait.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Literal, TypeAlias

from .._engine.ledger import run_row
from .._engine.stopping import Stop
from .._engine.waits import without_wait
from .._keys import display_path
from .._records.forget import forget, reset, to_retry
from .._records.questions import KIND as QUESTION, how_to_answer
from .._records.reading import check_legible
from .._records.records import RunRecord, TaskRecord
from .._records.status import OPERATIONS, Operation, RunStatus, TaskStatus
from .._records.stops import going_on, is_at_stop, stopped_after
from .._store.protocol import Row
from ..errors import NotFoundError, RunInterrupted, RunStateError, UsageError
from . import housekeeping, requests
from .awaiting import has_loop
from .due import is_driven
from .fork import make_fork
from .runtime import ActiveRun, RestartableJob, Runtime
from .sources import check_own
from .task_info import find_tasks
from .task_paths import TaskPath

Which: TypeAlias = Literal["failed", "all"] | Sequence[TaskPath]
_PATIENCE = 5.0  # seconds to wait for another process's transaction


def cancel(runtime: Runtime, run_id: str) -> None:
    """End a run: running tasks are cancelled, and stored results stay."""
    run = _allowed(runtime, run_id, "cancel")
    if is_elsewhere(runtime, run):
        requests.ask(runtime, run, "cancel")
    else:
        _stop(runtime, run, Stop.CANCEL, RunStatus.CANCELED)


def pause(runtime: Runtime, run_id: str, *, now: bool = False) -> None:
    """Stop a run until `resume`: `now`, or when the bodies in flight have ended."""
    run = _allowed(runtime, run_id, "pause")
    active = runtime.executions.get(run_id)
    if is_elsewhere(runtime, run):
        requests.ask(runtime, run, "pause now" if now else "pause")
    elif active is None or now:
        _stop(runtime, run, Stop.PAUSE, RunStatus.WAITING, "paused")
    else:
        _check_not_over(active, "pause")
        _on_home(active, active.pause)


def resume(runtime: Runtime, run_id: str) -> ActiveRun:
    """Continue a run that is paused, interrupted or canceled. Its maps go on that have stopped after their first items."""
    run = _allowed(runtime, run_id, "resume")
    if is_at_stop(run):
        records = _tasks_by_path(runtime, run_id)
        stopped = [record for record in records.values() if stopped_after(record)]
        _save(runtime, run, records, [record.copy(tally=going_on()) for record in stopped])
    active = runtime.executions.get(run_id)
    if active is not None and active.pass_ is not None:
        _on_home(active, active.pass_.waits.go_on)
    return begin(runtime, run)


def retry(runtime: Runtime, run_id: str, which: Which) -> ActiveRun:
    """Run failed tasks again: see `Run.retry`."""
    run = _allowed(runtime, run_id, "retry")
    if not which or (isinstance(which, str) and which not in ("failed", "all")):
        raise RunStateError(
            f'retry takes which="failed", which="all" or a list of paths, which=["fetch"]; not {which!r}'
        )
    chosen = which if isinstance(which, str) else _failed_paths(runtime, run_id, which)
    if chosen == "failed" and not (run.kept or run.counts.get(TaskStatus.ERRORED)):
        return begin(runtime, run)

    def forget_errors() -> None:
        records = _tasks_by_path(runtime, run_id)
        forgotten, kept = to_retry(records, chosen)
        run = runtime.require_run(run_id)
        run.kept = kept
        _save(runtime, run, records, reset(records, forgotten), also_run=True)

    return _change_and_begin(runtime, run_id, forget_errors)


def rerun_from(runtime: Runtime, run_id: str, *paths: TaskPath) -> ActiveRun:
    """Run tasks again, and every task that first started after one of them had ended."""
    _allowed(runtime, run_id, "rerun_from")
    normal = [task.path for task in find_tasks(runtime, run_id, paths)]

    def forget_results() -> None:
        records = _tasks_by_path(runtime, run_id)
        _save(runtime, runtime.require_run(run_id), records, forget(records, *normal))

    return _change_and_begin(runtime, run_id, forget_results)


def fork(runtime: Runtime, run_id: str, path: TaskPath, output: object, fork_id: str | None) -> str:
    """Copy a run up to a task as a new run, and begin the copy if an event loop runs. Returns the id of the copy."""
    run = _allowed(runtime, run_id, "fork")
    (task,) = find_tasks(runtime, run_id, [path])
    _defined_job(runtime, run)
    with _leased(runtime, run):
        copy = make_fork(runtime, run, task.path, output, fork_id)
    try_to_begin(runtime, copy)
    return copy.id


def skip_wait(runtime: Runtime, run_id: str, path: TaskPath) -> None:
    """End a wait, or the delay before the next attempt, now."""
    run = _allowed(runtime, run_id, "skip_wait")
    (task,) = find_tasks(runtime, run_id, [path])
    if task.kind == QUESTION:
        raise RunStateError(
            f"task {display_path(task.path)!r} of run {run_id} asks a person, which cannot be skipped: answer it with "
            + how_to_answer(task)
        )
    active = runtime.executions.get(run_id)
    if active is not None and active.pass_ is not None:
        waits = active.pass_.waits
        _on_home(active, lambda: waits.skip(task.path))
    elif is_elsewhere(runtime, run):
        requests.ask(runtime, run, "skip the wait", task.path)
    elif task.status == TaskStatus.WAITING:
        _save(runtime, run, {task.path: task}, [without_wait(task, runtime.clock.time())])


def delete(runtime: Runtime, run_id: str) -> None:
    """Remove a run with all its stored data, and its child runs."""
    housekeeping.delete(runtime, _allowed(runtime, run_id, "delete"))


def is_elsewhere(runtime: Runtime, run: RunRecord) -> bool:
    """Whether another process drives a run."""
    return not runtime.holds_lease(run.id) and is_driven(runtime, run)


# Beginning a pass ----------------------------------------------------------------------------------
def begin(runtime: Runtime, run: RunRecord) -> ActiveRun:
    """Begin a pass of a run unless one is under way. Raises `UsageError` if no event loop runs."""
    active = try_to_begin(runtime, run)
    if active is None:
        raise UsageError(
            f"run {run.id} needs a running event loop to continue, as in a notebook. In a script, call "
            "run_sync(...) of its job, or call this inside of asyncio.run(...)"
        )
    return active


def try_to_begin(runtime: Runtime, run: RunRecord) -> ActiveRun | None:
    """Begin a pass of a run unless one is under way. None if no event loop runs that the run could live on."""
    active = runtime.executions.get(run.id)
    if active is not None and not active.is_stopping:
        return active
    job = _defined_job(runtime, run)
    return _on_loop(runtime, lambda: job._restart(run))


def _defined_job(runtime: Runtime, run: RunRecord) -> RestartableJob:
    job = runtime.jobs.get(run.job)
    if job is None:
        raise NotFoundError(
            f"job {run.job!r} of run {run.id} is not defined in this kernel: run the cell "
            "that defines it, then try again"
        )
    return job


def _on_loop(runtime: Runtime, begin: Callable[[], ActiveRun]) -> ActiveRun | None:
    """Call `begin` on an event loop: this thread's, or the one that runs were last started on. None if neither runs."""
    if has_loop():
        return begin()
    home = runtime.home
    if home is None or home.thread == threading.get_ident():
        return None

    async def call() -> ActiveRun:
        return begin()

    try:
        return home.run(call)
    except RunInterrupted:  # the loop is closed
        return None


def _on_home(active: ActiveRun, call: Callable[[], object]) -> None:
    """Call something on the event loop of a run, from any thread."""
    if threading.get_ident() == active.home.thread:
        call()
    else:
        active.home.soon(call)


# Checks --------------------------------------------------------------------------------------------
def _allowed(runtime: Runtime, run_id: str, operation: Operation) -> RunRecord:
    """The record of the run. Raises `RunStateError` if its status does not allow the operation."""
    run = runtime.require_run(run_id)
    status = runtime.status_of(run)
    if operation != "delete":
        check_legible(run)
    if (
        operation in ("accept", "fork", "rerun_from", "resume", "retry", "set_output")
        and (job := runtime.jobs.get(run.job)) is not None
    ):
        check_own(run, job.options, job.fn)
    if operation in ("accept", "delete", "fork") and run_id in runtime.executions:
        status = RunStatus.RUNNING  # it may be WAITING, but its execution lives in this kernel
    after = OPERATIONS[operation][status]
    if not isinstance(after, RunStatus):
        raise RunStateError(f"run {run_id} is {status}: {operation} makes no sense, {after}")
    return run


def _failed_paths(runtime: Runtime, run_id: str, paths: Sequence[TaskPath]) -> list[str]:
    """The paths in normal form. Raises an error if one of these tasks does not exist or has not failed."""
    tasks = find_tasks(runtime, run_id, paths)
    for task in tasks:
        if task.status != TaskStatus.ERRORED:
            raise RunStateError(
                f"task {display_path(task.path)!r} of run {run_id} is {task.status}: retry takes tasks that have failed; "
                "rerun_from(path) runs any task again"
            )
    return [task.path for task in tasks]


# Changing what is stored ---------------------------------------------------------------------------
def _stop(runtime: Runtime, run: RunRecord, why: Stop, status: RunStatus, reason: str = "") -> None:
    """Stop the execution of a run; without an execution, store the status."""
    active = runtime.executions.get(run.id)
    if active is not None:
        _check_not_over(active, str(why))
        active.stop(why)
    elif (run.status, run.reason) != (status, reason):
        run.status, run.reason = status, reason
        with _leased(runtime, run):
            runtime.save_run(run)
        if status == RunStatus.CANCELED:
            runtime.end_post(run.id)


def _check_not_over(active: ActiveRun, operation: str) -> None:
    """Raise `RunStateError` if the run function has ended already, though the end of the run is not recorded yet."""
    if active.is_over:
        raise RunStateError(f"run {active.run.id} has just ended by itself: {operation} came too late")


def _change_and_begin(runtime: Runtime, run_id: str, change: Callable[[], None]) -> ActiveRun:
    """Change stored records, then begin a pass. A pass that is under way ends before the change."""
    active = runtime.executions.get(run_id)
    if active is None:
        change()
        return begin(runtime, runtime.require_run(run_id))
    _on_home(active, lambda: active.restart(change))
    return active


def _tasks_by_path(runtime: Runtime, run_id: str) -> dict[str, TaskRecord]:
    return {record.path: record for record in runtime.each_task_record(run_id)}


def _save(
    runtime: Runtime,
    run: RunRecord,
    records: dict[str, TaskRecord],
    changed: list[TaskRecord],
    *,
    also_run: bool = False,
) -> None:
    """Commit changed task records of a run between two passes. `also_run` adds the record of the run.

    `records` are the records as they were before the change.
    """
    rows = [Row(f"{run.id}/{record.path}", run.id, record.dumps(), record.rank) for record in changed]
    if also_run:
        rows.append(run_row(run))
    if not rows:
        return
    # The rank of a damaged row is unknown. An ordinary commit would keep a stored row of a higher rank.
    damaged = [f"{run.id}/{record.path}" for record in changed if records[record.path].is_damaged]
    with _leased(runtime, run):
        if damaged:
            runtime.store.delete(keys=damaged, write=rows, patience=_PATIENCE)
        else:
            runtime.journal.commit(rows, patience=_PATIENCE)


@contextmanager
def _leased(runtime: Runtime, run: RunRecord) -> Generator[None, None, None]:
    """Hold the lease of a run while its records are changed outside of a pass."""
    held_before = runtime.holds_lease(run.id)  # for a pass, or for a body that has outlived its pass
    runtime.take_lease(run.copy())  # a copy, because `take_lease` writes the holder into the record
    try:
        yield
    finally:
        if not held_before:
            runtime.release_lease(run.id)
