"""OpenTelemetry: a span for each pass of a run, each task that runs in it, and each attempt of a task.

Only in a process that has set up a tracer provider; anywhere else it costs a look into a dict, once a pass. Replays have no spans:
the span of the pass counts them. A pass links to the one before it, whose context is kept with the run.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from .._keys import display_key, display_path
from .._records.status import Reason

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

    from .._records.records import RunRecord, TaskRecord
    from .._tasks.call import AnyCall

ErrorData = Callable[["AnyCall", "TaskRecord", BaseException], dict[str, Any]]
_NAME = "trigger_nb"
_LONGEST = 300  # characters of an error's message


def tracing_of(run: RunRecord) -> Tracing | None:
    """The spans of the pass of a run that begins; None if the process collects no spans."""
    api = sys.modules.get("opentelemetry.trace")
    if api is None:
        return None
    provider = api.get_tracer_provider()
    if isinstance(provider, (api.ProxyTracerProvider, api.NoOpTracerProvider)):
        return None
    return Tracing(provider.get_tracer(_NAME), run)


class Tracing:
    """The spans of one pass. The former pass's context is read from the run's record, and this one's is written there."""

    def __init__(self, tracer: Tracer, run: RunRecord) -> None:
        from opentelemetry.trace import Link, get_current_span, set_span_in_context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        propagator = TraceContextTextMapPropagator()
        before = get_current_span(propagator.extract({"traceparent": run.trace})).get_span_context()
        attributes: dict[str, Any] = {
            "trigger_nb.run.id": run.id,
            "trigger_nb.run.pass": run.passes,
            "trigger_nb.run.is_test": run.is_test,
            "trigger_nb.job.id": run.job,
            "trigger_nb.job.version": run.version,
            "trigger_nb.client.id": run.client,
        }
        links = [Link(before)] if before.is_valid else []
        self._tracer = tracer
        self._span = tracer.start_span(f"run {run.job}", links=links, attributes=attributes)
        self._context = set_span_in_context(self._span)
        carrier: dict[str, str] = {}
        propagator.inject(carrier, self._context)
        run.trace = carrier.get("traceparent", "")

    def enter(self) -> None:
        """Make the span of the pass the current one, in the context of the pass."""
        from opentelemetry.context import attach

        attach(self._context)

    def end(self, status: str, error: dict[str, Any] | None, reasons: dict[str, Reason]) -> None:
        """The pass has ended, and the run has this status."""
        replayed = sum(reason == Reason.REPLAYED for reason in reasons.values())
        self._span.set_attribute("trigger_nb.run.status", str(status))
        self._span.set_attribute("trigger_nb.replayed", replayed)
        if error is not None:
            _fail(self._span, error)
        self._span.end()

    async def task(self, run: Awaitable[Any], call: AnyCall, error_data: ErrorData) -> Any:
        """Run a task in a span."""
        # Few names for many tasks: a key such as ("page", 3) goes by its first part, an item of a map by the map.
        around, _, key = call.path.rpartition("/")
        is_item = call.limiter is not None
        part = display_key(around.rpartition("/")[2] if is_item else key).partition(" · ")[0]
        name = f"item {part}" if is_item else f"task {part}"
        attributes = {
            "trigger_nb.run.id": call.scope.owner.run.id,
            "trigger_nb.task.path": display_path(call.path),
        }
        return await self._in_span(name, attributes, run, call, error_data)

    async def attempt(
        self, run: Awaitable[Any], call: AnyCall, record: TaskRecord, error_data: ErrorData
    ) -> Any:
        """Make an attempt of a task in a span."""
        return await self._in_span(
            f"attempt {record.attempt}", {"trigger_nb.task.attempt": record.attempt}, run, call, error_data
        )

    async def _in_span(
        self, name: str, attributes: dict[str, Any], run: Awaitable[Any], call: AnyCall, error_data: ErrorData
    ) -> Any:
        with self._tracer.start_as_current_span(
            name, attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                return await run
            except Exception as error:
                # `Failed` of the engine has the error of the attempt in it.
                cause = getattr(error, "error", error) if type(error).__name__ == "Failed" else error
                if call.record is not None and isinstance(cause, BaseException):
                    _fail(span, error_data(call, call.record, cause))
                raise


def _fail(span: Span, data: dict[str, Any]) -> None:
    """An error as it may be shown: what `redact=` hides is not in it."""
    from opentelemetry.trace import Status, StatusCode

    name, shown = (
        str(data.get("type") or "error"),
        data.get("shown") or data,
    )  # `shown`: without redacted parts
    message = str(shown.get("message") or "")[:_LONGEST]
    span.add_event("exception", {"exception.type": name, "exception.message": message})
    span.set_status(Status(StatusCode.ERROR, f"{name.rpartition('.')[2]}: {message}"))
