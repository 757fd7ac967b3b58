"""A dry pass: it decides every call as a pass does, and notes the actions of a pass instead of performing them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, cast

from .._clock import to_timestamp
from .._engine.attempts import CRASHES_ALLOWED, crashed, forget_changed
from .._engine.decide import (
    Adopt,
    Ask,
    Decider,
    Decision,
    ExpectCancel,
    Raise,
    Replay,
    Reuse,
    Run,
    Wait,
    Walk,
)
from .._engine.files import fingerprint_files, stored_value
from .._engine.new_record import NewRecords
from .._engine.nodes import scope_of_items
from .._engine.origins import mark_origin, origins
from .._engine.readings import Unreadable
from .._engine.results import StoredResults
from .._engine.state import PassState
from .._engine.stopping import Stop
from .._io.io import checkpoint
from .._records.forget import open_again
from .._records.status import Reason
from .._tasks.call import MISS, Call, Scope
from ..errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from .._concurrency.limiter import Limiter
    from .._concurrency.threads import Start
    from .._records.records import TaskRecord
    from .._tasks.call import FanOut
    from .._tasks.options import OnChange
    from .._values.pieces import Made

AnyCall: TypeAlias = Call[Any]


@dataclass(frozen=True, slots=True)
class Met:
    """A call that would not be replayed, or a run or an event that would be started."""

    call: AnyCall | None
    reason: Reason
    due: float | None = None  # not before then, in seconds since the epoch
    what: str = ""  # the run or event that is started, if it is no call


class _Keeping(Decider):
    """Replays whatever has changed, and notes its call."""

    def on_change(self, call: AnyCall, record: TaskRecord) -> OnChange:
        """Always "keep"."""
        state = cast("DryPass", self._state)
        if state.changes.difference(call, record):
            state.changed_calls[call.path] = call
        return "keep"


@dataclass(kw_only=True, eq=False, repr=False)
class DryPass(PassState):
    """The pass of a rehearsal (see `PassApi`). It calls no body and writes nothing.

    A call whose body would run is noted and never returns. Concurrent calls continue.
    """

    sleep_until: Callable[[float], Awaitable[None]]
    sought: str = ""  # path of a task: the rehearsal ends at its call, which is in `found`
    keeps_all: bool = False  # whatever `on_change=` says, the results of changed tasks are replayed
    # Path of a map or parallel: the rehearsal ends at its last item. Its items are in `items`, and its call in `found`.
    items_of: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.turns.thread_seconds = 0.0  # in a rehearsal no time passes while threads run
        self.bodies: list[Met] = []  # the calls whose body would run, in the order of the code
        self.waits: list[Met] = []
        self.stops: list[str] = []  # paths of maps that would stop after their first items
        self.walked: set[str] = set()  # paths of maps and of `io.parallel`
        self.stored = dict(self.memory.records)  # the texts of the tasks' records as they are, by path
        self._results = StoredResults(self)
        self._records = NewRecords(self)
        self.found: AnyCall | None = None
        self.changed_calls: dict[str, AnyCall] = {}  # with `keeps_all`: of tasks that have changed, by path
        self._decider = _Keeping(self, self._results) if self.keeps_all else Decider(self, self._results)
        self.items: dict[str, AnyCall] = {}  # with `items_of`: the calls of its items, by path
        self.replay = self._decider.replay if not (self.sought or self.items_of) else self._replay_others
        self.has_final_error = self._decider.has_final_error
        self._open: set[str] = set()  # paths of maps of which an item would run

    # Data for the plan ------------------------------------------------------------------------------

    @property
    def replayed(self) -> list[str]:
        """The paths of the tasks and waits whose stored result or error was replayed."""
        return [
            path
            for path, reason in self.reasons.items()
            if reason == Reason.REPLAYED and path not in self.walked
        ]

    @property
    def reused(self) -> list[str]:
        """The paths of the tasks whose result another run has."""
        return [path for path, reason in self.reasons.items() if reason == Reason.REUSED]

    @property
    def error(self) -> BaseException | None:
        """The error that the run would fail with, as far as that is known."""
        error = self.stopping.misuse
        if error is None and self.stopping.why == Stop.ENDED and isinstance(self.failure, Exception):
            error = self.failure
        return error

    def run_error_data(self, error: BaseException) -> dict[str, object]:
        """The error in its stored form."""
        return self._records.run_error_data(error, origins(error, self.directory, self.run.id))

    # Calls ------------------------------------------------------------------------------------------

    async def perform(self, call: AnyCall) -> Any:
        """The value of a call if it is known. Otherwise the call is noted: the item of a map returns `MISS`, and any other
        call never returns."""
        if self.items_of and call.scope.path == self.items_of:
            self.items[call.path] = call
            return MISS
        if self.sought and call.path == self.sought:
            return await self._end_at(call)
        try:
            await fingerprint_files(self, call)
            return await self._foresee(call, self._decider.decision(call))
        except Unreadable as unread:
            return await self.stopping.fail(unread.error)

    def _replay_others(self, call: AnyCall) -> Any:
        """As `replay`, but what is sought has no value: so it comes to `perform`."""
        value = self._decider.replay(call)
        return MISS if call.path == self.sought or call.scope.path == self.items_of != "" else value

    async def _end_at(self, call: AnyCall) -> NoReturn:
        """End the rehearsal at the call that was sought."""
        self.found = call
        self.stopping.stop(Stop.INTERRUPT)
        await self._never()

    def returns_of(self, call: AnyCall) -> Any:
        """The type that the result of a call is validated into, or None."""
        return self._results.returns(call)

    async def _foresee(self, call: AnyCall, decision: Decision) -> object:
        due: float | None = None
        while True:
            match decision:
                case Run():
                    return await self._would_run(call, decision, due)
                case Raise(record):
                    await self.turns.take_turn(call)
                    raise self._results.error(call, record)
                case Walk(is_done=is_done):
                    value = await self._walk(call, decision)
                    if is_done:
                        await self.turns.take_turn(call)
                    return value
                case Wait(then=None):
                    return await self._wait(call, decision)
                case Wait(then=then):
                    assert then is not None
                    due = decision.until if (decision.until or 0.0) > self.clock.time() else None
                    decision = then
                case Ask(reason=reason):
                    return await self._would_run(call, Run(reason), None)
                case ExpectCancel():
                    await self.sleep_until(self.clock.time() + decision.seconds)
                    decision = decision.then
                case Adopt():
                    decision = Run(Reason.ADOPTED)
                case Reuse(found, otherwise):
                    value = self.reuses.value(call, found, self._results.returns(call))
                    if value is not MISS:
                        self.saw(call.path, Reason.REUSED)
                        return value
                    decision = otherwise
                case Replay(record):
                    value = await stored_value(self._results, call, record)
                    if value is not MISS:
                        self.saw(call.path, Reason.REPLAYED)
                        await self.turns.take_turn(call)
                        return value
                    decision = Run(Reason.LOST_VALUE, open_again(record))

    async def _would_run(self, call: AnyCall, decision: Run, due: float | None) -> object:
        """Note a call whose body would run. The code after it depends on its result."""
        if decision.forget:
            assert decision.earlier is not None
            rerun = decision.forget == "rerun"
            await forget_changed(self, call.path, decision.earlier, with_followers=rerun)
        if decision.crashes >= CRASHES_ALLOWED:
            error = crashed(self._records.new(call, decision.earlier, crashes=decision.crashes))
            mark_origin(error, self.directory, self.run.id, call.path)
            raise error
        self.saw(call.path, decision.reason)
        if "delay_until" in call.options and decision.attempt == 1 and due is None:
            due = self._delay(call)
        if call.kind == "status" or call.body is checkpoint:
            return None  # statuses and checkpoints have no other value
        self.bodies.append(Met(call, decision.reason, due))
        if call.limiter is None:
            await self._never()
        self._open.add(call.scope.path)  # the map continues with its next item
        return MISS

    def _delay(self, call: AnyCall) -> float | None:
        until = to_timestamp(call.options.get("delay_until"), "delay_until")
        return until if until > self.clock.time() else None

    async def _wait(self, call: AnyCall, decision: Wait) -> None:
        now = self.clock.time()
        until = decision.until
        if until is None:
            assert call.deadline is not None
            until = call.deadline(now)
        is_over = until <= now
        reason = Reason.REPLAYED if is_over and decision.reason != Reason.NEW else decision.reason
        self.saw(call.path, reason)
        if not is_over:
            self.waits.append(Met(call, reason, until))
            await self.sleep_until(until)

    async def _walk(self, call: AnyCall, decision: Walk) -> object:
        self.walked.add(call.path)
        self.saw(call.path, decision.reason)
        walk: FanOut = call.body
        with scope_of_items(call) as scope:
            try:
                value = await walk(scope, lambda: None)
                if call.path == self.items_of:
                    return await self._end_at(call)
            except Exception as error:
                if call.path not in self._open or isinstance(error, UsageError):
                    mark_origin(error, self.directory, self.run.id, call.path)
                    raise
            else:
                if call.path not in self._open:
                    return value
        return await self._never()

    async def _never(self) -> NoReturn:
        await asyncio.get_running_loop().create_future()
        raise AssertionError("unreachable")

    # The rest of `PassApi` --------------------------------------------------------------------------

    async def reuse_all(
        self, calls: Iterable[AnyCall], describe: Callable[[AnyCall], object], *, batch: bool
    ) -> dict[str, object]:
        """Find the results of other runs, which each call then meets by itself. None is taken over."""
        try:
            self.reuses.look_ahead(calls, batch=batch)
        except Unreadable as unread:
            await self.stopping.fail(unread.error)
        return {}

    async def stop_after_first(self, path: str, tally: dict[str, int]) -> None:
        """Note that the map would stop here. One whose items are sought goes on."""
        if path == self.items_of:
            return
        self.stops.append(path)
        if not self.bodies:
            self.stopping.stop(Stop.INTERRUPT)
        await self._never()

    def go_on(self, path: str) -> None:
        """No map waits for anybody."""

    def about_to_start(self, what: str) -> None:
        """Note that user code would start a run or send an event, and end the rehearsal."""
        self.bodies.append(Met(None, Reason.NEW, what=what))
        raise self.stopping.cancellation()

    def log(self, scope: Scope, level: str, message: object, data: object = None) -> None:
        """Log lines are not written."""

    def show(self, scope: Scope, made: Made) -> None:
        """Nothing is shown."""

    def limiters_of(self, call: AnyCall) -> list[Limiter]:
        """No limiters, because no body starts."""
        return []

    def start_of_batch(self, first: AnyCall, items: list[object], node: Scope) -> Start | None:
        """None, because no batch starts."""
        return None

    async def wait_for_run(self, scope: Scope, wait: Callable[[], Awaitable[bool]]) -> None:
        """Wait for another run. A rehearsal holds no slot."""
        await wait()
