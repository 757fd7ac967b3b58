"""Results: the record of a body that has returned, the commit of it, and values and errors out of records."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator
from functools import partial
from types import coroutine
from typing import TYPE_CHECKING, Any, NoReturn, cast

from .. import _values
from .._keys import display_path
from .._records.records import TaskRecord
from .._records.status import Reason, TaskStatus
from .._store.crashpoints import point
from .._tasks.call import MISS
from .._tasks.options import describe
from .._values import pieces
from .._values.codec import dump, dump_unstored
from .._values.json_text import loads
from .._values.one_shot import holds_one_shot
from .._values.placeholders import LOST_FILE, Unstored, lost_file
from .._values.signed_pickle import Place
from ..errors import (
    CorruptRecordError,
    FileLostError,
    NotStorableError,
    RunInterrupted,
    StoreError,
    ValueNotLoadedError,
)
from .checking import apply_check
from .live import LiveResult
from .origins import mark_origin
from .readings import Unreadable, explained
from .stopping import Stop

if TYPE_CHECKING:
    from .._tasks.call import AnyCall, Scope
    from .._tasks.running import RunningBody
    from .._values.tagged import Encoded
    from .new_record import NewRecords
    from .state import PassState
    from .turns import End

Completed = tuple[TaskRecord, str]  # the record of a body that returned, and its value's text


class StoredResults:
    """Decodes what a call returned or raised from its record, so that each pass gets the same (R2, R4)."""

    def __init__(self, state: PassState) -> None:
        self._state = state

    def value(self, call: AnyCall, record: TaskRecord, *, is_new: bool = False, may_read: bool = True) -> Any:
        """The value of a completed record, or a placeholder for one that is not stored (S4).

        `MISS` if the value is lost and the task may be repeated. Raises `Unreadable`. The files of a new value have just
        been read, and are not looked at again. Without `may_read`, large ones that must be raise `NotReadYetError`.
        """
        if record.form != "unstored":
            try:
                if record.is_apart:
                    record = self._state.ledger.whole(record)
            except StoreError as error:
                if isinstance(error, CorruptRecordError) and self.is_repeatable(call):
                    return MISS
                raise Unreadable(error) from None
            try:
                returns = None if record.checked else self.returns(call)
                if not record.form and returns is None:
                    return record.value
                place, blobs = self.place(call, record), self._state.ledger.blobs
                return _values.load(
                    record.form,
                    record.value,
                    blobs,
                    returns,
                    place=place,
                    checks_files=not is_new,
                    may_read=may_read,
                )
            except FileLostError as error:
                lost = {"type": LOST_FILE, "reason": str(error)}
            except CorruptRecordError as error:  # of a value file
                lost = {"type": "value", "reason": str(error)}
            except (StoreError, ValueNotLoadedError) as error:
                if _did_not_fit(record):
                    mark_origin(error, self._state.directory, self._state.run.id, call.path)
                    raise
                what = f"the result of task {display_path(call.path)!r}"
                raise Unreadable(explained(error, what)) from None
        else:
            live = self._state.memory.live.get((call.path, record.generation))
            if live is not None and not live.is_spent:
                return live.take()
            lost = cast("dict[str, str]", record.value)
        if self.is_repeatable(call):
            return MISS
        name = display_path(call.path)
        if lost["type"] == LOST_FILE:
            self._state.header.hint(lost_file(name, lost["reason"]))
        else:
            self._state.header.hint(
                f"the value of task {name!r} is not stored: {lost['reason'] or lost['type']}"
            )
        return Unstored(name, lost["type"], lost["reason"])

    def error(self, call: AnyCall, record: TaskRecord) -> BaseException:
        """The error of a record, to be raised again. Raises `Unreadable`."""
        try:
            error = _values.raised_error(record.error or {})
        except ValueNotLoadedError as unread:
            what = f"the error of task {display_path(call.path)!r}"
            raise Unreadable(explained(unread, what)) from None
        self._state.saw(call.path, Reason.REPLAYED)
        mark_origin(error, self._state.directory, self._state.run.id, call.path)
        return error

    def place(self, call: AnyCall, record: TaskRecord) -> Place | None:
        """Where a signed pickle belongs, for a call that says codec="pickle"."""
        if call.options.get("codec") != "pickle":
            return None
        return Place(self._state.run.id, call.path, record.generation, is_call=True)

    def is_repeatable(self, call: AnyCall) -> bool:
        """Whether the body may run again when its value cannot be had."""
        return call.options.get("repeatable", self._state.settings.repeatable)

    def returns(self, call: AnyCall) -> Any:
        """The type that the value is validated into, or None."""
        if "returns" in call.options:
            return call.options["returns"]
        return self._state.changes.of(call).signature.returns if call.body is not None else None


class Results:
    """Records and commits results. A record is committed before the caller sees its value (R3)."""

    def __init__(self, state: PassState, stored: StoredResults, records: NewRecords) -> None:
        self._state = state
        self._stored = stored
        self._records = records

    async def checked(self, call: AnyCall, record: TaskRecord, scope: Scope, value: Any) -> Any:
        """The result to keep: what the body returned, or what `check=` returns for it. Raises the error of the check."""
        if call.options.get("check") is None:
            return value
        value = await apply_check(call, record.redact, scope, value, self._stored.returns(call))
        record.checked = True
        return value

    def completed(self, call: AnyCall, record: TaskRecord, running: RunningBody, value: Any) -> Completed:
        """The record of a body that returned, and its value's text."""
        point("task:body-ended")
        if running.scope.interrupted:
            raise self._state.stopping.cancellation()  # and not what the body made of it (W3)
        # The record that is about to be committed says more than that the body began.
        running.markable = False
        adopter = running.adopter
        end = partial(self._state.end_of, call) if adopter is None else adopter.end
        on_loop = threading.get_ident() == self._state.home.thread
        if not on_loop:  # its place is that of its end, however long the loop and the commit take
            running.end = end()
        done = record.copy(status=TaskStatus.COMPLETED, ended_at=self._state.now())
        # A call that has adopted the body gets the result, although the first one was canceled.
        if running.canceled is not None and adopter is None:
            done.canceled = running.canceled
        if running.timed_out_error is not None:
            done.error = running.timed_out_error
        if running.task is not None and running.task.output_properties:
            done.output_properties = describe(running.task.output_properties)
        note_prints(done, running.scope)
        form, text = self._encoded(call, done, value)
        if form:  # else the value is in the record, and can be shown from there
            done.form = form
            made = pieces.of_result(form, value, done.redact)
            done.show([*(each.kept(self._state.ledger.blobs.put) for each in made), *done.shown])
        returns = None if done.checked else self._stored.returns(call)
        if returns is not None and form != "unstored" and done.error is None:
            try:
                place = self._stored.place(call, done)
                blobs = self._state.ledger.blobs
                _values.load(form, loads(text), blobs, returns, place=place, checks_files=False)
            except ValueNotLoadedError as error:
                # Its caller gets the error now and on every replay.
                done.error = self._records.error_data(call, done, error)
        if done.reuse:
            self._state.reuses.settle(done, running.scope)
        if on_loop:
            running.end = end()
        done.ended, done.beside = running.end.ordinal, running.end.beside
        return done, text

    def _encoded(self, call: AnyCall, record: TaskRecord, value: Any) -> Encoded:
        try:
            return dump(value, self._state.ledger.blobs, signed_for=self._stored.place(call, record))
        except (NotStorableError, Warning) as refused:  # a library may warn, where warnings are errors
            error = refused
            if isinstance(error, Warning):
                error = NotStorableError("$", type(value).__name__, f"{type(error).__name__}: {error}")
            # S4: the effect is not repeated because its result cannot be kept.
            if self._stored.is_repeatable(call) or not holds_one_shot(value):
                self._state.memory.live[call.path, record.generation] = LiveResult(value)
            self._warn_unstored(call, error, is_lost=holds_one_shot(value))
            return dump_unstored(error)

    def _warn_unstored(self, call: AnyCall, error: NotStorableError, *, is_lost: bool) -> None:
        if self._stored.is_repeatable(call):
            return
        name = display_path(call.path)
        text = (
            f"the value of task {name!r} cannot be stored ({error}). The task counts as done, and this kernel keeps the "
            "value; a new one will not have it. Return plain data from the task (response.json() instead of the "
            "response), teach the store with register_codec, or say repeatable=True to run it again then."
        )
        if is_lost:
            text = (
                f"the value of task {name!r} cannot be stored ({error}). The task counts as done, and its value is not "
                "there: using it raises an error."
            )
        self._state.header.warn(text, call.place)

    @coroutine
    def commit(self, running: RunningBody, completed: Completed) -> Generator[Any, Any, None]:
        """Commit a result on the loop. Results that come in the same turn of the loop share a commit.

        A generator, so that it can give up its turn by a bare `yield`: all calls of a `gather` are here at the same time,
        and each further frame or future would be alive for each of them.
        """
        ledger, stopping = self._state.ledger, self._state.stopping
        record, value = completed
        try:
            try:
                result = ledger.enqueue_result(record, value)
            except StoreError as error:
                yield from stopping.fail(error).__await__()
                raise AssertionError("unreachable") from None
            if running.host is not stopping.main or len(self._state.running) > 1:
                try:
                    yield  # as `asyncio.sleep(0)` does
                except asyncio.CancelledError:
                    # The caller is cancelled between the end of the body and its commit. It gets no value now, so a
                    # replay must expect the same (A8).
                    around = running.scope.parent or running.scope
                    canceled = record.copy(canceled=around.age())
                    running.record = ledger.commit_result_now(
                        result, None if stopping.is_ending else canceled
                    )
                    raise
            running.record = yield from ledger.commit_result(result).__await__()
        except BaseException:
            self._state.turns.drop(running.end)
            raise
        end: End = running.end
        if end.bunch is not None and (given := self._state.turns.give(end)) is not None:
            yield from given

    def enqueue_here(self, running: RunningBody, completed: Completed) -> Callable[[], None]:
        """Queue a result on the body's own thread, so that a blocked loop delays no record (C6).

        Returns a function that waits until it is committed. Results queued before that share the commit.
        """

        def fail(error: StoreError) -> NoReturn:
            self._state.home.soon(partial(self._state.stopping.stop, Stop.STORE, error))
            raise RunInterrupted from error

        def settle() -> None:
            try:
                running.record = self._state.ledger.commit_result_in_thread(result)
            except StoreError as error:
                fail(error)

        try:
            result = self._state.ledger.enqueue_result(*completed)
        except StoreError as error:
            fail(error)
        return settle


def whose(path: str) -> str:
    """The body of a task, as an error names it."""
    return f"the body of task {display_path(path)!r}"


def note_prints(record: TaskRecord, scope: Scope) -> None:
    """Keep in the record what the body printed and showed."""
    if scope.prints is not None:
        record.prints = scope.prints.pieces()
    if scope.shown is not None:
        record.show(scope.shown.pieces)
    elif record.shows:  # of an earlier attempt
        record.show([])


def _did_not_fit(record: TaskRecord) -> bool:
    """Whether the value was not of the type that the task returns when it was new: its caller got that as an error."""
    return record.error is not None and record.error.get("type") == ValueNotLoadedError.__name__
