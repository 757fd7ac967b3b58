"""`client.listen()`: starts in this kernel what is due in the store, in the background, until it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from datetime import datetime
from types import TracebackType
from typing import Any, Self
from weakref import WeakKeyDictionary

from .._callsite import warn
from .._clock import to_datetime
from .._events import keys
from .._events.post import Letter
from .._events.records import payload_of, read_event
from .._events.schedules import StoredSchedule, id_of_job
from .._keys import hashed
from .._records.records import RunRecord
from .._runs.awaiting import has_loop
from .._runs.notifying import Notices, tell_owed
from .._runs.runtime import Runtime
from .._schedules.times import zone_of
from ..errors import (
    CorruptRecordError,
    InvalidPayloadError,
    RunLockedError,
    StoreBusyError,
    StoreError,
    TriggerError,
    UsageError,
)
from ..job import AnyJob
from ..triggers import Scheduled, ScheduleTrigger, Trigger
from .board import Board
from .dynamic import DynamicSchedule
from .starting import Left, resume_left, start_once

logger = logging.getLogger("trigger_nb")
_AT_ONCE = 100  # letters of one job that are taken out in one look
_LEAST = 0.02  # seconds between two looks, so that what comes in at the same time is one
_CHECK_EVERY = 5.0  # seconds between two looks at runs whose kernel may have died, which nothing tells of
_AFTER_FAULT = 2.0  # seconds until the next look after the store refused one


class Listener:
    """What `client.listen()` returns. It starts runs of this kernel's jobs in the background, until `stop()`.

    ```
    async with client.listen():
        await client.send_event("user.created", {"id": "u1"}, deliver_after=60)
        ...
    ```
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._news: asyncio.Event | None = None
        self._is_stopped = False
        self._triggers: dict[
            str, Trigger | None
        ] = {}  # by job: as the store knows it; None if it is disabled
        self._check_at = 0.0  # by the loop's clock: the next look at open runs
        self._busy = False  # something could not be started yet, because another kernel holds its lock
        # By run: how often it was resumed here, and when that may be done again, by the loop's clock.
        self._resumed: dict[str, tuple[int, float]] = {}
        self._board = Board(runtime, self)
        self.started = 0  # the number of runs that it has started or resumed

    # For users ------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Start nothing any more. Runs that are under way go on. May be called from any thread."""
        self._is_stopped = True
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._wake)

    @property
    def is_listening(self) -> bool:
        """Whether it starts what is due."""
        return self._task is not None and not self._task.done() and not self._is_stopped

    async def run_until_stopped(self) -> None:
        """Return once `stop()` was called. If this is cancelled, it stops."""
        self.begin()
        assert self._task is not None
        try:
            await asyncio.shield(self._task)
        finally:
            self.stop()

    def run_forever_sync(self) -> None:
        """In a script, without an event loop: listen until `stop()` or an interrupt. Runs under way are then interrupted.

        Raises `UsageError` where an event loop is running, as in a notebook.
        """
        if has_loop():
            raise UsageError(
                "run_forever_sync() would block the event loop that is running here: client.listen() listens in the "
                "background already, and `await listener.run_until_stopped()` waits for its end"
            )
        asyncio.run(self.run_until_stopped())

    async def __aenter__(self) -> Self:
        self.begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self._task is not None:
            await asyncio.wait({self._task})

    def __repr__(self) -> str:
        return self._board.text()

    def _ipython_display_(self) -> None:
        self.show()

    def show(self) -> None:
        """Show what is coming below the running cell."""
        self._board.show()

    # Beginning --------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Listen on the running event loop, unless it does already."""
        loop = asyncio.get_running_loop()
        if self._task is not None and (not self._task.done() or self._is_stopped):
            return
        self._loop = loop
        self._news = asyncio.Event()
        with contextlib.suppress(StoreError):  # the task tries again, and says why it failed
            self._register()  # at once, so that the cell can show what is coming
        self._task = loop.create_task(self._listen(), name="trigger_nb listener")

    def _wake(self) -> None:
        if self._news is not None:
            self._news.set()

    async def _listen(self) -> None:
        assert self._news is not None
        end = self._runtime.post.watch(self._wake)
        try:
            while not self._is_stopped:
                self._news.clear()
                pause = _LEAST
                try:
                    await self._look()
                except StoreError as error:
                    logger.warning("the listener cannot read the store, and tries again: %s", error)
                    pause = _AFTER_FAULT
                except Exception:
                    logger.exception("the listener met an error, and goes on")
                    pause = _AFTER_FAULT
                self._board.renew()
                await self._rest(pause)
        finally:
            end()
            self._is_stopped = True
            self._board.renew(at_once=True)

    async def _rest(self, pause: float) -> None:
        """Sleep until something has come, changed or is due."""
        assert self._news is not None
        loop = asyncio.get_running_loop()
        if self._is_stopped:
            return
        clock, now = self._runtime.clock, self._runtime.clock.time()
        waits: list[asyncio.Task[Any]] = [loop.create_task(self._news.wait())]
        due = None
        with contextlib.suppress(StoreError):
            due = self._runtime.post.next_due(now)
        if due is not None:
            waits.append(loop.create_task(clock.sleep_until(due)))
        timeout = max(pause, self._check_at - loop.time())
        if self._busy or self._defined() != self._triggers or pause > _LEAST:
            timeout = max(pause, _LEAST * 5)
        try:
            # Jobs are defined without a word to anybody: a look at them costs nothing.
            until = loop.time() + timeout
            while loop.time() < until and self._defined() == self._triggers:
                step = min(0.25, max(0.0, until - loop.time()))
                done, _ = await asyncio.wait(waits, timeout=step, return_when=asyncio.FIRST_COMPLETED)
                if done:
                    break
        finally:
            for each in waits:
                each.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    # One look ---------------------------------------------------------------------------------------

    def _defined(self) -> dict[str, Trigger | None]:
        return {job.id: job.trigger if job.enabled else None for job in self._runtime.jobs.values()}

    async def _look(self) -> None:
        self._busy = False
        self._register()
        post = self._runtime.post
        post.deliver_due()
        now = self._runtime.clock.time()
        for key, _ in post.due(now, "tick"):
            if self._is_stopped:
                return
            await self._tick(keys.split_due(key)[2], now)
        waiting: dict[str, list[str]] = {}  # by run: the keys of its times that are over
        for key, _ in post.due(now, "run"):
            waiting.setdefault(keys.split_due(key)[2], []).append(key)
        for run_id, over in waiting.items():
            await self._resume(run_id, over)
        for job in list(self._runtime.jobs.values()):
            if job.enabled and job.trigger.listens_to():
                await self._read(job)
        loop = asyncio.get_running_loop()
        if loop.time() >= self._check_at:
            self._check_at = loop.time() + _CHECK_EVERY
            for run_id in post.open_runs():
                await self._resume(run_id, [])
            await tell_owed(self._runtime, self._notices_of)

    def _notices_of(self, run: RunRecord) -> Notices | None:
        job: AnyJob | None = self._runtime.jobs.get(run.job)
        if job is None:
            return None
        return Notices(self._runtime, run.id, job._job_runs.notifiers(run.id), job._handle)

    def _register(self) -> None:
        """Have the store know what the jobs of this kernel listen to, and when they are due."""
        defined = self._defined()
        if defined == self._triggers:
            return
        runtime, names = self._runtime, dict[str, tuple[str, ...]]()
        for job_id, trigger in defined.items():
            if self._triggers.get(job_id) == trigger and job_id in self._triggers:
                continue
            names[job_id] = () if trigger is None else trigger.listens_to()
            if isinstance(trigger, ScheduleTrigger):
                now = runtime.clock.time()
                runtime.schedules.keep(id_of_job(job_id), job_id, "", trigger.times, trigger.catch_up, now)
            else:
                runtime.schedules.remove(id_of_job(job_id))
        runtime.post.subscribe(names)
        self._triggers = defined

    # Schedules --------------------------------------------------------------------------------------

    async def _tick(self, schedule_id: str, now: float) -> None:
        """Start the runs of a schedule that is due."""
        schedules = self._runtime.schedules
        schedule = schedules.get(schedule_id)
        if schedule is None or schedule.due is None or schedule.due > now:
            return
        jobs = self._jobs_of(schedule)
        if not jobs:
            return  # it is another kernel's
        at, following = schedule.next_run(now)
        if at is not None:
            for job in jobs:
                try:
                    is_started = self._start_scheduled(job, schedule, at)
                except (CorruptRecordError, UsageError) as error:  # of one run: the next ones have their turn
                    warn(f"job {job.id!r} did not start at {to_datetime(at)}: {error}")
                    continue
                if not is_started:
                    self._busy = True
                    return
                await asyncio.sleep(0)
        schedules.advance(schedule, at, following)

    def _jobs_of(self, schedule: StoredSchedule) -> list[AnyJob]:
        jobs: list[AnyJob] = [job for job in self._runtime.jobs.values() if job.enabled]
        if not schedule.is_dynamic:
            return [
                job for job in jobs if job.id == schedule.owner and isinstance(job.trigger, ScheduleTrigger)
            ]
        return [
            job
            for job in jobs
            if isinstance(job.trigger, DynamicSchedule) and job.trigger.id == schedule.owner
        ]

    def _start_scheduled(self, job: AnyJob, schedule: StoredSchedule, at: float) -> bool:
        """Start the run of one due time; whether it is started, here or elsewhere."""
        zone = zone_of(schedule.times.zone)
        last = None if schedule.last is None else datetime.fromtimestamp(schedule.last, zone)
        payload = Scheduled(datetime.fromtimestamp(at, zone), last, schedule.key)
        event_id = f"{schedule.id}@{to_datetime(at).isoformat()}"
        event = {"id": event_id, "name": "scheduled", "timestamp": round(at, 3)}
        run_id = job._job_runs.id_for_event(event_id)
        if not self._runtime.schedules.is_due(schedule):
            return True
        return self._start(job, run_id, payload, event)

    # Events -----------------------------------------------------------------------------------------

    async def _read(self, job: AnyJob) -> None:
        """Start the runs of the events in the inbox of a job."""
        while letters := self._runtime.post.inbox(job.id, _AT_ONCE):
            left = 0
            for letter in letters:
                if self._is_stopped:
                    return
                left += not self._read_one(job, letter)
                await asyncio.sleep(0)
            if left:
                self._busy = True
                return

    def _read_one(self, job: AnyJob, letter: Letter) -> bool:
        """Start the run of one event; whether its letter is taken out."""
        store, post = self._runtime.store, self._runtime.post
        event = read_event(store, letter.event)
        if event is None or event.canceled_at is not None:
            post.take_out([letter.key])
            return True
        try:
            payload = payload_of(store, event)
            if job.trigger.matches(event.name, payload, event.source, event.context):
                run_id = job._job_runs.id_for_event(event.id)
                if letter.again:
                    run_id = hashed("run_", run_id, letter.again)
                value = job.trigger.parse(payload)
                return self._start(job, run_id, value, event.data(), is_test=event.is_test, gone=letter.key)
        except StoreError as error:
            if not isinstance(error, CorruptRecordError):
                raise
            warn(f"event {event.id} ({event.name!r}) starts no run of job {job.id!r}: {error}")
        except InvalidPayloadError as error:
            warn(
                f"event {event.id} ({event.name!r}) does not fit job {job.id!r} and starts no run of it: {error}"
            )
        except TriggerError as error:
            warn(f"event {event.id} ({event.name!r}) starts no run of job {job.id!r}: {error}")
        post.take_out([letter.key])
        return True

    # Runs -------------------------------------------------------------------------------------------

    def _start(
        self,
        job: AnyJob,
        run_id: str,
        payload: Any,
        event: dict[str, Any],
        *,
        is_test: bool = False,
        gone: str | None = None,
    ) -> bool:
        """Start a run once, see to it that it ends, and remove its letter. False if another kernel holds its lock."""
        runtime = self._runtime
        try:
            self.started += start_once(runtime, job, run_id, payload, event, is_test=is_test)
        except RunLockedError:
            return False
        record = runtime.run_record(run_id)
        letters = [] if gone is None else [gone]
        if record is not None and record.finished_at is None:
            runtime.post.see_to(run_id, gone=letters)
        else:
            runtime.post.take_out(letters)
        return True

    async def _resume(self, run_id: str, over: list[str]) -> None:
        """Resume a run whose kernel is gone: one whose time has come, by these keys, or, without keys, that is open."""
        runtime, now = self._runtime, asyncio.get_running_loop().time()
        count, not_before = self._resumed.get(run_id, (0, 0.0))
        if self._is_stopped or (now < not_before and run_id not in runtime.executions):
            return
        try:
            has_mail = any(keys.split_due(key)[0] == 0.0 for key in over)
            left = resume_left(runtime, run_id, is_open=not over or has_mail)
        except StoreBusyError:
            raise
        except TriggerError as error:  # of this run: it must not keep others from their turn
            self._resumed[run_id] = count + 1, now + _patience(count)
            logger.warning("run %s could not be resumed, which is tried again later: %s", run_id, error)
            return
        match left:
            case Left.RESUMED:
                # One that stops again at once, as for a damaged record, is not resumed all the time.
                self._resumed[run_id] = count + 1, now + _patience(count)
                self.started += 1
                runtime.post.see_to(run_id, gone=over)
                await asyncio.sleep(0)
            case Left.HERE:
                runtime.post.take_out(over[:-1])  # the last one stays until it has ended: this kernel may die
            case Left.OVER:
                self._resumed.pop(run_id, None)
                runtime.post.close(run_id)
                runtime.post.take_out(over)
            case Left.LEFT:
                pass


def _patience(count: int) -> float:
    """Seconds until a run is resumed again that this listener has resumed so often."""
    return min(3600.0, _CHECK_EVERY * 2**count)


_listeners: WeakKeyDictionary[Runtime, Listener] = WeakKeyDictionary()


def listener_of(runtime: Runtime) -> Listener:
    """The listener of a store in this kernel: the one that listens, or a new one, which begins if an event loop is running."""
    known = _listeners.get(runtime)
    is_living = known is not None and (known.is_listening or (not known._is_stopped and not has_loop()))
    if known is not None and is_living and (known._loop is None or known._loop is _running()):
        found = known
    else:
        found = _listeners[runtime] = Listener(runtime)
    if has_loop():
        found.begin()
    return found


def _running() -> asyncio.AbstractEventLoop | None:
    return asyncio.get_running_loop() if has_loop() else None
