"""Where runs are being moved to: a row of the store for each run that was detached, or is being brought back.

The row names the process that is to have the run next. For a while the others leave the run alone, though its lease is free. It is no
lock: the lease decides who drives a run.
"""

from __future__ import annotations

import os
import secrets
import time
from contextlib import suppress
from typing import Any, NamedTuple, cast

from .._events.keys import tag_of
from .._store.protocol import Row
from .._values.json_text import dumps, loads
from ..errors import StoreError
from .runtime import Runtime

_PATIENCE = 5.0  # seconds to wait for another process's transaction
_KEPT_FREE = 20.0  # seconds for which a run is left to the process that is to have it


class Move(NamedTuple):
    """The process that is to have a run, or has it since it was detached."""

    to: str  # the name of that process in this store: see `own_name`
    until: float  # the time until which the others leave the run alone
    log: str = ""  # the file with what the worker writes
    is_out: bool = False  # whether it was detached, and not brought back


_names: dict[int, str] = {}  # by process id, because a fork is another process


def new_name() -> str:
    """A name for a process that is to be started."""
    return secrets.token_hex(8)


def own_name() -> str:
    """The name of this process in the rows of stores."""
    return _names.setdefault(os.getpid(), new_name())


def be(name: str) -> None:
    """Take the name that another process has given to this one, which it has started."""
    _names[os.getpid()] = name


def note(runtime: Runtime, run_id: str, to: str, *, log: str = "", is_out: bool) -> None:
    """Record who is to have a run next."""
    text = dumps({"to": to, "until": time.time() + _KEPT_FREE, "log": log, "out": is_out})
    runtime.journal.commit([Row(_key(run_id), tag_of(run_id), text)], patience=_PATIENCE)


def drop(runtime: Runtime, run_id: str) -> None:
    """Forget it: the run is where it belongs. What cannot be removed now goes with the run."""
    with suppress(StoreError):
        runtime.store.delete(keys=[_key(run_id)], patience=_PATIENCE)


def of(runtime: Runtime, run_id: str) -> Move | None:
    """The move of a run; None if it was never moved, or was brought back."""
    text = runtime.store.get(_key(run_id))
    try:
        data: Any = None if text is None else loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict):
        return None
    row = cast("dict[str, Any]", data)
    until = row.get("until", 0.0)
    at = float(until) if isinstance(until, (int, float)) else 0.0
    return Move(str(row.get("to", "")), at, str(row.get("log", "")), row.get("out") is True)


def forget_other(runtime: Runtime, run_id: str) -> None:
    """A run has begun here: if it was detached, it is not any more, unless it was moved here, or is about to be moved."""
    if run_id in runtime.moving:
        return
    with suppress(StoreError):
        move = of(runtime, run_id)
        if move is not None and move.to != own_name():
            drop(runtime, run_id)


def is_for_another(runtime: Runtime, run_id: str) -> bool:
    """Whether another process is to continue a run, and has a while to do so."""
    move = of(runtime, run_id)
    return move is not None and move.to != own_name() and 0 < move.until - time.time() <= _KEPT_FREE


def is_for_this(runtime: Runtime, run_id: str) -> bool:
    """Whether a run was detached, and this process is to have it."""
    move = of(runtime, run_id)
    return move is not None and move.is_out and move.to == own_name()


def _key(run_id: str) -> str:
    return f"post/moves/{run_id}"
