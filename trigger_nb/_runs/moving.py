"""Moving a living run out of this process to a worker, and back: `run.detach()` and `run.attach()`.

Out: a worker is made ready while the run goes on. Only then the run is left, as gently as by a pause, and the worker takes the lease.
Back: the process that drives the run is asked to leave it, and this one takes the lease. Whatever goes wrong, the run is driven by
the one or the other; who has the lease drives it, and nobody else.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import threading
import time
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from typing import Any

from .._keys import display_path
from .._records.feed import Hinted
from .._records.records import RunRecord
from .._records.status import FINISHED, RunStatus
from .._tasks.call import current_scope
from ..errors import DetachError, NotFoundError, RunLockedError, RunStateError, StoreError, TriggerError
from . import moves, requests
from .due import is_driven
from .following import follow, follow_on
from .leaving import can_be_left, cut, leave, with_children
from .own_worker import OwnWorker, file_for
from .resuming import resume
from .runtime import ActiveRun, Runtime
from .sources import check_own
from .workers import code_of, serving

_STEP = 0.02  # seconds between two looks at whether a run has changed hands
_PATIENCE = 60.0  # seconds until the other side is taken for dead
_DETACHING = "Detaching: a worker is being started. The run goes on meanwhile."
_ATTACHING = "Attaching: tasks in flight end where they run. `run.attach(now=True)` cuts them."
_log = logging.getLogger("trigger_nb")


# For handles and buttons ------------------------------------------------------------------------------


async def detach(runtime: Runtime, run_id: str, *, now: bool, anyway: bool) -> None:
    """Move a run that is under way here to a worker. To cancel this does not stop the move."""
    if (moving := runtime.moving.get(run_id)) is not None:
        await _until(moving)
    if run_id not in runtime.executions and is_detached(runtime, run_id):
        return
    active = _to_be_left(runtime, run_id)
    await _until(_begin(runtime, run_id, _detach(runtime, active, now=now, anyway=anyway)))


def begin_to_detach(runtime: Runtime, run_id: str, *, now: bool) -> None:
    """The same for a button: returns at once, and tells in the header of the run what happens."""
    if now and run_id in runtime.moving and (active := runtime.executions.get(run_id)) is not None:
        cut(with_children(runtime, active))
        return
    active = _to_be_left(runtime, run_id)
    _told(active, lambda: _begin(runtime, run_id, _detach(runtime, active, now=now, anyway=False)))


def begin_to_attach(runtime: Runtime, run_id: str, *, now: bool = False) -> None:
    """Begin to bring a run back, for a button or a cell that runs again."""
    if run_id not in runtime.moving:
        _logged(_begin(runtime, run_id, _attach(runtime, run_id, now=now)))
    elif now:
        with suppress(StoreError):
            requests.ask(runtime, runtime.require_run(run_id), "hand over now")


async def attach(runtime: Runtime, run_id: str, *, now: bool) -> None:
    """Bring a run into this kernel, whoever drives it. To cancel this does not stop the move."""
    if (moving := runtime.moving.get(run_id)) is not None:
        await _until(moving)
    if run_id in runtime.executions:
        return
    run = runtime.require_run(run_id)
    if run.status in FINISHED:
        raise RunStateError(
            f"run {run_id} is {run.status}: no process drives it, and there is nothing to bring back"
        )
    await _until(_begin(runtime, run_id, _attach(runtime, run_id, now=now)))


def attach_for_start(runtime: Runtime, run_id: str, begin: Callable[[], ActiveRun]) -> None:
    """Bring a detached run back, because its cell was run again; then begin the pass that the cell asks for."""
    follow(runtime, run_id)  # what runs there may take long to end
    if run_id not in runtime.moving:
        _logged(_begin(runtime, run_id, _attach(runtime, run_id, now=False, begin=begin)))


def is_detached(runtime: Runtime, run_id: str) -> bool:
    """Whether a run was detached, and another process drives it."""
    run = runtime.run_record(run_id)
    if run is None or run_id in runtime.executions or run.status in FINISHED:
        return False
    move = moves.of(runtime, run_id)
    return move is not None and move.is_out and is_driven(runtime, run)


def hand_over(runtime: Runtime, run_id: str, *, now: bool) -> None:
    """Leave a run to the process that has asked for it. Call it on the event loop of the run."""
    active = runtime.executions[run_id]
    if run_id in runtime.moving:
        if now:
            cut(with_children(runtime, active))
        return
    if can_be_left(active) and not _waiters(runtime, run_id):
        _logged(_begin(runtime, run_id, _hand_over(runtime, active, now=now)))


# Out --------------------------------------------------------------------------------------------------


async def _detach(runtime: Runtime, active: ActiveRun, *, now: bool, anyway: bool) -> None:
    run = active.run
    job = _job_of(runtime, run)
    code = code_of(job.fn)
    if not anyway and runtime.memory(run.id).live:
        path = next(iter(runtime.memory(run.id).live))[0]
        raise DetachError(
            f"run {run.id} stays in this kernel: the result of {display_path(path)!r} could not be stored, so only this kernel "
            "has it. run.detach(anyway=True) leaves it behind: a task that uses it fails"
        )
    name = serving(runtime, run.job, code)
    worker: OwnWorker | None = None
    with _hinted(active, _DETACHING):
        try:
            if name is None:
                name = moves.new_name()
                # Before the worker is there: if this kernel dies meanwhile, the run is the worker's.
                moves.note(runtime, run.id, name, is_out=True)
                worker = OwnWorker(runtime, run.id, file_for(job.fn), name, "" if anyway else code)
                if why := await worker.ready():
                    raise DetachError(f"run {run.id} stays in this kernel: {why}")
            log = "" if worker is None else str(worker.log)
            moves.note(runtime, run.id, name, log=log, is_out=True)
        except BaseException as error:
            moves.drop(runtime, run.id)
            if worker is not None:
                worker.tell_to_end()
            if isinstance(error, OSError):
                raise DetachError(
                    f"run {run.id} stays in this kernel: no process could be started: {error}"
                ) from None
            raise
    is_left = await _leave(runtime, active, now=now)
    if is_left and await _is_taken(runtime, run.id, active.run.passes, worker):
        _show_on(runtime, run.id)
        return
    moves.drop(runtime, run.id)
    if worker is not None:
        await worker.end()
    if not is_left:
        if active.run.status in FINISHED:  # there is nothing left to move
            return
        raise DetachError(
            f"run {run.id} was not detached: it was paused, interrupted or started again meanwhile"
        )
    if run.id not in runtime.executions:
        with suppress(RunLockedError):  # the worker was slow, and has it
            job._restart(runtime.require_run(run.id))
            raise DetachError(
                f"the worker did not take run {run.id}, so it goes on in this kernel. "
                + (f"Its log is {log}" if log else "trigger-nb work serves its job, but has not continued it")
            )
        moves.note(runtime, run.id, name, log=log, is_out=True)
    _show_on(runtime, run.id)


@contextlib.contextmanager
def _hinted(active: ActiveRun, text: str) -> Generator[None]:
    """Say something in the header of a run for a while."""
    header = None if active.pass_ is None else active.pass_.header
    if header is not None:
        header.hint(text)
    try:
        yield
    finally:
        if header is not None:
            header.over(text)


async def _hand_over(runtime: Runtime, active: ActiveRun, *, now: bool) -> None:
    """Leave a run, and follow it where it goes: somebody may look at it here, or await it."""
    run_id = active.run.id
    if await _leave(runtime, active, now=now) and runtime.shows:
        await _is_taken(runtime, run_id, active.run.passes, None)
        _show_on(runtime, run_id)


async def _leave(runtime: Runtime, active: ActiveRun, *, now: bool) -> bool:
    """Leave a run: bodies in flight end. Returns whether it is left, and has not ended or been stopped otherwise."""
    if not can_be_left(active):
        return False
    pass_ = active.pass_
    left = leave(runtime, with_children(runtime, active))
    if now:
        cut(left)
    while active.outcome is None and active.pass_ is pass_:  # noqa: ASYNC110  # the run may be started again meanwhile
        await asyncio.sleep(_STEP)
    if active.pass_ is not pass_ or pass_ is None:
        return False
    run_id = active.run.id
    # Not while a body that cannot be cut still runs: it is recorded under this kernel's lease.
    while run_id not in runtime.executions and runtime.holds_lease(run_id):  # noqa: ASYNC110  # seldom
        await asyncio.sleep(_STEP)
    run = runtime.require_run(run_id)
    return run_id not in runtime.executions and (run.status, run.reason) == pass_.stopping.left


async def _is_taken(runtime: Runtime, run_id: str, passes: int, worker: OwnWorker | None) -> bool:
    """Wait until another process has taken a run that was left."""
    give_up = time.monotonic() + _PATIENCE
    while run_id not in runtime.executions:
        run = runtime.require_run(run_id)
        if run.passes > passes or run.status in FINISHED:
            return True
        if time.monotonic() > give_up or (worker is not None and not worker.is_alive):
            return False
        await asyncio.sleep(_STEP)
    return False


def _show_on(runtime: Runtime, run_id: str) -> None:
    """Let the trees that show the run follow it where it is now."""
    if run_id not in runtime.executions:
        follow_on(runtime, run_id)


# Back -------------------------------------------------------------------------------------------------


async def _attach(
    runtime: Runtime, run_id: str, *, now: bool, begin: Callable[[], ActiveRun] | None = None
) -> None:
    run = runtime.require_run(run_id)
    _check_here(runtime, run)
    asked_at, asked_of = 0.0, -1
    moves.note(runtime, run_id, moves.own_name(), is_out=False)
    feed = runtime.feed(run_id)
    try:
        while run_id not in runtime.executions:
            run = runtime.require_run(run_id)
            if run.status in FINISHED:  # it has ended while it was asked for
                if begin is not None:
                    begin()
                return
            if (run.status, run.reason) == (RunStatus.WAITING, "paused"):
                raise RunStateError(f"run {run_id} is paused: run.resume() continues it in this kernel")
            if resume(runtime, run, _is_open, begin) is not None:
                return
            if run.passes != asked_of:
                feed.emit(Hinted(_ATTACHING))
                requests.ask(runtime, run, "hand over now" if now else "hand over")
                asked_at, asked_of = time.monotonic(), run.passes
            elif time.monotonic() > asked_at + _PATIENCE and requests.is_open(runtime, run_id):
                raise _deaf(runtime, run)
            await asyncio.sleep(_STEP)
    except BaseException:
        with suppress(StoreError):
            requests.withdraw(runtime, run_id)
        raise
    finally:
        feed.emit(Hinted(_ATTACHING, over=True))
        moves.drop(runtime, run_id)


def _is_open(run: RunRecord) -> bool:
    return run.status not in FINISHED and run.reason != "paused"


def _deaf(runtime: Runtime, run: RunRecord) -> TriggerError:
    try:
        runtime.take_lease(run.copy())
    except RunLockedError as error:
        return error
    runtime.release_lease(run.id)
    return DetachError(f"run {run.id} could not be brought here; try again")


def _check_here(runtime: Runtime, run: RunRecord) -> None:
    """Raise an error if no pass of the run can begin here: before anybody is asked to leave it."""
    job = _job_of(runtime, run)
    check_own(run, job.options, job.fn)
    job._again(run)  # reads the payload


# Both -------------------------------------------------------------------------------------------------


def _to_be_left(runtime: Runtime, run_id: str) -> ActiveRun:
    """A run that is under way here. Raises `RunStateError` if it cannot be moved."""
    active = runtime.executions.get(run_id)
    if active is None:
        run = runtime.require_run(run_id)
        status = runtime.status_of(run)
        where = (
            "another process drives it" if is_driven(runtime, run) else "run.resume() continues it here first"
        )
        why = "there is nothing to detach" if status in FINISHED else where
        raise RunStateError(f"run {run_id} is {status} and not under way in this kernel: {why}")
    if threading.get_ident() != active.home.thread:
        raise RunStateError(f"run {run_id} lives on the event loop of another thread: detach it there")
    scope = current_scope.get()
    if scope is not None and scope.owner.run.id == run_id:
        raise RunStateError(
            f"run {run_id} cannot wait for its own end here: detach it from outside of its job"
        )
    if waiting := _waiters(runtime, run_id):
        raise RunStateError(
            f"run {run_id} cannot be detached alone: run {waiting[0]} waits for it here. Detach that one, and this one goes along"
        )
    if not can_be_left(active) or active.is_over:
        raise RunStateError(f"run {run_id} is being stopped, or has just ended: there is nothing to detach")
    return active


def _waiters(runtime: Runtime, run_id: str) -> list[str]:
    return [each for each, awaited in runtime.waits.items() if run_id in awaited]


def _job_of(runtime: Runtime, run: RunRecord) -> Any:
    job = runtime.jobs.get(run.job)
    if job is None:
        raise NotFoundError(
            f"job {run.job!r} of run {run.id} is not defined in this kernel: run the cell that defines it, then try again"
        )
    return job


def _begin(runtime: Runtime, run_id: str, move: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Move a run in the background: whoever waits for that may be interrupted."""
    # In an empty context: a move that a run's own code begins is no task of that run.
    task = asyncio.get_running_loop().create_task(
        move, name=f"trigger_nb move {run_id}", context=contextvars.Context()
    )
    runtime.moving[run_id] = task

    def over(_task: object) -> None:
        if runtime.moving.get(run_id) is task:
            del runtime.moving[run_id]

    task.add_done_callback(over)
    return task


async def _until(task: asyncio.Task[None]) -> None:
    await asyncio.shield(task)


def _told(active: ActiveRun, begin: Callable[[], asyncio.Task[None]]) -> None:
    """Begin a move, and tell in the header of the run why it has failed."""

    def ended(task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and active.pass_ is not None:
            active.pass_.header.hint(f"Not detached: {error}".replace("`", "'"))

    begin().add_done_callback(ended)


def _logged(task: asyncio.Task[None]) -> None:
    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.warning("%s", error)

    task.add_done_callback(ended)
