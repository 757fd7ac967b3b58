"""Decisions on failed attempts: another attempt at some time, or the end of the task."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from .._concurrency.threads import call_in_thread, threads
from .._keys import display_path
from .._records.status import Reason
from .._redact import secrets
from .._tasks.call import current_scope
from .._tasks.exits import as_error, cancellations, is_stop
from .._tasks.signature import bind_run, is_async
from .._tasks.task import Task
from ..errors import InvalidOptionError, UsageError
from ..retry import Retry, RetryAt, SkipRetrying, policy
from .only_io import has_only_results
from .origins import comes_from_subtask

if TYPE_CHECKING:
    from .._concurrency.limits import TaskLimits
    from .._records.records import TaskRecord
    from .._tasks.call import AnyCall, Scope
    from .state import MakeIo, PassState

RETRY_AT_LIMIT = 100  # how often a task may be told to wait: those attempts do not count for `retry=`
Answer: TypeAlias = Exception | RetryAt | SkipRetrying | None  # of `on_error`, or of an integration


class Verdict(NamedTuple):
    """What follows a failed attempt."""

    error: BaseException  # the error that counts
    next_at: float | None  # when the next attempt begins; None if there is none
    refusals: int  # of the record: how many attempts ended with being told to wait


class Verdicts:
    """Decides on failed attempts of one pass: `on_error` first (A2), then the integration, then the retry policy (A1)."""

    def __init__(self, state: PassState, make_io: MakeIo) -> None:
        self._state = state
        self._make_io = make_io

    async def decide(
        self, call: AnyCall, record: TaskRecord, error: Exception, scope: Scope, limits: TaskLimits | None
    ) -> Verdict:
        """What follows an attempt that ended in this error."""
        now = self._state.clock.time()
        secrets.hide_in_error(error)
        answer = await self._ask_handler(call, record, error, scope)
        verdict = self.judge(call, record, error, answer, now, limits)
        if (
            "retry" not in call.options
            or isinstance(answer, (RetryAt, SkipRetrying))
            or runs_subtasks_again(call)
        ):
            return verdict
        return self._unless_replaying(call, record, scope, verdict)

    def _unless_replaying(self, call: AnyCall, record: TaskRecord, scope: Scope, verdict: Verdict) -> Verdict:
        """The verdict on a task with subtasks, whose next attempt would perhaps do nothing but replay them."""
        if not has_only_results(scope, self._state.ledger):
            return verdict
        reasons = self._state.reasons
        if verdict.next_at is not None and scope.only_io and not isinstance(verdict.error, OSError):
            verdict.error.add_note(
                "No further attempt was made: it would only replay" + _ways_out(call, scope)
            )
            return verdict._replace(next_at=None)
        replayed = all(reasons.get(scope.prefix + segment) == Reason.REPLAYED for segment in scope.seen)
        if verdict.next_at is None and record.attempt > 1 and replayed:
            verdict.error.add_note("Each further attempt only replayed" + _ways_out(call, scope))
        return verdict

    def judge(
        self,
        call: AnyCall,
        record: TaskRecord,
        error: Exception,
        answer: Answer,
        now: float,
        limits: TaskLimits | None = None,
    ) -> Verdict:
        """As `decide`, with the answer of the handler."""
        if answer is None and call.service is not None:
            answer = call.service.judge(error, now)
        plan, refusals = policy(call.options.get("retry")), record.refusals
        if isinstance(answer, SkipRetrying):
            return Verdict(answer.error or error, None, refusals)
        if isinstance(answer, RetryAt):
            due = answer.due_at(now)
            if limits is not None:
                limits.hold(due)
            refusals += 1
            return Verdict(answer.error or error, due if refusals < RETRY_AT_LIMIT else None, refusals)
        if answer is not None:
            error = answer
        if plan is None:
            return Verdict(error, None, refusals)
        is_subtasks = comes_from_subtask(error, self._state.directory, self._state.run.id, call.path)
        if is_subtasks and not runs_subtasks_again(call):
            return Verdict(error, None, refusals)
        counted = record.attempt - refusals
        next_at = plan.next_attempt_at(
            attempt=counted, error=error, first_started_at=record.started_at, now=now
        )
        return Verdict(error, next_at, refusals)

    async def _ask_handler(self, call: AnyCall, record: TaskRecord, error: Exception, scope: Scope) -> Answer:
        handler = call.options.get("on_error")
        if handler is None:
            return None
        state = self._state
        task = Task(scope, record.generation, record.attempt, record.redact)
        scope.closed = scope.failed = False
        asked = cancellations()
        token = current_scope.set(scope)
        try:
            io = self._make_io(scope, not is_async(handler))
            args, named = bind_run(handler, {"error": error, "task": task, "io": io})
            if not is_async(handler) and any(value is io for value in (*args, *named.values())):
                answer = await call_in_thread(threads.submit, lambda: handler(*args, **named))
            else:
                answer = handler(*args, **named)
            answer = await answer if inspect.isawaitable(answer) else answer
            if answer is None or isinstance(answer, (Exception, RetryAt, SkipRetrying)):
                return answer
            raise InvalidOptionError(  # as for every option with an invalid value
                f"on_error of task {display_path(call.path)!r} returned {answer!r:.100}; it returns nothing, an exception that "
                "replaces the error, RetryAt(when), or SkipRetrying()"
            )
        except UsageError as misuse:
            raise state.stopping.misused(misuse) from None
        except BaseException as replacement:  # an error of the handler replaces that of the body
            if is_stop(replacement, asked) or state.stopping.is_cut_short:
                raise
            return as_error(replacement, f"on_error of task {display_path(call.path)!r}")
        finally:
            current_scope.reset(token)


def runs_subtasks_again(call: AnyCall) -> bool:
    """Whether each attempt of the task runs its subtasks again."""
    retry = call.options.get("retry")
    return isinstance(retry, Retry) and retry.subtasks == "again"


def _ways_out(call: AnyCall, scope: Scope) -> str:
    names = [repr(display_path(scope.prefix + segment)) for segment in scope.seen]
    listed = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    return (
        f" the stored results of the subtasks of {display_path(call.path)!r} ({listed}). To have a bad result "
        "asked for again, give the subtask check=, which makes it a failed attempt, and retry=; or give the task "
        'retry=Retry(..., subtasks="again"), which runs its subtasks again at each attempt.'
    )
