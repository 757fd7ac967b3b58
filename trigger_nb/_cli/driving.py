"""Commands that run jobs in this process, to the end of a run: `run`, `retry`, `resume`, `send-event`."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable, Generator
from typing import Any

from rich.console import Console

from .._engine.stopping import Stop
from .._records.status import RunStatus
from .._redact import redact
from .._store.owner import Owner
from ..client import TriggerClient
from ..errors import RunInterruptedError, TriggerError
from ..job import AnyJob
from ..run import Run
from . import stores, terminal
from .problems import FAILED, INTERRUPTED, NOT_ENDED, Problem, code_of
from .program import Program, load, split
from .values import as_json

_MISSING: Any = object()


class Screen:
    """Where a command shows things: the tree and messages on stderr, results on stdout."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.err = Console(stderr=True, highlight=False)
        self.out = Console(highlight=False)
        self.quiet = quiet

    def say(self, text: str) -> None:
        """A message."""
        self.err.print(text, markup=False, soft_wrap=True)

    def note(self, lines: list[str]) -> None:
        """What a file's loading has left out."""
        for line in lines:
            self.err.print(line, style="dim", markup=False, soft_wrap=True)


async def program_of(name: str, screen: Screen) -> Program:
    """The jobs of a file. What is left out of it is said."""
    program = await load(name)
    if not screen.quiet:
        screen.note(program.left_out)
    return program


async def run(
    name: str, payload: Any, screen: Screen, *, run_id: str | None, fresh: bool, on_change: Any, given: bool
) -> int:
    """Start or continue the run of a job, and wait for its end. Returns the exit code."""
    file, job_id = split(name)
    program = await program_of(file, screen)
    job = program.job(job_id)

    def begin() -> Run:
        record = None if run_id is None or given else job._runtime.run_record(run_id)
        if record is not None:  # with its stored payload
            job._restart(record)
            return Run(job._runtime, record.id)
        return job.start(payload, run_id=run_id, fresh=fresh, on_change=on_change, display=False)

    return await _drive(program, job, begin, screen)


async def command(
    client: TriggerClient, run_id: str, file: str | None, begin: Callable[[Run], object], screen: Screen
) -> int:
    """Load the file of a run's job, begin a pass by a command on the run, and wait for the end. Returns the exit code."""
    record = client.runtime.require_run(run_id)
    directory = client.runtime.store.directory
    program = await program_of(file or str(stores.file_of(client, record)), screen)
    job = next((each for each in program.jobs if each.id == record.job), None)
    if job is None:
        raise Problem(
            f"{program.name} does not define job {record.job!r} of run {run_id}; name its file: --file FILE"
        )
    if not job._runtime.store.is_at(directory):
        raise Problem(
            f"job {record.job!r} of {program.name} has another store, {job._runtime.store.directory}; run {run_id} is in "
            f"{directory}, which belongs to {_owners(directory)}"
        )

    def start() -> Run:
        run = Run(job._runtime, run_id)
        run._displays = False
        begin(run)
        return run

    return await _drive(program, job, start, screen)


def _owners(directory: Any) -> str:
    owner = Owner(directory)
    files = {each.path for files in owner.jobs.values() for each in files}
    return ", ".join(sorted(files)) or "another file"


async def _drive(program: Program, job: AnyJob, begin: Callable[[], Run], screen: Screen) -> int:
    with _prints_on_stderr():
        try:
            run = begin()
            output, error = await _watched(run, screen)
        finally:
            await program.close()
    return _told(run, job, output, error, screen)


async def _watched(run: Run, screen: Screen) -> tuple[Any, BaseException | None]:
    async def outcome() -> tuple[Any, BaseException | None]:
        try:
            return await run, None
        except Exception as error:  # noqa: BLE001  # of the user's code
            return _MISSING, error

    ended = asyncio.ensure_future(outcome())
    try:
        if screen.quiet:
            await asyncio.wait({ended})
        else:
            await terminal.LiveTree(screen.err, run).until(asyncio.shield(ended))
        return await ended
    except asyncio.CancelledError:  # Ctrl+C
        active = run._runtime.executions.get(run.id)
        if active is not None:
            active.stop(Stop.INTERRUPT)
            await active.wait_finished()
        screen.say(f"\nrun {run.id} was interrupted: the same command continues it where it stopped")
        raise


def _told(run: Run, job: AnyJob, output: Any, error: BaseException | None, screen: Screen) -> int:
    """Show how a run has ended. Returns the exit code."""
    if not screen.quiet:
        terminal.show(screen.err, run)
    if error is None:
        if output is not None and (screen.quiet or not screen.out.is_terminal):
            print(as_json(redact(job.options.redact, output)))  # noqa: T201
        return 0
    status = run.status
    if status == RunStatus.FAILED:
        return FAILED
    if isinstance(error, RunInterruptedError) or status in (RunStatus.CANCELED, RunStatus.WAITING):
        return NOT_ENDED
    screen.say(str(error))
    return code_of(error) if isinstance(error, TriggerError) else FAILED


@contextlib.contextmanager
def _prints_on_stderr() -> Generator[None]:
    """What the user's code prints goes where the tree is: stdout has the output alone."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def to_the_end(main: Awaitable[int]) -> int:
    """Run a command on an event loop of its own."""

    async def run() -> int:
        return await main

    try:
        return asyncio.run(run())
    except (KeyboardInterrupt, asyncio.CancelledError):
        return INTERRUPTED
