"""The decision on a call: replay its result, raise its error, run its body, and so on.

`decide` is a pure function of the call, its record and `Facts`. A `Decider` supplies these facts for one pass. A pass
carries decisions out and a plan (`job.plan`) prints them, so both come to the same ones. The exception is a plain
stored value: `Decider.replay` returns it at once, without a decision.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Protocol, TypeAlias, TypeVar

from .._callsite import show_place
from .._keys import ancestors, display_key, display_path
from .._records.forget import open_again
from .._records.questions import KIND as QUESTION
from .._records.records import FAN_OUT, TaskRecord, end_in_text, first_ordinal, plain_value
from .._records.status import Reason, RunStatus, TaskStatus
from .._tasks.call import MISS
from .._tasks.running import running_bodies
from .._values import FilesInUse, files_in, fingerprint_inputs
from ..errors import DuplicateKeyError, NestingError, ScopeClosedError, UsageError
from .readings import Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._callsite import Place
    from .._tasks.call import AnyCall, Call
    from .._tasks.options import OnChange
    from .._tasks.running import RunningBody
    from .results import StoredResults
    from .reuse import Found
    from .state import PassState

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Replay:
    """Return the stored value (R1)."""

    record: TaskRecord


@dataclass(frozen=True, slots=True)
class Raise:
    """Raise the stored error again (R4, R5)."""

    record: TaskRecord


@dataclass(frozen=True, slots=True)
class Run:
    """Call the body."""

    reason: Reason
    earlier: TaskRecord | None = None  # the record before
    attempt: int = 1
    crashes: int = 0
    forget: Literal["", "only", "rerun"] = ""  # results to forget first, as `on_change=` says (R6)


@dataclass(frozen=True, slots=True)
class Reuse:
    """Take over the result of another run, and return it."""

    found: Found
    otherwise: Run  # what is done without it, or if a part of it is lost


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait. Then call the body, or, if the task is a wait itself, record that it has ended."""

    until: float | None  # None: the wait begins now
    reason: Reason
    earlier: TaskRecord | None
    then: Run | None


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask a person, or wait on for the answer."""

    reason: Reason
    earlier: TaskRecord | None


@dataclass(frozen=True, slots=True)
class Adopt:
    """Take the result of a body that an earlier attempt or pass left running (A5)."""

    running: RunningBody


@dataclass(frozen=True, slots=True)
class ExpectCancel:
    """Give the user's code time to cancel the call as it did before (A8)."""

    seconds: float
    then: Replay | Raise | Run | Wait | Ask | Walk | Reuse


@dataclass(frozen=True, slots=True)
class Walk:
    """Walk the items of a map or of `io.parallel`, which replay one by one (C2)."""

    earlier: TaskRecord | None
    is_done: bool  # all items had ended in an earlier pass
    reason: Reason


Decision: TypeAlias = Replay | Raise | Run | Wait | Ask | Adopt | ExpectCancel | Walk | Reuse
NEW = Run(Reason.NEW)
SLACK = 0.05  # seconds that a call waits longer for its cancellation than it did before


class Facts(Protocol):
    """Facts about a pass that some decisions need. Each is asked for only then: some read all records of the run."""

    def on_change(self, call: AnyCall, record: TaskRecord) -> OnChange:
        """The action on changes of a completed task since its result was stored; "keep" if there are none."""
        ...

    def is_expired(self, call: AnyCall, record: TaskRecord) -> bool:
        """Whether the result of a completed task is older than `expires_after=` says."""
        ...

    def reusable(self, call: AnyCall) -> Found | None:
        """The result of another run that takes the place of a call of the body; None if none is asked for, or found."""
        ...

    def is_final(self, record: TaskRecord) -> bool:
        """Whether an error is replayed (R5)."""
        ...

    def was_lost_with_the_run(self, record: TaskRecord) -> bool:
        """Whether the task was cancelled as its run failed, so that no cancellation is to be expected."""
        ...

    def made_progress(self, record: TaskRecord) -> bool:
        """Whether a subtask started or ended after the body did, so that the body itself did not kill the process."""
        ...


