"""A call of `io.run_task` that waits for its `await`, and what surrounds all calls of a run."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from ._keys import display_key

if TYPE_CHECKING:
    from ._executors import Start
    from ._flights import Flight
    from ._limits.limiter import Limiter
    from ._records import TaskRecord
    from ._scope import Place, Scope
    from ._task import OnChange, Options
    from .retry import RetryAt, SkipRetrying

T = TypeVar("T")

MISS: Any = object()  # no stored result can be given at once


@dataclass(slots=True)
class Settings:
    """What the client and the job say about all tasks of a run."""

    max_depth: int = 5
    on_change: OnChange = "keep"
    timeout: float | None = None
    repeatable: bool = False
    redact: tuple[str, ...] = ()
    executor: Any = None


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


def show_place(place: Place) -> str:
    """A place in the user's code as text: "cell 3, line 7" where it can be told, else file and line."""
    code, instruction = place
    line = code.co_firstlineno
    for start, end, at in code.co_lines():
        if start <= instruction < end and at is not None:
            line = at
            break
    return f"{_cell_name(code.co_filename)}, line {line}"


def _cell_name(filename: str) -> str:
    """ "cell [3]" for a notebook's cell, else the file as it is."""
    shell_module = sys.modules.get("IPython")
    shell = shell_module.get_ipython() if shell_module is not None else None
    names = getattr(getattr(shell, "compile", None), "_filename_map", {})
    number = names.get(filename)
    return f"cell [{number}]" if number is not None else filename
