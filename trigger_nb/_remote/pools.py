"""The kinds of executors, and where one comes from: what the engine submits bodies to (rule C3)."""

from __future__ import annotations

import contextlib
import functools
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from types import FunctionType, MethodType
from typing import Any, Literal, Protocol

from .._executors import is_executor
from ..errors import UsageError
from .reporter import Route
from .reports import reports
from .worker import execute

GIVE_A_FUNCTION = (
    "Give executor= a function that makes one, such as lambda: ProcessPoolExecutor(4), and it is made anew"
)


Kind = Literal["threads", "pool", "dask", "other"]


@dataclass(eq=False)
class Engine:
    """An executor, and what is known of its kind."""

    executor: Executor
    kind: Kind
    client: Any = None  # Dask's

    @property
    def name(self) -> str:
        """What people call it."""
        return "Dask" if self.kind == "dask" else type(self.executor).__name__

    @property
    def tells_begin(self) -> bool:
        """Whether word comes for certain that a body has begun. Else what is submitted counts as begun."""
        return self.kind in ("threads", "dask") or (self.kind == "pool" and self.route().kind != "")

    def route(self) -> Route:
        """The way home from its workers."""
        return reports().over_dask(self.client) if self.kind == "dask" else reports().over_loopback()

    def submit(self, package: bytes, name: str) -> PoolFuture:
        """Have a package executed; `name` is that of one attempt alone."""
        if self.kind == "dask":
            return _DaskFuture(self.client, package, name, getattr(self.executor, "_kwargs", {}))
        return self.executor.submit(execute, package)


class PoolFuture(Protocol):
    """What is used of a future."""

    def add_done_callback(self, fn: Callable[[Any], object], /) -> object: ...
    def cancel(self) -> bool: ...
    def result(self) -> Any: ...


class _DaskFuture:
    """One of Dask's own. Those of its executor have others hold on to it when its result is here: and when
    a worker dies, Dask runs again whatever it had the result of and somebody still holds on to."""

    def __init__(self, client: Any, package: bytes, name: str, options: dict[str, Any]) -> None:
        # What has the same key is run once: `name` is of one attempt alone.
        self._future: Any = client.submit(execute, package, **{**options, "key": name, "pure": False})

    def add_done_callback(self, fn: Callable[[Any], object], /) -> None:
        def done(future: Any) -> None:
            fn(self)

        self._future.add_done_callback(done)

    def cancel(self) -> bool:
        self._future.cancel()
        return True

    def result(self) -> Any:
        try:
            return self._future.result()
        finally:
            self._future.release()


def engine_of(made: Any) -> Engine:
    """What an executor, or a Dask client, is taken for. Raises `UsageError` when it is neither."""
    if not isinstance(made, Executor):
        if not is_executor(made):
            raise UsageError(
                f"the function given as executor= returned {made!r:.100}; it returns a concurrent.futures.Executor"
            )
        return Engine(made.get_executor(), "dask", made)
    module = type(made).__module__
    if module.startswith("distributed."):
        of_dask: Any = made
        if of_dask._shutdown:
            raise UsageError(f"the executor of a Dask client takes no task after shutdown. {GIVE_A_FUNCTION}")
        return Engine(made, "dask", of_dask._client)
    if type(made) is ThreadPoolExecutor:  # and not one of interpreters, which derives from it
        return Engine(made, "threads")
    is_pool = isinstance(made, (ProcessPoolExecutor, ThreadPoolExecutor)) or "loky" in module
    return Engine(made, "pool" if is_pool else "other")


class Source:
    """Where an executor comes from: it was given, or a function makes it when it is needed."""

    def __init__(self, engine: Engine | None = None) -> None:
        self._lock = threading.RLock()
        self._is_made = engine is None
        self._engine = engine

    @property
    def is_ready(self) -> bool:
        """Whether `get` takes no time."""
        return self._engine is not None

    def get(self, make: Callable[[], Any]) -> Engine:
        """The executor, made if there is none."""
        with self._lock:
            if self._engine is None:
                self._engine = engine_of(make())
            return self._engine

    def drop(self, broken: Engine) -> bool:
        """Use that one no more. Whether another one can be made."""
        with self._lock:
            if self._is_made and self._engine is broken:
                self._engine = None
                _shut_down(broken.executor)
        return self._is_made


def _shut_down(executor: Executor) -> None:
    with contextlib.suppress(Exception):  # it is broken as it is
        executor.shutdown(wait=False)


# What functions have made, each for as long as the function is there.
_made: dict[Any, Source] = {}
_looking = threading.Lock()


def source_of(given: Any) -> Source:
    """The source that belongs to what was given as `executor=`: one for each function in a process."""
    if is_executor(given):
        return Source(engine_of(given))
    key, owner = _identity(given)
    with _looking:
        found = _made.get(key)
        if found is None:
            found = _made[key] = Source()
            weakref.finalize(owner, _made.pop, key, None)
        return found


def _identity(function: Any) -> tuple[Any, Any]:
    """What makes a function the same one, and what it lives as long as.

    A lambda, or a partial, that is written inside a loop is another one each time round: it must not
    make another pool each time.
    """
    if isinstance(function, FunctionType):
        return id(function.__code__), function.__code__
    if isinstance(function, MethodType):
        return (id(function.__func__), id(function.__self__)), function.__self__
    parts: Any = function
    if isinstance(function, functools.partial):
        key, owner = _identity(parts.func)
        whole = key, parts.args, tuple(sorted(parts.keywords.items()))
        with contextlib.suppress(TypeError):  # some arguments have no hash
            hash(whole)
            return whole, owner
    return id(parts), parts
