"""A run in Python's `logging`: its passes, the ends of its tasks, and the lines of `io.logger`.

    trigger_nb.run    passes begin, and end: INFO; a run that fails: ERROR
    trigger_nb.task   tasks that complete: DEBUG; that fail: WARNING
    trigger_nb.log    the lines of `io.logger`, each at its level

Nothing is printed and nothing is followed unless the program has set up `logging` at the level INFO or lower.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging

from .._keys import display_path
from .._records.feed import Feed, PassBegan, Saved, SavedRun, Subscription
from .._records.records import RunRecord, TaskRecord
from .._records.status import FINISHED, RunStatus, TaskStatus
from .._view.model.readable import error_line
from .._view.words import duration

_LEVELS = {"debug": logging.DEBUG, "warning": logging.WARNING, "error": logging.ERROR}
_run, _task, _log = (logging.getLogger(f"trigger_nb.{name}") for name in ("run", "task", "log"))
for _each in (_run, _task, _log):
    _each.addHandler(
        logging.NullHandler()
    )  # as libraries do: else warnings would be printed without being asked for


class RunLog:
    """Follows one run under way, and logs on the event loop, outside of any task: a body does not print it."""

    def __init__(self, feed: Feed, run: RunRecord) -> None:
        self._loop = asyncio.get_running_loop()
        self._run_id, self._job = run.id, run.job
        self._ended: set[str] = set()  # paths and generations of tasks whose end was logged
        self._subscription: Subscription = feed.subscribe(self._wake)

    @classmethod
    def of(cls, feed: Feed, run: RunRecord) -> RunLog | None:
        """Follow a run whose pass begins; None if nobody reads it."""
        return cls(feed, run) if _is_read() else None

    def close(self) -> None:
        """The run has ended."""
        self._drain()
        self._subscription.close()

    def _wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._drain, context=contextvars.Context())
        except RuntimeError:  # the loop is closed
            self._subscription.close()

    def _drain(self) -> None:
        for event in self._subscription.take():
            match event:
                case PassBegan(number):
                    _run.info("run %s of job %s begins pass %d", self._run_id, self._job, number)
                case SavedRun(run) if run.status in FINISHED:
                    self._log_end(run)
                case Saved(record, live=False):
                    self._log_task(record)
                case _:
                    pass

    def _log_end(self, run: RunRecord) -> None:
        took = f" after {duration(run.worked)}" if run.worked else ""
        if run.status == RunStatus.FAILED:
            _run.error("run %s of job %s failed%s: %s", run.id, run.job, took, error_line(run.error))
        else:
            _run.info("run %s of job %s is %s%s", run.id, run.job, run.status, took)

    def _log_task(self, record: TaskRecord) -> None:
        if record.kind == "log":
            level = _LEVELS.get(record.level, logging.INFO)
            _log.log(level, "%s", record.name, extra=self._extra(record))
            return
        key = f"{record.generation}/{record.path}/{record.status}"
        if record.status not in (TaskStatus.COMPLETED, TaskStatus.ERRORED) or key in self._ended:
            return
        self._ended.add(key)
        name = display_path(record.path)
        if record.status == TaskStatus.ERRORED:
            text = error_line(record.error)
            _task.warning("task %s of run %s failed: %s", name, self._run_id, text, extra=self._extra(record))
        else:
            took = duration(max(0.0, (record.ended_at or 0.0) - record.started_at))
            _task.debug(
                "task %s of run %s completed in %s", name, self._run_id, took, extra=self._extra(record)
            )

    def _extra(self, record: TaskRecord) -> dict[str, str]:
        """Attributes of the log record, for filters and structured logs."""
        return {"run_id": self._run_id, "job_id": self._job, "task_path": display_path(record.path)}


def _is_read() -> bool:
    """Whether the program reads lines of these loggers, and asks for more than warnings, which is the default of `logging`."""
    return any(each.isEnabledFor(logging.INFO) and _has_handler(each) for each in (_run, _task, _log))


def _has_handler(logger: logging.Logger | None) -> bool:
    while logger is not None:
        if any(not isinstance(each, logging.NullHandler) for each in logger.handlers):
            return True
        logger = logger.parent if logger.propagate else None
    return False
