"""Keeps the live widget of one run up to date: schedules outgoing messages and handles incoming ones."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeVar

from ..._records.feed import Feed
from ..._records.records import TaskRecord
from ...errors import InvalidAnswerError, TriggerError
from ..escape import visible
from ..model.run_model import RunModel
from . import stream
from .map_table import Tables
from .wire import Wire

T = TypeVar("T")
_log = logging.getLogger("trigger_nb")
_INTERVAL = 0.05  # Minimum time between two messages, in seconds.
_SHARE = 0.1  # Maximum share of the loop's time that the display may take, ...
_SHARE_OF_SNAPSHOT = 0.4  # ... and while a user waits for the first rows.
_UNHEARD = (1.0, 5.0)  # Seconds after which everything is sent again if no front end can be heard.
_TAILS = (
    1.0,
    4.0,
)  # Seconds before the first and the second empty message after the last one (see `Stream.tail`).
Message = Mapping[str, Any]


class Controls(stream.Controls, Protocol):
    """The actions of the widget's buttons."""

    def do(self, operation: str, path: str | None) -> None:
        """Perform an action. Raises `TriggerError` if it is not possible."""
        ...

    def answer(self, path: str, choice: str | None, data: object) -> None:
        """Answer a question of the run. Raises `TriggerError` if the answer does not fit, or comes too late."""
        ...

    def scope_of_rerun(self, path: str) -> tuple[int, str]:
        """The number of tasks that `rerun_from` would run again, and a sentence that describes them."""
        ...

    def whole_records(self, paths: list[str]) -> Iterable[TaskRecord]:
        """The records of tasks with their values, as far as they are in the store; one query."""
        ...

    def payloads(self) -> list[Wire]:
        """What another run of the job may be started with, each with its form."""
        ...

    def run_with(self, source: str, data: object, *, is_edited: bool, is_test: bool) -> str:
        """Start another run of the job; its id. Raises `TriggerError` if the payload does not fit."""
        ...

    def lines_of(self, path: str) -> str:
        """The lines of code that take a task into a cell."""
        ...


