"""A call of a task, the scope that it is in, and the pass that carries it out: three types that know each other."""

from __future__ import annotations

import time
import warnings
from collections.abc import Awaitable, Callable, Generator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, TypeVar

from .._callsite import Place, show_place
from .._keys import display_key
from ..errors import ScopeUnknownError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable, Iterator

    import anyio

    from .._clock import Clock, Patience
    from .._concurrency.limiter import Limiter
    from .._concurrency.threads import Home, Start
    from .._records.feed import Feed
    from .._records.prints import Prints
    from .._records.records import RunRecord, TaskRecord
    from .._records.status import Reason
    from .._values.pieces import Made
    from .options import Options, Settings
    from .outside import Outside, Polling
    from .pass_api import RecordsApi, StoppingApi
    from .service import Service
    from .shown import Shown
    from .time_limit import TimeLimit

T = TypeVar("T")
MISS: Any = object()  # the value of `replay` when there is no stored result to return


class FanOut(Protocol):
    """The body of a node with items: of a map, or of a `parallel`."""

    tally: dict[str, int]  # counts of items, for the node's record
    stopped: bool  # no more results are wanted

    async def __call__(self, scope: Scope, begun: Callable[[], None]) -> Any:
        """Run the items in the node's scope. `begun` is called before the first one that is not replayed."""
        ...


class Batch(Protocol):
    """Items of a map that share one call of the body; see `_maps/batch.py`."""

    def start(self, call: AnyCall) -> Start:
        """The way to run a `def` body for one of the items."""
        ...

    async def join(self, call: AnyCall, begin: Callable[[], bool]) -> Any:
        """Await an `async def` body; the result of one of the items. `begin` is called as for a `def` body."""
        ...

    def end(self, call: AnyCall) -> None:
        """Remove an item that has ended, for whatever reason."""
        ...


