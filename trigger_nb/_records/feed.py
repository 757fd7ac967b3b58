"""The events of a run, for displays that follow it.

Each run has one feed, which gets the records that are committed and the tasks that the engine reaches. The
engine does not know the subscribers; a display takes the collected events when it is about to draw.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from .durations import Durations
    from .prints import Prints
    from .records import RunRecord, TaskRecord
    from .status import Reason


@dataclass(frozen=True, slots=True)
class Saved:
    """The new record of a task: committed, or `live` (in this kernel only)."""

    record: TaskRecord
    live: bool = False


@dataclass(frozen=True, slots=True)
class SavedRun:
    """The new record of the run."""

    record: RunRecord


@dataclass(frozen=True, slots=True)
class Seen:
    """This pass has reached a task; `reason` tells why the task runs or is replayed.

    `changed` lists the differences from the stored fingerprints: "" or some of "code", "params", "codec",
    "subtask", joined by ", ". `parts` names the functions and globals that make the difference in code, and `diff` shows their
    sources before and now, if they are known.
    """

    path: str
    reason: Reason
    changed: str = ""
    parts: str = ""
    diff: str = ""

    @property
    def difference(self) -> str:
        """What has changed, with the parts of the code by name."""
        if not self.parts:
            return self.changed
        others = [each for each in self.changed.split(", ") if each != "code"]
        return ", ".join([*others, f"code: {self.parts}"])


@dataclass(frozen=True, slots=True)
class Progressed:
    """A task called `task.progress(done, total, text)`, or a map has made progress.

    For a map, `failed` counts the failed items among those done, `rate` is the current number of items per
    second, and `ends_at` is the expected end in UTC seconds.
    """

    path: str
    done: float
    total: float | None
    text: str | None
    failed: int = 0
    rate: float | None = None
    ends_at: float | None = None


@dataclass(frozen=True, slots=True)
class Printed:
    """A task has printed or logged text; `prints` is all its text, including later additions."""

    path: str
    prints: Prints


@dataclass(frozen=True, slots=True)
class Showed:
    """A task called `task.show(obj)`; `pieces` are all that it has shown in this attempt (see `_values/pieces.py`)."""

    path: str
    pieces: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Hinted:
    """A hint for the run's header, such as slow code between tasks; `over` removes the hint."""

    text: str
    over: bool = False


@dataclass(frozen=True, slots=True)
class PassBegan:
    """A new pass of the run function has begun; earlier `Seen` events belong to earlier passes.

    The number 0 stands for the passes of another process, of which no `Seen` tells: all records follow.
    """

    number: int


@dataclass(frozen=True, slots=True)
class Expected:
    """The durations of earlier runs were read, from which the end of this run can be estimated."""

    durations: Durations


Event: TypeAlias = Saved | SavedRun | Seen | Progressed | Printed | Showed | Hinted | PassBegan | Expected


class Subscription:
    """The events that one subscriber has not taken yet."""

    def __init__(self, feed: Feed, wake: Callable[[], None] | None) -> None:
        self._feed = feed
        self._wake = wake
        self._events: deque[Event] = deque()
        self._printing: set[str] = set()  # paths of tasks with a `Printed` event in the queue

    def take(self, most: int | None = None) -> list[Event]:
        """The next events, oldest first, at most `most` of them. May be called from any thread."""
        taken: list[Event] = []
        events = self._events
        while events and len(taken) != most:
            taken.append(events.popleft())
        for event in taken:
            if isinstance(event, Printed):
                self._printing.discard(event.path)
        return taken

    @property
    def pending(self) -> bool:
        """Whether there are events to take. `wake` is called again only after all of them were taken."""
        return bool(self._events)

    def close(self) -> None:
        """End the subscription."""
        self._feed.unsubscribe(self)

    def push(self, event: Event) -> None:
        """Add an event. Called by the feed."""
        if isinstance(event, Printed):
            if event.path in self._printing:
                return
            self._printing.add(event.path)
        first = not self._events
        self._events.append(event)
        if first and self._wake is not None:
            self._wake()


class Feed:
    """The events of one run. `emit` may be called from any thread."""

    def __init__(self) -> None:
        # Replaced, never changed in place, because `emit` iterates without a lock.
        self._subscriptions: tuple[Subscription, ...] = ()
        self.watched = False  # whether there are subscribers; without them, the engine makes no events

    def subscribe(self, wake: Callable[[], None] | None = None) -> Subscription:
        """Subscribe to all further events. `wake` is called on the emitting thread for the first event of a
        batch; it must be quick and must not raise."""
        subscription = Subscription(self, wake)
        self._subscriptions = (*self._subscriptions, subscription)
        self.watched = True
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Stop sending events to `subscription`."""
        self._subscriptions = tuple(s for s in self._subscriptions if s is not subscription)
        self.watched = bool(self._subscriptions)

    def emit(self, event: Event) -> None:
        """Send an event to all subscribers."""
        for subscription in self._subscriptions:
            subscription.push(event)
