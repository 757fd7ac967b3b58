"""A client: a namespace of jobs that share a store on disk."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, overload
from urllib.parse import quote

from . import _values
from ._clock import Clock, is_whole_number, to_seconds, to_timestamp
from ._concurrency.limiter import ConcurrencyLimit, Rate
from ._keys import hashed
from ._records.records import RunRecord
from ._records.status import RunStatus, StatusOption
from ._runs import housekeeping
from ._runs.awaiting import CellCall
from ._runs.context import EventData
from ._runs.job_options import JobOptions, LogLevel
from ._runs.outcome import Handler
from ._runs.payloads import found_id
from ._runs.runtime import Runtime, runtime_for
from ._store.protocol import Row
from ._tasks.call import current_scope
from ._tasks.options import OnChange, check_choices
from ._values.codec import dump_or_describe
from ._values.json_text import loads
from ._values.tagged import Counts
from ._view.render.store_table import Pruned, StoreInfo
from .errors import InvalidOptionError, InvalidPayloadError, NotFoundError, NotStorableError, StoreError
from .job import AnyJob, Job
from .run import Run
from .runs import RunQuery, Runs
from .triggers import Trigger

Function = Callable[..., object]


@dataclass(frozen=True, slots=True)
class Event:
    """An event that was sent, and the runs that it started.

    ```
    event = await client.send_event("user.created", {"id": "u1"})
    outputs = [await run for run in event.runs]
    ```
    """

    id: str
    name: str
    payload: Any
    context: Any = None
    source: str | None = None
    timestamp: datetime | None = None
    runs: list[Run] = field(default_factory=list[Run])


class TriggerClient:
    """A namespace of jobs that share a store on disk, by default in `.trigger_nb/<id>/` beside the notebook.

    Another client with the same id has the same store, jobs and running runs.

    - `dir`: the folder for the store, in place of `.trigger_nb` or of the variable TRIGGER_NB_DIR.
    - `max_depth`: how deep tasks may be nested, 5 by default.
    - `on_change`: what happens to tasks whose code or arguments have changed: "keep" their results, run
      "only" these tasks again, or "rerun" them and all tasks after them.
    - `repeatable`: True if a task may run again when its result is lost or could not be stored.
    - `executor`: where bodies run, in place of this process, such as a `ProcessPoolExecutor`.
    - `display`: show the tree of a run below its cell.
    - `clock`: the source of the time, such as a `FakeClock` in tests.

    `on_change`, `repeatable` and `executor` are defaults for the client's jobs.

    Raises `InvalidOptionError`.

    >>> client = TriggerClient("onboarding")
    """

    def __init__(
        self,
        id: str,
        *,
        dir: str | os.PathLike[str] | None = None,
        max_depth: int = 5,
        on_change: OnChange = "keep",
        repeatable: bool = False,
        executor: object = None,
        display: bool = True,
        clock: Clock | None = None,
    ) -> None:
        if not id or not isinstance(id, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # a user's value
            raise InvalidOptionError(f"the id of a client must be text that is not empty, not {id!r}")
        if type(max_depth) is not int or max_depth < 1:
            raise InvalidOptionError(f"max_depth must be a whole number of 1 or more, not {max_depth!r:.100}")
        check_choices(
            {"on_change": on_change, "repeatable": repeatable, "executor": executor, "display": display}
        )
        self.id = id
        self.max_depth = max_depth
        self.on_change: OnChange = on_change
        self.repeatable = repeatable
        self.executor: Any = executor
        self.display = display
        # Absolute, because a later os.chdir in a cell must not lead to another store.
        self.dir = _place(dir).absolute() / _folder(id)
        self._clock = clock

    @property
    def runtime(self) -> Runtime:
        """The open store; it is opened when first needed."""
        return runtime_for(self.dir, self._clock)

    # Jobs -------------------------------------------------------------------------------------

    @overload
    def job(self, function: Function, /) -> AnyJob: ...
    @overload
    def job(
        self,
        /,
        *,
        id: str | None = None,
        name: str | None = None,
        version: str = "0",
        trigger: Trigger | None = None,
        integrations: Mapping[str, object] | None = None,
        enabled: bool = True,
        on_success: Handler | None = None,
        on_failure: Handler | None = None,
        log_level: LogLevel = "info",
        max_task_duration: float | timedelta | None = None,
        on_change: OnChange | None = None,
        repeatable: bool | None = None,
        redact: tuple[str, ...] | list[str] = (),
        identity: Callable[[Any], object] | None = None,
        executor: object = None,
        concurrency_limit: int | ConcurrencyLimit | None = None,
        rate: str | Rate | None = None,
    ) -> Callable[[Function], AnyJob]: ...
    def job(
        self, function: Function | None = None, /, **options: Any
    ) -> AnyJob | Callable[[Function], AnyJob]:
        """Define a job: write `@client.job` or `@client.job(id=..., ...)` above the run function.

        The id is the function's name by default. Another job with the same id replaces the first one.
        `docs/reference/job.md` describes the options.

        Raises `InvalidOptionError` for an option, or for a function that takes other parameters than
        `payload`, `io` and `ctx`.

        ```
        @client.job(version="2", on_change="rerun")
        async def greet(payload, io):
            return await io.run_task("greeting", lambda: f"Hello, {payload}")
        ```
        """
        given = JobOptions.check(options)

        def define(function: Function) -> AnyJob:
            return self._define(function, given)

        return define if function is None else define(function)

    def _define(self, function: Function, given: dict[str, Any]) -> AnyJob:
        if not callable(function):
            raise InvalidOptionError(
                f"@client.job needs a function, not {function!r:.100}: write @client.job above a function, "
                'or @client.job(id="...") with options'
            )
        if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
            raise InvalidOptionError(
                f"the function of a job must return its output, but {getattr(function, '__name__', function)!r:.100} "
                "is a generator: leave out `yield`, and return a list"
            )
        job_id = given.get("id") or getattr(function, "__name__", type(function).__name__)
        named: dict[str, Any] = {"name": job_id, **given, "id": job_id}
        job: AnyJob = Job(self, self.runtime, function, JobOptions(**named))
        self.runtime.jobs[job_id] = job
        return job

    @property
    def jobs(self) -> list[AnyJob]:
        """The jobs defined in this kernel."""
        return list(self.runtime.jobs.values())

    # Events -----------------------------------------------------------------------------------

    def send_event(
        self,
        name: str,
        payload: object = None,
        *,
        id: str | None = None,
        context: object = None,
        source: str | None = None,
        timestamp: datetime | None = None,
        is_test: bool = False,
        fresh: bool = False,
    ) -> CellCall[Event]:
        """Start a run of every enabled job whose trigger matches. The result is an `Event` with its `runs`.

        - `id`: the same id never starts a second run of a job. By default it is made from name and payload,
          so that running the cell again finds the same runs.
        - `context`, `source`, `timestamp`: facts about the event for the run function, in `ctx`. The timestamp
          is a datetime with a time zone, by default now. A trigger may require a `source`.
        - `is_test`: mark the runs as tests, which `ctx.run.is_test` tells.
        - `fresh`: start new runs, also if there are some for this event.

        Raises `InvalidPayloadError` if the payload does not fit the schema of a job; then no run starts.

        ```
        event = await client.send_event("user.created", {"id": "u1"})
        ```
        """

        async def send() -> Event:
            if not isinstance(name, str) or not name:  # pyright: ignore[reportUnnecessaryIsInstance]  # a user's value
                raise InvalidOptionError(
                    f'the name of an event must be text, such as "new.user", not {name!r:.100}'
                )
            if (scope := current_scope.get()) is not None:
                scope.owner.about_to_start(f"event {name!r}")
            event_id = id or self._event_id(name, payload)
            sent_at = self.runtime.clock.time() if timestamp is None else to_timestamp(timestamp, "timestamp")
            data: EventData = {"id": event_id, "name": name, "timestamp": round(sent_at, 3)}
            data |= {
                key: value for key, value in (("context", context), ("source", source)) if value is not None
            }
            matching = [
                job for job in self.jobs if job.enabled and job.trigger.matches(name, payload, source)
            ]
            parsed = [(job, job.trigger.parse(payload)) for job in matching]
            self._keep_event(data, payload)
            runs: list[Run] = []
            fault: StoreError | None = None
            for job, value in parsed:
                try:
                    runs.append(job.start_for_event(data, value, is_test=is_test, fresh=fresh))
                except StoreError as error:  # the runs of the other jobs start nevertheless
                    fault = fault or error
            if fault is not None:
                raise fault
            return Event(event_id, name, payload, context, source, timestamp, runs)

        return CellCall(send, f"the sending of event {name!r:.100}", "await client.send_event(...)")

    def _event_id(self, name: str, payload: object) -> str:
        """I1: the same name and payload are the same event."""

        def id_of(value: object, counts: Counts = "changed") -> str:
            return hashed("evt_", name, _values.canonical(value, counts))

        def record_of(event_id: str) -> RunRecord | None:
            text = self.runtime.store.get("event/" + event_id)
            return None if text is None else RunRecord.parse(loads(text))

        try:
            return found_id(payload, id_of, record_of, self.runtime.store.blobs)[0]
        except NotStorableError as error:
            raise InvalidPayloadError(
                f"the payload of event {name!r} cannot identify the event: {error}. Pass plain data, or name the "
                "event: send_event(..., id=...)"
            ) from None

    def _keep_event(self, data: EventData, payload: object) -> None:
        form, value = dump_or_describe(payload, self.runtime.store.blobs(data["id"]))
        record = RunRecord(**data, payload_form=form, payload=value, keys=1)
        self.runtime.journal.commit([Row("event/" + data["id"], "events", record.dumps())], patience=5)

    # Runs -------------------------------------------------------------------------------------

    def runs(self, job: AnyJob | str | None = None, status: StatusOption = None, limit: int = 50) -> Runs:
        """The runs in the store, newest first. Shown as a table.

        `job` is a `Job` or its id, and `status` a status such as "FAILED", or several: only those runs are returned.
        `limit` is the most runs to return.

        Raises `InvalidOptionError` for an unknown status or an invalid limit.

        >>> len(client.runs(status="FAILED", limit=10))
        0
        """
        if not is_whole_number(limit) or limit < 0:
            raise InvalidOptionError(f"limit must be a whole number of runs, not {limit!r:.100}")
        job_id = job.id if isinstance(job, Job) else job
        query = RunQuery(self.runtime, job_id, None if status is None else _statuses(status))
        return Runs(list(islice(query.each(), int(limit))), query)

    def run(self, run_id: str) -> Run:
        """The `Run` with this id. Raises `NotFoundError` if there is none.

        ```
        run = client.run("run_1f0c")
        ```
        """
        record = self.runtime.run_record(run_id)
        if record is None:
            raise NotFoundError(f"there is no run {run_id!r} in {self.dir}; client.runs() lists the runs")
        return Run(self.runtime, run_id)

    # Housekeeping -----------------------------------------------------------------------------

    def info(self) -> StoreInfo:
        """Statistics of the store: runs by status and by job, records, bytes. Shown as a table.

        >>> client.info().runs
        0
        """
        return housekeeping.info(self.runtime)

    def prune(
        self,
        *,
        older_than: float | timedelta | None = None,
        status: StatusOption = None,
        keep_last: int | None = None,
        dry_run: bool = False,
    ) -> Pruned:
        """Delete runs for good and free their disk space. Returns the deleted runs. Shown as a table.

        A run is deleted if all given conditions hold:

        - `older_than`: it was last used longer ago than this, in seconds or as a `timedelta`.
        - `status`: it has this status, or one of these; by default COMPLETED, FAILED or CANCELED.
        - `keep_last`: it is not among this many newest runs of its job with such a status.

        Child runs are deleted with the run that started them. A run that a kernel is executing is never
        deleted. With `dry_run=True` nothing is deleted.

        Raises `InvalidOptionError` if no condition is given; `StoreError`, after which another call continues.

        >>> client.prune(older_than=timedelta(days=30), keep_last=100).runs
        ()
        """
        if older_than is None and status is None and keep_last is None:
            raise InvalidOptionError(
                "prune deletes runs for good, so say which: older_than=timedelta(days=30), keep_last=100 of each "
                'job, or status="FAILED"; dry_run=True only shows them'
            )
        if keep_last is not None and (type(keep_last) is not int or keep_last < 0):
            raise InvalidOptionError(f"keep_last must be a whole number of runs, not {keep_last!r:.100}")
        if type(dry_run) is not bool:
            raise InvalidOptionError(f"dry_run must be True or False, not {dry_run!r:.100}")
        before = None
        if older_than is not None:
            before = self.runtime.clock.time() - to_seconds(older_than, "older_than")
        chosen = housekeeping.FINISHED if status is None else _statuses(status)
        rule = housekeeping.Rule(chosen, before, keep_last or 0)
        return housekeeping.prune(self.runtime, rule, dry_run=dry_run)

    def __repr__(self) -> str:
        return f"<TriggerClient {self.id!r} in {self.dir}>"


def _place(given: str | os.PathLike[str] | None) -> Path:
    """The folder in which the store's folder is created."""
    place = Path(given or os.environ.get("TRIGGER_NB_DIR") or ".trigger_nb")
    try:
        return place.expanduser()
    except RuntimeError:
        name = "TRIGGER_NB_DIR" if given is None else "dir"
        raise InvalidOptionError(
            f"{name} is {str(place)!r}, and no home folder is known for {place.parts[0]!r}: write the path in full"
        ) from None


