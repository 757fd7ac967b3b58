"""A job: a run function with a name, and the ways to start it."""

from __future__ import annotations

import asyncio
import difflib
import json
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any, Generic, Literal, Protocol, TypeVar

from . import _values
from ._clock import to_datetime, to_seconds
from ._concurrency.limiter import ConcurrencyLimit, Rate, check_count, to_rate
from ._concurrency.places import JobLimits, RunLimiter
from ._engine.ledger import explained
from ._fingerprint.fingerprints import Fingerprints
from ._io.io import Io
from ._keys import hashed
from ._plans.plan import Plan, make_plan
from ._records.records import RunRecord, check_legible, check_run_id
from ._records.status import RunStatus
from ._redact import check_redact, redact
from ._runs.awaiting import CellCall
from ._runs.execution import start
from ._runs.outcome import Notification, users_frames
from ._runs.run_spec import RunSpec
from ._runs.runtime import ActiveRun, Runtime
from ._tasks.options import OnChange, Settings, check_choices
from ._tasks.scope import current_scope
from ._tasks.signature import bind_run
from ._values.codec import dump_or_describe
from ._view.live.display import in_notebook
from .errors import (
    InvalidOptionError,
    InvalidPayloadError,
    NotStorableError,
    RunStateError,
    TriggerError,
    UsageError,
)
from .run import Run
from .runs import Runs
from .triggers import InvokeTrigger, Trigger

T = TypeVar("T")
MAX_RUN_DEPTH = 50  # runs started by runs, one in the other
LogLevel = Literal["debug", "info", "warning", "error"]


class Client(Protocol):
    """What a job asks of the client that it belongs to."""

    id: str
    max_depth: int
    on_change: OnChange
    repeatable: bool
    executor: Any
    display: bool

    def runs(self, job: Any = None, status: RunStatus | str | None = None, limit: int = 50) -> Runs:
        """The runs in its store."""
        ...

    @property
    def send_event(self) -> Callable[..., Awaitable[Any]]:
        """Start the jobs that listen."""
        ...


@dataclass(frozen=True, slots=True)
class JobContext:
    """`ctx.job`."""

    id: str
    version: str


@dataclass(frozen=True, slots=True)
class RunContext:
    """`ctx.run`."""

    id: str
    is_test: bool
    started_at: datetime
    pass_number: int


@dataclass(frozen=True, slots=True)
class EventContext:
    """`ctx.event`: the event that started the run, when one did."""

    id: str
    name: str
    context: Any
    timestamp: datetime | None


@dataclass(frozen=True, slots=True)
class Context:
    """What a run function knows of its run: its third parameter, `ctx`."""

    job: JobContext
    run: RunContext
    event: EventContext
    source: str | None = None
    account: str | None = None


@dataclass(frozen=True, slots=True)
class JobOptions:
    """How a job is defined; the arguments of `@client.job(...)`."""

    id: str
    name: str
    version: str = "0"
    trigger: Trigger = field(default_factory=InvokeTrigger)
    integrations: Mapping[str, Any] = field(default_factory=dict[str, Any])
    enabled: bool = True
    on_success: Callable[[Notification], Any] | None = None
    on_failure: Callable[[Notification], Any] | None = None
    log_level: LogLevel = "info"
    max_task_duration: float | timedelta | None = None
    on_change: OnChange | None = None
    repeatable: bool | None = None
    redact: Sequence[str] = ()
    identity: Callable[[Any], Any] | None = None
    executor: Any = None
    concurrency_limit: int | ConcurrencyLimit | None = None
    rate: str | Rate | None = None

    @classmethod
    def check(cls, given: dict[str, Any]) -> dict[str, Any]:
        """The options that were given, without those that are None. Raises `InvalidOptionError`."""
        known = [each.name for each in fields(cls)]
        for name, value in given.items():
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                hint = f"Did you mean {close[0]!r}?" if close else f"The options are {', '.join(known)}."
                raise InvalidOptionError(f"a job has no option {name!r}. {hint}")
            if (
                value is not None
                and name in _KINDS
                and not (isinstance(value, _KINDS[name][0]) and value != "")
            ):
                raise InvalidOptionError(f"{name} of a job is {_KINDS[name][1]}; not {value!r:.100}")
        _check_integrations(given.get("integrations") or {})
        check_redact(given.get("redact") or ())
        chosen = {name: value for name, value in given.items() if value is not None}
        if "concurrency_limit" in chosen and not isinstance(chosen["concurrency_limit"], ConcurrencyLimit):
            check_count(
                chosen["concurrency_limit"], "concurrency_limit is a ConcurrencyLimit(id, limit), or it"
            )
        if "rate" in chosen:
            chosen["rate"] = to_rate(chosen["rate"], "rate of a job")
        check_choices(chosen)
        return chosen