class Pump:
    """Sends the events of a run to `post`, and handles the messages of the front end.

    Events and messages may arrive on any thread. All work is done on `loop`, in small steps that take at most
    a tenth of its time. Nothing is sent before a front end has reported. `after_work` is called after each
    step, even if the step failed. An exception is logged once and never affects the run.
    """

    def __init__(
        self,
        make_model: Callable[[], RunModel],
        feed: Feed,
        loop: asyncio.AbstractEventLoop,
        controls: Controls,
        post: Callable[[Wire], None],
        *,
        after_work: Callable[[], None] = lambda: None,
        paths: list[str] | None = None,
        timer: stream.Timer = time,
    ) -> None:
        self._loop = loop
        self._thread_time = timer.thread_time
        self._controls = controls
        self._post = post
        self._after_work = after_work
        self._send_at = 0.0  # earliest time of the next message, by the loop's clock
        self._heard = False  # whether a front end has reported
        self._flowing = False  # whether messages are sent
        self._in_snapshot = False  # whether a user waits for the first rows
        self._tails: list[float] = []  # delays of the empty messages still to be sent
        self._tail_due = False
        self._held = False  # whether the model must not change
        self._timer: asyncio.TimerHandle | None = None
        self._faulty = False
        self.closed = False
        # Held while working: `flush` may be called from any thread.
        self._lock = threading.RLock()
        # Work is done in an empty context. ipykernel keeps the cell that a message belongs to in a context
        # variable, and an update must belong to the cell that runs now: nbclient ignores all others. Front
        # ends find the output by its display id in either case.
        self._context = contextvars.Context()
        # Subscribe first, so that no event is lost while the model is made.
        self._subscription = feed.subscribe(self._wake)
        self.model = make_model()
        self._stream = stream.Stream(self.model, self._subscription, controls, self._report, paths, timer)
        self._tables = Tables(controls, timer)

    def first(self) -> Wire:
        """The first message, which the front end gets with the widget."""
        if not hears_during_cells():
            self._call_on_loop(self._plan_to_send_unasked)
        picture = self._stream.first()
        self._in_snapshot = "more" in picture
        return picture

    def flush(self) -> None:
        """Send all events so far at once."""
        self.guarded(self.catch_up)
        self._work()

    async def settle(self) -> None:
        """Send all events so far, in small steps that let the loop run in between."""
        while not self._held and self.guarded(self._stream.take_in):  # noqa: ASYNC110  # not a wait
            await asyncio.sleep(0)
        self._work()

    def catch_up(self) -> None:
        """Apply all events so far to the model."""
        if not self._held:
            self._stream.catch_up()

    def hold(self) -> None:
        """Do not change the model and send nothing until `release`."""
        self._held = True

    def release(self) -> None:
        """End a `hold`."""
        self._held = False
        self.schedule(0.0)

    def close(self) -> None:
        """Stop following the run. Only the header remains of the model, to free memory."""
        self.closed = True
        self.model = RunModel(self.model.run)
        self._stream = stream.Stream(self.model, self._subscription, self._controls, self._report)
        self._tables = Tables(self._controls)
        self._subscription.close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def guarded(self, work: Callable[[], T]) -> T | None:
        """The result of `work`, or None if it raises: a display never fails a run."""
        with self._lock:
            if self.closed:
                return None
            try:
                return work()
            except Exception:  # noqa: BLE001  # any fault
                return self._report()

    def _report(self) -> None:
        if not self._faulty:
            self._faulty = True
            _log.warning(
                "the display of run %s failed; the run itself is not affected",
                self.model.run.id,
                exc_info=True,
            )

    # --- schedule ---------------------------------------------------------------------

    def schedule(self, delay: float) -> None:
        """Work in `delay` seconds, or earlier if that is planned already. May be called from any thread."""
        self._call_on_loop(lambda: self._plan(delay))

    def _plan(self, delay: float) -> None:
        if self.closed:
            return
        when = self._loop.time() + max(0.0, delay)
        if self._timer is not None:
            if self._timer.when() <= when:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._due, context=self._context)

    def _wake(self) -> None:
        """Schedule work, because events have arrived. Called on the thread of the event."""
        self._call_on_loop(lambda: self._plan(self._send_at - self._loop.time()))

    def _call_on_loop(self, call: Callable[[], object]) -> None:
        try:
            self._loop.call_soon_threadsafe(call, context=self._context)
        except RuntimeError:  # the loop is closed
            self.close()

    def _due(self) -> None:
        self._timer = None
        self._work()
        if self._held:
            return
        if self._stream.pending if self._flowing else self._stream.to_take_in:
            self._plan(self._send_at - self._loop.time())
        elif self._tails:
            self._tail_due = True
            self._plan(self._tails.pop(0))

    def _work(self) -> None:
        if self._held:
            return
        self.guarded(self._send)
        self.guarded(self._after_work)

    def _send(self) -> None:
        began = self._thread_time()
        share = _SHARE
        try:
            if not self._flowing:
                self._stream.take_in()
            elif (message := self._stream.next()) is not None:
                self._tails, self._tail_due = list(_TAILS), False
                self._in_snapshot = "more" in message and (self._in_snapshot or "reset" in message)
                share = _SHARE_OF_SNAPSHOT if self._in_snapshot else _SHARE
                self._post(message)
            elif self._tail_due:
                self._tail_due = False
                self._post(self._stream.tail())
        finally:
            took = self._thread_time() - began
            self._send_at = self._loop.time() + max(_INTERVAL, took * (1 / share - 1))

    # --- messages of the front end ----------------------------------------------------

    def receive(self, message: Message) -> None:
        """Handle a message of a front end. May be called from any thread (rule D3)."""
        self._call_on_loop(lambda: self.guarded(lambda: self._answer(message)))

    def _answer(self, message: Message) -> None:
        match message:
            case {"t": "hello"}:
                self._heard = self._flowing = True
                # An answer in any case: the front end reports again if it hears nothing.
                self._tail_due |= self._stream.hello(message.get("n", 0))
            case {"t": "details", "i": int(index)}:
                self._stream.watch(index, bool(message.get("on")))
            case {"t": "items", "i": int(index)}:
                state = message.get("s")
                self._stream.show_items(index, state if isinstance(state, str) else None)
            case {"t": "find", "text": str(text)}:
                self._stream.look_for(text[:1000])
            case {"t": "look"}:
                self._stream.look()
            case {"t": "do", "id": str(request)}:
                self._stream.answer({"id": request, **outcome(lambda: self._do(message), self._report)})
            case {"t": "table", "id": str(request), "i": int(index)}:
                answer = outcome(lambda: self._table(index, message), self._report)
                self._stream.answer({"id": request, **answer})
            case {"t": "answer", "id": str(request)}:
                self._stream.answer({"id": request, **outcome(lambda: self._take(message), self._report)})
            case {"t": "run_with", "id": str(request)}:
                self._stream.answer({"id": request, **outcome(lambda: self._run_with(message), self._report)})
            case {"t": "ask", "id": str(request)}:
                self._stream.answer({"id": request, **outcome(lambda: self._tell(message), self._report)})
            case _:
                return
        self._plan(0.0)

    def _do(self, message: Message) -> Wire:
        self._controls.do(message.get("op", ""), self._path(message))
        return {}

    def _take(self, message: Message) -> Wire:
        choice, data = message.get("choice"), message.get("data")
        self._controls.answer(self._path(message) or "", None if choice is None else str(choice), data)
        return {}

    def _run_with(self, message: Message) -> Wire:
        is_edited, is_test = bool(message.get("edited")), bool(message.get("test"))
        source, data = str(message.get("source")), message.get("data")
        return {"run": self._controls.run_with(source, data, is_edited=is_edited, is_test=is_test)}

    def _tell(self, message: Message) -> Wire:
        if message.get("op") == "run_with":
            return {"choices": self._controls.payloads()}
        if message.get("op") == "open":
            return {"text": self._controls.lines_of(self._path(message) or "")}
        count, which = self._controls.scope_of_rerun(self._path(message) or "")
        return {"count": count, "text": which}

    def _table(self, index: int, message: Message) -> Wire:
        return self._tables.answer(self._stream.row(index), message, self._stream.number)

    def _path(self, message: Message) -> str | None:
        index = message.get("i")
        return self._stream.path(index) if isinstance(index, int) else None

    def _plan_to_send_unasked(self) -> None:
        for delay in _UNHEARD:
            self._loop.call_later(delay, self.guarded, self._send_unasked, context=self._context)

    def _send_unasked(self) -> None:
        """Send everything unasked: older kernels receive no messages while a cell awaits."""
        if not self._heard:
            self._flowing = True
            self._stream.hello(-1)
            self._plan(0.0)


def outcome(act: Callable[[], Wire], report: Callable[[], object]) -> Wire:
    """The answer to a request. Any exception becomes an answer too, because the front end waits for one."""
    try:
        return {"ok": True, **act()}
    except InvalidAnswerError as error:
        fields = [[visible(name, 200), visible(fault, 300)] for name, fault in error.fields.items()]
        return {"ok": False, "text": visible(str(error), 1000), "fields": fields}
    except TriggerError as error:
        text = str(error)
    except Exception as error:  # noqa: BLE001  # any fault
        report()
        text = f"{type(error).__name__}: {error}"
    return {"ok": False, "text": visible(text, 1000)}


def hears_during_cells() -> bool:
    """Whether this kernel receives messages of front ends while a cell awaits."""
    kernel = sys.modules.get("ipykernel")
    return tuple(getattr(kernel, "version_info", ())[:2]) >= (7, 4)
