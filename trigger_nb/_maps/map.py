"""`io.map`: one node in the tree, one task an item, keyed by what the item is (rule C2).

The items are walked in every pass, as they come and once. One whose result is stored is replayed at
once; for the others there are as many workers as may run at a time, and each walks on by itself when it
is done with one. So a replay of thousands starts no task of the event loop, and nothing is held of an
item that has ended but its result.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

import anyio.lowlevel

from .._clock import to_datetime
from .._concurrency.limiter import Limiter, check_count
from .._keys import display_path
from .._records.feed import Progressed
from .._tasks.call import MISS, Call
from .._tasks.signature import signature_of
from ..errors import InvalidOptionError, MapError, UsageError
from .batch import Batch
from .items import LAST, Items, Keys, Source, name_of, size_of

if TYPE_CHECKING:
    from .._callsite import Place
    from .._clock import Clock
    from .._tasks.options import Options, Properties
    from .._tasks.pass_api import PassApi
    from .._tasks.scope import Scope

FAILURES_IN_A_ROW = 20  # after so many without one success, no new item begins
TELL_EVERY = 0.1  # how often the node says how far it is, in seconds
_BREATHE_EVERY = 200  # items that are replayed before the event loop gets its turn
_SAMPLES = 100  # for the rate: those of the last ten seconds, or more


@dataclass(frozen=True, slots=True)
class Plan:
    """How the items of a map are worked on: the checked options of `io.map`."""

    each: Options  # those of every item's task
    concurrency: int
    item_key: Callable[[Any], Any] | None = None
    properties: Callable[[Any], Properties] | None = None
    batch: int = 1
    return_errors: bool = False
    max_failures: float | None = None  # None: `FAILURES_IN_A_ROW`


CONCURRENCY = 20


def plan_of(options: dict[str, Any], body: Callable[..., Any]) -> Plan:
    """The options of `io.map`, checked; those that are left are of the items' tasks."""
    given = dict(options)
    concurrency, batch = given.pop("concurrency", CONCURRENCY), given.pop("batch", 1)
    check_count(concurrency, "concurrency")
    check_count(batch, "batch")
    if batch > 1 and not {"task", "io"}.isdisjoint(signature_of(body).required):
        raise InvalidOptionError(
            "a body that is called for several items (batch=) takes neither `task` nor `io`: which items share a call "
            "differs from pass to pass. Leave the parameter out, or map without batch="
        )
    most = given.pop("max_failures", None)
    if most is not None and not (isinstance(most, (int, float)) and type(most) is not bool and most >= 1):
        raise InvalidOptionError(
            f"max_failures is a number of failures from 1 on, math.inf for never; not {most!r:.100}"
        )
    item_key = given.pop("item_key", None)
    if item_key is not None and not callable(item_key):
        raise InvalidOptionError(f"item_key is a function, item_key(item); not {item_key!r:.100}")
    properties: Any = None  # where they differ from item to item
    if callable(given.get("properties")):
        properties = given.pop("properties")
    for name in ("name", "description"):
        given.pop(name, None)  # of the node
    return Plan(
        return_errors=given.pop("return_errors", False), each=cast("Options", given), concurrency=concurrency,
        item_key=item_key, properties=properties, batch=batch, max_failures=most,
    )  # fmt: skip


