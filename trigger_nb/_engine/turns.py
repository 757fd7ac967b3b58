"""R12: tasks that ran beside each other are replayed in the order in which they ended.

A stored result could be returned at once, and results that are awaited side by side would come in the order of the code:
`asyncio.as_completed`, `asyncio.wait`, or a list that tasks append to would see another order than in the pass that ran the
bodies, and the code could take another branch.

A record notes the *gap* before its end: how many turns of the event loop passed since the result before it. A replay leaves
the same gap, so that results that came together come together again, and the code can act on one that came alone.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

from .._records.records import turn_in_text

if TYPE_CHECKING:
    from .._concurrency.threads import Home
    from .._records.records import TaskRecord
    from .._tasks.call import Call

# The longest gap, in turns of the loop. In so many, code can act on a result: `asyncio.wait` around a task that awaits
# another one takes five.
LONGEST_GAP = 12
# The time that code in a worker thread gets to act on a result, in seconds: no turns of the loop tell when it has.
_THREAD_TIME = 0.002
# After so many results to which no call was the answer, as in a large `gather`, several are given out at once.
_UNANSWERED = 64


class Turns:
    """The gaps between the results of one pass, and the calls that wait to be given their stored results.

    Lives on the loop, but for `beside`.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._since = LONGEST_GAP  # turns of the loop since the last result, at most `LONGEST_GAP`
        # A heap of calls that wait: the end and the gap of each, the future that it awaits, and time for threads.
        self._waiting: list[tuple[int, int, asyncio.Future[None], float]] = []
        # The ends of the run function's own tasks that had company, in order, from the next one that is to be given out.
        self._ends: deque[int] | None = None
        self._is_giving = False
        self._unanswered = 0  # results given out since a call came

    # A body has ended -------------------------------------------------------------------------------

    def beside(self, call: Call[object]) -> int:
        """`beside` for the record of a call that ends now. May be called from any thread.

        0 for an item of a map, too: a map gives out results itself, in the order of its input.
        """
        if not call.beside or call.limiter is not None:
            return 0
        gap = self._since
        if threading.get_ident() == self._home.thread:
            self._since = 0
            if gap == LONGEST_GAP:
                asyncio.get_running_loop().call_soon(self._count)
        return 1 + gap

    def _count(self) -> None:
        self._since += 1
        if self._since < LONGEST_GAP:
            asyncio.get_running_loop().call_soon(self._count)

    # A result is replayed ---------------------------------------------------------------------------

    def is_next(self, call: Call[Any], turn: tuple[int, int], texts: Mapping[str, str]) -> bool:
        """Whether a call may have its result at once: it is the next one, and came together with the one before.

        So a large `gather` whose tasks ended in the order of the code is replayed without a future for each.
        """
        if call.scope.parent is not None or threading.get_ident() != self._home.thread:
            return False
        ended, beside = turn
        ends = self._ends
        if ends is None:
            ends = self._ends = deque(sorted(_ends(texts)))
            beside = 1  # there is none before
        if beside > 1 or not ends or ends[0] != ended or (self._waiting and self._waiting[0][0] < ended):
            return False
        ends.popleft()
        return True

    async def take_by(self, call: Call[object], record: TaskRecord) -> None:
        """Wait for the turn of a call with this record, if it ran beside others."""
        if record.beside:
            call.turn = (record.ended, record.beside)
            await self.take(call)

    async def take(self, call: Call[object], *, in_thread: bool = False) -> None:
        """Wait for the turn of a call. The scope of the call does not end meanwhile (A6)."""
        assert call.turn is not None
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        ended, beside = call.turn
        heappush(self._waiting, (ended, beside, turn, _THREAD_TIME if in_thread else 0.0))
        self._unanswered = 0
        if not self._is_giving:
            self._is_giving = True
            loop.call_soon(self._pass_by, LONGEST_GAP)
        call.scope.enter(call)
        try:
            await turn
        finally:
            call.scope.leave(call)

    def _pass_by(self, turns: int) -> None:
        if turns:
            asyncio.get_running_loop().call_soon(self._pass_by, turns - 1)
        else:
            self._give()

    def _give(self) -> None:
        """Give out the next result, with those that came at the same time."""
        waiting, seconds = self._waiting, 0.0
        crowd = len(waiting) // _UNANSWERED if self._unanswered >= _UNANSWERED else 0
        while waiting:
            ended, _, turn, time = heappop(waiting)
            if self._ends and self._ends[0] == ended:
                self._ends.popleft()
            self._unanswered += 1
            seconds = max(seconds, time)
            if not turn.done():  # else the call was cancelled
                turn.set_result(None)
            if crowd > 0:
                crowd -= 1
            elif waiting and waiting[0][1] > 1:
                break
        loop = asyncio.get_running_loop()
        if not waiting:
            self._is_giving = False
        elif seconds:
            loop.call_later(seconds, self._give)
        else:
            loop.call_soon(self._pass_by, waiting[0][1] - 2)


def _ends(texts: Mapping[str, str]) -> Iterator[int]:
    """The ends of the run function's own tasks with plain values that had company."""
    for path, text in texts.items():
        if "/" not in path and (turn := turn_in_text(text)) is not None:
            yield turn[0]
