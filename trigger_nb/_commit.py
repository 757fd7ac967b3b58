"""Records that are ready at the same time share one commit.

A transaction costs about the same for one row as for ten. So callers put their rows into a queue,
and whoever comes first, the *leader*, commits what all have put there; those who come meanwhile
wait and go with the next batch. Worker threads and the event loop do the same, and no lock is ever
held across an `await`, since nothing here awaits.

From a thread: `refused = commits.commit(rows, patience=30)`. On the event loop, where the rows of
several bodies that end together are to meet:

```python
pending = commits.enqueue(rows)
try:
    await checkpoint()                   # only when other bodies are in flight
finally:
    refused = commits.settle(pending)    # commits all that is queued, unless somebody has
```
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Sequence
from time import monotonic

from ._store_protocol import PATIENCE, Row, Store
from .errors import StoreBusyError

_NONE: frozenset[Row] = frozenset()


class Pending:
    """Rows on their way to the store. Once `done`: `error`, or those of them that were `refused`."""

    __slots__ = ("done", "error", "queued", "refused", "rows", "taken", "wake")

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        self.done = False
        self.error: BaseException | None = None
        self.refused = _NONE
        self.queued = True  # in the queue, or taken from it by a leader
        self.taken = False  # a leader is committing it right now
        self.wake: threading.Lock | None = None  # held while a thread waits for it; released to wake that


class GroupCommit:
    """Commits to one store, shared by all threads of this process."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._queue: deque[Pending] = deque()
        # Guards what is below and all taking from the queue; never held while the store works.
        self._mutex = threading.Lock()
        self._leading = False
        self._stuck = False  # The leader waits for another process, with its own rows only.

    def commit(self, rows: Sequence[Row], *, patience: float | None = None) -> frozenset[Row]:
        """Write `rows`, all or none, as `Store.commit` does, together with what others have queued."""
        return self.settle(self.enqueue(rows), patience=patience)

    def enqueue(self, rows: Sequence[Row]) -> Pending:
        """Queue `rows` for the next batch, whosever it is. To be sure that there is one, settle them,
        on the way out of a cancellation too."""
        pending = Pending(rows)
        self._queue.append(pending)
        return pending

    def amend(self, pending: Pending, rows: Sequence[Row]) -> bool:
        """Replace what was queued, unless it is too late: it is written, or about to be."""
        with self._mutex:
            if pending.done or pending.taken:
                return False
            pending.rows = rows
            return True

    def settle(self, pending: Pending, *, patience: float | None = None) -> frozenset[Row]:
        """Have `pending` written, by this thread or by another, and return its refused rows.

        Raises what the store raised for these rows. After a `StoreBusyError` they are not written
        and in no queue: settle them again, with more patience, in a thread. One pending, one thread
        at a time.
        """
        if not pending.done:
            deadline = monotonic() + (PATIENCE if patience is None else patience)
            if not pending.queued:
                pending.queued = True
                self._queue.append(pending)
            while not pending.done:
                self._take_turn(pending, deadline)
        if pending.error is not None:
            raise pending.error
        return pending.refused

    def _take_turn(self, pending: Pending, deadline: float) -> None:
        """Lead one batch, or return when another leader has written `pending`."""
        batch: list[Pending] = []
        leading = False
        try:
            with self._mutex:
                while self._leading and not pending.done:
                    self._wait(pending, deadline)
                if pending.done:
                    return
                leading = self._leading = True
                self._take(batch)
            self._lead(batch, pending, deadline)
        except BaseException:
            with self._mutex:
                if not self._leading:  # An interrupt met us when we had just been woken to lead.
                    self._hand_over(batch)
            raise
        finally:
            if leading:
                with self._mutex:
                    self._put_back(batch)  # what an interrupt, or a busy moment, left undone
                    self._leading = self._stuck = False
                    self._hand_over(batch)

    def _wait(self, pending: Pending, deadline: float) -> None:
        """Wait until the leader wakes us or the deadline has come; then withdraw."""
        left = deadline - monotonic()
        # Whoever has little patience, as the event loop, does not stand in line behind a stuck leader.
        if not pending.taken and (left <= 0 or (self._stuck and left <= PATIENCE)):
            self._queue.remove(pending)
            pending.queued = False
            raise StoreBusyError(
                f"the store {self._store.directory} was held by another transaction for too long. "
                "Nothing was written. Look for a process that writes to it and hangs."
            )
        pending.wake = wake = threading.Lock()
        wake.acquire()
        self._mutex.release()
        try:
            # A leader has others' rows in hand only for a short while, and how it ends must be known.
            wake.acquire(timeout=-1 if pending.taken else left)
        finally:
            self._mutex.acquire()
            pending.wake = None

    def _take(self, batch: list[Pending]) -> None:
        queue = self._queue
        while queue:
            pending = queue.popleft()
            pending.taken = True
            batch.append(pending)

    def _lead(self, batch: list[Pending], own: Pending, deadline: float) -> None:
        rows = own.rows if len(batch) == 1 else [row for pending in batch for row in pending.rows]
        try:
            refused = self._store.commit(rows)
        except StoreBusyError as error:
            self._insist(batch, own, deadline, error)
        except Exception as error:  # noqa: BLE001  # raised by whoever settles these rows
            self._tell_apart(batch, error)
        else:
            for pending in batch:
                if refused:
                    pending.refused = refused.intersection(pending.rows)
                pending.done = True

    def _insist(self, batch: list[Pending], own: Pending, deadline: float, error: StoreBusyError) -> None:
        """Wait for the other process as long as the leader has patience, with its own rows only:
        those who have less must be free to withdraw theirs."""
        with self._mutex:
            self._put_back([pending for pending in batch if pending is not own])
            batch[:] = [own]
            self._stuck = True
            for pending in self._queue:
                _wake(pending)
        try:
            left = deadline - monotonic()
            if left <= 0:
                raise error
            own.refused = self._store.commit(own.rows, patience=left)
        except StoreBusyError:
            batch.clear()
            own.queued = own.taken = False
            raise
        except Exception as other:  # noqa: BLE001  # raised by `settle`
            own.error = other
        own.done = True

    def _tell_apart(self, batch: list[Pending], error: Exception) -> None:
        """Give each its own outcome: what is wrong with one's rows must not cost another its result."""
        if len(batch) == 1:
            batch[0].error = error
            batch[0].done = True
            return
        for pending in batch:
            try:
                pending.refused = self._store.commit(pending.rows)
            except StoreBusyError:
                continue  # back to the queue, for the next batch
            except Exception as own:  # noqa: BLE001  # raised by whoever settles it
                pending.error = own
            pending.done = True

    def _put_back(self, batch: list[Pending]) -> None:
        for pending in reversed(batch):
            if not pending.done:
                pending.taken = False
                self._queue.appendleft(pending)
                _wake(pending)

    def _hand_over(self, batch: list[Pending]) -> None:
        """Wake those whose rows were written, and one of the others to lead the next batch."""
        for pending in batch:
            _wake(pending)
        for pending in self._queue:
            if _wake(pending):
                return


def _wake(pending: Pending) -> bool:
    """Wake the thread that waits for `pending`, if there is one."""
    if pending.wake is None:
        return False
    with contextlib.suppress(RuntimeError):  # It was woken before and has not got round to it.
        pending.wake.release()
    return True
