"""Waiting for what comes from outside: before its body begins, a task waits until that is there, or its time is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._keys import idempotency_key
from .._records.status import TaskStatus
from ..errors import StoreError

if TYPE_CHECKING:
    from .._records.records import TaskRecord
    from .._tasks.call import AnyCall
    from .._tasks.outside import Outside
    from .state import PassState
    from .waits import Waits


async def await_outside(
    state: PassState, waits: Waits, call: AnyCall, record: TaskRecord, earlier: TaskRecord | None
) -> None:
    """Wait until one deadline, which is stored once (W1). A skipped wait ends as if its time were over."""
    outside, clock = call.outside, state.clock
    assert outside is not None
    until = clock.time() + outside.timeout
    if earlier is not None and earlier.status == TaskStatus.WAITING and earlier.error is None:
        until = waits.unprolonged(earlier, earlier.next_at or until)
    told = False
    look = until

    def wake() -> None:
        nonlocal told
        if _has_news(outside, clock.time(), look):
            told = True
            state.still.wake(call.path)

    end = outside.watch(wake)
    try:
        outside.begin(idempotency_key(state.run.id, call.path, record.generation))
        is_stored = False
        while not outside.take() and (now := clock.time()) < until:
            if not is_stored:
                call.record = waiting = record.copy(status=TaskStatus.WAITING, next_at=until)
                await state.ledger.save(waiting)
                is_stored = True
                continue  # it may have come meanwhile
            told, look = False, min(until, outside.next_look(now) or until)
            await waits.pause(call.path, look, "wait")
            if not told and clock.time() < look:
                return  # skipped
    except StoreError as error:
        await state.stopping.fail(error)
    finally:
        end()


def _has_news(outside: Outside, now: float, look: float) -> bool:
    """Whether it has come, or may come earlier than the next look."""
    try:
        return outside.is_there() or (outside.next_look(now) or look) < look
    except StoreError:  # the next look meets it again, where it can be told
        return True
