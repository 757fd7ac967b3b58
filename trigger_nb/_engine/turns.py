"""R12: tasks that ran beside each other are replayed in the order in which they ended.

A stored result could be returned at once, and results that are awaited side by side would come in the order of the code:
`asyncio.as_completed`, `asyncio.wait`, or a list that tasks append to would see another order than in the pass that ran the
bodies, and the code could take another branch.

The ordinals in the records say in which order tasks began and ended. A record also notes the *gap* before its end: how many
turns of the event loop passed since the end before it. A replay gives out the results in the order of their ends, each once
the calls that had begun before it have come, and with the same gaps: results that came together come together again, and the
code can act on one that came alone.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Any, NamedTuple

from .._keys import parent_path
from .._records.records import readable_task, turn_in_text

if TYPE_CHECKING:
    from .._concurrency.threads import Home
    from .._tasks.call import Call

# The longest gap, in turns of the loop. In so many, code can act on a result: `asyncio.wait` around a task that awaits
# another one takes five.
LONGEST_GAP = 12
# After so many results to which no call was the answer, as in a large `gather`, several are given out at once.
_UNANSWERED = 64


class Turn(NamedTuple):
    """The place of a task that had company among the others: the ordinals of its start and end, and the gap before."""

    ended: int
    started: int
    gap: int  # turns of the loop, from 0 to `LONGEST_GAP`


class Turns:
    """The gaps between the results of one pass, and the calls that wait to be given their stored results.

    Lives on the loop, but for `gap`.
    """

    def __init__(self, home: Home, texts: Mapping[str, str]) -> None:
        # The time that code in a worker thread gets to act on a result, in seconds: no turns of the loop tell when it has.
        self.thread_seconds = 0.002
        self._home = home
        self._texts = texts  # of the run's records, by path
        self._since = LONGEST_GAP  # turns of the loop since the last body ended, at most `LONGEST_GAP`
        # The ends of bodies in threads whose callers were not woken yet, in order, and how to wake those whose result is
        # committed.
        self.line: dict[float, Callable[[], object] | None] = {}
        # A heap of the ends of bodies on the loop whose callers wait for results with earlier ends.
        self._behind: list[tuple[int, asyncio.Future[None]]] = []
        self._lock = threading.Lock()  # of `line`: an end takes its place as it gets its ordinal
        # A heap of calls that wait: their turns, the futures that they await, and time for threads.
        self.waiting: list[tuple[Turn, asyncio.Future[None], float]] = []
        self._is_giving = False
        self._passed = LONGEST_GAP  # turns of the loop since a result was given out, at most `LONGEST_GAP`
        self._idle = 0  # turns of the loop since a result was given out or a call came
        self._unanswered = 0  # results given out since a call came
        # The turns of the stored tasks that had company, by scope and path; None: not looked for yet. A scope is taken out
        # when its code runs in this pass: then its tasks are expected.
        self._stored: dict[str, dict[str, Turn]] | None = None
        self._expected: dict[str, Turn] = {}  # calls that have not come; some never do: the code was edited
        self._starts: list[tuple[int, str]] = []  # a heap of these, with some that have come
        self._ends: list[int] = []  # a heap of the ends that were not given out, with some that were
        self._given: set[int] = set()  # those

    # A body has ended -------------------------------------------------------------------------------

    def gap(self) -> int:
        """The turns of the loop since the last body with company ended, at most `LONGEST_GAP`. May be called from any thread."""
        if threading.get_ident() != self._home.thread:
            return 0 if len(self.line) > 1 else self._since  # behind another one, it ends with that
        gap = self._since
        self.begin_gap()
        return gap

    def begin_gap(self) -> None:
        """A body has ended: count the turns of the loop from here."""
        if self._since == LONGEST_GAP:
            asyncio.get_running_loop().call_soon(self._count)
        self._since = 0

    def join_line(self, ordinals: Iterator[int]) -> int:
        """The ordinal of the end of a body in a thread. Its caller wakes once `leave_line` was called, and not before the callers
        of bodies that ended earlier."""
        with self._lock:
            ended = next(ordinals)
            self.line[ended] = None
        return ended

    def leave_line(self, ended: int, wake: Callable[[], object]) -> None:
        """Have the caller of a body woken in its turn: its result is committed, or it failed. May be called from any thread."""
        if ended not in self.line:  # it has not returned, so it has no place
            self._home.soon(wake)
            return
        self.line[ended] = wake
        self._home.soon(self._wake_first)

    def _wake_first(self) -> None:
        """Let the callers go on whose bodies ended first, in threads and on the loop, after all stored results that wait."""
        while (wake := self.line.get(first := self._first())) is not None:
            del self.line[first]
            self.begin_gap()
            wake()
        while self._behind and self._behind[0][0] < first:
            _, passed = heappop(self._behind)
            if not passed.done():
                passed.set_result(None)

    def _first(self) -> float:
        """The earliest end whose caller has not got its result: of a stored one, or of a body in a thread."""
        with self._lock:
            first = next(iter(self.line), math.inf)
        return min(first, self.waiting[0][0].ended) if self.waiting else first

    def behind_others(self, ended: int) -> asyncio.Future[None]:
        """For a body that ended on the loop: done once the results were given out that have earlier ends."""
        passed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._first() < ended:
            heappush(self._behind, (ended, passed))
        else:
            passed.set_result(None)
        return passed

    def _count(self) -> None:
        self._since += 1
        if self._since < LONGEST_GAP:
            asyncio.get_running_loop().call_soon(self._count)

    # A result is replayed ---------------------------------------------------------------------------

    def turn_of(self, call: Call[Any]) -> Turn | None:
        """The turn of a call whose plain result is replayed; None if it may have the result at once.

        At once it has the next result, if that came with the one before: code that waits for the first of several needs two
        turns to see it. So a large `gather` whose tasks ended in
        the order of the code is replayed without a future for each.
        """
        turn = self.arrived(call)
        if turn is None or threading.get_ident() != self._home.thread:
            return turn
        if (turn.gap > 1 and self._passed < turn.gap) or self._ends[0] != turn.ended:
            return turn
        self._note_given(turn.ended)
        return None

    def arrived(self, call: Call[Any]) -> Turn | None:
        """Note that a call has come. Returns its turn if it is stored and had company."""
        if self._stored is None:
            self._stored = self._read()
        if (scope := self._stored.pop(call.scope.path, None)) is not None:
            self._expected |= scope
            self._starts += [(turn.started, path) for path, turn in scope.items()]
            self._ends += [turn.ended for turn in scope.values()]
            heapify(self._starts)
            heapify(self._ends)
        turn = self._expected.pop(call.path, None)
        if turn is not None:
            self._idle = self._unanswered = 0
        return turn

    async def take_turn(self, call: Call[Any]) -> None:
        """Wait for the turn of a call that is being performed and turns out to be replayed, if it had company."""
        if call.turn is not None:
            await self._wait(call.turn)

    async def take(self, call: Call[Any], *, in_thread: bool = False) -> None:
        """Wait for the turn of a call that is replayed. The scope of the call does not end meanwhile (A6)."""
        call.scope.enter(call)
        try:
            await self._wait(call.turn, self.thread_seconds if in_thread else 0.0)
        finally:
            call.scope.leave(call)

    def _wait(self, turn: Turn, seconds: float = 0.0) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        given: asyncio.Future[None] = loop.create_future()
        heappush(self.waiting, (turn, given, seconds))
        if not self._is_giving:
            self._is_giving = True
            loop.call_soon(self._look)
        return given

    def _look(self) -> None:
        """Give out what is due, once in each turn of the loop while a call waits."""
        waiting, seconds = self.waiting, 0.0
        crowd = len(waiting) // _UNANSWERED if self._unanswered >= _UNANSWERED else 0
        self._idle += 1
        while waiting and (crowd > 0 or self._is_due(waiting[0][0])):
            crowd -= 1
            turn, given, time = heappop(waiting)
            self._note_given(turn.ended)
            self._idle = 0
            self._unanswered += 1
            seconds = max(seconds, time)
            if not given.done():  # else the call was cancelled
                given.set_result(None)
        if self._behind or self.line:
            self._wake_first()
        if not waiting:
            self._is_giving = False
        elif seconds:
            asyncio.get_running_loop().call_later(seconds, self._look)
        else:
            asyncio.get_running_loop().call_soon(self._look)

    def _is_due(self, turn: Turn) -> bool:
        """Whether the first of the calls that wait is due. Calls that ended or began before it have come, or were waited for
        long enough."""
        starts, ends = self._starts, self._ends
        while starts and starts[0][1] not in self._expected:
            heappop(starts)
        if (ends and ends[0] < turn.ended) or (starts and starts[0][0] < turn.ended):
            return self._idle >= LONGEST_GAP
        return self._passed >= turn.gap

    def _note_given(self, ended: int) -> None:
        if self._passed == LONGEST_GAP:
            asyncio.get_running_loop().call_soon(self._pass)
        self._passed = 0
        ends, given = self._ends, self._given
        given.add(ended)
        while ends and (ends[0] in given or ends[0] < ended):  # a smaller one did not come
            heappop(ends)

    def _pass(self) -> None:
        self._passed += 1
        if self._passed < LONGEST_GAP:
            asyncio.get_running_loop().call_soon(self._pass)

    def _read(self) -> dict[str, dict[str, Turn]]:
        found: defaultdict[str, dict[str, Turn]] = defaultdict(dict)
        for path, text in self._texts.items():
            turn = turn_in_text(text)
            if turn is None and '"beside":' in text:  # an error, a long value, a wait
                record = readable_task(path, text)
                turn = (record.ended, record.started, record.beside) if record.beside else None
            if turn is not None:
                ended, started, beside = turn
                found[parent_path(path)][path] = Turn(ended, started, beside - 1)
        return found
