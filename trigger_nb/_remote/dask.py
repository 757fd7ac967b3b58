"""The parts of Dask's objects that this package uses. Dask itself has no types."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from typing import Protocol


class DaskClient(Protocol):
    """A client of a cluster."""

    def get_executor(self) -> Executor: ...
    def submit(
        self, function: Callable[[bytes], bytes], request: bytes, /, **options: object
    ) -> DaskFuture: ...
    def subscribe_topic(self, topic: str, handler: Callable[[tuple[object, object]], None], /) -> object: ...


class DaskExecutor(Protocol):
    """An executor of a client."""

    _client: DaskClient
    _shutdown: bool


class DaskFuture(Protocol):
    """The result of a task on the cluster."""

    def add_done_callback(self, fn: Callable[[object], object], /) -> object: ...
    def cancel(self) -> object: ...
    def result(self) -> bytes: ...
    def release(self) -> object: ...


class DaskWorker(Protocol):
    """A worker of the cluster, in its own process."""

    def log_event(self, topic: str, message: str, /) -> object: ...
