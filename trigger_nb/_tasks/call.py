"""A call of `io.run_task` that waits for its `await`, and what surrounds all calls of a run."""

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
    from .flights import Flight
    from .options import Options
    from .scope import Scope

T = TypeVar("T")
MISS: Any = object()  # no stored result can be given at once


class Service(Protocol):
    """What an integration adds to a task."""

    def client(self) -> Any:
        """The authenticated client, offered to the body beside `task` and `io`."""
        ...

    def judge(self, error: Exception, attempt: int, now: float) -> Exception | RetryAt | SkipRetrying | None:
        """What is to be done about an error, when `on_error` says nothing; None: as `retry` says."""
        ...


class FanOut(Protocol):
    """What the node of a map, or a `parallel`, has for a body."""

    tally: dict[str, int]  # what the node's record says of its items
    stopped: bool  # nobody wants the rest any more

    async def __call__(self, scope: Scope, begun: Callable[[], None]) -> Any:
        """Walk over the items in the node's scope; `begun` is called as soon as one is not replayed."""
        ...


class Batch(Protocol):
    """Items of a map that share one call of the body, see `_maps`."""

    def start(self, call: Call[Any], flight: Flight) -> Start:
        """How one of them takes part where the body is a `def`."""
        ...

    async def join(self, call: Call[Any], flight: Flight) -> Any:
        """And where it is `async def`."""
        ...

    def end(self, call: Call[Any]) -> None:
        """One of them has come to its end."""
        ...


class Call(Generic[T]):
    """A call of `io.run_task` that waits for its `await`."""

    __slots__ = (
        "__weakref__", "args", "awaited", "batch", "body", "deadline", "decision", "flying", "host", "inputs", "kind",
        "limiter", "options", "path", "place", "record", "scope", "segment", "service", "steps",
    )  # fmt: skip

    def __init__(
        self, scope: Scope, segment: str, body: Any, args: tuple[Any, ...], options: Options, place: Place,
        kind: str = "task", service: Service | None = None,
        deadline: Callable[[float], float] | None = None,
    ) -> None:  # fmt: skip
        self.scope = scope
        self.segment = segment
        self.body = body
        self.args = args
        self.options = options
        self.place = place
        self.kind = kind  # as in a record; "own" for a task whose body is of this package
        self.service = service  # when it is an integration's
        self.deadline = deadline  # of a wait: from the time it begins to the time it ends
        self.awaited = False
        self.inputs: str | None = None  # the fingerprint of its arguments, where that is known beforehand
        self.limiter: Limiter | None = None  # of the map that it is an item of
        self.batch: Batch | None = None  # the items of the map that share one call of the body with it
        self.flying = False  # a body is running for it
        self.host: Any = None  # the asyncio task that performs it
        self.path = ""  # set when it is met
        self.decision: Any = None  # of `_engine.decide`, from when it is met until it is carried out
        self.record: TaskRecord | None = None
        self.steps: Any = None  # what `send` drives

    def __await__(self) -> Generator[Any, Any, T]:
        self.awaited = True
        owner = self.scope.owner
        value = owner.replay(self)
        if value is not MISS:
            return value
        return (yield from owner.perform(self).__await__())

    # With these it is a coroutine to asyncio: `create_task` and a task group's take it as it is.

    def send(self, value: Any) -> Any:
        if self.steps is None:
            self.awaited = True
            owner = self.scope.owner
            stored = owner.replay(self)
            # Not by way of `__await__`: what a `gather` starts is alive all at once, and each object costs.
            self.steps = owner.perform(self) if stored is MISS else _given(stored)
        return self.steps.send(value)

    def throw(self, *error: Any) -> Any:
        self.awaited = True  # or was about to be: nobody has forgotten it
        self.steps = self.steps or self.__await__()
        return self.steps.throw(*error)

    def close(self) -> None:
        self.awaited = True
        self.steps = self.steps or self.__await__()
        self.steps.close()

    @property
    def __name__(self) -> str:
        """What asyncio calls the task that it makes of this, in its warnings."""
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


class Said:
    """What `io.logger.info(...)` gives: the line is in the tree already, and awaiting it does nothing."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, Any, None]:
        return
        yield


SAID = Said()
