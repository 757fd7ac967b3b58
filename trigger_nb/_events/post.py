"""The post office of a store: events are recorded, and put into the inboxes of jobs and runs, in one transaction.

A job that a kernel has listened with is on the list of an event's name, whether or not that kernel lives, and so is each run that
has waited for such an event. Whoever sends or delivers an event puts it into their inboxes; each of them takes it
out when it has started its run, or has given the event to its wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast
from urllib.parse import quote

from .._clock import Clock
from .._concurrency.threads import Home
from .._store.protocol import Changes, Row, Store
from .._values.json_text import dumps, loads
from ..errors import CorruptRecordError, StoreError
from . import keys
from .keys import TAG, end_of
from .records import EventRecord, read_event

logger = logging.getLogger("trigger_nb")
PATIENCE = 5.0  # seconds to wait for another process's transaction
LOOK_EVERY = 0.25  # seconds between two looks at whether another process has committed something


class Letter(NamedTuple):
    """An event in an inbox."""

    key: str
    event: str  # its id
    again: str  # what tells this sending from others of the same id; "" for the first one
    by: str  # of a letter to a run: the wait that has taken it


class Sent(NamedTuple):
    """An event after `send`."""

    record: EventRecord
    inboxes: dict[str, str]  # by job: the key under which it is in the job's inbox
    is_known: bool  # it was sent before, and nothing has changed
    for_runs: bool = False  # a run waits for events of its name


class Post:
    """Events in one store, on their way. All methods may be called from any thread, and raise `StoreError`."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._watches: tuple[_Watch, ...] = ()  # replaced, never changed in place

    # Sending ----------------------------------------------------------------------------------------

    def send(self, event: EventRecord, *, is_taken: bool = False, again: str = "") -> Sent:
        """Record an event, and deliver it, unless it is to be delivered later or was sent before.

        `is_taken`: jobs of this kernel start runs for it, so it waits for no other job. `again` makes it another sending of
        an event that was sent before.
        """
        return self.send_all([event], is_taken=is_taken, again=again)[0]

    def send_all(
        self, events: Sequence[EventRecord], *, is_taken: bool = False, again: str = ""
    ) -> list[Sent]:
        """As `send`, for several events in one transaction."""
        now = self._clock.time()
        sent: list[Sent] = []

        def decide() -> Changes | None:
            sent.clear()  # the transaction may be tried again
            first: dict[str, EventRecord] = {}
            write: list[Row] = []
            for event in events:
                known = first.get(event.id) or (None if again else read_event(self._store, event.id))
                if known is not None:
                    sent.append(Sent(known, {}, is_known=True))
                    continue
                one, rows = self._first(event, now, again, is_taken=is_taken)
                first[event.id] = one.record
                sent.append(one)
                write += rows
            return Changes(write) if write else None

        self._change(decide)
        return sent

    def _first(self, event: EventRecord, now: float, again: str, *, is_taken: bool) -> tuple[Sent, list[Row]]:
        """An event that is recorded now, and its rows. In a transaction."""
        if event.deliver_at is not None and event.deliver_at > now:
            row = Row(keys.due(event.deliver_at, "event", event.id), TAG, dumps({"again": again}))
            return Sent(event, {}, is_known=False), [_event_row(event), row]
        record = event.copy(delivered_at=round(now, 3))
        rows, inboxes, for_runs = self._routed(record, now, again, is_taken=is_taken)
        return Sent(record, inboxes, is_known=False, for_runs=for_runs), [_event_row(record), *rows]

    def deliver_due(self) -> bool:
        """Deliver the events whose time has come; whether there were any."""
        now = self._clock.time()
        found = [(key, data_of(text)) for key, text in self.due(now, "event")]

        def deliver(key: str, again: str) -> None:
            def decide() -> Changes | None:
                if self._store.get(key) is None:
                    return None  # another process was faster
                record = read_event(self._store, keys.split_due(key)[2])
                if record is None or record.canceled_at is not None:
                    return Changes(delete=[key])
                record.delivered_at = round(now, 3)
                rows, _, _ = self._routed(record, now, again)
                return Changes([_event_row(record), *rows], [key])

            self._change(decide)

        for key, data in found:
            deliver(key, str(data.get("again", "")))
        return bool(found)

    def cancel(self, event_id: str) -> EventRecord | None:
        """Cancel an event that nobody has got yet. The record afterwards; None if there is no such event."""
        found: EventRecord | None = None

        def decide() -> Changes | None:
            nonlocal found
            found = read_event(self._store, event_id)
            if found is None or found.canceled_at is not None:
                return None
            waiting: list[str] = []
            if found.is_waiting and found.deliver_at is not None:
                waiting = [keys.due(found.deliver_at, "event", event_id)]
            prefix = keys.unheard(found.name)
            waiting += [
                key for key, _ in self._store.between(prefix, end_of(prefix)) if keys.last(key) == event_id
            ]
            if not waiting:
                return None
            found = found.copy(canceled_at=round(self._clock.time(), 3))
            return Changes([_event_row(found)], waiting)

        self._change(decide)
        return found

    def _routed(
        self, event: EventRecord, now: float, again: str, *, is_taken: bool = False
    ) -> tuple[list[Row], dict[str, str], bool]:
        """The rows that deliver an event, the keys in the inboxes of jobs, and whether runs get it. In a transaction."""
        place = f"{keys.turn(now)}/{quote(event.id, safe='')}"
        text = dumps({"event": event.id, "again": again} if again else {"event": event.id})
        rows: list[Row] = []
        inboxes: dict[str, str] = {}
        for_runs = False
        prefix = keys.on(event.name)
        for key, _ in self._store.between(prefix, end_of(prefix)):
            who = keys.last(key)
            if key.startswith(f"{prefix}job/"):
                inboxes[who] = keys.inbox(who) + place
                rows.append(Row(inboxes[who], TAG, text))
            else:
                for_runs = True
                rows.append(Row(keys.mail(who) + place, TAG, text))
                rows.append(due_row(who, 0.0))  # one row, however many letters there are
        if not rows and not is_taken:
            rows.append(Row(keys.unheard(event.name) + place, TAG, text))
        return rows, inboxes, for_runs

    # Jobs that listen -------------------------------------------------------------------------------

    def subscribe(self, jobs: Mapping[str, Collection[str]]) -> None:
        """From now on, put events of these names into the inboxes of these jobs; with those that were for nobody so far.

        In one transaction: an event that comes meanwhile is for all jobs that listen to its name, or still for nobody.
        """

        def decide() -> Changes:
            write: list[Row] = []
            gone: list[str] = []
            for job_id, names in jobs.items():
                row, text = keys.job_row(job_id), _subscribed(names)
                stored = self._store.get(row)
                if stored == (text if names else None):
                    continue
                before: set[str] = set() if stored is None else set(data_of(stored).get("names", ()))
                if names:
                    write.append(Row(row, TAG, text))
                else:
                    gone.append(row)
                gone += [_on_job(name, job_id) for name in before - set(names)]
                for name in set(names) - before:
                    write.append(Row(_on_job(name, job_id), TAG, "{}"))
                    prefix = keys.unheard(name)
                    for key, letter in self._store.between(prefix, end_of(prefix)):
                        write.append(Row(keys.inbox(job_id) + key.removeprefix(prefix), TAG, letter))
            for name in {name for names in jobs.values() for name in names}:  # somebody's now
                gone += [
                    key for key, _ in self._store.between(keys.unheard(name), end_of(keys.unheard(name)))
                ]
            return Changes(write, gone)

        changes = decide()
        if changes.write or changes.delete:
            self._change(decide)

    def subscribers(self, name: str) -> list[str]:
        """The jobs that listen to events of a name, lastingly."""
        prefix = f"{keys.on(name)}job/"
        return [keys.last(key) for key, _ in self._store.between(prefix, end_of(prefix))]

    def inbox(self, job_id: str, most: int) -> list[Letter]:
        """The first events for a job."""
        prefix = keys.inbox(job_id)
        return [_letter(*row) for row in self._store.between(prefix, end_of(prefix), most)]

    def take_out(self, gone: Sequence[str]) -> None:
        """Remove rows of letters, or of what was due."""
        if gone:
            self._store.delete(keys=gone, patience=PATIENCE)

    # Runs that wait ---------------------------------------------------------------------------------

    def await_event(self, run_id: str, name: str) -> None:
        """From now on, put events of a name into the inbox of a run, until it has ended."""
        key = f"{keys.on(name)}run/{quote(run_id, safe='')}"
        if self._store.get(key) is None:
            self._change(lambda: Changes([Row(key, keys.tag_of(run_id), "{}")]))

    def letters(self, run_id: str) -> list[Letter]:
        """The events for a run, in the order in which they were delivered, also those that waits have taken."""
        prefix = keys.mail(run_id)
        return [_letter(*row) for row in self._store.between(prefix, end_of(prefix))]

    def give(self, run_id: str, letter: Letter, by: str) -> None:
        """Note which wait of a run has taken a letter. It is its own from now on: no other wait gets it."""
        text = dumps({"event": letter.event, "by": by})

        def decide() -> Changes:
            is_last = all(each.by or each.key == letter.key for each in self.letters(run_id))
            return Changes([Row(letter.key, TAG, text)], [due_row(run_id, 0.0).key] if is_last else [])

        self._change(decide)

    def see_to(self, run_id: str, *, gone: Sequence[str] = ()) -> None:
        """Note that listeners see to it that a run ends: if its kernel dies, it is resumed. Removes the rows `gone`."""
        row = Row(keys.OPEN + run_id, keys.tag_of(run_id), "{}")
        self._store.delete(keys=gone, write=[row], patience=PATIENCE)

    def open_runs(self) -> list[str]:
        """The ids of the runs that listeners see to."""
        return [key.removeprefix(keys.OPEN) for key, _ in self._store.between(keys.OPEN, end_of(keys.OPEN))]

    def close(self, run_id: str) -> None:
        """A run has ended: it waits for nothing, and is not due any more."""
        letters = [letter.key for letter in self.letters(run_id)]
        if letters or self._store.page(keys.tag_of(run_id), 1):
            self._store.delete(keys=letters, tags=[keys.tag_of(run_id)], patience=PATIENCE)

    # What is due ------------------------------------------------------------------------------------

    def due(self, now: float, *kinds: str) -> list[tuple[str, str]]:
        """Key and text of all of these kinds that is due by now; of each kind in the order of times."""
        return [row for kind in kinds or keys.KINDS for row in self._store.between(*keys.past(kind, now))]

    def next_due(self, now: float, *kinds: str) -> float | None:
        """The first time after now at which something of these kinds is due."""
        found = [
            self._store.between(*keys.future(kind, now), 1)  # one row of the index each
            for kind in kinds or keys.KINDS
        ]
        return min((keys.split_due(rows[0][0])[0] for rows in found if rows), default=None)

    def coming(self, now: float, most: int) -> list[str]:
        """Keys of what is due, and of the first things that are due after now, in the order of times."""
        found = [key for key, _ in self.due(now)]
        for kind in keys.KINDS:
            found += [key for key, _ in self._store.between(*keys.future(kind, now), most)]
        return sorted(found, key=keys.split_due)[:most]

    def events(self) -> Iterator[tuple[str, EventRecord]]:
        """The ids and records of all events that can be read."""
        for key, text in self._store.select("events"):
            with contextlib.suppress(CorruptRecordError):
                yield key.removeprefix("event/"), EventRecord.loads(text)

    def unheard(self) -> list[Letter]:
        """Events that no job and no run listened to. The next job that listens to their names gets them."""
        return [_letter(*row) for row in self._store.between(keys.UNHEARD, end_of(keys.UNHEARD))]

    def pending_events(self) -> set[str]:
        """The ids of events that are still to be delivered or taken. Reads all that waits in the store."""
        found: set[str] = set()
        for key, text in self._store.select(TAG):
            if key.startswith(("post/in/", "post/mail/", keys.UNHEARD)):
                found.add(_letter(key, text).event)
            elif key.startswith(keys.DUE) and keys.split_due(key)[1] == "event":
                found.add(keys.split_due(key)[2])
        return found

    # News -------------------------------------------------------------------------------------------

    def watch(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Call `wake` on this event loop whenever something may have come or changed. The result ends that.

        What this process does is told at once; the commits of others are noticed by a number that SQLite counts on.
        """
        watch = _Watch(self._store, wake)
        self._watches = (*self._watches, watch)

        def end() -> None:
            watch.end()
            self._watches = tuple(each for each in self._watches if each is not watch)

        return end

    def tell(self) -> None:
        """Wake all who watch in this process. May be called from any thread."""
        for watch in self._watches:
            watch.soon()

    def _change(self, decide: Callable[[], Changes | None]) -> None:
        self._store.change(decide, patience=PATIENCE)
        self.tell()


class _Watch:
    """A look at the store's version from time to time, on the event loop of whoever waits."""

    def __init__(self, store: Store, wake: Callable[[], None]) -> None:
        self._store = store
        self._wake = wake
        self._home = Home()
        self._loop = asyncio.get_running_loop()
        self._version = self._seen()
        self._timer: asyncio.TimerHandle | None = self._loop.call_later(LOOK_EVERY, self._look)

    def _seen(self) -> int:
        try:
            return self._store.version()
        except StoreError:  # gone, or busy: whoever is woken says so
            return -1

    def _look(self) -> None:
        if self._timer is None:
            return
        self._timer = self._loop.call_later(LOOK_EVERY, self._look)
        if (version := self._seen()) != self._version:
            self._version = version
            self._wake()

    def soon(self) -> None:
        """Wake, from any thread."""
        self._home.soon(lambda: None if self._timer is None else self._wake())

    def end(self) -> None:
        """Look no longer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def due_row(run_id: str, when: float) -> Row:
    """The row which says that a run is due at a time."""
    return Row(keys.due(when, "run", run_id), keys.tag_of(run_id), "{}")


def _event_row(event: EventRecord) -> Row:
    return Row(f"event/{event.id}", "events", event.dumps())


def _subscribed(names: Collection[str]) -> str:
    return dumps({"names": sorted(set(names))})


def _on_job(name: str, job_id: str) -> str:
    return f"{keys.on(name)}job/{quote(job_id, safe='')}"


def _letter(key: str, text: str) -> Letter:
    data = data_of(text)  # of a damaged row, the key says which event it was
    event = data.get("event", keys.last(key))
    return Letter(key, str(event), str(data.get("again", "")), str(data.get("by", "")))


def data_of(text: str) -> dict[str, Any]:
    """The data of a row; none if it is damaged."""
    try:
        data = loads(text)
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", data) if isinstance(data, dict) else {}
