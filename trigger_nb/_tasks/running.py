"""The bodies that are running in this process, by run and path (rule A5).

A call whose body is still running from an earlier attempt or pass takes that body's result, and starts no
second one. A background thread records the start of bodies that have run for a while: a short task costs
one commit, and a long one that dies with the kernel is still known to have started.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from .._concurrency.shutdown import announcer
from .._concurrency.threads import Home
from ..errors import StoreError
from . import capture

if TYPE_CHECKING:
    import asyncio

    from .._records.records import TaskRecord
    from .call import PassApi, Scope
    from .task import Task

logger = logging.getLogger("trigger_nb")
LOOK_EVERY = 0.1  # how often the thread looks for bodies that have run for a while, in seconds
BodyKey = tuple[str, str, str]  # store directory, run id, path


class Adopter(NamedTuple):
    """A call that takes the result of a body that an earlier call has left."""

    end: Callable[[], Any]  # makes the `End` (of `_engine.turns`) of the body in the adopter's pass
    wake: Callable[[], object]  # called when the result is given out


class RunningBody:
    """One execution of a task's body, from its start until its result is recorded."""

    __slots__ = (
        "abandoned",
        "adopter",
        "asked",
        "attempt",
        "began",
        "canceled",
        "canceled_in_queue",
        "end",
        "error",
        "host",
        "in_thread",
        "key",
        "markable",
        "marked",
        "owner",
        "queued",
        "record",
        "scope",
        "task",
        "thread_done",
        "timed_out_error",
        "waiters",
    )

    def __init__(self, key: BodyKey, owner: PassApi, scope: Scope, attempt: TaskRecord) -> None:
        self.key = key
        self.owner = owner  # the pass
        self.scope = scope  # the body's own scope
        self.attempt = attempt  # the record of the attempt as it started
        # The asyncio task that the caller runs in, and a body on the loop.
        self.host: asyncio.Task[object] | None = None
        self.asked = 0  # how often that had been cancelled before
        self.end: Any = None  # of `_engine.turns`, once the body has returned
        self.adopter: Adopter | None = None
        self.in_thread = False
        self.queued = False  # waiting for a thread, or for the other items of a batch
        self.canceled_in_queue = False  # the caller left while the body was queued, so it never starts
        self.thread_done = False
        self.task: Task | None = None  # the `Task` that the body sees, made when the body asks for it
        self.began = time.monotonic()
        # Whether the start may be recorded. False as soon as a record of the end is about to be written.
        self.markable = True
        self.marked = False  # the start is recorded
        self.abandoned = False  # the caller has left; only a body in a thread outlives its caller
        # Seconds after which the user's code cancelled the caller, if it did.
        self.canceled: float | None = None
        # The error that the caller got in place of the result: a timeout.
        self.timed_out_error: dict[str, Any] | None = None
        self.record: TaskRecord | None = None  # the record of the result, if the body completed
        self.error: BaseException | None = None  # the error that the body raised
        self.waiters: tuple[Callable[[], object], ...] | None = ()  # None once the body has finished

    @property
    def path(self) -> str:
        """The path of the task."""
        return self.key[2]

    @property
    def cancellations(self) -> int:
        """How often `host` was cancelled meanwhile: by the user's code, a time limit, a stop, the end of the loop."""
        return 0 if self.host is None else self.host.cancelling() - self.asked

    @property
    def was_cancelled(self) -> bool:
        """Whether a cancellation has reached the body. One that is still to come has not cut it short."""
        return self.cancellations > 0 and not getattr(self.host, "_must_cancel", False)

    def queue(self) -> None:
        """Wait for a thread. Until that starts the body, the body can be cancelled."""
        self.in_thread = True
        self.wait_for_turn()

    def wait_for_turn(self) -> None:
        """Wait until `start`: the body has not begun."""
        self.queued, self.markable = True, False

    def start(self) -> bool:
        """Note that the body begins. False if it was cancelled in the queue."""
        with marking:
            if self.canceled_in_queue:
                return False
            self.queued, self.markable, self.began = False, True, time.monotonic()
            return True

    def cancel_start(self) -> bool:
        """Stop recording the start. True if the body had not started; it never will now."""
        with marking:
            self.canceled_in_queue, self.queued, self.markable = (
                self.canceled_in_queue or self.queued,
                False,
                False,
            )
            return self.canceled_in_queue

    def abandon(self) -> bool:
        """Note that the caller has left. True if the body keeps running in its thread."""
        with _finishing:
            self.abandoned = self.in_thread and not self.thread_done and not self.canceled_in_queue
            return self.abandoned

    def finish_in_thread(self) -> bool:
        """Note that the thread is done with the body. True if the caller still waits."""
        with _finishing:
            self.thread_done = True
            return not self.abandoned

    def when_finished(self, call: Callable[[], object]) -> None:
        """Have a function called on this event loop once the body has finished."""
        home = Home()
        with _finishing:
            if self.waiters is not None:
                self.waiters = (*self.waiters, lambda: home.soon(call))
                return
        call()

    def finish(self) -> None:
        """Note that the result is recorded, and wake the waiters. From any thread: the loop may be closed."""
        with _finishing:
            if running_bodies.get(self.key) is self:
                del running_bodies[self.key]
            waiters, self.waiters = self.waiters, None
        for wake in waiters or ():
            wake()


running_bodies: dict[BodyKey, RunningBody] = {}
_finishing = threading.Lock()
# Held while a start is recorded. Code that is about to record an end takes it too, where the store's fence
# does not protect that end against a late start: for every end but a completed one.
marking = threading.Lock()


def note_end_of_process() -> None:
    """Note that no body that runs is what ends the process: its start, if it is recorded, is no crash (A1)."""
    for running in list(running_bodies.values()):
        with marking:
            was_marked, running.markable, running.marked = running.marked, False, False
            if was_marked and running.record is None:
                running.owner.ledger.mark_stopped(running.attempt)


class _Watch:
    """The thread that records the start of long-running bodies, and lets the passes check their leases.

    A thread, because a body may block the event loop.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._passes: set[PassApi] = set()
        self._thread: threading.Thread | None = None

    def enter(self, owner: PassApi) -> None:
        """Watch the bodies of a pass, which begins."""
        announcer.listen(note_end_of_process)
        with self._lock:
            self._passes.add(owner)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="trigger_nb watch", daemon=True)
                self._thread.start()

    def leave(self, owner: PassApi) -> None:
        """Stop watching a pass, which has ended."""
        with self._lock:
            self._passes.discard(owner)
            if not self._passes and not running_bodies:
                capture.stop()

    def _run(self) -> None:
        while True:
            time.sleep(LOOK_EVERY)
            with self._lock:
                if not self._passes and not running_bodies:
                    capture.stop()
                    self._thread = None
                    return
                passes = list(self._passes)
            self._look()
            for owner in passes:
                owner.stopping.look_at_lease()

    def _look(self) -> None:
        now = time.monotonic()
        for running in list(running_bodies.values()):
            if running.marked or now - running.began < running.owner.patience.start:
                continue
            with marking:
                if not running.markable:
                    continue
                running.marked = True
                try:
                    running.owner.ledger.mark_started(running.attempt)
                except StoreError:
                    # No reason to fail the body: if the store is broken, the commit of the result reports it.
                    logger.warning("the start of task %r could not be recorded", running.path, exc_info=True)


watch = _Watch()
