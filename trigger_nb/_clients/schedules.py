"""The part of a client that knows its schedules, and listens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import overload

from .._events.schedules import StoredSchedule
from .._schedules.times import zone_of
from .._view.render import coming_table
from .._view.render.coming_table import Coming
from .events import ClientParts
from .listener import Listener, listener_of


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule of a store, as `client.schedules()` gives it.

    - `job`: the id of the job; of a `DynamicSchedule`, its id.
    - `key`: which schedule of a `DynamicSchedule` it is; "" for a job's own.
    - `text`: the schedule in words, and `timezone` its zone.
    - `next_at`, `last_at`: when it is due next, and the due time of its last run, in that zone; None if there is none.
    """

    job: str
    key: str
    text: str
    timezone: str
    next_at: datetime | None
    last_at: datetime | None


class ScheduleList(Sequence[Schedule]):
    """The schedules of a store, the next one first: a sequence, shown as a table."""

    def __init__(self, schedules: list[Schedule], now: float) -> None:
        self._schedules = schedules
        self._now = now

    @overload
    def __getitem__(self, index: int) -> Schedule: ...
    @overload
    def __getitem__(self, index: slice) -> ScheduleList: ...
    def __getitem__(self, index: int | slice) -> Schedule | ScheduleList:
        found = self._schedules[index]
        return ScheduleList(found, self._now) if isinstance(found, list) else found

    def __len__(self) -> int:
        return len(self._schedules)

    def _rows(self) -> list[Coming]:
        return [
            Coming(
                each.job if not each.key else f"{each.job} · {each.key}",
                each.text,
                None if each.next_at is None else each.next_at.timestamp(),
                each.timezone,
                each.next_at,
                None if each.last_at is None else each.last_at.timestamp(),
            )
            for each in self._schedules
        ]

    def _repr_html_(self) -> str:
        return coming_table.as_html(self._rows(), self._now, none=_NONE)

    def __repr__(self) -> str:
        return coming_table.as_text(self._rows(), self._now, none=_NONE)


_NONE = "no schedules: they begin when a kernel listens, client.listen(), with a job that has one"


class ClientSchedules(ClientParts):
    """Schedules, and the listener."""

    def listen(self, *, display: bool = True) -> Listener:
        """Start in this kernel what is due for its jobs, in the background: runs of events and schedules, and waits.

        - Events that this or another kernel has sent start their runs, also those that came while none listened.
        - Schedules (`cron_trigger`, `interval_trigger`, `DynamicSchedule`) start theirs. Two kernels start each once.
        - Runs whose kernel is gone are resumed when what they wait for is due, or has come; and those that a listener has
          started also in the middle of a task.

        `display`: show what is coming below the cell. To listen again, as by running the cell again, gives the same
        `Listener`, whose `stop()` ends it. It ends with the kernel, too. In a script, without an event loop, it begins
        with `listener.run_forever_sync()`.

        ```
        listener = client.listen()
        ```
        """
        listener = listener_of(self.runtime)
        if display:
            listener.show()
        return listener

    def schedules(self) -> ScheduleList:
        """The schedules of the store, the next one first. Shown as a table, with local times.

        >>> len(client.schedules())
        0
        """
        runtime = self.runtime
        found = sorted(runtime.schedules.all(), key=lambda each: (each.due is None, each.due or 0.0, each.id))
        return ScheduleList([_shown(each) for each in found], runtime.clock.time())


def _shown(stored: StoredSchedule) -> Schedule:
    zone = zone_of(stored.times.zone)

    def local(when: float | None) -> datetime | None:
        return None if when is None else datetime.fromtimestamp(when, zone)

    return Schedule(
        stored.owner,
        stored.key,
        stored.times.text,
        stored.times.zone,
        local(stored.due),
        local(stored.last),
    )
