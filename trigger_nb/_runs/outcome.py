"""The end of a run, as its caller and its handlers see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, TypeAlias

from .._callsite import PACKAGE_FOLDER
from .._engine.origins import related
from .._records.status import RunStatus


@dataclass(frozen=True, slots=True)
class Notification:
    """The argument of the `on_success` and `on_failure` handlers of a job: a run that has ended.

    Times are seconds since the epoch.
    """

    run_id: str
    job_id: str
    job_version: str
    payload: Any
    status: RunStatus
    output: Any
    error: BaseException | None
    started_at: float
    finished_at: float
    is_test: bool


Handler: TypeAlias = Callable[[Notification], object]
"""The function that a job calls when a run has ended; if it returns an awaitable, that is awaited."""


@dataclass(slots=True)
class Outcome:
    """The end of a run in this kernel: its error, or None if it completed. The output is in the record of the run."""

    error: BaseException | None = None
    # The traceback of the error as it left the run function. Each cell that raises the error adds frames to it.
    traceback: TracebackType | None = field(init=False)

    def __post_init__(self) -> None:
        for each in related(self.error):
            # Not by assignment: the class may have a `__setattr__` of its own.
            BaseException.with_traceback(each, users_frames(each.__traceback__))
        self.traceback = None if self.error is None else self.error.__traceback__

    def raised(self) -> BaseException | None:
        """The error with its first traceback, to be raised again."""
        return None if self.error is None else self.error.with_traceback(self.traceback)


def users_frames(traceback: TracebackType | None) -> TracebackType | None:
    """The traceback without the frames of this package."""
    kept: list[TracebackType] = []
    step = traceback
    while step is not None:
        if not step.tb_frame.f_code.co_filename.startswith(PACKAGE_FOLDER):
            kept.append(step)
        step = step.tb_next
    chain: TracebackType | None = None
    for each in reversed(kept):
        chain = TracebackType(chain, each.tb_frame, each.tb_lasti, each.tb_lineno)
    return chain
