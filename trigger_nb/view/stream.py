"""What happens in a run, as messages for the live widget.

There is neither a loop nor a widget in here: whoever has them asks for the `next` message, as often
as it may send one. However much has happened, the work for one message is bounded, and so is its
size; the rest comes with the following ones. A snapshot is the same: all rows are as if changed.

Of a map it sends the items that are under way or have failed; the others are counted (`items`), until
somebody asks for some of them or looks for a text.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeVar

from .._feed import Subscription
from .._records import RunRecord
from . import details, wire
from .escape import visible
from .items import Items, Search
from .model import RunModel
from .rows import Row, State
from .wire import Button, Wire

_APPLYING = 0.004  # Seconds in which events are taken in for one message, ...
_WRITING = 0.008  # ... and until which rows are written, both from the beginning of the work for it.
_BATCH = 100  # How many events or rows go by between looks at the time.
_FIRST_ROWS = 150  # A first picture is there at once; what it leaves out follows.
_FLEETING = 0.3  # Seconds that an item of a large map has run before it is shown: nobody could read it.
_OPEN = 8  # How many rows can have open details that are kept up to date.
_DETAILS_PAUSE = 0.4  # Seconds between two messages with the details of one row.
_NOT_DRAWN = "This cannot be shown; the kernel's log says why."

_T = TypeVar("_T")


class Timer(Protocol):
    """How long work takes: the module `time`, or a test's own."""

    def thread_time(self) -> float: ...
    def monotonic(self) -> float: ...


class Controls(Protocol):
    """What the widget can do to its run."""

    def buttons(self, run: RunRecord) -> Iterable[Button]:
        """The actions on the run, as it stands."""
        ...

    def row_buttons(self, run: RunRecord) -> Iterable[Button]:
        """The actions on a task of it."""
        ...


