"""Prefect: results persisted in local files, cached by source and inputs; its own temporary server on SQLite.

Logs are off, and so is what it would tell its makers. Tasks one after the other are plain functions, all at once
is `task.map` on its thread pool, which it does faster than a gather. The clock runs inside the flow: starting and
ending one, which takes seconds, do not count.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

HOME = tempfile.mkdtemp(prefix="trigger_nb-benchmark-prefect-")
atexit.register(shutil.rmtree, HOME, ignore_errors=True)
RESULTS = os.path.join(HOME, "results")
# Settings are read as it is imported.
os.environ.update(
    PREFECT_HOME=HOME,
    PREFECT_LOCAL_STORAGE_PATH=RESULTS,
    PREFECT_LOGGING_LEVEL="CRITICAL",
    PREFECT_LOGGING_TO_API_ENABLED="false",
    PREFECT_SERVER_ANALYTICS_ENABLED="false",
    DO_NOT_TRACK="1",
)
os.environ.pop("PREFECT_API_URL", None)

from prefect import flow, task  # noqa: E402
from prefect.cache_policies import INPUTS, TASK_SOURCE  # noqa: E402

from . import clock as counted  # noqa: E402
from .clock import clock  # noqa: E402

step = task(counted.body, persist_result=True, cache_policy=INPUTS + TASK_SOURCE)


@flow
def one_by_one(tasks: int) -> None:
    with clock:
        for number in range(tasks):
            step(number)


@flow
def all_at_once(tasks: int) -> None:
    with clock:
        step.map(range(tasks)).result()


def fresh(directory: Path, tasks: int) -> None:
    """One task after the other, none of them known."""
    shutil.rmtree(RESULTS, ignore_errors=True)
    one_by_one(tasks)


def replay(directory: Path, tasks: int) -> None:
    """The same flow again: its tasks find their results."""
    fresh(directory, tasks)
    one_by_one(tasks)


def fan_out(directory: Path, tasks: int) -> None:
    """One map over all."""
    shutil.rmtree(RESULTS, ignore_errors=True)
    all_at_once(tasks)
