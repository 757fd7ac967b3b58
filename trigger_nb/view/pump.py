"""Keeps the live widget of one run up to date: when messages go out, and what is done with those that come in."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from .._feed import Feed
from ..errors import TriggerError
from . import stream
from .escape import visible
from .model import RunModel

_log = logging.getLogger("trigger_nb")

_INTERVAL = 0.05  # The shortest time between two messages, in seconds.
_SHARE = 0.1  # The largest share of the loop's time that the display may take, ...
_SHARE_OF_SNAPSHOT = 0.4  # ... and while somebody waits for the first rows.
_UNHEARD = (1.0, 5.0)  # When everything is sent again to a front end that cannot be heard.
_TAILS = (1.0, 4.0)  # How long after the last message its number is sent once more, and again.

Message = Mapping[str, Any]


class Controls(stream.Controls, Protocol):
    """What the widget's buttons do."""

    def do(self, operation: str, path: str | None) -> None:
        """Take the action. Raises `TriggerError` when it makes no sense."""
        ...

    def scope_of_rerun(self, path: str) -> tuple[int, str]:
        """How many tasks would run again from there, and which, in words."""
        ...


class Pump:
    """Sends what happens in a run to `post`, and takes what the front end says.

    Events may come from any thread, and so may what is received; all work is done on `loop`, bounded
    each time, and takes a tenth of its time at most. Nothing is sent before a front end has said that
    it is there. `after_work` is called whenever some work was done, even if that failed. A fault in any
    of it is logged once and never reaches the run.
    """

    def __init__(
        self, make_model: Callable[[], RunModel], feed: Feed, loop: asyncio.AbstractEventLoop,
        controls: Controls, post: Callable[[dict[str, Any]], None], *,
        after_work: Callable[[], None] = lambda: None, paths: list[str] | None = None,
        timer: stream.Timer = time,
    ) -> None:  # fmt: skip
        self._loop = loop
        self._thread_time = timer.thread_time
        self._controls = controls
        self._post = post
        self._after_work = after_work
        self._send_at = 0.0  # when the next message may go out, by the loop's clock
        self._heard = False  # whether a front end has said that it is there
        self._flowing = False  # whether messages are sent
        self._in_snapshot = False  # whether somebody waits for the first rows
        self._tails: list[float] = []  # how long from one to the next, of those still to be sent
        self._tail_due = False
        self._held = False  # whether the model has to stay as it is
        self._timer: asyncio.TimerHandle | None = None
        self._faulty = False
        self.closed = False
        # Held while working: `flush` may be called from any thread.
        self._lock = threading.RLock()
        # Work is done in an empty context. ipykernel keeps the cell that a message belongs to in a
        # context variable, and an update must go out in the name of the cell that runs now: nbclient
        # hears no other. Front ends find the output by its display id either way.
        self._context = contextvars.Context()
        # In this order: what is saved after the model is made comes as an event.
        self._subscription = feed.subscribe(self._wake)
        self.model = make_model()
        self._stream = stream.Stream(self.model, self._subscription, controls, self._report, paths, timer)

    def first(self) -> dict[str, Any]:
        """What a front end has to show before it can ask."""
        if not hears_during_cells():
            self._call_on_loop(self._plan_to_speak_unheard)
        picture = self._stream.first()
        self._in_snapshot = "more" in picture
        return picture

    def flush(self) -> None:
        """Send now what has happened so far, all of it."""
        self.guarded(self.catch_up)
        self._work()

    async def settle(self) -> None:
        """Like `flush`, in small steps between which the loop goes on."""
        while not self._held and self.guarded(self._stream.take_in):  # noqa: ASYNC110  # nothing is waited for
            await asyncio.sleep(0)
        self._work()

    def catch_up(self) -> None:
        """Bring the model up to all that has happened."""
        if not self._held:
            self._stream.catch_up()

    def hold(self) -> None:
        """Leave the model as it is, and send nothing, until `release`."""
        self._held = True

    def release(self) -> None:
        """Go on."""
        self._held = False
        self.schedule(0.0)

    def close(self) -> None:
        """Follow no more. What is left of the model is the run's header: a large one is not kept for nothing."""
        self.closed = True
        self.model = RunModel(self.model.run)
        self._stream = stream.Stream(self.model, self._subscription, self._controls, self._report)
        self._subscription.close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def guarded(self, work: Callable[[], Any]) -> Any:
        """What `work` gives; None when it fails, for a display never fails a run."""
        with self._lock:
            if self.closed:
                return None
            try:
                return work()
            except Exception:  # noqa: BLE001  # whatever it is
                return self._report()

    def _report(self) -> None:
        if not self._faulty:
            self._faulty = True
            _log.warning(
                "the display of run %s failed; the run itself goes on", self.model.run.id, exc_info=True
            )

    # --- when -------------------------------------------------------------------------

    def schedule(self, delay: float) -> None:
        """Work in so many seconds, or earlier if that is planned. May be called from any thread."""
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
        """Events have come in. Called on whatever thread they came from."""
        self._call_on_loop(lambda: self._plan(self._send_at - self._loop.time()))

    def _call_on_loop(self, call: Callable[[], Any]) -> None:
        try:
            self._loop.call_soon_threadsafe(call, context=self._context)
        except RuntimeError:  # The loop is closed; nobody is left to draw for.
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

    # --- what the front end says ------------------------------------------------------

    def receive(self, message: Message) -> None:
        """A front end says something. Called on whatever thread messages come on (rule D3)."""
        self._call_on_loop(lambda: self.guarded(lambda: self._answer(message)))

    def _answer(self, message: Message) -> None:
        match message:
            case {"t": "hello"}:
                self._heard = self._flowing = True
                self._stream.hello(message.get("n", 0))
            case {"t": "details", "i": int(index)}:
                self._stream.watch(index, bool(message.get("on")))
            case {"t": "items", "i": int(index)}:
                state = message.get("s")
                self._stream.show_items(index, state if isinstance(state, str) else None)
            case {"t": "find", "text": str(text)}:
                self._stream.look_for(text[:1000])
            case {"t": "do", "id": str(request)}:
                self._stream.answer({"id": request, **outcome(lambda: self._do(message), self._report)})
            case {"t": "ask", "id": str(request)}:
                self._stream.answer({"id": request, **outcome(lambda: self._tell(message), self._report)})
            case _:
                return
        self._plan(0.0)

    def _do(self, message: Message) -> dict[str, Any]:
        self._controls.do(message.get("op", ""), self._path(message))
        return {}

    def _tell(self, message: Message) -> dict[str, Any]:
        count, which = self._controls.scope_of_rerun(self._path(message) or "")
        return {"count": count, "text": which}

    def _path(self, message: Message) -> str | None:
        index = message.get("i")
        return self._stream.path(index) if isinstance(index, int) else None

    def _plan_to_speak_unheard(self) -> None:
        for delay in _UNHEARD:
            self._loop.call_later(delay, self.guarded, self._speak_unheard, context=self._context)

    def _speak_unheard(self) -> None:
        """Older kernels hear nothing while a cell awaits: whoever is there gets everything, unasked."""
        if not self._heard:
            self._flowing = True
            self._stream.hello(-1)
            self._plan(0.0)


def outcome(act: Callable[[], dict[str, Any]], report: Callable[[], object]) -> dict[str, Any]:
    """What to answer to a request: whoever has asked must not wait for ever."""
    try:
        return {"ok": True, **act()}
    except TriggerError as error:
        text = str(error)
    except Exception as error:  # noqa: BLE001  # whatever it is
        report()
        text = f"{type(error).__name__}: {error}"
    return {"ok": False, "text": visible(text, 1000)}


def hears_during_cells() -> bool:
    """Whether messages of front ends reach this kernel while a cell awaits."""
    kernel = sys.modules.get("ipykernel")
    return tuple(getattr(kernel, "version_info", ())[:2]) >= (7, 4)
