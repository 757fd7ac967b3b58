"""Single flight: every body that is running in this process, by run and path (rule A5).

A call that meets a living body of an earlier attempt or pass takes its result; a second one never
starts. A background thread writes down the start of a body that has run a while, so that a short
task costs one commit and a long one that dies with the kernel is still known to have begun.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .._concurrency.threads import Home
from ..errors import StoreError
from . import capture

if TYPE_CHECKING:
    from .._records.records import TaskRecord
    from .pass_api import PassApi
    from .scope import Scope

logger = logging.getLogger("trigger_nb")
# A body that has run this long gets its start recorded, in seconds.
MARK_AFTER = 0.2
LOOK_EVERY = 0.1  # how often a thread looks for those, in seconds
FlightKey = tuple[str, str, str]  # store directory, run id, path


class Flight:
    """One body that is running."""

    __slots__ = (
        "attempt", "began", "called_off", "canceled", "error", "gone", "host", "in_thread", "key", "late",
        "markable", "marked", "over", "owner", "queued", "record", "scope", "task", "waiters",
    )  # fmt: skip

    def __init__(self, key: FlightKey, owner: PassApi, scope: Scope, attempt: TaskRecord) -> None:
        self.key = key
        self.owner = owner  # the pass
        self.scope = scope  # the body's own scope
        self.attempt = attempt  # the record that it began with
        self.host: Any = None  # the asyncio task that its caller runs in
        self.in_thread = False
        self.queued = False  # it waits for a thread
        self.called_off = False  # its caller left while it did, so it never begins
        self.over = False  # the thread has ended
        self.task: Any = None  # what the body sees of its task, when it asks to
        self.began = time.monotonic()
        self.markable = True  # its start may be recorded: no end of it is about to be
        self.marked = False
        self.gone = False  # the caller waits no more; only a thread's body outlives its caller
        self.canceled: float | None = (
            None  # the caller was cancelled by the user's code, after so many seconds
        )
        self.late: dict[str, Any] | None = None  # the error the caller got instead of the result (a timeout)
        self.record: TaskRecord | None = None  # how it ended, when it ended well
        self.error: BaseException | None = None  # what the body raised
        self.waiters: tuple[Callable[[], object], ...] | None = ()  # None once it has landed

    @property
    def path(self) -> str:
        return self.key[2]

    def queue(self) -> None:
        """It waits for a thread: until that begins with it, it can be called off."""
        self.in_thread, self.queued, self.markable = True, True, False

    def take_off(self) -> bool:
        """Its thread begins with the body, unless it was called off."""
        with marking:
            if self.called_off:
                return False
            self.queued, self.markable, self.began = False, True, time.monotonic()
            return True

    def leave(self) -> bool:
        """Its start is not recorded any more. True when it had not begun, which it now never does."""
        with marking:
            self.called_off, self.queued, self.markable = self.called_off or self.queued, False, False
            return self.called_off

    def abandon(self) -> bool:
        """Its caller waits no more. Whether it goes on nevertheless, in its thread."""
        with _landing:
            self.gone = self.in_thread and not self.over and not self.called_off
            return self.gone

    def end_in_thread(self) -> bool:
        """Its thread has ended. Whether its caller still waits."""
        with _landing:
            self.over = True
            return not self.gone

    async def wait(self) -> None:
        """Until it has landed; on the loop."""
        import anyio

        landed, home = anyio.Event(), Home()
        with _landing:
            if self.waiters is None:
                return
            self.waiters = (*self.waiters, lambda: home.soon(landed.set))
        await landed.wait()

    def land(self) -> None:
        """The body has ended and its result is recorded. From any thread: its loop may be closed."""
        with _landing:
            if flights.get(self.key) is self:
                del flights[self.key]
            waiters, self.waiters = self.waiters, None
        for wake in waiters or ():
            wake()


flights: dict[FlightKey, Flight] = {}
_landing = threading.Lock()
# Held while a start is recorded, and taken by whoever is about to record an end that the store's
# fence would not protect against a late start (every end but a completed one).
marking = threading.Lock()


class _Watch:
    """The thread that looks at what is under way, whatever blocks the event loop.

    It records the start of bodies that have run a while, and has the passes look after their leases.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._passes: set[PassApi] = set()
        self._thread: threading.Thread | None = None

    def enter(self, owner: PassApi) -> None:
        """A pass begins."""
        with self._lock:
            self._passes.add(owner)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="trigger_nb watch", daemon=True)
                self._thread.start()

    def leave(self, owner: PassApi) -> None:
        """A pass has ended."""
        with self._lock:
            self._passes.discard(owner)
            if not self._passes and not flights:
                capture.stop()

    def _run(self) -> None:
        while True:
            time.sleep(LOOK_EVERY)
            with self._lock:
                if not self._passes and not flights:
                    capture.stop()
                    self._thread = None
                    return
                passes = list(self._passes)
            self._look()
            for owner in passes:
                owner.look_at_lease()

    def _look(self) -> None:
        before = time.monotonic() - MARK_AFTER
        for flight in list(flights.values()):
            if flight.marked or flight.began > before:
                continue
            with marking:
                if not flight.markable:
                    continue
                flight.marked = True
                try:
                    flight.owner.ledger.mark_started(flight.attempt)
                except StoreError:
                    # Not worth failing the body for: the end's own commit will say what is wrong.
                    logger.warning("the start of task %r could not be recorded", flight.path, exc_info=True)


watch = _Watch()