def decide(call: AnyCall, record: TaskRecord | None, facts: Facts) -> Decision:
    """The decision on a call with this record, if no body of it is running."""
    if call.kind in FAN_OUT:
        decision = _of_fan_out(record)
    elif call.kind == "wait":
        decision = _of_wait(record)
    elif call.kind == QUESTION:
        decision = _of_question(record)
    elif record is None:
        found = facts.reusable(call)
        return NEW if found is None else Reuse(found, NEW)
    else:
        decision = _of_task(call, record, facts)
        # A task that is to run again on request runs.
        if isinstance(decision, Run) and decision.reason != Reason.FORCED:
            found = facts.reusable(call)
            decision = decision if found is None else Reuse(found, decision)
    if record is None or record.canceled is None or facts.was_lost_with_the_run(record):
        return decision
    return ExpectCancel(record.canceled * 1.2 + SLACK, decision)


def _of_task(call: AnyCall, record: TaskRecord, facts: Facts) -> Replay | Raise | Run | Wait:
    match record.status:
        case TaskStatus.COMPLETED:
            if record.error is not None and facts.is_final(record):
                return Raise(record)
            on_change = facts.on_change(call, record)
            if on_change != "keep":
                return Run(Reason.CHANGED, record, forget=on_change)
            return (
                Run(Reason.EXPIRED, record, forget="only")
                if facts.is_expired(call, record)
                else Replay(record)
            )
        case TaskStatus.ERRORED if facts.is_final(record):
            return Raise(record)
        case TaskStatus.CANCELED:
            return Run(Reason.INTERRUPTED, record)
        case TaskStatus.RUNNING:
            # A body that runs in an executor does not kill this process.
            is_crash = not (record.executor or facts.made_progress(record))
            crashes = record.crashes + 1 if is_crash else 0
            return Run(Reason.INTERRUPTED, record, record.attempt, crashes)
        case TaskStatus.WAITING:
            failed = record.error is not None
            reason = Reason.RETRIED if failed else Reason.NEW
            return Wait(record.next_at or 0.0, reason, record, Run(reason, record, record.attempt + failed))
        case TaskStatus.PENDING if record.interrupted:
            return Run(Reason.INTERRUPTED, record, record.attempt)
        case TaskStatus.PENDING if record.forced:
            return Run(Reason.FORCED, record)
        case _:
            return Run(Reason.RETRIED, record)


def _of_wait(record: TaskRecord | None) -> Replay | Wait:
    if record is None:
        return Wait(None, Reason.NEW, None, None)
    if record.status == TaskStatus.COMPLETED and record.canceled is None:
        return Replay(record)
    if record.next_at is not None:
        return Wait(record.next_at, Reason.INTERRUPTED, record, None)
    return Wait(None, Reason.FORCED, record, None)


def _of_question(record: TaskRecord | None) -> Replay | Ask:
    if record is None:
        return Ask(Reason.NEW, None)
    if record.status == TaskStatus.COMPLETED and record.canceled is None:
        return Replay(record)
    return Ask(Reason.INTERRUPTED if record.status == TaskStatus.WAITING else Reason.FORCED, record)


def _of_fan_out(record: TaskRecord | None) -> Walk:
    if record is None:
        return Walk(None, is_done=False, reason=Reason.NEW)
    is_done = record.status == TaskStatus.COMPLETED
    return Walk(record, is_done, Reason.REPLAYED if is_done else Reason.RETRIED)


# Supplying the facts ------------------------------------------------------------------------------


