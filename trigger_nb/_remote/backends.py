"""The kinds of executors that bodies run in, and the functions that create executors."""

from __future__ import annotations

import contextlib
import functools
import threading
import weakref
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from types import FunctionType, MethodType
from typing import Literal, Protocol, cast

from .._concurrency.threads import is_executor
from ..errors import UsageError
from .dask import DaskClient, DaskExecutor
from .listener import listener
from .reporter import Route
from .worker import execute, start_worker, this_process

FUNCTION_ADVICE = (
    "Pass executor= a function that creates one, such as lambda: ProcessPoolExecutor(4), "
    "to replace it when it breaks"
)
Kind = Literal["threads", "pool", "dask", "other"]


@dataclass(eq=False)
class Backend:
    """An executor and its kind."""

    executor: Executor
    kind: Kind
    client: DaskClient | None = None  # set if `kind` is "dask"

    @property
    def name(self) -> str:
        """The executor's name in records and messages."""
        return "Dask" if self.kind == "dask" else type(self.executor).__name__

    @property
    def reports_start(self) -> bool:
        """Whether the start of each body is reported. If not, a body counts as started when it is submitted."""
        return self.kind in ("threads", "dask") or (self.kind == "pool" and self.route().kind != "")

    def route(self) -> Route:
        """The route from the executor's workers to this kernel."""
        return listener().loopback_route() if self.client is None else listener().dask_route(self.client)

    def submit(self, request: bytes, name: str) -> PoolFuture:
        """Submit a pickled request. `name` must be unique to the attempt."""
        if self.client is not None:
            return _ReleasedFuture(self.client, request, name, getattr(self.executor, "_kwargs", {}))
        if isinstance(self.executor, ProcessPoolExecutor):
            _follow_from_start(self.executor)
        return self.executor.submit(execute, request)


def _follow_from_start(pool: ProcessPoolExecutor) -> None:
    """Have the processes that a pool starts from now on follow the kernel before their first body.

    A pool may start more processes than there are bodies, and the kernel may be killed before the first body.
    """
    given = pool._initializer
    if not (isinstance(given, functools.partial) and given.func is start_worker):
        pool._initializer = functools.partial(start_worker, this_process(), given)


class PoolFuture(Protocol):
    """The methods of a future that this package uses."""

    def add_done_callback(self, fn: Callable[[PoolFuture], object], /) -> object: ...
    def cancel(self) -> bool: ...
    def result(self) -> object: ...


class _ReleasedFuture:
    """A Dask future that is released once its result has arrived.

    Futures of Dask's executor stay referenced. When a worker dies, Dask runs finished tasks again whose
    results were on that worker and are still referenced.
    """

    def __init__(self, client: DaskClient, request: bytes, name: str, options: Mapping[str, object]) -> None:
        # Dask runs tasks with equal keys once, so the key is the attempt's.
        self._future = client.submit(execute, request, **{**options, "key": name, "pure": False})

    def add_done_callback(self, fn: Callable[[PoolFuture], object], /) -> None:
        self._future.add_done_callback(lambda _: fn(self))

    def cancel(self) -> bool:
        self._future.cancel()
        return True

    def result(self) -> object:
        try:
            return self._future.result()
        finally:
            self._future.release()


def backend_of(made: object) -> Backend:
    """The backend for an executor or a Dask client. Raises `UsageError` for any other object."""
    if not isinstance(made, Executor):
        if not is_executor(made):
            raise UsageError(
                f"the function passed as executor= must return a concurrent.futures.Executor, not {made!r:.100}"
            )
        client = cast("DaskClient", made)
        return Backend(client.get_executor(), "dask", client)
    module = type(made).__module__
    if module.startswith("distributed."):
        of_dask = cast("DaskExecutor", made)
        if of_dask._shutdown:
            raise UsageError(
                f"the executor of a Dask client accepts no tasks after shutdown. {FUNCTION_ADVICE}"
            )
        return Backend(made, "dask", of_dask._client)
    if type(made) is ThreadPoolExecutor:  # not InterpreterPoolExecutor, which derives from it
        return Backend(made, "threads")
    is_pool = isinstance(made, (ProcessPoolExecutor, ThreadPoolExecutor)) or "loky" in module
    return Backend(made, "pool" if is_pool else "other")


class ExecutorSource:
    """Provides an executor: one that the user passed, or one that the user's function creates when needed."""

    def __init__(self, backend: Backend | None = None) -> None:
        self._lock = threading.RLock()
        self._creates = backend is None
        self._backend = backend

    @property
    def is_ready(self) -> bool:
        """Whether `get` returns at once."""
        return self._backend is not None

    def get(self, given: object) -> Backend:
        """The executor's backend. `given` is the `executor=` option: its function is called if there is none yet."""
        with self._lock:
            if self._backend is None:
                self._backend = backend_of(given() if callable(given) else given)
            return self._backend

    def drop(self, broken: Backend) -> bool:
        """Stop using a broken backend. True if `get` can create another one."""
        with self._lock:
            if self._creates and self._backend is broken:
                self._backend = None
                with contextlib.suppress(Exception):  # a broken executor may fail to shut down
                    broken.executor.shutdown(wait=False)
        return self._creates


# Sources of the functions passed as `executor=`. Each entry lives as long as its function.
_sources: dict[Hashable, ExecutorSource] = {}
_sources_lock = threading.Lock()


def source_of(given: object) -> ExecutorSource:
    """The source for an `executor=` option. A function has one source in a process."""
    if is_executor(given):
        return ExecutorSource(backend_of(given))
    key, owner = _identity(given)
    with _sources_lock:
        found = _sources.get(key)
        if found is None:
            found = _sources[key] = ExecutorSource()
            weakref.finalize(owner, _sources.pop, key, None)
        return found


def _identity(function: object) -> tuple[Hashable, object]:
    """A key that identifies a function, and the object whose lifetime the key has.

    A lambda or partial inside a loop is a new object in each iteration, but must not create a new pool in
    each.
    """
    if isinstance(function, FunctionType):
        return id(function.__code__), function.__code__
    if isinstance(function, MethodType):
        return (id(function.__func__), id(function.__self__)), function.__self__
    if isinstance(function, functools.partial):
        parts = cast("functools.partial[object]", function)
        key, owner = _identity(parts.func)
        whole = key, parts.args, tuple(sorted(parts.keywords.items()))
        with contextlib.suppress(TypeError):  # some arguments are not hashable
            hash(whole)
            return whole, owner
        return id(parts), parts
    return id(function), function