class Walk:
    """One walk over the items, in one pass: what the node of a map has for a body.

    With `give`, each result is handed to it with its item, as it comes, and waited for until it is taken.
    """

    def __init__(
        self, items: Items[Any], body: Callable[..., Any], plan: Plan, place: Place,
        give: Callable[[Any, Any], Awaitable[None]] | None = None,
    ) -> None:  # fmt: skip
        self.tally: dict[str, int] = {}  # kept with the node: how many items there are, how many failed
        self.stopped = False  # nobody wants more: what runs may end, nothing new begins
        self.scope: Scope  # the node's
        self._items = items
        self._body = body
        self._plan = plan
        self._place = place
        self._give = give
        self._source: Source
        self._turn: anyio.Lock | nullcontext[None]  # one worker at a time takes items
        self._spawn: Callable[..., Any]
        self._workers = 1
        self._over = False  # nothing new begins
        self._results: list[Any] = []  # in the items' order, unless they are given away
        self._met = 0  # items that were taken
        self._ended = 0
        self._worked_on = 0  # of those: how many were not replayed
        self._failed_in_a_row = 0
        self._gave_up = False
        self._fault: Exception | None = None  # of the code around the bodies: it ends the walk
        self._errors: list[tuple[int, Exception]] = []
        self._progress: _Progress

    async def __call__(self, scope: Scope, begun: Callable[[], None]) -> list[Any]:
        """Walk to the end of the last item. `begun` is called as soon as one is not replayed."""
        self.scope, self._begun = scope, begun
        self._keys = Keys(self._plan.item_key, scope.path)
        self._source = Source(self._items, scope.parent)
        # Taking from a plain iterable never gives up the loop's turn half-way.
        self._turn = anyio.Lock(fast_acquire=True) if self._source.is_async else nullcontext()
        self._progress = _Progress(scope, size_of(self._items))
        self._limiter = _MapLimiter(self._owner.clock, self._plan.concurrency, self._progress)
        await self._walk()
        await self._source.close()
        if self._ended < self._met and self._fault is None:
            raise self._owner.cancellation()  # the pass was stopped, and some of the workers with it
        self.tally = {"items": self._met, "failed": len(self._errors)}
        if self._fault is not None:
            raise self._fault
        if self._errors and (self._gave_up or not self._plan.return_errors):
            raise self._map_error()
        return self._results

    def stop(self) -> None:
        """Nobody wants more: what runs may end, nothing new begins."""
        self.stopped = self._over = True

    # Walking ----------------------------------------------------------------------------------

    async def _walk(self) -> None:
        try:
            async with anyio.create_task_group() as group:
                self._spawn = group.start_soon
                group.start_soon(self._work)
        except BaseExceptionGroup as errors:
            raise _only(errors) from None  # ours are kept in `_fault`: what is left is a cancellation
        finally:
            self._progress.note(self._ended, self._worked_on, len(self._errors))
            self._progress.tell()

    async def _work(self) -> None:
        """One worker: item after item, until none is left."""
        try:
            while calls := await self._take():
                if self._workers < self._plan.concurrency and not self._over:
                    self._workers += 1
                    self._spawn(self._work)
                await self._perform_all(calls)
        finally:
            self._workers -= 1

    async def _take(self) -> list[tuple[int, Call[Any]]]:
        """The next items whose bodies are needed, as many as one call of the body takes."""
        taken: list[tuple[int, Call[Any]]] = []
        async with self._turn:
            while not self._over and len(taken) < self._plan.batch:
                index = self._met
                try:
                    item = await self._source.next()
                    if item is LAST:
                        self._over, self._progress.total = True, self._met
                        break
                    call = self._call(item)
                    if await self._replay(index, call):
                        continue
                    taken.append((index, self._described(call)))
                except Exception as error:  # noqa: BLE001  # of the user's iterable, item_key or properties
                    self._end_with(error)
                else:
                    if self._plan.batch > 1 and self._owner.ledger.is_waiting(call.path):
                        break  # the others of a batch need not wait with it
        return taken

    def _call(self, item: Any) -> Call[Any]:
        """The call for one item."""
        segment = self._keys.of(item, self._met)
        self._met += 1
        if self._give is None:
            self._results.append(None)
        call: Call[Any] = Call(self.scope, segment, self._body, (item,), self._plan.each, self._place)
        call.awaited = True
        call.limiter = self._limiter
        if self._plan.item_key is None:
            call.inputs = ""  # its key says it already
        return call

    async def _replay(self, index: int, call: Call[Any]) -> bool:
        """Whether the item's result was there."""
        value = self._owner.replay(call)
        if value is MISS:
            return False
        await self._end(index, call, value)
        if self._ended % _BREATHE_EVERY == 0:
            await anyio.lowlevel.checkpoint()
        return True

    async def _perform_all(self, calls: list[tuple[int, Call[Any]]]) -> None:
        if not all(self._owner.has_final_error(call.path) for _, call in calls):
            self._begun()
        if self._plan.batch == 1:
            await self._perform(*calls[0])
            return
        batch = Batch([call for _, call in calls], self.scope, self._spawn)
        async with anyio.create_task_group() as group:
            for index, call in calls:
                call.batch = batch
                group.start_soon(self._perform, index, call)

    async def _perform(self, index: int, call: Call[Any]) -> None:
        is_replayed = self._owner.has_final_error(call.path)
        try:
            value = await self._owner.perform(call)
        except UsageError as error:
            self._end_with(error)
        except Exception as error:  # noqa: BLE001  # it is the item's
            if not is_replayed:
                self._count_failure(len(self._errors) + 1)
            await self._failed(index, call, error)
        else:
            if value is MISS:  # of a plan: no body was called
                self._ended += 1
                return
            self._failed_in_a_row = 0
            self._worked_on += 1
            await self._end(index, call, value)
        finally:
            if call.batch is not None:
                call.batch.end(call)

    def _described(self, call: Call[Any]) -> Call[Any]:
        """With what only a task needs that is recorded."""
        item, plan = call.args[0], self._plan
        more: dict[str, Any] = {}
        is_hidden = plan.each.get("redact") or self._owner.settings.redact
        if not is_hidden and (name := name_of(item, call.segment)) is not None:
            more["name"] = name
        if plan.properties is not None:
            more["properties"] = plan.properties(item)
        if more:
            call.options = cast("Options", {**plan.each, **more})
        return call

    async def _end(self, index: int, call: Call[Any], value: Any) -> None:
        """An item has its result, or has an error for one."""
        self._ended += 1
        self._progress.note(self._ended, self._worked_on, len(self._errors))
        if self._give is not None:
            await self._give(call.args[0], value)
        else:
            self._results[index] = value

    # Failing ----------------------------------------------------------------------------------

    def _count_failure(self, failed: int) -> None:
        """One more body failed. A replayed error says nothing of how the service does now."""
        self._worked_on += 1
        self._failed_in_a_row += 1
        most = self._plan.max_failures
        if self._failed_in_a_row >= FAILURES_IN_A_ROW if most is None else failed >= most:
            self._gave_up = not self._over
            self._over = True

    async def _failed(self, index: int, call: Call[Any], error: Exception) -> None:
        self._errors.append((index, error))
        if self._plan.return_errors or self._give is None:
            await self._end(index, call, error)
        else:
            self._ended += 1

    def _end_with(self, fault: Exception) -> None:
        """Something is wrong around the bodies. What runs ends, and is recorded (A6)."""
        self._fault = self._fault or fault
        self._over = True

    def _map_error(self) -> MapError:
        """The errors, in the items' order; one that several share (of a batch) once."""
        errors = {id(error): error for _, error in sorted(self._errors, key=lambda each: each[0])}
        failed, name = len(self._errors), display_path(self.scope.path)
        text = f"{failed:,} of {self._met:,} items of map {name!r} failed"
        if self._gave_up:
            left = self._progress.total
            more = f"the other {left - self._met:,}" if left is not None else "the rest"
            why = (
                f"{failed:,} failures"
                if self._plan.max_failures is not None
                else f"{FAILURES_IN_A_ROW} in a row"
            )
            text += f"; after {why} {more} did not begin (max_failures=)"
        return MapError(text, list(errors.values()))

    @property
    def _owner(self) -> PassApi:
        return self.scope.owner


