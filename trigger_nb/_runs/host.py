"""A job as `io` sees it, and the client of a job as the job sees it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from .._events.post import Post
from .._records.status import StatusOption
from .._store.protocol import Store
from ..errors import UsageError
from .job_options import Defaults


class Client(Defaults, Protocol):
    """The client of a job, as the job sees it."""

    id: str
    display: bool

    def runs(self, job: Any = None, status: StatusOption = None, limit: int = 50) -> Any:
        """The runs in the client's store."""
        ...

    @property
    def send_event(self) -> Callable[..., Awaitable[object]]:
        """Start the jobs whose triggers match."""
        ...


class JobHost:
    """The `Host` of a job's runs."""

    def __init__(self, job: Any) -> None:  # a `Job`, which is above this room
        self._job = job
        self.log_level: str = job.options.log_level or job.client.log_level
        self.integrations: dict[str, Any] = dict(job.options.integrations)
        self.post: Post = job._runtime.post
        self.store: Store = job._runtime.store

    def start_child(self, job: Any, payload: object, **known: Any) -> Any:
        """Start a run of `job` as a child of a task of this run, or join the one that exists."""
        if not callable(start := getattr(job, "_start_child", None)):
            raise UsageError(f"io.invoke takes a job, not {type(job).__name__}: {job!r:.100}")
        return start(payload, **known)

    @property
    def client(self) -> Any:
        """The client of the job, for its events and schedules."""
        return self._job.client

    async def send_event(self, name: str, payload: object, **options: Any) -> Any:
        """Send an event to the client's jobs."""
        return await self._job.client.send_event(name, payload, **options)