class Decider:
    """Meets the calls of one pass. `replay` may be called from threads, too."""

    def __init__(self, state: PassState, stored: StoredResults) -> None:
        self._state = state
        self._stored = stored
        self._ledger = state.ledger
        self._changes = state.changes
        self._known_bodies = state.changes.known
        self._slow_code = state.patience.slow_code
        self._has_hinted = False  # at code that is not deterministic
        self._met_again: set[str] = set()  # paths of tasks that were called again after they had ended
        self._latest_within: dict[str, int] | None = None  # see `made_progress`
        self.is_expired = state.reuses.is_expired
        # The value of another run's result for a call without a record, or `MISS`; a plan takes nothing over.
        self.take: Callable[[AnyCall], Any] | None = None

    def reusable(self, call: AnyCall) -> Found | None:
        """The result of another run that takes the place of a call of the body; None if none is asked for, or found."""
        return self._state.reuses.find(call) if self._looks_elsewhere(call) else None

    def _looks_elsewhere(self, call: AnyCall) -> bool:
        return self._state.reuses.is_used or "reuse" in call.options

    def replay(self, call: Call[T]) -> T:
        """The stored value of a call, or `MISS`. Then `call.decision` says what to do, if it could be decided here."""
        state, scope = self._state, call.scope
        if state.stopping.why is not None or scope.closed:
            self._refuse(call)
        segment = call.segment
        path = scope.prefix + segment
        if segment in scope.seen:
            self._refuse_again(call, path)
        call.path = path
        scope.seen[segment] = call.place
        if scope.parent is None:
            now = time.monotonic()
            if (gap := now - state.idle_since) >= self._slow_code and state.idle_at and not scope.subtasks:
                state.header.slow_code(state.idle_at, call.place, gap)
            state.idle_since, state.idle_at = now, segment
        text = self._ledger.texts.get(path)
        if text is None:
            return self.take(call) if self.take is not None and self._looks_elsewhere(call) else MISS
        try:
            if path not in self._changes.parents:
                facts = self._known_bodies.get(id(getattr(call.body, "__code__", None)))
                if facts is None or facts.body is not call.body or call.options or call.inputs is not None:
                    opening, inputs = self._changes.expected(call)
                else:  # the usual call, at a fraction of the cost
                    opening, inputs = (
                        facts.opening,
                        fingerprint_inputs(call.args, "changed", False) if call.args else "",
                    )
                value = plain_value(text, opening, inputs, MISS)
                if value is not MISS:
                    call.turn = end_in_text(text)
                    if state.feed.watched:
                        state.saw(path, Reason.REPLAYED)
                    else:
                        state.reasons[path] = Reason.REPLAYED
                    return value
            elif FilesInUse.begun:
                self._changes.inputs(call, may_read=False)
            decision = self.decided(call)
            if isinstance(decision, Replay):
                value = self._stored.value(call, decision.record, may_read=False)
                if value is not MISS:
                    state.saw(path, Reason.REPLAYED)
                    return value
                decision = self._unless_living(call, Run(Reason.LOST_VALUE, open_again(decision.record)))
            call.decision = decision
        except (Exception, Unreadable):  # noqa: BLE001, S110  # `decision` meets the same, and its caller can wait (A9, R13)
            pass
        return MISS

    def decision(self, call: AnyCall) -> Decision:
        """The decision on a call that `replay` had no value for. Raises `Unreadable` and errors of misuse."""
        if call.scope.depth >= self._state.settings.max_depth:
            name = display_path(call.path)
            raise self._state.stopping.misused(NestingError(call.path, self._state.settings.max_depth, name))
        decision: Decision = call.decision or self.decided(call)
        call.decision = None
        return decision

    def decided(self, call: AnyCall) -> Decision:
        """The decision on a call by its record as it is now."""
        record = self._ledger.record(call.path)
        if record is not None:
            call.record = record
            if record.beside and call.turn is None:
                call.turn = (record.ended, record.beside)
        decision = decide(call, record, self)
        return decision if isinstance(decision, Replay) else self._unless_living(call, decision)

    def _unless_living(self, call: AnyCall, decision: Decision) -> Decision:
        """`decision`, unless a body of an earlier attempt or pass is still running: then its result is the one (A5)."""
        living = running_bodies.get(self._state.body_key(call.path))
        return decision if living is None else Adopt(living)

    def _refuse_again(self, call: AnyCall, path: str) -> NoReturn:
        """I4: the key was used before. A loop of the user's around the call would meet this error for ever."""
        stopping, scope = self._state.stopping, call.scope
        if not any(other.path == path for other in scope.subtasks or ()):
            if path in self._met_again:
                stopping.end_for_misuse()
            self._met_again.add(path)
        raise stopping.misused(_met_twice(call, path, scope.seen[call.segment]))

    def _refuse(self, call: AnyCall) -> NoReturn:
        stopping = self._state.stopping
        if any(scope.failed for scope in call.scope.outward()) or stopping.is_cut_short:
            call.scope.interrupted = call.scope.interrupted or stopping.is_cut_short
            raise stopping.cancellation()
        raise stopping.misused(
            ScopeClosedError(
                f"the task {display_key(call.segment)!r} is started at {show_place(call.place)} after the body "
                f"of {call.scope.path or 'the run'!r} had ended. Await every task inside the body that starts it."
            )
        )

    def has_final_error(self, path: str) -> bool:
        """Whether a task ended in an error that is replayed. A record that cannot be read ends the pass at its call."""
        record = self._ledger.glance(path)
        with suppress(Unreadable):
            return record is not None and record.status == TaskStatus.ERRORED and self.is_final(record)
        return False

    # Facts that `decide` asks for -------------------------------------------------------------------

    def on_change(self, call: AnyCall, record: TaskRecord) -> OnChange:
        """The action on changes since the result was stored; "keep" if there are none (R6)."""
        difference = self._changes.difference(call, record)
        if not difference:
            return "keep"
        if difference == "params":
            self._look_for_chance(call, record)
        return call.options.get("on_change", self._state.settings.on_change)

    def _look_for_chance(self, call: AnyCall, record: TaskRecord) -> None:
        """Hint at a run function that is not deterministic: a task has other params than in an earlier pass with the same
        code and payload, and no task before it has run since. One such task is enough."""
        since = self._state.run.stable_since
        if self._has_hinted or not since or record.started < first_ordinal(since):
            return
        if any(files_in(call.options.get("params", call.args))):  # one that was edited: `changed` says so
            return
        before = map(self._ledger.glance, self._state.reasons)
        if any(each is None or each.ended > record.started for each in before):
            return
        self._has_hinted = True
        self._state.header.hint(
            f"The code is not deterministic: task {display_path(call.path)!r}, called at {show_place(call.place)}, has other "
            "params than in an earlier pass, with the same code and the same payload. Its stored result is used. Move what "
            "differs each time (the time, a random number, the order of a set, a global) into a task of its own, and pass on "
            "its result."
        )

    def is_final(self, record: TaskRecord) -> bool:
        """Whether an error is replayed (R5)."""
        return self._state.finality.is_final(record)

    def was_lost_with_the_run(self, record: TaskRecord) -> bool:
        """Whether the task was cancelled in an earlier pass as the run failed (R5): by the group of a task that failed, or
        by a time limit of the user's that nothing caught. Were that final, the run could never get any further."""
        run = self._state.run
        if record.path in run.uncanceled:
            return True
        was_lost = (
            run.last_ending == RunStatus.FAILED
            and record.ended < self._ledger.first_ordinal
            and not self._state.finality.is_final(record)
        )
        if was_lost and record.status == TaskStatus.COMPLETED:
            run.uncanceled = [*run.uncanceled, record.path]
        return was_lost

    def made_progress(self, record: TaskRecord) -> bool:
        """Whether a subtask started or ended after the body did, so that the body itself did not kill the process."""
        if self._latest_within is None:  # once a pass: many bodies may have run when the process died
            latest = self._latest_within = {}
            for path in list(self._ledger.texts):
                if "/" in path and (each := self._ledger.glance(path)) is not None:
                    ordinal = max(each.began, each.ended)
                    for around in ancestors(path):
                        latest[around] = max(latest.get(around, 0), ordinal)
        return self._latest_within.get(record.path, 0) > record.began


def _met_twice(call: AnyCall, path: str, first: Place) -> UsageError:
    name = display_path(path)
    if call.path:
        return UsageError(
            f"the task {name!r}, called at {show_place(call.place)}, is awaited twice; a call is awaited once. Keep "
            f"what that gives: result = await io.run_task({display_key(call.segment)!r}, ...)"
        )
    return DuplicateKeyError(path, show_place(first), show_place(call.place), name)
