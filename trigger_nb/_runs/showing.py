"""The live display of a run in this kernel: its model, its widget, and the cell that shows it."""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from .._records.records import RunRecord
from .._records.status import RunStatus
from .._view.live.display import RunDisplay
from .._view.model.run_model import RunModel
from ..errors import UsageError
from .awaiting import has_loop
from .controls import RunControls
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


def make_model(runtime: Runtime, run_id: str, *, lazy: bool = False) -> RunModel:
    """The rows of the tree of a run. `lazy`: for a live display, which reads long values and estimates later."""
    run = current_record(runtime, run_id)
    pass_ = runtime.passes.get(run_id)

    def look_back() -> None:
        active = runtime.executions.get(run_id)
        if active is not None:
            active.look_back()

    model = RunModel(
        run,
        runtime.each_task_record(run_id, running=True),
        seen=None if pass_ is None else pass_.sightings(),
        hints=run.hints if pass_ is None else pass_.header.hints,
        store=str(runtime.store.directory),
        clock=runtime.clock,
        lazy=lazy,
        read=partial(runtime.stored_task, run_id),
        look_back=look_back,
    )
    if run.status == RunStatus.RUNNING and not lazy:
        active = runtime.executions.get(run_id)
        model.expect(runtime.foresee(run) if active is None else active.foresee())
    return model


def display_of(runtime: Runtime, run_id: str) -> RunDisplay:
    """The live display of a run, which all places in this kernel share. Raises `UsageError` if no event loop runs."""
    views = runtime.views
    display = views.get(run_id)
    if display is not None and display.is_replacing:  # it ends soon, and then another one is needed
        display.flush()
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
            RunControls(runtime, run_id),
            on_close=lambda: views.pop(run_id, None),
        )
    return display


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
    display.show()


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
