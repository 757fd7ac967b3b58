"""A run under its cells: live while it goes on, left as static HTML at the end (rule D4)."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast
from uuid import uuid4

from .._feed import Feed
from .._records import RunStatus
from ..errors import TriggerError
from . import html, text
from .model import RunModel
from .pump import Controls, Pump, hears_during_cells
from .stream import Timer

if TYPE_CHECKING:
    from .widget import LiveWidget

_log = logging.getLogger("trigger_nb")

_STEP = 0.008  # How long drawing what remains may hold the loop at a time, in seconds, ...
_REST = 0.02  # ... and how long it then lets go of it.
_REDRAW = 1.0  # The shortest time between two replacements of what stands beside the widget, in seconds.
_UNSEEN = 0.5  # How long a cell whose run has failed waits at its end for a page to show the buttons.
_KEPT = 20  # How many widgets of runs that are over are kept, for pages that come back.

Bundle: TypeAlias = Mapping[str, Any]  # MIME type -> data
Publish: TypeAlias = Callable[
    [Bundle, Mapping[str, Any], str, bool], None
]  # and metadata, display id, update
_NOTHING: tuple[Bundle, Bundle] = ({}, {})


def in_notebook() -> bool:
    """Whether this is a Jupyter kernel. IPython is not imported to find out."""
    return getattr(_shell(), "kernel", None) is not None


def bundle(model: RunModel) -> Bundle:
    """The run as it stands, without its widget, for every kind of front end."""
    if not model.ended:
        return {"text/html": html.live(model), "text/plain": text.excerpt(model)}
    return {"text/html": html.final(model), "text/plain": text.tree(model)}


def _drawing(model: RunModel) -> Generator[None, None, Bundle]:
    """What remains of a run, drawn in steps of a few ms. Nothing may be applied to the model meanwhile."""
    parts: list[str] = []
    for part in html.final_parts(model):
        parts.append(part)
        yield
    plain = text.tree(model)
    yield
    return {"text/html": "".join(parts), "text/plain": plain}


class RunDisplay:
    """The live widget of one run, in as many places as it was shown in.

    When the run has COMPLETED or was CANCELED, static HTML takes its place everywhere; one that
    FAILED or was INTERRUPTED keeps its buttons until the next cell is run. A notebook file keeps no
    widgets, so that only the static HTML is there when it is opened again. `stay` keeps the widget
    at the end: it is part of others.

    ```python
    display = RunDisplay(lambda: model, feed, asyncio.get_running_loop(), controls)
    display.show()                  # in the cell that starts the run
    ...
    await display.settle()          # before the cell ends: the run's end is on the page
    ```
    """

    def __init__(
        self, make_model: Callable[[], RunModel], feed: Feed, loop: asyncio.AbstractEventLoop,
        controls: Controls, *, publish: Publish | None = None, on_close: Callable[[], None] = lambda: None,
        timer: Timer = time,
    ) -> None:  # fmt: skip
        self.stay = False
        self._timer = timer
        self._loop = loop
        self._publish = publish or to_kernel
        self._on_close = on_close
        self._widget: LiveWidget | None = None
        self._vacant = False  # whether the widget has nothing to show any more
        self._pages = 0  # how many have said that they show it
        self._places: list[str] = []  # display ids: each display has its own
        self._beside: tuple[str, ...] = ()  # the run's status, for which the places were drawn last
        self._redraw_at = 0.0  # when they may be drawn again, by the loop's clock
        self._drawing: Generator[None, None, Bundle] | None = None  # of what remains; the pump is held
        paths: list[str] = []  # by number: of all rows that the widget has ever been sent
        self._make_pump = lambda: Pump(
            make_model, feed, loop, controls, self._post, after_work=self._see_to_places, paths=paths,
            timer=timer,
        )  # fmt: skip
        self._pump = self._make_pump()

    @property
    def model(self) -> RunModel:
        """What is shown."""
        return self._pump.model

    @property
    def widget(self) -> LiveWidget:
        """The widget, made when it is first needed, and anew when someone has closed it."""
        if self._widget is None or self._widget.comm is None:
            from .widget import LiveWidget

            self._widget = LiveWidget("run", self._pump.first(), self._receive)
        return self._widget

    def show(self) -> None:
        """Show the run in the cell that is running."""
        self._pump.guarded(self._show)
        self._pump.schedule(0.0)

    def flush(self) -> None:
        """Show now what has happened so far, all of it. May be called from any thread."""
        self._pump.guarded(lambda: self._draw(None))
        self._pump.flush()
        self._pump.guarded(lambda: self._draw(None))

    async def settle(self) -> None:
        """Like `flush`, in small steps between which the loop goes on."""
        await self._drawn()
        await self._pump.settle()
        await self._drawn()
        if self._keeps_buttons and not await self._is_seen():
            self.leave()

    @property
    def _keeps_buttons(self) -> bool:
        return self.model.ended and bool(self._places)

    async def _is_seen(self) -> bool:
        """Whether a page shows the widget. When a program runs the notebook none does, and what the cell
        leaves must be static HTML: there may be no next cell."""
        if not hears_during_cells():
            return True  # nobody knows
        until = self._timer.monotonic() + _UNSEEN
        while not self._pages and self._timer.monotonic() < until:  # noqa: ASYNC110  # pages speak when they like
            await asyncio.sleep(_REST)
        return self._pages > 0

    async def _drawn(self) -> None:
        while self.leaving:  # noqa: ASYNC110  # it is a matter of milliseconds
            await asyncio.sleep(_REST)

    @property
    def leaving(self) -> bool:
        """Whether what remains of the run is being drawn."""
        return self._drawing is not None

    def leave(self) -> None:
        """Leave static HTML in all places, if the run has ended."""
        self._pump.guarded(self._leave_if_ended)

    def close(self) -> None:
        """Follow no more. What is displayed stays."""
        if not self._pump.closed:
            self._pump.close()
            self._on_close()

    # --- pages that come back ---------------------------------------------------------

    # A page that is loaded again knows the widget from its notebook file and nothing of display ids:
    # there it stays the widget for good, and would show an error if that were closed at the end.

    def _receive(self, message: Mapping[str, Any]) -> None:
        """A front end says something. Called on whatever thread messages come on (rule D3)."""
        if self._vacant:  # the page has come too late: static HTML stands there
            return
        is_new = isinstance(message, dict) and message.get("t") == "hello" and bool(message.get("new"))
        self._pages += is_new
        if not self._pump.closed:
            self._pump.receive(message)
        elif is_new:
            self._loop.call_soon_threadsafe(self._revive, message, context=contextvars.Context())

    def _revive(self, hello: Mapping[str, Any]) -> None:
        try:
            if self._pump.closed:  # no other page came first
                self._pump = self._make_pump()
        except TriggerError:
            _log.warning("a page shows a run that is not there any more", exc_info=True)
        else:
            self._pump.receive(hello)

    def drop(self) -> None:
        """Let go of all."""
        self._pump.close()
        if self._widget is not None:
            self._widget.close()

    # --- the places -------------------------------------------------------------------

    @property
    def _status(self) -> tuple[str, ...]:
        return (self.model.run.status, self.model.run.reason)

    def _post(self, message: dict[str, Any]) -> None:
        if self._widget is not None and self._widget.comm is not None:  # else nobody hears it
            self._widget.post(message)

    def _show(self) -> None:
        if self.model.ended:
            self._pump.catch_up()  # its static HTML is shown, too, and must be whole
        if not self._places:
            self._beside = self._status
        place = f"trigger_nb-{uuid4().hex}"
        self._put(place, False)
        self._places.append(place)
        if self.model.ended:
            with_next_cell(self.leave)

    def _see_to_places(self) -> None:
        """When the run's status has changed, so have the outputs that do without the widget."""
        if self._status == self._beside:
            return
        if self.model.ended:
            self._pump.catch_up()  # what remains must be whole; and it may have been taken up again just now
        wait = self._redraw_at - self._loop.time()
        if wait > 0 and not self.model.ended:
            self._pump.schedule(wait)
            return
        self._redraw_at = self._loop.time() + _REDRAW
        if self.model.run.status in (RunStatus.COMPLETED, RunStatus.CANCELED):
            self._leave()
        else:
            for place in self._places:
                self._put(place, True)
            if self.model.ended:
                with_next_cell(self.leave)
        self._beside = self._status  # after all that can fail: then it is tried again

    def _leave_if_ended(self) -> None:
        self._pump.catch_up()
        if self.model.ended and not self.leaving:
            self._leave()
        self._draw(None)

    def _leave(self) -> None:
        self._pump.hold()
        self._drawing = _drawing(self.model)
        self._draw(_STEP)

    def _draw(self, seconds: float | None) -> None:
        """Go on drawing what remains, for so many seconds or to the end."""
        until = None if seconds is None else self._timer.thread_time() + seconds
        while self._drawing is not None:
            try:
                next(self._drawing)
            except StopIteration as done:
                self._stop_drawing()
                self._left(done.value)
            except BaseException:
                self._stop_drawing()
                raise
            else:
                if until is not None and self._timer.thread_time() > until:
                    self._loop.call_later(
                        _REST, self._pump.guarded, lambda: self._draw(_STEP), context=contextvars.Context()
                    )
                    return

    def _stop_drawing(self) -> None:
        self._drawing = None
        self._pump.release()

    def _left(self, remains: Bundle) -> None:
        for place in self._places:
            self._publish(remains, {}, place, True)
        self._places.clear()
        if self.stay:
            return
        if self._pages < 2:
            self._pump.close()
        if self not in _kept:
            self._on_close()
            if not self._pages and self._widget is not None:
                # As when a notebook is run by a program. It is not closed at once: JupyterLab ends the
                # subshell of a kind of comms with the last of them, and loses messages of one that has
                # just been opened.
                self._widget.vacate()
                self._vacant = True
            keep(self)

    def _put(self, place: str, update: bool) -> None:
        widget, metadata = self._pump.guarded(self._widget_bundle) or _NOTHING
        self._publish({**widget, **bundle(self.model)}, metadata, place, update)

    def _widget_bundle(self) -> tuple[Bundle, Bundle]:
        return self.widget.bundle()