def _folder(id: str) -> str:
    """The name of the store's folder: unique for each id, not hidden, and inside the parent folder."""
    name = quote(id, safe=" ()[]{}.,+=@-_")
    return "%2E" + name[1:] if name.startswith(".") else name


def _status(status: RunStatus | str) -> RunStatus:
    try:
        return RunStatus(status)
    except ValueError:
        known = ", ".join(RunStatus)
        raise InvalidOptionError(f"the status of a run is one of {known}, not {status!r}") from None


def _statuses(given: RunStatus | str | Iterable[RunStatus | str]) -> tuple[RunStatus, ...]:
    try:
        named: list[Any] = [given] if isinstance(given, str) else list(given)
    except TypeError:
        named = [given]
    return tuple(map(_status, named))


_default: dict[str, TriggerClient] = {}


def default_client() -> TriggerClient:
    """The client of jobs defined with `@job`. Its id is the notebook's name, or "default" if that is unknown."""
    name = _notebook_name() or "default"
    # The key has no working directory: an os.chdir in a cell must not lead to another store.
    place = f"{name}@{os.environ.get('TRIGGER_NB_DIR', '')}"
    if place not in _default:
        _default[place] = TriggerClient(name)
    return _default[place]


def _notebook_name() -> str | None:
    session = os.environ.get("JPY_SESSION_NAME", "")
    if session.endswith(".ipynb"):
        return Path(session).stem
    main = sys.modules.get("__main__")
    editor = getattr(main, "__vsc_ipynb_file__", None)
    return Path(editor).stem if isinstance(editor, str) else None


@overload
def job(function: Function, /) -> AnyJob: ...


@overload
def job(**options: Any) -> Callable[[Function], AnyJob]: ...


def job(function: Function | None = None, /, **options: Any) -> AnyJob | Callable[[Function], AnyJob]:
    """Define a job of the default client: write `@job`, or `@job(...)` with options, above the run function.

    Options and errors are those of `TriggerClient.job`. The default client is named after the notebook.

    ```
    @job
    async def greet(payload, io):
        return await io.run_task("greeting", lambda: f"Hello, {payload}")
    ```
    """
    client = default_client()
    return client.job(function) if function is not None else client.job(**options)
