"""Waiting: waits and countdowns, calls that are parked, and the slot of a run that only waits."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NoReturn

import anyio

from .._events.post import due_row
from .._keys import display_path, is_within
from .._records.feed import SavedRun
from .._records.questions import KIND as QUESTION
from .._records.status import RunStatus, TaskStatus
from .ledger import run_row
from .scopes import save_deferred
from .stopping import Stop

if TYPE_CHECKING:
    from .._concurrency.limits import RunSlot
    from .._records.records import TaskRecord
    from .._tasks.call import AnyCall, Scope
    from .._tasks.options import WaitsOption
    from .._tasks.running import RunningBody
    from .decide import Run, Wait
    from .idle import Why
    from .new_record import NewRecords
    from .state import PassState

# Seconds that a call waits for its expected cancellation before the header says so.
PATIENCE_WITHOUT_HINT = 10.0
LONGEST_BACK_OFF = 1.0  # seconds between two attempts in a run whose waits are skipped
_LOOK_FOR_MOVES = 1.0  # seconds
IDLE_SLOT_SECONDS = 10.0  # how long a run that only waits keeps its slot among the runs of its job


def without_wait(record: TaskRecord, now: float) -> TaskRecord:
    """The record of a task that waits, whose wait ends now."""
    return record.copy(
        next_at=now, skipped=round(record.skipped + max(0.0, (record.next_at or 0.0) - now), 3)
    )


def with_skipped(then: Run, seconds: float) -> Run:
    """A decision to run a body before which a wait was skipped."""
    if not seconds or then.earlier is None:
        return then
    return replace(then, earlier=then.earlier.copy(skipped=round(then.earlier.skipped + seconds, 3)))


def _expected(path: str, seconds: float) -> str:
    name = display_path(path)
    return (
        f"your code cancelled the task {name!r} in an earlier pass, so it does not start before {seconds:.0f} s are over. If "
        f"the time limit around it is gone, start it now: run.skip_wait({name!r})"
    )


class Waits:
    """Lets calls of one pass wait, and keeps the status of the run true meanwhile."""

    def __init__(self, state: PassState, records: NewRecords) -> None:
        self.slot: RunSlot | None = None  # the run's, if its job has a limit
        # Called when no body of the pass runs any more.
        self.on_all_finished: Callable[[], None] = lambda: None
        self.stops: dict[
            str, str
        ] = {}  # by path of a map that has stopped after its first items: the hint in the header
        self.gave_slot = False  # other runs may use the slot while everything here waits
        self._state = state
        self._records = records
        self._still = state.still
        self._ends: dict[str, float] = {}  # by path of a call that sleeps
        self._due: float | None = None  # the time at which the store knows the run to be due
        self._awaiting: dict[asyncio.Task[object], Scope] = {}  # what waits for another run, and where

    # The task `io.wait` -----------------------------------------------------------------------------

    async def wait(self, call: AnyCall, decision: Wait) -> None:
        """W1: wait until one absolute deadline, stored once."""
        ledger = self._state.ledger
        self._state.saw(call.path, decision.reason)
        if decision.until is not None:
            assert decision.earlier is not None
            record = decision.earlier.copy(
                status=TaskStatus.WAITING, canceled=None, interrupted=False, ended=0, ended_at=None
            )
            call.record = record
            assert call.deadline is not None
            is_of_length = call.deadline(0.0) != call.deadline(1.0)  # and not until a given time
            until = self.unprolonged(record, decision.until) if is_of_length else decision.until
        else:
            assert call.deadline is not None
            if self._state.stopping.closing is not None:
                await self.park(call)
            now = self._state.clock.time()
            record = self._records.new(call, decision.earlier)
            record.status, record.next_at = TaskStatus.WAITING, call.deadline(now)
            call.record = record
            until = record.next_at
            if until > now and not self._skips:
                await ledger.save(record)
        skipped = await self.pause(call.path, until, "wait")
        skipped = round(record.skipped + skipped, 3)
        await self._state.commit_end(call, record.copy(status=TaskStatus.COMPLETED, skipped=skipped))

    def unprolonged(self, record: TaskRecord, until: float) -> float:
        """The end of a wait that an earlier pass began: its clock was ahead of what this one shows, if it was set back since."""
        now = self._state.clock.time()
        return min(until, now + until - record.started_at) if record.started_at > now else until

    @property
    def _skips(self) -> bool:
        return self._state.settings.waits == "skip"

    async def pause(self, path: str, until: float | None, why: Why) -> float:
        """Sleep until then, or until somebody wakes the call (None). No attempt's time runs meanwhile (A3).

        Returns the seconds that were skipped: by a person, or because the waits of the run are skipped.
        """
        clock = self._state.clock
        due = until
        if until is not None:
            now = clock.time()
            if self._skips and why != "answer":
                # A loop of attempts without a pause would call a service as fast as it can.
                until = min(until, now + (LONGEST_BACK_OFF if why in ("retry", "poll") else 0.0))
            if until <= now:
                return max(0.0, (due or 0.0) - now)
        with anyio.CancelScope() as pause, self.untimed(path):
            self._still.enter(path, why, pause)
            if due is not None:
                self._ends[path] = due
            self.leave_if_drained()
            self.tell_waiting()
            if why == "poll":
                self._lend_slot()  # not after a while: a short interval would keep it for good
            try:
                await self._sleep_until(until)
            finally:
                self._ends.pop(path, None)
                self._still.leave(path)
        was_skipped = pause.cancelled_caught or until != due  # a clock that was set back skips nothing
        skipped = max(0.0, due - clock.time()) if due is not None and was_skipped else 0.0
        if why != "poll":  # whose looks need none; its body does
            await self.resume_slot()
        self.tell_waiting()
        return skipped

    async def _sleep_until(self, until: float | None) -> None:
        """C4: a run in which nothing has moved for a while gives its slot to others."""
        clock, patience = self._state.clock, IDLE_SLOT_SECONDS
        if until is None:
            await self._sleep_on()
            return
        left = until - clock.time()
        while self.slot is not None and patience < left:
            await clock.sleep_until(clock.time() + patience)
            self._lend_slot()
            left = min(left - patience, until - clock.time())  # the clock may have been set back
            patience *= 2
        await clock.sleep_until(min(until, clock.time() + left))

    async def _sleep_on(self) -> None:
        """Sleep until somebody wakes the call. A person may take long: the slot goes as soon as nothing moves."""
        while self.slot is not None and not self.gave_slot:
            if not self._lend_slot():
                await anyio.sleep(_LOOK_FOR_MOVES)
        await anyio.sleep_forever()

    def _lend_slot(self) -> bool:
        """Let other runs use the slot if nothing moves in this one; whether they may."""
        if self.slot is not None and not self.gave_slot and self._still.is_all(self._state.running):
            self.gave_slot = True
            self.slot.suspend()
        return self.gave_slot

    async def resume_slot(self) -> None:
        """Wait for a slot again before a body begins."""
        if self.gave_slot and self.slot is not None:
            self.gave_slot = False
            await self.slot.resume()

    @contextmanager
    def untimed(self, path: str) -> Generator[None]:
        """Stop the time limits of the attempts around a call."""
        limits = [
            running.scope.limit
            for running in self._state.running
            if running.scope.limit is not None and is_within(path, running.path)
        ]
        for limit in limits:
            limit.hold()
        try:
            yield
        finally:
            for limit in limits:
                limit.release()

    async def expect_cancel(self, call: AnyCall, seconds: float) -> None:
        """A8: give the user's code time to cancel the call as it did before. `skip` ends this, too.

        The stored time counts from the start of the code around the call, because a time limit around several tasks is
        later at a replay: the tasks before this one took no time. So code that sets no limit any more waits for nothing.
        """
        with anyio.CancelScope() as pause:
            self._still.enter(call.path, "parked", pause)
            try:
                await asyncio.sleep(min(seconds, PATIENCE_WITHOUT_HINT))
                if seconds > PATIENCE_WITHOUT_HINT:
                    self._state.header.hint(_expected(call.path, seconds))
                    await asyncio.sleep(seconds - PATIENCE_WITHOUT_HINT)
                # If the whole process was held up, what cancels the call is still to come.
                await self._state.turns.settle()
            finally:
                self._still.leave(call.path)

    def skip(self, path: str) -> None:
        """End a wait or a countdown now, also one that this pass has not come to yet."""
        if self._still.wake(path):
            return
        record = self._state.ledger.glance(path)
        if record is not None and record.status == TaskStatus.WAITING and record.kind != QUESTION:
            self._state.ledger.save_with_next(without_wait(record, self._state.clock.time()))

    def follow(self, waits: WaitsOption) -> None:
        """Wait, or skip waits, from now on: the run was started again meanwhile. Those under way end, too."""
        self._state.settings.waits = waits
        self._state.run.waits = "skip" if waits == "skip" else ""
        if waits == "skip":
            self._still.wake_all("wait", "retry", "poll")

    def tell_waiting(self) -> None:
        """Keep the run's status true: it is WAITING while everything that moves in it waits."""
        if self._state.stopping.why is not None:
            return
        run, feed = self._state.run, self._state.feed
        reason = self._still.reason if self._still.is_all(self._state.running) else ""
        status = RunStatus.WAITING if reason else RunStatus.RUNNING
        if self._state.stopping.is_pausing:
            status, reason = RunStatus.RUNNING, "pausing"
        due = min(self._ends.values(), default=None) if status == RunStatus.WAITING else None
        is_news = due is not None and due != self._due
        if due is not None and is_news:
            self._due = due  # so that a listener resumes the run then, if its kernel is gone (W2)
            self._state.ledger.ride_along(due_row(run.id, due))
        if (run.status, run.reason) != (status, reason):
            run.status, run.reason = status, reason
            self._state.ledger.ride_along(run_row(run))
            if status == RunStatus.WAITING:
                self._write_soon()
            if feed.watched:
                feed.emit(SavedRun(run.copy()))
        if is_news:
            self._state.ledger.flush()  # nothing else may be written for days

    def _write_soon(self) -> None:
        """Have other processes see the wait, and when it is due: nothing else may be committed while it lasts."""
        seconds = self._state.patience.start
        if seconds < math.inf:
            with suppress(RuntimeError):  # not on the loop
                asyncio.get_running_loop().call_later(seconds, self._state.ledger.flush)

    # Calls that cannot go on in this pass -----------------------------------------------------------

    async def park(self, call: AnyCall) -> NoReturn:
        """Wait for the end of the pass: the next one carries the call out."""
        await self._park(call.path)

    async def _park(self, path: str) -> NoReturn:
        self._still.enter(path, "parked")
        self.leave_if_drained()
        await anyio.sleep_forever()
        raise AssertionError("unreachable")

    def leave_if_drained(self) -> None:
        """Stop a pass that is closed to new bodies when nothing in it moves any more."""
        stopping = self._state.stopping
        if stopping.closing is not None and not stopping.held and self._still.is_all(self._state.running):
            stopping.stop(stopping.closing)
        elif self.stops and self._stands():
            stopping.stop(Stop.PAUSE)

    # Maps that stop after their first items ---------------------------------------------------------

    async def stop_after_first(self, path: str, hint: str) -> None:
        """Wait until a person says that the map goes on. The pass is paused once nothing else moves."""
        self.stops[path] = hint
        self._state.header.hint(hint)
        with anyio.CancelScope() as stop, self.untimed(path):
            self._still.enter(path, "parked", stop)
            try:
                self.leave_if_drained()
                await anyio.sleep_forever()
            finally:
                self._still.leave(path)
        self.stops.pop(path)
        self._state.header.over(hint)

    def go_on(self, path: str | None = None) -> None:
        """A person says that a map, or all of them, go on after their first items."""
        for each in [each for each in self.stops if path in (each, None)]:
            self._still.wake(each)

    def _stands(self) -> bool:
        """Whether nothing in the pass moves, nor will by itself."""
        still, stopping = self._still, self._state.stopping
        if stopping.why is not None or stopping.closing is not None or still.moves_by_itself:
            return False
        return still.is_all(self._state.running) and all(still.holds(call.path) for call in stopping.calls)

    # The end of a body ------------------------------------------------------------------------------

    def end_of_body(self, running: RunningBody) -> None:
        """A body has ended: perhaps nothing in the run moves any more. On the loop, or on its thread if its caller has left."""
        state = self._state
        state.running.discard(running)
        running.finish()
        around = running.scope.parent
        if around is not None and around.deferred is not None:
            save_deferred(state, around)
        if running.abandoned:
            state.home.soon(partial(self._look_around, running))
        else:
            self._look_around(running)
        if not state.running:
            self.on_all_finished()

    def _look_around(self, finished: RunningBody) -> None:
        if finished.abandoned and finished.record is not None:
            self._still.wake(finished.path)  # the next attempt takes its result: no countdown any more
        self.leave_if_drained()
        if self._still.sleeps:
            self.tell_waiting()

    # Child runs -------------------------------------------------------------------------------------

    async def wait_for_run(self, scope: Scope, wait: Callable[[], Awaitable[bool]]) -> None:
        """Wait for another run. `wait` returns whether that was stopped before its end.

        If it was paused with this one, the next pass waits for its end.
        """
        if threading.get_ident() != self._state.home.thread:  # a loop of the user's, in a body's thread
            await self._wait_without_slot(scope, wait)
            return
        task = asyncio.current_task()
        assert task is not None
        self._awaiting[task] = scope
        try:
            was_stopped = await self._wait_without_slot(scope, wait)
        finally:
            del self._awaiting[task]
        if was_stopped and self._state.stopping.is_pausing:
            # As if it were a subtask of the body that waits.
            await self._park(f"{scope.prefix}~run {id(task)}")

    def leave_runs(self, scope: Scope) -> None:
        """The body of `scope` has failed: what waits for a child run in it stops that, and waits no longer (A6)."""
        for task, waiting in self._awaiting.items():
            if waiting.is_within(scope):
                task.cancel()

    async def _wait_without_slot(self, scope: Scope, wait: Callable[[], Awaitable[bool]]) -> bool:
        """C4: a run that waits for another one has no slot meanwhile; the other one may need it."""
        slot = self.slot
        if slot is None:
            return await wait()
        slot.suspend()
        try:
            was_stopped = await wait()
        except BaseException:
            if self._state.stopping.why is None:  # only this call was cancelled, and the run goes on
                slot.resume_now()
            raise
        if threading.get_ident() == self._state.home.thread:
            with self.untimed(scope.path):
                await slot.resume()
        else:
            await slot.resume()
        return was_stopped
