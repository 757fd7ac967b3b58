"""Bodies that may begin late: in a thread, in a worker of an executor, or together with other items of a batch.

Whoever has such a body's result records it there and then (C6), also if its caller has left (A5). The steps of one body:

    run       the loop queues it, and waits for `over`
    begin     its thread begins, unless the caller has left before that
    _Finish   its thread has ended: the result is queued and committed, on that thread; then the caller is woken
    alone     if the caller has left: the thread itself records how the body ended
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import anyio

from .._records.feed import Saved
from .._records.records import TaskRecord
from .._records.status import TaskStatus
from .._tasks.call import current_scope
from .._tasks.exits import unless_stopped
from .given import given_to_failed
from .results import note_prints, whose
from .scopes import subtasks_end

if TYPE_CHECKING:
    from .._concurrency.threads import Start
    from .._tasks.call import AnyCall, Batch, Scope
    from .._tasks.running import RunningBody
    from .new_record import NewRecords
    from .results import Results
    from .state import PassState
    from .verdicts import Verdicts
    from .waits import Waits


class OffLoop:
    """The bodies of one pass that run off the loop or wait for their turn."""

    def __init__(
        self, state: PassState, results: Results, records: NewRecords, verdicts: Verdicts, waits: Waits
    ) -> None:
        self._state = state
        self._results = results
        self._records = records
        self._verdicts = verdicts
        self._waits = waits

    async def run(
        self, call: AnyCall, record: TaskRecord, running: RunningBody, start: Start, *, waits: bool = False
    ) -> Any:
        """Run a body off the loop. Returns its value if only the loop can bring it to an end; else its record is written.

        `waits`: the body may have to wait for a thread or worker.
        """
        running.queue()
        over = anyio.Event()
        unsettled: list[Any] = []  # the value, if only the loop can bring it to an end
        limit, begun = running.scope.limit, anyio.Event()
        if limit is not None:
            limit.hold()  # its time begins with its body
        if waits and self._state.feed.watched:
            self._state.feed.emit(Saved(record.copy(status=TaskStatus.PENDING), live=True))

        def begin() -> bool:
            if not running.start():
                return False
            if limit is not None:
                self._state.home.soon(begun.set)
            if waits:
                self._begins_late(record)
            return True

        cancel = start(begin, _Finish(self, call, record, running, over, unsettled))
        try:
            if limit is not None:
                await begun.wait()
                limit.release()
            await over.wait()
        except asyncio.CancelledError:
            if cancel is not None:
                cancel()
            if self._state.stopping.is_ending or running.record is None:
                if running.thread_done and unsettled and inspect.iscoroutine(unsettled[0]):
                    unsettled[0].close()  # the thread returned a coroutine, and this call was to await it
                raise
            # The result was there first, and a replay will return it: so does this call (A8).
        if running.error is not None:
            raise _explain_thread(running.error)
        if not unsettled:
            return None
        value = unsettled[0]
        if inspect.isawaitable(value):
            token = current_scope.set(running.scope)
            try:
                value = await value
            finally:
                current_scope.reset(token)
        return value

    async def join(self, call: AnyCall, record: TaskRecord, running: RunningBody, batch: Batch) -> Any:
        """Await an `async def` body that several items share. It begins when they all are here and a limit allows it."""
        running.wait_for_turn()
        limit = running.scope.limit
        if limit is not None:
            limit.hold()  # its time begins with its body
        if self._state.feed.watched:
            self._state.feed.emit(Saved(record.copy(status=TaskStatus.PENDING), live=True))

        def begin() -> bool:
            if not running.start():
                return False
            if limit is not None:
                limit.release()
            self._begins_late(record)
            return True

        return await batch.join(call, begin)

    def _begins_late(self, record: TaskRecord) -> None:
        """A body had to wait for its turn, which is no part of the time that it takes."""
        if record.attempt == 1:
            record.started_at = self._state.now()
        if self._state.feed.watched:
            self._state.feed.emit(Saved(record, live=True))

    # A body whose caller has left -------------------------------------------------------------------

    def result_here(
        self, call: AnyCall, record: TaskRecord, running: RunningBody, value: Any
    ) -> Callable[[], None]:
        """Queue a result on the body's own thread; returns a function that waits until it is committed."""
        return self._results.enqueue_here(running, self._results.completed(call, record, running, value))

    def wake(self, running: RunningBody, over: anyio.Event) -> None:
        """Tell the caller, on its loop, that the body is over. Callers wake in the order in which their bodies returned."""
        self._state.turns.leave(running.end, over.set)

    def leave(self, running: RunningBody) -> None:
        """Let the callers of other bodies wake, and the call that has adopted this one, whose caller has left."""
        adopter = running.adopter
        wake = adopter.wake if adopter is not None and running.record is not None else lambda: None
        self._state.turns.leave(running.end, wake)

    def end_alone(
        self, call: AnyCall, record: TaskRecord, running: RunningBody, unsettled: list[Any]
    ) -> None:
        """The body's thread has ended after its caller had left, and perhaps the event loop, too."""
        try:
            if unsettled:
                self._state.home.run(lambda: self._finish_alone(call, record, running, unsettled[0]))
        except BaseException as error:  # noqa: BLE001  # recorded as the body's
            running.error = unless_stopped(error, whose(running.path))
            if inspect.iscoroutine(unsettled[0]):
                unsettled[0].close()
        self._record_alone(call, running)
        self._waits.end_of_body(running)

    async def _finish_alone(
        self, call: AnyCall, record: TaskRecord, running: RunningBody, value: Any
    ) -> None:
        current_scope.set(running.scope)
        value = await value if inspect.isawaitable(value) else value
        value = await self._results.checked(call, record, running.scope, value)
        await subtasks_end(self._state.header, running.scope)
        running.scope.closed = True
        await self._results.commit(running, self._results.completed(call, record, running, value))

    def _record_alone(self, call: AnyCall, running: RunningBody) -> None:
        """Record how a body ended that outlived its call, if nothing is recorded yet and nothing else will be."""
        if (
            running.record is not None
            or running.scope.adopted
            or running.canceled is not None
            or running.timed_out_error
        ):
            return
        running.scope.fail()
        note_prints(running.attempt, running.scope)
        self._state.ledger.save_now(self._ended_alone(call, running.attempt, running.error, running.scope))

    def _ended_alone(
        self, call: AnyCall, attempt: TaskRecord, error: BaseException | None, scope: Scope
    ) -> TaskRecord:
        state = self._state
        interrupted = attempt.copy(status=TaskStatus.PENDING, interrupted=True)
        if not isinstance(error, Exception) or scope.interrupted:
            return interrupted
        last: BaseException = error
        if state.stopping.is_cut_short:  # the next pass goes on with the attempts (A1, A7)
            if "on_error" in call.options:
                return interrupted  # the handler can only be asked in a pass
            try:
                last, next_at, refusals = self._verdicts.judge(call, attempt, error, None, state.clock.time())
            except Exception:  # noqa: BLE001  # of a retry strategy: the next pass raises it where it is seen
                return interrupted
            if next_at is not None:
                data = self._records.error_data(call, attempt, last)
                attempts = self._records.attempts(attempt, data, next_at)
                waiting = attempt.copy(status=TaskStatus.WAITING, error=data, attempts=attempts)
                return waiting.copy(next_at=next_at, refusals=refusals)
        data = self._records.error_data(call, attempt, last)
        attempts = self._records.attempts(attempt, data) if attempt.attempts else []
        given = given_to_failed(state, call, attempt)
        ended = attempt.copy(status=TaskStatus.ERRORED, error=data, attempts=attempts, given=given)
        return ended.copy(ended=next(state.ledger.ordinals), ended_at=state.now())


