"""How a pass ends: what stopped it, and how its calls are cancelled."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NoReturn

from .._tasks.front_end import end_questions
from ..errors import StoreError, TriggerError, UsageError

if TYPE_CHECKING:
    from .._concurrency.threads import Home
    from .._tasks.call import AnyCall


class Stop(StrEnum):
    """Why a pass takes no more calls."""

    INTERRUPT = "interrupt"
    CANCEL = "cancel"
    PAUSE = "pause"
    SUPERSEDED = "superseded"
    STORE = "store"
    MISUSE = "misuse"  # the code goes on and on with a call that was refused
    ENDED = "ended"  # by itself: the run function has returned or raised


class Stopping:
    """Whether and why a pass is stopped, and the tasks of the event loop that a stop cancels.

    Lives on the loop; only `look_at_lease` may be called from another thread.
    """

    def __init__(self, home: Home, is_lost: Callable[[], bool]) -> None:
        self.why: Stop | None = None
        self.error: TriggerError | None = None  # what `await run` raises for a stop of our own making
        self.misuse: UsageError | None = None  # the first one; it fails the run even if swallowed (I4)
        self.event: asyncio.Event | None = None  # set by the stop
        self.driver: asyncio.Task[Any] | None = None  # waits for the pass
        self.main: asyncio.Task[Any] | None = None  # runs the run function; a stop cancels it
        self.calls: set[AnyCall] = set()  # those being performed now
        # Bodies in flight may end, no new one begins; then the pass stops for this reason (I7, A7).
        self.closing: Stop | None = None
        # The status and reason with which a pause leaves the run to another process; None: it is paused for its user.
        self.left: tuple[str, str] | None = None
        # While this is not zero, the pass does not stop: child runs that are paused with it still end.
        self.held = 0
        self.is_lost = is_lost  # whether another kernel has taken the run over
        self._home = home

    @property
    def is_cut_short(self) -> bool:
        """Whether the pass was stopped from outside, or with the event loop, and not ended by its run function."""
        return self.why not in (None, Stop.ENDED) or self._is_shut_down

    @property
    def _is_shut_down(self) -> bool:
        """Whether the event loop is shutting down."""
        return self.driver is not None and self.driver.cancelling() > 0

    @property
    def is_ending(self) -> bool:
        """Whether the pass was stopped, or has ended, or the event loop is shutting down."""
        return self.why is not None or self._is_shut_down

    @property
    def is_pausing(self) -> bool:
        """Whether the pass is to be paused, and bodies in flight still end."""
        return self.closing == Stop.PAUSE and self.why is None

    @property
    def is_requested(self) -> bool:
        """Whether the pass is being stopped because somebody wants the run to stop."""
        return self.is_pausing or self.why not in (None, Stop.ENDED, Stop.SUPERSEDED)

    def misused(self, error: UsageError) -> UsageError:
        """Keep an error of misuse, which fails the run; for `raise stopping.misused(...)`."""
        self.misuse = self.misuse or error
        return error

    def stop(self, why: Stop, error: TriggerError | None = None) -> None:
        """End the pass: cancel what runs in it. Only the first call counts."""
        if self.why is not None:
            if self.why == Stop.PAUSE and why == Stop.CANCEL:  # cancelled before the pause has taken effect
                self.why = why
            return
        self.why = why
        self.error = error
        self._cut()

    def end_for_misuse(self) -> None:
        """End the pass for a misuse that the code swallows again and again. May be called from any thread.

        From here on, calls are refused with a cancellation, which `except Exception` does not swallow.
        """
        if self.why is None:
            self.why = Stop.MISUSE
            self._home.soon(self._cut)

    def _cut(self) -> None:
        end_questions(self)
        if self.event is not None:
            self.event.set()
        if self.main is not None:
            self.main.cancel()
            # What the main task awaits is cancelled through it. A second cancellation would also cancel its
            # cleanup, so only calls that are still running after that are cancelled directly.
            self._home.soon(lambda: self._home.soon(self._cancel_left_behind))

    def interrupt(self) -> None:
        """End the pass for an interrupt that something it waits for has taken."""
        if threading.get_ident() == self._home.thread:
            self.stop(Stop.INTERRUPT)
        else:
            self._home.soon(lambda: self.stop(Stop.INTERRUPT))

    def _cancel_left_behind(self) -> None:
        for host in {call.host for call in self.calls if call.host is not None}:
            if not host.cancelling():
                host.cancel()

    def end(self) -> None:
        """The run function has returned or raised: bodies in flight may end, nothing new begins."""
        self.why = self.why or Stop.ENDED
        end_questions(self)

    def cancellation(self) -> BaseException:
        """The exception that unwinds user code when the pass is stopped."""
        return asyncio.CancelledError()

    async def fail(self, error: TriggerError) -> NoReturn:
        """A9, R13: end the pass, and let the call wait for that. A fault of ours is never raised from `io`."""
        if self.why is None:
            self.stop(Stop.STORE, error)
            await asyncio.Event().wait()  # until it is cancelled
        raise self.cancellation()

    def on_store_fault(self, error: StoreError) -> None:
        """End the pass for a fault that no call waits for."""
        self.stop(Stop.STORE, error)

    def look_at_lease(self) -> None:
        """Stop if another kernel has taken the run over: it calls the bodies now. On the watch's thread."""
        if self.why is None and self.is_lost():
            self._home.soon(lambda: self.stop(Stop.STORE))

    async def unwind(self, patience: float) -> None:
        """After a stop: wait until the calls that it cut short have recorded how they ended."""
        hosts = {call.host for call in self.calls if call.host is not None}
        if self.why != Stop.ENDED and hosts:
            await asyncio.wait(hosts, timeout=patience)
