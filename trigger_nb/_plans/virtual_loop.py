"""An event loop that reports when nothing in it is ready to run, and whose clock can jump."""

from __future__ import annotations

import asyncio
import selectors
from asyncio import futures
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextvars import Context
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from .._clock import Clock

T = TypeVar("T")
# The callback that wakes `asyncio.sleep`. All other timers are time limits.
_WAKE_UP: Any = getattr(futures, "_set_result_unless_cancelled", None)


class VirtualClock:
    """A clock that is ahead of the real one by the time that was skipped."""

    def __init__(self, real: Clock, loop: VirtualLoop) -> None:
        self._real = real
        self._loop = loop

    def time(self) -> float:
        return self._real.time() + self._loop.ahead

    async def sleep_until(self, when: float) -> None:
        raise AssertionError("a rehearsal does not wait with its clock")


class Director(Protocol):
    """The object that the loop asks before it sleeps, and before a time limit takes effect."""

    def at_rest(self, timeout: float | None) -> float | None: ...
    def on_limit(self) -> bool: ...


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop that reports when nothing in it is ready to run, and whose clock can jump."""

    def __init__(self) -> None:
        self.director: Director | None = None
        self.ahead = 0.0  # of the real time, in seconds
        self._sleeps: list[asyncio.TimerHandle] = []
        self._in_threads = 0
        self._selector_of_ours = _Selector(self)
        super().__init__(self._selector_of_ours)
        self._own_files = len(self._selector_of_ours.get_map())

    @property
    def is_busy(self) -> bool:
        """Whether the loop waits for sleeps, threads or files, and not only for time limits or for being woken."""
        now = self.time()
        self._sleeps = [each for each in self._sleeps if not each.cancelled() and each.when() > now]
        files = len(self._selector_of_ours.get_map())
        return bool(self._sleeps) or bool(self._in_threads) or files > self._own_files

    def time(self) -> float:
        return super().time() + self.ahead

    def call_at(
        self, when: float, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> asyncio.TimerHandle:
        if callback is not _WAKE_UP:
            return super().call_at(when, self._on_limit, callback, args, context=context)
        handle = super().call_at(when, callback, *args, context=context)
        self._sleeps.append(handle)
        return handle

    def _on_limit(self, callback: Callable[..., object], args: Sequence[object]) -> None:
        if self.director is None or self.director.on_limit():
            callback(*args)

    def run_in_executor(
        self, executor: Executor | None, func: Callable[..., T], *args: object
    ) -> asyncio.Future[T]:
        future: asyncio.Future[T] = super().run_in_executor(executor, func, *args)
        self._in_threads += 1
        future.add_done_callback(self._on_back)
        return future

    def _on_back(self, _future: object) -> None:
        self._in_threads -= 1


class _Selector(selectors.DefaultSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if (timeout is None or timeout > 0) and self._loop.director is not None:
            timeout = self._loop.director.at_rest(timeout)
        return super().select(timeout)
