"""The display of a run below its cells: a live widget, and right after it a snapshot for the file (rule D4)."""

from __future__ import annotations

import asyncio
import contextvars
import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

from ..._records.feed import Feed
from ..._records.status import RunStatus
from ..model.run_model import RunModel
from ..render import snapshot
from ..render.drawing import Drawing
from ..render.snapshot import Bundle
from . import notebook
from .kept import Kept
from .notebook import Publish
from .pump import Controls, Message, Pump, hears_during_cells
from .stream import Timer
from .wire import Wire

if TYPE_CHECKING:
    from .widget import LiveWidget

_STEP = 0.008  # Seconds for which drawing the snapshot may block the loop at a time, ...
_REST = 0.02  # ... and seconds of pause after that.
_REDRAW = 1.0  # Minimum time between two snapshots of a run under way, in seconds.
_REFRESH = 30.0  # Time after which the snapshot of a run is drawn again, ...
_FIRST_REFRESH = 3.0  # ... of one that was just shown, ...
_REFRESH_OF_WAIT = 300.0  # ... and of a run that waits, which needs no kernel (W2).
_LEAVING = 60.0  # Time until a widget is closed: a page that is just being loaded would not hear of it.
_PLACES = 20  # The latest places, whose snapshots are kept up to date.
_kept = Kept(20)  # Widgets of ended runs.


