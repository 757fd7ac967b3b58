"""What calls, scopes and maps use of the parts of a pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn, Protocol

if TYPE_CHECKING:
    from .._records.records import TaskRecord
    from ..errors import TriggerError, UsageError


class RecordsApi(Protocol):
    """The records of a run, as calls and maps use them."""

    def is_known(self, path: str) -> bool:
        """Whether a task has a record."""
        ...

    def is_waiting(self, path: str) -> bool:
        """Whether a task has a time that it waits for."""
        ...

    def glance(self, path: str) -> TaskRecord | None:
        """The record of a task, where it matters little: None also if it cannot be read."""
        ...

    def mark_started(self, record: TaskRecord) -> None:
        """Record that a body has begun. On the watch's thread. Raises `StoreError`."""
        ...

    def mark_stopped(self, record: TaskRecord) -> None:
        """Record that a body that has begun is cut short by the end of the process. From any thread. Raises `StoreError`."""
        ...


class StoppingApi(Protocol):
    """The end of a pass, as calls use it."""

    def misused(self, error: UsageError) -> UsageError:
        """Keep an error of misuse, which fails the run; for `raise owner.stopping.misused(...)`."""
        ...

    def cancellation(self) -> BaseException:
        """The exception that unwinds user code when the pass is stopped."""
        ...

    @property
    def why(self) -> str | None:
        """Why the pass takes no more calls: a `Stop`."""
        ...

    async def fail(self, error: TriggerError) -> NoReturn:
        """End the pass for a fault of ours, and let the call wait for that."""
        ...

    def look_at_lease(self) -> None:
        """Stop if another kernel has taken the run over. On the watch's thread."""
        ...

    def interrupt(self) -> None:
        """End the pass for an interrupt that something it waits for has taken."""
        ...
