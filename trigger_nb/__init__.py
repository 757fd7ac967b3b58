"""Durable jobs for people who work in Jupyter notebooks.

```
from trigger_nb import job

@job
async def greet(payload, io):
    name = await io.run_task("fetch-name", fetch_name, payload["id"])
    return await io.run_task("greeting", lambda: f"Hello {name}")

await greet.run({"id": 7})
```
"""

from __future__ import annotations

from . import errors, retry, signatures
from ._clients.dynamic import DynamicSchedule, DynamicTrigger
from ._clients.events import Event
from ._clients.listener import Listener
from ._clients.schedules import Schedule
from ._concurrency.limiter import ConcurrencyLimit, Rate
from ._events.records import ReceivedEvent
from ._io.io import Io
from ._io.questions import Approval
from ._io.status import Status
from ._records.status import Reason, RunStatus, TaskStatus
from ._redact import keep_in_errors
from ._runs import completion as _completion
from ._runs.outcome import Notification
from ._tasks.options import Callback, Property
from ._tasks.task import Task
from ._values.files import File, Files
from ._values.register import register_codec, register_error
from .endpoints import HttpEndpoint, HttpRequest, RespondWith
from .errors import TriggerError
from .filters import ResponseFilter
from .job import Context, Job
from .retry import ResetHeaders, Retry, RetryAt, SkipRetrying
from .run import Run
from .triggers import Example, Scheduled, cron_trigger, event_trigger, interval_trigger, invoke_trigger

# isort: split
# Below `.job`: to type checkers and editors, `job` is what was imported last under that name, module or function.
from .client import TriggerClient, job

__version__ = "0.1.0"

__all__ = [
    "Approval",
    "Callback",
    "ConcurrencyLimit",
    "Context",
    "DynamicSchedule",
    "DynamicTrigger",
    "Event",
    "Example",
    "File",
    "Files",
    "HttpEndpoint",
    "HttpRequest",
    "Io",
    "Job",
    "Listener",
    "Notification",
    "Property",
    "Rate",
    "Reason",
    "ReceivedEvent",
    "ResetHeaders",
    "RespondWith",
    "ResponseFilter",
    "Retry",
    "RetryAt",
    "Run",
    "RunStatus",
    "Schedule",
    "Scheduled",
    "SkipRetrying",
    "Status",
    "Task",
    "TaskStatus",
    "TriggerClient",
    "TriggerError",
    "cron_trigger",
    "errors",
    "event_trigger",
    "interval_trigger",
    "invoke_trigger",
    "job",
    "keep_in_errors",
    "register_codec",
    "register_error",
    "retry",
    "signatures",
]

_completion.register()

# No private file's name in a repr, in an error or in stored data, where it would be a promise.
for _name in __all__:
    if getattr(globals()[_name], "__module__", "").startswith(f"{__name__}."):
        globals()[_name].__module__ = __name__


def __dir__() -> list[str]:
    """The public names."""
    return [*__all__, "__doc__", "__file__", "__name__", "__path__", "__version__"]
