"""The part of `io` that sends events and waits for them, and that registers schedules: each as a task of this run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any

from .. import filters
from .._callsite import warn
from .._clock import to_seconds
from .._events.post import Letter, Post
from .._events.records import ReceivedEvent, payload_of, read_event, received
from .._store.protocol import Store
from .._tasks.call import Call
from .._tasks.task import Task
from ..errors import InvalidPayloadError, StoreError, TaskTimeoutError, TriggerError, UsageError
from ..triggers import EventTrigger, event_trigger
from .starter import TaskStarter, caller


class Events(TaskStarter):
    """Sends events, and waits for them."""

    def send_event(self, key: object, name: str, payload: object = None, **options: Any) -> Call[str]:
        """Send an event, once, to all jobs and runs of the store. The result is the event's id.

        The options are those of `client.send_event`: `id` (by default an id that belongs to this task), `context`,
        `source`, `timestamp`, `deliver_at`, `deliver_after`, `is_test`, `fresh`.

        Raises `InvalidPayloadError` if the payload does not fit a job of this kernel; then no run starts.

        ```
        event_id = await io.send_event("announce", "user.created", {"id": "u1"})
        ```
        """

        async def send(task: Task) -> str:
            return await self._send(name, payload, {"id": task.idempotency_key, **options})

        return self._task(caller(), key, send, params=payload, icon="bolt", name=f"send {name}")

    def send_events(self, key: object, events: Iterable[Mapping[str, Any]]) -> Call[list[str]]:
        """Send several events, each once. The result is the list of their ids.

        Each is a mapping of the arguments of `send_event`: `{"name": ..., "payload": ...}`, and its options.

        ```
        ids = await io.send_events("tell", [{"name": "user.created", "payload": {"id": each}} for each in users])
        ```
        """
        given = [dict(each) for each in events]

        async def send(task: Task) -> list[str]:
            ids: list[str] = []
            for number, each in enumerate(given):
                options = {"id": f"{task.idempotency_key}-{number}", **each}
                ids.append(await self._send(options.pop("name", ""), options.pop("payload", None), options))
            return ids

        return self._task(caller(), key, send, params=given, icon="bolt", name=f"send {len(given)} events")

    async def _send(self, name: str, payload: object, options: dict[str, Any]) -> str:
        try:
            event = await self._host.send_event(name, payload, **options)
        except StoreError as error:
            return await self._pass.stopping.fail(error)
        return event.id

    def get_event(self, key: object, event_id: str) -> Call[ReceivedEvent]:
        """An event that was sent, as it is when the run first comes here. Raises `NotFoundError`.

        ```
        event = await io.get_event("look-up", event_id)
        ```
        """

        def get() -> ReceivedEvent:
            event = self._host.client.get_event(event_id)
            return ReceivedEvent(
                event.id, event.name, event.payload, event.context, event.source, event.timestamp
            )

        return self._task(caller(), key, get, params=event_id, thread=False, icon="bolt", name="get event")

    def cancel_event(self, key: object, event_id: str) -> Call[None]:
        """Cancel an event that was not delivered yet. Raises `NotFoundError`, and `UsageError` if it was.

        ```
        await io.cancel_event("no-reminder", event_id)
        ```
        """

        def cancel() -> None:
            self._host.client.cancel_event(event_id)

        return self._task(
            caller(), key, cancel, params=event_id, thread=False, icon="bolt", name="cancel event"
        )

    def cancel_runs_for_event(self, key: object, event_id: str) -> Call[list[str]]:
        """Cancel the runs that an event has started, as far as they have not ended. The result is their ids.

        ```
        await io.cancel_runs_for_event("withdraw", event_id)
        ```
        """

        def cancel() -> list[str]:
            return [run.id for run in self._host.client.cancel_runs_for_event(event_id)]

        return self._task(
            caller(), key, cancel, params=event_id, thread=False, icon="bolt", name="cancel runs of event"
        )

    def wait_for_event(
        self,
        key: object,
        name: str,
        *,
        schema: object = None,
        filter: filters.Filter | None = None,
        context_filter: filters.Filter | None = None,
        source: str | None = None,
        timeout: float | timedelta = 3600,
    ) -> Call[ReceivedEvent]:
        """Wait for an event, whoever sends it. The result is a `ReceivedEvent`. The kernel may stop meanwhile.

        From its first wait for this name on, the run gets each event of the name once, also those that come while no kernel
        lives or between two waits. A wait takes the oldest one that fits.

        - `schema`: a pydantic model or a type: the event's `payload` is validated with it. An event that does not fit is
          passed over, with a warning.
        - `filter`, `context_filter`, `source`: as for `event_trigger`: which events are meant.
        - `timeout`: seconds or a `timedelta`, counted from when the run first came here; by default an hour.

        Raises `TaskTimeoutError` when the time is over.

        ```
        paid = await io.wait_for_event("paid", "order.paid", filter={"id": [order_id]}, timeout=timedelta(days=3))
        ```
        """
        try:
            if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # a user's value
                raise UsageError(
                    f"io.wait_for_event waits for events of one name, which is text, not {name!r:.100}"
                )
            wanted = event_trigger(name, schema, filter, source, context_filter=context_filter)
            seconds = to_seconds(timeout, "timeout of io.wait_for_event")
        except UsageError as error:
            raise self._pass.stopping.misused(error)  # noqa: B904  # the same error
        outside = Mailbox(self._host.post, self._host.store, self._pass.run.id, wanted, seconds)

        def taken() -> ReceivedEvent:
            if outside.event is None:
                raise TaskTimeoutError(
                    f"no event {name!r} that fits came within {timedelta(seconds=seconds)}. run.retry() waits for it again"
                )
            return outside.event

        call = self._task(
            caller(), key, taken, thread=False, style="minimal", icon="clock", name=f"wait for {name}"
        )
        call.outside = outside
        return call


class Mailbox:
    """The events for a run that one of its waits takes: what the call waits for (see `Outside`)."""

    def __init__(self, post: Post, store: Store, run_id: str, wanted: EventTrigger, timeout: float) -> None:
        self.timeout = timeout
        self.event: ReceivedEvent | None = None  # what the wait has taken
        self._post = post
        self._store = store
        self._run_id = run_id
        self._wanted = wanted
        self._unfit: set[str] = set()  # keys of letters that are not for this wait
        self._by = ""

    def begin(self, by: str) -> None:
        """Have events of this name delivered to the run from now on. What the wait takes counts as taken `by` it."""
        self._by = by
        self._post.await_event(self._run_id, self._wanted.names[0])

    def is_there(self) -> bool:
        """Whether an event has come that fits. Delivers those that are due, for no listener may live."""
        self._post.deliver_due()
        return self._find() is not None

    def next_look(self, now: float) -> float | None:
        """The next time at which an event may be due."""
        return self._post.next_due(now, "event")

    def watch(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Call `wake` whenever an event may have come."""
        return self._post.watch(wake)

    def take(self) -> bool:
        """Take the event for this wait out of the mail of the run, if there is one."""
        self._post.deliver_due()
        found = self._find()
        if found is None:
            return False
        letter, self.event = found
        if not letter.by:
            self._post.give(self._run_id, letter, self._by)
        return True

    def _find(self) -> tuple[Letter, ReceivedEvent] | None:
        """The oldest letter that fits; or the one that this wait had taken when the kernel died."""
        letters = self._post.letters(self._run_id)
        for letter in [letter for letter in letters if letter.by == self._by] + letters:
            if letter.by in ("", self._by) and letter.key not in self._unfit:
                event = self._event(letter)
                if event is not None:
                    return letter, event
                self._unfit.add(letter.key)
        return None

    def _event(self, letter: Letter) -> ReceivedEvent | None:
        """The event of a letter, if it is one that the wait is for."""
        record = read_event(self._store, letter.event)
        if record is None or record.name != self._wanted.names[0]:
            return None
        try:
            payload = payload_of(self._store, record)
            if not self._wanted.matches(record.name, payload, record.source, record.context):
                return None
            return received(record, payload, self._wanted.parse)
        except InvalidPayloadError as error:
            warn(
                f"run {self._run_id} passes over event {record.id}, which does not fit what it waits for: {error}"
            )
        except TriggerError as error:
            warn(f"run {self._run_id} passes over event {record.id}, whose payload cannot be read: {error}")
        return None
