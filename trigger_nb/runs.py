"""The runs of a store, newest first, and their live list in a notebook."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import dropwhile, islice
from typing import TYPE_CHECKING, Any, overload
from uuid import uuid4

from ._records.feed import Subscription
from ._records.records import RunRecord
from ._records.status import RunStatus
from ._runs.awaiting import has_loop
from ._runs.controls import RunControls, which_to_retry, why_no_job
from ._runs.due import with_waits
from ._runs.runtime import Runtime
from ._view.live import marimo
from ._view.live.kept import Kept
from ._view.live.notebook import in_notebook, is_attended, to_kernel
from ._view.live.pump import Message, Pump, outcome
from ._view.live.wire import RUNS_PER_PAGE, Button, Wire
from ._view.render import run_table, snapshot
from ._view.render.snapshot import Bundle
from .errors import UsageError
from .run import Run

if TYPE_CHECKING:
    from ._view.live.widget import LiveWidget


class Runs(Sequence[Run]):
    """Runs, newest first: a sequence, shown as an interactive list in a notebook and as a table elsewhere.

    ```
    for run in client.runs(status="FAILED"):
        print(run.id, run.error)
    ```
    """

    def __init__(self, runs: list[Run], query: RunQuery | None = None) -> None:
        self._runs = runs
        self._query = query  # None for a slice

    @overload
    def __getitem__(self, index: int) -> Run: ...
    @overload
    def __getitem__(self, index: slice) -> Runs: ...
    def __getitem__(self, index: int | slice) -> Run | Runs:
        return Runs(self._runs[index]) if isinstance(index, slice) else self._runs[index]

    def __len__(self) -> int:
        return len(self._runs)

    def _ipython_display_(self) -> None:
        if self._query is not None and in_notebook() and is_attended() and has_loop():
            RunList(self._query, asyncio.get_running_loop(), self._bundle()).show()
        else:
            to_kernel(self._bundle())

    def _display_(self) -> object:
        """The live list, for marimo."""
        if self._query is None or not has_loop():
            return marimo.as_output(self._repr_html_())
        shown = RunList(self._query, asyncio.get_running_loop(), self._bundle())
        _kept.put(shown)  # its cell closes the widget when it runs again
        return shown.widget

    def _bundle(self) -> Bundle:
        return {"text/html": run_table.as_html(self._records(), self._now), "text/plain": repr(self)}

    def _records(self) -> list[RunRecord]:
        return [with_waits(run._runtime, run._current) for run in self._runs if run._exists]  # pyright: ignore[reportPrivateUsage]

    def _repr_html_(self) -> str:
        return run_table.as_html(self._records(), self._now)

    def __repr__(self) -> str:
        return run_table.as_text(self._records(), self._now)

    @property
    def _now(self) -> float:
        return self._runs[0]._runtime.clock.time() if self._runs else 0.0  # pyright: ignore[reportPrivateUsage]


_log = logging.getLogger("trigger_nb")
_RENEW = 30.0  # Minimum time between two tables of a live list, in seconds.
_kept = Kept(10)  # Live lists.


@dataclass(frozen=True, slots=True)
class RunQuery:
    """A selection of a store's runs: by job and by statuses; None selects all. And those before a run; "" is none."""

    runtime: Runtime
    job: str | None = None
    statuses: tuple[RunStatus, ...] | None = None
    before: str = ""

    def each(self) -> Iterator[Run]:
        """The runs, newest first, read one by one."""
        records = self.runtime.each_run_record()
        if self.before:
            records = islice(dropwhile(lambda record: record.id != self.before, records), 1, None)
        return (Run(self.runtime, record.id) for record in records if self.matches(record))

    def matches(self, record: RunRecord) -> bool:
        """Whether a run belongs to the selection."""
        if self.job is not None and record.job != self.job:
            return False
        return self.statuses is None or Run(self.runtime, record.id).status in self.statuses

    def within(self, job: str, status: str) -> RunQuery:
        """A narrower selection, by job and status; "" does not restrict."""
        chosen = (RunStatus(status),) if status in set(RunStatus) else self.statuses
        return RunQuery(self.runtime, job or self.job, chosen, self.before)


_PAUSE = 0.25  # Minimum time between two looks at the runs, in seconds, ...
_SHARE = 20  # ... which is at least the time that the last look took, times this.
_AFTERWARDS = 1.0  # Seconds until another look: a run that has ended is released only then.
_UNSEEN = 35.0  # Seconds after which a page that has not reported any more is told nothing.


@dataclass(slots=True)
class _View:
    """What a front end shows: the runs of a query, from an offset on."""

    query: RunQuery
    offset: int
    seen_at: float = 0.0  # by the loop's clock
    number: int = 0  # of the last message about it
    page: Wire = field(default_factory=dict[str, Any])  # as last sent


