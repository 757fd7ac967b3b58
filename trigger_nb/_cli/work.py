"""`trigger-nb work`: serves the jobs of a file without a browser.

It continues the runs of its jobs that no process drives, starts what events and schedules ask for, and carries out what other
processes ask of its runs. It ends on SIGTERM or Ctrl+C, and leaves its runs to whoever comes next.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from typing import NamedTuple

from .._clients.listener import Listener
from .._records.status import RunStatus
from .._runs.leaving import cut, leave
from .._runs.resuming import Due, DueRuns, resume
from .._runs.runtime import ActiveRun, Runtime
from .._runs.workers import Served
from .._view.model.readable import error_line
from .._view.words import duration
from ..errors import NotFoundError, StoreError, TriggerError, UsageError
from .program import Program

_LOOK = 1.0  # seconds between two looks at the store
_TURN = 0.0005  # seconds; Python's own are 0.005
_AFTER_CUT = 10.0  # seconds for which bodies may still record that they were cut
log = logging.getLogger("trigger_nb.work")


class Http(NamedTuple):
    """How a worker takes requests: the options of `client.serve`."""

    host: str
    port: int
    public_url: str | None


class Worker:
    """The runs of one file in this process."""

    def __init__(self, program: Program, *, grace: float, once: bool, http: Http | None = None) -> None:
        self._program = program
        self._grace = grace
        self._once = once
        for client in program.clients:
            client.runtime.shows = False
        self._http = http
        self._due = {client.runtime: DueRuns(client.runtime) for client in program.clients}
        self._served = {runtime: Served(runtime) for runtime in self._due}
        self._reasons: dict[str, str] = {}  # why runs were continued, for the log
        self._told: set[str] = set()  # runs that cannot be continued here, and why was said
        self._known: dict[str, ActiveRun] = {}  # runs under way whose end is logged
        self._ends: set[asyncio.Task[None]] = set()
        self.stopping = asyncio.Event()
        self._hurry = asyncio.Event()  # told to stop a second time

    def stop(self) -> None:
        """End, leaving the runs to the next process. A second time: without waiting for bodies in flight."""
        if self.stopping.is_set():
            self._hurry.set()
        self.stopping.set()

    async def run(self) -> None:
        """Serve until `stop`; with `once`, until nothing is under way any more but waits."""
        async with AsyncExitStack() as stack:
            to_look = [Listener(client.runtime) for client in self._program.clients if self._once]
            for client in self._program.clients:
                if not self._once:
                    await stack.enter_async_context(client.listen(display=False))
            if self._http is not None:
                self._serve(self._http, stack)
            while not self.stopping.is_set():
                self._look()
                to_look = [each for each in to_look if not await self._start_due(each)]
                if self._once and not to_look and self._is_idle():
                    break
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.stopping.wait(), _LOOK)
        await self._leave()

    def _serve(self, http: Http, stack: AsyncExitStack) -> None:
        """Take requests for the store of the file."""
        if len(self._program.clients) > 1:
            stores = ", ".join(str(client.dir) for client in self._program.clients)
            raise UsageError(
                f"--serve is for a file with one store, and {self._program.name} has several: {stores}"
            )
        # While runs compute, the thread of the server waits this long for its turn, several times a request.
        sys.setswitchinterval(_TURN)
        server = self._program.clients[0].serve(http.host, http.port, public_url=http.public_url)
        stack.enter_context(server)
        for line in repr(server).splitlines():
            log.info("%s", line)

    # While it serves --------------------------------------------------------------------------

    def _look(self) -> None:
        for runtime, due_runs in self._due.items():
            try:
                self._served[runtime].tell()
                for due in due_runs.look():
                    self._resume(runtime, due)
            except StoreError as error:
                log.warning("the store cannot be read: %s", error)
            for active in list(runtime.executions.values()):
                self._follow(runtime, active)

    async def _start_due(self, listener: Listener) -> bool:
        """Start what events and schedules ask for by now, and no more: what is due in a second is for the next one."""
        try:
            await listener._look()
        except StoreError as error:
            log.warning("the store cannot be read: %s", error)
            return False
        return True

    def _resume(self, runtime: Runtime, due: Due) -> None:
        run_id = due.run.id
        if run_id in self._told:
            return
        try:
            active = resume(runtime, due.run, due.is_still)
        except NotFoundError:
            self._told.add(run_id)
            log.warning(
                "%s waits for job %r, which %s does not define", run_id, due.run.job, self._program.name
            )
        except StoreError as error:
            log.warning("%s cannot be continued now: %s", run_id, error)
        except TriggerError as error:
            self._told.add(run_id)
            log.error("%s cannot be continued: %s", run_id, error)  # noqa: TRY400  # the message says it
        else:
            if active is not None:
                self._reasons[run_id] = f" ({due.why})"

    def _follow(self, runtime: Runtime, active: ActiveRun) -> None:
        run_id = active.run.id
        if self._known.get(run_id) is active:
            return
        self._known[run_id] = active
        does = "starts" if active.run.passes == 1 else "continues"
        log.info("%s: %s job %s%s", run_id, does, active.run.job, self._reasons.pop(run_id, ""))
        task = asyncio.get_running_loop().create_task(self._tell_end(runtime, active))
        self._ends.add(task)
        task.add_done_callback(self._ends.discard)

    async def _tell_end(self, runtime: Runtime, active: ActiveRun) -> None:
        await active.wait_finished()
        run = active.run
        if self._known.get(run.id) is active:
            del self._known[run.id]
        self._due[runtime].refresh()
        took = f" after {duration(run.worked)}" if run.worked else ""
        match run.status:
            case RunStatus.COMPLETED:
                log.info("%s: completed job %s%s", run.id, run.job, took)
            case RunStatus.FAILED:
                log.error("%s: job %s failed%s: %s", run.id, run.job, took, error_line(run.error))
            case status:
                log.info("%s: job %s is %s", run.id, run.job, _state(status, run.reason))

    def _is_idle(self) -> bool:
        """Whether nothing is under way but runs that wait: for a time, for something outside, or for each other."""
        return all(
            (active.run.status == RunStatus.WAITING and active.run.reason != "queued")
            or _only_waits_for_runs(runtime, active)
            for runtime in self._due
            for active in runtime.executions.values()
        )

    # The end ----------------------------------------------------------------------------------

    async def _leave(self) -> None:
        """Leave the runs that are under way to the next process."""
        left = [active for runtime in self._due for active in leave(runtime)]
        every = [active for runtime in self._due for active in runtime.executions.values()]
        if every:
            log.info(
                "ends: %d runs are left to the next process; bodies in flight have %g s",
                len(every),
                self._grace,
            )
            ended = asyncio.gather(*(each.wait_finished() for each in every))
            hurry = asyncio.ensure_future(self._hurry.wait())
            await asyncio.wait({ended, hurry}, timeout=self._grace, return_when=asyncio.FIRST_COMPLETED)
            hurry.cancel()
            if not ended.done():
                cut(left)
                await asyncio.wait({ended}, timeout=_AFTER_CUT)
            if not ended.done():
                log.warning("some bodies did not end in time; they begin again in the next process")
                ended.cancel()
        if self._ends:
            await asyncio.wait(set(self._ends), timeout=1.0)
        for served in self._served.values():
            with suppress(StoreError):
                served.end()
        await self._program.close()
        log.info("ended")


def _only_waits_for_runs(runtime: Runtime, active: ActiveRun) -> bool:
    awaited = runtime.waits.get(active.run.id, ())
    return bool(awaited) and active.pass_ is not None and len(active.pass_.running) <= len(awaited)


def _state(status: str, reason: str) -> str:
    if status == RunStatus.RUNNING or reason == "queued":
        return "left to the next process"
    return f"{status} ({reason})" if reason else str(status)


# The process ----------------------------------------------------------------------------------------


def set_up_logging(*, level: str) -> None:
    """Log lines on stderr, of this package and of the user's code."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(handler)
    logging.getLogger("trigger_nb").setLevel(level.upper())
    logging.getLogger("trigger_nb.run").disabled = True  # the worker tells of its runs itself
    logging.captureWarnings(capture=True)


def stop_on_signals(stop: Callable[[], None]) -> None:
    """Call `stop` on SIGTERM and SIGINT. Call it on the event loop, before the first run begins."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, stop)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda _number, _frame: _soon(loop, stop))


def _soon(loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
    with suppress(RuntimeError):  # the loop is closed
        loop.call_soon_threadsafe(stop)


def stop_with_parent(stop: Callable[[], None], pipe: int) -> None:
    """Call `stop` when the process that started this one has ended, which closes the other end of a pipe."""
    loop = asyncio.get_running_loop()

    def wait() -> None:
        with suppress(OSError):
            os.read(pipe, 1)
        _soon(loop, stop)

    threading.Thread(target=wait, name="trigger_nb parent", daemon=True).start()
