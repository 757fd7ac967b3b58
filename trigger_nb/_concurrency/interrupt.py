"""The kernel's interrupt while a cell awaits a run.

The kernel cancels an async cell, but only when the event loop next wakes, which an idle loop may not
do for long, and never while code on the loop blocks it. So while a cell awaits a run, a handler stands
in front of the kernel's own: SIGINT wakes the loop at once, and where it meets the user's code on the
main thread, KeyboardInterrupt is raised there, as in any cell.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import CodeType, FrameType, FunctionType
from typing import ParamSpec, TypeAlias, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
# Functions of this package that call the user's code on the loop, and handle a KeyboardInterrupt from it.
_doors: list[CodeType] = []
# Functions of this package between the user's code and a function of the notebook that waits.
_corridors: list[CodeType] = []


def calls_user_code(function: Callable[P, T]) -> Callable[P, T]:
    """Decorator: an interrupt may raise in what this function calls, outside this package."""
    assert isinstance(function, FunctionType)
    _doors.append(function.__code__)
    return function


def waits_for_user(function: Callable[P, T]) -> Callable[P, T]:
    """Decorator: the user's code calls this function to wait, and an interrupt may raise in what it calls."""
    assert isinstance(function, FunctionType)
    _corridors.append(function.__code__)
    return function


@contextmanager
def interruptible(cancel: Callable[[], object]) -> Generator[None]:
    """Handle interrupts at once while inside. `cancel` is called if the kernel has no handler of its own.

    Does nothing off the main thread, or where the loop has no signals.
    """
    handler = _handler_in_place()
    if handler is not None:
        handler.cancels.append(cancel)
    try:
        yield
    finally:
        if handler is not None:
            handler.cancels.remove(cancel)
            handler.leave_if_unused()


def _handler_in_place() -> _Handler | None:
    if threading.current_thread() is not threading.main_thread():
        return None
    current = signal.getsignal(signal.SIGINT)
    # Runs awaited at the same time share a handler.
    return current if isinstance(current, _Handler) else _Handler.install(current)


# What `signal.getsignal` returns.
_Before: TypeAlias = "Callable[[int, FrameType | None], object] | int | None"


class _Handler:
    """A SIGINT handler in front of the one that was installed before."""

    def __init__(self, loop: asyncio.AbstractEventLoop, before: _Before) -> None:
        self.cancels: list[Callable[[], object]] = []
        self._loop = loop
        self._before = before

    @classmethod
    def install(cls, before: _Before) -> _Handler | None:
        loop = asyncio.get_running_loop()
        try:
            # Only for its wake-up descriptor: the loop wakes up, whichever thread receives the signal.
            loop.add_signal_handler(signal.SIGINT, _nothing)
        except (NotImplementedError, RuntimeError, ValueError):
            return None
        handler = cls(loop, before)
        signal.signal(signal.SIGINT, handler)
        return handler

    def leave_if_unused(self) -> None:
        # The kernel installs and removes its own handler around each cell. If it has done so meanwhile, the
        # handler that was there before belongs to a cell that has ended, and must not come back.
        if not self.cancels and signal.getsignal(signal.SIGINT) is self:
            self._loop.remove_signal_handler(signal.SIGINT)  # leaves the default handler in its place
            signal.signal(signal.SIGINT, self._before)

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if callable(self._before) and self._before is not signal.default_int_handler:
            self._before(number, frame)
        elif self._before is not signal.SIG_IGN:
            for cancel in self.cancels:
                self._loop.call_soon_threadsafe(cancel)
        if _in_user_code(frame):
            raise KeyboardInterrupt


_PACKAGE = __name__.partition(".")[0]


def _in_user_code(frame: FrameType | None) -> bool:
    """Whether the main thread is in code that one of the functions in `_doors` has called.

    False in this package's or the loop's own code, which an exception could leave in an inconsistent state.
    """
    innermost = frame
    while frame is not None:
        if frame.f_code in _doors:
            return frame is not innermost
        is_ours = frame.f_globals.get("__name__", "").partition(".")[0] in {_PACKAGE, "asyncio"}
        if is_ours and frame.f_code not in _corridors:
            return False
        frame = frame.f_back
    return False


def _nothing() -> None:
    pass