class Stream:
    """The messages of one run, in their order.

    `next()` is what has changed since the message before; None when it has found nothing to tell in the
    time that it has, and then there may be more to look at (`behind`). A front end that has missed one
    says which it has (`hello`), and gets everything again.
    """

    def __init__(
        self, model: RunModel, subscription: Subscription, controls: Controls,
        report: Callable[[], None] = lambda: None, paths: list[str] | None = None, timer: Timer = time,
    ) -> None:  # fmt: skip
        self.model = model
        self._timer = timer
        self._subscription = subscription
        self._controls = controls
        self._report = report  # called while a fault is handled that keeps one row from being drawn
        run = model.run
        self._base = round(run.started_at or run.created_at or model.now, 3)
        self._number = 0
        self._restarted = True  # the next message begins a snapshot
        self._header: Wire = {}
        self._clock: tuple[Any, ...] = ()  # what the run's clock was sent for
        self._sent: dict[str, Wire] = {}  # by path: a row's fields, as they were sent last
        # By path: a row's number. It is never another one's: an action may be on its way. So what shows
        # the run after this one goes on with the same `paths`.
        self._paths = [] if paths is None else paths  # by number
        self._index = {path: number for number, path in enumerate(self._paths)}
        self._dirty: dict[str, None] = {}  # paths of rows that may look different by now
        self._dirty_maps: dict[str, None] = {}  # the same: maps, whose counts come after what they count
        self._items = Items()  # those of maps that are sent
        self._folding: set[str] = set()  # paths of the maps of which not all items are sent
        self._gone: dict[int, None] = {}  # numbers of items that are not shown any more
        self._fleeting: dict[str, float] = {}  # by path of an item that has just begun: when that was noticed
        self._stayed: set[str] = set()  # paths of those that run on
        self._now = 0.0  # by the model's clock, while a message is made
        self._search: Search | None = None
        self._open: dict[int, _OpenDetails] = {}
        self._answers: list[Wire] = []

    @property
    def pending(self) -> bool:
        """Whether there is something to send at once, or to take in."""
        return bool(self.behind or self._answers or self._restarted or self._fleeting)

    @property
    def behind(self) -> bool:
        """Whether there is something that it has not looked at yet, for want of time."""
        return bool(self.to_take_in or self._dirty or self._dirty_maps or self._search)

    @property
    def to_take_in(self) -> bool:
        """Whether something has happened that the model does not know yet."""
        return self._subscription.pending or not self.model.loaded

    def first(self) -> Wire:
        """A first picture, which a front end has before it can ask: the header and some rows."""
        self._restart()
        message = self._message(_FIRST_ROWS)
        assert message is not None
        return message

    def next(self) -> Wire | None:
        """The next message; None when it has found nothing to tell."""
        self.take_in()
        return self._message(None)

    def tail(self) -> Wire:
        """A message that says nothing: by its number a front end sees that it missed the one before."""
        return {"n": self._count(), "now": round(self.model.now, 3)}

    def catch_up(self) -> None:
        """Take in all that has happened, for whoever draws the model; it may take its time."""
        while self.take_in():
            pass

    def take_in(self) -> bool:
        """Take in a little of what has happened; False when nothing was left."""
        until = self._timer.thread_time() + _APPLYING
        taken = self._go_on_searching(until)
        for paths in self._apply_batches():
            taken = True
            self._dirty |= dict.fromkeys(paths)
            if self._timer.thread_time() > until:
                break
        return taken

    # --- what the front end says --------------------------------------------------------

    def hello(self, number: int) -> None:
        """A front end is there, and has all messages up to this number."""
        if number != self._number:
            self._restart()

    def watch(self, index: int, on: bool) -> None:
        """The details of a row are open, or are not any more."""
        self._close(index)
        if on and (row := self._row(index)) is not None:
            self._open[index] = _OpenDetails()
            self._items.hold(row)
            self._dirty[row.path] = None
            while len(self._open) > _OPEN:
                self._close(next(iter(self._open)))

    def _close(self, index: int) -> None:
        if self._open.pop(index, None) is not None and (row := self._row(index)) is not None:
            self._dirty |= dict.fromkeys(item.path for item in self._items.release(row))

    def show_items(self, index: int, state: str | None) -> None:
        """Send the next items of a map that are in a state; with None, those no more that were asked for."""
        scope = self._row(index)
        if scope is None or not scope.folds:
            return
        if state is None:
            self._dirty |= dict.fromkeys(self._items.let_go(scope))
        else:
            self._dirty |= dict.fromkeys(item.path for item in self._items.ask(scope, state))

    def look_for(self, text: str) -> None:
        """Send the items of maps that have a text in their names, too; "" for no more."""
        self._search = None
        if text:
            maps = [row for row in self.model.root.standing() if row.folds]
            self._search = Search(maps, text)
        else:
            self._dirty |= dict.fromkeys(self._items.found(()))

    def answer(self, answer: Wire) -> None:
        """Something for the next message: what has become of a request."""
        self._answers.append(answer)

    def path(self, index: int) -> str | None:
        """The path of the row of that number."""
        return self._paths[index] if 0 <= index < len(self._paths) else None

    def _row(self, index: int) -> Row | None:
        return self.model.rows.get(self.path(index) or "")

    # --- inside -------------------------------------------------------------------------

    def _apply_batches(self) -> Iterator[Iterable[str]]:
        """Apply what has happened and load what was there before, a batch at a time; the paths of its rows."""
        while events := self._subscription.take(_BATCH):
            yield self.model.apply(events)
        while (loaded := self.model.load(_BATCH)) is not None:
            yield loaded

    def _go_on_searching(self, until: float) -> bool:
        search = self._search
        if search is None:
            return False
        while not search.over and self._timer.thread_time() < until:
            search.go_on(_BATCH)
        if search.over:
            self._search = None
            self._dirty |= dict.fromkeys(self._items.found(search.paths))
        return True

    def _restart(self) -> None:
        if not self.model.loaded:
            self.model.load(_FIRST_ROWS)
        self._restarted = True
        self._header, self._clock = {}, ()
        self._sent.clear()  # but a row keeps its number: a front end's request may be on its way
        self._open.clear()
        self._items.restart()
        self._gone.clear()
        self._dirty = {"": None, **{row.path: None for row in self.model.root.standing()}}
        self._dirty |= dict.fromkeys(self._items.wanted)

    def _message(self, most: int | None) -> Wire | None:
        try:
            return self._made(most)
        except Exception:
            self._restart()  # what was to go out with it has not
            raise

    def _made(self, most: int | None) -> Wire | None:
        message: Wire = {}
        if self._restarted:
            message["reset"] = True
        rows = self._rows(most)
        if header := self._header_changes():
            message["run"] = header
        if rows:
            message["rows"] = wire.packed(rows)
        if self._gone:
            message["gone"], self._gone = list(self._gone), {}
        if opened := self._details():
            message["details"] = opened
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
        """Changed rows, until the time is up. What a row is in goes before it."""
        until = self._timer.thread_time() + _WRITING - _APPLYING
        rows: list[Wire] = []
        self._look_at_fleeting()
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
        if is_sent or not items or not self._is_fleeting(items[-1]):
            if self._items.shows(items):
                if is_sent and row.folds:
                    self._dirty_maps[row.path] = None
                else:
                    self._write(row, rows)
                if not is_sent and items and items[0] is row and row.children:
                    self._dirty |= dict.fromkeys(below.path for below in row.standing())
            elif is_sent:
                self._write(row, rows)  # what has become of it
                self._withdraw(row)
        for item in items:
            if item.parent is not None:
                self._dirty_maps[item.parent.path] = None

    def _is_fleeting(self, item: Row) -> bool:
        """Whether it has begun only just now, and may be over in no time."""
        if item.state is not State.RUNNING:
            self._stayed.discard(item.path)
            return False
        if item.path in self._sent or item.path in self._stayed or item.record is None:
            return False
        if self._now - item.record.started_at >= _FLEETING:
            return False
        self._fleeting.setdefault(item.path, self._timer.monotonic())
        return True

    def _look_at_fleeting(self) -> None:
        """Show those that have stayed."""
        self._now, now = self.model.now, self._timer.monotonic()
        for path, noticed_at in list(self._fleeting.items()):
            row = self.model.rows[path]
            if row.state is not State.RUNNING:
                del self._fleeting[path]
            elif now - noticed_at >= _FLEETING:
                del self._fleeting[path]
                self._stayed.add(path)
                self._dirty |= dict.fromkeys((path, *(below.path for below in row.standing())))

    def _withdraw(self, row: Row) -> None:
        """A front end forgets the row, and what is in it."""
        self._gone[self._index[row.path]] = None
        for below in (row, *row.walk()):
            self._sent.pop(below.path, None)

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
            index = self._number_of(path)
            changed = dict(fields)
            if index in self._gone:  # it comes back in the message that would have taken it away
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

    def _number_of(self, path: str) -> int:
        if path not in self._index:
            self._index[path] = len(self._paths)
            self._paths.append(path)
        return self._index[path]

    def _header_changes(self) -> Wire:
        model = self.model
        header = wire.header(
            model, self._base, self._controls.buttons(model.run), self._controls.row_buttons(model.run)
        )
        changed = {name: value for name, value in header.items() if self._header.get(name, _UNSENT) != value}
        self._header = header
        run = model.run
        clock = (run.status, run.reason, run.passes, run.worked, model.ended)
        if clock != self._clock:
            self._clock = clock
            changed |= wire.clock(model)
        return changed

    def _details(self) -> Wire:
        """The details of opened rows that have changed, by number."""
        changed: Wire = {}
        now = self._timer.monotonic()
        for index, opened in self._open.items():
            if not opened.stale:
                continue
            if now < opened.next_at:
                self._dirty[self._paths[index]] = None  # its turn comes
                continue
            row = self.model.rows[self._paths[index]]
            told = self._drawn(
                lambda row=row: details.as_json(details.sections(self.model, row)),
                [{"label": "Details", "text": _NOT_DRAWN}],
            )
            opened.stale, opened.next_at = False, now + _DETAILS_PAUSE
            if told != opened.sent:
                opened.sent = told
                changed[str(index)] = {"sections": told}
        return changed

    def _drawn(self, draw: Callable[[], _T], instead: _T) -> _T:
        """A fault in one row must not keep the others away."""
        try:
            return draw()
        except Exception:  # noqa: BLE001  # whatever it is
            self._report()
            return instead


class _OpenDetails:
    """The details of a row that somebody looks at."""

    __slots__ = ("next_at", "sent", "stale")

    def __init__(self) -> None:
        self.stale = True
        self.next_at = 0.0  # when they may be sent again, by the monotonic clock
        self.sent: list[Wire] = []


_UNSENT: Any = object()
