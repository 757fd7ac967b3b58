"""What runs wait for: when their waits are over, how many questions are open, and whether a kernel drives them."""

from __future__ import annotations

from collections.abc import Iterator

from .._events.post import due_row
from .._records.questions import KIND
from .._records.reading import readable_task
from .._records.records import RunRecord, TaskRecord, is_queued, status_in_text
from .._records.status import RunStatus, TaskStatus
from .._store import lease as leases
from .runtime import Runtime

_UNDER_WAY = frozenset({RunStatus.RUNNING, RunStatus.WAITING, RunStatus.INTERRUPTED})
_WAITS = f'"status":"{TaskStatus.WAITING}"'


def waiting_tasks(runtime: Runtime, run_id: str) -> Iterator[TaskRecord]:
    """The tasks of a run that wait for a time or for an answer."""
    active = runtime.executions.get(run_id)
    if active is not None and active.pass_ is not None:
        found = list(active.pass_.ledger.texts.items())
    else:
        prefix = len(run_id) + 1
        found = [(key[prefix:], text) for key, text in runtime.store.search(run_id, _WAITS)]
    for path, text in found:
        if status_in_text(text) == TaskStatus.WAITING:
            record = readable_task(path, text)
            if not (record.is_damaged or record.forced):
                yield record


def may_wait(runtime: Runtime, run: RunRecord) -> bool:
    """Whether tasks of the run may wait, by its status."""
    return runtime.status_of(run) in _UNDER_WAY and run.reason != "paused" and not is_queued(run)


def wake_at(runtime: Runtime, run: RunRecord) -> float | None:
    """When the first wait of a run is over; None if it waits for no time."""
    return with_waits(runtime, run).wake_at


def has_come(runtime: Runtime, run_id: str) -> bool:
    """Whether something has come that a run waits for, an event, a request or an answer, and was not taken yet."""
    return runtime.store.get(due_row(run_id, 0.0).key) is not None


def with_standing(runtime: Runtime, run: RunRecord) -> RunRecord:
    """The record of a run with whether no kernel drives it, and then with a time if what it waits for has come."""
    if not may_wait(runtime, run):
        return run
    is_left = not is_driven(runtime, run)
    due = runtime.clock.time() if is_left and has_come(runtime, run.id) else None
    return run.copy(is_left=is_left, wake_at=due)


def is_driven(runtime: Runtime, run: RunRecord) -> bool:
    """Whether a kernel drives the run, this one or another."""
    if run.id in runtime.executions:
        return True
    return run.holder is not None and leases.is_held(runtime.store.directory, run.id, run.holder)


def with_waits(runtime: Runtime, run: RunRecord) -> RunRecord:
    """The record of a run with what it waits for, for a list of runs."""
    if not may_wait(runtime, run):
        return run
    run = with_standing(runtime, run)
    waiting = list(waiting_tasks(runtime, run.id))
    times = [record.next_at for record in waiting if record.next_at is not None]
    if run.wake_at is not None:
        times.append(run.wake_at)
    asked = sum(record.kind == KIND for record in waiting)
    return run.copy(wake_at=min(times, default=None), asks=asked)
