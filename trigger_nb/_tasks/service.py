"""An integration, as the engine knows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .._clock import Clock
    from .._concurrency.limiter import Limiter
    from ..retry import RetryAt, SkipRetrying


class Service(Protocol):
    """An integration, as the engine uses it for a task."""

    def client(self) -> object:
        """The authenticated client, which a body can take as a parameter, like `task` and `io`."""
        ...

    def judge(self, error: Exception, now: float) -> Exception | RetryAt | SkipRetrying | None:
        """The decision on an error that `on_error` left undecided. None: follow `retry`."""
        ...

    def limiter(self, clock: Clock) -> Limiter:
        """Lets no call of the service start while the service has asked to wait."""
        ...
