"""The kernel's interrupt while a cell awaits a run.

The kernel's own handling cancels an async cell only when the event loop next wakes, which an idle
loop may not do for seconds, and does nothing for a sync body that runs on the loop. So while a cell
awaits a run, SIGINT wakes the loop and stops the run, and where the main thread is inside a sync
body of ours it raises KeyboardInterrupt there.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

# Runs awaited at the same time nest: only the outermost puts the handler in and out.
_awaiting: list[tuple[Callable[[], bool], Callable[[], None]]] = []


@contextmanager
def interruptible(in_sync_body: Callable[[], bool], stop: Callable[[], None]) -> Iterator[None]:
    """While inside: an interrupt calls `stop` on the loop, at once.

    `in_sync_body` says whether the main thread is inside a sync body; then KeyboardInterrupt is
    raised in it instead. Does nothing off the main thread, or where the loop has no signals.
    """
    entry = (in_sync_body, stop)
    _awaiting.append(entry)
    restore = _install() if len(_awaiting) == 1 else None
    try:
        yield
    finally:
        _awaiting.remove(entry)
        if restore is not None:
            restore()


def _install() -> Callable[[], None] | None:
    if threading.current_thread() is not threading.main_thread():
        return None
    loop = asyncio.get_running_loop()
    before = signal.getsignal(signal.SIGINT)
    try:
        # For its wake-up descriptor: the loop comes out of its sleep and calls `_stop_all`.
        loop.add_signal_handler(signal.SIGINT, _stop_all)
    except (NotImplementedError, RuntimeError, ValueError):
        return None
    signal.signal(signal.SIGINT, _handle)

    def restore() -> None:
        loop.remove_signal_handler(signal.SIGINT)  # leaves the default handler, not the one before
        signal.signal(signal.SIGINT, before)

    return restore


def _handle(_number: int, _frame: FrameType | None) -> Any:
    if any(in_sync_body() for in_sync_body, _ in _awaiting):
        raise KeyboardInterrupt


def _stop_all() -> None:
    for _, stop in list(_awaiting):
        stop()
