"""A run under way in this kernel: its passes, one after another, until it ends."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any

import anyio

from .._concurrency.interrupt import calls_user_code
from .._concurrency.places import RunLimiter, RunSlot
from .._concurrency.threads import Home, call_in_thread, threads
from .._engine import ledger
from .._engine.ledger import run_row
from .._engine.memory import Memory
from .._engine.pass_ import Pass
from .._engine.scopes import returned
from .._engine.stopping import Stop
from .._io.blocking import BlockingIo
from .._io.io import Io
from .._io.starter import Host
from .._records.durations import Durations
from .._records.feed import Expected, PassBegan, SavedRun
from .._records.records import RunRecord
from .._records.status import RunStatus
from .._redact import secrets
from .._tasks.options import Settings
from .._tasks.pass_api import PassApi
from .._tasks.running import running_bodies, watch
from .._tasks.scope import current_scope
from .._tasks.signature import bind_run, is_async
from .._values.codec import dump_or_describe
from ..errors import (
    RunCanceledError,
    RunInterrupted,
    RunInterruptedError,
    RunLostError,
    StoreError,
    TriggerError,
)
from .outcome import Notification, Outcome
from .runtime import START_PATIENCE, Runtime

logger = logging.getLogger("trigger_nb")
# How long a stopped pass may take to unwind before its end is recorded without it, in seconds.
GRACE = 1.0


@dataclass(slots=True)
class Work:
    """What an execution runs: a job as it is now, for one payload."""

    function: Callable[..., Any]
    settings: Settings
    host: Callable[[], Host]
    context: Callable[[RunRecord], Any]
    payload: Any
    on_success: Callable[..., Any] | None = None
    on_failure: Callable[..., Any] | None = None
    limiter: RunLimiter | None = None  # of the runs of the job


@dataclass(slots=True)
class _Ending:
    """How a pass ended."""

    status: RunStatus
    output: Any = None
    error: BaseException | None = None
    reason: str = ""


class Execution:
    """A run under way: its passes, one after the other, until none is wanted."""

    def __init__(self, runtime: Runtime, work: Work, run: RunRecord) -> None:
        self.runtime = runtime
        self.work = work
        self.run = run
        self.feed = runtime.feed(run.id)
        self.pass_: Pass | None = None
        self.outcome: Outcome | None = None  # set when the run has come to rest
        self.live_output: Any = None  # an output that cannot be stored
        self._next: tuple[Work, str] | None = None  # edited code that takes over (I7)
        self._revived = False  # started once more while it was being stopped
        self._then: Callable[[], None] | None = None  # to do between this pass and the next
        self._rested: anyio.Event | None = None
        self._slot: RunSlot | None = None  # among the runs of its job, where that has a limit
        self._driver: asyncio.Task[None] | None = None
        self._home: Home | None = None
        self._durations: Durations | None = None

    # Beginning --------------------------------------------------------------------------------

    def begin(self) -> None:
        """Take the lease, write that a pass begins, and have the loop drive it."""
        self._home = self.runtime.home = Home()
        self._rested = anyio.Event()
        self._open_pass()
        self._driver = asyncio.get_running_loop().create_task(self.drive(), name=f"trigger_nb {self.run.id}")

    def join(self, work: Work, code: str) -> None:
        """Another start of the same run. Where the code differs, it takes over (I7)."""
        if self.pass_ is not None and self.pass_.stopping.why not in (None, Stop.SUPERSEDED):
            self._next, self._revived = (work, code), True  # it is being stopped: then it begins once more
        elif code and self.run.code and code != self.run.code:
            self._next = (work, code)
            if self.pass_ is not None:
                self.pass_.supersede()

    def again(self, then: Callable[[], None]) -> None:
        """End this pass, call `then`, and begin another one."""
        self._then = then
        self._next = self._next or (self.work, self.run.code)
        if self.pass_ is not None:
            self.pass_.supersede()

    def _open_pass(self) -> None:
        runtime, run = self.runtime, self.run
        runtime.take_lease(run)
        try:
            was_completed = run.status == RunStatus.COMPLETED
            run.__dict__.update(passes=run.passes + 1, hints=[])
            run.created_at = run.created_at or round(runtime.clock.time(), 3)
            self._slot = self._next_slot()
            if self._slot is None or self._slot.acquire_nowait():
                self._set_running()
            else:
                self._set_queued()
            memory = runtime.memory(run.id)
            self._write_parked(memory)
            ledger.begin(memory, run.id, runtime.store)
        except BaseException:
            self._close_slot()
            runtime.release_lease(run.id)
            raise
        assert self._home is not None
        host = self.work.host()
        self.pass_ = Pass(
            run=run, store=runtime.store, journal=runtime.journal, clock=runtime.clock,
            feed=self.feed, home=self._home, settings=self.work.settings, memory=memory,
            make_io=lambda scope, blocking: BlockingIo(Io(scope, host)) if blocking else Io(scope, host),
            run_was_completed=was_completed, is_lost=lambda: runtime.is_lost(run.id),
        )  # fmt: skip
        self.pass_.waits.slot = self._slot
        runtime.passes[run.id] = self.pass_
        self.feed.emit(PassBegan(run.passes))
        self.feed.emit(SavedRun(run.copy()))

    def _next_slot(self) -> RunSlot | None:
        """The slot that this pass needs; the one before may have it already."""
        if self._slot is not None:
            return self._slot.hand_over()
        return None if self.work.limiter is None else RunSlot(self.work.limiter)

    def _close_slot(self) -> None:
        if self._slot is not None:
            self._slot.close()

    def _set_queued(self) -> None:
        """C4: as many runs as may be are in progress, and this one waits for its turn."""
        is_new = self.run.started_at is None
        self.run.status = RunStatus.PENDING if is_new else RunStatus.WAITING
        self.run.reason = "" if is_new else "queued"
        self.run.began_at = None

    def _set_running(self) -> None:
        now = round(self.runtime.clock.time(), 3)
        self.run.status, self.run.reason = RunStatus.RUNNING, ""
        self.run.started_at = self.run.started_at or now
        self.run.began_at = now

    def _write_parked(self, memory: Memory) -> None:
        """Write that the pass begins, and with it what a failing store did not take before (A9)."""
        blobs = self.runtime.store.blobs(self.run.id)
        for name, data in list(memory.parked_values.items()):
            blobs.put(data)
            del memory.parked_values[name]
        parked, memory.parked = memory.parked, []
        try:
            self.runtime.save_run(self.run, parked)
        except StoreError:
            memory.parked = parked + memory.parked
            raise

    # Driving ----------------------------------------------------------------------------------

    async def drive(self) -> None:
        """Pass after pass. Whatever happens, the run comes to rest and its waiters wake."""
        try:
            ending = await self._one_pass()
            while self._next is not None and (
                self.pass_ is None
                or self.pass_.stopping.why in (Stop.ENDED, Stop.SUPERSEDED)
                or self._revived
            ):
                self._turn_over()
                ending = await self._one_pass()
            await self._come_to_rest(ending)
        except BaseException as error:
            self.outcome = self.outcome or Outcome(error)
            if not isinstance(error, Exception):
                raise
            logger.exception("run %s could not be brought to an end", self.run.id)
        finally:
            if self.runtime.executions.get(self.run.id) is self:
                del self.runtime.executions[self.run.id]
            self._close_slot()
            self._release()
            if self._rested is not None:
                self._rested.set()

    def _count_work(self) -> None:
        """A pass has ended: its time is added to that of the run."""
        if self.run.began_at is not None:
            self.run.worked = round(self.run.worked + self.runtime.clock.time() - self.run.began_at, 3)

    def _turn_over(self) -> None:
        assert self._next is not None
        self._count_work()
        (self.work, self.run.code), self._next = self._next, None
        self._revived = False
        then, self._then = self._then, None
        if then is not None:
            then()
        self._open_pass()

    async def _one_pass(self) -> _Ending:
        pass_ = self.pass_
        assert pass_ is not None
        watch.enter(pass_)
        try:
            await self._run_as_task(pass_)
        finally:
            watch.leave(pass_)
        return self._ending(pass_)

    async def _run_as_task(self, pass_: Pass) -> None:
        """In a task of its own, so that cancelling the pass does not cancel what records its end."""
        pass_.stopping.driver = asyncio.current_task()
        main = pass_.stopping.main = asyncio.get_running_loop().create_task(self._call_function(pass_))
        stopped = pass_.stopping.event = asyncio.Event()
        stopping = asyncio.get_running_loop().create_task(stopped.wait())
        try:
            await asyncio.wait({main, stopping}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            pass_.stopping.stop(Stop.INTERRUPT)  # the event loop is shutting down: the end is still recorded
        finally:
            stopping.cancel()
        give_up = monotonic() + GRACE
        if not main.done():
            await asyncio.wait({main}, timeout=GRACE)
        await pass_.stopping.unwind(max(0.0, give_up - monotonic()))

    async def _call_function(self, pass_: Pass) -> None:
        """The run function, and after it the tasks that it left in flight (A6)."""
        token = current_scope.set(pass_.root)
        try:
            if self._slot is not None and not self._slot.is_held:
                await self._acquire_slot(self._slot, pass_)
            # In a thread of its own that no limit counts: it mostly waits in `io`.
            output = await call_run_function(self.work, pass_, threads.spawn)
            await pass_.subtasks_end()
            pass_.result = (output,)
        except BaseException as error:  # sorted in `_ending`  # noqa: BLE001
            secrets.hide_in_error(error)
            pass_.failure = error
            if isinstance(error, KeyboardInterrupt):
                pass_.stopping.stop(Stop.INTERRUPT)
            if isinstance(error, asyncio.CancelledError):
                pass_.reopen_canceled("")
        finally:
            pass_.end()
            current_scope.reset(token)

    async def _acquire_slot(self, slot: RunSlot, pass_: Pass) -> None:
        await slot.acquire()
        self._set_running()
        pass_.ledger.ride_along(run_row(self.run))
        self.feed.emit(SavedRun(self.run.copy()))

    # Ending -----------------------------------------------------------------------------------

    def _ending(self, pass_: Pass) -> _Ending:
        """What the end of a pass means for the run."""
        if pass_.stopping.is_lost():
            return _Ending(RunStatus.INTERRUPTED, error=self._lost())
        if pass_.stopping.why not in (None, Stop.ENDED):
            return self._stopped(pass_.stopping.why, pass_.stopping.error)
        error = pass_.stopping.misuse or pass_.failure
        if error is None:
            assert pass_.result is not None
            return _Ending(RunStatus.COMPLETED, output=pass_.result[0])
        if isinstance(error, (asyncio.CancelledError, RunInterrupted, KeyboardInterrupt)):
            return self._stopped(Stop.INTERRUPT)
        return _Ending(RunStatus.FAILED, error=error)

    def _stopped(self, why: Stop, fault: TriggerError | None = None) -> _Ending:
        run_id = self.run.id
        match why:
            case Stop.CANCEL:
                error: TriggerError = RunCanceledError(
                    f"run {run_id} was canceled; running its cell again takes it up where it was"
                )
                return _Ending(RunStatus.CANCELED, error=error)
            case Stop.PAUSE:
                error = RunInterruptedError(
                    f"run {run_id} is paused; run.resume() or running its cell again goes on"
                )
                return _Ending(RunStatus.WAITING, error=error, reason="paused")
            case Stop.STORE:
                return _Ending(RunStatus.INTERRUPTED, error=fault)
            case _:
                error = RunInterruptedError(
                    f"run {run_id} was interrupted; running its cell again takes it up where it was"
                )
                return _Ending(RunStatus.INTERRUPTED, error=error)

    def _lost(self) -> RunLostError:
        return RunLostError(
            f"run {self.run.id} was taken over by another kernel, because this one was taken for dead. "
            "What this kernel completed is kept; watch the run there, or run the cell again once it has ended."
        )

    async def _come_to_rest(self, ending: _Ending) -> None:
        pass_, run = self.pass_, self.run
        assert pass_ is not None
        noteworthy = bool(pass_.started) or run.last_ending != ending.status
        if ending.status == RunStatus.COMPLETED:
            self._keep_output(ending.output)
        run.status, run.reason, run.last_ending = ending.status, ending.reason, ending.status
        run.error, run.ended_by = None, []
        if ending.status in (RunStatus.COMPLETED, RunStatus.FAILED):
            run.kept = []
        if ending.status == RunStatus.FAILED and ending.error is not None:
            run.ended_by = pass_.origins(ending.error)
            run.error = pass_.run_error_data(ending.error, run.ended_by)
        if noteworthy or run.finished_at is None:  # a full replay does not make a run last longer
            run.finished_at = round(self.runtime.clock.time(), 3)
            self._count_work()
        run.hints = pass_.header.lasting()
        run.counts = pass_.ledger.counts()
        run.holder = None
        self.outcome = Outcome(ending.error)
        if not isinstance(ending.error, RunLostError):
            self._write_ending(pass_, run)
        self._close_slot()
        pass_.on_all_finished(self._release)
        self._release()
        self.feed.emit(SavedRun(run.copy()))
        # What a handler starts is a pass of its own, also of this very run.
        self.runtime.executions.pop(run.id, None)
        self._release()
        if noteworthy:
            await self._notify(ending)

    def _write_ending(self, pass_: Pass, run: RunRecord) -> None:
        try:
            pass_.ledger.flush(START_PATIENCE)
            self.runtime.save_run(run)
        except StoreError as error:
            # A9: what is known stays in memory, and whoever awaits the run hears of the store.
            if self.outcome is None or not isinstance(self.outcome.error, StoreError):
                self.outcome = Outcome(error)

    def _keep_output(self, output: Any) -> None:
        run, live = self.run, self.runtime.memory(self.run.id).live
        run.form, run.output = dump_or_describe(output, self.runtime.store.blobs(run.id))
        live.pop(("", 0), None)
        if run.form == "unstored":
            live["", 0] = output

    def _release(self) -> None:
        """Give the lease back once nothing of the run moves in this kernel."""
        runtime, run_id = self.runtime, self.run.id
        directory = str(runtime.store.directory)
        with runtime.guard:
            if run_id in runtime.executions or any(
                key[:2] == (directory, run_id) for key in list(running_bodies)
            ):
                return
            runtime.release_lease(run_id)
            runtime.memory(run_id).records.clear()  # `passes` keeps the pass, and that its texts

    async def _notify(self, ending: _Ending) -> None:
        handler = {
            RunStatus.COMPLETED: self.work.on_success,
            RunStatus.FAILED: self.work.on_failure,
        }.get(ending.status)
        if handler is None:
            return
        run = self.run
        notification = Notification(
            run_id=run.id, job_id=run.job, job_version=run.version, payload=self.work.payload, status=ending.status,
            output=ending.output, error=ending.error, started_at=run.started_at or 0.0,
            finished_at=run.finished_at or 0.0, is_test=run.is_test,
        )  # fmt: skip
        try:
            answer = handler(notification)
            if inspect.isawaitable(answer):
                await answer
        except Exception:
            logger.exception("the %s handler of job %s failed", ending.status.lower(), run.job)

    # Waiting ----------------------------------------------------------------------------------

    async def rest(self) -> None:
        """Wait until the run has come to rest."""
        if self.outcome is None or self.runtime.executions.get(self.run.id) is self:
            assert self._rested is not None
            await self._rested.wait()

    def stop(self, why: Stop) -> None:
        """End the pass under way; from any thread."""
        self._next, self._revived = None, False
        pass_, home = self.pass_, self._home
        if pass_ is None or home is None:
            return
        if threading.get_ident() == home.thread:
            pass_.stopping.stop(why)
        else:
            home.soon(lambda: pass_.stopping.stop(why))

    @property
    def is_stopping(self) -> bool:
        """Whether its pass was stopped from outside and has not come to rest; what begins it now revives it."""
        return self.pass_ is not None and self.pass_.stopping.why not in (None, Stop.ENDED, Stop.SUPERSEDED)

    @property
    def was_interrupted(self) -> bool:
        """Whether an interrupt ended its last pass."""
        return self.pass_ is not None and self.pass_.stopping.why == Stop.INTERRUPT

    # Looking ahead ----------------------------------------------------------------------------

    def foresee(self) -> Durations:
        """What earlier runs of its job took: read once, when somebody asks."""
        if self._durations is None:
            self._durations = self.runtime.foresee(self.run)
        return self._durations

    def look_back(self) -> None:
        """Have that read in a thread, and told to whoever looks on."""
        threads.spawn(lambda: self.feed.emit(Expected(self.foresee())))

    @property
    def home(self) -> Home:
        """The loop that the run lives on."""
        assert self._home is not None
        return self._home


def start(runtime: Runtime, work: Work, run: RunRecord) -> Execution:
    """Begin a pass of a run, or join the one that is under way (I7). On the loop.

    Raises `RunLockedError` and other store errors; then nothing has begun.
    """
    living = runtime.executions.get(run.id)
    if living is not None:
        living.join(work, run.code)
        return living
    execution = Execution(runtime, work, run)
    with runtime.guard:
        runtime.executions[run.id] = execution
    try:
        execution.begin()
    except BaseException:
        del runtime.executions[run.id]
        raise
    return execution


@calls_user_code
async def call_run_function(work: Work, pass_: PassApi, spawn: Callable[[Callable[[], None]], None]) -> Any:
    """Call the run function in a pass, and return its output. A `def` runs in a thread that `spawn` starts."""
    blocking = not is_async(work.function)
    io = Io(pass_.root, work.host())
    offers = {
        "payload": work.payload,
        "io": BlockingIo(io) if blocking else io,
        "ctx": work.context(pass_.run),
    }
    args, named = bind_run(work.function, offers)
    if not blocking:
        return returned(pass_, await work.function(*args, **named), "the job's function")
    output = await call_in_thread(spawn, lambda: work.function(*args, **named))
    return await output if inspect.isawaitable(output) else output