class RunDisplay:
    """The live widget of one run, in all places where the run is displayed, and a snapshot right after it in each.

    The widget stays when the run has ended, until there are many newer ones (`Kept`). The snapshot is what a
    notebook file keeps. It is drawn again at each change of the run's status, and now and then while the run is
    under way. A program that runs the notebook gets no widget, and the snapshot as it is when each cell ends.
    `stay` keeps the widget, because it is part of another one.

    ```python
    display = RunDisplay(lambda: model, feed, asyncio.get_running_loop(), controls)
    display.show()                  # in the cell that starts the run
    ...
    await display.settle()          # before the cell ends, so that its file has the end of the run
    ```

    `left` makes the model of the run as it will be left by a cell that ends now.
    """

    def __init__(
        self,
        make_model: Callable[[], RunModel],
        feed: Feed,
        loop: asyncio.AbstractEventLoop,
        controls: Controls,
        *,
        left: Callable[[], RunModel] | None = None,
        publish: Publish | None = None,
        on_close: Callable[[], None] = lambda: None,
        timer: Timer = time,
    ) -> None:
        self.stay = False
        self._timer = timer
        self._loop = loop
        self._publish = publish or notebook.to_kernel
        self._on_close = on_close
        self._left = left or (lambda: self.model)
        self._is_attended = notebook.is_attended()
        self._widget: LiveWidget | None = None
        self._is_heard = (
            not hears_during_cells()
        )  # whether a page shows the widget. Older kernels cannot know
        self._is_used = False  # whether somebody uses it there: focus, pointer, open details
        self._places: deque[str] = deque(maxlen=_PLACES)  # display ids of snapshots
        self.shows_pass = False  # whether a cell was given the run since its last end
        self._drawn: tuple[str, ...] = ()  # the run's status in the snapshots
        self._drawn_at = 0.0  # when they were drawn, by the loop's clock
        self._has_first = False  # whether one of them is the first of its place, which may be without styles
        self._has_failed = False  # whether they could not be drawn
        self._last: Bundle = {}  # the latest one
        self._drawing: Drawing[Bundle] | None = None  # meanwhile the pump is held
        self._pump = Pump(
            make_model, feed, loop, controls, self._post, after_work=self._redraw_if_due, timer=timer
        )

    @property
    def model(self) -> RunModel:
        """The model that is displayed."""
        return self._pump.model

    @property
    def widget(self) -> LiveWidget:
        """The widget, made when it is first needed, and again after it was closed from outside."""
        if self._widget is None or not self._widget.is_open:
            from .widget import LiveWidget

            self._widget = LiveWidget("run", self._pump.first(), self._receive)
        return self._widget

    @property
    def is_placed(self) -> bool:
        """Whether the run is displayed below a cell."""
        return bool(self._places)

    @property
    def in_use(self) -> bool:
        """Whether the widget must stay."""
        return self._is_used or self.stay or not self.model.ended

    @property
    def size(self) -> int:
        """The number of rows that are kept."""
        return len(self.model.rows)

    def show(self) -> None:
        """Show the run below the running cell."""
        self._pump.guarded(self._show)
        self._pump.schedule(0.0)

    def flush(self) -> None:
        """Show all events so far at once. May be called from any thread."""
        self._pump.flush()
        self._pump.guarded(lambda: self._draw(math.inf))

    async def settle(self) -> None:
        """Show all events so far, in small steps that let the loop run in between."""
        await self._pump.settle()
        while self._drawing is not None:  # noqa: ASYNC110  # takes milliseconds
            await asyncio.sleep(_REST)

    def close(self) -> None:
        """Stop following the run, and close the widget: pages show the snapshots instead."""
        if self._pump.closed:
            return
        self._pump.close()
        self._on_close()
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_later(_LEAVING, self._close_widget)

    def _close_widget(self) -> None:
        if self._widget is not None:
            self._widget.close()

    # --- the widget ---------------------------------------------------------------------

    def _post(self, message: Wire) -> None:
        if self._widget is not None and self._widget.comm is not None:  # else no front end listens
            self._widget.post(message)

    def _receive(self, message: Message) -> None:
        """Handle a message of a front end. May be called from any thread (rule D3)."""
        self._is_heard = True
        match message:
            case {"t": "use", "on": is_used}:
                self._is_used = bool(is_used)
            case {"t": "hello", "new": True}:
                self._is_used = False  # the page was loaded again
            case _:
                pass
        if self._pump.closed:  # a page that was being loaded meanwhile
            self._loop.call_soon_threadsafe(self._close_widget)
        else:
            self._pump.receive(message)

    # --- the snapshots ------------------------------------------------------------------

    def _show(self) -> None:
        if self.model.ended:
            self._pump.catch_up()  # the snapshot of an ended run is complete
            if not self.model.ended:  # started again: the cells of the earlier pass keep how that one ended
                self._places.clear()
        if self._is_attended:
            self._pump.guarded(lambda: self._publish(*self.widget.bundle(), "", False))
        elif not self._places:
            notebook.at_cells(self._at_next_cell, self._at_end_of_cell)
        if not self._places:
            self._drawn = self._status
        self._drawn_at, self._has_first = self._loop.time(), True
        place = f"trigger_nb-{uuid4().hex}"
        # Nobody sees the first one of a run under way, unless the page and the kernel are gone at once.
        first = snapshot.bundle(self.model, advice=self._lacks_widget, styled=not self._is_attended)
        self._place(first, [place], is_new=True)
        self._places.append(place)
        self.shows_pass = not self.model.ended

    def _redraw_if_due(self) -> None:
        wait = self._due_at() - self._loop.time()
        if self._drawing is not None or not self._places or wait == math.inf:
            return
        if wait > 0:
            self._pump.schedule(wait)
            return
        if self.model.ended:
            self._pump.catch_up()  # the snapshot must be complete, and the run may have been resumed just now
        self._drawn, self._drawn_at, self._has_failed = self._status, self._loop.time(), True
        self._has_first = False
        self._pump.hold()
        self._drawing = snapshot.drawing(self.model, advice=self._lacks_widget)
        self._draw(_STEP)

    def _due_at(self) -> float:
        """When to draw: at each change of the run's status, at once at its end; and now and then while it is under way."""
        if self._drawn != self._status:
            return self._drawn_at + (0.0 if self.model.ended or self._has_first else _REDRAW)
        if self.model.ended and not self._has_failed:
            return math.inf
        if self._has_first:
            return self._drawn_at + _FIRST_REFRESH
        waits = self.model.run.status == RunStatus.WAITING
        return self._drawn_at + (_REFRESH_OF_WAIT if waits else _REFRESH)

    @property
    def _status(self) -> tuple[str, ...]:
        return (self.model.run.status, self.model.run.reason)

    @property
    def _lacks_widget(self) -> bool:
        return self._is_attended and not self._is_heard and not self.model.ended

    def _draw(self, seconds: float) -> None:
        """Continue drawing for at most these seconds."""
        until = self._timer.thread_time() + seconds
        while self._drawing is not None:
            try:
                next(self._drawing)
            except BaseException as end:
                self._drawing = None
                self._pump.release()
                if not isinstance(end, StopIteration):
                    raise
                self._place(end.value, self._places)
            else:
                if self._timer.thread_time() > until:
                    step = partial(self._pump.guarded, lambda: self._draw(_STEP))
                    self._loop.call_later(_REST, step, context=contextvars.Context())
                    return

    def _place(self, drawn: Bundle, places: Iterable[str], *, is_new: bool = False) -> None:
        self._last = drawn
        for place in places:
            framed = snapshot.beside_widget(drawn, late=is_new) if self._is_attended else drawn
            self._publish(framed, {}, place, not is_new)
        self._has_failed = False
        self.shows_pass &= not self.model.ended
        if self.model.ended and self._is_attended:
            _kept.put(self)
        elif self.model.ended and not self.stay:
            self.close()

    # --- a program runs the notebook ------------------------------------------------------

    # It ignores updates between two cells, and it may save the file or stop the kernel after each cell.

    def _at_end_of_cell(self) -> None:
        self._pump.guarded(lambda: self._place(snapshot.bundle(self._left()), self._places))

    def _at_next_cell(self) -> bool:
        """Publish again what may have been ignored. Returns whether that was the end."""
        is_over = self._pump.closed
        self._place(self._last, self._places)
        return is_over
