"""The workers that serve a store, as kernels see them: a run can be moved to one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

from .._fingerprint.fingerprints import Fingerprints
from .._store import lease as leases
from .._store.protocol import Row
from .._values.json_text import dumps, loads
from . import moves
from .runtime import Runtime

_TAG = "post/workers"
_PATIENCE = 5.0  # seconds to wait for another process's transaction


class Served:
    """A worker that serves a store, as long as its process lives: a lock tells the others."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._lease: leases.Lease | None = None
        self._text = ""

    def tell(self) -> None:
        """Have the store know the jobs that this process serves, if they have changed."""
        name = moves.own_name()
        if self._lease is None:
            self._lease = leases.acquire(self._runtime.store.directory, _lock(name))
        jobs = {job.id: code_of(job.fn) for job in self._runtime.jobs.values()}
        text = dumps({"jobs": jobs, "holder": dict(self._lease.holder)})
        if text != self._text:
            self._runtime.journal.commit([Row(_key(name), _TAG, text)], patience=_PATIENCE)
            self._text = text

    def end(self) -> None:
        """Serve no more."""
        if self._lease is not None:
            self._runtime.store.delete(keys=[_key(moves.own_name())], patience=_PATIENCE)
            self._lease.release()
            self._lease = None


def code_of(function: Callable[..., object]) -> str:
    """The fingerprint of a job's function, which is the same in every process that has the same code."""
    return Fingerprints().of(function)


def serving(runtime: Runtime, job_id: str, code: str) -> str | None:
    """The name of a living worker that serves a job with this code; None if there is none. Rows of dead ones are removed."""
    dead: list[str] = []
    found: str | None = None
    for key, text in runtime.store.select(_TAG):
        name = key.rpartition("/")[2]
        data: Any = None
        with suppress(ValueError, RecursionError):
            data = loads(text)
        row = cast("dict[str, Any]", data) if isinstance(data, dict) else {}
        holder, jobs = row.get("holder"), row.get("jobs")
        if not isinstance(holder, dict) or not leases.is_held(
            runtime.store.directory, _lock(name), cast("dict[str, Any]", holder)
        ):
            dead.append(key)
        elif isinstance(jobs, dict) and cast("dict[str, Any]", jobs).get(job_id) == code:
            found = name
    if dead:
        runtime.store.delete(keys=dead, patience=_PATIENCE)
    return found


def _key(name: str) -> str:
    return f"{_TAG}/{name}"


def _lock(name: str) -> str:
    return f"worker {name}"
