"""The limits of one task, one job and one run, made of limiters."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeAlias

from .limiter import ConcurrencyLimit, Limiter, Ticket, limiter_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .._clock import Clock
    from .limiter import Rate, Waiter

_SEEN = 200  # calls of one queue whose places are looked up


def places(tickets: Iterable[Ticket]) -> list[tuple[int, float | None] | None]:
    """For each ticket: how many calls are before it, and the time before which none may start, if there is one.

    None for a ticket far back in its queue. Each queue is looked through once, however many tickets there are.
    """
    queues: dict[Limiter, tuple[dict[Waiter, int], float | None]] = {}

    def place(ticket: Ticket) -> tuple[int, float | None] | None:
        if ticket.place is None:
            return None
        limiter, waiter = ticket.place
        if limiter not in queues:
            first, when = limiter.queue(_SEEN)
            queues[limiter] = {each: at for at, each in enumerate(first)}, when
        order, when = queues[limiter]
        return (order[waiter], when) if waiter in order else None

    return [place(ticket) for ticket in tickets]


class TaskLimits:
    """The limiters that each attempt of a task acquires, one after the other.

    `around` are the limiters of the maps around, which only `hold` uses. With `acquire=False` the caller acquires
    the others elsewhere too, as a batch does for its items.
    """

    def __init__(
        self, limiters: Sequence[Limiter], around: Sequence[Limiter] = (), *, acquire: bool = True
    ) -> None:
        self._to_hold = (*limiters, *around)
        self._around = around
        self._to_acquire = limiters if acquire else ()
        self._acquired: list[Limiter] = []
        self.ticket = Ticket()

    def acquire_nowait(self) -> bool:
        """Acquire all of them if there is no need to wait; else `acquire` continues from here."""
        for limiter in self._to_acquire:
            if not limiter.acquire_nowait():
                return False
            self._acquired.append(limiter)
        return True

    async def acquire(self) -> None:
        """Wait for the limiters that `acquire_nowait` could not acquire."""
        for limiter in self._to_acquire[len(self._acquired) :]:
            for each in self._around:
                each.show_hold(limiter.held_until)
            await limiter.acquire(self.ticket)
            self._acquired.append(limiter)

    def release(self) -> None:
        """Release all acquired limiters. A second call does nothing."""
        while self._acquired:
            self._acquired.pop().release()

    def hold(self, until: float) -> None:
        """Start nothing that shares these limits until this time, in UTC seconds, as a service asked."""
        for limiter in self._to_hold:
            limiter.hold(until)


class PacedLimiter:
    """The limiter of a job with both a `concurrency_limit` and a rate. A run that waits for the rate has no slot."""

    def __init__(self, slots: Limiter, rate: Limiter, clock: Clock) -> None:
        self._slots = slots
        self._rate = rate
        self._turn = Limiter(clock, 1)  # the job's runs start in the order of arrival

    def acquire_nowait(self) -> bool:
        """As `Limiter.acquire_nowait`."""
        if not self._turn.acquire_nowait():
            return False
        try:
            return self._rate.acquire_nowait() and self._acquire_slot_nowait()
        finally:
            self._turn.release()

    async def acquire(self, ticket: Ticket | None = None) -> None:
        """As `Limiter.acquire`: both at the same moment."""
        await self._turn.acquire(ticket)
        try:
            while True:
                await self._rate.acquire(ticket)
                if self._acquire_slot_nowait():
                    return
                await self._slots.acquire(ticket)
                if self._rate.acquire_nowait():
                    return
                self._slots.release()
        finally:
            self._turn.release()

    def _acquire_slot_nowait(self) -> bool:
        """Take a slot after the rate has allowed a start; without a free slot, give the start back."""
        if self._slots.acquire_nowait():
            return True
        self._rate.withdraw()
        return False

    async def reacquire(self) -> None:
        """As `Limiter.reacquire`."""
        await self._slots.reacquire()
        self._rate.acquire_anyway()

    def acquire_anyway(self) -> None:
        """As `Limiter.acquire_anyway`."""
        self._slots.acquire_anyway()
        self._rate.acquire_anyway()

    def release(self) -> None:
        """As `Limiter.release`."""
        self._slots.release()
        self._rate.release()


RunLimiter: TypeAlias = Limiter | PacedLimiter


class JobLimits:
    """The limits of one job. They outlive its definitions: its cell may run again while runs are in progress."""

    def __init__(self) -> None:
        self._slots: Limiter | None = None  # if the `concurrency_limit` is a number
        self._rate: Rate | None = None
        self._paced: tuple[Limiter, Limiter, PacedLimiter] | None = None

    def limiter(
        self, clock: Clock, limit: int | ConcurrencyLimit | None, rate: Rate | None
    ) -> RunLimiter | None:
        """The limiter of the job's runs, for its current limits; None without limits.

        Raises `InvalidOptionError` if a name is in use with another number.
        """
        slots = None if limit is None else self._slots_of(clock, limit)
        if rate is None:
            return slots
        if self._rate is None or rate != self._rate:
            self._rate = rate  # keep an equal one, so that both definitions share its starts
        starts = limiter_of(self._rate, clock)
        if slots is None:
            return starts
        if self._paced is None or self._paced[:2] != (slots, starts):
            self._paced = (slots, starts, PacedLimiter(slots, starts, clock))
        return self._paced[2]

    def _slots_of(self, clock: Clock, limit: int | ConcurrencyLimit) -> Limiter:
        if isinstance(limit, ConcurrencyLimit):
            return limiter_of(limit, clock)
        if self._slots is None:
            self._slots = Limiter(clock, limit)
        self._slots.set_limit(limit)
        return self._slots


class RunSlot:
    """The concurrency slot of a run. The run gives it up while it waits for other runs (C4)."""

    def __init__(self, limiter: RunLimiter) -> None:
        self._limiter = limiter
        self._guard = threading.Lock()  # a body in a thread may start other runs there and wait for them
        self._suspended = 0  # how many waits have released the slot
        self._closed = False
        self.is_held = False
        self.ticket = Ticket()

    def acquire_nowait(self) -> bool:
        """Acquire the slot if there is no need to wait."""
        self.is_held = self.is_held or self._limiter.acquire_nowait()
        return self.is_held

    async def acquire(self) -> None:
        """Wait for a slot, in the order of arrival."""
        await self._limiter.acquire(self.ticket)
        self.is_held = True

    def hand_over(self) -> RunSlot:
        """Transfer the slot to the next pass. Leftovers of this pass can no longer release it."""
        heir = RunSlot(self._limiter)
        with self._guard:
            heir.is_held, self.is_held, self._closed = self.is_held, False, True
        return heir

    def close(self) -> None:
        """Release the slot for good: the run has stopped."""
        with self._guard:
            self._closed = True
            self._release()

    def suspend(self) -> None:
        """Release the slot while the run waits for something that may need one."""
        with self._guard:
            self._suspended += 1
            self._release()

    async def resume(self) -> None:
        """End a `suspend`. After the last one, wait for a slot ahead of all runs that have not started."""
        with self._guard:
            self._suspended -= 1
            if not self._needs_slot():
                return
        await self._limiter.reacquire()
        with self._guard:
            if self._needs_slot():
                self.is_held = True
            else:  # another wait has begun, or the slot was closed, meanwhile
                self._limiter.release()

    def resume_now(self) -> None:
        """As `resume`, for a call that was cancelled and cannot wait: exceeds the limit if need be."""
        with self._guard:
            self._suspended -= 1
            if self._needs_slot():
                self._limiter.acquire_anyway()
                self.is_held = True

    def _needs_slot(self) -> bool:
        return not (self._suspended or self.is_held or self._closed)

    def _release(self) -> None:
        if self.is_held:
            self.is_held = False
            self._limiter.release()
