"""marimo: `persistent_cache` with its default loader, in a cell of a notebook that is run as a script."""

from __future__ import annotations

from pathlib import Path

import marimo

app = marimo.App()


@app.cell
def _given():
    directory = tasks = None
    return directory, tasks


@app.cell
def _calls(directory, tasks):
    from marimo import persistent_cache

    from benchmarks.peers import clock as counted

    @persistent_cache(save_path=directory)
    def body(number):
        counted.clock.called.append(number)
        return {"id": number, "name": "x"}

    with counted.clock:
        for number in range(tasks):
            body(number)


def fresh(directory: Path, tasks: int) -> None:
    """Calls, none of them known."""
    app.run(defs={"directory": str(directory), "tasks": tasks})


def replay(directory: Path, tasks: int) -> None:
    """The same calls again, in a second run of the notebook."""
    fresh(directory, tasks)
    fresh(directory, tasks)
