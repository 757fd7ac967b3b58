"""`io` for `def` jobs and bodies: the same methods, as calls that block their worker thread."""

from __future__ import annotations

import asyncio
import inspect
import sys
import threading
from collections.abc import AsyncIterable, Callable, Iterable, Iterator, Mapping, Sized
from typing import TYPE_CHECKING, Any, NoReturn

from .._concurrency.threads import Home
from .._maps.imap import MapIterator
from .._tasks.call import DONE, MISS, Call
from ..errors import RunInterrupted, UsageError
from .io import Io
from .key_values import KeyValues, Stores
from .logger import Logger
from .status import Status, StatusState

if TYPE_CHECKING:
    from types import FrameType

    from .._engine.pass_ import Pass
    from .._maps.items import Items
    from .._maps.map import Walk


class BlockingIo:
    """What `io` is in a `def` job or body: call its methods without `await`.

    ```
    def greet(payload, io):
        name = io.run_task("fetch-name", fetch_name, payload["id"])
        io.wait("pause", minutes=5)
        return name
    ```
    """

    def __init__(self, io: Io) -> None:
        self._io = io

    @property
    def logger(self) -> Logger:
        """Lines in the tree, as for `async def` jobs."""
        return self._io.logger

    @property
    def store(self) -> BlockingStores:
        """Small values that outlive tasks."""
        return BlockingStores(self._io.store, self._finish)

    def create_status(
        self, key: Any, label: str, state: StatusState | None = None, data: Mapping[str, Any] | None = None
    ) -> BlockingStatus:
        """A named status, shown in the run's header from now on."""
        call = self._io.create_status(key, label, state, data)
        self._finish(call)
        return BlockingStatus(call.outcome(call.path), self._finish)

    def map(self, key: Any, items: Items[Any], body: Callable[..., Any], **options: Any) -> list[Any]:
        """As `io.map`; the list of results."""
        return wait_for(self._map(sys._getframe(1), key, items, body, options)[0], self._pass)

    def imap(self, key: Any, items: Items[Any], body: Callable[..., Any], **options: Any) -> Iterator[Any]:
        """As `io.imap`: iterate over it with a plain `for`."""
        channel = self._io._channel(options)
        call, walk = self._map(sys._getframe(1), key, items, body, options, channel.give)
        pairs = MapIterator[Any](call, walk, channel)
        return _each(pairs, self._pass.home)

    def _map(self, frame: FrameType, key: Any, items: Items[Any], *more: Any) -> tuple[Call[list[Any]], Walk]:
        # Iterated here: the code of a `def` job that makes the items may block, and belongs to this thread.
        if not isinstance(items, (Sized, AsyncIterable)) and isinstance(items, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]  # a user's value
            items = list(items)
        return self._io._map(frame, key, items, *more)

    def try_(self, body: Callable[[], Any], on_error: Callable[[Exception], Any]) -> Any:
        """`body()`, or what `on_error(error)` gives when it raises."""
        try:
            return body()
        except Exception as error:  # noqa: BLE001  # that is what it is for
            answer = on_error(error)
            return None if answer is DONE else answer

    def use(self, integration: Any) -> Any:
        """The integration, bound to this run; its methods block."""
        return integration.bind(self)

    def _service_task(self, frame: FrameType, *args: Any, **options: Any) -> Any:
        """As that of `Io`; the result."""
        call = self._io._service_task(frame, *args, **options)
        return wait_for(call, self._pass)

    def _excuse(self, seconds: float) -> None:
        self._pass.header.excuse(seconds)

    def __getattr__(self, name: str) -> Any:
        if name not in _METHODS:
            return self._io._integration(name, self)
        found = getattr(self._io, name)

        def call(*args: Any, **options: Any) -> Any:
            return self._finish(found(*args, **options))

        return call

    def _finish(self, call: Call[Any]) -> Any:
        # The call's place is where the user called us, not where we have called `Io`.
        frame = sys._getframe(2)
        call.place = (frame.f_code, frame.f_lasti)
        return wait_for(call, self._pass)

    @property
    def _pass(self) -> Pass:
        return self._io._pass

    def __reduce__(self) -> NoReturn:
        raise TypeError("`io` cannot be pickled: it belongs to this kernel")


_METHODS = frozenset(
    name
    for name, value in vars(Io).items()
    if not name.startswith("_") and inspect.isfunction(value) and name not in {"try_", "use"}
)


def _each(pairs: MapIterator[Any], home: Home) -> Iterator[Any]:
    """The pairs, waited for in the thread that asks for them."""
    try:
        while True:
            yield home.run(pairs.__anext__)
    except StopAsyncIteration:
        return
    finally:
        home.soon(pairs.leave)


class BlockingStores:
    """The three key-value stores, blocking."""

    def __init__(self, stores: Stores, finish: Callable[[Call[Any]], Any]) -> None:
        self.run = BlockingKeyValues(stores.run, finish)
        self.job = BlockingKeyValues(stores.job, finish)
        self.env = BlockingKeyValues(stores.env, finish)


class BlockingKeyValues:
    """Small values by name, blocking."""

    def __init__(self, values: KeyValues, finish: Callable[[Call[Any]], Any]) -> None:
        self._values = values
        self._finish = finish

    def get(self, key: Any, name: str, default: Any = None) -> Any:
        """The value of that name, or `default`."""
        return self._finish(self._values.get(key, name, default))

    def has(self, key: Any, name: str) -> bool:
        """Whether there is a value of that name."""
        return self._finish(self._values.has(key, name))

    def set(self, key: Any, name: str, value: Any) -> None:
        """Keep a value under that name."""
        self._finish(self._values.set(key, name, value))

    def delete(self, key: Any, name: str) -> None:
        """Forget the value of that name."""
        self._finish(self._values.delete(key, name))


class BlockingStatus:
    """A named status of a run, blocking."""

    def __init__(self, status: Status, finish: Callable[[Call[Any]], Any]) -> None:
        self._status = status
        self._finish = finish

    def update(
        self, key: Any, label: str | None = None, state: StatusState | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """Say how it stands now; what is not given stays as it is."""
        self._finish(self._status.update(key, label, state, data))

    def __repr__(self) -> str:
        return repr(self._status)


def wait_for(call: Call[Any], owner: Pass) -> Any:
    """The result of a call, waited for in a worker thread. A replay does not go over to the loop."""
    if threading.get_ident() == owner.home.thread:
        call.awaited = True
        raise owner.misused(
            UsageError(
                "a `def` body with thread=False runs on the event loop, where `io` cannot block: "
                "make the body `async def`, or leave thread=False out"
            )
        )
    call.awaited = True
    try:
        value = owner.replay(call)
        return value if value is not MISS else owner.home.run(lambda: owner.perform(call))
    except asyncio.CancelledError:
        raise RunInterrupted from None
