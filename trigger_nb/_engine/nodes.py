"""The nodes of maps and of `io.parallel`: their children are their result (C2)."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .._records.feed import Saved
from .._records.status import Reason, TaskStatus
from .._tasks.call import Scope, current_scope
from ..errors import UsageError

if TYPE_CHECKING:
    from .._tasks.call import AnyCall, FanOut
    from .attempts import Attempts
    from .decide import Walk
    from .new_record import NewRecords
    from .state import PassState


@contextmanager
def scope_of_items(call: AnyCall) -> Generator[Scope]:
    """The scope of a node's items, in which the code of the `with` block runs."""
    scope = Scope(call.scope.owner, call.path, call.scope)
    token = current_scope.set(scope)
    try:
        yield scope
    finally:
        current_scope.reset(token)
        scope.closed = True


async def walk_items(
    state: PassState, records: NewRecords, attempts: Attempts, call: AnyCall, decision: Walk
) -> Any:
    """Walk the items of a node. The node is walked in every pass; its items are replayed one by one."""
    earlier = decision.earlier
    record = records.new(call, earlier)
    if decision.is_done:
        call.record = earlier  # as long as all items are replayed
        record.generation += 1  # else the record of the earlier end would win over the new one
    state.saw(call.path, decision.reason)
    begun = False

    def begin() -> None:
        nonlocal begun
        if begun:
            return
        begun, call.record = True, record
        if decision.is_done:
            state.saw(call.path, Reason.NEW)  # it has new items
        if state.feed.watched:
            state.feed.emit(Saved(record, live=True))

    if not decision.is_done:
        begin()
    walk: FanOut = call.body
    with scope_of_items(call) as scope:
        try:
            value = await walk(scope, begin)
        except BaseException as error:
            scope.fail()
            record.tally = walk.tally  # a map may have stopped after its first items
            if isinstance(error, Exception) and not isinstance(error, UsageError):
                await attempts.give_up(call, record.copy(tally=walk.tally), error, scope)
            raise
    if begun or earlier is None or walk.tally != earlier.tally:
        await state.commit_end(call, record.copy(status=TaskStatus.COMPLETED, tally=walk.tally))
    return value
