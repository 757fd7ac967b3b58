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

from . import errors, retry
from ._codec import register_codec, register_error
from ._io import Io
from ._limits.limiter import ConcurrencyLimit, Rate
from ._records import Reason, RunStatus, TaskStatus
from ._runtime import Notification
from ._status import Status
from ._task import Property, Task
from .errors import TriggerError
from .job import Context, Job
from .retry import Retry, RetryAt, SkipRetrying
from .run import Run
from .triggers import Example, event_trigger, invoke_trigger

# isort: split
# Below `.job`: to type checkers and editors, `job` is what was imported last under that name, module or function.
from .client import Event, TriggerClient, job

__version__ = "0.1.0"

__all__ = [
    "ConcurrencyLimit",
    "Context",
    "Event",
    "Example",
    "Io",
    "Job",
    "Notification",
    "Property",
    "Rate",
    "Reason",
    "Retry",
    "RetryAt",
    "Run",
    "RunStatus",
    "SkipRetrying",
    "Status",
    "Task",
    "TaskStatus",
    "TriggerClient",
    "TriggerError",
    "errors",
    "event_trigger",
    "invoke_trigger",
    "job",
    "register_codec",
    "register_error",
    "retry",
]
