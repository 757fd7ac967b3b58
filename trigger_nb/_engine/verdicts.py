"""What follows a failed attempt: another one at some time, or the end of the task."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, TypeAlias

from .._concurrency.threads import call_in_thread, threads
from .._keys import display_path
from .._redact import secrets
from .._tasks.call import current_scope
from .._tasks.exits import as_error, cancellations, is_stop
from .._tasks.signature import bind_run, is_async
from .._tasks.task import Task
from ..errors import InvalidOptionError, UsageError
from ..retry import RetryAt, SkipRetrying, policy
from .origins import comes_from_subtask

if TYPE_CHECKING:
    from .._concurrency.places import TaskLimits
    from .._records.records import TaskRecord
    from .._tasks.call import Call, Scope
    from .state import MakeIo, PassState

RETRY_AT_LIMIT = 100  # attempts that `on_error` may ask for if the task has no retry policy
Answer: TypeAlias = Exception | RetryAt | SkipRetrying | None  # of `on_error`, or of an integration


class Verdicts:
    """Decides on failed attempts of one pass: `on_error` first (A2), then the integration, then the retry policy (A1)."""

    def __init__(self, state: PassState, make_io: MakeIo, log: Any) -> None:
        self._state = state
        self._make_io = make_io
        self._log = log  # `Pass.log`

    async def decide(
        self, call: Call[Any], record: TaskRecord, error: Exception, scope: Scope, limits: TaskLimits | None
    ) -> tuple[BaseException, float | None]:
        """The error that counts, and when the next attempt begins; None if there is none."""
        now = self._state.clock.time()
        secrets.hide_in_error(error)
        answer = await self._ask_handler(call, record, error, scope)
        return self.judge(call, record, error, answer, now, limits)

    def judge(
        self,
        call: Call[Any],
        record: TaskRecord,
        error: Exception,
        answer: Answer,
        now: float,
        limits: TaskLimits | None = None,
    ) -> tuple[BaseException, float | None]:
        """As `decide`, with the answer of the handler."""
        if answer is None and call.service is not None:
            answer = call.service.judge(error, record.attempt, now)
        plan = policy(call.options.get("retry"))
        if isinstance(answer, SkipRetrying):
            return answer.error or error, None
        if isinstance(answer, RetryAt):
            due = answer.due_at(now)
            if limits is not None:
                limits.hold(due)
            return answer.error or error, due if record.attempt < RETRY_AT_LIMIT else None
        if answer is not None:
            error = answer
        if plan is None or comes_from_subtask(error, self._state.directory, self._state.run.id, call.path):
            return error, None
        return error, plan.next_attempt_at(
            attempt=record.attempt, error=error, first_started_at=record.started_at, now=now
        )

    async def _ask_handler(
        self, call: Call[Any], record: TaskRecord, error: Exception, scope: Scope
    ) -> Answer:
        handler = call.options.get("on_error")
        if handler is None:
            return None
        state = self._state
        task = Task(state.run.id, call.path, record.generation, record.attempt, state.feed, scope, self._log)
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
