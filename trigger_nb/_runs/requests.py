"""Requests to the process that drives a run, from one that does not: to pause it, or to cancel it.

A request is a row of the store. Processes that serve a store (`trigger-nb work`, `trigger-nb run`) look for those of their runs.
"""

from __future__ import annotations

import logging
from typing import Literal, TypeAlias

from .._store.protocol import Row
from ..errors import StoreError, TriggerError
from . import commands
from .runtime import Runtime

Requested: TypeAlias = Literal["cancel", "pause"]
_TAG = "post/requests"
_PATIENCE = 5.0  # seconds to wait for another process's transaction
_log = logging.getLogger("trigger_nb")


def ask(runtime: Runtime, run_id: str, what: Requested) -> None:
    """Leave a request for the process that drives a run."""
    runtime.journal.commit([Row(f"{_TAG}/{run_id}", _TAG, f'"{what}"')], patience=_PATIENCE)


def is_open(runtime: Runtime, run_id: str) -> bool:
    """Whether nobody has taken the request yet."""
    return runtime.store.get(f"{_TAG}/{run_id}") is not None


def withdraw(runtime: Runtime, run_id: str) -> None:
    """Take a request back that nobody has taken."""
    runtime.store.delete(keys=[f"{_TAG}/{run_id}"], patience=_PATIENCE)


def carry_out(runtime: Runtime) -> list[tuple[str, str]]:
    """Carry out the requests for runs that are under way in this process. Returns their ids and what was done.

    Call it on the event loop.
    """
    done: list[tuple[str, str]] = []
    for key, text in runtime.store.select(_TAG):
        run_id, what = key.removeprefix(f"{_TAG}/"), text.strip('"')
        if run_id not in runtime.executions:
            continue
        try:
            withdraw(runtime, run_id)
            if what == "cancel":
                commands.cancel(runtime, run_id)
            elif what == "pause":
                commands.pause(runtime, run_id)
        except StoreError:
            _log.warning("a request for run %s could not be carried out yet", run_id, exc_info=True)
            continue
        except TriggerError:  # it has ended meanwhile
            continue
        done.append((run_id, what))
    return done
