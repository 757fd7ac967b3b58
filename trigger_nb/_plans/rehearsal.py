"""A pass that calls no body and writes nothing: what a run would replay, and what it would execute.

The run function is called as in any pass, and every call of `io` is decided as in any pass. Where a body
would be called, the call is noted and never returns. What runs beside it goes on, until nothing moves.

It has a thread and an event loop of its own, so that a cell can ask for it without `await`, and so that
it can be known that nothing moves: before the loop goes to sleep, it asks. Where all there is left to do
is to wait, time jumps.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from contextvars import copy_context
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from .. import _ledger
from .._awaiting import has_loop
from .._call import UNKNOWN, Call, Memory, Stop
from .._commit import GroupCommit, Pending
from .._engine import Pass
from .._executors import Home
from .._feed import Feed
from .._interrupt import calls_user_code, interruptible
from .._io import checkpoint
from .._records import Reason, RunRecord, RunStatus, TaskRecord, readable_task
from .._redact import secrets
from .._runtime import call_run_function, users_frames
from .._scope import current_scope
from .virtual import VirtualClock, VirtualLoop

if TYPE_CHECKING:
    from .._clock import Clock
    from .._flights import Flight
    from .._prints import Prints
    from .._runtime import Runtime, Work
    from .._scope import Scope
    from .._store_protocol import Row

T = TypeVar("T")

# How long code of the user's that moves beside a wait, or a body that would be called, is given to come to
# its next call, in seconds. It may well wait for what is not known.
PATIENCE = 1.0
GRACE = 1.0  # how long it may take to unwind at the end


@dataclass(frozen=True, slots=True)
class Met:
    """A call that would not be replayed, or a run or an event that would be started."""

    call: Call[Any] | None
    reason: Reason
    due: float | None = None  # not before then, in seconds since the epoch
    what: str = ""  # is started, where it is no call


def rehearse(runtime: Runtime, work: Work, run: RunRecord) -> Rehearsal:
    """Rehearse the next pass of a run, in a thread of its own, and wait for it.

    Nothing of the run's record is changed. Raises `StoreError` and `ValueNotLoadedError`; an error of the run function is in the
    `failure` of what is returned.
    """
    return _Stage(runtime, work, run).play()


class Rehearsal(Pass):
    """A pass in which each body that would be called is noted instead."""

    def __init__(self, runtime: Runtime, work: Work, run: RunRecord, loop: VirtualLoop) -> None:
        clock = VirtualClock(runtime.clock, loop)
        memory = _as_stored(runtime, run.id)
        self.stored = dict(memory.records)  # the texts of the tasks' records as they are, by path
        self._home = _Home()
        super().__init__(
            run=_as_begun(run, clock), store=runtime.store, journal=_Nowhere(runtime.store), clock=clock,
            feed=Feed(), home=self._home, settings=work.settings, memory=memory,
            make_io=_no_io, run_was_completed=run.status == RunStatus.COMPLETED,
        )  # fmt: skip
        self.bodies: list[Met] = []  # those that would be called, in the order in which they were met
        self.waits: list[Met] = []
        self.walked: set[str] = set()  # paths of fan-outs
        self.thread: threading.Thread | None = None  # the one that a `def` job runs in
        self._loop = loop
        self._beginning: dict[str, Call[Any]] = {}  # waits that have not been told yet
        self._countdowns: dict[str, float] = {}  # when those end that go before a body
        self._open: set[str] = set()  # fan-outs of which an item would be executed
        # What sleeps, by when it wakes. The number keeps the order of equal times.
        self._asleep: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()
        self._calls_met = 0
        self._give_up_at = 0.0

    @property
    def replayed(self) -> list[str]:
        """Paths of the tasks and waits whose stored result, or error, was given."""
        return [
            path
            for path, reason in self.reasons.items()
            if reason == Reason.REPLAYED and path not in self.walked
        ]

    @property
    def error(self) -> BaseException | None:
        """What the run would fail with, as far as that is known."""
        error = self.misuse
        if error is None and self.stopped == Stop.ENDED and isinstance(self.failure, Exception):
            error = self.failure
        return error

    # As in any pass, but for what would be done ---------------------------------------------------

    async def _after_living(self, call: Call[Any], living: Flight) -> Any:
        self._saw(call.path, Reason.ADOPTED)
        return await self._would_run(call)

    def _places(self, call: Call[Any]) -> None:
        pass  # nothing begins, so nothing has to be let in

    def _attempt(self, call: Call[Any], record: TaskRecord, prints: Prints | None) -> Awaitable[Any]:
        return self._would_run(call)

    async def _would_run(self, call: Call[Any]) -> Any:
        """A body would be called. What comes after it cannot be known."""
        if call.kind == "status" or call.body is checkpoint:
            return None  # which is all that comes of them
        due = self._countdowns.pop(call.path, None)
        self.bodies.append(Met(call, self.reasons[call.path], due))
        if call.limiter is None:
            await self._never()
        self._open.add(call.scope.path)  # a map goes on to its next item
        return UNKNOWN

    async def _walk(self, call: Call[Any]) -> Any:
        self.walked.add(call.path)
        try:
            value = await super()._walk(call)
        except Exception:
            if call.path not in self._open:
                raise
        else:
            if call.path not in self._open:
                return value
        return await self._never()

    async def _wait(self, call: Call[Any]) -> None:
        self._beginning[call.path] = call
        await super()._wait(call)

    async def _pause(self, path: str, until: float, why: Any) -> None:
        call = self._beginning.pop(path, None)
        if until <= self.clock.time():
            if call is not None and self.reasons[path] != Reason.NEW:
                self.reasons[path] = Reason.REPLAYED
        elif call is None:
            self._countdowns[path] = until
        else:
            self.waits.append(Met(call, self.reasons[path], until))
            await self._skip_to(until)

    async def _linger(self, seconds: float) -> None:
        await self._skip_to(self.clock.time() + seconds)

    def _note_cancellation(self, call: Call[Any], error: BaseException, seconds: float) -> None:
        pass

    def log(self, scope: Scope, level: str, message: object, data: Any = None) -> None:
        pass

    def about_to_start(self, what: str) -> None:
        self.bodies.append(Met(None, Reason.NEW, what=what))
        raise self.cancellation()

    # Until nothing moves --------------------------------------------------------------------------

    async def _never(self) -> NoReturn:
        await self._loop.create_future()
        raise AssertionError("unreachable")

    async def _skip_to(self, when: float) -> None:
        woken = self._loop.create_future()
        heapq.heappush(self._asleep, (when, next(self._numbers), woken))
        await woken

    def at_rest(self, timeout: float | None) -> float | None:
        """The loop is about to sleep so long, or (None) until it is woken: how long it shall."""
        while self._asleep and self._asleep[0][2].done():  # cancelled
            heapq.heappop(self._asleep)
        if self.stopped is not None or not (self.bodies or self._asleep):
            return timeout  # as in any pass
        if self._is_moving and (left := self._patience()) > 0:
            return left if timeout is None else min(left, timeout)
        if self.bodies or self._is_moving:
            self.stop(Stop.INTERRUPT)
        else:
            self._jump(timeout)
        return 0.0

    @property
    def _is_moving(self) -> bool:
        """Whether something may go on that is none of our calls."""
        thread = self.thread
        return self._loop.is_busy or (thread is not None and thread.ident not in self._home.standing)

    def _patience(self) -> float:
        """How many seconds are left for the next call to come."""
        if len(self.reasons) != self._calls_met:
            self._calls_met = len(self.reasons)
            self._give_up_at = monotonic() + PATIENCE
        return self._give_up_at - monotonic()

    def _jump(self, timeout: float | None) -> None:
        """To when the first wait is over, unless a limit of time comes before."""
        when, _, woken = self._asleep[0]
        left = max(0.0, when - self.clock.time())
        if timeout is None or left <= timeout:
            heapq.heappop(self._asleep)
            woken.set_result(None)
        else:
            left = timeout
        self._loop.ahead += left

    def on_limit(self) -> bool:
        """A limit of time is over. Whether it counts: what would have happened by then may be unknown."""
        if self.stopped is None and self.bodies:
            self.stop(Stop.INTERRUPT)
            return False
        return True

    # From the beginning to the end ----------------------------------------------------------------

    async def play(self, work: Work) -> None:
        """Call the run function, and leave it once nothing moves."""
        main = self.main = self._loop.create_task(self._call_function(work))
        stopped = self.stopped_event = asyncio.Event()
        stopping = self._loop.create_task(stopped.wait())
        await asyncio.wait({main, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not main.done():
            await asyncio.wait({main}, timeout=GRACE)
        await self.unwind(GRACE)

    async def _call_function(self, work: Work) -> None:
        token = current_scope.set(self.root)
        try:
            self.result = (await call_run_function(work, self, self._spawn),)
        except BaseException as error:  # noqa: BLE001  # sorted by `error`
            secrets.hide_in_error(error)
            error.__traceback__ = users_frames(error.__traceback__)
            self.failure = error
        finally:
            self.end()
            current_scope.reset(token)

    def _spawn(self, call: Callable[[], None]) -> None:
        self.thread = threading.Thread(target=call, name="trigger_nb plan", daemon=True)
        self.thread.start()


class _Stage:
    """The thread and the loop of one rehearsal."""

    def __init__(self, runtime: Runtime, work: Work, run: RunRecord) -> None:
        self._runtime = runtime
        self._work = work
        self._run = run
        self._over: Future[Rehearsal] = Future()
        self._rehearsal: Rehearsal | None = None

    def play(self) -> Rehearsal:
        thread = threading.Thread(
            target=copy_context().run, args=(self._play,), name="trigger_nb plan", daemon=True
        )
        thread.start()
        try:
            return self._wait()
        except BaseException:
            self._call_off()
            raise
        finally:
            thread.join(GRACE)

    @calls_user_code
    def _wait(self) -> Rehearsal:
        """Until it is over. An interrupt raises here, and ends it."""
        if not has_loop():
            return self._over.result()
        with interruptible(lambda: None):
            return self._over.result()

    def _call_off(self) -> None:
        rehearsal = self._rehearsal
        if rehearsal is not None:
            rehearsal.home.soon(lambda: rehearsal.stop(Stop.CANCEL))

    def _play(self) -> None:
        try:
            with asyncio.Runner(loop_factory=VirtualLoop) as runner:
                self._over.set_result(runner.run(self._rehearse()))
        except BaseException as error:
            if self._over.done():
                raise
            self._over.set_exception(error)
        if self._rehearsal is not None and self._rehearsal.thread is not None:
            self._rehearsal.thread.join(GRACE)

    async def _rehearse(self) -> Rehearsal:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        rehearsal = self._rehearsal = Rehearsal(self._runtime, self._work, self._run, loop)
        loop.director = rehearsal
        await rehearsal.play(self._work)
        if rehearsal.stop_error is not None:  # something stored cannot be read
            raise rehearsal.stop_error
        return rehearsal


# What a pass needs around it -------------------------------------------------------------------------


def _as_begun(run: RunRecord, clock: Clock) -> RunRecord:
    """The record that the next pass of a run would have."""
    now = round(clock.time(), 3)
    return run.copy(
        status=RunStatus.RUNNING, reason="", passes=run.passes + 1, created_at=run.created_at or now,
        started_at=run.started_at or now, began_at=now, hints=[],
    )  # fmt: skip


def _as_stored(runtime: Runtime, run_id: str) -> Memory:
    """What is known of a run now, in a memory of its own: also what a failing store did not take (A9)."""
    known = runtime.memories.get(run_id) or Memory()
    memory = Memory(live=dict(known.live), parked_values=known.parked_values)
    _ledger.begin(memory, run_id, runtime.store)
    with known.lock:
        newer = [*_tasks_of(run_id, known.parked), *known.records.items()]
    for path, text in newer:
        stored = memory.records.get(path)
        if stored is None or not _ledger.wins(readable_task(path, stored), readable_task(path, text)):
            memory.records[path] = text
    return memory


def _tasks_of(run_id: str, rows: Sequence[Row]) -> list[tuple[str, str]]:
    return [(row.key.removeprefix(f"{run_id}/"), row.text) for row in rows if row.tag == run_id]


def _no_io(scope: Scope, blocking: bool) -> Any:
    raise AssertionError("it is for bodies and handlers, of which none is called")


class _Nowhere(GroupCommit):
    """Writes no row: what a rehearsal records is gone with it."""

    def enqueue(self, rows: Sequence[Row]) -> Pending:
        pending = Pending(rows)
        pending.done = True
        return pending


class _Home(Home):
    """A loop that knows which threads wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.standing: set[int | None] = set()  # their identifiers

    def run(self, function: Callable[[], Awaitable[T]]) -> T:
        thread = threading.get_ident()

        async def stand() -> T:
            self.standing.add(thread)
            try:
                return await function()
            finally:
                self.standing.discard(thread)

        return super().run(stand)
