"""`io.parallel`: all items at once, each with its index as the key."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import anyio

from .._keys import normal_key
from .._tasks.call import MISS, Call
from .._tasks.signature import signature_of
from .items import Body

if TYPE_CHECKING:
    from .._callsite import Place
    from .._tasks.call import Scope
    from .._tasks.options import Options


class Parallel:
    """The body of the node of an `io.parallel`: runs all items at once, each with its index as the key."""

    stopped = False

    def __init__(self, items: list[object], body: Body, options: Options, place: Place) -> None:
        self.tally: dict[str, int] = {}
        self._items = items
        self._body = body
        self._options: Options = options
        self._place = place

    async def __call__(self, scope: Scope, begun: Callable[[], None]) -> list[object]:
        """The results, in the order of the items. Raises the first error once all items have ended."""
        results: list[object] = [None] * len(self._items)
        errors: dict[int, Exception] = {}
        ended = 0

        async def settle(index: int) -> None:
            nonlocal ended
            args = (self._items[index], index)[: _arity(self._body)]
            call: Call[object] = Call(
                scope, normal_key(str(index)), self._body, args, self._options, self._place
            )
            call.awaited = True
            try:
                value = scope.owner.replay(call)
                if value is MISS:
                    begun()
                    value = await scope.owner.perform(call)
                results[index] = value
            except Exception as error:  # noqa: BLE001  # raised below
                errors[index] = error
            ended += 1

        async with anyio.create_task_group() as group:
            for index in range(len(self._items)):
                group.start_soon(settle, index)
        if ended < len(self._items):
            raise scope.owner.stopping.cancellation()  # the pass was stopped, and items with it
        if errors:
            raise errors[min(errors)]
        return results


def _arity(body: Body) -> int:
    """The number of arguments of (item, index) that the body takes."""
    signature = signature_of(body)
    own = [name for name in signature.required if name not in ("task", "io")]
    return 1 if len(own) == 1 else 2
