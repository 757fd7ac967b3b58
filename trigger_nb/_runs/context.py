"""`ctx`, the third parameter of a run function: facts about the run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from .._clock import to_datetime
from .._records.records import RunRecord
from .._records.status import RunStatus

EventData: TypeAlias = dict[str, Any]
"""An event in the record of a run: `id`, `name`, `timestamp`, and `context` and `source` if they were given."""


@dataclass(frozen=True, slots=True)
class JobContext:
    """The job, as `ctx.job`: its `id` and `version`."""

    id: str
    version: str


@dataclass(frozen=True, slots=True)
class RunContext:
    """The run, as `ctx.run`.

    `pass_number` counts from 1 how often the run function was executed for it. `is_retry` is True if the pass before this one
    has failed.
    """

    id: str
    is_test: bool
    started_at: datetime
    pass_number: int
    is_retry: bool = False


@dataclass(frozen=True, slots=True)
class EventContext:
    """The event that started the run, as `ctx.event`. Without an event, the name is "invoke"."""

    id: str
    name: str
    context: Any
    timestamp: datetime | None


@dataclass(frozen=True, slots=True)
class Context:
    """Facts about the run, for a run function that takes a third parameter, `ctx`.

    `source` is the source that the event was sent with, if any. `account` is always None, and reserved.

    ```
    async def greet(payload, io, ctx):
        return f"{ctx.job.id}, run {ctx.run.id}, started by {ctx.event.name}"
    ```
    """

    job: JobContext
    run: RunContext
    event: EventContext
    source: str | None = None
    account: str | None = None


def context_of(run: RunRecord, version: str) -> Context:
    """The context of a run, which executes this version of its job."""
    event = run.event or {}
    return Context(
        job=JobContext(run.job, version),
        run=RunContext(
            run.id,
            run.is_test,
            to_datetime(run.started_at or 0.0),
            run.passes,
            run.last_ending == RunStatus.FAILED,
        ),
        event=EventContext(
            event.get("id", run.id),
            event.get("name", "invoke"),
            event.get("context"),
            to_datetime(event["timestamp"]) if "timestamp" in event else None,
        ),
        source=event.get("source"),
    )
