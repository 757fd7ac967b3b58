"""`io` for `def` jobs and bodies: the same methods, blocking their worker thread."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterable, Callable, Iterable, Iterator, Mapping, Sized
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, cast

from .._callsite import Place
from .._concurrency.threads import Home
from .._maps.imap import MapIterator
from .._tasks.call import DONE, MISS, AnyCall, Call
from ..errors import RunInterrupted, UsageError
from .checks import check_one_item
from .io import Io
from .key_values import KeyValues, Stores
from .logger import Logger
from .starter import caller
from .status import Status, StatusState

if TYPE_CHECKING:
    from types import FrameType

    from .._engine.pass_ import Pass
    from .._maps.items import Items
    from .._maps.map import Walk

Finish: TypeAlias = "Callable[[AnyCall], Any]"  # waits for a call of `Io`, and returns its result


class BlockingIo:
    """The `io` of a `def` job or body: its methods are those of `Io`, called without `await`.

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
        """Log lines in the tree; see `Io.logger`."""
        return self._io.logger

    @property
    def store(self) -> BlockingStores:
        """Small stored values, by name; see `Io.store`."""
        return BlockingStores(self._io.store, self._finish)

    def create_status(
        self,
        key: object,
        label: str,
        state: StatusState | None = None,
        data: Mapping[str, object] | None = None,
    ) -> BlockingStatus:
        """Show a named status in the header of the run; see `Io.create_status`."""
        call = self._io.create_status(key, label, state, data)
        self._finish(call)
        return BlockingStatus(call.outcome(call.path), self._finish)

    def parallel(
        self, key: object, items: Iterable[object], body: Callable[..., object], **options: Any
    ) -> list[Any]:
        """Run `body(item, index)` for all items at once; see `Io.parallel`."""
        return wait_for(self._io._parallel(caller(), key, items, body, cast("Any", options)), self._pass)

    def map(
        self, key: object, items: Items[object], body: Callable[..., object], *more: object, **options: Any
    ) -> list[Any]:
        """Run `body(item)` for each of many items; see `Io.map`."""
        check_one_item(body, more)
        return wait_for(self._map(caller(), key, items, body, options)[0], self._pass)

    def imap(
        self, key: object, items: Items[object], body: Callable[..., object], *more: object, **options: Any
    ) -> Iterator[Any]:
        """Pairs of item and result as they complete, for a plain `for` loop; see `Io.imap`."""
        check_one_item(body, more)
        channel = self._io._channel(options)
        call, walk = self._map(caller(), key, items, body, options, channel.give)
        pairs = MapIterator[Any](call, walk, channel)
        return _each(pairs, self._pass.home)

    def _map(
        self, place: Place, key: object, items: Items[object], *more: Any
    ) -> tuple[Call[list[Any]], Walk]:
        # Iterated here and not on the loop: the code that makes the items may block.
        if not isinstance(items, (Sized, AsyncIterable)) and isinstance(items, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]  # a user's value
            items = list(items)
        return self._io._map(place, key, items, *more)

    def try_(self, body: Callable[[], object], on_error: Callable[[Exception], object]) -> Any:
        """The result of `body()`, or of `on_error(error)` if the body raises."""
        try:
            return body()
        except Exception as error:  # noqa: BLE001  # `on_error` decides
            answer = on_error(error)
            return None if answer is DONE else answer

    def use(self, integration: Any) -> Any:
        """The integration, bound to this run; its methods block. See `Io.use`."""
        return integration.bind(self)

    def _service_task(self, frame: FrameType, *args: Any, **options: Any) -> Any:
        """The result of the task of an integration's method; see `Io._service_task`."""
        call = self._io._service_task(frame, *args, **options)
        return wait_for(call, self._pass)

    def _excuse(self, seconds: float) -> None:
        self._pass.excuse(seconds)

    def __dir__(self) -> list[str]:
        return dir(self._io)

    def __getattr__(self, name: str) -> Any:
        if name not in _METHODS:
            return self._io._integration(name, self)
        found = getattr(self._io, name)

        def call(*args: object, **options: Any) -> Any:
            return self._finish(found(*args, **options))

        return call

    def _finish(self, call: AnyCall) -> Any:
        # The place where the user's code called this object, instead of where this object called `Io`.
        call.place = caller(skip=1)
        return wait_for(call, self._pass)

    @property
    def _pass(self) -> Pass:
        return self._io._pass

    def __reduce__(self) -> NoReturn:
        raise TypeError("`io` cannot be pickled: it belongs to this kernel")


_METHODS = frozenset(
    name
    for name, _ in inspect.getmembers(Io, inspect.isfunction)
    if not name.startswith("_") and name not in {"try_", "use"}
)


def _each(pairs: MapIterator[Any], home: Home) -> Iterator[Any]:
    """The pairs; the calling thread waits for each."""
    try:
        while True:
            yield home.run(pairs.__anext__)
    except StopAsyncIteration:
        return
    finally:
        home.soon(pairs.leave)


class BlockingStores:
    """Small stored values of a run, a job and a client; see `Stores`."""

    def __init__(self, stores: Stores, finish: Finish) -> None:
        self.run = BlockingKeyValues(stores.run, finish)
        self.job = BlockingKeyValues(stores.job, finish)
        self.env = BlockingKeyValues(stores.env, finish)


class BlockingKeyValues:
    """Small stored values by name; see `KeyValues`."""

    def __init__(self, values: KeyValues, finish: Finish) -> None:
        self._values = values
        self._finish = finish

    def get(self, key: object, name: str, default: object = None) -> Any:
        """The value with this name, or `default` if there is none."""
        return self._finish(self._values.get(key, name, default))

    def has(self, key: object, name: str) -> bool:
        """True if there is a value with this name."""
        return self._finish(self._values.has(key, name))

    def set(self, key: object, name: str, value: object) -> None:
        """Store a value under this name, in place of an earlier one."""
        self._finish(self._values.set(key, name, value))

    def delete(self, key: object, name: str) -> None:
        """Delete the value with this name, if there is one."""
        self._finish(self._values.delete(key, name))


class BlockingStatus:
    """A named status that the header of a run shows; see `Status`."""

    def __init__(self, status: Status, finish: Finish) -> None:
        self._status = status
        self._finish = finish

    def update(
        self,
        key: object,
        label: str | None = None,
        state: StatusState | None = None,
        data: Mapping[str, object] | None = None,
    ) -> None:
        """Change the status; see `Status.update`."""
        self._finish(self._status.update(key, label, state, data))

    def __repr__(self) -> str:
        return repr(self._status)


def wait_for(call: AnyCall, owner: Pass) -> Any:
    """The result of a call, for a worker thread. A replay returns it without the event loop."""
    if threading.get_ident() == owner.home.thread:
        call.awaited = True
        raise owner.stopping.misused(
            UsageError(
                "a `def` body with thread=False runs on the event loop, where `io` cannot block: "
                "make the body `async def`, or leave thread=False out"
            )
        )
    call.awaited = call.from_thread = True
    try:
        value = owner.replay(call)
        if value is MISS:
            value = owner.home.run(lambda: owner.perform(call))
        elif call.turn is not None:
            owner.home.run(lambda: owner.turns.take(call, in_thread=True))
    except asyncio.CancelledError:
        raise RunInterrupted from None
    else:
        return value
