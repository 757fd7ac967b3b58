"""The end of a scope: what its function returned, and the subtasks that are still in flight (A6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

import anyio

from .._callsite import show_place
from .._keys import display_key, display_path
from .._records.records import FAN_OUT
from .._tasks.call import DONE, AnyCall, Call
from .._tasks.running import running_bodies
from ..errors import UsageError

if TYPE_CHECKING:
    from .._tasks.call import PassApi, Scope
    from .header import Header
    from .state import PassState

T = TypeVar("T")


def returned(owner: PassApi, value: T, whose: str) -> T:
    """The value of a coroutine function. If it is a task that was not awaited, that task would never run."""
    if value is DONE:
        return cast("T", None)
    if isinstance(value, Call):
        call = cast("AnyCall", value)
        call.awaited = True  # said here, and not once more by a warning
        raise owner.stopping.misused(
            UsageError(
                f"{whose} returned a task that has not run: write `return await` at {show_place(call.place)}, "
                f"return await io.run_task({display_key(call.segment)!r}, ...)"
            )
        )
    return value


async def subtasks_end(header: Header, scope: Scope) -> None:
    """Wait until all subtasks of a body that has returned have ended, and warn of them."""
    while scope.subtasks:
        for call in list(scope.subtasks):
            _warn_left_behind(header, call, scope)
        if scope.emptied is None:
            scope.emptied = anyio.Event()
        await scope.emptied.wait()
        scope.emptied = None


def bodies_in(state: PassState, scope: Scope) -> int:
    """The number of subtasks whose bodies run. One whose result is committed, and is still to be given out, does not."""
    paths = [call.path for call in scope.subtasks or () if call.is_running]
    living = [running_bodies.get(state.body_key(path)) for path in paths]
    return sum(each is None or each.record is None for each in living)


def save_deferred(state: PassState, scope: Scope) -> None:
    """The last body in the scope of a failed one has ended: now the failed end is committed, too (A6)."""
    if scope.deferred is not None and not bodies_in(state, scope):
        ended, scope.deferred = scope.deferred, None
        state.header.finished(ended.path)
        state.ledger.save_now(ended.copy(ended=next(state.ledger.ordinals)))


def _warn_left_behind(header: Header, call: AnyCall, scope: Scope) -> None:
    if call.kind in FAN_OUT and call.body.stopped:
        return  # a loop over it was left on purpose
    text = (
        f"the body of {display_path(scope.path) or 'the run'!r} returned while task "
        f"{display_path(call.path)!r} (started at "
        f"{show_place(call.place)}) was running; its end is awaited. Await every task inside the body that starts it."
    )
    if text not in header.hints:
        header.warn(text, call.place)
