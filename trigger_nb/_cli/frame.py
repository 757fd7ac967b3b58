"""What all commands share: their options, their end and their exit codes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import typer

from .. import __version__
from ..errors import TriggerError
from . import driving
from .problems import INTERRUPTED, Problem, code_of

app = typer.Typer(
    name="trigger-nb",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # they would show local variables, and secrets in them
    rich_markup_mode="markdown",
    help="Run, watch and serve the jobs of notebooks, scripts and modules.",
    epilog="Exit codes: 0 well; 1 failed; 2 wrong usage; 3 driven by another process; 4 paused, interrupted or canceled.",
)


File = Annotated[
    str,
    typer.Argument(metavar="FILE[:JOB]", help="A notebook, script or module, and the job if it has several."),
]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="The id of the run, or how it begins.")]
Store = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="FOLDER",
        help="A store, a folder with stores, or a notebook; by default `.trigger_nb` here.",
    ),
]
Payload = Annotated[
    str | None,
    typer.Option("--payload", metavar="JSON", help="JSON, `@file.json`, or `-` for standard input."),
]
OfJob = Annotated[
    str | None,
    typer.Option(
        "--file", metavar="FILE", help="The file that defines the job, if the store does not know it."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="As JSON, for other programs.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No tree; only the output, as JSON.")]


def _version(value: bool) -> None:
    if value:
        typer.echo(f"trigger-nb {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Run, watch and serve the jobs of notebooks, scripts and modules."""


def end(work: Callable[[], int | None]) -> None:
    """Do the work of a command, and end with its exit code. Errors of this package are messages."""
    try:
        code = work() or 0
    except Problem as problem:
        code = complain(str(problem), problem.code)
    except TriggerError as error:
        code = complain(str(error), code_of(error))
    except BrokenPipeError:  # `trigger-nb runs | head`
        sys.stderr.close()
        code = 0
    except KeyboardInterrupt:
        code = INTERRUPTED
    raise typer.Exit(code)


def end_async(work: Callable[[], Coroutine[Any, Any, int]]) -> None:
    end(lambda: driving.to_the_end(work()))


def complain(text: str, code: int) -> int:
    typer.echo(f"trigger-nb: {text}", err=True)
    return code
