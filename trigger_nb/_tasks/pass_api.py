"""`PassApi`: what code may ask of the pass that it runs in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeVar

if TYPE_CHECKING:
    from .._clock import Clock
    from .._concurrency.limiter import Limiter
    from .._concurrency.threads import Home, Start
    from .._records.feed import Feed
    from .._records.records import RunRecord, TaskRecord
    from ..errors import TriggerError, UsageError
    from .call import Call
    from .options import Settings
    from .scope import Scope

T = TypeVar("T")


class RecordsApi(Protocol):
    """What may be asked of the records of a run."""

    def is_waiting(self, path: str) -> bool:
        """Whether a task has a time that it waits for."""
        ...

    def mark_started(self, record: TaskRecord) -> None:
        """Record that a body has begun. On the watch's thread. Raises `StoreError`."""
        ...


class StoppingApi(Protocol):
    """What may be asked of the end of a pass."""

    async def fail(self, error: TriggerError) -> NoReturn:
        """End the pass for a fault of ours, and let the call wait for that."""
        ...


class HeaderApi(Protocol):
    """What may be asked of the header of a run."""

    def excuse(self, seconds: float) -> None:
        """Do not count time between tasks that was ours."""
        ...


class PassApi(Protocol):
    """A pass, or a plan of one, as calls, maps and `io` know it: the owner of their scope."""

    root: Scope  # of the run function
    run: RunRecord
    clock: Clock
    feed: Feed
    home: Home
    settings: Settings

    @property
    def ledger(self) -> RecordsApi:
        """The records of the run."""
        ...

    @property
    def header(self) -> HeaderApi:
        """The hints of the run."""
        ...

    @property
    def stopping(self) -> StoppingApi:
        """The end of the pass."""
        ...

    @property
    def replay(self) -> Callable[[Call[Any]], Any]:
        """The stored value of a call, or `MISS`. Synchronous; each call is replayed once, and then, if need be, performed."""
        ...

    async def perform(self, call: Call[T]) -> T:
        """The value of a call that `replay` had none for. `MISS` in a plan, where no body is called."""
        ...

    def has_final_error(self, path: str) -> bool:
        """Whether a task ended in an error that is replayed."""
        ...

    def misused(self, error: UsageError) -> UsageError:
        """Keep an error of misuse, which fails the run; for `raise owner.misused(...)`."""
        ...

    def cancellation(self) -> BaseException:
        """The exception that unwinds user code when the pass is stopped."""
        ...

    def about_to_start(self, what: str) -> None:
        """User code is about to start a run or send an event by itself, and not through `io`."""
        ...

    def limiters_of(self, call: Call[Any]) -> list[Limiter]:
        """The limiters that each attempt of a call enters."""
        ...

    def start_of_batch(self, first: Call[Any], items: list[Any], node: Scope) -> Start | None:
        """A way to call the body for several items at once off the loop; None: on the loop."""
        ...

    def wait_for_run(self, scope: Scope, wait: Callable[[], Awaitable[None]]) -> Awaitable[None]:
        """Wait for a child run, without holding a slot meanwhile."""
        ...

    def log(self, scope: Scope, level: str, message: object, data: Any = None) -> None:
        """Add a log line to the tree."""
        ...

    def look_at_lease(self) -> None:
        """Stop if another kernel has taken the run over. On the watch's thread."""
        ...
