"""Calls of a pass that stand still, and whether anything else moves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import TYPE_CHECKING, Literal

from .._keys import ancestors

if TYPE_CHECKING:
    import anyio

    from .._concurrency.limiter import Ticket
    from .._tasks.running import RunningBody

Why = Literal["wait", "poll", "retry", "answer", "queued", "parked"]


class Still:
    """Calls that sleep, that are queued until a limit lets them begin, or that are parked because what
    they ask for cannot come in this pass.

    A running body that such a call is in can only wait for it. How many there are is counted as
    they come and go: thousands may wait at once, and none of them may look at all the others.
    """

    def __init__(self) -> None:
        self._whys: dict[str, Why] = {}
        self.sleeps: dict[str, anyio.CancelScope] = {}  # by path of a call; cancelling wakes it
        self.tickets: dict[str, Ticket] = {}  # by path of a queued call
        self._counts: Counter[Why] = Counter()
        # By path of a task: how many calls in its body stand still. No zeros.
        self._around: Counter[str] = Counter()

    def enter(
        self,
        path: str,
        why: Why,
        sleep: anyio.CancelScope | None = None,
        ticket: Ticket | None = None,
    ) -> None:
        """A call begins to stand still; cancelling `sleep` wakes it, and `ticket` tells its place in a queue."""
        self._whys[path] = why
        self._counts[why] += 1
        self._around.update(ancestors(path))
        if sleep is not None:
            self.sleeps[path] = sleep
        if ticket is not None:
            self.tickets[path] = ticket

    def leave(self, path: str) -> None:
        """A call goes on."""
        self._counts[self._whys.pop(path)] -= 1
        self.sleeps.pop(path, None)
        self.tickets.pop(path, None)
        for around in ancestors(path):
            self._around[around] -= 1
            if not self._around[around]:
                del self._around[around]

    def wake(self, path: str) -> bool:
        """End a call's sleep; whether it slept."""
        sleep = self.sleeps.get(path)
        if sleep is not None:
            sleep.cancel()
        return sleep is not None

    def wake_all(self, *whys: Why) -> None:
        """End the sleep of all calls that stand still for one of these reasons."""
        for path in [path for path in self.sleeps if self._whys[path] in whys]:
            self.wake(path)

    def holds(self, path: str) -> bool:
        """Whether a call stands still, or its body waits for one that does."""
        return path in self._whys or path in self._around

    @property
    def moves_by_itself(self) -> bool:
        """Whether a call begins soon: after a pause between attempts, or when a limit allows it."""
        return bool(self._counts["retry"] or self._counts["queued"])

    @property
    def reason(self) -> str:
        """What the run waits for, if it waits: "answer", "wait", "retry", or "" when nothing sleeps."""
        reasons: tuple[Why, ...] = ("answer", "wait", "poll", "retry")
        found = next((why for why in reasons if self._counts[why]), "")
        return "wait" if found == "poll" else found

    def is_all(self, bodies: Collection[RunningBody]) -> bool:
        """Whether each of these running bodies only waits for a call that stands still."""
        if len(bodies) > len(self._around):
            return False
        return all(running.path in self._around for running in bodies)
