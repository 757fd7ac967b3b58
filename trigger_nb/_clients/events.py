"""The part of a client that sends events, looks them up and cancels them."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from .. import _values
from .._callsite import calling_line, warn_at
from .._clock import to_datetime, to_seconds, to_timestamp
from .._events.post import Sent
from .._events.records import EventRecord, payload_of, read_event
from .._keys import hashed
from .._records.reading import readable_run
from .._records.records import RunRecord
from .._records.status import FINISHED
from .._runs.awaiting import CellCall
from .._runs.events import why_nobody
from .._runs.payloads import event_record, found_id
from .._runs.runtime import Runtime
from .._values.codec import dump_or_describe
from .._values.tagged import Counts
from ..errors import (
    InvalidOptionError,
    InvalidPayloadError,
    NotFoundError,
    NotStorableError,
    RunLockedError,
    StoreError,
    UsageError,
)
from ..job import AnyJob
from ..run import Run


@dataclass(frozen=True, slots=True)
class Event:
    """An event that was sent, and the runs that it started.

    `status` is "delivered", "waiting" for `deliver_at`, or "canceled". Runs that other kernels start for it come later:
    `client.get_event(event.id).runs`.

    ```
    event = await client.send_event("user.created", {"id": "u1"})
    outputs = [await run for run in event.runs]
    ```
    """

    id: str
    name: str
    payload: Any
    context: Any = None
    source: str | None = None
    timestamp: datetime | None = None
    runs: list[Run[Any]] = field(default_factory=list[Run[Any]])
    status: str = "delivered"
    deliver_at: datetime | None = None


class ClientParts(ABC):
    """What the parts of a client know of it."""

    @property
    @abstractmethod
    def runtime(self) -> Runtime:
        """The open store."""

    @property
    @abstractmethod
    def jobs(self) -> list[AnyJob]:
        """The jobs defined in this kernel."""


class ClientEvents(ClientParts):
    """Sends events."""

    def send_event(
        self,
        name: str,
        payload: object = None,
        *,
        id: str | None = None,
        context: object = None,
        source: str | None = None,
        timestamp: datetime | None = None,
        deliver_at: datetime | None = None,
        deliver_after: float | timedelta | None = None,
        is_test: bool = False,
        fresh: bool = False,
    ) -> CellCall[Event]:
        """Start a run of every enabled job whose trigger matches. The result is an `Event` with its `runs`.

        The event is recorded: kernels that listen (`client.listen`) start the runs of their jobs, now or when they come up, and
        runs that wait for it (`io.wait_for_event`) go on.

        - `id`: the same id never starts a second run of a job. By default it is made from name and payload,
          so that running the cell again finds the same runs.
        - `context`, `source`, `timestamp`: facts about the event for the run function, in `ctx`. The timestamp
          is a datetime with a time zone, by default now. A trigger may require a `source`.
        - `deliver_at`, `deliver_after`: when it is delivered, as a datetime with a time zone, or after so many seconds or a
          `timedelta`. Until then `cancel_event` can take it back. A kernel must listen then, or once it is over.
        - `is_test`: mark the runs as tests, which `ctx.run.is_test` tells.
        - `fresh`: start new runs, also if there are some for this event.

        A run of this event that has completed is not started again. Warns if no job listens to the event.

        Raises `InvalidPayloadError` if the payload does not fit the schema of a job; then no run starts.

        ```
        event = await client.send_event("user.created", {"id": "u1"})
        ```
        """
        line = calling_line()

        async def send() -> Event:
            if not isinstance(name, str) or not name:  # pyright: ignore[reportUnnecessaryIsInstance]  # a user's value
                raise InvalidOptionError(
                    f'the name of an event must be text, such as "new.user", not {name!r:.100}'
                )
            scope = _current_scope()
            if scope is not None:
                scope.owner.about_to_start(f"event {name!r}")
            now = self.runtime.clock.time()
            sent_at = now if timestamp is None else to_timestamp(timestamp, "timestamp")
            due = _due(now, deliver_at, deliver_after)
            record = EventRecord(
                id=id or self._event_id(name, payload),
                name=name,
                timestamp=round(sent_at, 3),
                context=context,
                source=source,
                is_test=is_test,
                deliver_at=None if due is None else round(due, 3),
            )
            return self._sent(record, payload, line, scope, fresh=fresh)

        return CellCall(send, f"the sending of event {name!r:.100}", "await client.send_event(...)")

    def send_events(self, events: Iterable[Mapping[str, Any]]) -> CellCall[list[Event]]:
        """Send several events. Each is a mapping of the arguments of `send_event`.

        ```
        events = await client.send_events([{"name": "user.created", "payload": {"id": each}} for each in ["u1", "u2"]])
        ```
        """
        given = [dict(each) for each in events]

        async def send() -> list[Event]:
            return [await self.send_event(**each) for each in given]

        return CellCall(send, f"the sending of {len(given)} events", "await client.send_events(...)")

    def get_event(self, event_id: str) -> Event:
        """An event that was sent, with the runs that it has started so far. Raises `NotFoundError`.

        ```
        event = client.get_event("signup-2")
        ```
        """
        record = self._event(event_id)
        return self._as_event(record, payload_of(self.runtime.store, record), self._runs_of(event_id))

    def cancel_event(self, event_id: str) -> Event:
        """Cancel an event that was not delivered yet: it waits for its time, or nobody has listened to it.

        Raises `NotFoundError` if there is no such event, and `UsageError` if it was delivered; `cancel_runs_for_event` cancels
        the runs that it started.

        ```
        client.cancel_event("reminder-7")
        ```
        """
        self._event(event_id)
        record = self.runtime.post.cancel(event_id)
        if record is None or record.canceled_at is None:
            raise UsageError(
                f"event {event_id!r} was delivered already, so it cannot be canceled. "
                f"client.cancel_runs_for_event({event_id!r}) cancels the runs that it started"
            )
        return self.get_event(event_id)

    def cancel_runs_for_event(self, event_id: str) -> list[Run[Any]]:
        """Cancel the runs that an event has started and that have not ended. Returns these.

        Raises `NotFoundError` if there is no such event, and `RunLockedError` for a run that another kernel drives; the other
        ones are canceled nevertheless.

        ```
        client.cancel_runs_for_event("signup-2")
        ```
        """
        self._event(event_id)
        return self._cancel(self._runs_of(event_id))

    def cancel_runs_for_job(self, job: AnyJob | str) -> list[Run[Any]]:
        """Cancel the runs of a job, by itself or its id, that have not ended. Returns these.

        Raises `RunLockedError` for a run that another kernel drives; the other ones are canceled nevertheless.

        ```
        client.cancel_runs_for_job("signup")
        ```
        """
        job_id = job if isinstance(job, str) else job.id
        records = [record for record in self.runtime.each_run_record() if record.job == job_id]
        return self._cancel([Run(self.runtime, record.id) for record in records])

    def _cancel(self, chosen: Iterable[Run[Any]]) -> list[Run[Any]]:
        runs = [run for run in chosen if run.status not in FINISHED]
        locked: RunLockedError | None = None
        for run in runs:
            try:
                run.cancel()
            except RunLockedError as error:
                locked = error
        if locked is not None:
            raise locked
        return runs

    # Sending ------------------------------------------------------------------------------------------

    def _sent(
        self, record: EventRecord, payload: object, line: tuple[str, int], scope: Any, *, fresh: bool
    ) -> Event:
        runtime, again = self.runtime, uuid4().hex if fresh else ""
        record.payload_form, record.payload = dump_or_describe(payload, runtime.store.blobs(record.id))
        record.keys = 1
        known = None if fresh else read_event(runtime.store, record.id)
        is_later = record.deliver_at is not None and record.deliver_at > runtime.clock.time()
        if known is not None and (known.state != "delivered" or is_later):
            return self._as_event(known, payload, self._runs_of(record.id))
        if is_later:
            return self._as_event(runtime.post.send(record, again=again).record, payload, [])
        matching = [
            job
            for job in self.jobs
            if job.enabled and job.trigger.matches(record.name, payload, record.source, record.context)
        ]
        done = {} if fresh else {job.id: job._completed_for_event(record.id, line) for job in matching}
        parsed = [(job, job.trigger.parse(payload)) for job in matching if done.get(job.id) is None]
        sent = runtime.post.send(record, is_taken=bool(matching), again=again)
        if not matching:
            self._say_nobody(sent, line, scope)
        runs = [run for run in done.values() if run is not None]
        fault: StoreError | None = None
        for job, value in parsed:
            try:
                runs.append(job._start_for_event(record.data(), value, is_test=record.is_test, fresh=fresh))
            except RunLockedError as error:  # a kernel that listens was faster
                fault = fault if job.id in sent.inboxes else fault or error
            except StoreError as error:  # the runs of the other jobs start nevertheless
                fault = fault or error
            else:
                if job.id in sent.inboxes:
                    runtime.post.take_out([sent.inboxes[job.id]])
        if fault is not None:
            raise fault
        return self._as_event(sent.record, payload, runs)

    def _say_nobody(self, sent: Sent, line: tuple[str, int], scope: Any) -> None:
        """Warn that no job of this kernel has started, unless others have got the event."""
        listening = {*sent.inboxes, *self.runtime.post.subscribers(sent.record.name)}
        if sent.for_runs or listening - self.runtime.jobs.keys():
            return
        text = why_nobody(sent.record.name, self.jobs)
        warn_at(text, *line)
        if scope is not None:
            scope.owner.log(scope, "warning", text)

    def _event_id(self, name: str, payload: object) -> str:
        """I1: the same name and payload are the same event."""

        def id_of(value: object, counts: Counts = "changed") -> str:
            return hashed("evt_", name, _values.canonical(value, counts))

        def record_of(event_id: str) -> RunRecord | None:
            text = self.runtime.store.get("event/" + event_id)
            return None if text is None else event_record(event_id, text)

        try:
            return found_id(payload, id_of, record_of, self.runtime.store.blobs)[0]
        except NotStorableError as error:
            raise InvalidPayloadError(
                f"the payload of event {name!r} cannot identify the event: {error}. Pass plain data, or name the "
                "event: send_event(..., id=...)"
            ) from None

    # Looking up ---------------------------------------------------------------------------------------

    def _event(self, event_id: str) -> EventRecord:
        record = read_event(self.runtime.store, event_id)
        if record is None:
            raise NotFoundError(
                f"there is no event {event_id!r} in {self.runtime.store.directory}: an id is what send_event(...).id says"
            )
        return record

    def _runs_of(self, event_id: str) -> list[Run[Any]]:
        found: list[Run[Any]] = []
        for key, text in self.runtime.store.search("runs", json.dumps(event_id)):
            run_id = key.removeprefix("run/")
            if (readable_run(run_id, text).event or {}).get("id") == event_id:
                found.append(Run(self.runtime, run_id))
        return found

    def _as_event(self, record: EventRecord, payload: object, runs: list[Run[Any]]) -> Event:
        return Event(
            record.id,
            record.name,
            payload,
            record.context,
            record.source,
            to_datetime(record.timestamp),
            runs,
            record.state,
            None if record.deliver_at is None else to_datetime(record.deliver_at),
        )


def _current_scope() -> Any:
    from .._tasks.call import current_scope

    return current_scope.get()


def _due(now: float, at: datetime | None, after: float | timedelta | None) -> float | None:
    if at is not None and after is not None:
        raise InvalidOptionError("send_event takes deliver_at= or deliver_after=: one of the two")
    if at is not None:
        return to_timestamp(at, "deliver_at")
    return None if after is None else now + to_seconds(after, "deliver_after")
