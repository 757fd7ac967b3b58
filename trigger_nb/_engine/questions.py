"""Questions to people: asked once, and answered by whoever is first, in this process or another one.

A question waits as `io.wait` does: without a thread and without a slot. While one is open, the pass looks a few times a second
whether another process has committed anything, which costs microseconds, and only then for answers. An answer from this
kernel calls `look` at once.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from .._keys import display_path
from .._records.questions import FINAL, Answer, answer_key, answers_tag, question_of
from .._records.records import TaskRecord
from .._records.status import TaskStatus
from .._store.protocol import Row
from .._values.codec import dump_or_describe
from ..errors import CorruptRecordError, InvalidAnswerError, StoreError
from .readings import Unreadable

if TYPE_CHECKING:
    from .decide import Ask
    from .new_record import NewRecords
    from .results import StoredResults
    from .state import PassState
    from .waits import Waits

LOOK_EVERY = 0.2  # seconds between two looks for commits of other processes


class Questions:
    """The questions of one pass."""

    def __init__(self, state: PassState, stored: StoredResults, records: NewRecords, waits: Waits) -> None:
        self._state = state
        self._stored = stored
        self._records = records
        self._waits = waits
        self.open: dict[str, Any] = {}  # the calls that wait for an answer, by path
        self._paths: dict[str, str] = {}  # of open questions, by the key of the answer
        self._woken: set[str] = set()  # paths of calls whose answers may be there
        self._version = 0  # of the store, when it was last looked at
        self._timer: asyncio.TimerHandle | None = None

    async def ask(self, call: Any, decision: Ask) -> Any:
        """The value of the answer, once there is one. `call` is a `QuestionCall`."""
        state = self._state
        if state.stopping.closing is not None:
            await self._waits.park(call)
        state.saw(call.path, decision.reason)
        record = self._record(call, decision)
        call.record = record
        await state.ledger.save(record)
        key = answer_key(state.run.id, call.path, record.generation)
        until = None if record.next_at is None else self._waits.unprolonged(record, record.next_at)
        if decision.earlier is None or decision.earlier.status != TaskStatus.WAITING:
            state.on_question(state.header)
        while True:
            answer = await self.answer_to(call, key, until)
            try:
                value = call.build(answer)
                break
            except InvalidAnswerError as error:  # another process cannot check all
                record = await self._refuse(record, key, answer, error)
        return await self._complete(call, record, answer, value)

    def _record(self, call: Any, decision: Ask) -> TaskRecord:
        """The record of the open question. Its time limit is set once, as that of a wait."""
        earlier, now = decision.earlier, self._state.clock.time()
        record = self._records.new(call, earlier)
        record.status = TaskStatus.WAITING
        if earlier is not None and earlier.status == TaskStatus.WAITING:
            record.started_at = earlier.started_at
            record.next_at = earlier.next_at
            before = question_of(earlier)
            if before is not None and before.refused:
                record.data = {**record.data, "refused": before.refused}
        elif call.deadline is not None:
            record.next_at = call.deadline(now)
        return record

    async def answer_to(self, call: Any, key: str, until: float | None) -> Answer:
        """The answer to an open question, as soon as there is one."""
        state, path = self._state, call.path
        is_over = until is not None and until <= state.clock.time()
        self._enter(call, key)
        try:
            while True:
                text = self._read(key)
                if text is None and is_over:
                    nobody = Answer(at=state.now(), timed_out=True)
                    # If an answer has come at the same moment, the store refuses this row.
                    await state.ledger.write_rows(
                        [Row(key, answers_tag(state.run.id), nobody.dumps(), FINAL)]
                    )
                    text = self._read(key)
                if text is not None:
                    try:
                        return Answer.loads(text)
                    except CorruptRecordError as error:
                        self._delete(key)
                        name = display_path(path)
                        state.header.hint(
                            f"The answer to {name!r} could not be read ({error}), so it is asked for again."
                        )
                        continue
                self._woken.discard(path)
                await self._waits.pause(path, until, "answer")
                is_over = (
                    until is not None and path not in self._woken
                )  # the wait ends by a clock that cannot be set, too (W1)
        finally:
            self._leave(call, key)

    async def _complete(self, call: Any, record: TaskRecord, answer: Answer, value: object) -> Any:
        state, ledger = self._state, self._state.ledger
        data = {name: each for name, each in record.data.items() if name != "refused"}
        done = record.copy(status=TaskStatus.COMPLETED, next_at=None, data={**data, "answer": answer.told()})
        done.form, done.value = dump_or_describe(value, ledger.blobs)
        if ledger.blobs.error is not None:  # no record that may name a file that is not written
            await state.stopping.fail(ledger.blobs.error)
        await state.commit_end(call, done)
        stored = ledger.record(call.path)
        assert stored is not None
        return self._stored.value(call, stored)

    async def _refuse(
        self, record: TaskRecord, key: str, answer: Answer, error: InvalidAnswerError
    ) -> TaskRecord:
        """Take an answer away that does not fit the schema, and say so: the question stays open."""
        said = f"The answer{f' by {answer.by}' if answer.by else ''} was refused: {error}"
        record = record.copy(data={**record.data, "refused": said})
        await self._state.ledger.save(record)
        self._delete(key)
        return record

    def _read(self, key: str) -> str | None:
        try:
            return self._state.store.get(key)
        except StoreError as error:
            raise Unreadable(error) from None

    def _delete(self, key: str) -> None:
        try:
            self._state.store.delete(keys=[key], patience=1.0)
        except StoreError as error:
            raise Unreadable(error) from None

    # Noticing answers -------------------------------------------------------------------------------

    def look(self) -> None:
        """Wake the calls whose answers are there. On the loop."""
        try:
            keys = [key for key, _ in self._state.store.select(answers_tag(self._state.run.id))]
        except StoreError:
            keys = list(self._paths)  # each call meets the error, and ends the pass
        for key in keys:
            if (path := self._paths.get(key)) is not None:
                self._woken.add(path)
                self._state.still.wake(path)

    def _enter(self, call: Any, key: str) -> None:
        self.open[call.path] = call
        self._paths[key] = call.path
        if self._timer is None:
            self._version = self._state.store.version()
            self._plan()

    def _leave(self, call: Any, key: str) -> None:
        self.open.pop(call.path, None)
        self._paths.pop(key, None)
        if not self._paths and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _plan(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(LOOK_EVERY, self._poll)

    def _poll(self) -> None:
        self._plan()
        try:
            version = self._state.store.version()
        except StoreError:
            return
        if version != self._version:
            self._version = version
            self.look()
