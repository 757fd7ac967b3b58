"""Group commit: rows that are ready at the same time share one transaction.

A transaction costs about the same for one row as for ten. So callers put their rows into a queue. The first
caller becomes the *leader* and commits everything in the queue as one batch; callers that come during that
commit wait, and their rows go into the next batch. The event loop and worker threads use the same queue.
Nothing here awaits, so no lock is ever held across an `await`.

In a thread: `refused = commits.commit(rows, patience=30)`. On the event loop, where bodies that end together
are to share a commit:

```python
pending = commits.enqueue(rows)
try:
    await checkpoint()                   # only when other bodies are in flight
finally:
    refused = commits.settle(pending)    # commits the queue, unless another caller has committed it
```
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Sequence
from time import monotonic

from ..errors import StoreBusyError
from .protocol import PATIENCE, Row, Store

_NONE: frozenset[Row] = frozenset()


class Pending:
    """The rows of one caller, on their way to the store. Once `done`, `error` or `refused` has the outcome."""

    __slots__ = ("done", "error", "queued", "refused", "rows", "taken", "wake")

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        self.done = False
        self.error: BaseException | None = None
        self.refused = _NONE
        self.queued = True  # in the queue, or in a leader's batch; False after its caller has withdrawn it
        self.taken = False  # in the batch of a leader, who is committing it
        # While a thread waits for the outcome: a lock that it tries to acquire. Releasing it wakes the thread.
        self.wake: threading.Lock | None = None


class GroupCommit:
    """The queue of rows for one store, shared by all threads of this process."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._queue: deque[Pending] = deque()
        # Guards the two flags below, and every removal from the queue. Never held during a commit.
        self._mutex = threading.Lock()
        self._leading = False  # there is a leader
        self._stuck = False  # the leader waits for another process's transaction, with its own rows only

    def commit(self, rows: Sequence[Row], *, patience: float | None = None) -> frozenset[Row]:
        """Write all of `rows` or none, as `Store.commit` does, together with the rows that others have queued."""
        return self.settle(self.enqueue(rows), patience=patience)

    def enqueue(self, rows: Sequence[Row]) -> Pending:
        """Queue `rows` for the next batch.

        Only `settle` makes sure that there is a next batch: call it for the result, also after a cancellation.
        """
        pending = Pending(rows)
        self._queue.append(pending)
        return pending

    def amend(self, pending: Pending, rows: Sequence[Row]) -> bool:
        """Replace queued rows. Returns False when it is too late: a leader has written them, or is about to."""
        with self._mutex:
            if pending.done or pending.taken:
                return False
            pending.rows = rows
            return True

    def settle(self, pending: Pending, *, patience: float | None = None) -> frozenset[Row]:
        """Wait until this thread or another has written `pending`, and return its refused rows.

        Raises the store's error if these rows could not be written. After a `StoreBusyError` they are neither
        written nor queued: settle them again, in a thread and with more patience. Only one thread at a time may
        settle a given `pending`.
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
        """Wait for this thread's turn and lead one batch, or return once another leader has written `pending`."""
        batch: list[Pending] = []
        leading = False
        try:
            with self._mutex:
                while self._leading and not pending.done:
                    self._wait(pending, deadline)
                if pending.done:
                    return
                leading = self._leading = True
                self._take_queue(batch)
            self._commit_batch(batch, pending, deadline)
        except BaseException:
            with self._mutex:
                # An interrupt can end a thread that was just woken to lead: then another must be woken.
                if not self._leading:
                    self._wake_next(batch)
            raise
        finally:
            if leading:
                with self._mutex:
                    self._requeue(batch)  # rows that are not written, after an interrupt or a busy store
                    self._leading = self._stuck = False
                    self._wake_next(batch)

    def _wait(self, pending: Pending, deadline: float) -> None:
        """Wait until a leader wakes this thread. After the deadline, withdraw `pending` and raise."""
        left = deadline - monotonic()
        # A caller with little patience, such as the event loop, does not queue behind a stuck leader.
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
            # Rows that a leader is committing cannot be withdrawn. It has other callers' rows for a short time only.
            wake.acquire(timeout=-1 if pending.taken else left)
        finally:
            self._mutex.acquire()
            pending.wake = None

    def _take_queue(self, batch: list[Pending]) -> None:
        """Move the queue into the leader's batch."""
        queue = self._queue
        while queue:
            pending = queue.popleft()
            pending.taken = True
            batch.append(pending)

    def _commit_batch(self, batch: list[Pending], own: Pending, deadline: float) -> None:
        """Commit the rows of a batch, among which the leader's are `own`."""
        rows = own.rows if len(batch) == 1 else [row for pending in batch for row in pending.rows]
        try:
            refused = self._store.commit(rows)
        except StoreBusyError as error:
            self._wait_for_store(batch, own, deadline, error)
        except Exception as error:  # noqa: BLE001  # raised to each caller by its `settle`
            self._commit_separately(batch, error)
        else:
            for pending in batch:
                if refused:
                    pending.refused = refused.intersection(pending.rows)
                pending.done = True

    def _wait_for_store(
        self, batch: list[Pending], own: Pending, deadline: float, error: StoreBusyError
    ) -> None:
        """Wait for another process's transaction until the leader's deadline.

        The batch keeps only the leader's rows meanwhile: callers with less patience must be able to withdraw
        theirs.
        """
        with self._mutex:
            self._requeue([pending for pending in batch if pending is not own])
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
        except Exception as other:  # noqa: BLE001  # raised by the leader's `settle`
            own.error = other
        own.done = True

    def _commit_separately(self, batch: list[Pending], error: Exception) -> None:
        """Commit each caller's rows by themselves: rows that cannot be written must not fail another caller."""
        if len(batch) == 1:
            batch[0].error = error
            batch[0].done = True
            return
        for pending in batch:
            try:
                pending.refused = self._store.commit(pending.rows)
            except StoreBusyError:
                continue  # it goes back into the queue, for the next batch
            except Exception as own:  # noqa: BLE001  # raised to this caller by its `settle`
                pending.error = own
            pending.done = True

    def _requeue(self, batch: list[Pending]) -> None:
        """Put the part of a batch that is not done back to the front of the queue."""
        for pending in reversed(batch):
            if not pending.done:
                pending.taken = False
                self._queue.appendleft(pending)
                _wake(pending)

    def _wake_next(self, batch: list[Pending]) -> None:
        """Wake the callers of a batch, and one caller in the queue to lead the next batch."""
        for pending in batch:
            _wake(pending)
        for pending in self._queue:
            if _wake(pending):
                return


def _wake(pending: Pending) -> bool:
    """Wake the thread that waits for `pending`. Returns False when none waits."""
    if pending.wake is None:
        return False
    with contextlib.suppress(RuntimeError):  # released already: the thread was woken and has not run yet
        pending.wake.release()
    return True
