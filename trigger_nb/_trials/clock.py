"""A fake clock for tests, with which three days of waiting take milliseconds."""

from __future__ import annotations

import heapq
import itertools
import threading
from datetime import UTC, datetime, timedelta

import anyio
from anyio.lowlevel import checkpoint

from .._clock import to_seconds, to_timestamp
from .._concurrency.threads import Home, threads

# Turns of the event loop after which all tasks wait. A chain of awaits needs one turn for each task that it
# wakes, and the package's chains have a few links.
_TURNS = 100
# How many turns a jump waits for bodies in threads: one may itself wait for the jump. A turn takes a
# millisecond, and longer on a busy machine, where the bodies take longer, too.
_PATIENCE = 500
_START = datetime(2030, 1, 1, tzinfo=UTC)


class FakeClock:
    """A clock that stands still, and jumps to the next deadline when everything else waits.

    - `start`: the time at first, as a datetime with a time zone or as UTC seconds since the epoch (default:
      2030-01-01).
    - `autojump`: False for a clock that only `advance` moves (default True).

    Raises `InvalidOptionError` for a `start` without a time zone.

    ```
    clock = FakeClock()
    client = TriggerClient("test", clock=clock)
    ...
    await job.run()                 # io.wait("w", days=3) in the job takes milliseconds
    clock.time()                    # three days later
    ```

    Before a jump, `def` bodies in worker threads get a moment to end. Real I/O and the test's own threads
    do not: use `advance` in such a test. Waits, retries and `delay_until` use this clock; a task's
    `timeout` and `asyncio.sleep` use real time.

    >>> clock = FakeClock(0.0, autojump=False)
    >>> clock.advance(timedelta(days=3))
    >>> clock.time()
    259200.0
    """

    def __init__(self, start: datetime | float = _START, *, autojump: bool = True) -> None:
        self._now = to_timestamp(start, "start") if isinstance(start, datetime) else float(start)
        self._autojump = autojump
        self._jumping = False
        self._lock = threading.Lock()
        self._order = itertools.count()  # orders equal deadlines by the time of their call
        self._sleepers: list[tuple[float, int, _Sleeper]] = []

    def time(self) -> float:
        """Seconds since the epoch, UTC."""
        return self._now

    @property
    def deadlines(self) -> list[float]:
        """The times that sleepers wait for, the next one first."""
        with self._lock:
            return sorted(when for when, _, sleeper in self._sleepers if not sleeper.gone)

    def advance(self, duration: float | timedelta) -> None:
        """Move the clock by a duration, in seconds or as a `timedelta`, and wake the sleepers that are due.

        It may be called from any thread.
        """
        self._move(self._now + to_seconds(duration, "duration"))

    async def sleep_until(self, when: float) -> None:
        """Sleep until `time()` is `when` or later."""
        if when <= self._now:
            return
        sleeper = _Sleeper()
        with self._lock:
            heapq.heappush(self._sleepers, (when, next(self._order), sleeper))
        try:
            while self._now < when:
                if self._autojump and not self._jumping:
                    await self._jump()
                else:
                    await sleeper.sleep()
        finally:
            sleeper.gone = True
            self._hand_over()

    async def _jump(self) -> None:
        """Move to the next deadline, unless the clock moved before everything else waited."""
        self._jumping = True
        try:
            before = self._now
            await _all_else_waits()
            if self._now == before and (deadlines := self.deadlines):
                self._move(deadlines[0])
        finally:
            self._jumping = False

    def _hand_over(self) -> None:
        """Wake the next sleeper, which makes the next jump, when one has left."""
        with self._lock:
            while self._sleepers and self._sleepers[0][2].gone:
                heapq.heappop(self._sleepers)
            following = self._sleepers[0][2] if self._sleepers else None
        if following is not None and self._autojump and not self._jumping:
            following.wake()

    def _move(self, to: float) -> None:
        with self._lock:
            self._now = max(self._now, to)
            due: list[_Sleeper] = []
            while self._sleepers and self._sleepers[0][0] <= self._now:
                due.append(heapq.heappop(self._sleepers)[2])
        for sleeper in due:
            sleeper.wake()

    def __repr__(self) -> str:
        return f"<FakeClock at {datetime.fromtimestamp(self._now, UTC):%Y-%m-%d %H:%M:%S} UTC>"


class _Sleeper:
    """One call of `sleep_until`."""

    def __init__(self) -> None:
        self.gone = False
        self._woken = anyio.Event()
        self._home = Home()

    async def sleep(self) -> None:
        """Sleep until a call of `wake`."""
        await self._woken.wait()
        self._woken = anyio.Event()

    def wake(self) -> None:
        """Wake the sleeper, from any thread."""
        self._home.soon(lambda: self._woken.set())  # noqa: PLW0108  # `_woken` is replaced later


async def _all_else_waits() -> None:
    """Let the event loop and the worker threads do everything that needs no more time."""
    patience, turns = _PATIENCE, 0
    while turns < _TURNS:
        await checkpoint()
        turns += 1
        if threads.busy and patience > 0:
            await anyio.sleep(0.001)
            patience, turns = patience - 1, 0
