"""A job: a run function with an id and options, and the methods that start its runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import timedelta
from types import GenericAlias
from typing import TYPE_CHECKING, Any, Generic, NoReturn, ParamSpec, TypeAlias, TypeVar

from ._callsite import ShowsPublicNames
from ._clock import Clock, is_whole_number, to_seconds
from ._plans.accepting import accept
from ._plans.plan import Plan, make_plan
from ._records.records import RunRecord
from ._records.run_ids import new_run_id
from ._records.status import StatusOption
from ._runs import moving
from ._runs.awaiting import CellCall, has_loop
from ._runs.context import Context, EventData
from ._runs.host import Client
from ._runs.job_options import JobOptions
from ._runs.job_runs import JobRuns, RunRequest
from ._runs.known_payloads import LATEST, KnownPayload, PayloadForms, known_payloads
from ._runs.notify_option import Notify
from ._runs.run_spec import RunSpec
from ._runs.runtime import ActiveRun, Runtime
from ._runs.scripts import run_in_script
from ._runs.stored_values import StoredValues
from ._runs.task_paths import NormalPath
from ._tasks.options import OnChange, WaitsOption
from ._tasks.signature import bind_run
from ._trials.stubs import StubMap
from ._trials.trial import StoreOption, Trial, TrialRun
from ._view.live.marimo import in_any_notebook
from .errors import InvalidOptionError, RunLockedError, TriggerError, UsageError
from .run import Run
from .runs import Runs

__all__ = ["Context", "Job"]

T = TypeVar("T")
P = ParamSpec("P")
if TYPE_CHECKING:
    from typing_extensions import TypeVar

    T_co = TypeVar("T_co", covariant=True, default=Any)
    F_co = TypeVar("F_co", covariant=True, bound=Callable[..., object], default=Callable[..., Any])
else:
    T_co, F_co = TypeVar("T_co", covariant=True), TypeVar("F_co", covariant=True)


class Job(ShowsPublicNames, Generic[T_co, F_co]):
    """A job: a run function that `@job` or `@client.job` has given an id and options.

    A job is not called. `await job.run(payload)` runs it, `job.start(payload)` starts it in the background,
    and `job.fn` is the plain function.

    >>> @TriggerClient("docs").job
    ... def double(payload, io):
    ...     return io.run_task("double", lambda: 2 * payload)
    >>> double.run_sync(21)
    42
    """

    if not TYPE_CHECKING:
        __class_getitem__ = classmethod(GenericAlias)  # `Job[str]`: the type of the function has a default

    def __init__(
        self,
        client: Client,
        runtime: Runtime,
        function: F_co,
        options: JobOptions,
        prepare: Callable[[RunSpec], RunSpec] | None = None,
    ) -> None:
        self.client = client
        self.fn = function
        self.id = options.id
        self.name = options.name
        self.version = options.version
        self.trigger = options.trigger
        self.enabled = options.enabled
        self.options = options
        self._runtime = runtime
        self._job_runs = JobRuns(self, runtime, prepare)
        # For `?` in a notebook, and `help()`.
        self.__doc__ = inspect.getdoc(function) or type(self).__doc__
        self.__signature__ = inspect.signature(function)
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
        waits: WaitsOption | None = None,
        notify: Notify | None = None,
        display: bool = True,
    ) -> CellCall[T_co]:
        """Run the job and wait for its output.

        The same payload is the same run: tasks that have completed are replayed.

        - `run_id`: an id for the run, in place of the one that is made from the payload.
        - `fresh`: start a new run, also if there is one for this payload.
        - `is_test`: mark the run as a test, which `ctx.run.is_test` tells.
        - `on_change`: for tasks whose code or arguments have changed: "keep" their results, run "only" these
          tasks again, or "rerun" them and all tasks after them. By default as the job says.
        - `waits`: "skip" passes each wait and delay at once, to try a job; retries begin after a second at most.
        - `notify`: who is told when the run has ended, or asks something: "browser", a function that gets the run, or a
          list of these; False for nobody. By default as the job says.
        - `display`: show the tree below the cell.

        Raises `InvalidPayloadError`; `RunLockedError` if another kernel executes the run; and the error of
        the run function.

        ```
        output = await greet.run({"id": "u1"})
        ```
        """

        async def begin() -> T_co:
            request = RunRequest(
                payload=payload,
                run_id=run_id,
                fresh=fresh,
                is_test=is_test,
                on_change=on_change,
                waits=waits,
                notify=notify,
            )
            run = self._start(request, display=display, awaited=True)
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
        waits: WaitsOption | None = None,
        notify: Notify | None = None,
        display: bool = True,
    ) -> Run[T_co]:
        """Start the job in the background and return its `Run` at once. Arguments as in `run`.

        Raises `InvalidPayloadError`, `RunLockedError`, and `UsageError` where no event loop is running.

        ```
        started = greet.start({"id": "u1"})
        output = await started
        ```
        """
        if not has_loop():
            raise UsageError(
                f"{self._name}.start(...) needs a running event loop, as a notebook has one. In a script, "
                f"use {self._name}.run_sync(...), or asyncio.run(...) around async code"
            )
        try:
            request = RunRequest(
                payload=payload,
                run_id=run_id,
                fresh=fresh,
                is_test=is_test,
                on_change=on_change,
                waits=waits,
                notify=notify,
            )
            return self._start(request, display=display)
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
        waits: WaitsOption | None = None,
        notify: Notify | None = None,
    ) -> T_co:
        """Run the job in a script, without an event loop, and return its output. Arguments and errors as in `run`.

        Raises `UsageError` where an event loop is running, as in a notebook.

        ```
        output = greet.run_sync({"id": "u1"})
        ```
        """

        def run() -> CellCall[T_co]:
            return self.run(
                payload,
                run_id=run_id,
                fresh=fresh,
                is_test=is_test,
                on_change=on_change,
                waits=waits,
                notify=notify,
                display=False,
            )

        output, error = run_in_script(self._name, run, self._close_clients)
        if error is None:
            return output[0]
        try:
            raise error
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
        request = RunRequest(payload=payload, run_id=run_id, on_change=on_change)
        work, record, is_new = self._job_runs.plan(request)
        return make_plan(self._runtime, work, record, is_new=is_new, patience=patience)

    def test(
        self,
        payload: object = None,
        *,
        stubs: StubMap | None = None,
        clock: Clock | None = None,
        store: StoreOption = None,
    ) -> TrialRun:
        """Run the job in a test, and return its run, which has ended. Waits and retries take no time.

        - `stubs`: outputs of tasks by path, such as `{"fetch-user": {"name": "Ana"}}`, in place of what their
          bodies would return: a value, an exception to raise, a function of the body's arguments, or a list with
          exceptions in it, of which each call takes the next. `*` is any part of a key: `"label/*"` is for all
          items of a map, `("mail", "*")` for the tasks of a loop.
        - `clock`: a `FakeClock`, for a test about dates. By default it is 2030-01-01.
        - `store`: a folder, in which a second test with the same payload resumes; by default a new one.

        A task without a stub runs its body, which may compute, but reach no other machine. A run that fails is
        returned, too: its error is `run.error`.

        Raises `NoStubError` for code that reaches for a service, `UnknownStubError` for a stub without a task, and
        `InvalidPayloadError`.

        >>> run = greet.test({"id": 7}, stubs={"fetch-name": "Ana"})
        >>> run.output
        'Hello Ana'
        """
        return self._try_out(Trial.of(stubs, clock, store), payload)

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

    @property
    def store(self) -> StoredValues:
        """The values that runs of the job have in `io.store.job`: `greet.store.get("cursor")`."""
        return StoredValues(self._runtime, f"kv/job/{self.id}")

    def payloads(self, limit: int = LATEST) -> list[KnownPayload]:
        """Payloads to start a run with: the examples of the trigger, then the distinct ones of the latest runs.

        `limit` is the most payloads of runs. Raises `InvalidOptionError` for an invalid limit.

        >>> await greet.run(greet.payloads()[0].payload, fresh=True)  # doctest: +SKIP
        """
        if not is_whole_number(limit) or limit < 0:
            raise InvalidOptionError(f"limit must be a whole number of payloads, not {limit!r:.100}")
        return known_payloads(self._runtime, self.options, self.trigger, int(limit))

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

    def _completed_for_event(self, event_id: str, line: tuple[str, int]) -> Run | None:
        """The run of an event that was sent before, if it has completed: nothing starts. `line` sends it again."""
        record = self._job_runs.completed_for_event(event_id, line)
        run = None if record is None else Run[T_co](self._runtime, record.id)
        if run is not None and self.client.display and in_any_notebook():
            run.show()
        return run

    def _start_for_event(self, event: EventData, payload: object, *, is_test: bool, fresh: bool) -> Run:
        """Start the run for an event."""
        run_id = new_run_id() if fresh else self._job_runs.id_for_event(event["id"])
        return self._start(RunRequest(payload=payload, run_id=run_id, is_test=is_test, event=event))

    def _start_child(
        self, payload: object, *, run_id: str, parent: str, parent_task: str, context: object = None
    ) -> Run:
        """Start a run as the child of a task of another run."""
        event: EventData | None = None
        if context is not None:
            event = {"id": run_id, "name": "invoke", "context": context}
        request = RunRequest(
            payload=payload, run_id=run_id, parent=parent, parent_task=parent_task, event=event
        )
        return self._start(request, display=False)

    def _start(self, request: RunRequest, *, display: bool = True, awaited: bool = False) -> Run:
        try:
            execution, began = self._job_runs.begin(request)
        except RunLockedError:
            run = self._brought_back(request)
            if run is None:
                raise
            run._displays = display
        else:
            run = Run[T_co](self._runtime, execution.run.id)
            run._follow(execution, began=began, display=display)
        if display and self.client.display and in_any_notebook():
            run.show(awaited=awaited)
        return run

    def _brought_back(self, request: RunRequest) -> Run[T_co] | None:
        """The run that another process drives, if it was detached here: it is brought back, and goes on as requested."""
        run_id = self._job_runs.id_of(request)
        if not (has_loop() and moving.is_detached(self._runtime, run_id)):
            return None
        moving.attach_for_start(self._runtime, run_id, lambda: self._job_runs.begin(request)[0])
        return Run(self._runtime, run_id)

    def _handle(self, run_id: str) -> Run[T_co]:
        """The run with an id, for those who are told of it."""
        return Run(self._runtime, run_id)

    def _restart(self, record: RunRecord) -> ActiveRun:
        """Begin another pass of a stored run, with its stored payload."""
        return self._job_runs.restart(record)

    def _again(self, record: RunRecord) -> tuple[RunSpec, RunRecord]:
        """Another pass of a stored run, for a rehearsal, and its record."""
        return self._job_runs.again(record)

    def _payload_forms(self, run_id: str) -> PayloadForms:
        """The forms of *Run with …* beside the display of a run."""
        return PayloadForms(self._runtime, self.options, self.trigger, run_id)

    def _start_with(self, payload: object, *, is_test: bool) -> str:
        """Start a run with the payload of such a form; its id. A payload that has a run already gets another one."""
        found, record = self._job_runs._find(self.trigger.parse(payload), RunRequest(payload=payload))
        is_new = record is None and not is_test  # a test run must not be the run of that payload
        request = RunRequest(payload=payload, run_id=found if is_new else new_run_id(), is_test=is_test)
        return self._start(request, display=False)._id

    def _accept(self, run_id: str, path: str) -> None:
        """Take the changes of a task and its subtasks as none: for the button in a display."""
        accept(self._runtime, run_id, NormalPath(path))

    def _try_out(self, trial: Trial, payload: object) -> TrialRun:
        """Run the job in a trial."""
        own, request = self._in_trial(trial), RunRequest(payload=payload, is_test=True)
        return trial.play(lambda: own._start(request, display=False), self._close_clients)

    def _in_trial(self, trial: Trial) -> Job[T_co, F_co]:
        """The job, with its runs in the store and the time of a trial."""
        return Job(self.client, trial.runtime, self.fn, self.options, trial.prepare)


AnyJob: TypeAlias = Job[Any]
"""A job as the rest of the package has it: what its run function returns is not known."""
