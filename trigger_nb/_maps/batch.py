"""Items of a map that share one call of the body."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, cast

import anyio

from .._callsite import show_place
from .._concurrency.places import TaskLimits
from .._keys import display_path
from .._tasks.scope import Scope, current_scope
from ..errors import UsageError

if TYPE_CHECKING:
    from .._concurrency.threads import Start
    from .._tasks.call import Call
    from .._tasks.running import RunningBody

Outcome = Callable[[], Any]


class Finish(Protocol):
    """What is called with how a member's part ended: in two steps, so that several share a commit."""

    def enter(self, outcome: Outcome) -> None:
        """Have its result written."""
        ...

    def settle(self) -> None:
        """Wait until it is."""
        ...


class Batch:
    """Some items whose tasks each keep their own result, and come by it in one call of the body.

    The body is called when all of them want it called: at first all of them, and after it has failed
    those that try again, once the last of them does. So they stay together, though their delays differ.
    """

    def __init__(self, calls: Sequence[Call[Any]], node: Scope, spawn: Callable[..., Any]) -> None:
        self._node = node
        self._spawn = spawn  # of the node's task group
        self._body: Callable[..., Any] = calls[0].body
        self._limits = TaskLimits(node.owner.limiters_of(calls[0]))
        # Invariant: the body is called as soon as all that are left are here, and not before.
        self._left = set(calls)
        self._here: dict[Call[Any], _Member] = {}

    def start(self, call: Call[Any], running: RunningBody) -> Start:
        """How one of them takes part where the body is a `def`."""

        def start(begin: Callable[[], bool], finish: Callable[[Outcome], None]) -> Callable[[], None]:
            member = _Member(call, begin, cast("Finish", finish))  # the engine's are of that kind
            self._arrive(member)
            return member.leave

        return start

    async def join(self, call: Call[Any], running: RunningBody) -> Any:
        """And where it is `async def`: its own part of what the body returns."""
        limit, joined = running.scope.limit, _Joined()

        def begin() -> bool:
            if limit is not None:
                limit.release()
            return True

        if limit is not None:
            limit.hold()  # its time begins with the body
        member = _Member(call, begin, joined)
        self._arrive(member)
        try:
            return await joined.outcome()
        finally:
            member.leave()

    def end(self, call: Call[Any]) -> None:
        """One of them has come to its end, whichever: the others wait for it no more."""
        self._left.discard(call)
        self._here.pop(call, None)
        self._call_when_complete()

    # Together ---------------------------------------------------------------------------------

    def _arrive(self, member: _Member) -> None:
        self._here[member.call] = member
        self._call_when_complete()

    def _call_when_complete(self) -> None:
        if self._here and len(self._here) == len(self._left):
            members, self._here = list(self._here.values()), {}
            self._spawn(self._call_body, members)

    async def _call_body(self, members: list[_Member]) -> None:
        """One call for those of them who are still there when their turn has come."""
        try:
            if not self._limits.acquire_nowait():
                await self._limits.acquire()
            members = [each for each in members if not each.gone and each.begin()]
            if members:
                await self._call_for(members)
            else:
                self._limits.release()
        except BaseException:  # cut short: what is shared with others is given back
            self._limits.release()
            raise

    async def _call_for(self, members: list[_Member]) -> None:
        items = [each.call.args[0] for each in members]
        try:
            start = self._node.owner.start_of_batch(members[0].call, items, self._node)
        except UsageError as error:  # it cannot run where it is to
            self._hand_out(members, partial(_raise, error))
            return
        if start is None:
            await self._await_body(members, items)
        else:
            _leave_together(members, start(lambda: True, partial(self._hand_out, members)))

    async def _await_body(self, members: list[_Member], items: list[Any]) -> None:
        with anyio.CancelScope() as scope:
            _leave_together(members, scope.cancel)
            token = current_scope.set(self._node)
            try:
                values = await self._body(items)
            except Exception as error:  # noqa: BLE001  # each of them raises it
                self._hand_out(members, partial(_raise, error))
                return
            finally:
                current_scope.reset(token)
            self._hand_out(members, lambda: values)
            return
        self._limits.release()  # nobody has waited for it to the end

    def _hand_out(self, members: list[_Member], outcome: Outcome) -> None:
        """Give each its part; from any thread."""
        parts: list[Outcome]
        try:
            values = self._checked(outcome(), len(members), members[0].call)
            parts = [partial(_raise_or_return, value) for value in values]
        except BaseException as error:  # noqa: BLE001  # each of them raises it
            parts = [partial(_raise, error)] * len(members)
        self._limits.release()
        for member, part in zip(members, parts, strict=True):
            member.finish.enter(part)
        for member in members:  # all of them share one commit
            member.finish.settle()

    def _checked(self, values: object, count: int, first: Call[Any]) -> list[Any]:
        if not isinstance(values, (list, tuple)):
            found = f"{type(values).__name__}"
        elif len(cast("list[Any]", values)) != count:
            found = f"{len(cast('list[Any]', values))} of them"
        else:
            return list(cast("list[Any]", values))
        raise UsageError(
            f"the body of map {display_path(self._node.path)!r} at {show_place(first.place)} got {count} items in one "
            f"call (batch=) and returned {found}: it returns a list with one result an item, in their order. An "
            "exception in it is the error of that item"
        )


class _Joined:
    """A part that is waited for on the loop, where its task records it."""

    def __init__(self) -> None:
        self._over = anyio.Event()
        self._outcome: Outcome

    def enter(self, outcome: Outcome) -> None:
        self._outcome = outcome

    def settle(self) -> None:
        self._over.set()

    async def outcome(self) -> Any:
        """What its part is, or why there is none."""
        await self._over.wait()
        return self._outcome()


class _Member:
    """One of them that waits for the body to be called, or to end."""

    def __init__(self, call: Call[Any], begin: Callable[[], bool], finish: Finish) -> None:
        self.call = call
        self.begin = begin
        self.finish = finish
        self.gone = False  # its caller waits no more
        self.on_leave: Callable[[], object] = lambda: None

    def leave(self) -> None:
        """Its caller waits no more."""
        self.gone = True
        self.on_leave()


def _leave_together(members: list[_Member], cancel: Callable[[], object] | None) -> None:
    """Call the body off as soon as nobody waits for it any more."""

    def left() -> None:
        if cancel is not None and all(each.gone for each in members):
            cancel()

    for each in members:
        each.on_leave = left
    left()


def _raise(error: BaseException) -> Any:
    raise error


def _raise_or_return(value: Any) -> Any:
    if isinstance(value, Exception):
        raise value
    return value
