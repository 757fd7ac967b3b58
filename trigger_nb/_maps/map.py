"""`io.map`: one node in the tree, and one task per item whose key is the item's content (rule C2).

Each pass reads the items once, in order. An item with a stored result is replayed at once. For the others
there are up to `concurrency` workers, and each takes the next item when it is done with one. So replaying
thousands of items starts no asyncio task, and of an item that has ended only the result is kept.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence, Set as AbstractSet
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, cast

import anyio.lowlevel

from .._clock import is_number
from .._concurrency.limiter import check_count
from .._keys import display_path
from .._records.status import Reason
from .._records.stops import goes_on, going_on, has_passed
from .._tasks.call import MISS, Call
from .._tasks.exits import as_error
from .._tasks.signature import signature_of
from .._values.files import FilesInUse, needs_reading
from ..errors import InvalidOptionError, UsageError
from .batch import Batch
from .failures import Failures
from .first import chosen, put_first, tally_at_stop
from .items import LAST, Body, Items, Keys, Source, checked_function, display_name, short_name, size_of
from .progress import MapLimiter, Progress

if TYPE_CHECKING:
    from .._callsite import Place
    from .._tasks.call import PassApi, Scope
    from .._tasks.options import Options

_BREATHE_EVERY = 200  # items that are replayed before the event loop may run other tasks
_MOST_AHEAD = 10_000  # items that are looked for in other runs by one query


@dataclass(frozen=True, slots=True)
class Plan:
    """The checked options of `io.map`."""

    each: Options  # the options of every item's task
    concurrency: int
    item_key: Callable[..., object] | None = None
    item_name: Callable[..., object] | None = None
    properties: Callable[..., object] | None = None
    batch: int = 1
    return_errors: bool = False
    max_failures: float | None = None  # None: `IN_A_ROW`, see `failures.py`
    first: int | None = None  # items after which the map stops


CONCURRENCY = 20


def plan_of(options: Mapping[str, object], body: Body) -> Plan:
    """Check the options of `io.map`, and split off those of the items' tasks. Raises `InvalidOptionError`."""
    given = dict(options)
    concurrency = check_count(given.pop("concurrency", CONCURRENCY), "concurrency")
    batch = check_count(given.pop("batch", 1), "batch")
    if batch > 1 and not {"task", "io"}.isdisjoint(signature_of(body).required):
        raise InvalidOptionError(
            "with batch= the body must not take `task` or `io`, because different items may share a call each time: "
            "leave the parameter out, or map without batch="
        )
    most = given.pop("max_failures", None)
    if most is not None and not (is_number(most) and most >= 1):
        raise InvalidOptionError(
            f"max_failures must be a number of failures from 1, or math.inf for no limit, not {most!r:.100}"
        )
    first = given.pop("first", None)
    item_key, item_name = (checked_function(given, name) for name in ("item_key", "item_name"))
    properties = given.get("properties")
    if callable(properties):  # they differ from item to item
        del given["properties"]
    else:
        properties = None
    for name in ("name", "description"):
        given.pop(name, None)  # they belong to the node
    return Plan(
        return_errors=given.pop("return_errors", False) is True,
        each=cast("Options", given),
        concurrency=concurrency,
        item_key=item_key,
        item_name=item_name,
        properties=properties,
        batch=batch,
        max_failures=most,
        first=None if first is None else check_count(first, "first"),
    )


