"""The commands by which people answer what runs ask: `approve` and `answer`."""

from __future__ import annotations

from typing import Annotated

import typer

from .._runs.open_questions import OpenQuestion, open_questions
from .._view.escape import visible
from ..run import Run
from . import stores, values
from .frame import Payload, RunName, Store, app, end
from .problems import Problem

Path = Annotated[
    str | None,
    typer.Argument(
        metavar="[PATH]", help="The path of the question; by default the only open one of the run."
    ),
]
By = Annotated[
    str | None, typer.Option("--by", metavar="NAME", help="Who answers; by default the user of this machine.")
]


@app.command("approve")
def approve(
    name: RunName,
    path: Path = None,
    choice: Annotated[
        str,
        typer.Option("--choice", metavar="CHOICE", help="Another choice than to approve, such as reject."),
    ] = "approve",
    data: Annotated[
        str | None,
        typer.Option("--data", metavar="JSON", help="The fields of its form: JSON, `@file.json`, or `-`."),
    ] = None,
    by: By = None,
    store: Store = None,
) -> None:
    """Answer an approval that a run waits for; the first answer counts. Whoever drives the run goes on at once."""

    def work() -> None:
        run = stores.find_run(stores.stores(store), name)[1]
        asked = path or _only(run, "approval").path
        run.approve(asked, choice, values.payload_of(data, "--data"), by=by)
        typer.echo(f"{run.id} {visible(asked)}: {choice}")

    end(work)


@app.command("answer")
def answer(
    name: RunName, path: Path = None, payload: Payload = None, by: By = None, store: Store = None
) -> None:
    """Answer a question for a value that a run waits for: `--payload` is the value."""

    def work() -> None:
        run = stores.find_run(stores.stores(store), name)[1]
        asked = path or _only(run, "input").path
        run.answer(asked, values.payload_of(payload), by=by)
        typer.echo(f"{run.id} {visible(asked)}: answered")

    end(work)


def _only(run: Run, asks: str) -> OpenQuestion:
    """The only open question of a run. Raises `Problem` if there is none, or more than one."""
    found = [each for each in open_questions(run._runtime) if each.run_id == run.id]
    chosen = [each for each in found if each.asks == asks]
    if len(chosen) == 1:
        return chosen[0]
    listed = ", ".join(repr(visible(each.path)) for each in (chosen or found))
    if not found:
        raise Problem(f"run {run.id} waits for no answer: it is {run.status}")
    if not chosen:
        other = "answer" if asks == "approval" else "approve"
        raise Problem(f"run {run.id} has no open {asks}, but {listed}: trigger-nb {other} {run.id}")
    raise Problem(f"run {run.id} has {len(chosen)} open questions; say which one: {listed}")
