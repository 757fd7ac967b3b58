"""The scope that code runs in: a run, or the body of a task. Cache keys are unique in a scope."""

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
        "adopted",
        "closed",
        "deferred",
        "depth",
        "emptied",
        "failed",
        "interrupted",
        "limit",
        "logged",
        "owner",
        "parent",
        "path",
        "prefix",
        "prints",
        "seen",
        "subtasks",
    )

    def __init__(self, owner: PassApi, path: str = "", parent: Scope | None = None) -> None:
        self.owner = owner  # The pass. Scopes of different passes are unrelated, also within one run.
        self.path = path
        self.prefix = path + "/" if path else ""
        self.parent = parent
        self.depth: int = parent.depth + 1 if parent is not None else 0
        self.seen: dict[
            str, Place
        ] = {}  # Cache keys used so far, with the place of the call: each once (I4).
        # Calls of this scope that have begun and not ended. The scope's own end is not committed
        # while there is one (A6). Made when first needed: most scopes have no subtasks.
        self.subtasks: set[Any] | None = None
        self.emptied: Any = None  # An event that is set when `subtasks` becomes empty.
        self.closed = False  # The body has ended: nothing new may start here.
        self.failed = False  # The body raised or was cancelled: subtasks that still run are cancelled too.
        self.interrupted = False  # The stop of the pass cancelled a subtask, so the body has no result (W3).
        self.adopted = False  # A later call waits for the body, and handles its failure.
        self.deferred: Any = None  # The record of the body's failure, kept back while subtasks are running.
        self.limit: TimeLimit | None = None  # The time limit of this attempt, if it has one.
        self.logged: dict[str, int] | None = None  # How often each log line was logged.
        self.prints: Prints | None = None  # The text that the body printed, made when it first prints.

    def fail(self) -> None:
        """Note that the body raised or was cancelled."""
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
    """The deadline of one attempt. Its clock stops while the body waits inside `io` (A3)."""

    def __init__(self, cancel_scope: Any) -> None:
        self._cancel_scope = cancel_scope  # an `anyio.CancelScope`
        self._holds = 0
        self._left = 0.0

    @property
    def expired(self) -> bool:
        """Whether the time was up and the attempt was cancelled."""
        return self._cancel_scope.cancel_called

    def hold(self) -> None:
        """Stop the clock. Calls can be nested."""
        import anyio

        if not self._holds:
            self._left = self._cancel_scope.deadline - anyio.current_time()
            self._cancel_scope.deadline = float("inf")
        self._holds += 1

    def release(self) -> None:
        """Start the clock again."""
        import anyio

        self._holds -= 1
        if not self._holds:
            self._cancel_scope.deadline = anyio.current_time() + self._left


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
