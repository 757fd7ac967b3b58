"""Waiting for what comes from outside: before its body begins, a task waits until that is there, or its time is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._keys import idempotency_key
from .._records.status import TaskStatus
from .._tasks.outside import Polling
from ..errors import StoreError

if TYPE_CHECKING:
    from .._records.records import TaskRecord
    from .._tasks.call import AnyCall
    from .._tasks.outside import Outside
    from .state import PassState
    from .waits import Waits


_AT_ONCE = 0.01  # seconds by which a sleep may end early


async def await_outside(
    state: PassState, waits: Waits, call: AnyCall, record: TaskRecord, earlier: TaskRecord | None
) -> None:
    """Wait until one deadline, which is stored once (W1). A skipped wait ends as if its time were over."""
    outside, clock = call.outside, state.clock
    assert outside is not None
    if isinstance(outside, Polling):
        await _poll(state, waits, call, record, earlier, outside)
        return
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


async def _poll(
    state: PassState,
    waits: Waits,
    call: AnyCall,
    record: TaskRecord,
    earlier: TaskRecord | None,
    polling: Polling,
) -> None:
    """Look, and wait until the next look, which is stored (W1). The time of all counts from the first look in any kernel.

    What came while no kernel lived counts: when the time is over, there is one more look. A skipped wait is a look now.
    """
    clock = state.clock
    due = now = clock.time()
    if earlier is not None and earlier.status == TaskStatus.WAITING and earlier.error is None:
        record.started_at = min(earlier.started_at, now)
        record.output_properties = polling.shown[:] = earlier.output_properties
        due = waits.unprolonged(earlier, earlier.next_at or now)
    until = record.started_at + polling.timeout
    while True:
        call.record = waiting = record.copy(status=TaskStatus.WAITING, next_at=due)
        if await state.ledger.save(waiting):
            return  # it has a result, given by hand
        skipped = await waits.pause(call.path, due, "poll")
        record.skipped = round(record.skipped + skipped, 3)
        if state.stopping.why is not None or call.scope.closed:
            raise state.stopping.cancellation()
        if state.stopping.closing is not None:
            await waits.park(call)
        seconds = await polling.look(clock.time())
        record.output_properties = [*polling.shown]
        now = clock.time()
        if seconds is None or now > until - _AT_ONCE:
            return
        due = min(until, now + seconds)


def _has_news(outside: Outside, now: float, look: float) -> bool:
    """Whether it has come, or may come earlier than the next look."""
    try:
        return outside.is_there() or (outside.next_look(now) or look) < look
    except StoreError:  # the next look meets it again, where it can be told
        return True
