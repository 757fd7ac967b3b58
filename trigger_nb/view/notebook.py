"""A run under its cell: drawn when it starts, refreshed in place, left as static HTML at the end."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, cast
from uuid import uuid4

from .._feed import Feed, Subscription
from .._records import RunStatus
from . import html, text
from .model import RunModel

_log = logging.getLogger("trigger_nb")

_INTERVAL = 0.1  # The shortest time between two drawings, in seconds.
_SHARE = 0.1  # The largest share of the loop's time that drawing may take.
_TICK = 1.0  # How often clocks in the display go on when nothing happens.
_SLOW_TICK = 10.0  # The same while a wait has long to go.

Bundle: TypeAlias = Mapping[str, str]  # MIME type -> text
Publish: TypeAlias = Callable[[Bundle, str, bool], None]  # bundle, display id, whether it is an update


def in_notebook() -> bool:
    """Whether this is a Jupyter kernel. IPython is not imported to find out."""
    get_ipython: Callable[[], Any] | None = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = get_ipython() if get_ipython is not None else None
    return getattr(shell, "kernel", None) is not None


def bundle(model: RunModel) -> Bundle:
    """The run as it stands, for every kind of front end."""
    if model.ended:
        return {"text/html": html.final(model), "text/plain": text.tree(model)}
    return {"text/html": html.live(model), "text/plain": text.excerpt(model)}


class NotebookView:
    """Keeps one display of a run up to date.

    Events may come from any thread; drawing happens on `loop`, at most ten times a second, and
    takes at most a tenth of its time. A fault in drawing is logged once and never reaches the run.

    ```python
    if in_notebook():
        view = NotebookView(model, feed, asyncio.get_running_loop())
        view.show()                     # in the cell that starts the run
        ...
        view.flush()                    # before the cell ends: the run's end is on the page
    ```
    """

    def __init__(
        self,
        model: RunModel,
        feed: Feed,
        loop: asyncio.AbstractEventLoop,
        *,
        publish: Publish | None = None,
    ) -> None:
        self._model = model
        self._feed = feed
        self._loop = loop
        self._publish = publish or _to_kernel
        self._display_id = f"trigger_nb-{uuid4().hex}"  # each display has its own
        self._subscription: Subscription | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._drawn: Bundle | None = None
        self._next_draw = 0.0  # by the loop's clock
        self._faulty = False
        # Held while drawing: `flush` may be called from any thread.
        self._lock = threading.Lock()
        # Drawing runs in an empty context. ipykernel keeps the cell that a message belongs to in a
        # context variable, and an update must go out in the name of the cell that runs now: nbclient
        # hears no other. Front ends find the output by its display id either way.
        self._context = contextvars.Context()

    def show(self) -> None:
        """Draw for the first time, as output of the cell that is running, and follow the feed."""
        self._subscription = self._feed.subscribe(self._wake)
        self.flush()
        self._schedule(_TICK)

    def flush(self) -> None:
        """Draw now what has happened so far."""
        with self._lock:
            began = time.perf_counter()
            try:
                self._draw()
            except Exception:  # noqa: BLE001  # a display never fails a run
                self._report()
            took = time.perf_counter() - began
            self._next_draw = self._loop.time() + max(_INTERVAL, took * (1 / _SHARE - 1))

    def hand_over(self) -> None:
        """Stop following: another display shows the run from here on. Half a run would seem to be stuck.

        Not drawn before: events of a new pass may have come in, and the tree of an ended one stays.
        """
        self.close()
        if self._model.ended:
            return
        try:
            drawn = {"text/html": html.moved(self._model), "text/plain": text.moved_line(self._model)}
            self._publish(drawn, self._display_id, True)
        except Exception:  # noqa: BLE001  # as in `flush`
            self._report()

    def close(self) -> None:
        """Stop following. What is displayed stays."""
        if self._subscription is not None:
            self._subscription.close()
            self._subscription = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wake(self) -> None:
        """Events have come in. Called on whatever thread they came from."""
        try:
            self._loop.call_soon_threadsafe(self._woken, context=self._context)
        except RuntimeError:  # The loop is closed; nobody is left to draw for.
            self.close()

    def _woken(self) -> None:
        self._schedule(self._next_draw - self._loop.time())

    def _schedule(self, delay: float) -> None:
        """Draw in so many seconds, or earlier if that is planned."""
        if self._subscription is None:
            return
        when = self._loop.time() + max(0.0, delay)
        if self._timer is not None:
            if self._timer.when() <= when:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._due, context=self._context)

    def _due(self) -> None:
        self._timer = None
        self.flush()
        self._tick()

    def _tick(self) -> None:
        """Let the clocks in the display go on."""
        model = self._model
        if model.ended:
            return
        far = model.run.status == RunStatus.WAITING and (model.next_at or float("inf")) - model.now > 90
        self._schedule(max(_SLOW_TICK if far else _TICK, self._next_draw - self._loop.time()))

    def _draw(self) -> None:
        if self._subscription is None:  # Closed: a clock that had gone on would draw half a run again.
            return
        self._model.apply(self._subscription.take())
        drawn = bundle(self._model)
        if drawn == self._drawn:
            return
        self._publish(drawn, self._display_id, self._drawn is not None)
        self._drawn = drawn

    def _report(self) -> None:
        if not self._faulty:
            self._faulty = True
            _log.warning(
                "the display of run %s failed; the run itself goes on", self._model.run.id, exc_info=True
            )


def _to_kernel(drawn: Bundle, display_id: str, update: bool) -> None:
    from IPython import display

    publish = cast("Any", display).publish_display_data
    publish(dict(drawn), transient={"display_id": display_id}, update=update)
