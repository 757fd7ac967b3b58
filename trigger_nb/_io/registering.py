"""The part of `io` that registers schedules and events with dynamic triggers, each as a task of this run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Protocol

from .._tasks.call import Call
from .._tasks.task import Task
from ..errors import StoreError, UsageError
from .starter import TaskStarter, caller


class Schedules(Protocol):
    """A `DynamicSchedule`, as `io` sees it."""

    def register(
        self,
        key: str,
        *,
        cron: str | None = None,
        interval: float | timedelta | None = None,
        timezone: Any = None,
    ) -> None:
        """Add a schedule, or change the one with this key."""
        ...

    def unregister(self, key: str) -> None:
        """Remove the schedule with this key."""
        ...


class EventTriggers(Protocol):
    """A `DynamicTrigger`, as `io` sees it."""

    @property
    def register(self) -> Callable[..., None]:
        """Start the job for events that match."""
        ...

    def unregister(self, key: str) -> None:
        """Start it for these events no longer."""
        ...


class Registering(TaskStarter):
    """Registers schedules and events."""

    def register_cron(
        self, key: object, schedule: Schedules, name: str, cron: str, *, timezone: Any = None
    ) -> Call[None]:
        """Add a schedule to a `DynamicSchedule`, under a name of its own, or change the one of this name.

        Raises `InvalidOptionError` for a wrong expression or zone.

        ```
        await io.register_cron("weekly", reports, payload["customer"], "0 9 * * 1", timezone="Europe/Lisbon")
        ```
        """
        return self._registered(
            key,
            schedule,
            name,
            lambda: schedule.register(name, cron=cron, timezone=timezone),
            f"schedule {name}",
        )

    def register_interval(
        self, key: object, schedule: Schedules, name: str, seconds: float | timedelta
    ) -> Call[None]:
        """Add a schedule of every so many seconds to a `DynamicSchedule`. As `register_cron`.

        ```
        await io.register_interval("often", reports, payload["customer"], 3600)
        ```
        """
        return self._registered(
            key, schedule, name, lambda: schedule.register(name, interval=seconds), f"schedule {name}"
        )

    def unregister_cron(self, key: object, schedule: Schedules, name: str) -> Call[None]:
        """Remove a schedule from a `DynamicSchedule`, if it has one of this name.

        ```
        await io.unregister_cron("no-more", reports, payload["customer"])
        ```
        """
        return self._registered(
            key, schedule, name, lambda: schedule.unregister(name), f"end schedule {name}"
        )

    unregister_interval = unregister_cron

    def register_trigger(
        self, key: object, trigger: EventTriggers, name: str, event: str, **options: Any
    ) -> Call[None]:
        """Have a `DynamicTrigger` listen to an event, under a name of its own. The options are those of its `register`.

        ```
        await io.register_trigger("listen", issues, "docs", "issue.opened", filter={"repo": ["docs"]})
        ```
        """
        return self._registered(
            key, trigger, name, lambda: trigger.register(name, event, **options), f"listen to {event}"
        )

    def unregister_trigger(self, key: object, trigger: EventTriggers, name: str) -> Call[None]:
        """Have a `DynamicTrigger` listen no longer to what was registered under this name.

        ```
        await io.unregister_trigger("no-more", issues, "docs")
        ```
        """
        return self._registered(key, trigger, name, lambda: trigger.unregister(name), f"end listening {name}")

    def _registered(
        self, key: object, given: object, name: str, register: Callable[[], None], shown: str
    ) -> Call[None]:
        if not callable(getattr(given, "unregister", None)):
            raise self._pass.stopping.misused(
                UsageError(
                    "io.register_cron and the like take a DynamicSchedule, and io.register_trigger a DynamicTrigger, not "
                    f"{given!r:.100}"
                )
            )

        async def body(task: Task) -> None:
            self._pass.about_to_start(f"what {shown!r} says")
            try:
                register()
            except StoreError as error:
                await self._pass.stopping.fail(error)

        return self._task(caller(1), key, body, params=name, style="minimal", icon="clock", name=shown)
