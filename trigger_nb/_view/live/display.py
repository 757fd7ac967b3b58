"""The display of a run below its cells: a live widget, and static HTML after the end (rule D4)."""

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

from ..._records.feed import Feed
from ..._records.status import RunStatus
from ...errors import TriggerError
from ..model.run_model import RunModel
from ..render import html, text
from .pump import Controls, Message, Pump, hears_during_cells
from .stream import Timer
from .wire import Wire

if TYPE_CHECKING:
    from .widget import LiveWidget

_log = logging.getLogger("trigger_nb")
_STEP = 0.008  # Seconds for which drawing static HTML may block the loop at a time, ...
_REST = 0.02  # ... and seconds of pause after that.
_REDRAW = 1.0  # Minimum time between two updates of the HTML and text beside the widget, in seconds.
_UNSEEN = 0.5  # Seconds that the cell of a failed run waits for a page to show the buttons.
_KEPT = 20  # Widgets of ended runs that are kept, for pages that are loaded again.
Bundle: TypeAlias = Mapping[str, object]  # data by MIME type
# Called with data, metadata, the display id, and whether to update an existing output.
Publish: TypeAlias = Callable[[Bundle, Bundle, str, bool], None]
_NOTHING: tuple[Bundle, Bundle] = ({}, {})


def in_notebook() -> bool:
    """Whether this is a Jupyter kernel. Does not import IPython."""
    return getattr(_shell(), "kernel", None) is not None


def cell_number() -> int:
    """The number of cells that this kernel has run; -1 outside of a notebook."""
    return getattr(_shell(), "execution_count", -1)


def bundle(model: RunModel) -> Bundle:
    """The run as HTML and text, for front ends without widgets."""
    if not model.ended:
        return {"text/html": html.live(model), "text/plain": text.excerpt(model)}
    return {"text/html": html.final(model), "text/plain": text.tree(model)}


def _drawing(model: RunModel) -> Generator[None, None, Bundle]:
    """Draw the static HTML and text of an ended run, in steps of a few ms. The model must not change meanwhile."""
    parts: list[str] = []
    for part in html.final_parts(model):
        parts.append(part)
        yield
    plain = text.tree(model)
    yield
    return {"text/html": "".join(parts), "text/plain": plain}


