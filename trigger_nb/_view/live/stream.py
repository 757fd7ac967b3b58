"""The events of a run as messages for the live widget.

This file knows neither an event loop nor a widget: the caller asks for the `next` message whenever it may
send one. The work for one message and its size are bounded; further changes come with the next messages.
A snapshot works the same way: all rows count as changed.

For a map, only active and failed items are sent. The others are counted (see `items`), until the user
requests some of them or searches for a text.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

from ..._records.feed import Subscription
from ..._records.records import RunRecord
from ..escape import visible
from ..model.rows import Row
from ..model.run_model import RunModel
from ..render import details
from . import wire
from .map_items import Delay, Items
from .search import Search
from .sent_header import SentHeader
from .wire import Button, Wire

_APPLYING = 0.004  # Seconds for applying events before one message, ...
_WRITING = 0.008  # ... and seconds for the whole work on one message, which includes writing rows.
_BATCH = 100  # Events or rows between two checks of the time.
_FIRST_ROWS = 150  # Rows of the first message, which must be ready at once.
_OPEN = 8  # Rows whose open details are kept up to date, at most.
_DETAILS_PAUSE = 0.4  # Seconds between two updates of the details of one row.
_LOOK_EVERY = 0.9  # Seconds between two questions to the pass: front ends ask once a second.
_NOT_DRAWN = "This cannot be displayed; see the kernel's log."
_T = TypeVar("_T")


class Timer(Protocol):
    """The clocks that measure the work: the module `time`, or the clocks of a test."""

    def thread_time(self) -> float: ...
    def monotonic(self) -> float: ...


class Controls(Protocol):
    """The actions that the widget offers."""

    def buttons(self, run: RunRecord) -> Iterable[Button]:
        """The actions on the run in its current status."""
        ...

    def row_buttons(self, run: RunRecord) -> Iterable[Button]:
        """The actions on a task of the run."""
        ...

    def page(self, run: RunRecord) -> Wire:
        """What a page does for the run beside showing it: see `PAGE` in `wire.py`."""
        ...


class Stream:
    """The messages of one run, in order.

    `next()` returns changes since the previous message. It returns None if it found none in the available
    time; then there may be more to look at (`behind`). A front end that has missed a message tells the number
    of its last one (`hello`) and gets a snapshot.
    """

    def __init__(
        self,
        model: RunModel,
        subscription: Subscription,
        controls: Controls,
        report: Callable[[], None] = lambda: None,
        paths: list[str] | None = None,
        timer: Timer = time,
    ) -> None:
        self.model = model
        self._timer = timer
        self._subscription = subscription
        self._controls = controls
        self._report = report  # called in the handler of an exception that prevents the drawing of one row
        run = model.run
        self._base = round(run.started_at or run.created_at or model.now, 3)
        self._number = 0
        self._restarted = True  # the next message begins a snapshot
        self._in_page = (
            True  # whether the next message goes to pages only; the first one may be saved with the widget
        )
        self._header = SentHeader()
        self._sent: dict[str, Wire] = {}  # by path: the fields of a row as last sent
        # The number of a row is never reused, because an action on the row may be on its way. Therefore the
        # next stream of the same run gets the same `paths`.
        self._paths = [] if paths is None else paths  # by number
        self._index = {path: number for number, path in enumerate(self._paths)}
        self._dirty: dict[str, None] = {}  # paths of rows that may have changed since they were sent
        self._dirty_maps: dict[str, None] = {}  # the same for maps, whose counts are sent after their items
        self._items = Items()  # the selection of map items to send
        self._folding: set[str] = set()  # paths of large maps
        self._gone: dict[int, None] = {}  # numbers of rows that the front end must remove
        self._delay = Delay()
        self._now = 0.0  # time of the current message, by the model's clock
        self._search: Search | None = None
        self._searched = ""
        self._found: dict[str, str] = {}  # by path: where the searched text is in the details of a row
        self._found_unsent: dict[str, None] = {}
        self._looked_at = -math.inf
        self._open: dict[int, _OpenDetails] = {}
        self._answers: list[Wire] = []

    @property
    def pending(self) -> bool:
        """Whether there is anything to send or to take in."""
        return bool(self.behind or self._answers or self._restarted or self._delay)

    @property
    def behind(self) -> bool:
        """Whether there are changes that were not looked at yet, for lack of time."""
        return bool(self.to_take_in or self._dirty or self._dirty_maps or self._search)

    @property
    def to_take_in(self) -> bool:
        """Whether there are events or records that the model has not taken in yet."""
        return self._subscription.pending or not self.model.loaded

    def first(self) -> Wire:
        """The first message, which the front end gets with the widget: the header and some rows."""
        self._restart()
        self._in_page = False
        message = self._message(_FIRST_ROWS)
        self._in_page = True
        assert message is not None
        return message

    def next(self) -> Wire | None:
        """The next message, or None if no change was found."""
        self.take_in()
        return self._message(None)

    def tail(self) -> Wire:
        """An empty message, whose number tells a front end that it has missed the one before."""
        return {"n": self._count(), "now": round(self.model.now, 3)}

    def catch_up(self) -> None:
        """Take in all events, however long it takes, so that the whole model can be drawn."""
        while self.take_in():
            pass

    def take_in(self) -> bool:
        """Take in some events; returns False if there were none."""
        until = self._timer.thread_time() + _APPLYING
        taken = self._continue_search(until)
        for paths in _applied(self._subscription, self.model):
            taken = True
            self._dirty |= dict.fromkeys(paths)
            if self._timer.thread_time() > until:
                break
        return taken

    # --- requests of the front end ------------------------------------------------------

    def hello(self, number: int) -> bool:
        """A front end reports that it has all messages up to this number. Returns whether that is true."""
        if number != self._number:
            self._restart()
            return False
        return True

    def watch(self, index: int, on: bool) -> None:
        """The front end has opened or closed the details of a row."""
        self._close(index)
        if on and (row := self.row(index)) is not None:
            self._open[index] = _OpenDetails()
            self._items.hold(row)
            self._dirty[row.path] = None
            while len(self._open) > _OPEN:
                self._close(next(iter(self._open)))

    def _close(self, index: int) -> None:
        if self._open.pop(index, None) is not None and (row := self.row(index)) is not None:
            self._dirty |= dict.fromkeys(item.path for item in self._items.release(row))

    def show_items(self, index: int, state: str | None) -> None:
        """Send the next items of a map in one state; None withdraws the items that were requested."""
        scope = self.row(index)
        if scope is None or not scope.folds:
            return
        if state is None:
            self._dirty |= dict.fromkeys(self._items.let_go(scope))
        else:
            self._dirty |= dict.fromkeys(item.path for item in self._items.ask(scope, state))

    def look_for(self, text: str) -> None:
        """Send map items that contain a text too, and where it is in the details of all rows; "" ends the search."""
        self._searched, self._found, self._found_unsent = text, {}, {}
        self._search = Search(self.model, text) if text else None
        if not text:
            self._dirty |= dict.fromkeys(self._items.found(()))

    def look(self) -> None:
        """A front end asks what the run waits for: a line of the job's function, or a queue."""
        now = self._timer.monotonic()
        if now - self._looked_at >= _LOOK_EVERY:
            self._looked_at = now
            self._dirty |= dict.fromkeys(self.model.look())

    def answer(self, answer: Wire) -> None:
        """Add the answer to a request to the next message."""
        self._answers.append(answer)

    def path(self, index: int) -> str | None:
        """The path of the row with this number."""
        return self._paths[index] if 0 <= index < len(self._paths) else None

    def number(self, path: str) -> int:
        """The number of the row with this path, also if it was not sent yet."""
        index = self._index.setdefault(path, len(self._paths))
        if index == len(self._paths):
            self._paths.append(path)
        return index

    def row(self, index: int) -> Row | None:
        """The row with this number."""
        return self.model.rows.get(self.path(index) or "")

    # --- messages -----------------------------------------------------------------------

    def _continue_search(self, until: float) -> bool:
        search = self._search
        if search is None:
            return False
        while not search.over and self._timer.thread_time() < until:
            search.advance()
        if search.over:
            self._search = None
        if search.found or search.over:
            self._dirty |= dict.fromkeys(self._items.found(search.items))
            self._found |= search.found
            self._found_unsent |= dict.fromkeys(search.found)
            search.found = {}
        return True

    def _newly_found(self) -> list[tuple[int, str]]:
        """Where the searched text is in the details of rows that the front end has by now."""
        paths = [path for path in self._found_unsent if path in self._sent]
        for path in paths:
            del self._found_unsent[path]
        return [(self._index[path], self._found[path]) for path in paths]

    def _restart(self) -> None:
        if not self.model.loaded:
            self.model.load(_FIRST_ROWS)
        self._restarted = True
        self._header = SentHeader()
        self._sent.clear()  # rows keep their numbers: a request of the front end may be on its way
        self._open.clear()
        self._items.restart()
        self._gone.clear()
        self._found_unsent = dict.fromkeys(self._found)
        self._dirty = {"": None, **{row.path: None for row in self.model.root.standing()}}
        self._dirty |= dict.fromkeys(self._items.wanted)

    def _message(self, most: int | None) -> Wire | None:
        try:
            return self._made(most)
        except Exception:
            self._restart()  # the changes in the failed message are lost
            raise

    def _made(self, most: int | None) -> Wire | None:
        message: Wire = {}
        if self._restarted:
            message["reset"] = True
        rows, run = self._rows(most), self.model.run
        header = wire.header(
            self.model,
            self._base,
            self._controls.buttons(run),
            self._controls.row_buttons(run),
            in_page=self._in_page,
        )
        header |= self._controls.page(run)
        if changed := self._header.changes(self.model, header):
            message["run"] = changed
        if rows:
            message["rows"] = wire.packed(rows)
        if self._gone:
            message["gone"], self._gone = list(self._gone), {}
        if opened := self._details():
            message["details"] = opened
        if found := self._newly_found():
            message["found"] = {"text": self._searched, "rows": found}
        if self._answers:
            message["answers"], self._answers = self._answers, []
        if not message:
            return None
        if self._dirty or not self.model.loaded:
            message["more"] = True
        self._restarted = False
        return {"n": self._count(), "now": round(self.model.now, 3), **message}

    def _count(self) -> int:
        self._number += 1
        return self._number

    def _rows(self, most: int | None) -> list[Wire]:
        """The changed rows, as many as the time allows. A parent comes before its children."""
        until = self._timer.thread_time() + _WRITING - _APPLYING
        rows: list[Wire] = []
        self._now = self.model.now
        for row in self._delay.released(self.model.rows, self._timer.monotonic()):
            self._dirty |= dict.fromkeys((row.path, *(below.path for below in row.standing())))
        dirty = self._dirty
        taken = 0
        while dirty and (most is None or taken < most):
            path = next(iter(dirty))
            del dirty[path]
            if path:
                self._write_if_shown(self.model.rows[path], rows)
            taken += 1
            if taken % _BATCH == 0 and self._timer.thread_time() > until:
                break
        for path in self._dirty_maps:
            if path in self._sent:
                self._write(self.model.rows[path], rows)
        self._dirty_maps.clear()
        return rows

    def _write_if_shown(self, row: Row, rows: list[Wire]) -> None:
        is_sent = row.path in self._sent
        if row.path not in self._folding and row.folds:
            self._folding.add(row.path)
            self._dirty |= {path: None for path in row.children if path in self._sent}
        items = row.items
        outer = items[-1] if items else None
        if (
            is_sent
            or outer is None
            or not self._delay.holds(outer, outer.path in self._sent, self._now, self._timer.monotonic())
        ):
            if self._items.shows(items):
                if is_sent and row.folds:
                    self._dirty_maps[row.path] = None
                else:
                    self._write(row, rows)
                if not is_sent and items and items[0] is row and row.children:
                    self._dirty |= dict.fromkeys(below.path for below in row.standing())
            elif is_sent:
                self._write(row, rows)  # its final state
                self._gone[self._index[row.path]] = None  # the front end removes it, with all rows below it
                for below in (row, *row.walk()):
                    self._sent.pop(below.path, None)
        for item in items:
            if item.parent is not None:
                self._dirty_maps[item.parent.path] = None

    def _write(self, row: Row, rows: list[Wire]) -> None:
        path = row.path
        fields = self._drawn(lambda: wire.row(row, self._base), {"n": visible(path, 160), "e": _NOT_DRAWN})
        if row.folds and (rest := self._items.rest(row)):
            fields["f"] = rest
        before = self._sent.get(path)
        if before is None:
            parent = row.parent
            if parent is not None and parent.path and parent.path not in self._sent:
                self._write(parent, rows)
            index = self.number(path)
            changed = dict(fields)
            if index in self._gone:  # the row returns before the message that would have removed it
                del self._gone[index]
                changed = {**wire.DEFAULTS, **fields}
            if parent is not None and parent.path:
                changed["p"] = self._index[parent.path]
        else:
            index = self._index[path]
            changed = wire.changes(before, fields)
        self._sent[path] = fields
        if (opened := self._open.get(index)) is not None:
            opened.stale = True
        if changed:
            rows.append({"i": index, **changed})

    def _details(self) -> Wire:
        """The changed details of open rows, by row number."""
        changed: Wire = {}
        now = self._timer.monotonic()
        for index, opened in self._open.items():
            if not opened.stale:
                continue
            if now < opened.next_at:
                self._dirty[self._paths[index]] = None  # for a later message
                continue
            row = self.model.rows[self._paths[index]]
            sections = self._drawn(
                lambda row=row: details.as_json(details.sections(self.model, row)),
                [{"label": "Details", "text": _NOT_DRAWN}],
            )
            opened.stale, opened.next_at = False, now + _DETAILS_PAUSE
            if sections != opened.sent:
                opened.sent = sections
                changed[str(index)] = {"sections": sections}
        return changed

    def _drawn(self, draw: Callable[[], _T], instead: _T) -> _T:
        """The result of `draw`, or `instead` if it raises: a fault in one row must not affect other rows."""
        try:
            return draw()
        except Exception:  # noqa: BLE001  # any fault
            self._report()
            return instead


def _applied(subscription: Subscription, model: RunModel) -> Iterator[Iterable[str]]:
    """Apply events and load initial records batch by batch; yields the paths of the changed rows."""
    while events := subscription.take(_BATCH):
        yield model.apply(events)
    while (loaded := model.load(_BATCH)) is not None:
        yield loaded


class _OpenDetails:
    """The state of a row's open details."""

    __slots__ = ("next_at", "sent", "stale")

    def __init__(self) -> None:
        self.stale = True
        self.next_at = 0.0  # the earliest next update, by the monotonic clock
        self.sent: list[Wire] = []
