"""The operations of a person on the results of a run: set one, accept changes, call a body on kept arguments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self

from .._records.records import TaskRecord
from .._runs.asked_run import AskedRun
from .._runs.by_hand import set_output
from .._runs.run_results import RunResults
from .._runs.task_inputs import TodaysBody
from .._runs.task_paths import TaskPath
from .accepting import accept
from .todays_body import todays_body
from .try_out import TryOut
from .try_subjects import items_of_map, the_task


class MendedRun(AskedRun, RunResults):
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

    def try_map(
        self,
        path: TaskPath,
        n: int = 5,
        *,
        seed: int | str = 0,
        failures_first: bool = False,
        items: Iterable[Any] | Mapping[Any, Any] | None = None,
    ) -> TryOut:
        """Call today's body on `n` items of a map that have ended, and show old and new side by side. Nothing is recorded.

        The same `seed` chooses the same items. `failures_first` takes failed ones before others. Each call is made once,
        in this kernel, as many at a time as in the map, and at its `rate=`; `check=` applies, `retry=` and `timeout=` do not.

        `await` the result, or end a cell with it, which shows itself again when it is done. It has what each item took and
        used, what all would cost (`forecast`), and what to do then: `all()`, `only()`, `accept_old()`.

            trial = await run.try_map("summarize", n=5)
            trial.all()

        The job is rehearsed, as for `job.plan`, to find the items as they are passed today. Where it does not come to the
        map, kept arguments serve (`keep_inputs=True`), or `items=`: some of the items, or a dict of them by `item_key`.

        Raises `NotFoundError`, `InvalidOptionError`, `InputsNotKeptError` if the arguments are not known, which says what to
        type, `RunStateError` if no item has ended, and, when it is awaited, `UsageError` for a body that takes `io`.
        """
        subjects = items_of_map(
            self._runtime, self._id, path, n, seed=seed, failures_first=failures_first, items=items
        )
        return TryOut(self, subjects)

    def try_task(self, path: TaskPath) -> TryOut:
        """Call today's body of one task on its arguments, as `try_map` does with items. Nothing is recorded.

            await run.try_task("draft")

        Raises what `try_map` raises.
        """
        return TryOut(self, the_task(self._runtime, self._id, path))

    def rerun_from(self, path: TaskPath, *more: TaskPath) -> Self:
        """Run tasks again: see `Run.rerun_from`."""
        raise NotImplementedError  # it begins a pass, which `Run` shows

    def _body_of(self, record: TaskRecord) -> TodaysBody:
        return todays_body(self._runtime, self._id, record)
