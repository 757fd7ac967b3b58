"""The result of a body that has returned: its record, and the commit of that."""

from __future__ import annotations

import asyncio
import time
import warnings
from collections.abc import Callable, Generator
from functools import partial
from types import coroutine
from typing import TYPE_CHECKING, Any, NoReturn

from .. import _values
from .._keys import display_path
from .._records.records import TaskRecord
from .._records.status import TaskStatus
from .._store.crashpoints import point
from .._tasks.options import describe
from .._values.codec import dump, dump_unstored
from .._values.json_text import loads
from .._values.one_shot import holds_one_shot
from ..errors import NotStorableError, RunInterrupted, StoreError, ValueNotLoadedError
from .live import LiveResult
from .stopping import Stop

if TYPE_CHECKING:
    from .._tasks.call import Call, Scope
    from .._tasks.running import RunningBody
    from .._values.tagged import Encoded
    from .new_record import NewRecords
    from .state import PassState
    from .stored import StoredResults

Completed = tuple[TaskRecord, str]  # the record of a body that returned, and its value's text


class Results:
    """Records and commits results. A record is committed before the caller sees its value (R3)."""

    def __init__(self, state: PassState, stored: StoredResults, records: NewRecords) -> None:
        self._state = state
        self._stored = stored
        self._records = records

    def completed(self, call: Call[Any], record: TaskRecord, running: RunningBody, value: Any) -> Completed:
        """The record of a body that returned, and its value's text."""
        point("task:body-ended")
        if running.scope.interrupted:
            raise self._state.stopping.cancellation()  # and not what the body made of it (W3)
        running.markable = (
            False  # the record that is about to be committed says more than that the body began
        )
        done = record.copy(
            status=TaskStatus.COMPLETED, ended=next(self._state.ledger.ordinals), ended_at=self._state.now()
        )
        if running.canceled is not None:
            done.canceled = running.canceled
        if running.timed_out_error is not None:
            done.error = running.timed_out_error
        if running.task is not None and running.task.output_properties:
            done.output_properties = describe(running.task.output_properties)
        note_prints(done, running.scope)
        form, text = self._encoded(call, done, value)
        if form:
            done.form = form
        returns = self._stored.returns(call)
        if returns is not None and form != "unstored" and done.error is None:
            try:
                _values.load(form, loads(text), self._state.ledger.blobs, returns)
            except ValueNotLoadedError as error:
                # Its caller gets the error now and on every replay.
                done.error = self._records.error_data(call, done, error)
        return done, text

    def _encoded(self, call: Call[Any], record: TaskRecord, value: Any) -> Encoded:
        try:
            return dump(value, self._state.ledger.blobs, signed=call.options.get("codec") == "pickle")
        except NotStorableError as error:
            # S4: the effect is not repeated because its result cannot be kept.
            if self._stored.is_repeatable(call) or not holds_one_shot(value):
                self._state.memory.live[call.path, record.generation] = LiveResult(value)
            self._warn_unstored(call, error, is_lost=holds_one_shot(value))
            return dump_unstored(error)

    def _warn_unstored(self, call: Call[Any], error: NotStorableError, *, is_lost: bool) -> None:
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
        self._state.header.hint(text)
        warnings.warn(text, RuntimeWarning, stacklevel=2)

    @coroutine
    def commit(self, running: RunningBody, completed: Completed) -> Generator[Any, Any, None]:
        """Commit a result on the loop. Results that come in the same turn of the loop share a commit.

        A generator, so that it can give up its turn by a bare `yield`: all calls of a `gather` are here at the same time,
        and each further frame or future would be alive for each of them.
        """
        ledger, stopping = self._state.ledger, self._state.stopping
        record, value = completed
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
                canceled = record.copy(canceled=round(time.monotonic() - running.began, 3))
                running.record = ledger.commit_result_now(result, None if stopping.is_ending else canceled)
                raise
        running.record = yield from ledger.commit_result(result).__await__()

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


def note_prints(record: TaskRecord, scope: Scope) -> None:
    """Keep in the record what the body printed."""
    if scope.prints is not None:
        record.prints = scope.prints.pieces()
