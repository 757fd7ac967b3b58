"""Who has a place where, by the limits that let them in: the attempts of a task, and the runs of a job."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from .limiter import ConcurrencyLimit, Limiter, Rate, agree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._clock import Clock


class Places:
    """The limiters that all attempts of a task go through, one after the other.

    `told` are some that somebody else enters for it: what a service says is for them as well.
    """

    def __init__(self, limiters: Sequence[Limiter], clock: Clock, told: Sequence[Limiter] = ()) -> None:
        self._limiters = limiters
        self._told = told
        self._clock = clock
        self._entered: list[int] = []  # when, of those that the attempt has entered so far
        self._inside = False

    def take_now(self) -> bool:
        """Take a place in each if there is no need to wait; else `take` goes on from here."""
        self._entered, self._inside = [], True
        for limiter in self._limiters:
            if (entered := limiter.enter_now(self._clock)) is None:
                return False
            self._entered.append(entered)
        return True

    async def take(self) -> None:
        """Wait for the places that `take_now` could not take."""
        for limiter in self._limiters[len(self._entered) :]:
            self._entered.append(await limiter.enter(self._clock))

    def leave(self, *, ok: bool) -> None:
        """Give back those that were taken."""
        if self._inside:
            self._inside = False
            for limiter, entered in zip(self._limiters, self._entered, strict=False):
                limiter.leave(ok=ok, entered=entered)

    def hold(self, until: float) -> None:
        """The service said so to the last attempt: all who share the limits wait."""
        for limiter in self._told:
            limiter.hold(until)
        for limiter, entered in zip(self._limiters, self._entered, strict=False):
            limiter.hold(until, entered)


class JobLimits:
    """The limits of one job, which outlive its definitions: its cell may be run again while runs go on."""

    def __init__(self) -> None:
        self._said: tuple[int | ConcurrencyLimit | None, Rate | None] = (None, None)
        self._limiter = Limiter()

    def limiter(self, limit: int | ConcurrencyLimit | None, rate: Rate | None) -> Limiter | None:
        """What lets its runs in, by what the job says now; None: nothing has to.

        Raises `InvalidOptionError` when a name that it says goes with another number.
        """
        if limit is None and rate is None:
            return None
        agree(*(each for each in (limit, rate) if isinstance(each, (ConcurrencyLimit, Rate))))
        if rate == self._said[1]:
            rate = self._said[1]  # the same one, so that its starts are paced over both definitions
        if (limit, rate) != self._said:
            self._limiter = Limiter(limit, rate).after(self._limiter)
            self._said = (limit, rate)
        return self._limiter


class RunPlace:
    """The place of a run among those in progress. It has none while it waits for other runs (C4)."""

    def __init__(self, limiter: Limiter, clock: Clock) -> None:
        self._limiter = limiter
        self._clock = clock
        self._guard = threading.Lock()  # a body in a thread may start other runs there and wait for them
        self._away = 0  # how much it waits for that may need the place
        self._is_over = False
        self.is_held = False

    def take_now(self) -> bool:
        """Take it where there is no need to wait."""
        self.is_held = self.is_held or self._limiter.enter_now(self._clock) is not None
        return self.is_held

    async def take(self) -> None:
        """Wait for it, behind those that came before."""
        await self._limiter.enter(self._clock)
        self.is_held = True

    def hand_on(self) -> RunPlace:
        """The place of the next pass: what still goes on in this one has no say in it."""
        heir = RunPlace(self._limiter, self._clock)
        with self._guard:
            heir.is_held, self.is_held, self._is_over = self.is_held, False, True
        return heir

    def give_up(self) -> None:
        """For good: the run has come to rest."""
        with self._guard:
            self._is_over = True
            self._let_go()

    def step_out(self) -> None:
        """The run waits for something that may need the place itself."""
        with self._guard:
            self._away += 1
            self._let_go()

    async def step_in(self) -> None:
        """That is over. When nothing else is waited for, it takes its place before all who have not begun."""
        with self._guard:
            self._away -= 1
            if self._away or self.is_held or self._is_over:
                return
        await self._limiter.enter_again(self._clock)
        with self._guard:
            if self._away or self.is_held or self._is_over:  # things have changed meanwhile
                self._limiter.leave(ok=True)
            else:
                self.is_held = True

    def step_in_now(self) -> None:
        """As `step_in` for one who cannot wait, as it was cancelled: over the limit, if need be."""
        with self._guard:
            self._away -= 1
            if not (self._away or self.is_held or self._is_over):
                self._limiter.enter_anyway()
                self.is_held = True

    def _let_go(self) -> None:
        if self.is_held:
            self.is_held = False
            self._limiter.leave(ok=True)
