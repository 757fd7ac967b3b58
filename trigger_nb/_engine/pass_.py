"""A pass: one execution of a run function, from each call of `io.run_task` to its value.

The way of a call through the files of this room:

    Pass.replay       decide      its path, its record, the decision on it; a stored value is returned at once
    Pass.perform                  what to do otherwise, carried out step by step:
        attempts                  until one ends well, or `verdicts` gives up
            bodies                call the body, on the loop or `off_loop`
                results           encode the value, commit the record (`ledger`), decode the value
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakSet

from .. import _values
from .._keys import ancestors, display_path
from .._records.feed import Saved, Showed
from .._records.forget import open_again
from .._records.records import TaskRecord
from .._records.status import Reason, TaskStatus
from .._records.stops import going_on, hint
from .._redact import redact, secrets
from .._tasks.call import MISS
from .._tasks.running import running_bodies
from .._tasks.shown import Shown, making
from .._values.files import FilesInUse
from ..errors import RunInterrupted
from .attempts import Attempts
from .bodies import Bodies, Failed
from .decide import Adopt, Ask, Decider, Decision, ExpectCancel, Raise, Replay, Reuse, Run, Wait, Walk
from .files import fingerprint_files, stored_value
from .ledger import take_over_all
from .new_record import NewRecords
from .nodes import walk_items
from .off_loop import OffLoop
from .origins import origins
from .questions import Questions
from .readings import Unreadable
from .results import Results, StoredResults, note_prints
from .scopes import subtasks_end
from .state import PassState
from .taken_over import TakenOver
from .verdicts import Verdicts
from .waits import Waits, with_skipped

if TYPE_CHECKING:
    from .._tasks.call import AnyCall, Call, Scope
    from .._values.pieces import Made
    from .state import MakeIo
    from .stopping import Stop

T = TypeVar("T")
_AT_ONCE = 500  # results that are taken over in one commit, before the event loop may run other tasks


@dataclass(kw_only=True, eq=False, repr=False)
class Pass(PassState):
    """One pass of the run function. Lives on the loop; `replay` and `log` may also be called from its threads."""

    make_io: MakeIo

    def __post_init__(self) -> None:
        super().__post_init__()
        self._stored = StoredResults(self)
        self.records = NewRecords(self)
        self._decider = Decider(self, self._stored)
        self._taken_over = TakenOver(self)
        self._decider.take = self._taken_over.take
        self.replay = self._decider.replay  # the stored value of a call, or `MISS`
        self.has_final_error = self._decider.has_final_error
        self.waits = Waits(self, self.records)
        self.wait_for_run = self.waits.wait_for_run
        self.go_on = self.waits.go_on
        self.questions = self.make_questions()
        verdicts = Verdicts(self, self.make_io)
        results = Results(self, self._stored, self.records)
        off_loop = OffLoop(self, results, self.records, verdicts, self.waits)
        self.bodies = self.make_bodies(results, off_loop)
        self.start_of_batch = self.bodies.start_of_batch
        self._attempts = Attempts(self, self._stored, self.records, verdicts, self.waits, self.bodies)
        self.limiters_of = self._attempts.limiters_of
        # The asyncio tasks to which an error was raised.
        self._failed: WeakSet[asyncio.Task[object]] = WeakSet()
        self._canceled: dict[str, set[str]] = {}  # by path of a body: the tasks cancelled in it in this pass

    def make_bodies(self, results: Results, off_loop: OffLoop) -> Bodies:
        """The part that calls bodies. A trial (`job.test`) has one that calls stubs in their place."""
        return Bodies(self, self._stored, results, self.waits, off_loop, self.make_io)

    def make_questions(self) -> Questions:
        """The part that asks people. In a trial, stubs answer."""
        return Questions(self, self._stored, self.records, self.waits)

    # Calls ------------------------------------------------------------------------------------------

    async def perform(self, call: Call[T]) -> T:
        """The value of a call that `replay` had none for."""
        scope, calls = call.scope, self.stopping.calls
        scope.enter(call)
        calls.add(call)
        call.host = asyncio.current_task()
        try:
            try:
                if self._taken_over.are_loose:
                    await self._taken_over.settle()
                if FilesInUse.begun:
                    await fingerprint_files(self, call)
                return await self._carry_out(call, self._decider.decision(call))
            except Unreadable as unread:
                self.header.hint(str(unread.error))
                return await self.stopping.fail(unread.error)
        except (asyncio.CancelledError, RunInterrupted) as error:
            self._note_cancellation(call, error)
            raise
        except Exception:
            if call.host is not None:
                self._failed.add(call.host)
            raise
        finally:
            scope.leave(call)
            calls.discard(call)
            if scope is self.root and not scope.subtasks:
                self.end_of_call()
            if self.stopping.closing is not None or self.waits.stops:
                self.waits.leave_if_drained()

    async def _carry_out(self, call: AnyCall, decision: Decision) -> Any:
        if call.options and call.kind not in ("wait", "question", "map", "parallel"):
            self._attempts.check_options(call)
        while True:
            match decision:
                case Run():
                    return await self._attempts.run(call, decision)
                case Raise(record):
                    await self.turns.take_turn(call)
                    raise self._stored.error(call, record)
                case Walk(is_done=is_done):
                    value = await walk_items(self, self.records, self._attempts, call, decision)
                    if is_done:
                        await self.turns.take_turn(call)
                    return value
                case Wait(then=None):
                    return await self.waits.wait(call, decision)
                case Wait(then=Run() as then) if call.outside is not None:
                    decision = then  # the attempt waits
                case Wait(then=then):
                    assert then is not None
                    until, why = decision.until or 0.0, "wait"
                    if decision.reason != Reason.NEW and then.earlier is not None:
                        until, why = self.waits.unprolonged(then.earlier, until), "retry"
                    skipped = await self.waits.pause(call.path, until, why)
                    decision = with_skipped(then, skipped)
                case Ask():
                    return await self.questions.ask(call, decision)
                case ExpectCancel():
                    await self.waits.expect_cancel(call, decision.seconds)
                    decision = decision.then
                case Adopt(running):
                    try:
                        value = await self.bodies.adopt(call, running)
                    except Failed as failure:
                        adopted = Run(Reason.ADOPTED, running.attempt)
                        return await self._attempts.run(call, adopted, failure)
                    if value is not MISS:
                        return value
                    decision = self._decider.decided(call)
                case Reuse(found, otherwise):
                    record = await self._attempts.take_over(call, found, otherwise)
                    if record is None:
                        decision = otherwise
                    elif (value := self._stored.value(call, record)) is not MISS:
                        self.saw(call.path, Reason.REUSED)
                        return value
                    else:
                        decision = Run(Reason.LOST_VALUE, open_again(record))
                case Replay(record):
                    value = await stored_value(self._stored, call, record)
                    if value is not MISS:
                        self.saw(call.path, Reason.REPLAYED)
                        await self.turns.take_turn(call)
                        return value
                    decision = Run(Reason.LOST_VALUE, open_again(record))

    async def reuse_all(
        self, calls: Iterable[AnyCall], describe: Callable[[AnyCall], object], *, batch: bool
    ) -> dict[str, object]:
        """Take over the results of other runs for calls that have no record, by one query. By path: the value, or `MISS` for
        one that a replay is to read."""
        try:
            hits = self.reuses.look_ahead(calls, batch=batch)
            taken: dict[str, object] = {}
            given: set[str] = set()  # digests whose value was given out: equal calls do not share one
            while hits:
                texts: dict[str, str] = {}
                now = self.now()
                for call, found in hits[:_AT_ONCE]:
                    describe(call)
                    text = self.reuses.copied(call, found, now)
                    value = MISS
                    if text is not None and found.digest not in given:
                        value = self.reuses.plain(call, found)
                        given.add(found.digest)
                    if text is None and (record := self.reuses.taken(call, found, None, self.records.new)):
                        record.ended = next(self.ledger.ordinals)
                        text = record.dumps()
                    if text is not None:
                        texts[call.path] = text
                        taken[call.path] = value
                del hits[:_AT_ONCE]
                for path in await take_over_all(self.ledger, texts):
                    taken[path] = MISS
                await asyncio.sleep(0)
        except Unreadable as unread:
            await self.stopping.fail(unread.error)
        return taken

    async def stop_after_first(self, path: str, tally: dict[str, int]) -> None:
        """Let a map wait until a person says that it goes on, which its record then says too."""
        record = next(each.record for each in self.stopping.calls if each.path == path)
        assert record is not None

        def show(tally: dict[str, int]) -> None:
            record.tally = tally
            if self.feed.watched:
                self.feed.emit(Saved(record.copy(), live=True))

        show(tally)
        await self.waits.stop_after_first(path, hint(display_path(path), tally))
        said = record.copy(status=TaskStatus.PENDING, interrupted=True, tally=going_on())
        self.ledger.save_with_next(said)
        show(going_on())

    def _note_cancellation(self, call: AnyCall, error: BaseException) -> None:
        """Record why a call was cut short: the pass is ending, a time limit around it, or the user's code (A8)."""
        seconds = call.scope.age()
        record, ledger = call.record, self.ledger
        running = running_bodies.get(self.body_key(call.path))
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
        record = record or self.records.new(call)
        self.reopen_canceled(call.path)
        for around in (*ancestors(call.path), ""):
            self._canceled.setdefault(around, set()).add(call.path)
        ended = next(ledger.ordinals)
        ledger.save_now(
            record.copy(status=TaskStatus.CANCELED, canceled=seconds, ended=ended, ended_at=self.now())
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

    def show(self, scope: Scope, made: Made) -> None:
        """Add a piece to the details of the task of a scope. It is recorded with the end of the attempt."""
        with making:
            shown = scope.shown = scope.shown or Shown()
        shown.add(made, self.ledger.blobs.put)
        if self.feed.watched:
            self.feed.emit(Showed(scope.path, shown.pieces))

    def log(self, scope: Scope, level: str, message: object, data: object = None) -> None:
        """Add a log line to the tree. It rides with the next commit and is not repeated on replay."""
        message = secrets.hide(_text(message))
        name = hashlib.sha256(f"{level}:{message}".encode("utf-8", "replace")).hexdigest()[:12]
        if scope.logged is None:
            scope.logged = {}
        count = scope.logged[name] = scope.logged.get(name, 0) + 1
        path = f"{scope.prefix}~.{name}.{count}"
        earlier = self.ledger.glance(path)
        if earlier is not None and not earlier.forced:
            self.saw(path, Reason.REPLAYED)
            return
        now = self.now()
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
        self.saw(path, Reason.NEW)

    def about_to_start(self, what: str) -> None:
        """User code is about to start a run or send an event by itself, and not through `io`."""

    # What the run asks ------------------------------------------------------------------------------

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
        for running in [each for each in self.running if each.queued]:
            if running.cancel_start():
                self.still.enter(running.path, "parked")
                self.waits.end_of_body(running)
        self.waits.tell_waiting()
        self.waits.leave_if_drained()

    def origins(self, error: BaseException) -> list[str]:
        """Paths of this run's tasks that an error came from (R5)."""
        return origins(error, self.directory, self.run.id)

    def unseen_errors(self) -> list[str]:
        """Paths of tasks that failed without any code having looked at their errors: those of an asyncio task that was not
        awaited yet. What this pass did not come to is as it was before."""
        found = dict.fromkeys(path for path in self.run.unseen if path not in self.reasons)
        for host in self._failed:
            # asyncio keeps both to warn of such errors. `Task.exception()` would count as a look.
            if getattr(host, "_log_traceback", False):
                found.update(dict.fromkeys(self.origins(getattr(host, "_exception"))))  # noqa: B009
        return list(found)

    def begun_bodies(self) -> dict[str, TaskRecord]:
        """The bodies that run, by path, with what is not recorded of them yet."""
        found: dict[str, TaskRecord] = {}
        run = self.body_key("")[:2]
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
