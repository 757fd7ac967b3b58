"""Events that start nothing: nobody listens to them, or their run has completed."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Protocol

from .._callsite import warn_at
from .._fingerprint.fingerprints import Fingerprints, differs
from .._records.records import RunRecord
from .._records.status import RunStatus
from ..triggers import Trigger
from .job_options import Defaults, JobOptions


class Listener(Protocol):
    """A job, as an event sees it."""

    id: str
    trigger: Trigger
    enabled: bool
    options: JobOptions

    @property
    def fn(self) -> Callable[..., object]:
        """The run function."""
        ...

    @property
    def client(self) -> Defaults:
        """The client of the job."""
        ...


def completed(run: RunRecord | None, job: Listener, line: tuple[str, int]) -> RunRecord | None:
    """The run of an event that is sent again, at `line`, if it has completed: nothing starts.

    Warns if the code of the job is another now. None if the job runs changed code again by itself (`on_change`).
    """
    if run is None or (run.job, run.status) != (job.id, RunStatus.COMPLETED):
        return None
    if differs(run.code, Fingerprints().of(job.fn)):
        if (job.options.on_change or job.client.on_change) != "keep":
            return None
        name = (run.event or {}).get("name", "")
        text = (
            f"event {name!r} was sent before: its run {run.id} of job {run.job!r} has completed, and is not started again, "
            "though the code of the job has changed since. send_event(..., fresh=True) starts a new run"
        )
        warn_at(text, *line)
    return run


def why_nobody(name: str, jobs: Iterable[Listener]) -> str:
    """Why an event of this name starts no job, and what to do."""
    listeners = {job: getattr(job.trigger, "names", ()) for job in jobs}
    listening = [job for job, names in listeners.items() if name in names]
    if listening:
        reasons = "; ".join(map(_why_not, listening))
        return f"event {name!r} started nothing: {reasons}"
    known = sorted({each for names in listeners.values() for each in names})
    if not known:
        hint = (
            "No job with an event_trigger is defined in this kernel: run the cells that define the jobs first"
        )
    elif close := difflib.get_close_matches(name, known, n=1):
        hint = f"Did you mean {close[0]!r}?"
    else:
        hint = f"The jobs that are defined in this kernel listen to {', '.join(map(repr, known))}"
    return f"event {name!r} started nothing: no job listens to it. {hint}"


def _why_not(job: Listener) -> str:
    if not job.enabled:
        return f"job {job.id!r} listens to it and is disabled (enabled=False)"
    return f"job {job.id!r} listens to it, but the filter or source of its trigger does not match"
