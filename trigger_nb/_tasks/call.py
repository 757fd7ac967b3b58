"""A call of a task, such as `io.run_task(...)`: an awaitable that runs or replays the task when awaited."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from .._callsite import show_place
from .._keys import display_key

if TYPE_CHECKING:
    from .._callsite import Place
    from .._concurrency.limiter import Limiter
    from .._concurrency.threads import Start
    from .._records.records import TaskRecord
    from ..retry import RetryAt, SkipRetrying
    from .options import Options
    from .running import RunningBody
    from .scope import Scope

T = TypeVar("T")
MISS: Any = object()  # the value of `replay` when there is no stored result to return


class Service(Protocol):
    """An integration, as the engine uses it for a task."""

    def client(self) -> Any:
        """The authenticated client, which a body can take as a parameter, like `task` and `io`."""
        ...

    def judge(self, error: Exception, attempt: int, now: float) -> Exception | RetryAt | SkipRetrying | None:
        """The decision on an error that `on_error` left undecided. None: follow `retry`."""
        ...


class FanOut(Protocol):
    """The body of a node with items: of a map, or of a `parallel`."""

    tally: dict[str, int]  # counts of items, for the node's record
    stopped: bool  # no more results are wanted

    async def __call__(self, scope: Scope, begun: Callable[[], None]) -> Any:
        """Run the items in the node's scope. `begun` is called before the first one that is not replayed."""
        ...


class Batch(Protocol):
    """Items of a map that share one call of the body; see `_maps/batch.py`."""

    def start(self, call: Call[Any], running: RunningBody) -> Start:
        """The way to run a `def` body for one of the items."""
        ...

    async def join(self, call: Call[Any], running: RunningBody) -> Any:
        """Await an `async def` body; the result of one of the items."""
        ...

    def end(self, call: Call[Any]) -> None:
        """Remove an item that has ended, for whatever reason."""
        ...


class Call(Generic[T]):
    """A call of a task. Awaiting it replays the stored result, or runs the body."""

    __slots__ = (
        "__weakref__",
        "args",
        "awaited",
        "batch",
        "body",
        "deadline",
        "decision",
        "host",
        "inputs",
        "is_running",
        "kind",
        "limiter",
        "options",
        "path",
        "place",
        "record",
        "scope",
        "segment",
        "service",
        "steps",
    )

    def __init__(
        self,
        scope: Scope,
        segment: str,
        body: Any,
        args: tuple[Any, ...],
        options: Options,
        place: Place,
        kind: str = "task",
        service: Service | None = None,
        deadline: Callable[[float], float] | None = None,
    ) -> None:
        self.scope = scope
        self.segment = segment  # the cache key in its normal form
        self.body = body
        self.args = args
        self.options = options
        self.place = place
        self.kind = kind  # as in a record; "own" for a task whose body belongs to this package
        self.service = service  # the integration that offers the task, if any
        self.deadline = deadline  # for a wait: computes the end from the start, in UTC seconds
        self.awaited = False
        self.inputs: str | None = None  # the fingerprint of the arguments, if known beforehand
        self.limiter: Limiter | None = None  # of the enclosing map, for an item
        self.batch: Batch | None = None  # the items that share one call of the body with this one
        self.is_running = False  # the body is running
        self.host: Any = None  # the asyncio task that performs the call
        self.path = ""  # set when the call is first awaited
        self.decision: Any = None  # of `_engine.decide`, until it is carried out
        self.record: TaskRecord | None = None
        self.steps: Any = None  # the coroutine that `send` drives

    def __await__(self) -> Generator[Any, Any, T]:
        self.awaited = True
        owner = self.scope.owner
        value = owner.replay(self)
        if value is not MISS:
            return value
        return (yield from owner.perform(self).__await__())

    # With these methods a call is a coroutine to asyncio, so `create_task` and task groups accept it.

    def send(self, value: Any) -> Any:
        if self.steps is None:
            self.awaited = True
            owner = self.scope.owner
            stored = owner.replay(self)
            # Not through `__await__`: a large `gather` keeps all its calls alive, and each object costs.
            self.steps = owner.perform(self) if stored is MISS else _given(stored)
        return self.steps.send(value)

    def throw(self, *error: Any) -> Any:
        self.awaited = True  # the call was not forgotten
        self.steps = self.steps or self.__await__()
        return self.steps.throw(*error)

    def close(self) -> None:
        self.awaited = True
        self.steps = self.steps or self.__await__()
        self.steps.close()

    @property
    def __name__(self) -> str:
        """The name of the call in asyncio's warnings."""
        return f"io.run_task({display_key(self.segment)!r}, ...)"

    def __repr__(self) -> str:
        return f'<a task that has not started: write "await" in front of it: await io.run_task({display_key(self.segment)!r}, ...)>'

    def __del__(self) -> None:
        if not self.awaited:
            warnings.warn(
                f"the task {display_key(self.segment)!r} was never awaited, so it did not run: "
                f'write "await" in front of the call at {show_place(self.place)}',
                RuntimeWarning,
                stacklevel=2,
            )


async def _given(value: T) -> T:
    return value


class AlreadyDone:
    """An awaitable that does nothing, so that `await io.logger.info(...)` also works."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, Any, None]:
        return
        yield


DONE = AlreadyDone()
