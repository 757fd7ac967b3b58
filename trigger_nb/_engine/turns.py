"""R12: tasks that ran beside each other are replayed in the order in which their results were given out.

A stored result could be returned at once, and results that are awaited side by side would come in the order of the code:
`asyncio.as_completed`, `asyncio.wait`, or a list that tasks append to would see another order than in the pass that ran the
bodies, and the code could take another branch.

So all results that had company leave the engine here, in every pass, in *bunches*. A bunch is given out in one turn of the
loop, and the next one once the code has done all that it can with it: when nothing is ready to run. A new result joins the
bunch that is not given out yet, and its record says which one that is (`beside`). Stored results are given out first, in the
bunches that their records tell of and in the order of their ends; then those of the bodies that this pass runs.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from .._concurrency.threads import Home
    from .._records.records import TaskRecord
    from .._tasks.call import Call

# The longest time that code gets for what was given out, in turns of the loop, while other code keeps the loop busy. In so
# many, code can act on a result: `asyncio.wait` around a task that awaits another one takes five.
LONGEST_REACTION = 12


class Bunch:
    """Results of bodies that this pass runs, to be given out together."""

    __slots__ = ("closed", "coming", "first", "given", "in_threads", "owner", "waiting")

    def __init__(self, owner: Turns, first: int) -> None:
        self.owner = owner  # that of the pass that gives them out: a body may outlive its own
        self.first = first  # the ordinal of the first end
        self.in_threads = 0  # results of bodies in threads that are not committed yet
        # The ends of bodies on the loop whose callers are not here yet. The first one's commit is that of all: they are queued.
        self.coming: deque[int] = deque()
        self.closed = False  # No more results join.
        self.given = False
        # The ends of committed results, and how to wake their callers.
        self.waiting: list[tuple[int, Callable[[], object]]] = []

    def arrive(self, ordinal: int) -> None:
        """The caller of a body on the loop is here, or has left."""
        if ordinal in self.coming:
            self.coming.remove(ordinal)


class End(NamedTuple):
    """The end of a body."""

    ordinal: int
    beside: int = 0  # for its record
    bunch: Bunch | None = None  # if it had company


# A call that waits for its stored result: the ordinal of its end and of the first one in its bunch, what it awaits, the
# seconds that code in threads gets to act on the result, and the call itself, if it is to be taken out of its scope then.
Stored: TypeAlias = "tuple[int, int, asyncio.Future[None], float, Call[Any] | None]"


class Turns:
    """Gives out the results of one pass that had company. Lives on the loop, but for `end` and `leave`."""

    def __init__(self, home: Home) -> None:
        # The time that code in a worker thread gets to act on a result, in seconds: the loop does not see when it has.
        self.thread_seconds = 0.002
        self._home = home
        self._lock = threading.Lock()  # of the ends and `_bunches`
        # The bunches that were not given out, oldest first. All but the last one are closed.
        self._bunches: deque[Bunch] = deque()
        self._stored: list[Stored] = []
        self._is_looking = False
        self._has_settled = True  # The code has done all that it can with what was given out.
        self._turns = 0  # turns of the loop since a result was given out or the call of a stored one came
        self._seconds = 0.0  # that a thread gets before the next turn

    # A body has ended -------------------------------------------------------------------------------

    def end(self, ordinals: Iterator[int]) -> End:
        """The end of a body that had company. `give`, `leave` or `drop` follows. May be called from any thread."""
        on_loop = threading.get_ident() == self._home.thread
        with self._lock:
            ordinal = next(ordinals)
            if not self._bunches or self._bunches[-1].closed:
                self._bunches.append(Bunch(self, ordinal))
            bunch = self._bunches[-1]
            if on_loop:
                bunch.coming.append(ordinal)
            else:
                bunch.in_threads += 1
        return End(ordinal, 1 + ordinal - bunch.first, bunch)

    def give(self, end: End) -> asyncio.Future[None] | None:
        """Give out a result that is committed. If it has to wait, returns what its caller awaits."""
        bunch = end.bunch
        if bunch is None or bunch.given:
            return None
        if bunch.owner is not self:
            return bunch.owner.give(end)
        is_first = not bunch.waiting and (not bunch.coming or bunch.coming[0] == end.ordinal)
        bunch.arrive(end.ordinal)
        is_next = is_first and self._has_settled and not self._stored and bunch is self._bunches[0]
        if is_next and self._give_next(with_coming=True):
            self._look_soon()
            return None
        given: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        bunch.waiting.append((end.ordinal, lambda: given.done() or given.set_result(None)))
        self._look_soon()
        return given

    def will_give(self, end: End | None) -> bool:
        """Whether the result of a body waits here to be given out."""
        return end is not None and end.bunch is not None and end.bunch.owner is self and not end.bunch.given

    async def follow(self, call: Call[Any], record: TaskRecord, end: End | None) -> None:
        """Wait for the turn of a call that has adopted a body, if the body ended in an earlier pass: its result counts as
        stored."""
        is_of_this_pass = end is not None and end.bunch is not None and end.bunch.owner is self
        if record.beside and not is_of_this_pass:
            call.turn = (record.ended, record.beside)
            await self._wait(call, None)

    def drop(self, end: End) -> None:
        """Let the others go on: the caller of a body on the loop was cancelled, or its result could not be committed."""
        if end.bunch is not None and not end.bunch.given:
            end.bunch.arrive(end.ordinal)
            end.bunch.owner._look_soon()

    def leave(self, end: End | None, wake: Callable[[], object]) -> None:
        """Have the caller of a body in a thread woken, in its turn if the body has a result, which is committed. May be
        called from any thread."""
        if end is None or end.bunch is None:
            self._home.soon(wake)
        else:
            end.bunch.owner._home.soon(partial(end.bunch.owner._leave, end.bunch, end.ordinal, wake))

    def _leave(self, bunch: Bunch, ordinal: int, wake: Callable[[], object]) -> None:
        bunch.in_threads -= 1
        bunch.waiting.append((ordinal, wake))
        self._look_soon()

    # A result is replayed ---------------------------------------------------------------------------

    async def take_turn(self, call: Call[Any]) -> None:
        """Wait for the turn of a call that is being performed and turns out to be replayed, if it had company."""
        if call.turn is not None:
            await self._wait(call, None)

    def take(self, call: Call[Any], *, in_thread: bool = False) -> asyncio.Future[None]:
        """Done when it is the turn of a call that is replayed. The scope of the call does not end before that (A6)."""
        call.scope.enter(call)
        return self._wait(call, call, self.thread_seconds if in_thread else 0.0)

    def _wait(self, call: Call[Any], entered: Call[Any] | None, seconds: float = 0.0) -> asyncio.Future[None]:
        assert call.turn is not None
        ended, beside = call.turn
        given: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._stored.append((ended, ended - beside + 1, given, seconds, entered))
        self._has_settled, self._turns = False, 0
        if seconds:
            self._seconds = seconds
        self._look_soon()
        return given

    async def settle(self) -> None:
        """Wait until the calls that wait have their stored results, and the code has done all that it can with those."""
        while self._stored or not self._has_settled:  # noqa: ASYNC110  # it is a few turns, and seldom
            await asyncio.sleep(0)

    # Giving out -------------------------------------------------------------------------------------

    def _look_soon(self) -> None:
        if not self._is_looking:
            self._is_looking = True
            asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        """Give out what is next, once the code has done all that it can with what was given out before."""
        loop = asyncio.get_running_loop()
        if self._seconds:
            seconds, self._seconds = self._seconds, 0.0
            loop.call_later(seconds, self._look)
            return
        self._turns += 1
        if not self._has_settled:
            self._has_settled = self._turns >= LONGEST_REACTION or _is_idle(loop)
        if self._has_settled and not self._give_next():
            if self._bunches and self._bunches[0].waiting:
                # Else results that join without end would hold back the first one.
                self._bunches[0].closed = True
            self._is_looking = False
        else:
            loop.call_soon(self._look)

    def _give_next(self, *, with_coming: bool = False) -> bool:
        """Give out the next bunch, now that the code has settled. False if there is none that is complete."""
        if self._stored:
            self._give_stored()
            return True
        if not self._bunches:
            return False
        bunch = self._bunches[0]
        with self._lock:
            if bunch.in_threads or (bunch.coming and not with_coming):
                return False
            self._bunches.popleft()
            bunch.given = True
        self._has_settled, self._turns = False, 0
        for _, wake in sorted(bunch.waiting, key=_ended):
            wake()
        return True

    def _give_stored(self) -> None:
        """Give out the earliest of the stored results for which calls wait, and those that came together with it."""
        stored = self._stored
        stored.sort(key=_ended, reverse=True)
        self._has_settled, self._turns = False, 0
        first = stored[-1][1]
        while stored and stored[-1][1] == first:
            _, _, given, seconds, call = stored.pop()
            if call is not None:
                call.scope.leave(call)
            self._seconds = max(self._seconds, seconds)
            if not given.done():  # else the call was cancelled
                given.set_result(None)


_ended = itemgetter(0)


def _is_idle(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether nothing else is ready to run on the loop. An event loop that does not tell, such as uvloop's, counts as busy."""
    ready = getattr(loop, "_ready", None)
    return ready is not None and not ready
