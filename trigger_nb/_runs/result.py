"""The result of a run for code that waits for it: the output, or the error of the run with a note."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine

import anyio

from .. import _values
from .._engine.live import LiveResult
from .._engine.stopping import Stop
from .._keys import ancestors, display_path
from .._records.records import RunRecord
from .._records.status import RunStatus
from .._tasks.call import current_scope
from .._values.codec import dump_or_describe
from .._values.error_reading import add_note
from .._values.one_shot import holds_one_shot
from .._values.pieces import of_result
from .._values.placeholders import Unstored
from ..errors import (
    RunCanceledError,
    RunInterruptedError,
    StoreError,
    TriggerError,
    UsageError,
    ValueNotLoadedError,
)
from . import showing
from .runtime import ActiveRun, Runtime


def output_of(runtime: Runtime, run: RunRecord) -> object:
    """The output of a run; None unless it has completed."""
    if run.last_ending != RunStatus.COMPLETED:
        return None
    if run.form != "unstored":
        return _values.load(run.form, run.output, runtime.store.blobs(run.id))
    lost = Unstored("the run", run.output["type"], run.output["reason"])
    return runtime.memory(run.id).shown("", 0, lost)


def keep_output(runtime: Runtime, run: RunRecord, output: object) -> None:
    """Put the output of a run into its record, and keep it alive in this kernel if it cannot be stored."""
    live, blobs = runtime.memory(run.id).live, runtime.store.blobs(run.id)
    run.form, run.output = dump_or_describe(output, blobs)
    run.shown = [made.kept(blobs.put) for made in of_result(run.form, output, run.redact)]
    live.pop(("", 0), None)
    if run.form == "unstored" and not holds_one_shot(output):
        live["", 0] = LiveResult(output)


def error_of(run: RunRecord) -> BaseException | None:
    """The error that a run FAILED with, else None."""
    return None if run.error is None else _values.error_or_stand_in(run.error)


async def result(runtime: Runtime, run_id: str, execution: ActiveRun | None) -> object:
    """Wait for the output of a run. `execution` is the last one that the caller knows of.

    If the caller is code of another run, an error of ours ends the pass of that run too (A9, R13).
    """
    try:
        return await _result(runtime, run_id, execution)
    except (StoreError, ValueNotLoadedError) as error:
        scope = current_scope.get()
        if scope is None or threading.get_ident() != scope.owner.home.thread:
            raise
        if runtime.status_of(runtime.require_run(run_id)) == RunStatus.FAILED:
            raise  # the error is the result of the run
        return await scope.owner.stopping.fail(error)


async def result_or_leave(runtime: Runtime, run_id: str, execution: ActiveRun | None) -> object:
    """`result` for code that did not start the run: the run continues if the wait is cancelled (A7)."""
    try:
        return await result(runtime, run_id, execution)
    except asyncio.CancelledError:
        raise _goes_on(run_id) from None


async def result_or_stop(runtime: Runtime, run_id: str, execution: ActiveRun | None) -> object:
    """`result` for the cell, or the run, that started the run: it is stopped if the wait is cancelled (A7)."""
    active = runtime.executions.get(run_id)
    interrupted = asyncio.CancelledError(
        f"run {run_id} was interrupted; run the cell again to continue where it stopped"
    )
    try:
        return await result(runtime, run_id, execution)
    except asyncio.CancelledError:
        if run_id in runtime.followers:
            raise _goes_on(run_id) from None
        if active is not None:
            active.stop(_stop_of_waiter())
            await _wait_briefly(active.wait_finished(), runtime.patience.cell)
        raise interrupted from None
    except RunInterruptedError:
        # A body that blocked the event loop may have taken the interrupt itself.
        if active is not None and active.was_interrupted:
            if (scope := current_scope.get()) is not None:
                scope.owner.stopping.interrupt()  # the run that waits is stopped as well
            raise interrupted from None
        raise


def _goes_on(run_id: str) -> asyncio.CancelledError:
    return asyncio.CancelledError(
        f"run {run_id} continues; await it again for its output, or end it with run.cancel()"
    )


def _stop_of_waiter() -> Stop:
    """How a run is stopped whose waiter is cancelled: as the run that waits; interrupted, if a cell does, or code gave up."""
    scope = current_scope.get()
    why = None if scope is None else scope.owner.stopping.why
    return Stop(why) if why in (Stop.CANCEL, Stop.PAUSE) else Stop.INTERRUPT


async def _result(runtime: Runtime, run_id: str, execution: ActiveRun | None) -> object:
    while True:
        await _moved(runtime, run_id)
        if (follower := runtime.followers.get(run_id)) is not None:
            await follower.over()
            execution = None  # an earlier one, before another process drove the run
            continue
        active = runtime.executions.get(run_id) or execution
        if active is None or _has_gone_on(runtime, active):
            return _stored_result(runtime, runtime.require_run(run_id))
        await _wait_finished(runtime, run_id, active)
        if not (run_id in runtime.moving or run_id in runtime.followers):
            break  # else another process has it now
    await showing.settle(runtime, run_id, awaited=True)
    assert active.outcome is not None
    error = active.outcome.raised()
    if error is not None:
        raise _with_note(runtime, active.run, error)  # the store may have no record of it any more
    return output_of(runtime, runtime.require_run(run_id))


def _has_gone_on(runtime: Runtime, active: ActiveRun) -> bool:
    """Whether another process has driven the run since this kernel left it, or was interrupted in it."""
    outcome = active.outcome
    if outcome is None or not isinstance(outcome.error, RunInterruptedError):
        return False
    return runtime.require_run(active.run.id).passes > active.run.passes


async def _moved(runtime: Runtime, run_id: str) -> None:
    """Wait until the run is not being moved out of this process, or back. If that fails, the run goes on where it was."""
    while (moving := runtime.moving.get(run_id)) is not None:
        try:
            await asyncio.shield(moving)
        except TriggerError:
            if not (run_id in runtime.executions or run_id in runtime.followers):
                raise
        await asyncio.sleep(0)


async def _wait_finished(runtime: Runtime, run_id: str, active: ActiveRun) -> None:
    """Wait until a run has ended. Code of another run holds no slot meanwhile."""
    scope = current_scope.get()
    if scope is None:
        return await active.wait_finished()
    waiting = scope.owner.run.id
    try:
        runtime.check_no_cycle(waiting, run_id)
    except UsageError as error:
        raise scope.owner.stopping.misused(error)  # noqa: B904  # the same error

    async def ended() -> bool:
        await active.wait_finished()
        return active.outcome is not None and isinstance(
            active.outcome.error, (RunCanceledError, RunInterruptedError)
        )

    runtime.waits.setdefault(waiting, set()).add(run_id)
    try:
        await scope.owner.wait_for_run(scope, ended)
    finally:
        runtime.waits[waiting].discard(run_id)
        if not runtime.waits[waiting]:
            del runtime.waits[waiting]


async def _wait_briefly(finished: Coroutine[object, object, None], patience: float) -> None:
    """Wait for the end of a run for at most these seconds, because the cell must stop."""
    task = asyncio.ensure_future(finished)
    with anyio.CancelScope(shield=True):  # anyio cancels again and again
        try:
            await asyncio.wait({task}, timeout=patience)
        finally:
            task.cancel()


def _stored_result(runtime: Runtime, run: RunRecord) -> object:
    """The result of a run that is not under way in this kernel."""
    match runtime.status_of(run):
        case RunStatus.COMPLETED:
            return output_of(runtime, run)
        case RunStatus.FAILED:
            error = error_of(run)
            raise _with_note(runtime, run, TriggerError(f"run {run.id} failed") if error is None else error)
        case status:
            raise RunInterruptedError(
                f"run {run.id} is {status} and not under way in this kernel; call run.resume(), or run its cell "
                "again, to continue where it stopped"
            )


def _with_note(runtime: Runtime, run: RunRecord, error: BaseException) -> BaseException:
    """The error with a note about where it was raised, and how to continue (PEP 678)."""
    if run.status == RunStatus.FAILED and not isinstance(error, UsageError):
        note = (
            f"{_what_failed(runtime, run)} in run {run.id}. "
            "Running the cell again resumes there; what is done is kept."
        )
        if note not in getattr(error, "__notes__", ()):
            add_note(error, note)
    return error


def _what_failed(runtime: Runtime, run: RunRecord) -> str:
    outer = {around for path in run.ended_by for around in ancestors(path)}
    inner = [path for path in run.ended_by if path not in outer]
    if not inner:
        return "Raised outside any task"
    if len(inner) > 1:
        names = ", ".join(repr(display_path(path)) for path in inner[:3])
        return f"{len(inner)} tasks failed ({names}{', ...' if len(inner) > 3 else ''})"
    records = runtime.each_task_record(run.id)
    attempts = next((record.attempt for record in records if record.path == inner[0]), 1)
    return f"Task {display_path(inner[0])!r} failed" + (f" after {attempts} attempts" if attempts > 1 else "")
