"""The live display of a run in this kernel: its model, its widget, and the cell that shows it."""

from __future__ import annotations

import asyncio
import logging
from functools import lru_cache, partial
from itertools import islice

from .._engine.stopping import Stop
from .._main_file import near
from .._records.records import RunRecord
from .._records.status import RunStatus
from .._view.live import marimo
from .._view.live.display import RunDisplay
from .._view.model.rows import LISTED
from .._view.model.run_model import RunModel
from .._view.model.standstill import Standstill
from ..errors import StoreError, UsageError
from .awaiting import has_loop
from .controls import RunControls
from .due import with_standing
from .runtime import Runtime

_log = logging.getLogger("trigger_nb")


def current_record(runtime: Runtime, run_id: str) -> RunRecord:
    """A copy of the record of a run, with the current status and the current counts of tasks."""
    run = runtime.require_run(run_id)
    current = run.copy(status=runtime.status_of(run))
    active = runtime.executions.get(run_id)
    if active is not None and active.pass_ is not None:
        current.counts = active.pass_.ledger.counts()
    return current


def _left_by_cell(runtime: Runtime, run_id: str) -> RunRecord:
    """The current record of a run. If it is being stopped, with the status that it is going to have."""
    run = current_record(runtime, run_id)
    active = runtime.executions.get(run_id)
    match active.pass_.stopping.why if active is not None and active.pass_ is not None else None:
        case Stop.CANCEL:
            run.status, run.reason = RunStatus.CANCELED, ""
        case Stop.PAUSE:
            run.status, run.reason = RunStatus.WAITING, "paused"
        case _:
            pass
    return run


def make_model(
    runtime: Runtime, run_id: str, *, lazy: bool = False, run: RunRecord | None = None
) -> RunModel:
    """The rows of the tree of a run. `lazy`: for a live display, which reads long values and estimates later.

    `run` is its record, if that is known.
    """
    run = with_standing(runtime, run or current_record(runtime, run_id))
    pass_ = runtime.passes.get(run_id)

    def look_back() -> None:
        active = runtime.executions.get(run_id)
        if active is not None:
            active.look_back()

    def look() -> Standstill:
        active = runtime.executions.get(run_id)
        return Standstill() if active is None else active.whereabouts.look(active.pass_)

    model = RunModel(
        run,
        runtime.each_task_record(run_id, running=True),
        seen=None if pass_ is None else pass_.sightings(),
        hints=run.hints if pass_ is None else pass_.header.hints,
        store=near(runtime.store.directory),
        store_at=str(runtime.store.directory),
        clock=runtime.clock,
        lazy=lazy,
        read=partial(runtime.stored_task, run_id),
        look_back=look_back,
        look=look,
        rows_before=_rows_before(runtime, run) if lazy else 0,
        picture=lru_cache(8)(partial(runtime.picture, run_id)),
    )
    if not lazy:
        model.look()
    if run.status == RunStatus.RUNNING and not lazy:
        active = runtime.executions.get(run_id)
        model.expect(runtime.foresee(run) if active is None else active.foresee())
    return model


def _rows_before(runtime: Runtime, run: RunRecord) -> int:
    """The number of rows that the latest completed run of the job had, so that the tree has its height at once.

    At most as many as a tree has room for; 0 if it is not known, or if the rows may have been folded.
    """
    try:
        latest = islice(runtime.each_run_record(), _LATEST)
        tasks = next(sum(each.counts.values()) for each in latest if _is_like(each, run))
    except (StopIteration, StoreError):
        return 0
    return min(tasks, _ROOM) if tasks <= LISTED else 0


def _is_like(earlier: RunRecord, run: RunRecord) -> bool:
    return (earlier.job, earlier.status) == (run.job, RunStatus.COMPLETED)


_LATEST = 20  # stored runs to search for one of the job
_ROOM = 8


def display_of(runtime: Runtime, run_id: str) -> RunDisplay:
    """The live display of a run, which all places in this kernel share. Raises `UsageError` if no event loop runs."""
    views = runtime.views
    display = views.get(run_id)
    if display is None:
        if not has_loop():
            raise UsageError(
                f"a live display of run {run_id} needs a running event loop, as in a notebook; "
                "print(run.tree()) works anywhere"
            )
        display = views[run_id] = RunDisplay(
            lambda: make_model(runtime, run_id, lazy=True),
            runtime.feed(run_id),
            asyncio.get_running_loop(),
            RunControls(runtime, run_id, partial(_widget_of, runtime)),
            left=lambda: make_model(runtime, run_id, run=_left_by_cell(runtime, run_id)),
            on_close=lambda: views.pop(run_id, None),
        )
    return display


def _widget_of(runtime: Runtime, run_id: str) -> str:
    """The id of the widget of a run, which no cell shows."""
    display = display_of(runtime, run_id)
    display.stay = True
    return str(display.widget.model_id)


def show(runtime: Runtime, run_id: str, *, awaited: bool) -> None:
    """Show the tree of a run under the current cell. `awaited`: the cell waits for the end of the run.

    Raises `UsageError` if no event loop runs. Any other error is logged, because a display must not fail a run (D1).
    """
    try:
        display = display_of(runtime, run_id)
    except UsageError:
        raise
    except Exception:  # noqa: BLE001  # see above
        _log.warning("run %s cannot be shown; the run itself continues", run_id, exc_info=True)
        return
    display.model.awaited = awaited
    if marimo.in_marimo():
        _show_in_marimo(display)
    else:
        display.show()


def _show_in_marimo(display: RunDisplay) -> None:
    """Show a run in the output of the running cell, where it stays live after its end."""
    display.stay = True
    widget = display.widget
    marimo.append(widget)
    widget.placed_in = marimo.running_cell()


def is_in_cell_of_marimo(runtime: Runtime, run_id: str) -> bool:
    """Whether the running cell of a marimo notebook shows the live tree of a run."""
    display = runtime.views.get(run_id)
    return display is not None and marimo.in_marimo() and display.widget.placed_in == marimo.running_cell()


def is_placed(runtime: Runtime, run_id: str) -> bool:
    """Whether the live tree of a run is below some cell."""
    display = runtime.views.get(run_id)
    return display is not None and display.is_placed


async def settle(runtime: Runtime, run_id: str, *, awaited: bool) -> None:
    """Wait until the display of a run, in whichever cell, is up to date. `awaited`: the cell waited for the run's end."""
    display = runtime.views.get(run_id)
    if display is None:
        return
    try:
        await display.settle()
    except asyncio.CancelledError:
        display.flush()
        raise
    finally:
        display.model.awaited = awaited and display.model.awaited
