"""The execution of a run in this kernel: pass after pass, until the run ends, is stopped or fails."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

import anyio

from .._concurrency.limits import RunSlot
from .._concurrency.threads import Home, threads
from .._engine import readings
from .._engine.ledger import run_row
from .._engine.memory import Memory
from .._engine.pass_ import Pass
from .._engine.stopping import Stop
from .._engine.tracing import tracing_of
from .._io.blocking import BlockingIo
from .._io.io import Io
from .._records.durations import Durations
from .._records.feed import Expected, PassBegan, SavedRun
from .._records.forget import handled_in
from .._records.records import RunRecord
from .._records.status import FINISHED, RunStatus
from .._redact import secrets
from .._store.protocol import Row
from .._tasks import front_end
from .._tasks.call import Scope, current_scope
from .._tasks.exits import as_error, foremost, is_stop
from .._tasks.running import running_bodies, watch
from ..errors import RunLostError, StoreError
from .attended import asks
from .ending import Ending, ending_of, notify
from .logged import RunLog
from .notices import warn_of_changes
from .notifying import Notices
from .outcome import Outcome
from .replayed_end import unlike_before
from .result import keep_output
from .run_spec import RunSpec, call_run_function
from .runtime import ActiveRun, Runtime
from .whereabouts import Whereabouts

logger = logging.getLogger("trigger_nb")


class Execution:
    """A run under way in this kernel: see `ActiveRun` for what other modules use of it.

    One pass follows another while a next one is requested: the cell was run again with edited code, a command
    changed the stored results, or a stopped run was started again before it had ended.
    """

    def __init__(self, runtime: Runtime, spec: RunSpec, run: RunRecord) -> None:
        self.runtime = runtime
        self.run = run
        self.feed = runtime.feed(run.id)
        self.pass_: Pass | None = None
        self.outcome: Outcome | None = None  # None until the run has ended in this kernel
        self.whereabouts = Whereabouts()
        self._before = run  # as the pass before left it
        self._spec = spec
        self._next: tuple[RunSpec, str] | None = None  # spec and code of the next pass (I7)
        self._revived = False  # whether the run was started again while it was being stopped
        self._changes: list[Callable[[], None]] = []  # to make between this pass and the next
        self._finished: anyio.Event | None = None
        self._slot: RunSlot | None = None  # the run's slot if its job has a limit
        self._driver: asyncio.Task[None] | None = None  # the event loop itself holds tasks only weakly
        self._home: Home | None = None
        self._durations: Durations | None = None
        self._holds: set[asyncio.Task[None]] = set()  # wait for child runs; the loop holds tasks only weakly
        self._log: RunLog | None = None
        self._notices = Notices(runtime, run.id, spec.notify, spec.handle)

    # Beginning --------------------------------------------------------------------------------

    def begin(self) -> None:
        """Take the lease, record that a pass begins, and drive the run on the running event loop."""
        self._home = self.runtime.home = Home()
        self._finished = anyio.Event()
        self._open_pass()
        self._driver = asyncio.get_running_loop().create_task(self._drive(), name=f"trigger_nb {self.run.id}")

    def join(self, spec: RunSpec, code: str) -> None:
        """Start the run while it is under way: changed code replaces the code of this pass (I7)."""
        self._notices = Notices(self.runtime, self.run.id, spec.notify, spec.handle)
        if self.pass_ is not None:
            self.pass_.header.hint(spec.payload.hint)
            self.pass_.waits.follow(spec.settings.waits)
        stopping = None if self.pass_ is None else self.pass_.stopping
        if stopping is not None and (stopping.is_pausing or stopping.why not in (None, Stop.SUPERSEDED)):
            self._next, self._revived = (spec, code), True  # the pass is being stopped; another one follows
        elif code and self.run.code and code != self.run.code:
            self._next = (spec, code)
            if self.pass_ is not None:
                self.pass_.close(Stop.SUPERSEDED)

    def restart(self, change: Callable[[], None]) -> None:
        """End this pass, call `change`, which changes stored records, and begin another pass."""
        self._changes.append(change)
        self._next = self._next or (self._spec, self.run.code)
        if self.pass_ is not None:
            self.pass_.close(Stop.SUPERSEDED)

    def _open_pass(self) -> None:
        runtime, run = self.runtime, self.run
        self._before = run.copy()
        front_end.listen()
        runtime.take_lease(run)
        try:
            run.handled = handled_in(run)
            run.passes, run.hints, run.error = run.passes + 1, [], None
            run.created_at = run.created_at or round(runtime.clock.time(), 3)
            self._slot = self._next_slot()
            if self._slot is None or self._slot.acquire_nowait():
                self._set_running()
            else:
                self._set_queued()
            memory = runtime.memory(run.id)
            tracing = tracing_of(run)
            self._write_parked(memory)
            readings.begin(memory, run.id, runtime.store)
        except BaseException:
            self._close_slot()
            runtime.release_lease(run.id)
            raise
        assert self._home is not None
        host = self._spec.host()

        def make_io(scope: Scope, blocking: bool) -> Any:
            return BlockingIo(Io(scope, host)) if blocking else Io(scope, host)

        self.pass_ = self._spec.make_pass(
            run=run,
            store=runtime.store,
            journal=runtime.journal,
            clock=runtime.clock,
            feed=self.feed,
            home=self._home,
            settings=self._spec.settings,
            memory=memory,
            patience=runtime.patience,
            make_io=make_io,
            handled=run.handled,
            is_lost=lambda: runtime.is_lost(run.id),
            asks=asks(run),
            on_question=self._notices.asked,
        )
        self.pass_.waits.slot = self._slot
        self.pass_.tracing = tracing
        self._log = self._log or RunLog.of(self.feed, run)
        self.pass_.header.hint(self._spec.payload.hint)
        runtime.passes[run.id] = self.pass_
        runtime.latest.append(self.pass_)
        self.feed.emit(PassBegan(run.passes))
        self.feed.emit(SavedRun(run.copy()))

    def _next_slot(self) -> RunSlot | None:
        """The slot for this pass; a slot that the previous pass holds is handed over."""
        if self._slot is not None:
            return self._slot.hand_over()
        return None if self._spec.limiter is None else RunSlot(self._spec.limiter)

    def _close_slot(self) -> None:
        if self._slot is not None:
            self._slot.close()

    def _set_queued(self) -> None:
        """Record that the run waits for a slot: the limit of its job is reached (C4)."""
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
        """Record the beginning of the pass, with the rows and values that a failing store refused before (A9)."""
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

    async def _drive(self) -> None:
        """Run the passes. In any case, the run ends in this kernel and its waiters wake."""
        try:
            ending = await self._one_pass()
            while self._next is not None and (
                self.pass_ is None
                or self.pass_.stopping.why in (Stop.ENDED, Stop.SUPERSEDED)
                or self._revived
            ):
                self._start_next_pass()
                ending = await self._one_pass()
            await self._finish(ending)
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
            if self._log is not None:
                self._log.close()
            if self._finished is not None:
                self._finished.set()

    def _add_time(self) -> None:
        """Add the time of the pass that has ended to the time of the run."""
        if self.run.began_at is not None:
            now = self.runtime.clock.time() if self.pass_ is None else self.pass_.now()
            self.run.worked = round(self.run.worked + max(0.0, now - self.run.began_at), 3)

    def _start_next_pass(self) -> None:
        assert self._next is not None
        self._add_time()
        self._spec, code = self._next
        self.run.set_code(code)
        self._next, self._revived = None, False
        changes, self._changes = self._changes, []
        for change in changes:
            change()
        self._open_pass()

    async def _one_pass(self) -> Ending:
        pass_ = self.pass_
        assert pass_ is not None
        watch.enter(pass_)
        try:
            await self._run_as_task(pass_)
        finally:
            watch.leave(pass_)
        ending = ending_of(pass_)
        if pass_.tracing is not None:
            error = ending.error if ending.status == RunStatus.FAILED else None
            data = None if error is None else pass_.records.run_error_data(error, [])
            pass_.tracing.end(ending.status, data, pass_.reasons)
        return ending

    async def _run_as_task(self, pass_: Pass) -> None:
        """Run the pass in a separate asyncio task: to cancel it does not cancel the code that records its end."""
        pass_.stopping.driver = asyncio.current_task()
        main = pass_.stopping.main = asyncio.get_running_loop().create_task(self._call_function(pass_))
        stopped = pass_.stopping.event = asyncio.Event()
        stopping = asyncio.get_running_loop().create_task(stopped.wait())
        try:
            await asyncio.wait({main, stopping}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            # The event loop shuts down. There is still time to record the end of the run.
            pass_.stopping.stop(Stop.INTERRUPT)
        finally:
            stopping.cancel()
        patience = self.runtime.patience.unwind
        give_up = monotonic() + patience
        if not main.done():
            await asyncio.wait({main}, timeout=patience)
        await pass_.stopping.unwind(max(0.0, give_up - monotonic()))

    async def _call_function(self, pass_: Pass) -> None:
        """Call the run function, then wait for the tasks that it left in flight (A6)."""
        token = current_scope.set(pass_.root)
        if pass_.tracing is not None:
            pass_.tracing.enter()
        try:
            if self._slot is not None and not self._slot.is_held:
                await self._acquire_slot(self._slot, pass_)
            self.whereabouts.function = self._spec.function
            output = await call_run_function(self._spec, pass_, self.whereabouts.spawn)
            await pass_.subtasks_end()
            pass_.result = (output,)
        except BaseException as error:  # classified in `ending_of`  # noqa: BLE001
            secrets.hide_in_error(error)
            error = foremost(error)
            if isinstance(error, KeyboardInterrupt):
                pass_.stopping.stop(Stop.INTERRUPT)
            if isinstance(error, asyncio.CancelledError):
                pass_.reopen_canceled("")
            # `reopen_canceled` first: what the function cancelled itself is met again, too.
            if not (pass_.stopping.is_ending or is_stop(error, 0)):
                error = as_error(error, "the job's function")
            pass_.failure = error
        finally:
            pass_.end()
            current_scope.reset(token)

    async def _acquire_slot(self, slot: RunSlot, pass_: Pass) -> None:
        await slot.acquire()
        self._set_running()
        pass_.ledger.ride_along(run_row(self.run))
        self.feed.emit(SavedRun(self.run.copy()))

    # Ending -----------------------------------------------------------------------------------

    async def _finish(self, ending: Ending) -> None:
        pass_, run = self.pass_, self.run
        assert pass_ is not None
        is_news = bool(pass_.bodies.started) or run.last_ending != ending.status
        if ending.status == RunStatus.COMPLETED:
            keep_output(self.runtime, self.run, ending.output)
            run.handled = next(pass_.ledger.ordinals)
        run.status, run.reason, run.last_ending = ending.status, ending.reason, ending.status
        run.error, run.ended_by = None, []
        run.unseen = [] if ending.status == RunStatus.COMPLETED else pass_.unseen_errors()
        if ending.status in (RunStatus.COMPLETED, RunStatus.FAILED):
            run.kept = []
        if ending.status == RunStatus.FAILED and ending.error is not None:
            run.ended_by = pass_.origins(ending.error)
            run.error = pass_.records.run_error_data(ending.error, run.ended_by)
        if is_news or run.finished_at is None:  # a full replay does not prolong a run
            run.finished_at = pass_.now()
            self._add_time()
        pass_.header.hint(unlike_before(self.runtime, self._before, run, pass_))
        run.hints = pass_.header.lasting()
        run.counts = pass_.ledger.counts()
        run.holder = None
        self.outcome = Outcome(ending.error)
        if not isinstance(ending.error, RunLostError):
            self._write_ending(pass_, run, self._notices.note(run, is_news=is_news))
            if run.status in FINISHED:
                self.runtime.end_post(run.id)
        self._close_slot()
        warn_of_changes(self.runtime, run, pass_, self._spec.function)
        pass_.waits.on_all_finished = self._release
        self._release()
        self.feed.emit(SavedRun(run.copy()))
        # A handler may start a run, even this one: that begins another execution.
        self.runtime.executions.pop(run.id, None)
        self._release()
        if is_news:
            await notify(self._spec, run, ending)
        await self._notices.ended(run, pass_.header, is_news=is_news)

    def _write_ending(self, pass_: Pass, run: RunRecord, rows: list[Row]) -> None:
        try:
            pass_.ledger.flush(self.runtime.patience.store)
            self.runtime.save_run(run, rows)
        except StoreError as error:
            # A9: unwritten rows stay in memory, and awaiting the run raises the error of the store.
            if self.outcome is None or not isinstance(self.outcome.error, StoreError):
                self.outcome = Outcome(error)

    def _release(self) -> None:
        """Release the lease unless the run is under way in this kernel, or a body has outlived its pass."""
        runtime, run_id = self.runtime, self.run.id
        store = runtime.store.key
        with runtime.guard:
            if run_id in runtime.executions or any(
                key[:2] == (store, run_id) for key in list(running_bodies)
            ):
                return
            runtime.release_lease(run_id)
            runtime.memory(run_id).records.clear()  # the pass in `runtime.passes` keeps these texts
            runtime.keep_unsaved(run_id)

    # Waiting ----------------------------------------------------------------------------------

    async def wait_finished(self) -> None:
        """Wait until the run has ended, was stopped or was interrupted."""
        if self.outcome is None or self.runtime.executions.get(self.run.id) is self:
            assert self._finished is not None
            await self._finished.wait()

    def stop(self, why: Stop) -> None:
        """Stop the pass under way, and request no other one. May be called from any thread."""
        self._next, self._revived = None, False
        pass_, home = self.pass_, self._home
        if pass_ is None or home is None:
            return
        if threading.get_ident() == home.thread:
            pass_.stopping.stop(why)
        else:
            home.soon(lambda: pass_.stopping.stop(why))

    def pause(self) -> None:
        """Begin no new body, and stop when those in flight have ended (A7). Call it on the run's event loop.

        So does each child run that this one waits for.
        """
        self._next, self._revived = None, False
        if self.pass_ is None or self.pass_.stopping.why is not None or self.pass_.stopping.is_pausing:
            return
        stopping, waits = self.pass_.stopping, self.pass_.waits

        async def hold(child: ActiveRun) -> None:
            await child.wait_finished()
            stopping.held -= 1
            waits.leave_if_drained()

        for each in self.runtime.waits.get(self.run.id, ()):
            child = self.runtime.executions.get(each)
            if child is not None and child.run.parent == self.run.id and self.home.is_same(child.home):
                stopping.held += 1
                self._holds.add(asyncio.get_running_loop().create_task(hold(child)))
                child.pause()
        self.pass_.close(Stop.PAUSE)

    @property
    def is_stopping(self) -> bool:
        """Whether the pass is being stopped on request: to start the run now makes another pass follow."""
        return self.pass_ is not None and self.pass_.stopping.is_requested

    @property
    def is_over(self) -> bool:
        """Whether the run function has ended by itself, and no other pass follows: a stop comes too late."""
        return self.pass_ is not None and self.pass_.stopping.why == Stop.ENDED and self._next is None

    @property
    def was_interrupted(self) -> bool:
        """Whether an interrupt ended the last pass."""
        return self.pass_ is not None and self.pass_.stopping.why == Stop.INTERRUPT

    # Looking ahead ----------------------------------------------------------------------------

    def foresee(self) -> Durations:
        """The durations of earlier runs of the job, read once on the first call."""
        if self._durations is None:
            self._durations = self.runtime.foresee(self.run)
        return self._durations

    def look_back(self) -> None:
        """Read these durations in a thread, and send them to the displays."""
        threads.spawn(lambda: self.feed.emit(Expected(self.foresee())))

    @property
    def home(self) -> Home:
        """The event loop that the run lives on."""
        assert self._home is not None
        return self._home
