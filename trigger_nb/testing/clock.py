"""A clock for tests: three days of waiting take milliseconds."""

from __future__ import annotations

import heapq
import itertools
import threading
from datetime import UTC, datetime, timedelta

import anyio
from anyio.lowlevel import checkpoint

from .._clock import to_seconds, to_timestamp
from .._executors import Home, threads

# Turns of the event loop after which whatever could go on has gone on. A chain of awaits takes one
# turn for each task that it wakes, and ours are a few links long.
_TURNS = 100

# How many turns a jump waits for bodies in threads: one may itself wait for the jump. A turn takes a
# millisecond, and longer on a busy machine, where the bodies take longer, too.
_PATIENCE = 500

_START = datetime(2030, 1, 1, tzinfo=UTC)


class FakeClock:
    """Time that stands still, except that it jumps to the next deadline when all there is left to do is wait.

    ```
    clock = FakeClock()
    client = TriggerClient("test", clock=clock)
    ...
    await job.run()                 # an `io.wait("w", days=3)` in it takes milliseconds
    clock.time()                    # three days later
    ```

    With `autojump=False` it moves only by `advance`. Before a jump, `def` bodies in worker threads get a
    moment to end; real I/O and threads of the test's own do not, so a test of those moves the clock by
    hand. Waits, retries and `delay_until` go by this clock; a task's `timeout` and `asyncio.sleep` are
    real time.
    """

    def __init__(self, start: datetime | float = _START, *, autojump: bool = True) -> None:
        self._now = to_timestamp(start, "start") if isinstance(start, datetime) else float(start)
        self._autojump = autojump
        self._jumping = False
        self._lock = threading.Lock()
        self._order = itertools.count()  # of two equal deadlines the one that was first set comes first
        self._sleepers: list[tuple[float, int, _Sleeper]] = []

    def time(self) -> float:
        """Seconds since the epoch, UTC."""
        return self._now

    @property
    def deadlines(self) -> list[float]:
        """What is slept for, as times, the next one first."""
        with self._lock:
            return sorted(when for when, _, sleeper in self._sleepers if not sleeper.gone)

    def advance(self, duration: float | timedelta) -> None:
        """Move on by so many seconds and wake whoever slept until then. From any thread."""
        self._move(self._now + to_seconds(duration, "duration"))

    async def sleep_until(self, when: float) -> None:
        """Return once `time()` is at or past `when`."""
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
        """Go to the next deadline, unless the clock was moved while all else came to wait."""
        self._jumping = True
        try:
            before = self._now
            await _all_else_waits()
            if self._now == before and (deadlines := self.deadlines):
                self._move(deadlines[0])
        finally:
            self._jumping = False

    def _hand_over(self) -> None:
        """One sleeper sees to the next jump; when it leaves, another has to."""
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
        """Until somebody calls `wake`."""
        await self._woken.wait()
        self._woken = anyio.Event()

    def wake(self) -> None:
        """From any thread."""
        self._home.soon(lambda: self._woken.set())  # noqa: PLW0108  # the one of then, not of now


async def _all_else_waits() -> None:
    """Let the event loop and our worker threads do all that can be done without more time."""
    patience, turns = _PATIENCE, 0
    while turns < _TURNS:
        await checkpoint()
        turns += 1
        if threads.busy and patience > 0:
            await anyio.sleep(0.001)
            patience, turns = patience - 1, 0
