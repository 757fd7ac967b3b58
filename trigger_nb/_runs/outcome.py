"""How a run ended, as its caller sees it: the output, or the error with notes."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from .._callsite import PACKAGE_FOLDER
from .._engine.origins import related
from .._records.status import RunStatus


@dataclass(frozen=True, slots=True)
class Notification:
    """What `on_success` and `on_failure` get."""

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


@dataclass(slots=True)
class Outcome:
    """How a run ended in this kernel: its output's record, or an error."""

    error: BaseException | None = None
    # The error's as it left the run function: each cell that raises it adds its own to it.
    traceback: TracebackType | None = field(init=False)

    def __post_init__(self) -> None:
        for each in related(self.error):
            each.__traceback__ = users_frames(each.__traceback__)
        self.traceback = None if self.error is None else self.error.__traceback__

    def raised(self) -> BaseException | None:
        """The error, to be raised once more."""
        return None if self.error is None else self.error.with_traceback(self.traceback)


def users_frames(traceback: TracebackType | None) -> TracebackType | None:
    """A traceback without the frames of this package."""
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