class Walk:
    """The body of the node of a map: runs the items in one pass.

    With `give`, each item is passed to it with its result, on completion, and no list of results is kept.
    """

    def __init__(
        self,
        items: Items[object],
        body: Body,
        plan: Plan,
        place: Place,
        give: Callable[[object, object], Awaitable[None]] | None = None,
    ) -> None:
        self.plan = plan
        self.tally: dict[str, int] = {}  # recorded with the node: the numbers of items and of failed ones
        self.stopped = False  # by `stop`
        self.scope: Scope  # the node's
        self._items = items
        self._body = body
        self._place = place
        self._give = give
        self._source: Source
        self._turn: anyio.Lock | nullcontext[None]  # one worker at a time takes items
        self._spawn: Callable[..., object]
        self._workers = 0
        self._closed = False  # no new item starts
        self._results: list[object] = []  # in the order of the items; empty with `give`
        self._read = 0  # items that were read
        self._taken = 0  # those of them that a worker has taken, or that were replayed
        # Items that were read before a worker takes them, to look for their results in other runs by one query; and the
        # error of reading the next one.
        self._ahead: deque[tuple[int, Call[object]] | Exception] = deque()
        # By path: the values of other runs' results, until their items are met; `MISS` for one that a replay reads.
        self._reused: dict[str, object] = {}
        self._first: list[str] = []  # paths of the items to begin with (`first=`)
        self._limit = math.inf  # items to take before the map stops after them
        self._sorts = False  # whether the items that are read ahead are put in the order of `first=`
        self._is_at_stop = self._goes_on = False
        self._ended = 0
        self._worked_on = 0  # ended items that were not replayed
        self._failures = Failures(plan.max_failures)
        self._reads_ahead = self._reuses = False
        self._fault: Exception | None = None  # an error outside of the bodies, which ends the map
        self._progress: Progress

    async def __call__(self, scope: Scope, begun: Callable[[], None]) -> list[object]:
        """Run the items until all have ended. `begun` is called before the first one that is not replayed."""
        self.scope, self._begun = scope, begun
        is_earlier = not self._owner.run.keys and self._owner.ledger.is_known
        self._keys = Keys(self.plan.item_key, scope.path, is_earlier or None)
        self._source = Source(self._items, scope.parent)
        self._has_files = FilesInUse.begun
        # Reading a collection ahead changes nothing, and a generator may depend on what its items' tasks do.
        reuse = self.plan.each.get("reuse", self._owner.settings.reuse)
        self._reuses = reuse != "run"
        self._reads_ahead = self._reuses and isinstance(self._items, (Sequence, AbstractSet))
        if self.plan.first is not None:
            self._begin_with_first(self.plan.first)
        # Reading a plain iterable never yields to the event loop, so it needs no lock.
        is_async = self._source.is_async or self._has_files or self._reads_ahead
        self._turn = anyio.Lock(fast_acquire=True) if is_async else nullcontext()
        self._progress = Progress(scope, size_of(self._items))
        self._limiter = MapLimiter(self._owner.clock, self.plan.concurrency, self._progress)
        await self._walk()
        if self._limit < math.inf and await self._has_more():
            await self._stop_after_first()
            await self._walk()
        await self._source.close()
        if self._ended < self._taken and self._fault is None:
            raise self._owner.stopping.cancellation()  # the pass was stopped, and workers with it
        failures, total = self._failures, self._taken if self.stopped else self._progress.total
        ended = {"items": total or self._taken, "failed": len(failures)}
        self.tally = going_on(ended) if self._goes_on else ended
        if total is not None and total > self._taken:
            self.tally["not started"] = total - self._taken
        elif failures.gave_up and total is None:
            self.tally["gave up"] = 1  # on how many is not known
        if self._fault is not None:
            raise self._fault
        if failures and (failures.gave_up or not self.plan.return_errors):
            raise failures.error(display_path(scope.path), self._taken, total)
        return self._results

    def stop(self) -> None:
        """Start no new item; those that run are completed."""
        self.stopped = self._closed = True
        if self._is_at_stop:
            self._owner.go_on(self.scope.path)

    # The first items --------------------------------------------------------------------------

    def _begin_with_first(self, first: int) -> None:
        earlier = self._owner.ledger.glance(self.scope.path)
        self._goes_on = goes_on(earlier)
        if self._goes_on:
            self.tally = going_on()
        elif not has_passed(earlier, first):
            self._limit = first
            self._sorts = isinstance(self._items, Collection)
            self._reads_ahead = self._reads_ahead or self._sorts

    def _put_first(self, calls: Sequence[Call[object]]) -> None:
        """Put the items to begin with before the others that were read ahead."""
        self._sorts = False
        early = chosen(self.plan.first or 1, [self._has_begun(call.path) for call in calls])
        self._ahead = deque(put_first(self._ahead, early))
        self._limit = len(early)

    def _has_begun(self, path: str) -> bool:
        record = self._owner.ledger.glance(path)
        return path in self._reused or (record is not None and not record.forced)

    async def _has_more(self) -> bool:
        """Whether the map goes well, and there are items after the first ones."""
        if self._closed or self._ended < self._taken:
            return False
        try:
            following = await self._next()
        except (Exception, SystemExit) as error:  # noqa: BLE001  # of the user's iterable or item_key
            self._end_with(as_error(error, f"the code that gives the items of map {self._name!r}"))
            return False
        if following is None:
            self._closed, self._progress.total = True, self._taken
            return False
        self._ahead.appendleft(following)
        return True

    async def _stop_after_first(self) -> None:
        """Stop after the first items, if somebody is there to look at them, until that person says that the map goes on."""
        owner, failed = self._owner, len(self._failures)
        self._limit = math.inf
        if not owner.asks:
            return
        self._begun()
        pace = self.plan.concurrency * self.plan.batch, self.plan.each.get("rate")
        self.tally = tally_at_stop(owner.ledger, self._first, self._progress.total, failed, *pace)
        self._is_at_stop = True
        await owner.stop_after_first(self.scope.path, self.tally)
        self._is_at_stop, self._goes_on, self.tally = False, True, going_on()

    # Walking ----------------------------------------------------------------------------------

    async def _walk(self) -> None:
        self._workers = 1
        try:
            async with anyio.create_task_group() as group:
                self._spawn = group.start_soon
                group.start_soon(self._work)
        except BaseExceptionGroup as errors:
            raise _only(errors) from None  # errors are in `_fault`, so this is a cancellation
        finally:
            self._progress.note(self._ended, self._worked_on, len(self._failures))
            self._progress.tell()

    async def _work(self) -> None:
        """One worker: item after item, until none is left."""
        try:
            while calls := await self._take():
                if self._workers < self.plan.concurrency and not self._closed:
                    self._workers += 1
                    self._spawn(self._work)
                await self._perform_all(calls)
        finally:
            self._workers -= 1

    async def _take(self) -> list[tuple[int, Call[object]]]:
        """The next items without a stored result, as many as one call of the body takes."""
        taken: list[tuple[int, Call[object]]] = []
        async with self._turn:
            while not self._closed and len(taken) < self.plan.batch and self._taken < self._limit:
                try:
                    following = await self._next()
                    if following is None:
                        self._closed, self._progress.total = True, self._taken
                        break
                    index, call = following
                    self._taken += 1
                    if self._limit < math.inf:
                        self._first.append(self.scope.prefix + call.segment)
                    if await self._replay(index, call):
                        continue
                    taken.append((index, self._described(call)))
                except (Exception, SystemExit) as error:  # noqa: BLE001  # of the user's iterable, item_key or properties
                    self._end_with(as_error(error, f"the code that gives the items of map {self._name!r}"))
                else:
                    if self.plan.batch > 1 and self._owner.ledger.is_waiting(call.path):
                        break  # the others need not wait for this one in their batch
        return taken

    async def _next(self) -> tuple[int, Call[object]] | None:
        """The call for the next item, with its index; None after the last one."""
        if not self._ahead:
            if not self._reads_ahead:
                item = await self._source.next()
                return None if item is LAST else await self._met(item)
            await self._read_ahead()
        following = self._ahead.popleft() if self._ahead else None
        if isinstance(following, Exception):
            raise following
        return following

    async def _read_ahead(self) -> None:
        """Read the next items, and take over results of other runs for those that have no record."""
        most = math.inf if self._sorts else _MOST_AHEAD
        try:
            while len(self._ahead) < most and (item := await self._source.next()) is not LAST:
                self._ahead.append(await self._met(item))
        except (Exception, SystemExit) as error:  # noqa: BLE001  # of the user's item_key, when it is that item's turn
            self._ahead.append(as_error(error, f"the code that gives the items of map {self._name!r}"))
        calls = [each[1] for each in self._ahead if isinstance(each, tuple)]
        is_known = self._owner.ledger.is_known
        for call in calls:
            call.path = self.scope.prefix + call.segment
        new = [call for call in calls if self._reuses and not is_known(call.path)]
        found = await self._owner.reuse_all(new, self._described, batch=self.plan.batch > 1)
        if found:
            self._begun()
            self._reused.update(found)
        if self._sorts:
            self._put_first(calls)

    async def _met(self, item: object) -> tuple[int, Call[object]]:
        """The call for the item that was just read, with its index."""
        index = self._read
        segment = await self._segment_of_files(item) if self._has_files else self._keys.of(item, index)
        self._read += 1
        return index, self._call(item, segment)

    async def _segment_of_files(self, item: object) -> str:
        """The key of an item that may have files. Large ones are read in a thread; `_turn` is held meanwhile."""
        if self.plan.item_key is None and needs_reading(item):
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(None, self._keys.of, item, self._read)
        return self._keys.of(item, self._read)

    def _call(self, item: object, segment: str) -> Call[object]:
        """The call for one item."""
        if self._give is None:
            self._results.append(None)
        call: Call[object] = Call(self.scope, segment, self._body, (item,), self.plan.each, self._place)
        call.awaited = True
        call.limiter = self._limiter
        if self.plan.item_key is None:
            call.inputs = ""  # the key is made from the same content
        return call

    async def _replay(self, index: int, call: Call[object]) -> bool:
        """Replay the item. False if it has no stored result."""
        is_reused = bool(self._reused) and call.path in self._reused
        value = self._reused.pop(call.path) if is_reused else MISS
        if value is MISS or self._owner.stopping.why is not None:
            value = self._owner.replay(call)
        else:
            self.scope.seen[call.segment] = call.place
        if value is MISS:
            return False
        if is_reused:
            self._owner.saw(call.path, Reason.REUSED)
        await self._end(index, call, value)
        if self._ended % _BREATHE_EVERY == 0:
            await anyio.lowlevel.checkpoint()
        return True

    async def _perform_all(self, calls: list[tuple[int, Call[object]]]) -> None:
        if not all(self._owner.has_final_error(call.path) for _, call in calls):
            self._begun()
        if self.plan.batch == 1:
            await self._perform(*calls[0])
            return
        batch = Batch([call for _, call in calls], self.scope, self._spawn)
        async with anyio.create_task_group() as group:
            for index, call in calls:
                call.batch = batch
                group.start_soon(self._perform, index, call)

    async def _perform(self, index: int, call: Call[object]) -> None:
        is_replayed = self._owner.has_final_error(call.path)
        before = self._owner.ledger.glance(call.path)
        is_new = before is None or not before.has_failed
        try:
            value = await self._owner.perform(call)
        except UsageError as error:
            self._end_with(error)
        except Exception as error:  # noqa: BLE001  # recorded as the error of the item
            self._worked_on += not is_replayed
            self._failures.add(index, error, counts=is_new and not self._closed)
            self._closed = self._closed or self._failures.gave_up
            await self._failed(index, call, error)
        else:
            if value is MISS:  # in a plan, where no body is called
                self._ended += 1
                return
            self._failures.note_success()
            self._worked_on += 1
            await self._end(index, call, value)
        finally:
            if call.batch is not None:
                call.batch.end(call)

    def _described(self, call: Call[object]) -> Call[object]:
        """The call, with the options that only a task that runs needs."""
        item, plan = call.args[0], self.plan
        more: dict[str, object] = {}
        is_hidden = plan.each.get("redact") or self._owner.settings.redact
        if plan.item_name is not None:
            more["name"] = short_name(plan.item_name(item))
        elif not is_hidden and (name := display_name(item, call.segment)) is not None:
            more["name"] = name
        if plan.properties is not None:
            more["properties"] = plan.properties(item)
        if more:
            call.options = cast("Options", {**plan.each, **more})
        return call

    async def _end(self, index: int, call: Call[object], value: object) -> None:
        """Note that an item has ended, with its result or with an error in place of it."""
        self._ended += 1
        self._progress.note(self._ended, self._worked_on, len(self._failures))
        if self._give is not None:
            await self._give(call.args[0], value)
        else:
            self._results[index] = value

    async def _failed(self, index: int, call: Call[object], error: Exception) -> None:
        if self.plan.return_errors or self._give is None:
            await self._end(index, call, error)
        else:
            self._ended += 1

    def _end_with(self, fault: Exception) -> None:
        """End the map for an error outside of the bodies. Bodies that run are completed and recorded (A6)."""
        self._fault = self._fault or fault
        self._closed = True

    @property
    def _name(self) -> str:
        return display_path(self.scope.path)

    @property
    def _owner(self) -> PassApi:
        return self.scope.owner


_Group: TypeAlias = "BaseExceptionGroup[BaseException]"


def _only(group: _Group) -> BaseException:
    """The first exception of a group: several workers were cancelled for the same reason."""
    found = group.exceptions[0]
    return _only(cast("_Group", found)) if isinstance(found, BaseExceptionGroup) else found