class RunDisplay:
    """The live widget of one run, in all places where the run is displayed.

    When the run is COMPLETED or CANCELED, static HTML replaces the widget in all places. A run that FAILED or
    was INTERRUPTED keeps its buttons until the next cell runs. A notebook file contains no widgets, so only
    the static HTML is visible when it is opened again. `stay` keeps the widget at the end, because it is part
    of another one.

    ```python
    display = RunDisplay(lambda: model, feed, asyncio.get_running_loop(), controls)
    display.show()                  # in the cell that starts the run
    ...
    await display.settle()          # before the cell ends, so that the page shows the end of the run
    ```
    """

    def __init__(
        self,
        make_model: Callable[[], RunModel],
        feed: Feed,
        loop: asyncio.AbstractEventLoop,
        controls: Controls,
        *,
        publish: Publish | None = None,
        on_close: Callable[[], None] = lambda: None,
        timer: Timer = time,
    ) -> None:
        self.stay = False
        self._timer = timer
        self._loop = loop
        self._publish = publish or to_kernel
        self._on_close = on_close
        self._widget: LiveWidget | None = None
        self._cleared = False  # whether the widget is empty because static HTML has replaced it
        self._pages = 0  # number of pages that have reported that they show the widget
        self._places: list[str] = []  # display ids, one for each place
        self._beside: tuple[str, ...] = ()  # the run's status when the places were last drawn
        self._redraw_at = 0.0  # earliest time of the next drawing, by the loop's clock
        # While static HTML is being drawn, the pump is held.
        self._drawing: Generator[None, None, Bundle] | None = None
        paths: list[str] = []  # by number: the paths of all rows that were ever sent to the widget
        self._make_pump = lambda: Pump(
            make_model,
            feed,
            loop,
            controls,
            self._post,
            after_work=self._update_places,
            paths=paths,
            timer=timer,
        )
        self._pump = self._make_pump()

    @property
    def model(self) -> RunModel:
        """The model that is displayed."""
        return self._pump.model

    @property
    def widget(self) -> LiveWidget:
        """The widget, made when it is first needed, and again after it was closed from outside."""
        if self._widget is None or self._widget.comm is None:
            from .widget import LiveWidget

            self._widget = LiveWidget("run", self._pump.first(), self._receive)
        return self._widget

    def show(self) -> None:
        """Show the run below the running cell."""
        self._pump.guarded(self._show)
        self._pump.schedule(0.0)

    def flush(self) -> None:
        """Show all events so far at once. May be called from any thread."""
        self._pump.guarded(lambda: self._draw(None))
        self._pump.flush()
        self._pump.guarded(lambda: self._draw(None))

    async def settle(self) -> None:
        """Show all events so far, in small steps that let the loop run in between."""
        await self._drawn()
        await self._pump.settle()
        await self._drawn()
        if self._keeps_buttons and not await self._is_seen():
            self.replace_widget()

    @property
    def _keeps_buttons(self) -> bool:
        return self.model.ended and bool(self._places)

    async def _is_seen(self) -> bool:
        """Whether a page shows the widget. If a program runs the notebook, no page does, and the cell must leave
        static HTML, because there may be no next cell."""
        if not hears_during_cells():
            return True  # unknown
        until = self._timer.monotonic() + _UNSEEN
        while not self._pages and self._timer.monotonic() < until:  # noqa: ASYNC110  # pages report at any time
            await asyncio.sleep(_REST)
        return self._pages > 0

    async def _drawn(self) -> None:
        while self.is_replacing:  # noqa: ASYNC110  # takes milliseconds
            await asyncio.sleep(_REST)

    @property
    def is_replacing(self) -> bool:
        """Whether the static HTML that replaces the widget is being drawn."""
        return self._drawing is not None

    def replace_widget(self) -> None:
        """Replace the widget with static HTML in all places, if the run has ended."""
        self._pump.guarded(self._replace_if_ended)

    def close(self) -> None:
        """Stop following the run. The outputs stay."""
        if not self._pump.closed:
            self._pump.close()
            self._on_close()

    # --- pages that are loaded again --------------------------------------------------

    # A page that is loaded again knows the widget from its notebook file, but no display ids. There, static
    # HTML cannot replace the widget, and the page would show an error if the widget were closed at the end.

    def _receive(self, message: Message) -> None:
        """Handle a message of a front end. May be called from any thread (rule D3)."""
        if self._cleared:  # too late: static HTML has replaced the widget
            return
        is_new = isinstance(message, dict) and message.get("t") == "hello" and bool(message.get("new"))
        self._pages += is_new
        if not self._pump.closed:
            self._pump.receive(message)
        elif is_new:
            self._loop.call_soon_threadsafe(self._revive, message, context=contextvars.Context())

    def _revive(self, hello: Message) -> None:
        try:
            if self._pump.closed:  # not revived by another page
                self._pump = self._make_pump()
        except TriggerError:
            _log.warning("a page shows a run that does not exist any more", exc_info=True)
        else:
            self._pump.receive(hello)

    def dispose(self) -> None:
        """Stop following the run and close the widget."""
        self._pump.close()
        if self._widget is not None:
            self._widget.close()

    # --- the places -------------------------------------------------------------------

    @property
    def _status(self) -> tuple[str, ...]:
        return (self.model.run.status, self.model.run.reason)

    def _post(self, message: Wire) -> None:
        if self._widget is not None and self._widget.comm is not None:  # else no front end listens
            self._widget.post(message)

    def _show(self) -> None:
        if self.model.ended:
            self._pump.catch_up()  # the static HTML is shown too and must be complete
        if not self._places:
            self._beside = self._status
        place = f"trigger_nb-{uuid4().hex}"
        self._put(place, False)
        self._places.append(place)
        if self.model.ended:
            with_next_cell(self.replace_widget)

    def _update_places(self) -> None:
        """Update the HTML and text in all places if the run's status has changed."""
        if self._status == self._beside:
            return
        if self.model.ended:
            self._pump.catch_up()  # the static HTML must be complete, and the run may have been resumed just now
        wait = self._redraw_at - self._loop.time()
        if wait > 0 and not self.model.ended:
            self._pump.schedule(wait)
            return
        self._redraw_at = self._loop.time() + _REDRAW
        if self.model.run.status in (RunStatus.COMPLETED, RunStatus.CANCELED):
            self._start_replacing()
        else:
            for place in self._places:
                self._put(place, True)
            if self.model.ended:
                with_next_cell(self.replace_widget)
        self._beside = self._status  # last, so that a failure is tried again

    def _replace_if_ended(self) -> None:
        self._pump.catch_up()
        if self.model.ended and not self.is_replacing:
            self._start_replacing()
        self._draw(None)

    def _start_replacing(self) -> None:
        self._pump.hold()
        self._drawing = _drawing(self.model)
        self._draw(_STEP)

    def _draw(self, seconds: float | None) -> None:
        """Continue drawing the static HTML, for at most `seconds` or to the end."""
        until = None if seconds is None else self._timer.thread_time() + seconds
        while self._drawing is not None:
            try:
                next(self._drawing)
            except StopIteration as done:
                self._stop_drawing()
                self._finish_replacing(done.value)
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

    def _finish_replacing(self, static: Bundle) -> None:
        for place in self._places:
            self._publish(static, {}, place, True)
        self._places.clear()
        if self.stay:
            return
        if self._pages < 2:
            self._pump.close()
        if self not in _kept:
            self._on_close()
            if not self._pages and self._widget is not None:
                # No page shows the widget, for example because a program runs the notebook. Do not close it
                # at once: JupyterLab ends the subshell of a type of comms with the last comm of that type, and
                # then loses messages of a comm that was just opened.
                self._widget.clear()
                self._cleared = True
            keep(self)

    def _put(self, place: str, update: bool) -> None:
        widget, metadata = self._pump.guarded(self._widget_bundle) or _NOTHING
        self._publish({**widget, **bundle(self.model)}, metadata, place, update)

    def _widget_bundle(self) -> tuple[Bundle, Bundle]:
        return self.widget.bundle()


