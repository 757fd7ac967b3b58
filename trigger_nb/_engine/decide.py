"""The decision on a call, made from its record and from facts about the pass. Nothing is done here.

The decision stands apart from carrying it out, so that a pass and a plan of one (`job.plan`) decide alike: a pass acts on
decisions, a plan prints them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from .._records.records import FAN_OUT, TaskRecord
from .._records.status import Reason, TaskStatus

if TYPE_CHECKING:
    from .._tasks.call import Call
    from .._tasks.options import OnChange
    from .._tasks.running import RunningBody


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
class Wait:
    """Wait. Then call the body, or, if the task is a wait itself, record that it has ended."""

    until: float | None  # None: the wait begins now
    reason: Reason
    earlier: TaskRecord | None
    then: Run | None


@dataclass(frozen=True, slots=True)
class Adopt:
    """Take the result of a body that an earlier attempt or pass left running (A5)."""

    running: RunningBody


@dataclass(frozen=True, slots=True)
class ExpectCancel:
    """Give the user's code time to cancel the call as it did before (A8)."""

    seconds: float
    then: Replay | Raise | Run | Wait | Walk


@dataclass(frozen=True, slots=True)
class Walk:
    """Walk the items of a map or of `io.parallel`, which replay one by one (C2)."""

    earlier: TaskRecord | None
    is_done: bool  # all items had ended in an earlier pass
    reason: Reason


Decision: TypeAlias = Replay | Raise | Run | Wait | Adopt | ExpectCancel | Walk
NEW = Run(Reason.NEW)
SLACK = 0.05  # seconds that a call waits longer for its cancellation than it did before


class Facts(Protocol):
    """Facts about a pass that some decisions need. Each is asked for only then: some read all records of the run."""

    def on_change(self, call: Call[object], record: TaskRecord) -> OnChange:
        """The action on changes of a completed task since its result was stored; "keep" if there are none."""
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


def decide(call: Call[object], record: TaskRecord | None, facts: Facts) -> Decision:
    """The decision on a call with this record, if no body of it is running."""
    if call.kind in FAN_OUT:
        decision = _of_fan_out(record)
    elif call.kind == "wait":
        decision = _of_wait(record)
    elif record is None:
        return NEW
    else:
        decision = _of_task(call, record, facts)
    if record is None or record.canceled is None or facts.was_lost_with_the_run(record):
        return decision
    return ExpectCancel(record.canceled * 1.2 + SLACK, decision)


def _of_task(call: Call[object], record: TaskRecord, facts: Facts) -> Replay | Raise | Run | Wait:
    match record.status:
        case TaskStatus.COMPLETED:
            if record.error is not None and facts.is_final(record):
                return Raise(record)
            on_change = facts.on_change(call, record)
            return Replay(record) if on_change == "keep" else Run(Reason.CHANGED, record, forget=on_change)
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


def _of_fan_out(record: TaskRecord | None) -> Walk:
    if record is None:
        return Walk(None, is_done=False, reason=Reason.NEW)
    is_done = record.status == TaskStatus.COMPLETED
    return Walk(record, is_done, Reason.REPLAYED if is_done else Reason.RETRIED)