class _Progress:
    """How far a map is, for whoever looks on."""

    def __init__(self, scope: Scope, total: int | None) -> None:
        self.total = total  # None while it cannot be known
        self._owner = scope.owner
        self._path = scope.path
        self._ended = self._failed = 0
        self._told_at = -math.inf
        self._held_until = 0.0
        # When how many items had been worked on: replayed ones say nothing about the rest.
        self._samples: deque[tuple[float, int]] = deque(maxlen=_SAMPLES)

    def note(self, ended: int, worked_on: int, failed: int) -> None:
        """One more item has ended."""
        self._ended, self._failed = ended, failed
        if self._owner.feed.watched and (now := monotonic()) - self._told_at >= TELL_EVERY:
            self._told_at = now
            self._samples.append((now, worked_on))
            self.tell()

    def hold(self, until: float) -> None:
        """Nothing new begins before that time: the service has said so."""
        self._held_until = max(self._held_until, until)
        self._samples.clear()  # the time of waiting says nothing about the rate
        self.tell()

    def tell(self) -> None:
        """Say how far it is."""
        now = self._owner.clock.time()
        rate, left = self._rate(), (self.total or 0) - self._ended
        ends_at = round(now + left / rate, 1) if rate and left > 0 else None
        held = None
        if self._held_until > now:
            held = f"held back until {to_datetime(self._held_until):%H:%M:%S} UTC, as the service asks"
        self._owner.feed.emit(
            Progressed(self._path, self._ended, self.total, held, self._failed, rate, ends_at)
        )

    def _rate(self) -> float | None:
        """Items a second, lately."""
        if len(self._samples) < 2:
            return None
        (since, before), (now, after) = self._samples[0], self._samples[-1]
        return (after - before) / (now - since) if after > before else None


class _MapLimiter(Limiter):
    """The limiter of one map; also reports back-off to its progress row."""

    def __init__(self, clock: Clock, concurrency: int, progress: _Progress) -> None:
        super().__init__(clock, concurrency)
        self._progress = progress

    def hold(self, until: float) -> None:
        """As `Limiter.hold`."""
        super().hold(until)
        self._progress.hold(until)


def _only(group: BaseExceptionGroup[Any]) -> BaseException:
    """The one that counts, where several workers were cut short by the same."""
    found: BaseException = group.exceptions[0]
    return _only(cast("BaseExceptionGroup[Any]", found)) if isinstance(found, BaseExceptionGroup) else found
