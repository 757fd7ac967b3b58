"""The runs of a store, newest first, and their live list in a notebook."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, overload
from uuid import uuid4

from ._records.records import RunRecord
from ._records.status import RunStatus
from ._runs.awaiting import has_loop
from ._runs.controls import RunControls, which_to_retry, why_no_job
from ._runs.runtime import Runtime
from ._view.live.display import Bundle, in_notebook, keep, to_kernel, with_next_cell
from ._view.live.pump import Message, Pump, outcome
from ._view.live.wire import RUNS_PER_PAGE, Button, Wire
from ._view.render import run_table
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
        if self._query is not None and in_notebook() and has_loop():
            RunList(self._query, asyncio.get_running_loop(), self._bundle).show()
        else:
            to_kernel(self._bundle())

    def _bundle(self) -> Bundle:
        return {"text/html": run_table.as_html(self._records(), self._now), "text/plain": repr(self)}

    def _records(self) -> list[RunRecord]:
        return [run._current for run in self._runs if run._exists]

    def _repr_html_(self) -> str:
        return run_table.as_html(self._records(), self._now)

    def __repr__(self) -> str:
        return run_table.as_text(self._records(), self._now)

    @property
    def _now(self) -> float:
        return self._runs[0]._runtime.clock.time() if self._runs else 0.0  # pyright: ignore[reportPrivateUsage]


_log = logging.getLogger("trigger_nb")


@dataclass(frozen=True, slots=True)
class RunQuery:
    """A selection of a store's runs: by job and by statuses; None selects all."""

    runtime: Runtime
    job: str | None = None
    statuses: tuple[RunStatus, ...] | None = None

    def each(self) -> Iterator[Run]:
        """The runs, newest first, read one by one."""
        records = self.runtime.each_run_record()
        return (Run(self.runtime, record.id) for record in records if self.matches(record))

    def matches(self, record: RunRecord) -> bool:
        """Whether a run belongs to the selection."""
        if self.job is not None and record.job != self.job:
            return False
        return self.statuses is None or Run(self.runtime, record.id).status in self.statuses

    def within(self, job: str, status: str) -> RunQuery:
        """A narrower selection, by job and status; "" does not restrict."""
        chosen = (RunStatus(status),) if status in set(RunStatus) else self.statuses
        return RunQuery(self.runtime, job or self.job, chosen)


class RunList:
    """A live list of runs below a cell, with the tree of the selected run.

    When the next cell runs, a static table replaces the list.
    """

    def __init__(
        self, query: RunQuery, loop: asyncio.AbstractEventLoop, bundle: Callable[[], Bundle]
    ) -> None:
        self._query = query
        self._runtime = query.runtime
        self._loop = loop
        self._bundle = bundle
        self._place = f"trigger_nb-{uuid4().hex}"
        self._open: Pump | None = None
        self._open_run = ""
        self._heard = False  # whether a page shows the list
        self._context = contextvars.Context()  # see `Pump`
        self.widget = _widget(self._receive)

    def show(self) -> None:
        """Show the list below the running cell."""
        data, metadata = self.widget.bundle()
        to_kernel({**data, **self._bundle()}, metadata, self._place, False)
        with_next_cell(self._replace_widget)

    def _replace_widget(self) -> None:
        self._close()
        to_kernel(self._bundle(), {}, self._place, True)
        if not self._heard:
            self.widget.clear()
        keep(self)  # a page that was loaded again can show only the widget

    def dispose(self) -> None:
        """Stop following the selected run and close the widget."""
        self._close()
        self.widget.close()

    # --- messages of the front end ----------------------------------------------------

    def _receive(self, message: Message) -> None:
        """Handle a message. May be called from any thread."""
        self._heard = True
        try:
            self._loop.call_soon_threadsafe(self._take, message, context=self._context)
        except RuntimeError:  # the loop is closed
            return

    def _take(self, message: Message) -> None:
        try:
            self._answer(message)
        except Exception:  # noqa: BLE001  # a display must not affect the notebook
            self._report()

    @staticmethod
    def _report() -> None:
        _log.warning("the list of runs failed", exc_info=True)

    def _answer(self, message: Message) -> None:
        match message:
            case {"t": "page", "id": asked}:
                self._reply(asked, lambda: {"page": self._page(message)})
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
        self.widget.post({"answers": [{"id": asked, **outcome(work, self._report)}]})

    # --- pages ------------------------------------------------------------------------

    def _page(self, message: Message) -> Wire:
        query = self._query.within(str(message.get("job") or ""), str(message.get("status") or ""))
        offset = max(0, int(message.get("offset") or 0))
        among = [record for record in self._runtime.each_run_record() if self._query.matches(record)]
        found = [record.id for record in among if query.matches(record)]
        now = self._runtime.clock.time()
        shown = [Run(self._runtime, run_id)._current for run_id in found[offset : offset + RUNS_PER_PAGE]]
        return {
            "rows": [{**run_table.as_wire(run, now), "actions": self._actions(run)} for run in shown],
            "total": len(found),
            "offset": offset,
            "jobs": sorted({record.job for record in among}),
            "statuses": [str(status) for status in RunStatus],
        }

    def _actions(self, run: RunRecord) -> list[Wire]:
        controls = RunControls(self._runtime, run.id)
        again = Button("again", "Run again", why_no_job(self._runtime, run))
        return [
            controls.button("retry", run).wire(),
            again.wire(),
            controls.button("delete", run).wire(),
        ]

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


def _widget(receive: Callable[[Wire], None]) -> LiveWidget:
    from ._view.live.widget import LiveWidget

    return LiveWidget("runs", {}, receive)
