"""Items of a map that share one call of the body."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol, cast

import anyio

from .._callsite import show_place
from .._concurrency.interrupt import calls_user_code
from .._concurrency.limits import TaskLimits
from .._concurrency.threads import failed
from .._keys import display_path, is_sequence
from .._tasks.call import Scope, current_scope
from .._tasks.exits import cancellations, is_stop, unless_stopped
from ..errors import UsageError
from .items import Body

if TYPE_CHECKING:
    from .._concurrency.threads import Begin, Finish, Outcome, Start
    from .._tasks.call import Call


class StepwiseFinish(Protocol):
    """Records the outcome of a member, in two steps so that several members share a commit."""

    def enter(self, outcome: Outcome) -> None:
        """Queue the result for the next commit."""
        ...

    def settle(self) -> None:
        """Wait for the commit."""
        ...


class Batch:
    """Items that share one call of the body, while each of their tasks records its own result.

    The body is called once all members ask for it. After a failure, the members that retry stay together
    although their delays differ: the body is called again once the last of them asks.
    """

    def __init__(self, calls: Sequence[Call[object]], node: Scope, spawn: Callable[..., object]) -> None:
        self._node = node
        self._spawn = spawn  # starts a task in the node's task group
        self._body: Body = calls[0].body
        self._limits = TaskLimits(node.owner.limiters_of(calls[0]))
        # Invariant: the body is called as soon as all members in `_left` are in `_here`, and not before.
        self._left = set(calls)
        self._here: dict[Call[object], _Member] = {}

    def start(self, call: Call[object]) -> Start:
        """The way to run a `def` body for one of the items."""

        def start(begin: Begin, finish: Finish) -> Callable[[], None]:
            member = _Member(call, begin, cast("StepwiseFinish", finish))  # the engine passes one
            self._arrive(member)
            return member.leave

        return start

    async def join(self, call: Call[object], begin: Begin) -> object:
        """Await an `async def` body; the result of one of the items. `begin` is called as for a `def` body."""
        joined = _Joined()
        member = _Member(call, begin, joined)
        self._arrive(member)
        try:
            return await joined.outcome()
        finally:
            member.leave()

    def end(self, call: Call[object]) -> None:
        """Remove an item that has ended, for whatever reason: the others no longer wait for it."""
        self._left.discard(call)
        self._here.pop(call, None)
        self._call_when_complete()

    # The call of the body ---------------------------------------------------------------------------------

    def _arrive(self, member: _Member) -> None:
        self._here[member.call] = member
        self._call_when_complete()

    def _call_when_complete(self) -> None:
        if self._here and len(self._here) == len(self._left):
            members, self._here = list(self._here.values()), {}
            self._spawn(self._call_body, members)

    async def _call_body(self, members: list[_Member]) -> None:
        """Call the body once for the members that still wait when the limits allow it."""
        try:
            if not self._limits.acquire_nowait():
                await self._limits.acquire()
            members = [each for each in members if not each.abandoned and each.begin()]
            if members:
                await self._call_for(members)
            else:
                self._limits.release()
        except BaseException:  # cancelled: others share the limits
            self._limits.release()
            raise

    async def _call_for(self, members: list[_Member]) -> None:
        items = [each.call.args[0] for each in members]
        try:
            start = self._node.owner.start_of_batch(members[0].call, items, self._node)
        except UsageError as error:  # the body cannot run in its executor
            self._hand_out(members, failed(error))
            return
        if start is None:
            await self._await_body(members, items)
        else:
            _leave_together(members, start(lambda: True, partial(self._hand_out, members)))

    @calls_user_code
    async def _await_body(self, members: list[_Member], items: list[object]) -> None:
        asked = cancellations()
        with anyio.CancelScope() as scope:
            _leave_together(members, scope.cancel)
            token = current_scope.set(self._node)
            try:
                values = await self._body(items)
            except BaseException as error:
                if is_stop(error, asked) and not isinstance(error, KeyboardInterrupt):
                    raise
                self._hand_out(members, failed(error))
                return
            finally:
                current_scope.reset(token)
            self._hand_out(members, lambda: values)
            return
        self._limits.release()  # cancelled, because all members have left

    def _hand_out(self, members: list[_Member], outcome: Outcome) -> None:
        """Give each member its part of the outcome. May be called from any thread."""
        parts: list[Outcome]
        try:
            values = self._checked(outcome(), len(members), members[0].call)
            parts = [partial(_raise_or_return, value) for value in values]
        except BaseException as error:  # noqa: BLE001  # raised in each member
            error = unless_stopped(error, f"the body of map {display_path(self._node.path)!r}")
            parts = [failed(error)] * len(members)
        self._limits.release()
        for member, part in zip(members, parts, strict=True):
            member.finish.enter(part)
        for member in members:  # the first call commits the results of all
            member.finish.settle()

    def _checked(self, values: object, count: int, first: Call[object]) -> Sequence[object]:
        if not is_sequence(values):
            found = type(values).__name__
        elif len(values) != count:
            found = f"{len(values)} of them"
        else:
            return values
        raise UsageError(
            f"the body of map {display_path(self._node.path)!r} at {show_place(first.place)} got {count} items in one "
            f"call (batch=) and returned {found}. It must return a list with one result for each item, in their "
            "order; an exception in the list is the error of that item"
        )


class _Joined:
    """The outcome of a member whose task waits on the event loop, and records it there."""

    def __init__(self) -> None:
        self._done = anyio.Event()
        self._outcome: Outcome

    def enter(self, outcome: Outcome) -> None:
        self._outcome = outcome

    def settle(self) -> None:
        self._done.set()

    async def outcome(self) -> object:
        """The result of the member; raises its error."""
        await self._done.wait()
        return self._outcome()


class _Member:
    """An item that waits for the call of the body to start or end."""

    def __init__(self, call: Call[object], begin: Begin, finish: StepwiseFinish) -> None:
        self.call = call
        self.begin = begin
        self.finish = finish
        self.abandoned = False  # the caller has left
        self.on_leave: Callable[[], object] = lambda: None

    def leave(self) -> None:
        """Note that the caller has left."""
        self.abandoned = True
        self.on_leave()


def _leave_together(members: list[_Member], cancel: Callable[[], object] | None) -> None:
    """Cancel the body as soon as all members have left."""

    def left() -> None:
        if cancel is not None and all(each.abandoned for each in members):
            cancel()

    for each in members:
        each.on_leave = left
    left()


def _raise_or_return(value: object) -> object:
    if isinstance(value, Exception):
        raise value
    return value