class Kept(Protocol):
    """What stays behind its widget."""

    def drop(self) -> None:
        """Let go of all."""
        ...


_kept: deque[Kept] = deque()


def keep(display: Kept) -> None:
    """Keep it for pages that come back, until there are many newer ones."""
    _kept.append(display)
    if len(_kept) > _KEPT:
        _kept.popleft().drop()


# --- the notebook around it -----------------------------------------------------------

_with_next_cell: list[Callable[[], None]] = []


def with_next_cell(leave: Callable[[], None]) -> None:
    """Call it when the next cell is run: until then, what is shown keeps its buttons."""
    events = getattr(_shell(), "events", None)
    if events is None:
        return
    if not _with_next_cell:
        events.register("pre_run_cell", _next_cell)
    _with_next_cell.append(leave)


def _next_cell(_info: object = None) -> None:
    _shell().events.unregister("pre_run_cell", _next_cell)
    leaving = list(_with_next_cell)
    _with_next_cell.clear()
    for leave in leaving:
        leave()


def _shell() -> Any:
    get_ipython: Callable[[], Any] | None = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return get_ipython() if get_ipython is not None else None


def to_kernel(
    data: Bundle, metadata: Mapping[str, Any] | None = None, display_id: str = "", update: bool = False
) -> None:
    """Display data in the cell that is running, or in place of what has the display id."""
    from IPython import display

    publish = cast("Any", display).publish_display_data
    transient = {"display_id": display_id} if display_id else {}
    publish(dict(data), dict(metadata or {}), transient=transient, update=update)
