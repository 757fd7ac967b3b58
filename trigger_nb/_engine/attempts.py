"""The attempts of a task, one after another, until one ends well or the retry policy gives up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

import anyio

from .._clock import to_seconds, to_timestamp
from .._concurrency.limiter import Limiter, limiter_of, rate_of_line
from .._concurrency.limits import TaskLimits
from .._keys import ancestors, display_path, is_within
from .._records.feed import Saved
from .._records.forget import open_again, relog, reset
from .._records.prints import Prints
from .._records.records import TaskRecord
from .._records.status import Reason, TaskStatus
from .._redact import check_redact
from .._tasks.call import Scope
from .._tasks.exits import cancellations
from .._tasks.options import describe
from .._tasks.running import running_bodies
from .._tasks.signature import is_async
from .._tasks.time_limit import TimeLimit
from ..errors import TaskCrashedError, TaskTimeoutError, UsageError
from ..retry import policy
from .bodies import Failed
from .given import given_of, given_to_failed
from .origins import mark_origin
from .outside import await_outside
from .results import note_prints
from .scopes import bodies_in
from .verdicts import runs_subtasks_again

if TYPE_CHECKING:
    from .._tasks.call import AnyCall
    from .bodies import Bodies
    from .decide import Run
    from .new_record import NewRecords
    from .results import StoredResults
    from .reuse import Found
    from .state import PassState
    from .verdicts import Verdicts
    from .waits import Waits

# Starts in a row that ended with the process; after that the task is not started by itself.
CRASHES_ALLOWED = 3

_MOST_BODIES = 1_000  # of failed tasks that are kept until the next pass

LATE = 1.0  # seconds after its time limit at which the end of a body calls for an explanation
BLOCKING = "Code that blocks (time.sleep, requests, long computations) belongs in a `def` body, which runs in a thread."


class Attempts:
    """Carries out the decision to run a body."""

    def __init__(
        self,
        state: PassState,
        stored: StoredResults,
        records: NewRecords,
        verdicts: Verdicts,
        waits: Waits,
        bodies: Bodies,
    ) -> None:
        self._state = state
        self._stored = stored
        self._records = records
        self._verdicts = verdicts
        self._waits = waits
        self._bodies = bodies

    def run(self, call: AnyCall, decision: Run, failed: Failed | None = None) -> Awaitable[Any]:
        """Attempt after attempt. `failed` is the first one's end, if that was a body of an earlier pass."""
        running, tracing = self._run(call, decision, failed), self._state.tracing
        return running if tracing is None else tracing.task(running, call, self._records.error_data)

    async def _run(self, call: AnyCall, decision: Run, failed: Failed | None) -> Any:
        state = self._state
        earlier = await self._forgotten(call, decision)
        if failed is None:
            record = self._records.new(call, earlier, attempt=decision.attempt, crashes=decision.crashes)
            if call.options.get("keep_inputs", state.settings.keep_inputs):
                record.given = given_of(state, call)  # before the body can change them
        else:
            assert earlier is not None
            record = earlier  # the attempt goes on in its own record
        if record.crashes >= CRASHES_ALLOWED:
            return await self.give_up(call, record, crashed(record), call.scope)
        state.saw(call.path, decision.reason)
        again = "retry" in call.options and runs_subtasks_again(call)
        if again and earlier is not None and earlier.has_failed:
            await self._forget_subtasks(record.copy(status=TaskStatus.PENDING, interrupted=True))
        if "delay_until" in call.options and record.attempt == 1 and not record.crashes and failed is None:
            await self._delay(call, record)
        if call.outside is not None and failed is None:
            await await_outside(state, self._waits, call, record, earlier)
            self._check_open(call)
        prints: Prints | None = None
        limits = self._limits(call)
        while True:
            if failed is None:
                self._check_open(call)
                if state.stopping.closing is not None:
                    await self._waits.park(call)
                if self._waits.gave_slot:
                    await self._waits.resume_slot()
                try:
                    if limits is None:
                        return await self._attempt(call, record, prints)
                    return await self._attempt_in_turn(call, record, prints, limits)
                except Failed as failure:
                    failed = failure
            error, scope, prints = failed.error, failed.scope, failed.scope.prints
            failed = None
            over = state.stopping.why is not None or call.scope.closed
            if over and (scope.adopted or not state.stopping.is_cut_short):
                return await self._end_alone(call, record, error, scope)
            error, next_at, refusals = await self._verdicts.decide(call, record, error, scope, limits)
            note_prints(record, scope)
            if state.body_key(call.path) not in running_bodies:
                scope.fail()
            if next_at is None:
                return await self.give_up(call, record, error, scope)
            data = self._records.error_data(call, record, error)
            record = record.copy(refusals=refusals, attempts=self._records.attempts(record, data, next_at))
            waiting = record.copy(error=data)
            if again:
                await self._forget_subtasks(waiting.copy(status=TaskStatus.WAITING, next_at=next_at))
            del error  # and what its traceback holds: the countdown may be long
            skipped = await self._count_down(call, waiting, next_at)
            skipped = round(record.skipped + skipped, 3)
            record = record.copy(attempt=record.attempt + 1, error=None, crashes=0, skipped=skipped)
            state.saw(call.path, Reason.RETRIED)

    async def take_over(self, call: AnyCall, found: Found, otherwise: Run) -> TaskRecord | None:
        """Record the result of another run as this call's. None if a part of it is lost: then the body runs."""
        state = self._state
        record = state.reuses.taken(call, found, otherwise.earlier, self._records.new)
        if record is None:
            return None
        if otherwise.forget:
            earlier = await self._forgotten(call, otherwise)
            assert earlier is not None
            record.generation, record.settled, record.started = (
                earlier.generation,
                earlier.settled,
                earlier.started,
            )
        call.record = record
        await state.commit_end(call, record)
        return state.ledger.record(call.path)

    async def _forgotten(self, call: AnyCall, decision: Run) -> TaskRecord | None:
        """The record of a task before its body runs, without what the decision says to forget."""
        earlier = decision.earlier
        if not decision.forget:
            return earlier
        assert earlier is not None
        await forget_changed(self._state, call.path, earlier, with_followers=decision.forget == "rerun")
        earlier = self._state.ledger.record(call.path)
        if decision.reason == Reason.EXPIRED and call.path in self._state.changes.parents:
            assert earlier is not None
            await self._forget_subtasks(earlier)  # they are older still
        return earlier

    def check_options(self, call: AnyCall) -> None:
        """Find a mistake in the options before the body has done anything."""
        options = call.options
        try:
            policy(options.get("retry"))
            self._timeout(call)
            if "delay_until" in options:
                to_timestamp(options["delay_until"], "delay_until")
            if "properties" in options:
                describe(options["properties"])
            check_redact(options.get("redact", ()))
            if "rate" in options:
                limiter_of(rate_of_line(options["rate"], call.place), self._state.clock)
        except UsageError as error:
            raise self._state.stopping.misused(error)  # noqa: B904  # it is the same error

    async def _forget_subtasks(self, record: TaskRecord) -> None:
        """Reset the subtasks of a task, so that its next attempt runs them again.

        The task's record is committed with them. Else a pass after a crash would reset subtasks of that next attempt.
        """
        ledger = self._state.ledger
        paths = [path for path in list(ledger.texts) if is_within(path, record.path)]
        inside = {path: found for path in paths if (found := ledger.glance(path)) is not None}
        await ledger.save_all([record, *reset(inside, inside)])

    # Before an attempt ------------------------------------------------------------------------------

    async def _delay(self, call: AnyCall, record: TaskRecord) -> None:
        until = to_timestamp(call.options.get("delay_until"), "delay_until")
        if until > self._state.clock.time():
            record.skipped = round(record.skipped + await self._count_down(call, record, until), 3)

    async def _count_down(self, call: AnyCall, record: TaskRecord, until: float) -> float:
        """Wait until then; the seconds that were skipped."""
        call.record = waiting = record.copy(status=TaskStatus.WAITING, next_at=until)
        has_result = await self._state.ledger.save(waiting)
        self._check_open(call)  # in a pass that was stopped, the next one counts down (A1, A7)
        if has_result:
            return 0.0
        return await self._waits.pause(call.path, until, "wait" if waiting.error is None else "retry")

    def _check_open(self, call: AnyCall) -> None:
        """A body may start only while the pass and the scope are open (I7, A6)."""
        if self._state.stopping.why is not None or call.scope.closed:
            raise self._state.stopping.cancellation()

    def _limits(self, call: AnyCall) -> TaskLimits | None:
        """The limiters that each attempt acquires; None for no limit. A batch acquires them once for all its items."""
        limiters, around = self.limiters_of(call), call.scope.limiters
        if not (limiters or around):
            return None
        return TaskLimits(limiters, around, acquire=call.batch is None)

    def limiters_of(self, call: AnyCall) -> list[Limiter]:
        """The limiters of the map that the task is an item of, of its service, and of its `rate=`, as far as it has them."""
        limiters = [] if call.limiter is None else [call.limiter]
        if call.service is not None:
            limiters.append(call.service.limiter(self._state.clock))
        if "rate" in call.options:
            rate = rate_of_line(call.options["rate"], call.place)
            limiters.append(limiter_of(rate, self._state.clock))
        return limiters

    async def _attempt_in_turn(
        self, call: AnyCall, record: TaskRecord, prints: Prints | None, limits: TaskLimits
    ) -> Any:
        """One attempt, as soon as its limits allow it."""
        try:
            if not limits.acquire_nowait():
                await self._await_turn(call, record, limits)
            return await self._attempt(call, record, prints)
        finally:
            limits.release()

    async def _await_turn(self, call: AnyCall, record: TaskRecord, limits: TaskLimits) -> None:
        """Wait for a slot. The attempt has not begun, and no time limit runs meanwhile (A3)."""
        state = self._state
        if state.feed.watched:
            state.feed.emit(Saved(record.copy(status=TaskStatus.PENDING), live=True))
        state.still.enter(call.path, "queued", ticket=limits.ticket)
        self._waits.leave_if_drained()
        try:
            with self._waits.untimed(call.path):
                await limits.acquire()
        finally:
            state.still.leave(call.path)
        self._check_open(call)
        if state.stopping.closing is not None:
            limits.release()
            await self._waits.park(call)
        if record.attempt == 1:
            record.started_at = state.now()

    # One attempt ------------------------------------------------------------------------------------

    def _attempt(self, call: AnyCall, record: TaskRecord, prints: Prints | None) -> Awaitable[Any]:
        """Call the body once. `prints` are those of the attempts before it."""
        call.record = record
        scope = Scope(call.scope.owner, call.path, call.scope)
        if call.limiter is not None:
            scope.limiters = (*scope.limiters, call.limiter)
        if record.attempt > 1:
            record.attempted_at = self._state.now()
            scope.prints = prints or Prints()
        timeout, tracing = self._timeout(call), self._state.tracing
        run = (
            self._bodies.run(call, record, scope)
            if timeout is None
            else self._run_in_time(call, record, scope, timeout)
        )
        return run if tracing is None else tracing.attempt(run, call, record, self._records.error_data)

    async def _run_in_time(self, call: AnyCall, record: TaskRecord, scope: Scope, seconds: float) -> Any:
        """A3: a time limit bounds one attempt."""
        before = cancellations()
        limit = anyio.CancelScope(deadline=anyio.current_time() + seconds)
        try:
            with limit:
                scope.limit = TimeLimit(limit)
                value = await self._bodies.run(call, record, scope)
                self._hint_if_late(call, limit, seconds)
                return value
        except asyncio.CancelledError:
            # anyio recognises its own CancelledError by the text. A body may swallow it, or raise one without that text.
            if not limit.cancel_called or self._state.stopping.is_cut_short or cancellations() > before:
                raise
        finally:
            scope.limit = None
        text = f"task {display_path(call.path)!r} took longer than its timeout of {seconds:g} s (attempt {record.attempt})"
        if (late := anyio.current_time() - limit.deadline) > LATE:
            text += f", and gave way only {late:.1f} s later: it blocked the event loop, or was long in cleaning up. {BLOCKING}"
        raise Failed(TaskTimeoutError(text), scope)

    def _hint_if_late(self, call: AnyCall, limit: anyio.CancelScope, seconds: float) -> None:
        """A body that blocks the loop until it returns cannot be stopped in time."""
        late = anyio.current_time() - limit.deadline
        if late > LATE and is_async(call.body):
            self._state.header.hint(
                f"Task {display_path(call.path)!r} ended {late:.1f} s after its timeout of {seconds:g} s: the event loop was "
                f"blocked, and no time limit can stop code that blocks it. {BLOCKING}"
            )

    def _timeout(self, call: AnyCall) -> float | None:
        if "timeout" not in call.options:
            return self._state.settings.timeout
        return to_seconds(call.options["timeout"], "timeout")

    # The end ----------------------------------------------------------------------------------------

    async def _end_alone(self, call: AnyCall, record: TaskRecord, error: Exception, scope: Scope) -> Any:
        """The body failed when nothing waited for it any more: there is no next attempt (A6)."""
        scope.fail()
        if scope.adopted:
            raise error  # the call that adopted the body records it
        return await self.give_up(call, record, error, scope)

    async def give_up(self, call: AnyCall, record: TaskRecord, error: BaseException, scope: Scope) -> Any:
        """Record the error and raise it."""
        state = self._state
        data = self._records.error_data(call, record, error)
        given = given_to_failed(state, call, record)
        if "form" in given and not record.body and len(state.failed_bodies) < _MOST_BODIES:
            state.failed_bodies[call.path] = call.body, call.service
        ended = record.copy(status=TaskStatus.ERRORED, error=data, given=given)
        if record.attempts:
            ended.attempts = self._records.attempts(record, data)
        if (left_behind := running_bodies.get(state.body_key(call.path))) is not None:
            left_behind.timed_out_error = data
        mark_origin(error, state.directory, state.run.id, call.path)
        unfinished = bodies_in(state, scope)
        if unfinished and scope is not call.scope:
            self._waits.leave_runs(scope)
            scope.deferred = ended.copy(ended_at=state.now())
            state.header.finishing(call.path, unfinished)
        elif await state.commit_end(call, ended):
            # A thread's result came in at the same moment, and a result is never lost.
            winner = state.ledger.record(call.path)
            assert winner is not None
            return self._stored.value(call, winner)
        raise error


def crashed(record: TaskRecord) -> TaskCrashedError:
    """The error of a task whose body has died with the process too often (A1)."""
    return TaskCrashedError(
        f"the process died {record.crashes} times in a row while the body of task "
        f"{display_path(record.path)!r} was running, so it is not started once more by itself. When the cause is mended, run the cell again, or run.retry()."
    )


async def forget_changed(state: PassState, path: str, record: TaskRecord, *, with_followers: bool) -> None:
    """R6: forget a changed task's result, and, if asked to, those of tasks that first started after it ended."""
    record.path = path
    fresh = [open_again(record)]
    lines = map(state.ledger.glance, state.changes.lines.get(path, ()))
    fresh += [relog(line) for line in lines if line is not None]
    if with_followers and (end := record.settled or record.ended):
        after = [each for each in state.followers.after(path, end) if each not in state.reasons]
        around = {each for other in after for each in ancestors(other)} - state.reasons.keys()
        records = {
            each: found for each in {*after, *around} if (found := state.ledger.record(each)) is not None
        }
        fresh += reset(records, (), after)
    await state.ledger.save_all(fresh)
