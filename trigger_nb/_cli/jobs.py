"""The commands that run jobs in this process: `run`, `work`, `retry`, `resume`."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated

import typer

from ..run import Run
from . import driving, stores, values
from .crew import Crew, pipe_of_parent
from .driving import Screen
from .frame import File, OfJob, Payload, Quiet, RunName, Store, app, end_async
from .problems import Problem
from .work import Http, Worker, log, set_up_logging, stop_on_signals, stop_with_parent


class OnChange(StrEnum):
    """What happens to tasks whose code or arguments have changed."""

    KEEP = "keep"
    ONLY = "only"
    RERUN = "rerun"


@app.command("run")
def run_job(
    file: File,
    payload: Payload = None,
    run_id: Annotated[
        str | None,
        typer.Option("--run-id", metavar="ID", help="An id for the run, in place of the payload's."),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="A new run, also if there is one for this payload.")
    ] = False,
    on_change: Annotated[
        OnChange | None, typer.Option("--on-change", help="For tasks whose code or arguments have changed.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Run a job to its end. The same payload is the same run: what is completed is replayed.

    The tree is on stderr; if stdout is no terminal, it gets the output as JSON.
    """
    screen = Screen(quiet=quiet)

    async def work() -> int:
        change = None if on_change is None else str(on_change)
        value = values.payload_of(payload)
        return await driving.run(
            file, value, screen, run_id=run_id, fresh=fresh, on_change=change, given=payload is not None
        )

    end_async(work)


@app.command("work")
def work_on(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Notebooks, scripts or modules.")],
    once: Annotated[bool, typer.Option("--once", help="Do what is due now, and end.")] = False,
    grace: Annotated[
        float,
        typer.Option(
            "--grace", metavar="SECONDS", min=0, help="On SIGTERM, the time for bodies in flight to end."
        ),
    ] = 30.0,
    log_level: Annotated[str, typer.Option("--log-level", help="debug, info, warning or error.")] = "info",
    serve: Annotated[
        bool, typer.Option("--serve", help="Take requests over HTTP, as `client.serve()` does.")
    ] = False,
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="With --serve: 0.0.0.0 is for everybody.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", metavar="PORT", min=0, max=65535, help="With --serve: 0 is a free one.")
    ] = 0,
    public_url: Annotated[
        str | None,
        typer.Option("--public-url", metavar="URL", help="With --serve: what addresses begin with."),
    ] = None,
) -> None:
    """Serve the jobs of files without a browser, until SIGTERM.

    Runs are continued whose waits are over or whose process has died; events and schedules start their runs.
    """

    async def work() -> int:
        _check_level(log_level)
        set_up_logging(level=log_level)
        http = Http(host, port, public_url) if serve else None
        if http is None and (host, port, public_url) != ("127.0.0.1", 0, None):
            raise Problem("--host, --port and --public-url are for --serve, which is not there")
        if http is not None and once:
            raise Problem("--serve is not for --once, which ends before a request could come")
        if http is not None and len(files) > 1:
            each = "; ".join(f"trigger-nb work {file} --serve" for file in files[:3])
            raise Problem(
                f"--serve is for one file, whose store its addresses belong to. Start a worker for each: {each}"
            )
        if len(files) > 1:
            options = ["--grace", str(grace), "--log-level", log_level, *(["--once"] if once else [])]
            return await Crew(files, options, once=once).run()
        return await _serve(files[0], grace=grace, once=once, http=http)

    end_async(work)


def _check_level(level: str) -> None:
    known = ("debug", "info", "warning", "error")
    if level.lower() not in known:
        raise Problem(f"--log-level is one of {', '.join(known)}; not {level!r}")


async def _serve(file: str, *, grace: float, once: bool, http: Http | None) -> int:
    parent = pipe_of_parent()
    program = await driving.load(file)
    for line in program.left_out:
        log.info("%s", line)
    if not program.jobs:
        raise Problem(f"{file} defines no job: put @job above a function")
    worker = Worker(program, grace=grace, once=once, http=http)
    stop_on_signals(worker.stop)
    if parent is not None:
        stop_with_parent(worker.stop, parent)
    names = ", ".join(sorted(job.id for job in program.jobs))
    places = ", ".join(str(client.dir) for client in program.clients)
    log.info("serves %s (%s) from %s", file, names, places)
    await worker.run()
    return 0


@app.command("send-event")
def send_event(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of the event, such as user.created.")],
    payload: Payload = None,
    event_id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="The same id never starts a second run of a job.")
    ] = None,
    source: Annotated[
        str | None, typer.Option("--source", help="For triggers that listen to one source.")
    ] = None,
    after: Annotated[
        str | None, typer.Option("--after", metavar="TIME", help="Deliver it later, such as in 90s or 2h.")
    ] = None,
    store: Store = None,
) -> None:
    """Record an event in a store. Workers and kernels that listen start its runs, now or when they come up."""

    async def work() -> int:
        value = values.payload_of(payload)
        delay = values.duration_of(after, "--after")
        client = stores.listening_store(stores.stores(store), name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # said below
            event = await client.send_event(name, value, id=event_id, source=source, deliver_after=delay)
        jobs = client.runtime.post.subscribers(name)
        starts = f"it starts {', '.join(sorted(jobs))}" if jobs else "no job listens to it yet"
        typer.echo(f"{event.id} {event.status}: {starts}")
        return 0

    end_async(work)


@app.command("retry")
def retry(
    name: RunName,
    everything: Annotated[
        bool, typer.Option("--all", help="Also tasks whose errors the code handled.")
    ] = False,
    file: OfJob = None,
    store: Store = None,
    quiet: Quiet = False,
) -> None:
    """Run failed tasks of a run again, to its end. All other results are kept."""
    _command(name, file, store, quiet, lambda run: run.retry("all" if everything else "failed"))


@app.command("resume")
def resume(name: RunName, file: OfJob = None, store: Store = None, quiet: Quiet = False) -> None:
    """Continue a run that is paused, interrupted or canceled, to its end."""
    _command(name, file, store, quiet, lambda run: run.resume())


def _command(
    name: str, file: str | None, store: str | None, quiet: bool, begin: Callable[[Run], object]
) -> None:
    screen = Screen(quiet=quiet)

    async def work() -> int:
        client, run = stores.find_run(stores.stores(store), name)
        return await driving.command(client, run.id, file, begin, screen)

    end_async(work)