def _check_integrations(integrations: Mapping[str, Any]) -> None:
    for name in integrations:
        if not (isinstance(name, str) and name.isidentifier()) or name.startswith("_") or hasattr(Io, name):  # pyright: ignore[reportUnnecessaryIsInstance]  # a user's mapping
            taken = "io has a method of that name" if hasattr(Io, str(name)) else "it is written io.<name>"
            raise InvalidOptionError(f"an integration of a job cannot be named {name!r}: {taken}")


_KINDS: dict[str, tuple[type | tuple[type, ...], str]] = {
    "id": (str, 'text, such as "new-user"'),
    "name": (str, 'text, such as "Welcome a new user"'),
    "version": (str, 'text, such as "1.0.0"'),
    "trigger": (Trigger, 'what event_trigger("new.user") or invoke_trigger() gives'),
    "integrations": (Mapping, "a mapping of names to integrations"),
    "redact": ((list, tuple), 'a list of paths, such as ["user.email"]'),
}


class Job(Generic[T]):
    """A job. It is not called: `await job.run(payload)`, or `job.start(payload)`."""

    def __init__(self, client: Client, runtime: Runtime, function: Callable[..., Any], options: JobOptions):
        self.client = client
        self.fn = function
        self.id = options.id
        self.name = options.name
        self.version = options.version
        self.trigger = options.trigger
        self.enabled = options.enabled
        self.options = options
        self._runtime = runtime
        bind_run(
            function, {"payload": None, "io": None, "ctx": None}
        )  # what it cannot take is found out here
        if options.max_task_duration is not None:
            to_seconds(options.max_task_duration, "max_task_duration")

    # Starting ---------------------------------------------------------------------------------

    def run(
        self, payload: Any = None, *, run_id: str | None = None, fresh: bool = False, is_test: bool = False,
        on_change: OnChange | None = None, display: bool = True,
    ) -> CellCall[Any]:  # fmt: skip
        """Run the job, and wait for its output: `output = await job.run(payload)`.

        The same payload is the same run: what it has completed is replayed. `fresh=True` starts a
        new one, `run_id` names one. `on_change` says what to do with tasks whose code has changed:
        "keep" their results, run "only" them again, or "rerun" what came after, too. `display=False`
        shows no tree.

        Raises `InvalidPayloadError`, `RunLockedError`, and what the run ends in.
        """

        async def begin() -> Any:
            run = self._start(payload, run_id, fresh, is_test, on_change, display, awaited=True)
            return await run._result_of_cell()

        lines = f"await {self._name}.run(...), or {self._name}.start(...)"
        return CellCall(begin, f"a run of job {self.id!r}", lines)

    def start(
        self, payload: Any = None, *, run_id: str | None = None, fresh: bool = False, is_test: bool = False,
        on_change: OnChange | None = None, display: bool = True,
    ) -> Run:  # fmt: skip
        """Start the job and give its `Run` at once; the cell is free. Arguments as in `run`."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            raise UsageError(
                f"{self._name}.start(...) needs a running event loop, as a notebook has one. In a script, "
                f"use {self._name}.run_sync(...), or asyncio.run(...) around async code"
            ) from None
        try:
            return self._start(payload, run_id, fresh, is_test, on_change, display, awaited=False)
        except TriggerError as error:
            raise error.with_traceback(None) from None  # how it came about in here helps nobody

    def run_sync(
        self, payload: Any = None, *, run_id: str | None = None, fresh: bool = False, is_test: bool = False,
        on_change: OnChange | None = None,
    ) -> Any:  # fmt: skip
        """Run the job to its end from a script, and return its output. Arguments as in `run`."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            raise UsageError(
                f"{self._name}.run_sync(...) would block the event loop that is running here: "
                f"write await {self._name}.run(...) instead"
            )

        async def main() -> tuple[Any, Exception | None]:
            try:
                return await self.run(
                    payload, run_id=run_id, fresh=fresh, is_test=is_test, on_change=on_change, display=False
                ), None
            except Exception as error:  # noqa: BLE001  # raised below, without the event loop's frames
                return None, error
            finally:
                await self._close_clients()

        output, error = asyncio.run(main())
        if error is None:
            return output
        try:
            raise error.with_traceback(users_frames(error.__traceback__))
        finally:
            del error  # it refers to this frame

    def plan(
        self, payload: Any = None, *, run_id: str | None = None, on_change: OnChange | None = None
    ) -> Plan:
        """What `run` would replay and what it would execute, and how long that takes: no body is called.

        The code between the tasks runs as in any pass, on an event loop of its own. Nothing is stored. It
        goes as far as stored results lead: the first body that would be called has a result that nobody
        knows, so that what comes after it is told from earlier runs alone. Arguments as in `run`.

        >>> plan = greet.plan("Ana")
        >>> [task.key for task in plan.runs]
        ['fetch-name']

        Raises `InvalidPayloadError`, `StoreError`, and `ValueNotLoadedError` where a stored result cannot be
        read. An error of the run function is in the plan.
        """
        check_choices({"on_change": on_change})
        if run_id is not None:
            check_run_id(run_id)
        value = self.trigger.parse(payload)
        run_id = run_id or self._identity(value)
        stored = self._stored(run_id)
        # The payload is only looked at for what `redact` hides of it.
        new = RunRecord(id=run_id, client=self.client.id, job=self.id, payload=_values.preview(value))
        return make_plan(
            self._runtime, self._work(value, on_change), self._current(stored or new), is_new=stored is None
        )

    async def _close_clients(self) -> None:
        """Those of its integrations belong to this event loop, which ends."""
        for integration in self.options.integrations.values():
            if hasattr(integration, "aclose"):
                await integration.aclose()

    def runs(self, status: RunStatus | str | None = None, limit: int = 50) -> Runs:
        """Its runs, newest first."""
        return self.client.runs(job=self, status=status, limit=limit)

    def __call__(self, *_args: Any, **_options: Any) -> Any:
        raise TypeError(
            f"a job is not called: await {self._name}.run(payload) runs it, {self._name}.start(payload) "
            f"starts it in the background, and {self._name}.fn is the plain function"
        )

    def __repr__(self) -> str:
        return f"<Job {self.id!r} version {self.version}: await {self._name}.run(payload)>"

    @property
    def _name(self) -> str:
        """What it is most likely called in the user's code, for lines to type."""
        name = getattr(self.fn, "__name__", "")
        return name if name.isidentifier() else "job"

    # A run of it ------------------------------------------------------------------------------

    def start_for_event(self, event: dict[str, Any], payload: Any, *, is_test: bool, fresh: bool) -> Run:
        """The run that an event starts: the same event never starts a second one (I1)."""
        run_id = self._new_id() if fresh else hashed("run_", self.id, event["id"])
        return self._start(payload, run_id, False, is_test, None, True, awaited=False, event=event)

    def start_child(self, payload: Any, *, run_id: str, parent: str, parent_task: str) -> Run:
        """The run that a task of another run starts."""
        return self._start(
            payload, run_id, False, False, None, False, awaited=False, parent=parent, parent_task=parent_task
        )

    def _start(
        self, payload: Any, run_id: str | None, fresh: bool, is_test: bool, on_change: OnChange | None,
        display: bool, *, awaited: bool, event: dict[str, Any] | None = None, parent: str = "",
        parent_task: str = "",
    ) -> Run:  # fmt: skip
        check_choices({"on_change": on_change})
        if run_id is not None:
            check_run_id(run_id)
        value = self.trigger.parse(payload)
        named = run_id is not None or self.options.identity is not None  # by something else than its payload
        run_id = run_id or (self._new_id() if fresh else self._identity(value))
        record = self._stored(run_id)
        scope = current_scope.get()
        if scope is not None:
            scope.owner.about_to_start(f"a run of job {self.id!r}")
        if record is None:
            if not parent and scope is not None:  # awaited inside another job (I8)
                parent, parent_task = scope.owner.run.id, scope.path
            record = self._new_record(run_id, value, is_test, event, parent, parent_task)
            record.depth = self._depth_below(parent)
        elif (
            named
        ):  # so that a retry goes on with what this pass was given, and not with what the first one was
            record = record.copy(**self._kept(value, run_id))
        return self._begin(record, value, on_change, display=display, awaited=awaited)

    def _stored(self, run_id: str) -> RunRecord | None:
        """What is stored of a run. Raises `RunStateError` where it is not this job's, or may not begin."""
        record = self._runtime.run_record(run_id)
        if record is not None:
            check_legible(record)
        if record is None:
            if not self.enabled:
                raise RunStateError(f"job {self.id!r} is disabled and starts no new run (enabled=False)")
        elif record.job != self.id:
            raise RunStateError(f"run {run_id} belongs to job {record.job!r}, not to {self.id!r}")
        return record

    def restart(self, record: RunRecord) -> ActiveRun:
        """Begin another pass of a stored run, with its stored payload."""
        blobs = self._runtime.store.blobs(record.id)
        try:
            payload = _values.load(record.payload_form, record.payload, blobs)
        except TriggerError as error:
            raise explained(error, f"the payload of run {record.id!r}") from None
        work, record = self._work(self.trigger.parse(payload), None), self._current(record)
        return start(self._runtime, work, record)

    def handle(self, run_id: str) -> Run:
        """A run of this job."""
        return Run(self._runtime, run_id)

    def _begin(
        self, record: RunRecord, payload: Any, on_change: OnChange | None, *, display: bool, awaited: bool
    ) -> Run:
        living = self._runtime.executions.get(record.id)
        execution = start(self._runtime, self._work(payload, on_change), self._current(record))
        run = self.handle(record.id)
        run._follow(execution, began=execution is not living)
        if display and self.client.display and in_notebook():
            run.show(awaited=awaited)
        return run

    def _current(self, record: RunRecord) -> RunRecord:
        """The run's record with what the job is now, unless a pass is under way with what it was."""
        fresh = record.copy(name=self.name, version=self.version, redact=list(self.options.redact))
        fresh.code = Fingerprints().of(self.fn)
        return fresh

    def _new_record(
        self,
        run_id: str,
        payload: Any,
        is_test: bool,
        event: dict[str, Any] | None,
        parent: str,
        parent_task: str,
    ) -> RunRecord:
        return RunRecord(
            id=run_id, client=self.client.id, job=self.id, is_test=is_test, event=event, parent=parent,
            parent_task=parent_task, **self._kept(payload, run_id),
        )  # fmt: skip

    def _kept(self, payload: Any, run_id: str) -> dict[str, Any]:
        """What the run's record keeps of its payload."""
        form, data = dump_or_describe(payload, self._runtime.store.blobs(run_id))
        return {"payload_form": form, "payload": data, "payload_preview": self._preview(payload)}

    def _depth_below(self, parent: str) -> int:
        """I8: jobs that start each other in a circle, each time as a new run, would never end."""
        above = self._runtime.run_record(parent) if parent else None
        depth = 0 if above is None else above.depth + 1
        if depth > MAX_RUN_DEPTH:
            raise UsageError(
                f"job {self.id!r} would be started {depth} runs deep, each by the one above: {MAX_RUN_DEPTH} is the "
                "limit. Jobs that start each other in a circle need a condition that ends it"
            )
        return depth

    def _preview(self, payload: Any) -> str:
        shown = redact(self.options.redact, _values.preview(payload, 200))
        return "" if shown is None else json.dumps(shown, ensure_ascii=False)[:80]

    def _identity(self, payload: Any) -> str:
        """I1: job id, version and payload as given, unless the job says what counts."""
        identity = self.options.identity
        counts = payload if identity is None else identity(payload)
        try:
            return hashed("run_", self.id, self.version, _values.canonical(counts))
        except NotStorableError as error:
            raise InvalidPayloadError(
                f"the payload of job {self.id!r} holds something that cannot name a run, {error}. Pass plain "
                "data, or say what names the run: identity=lambda payload: ... on the job, or run_id=... here"
            ) from None

    def _new_id(self) -> str:
        return "run_" + secrets.token_hex(10)

    def _work(self, payload: Any, on_change: OnChange | None) -> RunSpec:
        options, client = self.options, self.client
        duration = options.max_task_duration
        settings = Settings(
            max_depth=client.max_depth,
            on_change=on_change or options.on_change or client.on_change,
            timeout=None if duration is None else to_seconds(duration, "max_task_duration"),
            repeatable=client.repeatable if options.repeatable is None else options.repeatable,
            redact=tuple(check_redact(options.redact)),
            executor=client.executor if options.executor is None else options.executor,
        )
        return RunSpec(
            function=self.fn, settings=settings, host=lambda: _Host(self), context=self._context,
            payload=payload, on_success=options.on_success, on_failure=options.on_failure,
            limiter=self._limiter(),
        )  # fmt: skip

    def _limiter(self) -> RunLimiter | None:
        """The limiter of its runs, and of those of all jobs that share its limits."""
        runtime, options = self._runtime, self.options
        rate = None if options.rate is None else to_rate(options.rate)
        limits = runtime.limits.setdefault(self.id, JobLimits())
        return limits.limiter(runtime.clock, options.concurrency_limit, rate)

    def _context(self, run: RunRecord) -> Context:
        event = run.event or {}
        return Context(
            job=JobContext(self.id, self.version),
            run=RunContext(run.id, run.is_test, to_datetime(run.started_at or 0.0), run.passes),
            event=EventContext(
                event.get("id", run.id),
                event.get("name", "invoke"),
                event.get("context"),
                to_datetime(event["timestamp"]) if "timestamp" in event else None,
            ),
            source=event.get("source"),
        )


class _Host:
    """What `io` asks of the job and its client."""

    def __init__(self, job: Job[Any]) -> None:
        self._job = job
        self.log_level = job.options.log_level
        self.integrations = dict(job.options.integrations)

    def start_child(self, job: Any, payload: Any, *, run_id: str, parent: str, parent_task: str) -> Any:
        if not isinstance(job, Job):
            raise UsageError(f"io.invoke takes a job, not {type(job).__name__}: {job!r:.100}")
        return job.start_child(payload, run_id=run_id, parent=parent, parent_task=parent_task)  # pyright: ignore[reportUnknownMemberType]

    async def send_event(self, name: str, payload: Any, **options: Any) -> Any:
        return await self._job.client.send_event(name, payload, **options)
