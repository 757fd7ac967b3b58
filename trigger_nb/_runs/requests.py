"""Requests to the process that drives a run, from one that does not: rows of the store, which that process looks for.

A request is for the pass that is under way: one that nobody took does nothing to a later pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, TypeAlias, cast, get_args

from .._keys import display_path
from .._records.records import RunRecord
from .._store.protocol import Row
from .._values.json_text import dumps, loads
from .runtime import Runtime

Requested: TypeAlias = Literal["cancel", "pause", "pause now", "skip the wait", "hand over", "hand over now"]
TAG = "post/requests"
_PATIENCE = 5.0  # seconds to wait for another process's transaction


class Request(NamedTuple):
    """What is asked of the process that drives a run."""

    run_id: str
    what: Requested
    passes: int | None = None  # the number of the pass that it is for; None in the rows of an older version
    path: str = ""  # of a task

    @property
    def words(self) -> str:
        """What is asked, for a log."""
        return f"{self.what} of {display_path(self.path)!r}" if self.path else self.what


def ask(runtime: Runtime, run: RunRecord, what: Requested, path: str = "") -> None:
    """Leave a request for the process that drives a run. It replaces one that nobody has taken."""
    text = dumps({"what": what, "passes": run.passes, "path": path})
    runtime.journal.commit([Row(_key(run.id), TAG, text)], patience=_PATIENCE)


def is_open(runtime: Runtime, run_id: str) -> bool:
    """Whether nobody has taken the request yet."""
    return runtime.store.get(_key(run_id)) is not None


def withdraw(runtime: Runtime, run_id: str) -> None:
    """Take a request back that nobody has taken; or take it, to carry it out."""
    runtime.store.delete(keys=[_key(run_id)], patience=_PATIENCE)


def open_requests(runtime: Runtime) -> Iterator[Request]:
    """The requests that nobody has taken, for runs that are under way in this process."""
    for key, text in runtime.store.select(TAG):
        run_id = key.removeprefix(f"{TAG}/")
        if run_id in runtime.executions:
            yield _read(run_id, text)


def _read(run_id: str, text: str) -> Request:
    try:
        data: Any = loads(text)
    except (ValueError, RecursionError):
        data = None
    if isinstance(data, str):  # as an older version has written it
        data = {"what": data}
    row = cast("dict[str, Any]", data) if isinstance(data, dict) else {}
    what = cast("Requested", row.get("what"))
    if what not in get_args(Requested):
        return Request(run_id, "pause", -1)  # of a newer version, or damaged: for no pass
    passes = row.get("passes")
    return Request(run_id, what, passes if isinstance(passes, int) else None, str(row.get("path", "")))


def _key(run_id: str) -> str:
    return f"{TAG}/{run_id}"
