"""`io.imap`: the results of a map, one by one as they complete."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .._keys import display_key

if TYPE_CHECKING:
    from .._tasks.call import Call
    from .map import Walk

T = TypeVar("T")


class Channel:
    """A bounded queue of results, from the map to the loop that iterates over them."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._ready: deque[Any] = deque()  # pairs of item and result
        self._closed = False
        self._changed = asyncio.Event()

    async def give(self, item: object, value: object) -> None:
        """Add a result, and wait until there is room for the next one."""
        if not self._closed:
            self._ready.append((item, value))
            self.wake()
        while len(self._ready) >= self._room and not self._closed:
            await self._change()

    async def take(self, walk: asyncio.Task[object]) -> Any:
        """The next pair of item and result; None when the map has ended."""
        while not self._ready:
            if walk.done():
                return None
            await self._change()
        taken = self._ready.popleft()
        self.wake()
        return taken

    def close(self) -> None:
        """Drop all results: no more are taken."""
        self._closed = True
        self._ready.clear()
        self.wake()

    def wake(self, _done: object = None) -> None:
        """Wake the tasks that wait for a change."""
        self._changed.set()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()


class MapIterator(AsyncIterator[T], Generic[T]):
    """The pairs of item and result of a map, in the order in which they complete.

    Leaving the loop early ends the map: items that run are completed and recorded, and no other item starts.

    ```
    async for text, length in io.imap("length", ["one", "three"], len):
        print(text, length)
    ```
    """

    def __init__(self, call: Call[Any], walk: Walk, channel: Channel) -> None:
        self._call = call
        self._walk = walk
        self._channel = channel  # shared with the map, which does not refer to the iterator, so that that can be collected
        self._driver: asyncio.Task[object] | None = None
        call.awaited = True

    def __aiter__(self) -> MapIterator[T]:
        return self

    async def __anext__(self) -> T:
        if self._driver is None:
            self._driver = asyncio.get_running_loop().create_task(_await(self._call))
            self._driver.add_done_callback(self._channel.wake)
            self._driver.add_done_callback(_look_at)
        pair = await self._channel.take(self._driver)
        if pair is not None:
            return pair
        self._driver.result()  # raises the error of the map
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """End the map, and wait for the items that run."""
        self.leave()
        if self._driver is not None:
            await asyncio.wait([self._driver])

    def leave(self) -> None:
        """End the map, without waiting."""
        if not self._walk.stopped:
            self._walk.stop()
            self._channel.close()

    def __del__(self) -> None:
        self.leave()

    def __repr__(self) -> str:
        key = display_key(self._call.segment)
        return f"<the results of map {key!r}: async for item, result in io.imap({key!r}, ...)>"


async def _await(call: Call[T]) -> T:
    return await call


def _look_at(driver: asyncio.Task[object]) -> None:
    """Retrieve the error so that asyncio does not warn: the outcome of an abandoned map is recorded."""
    if not driver.cancelled():
        driver.exception()