class Call(Generic[T]):
    """A call of a task. Awaiting it replays the stored result, or runs the body."""

    __slots__ = (
        "__weakref__",
        "args",
        "awaited",
        "batch",
        "beside",
        "body",
        "deadline",
        "decision",
        "facts",
        "from_thread",
        "host",
        "inputs",
        "is_altered",
        "is_running",
        "kind",
        "limiter",
        "options",
        "outside",
        "path",
        "place",
        "record",
        "refused",
        "scope",
        "segment",
        "service",
        "steps",
        "turn",
    )

    def __init__(
        self,
        scope: Scope,
        segment: str,
        body: Any,
        args: tuple[object, ...],
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
        self.outside: Outside | Polling | None = None  # what the body waits for
        self.batch: Batch | None = None  # the items that share one call of the body with this one
        self.is_running = False  # the body is running
        self.is_altered = False  # a body that failed has changed an argument in place
        self.beside = False  # Another call of the scope was in flight at the same time.
        self.from_thread = False  # Code in a worker thread makes the call.
        # `ended` and `beside` of a stored result that had company (R12).
        self.turn: tuple[int, int] | None = None
        self.host: asyncio.Task[object] | None = None  # the asyncio task that performs the call
        self.path = ""  # set when the call is first awaited
        self.decision: Any = None  # of `_engine.decide`, until it is carried out
        self.facts: Any = None  # about the body: `BodyFacts` in `_engine/changes.py`
        self.record: TaskRecord | None = None
        self.refused: tuple[Any] | None = None  # the result of the last attempt, if `check=` refused it
        self.steps: Any = None  # the coroutine that `send` drives

    def __await__(self) -> Generator[Any, Any, T]:
        self.awaited = True
        owner = self.scope.owner
        value = owner.replay(self)
        if value is MISS:
            return (yield from owner.perform(self).__await__())
        if self.turn is not None:
            yield from owner.turns.take(self)
        return value

    # With these methods a call is a coroutine to asyncio, so `create_task` and task groups accept it.

    def send(self, value: Any) -> Any:
        if self.steps is None:
            self.awaited = True
            owner = self.scope.owner
            stored = owner.replay(self)
            # Not through `__await__`: a large `gather` keeps all its calls alive, and each object costs.
            self.steps = owner.perform(self) if stored is MISS else self._given(stored)
        return self.steps.send(value)

    async def _given(self, value: T) -> T:
        if self.turn is not None:
            await self.scope.owner.turns.take(self)
        return value

    def throw(self, *error: BaseException) -> Any:
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


# A call of any result. Calls are generic for the users' type checkers; the engine hands results on as they are.
AnyCall: TypeAlias = Call[Any]


class AlreadyDone:
    """An awaitable that does nothing, so that `await io.logger.info(...)` also works."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, Any, None]:
        return
        yield


DONE = AlreadyDone()


class Scope:
    """One execution of the run function or of a task's body: one attempt in one pass."""

    __slots__ = (
        "adopted",
        "began",
        "closed",
        "deferred",
        "depth",
        "emptied",
        "failed",
        "host",
        "interrupted",
        "limit",
        "limiters",
        "logged",
        "only_io",
        "owner",
        "parent",
        "path",
        "prefix",
        "prints",
        "seen",
        "shown",
        "subtasks",
    )

    def __init__(self, owner: PassApi, path: str = "", parent: Scope | None = None) -> None:
        self.owner = owner  # The pass. Scopes of different passes are unrelated, also within one run.
        self.path = path
        self.prefix = path + "/" if path else ""
        self.parent = parent
        # When the code of this scope began, by the monotonic clock. A time limit around several calls began later.
        self.began = time.monotonic()
        self.depth: int = parent.depth + 1 if parent is not None else 0
        # Of the maps around, whose items this is in. They hold back their next items when a task in here is told to wait.
        self.limiters: tuple[Limiter, ...] = parent.limiters if parent is not None else ()
        # Cache keys used so far, with the place of the call: each once (I4).
        self.seen: dict[str, Place] = {}
        # Calls of this scope that have begun and not ended. The scope's own end is not committed
        # while there is one (A6). Made when first needed: most scopes have no subtasks.
        self.subtasks: set[AnyCall] | None = None
        self.emptied: anyio.Event | None = None  # An event that is set when `subtasks` becomes empty.
        self.host: asyncio.Task[object] | None = None  # of the body, if it is on the loop
        self.closed = False  # The body has ended: nothing new may start here.
        self.failed = False  # The body raised or was cancelled: subtasks that still run are cancelled too.
        self.interrupted = False  # The stop of the pass cancelled a subtask, so the body has no result (W3).
        self.adopted = False  # A later call waits for the body, and handles its failure.
        # The record of the body's failure, kept back while subtasks are running.
        self.deferred: TaskRecord | None = None
        self.only_io = False  # The body is known to have awaited nothing but calls of `io`.
        self.limit: TimeLimit | None = None  # The time limit of this attempt, if it has one.
        self.logged: dict[str, int] | None = None  # How often each log line was logged.
        self.prints: Prints | None = None  # The text that the body printed, made when it first prints.
        self.shown: Shown | None = None  # What the body showed, made when it first shows something.

    def enter(self, call: Call[Any]) -> None:
        """Note that a call has begun. The two are *beside* each other if another one is in flight."""
        if self.subtasks is None:
            self.subtasks = set()
        elif self.subtasks:
            call.beside = True
            if len(self.subtasks) == 1:  # of several, all are marked already
                for other in self.subtasks:
                    other.beside = True
        self.subtasks.add(call)

    def leave(self, call: Call[Any]) -> None:
        """Note that a call has ended."""
        assert self.subtasks is not None
        self.subtasks.discard(call)
        if not self.subtasks and self.emptied is not None:
            self.emptied.set()

    def age(self) -> float:
        """Seconds since the code of this scope began, to the millisecond."""
        return round(time.monotonic() - self.began, 3)

    def fail(self) -> None:
        """Note that the body raised or was cancelled."""
        self.closed = self.failed = True

    def is_within(self, other: Scope) -> bool:
        """Whether this scope is `other` or lies inside it."""
        return any(scope is other for scope in self.outward())

    @property
    def is_timed_out(self) -> bool:
        """Whether the time of this body, or of one around it, is up."""
        return any(each.limit is not None and each.limit.expired for each in self.outward())

    def outward(self) -> Iterator[Scope]:
        """This scope, then the ones around it."""
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent


current_scope: ContextVar[Scope | None] = ContextVar("trigger_nb_scope", default=None)


def resolve_scope(known: Scope) -> Scope:
    """The scope of a call on the `io` that was made for `known` (rule I3).

    Code may use the `io` of an outer body; then the context tells the innermost body, also inside
    `asyncio.gather`, task groups and worker threads. Raises `ScopeUnknownError` where there is no context
    (in a thread that the user made) while bodies are running: the call could belong to any of them.
    """
    current = current_scope.get()
    if current is known:
        return known
    if current is not None and current.owner is known.owner:
        return current if current.is_within(known) else known
    if known.subtasks:
        raise ScopeUnknownError(
            "cannot tell which task's body uses this `io`: bodies are running, and a thread that you start "
            "yourself does not know the context. Take `io` as a parameter of the "
            "body that calls it; in a thread, let io.parallel(key, items, body) start it, or hand the context "
            "on: pool.submit(contextvars.copy_context().run, function, argument)"
        )
    return known


class TurnsApi(Protocol):
    """The order in which tasks that ran beside each other are replayed."""

    def take(self, call: AnyCall) -> asyncio.Future[None]:
        """Done when it is the turn of a call whose result is stored."""
        ...


class PassApi(Protocol):
    """A pass, or a plan of one, as calls, maps and `io` know it: the owner of their scope."""

    root: Scope  # of the run function
    run: RunRecord
    clock: Clock
    feed: Feed
    home: Home
    settings: Settings
    patience: Patience
    asks: bool  # whether somebody may look at the run: a map with `first=` stops

    @property
    def ledger(self) -> RecordsApi:
        """The records of the run."""
        ...

    @property
    def stopping(self) -> StoppingApi:
        """The end of the pass."""
        ...

    @property
    def turns(self) -> TurnsApi:
        """The order of replays (R12)."""
        ...

    @property
    def replay(self) -> Callable[[AnyCall], Any]:
        """The stored value of a call, or `MISS`. Synchronous; each call is replayed once, and then, if need be, performed."""
        ...

    async def perform(self, call: Call[T]) -> T:
        """The value of a call that `replay` had none for. `MISS` in a plan, where no body is called."""
        ...

    async def reuse_all(
        self, calls: Iterable[AnyCall], describe: Callable[[AnyCall], object], *, batch: bool
    ) -> dict[str, object]:
        """Take over the results of other runs for calls that have no record. By path: the value, or `MISS` for one that
        `replay` then has. `describe` adds the options that only a task that is recorded needs."""
        ...

    async def stop_after_first(self, path: str, tally: dict[str, int]) -> None:
        """Wait until a person says that a map goes on after its first items, or for the end of the pass: it is paused once
        nothing else moves. `tally`: of the map's record meanwhile."""
        ...

    def go_on(self, path: str) -> None:
        """End that wait."""
        ...

    def saw(self, path: str, reason: Reason) -> None:
        """Note why a task's body was called, or was not."""
        ...

    def excuse(self, seconds: float) -> None:
        """Do not count time between tasks that was ours."""
        ...

    @property
    def has_final_error(self) -> Callable[[str], bool]:
        """Whether the task with this path ended in an error that is replayed."""
        ...

    def about_to_start(self, what: str) -> None:
        """Note that user code is about to start a run or send an event by itself, and not through `io`."""
        ...

    @property
    def limiters_of(self) -> Callable[[AnyCall], list[Limiter]]:
        """The limiters that each attempt of a call enters."""
        ...

    @property
    def start_of_batch(self) -> Callable[[AnyCall, list[object], Scope], Start | None]:
        """A way to call the body of a call for several items of a node at once off the loop; None: on the loop."""
        ...

    @property
    def wait_for_run(self) -> Callable[[Scope, Callable[[], Awaitable[bool]]], Awaitable[None]]:
        """Wait for another run, without holding a slot meanwhile. The function returns whether that was stopped before its end."""
        ...

    def log(self, scope: Scope, level: str, message: object, data: object = None) -> None:
        """Add a log line to the tree."""
        ...

    def show(self, scope: Scope, made: Made) -> None:
        """Add a piece to the details of the task of a scope."""
        ...