class Kept(Protocol):
    """A display whose widget is kept after its end."""

    def dispose(self) -> None:
        """Close the widget."""
        ...


_kept: deque[Kept] = deque()


def keep(display: Kept) -> None:
    """Keep a display for pages that are loaded again, until there are many newer ones."""
    _kept.append(display)
    if len(_kept) > _KEPT:
        _kept.popleft().dispose()


# --- the notebook ---------------------------------------------------------------------
_with_next_cell: list[Callable[[], None]] = []


def with_next_cell(call: Callable[[], None]) -> None:
    """Call `call` when the next cell runs."""
    events = getattr(_shell(), "events", None)
    if events is None:
        return
    if not _with_next_cell:
        events.register("pre_run_cell", _next_cell)
    _with_next_cell.append(call)


def _next_cell(_info: object = None) -> None:
    _shell().events.unregister("pre_run_cell", _next_cell)
    calls = list(_with_next_cell)
    _with_next_cell.clear()
    for call in calls:
        call()


def _shell() -> Any:
    get_ipython: Callable[[], Any] | None = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return get_ipython() if get_ipython is not None else None


def to_kernel(
    data: Bundle, metadata: Bundle | None = None, display_id: str = "", update: bool = False
) -> None:
    """Display data below the running cell, or update the output with this display id."""
    from IPython import display

    publish = cast("Any", display).publish_display_data
    transient = {"display_id": display_id} if display_id else {}
    publish(dict(data), dict(metadata or {}), transient=transient, update=update)
