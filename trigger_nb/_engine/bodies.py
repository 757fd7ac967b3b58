"""One call of a body: its arguments, where it runs, and how its end is told apart."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from contextvars import Context, copy_context
from functools import partial
from types import CoroutineType
from typing import TYPE_CHECKING, Any, NoReturn, cast

import anyio

from .._concurrency.interrupt import calls_user_code
from .._concurrency.threads import Start, in_thread, threads
from .._records.feed import Saved
from .._records.records import TaskRecord
from .._records.status import Reason, TaskStatus
from .._remote.dispatch import Dispatcher, executor_name
from .._store.crashpoints import point
from .._tasks import capture
from .._tasks.call import MISS, AlreadyDone, AnyCall, Call, Scope, current_scope
from .._tasks.exits import as_error, foremost
from .._tasks.running import Adopter, RunningBody, running_bodies
from .._tasks.signature import Signature, bind_body, is_async
from .._tasks.task import Task
from .._values.names import kind_of
from .._values.pictures import is_fixed, picture, picture_around
from ..errors import RunInterrupted, UsageError
from .contexts import in_context
from .only_io import OnlyIo
from .readings import Unreadable
from .results import note_prints, whose
from .scopes import returned, subtasks_end
from .stopping import Stop

if TYPE_CHECKING:
    from .._tasks.options import Settings
    from .off_loop import OffLoop
    from .results import Results, StoredResults
    from .state import MakeIo, PassState
    from .waits import Waits

_OFFERED = frozenset({"task", "io"})  # a body gets these by taking a parameter of that name


class Failed(Exception):  # noqa: N818  # never leaves the engine
    """An attempt ended in `error`."""

    def __init__(self, error: Exception, scope: Scope) -> None:
        self.error = error
        self.scope = scope


class Bodies:
    """Calls the bodies of one pass, at most one of a task at a time (A5)."""

    def __init__(
        self,
        state: PassState,
        stored: StoredResults,
        results: Results,
        waits: Waits,
        off_loop: OffLoop,
        make_io: MakeIo,
    ) -> None:
        self.started = 0  # bodies that were called in this pass
        self._changed_around: set[str] = set()  # variables that were hinted at
        self._state = state
        self._stored = stored
        self._results = results
        self._waits = waits
        self._off_loop = off_loop
        self._make_io = make_io
        self._dispatcher = Dispatcher()

    async def run(self, call: AnyCall, record: TaskRecord, scope: Scope) -> Any:
        """Call the body, and return its value from the record. If an earlier attempt's body still runs, take its result.

        Raises `Failed` for an error of the attempt.
        """
        state, stopping = self._state, self._state.stopping
        key = state.body_key(call.path)
        while (living := running_bodies.get(key)) is not None:
            value = await self.adopt(call, living)
            if value is not MISS:
                return value
        if record.attempt > 1 and (late := self._result_of_earlier(record)) is not None:
            return self._stored.value(call, late)
        if scope.prints is not None:
            scope.prints.attempt = record.attempt
        running = RunningBody(key, scope.owner, scope, record)
        host = call.host
        assert host is not None
        running.host, running.asked = host, host.cancelling()
        scope.host = host
        running_bodies[key] = running
        state.running.add(running)
        if state.still.sleeps:
            self._waits.tell_waiting()
        self.started += 1
        call.is_running = True
        if state.feed.watched:
            state.feed.emit(Saved(record, live=True))
        before = None if is_fixed(call.args) else picture(call.args)
        around = picture_around(call.body)
        try:
            value = await self._call_body(call, record, running)
            if around and (after := picture_around(call.body)) != around:
                self._hint_changed_around(call, [name for name in around if after.get(name) != around[name]])
            if before is not None and picture(call.args) != before:
                self._hint_changed_in_place(call)
            if running.record is None:
                if host.cancelling() > running.asked and self._was_cut_off(running):
                    raise stopping.cancellation()
                value = await self._results.checked(call, record, scope, value)
                if scope.subtasks:
                    await subtasks_end(state.header, scope)
                scope.closed = True
                await self._results.commit(running, self._results.completed(call, record, running, value))
        except BaseException as error:  # noqa: BLE001  # sorted in one place
            call.is_altered = call.is_altered or (before is not None and picture(call.args) != before)
            self._ended_badly(record, running, error)
        finally:
            call.is_running = False
            if running.record is not None:
                call.record = running.record
            if not running.abandoned:
                self._waits.end_of_body(running)
        assert running.record is not None
        return self._stored.value(call, running.record, is_new=True)

    async def adopt(self, call: AnyCall, running: RunningBody) -> Any:
        """A5: take the result of a living body of an earlier attempt or pass; a second one never starts.

        `MISS` if it was cut short and has neither result nor error. Raises `Failed` for its error.
        """
        self._state.saw(call.path, Reason.ADOPTED)
        running.scope.adopted = True
        over, turns = anyio.Event(), self._state.turns
        running.adopter = Adopter(partial(self._state.end_of, call), over.set)
        running.when_finished(lambda: None if turns.will_give(running.end) else over.set())
        await over.wait()
        if running.record is not None:
            self._state.ledger.remember(running.record)
            await turns.follow(call, running.record, running.end)
            return self._stored.value(call, running.record)
        if isinstance(running.error, Exception) and not running.scope.interrupted:
            raise Failed(running.error, running.scope)
        return MISS

    def _result_of_earlier(self, record: TaskRecord) -> TaskRecord | None:
        """The result of a thread that timed out, and ended before the next attempt began (A5)."""
        found = self._state.ledger.record(record.path)
        if found is None or (found.status, found.generation) != (TaskStatus.COMPLETED, record.generation):
            return None
        return found

    def _hint_changed_in_place(self, call: Call[Any]) -> None:
        name = getattr(call.body, "__qualname__", "")
        self._state.header.hint(
            f"{'A body' if not name else f'The body {name!r}'} changes an argument in place. A replay does not call it, and "
            "the code after it then gets the argument without the change: return what it makes, or change a copy."
        )

    def _hint_changed_around(self, call: AnyCall, names: list[str]) -> None:
        """A hint at variables that a body uses, once for each: many bodies may append to one list."""
        if new := [repr(name) for name in names if name not in self._changed_around]:
            self._changed_around.update(names)
            name = getattr(call.body, "__qualname__", "")
            self._state.header.hint(
                f"{f'The body {name!r}' if name else 'A body'} uses {' and '.join(new)}, which changed while it ran. A replay "
                "does not call the body, so the change is missing then: return from the body what later code needs."
            )

    # Where it runs ----------------------------------------------------------------------------------

    @calls_user_code
    async def _call_body(self, call: AnyCall, record: TaskRecord, running: RunningBody) -> Any:
        signature = self._state.changes.of(call).signature
        executor = _executor_of(call, self._state.settings)
        if executor is not None:
            record.executor = executor_name(executor)
        capture.listen()
        if call.batch is not None:
            if signature.is_async and executor is None:
                return await self._off_loop.join(call, record, running, call.batch)
            return await self._off_loop.run(call, record, running, call.batch.start(call), waits=True)
        if executor is not None:
            start = self._dispatcher.start(call, self._task(running), executor)
            return await self._off_loop.run(call, record, running, start, waits=True)
        args, named = self._arguments(call, signature, running)
        point("task:begin")
        if not signature.is_async and call.options.get("thread", True):
            context = copy_context()
            context.run(current_scope.set, running.scope)
            start = in_thread(partial(context.run, partial(call.body, *args, **named)))
            return await self._off_loop.run(call, record, running, start, waits=threads.full)
        context = copy_context()
        context.run(current_scope.set, running.scope)
        value = context.run(call.body, *args, **named)
        if kind_of(value) is CoroutineType:
            value = await self._in_context(call, running, context, value, (*args, *named.values()))
        elif inspect.isawaitable(value):
            value = await value
        if signature.is_async and isinstance(value, (Call, AlreadyDone)):
            return returned(call.scope.owner, cast("object", value), f"the body of task {call.path!r}")
        return value

    @calls_user_code
    async def _in_context(
        self, call: AnyCall, running: RunningBody, context: Context, body: Any, args: tuple[object, ...]
    ) -> Any:
        """The value of a coroutine. Most that await nothing, or only what is replayed, end with their first step."""
        knows_attempt = any(each is running.task for each in args)
        looks = "retry" in call.options and call.service is None and not knows_attempt
        running.scope.only_io = looks
        try:
            awaited = context.run(body.send, None)
        except StopIteration as end:
            return end.value
        steps: Any = in_context(context, body, awaited)
        return await (OnlyIo(steps, running.scope) if looks else steps)

    def _arguments(
        self, call: AnyCall, signature: Signature, running: RunningBody
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of the call, with `task` and `io` where the body takes them."""
        if call.args and call.service is None and _OFFERED.isdisjoint(signature.names):
            return call.args, {}  # thousands of calls are like this, and need neither
        task = self._task(running)
        offers: dict[str, Callable[[], Any]] = {
            **({} if call.service is None else {"client": call.service.client}),
            "task": lambda: task,
            "io": lambda: self._make_io(running.scope, not signature.is_async),
        }
        return bind_body(signature, call.args, offers)

    def _task(self, running: RunningBody) -> Task:
        begun = running.attempt
        task = running.task = Task(running.scope, begun.generation, begun.attempt, begun.redact)
        return task

    def start_of_batch(self, first: AnyCall, items: list[Any], node: Scope) -> Start | None:
        """A way to call the body for several items at once off the loop; None: on the loop."""
        state = self._state
        executor = _executor_of(first, state.settings)
        if executor is not None:
            call: AnyCall = Call(node, first.segment, first.body, (items,), first.options, first.place)
            call.awaited, call.path, call.limiter = True, node.path, first.limiter
            task = Task(node)
            return self._dispatcher.start(call, task, executor)
        if is_async(first.body):
            return None
        context = copy_context()
        context.run(current_scope.set, node)
        return in_thread(partial(context.run, first.body, items))

    # Its end ----------------------------------------------------------------------------------------

    def _ended_badly(self, record: TaskRecord, running: RunningBody, error: BaseException) -> NoReturn:
        """Tell apart what left a body: a cancellation, a mistake in the calling code, or an error of the attempt."""
        stopping = self._state.stopping
        running.cancel_start()
        note_prints(record, running.scope)
        if isinstance(error, (Failed, Unreadable)):
            raise error
        if isinstance(error, GeneratorExit):  # the event loop is closed, and this coroutine is collected
            self._cut_short(running, error)
            raise error
        error = foremost(error)
        is_stop = isinstance(error, (KeyboardInterrupt, RunInterrupted))
        if is_stop or (isinstance(error, asyncio.CancelledError) and self._was_cancelled(running)):
            self._cut_short(running, error)
            if isinstance(error, KeyboardInterrupt):
                raise stopping.cancellation() from None
            raise error
        error = as_error(error, whose(running.path))
        if running.error is None:
            running.error = error
        if isinstance(error, UsageError):
            running.scope.fail()
            raise stopping.misused(error)
        if self._was_cut_off(running):
            self._cut_short(running, error)
            raise stopping.cancellation() from None
        raise Failed(error, running.scope) from None

    def _was_cancelled(self, running: RunningBody) -> bool:
        """Whether anybody cancelled the body, or its subtasks: else a library has cancelled work of its own in it."""
        return (
            self._state.stopping.is_cut_short
            or running.cancellations > 0
            or any(scope.failed for scope in running.scope.outward())
            or running.scope.is_timed_out
        )

    def _was_cut_off(self, running: RunningBody) -> bool:
        """Whether a stop of ours reached the body or a call in it: what it makes of that is not its end (W3).

        A stop is that of the pass or of a time limit. A cancellation by the user's code is the user's affair (A8).
        """
        if running.scope.interrupted:
            return True
        ours = self._state.stopping.is_cut_short or running.scope.is_timed_out
        return ours and running.was_cancelled

    def _cut_short(self, running: RunningBody, error: BaseException) -> None:
        """The call was cancelled while its body ran. A thread goes on, and records its result when it comes."""
        if not running.abandon():
            running.scope.fail()
        if isinstance(error, KeyboardInterrupt):
            self._state.stopping.stop(Stop.INTERRUPT)


def _executor_of(call: AnyCall, settings: Settings) -> Any:
    """The executor for the body of a call; None to run it in this process."""
    options = call.options
    if "executor" in options:
        return options["executor"]
    is_own = call.kind != "task" or call.service is not None or options.get("thread") is False
    return None if is_own else settings.executor