class _Finish:
    """The end of one body that ran off the loop: called with how it ended, from any thread."""

    def __init__(
        self,
        off_loop: OffLoop,
        call: AnyCall,
        record: TaskRecord,
        running: RunningBody,
        over: anyio.Event,
        unsettled: list[Any],
    ) -> None:
        self._off_loop = off_loop
        self._call = call
        self._record = record
        self._running = running
        self._over = over
        self._unsettled = unsettled
        self._settle: Callable[[], None] | None = None

    def __call__(self, outcome: Callable[[], Any]) -> None:
        self.enter(outcome)
        self.settle()

    def enter(self, outcome: Callable[[], Any]) -> None:
        """Queue the result for the next commit. `outcome` returns the body's value or raises its error."""
        running = self._running
        try:
            value = outcome()
            if inspect.isawaitable(value) or running.scope.subtasks or "check" in self._call.options:
                self._unsettled.append(value)
                return
            running.scope.closed = True
            self._settle = self._off_loop.result_here(self._call, self._record, running, value)
        except BaseException as error:  # noqa: BLE001  # raised in the caller, if it still waits
            running.error = unless_stopped(error, whose(running.path))

    def settle(self) -> None:
        """Wait until the result is committed, and wake the caller, if it still waits."""
        running = self._running
        try:
            if self._settle is not None:
                self._settle()
        except BaseException as error:  # noqa: BLE001  # raised in the caller, if it still waits
            running.error = unless_stopped(error, whose(running.path))
        if running.finish_in_thread():
            self._off_loop.wake(running, self._over)
        else:
            self._off_loop.leave(running)
            self._off_loop.end_alone(self._call, self._record, running, self._unsettled)


def _explain_thread(error: BaseException) -> BaseException:
    """Name `thread=False` on an error that comes from running in a thread."""
    if type(error).__module__ == "sqlite3" and "created in a thread" in str(error):
        note = (
            "a `def` body runs in a worker thread; say thread=False on the task to run it where the job runs"
        )
        if note not in getattr(error, "__notes__", ()):
            error.add_note(note)
    return error
