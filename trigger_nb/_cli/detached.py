"""The worker of one run that was detached from a kernel: `python -m trigger_nb._cli.detached ORDER`. It needs no extra.

It executes the definitions of the run's file, tells the kernel that it is ready, and takes the run when the kernel leaves it, or
has died. It ends with the run, and with the child runs that the run has started.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from .._records.records import RunRecord
from .._records.status import FINISHED
from .._runs import moves
from .._runs.resuming import resume
from .._runs.runtime import Runtime
from .._runs.workers import code_of
from ..errors import StoreBusyError, TriggerError
from ..job import AnyJob
from .problems import FAILED, Problem
from .program import Program, load
from .work import Worker, log, set_up_logging, stop_on_signals

_STEP = 0.05  # seconds between two looks at whether the kernel has left the run
_GRACE = 30.0  # seconds for bodies in flight, when it is told to end


class Order:
    """What the kernel has said: which run, of which store and file."""

    def __init__(self, text: str) -> None:
        data: dict[str, str] = json.loads(text)
        self.file, self.run_id, self.name = data["file"], data["run"], data["name"]
        self.store = Path(data["store"])
        self.code = data["code"]  # the fingerprint of the job; "" if another one will do


class Detached(Worker):
    """Drives one run in this process."""

    def __init__(self, program: Program, job: AnyJob, order: Order) -> None:
        super().__init__(program, grace=_GRACE, once=True)
        self._runtime: Runtime = job._runtime
        self._order = order

    async def run(self) -> None:
        """Take the run, and drive it to its end, until it is paused or brought back, or until `stop`."""
        if await self._take():
            while self._runtime.executions and not self.stopping.is_set():
                for active in list(self._runtime.executions.values()):
                    self._follow(self._runtime, active)
                ended = [
                    asyncio.ensure_future(each.wait_finished()) for each in self._runtime.executions.values()
                ]
                stopped = asyncio.ensure_future(self.stopping.wait())
                await asyncio.wait({*ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
                for each in (*ended, stopped):
                    each.cancel()
                await asyncio.sleep(0)
        await self._leave()

    async def _take(self) -> bool:
        """Wait until the kernel has left the run, and begin; False if it is not to be had here any more."""
        runtime, run_id = self._runtime, self._order.run_id
        while not self.stopping.is_set():
            run = runtime.require_run(run_id)
            if not (self._is_ours(run) and moves.is_for_this(runtime, run_id)):
                log.info("%s: is not to be driven here any more", run_id)
                return False
            with suppress(StoreBusyError):
                if resume(runtime, run, self._is_ours) is not None:
                    self._reasons[run_id] = " (it was detached)"
                    return True
            await asyncio.sleep(_STEP)
        return False

    def _is_ours(self, run: RunRecord) -> bool:
        return run.status not in FINISHED and run.reason != "paused"


def check(program: Program, order: Order) -> AnyJob:
    """The job of the run. Raises `Problem` if the run cannot be driven here as its kernel drives it."""
    jobs = [job for job in program.jobs if job._runtime.store.is_at(order.store)]
    record = jobs[0]._runtime.run_record(order.run_id) if jobs else None
    name = Path(order.file).name
    if not jobs and program.jobs:
        places = ", ".join(sorted({str(job._runtime.store.directory) for job in program.jobs}))
        raise Problem(f"the jobs of {name} have another store, {places}; the run is in {order.store}")
    job = None if record is None else next((each for each in jobs if each.id == record.job), None)
    if job is None or record is None:
        raise Problem(
            f"{name}, as it is saved, does not define its job: save the notebook, then detach the run"
        )
    if order.code and code_of(job.fn) != order.code:
        raise Problem(
            f"{name}, as it is saved, has other code for job {job.id!r} than this kernel: save the notebook and run its cells, "
            "then detach the run. run.detach(anyway=True) goes on with the saved code"
        )
    job._again(record)  # its payload can be read here
    return job


async def drive(order: Order, told: int) -> int:
    """Drive the run. Returns the exit code."""
    try:
        moves.be(order.name)
        program = await load(order.file)
        for line in program.left_out:
            log.info("%s", line)
        worker = Detached(program, check(program, order), order)
    except (Problem, TriggerError) as error:
        log.error("%s", error)
        _tell(told, str(error))
        return FAILED
    stop_on_signals(worker.stop)
    _tell(told, "")
    await worker.run()
    return 0


def _tell(told: int, why: str) -> None:
    """Tell the kernel that this worker is ready, or why it is not. The kernel may be gone."""
    answer: dict[str, Any] = {"why": why}
    with suppress(OSError):
        os.write(told, f"{json.dumps(answer)}\n".encode())
    with suppress(OSError):
        os.close(told)


def main() -> int:
    """The process."""
    told = os.dup(1)  # the pipe to the kernel; what the user's code prints goes to the log
    os.dup2(2, 1)
    set_up_logging(level="info")
    return asyncio.run(drive(Order(sys.argv[1]), told))


if __name__ == "__main__":
    sys.exit(main())
