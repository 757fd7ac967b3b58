"""What the parts of a pass share: its run, the run's records, what is running, and whether the pass is stopped."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, cast

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
from .stopping import Stopping
from .turns import Turns

if TYPE_CHECKING:
    from .._clock import Clock
    from .._concurrency.threads import Home
    from .._records.feed import Feed
    from .._records.records import RunRecord, TaskRecord
    from .._records.status import Reason
    from .._store.group_commit import GroupCommit
    from .._store.protocol import Store
    from .._tasks.call import AnyCall, PassApi
    from .._tasks.options import Settings
    from .._tasks.running import BodyKey, RunningBody

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
    handled: int = 0  # ordinal up to which the run function has handled errors, see `forget.handled_in`
    is_lost: Callable[[], bool] = lambda: False  # whether another kernel has taken the run over

    def __post_init__(self) -> None:
        self.directory = str(self.store.directory)
        self.result: tuple[object] | None = None  # what the run function returned
        self.failure: BaseException | None = None  # or raised
        self.root = Scope(cast("PassApi", self))
        self.stopping = Stopping(self.home, self.is_lost)
        self.ledger = Ledger(
            run=self.run,
            store=self.store,
            journal=self.journal,
            memory=self.memory,
            feed=self.feed,
            fail=self.stopping.fail,
            on_fault=self.stopping.on_store_fault,
        )
        self.named_values = NamedValues(self.ledger, self.store, self.run.id, self.stopping.fail)
        self.finality = Finality(
            self._records_for_finality,
            self.run.ended_by,
            handled=self.handled,
            kept=self.run.kept,
        )
        self.changes = Changes(self.ledger, self.run.keys)
        self._followers: Followers | None = None
        self.header = Header(self.feed)
        self.still = Still()
        self.turns = Turns(self.home, self.ledger.texts)
        self.running: set[RunningBody] = set()  # bodies running now, each in the process-wide table too
        self.reasons: dict[str, Reason] = {}  # by path of each task met: why its body ran or did not (R7)
        # When the last task of the run function began or ended, on the monotonic clock, and that task's key: code
        # between tasks that takes long is hinted at (R10).
        self.idle_since = 0.0
        self.idle_at = ""

    def saw(self, path: str, reason: Reason) -> None:
        """Note why a task's body was called, or was not."""
        self.reasons[path] = reason
        if self.feed.watched:
            self.feed.emit(Seen(path, reason, self.changes.found.get(path, "")))
        if not self.root.subtasks:
            self.idle_since = time.monotonic()

    def end_of_call(self) -> None:
        """A task of the run function has ended, and nothing else runs."""
        self.idle_since = time.monotonic()

    def sightings(self) -> dict[str, Seen]:
        """The tasks met in this pass, and why their bodies were called or not, by path."""
        found = self.changes.found
        return {path: Seen(path, reason, found.get(path, "")) for path, reason in self.reasons.items()}

    def excuse(self, seconds: float) -> None:
        """Do not count time between tasks that was ours: the import of an SDK."""
        self.idle_since += seconds

    def beside(self, call: AnyCall) -> int:
        """`beside` for the record of a call that ends now: 0 if it had no company. May be called from any thread.

        A call that another asyncio task makes than the one of the code around it has company: that one. An item of a map has
        none, because the map gives out results itself, in the order of its input.
        """
        is_aside = call.host is not (call.scope.host or self.stopping.main) and not call.from_thread
        return 1 + self.turns.gap() if (call.beside or is_aside) and call.limiter is None else 0

    @property
    def followers(self) -> Followers:
        """The stored tasks by their starts, put in order when first needed."""
        if self._followers is None:
            self._followers = Followers(self.ledger)
        return self._followers

    def now(self) -> float:
        """The time for a record, to the millisecond."""
        return round(self.clock.time() * 1000) / 1000  # `round(..., 3)` takes three times as long

    def body_key(self, path: str) -> BodyKey:
        """The key of a task in the process-wide table of running bodies."""
        return (self.directory, self.run.id, path)

    def _records_for_finality(self) -> list[TaskRecord]:
        self.ledger.on_new_record = self.finality.note  # from now on
        return self.ledger.records()
