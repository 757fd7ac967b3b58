"""A client: a namespace of jobs that share a store on disk."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Coroutine
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, Protocol, TypeVar, Unpack, cast, overload

from ._callsite import ShowsPublicNames, warn
from ._clients.dynamic import DynamicSchedule, DynamicTrigger
from ._clients.events import ClientEvents
from ._clients.schedules import ClientSchedules
from ._clients.serving import ClientServing
from ._clock import Clock, is_whole_number, to_seconds
from ._main_file import main_file
from ._records.status import StatusOption, statuses
from ._runs import housekeeping, verification
from ._runs.job_options import JobKeywords, JobOptions, LogLevel, lists_options
from ._runs.notify_option import Notify, check_notify
from ._runs.open_questions import AsksPeople
from ._runs.reloads import is_reloaded
from ._runs.runtime import Runtime, directory_of, runtime_for
from ._runs.sources import source_of_job
from ._runs.stored_values import StoredValues
from ._store.stores import DefaultStore, directory_of_client, find_default
from ._tasks.options import OnChange, Reuse, check_choices
from ._view.render.store_table import Pruned, Repaired, StoreCheck, StoreInfo
from .endpoints import EndpointTrigger
from .errors import InvalidOptionError, NotFoundError
from .job import AnyJob, Job
from .run import Run
from .runs import RunQuery, Runs

Function = Callable[..., object]
P = ParamSpec("P")
T = TypeVar("T")


class JobDecorator(Protocol):
    """What `@client.job(...)` returns: it makes a job of a run function."""

    @overload
    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, T]], /
    ) -> Job[T, Callable[P, Coroutine[Any, Any, T]]]: ...
    @overload
    def __call__(self, function: Callable[P, T], /) -> Job[T, Callable[P, T]]: ...


class TriggerClient(ClientEvents, ClientSchedules, ClientServing, AsksPeople, ShowsPublicNames):
    """A namespace of jobs that share a store on disk, by default in `.trigger_nb/<id>/` beside the notebook.

    Another client with the same id has the same store, jobs and running runs.

    - `dir`: the folder for the store, in place of `.trigger_nb` or of the variable TRIGGER_NB_DIR.
    - `max_depth`: how deep tasks may be nested, 5 by default.
    - `on_change`: what happens to tasks whose code or arguments have changed: "keep" their results, run
      "only" these tasks again, or "rerun" them and all tasks after them.
    - `repeatable`: True if a task may run again when its result is lost or could not be stored.
    - `keep_inputs`: True keeps the arguments of all tasks, False of none; None, those of failed tasks.
    - `reuse`: whose results of the same code and arguments count, in place of a call: the "run"'s, "job"'s or "client"'s.
    - `expires_after`: seconds, or a `timedelta`: a task whose result is older runs again.
    - `executor`: where bodies run, in place of this process, such as a `ProcessPoolExecutor`.
    - `log_level`: the lowest level of `io.logger` that is kept: "debug", "info", "warning" or "error".
    - `display`: show the tree of a run below its cell.
    - `notify`: who is told when a run has ended, or asks something: "browser", a function that gets the run, or a list.
    - `tab_title`: show the progress of runs in the title of the browser's tab.
    - `clock`: the source of the time, such as a `FakeClock` in tests.

    `on_change`, `repeatable`, `keep_inputs`, `reuse`, `expires_after`, `executor`, `log_level` and `notify` are defaults for
    the client's jobs.
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
        keep_inputs: bool | None = None,
        reuse: Reuse = "run",
        expires_after: float | timedelta | None = None,
        executor: object = None,
        log_level: LogLevel = "info",
        display: bool = True,
        notify: Notify | None = None,
        tab_title: bool = True,
        clock: Clock | None = None,
    ) -> None:
        if not id or not isinstance(id, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # a user's value
            raise InvalidOptionError(f"the id of a client must be text that is not empty, not {id!r}")
        if type(max_depth) is not int or max_depth < 1:
            raise InvalidOptionError(f"max_depth must be a whole number of 1 or more, not {max_depth!r:.100}")
        kept = {} if keep_inputs is None else {"keep_inputs": keep_inputs}
        check_choices({"on_change": on_change, "repeatable": repeatable, "reuse": reuse, **kept})
        check_choices({"expires_after": expires_after, "log_level": log_level, "display": display})
        check_choices({"executor": executor, "tab_title": tab_title})
        check_notify(notify)
        self.id = id
        self.max_depth = max_depth
        self.on_change: OnChange = on_change
        self.repeatable = repeatable
        self.keep_inputs = keep_inputs
        self.reuse: Reuse = reuse
        self.expires_after = expires_after
        self.executor: Any = executor
        self.log_level: LogLevel = log_level
        self.display = display
        self.notify: Notify | None = notify
        self.tab_title = tab_title
        self._dir = directory_of_client(id, dir)
        self._clock = clock
        self._default_store: DefaultStore | None = None  # of the default client

    @property
    def dir(self) -> Path:
        """The folder of the store."""
        return directory_of(self._dir)

    @property
    def runtime(self) -> Runtime:
        """The open store; it is opened when first needed."""
        return runtime_for(self._dir, self._clock)

    # Jobs -------------------------------------------------------------------------------------

    @overload
    def job(
        self, function: Callable[P, Coroutine[Any, Any, T]], /
    ) -> Job[T, Callable[P, Coroutine[Any, Any, T]]]: ...
    @overload
    def job(self, function: Callable[P, T], /) -> Job[T, Callable[P, T]]: ...
    @overload
    def job(self, /, **options: Unpack[JobKeywords]) -> JobDecorator: ...
    @lists_options
    def job(self, function: Function | None = None, /, **options: Any) -> AnyJob | JobDecorator:
        """Define a job: write `@client.job` or `@client.job(id=..., ...)` above the run function.

        Another job with the same id replaces the first one. The options:

        OPTIONS

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

        return cast("JobDecorator", define) if function is None else define(function)

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
        runtime = self.runtime
        source = source_of_job(runtime, job_id, function, self._default_store)
        job: AnyJob = Job(self, runtime, function, JobOptions(**named, source=source))
        if isinstance(job.trigger, (DynamicSchedule, DynamicTrigger)):
            job.trigger.bind(job_id, runtime)
        if isinstance(job.trigger, EndpointTrigger):
            job.trigger.endpoint.bind(runtime)
        before: AnyJob | None = runtime.jobs.get(job_id)
        if before is not None and is_reloaded(before.fn, function):
            # It is the new one wherever it was imported.
            Job.__init__(before, self, runtime, function, job.options)
            return before
        runtime.jobs[job_id] = job
        return job

    @property
    def jobs(self) -> list[AnyJob]:
        """The jobs defined in this kernel."""
        return list(self.runtime.jobs.values())

    # Runs -------------------------------------------------------------------------------------

    def runs(
        self,
        job: AnyJob | str | None = None,
        status: StatusOption = None,
        limit: int = 50,
        *,
        before: Run | str | None = None,
    ) -> Runs:
        """The runs in the store, newest first. Shown as a table.

        `job` is a `Job` or its id, and `status` a status such as "FAILED", or several: only those runs are returned.
        `limit` is the most runs to return; `before` is a run, or its id: only runs that were started before it, for the next page.

        Raises `NotFoundError` if there is no such run, and `InvalidOptionError` for an unknown status or an invalid limit.

        >>> len(client.runs(status="FAILED", limit=10))
        0
        """
        if not is_whole_number(limit) or limit < 0:
            raise InvalidOptionError(f"limit must be a whole number of runs, not {limit!r:.100}")
        job_id = job.id if isinstance(job, Job) else job
        last = "" if before is None else self.run(before if isinstance(before, str) else before.id).id
        query = RunQuery(self.runtime, job_id, None if status is None else statuses(status), last)
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

    def watch(self, run_id: str) -> Run:
        """Follow a run that another process drives: its live tree is shown below the cell. `await` it for its output.

        Raises `NotFoundError`, and `UsageError` where no event loop is running.

        ```
        run = client.watch("run_1f0c")
        ```
        """
        return self.run(run_id)._watch()

    @property
    def store(self) -> ClientStores:
        """The values that all jobs have in `io.store.env`, outside of a run: `client.store.env.get("cursor")`."""
        return ClientStores(StoredValues(self.runtime, "kv/env"))

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
        chosen = housekeeping.FINISHED if status is None else statuses(status)
        rule = housekeeping.Rule(chosen, before, keep_last or 0)
        return housekeeping.prune(self.runtime, rule, dry_run=dry_run)

    def check(self) -> StoreCheck:
        """Read the whole store, and report what is damaged or lost; nothing is changed. Shown as a table.

        >>> client.check().ok
        True
        """
        return verification.check(self.dir)

    def repair(self) -> Repaired:
        """Save what can be read of a damaged store into a new one beside it, and report. Shown as a table.

        Tasks with damaged records count as done, without a value. Use it while no kernel runs jobs of the store."""
        return verification.repair(self.dir)

    def __repr__(self) -> str:
        return f"<TriggerClient {self.id!r} in {self.dir}>"


class ClientStores(NamedTuple):
    """Stored values of a client."""

    env: StoredValues


_default: dict[tuple[Path | None, str], TriggerClient] = {}


def default_client() -> TriggerClient:
    """The client of jobs defined with `@job`: its store is that of this notebook or script."""
    # The key has no working directory: an os.chdir in a cell must not lead to another store.
    key = main_file().path, os.environ.get("TRIGGER_NB_DIR", "")
    if key not in _default:
        store = find_default()
        client = _default[key] = TriggerClient(store.id, dir=store.place)
        client._default_store = store
        if store.note:
            warn(store.note)
    return _default[key]


@overload
def job(function: Callable[P, Coroutine[Any, Any, T]], /) -> Job[T, Callable[P, Coroutine[Any, Any, T]]]: ...
@overload
def job(function: Callable[P, T], /) -> Job[T, Callable[P, T]]: ...
@overload
def job(**options: Unpack[JobKeywords]) -> JobDecorator: ...
@lists_options
def job(function: Function | None = None, /, **options: Any) -> AnyJob | JobDecorator:
    """Define a job of the default client: write `@job`, or `@job(...)` with options, above the run function.

    The default client is named after the notebook. Errors are those of `TriggerClient.job`. The options:

    OPTIONS

    ```
    @job
    async def greet(payload, io):
        return await io.run_task("greeting", lambda: f"Hello, {payload}")
    ```
    """
    client = default_client()
    return client.job(function) if function is not None else client.job(**options)
