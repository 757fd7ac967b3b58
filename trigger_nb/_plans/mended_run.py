"""The operations of a person on the results of a run: set one, accept changes, call a body on kept arguments."""

from __future__ import annotations

from typing import Self

from .._records.records import TaskRecord
from .._runs.asked_run import AskedRun
from .._runs.by_hand import set_output
from .._runs.task_inputs import TodaysBody
from .._runs.task_paths import TaskPath
from .accepting import accept
from .todays_body import todays_body


class MendedRun(AskedRun):
    """The part of `Run` that needs rehearsals of its job. It records, and begins no pass."""

    def set_output(self, path: TaskPath, value: object) -> Self:
        """Record a result of a task by hand, in this run, whatever became of the task. Nothing runs yet.

        The next pass replays the result: `retry()` or `resume()`, or running the cell again. The task's record says that a
        person set it, and when: `run.task(path).set_by_hand`. The bodies of tasks around it run again. Tasks that
        started after it keep their results, or run again, as `on_change=` of the task or job says. A pass that is
        under way in this kernel ends before the change, and another one begins.

            run.set_output(["fetch", "page-3"], {"title": "Typed by hand"}).retry()

        Raises `NotFoundError` if there is no such task, `InvalidOptionError` for a map or parallel, whose result comes
        from its items, `NotStorableError` if the value cannot be stored, and `RunLockedError` if another kernel
        drives the run.
        """
        set_output(self._runtime, self._id, path, value)
        return self

    def accept(self, path: TaskPath | None = None) -> Self:
        """Take the changes of code and params that tasks are marked with as none: the stored results stay, the marks go.

        With a `path`, those of this task and of its subtasks, else all. Nothing runs: the job is rehearsed, as
        `job.plan` does, to find the tasks as they are called now, so its cell must have been run in this kernel.

            run.accept("classify")

        Raises `NotFoundError` if there is no such task or the job is not defined in this kernel; `RunStateError` while
        the run is under way; `RunLockedError` if another kernel drives it; and errors of reading stored results.
        """
        accept(self._runtime, self._id, path)
        return self

    def _body_of(self, record: TaskRecord) -> TodaysBody:
        return todays_body(self._runtime, self._id, record)
