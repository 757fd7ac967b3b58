"""Why a pass was stopped."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .._records.forget import Finality
from .._tasks.call import Scope
from .changes import Changes
from .header import Header
from .idle import Still
from .ledger import Ledger
from .memory import Memory
from .stopping import Stopping

if TYPE_CHECKING:
    from .._clock import Clock
    from .._concurrency.threads import Home
    from .._records.feed import Feed
    from .._records.records import RunRecord, TaskRecord
    from .._store.group_commit import GroupCommit
    from .._store.protocol import Store
    from .._tasks.options import Settings
    from .._tasks.running import BodyKey, RunningBody

MakeIo = Callable[[Scope, bool], Any]  # an `io` for a scope; whether its calls block


class PassState:
    """One pass: its run, the records of that, what is running, and whether it is stopped."""

    def __init__(
        self,
        *,
        owner: Any,
        run: RunRecord,
        store: Store,
        journal: GroupCommit,
        clock: Clock,
        feed: Feed,
        home: Home,
        settings: Settings,
        memory: Memory,
        run_was_completed: bool,
        is_lost: Callable[[], bool],
    ) -> None:
        self.run = run
        self.clock = clock
        self.feed = feed
        self.home = home
        self.settings = settings
        self.memory = memory
        self.directory = str(store.directory)
        self.root = Scope(owner)
        self.stopping = Stopping(home, is_lost)
        self.finality = Finality(
            self._read_records, run.ended_by, run_completed=run_was_completed, kept=run.kept
        )
        self.ledger = Ledger(
            run=run,
            store=store,
            journal=journal,
            memory=memory,
            feed=feed,
            note=self.finality.note,
            fail=self.stopping.fail,
            on_fault=self.stopping.on_store_fault,
        )
        self.changes = Changes(self.ledger, run.keys)
        self.header = Header(feed, self.changes, self.root)
        self.still = Still()
        self.running: set[RunningBody] = set()  # bodies running now, each in the process-wide table too

    def _read_records(self) -> list[TaskRecord]:
        return self.ledger.records()

    def now(self) -> float:
        """The time for a record, to the millisecond."""
        return round(self.clock.time() * 1000) / 1000  # `round(..., 3)` takes three times as long

    def body_key(self, path: str) -> BodyKey:
        """The key of a task in the process-wide table of running bodies."""
        return (self.directory, self.run.id, path)
