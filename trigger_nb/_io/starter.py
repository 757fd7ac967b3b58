"""The part of `io` that starts tasks: the base of the classes that make up `Io`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Protocol, cast

from .._callsite import Place
from .._engine.pass_ import Pass
from .._events.post import Post
from .._keys import normal_key
from .._store.protocol import Store
from .._tasks.call import AnyCall, Call, Scope, resolve_scope
from .._tasks.options import Options
from ..errors import UsageError


class ChildRun(Protocol):
    """A run, as `io.invoke` sees it."""

    @property
    def id(self) -> str: ...
    async def _result_of_child(self) -> Any: ...


class Host(Protocol):
    """The job and its client, as `io` sees them."""

    log_level: str
    integrations: dict[str, Any]
    post: Post
    store: Store

    @property
    def client(self) -> Any:
        """The client of the job, for its events and schedules."""
        ...

    def start_child(
        self, job: Any, payload: object, *, run_id: str, parent: str, parent_task: str, context: object
    ) -> ChildRun:
        """Start a run of `job` as a child of a task of this run, or join the one that exists."""
        ...

    async def send_event(self, name: str, payload: object, **options: Any) -> Any:
        """Send an event to the client's jobs."""
        ...


def caller(skip: int = 0) -> Place:
    """The place of the call to the function that calls this one, `skip` calls further out."""
    frame = sys._getframe(2 + skip)
    return frame.f_code, frame.f_lasti


class TaskStarter:
    """Starts tasks in the scope that the calling code runs in.

    The methods of `io` are plain functions that return an awaitable, because they note where the user's
    code calls them: messages name that place.
    """

    def __init__(self, scope: Scope, host: Host) -> None:
        self._scope = scope
        self._host = host

    def _task(
        self,
        place: Place,
        key: object,
        body: Callable[..., object] | None,
        *,
        kind: str = "own",
        deadline: Callable[[float], float] | None = None,
        make: type[AnyCall] = Call,
        **options: Any,
    ) -> AnyCall:
        """A task whose body belongs to this package, called at `place`."""
        try:
            scope = resolve_scope(self._scope)
            return make(
                scope, normal_key(key), body, (), cast("Options", options), place, kind, deadline=deadline
            )
        except UsageError as error:
            raise self._pass.stopping.misused(error)  # noqa: B904  # the same error

    @property
    def _pass(self) -> Pass:
        return cast("Pass", self._scope.owner)  # or a plan of one, which calls no body
