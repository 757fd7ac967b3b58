"""Replay, single flight, attempt, record: what happens between a call of `io.run_task` and its value.

A `Pass` is one execution of a run function. Its methods stand in the order in which a call goes
through them: `replay` (no body is needed; synchronous, and the path that thousands of calls take),
`perform` (one is, or something is to be waited for), an attempt, its end, its record.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import json
import logging
import threading
import time
import warnings
from collections.abc import Awaitable, Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from contextvars import copy_context
from functools import partial
from types import coroutine
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

import anyio
import anyio.lowlevel

from . import _codec, _tee
from ._bodies import Signature, bind_body, bind_run, is_async, signature_of
from ._call import MISS, SAID, Call, FanOut, Memory, Settings, Stop, show_place
from ._changes import Changes
from ._clock import to_seconds, to_timestamp
from ._codec import Encoded, Unstored
from ._crashpoints import point
from ._executors import Home, Start, call_in_thread, in_thread, threads
from ._feed import Feed, Hinted, Saved, SavedRun, Seen
from ._flights import Flight, FlightKey, flights
from ._forget import Finality, forget, open_again, to_be_said_again
from ._interrupt import calls_user_code
from ._keys import ancestors, display_key, display_path, is_within, parent_path
from ._ledger import Ledger, Unreadable, explained
from ._limits.limiter import Limiter, limiter_of, rate_of_line
from ._limits.places import Places, RunPlace
from ._origins import comes_from_subtask, mark_origin, origins
from ._prints import Prints
from ._records import FAN_OUT, Reason, RunRecord, RunStatus, TaskRecord, TaskStatus, abridged
from ._redact import check_redact, redact, scrub, scrub_error, secrets
from ._remote.outsource import Outsourcing, executor_of, name_of
from ._scope import Scope, TimeLimit, current_scope
from ._still import Still, Why
from ._store_protocol import Row
from ._task import OnChange, Task, describe
from ._values import dump, dump_unstored
from .errors import (
    CorruptRecordError,
    DuplicateKeyError,
    InvalidOptionError,
    NestingError,
    NotStorableError,
    RunInterrupted,
    ScopeClosedError,
    StoreError,
    TaskCrashedError,
    TaskTimeoutError,
    TriggerError,
    UsageError,
    ValueNotLoadedError,
)
from .retry import RetryAt, SkipRetrying, policy

if TYPE_CHECKING:
    from ._clock import Clock
    from ._commit import GroupCommit
    from ._scope import Place
    from ._store_protocol import Store

T = TypeVar("T")

logger = logging.getLogger("trigger_nb")

CRASHES_ALLOWED = 3
RETRY_AT_LIMIT = 100  # attempts that `on_error` may ask for when the task has no retry policy
A_MOMENT = 10.0  # a run that only waits keeps its place among those of its job for so long, in seconds
SLOW_GAP = 1.0  # code between tasks that takes this long is hinted at, in seconds (R10)


_OFFERED = frozenset({"task", "io"})  # what a body gets by taking a parameter of that name

# Parses the JSON value that begins at a place in a text.
_scan: Callable[[str, int], tuple[Any, int]] = getattr(json.JSONDecoder(), "scan_once")  # noqa: B009  # not in its stub


class _Failed(Exception):  # noqa: N818  # never leaves this module
    """An attempt ended in `error`."""

    def __init__(self, error: Exception, scope: Scope) -> None:
        self.error = error
        self.scope = scope


class Pass:
    """One pass of the run function. Lives on the loop; `replay` may also be called from its threads."""

    def __init__(
        self, *, run: RunRecord, store: Store, journal: GroupCommit, clock: Clock,
        feed: Feed, home: Home, settings: Settings, memory: Memory,
        make_io: Callable[[Scope, bool], Any], run_was_completed: bool = False,
        is_lost: Callable[[], bool] = lambda: False,
    ) -> None:  # fmt: skip
        self.run = run
        self.journal = journal
        self.clock = clock
        self.feed = feed
        self.home = home
        self.settings = settings
        self.memory = memory
        self.place: RunPlace | None = None  # its run's, where the job has a limit
        self._gave_place = False  # others may have it while everything here waits
        self.root = Scope(self)
        self._finality = Finality(
            self._read_records, run.ended_by, run_completed=run_was_completed, kept=run.kept
        )
        self.ledger = Ledger(
            run=run, store=store, journal=journal, memory=memory, feed=feed, note=self._finality.note,
            fail=self.fail_of_ours, on_fault=self._on_store_fault,
        )  # fmt: skip
        self.changes = Changes(self.ledger)
        self.reasons: dict[str, Reason] = {}
        self.hints: dict[str, None] = {}  # in their order; there may be one for each of thousands of tasks
        self._finishing: dict[str, str] = {}  # what is said of failed tasks whose subtasks still run
        self.misuse: UsageError | None = None  # the first; it fails the run even when swallowed (I4)
        self.stopped: Stop | None = None
        self.stop_error: TriggerError | None = None  # what `await run` raises for a stop of our own making
        self.is_lost = is_lost  # whether another kernel has taken the run over
        self.driver: asyncio.Task[Any] | None = None  # what waits for this pass: under asyncio
        self.main: asyncio.Task[Any] | None = None  # what a stop cancels: under asyncio
        self.outer: anyio.CancelScope | None = None  # and under trio
        self.stopped_event: asyncio.Event | None = None
        self.result: tuple[Any] | None = None  # what the run function returned
        self.failure: BaseException | None = None  # or raised
        self.fresh = 0  # bodies that were called in this pass
        self.on_landed: Callable[[], None] = lambda: None  # a body of this pass ended after the pass did
        self.calls: set[Call[Any]] = set()  # being performed now
        self.flights: set[Flight] = set()  # bodies running now, each in the process-wide table too
        self._directory = str(store.directory)
        self._make_io = make_io
        self._still = Still()
        self._outsourcing = Outsourcing()
        self._thread_calls: set[anyio.CancelScope] = set()  # under trio: what nobody else can cancel
        self._canceled: dict[str, set[str]] = {}  # by path of a body: what was cancelled in it in this pass
        self._latest_within: dict[str, int] | None = None  # see `_got_on`
        self._closed_to_new = False  # superseded: what runs may end, nothing new begins (I7)
        self._idle_since = 0.0
        self._idle_at = ""

    def running(self) -> dict[str, TaskRecord]:
        """By path, the bodies that run, with what is not recorded of them yet, for whoever looks on."""
        found: dict[str, TaskRecord] = {}
        run = self._flight_key("")[:2]
        for flight in list(flights.values()):  # also those of earlier passes, which this one adopts (A5)
            if flight.key[:2] != run:
                continue
            begun, known = flight.attempt, self.ledger.glance(flight.path)
            # A thread that was left behind is older than what is recorded of the attempts after it.
            is_news = known is None or known.status == TaskStatus.PENDING or known.attempt < begun.attempt
            if flight.record is not None or flight.queued:
                continue
            if is_news:
                found[flight.path] = begun.copy()
            elif known is not None and (known.status, known.attempt) == (TaskStatus.RUNNING, begun.attempt):
                found[flight.path] = known
            else:
                continue
            _note_prints(found[flight.path], flight.scope)
        return found

    def _read_records(self) -> list[TaskRecord]:
        return self.ledger.records()

    def sightings(self) -> dict[str, Seen]:
        """What was met in this pass, and why its body was called or not (R7)."""
        return {
            path: Seen(path, reason, self.changes.found.get(path, ""))
            for path, reason in self.reasons.items()
        }

    # Replay -----------------------------------------------------------------------------------

    def replay(self, call: Call[T]) -> T:
        """The stored result of a call, or `MISS`."""
        scope = call.scope
        if self.stopped is not None or scope.closed:
            self._refuse(call)
        segment = call.segment
        seen = scope.seen
        path = scope.prefix + segment
        if segment in seen:
            raise self.misused(_met_twice(call, path, seen[segment]))
        call.path = path
        seen[segment] = call.place
        if scope.parent is None:
            now = time.monotonic()
            if now - self._idle_since >= SLOW_GAP:
                self._notice_gap(call, now - self._idle_since)
            self._idle_since, self._idle_at = now, segment
        text = self.ledger.texts.get(path)
        if text is None:
            return MISS
        try:
            if text.startswith(head := self.changes.head(call)) and path not in self.changes.parents:
                value, end = _scan(text, len(head))
                if text[end : end + 2] == ',"':  # else the row is damaged
                    if self.feed.watched:
                        self._saw(path, Reason.REPLAYED)
                    else:
                        self.reasons[path] = Reason.REPLAYED
                    return value
            record = call.record = TaskRecord.loads(text)
            record.path = path
            if (
                record.status != TaskStatus.COMPLETED
                or record.error is not None
                or record.canceled is not None
                or record.kind in FAN_OUT
            ):
                return MISS
            if self.changes.difference(call, record) and self._on_change(call) != "keep":
                return MISS
            value = self._stored_value(call, record)
        except (Exception, Unreadable):  # noqa: BLE001  # `perform` meets the same, and can wait (A9, R13)
            return MISS
        if value is not MISS:
            self._saw(path, Reason.REPLAYED)
        return value

    def _refuse(self, call: Call[Any]) -> NoReturn:
        cut_short = any(scope.failed for scope in call.scope.outward())
        if cut_short or self._is_cut_short:
            call.scope.interrupted = call.scope.interrupted or self._is_cut_short
            raise self.cancellation()
        raise self.misused(
            ScopeClosedError(
                f"the task {display_key(call.segment)!r} is started at {show_place(call.place)} after the body "
                f"of {call.scope.path or 'the run'!r} had ended. Await every task inside the body that starts it."
            )
        )

    def _notice_gap(self, call: Call[Any], gap: float) -> None:
        """R10: code between tasks runs at every pass, so long code there should be a task."""
        if self._idle_at and not self.root.flights:
            self.hint(
                f"{gap:.1f} s went by between task {display_key(self._idle_at)!r} and {show_place(call.place)}. "
                "That code runs at every pass: make it a task, and it runs once"
            )

    def about_to_start(self, what: str) -> None:
        """The run's code is about to start a run, or send an event, by itself and not by way of `io`."""

    def excuse(self, seconds: float) -> None:
        """So much of the time between tasks was ours: an SDK was imported."""
        self._idle_since += seconds

    def _on_change(self, call: Call[Any]) -> OnChange:
        return call.options.get("on_change", self.settings.on_change)

    def _stored_value(self, call: Call[Any], record: TaskRecord) -> Any:
        """The value of a completed record, decoded from it so that it is the same in every pass (R2).

        `MISS` when it is not there and the task may be repeated (S4). Raises `Unreadable`.
        """
        if record.form != "unstored":
            try:
                if record.is_apart:
                    record = self.ledger.whole(record)
            except StoreError as error:
                if isinstance(error, CorruptRecordError) and self._is_repeatable(call):
                    return MISS
                raise Unreadable(error) from None
            try:
                returns = self._returns(call)
                if not record.form and returns is None:
                    return record.value
                return _codec.load(record.form, record.value, self.ledger.blobs, returns)
            except CorruptRecordError as error:  # of a value file
                lost = {"type": "value", "reason": str(error)}
            except (StoreError, ValueNotLoadedError) as error:
                if _did_not_fit(record):
                    mark_origin(error, self._directory, self.run.id, call.path)
                    raise
                what = f"the result of task {display_path(call.path)!r}"
                raise Unreadable(explained(error, what)) from None
        else:
            if (call.path, record.generation) in self.memory.live:
                return self.memory.live[call.path, record.generation]
            lost = cast("dict[str, str]", record.value)
        if self._is_repeatable(call):
            return MISS
        name = display_path(call.path)
        self.hint(f"the value of task {name!r} is not stored: {lost['reason'] or lost['type']}")
        return Unstored(name, lost["type"], lost["reason"])

    def _is_repeatable(self, call: Call[Any]) -> bool:
        return call.options.get("repeatable", self.settings.repeatable)

    def _returns(self, call: Call[Any]) -> Any:
        if "returns" in call.options:
            return call.options["returns"]
        return signature_of(call.body).returns if call.body is not None else None

    def _saw(self, path: str, reason: Reason) -> None:
        self.reasons[path] = reason
        if self.feed.watched:
            self.feed.emit(Seen(path, reason, self.changes.found.get(path, "")))
        if not self.root.flights:
            self._idle_since = time.monotonic()

    # Perform ----------------------------------------------------------------------------------

    async def perform(self, call: Call[T]) -> T:
        """The result of a call that `replay` could not give."""
        scope = call.scope
        if scope.depth >= self.settings.max_depth:
            raise self.misused(NestingError(call.path, self.settings.max_depth, display_path(call.path)))
        if scope.flights is None:
            scope.flights = set()
        scope.flights.add(call)
        self.calls.add(call)
        if self.home.is_asyncio:
            call.host = asyncio.current_task()
        began = time.monotonic()
        try:
            try:
                if call.kind == "wait":
                    return cast("T", await self._wait(call))
                if call.kind in FAN_OUT:
                    return await self._walk(call)
                return await self._perform(call)
            except Unreadable as unread:
                self.hint(str(unread.error))
                return await self.fail_of_ours(unread.error)
        except (anyio.get_cancelled_exc_class(), RunInterrupted) as error:
            self._note_cancellation(call, error, round(time.monotonic() - began, 3))
            raise
        finally:
            scope.flights.discard(call)
            if not scope.flights and scope.emptied is not None:
                scope.emptied.set()
            self.calls.discard(call)
            if scope is self.root and not scope.flights:
                self._idle_since = time.monotonic()
            self._leave_if_drained()

    async def perform_for_thread(self, call: Call[T]) -> T:
        """`perform` for a call that comes from a thread. Under trio no scope but this one is around it."""
        if self.home.is_asyncio:
            return await self.perform(call)
        with anyio.CancelScope() as scope:
            self._thread_calls.add(scope)
            try:
                return await self.perform(call)
            finally:
                self._thread_calls.discard(scope)
        raise RunInterrupted

    def _note_cancellation(self, call: Call[Any], error: BaseException, seconds: float) -> None:
        """Record why a call was cut short: the pass is ending, a time limit around it, or the user's code (A8)."""
        record = call.record
        flight = flights.get(self._flight_key(call.path))
        if self._is_cut_short:
            call.scope.interrupted = True
        if self._is_ending or isinstance(error, RunInterrupted) or _is_timed_out(call.scope):
            if record is not None and record.status == TaskStatus.RUNNING and flight is None:
                self.ledger.save_with_next(record.copy(status=TaskStatus.PENDING, interrupted=True))
            return
        if record is not None and (record.canceled is not None or record.status == TaskStatus.COMPLETED):
            return  # as expected, or it has its result
        if flight is not None:
            flight.canceled = seconds
        record = record or self._blank(call)
        self.reopen_canceled(call.path)
        for around in (*ancestors(call.path), ""):
            self._canceled.setdefault(around, set()).add(call.path)
        self.ledger.save_now(
            record.copy(
                status=TaskStatus.CANCELED,
                canceled=seconds,
                ended=next(self.ledger.ordinals),
                ended_at=self._now(),
            )
        )

    def reopen_canceled(self, path: str) -> None:
        """What was cancelled because the body around it was has no say of its own in the next pass."""
        for inner in self._canceled.pop(path, ()):
            record = self.ledger.glance(inner)
            if record is not None and record.status == TaskStatus.CANCELED:
                self.ledger.save_with_next(
                    record.copy(
                        status=TaskStatus.PENDING, interrupted=True, canceled=None, ended=0, ended_at=None
                    )
                )

    @property
    def _is_cut_short(self) -> bool:
        """Whether the pass was stopped from outside, and not ended by its run function."""
        return self.stopped not in (None, Stop.ENDED)

    @property
    def _is_ending(self) -> bool:
        """Whether the pass was stopped, or the event loop is shutting down."""
        return self.stopped is not None or (self.driver is not None and self.driver.cancelling() > 0)

    # The steps from here to `_fly` choose the next one and do not wait for it. Each coroutine more
    # would be kept once for every call of a `gather`, where looking after them all costs most.

    def _perform(self, call: Call[Any]) -> Awaitable[Any]:
        if call.options:
            self._check_options(call)
        living = flights.get(self._flight_key(call.path))
        return self._by_record(call) if living is None else self._after_living(call, living)

    async def _after_living(self, call: Call[Any], living: Flight) -> Any:
        try:
            value = await self._adopt(call, living)
        except _Failed as failure:
            return await self._attempts(call, living.attempt, Reason.ADOPTED, failure)
        return value if value is not MISS else await self._by_record(call)

    def _by_record(self, call: Call[Any]) -> Awaitable[Any]:
        record = self.ledger.record(call.path)
        if record is None:
            return self._attempts(call, self._blank(call), Reason.NEW)
        match record.status:
            case TaskStatus.COMPLETED:
                return self._revisit(call, record)
            case TaskStatus.ERRORED if self._finality.is_final(record):
                raise self._raised_again(call, record)
            case TaskStatus.CANCELED:
                return self._after_cancellation(call, record)
            case TaskStatus.RUNNING:
                return self._attempts(call, self._after_crash(call, record), Reason.INTERRUPTED)
            case TaskStatus.WAITING:
                return self._resume_wait(call, record)
            case TaskStatus.PENDING if record.interrupted:
                blank = self._blank(call, record)
                blank.attempt = record.attempt
                return self._attempts(call, blank, Reason.INTERRUPTED)
            case TaskStatus.PENDING if record.forced:
                return self._attempts(call, self._blank(call, record), Reason.FORCED)
            case _:
                return self._attempts(call, self._blank(call, record), Reason.RETRIED)

    def has_final_error(self, path: str) -> bool:
        """Whether a task ended in an error that is replayed; what cannot be read ends the pass at the call."""
        record = self.ledger.glance(path)
        with suppress(Unreadable):
            return (
                record is not None and record.status == TaskStatus.ERRORED and self._finality.is_final(record)
            )
        return False

    def _check_options(self, call: Call[Any]) -> None:
        """Find a mistake in the options before the body has done anything."""
        options = call.options
        try:
            policy(options.get("retry"))
            self._timeout(call)
            if "delay_until" in options:
                to_timestamp(options["delay_until"], "delay_until")
            if "properties" in options:
                describe(options["properties"])
            check_redact(options.get("redact", ()))
            if "rate" in options:
                limiter_of(rate_of_line(options["rate"], call.place), self.clock)
        except UsageError as error:
            raise self.misused(error)  # noqa: B904  # it is the same error

    async def _adopt(self, call: Call[Any], flight: Flight) -> Any:
        """A5: take the result of a living body of an earlier attempt or pass; a second one never starts.

        `MISS` when it was cut short and has neither result nor error.
        """
        self._saw(call.path, Reason.ADOPTED)
        flight.scope.adopted = True
        await flight.wait()
        if flight.record is not None:
            self.ledger.remember(flight.record)
            return self._stored_value(call, flight.record)
        if isinstance(flight.error, Exception) and not flight.scope.interrupted:
            raise _Failed(flight.error, flight.scope)
        return MISS

    async def _revisit(self, call: Call[Any], record: TaskRecord) -> Any:
        """A completed task whose value could not simply be handed out."""
        if record.canceled is not None:
            await self._expect_cancellation(record)
        if record.error is not None and self._finality.is_final(record):
            raise self._raised_again(call, record)
        if self.changes.difference(call, record) and (on_change := self._on_change(call)) != "keep":
            await self._forget_changed(call, record, on_change)
            return await self._attempts(
                call, self._blank(call, self.ledger.record(call.path)), Reason.CHANGED
            )
        value = self._stored_value(call, record)
        if value is MISS:  # lost, and the user said that it may be repeated
            return await self._attempts(call, self._blank(call, open_again(record)), Reason.LOST_VALUE)
        self._saw(call.path, Reason.REPLAYED)
        return value

    async def _forget_changed(self, call: Call[Any], record: TaskRecord, on_change: OnChange) -> None:
        """R6: the changed task runs again; with "rerun" also what first started after it ended."""
        record.path = call.path
        fresh = [open_again(record)]
        if call.path in self.changes.parents:
            fresh += [
                to_be_said_again(each) for each in self.ledger.records() if _is_line_of(each, call.path)
            ]
        if on_change == "rerun":
            records = {each.path: each for each in self.ledger.records()}
            within = {path for path in records if is_within(path, call.path)}
            fresh += [
                each
                for each in forget(records, call.path)
                if each.path != call.path and each.path not in within and each.path not in self.reasons
            ]
        await self.ledger.save_all(fresh)

    def _raised_again(self, call: Call[Any], record: TaskRecord) -> BaseException:
        try:
            error = _codec.raised_error(record.error or {})
        except ValueNotLoadedError as unread:
            what = f"the error of task {display_path(call.path)!r}"
            raise Unreadable(explained(unread, what)) from None
        self._saw(call.path, Reason.REPLAYED)
        mark_origin(error, self._directory, self.run.id, call.path)
        return error

    async def _expect_cancellation(self, record: TaskRecord) -> None:
        """A8: the user's code cancelled this call in an earlier pass, and will most likely do so again."""
        if not self._was_lost_with_the_run(record):
            await self._linger((record.canceled or 0.0) * 1.2 + 0.05)

    async def _linger(self, seconds: float) -> None:
        await anyio.sleep(seconds)

    def _was_lost_with_the_run(self, record: TaskRecord) -> bool:
        """R5: it was cancelled in an earlier pass as the run failed: by the group of a task that failed, or by
        a time limit of the user's that nobody caught. Were that final, the run could never get any further."""
        return (
            self.run.last_ending == RunStatus.FAILED
            and record.ended < self.ledger.first_ordinal
            and not self._finality.is_final(record)
        )

    async def _after_cancellation(self, call: Call[Any], record: TaskRecord) -> Any:
        await self._expect_cancellation(record)
        return await self._attempts(call, self._blank(call, record), Reason.INTERRUPTED)

    def _after_crash(self, call: Call[Any], record: TaskRecord) -> TaskRecord:
        blank = self._blank(call, record)
        blank.attempt = record.attempt
        if not (record.executor or self._got_on(record)):  # what runs elsewhere does not kill this process
            blank.crashes = record.crashes + 1
        return blank

    def _got_on(self, crashed: TaskRecord) -> bool:
        """Whether something in the body began or ended after its start: then it is not what killed the process."""
        if self._latest_within is None:  # once a pass: many bodies may have run when the process died
            latest = self._latest_within = {}
            for path in list(self.ledger.texts):
                if "/" in path and (record := self.ledger.glance(path)) is not None:
                    ordinal = max(record.began, record.ended)
                    for around in ancestors(path):
                        latest[around] = max(latest.get(around, 0), ordinal)
        return self._latest_within.get(crashed.path, 0) > crashed.began

    async def _resume_wait(self, call: Call[Any], record: TaskRecord) -> Any:
        """Go on with the countdown to the next attempt that an earlier pass began."""
        await self._pause(call.path, record.next_at or 0.0, "wait" if record.error is None else "retry")
        blank = self._blank(call, record)
        blank.attempt = record.attempt + (record.error is not None)
        return await self._attempts(call, blank, Reason.RETRIED if record.error is not None else Reason.NEW)

    # Attempts ---------------------------------------------------------------------------------

    def _blank(self, call: Call[Any], earlier: TaskRecord | None = None) -> TaskRecord:
        """The record of a task that begins, over what outlives its earlier ones."""
        options = call.options
        record = TaskRecord.parse(
            {
                "path": call.path,
                "status": TaskStatus.RUNNING,
                "started": self._first_start(earlier),
                "started_at": self._now(),
            }
        )
        if call.kind not in {"task", "own"}:
            record.kind = call.kind
        if call.body is not None and call.kind == "task":
            record.code = self.changes.code_of(call.body)
            if name := self.changes.reference(call.body):
                record.body = name
        if call.args or "params" in options:
            inputs = self.changes.inputs(call)
            record.inputs = inputs if secrets.hide(inputs) == inputs else ""  # a short one is kept as it is
            record.params = _codec.preview(options.get("params", call.args))
        if options or self.settings.redact:
            self._describe(record, call)
        if earlier is not None:
            record.generation = earlier.generation
            record.settled = earlier.settled
            if earlier.error is not None and earlier.status == TaskStatus.WAITING:
                record.started_at = earlier.started_at  # the clock of `stop_after_delay` runs on
        return record

    def _first_start(self, earlier: TaskRecord | None) -> int:
        """R9 goes by when a task *first* started; one that was forgotten on purpose starts anew."""
        if earlier is None or not earlier.started or (earlier.forced and not earlier.settled):
            return next(self.ledger.ordinals)
        return earlier.started

    def _describe(self, record: TaskRecord, call: Call[Any]) -> None:
        options = call.options
        for name in ("name", "icon", "style", "description", "display_key", "codec", "on_change"):
            if name in options:
                setattr(record, name, secrets.hide(str(options.get(name))))
        if call.kind == "status":
            record.data = cast("dict[str, Any]", options)["data"]
        if "properties" in options:
            record.properties = describe(options["properties"])
        patterns = [*self.settings.redact, *options.get("redact", ())]
        if patterns:
            record.redact = check_redact(patterns)
            inputs = [_codec.preview(options.get("params", call.args)), self.run.payload]
            patterns = self._patterns_for_inputs(call, record)
            record.params = redact(patterns, record.params)
            for shown in record.properties:
                for value in inputs:
                    shown["text"] = scrub(patterns, value, shown["text"])

    def _patterns_for_inputs(self, call: Call[Any], record: TaskRecord) -> list[str]:
        """Arguments are a list without names: what is hidden is hidden in each of them."""
        patterns = list(record.redact)
        return patterns if "params" in call.options else [*patterns, *(f"*.{each}" for each in patterns)]

    def _error_data(self, call: Call[Any], record: TaskRecord, error: BaseException) -> dict[str, Any]:
        """An error as it is kept, with what may be shown of it (S8)."""
        data = _codec.encode_error(error)
        if record.redact:
            inputs = [_codec.preview(call.options.get("params", call.args)), self.run.payload]
            scrub_error(self._patterns_for_inputs(call, record), inputs, data)
        return data

    async def _attempts(
        self, call: Call[Any], record: TaskRecord, reason: Reason, failed: _Failed | None = None
    ) -> Any:
        """Attempt after attempt until one ends well or the retry policy gives up."""
        if record.crashes >= CRASHES_ALLOWED:
            return await self._give_up(call, record, self._crashed(record), call.scope)
        self._saw(call.path, reason)
        if "delay_until" in call.options and record.attempt == 1 and not record.crashes and failed is None:
            await self._delay(call, record)
        prints: Prints | None = None
        places = self._places(call)
        while True:
            if failed is None:
                self._check_open(call)
                if self._closed_to_new:
                    await self._park(call)
                if self._gave_place:
                    await self._take_place_back()
                try:
                    if places is None:
                        return await self._attempt(call, record, prints)
                    return await self._attempt_in_turn(call, record, prints, places)
                except _Failed as failure:
                    failed = failure
            error, scope, prints = failed.error, failed.scope, failed.scope.prints
            failed = None
            over = self.stopped is not None or call.scope.closed
            if over and (scope.adopted or not self._is_cut_short):
                return await self._end_alone(call, record, error, scope)
            error, next_at = await self._decide(call, record, error, scope, places)
            _note_prints(record, scope)
            if not self._is_flying(call.path):
                scope.fail()
            if next_at is None:
                return await self._give_up(call, record, error, scope)
            waiting = record.copy(error=self._error_data(call, record, error))
            del error  # and what its traceback holds: the countdown may be long
            await self._count_down(call, waiting, next_at)
            record = record.copy(attempt=record.attempt + 1, error=None, crashes=0)
            self._saw(call.path, Reason.RETRIED)

    async def _end_alone(self, call: Call[Any], record: TaskRecord, error: Exception, scope: Scope) -> Any:
        """The body failed when nobody waited for it any more: there is no next attempt (A6)."""
        scope.fail()
        if scope.adopted:
            raise error  # whoever took the body over records it
        return await self._give_up(call, record, error, scope)

    def _is_flying(self, path: str) -> bool:
        return self._flight_key(path) in flights

    def _crashed(self, record: TaskRecord) -> TaskCrashedError:
        return TaskCrashedError(
            f"the process died {record.crashes} times in a row while the body of task "
            f"{display_path(record.path)!r} was running, so it is not started once more by itself. When the cause is mended, run the cell again, or run.retry()."
        )

    async def _delay(self, call: Call[Any], record: TaskRecord) -> None:
        until = to_timestamp(call.options.get("delay_until"), "delay_until")
        if until > self.clock.time():
            await self._count_down(call, record, until)

    async def _count_down(self, call: Call[Any], record: TaskRecord, until: float) -> None:
        call.record = waiting = record.copy(status=TaskStatus.WAITING, next_at=until)
        has_result = await self.ledger.save(waiting)
        self._check_open(call)  # in a pass that was stopped, the next one counts down (A1, A7)
        if not has_result:
            await self._pause(call.path, until, "wait" if waiting.error is None else "retry")

    def _check_open(self, call: Call[Any]) -> None:
        """A new body may start only where the pass and the scope are still open (I7, A6)."""
        if self.stopped is not None or call.scope.closed:
            raise self.cancellation()

    def _places(self, call: Call[Any]) -> Places | None:
        """What its attempts have to be let in by; None for nothing."""
        limiters = self.limiters_of(call)
        if call.batch is not None:
            return Places([], self.clock, told=limiters)  # it enters them, once for all its items
        return Places(limiters, self.clock) if limiters else None

    def limiters_of(self, call: Call[Any]) -> list[Limiter]:
        """That of the map that it is an item of, and that of its rate."""
        limiters = [] if call.limiter is None else [call.limiter]
        if "rate" in call.options:
            limiters.append(limiter_of(rate_of_line(call.options["rate"], call.place), self.clock))
        return limiters

    async def _attempt_in_turn(
        self, call: Call[Any], record: TaskRecord, prints: Prints | None, places: Places
    ) -> Any:
        """An attempt as soon as the limits that it shares with others allow it."""
        ok = False
        try:
            if not places.take_now():
                await self._await_turn(call, record, places)
            value = await self._attempt(call, record, prints)
            ok = True
            return value
        finally:
            places.leave(ok=ok)

    async def _await_turn(self, call: Call[Any], record: TaskRecord, places: Places) -> None:
        """Its attempt has not begun, and no time limit runs meanwhile (A3)."""
        if self.feed.watched:
            self.feed.emit(Saved(record.copy(status=TaskStatus.PENDING), live=True))
        self._still.enter(call.path, "queued")
        self._leave_if_drained()
        try:
            with self._untimed(call.path):
                await places.take()
        finally:
            self._still.leave(call.path)
        self._check_open(call)
        if self._closed_to_new:
            places.leave(ok=False)
            await self._park(call)
        if record.attempt == 1:
            record.started_at = self._now()

    def _attempt(self, call: Call[Any], record: TaskRecord, prints: Prints | None) -> Awaitable[Any]:
        """One call of the body, and its end. `prints` are those of the attempts before it."""
        call.record = record
        scope = Scope(self, call.path, call.scope)
        if record.attempt > 1:
            scope.prints = prints or Prints()
        timeout = self._timeout(call)
        if timeout is None:
            return self._fly(call, record, scope)
        return self._fly_in_time(call, record, scope, timeout)

    async def _fly_in_time(self, call: Call[Any], record: TaskRecord, scope: Scope, seconds: float) -> Any:
        """A3: a time limit bounds one attempt."""
        try:
            with anyio.move_on_after(seconds) as limit:
                scope.limit = TimeLimit(limit)
                return await self._fly(call, record, scope)
        finally:
            scope.limit = None
        error = TaskTimeoutError(
            f"task {display_path(call.path)!r} took longer than its timeout of {seconds:g} s (attempt {record.attempt})"
        )
        raise _Failed(error, scope)

    def _timeout(self, call: Call[Any]) -> float | None:
        if "timeout" not in call.options:
            return self.settings.timeout
        return to_seconds(call.options["timeout"], "timeout")

    async def _fly(self, call: Call[Any], record: TaskRecord, scope: Scope) -> Any:
        """Run the body, unless an earlier attempt's is still alive: then take its result."""
        key = self._flight_key(call.path)
        while (living := flights.get(key)) is not None:
            value = await self._adopt(call, living)
            if value is not MISS:
                return value
        if record.attempt > 1 and (late := self._result_of_earlier(record)) is not None:
            return self._stored_value(call, late)
        if scope.prints is not None:
            scope.prints.attempt = record.attempt
        flight = Flight(key, self, scope, record)
        flight.host = call.host
        flights[flight.key] = flight
        self.flights.add(flight)
        if self._still:
            self._tell_waiting()
        self.fresh += 1
        call.flying = True
        if self.feed.watched:
            self.feed.emit(Saved(record, live=True))
        try:
            value = await self._call_body(call, record, flight)
            if flight.record is None:
                await self.subtasks_end(scope)
                scope.closed = True
                await self._save_result(flight, self.completed(call, record, flight, value))
        except BaseException as error:  # noqa: BLE001  # sorted in one place
            self._ended_badly(record, flight, error)
        finally:
            call.flying = False
            if flight.record is not None:
                call.record = flight.record
            if not flight.gone:
                self._land(flight)
        assert flight.record is not None
        return self._stored_value(call, flight.record)

    def _result_of_earlier(self, record: TaskRecord) -> TaskRecord | None:
        """What a thread brought home that timed out, and ended before the next attempt began (A5)."""
        found = self.ledger.record(record.path)
        if found is None or (found.status, found.generation) != (TaskStatus.COMPLETED, record.generation):
            return None
        return found

    def _land(self, flight: Flight) -> None:
        self.flights.discard(flight)
        flight.land()
        if (around := flight.scope.parent) is not None and around.deferred is not None:
            self._save_deferred(around)
        if flight.gone:  # on its thread
            self.home.soon(partial(self._look_around, flight))
        else:
            self._look_around(flight)
        if not self.flights:
            self.on_landed()

    def _look_around(self, landed: Flight) -> None:
        """A body has ended: perhaps nothing moves any more."""
        if landed.gone and landed.record is not None:
            self._still.wake(
                landed.path
            )  # the next attempt takes its result, and is counted down to no longer
        self._leave_if_drained()
        if self._still:
            self._tell_waiting()

    # Bodies -----------------------------------------------------------------------------------

    @calls_user_code
    async def _call_body(self, call: Call[Any], record: TaskRecord, flight: Flight) -> Any:
        signature = signature_of(call.body)
        executor = executor_of(call, self.settings)
        if executor is not None:
            record.executor = name_of(executor)
        _tee.listen()
        if call.batch is not None:
            if signature.is_async and executor is None:
                return await call.batch.join(call, flight)
            return await self._elsewhere(call, record, flight, call.batch.start(call, flight), waits=True)
        if executor is not None:
            start = self._outsourcing.start(call, self._task(call, flight), executor)
            return await self._elsewhere(call, record, flight, start, waits=True)
        args, named = self._arguments(call, signature, flight)
        point("task:begin")
        if not signature.is_async and call.options.get("thread", True):
            return await self._in_thread(call, record, flight, partial(call.body, *args, **named))
        token = current_scope.set(flight.scope)
        try:
            if signature.is_async:
                return self.awaited(await call.body(*args, **named), f"the body of task {call.path!r}")
            value = call.body(*args, **named)
            return await value if inspect.isawaitable(value) else value
        finally:
            current_scope.reset(token)

    def awaited(self, value: T, whose: str) -> T:
        """What a coroutine function returned; one `await` forgotten, and a task in it would never run."""
        if value is SAID:
            return cast("T", None)
        if isinstance(value, Call):
            call = cast("Call[Any]", value)
            call.awaited = True  # said here, and not once more by a warning
            raise self.misused(
                UsageError(
                    f"{whose} returned a task that has not run: write `return await` at {show_place(call.place)}, "
                    f"return await io.run_task({display_key(call.segment)!r}, ...)"
                )
            )
        return value

    def _arguments(
        self, call: Call[Any], signature: Signature, flight: Flight
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Those of the call, with `task` and `io` where the body takes them."""
        if call.args and call.service is None and _OFFERED.isdisjoint(signature.names):
            return call.args, {}  # Thousands of calls are like this, and need neither.
        task = self._task(call, flight)
        offers: dict[str, Callable[[], Any]] = {
            **({} if call.service is None else {"client": call.service.client}),
            "task": lambda: task,
            "io": lambda: self._make_io(flight.scope, not signature.is_async),
        }
        return bind_body(signature, call.args, offers)

    def _task(self, call: Call[Any], flight: Flight) -> Task:
        task = flight.task = Task(
            self.run.id, call.path, flight.attempt.generation, flight.attempt.attempt, self.feed, flight.scope,
            self.log,
        )  # fmt: skip
        return task

    def start_of_batch(self, first: Call[Any], items: list[Any], node: Scope) -> Start | None:
        """How the body is called for several items at once; None: on the loop."""
        executor = executor_of(first, self.settings)
        if executor is not None:
            call: Call[Any] = Call(node, first.segment, first.body, (items,), first.options, first.place)
            call.awaited, call.path, call.limiter = True, node.path, first.limiter
            task = Task(self.run.id, node.path, 0, 1, self.feed, node, self.log)
            return self._outsourcing.start(call, task, executor)
        if is_async(first.body):
            return None
        context = copy_context()
        context.run(current_scope.set, node)
        return in_thread(partial(context.run, first.body, items))

    async def _in_thread(
        self, call: Call[Any], record: TaskRecord, flight: Flight, body: Callable[[], Any]
    ) -> Any:
        """A `def` body in a worker thread."""
        context = copy_context()
        context.run(current_scope.set, flight.scope)
        start = in_thread(partial(context.run, body))
        return await self._elsewhere(call, record, flight, start, waits=threads.full)

    async def _elsewhere(
        self, call: Call[Any], record: TaskRecord, flight: Flight, start: Start, *, waits: bool = False
    ) -> Any:
        """A body that runs off the loop: in a thread, or further away.

        Whoever has its result records it there and then (C6), also when nobody waits for it any more (A5).
        """
        flight.queue()
        over = anyio.Event()
        unsettled: list[Any] = []  # what only the loop can bring to an end
        limit, begun = flight.scope.limit, anyio.Event()
        if limit is not None:
            limit.hold()  # its time begins with its body
        if waits and self.feed.watched:
            self.feed.emit(Saved(record.copy(status=TaskStatus.PENDING), live=True))

        def begin() -> bool:
            if not flight.take_off():
                return False
            if limit is not None:
                self.home.soon(begun.set)
            if waits:
                self._begins_late(record)
            return True

        cancel = start(begin, _Landing(self, call, record, flight, over, unsettled))
        try:
            if limit is not None:
                await begun.wait()
                limit.release()
            await over.wait()
        except anyio.get_cancelled_exc_class() as error:
            if cancel is not None:
                cancel()
            if self._is_ending or flight.record is None or not isinstance(error, asyncio.CancelledError):
                raise
            # The result was there first, and a replay will have it: so has the caller (A8).
        if flight.error is not None:
            raise _explain_thread(flight.error)
        if not unsettled:
            return None
        value = unsettled[0]
        if inspect.isawaitable(value):
            token = current_scope.set(flight.scope)
            try:
                value = await value
            finally:
                current_scope.reset(token)
        return value

    def _begins_late(self, record: TaskRecord) -> None:
        """A body had to wait for a thread, which is no part of the time that it takes."""
        if record.attempt == 1:
            record.started_at = self._now()
        if self.feed.watched:
            self.feed.emit(Saved(record, live=True))

    def end_alone_in_thread(
        self, call: Call[Any], record: TaskRecord, flight: Flight, unsettled: list[Any]
    ) -> None:
        """A body's thread has ended after its caller had left, and perhaps the event loop, too."""
        try:
            if unsettled:
                self.home.run(lambda: self._finish_alone(call, record, flight, unsettled[0]))
        except BaseException as error:  # noqa: BLE001  # recorded as the body's
            flight.error = error
            if inspect.iscoroutine(unsettled[0]):
                unsettled[0].close()
        self._record_alone(call, flight)
        self._land(flight)

    async def _finish_alone(self, call: Call[Any], record: TaskRecord, flight: Flight, value: Any) -> None:
        current_scope.set(flight.scope)
        value = await value if inspect.isawaitable(value) else value
        await self.subtasks_end(flight.scope)
        flight.scope.closed = True
        await self._save_result(flight, self.completed(call, record, flight, value))

    def _record_alone(self, call: Call[Any], flight: Flight) -> None:
        """How a body ended that outlived its call, when nothing is recorded yet and nobody else will."""
        if flight.record is not None or flight.scope.adopted or flight.canceled is not None or flight.late:
            return
        flight.scope.fail()
        _note_prints(flight.attempt, flight.scope)
        self.ledger.save_now(self._ended_alone(call, flight.attempt, flight.error, flight.scope))

    def _ended_alone(
        self, call: Call[Any], attempt: TaskRecord, error: BaseException | None, scope: Scope
    ) -> TaskRecord:
        interrupted = attempt.copy(status=TaskStatus.PENDING, interrupted=True)
        if not isinstance(error, Exception) or scope.interrupted:
            return interrupted
        last: BaseException = error
        if self._is_cut_short:  # the next pass goes on with the attempts (A1, A7)
            if "on_error" in call.options:
                return interrupted  # who decides can only be asked in a pass
            try:
                last, next_at = self._judge(call, attempt, error, None, self.clock.time())
            except Exception:  # noqa: BLE001  # a retry strategy's own: the next pass raises it where it is seen
                return interrupted
            if next_at is not None:
                data = self._error_data(call, attempt, last)
                return attempt.copy(status=TaskStatus.WAITING, error=data, next_at=next_at)
        data = self._error_data(call, attempt, last)
        return attempt.copy(
            status=TaskStatus.ERRORED, error=data, ended=next(self.ledger.ordinals), ended_at=self._now()
        )

    async def subtasks_end(self, scope: Scope) -> None:
        """A6: the end of a scope is not committed while a subtask in it is in flight."""
        while scope.flights:
            for call in list(scope.flights):
                self._warn_left_behind(call, scope)
            await self._calls_end(scope)

    async def _calls_end(self, scope: Scope) -> None:
        if scope.emptied is None:
            scope.emptied = anyio.Event()
        await scope.emptied.wait()
        scope.emptied = None

    def _warn_left_behind(self, call: Call[Any], scope: Scope) -> None:
        if call.kind in FAN_OUT and call.body.stopped:
            return  # a loop over it was left on purpose
        text = (
            f"the body of {display_path(scope.path) or 'the run'!r} returned while task "
            f"{display_path(call.path)!r} (started at "
            f"{show_place(call.place)}) was running; its end is awaited. Await every task inside the body that starts it."
        )
        if text not in self.hints:
            self.hint(text)
            warnings.warn(text, RuntimeWarning, stacklevel=2)

    # The end of a body ------------------------------------------------------------------------

    def completed(
        self, call: Call[Any], record: TaskRecord, flight: Flight, value: Any
    ) -> tuple[TaskRecord, str]:
        """The record of a body that returned, and its value's text."""
        point("task:body-ended")
        if flight.scope.interrupted:
            raise self.cancellation()  # and not what the code around the subtask made of it (W3)
        flight.markable = False  # What is about to be committed says more than that it began.
        done = record.copy(
            status=TaskStatus.COMPLETED, ended=next(self.ledger.ordinals), ended_at=self._now()
        )
        if flight.canceled is not None:
            done.canceled = flight.canceled
        if flight.late is not None:
            done.error = flight.late
        if flight.task is not None and flight.task.output_properties:
            done.output_properties = describe(flight.task.output_properties)
        _note_prints(done, flight.scope)
        form, text = self._encoded(call, done, value)
        if form:
            done.form = form
        if (returns := self._returns(call)) is not None and form != "unstored" and done.error is None:
            try:
                _codec.load(form, _scan(text, 0)[0], self.ledger.blobs, returns)
            except ValueNotLoadedError as error:
                done.error = self._error_data(call, done, error)  # its caller gets it, now and ever after
        return done, text

    def _encoded(self, call: Call[Any], record: TaskRecord, value: Any) -> Encoded:
        try:
            return dump(value, self.ledger.blobs, signed=call.options.get("codec") == "pickle")
        except NotStorableError as error:
            # S4: what was done is not done again because its result cannot be kept.
            self.memory.live[call.path, record.generation] = value
            self._warn_unstored(call, error)
            return dump_unstored(error)

    def _warn_unstored(self, call: Call[Any], error: NotStorableError) -> None:
        if self._is_repeatable(call):
            return
        text = (
            f"the value of task {display_path(call.path)!r} cannot be stored ({error}). The task counts as done, and this "
            "kernel keeps the value; a new one will not have it. Return plain data from the task (response.json() instead "
            "of the response), teach the store with register_codec, or say repeatable=True to run it again then."
        )
        self.hint(text)
        warnings.warn(text, RuntimeWarning, stacklevel=2)

    @coroutine
    def _save_result(self, flight: Flight, completed: tuple[TaskRecord, str]) -> Generator[Any, Any, None]:
        """Commit a result on the loop. Results that come in the same turn of the loop share a commit.

        A generator, so that it can itself give up its turn. All calls of a `gather` are here at the
        same time, and what is alive at once costs more to look after than anything else about it.
        """
        record, value = completed
        text = record.dumps_result(value)
        try:
            self.ledger.blobs.check()
        except StoreError as error:
            self.memory.parked.append(self.ledger.row(record, text))
            yield from self.fail_of_ours(error).__await__()
        pending = self.ledger.journal.enqueue((self.ledger.row(record, text),))
        if flight.host is not self.main or len(self.flights) > 1:
            try:
                if self.home.is_asyncio:
                    yield  # as `asyncio.sleep(0)` does
                else:
                    yield from anyio.lowlevel.cancel_shielded_checkpoint().__await__()
            except asyncio.CancelledError:
                # The caller is cancelled between the end of the body and its commit: it gets no value
                # now, so a replay must expect the same (A8).
                canceled = record.copy(canceled=round(time.monotonic() - flight.began, 3))
                amended = canceled.dumps_result(value)
                if not self._is_ending and self.ledger.journal.amend(
                    pending, (self.ledger.row(record, amended),)
                ):
                    record, text = canceled, amended
                self.ledger.settle_now(pending)
                if pending.done and pending.error is None:
                    self._recorded(flight, record, value, text, bool(pending.refused))
                raise
        refused = yield from self.ledger.settle(pending).__await__()
        self._recorded(flight, record, value, text, bool(refused))

    def enqueue_result_here(self, flight: Flight, record: TaskRecord, value: str) -> Callable[[], None]:
        """Have a result committed in the body's own thread, so that a blocked loop delays no record (C6).

        Returns what waits until it is: what several have queued before that shares a commit.
        """
        text = record.dumps_result(value)
        row = self.ledger.row(record, text)

        def fail(error: StoreError) -> NoReturn:
            self.memory.parked.append(row)
            self.home.soon(partial(self.stop, Stop.STORE, error))
            raise RunInterrupted from error

        def settle() -> None:
            try:
                refused = self.ledger.settle_in_thread(pending)
            except StoreError as error:
                fail(error)
            self._recorded(flight, record, value, text, bool(refused))

        try:
            self.ledger.blobs.check()
        except StoreError as error:
            fail(error)
        pending = self.ledger.journal.enqueue((row,))
        return settle

    def _recorded(self, flight: Flight, record: TaskRecord, value: str, text: str, refused: bool) -> None:
        if refused:
            # C5: the first committed result of a (path, generation) wins, also from another kernel.
            text = self.ledger.stored_text(record.path) or text
            record = self.ledger.parsed(record.path, text)
        else:
            # What the caller gets is decoded from the text, so that changing it changes no record (R2).
            record.value = _scan(value, 0)[0]
        flight.record = record
        with self.memory.lock:  # in a thread: or the loop, just noting an attempt, would put that over it
            self.memory.records[record.path] = text = abridged(text)
        self._finality.note(record)
        point("task:recorded")
        if self.feed.watched:
            told = TaskRecord.loads(text)
            told.path = record.path
            self.feed.emit(Saved(told))

    def _ended_badly(self, record: TaskRecord, flight: Flight, error: BaseException) -> NoReturn:
        """Sort what left a body: a cancellation, a mistake of the calling code, or an error of the attempt."""
        flight.leave()
        _note_prints(record, flight.scope)
        if isinstance(error, (_Failed, Unreadable)):
            raise error
        if isinstance(error, GeneratorExit):  # the event loop is closed, and this is what is left of it
            self._cut_short(flight, error)
            raise error
        if isinstance(error, (anyio.get_cancelled_exc_class(), KeyboardInterrupt, RunInterrupted)):
            self._cut_short(flight, error)
            if isinstance(error, KeyboardInterrupt):
                raise self.cancellation() from None
            raise error
        if flight.error is None:
            flight.error = error
        if isinstance(error, UsageError):
            flight.scope.fail()
            raise self.misused(error)
        if flight.scope.interrupted:
            self._cut_short(flight, error)
            raise self.cancellation() from None
        if isinstance(error, BaseExceptionGroup):
            error = _without_cancellations(error)  # pyright: ignore[reportUnknownArgumentType]
        if not isinstance(error, Exception):
            raise error
        raise _Failed(error, flight.scope) from None

    def _cut_short(self, flight: Flight, error: BaseException) -> None:
        """The call was cancelled while its body ran. A thread goes on, and records its result when it comes."""
        if not flight.abandon():
            flight.scope.fail()
        if isinstance(error, KeyboardInterrupt):
            self.stop(Stop.INTERRUPT)

    async def _decide(
        self, call: Call[Any], record: TaskRecord, error: Exception, scope: Scope, places: Places | None
    ) -> tuple[BaseException, float | None]:
        """Whether there is a next attempt, and when: `on_error` first (A2), then the retry policy (A1)."""
        now = self.clock.time()
        secrets.hide_in_error(error)
        answer = await self._ask_handler(call, record, error, scope)
        return self._judge(call, record, error, answer, now, places)

    def _judge(
        self, call: Call[Any], record: TaskRecord, error: Exception,
        answer: Exception | RetryAt | SkipRetrying | None, now: float, places: Places | None = None,
    ) -> tuple[BaseException, float | None]:  # fmt: skip
        """What the handler's answer means; without one, the integration's, and then the policy's."""
        if answer is None and call.service is not None:
            answer = call.service.judge(error, record.attempt, now)
        plan = policy(call.options.get("retry"))
        if isinstance(answer, SkipRetrying):
            return answer.error or error, None
        if isinstance(answer, RetryAt):
            due = answer.due_at(now)
            if places is not None:
                places.hold(due)
            return answer.error or error, due if record.attempt < RETRY_AT_LIMIT else None
        if answer is not None:
            error = answer
        if plan is None or comes_from_subtask(error, self._directory, self.run.id, call.path):
            return error, None
        return error, plan.next_attempt_at(
            attempt=record.attempt, error=error, first_started_at=record.started_at, now=now
        )

    async def _ask_handler(
        self, call: Call[Any], record: TaskRecord, error: Exception, scope: Scope
    ) -> Exception | RetryAt | SkipRetrying | None:
        handler = call.options.get("on_error")
        if handler is None:
            return None
        task = Task(self.run.id, call.path, record.generation, record.attempt, self.feed, scope, self.log)
        scope.closed = scope.failed = False
        token = current_scope.set(scope)
        try:
            io = self._make_io(scope, not is_async(handler))
            args, named = bind_run(handler, {"error": error, "task": task, "io": io})
            if not is_async(handler) and any(value is io for value in (*args, *named.values())):
                answer = await call_in_thread(threads.submit, lambda: handler(*args, **named))
            else:
                answer = handler(*args, **named)
            answer = await answer if inspect.isawaitable(answer) else answer
            if answer is None or isinstance(answer, (Exception, RetryAt, SkipRetrying)):
                return answer
            raise InvalidOptionError(  # as every option that cannot be meant
                f"on_error of task {display_path(call.path)!r} returned {answer!r:.100}; it returns nothing, an exception that "
                "replaces the error, RetryAt(when), or SkipRetrying()"
            )
        except UsageError as misuse:
            raise self.misused(misuse) from None
        except Exception as replacement:  # noqa: BLE001  # what the handler raises takes the error's place
            return replacement
        finally:
            current_scope.reset(token)

    async def _give_up(self, call: Call[Any], record: TaskRecord, error: BaseException, scope: Scope) -> Any:
        """Record the error and raise it."""
        data = self._error_data(call, record, error)
        ended = record.copy(
            status=TaskStatus.ERRORED,
            error=data,
            ended=next(self.ledger.ordinals),
            ended_at=self._now(),
        )
        if (left_behind := flights.get(self._flight_key(call.path))) is not None:
            left_behind.late = data
        mark_origin(error, self._directory, self.run.id, call.path)
        flying = sum(each.flying for each in scope.flights or ())
        if flying and scope is not call.scope:
            scope.deferred = ended
            self._hint_finishing(call.path, flying)
        elif await self.ledger.save(ended):
            # A thread's result came in at the same moment, and a result is never lost.
            winner = self.ledger.record(call.path)
            assert winner is not None
            return self._stored_value(call, winner)
        raise error

    def _hint_finishing(self, path: str, flying: int) -> None:
        subtasks = "1 subtask" if flying == 1 else f"{flying} subtasks"
        name = display_path(path)
        self._finishing[path] = text = (
            f"Still finishing: {subtasks} of {name!r}, which has failed. What they return is kept."
        )
        self.hint(text)

    def _save_deferred(self, scope: Scope) -> None:
        """The last body in the scope of a failed one has ended: now that end is committed, too (A6)."""
        if scope.deferred is not None and not any(call.flying for call in scope.flights or ()):
            ended, scope.deferred = scope.deferred, None
            self._unhint(self._finishing.pop(ended.path, ""))
            self.ledger.save_now(ended.copy(ended=next(self.ledger.ordinals)))

    def run_error_data(self, error: BaseException, origins: Iterable[str]) -> dict[str, Any]:
        """The error that a run ends in, as it is kept. What its tasks hide of it is hidden here, too."""
        data = _codec.encode_error(error)
        if self.settings.redact:
            scrub_error(self.settings.redact, [self.run.payload], data)
        for path in origins:
            record = self.ledger.glance(path)
            told = record.error if record is not None else None
            if told is not None and "shown" in told and told.get("message") == data.get("message"):
                data["shown"], data["traceback"] = told["shown"], told.get("traceback", [])
        return data

    def origins(self, error: BaseException) -> list[str]:
        """Paths of this run's tasks that an error came from (R5)."""
        return origins(error, self._directory, self.run.id)

    def misused(self, error: UsageError) -> UsageError:
        self.misuse = self.misuse or error
        return error

    # Waiting ----------------------------------------------------------------------------------

    async def wait_for_run(self, scope: Scope, wait: Callable[[], Awaitable[None]]) -> None:
        """C4: a run that waits for another one has no place meanwhile, which that one may need."""
        place = self.place
        if place is None:
            await wait()
            return
        place.step_out()
        try:
            await wait()
        except BaseException:
            if self.stopped is None:  # only this call was cancelled: what else runs here goes on
                place.step_in_now()
            raise
        if threading.get_ident() == self.home.thread:
            with self._untimed(scope.path):
                await place.step_in()
        else:
            await place.step_in()

    async def _wait(self, call: Call[Any]) -> None:
        """W1: one absolute deadline, stored once."""
        record = self.ledger.record(call.path)
        if record is not None and record.next_at is not None:
            self._saw(call.path, Reason.INTERRUPTED)
            if record.canceled is not None:
                await self._expect_cancellation(record)
            record = record.copy(
                status=TaskStatus.WAITING, canceled=None, interrupted=False, ended=0, ended_at=None
            )
            call.record = record
        else:
            assert call.deadline is not None
            self._saw(call.path, Reason.FORCED if record is not None else Reason.NEW)
            if self._closed_to_new:
                await self._park(call)
            record = self._blank(call, record)
            until = call.deadline(self.clock.time())
            call.record = record = record.copy(status=TaskStatus.WAITING, next_at=until)
            if until > self.clock.time():
                await self.ledger.save(record)
        await self._pause(call.path, record.next_at or 0.0, "wait")
        await self.ledger.save(
            record.copy(status=TaskStatus.COMPLETED, ended=next(self.ledger.ordinals), ended_at=self._now())
        )

    async def _pause(self, path: str, until: float, why: Why) -> None:
        """Sleep until then, or until the wait is skipped. No attempt's time runs meanwhile (A3)."""
        if until <= self.clock.time():
            return
        with anyio.CancelScope() as pause, self._untimed(path):
            self._still.enter(path, why, pause)
            self._leave_if_drained()
            self._tell_waiting()
            try:
                await self._sleep_until(until)
            finally:
                self._still.leave(path)
        await self._take_place_back()
        self._tell_waiting()

    async def _sleep_until(self, until: float) -> None:
        """C4: while nothing in a run moves, and that for longer than a moment, others may have its place."""
        moment = A_MOMENT
        while self.place is not None and (soon := self.clock.time() + moment) < until:
            await self.clock.sleep_until(soon)
            if not self._gave_place and self._still.is_all(self.flights):
                self._gave_place = True
                self.place.step_out()
            moment *= 2
        await self.clock.sleep_until(until)

    async def _take_place_back(self) -> None:
        if self._gave_place and self.place is not None:
            self._gave_place = False
            await self.place.step_in()

    @contextmanager
    def _untimed(self, path: str) -> Generator[None]:
        limits = [
            flight.scope.limit
            for flight in self.flights
            if flight.scope.limit is not None and is_within(path, flight.path)
        ]
        for limit in limits:
            limit.hold()
        try:
            yield
        finally:
            for limit in limits:
                limit.release()

    def skip_wait(self, path: str) -> None:
        """End a wait or a countdown now, also one that this pass has not come to yet."""
        if self._still.wake(path):
            return
        if (record := self.ledger.glance(path)) is not None and record.status == TaskStatus.WAITING:
            self.ledger.save_with_next(record.copy(next_at=self.clock.time()))

    def _tell_waiting(self) -> None:
        """Keep the run's status true: it is WAITING while all that moves in it waits."""
        if self.stopped is not None:
            return
        reason = self._still.reason if self._still.is_all(self.flights) else ""
        status = RunStatus.WAITING if reason else RunStatus.RUNNING
        if (self.run.status, self.run.reason) == (status, reason):
            return
        self.run.status, self.run.reason = status, reason
        if reason:
            self.ledger.ride_along(run_row(self.run))
        if self.feed.watched:
            self.feed.emit(SavedRun(self.run.copy()))

    # Fan-out ----------------------------------------------------------------------------------

    async def _walk(self, call: Call[Any]) -> Any:
        """A node whose children are its result: it is walked in every pass, they are replayed (C2)."""
        earlier = self.ledger.record(call.path)
        if earlier is not None and earlier.canceled is not None:
            await self._expect_cancellation(earlier)
        done = earlier is not None and earlier.status == TaskStatus.COMPLETED
        record = self._blank(call, earlier)
        if done:
            call.record = earlier  # which holds until an item is not replayed
            record.generation += 1  # else the record of its earlier end would stand in the store
        self._saw(call.path, Reason.REPLAYED if done else Reason.NEW if earlier is None else Reason.RETRIED)
        begun = False

        def begin() -> None:
            nonlocal begun
            if begun:
                return
            begun, call.record = True, record
            if self.feed.watched:
                self.feed.emit(Saved(record, live=True))

        if not done:
            begin()
        walk: FanOut = call.body
        scope = Scope(self, call.path, call.scope)
        token = current_scope.set(scope)
        try:
            value = await walk(scope, begin)
        except BaseException as error:
            scope.fail()
            if isinstance(error, Exception) and not isinstance(error, UsageError):
                await self._give_up(call, record.copy(tally=walk.tally), error, scope)
            raise
        finally:
            current_scope.reset(token)
            scope.closed = True
        if begun or earlier is None or walk.tally != earlier.tally:
            ended = record.copy(status=TaskStatus.COMPLETED, tally=walk.tally)
            await self.ledger.save(ended.copy(ended=next(self.ledger.ordinals), ended_at=self._now()))
        return value

    # Small things -----------------------------------------------------------------------------

    def _now(self) -> float:
        """The time for a record, to the millisecond."""
        return round(self.clock.time() * 1000) / 1000  # `round(..., 3)` takes three times as long

    def _flight_key(self, path: str) -> FlightKey:
        return (self._directory, self.run.id, path)

    def _on_store_fault(self, error: StoreError) -> None:
        self.stop(Stop.STORE, error)

    async def fail_of_ours(self, error: TriggerError) -> NoReturn:
        """A9, R13: a fault of the store, and what cannot be read from it, is never raised from `io`.

        The call waits for the end of the pass.
        """
        if self.stopped is None:
            self.stop(Stop.STORE, error)
            await anyio.sleep_forever()
        raise self.cancellation()

    def log(self, scope: Scope, level: str, message: object, data: Any = None) -> None:
        """A line in the tree. It rides with the next commit and is not repeated on replay."""
        message = secrets.hide(_text(message))
        name = hashlib.sha256(f"{level}:{message}".encode("utf-8", "replace")).hexdigest()[:12]
        if scope.logged is None:
            scope.logged = {}
        count = scope.logged[name] = scope.logged.get(name, 0) + 1
        path = f"{scope.prefix}~.{name}.{count}"
        earlier = self.ledger.glance(path)
        if earlier is not None and not earlier.forced:
            self._saw(path, Reason.REPLAYED)
            return
        now = self._now()
        ordinal = next(self.ledger.ordinals)
        record = TaskRecord(
            path=path, kind="log", style="minimal", name=message, level=level, started=ordinal, ended=ordinal,
            started_at=now, ended_at=now,
        )  # fmt: skip
        if data is not None:
            record.data = redact(self.settings.redact, _codec.preview(data))
        if earlier is not None:
            record.generation = earlier.generation + 1
        self.ledger.save_with_next(record)
        self._saw(path, Reason.NEW)

    def hint(self, text: str) -> None:
        """Have the header of the run say something."""
        if text not in self.hints:
            self.hints[text] = None
            self.feed.emit(Hinted(text))

    def lasting_hints(self) -> list[str]:
        """What the header still says when the run is opened again."""
        passing = set(self._finishing.values())
        return [text for text in self.hints if text not in passing]

    def _unhint(self, text: str) -> None:
        """It holds no longer."""
        if text in self.hints:
            del self.hints[text]
            self.feed.emit(Hinted(text, over=True))

    # Stopping ---------------------------------------------------------------------------------

    def supersede(self) -> None:
        """I7: no new body starts; when those in flight have ended, the pass stops."""
        self._closed_to_new = True
        for flight in [each for each in self.flights if each.queued]:
            if flight.leave():
                self._still.enter(flight.path, "parked")
                self._land(flight)
        self._leave_if_drained()

    def _leave_if_drained(self) -> None:
        if self._closed_to_new and self._still.is_all(self.flights):
            self.stop(Stop.SUPERSEDED)

    async def _park(self, call: Call[Any]) -> NoReturn:
        """Wait for the end of the pass: what this call asks for is for the next one."""
        self._still.enter(call.path, "parked")
        self._leave_if_drained()
        await anyio.sleep_forever()
        raise AssertionError("unreachable")

    def stop(self, why: Stop, error: TriggerError | None = None) -> None:
        """End the pass: cancel what runs in it. On the loop; only the first call counts."""
        if self.stopped is not None:
            if self.stopped == Stop.PAUSE and why == Stop.CANCEL:  # given up before it had come to rest
                self.stopped = why
            return
        self.stopped = why
        self.stop_error = error
        if self.stopped_event is not None:
            self.stopped_event.set()
        if self.outer is not None:
            self.outer.cancel()
        for scope in self._thread_calls:
            scope.cancel()
        if self.main is not None:
            self.main.cancel()
            # What the main task awaits is cancelled through it. Cancelling it twice would also cancel its
            # cleanup, so only what is left behind after that is cancelled by itself.
            self.home.soon(lambda: self.home.soon(self._cancel_left_behind))

    async def unwind(self, patience: float) -> None:
        """After a stop: until the calls that it cut short have noted how they ended; not under trio."""
        hosts = {call.host for call in self.calls if call.host is not None}
        if self.stopped != Stop.ENDED and hosts:
            await asyncio.wait(hosts, timeout=patience)

    def _cancel_left_behind(self) -> None:
        for host in {call.host for call in self.calls if call.host is not None}:
            if not host.cancelling():
                host.cancel()

    def look_at_lease(self) -> None:
        """Stop when another kernel has taken the run over: it calls the bodies now. On the watch's thread."""
        if self.stopped is None and self.is_lost():
            self.home.soon(lambda: self.stop(Stop.STORE))

    def end(self) -> None:
        """The run function has returned or raised: what is in flight may end, nothing new begins."""
        self.root.closed = True
        self.root.failed = self.failure is not None
        self.stopped = self.stopped or Stop.ENDED

    def cancellation(self) -> BaseException:
        """What unwinds the user's code when the pass is stopped."""
        return asyncio.CancelledError() if self.home.is_asyncio else RunInterrupted()


class _Landing:
    """The end of a body that ran off the loop, called with how it ended; from any thread."""

    def __init__(
        self, owner: Pass, call: Call[Any], record: TaskRecord, flight: Flight, over: anyio.Event,
        unsettled: list[Any],
    ) -> None:  # fmt: skip
        self._owner = owner
        self._call = call
        self._record = record
        self._flight = flight
        self._over = over
        self._unsettled = unsettled  # gets what only the loop can bring to an end
        self._settle: Callable[[], None] | None = None

    def __call__(self, outcome: Callable[[], Any]) -> None:
        self.enter(outcome)
        self.settle()

    def enter(self, outcome: Callable[[], Any]) -> None:
        """Have the result written with the next commit."""
        owner, flight = self._owner, self._flight
        try:
            value = outcome()
            if inspect.isawaitable(value) or flight.scope.flights:
                self._unsettled.append(value)
                return
            flight.scope.closed = True
            completed = owner.completed(self._call, self._record, flight, value)
            self._settle = owner.enqueue_result_here(flight, *completed)
        except BaseException as error:  # noqa: BLE001  # raised in the caller, if there still is one
            flight.error = error

    def settle(self) -> None:
        """Wait until it is written, and tell the caller, if there still is one."""
        owner, flight = self._owner, self._flight
        try:
            if self._settle is not None:
                self._settle()
        except BaseException as error:  # noqa: BLE001  # raised in the caller, if there still is one
            flight.error = error
        if flight.end_in_thread():
            owner.home.soon(self._over.set)
        else:
            owner.end_alone_in_thread(self._call, self._record, flight, self._unsettled)


def _met_twice(call: Call[Any], path: str, first: Place) -> UsageError:
    name = display_path(path)
    if call.path:
        return UsageError(
            f"the task {name!r}, called at {show_place(call.place)}, is awaited twice; a call is awaited once. Keep "
            f"what that gives: result = await io.run_task({display_key(call.segment)!r}, ...)"
        )
    return DuplicateKeyError(path, show_place(first), show_place(call.place), name)


def _did_not_fit(record: TaskRecord) -> bool:
    """Whether its value was not what the task is said to return when it was new: its caller got that as an error."""
    return record.error is not None and record.error.get("type") == ValueNotLoadedError.__name__


def _is_line_of(record: TaskRecord, path: str) -> bool:
    """Whether it is a log line of that task's own body."""
    return record.kind == "log" and parent_path(record.path) == path


def _text(message: object) -> str:
    """What a log line says: one that cannot be told fails no run."""
    try:
        return str(message)
    except Exception:  # noqa: BLE001  # of the user's object
        return str(_codec.preview(message))


def _note_prints(record: TaskRecord, scope: Scope) -> None:
    """Have the record tell what the body printed."""
    if scope.prints is not None:
        record.prints = scope.prints.pieces()


def run_row(run: RunRecord) -> Row:
    """The row of a run's record."""
    return Row("run/" + run.id, "runs", run.dumps())


def _is_timed_out(scope: Scope) -> bool:
    """Whether the time of a body around is up."""
    return any(each.limit is not None and each.limit.expired for each in scope.outward())


def _without_cancellations(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Real errors outrank the cancellations that came with them."""
    _, rest = group.split(anyio.get_cancelled_exc_class())
    return rest if rest is not None else group


def _explain_thread(error: BaseException) -> BaseException:
    """Name `thread=False` on an error that comes of the thread."""
    if type(error).__module__ == "sqlite3" and "created in a thread" in str(error):
        note = (
            "a `def` body runs in a worker thread; say thread=False on the task to run it where the job runs"
        )
        if note not in getattr(error, "__notes__", ()):
            error.add_note(note)
    return error