class RunList:
    """A live list of runs below a cell, with the tree of the selected run, and a table right after it for the file.

    Front ends are told what changes: a commit of this kernel tells of the runs themselves, and the feeds of the runs
    that are under way of their tasks. For the commits of other kernels, front ends that show the list ask from time
    to time, which costs nothing if there are none.

    It stays until there are many newer ones (`Kept`).
    """

    def __init__(self, query: RunQuery, loop: asyncio.AbstractEventLoop, table: Bundle) -> None:
        self._query = query
        self._runtime = query.runtime
        self._loop = loop
        self._table = table
        self._table_at = loop.time()
        self._place = f"trigger_nb-{uuid4().hex}"
        self._open: Pump | None = None
        self._open_run = ""
        self._context = contextvars.Context()  # see `Pump`
        self._views: dict[tuple[str, str, int], _View] = {}  # by job, status and offset
        self._followed: dict[str, Subscription] = {}  # by run id: those under way that a front end shows
        self._woken: set[str] = set()  # ids of runs whose tasks have changed
        self._stale = False  # whether the runs themselves may have changed
        self._version = 0  # of the store, when it was last looked at
        self._timer: asyncio.TimerHandle | None = None
        self._look_at = 0.0  # earliest time of the next look, by the loop's clock
        self._stop_watching = self._runtime.store.watch_runs(self._wake_all)
        self.widget = _widget(self._receive)

    def show(self) -> None:
        """Show the list below the running cell."""
        to_kernel(*self.widget.bundle())
        to_kernel(snapshot.beside_widget(self._table, late=True), {}, self._place, False)
        _kept.put(self)

    @property
    def in_use(self) -> bool:
        """Whether somebody looks at one of the runs."""
        return self._open is not None

    @property
    def size(self) -> int:
        """The number of rows of the selected run."""
        return 0 if self._open is None else len(self._open.model.rows)

    def close(self) -> None:
        """Stop following the runs and close the widget: pages show the table instead."""
        self._close()
        self._stop_watching()
        self._views.clear()
        self._follow(set())
        self.widget.close()

    def _renew_table(self) -> None:
        if marimo.in_marimo() or self._loop.time() < self._table_at + _RENEW:
            return
        self._table_at = self._loop.time()
        table = Runs(list(islice(self._query.each(), RUNS_PER_PAGE)))._bundle()  # pyright: ignore[reportPrivateUsage]
        if table["text/plain"] != self._table["text/plain"]:
            self._table = table
            to_kernel(snapshot.beside_widget(table), {}, self._place, True)

    # --- messages of the front end ----------------------------------------------------

    def _receive(self, message: Message) -> None:
        """Handle a message. May be called from any thread."""
        self._on_loop(lambda: self._take(message))

    def _take(self, message: Message) -> None:
        try:
            self._answer(message)
        except Exception:  # noqa: BLE001  # a display must not affect the notebook
            _report()

    def _answer(self, message: Message) -> None:
        match message:
            case {"t": "page", "id": asked}:
                self._reply(asked, lambda: self._opened(message))
            case {"t": "look", "n": number}:
                self._look_for(message, number)
                self._renew_table()
            case {"t": "do", "id": asked, "op": operation, "run": run_id}:
                self._reply(asked, lambda: {"text": self._do(operation, run_id)})
            case {"t": "open", "run": run_id}:
                self._open_one(run_id)
            case {"t": "in", "run": run_id, "message": inner} if run_id == self._open_run and self._open:
                self._open.receive(inner)
            case {"t": "close"}:
                self._close()
            case _:
                pass

    def _reply(self, asked: object, work: Callable[[], Wire]) -> None:
        self.widget.post({"answers": [{"id": asked, **outcome(work, _report)}]})

    # --- pages ------------------------------------------------------------------------

    def _opened(self, message: Message) -> Wire:
        """What a front end that asks for other runs gets; it is told of changes from now on."""
        view = self._view(message)
        self._version = self._runtime.store.version()
        view.page = self._page(view)
        view.number += 1
        self._follow_shown()
        return {"page": view.page, "n": view.number, "now": self._runtime.clock.time()}

    def _view(self, message: Message) -> _View:
        job, status = str(message.get("job") or ""), str(message.get("status") or "")
        offset = max(0, int(message.get("offset") or 0))
        query = self._query.within(job, status)
        view = self._views.setdefault((job, status, offset), _View(query, offset))
        view.seen_at = self._loop.time()
        return view

    def _look_for(self, message: Message, number: int) -> None:
        """A front end that shows the list has message `number`, and asks what other kernels have changed."""
        view = self._view(message)
        if number != view.number or not view.page:
            view.page = {}
            self._stale = True
        elif self._version != self._runtime.store.version() or self._is_driven_elsewhere(view):
            self._stale = True
        if self._stale:
            self._plan()

    def _is_driven_elsewhere(self, view: _View) -> bool:
        """Whether the view shows a run of another kernel, whose end, if that dies, no commit tells."""
        under_way = (line["id"] for line in view.page["rows"] if "since" in line)
        return any(run_id not in self._runtime.executions for run_id in under_way)

    def _page(self, view: _View) -> Wire:
        among = [record for record in self._runtime.each_run_record() if self._query.matches(record)]
        found = [record.id for record in among if view.query.matches(record)]
        return {
            "rows": [self._line(run_id) for run_id in found[view.offset : view.offset + RUNS_PER_PAGE]],
            "total": len(found),
            "offset": view.offset,
            "jobs": sorted({record.job for record in among}),
            "statuses": [str(status) for status in RunStatus],
        }

    def _line(self, run_id: str) -> Wire:
        run = with_waits(self._runtime, Run(self._runtime, run_id)._current)
        return {**run_table.as_wire(run, self._runtime.clock.time()), "actions": _actions(self._runtime, run)}

    def _do(self, operation: str, run_id: str) -> str:
        """Perform an action. Returns a message for the user, or ""."""
        run = Run(self._runtime, run_id)
        match operation:
            case "retry":
                run.retry(which_to_retry(run._record))
            case "delete":
                run.delete()
            case "again":
                return f"Started {self._again(run).id}"
            case _:
                raise UsageError(f"there is no action {operation!r}")
        return ""

    def _again(self, run: Run) -> Run:
        if why := why_no_job(self._runtime, run._current):
            raise UsageError(why)
        return self._runtime.jobs[run.job].start(run.payload, fresh=True, display=False)

    # --- what changes -----------------------------------------------------------------

    def _wake_all(self) -> None:
        """The record of some run has changed. Called on any thread."""
        self._stale = True
        self._on_loop(self._plan)

    def _wake(self, run_id: str) -> None:
        """Tasks of a run have changed. Called on any thread."""
        self._woken.add(run_id)
        self._on_loop(self._plan)

    def _on_loop(self, call: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(call, context=self._context)

    def _plan(self, delay: float = 0.0) -> None:
        if self._timer is None and self._views:
            when = max(self._loop.time() + delay, self._look_at)
            self._timer = self._loop.call_at(when, self._look, context=self._context)

    def _look(self) -> None:
        self._timer = None
        began = self._loop.time()
        try:
            self._tell_views()
        except Exception:  # noqa: BLE001  # a display must not affect the notebook
            _report()
        self._look_at = self._loop.time() + max(_PAUSE, _SHARE * (self._loop.time() - began))

    def _tell_views(self) -> None:
        unseen = self._loop.time() - _UNSEEN
        self._views = {key: view for key, view in self._views.items() if view.seen_at >= unseen}
        was_stale, self._stale = self._stale, False
        woken, self._woken = self._woken, set()
        for run_id in woken & self._followed.keys():
            self._followed[run_id].take()
        self._version = self._runtime.store.version()
        for key, view in self._views.items():
            page = self._page(view) if was_stale else self._with_lines(view, woken)
            if changed := _changes(view.page, page):
                view.page = page
                view.number += 1
                now = self._runtime.clock.time()
                self.widget.post({"of": key, "n": view.number, "now": now, "page": changed})
        self._follow_shown()
        if was_stale:
            self._loop.call_later(_AFTERWARDS, self._look_once_more, context=self._context)

    def _with_lines(self, view: _View, changed: set[str]) -> Wire:
        lines = [self._line(line["id"]) if line["id"] in changed else line for line in view.page["rows"]]
        return {**view.page, "rows": lines}

    def _look_once_more(self) -> None:
        self._woken |= {line["id"] for view in self._views.values() for line in view.page["rows"]}
        self._plan()

    def _follow_shown(self) -> None:
        shown = {line["id"] for view in self._views.values() for line in view.page["rows"]}
        self._follow(shown & self._runtime.executions.keys())

    def _follow(self, run_ids: set[str]) -> None:
        """Follow the tasks of these runs, and of no others."""
        for run_id in self._followed.keys() - run_ids:
            self._followed.pop(run_id).close()
        for run_id in run_ids - self._followed.keys():
            self._followed[run_id] = self._runtime.feed(run_id).subscribe(partial(self._wake, run_id))

    # --- the selected run -------------------------------------------------------------

    def _open_one(self, run_id: str) -> None:
        self._close()
        run = Run(self._runtime, run_id)
        self._open_run = run_id
        self._open = Pump(
            lambda: run.model(lazy=True),
            self._runtime.feed(run_id),
            self._loop,
            RunControls(self._runtime, run_id),
            lambda update: self.widget.post({"open": run_id, "update": update}),
        )
        self.widget.post({"open": run_id, "update": self._open.first()})

    def _close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open, self._open_run = None, ""


def _report() -> None:
    _log.warning("the list of runs failed", exc_info=True)


def _actions(runtime: Runtime, run: RunRecord) -> list[Wire]:
    controls = RunControls(runtime, run.id)
    again = Button("again", "Run again", why_no_job(runtime, run))
    return [controls.button("retry", run).wire(), again.wire(), controls.button("delete", run).wire()]


def _changes(before: Wire, after: Wire) -> Wire:
    """What a front end must be told of a page: of the runs that it has, only those that have changed."""
    changed = {name: value for name, value in after.items() if before.get(name) != value}
    if "rows" in changed and before:
        had = {line["id"]: line for line in before["rows"]}
        changed["rows"] = [line for line in after["rows"] if had.get(line["id"]) != line]
        changed["order"] = [line["id"] for line in after["rows"]]
    return changed


def _widget(receive: Callable[[Wire], None]) -> LiveWidget:
    from ._view.live.widget import LiveWidget

    return LiveWidget("runs", {}, receive)
