"""What happened in a run, for whoever looks on.

The store's commits and the engine's sightings go into one feed a run. The engine never knows who
listens; a view takes what has gathered, when it is about to draw.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from ._estimate import Durations
    from ._prints import Prints
    from ._records import Reason, RunRecord, TaskRecord


@dataclass(frozen=True, slots=True)
class Saved:
    """A task's record as it is now: committed, or `live` (known to this kernel only)."""

    record: TaskRecord
    live: bool = False


@dataclass(frozen=True, slots=True)
class SavedRun:
    """The run's record as it is now."""

    record: RunRecord


@dataclass(frozen=True, slots=True)
class Seen:
    """A task was met in this pass, and why its body was called or not.

    `changed` says what differs from the stored fingerprints: "" or some of "code", "params",
    "codec", "subtask" joined by ", ".
    """

    path: str
    reason: Reason
    changed: str = ""


@dataclass(frozen=True, slots=True)
class Progressed:
    """`task.progress(done, total, text)` was called in a body, or a map has come so far.

    Of a map: how many of those done have `failed`, how many items a second it does now, and when it will
    probably be done, in UTC seconds.
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
    """A task's body has printed or logged something; `prints` is all of it, so far and from here on."""

    path: str
    prints: Prints


@dataclass(frozen=True, slots=True)
class Hinted:
    """Something the run's header should say, such as slow code between tasks, until it is `over`."""

    text: str
    over: bool = False


@dataclass(frozen=True, slots=True)
class PassBegan:
    """A new pass of the run function began; what was seen before belongs to an earlier one."""

    number: int


@dataclass(frozen=True, slots=True)
class Expected:
    """What earlier runs of the job took has been read: it tells how long this one will take."""

    durations: Durations


Event: TypeAlias = Saved | SavedRun | Seen | Progressed | Printed | Hinted | PassBegan | Expected


class Subscription:
    """The events that one listener has not taken yet."""

    def __init__(self, feed: Feed, wake: Callable[[], None] | None) -> None:
        self._feed = feed
        self._wake = wake
        self._events: deque[Event] = deque()
        self._printing: set[str] = set()  # paths of the tasks of which a `Printed` waits to be taken

    def take(self, most: int | None = None) -> list[Event]:
        """The events since the last call, oldest first, at most so many. May be called from any thread."""
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
        """Whether there are events to take. `wake` is not called again before they have been taken."""
        return bool(self._events)

    def close(self) -> None:
        """Stop listening."""
        self._feed.unsubscribe(self)

    def push(self, event: Event) -> None:
        """Called by the feed."""
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
        # Replaced, never changed in place: `emit` walks it without a lock.
        self._subscriptions: tuple[Subscription, ...] = ()
        self.watched = False  # Whether anybody listens; the engine makes no event for nobody.

    def subscribe(self, wake: Callable[[], None] | None = None) -> Subscription:
        """Listen from now on. `wake` is called, on the emitting thread, when the first event of
        a batch comes in; it must be quick and must not raise."""
        subscription = Subscription(self, wake)
        self._subscriptions = (*self._subscriptions, subscription)
        self.watched = True
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Stop sending to `subscription`."""
        self._subscriptions = tuple(s for s in self._subscriptions if s is not subscription)
        self.watched = bool(self._subscriptions)

    def emit(self, event: Event) -> None:
        """Tell every listener."""
        for subscription in self._subscriptions:
            subscription.push(event)
