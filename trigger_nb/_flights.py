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

from ._executors import Home
from .errors import StoreError

if TYPE_CHECKING:
    from ._records import TaskRecord
    from ._scope import Scope

logger = logging.getLogger("trigger_nb")

# A body that has run this long gets its start recorded, in seconds.
MARK_AFTER = 0.2

FlightKey = tuple[str, str, str]  # store directory, run id, path


class Flight:
    """One body that is running."""

    __slots__ = (
        "attempt", "began", "canceled", "error", "gone", "host", "in_thread", "key", "late", "markable",
        "marked", "over", "owner", "record", "scope", "task", "waiters",
    )  # fmt: skip

    def __init__(self, key: FlightKey, owner: Any, scope: Scope, attempt: TaskRecord) -> None:
        self.key = key
        self.owner = owner  # the pass
        self.scope = scope  # the body's own scope
        self.attempt = attempt  # the record that it began with
        self.host: Any = None  # the asyncio task that its caller runs in
        self.in_thread = False
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
    """The thread that records the start of bodies that have run a while."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._passes = 0
        self._thread: threading.Thread | None = None

    def enter(self) -> None:
        """A pass begins."""
        with self._lock:
            self._passes += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="trigger_nb watch", daemon=True)
                self._thread.start()

    def leave(self) -> None:
        """A pass has ended."""
        with self._lock:
            self._passes -= 1

    def _run(self) -> None:
        while True:
            time.sleep(MARK_AFTER / 2)
            with self._lock:
                if self._passes <= 0 and not flights:
                    self._thread = None
                    return
            self._look()

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
                    flight.owner.mark_started(flight.attempt)
                except StoreError:
                    # Not worth failing the body for: the end's own commit will say what is wrong.
                    logger.warning("the start of task %r could not be recorded", flight.path, exc_info=True)


watch = _Watch()
