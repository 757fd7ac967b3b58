"""A job: a run function with an id and options, and the methods that start its runs."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Generic, NoReturn, Protocol, TypeAlias, TypeVar

from . import _values
from ._clock import to_seconds
from ._concurrency.limiter import to_rate
from ._concurrency.places import JobLimits, RunLimiter
from ._engine.ledger import explained
from ._fingerprint.fingerprints import Fingerprints
from ._keys import hashed
from ._plans.plan import Plan, make_plan
from ._records.records import RunRecord, check_legible, check_run_id
from ._records.status import StatusOption
from ._redact import check_redact
from ._runs.awaiting import CellCall
from ._runs.context import Context, EventData, context_of
from ._runs.execution import start
from ._runs.job_options import JobOptions
from ._runs.outcome import users_frames
from ._runs.payloads import NoFiles, Payload, found_id
from ._runs.run_spec import RunSpec
from ._runs.runtime import ActiveRun, Runtime
from ._tasks.call import current_scope
from ._tasks.options import OnChange, Settings, check_choices
from ._tasks.signature import bind_run
from ._values.tagged import Blobs
from ._view.live.display import in_notebook
from .errors import RunStateError, TriggerError, UsageError
from .run import Run
from .runs import Runs

__all__ = ["Context", "Job"]

T = TypeVar("T")
MAX_RUN_DEPTH = 50  # how deep child runs may be nested


class Client(Protocol):
    """The client of a job, as the job sees it."""

    id: str
    max_depth: int
    on_change: OnChange
    repeatable: bool
    executor: object
    display: bool

    def runs(self, job: AnyJob | str | None = None, status: StatusOption = None, limit: int = 50) -> Runs:
        """The runs in the client's store."""
        ...

    @property
    def send_event(self) -> Callable[..., Awaitable[object]]:
        """Start the jobs whose triggers match."""
        ...


