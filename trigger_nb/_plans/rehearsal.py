"""A rehearsal of the next pass of a run, in a separate thread with a separate event loop.

The run function is called as in any pass, and every call of `io` is decided as in any pass (`dry_pass`). The thread lets a
cell request a plan without `await`. The event loop reports when no code is ready to run: before it sleeps, it asks its
director, which is defined here. If all code waits for a time, the clock jumps to that time.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from contextvars import copy_context
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from .._concurrency.interrupt import calls_user_code, interruptible
from .._concurrency.threads import Home
from .._engine import readings
from .._engine.memory import Memory
from .._engine.stopping import Stop
from .._records.feed import Feed
from .._records.forget import handled_in
from .._records.reading import readable_task
from .._records.records import RunRecord
from .._records.status import RunStatus
from .._redact import secrets
from .._runs.attended import asks
from .._runs.awaiting import has_loop
from .._runs.outcome import users_frames
from .._runs.run_spec import RunSpec, call_run_function
from .._store.group_commit import GroupCommit, Pending
from .._tasks.call import current_scope
from .dry_pass import DryPass
from .virtual_loop import VirtualClock, VirtualLoop

if TYPE_CHECKING:
    from .._clock import Clock
    from .._runs.run_spec import RunSpec
    from .._runs.runtime import Runtime
    from .._store.protocol import Row

T = TypeVar("T")
GRACE = 1.0  # seconds that the run function may take to unwind at the end


def rehearse(
    runtime: Runtime,
    spec: RunSpec,
    run: RunRecord,
    patience: float,
    *,
    sought: str = "",
    items_of: str = "",
    keeps_all: bool = False,
) -> DryPass:
    """Rehearse the next pass of a run in a separate thread, and wait for it.

    `patience`: the seconds that user code, beside a wait or a body that would run, may take to reach its next call.
    It may wait for a result that a rehearsal cannot know. `sought`, `items_of` and `keeps_all` are as in `DryPass`.

    The record of the run does not change. Raises `StoreError` and `ValueNotLoadedError`; an error of the run function is
    the `error` of the result.
    """
    return _Stage(runtime, spec, run, patience, _Aim(sought, items_of, keeps_all)).play()


class _Aim(NamedTuple):
    """What a rehearsal is for, as in `DryPass`."""

    sought: str
    items_of: str
    keeps_all: bool


class _Stage:
    """The thread and the loop of one rehearsal, and the director of that loop."""

    def __init__(self, runtime: Runtime, spec: RunSpec, run: RunRecord, patience: float, aim: _Aim) -> None:
        self._aim = aim
        self._runtime = runtime
        self._spec = spec
        self._run = run
        self._patience = patience
        self._over: Future[DryPass] = Future()
        self._pass: DryPass  # set once the event loop runs
        self._loop: VirtualLoop
        self._home: _Home
        self._begun = False
        self._user_thread: threading.Thread | None = None  # the one that a `def` job runs in
        # Sleeping calls by their wake-up time. The number keeps the order of equal times.
        self._asleep: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()
        self._calls_met = 0
        self._give_up_at = 0.0

    # In the caller's thread -------------------------------------------------------------------------

    def play(self) -> DryPass:
        """Rehearse, and wait for the end."""
        thread = threading.Thread(
            target=copy_context().run, args=(self._play,), name="trigger_nb plan", daemon=True
        )
        thread.start()
        try:
            return self._wait()
        except BaseException:
            if self._begun:
                self._home.soon(lambda: self._pass.stopping.stop(Stop.CANCEL))
            raise
        finally:
            thread.join(GRACE)

    @calls_user_code
    def _wait(self) -> DryPass:
        """Wait for the end of the rehearsal. An interrupt raises here, and ends the rehearsal."""
        if not has_loop():
            return self._over.result()
        with interruptible(lambda: None):
            return self._over.result()

    # On the loop ------------------------------------------------------------------------------------

    def _play(self) -> None:
        try:
            with asyncio.Runner(loop_factory=VirtualLoop) as runner:
                self._over.set_result(runner.run(self._rehearse()))
        except BaseException as error:
            if self._over.done():
                raise
            self._over.set_exception(error)
        if self._user_thread is not None:
            self._user_thread.join(GRACE)

    async def _rehearse(self) -> DryPass:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self._loop, self._home = loop, _Home()
        clock = VirtualClock(self._runtime.clock, loop)
        self._pass = DryPass(
            run=_as_begun(self._run, clock),
            handled=handled_in(self._run),
            store=self._runtime.store,
            journal=_Nowhere(self._runtime.store),
            clock=clock,
            feed=Feed(),
            home=self._home,
            settings=self._spec.settings,
            memory=_as_stored(self._runtime, self._run.id),
            patience=self._runtime.patience,
            sleep_until=self._sleep_until,
            asks=asks(self._run),
            **self._aim._asdict(),
        )
        self._begun = True
        loop.director = self
        await self._call_and_leave()
        if self._pass.stopping.error is not None:  # a stored record or value cannot be read
            raise self._pass.stopping.error
        return self._pass

    async def _call_and_leave(self) -> None:
        """Call the run function, and leave it once no code is ready to run."""
        stopping = self._pass.stopping
        main = stopping.main = self._loop.create_task(self._call_function())
        stopped = stopping.event = asyncio.Event()
        waiting = self._loop.create_task(stopped.wait())
        await asyncio.wait({main, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if not main.done():
            await asyncio.wait({main}, timeout=GRACE)
        await stopping.unwind(GRACE)

    async def _call_function(self) -> None:
        dry = self._pass
        token = current_scope.set(dry.root)
        try:
            dry.result = (await call_run_function(self._spec, dry, self._spawn),)
        except BaseException as error:  # noqa: BLE001  # sorted by `DryPass.error`
            secrets.hide_in_error(error)
            error.__traceback__ = users_frames(error.__traceback__)
            dry.failure = error
        finally:
            dry.root.closed = True
            dry.root.failed = dry.failure is not None
            dry.stopping.end()
            current_scope.reset(token)

    def _spawn(self, call: Callable[[], None]) -> None:
        self._user_thread = threading.Thread(target=call, name="trigger_nb plan", daemon=True)
        self._user_thread.start()

    # The director --------------------------------------------------------------

    async def _sleep_until(self, when: float) -> None:
        woken = self._loop.create_future()
        heapq.heappush(self._asleep, (when, next(self._numbers), woken))
        await woken

    def at_rest(self, timeout: float | None) -> float | None:
        """Called before the loop sleeps for `timeout` seconds, or until it is woken (None). Returns the new timeout."""
        while self._asleep and self._asleep[0][2].done():  # cancelled
            heapq.heappop(self._asleep)
        stopping, bodies = self._pass.stopping, self._pass.bodies
        if stopping.why is not None or not (bodies or self._asleep):
            return timeout  # the loop sleeps as in any pass
        if self._is_moving and (left := self._left()) > 0:
            return left if timeout is None else min(left, timeout)
        if bodies or self._is_moving:
            stopping.stop(Stop.INTERRUPT)
        else:
            self._jump(timeout)
        return 0.0

    @property
    def _is_moving(self) -> bool:
        """Whether user code may continue without the end of a call of `io`."""
        thread = self._user_thread
        return self._loop.is_busy or (thread is not None and thread.ident not in self._home.standing)

    def _left(self) -> float:
        """The seconds that are left to reach the next call."""
        reasons = self._pass.reasons
        if len(reasons) != self._calls_met:
            self._calls_met = len(reasons)
            self._give_up_at = monotonic() + self._patience
        return self._give_up_at - monotonic()

    def _jump(self, timeout: float | None) -> None:
        """Let the clock jump to the end of the first wait, or to an earlier time limit."""
        when, _, woken = self._asleep[0]
        left = max(0.0, when - self._pass.clock.time())
        if timeout is None or left <= timeout:
            heapq.heappop(self._asleep)
            woken.set_result(None)
        else:
            left = timeout
        self._loop.ahead += left

    def on_limit(self) -> bool:
        """Called when a time limit is reached. Returns whether it takes effect: before it, a body of unknown duration may run."""
        if self._pass.stopping.why is None and self._pass.bodies:
            self._pass.stopping.stop(Stop.INTERRUPT)
            return False
        return True


# The surroundings of a pass -------------------------------------------------------------------------
def _as_begun(run: RunRecord, clock: Clock) -> RunRecord:
    """The record of the run as its next pass would begin."""
    now = round(clock.time(), 3)
    return run.copy(
        status=RunStatus.RUNNING,
        reason="",
        passes=run.passes + 1,
        created_at=run.created_at or now,
        started_at=run.started_at or now,
        began_at=now,
        hints=[],
    )


def _as_stored(runtime: Runtime, run_id: str) -> Memory:
    """A copy of the data of a run, including records that a failing store refused (A9)."""
    known = runtime.memories.get(run_id) or Memory()
    memory = Memory(live=dict(known.live), parked_values=known.parked_values)
    readings.begin(memory, run_id, runtime.store)
    with known.lock:
        newer = [*_tasks_of(run_id, known.parked), *known.records.items()]
    for path, text in newer:
        stored = memory.records.get(path)
        if stored is None or not readings.wins(readable_task(path, stored), readable_task(path, text)):
            memory.records[path] = text
    return memory


def _tasks_of(run_id: str, rows: Sequence[Row]) -> list[tuple[str, str]]:
    return [(row.key.removeprefix(f"{run_id}/"), row.text) for row in rows if row.tag == run_id]


class _Nowhere(GroupCommit):
    """A journal that writes no rows: the records of a rehearsal are discarded."""

    def enqueue(self, rows: Sequence[Row]) -> Pending:
        pending = Pending(rows)
        pending.done = True
        return pending


class _Home(Home):
    """The event loop of a rehearsal, with the threads that wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.standing: set[int | None] = set()  # identifiers of threads

    def run(self, function: Callable[[], Awaitable[T]]) -> T:
        thread = threading.get_ident()

        async def stand() -> T:
            self.standing.add(thread)
            try:
                return await function()
            finally:
                self.standing.discard(thread)

        return super().run(stand)
