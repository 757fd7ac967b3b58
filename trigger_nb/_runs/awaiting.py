"""Awaitables for cells: their tracebacks have no frames of this package, and an interrupt ends them."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeAlias, TypeVar

from .._concurrency.interrupt import interruptible
from .outcome import users_frames

T = TypeVar("T")
Steps: TypeAlias = Generator[Any, Any, T]
"""The iterator that `__await__` returns. What it yields and is sent is between asyncio and the event loop."""
Work: TypeAlias = Callable[[], Coroutine[Any, Any, T]]
"""The call that begins what a cell awaits."""


class CellCall(Coroutine[Any, Any, T]):
    """The awaitable that `job.run(...)` and `client.send_event(...)` return. To await it starts the work."""

    def __init__(self, begin: Work[T], what: str, lines: str) -> None:
        self._begin = begin
        self._what = what
        self._lines = lines  # code that the user should write
        self._steps: Steps[T] | None = None
        self._noticed = False  # whether it was awaited, closed or displayed: then `__del__` does not warn

    def __await__(self) -> Steps[T]:
        self._noticed = True
        return in_cell(self._begin)

    # These methods make it a coroutine for asyncio, so that `create_task` and task groups accept it.

    def send(self, value: object) -> object:
        return self._started().send(value)

    def throw(self, *error: Any) -> object:
        if self._steps is None:  # cancelled before it has started
            self._noticed = True
            self._steps = _unbegun()
        return self._steps.throw(*error)

    def close(self) -> None:
        self._noticed = True
        if self._steps is not None:
            self._steps.close()

    def _started(self) -> Steps[T]:
        if self._steps is None:
            self._steps = self.__await__()
        return self._steps

    def __repr__(self) -> str:
        self._noticed = True
        return f'<{self._what} that has not started: write "await" in front of it, {self._lines}>'

    def __del__(self) -> None:
        if not self._noticed:
            warnings.warn(
                f"{self._what} was never awaited, so it did not start: write {self._lines}",
                RuntimeWarning,
                stacklevel=2,
            )


class CellOutcome(asyncio.Future[T]):
    """The future that a cell awaits. It raises errors in the frame of the cell, without frames of this package.

    To cancel the future cancels `work`, and the future ends when `work` has ended: an interrupted cell ends
    after its run.
    """

    def __init__(self, work: Work[T]) -> None:
        super().__init__()
        self._message: object = None
        self._work = asyncio.get_running_loop().create_task(self._do(work))
        self._work.add_done_callback(self._end)

    async def _do(self, work: Work[T]) -> tuple[Any, BaseException | None]:
        with interruptible(self.cancel):
            try:
                return await work(), None
            except BaseException as error:  # noqa: BLE001  # raised where the future is awaited
                return None, error

    def cancel(self, msg: object = None) -> bool:
        """Cancel the work, which then ends the future."""
        self._message = msg
        return self._work.cancel(msg)

    def _end(self, work: asyncio.Task[tuple[Any, BaseException | None]]) -> None:
        value: Any = None
        error: BaseException | None = asyncio.CancelledError()
        if not work.cancelled():
            value, error = work.result()
        if error is None:
            self.set_result(value)
        elif isinstance(error, asyncio.CancelledError):
            # The code that cancelled may recognize its message, as anyio does. Only without one does the
            # message of the work take its place.
            super().cancel(self._message or next(iter(error.args), None))
        else:
            self.set_exception(error.with_traceback(users_frames(error.__traceback__)))


def in_cell(work: Work[T]) -> Steps[T]:
    """The iterator for the `__await__` method of an object that a cell awaits."""
    return CellOutcome(work).__await__()


def _unbegun() -> Steps[Any]:
    yield


def has_loop() -> bool:
    """Whether an asyncio event loop is running in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