class Job(Generic[T]):
    """A job: a run function that `@job` or `@client.job` has given an id and options.

    A job is not called. `await job.run(payload)` runs it, `job.start(payload)` starts it in the background,
    and `job.fn` is the plain function.

    >>> @TriggerClient("docs").job
    ... def double(payload, io):
    ...     return io.run_task("double", lambda: 2 * payload)
    >>> double.run_sync(21)
    42
    """

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
        # Raises here, at the definition, if the function takes other parameters.
        bind_run(function, {"payload": None, "io": None, "ctx": None})
        if options.max_task_duration is not None:
            to_seconds(options.max_task_duration, "max_task_duration")

    # Starting ---------------------------------------------------------------------------------

    def run(
        self,
        payload: object = None,
        *,
        run_id: str | None = None,
        fresh: bool = False,
        is_test: bool = False,
        on_change: OnChange | None = None,
        display: bool = True,
    ) -> CellCall[Any]:
        """Run the job and wait for its output.

        The same payload is the same run: tasks that have completed are replayed.

        - `run_id`: an id for the run, in place of the one that is made from the payload.
        - `fresh`: start a new run, also if there is one for this payload.
        - `is_test`: mark the run as a test, which `ctx.run.is_test` tells.
        - `on_change`: for tasks whose code or arguments have changed: "keep" their results, run "only" these
          tasks again, or "rerun" them and all tasks after them. By default as the job says.
        - `display`: show the tree below the cell.

        Raises `InvalidPayloadError`; `RunLockedError` if another kernel executes the run; and the error of
        the run function.

        ```
        output = await greet.run({"id": "u1"})
        ```
        """

        async def begin() -> object:
            run = self._start(payload, run_id, fresh, is_test, on_change, display, awaited=True)
            return await run._result_of_cell()

        lines = f"await {self._name}.run(...), or {self._name}.start(...)"
        return CellCall(begin, f"a run of job {self.id!r}", lines)

    def start(
        self,
        payload: object = None,
        *,
        run_id: str | None = None,
        fresh: bool = False,
        is_test: bool = False,
        on_change: OnChange | None = None,
        display: bool = True,
    ) -> Run:
        """Start the job in the background and return its `Run` at once. Arguments as in `run`.

        Raises `InvalidPayloadError`, `RunLockedError`, and `UsageError` where no event loop is running.

        ```
        started = greet.start({"id": "u1"})
        output = await started
        ```
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            raise UsageError(
                f"{self._name}.start(...) needs a running event loop, as a notebook has one. In a script, "
                f"use {self._name}.run_sync(...), or asyncio.run(...) around async code"
            ) from None
        try:
            return self._start(payload, run_id, fresh, is_test, on_change, display)
        except TriggerError as error:
            raise error.with_traceback(None) from None  # the frames of this package do not help

    def run_sync(
        self,
        payload: object = None,
        *,
        run_id: str | None = None,
        fresh: bool = False,
        is_test: bool = False,
        on_change: OnChange | None = None,
    ) -> Any:
        """Run the job in a script, without an event loop, and return its output. Arguments and errors as in `run`.

        Raises `UsageError` where an event loop is running, as in a notebook.

        ```
        output = greet.run_sync({"id": "u1"})
        ```
        """
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
        self,
        payload: object = None,
        *,
        run_id: str | None = None,
        on_change: OnChange | None = None,
        patience: float | timedelta = 1.0,
    ) -> Plan:
        """A forecast of `run`: which tasks it would replay and which it would execute, and for how long.

        The run function is executed on a separate event loop, but no body of a task, and nothing is stored.
        The plan ends where it needs a result that is not stored yet; tasks after that are estimated from
        earlier runs. `patience`: seconds that code between tasks may then take. Other arguments as in `run`.

        >>> plan = greet.plan("Ana")
        >>> [task.key for task in plan.runs]
        ['fetch-name']

        Raises `InvalidPayloadError`, `StoreError`, and `ValueNotLoadedError` if a stored result cannot be
        read. An error of the run function is part of the plan.
        """
        check_choices({"on_change": on_change})
        if run_id is not None:
            check_run_id(run_id)
        value = self.trigger.parse(payload)
        is_named = run_id is not None or self.options.identity is not None
        run_id, stored = self._found(value, run_id)
        # The plan uses the payload of the record only to redact it.
        new = RunRecord(id=run_id, client=self.client.id, job=self.id, payload=_values.preview(value), keys=1)
        kept = None if stored is None or is_named else self._of_started(stored, value)
        work = self._work(kept or Payload.of(value, NoFiles()), on_change)
        record = self._current(stored or new)
        return make_plan(self._runtime, work, record, is_new=stored is None, patience=patience)

    async def _close_clients(self) -> None:
        """Close the clients of the integrations: they belong to this event loop, which ends."""
        for integration in self.options.integrations.values():
            if (close := getattr(integration, "aclose", None)) is not None:
                await close()

    def runs(self, status: StatusOption = None, limit: int = 50) -> Runs:
        """The runs of this job, newest first. Shown as a table.

        `status` selects runs, such as "FAILED" or ["FAILED", "WAITING"]; `limit` is the most runs to return.

        Raises `InvalidOptionError` for an unknown status.

        ```
        failed = greet.runs(status="FAILED")
        ```
        """
        return self.client.runs(job=self, status=status, limit=limit)

    def __call__(self, *_args: object, **_options: object) -> NoReturn:
        raise TypeError(
            f"a job is not called: await {self._name}.run(payload) runs it, {self._name}.start(payload) "
            f"starts it in the background, and {self._name}.fn is the plain function"
        )

    def __repr__(self) -> str:
        return f"<Job {self.id!r} version {self.version}: await {self._name}.run(payload)>"

    @property
    def _name(self) -> str:
        """The likely name of the job in the user's code, for messages that say what to type."""
        name = getattr(self.fn, "__name__", "")
        return name if name.isidentifier() else "job"

    # For other parts of the package ------------------------------------------------------------------------------

    def start_for_event(self, event: EventData, payload: object, *, is_test: bool, fresh: bool) -> Run:
        """Start the run for an event. The same event never starts a second one (I1)."""
        run_id = self._new_id() if fresh else hashed("run_", self.id, event["id"])
        return self._start(payload, run_id, is_test=is_test, event=event)

    def start_child(self, payload: object, *, run_id: str, parent: str, parent_task: str) -> Run:
        """Start a run as the child of a task of another run."""
        return self._start(payload, run_id, display=False, parent=parent, parent_task=parent_task)

    def _start(
        self,
        payload: object,
        run_id: str | None,
        fresh: bool = False,
        is_test: bool = False,
        on_change: OnChange | None = None,
        display: bool = True,
        *,
        awaited: bool = False,
        event: EventData | None = None,
        parent: str = "",
        parent_task: str = "",
    ) -> Run:
        check_choices({"on_change": on_change})
        if run_id is not None:
            check_run_id(run_id)
        value = self.trigger.parse(payload)
        is_named = run_id is not None or self.options.identity is not None  # and not by its payload
        run_id, record = self._found(value, self._new_id() if fresh and run_id is None else run_id)
        scope = current_scope.get()
        if scope is not None:
            scope.owner.about_to_start(f"a run of job {self.id!r}")
        # A run that is not found by its payload may have got another one, which a later retry must use.
        kept = None if record is None or is_named else self._of_started(record, value)
        if record is None:
            if not parent and scope is not None:  # awaited inside another job (I8)
                parent, parent_task = scope.owner.run.id, scope.path
            record = RunRecord(
                id=run_id,
                client=self.client.id,
                job=self.id,
                is_test=is_test,
                event=event,
                parent=parent,
                parent_task=parent_task,
                depth=self._depth_below(parent),
                keys=1,
            )
        is_stored = kept is not None
        kept = kept or Payload.of(value, self._blobs(run_id))
        if record.payload != kept.data:
            record = record.copy(stable_since=record.passes + 1)
        record = record.copy(payload_form=kept.form, payload=kept.data)
        if not is_stored:
            record.payload_preview = self.options.preview(value)
        return self._begin(record, kept, on_change, display=display, awaited=awaited)

    def _found(self, value: Any, run_id: str | None) -> tuple[str, RunRecord | None]:
        """The id that is given, or that the payload identifies, and the record of that run, if any.

        Raises `RunStateError` if it is another job's, or if there is none and the job is disabled.
        """
        if run_id is None:
            run_id, record = found_id(value, self.options.run_id, self._runtime.run_record, self._blobs)
        else:
            record = self._runtime.run_record(run_id)
        if record is not None:
            check_legible(record)
            if record.job != self.id:
                raise RunStateError(f"run {run_id} belongs to job {record.job!r}, not to {self.id!r}")
        elif not self.enabled:
            raise RunStateError(f"job {self.id!r} is disabled and starts no new run (enabled=False)")
        return run_id, record

    def _of_started(self, record: RunRecord, value: Any) -> Payload | None:
        return Payload.of_started(record, value, self._blobs(record.id), self.options.redact)

    def _blobs(self, run_id: str) -> Blobs:
        return self._runtime.store.blobs(run_id)

    def restart(self, record: RunRecord) -> ActiveRun:
        """Begin another pass of a stored run, with its stored payload."""
        try:
            payload = Payload.stored(record, self._blobs(record.id), self.trigger.fit)
        except TriggerError as error:
            raise explained(error, f"the payload of run {record.id!r}") from None
        record = record.copy(payload_form=payload.form, payload=payload.data)
        return start(self._runtime, self._work(payload, None), self._current(record))

    def _begin(
        self, record: RunRecord, payload: Payload, on_change: OnChange | None, *, display: bool, awaited: bool
    ) -> Run:
        living = self._runtime.executions.get(record.id)
        execution = start(self._runtime, self._work(payload, on_change), self._current(record))
        run = Run(self._runtime, record.id)
        run._follow(execution, began=execution is not living)
        if display and self.client.display and in_notebook():
            run.show(awaited=awaited)
        return run

    def _current(self, record: RunRecord) -> RunRecord:
        """The record of a run, with the name, version and code that the job has now."""
        fresh = record.copy(name=self.name, version=self.version, redact=list(self.options.redact))
        fresh.set_code(Fingerprints().of(self.fn))
        return fresh

    def _depth_below(self, parent: str) -> int:
        """The depth of a child run. Raises `UsageError` if it is too deep: jobs may start each other forever (I8)."""
        above = self._runtime.run_record(parent) if parent else None
        depth = 0 if above is None else above.depth + 1
        if depth > MAX_RUN_DEPTH:
            raise UsageError(
                f"job {self.id!r} would be started {depth} runs deep, each by the one above: {MAX_RUN_DEPTH} is the "
                "limit. Jobs that start each other in a circle need a condition that ends it"
            )
        return depth

    def _new_id(self) -> str:
        return "run_" + secrets.token_hex(10)

    def _work(self, payload: Payload, on_change: OnChange | None) -> RunSpec:
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
            function=self.fn,
            settings=settings,
            host=lambda: _Host(self),
            context=lambda run: context_of(run, self.version),
            payload=payload,
            on_success=options.on_success,
            on_failure=options.on_failure,
            limiter=self._limiter(),
        )

    def _limiter(self) -> RunLimiter | None:
        """The limiter of the job's runs, shared by all jobs with the same named limits."""
        runtime, options = self._runtime, self.options
        rate = None if options.rate is None else to_rate(options.rate)
        limits = runtime.limits.setdefault(self.id, JobLimits())
        return limits.limiter(runtime.clock, options.concurrency_limit, rate)


AnyJob: TypeAlias = Job[Any]
"""A job as the rest of the package has it: what its run function returns is not known."""


class _Host:
    """The job and its client, as `io` sees them."""

    def __init__(self, job: AnyJob) -> None:
        self._job = job
        self.log_level = job.options.log_level
        self.integrations = dict(job.options.integrations)

    def start_child(self, job: Any, payload: object, *, run_id: str, parent: str, parent_task: str) -> Any:
        if not isinstance(job, Job):
            raise UsageError(f"io.invoke takes a job, not {type(job).__name__}: {job!r:.100}")
        return job.start_child(payload, run_id=run_id, parent=parent, parent_task=parent_task)  # pyright: ignore[reportUnknownMemberType]

    async def send_event(self, name: str, payload: object, **options: Any) -> Any:
        return await self._job.client.send_event(name, payload, **options)
