"""Worker threads, in which `def` bodies run, and the way between them and the event loop.

The result of a body is recorded on the body's thread, also if the caller has left. Threads are daemons, so
that a body that never ends does not keep the kernel from stopping.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, Future
from typing import NoReturn, TypeAlias, TypeVar

import anyio

from ..errors import InvalidOptionError, RunInterrupted, UsageError

T = TypeVar("T")
Begin: TypeAlias = "Callable[[], bool]"
Outcome: TypeAlias = "Callable[[], object]"  # returns a body's value or raises its error
Finish: TypeAlias = "Callable[[Outcome], None]"
# A function that runs a body off the event loop. It calls `begin` just before the body is executed; if that
# returns False, the body was cancelled and must not be executed. It calls `finish` once the body has ended,
# from any thread. It may return a function, which is called if the caller leaves before the end.
Start: TypeAlias = "Callable[[Begin, Finish], Callable[[], object] | None]"
# How many `def` bodies run at once in a process. Bodies that wait inside `io` do not count.
MAX_RUNNING = 40
# How often a thread that waits for the event loop checks whether the loop is closed, in seconds.
LOOK_EVERY = 1.0


class Home:
    """Thread-safe handle to the event loop that drives a run."""

    def __init__(self) -> None:
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            raise UsageError(
                "jobs run on asyncio's event loop, and none is running in this thread: await the run in a notebook's cell or "
                "under asyncio.run(...), or call job.run_sync(...) in a script"
            ) from None
        self.thread = threading.get_ident()

    def is_same(self, other: Home) -> bool:
        """Whether both are handles to one event loop."""
        return self._loop is other._loop

    def soon(self, call: Callable[[], object]) -> bool:
        """Schedule a call on the loop. May be called from any thread. False if the loop is closed."""
        try:
            self._loop.call_soon_threadsafe(call)
        except RuntimeError:  # the loop is closed
            return False
        return True

    def run(self, function: Callable[[], Awaitable[T]]) -> T:
        """Run an async function on the loop, in this thread's context, and wait for its result.

        Meanwhile another body may use this thread's slot. Raises `RunInterrupted` if it was cancelled, or the loop is closed.
        """
        away = threads.away()
        result: Future[T] = Future()
        context = contextvars.copy_context()

        async def call() -> None:
            try:
                value = await function()
            except BaseException as error:  # noqa: BLE001  # raised in the calling thread
                away.come_back()
                result.set_exception(error)
            else:
                away.come_back()
                result.set_result(value)

        def spawn() -> None:
            away.leave()
            task = asyncio.get_running_loop().create_task(call(), context=context)
            _alive.add(task)
            task.add_done_callback(_alive.discard)

        if not self.soon(spawn):
            raise RunInterrupted
        try:
            error = self._error_of(result)
        finally:
            away.come_back()  # if the loop is closed, or this thread was interrupted
        if error is None:
            return result.result()
        try:
            # Raised here to keep the future's frames out of the user's traceback.
            raise RunInterrupted if isinstance(error, asyncio.CancelledError) else error
        finally:
            del error  # it refers to this frame

    def _error_of(self, result: Future[T]) -> BaseException | None:
        """The error of a call on the loop, once it has ended; `RunInterrupted` if the loop is closed."""
        while True:
            try:
                return result.exception(timeout=LOOK_EVERY)
            except TimeoutError:
                if self._loop.is_closed():
                    return RunInterrupted()


# The loop itself keeps only weak references to tasks.
_alive: set[asyncio.Task[None]] = set()


class Threads:
    """A pool of daemon threads, created on demand and reused."""

    def __init__(self, max_running: int = MAX_RUNNING) -> None:
        self._changed = threading.Condition()
        self.max_running = max_running
        # Invariant, under the lock: `_running` bodies are executing, and `_outside` functions that do not
        # count towards the limit. Threads that wait inside `io` are in neither.
        self._running = 0
        self._outside = 0
        self._idle = 0
        self._queue: deque[Callable[[], None]] = deque()
        self._here = threading.local()

    @property
    def busy(self) -> bool:
        """Whether anything is queued, or is executing and not waiting inside `io`."""
        return bool(self._running or self._outside or self._queue)

    @property
    def full(self) -> bool:
        """Whether a call that is submitted now would be queued."""
        return self._running + len(self._queue) >= self.max_running

    def submit(self, call: Callable[[], None]) -> None:
        """Run `call` in a thread once the limit allows it. The call must not raise."""
        with self._changed:
            self._queue.append(call)
            self._fill()

    def _fill(self) -> None:
        room = self.max_running - self._running
        if not self._queue or room <= 0:
            return
        if self._idle:
            self._changed.notify()
        else:
            self._idle += 1
            threading.Thread(target=self._work, name="trigger_nb body", daemon=True).start()

    def _work(self) -> None:
        self._here.place = "inside"
        while True:
            with self._changed:
                while not (self._queue and self._running < self.max_running):
                    if not self._changed.wait(timeout=30) and not self._queue:
                        self._idle -= 1
                        return
                call = self._queue.popleft()
                self._idle -= 1
                self._running += 1
                self._fill()
            try:
                call()
            finally:
                with self._changed:
                    self._running -= 1
                    self._idle += 1
                    self._fill()

    def spawn(self, call: Callable[[], None]) -> None:
        """Run `call` at once in a new thread that does not count towards the limit. The call must not raise."""

        def work() -> None:
            self._here.place = "outside"
            try:
                call()
            finally:
                with self._changed:
                    self._outside -= 1

        with self._changed:
            self._outside += 1
        threading.Thread(target=work, name="trigger_nb job", daemon=True).start()

    def away(self) -> Away:
        """The state of the calling thread, which is about to wait inside `io`."""
        return Away(self, getattr(self._here, "place", None))  # None in a thread that the user created

    def step(self, place: str | None, change: int) -> None:
        """Count one more, or one less, executing thread."""
        with self._changed:
            if place == "inside":
                self._running += change
                self._fill()
            elif place == "outside":
                self._outside += change


class Away:
    """A thread that waits inside `io`, and whose slot other bodies may use meanwhile.

    The event loop marks the start and the end of the wait, before either has any effect. If the thread did,
    it would count as waiting while its call or its result is in transit, and a `FakeClock` would advance
    past the work that the thread is about to do.
    """

    def __init__(self, threads: Threads, place: str | None) -> None:
        self._threads = threads
        self._place = place
        self._lock = threading.Lock()
        self._state = "before"

    def leave(self) -> None:
        """Free the slot: the thread waits."""
        with self._lock:
            if self._state == "before":
                self._state = "away"
                self._threads.step(self._place, -1)

    def come_back(self) -> None:
        """Take the slot again, over the limit if need be: the thread holds resources. A second call does nothing."""
        with self._lock:
            if self._state == "away":
                self._threads.step(self._place, 1)
            self._state = "over"


threads = Threads()


def failed(error: BaseException) -> Outcome:
    """The outcome of a body that raised an error, or that could not be called for it."""

    def outcome() -> NoReturn:
        raise error

    return outcome


def in_thread(body: Outcome) -> Start:
    """Run a body in a worker thread. A body that has started cannot be stopped."""

    def start(begin: Begin, finish: Finish) -> None:
        def work() -> None:
            if begin():
                finish(body)

        threads.submit(work)

    return start


async def call_in_thread(start: Callable[[Callable[[], None]], None], function: Callable[[], T]) -> T:
    """Call a function in a thread that `start` starts, in this context, and wait for its result."""
    home, over = Home(), anyio.Event()
    context = contextvars.copy_context()
    results: list[T] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(context.run(function))
        except BaseException as error:  # noqa: BLE001  # raised on the loop
            errors.append(error)
        home.soon(over.set)

    start(work)
    await over.wait()
    if errors:
        raise errors.pop()
    return results[0]


def is_executor(given: object) -> bool:
    """Whether the value is an executor, or a Dask client, which has one."""
    return isinstance(given, Executor) or callable(getattr(given, "get_executor", None))


def check_executor(given: object) -> None:
    """Raise `InvalidOptionError` for an invalid `executor=`."""
    if given is None or is_executor(given):
        return
    try:
        if not callable(given):
            raise TypeError
        inspect.signature(given).bind()
    except (TypeError, ValueError):
        raise InvalidOptionError(
            "executor is a concurrent.futures.Executor (such as ProcessPoolExecutor(4)), a Dask client, or a "
            f"function without parameters that makes one; not {given!r:.100}"
        ) from None
