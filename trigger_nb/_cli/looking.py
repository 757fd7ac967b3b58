"""The commands that look at runs: `runs`, `show`, `export`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .._view.render import run_table
from ..client import TriggerClient
from ..run import Run
from . import driving, stores, terminal, values
from .driving import Screen
from .following import watch
from .frame import Json, RunName, Store, app, end
from .problems import INTERRUPTED, Problem


@app.command("runs")
def runs(
    job: Annotated[str | None, typer.Option("--job", metavar="ID", help="Only runs of this job.")] = None,
    status: Annotated[
        list[str] | None, typer.Option("--status", help="Only runs with this status; may be repeated.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=0, help="The most runs of a store.")] = 50,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """List the runs, newest first."""

    def work() -> None:
        chosen = None if not status else [each.upper() for each in status]
        clients = stores.stores(store)
        found = [(client, client.runs(job=job, status=chosen, limit=limit)) for client in clients]
        if as_json:
            rows = [values.run_json(run._current, str(client.dir)) for client, each in found for run in each]
            typer.echo(json.dumps(rows, ensure_ascii=False, indent=2))
            return
        screen = Screen()
        for client, each in found:
            if len(found) > 1:
                screen.out.print(str(client.dir), style="bold", markup=False, soft_wrap=True)
            width = screen.out.width if screen.out.is_terminal else 200
            table = run_table.as_text(each._records(), client.runtime.clock.time(), width=width)
            screen.out.print(terminal.painted(table), soft_wrap=not screen.out.is_terminal)

    end(work)


@app.command("show")
def show(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN]", help="The id of the run, or how it begins; by default the newest run."
        ),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--watch", "-w", help="Follow the run, whoever drives it, until it ends.")
    ] = False,
    everything: Annotated[bool, typer.Option("--all", help="Every task, also of large groups.")] = False,
    width: Annotated[int | None, typer.Option("--width", min=40, help="The length of a line.")] = None,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Show a run as its tree."""

    def found() -> tuple[TriggerClient, Run]:
        clients = stores.stores(store)
        return stores.newest_run(clients) if name is None else stores.find_run(clients, name)

    def work() -> int:
        client, run = found()
        code = driving.to_the_end(watch(run, Screen())) if follow else 0
        if code == INTERRUPTED:
            return code
        if as_json:
            typer.echo(json.dumps(values.whole_json(run, str(client.dir)), ensure_ascii=False, indent=2))
        else:
            terminal.show(Screen().out, run, fold=None if everything else 20, width=width)
        return code

    end(work)


@app.command("export")
def export(
    name: RunName,
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH", help="`.html`: a page; `.json`: the frozen run, for tests; `.txt`: the tree."
        ),
    ],
    store: Store = None,
) -> None:
    """Write a run as one file."""

    def work() -> None:
        _, run = stores.find_run(stores.stores(store), name)
        try:
            match path.suffix.lower():
                case ".html" | ".htm":
                    run.export_html(path)
                case ".json":
                    run.freeze(path)
                case ".txt":
                    path.write_text(run.tree(fold=None) + "\n", encoding="utf-8")
                case suffix:
                    raise Problem(f"PATH ends in .html, .json or .txt, not in {suffix or path.name!r}")
        except OSError as error:
            raise Problem(f"{path} cannot be written: {error}") from None
        typer.echo(str(path))

    end(work)
