"""The end of a pass, as it concerns the run: the status that the run gets, with its output or error."""

from __future__ import annotations

import asyncio
import inspect
import logging
from dataclasses import dataclass

from .._engine.pass_ import Pass
from .._engine.stopping import Stop
from .._records.records import RunRecord
from .._records.status import RunStatus
from ..errors import RunCanceledError, RunInterrupted, RunInterruptedError, RunLostError, TriggerError
from .outcome import Notification
from .run_spec import RunSpec

logger = logging.getLogger("trigger_nb")


@dataclass(slots=True)
class Ending:
    """The status that a run gets from the end of a pass, with its output or error."""

    status: RunStatus
    output: object = None
    error: BaseException | None = None
    reason: str = ""


def ending_of(pass_: Pass) -> Ending:
    """The ending of a run whose pass has ended."""
    run_id, stopping = pass_.run.id, pass_.stopping
    if stopping.is_lost():
        return Ending(RunStatus.INTERRUPTED, error=_lost(run_id))
    if stopping.why == Stop.PAUSE and pass_.waits.stops:
        said = ". ".join(pass_.waits.stops.values())
        error = RunInterruptedError(f"run {run_id} is paused. {said.replace('`', '')}")
        return Ending(RunStatus.WAITING, error=error, reason="paused")
    if stopping.why == Stop.PAUSE and stopping.left is not None:
        return _left(run_id, *stopping.left)
    if stopping.why not in (None, Stop.ENDED, Stop.MISUSE):
        return _stopped(run_id, stopping.why, stopping.error)
    failure = stopping.misuse or pass_.failure
    if failure is None:
        assert pass_.result is not None
        return Ending(RunStatus.COMPLETED, output=pass_.result[0])
    if isinstance(failure, (asyncio.CancelledError, RunInterrupted, KeyboardInterrupt)):
        return _stopped(run_id, Stop.INTERRUPT)
    return Ending(RunStatus.FAILED, error=failure)


def _stopped(run_id: str, why: Stop, fault: TriggerError | None = None) -> Ending:
    match why:
        case Stop.CANCEL:
            error: TriggerError = RunCanceledError(
                f"run {run_id} was canceled; run its cell again to continue where it stopped"
            )
            return Ending(RunStatus.CANCELED, error=error)
        case Stop.PAUSE:
            error = RunInterruptedError(
                f"run {run_id} is paused; call run.resume(), or run its cell again, to continue"
            )
            return Ending(RunStatus.WAITING, error=error, reason="paused")
        case Stop.STORE:
            return Ending(RunStatus.INTERRUPTED, error=fault)
        case _:
            error = RunInterruptedError(
                f"run {run_id} was interrupted; run its cell again to continue where it stopped"
            )
            return Ending(RunStatus.INTERRUPTED, error=error)


def _left(run_id: str, status: str, reason: str) -> Ending:
    error = RunInterruptedError(
        f"run {run_id} was left to another process, which continues it where it stopped"
    )
    return Ending(RunStatus(status), error=error, reason=reason)


def _lost(run_id: str) -> RunLostError:
    return RunLostError(
        f"another kernel took over run {run_id}, because this kernel seemed dead. The results of tasks "
        "that completed here are kept. Follow the run in the other kernel, or run the cell again once it has ended."
    )


async def notify(spec: RunSpec, run: RunRecord, ending: Ending) -> None:
    """Call the job's handler for this ending, if it has one. Its errors are logged: the run has ended."""
    handlers = {RunStatus.COMPLETED: spec.on_success, RunStatus.FAILED: spec.on_failure}
    handler = handlers.get(ending.status)
    if handler is None:
        return
    notification = Notification(
        run_id=run.id,
        job_id=run.job,
        job_version=run.version,
        payload=spec.payload.take(),
        status=ending.status,
        output=ending.output,
        error=ending.error,
        started_at=run.started_at or 0.0,
        finished_at=run.finished_at or 0.0,
        is_test=run.is_test,
    )
    try:
        answer = handler(notification)
        if inspect.isawaitable(answer):
            await answer
    except (Exception, SystemExit):
        logger.exception("the %s handler of job %s failed", ending.status.lower(), run.job)
