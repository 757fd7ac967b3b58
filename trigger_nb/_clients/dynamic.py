"""Triggers that are added to while jobs run: `DynamicSchedule` and `DynamicTrigger`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from .. import filters
from .._events.keys import end_of, last
from .._events.post import data_of
from .._events.schedules import id_of_dynamic
from .._runs.runtime import Runtime
from .._schedules.times import check_catch_up, times_of
from .._store.protocol import Changes, Row
from .._values.json_text import dumps
from ..errors import InvalidOptionError, UsageError
from ..triggers import EventTrigger, TimeTrigger, Trigger, event_trigger


@dataclass(frozen=True)
class DynamicSchedule(TimeTrigger):
    """A trigger with as many schedules as you register, one for each key: for instance one for each customer.

    - `id`: its name in the store. Schedules that were registered stay, also for the next kernel.
    - `catch_up`: as for `cron_trigger`.

    The payload of a run is a `Scheduled`, whose `key` says which schedule it is. Raises `InvalidOptionError`.

    ```
    reports = DynamicSchedule("reports")

    @client.job(trigger=reports)
    async def report(payload, io):
        return f"report for {payload.key}"

    reports.register("customer-7", cron="0 9 * * 1", timezone="Europe/Lisbon")
    ```
    """

    id: str
    _homes: dict[str, Runtime] = field(
        default_factory=dict[str, Runtime], init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        _check_id(self, self.id)
        check_catch_up(self.catch_up)

    def parse(self, payload: object) -> Any:
        """The payload as a `Scheduled`. None stays None: of several schedules, none can fill in for a missing payload."""
        return None if payload is None else super().parse(payload)

    def register(
        self,
        key: str,
        *,
        cron: str | None = None,
        interval: float | timedelta | None = None,
        timezone: Any = None,
    ) -> None:
        """Add a schedule, or change the one with this key: `cron` with a `timezone`, or an `interval` in seconds.

        To register it again as it is changes nothing. Raises `InvalidOptionError`; `UsageError` if no job has this trigger.
        """
        _check_key(key)
        times = times_of(cron, interval, timezone)
        for runtime in _homes(self, self._homes):
            now = runtime.clock.time()
            runtime.schedules.keep(id_of_dynamic(self.id, key), self.id, key, times, self.catch_up, now)

    def unregister(self, key: str) -> None:
        """Remove the schedule with this key, if there is one. Runs that it has started stay."""
        _check_key(key)
        for runtime in _homes(self, self._homes):
            runtime.schedules.remove(id_of_dynamic(self.id, key))

    def bind(self, job_id: str, runtime: Runtime) -> None:
        """A job has this trigger."""
        self._homes[job_id] = runtime


@dataclass(frozen=True)
class DynamicTrigger(Trigger):
    """A trigger for the events that you register, one filter for each key. They stay, also for the next kernel.

    - `id`: its name in the store.
    - `schema`: as for `event_trigger`.

    Raises `InvalidOptionError`.

    ```
    issues = DynamicTrigger("issues")

    @client.job(trigger=issues)
    async def on_issue(payload, io):
        return payload["title"]

    issues.register("docs", "issue.opened", filter={"repo": ["docs"]})
    ```
    """

    id: str
    _homes: dict[str, Runtime] = field(
        default_factory=dict[str, Runtime], init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        _check_id(self, self.id)
        super().__post_init__()

    def register(
        self,
        key: str,
        name: str,
        *,
        filter: filters.Filter | None = None,
        context_filter: filters.Filter | None = None,
        source: str | None = None,
    ) -> None:
        """From now on, start the job for events of this name that match. Arguments are as for `event_trigger`.

        Raises `InvalidOptionError`, `InvalidFilterError`; `UsageError` if no job has this trigger.
        """
        _check_key(key)
        if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # a user's value
            raise InvalidOptionError(
                f"{self.id}.register takes the name of an event, which is text, not {name!r:.100}"
            )
        event_trigger(name, filter=filter, context_filter=context_filter, source=source)
        data = {"name": name, "filter": filter, "context_filter": context_filter, "source": source}
        row = Row(self._prefix + quote(key, safe=""), "post", dumps(data))
        for runtime in _homes(self, self._homes):
            runtime.store.change(lambda: Changes([row]), patience=5.0)
        self._subscribe()

    def unregister(self, key: str) -> None:
        """Start the job for these events no longer, if that was registered."""
        _check_key(key)
        for runtime in _homes(self, self._homes):
            runtime.post.take_out([self._prefix + quote(key, safe="")])
        self._subscribe()

    def matches(
        self, event_name: str, payload: object, source: str | None = None, context: object = None
    ) -> bool:
        """Whether an event starts the job: one of those that were registered matches."""
        return any(each.matches(event_name, payload, source, context) for each in self._registered().values())

    def listens_to(self) -> tuple[str, ...]:
        """The names of the events that were registered."""
        return tuple(sorted({each.names[0] for each in self._registered().values()}))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the events that were registered."""
        return self.listens_to()

    def bind(self, job_id: str, runtime: Runtime) -> None:
        """A job has this trigger."""
        self._homes[job_id] = runtime

    @property
    def _prefix(self) -> str:
        return f"post/trigger/{quote(self.id, safe='')}/"

    def _registered(self) -> dict[str, EventTrigger]:
        found: dict[str, EventTrigger] = {}
        for runtime in dict.fromkeys(self._homes.values()):
            for key, text in runtime.store.between(self._prefix, end_of(self._prefix)):
                data = data_of(text)
                if data.get("name"):  # its row is not damaged
                    found[last(key)] = event_trigger(
                        data["name"],
                        filter=data["filter"],
                        context_filter=data["context_filter"],
                        source=data["source"],
                    )
        return found

    def _subscribe(self) -> None:
        names = self.listens_to()
        for runtime in _homes(self, self._homes):
            runtime.post.subscribe({job_id: names for job_id, home in self._homes.items() if home is runtime})


def _homes(trigger: DynamicSchedule | DynamicTrigger, homes: Mapping[str, Runtime]) -> list[Runtime]:
    """The stores of the jobs that have this trigger."""
    if not homes:
        raise UsageError(
            f"no job has this trigger yet: define one with @client.job(trigger=...) above, then register with the "
            f"{type(trigger).__name__} {trigger.id!r}"
        )
    return list(dict.fromkeys(homes.values()))


def _check_id(trigger: object, id: object) -> None:
    if not isinstance(id, str) or not id:
        raise InvalidOptionError(
            f"the id of a {type(trigger).__name__} is text that is not empty, not {id!r:.100}"
        )


def _check_key(key: object) -> None:
    if not isinstance(key, str) or not key:
        raise InvalidOptionError(
            f'the key of what is registered is text, such as "customer-7", not {key!r:.100}'
        )
