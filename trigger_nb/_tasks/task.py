"""What a task's body sees of its task, and how a task is described."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .._keys import idempotency_key, last_segment
from .._records.feed import Progressed
from .options import Properties

if TYPE_CHECKING:
    from .._records.feed import Feed
    from .scope import Scope


class Task:
    """The task, as its body sees it.

    A body gets it by taking a parameter named `task`:

        async def charge(amount, task):
            stripe.Charge.create(amount=amount, idempotency_key=task.idempotency_key)
    """

    def __init__(
        self, run_id: str, path: str, generation: int, attempt: int, feed: Feed, scope: Scope,
        log: Callable[[Scope, str, object, Any], None],
    ) -> None:  # fmt: skip
        self.run_id = run_id
        self.path = path
        self.attempt = attempt
        self.status = "RUNNING"
        # Set in the body, shown after it.
        self.output_properties: Properties | None = None
        self._generation = generation
        self._feed = feed
        self._scope = scope
        self._log = log

    @property
    def id(self) -> str:
        """Unique over all runs: the run's id and the path."""
        return f"{self.run_id}/{self.path}"

    @property
    def key(self) -> str:
        """The cache key in its normal form."""
        return last_segment(self.path)

    @property
    def idempotency_key(self) -> str:
        """A token to hand to outside services: the same in every attempt, pass and kernel."""
        return idempotency_key(self.run_id, self.path, self._generation)

    def progress(self, done: float, total: float | None = None, text: str | None = None) -> None:
        """Show how far the body is. Not kept: a finished task has no progress."""
        if self._feed.watched:
            self._feed.emit(Progressed(self.path, done, total, text))

    def log(self, message: object, data: Any = None, level: str = "info") -> None:
        """Add a line under this task; it is not repeated on replay."""
        self._log(self._scope, level, message, data)

    def __reduce__(self) -> Any:
        raise TypeError(
            "a task cannot be pickled: it belongs to this kernel. Pass task.idempotency_key instead."
        )

    def __repr__(self) -> str:
        return f"<Task {self.path!r} attempt {self.attempt} of run {self.run_id}>"
