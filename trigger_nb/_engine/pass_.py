"""A pass: one execution of a run function, from each call of `io.run_task` to its value.

The way of a call through the files of this room:

    Pass.replay       decider     its path, its record, the decision on it; a stored value is returned at once
    Pass.perform      decide      what to do otherwise, carried out step by step:
        attempts                  until one ends well, or `verdicts` gives up
            bodies                call the body, on the loop or `off_loop`
                results           encode the value, commit the record (`ledger`), decode the value
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from .. import _values
from .._keys import ancestors
from .._records.forget import open_again
from .._records.records import TaskRecord
from .._records.status import Reason, TaskStatus
from .._redact import redact, secrets
from .._tasks.call import MISS
from .._tasks.running import running_bodies
from ..errors import RunInterrupted
from .attempts import Attempts
from .bodies import Bodies, Failed
from .decide import Adopt, Decision, ExpectCancel, Raise, Replay, Run, Wait, Walk
from .decider import Decider
from .fan_out import walk_items
from .ledger import Unreadable
from .new_record import NewRecords
from .off_loop import OffLoop
from .origins import origins
from .results import Results, note_prints
from .scopes import subtasks_end
from .state import PassState
from .stored import StoredResults
from .verdicts import Verdicts
from .waits import Waits

if TYPE_CHECKING:
    from .._clock import Clock
    from .._concurrency.limiter import Limiter
    from .._concurrency.threads import Home, Start
    from .._records.feed import Feed
    from .._records.records import RunRecord
    from .._store.group_commit import GroupCommit
    from .._store.protocol import Store
    from .._tasks.call import Call, Scope
    from .._tasks.options import Settings
    from ..errors import UsageError
    from .memory import Memory
    from .state import MakeIo
    from .stopping import Stop

T = TypeVar("T")


class Pass:
    """One pass of the run function. Lives on the loop; `replay` and `log` may also be called from its threads."""

    def __init__(
        self,
        *,
        run: RunRecord,
        store: Store,
        journal: GroupCommit,
        clock: Clock,
        feed: Feed,
        home: Home,
        settings: Settings,
        memory: Memory,
        make_io: MakeIo,
        run_was_completed: bool = False,
        is_lost: Callable[[], bool] = lambda: False,
    ) -> None:
        self.run = run
        self.clock = clock
        self.feed = feed
        self.home = home
        self.settings = settings
        self.result: tuple[Any] | None = None  # what the run function returned
        self.failure: BaseException | None = None  # or raised
        state = self._state = PassState(
            owner=self,
            run=run,
            store=store,
            journal=journal,
            clock=clock,
            feed=feed,
            home=home,
            settings=settings,
            memory=memory,
            run_was_completed=run_was_completed,
            is_lost=is_lost,
        )
        self.root = state.root
        self.ledger = state.ledger
        self.header = state.header
        self.stopping = state.stopping
        self._stored = StoredResults(state)
        self._records = NewRecords(state)
        self._decider = Decider(state, self._stored)
        self.waits = Waits(state, self._records)
        verdicts = Verdicts(state, make_io, self.log)
        results = Results(state, self._stored, self._records)
        self._off_loop = OffLoop(state, results, self._records, verdicts, self.waits)
        self._bodies = Bodies(state, self._stored, results, self.waits, self._off_loop, make_io, self.log)
        self._attempts = Attempts(state, self._stored, self._records, verdicts, self.waits, self._bodies)
        self.replay = self._decider.replay  # the stored value of a call, or `MISS`
        self._canceled: dict[str, set[str]] = {}  # by path of a body: the tasks cancelled in it in this pass

    # Calls ------------------------------------------------------------------------------------------

    async def perform(self, call: Call[T]) -> T:
        """The value of a call that `replay` had none for."""
        scope, calls = call.scope, self.stopping.calls
        if scope.subtasks is None:
            scope.subtasks = set()
        scope.subtasks.add(call)
        calls.add(call)
        call.host = asyncio.current_task()
        began = time.monotonic()
        try:
            try:
                return await self._carry_out(call, self._decider.decision(call))
            except Unreadable as unread:
                self.header.hint(str(unread.error))
                return await self.stopping.fail(unread.error)
        except (asyncio.CancelledError, RunInterrupted) as error:
            self._note_cancellation(call, error, round(time.monotonic() - began, 3))
            raise
        finally:
            scope.subtasks.discard(call)
            if not scope.subtasks and scope.emptied is not None:
                scope.emptied.set()
            calls.discard(call)
            if scope is self.root and not scope.subtasks:
                self.header.end_of_call()
            self.waits.leave_if_drained()

    async def _carry_out(self, call: Call[Any], decision: Decision) -> Any:
        if call.options and call.kind not in ("wait", "map", "parallel"):
            self._attempts.check_options(call)
        while True:
            match decision:
                case Run():
                    return await self._attempts.run(call, decision)
                case Raise():
                    raise self._stored.error(call, decision.record)
                case Walk():
                    return await walk_items(self._state, self._records, self._attempts, call, decision)
                case Wait(then=None):
                    return await self.waits.wait(call, decision)
                case Wait(then=then):
                    await self.waits.pause(
                        call.path, decision.until or 0.0, "wait" if decision.reason == Reason.NEW else "retry"
                    )
                    assert then is not None
                    decision = then
                case ExpectCancel():
                    await asyncio.sleep(decision.seconds)
                    decision = decision.then
                case Adopt(running):
                    try:
                        value = await self._bodies.adopt(call, running)
                    except Failed as failure:
                        adopted = Run(Reason.ADOPTED, running.attempt)
                        return await self._attempts.run(call, adopted, failure)
                    if value is not MISS:
                        return value
                    decision = self._decider.decide_again(call)
                case Replay(record):
                    value = self._stored.value(call, record)
                    if value is not MISS:
                        self.header.saw(call.path, Reason.REPLAYED)
                        return value
                    decision = Run(Reason.LOST_VALUE, open_again(record))

    def _note_cancellation(self, call: Call[Any], error: BaseException, seconds: float) -> None:
        """Record why a call was cut short: the pass is ending, a time limit around it, or the user's code (A8)."""
        record, ledger = call.record, self.ledger
        running = running_bodies.get(self._state.body_key(call.path))
        if self.stopping.is_cut_short:
            call.scope.interrupted = True
        if self.stopping.is_ending or isinstance(error, RunInterrupted) or call.scope.is_timed_out:
            if record is not None and record.status == TaskStatus.RUNNING and running is None:
                ledger.save_with_next(record.copy(status=TaskStatus.PENDING, interrupted=True))
            return
        if record is not None and (record.canceled is not None or record.status == TaskStatus.COMPLETED):
            return  # as expected, or it has its result
        if running is not None:
            running.canceled = seconds
        record = record or self._records.new(call)
        self.reopen_canceled(call.path)
        for around in (*ancestors(call.path), ""):
            self._canceled.setdefault(around, set()).add(call.path)
        ended = next(ledger.ordinals)
        ledger.save_now(
            record.copy(status=TaskStatus.CANCELED, canceled=seconds, ended=ended, ended_at=self._state.now())
        )

    def reopen_canceled(self, path: str) -> None:
        """Subtasks that were cancelled only because their parent was start over in the next pass."""
        for inner in self._canceled.pop(path, ()):
            record = self.ledger.glance(inner)
            if record is not None and record.status == TaskStatus.CANCELED:
                self.ledger.save_with_next(
                    record.copy(
                        status=TaskStatus.PENDING, interrupted=True, canceled=None, ended=0, ended_at=None
                    )
                )

    def log(self, scope: Scope, level: str, message: object, data: Any = None) -> None:
        """Add a log line to the tree. It rides with the next commit and is not repeated on replay."""
        message = secrets.hide(_text(message))
        name = hashlib.sha256(f"{level}:{message}".encode("utf-8", "replace")).hexdigest()[:12]
        if scope.logged is None:
            scope.logged = {}
        count = scope.logged[name] = scope.logged.get(name, 0) + 1
        path = f"{scope.prefix}~.{name}.{count}"
        earlier = self.ledger.glance(path)
        if earlier is not None and not earlier.forced:
            self.header.saw(path, Reason.REPLAYED)
            return
        now = self._state.now()
        ordinal = next(self.ledger.ordinals)
        record = TaskRecord(
            path=path,
            kind="log",
            style="minimal",
            name=message,
            level=level,
            started=ordinal,
            ended=ordinal,
            started_at=now,
            ended_at=now,
        )
        if data is not None:
            record.data = redact(self.settings.redact, _values.preview(data))
        if earlier is not None:
            record.generation = earlier.generation + 1
        self.ledger.save_with_next(record)
        self.header.saw(path, Reason.NEW)

    # What calls, maps and `io` ask of their pass: see `PassApi` ---------------------------------------

    def has_final_error(self, path: str) -> bool:
        """Whether a task ended in an error that is replayed."""
        return self._decider.has_final_error(path)

    def misused(self, error: UsageError) -> UsageError:
        """Keep an error of misuse, which fails the run; for `raise owner.misused(...)`."""
        return self.stopping.misused(error)

    def cancellation(self) -> BaseException:
        """The exception that unwinds user code when the pass is stopped."""
        return self.stopping.cancellation()

    def about_to_start(self, what: str) -> None:
        """User code is about to start a run or send an event by itself, and not through `io`."""

    def limiters_of(self, call: Call[Any]) -> list[Limiter]:
        """The limiters that each attempt of a call enters."""
        return self._attempts.limiters_of(call)

    def start_of_batch(self, first: Call[Any], items: list[Any], node: Scope) -> Start | None:
        """A way to call the body for several items at once off the loop; None: on the loop."""
        return self._bodies.start_of_batch(first, items, node)

    def wait_for_run(self, scope: Scope, wait: Callable[[], Awaitable[bool]]) -> Awaitable[None]:
        """Wait for a child run, without holding a slot meanwhile."""
        return self.waits.wait_for_run(scope, wait)

    def look_at_lease(self) -> None:
        """Stop if another kernel has taken the run over. On the watch's thread."""
        self.stopping.look_at_lease()

    # What the run asks ------------------------------------------------------------------------------

    @property
    def started(self) -> int:
        """How many bodies were called in this pass."""
        return self._bodies.started

    async def subtasks_end(self) -> None:
        """Wait until the tasks that the run function left in flight have ended (A6)."""
        await subtasks_end(self.header, self.root)

    def end(self) -> None:
        """The run function has returned or raised: bodies in flight may end, nothing new begins."""
        self.root.closed = True
        self.root.failed = self.failure is not None
        if self.root.failed:
            self.waits.leave_runs(self.root)
        self.stopping.end()

    def close(self, why: Stop) -> None:
        """I7, A7: no new body starts; when those in flight have ended, the pass stops."""
        self.stopping.closing = why
        for running in [each for each in self._state.running if each.queued]:
            if running.cancel_start():
                self._state.still.enter(running.path, "parked")
                self._off_loop.finish(running)
        self.waits.tell_waiting()
        self.waits.leave_if_drained()

    def on_all_finished(self, call: Callable[[], None]) -> None:
        """Have a call made when no body of this pass runs any more."""
        self._off_loop.on_all_finished = call

    def origins(self, error: BaseException) -> list[str]:
        """Paths of this run's tasks that an error came from (R5)."""
        return origins(error, self._state.directory, self.run.id)

    def run_error_data(self, error: BaseException, origins: list[str]) -> dict[str, Any]:
        """The error that the run ends in, as it is kept."""
        return self._records.run_error_data(error, origins)

    def running(self) -> dict[str, TaskRecord]:
        """The bodies that run, by path, with what is not recorded of them yet."""
        found: dict[str, TaskRecord] = {}
        run = self._state.body_key("")[:2]
        # The bodies of earlier passes too: this pass adopts them (A5).
        for running in list(running_bodies.values()):
            if running.key[:2] != run:
                continue
            begun, known = running.attempt, self.ledger.glance(running.path)
            # A thread that was left behind is older than what is recorded of the attempts after it.
            # An error that is recorded while the body runs is of a body before, unless this one was left behind.
            is_old = known is not None and known.status == TaskStatus.ERRORED and not running.abandoned
            is_news = (
                known is None or is_old or known.status == TaskStatus.PENDING or known.attempt < begun.attempt
            )
            if running.record is not None or running.queued:
                continue
            if is_news:
                found[running.path] = begun.copy()
            elif known is not None and (known.status, known.attempt) == (TaskStatus.RUNNING, begun.attempt):
                found[running.path] = known
            else:
                continue
            note_prints(found[running.path], running.scope)
        return found


def _text(message: object) -> str:
    """The text of a log line; an object that cannot be turned into text fails no run."""
    try:
        return str(message)
    except Exception:  # noqa: BLE001  # of the user's object
        return str(_values.preview(message))
