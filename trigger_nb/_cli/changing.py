"""The commands that change runs and stores: `cancel`, `pause`, `prune`, `check`."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

import typer

from .._records.status import RunStatus
from .._runs import requests
from .._runs.commands import is_elsewhere
from ..client import TriggerClient
from ..run import Run
from . import driving, stores, values
from .frame import RunName, Store, app, end
from .problems import FAILED, LOCKED, NOT_ENDED, Problem


@app.command("cancel")
def cancel(name: RunName, store: Store = None) -> None:
    """End a run, whoever drives it. Results of completed tasks stay."""
    _ask(name, store, "cancel")


@app.command("pause")
def pause(name: RunName, store: Store = None) -> None:
    """Stop a run until it is resumed, whoever drives it: bodies in flight end, and nothing new begins."""
    _ask(name, store, "pause")


def _ask(name: str, store: str | None, what: Literal["cancel", "pause"]) -> None:
    def work() -> int:
        client, run = stores.find_run(stores.stores(store), name)
        is_asked = is_elsewhere(client.runtime, client.runtime.require_run(run.id))
        run.cancel() if what == "cancel" else run.pause()
        if is_asked and driving.to_the_end(_is_done(client, run.id)) != 0:
            raise Problem(
                f"the process that drives run {run.id} does not answer: it is busy with code that blocks its event loop, or is "
                "of an older version. Nothing was changed",
                LOCKED,
            )
        typer.echo(f"{run.id} {_status(run)}")
        return 0

    end(work)


async def _is_done(client: TriggerClient, run_id: str, patience: float = 10.0) -> int:
    """Wait for the process that drives a run. Returns 0 if it has done what was asked, or is about to."""
    for _ in range(round(patience / 0.1)):
        await asyncio.sleep(0.1)
        if not requests.is_open(client.runtime, run_id):
            break
    else:
        requests.withdraw(client.runtime, run_id)
        return NOT_ENDED
    for _ in range(round(patience / 0.1)):
        if Run(client.runtime, run_id).status != RunStatus.RUNNING:
            break
        await asyncio.sleep(0.1)
    return 0


def _status(run: Run) -> str:
    if run.status == RunStatus.RUNNING:
        return "RUNNING: it ends when the tasks in flight have ended"
    return f"{run.status} ({run.reason})" if run.reason else str(run.status)


@app.command("prune")
def prune(
    older_than: Annotated[
        str | None,
        typer.Option("--older-than", metavar="TIME", help="Runs last used longer ago, such as 30d or 12h."),
    ] = None,
    status: Annotated[
        list[str] | None,
        typer.Option(
            "--status", help="Runs with this status; may be repeated. By default those that have ended."
        ),
    ] = None,
    keep_last: Annotated[
        int | None, typer.Option("--keep-last", min=0, help="Keep that many newest runs of each job.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Delete nothing, only say what would be.")
    ] = False,
    store: Store = None,
) -> None:
    """Delete runs for good, and free their disk space."""

    def work() -> None:
        chosen = None if not status else [each.upper() for each in status]
        age = values.duration_of(older_than, "--older-than")
        if age is None and chosen is None and keep_last is None:
            raise Problem(
                "prune deletes runs for good, so say which: --older-than 30d, --keep-last 100, or --status FAILED"
            )
        for client in stores.stores(store):
            done = client.prune(older_than=age, status=chosen, keep_last=keep_last, dry_run=dry_run)
            typer.echo(f"{client.dir}\n{done}")

    end(work)


@app.command("check")
def check(store: Store = None) -> None:
    """Read whole stores, and report what is damaged or lost. Ends with 1 if something is."""

    def work() -> int:
        reports = [client.check() for client in stores.stores(store)]
        typer.echo("\n\n".join(map(repr, reports)))
        return 0 if all(report.ok for report in reports) else FAILED

    end(work)
