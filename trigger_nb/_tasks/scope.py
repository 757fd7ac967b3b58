"""The scope that code is in: the run, or the body of a task. Keys are unique in it."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from .._callsite import Place
from ..errors import ScopeUnknownError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .._records.prints import Prints
    from .pass_api import PassApi


class Scope:
    """One execution of the run function or of a task's body: one attempt in one pass."""

    __slots__ = (
        "adopted", "closed", "deferred", "depth", "emptied", "failed", "flights", "interrupted", "limit", "logged",
        "owner", "parent", "path", "prefix", "prints", "seen",
    )  # fmt: skip

    def __init__(self, owner: PassApi, path: str = "", parent: Scope | None = None) -> None:
        self.owner = owner  # The pass; two scopes of one run but of different passes are strangers.
        self.path = path
        self.prefix = path + "/" if path else ""
        self.parent = parent
        self.depth: int = parent.depth + 1 if parent is not None else 0
        self.seen: dict[str, Place] = {}  # Keys met, with the place of the call: each only once (I4).
        # Tasks of this scope that have begun and not ended. The scope's own end is not committed
        # while there is one (A6). Made when first needed: most scopes have no subtask.
        self.flights: set[Any] | None = None
        self.emptied: Any = None  # An event for whoever waits until `flights` is empty.
        self.closed = False  # The body has ended: nothing new may start here.
        self.failed = False  # It ended in an error, or was cut short: what still runs in it is cut short too.
        self.interrupted = False  # The stop of the pass cut a subtask short: the body has no end in it (W3).
        self.adopted = False  # A later call waits for the body, and does what is to be done when it fails.
        self.deferred: Any = None  # The record of the body's failed end, while subtasks are in flight.
        self.limit: TimeLimit | None = None  # The running time limit of this attempt, if it has one.
        self.logged: dict[str, int] | None = None  # How often each log line was met.
        self.prints: Prints | None = None  # What the body has printed, made when it does.

    def fail(self) -> None:
        """The body has ended badly."""
        self.closed = self.failed = True

    def is_within(self, other: Scope) -> bool:
        """Whether this scope is `other` or lies inside it."""
        return any(scope is other for scope in self.outward())

    def outward(self) -> Iterator[Scope]:
        """This scope, then the ones around it."""
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent


class TimeLimit:
    """The deadline of one attempt. Its time stands still while something inside waits (A3)."""

    def __init__(self, cancel_scope: Any) -> None:
        self._cancel_scope = cancel_scope  # an `anyio.CancelScope`
        self._holds = 0
        self._left = 0.0

    @property
    def expired(self) -> bool:
        """Whether the time is up, and the attempt cancelled."""
        return self._cancel_scope.cancel_called

    def hold(self) -> None:
        """Stop the time; can be nested."""
        import anyio

        if not self._holds:
            self._left = self._cancel_scope.deadline - anyio.current_time()
            self._cancel_scope.deadline = float("inf")
        self._holds += 1

    def release(self) -> None:
        """Let the time run on."""
        import anyio

        self._holds -= 1
        if not self._holds:
            self._cancel_scope.deadline = anyio.current_time() + self._left


current_scope: ContextVar[Scope | None] = ContextVar("trigger_nb_scope", default=None)


def resolve_scope(known: Scope) -> Scope:
    """The scope of a call on the `io` made for `known` (rule I3).

    An `io` taken from an outer body is refined by the context: inside `asyncio.gather`, task
    groups and worker threads the context knows the innermost body. Raises `ScopeUnknownError`
    where the context says nothing (a thread made by hand) while bodies are open, so that the
    call might belong to any of them.
    """
    current = current_scope.get()
    if current is known:
        return known
    if current is not None and current.owner is known.owner:
        return current if current.is_within(known) else known
    if known.flights:
        raise ScopeUnknownError(
            "this `io` is used where it cannot be told which task's body is calling, while bodies are "
            "running: a thread of your own does not carry the context over. Take `io` as a parameter of the "
            "body that calls it; in a thread, let io.parallel(key, items, body) start it, or hand the context "
            "on: pool.submit(contextvars.copy_context().run, function, argument)"
        )
    return known
