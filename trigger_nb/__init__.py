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

from dataclasses import fields as _fields, is_dataclass as _is_dataclass
from inspect import get_annotations as _get_annotations, isclass as _isclass
from typing import Any as _Any, get_type_hints as _get_type_hints

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


def _show_here(public: _Any) -> None:
    """Let a public class or function name this package as its module.

    So no private file's name is in a repr, in an error or in stored data, where it would be a promise.
    """
    if not getattr(public, "__module__", "").startswith(f"{__name__}."):
        return
    if _isclass(public):
        # `typing.get_type_hints`, pydantic and others would look up the names in annotations here, where what the
        # class's own file imports is not. So they are looked up now, there.
        hints = _get_type_hints(public, include_extras=True)
        public.__annotations__ = {name: hints[name] for name in _get_annotations(public)}
        for field in _fields(public) if _is_dataclass(public) else ():
            field.type = public.__init__.__annotations__[field.name] = hints[field.name]
    public.__module__ = __name__


for _name in __all__:
    _show_here(globals()[_name])


def __dir__() -> list[str]:
    """The public names."""
    return [*__all__, "__doc__", "__file__", "__name__", "__path__", "__version__"]
