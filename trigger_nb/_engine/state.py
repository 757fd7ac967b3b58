"""What the parts of a pass share: its run, the run's records, what is running, and whether the pass is stopped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from .._clock import JITTER, steady_beside
from .._records.feed import Seen
from .._records.forget import Finality
from .._tasks.call import Scope
from .changes import Changes
from .followers import Followers
from .header import Header
from .idle import Still
from .ledger import Ledger
from .memory import Memory
from .named_values import NamedValues
from .reuse import Reuses
from .stopping import Stopping
from .tracing import Tracing
from .turns import End, Turns

if TYPE_CHECKING:
    from .._clock import Clock, Patience
    from .._concurrency.threads import Home
    from .._records.feed import Feed
    from .._records.records import RunRecord, TaskRecord
    from .._records.status import Reason
    from .._store.group_commit import GroupCommit
    from .._store.protocol import Store
    from .._tasks.call import AnyCall, PassApi
    from .._tasks.options import Settings
    from .._tasks.running import BodyKey, RunningBody
    from .._tasks.service import Service

# Makes the `io` for a scope; says whether its calls block. Any: parameters of users' bodies have their own types.
MakeIo: TypeAlias = Callable[[Scope, bool], Any]


@dataclass(kw_only=True, eq=False, repr=False)
class PassState:
    """The base of a pass and of a plan of one. The parts of a pass know it by this class."""

    run: RunRecord
    store: Store
    journal: GroupCommit
    clock: Clock
    feed: Feed
    home: Home
    settings: Settings
    memory: Memory
    patience: Patience
    handled: int = 0  # ordinal up to which the run function has handled errors, see `forget.handled_in`
    is_lost: Callable[[], bool] = lambda: False  # whether another kernel has taken the run over
    on_question: Callable[[Header], None] = lambda _header: None  # called when a new question is open
    asks: bool = False  # whether somebody may look at the run: a map with `first=` stops

    def __post_init__(self) -> None:
        self.directory = self.store.key
        self._steady = steady_beside(self.clock)
        self._offset = self.clock.time() - self._steady()
        self.result: tuple[object] | None = None  # what the run function returned
        self.failure: BaseException | None = None  # or raised
        self.root = Scope(cast("PassApi", self))
        self.stopping = Stopping(self.home, self.is_lost)
        self.ledger = Ledger(
            run=self.run,
            store=self.store,
            journal=self.journal,
            memory=self.memory,
            patience=self.patience.store_in_thread,
            feed=self.feed,
            fail=self.stopping.fail,
            on_fault=self.stopping.on_store_fault,
        )
        self.named_values = NamedValues(self.ledger, self.store, self.run.id, self.stopping.fail)
        self.finality = Finality(
            self._records_for_finality,
            (*self.run.ended_by, *self.run.unseen),
            handled=self.handled,
            kept=self.run.kept,
        )
        self.changes = Changes(self.ledger, self.run, expire=self.settings.expires_after is not None)
        self.reuses = Reuses(self.run, self.settings, self.ledger, self.changes, self.store, self.now)
        self._followers: Followers | None = None
        self.header = Header(self.feed)
        self.tracing: Tracing | None = None
        self.still = Still()
        self.turns = Turns(self.home)
        self.running: set[RunningBody] = set()  # bodies running now, each in the process-wide table too
        # Bodies of failed tasks that no name leads to, each with its integration: `run.task(path).call()` calls them.
        self.failed_bodies: dict[str, tuple[Any, Service | None]] = {}
        self.reasons: dict[str, Reason] = {}  # by path of each task met: why its body ran or did not (R7)
        # When the last task of the run function began or ended, on the monotonic clock, and that task's key: code
        # between tasks that takes long is hinted at (R10).
        self.idle_since = 0.0
        self.idle_at = ""

    def saw(self, path: str, reason: Reason) -> None:
        """Note why a task's body was called, or was not."""
        self.reasons[path] = reason
        if self.feed.watched:
            self.feed.emit(self.sighting(path, reason))
        if not self.root.subtasks:
            self.idle_since = time.monotonic()

    def end_of_call(self) -> None:
        """A task of the run function has ended, and nothing else runs."""
        self.idle_since = time.monotonic()

    def sightings(self) -> dict[str, Seen]:
        """The tasks met in this pass, and why their bodies were called or not, by path."""
        return {path: self.sighting(path, reason) for path, reason in self.reasons.items()}

    def sighting(self, path: str, reason: Reason) -> Seen:
        """A task as this pass met it: why its body was called or not, and what has changed."""
        changes = self.changes
        found, parts, diff = (each.get(path, "") for each in (changes.found, changes.parts, changes.diffs))
        return Seen(path, reason, found, parts, diff)

    def excuse(self, seconds: float) -> None:
        """Do not count time between tasks that was ours: the import of an SDK."""
        self.idle_since += seconds

    def end_of(self, call: AnyCall) -> End:
        """The end of a call that ends now. `turns` gives its result out, if it had company. May be called from any thread.

        A call that another asyncio task makes than the one of the code around it has company: that one. An item of a map has
        none, because the map gives out results itself, in the order of its input.
        """
        is_aside = call.host is not (call.scope.host or self.stopping.main) and not call.from_thread
        has_company = (call.beside or is_aside) and call.limiter is None
        ordinals = self.ledger.ordinals
        return self.turns.end(ordinals) if has_company else End(next(ordinals))

    async def commit_end(self, call: AnyCall, record: TaskRecord) -> bool:
        """Commit the record of a call that ends now, and wait until its result is given out; whether the store holds one
        that wins instead."""
        end = self.end_of(call)
        ended = record.copy(ended=end.ordinal, ended_at=self.now(), beside=end.beside)
        try:
            refused = await self.ledger.save(ended)
            if end.bunch is not None:
                await asyncio.sleep(0)  # what ends in the same turn of the loop is given out together
        except BaseException:
            self.turns.drop(end)
            raise
        if (given := self.turns.give(end)) is not None:
            await given
        return refused

    @property
    def followers(self) -> Followers:
        """The stored tasks by their starts, put in order when first needed."""
        if self._followers is None:
            self._followers = Followers(self.ledger)
        return self._followers

    def now(self) -> float:
        """The time for a record, to the millisecond: by the clock as it was set when the pass began, so that a duration is
        never that of a correction."""
        now = self.clock.time()
        if abs(was_set := now - self._steady() - self._offset) > JITTER:
            now -= was_set
        return round(now * 1000) / 1000  # `round(..., 3)` takes three times as long

    def body_key(self, path: str) -> BodyKey:
        """The key of a task in the process-wide table of running bodies."""
        return (self.directory, self.run.id, path)

    def _records_for_finality(self) -> list[TaskRecord]:
        self.ledger.on_new_record = self.finality.note  # from now on
        return self.ledger.records()
