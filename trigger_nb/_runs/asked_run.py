"""The part of a run that people answer and wait for: approvals, inputs, and when its waits are over."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from . import answering, due
from .run_data import RunData
from .task_info import moment
from .task_paths import TaskPath


class AskedRun(RunData):
    """The answers to the questions of a run."""

    def approve(
        self, path: TaskPath, choice: str = "approve", data: object = None, *, by: str | None = None
    ) -> Self:
        """Answer `io.wait_for_approval`, in any process that has the store. The run goes on if a kernel drives it.

        `data` is an instance of the `schema`, or a dict of its fields. `by` is who answers, by default the user of this
        process. If no kernel drives the run, the answer counts as soon as one does: `run.approve("publish").resume()`.

        Raises `AlreadyAnsweredError` if there is an answer: the first one counts; `InvalidAnswerError` for a choice or data
        that do not fit; `NotFoundError` and `RunStateError` if nothing waits for an answer there.

        >>> run.approve("publish")  # doctest: +SKIP
        >>> run.approve("budget", data={"limit": 300}, by="ada")  # doctest: +SKIP
        """
        answering.choose(self._runtime, self._id, path, choice, data, by)
        return self

    def reject(self, path: TaskPath, data: object = None, *, by: str | None = None) -> Self:
        """Answer `io.wait_for_approval` with "reject". Errors as in `approve`."""
        answering.choose(self._runtime, self._id, path, "reject", data, by)
        return self

    def answer(self, path: TaskPath, value: object, *, by: str | None = None) -> Self:
        """Answer `io.ask` with a value: an instance of its `schema`, or plain data. Otherwise as `approve`.

        >>> run.answer("city", "Paris")  # doctest: +SKIP
        """
        answering.give(self._runtime, self._id, path, value, by)
        return self

    @property
    def wake_at(self) -> datetime | None:
        """When the first of the run's waits, delays, pauses between attempts and time limits of questions is over, in UTC.

        It is in the past if no kernel drives the run and something is due: `resume()` goes on. None if the run waits for
        no time, is paused or has ended.
        """
        return moment(due.wake_at(self._runtime, self._record))
